/* SPDX-License-Identifier: BSD-3-Clause */
/* Percentiles of waiting. See wait.h. */
#include "wait.h"

#include <errno.h>

#define WAIT_SIZE_MIN 16u

/* The row of a value, and in *@ret_column its place there. Row 0 counts one value per bucket. */
static unsigned wait_bucket(uint64_t value, unsigned *ret_column)
{
	unsigned top = 63 - (unsigned)__builtin_clzll(value | 1);
	unsigned row = top < WAIT_SUB_BITS ? 0 : top - WAIT_SUB_BITS + 1;

	*ret_column = (unsigned)(value >> (row ? row - 1 : 0)) & (WAIT_PER_ROW - 1);
	return row;
}

static uint64_t wait_bucket_middle(unsigned row, unsigned column)
{
	unsigned shift = row ? row - 1 : 0;

	if (row == 0)
		return column;
	return (((uint64_t)WAIT_PER_ROW | column) << shift) + ((1ULL << shift) - 1) / 2;
}

static int wait_take(struct wait_budget *budget, size_t bytes)
{
	if (bytes > budget->limit_bytes - budget->used_bytes)
		return -EDQUOT;
	budget->used_bytes += bytes;
	return 0;
}

static int wait_count(struct wait_times *times, uint64_t value, struct wait_budget *budget)
{
	unsigned column;
	unsigned row = wait_bucket(value, &column);

	if (!times->counts[row]) {
		int r = wait_take(budget, WAIT_PER_ROW * sizeof(uint32_t));

		if (r < 0)
			return r;
		times->counts[row] = calloc(WAIT_PER_ROW, sizeof(uint32_t));
		if (!times->counts[row])
			return -ENOMEM;
	}
	if (times->counts[row][column] == UINT32_MAX)
		return -EDQUOT;
	times->counts[row][column]++;
	return 0;
}

/* From values to counts. */
static int wait_convert(struct wait_times *times, struct wait_budget *budget)
{
	umdev_autofree uint64_t *values = NULL;
	int r = wait_take(budget, WAIT_ROWS * sizeof(*times->counts));

	if (r < 0)
		return r;
	times->counts = calloc(WAIT_ROWS, sizeof(*times->counts));
	if (!times->counts)
		return -ENOMEM;
	values = umdev_steal_ptr(&times->values);
	budget->used_bytes -= times->size * sizeof(*values);
	times->size = 0;
	for (uint64_t i = 0; i < times->count && r == 0; i++)
		r = wait_count(times, values[i], budget);
	return r;
}

static int wait_grow(struct wait_times *times, struct wait_budget *budget)
{
	size_t size = MIN(MAX(2 * times->size, (size_t)WAIT_SIZE_MIN), (size_t)WAIT_EXACT);
	uint64_t *values;
	int r = wait_take(budget, (size - times->size) * sizeof(*values));

	if (r < 0)
		return r;
	values = reallocarray(times->values, size, sizeof(*values));
	if (!values)
		return -ENOMEM;
	times->values = values;
	times->size = size;
	return 0;
}

int wait_add(struct wait_times *times, uint64_t wait_ns, struct wait_budget *budget)
{
	int r = 0;

	if (!times->counts && times->count == WAIT_EXACT)
		r = wait_convert(times, budget);
	else if (!times->counts && times->count == times->size)
		r = wait_grow(times, budget);
	if (r == 0 && times->counts)
		r = wait_count(times, wait_ns, budget);
	if (r < 0)
		return r;
	if (!times->counts)
		times->values[times->count] = wait_ns;
	times->count++;
	times->sum_ns += wait_ns;
	times->max_ns = MAX(times->max_ns, wait_ns);
	return 0;
}

static int wait_compare(const void *a, const void *b)
{
	const uint64_t *x = a;
	const uint64_t *y = b;

	return *x < *y ? -1 : *x > *y;
}

uint64_t wait_percentile(struct wait_times *times, unsigned per_mille)
{
	uint64_t rank;
	uint64_t seen = 0;

	if (times->count == 0)
		return 0;
	rank = times->count / 1000 * per_mille + (times->count % 1000 * per_mille + 999) / 1000;
	rank = MAX(rank, (uint64_t)1);
	if (!times->counts) {
		qsort(times->values, times->count, sizeof(*times->values), wait_compare);
		return times->values[rank - 1];
	}
	for (unsigned row = 0; row < WAIT_ROWS; row++) {
		for (unsigned column = 0; times->counts[row] && column < WAIT_PER_ROW; column++) {
			seen += times->counts[row][column];
			if (seen >= rank)
				return MIN(wait_bucket_middle(row, column), times->max_ns);
		}
	}
	return times->max_ns;
}

void wait_done(struct wait_times *times)
{
	free(times->values);
	for (unsigned row = 0; times->counts && row < WAIT_ROWS; row++)
		free(times->counts[row]);
	free(times->counts);
	*times = (struct wait_times){0};
}
