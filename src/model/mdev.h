/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of an mdev, and who may change it. Pure.
 *
 *   state      legal next                  meaning
 *   IDLE       STARTING                    defined at most: no device exists
 *   STARTING   ACTIVE, IDLE                claimed, being built; not yet announced
 *   ACTIVE     STOPPING, RESTARTING, IDLE  announced, its socket is served
 *   STOPPING   ACTIVE, IDLE                being taken down; ACTIVE again when that was refused
 *   RESTARTING ACTIVE, FAILED, IDLE        its host died and is being replaced
 *   FAILED     RESTARTING, IDLE            its host is gone for good; stopping it cleans up
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/cleanup.h"
#include "util/error.h"

enum mdev_state {
	MDEV_IDLE,
	MDEV_STARTING,
	MDEV_ACTIVE,
	MDEV_STOPPING,
	MDEV_RESTARTING,
	MDEV_FAILED,
	MDEV_STATE_COUNT
};

/* Whether @from -> @to is in the table above. */
bool mdev_state_may(enum mdev_state from, enum mdev_state to);

/* Whether listings call it active: it was announced and not yet taken down. */
bool mdev_state_is_active(enum mdev_state state);

/* "idle", "starting", ... Never NULL. */
const char *mdev_state_name(enum mdev_state state);

/* Who created an mdev. */
struct mdev_owner {
	uid_t uid;
	const char *name; /* of that user, or NULL: not known */
	const char *text; /* what the creator said, or NULL */
};

/* Who wants to change or remove it. */
struct mdev_caller {
	uid_t uid;
	uid_t daemon; /* whom the daemon runs as: its root, where that is not uid 0 */
	bool force;   /* --force was given */
};

#define MDEV_OWNER_FORCED 1

/*
 * Whether @caller may change the mdev @uuid. Its creator may: 0. Root may with force, on what
 * another user made: MDEV_OWNER_FORCED, which is to be recorded. Nobody else may, force or not:
 * NOT_PERMITTED, naming the owner and, to root, the way out.
 */
int mdev_owner_check(const struct mdev_owner *owner, const struct mdev_caller *caller,
		     const char *uuid, struct umdev_error *err) umdev_warn_unused;

#define MDEV_OWNER_SIZE 192

/* Writes whose it is: "user alice (1000, 'owner string')", without what is not known. */
void mdev_owner_print(const struct mdev_owner *owner, char text[MDEV_OWNER_SIZE]);
