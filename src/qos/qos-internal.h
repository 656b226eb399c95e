/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of the scheduler know of each other. Theory: engine.c.
 *
 * Units. A charge is ownership time in 1/256 ns. Virtual time is a charge times 2^14 divided by a
 * weight. Both wrap, and only differences mean anything.
 */
#pragma once

#include <stddef.h>

#include "qos/heap.h"
#include "qos/qos.h"

#define QOS_CHARGE_SHIFT  8u
#define QOS_VIRTUAL_SHIFT 14u
#define QOS_LEVELS	  (QOS_PRIORITY_MAX + 1u)
/* What one job may add at most: 2^37 ns. Keeps virtual times comparable whatever a device does. */
#define QOS_CHARGE_MAX (1ull << 45)

/* qos_node.state */
#define NODE_IDLE     0u  /* nothing queued */
#define NODE_COMPETES 1u  /* has work, in its contest */
#define NODE_HELD     2u  /* has work and waits for its cap, in the engine's heap of those */
#define NODE_STATE    3u  /* mask */
#define NODE_GROUP    4u  /* flag: a group */
#define NODE_CAPPED   8u  /* flag: has a bucket */
#define NODE_FRESH    16u /* flag: came back from idle and had no job yet */

typedef __int128 qos_wide;

#define RING_SLOTS 64u
#define RING_FINE  4u  /* slots of a job's size, log 2 */
#define RING_SIZES 64u /* log 2 of a job's virtual time */

/* Virtual time that passes in one turn. Debts are far below half of it, turns far below a wrap. */
#define CONTEST_TURN (1ull << 60)

struct qos_rank;

/* Where nodes compete: all of an engine, or the members of a group. */
struct qos_contest {
	struct qos_rank *ranks[QOS_LEVELS]; /* NULL: nobody with this priority ever joined */
	/* Virtual time is origin + moment / weight: the mean over those who compete. */
	uint64_t origin;
	uint64_t weight;  /* sum */
	qos_wide moment;  /* sum of weight * (vtime - origin) */
	uint64_t advance; /* of origin since the last turn */
	uint32_t turns;
	uint32_t levels; /* priorities of those who compete, a bit each */
	struct qos_engine *engine;
};

struct qos_group {
	struct qos_node node;
	struct qos_contest contest;
	struct qos_bucket bucket;
	struct qos_engine *engine;
	struct qos_flow *members;	/* list of all */
	uint32_t competing[QOS_LEVELS]; /* members in the contest, by priority */
};

/* What jobs of a priority above some level were and are charged. */
struct qos_level {
	uint64_t charged;
	uint64_t start_sum;
	uint64_t in_flight;
};

struct qos_engine {
	struct qos_contest root;
	struct heap held;   /* by the time at which their cap lets them go on */
	uint64_t now_ns;    /* of the last change to what is in flight */
	uint64_t integral;  /* of dt / in_flight */
	uint64_t remainder; /* of that division, carried so that nothing is lost */
	uint64_t busy;	    /* as a charge */
	uint32_t in_flight;
	uint32_t low_in_flight;
	uint32_t contenders;
	uint32_t nodes;	    /* flows and groups that joined */
	uint32_t held_size; /* entries there is room for */
	uint32_t reserved;
	struct qos_flow *alone; /* has the engine for itself; alone.c */
	uint64_t alone_charge;	/* in that state, not in its virtual time yet */
	uint64_t alone_jobs;	/* that ended in it */
	bool pass;		/* the caller starts jobs, see qos_pass() */
	bool pass_used;		/* one was started since it began */
	uint64_t estimate;	/* moving average of what a job is charged */
	uint64_t ended;
	uint64_t longest_ns;
	struct qos_config config;
	struct qos_level above[QOS_LEVELS];
};

/* NODE_IDLE, NODE_COMPETES or NODE_HELD. */
static inline uint32_t node_state(const struct qos_node *node)
{
	return node->state & NODE_STATE;
}

/* Changes it; flags stay. */
static inline void node_set_state(struct qos_node *node, uint32_t state)
{
	node->state = (uint8_t)((node->state & ~NODE_STATE) | state);
}

/* The flow that a node without NODE_GROUP is part of. */
static inline struct qos_flow *node_flow(struct qos_node *node)
{
	return container_of(node, struct qos_flow, node);
}

/* The group that a node with NODE_GROUP is part of. */
static inline struct qos_group *node_group(struct qos_node *node)
{
	return container_of(node, struct qos_group, node);
}

/* What a node was charged up to the point of the integral. */
static inline uint64_t node_charged(const struct qos_node *node, uint64_t integral)
{
	return node->charged + node->in_flight * integral - node->start_sum;
}

