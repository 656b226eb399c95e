/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A scenario: the engine, the mdevs, what they will ask for and when their knobs turn, read from
 * JSON and checked. The text is untrusted: everything in it has a bound, what is not known is an
 * error, and an error names the place.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cost.h"
#include "qos/qos.h"
#include "util/cleanup.h"
#include "util/error.h"

#define SCENARIO_BYTES_MAX     (256u << 20) /* of the text */
#define SCENARIO_MDEVS_MAX     200000u
#define SCENARIO_GROUPS_MAX    10000u
#define SCENARIO_CHANGES_MAX   1000000u /* of all mdevs */
#define SCENARIO_PHASES_MAX    1000000u /* of all mdevs */
#define SCENARIO_DEPTH_MAX     1000000u
#define SCENARIO_DEPTH_SUM_MAX (8u << 20) /* of the deepest queue of each mdev */
#define SCENARIO_WINDOWS_MAX   8u
#define SCENARIO_NAME_MAX      64u
#define SCENARIO_SECONDS_MAX   1e6
#define SCENARIO_COST_US_MAX   1e9
#define SCENARIO_BURST_MAX     1000000u
#define SCENARIO_SPLIT_MAX     1000000u
#define SCENARIO_JOBS_MAX      10000000000.0

#define SCENARIO_NO_GROUP      UINT32_MAX

enum scenario_arrival {
	ARRIVAL_NEVER,
	ARRIVAL_BACKLOGGED, /* as many outstanding as the queue is deep */
	ARRIVAL_POISSON,
	ARRIVAL_EVERY, /* bursts, of one job too, at equal distances */
	ARRIVAL_COUNT
};

/* What of a change counts. */
#define SCENARIO_CAP	  1u
#define SCENARIO_WEIGHT	  2u
#define SCENARIO_PRIORITY 4u
#define SCENARIO_DEPTH	  8u

struct scenario_change {
	uint64_t at_ns;
	uint32_t mask;
	uint32_t depth;
	struct qos_knobs knobs;
};

struct scenario_mdev {
	char *name; /* owned */
	struct qos_knobs knobs;
	uint32_t group; /* number, or SCENARIO_NO_GROUP */
	uint32_t depth;
	uint64_t start_ns;
	uint64_t stop_ns;
	enum scenario_arrival arrival;
	double per_ns;	   /* poisson */
	uint64_t every_ns; /* every */
	uint32_t burst;	   /* every */
	uint32_t split;	   /* into how many jobs each is cut */
	bool yield;	   /* one job queued at most */
	struct cost_model cost;
	struct scenario_change *changes; /* owned, in order of time */
	uint32_t change_count;
};

struct scenario_group {
	char *name; /* owned */
	struct qos_knobs knobs;
};

struct scenario {
	uint64_t seed;
	uint64_t duration_ns;
	uint64_t max_jobs; /* 0: no bound */
	struct qos_config engine;
	uint64_t windows_ns[SCENARIO_WINDOWS_MAX];
	uint32_t window_count; /* 0: to be found */
	struct scenario_group *groups;
	uint32_t group_count;
	struct scenario_mdev *mdevs;
	uint32_t mdev_count;
};

/*
 * Reads a scenario from @len bytes of @text. Returns 0, or -errno with @err, whose key is the
 * place, such as "mdevs[0].weight".
 */
int scenario_parse(const char *text, size_t len, struct scenario *ret_scenario,
		   struct umdev_error *err) umdev_warn_unused;

/* Frees what it holds; all zero is fine. */
void scenario_done(struct scenario *scenario);
