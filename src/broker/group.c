/* SPDX-License-Identifier: BSD-3-Clause */
/* Groups: members, settings and consumer. See group.h. */
#include "broker/group.h"

#include <stdlib.h>
#include <string.h>
#include <umdev/driver.h>

#include "broker/client.h"
#include "broker/process.h"
#include "broker/store.h"
#include "util/log.h"

int group_wrap(struct umdev_error *err, const char *group)
{
	if (strstr(err->message, group))
		return -error_word_errno(err->word);
	return error_wrap(err, "group %s", group);
}

/* ---- Members --------------------------------------------------------------------------------- */

bool group_has(const char *group, const struct mdev *mdev)
{
	char named[IDENT_UUID_SIZE];

	if (mdev->state != MDEV_IDLE && strcmp(mdev->group, group) == 0)
		return true;
	if (!mdev->definition)
		return false;
	definition_group(mdev->definition, named);
	return strcmp(named, group) == 0;
}

size_t group_count(const struct broker *broker, const char *group)
{
	const struct mdev *mdev;
	size_t count = 0;

	list_for_each (mdev, &broker->mdevs, link)
		count += group_has(group, mdev);
	return count;
}

void group_describe(const struct mdev *mdev, const struct type *type,
		    struct group_member *ret_member)
{
	const struct parent *parent =
		mdev->parent ? mdev->parent : parent_find(mdev->broker, mdev->parent_name);

	*ret_member = (struct group_member){
		.uuid = mdev->uuid,
		.parent = mdev->parent_name,
		.driver = parent ? parent->driver : "",
		.type_id = type->id,
		.scope = type->group_scope,
		.hotplug = type->group_hotplug,
		.in_use = mdev->client.pid ? mdev->client.pid
			  : mdev->in_use   ? (int)mdev->client_pid
					   : 0,
	};
}

size_t group_list_active(const struct broker *broker, const char *group, const struct mdev *but,
			 struct group_member members[GROUP_MEMBERS_MAX])
{
	const struct mdev *mdev;
	size_t count = 0;

	list_for_each (mdev, &broker->mdevs, link) {
		if (mdev == but || mdev->state == MDEV_IDLE || strcmp(mdev->group, group) != 0)
			continue;
		group_describe(mdev, &mdev->parent->types.types[mdev->type_index],
			       &members[count++]);
		if (count == GROUP_MEMBERS_MAX)
			break;
	}
	return count;
}

/* The type of a defined mdev, as far as its parent can tell. */
static const struct type *group_type_of(const struct mdev *mdev)
{
	const struct parent *parent = parent_find(mdev->broker, mdev->parent_name);
	const struct definition *d = mdev->definition ? mdev->definition : mdev->running;

	return parent && parent->opened && d && d->type_id
		       ? type_find_id(&parent->types, d->type_id)
		       : NULL;
}

int group_check_definition(const struct parent *parent, const char *uuid, const struct type *type,
			   const struct definition *d, struct umdev_error *err)
{
	struct group_member members[GROUP_MEMBERS_MAX + 1];
	char group[IDENT_UUID_SIZE];
	const struct mdev *mdev;
	size_t count = 1;

	definition_group(d, group);
	if (!group[0])
		return 0;
	members[0] = (struct group_member){
		.uuid = uuid,
		.parent = parent->name,
		.driver = parent->driver,
		.type_id = type->id,
		.scope = type->group_scope,
	};
	list_for_each (mdev, &parent->broker->mdevs, link) {
		const struct type *other = strcmp(mdev->uuid, uuid) != 0 && group_has(group, mdev)
						   ? group_type_of(mdev)
						   : NULL;

		if (other && count <= GROUP_MEMBERS_MAX)
			group_describe(mdev, other, &members[count++]);
	}
	return group_check_members(group, members, count, err);
}

