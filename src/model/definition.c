/* SPDX-License-Identifier: BSD-3-Clause */
/* Definitions of mdevs. See definition.h. */
#include "model/definition.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEFINITION_TEXT_MAX 256 /* of a type's id or name, of an owner */

void definition_free(struct definition *definition)
{
	if (!definition)
		return;
	for (size_t i = 0; i < definition->attr_count; i++) {
		free(definition->attrs[i].name);
		free(definition->attrs[i].value);
	}
	free(definition->attrs);
	free(definition->type_id);
	free(definition->type_name);
	free(definition->owner);
	json_decref(definition->others);
	free(definition);
}

static void definition_cleanup(struct definition **definition)
{
	definition_free(*definition);
}

/* Replaces *@at by a copy of @text (NULL: by nothing). */
static int definition_set_text(char **at, const char *text)
{
	char *copy = text ? strdup(text) : NULL;

	if (text && !copy)
		return -ENOMEM;
	free(*at);
	*at = copy;
	return 0;
}

int definition_set_type(struct definition *definition, const char *type_id, const char *type_name)
{
	umdev_autofree char *id = NULL;
	int r = definition_set_text(&id, type_id);

	if (r == 0)
		r = definition_set_text(&definition->type_name, type_name);
	if (r == 0) {
		free(definition->type_id);
		definition->type_id = umdev_steal_ptr(&id);
	}
	return r;
}

int definition_set_owner(struct definition *definition, const char *owner)
{
	return definition_set_text(&definition->owner, owner);
}

int definition_adopt(struct definition *definition, const struct definition *old)
{
	bool same_type = old && definition->type_id && old->type_id &&
			 strcmp(definition->type_id, old->type_id) == 0;
	int took = 0;
	int r = 0;

	if (!old)
		return 0;
	if (!definition->has_uid && old->has_uid) {
		definition->has_uid = true;
		definition->uid = old->uid;
		took = 1;
	}
	if (!definition->owner && old->owner) {
		r = definition_set_owner(definition, old->owner);
		took = 1;
	}
	if (r == 0 && same_type && !definition->type_name && old->type_name) {
		r = definition_set_text(&definition->type_name, old->type_name);
		took = 1;
	}
	return r < 0 ? r : took;
}

struct definition *definition_new(const char *type_id, const char *type_name)
{
	struct definition *d = calloc(1, sizeof(*d));

	if (d && definition_set_type(d, type_id, type_name) < 0) {
		definition_free(d);
		return NULL;
	}
	return d;
}

struct definition *definition_dup(const struct definition *definition)
{
	umdev_auto(definition_cleanup) struct definition *d =
		definition_new(definition->type_id, definition->type_name);

	if (!d || definition_set_owner(d, definition->owner) < 0)
		return NULL;
	d->auto_start = definition->auto_start;
	d->has_uid = definition->has_uid;
	d->uid = definition->uid;
	if (definition->others) {
		d->others = json_deep_copy(definition->others);
		if (!d->others)
			return NULL;
	}
	for (size_t i = 0; i < definition->attr_count; i++) {
		if (definition_add_attr(d, SIZE_MAX, definition->attrs[i].name,
					definition->attrs[i].value, NULL) < 0)
			return NULL;
	}
	return umdev_steal_ptr(&d);
}

/* ---- Attributes ------------------------------------------------------------------------------ */

int definition_add_attr(struct definition *definition, size_t index, const char *name,
			const char *value, struct umdev_error *err)
{
	umdev_autofree char *name_copy = NULL;
	umdev_autofree char *value_copy = NULL;
	struct definition_attr *attrs;

	if (index == SIZE_MAX)
		index = definition->attr_count;
	if (index > definition->attr_count)
		return error_set_key(err, ERROR_INVALID, "index",
				     "there is no attribute %zu to insert before: there are %zu",
				     index, definition->attr_count);
	if (definition->attr_count >= DEFINITION_ATTRS_MAX)
		return error_set_key(err, ERROR_LIMIT, "attrs", "more than %d attributes",
				     DEFINITION_ATTRS_MAX);
	if (!ident_attr_name_ok(name))
		return error_set_key(err, ERROR_INVALID, name,
				     "'%.128s' is no name of an attribute", name);
	if (value[0] != '\0' && !ident_line_ok(value, SPEC_VALUE_MAX))
		return error_set_key(err, ERROR_INVALID, name,
				     "%s: must be one line of at most %d bytes", name,
				     SPEC_VALUE_MAX);
	name_copy = strdup(name);
	value_copy = strdup(value);
	attrs = reallocarray(definition->attrs, definition->attr_count + 1, sizeof(*attrs));
	if (attrs)
		definition->attrs = attrs;
	if (!attrs || !name_copy || !value_copy)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	memmove(&attrs[index + 1], &attrs[index],
		(definition->attr_count - index) * sizeof(*attrs));
	attrs[index].name = umdev_steal_ptr(&name_copy);
	attrs[index].value = umdev_steal_ptr(&value_copy);
	definition->attr_count++;
	return 0;
}

