/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Descriptors that the service manager (systemd) holds for the daemon, and hands to the next one:
 * what is left when the daemon and a host are gone at the same time.
 *
 * Each has an owner, a name, and a key with that owner. With the manager they are called by short
 * names, "u" and a number, since all of their names are one variable in the environment of the next
 * daemon, which must not have 128 KiB; what they are stands in an index (fdindex.h) that is stored,
 * too. The manager takes what is the same open file only once, so here one that several
 * owners have is stored once and counted.
 *
 * The manager says nothing in return. One that is slow makes us wait for nothing: messages are
 * queued, and until the queue is empty the index does not say that what they bring is there.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/cleanup.h"
#include "util/reactor.h"

/* So many names of ten bytes each leave room for others in 128 KiB. */
#define FDSTORE_MAX 8192u

/* So many an owner may have whatever others have; of the rest nobody gets more than is then left.
 */
#define FDSTORE_FREE 16u

struct fdstore;
struct fdstore_owner;

/*
 * Opens the manager's store of @max descriptors, or of as many as FDSTORE in the environment says,
 * with what an earlier daemon had left there; what cannot be understood is taken out of it. With
 * @max 0 and no FDSTORE, or without a manager, there is none: *@ret_store is NULL, and what was
 * handed over is closed. 0 or -errno.
 */
int fdstore_open(struct reactor *reactor, size_t max, struct fdstore **ret_store) umdev_warn_unused;

/* Ends: what is stored is taken out, for which a slow manager is given two seconds, or, with
 * @leave, stays for the next daemon. NULL is fine. */
void fdstore_close(struct fdstore *store, bool leave);

/* From now on nothing is changed any more: the next daemon shall find it as it is. NULL is fine. */
void fdstore_freeze(struct fdstore *store);

/*
 * Hands all of it on to the program that this process becomes, as the manager does to a new
 * process; or takes that back, when it did not become one. NULL is fine.
 */
void fdstore_hand_on(struct fdstore *store, bool on);

/* The owner of that name. Where there is none: NULL, or with @make a new one unless there is no
 * room. An owner that was asked for with @make is claimed. */
struct fdstore_owner *fdstore_owner(struct fdstore *store, const char *name, bool make);

/* Owners that an earlier daemon left and nobody has claimed lose all they have. */
void fdstore_forget_unclaimed(struct fdstore *store);

/* Stores @fd (borrowed) as @key, in place of what is there. -EDQUOT: there is no room, or this
 * owner has as much as is left for all others; or another -errno. */
int fdstore_put(struct fdstore_owner *owner, uint32_t key, int fd) umdev_warn_unused;

/* Takes @key out; takes all out and frees the owner. NULL is fine. */
void fdstore_drop(struct fdstore_owner *owner, uint32_t key);
void fdstore_forget(struct fdstore_owner *owner);

/* Takes out what is none of the @count keys in @keys. */
void fdstore_retain(struct fdstore_owner *owner, const uint32_t *keys, size_t count);

/* A number that is read back once all was stored that was put before. */
void fdstore_set_number(struct fdstore_owner *owner, uint64_t number);
uint64_t fdstore_number(const struct fdstore_owner *owner);

/* Whether each descriptor that the index speaks of was there at the start. */
bool fdstore_is_whole(const struct fdstore_owner *owner);

/* The descriptor of @key, the store's own, or -1. */
int fdstore_get(const struct fdstore_owner *owner, uint32_t key);

/* Calls @each with every owner, and with every descriptor of one. None may be changed meanwhile. */
void fdstore_each_owner(struct fdstore *store,
			void (*each)(void *arg, const char *name, struct fdstore_owner *owner),
			void *arg);
void fdstore_each(const struct fdstore_owner *owner, void (*each)(void *arg, uint32_t key, int fd),
		  void *arg);

/* How many are stored, and how many can be. */
void fdstore_usage(const struct fdstore *store, size_t *ret_used, size_t *ret_max);
