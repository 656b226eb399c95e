/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a parent has to share out: contiguous pieces of @units, beginning at multiples of @align.
 *
 * A piece is held by one UUID. What a piece held is dirty once it is released, and a dirty unit
 * must be discarded by the driver before another UUID gets it; which units are dirty is tracked
 * exactly, across pieces of different sizes.
 *
 * Invariants: pieces are sorted, never overlap and lie inside the pool; dirty ranges are sorted,
 * disjoint and never touch. A dirty range may lie in a held piece: it was claimed but is not yet
 * discarded. Free is what no piece holds, dirty or not. Room for what a release needs is reserved
 * by the claim, so that releasing cannot fail for lack of memory.
 *
 * Pure; not thread-safe.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/ident.h"
#include "util/cleanup.h"
#include "util/error.h"

#define POOL_PIECES_MAX 65536

struct pool_range {
	uint64_t start;
	uint64_t size;
};

struct pool_piece {
	uint64_t start;
	uint64_t size;
	char uuid[IDENT_UUID_SIZE];
};

struct pool {
	uint64_t units;
	uint64_t align;
	struct pool_piece *pieces;
	size_t piece_count;
	size_t piece_room;
	struct pool_range *dirty;
	size_t dirty_count;
	size_t dirty_room;
	uint64_t changes; /* counts up with every change of pieces and dirty ranges */
};

/* How much a type wants of the pool. */
struct pool_want {
	uint64_t cost; /* > 0 */
	bool rest;     /* the largest free piece, @cost at least */
};

/* An empty, clean pool. @align 0 means 1. -EINVAL for no units or more than INT64_MAX. */
int pool_init(struct pool *pool, uint64_t units, uint64_t align) umdev_warn_unused;
void pool_done(struct pool *pool);

/* A copy of its own. Returns 0 or -ENOMEM. */
int pool_copy(const struct pool *pool, struct pool *ret_copy) umdev_warn_unused;

/* How many more instances fit now, and how many would fit into the empty pool. */
uint64_t pool_available(const struct pool *pool, const struct pool_want *want);
uint64_t pool_max(const struct pool *pool, const struct pool_want *want);

/* The size of the piece that a claim would get now, 0 when it would fail. */
uint64_t pool_claim_size(const struct pool *pool, const struct pool_want *want);

/*
 * Gives @uuid a piece: from the smallest free extent that is large enough, at its lower end.
 * Returns 0, -ENOSPC, -EUSERS (too many pieces) or -ENOMEM.
 */
int pool_claim(struct pool *pool, const char *uuid, const struct pool_want *want,
	       struct pool_range *ret_piece) umdev_warn_unused;

/* Gives @uuid exactly @range. -EINVAL when it is not inside, not aligned or not free. */
int pool_hold(struct pool *pool, const char *uuid,
	      const struct pool_range *range) umdev_warn_unused;

/* Releases the piece that begins at @start; with @dirty all of it becomes dirty. Nothing happens
 * when there is none. */
void pool_release(struct pool *pool, uint64_t start, bool dirty);

/* The first piece of @uuid, or NULL. Valid until the pool changes. */
const struct pool_piece *pool_find(const struct pool *pool, const char *uuid);

/* The first dirty part of @within. False when all of it is clean. */
bool pool_dirty_next(const struct pool *pool, const struct pool_range *within,
		     struct pool_range *ret_range);

/* Marks a range, cut to the pool. Returns 0 or -ENOMEM. pool_mark_clean() of what
 * pool_dirty_next() returned for a held piece cannot fail. */
int pool_mark_dirty(struct pool *pool, const struct pool_range *range) umdev_warn_unused;
int pool_mark_clean(struct pool *pool, const struct pool_range *range) umdev_warn_unused;

/* Units that no piece holds. */
uint64_t pool_free(const struct pool *pool);

/*
 * The map of pieces as it is kept on disk: { "units", "align", "pieces": [ { "start", "size",
 * "uuid", "state": "held"|"dirty" } ], "backings": @backings }, the last unless it is NULL. Freed
 * by the caller; NULL when out of memory.
 */
char *pool_map_print(const struct pool *pool, const json_t *backings);

/*
 * Puts a map into an empty pool. INVALID when it contradicts itself or does not fit the pool; the
 * pool is then empty again.
 */
int pool_map_parse(struct pool *pool, const json_t *map, struct umdev_error *err) umdev_warn_unused;
