/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device that exists in time alone, for tests of the scheduler: it runs up to K jobs at once,
 * each for its own cost, and keeps books of its own by which the scheduler's are judged.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "qos/qos.h"

#define MACHINE_FLOWS 64
#define MACHINE_JOBS  256 /* of one flow, outstanding */

struct machine;

struct machine_job {
	struct qos_job job;
	struct machine_flow *flow;
	uint64_t cost_ns;
	uint64_t submit_ns;
	uint64_t end_ns;
	uint32_t slot; /* in flight: place in running */
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
	struct machine_job jobs[MACHINE_JOBS];
	uint32_t outstanding;
	uint32_t queued;
	/* The machine's books, in ns, exact to rounding. */
	double owned;
	double waited;
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
	uint64_t idle_ns; /* with a free slot while somebody could have run */
	double longest_charge;
	/* Called after each event, for invariants. */
	void (*check)(struct machine *machine);
};

/* Starts at @now_ns with no flows; free with machine_done(). */
void machine_init(struct machine *machine, const struct qos_config *config, uint64_t now_ns);
void machine_done(struct machine *machine);

/* Adds a flow (group may be NULL) that keeps @depth jobs of fixed @cost_ns outstanding. */
struct machine_flow *machine_add(struct machine *machine, struct qos_group *group,
				 struct qos_knobs knobs, uint32_t depth, uint64_t cost_ns);

/* Takes a flow away that has nothing outstanding. */
void machine_remove(struct machine *machine, struct machine_flow *flow);

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
