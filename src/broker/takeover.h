/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Taking hosts over from a broker that died.
 *
 *   hello -> takeover: what the parent was opened with -> next, next, ...: each mdev with its
 * record (journal.h) and descriptors -> settle: what was under way is ended -> the parent is READY
 *
 * While it is told, an mdev is STARTING: nobody can have asked for anything yet. Settling decides
 * for each: a device whose start was not announced is removed, the rest is ACTIVE, and of a change
 * that may be half done all values are sent again. A host that cannot be taken over ends, and the
 * parent begins anew, as after a reboot.
 *
 * Where there is no host, but a service manager that stored what was kept, that is told by the
 * store (stored.h), the parent's next host is started as ever, and settling gives the mdevs to it.
 *
 * What concerns several hosts (who uses a group, what starts by itself) waits until all of them are
 * through: broker->takeovers.
 *
 * A broker that dies in an upgrade leaves two hosts. One of them goes on (host/baton.h), and that
 * one alone says hello: who ends before its hello was the other one.
 */
#pragma once

#include "broker/mdev.h"

/* Begins to take over the host of @parent, if there is one. */
bool takeover_begin(struct parent *parent);

/* What that host says, and that it is gone. takeover_notify() returns whether the message was one
 * of these; takeover_host_died() whether another host is being started, and nothing is left to be
 * done. */
void takeover_hello(struct parent *parent, json_t *hello);
bool takeover_notify(struct parent *parent, const char *method, json_t *params, int *fds,
		     size_t nfds);
bool takeover_host_died(struct parent *parent, const struct umdev_error *why);

/* Forgets a takeover. Safe on a parent without. */
void takeover_free(struct parent *parent);

/* Makes those mdevs of @parent again that were taken down to be made anew. */
void takeover_remake(struct parent *parent);

/* Ends the hosts that belong to no parent: those were removed. */
void takeover_strays(struct broker *broker);
void takeover_strays_free(struct broker *broker);

/* ---- Between takeover.c and takeover-mdev.c */

/* What a host tells, until it is settled. */
struct takeover {
	struct parent *parent;
	json_t *answer;	 /* to LINK_TAKEOVER */
	json_t *records; /* uuid -> its record */
	json_t *removes; /* uuids of what cannot be taken over */
	uint64_t started_ns;
	bool next;    /* of the host that was to be the next one */
	bool greeted; /* it has said hello, so it is the one that serves */
	bool told;    /* of the parent */
	bool stored;  /* there is no host: all comes from the service manager's store (stored.h) */
	uint32_t state_version; /* ... and its pages were left by a driver with this one */
	json_t *files;		/* ... and the backings were these */
	bool replaces;		/* its options are others now */
	unsigned pending;
};

/* Begins one of a parent without host; NULL when out of memory. */
struct takeover *takeover_new_stored(struct parent *parent, json_t *files);

/* Forgets what was told of all mdevs. */
void takeover_drop_mdevs(struct parent *parent);

/* Takes the message LINK_MDEV. What cannot be understood is to be removed. */
void takeover_take_mdev(struct takeover *t, json_t *params, int *fds, size_t nfds);

/* Forgets what was told of @mdev. */
void takeover_drop_mdev(struct mdev *mdev);

/* Decides about @mdev, and begins what is to be done; may free it. */
void takeover_settle_mdev(struct takeover *t, struct mdev *mdev);

/* Writes down that @mdev is settled. */
void takeover_settled_mdev(const struct takeover *t, struct mdev *mdev);

/* Something that t->pending counts has ended. */
void takeover_step(struct takeover *t);

/* The same as a reply, whose failure of @what is logged. */
void takeover_replied(void *arg, json_t *result, const struct umdev_error *err);
