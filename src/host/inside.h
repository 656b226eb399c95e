/* SPDX-License-Identifier: BSD-3-Clause */
/* The mark in the page of an mdev that says that the process is in the midst of it: page.h. */
#pragma once

#include "host/host.h"

/* What happens from here on to host_mdev_out() is for this mdev's sake: should the process die, its
 * page says so. These nest. */
static inline void host_mdev_in(struct umdev_mdev *mdev)
{
	uint64_t *inside = &mdev->page.header->inside;

	__atomic_store_n(inside, *inside + 1, __ATOMIC_RELEASE);
}

/* The end of what host_mdev_in() began. */
static inline void host_mdev_out(struct umdev_mdev *mdev)
{
	uint64_t *inside = &mdev->page.header->inside;

	__atomic_store_n(inside, *inside - 1, __ATOMIC_RELEASE);
}
