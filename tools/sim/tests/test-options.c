/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of umdev-sim: what is understood, and how each mistake is named. */
#include "options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Splits @line, which is changed, at blanks and parses it. */
static int parse(char *line, struct sim_options *o, struct umdev_error *err)
{
	char *argv[16] = {(char *)(uintptr_t) "umdev-sim"};
	int argc = 1;
	char *save = NULL;

	*err = (struct umdev_error){0};
	for (char *word = strtok_r(line, " ", &save); word; word = strtok_r(NULL, " ", &save))
		argv[argc++] = word;
	return options_parse(argc, argv, o, err);
}

static void test_good(void **state)
{
	char none[] = "";
	char all[] = "--series s.csv --interval-ms 20 in.json --pretty --jobs j.csv";
	char dash[] = "-";
	struct sim_options o;
	struct umdev_error err;

	assert_int_equal(parse(none, &o, &err), 0);
	assert_string_equal(o.scenario, "-");
	assert_null(o.series);
	assert_null(o.jobs);
	assert_false(o.pretty);
	assert_int_equal(parse(all, &o, &err), 0);
	assert_string_equal(o.scenario, "in.json");
	assert_string_equal(o.series, "s.csv");
	assert_string_equal(o.jobs, "j.csv");
	assert_int_equal(o.interval_ns, 20000000);
	assert_true(o.pretty);
	assert_int_equal(parse(dash, &o, &err), 0);
	assert_string_equal(o.scenario, "-");
}

static void test_questions(void **state)
{
	char help[] = "--help";
	char version[] = "--version";
	struct sim_options o;
	struct umdev_error err;

	assert_int_equal(parse(help, &o, &err), OPTIONS_HELP);
	assert_int_equal(parse(version, &o, &err), OPTIONS_VERSION);
}

static void test_bad(void **state)
{
	static const char *const lines[] = {
		"--fast",
		"--series",
		"--jobs",
		"a.json b.json",
		"--interval-ms 5",
		"--series s --interval-ms 0",
		"--series s --interval-ms 1.5",
		"--series s --interval-ms 1000000001",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		char line[64];
		struct sim_options o;
		struct umdev_error err;

		snprintf(line, sizeof(line), "%s", lines[i]);
		assert_int_equal(parse(line, &o, &err), -EINVAL);
		assert_int_equal(err.word, ERROR_INVALID);
		assert_null(strchr(err.message, '\n'));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_questions),
		cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
