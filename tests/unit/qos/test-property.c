/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What always holds, asked at each event of random scenarios. QOS_SEED is the first seed and
 * QOS_SCENARIOS how many follow; the seed of one in which something does not hold is printed, with
 * what that was.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "machine.h"
#include "qos/qos-internal.h"

#define SCENARIOS   60
#define FLOWS_MAX   40
#define GROUPS_MAX  4
#define STEPS	    60
#define COST_MAX_NS 100000000000ull

/* Ownership in 1/MACHINE_UNIT ns, exact; a time likewise. */
typedef __int128 exact;

/* What is known of a cap: that of a flow or of a group. */
struct bound {
	exact above;	     /* owned less cap * time, since it was capped */
	exact least;	     /* its smallest value so far */
	uint32_t cap_max;    /* since then */
	uint64_t longest_ns; /* of its jobs, since then: started */
	uint64_t ended_ns;   /* ended */
};

/* How long somebody waits, in ownership that would have been its due. */
struct hunger {
	double due_ns;
	uint64_t exits; /* of others from its contest, meanwhile */
};

struct watch {
	struct bound cap;
	struct hunger hunger;
};

struct scenario {
	uint64_t seed;
	uint64_t random;
	struct machine m;
	struct qos_config config;
	struct qos_group *groups[GROUPS_MAX];
	struct qos_knobs group_knobs[GROUPS_MAX];
	struct watch group_watch[GROUPS_MAX];
	struct watch flow_watch[MACHINE_FLOWS * 4]; /* by id */
	uint32_t group_count;
	uint64_t longest_ns; /* ended, of all */
	uint64_t started_ns; /* the longest started */
	uint64_t cost_ns;
	uint64_t jobs; /* started */
	uint32_t left; /* flows that did */
	exact gone;    /* owned by flows that have left */
	double worst_hunger;
	double worst_cap;
	const char *broken; /* what did not hold, first */
	uint32_t broken_id;
};

static void expect(struct scenario *s, bool holds, const char *what, uint32_t id)
{
	if (holds || s->broken)
		return;
	s->broken = what;
	s->broken_id = id;
}

static uint64_t below(struct scenario *s, uint64_t end)
{
	return machine_random(&s->random) % end;
}

/* Something between 1 and 2^bits, of any size. */
static uint64_t sized(struct scenario *s, uint32_t bits)
{
	return (1ull << below(s, bits)) + below(s, 1ull << below(s, bits));
}

static int32_t group_index(const struct scenario *s, const struct machine_flow *f)
{
	for (uint32_t i = 0; i < s->group_count; i++) {
		if (s->groups[i] == f->flow.group)
			return (int32_t)i;
	}
	return -1;
}

static struct watch *flow_watch(struct scenario *s, const struct machine_flow *f)
{
	return &s->flow_watch[f->id];
}

/* ---- Caps ---- */

/* A cap begins, or another one does: windows are looked at from here on. */
static void bound_begin(struct bound *b, bool anew)
{
	if (anew)
		*b = (struct bound){.above = 0};
	b->least = b->above;
}

/* What windows may be above: what it could not use of the time before, which is looked at as a job
 * starts, and a job; another one where the window begins within one. */
static exact bound_room(const struct scenario *s, const struct bound *b, uint32_t cap)
{
	exact job = (exact)b->longest_ns * (QOS_CAP_NONE - cap) / QOS_CAP_NONE;
	exact credit = (exact)MAX(s->longest_ns, s->config.slack_ns) * b->cap_max / QOS_CAP_NONE;

	return (2 * job + credit + (exact)s->config.burst_ns + 2) * MACHINE_UNIT;
}

static void bound_pass(struct scenario *s, struct bound *b, uint32_t cap, exact owned,
		       uint64_t dt_ns)
{
	exact allowed = (exact)dt_ns * MACHINE_UNIT * cap / QOS_CAP_NONE;

	if (cap == QOS_CAP_NONE)
		return;
	b->cap_max = MAX(b->cap_max, cap);
	b->above += owned - allowed;
	b->least = MIN(b->least, b->above);
	expect(s, b->above - b->least <= bound_room(s, b, cap), "cap in a window", 0);
	expect(s, b->above <= (exact)b->longest_ns * MACHINE_UNIT, "cap over all", 0);
	if (b->longest_ns > 0 && s->longest_ns > 0)
		s->worst_cap = fmax(s->worst_cap,
				    (double)(b->above - b->least) / (double)bound_room(s, b, cap));
}