int definition_del_attr(struct definition *definition, size_t index, struct umdev_error *err)
{
	if (index == SIZE_MAX && definition->attr_count > 0)
		index = definition->attr_count - 1;
	if (index >= definition->attr_count)
		return error_set_key(err, ERROR_INVALID, "index",
				     "there is no such attribute to remove: there are %zu",
				     definition->attr_count);
	free(definition->attrs[index].name);
	free(definition->attrs[index].value);
	definition->attr_count--;
	memmove(&definition->attrs[index], &definition->attrs[index + 1],
		(definition->attr_count - index) * sizeof(*definition->attrs));
	return 0;
}

static void definition_swap_attrs(struct definition *a, struct definition *b)
{
	struct definition_attr *attrs = a->attrs;
	size_t count = a->attr_count;

	a->attrs = b->attrs;
	a->attr_count = b->attr_count;
	b->attrs = attrs;
	b->attr_count = count;
}

int definition_put_attr(struct definition *definition, const char *name, const char *value,
			struct umdev_error *err)
{
	size_t at = definition->attr_count;
	int r;

	/* The last one is the one that counts. */
	while (at > 0 && strcmp(definition->attrs[at - 1].name, name) != 0)
		at--;
	if (at == 0)
		return definition_add_attr(definition, SIZE_MAX, name, value, err);
	r = definition_del_attr(definition, at - 1, err);
	return r < 0 ? r : definition_add_attr(definition, at - 1, name, value, err);
}

int definition_set_attrs(struct definition *definition, const json_t *attrs,
			 struct umdev_error *err)
{
	umdev_auto(definition_cleanup) struct definition *next = definition_new(NULL, NULL);

	if (!next)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	if (attrs && !json_is_array(attrs))
		return error_set_key(err, ERROR_INVALID, "attrs", "attrs is not a list");
	for (size_t i = 0; i < json_array_size(attrs); i++) {
		json_t *entry = json_array_get(attrs, i);
		void *at = json_object_iter(entry);
		const char *value = json_string_value(json_object_iter_value(at));
		int r;

		if (json_object_size(entry) != 1 || !value)
			return error_set_key(err, ERROR_INVALID, "attrs",
					     "attribute %zu is not { \"name\": \"value\" }", i);
		r = definition_add_attr(next, SIZE_MAX, json_object_iter_key(at), value, err);
		if (r < 0)
			return r;
	}
	definition_swap_attrs(definition, next);
	return 0;
}

const char *definition_attr(const struct definition *definition, const char *name)
{
	for (size_t i = definition->attr_count; i > 0; i--) {
		if (strcmp(definition->attrs[i - 1].name, name) == 0)
			return definition->attrs[i - 1].value;
	}
	return NULL;
}

void definition_group(const struct definition *definition, char ret_group[IDENT_UUID_SIZE])
{
	if (ident_uuid_parse(definition_attr(definition, SPEC_ATTR_GROUP), ret_group) < 0)
		ret_group[0] = '\0';
}

int definition_check_attrs(struct definition *definition, const struct spec_table *driver_attrs,
			   const char *driver, struct umdev_error *err)
{
	umdev_auto(definition_cleanup) struct definition *next = definition_new(NULL, NULL);

	if (!next)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < definition->attr_count; i++) {
		const char *name = definition->attrs[i].name;
		const char *value = definition->attrs[i].value;
		const struct spec *spec = spec_find(spec_standard(), name);
		int r = 0;

		if (!spec && (driver_attrs || strncmp(name, "mdev/", 5) == 0)) {
			spec = spec_find_attr(driver_attrs, driver, name, err);
			if (!spec)
				return -EINVAL;
		}
		if (spec)
			r = spec_check(spec, value, NULL, err);
		if (r == 0)
			r = definition_add_attr(next, SIZE_MAX, spec ? spec->name : name, value,
						err);
		if (r < 0)
			return r;
	}
	definition_swap_attrs(definition, next);
	return 0;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

