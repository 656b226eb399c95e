/* SPDX-License-Identifier: BSD-3-Clause */
/* The methods group.list, group.start, group.stop and group.qos. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/group.h"
#include "broker/place.h"
#include "broker/rpc-mdev.h"
#include "broker/watch.h"
#include "link/protocol.h"
#include "util/log.h"

/* Takes the parameter "group"; with @members, NOT_FOUND unless it has some. */
static int group_param(const struct api_call *call, bool members, char group[IDENT_UUID_SIZE],
		       struct umdev_error *err)
{
	const char *text = api_text(call, "group");

	if (ident_uuid_parse(text, group) < 0)
		return error_set_key(err, ERROR_INVALID, "group",
				     "'%.64s' is no UUID: 36 characters such as "
				     "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001",
				     text ? text : "");
	if (members && group_count(call->broker, group) == 0)
		return error_set_key(err, ERROR_NOT_FOUND, "group",
				     "there is no group %s: no mdev has it as %s", group,
				     SPEC_ATTR_GROUP);
	return 0;
}

/* ---- group.list ------------------------------------------------------------------------------ */

/* Adds the group called @name, unless it is there already or is not the one that is wanted. */
static void group_list_add(const struct broker *broker, json_t *found, const char *name,
			   const char *only)
{
	if (!name[0] || (only && strcmp(name, only) != 0) || json_object_get(found, name))
		return;
	json_object_set_new(found, name, group_print(broker, name));
}

void rpc_group_list(struct api_call *call)
{
	bool one = api_text(call, "group") != NULL;
	char only[IDENT_UUID_SIZE] = "";
	struct umdev_error err = {0};
	const struct mdev *mdev;
	json_t *found;
	json_t *groups = NULL;
	const char *name;
	json_t *group;
	void *at;

	if (one && group_param(call, true, only, &err) < 0) {
		api_fail(call, &err);
		return;
	}
	found = json_object();
	list_for_each (mdev, &call->broker->mdevs, link) {
		char defined[IDENT_UUID_SIZE] = "";

		if (mdev->definition)
			definition_group(mdev->definition, defined);
		group_list_add(call->broker, found, defined, one ? only : NULL);
		if (mdev->state != MDEV_IDLE)
			group_list_add(call->broker, found, mdev->group, one ? only : NULL);
	}
	if (found)
		groups = json_array();
	json_object_foreach_safe(found, at, name, group) json_array_append(groups, group);
	json_decref(found);
	api_reply(call, groups ? json_pack("{s:o}", "groups", groups) : NULL);
}

/* ---- group.start ----------------------------------------------------------------------------- */

static int group_start_list(struct api_call *call, const char *group, struct group_wanted *wanted,
			    struct umdev_error *err)
{
	struct mdev *mdev;
	struct mdev *tmp;

	list_for_each_safe (mdev, tmp, &call->broker->mdevs, link) {
		if (mdev->state == MDEV_STARTING && strcmp(mdev->group, group) == 0)
			return error_set(err, ERROR_DEVICE_BUSY, "mdev %s is starting: try again",
					 mdev->uuid);
		if (mdev->state != MDEV_IDLE || !group_has(group, mdev))
			continue;
		if (wanted->count == GROUP_MEMBERS_MAX)
			return error_set_key(err, ERROR_LIMIT, "group",
					     "group %s has more than %d members, the limit", group,
					     GROUP_MEMBERS_MAX);
		wanted->runnings[wanted->count] = definition_dup(mdev->definition);
		if (!wanted->runnings[wanted->count])
			return error_set(err, ERROR_NO_MEMORY, "out of memory");
		wanted->mdevs[wanted->count++] = mdev;
	}
	return 0;
}

void rpc_group_start(struct api_call *call)
{
	struct mdev *mdevs[GROUP_MEMBERS_MAX];
	struct definition *runnings[GROUP_MEMBERS_MAX];
	char group[IDENT_UUID_SIZE];
	struct group_wanted wanted = {.group = group, .mdevs = mdevs, .runnings = runnings};
	struct umdev_error err = {0};
	int r = group_param(call, true, group, &err);

	if (r == 0 && call->broker->ending)
		r = error_set(&err, ERROR_NO_PARENT, "the daemon is ending");
	if (r == 0)
		r = group_may_change(call, group, &err);
	if (r == 0)
		r = group_start_list(call, group, &wanted, &err);
	if (r == 0 && wanted.count == 0)
		r = error_set(&err, ERROR_EXISTS, "all members of group %s are active already",
			      group);
	if (r < 0) {
		while (wanted.count > 0)
			definition_free(runnings[--wanted.count]);
		api_fail(call, &err);
		return;
	}
	if (group_start(call->broker, &wanted, call, &err) < 0) {
		group_wrap(&err, group);
		api_fail(call, &err);
	}
}

/* ---- group.stop ------------------------------------------------------------------------------ */

