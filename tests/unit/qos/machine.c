/* SPDX-License-Identifier: BSD-3-Clause */
/* See machine.h. */
#include "machine.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

uint64_t machine_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

double machine_uniform(uint64_t *state)
{
	return (double)(machine_random(state) >> 11) * 0x1p-53;
}

uint64_t machine_cost_fixed(struct machine_flow *flow)
{
	return flow->cost_ns;
}

uint64_t machine_cost_exp(struct machine_flow *flow)
{
	return 1 + (uint64_t)(-log(1 - machine_uniform(&flow->random)) * (double)flow->cost_ns);
}

uint64_t machine_cost_pareto(struct machine_flow *flow)
{
	double low = pow(1000, -1.2);
	double u = machine_uniform(&flow->random);

	return (uint64_t)((double)flow->cost_ns * pow(1 - u * (1 - low), -1 / 1.2));
}

void machine_init(struct machine *machine, const struct qos_config *config, uint64_t now_ns)
{
	memset(machine, 0, sizeof(*machine));
	machine->engine = qos_engine_new(config, now_ns);
	assert(machine->engine);
	machine->k = config->parallelism;
	machine->now_ns = now_ns;
}

void machine_done(struct machine *machine)
{
	for (uint32_t i = 0; i < machine->flow_count; i++)
		free(machine->flows[i]);
	qos_engine_free(machine->engine);
}

struct machine_flow *machine_add(struct machine *machine, struct qos_group *group,
				 struct qos_knobs knobs, uint32_t depth, uint64_t cost_ns)
{
	struct machine_flow *f = calloc(1, sizeof(*f));
	int r;

	assert(f && machine->flow_count < MACHINE_FLOWS && depth <= MACHINE_JOBS);
	f->machine = machine;
	f->knobs = knobs;
	f->depth = depth;
	f->cost = machine_cost_fixed;
	f->cost_ns = cost_ns;
	f->random = machine->flow_count + 1;
	r = qos_flow_join(machine->engine, group, &f->flow, &knobs, machine->now_ns);
	assert(r == 0);
	(void)r;
	machine->flows[machine->flow_count++] = f;
	return f;
}

void machine_remove(struct machine *machine, struct machine_flow *flow)
{
	for (uint32_t i = 0; i < machine->flow_count; i++) {
		if (machine->flows[i] != flow)
			continue;
		machine->flows[i] = machine->flows[--machine->flow_count];
		qos_flow_leave(&flow->flow);
		free(flow);
		return;
	}
}

bool machine_arrive(struct machine_flow *flow)
{
	for (uint32_t i = 0; i < MACHINE_JOBS; i++) {
		struct machine_job *j = &flow->jobs[i];

		if (j->busy)
			continue;
		j->busy = true;
		j->flow = flow;
		j->cost_ns = flow->cost(flow);
		j->submit_ns = flow->machine->now_ns;
		flow->outstanding++;
		flow->queued++;
		qos_submit(&flow->flow, &j->job, flow->machine->now_ns);
		return true;
	}
	return false;
}

void machine_set(struct machine_flow *flow, struct qos_knobs knobs)
{
	int r;

	flow->knobs = knobs;
	r = qos_flow_set(&flow->flow, &knobs, flow->machine->now_ns);
	assert(r == 0);
	(void)r;
}

static void machine_fill(struct machine *machine)
{
	for (uint32_t i = 0; i < machine->flow_count; i++) {
		struct machine_flow *f = machine->flows[i];

		while (f->outstanding < f->depth && machine_arrive(f))
			;
	}
}

static void machine_start(struct machine *machine)
{
	struct qos_job *picked;

	while ((picked = qos_pick(machine->engine, machine->now_ns))) {
		struct machine_job *j = container_of(picked, struct machine_job, job);
		uint64_t waited = machine->now_ns - j->submit_ns;

		assert(machine->in_flight < machine->k);
		j->end_ns = machine->now_ns + j->cost_ns;
		j->slot = machine->in_flight;
		machine->running[machine->in_flight++] = j;
		j->flow->queued--;
		j->flow->started++;
		j->flow->waited += (double)waited;
		if (waited > j->flow->wait_max_ns)
			j->flow->wait_max_ns = waited;
	}
}

/* Books of ownership until @to_ns. */
static void machine_pass(struct machine *machine, uint64_t to_ns)
{
	double dt = (double)(to_ns - machine->now_ns);

	for (uint32_t i = 0; i < machine->in_flight; i++)
		machine->running[i]->flow->owned += dt / machine->in_flight;
	if (machine->in_flight > 0)
		machine->busy += dt;
	if (qos_ready(machine->engine))
		machine->idle_ns += to_ns - machine->now_ns;
	machine->now_ns = to_ns;
}

static void machine_end(struct machine *machine)
{
	for (uint32_t i = 0; i < machine->in_flight;) {
		struct machine_job *j = machine->running[i];

		if (j->end_ns > machine->now_ns) {
			i++;
			continue;
		}
		qos_complete(&j->job, machine->now_ns);
		j->busy = false;
		j->flow->outstanding--;
		j->flow->ended++;
		machine->running[i] = machine->running[--machine->in_flight];
	}
}

void machine_run(struct machine *machine, uint64_t until_ns)
{
	for (;;) {
		uint64_t next = qos_next_ns(machine->engine);

		machine_fill(machine);
		machine_start(machine);
		if (machine->check)
			machine->check(machine);
		next = qos_next_ns(machine->engine);
		for (uint32_t i = 0; i < machine->in_flight; i++)
			next = MIN(next, machine->running[i]->end_ns);
		if (next > until_ns)
			break;
		machine_pass(machine, MAX(next, machine->now_ns));
		machine_end(machine);
	}
	machine_pass(machine, until_ns);
}
