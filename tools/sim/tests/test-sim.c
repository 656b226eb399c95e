/* SPDX-License-Identifier: BSD-3-Clause */
/* Whole simulations, on the real scheduler: tiny ones whose results follow by hand from any
 * scheduler that keeps its promises, and that the same scenario gives the same bytes. */
#include "sim.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "report.h"
#include "util/cleanup.h"

#define US 1000u

/* A scenario and what came of it. */
struct run {
	struct scenario scenario;
	struct sim_result result;
};

static void run_done(struct run *run)
{
	sim_result_done(&run->result);
	scenario_done(&run->scenario);
}

static int run_series(const char *text, struct run *run, const struct sim_series *series)
{
	struct umdev_error err = {0};
	int r;

	*run = (struct run){0};
	r = scenario_parse(text, strlen(text), &run->scenario, &err);
	if (r == 0)
		r = sim_run(&run->scenario, series, &run->result, &err);
	if (r < 0)
		print_message("%s\n", err.message);
	return r;
}

static void run(const char *text, struct run *run)
{
	static const struct sim_series none;

	assert_int_equal(run_series(text, run, &none), 0);
}

/* One job after the other, each waits for exactly one. */
static void test_alone(void **state)
{
	umdev_auto(run_done) struct run r;
	const struct sim_mdev_result *m;

	run("{\"duration_s\":0.001,\"mdevs\":[{\"name\":\"a\",\"queue_depth\":2,"
	    "\"cost_us\":{\"fixed\":100}}]}",
	    &r);
	m = r.result.mdevs;
	assert_int_equal(m->ended, 10);
	/* Ten that ended and the one that was queued then; nothing comes at the end. */
	assert_int_equal(m->jobs, 11);
	assert_true(m->share == 1);
	assert_int_equal(m->wait_p50, 100 * US);
	assert_int_equal(m->wait_max, 100 * US);
	assert_true(m->wait_mean == 90 * US);
	assert_int_equal(m->wait_total, 1000 * US);
	assert_int_equal(m->wait_error, 0);
	assert_int_equal(r.result.busy_ns, 1000000);
	assert_int_equal(r.result.idle_with_work_ns, 0);
	assert_int_equal(r.result.decisions, 10);
	assert_int_equal(r.result.longest_job_ns, 100 * US);
	assert_true(r.result.longest_charge_ns == 100 * US);
	assert_true(r.result.lag_max == 0);
	assert_int_equal(r.result.fair_mdevs, 1);
	assert_true(r.result.jain == 1);
	assert_int_equal(r.result.charge_error_ns, 0);
}

/* Two at a time: each is charged half. */
static void test_parallel(void **state)
{
	umdev_auto(run_done) struct run r;

	run("{\"duration_s\":0.001,\"engine\":{\"k\":2},\"mdevs\":[{\"name\":\"a\","
	    "\"queue_depth\":4,\"cost_us\":{\"fixed\":100}}]}",
	    &r);
	assert_int_equal(r.result.mdevs[0].ended, 20);
	assert_true(r.result.mdevs[0].share == 1);
	assert_true(r.result.longest_charge_ns == 50 * US);
	assert_int_equal(r.result.busy_ns, 1000000);
}

/* What ends makes room for what arrives at the same instant. */
static void test_order(void **state)
{
	umdev_auto(run_done) struct run r;

	run("{\"duration_s\":0.01,\"mdevs\":[{\"name\":\"a\",\"queue_depth\":1,"
	    "\"arrival\":{\"every_us\":100},\"cost_us\":{\"fixed\":100}}]}",
	    &r);
	assert_int_equal(r.result.mdevs[0].jobs, 100);
	assert_int_equal(r.result.mdevs[0].ended, 100);
	assert_int_equal(r.result.mdevs[0].dropped, 0);
	assert_int_equal(r.result.mdevs[0].wait_max, 0);
}

/* A burst of 5 into a queue of 3 every 1 ms. */
static void test_dropped(void **state)
{
	umdev_auto(run_done) struct run r;

	run("{\"duration_s\":0.01,\"mdevs\":[{\"name\":\"a\",\"queue_depth\":3,"
	    "\"arrival\":{\"burst\":5,\"every_ms\":1},\"cost_us\":{\"fixed\":100}}]}",
	    &r);
	assert_int_equal(r.result.mdevs[0].jobs, 30);
	assert_int_equal(r.result.mdevs[0].dropped, 20);
	assert_int_equal(r.result.mdevs[0].wait_max, 200 * US);
	assert_true(r.result.mdevs[0].wait_mean == 100 * US);
	assert_true(fabs(r.result.mdevs[0].share - 0.3) < 1e-12);
	assert_int_equal(r.result.idle_with_work_ns, 0);
}

