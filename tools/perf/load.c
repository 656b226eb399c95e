/* SPDX-License-Identifier: BSD-3-Clause */
/* The engine: fill, ring, reap, wait. See load.h. */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include "load-internal.h"
#include "prp.h"
#include "random.h"
#include "util/clock.h"
#include "util/fd.h"

#define LOAD_CHECK_NS	  (100 * NS_PER_MS)
#define LOAD_SPINS	  512u
#define LOAD_BATCH_MAX	  256u
#define LOAD_EVENTS	  64
#define LOAD_EARLY_NS	  (80 * NS_PER_US) /* a timer may be late; what is left is spun */

#define LOAD_EVENT_SOCKET 1u /* in epoll's data; eventfds have 0 */

uint64_t load_arena_bytes(const struct perf_options *options)
{
	uint64_t data = (options->block_bytes + ARENA_PAGE - 1ULL) & ~(ARENA_PAGE - 1ULL);

	if (options->mixed)
		data += ARENA_PAGE;
	return (uint64_t)options->queues * options->depth * (data + ARENA_PAGE);
}

static int load_init_slot(struct load *l, struct load_slot *slot)
{
	uint64_t bytes = l->options->block_bytes + (l->options->mixed ? ARENA_PAGE : 0);

	slot->buffer = arena_alloc(l->ctrl->arena, bytes, &slot->buffer_iova);
	slot->list = arena_alloc(l->ctrl->arena, ARENA_PAGE, &slot->list_iova);
	if (!slot->buffer || !slot->list)
		return -ENOMEM;
	for (uint64_t i = 0; i + 8 <= bytes; i += 8) {
		uint64_t word = random_next(&l->rng);

		memcpy(slot->buffer + i, &word, sizeof(word));
	}
	return prp_build(slot->buffer_iova, l->options->block_bytes, slot->list, slot->list_iova,
			 slot->prp);
}

static int load_init_queue(struct load *l, struct load_queue *lq, struct nvme_queue *q)
{
	uint32_t depth = l->options->depth;
	int r;

	lq->q = q;
	lq->slots = calloc(depth, sizeof(*lq->slots));
	lq->free = calloc(depth, sizeof(*lq->free));
	if (!lq->slots || !lq->free)
		return -ENOMEM;
	for (uint32_t i = 0; i < depth; i++) {
		r = load_init_slot(l, &lq->slots[i]);
		if (r < 0)
			return r;
		lq->free[i] = (uint16_t)(depth - 1 - i);
	}
	lq->free_count = depth;
	return 0;
}

/* Waits for eventfds and timer edge-triggered, so that none of them must be read. */
static int load_init_epoll(struct load *l)
{
	struct epoll_event socket_event = {.events = EPOLLIN | EPOLLRDHUP,
					   .data.u32 = LOAD_EVENT_SOCKET};
	struct epoll_event quiet_event = {.events = EPOLLIN | EPOLLET};

	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	l->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (l->epoll < 0 || l->timer < 0 ||
	    epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->timer, &quiet_event) < 0 ||
	    epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->ctrl->client->sock, &socket_event) < 0)
		return -errno;
	for (uint32_t i = 0; i < l->ctrl->vectors; i++) {
		if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->ctrl->eventfds[i], &quiet_event) < 0)
			return -errno;
	}
	return 0;
}

int load_new(const struct perf_options *options, struct nvme_ctrl *ctrl,
	     const struct load_region *region, struct load **ret_load, struct umdev_error *err)
{
	struct load *l = calloc(1, sizeof(*l));
	int r = 0;

	if (!l)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	l->epoll = -1;
	l->timer = -1;
	l->options = options;
	l->ctrl = ctrl;
	l->model = region->model;
	l->first_lba = region->first_lba;
	l->blocks = region->blocks;
	l->block_bytes = ctrl->id.block_bytes;
	l->command_blocks = options->block_bytes / ctrl->id.block_bytes;
	l->rng = random_mix(options->seed);
	l->random = options_pattern_random(options->pattern);
	l->may_write = options->pattern != PATTERN_READ && options->pattern != PATTERN_RANDREAD;
	l->queue_count = ctrl->queue_count;
	for (uint32_t i = 0; i < l->queue_count && r >= 0; i++)
		r = load_init_queue(l, &l->queues[i], &ctrl->queues[i]);
	if (r >= 0 && ctrl->interrupts != NVME_INTERRUPTS_NONE)
		r = load_init_epoll(l);
	if (r < 0) {
		load_free(l);
		return error_set(err, ERROR_NO_MEMORY, "cannot prepare the load: %s", strerror(-r));
	}
	*ret_load = l;
	return 0;
}

