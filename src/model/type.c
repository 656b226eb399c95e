/* SPDX-License-Identifier: BSD-3-Clause */
/* Types: what a driver may publish, and how it is shown. See type.h. */
#include "model/type.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <umdev/driver.h>

#include "model/ident.h"

/* ---- Classes and the attributes each of them must have --------------------------------------- */

static bool type_is_number(const char *p, const char **ret_end)
{
	size_t n = strspn(p, "0123456789");

	*ret_end = p + n;
	return n > 0 && n < 20 && p[0] != '0';
}

static bool type_attr_is_count(const char *value)
{
	const char *end;

	return type_is_number(value, &end) && *end == '\0';
}

static bool type_attr_is_length(const char *value)
{
	const char *end;

	return type_is_number(value, &end) && strchr("KMG", *end) && *end != '\0' && end[1] == '\0';
}

static bool type_attr_is_resolution(const char *value)
{
	const char *end;

	return type_is_number(value, &end) && *end == 'x' && type_attr_is_count(end + 1);
}

static bool type_attr_is_text(const char *value)
{
	return value[0] != '\0';
}

static const struct type_class_rule {
	const char *class_name;
	const char *attr; /* NULL: the class asks for nothing */
	const char *form;
	bool (*is_legal)(const char *value);
	bool may_be_size; /* a NULL value, the size of the piece, will do */
} type_class_rules[] = {
	{"storage", "capacity", "a number of bytes", type_attr_is_count, true},
	{"storage", "block_size", "a number of bytes", type_attr_is_count, false},
	{"display", "fb_length", "a number and K, M or G", type_attr_is_length, false},
	{"display", "max_resolution", "WIDTHxHEIGHT", type_attr_is_resolution, false},
	{"display", "heads", "a number", type_attr_is_count, false},
	{"serial", "ports", "a number", type_attr_is_count, true},
	{"crypto", "algorithms", "a list", type_attr_is_text, false},
	{"network", "max_bandwidth", "a bandwidth", type_attr_is_text, true},
	{"compute", NULL, NULL, NULL, false},
};

static const struct type_attr *type_attr_find(const struct type *type, const char *name)
{
	for (size_t i = 0; i < type->attr_count; i++) {
		if (strcmp(type->attrs[i].name, name) == 0)
			return &type->attrs[i];
	}
	return NULL;
}

int type_class_check(const char *name, struct umdev_error *err)
{
	const char *last = "";
	char known[128] = "";

	for (size_t i = 0; i < ARRAY_SIZE(type_class_rules); i++) {
		const char *of = type_class_rules[i].class_name;
		size_t used = strlen(known);

		if (strcmp(of, name) == 0)
			return 0;
		if (strcmp(of, last) != 0)
			snprintf(known + used, sizeof(known) - used, "%s%s", used ? ", " : "", of);
		last = of;
	}
	return error_set_key(err, ERROR_INVALID, "class",
			     "there is no class '%.32s'; there are: %s", name, known);
}

static int type_check_class(const struct type *type, struct umdev_error *err)
{
	bool known = false;

	for (size_t i = 0; i < ARRAY_SIZE(type_class_rules); i++) {
		const struct type_class_rule *rule = &type_class_rules[i];
		const struct type_attr *attr;

		if (strcmp(rule->class_name, type->class_name) != 0)
			continue;
		known = true;
		if (!rule->attr)
			continue;
		attr = type_attr_find(type, rule->attr);
		if (!attr)
			return error_set_key(err, ERROR_DRIVER_FAILED, rule->attr,
					     "class %s demands the attribute %s", type->class_name,
					     rule->attr);
		if (attr->value ? !rule->is_legal(attr->value) : !rule->may_be_size)
			return error_set_key(err, ERROR_DRIVER_FAILED, rule->attr, "%s must be %s",
					     rule->attr, rule->form);
	}
	if (!known)
		return error_set(err, ERROR_DRIVER_FAILED, "there is no class '%s'",
				 type->class_name);
	return 0;
}

