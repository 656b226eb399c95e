/* SPDX-License-Identifier: BSD-3-Clause */
/* Knobs, caps and usage of the mdevs of one parent. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "host/group.h"
#include "host/host.h"
#include "host/jobs.h"
#include "host/usage.h"
#include "util/clock.h"

#define JOBS   64
#define MDEVS  3
#define JOB_NS (200 * NS_PER_US)
#define GROUP  "00000000-0000-4000-8000-0000000000aa"

/* A device with one slot whose driver says when each job ended. */
struct bench {
	struct umdev_parent parent;
	struct umdev_mdev mdevs[MDEVS];
	struct page_header headers[MDEVS];
	struct umdev_engine engine;
	struct umdev_job jobs[MDEVS][JOBS];
	struct umdev_job *running;
	struct umdev_mdev *running_of;
	uint64_t running_since_ns;
	unsigned started[MDEVS];
	bool by_itself; /* jobs end by a timer, not when the test says so */
	struct reactor_timer end;
	struct umdev_qos qos; /* as the driver was told */
	int qos_result;
};

static struct bench *bench_now;

static void bench_end(struct bench *b);

static void bench_expired(struct reactor_timer *timer)
{
	bench_end(container_of(timer, struct bench, end));
}

static void bench_job_start(void *priv, struct umdev_job *job)
{
	struct umdev_mdev *mdev = priv;
	struct bench *b = bench_now;

	assert_null(b->running);
	b->running = job;
	b->running_of = mdev;
	/* Not the present time: we may have had to wait for a processor since. */
	b->running_since_ns = b->parent.jobs_ns;
	b->started[mdev - b->mdevs]++;
	b->end.expired = bench_expired;
	if (b->by_itself)
		reactor_timer_set(b->parent.reactor, &b->end, b->running_since_ns + JOB_NS);
}

static int bench_qos_set(void *priv, const struct umdev_qos *qos)
{
	assert_int_equal(qos->struct_size, sizeof(*qos));
	if (bench_now->qos_result == 0)
		bench_now->qos = *qos;
	return bench_now->qos_result;
}

static int bench_setup_with(void **state, bool hardware)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct qos_knobs knobs = QOS_KNOBS_DEFAULT;
	struct umdev_error err = {0};

	assert_non_null(b);
	bench_now = b;
	b->parent.reactor = reactor_new();
	assert_non_null(b->parent.reactor);
	list_init(&b->parent.mdevs);
	list_init(&b->parent.groups);
	b->parent.driver.table.name = "bench";
	b->parent.driver.table.engine_size = sizeof(struct umdev_engine);
	b->parent.driver.table.job_start = bench_job_start;
	if (hardware)
		b->parent.driver.table.qos_set = bench_qos_set;
	b->engine = (struct umdev_engine){.name = "io", .parallelism = 1};
	b->parent.info.engines = &b->engine;
	b->parent.info.engine_count = 1;
	assert_int_equal(host_jobs_init(&b->parent, &err), 0);
	for (unsigned i = 0; i < MDEVS; i++) {
		struct umdev_mdev *mdev = &b->mdevs[i];

		snprintf(mdev->uuid, sizeof(mdev->uuid), "%036u", i);
		mdev->parent = &b->parent;
		mdev->priv = mdev;
		mdev->page.header = &b->headers[i];
		assert_int_equal(host_mdev_join(mdev, &knobs, &err), 0);
		list_add_tail(&b->parent.mdevs, &mdev->link);
	}
	*state = b;
	return 0;
}

static int bench_setup(void **state)
{
	return bench_setup_with(state, false);
}

static int bench_setup_hardware(void **state)
{
	return bench_setup_with(state, true);
}

static void bench_turn(struct bench *b)
{
	assert_int_equal(reactor_turn(b->parent.reactor, 0), 0);
}

/* Ends the job that runs as if it had taken JOB_NS to the nanosecond. */
static void bench_end(struct bench *b)
{
	struct umdev_job *job = b->running;

	while (clock_now_ns() < b->running_since_ns + JOB_NS)
		;
	b->running = NULL;
	host_job_done_at(b->running_of, job, b->running_since_ns + JOB_NS);
}

static int bench_teardown(void **state)
{
	struct bench *b = *state;

	if (b->running)
		bench_end(b);
	for (unsigned i = 0; i < MDEVS; i++) {
		for (unsigned j = 0; j < JOBS; j++)
			(void)host_job_withdraw(&b->mdevs[i], &b->jobs[i][j]);
		host_mdev_leave(&b->mdevs[i]);
	}
	host_jobs_done(&b->parent);
	reactor_free(b->parent.reactor);
	free(b);
	return 0;
}

static void bench_fill(struct bench *b, unsigned mdev, unsigned jobs)
{
	for (unsigned i = 0; i < jobs; i++)
		host_job_submit(&b->mdevs[mdev], &b->jobs[mdev][i]);
}

static void bench_run(struct bench *b, unsigned jobs)
{
	for (unsigned i = 0; i < jobs; i++) {
		while (!b->running)
			bench_turn(b);
		bench_end(b);
	}
}

