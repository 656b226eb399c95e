/* SPDX-License-Identifier: BSD-3-Clause */
/* umdevctl group list, show, start, stop, qos. */
#include <libsmartcols.h>
#include <stdio.h>
#include <string.h>

#include "ctl/causes.h"
#include "ctl/ctl.h"

/* Parameters with the group that the operand names; CTL_USAGE when that is no UUID. */
static int group_params(const struct ctl *ctl, json_t **ret_params)
{
	char uuid[CTL_UUID_STRING] = "";
	json_t *params;

	if (!ctl_uuid_parse(ctl->operands[0], uuid))
		return ctl_usage(ctl, "'%s' is not a UUID", ctl->operands[0]);
	params = json_object();
	ctl_put_text(params, "group", uuid);
	*ret_params = params;
	return CTL_OK;
}

static size_t group_active(const json_t *group)
{
	const json_t *mdevs = json_object_get(group, "mdevs");
	size_t active = 0;
	size_t i;
	json_t *mdev;

	json_array_foreach (mdevs, i, mdev)
		active += json_is_true(json_object_get(mdev, "active"));
	return active;
}

/* ---- list ------------------------------------------------------------------------------------ */

enum group_column {
	GROUP_UUID,
	GROUP_STATE,
	GROUP_SCOPE,
	GROUP_MEMBERS,
	GROUP_ACTIVE,
	GROUP_CAP,
	GROUP_WEIGHT,
	GROUP_CLIENT,
	GROUP_COLUMN_COUNT
};

static const struct {
	const char *title;
	int flags;
} group_columns[GROUP_COLUMN_COUNT] = {
	[GROUP_UUID] = {"GROUP", 0},
	[GROUP_STATE] = {"STATE", 0},
	[GROUP_SCOPE] = {"SCOPE", 0},
	[GROUP_MEMBERS] = {"MEMBERS", SCOLS_FL_RIGHT},
	[GROUP_ACTIVE] = {"ACTIVE", SCOLS_FL_RIGHT},
	[GROUP_CAP] = {"CAP", SCOLS_FL_RIGHT},
	[GROUP_WEIGHT] = {"WEIGHT", SCOLS_FL_RIGHT},
	[GROUP_CLIENT] = {"CLIENT", 0},
};

static void group_fill_line(struct libscols_line *line, const json_t *group)
{
	const json_t *client = json_object_get(group, "client");
	char text[64];

	scols_line_set_data(line, GROUP_UUID, ctl_text(group, "group"));
	scols_line_set_data(line, GROUP_STATE, ctl_text(group, "state"));
	scols_line_set_data(line, GROUP_SCOPE, ctl_text(group, "scope"));
	snprintf(text, sizeof(text), "%zu", json_array_size(json_object_get(group, "mdevs")));
	scols_line_set_data(line, GROUP_MEMBERS, text);
	snprintf(text, sizeof(text), "%zu", group_active(group));
	scols_line_set_data(line, GROUP_ACTIVE, text);
	snprintf(text, sizeof(text), "%.4g", json_number_value(json_object_get(group, "cap")));
	scols_line_set_data(line, GROUP_CAP, text);
	snprintf(text, sizeof(text), "%lld",
		 (long long)json_integer_value(json_object_get(group, "weight")));
	scols_line_set_data(line, GROUP_WEIGHT, text);
	if (client)
		snprintf(text, sizeof(text), "pid %lld, uid %lld",
			 (long long)json_integer_value(json_object_get(client, "pid")),
			 (long long)json_integer_value(json_object_get(client, "uid")));
	scols_line_set_data(line, GROUP_CLIENT, client ? text : "-");
}

static int group_print_table(json_t **groups)
{
	struct libscols_table *table = scols_new_table();
	int r = table ? 0 : -1;

	for (int i = 0; r == 0 && i < GROUP_COLUMN_COUNT; i++) {
		if (!scols_table_new_column(table, group_columns[i].title, 0,
					    group_columns[i].flags))
			r = -1;
	}
	for (; r == 0 && *groups; groups++) {
		struct libscols_line *line = scols_table_new_line(table, NULL);

		if (line)
			group_fill_line(line, *groups);
		else
			r = -1;
	}
	if (r == 0)
		r = scols_print_table(table);
	scols_unref_table(table);
	return r;
}

