/* SPDX-License-Identifier: BSD-3-Clause */
/* Water-filling on two levels. See share.h. */
#include "model/share.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/knobs.h"

/* A competitor of one contest. */
struct share_node {
	uint64_t weight;
	uint64_t cap; /* in shares */
	uint64_t share;
	uint64_t remainder; /* of the division; 0 while capped */
	uint32_t index;	    /* of the member or group it stands for */
	bool capped;
};

static uint64_t share_cap(uint32_t hundredths)
{
	return (uint64_t)hundredths * SHARE_PER_HUNDREDTH;
}

/* ---- One contest ----------------------------------------------------------------------------- */

/* Who reaches its cap first when all rise together in proportion to their weights. */
static int share_by_cap(const void *a, const void *b)
{
	const struct share_node *x = a;
	const struct share_node *y = b;
	uint64_t of_x = x->cap * y->weight; /* at most 10^9 * 10^4 */
	uint64_t of_y = y->cap * x->weight;

	if (of_x != of_y)
		return of_x < of_y ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static int share_by_remainder(const void *a, const void *b)
{
	const struct share_node *x = a;
	const struct share_node *y = b;

	if (x->remainder != y->remainder)
		return x->remainder > y->remainder ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

/* Divides @whole among @nodes, whose order it changes. */
static void share_divide(struct share_node *nodes, size_t count, uint64_t whole)
{
	uint64_t weights = 0;
	size_t first = 0;
	uint64_t left;

	for (size_t i = 0; i < count; i++)
		weights += nodes[i].weight;
	if (count > 0)
		qsort(nodes, count, sizeof(*nodes), share_by_cap);
	/* At most 10^9 * (65536 * 10^4) on the left. */
	for (; first < count && nodes[first].cap * weights <= whole * nodes[first].weight;
	     first++) {
		nodes[first].share = nodes[first].cap;
		nodes[first].capped = nodes[first].cap < SHARE_WHOLE;
		whole -= nodes[first].cap;
		weights -= nodes[first].weight;
	}
	left = first < count ? whole : 0;
	for (size_t i = first; i < count; i++) {
		nodes[i].share = whole * nodes[i].weight / weights;
		nodes[i].remainder = whole * nodes[i].weight % weights;
		left -= nodes[i].share;
	}
	if (first < count)
		qsort(nodes + first, count - first, sizeof(*nodes), share_by_remainder);
	/* Fewer than there are nodes, and a cap is a whole number above what was cut. */
	for (size_t i = first; left > 0; i++, left--)
		nodes[i].share++;
}

/* ---- Two levels ------------------------------------------------------------------------------ */

/* The nodes that compete for the parent, and how many. */
static size_t share_top(const struct share_member *members, size_t count,
			const struct share_group *groups, size_t group_count,
			struct share_node *nodes)
{
	size_t n = group_count;
	size_t kept = 0;

	for (size_t g = 0; g < group_count; g++)
		nodes[g] = (struct share_node){.weight = groups[g].weight, .index = (uint32_t)g};
	for (size_t i = 0; i < count; i++) {
		if (members[i].group == SHARE_NO_GROUP)
			nodes[n++] = (struct share_node){
				.weight = members[i].weight,
				.cap = share_cap(members[i].cap),
				.index = (uint32_t)(group_count + i),
			};
		else /* what all members may have together */
			nodes[members[i].group].cap += share_cap(members[i].cap);
	}
	for (size_t i = 0; i < n; i++) {
		if (i < group_count)
			nodes[i].cap = MIN(nodes[i].cap, share_cap(groups[i].cap));
		if (nodes[i].cap > 0)
			nodes[kept++] = nodes[i];
	}
	return kept;
}

/* Divides what each group got. @nodes has room for all members. */
static void share_inner(struct share_member *members, size_t count,
			const struct share_group *groups, struct share_node *nodes)
{
	size_t n = 0;
	size_t begin = 0;

	for (size_t i = 0; i < count; i++) {
		if (members[i].group != SHARE_NO_GROUP)
			nodes[n++] = (struct share_node){.remainder = members[i].group,
							 .index = (uint32_t)i};
	}
	if (n > 0) /* by group: the larger number first, then in order */
		qsort(nodes, n, sizeof(*nodes), share_by_remainder);
	while (begin < n) {
		uint64_t group = nodes[begin].remainder;
		size_t end = begin;

		for (; end < n && nodes[end].remainder == group; end++) {
			nodes[end].weight = members[nodes[end].index].weight;
			nodes[end].cap = share_cap(members[nodes[end].index].cap);
		}
		for (size_t i = begin; i < end; i++)
			nodes[i].remainder = 0;
		share_divide(nodes + begin, end - begin, groups[group].share);
		begin = end;
	}
	for (size_t i = 0; i < n; i++) {
		members[nodes[i].index].share = (uint32_t)nodes[i].share;
		members[nodes[i].index].capped = nodes[i].capped;
	}
}

int share_compute(struct share_member *members, size_t count, struct share_group *groups,
		  size_t group_count)
{
	umdev_autofree struct share_node *nodes = NULL;
	size_t n;

	for (size_t i = 0; i < count; i++) {
		members[i].share = 0;
		members[i].capped = false;
		if (members[i].group != SHARE_NO_GROUP && members[i].group >= group_count)
			return -EINVAL;
	}
	for (size_t g = 0; g < group_count; g++) {
		groups[g].share = 0;
		groups[g].capped = false;
	}
	nodes = calloc(count + group_count + 1, sizeof(*nodes));
	if (!nodes)
		return -ENOMEM;
	n = share_top(members, count, groups, group_count, nodes);
	share_divide(nodes, n, SHARE_WHOLE);
	for (size_t i = 0; i < n; i++) {
		uint32_t index = nodes[i].index;

		if (index < group_count) {
			groups[index].share = (uint32_t)nodes[i].share;
			groups[index].capped = nodes[i].capped;
		} else {
			members[index - group_count].share = (uint32_t)nodes[i].share;
			members[index - group_count].capped = nodes[i].capped;
		}
	}
	share_inner(members, count, groups, nodes);
	return 0;
}

uint32_t share_hundredths(uint32_t share)
{
	return share / SHARE_PER_HUNDREDTH;
}

void share_percent(uint32_t share, char ret_text[SHARE_PERCENT_SIZE])
{
	static_assert(SHARE_PERCENT_SIZE >= KNOBS_PERCENT_SIZE, "a percentage fits");
	knobs_percent(share_hundredths(share), ret_text);
}
