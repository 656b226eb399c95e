/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of umdev-perf: what is asked for, checked before anything is touched. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "util/cleanup.h"
#include "util/error.h"

#define OPTIONS_DEPTH_MAX  1023u /* a queue of 1024 entries holds one command less */
#define OPTIONS_QUEUES_MAX 64u
#define OPTIONS_ENTRIES	   1024u      /* what operating systems' drivers take */
#define OPTIONS_BLOCK_MAX  (1u << 20) /* one PRP list page describes more than this */
#define OPTIONS_SOCKET_MAX 4096

enum options_pattern {
	PATTERN_READ,
	PATTERN_WRITE,
	PATTERN_RW,
	PATTERN_RANDREAD,
	PATTERN_RANDWRITE,
	PATTERN_RANDRW,
	PATTERN_COUNT
};

/* How doorbells are rung; DOORBELLS_AUTO takes the first that the device offers, in this order. */
enum options_doorbells {
	DOORBELLS_AUTO,
	DOORBELLS_SHADOW,  /* in guest memory, with event index (Doorbell Buffer Config) */
	DOORBELLS_SHARED,  /* the device's own doorbell page, mapped */
	DOORBELLS_TRAPPED, /* a message for each */
	DOORBELLS_COUNT
};

struct perf_options {
	char socket[OPTIONS_SOCKET_MAX];
	char state_file[OPTIONS_SOCKET_MAX]; /* model of an earlier --verify run, or "" */
	enum options_pattern pattern;
	enum options_doorbells doorbells;
	uint32_t read_percent;
	uint32_t block_bytes;
	uint32_t depth;
	uint32_t queues;
	uint32_t entries; /* of each ring; 0: as an operating system would */
	uint32_t nsid;
	int32_t server_pid; /* 0: to be found */
	uint64_t runtime_ns;
	uint64_t ramp_ns;
	uint64_t timeout_ns;
	uint64_t start_at_ns; /* 0: now */
	double rate;	      /* commands a second; 0: as many as come back */
	uint64_t count;	      /* 0: until the runtime is over */
	uint64_t size_bytes;  /* 0: to the end of the namespace */
	uint64_t offset_bytes;
	uint64_t seed;
	bool poisson; /* the commands of a rate arrive at random */
	bool poll;
	bool json;
	bool verify;
	bool mixed;
	bool sgl;
	bool memcpy_baseline;
};

/* What options_parse() found besides a run. */
#define OPTIONS_HELP	1
#define OPTIONS_VERSION 2

/* Both have a name per value, for messages and reports. */
const char *options_pattern_name(enum options_pattern pattern);
const char *options_doorbells_name(enum options_doorbells doorbells);

/* Whether the blocks of a pattern are picked at random. */
bool options_pattern_random(enum options_pattern pattern);

/*
 * Fills *@ret_options from the arguments. Returns 0; OPTIONS_HELP or OPTIONS_VERSION when asked
 * for; or -EINVAL with the reason in @err, naming the option.
 */
int options_parse(int argc, char **argv, struct perf_options *ret_options,
		  struct umdev_error *err) umdev_warn_unused;

/* Prints the usage. */
void options_usage(FILE *out);
