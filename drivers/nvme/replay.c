/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands that an earlier process had begun begin anew, and the one that processes die of is
 * found, so that it ends with an error instead of killing one host after another.
 *
 * The suspect. While a process works on a command, the page names it (nvme_suspect_begin()). Who
 * finds a name there counts a death against that command; a command that ends takes its count
 * along. So it is not enough to be in flight when hosts die: somebody has to die over that very
 * command, NVME_DEATHS_MAX times, and it must never have ended in between. Kills at random moments
 * do not do that.
 *
 * Together, or alone. A process dies of a command also while it only waits for it, and then nobody
 * is named. Usually all commands begin anew together. When a process died before these had ended,
 * the next one begins them one after the other, each named from its beginning to its end unless it
 * waits for its turn at the storage, and fetches nothing new meanwhile. One that takes half a
 * second is not what the process before died of: then the others go on, too.
 *
 * The sentence. A command with so many deaths is not begun again but ends as an internal error. The
 * guest is told after a pause in which the process has proven itself to its broker: whatever the
 * guest does then, the next death is the first one of a new count. For the same reason the other
 * commands of this controller begin after it, too: another one like it may be among them.
 */
#include <errno.h>

#include "core.h"
#include "fault.h"

#define REPLAY_PROVEN_NS 500000000u
#define REPLAY_PAUSE_NS	 1000000000u

/* ---- The suspect ---- */

