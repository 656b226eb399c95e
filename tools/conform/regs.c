/* SPDX-License-Identifier: BSD-3-Clause */
/* Registers as guests see them. See regs.h. */
#include "regs.h"

#include <stdlib.h>
#include <string.h>

#include "perf/random.h"

static struct regs *regs_new(void)
{
	struct regs *regs = calloc(1, sizeof(*regs));

	if (!regs)
		verdict_skip("out of memory");
	return regs;
}

/* The part of a BAR that is looked at. */
static uint32_t regs_size(const struct umdev_mdev *mdev, uint32_t bar)
{
	return (uint32_t)MIN(mdev->device.bars[bar].size, (uint64_t)REGS_BYTES);
}

struct regs *regs_read(struct umdev_mdev *mdev)
{
	struct regs *regs = regs_new();

	for (unsigned pass = 0; pass < 2; pass++) {
		for (uint32_t bar = 0; bar < UMDEV_BAR_COUNT; bar++) {
			for (uint32_t at = 0; at + 4 <= regs_size(mdev, bar); at += 4) {
				if (kit_reachable(mdev, bar, at, 4))
					kit_read(mdev, bar, at, regs->bytes + bar * REGS_BYTES + at,
						 4);
			}
		}
	}
	return regs;
}

struct regs *regs_volatile(const struct regs *first, const struct regs *second)
{
	struct regs *ignored = regs_new();

	for (size_t i = 0; i < sizeof(ignored->bytes); i++)
		ignored->bytes[i] = first->bytes[i] == second->bytes[i] ? 0 : 0xff;
	return ignored;
}

bool regs_differ(const struct regs *a, const struct regs *b, const struct regs *ignored,
		 uint32_t *ret_bar, uint32_t *ret_offset)
{
	for (size_t i = 0; i < sizeof(a->bytes); i++) {
		if (a->bytes[i] == b->bytes[i] || ignored->bytes[i])
			continue;
		*ret_bar = (uint32_t)(i / REGS_BYTES);
		*ret_offset = (uint32_t)(i % REGS_BYTES) & ~3u;
		return true;
	}
	return false;
}

uint32_t regs_word(const struct regs *regs, uint32_t bar, uint32_t offset)
{
	uint32_t word;

	memcpy(&word, regs->bytes + (size_t)bar * REGS_BYTES + offset, sizeof(word));
	return word;
}

uint64_t regs_value(uint64_t *seed)
{
	uint64_t value = random_next(seed);

	switch (value >> 61) {
	case 0:
	case 1:
		return value & 7;
	case 2:
		return value & 0xffff;
	case 3:
		return UINT64_MAX;
	case 4:
		return KIT_MEMORY_IOVA + ((value & (KIT_MEMORY - 1)) & ~UINT64_C(0xfff));
	default:
		return value;
	}
}

uint32_t regs_bar(const struct umdev_mdev *mdev, uint64_t *seed)
{
	uint32_t bars[UMDEV_BAR_COUNT];
	uint32_t count = 0;

	for (uint32_t i = 0; i < UMDEV_BAR_COUNT; i++) {
		/* A BAR of MSI-X structures alone leaves nothing to the driver. */
		if (mdev->device.bars[i].size > 0 &&
		    (i != mdev->device.msix_bar || mdev->device.bars[i].size > 65536))
			bars[count++] = i;
	}
	if (count == 0) {
		for (uint32_t i = 0; i < UMDEV_BAR_COUNT; i++) {
			if (mdev->device.bars[i].size > 0)
				bars[count++] = i;
		}
	}
	return count ? bars[random_below(seed, count)] : UMDEV_NO_BAR;
}

void regs_touch(struct umdev_mdev *mdev, uint64_t *seed, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t bar = regs_bar(mdev, seed);
		uint32_t len = random_below(seed, 8) ? 4 : 1u << random_below(seed, 4);
		uint64_t value = regs_value(seed);
		uint64_t room;
		uint64_t at;

		if (bar == UMDEV_NO_BAR)
			return;
		room = mdev->device.bars[bar].size;
		if (random_below(seed, 4))
			room = MIN(room, UINT64_C(64));
		at = random_below(seed, room) & ~(uint64_t)(len - 1);
		if (kit_reachable(mdev, bar, at, len))
			kit_write(mdev, bar, at, &value, len);
	}
}
