/* SPDX-License-Identifier: BSD-3-Clause */
/* Planning, and the answer. See plan.h; the search for a change: plan-change.c. */
#include "model/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What is asked about one mdev, and what was found. */
static json_t *plan_print_item(const struct place_snapshot *snapshot, const struct place_want *want,
			       const struct place_choice *choice, const struct plan_wants *wants,
			       size_t *rows)
{
	const struct type *type =
		choice->best == SIZE_MAX ? NULL : choice->candidates[choice->best].type;
	json_t *item = json_pack(
		"{s:s,s:I,s:s*,s:s*,s:s*,s:I,s:o,s:I,s:o}", "uuid", want->uuid, "entry",
		(json_int_t)want->entry, "type", type ? type->id : want->type_id, "type_name",
		type ? type->name : want->type_name, "group", want->group[0] ? want->group : NULL,
		"weight", (json_int_t)want->knobs.weight, "cap",
		knobs_percent_json(want->knobs.cap), "priority", (json_int_t)want->knobs.priority,
		"min_share", knobs_percent_json(want->min_share));
	json_t *placement = place_print_choice(snapshot, choice, want, wants->policy, rows);

	if (!item || !placement || json_object_update(item, placement) < 0) {
		json_decref(item);
		json_decref(placement);
		return NULL;
	}
	json_decref(placement);
	json_object_del(item, "policy");
	return item;
}

static int plan_one(struct place_snapshot *snapshot, const struct plan_wants *wants, size_t i,
		    struct plan_result *ret)
{
	const struct place_want *want = &wants->wants[i];
	struct place_choice choice;
	const struct place_candidate *best = NULL;
	int r = place_choose(snapshot, want, wants->policy, &choice);

	if (r == 0 && ret->items &&
	    json_array_append_new(ret->items,
				  plan_print_item(snapshot, want, &choice, wants, ret->rows)) < 0)
		r = -ENOMEM;
	for (size_t c = 0; r == 0 && ret->looked && c < choice.count; c++)
		ret->looked[choice.candidates[c].parent] = true;
	if (r == 0 && choice.best != SIZE_MAX)
		best = &choice.candidates[choice.best];
	if (best)
		r = place_put(snapshot, best, want);
	if (ret->parents)
		ret->parents[i] = best ? best->parent : SIZE_MAX;
	ret->fits = ret->fits && best;
	place_choice_done(&choice);
	return r;
}

int plan_run(struct place_snapshot *snapshot, const struct plan_wants *wants,
	     struct plan_result *ret)
{
	int r = 0;

	ret->fits = true;
	for (size_t i = 0; r == 0 && i < wants->count; i++) {
		/* Who only asks whether all fit need not go on. */
		if (!ret->fits && !ret->items)
			break;
		r = snapshot->work > PLAN_WORK_MAX ? -EDQUOT : plan_one(snapshot, wants, i, ret);
	}
	return r;
}

/* The parents that were looked at, as they would be. */
static json_t *plan_print_shares(const struct place_snapshot *before,
				 const struct place_snapshot *after, const bool *looked,
				 size_t *rows)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < after->count; i++) {
		if (looked[i] && after->parents[i].not_ready.word == ERROR_NONE)
			json_array_append_new(list, place_print_parent(&before->parents[i],
								       &after->parents[i], rows));
	}
	return list;
}

/* Adds what would have to be different. */
static int plan_add_changes(struct place_snapshot *snapshot, const struct plan_wants *wants,
			    json_t *answer)
{
	bool searched = true;
	json_t *changes = plan_find_changes(snapshot, wants, &searched);

	if (!changes)
		return -ENOMEM;
	if (json_array_size(changes) > 0) {
		json_object_set(answer, "change", json_array_get(changes, 0));
		json_array_remove(changes, 0);
	}
	json_object_set_new(answer, "other_changes", changes);
	json_object_set_new(answer, "searched", json_boolean(searched));
	return 0;
}

json_t *plan_make(struct place_snapshot *snapshot, const struct plan_wants *wants,
		  struct umdev_error *err)
{
	umdev_autofree bool *looked = calloc(snapshot->count + 1, sizeof(*looked));
	size_t rows = PLAN_ROWS_MAX;
	struct plan_result result = {.items = json_array(), .rows = &rows, .looked = looked};
	struct place_snapshot after = {0};
	json_t *answer = NULL;
	int r = looked && result.items ? place_snapshot_copy(snapshot, &after) : -ENOMEM;

	if (r == 0)
		r = plan_run(&after, wants, &result);
	if (r == 0)
		answer = json_pack("{s:b,s:s,s:O,s:o}", "fits", result.fits, "placement",
				   place_policy_name(wants->policy), "mdevs", result.items,
				   "shares", plan_print_shares(snapshot, &after, looked, &rows));
	snapshot->work = after.work;
	if (answer && !result.fits && plan_add_changes(snapshot, wants, answer) < 0) {
		json_decref(answer);
		answer = NULL;
	}
	json_decref(result.items);
	place_snapshot_done(&after);
	if (r == -EDQUOT)
		error_set(err, ERROR_LIMIT,
			  "this plan is too large to be made at once: name the parents, or plan "
			  "fewer mdevs");
	else if (!answer)
		error_set(err, ERROR_NO_MEMORY, "out of memory");
	return answer;
}
