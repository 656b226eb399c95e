/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The method mdev.undefine, by mdevctl's rules: without a parent, all definitions of a UUID.
 *
 * These are several files, of which a broker that is killed, or a power cut, must not leave some.
 * So the first one that can be read is given the key "undefine" before any is removed, and goes
 * last; the next broker that reads it removes what is left. (Those that cannot be read are nobody's
 * promise.)
 */
#include <string.h>

#include "broker/mdev.h"
#include "broker/rpc-mdev.h"
#include "util/log.h"

#define UNDEFINE_KEY "undefine"

static int undefine_check(struct api_call *call, const struct mdev *mdev, struct umdev_error *err)
{
	if (mdev->state == MDEV_STARTING || mdev->state == MDEV_STOPPING || mdev->changing)
		return error_set(err, ERROR_DEVICE_BUSY, "mdev %s is %s: try again", mdev->uuid,
				 mdev->changing ? "being changed" : mdev_state_name(mdev->state));
	if (!mdev->definition && !api_flag(call, "force")) {
		*err = mdev->unreadable;
		return error_wrap(err, "%s (remove it with --force)", mdev->uuid);
	}
	return mdev_may_change(mdev, call, err);
}

static bool undefine_concerns(const struct mdev *mdev, const char *uuid, const char *parent)
{
	return mdev_is_defined(mdev) && strcmp(mdev->uuid, uuid) == 0 &&
	       (!parent || strcmp(mdev->parent_name, parent) == 0);
}

/* Removes the definition; of one that is idle, the piece too. May free @mdev. */
static int undefine_one(struct mdev *mdev, const char *how, struct umdev_error *err)
{
	int r = mdev_redefine(mdev, NULL, err);

	if (r == 0)
		mdev_undefined(mdev, how);
	return r;
}

/* Notes in the definition of @mdev that all of its UUID are being removed, or not any more. */
static int undefine_mark(struct mdev *mdev, bool begun, struct umdev_error *err)
{
	struct definition *next = definition_dup(mdev->definition);
	int r = next ? 0 : -1;

	if (next && begun) {
		if (!next->others)
			next->others = json_object();
		r = json_object_set_new(next->others, UNDEFINE_KEY, json_true());
	} else if (next) {
		json_object_del(next->others, UNDEFINE_KEY);
	}
	if (r < 0) {
		definition_free(next);
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	}
	return mdev_redefine(mdev, next, err);
}

/* Removes all definitions of @uuid, that of @marked last. */
static int undefine_several(struct broker *broker, const char *uuid, struct mdev *marked,
			    const char *how, struct umdev_error *err)
{
	struct umdev_error ignored = {0};
	struct mdev *mdev;
	struct mdev *tmp;
	int r = 0;

	list_for_each_safe (mdev, tmp, &broker->mdevs, link) {
		if (r == 0 && mdev != marked && undefine_concerns(mdev, uuid, NULL))
			r = undefine_one(mdev, how, err);
	}
	if (r == 0 && marked)
		return undefine_one(marked, how, err);
	/* Who asks is told; nothing is to follow later. */
	if (r < 0 && marked && undefine_mark(marked, false, &ignored) < 0)
		umdev_log(LOG_WARNING, uuid, "undefine", "%s", ignored.message);
	return r;
}

static int undefine_run(struct api_call *call, const char *uuid, const char *parent,
			struct umdev_error *err)
{
	struct mdev *marked = NULL;
	struct mdev *one = NULL;
	struct mdev *mdev;
	size_t found = 0;
	int r = 0;

	list_for_each (mdev, &call->broker->mdevs, link) {
		if (r < 0 || !undefine_concerns(mdev, uuid, parent))
			continue;
		found++;
		one = mdev;
		if (!marked && mdev->definition)
			marked = mdev;
		r = undefine_check(call, mdev, err);
	}
	if (r < 0)
		return r;
	if (found == 0)
		return error_set_key(err, ERROR_NOT_DEFINED, "uuid",
				     "mdev %s is not defined%s%.64s", uuid, parent ? " under " : "",
				     parent ? parent : "");
	if (found == 1)
		return undefine_one(one, "undefined", err);
	r = marked ? undefine_mark(marked, true, err) : 0;
	return r < 0 ? r : undefine_several(call->broker, uuid, marked, "undefined", err);
}

void rpc_mdev_undefine(struct api_call *call)
{
	struct umdev_error err = {0};
	char uuid[IDENT_UUID_SIZE];
	int r = rpc_uuid_now(call, uuid, false, &err);

	if (r == 0)
		r = undefine_run(call, uuid, api_text(call, "parent"), &err);
	if (r < 0)
		api_fail(call, &err);
	else
		api_reply(call, json_object());
}

static struct mdev *undefine_find_marked(const struct broker *broker)
{
	struct mdev *mdev;

	list_for_each (mdev, &broker->mdevs, link) {
		if (mdev->definition &&
		    json_is_true(json_object_get(mdev->definition->others, UNDEFINE_KEY)))
			return mdev;
	}
	return NULL;
}

void mdev_undefine_again(struct broker *broker)
{
	struct umdev_error err = {0};
	struct mdev *marked;
	int r = 0;

	while (r == 0 && (marked = undefine_find_marked(broker)) != NULL) {
		char uuid[IDENT_UUID_SIZE];

		memcpy(uuid, marked->uuid, sizeof(uuid));
		r = undefine_several(broker, uuid, marked,
				     "undefined as asked of an earlier daemon", &err);
	}
	if (r < 0)
		umdev_log(LOG_ERR, "umdevd", "undefine", "%s", err.message);
}
