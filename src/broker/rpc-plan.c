/* SPDX-License-Identifier: BSD-3-Clause */
/* The method plan: what would happen if some mdevs were started, and why. Nothing is touched. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/place.h"
#include "broker/rpc-mdev.h"
#include "model/plan.h"

/* A request while it is read. */
struct plan_request {
	struct api_call *call;
	struct place_want *wants;
	size_t count;
	size_t unnamed;
};

static const char *const plan_keys[] = {"type", "type_name", "parent",	  "group", "weight",
					"cap",	"priority",  "min_share", "count", "uuid"};

/* What a defined mdev brings with it. */
static const char *const plan_not_defined[] = {"group",	   "weight",	"cap",
					       "priority", "min_share", "count"};

/* Wraps an error about entry @entry so that it says which. */
static int plan_at(struct umdev_error *err, size_t entry)
{
	return error_wrap(err, "mdevs[%zu]", entry);
}

static int plan_check_keys(const json_t *object, struct umdev_error *err)
{
	const char *key;
	json_t *value;

	if (!json_is_object(object))
		return error_set_key(err, ERROR_INVALID, "mdevs", "each wanted mdev is an object");
	json_object_foreach ((json_t *)(uintptr_t)object, key, value) {
		bool known = false;

		for (size_t i = 0; i < ARRAY_SIZE(plan_keys); i++)
			known = known || strcmp(plan_keys[i], key) == 0;
		if (!known)
			return error_set_key(err, ERROR_INVALID, key,
					     "there is no '%.64s'; there are type, type_name, "
					     "parent, group, weight, cap, priority, min_share, "
					     "count and uuid",
					     key);
	}
	return 0;
}

/* A text of the entry; NULL when it is not there. */
static int plan_text(const json_t *object, const char *key, const char **ret,
		     struct umdev_error *err)
{
	const json_t *value = json_object_get(object, key);

	*ret = json_string_value(value);
	if (value && !*ret)
		return error_set_key(err, ERROR_INVALID, key, "%s must be a text", key);
	return 0;
}

static int plan_uuid(const json_t *object, const char *key, char ret[IDENT_UUID_SIZE],
		     struct umdev_error *err)
{
	const char *text = NULL;
	int r = plan_text(object, key, &text, err);

	if (r == 0 && text && ident_uuid_parse(text, ret) < 0)
		r = error_set_key(err, ERROR_INVALID, key, "'%.64s' is no UUID", text);
	return r;
}

/* A number of the entry by the rules of attribute @attr; absent, its default. */
static int plan_number(const json_t *object, const char *key, const char *attr, uint32_t *ret,
		       struct umdev_error *err)
{
	const struct spec *spec = spec_find(spec_standard(), attr);
	const json_t *value = json_object_get(object, key);
	char text[KNOBS_TEXT_SIZE];
	uint64_t number = 0;
	int r;

	if (value && !json_is_number(value))
		return error_set_key(err, ERROR_INVALID, key, "%s must be a number", key);
	if (value)
		knobs_text(value, text);
	r = spec_check(spec, value ? text : spec->default_value, &number, err);
	if (r == 0)
		*ret = (uint32_t)number;
	return r;
}

static int plan_count(const json_t *object, size_t left, size_t *ret, struct umdev_error *err)
{
	const json_t *value = json_object_get(object, "count");
	json_int_t count = value ? json_integer_value(value) : 1;

	if (value && (!json_is_integer(value) || count < 1))
		return error_set_key(err, ERROR_INVALID, "count", "count must be 1 or more");
	if ((uint64_t)count > left)
		return error_set_key(err, ERROR_LIMIT, "count",
				     "at most %d mdevs can be planned at once", PLAN_WANTS_MAX);
	if (count > 1 && json_object_get(object, "uuid"))
		return error_set_key(err, ERROR_INVALID, "count",
				     "one UUID is one mdev: leave the count or the UUID out");
	*ret = (size_t)count;
	return 0;
}

/* An mdev that is defined starts as its definition says, as with mdev.start. */
static int plan_take_defined(const struct mdev *mdev, const json_t *object, struct place_want *want,
			     struct umdev_error *err)
{
	const struct definition *d = mdev->definition;

	if (!d) {
		*err = mdev->unreadable;
		return error_wrap(err, "%s", mdev->uuid);
	}
	for (size_t i = 0; i < ARRAY_SIZE(plan_not_defined); i++) {
		if (json_object_get(object, plan_not_defined[i]))
			return error_set_key(err, ERROR_INVALID, plan_not_defined[i],
					     "mdev %s is defined, and its definition says its %s: "
					     "leave that out",
					     mdev->uuid, plan_not_defined[i]);
	}
	if ((want->type_id && strcmp(want->type_id, d->type_id) != 0) ||
	    (want->type_name && d->type_name && strcmp(want->type_name, d->type_name) != 0))
		return error_set_key(err, ERROR_TYPE_MISMATCH, "type",
				     "%s is defined as type %s, not %.128s", mdev->uuid, d->type_id,
				     want->type_id ? want->type_id : want->type_name);
	definition_group(d, want->group);
	want->type_id = d->type_id;
	want->type_name = d->type_name;
	want->parent = mdev->parent_name;
	want->min_share = knobs_min_share(d);
	knobs_read(d, &want->knobs);
	return 0;
}

