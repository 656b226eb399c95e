/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks of the state page: another process goes on from it, and nothing that stands in it is
 * believed.
 *
 * The processes are children of the check. Options are opened once, before them, so that what an
 * option of the kinds BACKING and MEMORY names outlives the first, as the broker keeps it; so do
 * endpoints.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "check-state.h"
#include "check.h"
#include "perf/random.h"
#include "util/clock.h"

#define STATE_ROUNDS   8
#define STATE_TOUCHES  60
#define STATE_PAGES    200
#define STATE_ACCESSES 40

void state_prepare(struct kit *kit)
{
	static int32_t endpoints[UMDEV_ENDPOINTS_MAX];

	kit_up(kit);
	if (kit->driver.table.state_size == 0)
		verdict_skip("the driver declares no state");
	if (kit_endpoints_new(kit_type_row(kit, kit_type(kit)), endpoints) > 0)
		kit->endpoints = endpoints;
	kit_close(kit);
	dlclose(kit->driver.handle);
	kit->loaded = false;
}

struct regs *state_shared_regs(void)
{
	void *map = mmap(NULL, sizeof(struct regs), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (map == MAP_FAILED)
		verdict_skip("out of memory");
	return map;
}

void state_first(void *arg)
{
	struct state_trip *trip = arg;
	struct kit *kit = trip->kit;
	struct umdev_mdev *mdev;
	struct regs *regs;

	kit_up(kit);
	mdev = kit_mdev(kit, 0);
	if (trip->touches > 0)
		kit_join(mdev);
	regs_touch(mdev, &trip->seed, trip->touches);
	kit_settle(kit, 2 * NS_PER_S);
	/* First the state: registers may change by being read, here as they will there. */
	memcpy(trip->state, mdev->state, kit->driver.table.state_size);
	regs = regs_read(mdev);
	memcpy(trip->seen, regs, sizeof(*regs));
}

struct umdev_mdev *state_resume(struct kit *kit, void *state, struct umdev_error *err)
{
	struct kit_create create = {.type_index = kit_type(kit), .state = state};

	return kit_create(kit, &create, err);
}

void state_second(void *arg)
{
	struct state_trip *trip = arg;
	struct kit *kit = trip->kit;
	struct umdev_error err = {0};
	struct umdev_mdev *mdev;
	struct regs *regs;
	uint32_t bar;
	uint32_t at;

	kit_up(kit);
	mdev = state_resume(kit, trip->state, &err);
	if (!mdev)
		verdict_fail("the state of its own earlier process is refused: %s", err.message);
	regs = regs_read(mdev);
	if (regs_differ(trip->seen, regs, trip->ignored, &bar, &at))
		verdict_fail("offset 0x%x of BAR %u read 0x%x before its process was gone, and "
			     "0x%x after it was resumed",
			     at, bar, regs_word(trip->seen, bar, at), regs_word(regs, bar, at));
	/* And it goes on, and can be taken down. */
	regs_touch(mdev, &trip->seed, trip->touches);
	kit_settle(kit, 2 * NS_PER_S);
	kit_reset(mdev, UMDEV_RESET_DEVICE);
	kit_close(kit);
}

void state_look(void *arg)
{
	struct state_trip *trip = arg;
	struct kit *kit = trip->kit;
	struct regs *regs[2];
	struct regs *ignored;

	kit_up(kit);
	for (unsigned i = 0; i < 2; i++) {
		struct umdev_mdev *mdev = kit_mdev(kit, 0);

		kit_settle(kit, NS_PER_S);
		regs[i] = regs_read(mdev);
		kit_remove(mdev);
	}
	ignored = regs_volatile(regs[0], regs[1]);
	memcpy(trip->ignored, ignored, sizeof(*ignored));
}

bool state_resumes(const struct kit *kit)
{
	return !(kit->driver.table.flags & UMDEV_DRIVER_RESET_ON_RESTART);
}

void check_state_resume(struct kit *kit)
{
	struct state_trip trip = {
		.kit = kit, .seen = state_shared_regs(), .ignored = state_shared_regs()};

	state_prepare(kit);
	if (!state_resumes(kit))
		verdict_skip("the driver says that it cannot resume");
	verdict_in_child(state_look, &trip);
	for (uint32_t round = 0; round < STATE_ROUNDS; round++) {
		trip.seed = kit->options->seed + round;
		trip.touches = round * STATE_TOUCHES / 4;
		trip.state = kit_state_new(kit);
		kit->memory_mode = round % 2 ? KIT_MEMORY_DIRECT : KIT_MEMORY_NONE;
		verdict_note("seed %llu, round %u", (unsigned long long)kit->options->seed, round);
		verdict_in_child(state_first, &trip);
		verdict_in_child(state_second, &trip);
	}
}

void state_spoil(uint8_t *state, size_t size, uint32_t round, uint64_t *seed)
{
	uint32_t hits = 1 + (uint32_t)random_below(seed, 16);

	if (round % 4 == 0) {
		for (size_t i = 0; i < size; i++)
			state[i] = (uint8_t)random_next(seed);
		return;
	}
	if (round % 4 == 1) {
		memset(state, 0xff, size);
		return;
	}
	for (uint32_t i = 0; size > 0 && i < hits; i++) {
		uint8_t *at = &state[random_below(seed, size)];

		if (round % 4 == 2)
			*at ^= (uint8_t)(1u << random_below(seed, 8));
		else
			*at = (uint8_t)regs_value(seed);
	}
}

void state_work_on(struct umdev_mdev *mdev, uint64_t seed, uint32_t round)
{
	struct kit *kit = mdev->kit;

	kit_join(mdev);
	kit_settle(kit, 200 * NS_PER_MS);
	free(regs_read(mdev));
	regs_touch(mdev, &seed, STATE_ACCESSES);
	kit_turn(kit, 0);
	kit_reset(mdev, round % 2 ? UMDEV_RESET_DEVICE : UMDEV_RESET_LOST);
	free(regs_read(mdev));
	kit_remove(mdev);
}

/* One damaged page: refused, or lived with. */
static void state_damaged(void *arg)
{
	struct state_trip *trip = arg;
	struct kit *kit = trip->kit;
	struct umdev_error err = {0};

	kit_up(kit);
	for (uint32_t round = 0; round < STATE_PAGES; round++) {
		void *state = kit_state_new(kit);
		struct umdev_mdev *mdev;
		uint64_t seed = kit->options->seed * 1000 + round;

		verdict_note("seed %llu, damaged page %u", (unsigned long long)kit->options->seed,
			     round);
		memcpy(state, trip->state, kit->driver.table.state_size);
		state_spoil(state, kit->driver.table.state_size, round, &seed);
		mdev = state_resume(kit, state, &err);
		if (mdev)
			state_work_on(mdev, seed, round);
	}
	kit_close(kit);
}

void check_state_damaged(struct kit *kit)
{
	struct state_trip trip = {.kit = kit,
				  .seen = state_shared_regs(),
				  .seed = kit->options->seed,
				  .touches = STATE_TOUCHES};

	state_prepare(kit);
	trip.state = kit_state_new(kit);
	kit->memory_mode = KIT_MEMORY_DIRECT;
	verdict_in_child(state_first, &trip);
	verdict_in_child(state_damaged, &trip);
}
