/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Submission queues: requests and slots, fetching of entries, the round robin.
 *
 * Entries are copied once, from the guest's ring into a slot of the state; from there on only the
 * copy is looked at. A queue whose completion queue has completions waiting for room is not fetched
 * from, so one lazy reader cannot take all slots.
 */
#include <errno.h>
#include <string.h>

#include "core.h"
#include "fault.h"

#define SERVICE_BUDGET 256u

struct nvme_request *nvme_request_get(struct nvme_ctrl *ctrl, bool admin)
{
	struct nvme_request *req = TAILQ_FIRST(&ctrl->free);

	if (ctrl->free_count <= (admin ? 0u : NVME_ADMIN_RESERVE))
		return NULL;
	if (req) {
		TAILQ_REMOVE(&ctrl->free, req, link);
	} else {
		/* The arena is touched only as far as load ever went. */
		req = &ctrl->arena->requests[ctrl->used];
		req->index = ctrl->used;
		req->ctrl = ctrl;
		req->cmd = &ctrl->state->cmds[ctrl->used];
		ctrl->state->slots_used = ++ctrl->used;
	}
	ctrl->free_count--;
	ctrl->outstanding++;
	return req;
}

void nvme_request_release(struct nvme_request *req)
{
	struct nvme_ctrl *ctrl = req->ctrl;

	nvme_admin_job_end(req);
	if (req->held)
		nvme_host->dma_release(ctrl->mdev, req->hold);
	req->held = 0;
	nvme_buffer_put(req);
	if (req->stage != NVME_STAGE_DONE && req->stage != NVME_STAGE_PARKED)
		ctrl->working--;
	req->stage = NVME_STAGE_FREE;
	nvme_replay_ended(req);
	/* What was not told to the guest is for the next process to do again. */
	if (!ctrl->leaving)
		req->cmd->phase = NVME_SLOT_FREE;
	TAILQ_INSERT_HEAD(&ctrl->free, req, link);
	ctrl->free_count++;
	ctrl->outstanding--;
}

void nvme_dispatch(struct nvme_request *req)
{
	struct nvme_ctrl *ctrl = req->ctrl;
	uint32_t before = nvme_suspect_begin(req);

	req->stage = NVME_STAGE_LISTS;
	req->ranges = req->few;
	req->range_count = 0;
	req->length = 0;
	req->location = 0xffff;
	req->dsm_next = 0;
	ctrl->working++;
	ctrl->sq[req->cmd->sqid].active++;
	if (req->cmd->sqid == 0)
		nvme_admin_begin(req);
	else
		nvme_io_command(req);
	nvme_suspect_end(req, before);
}

/* Takes @n entries that begin at the head of @sqid. The slot is complete before the count moves. */
static void sq_take(struct nvme_ctrl *ctrl, uint32_t sqid, const uint8_t *entries, uint32_t n)
{
	struct nvme_state_sq *st = &ctrl->state->sq[sqid];

	for (uint32_t i = 0; i < n && ctrl->running && st->size > 0; i++) {
		struct nvme_request *req = nvme_request_get(ctrl, sqid == 0);

		if (!req)
			return;
		memcpy(&req->cmd->sqe, entries + i * sizeof(struct nvme_sqe),
		       sizeof(struct nvme_sqe));
		req->cmd->sqid = (uint16_t)sqid;
		req->cmd->sq_seq = st->fetched;
		req->cmd->result = 0;
		req->cmd->deaths = 0;
		req->replayed = 0;
		FAULT_POINT("sq.copied");
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		req->cmd->phase = NVME_SLOT_ACTIVE;
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		FAULT_POINT("sq.active");
		st->fetched++;
		FAULT_POINT("sq.fetched");
		if (++ctrl->sq[sqid].head == st->size)
			ctrl->sq[sqid].head = 0;
		nvme_dispatch(req);
	}
}

