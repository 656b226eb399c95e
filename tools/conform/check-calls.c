/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The checks behind the rules of the harness. Whatever any check does, the harness watches over
 * these rules; here an mdev is led through a life in which all of them matter, so that such a check
 * means something when it runs alone.
 */
#include "check.h"
#include "regs.h"
#include "util/clock.h"

#define CALLS_WORK_NS (100 * NS_PER_MS)

/* A guest works, and its device is reset in the midst of it: before, while and after jobs run. */
static void calls_work(struct kit *kit, struct umdev_mdev *mdev, uint32_t kind)
{
	uint64_t end_ns;

	if (kit->memory_mode == KIT_MEMORY_NONE || kit_work_begin(mdev))
		return;
	kit_work_keep(kit, 4);
	end_ns = clock_now_ns() + CALLS_WORK_NS;
	while (clock_now_ns() < end_ns)
		kit_turn(kit, NS_PER_MS);
	kit_work_keep(kit, 0);
	/* Started, and not ended unless they are very quick. */
	kit_reset(mdev, kind);
	if (kit_work_begin(mdev))
		return;
	/* Queued, and not started. */
	kit->hold_jobs = true;
	for (unsigned i = 0; i < 4; i++)
		kit_work_one(mdev);
	kit_turn(kit, 0);
	kit_reset(mdev, kind);
	kit->hold_jobs = false;
	/* A few are started, a few are not. */
	if (kit_work_begin(mdev))
		return;
	for (unsigned i = 0; i < 8; i++)
		kit_work_one(mdev);
	kit_jobs_start(kit);
	kit_reset(mdev, kind);
}

static void calls_life(struct kit *kit, enum kit_memory mode, const char *name)
{
	struct umdev_mdev *mdev = kit_mdev(kit, 0);
	uint64_t seed = kit->options->seed + mode;

	verdict_note("%s", name);
	kit->memory_mode = mode;
	kit_join(mdev);
	/* The first instants of a device, with and without a guest. */
	kit_settle(kit, NS_PER_S);
	calls_work(kit, mdev, UMDEV_RESET_DEVICE);
	regs_touch(mdev, &seed, 200);
	kit_settle(kit, NS_PER_S);
	calls_work(kit, mdev, UMDEV_RESET_LOST);
	kit_remove(mdev);
}

void check_calls(struct kit *kit)
{
	kit_up(kit);
	calls_life(kit, KIT_MEMORY_DIRECT, "shared guest memory");
	calls_life(kit, KIT_MEMORY_REMOTE, "guest memory by messages");
	calls_life(kit, KIT_MEMORY_NONE, "no guest memory");
	kit_close(kit);
}