void rpc_group_stop(struct api_call *call)
{
	char group[IDENT_UUID_SIZE];
	struct umdev_error err = {0};
	int r = group_param(call, true, group, &err);

	if (r == 0)
		r = group_may_change(call, group, &err);
	if (r == 0 && !api_flag(call, "force") &&
	    api_put_off(call, rpc_group_stop, group_leaving(call->broker, group)))
		return;
	if (r == 0)
		r = group_stop(call->broker, group, api_flag(call, "force"), call, &err);
	if (r < 0)
		api_fail(call, &err);
}

/* ---- group.qos ------------------------------------------------------------------------------- */

/* A change on its way through the hosts of the members. */
struct group_change {
	struct api_call *call;
	char group[IDENT_UUID_SIZE];
	struct definition *next;
	struct definition *was;
	bool backwards; /* setting back what took it */
	unsigned pending;
	struct umdev_error err;
};

static void group_change_send(struct group_change *change, const struct definition *to);

static void group_change_end(struct group_change *change)
{
	struct broker *broker = change->call->broker;

	if (!change->backwards && change->err.word == ERROR_NONE &&
	    group_set(broker, change->group, umdev_steal_ptr(&change->next), &change->err) == 0) {
		struct knobs knobs;
		char cap[KNOBS_PERCENT_SIZE];

		group_knobs(broker, change->group, &knobs);
		knobs_percent(knobs.cap, cap);
		group_event(broker, change->group, "group.modified", LOG_INFO, "cap %s, weight %u",
			    cap, knobs.weight);
		api_reply(change->call, group_print(broker, change->group));
	} else if (!change->backwards) {
		change->backwards = true;
		group_change_send(change, change->was);
		return;
	} else {
		api_fail(change->call, &change->err);
	}
	definition_free(change->next);
	definition_free(change->was);
	free(change);
}

static void group_changed(void *arg, json_t *result, const struct umdev_error *err)
{
	struct group_change *change = arg;

	/* A host that died gets them with the mdevs that it makes anew. */
	if (!result && err->word != ERROR_HOST_FAILED && err->word != ERROR_NOT_ACTIVE &&
	    change->err.word == ERROR_NONE)
		change->err = *err;
	if (--change->pending == 0)
		group_change_end(change);
}

/* Tells every host that has an active member. */
static void group_change_send(struct group_change *change, const struct definition *to)
{
	struct parent *parent;
	struct knobs knobs;

	knobs_read(to, &knobs);
	change->pending = 1; /* until all were begun */
	list_for_each (parent, &change->call->broker->parents, link) {
		const struct mdev *mdev;
		bool here = false;

		list_for_each (mdev, &change->call->broker->mdevs, link)
			here = here || (mdev->parent == parent && mdev->state == MDEV_ACTIVE &&
					strcmp(mdev->group, change->group) == 0);
		if (here && parent_call(parent, LINK_GROUP_QOS,
					json_pack("{s:s,s:i,s:i,s:i}", "group", change->group,
						  "cap", (int)knobs.cap, "weight",
						  (int)knobs.weight, "priority", 0),
					group_changed, change) == 0)
			change->pending++;
	}
	if (--change->pending == 0)
		group_change_end(change);
}

static int group_change_begin(struct api_call *call, const char *group, struct umdev_error *err)
{
	const json_t *cap = json_object_get(call->params, "cap");
	const json_t *weight = json_object_get(call->params, "weight");
	struct group_change *change = calloc(1, sizeof(*change));
	struct knobs knobs;
	int r = 0;

	if (change) {
		change->next = group_settings(call->broker, group);
		change->was = group_settings(call->broker, group);
	}
	if (!change || !change->next || !change->was)
		r = error_set(err, ERROR_NO_MEMORY, "out of memory");
	if (r == 0 && cap)
		r = knobs_put(change->next, KNOBS_ATTR_CAP, cap, err);
	if (r == 0 && weight)
		r = knobs_put(change->next, KNOBS_ATTR_WEIGHT, weight, err);
	if (r == 0) {
		knobs_read(change->next, &knobs);
		r = place_check_group(call->broker, group, &knobs, err);
	}
	if (r < 0) {
		if (change) {
			definition_free(change->next);
			definition_free(change->was);
		}
		free(change);
		return group_wrap(err, group);
	}
	change->call = call;
	snprintf(change->group, sizeof(change->group), "%s", group);
	group_change_send(change, change->next);
	return 0;
}

void rpc_group_qos(struct api_call *call)
{
	bool change =
		json_object_get(call->params, "cap") || json_object_get(call->params, "weight");
	char group[IDENT_UUID_SIZE];
	struct umdev_error err = {0};
	int r = group_param(call, true, group, &err);

	if (r == 0 && change)
		r = group_may_change(call, group, &err);
	if (r == 0 && change)
		r = group_check_quiet(call->broker, group, &err);
	if (r == 0 && change)
		r = group_change_begin(call, group, &err);
	if (r < 0)
		api_fail(call, &err);
	else if (!change)
		api_reply(call, group_print(call->broker, group));
}
