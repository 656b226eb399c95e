/* SPDX-License-Identifier: BSD-3-Clause */
/* umdevctl parent add, remove, list. */
#include <libsmartcols.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"

int ctl_parent_add(struct ctl *ctl)
{
	json_t *params;
	json_t *options;
	json_t *parent = NULL;
	int r;

	if (!ctl_has(ctl, "driver"))
		return ctl_usage(ctl, "--driver is missing");
	params = json_object();
	options = json_object();
	json_object_set_new(params, "options", options);
	r = ctl_get_pairs(ctl, "option", options);
	if (r != CTL_OK) {
		json_decref(params);
		return r;
	}
	ctl_put_text(params, "name", ctl->operands[0]);
	ctl_put_text(params, "driver", ctl_get(ctl, "driver"));
	r = ctl_call(ctl, "parent.add", params, &parent);
	if (r == CTL_OK && ctl->json)
		ctl_print_json(parent, "\n");
	json_decref(parent);
	return r;
}

int ctl_parent_remove(struct ctl *ctl)
{
	json_t *params = json_object();

	ctl_put_text(params, "name", ctl->operands[0]);
	ctl_put_flag(params, "force", ctl_has(ctl, "force"));
	return ctl_call(ctl, "parent.remove", params, NULL);
}

/* The columns of the table, in order. */
enum parent_column {
	PARENT_NAME,
	PARENT_DRIVER,
	PARENT_STATE,
	PARENT_FREE,
	PARENT_POOL,
	PARENT_UNIT,
	PARENT_ACTIVE,
	PARENT_DEFINED,
	PARENT_RESTARTS,
	PARENT_DETAIL,
	PARENT_COLUMN_COUNT
};

static const struct {
	const char *title;
	int flags;
} parent_columns[PARENT_COLUMN_COUNT] = {
	[PARENT_NAME] = {"NAME", 0},
	[PARENT_DRIVER] = {"DRIVER", 0},
	[PARENT_STATE] = {"STATE", 0},
	[PARENT_FREE] = {"FREE", SCOLS_FL_RIGHT},
	[PARENT_POOL] = {"POOL", SCOLS_FL_RIGHT},
	[PARENT_UNIT] = {"UNIT", 0},
	[PARENT_ACTIVE] = {"ACTIVE", SCOLS_FL_RIGHT},
	[PARENT_DEFINED] = {"DEFINED", SCOLS_FL_RIGHT},
	[PARENT_RESTARTS] = {"RESTARTS", SCOLS_FL_RIGHT},
	[PARENT_DETAIL] = {"DETAIL", 0},
};

/* Puts @amount into @text; bytes in the largest unit of 1024 that leaves one digit or none after
 * the point. */
static void parent_format(const json_t *amount, bool bytes, char *text, size_t size)
{
	static const char units[] = "BKMGTPE";
	json_int_t value = json_integer_value(amount);
	double scaled = (double)value;
	size_t unit = 0;

	if (!json_is_integer(amount)) {
		snprintf(text, size, "-");
		return;
	}
	while (bytes && scaled >= 1024 && unit + 2 < sizeof(units)) {
		scaled /= 1024;
		unit++;
	}
	if (!bytes)
		snprintf(text, size, "%lld", (long long)value);
	else if (scaled == (double)(long long)scaled)
		snprintf(text, size, "%lld%c", (long long)scaled, units[unit]);
	else
		snprintf(text, size, "%.1f%c", scaled, units[unit]);
}

static void parent_cell(struct libscols_line *line, enum parent_column column, const char *text)
{
	scols_line_set_data(line, column, text);
}

static void parent_fill_line(struct libscols_line *line, const json_t *parent)
{
	const json_t *pool = json_object_get(parent, "pool");
	const json_t *mdevs = json_object_get(parent, "mdevs");
	const json_t *host = json_object_get(parent, "host");
	const char *unit = ctl_text(pool, "unit");
	bool bytes = strcmp(unit, "bytes") == 0;
	const char *detail = ctl_text(parent, "error");
	char text[64];

	if (!detail[0])
		detail = ctl_text(parent, "description");
	parent_cell(line, PARENT_NAME, ctl_text(parent, "name"));
	parent_cell(line, PARENT_DRIVER, ctl_text(parent, "driver"));
	parent_cell(line, PARENT_STATE, ctl_text(parent, "state"));
	parent_format(json_object_get(pool, "free"), bytes, text, sizeof(text));
	parent_cell(line, PARENT_FREE, text);
	parent_format(json_object_get(pool, "units"), bytes, text, sizeof(text));
	parent_cell(line, PARENT_POOL, text);
	parent_cell(line, PARENT_UNIT, unit[0] ? unit : "-");
	parent_format(json_object_get(mdevs, "active"), false, text, sizeof(text));
	parent_cell(line, PARENT_ACTIVE, text);
	parent_format(json_object_get(mdevs, "defined"), false, text, sizeof(text));
	parent_cell(line, PARENT_DEFINED, text);
	parent_format(json_object_get(host, "restarts"), false, text, sizeof(text));
	parent_cell(line, PARENT_RESTARTS, text);
	parent_cell(line, PARENT_DETAIL, detail[0] ? detail : "-");
}

static int parent_print_table(json_t **parents)
{
	struct libscols_table *table = scols_new_table();
	int r = table ? 0 : -1;

	for (int i = 0; r == 0 && i < PARENT_COLUMN_COUNT; i++) {
		if (!scols_table_new_column(table, parent_columns[i].title, 0,
					    parent_columns[i].flags))
			r = -1;
	}
	for (; r == 0 && *parents; parents++) {
		struct libscols_line *line = scols_table_new_line(table, NULL);

		if (line)
			parent_fill_line(line, *parents);
		else
			r = -1;
	}
	if (r == 0)
		r = scols_print_table(table);
	scols_unref_table(table);
	return r;
}

int ctl_parent_list(struct ctl *ctl)
{
	umdev_autofree json_t **sorted = NULL;
	json_t *params = json_object();
	json_t *result = NULL;
	int r;

	ctl_put_text(params, "name", ctl->operands[0]);
	r = ctl_call(ctl, "parent.list", params, &result);
	if (r != CTL_OK)
		return r;
	sorted = ctl_sorted(json_object_get(result, "parents"), "name", "name");
	if (ctl->json)
		ctl_print_json(json_object_get(result, "parents"), "\n");
	else if (parent_print_table(sorted) != 0)
		r = ctl_fail_word(ctl, ERROR_NO_MEMORY, "no memory for the table");
	json_decref(result);
	return r;
}
