/* SPDX-License-Identifier: BSD-3-Clause */
/* Between fdstore.c and fdstore-open.c. */
#pragma once

#include "broker/fdindex.h"
#include "broker/fdstore.h"
#include "util/list.h"
#include "util/notify.h"

#define FDSTORE_NAME_SIZE   (NOTIFY_NAME_MAX + 1)
#define FDSTORE_NUMBER_NONE ((uint64_t)INT64_MAX) /* which nobody counts to */

/* One open file. */
struct fdstore_entry {
	uint32_t id; /* never given twice */
	uint32_t refs;
	int fd;
};

/* What an owner calls it. */
struct fdstore_ref {
	uint32_t key;
	uint32_t row; /* of the index */
	struct fdstore_entry *entry;
};

struct fdstore_owner {
	struct list link;
	struct fdstore *store;
	char name[FDINDEX_NAME_SIZE];
	uint32_t row;		  /* of the index */
	struct fdstore_ref *refs; /* sorted by key */
	size_t count;
	size_t room;
	uint64_t number;
	bool whole;
	bool claimed;
};

/* A message that is to be sent. */
struct fdstore_op {
	struct fdstore_entry *entry; /* to be stored ... */
	int fd;			     /* ... or this one; with neither, the name is taken out */
	char name[FDSTORE_NAME_SIZE];
};

struct fdstore {
	struct reactor *reactor;
	struct reactor_fd socket; /* watched while messages wait */
	struct fdindex index;
	struct list owners;
	struct fdstore_entry **entries; /* in the order of kcmp() */
	size_t entry_count;
	size_t entry_room;
	size_t max; /* entries, and the index */
	uint32_t next_id;
	struct fdstore_op *ops; /* that wait */
	size_t op_count;
	size_t op_room;
	bool failed; /* something could not be sent */
	bool frozen;
	int list_fd; /* of fdstore_hand_on(); -1: none */
};

/* Sends that @entry or the index is to be stored, or @name to be taken out. */
void fdstore_queue_store(struct fdstore *store, struct fdstore_entry *entry);
void fdstore_queue_index(struct fdstore *store);
void fdstore_queue_remove(struct fdstore *store, const char *name);

/* The socket can take more. */
void fdstore_flush(struct reactor_fd *source, uint32_t events);

/* Whether open files can be compared here, shown with @fd. */
bool fdstore_can_compare(int fd);

/* An entry for *@fd (taken then), which is stored already; NULL when its open file has one. */
struct fdstore_entry *fdstore_adopt_entry(struct fdstore *store, uint32_t id, int *fd);

/* Takes entries out that nobody refers to. */
void fdstore_remove_unused(struct fdstore *store);

/* Adds a reference. 0, -EEXIST, -ENOMEM. */
int owner_add_ref(struct fdstore_owner *owner, uint32_t key, uint32_t row,
		  struct fdstore_entry *entry) umdev_warn_unused;

/* An owner in that row of the index; forgets one, and no more. */
struct fdstore_owner *owner_new(struct fdstore *store, const char *name, uint32_t row);
void owner_free(struct fdstore_owner *owner);
