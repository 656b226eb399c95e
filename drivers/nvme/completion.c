/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Completion queues, interrupts and the error log.
 *
 * Order of every completion: the slot says ENDING and where its entry goes, the entry is written,
 * the count moves, the slot becomes free. Entries of one round are written under one translation
 * and announced by one interrupt.
 */
#include <errno.h>
#include <string.h>

#include "core.h"
#include "fault.h"

void nvme_mark_dirty(struct nvme_ctrl *ctrl)
{
	if (ctrl->in_dirty)
		return;
	ctrl->in_dirty = true;
	TAILQ_INSERT_TAIL(&ctrl->parent->dirty, ctrl, dirty_link);
}

uint32_t nvme_error_log(struct nvme_ctrl *ctrl, const struct nvme_request *req, uint32_t status)
{
	struct nvme_state *st = ctrl->state;
	struct nvme_log_error *entry = &st->errors[st->error_count % NVME_ERRORS];

	*entry = (struct nvme_log_error){
		.error_count = st->error_count + 1,
		.sqid = 0xffff,
		.cid = 0xffff,
		.location = 0xffff,
		.status = (uint16_t)(status << 1),
	};
	if (req) {
		entry->sqid = req->cmd->sqid;
		entry->cid = req->cmd->sqe.cid;
		entry->nsid = req->cmd->sqe.nsid;
		entry->location = (uint16_t)req->location;
		if (req->cmd->sqid != 0)
			entry->lba = (uint64_t)req->cmd->sqe.cdw11 << 32 | req->cmd->sqe.cdw10;
	}
	st->error_count++;
	return status | NVME_MORE;
}

static bool status_is_logged(uint32_t status)
{
	uint32_t code = status & 0x7ffu;

	return code != NVME_OK && code != NVME_ABORTED && code != NVME_ABORTED_SQ_DELETED &&
	       code != (NVME_EVENT_LIMIT & 0x7ffu);
}

void nvme_finish(struct nvme_request *req, uint32_t status)
{
	struct nvme_ctrl *ctrl = req->ctrl;
	uint32_t sqid = req->cmd->sqid;
	uint32_t cqid = ctrl->state->sq[sqid].cqid;

	ctrl->sq[sqid].active--;
	nvme_admin_job_end(req);
	if (ctrl->draining) {
		nvme_request_release(req);
		nvme_drain_check(ctrl);
		return;
	}
	if (status_is_logged(status)) {
		ctrl->state->smart.errors++;
		status = nvme_error_log(ctrl, req, status);
	}
	if (req->held)
		nvme_host->dma_release(ctrl->mdev, req->hold);
	req->held = 0;
	nvme_buffer_put(req);
	if (req->stage != NVME_STAGE_PARKED)
		ctrl->working--;
	req->stage = NVME_STAGE_DONE;
	nvme_replay_ended(req);
	req->cmd->status = (uint16_t)status;
	ctrl->last_work_ns = 0;
	TAILQ_INSERT_TAIL(&ctrl->cq[cqid].pending, req, link);
	nvme_bit_set(ctrl->cq_dirty, cqid);
	nvme_mark_dirty(ctrl);
	if (ctrl->sq[sqid].deleter && ctrl->sq[sqid].active == 0 && !ctrl->sq[sqid].fetching)
		nvme_sq_deleted(ctrl, sqid);
}

static void cq_fill(struct nvme_ctrl *ctrl, uint32_t cqid, struct nvme_request *req,
		    struct nvme_cqe *ret_cqe)
{
	struct nvme_state_cmd *cmd = req->cmd;

	cmd->cq_seq = ctrl->state->cq[cqid].posted;
	cmd->sq_head = (uint16_t)ctrl->sq[cmd->sqid].head;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	FAULT_POINT("cq.placed");
	cmd->phase = NVME_SLOT_ENDING;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	FAULT_POINT("cq.ending");
	*ret_cqe = (struct nvme_cqe){
		.result = cmd->result,
		.sq_head = cmd->sq_head,
		.sqid = cmd->sqid,
		.cid = cmd->sqe.cid,
		.status = (uint16_t)(cmd->status << 1 | ctrl->cq[cqid].phase),
	};
}

/* The entry of the first pending request is in the guest's memory. */
static void cq_posted(struct nvme_ctrl *ctrl, uint32_t cqid)
{
	struct nvme_cq *cq = &ctrl->cq[cqid];
	struct nvme_request *req = TAILQ_FIRST(&cq->pending);

	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	FAULT_POINT("cq.written");
	ctrl->state->cq[cqid].posted++;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	FAULT_POINT("cq.posted");
	if (++cq->tail == ctrl->state->cq[cqid].size) {
		cq->tail = 0;
		cq->phase ^= 1u;
	}
	TAILQ_REMOVE(&cq->pending, req, link);
	nvme_request_release(req);
}

static uint32_t cq_room(const struct nvme_ctrl *ctrl, uint32_t cqid)
{
	const struct nvme_state_cq *st = &ctrl->state->cq[cqid];
	uint32_t used = ctrl->cq[cqid].tail >= st->head ? ctrl->cq[cqid].tail - st->head
							: st->size - st->head + ctrl->cq[cqid].tail;

	return st->size - 1 - used;
}

