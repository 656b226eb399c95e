/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client of an mdev, and when it is gone.
 *
 * It is when its host says that it has left. Before that its connection ends, and before that,
 * where it ends as a whole, its process: what that had open the kernel may close tens of
 * milliseconds later, as QEMU's connection, which is polled by a ring of io_uring. Between the
 * first and the last the client is leaving, and whatever it is in the way of waits.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "util/reactor.h"

#define CLIENT_TEXT_SIZE 128

struct mdev;

/* Who waits: timer.expired is called to look again. Zeros before the first time. */
struct client_wait {
	struct reactor_timer timer;
	uint64_t deadline_ns;
};

/* Whether it has hung up, which its host may not know yet. */
bool client_hung_up(const struct mdev *mdev);

/* Whether the mdev has a client still, and that is leaving. */
bool client_leaving(const struct mdev *mdev);

/* Arms the timer of @wait where the client is leaving. False where it is not, or has been waited
 * for long enough: a process may have passed its connection on before it ended. */
bool client_await(const struct mdev *mdev, struct client_wait *wait);

/* "process 12 of user 0", for a person. */
const char *client_text(const struct mdev *mdev, char text[CLIENT_TEXT_SIZE]);
