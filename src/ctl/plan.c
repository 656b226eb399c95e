/* SPDX-License-Identifier: BSD-3-Clause */
/* umdevctl plan: what would happen if mdevs were started, and why. */
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/plan.h"
#include "util/parse.h"

#define PLAN_FILE_MAX (512 * 1024)

static const char *const plan_not_with_file[] = {
	"type", "type-name", "parent", "count", "group", "weight", "cap", "priority", "min-share"};

/* Reads the wanted mdevs from a file: an array of them, or one. */
static int plan_read_file(const struct ctl *ctl, const char *path, json_t **ret_mdevs)
{
	umdev_autofree char *text = NULL;
	json_error_t fault;
	json_t *content;
	size_t len = 0;
	int r = CTL_OK;

	for (size_t i = 0; r == CTL_OK && i < ARRAY_SIZE(plan_not_with_file); i++)
		r = ctl_conflict(ctl, "file", plan_not_with_file[i]);
	if (r == CTL_OK)
		r = ctl_read_file(ctl, path, PLAN_FILE_MAX, &text, &len);
	if (r != CTL_OK)
		return r;
	content = json_loadb(text, len, JSON_REJECT_DUPLICATES, &fault);
	if (!content)
		return ctl_fail_word(ctl, ERROR_INVALID, "'%s' is not JSON: line %d: %s", path,
				     fault.line, fault.text);
	/* It is one or the other. */
	*ret_mdevs = json_is_array(content) ? content : json_pack("[o]", content);
	return CTL_OK;
}

/* The one kind of mdev that the options describe. */
static int plan_read_options(const struct ctl *ctl, json_t **ret_mdevs)
{
	char group[CTL_UUID_STRING] = "";
	json_t *want;
	int r = ctl_conflict(ctl, "type", "type-name");

	if (r == CTL_OK && !ctl_has(ctl, "type") && !ctl_has(ctl, "type-name"))
		r = ctl_usage(ctl, "--type, --type-name or --file is missing");
	if (r == CTL_OK)
		r = ctl_get_uuid(ctl, "group", group);
	if (r != CTL_OK)
		return r;
	want = json_object();
	ctl_put_text(want, "type", ctl_get(ctl, "type"));
	ctl_put_text(want, "type_name", ctl_get(ctl, "type-name"));
	ctl_put_text(want, "parent", ctl_get(ctl, "parent"));
	ctl_put_text(want, "group", group[0] ? group : NULL);
	r = ctl_put_number(ctl, "count", "count", 1, 256, want);
	if (r == CTL_OK)
		r = ctl_put_number(ctl, "weight", "weight", 1, 10000, want);
	if (r == CTL_OK)
		r = ctl_put_number(ctl, "priority", "priority", 0, 7, want);
	if (r == CTL_OK)
		r = ctl_put_percent(ctl, "cap", "cap", 1, want);
	if (r == CTL_OK)
		r = ctl_put_percent(ctl, "min-share", "min_share", 0, want);
	if (r == CTL_OK)
		*ret_mdevs = json_pack("[O]", want);
	json_decref(want);
	return r;
}

int ctl_plan(struct ctl *ctl)
{
	const char *file = ctl_get(ctl, "file");
	json_t *mdevs = NULL;
	json_t *params;
	json_t *plan = NULL;
	int r = file ? plan_read_file(ctl, file, &mdevs) : plan_read_options(ctl, &mdevs);

	if (r != CTL_OK)
		return r;
	params = json_pack("{s:o}", "mdevs", mdevs);
	ctl_put_text(params, "placement", ctl_get(ctl, "place"));
	r = ctl_call(ctl, "plan", params, &plan);
	if (r != CTL_OK)
		return r;
	if (ctl->json)
		ctl_print_json(plan, "\n");
	else
		plan_print(plan);
	r = json_is_true(json_object_get(plan, "fits")) ? CTL_OK : CTL_FAILED;
	json_decref(plan);
	return r;
}
