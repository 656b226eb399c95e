/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The admin command set (NVM Express 1.4c, chapter 5): dispatch, queues, Abort. All of it is done
 * by the host's thread at once, except deletions that wait for what is in progress and replies to
 * message-only memory.
 *
 * Commands are jobs of an engine of their own, so that the host decides when a guest's admin queue
 * has its turn. A job lasts as long as the host's thread works on the command without a pause: who
 * waits for its client, for a buffer or for other commands holds no place of the engine, so nobody
 * can keep the others out of it. Asynchronous Event Requests, which only park, and Abort, which has
 * to find what is queued, are done when they are fetched.
 *
 * A command that an earlier process began may have had its effect already: creating and deleting
 * queues then takes the effect for its own.
 */
#include "core.h"

/* ---- Replies ---- */

static void admin_buffer(struct nvme_request *req, uint32_t status)
{
	req->fill(req);
}

static void admin_located(struct nvme_request *req, uint32_t status)
{
	if (status == NVME_OK)
		nvme_buffer_get(req, false, admin_buffer);
	else
		nvme_finish(req, status);
}

void nvme_admin_send(struct nvme_request *req, uint32_t length,
		     void (*fill)(struct nvme_request *req))
{
	req->fill = fill;
	req->length = length;
	nvme_dptr_read(req, admin_located);
}

void nvme_admin_reply(struct nvme_request *req, uint32_t length)
{
	if (length < req->length)
		req->length = length;
	nvme_copy(req, true, nvme_finish);
}

/* ---- Creating queues ---- */

static bool admin_replayed_sq(const struct nvme_request *req, uint32_t qid, uint32_t size)
{
	const struct nvme_state_sq *sq = &req->ctrl->state->sq[qid];

	return req->replayed && sq->size == size && sq->base == req->cmd->sqe.prp1;
}

static bool admin_replayed_cq(const struct nvme_request *req, uint32_t qid, uint32_t size)
{
	const struct nvme_state_cq *cq = &req->ctrl->state->cq[qid];

	return req->replayed && cq->size == size && cq->base == req->cmd->sqe.prp1;
}

/* What holds for both kinds of queue. */
static uint32_t admin_check_queue(struct nvme_request *req, uint32_t entry_size)
{
	const struct nvme_ctrl *ctrl = req->ctrl;
	const struct nvme_sqe *sqe = &req->cmd->sqe;
	uint32_t size = (sqe->cdw10 >> 16) + 1;

	req->location = 42;
	if (size < 2 || size > NVME_ENTRIES_MAX)
		return NVME_BAD_QUEUE_SIZE;
	req->location = 44;
	if (!(sqe->cdw11 & 1u)) /* not contiguous */
		return NVME_BAD_FIELD;
	req->location = 24;
	if (sqe->prp1 & ((1ull << ctrl->page_shift) - 1))
		return NVME_PRP_BAD_OFFSET;
	if (sqe->prp1 > UINT64_MAX - (uint64_t)size * entry_size)
		return NVME_BAD_FIELD;
	return NVME_OK;
}

static uint32_t admin_create_cq(struct nvme_request *req)
{
	struct nvme_ctrl *ctrl = req->ctrl;
	const struct nvme_sqe *sqe = &req->cmd->sqe;
	uint32_t qid = sqe->cdw10 & 0xffffu;
	uint32_t size = (sqe->cdw10 >> 16) + 1;
	uint32_t vector = sqe->cdw11 >> 16;
	bool irq = sqe->cdw11 & 2u;
	uint32_t status;

	req->location = 40;
	if (qid == 0 || qid > (ctrl->state->features.queues >> 16) + 1)
		return NVME_BAD_QID;
	if (admin_replayed_cq(req, qid, size))
		return NVME_OK;
	if (ctrl->state->cq[qid].size > 0)
		return NVME_BAD_QID;
	status = admin_check_queue(req, sizeof(struct nvme_cqe));
	if (status != NVME_OK)
		return status;
	if (NVME_CC_IOCQES(ctrl->state->cc) != 4)
		return NVME_BAD_FIELD;
	req->location = 46;
	if (!irq)
		vector = 0; /* means nothing then, and may be any number */
	if (vector >= ctrl->vectors)
		return NVME_BAD_VECTOR;
	ctrl->cq[qid].tail = 0;
	ctrl->cq[qid].phase = 1;
	ctrl->cq[qid].users = 0;
	nvme_doorbell_clear(ctrl, qid, true);
	ctrl->state->cq[qid] = (struct nvme_state_cq){
		.base = sqe->prp1, .size = size, .vector = (uint16_t)vector, .irq = irq};
	return NVME_OK;
}