static void bench_set(struct bench *b, unsigned mdev, struct qos_knobs knobs)
{
	struct umdev_error err = {0};

	assert_int_equal(host_mdev_set_knobs(&b->mdevs[mdev], &knobs, &err), 0);
}

static json_int_t bench_usage(struct bench *b, unsigned mdev, const char *key)
{
	json_t *usage = host_usage_print(&b->parent, b->mdevs[mdev].uuid, true);
	const json_t *row = json_object_get(json_object_get(usage, "mdevs"), b->mdevs[mdev].uuid);
	json_int_t value = json_integer_value(json_object_get(row, key));

	if (json_object_get(json_object_get(row, "wait_by_cause_ns"), key))
		value = json_integer_value(
			json_object_get(json_object_get(row, "wait_by_cause_ns"), key));
	json_decref(usage);
	return value;
}

static void test_weights_decide(void **state)
{
	struct bench *b = *state;

	bench_set(b, 1, (struct qos_knobs){.cap = QOS_CAP_NONE, .weight = 300});
	bench_fill(b, 0, JOBS);
	bench_fill(b, 1, JOBS);
	bench_run(b, 40);
	assert_in_range(b->started[0], 9, 11);
	assert_in_range(b->started[1], 29, 31);
	/* What was owned is what the driver said the jobs took. */
	assert_in_range(bench_usage(b, 0, "owned_ns") + bench_usage(b, 1, "owned_ns"), 40 * JOB_NS,
			40 * (JOB_NS + 20 * NS_PER_US));
	/* Changed while they run: in effect from the next start. */
	bench_set(b, 1, (struct qos_knobs){.cap = QOS_CAP_NONE, .weight = 100});
	b->started[0] = 0;
	b->started[1] = 0;
	bench_run(b, 20);
	assert_in_range(b->started[0], 9, 11);
}

static void test_priority_goes_first(void **state)
{
	struct bench *b = *state;

	bench_fill(b, 0, 32);
	bench_run(b, 4);
	bench_set(b, 1, (struct qos_knobs){.cap = QOS_CAP_NONE, .weight = 100, .priority = 7});
	bench_turn(b);
	bench_fill(b, 1, 1);
	bench_run(b, 1); /* which ran already */
	bench_turn(b);
	assert_int_equal(b->started[1], 1);
}

static void test_cap_holds_and_the_timer_wakes(void **state)
{
	struct bench *b = *state;
	uint64_t begin;
	uint64_t took;

	bench_set(b, 0, (struct qos_knobs){.cap = 5000, .weight = 100});
	b->by_itself = true;
	bench_fill(b, 0, 20);
	begin = clock_now_ns();
	/* Nothing wakes the loop but ends of jobs and the timer of the cap. */
	while (b->started[0] < 20 || b->running)
		assert_int_equal(reactor_turn(b->parent.reactor, NS_PER_S), 0);
	took = clock_now_ns() - begin;
	assert_true(took >= 19 * 2 * JOB_NS);
	/* How much of the wait that was depends on how late this process gets the processor. */
	assert_true(bench_usage(b, 0, "cap") > 0);
}

static void test_usage_adds_up(void **state)
{
	struct bench *b = *state;
	json_t *usage;
	const json_t *causes;
	const char *key;
	json_t *value;
	json_int_t sum = 0;
	const json_t *row;

	bench_fill(b, 0, 16);
	bench_fill(b, 1, 16);
	bench_run(b, 8);
	usage = host_usage_print(&b->parent, NULL, true);
	row = json_object_get(json_object_get(usage, "mdevs"), b->mdevs[0].uuid);
	causes = json_object_get(row, "wait_by_cause_ns");
	json_object_foreach ((json_t *)(uintptr_t)causes, key, value)
		sum += json_integer_value(value);
	assert_int_equal(json_object_size(causes), QOS_CAUSE_COUNT);
	assert_int_equal(sum, json_integer_value(json_object_get(row, "wait_ns")));
	assert_true(sum > 0);
	assert_true(json_is_false(json_object_get(usage, "hardware")));
	assert_int_equal(json_array_size(json_object_get(usage, "engines")), 1);
	json_decref(usage);
}

