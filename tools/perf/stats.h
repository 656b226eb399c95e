/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Latency histogram: log-linear, so that recording is a handful of instructions and the error of a
 * percentile is below 1 % of its value at any magnitude. Pure.
 */
#pragma once

#include <stdint.h>

#define STATS_SUB_BITS 6 /* values below 2^7 are exact; above, 64 buckets per power of two */
#define STATS_BUCKETS  ((64 - STATS_SUB_BITS + 1) << STATS_SUB_BITS)

/* All zero is empty. */
struct stats_histogram {
	uint64_t count;
	uint64_t sum;
	uint64_t min; /* valid when count > 0 */
	uint64_t max;
	uint64_t buckets[STATS_BUCKETS];
};

struct stats_summary {
	uint64_t count;
	uint64_t min;
	uint64_t max;
	uint64_t p50;
	uint64_t p90;
	uint64_t p99;
	uint64_t p999;
	double mean;
};

/* The bucket of @value. */
static inline unsigned stats_bucket(uint64_t value)
{
	unsigned top = 63 - (unsigned)__builtin_clzll(value | 1);
	unsigned shift = top > STATS_SUB_BITS ? top - STATS_SUB_BITS : 0;

	return (shift << STATS_SUB_BITS) + (unsigned)(value >> shift);
}

/* Adds one value. */
static inline void stats_record(struct stats_histogram *h, uint64_t value)
{
	if (h->count == 0 || value < h->min)
		h->min = value;
	if (value > h->max)
		h->max = value;
	h->count++;
	h->sum += value;
	h->buckets[stats_bucket(value)]++;
}

/* Adds all values of @from to @to. */
void stats_merge(struct stats_histogram *to, const struct stats_histogram *from);

/*
 * The value below or at which @per_mille of the values lie: the middle of its bucket, kept within
 * minimum and maximum. 0 when the histogram is empty.
 */
uint64_t stats_percentile(const struct stats_histogram *h, unsigned per_mille);

/* All that reports show of a histogram. */
void stats_summarize(const struct stats_histogram *h, struct stats_summary *ret_summary);
