/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest that means no good: any access that a host lets through, with memory in every condition.
 */
#include <string.h>

#include "check.h"
#include "perf/random.h"
#include "regs.h"
#include "util/clock.h"

#define HOSTILE_ACCESSES 20000
#define HOSTILE_TIME_NS	 (4 * NS_PER_S)

/* An offset where drivers err: the ends, or anywhere. */
static uint64_t hostile_offset(uint64_t size, uint32_t len, uint64_t *seed)
{
	uint64_t at;

	switch (random_below(seed, 4)) {
	case 0:
		at = random_below(seed, MIN(size, UINT64_C(256)));
		break;
	case 1:
		at = size - 1 - random_below(seed, MIN(size, UINT64_C(64)));
		break;
	default:
		at = random_below(seed, size);
	}
	return MIN(at, size - len) & ~(uint64_t)(len - 1);
}

static void hostile_access(struct umdev_mdev *mdev, uint64_t *seed)
{
	uint32_t bar = regs_bar(mdev, seed);
	uint32_t len = 1u << random_below(seed, 4);
	uint64_t value = regs_value(seed);
	uint8_t buf[24];
	uint64_t at;

	if (bar == UMDEV_NO_BAR || mdev->device.bars[bar].size < len)
		return;
	at = hostile_offset(mdev->device.bars[bar].size, len, seed);
	if (!kit_reachable(mdev, bar, at, len))
		return;
	if (random_below(seed, 2)) {
		kit_write(mdev, bar, at, &value, len);
		return;
	}
	memset(buf, 0x5a, sizeof(buf));
	kit_read(mdev, bar, at, buf + 8, len);
	for (uint32_t i = 0; i < sizeof(buf); i++) {
		if ((i < 8 || i >= 8 + len) && buf[i] != 0x5a)
			verdict_fail("%s wrote outside of the buffer of the answer",
				     verdict_page->doing);
	}
}

/* Both ends of every BAR, in all sizes: what random numbers may miss. */
static void hostile_ends(struct umdev_mdev *mdev)
{
	for (uint32_t bar = 0; bar < UMDEV_BAR_COUNT; bar++) {
		uint64_t size = mdev->device.bars[bar].size;

		for (uint32_t len = 1; len <= 8; len *= 2) {
			uint64_t ends[2] = {0, size - len};
			uint64_t value = 0;

			for (unsigned i = 0; i < 2 && size >= len; i++) {
				if (!kit_reachable(mdev, bar, ends[i], len))
					continue;
				kit_read(mdev, bar, ends[i], &value, len);
				kit_write(mdev, bar, ends[i], &value, len);
			}
		}
	}
}

static void hostile_run(struct kit *kit, enum kit_memory mode, const char *name)
{
	uint64_t seed = kit->options->seed * 4 + mode;
	uint64_t end_ns = clock_now_ns() + HOSTILE_TIME_NS;
	struct umdev_mdev *mdev = kit_mdev(kit, 0);

	if (regs_bar(mdev, &seed) == UMDEV_NO_BAR)
		verdict_skip("the device has no BAR");
	kit->memory_mode = mode;
	kit_join(mdev);
	/* What a device reads there is as random as the rest. */
	for (uint32_t i = 0; i < KIT_MEMORY / 64; i += 8) {
		uint64_t word = regs_value(&seed);

		memcpy(kit->memory + i, &word, sizeof(word));
	}
	verdict_note("%s", name);
	hostile_ends(mdev);
	for (uint32_t i = 0; i < HOSTILE_ACCESSES && clock_now_ns() < end_ns; i++) {
		if (i % 64 == 0)
			verdict_note("seed %llu, %s, access %u",
				     (unsigned long long)kit->options->seed, name, i);
		hostile_access(mdev, &seed);
		if (i % 16 == 0)
			kit_turn(kit, 0);
		if (random_below(&seed, 2000) == 0)
			kit_reset(mdev,
				  random_below(&seed, 2) ? UMDEV_RESET_DEVICE : UMDEV_RESET_LOST);
	}
	kit_remove(mdev);
}

void check_hostile(struct kit *kit)
{
	static const struct {
		enum kit_memory mode;
		const char *name;
	} modes[] = {
		{KIT_MEMORY_NONE, "no guest memory"},
		{KIT_MEMORY_DIRECT, "shared guest memory"},
		{KIT_MEMORY_REMOTE, "guest memory by messages"},
	};

	kit_up(kit);
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		hostile_run(kit, modes[i].mode, modes[i].name);
	kit_close(kit);
}
