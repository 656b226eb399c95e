/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Get and Set Features (NVM Express 1.4c, 5.21). No value can be saved: each controller reset
 * brings the defaults.
 */
#include <string.h>

#include "core.h"

#define SELECT_CURRENT	    0u
#define SELECT_DEFAULT	    1u
#define SELECT_SAVED	    2u
#define SELECT_CAPABILITIES 3u
#define CAPABLE_NAMESPACE   2u
#define CAPABLE_CHANGE	    4u

#define TEMPERATURE_KELVIN  313u
#define WARNING_KELVIN	    343u

/* Temperature threshold: which one a command means (5.21.1.4) */
#define TEMP_SENSOR(cdw11) ((cdw11) >> 16 & 15u)
#define TEMP_KIND(cdw11)   ((cdw11) >> 20 & 3u)

static struct nvme_state_features features_defaults(const struct nvme_ctrl *ctrl)
{
	return (struct nvme_state_features){
		.over_temperature = WARNING_KELVIN,
		.write_cache = 1,
		.queues = (ctrl->queues - 1) << 16 | (ctrl->queues - 1),
	};
}

void nvme_features_init(struct nvme_ctrl *ctrl)
{
	ctrl->state->features = features_defaults(ctrl);
}

uint32_t nvme_smart_warnings(const struct nvme_ctrl *ctrl)
{
	const struct nvme_state_features *f = &ctrl->state->features;
	bool warm = TEMPERATURE_KELVIN >= f->over_temperature;
	bool cold = f->under_temperature > 0 && TEMPERATURE_KELVIN <= f->under_temperature;

	return warm || cold ? 2u : 0u;
}

/* The word that holds a feature's value, or NULL for those that are more than a word, or none of
 * ours. */
static uint32_t *features_word(struct nvme_state_features *f, uint32_t id, uint32_t cdw11)
{
	switch (id) {
	case NVME_FEAT_ARBITRATION:
		return &f->arbitration;
	case NVME_FEAT_TEMPERATURE:
		return TEMP_KIND(cdw11) == 0 ? &f->over_temperature : &f->under_temperature;
	case NVME_FEAT_RECOVERY:
		return &f->recovery;
	case NVME_FEAT_WRITE_CACHE:
		return &f->write_cache;
	case NVME_FEAT_QUEUES:
		return &f->queues;
	case NVME_FEAT_COALESCING:
		return &f->coalescing;
	case NVME_FEAT_ATOMICITY:
		return &f->atomicity;
	case NVME_FEAT_ASYNC_EVENTS:
		return &f->async_events;
	default:
		return NULL;
	}
}

static uint32_t features_value(const struct nvme_ctrl *ctrl, struct nvme_state_features *f,
			       const struct nvme_sqe *sqe, uint32_t *ret_value)
{
	uint32_t id = sqe->cdw10 & 0xffu;
	uint32_t vector = sqe->cdw11 & 0xffffu;
	uint32_t *word;

	if (id == NVME_FEAT_POWER) {
		*ret_value = 0;
		return NVME_OK;
	}
	if (id == NVME_FEAT_VECTOR) {
		if (vector >= ctrl->vectors)
			return NVME_BAD_FIELD;
		*ret_value = vector | (uint32_t)f->no_coalescing[vector] << 16;
		return NVME_OK;
	}
	if (id == NVME_FEAT_TEMPERATURE &&
	    (TEMP_SENSOR(sqe->cdw11) != 0 || TEMP_KIND(sqe->cdw11) > 1))
		return NVME_BAD_FIELD;
	word = features_word(f, id, sqe->cdw11);
	if (!word)
		return NVME_BAD_FIELD;
	*ret_value = *word;
	return NVME_OK;
}

void nvme_get_features(struct nvme_request *req)
{
	struct nvme_ctrl *ctrl = req->ctrl;
	const struct nvme_sqe *sqe = &req->cmd->sqe;
	uint32_t id = sqe->cdw10 & 0xffu;
	uint32_t select = sqe->cdw10 >> 8 & 7u;
	struct nvme_state_features values = ctrl->state->features;
	uint32_t value = 0;
	uint32_t status;

	req->location = 40;
	if (select > SELECT_CAPABILITIES) {
		nvme_finish(req, NVME_BAD_FIELD);
		return;
	}
	if (select == SELECT_DEFAULT || select == SELECT_SAVED)
		values = features_defaults(ctrl);
	status = features_value(ctrl, &values, sqe, &value);
	if (status == NVME_OK && id == NVME_FEAT_RECOVERY && sqe->nsid != 1 &&
	    sqe->nsid != NVME_NSID_ALL)
		status = NVME_BAD_NAMESPACE;
	if (select == SELECT_CAPABILITIES)
		value = CAPABLE_CHANGE | (id == NVME_FEAT_RECOVERY ? CAPABLE_NAMESPACE : 0);
	req->cmd->result = status == NVME_OK ? value : 0;
	nvme_finish(req, status);
}

