/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The map of a pool: a file that says which piece belongs to whom, and what is done with the pool
 * after it was read. Whatever it was, the pool keeps its invariants, and its map can be written and
 * read again.
 *
 * Input: size and alignment of the pool, the text of a map, 0x00, claims and releases.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/pool.h"

#include "fuzz.h"

#define STEPS_MAX 200

static void fuzz_uuid(uint8_t n, char ret[IDENT_UUID_SIZE])
{
	snprintf(ret, IDENT_UUID_SIZE, "c0ffee00-1234-4abc-8def-0123456789%02x", n);
}

/* Invariants of pool.h. */
static void fuzz_rules(const struct pool *pool)
{
	uint64_t held = 0;
	uint64_t end = 0;

	for (size_t i = 0; i < pool->piece_count; i++) {
		const struct pool_piece *p = &pool->pieces[i];

		fuzz_check(p->size > 0 && p->start >= end && p->start % pool->align == 0);
		fuzz_check(p->size <= pool->units && p->start <= pool->units - p->size);
		end = p->start + p->size;
		held += p->size;
	}
	fuzz_check(pool_free(pool) == pool->units - held);
	end = 0;
	for (size_t i = 0; i < pool->dirty_count; i++) {
		const struct pool_range *d = &pool->dirty[i];

		fuzz_check(d->size > 0 && (i == 0 || d->start > end) && d->size <= pool->units);
		fuzz_check(d->start <= pool->units - d->size);
		end = d->start + d->size;
	}
	/* What releases need. */
	fuzz_check(pool->dirty_room >= pool->dirty_count + pool->piece_count);
}

/* Its map makes the same pool. */
static void fuzz_round(const struct pool *pool)
{
	struct umdev_error err = {0};
	struct pool again;
	char *map = pool_map_print(pool, NULL);
	json_t *parsed = map ? json_loads(map, 0, NULL) : NULL;
	char *second;

	fuzz_check(parsed && pool_init(&again, pool->units, pool->align) == 0);
	fuzz_check(pool_map_parse(&again, parsed, &err) == 0);
	second = pool_map_print(&again, NULL);
	fuzz_check(second && strcmp(map, second) == 0);
	free(second);
	json_decref(parsed);
	free(map);
	pool_done(&again);
}

static void fuzz_wipe(struct pool *pool, const struct pool_range *within)
{
	struct pool_range dirty;

	for (int i = 0; i < 8 && pool_dirty_next(pool, within, &dirty); i++) {
		fuzz_check(dirty.start >= within->start && dirty.size > 0);
		fuzz_check(dirty.start + dirty.size <= within->start + within->size);
		fuzz_check(pool_mark_clean(pool, &dirty) == 0);
	}
}

static void fuzz_step(struct pool *pool, struct fuzz_input *in)
{
	uint8_t how = fuzz_byte(in);
	struct pool_want want = {.cost = 1 + fuzz_take(in, how & 128 ? 8 : 1), .rest = how & 64};
	struct pool_range range = {.start = fuzz_take(in, how & 32 ? 8 : 1), .size = want.cost};
	char uuid[IDENT_UUID_SIZE];
	uint64_t size;
	int r;

	if (want.cost == 0)
		want.cost = 1;
	fuzz_uuid(fuzz_byte(in), uuid);
	/* An mdev has one piece at most. */
	if ((how & 7) <= 2 && pool_find(pool, uuid))
		return;
	switch (how & 7) {
	case 0:
	case 1:
		size = pool_claim_size(pool, &want);
		fuzz_check((size > 0) == (pool_available(pool, &want) > 0));
		fuzz_check(pool_available(pool, &want) <= pool_max(pool, &want));
		r = pool_claim(pool, uuid, &want, &range);
		fuzz_check(r == 0 ? range.size == size : r == -ENOSPC || r == -EUSERS);
		fuzz_check(r < 0 || pool_find(pool, uuid));
		break;
	case 2:
		r = pool_hold(pool, uuid, &range);
		fuzz_check(r == 0 || r == -EINVAL || r == -EUSERS);
		break;
	case 3:
	case 4:
		if (pool->piece_count > 0)
			range.start = pool->pieces[range.start % pool->piece_count].start;
		pool_release(pool, range.start, how & 8);
		break;
	case 5:
		fuzz_check(pool_mark_dirty(pool, &range) == 0);
		break;
	case 6:
		fuzz_check(pool_mark_clean(pool, &range) == 0);
		break;
	default:
		if (pool->piece_count > 0) {
			const struct pool_piece *p = &pool->pieces[range.start % pool->piece_count];

			range = (struct pool_range){p->start, p->size};
			fuzz_wipe(pool, &range);
		}
		break;
	}
	fuzz_rules(pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {.at = data, .left = size};
	struct umdev_error err = {0};
	uint8_t how = fuzz_byte(&in);
	uint64_t align = how & 1 ? 0 : 1u << (how >> 1 & 7);
	uint64_t units = fuzz_take(&in, how & 16 ? 8 : 2);
	struct pool pool;
	struct pool copy;
	char *text;
	json_t *map;
	int r;

	r = pool_init(&pool, units, align);
	fuzz_check(r == (units > 0 && units <= INT64_MAX ? 0 : -EINVAL));
	if (r < 0)
		return 0;
	text = fuzz_text(&in, 0);
	map = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	free(text);
	if (map) {
		r = pool_map_parse(&pool, map, &err);
		fuzz_check(r == 0 || (err.message[0] && pool.piece_count == 0));
	}
	json_decref(map);
	fuzz_rules(&pool);
	fuzz_round(&pool);
	for (int i = 0; in.left > 0 && i < STEPS_MAX; i++)
		fuzz_step(&pool, &in);
	fuzz_round(&pool);
	fuzz_check(pool_copy(&pool, &copy) == 0);
	fuzz_rules(&copy);
	pool_done(&copy);
	pool_done(&pool);
	return 0;
}