/* At the start of a job all before it is paid, and a job more. */
static void bound_start(struct scenario *s, struct bound *b, uint32_t cap, uint64_t cost_ns)
{
	exact job = (exact)b->ended_ns * (QOS_CAP_NONE - cap) / QOS_CAP_NONE * MACHINE_UNIT;

	if (cap == QOS_CAP_NONE)
		return;
	expect(s, b->above <= MACHINE_UNIT * 2 - job, "mean above the cap at a start", 0);
	b->longest_ns = MAX(b->longest_ns, cost_ns);
}

/* ---- Hunger ---- */

/* Each other may run seven jobs ahead of its due for its priority, and as many at once as there are
 * slots; who leaves may take so much of virtual time with it. */
static void hunger_check(struct scenario *s, struct hunger *h, uint32_t others, uint32_t id)
{
	double jobs = (double)(others + 1 + h->exits) * (2.0 * QOS_PRIORITY_MAX + 4 + s->m.k);
	double most = jobs * (double)s->started_ns;

	expect(s, h->due_ns <= most, "somebody starves", id);
	if (most > 0 && h->exits == 0)
		s->worst_hunger = fmax(s->worst_hunger, h->due_ns / most);
}

static bool flow_competes(const struct machine_flow *f)
{
	return node_state(&f->flow.node) == NODE_COMPETES;
}

static uint32_t contest_others(const struct scenario *s, const struct qos_contest *c)
{
	uint32_t n = s->group_count;

	for (uint32_t i = 0; i < s->m.flow_count; i++)
		n += s->m.flows[i]->flow.node.contest == c;
	return n;
}

static void hunger_pass(struct scenario *s, struct watch *w, const struct qos_node *node,
			double served_ns, uint32_t id)
{
	if (node_state(node) != NODE_COMPETES) {
		w->hunger = (struct hunger){.due_ns = 0};
		return;
	}
	w->hunger.due_ns += served_ns * node->weight / (double)node->contest->weight;
	hunger_check(s, &w->hunger, contest_others(s, node->contest), id);
}

/* ---- Events ---- */

static void scenario_passes(struct machine *m, uint64_t dt_ns)
{
	struct scenario *s = m->arg;
	exact group_owned[GROUPS_MAX] = {0};
	uint32_t n = MAX(m->in_flight, 1u);

	for (uint32_t i = 0; i < m->flow_count; i++) {
		struct machine_flow *f = m->flows[i];
		exact owned = (exact)dt_ns * MACHINE_UNIT / n * f->in_flight;
		int32_t g = group_index(s, f);

		if (g >= 0)
			group_owned[g] += owned;
		bound_pass(s, &flow_watch(s, f)->cap, f->knobs.cap, owned, dt_ns);
	}
	for (uint32_t i = 0; i < s->group_count; i++) {
		bound_pass(s, &s->group_watch[i].cap, s->group_knobs[i].cap, group_owned[i], dt_ns);
		hunger_pass(s, &s->group_watch[i], &s->groups[i]->node,
			    m->in_flight ? (double)dt_ns : 0, i);
	}
	for (uint32_t i = 0; i < m->flow_count; i++) {
		struct machine_flow *f = m->flows[i];
		int32_t g = group_index(s, f);
		double served = g >= 0	       ? (double)group_owned[g] / MACHINE_UNIT
				: m->in_flight ? (double)dt_ns
					       : 0;

		hunger_pass(s, flow_watch(s, f), &f->flow.node, served, f->id);
	}
}

/* Somebody may have left the contests. */
static void scenario_exit(struct scenario *s)
{
	for (uint32_t i = 0; i < s->m.flow_count; i++)
		flow_watch(s, s->m.flows[i])->hunger.exits++;
	for (uint32_t i = 0; i < s->group_count; i++)
		s->group_watch[i].hunger.exits++;
}

