/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading a latency histogram. See stats.h. */
#include "stats.h"

#include <string.h>

void stats_merge(struct stats_histogram *to, const struct stats_histogram *from)
{
	if (from->count == 0)
		return;
	if (to->count == 0 || from->min < to->min)
		to->min = from->min;
	if (from->max > to->max)
		to->max = from->max;
	to->count += from->count;
	to->sum += from->sum;
	for (unsigned i = 0; i < STATS_BUCKETS; i++)
		to->buckets[i] += from->buckets[i];
}

/* The middle of bucket @index. Buckets of one power of two follow those of the one before. */
static uint64_t stats_bucket_middle(unsigned index)
{
	unsigned shift = 0;
	uint64_t first = index;

	if (index >= 2u << STATS_SUB_BITS) {
		shift = (index >> STATS_SUB_BITS) - 1;
		first = index - ((uint64_t)shift << STATS_SUB_BITS);
	}
	return (first << shift) + ((1ULL << shift) - 1) / 2;
}

uint64_t stats_percentile(const struct stats_histogram *h, unsigned per_mille)
{
	uint64_t rank;
	uint64_t seen = 0;
	uint64_t value;
	unsigned i = 0;

	if (h->count == 0)
		return 0;
	/* How many values lie at or below it, without a product that could overflow. */
	rank = h->count / 1000 * per_mille + (h->count % 1000 * per_mille + 999) / 1000;
	if (rank == 0)
		rank = 1;
	for (i = 0; i < STATS_BUCKETS - 1; i++) {
		seen += h->buckets[i];
		if (seen >= rank)
			break;
	}
	value = stats_bucket_middle(i);
	if (value < h->min)
		return h->min;
	return value > h->max ? h->max : value;
}

void stats_summarize(const struct stats_histogram *h, struct stats_summary *ret_summary)
{
	memset(ret_summary, 0, sizeof(*ret_summary));
	if (h->count == 0)
		return;
	ret_summary->count = h->count;
	ret_summary->min = h->min;
	ret_summary->max = h->max;
	ret_summary->p50 = stats_percentile(h, 500);
	ret_summary->p90 = stats_percentile(h, 900);
	ret_summary->p99 = stats_percentile(h, 990);
	ret_summary->p999 = stats_percentile(h, 999);
	ret_summary->mean = (double)h->sum / (double)h->count;
}
