/* SPDX-License-Identifier: BSD-3-Clause */
/* What happens seldom: clocks that wrap, long waits, engines that stood still. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "machine.h"

#define MS 1000000ull
#define S  1000000000ull

/* A cap that opens while the engine is full is nothing to wake up for. */
static void test_no_timer_while_full(void **state)
{
	struct qos_config config = {.parallelism = 1};
	struct qos_knobs capped = {.cap = 5000, .weight = 100};
	struct qos_knobs free_knobs = QOS_KNOBS_DEFAULT;
	struct machine_flow *a;
	struct machine m;

	machine_init(&m, &config, 1);
	a = machine_add(&m, NULL, capped, 0, 1 * MS);
	machine_arrive(a);
	machine_arrive(a);
	machine_run(&m, 1500000);
	assert_int_equal(a->started, 1);
	assert_true(qos_next_ns(m.engine) > m.now_ns);
	assert_int_not_equal(qos_next_ns(m.engine), QOS_NEVER);
	machine_arrive(machine_add(&m, NULL, free_knobs, 0, 1 * S));
	machine_run(&m, 500 * MS);
	assert_int_equal(qos_next_ns(m.engine), QOS_NEVER);
	assert_int_equal(a->started, 1);
	machine_run(&m, 1100 * MS);
	assert_int_equal(a->started, 2);
	machine_done(&m);
}

/* Virtual time wraps many times while a flow waits for its cap, which is not taken for a debt. */
static void test_virtual_time_wraps_while_held(void **state)
{
	for (uint64_t cost_ns = 50 * S; cost_ns <= 100 * S; cost_ns += 10 * S) {
		struct qos_config config = {.parallelism = 1};
		struct qos_knobs capped = {.cap = QOS_CAP_MIN, .weight = 1};
		struct qos_knobs free_knobs = {.cap = QOS_CAP_NONE, .weight = 1};
		struct qos_flow_stats stats;
		struct machine m;
		struct machine_flow *a;

		machine_init(&m, &config, 1);
		a = machine_add(&m, NULL, capped, 0, 100 * S);
		machine_arrive(a);
		machine_arrive(a);
		machine_run(&m, 150 * S);
		assert_int_equal(a->started, 1);
		machine_add(&m, NULL, free_knobs, 2, cost_ns);
		machine_run(&m, 2100000 * S);
		assert_int_equal(a->started, 2);
		qos_flow_stats(&a->flow, m.now_ns, &stats);
		assert_true(stats.wait_by_cause_ns[QOS_CAUSE_TURN] <= 100 * S + 2 * cost_ns);
		machine_done(&m);
	}
}

/* Time in which both the flow and the engine had nothing to do is no credit for its cap. */
static void test_idle_engine_gives_no_credit(void **state)
{
	struct qos_config config = {.parallelism = 1};
	struct qos_knobs capped = {.cap = 5000, .weight = 100};
	struct machine_flow *a;
	struct machine m;

	machine_init(&m, &config, 1);
	a = machine_add(&m, NULL, capped, 0, 10 * MS);
	machine_arrive(a);
	machine_run(&m, 10 * S);
	a->cost_ns = 1 * MS;
	for (int i = 0; i < 20; i++)
		machine_arrive(a);
	machine_run(&m, 10 * S + 10 * MS);
	/* Half of the time, and a job. */
	assert_true(a->owned <= (double)(10 * MS + 5 * MS + 1 * MS));
	machine_done(&m);
}

/* Another weight leaves the debt as it is: what is owed is ownership, and only how fast it is paid
 * back changes. */
static void test_weight_keeps_a_debt(void **state)
{
	struct qos_config config = {.parallelism = 1};
	struct qos_knobs knobs = QOS_KNOBS_DEFAULT;
	struct machine_flow *a;
	struct machine_flow *b;
	struct machine m;

	machine_init(&m, &config, 1);
	/* B runs first, so that its jobs are charged in advance with what they really take. */
	b = machine_add(&m, NULL, knobs, 8, 1 * MS);
	machine_run(&m, 50 * MS);
	a = machine_add(&m, NULL, knobs, 1, 1000 * MS);
	while (a->started == 0)
		machine_run(&m, m.now_ns + 1 * MS);
	a->cost_ns = 1 * MS;
	a->depth = 2;
	while (a->ended == 0)
		machine_run(&m, m.now_ns + 1 * MS);
	/* It owes half of its second. With two thirds from now on it is paid after 750 ms. */
	knobs.weight = 200;
	machine_set(a, knobs);
	b->ended = 0;
	while (a->started < 2)
		machine_run(&m, m.now_ns + 1 * MS);
	assert_in_range(b->ended, 740, 760);
	machine_done(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_timer_while_full),
		cmocka_unit_test(test_virtual_time_wraps_while_held),
		cmocka_unit_test(test_idle_engine_gives_no_credit),
		cmocka_unit_test(test_weight_keeps_a_debt),
	};

	return cmocka_run_group_tests_name("qos edge", tests, NULL, NULL);
}
