/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The end of everything in flight: controller reset by CC.EN, function and device resets, a client
 * that leaves.
 *
 * A drain takes back what has not started, hurries what has, waits for what it cannot hurry, and
 * tells the guest nothing. Whatever then ends finds ctrl->draining set, is released instead of
 * completed, and calls nvme_drain_check(); the last one brings the controller to its reset state.
 */
#include <errno.h>
#include <string.h>

#include "core.h"

void nvme_fatal(struct nvme_ctrl *ctrl, const char *what)
{
	if (ctrl->state->csts & NVME_CSTS_CFS)
		return;
	ctrl->state->csts |= NVME_CSTS_CFS;
	ctrl->running = false;
	ctrl->counters.fatal++;
	nvme_host->event(ctrl->mdev, "controller fatal status: %s", what);
}

static void drain_request(struct nvme_request *req)
{
	struct nvme_ctrl *ctrl = req->ctrl;

	switch (req->stage) {
	case NVME_STAGE_BUFFER:
		TAILQ_REMOVE(&ctrl->waiting[req->large], req, link);
		nvme_request_release(req);
		break;
	case NVME_STAGE_QUEUED:
		if (nvme_job_withdraw(req))
			nvme_request_release(req);
		break;
	case NVME_STAGE_STARTED:
		if (ctrl->parent->service && nvme_service_cancel(req))
			break;
		ctrl->parent->backend->ops->cancel(ctrl->parent->backend, &req->io);
		break;
	case NVME_STAGE_PARKED:
		nvme_request_release(req);
		break;
	default:
		break; /* free, done (by queue), or a transfer that will end */
	}
}

static void drain_flush(struct nvme_ctrl *ctrl)
{
	struct nvme_request *req = &ctrl->arena->requests[NVME_FLUSH_REQUEST];

	if (!ctrl->flushing)
		return;
	if (req->stage == NVME_STAGE_QUEUED && nvme_job_withdraw(req)) {
		req->stage = NVME_STAGE_FREE;
		ctrl->flushing = false;
		ctrl->outstanding--;
	} else if (req->stage == NVME_STAGE_STARTED && ctrl->parent->service) {
		(void)nvme_service_cancel(req);
	}
}

/* Controller reset state (7.3.2): queues, features, events and doorbells are gone. */
static void ctrl_clear(struct nvme_ctrl *ctrl)
{
	struct nvme_state *st = ctrl->state;

	memset(st->sq, 0, sizeof(st->sq));
	memset(st->cq, 0, sizeof(st->cq));
	memset(ctrl->sq, 0, sizeof(ctrl->sq));
	for (uint32_t i = 0; i < NVME_QUEUES; i++) {
		ctrl->cq[i].tail = 0;
		ctrl->cq[i].users = 0;
		ctrl->cq[i].phase = 1;
		ctrl->cq[i].deleter = NULL;
	}
	memset(ctrl->ready, 0, sizeof(ctrl->ready));
	memset(ctrl->cq_dirty, 0, sizeof(ctrl->cq_dirty));
	memset(ctrl->bad_tail, 0, sizeof(ctrl->bad_tail));
	memset(ctrl->bad_head, 0, sizeof(ctrl->bad_head));
	ctrl->irq_held = 0;
	st->csts = 0;
	st->intms = 0;
	st->shadow = 0;
	st->eventidx = 0;
	st->event_slot_count = 0;
	st->pending_count = 0;
	st->events_masked = 0;
	st->warned = 0;
	nvme_features_init(ctrl);
	if (st->intx)
		nvme_host->irq_lower(ctrl->mdev);
	st->intx = 0;
}

static void ctrl_drained(struct nvme_ctrl *ctrl)
{
	struct nvme_state *st = ctrl->state;
	bool reset = ctrl->reset_asked;

	ctrl->draining = false;
	ctrl_clear(ctrl);
	if (reset) {
		ctrl->reset_asked = 0;
		st->cc = 0;
		st->aqa = 0;
		st->asq = 0;
		st->acq = 0;
	} else {
		/* The guest may have enabled it again, or asked for shutdown, meanwhile. */
		nvme_cc_changed(ctrl, 0);
	}
	nvme_polling_update(ctrl, false);
}

void nvme_drain_check(struct nvme_ctrl *ctrl)
{
	bool reset = ctrl->reset_asked;

	if (!ctrl->draining || ctrl->outstanding > 0 || ctrl->drain_held)
		return;
	if (ctrl->leaving) {
		nvme_host->quiesce_done(ctrl->mdev);
		return;
	}
	ctrl_drained(ctrl);
	if (reset)
		nvme_host->reset_done(ctrl->mdev);
}

/* Returns whether nothing is left in flight. */
static bool drain_begin(struct nvme_ctrl *ctrl)
{
	bool again = ctrl->draining;

	ctrl->draining = true;
	ctrl->running = false;
	if (again)
		return ctrl->outstanding == 0;
	/* Ends that are reported from within the loop must not finish the drain below it. */
	ctrl->drain_held = true;
	nvme_replay_stop(ctrl);
	for (uint32_t i = 0; i < NVME_QUEUES; i++)
		nvme_completions_drop(ctrl, i, NVME_QUEUES);
	for (uint32_t i = 0; i < ctrl->used; i++)
		drain_request(&ctrl->arena->requests[i]);
	drain_flush(ctrl);
	ctrl->drain_held = false;
	return ctrl->outstanding == 0;
}

void nvme_drain(struct nvme_ctrl *ctrl)
{
	if (drain_begin(ctrl))
		ctrl_drained(ctrl);
}

int nvme_quiesce(void *mdev_priv)
{
	struct nvme_ctrl *ctrl = mdev_priv;

	nvme_host->timer(ctrl->mdev, NVME_TIMER_SHARED, 0, NULL, NULL);
	nvme_host->timer(ctrl->mdev, NVME_TIMER_RESUME, 0, NULL, NULL);
	ctrl->leaving = true;
	/* What an earlier process left stands in the state still. */
	if (ctrl->resuming)
		return 0;
	return drain_begin(ctrl) ? 0 : -EINPROGRESS;
}

int nvme_reset(void *mdev_priv, uint32_t kind)
{
	struct nvme_ctrl *ctrl = mdev_priv;
	struct nvme_state *st = ctrl->state;

	if (kind == UMDEV_RESET_LOST && (st->csts & NVME_CSTS_RDY) &&
	    (st->csts & NVME_CSTS_SHST_MASK) != NVME_CSTS_SHST_DONE)
		st->smart.unsafe_shutdowns++;
	ctrl->reset_asked = 1;
	nvme_host->timer(ctrl->mdev, NVME_TIMER_SHARED, 0, NULL, NULL);
	nvme_host->timer(ctrl->mdev, NVME_TIMER_RESUME, 0, NULL, NULL);
	ctrl->timer_armed = false;
	ctrl->resuming = false;
	if (!drain_begin(ctrl))
		return -EINPROGRESS;
	ctrl_drained(ctrl);
	return 0;
}
