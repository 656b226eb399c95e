/* SPDX-License-Identifier: BSD-3-Clause */
/* Groups: the second level of the tree, with weights, caps and causes of its own. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "machine.h"

#define L    100000ull
#define JOBS 100000ull

static struct qos_knobs group_knobs(uint32_t weight, uint32_t cap, uint32_t priority)
{
	return (struct qos_knobs){.cap = cap, .weight = weight, .priority = priority};
}

static struct qos_group *group_add(struct machine *m, uint32_t weight, uint32_t cap)
{
	struct qos_knobs knobs = group_knobs(weight, cap, 0);
	struct qos_group *group = qos_group_new(m->engine, &knobs, m->now_ns);

	assert_non_null(group);
	return group;
}

static void group_done(struct machine *m, struct qos_group *a, struct qos_group *b)
{
	machine_stop(m);
	qos_group_free(a);
	qos_group_free(b);
	machine_done(m);
}

/* Sums anew from here. */
static void group_reset(struct machine *m)
{
	m->busy = 0;
	for (uint32_t i = 0; i < m->flow_count; i++)
		m->flows[i]->owned = 0;
}

static void group_weights(uint32_t k, uint64_t (*cost)(struct machine_flow *flow))
{
	static const double due[] = {1 / 12.0, 3 / 12.0, 1 / 6.0, 3 / 6.0};
	struct qos_config config = {.parallelism = k};
	struct qos_group *groups[2];
	struct machine m;
	double worst = 0;

	machine_init(&m, &config, 1);
	groups[0] = group_add(&m, 100, QOS_CAP_NONE);
	groups[1] = group_add(&m, 200, QOS_CAP_NONE);
	for (uint32_t i = 0; i < 4; i++)
		machine_add(&m, groups[i / 2], group_knobs(i % 2 ? 300 : 100, QOS_CAP_NONE, 0), 16,
			    i == 2 ? 5 * L : L)
			->cost = cost;
	machine_run_jobs(&m, JOBS);
	for (uint32_t i = 0; i < 4; i++)
		worst = fmax(worst, fabs(m.flows[i]->owned / m.busy / due[i] - 1));
	print_message("K=%u groups 1:2 of members 1:3: shares within %.5f\n", k, worst);
	assert_true(worst <= 0.001);
	assert_int_equal(m.idle_ns, 0);
	group_done(&m, groups[0], groups[1]);
}

static void test_weights(void **state)
{
	group_weights(1, machine_cost_fixed);
	group_weights(1, machine_cost_exp);
	group_weights(8, machine_cost_fixed);
	group_weights(8, machine_cost_exp);
}

/* A group counts once, however many members it has. */
static void test_members_leave_and_join(void **state)
{
	struct qos_config config = {.parallelism = 1};
	struct qos_group *group;
	struct machine_flow *alone;
	struct machine m;
	double share;

	machine_init(&m, &config, 1);
	group = group_add(&m, 100, QOS_CAP_NONE);
	alone = machine_add(&m, NULL, group_knobs(100, QOS_CAP_NONE, 0), 16, L);
	machine_add(&m, group, group_knobs(100, QOS_CAP_NONE, 0), 16, L);
	for (uint32_t i = 0; i < 40; i++) {
		struct machine_flow *f = machine_add(
			&m, group, group_knobs(1 + i * 50, QOS_CAP_NONE, i % 8), i % 3 ? 16 : 0, L);

		if (i > 8 && m.flows[2]->outstanding == 0)
			machine_remove(&m, m.flows[2]);
		machine_run(&m, m.now_ns + 500 * L);
		if (i > 4)
			m.flows[2 + i % 3]->depth = 0;
		f->cost = machine_cost_exp;
	}
	share = alone->owned / m.busy;
	print_message("one against a group whose members come and go: %.5f\n", share);
	assert_true(fabs(share - 0.5) < 0.002);
	group_done(&m, group, NULL);
}

