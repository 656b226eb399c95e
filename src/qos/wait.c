/* SPDX-License-Identifier: BSD-3-Clause */
/* Waiting of all that a node has queued. See wait.h. */
#include "qos/wait.h"

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
		.turn_ns = f.wait_turn,
		.higher_ns = f.wait_higher,
	};
}
