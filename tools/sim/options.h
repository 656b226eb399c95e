/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of umdev-sim. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "util/cleanup.h"
#include "util/error.h"

struct sim_options {
	const char *scenario; /* a path, or "-" */
	const char *series;   /* a path, or NULL */
	const char *jobs;     /* a path, or NULL */
	uint64_t interval_ns;
	bool pretty;
};

/* What options_parse() found besides a run. */
#define OPTIONS_HELP	1
#define OPTIONS_VERSION 2

/*
 * Fills *@ret_options, whose texts are those of @argv. Returns 0; OPTIONS_HELP or OPTIONS_VERSION
 * when asked for; or -EINVAL with the reason in @err, naming the option.
 */
int options_parse(int argc, char **argv, struct sim_options *ret_options,
		  struct umdev_error *err) umdev_warn_unused;

/* Prints the usage. */
void options_usage(FILE *out);
