/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a parent owes each of those admitted to it when all of them have work at once.
 *
 * Weights divide, caps bound, and what a cap leaves goes to the others: water-filling. It has two
 * levels. Mdevs without a group and groups compete for the parent; the members of a group compete
 * for what it gets. A group counts once, however many members it has; its cap and those of its
 * members are parts of the whole parent. It is what the scheduler (qos/) gives in the long run to
 * those that always have work, in numbers that can be promised.
 *
 * Whole numbers, the same on every machine: at each level what does not divide goes in single units
 * to the largest remainders, at equal ones to who stands first. So nothing is lost: the shares add
 * up to the whole unless caps forbid it. A larger weight or cap of one's own is never worth less,
 * and one of somebody else's never more than a unit. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/cleanup.h"

#define SHARE_WHOLE	     1000000000u	    /* a share is a number of 10^-9 of the parent */
#define SHARE_PER_HUNDREDTH  (SHARE_WHOLE / 10000u) /* of a percent, in which knobs are given */
#define SHARE_NO_GROUP	     UINT32_MAX
#define SHARE_PERCENT_SIZE   16
#define SHARE_ARITHMETIC_MAX 256

/* One mdev. */
struct share_member {
	uint32_t weight; /* KNOBS_WEIGHT_MIN..KNOBS_WEIGHT_MAX */
	uint32_t cap;	 /* hundredths of a percent of the parent; KNOBS_CAP_NONE: no bound */
	uint32_t group;	 /* an index, or SHARE_NO_GROUP */
	uint32_t share;	 /* result, in 10^-9 */
	bool capped;	 /* result: the cap is what bounds it */
};

/* One group; those without members get nothing. */
struct share_group {
	uint32_t weight;
	uint32_t cap;
	uint32_t share; /* result: what its members share */
	bool capped;	/* result: its cap, or those of all its members, bound it */
};

/* Fills the results. Returns 0, -ENOMEM, or -EINVAL for an index beyond @group_count. */
int share_compute(struct share_member *members, size_t count, struct share_group *groups,
		  size_t group_count) umdev_warn_unused;

/*
 * Writes how the share of member @who comes about, after share_compute(), for a person:
 * "100 / (100 + 300 + 100) = 20 %". Long sums are abbreviated.
 */
void share_explain(const struct share_member *members, size_t count,
		   const struct share_group *groups, size_t group_count, size_t who,
		   char ret_text[SHARE_ARITHMETIC_MAX]);

/* A share as percent with at most two decimals, cut and not rounded: what it says can be promised.
 */
void share_percent(uint32_t share, char ret_text[SHARE_PERCENT_SIZE]);

/* The most hundredths of a percent that @share is worth. */
uint32_t share_hundredths(uint32_t share);