/* The pieces of a job cost what the job would; the last ones carry what does not divide. */
static void test_split(void **state)
{
	umdev_auto(run_done) struct run r;

	run("{\"duration_s\":0.01,\"mdevs\":[{\"name\":\"a\",\"split\":3,"
	    "\"arrival\":{\"every_us\":100},\"cost_us\":{\"fixed\":10}}]}",
	    &r);
	assert_int_equal(r.result.mdevs[0].jobs, 300);
	assert_int_equal(r.result.longest_job_ns, 3334);
	assert_true(fabs(r.result.mdevs[0].owned_ns - 1e6) < 1);
}

/* Weights 1 and 3 of equal jobs: exact over a whole number of rounds. */
static void test_weights(void **state)
{
	umdev_auto(run_done) struct run r;

	run("{\"duration_s\":1,\"mdevs\":["
	    "{\"name\":\"a\",\"weight\":100,\"cost_us\":{\"fixed\":100}},"
	    "{\"name\":\"b\",\"weight\":300,\"cost_us\":{\"fixed\":100}}]}",
	    &r);
	assert_true(fabs(r.result.mdevs[0].share - 0.25) <= 0.0002);
	assert_true(fabs(r.result.mdevs[1].share - 0.75) <= 0.0002);
	assert_int_equal(r.result.fair_mdevs, 2);
	assert_true(r.result.jain > 0.999999);
	assert_true(r.result.lag_max > 0 && r.result.lag_max <= 1);
}

/* Who comes later, is capped or goes away is not among those compared. */
static void test_steady(void **state)
{
	umdev_auto(run_done) struct run r;

	run("{\"duration_s\":0.1,\"mdevs\":["
	    "{\"name\":\"a\",\"cost_us\":{\"fixed\":100}},"
	    "{\"name\":\"b\",\"cost_us\":{\"fixed\":100}},"
	    "{\"name\":\"late\",\"start_s\":0.01,\"cost_us\":{\"fixed\":100}},"
	    "{\"name\":\"gone\",\"stop_s\":0.05,\"cost_us\":{\"fixed\":100}},"
	    "{\"name\":\"capped\",\"cap\":5,\"cost_us\":{\"fixed\":100}},"
	    "{\"name\":\"turned\",\"at\":[{\"s\":0.02,\"weight\":7}],\"cost_us\":{\"fixed\":100}},"
	    "{\"name\":\"never\",\"arrival\":\"never\"}]}",
	    &r);
	assert_int_equal(r.result.fair_mdevs, 2);
	assert_int_equal(r.result.mdevs[6].jobs, 0);
}

/* A cap holds in the long run, and windows are as asked for. */
static void test_cap(void **state)
{
	umdev_auto(run_done) struct run r;

	run("{\"duration_s\":1,\"windows_us\":[10000,5000000],\"mdevs\":["
	    "{\"name\":\"a\",\"cap\":50,\"cost_us\":{\"fixed\":100}}]}",
	    &r);
	assert_true(r.result.mdevs[0].share <= 0.5 + 1e-4);
	assert_true(r.result.mdevs[0].share >= 0.5 - 1e-3);
	assert_int_equal(r.result.window_count, 2);
	assert_int_equal(r.result.windows[0].length_ns, 10000 * US);
	assert_true(r.result.windows[0].seen);
	assert_true(r.result.windows[0].points <= 0.51);
	assert_false(r.result.windows[1].seen);
	assert_int_equal(r.result.fair_mdevs, 0);
	assert_int_equal(r.result.idle_with_work_ns, 0);
}

/* Windows that nobody asked for follow the longest job, known before or only after. */
static void test_windows(void **state)
{
	umdev_auto(run_done) struct run fixed;
	umdev_auto(run_done) struct run drawn;

	run("{\"duration_s\":1,\"mdevs\":["
	    "{\"name\":\"a\",\"cap\":50,\"cost_us\":{\"fixed\":100}}]}",
	    &fixed);
	run("{\"duration_s\":1,\"mdevs\":["
	    "{\"name\":\"a\",\"cap\":50,\"cost_us\":{\"exp\":100}}]}",
	    &drawn);
	assert_int_equal(fixed.result.window_count, 3);
	assert_int_equal(fixed.result.windows[0].length_ns, 1000 * US);
	assert_int_equal(fixed.result.windows[2].length_ns, 100000 * US);
	assert_int_equal(drawn.result.window_count, 3);
	assert_int_equal(drawn.result.windows[1].length_ns, 100 * drawn.result.longest_job_ns);
}

