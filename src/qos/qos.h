/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The scheduler: who may use an engine of the parent next, and what that cost whom.
 *
 * Pure: no clock, no I/O, no globals, no randomness. Time comes in as monotonic nanoseconds, never
 * going back; the same calls with the same times give the same decisions. Memory is taken where a
 * flow or group joins and nowhere else. One thread owns an engine and all that joined it.
 *
 *   engine   a part of the device that runs up to K jobs at once; has a meter of its own
 *   flow     what one mdev asks of one engine; embedded in whatever the caller has
 *   group    flows that share a weight and a cap of their own: the second level of the tree
 *   job      one piece of work; embedded, the scheduler's from submit to start and until its end
 *
 * Ownership: with N jobs in flight during dt each is charged dt/N, so the charges add up to the
 * time in which the engine was busy. Theory, bounds and proofs: engine.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "util/cleanup.h"

#define QOS_CAP_MIN	    1u	   /* hundredths of a percent of wall time */
#define QOS_CAP_NONE	    10000u /* no bound */
#define QOS_WEIGHT_MIN	    1u
#define QOS_WEIGHT_MAX	    10000u
#define QOS_WEIGHT	    100u
#define QOS_PRIORITY_MAX    7u
#define QOS_PARALLELISM_MAX 65536u

#define QOS_NEVER	    UINT64_MAX

/* What an operator sets. */
struct qos_knobs {
	uint32_t cap;	   /* QOS_CAP_MIN..QOS_CAP_NONE */
	uint32_t weight;   /* QOS_WEIGHT_MIN..QOS_WEIGHT_MAX */
	uint32_t priority; /* 0..QOS_PRIORITY_MAX, higher first; of a group: not used */
};
#define QOS_KNOBS_DEFAULT                                                                          \
	{                                                                                          \
		.cap = QOS_CAP_NONE, .weight = QOS_WEIGHT, .priority = 0                           \
	}

/* Whether each knob is within its range. */
bool qos_knobs_ok(const struct qos_knobs *knobs);

/* Why a job waited. Every nanosecond of waiting has exactly one cause. */
enum qos_cause {
	QOS_CAUSE_CAP,	    /* its own cap, or its group's */
	QOS_CAUSE_TURN,	    /* others of the same or a lower priority owned the engine */
	QOS_CAUSE_PRIORITY, /* others of a higher priority did */
	QOS_CAUSE_ENGINE,   /* the engine was full of its own jobs, or kept its slots for others */
	QOS_CAUSE_COUNT
};

/* "cap", "turn", "priority", "engine": words of the RPC. Never NULL. */
const char *qos_cause_name(enum qos_cause cause);

struct qos_config {
	uint32_t parallelism;	 /* K: jobs in flight at most; 1..QOS_PARALLELISM_MAX */
	uint32_t reserved_slots; /* of them, kept for jobs of a priority above 0; less than K */
	uint64_t slack_ns;	 /* how late a cap's timer may be without the mdev losing by it */
	uint64_t burst_ns;	 /* ownership that a capped mdev may save up while idle */
	uint64_t virtual_start;	 /* where virtual time begins, for tests of its wrap */
};

#define QOS_JOB_IDLE	0u
#define QOS_JOB_QUEUED	1u
#define QOS_JOB_STARTED 2u

struct qos_engine;
struct qos_group;

/* A job. Zero it before the first submit; all of it is the scheduler's. */
struct qos_job {
	struct qos_job *next;
	struct qos_job *prev;
	struct qos_flow *flow;
	uint64_t start_charge; /* the engine's integral of dt/N when it started */
	uint64_t start_ns;
	uint64_t advance; /* virtual time that its flow was charged in advance */
	uint64_t group_advance;
	uint16_t weight; /* in whose units that is */
	uint16_t group_weight;
	uint16_t state;
	uint16_t low; /* counts against the slots that are not reserved */
};

/* Whether a job may be submitted. */
static inline bool qos_job_idle(const struct qos_job *job)
{
	return job->state == QOS_JOB_IDLE;
}
/* Whether it may be completed. */
static inline bool qos_job_started(const struct qos_job *job)
{
	return job->state == QOS_JOB_STARTED;
}

/* What flow and group have in common: a competitor of one contest. */
struct qos_node {
	uint64_t vtime; /* virtual time: charges received / weight */
	uint64_t slice; /* of it that an average job takes; 0: not known yet */
	struct qos_contest *contest;
	union {
		struct qos_node *next; /* in its slot of the contest */
		int64_t credit;	       /* not competing: what it was owed when it left */
	};
	union {
		struct qos_node *prev;
		uint64_t idle_ns;   /* idle: since when */
		uint32_t held_turn; /* held by its cap: what place is to an idle one */
	};
	uint32_t place; /* of the slot, or in the heap; idle: the turn of the virtual clock */
	uint16_t weight;
	uint8_t priority;
	uint8_t state;
	uint32_t queued; /* flow: jobs that wait; group: members in its contest */
	uint32_t in_flight;
	uint64_t charged;   /* to jobs that have ended */
	uint64_t start_sum; /* sum of start_charge over jobs in flight */
};