static uint32_t admin_create_sq(struct nvme_request *req)
{
	struct nvme_ctrl *ctrl = req->ctrl;
	const struct nvme_sqe *sqe = &req->cmd->sqe;
	uint32_t qid = sqe->cdw10 & 0xffffu;
	uint32_t size = (sqe->cdw10 >> 16) + 1;
	uint32_t cqid = sqe->cdw11 >> 16;
	uint32_t status;

	req->location = 40;
	if (qid == 0 || qid > (ctrl->state->features.queues & 0xffffu) + 1)
		return NVME_BAD_QID;
	if (admin_replayed_sq(req, qid, size))
		return NVME_OK;
	if (ctrl->state->sq[qid].size > 0)
		return NVME_BAD_QID;
	status = admin_check_queue(req, sizeof(struct nvme_sqe));
	if (status != NVME_OK)
		return status;
	if (NVME_CC_IOSQES(ctrl->state->cc) != 6)
		return NVME_BAD_FIELD;
	req->location = 46;
	if (cqid == 0 || cqid > (ctrl->state->features.queues >> 16) + 1)
		return NVME_BAD_QID;
	if (ctrl->state->cq[cqid].size == 0 || ctrl->cq[cqid].deleter)
		return NVME_BAD_CQ;
	ctrl->sq[qid] = (struct nvme_sq){.head = 0};
	ctrl->cq[cqid].users++;
	nvme_doorbell_clear(ctrl, qid, false);
	ctrl->state->sq[qid] =
		(struct nvme_state_sq){.base = sqe->prp1, .size = size, .cqid = (uint16_t)cqid};
	return NVME_OK;
}

/* ---- Deleting queues ---- */

static void admin_park(struct nvme_request *req)
{
	req->stage = NVME_STAGE_PARKED;
	req->ctrl->working--;
	nvme_replay_ended(req);
}

/* Takes a command back that the storage has not begun. Returns whether that could be done. */
static bool admin_take_back(struct nvme_request *req)
{
	if (req->stage == NVME_STAGE_QUEUED)
		return nvme_job_withdraw(req);
	if (req->stage != NVME_STAGE_BUFFER)
		return false;
	TAILQ_REMOVE(&req->ctrl->waiting[req->large], req, link);
	return true;
}

void nvme_sq_deleted(struct nvme_ctrl *ctrl, uint32_t sqid)
{
	struct nvme_request *deleter = ctrl->sq[sqid].deleter;
	uint32_t cqid = ctrl->state->sq[sqid].cqid;

	/* What does not fit into the completion queue now is lost with the queue. */
	nvme_completions_post(ctrl);
	nvme_completions_drop(ctrl, cqid, sqid);
	ctrl->cq[cqid].users--;
	nvme_bit_clear(ctrl->ready, sqid);
	ctrl->state->sq[sqid] = (struct nvme_state_sq){.size = 0};
	ctrl->sq[sqid] = (struct nvme_sq){.head = 0};
	nvme_finish(deleter, NVME_OK);
}

void nvme_cq_deleted(struct nvme_ctrl *ctrl, uint32_t cqid)
{
	struct nvme_request *deleter = ctrl->cq[cqid].deleter;

	nvme_completions_drop(ctrl, cqid, NVME_QUEUES);
	nvme_bit_clear(ctrl->cq_dirty, cqid);
	ctrl->cq[cqid].deleter = NULL;
	ctrl->state->cq[cqid] = (struct nvme_state_cq){.size = 0};
	nvme_irq_update(ctrl);
	nvme_finish(deleter, NVME_OK);
}

static void admin_delete_sq(struct nvme_request *req)
{
	struct nvme_ctrl *ctrl = req->ctrl;
	uint32_t qid = req->cmd->sqe.cdw10 & 0xffffu;

	req->location = 40;
	if (qid == 0 || qid > ctrl->queues || ctrl->state->sq[qid].size == 0 ||
	    ctrl->sq[qid].deleter) {
		nvme_finish(req, req->replayed && qid > 0 && qid <= ctrl->queues ? NVME_OK
										 : NVME_BAD_QID);
		return;
	}
	admin_park(req);
	/* The parked command itself is the last to go, so the queue lives until the loop is over.
	 */
	ctrl->sq[qid].active++;
	ctrl->sq[qid].deleter = req;
	for (uint32_t i = 0; i < ctrl->used; i++) {
		struct nvme_request *other = &ctrl->arena->requests[i];

		if (other->stage != NVME_STAGE_FREE && other->stage != NVME_STAGE_DONE &&
		    other->cmd->sqid == qid && admin_take_back(other))
			nvme_finish(other, NVME_ABORTED_SQ_DELETED);
	}
	ctrl->sq[qid].active--;
	if (ctrl->sq[qid].active == 0 && !ctrl->sq[qid].fetching)
		nvme_sq_deleted(ctrl, qid);
}