static void scenario_starts(struct machine_job *j)
{
	struct machine_flow *f = j->flow;
	struct scenario *s = f->machine->arg;
	int32_t g = group_index(s, f);

	s->jobs++;
	s->started_ns = MAX(s->started_ns, j->cost_ns);
	bound_start(s, &flow_watch(s, f)->cap, f->knobs.cap, j->cost_ns);
	flow_watch(s, f)->hunger = (struct hunger){.due_ns = 0};
	if (g >= 0) {
		bound_start(s, &s->group_watch[g].cap, s->group_knobs[g].cap, j->cost_ns);
		s->group_watch[g].hunger = (struct hunger){.due_ns = 0};
	}
	expect(s, s->m.in_flight < s->m.k, "more jobs than slots", f->id);
	if (!flow_competes(f))
		scenario_exit(s);
	if (f->knobs.priority > 0)
		return;
	uint32_t low = 0;
	for (uint32_t i = 0; i < s->m.in_flight; i++)
		low += s->m.running[i]->job.low;
	expect(s, low + s->config.reserved_slots < s->m.k, "a reserved slot taken", f->id);
}

static void scenario_ends(struct machine_job *j)
{
	struct scenario *s = j->flow->machine->arg;
	int32_t g = group_index(s, j->flow);

	s->longest_ns = MAX(s->longest_ns, j->cost_ns);
	flow_watch(s, j->flow)->cap.ended_ns =
		MAX(flow_watch(s, j->flow)->cap.ended_ns, j->cost_ns);
	if (g >= 0)
		s->group_watch[g].cap.ended_ns = MAX(s->group_watch[g].cap.ended_ns, j->cost_ns);
}

/* ---- Invariants ---- */

static void check_flow(struct scenario *s, const struct machine_flow *f)
{
	struct qos_flow_stats stats;
	uint64_t sum = 0;
	uint64_t owned = (uint64_t)(f->owned_exact / MACHINE_UNIT);
	/* A 256th of a nanosecond is rounded whenever a job starts or ends. */
	uint64_t rounded = 2 + s->jobs / 128;

	qos_flow_stats(&f->flow, s->m.now_ns, &stats);
	for (uint32_t c = 0; c < QOS_CAUSE_COUNT; c++)
		sum += stats.wait_by_cause_ns[c];
	expect(s, sum == stats.wait_ns, "causes do not add up", f->id);
	for (uint32_t c = 0; c < QOS_CAUSE_COUNT; c++)
		expect(s,
		       fabs((double)stats.wait_by_cause_ns[c] - f->wait_by_cause[c]) <=
			       4 + 2 * (double)(stats.jobs + stats.queued) +
				       (s->cost_ns < 100000 ? 0.01 : 1e-6) * (double)stats.wait_ns,
		       qos_cause_name(c), f->id);
	expect(s, stats.wait_ns == f->wait_exact, "wait", f->id);
	expect(s, stats.owned_ns + rounded >= owned && stats.owned_ns <= owned + rounded, "owned",
	       f->id);
	expect(s, stats.queued == f->queued && stats.in_flight == f->in_flight, "jobs", f->id);
	expect(s, stats.jobs == f->started, "jobs started", f->id);
}

static void check_all(struct machine *m)
{
	struct scenario *s = m->arg;
	struct qos_engine_stats stats;
	uint32_t contenders = 0;
	bool work = false;
	exact sum = s->gone;

	for (uint32_t i = 0; i < m->flow_count; i++) {
		struct machine_flow *f = m->flows[i];
		int32_t g = group_index(s, f);
		bool capped = f->knobs.cap < QOS_CAP_NONE ||
			      (g >= 0 && s->group_knobs[g].cap < QOS_CAP_NONE);

		contenders += f->outstanding > 0;
		work |= f->queued > 0 && !capped;
		sum += (exact)f->owned_exact;
		check_flow(s, f);
	}
	qos_engine_stats(m->engine, m->now_ns, &stats);
	expect(s, contenders == qos_contenders(m->engine) && contenders == stats.flows,
	       "contenders", 0);
	expect(s, sum == (exact)m->busy_ns * MACHINE_UNIT, "the machine's own books", 0);
	expect(s, stats.busy_ns == m->busy_ns && stats.in_flight == m->in_flight, "busy", 0);
	expect(s, m->in_flight <= m->k, "more jobs than slots", 0);
	/* After the last pick: either it is full, or nobody who may start has work. */
	if (m->in_flight < m->k && s->config.reserved_slots == 0) {
		expect(s, !qos_ready(m->engine), "ready, and nothing was picked", 0);
		expect(s, !work, "a slot is free while somebody without a cap has work", 0);
	}
	if (m->in_flight < m->k && qos_next_ns(m->engine) != QOS_NEVER)
		expect(s, qos_next_ns(m->engine) > m->now_ns, "a cap is open and not used", 0);
}

