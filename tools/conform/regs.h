/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a guest sees of a device: its registers, read one after another, and guests that write into
 * them without a plan.
 */
#pragma once

#include "kit.h"

#define REGS_BYTES 16384u /* of each BAR that are looked at */

/* Registers as they were read, BAR after BAR; what cannot be read is zero. */
struct regs {
	uint8_t bytes[UMDEV_BAR_COUNT * REGS_BYTES];
};

/* Reads all registers twice: the second reading is kept, so that what reading changes has changed.
 */
struct regs *regs_read(struct umdev_mdev *mdev);

/*
 * Which bytes say nothing: those that differ between two readings of @mdev, which nobody has
 * touched, and those in which @other, made of the same, differs from it. 0xff where they do.
 */
struct regs *regs_volatile(const struct regs *first, const struct regs *second);

/* The first register (4 bytes) in which @a and @b differ, apart from what @ignored marks: into
 * *@ret_bar and *@ret_offset. False when there is none. */
bool regs_differ(const struct regs *a, const struct regs *b, const struct regs *ignored,
		 uint32_t *ret_bar, uint32_t *ret_offset);

/* The 32 bits there. */
uint32_t regs_word(const struct regs *regs, uint32_t bar, uint32_t offset);

/* Writes @count random values into registers, most of them low in a BAR. *@seed goes on. */
void regs_touch(struct umdev_mdev *mdev, uint64_t *seed, uint32_t count);

/* A value that registers may react to: small, all ones, an address in guest memory, or anything. */
uint64_t regs_value(uint64_t *seed);

/* A BAR that the device has, at random; UMDEV_NO_BAR when it has none. */
uint32_t regs_bar(const struct umdev_mdev *mdev, uint64_t *seed);
