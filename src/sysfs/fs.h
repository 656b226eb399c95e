/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The file system: what the kernel asks about nodes, answered from the mirror and, where a text is
 * only the daemon's to know or a write has to be done, by a call to it.
 *
 * Files behave as those of sysfs do. Modes hold for root, too; every write is one store; a read
 * takes the whole text when it begins at 0 and goes on in that; truncation is accepted and means
 * nothing; files can be neither made nor removed. Nothing here blocks: a request that waits for the
 * daemon is answered later.
 */
#pragma once

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>
#include <stdbool.h>

#include "rpc/async.h"
#include "sysfs/node.h"
#include "sysfs/tree.h"
#include "util/list.h"

#define FS_FILES_MAX 65536 /* open at a time */

struct fs {
	struct tree *tree;
	struct rpc_async *conn; /* for calls; events come elsewhere */
	uid_t uid;		/* who owns all files: the daemon's user */
	gid_t gid;
	struct timespec since; /* all times of all files */
	struct list files;
	size_t file_count;
	struct list done;	     /* writes that succeeded and wait for fs_reply_writes() */
	bool (*settled)(void *data); /* takes in what is new; whether the mirror shows it */
	void (*written)(void *data); /* there is a write to be answered, when its effect is seen */
	void (*uevent)(void *data, const struct subject *s, const char *action);
	const struct touch *touch; /* whose helper may do what nobody else may */
	void *data;
};

extern const struct fuse_lowlevel_ops fs_ops;

/* Nothing open. The other members are the caller's to set. */
void fs_init(struct fs *fs);

/* Closes what is open. */
void fs_done(struct fs *fs);

/* Answers the writes that succeeded. */
void fs_reply_writes(struct fs *fs);

/* Something of an mdev or of the pool of a parent may have changed: wakes those who poll for it. */
void fs_wake(struct fs *fs);