static uint32_t sq_available(const struct nvme_ctrl *ctrl, uint32_t sqid)
{
	const struct nvme_state_sq *st = &ctrl->state->sq[sqid];
	uint32_t head = ctrl->sq[sqid].head;

	if (st->size == 0)
		return 0;
	return st->tail >= head ? st->tail - head : st->size - head + st->tail;
}

/* Admin commands that wait for their turn leave slots to the I/O queues. */
static uint32_t admin_slots(const struct nvme_ctrl *ctrl)
{
	uint32_t active = ctrl->sq[0].active;
	uint32_t slots = active < NVME_ADMIN_MAX ? NVME_ADMIN_MAX - active : 0;

	return slots < ctrl->free_count ? slots : ctrl->free_count;
}

/* How many entries of @sqid may be fetched in one piece now. */
static uint32_t sq_fetchable(const struct nvme_ctrl *ctrl, uint32_t sqid)
{
	const struct nvme_state_sq *st = &ctrl->state->sq[sqid];
	uint32_t n = sq_available(ctrl, sqid);
	uint32_t slots = ctrl->free_count;
	uint32_t head = ctrl->sq[sqid].head;
	uint64_t at = st->base + (uint64_t)head * sizeof(struct nvme_sqe);
	uint32_t in_page = (uint32_t)((NVME_PAGE_BYTES - (at & (NVME_PAGE_BYTES - 1))) /
				      sizeof(struct nvme_sqe));

	if (n == 0 || ctrl->replay != NVME_REPLAY_NONE || ctrl->sq[sqid].fetching ||
	    ctrl->sq[sqid].deleter || !TAILQ_EMPTY(&ctrl->cq[st->cqid].pending))
		return 0;
	if (sqid != 0)
		slots = slots > NVME_ADMIN_RESERVE ? slots - NVME_ADMIN_RESERVE : 0;
	else
		slots = admin_slots(ctrl);
	n = n < NVME_FETCH_BATCH ? n : NVME_FETCH_BATCH;
	n = n < st->size - head ? n : st->size - head;
	n = n < in_page ? n : in_page;
	return n < slots ? n : slots;
}

static void sq_fetched(void *arg, int status)
{
	struct nvme_token *token = arg;
	struct nvme_ctrl *ctrl = token->ctrl;
	uint32_t sqid = token->qid;
	uint32_t n = token->count;

	ctrl->sq[sqid].fetching = false;
	ctrl->outstanding--;
	if (ctrl->draining) {
		nvme_drain_check(ctrl);
		return;
	}
	if (ctrl->sq[sqid].deleter) {
		if (ctrl->sq[sqid].active == 0)
			nvme_sq_deleted(ctrl, sqid);
		nvme_turn(ctrl);
		return;
	}
	if (status < 0)
		nvme_fatal(ctrl, "a submission queue cannot be read");
	else
		sq_take(ctrl, sqid, (const uint8_t *)ctrl->arena->fetch[sqid], n);
	if (sq_available(ctrl, sqid) > 0)
		nvme_bit_set(ctrl->ready, sqid);
	nvme_turn(ctrl);
}

static uint32_t sq_fetch_by_message(struct nvme_ctrl *ctrl, uint32_t sqid, uint64_t at, uint32_t n)
{
	struct nvme_token *token = &ctrl->arena->fetch_tokens[sqid];
	int rc;

	*token = (struct nvme_token){.ctrl = ctrl, .qid = sqid, .count = n};
	rc = nvme_host->dma_read(ctrl->mdev, at, ctrl->arena->fetch[sqid],
				 n * sizeof(struct nvme_sqe), sq_fetched, token);
	if (rc == -EINPROGRESS) {
		ctrl->sq[sqid].fetching = true;
		ctrl->outstanding++;
		return 0;
	}
	if (rc < 0) {
		nvme_fatal(ctrl, "a submission queue cannot be read");
		return 0;
	}
	sq_take(ctrl, sqid, (const uint8_t *)ctrl->arena->fetch[sqid], n);
	return n;
}