static void test_knobs_are_parsed_within_their_ranges(void **state)
{
	static const struct {
		json_int_t cap, weight, priority;
		bool good;
	} cases[] = {
		{1, 1, 0, true},	{10000, 10000, 7, true}, {0, 100, 0, false},
		{10001, 100, 0, false}, {100, 0, 0, false},	 {100, 10001, 0, false},
		{100, 100, 8, false},	{-1, 100, 0, false},	 {100, 1LL << 33, 0, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *object = json_pack("{s:I,s:I,s:I}", "cap", cases[i].cap, "weight",
					   cases[i].weight, "priority", cases[i].priority);
		struct umdev_error err = {0};
		struct qos_knobs knobs;
		int r = host_knobs_parse(object, &knobs, &err);

		assert_int_equal(r == 0, cases[i].good);
		if (r < 0)
			assert_int_equal(err.word, ERROR_INVALID);
		json_decref(object);
	}
}

static void test_hardware_takes_the_knobs(void **state)
{
	struct bench *b = *state;
	struct qos_knobs knobs = {.cap = 2500, .weight = 7, .priority = 3};
	struct umdev_error err = {0};

	assert_int_equal(b->qos.weight, QOS_WEIGHT); /* told at its creation */
	bench_set(b, 0, knobs);
	assert_int_equal(b->qos.cap, 2500);
	assert_int_equal(b->qos.weight, 7);
	assert_int_equal(b->qos.priority, 3);
	b->qos_result = -EBUSY;
	knobs.weight = 8;
	assert_true(host_mdev_set_knobs(&b->mdevs[0], &knobs, &err) < 0);
	assert_int_equal(err.word, ERROR_DEVICE_BUSY);
	assert_int_equal(b->mdevs[0].knobs.weight, 7);
	/* The host leaves the choice to the device: no cap holds anything here. */
	bench_fill(b, 0, 8);
	bench_run(b, 8);
	assert_int_equal(bench_usage(b, 0, "weight"), 7);
	assert_int_equal(b->started[0], 8);
}

/* A device that schedules by itself knows no groups: their knobs are refused, not ignored. */
static void test_hardware_has_no_groups(void **state)
{
	struct bench *b = *state;
	struct umdev_mdev *mdev = &b->mdevs[0];
	struct qos_knobs knobs = QOS_KNOBS_DEFAULT;
	struct umdev_error err = {0};

	knobs.weight = 300;
	assert_true(host_group_join(mdev, GROUP, &knobs, &err) < 0);
	assert_int_equal(err.word, ERROR_INVALID);
	assert_non_null(strstr(err.message, "schedules by itself"));
	assert_null(mdev->group);
	assert_true(list_empty(&b->parent.groups));
	knobs = (struct qos_knobs)QOS_KNOBS_DEFAULT;
	assert_int_equal(host_group_join(mdev, GROUP, &knobs, &err), 0);
	knobs.cap = 5000;
	assert_true(host_group_set(&b->parent, GROUP, &knobs, &err) < 0);
	assert_int_equal(err.word, ERROR_INVALID);
	host_group_leave(mdev);
	assert_true(list_empty(&b->parent.groups));
	assert_true(host_group_set(&b->parent, GROUP, &knobs, &err) < 0);
	assert_int_equal(err.word, ERROR_NOT_ACTIVE);
}

/* Two members share what one competitor gets, by their own weights; the change counts at once. */
static void test_group_is_one(void **state)
{
	struct bench *b = *state;
	struct qos_knobs knobs = QOS_KNOBS_DEFAULT;
	struct qos_knobs three = QOS_KNOBS_DEFAULT;
	struct umdev_error err = {0};

	three.weight = 300;
	for (unsigned i = 0; i < 2; i++) {
		host_mdev_leave(&b->mdevs[i]);
		assert_int_equal(host_group_join(&b->mdevs[i], GROUP, &knobs, &err), 0);
		assert_int_equal(host_mdev_join(&b->mdevs[i], i ? &three : &knobs, &err), 0);
	}
	for (unsigned i = 0; i < 3; i++)
		bench_fill(b, i, JOBS);
	bench_run(b, 32);
	assert_in_range(b->started[0], 3, 5);
	assert_in_range(b->started[1], 11, 13);
	assert_in_range(b->started[2], 15, 17);
	memset(b->started, 0, sizeof(b->started));
	assert_int_equal(host_group_set(&b->parent, GROUP, &three, &err), 0);
	bench_run(b, 16);
	assert_in_range(b->started[2], 3, 5);
	for (unsigned i = 0; i < 2; i++) {
		if (b->running_of == &b->mdevs[i] && b->running)
			bench_end(b);
		for (unsigned j = 0; j < JOBS; j++)
			(void)host_job_withdraw(&b->mdevs[i], &b->jobs[i][j]);
		host_mdev_leave(&b->mdevs[i]);
		host_group_leave(&b->mdevs[i]);
		assert_int_equal(host_mdev_join(&b->mdevs[i], &knobs, &err), 0);
	}
	assert_true(list_empty(&b->parent.groups));
}

static void test_impossible_reservation(void **state)
{
	struct bench *b = *state;
	struct umdev_parent parent = b->parent;
	struct umdev_error err = {0};

	b->engine.reserved_slots = 1;
	assert_true(host_jobs_init(&parent, &err) < 0);
	assert_int_equal(err.word, ERROR_DRIVER_FAILED);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, bench_setup, bench_teardown)
	const struct CMUnitTest tests[] = {
		WITH(test_weights_decide),
		WITH(test_priority_goes_first),
		WITH(test_cap_holds_and_the_timer_wakes),
		WITH(test_usage_adds_up),
		WITH(test_knobs_are_parsed_within_their_ranges),
		cmocka_unit_test_setup_teardown(test_hardware_takes_the_knobs, bench_setup_hardware,
						bench_teardown),
		cmocka_unit_test_setup_teardown(test_hardware_has_no_groups, bench_setup_hardware,
						bench_teardown),
		WITH(test_group_is_one),
		WITH(test_impossible_reservation),
	};

	return cmocka_run_group_tests_name("host qos", tests, NULL, NULL);
}
