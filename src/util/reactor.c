/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The event loop. See reactor.h.
 *
 * Removal inside a callback: events already taken from the kernel for a removed source must not be
 * delivered. They are struck out of the current batch, which is short, so a scan is enough.
 * Timers are a sorted list: a process has few, and arming is not on the data path.
 */
#include "util/reactor.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"

#define REACTOR_BATCH	     64
#define REACTOR_BUSY_WAIT_NS (5 * NS_PER_US)

struct reactor {
	int epoll_fd;
	bool stop;
	uint64_t now_ns;
	uint64_t waited_ns; /* when descriptors were last looked at */
	struct list fds;
	struct list timers;
	struct list tasks;
	struct list pollers;
	struct reactor_poller *next_poller; /* the one to call next; moved when it is removed */
	struct epoll_event batch[REACTOR_BATCH];
	int batch_len;
};

struct reactor *reactor_new(void)
{
	struct reactor *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (r->epoll_fd < 0) {
		free(r);
		return NULL;
	}
	list_init(&r->fds);
	list_init(&r->timers);
	list_init(&r->tasks);
	list_init(&r->pollers);
	r->now_ns = clock_now_ns();
	return r;
}

void reactor_free(struct reactor *reactor)
{
	if (!reactor)
		return;
	close(reactor->epoll_fd);
	free(reactor);
}

uint64_t reactor_now_ns(const struct reactor *reactor)
{
	return reactor->now_ns;
}

void reactor_stop(struct reactor *reactor)
{
	reactor->stop = true;
}

int reactor_fd_add(struct reactor *reactor, struct reactor_fd *source)
{
	struct epoll_event ev = {.events = source->events, .data.ptr = source};
	int op = source->added ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (epoll_ctl(reactor->epoll_fd, op, source->fd, &ev) < 0)
		return -errno;
	if (source->added)
		return 0;
	list_add_tail(&reactor->fds, &source->link);
	source->added = true;
	return 0;
}

int reactor_fd_events(struct reactor *reactor, struct reactor_fd *source, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = source};

	if (source->added && source->events == events)
		return 0;
	source->events = events;
	if (!source->added)
		return reactor_fd_add(reactor, source);
	return epoll_ctl(reactor->epoll_fd, EPOLL_CTL_MOD, source->fd, &ev) < 0 ? -errno : 0;
}

