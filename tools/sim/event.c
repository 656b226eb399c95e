/* SPDX-License-Identifier: BSD-3-Clause */
/* A binary heap. See event.h. */
#include "event.h"

#include <errno.h>
#include <stdbool.h>

#define EVENT_SIZE_MIN 64u

static bool event_before(const struct event *a, const struct event *b)
{
	return a->time_ns != b->time_ns ? a->time_ns < b->time_ns : a->order < b->order;
}

int event_push(struct event_queue *queue, uint64_t time_ns, enum event_kind kind, void *what)
{
	struct event event = {time_ns, ((uint64_t)kind << 60) | queue->number, what};
	size_t i = queue->count;

	if (queue->count == queue->size) {
		size_t size = MAX(2 * queue->size, (size_t)EVENT_SIZE_MIN);
		struct event *heap = reallocarray(queue->heap, size, sizeof(*heap));

		if (!heap)
			return -ENOMEM;
		queue->heap = heap;
		queue->size = size;
	}
	queue->count++;
	queue->number++;
	while (i > 0 && event_before(&event, &queue->heap[(i - 1) / 2])) {
		queue->heap[i] = queue->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	queue->heap[i] = event;
	return 0;
}

void *event_pop(struct event_queue *queue)
{
	void *what = queue->heap[0].what;
	struct event last = queue->heap[--queue->count];
	size_t i = 0;

	for (size_t child = 1; child < queue->count; child = 2 * i + 1) {
		if (child + 1 < queue->count &&
		    event_before(&queue->heap[child + 1], &queue->heap[child]))
			child++;
		if (!event_before(&queue->heap[child], &last))
			break;
		queue->heap[i] = queue->heap[child];
		i = child;
	}
	queue->heap[i] = last;
	return what;
}

void event_done(struct event_queue *queue)
{
	free(queue->heap);
	*queue = (struct event_queue){0};
}
