/* SPDX-License-Identifier: BSD-3-Clause */
/* Letting go of all mdevs because another process will serve them. */
#pragma once

#include <stdint.h>

struct umdev_mdev;
struct umdev_parent;

/* Lets go of all mdevs without a change to what they are, answering request @id. They are staged
 * if there is a @baton (taken), which decides who goes on. */
void host_release(struct umdev_parent *parent, uint64_t id, int *baton);

/* The driver of @mdev has come to rest. */
void host_release_quiet(struct umdev_mdev *mdev);
