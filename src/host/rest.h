/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An mdev at rest: its driver has come to rest and was taken down, everything a guest can see
 * stands in the state page and nothing changes it. Client, guest memory and interrupts stay.
 */
#pragma once

#include "host/host.h"

/* Builds the driver's instance on the state page, as said when the mdev was created. @values may be
 * NULL: they are read from mdev->attrs. */
int host_mdev_instance(struct umdev_mdev *mdev, const struct umdev_value *values, uint32_t origin,
		       struct umdev_device *ret_device, struct umdev_error *err) umdev_warn_unused;

/* Whether a driver can do that at all: -ENOTSUP with the reason. */
int host_rest_possible(const struct umdev_parent *parent, struct umdev_error *err);

/*
 * Brings the mdev to rest. Returns 0, also when it is already, -EINPROGRESS and calls @rested later
 * from the loop, or -errno: something else is under way with it. Nothing of a client is served
 * meanwhile; the caller sees to that.
 */
int host_rest(struct umdev_mdev *mdev, void (*rested)(struct umdev_mdev *mdev)) umdev_warn_unused;

/* The driver of @mdev has come to rest. */
void host_rest_quiet(struct umdev_mdev *mdev);

/* Has the device go on from the page. On failure it stays at rest. */
int host_wake(struct umdev_mdev *mdev, struct umdev_error *err) umdev_warn_unused;

/* Has it go on for a reset to follow: from an empty page where the present one is of no use. */
int host_wake_any(struct umdev_mdev *mdev) umdev_warn_unused;

/* What stands in the driver's part is of no use any more: only a reset leads out. */
void host_rest_blank(struct umdev_mdev *mdev);

/* Forgets what is under way, with the mdev. */
void host_rest_done(struct umdev_mdev *mdev);
