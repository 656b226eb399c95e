/* SPDX-License-Identifier: BSD-3-Clause */
/* What the checks of the state page share: processes that leave one, and go on from it. */
#pragma once

#include "kit.h"
#include "regs.h"

/* One round trip. */
struct state_trip {
	struct kit *kit;
	void *state;
	struct regs *seen;    /* by the first guest; shared between the processes */
	struct regs *ignored; /* what differs from one new device to another; shared, too */
	uint64_t seed;
	uint32_t touches;
};

/* Opens the options and forgets the driver again. */
void state_prepare(struct kit *kit);

/* Whether the driver goes on from a state at all. */
bool state_resumes(const struct kit *kit);

/* Zeros that the processes share. */
struct regs *state_shared_regs(void);

/* The next process goes on. Returns NULL with @err when the driver refuses. */
struct umdev_mdev *state_resume(struct kit *kit, void *state, struct umdev_error *err);

/* Spoils @size bytes that were a state: all of it, a few bits, or a few bytes. */
void state_spoil(uint8_t *state, size_t size, uint32_t round, uint64_t *seed);

/* Lets a guest work with an mdev that went on from a damaged state, and removes it. */
void state_work_on(struct umdev_mdev *mdev, uint64_t seed, uint32_t round);

/* Processes of their own; the argument is a struct state_trip. */

/* The first one: a guest works with the device; then the process is gone. */
void state_first(void *arg);
/* The one after it must show the guest the same. */
void state_second(void *arg);
/* One that only finds out which registers say nothing. */
void state_look(void *arg);