static void suspect_name(struct nvme_ctrl *ctrl, uint32_t suspect)
{
	__atomic_store_n(&ctrl->state->suspect, suspect, __ATOMIC_RELEASE);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static void replay_late(void *arg);

static bool replay_lasts(const struct nvme_request *req)
{
	return req->stage != NVME_STAGE_FREE && req->stage != NVME_STAGE_DONE &&
	       req->stage != NVME_STAGE_PARKED;
}

uint32_t nvme_suspect_begin(struct nvme_request *req)
{
	uint32_t before = req->ctrl->state->suspect;

	/* Our own flush has no slot: it is not in the page. */
	if (req->index >= NVME_SLOTS)
		return before;
	suspect_name(req->ctrl, req->index + 1);
	/* The name that one alone has all the time is not for later. */
	return before == req->index + 1 ? 0 : before;
}

void nvme_suspect_end(struct nvme_request *req, uint32_t before)
{
	struct nvme_ctrl *ctrl = req->ctrl;
	bool works;

	if (ctrl->alone != req) {
		suspect_name(ctrl, before);
		return;
	}
	works = replay_lasts(req) && req->stage != NVME_STAGE_QUEUED;
	suspect_name(ctrl, works ? req->index + 1 : 0);
	nvme_host->timer(ctrl->mdev, NVME_TIMER_REPLAY,
			 works ? nvme_host->now_ns() + REPLAY_PROVEN_NS : 0, replay_late, ctrl);
	if (!replay_lasts(req))
		nvme_mark_dirty(ctrl); /* so that the next one begins */
}

void nvme_suspect_count(struct nvme_ctrl *ctrl)
{
	uint32_t suspect = ctrl->state->suspect;

	suspect_name(ctrl, 0); /* first: rather a death too few than one twice */
	if (suspect == 0 || ctrl->state->cmds[suspect - 1].phase != NVME_SLOT_ACTIVE)
		return;
	if (ctrl->state->cmds[suspect - 1].deaths < NVME_DEATHS_MAX)
		ctrl->state->cmds[suspect - 1].deaths++;
}

/* ---- Beginning anew ---- */

/* Begins a command anew that an earlier process had begun. */
static void replay_command(struct nvme_request *req)
{
	struct nvme_ctrl *ctrl = req->ctrl;

	req->replayed = 1;
	req->cmd->result = 0;
	ctrl->sq[req->cmd->sqid].active--; /* nvme_dispatch() counts it */
	nvme_dispatch(req);
}

static bool replay_waits(const struct nvme_request *req)
{
	return req->stage == NVME_STAGE_PARKED && req->replaying && !req->replayed;
}

/* The next in turn. Admin commands build on each other, so they begin anew first and in the order
 * in which they were fetched. */
static struct nvme_request *replay_next(struct nvme_ctrl *ctrl)
{
	struct nvme_request *first = NULL;

	for (uint32_t i = 0; i < ctrl->used; i++) {
		struct nvme_request *req = &ctrl->arena->requests[i];

		if (!replay_waits(req))
			continue;
		if (!first || (req->cmd->sqid == 0 &&
			       (first->cmd->sqid != 0 || req->cmd->sq_seq < first->cmd->sq_seq)))
			first = req;
	}
	return first;
}

/* No death has to be explained by what an earlier process left any more. */
static void replay_over(struct nvme_ctrl *ctrl)
{
	ctrl->replay = NVME_REPLAY_NONE;
	ctrl->alone = NULL;
	suspect_name(ctrl, 0);
	ctrl->state->replays = 0;
	nvme_host->timer(ctrl->mdev, NVME_TIMER_REPLAY, 0, NULL, NULL);
}

static void replay_together(struct nvme_ctrl *ctrl)
{
	struct nvme_request *req = replay_next(ctrl);

	/* Few admin commands, but up to all slots of others: those need no order. */
	for (; req && req->cmd->sqid == 0 && ctrl->running; req = replay_next(ctrl))
		replay_command(req);
	for (uint32_t i = 0; i < ctrl->used && ctrl->running; i++) {
		req = &ctrl->arena->requests[i];
		if (replay_waits(req))
			replay_command(req);
	}
}

/* It has lived for half a second: nobody dies so late of what was begun at first. */
static void replay_late(void *arg)
{
	struct nvme_ctrl *ctrl = arg;

	replay_over(ctrl);
	replay_together(ctrl);
	nvme_turn(ctrl);
}

void nvme_replay_step(struct nvme_ctrl *ctrl)
{
	while (ctrl->replay == NVME_REPLAY_ALONE && ctrl->running) {
		if (ctrl->alone && replay_lasts(ctrl->alone))
			return;
		ctrl->alone = replay_next(ctrl);
		if (ctrl->alone)
			replay_command(ctrl->alone);
		else
			replay_over(ctrl);
	}
}

void nvme_replay_ended(struct nvme_request *req)
{
	struct nvme_ctrl *ctrl = req->ctrl;

	if (!req->replaying)
		return;
	req->replaying = 0;
	if (--ctrl->replay_left == 0 && ctrl->replay == NVME_REPLAY_NONE)
		replay_over(ctrl);
}

void nvme_replay_stop(struct nvme_ctrl *ctrl)
{
	replay_over(ctrl);
	nvme_host->timer(ctrl->mdev, NVME_TIMER_RESUME, 0, NULL, NULL);
}

/* ---- The sentence ---- */

static void replay_end(struct nvme_request *req)
{
	const struct nvme_sqe *sqe = &req->cmd->sqe;

	nvme_host->event(
		req->ctrl->mdev,
		"%u hosts died over a command of queue %u: cid %u, opcode %02xh, cdw10 %xh, "
		"cdw11 %xh, cdw12 %xh; it ends with an internal error",
		NVME_DEATHS_MAX, req->cmd->sqid, sqe->cid, sqe->opcode, sqe->cdw10, sqe->cdw11,
		sqe->cdw12);
	req->location = 0xffff;
	nvme_finish(req, NVME_INTERNAL_NO_RETRY);
	nvme_event_raise(req->ctrl, NVME_EVENT_ERROR, NVME_EVENT_ERROR_TRANSIENT, NVME_LOG_ERROR);
}

static bool replay_guilty(const struct nvme_request *req)
{
	return replay_waits(req) && req->cmd->deaths >= NVME_DEATHS_MAX;
}

static bool replay_any_guilty(const struct nvme_ctrl *ctrl)
{
	for (uint32_t i = 0; i < ctrl->used; i++) {
		if (replay_guilty(&ctrl->arena->requests[i]))
			return true;
	}
	return false;
}

static void replay_begin(void *arg)
{
	struct nvme_ctrl *ctrl = arg;
	struct nvme_state *st = ctrl->state;
	bool alone = st->replays > 0;

	for (uint32_t i = 0; i < ctrl->used && ctrl->running; i++) {
		struct nvme_request *req = &ctrl->arena->requests[i];

		if (!replay_guilty(req))
			continue;
		replay_end(req);
		alone = true;
	}
	ctrl->replay = alone ? NVME_REPLAY_ALONE : NVME_REPLAY_NONE;
	if (ctrl->replay_left == 0) {
		replay_over(ctrl);
	} else if (ctrl->running) {
		__atomic_store_n(&st->replays, 1, __ATOMIC_RELEASE);
		FAULT_POINT("replay.begun");
		if (!alone) {
			nvme_host->timer(ctrl->mdev, NVME_TIMER_REPLAY,
					 nvme_host->now_ns() + REPLAY_PROVEN_NS, replay_late, ctrl);
			replay_together(ctrl);
		}
	}
	FAULT_POINT("resume.replayed");
	nvme_doorbell_scan(ctrl);
	ctrl->last_work_ns = 0;
	nvme_turn(ctrl);
}

void nvme_replay(struct nvme_ctrl *ctrl, bool now)
{
	uint64_t when_ns = nvme_host->now_ns();

	ctrl->replay_left = 0;
	for (uint32_t i = 0; i < ctrl->used; i++) {
		struct nvme_request *req = &ctrl->arena->requests[i];

		req->replaying =
			req->stage == NVME_STAGE_PARKED && req->cmd->phase == NVME_SLOT_ACTIVE;
		ctrl->replay_left += req->replaying;
		if (req->replaying && req->cmd->deaths == NVME_DEATHS_MAX - 1)
			FAULT_SPARE();
	}
	ctrl->replay = NVME_REPLAY_DUE;
	if (replay_any_guilty(ctrl)) {
		when_ns += REPLAY_PAUSE_NS;
		now = false;
	}
	if (now)
		replay_begin(ctrl);
	else
		nvme_host->timer(ctrl->mdev, NVME_TIMER_RESUME, when_ns, replay_begin, ctrl);
}