static void cq_written(void *arg, int status)
{
	struct nvme_token *token = arg;
	struct nvme_ctrl *ctrl = token->ctrl;
	uint32_t cqid = token->qid;

	ctrl->cq[cqid].writing = false;
	ctrl->outstanding--;
	if (ctrl->draining) {
		nvme_completions_drop(ctrl, cqid, NVME_QUEUES);
		nvme_drain_check(ctrl);
		return;
	}
	if (status < 0) {
		nvme_fatal(ctrl, "a completion queue cannot be written");
	} else {
		cq_posted(ctrl, cqid);
		nvme_irq_raise(ctrl, cqid);
		nvme_bit_set(ctrl->cq_dirty, cqid);
		if (ctrl->cq[cqid].deleter)
			nvme_cq_deleted(ctrl, cqid);
	}
	nvme_turn(ctrl);
}

/* One entry at a time: the next is not begun before this one is there. Returns whether to go on. */
static bool cq_post_by_message(struct nvme_ctrl *ctrl, uint32_t cqid, uint64_t at)
{
	struct nvme_cqe *cqe = &ctrl->arena->post[cqid];
	struct nvme_token *token = &ctrl->arena->post_tokens[cqid];
	int rc;

	*token = (struct nvme_token){.ctrl = ctrl, .qid = cqid, .count = 1};
	cq_fill(ctrl, cqid, TAILQ_FIRST(&ctrl->cq[cqid].pending), cqe);
	rc = nvme_host->dma_write(ctrl->mdev, at, cqe, sizeof(*cqe), cq_written, token);
	if (rc == -EINPROGRESS) {
		ctrl->cq[cqid].writing = true;
		ctrl->outstanding++;
		return false;
	}
	if (rc < 0) {
		nvme_fatal(ctrl, "a completion queue cannot be written");
		return false;
	}
	cq_posted(ctrl, cqid);
	return true;
}

/* Writes up to @n entries at the tail into @to, the status with its phase bit last. */
static uint32_t cq_post_direct(struct nvme_ctrl *ctrl, uint32_t cqid, struct nvme_cqe *to,
			       uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n && !TAILQ_EMPTY(&ctrl->cq[cqid].pending); i++) {
		struct nvme_cqe cqe;
		uint64_t words[2];

		cq_fill(ctrl, cqid, TAILQ_FIRST(&ctrl->cq[cqid].pending), &cqe);
		memcpy(words, &cqe, sizeof(words));
		__atomic_store_n((uint64_t *)(void *)&to[i], words[0], __ATOMIC_RELAXED);
		FAULT_POINT("cq.writing");
		__atomic_store_n((uint64_t *)(void *)&to[i] + 1, words[1], __ATOMIC_RELEASE);
		cq_posted(ctrl, cqid);
	}
	return i;
}

/* Posts one batch. Returns how many entries, 0 when nothing more can be done now. */
static uint32_t cq_post_batch(struct nvme_ctrl *ctrl, uint32_t cqid)
{
	const struct nvme_state_cq *st = &ctrl->state->cq[cqid];
	struct nvme_cq *cq = &ctrl->cq[cqid];
	uint64_t at = st->base + (uint64_t)cq->tail * sizeof(struct nvme_cqe);
	uint32_t n = cq_room(ctrl, cqid);
	uint32_t in_page = (uint32_t)((NVME_PAGE_BYTES - (at & (NVME_PAGE_BYTES - 1))) /
				      sizeof(struct nvme_cqe));
	struct iovec iov;
	int rc;

	/* Its place was settled by an earlier process, and the guest may have taken it already. */
	if (n == 0 && TAILQ_FIRST(&cq->pending)->cmd->phase == NVME_SLOT_ENDING)
		n = 1;
	if (n == 0) {
		nvme_doorbell_head(ctrl, cqid);
		n = cq_room(ctrl, cqid);
	}
	if (n == 0) {
		nvme_doorbell_arm_head(ctrl, cqid);
		n = cq_room(ctrl, cqid);
	}
	n = n < st->size - cq->tail ? n : st->size - cq->tail;
	n = n < in_page ? n : in_page;
	if (n == 0 || cq->writing)
		return 0;
	rc = nvme_host->dma_map(ctrl->mdev, at, n * sizeof(struct nvme_cqe), UMDEV_DMA_WRITE, &iov,
				1);
	if (rc == -E2BIG) {
		n = 1;
		rc = nvme_host->dma_map(ctrl->mdev, at, sizeof(struct nvme_cqe), UMDEV_DMA_WRITE,
					&iov, 1);
	}
	if (rc == -EREMOTE)
		return cq_post_by_message(ctrl, cqid, at) ? 1 : 0;
	if (rc != 1 || (uintptr_t)iov.iov_base % sizeof(struct nvme_cqe) != 0) {
		nvme_fatal(ctrl, "a completion queue is outside of guest memory");
		return 0;
	}
	return cq_post_direct(ctrl, cqid, iov.iov_base, n);
}

