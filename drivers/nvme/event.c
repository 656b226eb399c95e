/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Asynchronous events (NVM Express 1.4c, 5.2): requests of the guest wait in the state, events that
 * found no request wait there too. An event that was reported masks its type until the guest reads
 * the log page.
 */
#include <string.h>

#include "core.h"

static void event_deliver(struct nvme_ctrl *ctrl, const struct nvme_state_event *event)
{
	struct nvme_state *st = ctrl->state;
	struct nvme_request *req = &ctrl->arena->requests[st->event_slots[0]];

	nvme_event_forget(req);
	st->events_masked |= 1u << event->type;
	req->cmd->result = event->type | (uint32_t)event->info << 8 | (uint32_t)event->log << 16;
	nvme_finish(req, NVME_OK);
}

static void event_pending_remove(struct nvme_state *st, uint32_t index)
{
	st->pending_count--;
	memmove(&st->pending[index], &st->pending[index + 1],
		(st->pending_count - index) * sizeof(st->pending[0]));
}

/* Reports what waits and may be reported. */
static void event_deliver_pending(struct nvme_ctrl *ctrl)
{
	struct nvme_state *st = ctrl->state;
	uint32_t i = 0;

	while (i < st->pending_count && st->event_slot_count > 0) {
		struct nvme_state_event event = st->pending[i];

		if (st->events_masked >> event.type & 1u) {
			i++;
			continue;
		}
		event_pending_remove(st, i);
		event_deliver(ctrl, &event);
	}
}

void nvme_event_raise(struct nvme_ctrl *ctrl, uint32_t type, uint32_t info, uint32_t log)
{
	struct nvme_state *st = ctrl->state;
	struct nvme_state_event event = {
		.type = (uint8_t)type, .info = (uint8_t)info, .log = (uint8_t)log};

	/* The guest, once it reads the log, learns of everything; more notices add nothing. */
	if (st->events_masked >> type & 1u)
		return;
	for (uint32_t i = 0; i < st->pending_count; i++) {
		if (memcmp(&st->pending[i], &event, sizeof(event)) == 0)
			return;
	}
	if (st->pending_count == NVME_PENDING_MAX)
		return;
	st->pending[st->pending_count++] = event;
	event_deliver_pending(ctrl);
}

void nvme_event_clear(struct nvme_ctrl *ctrl, uint32_t log)
{
	if (log == NVME_LOG_ERROR)
		ctrl->state->events_masked &= ~(1u << NVME_EVENT_ERROR);
	else if (log == NVME_LOG_SMART)
		ctrl->state->events_masked &= ~(1u << NVME_EVENT_SMART);
	event_deliver_pending(ctrl);
}

void nvme_event_forget(struct nvme_request *req)
{
	struct nvme_state *st = req->ctrl->state;

	for (uint32_t i = 0; i < st->event_slot_count; i++) {
		if (st->event_slots[i] != req->index)
			continue;
		st->event_slot_count--;
		memmove(&st->event_slots[i], &st->event_slots[i + 1],
			(st->event_slot_count - i) * sizeof(st->event_slots[0]));
		return;
	}
}

void nvme_event_request(struct nvme_request *req)
{
	struct nvme_ctrl *ctrl = req->ctrl;
	struct nvme_state *st = ctrl->state;

	if (st->event_slot_count == NVME_EVENTS_MAX) {
		nvme_finish(req, NVME_EVENT_LIMIT);
		return;
	}
	req->stage = NVME_STAGE_PARKED;
	ctrl->working--;
	nvme_replay_ended(req);
	st->event_slots[st->event_slot_count++] = (uint16_t)req->index;
	event_deliver_pending(ctrl);
}

void nvme_event_smart(struct nvme_ctrl *ctrl)
{
	/* One that stands when the guest begins to ask for it is news to it. */
	uint32_t warnings = nvme_smart_warnings(ctrl) & ctrl->state->features.async_events;
	uint32_t fresh = warnings & ~ctrl->state->warned;

	ctrl->state->warned = warnings;
	if (fresh & 2u)
		nvme_event_raise(ctrl, NVME_EVENT_SMART, NVME_EVENT_SMART_TEMPERATURE,
				 NVME_LOG_SMART);
}
