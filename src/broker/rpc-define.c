/* SPDX-License-Identifier: BSD-3-Clause */
/* The methods mdev.define and mdev.modify, by mdevctl's rules. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/group.h"
#include "broker/place.h"
#include "broker/rpc-mdev.h"
#include "util/log.h"

/*
 * Checks @d, for mdev @uuid, against @parent's types and attributes and completes it with the
 * type's id and name. A parent that is not there or not ready cannot be asked: then only what every
 * mdev has is checked.
 */
static int define_check(struct broker *broker, const char *parent_name, const char *uuid,
			struct definition *d, struct umdev_error *err)
{
	const struct parent *parent = parent_find(broker, parent_name);
	struct type_choice choice = {0};
	int r;

	if (!parent || !parent->opened) {
		if (!d->type_id && d->type_name)
			return parent ? parent_check_ready(parent, err)
				      : error_set_key(err, ERROR_NO_PARENT, "parent",
						      "a type is known by its name only while its "
						      "parent is there: give its id");
		return definition_check_attrs(d, NULL, NULL, err);
	}
	r = type_resolve(&parent->types, parent->name, d->type_id, d->type_name, &choice, err);
	if (r < 0)
		return r;
	if (definition_set_type(d, choice.type->id, choice.type->name) < 0)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	r = definition_check_attrs(d, &parent->attr_specs, parent->driver, err);
	if (r == 0)
		r = group_check_definition(parent, uuid, choice.type, d, err);
	if (r == 0)
		r = knobs_check(d, choice.type, uuid, err);
	return r < 0 ? r : place_check_definition(broker, parent_name, uuid, d, err);
}

/* The id of the type that @call asks for, or NULL. */
static const char *define_asked_type(const struct api_call *call)
{
	const json_t *content = json_object_get(call->params, "definition");

	return content ? json_string_value(json_object_get(content, "mdev_type"))
		       : api_text(call, "type");
}

/* Tells that the definition has another id than the one that was @asked for (or NULL). */
static void define_tell_type(const struct mdev *mdev, const char *asked)
{
	const struct definition *d = mdev->definition;

	if (asked && strcmp(asked, d->type_id) != 0)
		mdev_event(mdev, "mdev.modified", LOG_WARNING,
			   "type %s is gone from %s; '%s' is %s there now: definition corrected",
			   asked, mdev->parent_name, d->type_name, d->type_id);
}

/* ---- define ---------------------------------------------------------------------------------- */

/* Parent and type of a device that is active, where they were not given. */
static int define_copy_active(struct api_call *call, const char *uuid, const char **parent,
			      struct definition *d, struct umdev_error *err)
{
	const struct mdev *active =
		api_text(call, "uuid") ? mdev_find_active(call->broker, uuid) : NULL;