/* The charges of all add up to the time in which the engine was busy; each is told without its
 * fraction. */
static void check_sum(struct scenario *s)
{
	int64_t left = (int64_t)(s->m.busy_ns - (uint64_t)(s->gone / MACHINE_UNIT));

	for (uint32_t i = 0; i < s->m.flow_count; i++) {
		struct qos_flow_stats stats;

		qos_flow_stats(&s->m.flows[i]->flow, s->m.now_ns, &stats);
		left -= (int64_t)stats.owned_ns;
	}
	/* Those who have left are known from the machine's books. */
	expect(s, left >= -1 - (int64_t)s->left && left <= 1 + (int64_t)(s->left + s->m.flow_count),
	       "charges", 0);
}

/* ---- Scenarios ---- */

static struct qos_knobs scenario_knobs(struct scenario *s)
{
	struct qos_knobs knobs = {.cap = QOS_CAP_NONE, .weight = QOS_WEIGHT};

	if (below(s, 3) == 0)
		knobs.cap = 1 + (uint32_t)below(s, QOS_CAP_NONE);
	if (below(s, 2) == 0)
		knobs.weight = (uint32_t)MIN(sized(s, 14), QOS_WEIGHT_MAX);
	if (below(s, 2) == 0)
		knobs.priority = (uint32_t)below(s, QOS_PRIORITY_MAX + 1);
	return knobs;
}

static uint64_t scenario_cost_exp(struct machine_flow *flow)
{
	return MIN(machine_cost_exp(flow), COST_MAX_NS);
}

static uint64_t scenario_cost_pareto(struct machine_flow *flow)
{
	return MIN(machine_cost_pareto(flow), COST_MAX_NS);
}

static void scenario_add(struct scenario *s)
{
	static uint64_t (*const costs[])(struct machine_flow * flow) = {
		machine_cost_fixed, scenario_cost_exp, scenario_cost_pareto, machine_cost_phase};
	uint32_t group = (uint32_t)below(s, GROUPS_MAX * 2);
	struct machine_flow *f;

	if (s->m.flow_count >= FLOWS_MAX || s->m.ids >= ARRAY_SIZE(s->flow_watch))
		return;
	f = machine_add(&s->m, group < s->group_count ? s->groups[group] : NULL, scenario_knobs(s),
			(uint32_t)below(s, 9), 1);
	f->cost = costs[below(s, ARRAY_SIZE(costs))];
	f->cost_ns = 1 + MIN(s->cost_ns * sized(s, 6) / 8, COST_MAX_NS / 11);
	f->random = machine_random(&s->random);
	if (below(s, 4) == 0)
		machine_poisson(f, f->cost_ns * (1 + below(s, 20)));
}

static void scenario_set(struct scenario *s, struct machine_flow *f)
{
	struct qos_knobs knobs = scenario_knobs(s);

	if (f->knobs.cap != knobs.cap)
		bound_begin(&flow_watch(s, f)->cap, f->knobs.cap == QOS_CAP_NONE);
	if (below(s, 2))
		knobs.cap = f->knobs.cap;
	for (uint32_t i = 0; i < s->m.in_flight; i++) {
		if (s->m.running[i]->flow == f)
			flow_watch(s, f)->cap.longest_ns =
				MAX(flow_watch(s, f)->cap.longest_ns, s->m.running[i]->cost_ns);
	}
	machine_set(f, knobs);
	scenario_exit(s);
}

static void scenario_set_group(struct scenario *s, uint32_t g)
{
	struct bound *b = &s->group_watch[g].cap;
	struct qos_knobs knobs = scenario_knobs(s);

	if (s->group_knobs[g].cap != knobs.cap)
		bound_begin(b, s->group_knobs[g].cap == QOS_CAP_NONE);
	for (uint32_t i = 0; i < s->m.in_flight; i++) {
		if (s->m.running[i]->flow->flow.group == s->groups[g])
			b->longest_ns = MAX(b->longest_ns, s->m.running[i]->cost_ns);
	}
	s->group_knobs[g] = knobs;
	qos_group_set(s->groups[g], &knobs, s->m.now_ns);
	scenario_exit(s);
}

