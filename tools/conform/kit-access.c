/* SPDX-License-Identifier: BSD-3-Clause */
/* What a guest and its VMM do to an mdev: accesses, resets, memory. See kit.h. */
#include <errno.h>
#include <string.h>

#include "kit.h"
#include "util/clock.h"

bool kit_reachable(const struct umdev_mdev *mdev, uint32_t bar, uint64_t offset, uint32_t len)
{
	uint64_t size = bar < UMDEV_BAR_COUNT ? mdev->device.bars[bar].size : 0;

	return size >= len && offset <= size - len &&
	       !pci_msix_covers(&mdev->pci, bar, offset, len);
}

/* Where a mapped area holds those bytes, or NULL when the driver is asked. */
static uint8_t *kit_area(struct umdev_mdev *mdev, uint32_t bar, uint64_t offset, uint32_t len)
{
	for (uint32_t i = 0; mdev->bar_memory[bar] && i < UMDEV_MMAP_COUNT; i++) {
		const struct umdev_mmap_area *a = &mdev->device.bars[bar].mmap[i];

		if (a->size >= len && offset >= a->offset && offset - a->offset <= a->size - len)
			return mdev->bar_memory[bar] + offset;
	}
	return NULL;
}

/* A callback may answer 0 or a negative errno. */
static int kit_answer(const char *callback, int r)
{
	if (r > 0 || r < -4095)
		verdict_broken(RULE_ANSWER, "%s returned %d, which is neither 0 nor an errno",
			       verdict_page->doing, r);
	return r > 0 ? -EIO : r;
}

int kit_read(struct umdev_mdev *mdev, uint32_t bar, uint64_t offset, void *buf, uint32_t len)
{
	struct kit *kit = mdev->kit;
	uint8_t *area = kit_area(mdev, bar, offset, len);
	int r;

	mdev->touched = true;
	if (area) {
		memcpy(buf, area, len);
		return 0;
	}
	memset(buf, 0xff, len);
	kit_enter(kit, "region_read(BAR %u, offset 0x%llx, %u bytes)", bar,
		  (unsigned long long)offset, len);
	kit_access_begin(mdev);
	r = kit_answer("region_read",
		       kit->driver.table.region_read(mdev->priv, bar, offset, buf, len));
	kit_access_end(mdev);
	kit_leave(kit, "region_read");
	if (r < 0)
		memset(buf, 0xff, len);
	return r;
}

int kit_write(struct umdev_mdev *mdev, uint32_t bar, uint64_t offset, const void *buf, uint32_t len)
{
	struct kit *kit = mdev->kit;
	uint8_t *area = kit_area(mdev, bar, offset, len);
	uint64_t shown = 0;
	int r = 0;

	mdev->touched = true;
	memcpy(&shown, buf, MIN(len, (uint32_t)sizeof(shown)));
	if (area)
		memcpy(area, buf, len);
	kit_enter(kit, "%s(BAR %u, offset 0x%llx, %u bytes, value 0x%llx)",
		  area ? "poll after a write" : "region_write", bar, (unsigned long long)offset,
		  len, (unsigned long long)shown);
	if (!area)
		kit_access_begin(mdev);
	if (area)
		driver_poll(&kit->driver, mdev->priv);
	else
		r = kit_answer("region_write",
			       kit->driver.table.region_write(mdev->priv, bar, offset, buf, len));
	kit_access_end(mdev);
	kit_leave(kit, "region_write");
	return r;
}

void kit_join(struct umdev_mdev *mdev)
{
	mdev->touched = true;
	kit_enter(mdev->kit, "client_joined");
	driver_client_joined(&mdev->kit->driver, mdev->priv);
	kit_leave(mdev->kit, "client_joined");
}

static const char *kit_reset_name(uint32_t kind)
{
	static const char *const names[] = {"DEVICE", "FLR", "LOST"};

	return kind < ARRAY_SIZE(names) ? names[kind] : "?";
}

/* What a reset that has ended left in progress; it is taken away, so that the rest can go on. */
static void kit_check_reset(struct umdev_mdev *mdev, uint32_t kind)
{
	uint32_t jobs = kit_jobs_of(mdev, false);
	uint32_t started = kit_jobs_of(mdev, true);

	if (jobs > 0) {
		verdict_broken(RULE_RESET, "reset(%s) left %u jobs behind, %u of them started",
			       kit_reset_name(kind), jobs, started);
		kit_jobs_leave(mdev);
		kit_jobs_join(mdev);
	}
	if (mdev->hold_count > 0) {
		verdict_broken(RULE_RESET, "reset(%s) left %u holds of guest memory",
			       kit_reset_name(kind), mdev->hold_count);
		mdev->hold_count = 0;
		memset(mdev->holds, 0, sizeof(mdev->holds));
	}
	if (kit_transfers_of(mdev) > 0)
		verdict_broken(RULE_RESET, "reset(%s) left a transfer in progress",
			       kit_reset_name(kind));
}

void kit_reset(struct umdev_mdev *mdev, uint32_t kind)
{
	struct kit *kit = mdev->kit;
	bool hold = kit->hold_jobs;
	uint64_t end_ns;
	int r;

	/* As umdev-host does: no transfer begins until it is over. */
	mdev->resetting = true;
	mdev->reset_ended = false;
	kit_transfers_cancel(mdev);
	pci_reset(&mdev->pci);
	mdev->level = false;
	mdev->in_reset = true;
	kit_enter(kit, "reset(%s)", kit_reset_name(kind));
	r = kit->driver.table.reset(mdev->priv, kind);
	kit_leave(kit, "reset");
	mdev->in_reset = false;
	if (r != 0 && r != -EINPROGRESS)
		verdict_broken(RULE_RESET, "reset(%s) returned %d; it cannot fail",
			       kit_reset_name(kind), r);
	/* Jobs that are in its way would be started some time. */
	kit->hold_jobs = false;
	end_ns = clock_now_ns() + KIT_RESET_NS;
	while (r == -EINPROGRESS && !mdev->reset_ended) {
		if (clock_now_ns() > end_ns)
			verdict_fail("reset(%s) has not ended after 4 s", kit_reset_name(kind));
		kit_turn(kit, NS_PER_MS);
	}
	kit->hold_jobs = hold;
	mdev->resetting = false;
	mdev->touched = false;
	kit_check_reset(mdev, kind);
}

void *kit_memory_at(struct kit *kit, uint64_t iova, uint64_t len)
{
	if (iova < KIT_MEMORY_IOVA || len > KIT_MEMORY || iova - KIT_MEMORY_IOVA > KIT_MEMORY - len)
		return NULL;
	return kit->memory + (iova - KIT_MEMORY_IOVA);
}
