/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What will happen in the simulation, in the order in which it will: by time, at one time by kind,
 * within a kind in the order of event_push().
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "util/cleanup.h"

/* In the order in which they are handled at one instant. */
enum event_kind {
	EVENT_END,     /* a job ends */
	EVENT_ARRIVAL, /* jobs arrive, or a backlog begins */
	EVENT_CHANGE,  /* a knob is turned */
	EVENT_KIND_COUNT
};

struct event {
	uint64_t time_ns;
	uint64_t order; /* kind, then number */
	void *what;
};

/* All zero is empty. */
struct event_queue {
	struct event *heap;
	size_t count;
	size_t size;
	uint64_t number;
};

/* Adds an event. Returns 0 or -ENOMEM. */
int event_push(struct event_queue *queue, uint64_t time_ns, enum event_kind kind,
	       void *what) umdev_warn_unused;

/* The next event; NULL when there is none. Valid until the queue changes. */
static inline const struct event *event_peek(const struct event_queue *queue)
{
	return queue->count ? queue->heap : NULL;
}

/* The kind of @event. */
static inline enum event_kind event_kind(const struct event *event)
{
	return (enum event_kind)(event->order >> 60);
}

/* Removes the next event, of which there is one, and returns what it is about. */
void *event_pop(struct event_queue *queue);

/* Frees what the queue holds. */
void event_done(struct event_queue *queue);
