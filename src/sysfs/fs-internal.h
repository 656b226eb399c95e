/* SPDX-License-Identifier: BSD-3-Clause */
/* Between fs.c and file.c. */
#pragma once

#include "sysfs/attr.h"
#include "sysfs/fs.h"

/* A node of which the kernel asked, with what it belongs to. */
struct fs_node {
	struct node node;
	struct subject subject;
	const struct attr *attr; /* NULL: no row */
	struct attr made;	 /* where attr may lie */
	uint32_t mode;
};

/* Finds the node of number @ino. False when it is gone. */
bool fs_look(const struct fs *fs, fuse_ino_t ino, struct fs_node *ret);

/* What stat() says of it. */
void fs_stat(const struct fs *fs, const struct fs_node *of, struct stat *st);

/* Makes a handle and puts it into @fi; 0, -ENFILE or -ENOMEM. */
int fs_file_open(struct fs *fs, const struct fs_node *of,
		 struct fuse_file_info *fi) umdev_warn_unused;
void fs_file_close(struct fs *fs, struct fuse_file_info *fi);

/* Requests about open files. */
void fs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void fs_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
	      struct fuse_file_info *fi);
void fs_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct fuse_pollhandle *ph);
