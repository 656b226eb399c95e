/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Theory of operation.
 *
 * Ownership. An engine runs up to K jobs at once and nothing is queued inside of it. While N jobs
 * are in flight each is charged dt/N; the engine keeps one integral I of dt/N, and a job is charged
 * I(end) - I(start). At every instant the rates of those in flight add up to one, so charges add up
 * to the time in which the engine was busy, whatever the jobs are like, and one that is charged
 * twice another's time had twice the engine. The division's remainder is carried, so the sum is
 * exact and not only nearly so.
 *
 * Weight. Node i has a virtual time v_i that advances by charge / w_i. Over those who compete (who
 * have jobs queued and no cap in their way) the mean V = sum(w_i v_i) / sum(w_i) is what each would
 * have if the engine were divided without grain. lag_i = w_i (V - v_i) is what i is owed; lags add
 * up to zero. Who is not owed less than nothing is eligible, and the smallest v_i is never above
 * the mean, so somebody always is: the engine does not idle while anybody competes.
 *
 * Choice. Among the eligible the highest priority, then the earliest virtual deadline
 * d_i = v_i + estimate_i / w_i: earliest eligible virtual deadline first. Costs are not known
 * before a job ends. At its start a moving average of the flow's charges is taken in advance, at
 * its end the difference to the truth. Both are charges, so an error of the estimate costs order
 * among neighbours, never a share: shares are exact in the long run, and as one job starts at most
 * one job after its owner was owed nothing, nobody gets ahead by more than one job (K = 1), or by
 * those that run at once.
 *
 * Coming and going. Who has nothing queued does not compete, is in no heap and costs nothing. One
 * that was idle comes back with v_i = max(v_i, V): idle time gives no credit, and what it had too
 * much is still owed. So a flow gets at most its share and one job in any window that begins with
 * its return. One whose jobs still run, or that asks again the moment its last job ends, was not
 * idle: what it was owed when its queue ran empty, and no more, it is owed still. So it does not
 * matter how a flow slices its work or times its requests, as long as it keeps asking.
 *
 * Whoever comes back from idle without a debt goes first once: its job is the next to start. That
 * is no credit either, as the job is charged like any other.
 *
 * Priority. Each level lets a flow be eligible an average job or two ahead of its due. A flow that
 * asks for less than its share so goes first whenever it asks; one that asks for more runs that
 * many jobs ahead once, and then waits for its due as everybody: it cannot starve anybody, and its
 * share is what its weight says.
 *
 * Cap: bucket.c. Groups: a contest of contests. A group competes with its own weight and cap and
 * with the highest priority among its members that compete; the member is then chosen likewise.
 *
 * Waiting. For each flow two clocks run in which its queued jobs wait: the one of charges to others
 * of the same or a lower priority, and the one to those of a higher. Both follow from sums the
 * engine keeps anyway; a job's start adds what they show and its submit takes it off, which is all
 * that accounting costs. What is neither these nor the cap is the engine being full of the flow's
 * own jobs. So causes add up to the whole by construction.
 *
 * Cost: O(log n) a decision, amortised; no allocation after joining. Deterministic.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "qos/wait.h"

#define ESTIMATE_FIRST (1000ull << QOS_CHARGE_SHIFT) /* before anything is known: 1 us */
#define PREFETCH_NODES 2048u			     /* fewer lie in the cache anyway */
#define PREFETCH_JOBS  3u
#define PREFETCH_LINES 6u
#define HELD_MIN       16u
#define AVERAGE_SHIFT  3u /* weight of the newest job: 1/8 */

/* ---- The meter ---- */

