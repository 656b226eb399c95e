/* SPDX-License-Identifier: BSD-3-Clause */
/* Random numbers, costs, the order of events and the percentiles of waiting, each against what
 * theory or a plain computation says. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cost.h"
#include "event.h"
#include "random.h"
#include "util/cleanup.h"
#include "wait.h"

#define DRAWS 400000u
#define SEED  12345u

static void test_streams(void **state)
{
	struct random_stream a;
	struct random_stream b;
	unsigned equal = 0;

	random_seed(&a, SEED, 3);
	random_seed(&b, SEED, 3);
	for (unsigned i = 0; i < 100; i++)
		assert_true(random_next(&a) == random_next(&b));
	random_seed(&b, SEED, 4);
	for (unsigned i = 0; i < 100; i++)
		equal += random_next(&a) == random_next(&b);
	assert_int_equal(equal, 0);
}

/* The reference of xoshiro256** by its authors, from state 1, 2, 3, 4. */
static void test_reference(void **state)
{
	static const uint64_t expected[] = {11520, 0, 1509978240, 1215971899390074240ULL};
	struct random_stream r = {{1, 2, 3, 4}};

	for (unsigned i = 0; i < ARRAY_SIZE(expected); i++)
		assert_true(random_next(&r) == expected[i]);
}

static void test_functions(void **state)
{
	for (double x = 1e-15; x < 1e15; x *= 1.37) {
		double error = random_log(x) - log(x);

		assert_true(fabs(error) <= 1e-14 * MAX(1.0, fabs(log(x))));
	}
	for (double x = -600; x < 600; x += 0.77)
		assert_true(fabs(random_exp(x) / exp(x) - 1) < 1e-13);
}

static double mean_of(const struct cost_model *model, double *ret_variance)
{
	struct cost_state costs = {0};
	double sum = 0;
	double squares = 0;

	random_seed(&costs.random, SEED, 0);
	for (unsigned i = 0; i < DRAWS; i++) {
		double cost = (double)cost_next(model, &costs);

		assert_true(cost >= 1);
		sum += cost;
		squares += cost * cost;
	}
	*ret_variance = squares / DRAWS - (sum / DRAWS) * (sum / DRAWS);
	return sum / DRAWS;
}

/* Mean within five standard errors. */
static void expect_mean(const struct cost_model *model, double mean)
{
	double variance;
	double seen = mean_of(model, &variance);

	if (fabs(seen - mean) > 5 * sqrt(variance / DRAWS) + 1e-9)
		fail_msg("seed %u: mean %g, expected %g", SEED, seen, mean);
}

static void test_distributions(void **state)
{
	static const struct cost_model fixed = {.kind = COST_FIXED, .a_ns = 123.4};
	static const struct cost_model exponential = {.kind = COST_EXP, .a_ns = 1e5};
	static const struct cost_model uniform = {.kind = COST_UNIFORM, .a_ns = 1e3, .b_ns = 5e3};
	static const struct cost_model pareto = {
		.kind = COST_PARETO, .a_ns = 1e4, .b_ns = 1e7, .alpha = 1.5};
	double variance;
	double ratio = pow(pareto.a_ns / pareto.b_ns, pareto.alpha);

	expect_mean(&fixed, 123);
	expect_mean(&uniform, 3e3);
	expect_mean(&exponential, 1e5);
	mean_of(&exponential, &variance);
	assert_true(fabs(sqrt(variance) / 1e5 - 1) < 0.02);
	/* Of the bounded Pareto distribution. */
	expect_mean(
		&pareto,
		pow(pareto.a_ns, pareto.alpha) / (1 - ratio) * pareto.alpha / (pareto.alpha - 1) *
			(pow(pareto.a_ns, 1 - pareto.alpha) - pow(pareto.b_ns, 1 - pareto.alpha)));
	assert_int_equal(cost_longest_ns(&fixed), 123);
	assert_int_equal(cost_longest_ns(&uniform), 5000);
	assert_int_equal(cost_longest_ns(&pareto), 10000000);
	assert_int_equal(cost_longest_ns(&exponential), 0);
}

static void test_bounds(void **state)
{
	static const struct cost_model pareto = {
		.kind = COST_PARETO, .a_ns = 100, .b_ns = 300, .alpha = 0.1};
	struct cost_state costs = {0};

	random_seed(&costs.random, SEED, 1);
	for (unsigned i = 0; i < DRAWS; i++) {
		uint64_t cost = cost_next(&pareto, &costs);

		assert_in_range(cost, 100, 300);
	}
}