/* The cap of a node that has one. */
struct qos_bucket {
	uint32_t cap; /* QOS_CAP_NONE: the rest means nothing */
	uint32_t reserved;
	int64_t debt; /* ownership received beyond what was allowed, at @at_ns */
	uint64_t at_ns;
	uint64_t at_charge;  /* what the node had been charged then */
	uint64_t longest_ns; /* job so far; its unpaid part is always part of the debt */
};

struct qos_flow {
	struct qos_node node;
	struct qos_group *group; /* or NULL */
	struct qos_job *head;	 /* of the queue */
	struct qos_job *tail;
	uint64_t jobs; /* started so far */
	/* Sums over jobs of a clock at their start less that clock at their submit. */
	uint64_t wait_wall;
	uint64_t wait_turn;
	uint64_t wait_higher;
	/* Not touched by jobs of a flow without a cap. */
	struct qos_bucket bucket;
	uint64_t wait_cap;
	struct qos_flow *next_member; /* of its group */
};

/* What a flow got and waited for, in nanoseconds. */
struct qos_flow_stats {
	uint64_t jobs; /* started */
	uint64_t owned_ns;
	uint64_t wait_ns; /* of all jobs, those that still wait included */
	uint64_t wait_by_cause_ns[QOS_CAUSE_COUNT]; /* adds up to wait_ns */
	uint32_t queued;
	uint32_t in_flight;
	uint64_t estimate_ns; /* of what its next job will own */
	uint64_t cap_debt_ns; /* ownership it has to wait for */
};

struct qos_engine_stats {
	uint64_t busy_ns; /* with at least one job in flight: the sum of all charges */
	uint32_t in_flight;
	uint32_t flows;	     /* that have jobs queued or in flight */
	uint64_t longest_ns; /* job so far */
};

/* A new engine, or NULL with errno set: EINVAL for a bad @config. */
struct qos_engine *qos_engine_new(const struct qos_config *config, uint64_t now_ns);

/* Frees it; nothing may have joined it. NULL is fine. */
void qos_engine_free(struct qos_engine *engine);

/* A group of an engine, with an own weight and cap; priority is that of its members. Free it when
 * its members have left. NULL with errno set. */
struct qos_group *qos_group_new(struct qos_engine *engine, const struct qos_knobs *knobs,
				uint64_t now_ns);
void qos_group_free(struct qos_group *group);
void qos_group_set(struct qos_group *group, const struct qos_knobs *knobs, uint64_t now_ns);

/*
 * Makes @flow (zeroed) a competitor for @engine, in @group unless that is NULL. It costs nothing
 * until it has a job. Returns 0 or -ENOMEM.
 */
int qos_flow_join(struct qos_engine *engine, struct qos_group *group, struct qos_flow *flow,
		  const struct qos_knobs *knobs, uint64_t now_ns) umdev_warn_unused;

/* Ends that. None of its jobs may be queued or in flight. */
void qos_flow_leave(struct qos_flow *flow);

/* Changes the knobs, which are within their ranges; in effect from the next pick. A change makes
 * neither debt nor credit, but without a cap there is no debt to it either. Returns 0, or -ENOMEM
 * with nothing changed. */
int qos_flow_set(struct qos_flow *flow, const struct qos_knobs *knobs,
		 uint64_t now_ns) umdev_warn_unused;

/* Queues a job of @flow. */
void qos_submit(struct qos_flow *flow, struct qos_job *job, uint64_t now_ns);

/* Takes a queued job back. False when it is not queued: it was started, or never submitted. */
bool qos_withdraw(struct qos_job *job, uint64_t now_ns);

/* The job to start now, which counts as in flight from here on; NULL when the engine is full or
 * nobody who may has work. */
struct qos_job *qos_pick(struct qos_engine *engine, uint64_t now_ns);

/* Whether qos_pick() is worth a call: there is room and something waits for more than a cap. */
bool qos_ready(const struct qos_engine *engine);

/* When the next mdev that waits for its cap may go on; QOS_NEVER when none does or the engine is
 * full: then the next pick is due at the end of a job. */
uint64_t qos_next_ns(const struct qos_engine *engine);

/*
 * A started job has ended at @now_ns. A time before that of the last call counts as the latter.
 */
void qos_complete(struct qos_job *job, uint64_t now_ns);

/*
 * The caller begins, or has ended, a round of picks in which jobs may start and end one after
 * another. While one flow has the engine for itself all of that time counts as busy, so that the
 * caller need not read the clock for each of them.
 */
void qos_pass(struct qos_engine *engine, bool begins, uint64_t now_ns);

/* Flows with jobs queued or in flight. */
uint32_t qos_contenders(const struct qos_engine *engine);

/* Takes the numbers as they stand at @now_ns, without changing anything. */
void qos_flow_stats(const struct qos_flow *flow, uint64_t now_ns, struct qos_flow_stats *ret_stats);
void qos_engine_stats(const struct qos_engine *engine, uint64_t now_ns,
		      struct qos_engine_stats *ret_stats);
