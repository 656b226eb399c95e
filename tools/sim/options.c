/* SPDX-License-Identifier: BSD-3-Clause */
/* Parsing of the command line. See options.h. */
#include "options.h"

#include <errno.h>
#include <getopt.h>

#include "util/clock.h"
#include "util/parse.h"

#define OPTIONS_INTERVAL_MS	100u
#define OPTIONS_INTERVAL_MS_MAX 1000000000u

enum options_id {
	OPTION_PRETTY = 256,
	OPTION_SERIES,
	OPTION_INTERVAL,
	OPTION_JOBS,
	OPTION_HELP,
	OPTION_VERSION,
};

static const struct option options_long[] = {
	{"pretty", no_argument, NULL, OPTION_PRETTY},
	{"series", required_argument, NULL, OPTION_SERIES},
	{"interval-ms", required_argument, NULL, OPTION_INTERVAL},
	{"jobs", required_argument, NULL, OPTION_JOBS},
	{"help", no_argument, NULL, OPTION_HELP},
	{"version", no_argument, NULL, OPTION_VERSION},
	{NULL, 0, NULL, 0},
};

void options_usage(FILE *out)
{
	fputs("usage: umdev-sim [OPTION]... [FILE.json]\n"
	      "\n"
	      "Runs the scenario of FILE, or of standard input, and prints what would come of it.\n"
	      "\n"
	      "  --pretty         print the JSON in lines\n"
	      "  --series FILE    write the share of each mdev over time to FILE, as CSV\n"
	      "  --interval-ms N  how often (100)\n"
	      "  --jobs FILE      write when each job came, started and ended to FILE, as CSV\n"
	      "  --help, --version\n",
	      out);
}

static int options_interval(const char *text, uint64_t *ret_ns, struct umdev_error *err)
{
	uint64_t ms;

	if (parse_u64(text, &ms) < 0 || ms == 0 || ms > OPTIONS_INTERVAL_MS_MAX)
		return error_set_key(err, ERROR_INVALID, "interval-ms",
				     "--interval-ms %s: must be 1 to %u", text,
				     OPTIONS_INTERVAL_MS_MAX);
	*ret_ns = ms * NS_PER_MS;
	return 0;
}

int options_parse(int argc, char **argv, struct sim_options *ret_options, struct umdev_error *err)
{
	struct sim_options o = {
		.scenario = "-",
		.interval_ns = OPTIONS_INTERVAL_MS * NS_PER_MS,
	};
	bool interval_given = false;
	int id;

	optind = 0;
	opterr = 0;
	while ((id = getopt_long(argc, argv, ":", options_long, NULL)) != -1) {
		if (id == ':')
			return error_set(err, ERROR_INVALID, "%s: needs a value", argv[optind - 1]);
		if (id == '?')
			return error_set(err, ERROR_INVALID, "%s: no such option; see --help",
					 argv[optind - 1]);
		if (id == OPTION_HELP)
			return OPTIONS_HELP;
		if (id == OPTION_VERSION)
			return OPTIONS_VERSION;
		if (id == OPTION_PRETTY)
			o.pretty = true;
		if (id == OPTION_SERIES)
			o.series = optarg;
		if (id == OPTION_JOBS)
			o.jobs = optarg;
		if (id == OPTION_INTERVAL) {
			int r = options_interval(optarg, &o.interval_ns, err);

			if (r < 0)
				return r;
			interval_given = true;
		}
	}
	if (argc - optind > 1)
		return error_set(err, ERROR_INVALID, "%s: one scenario at a time; see --help",
				 argv[optind + 1]);
	if (interval_given && !o.series)
		return error_set_key(err, ERROR_INVALID, "interval-ms",
				     "--interval-ms goes with --series");
	if (optind < argc)
		o.scenario = argv[optind];
	*ret_options = o;
	return 0;
}
