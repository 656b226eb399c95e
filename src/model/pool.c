/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Contiguous pieces and dirty ranges in two sorted arrays. See pool.h.
 *
 * A held piece has two dirty ranges reserved for it: cleaning inside of it can split one range that
 * reaches over both its ends, and its release can add one. So every release finds room.
 */
#include "model/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int pool_init(struct pool *pool, uint64_t units, uint64_t align)
{
	if (align == 0)
		align = 1;
	if (units == 0 || units > INT64_MAX)
		return -EINVAL;
	memset(pool, 0, sizeof(*pool));
	pool->units = units;
	pool->align = align;
	return 0;
}

void pool_done(struct pool *pool)
{
	free(pool->pieces);
	free(pool->dirty);
	memset(pool, 0, sizeof(*pool));
}

int pool_copy(const struct pool *pool, struct pool *ret_copy)
{
	struct pool copy = *pool;

	copy.piece_room = pool->piece_count + 1;
	copy.dirty_room = pool->dirty_room + 1;
	copy.pieces = calloc(copy.piece_room, sizeof(*copy.pieces));
	copy.dirty = calloc(copy.dirty_room, sizeof(*copy.dirty));
	if (!copy.pieces || !copy.dirty) {
		pool_done(&copy);
		return -ENOMEM;
	}
	if (pool->piece_count)
		memcpy(copy.pieces, pool->pieces, pool->piece_count * sizeof(*copy.pieces));
	if (pool->dirty_count)
		memcpy(copy.dirty, pool->dirty, pool->dirty_count * sizeof(*copy.dirty));
	*ret_copy = copy;
	return 0;
}

/* Makes room for @count elements. Returns 0 or -ENOMEM. */
static int pool_grow(void **array, size_t *room, size_t count, size_t element)
{
	size_t more = *room ? *room : 8;
	void *bigger;

	if (count <= *room)
		return 0;
	while (more < count)
		more *= 2;
	bigger = reallocarray(*array, more, element);
	if (!bigger)
		return -ENOMEM;
	*array = bigger;
	*room = more;
	return 0;
}

static int pool_dirty_reserve(struct pool *pool, size_t extra)
{
	return pool_grow((void **)&pool->dirty, &pool->dirty_room,
			 pool->dirty_count + 2 * pool->piece_count + extra, sizeof(*pool->dirty));
}

/* ---- Free extents ---------------------------------------------------------------------------- */

/* The free extent in front of piece @i (or behind the last one), its start aligned. Its size may be
 * 0. */
static struct pool_range pool_extent(const struct pool *pool, size_t i)
{
	const struct pool_piece *before = i > 0 ? &pool->pieces[i - 1] : NULL;
	uint64_t start = before ? before->start + before->size : 0;
	uint64_t end = i < pool->piece_count ? pool->pieces[i].start : pool->units;
	uint64_t over = start % pool->align;

	if (over != 0 && __builtin_add_overflow(start, pool->align - over, &start))
		start = end;
	return (struct pool_range){.start = start, .size = start < end ? end - start : 0};
}

/* What one instance takes of a free extent of @size, 0 when it does not fit. */
static uint64_t pool_share(const struct pool *pool, const struct pool_want *want, uint64_t size)
{
	if (want->cost == 0 || size < want->cost)
		return 0;
	if (!want->rest)
		return want->cost;
	size -= size % pool->align;
	return size >= want->cost ? size : 0;
}

/* How many instances fit into a free extent of @size that begins aligned. */
static uint64_t pool_count(const struct pool *pool, const struct pool_want *want, uint64_t size)
{
	uint64_t over = want->cost % pool->align;
	uint64_t step = want->cost;

	if (want->cost == 0 || size < want->cost)
		return 0;
	if (over != 0 && __builtin_add_overflow(step, pool->align - over, &step))
		return 1;
	return (size - want->cost) / step + 1;
}

/* The extent to take a piece from: for the rest the largest, else the smallest that is enough.
 * Returns its index, or a value beyond the last one. */
