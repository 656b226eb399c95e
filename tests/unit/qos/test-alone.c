/* SPDX-License-Identifier: BSD-3-Clause */
/* A flow that has the engine for itself: counted instead of weighed, and charged to the last
 * nanosecond when somebody else comes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "machine.h"

#define US 1000ull

static struct qos_flow_stats alone_stats(const struct machine_flow *f)
{
	struct qos_flow_stats stats;

	qos_flow_stats(&f->flow, f->machine->now_ns, &stats);
	return stats;
}

static void expect_books(const struct machine *m)
{
	struct qos_engine_stats engine;
	double sum = 0;

	for (uint32_t i = 0; i < m->flow_count; i++) {
		struct qos_flow_stats s = alone_stats(m->flows[i]);
		uint64_t causes = 0;

		for (uint32_t c = 0; c < QOS_CAUSE_COUNT; c++)
			causes += s.wait_by_cause_ns[c];
		assert_int_equal(causes, s.wait_ns);
		assert_true(fabs((double)s.owned_ns - m->flows[i]->owned) <= 2);
		sum += (double)s.owned_ns;
	}
	qos_engine_stats(m->engine, m->now_ns, &engine);
	assert_true(fabs((double)engine.busy_ns - m->busy) <= 2);
	assert_true(fabs(sum - m->busy) <= 2 * m->flow_count + 2);
}

static void test_others_come_and_go(void **state)
{
	for (uint32_t k = 1; k <= 8; k *= 8) {
		struct qos_config config = {.parallelism = k};
		struct machine m;
		struct machine_flow *a;
		struct machine_flow *b;

		machine_init(&m, &config, 99);
		a = machine_add(&m, NULL, (struct qos_knobs)QOS_KNOBS_DEFAULT, 16, 100 * US);
		b = machine_add(&m, NULL, (struct qos_knobs)QOS_KNOBS_DEFAULT, 0, 70 * US);
		m.check = NULL;
		for (unsigned i = 0; i < 200; i++) {
			machine_run(&m, m.now_ns + 333 * US);
			expect_books(&m);
			if (i % 3 == 0)
				machine_arrive(b);
			if (i == 150)
				a->depth = 0; /* b alone at last */
		}
		assert_int_equal(b->ended, b->started);
		assert_true(b->ended > 60);
		/* Nobody else made it wait while it was alone. */
		assert_true(alone_stats(a).wait_by_cause_ns[QOS_CAUSE_ENGINE] >
			    alone_stats(a).wait_by_cause_ns[QOS_CAUSE_TURN]);
		machine_done(&m);
	}
}

static void test_no_share_is_won_by_having_been_alone(void **state)
{
	struct qos_config config = {.parallelism = 1};
	struct machine m;
	struct machine_flow *a;
	struct machine_flow *b;
	double a_before;

	machine_init(&m, &config, 0);
	a = machine_add(&m, NULL, (struct qos_knobs)QOS_KNOBS_DEFAULT, 16, 100 * US);
	b = machine_add(&m, NULL, (struct qos_knobs)QOS_KNOBS_DEFAULT, 0, 100 * US);
	machine_run(&m, 1000000 * US);
	a_before = a->owned;
	b->depth = 16;
	machine_run(&m, 1010000 * US);
	/* Equal from the first moment on, within a job. */
	assert_true(fabs(a->owned - a_before - b->owned) <= 101 * US);
	assert_true(b->wait_max_ns <= 3300 * US);
	machine_done(&m);
}

/* The caller's rounds count as busy only where they start something. */
static void test_pass(void **state)
{
	struct qos_config config = {.parallelism = 4};
	struct qos_engine *engine = qos_engine_new(&config, 0);
	struct qos_knobs knobs = QOS_KNOBS_DEFAULT;
	struct qos_flow flow = {0};
	struct qos_job jobs[3] = {0};
	struct qos_flow_stats stats;
	struct qos_job *job;

	assert_non_null(engine);
	assert_int_equal(qos_flow_join(engine, NULL, &flow, &knobs, 0), 0);
	qos_submit(&flow, &jobs[0], 100);
	qos_submit(&flow, &jobs[1], 100);
	qos_pass(engine, true, 200);
	while ((job = qos_pick(engine, 200)))
		qos_complete(job, 200); /* at once, the clock not read */
	qos_pass(engine, false, 900);
	qos_flow_stats(&flow, 900, &stats);
	assert_int_equal(stats.owned_ns, 700);
	assert_int_equal(stats.jobs, 2);

	qos_pass(engine, true, 1000); /* a round of other engines */
	assert_null(qos_pick(engine, 1000));
	qos_pass(engine, false, 5000);
	qos_flow_stats(&flow, 5000, &stats);
	assert_int_equal(stats.owned_ns, 700);
	qos_flow_leave(&flow);
	qos_engine_free(engine);
}

static void test_knobs_while_alone(void **state)
{
	struct qos_config config = {.parallelism = 2};
	struct machine m;
	struct machine_flow *a;

	machine_init(&m, &config, 5);
	a = machine_add(&m, NULL, (struct qos_knobs)QOS_KNOBS_DEFAULT, 8, 100 * US);
	machine_run(&m, 5000 * US);
	machine_set(a, (struct qos_knobs){.cap = 5000, .weight = 7, .priority = 3});
	machine_run(&m, 100000 * US);
	expect_books(&m);
	/* Half of the time since, and what it had before. */
	assert_true(a->owned <= 5000 * US + 0.5 * 95000 * US + 100 * US);
	assert_true(a->owned >= 5000 * US + 0.49 * 95000 * US);
	machine_set(a, (struct qos_knobs)QOS_KNOBS_DEFAULT);
	machine_run(&m, 110000 * US);
	expect_books(&m);
	machine_done(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_others_come_and_go),
		cmocka_unit_test(test_no_share_is_won_by_having_been_alone),
		cmocka_unit_test(test_pass),
		cmocka_unit_test(test_knobs_while_alone),
	};

	return cmocka_run_group_tests_name("qos alone", tests, NULL, NULL);
}
