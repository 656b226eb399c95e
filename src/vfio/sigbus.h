/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Surviving a client that shrinks memory which it lent.
 *
 * An access to a mapped file beyond the file's end raises SIGBUS. The one handler of the process
 * knows the mappings that guests lent; it lays zero pages over the rest of such a mapping, so that
 * the access goes on, notes the fact and wakes the loop, which throws the client out. A SIGBUS from
 * anywhere else takes its usual course.
 *
 * Ranges are added and removed by the threads that own them while nothing accesses the mapping;
 * the handler may run on any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "util/cleanup.h"

/* Mappings that a process can watch. */
#define SIGBUS_RANGES_MAX 16384

struct sigbus_range;

/* Installs the handler unless it is there; what was there before gets the signals that are none of
 * ours. Returns 0 or -errno. */
int sigbus_install(void) umdev_warn_unused;

/*
 * Watches [@base, +@len), a shared mapping of whole pages of @page_size. A fault makes @wake_fd, an
 * eventfd, readable. NULL when there are too many.
 */
struct sigbus_range *sigbus_add(void *base, size_t len, size_t page_size, int wake_fd);

/* Whether a fault was patched in the range. */
bool sigbus_hit(const struct sigbus_range *range);

/* Stops watching; before the mapping goes. NULL is fine. */
void sigbus_del(struct sigbus_range *range);