/* A charge as virtual time of a weight. */
static inline uint64_t qos_virtual(uint64_t charge, uint32_t weight)
{
	charge = MIN(charge, QOS_CHARGE_MAX);
	return ((charge << QOS_VIRTUAL_SHIFT) + weight / 2) / weight;
}

/* Virtual time that the next job of a node is taken for. */
static inline uint64_t node_slice(const struct qos_node *node)
{
	return node->slice ? node->slice
			   : qos_virtual(node->contest->engine->estimate, node->weight);
}

/* The engine a flow has joined. */
static inline struct qos_engine *flow_engine(const struct qos_flow *flow)
{
	return flow->node.contest->engine;
}

/* ---- contest.c ---- */

/* Makes an empty contest whose virtual time begins at @start. */
void contest_init(struct qos_contest *contest, struct qos_engine *engine);
void contest_done(struct qos_contest *contest);

/* Makes room for members of @priority. 0 or -ENOMEM. */
int contest_reserve(struct qos_contest *contest, uint32_t priority) umdev_warn_unused;

/* Virtual time. */
uint64_t contest_now(const struct qos_contest *contest);

/*
 * @node has work: it competes from now on, with its debt. What it was owed when it left is owed
 * still with @keep, where it was not idle meanwhile; more it never is.
 */
void contest_enter(struct qos_node *node, bool keep);
/* It competes no more. */
void contest_leave(struct qos_node *node);

/* @node had everything for itself: moves its virtual time on by @by from the present, and the
 * contest, in which nobody competes, with it. */
void contest_skip(struct qos_node *node, uint64_t by);

/* Moves the origin of virtual time to now, which changes nothing but keeps distances short. */
void contest_rebase(struct qos_contest *contest);

/* Moves the virtual time of @node, competing or not, on by @by or back. */
static inline void contest_move(struct qos_node *node, int64_t by)
{
	struct qos_contest *contest = node->contest;

	node->vtime += (uint64_t)by;
	if (node_state(node) != NODE_COMPETES) {
		node->credit -= by;
		return;
	}
	contest->moment += (qos_wide)by * (int64_t)node->weight;
	if ((int64_t)(node->vtime - contest->origin) > (int64_t)CONTEST_TURN)
		contest_rebase(contest);
}

/* After changes of virtual time or slice: brings @node, which competes, to its place. Not needed
 * for one that only moved on: that is seen when its turn comes. */
void contest_place(struct qos_node *node);

/* A node that came back from idle had its first job and is one among others from now on. */
void contest_settle(struct qos_node *node);

/* Another priority, for which there is room. */
void contest_set_priority(struct qos_node *node, uint32_t priority);

/* Another weight, with the same ownership owed or owing. */
void contest_reweigh(struct qos_node *node, uint32_t weight);

/* Whether anybody with a priority above 0 competes. */
static inline bool contest_raised(const struct qos_contest *contest)
{
	return contest->levels > 1;
}

/* The eligible competitor of the highest priority and then the earliest deadline; NULL when nobody
 * competes. */
struct qos_node *contest_first(struct qos_contest *contest);

/* ---- alone.c ---- */

/* Whether @flow, which has or is about to have work, has the engine for itself. */
bool alone_may(const struct qos_flow *flow);

/* It has from now on; it does not compete. */
void alone_begin(struct qos_flow *flow);

/* It has no longer; charges until now were taken. What is queued has to compete from now on. */
void alone_end(struct qos_engine *engine);

/* ---- bucket.c ---- */

/* Sets or takes away the cap of a node. */
void bucket_set(struct qos_engine *engine, struct qos_node *node, uint32_t cap);

/* Whether the cap of the node lets nothing start now. */
bool bucket_check(struct qos_engine *engine, struct qos_node *node);

/* The same, for nodes that may have none. */
static inline bool bucket_shut(struct qos_engine *engine, struct qos_node *node)
{
	return node->state & NODE_CAPPED && bucket_check(engine, node);
}

/* It had nothing to do until @now_ns, to which the engine need not have come: what it could have
 * used meanwhile is lost, but for the burst. */
void bucket_return(struct qos_engine *engine, struct qos_node *node, uint64_t now_ns);

/* A job of the node, which has a cap, took @duration_ns and has ended. */
void bucket_job(struct qos_engine *engine, struct qos_node *node, uint64_t duration_ns);

/* When the shut bucket opens; QOS_NEVER when not before another job of the node has ended. */
uint64_t bucket_opens_ns(const struct qos_engine *engine, struct qos_node *node);

/* Ownership the node has to wait for, as a charge, at a given point. */
uint64_t bucket_debt(const struct qos_engine *engine, const struct qos_node *node, uint64_t now_ns,
		     uint64_t integral);