static size_t pool_best_extent(const struct pool *pool, const struct pool_want *want)
{
	size_t best = SIZE_MAX;
	uint64_t best_size = 0;

	for (size_t i = 0; i <= pool->piece_count; i++) {
		uint64_t size = pool_extent(pool, i).size;

		if (pool_share(pool, want, size) == 0)
			continue;
		if (best == SIZE_MAX || (want->rest ? size > best_size : size < best_size)) {
			best = i;
			best_size = size;
		}
	}
	return best;
}

uint64_t pool_available(const struct pool *pool, const struct pool_want *want)
{
	uint64_t sum = 0;

	if (want->rest)
		return pool_best_extent(pool, want) != SIZE_MAX;
	for (size_t i = 0; i <= pool->piece_count; i++)
		sum += pool_count(pool, want, pool_extent(pool, i).size);
	return sum;
}

uint64_t pool_max(const struct pool *pool, const struct pool_want *want)
{
	if (want->rest)
		return pool_share(pool, want, pool->units) != 0;
	return pool_count(pool, want, pool->units);
}

uint64_t pool_claim_size(const struct pool *pool, const struct pool_want *want)
{
	size_t i = pool_best_extent(pool, want);

	return i == SIZE_MAX ? 0 : pool_share(pool, want, pool_extent(pool, i).size);
}

uint64_t pool_free(const struct pool *pool)
{
	uint64_t n = pool->units;

	for (size_t i = 0; i < pool->piece_count; i++)
		n -= pool->pieces[i].size;
	return n;
}

/* ---- Pieces ---------------------------------------------------------------------------------- */

/* Puts a piece in front of piece @i. The range was checked. */
static int pool_insert(struct pool *pool, size_t i, const char *uuid,
		       const struct pool_range *range)
{
	struct pool_piece *piece;
	int r;

	if (pool->piece_count >= POOL_PIECES_MAX)
		return -EUSERS;
	r = pool_grow((void **)&pool->pieces, &pool->piece_room, pool->piece_count + 1,
		      sizeof(*pool->pieces));
	if (r == 0)
		r = pool_dirty_reserve(pool, 2);
	if (r < 0)
		return r;
	piece = &pool->pieces[i];
	memmove(piece + 1, piece, (pool->piece_count - i) * sizeof(*piece));
	pool->piece_count++;
	pool->changes++;
	memset(piece, 0, sizeof(*piece));
	piece->start = range->start;
	piece->size = range->size;
	memcpy(piece->uuid, uuid, strnlen(uuid, IDENT_UUID_SIZE - 1));
	return 0;
}

int pool_claim(struct pool *pool, const char *uuid, const struct pool_want *want,
	       struct pool_range *ret_piece)
{
	size_t i = pool_best_extent(pool, want);
	struct pool_range piece;
	int r;

	if (i == SIZE_MAX)
		return -ENOSPC;
	piece = pool_extent(pool, i);
	piece.size = pool_share(pool, want, piece.size);
	r = pool_insert(pool, i, uuid, &piece);
	if (r == 0)
		*ret_piece = piece;
	return r;
}

int pool_hold(struct pool *pool, const char *uuid, const struct pool_range *range)
{
	uint64_t end;
	size_t i = 0;

	if (range->size == 0 || range->start % pool->align != 0 ||
	    __builtin_add_overflow(range->start, range->size, &end) || end > pool->units)
		return -EINVAL;
	while (i < pool->piece_count && pool->pieces[i].start < range->start)
		i++;
	if (i < pool->piece_count && pool->pieces[i].start < end)
		return -EINVAL;
	if (i > 0 && pool->pieces[i - 1].start + pool->pieces[i - 1].size > range->start)
		return -EINVAL;
	return pool_insert(pool, i, uuid, range);
}

const struct pool_piece *pool_find(const struct pool *pool, const char *uuid)
{
	for (size_t i = 0; i < pool->piece_count; i++) {
		if (strcmp(pool->pieces[i].uuid, uuid) == 0)
			return &pool->pieces[i];
	}
	return NULL;
}

/* ---- Dirty ranges ---------------------------------------------------------------------------- */

/* Cuts @range to the pool. False when nothing is left. */
static bool pool_clip(const struct pool *pool, const struct pool_range *range, uint64_t *ret_start,
		      uint64_t *ret_end)
{
	uint64_t end;

	if (range->size == 0 || range->start >= pool->units)
		return false;
	if (__builtin_add_overflow(range->start, range->size, &end) || end > pool->units)
		end = pool->units;
	*ret_start = range->start;
	*ret_end = end;
	return true;
}

