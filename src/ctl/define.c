/* SPDX-License-Identifier: BSD-3-Clause */
/* umdevctl define: writes a definition. Prints the UUID when it was generated. */
#include <stdio.h>

#include "ctl/callout.h"
#include "ctl/plan.h"

int ctl_define(struct ctl *ctl)
{
	json_t *params = NULL;
	json_t *mdev = NULL;
	int r;

	r = ctl_mdev_params(ctl, &params);
	if (r != CTL_OK)
		return r;
	if (ctl_has(ctl, "auto"))
		ctl_put_text(params, "start", "auto");
	r = callout_call(ctl, "define", params, &mdev);
	if (r != CTL_OK)
		return r;
	if (ctl->json)
		ctl_print_json(mdev, "\n");
	else if (!ctl_has(ctl, "uuid"))
		printf("%s\n", ctl_text(mdev, "uuid"));
	plan_tell_placement(ctl, mdev);
	json_decref(mdev);
	return CTL_OK;
}