void load_free(struct load *l)
{
	if (!l)
		return;
	for (uint32_t i = 0; i < l->queue_count; i++) {
		struct load_queue *lq = &l->queues[i];

		for (uint32_t s = 0; l->model && lq->slots && s < l->options->depth; s++) {
			struct load_slot *slot = &lq->slots[s];

			if (slot->busy && load_op_changes(slot->op))
				verify_forget(l->model, slot->block, slot->count);
		}
		free(lq->slots);
		free(lq->free);
	}
	fd_close(&l->epoll);
	fd_close(&l->timer);
	free(l);
}

static uint64_t load_rings(const struct load *l)
{
	uint64_t rings = 0;

	for (uint32_t i = 0; i < l->queue_count; i++)
		rings += l->queues[i].q->rings;
	return rings;
}

static void load_begin_window(struct load *l, uint64_t now_ns)
{
	memset(l->result->latency, 0, sizeof(l->result->latency));
	memset(l->result->bytes, 0, sizeof(l->result->bytes));
	memset(&l->result->late, 0, sizeof(l->result->late));
	memset(&l->result->response, 0, sizeof(l->result->response));
	l->result->held = 0;
	l->result->begin_ns = now_ns;
	l->issued = 0;
	l->limit = l->options->count ? l->options->count : UINT64_MAX;
	l->window_start_ns = now_ns;
	l->deadline_ns = l->options->runtime_ns ? now_ns + l->options->runtime_ns : UINT64_MAX;
	l->rings_before = load_rings(l);
	cpu_start(&l->cpu, l->server);
	l->measuring = true;
}

static void load_end_window(struct load *l, uint64_t now_ns)
{
	if (!l->measuring)
		return;
	l->measuring = false;
	l->result->window_ns = now_ns - l->window_start_ns;
	l->result->doorbell_writes = load_rings(l) - l->rings_before;
	cpu_read(&l->cpu, &l->result->cpu);
}

/* Nothing has completed for too long: names the command that has waited longest. */
static int load_stalled(struct load *l, uint64_t now_ns, struct umdev_error *err)
{
	const struct load_queue *oldest_queue = NULL;
	const struct load_slot *oldest = NULL;

	for (uint32_t i = 0; i < l->queue_count; i++) {
		for (uint32_t s = 0; s < l->options->depth; s++) {
			const struct load_slot *slot = &l->queues[i].slots[s];

			if (slot->busy && (!oldest || slot->start_ns < oldest->start_ns)) {
				oldest_queue = &l->queues[i];
				oldest = slot;
			}
		}
	}
	if (!oldest)
		return error_set(err, ERROR_INTERNAL, "commands were lost in counting");
	return error_set(err, ERROR_TIMEOUT,
			 "nothing completes: %llu commands in flight, the oldest for %llu ms "
			 "(%s, queue %u, id %u, LBA %llu, %u blocks)",
			 (unsigned long long)l->in_flight,
			 (unsigned long long)((now_ns - oldest->start_ns) / NS_PER_MS),
			 load_op_name(oldest->op), oldest_queue->q->id,
			 (unsigned)(oldest - oldest_queue->slots),
			 (unsigned long long)(l->first_lba + oldest->block), oldest->count);
}

