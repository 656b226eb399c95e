/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Priorities say how soon and not how much: who asks for less than its share waits for the running
 * job alone, who asks for more gets no more by them.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "machine.h"

#define L	   100000ull /* a job, ns */
#define JOBS	   200000ull
#define HIGH_EVERY 20 /* the high flow asks for 5 % of the engine */

static struct qos_knobs priority_knobs(uint32_t priority)
{
	return (struct qos_knobs){.cap = QOS_CAP_NONE, .weight = QOS_WEIGHT, .priority = priority};
}

/* Wait in L that the part @p of the jobs of a flow with priority 7 does not exceed, at 5 % of an
 * engine that two others keep full. */
static double priority_wait(uint32_t k, uint32_t reserved, uint64_t jobs, double p)
{
	struct qos_config config = {.parallelism = k, .reserved_slots = reserved};
	struct machine_flow *high;
	struct machine m;
	double wait;

	machine_init(&m, &config, 1);
	for (uint32_t i = 0; i < 2; i++)
		machine_add(&m, NULL, priority_knobs(0), 16, L);
	high = machine_add(&m, NULL, priority_knobs(7), 0, L);
	machine_keep_waits(high, jobs);
	machine_poisson(high, L * HIGH_EVERY / k);
	machine_run(&m, jobs * L * HIGH_EVERY / k);
	wait = machine_wait(high, p) / (double)L;
	machine_done(&m);
	return wait;
}

/* An engine with nothing but strict priority: one flow at 5 %, others that fill the rest. */
struct strict {
	uint32_t k;
	uint32_t reserved;
	double end[8]; /* of the jobs in flight */
	bool low[8];
	uint32_t in_flight;
	uint32_t low_in_flight;
	double arrived[1024]; /* high jobs that wait: a ring */
	uint64_t come;
	uint64_t gone;
	float *waits;
};

static void strict_start(struct strict *s, double now)
{
	while (s->in_flight < s->k) {
		bool low = s->come == s->gone;

		if (low && s->low_in_flight + s->reserved >= s->k)
			return;
		if (!low) {
			s->waits[s->gone] = (float)(now - s->arrived[s->gone % 1024]);
			s->gone++;
		}
		s->low_in_flight += low;
		s->low[s->in_flight] = low;
		s->end[s->in_flight++] = now + 1;
	}
}

static void strict_end(struct strict *s, double now)
{
	for (uint32_t i = 0; i < s->in_flight;) {
		if (s->end[i] > now) {
			i++;
			continue;
		}
		s->low_in_flight -= s->low[i];
		s->end[i] = s->end[--s->in_flight];
		s->low[i] = s->low[s->in_flight];
	}
}

/* What priority_wait() would be if nothing but priority counted: physics. */
static double strict_wait(uint32_t k, uint32_t reserved, uint64_t jobs, double p)
{
	struct machine_flow high = {.random = 3, .gap_ns = 1};
	struct strict s = {.k = k, .reserved = reserved};
	double arrival = 0;
	double wait;

	machine_keep_waits(&high, jobs + 1024);
	s.waits = high.waits;
	for (double now = 0; s.gone < jobs;) {
		strict_end(&s, now);
		if (arrival <= now) {
			s.arrived[s.come++ % 1024] = now;
			arrival -= log(1 - machine_uniform(&high.random)) * HIGH_EVERY / k;
		}
		strict_start(&s, now);
		now = arrival;
		for (uint32_t i = 0; i < s.in_flight; i++)
			now = fmin(now, s.end[i]);
	}
	high.wait_count = s.gone;
	wait = machine_wait(&high, p);
	free(high.waits);
	return wait;
}

static void test_wait_serial(void **state)
{
	double wait = priority_wait(1, 0, JOBS, 0.99);
	double least = strict_wait(1, 0, JOBS, 0.99);

	print_message("one slot: p99 %.3f L, with strict priority %.3f L\n", wait, least);
	assert_true(wait <= 1.45);
	assert_true(wait <= least + 0.03);
}

static void test_wait_parallel(void **state)
{
	double wait = priority_wait(8, 0, JOBS, 0.99);

	print_message("8 slots: p99 %.3f L\n", wait);
	assert_true(wait <= 1);
}

/* Who finds the reserved slot busy waits for one of the others, as with strict priority. */
static void test_wait_reserved_slot(void **state)
{
	double wait = priority_wait(8, 1, JOBS, 0.99);
	double half = priority_wait(8, 1, JOBS / 10, 0.5);
	double least = strict_wait(8, 1, JOBS, 0.99);

	print_message("8 slots, one reserved: p50 %.3f L, p99 %.3f L, strict priority %.3f L\n",
		      half, wait, least);
	assert_true(half == 0);
	assert_true(wait <= fmax(0.45, least + 0.02));
}

/* Share of the first of three saturating flows, the first with @priority. */
static double priority_share(uint32_t k, uint32_t priority)
{
	struct qos_config config = {.parallelism = k};
	struct machine_flow *first;
	struct machine m;
	double share;

	machine_init(&m, &config, 1);
	first = machine_add(&m, NULL, priority_knobs(priority), 16, L);
	for (uint32_t i = 0; i < 2; i++)
		machine_add(&m, NULL, priority_knobs(0), 16, L)->cost = machine_cost_exp;
	machine_run_jobs(&m, JOBS);
	share = first->owned / m.busy;
	machine_done(&m);
	return share;
}

