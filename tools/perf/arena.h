/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory that the device reads and writes: one shared memfd, handed out from front to back and
 * freed as a whole. It plays the part of a guest's RAM.
 */
#pragma once

#include <stdint.h>

#include "util/cleanup.h"
#include "util/error.h"

#define ARENA_PAGE 4096u

struct arena {
	uint8_t *base;
	uint64_t iova; /* where the device sees it */
	uint64_t size;
	uint64_t used;
	int fd;
};

#define ARENA_INIT                                                                                 \
	{                                                                                          \
		.fd = -1                                                                           \
	}

/* Makes an arena of @size bytes, all of it present, at @iova. Returns 0 or -errno with @err. */
int arena_init(struct arena *arena, uint64_t iova, uint64_t size,
	       struct umdev_error *err) umdev_warn_unused;

/* Unmaps and closes it. An arena that was never made is fine. */
void arena_done(struct arena *arena);

/*
 * Hands out @size zero bytes that begin at a page. Their device address goes to *@ret_iova. Returns
 * NULL when the arena is used up, which is a mistake in computing its size.
 */
void *arena_alloc(struct arena *arena, uint64_t size, uint64_t *ret_iova) umdev_warn_unused;
