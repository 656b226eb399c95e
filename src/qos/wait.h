/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who made whom wait.
 *
 * Three clocks run for a flow: wall time, charges to others of at most its priority, charges to
 * those of a higher one. A job's submit takes off what they show, its start adds what they show
 * then. While a cap holds the flow its queued jobs are on wall time alone, as time of the cap.
 *
 * Inline: all of it stands in the way of every job.
 */
#pragma once

#include "qos/qos-internal.h"

/* What jobs of a priority above @priority were charged. */
static inline uint64_t engine_above(const struct qos_engine *engine, uint32_t priority,
				    uint64_t integral)
{
	const struct qos_level *level = &engine->above[priority];

	return level->charged + level->in_flight * integral - level->start_sum;
}

/* The integral as it stands at @now_ns, without moving on. */
static inline uint64_t engine_integral_at(const struct qos_engine *engine, uint64_t now_ns)
{
	uint64_t dt = now_ns - engine->now_ns;
	uint64_t span;

	if ((int64_t)dt <= 0 || engine->in_flight == 0 || engine->alone)
		return engine->integral;
	span = (dt << QOS_CHARGE_SHIFT) + engine->remainder;
	return engine->integral + (engine->in_flight == 1 ? span : span / engine->in_flight);
}

/* What @flow's clocks show at @now_ns, in ns, since sums over jobs of anything finer would be full
 * within hours: charges to those of a higher priority (@ret_higher), and to the others. */
static inline uint64_t flow_clocks(const struct qos_flow *flow, uint64_t now_ns,
				   uint64_t *ret_higher)
{
	const struct qos_engine *engine = flow_engine(flow);
	uint64_t integral = engine_integral_at(engine, now_ns);
	uint64_t busy = engine->busy;
	uint64_t higher;

	if (engine->in_flight > 0 && (int64_t)(now_ns - engine->now_ns) > 0)
		busy += (now_ns - engine->now_ns) << QOS_CHARGE_SHIFT;
	higher = flow->node.priority < QOS_PRIORITY_MAX
			 ? engine_above(engine, flow->node.priority, integral)
			 : 0;
	*ret_higher = higher >> QOS_CHARGE_SHIFT;
	/* With a sign: what is charged may be a fraction ahead of what was busy. */
	return (uint64_t)((int64_t)(busy - higher - node_charged(&flow->node, integral)) >>
			  QOS_CHARGE_SHIFT);
}

/* Whether the jobs of a flow wait for a cap, its own or its group's. */
static inline bool flow_held(const struct qos_flow *flow)
{
	return node_state(&flow->node) == NODE_HELD ||
	       (flow->group && node_state(&flow->group->node) == NODE_HELD);
}

/* @jobs of a flow begin to wait, in the contest or (@held) for a cap. */
static inline void wait_begin(struct qos_flow *flow, uint32_t jobs, bool held, uint64_t now_ns)
{
	uint64_t higher;

	if (held) {
		flow->wait_cap -= jobs * now_ns;
		return;
	}
	flow->wait_turn -= jobs * flow_clocks(flow, now_ns, &higher);
	flow->wait_higher -= jobs * higher;
}

/* They no longer do. */
static inline void wait_end(struct qos_flow *flow, uint32_t jobs, bool held, uint64_t now_ns)
{
	uint64_t higher;

	if (held) {
		flow->wait_cap += jobs * now_ns;
		return;
	}
	flow->wait_turn += jobs * flow_clocks(flow, now_ns, &higher);
	flow->wait_higher += jobs * higher;
}

/* All queued jobs of @node, or of a group's members that compete, turn from waiting in the contest
 * to waiting for a cap, or back. */
void wait_switch_node(struct qos_node *node, bool to_held, uint64_t now_ns);

/* What the jobs of a flow waited, those that still do included; differences of clocks, so small
 * negative values are possible where they should be zero. */
struct qos_flow_waits {
	uint64_t wall_ns;
	uint64_t cap_ns;
	uint64_t turn_ns;
	uint64_t higher_ns;
};

/* Fills them as they stand at @now_ns. */
void engine_flow_waits(const struct qos_flow *flow, uint64_t now_ns,
		       struct qos_flow_waits *ret_waits);
