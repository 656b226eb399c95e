/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The system calls that a host may make, once it has its driver. Any other ends the process, on
 * whichever thread it is made.
 *
 * The list is of what is needed, not of what is harmful: a call is on it because a line of ours, of
 * libc or of a driver makes it. Calls that can do more than is needed are allowed with some
 * arguments only. It is one way: nothing allows a call again.
 */
#pragma once

#include <stdint.h>

#include "util/cleanup.h"

/*
 * Allows what every host needs and what stands behind @needs (bits of enum need), on all threads.
 * Needs no_new_privs. Returns 0 or a negative errno: then nothing is forbidden.
 */
int calls_restrict(uint32_t needs) umdev_warn_unused;

/*
 * Takes back what only parent_open() needs: to make threads and rings. Returns 0 or a negative
 * errno. io_uring does much that calls can be forbidden to do, so no new ring may be made once
 * guests are heard; those that are there were limited by their makers.
 */
int calls_settle(void) umdev_warn_unused;

/* Prints the list: what it is for, the call, and the arguments where they count. */
void calls_print(void);