int group_check_stop(const struct mdev *mdev, struct umdev_error *err)
{
	struct group_member members[GROUP_MEMBERS_MAX + 1];
	size_t count;
	int r;

	if (!mdev->group[0] || mdev->state == MDEV_IDLE)
		return 0;
	r = group_check_quiet(mdev->broker, mdev->group, err);
	if (r < 0)
		return r;
	count = group_list_active(mdev->broker, mdev->group, mdev, members);
	group_describe(mdev, &mdev->parent->types.types[mdev->type_index], &members[count]);
	members[count++].moves = true;
	return group_check_leave(mdev->group, members, count, err);
}

int group_may_change(const struct api_call *call, const char *group, struct umdev_error *err)
{
	const struct mdev *mdev;
	int r = 0;

	list_for_each (mdev, &call->broker->mdevs, link) {
		if (r == 0 && group_has(group, mdev))
			r = mdev_may_change(mdev, call, err);
	}
	return r < 0 ? group_wrap(err, group) : 0;
}

/* ---- Settings -------------------------------------------------------------------------------- */

static struct group *group_find(const struct broker *broker, const char *uuid)
{
	struct group *group;

	list_for_each (group, &broker->groups, link) {
		if (strcmp(group->uuid, uuid) == 0)
			return group;
	}
	return NULL;
}

static void group_free(struct group *group)
{
	list_del(&group->link);
	definition_free(group->settings);
	free(group);
}

void group_free_all(struct broker *broker)
{
	while (!list_empty(&broker->groups))
		group_free(list_first(&broker->groups, struct group, link));
}

/* Finds the group or makes it, without settings. NULL when out of memory. */
static struct group *group_get(struct broker *broker, const char *uuid)
{
	struct group *group = group_find(broker, uuid);

	if (group)
		return group;
	group = calloc(1, sizeof(*group));
	if (!group)
		return NULL;
	group->settings = definition_new(NULL, NULL);
	if (!group->settings) {
		free(group);
		return NULL;
	}
	snprintf(group->uuid, sizeof(group->uuid), "%s", uuid);
	list_add_tail(&broker->groups, &group->link);
	return group;
}

void group_knobs(const struct broker *broker, const char *group, struct knobs *ret_knobs)
{
	static const struct definition nothing;
	const struct group *set = group_find(broker, group);

	knobs_read(set ? set->settings : &nothing, ret_knobs);
}

struct definition *group_settings(const struct broker *broker, const char *group)
{
	const struct group *set = group_find(broker, group);

	return set ? definition_dup(set->settings) : definition_new(NULL, NULL);
}

/* Writes what is kept of @group, or removes the file where that is nothing. */
static int group_store(struct broker *broker, const struct group *group, struct umdev_error *err)
{
	json_t *json = json_object();
	struct knobs knobs;
	int r = 0;

	knobs_read(group->settings, &knobs);
	if (group->stored)
		r = json_object_set_new(json, "cap", knobs_percent_json(knobs.cap)) |
		    json_object_set_new(json, "weight", json_integer((json_int_t)knobs.weight));
	if (group->stopping)
		r |= json_object_set_new(json, "stopping", json_true());
	if (!json || r < 0)
		r = error_set(err, ERROR_NO_MEMORY, "out of memory");
	else
		r = store_write_group(broker, group->uuid, json_object_size(json) ? json : NULL,
				      err);
	json_decref(json);
	return r;
}

int group_set(struct broker *broker, const char *uuid, struct definition *settings,
	      struct umdev_error *err)
{
	struct group *group = group_get(broker, uuid);
	struct group was;
	int r;

	if (!group) {
		definition_free(settings);
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	}
	was = *group;
	group->settings = settings;
	group->stored = true;
	r = group_store(broker, group, err);
	if (r < 0) {
		group->settings = was.settings;
		group->stored = was.stored;
		was.settings = settings;
	}
	definition_free(was.settings);
	return r;
}

