/* SPDX-License-Identifier: BSD-3-Clause */
/* A plan in words. See plan.h. */
#include <stdio.h>
#include <string.h>

#include "ctl/plan.h"

#define PLAN_PERCENT_SIZE 32

/* A share as text, cut after two decimals as the daemon does: what it says can be promised. */
static void plan_percent(const json_t *share, char text[PLAN_PERCENT_SIZE])
{
	/* The daemon's numbers are whole 10^-7 of a percent. */
	long long hundredths = (long long)(json_number_value(share) * 1e7 + 0.5) / 100000;

	if (hundredths % 100 == 0)
		snprintf(text, PLAN_PERCENT_SIZE, "%lld %%", hundredths / 100);
	else if (hundredths % 10 == 0)
		snprintf(text, PLAN_PERCENT_SIZE, "%lld.%lld %%", hundredths / 100,
			 hundredths % 100 / 10);
	else
		snprintf(text, PLAN_PERCENT_SIZE, "%lld.%02lld %%", hundredths / 100,
			 hundredths % 100);
}

static long long plan_number(const json_t *object, const char *key)
{
	return (long long)json_integer_value(json_object_get(object, key));
}

/* One parent that was looked at, and what came of it. */
static void plan_print_candidate(const json_t *candidate, bool chosen)
{
	bool fits = json_is_true(json_object_get(candidate, "fits"));

	printf("  %c %-16s ", chosen ? '*' : ' ', ctl_text(candidate, "parent"));
	if (json_object_get(candidate, "instances"))
		printf("%5lld left  ", plan_number(candidate, "instances"));
	if (json_object_get(candidate, "arithmetic"))
		printf("%s", ctl_text(candidate, "arithmetic"));
	if (!fits)
		printf("%s%s: %s", json_object_get(candidate, "arithmetic") ? "\n      " : "",
		       ctl_text(candidate, "word"), ctl_text(candidate, "message"));
	printf("\n");
}

static void plan_print_mdev(const json_t *mdev)
{
	const json_t *candidates = json_object_get(mdev, "candidates");
	const char *parent = ctl_text(mdev, "parent");
	const char *type = ctl_text(mdev, "type");
	char share[PLAN_PERCENT_SIZE];
	const json_t *candidate;
	size_t i;

	plan_percent(json_object_get(mdev, "share"), share);
	printf("%s  %s  ", ctl_text(mdev, "uuid"), type[0] ? type : ctl_text(mdev, "type_name"));
	if (parent[0])
		printf("on %s with %s of it\n", parent, share);
	else if (json_array_size(candidates) == 0)
		printf("nowhere: %s\n", ctl_text(mdev, "message"));
	else
		printf("nowhere\n");
	json_array_foreach (candidates, i, candidate)
		plan_print_candidate(candidate, strcmp(ctl_text(candidate, "parent"), parent) == 0);
}

/* Who would have what of one parent. */
static void plan_print_shares(const json_t *parent)
{
	const json_t *mdevs = json_object_get(parent, "mdevs");
	const json_t *mdev;
	size_t i;

	printf("%s (%s)\n", ctl_text(parent, "parent"), ctl_text(parent, "admission"));
	if (json_array_size(mdevs) == 0)
		printf("  nobody\n");
	json_array_foreach (mdevs, i, mdev) {
		bool is_new = strcmp(ctl_text(mdev, "state"), "new") == 0;
		char texts[4][PLAN_PERCENT_SIZE];

		plan_percent(json_object_get(mdev, "cap"), texts[0]);
		plan_percent(json_object_get(mdev, "min_share"), texts[1]);
		plan_percent(json_object_get(mdev, "share_now"), texts[2]);
		plan_percent(json_object_get(mdev, "share_then"), texts[3]);
		printf("  %-36s  %-8s  %5lld  %7s  %7s  %7s -> %s\n", ctl_text(mdev, "uuid"),
		       ctl_text(mdev, "state"), plan_number(mdev, "weight"), texts[0],
		       json_number_value(json_object_get(mdev, "min_share")) > 0 ? texts[1] : "-",
		       is_new ? "-" : texts[2], texts[3]);
	}
	if (json_object_get(parent, "left_out"))
		printf("  and %lld more\n", plan_number(parent, "left_out"));
}

static void plan_print_changes(const json_t *plan)
{
	const json_t *change = json_object_get(plan, "change");
	const json_t *other;
	size_t i;

	if (change)
		printf("\nIt does not fit. The smallest change with which it would: %s.\n",
		       ctl_text(change, "message"));
	else
		printf("\nIt does not fit, and no single change%s makes it fit.\n",
		       json_is_false(json_object_get(plan, "searched"))
			       ? " that could be tried in time"
			       : "");
	json_array_foreach (json_object_get(plan, "other_changes"), i, other)
		printf("%s %s.\n", i ? "           " : "Or instead:", ctl_text(other, "message"));
}

void plan_print(const json_t *plan)
{
	const json_t *shares = json_object_get(plan, "shares");
	const json_t *one;
	size_t i;

	json_array_foreach (json_object_get(plan, "mdevs"), i, one)
		plan_print_mdev(one);
	if (json_array_size(shares) > 0)
		printf("\n  %-36s  %-8s  %6s %7s  %8s  %s\n", "then", "state", "weight", "cap",
		       "promised", " share");
	json_array_foreach (shares, i, one)
		plan_print_shares(one);
	if (!json_is_true(json_object_get(plan, "fits")))
		plan_print_changes(plan);
}

void plan_tell_placement(const struct ctl *ctl, const json_t *mdev)
{
	const json_t *placement = json_object_get(mdev, "placement");
	size_t count = json_array_size(json_object_get(placement, "candidates"));

	if (!placement || ctl->json || ctl_is_mdevctl())
		return;
	fprintf(stderr, "%s: placed on %s, of %zu %s by %s: %s\n", ctl_name(),
		ctl_text(placement, "parent"), count, count == 1 ? "parent" : "parents",
		ctl_text(placement, "policy"), ctl_text(placement, "arithmetic"));
}