int ctl_group_list(struct ctl *ctl)
{
	umdev_autofree json_t **sorted = NULL;
	json_t *result = NULL;
	int r = ctl_call(ctl, "group.list", json_object(), &result);

	if (r != CTL_OK)
		return r;
	sorted = ctl_sorted(json_object_get(result, "groups"), "group", "group");
	if (ctl->json)
		ctl_print_json(json_object_get(result, "groups"), "\n");
	else if (group_print_table(sorted) != 0)
		r = ctl_fail_word(ctl, ERROR_NO_MEMORY, "no memory for the table");
	json_decref(result);
	return r;
}

/* ---- show ------------------------------------------------------------------------------------ */

static void group_print(const json_t *group)
{
	const json_t *client = json_object_get(group, "client");
	char cap[CAUSES_TEXT_SIZE];
	size_t i;
	json_t *mdev;

	causes_cap(json_object_get(group, "cap"), cap);
	printf("Group:    %s, %s\nScope:    %s\nCap:      %s\nWeight:   %lld\n",
	       ctl_text(group, "group"), ctl_text(group, "state"), ctl_text(group, "scope"), cap,
	       (long long)json_integer_value(json_object_get(group, "weight")));
	if (client)
		printf("Client:   process %lld of user %lld\n",
		       (long long)json_integer_value(json_object_get(client, "pid")),
		       (long long)json_integer_value(json_object_get(client, "uid")));
	printf("Members:\n");
	json_array_foreach (json_object_get(group, "mdevs"), i, mdev)
		printf("  %s %s %s %s\n", ctl_text(mdev, "uuid"), ctl_text(mdev, "parent"),
		       ctl_text(mdev, "type"), ctl_text(mdev, "state"));
}

int ctl_group_show(struct ctl *ctl)
{
	json_t *params = NULL;
	json_t *result = NULL;
	const json_t *group;
	int r = group_params(ctl, &params);

	if (r == CTL_OK)
		r = ctl_call(ctl, "group.list", params, &result);
	if (r != CTL_OK)
		return r;
	group = json_array_get(json_object_get(result, "groups"), 0);
	if (ctl->json)
		ctl_print_json(group, "\n");
	else
		group_print(group);
	json_decref(result);
	return CTL_OK;
}

/* ---- start, stop, qos ------------------------------------------------------------------------ */

/* Calls @method about the group; the answer is printed as JSON if asked for. */
static int group_call(struct ctl *ctl, const char *method, json_t *params, bool print)
{
	json_t *group = NULL;
	int r;

	ctl_put_flag(params, "force", ctl_has(ctl, "force"));
	r = ctl_call(ctl, method, params, &group);
	if (r == CTL_OK && ctl->json)
		ctl_print_json(group, "\n");
	else if (r == CTL_OK && print)
		group_print(group);
	json_decref(group);
	return r;
}

int ctl_group_start(struct ctl *ctl)
{
	json_t *params = NULL;
	int r = group_params(ctl, &params);

	return r == CTL_OK ? group_call(ctl, "group.start", params, false) : r;
}

int ctl_group_stop(struct ctl *ctl)
{
	json_t *params = NULL;
	int r = group_params(ctl, &params);

	return r == CTL_OK ? group_call(ctl, "group.stop", params, false) : r;
}

int ctl_group_qos(struct ctl *ctl)
{
	bool change = ctl_has(ctl, "cap") || ctl_has(ctl, "weight");
	json_t *params = NULL;
	int r = group_params(ctl, &params);

	if (r != CTL_OK)
		return r;
	r = ctl_put_percent(ctl, "cap", "cap", 1, params);
	if (r == CTL_OK)
		r = ctl_put_number(ctl, "weight", "weight", 1, 10000, params);
	if (r != CTL_OK) {
		json_decref(params);
		return r;
	}
	return group_call(ctl, "group.qos", params, !change);
}