	if (!*parent && active)
		*parent = active->parent_name;
	if (!*parent)
		return error_set_key(err, ERROR_INVALID, "parent",
				     "mdev %s is not active: give a parent and a type", uuid);
	if (d->type_id || d->type_name)
		return 0;
	if (!active || strcmp(active->parent_name, *parent) != 0)
		return error_set_key(err, ERROR_INVALID, "type",
				     "mdev %s is not active on %s: give a type", uuid, *parent);
	if (definition_set_type(d, active->running->type_id, active->running->type_name) < 0)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	for (size_t i = 0; d->attr_count == 0 && i < active->running->attr_count; i++) {
		int r = definition_add_attr(d, i, active->running->attrs[i].name,
					    active->running->attrs[i].value, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int define_prepare(struct api_call *call, char uuid[IDENT_UUID_SIZE], const char **parent,
			  struct definition **ret, struct umdev_error *err)
{
	int r = rpc_uuid_now(call, uuid, true, err);

	*parent = api_text(call, "parent");
	if (r == 0)
		r = rpc_check_owners(call, uuid, err);
	if (r == 0)
		r = rpc_new_definition(call, ret, err);
	if (r == 0)
		r = define_copy_active(call, uuid, parent, *ret, err);
	if (r < 0)
		return r;
	if (!ident_parent_name_ok(*parent))
		return error_set_key(err, ERROR_INVALID, "parent",
				     "'%.64s' is no name for a parent", *parent);
	return define_check(call->broker, *parent, uuid, *ret, err);
}

void rpc_mdev_define(struct api_call *call)
{
	struct umdev_error err = {0};
	struct definition *d = NULL;
	struct mdev *mdev = NULL;
	char uuid[IDENT_UUID_SIZE];
	const char *parent = NULL;
	int r = place_call(call, false, &err);

	if (r == 0)
		r = define_prepare(call, uuid, &parent, &d, &err);
	if (r == 0)
		r = mdev_get(call->broker, parent, uuid, &mdev, &err);
	if (r == 0 && mdev_is_defined(mdev))
		r = error_set_key(&err, ERROR_EXISTS, "uuid",
				  "mdev %s is defined already under %s: modify or undefine it",
				  uuid, parent);
	if (r == 0)
		r = mdev_redefine(mdev, umdev_steal_ptr(&d), &err);
	if (r < 0) {
		definition_free(d);
		if (mdev)
			mdev_put(mdev);
		api_fail(call, &err);
		return;
	}
	mdev_event(mdev, "mdev.defined", LOG_INFO, "defined as %s on %s", mdev->definition->type_id,
		   parent);
	define_tell_type(mdev, define_asked_type(call));
	api_reply(call, mdev_print(mdev, true));
}

/* ---- modify ---------------------------------------------------------------------------------- */

static int modify_attrs(const struct api_call *call, struct definition *next,
			struct umdev_error *err)
{
	const json_t *add = json_object_get(call->params, "addattr");
	size_t index = api_size(call, "index", SIZE_MAX);

	if (add) {
		const char *name = json_string_value(json_object_get(add, "name"));
		const char *value = json_string_value(json_object_get(add, "value"));

		if (!name || !value || json_object_size(add) != 2)
			return error_set_key(err, ERROR_INVALID, "addattr",
					     "addattr is { \"name\", \"value\" }");
		return definition_add_attr(next, index, name, value, err);
	}
	return api_flag(call, "delattr") ? definition_del_attr(next, index, err) : 0;
}

static int modify_combination(const struct api_call *call, struct umdev_error *err)
{
	static const char *const single[] = {"type",	"type_name", "start", "attrs", "group",
					     "addattr", "delattr",   "index", NULL};
	static const char *const add_not_del[] = {"addattr", NULL};
	bool change = false;

	if (json_object_get(call->params, "definition"))
		return rpc_no_params(call, "definition", single, err);
	if (api_flag(call, "live") && !json_object_get(call->params, "attrs"))
		return error_set_key(err, ERROR_INVALID, "definition",
				     "live changes need a whole definition, or attributes to set");
	if (api_flag(call, "delattr")) {
		int r = rpc_no_params(call, "delattr", add_not_del, err);

		if (r < 0)
			return r;
	}
	for (size_t i = 0; single[i]; i++)
		change = change || (strcmp(single[i], "index") != 0 &&
				    json_object_get(call->params, single[i]));
	change = change || api_text(call, "owner");
	return change ? 0 : error_set(err, ERROR_INVALID, "nothing to modify was given");
}

/* Sets what "attrs" lists, under full names where the parent can tell them. */
static int modify_set_attrs(const struct api_call *call, const struct mdev *mdev,
			    struct definition *next, struct umdev_error *err)
{
	const struct parent *parent = parent_find(call->broker, mdev->parent_name);
	const json_t *attrs = json_object_get(call->params, "attrs");
	json_t *pair;
	size_t i;
	int r = 0;

	json_array_foreach (attrs, i, pair) {
		const char *name;
		json_t *value;

		json_object_foreach (pair, name, value) {
			const struct spec *spec =
				parent && parent->opened ? spec_find_attr(&parent->attr_specs,
									  parent->driver, name, err)
							 : NULL;

			if (parent && parent->opened && !spec)
				return -EINVAL; /* @err says which there are */
			if (r == 0)
				r = definition_put_attr(next, spec ? spec->name : name,
							json_string_value(value), err);
		}
	}
	return r;
}

/* The group and owner that were given; a group that is said already gives way. */
static int modify_belongings(const struct api_call *call, struct definition *next,
			     struct umdev_error *err)
{
	const struct spec *spec = spec_find(spec_standard(), SPEC_ATTR_GROUP);
	const char *group = api_text(call, "group");
	const char *owner = api_text(call, "owner");
	int r = 0;

	if (group)
		r = spec_check(spec, group, NULL, err);
	if (r == 0 && group)
		r = definition_put_attr(next, SPEC_ATTR_GROUP, group, err);
	if (r == 0 && owner && !ident_line_ok(owner, 256))
		r = error_set_key(err, ERROR_INVALID, "owner",
				  "owner must be one line of at most 256 bytes");
	if (r == 0 && owner && definition_set_owner(next, owner) < 0)
		r = error_set(err, ERROR_NO_MEMORY, "out of memory");
	return r;
}

/* The definition that results from @old and the parameters. */
static int modify_next(struct api_call *call, const struct mdev *mdev, const struct definition *old,
		       struct definition **ret, struct umdev_error *err)
{
	const json_t *content = json_object_get(call->params, "definition");
	const char *start = api_text(call, "start");
	const char *type = api_text(call, "type");
	const char *name = api_text(call, "type_name");
	struct definition *next = NULL;
	int r = 0;

	if (content) {
		r = definition_parse(content, &next, err);
		if (r == 0 && definition_adopt(next, old) < 0)
			r = error_set(err, ERROR_NO_MEMORY, "out of memory");
	} else {
		next = definition_dup(old);
		if (!next || ((type || name) && definition_set_type(next, type, name) < 0))
			r = error_set(err, ERROR_NO_MEMORY, "out of memory");
	}
	if (r == 0 && start && strcmp(start, "auto") != 0 && strcmp(start, "manual") != 0)
		r = error_set_key(err, ERROR_INVALID, "start",
				  "start is 'auto' or 'manual', not '%.32s'", start);
	if (r == 0 && start)
		next->auto_start = strcmp(start, "auto") == 0;
	if (r == 0)
		r = modify_attrs(call, next, err);
	if (r == 0)
		r = modify_set_attrs(call, mdev, next, err);
	if (r == 0)
		r = modify_belongings(call, next, err);
	if (r == 0)
		r = define_check(call->broker, mdev->parent_name, mdev->uuid, next, err);
	if (r < 0) {
		definition_free(next);
		return r;
	}
	next->has_uid = old->has_uid;
	next->uid = old->uid;
	*ret = next;
	return 0;
}

static void modify_live_done(struct mdev *mdev, struct api_call *call)
{
	api_reply(call, mdev_print(mdev, false));
}

/* The active device has changed; now its definition. */
static void modify_live_defined(struct mdev *mdev, struct api_call *call)
{
	struct definition *next = definition_dup(mdev->running);
	struct umdev_error err = {0};
	int r = next ? mdev_redefine(mdev, next, &err)
		     : error_set(&err, ERROR_NO_MEMORY, "out of memory");

	if (r < 0)
		api_fail(call, &err);
	else
		api_reply(call, mdev_print(mdev, true));
}

static int modify_find(struct api_call *call, struct mdev **ret_mdev, struct umdev_error *err)
{
	const char *parent = api_text(call, "parent");
	bool live = api_flag(call, "live");
	bool defined = api_flag(call, "defined") || !live;
	char uuid[IDENT_UUID_SIZE];
	struct mdev *mdev = NULL;
	int r = rpc_uuid_now(call, uuid, false, err);

	if (r == 0 && live) {
		mdev = mdev_find_active(call->broker, uuid);
		if (!mdev || (parent && strcmp(mdev->parent_name, parent) != 0))
			return error_set(err, ERROR_NOT_ACTIVE, "mdev %s is not active", uuid);
	} else if (r == 0) {
		r = rpc_find_definition(call->broker, uuid, parent, &mdev, err);
	}
	if (r < 0)
		return r;
	if (!mdev || (defined && !mdev_is_defined(mdev)))
		return error_set_key(err, ERROR_NOT_DEFINED, "uuid", "mdev %s is not defined",
				     uuid);
	if (defined && !mdev->definition) {
		*err = mdev->unreadable;
		return error_wrap(err, "%s", uuid);
	}
	*ret_mdev = mdev;
	return mdev_may_change(mdev, call, err);
}

static int modify_begin(struct api_call *call, struct umdev_error *err)
{
	umdev_autofree char *asked = NULL;
	bool live = api_flag(call, "live");
	struct definition *next = NULL;
	struct mdev *mdev = NULL;
	int r = modify_combination(call, err);

	if (r == 0)
		r = modify_find(call, &mdev, err);
	if (r == 0 && live && api_put_off(call, rpc_mdev_modify, mdev))
		return 0;
	if (r == 0)
		r = modify_next(call, mdev, live ? mdev->running : mdev->definition, &next, err);
	if (r < 0)
		return r;
	if (live)
		return mdev_change_live(mdev, next, call,
					api_flag(call, "defined") ? modify_live_defined
								  : modify_live_done,
					api_flag(call, "defined"), err);
	asked = strdup(define_asked_type(call) ? define_asked_type(call)
					       : mdev->definition->type_id);
	r = mdev_redefine(mdev, next, err);
	if (r < 0)
		return r;
	mdev_event(mdev, "mdev.modified", LOG_INFO, "definition modified");
	define_tell_type(mdev, asked);
	api_reply(call, mdev_print(mdev, true));
	return 0;
}

void rpc_mdev_modify(struct api_call *call)
{
	struct umdev_error err = {0};

	if (modify_begin(call, &err) == 0)
		return;
	/* Rules about attributes do not know whose they are. */
	if (!strstr(err.message, api_text(call, "uuid")))
		error_wrap(&err, "mdev %s", api_text(call, "uuid"));
	api_fail(call, &err);
}
