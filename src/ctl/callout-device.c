/* SPDX-License-Identifier: BSD-3-Clause */
/* Which mdevs a command is about, and as what callouts shall see them. See callout.h. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "ctl/callout.h"

/* A fresh random UUID. */
static int device_new_uuid(const struct ctl *ctl, char uuid[CTL_UUID_STRING])
{
	uint8_t b[16];
	size_t at = 0;

	if (getrandom(b, sizeof(b), 0) != sizeof(b))
		return ctl_fail_word(ctl, ERROR_INTERNAL, "there are no random numbers");
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	for (size_t i = 0; i < sizeof(b); i++) {
		bool dash = i == 4 || i == 6 || i == 8 || i == 10;

		at += (size_t)snprintf(uuid + at, CTL_UUID_STRING - at, "%s%02x", dash ? "-" : "",
				       b[i]);
	}
	return CTL_OK;
}

/* The keys of mdevctl's in a definition; NULL when there is no type. */
static json_t *device_definition(const json_t *from, const char *type_key)
{
	const char *type = ctl_text(from, type_key);
	const char *start = ctl_text(from, "start");
	json_t *attrs = json_object_get(from, "attrs");

	if (!type[0])
		return NULL;
	return json_pack("{s:s, s:s, s:o}", "mdev_type", type, "start",
			 strcmp(start, "auto") == 0 ? "auto" : "manual", "attrs",
			 json_is_array(attrs) ? json_deep_copy(attrs) : json_array());
}

/* Adds a device; @definition is stolen. Nothing is added when something is missing. */
static void device_add(json_t *devices, const char *uuid, const char *parent, json_t *definition,
		       json_t *params)
{
	if (definition && uuid[0] && parent[0])
		json_array_append_new(devices,
				      json_pack("{s:s, s:s, s:s, s:O, s:O}", "uuid", uuid, "parent",
						parent, "type", ctl_text(definition, "mdev_type"),
						"definition", definition, "params", params));
	json_decref(definition);
}

/* What is known of the mdevs of that UUID, defined or active. */
static int device_list(struct ctl *ctl, const json_t *params, bool defined, json_t **ret_mdevs)
{
	json_t *ask = json_object();
	json_t *answer = NULL;
	int r;

	ctl_put_text(ask, "uuid", json_string_value(json_object_get(params, "uuid")));
	ctl_put_text(ask, "parent", json_string_value(json_object_get(params, "parent")));
	ctl_put_flag(ask, "defined", defined);
	json_object_set_new(ask, "statistics", json_false());
	r = ctl_call(ctl, "mdev.list", ask, &answer);
	if (r == CTL_OK)
		*ret_mdevs = json_incref(json_object_get(answer, "mdevs"));
	json_decref(answer);
	return r;
}

/* Puts the id of the type that @params give by its name into @said. */
static int device_type(struct ctl *ctl, const json_t *params, json_t *said)
{
	const char *name = ctl_text(params, "type_name");
	json_t *answer = NULL;
	json_t *type;
	size_t i;
	int r;

	if (!name[0])
		return CTL_OK;
	r = ctl_call(ctl, "type.list", json_pack("{s:s}", "parent", ctl_text(params, "parent")),
		     &answer);
	if (r != CTL_OK)
		return r;
	json_array_foreach (json_object_get(answer, "types"), i, type) {
		if (strcmp(ctl_text(type, "name"), name) == 0)
			json_object_set(said, "type", json_object_get(type, "id"));
	}
	json_decref(answer);
	return CTL_OK;
}

/* Writes the parameters that are short for attributes among those, as the daemon does. */
static void device_short_forms(json_t *said)
{
	json_t *attrs = json_deep_copy(json_object_get(said, "attrs"));
	const json_t *share = json_object_get(said, "min_share");
	const char *group = ctl_text(said, "group");
	char text[32];

	if (!attrs)
		attrs = json_array();
	if (share && json_number_value(share) > 0) {
		snprintf(text, sizeof(text), "%.15g", json_number_value(share));
		json_array_append_new(attrs, json_pack("{s:s}", "mdev/min_share", text));
	}
	if (group[0])
		json_array_append_new(attrs, json_pack("{s:s}", "mdev/group", group));
	json_object_set_new(said, "attrs", attrs);
}

/* Something new, as the parameters say it. */
static int device_from_params(struct ctl *ctl, json_t *params, json_t *devices)
{
	const json_t *content = json_object_get(params, "definition");
	json_t *definition;
	int r = CTL_OK;

	if (content) {
		definition = device_definition(content, "mdev_type");
	} else {
		json_t *said = json_copy(params);

		if (ctl_text(params, "parent")[0])
			r = device_type(ctl, params, said);
		device_short_forms(said);
		definition = device_definition(said, "type");
		json_decref(said);
	}
	device_add(devices, ctl_text(params, "uuid"), ctl_text(params, "parent"), definition,
		   params);
	return r;
}

/* The one mdev that is there already, when there is one. */
static int device_from_list(struct ctl *ctl, json_t *params, bool defined, json_t *devices)
{
	json_t *mdevs = NULL;
	const json_t *mdev;
	int r = device_list(ctl, params, defined, &mdevs);

	if (r == CTL_OK && json_array_size(mdevs) == 1) {
		mdev = json_array_get(mdevs, 0);
		device_add(devices, ctl_text(mdev, "uuid"), ctl_text(mdev, "parent"),
			   device_definition(mdev, "type"), params);
	}
	json_decref(mdevs);
	return r;
}

