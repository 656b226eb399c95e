/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One NVMe queue pair from the host's side: rings in shared memory and their doorbells.
 *
 * Doorbells follow the event index protocol where shadow doorbells are in use: the new value goes
 * to memory, a full barrier, and only when the device asked to be told about a step in between is
 * the register written. The barrier pairs with the one that the device has between publishing its
 * event index and looking at the value a last time before it sleeps.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "client.h"
#include "nvme-defs.h"

struct nvme_doorbell {
	uint32_t *shadow; /* NULL: not shadowed */
	const uint32_t *event;
	uint32_t *mapped; /* the register itself, NULL: reached by message */
	uint64_t offset;  /* in BAR 0 */
	uint32_t rung;	  /* the value last given */
};

struct nvme_queue {
	struct nvme_command *sq;
	const struct nvme_completion *cq;
	struct client *client;
	struct nvme_doorbell sq_bell;
	struct nvme_doorbell cq_bell;
	uint64_t rings; /* registers written */
	uint32_t sq_entries;
	uint32_t cq_entries;
	uint32_t sq_tail;
	uint32_t cq_head;
	uint16_t phase; /* of a new completion */
	uint16_t id;
	uint32_t vector;
};

/* The next free entry of the submission queue, which must not be full. */
static inline struct nvme_command *nvme_queue_slot(struct nvme_queue *q)
{
	return &q->sq[q->sq_tail];
}

/* Counts the entry in; the device learns of it from the next nvme_queue_ring(). */
static inline void nvme_queue_push(struct nvme_queue *q)
{
	q->sq_tail = q->sq_tail + 1 == q->sq_entries ? 0 : q->sq_tail + 1;
}

/* Copies the next completion to *@ret_completion and steps over it. False: there is none. */
static inline bool nvme_queue_pop(struct nvme_queue *q, struct nvme_completion *ret_completion)
{
	const struct nvme_completion *entry = &q->cq[q->cq_head];
	/* Acquire: the rest of the entry was written before its phase changed. */
	uint16_t status = __atomic_load_n(&entry->status, __ATOMIC_ACQUIRE);

	if ((status & 1) != q->phase)
		return false;
	*ret_completion = *entry;
	ret_completion->status = status;
	if (++q->cq_head == q->cq_entries) {
		q->cq_head = 0;
		q->phase ^= 1;
	}
	return true;
}

/* Whether the step from @old to @value passes @event, all modulo 2^16. */
static inline bool nvme_doorbell_wanted(uint16_t event, uint16_t value, uint16_t old)
{
	return (uint16_t)(value - event - 1) < (uint16_t)(value - old);
}

/*
 * Tells the device what was popped and pushed since the last call, in this order, with one barrier
 * for both. Returns 0 or the -errno of the message.
 */
int nvme_queue_ring(struct nvme_queue *q) umdev_warn_unused;
