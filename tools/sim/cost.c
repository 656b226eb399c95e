/* SPDX-License-Identifier: BSD-3-Clause */
/* Drawing costs. See cost.h. */
#include "cost.h"

#include "util/cleanup.h"

static uint64_t cost_whole(double ns)
{
	return ns < 1 ? 1 : (uint64_t)(ns + 0.5);
}

/* Inverse of the distribution 1 - (min/x)^alpha, cut at max. */
static double cost_pareto(const struct cost_model *model, double unit)
{
	double tail = random_exp(model->alpha * random_log(model->a_ns / model->b_ns));
	double base = 1 - unit * (1 - tail);
	double x = model->a_ns * random_exp(-random_log(base) / model->alpha);

	return MIN(MAX(x, model->a_ns), model->b_ns);
}

static uint64_t cost_phases(const struct cost_model *model, struct cost_state *state)
{
	uint64_t cost = model->phases[state->phase].cost_ns;

	if (++state->phase_jobs >= model->phases[state->phase].jobs) {
		state->phase_jobs = 0;
		state->phase = (state->phase + 1) % model->phase_count;
	}
	return cost;
}

uint64_t cost_next(const struct cost_model *model, struct cost_state *state)
{
	double width = model->b_ns - model->a_ns;

	switch (model->kind) {
	case COST_FIXED:
		return cost_whole(model->a_ns);
	case COST_EXP:
		return cost_whole(model->a_ns * random_exponential(&state->random));
	case COST_UNIFORM:
		return cost_whole(model->a_ns + width * random_unit(&state->random));
	case COST_PARETO:
		return cost_whole(cost_pareto(model, random_unit(&state->random)));
	case COST_PHASES:
		return cost_phases(model, state);
	case COST_NONE:
	case COST_KIND_COUNT:
		break;
	}
	return 1;
}

uint64_t cost_longest_ns(const struct cost_model *model)
{
	uint64_t longest = 0;

	switch (model->kind) {
	case COST_FIXED:
		return cost_whole(model->a_ns);
	case COST_UNIFORM:
	case COST_PARETO:
		return cost_whole(model->b_ns);
	case COST_PHASES:
		for (uint32_t i = 0; i < model->phase_count; i++)
			longest = MAX(longest, model->phases[i].cost_ns);
		return longest;
	case COST_NONE:
	case COST_EXP:
	case COST_KIND_COUNT:
		break;
	}
	return 0;
}