static int device_start(struct ctl *ctl, json_t *params, bool known, json_t *devices)
{
	int r = CTL_OK;

	if (known && !json_object_get(params, "definition"))
		r = device_from_list(ctl, params, true, devices);
	if (r == CTL_OK && json_array_size(devices) == 0)
		r = callout_place(ctl, params);
	if (r == CTL_OK && json_array_size(devices) == 0)
		r = device_from_params(ctl, params, devices);
	return r;
}

/* What was given counts, not what the active mdev has. */
static void device_override(json_t *device, const json_t *params)
{
	json_t *definition = json_object_get(device, "definition");
	json_t *type = json_object_get(params, "type");
	json_t *said;

	if (!definition || json_object_get(params, "definition"))
		return;
	json_object_set_new(definition, "start",
			    json_string(strcmp(ctl_text(params, "start"), "auto") == 0 ? "auto"
										       : "manual"));
	said = json_copy((json_t *)(uintptr_t)params);
	device_short_forms(said);
	if (json_array_size(json_object_get(said, "attrs")) > 0)
		json_object_set(definition, "attrs", json_object_get(said, "attrs"));
	json_decref(said);
	if (type) {
		json_object_set(definition, "mdev_type", type);
		json_object_set(device, "type", type);
	}
}

static int device_define(struct ctl *ctl, json_t *params, bool known, json_t *devices)
{
	int r = device_from_params(ctl, params, devices);

	/* Of one that is active, parent, type and attributes may be left out. */
	if (r == CTL_OK && known && json_array_size(devices) == 0)
		r = device_from_list(ctl, params, false, devices);
	device_override(json_array_get(devices, 0), params);
	if (r == CTL_OK && json_array_size(devices) == 0)
		r = callout_place(ctl, params);
	if (r == CTL_OK && json_array_size(devices) == 0)
		r = device_from_params(ctl, params, devices);
	return r;
}

/* Every definition of that UUID is removed by a call of its own. */
static int device_undefine(struct ctl *ctl, json_t *params, json_t *devices)
{
	json_t *mdevs = NULL;
	json_t *mdev;
	size_t i;
	int r = device_list(ctl, params, true, &mdevs);

	json_array_foreach (mdevs, i, mdev) {
		json_t *one = json_copy(params);

		json_object_set(one, "parent", json_object_get(mdev, "parent"));
		device_add(devices, ctl_text(mdev, "uuid"), ctl_text(mdev, "parent"),
			   device_definition(mdev, "type"), one);
		json_decref(one);
	}
	/* One that cannot be read has no type: then it is one call for all, without scripts. */
	if (json_array_size(devices) != json_array_size(mdevs))
		json_array_clear(devices);
	json_decref(mdevs);
	return r;
}

/* Applies what modify is told to a definition. False when it cannot be. */
static bool device_apply(json_t *definition, const json_t *params)
{
	json_t *attrs = json_object_get(definition, "attrs");
	const json_t *add = json_object_get(params, "addattr");
	const json_t *index = json_object_get(params, "index");
	size_t n = json_array_size(attrs);
	size_t at = index ? (size_t)json_integer_value(index) : n;

	if (json_object_get(params, "type"))
		json_object_set(definition, "mdev_type", json_object_get(params, "type"));
	if (json_object_get(params, "start"))
		json_object_set(definition, "start", json_object_get(params, "start"));
	if (add)
		return json_array_insert_new(attrs, at,
					     json_pack("{s:O}", ctl_text(add, "name"),
						       json_object_get(add, "value"))) == 0;
	if (json_object_get(params, "delattr"))
		return n > 0 && json_array_remove(attrs, index ? at : n - 1) == 0;
	return true;
}

/* The mdev as it will be. */
static int device_modify(struct ctl *ctl, json_t *params, json_t *devices)
{
	const json_t *content = json_object_get(params, "definition");
	bool live = json_is_true(json_object_get(params, "live"));
	int r = device_from_list(ctl, params, !live, devices);
	json_t *device = json_array_get(devices, 0);
	json_t *next;

	if (r != CTL_OK || !device)
		return r;
	next = content ? device_definition(content, "mdev_type")
		       : json_incref(json_object_get(device, "definition"));
	if (!next || (!content && !device_apply(next, params))) {
		json_array_clear(devices);
	} else {
		json_object_set(device, "definition", next);
		json_object_set(device, "type", json_object_get(next, "mdev_type"));
	}
	json_decref(next);
	return CTL_OK;
}

int callout_devices(struct ctl *ctl, const char *action, json_t *params, json_t **ret_devices)
{
	bool known = json_object_get(params, "uuid") != NULL;
	char uuid[CTL_UUID_STRING] = "";
	json_t *devices = json_array();
	int r = known ? CTL_OK : device_new_uuid(ctl, uuid);

	if (!known)
		ctl_put_text(params, "uuid", uuid);
	if (r == CTL_OK && strcmp(action, "start") == 0)
		r = device_start(ctl, params, known, devices);
	else if (r == CTL_OK && strcmp(action, "define") == 0)
		r = device_define(ctl, params, known, devices);
	else if (r == CTL_OK && strcmp(action, "undefine") == 0)
		r = device_undefine(ctl, params, devices);
	else if (r == CTL_OK && strcmp(action, "modify") == 0)
		r = device_modify(ctl, params, devices);
	else if (r == CTL_OK)
		r = device_from_list(ctl, params, false, devices);
	if (r == CTL_OK)
		*ret_devices = devices;
	else
		json_decref(devices);
	return r;
}