static void test_phases(void **state)
{
	struct cost_phase phases[] = {{2, 10}, {1, 20}};
	const struct cost_model model = {
		.kind = COST_PHASES, .phases = phases, .phase_count = ARRAY_SIZE(phases)};
	static const uint64_t expected[] = {10, 10, 20, 10, 10, 20, 10};
	struct cost_state costs = {0};

	for (unsigned i = 0; i < ARRAY_SIZE(expected); i++)
		assert_int_equal(cost_next(&model, &costs), expected[i]);
	assert_int_equal(cost_longest_ns(&model), 20);
}

/* The next event, which must be there. */
static struct event next_event(const struct event_queue *queue)
{
	const struct event *event = event_peek(queue);

	if (!event) {
		fail();
		return (struct event){0};
	}
	return *event;
}

/* By time; at one time ends, arrivals, changes; among those as they were put in. */
static void test_events(void **state)
{
	struct event_queue queue = {0};
	static const struct {
		uint64_t time;
		enum event_kind kind;
	} in[] = {
		{5, EVENT_CHANGE}, {5, EVENT_ARRIVAL}, {5, EVENT_END},	   {5, EVENT_END},
		{1, EVENT_CHANGE}, {9, EVENT_END},     {5, EVENT_ARRIVAL},
	};
	static const uintptr_t expected[] = {4, 2, 3, 1, 6, 0, 5};

	assert_null(event_peek(&queue));
	for (uintptr_t i = 0; i < ARRAY_SIZE(in); i++)
		assert_int_equal(event_push(&queue, in[i].time, in[i].kind, (void *)i), 0);
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		struct event event = next_event(&queue);

		assert_int_equal(event.time_ns, in[expected[i]].time);
		assert_int_equal(event_kind(&event), in[expected[i]].kind);
		assert_int_equal((uintptr_t)event_pop(&queue), expected[i]);
	}
	event_done(&queue);
}

static void test_many_events(void **state)
{
	struct event_queue queue = {0};
	struct random_stream random;
	uint64_t last = 0;

	random_seed(&random, SEED, 2);
	for (unsigned i = 0; i < 10000; i++) {
		uint64_t time = random_next(&random) % 1000;

		assert_int_equal(event_push(&queue, time, EVENT_END, NULL), 0);
	}
	for (unsigned i = 0; i < 10000; i++) {
		struct event event = next_event(&queue);

		assert_true(event.time_ns >= last);
		last = event.time_ns;
		event_pop(&queue);
	}
	assert_null(event_peek(&queue));
	event_done(&queue);
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a;
	const uint64_t *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Percentiles of @count exponential values against those of the sorted values. */
static void expect_percentiles(unsigned count, double tolerance)
{
	static const unsigned per_mille[] = {1, 500, 990, 999, 1000};
	umdev_autofree uint64_t *values = calloc(count, sizeof(*values));
	struct wait_budget budget = {.limit_bytes = 64u << 20};
	struct wait_times times = {0};
	struct random_stream random;

	assert_non_null(values);
	random_seed(&random, SEED, count);
	for (unsigned i = 0; i < count; i++) {
		values[i] = (uint64_t)(random_exponential(&random) * 1e6);
		assert_int_equal(wait_add(&times, values[i], &budget), 0);
	}
	qsort(values, count, sizeof(*values), compare);
	for (unsigned i = 0; i < ARRAY_SIZE(per_mille); i++) {
		size_t rank = ((size_t)count * per_mille[i] + 999) / 1000;
		double expected = (double)values[MAX(rank, (size_t)1) - 1];
		double seen = (double)wait_percentile(&times, per_mille[i]);

		assert_true(fabs(seen - expected) <= tolerance * expected);
	}
	assert_int_equal(times.count, count);
	assert_int_equal(times.max_ns, values[count - 1]);
	wait_done(&times);
}

static void test_percentiles(void **state)
{
	expect_percentiles(1, 0);
	expect_percentiles(10, 0);
	expect_percentiles(WAIT_EXACT, 0);
	expect_percentiles(WAIT_EXACT + 1, 0.001);
	expect_percentiles(200000, 0.001);
}

static void test_budget(void **state)
{
	struct wait_budget budget = {.limit_bytes = 16 * sizeof(uint64_t)};
	struct wait_times times = {0};

	assert_int_equal(wait_percentile(&times, 500), 0);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(wait_add(&times, UINT64_MAX, &budget), 0);
	assert_int_equal(wait_add(&times, 1, &budget), -EDQUOT);
	assert_true(wait_percentile(&times, 500) == UINT64_MAX);
	wait_done(&times);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_streams),	    cmocka_unit_test(test_reference),
		cmocka_unit_test(test_functions),   cmocka_unit_test(test_distributions),
		cmocka_unit_test(test_bounds),	    cmocka_unit_test(test_phases),
		cmocka_unit_test(test_events),	    cmocka_unit_test(test_many_events),
		cmocka_unit_test(test_percentiles), cmocka_unit_test(test_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
