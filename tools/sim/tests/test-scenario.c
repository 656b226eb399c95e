/* SPDX-License-Identifier: BSD-3-Clause */
/* Scenarios: what is understood, what is refused, and which place the error names. */
#include "scenario.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "util/cleanup.h"

#define MDEV(members) "{\"mdevs\":[{\"name\":\"a\",\"cost_us\":{\"fixed\":1}," members "}]}"
#define COST(members) "{\"mdevs\":[{\"name\":\"a\",\"cost_us\":{" members "}}]}"
#define PLAIN	      "{\"name\":\"a\",\"cost_us\":{\"fixed\":1}}"

static int parse(const char *text, struct scenario *sc, struct umdev_error *err)
{
	*err = (struct umdev_error){0};
	return scenario_parse(text, strlen(text), sc, err);
}

static void test_defaults(void **state)
{
	umdev_auto(scenario_done) struct scenario sc = {0};
	struct umdev_error err;

	assert_int_equal(parse("{\"mdevs\":[" PLAIN "]}", &sc, &err), 0);
	assert_int_equal(sc.seed, 1);
	assert_int_equal(sc.duration_ns, 10000000000ULL);
	assert_int_equal(sc.engine.parallelism, 1);
	assert_int_equal(sc.mdev_count, 1);
	assert_string_equal(sc.mdevs[0].name, "a");
	assert_int_equal(sc.mdevs[0].knobs.weight, 100);
	assert_int_equal(sc.mdevs[0].knobs.cap, QOS_CAP_NONE);
	assert_int_equal(sc.mdevs[0].knobs.priority, 0);
	assert_int_equal(sc.mdevs[0].depth, 32);
	assert_int_equal(sc.mdevs[0].stop_ns, sc.duration_ns);
	assert_int_equal(sc.mdevs[0].arrival, ARRIVAL_BACKLOGGED);
	assert_int_equal(sc.mdevs[0].group, SCENARIO_NO_GROUP);
}

static void test_everything(void **state)
{
	umdev_auto(scenario_done) struct scenario sc = {0};
	struct umdev_error err;
	const struct scenario_mdev *m;

	assert_int_equal(
		parse("{\"mdevs\":["
		      "{\"group\":\"h\",\"name\":\"a\",\"weight\":200.0,\"cap\":33.33,\"priority\":7,"
		      "\"queue_depth\":8,\"start_s\":0.5,\"stop_s\":99,\"yield\":true,\"split\":4,"
		      "\"cost_us\":{\"pareto\":[1.5,10,1000]},"
		      "\"at\":[{\"s\":1,\"weight\":7},{\"s\":1,\"cap\":0.01,\"queue_depth\":9}]},"
		      "{\"name\":\"b\",\"arrival\":{\"poisson_per_s\":10},\"cost_us\":{\"exp\":0.5}},"
		      "{\"name\":\"c\",\"arrival\":{\"every_ms\":2,\"burst\":5},"
		      "\"cost_us\":{\"uniform\":[1,2]}},"
		      "{\"name\":\"d\",\"arrival\":{\"every_us\":2.5},"
		      "\"cost_us\":{\"phases\":[[3,10],[1,20.001]]}},"
		      "{\"name\":\"e\",\"idle\":true},{\"name\":\"f\",\"arrival\":\"never\"}],"
		      "\"groups\":[{\"name\":\"g\"},{\"name\":\"h\",\"weight\":5,\"cap\":50}],"
		      "\"engine\":{\"k\":8,\"reserved_slots\":7,\"burst_us\":1.5,\"slack_us\":2,"
		      "\"virtual_start\":\"fffffffffffffff0\"},"
		      "\"windows_us\":[10,1000],\"max_jobs\":77,\"duration_s\":2,\"seed\":9}",
		      &sc, &err),
		0);
	m = sc.mdevs;
	assert_int_equal(m[0].group, 1);
	assert_int_equal(m[0].knobs.weight, 200);
	assert_int_equal(m[0].knobs.cap, 3333);
	assert_int_equal(m[0].knobs.priority, 7);
	assert_int_equal(m[0].start_ns, 500000000);
	assert_int_equal(m[0].stop_ns, 2000000000);
	assert_true(m[0].yield);
	assert_int_equal(m[0].split, 4);
	assert_int_equal(m[0].change_count, 2);
	assert_int_equal(m[0].changes[0].mask, SCENARIO_WEIGHT);
	assert_int_equal(m[0].changes[1].mask, SCENARIO_CAP | SCENARIO_DEPTH);
	assert_int_equal(m[0].changes[1].knobs.cap, 1);
	assert_int_equal(m[0].changes[1].depth, 9);
	assert_int_equal(m[1].arrival, ARRIVAL_POISSON);
	assert_int_equal(m[2].every_ns, 2000000);
	assert_int_equal(m[2].burst, 5);
	assert_int_equal(m[3].every_ns, 2500);
	assert_int_equal(m[3].burst, 1);
	assert_int_equal(m[3].cost.phase_count, 2);
	assert_int_equal(m[3].cost.phases[1].cost_ns, 20001);
	assert_int_equal(m[4].arrival, ARRIVAL_NEVER);
	assert_int_equal(m[5].arrival, ARRIVAL_NEVER);
	assert_int_equal(sc.groups[1].knobs.weight, 5);
	assert_int_equal(sc.groups[1].knobs.cap, 5000);
	assert_int_equal(sc.engine.parallelism, 8);
	assert_int_equal(sc.engine.reserved_slots, 7);
	assert_int_equal(sc.engine.burst_ns, 1500);
	assert_int_equal(sc.engine.slack_ns, 2000);
	assert_true(sc.engine.virtual_start == 0xfffffffffffffff0ULL);
	assert_int_equal(sc.window_count, 2);
	assert_int_equal(sc.windows_ns[1], 1000000);
	assert_int_equal(sc.max_jobs, 77);
	assert_int_equal(sc.seed, 9);
}