static void admin_delete_cq(struct nvme_request *req)
{
	struct nvme_ctrl *ctrl = req->ctrl;
	uint32_t qid = req->cmd->sqe.cdw10 & 0xffffu;

	req->location = 40;
	if (qid == 0 || qid > ctrl->queues || ctrl->state->cq[qid].size == 0 ||
	    ctrl->cq[qid].deleter) {
		nvme_finish(req, req->replayed && qid > 0 && qid <= ctrl->queues ? NVME_OK
										 : NVME_BAD_QID);
		return;
	}
	if (ctrl->cq[qid].users > 0) {
		nvme_finish(req, NVME_BAD_DELETION);
		return;
	}
	admin_park(req);
	ctrl->cq[qid].deleter = req;
	if (!ctrl->cq[qid].writing)
		nvme_cq_deleted(ctrl, qid);
}

/* ---- Abort ---- */

static void admin_abort(struct nvme_request *req)
{
	struct nvme_ctrl *ctrl = req->ctrl;
	uint32_t sqid = req->cmd->sqe.cdw10 & 0xffffu;
	uint32_t cid = req->cmd->sqe.cdw10 >> 16;

	req->cmd->result = 1; /* not aborted */
	for (uint32_t i = 0; i < ctrl->used; i++) {
		struct nvme_request *other = &ctrl->arena->requests[i];

		if (other == req || other->stage == NVME_STAGE_FREE ||
		    other->stage == NVME_STAGE_DONE || other->cmd->sqid != sqid ||
		    other->cmd->sqe.cid != cid)
			continue;
		if (other->stage == NVME_STAGE_PARKED && sqid == 0 &&
		    other->cmd->sqe.opcode == NVME_ADMIN_ASYNC_EVENT)
			nvme_event_forget(other);
		else if (!admin_take_back(other))
			continue;
		req->cmd->result = 0;
		nvme_finish(other, NVME_ABORTED);
		break;
	}
	nvme_finish(req, NVME_OK);
}

/* ---- Dispatch ---- */

static void admin_command(struct nvme_request *req)
{
	struct nvme_ctrl *ctrl = req->ctrl;
	const struct nvme_sqe *sqe = &req->cmd->sqe;

	req->location = 1;
	if (NVME_FUSE(sqe->flags) != 0 || NVME_PSDT(sqe->flags) != 0) {
		nvme_finish(req, NVME_BAD_FIELD); /* SGLs are not for admin commands on PCI */
		return;
	}
	switch (sqe->opcode) {
	case NVME_ADMIN_DELETE_SQ:
		admin_delete_sq(req);
		break;
	case NVME_ADMIN_CREATE_SQ:
		nvme_finish(req, admin_create_sq(req));
		break;
	case NVME_ADMIN_GET_LOG:
		nvme_get_log(req);
		break;
	case NVME_ADMIN_DELETE_CQ:
		admin_delete_cq(req);
		break;
	case NVME_ADMIN_CREATE_CQ:
		nvme_finish(req, admin_create_cq(req));
		break;
	case NVME_ADMIN_IDENTIFY:
		nvme_identify(req);
		break;
	case NVME_ADMIN_ABORT:
		admin_abort(req);
		break;
	case NVME_ADMIN_SET_FEATURES:
		nvme_set_features(req);
		break;
	case NVME_ADMIN_GET_FEATURES:
		nvme_get_features(req);
		break;
	case NVME_ADMIN_ASYNC_EVENT:
		nvme_event_request(req);
		break;
	case NVME_ADMIN_DOORBELL_BUF:
		req->location = ctrl->shared ? 0 : 24;
		nvme_finish(req, nvme_doorbell_config(ctrl, sqe->prp1, sqe->prp2));
		break;
	default:
		req->location = 0;
		nvme_finish(req, NVME_BAD_OPCODE);
		break;
	}
}

void nvme_admin_begin(struct nvme_request *req)
{
	uint8_t opcode = req->cmd->sqe.opcode;

	if (opcode == NVME_ADMIN_ABORT || opcode == NVME_ADMIN_ASYNC_EVENT) {
		admin_command(req);
		return;
	}
	nvme_job_submit(req, NVME_ENGINE_ADMIN);
}

void nvme_admin_start(struct nvme_request *req)
{
	req->stage = NVME_STAGE_LISTS;
	req->in_job = 1;
	admin_command(req);
	/* It pauses or waits now; if it has ended, so has the job. */
	nvme_admin_job_end(req);
}

void nvme_admin_job_end(struct nvme_request *req)
{
	if (!req->in_job)
		return;
	req->in_job = 0;
	nvme_host->job_done(req->ctrl->mdev, &req->job);
}
