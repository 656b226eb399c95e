/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Groups as one host sees them: the members it has share a place in the scheduler of each engine,
 * the driver is asked whether a set may be a group, and whoever connects to a member is asked
 * about at the broker, because other members may live in other hosts.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/group.h"
#include "host/handover.h"
#include "util/clock.h"
#include "util/log.h"

struct host_group {
	struct list link;
	char uuid[UMDEV_UUID_STRING];
	struct qos_knobs knobs;
	uint32_t members;
	struct qos_group *engines[HOST_ENGINES_MAX];
};

/* A question about a client. It outlives the mdev that asked, which then clears the pointer. */
struct host_join {
	struct umdev_mdev *mdev;
	struct ucred peer;
};

/* ---- The second level of the scheduler ------------------------------------------------------- */

static struct host_group *group_find(struct umdev_parent *parent, const char *uuid)
{
	struct host_group *group;

	list_for_each (group, &parent->groups, link) {
		if (strcmp(group->uuid, uuid) == 0)
			return group;
	}
	return NULL;
}

static void group_free(struct umdev_parent *parent, struct host_group *group)
{
	for (uint32_t i = 0; i < parent->engine_count; i++) {
		if (group->engines[i])
			qos_group_free(group->engines[i]);
	}
	free(group);
}

static int group_new(struct umdev_parent *parent, const char *uuid, const struct qos_knobs *knobs,
		     struct host_group **ret_group, struct umdev_error *err)
{
	struct host_group *group = calloc(1, sizeof(*group));

	for (uint32_t i = 0; group && i < parent->engine_count; i++) {
		group->engines[i] = qos_group_new(parent->engines[i].qos, knobs, clock_now_ns());
		if (group->engines[i])
			continue;
		group_free(parent, group);
		group = NULL;
	}
	if (!group)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	snprintf(group->uuid, sizeof(group->uuid), "%s", uuid);
	group->knobs = *knobs;
	list_add_tail(&parent->groups, &group->link);
	*ret_group = group;
	return 0;
}

/* A device that schedules by itself knows mdevs and no groups: what it cannot do is refused. */
static int group_check_knobs(const struct umdev_parent *parent, const char *uuid,
			     const struct qos_knobs *knobs, struct umdev_error *err)
{
	const struct qos_knobs none = QOS_KNOBS_DEFAULT;

	if (!parent->driver.table.qos_set ||
	    (knobs->cap == none.cap && knobs->weight == none.weight))
		return 0;
	return error_set_key(err, ERROR_INVALID, "group",
			     "group %s has a member on %s, where the device schedules by itself "
			     "and knows no groups: leave its cap at 100 and its weight at %u",
			     uuid, parent->name, none.weight);
}

int host_group_join(struct umdev_mdev *mdev, const char *uuid, const struct qos_knobs *knobs,
		    struct umdev_error *err)
{
	struct umdev_parent *parent = mdev->parent;
	struct host_group *group = group_find(parent, uuid);
	int r = group_check_knobs(parent, uuid, knobs, err);

	if (r == 0 && !group)
		r = group_new(parent, uuid, knobs, &group, err);
	if (r < 0)
		return r;
	group->members++;
	mdev->group = group;
	return 0;
}

void host_group_leave(struct umdev_mdev *mdev)
{
	struct host_group *group = mdev->group;

	mdev->group = NULL;
	if (!group || --group->members > 0)
		return;
	list_del(&group->link);
	group_free(mdev->parent, group);
}

struct qos_group *host_group_engine(const struct umdev_mdev *mdev, uint32_t engine)
{
	return mdev->group ? mdev->group->engines[engine] : NULL;
}

int host_group_set(struct umdev_parent *parent, const char *uuid, const struct qos_knobs *knobs,
		   struct umdev_error *err)
{
	struct host_group *group = group_find(parent, uuid);
	int r;

	if (!group)
		return error_set(err, ERROR_NOT_ACTIVE, "group %s has no active member on %s", uuid,
				 parent->name);
	r = group_check_knobs(parent, uuid, knobs, err);
	if (r < 0)
		return r;
	parent->jobs_ns = clock_now_ns();
	for (uint32_t i = 0; i < parent->engine_count; i++)
		qos_group_set(group->engines[i], knobs, parent->jobs_ns);
	group->knobs = *knobs;
	reactor_task_add(parent->reactor, &parent->dispatch);
	return 0;
}

json_t *host_group_print(const struct umdev_mdev *mdev)
{
	const struct host_group *group = mdev->group;

	return !group ? NULL
		      : json_pack("{s:s,s:I,s:I,s:I}", "uuid", group->uuid, "cap",
				  (json_int_t)group->knobs.cap, "weight",
				  (json_int_t)group->knobs.weight, "priority",
				  (json_int_t)group->knobs.priority);
}

