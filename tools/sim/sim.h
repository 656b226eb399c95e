/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The simulation: the scheduler of umdev-host on a virtual clock, with a device and mdevs that only
 * exist as numbers. The same scenario gives the same result to the bit.
 *
 * The device runs up to K jobs at once, each for its own cost, which the scheduler learns when the
 * job ends. At one instant, first the jobs that end are ended, then what arrives is submitted,
 * backlogs are filled up first; then knobs are turned; then the scheduler is asked what to start
 * until it has nothing. All that is reported is measured here, apart from the scheduler's own
 * account, unless it says so.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "qos/qos.h"
#include "scenario.h"
#include "util/cleanup.h"
#include "util/error.h"

#define SIM_SERIES_ROWS_MAX 100000000u

/* What is written while it runs. A file may be NULL. */
struct sim_series {
	FILE *file; /* the shares over time, of each interval */
	uint64_t interval_ns;
	FILE *jobs; /* a line for each job that ends */
};

/* Of one mdev. Times are nanoseconds. */
struct sim_mdev_result {
	double share;
	double owned_ns;
	uint64_t jobs; /* submitted */
	uint64_t ended;
	uint64_t dropped; /* arrived with the queue full */
	uint64_t wait_p50;
	uint64_t wait_p99;
	uint64_t wait_p999;
	uint64_t wait_max;
	double wait_mean;
	uint64_t wait_by_cause[QOS_CAUSE_COUNT]; /* the scheduler's */
	uint64_t wait_total;			 /* of all jobs, those that still wait included */
	int64_t wait_error;			 /* total less the sum of causes */
};

struct sim_window_result {
	uint64_t length_ns;
	bool seen; /* it fitted into the run, and somebody was capped */
	double points;
};

struct sim_result {
	struct sim_mdev_result *mdevs; /* one for each of the scenario; owned */
	uint64_t wall_ns;
	uint64_t busy_ns;
	uint64_t idle_with_work_ns;
	uint64_t longest_job_ns;
	double longest_charge_ns;
	double lag_max;	     /* in longest charges */
	uint32_t fair_mdevs; /* always backlogged, never capped; the next two are about these */
	double jain;
	double share_error_percent;
	int64_t charge_error_ns; /* the scheduler's charges less the busy time */
	double owned_error_ns;	 /* the scheduler's charge of an mdev less ours, at most */
	uint64_t decisions;
	uint64_t ended;
	struct sim_window_result windows[SCENARIO_WINDOWS_MAX];
	uint32_t window_count;
};

/* Runs @scenario. Returns 0 or -errno with @err. */
int sim_run(const struct scenario *scenario, const struct sim_series *series,
	    struct sim_result *ret_result, struct umdev_error *err) umdev_warn_unused;

/* Frees what it holds. */
void sim_result_done(struct sim_result *result);