static void test_max_jobs(void **state)
{
	umdev_auto(run_done) struct run r;

	run("{\"max_jobs\":7,\"mdevs\":[{\"name\":\"a\",\"cost_us\":{\"fixed\":100}}]}", &r);
	assert_int_equal(r.result.ended, 7);
	assert_int_equal(r.result.wall_ns, 700 * US);
	assert_true(r.result.mdevs[0].share == 1);
}

/* A job that outlasts the run is charged until its end. */
static void test_unfinished(void **state)
{
	umdev_auto(run_done) struct run r;

	run("{\"duration_s\":0.001,\"mdevs\":[{\"name\":\"a\",\"cost_us\":{\"fixed\":1500}},"
	    "{\"name\":\"b\",\"cost_us\":{\"fixed\":1500}}]}",
	    &r);
	assert_int_equal(r.result.ended, 0);
	assert_int_equal(r.result.longest_job_ns, 0);
	assert_true(r.result.longest_charge_ns == 1000 * US);
	assert_true(r.result.lag_max == 0.5);
	assert_true(r.result.mdevs[0].share + r.result.mdevs[1].share == 1);
}

/* Never more than one in the queue, yet the device is never idle. */
static void test_yield(void **state)
{
	umdev_auto(run_done) struct run r;

	run("{\"duration_s\":0.001,\"mdevs\":[{\"name\":\"a\",\"yield\":true,"
	    "\"cost_us\":{\"fixed\":100}}]}",
	    &r);
	assert_int_equal(r.result.mdevs[0].ended, 10);
	assert_int_equal(r.result.mdevs[0].wait_max, 100 * US);
	assert_true(r.result.mdevs[0].share == 1);
	assert_int_equal(r.result.fair_mdevs, 1);
}

static void test_depth_change(void **state)
{
	umdev_auto(run_done) struct run r;

	run("{\"duration_s\":0.002,\"mdevs\":[{\"name\":\"a\",\"queue_depth\":1,"
	    "\"at\":[{\"s\":0.001,\"queue_depth\":11}],\"cost_us\":{\"fixed\":100}}]}",
	    &r);
	assert_int_equal(r.result.mdevs[0].ended, 20);
	/* Eleven come at 1 ms; those that come at 1.1 ms and later wait for ten. */
	assert_int_equal(r.result.mdevs[0].jobs, 30);
	assert_int_equal(r.result.mdevs[0].wait_max, 900 * US);
}

/* A slot that is reserved may be free while others wait, and is no waste. */
static void test_reserved(void **state)
{
	umdev_auto(run_done) struct run r;

	run("{\"duration_s\":0.01,\"engine\":{\"k\":2,\"reserved_slots\":1},\"mdevs\":["
	    "{\"name\":\"a\",\"cost_us\":{\"fixed\":100}},"
	    "{\"name\":\"b\",\"priority\":1,\"arrival\":{\"every_us\":1000},"
	    "\"cost_us\":{\"fixed\":50}}]}",
	    &r);
	assert_int_equal(r.result.mdevs[0].ended, 100);
	assert_int_equal(r.result.mdevs[1].ended, 10);
	assert_int_equal(r.result.mdevs[1].wait_max, 0);
	assert_int_equal(r.result.idle_with_work_ns, 0);
}

/* Groups share first, members after that. */
static void test_groups(void **state)
{
	umdev_auto(run_done) struct run r;

	run("{\"duration_s\":1,\"groups\":[{\"name\":\"g\",\"weight\":100}],\"mdevs\":["
	    "{\"name\":\"a\",\"group\":\"g\",\"weight\":100,\"cost_us\":{\"fixed\":100}},"
	    "{\"name\":\"b\",\"group\":\"g\",\"weight\":300,\"cost_us\":{\"fixed\":100}},"
	    "{\"name\":\"c\",\"weight\":300,\"cost_us\":{\"fixed\":100}}]}",
	    &r);
	assert_true(fabs(r.result.mdevs[2].share - 0.75) < 0.001);
	assert_true(fabs(r.result.mdevs[0].share - 0.0625) < 0.001);
	assert_int_equal(r.result.fair_mdevs, 3);
	assert_true(r.result.share_error_percent < 1);
}

static const char mixed[] =
	"{\"duration_s\":0.2,\"engine\":{\"k\":4,\"reserved_slots\":1},\"mdevs\":["
	"{\"name\":\"a\",\"cost_us\":{\"exp\":100}},"
	"{\"name\":\"b\",\"cost_us\":{\"pareto\":[1.5,20,2000]},\"weight\":200},"
	"{\"name\":\"c\",\"cost_us\":{\"uniform\":[50,300]},\"cap\":20},"
	"{\"name\":\"d\",\"cost_us\":{\"fixed\":50},\"arrival\":{\"poisson_per_s\":500},"
	"\"priority\":7,\"at\":[{\"s\":0.1,\"cap\":1,\"priority\":3},{\"s\":0.15,\"cap\":100}]}]";

