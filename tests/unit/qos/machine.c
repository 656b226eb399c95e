/* SPDX-License-Identifier: BSD-3-Clause */
/* See machine.h. */
#include "machine.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "qos/qos-internal.h"

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

uint64_t machine_cost_wide(struct machine_flow *flow)
{
	return (uint64_t)((double)flow->cost_ns * (0.2 + 1.6 * machine_uniform(&flow->random)));
}

uint64_t machine_cost_phase(struct machine_flow *flow)
{
	return flow->ended / 500 % 2 ? 10 * flow->cost_ns : flow->cost_ns;
}

/* ---- Who takes part ---- */

void machine_init(struct machine *machine, const struct qos_config *config, uint64_t now_ns)
{
	memset(machine, 0, sizeof(*machine));
	machine->engine = qos_engine_new(config, now_ns);
	assert(machine->engine && config->parallelism <= ARRAY_SIZE(machine->running));
	machine->k = config->parallelism;
	machine->now_ns = now_ns;
	machine->begin_ns = now_ns;
}

static void machine_flow_free(struct machine_flow *flow)
{
	if (flow->trace) {
		free(flow->trace->at_ns);
		free(flow->trace->owned);
	}
	free(flow->trace);
	free(flow->waits);
	free(flow);
}

void machine_done(struct machine *machine)
{
	for (uint32_t i = 0; i < machine->flow_count; i++)
		machine_flow_free(machine->flows[i]);
	while (machine->spare_count > 0)
		free(machine->spare[--machine->spare_count]);
	qos_engine_free(machine->engine);
}

void machine_scatter(struct machine *machine, uint32_t count, uint64_t seed)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t other = (uint32_t)(machine_random(&seed) % (i + 1));

		machine->spare[i] = machine->spare[other];
		machine->spare[other] = calloc(1, sizeof(struct machine_flow));
		assert(machine->spare[other]);
	}
	machine->spare_count = count;
}

struct machine_flow *machine_add(struct machine *machine, struct qos_group *group,
				 struct qos_knobs knobs, uint32_t depth, uint64_t cost_ns)
{
	struct machine_flow *f = machine->spare_count > 0 ? machine->spare[--machine->spare_count]
							  : calloc(1, sizeof(*f));
	int r;

	assert(f && machine->flow_count < MACHINE_FLOWS && depth <= MACHINE_JOBS);
	f->machine = machine;
	f->knobs = knobs;
	f->depth = depth;
	f->cost = machine_cost_fixed;
	f->cost_ns = cost_ns;
	f->due_ns = QOS_NEVER;
	f->id = machine->ids++;
	f->random = f->id + 1;
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
		machine_flow_free(flow);
		return;
	}
}

void machine_set(struct machine_flow *flow, struct qos_knobs knobs)
{
	int r;

	flow->knobs = knobs;
	r = qos_flow_set(&flow->flow, &knobs, flow->machine->now_ns);
	assert(r == 0);
	(void)r;
}

/* ---- Jobs ---- */

static struct machine_job *machine_job_take(struct machine_flow *flow)
{
	struct machine_job *j = flow->free_jobs;

	if (j)
		flow->free_jobs = j->next_free;
	else if (flow->jobs_used < MACHINE_JOBS)
		j = &flow->jobs[flow->jobs_used++];
	return j;
}

static void machine_job_give(struct machine_job *job)
{
	job->busy = false;
	job->next_free = job->flow->free_jobs;
	job->flow->free_jobs = job;
	job->flow->outstanding--;
}

bool machine_arrive(struct machine_flow *flow)
{
	struct machine_job *j = machine_job_take(flow);

	if (!j)
		return false;
	j->busy = true;
	j->flow = flow;
	j->cost_ns = flow->cost(flow);
	j->submit_ns = flow->machine->now_ns;
	flow->outstanding++;
	flow->queued++;
	qos_submit(&flow->flow, &j->job, flow->machine->now_ns);
	return true;
}

bool machine_withdraw(struct machine_flow *flow, uint64_t pick)
{
	for (uint32_t i = 0; flow->queued > 0 && i < flow->jobs_used; i++) {
		struct machine_job *j = &flow->jobs[(pick + i) % flow->jobs_used];

		if (!j->busy || !qos_withdraw(&j->job, flow->machine->now_ns))
			continue;
		flow->queued--;
		machine_job_give(j);
		return true;
	}
	return false;
}

static uint64_t machine_gap(struct machine_flow *flow)
{
	return 1 + (uint64_t)(-log(1 - machine_uniform(&flow->random)) * (double)flow->gap_ns);
}

static void machine_poisson_due(struct machine_flow *flow)
{
	machine_arrive(flow);
	flow->due_ns += machine_gap(flow);
}