static void cq_post(struct nvme_ctrl *ctrl, uint32_t cqid)
{
	bool failed = ctrl->state->csts & NVME_CSTS_CFS;
	uint32_t posted = 0;
	uint32_t n;

	while (!failed && !TAILQ_EMPTY(&ctrl->cq[cqid].pending) &&
	       (n = cq_post_batch(ctrl, cqid)) > 0) {
		posted += n;
		failed = ctrl->state->csts & NVME_CSTS_CFS;
	}
	if (TAILQ_EMPTY(&ctrl->cq[cqid].pending) || ctrl->cq[cqid].writing || failed)
		nvme_bit_clear(ctrl->cq_dirty, cqid);
	if (posted > 0)
		nvme_irq_raise(ctrl, cqid);
}

void nvme_completions_post(struct nvme_ctrl *ctrl)
{
	if (ctrl->in_dirty) {
		ctrl->in_dirty = false;
		TAILQ_REMOVE(&ctrl->parent->dirty, ctrl, dirty_link);
	}
	if (ctrl->draining || !(ctrl->cq_dirty[0] | ctrl->cq_dirty[1]))
		return;
	for (uint32_t word = 0; word < 2; word++) {
		uint64_t dirty = ctrl->cq_dirty[word];

		while (dirty) {
			uint32_t bit = (uint32_t)__builtin_ctzll(dirty);

			dirty &= dirty - 1;
			cq_post(ctrl, word * 64 + bit);
		}
	}
}

void nvme_completions_drop(struct nvme_ctrl *ctrl, uint32_t cqid, uint32_t sqid)
{
	struct nvme_cq *cq = &ctrl->cq[cqid];
	struct nvme_request *req = TAILQ_FIRST(&cq->pending);

	while (req) {
		struct nvme_request *next = TAILQ_NEXT(req, link);
		bool in_writing = cq->writing && req == TAILQ_FIRST(&cq->pending);

		/* The entry that is on its way is left to cq_written(). */
		if (!in_writing && (sqid == NVME_QUEUES || req->cmd->sqid == sqid)) {
			TAILQ_REMOVE(&cq->pending, req, link);
			nvme_request_release(req);
		}
		req = next;
	}
}

/* ---- Interrupts ---- */

static bool irq_masked(const struct nvme_ctrl *ctrl, uint32_t vector)
{
	return ctrl->interrupts != NVME_INTERRUPTS_MSIX && vector < 32 &&
	       (ctrl->state->intms >> vector & 1u);
}

/* By pin all queues share interrupt vector 0, whatever they asked for (3.1.3). */
static bool irq_level_wanted(const struct nvme_ctrl *ctrl)
{
	if (ctrl->state->intms & 1u)
		return false;
	for (uint32_t i = 0; i <= ctrl->queues; i++) {
		const struct nvme_state_cq *st = &ctrl->state->cq[i];

		if (st->size > 0 && st->irq && st->head != ctrl->cq[i].tail)
			return true;
	}
	return false;
}

static void irq_level_update(struct nvme_ctrl *ctrl)
{
	bool wanted;

	for (uint32_t i = 1; i <= ctrl->queues; i++) {
		if (ctrl->state->cq[i].size > 0)
			nvme_doorbell_arm_head(ctrl, i);
	}
	wanted = ctrl->running && irq_level_wanted(ctrl);
	if (wanted && !ctrl->state->intx) {
		ctrl->counters.interrupts++;
		nvme_host->irq_raise(ctrl->mdev, 0);
	} else if (!wanted && ctrl->state->intx) {
		nvme_host->irq_lower(ctrl->mdev);
	}
	ctrl->state->intx = wanted;
}

void nvme_irq_raise(struct nvme_ctrl *ctrl, uint32_t cqid)
{
	const struct nvme_state_cq *st = &ctrl->state->cq[cqid];

	if (!st->irq)
		return;
	if (nvme_host->irq_is_level(ctrl->mdev)) {
		irq_level_update(ctrl);
		return;
	}
	if (irq_masked(ctrl, st->vector)) {
		ctrl->irq_held |= 1ull << st->vector;
		return;
	}
	ctrl->counters.interrupts++;
	FAULT_POINT("irq.raising");
	nvme_host->irq_raise(ctrl->mdev, st->vector);
	FAULT_POINT("irq.raised");
}

void nvme_irq_update(struct nvme_ctrl *ctrl)
{
	if (nvme_host->irq_is_level(ctrl->mdev)) {
		irq_level_update(ctrl);
		return;
	}
	if (ctrl->state->intx) {
		nvme_host->irq_lower(ctrl->mdev);
		ctrl->state->intx = 0;
	}
	for (uint32_t v = 0; v < 32 && ctrl->irq_held; v++) {
		if ((ctrl->irq_held >> v & 1u) && !irq_masked(ctrl, v)) {
			ctrl->irq_held &= ~(1ull << v);
			ctrl->counters.interrupts++;
			nvme_host->irq_raise(ctrl->mdev, v);
		}
	}
}
