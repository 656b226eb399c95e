/* SPDX-License-Identifier: BSD-3-Clause */
/* Weights: shares are exact whatever jobs cost, and nobody is far from its due at any time. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "machine.h"

#define US 1000ull

static const uint32_t share_weights[] = {100, 200, 400, 800};

/* The largest distance from the fluid division so far, in ns. */
static double share_lag;

static void share_check(struct machine *m)
{
	double total = 0;
	double weights = 0;

	for (uint32_t i = 0; i < m->flow_count; i++) {
		total += m->flows[i]->owned;
		weights += m->flows[i]->knobs.weight;
	}
	for (uint32_t i = 0; i < m->flow_count; i++) {
		double due = total * m->flows[i]->knobs.weight / weights;

		share_lag = fmax(share_lag, fabs(due - m->flows[i]->owned));
	}
}

/* The largest relative error of a share, after about 100000 jobs. */
static double share_error(struct machine *m)
{
	double total = 0;
	double worst = 0;

	share_lag = 0;
	m->check = share_check;
	for (uint64_t ended = 0; ended < 100000;) {
		machine_run(m, m->now_ns + 10000 * US);
		ended = 0;
		for (uint32_t i = 0; i < m->flow_count; i++)
			ended += m->flows[i]->ended;
	}
	for (uint32_t i = 0; i < m->flow_count; i++)
		total += m->flows[i]->owned;
	for (uint32_t i = 0; i < m->flow_count; i++) {
		double due = m->flows[i]->knobs.weight / 1500.0;

		worst = fmax(worst, fabs(m->flows[i]->owned / total / due - 1));
	}
	return worst;
}

static void share_run(uint32_t k, const uint64_t *costs_ns,
		      uint64_t (*cost)(struct machine_flow *flow), double lag_max)
{
	struct qos_config config = {.parallelism = k};
	struct qos_engine_stats stats;
	struct machine m;
	double error;

	machine_init(&m, &config, 12345);
	for (uint32_t i = 0; i < ARRAY_SIZE(share_weights); i++) {
		struct qos_knobs knobs = {.cap = QOS_CAP_NONE, .weight = share_weights[i]};

		machine_add(&m, NULL, knobs, 64, costs_ns[i])->cost = cost;
	}
	error = share_error(&m);
	qos_engine_stats(m.engine, m.now_ns, &stats);
	assert_true(error <= 0.0005);
	assert_true(share_lag <= lag_max * (double)stats.longest_ns / k);
	assert_true(fabs((double)stats.busy_ns - m.busy) <= 1);
	assert_int_equal(m.idle_ns, 0);
	machine_done(&m);
}

static void test_equal_costs(void **state)
{
	static const uint64_t costs[] = {100 * US, 100 * US, 100 * US, 100 * US};

	share_run(1, costs, machine_cost_fixed, 1);
	share_run(8, costs, machine_cost_fixed, 3.5);
}

static void test_unknown_costs_that_differ(void **state)
{
	static const uint64_t costs[] = {10 * US, 100 * US, 30 * US, 300 * US};

	share_run(1, costs, machine_cost_fixed, 1);
	share_run(8, costs, machine_cost_fixed, 3.5);
	share_run(1, costs, machine_cost_exp, 1);
	share_run(8, costs, machine_cost_exp, 3.5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_equal_costs),
		cmocka_unit_test(test_unknown_costs_that_differ),
	};

	return cmocka_run_group_tests_name("qos share", tests, NULL, NULL);
}