/* @dt nanoseconds pass. */
static void engine_pass(struct qos_engine *engine, uint64_t dt)
{
	uint64_t span;

	engine->now_ns += dt;
	if (engine->alone) {
		if (engine->in_flight == 0 && !engine->pass_used)
			return;
		engine->busy += dt << QOS_CHARGE_SHIFT;
		engine->alone_charge += dt << QOS_CHARGE_SHIFT;
		engine->alone->node.charged += dt << QOS_CHARGE_SHIFT;
		return;
	}
	if (engine->in_flight == 0)
		return;
	engine->busy += dt << QOS_CHARGE_SHIFT;
	span = (dt << QOS_CHARGE_SHIFT) + engine->remainder;
	if (engine->in_flight == 1) {
		engine->integral += span;
		engine->remainder = 0;
		return;
	}
	engine->integral += span / engine->in_flight;
	engine->remainder = span % engine->in_flight;
}

/* Time passes; mostly it has not, since a start follows an end at once. */
static inline void engine_advance(struct qos_engine *engine, uint64_t now_ns)
{
	uint64_t dt = now_ns - engine->now_ns;

	if ((int64_t)dt > 0)
		engine_pass(engine, dt);
}

/* Moves the sums of flows below @priority when a job of that priority starts (1) or ends (-1). */
static void engine_levels(struct qos_engine *engine, uint32_t priority, int64_t jobs,
			  uint64_t start_sum, uint64_t charged)
{
	for (uint32_t i = 0; i < priority; i++) {
		engine->above[i].in_flight += (uint64_t)jobs;
		engine->above[i].start_sum += start_sum;
		engine->above[i].charged += charged;
	}
}

/* ---- Competing ---- */

static uint8_t group_priority(const struct qos_group *group)
{
	for (uint32_t p = QOS_PRIORITY_MAX; p > 0; p--) {
		if (group->competing[p] > 0)
			return (uint8_t)p;
	}
	return 0;
}

/* One member more or less competes with @priority. */
static void group_count(struct qos_group *group, uint32_t priority, int32_t by)
{
	uint8_t best;

	group->competing[priority] += (uint32_t)by;
	best = group_priority(group);
	if (best == group->node.priority)
		return;
	contest_set_priority(&group->node, best);
}

/* Whether a node that has nothing queued still has something to do at @now_ns: jobs that run, or
 * one that ends at this very moment. Otherwise what it was owed is lost. */
static bool node_busy(const struct qos_node *node, uint64_t now_ns)
{
	return node->in_flight > 0 || node->idle_ns == now_ns;
}

/* @flow has work that no cap of its own holds up. @keep: as of contest_enter(). */
static void flow_enter(struct qos_flow *flow, bool keep, uint64_t now_ns)
{
	struct qos_group *group = flow->group;

	contest_enter(&flow->node, keep);
	if (!group)
		return;
	group_count(group, flow->node.priority, 1);
	if (group->node.queued++ > 0)
		return;
	if (group->node.in_flight == 0)
		bucket_return(group->engine, &group->node, now_ns);
	contest_enter(&group->node, node_busy(&group->node, now_ns));
}

/* @node does not wait for its cap any more. */
static void engine_unhold(struct qos_engine *engine, struct qos_node *node)
{
	heap_remove(&engine->held, node->place);
	node_set_state(node, NODE_IDLE);
	node->place = node->held_turn;
	node->idle_ns = 0;
}

/* It has none any more, or its cap does. */
static void flow_exit(struct qos_flow *flow)
{
	struct qos_group *group = flow->group;

	contest_leave(&flow->node);
	if (!group)
		return;
	group_count(group, flow->node.priority, -1);
	if (--group->node.queued > 0)
		return;
	if (node_state(&group->node) == NODE_HELD) {
		engine_unhold(group->engine, &group->node);
		return;
	}
	contest_leave(&group->node);
}

static struct heap_entry engine_held_entry(const struct qos_engine *engine, struct qos_node *node)
{
	return (struct heap_entry){.key = bucket_opens_ns(engine, node), .node = node};
}

