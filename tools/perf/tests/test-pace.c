/* SPDX-License-Identifier: BSD-3-Clause */
/* Arrival times: evenly spaced without drift, or random with the right average and spread. */
#include "pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "util/clock.h"

#define BEGIN 123456789012345ULL

static void test_fixed(void **state)
{
	struct pace pace;

	pace_begin(&pace, 1000, false, 1, BEGIN);
	for (unsigned i = 0; i < 5000; i++) {
		assert_int_equal(pace.next_ns, BEGIN + i * NS_PER_MS);
		pace_step(&pace);
	}
}

/* A third of a nanosecond a step is not lost. */
static void test_no_drift(void **state)
{
	struct pace pace;

	pace_begin(&pace, 3e6, false, 1, BEGIN);
	for (unsigned i = 0; i < 9000000; i++)
		pace_step(&pace);
	assert_int_equal(pace.next_ns, BEGIN + 3 * NS_PER_S);
}

static void test_slow(void **state)
{
	struct pace pace;

	pace_begin(&pace, PACE_RATE_MIN, false, 1, BEGIN);
	pace_step(&pace);
	assert_int_equal(pace.next_ns, BEGIN + 1000 * NS_PER_S);
	pace.steps = 1ULL << 62;
	pace_step(&pace);
	assert_int_equal(pace.next_ns, UINT64_MAX);
}

static void test_fast(void **state)
{
	struct pace pace;

	pace_begin(&pace, PACE_RATE_MAX, false, 1, BEGIN);
	pace_step(&pace);
	assert_int_equal(pace.next_ns, BEGIN + 1);
}

/* Of exponential intervals: mean and standard deviation are equal, 1/e are longer than the mean. */
static void test_poisson(void **state)
{
	struct pace pace;
	uint64_t last = BEGIN;
	unsigned longer = 0;
	double squares = 0;

	pace_begin(&pace, 1000, true, 42, BEGIN);
	for (unsigned i = 0; i < 200000; i++) {
		uint64_t interval = pace.next_ns - last;

		assert_true(pace.next_ns >= last);
		longer += interval > NS_PER_MS;
		squares += (double)interval * (double)interval / 1e12;
		last = pace.next_ns;
		pace_step(&pace);
	}
	assert_in_range(last - BEGIN, 198 * NS_PER_S, 202 * NS_PER_S);
	assert_in_range(longer, 72600, 74600);
	assert_true(squares / 200000 > 1.96 && squares / 200000 < 2.04);
}

static void test_seed(void **state)
{
	struct pace a;
	struct pace b;
	struct pace c;

	pace_begin(&a, 1000, true, 1, BEGIN);
	pace_begin(&b, 1000, true, 1, BEGIN);
	pace_begin(&c, 1000, true, 2, BEGIN);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(a.next_ns, b.next_ns);
		assert_int_not_equal(a.next_ns, c.next_ns);
		pace_step(&a);
		pace_step(&b);
		pace_step(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fixed),	cmocka_unit_test(test_no_drift),
		cmocka_unit_test(test_slow),	cmocka_unit_test(test_fast),
		cmocka_unit_test(test_poisson), cmocka_unit_test(test_seed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
