/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What would happen if some mdevs were started: each is placed and admitted to a snapshot, one
 * after the other, by the rules of a start (place.h). Where that does not work for all, the
 * smallest single change is looked for that makes it work, by planning anew with it. Pure.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "model/place.h"

#define PLAN_WANTS_MAX 256
/* Mdevs and groups that are looked at: for the plan, which is refused beyond it, and in all with
 * the search for a change, which ends there. Some tenths of a second. */
#define PLAN_WORK_MAX 1000000u
#define PLAN_ROWS_MAX 10000 /* mdevs in the tables of an answer */

struct plan_wants {
	const struct place_want *wants;
	size_t count; /* at most PLAN_WANTS_MAX */
	enum place_policy policy;
};

/*
 * Entry e of a request is one or more wants next to each other with entry == e. The answer is that
 * of the RPC's "plan". Returns it, or NULL with @err: LIMIT or NO_MEMORY. @snapshot is not changed
 * but for its work.
 */
json_t *plan_make(struct place_snapshot *snapshot, const struct plan_wants *wants,
		  struct umdev_error *err);

/* ---- Between plan.c and plan-change.c ---- */

struct plan_result {
	bool fits;	 /* all of them */
	json_t *items;	 /* in: answers about each are appended here, unless it is NULL */
	size_t *rows;	 /* in: for these */
	bool *looked;	 /* in: notes which parents were candidates, unless it is NULL */
	size_t *parents; /* in: notes for each want the index of its parent, unless it is NULL */
};

/* Places all of @wants in @snapshot, which changes. Returns 0, -ENOMEM, or -EDQUOT when it is more
 * than PLAN_WORK_MAX of work. */
int plan_run(struct place_snapshot *snapshot, const struct plan_wants *wants,
	     struct plan_result *ret) umdev_warn_unused;

/* The single changes that make @wants fit, the smallest first: an array, empty when there is none.
 * *@ret_searched is false when the search ended before all was tried. NULL when out of memory. */
json_t *plan_find_changes(struct place_snapshot *snapshot, const struct plan_wants *wants,
			  bool *ret_searched);
