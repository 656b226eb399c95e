/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the descriptors are that lie with the service manager (fdstore.h): a table in a file in
 * memory that lies there, too, so that the next daemon can read it.
 *
 * Each row counts or does not by one word that is written last, and changes by one store, so the
 * table is whole whenever its writer is killed. What is adopted is input like any other: rows that
 * break a rule are taken out.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "util/cleanup.h"

#define FDINDEX_OWNERS	  4096u
#define FDINDEX_REFS	  32768u
#define FDINDEX_NAME_SIZE 80

struct fdindex_map;

/* Zero it before the first use, but fd = -1. */
struct fdindex {
	int fd;
	struct fdindex_map *map;
	uint32_t *free_owners; /* stacks of row numbers */
	uint32_t *free_refs;
	uint32_t free_owner_count;
	uint32_t free_ref_count;
};

/* An empty table. 0 or -errno. */
int fdindex_new(struct fdindex *index) umdev_warn_unused;

/* The one in *@fd (taken on success). -EBADMSG when it is none. */
int fdindex_adopt(struct fdindex *index, int *fd) umdev_warn_unused;

/* Unmaps and closes. */
void fdindex_done(struct fdindex *index);

/* A row for an owner with @name, of fewer than FDINDEX_NAME_SIZE bytes. The row or -ENOSPC. */
int fdindex_add_owner(struct fdindex *index, const char *name) umdev_warn_unused;
void fdindex_drop_owner(struct fdindex *index, uint32_t row);
void fdindex_set_number(struct fdindex *index, uint32_t row, uint64_t number);

/* Notes that the descriptor @id is @key of the owner in row @owner. The row or -ENOSPC. */
int fdindex_add_ref(struct fdindex *index, uint32_t owner, uint32_t key,
		    uint32_t id) umdev_warn_unused;
void fdindex_set_ref(struct fdindex *index, uint32_t row, uint32_t id);
void fdindex_drop_ref(struct fdindex *index, uint32_t row);

/* What stands in a row that counts; false for one that does not. */
bool fdindex_owner(const struct fdindex *index, uint32_t row, char ret_name[FDINDEX_NAME_SIZE],
		   uint64_t *ret_number);
bool fdindex_ref(const struct fdindex *index, uint32_t row, uint32_t *ret_owner, uint32_t *ret_key,
		 uint32_t *ret_id);