static void scenario_leave(struct scenario *s, struct machine_flow *f)
{
	f->depth = 0;
	f->due_ns = QOS_NEVER;
	while (machine_withdraw(f, 0))
		;
	scenario_exit(s);
	if (f->outstanding > 0 || s->m.flow_count == 1)
		return;
	s->gone += (exact)f->owned_exact;
	s->left++;
	machine_remove(&s->m, f);
}

static void scenario_act(struct scenario *s)
{
	struct machine_flow *f = s->m.flows[below(s, s->m.flow_count)];

	switch (below(s, 8)) {
	case 0:
		scenario_set(s, f);
		break;
	case 1:
		if (s->group_count > 0)
			scenario_set_group(s, (uint32_t)below(s, s->group_count));
		break;
	case 2:
		scenario_leave(s, f);
		break;
	case 3:
		scenario_add(s);
		break;
	case 4:
		f->depth = (uint32_t)below(s, 40);
		break;
	case 5:
		for (uint64_t i = below(s, 10); i > 0; i--)
			machine_withdraw(f, below(s, 50));
		scenario_exit(s);
		break;
	default:
		for (uint64_t i = below(s, 10); i > 0; i--)
			machine_arrive(f);
	}
}

static void scenario_begin(struct scenario *s)
{
	uint32_t flows = 1 + (uint32_t)below(s, FLOWS_MAX);

	s->config.parallelism = 1 + (uint32_t)below(s, 16);
	if (below(s, 3) == 0)
		s->config.reserved_slots = (uint32_t)below(s, s->config.parallelism);
	s->config.virtual_start = below(s, 2) ? machine_random(&s->random) : 0 - sized(s, 60);
	s->cost_ns = sized(s, 37);
	if (below(s, 4) == 0)
		s->config.burst_ns = below(s, MIN(s->cost_ns * 10, 1ull << 37));
	if (below(s, 4) == 0)
		s->config.slack_ns = below(s, s->cost_ns * 3);
	machine_init(&s->m, &s->config, below(s, 1ull << 50));
	s->m.arg = s;
	s->m.check = check_all;
	s->m.passes = scenario_passes;
	s->m.starts = scenario_starts;
	s->m.ends = scenario_ends;
	s->group_count = (uint32_t)below(s, GROUPS_MAX + 1);
	for (uint32_t i = 0; i < s->group_count; i++) {
		s->group_knobs[i] = scenario_knobs(s);
		s->groups[i] = qos_group_new(s->m.engine, &s->group_knobs[i], s->m.now_ns);
		assert_non_null(s->groups[i]);
	}
	for (uint32_t i = 0; i < flows; i++)
		scenario_add(s);
}

static uint64_t scenario_run(struct scenario *s)
{
	uint64_t ended;

	scenario_begin(s);
	for (uint32_t i = 0; i < STEPS && !s->broken; i++) {
		scenario_act(s);
		machine_run(&s->m, s->m.now_ns + below(s, s->cost_ns * 20 + 2));
		check_sum(s);
	}
	ended = machine_ended(&s->m);
	if (s->broken)
		print_message("seed %lu: %s (%u), K=%u reserved %u flows %u groups %u\n", s->seed,
			      s->broken, s->broken_id, s->m.k, s->config.reserved_slots,
			      s->m.flow_count, s->group_count);
	machine_stop(&s->m);
	for (uint32_t i = 0; i < s->group_count; i++)
		qos_group_free(s->groups[i]);
	machine_done(&s->m);
	return ended;
}

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

static void test_scenarios(void **state)
{
	uint64_t first = number("QOS_SEED", 1);
	uint64_t count = number("QOS_SCENARIOS", SCENARIOS);
	double hunger = 0;
	double cap = 0;
	uint64_t jobs = 0;
	uint64_t broken = 0;

	for (uint64_t seed = first; seed < first + count; seed++) {
		struct scenario *s = calloc(1, sizeof(*s));

		assert_non_null(s);
		s->seed = seed;
		s->random = seed;
		jobs += scenario_run(s);
		hunger = fmax(hunger, s->worst_hunger);
		cap = fmax(cap, s->worst_cap);
		broken += s->broken != NULL;
		free(s);
	}
	print_message("seeds %lu..%lu: %lu jobs; hunger %.3f, caps %.3f of their bounds\n", first,
		      first + count - 1, jobs, hunger, cap);
	assert_int_equal(broken, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scenarios),
	};

	return cmocka_run_group_tests_name("qos property", tests, NULL, NULL);
}
