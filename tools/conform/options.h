/* SPDX-License-Identifier: BSD-3-Clause */
/* What umdev-conform is told on its command line. */
#pragma once

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/cleanup.h"
#include "util/error.h"

#define OPTIONS_POKES_MAX 64
#define OPTIONS_ONLY_MAX  64

/* One register write of the work that the author of a driver described. */
struct conform_poke {
	uint32_t bar;
	uint32_t size; /* 1, 2, 4 or 8 */
	uint64_t offset;
	uint64_t value;
};

struct conform_options {
	char path[PATH_MAX]; /* of the driver, absolute */
	char name[64]; /* the file's name without umdev-driver- and .so; "" for another name */
	char older[PATH_MAX]; /* the driver of an older state_version, or "" */
	json_t *parent;	      /* options of the parent: name -> text */
	const char *type;     /* id of the type to use, or NULL */
	const char *only[OPTIONS_ONLY_MAX];
	uint32_t only_count;
	struct conform_poke pokes[OPTIONS_POKES_MAX]; /* together they make one job */
	uint32_t poke_count;
	uint64_t seed;
	bool list;
	bool json;
	bool verbose;
	bool no_daemon; /* not the checks that need one */
};

/*
 * Reads the command line. Returns 0; 1 when all was said already (help, version); or -errno with
 * @err when it is wrong. What it holds is freed with options_done().
 */
int options_parse(int argc, char **argv, struct conform_options *options,
		  struct umdev_error *err) umdev_warn_unused;
/* Frees what options_parse() took. */
void options_done(struct conform_options *options);
