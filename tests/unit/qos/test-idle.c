/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who asks for nothing changes nothing for the others, and gains nothing by coming and going, by
 * queueing more or by cutting its work into pieces.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "machine.h"

#define L    100000ull
#define JOBS 150000ull

static const struct qos_knobs idle_default = QOS_KNOBS_DEFAULT;

/* Hash of what three busy flows get, with so many others that have no job, or no more. */
static uint64_t idle_hash(uint32_t never, uint32_t once, bool are_there)
{
	struct qos_config config = {.parallelism = 2};
	struct machine m;
	uint64_t hash;

	machine_init(&m, &config, 1);
	for (uint32_t i = 0; i < 3; i++)
		machine_add(&m, NULL, idle_default, 4, L)->cost = machine_cost_exp;
	for (uint32_t i = 0; i < once; i++) {
		machine_add(&m, NULL, idle_default, 0, L);
		machine_arrive(m.flows[3 + i]);
	}
	machine_run(&m, 500 * L);
	while (!are_there && m.flow_count > 3)
		machine_remove(&m, m.flows[3]);
	for (uint32_t i = 0; i < never; i++) {
		struct qos_knobs knobs = {.cap = i % 2 ? 5000 : QOS_CAP_NONE,
					  .weight = 1 + i * 400,
					  .priority = i % 8};

		machine_add(&m, NULL, knobs, 0, L);
	}
	machine_run(&m, JOBS / 10 * L);
	assert_int_equal(m.idle_ns, 0);
	hash = m.hash;
	machine_done(&m);
	return hash;
}

static void test_idle_changes_nothing(void **state)
{
	assert_int_equal(idle_hash(0, 0, true), idle_hash(20, 0, true));
	assert_int_equal(idle_hash(0, 20, false), idle_hash(0, 20, true));
	assert_int_equal(idle_hash(0, 20, false), idle_hash(20, 20, true));
	assert_int_not_equal(idle_hash(0, 0, true), idle_hash(0, 1, true));
}

/* What the one that returns had above a third of the time, at most, from its return on; in L. */
static double idle_return(uint32_t k, uint64_t away, double *ret_first)
{
	struct qos_config config = {.parallelism = k};
	struct machine_flow *f;
	struct machine m;
	uint64_t returned;
	double owned;
	double most = 0;

	machine_init(&m, &config, 1);
	for (uint32_t i = 0; i < 2; i++)
		machine_add(&m, NULL, idle_default, 16, L);
	f = machine_add(&m, NULL, idle_default, 16, L);
	machine_run(&m, 300 * L);
	f->depth = 0;
	while (f->outstanding > 0)
		machine_run(&m, m.now_ns + L / 10);
	machine_run(&m, m.now_ns + away * L + L / 3);
	returned = m.now_ns;
	owned = f->owned;
	machine_keep_waits(f, 1);
	f->depth = 16;
	for (uint32_t i = 0; i < 3000; i++) {
		machine_run(&m, m.now_ns + L / 10);
		most = fmax(most, f->owned - owned - (double)(m.now_ns - returned) / 3);
	}
	*ret_first = (double)f->waits[0] / (double)L;
	machine_done(&m);
	return most / (double)L;
}

static void test_return(void **state)
{
	for (uint32_t k = 1; k <= 8; k += 7) {
		for (uint64_t away = 100; away <= 100000; away *= 1000) {
			double first;
			double most = idle_return(k, away, &first);

			print_message("K=%u back after %lu L: first after %.2f L, %.3f L ahead\n",
				      k, away, first, most);
			/* Those who are owed something, of two one at most, go first. */
			assert_true(first <= (k == 1 ? 2 : 1));
			assert_true(most <= 1);
		}
	}
}

/* It takes long jobs and goes away after each, for less than it owes. */
static void test_debt_stays(void **state)
{
	struct qos_config config = {.parallelism = 1};
	struct machine_flow *other;
	struct machine_flow *f;
	struct machine m;
	double share;

	machine_init(&m, &config, 1);
	other = machine_add(&m, NULL, idle_default, 16, L);
	f = machine_add(&m, NULL, idle_default, 0, 20 * L);
	for (uint32_t i = 0; i < 2000; i++) {
		machine_arrive(f);
		while (f->queued > 0)
			machine_run(&m, m.now_ns + L / 2);
		while (f->outstanding > 0)
			machine_run(&m, m.now_ns + L / 2);
		machine_run(&m, m.now_ns + i % 20 * L);
	}
	share = f->owned / m.busy;
	print_message("long jobs and away: %.5f, the other %.5f\n", share, other->owned / m.busy);
	assert_true(share <= 0.5 && share > 0.45);
	machine_done(&m);
}

struct idle_game {
	uint32_t depth;
	uint64_t cost_ns;
	uint64_t (*cost)(struct machine_flow *flow);
	bool yields; /* goes away and comes back all the time */
	uint32_t k;
};

/* The share of one that plays against three that do not; they are busy all the time. */
static double idle_share(const struct idle_game *g)
{
	struct qos_config config = {.parallelism = g->k};
	struct machine_flow *f;
	struct machine m;
	double share;

	machine_init(&m, &config, 1);
	f = machine_add(&m, NULL, idle_default, g->depth, g->cost_ns);
	f->cost = g->cost;
	for (uint32_t i = 0; i < 3; i++)
		machine_add(&m, NULL, idle_default, 16, L)->cost = machine_cost_exp;
	for (uint32_t i = 0; machine_ended(&m) < JOBS; i++) {
		machine_run(&m, m.now_ns + (g->yields ? L / 7 : 100 * L));
		if (!g->yields)
			continue;
		f->depth = i % 2 ? g->depth : 0;
		while (f->depth == 0 && machine_withdraw(f, 0))
			;
	}
	share = f->owned / m.busy;
	machine_done(&m);
	return share;
}

static void test_depth(void **state)
{
	for (uint32_t k = 1; k <= 8; k += 7) {
		struct idle_game g = {8, L, machine_cost_exp, false, k};
		double shallow = idle_share(&g);
		double deep;

		g.depth = 1024;
		deep = idle_share(&g);
		print_message("K=%u depth 8: %.6f, 1024: %.6f\n", k, shallow, deep);
		assert_true(fabs(deep / shallow - 1) < 0.001);
		assert_true(fabs(deep / 0.25 - 1) < 0.001);
	}
}

static void test_split(void **state)
{
	for (uint32_t k = 1; k <= 8; k += 7) {
		struct idle_game g = {16, L, machine_cost_fixed, false, k};
		double whole = idle_share(&g);
		double pieces;

		g.cost_ns = L / 4;
		g.depth = 64;
		pieces = idle_share(&g);
		print_message("K=%u whole: %.6f, in four pieces: %.6f\n", k, whole, pieces);
		assert_true(fabs(pieces / whole - 1) < 0.001);
	}
}

static void test_yield(void **state)
{
	for (uint32_t k = 1; k <= 8; k += 7) {
		struct idle_game g = {16, L, machine_cost_fixed, false, k};
		double stays = idle_share(&g);
		double yields;

		g.yields = true;
		yields = idle_share(&g);
		print_message("K=%u stays: %.6f, comes and goes: %.6f\n", k, stays, yields);
		assert_true(yields / stays - 1 < 0.001);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_idle_changes_nothing),
		cmocka_unit_test(test_return),
		cmocka_unit_test(test_debt_stays),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_yield),
	};

	return cmocka_run_group_tests_name("qos idle", tests, NULL, NULL);
}