static void test_share_stays(void **state)
{
	for (uint32_t k = 1; k <= 8; k += 7) {
		double without = priority_share(k, 0);
		double with = priority_share(k, 7);

		print_message("K=%u: share %.6f, with priority 7 %.6f\n", k, without, with);
		assert_true(fabs(with / without - 1) < 0.001);
	}
}

/* Eight flows that ask for a little each, one saturating: who is higher waits less. */
static void test_order(void **state)
{
	struct qos_config config = {.parallelism = 1};
	struct machine m;
	double before = 0;

	machine_init(&m, &config, 1);
	for (uint32_t i = 0; i < 8; i++) {
		machine_add(&m, NULL, priority_knobs(7 - i), 0, L);
		machine_poisson(m.flows[i], L * 12);
	}
	machine_add(&m, NULL, priority_knobs(0), 16, L);
	machine_run(&m, JOBS * L);
	for (uint32_t i = 0; i < 8; i++) {
		double mean = m.flows[i]->waited / (double)m.flows[i]->started / (double)L;

		print_message("priority %u: mean wait %.3f L\n", m.flows[i]->knobs.priority, mean);
		assert_true(mean > before);
		before = mean;
	}
	machine_done(&m);
}

/* Two levels that ask for 10 % each: the lower one does not delay the higher one but by its running
 * job, and both go before those who saturate. */
static void test_two_levels(void **state)
{
	struct qos_config config = {.parallelism = 1};
	struct machine_flow *high;
	struct machine_flow *middle;
	struct machine m;
	double p99_high;
	double p99_middle;

	machine_init(&m, &config, 1);
	high = machine_add(&m, NULL, priority_knobs(7), 0, L);
	middle = machine_add(&m, NULL, priority_knobs(3), 0, L);
	for (uint32_t i = 0; i < 2; i++)
		machine_add(&m, NULL, priority_knobs(0), 16, L);
	machine_poisson(high, L * 10);
	machine_poisson(middle, L * 10);
	machine_keep_waits(high, JOBS / 10);
	machine_keep_waits(middle, JOBS / 10);
	machine_run(&m, JOBS * L);
	p99_high = machine_wait(high, 0.99) / (double)L;
	p99_middle = machine_wait(middle, 0.99) / (double)L;
	print_message("p99: priority 7 %.3f L, priority 3 %.3f L\n", p99_high, p99_middle);
	assert_true(p99_high <= 2);
	assert_true(p99_high < p99_middle && p99_middle <= 4);
	machine_done(&m);
}

/* Seven saturating flows of priorities 7..1 against one without: it gets its eighth, all the time.
 */
static void test_nobody_starves(void **state)
{
	for (uint32_t k = 1; k <= 8; k += 7) {
		struct qos_config config = {.parallelism = k};
		struct machine m;

		machine_init(&m, &config, 1);
		for (uint32_t i = 0; i < 8; i++)
			machine_add(&m, NULL, priority_knobs(7 - i), 16, L);
		machine_keep_trace(m.flows[7]);
		machine_keep_waits(m.flows[7], JOBS / 4);
		machine_run_jobs(&m, JOBS);
		for (uint32_t i = 0; i < 8; i++)
			assert_true(fabs(m.flows[i]->owned / m.busy * 8 - 1) < 0.002);
		/* 16 jobs are queued, each waits for 16 turns of 8 jobs; and once for the others to
		 * run 56 jobs ahead of what is due to all eight. */
		print_message("K=%u: longest wait of the last %.1f L\n", k,
			      (double)m.flows[7]->wait_max_ns / (double)L);
		assert_true(m.flows[7]->wait_max_ns <= ((16 * 8 + 56 * 8) / k + 8) * L);
		machine_done(&m);
	}
}

/* Who has had its turn is next all the same, and no longer, from the pick after the change on. */
static void test_live_change(void **state)
{
	struct qos_config config = {.parallelism = 1};
	struct machine_flow *f;
	struct machine m;
	uint64_t started;

	(void)state;
	machine_init(&m, &config, 1);
	for (uint32_t i = 0; i < 3; i++)
		machine_add(&m, NULL, priority_knobs(0), 8, L);
	f = m.flows[2];
	machine_run(&m, 100 * L);
	for (uint32_t i = 0; i < 100; i++) {
		for (started = f->started; f->started == started;)
			machine_run(&m, m.now_ns + L);
		started = f->started;
		if (i % 2)
			machine_set(f, priority_knobs(7));
		machine_run(&m, m.now_ns + L);
		assert_int_equal(f->started - started, i % 2);
		if (i % 2 == 0)
			continue;
		machine_set(f, priority_knobs(0));
		started = f->started;
		machine_run(&m, m.now_ns + L);
		assert_int_equal(f->started, started);
	}
	machine_done(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wait_serial),
		cmocka_unit_test(test_wait_parallel),
		cmocka_unit_test(test_wait_reserved_slot),
		cmocka_unit_test(test_share_stays),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_live_change),
		cmocka_unit_test(test_two_levels),
		cmocka_unit_test(test_nobody_starves),
	};

	return cmocka_run_group_tests_name("qos priority", tests, NULL, NULL);
}