/* What is due at @now_ns besides the commands themselves. */
static int load_check(struct load *l, uint64_t now_ns, struct umdev_error *err)
{
	int r;

	if (now_ns < l->check_ns)
		return 0;
	r = client_service(l->ctrl->client, err);
	if (r < 0)
		return r;
	if (*l->stop)
		l->stopping = true;
	if (!l->sweeping && !l->stopping) {
		if (!l->measuring && now_ns >= l->measure_ns)
			load_begin_window(l, now_ns);
		if (l->measuring && now_ns >= l->deadline_ns)
			l->stopping = true;
	}
	if (l->stopping)
		load_end_window(l, now_ns);
	if (!l->open && now_ns >= l->open_ns)
		load_open(l);
	if (l->in_flight && now_ns >= l->progress_ns + l->options->timeout_ns)
		return load_stalled(l, now_ns, err);
	l->check_ns = now_ns + LOAD_CHECK_NS;
	if (!l->sweeping && !l->stopping)
		l->check_ns = MIN(l->check_ns, l->measuring ? l->deadline_ns : l->measure_ns);
	if (!l->open)
		l->check_ns = MIN(l->check_ns, l->open_ns);
	return 0;
}

static int load_complete(struct load *l, struct load_queue *lq, const struct nvme_completion *done,
			 uint64_t now_ns, struct umdev_error *err)
{
	struct load_slot *slot;

	if (done->sq_id != lq->q->id || done->cid >= l->options->depth ||
	    !lq->slots[done->cid].busy || done->sq_head >= lq->q->sq_entries)
		return error_set(err, ERROR_DRIVER_FAILED,
				 "queue %u: a completion for a command that is not in flight "
				 "(queue %u, id %u, head %u)",
				 lq->q->id, done->sq_id, done->cid, done->sq_head);
	slot = &lq->slots[done->cid];
	load_settle(l, lq, slot, done->status >> 1);
	slot->busy = false;
	lq->free[lq->free_count++] = done->cid;
	l->in_flight--;
	l->result->commands++;
	if (l->measuring && done->status >> 1 == 0) {
		stats_record(&l->result->latency[slot->op],
			     now_ns > slot->start_ns ? now_ns - slot->start_ns : 0);
		if (l->paced)
			stats_record(&l->result->response,
				     now_ns > slot->due_ns ? now_ns - slot->due_ns : 0);
		l->result->bytes[slot->op] += (uint64_t)slot->count * l->block_bytes;
	}
	return 0;
}

static int load_hung_up(int r, struct umdev_error *err)
{
	return error_set(err, ERROR_UNREACHABLE, "the server hung up: %s", strerror(-r));
}

/* Takes what has completed on @lq and puts new commands in its place. Returns how many were taken.
 */
static int load_turn(struct load *l, struct load_queue *lq, uint64_t *now_ns,
		     struct umdev_error *err)
{
	struct nvme_completion done;
	unsigned taken = 0;
	int r;

	while (taken < LOAD_BATCH_MAX && nvme_queue_pop(lq->q, &done)) {
		if (taken++ == 0)
			*now_ns = clock_now_ns();
		r = load_complete(l, lq, &done, *now_ns, err);
		if (r < 0)
			return r;
	}
	if (taken == 0 && !lq->starved)
		return 0;
	if (taken)
		l->progress_ns = *now_ns;
	if (!l->paced)
		load_fill(l, lq, *now_ns);
	r = nvme_queue_ring(lq->q);
	return r < 0 ? load_hung_up(r, err) : (int)taken;
}

/* Sets the timer. Returns 0 or -errno. */
static int load_set_timer(struct load *l, uint64_t at_ns)
{
	/* A time of 0 would stop it. */
	struct itimerspec when = {.it_value = {.tv_sec = (time_t)(at_ns / NS_PER_S),
					       .tv_nsec = (long)(at_ns % NS_PER_S | 1)}};

	if (at_ns == l->timer_ns)
		return 0;
	if (timerfd_settime(l->timer, TFD_TIMER_ABSTIME, &when, NULL) < 0)
		return -errno;
	l->timer_ns = at_ns;
	return 0;
}

