/* SPDX-License-Identifier: BSD-3-Clause */
/* umdevctl start: creates a defined or a transient mdev. Prints the UUID when it was generated. */
#include <stdio.h>

#include "ctl/callout.h"
#include "ctl/plan.h"

int ctl_start(struct ctl *ctl)
{
	json_t *params = NULL;
	json_t *mdev = NULL;
	int r;

	r = ctl_mdev_params(ctl, &params);
	if (r != CTL_OK)
		return r;
	r = callout_call(ctl, "start", params, &mdev);
	if (r != CTL_OK)
		return r;
	ctl_wait_for_tree(ctl, ctl_text(mdev, "uuid"));
	if (ctl->json)
		ctl_print_json(mdev, "\n");
	else if (!ctl_has(ctl, "uuid"))
		printf("%s\n", ctl_text(mdev, "uuid"));
	plan_tell_placement(ctl, mdev);
	json_decref(mdev);
	return CTL_OK;
}
