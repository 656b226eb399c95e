/* SPDX-License-Identifier: BSD-3-Clause */
/* umdevctl help [VERB]: as --help does; for "parent", all of its verbs. */
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"

int ctl_help(struct ctl *ctl)
{
	const char *first = ctl->operands[0];
	const char *second = ctl->n_operands > 1 ? ctl->operands[1] : NULL;
	const struct ctl_verb *verb;
	bool two = false;
	size_t len;

	if (!first) {
		ctl_help_all(stdout);
		return CTL_OK;
	}
	verb = ctl_verb_find(first, second, &two);
	if (verb && (two || !second)) {
		ctl_help_verb(stdout, verb);
		return CTL_OK;
	}
	if (second || !ctl_verb_has_second(first))
		return ctl_usage(ctl, "there is no verb '%s%s%s'", first, second ? " " : "",
				 second ? second : "");
	len = strlen(first);
	for (verb = ctl_verbs; verb->name; verb++) {
		if (strncmp(verb->name, first, len) == 0 && verb->name[len] == ' ')
			printf("  %-16s %s\n", verb->name, verb->summary);
	}
	return CTL_OK;
}