/* The cap of @node, which competes, lets nothing start now. */
static void engine_hold(struct qos_engine *engine, struct qos_node *node)
{
	bool was_held = !(node->state & NODE_GROUP) && flow_held(node_flow(node));

	if (!was_held)
		wait_switch_node(node, true, engine->now_ns);
	if (node->state & NODE_GROUP)
		contest_leave(node);
	else
		flow_exit(node_flow(node));
	node->held_turn = node->place;
	node_set_state(node, NODE_HELD);
	heap_push(&engine->held, engine_held_entry(engine, node));
}

/* It does again. */
static void engine_release(struct qos_engine *engine, struct qos_node *node)
{
	engine_unhold(engine, node);
	if (node->state & NODE_GROUP) {
		contest_enter(node, true);
		wait_switch_node(node, false, engine->now_ns);
		return;
	}
	flow_enter(node_flow(node), true, engine->now_ns);
	if (!flow_held(node_flow(node)))
		wait_switch_node(node, false, engine->now_ns);
}

/* Lets those go on whose caps have opened. */
static void engine_wake(struct qos_engine *engine)
{
	while (engine->held.len > 0) {
		struct qos_node *node = engine->held.base[0].node;

		if (engine->held.base[0].key > engine->now_ns)
			return;
		if (bucket_shut(engine, node))
			heap_down(&engine->held, 0, engine_held_entry(engine, node));
		else
			engine_release(engine, node);
	}
}

/* ---- Alone, or not any more ---- */

static void engine_end_alone(struct qos_engine *engine, uint64_t now_ns)
{
	struct qos_flow *flow = engine->alone;

	if (!flow)
		return;
	engine_advance(engine, now_ns);
	alone_end(engine);
	if (flow->node.queued == 0)
		return;
	wait_begin(flow, flow->node.queued, false, engine->now_ns);
	flow_enter(flow, true, engine->now_ns);
}

static void engine_begin_alone(struct qos_flow *flow, uint64_t now_ns)
{
	struct qos_engine *engine = flow_engine(flow);

	engine_advance(engine, now_ns);
	if (flow->node.queued > 0) {
		wait_end(flow, flow->node.queued, false, engine->now_ns);
		flow_exit(flow);
	}
	alone_begin(flow);
}

/* ---- Jobs ---- */

static void queue_add(struct qos_flow *flow, struct qos_job *job)
{
	job->next = NULL;
	job->prev = flow->tail;
	if (flow->tail)
		flow->tail->next = job;
	else
		flow->head = job;
	flow->tail = job;
}

/* The back link of the first job is not kept: taking it off touches no other. */
static void queue_take(struct qos_flow *flow, struct qos_job *job)
{
	if (job == flow->head) {
		flow->head = job->next;
		if (!flow->head)
			flow->tail = NULL;
		return;
	}
	job->prev->next = job->next;
	if (job == flow->tail)
		flow->tail = job->prev;
	else
		job->next->prev = job->prev;
}

void qos_submit(struct qos_flow *flow, struct qos_job *job, uint64_t now_ns)
{
	struct qos_engine *engine = flow_engine(flow);

	if (job->state != QOS_JOB_IDLE)
		return;
	/* Where two have work already nobody is alone. */
	if (engine->alone != flow && engine->contenders < 2) {
		engine_end_alone(engine, now_ns);
		if (alone_may(flow))
			engine_begin_alone(flow, now_ns);
	}
	job->state = QOS_JOB_QUEUED;
	job->flow = flow;
	queue_add(flow, job);
	flow->wait_wall -= now_ns;
	if (engine->alone) {
		if (flow->node.queued++ == 0 && flow->node.in_flight == 0)
			engine->contenders++;
		return;
	}
	if (flow->node.queued++ == 0) {
		if (flow->node.in_flight == 0) {
			engine->contenders++;
			bucket_return(engine, &flow->node, now_ns);
		}
		flow_enter(flow, node_busy(&flow->node, now_ns), now_ns);
	}
	wait_begin(flow, 1, flow_held(flow), now_ns);
}