/* Replaces @n dirty ranges from @i on by @with_count others. There is room. */
static void pool_dirty_replace(struct pool *pool, size_t i, size_t n, const struct pool_range *with,
			       size_t with_count)
{
	struct pool_range *at;

	/* There may be no array yet. */
	if (n == 0 && with_count == 0)
		return;
	at = &pool->dirty[i];
	memmove(at + with_count, at + n, (pool->dirty_count - i - n) * sizeof(*at));
	if (with_count)
		memcpy(at, with, with_count * sizeof(*at));
	pool->dirty_count = pool->dirty_count - n + with_count;
	pool->changes += n || with_count;
}

/* Adds a range that was clipped, joining it with all that it touches. There is room for one more.
 */
static void pool_dirty_add(struct pool *pool, uint64_t start, uint64_t end)
{
	struct pool_range joined;
	size_t i = 0;
	size_t n = 0;

	while (i < pool->dirty_count && pool->dirty[i].start + pool->dirty[i].size < start)
		i++;
	while (i + n < pool->dirty_count && pool->dirty[i + n].start <= end) {
		struct pool_range *d = &pool->dirty[i + n];

		start = MIN(start, d->start);
		end = MAX(end, d->start + d->size);
		n++;
	}
	joined = (struct pool_range){.start = start, .size = end - start};
	pool_dirty_replace(pool, i, n, &joined, 1);
}

int pool_mark_dirty(struct pool *pool, const struct pool_range *range)
{
	uint64_t start;
	uint64_t end;
	int r;

	if (!pool_clip(pool, range, &start, &end))
		return 0;
	r = pool_dirty_reserve(pool, 1);
	if (r == 0)
		pool_dirty_add(pool, start, end);
	return r;
}

int pool_mark_clean(struct pool *pool, const struct pool_range *range)
{
	struct pool_range kept[2];
	size_t kept_count = 0;
	uint64_t start;
	uint64_t end;
	size_t i = 0;
	size_t n = 0;

	if (!pool_clip(pool, range, &start, &end))
		return 0;
	while (i < pool->dirty_count && pool->dirty[i].start + pool->dirty[i].size <= start)
		i++;
	for (; i + n < pool->dirty_count && pool->dirty[i + n].start < end; n++) {
		struct pool_range *d = &pool->dirty[i + n];

		if (d->start < start)
			kept[kept_count++] =
				(struct pool_range){.start = d->start, .size = start - d->start};
		if (d->start + d->size > end)
			kept[kept_count++] =
				(struct pool_range){.start = end, .size = d->start + d->size - end};
	}
	/* One more than there was, and still room for the release of every piece. */
	if (kept_count > n && pool->dirty_count + 1 + pool->piece_count > pool->dirty_room) {
		int r = pool_dirty_reserve(pool, 1);

		if (r < 0)
			return r;
	}
	pool_dirty_replace(pool, i, n, kept, kept_count);
	return 0;
}

bool pool_dirty_next(const struct pool *pool, const struct pool_range *within,
		     struct pool_range *ret_range)
{
	uint64_t start;
	uint64_t end;

	if (!pool_clip(pool, within, &start, &end))
		return false;
	for (size_t i = 0; i < pool->dirty_count; i++) {
		uint64_t from = MAX(start, pool->dirty[i].start);
		uint64_t to = MIN(end, pool->dirty[i].start + pool->dirty[i].size);

		if (from < to) {
			*ret_range = (struct pool_range){.start = from, .size = to - from};
			return true;
		}
	}
	return false;
}

void pool_release(struct pool *pool, uint64_t start, bool dirty)
{
	struct pool_piece piece;
	size_t i = 0;

	while (i < pool->piece_count && pool->pieces[i].start != start)
		i++;
	if (i == pool->piece_count)
		return;
	piece = pool->pieces[i];
	pool->piece_count--;
	pool->changes++;
	memmove(&pool->pieces[i], &pool->pieces[i + 1],
		(pool->piece_count - i) * sizeof(*pool->pieces));
	if (dirty)
		pool_dirty_add(pool, piece.start, piece.start + piece.size);
}
