/* SPDX-License-Identifier: BSD-3-Clause */
/* States of an mdev and its ownership. See mdev.h. */
#include "model/mdev.h"

#include <assert.h>
#include <stdio.h>

#define MDEV_BIT(state) (1u << (state))

static const struct {
	const char *name;
	unsigned next;
} mdev_states[] = {
	[MDEV_IDLE] = {"idle", MDEV_BIT(MDEV_STARTING)},
	[MDEV_STARTING] = {"starting", MDEV_BIT(MDEV_ACTIVE) | MDEV_BIT(MDEV_IDLE)},
	[MDEV_ACTIVE] = {"active",
			 MDEV_BIT(MDEV_STOPPING) | MDEV_BIT(MDEV_RESTARTING) | MDEV_BIT(MDEV_IDLE)},
	[MDEV_STOPPING] = {"stopping", MDEV_BIT(MDEV_ACTIVE) | MDEV_BIT(MDEV_IDLE)},
	[MDEV_RESTARTING] = {"restarting",
			     MDEV_BIT(MDEV_ACTIVE) | MDEV_BIT(MDEV_FAILED) | MDEV_BIT(MDEV_IDLE)},
	[MDEV_FAILED] = {"failed", MDEV_BIT(MDEV_RESTARTING) | MDEV_BIT(MDEV_IDLE)},
};
static_assert(ARRAY_SIZE(mdev_states) == MDEV_STATE_COUNT, "every state has a row");

bool mdev_state_may(enum mdev_state from, enum mdev_state to)
{
	if ((unsigned)from >= MDEV_STATE_COUNT || (unsigned)to >= MDEV_STATE_COUNT)
		return false;
	return mdev_states[from].next & MDEV_BIT(to);
}

bool mdev_state_is_active(enum mdev_state state)
{
	return state == MDEV_ACTIVE || state == MDEV_STOPPING || state == MDEV_RESTARTING ||
	       state == MDEV_FAILED;
}

const char *mdev_state_name(enum mdev_state state)
{
	return (unsigned)state < MDEV_STATE_COUNT ? mdev_states[state].name : "unknown";
}

void mdev_owner_print(const struct mdev_owner *owner, char text[MDEV_OWNER_SIZE])
{
	char said[80] = "";

	if (owner->text)
		snprintf(said, sizeof(said), "'%.64s'", owner->text);
	if (owner->name)
		snprintf(text, MDEV_OWNER_SIZE, "user %.64s (%u%s%s)", owner->name,
			 (unsigned)owner->uid, said[0] ? ", " : "", said);
	else
		snprintf(text, MDEV_OWNER_SIZE, "user %u%s%s%s", (unsigned)owner->uid,
			 said[0] ? " (" : "", said, said[0] ? ")" : "");
}

int mdev_owner_check(const struct mdev_owner *owner, const struct mdev_caller *caller,
		     const char *uuid, struct umdev_error *err)
{
	bool root = caller->uid == 0 || caller->uid == caller->daemon;
	char whose[MDEV_OWNER_SIZE];

	if (caller->uid == owner->uid)
		return 0;
	if (root && caller->force)
		return MDEV_OWNER_FORCED;
	mdev_owner_print(owner, whose);
	return error_set(err, ERROR_NOT_PERMITTED, "mdev %s belongs to %s: %s", uuid, whose,
			 root ? "leave it to that user, or use --force"
			      : "only that user may change it, and root with --force");
}