void machine_poisson(struct machine_flow *flow, uint64_t gap_ns)
{
	flow->gap_ns = gap_ns;
	flow->due = machine_poisson_due;
	flow->due_ns = flow->machine->now_ns + machine_gap(flow);
}

static void machine_fill(struct machine *machine)
{
	for (uint32_t i = 0; i < machine->flow_count; i++) {
		struct machine_flow *f = machine->flows[i];

		while (f->due_ns <= machine->now_ns)
			f->due(f);
		while (f->outstanding < f->depth && machine_arrive(f))
			;
	}
}

static void machine_hash(struct machine *machine, uint64_t word)
{
	machine->hash = (machine->hash ^ word) * 0x9e3779b97f4a7c15ull;
	machine->hash ^= machine->hash >> 29;
}

static void machine_start(struct machine *machine)
{
	struct qos_job *picked;
	uint64_t next;

	while ((picked = qos_pick(machine->engine, machine->now_ns))) {
		struct machine_job *j = container_of(picked, struct machine_job, job);
		struct machine_flow *f = j->flow;
		uint64_t waited = machine->now_ns - j->submit_ns;

		assert(machine->in_flight < machine->k);
		machine_hash(machine, f->id);
		machine_hash(machine, (uint64_t)(j - f->jobs));
		machine_hash(machine, machine->now_ns - machine->begin_ns);
		j->end_ns = machine->now_ns + j->cost_ns;
		if (machine->starts)
			machine->starts(j);
		machine->running[machine->in_flight++] = j;
		f->queued--;
		f->in_flight++;
		f->started++;
		f->waited += (double)waited;
		f->wait_max_ns = MAX(f->wait_max_ns, waited);
		f->longest_ns = MAX(f->longest_ns, j->cost_ns);
		if (f->wait_count < f->wait_size)
			f->waits[f->wait_count++] = (float)waited;
	}
	next = qos_next_ns(machine->engine);
	machine_hash(machine, next == QOS_NEVER ? next : next - machine->begin_ns);
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
		if (machine->ends)
			machine->ends(j);
		j->flow->in_flight--;
		j->flow->ended++;
		machine_job_give(j);
		machine->running[i] = machine->running[--machine->in_flight];
	}
}

/* ---- Books ---- */

static void machine_trace_add(struct machine_flow *flow)
{
	struct machine_trace *t = flow->trace;

	if (t->count == t->size) {
		t->size = t->size ? t->size * 2 : 1024;
		t->at_ns = reallocarray(t->at_ns, t->size, sizeof(*t->at_ns));
		t->owned = reallocarray(t->owned, t->size, sizeof(*t->owned));
		assert(t->at_ns && t->owned);
	}
	t->at_ns[t->count] = flow->machine->now_ns;
	t->owned[t->count++] = flow->owned;
}

/* What the jobs of a flow wait for until time has passed by @dt. */
static void machine_pass_waits(struct machine *machine, struct machine_flow *flow, double dt)
{
	bool held = node_state(&flow->flow.node) == NODE_HELD ||
		    (flow->flow.group && node_state(&flow->flow.group->node) == NODE_HELD);
	uint32_t higher = 0;

	dt *= flow->queued;
	if (held || machine->in_flight == 0) {
		flow->wait_by_cause[held ? QOS_CAUSE_CAP : QOS_CAUSE_ENGINE] += dt;
		return;
	}
	for (uint32_t i = 0; i < machine->in_flight; i++)
		higher += machine->running[i]->flow->knobs.priority > flow->knobs.priority;
	dt /= machine->in_flight;
	flow->wait_by_cause[QOS_CAUSE_PRIORITY] += higher * dt;
	flow->wait_by_cause[QOS_CAUSE_ENGINE] += flow->in_flight * dt;
	flow->wait_by_cause[QOS_CAUSE_TURN] += (machine->in_flight - higher - flow->in_flight) * dt;
}

/* Books of ownership and waits until @to_ns. */
static void machine_pass(struct machine *machine, uint64_t to_ns)
{
	uint64_t dt = to_ns - machine->now_ns;
	uint32_t n = MAX(machine->in_flight, 1u);

	if (machine->passes)
		machine->passes(machine, dt);
	machine->now_ns = to_ns;
	for (uint32_t i = 0; i < machine->flow_count; i++) {
		struct machine_flow *f = machine->flows[i];

		f->owned += (double)dt * f->in_flight / n;
		f->owned_exact += (unsigned __int128)dt * MACHINE_UNIT / n * f->in_flight;
		f->wait_exact += dt * f->queued;
		if (f->queued > 0)
			machine_pass_waits(machine, f, (double)dt);
		if (f->trace)
			machine_trace_add(f);
	}
	if (machine->in_flight > 0) {
		machine->busy += (double)dt;
		machine->busy_ns += dt;
	}
	if (qos_ready(machine->engine))
		machine->idle_ns += dt;
}

