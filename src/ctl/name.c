/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The name that this program was called by. As mdevctl it stands in the place of that program,
 * under libvirt or scripts that were written for it; as lsmdev it is "mdevctl list".
 */
#include <errno.h>
#include <string.h>

#include "ctl/ctl.h"

/* The version of mdevctl whose command line is followed. */
#define NAME_MDEVCTL_VERSION "1.4.0"

const char *ctl_name(void)
{
	static const char *const others[] = {"mdevctl", "lsmdev"};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		if (strcmp(program_invocation_short_name, others[i]) == 0)
			return others[i];
	}
	return "umdevctl";
}

bool ctl_is_mdevctl(void)
{
	return strcmp(ctl_name(), "umdevctl") != 0;
}

const struct ctl_verb *ctl_name_verb(void)
{
	bool two;

	return strcmp(ctl_name(), "lsmdev") == 0 ? ctl_verb_find("list", NULL, &two) : NULL;
}

void ctl_print_version(FILE *out)
{
	/* Who reads it looks at the second word. */
	if (ctl_is_mdevctl())
		fprintf(out, "%s %s (umdevctl %s)\n", ctl_name(), NAME_MDEVCTL_VERSION,
			UMDEV_VERSION);
	else
		fprintf(out, "umdevctl %s\n", UMDEV_VERSION);
}
