/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * umdevctl start-parent-mdevs: starts what is defined to start with a parent. mdevctl's udev rule
 * runs it; umdevd needs nobody to. What cannot be started is told of and is no failure.
 */
#include <string.h>

#include "ctl/callout.h"

int ctl_start_parent_mdevs(struct ctl *ctl)
{
	const char *parent = ctl->operands[0];
	json_t *answer = NULL;
	json_t *mdev;
	size_t i;
	int r = ctl_call(ctl, "mdev.list",
			 json_pack("{s:s, s:b, s:b}", "parent", parent, "defined", true,
				   "statistics", false),
			 &answer);

	json_array_foreach (json_object_get(answer, "mdevs"), i, mdev) {
		json_t *params;

		if (strcmp(ctl_text(mdev, "start"), "auto") != 0 ||
		    json_is_true(json_object_get(mdev, "active")))
			continue;
		params = json_pack("{s:s, s:s}", "uuid", ctl_text(mdev, "uuid"), "parent", parent);
		if (callout_call(ctl, "start", params, NULL) != CTL_OK)
			ctl_warn("mdev %s is not started with %s", ctl_text(mdev, "uuid"), parent);
	}
	json_decref(answer);
	return r;
}
