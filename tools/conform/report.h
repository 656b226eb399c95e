/* SPDX-License-Identifier: BSD-3-Clause */
/* What a run found, as text or JSON. */
#pragma once

#include "check.h"
#include "verdict.h"

/* The end of one check. */
struct finding {
	enum outcome outcome;
	char reason[VERDICT_TEXT];
};

/* One line about the check, as it ends; nothing for JSON. */
void report_check(const struct conform_options *options, const struct check *check,
		  const struct finding *finding);

/* The end of the run; @findings has one for each check of the table, OUTCOME_NONE for one that was
 * not wanted. Returns the exit status. */
int report_end(const struct conform_options *options, const struct finding *findings);

/* Names and meanings of all checks. */
void report_list(const struct conform_options *options);
