/* SPDX-License-Identifier: BSD-3-Clause */
/* What the jobs of one mdev cost: a distribution, in whole nanoseconds of at least 1. */
#pragma once

#include <stdint.h>

#include "random.h"

enum cost_kind {
	COST_NONE, /* there are no jobs */
	COST_FIXED,
	COST_EXP,
	COST_UNIFORM,
	COST_PARETO, /* bounded */
	COST_PHASES, /* so many jobs of this cost, so many of that, and again */
	COST_KIND_COUNT
};

struct cost_phase {
	uint64_t jobs;
	uint64_t cost_ns;
};

struct cost_model {
	enum cost_kind kind;
	double a_ns; /* fixed: the cost; exp: the mean; uniform, pareto: the least */
	double b_ns; /* uniform, pareto: the most */
	double alpha;
	struct cost_phase *phases; /* owned */
	uint32_t phase_count;
};

/* Where a stream of costs stands. All zero but for the random numbers is the beginning. */
struct cost_state {
	struct random_stream random;
	uint32_t phase;
	uint64_t phase_jobs; /* of it, so far */
};

/* The cost of the next job. */
uint64_t cost_next(const struct cost_model *model, struct cost_state *state);

/* The most that a job can cost; 0 when that is not bounded. */
uint64_t cost_longest_ns(const struct cost_model *model);
