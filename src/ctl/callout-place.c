/* SPDX-License-Identifier: BSD-3-Clause */
/* The parent of something new, chosen before scripts are run that are told of it. See callout.h. */
#include <string.h>

#include "ctl/callout.h"
#include "ctl/plan.h"
#include "util/parse.h"

/* A number of percent in an attribute; one that is none is left to the daemon to refuse. */
static void place_put_percent(json_t *want, const char *key, const char *text)
{
	uint64_t hundredths;

	if (parse_hundredths(text, &hundredths) == 0)
		json_object_set_new(want, key, json_real((double)hundredths / 100));
}

static void place_put_number(json_t *want, const char *key, const char *text)
{
	uint64_t number;

	if (parse_u64(text, &number) == 0 && number <= INT32_MAX)
		json_object_set_new(want, key, json_integer((json_int_t)number));
}

/* Puts what counts for a placement; the last one of several counts. */
static void place_put_attrs(json_t *want, const json_t *attrs)
{
	const json_t *pair;
	size_t i;

	json_array_foreach (attrs, i, pair) {
		const char *name =
			json_object_iter_key(json_object_iter((json_t *)(uintptr_t)pair));
		const char *value = name ? ctl_text(pair, name) : "";

		if (!name)
			continue;
		if (strcmp(name, "mdev/cap") == 0)
			place_put_percent(want, "cap", value);
		else if (strcmp(name, "mdev/min_share") == 0)
			place_put_percent(want, "min_share", value);
		else if (strcmp(name, "mdev/weight") == 0)
			place_put_number(want, "weight", value);
		else if (strcmp(name, "mdev/priority") == 0)
			place_put_number(want, "priority", value);
		else if (strcmp(name, "mdev/group") == 0)
			ctl_put_text(want, "group", value[0] ? value : NULL);
	}
}

/* What is wanted, as the RPC's plan takes it. */
static json_t *place_want(const json_t *params)
{
	static const char *const same[] = {"type", "type_name", "group", "min_share"};
	json_t *want = json_object();

	place_put_attrs(want, json_object_get(params, "attrs"));
	for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
		if (json_object_get(params, same[i]))
			json_object_set(want, same[i], json_object_get(params, same[i]));
	}
	return want;
}

int callout_place(struct ctl *ctl, json_t *params)
{
	const char *policy = json_string_value(json_object_get(params, "placement"));
	json_t *plan = NULL;
	json_t *ask;
	json_t *mdev;
	int r;

	if (ctl_text(params, "parent")[0] ||
	    (!ctl_text(params, "type")[0] && !ctl_text(params, "type_name")[0]))
		return CTL_OK;
	ask = json_pack("{s:[o]}", "mdevs", place_want(params));
	ctl_put_text(ask, "placement", policy);
	r = ctl_call(ctl, "plan", ask, &plan);
	mdev = json_array_get(json_object_get(plan, "mdevs"), 0);
	/* Where none fits, the command itself says why. */
	if (r == CTL_OK && ctl_text(mdev, "parent")[0]) {
		json_t *made = json_pack("{s:O}", "placement", mdev);

		json_object_set_new(mdev, "policy", json_string(policy ? policy : "spread"));
		plan_tell_placement(ctl, made);
		json_decref(made);
		json_object_del(params, "placement");
		json_object_set(params, "parent", json_object_get(mdev, "parent"));
	}
	json_decref(plan);
	return r;
}
