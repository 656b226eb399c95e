/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device that exists in time alone, for tests of the scheduler: it runs up to K jobs at once,
 * each for its own cost, and keeps books of its own by which the scheduler's are judged.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "qos/qos.h"

#define MACHINE_FLOWS 64
#define MACHINE_JOBS  1024 /* of one flow, outstanding */
/* Parts of a nanosecond in the exact books: divided by 1..16 nothing is left. */
#define MACHINE_UNIT 720720

struct machine;

/* What a flow owned, at each point at which its rate may have changed. */
struct machine_trace {
	uint64_t *at_ns;
	double *owned;
	size_t count;
	size_t size;
};

struct machine_job {
	struct qos_job job;
	struct machine_flow *flow;
	uint64_t cost_ns;
	uint64_t submit_ns;
	uint64_t end_ns;
	struct machine_job *next_free;
	bool busy;
};

struct machine_flow {
	struct qos_flow flow;
	struct machine *machine;
	struct qos_knobs knobs;
	uint32_t depth; /* jobs it keeps outstanding; 0: only what machine_arrive() brings */
	uint64_t (*cost)(struct machine_flow *flow);
	uint64_t cost_ns; /* for the cost function */
	uint64_t random;
	/* Called when the time comes, and sets another; QOS_NEVER: none. */
	uint64_t due_ns;
	void (*due)(struct machine_flow *flow);
	uint64_t gap_ns;
	uint32_t id; /* in the order of machine_add() */
	struct machine_job jobs[MACHINE_JOBS];
	uint32_t jobs_used;
	struct machine_job *free_jobs;
	uint32_t outstanding;
	uint32_t queued;
	uint32_t in_flight;
	/* The machine's books, in ns, exact to rounding. */
	double owned;
	double waited; /* by jobs that have started */
	double wait_by_cause[QOS_CAUSE_COUNT];
	/* Exact ones, in 1/MACHINE_UNIT ns; those of waits in ns, of all jobs. */
	unsigned __int128 owned_exact;
	uint64_t wait_exact;
	struct machine_trace *trace; /* NULL: not wanted */
	float *waits;		     /* of each job in ns, as it starts; NULL: not wanted */
	size_t wait_count;
	size_t wait_size;
	uint64_t longest_ns; /* started so far */
	uint64_t started;
	uint64_t ended;
	uint64_t wait_max_ns;
};

struct machine {
	struct qos_engine *engine;
	uint32_t k;
	uint64_t now_ns;
	struct machine_flow *flows[MACHINE_FLOWS];
	uint32_t flow_count;
	struct machine_job *running[1024];
	uint32_t in_flight;
	double busy;
	uint64_t busy_ns;
	uint64_t idle_ns; /* with a free slot while somebody could have run */
	uint64_t begin_ns;
	uint64_t late_ns; /* timers of caps are as late as that */
	uint64_t hash;	  /* of who started when */
	uint32_t ids;
	struct machine_flow *spare[MACHINE_FLOWS]; /* for the next flows */
	uint32_t spare_count;
	/* Called after each event, for invariants. */
	void (*check)(struct machine *machine);
	/* Called before time passes, while the state is what it will be until then; and as a job
	 * starts.
	 */
	void (*passes)(struct machine *machine, uint64_t dt_ns);
	void (*starts)(struct machine_job *job);
	void (*ends)(struct machine_job *job);
	void *arg; /* of the callbacks */
};

/* Starts at @now_ns with no flows; free with machine_done(). */
void machine_init(struct machine *machine, const struct qos_config *config, uint64_t now_ns);
void machine_done(struct machine *machine);

/* Adds a flow (group may be NULL) that keeps @depth jobs of fixed @cost_ns outstanding. */
struct machine_flow *machine_add(struct machine *machine, struct qos_group *group,
				 struct qos_knobs knobs, uint32_t depth, uint64_t cost_ns);

/* Takes a flow away that has nothing outstanding. */
void machine_remove(struct machine *machine, struct machine_flow *flow);

/* Puts memory for @count flows by, to be used in an order that @seed says. */
void machine_scatter(struct machine *machine, uint32_t count, uint64_t seed);

/* Takes a queued job of the flow back, of several the one that @pick says; false when none is. */
bool machine_withdraw(struct machine_flow *flow, uint64_t pick);

/* Takes back what is queued, ends what runs, and takes all flows away. */
void machine_stop(struct machine *machine);

/* Jobs ended, of all flows. */
uint64_t machine_ended(const struct machine *machine);

/* Lets time pass until @jobs more have ended. */
void machine_run_jobs(struct machine *machine, uint64_t jobs);

/* Jobs of the flow arrive at random from now on, one each @gap_ns on average. */
void machine_poisson(struct machine_flow *flow, uint64_t gap_ns);

/* Keeps the waits of the next @size jobs. */
void machine_keep_waits(struct machine_flow *flow, size_t size);
/* The wait in ns that the part @p of those jobs did not exceed; sorts them. */
double machine_wait(struct machine_flow *flow, double p);

/* Keeps what the flow owned. */
void machine_keep_trace(struct machine_flow *flow);
/* The largest part of any window of @window_ns that it owned; starting at @from_ns or later. */
double machine_window(const struct machine_flow *flow, uint64_t window_ns, uint64_t from_ns);

/* Submits one job now; false when it has MACHINE_JOBS already. */
bool machine_arrive(struct machine_flow *flow);

/* Lets time pass until @until_ns. */
void machine_run(struct machine *machine, uint64_t until_ns);

/* Changes knobs now. */
void machine_set(struct machine_flow *flow, struct qos_knobs knobs);

/* Random numbers of a flow: 64 bits; uniform in [0, 1). */
uint64_t machine_random(uint64_t *state);
double machine_uniform(uint64_t *state);

/* Cost functions. */
uint64_t machine_cost_fixed(struct machine_flow *flow);
uint64_t machine_cost_exp(struct machine_flow *flow);	 /* mean cost_ns */
uint64_t machine_cost_pareto(struct machine_flow *flow); /* alpha 1.2, cost_ns..1000 cost_ns */
uint64_t machine_cost_wide(struct machine_flow *flow);	 /* uniform, 0.2..1.8 cost_ns */
uint64_t machine_cost_phase(struct machine_flow *flow);	 /* cost_ns, 10 cost_ns, by 500 jobs */
