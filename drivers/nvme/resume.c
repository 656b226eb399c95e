/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Going on from the state that an earlier process left. The page is checked like any other input;
 * then caches are rebuilt, and once the host runs, completion entries that may not have been
 * written are written, every interrupt is raised once (too many are harmless), commands that had
 * begun begin again (replay.c), and doorbells are looked at.
 */
#include <errno.h>

#include "core.h"
#include "fault.h"

static int state_bad(const char *what)
{
	return nvme_host->fail(EBADMSG,
			       "the saved state of the controller is damaged (%s); stop and start "
			       "the device",
			       what);
}

static bool state_sq_good(const struct nvme_ctrl *ctrl, uint32_t qid)
{
	const struct nvme_state_sq *sq = &ctrl->state->sq[qid];
	uint32_t max = qid == 0 ? NVME_ADMIN_ENTRIES : NVME_ENTRIES_MAX;

	if (sq->size == 0)
		return true;
	return qid <= ctrl->queues && sq->size >= 2 && sq->size <= max && sq->tail < sq->size &&
	       (sq->base & (NVME_PAGE_BYTES - 1)) == 0 && sq->cqid <= ctrl->queues &&
	       (qid == 0) == (sq->cqid == 0) && ctrl->state->cq[sq->cqid].size > 0;
}

static bool state_cq_good(const struct nvme_ctrl *ctrl, uint32_t qid)
{
	const struct nvme_state_cq *cq = &ctrl->state->cq[qid];
	uint32_t max = qid == 0 ? NVME_ADMIN_ENTRIES : NVME_ENTRIES_MAX;

	if (cq->size == 0)
		return true;
	return qid <= ctrl->queues && cq->size >= 2 && cq->size <= max && cq->head < cq->size &&
	       (cq->base & (NVME_PAGE_BYTES - 1)) == 0 && cq->vector < ctrl->vectors;
}

static bool state_slot_good(const struct nvme_ctrl *ctrl, const struct nvme_state_cmd *cmd)
{
	if (cmd->phase == NVME_SLOT_FREE)
		return true;
	return cmd->phase <= NVME_SLOT_ENDING && cmd->sqid < NVME_QUEUES &&
	       ctrl->state->sq[cmd->sqid].size > 0;
}

static bool state_features_good(const struct nvme_ctrl *ctrl)
{
	const struct nvme_state_features *f = &ctrl->state->features;

	return (f->queues & 0xffffu) < ctrl->queues && f->queues >> 16 < ctrl->queues;
}

static bool state_events_good(const struct nvme_state *st)
{
	for (uint32_t i = 0; i < st->pending_count && i < NVME_PENDING_MAX; i++) {
		if (st->pending[i].type >= NVME_EVENT_TYPES)
			return false;
	}
	return st->pending_count <= NVME_PENDING_MAX && st->event_slot_count <= NVME_EVENTS_MAX;
}

int nvme_state_check(const struct nvme_ctrl *ctrl)
{
	const struct nvme_state *st = ctrl->state;
	/* While it is not enabled the guest may have written anything there. */
	bool enabled = (st->cc & NVME_CC_EN) && (st->csts & NVME_CSTS_RDY);

	if (st->magic != NVME_STATE_MAGIC)
		return state_bad("no state");
	if ((enabled && NVME_CC_MPS(st->cc) > NVME_MPSMAX) || (st->csts & ~0xfu))
		return state_bad("registers");
	if (!(st->csts & NVME_CSTS_RDY) != (st->sq[0].size == 0))
		return state_bad("admin queue");
	if (!state_features_good(ctrl))
		return state_bad("features");
	if (!state_events_good(st))
		return state_bad("events");
	if (!st->shadow != !st->eventidx || ((st->shadow | st->eventidx) & (NVME_PAGE_BYTES - 1)))
		return state_bad("shadow doorbells");
	for (uint32_t i = 0; i < NVME_QUEUES; i++) {
		if (!state_cq_good(ctrl, i) || !state_sq_good(ctrl, i))
			return state_bad("queues");
	}
	if (st->slots_used > NVME_SLOTS || st->suspect > st->slots_used)
		return state_bad("commands in flight");
	for (uint32_t i = 0; i < st->slots_used; i++) {
		if (!state_slot_good(ctrl, &st->cmds[i]))
			return state_bad("commands in flight");
	}
	return 0;
}

