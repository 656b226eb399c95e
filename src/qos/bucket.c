/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Caps: a bucket of ownership time that wall time refills.
 *
 * The bucket holds a debt: what the node was charged (as it accrues, not as estimated) less cap *
 * wall time. It is shut while the debt is positive. What a job costs is known at its end only, so
 * the debt swings above zero by (1 - cap) * that job; so that the mean over any time since the
 * start stays below the cap all the same, that much of the longest job so far is added to the debt
 * once.
 *
 * Time in which the node had work and could have run is not lost while the engine is busy with one
 * job of somebody else, or while a timer is late (slack): the debt may fall below zero by so much,
 * and what was late is caught up. Time in which it had no work is lost, but for the burst.
 */
#include "qos/qos-internal.h"

/* What cap allows in @ns of wall time, as a charge. */
static int64_t bucket_allows(uint32_t cap, uint64_t ns)
{
	qos_wide allowed = ((qos_wide)ns << QOS_CHARGE_SHIFT) * cap / QOS_CAP_NONE;

	return allowed > INT64_MAX / 4 ? INT64_MAX / 4 : (int64_t)allowed;
}

static struct qos_bucket *node_bucket(struct qos_node *node)
{
	return node->state & NODE_GROUP ? &node_group(node)->bucket : &node_flow(node)->bucket;
}

/* What must stay unpaid so that the mean is below the cap at every job's end. */
static int64_t bucket_reserve(const struct qos_bucket *b, uint32_t cap)
{
	return bucket_allows(QOS_CAP_NONE - cap, b->longest_ns);
}

static int64_t bucket_debt_at(const struct qos_engine *engine, const struct qos_node *node,
			      const struct qos_bucket *b, uint64_t now_ns, uint64_t integral)
{
	int64_t accrued = (int64_t)(node_charged(node, integral) - b->at_charge);
	int64_t credit = bucket_allows(b->cap, MAX(engine->longest_ns, engine->config.slack_ns)) +
			 (int64_t)(engine->config.burst_ns << QOS_CHARGE_SHIFT);
	uint64_t passed_ns = now_ns > b->at_ns ? now_ns - b->at_ns : 0;

	return MAX(b->debt + accrued - bucket_allows(b->cap, passed_ns), -credit);
}

/* Brings the debt to @now_ns, which may be after the engine's, but then with nothing in flight. */
static void bucket_settle(struct qos_engine *engine, struct qos_node *node, struct qos_bucket *b,
			  uint64_t now_ns)
{
	b->debt = bucket_debt_at(engine, node, b, now_ns, engine->integral);
	b->at_ns = MAX(b->at_ns, now_ns);
	b->at_charge = node_charged(node, engine->integral);
}

void bucket_set(struct qos_engine *engine, struct qos_node *node, uint32_t cap)
{
	struct qos_bucket *b = node_bucket(node);

	if (cap == QOS_CAP_NONE) {
		*b = (struct qos_bucket){.cap = cap};
		node->state &= (uint8_t)~NODE_CAPPED;
		return;
	}
	if (node->state & NODE_CAPPED) {
		bucket_settle(engine, node, b, engine->now_ns);
		b->debt += bucket_reserve(b, cap) - bucket_reserve(b, b->cap);
	} else {
		*b = (struct qos_bucket){.at_ns = engine->now_ns,
					 .at_charge = node_charged(node, engine->integral)};
		node->state |= NODE_CAPPED;
	}
	b->cap = cap;
}

bool bucket_check(struct qos_engine *engine, struct qos_node *node)
{
	struct qos_bucket *b = node_bucket(node);

	bucket_settle(engine, node, b, engine->now_ns);
	return b->debt > 0;
}

void bucket_return(struct qos_engine *engine, struct qos_node *node, uint64_t now_ns)
{
	int64_t burst = (int64_t)(engine->config.burst_ns << QOS_CHARGE_SHIFT);
	struct qos_bucket *b;

	if (!(node->state & NODE_CAPPED))
		return;
	b = node_bucket(node);
	bucket_settle(engine, node, b, now_ns);
	b->debt = MAX(b->debt, -burst);
}

void bucket_job(struct qos_engine *engine, struct qos_node *node, uint64_t duration_ns)
{
	struct qos_bucket *b = node_bucket(node);
	int64_t before;

	if (duration_ns <= b->longest_ns)
		return;
	before = bucket_reserve(b, b->cap);
	b->longest_ns = duration_ns;
	b->debt += bucket_reserve(b, b->cap) - before;
}

uint64_t bucket_opens_ns(const struct qos_engine *engine, struct qos_node *node)
{
	const struct qos_bucket *b = node_bucket(node);
	uint64_t rate = b->cap; /* at which the debt falls, in ten thousandths */
	qos_wide wait;

	if (b->debt <= 0)
		return engine->now_ns;
	/* Jobs of its own that still run add to the debt. */
	if (node->in_flight > 0) {
		uint64_t own = (uint64_t)node->in_flight * QOS_CAP_NONE / engine->in_flight;

		if (own >= rate)
			return QOS_NEVER;
		rate -= own;
	}
	wait = ((qos_wide)b->debt * QOS_CAP_NONE + rate - 1) / rate;
	wait = (wait + (1 << QOS_CHARGE_SHIFT) - 1) >> QOS_CHARGE_SHIFT;
	return b->at_ns + (uint64_t)MIN(wait, (qos_wide)INT64_MAX / 4);
}

uint64_t bucket_debt(const struct qos_engine *engine, const struct qos_node *node, uint64_t now_ns,
		     uint64_t integral)
{
	const struct qos_bucket *b;
	int64_t debt;

	if (!(node->state & NODE_CAPPED))
		return 0;
	b = node_bucket((struct qos_node *)(uintptr_t)node);
	debt = bucket_debt_at(engine, node, b, now_ns, integral);
	return debt > 0 ? (uint64_t)debt : 0;
}
