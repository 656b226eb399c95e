/* SPDX-License-Identifier: BSD-3-Clause */
/* Checks of one device: what it declares, what it counts, and that pieces can be wiped. */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "regs.h"
#include "util/clock.h"

#define DEVICE_DISCARD_NS (10 * NS_PER_S)

void check_device_declared(struct kit *kit)
{
	struct kit_create create = {0};
	struct umdev_error err = {0};
	struct umdev_device first;
	struct umdev_mdev *mdev;

	kit_up(kit);
	create.type_index = kit_type(kit);
	for (unsigned i = 0; i < 2; i++) {
		mdev = kit_create(kit, &create, &err);
		if (!mdev && kit->declared_badly)
			verdict_fail("%s", err.message);
		if (!mdev)
			verdict_skip("no mdev can be made: %s", err.message);
		if (i == 0)
			first = mdev->device;
		else if (memcmp(&first, &mdev->device, sizeof(first)) != 0)
			verdict_fail("made again of the same, the device declares something else");
		kit_remove(mdev);
	}
	kit_close(kit);
}

void check_device_stats(struct kit *kit)
{
	uint64_t values[DRIVER_TABLE_MAX + 1];
	struct umdev_mdev *mdev;
	uint64_t seed;

	kit_up(kit);
	seed = kit->options->seed;
	if (kit->driver.stat_count == 0)
		verdict_skip("the driver has no statistics");
	mdev = kit_mdev(kit, 0);
	regs_touch(mdev, &seed, 20);
	for (unsigned i = 0; i < 2; i++) {
		memset(values, i ? 0x5a : 0xa5, sizeof(values));
		kit_enter(kit, "stats_get");
		driver_stats_get(&kit->driver, mdev->priv, values);
		kit_leave(kit, "stats_get");
		for (uint32_t s = 0; s < kit->driver.stat_count; s++) {
			if (values[s] == (i ? 0x5a5a5a5a5a5a5a5au : 0xa5a5a5a5a5a5a5a5u))
				verdict_fail("stats_get does not fill %s",
					     driver_stat(&kit->driver, s)->name);
		}
		for (uint32_t s = kit->driver.stat_count; s <= DRIVER_TABLE_MAX; s++) {
			if (values[s] != (i ? 0x5a5a5a5a5a5a5a5au : 0xa5a5a5a5a5a5a5a5u))
				verdict_fail("stats_get fills more than its %u values",
					     kit->driver.stat_count);
		}
	}
	kit_close(kit);
}

/* Wipes one piece and waits for the end. Returns the driver's word. */
static int device_discard(struct kit *kit, uint64_t start, uint64_t size)
{
	uint64_t end_ns = clock_now_ns() + DEVICE_DISCARD_NS;
	struct umdev_error err = {0};
	int r;

	kit->discard_pending = true;
	kit->discard_status = 0;
	kit_enter(kit, "discard(%llu, %llu)", (unsigned long long)start, (unsigned long long)size);
	r = driver_discard(&kit->driver, kit->parent_priv, start, size, &err);
	kit_leave(kit, "discard");
	if (r != -EINPROGRESS) {
		kit->discard_pending = false;
		return r;
	}
	while (kit->discard_pending) {
		if (clock_now_ns() > end_ns)
			verdict_fail("discard of %llu units has not ended after 10 s",
				     (unsigned long long)size);
		kit_turn(kit, NS_PER_MS);
	}
	return kit->discard_status;
}

void check_pool_discard(struct kit *kit)
{
	const struct umdev_type *type;
	int r;

	kit_up(kit);
	if (!kit->driver.table.discard)
		verdict_skip("the driver has no discard: pieces hold no data");
	type = kit_type_row(kit, kit_type(kit));
	for (unsigned i = 0; i < 3; i++) {
		r = device_discard(kit, 0, type->cost);
		if (r < 0)
			verdict_fail("a piece at the beginning is not wiped: %s", strerror(-r));
	}
	r = device_discard(kit, kit->info.pool_units - type->cost, type->cost);
	if (r < 0)
		verdict_fail("a piece at the end is not wiped: %s", strerror(-r));
	kit_close(kit);
}
