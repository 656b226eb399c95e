/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A flow that has an engine for itself.
 *
 * There is nothing to divide then: whatever time the engine is busy is that flow's, so its jobs are
 * only counted, and the time is charged in one sum when somebody else comes, or when somebody asks.
 * That makes the usual case, one guest that uses a device while others sleep, as cheap as a plain
 * queue.
 *
 * While it lasts the engine's integral stands still, so that a job that started before or starts
 * meanwhile is charged by it for the time outside of this state only. The flow does not compete;
 * its clocks of waiting stand still, too: nobody else owns anything.
 */
#include "qos/qos-internal.h"

/* Virtual time that one stay may add: after so much all older debts are paid anyway. */
#define ALONE_VIRTUAL_MAX (1ull << 62)

bool alone_may(const struct qos_flow *flow)
{
	const struct qos_engine *engine = flow_engine(flow);
	bool contends = flow->node.queued > 0 || flow->node.in_flight > 0;

	return engine->contenders == (contends ? 1u : 0u) && !flow->group &&
	       !(flow->node.state & NODE_CAPPED);
}

void alone_begin(struct qos_flow *flow)
{
	struct qos_engine *engine = flow_engine(flow);

	engine->alone = flow;
	engine->alone_charge = 0;
	engine->alone_jobs = 0;
}

void alone_end(struct qos_engine *engine)
{
	struct qos_flow *flow = engine->alone;
	struct qos_node *node = &flow->node;
	qos_wide by = ((qos_wide)engine->alone_charge << QOS_VIRTUAL_SHIFT) / node->weight;

	engine->alone = NULL;
	contest_skip(node, (uint64_t)MIN(by, (qos_wide)ALONE_VIRTUAL_MAX));
	if (engine->alone_jobs > 0) {
		uint64_t charge = MAX(engine->alone_charge / engine->alone_jobs, 1u);

		engine->estimate = charge;
		node->slice = MAX(qos_virtual(charge, node->weight), 1u);
	}
}
