/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * By how much a capped mdev exceeds its cap in the worst window of each of several lengths.
 *
 * What it owned is a line that bends at the points given; the worst window of a length begins or
 * ends at one of those. Points older than the longest window are forgotten.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meter.h"
#include "scenario.h"
#include "util/cleanup.h"

#define WINDOW_POINTS_MAX (48u << 20) /* of all mdevs, kept at one time: 1.5 GiB */

/* The windows, and the worst of all mdevs. */
struct window_set {
	uint64_t lengths_ns[SCENARIO_WINDOWS_MAX];
	uint32_t count;
	bool seen[SCENARIO_WINDOWS_MAX];    /* a whole window was there */
	double worst[SCENARIO_WINDOWS_MAX]; /* percentage points above the cap; negative: below */
	size_t points;
};

struct window_point {
	uint64_t time_ns;
	meter_time owned;
};

/* One mdev's. All zero is one without points. */
struct window_track {
	struct window_point *points; /* a ring of @size, a power of two, numbered from the first */
	size_t size;
	uint64_t first;
	uint64_t end;
	uint64_t from[SCENARIO_WINDOWS_MAX]; /* begins the next window to be looked at */
	uint64_t to[SCENARIO_WINDOWS_MAX];   /* last point before windows that end now */
	uint32_t cap;			     /* hundredths of a percent */
};

/* The cap is @cap from here on. Windows do not reach across. */
void window_restart(struct window_track *track, struct window_set *set, uint32_t cap);

/* Adds a point, not before the last one. Returns 0, -ENOMEM, or -EDQUOT when windows hold more
 * points than they may. */
int window_point(struct window_track *track, struct window_set *set, uint64_t time_ns,
		 meter_time owned) umdev_warn_unused;

/* Frees what it holds. */
void window_done(struct window_track *track, struct window_set *set);
