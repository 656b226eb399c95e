/* SPDX-License-Identifier: BSD-3-Clause */
/* Lag of competing mdevs. See fair.h. */
#include "fair.h"

#include <errno.h>

#define FAIR_SET_MIN 8u

static unsigned fair_order(uint32_t weight)
{
	return MIN(31 - (unsigned)__builtin_clz(weight | 1), (unsigned)FAIR_ORDERS - 1);
}

static int fair_set_add(struct fair_set *set, struct fair_node *node, uint32_t *ret_place)
{
	if (set->count == set->size) {
		uint32_t size = MAX(2 * set->size, FAIR_SET_MIN);
		struct fair_node **nodes = reallocarray(set->nodes, size, sizeof(*nodes));

		if (!nodes)
			return -ENOMEM;
		set->nodes = nodes;
		set->size = size;
	}
	*ret_place = set->count;
	set->nodes[set->count++] = node;
	return 0;
}

/* Takes what is at @place out. Returns the node that is there now instead, or NULL. */
static struct fair_node *fair_set_remove(struct fair_set *set, uint32_t place)
{
	set->nodes[place] = set->nodes[--set->count];
	return place < set->count ? set->nodes[place] : NULL;
}

meter_time fair_owned(const struct fair_node *node, meter_time integral)
{
	return node->owned + (integral - node->at) * node->running;
}

/* Brings the base up to the epoch: nothing has happened to the node since before that began. */
static void fair_sync(struct fair_node *node)
{
	if (node->epoch == node->contest->epoch)
		return;
	node->base = fair_owned(node, node->contest->begin);
	node->epoch = node->contest->epoch;
}

static double fair_sum_ns(const struct fair_contest *contest, meter_time integral)
{
	return meter_real_ns(contest->sum + (integral - contest->at) * contest->running);
}

/* Looks at the lag of one member. */
static void fair_look(struct fair_node *node, meter_time integral)
{
	struct fair_contest *contest = node->contest;
	double due = fair_sum_ns(contest, integral) * node->weight / (double)contest->weight;
	double lag;

	fair_sync(node);
	lag = due - meter_real_ns(fair_owned(node, integral) - node->base);
	contest->lag_ns = MAX(contest->lag_ns, lag < 0 ? -lag : lag);
}

static int fair_busy_add(struct fair_node *node)
{
	return fair_set_add(&node->contest->busy, node, &node->busy_place);
}

static void fair_busy_remove(struct fair_node *node)
{
	struct fair_node *moved = fair_set_remove(&node->contest->busy, node->busy_place);

	if (moved)
		moved->busy_place = node->busy_place;
}

/* Brings the sum of the members up to now, before the number of their jobs changes. */
static void fair_advance(struct fair_contest *contest, meter_time integral)
{
	contest->sum += (integral - contest->at) * contest->running;
	contest->at = integral;
}

int fair_run(struct fair_node *node, int jobs, meter_time integral)
{
	struct fair_contest *contest = node->contest;
	uint32_t running = node->running + (uint32_t)jobs;

	fair_sync(node);
	if (node->member) {
		fair_look(node, integral);
		if (node->running == 0 && fair_busy_add(node) < 0)
			return -ENOMEM;
		if (running == 0)
			fair_busy_remove(node);
		fair_advance(contest, integral);
		contest->running += (uint32_t)jobs;
	}
	node->owned = fair_owned(node, integral);
	node->at = integral;
	node->running = running;
	return 0;
}

void fair_end_epoch(struct fair_contest *contest, meter_time integral)
{
	double sum;

	if (integral == contest->begin)
		return;
	sum = fair_sum_ns(contest, integral);
	for (uint32_t i = 0; i < contest->busy.count; i++)
		fair_look(contest->busy.nodes[i], integral);
	for (unsigned order = 0; order < FAIR_ORDERS; order++) {
		const struct fair_set *set = &contest->members[order];
		double heaviest = (double)(2u << order);

		if (set->count == 0 || sum * heaviest <= contest->lag_ns * (double)contest->weight)
			continue;
		for (uint32_t i = 0; i < set->count; i++)
			fair_look(set->nodes[i], integral);
	}
	contest->epoch++;
	contest->begin = integral;
	contest->sum = 0;
	contest->at = integral;
}

int fair_enter(struct fair_node *node, meter_time integral)
{
	struct fair_contest *contest = node->contest;
	struct fair_set *set = &contest->members[fair_order(node->weight)];

	if (node->member)
		return 0;
	fair_end_epoch(contest, integral);
	fair_sync(node);
	if (fair_set_add(set, node, &node->place) < 0)
		return -ENOMEM;
	if (node->running > 0 && fair_busy_add(node) < 0) {
		fair_set_remove(set, node->place);
		return -ENOMEM;
	}
	node->member = true;
	contest->weight += node->weight;
	contest->running += node->running;
	return 0;
}

void fair_leave(struct fair_node *node, meter_time integral)
{
	struct fair_contest *contest = node->contest;
	struct fair_node *moved;

	if (!node->member)
		return;
	fair_end_epoch(contest, integral);
	moved = fair_set_remove(&contest->members[fair_order(node->weight)], node->place);
	if (moved)
		moved->place = node->place;
	if (node->running > 0)
		fair_busy_remove(node);
	node->member = false;
	node->left = true;
	contest->weight -= node->weight;
	contest->running -= node->running;
}

int fair_reweigh(struct fair_node *node, uint32_t weight, meter_time integral)
{
	bool left = node->left;

	if (!node->member) {
		node->weight = weight;
		return 0;
	}
	fair_leave(node, integral);
	node->left = left;
	node->weight = weight;
	return fair_enter(node, integral);
}

void fair_settle(struct fair_contest *contest, meter_time integral)
{
	if (contest->settled == contest->running)
		return;
	contest->settled = contest->running;
	for (uint32_t i = 0; i < contest->busy.count; i++)
		fair_look(contest->busy.nodes[i], integral);
}

void fair_done(struct fair_contest *contest)
{
	for (unsigned order = 0; order < FAIR_ORDERS; order++)
		free(contest->members[order].nodes);
	free(contest->busy.nodes);
	*contest = (struct fair_contest){0};
}
