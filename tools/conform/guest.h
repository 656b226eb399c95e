/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest that is connected to an mdev of the private daemon by vfio-user. */
#pragma once

#include "daemon.h"
#include "perf/arena.h"
#include "perf/client.h"
#include "work.h"

#define GUEST_BYTES 1024u /* of each BAR that are looked at */

struct guest {
	struct kit *kit;
	struct client client;
	struct arena arena;
	struct work *work;
	uint64_t bar_sizes[UMDEV_BAR_COUNT];
	uint32_t class_code;
	bool connected;
};

/* What a guest reads of its BARs. */
struct guest_regs {
	uint8_t bytes[UMDEV_BAR_COUNT][GUEST_BYTES];
};

/* Connects to @mdev (MDEV) with memory of its own. False, with the reason in @err, when it is
 * turned away. */
bool guest_try(struct guest *guest, struct kit *kit, const json_t *mdev, struct umdev_error *err);
/* The same; the check fails when it is. Tries for a while, as VMMs do. */
void guest_connect(struct guest *guest, struct kit *kit, const json_t *mdev);
/* Hangs up, as a process that is killed does. */
void guest_leave(struct guest *guest);

/* Reads the registers. */
void guest_read(struct guest *guest, struct guest_regs *ret_regs);
/* Writes @count random values into registers. *@seed goes on. */
void guest_touch(struct guest *guest, uint64_t *seed, uint32_t count);

/* Makes the device ready for work. NULL, or why there is none. */
const char *guest_work(struct guest *guest);
