/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The open loop: commands start when they are due. See load.h.
 *
 * When all queues are at their depth, what is due has to wait for a completion, and so has all
 * that becomes due until then. That waiting is the device's doing and part of the latency.
 */
#include "load-internal.h"

#define LOAD_PACE_SEED 0x706163656c6f6164ULL /* not the sequence that picks the blocks */

void load_open(struct load *l)
{
	l->open = true;
	l->wake_ns = UINT64_MAX;
	if (!l->paced)
		return;
	pace_begin(&l->pace, l->options->rate, l->options->poisson,
		   l->options->seed ^ LOAD_PACE_SEED, l->open_ns);
	l->wake_ns = l->pace.next_ns;
}

/* A queue with room for one more command, or NULL. Queues take turns. */
static struct load_queue *load_pace_queue(struct load *l)
{
	for (uint32_t i = 0; i < l->queue_count; i++) {
		struct load_queue *lq = &l->queues[(l->pace.steps + i) % l->queue_count];

		if (lq->free_count > 0)
			return lq;
	}
	return NULL;
}

/* Starts the command that is due. False: it has to wait for a completion. */
static bool load_pace_one(struct load *l, uint64_t now_ns)
{
	uint64_t due_ns = l->pace.next_ns;
	bool held = due_ns <= l->full_ns;
	struct load_queue *lq = load_pace_queue(l);
	struct load_slot *slot = lq ? load_start(l, lq, now_ns) : NULL;

	if (!slot)
		return false;
	slot->due_ns = due_ns;
	if (held)
		slot->start_ns = due_ns;
	if (l->measuring && held)
		l->result->held++;
	else if (l->measuring)
		stats_record(&l->result->late, now_ns - due_ns);
	pace_step(&l->pace);
	return true;
}

int load_pace(struct load *l, uint64_t now_ns)
{
	bool any = false;
	int r = 0;

	if (!l->open)
		return 0;
	if (l->full)
		l->full_ns = now_ns;
	l->full = false;
	while (!l->full && l->pace.next_ns <= now_ns && !l->stopping && l->issued < l->limit) {
		l->full = !load_pace_one(l, now_ns);
		any = any || !l->full;
	}
	if (!l->full)
		l->full = !load_pace_queue(l);
	else
		l->full_ns = now_ns;
	l->wake_ns = l->full || l->stopping || l->issued >= l->limit ? UINT64_MAX : l->pace.next_ns;
	for (uint32_t i = 0; any && i < l->queue_count && r == 0; i++)
		r = nvme_queue_ring(l->queues[i].q);
	return r;
}
