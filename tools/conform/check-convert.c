/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The check of convert(): states of older versions of the driver become its own, or are refused.
 *
 * Where the older driver is there (--older), a process of its own leaves a state, and the guest
 * finds its device again after the conversion. Then states are damaged; without the older driver
 * they are bytes. An old state lies before a page that cannot be touched and cannot be written, so
 * that who reads beyond it, or changes it, crashes.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "check-state.h"
#include "check.h"
#include "perf/random.h"
#include "util/clock.h"

#define CONVERT_PAGE	4096u
#define CONVERT_ROUNDS	4
#define CONVERT_STATES	300
#define CONVERT_TOUCHES 60
#define CONVERT_SIZE	16384u /* of states that are bytes only */

/* A state of an older version, shared between the processes. */
struct convert_old {
	uint64_t size;
	uint32_t version;
	uint32_t reserved;
	uint8_t bytes[DRIVER_STATE_MAX];
};

struct convert_trip {
	struct state_trip trip;
	struct convert_old *old;
};

static void *convert_map(size_t size)
{
	void *map = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (map == MAP_FAILED)
		verdict_skip("out of memory");
	return map;
}

/* A copy of @size bytes that ends where memory ends and cannot be changed. */
static const void *convert_guarded(const void *bytes, size_t size)
{
	size_t mapped = (size / CONVERT_PAGE + 1) * CONVERT_PAGE;
	uint8_t *map = convert_map(mapped + CONVERT_PAGE);
	uint8_t *at = map + mapped - size;

	memcpy(at, bytes, size);
	if (mprotect(map, mapped, PROT_READ) < 0 ||
	    mprotect(map + mapped, CONVERT_PAGE, PROT_NONE) < 0)
		verdict_skip("memory cannot be protected");
	return at;
}

static void convert_unguard(const void *at, size_t size)
{
	size_t mapped = (size / CONVERT_PAGE + 1) * CONVERT_PAGE;

	munmap((uint8_t *)(uintptr_t)at - (mapped - size), mapped + CONVERT_PAGE);
}

/* Converts into @to, zeros that kit_state_new() made. */
static int convert_call(struct kit *kit, uint32_t version, const void *state, size_t size, void *to,
			struct umdev_error *err)
{
	size_t own = kit->driver.table.state_size;
	int r;

	kit->converting = true;
	kit_enter(kit, "convert(version %u, %zu bytes)", version, size);
	r = driver_convert(&kit->driver, version, state, size, to, err);
	kit_leave(kit, "convert");
	kit->converting = false;
	/* What kit_state_new() put behind it. */
	for (const uint8_t *at = (uint8_t *)to + own; (uintptr_t)at % CONVERT_PAGE; at++) {
		if (*at != KIT_FILLER)
			verdict_fail("convert wrote beyond the %zu bytes of the new state", own);
	}
	return r;
}

/* The older driver. */
static void convert_older(void *arg)
{
	struct convert_trip *c = arg;
	struct kit *kit = c->trip.kit;
	struct conform_options options = *kit->options;
	struct umdev_error err = {0};

	memcpy(options.path, options.older, sizeof(options.path));
	kit->options = &options;
	if (kit_load(kit, &err) < 0)
		verdict_skip("--older is not loaded: %s", err.message);
	c->old->size = kit->driver.table.state_size;
	c->old->version = kit->driver.table.state_version;
	state_first(&c->trip);
}

static void convert_second(void *arg)
{
	struct convert_trip *c = arg;
	struct kit *kit = c->trip.kit;
	struct umdev_error err = {0};
	const void *old = convert_guarded(c->old->bytes, c->old->size);

	kit_up(kit);
	c->trip.state = kit_state_new(kit);
	if (convert_call(kit, c->old->version, old, c->old->size, c->trip.state, &err) < 0)
		verdict_fail("a state of the older driver is refused: %s", err.message);
	state_second(&c->trip);
}

