/* SPDX-License-Identifier: BSD-3-Clause */
/* The state of an mdev for a file, and for its client. */
#pragma once

#include "host/host.h"
#include "host/image.h"

/*
 * Answers request @id with the state of @mdev in the memfd *@fd (taken), whose first @about bytes
 * are text that goes along. -errno with @err when that cannot even begin.
 */
int host_save(struct umdev_mdev *mdev, uint64_t id, int *fd, uint64_t about,
	      struct umdev_error *err) umdev_warn_unused;

/* The broker that asked is gone: a save that is under way is answered to nobody. */
void host_save_forget(struct umdev_mdev *mdev);

/* Forgets a save that is under way, with the mdev. */
void host_save_done(struct umdev_mdev *mdev);

/*
 * Takes the stream that was given for @mdev, whose page is fresh, and fills the driver's part;
 * nothing was changed when it is another device's. Then, with PCI and BARs there, the rest of it.
 */
int host_restore_begin(struct umdev_mdev *mdev, struct host_given *given, struct image *ret_image,
		       struct umdev_error *err) umdev_warn_unused;
int host_restore_end(struct umdev_mdev *mdev, const struct image *image,
		     struct umdev_error *err) umdev_warn_unused;

/* ---- migrate.c: callbacks of vfio_session_ops, which has their contract */

int host_migrate_rest(void *device);
int host_migrate_wake(void *device);
int host_migrate_save(void *device, int *ret_fd, uint64_t *ret_size);
int host_migrate_load(void *device, int fd, uint64_t size);
int host_migrate_check(void *device, int fd, uint64_t size);
