/* SPDX-License-Identifier: BSD-3-Clause */
/* Lag and windows of caps: tiny cases by hand, and long random ones against a plain computation
 * that looks at everything. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fair.h"
#include "random.h"
#include "util/cleanup.h"
#include "window.h"

#define SEED   99u
#define NODES  40u
#define STEPS  20000u
#define POINTS 600u

#define NS(n)  ((meter_time)(n) << METER_BITS)

/* Two of weights 1 and 3; the light one runs first. */
static void test_two(void **state)
{
	struct fair_contest contest = {0};
	struct fair_node a = {.contest = &contest, .weight = 1};
	struct fair_node b = {.contest = &contest, .weight = 3};

	assert_int_equal(fair_enter(&a, 0), 0);
	assert_int_equal(fair_enter(&b, 0), 0);
	assert_int_equal(fair_run(&a, 1, 0), 0);
	assert_int_equal(fair_run(&a, -1, NS(100)), 0);
	/* 100 was given: 25 were due to a, which got 100. */
	assert_true(contest.lag_ns == 75);
	assert_int_equal(fair_run(&b, 1, NS(100)), 0);
	assert_int_equal(fair_run(&b, -1, NS(500)), 0);
	/* 375 of 500 were due to b, which got 400. */
	assert_true(contest.lag_ns == 75);
	fair_end_epoch(&contest, NS(500));
	assert_true(contest.lag_ns == 75);
	assert_true(fair_owned(&a, NS(500)) == NS(100));
	assert_true(fair_owned(&b, NS(500)) == NS(400));
	fair_done(&contest);
}

/* One that only waits is seen when the epoch ends, and a new epoch begins at nothing. */
static void test_waiting(void **state)
{
	struct fair_contest contest = {0};
	struct fair_node a = {.contest = &contest, .weight = 100};
	struct fair_node b = {.contest = &contest, .weight = 300};

	assert_int_equal(fair_enter(&a, 0), 0);
	assert_int_equal(fair_enter(&b, 0), 0);
	assert_int_equal(fair_run(&a, 1, 0), 0);
	fair_leave(&b, NS(40));
	assert_true(contest.lag_ns == 30);
	assert_true(b.left);
	assert_int_equal(fair_enter(&b, NS(60)), 0);
	assert_int_equal(fair_run(&a, -1, NS(90)), 0);
	assert_true(contest.lag_ns == 30);
	fair_end_epoch(&contest, NS(90));
	assert_true(contest.lag_ns == 30);
	fair_done(&contest);
}

/* The plain computation: every member is looked at after every step. */
struct plain {
	double lag_ns;
	meter_time base[NODES];
	meter_time begin;
};

static void plain_look(struct plain *plain, const struct fair_node *nodes, meter_time now)
{
	double sum = 0;
	double weight = 0;

	for (unsigned i = 0; i < NODES; i++) {
		if (!nodes[i].member)
			continue;
		weight += nodes[i].weight;
		sum += meter_real_ns(fair_owned(&nodes[i], now) - plain->base[i]);
	}
	for (unsigned i = 0; i < NODES; i++) {
		double lag;

		if (!nodes[i].member)
			continue;
		lag = sum * nodes[i].weight / weight -
		      meter_real_ns(fair_owned(&nodes[i], now) - plain->base[i]);
		plain->lag_ns = MAX(plain->lag_ns, fabs(lag));
	}
}

static void plain_begin(struct plain *plain, const struct fair_node *nodes, meter_time now)
{
	for (unsigned i = 0; i < NODES; i++)
		plain->base[i] = fair_owned(&nodes[i], now);
}

static void random_lag(unsigned seed, unsigned change_percent)
{
	struct fair_contest contest = {0};
	struct fair_node nodes[NODES] = {0};
	struct plain plain = {0};
	struct random_stream random;
	meter_time now = 0;
	uint32_t in_flight = 0;

	random_seed(&random, SEED, seed);
	for (unsigned i = 0; i < NODES; i++) {
		nodes[i].contest = &contest;
		nodes[i].weight = 1 + (uint32_t)(random_next(&random) % (i % 3 ? 10 : 10000));
		assert_int_equal(fair_enter(&nodes[i], 0), 0);
	}
	for (unsigned step = 0; step < STEPS; step++) {
		struct fair_node *node = &nodes[random_next(&random) % NODES];
		uint64_t dt = random_next(&random) % 1000;

		if (in_flight)
			now += NS(dt) / in_flight;
		plain_look(&plain, nodes, now);
		if (random_next(&random) % 100 < change_percent) {
			uint32_t weight = 1 + (uint32_t)(random_next(&random) % 10000);

			if (!node->member)
				assert_int_equal(fair_enter(node, now), 0);
			else if (random_next(&random) % 2)
				fair_leave(node, now);
			else
				assert_int_equal(fair_reweigh(node, weight, now), 0);
			plain_begin(&plain, nodes, now);
		} else if (node->running > 0) {
			assert_int_equal(fair_run(node, -1, now), 0);
			in_flight--;
		} else if (in_flight < 8) {
			assert_int_equal(fair_run(node, 1, now), 0);
			in_flight++;
		}
		fair_settle(&contest, now);
	}
	plain_look(&plain, nodes, now);
	fair_end_epoch(&contest, now);
	if (fabs(contest.lag_ns - plain.lag_ns) > 1e-6 * plain.lag_ns)
		fail_msg("seed %u: lag %g, expected %g", seed, contest.lag_ns, plain.lag_ns);
	fair_done(&contest);
}