/* ---- Parsing --------------------------------------------------------------------------------- */

static void type_done(struct type *type)
{
	for (size_t i = 0; i < type->attr_count; i++) {
		free(type->attrs[i].name);
		free(type->attrs[i].value);
	}
	free(type->attrs);
	free(type->id);
	free(type->name);
	free(type->description);
	free(type->class_name);
	free(type->endpoint_name);
	memset(type, 0, sizeof(*type));
}

void type_table_done(struct type_table *table)
{
	for (size_t i = 0; i < table->count; i++)
		type_done(&table->types[i]);
	free(table->types);
	memset(table, 0, sizeof(*table));
}

static int type_parse_attrs(struct type *type, const json_t *attrs, struct umdev_error *err)
{
	size_t count = json_array_size(attrs);

	if ((attrs && !json_is_array(attrs)) || count > TYPE_ATTRS_MAX)
		return error_set(err, ERROR_DRIVER_FAILED, "attrs are no list of at most %d",
				 TYPE_ATTRS_MAX);
	type->attrs = calloc(count ? count : 1, sizeof(*type->attrs));
	if (!type->attrs)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < count; i++) {
		const json_t *row = json_array_get(attrs, i);
		const char *name = json_string_value(json_array_get(row, 0));
		const json_t *value = json_array_get(row, 1);

		if (!ident_word_ok(name) || type_attr_find(type, name))
			return error_set(err, ERROR_DRIVER_FAILED,
					 "attribute %zu has no name of its own", i);
		if (value && !json_is_null(value) &&
		    !ident_line_ok(json_string_value(value), IDENT_TEXT_MAX))
			return error_set_key(err, ERROR_DRIVER_FAILED, name, "%s is not one line",
					     name);
		type->attrs[i].name = strdup(name);
		type->attr_count = i + 1;
		if (json_is_string(value))
			type->attrs[i].value = strdup(json_string_value(value));
		if (!type->attrs[i].name || (json_is_string(value) && !type->attrs[i].value))
			return error_set(err, ERROR_NO_MEMORY, "out of memory");
	}
	return 0;
}

/* The plain numbers of a type. */
static int type_parse_numbers(struct type *type, const json_t *row, struct umdev_error *err)
{
	json_int_t cost = 0;
	json_int_t flags = 0;
	json_int_t group_scope = 0;
	json_int_t requires_group = 0;
	json_int_t group_hotplug = 0;
	json_int_t qos = 0;

	if (json_unpack((json_t *)(uintptr_t)row, "{s:I,s?I,s?I,s?I,s?I,s?I}", "cost", &cost,
			"flags", &flags, "group_scope", &group_scope, "requires_group",
			&requires_group, "group_hotplug", &group_hotplug, "qos", &qos) < 0)
		return error_set(err, ERROR_DRIVER_FAILED, "its numbers are malformed");
	if (cost <= 0)
		return error_set_key(err, ERROR_DRIVER_FAILED, "cost",
				     "one instance must cost more than nothing");
	if (flags < 0 || (flags & ~(json_int_t)UMDEV_TYPE_REST))
		return error_set_key(err, ERROR_DRIVER_FAILED, "flags", "unknown flags");
	if (qos < 0 || qos > (UMDEV_QOS_CAP | UMDEV_QOS_WEIGHT | UMDEV_QOS_PRIORITY))
		return error_set_key(err, ERROR_DRIVER_FAILED, "qos", "unknown QoS knobs");
	if (group_scope < 0 || group_scope > UMDEV_GROUP_DRIVER)
		return error_set_key(err, ERROR_DRIVER_FAILED, "group_scope",
				     "unknown group scope");
	if (requires_group && group_scope == UMDEV_GROUP_NONE)
		return error_set_key(err, ERROR_DRIVER_FAILED, "requires_group",
				     "it demands a group and may not join one");
	type->want.cost = (uint64_t)cost;
	type->want.rest = flags & UMDEV_TYPE_REST;
	type->group_scope = (uint32_t)group_scope;
	type->requires_group = requires_group != 0;
	type->group_hotplug = group_hotplug != 0;
	type->qos = (uint32_t)qos;
	return 0;
}

