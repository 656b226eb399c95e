/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How long the jobs of one mdev waited. The first few thousand values are kept as they are; beyond
 * that they are counted in buckets, 1024 per power of two, whose middle is off by less than 0.05 %.
 * A bucket's power of two takes memory when it is first needed.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "util/cleanup.h"

#define WAIT_EXACT    4096u /* values kept before they are counted */
#define WAIT_SUB_BITS 10
#define WAIT_PER_ROW  (1u << WAIT_SUB_BITS)
#define WAIT_ROWS     (64 - WAIT_SUB_BITS + 1)

/* What all mdevs together may take. */
struct wait_budget {
	size_t used_bytes;
	size_t limit_bytes;
};

/* All zero is empty. */
struct wait_times {
	uint64_t count;
	unsigned __int128 sum_ns;
	uint64_t max_ns;
	uint64_t *values;  /* or NULL once they are counted */
	uint32_t **counts; /* WAIT_ROWS rows, each NULL or WAIT_PER_ROW counts */
	size_t size;	   /* of values */
};

/* Adds one. Returns 0, -ENOMEM, or -EDQUOT when @budget is used up. */
int wait_add(struct wait_times *times, uint64_t wait_ns,
	     struct wait_budget *budget) umdev_warn_unused;

/* The value below or at which @per_mille of them lie; 0 when there are none. Sorts them. */
uint64_t wait_percentile(struct wait_times *times, unsigned per_mille);

/* Frees what it holds. */
void wait_done(struct wait_times *times);
