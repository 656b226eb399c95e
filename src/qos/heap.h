/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A heap of four children a node, ordered by points of a clock. An entry carries its key, so that
 * ordering touches nobody, and each node knows its place, so that any can be moved or taken out.
 */
#pragma once

#include <stdint.h>

#include "qos/qos.h"

#define HEAP_ARITY 4u

struct heap_entry {
	uint64_t key;
	struct qos_node *node;
};

struct heap {
	struct heap_entry *base; /* room for all that may enter is there */
	uint32_t len;
};

/* Writes an entry, and to its node where it is. */
static inline void heap_put(struct heap *h, uint32_t i, struct heap_entry e)
{
	h->base[i] = e;
	e.node->place = i;
}

/* Puts @e at @i or above. */
static inline void heap_up(struct heap *h, uint32_t i, struct heap_entry e)
{
	while (i > 0 && e.key < h->base[(i - 1) / HEAP_ARITY].key) {
		heap_put(h, i, h->base[(i - 1) / HEAP_ARITY]);
		i = (i - 1) / HEAP_ARITY;
	}
	heap_put(h, i, e);
}

/* Puts @e at @i or below. */
static inline void heap_down(struct heap *h, uint32_t i, struct heap_entry e)
{
	for (;;) {
		uint32_t child = i * HEAP_ARITY + 1;
		uint32_t end = MIN(child + HEAP_ARITY, h->len);
		uint32_t best = i;
		uint64_t key = e.key;

		for (; child < end; child++) {
			if (h->base[child].key < key) {
				best = child;
				key = h->base[child].key;
			}
		}
		if (best == i)
			break;
		heap_put(h, i, h->base[best]);
		i = best;
	}
	heap_put(h, i, e);
}

/* Gives the entry at @i another key. */
static inline void heap_change(struct heap *h, uint32_t i, struct heap_entry e)
{
	if (i > 0 && e.key < h->base[(i - 1) / HEAP_ARITY].key)
		heap_up(h, i, e);
	else
		heap_down(h, i, e);
}

/* Adds @e. */
static inline void heap_push(struct heap *h, struct heap_entry e)
{
	heap_up(h, h->len++, e);
}

/* Takes the entry at @i out. */
static inline void heap_remove(struct heap *h, uint32_t i)
{
	struct heap_entry last = h->base[--h->len];

	if (i < h->len)
		heap_change(h, i, last);
}
