/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks of the pool: pieces are dealt out as umdevd does it (model/pool.c), and whatever that
 * has room for the driver has to make, in every order, and to give back whole.
 */
#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "model/pool.h"
#include "perf/random.h"
#include "regs.h"
#include "util/clock.h"

#define POOL_STEPS  300
#define POOL_ORDERS 4 /* mdevs, and all orders of them */
#define POOL_LIVES  64
/* Bytes that a life may cost before it counts: caches of the C library come to less. */
#define POOL_LIFE_BYTES 16

static struct pool_want pool_want_of(const struct kit *kit, uint32_t type)
{
	const struct umdev_type *t = kit_type_row(kit, type);

	return (struct pool_want){.cost = t->cost, .rest = t->flags & UMDEV_TYPE_REST};
}

void check_pool_fit(struct kit *kit)
{
	struct pool pool = {0};
	bool any = false;

	kit_up(kit);
	if (pool_init(&pool, kit->info.pool_units, kit->info.pool_align) < 0)
		verdict_fail("a pool of %llu units that begin at multiples of %llu is impossible",
			     (unsigned long long)kit->info.pool_units,
			     (unsigned long long)kit->info.pool_align);
	for (uint32_t i = 0; i < kit->info.type_count; i++) {
		struct pool_want want = pool_want_of(kit, i);

		/* One that costs nothing is types.legal's to refuse. */
		any = any || want.cost == 0 || pool_max(&pool, &want) > 0;
	}
	if (!any)
		verdict_fail(
			"no type fits into the pool of %llu units: the first one, %s, costs %llu",
			(unsigned long long)kit->info.pool_units, kit_type_row(kit, 0)->id,
			(unsigned long long)kit_type_row(kit, 0)->cost);
	kit_close(kit);
}

/* The pool, or the check is skipped. */
static void pool_make(struct kit *kit, struct pool *pool)
{
	kit_up(kit);
	(void)kit_type(kit);
	if (pool_init(pool, kit->info.pool_units, kit->info.pool_align) < 0)
		verdict_skip("the pool is impossible");
}

/* Claims a piece for number @number and makes the mdev. NULL when the pool has no room. */
static struct umdev_mdev *pool_create(struct kit *kit, struct pool *pool, uint32_t type,
				      uint32_t number)
{
	struct pool_want want = pool_want_of(kit, type);
	struct kit_create create = {.type_index = type, .number = number};
	struct umdev_error err = {0};
	struct pool_range piece;
	struct umdev_mdev *mdev;
	char uuid[UMDEV_UUID_STRING];

	snprintf(uuid, sizeof(uuid), "c0ffee00-0000-4000-8000-%012x", number + 1);
	if (want.cost == 0 || pool_claim(pool, uuid, &want, &piece) < 0)
		return NULL;
	create.piece_start = piece.start;
	create.piece_size = piece.size;
	mdev = kit_create(kit, &create, &err);
	if (!mdev && kit->declared_badly)
		verdict_skip("an mdev of type %s cannot be shown: %s", kit_type_row(kit, type)->id,
			     err.message);
	if (!mdev)
		verdict_fail("the pool has room for another %s, and it is refused: %s",
			     kit_type_row(kit, type)->id, err.message);
	return mdev;
}

static void pool_remove(struct pool *pool, struct umdev_mdev *mdev)
{
	uint64_t start = mdev->piece_start;

	kit_remove(mdev);
	pool_release(pool, start, false);
}

void check_pool_fill(struct kit *kit)
{
	struct pool pool = {0};

	pool_make(kit, &pool);
	for (uint32_t type = 0; type < kit->info.type_count; type++) {
		struct pool_want want = pool_want_of(kit, type);
		uint64_t max = want.cost ? MIN(pool_max(&pool, &want), (uint64_t)KIT_MDEVS) : 0;

		/* Twice: what was given back is there again. */
		for (unsigned round = 0; round < 2; round++) {
			struct umdev_mdev *mdevs[KIT_MDEVS];

			verdict_note("type %s", kit_type_row(kit, type)->id);
			for (uint32_t i = 0; i < max; i++) {
				mdevs[i] = pool_create(kit, &pool, type, i);
				if (!mdevs[i])
					verdict_fail("only %u of %llu %s came from an empty pool",
						     i, (unsigned long long)max,
						     kit_type_row(kit, type)->id);
			}
			for (uint32_t i = 0; i < max; i++)
				pool_remove(&pool, mdevs[i]);
		}
	}
	pool_done(&pool);
	kit_close(kit);
}

/* The next permutation in order; false after the last. */
static bool pool_permute(uint32_t *order, uint32_t count)
{
	uint32_t i = count - 1;
	uint32_t j = count - 1;
	uint32_t t;

	while (i > 0 && order[i - 1] >= order[i])
		i--;
	if (i == 0)
		return false;
	while (order[j] <= order[i - 1])
		j--;
	t = order[i - 1], order[i - 1] = order[j], order[j] = t;
	for (j = count - 1; i < j; i++, j--)
		t = order[i], order[i] = order[j], order[j] = t;
	return true;
}