static void group_cap(uint32_t k, bool contended)
{
	struct qos_config config = {.parallelism = k};
	struct qos_group *group;
	struct machine m;
	double owned;
	double error;

	machine_init(&m, &config, 1);
	group = group_add(&m, QOS_WEIGHT_MAX, 4000);
	for (uint32_t i = 0; i < 3; i++)
		machine_add(&m, group, group_knobs(100 + i * 100, i == 2 ? 1000 : QOS_CAP_NONE, 0),
			    16, L)
			->cost = machine_cost_exp;
	if (contended)
		machine_add(&m, NULL, group_knobs(100, QOS_CAP_NONE, 0), 16, L);
	machine_run_jobs(&m, JOBS);
	owned = m.flows[0]->owned + m.flows[1]->owned + m.flows[2]->owned;
	error = 100 * owned / (double)(m.now_ns - m.begin_ns) - 40;
	print_message("K=%u group cap 40%s: %+.5f points, member with cap 10 %.4f, ratio %.4f\n", k,
		      contended ? ", contended" : "", error,
		      100 * m.flows[2]->owned / (double)(m.now_ns - m.begin_ns),
		      m.flows[1]->owned / m.flows[0]->owned);
	assert_true(error <= 0 && error >= -0.1);
	assert_true(m.flows[2]->owned <= 0.1 * (double)(m.now_ns - m.begin_ns));
	/* What it cannot use while the group waits for its cap is lost but for the credit. */
	assert_true(m.flows[2]->owned >= 0.095 * (double)(m.now_ns - m.begin_ns));
	assert_true(fabs(m.flows[1]->owned / m.flows[0]->owned - 2) < 0.02);
	group_done(&m, group, NULL);
}

static void test_cap(void **state)
{
	group_cap(1, false);
	group_cap(1, true);
	group_cap(8, false);
	group_cap(8, true);
}

/* The group goes first as its member would, whatever its other members are. */
static void test_member_priority(void **state)
{
	struct qos_config config = {.parallelism = 1};
	struct qos_group *groups[2];
	struct machine_flow *high;
	struct machine m;
	double wait;

	machine_init(&m, &config, 1);
	groups[0] = group_add(&m, 100, QOS_CAP_NONE);
	groups[1] = group_add(&m, 100, QOS_CAP_NONE);
	machine_add(&m, groups[0], group_knobs(100, QOS_CAP_NONE, 0), 16, L);
	machine_add(&m, groups[1], group_knobs(100, QOS_CAP_NONE, 0), 16, L);
	high = machine_add(&m, groups[0], group_knobs(100, QOS_CAP_NONE, 7), 0, L);
	machine_keep_waits(high, JOBS / 20);
	machine_poisson(high, 20 * L);
	machine_run(&m, JOBS * L);
	wait = machine_wait(high, 0.99) / (double)L;
	print_message("a member of priority 7: p99 %.3f L\n", wait);
	assert_true(wait <= 2);
	assert_true(fabs((m.flows[0]->owned + high->owned) / m.busy - 0.5) < 0.001);
	group_done(&m, groups[0], groups[1]);
}

/* While a group waits for its cap so do the jobs of all its members. */
static void test_causes_of_a_held_group(void **state)
{
	struct qos_config config = {.parallelism = 1};
	struct qos_group *group;
	struct machine m;

	machine_init(&m, &config, 1);
	group = group_add(&m, 100, 1000);
	for (uint32_t i = 0; i < 2; i++)
		machine_add(&m, group, group_knobs(100, QOS_CAP_NONE, 0), 1, L);
	machine_run(&m, 1000 * L + L / 2);
	group_reset(&m);
	for (uint32_t i = 0; i < 2; i++) {
		struct machine_flow *f = m.flows[i];
		struct qos_flow_stats stats;
		double cap;

		qos_flow_stats(&f->flow, m.now_ns, &stats);
		cap = (double)stats.wait_by_cause_ns[QOS_CAUSE_CAP] / (double)stats.wait_ns;
		print_message("waits for the group's cap: %.4f\n", cap);
		assert_int_equal(stats.wait_ns, f->wait_exact);
		for (uint32_t c = 0; c < QOS_CAUSE_COUNT; c++)
			assert_true(fabs((double)stats.wait_by_cause_ns[c] - f->wait_by_cause[c]) <=
				    100);
		assert_true(cap >= 0.9);
	}
	/* Held, it takes back what waits, and one comes anew. */
	m.flows[0]->depth = 0;
	while (machine_withdraw(m.flows[0], 0))
		;
	machine_run(&m, m.now_ns + L);
	m.flows[0]->depth = 3;
	machine_run(&m, m.now_ns + 100 * L);
	for (uint32_t i = 0; i < 2; i++) {
		struct qos_flow_stats stats;

		qos_flow_stats(&m.flows[i]->flow, m.now_ns, &stats);
		assert_int_equal(stats.wait_ns, m.flows[i]->wait_exact);
		for (uint32_t c = 0; c < QOS_CAUSE_COUNT; c++)
			assert_true(fabs((double)stats.wait_by_cause_ns[c] -
					 m.flows[i]->wait_by_cause[c]) <= 100);
	}
	group_done(&m, group, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_weights),
		cmocka_unit_test(test_members_leave_and_join),
		cmocka_unit_test(test_cap),
		cmocka_unit_test(test_member_priority),
		cmocka_unit_test(test_causes_of_a_held_group),
	};

	return cmocka_run_group_tests_name("qos group", tests, NULL, NULL);
}