/* ---- The driver's own rules ------------------------------------------------------------------ */

static int group_read_member(const struct umdev_parent *parent, json_t *row,
			     struct umdev_group_member *ret_member, struct umdev_error *err)
{
	struct umdev_group_member m = {0};
	const char *type = NULL;
	const size_t prefix = strlen(parent->driver.table.name) + 1;
	int is_new = 0;

	if (json_unpack(row, "{s:s,s:s,s:s,s:s,s:b}", "uuid", &m.uuid, "parent", &m.parent, "type",
			&type, "type_name", &m.type_name, "new", &is_new) < 0 ||
	    strlen(type) <= prefix)
		return error_set(err, ERROR_INVALID, "malformed group");
	m.type_id = type + prefix;
	if (strcmp(m.parent, parent->name) == 0)
		m.flags |= UMDEV_MEMBER_HERE;
	if (is_new)
		m.flags |= UMDEV_MEMBER_NEW;
	*ret_member = m;
	return 0;
}

int host_group_check(struct umdev_parent *parent, json_t *params, struct umdev_error *err)
{
	const char *uuid = json_string_value(json_object_get(params, "group"));
	json_t *rows = json_object_get(params, "members");
	size_t count = json_array_size(rows);
	umdev_autofree struct umdev_group_member *members =
		calloc(count ? count : 1, sizeof(*members));

	if (!members)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	if (!uuid || count == 0 || !parent->opened || parent->closing)
		return error_set(err, ERROR_INVALID, "malformed group");
	for (size_t i = 0; i < count; i++) {
		int r = group_read_member(parent, json_array_get(rows, i), &members[i], err);

		if (r < 0)
			return r;
	}
	return driver_group_check(&parent->driver, parent->priv, uuid, members, (uint32_t)count,
				  err);
}

/* ---- One consumer ---------------------------------------------------------------------------- */

static void group_joined(void *arg, json_t *result, const struct umdev_error *err)
{
	struct host_join *join = arg;
	struct umdev_mdev *mdev = join->mdev;
	char refusal[256];

	if (mdev && !result && err->word == ERROR_HOST_FAILED &&
	    host_handover_waits(mdev->parent)) {
		mdev->join = NULL;
		mdev->ask_again = true;
	} else if (mdev) {
		mdev->join = NULL;
		if (!result)
			snprintf(refusal, sizeof(refusal),
				 "client (pid %d, uid %u) turned away: %.200s", (int)join->peer.pid,
				 (unsigned)join->peer.uid, err->message);
		vfio_session_admit(mdev->session, result ? NULL : refusal);
	}
	free(join);
}

int host_group_ask(struct umdev_mdev *mdev, const struct ucred *peer, struct umdev_error *err)
{
	struct host_join *join = calloc(1, sizeof(*join));
	int r = -ENOMEM;

	if (join) {
		*join = (struct host_join){.mdev = mdev, .peer = *peer};
		r = link_call(&mdev->parent->link, LINK_JOIN,
			      json_pack("{s:s,s:i,s:i}", "uuid", mdev->uuid, "pid", (int)peer->pid,
					"uid", (int)peer->uid),
			      NULL, 0, group_joined, join);
	}
	if (r < 0 && host_handover_waits(mdev->parent)) {
		free(join);
		mdev->asked = true;
		mdev->ask_again = true;
		return -EINPROGRESS;
	}
	if (r < 0) {
		free(join);
		return error_set(err, ERROR_INTERNAL,
				 "client turned away: the broker cannot be asked: %s",
				 strerror(-r));
	}
	mdev->join = join;
	mdev->asked = true;
	return -EINPROGRESS;
}

void host_group_forget(struct umdev_mdev *mdev)
{
	if (mdev->join)
		mdev->join->mdev = NULL;
	mdev->join = NULL;
	mdev->asked = false;
	mdev->ask_again = false;
}

void host_group_ask_again(struct umdev_mdev *mdev)
{
	struct umdev_error err = {0};
	struct ucred peer;

	if (!mdev->ask_again || !vfio_session_client(mdev->session, &peer))
		return;
	mdev->ask_again = false;
	/* Should the link be gone again, it waits as before. */
	if (host_group_ask(mdev, &peer, &err) != -EINPROGRESS)
		vfio_session_admit(mdev->session, err.message);
}

void host_group_unask(struct umdev_mdev *mdev)
{
	if (mdev->join)
		mdev->join->mdev = NULL;
	mdev->join = NULL;
	mdev->ask_again = false;
	if (!mdev->asked)
		return;
	mdev->asked = false;
	/* A broker that cannot be told is gone, and what it knew with it. */
	link_notify(&mdev->parent->link, LINK_LEAVE, json_pack("{s:s}", "uuid", mdev->uuid), NULL,
		    0);
}
