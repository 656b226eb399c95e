/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Get Log Page (NVM Express 1.4c, 5.14): errors, SMART, firmware, supported commands. A page is
 * built whole and the part asked for is sent; what lies beyond its end is not.
 */
#include <string.h>

#include "core.h"

#define TEMPERATURE_KELVIN 313u
#define DATA_UNIT	   512000u /* a thousand blocks of 512 bytes */
#define RETAIN_EVENT	   0x8000u

static uint64_t log_offset(const struct nvme_request *req)
{
	return (uint64_t)req->cmd->sqe.cdw13 << 32 | req->cmd->sqe.cdw12;
}

static uint32_t log_size(uint32_t page)
{
	switch (page) {
	case NVME_LOG_ERROR:
		return NVME_ERRORS * (uint32_t)sizeof(struct nvme_log_error);
	case NVME_LOG_SMART:
		return sizeof(struct nvme_log_smart);
	case NVME_LOG_FIRMWARE:
		return sizeof(struct nvme_log_firmware);
	case NVME_LOG_EFFECTS:
		return sizeof(struct nvme_log_effects);
	default:
		return 0;
	}
}

/* Newest first. */
static void log_errors(const struct nvme_state *st, struct nvme_log_error *entries)
{
	uint64_t n = st->error_count < NVME_ERRORS ? st->error_count : NVME_ERRORS;

	for (uint64_t i = 0; i < n; i++)
		entries[i] = st->errors[(st->error_count - 1 - i) % NVME_ERRORS];
}

static void log_smart(const struct nvme_ctrl *ctrl, struct nvme_log_smart *log)
{
	const struct nvme_state_smart *s = &ctrl->state->smart;
	uint64_t on_ns = nvme_host->now_ns() - s->created_ns;

	log->critical_warning = (uint8_t)nvme_smart_warnings(ctrl);
	log->temperature[0] = TEMPERATURE_KELVIN & 0xffu;
	log->temperature[1] = TEMPERATURE_KELVIN >> 8;
	log->available_spare = 100;
	log->spare_threshold = 10;
	log->data_units_read[0] = (s->read_bytes + DATA_UNIT - 1) / DATA_UNIT;
	log->data_units_written[0] = (s->write_bytes + DATA_UNIT - 1) / DATA_UNIT;
	log->read_commands[0] = s->reads;
	log->write_commands[0] = s->writes;
	log->busy_minutes[0] = s->busy_ns / 60000000000ull;
	log->power_cycles[0] = s->power_cycles;
	log->power_on_hours[0] = on_ns / 3600000000000ull;
	log->unsafe_shutdowns[0] = s->unsafe_shutdowns;
	log->media_errors[0] = s->media_errors;
	log->error_entries[0] = ctrl->state->error_count;
}

static void log_firmware(struct nvme_log_firmware *log)
{
	log->afi = 1;
	nvme_text(log->slots[0], sizeof(log->slots[0]), UMDEV_VERSION);
}

static void log_effects(const struct nvme_ctrl *ctrl, struct nvme_log_effects *log)
{
	static const uint8_t admin[] = {
		NVME_ADMIN_DELETE_SQ,	NVME_ADMIN_CREATE_SQ,	 NVME_ADMIN_GET_LOG,
		NVME_ADMIN_DELETE_CQ,	NVME_ADMIN_CREATE_CQ,	 NVME_ADMIN_IDENTIFY,
		NVME_ADMIN_ABORT,	NVME_ADMIN_SET_FEATURES, NVME_ADMIN_GET_FEATURES,
		NVME_ADMIN_ASYNC_EVENT,
	};
	static const uint8_t io[] = {NVME_IO_WRITE, NVME_IO_WRITE_ZEROES, NVME_IO_DATASET};

	for (size_t i = 0; i < sizeof(admin); i++)
		log->admin[admin[i]] = NVME_EFFECT_SUPPORTED;
	if (!ctrl->shared)
		log->admin[NVME_ADMIN_DOORBELL_BUF] = NVME_EFFECT_SUPPORTED;
	log->io[NVME_IO_FLUSH] = NVME_EFFECT_SUPPORTED;
	log->io[NVME_IO_READ] = NVME_EFFECT_SUPPORTED;
	for (size_t i = 0; i < sizeof(io); i++)
		log->io[io[i]] = NVME_EFFECT_SUPPORTED | NVME_EFFECT_LBA_CHANGED;
}

static void log_fill(struct nvme_request *req)
{
	struct nvme_ctrl *ctrl = req->ctrl;
	const struct nvme_sqe *sqe = &req->cmd->sqe;
	uint32_t page = sqe->cdw10 & 0xffu;
	uint32_t offset = (uint32_t)log_offset(req);
	uint32_t size = log_size(page);
	void *buffer = req->buffer;

	memset(buffer, 0, NVME_PAGE_BYTES);
	switch (page) {
	case NVME_LOG_ERROR:
		log_errors(ctrl->state, buffer);
		break;
	case NVME_LOG_SMART:
		log_smart(ctrl, buffer);
		break;
	case NVME_LOG_FIRMWARE:
		log_firmware(buffer);
		break;
	default:
		log_effects(ctrl, buffer);
		break;
	}
	if (!(sqe->cdw10 & RETAIN_EVENT))
		nvme_event_clear(ctrl, page);
	memmove(req->buffer, req->buffer + offset, size - offset);
	nvme_admin_reply(req, size - offset);
}

void nvme_get_log(struct nvme_request *req)
{
	const struct nvme_sqe *sqe = &req->cmd->sqe;
	uint32_t page = sqe->cdw10 & 0xffu;
	uint64_t dwords = ((uint64_t)(sqe->cdw11 & 0xffffu) << 16 | sqe->cdw10 >> 16) + 1;
	uint32_t size = log_size(page);

	req->location = 40;
	if (size == 0) {
		nvme_finish(req, NVME_BAD_LOG_PAGE);
		return;
	}
	if (page == NVME_LOG_SMART && sqe->nsid > 1 && sqe->nsid != NVME_NSID_ALL) {
		req->location = 4;
		nvme_finish(req, NVME_BAD_NAMESPACE);
		return;
	}
	if (dwords * 4 > NVME_TRANSFER_MAX) {
		nvme_finish(req, NVME_BAD_FIELD);
		return;
	}
	req->location = 48;
	if (log_offset(req) >= size || (log_offset(req) & 3u)) {
		nvme_finish(req, NVME_BAD_FIELD);
		return;
	}
	nvme_admin_send(req, (uint32_t)dwords * 4, log_fill);
}
