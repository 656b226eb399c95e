/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Caps are bounds: over any window a job more than the cap at most, over all time nothing, and no
 * less than the cap for who asks for it.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "machine.h"

#define L	   100000ull /* a job on average, ns */
#define JOBS	   100000ull
#define COST_COUNT 3

struct cap_cost {
	const char *name;
	uint64_t (*cost)(struct machine_flow *flow);
};
static const struct cap_cost cap_costs[COST_COUNT] = {
	{"fixed", machine_cost_fixed},
	{"uniform", machine_cost_wide},
	{"exp", machine_cost_exp},
};

static struct qos_knobs cap_knobs(uint32_t cap)
{
	return (struct qos_knobs){.cap = cap, .weight = QOS_WEIGHT};
}

/* Points by which the part of time since the start is above the cap: below zero when it is less. */
static double cap_error(const struct machine *m, const struct machine_flow *f)
{
	return 100 * f->owned / (double)(m->now_ns - m->begin_ns) - f->knobs.cap / 100.0;
}

/* Points by which the largest window of @jobs L is above the cap and what one job must add. */
static double cap_window_error(const struct machine_flow *f, uint64_t jobs)
{
	double cap = f->knobs.cap / 10000.0;
	double window = machine_window(f, jobs * L, 0);
	double job = (1 - cap) * (double)f->longest_ns / (double)(jobs * L);

	return 100 * (window - cap - job);
}

static void cap_alone(uint32_t k, uint32_t cap, const struct cap_cost *cost)
{
	struct qos_config config = {.parallelism = k};
	struct machine_flow *f;
	struct machine m;
	double error;
	double window = -100;

	machine_init(&m, &config, 1);
	f = machine_add(&m, NULL, cap_knobs(cap), 16, L);
	f->cost = cost->cost;
	machine_keep_trace(f);
	machine_run_jobs(&m, JOBS);
	error = cap_error(&m, f);
	for (uint64_t jobs = 10; jobs <= 1000; jobs *= 10)
		window = fmax(window, cap_window_error(f, jobs));
	print_message("cap %u K=%u %s: %+.5f points, windows %+.4f above one job\n", cap / 100, k,
		      cost->name, error, window);
	assert_true(error <= 0 && error >= -0.01);
	assert_true(window <= 0.1);
	machine_done(&m);
}

static void test_alone(void **state)
{
	for (uint32_t i = 0; i < COST_COUNT; i++) {
		cap_alone(1, 6000, &cap_costs[i]);
		cap_alone(8, 6000, &cap_costs[i]);
		cap_alone(1, 1000, &cap_costs[i]);
	}
}

/* By weight it would get nearly all, another takes what it leaves. */
static void cap_contended(uint32_t k, const struct cap_cost *cost, double least)
{
	struct qos_config config = {.parallelism = k};
	struct qos_knobs knobs = {.cap = 6000, .weight = QOS_WEIGHT_MAX};
	struct machine_flow *f;
	struct machine m;
	double error;

	machine_init(&m, &config, 1);
	f = machine_add(&m, NULL, knobs, 16, L);
	f->cost = cost->cost;
	machine_add(&m, NULL, cap_knobs(QOS_CAP_NONE), 16, L)->cost = cost->cost;
	machine_run_jobs(&m, JOBS);
	error = cap_error(&m, f);
	print_message("cap 60 K=%u %s, contended: %+.5f points\n", k, cost->name, error);
	assert_true(error <= 0 && error >= -least);
	assert_int_equal(m.idle_ns, 0);
	assert_true(m.busy >= (double)(m.now_ns - m.begin_ns) - 1);
	machine_done(&m);
}

static void test_contended(void **state)
{
	for (uint32_t i = 0; i < COST_COUNT; i++) {
		/* A short job leaves it a hair ahead of its due. Another's job comes next, and
		 * longer ones than the credit holds are not caught up in full. */
		cap_contended(1, &cap_costs[i], i == 1 ? 0.2 : 0.05);
		cap_contended(8, &cap_costs[i], 0.05);
	}
}

/* From a change on: no more than the new cap and a job. */
static void cap_change(uint32_t k, uint32_t before, uint32_t after)
{
	struct qos_config config = {.parallelism = k};
	struct machine_flow *f;
	struct machine m;
	uint64_t changed;
	double owned;
	double above = 0;

	machine_init(&m, &config, 1);
	f = machine_add(&m, NULL, cap_knobs(before), 16, L);
	f->cost = machine_cost_wide;
	machine_add(&m, NULL, cap_knobs(QOS_CAP_NONE), 16, L)->knobs.weight = 1;
	machine_run(&m, 1000 * L + L / 3);
	changed = m.now_ns;
	owned = f->owned;
	machine_set(f, cap_knobs(after));
	for (uint32_t i = 0; i < 20000; i++) {
		machine_run(&m, m.now_ns + L / 10);
		above = fmax(above,
			     f->owned - owned - (double)(m.now_ns - changed) * after / 10000);
	}
	print_message("K=%u cap %u -> %u: %.3f of the longest job above\n", k, before / 100,
		      after / 100, above / (double)f->longest_ns);
	assert_true(above <= (double)f->longest_ns);
	machine_done(&m);
}

