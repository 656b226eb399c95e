/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The mount, and the kernel's requests on the reactor.
 *
 * A request is taken from the kernel first and the daemon's events after it; so nothing that
 * anybody learned before asking can be missing in the answer. While the mirror is unsettled, the
 * request waits, and the others wait in the kernel.
 */
#pragma once

#include "sysfs/fs.h"
#include "util/error.h"
#include "util/reactor.h"

struct serve {
	struct reactor *reactor;
	struct fs *fs;
	struct fuse_session *session; /* NULL: not mounted */
	struct reactor_fd source;
	struct fuse_buf held; /* the memory is used again and again */
	bool holding;	      /* a request waits in it */
	bool paused;
	void (*ended)(void *data); /* somebody unmounted it */
	void *data;
};

/* Mounts at @path, for all users where that is allowed. What a server that died left there is
 * unmounted first. Returns 0 or the errno of @err. */
int serve_mount(struct serve *serve, const char *path, struct umdev_error *err) umdev_warn_unused;

/* Unmounts; requests under way end with an error. Nothing happens when it is not mounted. */
void serve_unmount(struct serve *serve);

/* The mirror is settled: goes on. */
void serve_settled(struct serve *serve);