void group_mark(struct broker *broker, const char *uuid, bool stopping)
{
	struct group *group = stopping ? group_get(broker, uuid) : group_find(broker, uuid);
	struct umdev_error err = {0};
	int r = 0;

	if (!group && stopping)
		r = error_set(&err, ERROR_NO_MEMORY, "out of memory");
	if (group && group->stopping != stopping) {
		group->stopping = stopping;
		r = group_store(broker, group, &err);
	}
	if (r < 0)
		umdev_log(LOG_WARNING, uuid, "group", "%s", err.message);
}

bool group_is_stopping(const struct broker *broker, const char *uuid)
{
	const struct group *group = group_find(broker, uuid);

	return group && group->stopping;
}

bool group_is_down(const struct broker *broker, const char *uuid)
{
	const struct group *group = group_find(broker, uuid);

	return group && group->down;
}

static void group_remove_file(struct broker *broker, const char *uuid)
{
	struct umdev_error err = {0};

	if (store_write_group(broker, uuid, NULL, &err) < 0)
		umdev_log(LOG_WARNING, uuid, "group", "%s", err.message);
}

void group_settle(struct broker *broker, const char *uuid)
{
	struct group *group = uuid[0] ? group_find(broker, uuid) : NULL;

	if (!group || broker->ending || group_count(broker, uuid) > 0)
		return;
	group_remove_file(broker, uuid);
	group_free(group);
}

void group_settle_all(struct broker *broker)
{
	struct group *group;
	struct group *tmp;

	list_for_each_safe (group, tmp, &broker->groups, link)
		group_settle(broker, group->uuid);
}

static int group_parse(struct broker *broker, const char *uuid, const json_t *json,
		       struct umdev_error *err)
{
	static const char *const keys[] = {"cap", "weight"};
	static const char *const attrs[] = {KNOBS_ATTR_CAP, KNOBS_ATTR_WEIGHT};
	struct group *group = group_get(broker, uuid);
	int r = group ? 0 : error_set(err, ERROR_NO_MEMORY, "out of memory");

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(keys); i++) {
		const json_t *value = json_object_get(json, keys[i]);

		if (!value)
			continue;
		group->stored = true;
		r = knobs_put(group->settings, attrs[i], value, err);
	}
	if (r == 0)
		group->stopping = json_is_true(json_object_get(json, "stopping"));
	else if (group)
		group_free(group);
	return r;
}

static void group_take_file(struct broker *broker, const char *dir, const char *file)
{
	char uuid[IDENT_UUID_SIZE];
	struct umdev_error err = {0};
	json_t *json = NULL;
	int r;

	if (store_clear_leftover(broker, dir, file))
		return;
	if (ident_uuid_parse(file, uuid) < 0 || strcmp(uuid, file) != 0) {
		r = error_set(&err, ERROR_INVALID, "%s/%.64s: its name is not a UUID in lower case",
			      dir, file);
	} else {
		r = store_read_group(broker, uuid, &json, &err);
		if (r == 0)
			r = group_parse(broker, uuid, json, &err);
		if (r < 0)
			error_wrap(&err, "%s/%s", dir, file);
	}
	json_decref(json);
	if (r < 0)
		broker_event(broker,
			     &(struct event){.name = "definition.bad", .level = LOG_WARNING}, "%s",
			     err.message);
}

int group_load(struct broker *broker, struct umdev_error *err)
{
	return store_each(broker, BROKER_GROUPS_DIR, group_take_file, err);
}

/* ---- Showing --------------------------------------------------------------------------------- */

json_t *group_print_knobs(const struct broker *broker, const char *group)
{
	struct knobs knobs;

	group_knobs(broker, group, &knobs);
	return json_pack("{s:s,s:i,s:i,s:i}", "uuid", group, "cap", (int)knobs.cap, "weight",
			 (int)knobs.weight, "priority", 0);
}

/* What is known of all members together. */
struct group_view {
	json_t *mdevs;
	size_t count;
	size_t active;
	const struct mdev *used;
	uint32_t scope;
};

