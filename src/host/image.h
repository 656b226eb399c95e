/* SPDX-License-Identifier: BSD-3-Clause */
/* The state of an mdev to and from a stream (stream/stream.h). */
#pragma once

#include "host/host.h"
#include "stream/stream.h"

/* The longest stream that @mdev can have. */
uint64_t image_max(const struct umdev_mdev *mdev);

/*
 * Writes the state of an mdev at rest to @fd, a memfd, with @about (text, @about_len bytes; may be
 * NULL). Returns the length, or -errno with @err.
 */
int64_t image_write(struct umdev_mdev *mdev, int fd, const char *about, uint64_t about_len,
		    struct umdev_error *err) umdev_warn_unused;

/* A stream that is on its way into an mdev. */
struct image {
	void *bytes;
	struct stream stream;
	uint32_t version; /* of the driver's part, which is converted if it is not today's */
};

/* Reads @size bytes of @fd and checks that they are the state of such a device as @mdev. Free with
 * image_free(), also on failure. */
int image_read(const struct umdev_mdev *mdev, int fd, uint64_t size, struct image *ret_image,
	       struct umdev_error *err) umdev_warn_unused;
void image_free(struct image *image);

/* The same of the first @size bytes of a stream that is not there as a whole yet: 1 when it fits as
 * far as that can be told, 0 when that takes more bytes. */
int image_begin(const struct umdev_mdev *mdev, int fd, uint64_t size,
		struct umdev_error *err) umdev_warn_unused;

/* Puts the driver's part in its place; PCI and BARs, once they are there. ERROR_INVALID when a part
 * is missing or of another size. */
int image_load_driver(struct umdev_mdev *mdev, const struct image *image,
		      struct umdev_error *err) umdev_warn_unused;
int image_load_rest(struct umdev_mdev *mdev, const struct image *image,
		    struct umdev_error *err) umdev_warn_unused;
