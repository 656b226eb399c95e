/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the scheduler is measured against: the same interface, first in, first out within the
 * engine's parallelism. It charges nobody and honours no knob; -Dqos=fifo builds it.
 */
#include <errno.h>
#include <stdlib.h>

#include "qos/qos.h"

struct qos_engine {
	struct qos_job *head;
	struct qos_job *tail;
	uint32_t parallelism;
	uint32_t in_flight;
	uint32_t contenders;
};

/* A group is nothing but a name here. */
struct qos_group {
	struct qos_engine *engine;
};

/* Which engine a flow belongs to, where the other scheduler keeps its contest. */
static struct qos_engine *flow_engine(const struct qos_flow *flow)
{
	return (struct qos_engine *)(void *)flow->node.contest;
}

static const char *const qos_cause_names[] = {"cap", "turn", "priority", "engine"};

const char *qos_cause_name(enum qos_cause cause)
{
	return (unsigned)cause < QOS_CAUSE_COUNT ? qos_cause_names[cause] : "unknown";
}

bool qos_knobs_ok(const struct qos_knobs *knobs)
{
	return knobs->cap >= QOS_CAP_MIN && knobs->cap <= QOS_CAP_NONE &&
	       knobs->weight >= QOS_WEIGHT_MIN && knobs->weight <= QOS_WEIGHT_MAX &&
	       knobs->priority <= QOS_PRIORITY_MAX;
}

struct qos_engine *qos_engine_new(const struct qos_config *config, uint64_t now_ns)
{
	struct qos_engine *engine;

	if (config->parallelism < 1 || config->parallelism > QOS_PARALLELISM_MAX ||
	    config->reserved_slots >= config->parallelism) {
		errno = EINVAL;
		return NULL;
	}
	engine = calloc(1, sizeof(*engine));
	if (engine)
		engine->parallelism = config->parallelism;
	return engine;
}

void qos_engine_free(struct qos_engine *engine)
{
	free(engine);
}

struct qos_group *qos_group_new(struct qos_engine *engine, const struct qos_knobs *knobs,
				uint64_t now_ns)
{
	struct qos_group *group = calloc(1, sizeof(*group));

	if (group)
		group->engine = engine;
	return group;
}

void qos_group_free(struct qos_group *group)
{
	free(group);
}

void qos_group_set(struct qos_group *group, const struct qos_knobs *knobs, uint64_t now_ns)
{
}

int qos_flow_join(struct qos_engine *engine, struct qos_group *group, struct qos_flow *flow,
		  const struct qos_knobs *knobs, uint64_t now_ns)
{
	flow->node.contest = (struct qos_contest *)(void *)engine;
	return 0;
}

void qos_flow_leave(struct qos_flow *flow)
{
	flow->node.contest = NULL;
}

int qos_flow_set(struct qos_flow *flow, const struct qos_knobs *knobs, uint64_t now_ns)
{
	return 0;
}

void qos_submit(struct qos_flow *flow, struct qos_job *job, uint64_t now_ns)
{
	struct qos_engine *engine = flow_engine(flow);

	if (job->state != QOS_JOB_IDLE)
		return;
	job->state = QOS_JOB_QUEUED;
	job->flow = flow;
	job->next = NULL;
	job->prev = engine->tail;
	if (engine->tail)
		engine->tail->next = job;
	else
		engine->head = job;
	engine->tail = job;
	if (flow->node.queued++ == 0 && flow->node.in_flight == 0)
		engine->contenders++;
}

static void fifo_take(struct qos_engine *engine, struct qos_job *job)
{
	if (job->prev)
		job->prev->next = job->next;
	else
		engine->head = job->next;
	if (job->next)
		job->next->prev = job->prev;
	else
		engine->tail = job->prev;
	job->flow->node.queued--;
}

bool qos_withdraw(struct qos_job *job, uint64_t now_ns)
{
	struct qos_engine *engine;

	if (job->state != QOS_JOB_QUEUED)
		return false;
	engine = flow_engine(job->flow);
	fifo_take(engine, job);
	job->state = QOS_JOB_IDLE;
	if (job->flow->node.queued == 0 && job->flow->node.in_flight == 0)
		engine->contenders--;
	return true;
}

struct qos_job *qos_pick(struct qos_engine *engine, uint64_t now_ns)
{
	struct qos_job *job = engine->head;

	if (!job || engine->in_flight >= engine->parallelism)
		return NULL;
	fifo_take(engine, job);
	job->state = QOS_JOB_STARTED;
	job->flow->node.in_flight++;
	job->flow->jobs++;
	engine->in_flight++;
	return job;
}

bool qos_ready(const struct qos_engine *engine)
{
	return engine->head && engine->in_flight < engine->parallelism;
}

uint64_t qos_next_ns(const struct qos_engine *engine)
{
	return QOS_NEVER;
}

void qos_complete(struct qos_job *job, uint64_t now_ns)
{
	struct qos_engine *engine;

	if (job->state != QOS_JOB_STARTED)
		return;
	engine = flow_engine(job->flow);
	job->state = QOS_JOB_IDLE;
	engine->in_flight--;
	if (--job->flow->node.in_flight == 0 && job->flow->node.queued == 0)
		engine->contenders--;
}

void qos_pass(struct qos_engine *engine, bool begins, uint64_t now_ns)
{
}

uint32_t qos_contenders(const struct qos_engine *engine)
{
	return engine->contenders;
}

void qos_flow_stats(const struct qos_flow *flow, uint64_t now_ns, struct qos_flow_stats *ret_stats)
{
	*ret_stats = (struct qos_flow_stats){
		.jobs = flow->jobs,
		.queued = flow->node.queued,
		.in_flight = flow->node.in_flight,
	};
}

void qos_engine_stats(const struct qos_engine *engine, uint64_t now_ns,
		      struct qos_engine_stats *ret_stats)
{
	*ret_stats = (struct qos_engine_stats){
		.in_flight = engine->in_flight,
		.flows = engine->contenders,
	};
}
