/* SPDX-License-Identifier: BSD-3-Clause */
/* Jobs: order, parallelism, withdrawal, and jobs that end within their start. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "host/host.h"
#include "host/jobs.h"
#include "util/clock.h"

#define JOBS 64

/* A driver that notes what it was told to start. */
struct bench {
	struct umdev_parent parent;
	struct umdev_mdev mdev;
	struct page_header header;
	struct umdev_engine engines[2];
	struct umdev_job jobs[JOBS];
	struct umdev_job *started[JOBS * 4];
	unsigned started_count;
	unsigned flushes;
	bool end_at_once;
	bool submit_again;
};

static void bench_job_start(void *priv, struct umdev_job *job)
{
	struct bench *b = priv;

	assert_true(b->started_count < JOBS * 4);
	b->started[b->started_count++] = job;
	if (b->end_at_once)
		host_job_done(&b->mdev, job);
	if (b->submit_again && b->started_count < JOBS * 4)
		host_job_submit(&b->mdev, job);
}

static void bench_flush(void *priv)
{
	struct bench *b = priv;

	b->flushes++;
}

static int bench_setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct qos_knobs knobs = QOS_KNOBS_DEFAULT;
	struct umdev_error err = {0};

	assert_non_null(b);
	b->parent.reactor = reactor_new();
	assert_non_null(b->parent.reactor);
	b->parent.priv = b;
	b->parent.driver.table.engine_size = sizeof(struct umdev_engine);
	b->parent.driver.table.job_start = bench_job_start;
	b->parent.driver.table.jobs_flush = bench_flush;
	b->parent.info.engines = b->engines;
	b->parent.info.engine_count = 2;
	b->engines[0] = (struct umdev_engine){.name = "io", .parallelism = 4};
	b->engines[1] = (struct umdev_engine){.name = "admin", .parallelism = 1};
	b->mdev.parent = &b->parent;
	b->mdev.priv = b;
	b->mdev.page.header = &b->header;
	list_init(&b->parent.mdevs);
	assert_int_equal(host_jobs_init(&b->parent, &err), 0);
	assert_int_equal(host_mdev_join(&b->mdev, &knobs, &err), 0);
	*state = b;
	return 0;
}

static int bench_teardown(void **state)
{
	struct bench *b = *state;

	host_mdev_leave(&b->mdev);
	host_jobs_done(&b->parent);
	reactor_free(b->parent.reactor);
	free(b);
	return 0;
}

static uint32_t bench_in_flight(struct bench *b)
{
	struct qos_engine_stats stats;

	qos_engine_stats(b->parent.engines[0].qos, clock_now_ns(), &stats);
	return stats.in_flight;
}

static void bench_turn(struct bench *b)
{
	assert_int_equal(reactor_turn(b->parent.reactor, 0), 0);
}

static void test_starts_in_order_up_to_k(void **state)
{
	struct bench *b = *state;

	for (unsigned i = 0; i < 10; i++)
		host_job_submit(&b->mdev, &b->jobs[i]);
	assert_int_equal(b->started_count, 0); /* never from within submit */
	bench_turn(b);
	assert_int_equal(b->started_count, 4);
	assert_int_equal(b->flushes, 1);
	host_job_done(&b->mdev, &b->jobs[2]);
	bench_turn(b);
	assert_int_equal(b->started_count, 5);
	for (unsigned i = 0; i < 5; i++)
		assert_ptr_equal(b->started[i], &b->jobs[i]);
}

static void test_engines_do_not_wait_for_each_other(void **state)
{
	struct bench *b = *state;

	for (unsigned i = 0; i < 8; i++)
		host_job_submit(&b->mdev, &b->jobs[i]);
	b->jobs[8].engine = 1;
	b->jobs[9].engine = 1;
	host_job_submit(&b->mdev, &b->jobs[8]);
	host_job_submit(&b->mdev, &b->jobs[9]);
	bench_turn(b);
	assert_int_equal(b->started_count, 5);
	assert_ptr_equal(b->started[4], &b->jobs[8]);
}

static void test_unknown_engine_is_the_first(void **state)
{
	struct bench *b = *state;

	b->jobs[0].engine = 77;
	host_job_submit(&b->mdev, &b->jobs[0]);
	bench_turn(b);
	assert_int_equal(b->started_count, 1);
	assert_int_equal(b->jobs[0].engine, 0);
}

static void test_withdraw(void **state)
{
	struct bench *b = *state;

	for (unsigned i = 0; i < 6; i++)
		host_job_submit(&b->mdev, &b->jobs[i]);
	bench_turn(b);
	assert_int_equal(host_job_withdraw(&b->mdev, &b->jobs[0]), 0); /* started */
	assert_int_equal(host_job_withdraw(&b->mdev, &b->jobs[4]), 1);
	assert_int_equal(host_job_withdraw(&b->mdev, &b->jobs[4]), 0); /* gone already */
	for (unsigned i = 0; i < 4; i++)
		host_job_done(&b->mdev, &b->jobs[i]);
	bench_turn(b);
	assert_int_equal(b->started_count, 5);
	assert_ptr_equal(b->started[4], &b->jobs[5]);
}

static void test_twice_submitted_and_twice_ended(void **state)
{
	struct bench *b = *state;

	host_job_submit(&b->mdev, &b->jobs[0]);
	host_job_submit(&b->mdev, &b->jobs[0]);
	bench_turn(b);
	assert_int_equal(b->started_count, 1);
	host_job_submit(&b->mdev, &b->jobs[0]); /* still started */
	bench_turn(b);
	assert_int_equal(b->started_count, 1);
	host_job_done(&b->mdev, &b->jobs[0]);
	host_job_done(&b->mdev, &b->jobs[0]);
	assert_int_equal(bench_in_flight(b), 0);
	host_job_submit(&b->mdev, &b->jobs[0]);
	bench_turn(b);
	assert_int_equal(b->started_count, 2);
}

static void test_end_within_start(void **state)
{
	struct bench *b = *state;

	b->end_at_once = true;
	for (unsigned i = 0; i < 32; i++)
		host_job_submit(&b->mdev, &b->jobs[i]);
	bench_turn(b);
	assert_int_equal(b->started_count, 32);
	assert_int_equal(bench_in_flight(b), 0);
	assert_int_equal(b->flushes, 1);
}

static void test_endless_jobs_let_events_through(void **state)
{
	struct bench *b = *state;

	b->end_at_once = true;
	b->submit_again = true;
	host_job_submit(&b->mdev, &b->jobs[0]);
	bench_turn(b);
	/* What was started in one turn is bounded, and the driver stopped by its own limit. */
	assert_true(b->started_count <= JOBS * 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_starts_in_order_up_to_k, bench_setup,
						bench_teardown),
		cmocka_unit_test_setup_teardown(test_engines_do_not_wait_for_each_other,
						bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(test_unknown_engine_is_the_first, bench_setup,
						bench_teardown),
		cmocka_unit_test_setup_teardown(test_withdraw, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(test_twice_submitted_and_twice_ended, bench_setup,
						bench_teardown),
		cmocka_unit_test_setup_teardown(test_end_within_start, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(test_endless_jobs_let_events_through, bench_setup,
						bench_teardown),
	};

	return cmocka_run_group_tests_name("host jobs", tests, NULL, NULL);
}
