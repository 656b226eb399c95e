/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line. See options.h. */
#include "options.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/fd.h"
#include "util/parse.h"

#define OPTIONS_WORK_MAX 65536

static const char options_usage[] =
	"usage: umdev-conform [OPTION]... umdev-driver-NAME.so\n"
	"       umdev-conform --list\n"
	"Checks a vendor driver against the contract of umdev/driver.h.\n"
	"\n"
	"  --option KEY=VALUE          an option of the parent, as for umdevctl parent add\n"
	"  --type ID                   the type to use where one is enough\n"
	"  --only CHECK                this check alone, or all that begin so; may be repeated\n"
	"  --poke BAR:OFFSET:SIZE:VALUE  a register write that makes work; several make one job\n"
	"  --work FILE                 such writes from a file, one a line\n"
	"  --seed N                    of the random sequences; default 1\n"
	"  --older FILE                the driver of an older state_version, for state.convert\n"
	"  --no-daemon                 without the checks under a private umdevd\n"
	"  --json                      one JSON object instead of text\n"
	"  --verbose                   also what the driver logs\n"
	"  --list                      names the checks and what they mean\n"
	"  --help, --version\n";

enum {
	OPT_OPTION = 256,
	OPT_TYPE,
	OPT_ONLY,
	OPT_POKE,
	OPT_WORK,
	OPT_SEED,
	OPT_OLDER,
	OPT_JSON,
	OPT_LIST,
	OPT_NO_DAEMON
};