static void test_random_lag(void **state)
{
	for (unsigned seed = 0; seed < 4; seed++) {
		random_lag(seed, 0);
		random_lag(seed, 1);
		random_lag(seed, 30);
	}
}

/* Owns half, as 10 on, 10 off; cap 50. A window of 10 sees all or nothing, one of 30 sees 2/3. */
static void test_window(void **state)
{
	struct window_set set = {.lengths_ns = {10, 20, 30, 1000}, .count = 4};
	struct window_track track = {0};
	uint64_t owned = 0;

	window_restart(&track, &set, 5000);
	for (uint64_t time = 0; time <= 200; time += 10) {
		assert_int_equal(window_point(&track, &set, time, NS(owned)), 0);
		owned += time % 20 ? 0 : 10;
	}
	assert_true(set.worst[0] == 50);
	assert_true(fabs(set.worst[1]) < 1e-9);
	assert_true(fabs(set.worst[2] - (200.0 / 3 - 50)) < 1e-9);
	assert_false(set.seen[3]);
	window_done(&track, &set);
	assert_int_equal(set.points, 0);
}

/* A window does not reach back across a new cap, and is above the cap of its time. */
static void test_restart(void **state)
{
	struct window_set set = {.lengths_ns = {100}, .count = 1};
	struct window_track track = {0};

	window_restart(&track, &set, 10000);
	assert_int_equal(window_point(&track, &set, 0, 0), 0);
	assert_int_equal(window_point(&track, &set, 90, NS(90)), 0);
	window_restart(&track, &set, 1000);
	assert_int_equal(window_point(&track, &set, 90, NS(90)), 0);
	assert_int_equal(window_point(&track, &set, 180, NS(100)), 0);
	assert_false(set.seen[0]);
	assert_int_equal(window_point(&track, &set, 200, NS(120)), 0);
	/* From 90 to 190 10 and half of 20 were owned, from 100 to 200 a little less and all 20. */
	assert_true(fabs(set.worst[0] - (30 - 10.0 / 9 - 10)) < 1e-9);
	window_done(&track, &set);
}

/* What was owned until @time, between points. */
static double plain_owned(const struct window_point *points, unsigned count, uint64_t time)
{
	unsigned i = 1;
	double part;

	while (i < count - 1 && points[i].time_ns < time)
		i++;
	part = (double)(time - points[i - 1].time_ns) /
	       (double)(points[i].time_ns - points[i - 1].time_ns);
	return meter_real_ns(points[i - 1].owned) +
	       part * meter_real_ns(points[i].owned - points[i - 1].owned);
}

/* The worst window of @length that begins or ends at a point. */
static double plain_worst(const struct window_point *points, unsigned count, uint64_t length)
{
	double worst = 0;
	uint64_t end = points[count - 1].time_ns;

	for (unsigned i = 0; i < count; i++) {
		uint64_t time = points[i].time_ns;

		if (time + length <= end)
			worst = MAX(worst, plain_owned(points, count, time + length) -
						   meter_real_ns(points[i].owned));
		if (time >= length)
			worst = MAX(worst, meter_real_ns(points[i].owned) -
						   plain_owned(points, count, time - length));
	}
	return 100 * worst / (double)length;
}

static void test_random_windows(void **state)
{
	struct window_set set = {.lengths_ns = {7, 150, 1000, 20000}, .count = 4};
	struct window_track track = {0};
	struct window_point points[POINTS] = {0};
	struct random_stream random;

	random_seed(&random, SEED, 1000);
	window_restart(&track, &set, 0);
	for (unsigned i = 0; i < POINTS; i++) {
		if (i > 0) {
			uint64_t dt = 1 + random_next(&random) % 300;

			points[i].time_ns = points[i - 1].time_ns + dt;
			points[i].owned =
				points[i - 1].owned + NS(dt) * (random_next(&random) % 9) / 8;
		}
		assert_int_equal(window_point(&track, &set, points[i].time_ns, points[i].owned), 0);
	}
	for (uint32_t i = 0; i < set.count; i++) {
		assert_true(set.seen[i]);
		assert_true(fabs(set.worst[i] - plain_worst(points, POINTS, set.lengths_ns[i])) <
			    1e-6);
	}
	window_done(&track, &set);
}

static void test_meter(void **state)
{
	struct meter meter = {0};

	meter_advance(&meter, 50);
	assert_true(meter.integral == 0);
	meter.in_flight = 1;
	meter_advance(&meter, 80);
	meter.in_flight = 4;
	meter_advance(&meter, 120);
	assert_int_equal(meter.busy_ns, 70);
	assert_true(meter.integral == NS(40));
	assert_int_equal(meter_ns(meter.integral), 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two),	   cmocka_unit_test(test_waiting),
		cmocka_unit_test(test_random_lag), cmocka_unit_test(test_window),
		cmocka_unit_test(test_restart),	   cmocka_unit_test(test_random_windows),
		cmocka_unit_test(test_meter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
