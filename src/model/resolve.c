/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which type do an id and a name mean? See type.h.
 *
 * The name is the contract: same name, same characteristics. The id is what one parent calls it. So
 * a name may bring a definition to another id, but an id never to another name.
 */
#include <stdio.h>
#include <string.h>

#include "model/type.h"

#define RESOLVE_TEXT_MAX 128
#define RESOLVE_NEAREST	 3

/* Levenshtein distance of two texts, of which at most RESOLVE_TEXT_MAX bytes count. */
static unsigned resolve_distance(const char *a, const char *b)
{
	unsigned row[RESOLVE_TEXT_MAX + 1];
	size_t a_len = strnlen(a, RESOLVE_TEXT_MAX);
	size_t b_len = strnlen(b, RESOLVE_TEXT_MAX);

	for (size_t j = 0; j <= b_len; j++)
		row[j] = (unsigned)j;
	for (size_t i = 0; i < a_len; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i + 1;
		for (size_t j = 0; j < b_len; j++) {
			unsigned change = diagonal + (a[i] != b[j]);
			unsigned insert = row[j] + 1;

			diagonal = row[j + 1];
			insert = MIN(insert, diagonal + 1);
			row[j + 1] = MIN(change, insert);
		}
	}
	return row[b_len];
}

static unsigned resolve_type_distance(const struct type *type, const char *id, const char *name)
{
	unsigned by_id = id ? resolve_distance(type->id, id) : RESOLVE_TEXT_MAX;
	unsigned by_name = name ? resolve_distance(type->name, name) : RESOLVE_TEXT_MAX;

	return MIN(by_id, by_name);
}

void type_nearest(const struct type_table *table, const char *id, const char *name, char *text,
		  size_t size)
{
	bool listed[TYPE_COUNT_MAX] = {false};

	text[0] = '\0';
	for (unsigned n = 0; n < RESOLVE_NEAREST; n++) {
		size_t best = TYPE_COUNT_MAX;
		unsigned best_distance = 0;
		size_t used = strlen(text);

		for (size_t i = 0; i < table->count && i < TYPE_COUNT_MAX; i++) {
			unsigned d = resolve_type_distance(&table->types[i], id, name);

			if (!listed[i] && (best == TYPE_COUNT_MAX || d < best_distance)) {
				best = i;
				best_distance = d;
			}
		}
		if (best == TYPE_COUNT_MAX)
			return;
		listed[best] = true;
		snprintf(text + used, size - used, "%s%s (%s)", used ? ", " : "",
			 table->types[best].id, table->types[best].name);
	}
}

/* The id is there, but it is another type. */
static int resolve_mismatch(const struct type_table *table, const char *parent,
			    const struct type *by_id, const char *name, struct umdev_error *err)
{
	const struct type *by_name = type_find_name(table, name);
	char nearest[160] = "";

	if (by_name)
		snprintf(nearest, sizeof(nearest), "that is %s there", by_name->id);
	else
		type_nearest(table, NULL, name, nearest, sizeof(nearest));
	return error_set_key(err, ERROR_TYPE_MISMATCH, "type",
			     "%s: type %s is named '%.64s' there and '%.64s' here; %s%s", parent,
			     by_id->id, by_id->name, name, by_name ? "" : "nearest: ", nearest);
}

int type_resolve(const struct type_table *table, const char *parent, const char *id,
		 const char *name, struct type_choice *ret_choice, struct umdev_error *err)
{
	const struct type *by_id = id ? type_find_id(table, id) : NULL;
	const struct type *by_name = name ? type_find_name(table, name) : NULL;
	char nearest[256];

	if (!id && !name)
		return error_set_key(err, ERROR_INVALID, "type",
				     "a type is needed: give its id or its name");
	if (by_id && name && by_id != by_name)
		return resolve_mismatch(table, parent, by_id, name, err);
	if (by_id || by_name) {
		ret_choice->type = by_id ? by_id : by_name;
		ret_choice->corrected = id && !by_id;
		return 0;
	}
	type_nearest(table, id, name, nearest, sizeof(nearest));
	return error_set_key(err, ERROR_UNKNOWN_TYPE, id ? "type" : "type_name",
			     "%s has no type '%.64s'%s%.64s%s; nearest: %s", parent, id ? id : name,
			     id && name ? " and none named '" : "", id && name ? name : "",
			     id && name ? "'" : "", nearest);
}
