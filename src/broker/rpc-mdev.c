/* SPDX-License-Identifier: BSD-3-Clause */
/* The methods mdev.start and mdev.stop. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <uuid/uuid.h>

#include "broker/group.h"
#include "broker/place.h"
#include "broker/rpc-mdev.h"
#include "broker/watch.h"

int rpc_uuid(const struct api_call *call, char uuid[IDENT_UUID_SIZE], bool generate,
	     struct umdev_error *err)
{
	const char *text = api_text(call, "uuid");
	uuid_t fresh;

	if (!text && generate) {
		uuid_generate(fresh);
		uuid_unparse_lower(fresh, uuid);
		return 0;
	}
	if (ident_uuid_parse(text, uuid) < 0)
		return error_set_key(err, ERROR_INVALID, "uuid",
				     "'%.64s' is no UUID: 36 characters such as "
				     "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001",
				     text ? text : "");
	return 0;
}

int rpc_uuid_now(const struct api_call *call, char uuid[IDENT_UUID_SIZE], bool generate,
		 struct umdev_error *err)
{
	int r = rpc_uuid(call, uuid, generate, err);

	if (r == 0 && api_text(call, "uuid"))
		watch_catch_up(call->broker->watch, uuid);
	return r;
}

int rpc_find_definition(struct broker *broker, const char *uuid, const char *parent,
			struct mdev **ret_mdev, struct umdev_error *err)
{
	struct mdev *found = NULL;
	struct mdev *mdev;

	list_for_each (mdev, &broker->mdevs, link) {
		if (!mdev_is_defined(mdev) || strcmp(mdev->uuid, uuid) != 0 ||
		    (parent && strcmp(mdev->parent_name, parent) != 0))
			continue;
		if (found)
			return error_set_key(err, ERROR_INVALID, "parent",
					     "%s is defined under several parents, %s and %s among "
					     "them: say which",
					     uuid, found->parent_name, mdev->parent_name);
		found = mdev;
	}
	*ret_mdev = found;
	return 0;
}

int rpc_check_owners(struct api_call *call, const char *uuid, struct umdev_error *err)
{
	struct mdev *mdev;
	int r = 0;

	list_for_each (mdev, &call->broker->mdevs, link) {
		if (r == 0 && strcmp(mdev->uuid, uuid) == 0)
			r = mdev_may_change(mdev, call, err);
	}
	return r;
}

int rpc_no_params(const struct api_call *call, const char *with, const char *const *names,
		  struct umdev_error *err)
{
	for (; *names; names++) {
		if (json_object_get(call->params, *names))
			return error_set_key(err, ERROR_INVALID, *names,
					     "%s cannot be given together with %s", *names, with);
	}
	return 0;
}

int rpc_put_group(const struct api_call *call, struct definition *d, struct umdev_error *err)
{
	const struct spec *spec = spec_find(spec_standard(), SPEC_ATTR_GROUP);
	const char *group = api_text(call, "group");
	char named[IDENT_UUID_SIZE];
	char wanted[IDENT_UUID_SIZE] = "";
	int r;

	if (!group)
		return 0;
	r = spec_check(spec, group, NULL, err);
	if (r < 0)
		return r;
	(void)!ident_uuid_parse(group, wanted); /* "": in none */
	definition_group(d, named);
	if (named[0] && strcmp(named, wanted) != 0)
		return error_set_key(err, ERROR_INVALID, "group",
				     "the group is said twice: %s, and %s by the attribute %s",
				     wanted, named, SPEC_ATTR_GROUP);
	return named[0] || !wanted[0] ? 0 : definition_put_attr(d, SPEC_ATTR_GROUP, wanted, err);
}

/* The same for "min_share". */
static int rpc_put_min_share(const struct api_call *call, struct definition *d,
			     struct umdev_error *err)
{
	const json_t *share = json_object_get(call->params, "min_share");

	return share ? knobs_put(d, KNOBS_ATTR_MIN_SHARE, share, err) : 0;
}

int rpc_new_definition(const struct api_call *call, struct definition **ret,
		       struct umdev_error *err)
{
	static const char *const others[] = {"type",  "type_name", "start",
					     "attrs", "min_share", NULL};
	const json_t *content = json_object_get(call->params, "definition");
	const char *start = api_text(call, "start");
	const char *owner = api_text(call, "owner");
	struct definition *d = NULL;
	int r;

	if (owner && !ident_line_ok(owner, 256))
		return error_set_key(err, ERROR_INVALID, "owner",
				     "owner must be one line of at most 256 bytes");
	if (start && strcmp(start, "auto") != 0 && strcmp(start, "manual") != 0)
		return error_set_key(err, ERROR_INVALID, "start",
				     "start is 'auto' or 'manual', not '%.32s'", start);
	if (content) {
		r = rpc_no_params(call, "definition", others, err);
		if (r == 0)
			r = definition_parse(content, &d, err);
	} else {
		d = definition_new(api_text(call, "type"), api_text(call, "type_name"));
		r = d ? definition_set_attrs(d, json_object_get(call->params, "attrs"), err)
		      : error_set(err, ERROR_NO_MEMORY, "out of memory");
		if (r == 0)
			r = rpc_put_min_share(call, d, err);
		if (d)
			d->auto_start = start && strcmp(start, "auto") == 0;
	}
	if (r == 0 && owner && definition_set_owner(d, owner) < 0)
		r = error_set(err, ERROR_NO_MEMORY, "out of memory");
	if (r == 0)
		r = rpc_put_group(call, d, err);
	if (r < 0) {
		definition_free(d);
		return r;
	}
	/* Whoever asks is its creator, whatever a file of another time or place says. */
	d->has_uid = true;
	d->uid = call->uid;
	*ret = d;
	return 0;
}