bool qos_withdraw(struct qos_job *job, uint64_t now_ns)
{
	struct qos_flow *flow = job->flow;
	bool held;

	if (job->state != QOS_JOB_QUEUED)
		return false;
	held = flow_held(flow);
	job->state = QOS_JOB_IDLE;
	queue_take(flow, job);
	flow->wait_wall += now_ns;
	if (flow_engine(flow)->alone != flow)
		wait_end(flow, 1, held, now_ns);
	if (--flow->node.queued > 0)
		return true;
	if (flow_engine(flow)->alone == flow) {
		/* It does not compete. */
	} else if (node_state(&flow->node) == NODE_HELD) {
		engine_unhold(flow_engine(flow), &flow->node);
	} else {
		flow_exit(flow);
	}
	if (flow->node.in_flight == 0)
		flow_engine(flow)->contenders--;
	return true;
}

/* A moving average and one value more; the first one counts in full. */
static uint64_t average(uint64_t mean, uint64_t value)
{
	if (mean == 0)
		return value;
	return mean + (uint64_t)((int64_t)(value - mean) >> AVERAGE_SHIFT);
}

/*
 * With very many flows each decision touches memory that was not touched for long. Who comes next
 * in a slot is known early: while one is chosen, the queue of the third after it and the lines of
 * the sixth are asked for. Inlined always: a call of a function that only asks for memory does
 * nothing that the compiler knows of, and would go.
 */
static inline __attribute__((always_inline)) void prefetch_next(const struct qos_node *node)
{
	const struct qos_node *at = node->next;
	const struct qos_flow *flow;

	for (uint32_t ahead = 1; at && ahead < PREFETCH_LINES; ahead++) {
		if (ahead == PREFETCH_JOBS && !(at->state & NODE_GROUP)) {
			flow = container_of(at, struct qos_flow, node);
			__builtin_prefetch(flow->head, 1);
			__builtin_prefetch(flow->tail, 1);
		}
		at = at->next;
	}
	if (!at)
		return;
	__builtin_prefetch(at, 1);
	__builtin_prefetch((const char *)at + 64, 1);
}

/* One job more of @node runs; what it will take on average is taken in advance. */
static uint64_t node_start(const struct qos_engine *engine, struct qos_node *node)
{
	uint64_t advance = node_slice(node);

	node->in_flight++;
	node->start_sum += engine->integral;
	contest_move(node, (int64_t)advance);
	if (node->state & NODE_FRESH)
		contest_settle(node);
	return advance;
}

/* It has ended: the advance gives way to what it really took. @weight: in whose units that is. */
static void node_end(struct qos_engine *engine, struct qos_node *node, const struct qos_job *job,
		     uint64_t advance, uint32_t weight)
{
	uint64_t charge = engine->integral - job->start_charge;
	uint64_t took = qos_virtual(charge, node->weight);

	if (weight != node->weight)
		advance = (uint64_t)((qos_wide)advance * weight / node->weight);
	node->start_sum -= job->start_charge;
	node->charged += charge;
	if (--node->in_flight == 0 && node_state(node) == NODE_IDLE)
		node->idle_ns = engine->now_ns;
	contest_move(node, (int64_t)(took - advance));
	node->slice = average(node->slice, MAX(took, 1u));
	if (node->state & NODE_CAPPED)
		bucket_job(engine, node, engine->now_ns - job->start_ns);
	if (node_state(node) == NODE_HELD) {
		bucket_shut(engine, node);
		heap_change(&engine->held, node->place, engine_held_entry(engine, node));
	} else if (node_state(node) == NODE_COMPETES) {
		contest_place(node);
	}
}

/* What every start does. */
static inline struct qos_job *flow_take(struct qos_engine *engine, struct qos_flow *flow)
{
	struct qos_node *node = &flow->node;
	struct qos_job *job = flow->head;

	queue_take(flow, job);
	flow->wait_wall += engine->now_ns;
	flow->jobs++;
	job->state = QOS_JOB_STARTED;
	job->start_ns = engine->now_ns;
	job->start_charge = engine->integral;
	job->advance = 0;
	job->weight = node->weight;
	job->low = node->priority == 0;
	engine->in_flight++;
	engine->low_in_flight += job->low;
	if (node->priority > 0)
		engine_levels(engine, node->priority, 1, engine->integral, 0);
	return job;
}