void reactor_fd_del(struct reactor *reactor, struct reactor_fd *source)
{
	if (!source->added)
		return;
	epoll_ctl(reactor->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	list_del(&source->link);
	source->added = false;
	for (int i = 0; i < reactor->batch_len; i++) {
		if (reactor->batch[i].data.ptr == source)
			reactor->batch[i].data.ptr = NULL;
	}
}

void reactor_timer_set(struct reactor *reactor, struct reactor_timer *timer, uint64_t deadline_ns)
{
	struct reactor_timer *t;

	reactor_timer_cancel(reactor, timer);
	timer->deadline_ns = deadline_ns;
	timer->armed = true;
	list_for_each (t, &reactor->timers, link) {
		if (t->deadline_ns > deadline_ns)
			break;
	}
	list_add_tail(&t->link, &timer->link);
}

void reactor_timer_cancel(struct reactor *reactor, struct reactor_timer *timer)
{
	if (!timer->armed)
		return;
	list_del(&timer->link);
	timer->armed = false;
}

void reactor_task_add(struct reactor *reactor, struct reactor_task *task)
{
	if (task->queued)
		return;
	list_add_tail(&reactor->tasks, &task->link);
	task->queued = true;
}

void reactor_task_del(struct reactor *reactor, struct reactor_task *task)
{
	if (!task->queued)
		return;
	list_del(&task->link);
	task->queued = false;
}

static uint64_t reactor_spin_until(const struct reactor_poller *poller, uint64_t now_ns)
{
	return poller->spin_ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + poller->spin_ns;
}

void reactor_poller_add(struct reactor *reactor, struct reactor_poller *poller)
{
	if (poller->added)
		return;
	poller->added = true;
	poller->busy_until_ns = reactor_spin_until(poller, reactor->now_ns);
	list_add_tail(&reactor->pollers, &poller->link);
}

void reactor_poller_del(struct reactor *reactor, struct reactor_poller *poller)
{
	if (!poller->added)
		return;
	if (reactor->next_poller == poller)
		reactor->next_poller = list_entry(poller->link.next, struct reactor_poller, link);
	list_del(&poller->link);
	poller->added = false;
}

/* Calls every poller once. */
static void reactor_run_pollers(struct reactor *reactor)
{
	struct reactor_poller *p = list_first(&reactor->pollers, struct reactor_poller, link);

	while (&p->link != &reactor->pollers) {
		uint64_t now = reactor->now_ns;

		reactor->next_poller = list_entry(p->link.next, struct reactor_poller, link);
		if (p->poll(p, now) > 0)
			p->busy_until_ns = reactor_spin_until(p, now);
		p = reactor->next_poller;
	}
	reactor->next_poller = NULL;
}

/* Whether a poller wants the loop to stay awake. */
static bool reactor_pollers_busy(const struct reactor *reactor)
{
	const struct reactor_poller *p;

	list_for_each (p, &reactor->pollers, link) {
		if (p->busy_until_ns > reactor->now_ns)
			return true;
	}
	return false;
}

static void reactor_run_timers(struct reactor *reactor)
{
	struct list due;
	struct reactor_timer *t;
	struct reactor_timer *next;

	/* Only those due by now: one that is armed again for a time gone by waits for the next
	 * turn.
	 */
	list_init(&due);
	list_for_each_safe (t, next, &reactor->timers, link) {
		if (t->deadline_ns > reactor->now_ns)
			break;
		list_del(&t->link);
		list_add_tail(&due, &t->link);
	}
	while (!list_empty(&due)) {
		t = list_first(&due, struct reactor_timer, link);
		reactor_timer_cancel(reactor, t);
		t->expired(t);
	}
}

static void reactor_run_tasks(struct reactor *reactor)
{
	struct list batch;

	if (list_empty(&reactor->tasks))
		return;
	/* Only those queued by now: a task that queues itself again must not keep events waiting.
	 */
	list_add(&reactor->tasks, &batch);
	list_del(&reactor->tasks);
	while (!list_empty(&batch)) {
		struct reactor_task *t = list_first(&batch, struct reactor_task, link);

		reactor_task_del(reactor, t);
		t->run(t);
	}
}

/* How long the loop may sleep: not at all when busy, else until the next timer or @limit_ns. */
static uint64_t reactor_sleep_ns(const struct reactor *reactor, bool busy, uint64_t limit_ns)
{
	const struct reactor_timer *t;
	uint64_t now;

	if (busy || reactor->stop || !list_empty(&reactor->tasks))
		return 0;
	if (list_empty(&reactor->timers))
		return limit_ns;
	t = list_first(&reactor->timers, struct reactor_timer, link);
	now = clock_now_ns();
	if (t->deadline_ns <= now)
		return 0;
	return MIN(limit_ns, t->deadline_ns - now);
}

static int reactor_wait(struct reactor *reactor, uint64_t sleep_ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(sleep_ns / NS_PER_S),
		.tv_nsec = (long)(sleep_ns % NS_PER_S),
	};
	int n;

	n = epoll_pwait2(reactor->epoll_fd, reactor->batch, REACTOR_BATCH,
			 sleep_ns == UINT64_MAX ? NULL : &ts, NULL);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	reactor->batch_len = n;
	return 0;
}

int reactor_turn(struct reactor *reactor, uint64_t timeout_ns)
{
	bool busy;
	int r;

	reactor->now_ns = clock_now_ns();
	reactor_run_tasks(reactor);
	reactor_run_pollers(reactor);
	reactor_run_tasks(reactor);
	busy = reactor_pollers_busy(reactor);
	/* While memory is being polled, descriptors can wait a little: a look at them costs a
	 * system call. */
	if (busy && reactor->now_ns - reactor->waited_ns < REACTOR_BUSY_WAIT_NS)
		return 0;
	reactor->waited_ns = reactor->now_ns;
	reactor->batch_len = 0;
	r = reactor_wait(reactor, reactor_sleep_ns(reactor, busy, timeout_ns));
	if (r < 0)
		return r;
	reactor->now_ns = clock_now_ns();
	for (int i = 0; i < reactor->batch_len; i++) {
		struct reactor_fd *source = reactor->batch[i].data.ptr;

		if (source)
			source->ready(source, reactor->batch[i].events);
	}
	reactor->batch_len = 0;
	reactor_run_timers(reactor);
	reactor_run_tasks(reactor);
	return 0;
}

int reactor_run(struct reactor *reactor)
{
	reactor->stop = false;
	while (!reactor->stop) {
		int r = reactor_turn(reactor, UINT64_MAX);

		if (r < 0)
			return r;
	}
	return 0;
}