/* ---- mdev.start ------------------------------------------------------------------------------ */

/* Whether the definition of @mdev, whose id of the type is gone, means type @id by its name. */
static bool rpc_means_type(const struct mdev *mdev, const char *id)
{
	const struct parent *parent = parent_find(mdev->broker, mdev->parent_name);
	const struct definition *d = mdev->definition;
	struct type_choice choice = {0};

	return parent && parent->opened &&
	       type_resolve(&parent->types, parent->name, d->type_id, d->type_name, &choice,
			    NULL) == 0 &&
	       strcmp(choice.type->id, id) == 0;
}

/* What a defined mdev starts as; a type that was given must be that of the definition. */
static int rpc_start_defined(struct api_call *call, struct mdev *mdev, struct definition **ret,
			     struct umdev_error *err)
{
	static const char *const others[] = {"attrs", "owner", "min_share", NULL};
	const char *type = api_text(call, "type");
	const char *name = api_text(call, "type_name");
	const char *group = api_text(call, "group");
	const struct definition *d = mdev->definition;
	char named[IDENT_UUID_SIZE];
	int r = rpc_no_params(call, "the uuid of a defined mdev", others, err);

	if (r < 0)
		return r;
	if (!d) {
		*err = mdev->unreadable;
		return error_wrap(err, "%s", mdev->uuid);
	}
	if ((type && strcmp(type, d->type_id) != 0 && !rpc_means_type(mdev, type)) ||
	    (name && d->type_name && strcmp(name, d->type_name) != 0))
		return error_set_key(err, ERROR_TYPE_MISMATCH, type ? "type" : "type_name",
				     "%s is defined as type %s, not %.128s", mdev->uuid, d->type_id,
				     type ? type : name);
	if (group) {
		definition_group(d, named);
		if (strcasecmp(named, group) != 0)
			return error_set_key(err, ERROR_INVALID, "group",
					     "%s is defined as one of group %s, not %.64s: "
					     "modify its attribute %s first",
					     mdev->uuid, named[0] ? named : "none", group,
					     SPEC_ATTR_GROUP);
	}
	*ret = definition_dup(d);
	return *ret ? 0 : error_set(err, ERROR_NO_MEMORY, "out of memory");
}

static int rpc_start_transient(struct api_call *call, const char *uuid, struct mdev **ret_mdev,
			       struct definition **ret, struct umdev_error *err)
{
	const char *parent = api_text(call, "parent");
	int r;

	if (!parent)
		return error_set_key(err,
				     api_text(call, "uuid") ? ERROR_NOT_DEFINED : ERROR_INVALID,
				     "parent",
				     "mdev %s is not defined: give a parent and a type to start a "
				     "transient one",
				     uuid);
	if (!ident_parent_name_ok(parent))
		return error_set_key(err, ERROR_NO_PARENT, "parent",
				     "Unable to find parent device '%.64s'", parent);
	if (!api_text(call, "type") && !api_text(call, "type_name") &&
	    !json_object_get(call->params, "definition"))
		return error_set_key(err, ERROR_INVALID, "type",
				     "mdev %s is not defined under %s: give a type to start a "
				     "transient one",
				     uuid, parent);
	r = rpc_new_definition(call, ret, err);
	if (r == 0)
		r = mdev_get(call->broker, parent, uuid, ret_mdev, err);
	return r;
}

static int rpc_start(struct api_call *call, struct mdev **ret_mdev, struct umdev_error *err)
{
	bool content = json_object_get(call->params, "definition") != NULL;
	struct definition *running = NULL;
	char uuid[IDENT_UUID_SIZE];
	int r;

	if (call->broker->ending)
		return error_set(err, ERROR_NO_PARENT, "the daemon is ending");
	r = rpc_uuid_now(call, uuid, true, err);
	if (r == 0)
		r = rpc_check_owners(call, uuid, err);
	if (r == 0 && !content)
		r = rpc_find_definition(call->broker, uuid, api_text(call, "parent"), ret_mdev,
					err);
	if (r < 0)
		return r;
	if (*ret_mdev)
		r = rpc_start_defined(call, *ret_mdev, &running, err);
	else
		r = rpc_start_transient(call, uuid, ret_mdev, &running, err);
	if (r < 0) {
		definition_free(running);
		return r;
	}
	return mdev_start(*ret_mdev, running, call, err);
}

void rpc_mdev_start(struct api_call *call)
{
	struct umdev_error err = {0};
	struct mdev *mdev = NULL;

	if (place_call(call, true, &err) == 0 && rpc_start(call, &mdev, &err) == 0)
		return;
	if (mdev)
		mdev_put(mdev);
	api_fail(call, &err);
}

/* ---- mdev.stop ------------------------------------------------------------------------------- */

void rpc_mdev_stop(struct api_call *call)
{
	struct umdev_error err = {0};
	char uuid[IDENT_UUID_SIZE];
	struct mdev *mdev;
	int r = rpc_uuid(call, uuid, false, &err);

	if (r == 0) {
		mdev = mdev_find_active(call->broker, uuid);
		if (!mdev)
			r = error_set(&err, ERROR_NOT_ACTIVE, "mdev %s is not active", uuid);
		else
			r = mdev_may_change(mdev, call, &err);
		if (r == 0)
			r = group_check_stop(mdev, &err);
	}
	if (r == 0 && !api_flag(call, "force") && api_put_off(call, rpc_mdev_stop, mdev))
		return;
	if (r == 0)
		r = mdev_stop(mdev, api_flag(call, "force"), call, &err);
	if (r < 0)
		api_fail(call, &err);
}