static int plan_check_uuid(struct plan_request *request, const json_t *object,
			   struct place_want *want, struct umdev_error *err)
{
	struct broker *broker = request->call->broker;
	const struct mdev *active = mdev_find_active(broker, want->uuid);
	struct mdev *defined = NULL;
	int r;

	if (active)
		return error_set_key(err, ERROR_EXISTS, "uuid", "mdev %s is active already, on %s",
				     want->uuid, active->parent_name);
	for (size_t i = 0; i < request->count; i++) {
		if (strcmp(request->wants[i].uuid, want->uuid) == 0)
			return error_set_key(err, ERROR_INVALID, "uuid", "%s is wanted twice",
					     want->uuid);
	}
	r = rpc_find_definition(broker, want->uuid, want->parent, &defined, err);
	if (r == 0 && defined)
		r = plan_take_defined(defined, object, want, err);
	return r;
}

static int plan_fill_want(struct plan_request *request, const json_t *object,
			  struct place_want *want, struct umdev_error *err)
{
	int r = plan_text(object, "type", &want->type_id, err);

	if (r == 0)
		r = plan_text(object, "type_name", &want->type_name, err);
	if (r == 0)
		r = plan_text(object, "parent", &want->parent, err);
	if (r == 0)
		r = plan_uuid(object, "group", want->group, err);
	if (r == 0)
		r = plan_uuid(object, "uuid", want->uuid, err);
	if (r == 0)
		r = plan_number(object, "weight", KNOBS_ATTR_WEIGHT, &want->knobs.weight, err);
	if (r == 0)
		r = plan_number(object, "cap", KNOBS_ATTR_CAP, &want->knobs.cap, err);
	if (r == 0)
		r = plan_number(object, "priority", KNOBS_ATTR_PRIORITY, &want->knobs.priority,
				err);
	if (r == 0)
		r = plan_number(object, "min_share", KNOBS_ATTR_MIN_SHARE, &want->min_share, err);
	if (r == 0 && want->uuid[0])
		r = plan_check_uuid(request, object, want, err);
	if (r == 0 && !want->type_id && !want->type_name)
		r = error_set_key(err, ERROR_INVALID, "type",
				  "a type is needed: give its id or its name");
	return r;
}

/* Reads one entry into as many wants as it stands for. */
static int plan_read_entry(struct plan_request *request, const json_t *object, size_t entry,
			   struct umdev_error *err)
{
	struct place_want want = {.entry = entry, .starts = true};
	size_t count = 1;
	int r = plan_check_keys(object, err);

	if (r == 0)
		r = plan_count(object, PLAN_WANTS_MAX - request->count, &count, err);
	if (r == 0)
		r = plan_fill_want(request, object, &want, err);
	if (r < 0)
		return plan_at(err, entry);
	memcpy(want.group_is.uuid, want.group, sizeof(want.group_is.uuid));
	place_fill_group(request->call->broker, &want.group_is);
	for (size_t i = 0; i < count; i++) {
		struct place_want *to = &request->wants[request->count++];

		*to = want;
		if (!want.uuid[0])
			snprintf(to->uuid, sizeof(to->uuid), "new#%zu", ++request->unnamed);
	}
	return 0;
}

static int plan_read(struct plan_request *request, enum place_policy *ret_policy,
		     struct umdev_error *err)
{
	const json_t *mdevs = json_object_get(request->call->params, "mdevs");
	const char *policy = api_text(request->call, "placement");
	int r = 0;

	if (policy && place_policy_parse(policy, ret_policy) < 0)
		return error_set_key(err, ERROR_INVALID, "placement",
				     "placement is 'spread' or 'pack', not '%.32s'", policy);
	if (json_array_size(mdevs) == 0)
		return error_set_key(err, ERROR_INVALID, "mdevs", "no mdev is wanted");
	for (size_t i = 0; r == 0 && i < json_array_size(mdevs); i++)
		r = plan_read_entry(request, json_array_get(mdevs, i), i, err);
	return r;
}

void rpc_plan(struct api_call *call)
{
	struct plan_request request = {.call = call};
	struct place_snapshot snapshot = {0};
	struct plan_wants wants = {.policy = PLACE_SPREAD};
	struct umdev_error err = {0};
	json_t *answer = NULL;
	int r = 0;

	request.wants = calloc(PLAN_WANTS_MAX, sizeof(*request.wants));
	if (!request.wants)
		r = error_set(&err, ERROR_NO_MEMORY, "out of memory");
	if (r == 0)
		r = plan_read(&request, &wants.policy, &err);
	if (r == 0 && place_take_snapshot(call->broker, &snapshot) < 0)
		r = error_set(&err, ERROR_NO_MEMORY, "out of memory");
	wants.wants = request.wants;
	wants.count = request.count;
	if (r == 0)
		answer = plan_make(&snapshot, &wants, &err);
	place_snapshot_done(&snapshot);
	free(request.wants);
	if (answer)
		api_reply(call, answer);
	else
		api_fail(call, &err);
}