/* The report of @text, with the sum of what the mdevs owned checked against the busy time. */
static void report(const char *text, bool pretty, char **ret_text, size_t *ret_len)
{
	umdev_auto(run_done) struct run r;
	FILE *file = open_memstream(ret_text, ret_len);
	double owned = 0;

	assert_non_null(file);
	run(text, &r);
	for (uint32_t i = 0; i < r.scenario.mdev_count; i++) {
		owned += r.result.mdevs[i].owned_ns;
		assert_true(llabs(r.result.mdevs[i].wait_error) < 1000);
	}
	assert_true(fabs(owned - (double)r.result.busy_ns) < 1);
	assert_true(r.result.owned_error_ns < 1000);
	assert_int_equal(report_result(file, &r.scenario, &r.result, pretty), 0);
	assert_int_equal(fclose(file), 0);
}

static void test_same(void **state)
{
	umdev_autofree char *first = NULL;
	umdev_autofree char *second = NULL;
	umdev_autofree char *other = NULL;
	umdev_autofree char *pretty = NULL;
	char text[sizeof(mixed) + 20];
	size_t len;

	snprintf(text, sizeof(text), "%s}", mixed);
	report(text, false, &first, &len);
	report(text, false, &second, &len);
	assert_string_equal(first, second);
	assert_null(strchr(first, ' '));
	assert_ptr_equal(strchr(first, '\n'), first + len - 1);
	snprintf(text, sizeof(text), "%s,\"seed\":2}", mixed);
	report(text, false, &other, &len);
	assert_string_not_equal(first, other);
	report(text, true, &pretty, &len);
	for (char *to = pretty, *from = pretty;; from++) {
		if (*from != ' ' && *from != '\n')
			*to++ = *from;
		if (!*from)
			break;
	}
	other[strlen(other) - 1] = 0;
	assert_string_equal(pretty, other);
}

static void test_series(void **state)
{
	umdev_auto(run_done) struct run r;
	umdev_autofree char *text = NULL;
	size_t len;
	struct sim_series series = {.interval_ns = 1000000};

	series.file = open_memstream(&text, &len);
	assert_non_null(series.file);
	assert_int_equal(
		run_series("{\"duration_s\":0.0025,\"mdevs\":[{\"name\":\"a\",\"stop_s\":0.0015,"
			   "\"queue_depth\":1,\"cost_us\":{\"fixed\":100},\"at\":[{\"s\":0.001,"
			   "\"weight\":5},{\"s\":0.002,\"cap\":12.5}]}]}",
			   &r, &series),
		0);
	assert_int_equal(fclose(series.file), 0);
	assert_string_equal(text, "a,0.001000,1.000000000,100,100.00\n"
				  "a,0.002000,0.500000000,5,100.00\n"
				  "a,0.002500,0.000000000,5,12.50\n");
}

/* One line a job in the order of their ends; what still runs or waits is not there. */
static void test_jobs(void **state)
{
	umdev_auto(run_done) struct run r;
	umdev_autofree char *text = NULL;
	size_t len;
	struct sim_series series = {0};

	series.jobs = open_memstream(&text, &len);
	assert_non_null(series.jobs);
	assert_int_equal(
		run_series(
			"{\"duration_s\":0.00025,\"engine\":{\"k\":2},\"mdevs\":["
			"{\"name\":\"a\",\"queue_depth\":2,\"cost_us\":{\"fixed\":100}},"
			"{\"name\":\"b\",\"arrival\":{\"every_us\":120},\"cost_us\":{\"fixed\":20}}]}",
			&r, &series),
		0);
	assert_int_equal(fclose(series.jobs), 0);
	assert_string_equal(text, "b,0,0,20000\n"
				  "a,0,0,100000\n"
				  "a,0,20000,120000\n"
				  "b,120000,120000,140000\n"
				  "a,100000,100000,200000\n"
				  "a,120000,140000,240000\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alone),	     cmocka_unit_test(test_parallel),
		cmocka_unit_test(test_order),	     cmocka_unit_test(test_dropped),
		cmocka_unit_test(test_split),	     cmocka_unit_test(test_weights),
		cmocka_unit_test(test_steady),	     cmocka_unit_test(test_cap),
		cmocka_unit_test(test_windows),	     cmocka_unit_test(test_max_jobs),
		cmocka_unit_test(test_unfinished),   cmocka_unit_test(test_yield),
		cmocka_unit_test(test_depth_change), cmocka_unit_test(test_groups),
		cmocka_unit_test(test_reserved),     cmocka_unit_test(test_same),
		cmocka_unit_test(test_series),	     cmocka_unit_test(test_jobs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
