/* SPDX-License-Identifier: BSD-3-Clause */
/* The rules of groups. See group.h. */
#include "model/group.h"

#include <string.h>
#include <umdev/driver.h>

static const char *const group_scopes[] = {
	[UMDEV_GROUP_NONE] = "none",
	[UMDEV_GROUP_DEVICE] = "device",
	[UMDEV_GROUP_DRIVER] = "driver",
};

const char *group_scope_name(uint32_t scope)
{
	return scope < ARRAY_SIZE(group_scopes) ? group_scopes[scope] : "unknown";
}

static int group_check_parent(const char *group, const struct group_member *m,
			      const struct group_member *other, struct umdev_error *err)
{
	if (strcmp(m->parent, other->parent) == 0)
		return 0;
	return error_set_key(err, ERROR_INVALID, "group",
			     "group %s: type %s of %s wants all members on one parent (group_scope "
			     "device), but %s is on %s and %s on %s",
			     group, m->type_id, m->uuid, m->uuid, m->parent, other->uuid,
			     other->parent);
}

static int group_check_driver(const char *group, const struct group_member *m,
			      const struct group_member *other, struct umdev_error *err)
{
	if (strcmp(m->driver, other->driver) == 0)
		return 0;
	return error_set_key(err, ERROR_INVALID, "group",
			     "group %s: type %s of %s wants all members of one driver (group_scope "
			     "%s), but %s is of %s and %s of %s",
			     group, m->type_id, m->uuid, group_scope_name(m->scope), m->uuid,
			     m->driver, other->uuid, other->driver);
}

int group_check_members(const char *group, const struct group_member *members, size_t count,
			struct umdev_error *err)
{
	const struct group_member *narrow = NULL; /* one that wants all on its parent */
	int r = 0;

	if (count > GROUP_MEMBERS_MAX)
		return error_set_key(err, ERROR_LIMIT, "group",
				     "group %s would have %zu members, the limit is %d", group,
				     count, GROUP_MEMBERS_MAX);
	for (size_t i = 0; i < count; i++) {
		if (members[i].scope == UMDEV_GROUP_NONE)
			return error_set_key(err, ERROR_INVALID, "group",
					     "type %s may not be in a group (group_scope none): "
					     "leave %s out of group %s",
					     members[i].type_id, members[i].uuid, group);
	}
	for (size_t i = 0; i < count; i++) {
		if (members[i].scope == UMDEV_GROUP_DEVICE)
			narrow = &members[i];
	}
	for (size_t i = 0; r == 0 && i < count; i++) {
		r = group_check_driver(group, &members[0], &members[i], err);
		if (r == 0 && narrow)
			r = group_check_parent(group, narrow, &members[i], err);
	}
	return r;
}

static const struct group_member *group_find_used(const struct group_member *members, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (members[i].in_use && !members[i].moves)
			return &members[i];
	}
	return NULL;
}

/* Whether the group may change while it is used. */
static int group_check_hotplug(const char *group, const struct group_member *members, size_t count,
			       const char *doing, struct umdev_error *err)
{
	const struct group_member *used = group_find_used(members, count);
	const struct group_member *moves = NULL;

	for (size_t i = 0; i < count && !moves; i++) {
		if (members[i].moves)
			moves = &members[i];
	}
	for (size_t i = 0; used && moves && i < count; i++) {
		if (!members[i].hotplug)
			return error_set_key(err, ERROR_DEVICE_BUSY, "group",
					     "%s cannot %s group %s while process %d uses %s: type "
					     "%s has no group_hotplug, so end that process first",
					     moves->uuid, doing, group, used->in_use, used->uuid,
					     members[i].type_id);
	}
	return 0;
}

int group_check_join(const char *group, const struct group_member *members, size_t count,
		     struct umdev_error *err)
{
	int r = group_check_members(group, members, count, err);

	return r < 0 ? r : group_check_hotplug(group, members, count, "join", err);
}

int group_check_leave(const char *group, const struct group_member *members, size_t count,
		      struct umdev_error *err)
{
	return group_check_hotplug(group, members, count, "leave", err);
}

int group_check_client(const char *group, const char *uuid, const struct group_client *holder,
		       const struct group_client *client, struct umdev_error *err)
{
	if (client->pid == 0)
		return error_set_key(err, ERROR_NOT_PERMITTED, "group",
				     "group %s has one consumer, and which process this is cannot "
				     "be told: it runs in a PID namespace that the daemon does not "
				     "see",
				     group);
	if (holder->pid == 0 || (holder->pid == client->pid && holder->started == client->started))
		return 0;
	return error_set_key(err, ERROR_DEVICE_BUSY, "group",
			     "group %s is held by process %d of user %u through %s: all members of "
			     "a group serve one process, until it has left them all",
			     group, holder->pid, (unsigned)holder->uid, uuid);
}