static int type_parse_endpoints(struct type *type, const json_t *endpoints, struct umdev_error *err)
{
	const char *name = NULL;
	json_int_t kind = 0;
	json_int_t count = 0;
	size_t len;

	if (!endpoints)
		return 0;
	if (json_unpack((json_t *)(uintptr_t)endpoints, "{s:s,s:I,s:I}", "name", &name, "kind",
			&kind, "count", &count) < 0)
		return error_set_key(err, ERROR_DRIVER_FAILED, "endpoints",
				     "its endpoints are malformed");
	len = strlen(name);
	if (len == 0 || len > TYPE_ENDPOINT_NAME_MAX ||
	    strspn(name, "abcdefghijklmnopqrstuvwxyz") != len)
		return error_set_key(err, ERROR_DRIVER_FAILED, "endpoints",
				     "the name of its endpoints is not 1 to %d small letters",
				     TYPE_ENDPOINT_NAME_MAX);
	if ((kind != UMDEV_ENDPOINT_PTY && kind != UMDEV_ENDPOINT_UNIX) || count < 1 ||
	    count > UMDEV_ENDPOINTS_MAX)
		return error_set_key(err, ERROR_DRIVER_FAILED, "endpoints",
				     "it wants endpoints of an unknown kind, or not 1 to %d",
				     UMDEV_ENDPOINTS_MAX);
	type->endpoint_name = strdup(name);
	if (!type->endpoint_name)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	type->endpoint_kind = (uint32_t)kind;
	type->endpoint_count = (uint32_t)count;
	return 0;
}

static int type_parse(struct type *type, const json_t *row, const char *driver,
		      struct umdev_error *err)
{
	const char *id = json_string_value(json_object_get(row, "id"));
	const char *name = json_string_value(json_object_get(row, "name"));
	const char *class_name = json_string_value(json_object_get(row, "class"));
	const json_t *description = json_object_get(row, "description");
	int r;

	if (!ident_type_local_ok(id))
		return error_set_key(err, ERROR_DRIVER_FAILED, "id", "its id is malformed");
	if (!ident_line_ok(name, IDENT_TYPE_MAX))
		return error_set_key(err, ERROR_DRIVER_FAILED, "name", "its name is malformed");
	if (!ident_word_ok(class_name))
		return error_set_key(err, ERROR_DRIVER_FAILED, "class", "it has no class");
	if (description && !json_is_null(description)) {
		const char *text = json_string_value(description);

		if (!text || strlen(text) > 4096)
			return error_set_key(err, ERROR_DRIVER_FAILED, "description",
					     "its description is no text of at most 4096 bytes");
		type->description = strdup(text);
		if (!type->description)
			return error_set(err, ERROR_NO_MEMORY, "out of memory");
	}
	if (asprintf(&type->id, "%s-%s", driver, id) < 0)
		type->id = NULL;
	type->name = strdup(name);
	type->class_name = strdup(class_name);
	if (!type->id || !type->name || !type->class_name)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	r = type_parse_numbers(type, row, err);
	if (r == 0)
		r = type_parse_attrs(type, json_object_get(row, "attrs"), err);
	if (r == 0)
		r = type_parse_endpoints(type, json_object_get(row, "endpoints"), err);
	return r < 0 ? r : type_check_class(type, err);
}

int type_table_parse(const json_t *types, const char *driver, struct type_table *ret_table,
		     struct umdev_error *err)
{
	struct type_table table = {0};
	size_t count = json_array_size(types);
	int r = 0;

	if (count == 0 || count > TYPE_COUNT_MAX)
		return error_set(err, ERROR_DRIVER_FAILED,
				 "driver %s publishes %zu types; 1 to %d are possible", driver,
				 count, TYPE_COUNT_MAX);
	table.types = calloc(count, sizeof(*table.types));
	if (!table.types)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct type *type = &table.types[i];

