/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The pool against a model of one byte per unit: whatever is claimed, released, discarded, the two
 * agree, pieces never overlap, the sums are right, and when all is released the pool is as it
 * began. The seed is printed; UMDEV_TEST_SEED repeats a run.
 */
#include "model/pool.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define UNITS  997
#define HELD   1
#define DIRTY  2
#define PIECES 64

static uint64_t seed;

static uint64_t random_next(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

static void uuid_make(char *uuid, unsigned n)
{
	snprintf(uuid, IDENT_UUID_SIZE, "00000000-0000-0000-0000-%012x", n);
}

/* One byte per unit. */
struct shadow {
	uint8_t units[UNITS];
	uint64_t align;
};

static uint64_t shadow_available(const struct shadow *s, const struct pool_want *want)
{
	uint64_t n = 0;
	uint64_t at = 0;

	while (at < UNITS) {
		uint64_t size = 0;

		while (at + size < UNITS && !(s->units[at + size] & HELD))
			size++;
		if (size == 0) {
			at++;
			continue;
		}
		/* Place instances one behind the other from the first aligned unit on. */
		for (uint64_t p = (at + s->align - 1) / s->align * s->align;
		     p + want->cost <= at + size;
		     p = (p + want->cost + s->align - 1) / s->align * s->align)
			n++;
		at += size;
	}
	return n;
}

static void shadow_compare(const struct shadow *s, const struct pool *pool)
{
	uint8_t seen[UNITS] = {0};
	uint64_t free_units = 0;

	for (size_t i = 0; i < pool->piece_count; i++) {
		const struct pool_piece *p = &pool->pieces[i];

		assert_true(p->start % s->align == 0);
		for (uint64_t u = p->start; u < p->start + p->size; u++) {
			assert_int_equal(seen[u], 0); /* never two holders */
			seen[u] |= HELD;
		}
	}
	for (size_t i = 0; i < pool->dirty_count; i++) {
		const struct pool_range *d = &pool->dirty[i];

		assert_true(d->size > 0);
		if (i > 0)
			assert_true(d->start > d[-1].start + d[-1].size);
		for (uint64_t u = d->start; u < d->start + d->size; u++)
			seen[u] |= DIRTY;
	}
	assert_memory_equal(seen, s->units, UNITS);
	for (unsigned u = 0; u < UNITS; u++)
		free_units += !(seen[u] & HELD);
	assert_int_equal(pool_free(pool), free_units);
	assert_true(pool->dirty_room >= pool->dirty_count + pool->piece_count);
}

static void shadow_set(struct shadow *s, uint64_t start, uint64_t size, int set, int clear)
{
	for (uint64_t u = start; u < start + size; u++)
		s->units[u] = (uint8_t)((s->units[u] & ~clear) | set);
}

/* Discards what is dirty of a piece, wholly or only in part, as a failing driver would. */
static void discard(struct pool *pool, struct shadow *s, const struct pool_range *piece, bool all)
{
	struct pool_range r;

	while (pool_dirty_next(pool, piece, &r)) {
		for (uint64_t u = r.start; u < r.start + r.size; u++)
			assert_int_equal(s->units[u] & DIRTY, DIRTY);
		if (!all && r.size > 1)
			r.size /= 2;
		assert_int_equal(pool_mark_clean(pool, &r), 0);
		shadow_set(s, r.start, r.size, 0, DIRTY);
		if (!all)
			return;
	}
	for (uint64_t u = piece->start; u < piece->start + piece->size; u++)
		assert_int_equal(s->units[u] & DIRTY, 0);
}

static void walk(uint64_t align, uint64_t *rng)
{
	struct shadow s = {.align = align};
	struct pool_range pieces[PIECES] = {0};
	struct pool pool;
	char uuid[IDENT_UUID_SIZE];

	assert_int_equal(pool_init(&pool, UNITS, align), 0);
	for (unsigned step = 0; step < 4000; step++) {
		unsigned slot = (unsigned)(random_next(rng) % PIECES);
		struct pool_want want = {.cost = 1 + random_next(rng) % 90,
					 .rest = random_next(rng) % 16 == 0};
		uint64_t before = pool_available(&pool, &want);

		uuid_make(uuid, slot);
		if (!want.rest)
			assert_int_equal(before, shadow_available(&s, &want));
		if (pieces[slot].size) {
			bool dirty = random_next(rng) % 4 != 0;

			assert_non_null(pool_find(&pool, uuid));
			pool_release(&pool, pieces[slot].start, dirty);
			shadow_set(&s, pieces[slot].start, pieces[slot].size, dirty ? DIRTY : 0,
				   HELD);
			memset(&pieces[slot], 0, sizeof(pieces[slot]));
			assert_null(pool_find(&pool, uuid));
		} else {
			uint64_t size = pool_claim_size(&pool, &want);
			int r = pool_claim(&pool, uuid, &want, &pieces[slot]);

			assert_int_equal(r, before ? 0 : -ENOSPC);
			assert_int_equal(pieces[slot].size, r ? 0 : size);
			if (r == 0) {
				assert_true(pieces[slot].size >= want.cost);
				assert_true(want.rest || pieces[slot].size == want.cost);
				shadow_set(&s, pieces[slot].start, pieces[slot].size, HELD, 0);
				discard(&pool, &s, &pieces[slot], random_next(rng) % 3 != 0);
			}
		}
		shadow_compare(&s, &pool);
	}
	for (unsigned slot = 0; slot < PIECES; slot++) {
		if (pieces[slot].size)
			pool_release(&pool, pieces[slot].start, true);
	}
	assert_int_equal(pool.piece_count, 0);
	assert_int_equal(pool_free(&pool), UNITS);
	for (uint64_t cost = 1; cost <= UNITS; cost++) {
		struct pool_want want = {.cost = cost};

		assert_int_equal(pool_available(&pool, &want), pool_max(&pool, &want));
	}
	pool_done(&pool);
}

static void test_property(void **state)
{
	uint64_t rng = seed;

	(void)state;
	walk(1, &rng);
	walk(2, &rng);
	walk(8, &rng);
	walk(30, &rng);
}

static void test_limits(void **state)
{
	struct pool pool;
	struct pool_range piece;
	struct pool_want want = {.cost = 4};

	(void)state;
	assert_int_equal(pool_init(&pool, 0, 1), -EINVAL);
	assert_int_equal(pool_init(&pool, UINT64_MAX, 1), -EINVAL);
	assert_int_equal(pool_init(&pool, 8, 0), 0);
	assert_int_equal(pool_max(&pool, &want), 2);
	assert_int_equal(pool_claim(&pool, "a", &want, &piece), 0);
	assert_int_equal(pool_claim(&pool, "b", &want, &piece), 0);
	assert_int_equal(pool_claim(&pool, "c", &want, &piece), -ENOSPC);
	assert_int_equal(piece.start, 4); /* untouched by the failure */
	pool_release(&pool, 0, true);
	assert_int_equal(pool_available(&pool, &want), 1);
	want.cost = INT64_MAX;
	assert_int_equal(pool_available(&pool, &want), 0);
	want.cost = 0;
	assert_int_equal(pool_available(&pool, &want), 0);
	pool_done(&pool);
}

/* The largest pool with coarse alignment: nothing wraps. */
static void test_huge(void **state)
{
	struct pool pool;
	struct pool_range piece;
	struct pool_want want = {.cost = INT64_MAX - 1};

	(void)state;
	assert_int_equal(pool_init(&pool, INT64_MAX, UINT64_C(1) << 62), 0);
	assert_int_equal(pool_max(&pool, &want), 1);
	assert_int_equal(pool_claim(&pool, "a", &want, &piece), 0);
	assert_int_equal(pool_available(&pool, &want), 0);
	want.cost = 1;
	assert_int_equal(pool_available(&pool, &want), 0);
	pool_done(&pool);
}

static void test_best_fit(void **state)
{
	struct pool pool;
	struct pool_range piece;
	struct pool_want four = {.cost = 4};
	struct pool_want rest = {.cost = 2, .rest = true};

	(void)state;
	assert_int_equal(pool_init(&pool, 32, 1), 0);
	assert_int_equal(pool_hold(&pool, "a", &(struct pool_range){8, 4}), 0);
	assert_int_equal(pool_hold(&pool, "b", &(struct pool_range){16, 4}), 0);
	assert_int_equal(pool_hold(&pool, "c", &(struct pool_range){18, 4}), -EINVAL);
	assert_int_equal(pool_hold(&pool, "c", &(struct pool_range){14, 4}), -EINVAL);
	assert_int_equal(pool_hold(&pool, "c", &(struct pool_range){30, 4}), -EINVAL);
	/* free: 0..8, 12..16, 20..32 */
	assert_int_equal(pool_available(&pool, &four), 2 + 1 + 3);
	assert_int_equal(pool_claim(&pool, "d", &four, &piece), 0);
	assert_int_equal(piece.start, 12);
	assert_int_equal(pool_available(&pool, &rest), 1);
	assert_int_equal(pool_claim(&pool, "e", &rest, &piece), 0);
	assert_int_equal(piece.start, 20);
	assert_int_equal(piece.size, 12);
	pool_done(&pool);
}

/* Cleaning parts makes more dirty ranges; what releases need is not used for them. */
static void test_releases_keep_their_room(void **state)
{
	struct pool pool;
	struct pool_range piece[4];
	char uuid[IDENT_UUID_SIZE];

	(void)state;
	assert_int_equal(pool_init(&pool, 1024, 1), 0);
	assert_int_equal(pool_mark_dirty(&pool, &(struct pool_range){100, 900}), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(piece); i++) {
		uuid_make(uuid, i);
		assert_int_equal(pool_hold(&pool, uuid, &(struct pool_range){8 * i, 4}), 0);
		piece[i] = (struct pool_range){8 * i, 4};
	}
	for (uint64_t unit = 101; unit < 1000; unit += 2) {
		assert_int_equal(pool_mark_clean(&pool, &(struct pool_range){unit, 1}), 0);
		assert_true(pool.dirty_room >= pool.dirty_count + pool.piece_count);
	}
	assert_int_equal(pool.dirty_count, 450);
	for (unsigned i = 0; i < ARRAY_SIZE(piece); i++)
		pool_release(&pool, piece[i].start, true);
	assert_int_equal(pool.dirty_count, 454);
	pool_done(&pool);
}

static void test_map(void **state)
{
	static const char a[] = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
	struct pool pool;
	struct pool again;
	struct pool_range piece;
	struct pool_want want = {.cost = 16};
	struct umdev_error err = {0};
	json_t *backings = json_pack("[{s:s}]", "path", "/a \"quoted\" b\\");
	umdev_autofree char *text = NULL;
	umdev_autofree char *empty = NULL;
	json_t *map;

	(void)state;
	assert_int_equal(pool_init(&pool, 64, 8), 0);
	empty = pool_map_print(&pool, NULL);
	map = json_loads(empty, JSON_REJECT_DUPLICATES, NULL);
	assert_int_equal(json_object_size(map), 3);
	assert_int_equal(json_array_size(json_object_get(map, "pieces")), 0);
	json_decref(map);
	assert_int_equal(pool_claim(&pool, a, &want, &piece), 0);
	assert_int_equal(pool_mark_dirty(&pool, &(struct pool_range){24, 100}), 0);
	text = pool_map_print(&pool, backings);
	assert_non_null(text);
	map = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(map);
	assert_true(json_equal(json_object_get(map, "backings"), backings));
	json_decref(backings);
	assert_int_equal(json_integer_value(json_object_get(map, "units")), 64);
	assert_int_equal(json_integer_value(json_object_get(map, "align")), 8);
	assert_int_equal(pool_init(&again, 64, 8), 0);
	assert_int_equal(pool_map_parse(&again, map, &err), 0);
	assert_string_equal(pool_find(&again, a)->uuid, a);
	assert_int_equal(again.dirty_count, 1);
	assert_int_equal(again.dirty[0].start, 24);
	assert_int_equal(again.dirty[0].size, 40);
	pool_done(&again);

	/* A smaller pool cannot take it, and is left empty. */
	assert_int_equal(pool_init(&again, 40, 8), 0);
	assert_int_equal(pool_map_parse(&again, map, &err), -EINVAL);
	assert_int_equal(again.piece_count, 0);
	assert_int_equal(again.dirty_count, 0);
	pool_done(&again);
	json_decref(map);
	pool_done(&pool);
}

static void test_map_bad(void **state)
{
	static const char *const bad[] = {
		"[]",
		"{}",
		"{\"pieces\":{}}",
		"{\"pieces\":[1]}",
		"{\"pieces\":[{\"start\":-1,\"size\":8,\"state\":\"dirty\"}]}",
		"{\"pieces\":[{\"start\":0,\"size\":0,\"state\":\"dirty\"}]}",
		"{\"pieces\":[{\"start\":9223372036854775807,\"size\":9223372036854775807,"
		"\"state\":\"dirty\"}]}",
		"{\"pieces\":[{\"start\":0,\"size\":8,\"state\":\"held\"}]}",
		"{\"pieces\":[{\"start\":0,\"size\":9,\"state\":\"dirty\"},"
		"{\"start\":8,\"size\":8,\"state\":\"dirty\"}]}",
		"{\"pieces\":[{\"start\":0,\"size\":8,\"state\":\"lost\",\"uuid\":"
		"\"83b8f4f2-509f-382f-3c1e-e6bfe0fa1001\"}]}",
		"{\"pieces\":[{\"start\":4,\"size\":8,\"state\":\"held\",\"uuid\":"
		"\"83b8f4f2-509f-382f-3c1e-e6bfe0fa1001\"}]}",
		"{\"pieces\":[{\"start\":0,\"size\":8,\"state\":\"held\",\"uuid\":"
		"\"83b8f4f2-509f-382f-3c1e-e6bfe0fa1001\"},{\"start\":0,\"size\":8,\"state\":"
		"\"held\",\"uuid\":\"83b8f4f2-509f-382f-3c1e-e6bfe0fa1002\"}]}",
		"{\"pieces\":[{\"start\":0,\"size\":8,\"state\":\"held\",\"uuid\":"
		"\"83b8f4f2-509f-382f-3c1e-e6bfe0fa1001\"},{\"start\":8,\"size\":8,\"state\":"
		"\"held\",\"uuid\":\"83b8f4f2-509f-382f-3c1e-e6bfe0fa1001\"}]}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct umdev_error err = {0};
		struct pool pool;
		json_t *map = json_loads(bad[i], 0, NULL);

		assert_non_null(map);
		assert_int_equal(pool_init(&pool, 64, 8), 0);
		assert_int_equal(pool_map_parse(&pool, map, &err), -EINVAL);
		assert_int_equal(err.word, ERROR_INVALID);
		assert_int_equal(pool.piece_count, 0);
		pool_done(&pool);
		json_decref(map);
	}
}

int main(void)
{
	const char *given = getenv("UMDEV_TEST_SEED");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_property),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_huge),
		cmocka_unit_test(test_best_fit),
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_map_bad),
		cmocka_unit_test(test_releases_keep_their_room),
	};

	seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) | 1;
	printf("UMDEV_TEST_SEED=%llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
