/* SPDX-License-Identifier: BSD-3-Clause */
/* Guests under the harness that ask for jobs. See kit.h and work.h. */
#include "kit.h"
#include "util/clock.h"
#include "work.h"

static int kit_work_read(void *arg, uint32_t bar, uint64_t offset, void *buf, uint32_t len)
{
	return kit_reachable(arg, bar, offset, len) ? kit_read(arg, bar, offset, buf, len) : -1;
}

static int kit_work_write(void *arg, uint32_t bar, uint64_t offset, const void *buf, uint32_t len)
{
	return kit_reachable(arg, bar, offset, len) ? kit_write(arg, bar, offset, buf, len) : -1;
}

static void kit_work_pass(void *arg)
{
	struct umdev_mdev *mdev = arg;

	kit_turn(mdev->kit, NS_PER_MS);
}

const char *kit_work_begin(struct umdev_mdev *mdev)
{
	struct kit *kit = mdev->kit;
	struct work_device device = {
		.read = kit_work_read,
		.write = kit_work_write,
		.pass = kit_work_pass,
		.arg = mdev,
		.class_code = mdev->device.class_code,
		.driver = kit->driver.table.name,
	};
	uint32_t place = 0;
	const char *reason;

	while (place < KIT_MDEVS && kit->mdevs[place] != mdev)
		place++;
	device.iova = KIT_MEMORY_IOVA + (uint64_t)place * WORK_MEMORY;
	device.memory = kit->memory + (size_t)place * WORK_MEMORY;
	if (!mdev->work)
		mdev->work = work_new(&device, kit->options, &reason);
	return mdev->work ? work_begin(mdev->work) : reason;
}

void kit_work_one(struct umdev_mdev *mdev)
{
	(void)work_one(mdev->work);
}

/* Fills up every mdev that has work. */
static void kit_work_refill(struct kit *kit)
{
	static bool filling;

	/* Work may let time pass, and time fills up. */
	if (filling)
		return;
	filling = true;
	for (uint32_t i = 0; i < KIT_MDEVS; i++) {
		struct umdev_mdev *mdev = kit->mdevs[i];
		uint32_t had;

		if (!mdev || !mdev->work || mdev->resetting)
			continue;
		for (had = kit_jobs_of(mdev, false); had < kit->refill_depth; had++) {
			if (!work_one(mdev->work) || kit_jobs_of(mdev, false) <= had)
				break;
		}
	}
	filling = false;
}

void kit_work_keep(struct kit *kit, uint32_t depth)
{
	kit->refill_depth = depth;
	kit->refill = depth ? kit_work_refill : NULL;
}
