/* SPDX-License-Identifier: BSD-3-Clause */
/* umdevctl stop: removes an active mdev. */
#include "ctl/callout.h"

int ctl_stop(struct ctl *ctl)
{
	char uuid[CTL_UUID_STRING] = "";
	json_t *params;
	int r;

	if (!ctl_has(ctl, "uuid"))
		return ctl_usage(ctl, "--uuid is missing");
	r = ctl_get_uuid(ctl, "uuid", uuid);
	if (r != CTL_OK)
		return r;
	params = json_object();
	ctl_put_text(params, "uuid", uuid);
	ctl_put_flag(params, "force", ctl_has(ctl, "force"));
	return callout_call(ctl, "stop", params, NULL);
}
