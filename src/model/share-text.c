/* SPDX-License-Identifier: BSD-3-Clause */
/* The arithmetic of a share, in words. See share.h. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "model/share.h"

#define SHARE_TERMS_MAX 6 /* of a sum that is written out */

/* The rest of a text in a fixed buffer; what does not fit is left out. */
static void share_append(char *text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void share_append(char *text, const char *fmt, ...)
{
	size_t used = strlen(text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text + used, SHARE_ARITHMETIC_MAX - used, fmt, ap);
	va_end(ap);
}

static void share_append_percent(char *text, uint32_t share)
{
	char percent[SHARE_PERCENT_SIZE];

	share_percent(share, percent);
	share_append(text, "%s %%", percent);
}

/* A sum of weights: the own one first, then those of the others in their order. */
struct share_sum {
	uint64_t terms[SHARE_TERMS_MAX];
	uint64_t sum;	 /* of all */
	uint64_t capped; /* shares of those that their caps bound */
	size_t count;	 /* terms, written out or not */
};

static void share_sum_add(struct share_sum *sum, uint64_t weight, uint32_t share, bool capped)
{
	if (capped) {
		sum->capped += share;
		return;
	}
	if (sum->count < SHARE_TERMS_MAX)
		sum->terms[sum->count] = weight;
	sum->count++;
	sum->sum += weight;
}

/* "w / (w + a + b)", of what caps leave of @whole. */
static void share_append_division(char *text, const struct share_sum *sum, uint32_t whole)
{
	if (sum->capped) {
		share_append(text, "(");
		share_append_percent(text, whole);
		share_append(text, " - ");
		share_append_percent(text, (uint32_t)sum->capped);
		share_append(text, " that caps bound) x ");
	} else if (whole != SHARE_WHOLE) {
		share_append_percent(text, whole);
		share_append(text, " x ");
	}
	share_append(text, "%llu / ", (unsigned long long)sum->terms[0]);
	if (sum->count == 1) {
		share_append(text, "%llu", (unsigned long long)sum->terms[0]);
		return;
	}
	share_append(text, "(%llu", (unsigned long long)sum->terms[0]);
	if (sum->count > SHARE_TERMS_MAX) {
		share_append(text, " + %llu of %zu others",
			     (unsigned long long)(sum->sum - sum->terms[0]), sum->count - 1);
	} else {
		for (size_t i = 1; i < sum->count; i++)
			share_append(text, " + %llu", (unsigned long long)sum->terms[i]);
	}
	share_append(text, ")");
}

/* The contest for the parent, from the view of member @who or, when that has one, of its group. */
static void share_explain_top(const struct share_member *members, size_t count,
			      const struct share_group *groups, size_t group_count, size_t who,
			      char *text)
{
	const struct share_member *me = &members[who];
	struct share_sum sum = {0};

	if (me->group == SHARE_NO_GROUP)
		share_sum_add(&sum, me->weight, 0, false);
	else
		share_sum_add(&sum, groups[me->group].weight, 0, false);
	for (size_t i = 0; i < count; i++) {
		if (i != who && members[i].group == SHARE_NO_GROUP)
			share_sum_add(&sum, members[i].weight, members[i].share, members[i].capped);
	}
	for (size_t g = 0; g < group_count; g++) {
		if (g != me->group && groups[g].share > 0)
			share_sum_add(&sum, groups[g].weight, groups[g].share, groups[g].capped);
	}
	share_append_division(text, &sum, SHARE_WHOLE);
	share_append(text, " = ");
	share_append_percent(text,
			     me->group == SHARE_NO_GROUP ? me->share : groups[me->group].share);
}

/* The contest within the group of @who. */
static void share_explain_inner(const struct share_member *members, size_t count, uint32_t whole,
				size_t who, char *text)
{
	struct share_sum sum = {0};

	share_sum_add(&sum, members[who].weight, 0, false);
	for (size_t i = 0; i < count; i++) {
		if (i != who && members[i].group == members[who].group)
			share_sum_add(&sum, members[i].weight, members[i].share, members[i].capped);
	}
	share_append_division(text, &sum, whole);
	share_append(text, " = ");
	share_append_percent(text, members[who].share);
}

void share_explain(const struct share_member *members, size_t count,
		   const struct share_group *groups, size_t group_count, size_t who,
		   char ret_text[SHARE_ARITHMETIC_MAX])
{
	const struct share_member *me = &members[who];

	ret_text[0] = '\0';
	if (me->capped) {
		share_append(ret_text, "its cap = ");
		share_append_percent(ret_text, me->share);
		return;
	}
	if (me->group == SHARE_NO_GROUP) {
		share_explain_top(members, count, groups, group_count, who, ret_text);
		return;
	}
	share_append(ret_text, "its group ");
	if (groups[me->group].capped) {
		share_append(ret_text, "by its cap ");
		share_append_percent(ret_text, groups[me->group].share);
	} else {
		share_explain_top(members, count, groups, group_count, who, ret_text);
	}
	share_append(ret_text, ", of it ");
	share_explain_inner(members, count, groups[me->group].share, who, ret_text);
}
