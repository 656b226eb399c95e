/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of the simulation share; nobody else includes it. */
#pragma once

#include "cost.h"
#include "event.h"
#include "fair.h"
#include "meter.h"
#include "sim.h"
#include "wait.h"
#include "window.h"

#define SIM_CHUNK_JOBS 1024u

struct sim_mdev;

struct sim_job {
	struct qos_job job;
	struct sim_mdev *mdev; /* NULL: free */
	struct sim_job *next;  /* when free */
	uint64_t submit_ns;
	uint64_t cost_ns;
	meter_time start; /* the meter's integral then */
	bool started;
};

struct sim_chunk {
	struct sim_chunk *next;
	struct sim_job jobs[SIM_CHUNK_JOBS];
};

/* The windows of an mdev or group that is capped at some time. */
struct sim_cap {
	struct window_track track;
	const struct fair_node *node;
	uint32_t busy_place;
	bool busy; /* in sim.busy_caps */
	bool active;
};

struct sim_group {
	struct qos_group *group;
	const struct scenario_group *scenario;
	struct fair_contest contest;
	struct fair_node node;
	struct sim_cap *cap;
	uint32_t members; /* of its contest */
	uint32_t mdevs;	  /* that have jobs at some time */
	uint32_t steady;  /* of them, always backlogged and never capped */
	uint64_t steady_weight;
	struct sim_group *next_touched;
	bool touched; /* in the list */
};

struct sim_mdev {
	struct qos_flow flow;
	const struct scenario_mdev *scenario;
	struct sim_group *group; /* or NULL */
	struct fair_node node;
	struct sim_cap *cap;
	struct cost_state cost;
	struct random_stream arrivals;
	struct qos_knobs knobs;
	uint32_t depth;
	uint32_t queued;
	uint32_t outstanding;
	uint32_t change; /* the next one */
	uint32_t piece;	 /* of a job that is cut */
	uint64_t whole_ns;
	uint64_t entered_ns; /* when it became a member of its contest */
	uint64_t jobs;
	uint64_t ended;
	uint64_t dropped;
	unsigned __int128 submit_sum; /* of the times at which those in the queue came */
	struct wait_times wait;
	meter_time series_owned;
	struct sim_mdev *next_refill;
	struct sim_mdev *next_drained;
	bool refill;  /* in the list */
	bool drained; /* in the list */
	bool joined;
	bool reweighed;
};

struct sim {
	const struct scenario *scenario;
	struct umdev_error *err;
	struct qos_engine *engine;
	struct meter meter;
	struct event_queue events;
	struct sim_mdev *mdevs;
	struct sim_group *groups;
	struct fair_contest contest;
	struct window_set windows;
	struct wait_budget budget;
	struct sim_chunk *chunks;
	struct sim_job *free_jobs;
	struct sim_cap **busy_caps;
	uint32_t busy_cap_count;
	uint32_t settled_in_flight;
	struct sim_mdev *refill; /* a job ended: fill up before the next pick */
	struct sim_mdev **refill_end;
	struct sim_group *touched; /* jobs of it started or ended at this instant */
	struct sim_mdev *drained;  /* nothing left in the queue since the last pick */
	uint32_t waiting;	   /* uncapped mdevs that have jobs queued */
	bool idle_with_work;
	bool over;
	uint64_t idle_with_work_ns;
	uint64_t longest_job_ns;
	meter_time longest_charge;
	uint64_t decisions;
	uint64_t ended;
	struct sim_series series;
	uint64_t series_next_ns;
	uint64_t series_last_ns;
};

/* ---- sim-job.c: jobs come, start and end ---- */
int sim_job_submit(struct sim *sim, struct sim_mdev *mdev) umdev_warn_unused;
int sim_job_start(struct sim *sim, struct sim_job *job) umdev_warn_unused;
int sim_job_end(struct sim *sim, struct sim_job *job) umdev_warn_unused;
int sim_fill(struct sim *sim, struct sim_mdev *mdev) umdev_warn_unused;
int sim_refill(struct sim *sim) umdev_warn_unused;
int sim_arrive(struct sim *sim, struct sim_mdev *mdev) umdev_warn_unused;
int sim_start_arrivals(struct sim *sim, struct sim_mdev *mdev) umdev_warn_unused;

/* ---- sim-state.c: who competes, who is capped, and what that changes ---- */
int sim_enter(struct sim *sim, struct sim_mdev *mdev) umdev_warn_unused;
void sim_leave(struct sim *sim, struct sim_mdev *mdev);
void sim_queue_changed(struct sim *sim, const struct sim_mdev *mdev, bool filled);
void sim_flush_drained(struct sim *sim);
int sim_run_nodes(struct sim *sim, struct sim_mdev *mdev, int jobs) umdev_warn_unused;
int sim_cap_point(struct sim *sim, struct sim_cap *cap) umdev_warn_unused;
int sim_cap_set(struct sim *sim, struct sim_cap *cap, uint32_t hundredths) umdev_warn_unused;
int sim_change(struct sim *sim, struct sim_mdev *mdev) umdev_warn_unused;
int sim_settle(struct sim *sim) umdev_warn_unused;
void sim_series_rows(struct sim *sim, uint64_t now_ns);

/* ---- sim-result.c: what came out ---- */
int sim_collect(struct sim *sim, struct sim_result *ret_result) umdev_warn_unused;