/* Takes an optional line of text out of @rest. */
static int definition_take_text(json_t *rest, const char *key, char **ret, struct umdev_error *err)
{
	json_t *value = json_object_get(rest, key);

	if (!value || json_is_null(value)) {
		json_object_del(rest, key);
		return 0;
	}
	if (!ident_line_ok(json_string_value(value), DEFINITION_TEXT_MAX))
		return error_set_key(err, ERROR_INVALID, key,
				     "%s must be one line of at most %d bytes", key,
				     DEFINITION_TEXT_MAX);
	if (definition_set_text(ret, json_string_value(value)) < 0)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	json_object_del(rest, key);
	return 0;
}

static int definition_take_start(json_t *rest, struct definition *d, struct umdev_error *err)
{
	json_t *start = json_object_get(rest, "start");

	if (!json_is_string(start))
		return error_set_key(err, ERROR_INVALID, "start",
				     "start is missing: it is \"auto\" or \"manual\"");
	d->auto_start = strcmp(json_string_value(start), "auto") == 0;
	json_object_del(rest, "start");
	return 0;
}

static int definition_take_uid(json_t *rest, struct definition *d, struct umdev_error *err)
{
	json_t *uid = json_object_get(rest, "uid");

	if (!uid)
		return 0;
	if (!json_is_integer(uid) || json_integer_value(uid) < 0 ||
	    json_integer_value(uid) >= UINT32_MAX)
		return error_set_key(err, ERROR_INVALID, "uid", "uid is no number of a user");
	d->has_uid = true;
	d->uid = (uint32_t)json_integer_value(uid);
	json_object_del(rest, "uid");
	return 0;
}

static void definition_json_cleanup(json_t **json)
{
	json_decref(*json);
}

int definition_parse(const json_t *object, struct definition **ret, struct umdev_error *err)
{
	umdev_auto(definition_cleanup) struct definition *d = definition_new(NULL, NULL);
	umdev_auto(definition_json_cleanup) json_t *rest = NULL;
	int r;

	if (!json_is_object(object))
		return error_set(err, ERROR_INVALID, "a definition is a JSON object");
	rest = json_deep_copy(object);
	if (!d || !rest)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	if (!json_is_string(json_object_get(rest, "mdev_type")))
		return error_set_key(err, ERROR_INVALID, "mdev_type", "mdev_type is missing");
	r = definition_take_text(rest, "mdev_type", &d->type_id, err);
	if (r == 0)
		r = definition_take_start(rest, d, err);
	if (r == 0)
		r = definition_set_attrs(d, json_object_get(rest, "attrs"), err);
	if (r == 0)
		r = definition_take_text(rest, "type_name", &d->type_name, err);
	if (r == 0)
		r = definition_take_text(rest, "owner", &d->owner, err);
	if (r == 0)
		r = definition_take_uid(rest, d, err);
	if (r < 0)
		return r;
	json_object_del(rest, "attrs");
	if (json_object_size(rest) > 0)
		d->others = umdev_steal_ptr(&rest);
	*ret = umdev_steal_ptr(&d);
	return 0;
}

int definition_parse_text(const char *text, size_t len, struct definition **ret,
			  struct umdev_error *err)
{
	umdev_auto(definition_json_cleanup) json_t *json = NULL;
	json_error_t where;

	json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
	if (!json)
		return error_set(err, ERROR_INVALID, "line %d, column %d: %s", where.line,
				 where.column, where.text);
	return definition_parse(json, ret, err);
}

json_t *definition_print_attrs(const struct definition *definition)
{
	json_t *attrs = json_array();

	for (size_t i = 0; attrs && i < definition->attr_count; i++) {
		json_t *entry =
			json_pack("{s:s}", definition->attrs[i].name, definition->attrs[i].value);

		if (json_array_append_new(attrs, entry) < 0) {
			json_decref(attrs);
			return NULL;
		}
	}
	return attrs;
}

json_t *definition_print(const struct definition *definition)
{
	json_t *object = json_pack("{s:s*,s:s,s:o,s:s*,s:s*}", "mdev_type", definition->type_id,
				   "start", definition->auto_start ? "auto" : "manual", "attrs",
				   definition_print_attrs(definition), "type_name",
				   definition->type_name, "owner", definition->owner);

	if (object && definition->has_uid)
		json_object_set_new(object, "uid", json_integer(definition->uid));
	if (object && definition->others && json_object_update_missing(object, definition->others))
		json_decref(umdev_steal_ptr(&object));
	return object;
}

bool definition_equal(const struct definition *a, const struct definition *b)
{
	umdev_auto(definition_json_cleanup) json_t *x = a ? definition_print(a) : NULL;
	umdev_auto(definition_json_cleanup) json_t *y = b ? definition_print(b) : NULL;

	return a == b || (x && y && json_equal(x, y));
}
