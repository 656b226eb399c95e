/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How far the mdevs that compete are from the ideal division, in which each gets its part of what
 * all of them get at every instant.
 *
 * A contest has members: those that have jobs queued and no cap. While the members and their
 * weights stay the same, which is called an epoch, member i of weight w should get w/W of S, the
 * charge of all members. Its lag is how far its own charge s is from that. S and s are straight
 * lines between events, so |w/W * S - s| is largest where a line bends: at the start and the end of
 * a job of i, where the number of members' jobs in flight changes, and at the end of the epoch.
 *
 * Not all members need a look there. What waited through an epoch lags by w/W * S; members are kept
 * by the order of magnitude of their weight, and where even the heaviest of an order cannot exceed
 * the maximum known, none of it is looked at. So the cost per job is constant, though every arrival
 * may end an epoch.
 *
 * Two levels: members of a group compete in the group's contest, groups and the other mdevs in the
 * root's.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "meter.h"
#include "util/cleanup.h"

#define FAIR_ORDERS 14 /* powers of two up to the largest weight */

struct fair_node;

/* A set of nodes, without order. */
struct fair_set {
	struct fair_node **nodes;
	uint32_t count;
	uint32_t size;
};

/* All zero is a contest without members, at integral 0. */
struct fair_contest {
	uint64_t epoch;
	meter_time begin; /* of the epoch */
	meter_time sum;	  /* what the members were charged in it, until @at */
	meter_time at;
	uint64_t weight;  /* of the members */
	uint32_t running; /* members' jobs in flight */
	uint32_t settled; /* the same, when time last passed */
	double lag_ns;	  /* the largest seen */
	struct fair_set members[FAIR_ORDERS];
	struct fair_set busy; /* members with jobs in flight */
};

/* Zero it, then set @contest, @weight. */
struct fair_node {
	struct fair_contest *contest;
	meter_time owned; /* all its charges until @at */
	meter_time at;
	meter_time base; /* owned when the epoch began */
	uint64_t epoch;	 /* of @base */
	uint32_t weight;
	uint32_t running;
	uint32_t place; /* among the members of its order */
	uint32_t busy_place;
	bool member;
	bool left; /* was a member and went */
};

/* What @node was charged until @integral. */
meter_time fair_owned(const struct fair_node *node, meter_time integral);

/* A job of @node starts (@jobs 1) or ends (-1). Returns 0 or -ENOMEM. */
int fair_run(struct fair_node *node, int jobs, meter_time integral) umdev_warn_unused;

/* Makes @node a member, or takes it out; no change is fine. Returns 0 or -ENOMEM. */
int fair_enter(struct fair_node *node, meter_time integral) umdev_warn_unused;
void fair_leave(struct fair_node *node, meter_time integral);

/* Gives @node another weight. Returns 0 or -ENOMEM. */
int fair_reweigh(struct fair_node *node, uint32_t weight, meter_time integral) umdev_warn_unused;

/* All of an instant has happened: looks at what is in flight if how much it is has changed. */
void fair_settle(struct fair_contest *contest, meter_time integral);

/* Ends the epoch: after this, lag_ns holds for all that was. */
void fair_end_epoch(struct fair_contest *contest, meter_time integral);

/* Frees what the contest holds. */
void fair_done(struct fair_contest *contest);
