/* SPDX-License-Identifier: BSD-3-Clause */
/* What the scheduler tells: numbers, words and ranges. */
#include <assert.h>

#include "qos/wait.h"

static const char *const qos_cause_names[] = {
	[QOS_CAUSE_CAP] = "cap",
	[QOS_CAUSE_TURN] = "turn",
	[QOS_CAUSE_PRIORITY] = "priority",
	[QOS_CAUSE_ENGINE] = "engine",
};
static_assert(ARRAY_SIZE(qos_cause_names) == QOS_CAUSE_COUNT, "every cause has a name");

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

static uint64_t stats_ns(uint64_t charge)
{
	return charge >> QOS_CHARGE_SHIFT;
}

/* A sum that the rounding of its clocks, or an end that was told late, may have left below zero;
 * takes it off @left, which stays positive. */
static uint64_t stats_part(uint64_t sum_ns, uint64_t *left)
{
	int64_t ns = (int64_t)sum_ns;
	uint64_t part = ns > 0 ? MIN((uint64_t)ns, *left) : 0;

	*left -= part;
	return part;
}

/* Busy time up to @now_ns that nobody has accounted for yet. */
static uint64_t engine_open(const struct qos_engine *engine, uint64_t now_ns)
{
	if (engine->in_flight == 0 || (int64_t)(now_ns - engine->now_ns) <= 0)
		return 0;
	return (now_ns - engine->now_ns) << QOS_CHARGE_SHIFT;
}

void qos_flow_stats(const struct qos_flow *flow, uint64_t now_ns, struct qos_flow_stats *ret_stats)
{
	const struct qos_engine *engine = flow_engine(flow);
	uint64_t integral = engine_integral_at(engine, now_ns);
	struct qos_flow_waits w;
	uint64_t owned;
	uint64_t left;

	engine_flow_waits(flow, now_ns, &w);
	left = w.wall_ns;
	owned = node_charged(&flow->node, integral);
	/* Its time up to now is not charged yet. */
	if (engine->alone == flow)
		owned += engine_open(engine, now_ns);
	*ret_stats = (struct qos_flow_stats){
		.jobs = flow->jobs,
		.owned_ns = stats_ns(owned),
		.wait_ns = w.wall_ns,
		.queued = flow->node.queued,
		.in_flight = flow->node.in_flight,
		.estimate_ns = stats_ns(flow->node.slice * flow->node.weight >> QOS_VIRTUAL_SHIFT),
		.cap_debt_ns = stats_ns(bucket_debt(engine, &flow->node, now_ns, integral)),
	};
	ret_stats->wait_by_cause_ns[QOS_CAUSE_CAP] = stats_part(w.cap_ns, &left);
	ret_stats->wait_by_cause_ns[QOS_CAUSE_TURN] = stats_part(w.turn_ns, &left);
	ret_stats->wait_by_cause_ns[QOS_CAUSE_PRIORITY] = stats_part(w.higher_ns, &left);
	ret_stats->wait_by_cause_ns[QOS_CAUSE_ENGINE] = left;
}

void qos_engine_stats(const struct qos_engine *engine, uint64_t now_ns,
		      struct qos_engine_stats *ret_stats)
{
	*ret_stats = (struct qos_engine_stats){
		.busy_ns = stats_ns(engine->busy + engine_open(engine, now_ns)),
		.in_flight = engine->in_flight,
		.flows = engine->contenders,
		.longest_ns = engine->longest_ns,
	};
}
