/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * umdev-sim: what would the scheduler do? Runs a scenario on a virtual clock.
 *
 * Exit code: 0; 1 when the scenario is wrong or cannot be run; 2 for usage.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"
#include "report.h"
#include "scenario.h"
#include "sim.h"
#include "util/cleanup.h"

#define MAIN_CHUNK ((size_t)1 << 16)

/* Reads all of @fd, at most SCENARIO_BYTES_MAX bytes. */
static int main_read(int fd, const char *name, char **ret_text, size_t *ret_len,
		     struct umdev_error *err)
{
	umdev_autofree char *text = NULL;
	size_t size = 0;
	size_t len = 0;

	for (;;) {
		ssize_t n;

		if (len == size) {
			char *larger = realloc(text, size ? 2 * size : MAIN_CHUNK);

			if (!larger)
				return error_set(err, ERROR_NO_MEMORY, "%s: not enough memory",
						 name);
			size = size ? 2 * size : MAIN_CHUNK;
			text = larger;
		}
		n = read(fd, text + len, size - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set(err, error_word_from_errno(errno), "%s: %s", name,
					 strerror(errno));
		if (n == 0)
			break;
		len += (size_t)n;
		if (len > SCENARIO_BYTES_MAX)
			return error_set(err, ERROR_LIMIT, "%s: has more than %u MiB", name,
					 SCENARIO_BYTES_MAX >> 20);
	}
	*ret_text = umdev_steal_ptr(&text);
	*ret_len = len;
	return 0;
}

static int main_load(const struct sim_options *options, struct scenario *ret_scenario,
		     struct umdev_error *err)
{
	umdev_autoclose int fd = -1;
	umdev_autofree char *text = NULL;
	const char *name = options->scenario;
	size_t len = 0;
	int r;

	if (strcmp(name, "-") == 0) {
		r = main_read(STDIN_FILENO, "standard input", &text, &len, err);
	} else {
		fd = open(name, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return error_set(err, error_word_from_errno(errno), "%s: %s", name,
					 strerror(errno));
		r = main_read(fd, name, &text, &len, err);
	}
	return r < 0 ? r : scenario_parse(text, len, ret_scenario, err);
}

/* Opens @name for lines of CSV that begin with @heads. NULL: none is wanted. */
static int main_csv(const char *name, const char *heads, FILE **ret_file, struct umdev_error *err)
{
	if (!name)
		return 0;
	*ret_file = fopen(name, "we");
	if (!*ret_file)
		return error_set(err, error_word_from_errno(errno), "%s: %s", name,
				 strerror(errno));
	fputs(heads, *ret_file);
	return 0;
}

static int main_csv_done(const char *name, FILE *file, struct umdev_error *err)
{
	if (file && (ferror(file) || fflush(file) != 0))
		return error_set(err, ERROR_INTERNAL, "%s: cannot be written", name);
	return 0;
}

static int main_run(const struct sim_options *options, struct umdev_error *err)
{
	umdev_auto(scenario_done) struct scenario scenario = {0};
	umdev_auto(sim_result_done) struct sim_result result = {0};
	umdev_autofclose FILE *file = NULL;
	umdev_autofclose FILE *jobs = NULL;
	struct sim_series series = {.interval_ns = options->interval_ns};
	int r = main_load(options, &scenario, err);

	if (r == 0)
		r = main_csv(options->series, "name,time_s,share,weight,cap\n", &file, err);
	if (r == 0)
		r = main_csv(options->jobs, "name,submit_ns,start_ns,end_ns\n", &jobs, err);
	series.file = file;
	series.jobs = jobs;
	if (r == 0)
		r = sim_run(&scenario, &series, &result, err);
	if (r == 0)
		r = main_csv_done(options->series, file, err);
	if (r == 0)
		r = main_csv_done(options->jobs, jobs, err);
	if (r < 0)
		return r;
	if (report_result(stdout, &scenario, &result, options->pretty) < 0 || fflush(stdout) != 0)
		return error_set(err, ERROR_INTERNAL, "cannot write the report");
	return 0;
}

int main(int argc, char **argv)
{
	struct sim_options options;
	struct umdev_error err = {0};
	int r = options_parse(argc, argv, &options, &err);

	if (r == OPTIONS_HELP) {
		options_usage(stdout);
		return EXIT_SUCCESS;
	}
	if (r == OPTIONS_VERSION) {
		puts("umdev-sim " UMDEV_VERSION);
		return EXIT_SUCCESS;
	}
	if (r < 0) {
		fprintf(stderr, "umdev-sim: %s\n", err.message);
		return 2;
	}
	if (main_run(&options, &err) < 0) {
		fprintf(stderr, "umdev-sim: %s\n", err.message);
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
