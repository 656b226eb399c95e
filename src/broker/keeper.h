/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What outlives the host of an mdev: its state page, its listening socket, its endpoints and the
 * descriptors that the host asked to keep, by slot number. (The host, in turn, holds all of this
 * for the broker's successor, and the broker's record of the mdev.)
 *
 * Slots are chosen by the host, so they are bounded and their number is limited; a host that wants
 * more than that loses what it wants kept, not the mdev.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <umdev/driver.h>

#include "util/cleanup.h"

#define KEEPER_PAGE_MAX (64u << 20)

struct fdstore_owner;

struct keeper_slot {
	uint32_t slot;
	int fd;
};

struct keeper {
	int page_fd;   /* -1: none */
	int listen_fd; /* -1: none */
	int record_fd; /* of journal.h; -1: none */
	int endpoint_fds[UMDEV_ENDPOINTS_MAX];
	size_t endpoint_count;
	uint64_t page_size;
	uint32_t state_version; /* of the driver's part of the page */
	int next_page_fd;	/* what is being made of that (convert.h); -1: nothing */
	uint64_t next_page_size;
	struct keeper_slot *slots; /* sorted by slot */
	size_t count;
	size_t room;
	struct fdstore_owner *stored; /* with the service manager (stored.h); NULL: nothing is */
};

/* Nothing kept. */
void keeper_init(struct keeper *keeper);

/* Closes everything. */
void keeper_done(struct keeper *keeper);

/* Takes all of it out of the service manager's store: it is not to be found there any more. */
void keeper_unstore(struct keeper *keeper);

/* Closes the endpoints. */
void keeper_drop_endpoints(struct keeper *keeper);

/* Makes a state page of zeros, of a size that cannot change, in place of one that is there, for a
 * driver's part of @version. 0 or -errno; -EFBIG beyond KEEPER_PAGE_MAX, -EINVAL for 0. */
int keeper_page_new(struct keeper *keeper, uint64_t size, uint32_t version) umdev_warn_unused;

/* Makes one to be filled with what the page is in another version, beside it; and puts that in its
 * place, if there is one. */
int keeper_page_next(struct keeper *keeper, uint64_t size) umdev_warn_unused;
void keeper_page_swap(struct keeper *keeper, uint32_t version);

/*
 * Keeps *@fd under @slot, replacing what is there, and sets *@fd to -1. -EINVAL for a slot out of
 * range, -EDQUOT when @max descriptors are kept already, -ENOMEM; *@fd is untouched then.
 */
int keeper_keep(struct keeper *keeper, uint32_t slot, int *fd, size_t max) umdev_warn_unused;

/* Closes the descriptor of @slot, or all of them. */
void keeper_drop(struct keeper *keeper, uint32_t slot);
void keeper_drop_all(struct keeper *keeper);

/* The descriptor kept under @slot, or -1. */
int keeper_get(const struct keeper *keeper, uint32_t slot);
