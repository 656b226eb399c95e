/* SPDX-License-Identifier: BSD-3-Clause */
/* The histogram against exact percentiles of the same values. */
#include "stats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "random.h"
#include "util/cleanup.h"

#define VALUES 20000u

static struct stats_histogram h;

static int clear(void **state)
{
	memset(&h, 0, sizeof(h));
	return 0;
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a;
	const uint64_t *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Buckets are in order, without gaps, and narrow. */
static void test_buckets(void **state)
{
	unsigned last = 0;

	for (uint64_t v = 0; v < 128; v++)
		assert_int_equal(stats_bucket(v), v);
	for (unsigned bit = 7; bit < 64; bit++) {
		for (unsigned part = 0; part < 64; part++) {
			uint64_t first = (1ULL << bit) + ((uint64_t)part << (bit - 6));
			uint64_t end = first + (1ULL << (bit - 6)) - 1;

			assert_int_equal(stats_bucket(first), stats_bucket(end));
			assert_int_equal(stats_bucket(first - 1) + 1, stats_bucket(first));
			last = stats_bucket(end);
		}
	}
	assert_int_equal(last, STATS_BUCKETS - 1);
	assert_int_equal(stats_bucket(UINT64_MAX), STATS_BUCKETS - 1);
}

static void test_empty(void **state)
{
	struct stats_summary s;

	stats_summarize(&h, &s);
	assert_int_equal(s.count, 0);
	assert_int_equal(s.p90, 0);
	assert_int_equal(s.p999, 0);
	assert_int_equal(stats_percentile(&h, 500), 0);
}

static void test_one_value(void **state)
{
	struct stats_summary s;

	stats_record(&h, 123456789);
	stats_summarize(&h, &s);
	assert_int_equal(s.min, 123456789);
	assert_int_equal(s.max, 123456789);
	assert_int_equal(s.p50, 123456789);
	assert_int_equal(s.p999, 123456789);
	assert_true(s.mean > 123456788.5 && s.mean < 123456789.5);
}

/* Values below 128 have buckets of their own, so ranks can be checked exactly. */
static void test_ranks(void **state)
{
	struct stats_summary s;

	for (uint64_t v = 1; v <= 100; v++)
		stats_record(&h, v);
	assert_int_equal(stats_percentile(&h, 0), 1);
	assert_int_equal(stats_percentile(&h, 10), 1);
	assert_int_equal(stats_percentile(&h, 11), 2);
	assert_int_equal(stats_percentile(&h, 500), 50);
	stats_summarize(&h, &s);
	assert_int_equal(s.p50, 50);
	assert_int_equal(s.p90, 90);
	assert_int_equal(s.p99, 99);
	assert_int_equal(s.p999, 100);
	assert_int_equal(stats_percentile(&h, 990), 99);
	assert_int_equal(stats_percentile(&h, 999), 100);
	assert_int_equal(stats_percentile(&h, 1000), 100);
}

static void test_against_sorting(void **state)
{
	static uint64_t values[VALUES];
	static const unsigned ranks[] = {10, 250, 500, 900, 990, 999};
	uint64_t rng = 7;

	for (unsigned i = 0; i < VALUES; i++) {
		values[i] = random_next(&rng) >> (20 + random_below(&rng, 40));
		stats_record(&h, values[i]);
	}
	qsort(values, VALUES, sizeof(values[0]), compare);
	for (unsigned i = 0; i < ARRAY_SIZE(ranks); i++) {
		uint64_t exact = values[VALUES / 1000 * ranks[i] - 1];
		uint64_t found = stats_percentile(&h, ranks[i]);
		uint64_t error = found > exact ? found - exact : exact - found;

		print_message("%u per mille: %llu, exactly %llu\n", ranks[i],
			      (unsigned long long)found, (unsigned long long)exact);
		assert_true(error * 100 <= exact);
	}
	assert_int_equal(h.min, values[0]);
	assert_int_equal(h.max, values[VALUES - 1]);
}

static void test_merge(void **state)
{
	static struct stats_histogram other;

	memset(&other, 0, sizeof(other));
	stats_record(&h, 50);
	stats_merge(&h, &other);
	assert_int_equal(h.min, 50);
	stats_record(&other, 10);
	stats_record(&other, 90);
	stats_merge(&h, &other);
	assert_int_equal(h.count, 3);
	assert_int_equal(h.sum, 150);
	assert_int_equal(h.min, 10);
	assert_int_equal(h.max, 90);
	assert_int_equal(stats_percentile(&h, 500), 50);
	memset(&h, 0, sizeof(h));
	stats_merge(&h, &other);
	assert_int_equal(h.min, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_buckets, clear),
		cmocka_unit_test_setup(test_empty, clear),
		cmocka_unit_test_setup(test_one_value, clear),
		cmocka_unit_test_setup(test_ranks, clear),
		cmocka_unit_test_setup(test_against_sorting, clear),
		cmocka_unit_test_setup(test_merge, clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
