/* SPDX-License-Identifier: BSD-3-Clause */
/* umdevctl upgrade: other processes for parents, one parent after the other, while guests run. */
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"

/* A line for each mdev, and one that sums up. */
static void upgrade_print(const json_t *result)
{
	const json_t *mdevs = json_object_get(result, "mdevs");
	json_int_t longest_ns = 0;

	for (size_t i = 0; i < json_array_size(mdevs); i++) {
		const json_t *mdev = json_array_get(mdevs, i);
		json_int_t pause_ns = json_integer_value(json_object_get(mdev, "pause_ns"));

		printf("%s paused for %.1f ms%s\n", ctl_text(mdev, "uuid"), (double)pause_ns / 1e6,
		       json_is_true(json_object_get(mdev, "in_use")) ? ", in use" : "");
		if (pause_ns > longest_ns)
			longest_ns = pause_ns;
	}
	printf("%s: process %lld serves what process %lld did, %zu mdevs, longest pause %.1f ms\n",
	       ctl_text(result, "name"),
	       (long long)json_integer_value(json_object_get(result, "pid")),
	       (long long)json_integer_value(json_object_get(result, "from_pid")),
	       json_array_size(mdevs), (double)longest_ns / 1e6);
}

static int upgrade_one(struct ctl *ctl, const char *name, json_t *results)
{
	json_t *params = json_object();
	json_t *result = NULL;
	int r;

	ctl_put_text(params, "name", name);
	r = ctl_call(ctl, "parent.upgrade", params, &result);
	if (r == CTL_OK && !ctl->json)
		upgrade_print(result);
	if (r == CTL_OK)
		json_array_append(results, result);
	json_decref(result);
	return r;
}

/* All of them, by name, up to the first that fails. */
static int upgrade_all(struct ctl *ctl, json_t *results)
{
	umdev_autofree json_t **sorted = NULL;
	json_t *list = NULL;
	int r = ctl_call(ctl, "parent.list", json_object(), &list);

	if (r != CTL_OK)
		return r;
	sorted = ctl_sorted(json_object_get(list, "parents"), "name", "name");
	for (json_t **parent = sorted; r == CTL_OK && *parent; parent++)
		r = upgrade_one(ctl, ctl_text(*parent, "name"), results);
	json_decref(list);
	return r;
}

int ctl_upgrade(struct ctl *ctl)
{
	json_t *results = json_array();
	int r = ctl->operands[0] ? upgrade_one(ctl, ctl->operands[0], results)
				 : upgrade_all(ctl, results);

	if (ctl->json && (r == CTL_OK || json_array_size(results) > 0))
		ctl_print_json(results, "\n");
	json_decref(results);
	return r;
}