/* The next job of a flow that has the engine for itself; NULL when it has none. */
static inline struct qos_job *engine_pick_alone(struct qos_engine *engine, bool low)
{
	struct qos_flow *flow = engine->alone;
	struct qos_job *job;

	if (!flow->head || (!low && flow->node.priority == 0))
		return NULL;
	job = flow_take(engine, flow);
	engine->pass_used = engine->pass;
	flow->node.in_flight++;
	flow->node.start_sum += engine->integral;
	flow->node.queued--;
	return job;
}

static struct qos_job *flow_start(struct qos_engine *engine, struct qos_flow *flow)
{
	struct qos_node *node = &flow->node;
	struct qos_group *group = flow->group;
	struct qos_job *job = flow_take(engine, flow);

	if (engine->nodes > PREFETCH_NODES)
		prefetch_next(node);
	wait_end(flow, 1, false, engine->now_ns);
	job->advance = node_start(engine, node);
	if (group) {
		job->group_weight = group->node.weight;
		job->group_advance = node_start(engine, &group->node);
	}
	if (--node->queued == 0)
		flow_exit(flow);
	return job;
}

/* The flow that goes next, or NULL. @low: those of priority 0 may, too. */
static struct qos_flow *engine_choose(struct qos_engine *engine, bool low)
{
	struct qos_node *node;

	while ((node = contest_first(&engine->root))) {
		if (!low && node->priority == 0)
			return NULL;
		if (bucket_shut(engine, node)) {
			engine_hold(engine, node);
			continue;
		}
		if (!(node->state & NODE_GROUP))
			return node_flow(node);
		node = contest_first(&node_group(node)->contest);
		if (!node || (!low && node->priority == 0))
			return NULL;
		if (!bucket_shut(engine, node))
			return node_flow(node);
		engine_hold(engine, node);
	}
	return NULL;
}

/* Whether a slot is free that is not reserved. */
static bool engine_low(const struct qos_engine *engine)
{
	return engine->low_in_flight + engine->config.reserved_slots < engine->config.parallelism;
}

struct qos_job *qos_pick(struct qos_engine *engine, uint64_t now_ns)
{
	struct qos_flow *flow;

	bool low =
		engine->low_in_flight + engine->config.reserved_slots < engine->config.parallelism;

	if (engine->in_flight >= engine->config.parallelism)
		return NULL;
	engine_advance(engine, now_ns);
	if (engine->alone)
		return engine_pick_alone(engine, low);
	engine_wake(engine);
	flow = engine_choose(engine, low);
	return flow ? flow_start(engine, flow) : NULL;
}

void qos_complete(struct qos_job *job, uint64_t now_ns)
{
	struct qos_flow *flow = job->flow;
	struct qos_engine *engine = flow_engine(flow);
	uint64_t charge;

	if (job->state != QOS_JOB_STARTED)
		return;
	engine_advance(engine, now_ns);
	charge = engine->integral - job->start_charge;
	engine->longest_ns = MAX(engine->longest_ns, engine->now_ns - job->start_ns);
	if (flow->node.priority > 0)
		engine_levels(engine, flow->node.priority, -1, 0 - job->start_charge, charge);
	/* Before the engine counts one less: caps look at who still runs. */
	engine->in_flight--;
	engine->low_in_flight -= job->low;
	if (engine->alone && charge == 0 && job->advance == 0) {
		/* Started in that state: all of it is in the one sum. */
		engine->alone_jobs++;
		job->state = QOS_JOB_IDLE;
		flow->node.start_sum -= job->start_charge;
		if (--flow->node.in_flight == 0 && flow->node.queued == 0)
			engine->contenders--;
		return;
	}
	engine->estimate = engine->ended++ ? average(engine->estimate, charge) : charge;
	job->state = QOS_JOB_IDLE;
	node_end(engine, &flow->node, job, job->advance, job->weight);
	if (flow->group)
		node_end(engine, &flow->group->node, job, job->group_advance, job->group_weight);
	if (flow->node.in_flight == 0 && flow->node.queued == 0)
		engine->contenders--;
}

