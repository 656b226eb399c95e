/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Doorbells: registers that trap, shadow doorbells (NVM Express 1.4c, 7.13), and the shared page;
 * and with them the decision to poll or to sleep.
 *
 * Shadow doorbells: the guest writes tails and heads to one page in its memory and the register
 * only when the value passes the event index that we left in another page. While we poll we leave
 * the event indices behind; before we sleep we publish them, then a full barrier, then look again:
 * either we see the new value or the guest sees our event index. For I/O queues the memory is the
 * truth and the register only a wake-up, since a posted register write may arrive late. The admin
 * queue is always rung by register: its event indices follow every value.
 *
 * Shared page: nothing ever tells us, so after polling a timer looks again, at intervals that grow
 * with the time without work: an eighth of it, within SHARED_MIN_NS and SHARED_MAX_NS.
 *
 * Polling ends poll_us after the last work. While operations are in progress it lasts at least
 * SPIN_NS longer, because their ends are then seen without a wake-up; with service_us it is on
 * before such an end is due (service.c).
 */
#include <errno.h>

#include "core.h"
#include "fault.h"

#define SPIN_NS	      50000u
#define SHARED_MIN_NS 50000u
#define SHARED_MAX_NS 4000000u

static uint32_t *doorbell_map(struct nvme_ctrl *ctrl, uint64_t page, uint32_t access)
{
	struct iovec iov;
	uint64_t len = (uint64_t)(ctrl->queues + 1) * 2 * sizeof(uint32_t);

	if (nvme_host->dma_map(ctrl->mdev, page, len, access, &iov, 1) != 1 ||
	    (uintptr_t)iov.iov_base % sizeof(uint32_t) != 0)
		return NULL;
	return iov.iov_base;
}

/* The memory in which the guest rings, or NULL when it does not. */
static uint32_t *doorbell_memory(struct nvme_ctrl *ctrl)
{
	uint32_t *memory;

	if (ctrl->shared)
		return ctrl->doorbells;
	if (!ctrl->state->shadow)
		return NULL;
	memory = doorbell_map(ctrl, ctrl->state->shadow, UMDEV_DMA_READ);
	if (!memory)
		nvme_fatal(ctrl, "the shadow doorbell page is outside of guest memory");
	return memory;
}

static void doorbell_bad(struct nvme_ctrl *ctrl, uint32_t info)
{
	nvme_error_log(ctrl, NULL, NVME_BAD_FIELD);
	nvme_event_raise(ctrl, NVME_EVENT_ERROR, info, NVME_LOG_ERROR);
}

/* Takes a new tail. Returns whether there is something to fetch. */
static bool doorbell_tail(struct nvme_ctrl *ctrl, uint32_t qid, uint32_t value)
{
	struct nvme_state_sq *st = &ctrl->state->sq[qid];

	if (value >= st->size) {
		/* In memory the bad value stays there: say so once, until a good one follows. */
		if (!nvme_bit_test(ctrl->bad_tail, qid))
			doorbell_bad(ctrl, NVME_EVENT_ERROR_BAD_VALUE);
		nvme_bit_set(ctrl->bad_tail, qid);
		return false;
	}
	nvme_bit_clear(ctrl->bad_tail, qid);
	if (value == st->tail)
		return false;
	st->tail = value;
	FAULT_POINT("sq.rung");
	nvme_bit_set(ctrl->ready, qid);
	return true;
}

/* Takes a new head: it may only pass entries that were posted. */
static bool doorbell_new_head(struct nvme_ctrl *ctrl, uint32_t qid, uint32_t value)
{
	struct nvme_state_cq *st = &ctrl->state->cq[qid];
	uint32_t posted = (ctrl->cq[qid].tail + st->size - st->head) % st->size;
	uint32_t moved;

	if (value < st->size) {
		moved = (value + st->size - st->head) % st->size;
		if (moved <= posted) {
			st->head = value;
			FAULT_POINT("cq.rung");
			nvme_bit_clear(ctrl->bad_head, qid);
			return moved > 0;
		}
	}
	if (!nvme_bit_test(ctrl->bad_head, qid))
		doorbell_bad(ctrl, NVME_EVENT_ERROR_BAD_VALUE);
	nvme_bit_set(ctrl->bad_head, qid);
	return false;
}

