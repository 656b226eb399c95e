/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The event loop of one thread: descriptors, timers, deferred work and pollers.
 *
 * Everything is owned by the thread that runs the loop. Sources are embedded in their owners, so
 * that adding one allocates nothing but the kernel's part. A source may be removed from within any
 * callback, its own included. With no poller busy and nothing due, the loop sleeps in epoll_pwait2:
 * idle costs nothing.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "util/list.h"

struct reactor;

/* A descriptor that is waited for. Zero it before the first use; the fd stays the caller's. */
struct reactor_fd {
	int fd;
	uint32_t events; /* EPOLLIN, EPOLLOUT, ... as asked for */
	void (*ready)(struct reactor_fd *source, uint32_t events);
	struct list link;
	bool added;
};

/* A one-shot timer. Zero it before the first use. */
struct reactor_timer {
	uint64_t deadline_ns;
	void (*expired)(struct reactor_timer *timer);
	struct list link;
	bool armed;
};

/* Work to be done once, before the loop sleeps again. Zero it before the first use. */
struct reactor_task {
	void (*run)(struct reactor_task *task);
	struct list link;
	bool queued;
};

/* Looked at in every turn of the loop. poll() returns how much it found; 0 is idle. */
struct reactor_poller {
	uint32_t (*poll)(struct reactor_poller *poller, uint64_t now_ns);
	uint64_t spin_ns; /* how long to keep the loop awake after the last find; UINT64_MAX: always
			   */
	uint64_t busy_until_ns;
	struct list link;
	bool added;
};

/* Returns a new loop or NULL with errno set. */
struct reactor *reactor_new(void);

/* Frees the loop. Sources still added are forgotten, their fds are not closed. NULL is fine. */
void reactor_free(struct reactor *reactor);

/* Runs until reactor_stop(). Returns 0 or -errno when waiting itself failed. */
int reactor_run(struct reactor *reactor);

/* One turn: at most @timeout_ns of waiting (UINT64_MAX: as long as it takes). Returns 0 or -errno.
 */
int reactor_turn(struct reactor *reactor, uint64_t timeout_ns);

/* Makes reactor_run() return after the present turn. */
void reactor_stop(struct reactor *reactor);

/* The time at the start of the present turn. */
uint64_t reactor_now_ns(const struct reactor *reactor);

/* Adds @source (fd, events, ready set) or changes its events when it is there. Returns 0 or -errno.
 */
int reactor_fd_add(struct reactor *reactor, struct reactor_fd *source) umdev_warn_unused;
int reactor_fd_events(struct reactor *reactor, struct reactor_fd *source,
		      uint32_t events) umdev_warn_unused;

/* Removes @source; call before its fd is closed. Nothing happens when it is not there. */
void reactor_fd_del(struct reactor *reactor, struct reactor_fd *source);

/* Arms or moves a timer (expired set) to @deadline_ns of clock_now_ns(). */
void reactor_timer_set(struct reactor *reactor, struct reactor_timer *timer, uint64_t deadline_ns);
void reactor_timer_cancel(struct reactor *reactor, struct reactor_timer *timer);

/* Queues a task once; it runs in the present or next turn, before the loop sleeps. A task queued by
 * a task waits until those queued before it, and ready descriptors, had their turn. */
void reactor_task_add(struct reactor *reactor, struct reactor_task *task);
void reactor_task_del(struct reactor *reactor, struct reactor_task *task);

/* Adds or removes a poller. An added poller is called in every turn, whether or not the loop slept.
 */
void reactor_poller_add(struct reactor *reactor, struct reactor_poller *poller);
void reactor_poller_del(struct reactor *reactor, struct reactor_poller *poller);
