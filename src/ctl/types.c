/* SPDX-License-Identifier: BSD-3-Clause */
/* umdevctl types: what parents offer. Text and --dumpjson are mdevctl's to the byte. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"

static json_int_t types_available(const json_t *type)
{
	return json_integer_value(json_object_get(type, "available_instances"));
}

/* A description may have several lines; here each becomes a part of one. */
static void types_print_description(const char *text)
{
	fputs("    Description: ", stdout);
	for (; *text; text++) {
		if (*text == '\n')
			fputs(", ", stdout);
		else
			putchar(*text);
	}
	putchar('\n');
}

static void types_print_text(json_t **types)
{
	const char *parent = NULL;

	for (; *types; types++) {
		const char *name = ctl_text(*types, "name");
		const char *description = ctl_text(*types, "description");

		if (!parent || strcmp(parent, ctl_text(*types, "parent")) != 0) {
			parent = ctl_text(*types, "parent");
			printf("%s\n", parent);
		}
		printf("  %s\n", ctl_text(*types, "id"));
		printf("    Available instances: %lld\n", (long long)types_available(*types));
		printf("    Device API: %s\n", ctl_text(*types, "device_api"));
		if (name[0])
			printf("    Name: %s\n", name);
		if (description[0])
			types_print_description(description);
	}
}

/* {id: {available_instances, device_api, name?, description?}} */
static json_t *types_dump_one(const json_t *type)
{
	json_t *inner = json_pack("{s:I, s:s}", "available_instances", types_available(type),
				  "device_api", ctl_text(type, "device_api"));

	if (ctl_text(type, "name")[0])
		json_object_set(inner, "name", json_object_get(type, "name"));
	if (ctl_text(type, "description")[0])
		json_object_set(inner, "description", json_object_get(type, "description"));
	return json_pack("{s:o}", ctl_text(type, "id"), inner);
}

static void types_print_dump(json_t **types)
{
	json_t *parents = json_object();
	json_t *list;

	for (; *types; types++) {
		const char *parent = ctl_text(*types, "parent");

		if (!json_object_get(parents, parent))
			json_object_set_new(parents, parent, json_array());
		json_array_append_new(json_object_get(parents, parent), types_dump_one(*types));
	}
	list = json_array();
	if (json_object_size(parents) > 0)
		json_array_append(list, parents);
	ctl_print_json(list, "");
	json_decref(list);
	json_decref(parents);
}

/* Leaves those of one parent. */
static void types_keep(json_t **types, const char *parent)
{
	json_t **kept = types;

	for (; *types; types++) {
		if (strcmp(ctl_text(*types, "parent"), parent) == 0)
			*kept++ = *types;
	}
	*kept = NULL;
}

int ctl_types(struct ctl *ctl)
{
	umdev_autofree json_t **sorted = NULL;
	const char *parent = ctl_get(ctl, "parent");
	json_t *params = json_object();
	json_t *result = NULL;
	const json_t *types;
	int r;

	/* To mdevctl a parent that is not there is one without types. */
	if (!ctl_is_mdevctl() || ctl->json)
		ctl_put_text(params, "parent", parent);
	ctl_put_text(params, "class", ctl_get(ctl, "class"));
	r = ctl_call(ctl, "type.list", params, &result);
	if (r != CTL_OK)
		return r;
	types = json_object_get(result, "types");
	sorted = ctl_sorted(types, "parent", "id");
	if (ctl_is_mdevctl() && parent)
		types_keep(sorted, parent);
	if (ctl_has(ctl, "dumpjson"))
		types_print_dump(sorted);
	else if (ctl->json)
		ctl_print_json(types, "\n");
	else
		types_print_text(sorted);
	json_decref(result);
	return CTL_OK;
}
