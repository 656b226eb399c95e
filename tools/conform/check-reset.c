/* SPDX-License-Identifier: BSD-3-Clause */
/* Checks of resets and of clients that leave: afterwards the device is as at power-on. */
#include <stdlib.h>

#include "check.h"
#include "regs.h"
#include "util/clock.h"

#define RESET_ROUNDS  12
#define RESET_TOUCHES 40
#define RESET_JOBS    6

/* Registers of a new device, and which of them say nothing because another new one, made of the
 * same, differs. */
static struct regs *reset_power_on(struct kit *kit, struct regs **ret_ignored)
{
	struct umdev_mdev *mdev = kit_mdev(kit, 0);
	struct regs *first;
	struct regs *second;

	/* What a device shows of the world around it, it shows after a moment. */
	kit_settle(kit, NS_PER_S);
	first = regs_read(mdev);
	kit_remove(mdev);
	mdev = kit_mdev(kit, 0);
	kit_settle(kit, NS_PER_S);
	second = regs_read(mdev);
	*ret_ignored = regs_volatile(first, second);
	free(second);
	kit_remove(mdev);
	return first;
}

/* Touches a device at random, resets it in the way @kind, and compares. */
static void reset_check(struct kit *kit, uint32_t kind, const char *what)
{
	struct regs *ignored;
	struct regs *expected = reset_power_on(kit, &ignored);
	struct umdev_mdev *mdev = kit_mdev(kit, 0);
	uint64_t seed = kit->options->seed + kind;
	uint32_t bar;
	uint32_t at;

	for (unsigned round = 0; round < RESET_ROUNDS; round++) {
		struct regs *got;

		verdict_note("%s, round %u", what, round);
		kit->memory_mode = round % 3;
		kit_join(mdev);
		/* Now and then in the midst of work. */
		if (kit->memory_mode == KIT_MEMORY_DIRECT && !kit_work_begin(mdev)) {
			for (unsigned i = 0; i < RESET_JOBS; i++)
				kit_work_one(mdev);
			kit_jobs_start(kit);
		} else {
			regs_touch(mdev, &seed, RESET_TOUCHES);
			kit_turn(kit, 0);
		}
		kit_reset(mdev, kind);
		kit_settle(kit, NS_PER_S);
		got = regs_read(mdev);
		if (regs_differ(expected, got, ignored, &bar, &at))
			verdict_fail("after %s, offset 0x%x of BAR %u reads 0x%x; at power-on it "
				     "reads 0x%x",
				     what, at, bar, regs_word(got, bar, at),
				     regs_word(expected, bar, at));
		free(got);
	}
	free(expected);
	free(ignored);
	kit_close(kit);
}

void check_reset_device(struct kit *kit)
{
	kit_up(kit);
	reset_check(kit, UMDEV_RESET_DEVICE, "a device reset");
}

void check_reset_flr(struct kit *kit)
{
	struct umdev_mdev *mdev;

	kit_up(kit);
	mdev = kit_mdev(kit, 0);
	if (!(mdev->device.flags & UMDEV_PCI_FLR))
		verdict_skip("the device has no function level reset");
	kit_remove(mdev);
	reset_check(kit, UMDEV_RESET_FLR, "a function level reset");
}

void check_reset_lost(struct kit *kit)
{
	kit_up(kit);
	reset_check(kit, UMDEV_RESET_LOST, "a client that left");
}