/* ---- Time ---- */

/* When something happens next. Caps that open while the engine is full are looked at after that. */
static uint64_t machine_next(const struct machine *machine)
{
	uint64_t next = QOS_NEVER;

	if (machine->in_flight < machine->k)
		next = qos_next_ns(machine->engine);
	if (next != QOS_NEVER)
		next += machine->late_ns;
	for (uint32_t i = 0; i < machine->in_flight; i++)
		next = MIN(next, machine->running[i]->end_ns);
	for (uint32_t i = 0; i < machine->flow_count; i++)
		next = MIN(next, machine->flows[i]->due_ns);
	return next;
}

void machine_run(struct machine *machine, uint64_t until_ns)
{
	for (;;) {
		uint64_t next;

		machine_fill(machine);
		machine_start(machine);
		if (machine->check)
			machine->check(machine);
		next = machine_next(machine);
		if (next > until_ns)
			break;
		machine_pass(machine, MAX(next, machine->now_ns));
		machine_end(machine);
	}
	machine_pass(machine, until_ns);
}

uint64_t machine_ended(const struct machine *machine)
{
	uint64_t ended = 0;

	for (uint32_t i = 0; i < machine->flow_count; i++)
		ended += machine->flows[i]->ended;
	return ended;
}

void machine_run_jobs(struct machine *machine, uint64_t jobs)
{
	uint64_t end = machine_ended(machine) + jobs;

	while (machine_ended(machine) < end)
		machine_run(machine, machine->now_ns + machine->flows[0]->cost_ns * 100);
}

void machine_stop(struct machine *machine)
{
	for (uint32_t i = 0; i < machine->flow_count; i++) {
		machine->flows[i]->depth = 0;
		machine->flows[i]->due_ns = QOS_NEVER;
		while (machine_withdraw(machine->flows[i], 0))
			;
	}
	for (uint32_t i = 0; i < machine->in_flight; i++)
		machine->running[i]->end_ns = machine->now_ns;
	machine_end(machine);
	while (machine->flow_count > 0)
		machine_remove(machine, machine->flows[0]);
}

/* ---- What came out ---- */

void machine_keep_waits(struct machine_flow *flow, size_t size)
{
	free(flow->waits);
	flow->waits = calloc(size, sizeof(*flow->waits));
	assert(flow->waits);
	flow->wait_size = size;
	flow->wait_count = 0;
}

static int machine_compare_waits(const void *a, const void *b)
{
	float x = *(const float *)a;
	float y = *(const float *)b;

	return (x > y) - (x < y);
}

double machine_wait(struct machine_flow *flow, double p)
{
	assert(flow->wait_count > 0);
	qsort(flow->waits, flow->wait_count, sizeof(*flow->waits), machine_compare_waits);
	return (double)flow->waits[(size_t)(p * (double)(flow->wait_count - 1))];
}

void machine_keep_trace(struct machine_flow *flow)
{
	flow->trace = calloc(1, sizeof(*flow->trace));
	assert(flow->trace);
	machine_trace_add(flow);
}

/* What the flow owned up to @at_ns, which lies between points @i and @i + 1. */
static double machine_trace_at(const struct machine_trace *t, size_t i, uint64_t at_ns)
{
	double span = (double)(t->at_ns[i + 1] - t->at_ns[i]);

	if (span == 0)
		return t->owned[i + 1];
	return t->owned[i] + (t->owned[i + 1] - t->owned[i]) * (double)(at_ns - t->at_ns[i]) / span;
}

/* Ownership is piecewise linear: the largest window begins or ends where its rate changes. */
double machine_window(const struct machine_flow *flow, uint64_t window_ns, uint64_t from_ns)
{
	const struct machine_trace *t = flow->trace;
	double largest = 0;
	size_t begin = 0;
	size_t end = 0;

	for (size_t i = 0; i < t->count; i++) {
		while (end + 1 < t->count && t->at_ns[end + 1] < t->at_ns[i] + window_ns)
			end++;
		if (end + 1 < t->count && t->at_ns[i] >= from_ns)
			largest = fmax(largest, machine_trace_at(t, end, t->at_ns[i] + window_ns) -
							t->owned[i]);
		if (t->at_ns[i] < from_ns + window_ns || t->at_ns[i] < t->at_ns[0] + window_ns)
			continue;
		while (t->at_ns[begin + 1] < t->at_ns[i] - window_ns)
			begin++;
		largest = fmax(largest,
			       t->owned[i] - machine_trace_at(t, begin, t->at_ns[i] - window_ns));
	}
	return largest / (double)window_ns;
}
