/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What of mdevs and parents lies with the service manager (fdstore.h), and what becomes of it.
 *
 * Stored is what a host keeps for the next broker, too: of an mdev its page, sockets, endpoints,
 * record and kept descriptors, from the moment at which it is active; of a parent its record and
 * the memory that is its storage. An mdev is stored as a whole or not at all.
 *
 * A daemon that finds no host of a parent takes these from there, as it would from a host
 * (takeover.h): they are STARTING until the parent has a host, and then given to it as after the
 * death of the one before. Hosts that live know better: what they tell takes the place of what
 * was stored.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "broker/mdev.h"
#include "broker/parent.h"

/* Makes the store say what is kept for @mdev, which is active. Safe without a store. */
void stored_mdev(struct mdev *mdev);

/* The same for one descriptor more, and for the number of the message that brought or dropped some.
 */
void stored_keep(struct mdev *mdev, uint32_t slot);
void stored_number(struct mdev *mdev);

/* Less is kept of it: there may be room now. */
void stored_dropped(struct mdev *mdev);

/* A client came or left. */
void stored_client(struct mdev *mdev);

/* Makes the store say what is kept for @parent, which is ready; or nothing. */
void stored_parent(struct parent *parent);
void stored_parent_gone(struct parent *parent);

/* Adds to the record of @parent what it takes to know that it is the same again. */
void stored_describe(const struct parent *parent, json_t *record);

/* Looks at what an earlier daemon left; forgets what of it nobody has asked for. */
void stored_begin(struct broker *broker);
void stored_end(struct broker *broker);

/* Takes the mdevs of @parent, which has no host, as a takeover of its own. Whether there were any.
 */
bool stored_take(struct parent *parent);

/* Its backings were opened: puts back the memory that was stored. What is not the same again costs
 * its mdevs. */
void stored_backings(struct parent *parent);

/* Its host is ready: gives it the mdevs that were stored. */
void stored_settle(struct parent *parent);

/* It will get no host: they are gone. Safe on a parent without. */
void stored_abandon(struct parent *parent);
