/* SPDX-License-Identifier: BSD-3-Clause */
/* umdevctl version: of this program, and of the daemon if one answers. */
#include <stdio.h>

#include "ctl/ctl.h"

int ctl_version(struct ctl *ctl)
{
	json_t *daemon = NULL;
	int r;

	if (ctl_connect_quiet(ctl) == CTL_OK) {
		r = ctl_call(ctl, "version", NULL, &daemon);
		if (r != CTL_OK)
			return r;
	}
	if (ctl->json) {
		json_t *both = json_pack("{s:{s:s}, s:O?}", "umdevctl", "version", UMDEV_VERSION,
					 "umdevd", daemon);

		ctl_print_json(both, "\n");
		json_decref(both);
	} else {
		printf("umdevctl %s\n", UMDEV_VERSION);
		if (daemon)
			printf("%s %s (pid %lld, root %s)\n", ctl_text(daemon, "name"),
			       ctl_text(daemon, "version"),
			       (long long)json_integer_value(json_object_get(daemon, "pid")),
			       ctl_text(daemon, "root"));
		else
			printf("umdevd does not answer\n");
	}
	json_decref(daemon);
	return CTL_OK;
}
