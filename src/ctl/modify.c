/* SPDX-License-Identifier: BSD-3-Clause */
/* umdevctl modify: changes a definition, an active mdev, or both. The rules of what goes together
 * are mdevctl's. */
#include <stdint.h>
#include <string.h>

#include "ctl/callout.h"

static const struct {
	const char *first;
	const char *second;
} modify_conflicts[] = {
	{"addattr", "delattr"},	 {"auto", "manual"},	  {"jsonfile", "type"},
	{"jsonfile", "addattr"}, {"jsonfile", "delattr"}, {"jsonfile", "index"},
	{"jsonfile", "value"},	 {"jsonfile", "auto"},	  {"jsonfile", "manual"},
	{"jsonfile", "attr"},	 {"jsonfile", "group"},	  {"jsonfile", "type-name"},
	{"type", "type-name"},
};

static int modify_check(const struct ctl *ctl)
{
	static const char *const changes[] = {"auto", "manual", "addattr", "delattr",  "jsonfile",
					      "attr", "group",	"owner",   "type-name"};
	bool any = false;

	if (!ctl_has(ctl, "uuid"))
		return ctl_usage(ctl, "--uuid is missing");
	for (size_t i = 0; i < ARRAY_SIZE(modify_conflicts); i++) {
		int r = ctl_conflict(ctl, modify_conflicts[i].first, modify_conflicts[i].second);

		if (r != CTL_OK)
			return r;
	}
	if (ctl_has(ctl, "live") && !ctl_has(ctl, "jsonfile") && !ctl_has(ctl, "attr"))
		return ctl_usage(ctl, "--live needs --jsonfile or --attr");
	if (ctl_has(ctl, "addattr") && !ctl_has(ctl, "value"))
		return ctl_usage(ctl, "--addattr needs --value");
	if (ctl_has(ctl, "value") && !ctl_has(ctl, "addattr"))
		return ctl_usage(ctl, "--value needs --addattr");
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++)
		any = any || ctl_has(ctl, changes[i]);
	if (!any)
		return ctl_usage(ctl, "one of --auto, --manual, --type-name, --attr, "
				      "--group, --owner, --addattr, --delattr and --jsonfile is "
				      "needed");
	return CTL_OK;
}

static int modify_fill(const struct ctl *ctl, json_t *params)
{
	char uuid[CTL_UUID_STRING] = "";
	json_t *definition = NULL;
	char group[CTL_UUID_STRING] = "";
	uint64_t index = 0;
	int r;

	r = ctl_get_uuid(ctl, "uuid", uuid);
	if (r == CTL_OK)
		r = ctl_get_uuid(ctl, "group", group);
	if (r == CTL_OK)
		r = ctl_get_number(ctl, "index", UINT32_MAX, &index);
	if (r != CTL_OK)
		return r;
	ctl_put_text(params, "uuid", uuid);
	ctl_put_text(params, "parent", ctl_get(ctl, "parent"));
	ctl_put_text(params, "type", ctl_get(ctl, "type"));
	ctl_put_text(params, "type_name", ctl_get(ctl, "type-name"));
	ctl_put_text(params, "group", group[0] ? group : NULL);
	ctl_put_text(params, "owner", ctl_get(ctl, "owner"));
	ctl_put_text(params, "start", ctl_has(ctl, "auto") ? "auto" : NULL);
	ctl_put_text(params, "start", ctl_has(ctl, "manual") ? "manual" : NULL);
	if (ctl_has(ctl, "addattr"))
		json_object_set_new(params, "addattr",
				    json_pack("{s:s, s:s}", "name", ctl_get(ctl, "addattr"),
					      "value", ctl_get(ctl, "value")));
	ctl_put_flag(params, "delattr", ctl_has(ctl, "delattr"));
	if (ctl_has(ctl, "index"))
		json_object_set_new(params, "index", json_integer((json_int_t)index));
	ctl_put_flag(params, "live", ctl_has(ctl, "live"));
	ctl_put_flag(params, "defined", ctl_has(ctl, "defined"));
	ctl_put_flag(params, "force", ctl_has(ctl, "force"));
	if (ctl_has(ctl, "attr")) {
		json_t *attrs = json_array();

		json_object_set_new(params, "attrs", attrs);
		r = ctl_get_pairs(ctl, "attr", attrs);
	}
	if (r != CTL_OK || !ctl_has(ctl, "jsonfile"))
		return r;
	r = ctl_read_definition(ctl, ctl_get(ctl, "jsonfile"), &definition);
	if (r == CTL_OK)
		json_object_set_new(params, "definition", definition);
	return r;
}

int ctl_modify(struct ctl *ctl)
{
	json_t *params;
	json_t *mdev = NULL;
	int r;

	r = modify_check(ctl);
	if (r != CTL_OK)
		return r;
	params = json_object();
	r = modify_fill(ctl, params);
	if (r != CTL_OK) {
		json_decref(params);
		return r;
	}
	r = callout_call(ctl, "modify", params, &mdev);
	if (r == CTL_OK && ctl->json)
		ctl_print_json(mdev, "\n");
	json_decref(mdev);
	return r;
}