/* The event indices of the admin queue follow its doorbells, so that the guest always rings. */
static void doorbell_admin_event(struct nvme_ctrl *ctrl)
{
	uint32_t *ei;

	if (!ctrl->state->eventidx)
		return;
	ei = doorbell_map(ctrl, ctrl->state->eventidx, UMDEV_DMA_WRITE);
	if (!ei)
		return;
	__atomic_store_n(&ei[0], ctrl->state->sq[0].tail, __ATOMIC_RELAXED);
	__atomic_store_n(&ei[1], ctrl->state->cq[0].head, __ATOMIC_RELAXED);
}

void nvme_doorbell_write(struct nvme_ctrl *ctrl, uint64_t offset, uint32_t value)
{
	uint32_t index = (uint32_t)((offset - NVME_DOORBELLS) / sizeof(uint32_t));
	uint32_t qid = index / 2;
	bool head = index & 1u;

	ctrl->counters.trapped++;
	if (!ctrl->running)
		return;
	if (qid > ctrl->queues ||
	    (head ? ctrl->state->cq[qid].size : ctrl->state->sq[qid].size) == 0) {
		doorbell_bad(ctrl, NVME_EVENT_ERROR_BAD_REGISTER);
		nvme_turn(ctrl);
		return;
	}
	if (ctrl->shared && ctrl->doorbells) {
		/* A client that sends messages where it could write memory. */
		__atomic_store_n(&ctrl->doorbells[index], value, __ATOMIC_RELEASE);
	} else if (ctrl->state->shadow && qid > 0) {
		nvme_doorbell_scan(ctrl);
	} else if (head) {
		doorbell_new_head(ctrl, qid, value);
	} else {
		doorbell_tail(ctrl, qid, value);
	}
	if (ctrl->shared)
		nvme_doorbell_scan(ctrl);
	if (qid == 0)
		doorbell_admin_event(ctrl);
	if (head)
		nvme_irq_update(ctrl);
	ctrl->last_work_ns = 0;
	nvme_turn(ctrl);
}

uint32_t nvme_doorbell_scan(struct nvme_ctrl *ctrl)
{
	uint32_t first = ctrl->shared ? 0 : 1;
	/* No register tells that the guest took what the level of INTx announces. */
	bool level = ctrl->shared && ctrl->state->intx;
	uint32_t *memory;
	uint32_t moved = 0;

	if (!ctrl->running)
		return 0;
	memory = doorbell_memory(ctrl);
	if (!memory)
		return 0;
	for (uint32_t qid = first; qid <= ctrl->queues; qid++) {
		uint32_t value;

		if (ctrl->state->sq[qid].size == 0)
			continue;
		value = __atomic_load_n(&memory[qid * 2], __ATOMIC_ACQUIRE);
		if (value != ctrl->state->sq[qid].tail)
			moved += doorbell_tail(ctrl, qid, value);
	}
	for (uint32_t qid = first;
	     qid <= ctrl->queues && (level || (ctrl->cq_dirty[0] | ctrl->cq_dirty[1])); qid++) {
		uint32_t before = ctrl->state->cq[qid].head;

		if (!level && !nvme_bit_test(ctrl->cq_dirty, qid))
			continue;
		nvme_doorbell_head(ctrl, qid);
		moved += before != ctrl->state->cq[qid].head;
	}
	if (level && moved > 0)
		nvme_irq_update(ctrl);
	return moved;
}