bool qos_ready(const struct qos_engine *engine)
{
	const struct qos_flow *alone = engine->alone;

	if (engine->in_flight >= engine->config.parallelism)
		return false;
	if (alone)
		return alone->head && (engine_low(engine) || alone->node.priority > 0);
	return engine->root.weight > 0 && (engine_low(engine) || contest_raised(&engine->root));
}

uint64_t qos_next_ns(const struct qos_engine *engine)
{
	/* Nobody can go on before a job has ended, and what is due by then is seen by the pick. */
	if (engine->in_flight >= engine->config.parallelism || engine->held.len == 0)
		return QOS_NEVER;
	return engine->held.base[0].key;
}

void qos_pass(struct qos_engine *engine, bool begins, uint64_t now_ns)
{
	engine_advance(engine, now_ns);
	engine->pass = begins;
	engine->pass_used = false;
}

uint32_t qos_contenders(const struct qos_engine *engine)
{
	return engine->contenders;
}

/* ---- Joining, leaving, knobs ---- */

struct qos_engine *qos_engine_new(const struct qos_config *config, uint64_t now_ns)
{
	struct qos_engine *engine;

	if (config->parallelism < 1 || config->parallelism > QOS_PARALLELISM_MAX ||
	    config->reserved_slots >= config->parallelism ||
	    config->burst_ns > QOS_CHARGE_MAX >> QOS_CHARGE_SHIFT) {
		errno = EINVAL;
		return NULL;
	}
	engine = calloc(1, sizeof(*engine));
	if (!engine)
		return NULL;
	engine->config = *config;
	engine->now_ns = now_ns;
	engine->estimate = ESTIMATE_FIRST;
	contest_init(&engine->root, engine);
	return engine;
}

void qos_engine_free(struct qos_engine *engine)
{
	if (!engine)
		return;
	contest_done(&engine->root);
	free(engine->held.base);
	free(engine);
}

/* Room for one more node in the heap of those that wait for their cap. */
static int engine_reserve(struct qos_engine *engine)
{
	struct heap_entry *base;
	uint32_t size;

	if (engine->nodes < engine->held_size)
		return 0;
	size = engine->held_size ? engine->held_size * 2 : HELD_MIN;
	base = reallocarray(engine->held.base, size, sizeof(*base));
	if (!base)
		return -ENOMEM;
	engine->held.base = base;
	engine->held_size = size;
	return 0;
}

static int node_join(struct qos_engine *engine, struct qos_contest *contest, struct qos_node *node,
		     const struct qos_knobs *knobs)
{
	int r = engine_reserve(engine);

	if (r == 0)
		r = contest_reserve(contest, knobs->priority);
	if (r < 0)
		return r;
	engine->nodes++;
	node->contest = contest;
	node->weight = (uint16_t)knobs->weight;
	node->vtime = contest_now(contest);
	node->place = contest->turns;
	return 0;
}

int qos_flow_join(struct qos_engine *engine, struct qos_group *group, struct qos_flow *flow,
		  const struct qos_knobs *knobs, uint64_t now_ns)
{
	int r = node_join(engine, group ? &group->contest : &engine->root, &flow->node, knobs);

	if (r < 0)
		return r;
	flow->group = group;
	flow->bucket.cap = QOS_CAP_NONE;
	r = qos_flow_set(flow, knobs, now_ns);
	if (r < 0) {
		engine->nodes--;
		return r;
	}
	if (group) {
		flow->next_member = group->members;
		group->members = flow;
	}
	return 0;
}

