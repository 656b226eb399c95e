/* SPDX-License-Identifier: BSD-3-Clause */
/* umdevctl: parses the command line, runs one verb, and says what went wrong. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"

static int main_run(struct ctl *ctl, int argc, char **argv)
{
	int r = ctl_parse(ctl, argc, argv);

	if (r != CTL_OK)
		return r;
	if (ctl->version) {
		ctl_print_version(stdout);
		return CTL_OK;
	}
	if (ctl->help && ctl->verb)
		ctl_help_verb(stdout, ctl->verb);
	else if (ctl->help)
		ctl_help_all(stdout);
	else
		return ctl->verb->run(ctl);
	return CTL_OK;
}

int main(int argc, char **argv)
{
	struct ctl ctl = {0};
	int r = main_run(&ctl, argc, argv);

	if (fflush(stdout) != 0 || ferror(stdout)) {
		ctl_warn("cannot write the output: %s", strerror(errno));
		if (r == CTL_OK)
			r = CTL_FAILED;
	}
	ctl_done(&ctl);
	return r;
}