void check_pool_orders(struct kit *kit)
{
	uint32_t order[POOL_ORDERS] = {0, 1, 2, 3};
	struct pool pool = {0};
	uint32_t type;
	uint32_t count;
	struct pool_want want;

	pool_make(kit, &pool);
	type = kit_type(kit);
	want = pool_want_of(kit, type);
	count = (uint32_t)MIN(pool_max(&pool, &want), (uint64_t)POOL_ORDERS);
	if (count < 2)
		verdict_skip("the pool has room for one mdev alone");
	do {
		struct umdev_mdev *mdevs[POOL_ORDERS];
		uint64_t seed = kit->options->seed;

		verdict_note("order of removal %u %u %u %u", order[0], order[1], order[2],
			     order[3]);
		for (uint32_t i = 0; i < count; i++) {
			mdevs[i] = pool_create(kit, &pool, type, i);
			if (!mdevs[i])
				verdict_fail("%u of %u mdevs are refused by an empty pool", i,
					     count);
			regs_touch(mdevs[i], &seed, 4);
		}
		for (uint32_t i = 0; i < count; i++)
			pool_remove(&pool, mdevs[order[i]]);
	} while (pool_permute(order, count));
	pool_done(&pool);
	kit_close(kit);
}

void check_pool_random(struct kit *kit)
{
	struct umdev_mdev *mdevs[KIT_MDEVS] = {NULL};
	uint64_t seed = kit->options->seed;
	struct pool pool = {0};

	pool_make(kit, &pool);
	for (uint32_t step = 0; step < POOL_STEPS; step++) {
		uint32_t i = (uint32_t)random_below(&seed, KIT_MDEVS);
		uint64_t held = 0;

		verdict_note("seed %llu, step %u", (unsigned long long)kit->options->seed, step);
		if (mdevs[i]) {
			pool_remove(&pool, mdevs[i]);
			mdevs[i] = NULL;
		} else {
			mdevs[i] = pool_create(
				kit, &pool, (uint32_t)random_below(&seed, kit->info.type_count), i);
			if (mdevs[i])
				regs_touch(mdevs[i], &seed, 3);
		}
		kit_turn(kit, 0);
		for (uint32_t j = 0; j < KIT_MDEVS; j++)
			held += mdevs[j] ? mdevs[j]->piece_size : 0;
		if (held + pool_free(&pool) != kit->info.pool_units)
			verdict_fail("pieces of %llu and %llu free units are no pool of %llu",
				     (unsigned long long)held, (unsigned long long)pool_free(&pool),
				     (unsigned long long)kit->info.pool_units);
	}
	kit_close(kit);
	pool_done(&pool);
}

/* ---- What a life leaves ---- */

struct pool_left {
	unsigned fds;
	unsigned threads;
	unsigned watches;
	size_t bytes;
};

static unsigned pool_count(const char *directory)
{
	DIR *dir = opendir(directory);
	unsigned count = 0;

	while (dir && readdir(dir))
		count++;
	if (dir)
		closedir(dir);
	return count;
}

static struct pool_left pool_left_now(const struct kit *kit)
{
	struct pool_left left = {.fds = pool_count("/proc/self/fd"),
				 .threads = pool_count("/proc/self/task")};

	for (uint32_t i = 0; i < KIT_WATCHES; i++)
		left.watches += kit->watches[i].fd >= 0;
	left.bytes = mallinfo2().uordblks;
	return left;
}

static void pool_lives(struct kit *kit, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		uint64_t seed = kit->options->seed;
		struct umdev_mdev *mdev = kit_mdev(kit, 0);

		kit_join(mdev);
		regs_touch(mdev, &seed, 4);
		kit_settle(kit, NS_PER_S);
		kit_remove(mdev);
	}
}

void check_pool_given_back(struct kit *kit)
{
	struct pool_left before;
	struct pool_left after;
	unsigned fds;

	kit_up(kit);
	fds = pool_count("/proc/self/fd");
	/* What is made once and kept is no leak. */
	pool_lives(kit, 8);
	before = pool_left_now(kit);
	pool_lives(kit, POOL_LIVES);
	after = pool_left_now(kit);
	if (after.fds != before.fds)
		verdict_fail("%d lives of an mdev leave %d descriptors open", POOL_LIVES,
			     (int)after.fds - (int)before.fds);
	if (after.threads != before.threads)
		verdict_fail("%d lives of an mdev leave %d threads", POOL_LIVES,
			     (int)after.threads - (int)before.threads);
	if (after.watches != before.watches)
		verdict_fail("%d lives of an mdev leave %d watches", POOL_LIVES,
			     (int)after.watches - (int)before.watches);
	if (after.bytes > before.bytes + (size_t)POOL_LIVES * POOL_LIFE_BYTES)
		verdict_fail("%d lives of an mdev leave %zu bytes of memory", POOL_LIVES,
			     after.bytes - before.bytes);
	kit_close(kit);
	/* Opened once more and closed, the parent has given back what it had. */
	kit_up(kit);
	if (pool_count("/proc/self/fd") != fds)
		verdict_fail("the parent, closed and opened again, has %d descriptors more",
			     (int)pool_count("/proc/self/fd") - (int)fds);
	kit_close(kit);
}