void qos_flow_leave(struct qos_flow *flow)
{
	struct qos_flow **at = flow->group ? &flow->group->members : NULL;
	struct qos_engine *engine = flow_engine(flow);

	if (engine->alone == flow)
		engine_end_alone(engine, engine->now_ns);
	while (at && *at && *at != flow)
		at = &(*at)->next_member;
	if (at && *at)
		*at = flow->next_member;
	engine->nodes--;
	flow->node.contest = NULL;
}

/* A node that waits for its cap competes again, and is held anew if that is still right. */
static void node_recap(struct qos_engine *engine, struct qos_node *node, uint32_t cap)
{
	bucket_set(engine, node, cap);
	if (node_state(node) == NODE_HELD)
		engine_release(engine, node);
}

/* Sums by priority follow the flow, so that its own jobs never count as those of a higher one. */
static void flow_set_priority(struct qos_flow *flow, uint32_t priority)
{
	struct qos_engine *engine = flow_engine(flow);
	struct qos_node *node = &flow->node;
	uint64_t charged = node->in_flight * engine->integral - node->start_sum;
	bool counts = flow->group && node_state(node) == NODE_COMPETES;
	uint32_t old = node->priority;

	engine_levels(engine, old, -(int64_t)node->in_flight, 0 - node->start_sum, charged);
	contest_set_priority(node, priority);
	engine_levels(engine, priority, (int64_t)node->in_flight, node->start_sum, 0 - charged);
	if (!counts)
		return;
	group_count(flow->group, old, -1);
	group_count(flow->group, priority, 1);
}

int qos_flow_set(struct qos_flow *flow, const struct qos_knobs *knobs, uint64_t now_ns)
{
	struct qos_engine *engine = flow_engine(flow);
	struct qos_node *node = &flow->node;
	bool held = flow_held(flow);
	int r = contest_reserve(node->contest, knobs->priority);

	/* A group competes with the priority of its members. */
	if (r == 0 && flow->group)
		r = contest_reserve(&engine->root, knobs->priority);
	if (r < 0)
		return r;
	engine_advance(engine, now_ns);
	if (engine->alone == flow)
		engine_end_alone(engine, now_ns);
	if (knobs->priority != node->priority) {
		wait_end(flow, node->queued, held, engine->now_ns);
		flow_set_priority(flow, knobs->priority);
		wait_begin(flow, node->queued, held, engine->now_ns);
	}
	if (knobs->weight != node->weight)
		contest_reweigh(node, knobs->weight);
	if (knobs->cap != flow->bucket.cap)
		node_recap(engine, node, knobs->cap);
	return 0;
}

struct qos_group *qos_group_new(struct qos_engine *engine, const struct qos_knobs *knobs,
				uint64_t now_ns)
{
	struct qos_knobs weighed = {.weight = knobs->weight};
	struct qos_group *group = calloc(1, sizeof(*group));
	int r = group ? node_join(engine, &engine->root, &group->node, &weighed) : -ENOMEM;

	if (r < 0) {
		free(group);
		errno = -r;
		return NULL;
	}
	group->engine = engine;
	group->node.state = NODE_GROUP;
	group->bucket.cap = QOS_CAP_NONE;
	contest_init(&group->contest, engine);
	qos_group_set(group, knobs, now_ns);
	return group;
}

void qos_group_free(struct qos_group *group)
{
	if (!group)
		return;
	group->engine->nodes--;
	contest_done(&group->contest);
	free(group);
}

void qos_group_set(struct qos_group *group, const struct qos_knobs *knobs, uint64_t now_ns)
{
	engine_advance(group->engine, now_ns);
	if (knobs->weight != group->node.weight)
		contest_reweigh(&group->node, knobs->weight);
	if (knobs->cap != group->bucket.cap)
		node_recap(group->engine, &group->node, knobs->cap);
}