/* A command that is in its slot was fetched, even if the count had no time to say so. */
static void resume_slots(struct nvme_ctrl *ctrl)
{
	ctrl->used = ctrl->state->slots_used;
	for (uint32_t i = 0; i < ctrl->used; i++) {
		const struct nvme_state_cmd *cmd = &ctrl->state->cmds[i];

		if (cmd->phase == NVME_SLOT_FREE)
			continue;
		if (ctrl->state->sq[cmd->sqid].fetched <= cmd->sq_seq)
			ctrl->state->sq[cmd->sqid].fetched = cmd->sq_seq + 1;
	}
	for (uint32_t i = 0; i < ctrl->used; i++) {
		struct nvme_request *req = &ctrl->arena->requests[i];

		req->index = i;
		req->ctrl = ctrl;
		req->cmd = &ctrl->state->cmds[i];
		if (req->cmd->phase == NVME_SLOT_FREE) {
			TAILQ_INSERT_TAIL(&ctrl->free, req, link);
			continue;
		}
		ctrl->free_count--;
		ctrl->outstanding++;
		req->stage = NVME_STAGE_PARKED; /* until nvme_state_go() */
		/* A queue whose deletion begins anew has to wait for those that begin after it. */
		if (req->cmd->phase == NVME_SLOT_ACTIVE)
			ctrl->sq[req->cmd->sqid].active++;
	}
}

/* The entry of @req was about to be written, or was. Returns whether its place is still the next.
 */
static bool resume_ending(struct nvme_ctrl *ctrl, struct nvme_request *req)
{
	uint32_t cqid = ctrl->state->sq[req->cmd->sqid].cqid;

	if (req->cmd->cq_seq != ctrl->state->cq[cqid].posted) {
		nvme_request_release(req);
		return false;
	}
	req->stage = NVME_STAGE_DONE;
	TAILQ_INSERT_HEAD(&ctrl->cq[cqid].pending, req, link);
	nvme_bit_set(ctrl->cq_dirty, cqid);
	return true;
}

void nvme_state_go(struct nvme_ctrl *ctrl, bool by_timer)
{
	if (!ctrl->resuming)
		return;
	ctrl->resuming = false;
	nvme_host->timer(ctrl->mdev, NVME_TIMER_RESUME, 0, NULL, NULL);
	nvme_doorbell_resume(ctrl);

	/* The guest had disabled it: what was in flight ends untold, as it would have. */
	if (!(ctrl->state->cc & NVME_CC_EN) && (ctrl->state->csts & NVME_CSTS_RDY)) {
		nvme_drain(ctrl);
		return;
	}
	ctrl->running = (ctrl->state->csts & (NVME_CSTS_RDY | NVME_CSTS_CFS)) == NVME_CSTS_RDY;
	ctrl->state->event_slot_count = 0;
	/* First the entries whose place is settled. */
	for (uint32_t i = 0; i < ctrl->used; i++) {
		struct nvme_request *req = &ctrl->arena->requests[i];

		if (req->stage == NVME_STAGE_PARKED && req->cmd->phase == NVME_SLOT_ENDING)
			(void)resume_ending(ctrl, req);
	}
	nvme_completions_post(ctrl);
	FAULT_POINT("resume.posted");
	for (uint32_t i = 0; i <= ctrl->queues; i++) {
		if (ctrl->state->sq[i].size > 0)
			nvme_bit_set(ctrl->ready, i);
		if (ctrl->state->cq[i].size > 0 && ctrl->running)
			nvme_irq_raise(ctrl, i);
	}
	if ((ctrl->state->csts & NVME_CSTS_SHST_MASK) == NVME_CSTS_SHST_BUSY)
		nvme_flush_begin(ctrl);
	/* Not in the midst of a request of the client, which would be blamed for what comes of it.
	 */
	nvme_replay(ctrl, by_timer);
}

static void resume_timer(void *arg)
{
	nvme_state_go(arg, true);
}

void nvme_state_resume(struct nvme_ctrl *ctrl)
{
	struct nvme_state *st = ctrl->state;

	ctrl->page_shift = 12 + NVME_CC_MPS(st->cc);
	resume_slots(ctrl);
	for (uint32_t i = 0; i <= ctrl->queues; i++) {
		if (st->sq[i].size > 0) {
			ctrl->sq[i].head = (uint32_t)(st->sq[i].fetched % st->sq[i].size);
			ctrl->cq[st->sq[i].cqid].users++;
		}
		if (st->cq[i].size > 0) {
			ctrl->cq[i].tail = (uint32_t)(st->cq[i].posted % st->cq[i].size);
			ctrl->cq[i].phase = !(st->cq[i].posted / st->cq[i].size & 1u);
		}
	}
	nvme_suspect_count(ctrl);
	ctrl->resuming = true;
	nvme_host->timer(ctrl->mdev, NVME_TIMER_RESUME, nvme_host->now_ns(), resume_timer, ctrl);
}