/* States of the older driver: the guest goes on. */
static void convert_good(struct kit *kit, struct convert_trip *c, uint32_t from, uint32_t own)
{
	c->trip.ignored = state_shared_regs();
	verdict_in_child(state_look, &c->trip);
	for (uint32_t round = 0; round < CONVERT_ROUNDS; round++) {
		c->trip.seed = kit->options->seed + round;
		c->trip.touches = round * CONVERT_TOUCHES / 2;
		c->trip.state = c->old->bytes;
		verdict_note("seed %llu, round %u", (unsigned long long)kit->options->seed, round);
		verdict_in_child(convert_older, c);
		if (c->old->version < from || c->old->version >= own)
			verdict_fail("--older has state_version %u; it converts from %u on to its "
				     "own %u",
				     c->old->version, from, own);
		verdict_in_child(convert_second, c);
	}
}

/* Damages what there is, or makes something up. Returns its size. */
static size_t convert_damage(const struct convert_old *old, uint8_t *state, uint32_t round,
			     uint64_t *seed)
{
	size_t size = old->size ? old->size : random_below(seed, CONVERT_SIZE);

	memcpy(state, old->bytes, old->size);
	if (!old->size)
		memset(state, 0, size);
	if (round % 8 == 7)
		return random_below(seed, size + 1); /* cut */
	state_spoil(state, size, round, seed);
	return size;
}

/* The same bytes give the same answer. */
static void convert_again(struct kit *kit, uint32_t version, const void *state, size_t size,
			  const void *first, int answer)
{
	struct umdev_error err = {0};
	void *to = kit_state_new(kit);
	int r = convert_call(kit, version, state, size, to, &err);

	if (r != answer || (r == 0 && memcmp(to, first, kit->driver.table.state_size) != 0))
		verdict_fail("convert gives another answer to the same %zu bytes", size);
	kit_state_free(kit, to);
}

static void convert_damaged(void *arg)
{
	struct convert_trip *c = arg;
	struct kit *kit = c->trip.kit;
	struct umdev_error err = {0};
	uint8_t *state = malloc(DRIVER_STATE_MAX);

	kit_up(kit);
	for (uint32_t round = 0; state && round < CONVERT_STATES; round++) {
		const struct umdev_driver *t = &kit->driver.table;
		uint64_t seed = kit->options->seed * 1000 + round;
		uint32_t version =
			c->old->size
				? c->old->version
				: t->state_from + (uint32_t)random_below(
							  &seed, t->state_version - t->state_from);
		size_t size = convert_damage(c->old, state, round, &seed);
		const void *guarded = convert_guarded(state, size);
		void *to = kit_state_new(kit);
		struct umdev_mdev *mdev = NULL;
		int r;

		verdict_note("seed %llu, damaged state %u", (unsigned long long)kit->options->seed,
			     round);
		r = convert_call(kit, version, guarded, size, to, &err);
		convert_again(kit, version, guarded, size, to, r);
		if (r == 0) {
			mdev = state_resume(kit, to, &err);
			if (!mdev)
				verdict_fail("mdev_create refuses what convert has made: %s",
					     err.message);
			state_work_on(mdev, seed, round);
		}
		if (!mdev)
			kit_state_free(kit, to);
		convert_unguard(guarded, size);
	}
	free(state);
	kit_close(kit);
}

void check_state_convert(struct kit *kit)
{
	struct convert_trip c = {.trip = {.kit = kit, .seen = state_shared_regs()},
				 .old = convert_map(sizeof(*c.old))};
	uint32_t from;
	uint32_t own;

	state_prepare(kit);
	from = kit->driver.table.state_from;
	own = kit->driver.table.state_version;
	if (!kit->driver.table.convert)
		verdict_skip("the driver converts no older state");
	if (!state_resumes(kit))
		verdict_skip("the driver says that it cannot resume");
	kit->memory_mode = KIT_MEMORY_DIRECT;
	if (kit->options->older[0])
		convert_good(kit, &c, from, own);
	verdict_in_child(convert_damaged, &c);
}