		table.count = i; /* those before it */
		r = type_parse(type, json_array_get(types, i), driver, err);
		if (r == 0 && type_find_id(&table, type->id))
			r = error_set_key(err, ERROR_DRIVER_FAILED, "id", "its id stands twice");
		if (r == 0 && type_find_name(&table, type->name))
			r = error_set_key(err, ERROR_DRIVER_FAILED, "name",
					  "its name stands twice");
		table.count = i + 1;
		if (r < 0)
			error_wrap(err, "driver %s publishes bad types: type %zu (%s)", driver, i,
				   type->id ? type->id : "no id");
	}
	if (r < 0) {
		type_table_done(&table);
		return r;
	}
	*ret_table = table;
	return 0;
}

const struct type *type_find_id(const struct type_table *table, const char *id)
{
	for (size_t i = 0; i < table->count; i++) {
		if (strcmp(table->types[i].id, id) == 0)
			return &table->types[i];
	}
	return NULL;
}

const struct type *type_find_name(const struct type_table *table, const char *name)
{
	for (size_t i = 0; i < table->count; i++) {
		if (strcmp(table->types[i].name, name) == 0)
			return &table->types[i];
	}
	return NULL;
}

static bool type_same_endpoints(const struct type *a, const struct type *b)
{
	return a->endpoint_kind == b->endpoint_kind && a->endpoint_count == b->endpoint_count &&
	       (a->endpoint_count == 0 || strcmp(a->endpoint_name, b->endpoint_name) == 0);
}

bool type_table_extends(const struct type_table *table, const struct type_table *older)
{
	if (table->count < older->count)
		return false;
	for (size_t i = 0; i < older->count; i++) {
		const struct type *a = &table->types[i];
		const struct type *b = &older->types[i];

		if (strcmp(a->id, b->id) != 0 || strcmp(a->name, b->name) != 0 ||
		    strcmp(a->class_name, b->class_name) != 0 || a->want.cost != b->want.cost ||
		    a->want.rest != b->want.rest || !type_same_endpoints(a, b))
			return false;
	}
	return true;
}

/* ---- Printing -------------------------------------------------------------------------------- */

static json_t *type_print_attrs(const struct type *type, const struct pool *pool)
{
	json_t *attrs = json_object();

	for (size_t i = 0; attrs && i < type->attr_count; i++) {
		char size[24];
		const char *value = type->attrs[i].value;

		if (!value) {
			uint64_t units = type->want.rest ? pool_claim_size(pool, &type->want)
							 : type->want.cost;

			snprintf(size, sizeof(size), "%llu", (unsigned long long)units);
			value = size;
		}
		if (json_object_set_new(attrs, type->attrs[i].name, json_string(value)) < 0) {
			json_decref(attrs);
			return NULL;
		}
	}
	return attrs;
}

static json_t *type_print_qos(const struct type *type)
{
	static const char *const names[] = {"cap", "weight", "priority"};
	json_t *qos = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (type->qos & (1u << i))
			json_array_append_new(qos, json_string(names[i]));
	}
	return qos;
}

json_t *type_print(const struct type *type, const char *parent, const struct pool *pool)
{
	static const char *const scopes[] = {
		[UMDEV_GROUP_NONE] = "none",
		[UMDEV_GROUP_DEVICE] = "device",
		[UMDEV_GROUP_DRIVER] = "driver",
	};

	return json_pack("{s:s,s:s,s:s,s:s*,s:s,s:s,s:I,s:I,s:s,s:b,s:b,s:o,s:o}", "parent", parent,
			 "id", type->id, "name", type->name, "description", type->description,
			 "device_api", "vfio-pci", "class", type->class_name, "available_instances",
			 (json_int_t)pool_available(pool, &type->want), "max_instances",
			 (json_int_t)pool_max(pool, &type->want), "group_scope",
			 scopes[type->group_scope], "requires_group", type->requires_group,
			 "group_hotplug", type->group_hotplug, "qos", type_print_qos(type),
			 "attributes", type_print_attrs(type, pool));
}
