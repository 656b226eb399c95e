/* SPDX-License-Identifier: BSD-3-Clause */
/* The words for what a driver may need. See need.h. */
#include "host/need.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include <umdev/driver.h>

#include "util/cleanup.h"

static const char *const need_names[] = {
	[NEED_FILES] = UMDEV_NEED_FILES,       [NEED_DISKS] = UMDEV_NEED_DISKS,
	[NEED_IO_URING] = UMDEV_NEED_IO_URING, [NEED_THREADS] = UMDEV_NEED_THREADS,
	[NEED_STREAMS] = UMDEV_NEED_STREAMS,   [NEED_TERMINALS] = UMDEV_NEED_TERMINALS,
};
static_assert(ARRAY_SIZE(need_names) == NEED_COUNT, "every need has a name");

int need_find(const char *name)
{
	for (int i = 0; i < NEED_COUNT; i++) {
		if (strcmp(need_names[i], name) == 0)
			return i;
	}
	return -1;
}

const char *need_name(int need)
{
	return need >= 0 && need < NEED_COUNT ? need_names[need] : NULL;
}