static void group_view_add(struct group_view *view, const struct mdev *mdev)
{
	const struct type *type = group_type_of(mdev);

	view->count++;
	view->active += mdev_state_is_active(mdev->state);
	if (mdev->state != MDEV_IDLE && (mdev->client.pid || mdev->in_use))
		view->used = mdev;
	/* The narrowest one holds for all. */
	if (type && type->group_scope != UMDEV_GROUP_NONE &&
	    (view->scope == UMDEV_GROUP_NONE || type->group_scope == UMDEV_GROUP_DEVICE))
		view->scope = type->group_scope;
	json_array_append_new(view->mdevs, mdev_print(mdev, mdev->state == MDEV_IDLE));
}

json_t *group_print(const struct broker *broker, const char *group)
{
	struct group_view view = {.mdevs = json_array(), .scope = UMDEV_GROUP_NONE};
	const struct mdev *mdev;
	struct knobs knobs;
	const char *state;
	json_t *object;

	list_for_each (mdev, &broker->mdevs, link) {
		if (group_has(group, mdev))
			group_view_add(&view, mdev);
	}
	state = view.used		    ? "in-use"
		: view.active == 0	    ? "defined"
		: view.active == view.count ? "active"
					    : "partial";
	group_knobs(broker, group, &knobs);
	object = json_pack("{s:s,s:s,s:s,s:o,s:I,s:o}", "group", group, "state", state, "scope",
			   group_scope_name(view.scope), "cap", knobs_percent_json(knobs.cap),
			   "weight", (json_int_t)knobs.weight, "mdevs", view.mdevs);
	if (object && view.used)
		json_object_set_new(
			object, "client",
			json_pack("{s:I,s:I}", "pid",
				  (json_int_t)(view.used->client.pid ? view.used->client.pid
								     : view.used->client_pid),
				  "uid",
				  (json_int_t)(view.used->client.pid ? view.used->client.uid
								     : view.used->client_uid)));
	return object;
}

/* ---- The consumer ---------------------------------------------------------------------------- */

int group_client_joins(struct parent *parent, json_t *params, const struct mdev **ret_holder,
		       struct umdev_error *err)
{
	const char *uuid = json_string_value(json_object_get(params, "uuid"));
	struct mdev *mdev = uuid ? mdev_find(parent->broker, parent->name, uuid) : NULL;
	const struct mdev *other;
	struct group_client client;

	if (!mdev || mdev->parent != parent || !mdev->group[0])
		return error_set(err, ERROR_NOT_ACTIVE, "there is no such member of a group here");
	if (group_is_stopping(parent->broker, mdev->group))
		return error_set(err, ERROR_DEVICE_BUSY, "group %s is being stopped", mdev->group);
	client.pid = (int)json_integer_value(json_object_get(params, "pid"));
	client.uid = sandbox_client_uid(parent->sandbox, client.pid,
					(uid_t)json_integer_value(json_object_get(params, "uid")));
	client.started = process_started(client.pid);
	list_for_each (other, &parent->broker->mdevs, link) {
		int r;

		if (other == mdev || other->state == MDEV_IDLE ||
		    strcmp(other->group, mdev->group) != 0 || client_hung_up(other))
			continue;
		r = group_check_client(mdev->group, other->uuid, &other->client, &client, err);
		if (r < 0) {
			*ret_holder = other;
			return r;
		}
	}
	mdev->client = client;
	return 0;
}

struct mdev *group_leaving(const struct broker *broker, const char *group)
{
	struct mdev *mdev;

	list_for_each (mdev, &broker->mdevs, link) {
		if (strcmp(mdev->group, group) == 0 && client_leaving(mdev))
			return mdev;
	}
	return NULL;
}

void group_client_was(struct mdev *mdev)
{
	mdev->client = (struct group_client){
		.pid = (int)mdev->client_pid,
		.started = process_started((int)mdev->client_pid),
		.uid = mdev->client_uid,
	};
}

void group_client_left(struct mdev *mdev)
{
	mdev->client = (struct group_client){0};
}
