/* SPDX-License-Identifier: BSD-3-Clause */
/* Text and JSON about a run. See report.h. */
#include "report.h"

#include <stdio.h>
#include <stdlib.h>

void report_check(const struct conform_options *options, const struct check *check,
		  const struct finding *finding)
{
	if (options->json)
		return;
	printf("%-8s%-18s", verdict_outcome_name(finding->outcome), check->name);
	printf("%s\n", finding->outcome == OUTCOME_OK ? check->meaning : finding->reason);
	fflush(stdout);
}

int report_end(const struct conform_options *options, const struct finding *findings)
{
	unsigned count[OUTCOME_COUNT] = {0};
	json_t *checks = json_array();

	for (size_t i = 0; i < check_count; i++) {
		const struct finding *f = &findings[i];

		count[f->outcome]++;
		if (f->outcome == OUTCOME_NONE)
			continue;
		json_array_append_new(checks,
				      json_pack("{s:s,s:s,s:s*}", "name", check_table[i].name,
						"outcome", verdict_outcome_name(f->outcome),
						"reason", f->reason[0] ? f->reason : NULL));
	}
	if (options->json) {
		json_t *all =
			json_pack("{s:s,s:s,s:I,s:i,s:i,s:i,s:O}", "driver", options->name, "path",
				  options->path, "seed", (json_int_t)options->seed, "ok",
				  (int)count[OUTCOME_OK], "failed", (int)count[OUTCOME_FAILED],
				  "skipped", (int)count[OUTCOME_SKIPPED], "checks", checks);

		json_dumpf(all, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
		puts("");
		json_decref(all);
	} else {
		printf("%s: %u ok, %u failed, %u skipped\n", options->name, count[OUTCOME_OK],
		       count[OUTCOME_FAILED], count[OUTCOME_SKIPPED]);
	}
	json_decref(checks);
	return count[OUTCOME_FAILED] > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

void report_list(const struct conform_options *options)
{
	json_t *list = json_array();

	for (size_t i = 0; i < check_count; i++) {
		const struct check *c = &check_table[i];

		if (options->json)
			json_array_append_new(list, json_pack("{s:s,s:s}", "name", c->name,
							      "meaning", c->meaning));
		else
			printf("%-18s%s\n", c->name, c->meaning);
	}
	if (options->json) {
		json_dumpf(list, stdout, JSON_INDENT(2));
		puts("");
	}
	json_decref(list);
}