void nvme_doorbell_head(struct nvme_ctrl *ctrl, uint32_t cqid)
{
	uint32_t *memory;
	uint32_t value;

	if (!ctrl->running || (cqid == 0 && !ctrl->shared) || ctrl->state->cq[cqid].size == 0)
		return;
	memory = doorbell_memory(ctrl);
	if (!memory)
		return;
	value = __atomic_load_n(&memory[cqid * 2 + 1], __ATOMIC_ACQUIRE);
	if (value != ctrl->state->cq[cqid].head)
		doorbell_new_head(ctrl, cqid, value);
}

void nvme_doorbell_arm_head(struct nvme_ctrl *ctrl, uint32_t cqid)
{
	uint32_t *ei;

	if (!ctrl->running || cqid == 0 || !ctrl->state->eventidx)
		return;
	nvme_doorbell_head(ctrl, cqid);
	ei = doorbell_map(ctrl, ctrl->state->eventidx, UMDEV_DMA_WRITE);
	if (!ei)
		return;
	__atomic_store_n(&ei[cqid * 2 + 1], ctrl->state->cq[cqid].head, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	nvme_doorbell_head(ctrl, cqid);
}

void nvme_doorbell_clear(struct nvme_ctrl *ctrl, uint32_t qid, bool cq)
{
	nvme_bit_clear(cq ? ctrl->bad_head : ctrl->bad_tail, qid);
	if (!ctrl->shared)
		return;
	if (!ctrl->doorbells)
		ctrl->doorbells = nvme_host->bar_memory(ctrl->mdev, 0, 0);
	if (ctrl->doorbells)
		__atomic_store_n(&ctrl->doorbells[qid * 2 + cq], 0, __ATOMIC_RELEASE);
	else
		nvme_fatal(ctrl, "the host has no memory for shared doorbells");
}

void nvme_doorbell_resume(struct nvme_ctrl *ctrl)
{
	if (ctrl->shared)
		ctrl->doorbells = nvme_host->bar_memory(ctrl->mdev, 0, 0);
}

uint32_t nvme_doorbell_config(struct nvme_ctrl *ctrl, uint64_t shadow, uint64_t eventidx)
{
	uint64_t mask = NVME_PAGE_BYTES - 1;

	if (ctrl->shared)
		return NVME_BAD_OPCODE;
	if (shadow == 0 || eventidx == 0 || shadow == eventidx || (shadow & mask) ||
	    (eventidx & mask) || !doorbell_map(ctrl, shadow, UMDEV_DMA_READ) ||
	    !doorbell_map(ctrl, eventidx, UMDEV_DMA_WRITE))
		return NVME_BAD_FIELD;
	ctrl->state->shadow = shadow;
	ctrl->state->eventidx = eventidx;
	doorbell_admin_event(ctrl);
	/* What the guest rang before it asked may be in memory only. */
	nvme_doorbell_scan(ctrl);
	return NVME_OK;
}

/* ---- Polling ---- */

/* Publishes the event indices of all tails. Returns whether the guest rang meanwhile. */
static bool doorbell_sleep(struct nvme_ctrl *ctrl)
{
	uint32_t *ei;

	if (!ctrl->running || !ctrl->state->eventidx)
		return false;
	ei = doorbell_map(ctrl, ctrl->state->eventidx, UMDEV_DMA_WRITE);
	if (!ei) {
		nvme_fatal(ctrl, "the event index page is outside of guest memory");
		return false;
	}
	for (uint32_t qid = 1; qid <= ctrl->queues; qid++) {
		if (ctrl->state->sq[qid].size > 0)
			__atomic_store_n(&ei[qid * 2], ctrl->state->sq[qid].tail, __ATOMIC_RELAXED);
	}
	FAULT_POINT("sq.sleeping");
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return nvme_doorbell_scan(ctrl) > 0;
}

static void polling_set(struct nvme_ctrl *ctrl, bool on)
{
	if (ctrl->polling == on)
		return;
	ctrl->polling = on;
	if (!on)
		ctrl->counters.sleeps++;
	nvme_host->poll_mode(ctrl->mdev, on);
}

static void polling_timer(void *arg)
{
	struct nvme_ctrl *ctrl = arg;

	ctrl->timer_armed = false;
	ctrl->counters.polls++;
	if (nvme_doorbell_scan(ctrl) > 0)
		ctrl->last_work_ns = 0;
	nvme_turn(ctrl);
}

static void polling_shared(struct nvme_ctrl *ctrl, uint64_t idle_ns, uint64_t now_ns)
{
	uint64_t wait_ns = idle_ns / 8;

	if (ctrl->timer_armed)
		return;
	if (wait_ns < SHARED_MIN_NS)
		wait_ns = SHARED_MIN_NS;
	if (wait_ns > SHARED_MAX_NS)
		wait_ns = SHARED_MAX_NS;
	ctrl->timer_armed = true;
	nvme_host->timer(ctrl->mdev, NVME_TIMER_SHARED, now_ns + wait_ns, polling_timer, ctrl);
}

/* Work that only a further look of ours can move on. */
static bool polling_pays(const struct nvme_ctrl *ctrl)
{
	return ctrl->working > 0 &&
	       (ctrl->parent->backend->polled || ctrl->state->shadow || ctrl->shared);
}

void nvme_polling_update(struct nvme_ctrl *ctrl, bool worked)
{
	uint64_t spin_ns = ctrl->parent->poll_ns;
	uint64_t now_ns, idle_ns;

	if (!ctrl->running) {
		polling_set(ctrl, nvme_service_looks(ctrl));
		return;
	}
	if (nvme_service_looks(ctrl) || nvme_can_fetch(ctrl) || ctrl->parent->backend->stalled) {
		polling_set(ctrl, true);
		return;
	}
	if (!ctrl->polling && !worked && ctrl->last_work_ns != 0 && !ctrl->shared &&
	    !ctrl->state->shadow && !polling_pays(ctrl))
		return;
	now_ns = nvme_host->now_ns();
	if (worked || ctrl->last_work_ns == 0)
		ctrl->last_work_ns = now_ns;
	idle_ns = now_ns - ctrl->last_work_ns;
	if (ctrl->working > 0 && ctrl->busy_since_ns == 0)
		ctrl->busy_since_ns = now_ns;
	if (ctrl->working == 0 && ctrl->busy_since_ns != 0) {
		ctrl->state->smart.busy_ns += now_ns - ctrl->busy_since_ns;
		ctrl->busy_since_ns = 0;
	}
	if (polling_pays(ctrl) && spin_ns < SPIN_NS)
		spin_ns = SPIN_NS;
	if (idle_ns < spin_ns) {
		polling_set(ctrl, true);
		return;
	}
	if (doorbell_sleep(ctrl)) {
		ctrl->last_work_ns = now_ns;
		polling_set(ctrl, true);
		return;
	}
	polling_set(ctrl, false);
	if (ctrl->shared)
		polling_shared(ctrl, idle_ns, now_ns);
}

uint32_t nvme_poll(void *mdev_priv)
{
	struct nvme_ctrl *ctrl = mdev_priv;
	uint32_t found = 0;

	if (!ctrl->polling)
		return 0;
	ctrl->counters.polls++;
	found = nvme_doorbell_scan(ctrl);
	if (ctrl->parent->backend->polled)
		found += ctrl->parent->backend->ops->reap(ctrl->parent->backend);
	if (found > 0)
		ctrl->last_work_ns = 0;
	/* A device that is free again first gets its next job, whose start posts what is to be
	 * posted; if there is none, the next look does, which is never put off. */
	if (ctrl->parent->service && nvme_service_run(ctrl->parent) > 0) {
		ctrl->last_work_ns = 0;
		ctrl->put_off = !ctrl->put_off;
		if (ctrl->put_off)
			return found + 1;
	}
	ctrl->put_off = false;
	nvme_turn(ctrl);
	nvme_parent_turn(ctrl->parent);
	return found;
}