static const struct option options_long[] = {
	{"option", required_argument, NULL, OPT_OPTION},
	{"type", required_argument, NULL, OPT_TYPE},
	{"only", required_argument, NULL, OPT_ONLY},
	{"poke", required_argument, NULL, OPT_POKE},
	{"work", required_argument, NULL, OPT_WORK},
	{"seed", required_argument, NULL, OPT_SEED},
	{"json", no_argument, NULL, OPT_JSON},
	{"list", no_argument, NULL, OPT_LIST},
	{"older", required_argument, NULL, OPT_OLDER},
	{"no-daemon", no_argument, NULL, OPT_NO_DAEMON},
	{"verbose", no_argument, NULL, 'v'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

static int options_parent(struct conform_options *options, const char *text,
			  struct umdev_error *err)
{
	const char *eq = strchr(text, '=');
	umdev_autofree char *key = eq ? strndup(text, (size_t)(eq - text)) : NULL;

	if (!key || !key[0])
		return error_set(err, ERROR_INVALID, "--option %s is not KEY=VALUE", text);
	if (json_object_get(options->parent, key))
		return error_set(err, ERROR_INVALID, "--option %s is given twice", key);
	if (json_object_set_new(options->parent, key, json_string(eq + 1)) < 0)
		return error_set(err, ERROR_INVALID, "--option %s is no text", key);
	return 0;
}

static int options_poke(struct conform_options *options, const char *text, struct umdev_error *err)
{
	umdev_autofree char *copy = strdup(text);
	struct conform_poke *poke = &options->pokes[options->poke_count];
	uint64_t numbers[4];
	char *save = NULL;
	unsigned n = 0;

	if (options->poke_count == OPTIONS_POKES_MAX)
		return error_set(err, ERROR_LIMIT, "work of more than %d writes",
				 OPTIONS_POKES_MAX);
	for (char *word = copy ? strtok_r(copy, ":", &save) : NULL; word;
	     word = strtok_r(NULL, ":", &save)) {
		if (n == ARRAY_SIZE(numbers) || parse_u64(word, &numbers[n]) < 0)
			n = ARRAY_SIZE(numbers); /* and one more makes it wrong */
		n++;
	}
	if (n != ARRAY_SIZE(numbers) || numbers[0] > 5 ||
	    (numbers[2] != 1 && numbers[2] != 2 && numbers[2] != 4 && numbers[2] != 8) ||
	    numbers[1] % numbers[2] != 0)
		return error_set(err, ERROR_INVALID,
				 "'%s' is not BAR:OFFSET:SIZE:VALUE with BAR 0..5, SIZE 1, 2, 4 or "
				 "8 and an aligned OFFSET",
				 text);
	*poke = (struct conform_poke){.bar = (uint32_t)numbers[0],
				      .offset = numbers[1],
				      .size = (uint32_t)numbers[2],
				      .value = numbers[3]};
	options->poke_count++;
	return 0;
}

/* One write a line; blank lines and those that begin with # are none. */
static int options_work(struct conform_options *options, const char *path, struct umdev_error *err)
{
	umdev_autofree char *text = NULL;
	char *save = NULL;
	size_t len = 0;
	int r = fd_read_file(AT_FDCWD, path, OPTIONS_WORK_MAX, &text, &len);

	if (r < 0)
		return error_set(err, ERROR_INVALID, "--work %s: %s", path, strerror(-r));
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		line += strspn(line, " \t");
		line[strcspn(line, " \t\r#")] = '\0';
		r = line[0] ? options_poke(options, line, err) : 0;
		if (r < 0)
			return error_wrap(err, "--work %s", path);
	}
	return 0;
}

static int options_one(struct conform_options *options, int c, const char *arg,
		       struct umdev_error *err)
{
	switch (c) {
	case OPT_OPTION:
		return options_parent(options, arg, err);
	case OPT_TYPE:
		options->type = arg;
		return 0;
	case OPT_ONLY:
		if (options->only_count == OPTIONS_ONLY_MAX)
			return error_set(err, ERROR_LIMIT, "more than %d of --only",
					 OPTIONS_ONLY_MAX);
		options->only[options->only_count++] = arg;
		return 0;
	case OPT_POKE:
		return options_poke(options, arg, err);
	case OPT_WORK:
		return options_work(options, arg, err);
	case OPT_SEED:
		if (parse_u64(arg, &options->seed) < 0)
			return error_set(err, ERROR_INVALID, "--seed %s is no number", arg);
		return 0;
	case OPT_OLDER:
		if (!realpath(arg, options->older))
			return error_set(err, ERROR_NOT_FOUND, "--older %s: %s", arg,
					 strerror(errno));
		return 0;
	case OPT_JSON:
		options->json = true;
		return 0;
	case OPT_LIST:
		options->list = true;
		return 0;
	case OPT_NO_DAEMON:
		options->no_daemon = true;
		return 0;
	case 'v':
		options->verbose = true;
		return 0;
	case 'h':
		fputs(options_usage, stdout);
		return 1;
	case 'V':
		puts("umdev-conform " UMDEV_VERSION);
		return 1;
	default:
		return error_set(err, ERROR_INVALID, "try --help");
	}
}

/* The driver's name as its file says it. */
static int options_driver(struct conform_options *options, const char *path,
			  struct umdev_error *err)
{
	static const char prefix[] = "umdev-driver-";
	const char *base;
	size_t len;

	if (!realpath(path, options->path))
		return error_set(err, ERROR_NOT_FOUND, "%s: %s", path, strerror(errno));
	base = strrchr(options->path, '/') + 1;
	len = strlen(base);
	if (strncmp(base, prefix, strlen(prefix)) == 0 && len > strlen(prefix) + 3 &&
	    strcmp(base + len - 3, ".so") == 0)
		snprintf(options->name, sizeof(options->name), "%.*s",
			 (int)(len - strlen(prefix) - 3), base + strlen(prefix));
	return 0;
}

int options_parse(int argc, char **argv, struct conform_options *options, struct umdev_error *err)
{
	int r = 0;
	int c;

	memset(options, 0, sizeof(*options));
	options->seed = 1;
	options->parent = json_object();
	while (r == 0 && (c = getopt_long(argc, argv, "hvV", options_long, NULL)) != -1)
		r = options_one(options, c, optarg, err);
	if (r != 0)
		return r;
	if (options->list)
		return optind == argc ? 0 : error_set(err, ERROR_INVALID, "--list takes no driver");
	if (optind + 1 != argc)
		return error_set(err, ERROR_INVALID, "%s; try --help",
				 optind == argc ? "which driver?" : "more than one driver");
	return options_driver(options, argv[optind], err);
}

void options_done(struct conform_options *options)
{
	json_decref(options->parent);
	options->parent = NULL;
}