/* Sleeps until an interrupt, a message, or @until_ns. */
static int load_sleep(struct load *l, uint64_t until_ns, struct umdev_error *err)
{
	struct epoll_event events[LOAD_EVENTS];
	bool past = until_ns <= clock_now_ns();
	int r = past ? 0 : load_set_timer(l, until_ns);

	if (r < 0)
		return error_set(err, ERROR_INTERNAL, "timerfd: %s", strerror(-r));
	r = epoll_wait(l->epoll, events, LOAD_EVENTS, past ? 0 : -1);
	if (r < 0 && errno != EINTR)
		return error_set(err, ERROR_INTERNAL, "epoll_wait: %s", strerror(errno));
	for (int i = 0; i < r; i++) {
		if (events[i].data.u32 == LOAD_EVENT_SOCKET)
			return client_service(l->ctrl->client, err);
	}
	return 0;
}

/* Nothing had completed: gives way until something may have. */
static int load_idle(struct load *l, unsigned *spins, uint64_t *now_ns, struct umdev_error *err)
{
	uint64_t sleep_ns = l->wake_ns > LOAD_EARLY_NS ? l->wake_ns - LOAD_EARLY_NS : 0;
	int r = 0;

	if (l->epoll >= 0 && *now_ns < sleep_ns) {
		if (l->ctrl->interrupts == NVME_INTERRUPTS_INTX)
			r = client_unmask_intx(l->ctrl->client);
		if (r < 0)
			return load_hung_up(r, err);
		r = load_sleep(l, MIN(sleep_ns, l->check_ns), err);
		*now_ns = clock_now_ns();
		return r;
	}
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#endif
	if (++*spins >= LOAD_SPINS || l->wake_ns != UINT64_MAX)
		*now_ns = clock_now_ns();
	if (*spins < LOAD_SPINS)
		return 0;
	*spins = 0;
	/* Where nothing wakes us, a device that asks for memory by message waits for this. */
	return l->epoll < 0 ? client_service(l->ctrl->client, err) : 0;
}

/* Runs until no command is in flight and no further one may be started. */
static int load_loop(struct load *l, struct umdev_error *err)
{
	uint64_t now_ns = clock_now_ns();
	unsigned spins = 0;
	int taken;
	int r;

	l->progress_ns = now_ns;
	l->check_ns = 0;
	r = load_check(l, now_ns, err);
	for (uint32_t i = 0; i < l->queue_count; i++)
		l->queues[i].starved = true;
	while (r == 0) {
		bool any = false;

		for (uint32_t i = 0; i < l->queue_count; i++) {
			taken = load_turn(l, &l->queues[i], &now_ns, err);
			if (taken < 0)
				return taken;
			any = any || taken > 0;
		}
		if (l->paced) {
			r = load_pace(l, now_ns);
			if (r < 0)
				return load_hung_up(r, err);
		}
		if (l->in_flight == 0 && (l->stopping || l->issued >= l->limit))
			break;
		if (!any)
			r = load_idle(l, &spins, &now_ns, err);
		if (r == 0)
			r = load_check(l, now_ns, err);
	}
	load_end_window(l, now_ns);
	return r;
}

/* When to start and to measure: at @now_ns, or at the given time and with the ramp before it. */
static void load_plan(struct load *l, uint64_t now_ns)
{
	uint64_t start_ns = l->options->start_at_ns;
	uint64_t ramp_ns = l->options->ramp_ns;

	l->open_ns = now_ns;
	l->measure_ns = now_ns + ramp_ns;
	if (start_ns > now_ns) {
		l->measure_ns = start_ns;
		if (start_ns - now_ns > ramp_ns)
			l->open_ns = start_ns - ramp_ns;
	}
	l->wake_ns = l->open_ns;
	l->paced = l->options->rate > 0;
}

int load_run(struct load *l, pid_t server, const volatile sig_atomic_t *stop,
	     struct load_result *ret_result, struct umdev_error *err)
{
	int r;

	memset(ret_result, 0, sizeof(*ret_result));
	ret_result->cpu = (struct cpu_usage){.client = -1, .server = -1};
	l->result = ret_result;
	l->server = server;
	l->stop = stop;
	l->limit = UINT64_MAX;
	load_plan(l, clock_now_ns());
	r = load_loop(l, err);
	if (r < 0 || !l->model || *stop)
		return r;
	l->sweeping = true;
	l->paced = false;
	l->wake_ns = UINT64_MAX;
	l->stopping = false;
	l->cursor = 0;
	l->limit = UINT64_MAX;
	return load_loop(l, err);
}