/* Fetches one batch of @sqid. Returns how many commands were begun. */
static uint32_t sq_fetch(struct nvme_ctrl *ctrl, uint32_t sqid)
{
	const struct nvme_state_sq *st = &ctrl->state->sq[sqid];
	uint32_t n = sq_fetchable(ctrl, sqid);
	uint64_t at = st->base + (uint64_t)ctrl->sq[sqid].head * sizeof(struct nvme_sqe);
	struct iovec iov;
	int rc;

	if (n == 0)
		return 0;
	rc = nvme_host->dma_map(ctrl->mdev, at, n * sizeof(struct nvme_sqe), UMDEV_DMA_READ, &iov,
				1);
	if (rc == -E2BIG) {
		n = 1;
		rc = nvme_host->dma_map(ctrl->mdev, at, sizeof(struct nvme_sqe), UMDEV_DMA_READ,
					&iov, 1);
	}
	if (rc == -EREMOTE)
		return sq_fetch_by_message(ctrl, sqid, at, n);
	if (rc != 1) {
		nvme_fatal(ctrl, "a submission queue is outside of guest memory");
		return 0;
	}
	sq_take(ctrl, sqid, iov.iov_base, n);
	return n;
}

/* The next queue in turn with entries, or NVME_QUEUES. */
static uint32_t sq_next(const struct nvme_ctrl *ctrl, const uint64_t ready[2], uint32_t after)
{
	for (uint32_t i = 1; i <= NVME_QUEUES; i++) {
		uint32_t sqid = (after + i) % NVME_QUEUES;

		if (nvme_bit_test(ready, sqid))
			return sqid;
	}
	return NVME_QUEUES;
}

uint32_t nvme_service(struct nvme_ctrl *ctrl)
{
	uint64_t round[2] = {ctrl->ready[0], ctrl->ready[1]};
	uint32_t total = 0;

	/* Each turn of the loop serves one batch of the next queue; those that can give nothing now
	 * leave the round. */
	while (ctrl->running && (round[0] | round[1]) && total < SERVICE_BUDGET) {
		uint32_t sqid = sq_next(ctrl, round, ctrl->last_sq);
		uint32_t n = sq_fetch(ctrl, sqid);

		ctrl->last_sq = sqid;
		total += n;
		/* One batch of the admin queue a turn: what is done at once there is bounded so. */
		if (n == 0 || sqid == 0)
			nvme_bit_clear(round, sqid);
		if (sq_available(ctrl, sqid) == 0) {
			nvme_bit_clear(round, sqid);
			nvme_bit_clear(ctrl->ready, sqid);
		}
	}
	return total;
}

bool nvme_can_fetch(const struct nvme_ctrl *ctrl)
{
	for (uint32_t word = 0; word < 2; word++) {
		uint64_t ready = ctrl->ready[word];

		while (ready) {
			if (sq_fetchable(ctrl, word * 64 + (uint32_t)__builtin_ctzll(ready)) > 0)
				return true;
			ready &= ready - 1;
		}
	}
	return false;
}

void nvme_turn(struct nvme_ctrl *ctrl)
{
	uint32_t served = 0;

	/* Completions make room for submissions, some of which end at once. */
	if (ctrl->serving)
		return;
	ctrl->serving = true;
	nvme_buffers_serve(ctrl);
	nvme_completions_post(ctrl);
	if (ctrl->replay == NVME_REPLAY_ALONE) {
		nvme_replay_step(ctrl);
		nvme_completions_post(ctrl);
	}
	if (ctrl->running && (ctrl->ready[0] | ctrl->ready[1])) {
		served = nvme_service(ctrl);
		nvme_completions_post(ctrl);
	}
	ctrl->serving = false;
	nvme_polling_update(ctrl, served > 0);
}