static uint32_t features_set_queues(struct nvme_request *req, uint32_t asked)
{
	struct nvme_ctrl *ctrl = req->ctrl;
	uint32_t most = ctrl->queues - 1;
	uint32_t sqs = asked & 0xffffu;
	uint32_t cqs = asked >> 16;

	if (sqs == 0xffffu || cqs == 0xffffu)
		return NVME_BAD_FIELD;
	for (uint32_t i = 1; i <= ctrl->queues && !req->replayed; i++) {
		if (ctrl->state->sq[i].size > 0 || ctrl->state->cq[i].size > 0)
			return NVME_BAD_SEQUENCE;
	}
	sqs = sqs < most ? sqs : most;
	cqs = cqs < most ? cqs : most;
	ctrl->state->features.queues = cqs << 16 | sqs;
	req->cmd->result = ctrl->state->features.queues;
	return NVME_OK;
}

static uint32_t features_set_temperature(struct nvme_ctrl *ctrl, uint32_t cdw11)
{
	uint32_t sensor = TEMP_SENSOR(cdw11);

	/* The composite temperature is the only one; "all sensors" includes it. */
	if ((sensor != 0 && sensor != 15) || TEMP_KIND(cdw11) > 1)
		return NVME_BAD_FIELD;
	*features_word(&ctrl->state->features, NVME_FEAT_TEMPERATURE, cdw11) = cdw11 & 0xffffu;
	nvme_event_smart(ctrl);
	return NVME_OK;
}

static uint32_t features_set(struct nvme_request *req)
{
	struct nvme_ctrl *ctrl = req->ctrl;
	struct nvme_state_features *f = &ctrl->state->features;
	uint32_t id = req->cmd->sqe.cdw10 & 0xffu;
	uint32_t value = req->cmd->sqe.cdw11;

	switch (id) {
	case NVME_FEAT_ARBITRATION:
		f->arbitration = value & 0xffffff07u;
		return NVME_OK;
	case NVME_FEAT_POWER:
		return (value & 0x1fu) == 0 ? NVME_OK : NVME_BAD_FIELD; /* one power state */
	case NVME_FEAT_TEMPERATURE:
		return features_set_temperature(ctrl, value);
	case NVME_FEAT_RECOVERY:
		if (value & 0x10000u) /* errors for deallocated blocks: not supported */
			return NVME_BAD_FIELD;
		f->recovery = value & 0xffffu;
		return NVME_OK;
	case NVME_FEAT_WRITE_CACHE:
		f->write_cache = value & 1u;
		return NVME_OK;
	case NVME_FEAT_QUEUES:
		return features_set_queues(req, value);
	case NVME_FEAT_COALESCING:
		f->coalescing = value & 0xffffu;
		return NVME_OK;
	case NVME_FEAT_VECTOR:
		if ((value & 0xffffu) >= ctrl->vectors)
			return NVME_BAD_FIELD;
		f->no_coalescing[value & 0xffffu] = value >> 16 & 1u;
		return NVME_OK;
	case NVME_FEAT_ATOMICITY:
		f->atomicity = value & 1u;
		return NVME_OK;
	case NVME_FEAT_ASYNC_EVENTS:
		f->async_events = value & 0xffu;
		nvme_event_smart(ctrl);
		return NVME_OK;
	default:
		req->location = 40;
		return NVME_BAD_FIELD;
	}
}

void nvme_set_features(struct nvme_request *req)
{
	const struct nvme_sqe *sqe = &req->cmd->sqe;
	uint32_t id = sqe->cdw10 & 0xffu;
	bool cached = req->ctrl->state->features.write_cache || req->replayed;
	uint32_t status = NVME_OK;

	req->location = 40;
	if (sqe->cdw10 & 0x80000000u)
		status = NVME_NOT_SAVEABLE;
	else if (sqe->nsid > 1 && sqe->nsid != NVME_NSID_ALL)
		status = NVME_BAD_NAMESPACE;
	else if (sqe->nsid == 1 && id != NVME_FEAT_RECOVERY)
		status = NVME_NOT_NS_SPECIFIC;
	else if (sqe->nsid == 0 && id == NVME_FEAT_RECOVERY)
		status = NVME_BAD_NAMESPACE;
	if (status == NVME_OK) {
		req->location = 44;
		status = features_set(req);
	}
	/* Without a cache the guest flushes no more: what it wrote before has to be safe too. */
	if (status == NVME_OK && id == NVME_FEAT_WRITE_CACHE && cached && !(sqe->cdw11 & 1u))
		nvme_flush_for(req);
	else
		nvme_finish(req, status);
}
