/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * umdevctl list: active mdevs, or definitions. Text and --dumpjson are mdevctl's to the byte; with
 * --verbose, lines that mdevctl does not know follow its own below each active mdev.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"

static bool list_flag(const json_t *mdev, const char *key)
{
	return json_is_true(json_object_get(mdev, key));
}

static void list_print_attrs(const json_t *mdev)
{
	const json_t *attrs = json_object_get(mdev, "attrs");
	json_t *pair;
	size_t i;

	if (json_array_size(attrs) > 0)
		printf("  Attrs:\n");
	json_array_foreach (attrs, i, pair) {
		void *at = json_object_iter(pair);
		const char *value = json_string_value(json_object_iter_value(at));

		if (at)
			printf("    @{%zu}: {\"%s\":\"%s\"}\n", i, json_object_iter_key(at),
			       value ? value : "");
	}
}

static void list_print_statistics(const json_t *mdev)
{
	json_t *statistics = json_object_get(mdev, "statistics");
	const char *name;
	json_t *value;

	if (json_object_size(statistics) > 0)
		printf("  Statistics:\n");
	json_object_foreach (statistics, name, value) {
		if (json_is_integer(value))
			printf("    %s: %lld\n", name, (long long)json_integer_value(value));
		else
			printf("    %s: %.15g\n", name, json_number_value(value));
	}
}

static void list_print_line(const json_t *mdev, const char *label, const char *key)
{
	if (ctl_text(mdev, key)[0])
		printf("  %s: %s\n", label, ctl_text(mdev, key));
}

static void list_print_endpoints(const json_t *mdev)
{
	const json_t *path;
	size_t i;

	json_array_foreach (json_object_get(mdev, "endpoints"), i, path)
		printf("  Endpoint: %s\n", json_string_value(path) ? json_string_value(path) : "");
}

/* What a user of umdev wants to know beyond mdevctl's lines. */
static void list_print_ours(const json_t *mdev)
{
	const json_t *client = json_object_get(mdev, "client");

	list_print_line(mdev, "Owner", "owner");
	list_print_line(mdev, "Error", "error");
	list_print_line(mdev, "Socket", "socket");
	list_print_endpoints(mdev);
	if (json_is_object(client))
		printf("  Client: pid %lld, uid %lld\n",
		       (long long)json_integer_value(json_object_get(client, "pid")),
		       (long long)json_integer_value(json_object_get(client, "uid")));
	list_print_line(mdev, "Last refusal", "last_refusal");
	list_print_statistics(mdev);
}

static void list_print_text(json_t **mdevs, bool defined, bool verbose)
{
	for (; *mdevs; mdevs++) {
		const char *note = "";

		if (defined && list_flag(*mdevs, "active"))
			note = " (active)";
		if (!defined && list_flag(*mdevs, "defined"))
			note = " (defined)";
		printf("%s %s %s %s%s\n", ctl_text(*mdevs, "uuid"), ctl_text(*mdevs, "parent"),
		       ctl_text(*mdevs, "type"), ctl_text(*mdevs, "start"), note);
		if (!verbose)
			continue;
		list_print_attrs(*mdevs);
		if (!defined && !ctl_is_mdevctl())
			list_print_ours(*mdevs);
	}
}

/* The content of a definition file, as mdevctl writes it. */
static json_t *list_dump_one(const json_t *mdev)
{
	json_t *attrs = json_object_get(mdev, "attrs");

	return json_pack("{s:s, s:s, s:o}", "mdev_type", ctl_text(mdev, "type"), "start",
			 ctl_text(mdev, "start"), "attrs",
			 json_is_array(attrs) ? json_incref(attrs) : json_array());
}

static void list_print_dump(json_t **mdevs, bool by_uuid)
{
	json_t *parents;
	json_t *list;

	/* One mdev that was asked for by name: what --jsonfile takes. */
	if (by_uuid && mdevs[0] && !mdevs[1]) {
		list = list_dump_one(mdevs[0]);
		ctl_print_json(list, "");
		json_decref(list);
		return;
	}
	parents = json_object();
	for (; *mdevs; mdevs++) {
		const char *parent = ctl_text(*mdevs, "parent");

		if (!json_object_get(parents, parent))
			json_object_set_new(parents, parent, json_array());
		json_array_append_new(json_object_get(parents, parent),
				      json_pack("{s:o}", ctl_text(*mdevs, "uuid"),
						list_dump_one(*mdevs)));
	}
	list = json_array();
	if (json_object_size(parents) > 0)
		json_array_append(list, parents);
	ctl_print_json(list, "");
	json_decref(list);
	json_decref(parents);
}

/* Takes definitions that cannot be read out of the list, which has a type in every line, and tells
 * of them instead. */
static void list_tell_bad(json_t **mdevs)
{
	json_t **kept = mdevs;

	for (; *mdevs; mdevs++) {
		if (ctl_text(*mdevs, "type")[0] || !ctl_text(*mdevs, "error")[0])
			*kept++ = *mdevs;
		else
			ctl_warn("%s %s: %s", ctl_text(*mdevs, "uuid"), ctl_text(*mdevs, "parent"),
				 ctl_text(*mdevs, "error"));
	}
	*kept = NULL;
}

int ctl_list(struct ctl *ctl)
{
	umdev_autofree json_t **sorted = NULL;
	char uuid[CTL_UUID_STRING] = "";
	json_t *result = NULL;
	const json_t *mdevs;
	json_t *params;
	int r;

	r = ctl_get_uuid(ctl, "uuid", uuid);
	if (r != CTL_OK)
		return r;
	params = json_object();
	ctl_put_text(params, "uuid", uuid[0] ? uuid : NULL);
	ctl_put_text(params, "parent", ctl_get(ctl, "parent"));
	ctl_put_flag(params, "defined", ctl_has(ctl, "defined"));
	r = ctl_call(ctl, "mdev.list", params, &result);
	if (r != CTL_OK)
		return r;
	mdevs = json_object_get(result, "mdevs");
	sorted = ctl_sorted(mdevs, "parent", "uuid");
	if (!ctl->json)
		list_tell_bad(sorted);
	if (ctl_has(ctl, "dumpjson"))
		list_print_dump(sorted, uuid[0]);
	else if (ctl->json)
		ctl_print_json(mdevs, "\n");
	else
		list_print_text(sorted, ctl_has(ctl, "defined"), ctl_has(ctl, "verbose"));
	json_decref(result);
	return CTL_OK;
}