/* Wrong scenarios, and the places that their errors name. */
static const struct {
	const char *text;
	const char *place;
} wrong[] = {
	{"[]", "scenario"},
	{"{}", "scenario"},
	{"{\"mdevs\":[]}", "mdevs"},
	{"{\"mdevs\":{}}", "mdevs"},
	{"{\"mdevs\":[3]}", "mdevs[0]"},
	{"{\"mdevs\":[" PLAIN "," PLAIN "]}", "mdevs[1].name"},
	{"{\"mdevs\":[" PLAIN "],\"speed\":1}", "scenario"},
	{"{\"mdevs\":[" PLAIN "],\"seed\":-1}", "seed"},
	{"{\"mdevs\":[" PLAIN "],\"duration_s\":0}", "duration_s"},
	{"{\"mdevs\":[" PLAIN "],\"duration_s\":1000001}", "duration_s"},
	{"{\"mdevs\":[" PLAIN "],\"max_jobs\":0}", "max_jobs"},
	{"{\"mdevs\":[" PLAIN "],\"windows_us\":[]}", "windows_us"},
	{"{\"mdevs\":[" PLAIN "],\"windows_us\":[5,5]}", "windows_us[1]"},
	{"{\"mdevs\":[" PLAIN "],\"windows_us\":[1,2,3,4,5,6,7,8,9]}", "windows_us"},
	{"{\"mdevs\":[" PLAIN "],\"engine\":{\"k\":0}}", "engine.k"},
	{"{\"mdevs\":[" PLAIN "],\"engine\":{\"k\":65537}}", "engine.k"},
	{"{\"mdevs\":[" PLAIN "],\"engine\":{\"k\":2,\"reserved_slots\":2}}", "engine"},
	{"{\"mdevs\":[" PLAIN "],\"engine\":{\"virtual_start\":\"xyz\"}}", "engine.virtual_start"},
	{"{\"mdevs\":[" PLAIN "],\"engine\":{\"virtual_start\":\"\"}}", "engine.virtual_start"},
	{"{\"mdevs\":[" PLAIN "],\"groups\":[{\"weight\":1}]}", "groups[0]"},
	{"{\"mdevs\":[" PLAIN "],\"groups\":[{\"name\":\"g\"},{\"name\":\"g\"}]}",
	 "groups[1].name"},
	{"{\"mdevs\":[" PLAIN "],\"groups\":[{\"name\":\"g\",\"priority\":1}]}", "groups[0]"},
	{"{\"mdevs\":[{\"cost_us\":{\"fixed\":1}}]}", "mdevs[0]"},
	{"{\"mdevs\":[{\"name\":\"a\"}]}", "mdevs[0]"},
	{"{\"mdevs\":[{\"name\":\"\",\"idle\":true}]}", "mdevs[0].name"},
	{"{\"mdevs\":[{\"name\":\"a,b\",\"idle\":true}]}", "mdevs[0].name"},
	{"{\"mdevs\":[{\"name\":\"a\\nb\",\"idle\":true}]}", "mdevs[0].name"},
	{MDEV("\"weight\":0"), "mdevs[0].weight"},
	{MDEV("\"weight\":10001"), "mdevs[0].weight"},
	{MDEV("\"weight\":1.5"), "mdevs[0].weight"},
	{MDEV("\"weight\":\"1\""), "mdevs[0].weight"},
	{MDEV("\"cap\":0"), "mdevs[0].cap"},
	{MDEV("\"cap\":100.01"), "mdevs[0].cap"},
	{MDEV("\"cap\":1.001"), "mdevs[0].cap"},
	{MDEV("\"priority\":8"), "mdevs[0].priority"},
	{MDEV("\"priority\":-1"), "mdevs[0].priority"},
	{MDEV("\"queue_depth\":0"), "mdevs[0].queue_depth"},
	{MDEV("\"queue_depth\":1000001"), "mdevs[0].queue_depth"},
	{MDEV("\"start_s\":2,\"stop_s\":1"), "mdevs[0]"},
	{MDEV("\"group\":\"g\""), "mdevs[0].group"},
	{MDEV("\"yield\":1"), "mdevs[0].yield"},
	{MDEV("\"yield\":true,\"arrival\":{\"every_us\":1}"), "mdevs[0]"},
	{MDEV("\"split\":0"), "mdevs[0].split"},
	{MDEV("\"arrival\":\"often\""), "mdevs[0].arrival"},
	{MDEV("\"arrival\":{}"), "mdevs[0].arrival"},
	{MDEV("\"arrival\":{\"poisson_per_s\":0}"), "mdevs[0].arrival.poisson_per_s"},
	{MDEV("\"arrival\":{\"poisson_per_s\":1,\"burst\":2}"), "mdevs[0].arrival"},
	{MDEV("\"arrival\":{\"burst\":2}"), "mdevs[0].arrival"},
	{MDEV("\"arrival\":{\"every_us\":0.0001}"), "mdevs[0].arrival.every_us"},
	{MDEV("\"at\":[{\"weight\":1}]"), "mdevs[0].at[0]"},
	{MDEV("\"at\":[{\"s\":2},{\"s\":1}]"), "mdevs[0].at[1]"},
	{MDEV("\"at\":[{\"s\":2,\"cap\":101}]"), "mdevs[0].at[0].cap"},
	{COST(""), "mdevs[0].cost_us"},
	{COST("\"fixed\":1,\"exp\":1"), "mdevs[0].cost_us"},
	{COST("\"normal\":1"), "mdevs[0].cost_us"},
	{COST("\"fixed\":0"), "mdevs[0].cost_us.fixed"},
	{COST("\"fixed\":1000000001"), "mdevs[0].cost_us.fixed"},
	{COST("\"uniform\":[2,1]"), "mdevs[0].cost_us.uniform"},
	{COST("\"uniform\":[1]"), "mdevs[0].cost_us.uniform"},
	{COST("\"pareto\":[0,1,2]"), "mdevs[0].cost_us.pareto[0]"},
	{COST("\"pareto\":[1,2,2]"), "mdevs[0].cost_us.pareto"},
	{COST("\"phases\":[]"), "mdevs[0].cost_us.phases"},
	{COST("\"phases\":[[0,1]]"), "mdevs[0].cost_us.phases[0][0]"},
	{COST("\"phases\":[[1,1],[1,0]]"), "mdevs[0].cost_us.phases[1][1]"},
};