static void test_change(void **state)
{
	for (uint32_t k = 1; k <= 8; k += 7) {
		cap_change(k, QOS_CAP_NONE, 3000);
		cap_change(k, 6000, 3000);
		cap_change(k, 3000, 6000);
	}
}

/* Changing between two caps all the time: no more than their mean. */
static void test_toggle(void **state)
{
	struct qos_config config = {.parallelism = 1};
	struct machine_flow *f;
	struct machine m;
	double allowed = 0;

	machine_init(&m, &config, 1);
	f = machine_add(&m, NULL, cap_knobs(3000), 16, L);
	f->cost = machine_cost_wide;
	for (uint32_t i = 0; i < 20000; i++) {
		uint64_t span = L / 10 + i % 7 * L / 5;

		machine_set(f, cap_knobs(i % 2 ? 3000 : 5000));
		machine_run(&m, m.now_ns + span);
		allowed += (double)span * f->knobs.cap / 10000;
		assert_true(f->owned <= allowed + (double)f->longest_ns);
	}
	print_message("toggled: %.5f of what was allowed\n", f->owned / allowed);
	assert_true(f->owned <= allowed);
	assert_true(f->owned >= allowed * 0.999);
	machine_done(&m);
}

/* A hundredth of a percent: one job, and the next when it is paid, twice. */
static void test_smallest(void **state)
{
	struct qos_config config = {.parallelism = 1};
	struct machine_flow *f;
	struct machine m;

	machine_init(&m, &config, 1);
	f = machine_add(&m, NULL, cap_knobs(QOS_CAP_MIN), 16, L);
	machine_run(&m, 100 * 10000 * L + 1);
	print_message("cap 0.01: %+.7f points, %u jobs\n", cap_error(&m, f), (uint32_t)f->ended);
	assert_true(cap_error(&m, f) <= 0);
	assert_in_range(f->ended, 99, 100);
	machine_done(&m);
}

/* Largest part of a window of 50 L, at its return after an idle time. */
static double cap_after_idle(uint64_t burst_ns)
{
	struct qos_config config = {.parallelism = 1, .burst_ns = burst_ns};
	struct machine_flow *f;
	struct machine m;
	double window;

	machine_init(&m, &config, 1);
	f = machine_add(&m, NULL, cap_knobs(5000), 16, L);
	machine_run(&m, 100 * L);
	f->depth = 0;
	machine_run(&m, 1000 * L);
	f->depth = 16;
	machine_keep_trace(f);
	machine_run(&m, 2000 * L);
	window = machine_window(f, 50 * L, 0);
	machine_done(&m);
	return window;
}

static void test_idle_gives_no_credit(void **state)
{
	double none = cap_after_idle(0);
	double burst = cap_after_idle(10 * L);

	print_message("cap 50 in 50 L after idle: %.4f, with a burst of 10 L %.4f\n", none, burst);
	/* A job, and the time since the engine was last used, of which the credit keeps one. */
	assert_true(none <= 0.5 + 1.0 / 50);
	assert_true(burst > 0.5 + 9.0 / 50 && burst <= 0.5 + 11.0 / 50);
}

/* A timer that is late by less than the slack costs nothing. */
static void test_slack(void **state)
{
	for (uint32_t slack = 0; slack <= 1; slack++) {
		struct qos_config config = {.parallelism = 1, .slack_ns = slack * L};
		struct machine_flow *f;
		struct machine m;

		machine_init(&m, &config, 1);
		f = machine_add(&m, NULL, cap_knobs(4000), 16, L);
		f->cost = machine_cost_wide;
		m.late_ns = L / 2;
		machine_run_jobs(&m, JOBS);
		print_message("timers late by L/2, slack %u L: %+.5f points\n", slack,
			      cap_error(&m, f));
		assert_true(cap_error(&m, f) <= 0 && cap_error(&m, f) >= -0.01);
		machine_done(&m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alone),	 cmocka_unit_test(test_contended),
		cmocka_unit_test(test_change),	 cmocka_unit_test(test_toggle),
		cmocka_unit_test(test_smallest), cmocka_unit_test(test_idle_gives_no_credit),
		cmocka_unit_test(test_slack),
	};

	return cmocka_run_group_tests_name("qos cap", tests, NULL, NULL);
}
