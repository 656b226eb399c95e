/* SPDX-License-Identifier: BSD-3-Clause */
/* Why jobs waited: staged cases with one cause each, and the sum, which is the whole. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "machine.h"

#define L    100000ull
#define JOBS 10000ull

/* The part of the flow's waits that had @cause; the whole is what the machine saw. */
static double reason_part(const struct machine_flow *f, enum qos_cause cause)
{
	struct qos_flow_stats stats;
	uint64_t sum = 0;
	double part;

	qos_flow_stats(&f->flow, f->machine->now_ns, &stats);
	for (uint32_t i = 0; i < QOS_CAUSE_COUNT; i++)
		sum += stats.wait_by_cause_ns[i];
	assert_int_equal(sum, stats.wait_ns);
	assert_int_equal(stats.wait_ns, f->wait_exact);
	part = (double)stats.wait_by_cause_ns[cause] / (double)stats.wait_ns;
	print_message("%s: %.5f of %.0f ms\n", qos_cause_name(cause), part,
		      (double)stats.wait_ns / 1e6);
	return part;
}

static struct qos_knobs reason_knobs(uint32_t cap, uint32_t priority)
{
	return (struct qos_knobs){.cap = cap, .weight = QOS_WEIGHT, .priority = priority};
}

static void reason_init(struct machine *m, uint32_t k, uint32_t reserved)
{
	struct qos_config config = {.parallelism = k, .reserved_slots = reserved};

	machine_init(m, &config, 1);
}

static void test_own_cap(void **state)
{
	struct machine_flow *f;
	struct machine m;

	reason_init(&m, 1, 0);
	f = machine_add(&m, NULL, reason_knobs(3000, 0), 1, L);
	f->cost = machine_cost_wide;
	machine_run_jobs(&m, JOBS);
	assert_true(reason_part(f, QOS_CAUSE_CAP) >= 0.999);
	machine_done(&m);
}

static void test_turn(void **state)
{
	struct machine_flow *f;
	struct machine m;

	reason_init(&m, 1, 0);
	f = machine_add(&m, NULL, reason_knobs(QOS_CAP_NONE, 0), 1, L);
	machine_add(&m, NULL, reason_knobs(QOS_CAP_NONE, 0), 4, L)->cost = machine_cost_exp;
	machine_run_jobs(&m, JOBS);
	assert_true(reason_part(f, QOS_CAUSE_TURN) >= 0.999);
	machine_done(&m);
}

static void test_higher_priority(void **state)
{
	struct machine_flow *f;
	struct machine m;

	reason_init(&m, 1, 0);
	f = machine_add(&m, NULL, reason_knobs(QOS_CAP_NONE, 2), 1, L);
	machine_add(&m, NULL, reason_knobs(QOS_CAP_NONE, 3), 4, L)->cost = machine_cost_exp;
	machine_run_jobs(&m, JOBS);
	assert_true(reason_part(f, QOS_CAUSE_PRIORITY) >= 0.999);
	machine_done(&m);
}

/* Who is higher waits for those below it as for anybody: it is their turn. */
static void test_lower_priority(void **state)
{
	struct machine_flow *f;
	struct machine m;

	reason_init(&m, 1, 0);
	f = machine_add(&m, NULL, reason_knobs(QOS_CAP_NONE, 7), 1, L);
	machine_add(&m, NULL, reason_knobs(QOS_CAP_NONE, 0), 4, L);
	machine_run_jobs(&m, JOBS);
	assert_true(reason_part(f, QOS_CAUSE_TURN) >= 0.999);
	machine_done(&m);
}

static void test_engine_full_of_own(void **state)
{
	struct machine_flow *f;
	struct machine m;

	reason_init(&m, 1, 0);
	f = machine_add(&m, NULL, reason_knobs(QOS_CAP_NONE, 0), 8, L);
	machine_run_jobs(&m, JOBS);
	assert_true(reason_part(f, QOS_CAUSE_ENGINE) >= 0.999);
	machine_done(&m);
}

/* One slot of two is kept for jobs of a priority that nobody has. */
static void test_slot_kept(void **state)
{
	struct machine_flow *f;
	struct machine m;

	reason_init(&m, 2, 1);
	f = machine_add(&m, NULL, reason_knobs(QOS_CAP_NONE, 0), 2, L);
	machine_run_jobs(&m, JOBS);
	assert_true(reason_part(f, QOS_CAUSE_ENGINE) >= 0.999);
	machine_done(&m);
}

/* Everything at once: each cause is what the machine's own books say. */
static void test_mixed(void **state)
{
	struct machine m;

	reason_init(&m, 1, 0);
	for (uint32_t i = 0; i < 6; i++)
		machine_add(&m, NULL, reason_knobs(i % 2 ? 1000 : QOS_CAP_NONE, i), 1 + i, L)
			->cost = machine_cost_exp;
	machine_run_jobs(&m, JOBS);
	for (uint32_t i = 0; i < m.flow_count; i++) {
		struct machine_flow *f = m.flows[i];

		for (uint32_t c = 0; c < QOS_CAUSE_COUNT; c++) {
			double part = reason_part(f, c);

			assert_true(fabs(part - f->wait_by_cause[c] / (double)f->wait_exact) <
				    1e-6);
		}
	}
	machine_done(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_cap),
		cmocka_unit_test(test_turn),
		cmocka_unit_test(test_higher_priority),
		cmocka_unit_test(test_lower_priority),
		cmocka_unit_test(test_engine_full_of_own),
		cmocka_unit_test(test_slot_kept),
		cmocka_unit_test(test_mixed),
	};

	return cmocka_run_group_tests_name("qos reason", tests, NULL, NULL);
}