static void test_wrong(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct scenario sc;
		struct umdev_error err;

		if (parse(wrong[i].text, &sc, &err) != -EINVAL)
			fail_msg("%s: was not refused", wrong[i].text);
		if (strcmp(err.key, wrong[i].place) != 0)
			fail_msg("%s: the error is about %s: %s", wrong[i].text, err.key,
				 err.message);
		assert_null(strchr(err.message, '\n'));
		assert_int_equal(strncmp(err.message, err.key, strlen(err.key)), 0);
	}
}

static void test_message(void **state)
{
	struct scenario sc;
	struct umdev_error err;

	assert_int_equal(parse(MDEV("\"weight\":0"), &sc, &err), -EINVAL);
	assert_string_equal(err.message, "mdevs[0].weight: 0 is out of range 1..10000");
}

/* What is no JSON at all, and keys that are there twice. */
static void test_syntax(void **state)
{
	static const char *const texts[] = {
		"",
		"{",
		"{\"mdevs\":[" PLAIN "]} x",
		"{\"seed\":1,\"seed\":2,\"mdevs\":[" PLAIN "]}",
		"{\"seed\":1e999}",
		"\"a\nb\"",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct scenario sc;
		struct umdev_error err;

		assert_int_equal(parse(texts[i], &sc, &err), -EINVAL);
		assert_null(strchr(err.message, '\n'));
	}
}

/* A scenario of @count mdevs whose queues are @depth deep. */
static char *many(unsigned count, unsigned depth)
{
	size_t size = 64 + (size_t)count * 64;
	char *text = malloc(size);
	size_t used;

	assert_non_null(text);
	used = (size_t)snprintf(text, size, "{\"mdevs\":[");
	for (unsigned i = 0; i < count; i++)
		used += (size_t)snprintf(text + used, size - used,
					 "%s{\"name\":\"%u\",\"queue_depth\":%u,"
					 "\"cost_us\":{\"fixed\":1}}",
					 i ? "," : "", i, depth);
	snprintf(text + used, size - used, "]}");
	return text;
}

static void test_limits(void **state)
{
	static const struct {
		unsigned count;
		unsigned depth;
		int r;
	} cases[] = {
		{SCENARIO_MDEVS_MAX, 1, 0},
		{SCENARIO_MDEVS_MAX + 1, 1, -EINVAL},
		{8, SCENARIO_DEPTH_MAX, 0},
		{SCENARIO_DEPTH_SUM_MAX / 65536, 65536, 0},
		{SCENARIO_DEPTH_SUM_MAX / 65536 + 1, 65536, -EINVAL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		umdev_autofree char *text = many(cases[i].count, cases[i].depth);
		umdev_auto(scenario_done) struct scenario sc = {0};
		struct umdev_error err;

		assert_int_equal(parse(text, &sc, &err), cases[i].r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_everything),
		cmocka_unit_test(test_wrong),	 cmocka_unit_test(test_message),
		cmocka_unit_test(test_syntax),	 cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
