/* SPDX-License-Identifier: BSD-3-Clause */
/* Checks of the parent and of what it offers, by the rules of model/type.c. */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "model/type.h"

void check_parent_open(struct kit *kit)
{
	struct umdev_error err = {0};

	if (kit_load(kit, &err) < 0)
		verdict_skip("the driver is not loaded: %s", err.message);
	for (unsigned i = 0; i < 3; i++) {
		if (kit_open(kit, &err) < 0)
			verdict_fail("%s%s", i ? "opened again: " : "", err.message);
		if (kit->info.description &&
		    kit->info.description[strcspn(kit->info.description, "\r\n")])
			verdict_fail("its description is not one line");
		kit_close(kit);
	}
}

/* The types of the parent, opened, as the broker gets them. */
static json_t *types_of(struct kit *kit)
{
	json_t *types;

	kit_up(kit);
	types = bridge_types(&kit->driver, &kit->info);
	if (!types)
		verdict_fail("its types cannot be described: a text is not UTF-8");
	for (size_t i = 0; i < json_array_size(types); i++) {
		if (!json_is_object(json_array_get(types, i)))
			verdict_fail("type %zu cannot be described: a text is not UTF-8", i);
	}
	return types;
}

/* Parses one type as if there were no other. With @plain its class does not matter. */
static int types_parse_one(const struct kit *kit, const json_t *type, bool plain,
			   struct umdev_error *err)
{
	json_t *copy = json_deep_copy(type);
	json_t *alone = json_array();
	struct type_table table = {0};
	int r;

	if (plain)
		json_object_set_new(copy, "class", json_string("compute"));
	json_array_append_new(alone, copy);
	r = type_table_parse(alone, kit->driver.table.name, &table, err);
	type_table_done(&table);
	json_decref(alone);
	return r;
}

void check_types_legal(struct kit *kit)
{
	json_t *types = types_of(kit);
	struct umdev_error err = {0};

	for (size_t i = 0; i < json_array_size(types); i++) {
		if (types_parse_one(kit, json_array_get(types, i), true, &err) < 0)
			verdict_fail("%s", err.message);
	}
	json_decref(types);
	kit_close(kit);
}

void check_types_class(struct kit *kit)
{
	json_t *types = types_of(kit);
	struct umdev_error ignored = {0};
	struct umdev_error err = {0};

	for (size_t i = 0; i < json_array_size(types); i++) {
		const json_t *type = json_array_get(types, i);

		/* What is wrong with it otherwise is types.legal's to say. */
		if (types_parse_one(kit, type, true, &ignored) == 0 &&
		    types_parse_one(kit, type, false, &err) < 0)
			verdict_fail("%s", err.message);
	}
	json_decref(types);
	kit_close(kit);
}

void check_types_unique(struct kit *kit)
{
	static const char *const members[] = {"id", "name"};
	json_t *types = types_of(kit);

	for (size_t m = 0; m < ARRAY_SIZE(members); m++) {
		for (size_t i = 0; i < json_array_size(types); i++) {
			for (size_t j = 0; j < i; j++) {
				json_t *a = json_object_get(json_array_get(types, i), members[m]);
				json_t *b = json_object_get(json_array_get(types, j), members[m]);

				if (json_equal(a, b))
					verdict_fail("types %zu and %zu have the same %s '%s'", j,
						     i, members[m], json_string_value(a));
			}
		}
	}
	json_decref(types);
	kit_close(kit);
}

/* Says what differs between two types of one name. */
static void types_compare(const char *name, json_t *first, json_t *second)
{
	const char *key;
	json_t *value;

	json_object_foreach (first, key, value) {
		json_t *other = json_object_get(second, key);
		char *was;
		char *is;

		if (json_equal(value, other))
			continue;
		was = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
		is = other ? json_dumps(other, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
		verdict_fail("opened again, type '%s' has %s %s instead of %s", name, key,
			     is ? is : "none", was ? was : "none");
	}
}

void check_types_stable(struct kit *kit)
{
	json_t *first = types_of(kit);

	for (unsigned round = 0; round < 3; round++) {
		json_t *again;

		kit_close(kit);
		again = types_of(kit);
		if (json_array_size(first) != json_array_size(again))
			verdict_fail("opened again, it offers %zu types instead of %zu",
				     json_array_size(again), json_array_size(first));
		for (size_t i = 0; i < json_array_size(first); i++) {
			json_t *a = json_array_get(first, i);
			json_t *b = json_array_get(again, i);

			types_compare(json_string_value(json_object_get(a, "name")), a, b);
			types_compare(json_string_value(json_object_get(a, "name")), b, a);
		}
		json_decref(again);
	}
	json_decref(first);
	kit_close(kit);
}
