/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who made whom wait.
 *
 * Three clocks run for a flow: wall time, charges to others of at most its priority, charges to
 * those of a higher one. A job's submit takes off what they show, its start adds what they show
 * then. While a cap holds the flow its queued jobs are on wall time alone, as time of the cap.
 */
#include "qos/qos-internal.h"

/* What jobs of a priority above @priority were charged. */
static uint64_t engine_above(const struct qos_engine *engine, uint32_t priority, uint64_t integral)
{
	const struct qos_level *level = &engine->above[priority];

	return level->charged + level->in_flight * integral - level->start_sum;
}

struct wait_clocks {
	uint64_t turn;
	uint64_t higher;
};

static struct wait_clocks flow_clocks(const struct qos_flow *flow, uint64_t now_ns)
{
	const struct qos_engine *engine = flow_engine(flow);
	uint64_t integral = engine_integral_at(engine, now_ns);
	uint64_t busy = engine->busy;
	struct wait_clocks c;

	if (engine->in_flight > 0 && (int64_t)(now_ns - engine->now_ns) > 0)
		busy += (now_ns - engine->now_ns) << QOS_CHARGE_SHIFT;
	c.higher = flow->node.priority < QOS_PRIORITY_MAX
			   ? engine_above(engine, flow->node.priority, integral)
			   : 0;
	c.turn = busy - c.higher - node_charged(&flow->node, integral);
	return c;
}

bool flow_held(const struct qos_flow *flow)
{
	return node_state(&flow->node) == NODE_HELD ||
	       (flow->group && node_state(&flow->group->node) == NODE_HELD);
}

void wait_begin(struct qos_flow *flow, uint32_t jobs, bool held, uint64_t now_ns)
{
	struct wait_clocks c;

	if (held) {
		flow->wait_cap -= jobs * now_ns;
		return;
	}
	c = flow_clocks(flow, now_ns);
	flow->wait_turn -= jobs * c.turn;
	flow->wait_higher -= jobs * c.higher;
}

void wait_end(struct qos_flow *flow, uint32_t jobs, bool held, uint64_t now_ns)
{
	struct wait_clocks c;

	if (held) {
		flow->wait_cap += jobs * now_ns;
		return;
	}
	c = flow_clocks(flow, now_ns);
	flow->wait_turn += jobs * c.turn;
	flow->wait_higher += jobs * c.higher;
}

static void wait_switch(struct qos_node *node, bool to_held, uint64_t now_ns)
{
	struct qos_flow *flow = node_flow(node);

	wait_end(flow, node->queued, !to_held, now_ns);
	wait_begin(flow, node->queued, to_held, now_ns);
}

void wait_switch_node(struct qos_node *node, bool to_held, uint64_t now_ns)
{
	struct qos_flow *f;

	if (!(node->state & NODE_GROUP)) {
		wait_switch(node, to_held, now_ns);
		return;
	}
	for (f = node_group(node)->members; f; f = f->next_member) {
		if (node_state(&f->node) == NODE_COMPETES)
			wait_switch(&f->node, to_held, now_ns);
	}
}

void engine_flow_waits(const struct qos_flow *flow, uint64_t now_ns,
		       struct qos_flow_waits *ret_waits)
{
	struct qos_flow f = *flow;

	/* As if all that wait were started now. */
	if (flow_engine(flow)->alone != flow)
		wait_end(&f, f.node.queued, flow_held(flow), now_ns);
	*ret_waits = (struct qos_flow_waits){
		.wall_ns = f.wait_wall + f.node.queued * now_ns,
		.cap_ns = f.wait_cap,
		.turn = f.wait_turn,
		.higher = f.wait_higher,
	};
}
