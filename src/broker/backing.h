/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the options of a parent name, opened by the broker, so that a host needs no right of its
 * own.
 *
 * A backing file is opened read-write and locked for as long as the parent is there, across the
 * deaths of its hosts: the lock belongs to the open file that broker and host share. Memory
 * outlives hosts in the same way.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "model/spec.h"
#include "util/cleanup.h"
#include "util/error.h"

#define BACKINGS_MAX 16

struct backing {
	char *option; /* its name */
	char *path;   /* real path; NULL for memory */
	int fd;
	uint32_t flags; /* UMDEV_BACKING_* */
	dev_t device;	/* which file it is */
	ino_t inode;
};

struct backings {
	struct backing items[BACKINGS_MAX];
	size_t count;
};

/*
 * Checks @options (name -> text) against the driver's table, whole. INVALID names the option, and
 * lists all where it is unknown.
 */
int backings_check_options(const json_t *options, const struct spec_table *specs,
			   const char *driver, struct umdev_error *err) umdev_warn_unused;

/*
 * Opens what the checked @options name, creating files that are missing when @may_create and their
 * size is given. All or nothing: on failure what was opened is closed and what was created is
 * removed. NOT_FOUND, INVALID, LOCKED, READ_ONLY, NO_SPACE with the option as
 * key.
 */
int backings_open(struct backings *backings, const json_t *options, const struct spec_table *specs,
		  bool may_create, struct umdev_error *err) umdev_warn_unused;

/* Closes all and leaves locks and files to whoever has them open too. */
void backings_leave(struct backings *backings);

/*
 * Takes *@fd, which an earlier broker opened for @option as the checked @options say, as one of
 * @backings; it is untouched on failure. INVALID, NOT_FOUND, LIMIT.
 */
int backings_adopt(struct backings *backings, const char *option, const json_t *options,
		   const struct spec_table *specs, int *fd,
		   struct umdev_error *err) umdev_warn_unused;

/* Whether all of it was made just now and holds nothing yet; false when there is none. */
bool backings_are_new(const struct backings *backings);

/* From now on what was made is no longer new. */
void backings_settle(struct backings *backings);

/* Closes all; with @remove_created also removes the files that backings_open() created. */
void backings_close(struct backings *backings, bool remove_created);
