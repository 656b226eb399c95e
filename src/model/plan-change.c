/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The smallest change that makes a plan fit.
 *
 * Each kind of change is tried by planning anew with it: there is no second set of rules that could
 * disagree with the first. How large a change is, is the part by which it changes what was wanted;
 * what takes something from others counts as more than a whole, and the name of a parent as
 * nothing.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/plan.h"

#define CHANGE_TEXT_MAX 512

enum change_knob { CHANGE_MIN_SHARE, CHANGE_WEIGHT, CHANGE_CAP, CHANGE_KNOB_COUNT };

/* One request's entry: wants[begin .. begin + count - 1]. */
struct change_entry {
	size_t number;
	size_t begin;
	size_t count;
};

struct change_search {
	struct place_snapshot *snapshot; /* as it is; only its work changes */
	const struct plan_wants *wants;
	struct place_want *trial; /* what is tried */
	size_t trial_count;
	size_t *parents; /* where each of the last trial went */
	const char *tried[TYPE_COUNT_MAX];
	bool searched;
	bool no_memory;
	json_t *changes;
};

/* How far @to is from @from, as a part of that, to six digits. */
static double change_part(uint64_t to, uint64_t from)
{
	double part = (to > from ? (double)(to - from) : (double)(from - to)) / (double)from;

	return part < 1e12 ? (double)(uint64_t)(part * 1e6 + 0.5) / 1e6 : part;
}

/* ---- Trying ---------------------------------------------------------------------------------- */

static void change_reset(struct change_search *s)
{
	memcpy(s->trial, s->wants->wants, s->wants->count * sizeof(*s->trial));
	s->trial_count = s->wants->count;
}

/* Whether all fit into @variant (NULL: as it is), which is used up. False, too, when there was too
 * much to try. */
static bool change_fits(struct change_search *s, struct place_snapshot *variant)
{
	struct plan_wants wants = {s->trial, s->trial_count, s->wants->policy};
	struct plan_result result = {.parents = s->parents};
	struct place_snapshot copy = {0};
	int r = 0;

	if (s->snapshot->work > PLAN_WORK_MAX || s->no_memory) {
		s->searched = false;
		return false;
	}
	if (!variant) {
		r = place_snapshot_copy(s->snapshot, &copy);
		variant = &copy;
	}
	if (r == 0)
		r = plan_run(variant, &wants, &result);
	s->snapshot->work = MAX(s->snapshot->work, variant->work);
	s->no_memory = s->no_memory || r == -ENOMEM;
	s->searched = s->searched && r != -EDQUOT;
	place_snapshot_done(&copy);
	return r == 0 && result.fits;
}

/* Puts a change (stolen) in its place among the others: the smaller first, then in their order. */
static void change_add(struct change_search *s, const char *kind, double relative, json_t *change,
		       const char *fmt, ...) __attribute__((format(printf, 5, 6)));

static void change_add(struct change_search *s, const char *kind, double relative, json_t *change,
		       const char *fmt, ...)
{
	char message[CHANGE_TEXT_MAX];
	size_t at = 0;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	while (at < json_array_size(s->changes) &&
	       json_number_value(json_object_get(json_array_get(s->changes, at), "relative")) <=
		       relative)
		at++;
	if (!change || json_object_set_new(change, "kind", json_string(kind)) < 0 ||
	    json_object_set_new(change, "relative", json_real(relative)) < 0 ||
	    json_object_set_new(change, "message", json_string(message)) < 0 ||
	    json_array_insert(s->changes, at, change) < 0)
		s->no_memory = true;
	json_decref(change);
}

/* What the wants of an entry are called. */
static void change_name(const struct change_search *s, const struct change_entry *e,
			char text[CHANGE_TEXT_MAX / 2])
{
	const char *first = s->wants->wants[e->begin].uuid;

	if (e->count == 1)
		snprintf(text, CHANGE_TEXT_MAX / 2, "%s", first);
	else
		snprintf(text, CHANGE_TEXT_MAX / 2, "%s to %s", first,
			 s->wants->wants[e->begin + e->count - 1].uuid);
}

/* ---- Knobs ----------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	uint32_t min;
	uint32_t max;
	bool percent;
} change_knobs[CHANGE_KNOB_COUNT] = {
	[CHANGE_MIN_SHARE] = {"min_share", 0, KNOBS_CAP_NONE, true},
	[CHANGE_WEIGHT] = {"weight", KNOBS_WEIGHT_MIN, KNOBS_WEIGHT_MAX, false},
	[CHANGE_CAP] = {"cap", KNOBS_CAP_MIN, KNOBS_CAP_NONE, true},
};

static uint32_t *change_value(struct place_want *want, enum change_knob knob)
{
	switch (knob) {
	case CHANGE_MIN_SHARE:
		return &want->min_share;
	case CHANGE_WEIGHT:
		return &want->knobs.weight;
	default:
		return &want->knobs.cap;
	}
}

static bool change_knob_fits(struct change_search *s, const struct change_entry *e,
			     enum change_knob knob, uint32_t value)
{
	change_reset(s);
	for (size_t i = 0; i < e->count; i++)
		*change_value(&s->trial[e->begin + i], knob) = value;
	return change_fits(s, NULL);
}

static json_t *change_number(enum change_knob knob, uint32_t value)
{
	return change_knobs[knob].percent ? knobs_percent_json(value)
					  : json_integer((json_int_t)value);
}

static void change_number_text(enum change_knob knob, uint32_t value, char text[32])
{
	char percent[KNOBS_PERCENT_SIZE];

	knobs_percent(value, percent);
	if (change_knobs[knob].percent)
		snprintf(text, 32, "%s %%", percent);
	else
		snprintf(text, 32, "%u", value);
}

/* Looks for the value nearest to the present one on the way to @limit with which all fit. */
static void change_knob(struct change_search *s, const struct change_entry *e,
			enum change_knob knob, uint32_t limit)
{
	uint32_t from = *change_value(&s->trial[e->begin], knob);
	uint32_t bad = from;
	uint32_t good = limit;
	char name[CHANGE_TEXT_MAX / 2];
	char texts[2][32];

	if (from == limit || !change_knob_fits(s, e, knob, limit))
		return;
	while (good > bad ? good - bad > 1 : bad - good > 1) {
		uint32_t middle = MIN(good, bad) + (MAX(good, bad) - MIN(good, bad)) / 2;

		if (change_knob_fits(s, e, knob, middle))
			good = middle;
		else
			bad = middle;
	}
	change_name(s, e, name);
	change_number_text(knob, from, texts[0]);
	change_number_text(knob, good, texts[1]);
	change_add(s, change_knobs[knob].name, change_part(good, from),
		   json_pack("{s:I,s:o,s:o}", "entry", (json_int_t)e->number, "from",
			     change_number(knob, from), "to", change_number(knob, good)),
		   "%s the %s of %s from %s to %s", good > from ? "raise" : "lower",
		   change_knobs[knob].name, name, texts[0], texts[1]);
}

static void change_all_knobs(struct change_search *s, const struct change_entry *e)
{
	for (enum change_knob knob = 0; knob < CHANGE_KNOB_COUNT; knob++) {
		change_reset(s);
		change_knob(s, e, knob, change_knobs[knob].min);
		change_reset(s);
		if (knob != CHANGE_MIN_SHARE)
			change_knob(s, e, knob, change_knobs[knob].max);
	}
}

/* ---- Fewer, elsewhere, another type ---------------------------------------------------------- */

static bool change_count_fits(struct change_search *s, const struct change_entry *e, size_t count)
{
	size_t after = e->begin + e->count;

	change_reset(s);
	memmove(&s->trial[e->begin + count], &s->trial[after],
		(s->trial_count - after) * sizeof(*s->trial));
	s->trial_count -= e->count - count;
	return change_fits(s, NULL);
}

static void change_count(struct change_search *s, const struct change_entry *e)
{
	size_t good = 1;
	size_t bad = e->count;

	if (e->count < 2 || !change_count_fits(s, e, good))
		return;
	while (bad - good > 1) {
		size_t middle = good + (bad - good) / 2;

		if (change_count_fits(s, e, middle))
			good = middle;
		else
			bad = middle;
	}
	change_add(s, "count", change_part(good, e->count),
		   json_pack("{s:I,s:I,s:I}", "entry", (json_int_t)e->number, "from",
			     (json_int_t)e->count, "to", (json_int_t)good),
		   "%zu instead of %zu", good, e->count);
}

static void change_parent(struct change_search *s, const struct change_entry *e)
{
	const char *from = s->wants->wants[e->begin].parent;
	const char *to = NULL;
	char name[CHANGE_TEXT_MAX / 2];

	if (!from)
		return;
	change_reset(s);
	for (size_t i = 0; i < e->count; i++)
		s->trial[e->begin + i].parent = NULL;
	if (!change_fits(s, NULL))
		return;
	to = s->snapshot->parents[s->parents[e->begin]].name;
	for (size_t i = 1; i < e->count && to; i++) {
		if (s->parents[e->begin + i] != s->parents[e->begin])
			to = NULL;
	}
	change_name(s, e, name);
	change_add(s, "parent", 0,
		   json_pack("{s:I,s:s,s:s?}", "entry", (json_int_t)e->number, "from", from, "to",
			     to),
		   "put %s on %s instead of %s", name, to ? to : "any parent", from);
}

/* The type that an entry wants, on @parent or (NULL) on any. */
static const struct type *change_wanted(const struct change_search *s,
					const struct place_want *want, const char *parent)
{
	for (size_t i = 0; i < s->snapshot->count; i++) {
		const struct place_parent *p = &s->snapshot->parents[i];
		const struct type *type;

		if (!p->types || (parent && strcmp(p->name, parent) != 0))
			continue;
		type = want->type_id ? type_find_id(p->types, want->type_id)
				     : type_find_name(p->types, want->type_name);
		if (type)
			return type;
	}
	return NULL;
}

/* How far @type is from what is wanted: by size where one parent has both. */
static double change_type_distance(const struct change_search *s, const struct place_want *want,
				   const struct place_parent *parent, const struct type *type)
{
	const struct type *wanted = change_wanted(s, want, parent->name);

	if (!wanted)
		return 1;
	return change_part(type->want.cost, wanted->want.cost);
}

/* Whether a type of that id was tried already; now it was. */
static bool change_type_tried(struct change_search *s, const char *id)
{
	size_t i = 0;

	for (; i < ARRAY_SIZE(s->tried) && s->tried[i]; i++) {
		if (strcmp(s->tried[i], id) == 0)
			return true;
	}
	if (i == ARRAY_SIZE(s->tried))
		return true;
	s->tried[i] = id;
	return false;
}

static bool change_type_fits(struct change_search *s, const struct change_entry *e,
			     const struct type *type)
{
	change_reset(s);
	for (size_t i = 0; i < e->count; i++) {
		s->trial[e->begin + i].type_id = type->id;
		s->trial[e->begin + i].type_name = type->name;
	}
	return change_fits(s, NULL);
}

/* Another type of the same class, the nearest in size. */
static void change_type(struct change_search *s, const struct change_entry *e)
{
	const struct place_want *want = &s->wants->wants[e->begin];
	const struct type *wanted = change_wanted(s, want, NULL);
	const struct type *best = NULL;
	double nearest = 0;
	char name[CHANGE_TEXT_MAX / 2];

	memset(s->tried, 0, sizeof(s->tried));
	for (size_t i = 0; wanted && i < s->snapshot->count; i++) {
		const struct place_parent *p = &s->snapshot->parents[i];

		for (size_t t = 0; p->types && t < p->types->count; t++) {
			const struct type *type = &p->types->types[t];
			double distance = change_type_distance(s, want, p, type);

			if (strcmp(type->class_name, wanted->class_name) != 0 ||
			    strcmp(type->id, wanted->id) == 0 ||
			    (want->parent && strcmp(p->name, want->parent) != 0) ||
			    (best && distance >= nearest) || change_type_tried(s, type->id) ||
			    !change_type_fits(s, e, type))
				continue;
			best = type;
			nearest = distance;
		}
	}
	if (!best)
		return;
	change_name(s, e, name);
	change_add(s, "type", nearest,
		   json_pack("{s:I,s:s,s:s}", "entry", (json_int_t)e->number, "from", wanted->id,
			     "to", best->id),
		   "take type %s for %s instead of %s", best->id, name, wanted->id);
}

/* ---- Others go ------------------------------------------------------------------------------- */

/* Mdevs of one parent whose pieces are next to each other. */
struct change_run {
	size_t parent;
	size_t first;
	size_t count;
	bool wholly; /* what is defined is undefined, too */
	unsigned cost;
};

static const struct place_mdev *change_admitted(const struct place_parent *parent, const char *uuid)
{
	size_t i = place_parent_find(parent, uuid);

	return i == SIZE_MAX ? NULL : &parent->mdevs[i];
}

/* What is done to the holder of a piece; NULL when the run cannot be that way. */
static const char *change_action(const struct place_mdev *m, bool wholly)
{
	bool active = m && m->state == PLACE_ACTIVE;

	if (!wholly)
		return active ? "stop" : NULL;
	if (!active)
		return "undefine";
	return m->defined ? "stop and undefine" : "stop";
}

/* Takes one mdev away from @parent of a variant. */
static void change_take(struct place_parent *parent, const char *uuid, bool wholly)
{
	const struct pool_piece *piece = pool_find(&parent->pool, uuid);
	size_t i = place_parent_find(parent, uuid);
	struct place_mdev *m = i == SIZE_MAX ? NULL : &parent->mdevs[i];

	if (piece && (wholly || !m || !m->defined))
		pool_release(&parent->pool, piece->start, false);
	if (!m)
		return;
	if (!wholly && m->defined && parent->reserve) {
		m->state = PLACE_RESERVED;
		return;
	}
	parent->mdev_count--;
	memmove(m, m + 1, (parent->mdev_count - i) * sizeof(*m));
}

static bool change_run_fits(struct change_search *s, const struct change_run *run)
{
	const struct pool *pool = &s->snapshot->parents[run->parent].pool;
	struct place_snapshot variant = {0};
	bool fits;

	if (place_snapshot_copy(s->snapshot, &variant) < 0) {
		s->no_memory = true;
		return false;
	}
	for (size_t i = 0; i < run->count; i++)
		change_take(&variant.parents[run->parent], pool->pieces[run->first + i].uuid,
			    run->wholly);
	change_reset(s);
	fits = change_fits(s, &variant);
	place_snapshot_done(&variant);
	return fits;
}

/* How much is lost with a run: what is in use counts most. False: it makes no sense that way. */
static bool change_run_weigh(const struct change_search *s, struct change_run *run)
{
	const struct place_parent *parent = &s->snapshot->parents[run->parent];

	run->cost = 0;
	for (size_t i = 0; i < run->count; i++) {
		const char *uuid = parent->pool.pieces[run->first + i].uuid;
		const struct place_mdev *m = change_admitted(parent, uuid);

		if (!change_action(m, run->wholly))
			return false;
		run->cost += (m && m->in_use ? 10000 : 0) +
			     (m && m->state == PLACE_ACTIVE ? 10 : 0) + (run->wholly ? 1 : 0);
	}
	return true;
}

/* Whether a want may go to @parent at all. */
static bool change_concerns(const struct change_search *s, const struct place_parent *parent)
{
	if (parent->not_ready.word != ERROR_NONE || !parent->types)
		return false;
	for (size_t i = 0; i < s->wants->count; i++) {
		const struct place_want *want = &s->wants->wants[i];

		if (want->parent ? strcmp(want->parent, parent->name) == 0
				 : change_wanted(s, want, parent->name) != NULL)
			return true;
	}
	return false;
}

/* The best run of @count on any parent. */
static bool change_best_run(struct change_search *s, size_t count, struct change_run *ret_best)
{
	bool found = false;

	for (size_t p = 0; p < s->snapshot->count; p++) {
		const struct place_parent *parent = &s->snapshot->parents[p];

		if (!change_concerns(s, parent))
			continue;
		for (size_t i = 0; i + count <= parent->pool.piece_count; i++) {
			for (int wholly = 0; wholly < 2; wholly++) {
				struct change_run run = {p, i, count, wholly, 0};

				if (!change_run_weigh(s, &run) ||
				    (found && run.cost >= ret_best->cost) ||
				    !change_run_fits(s, &run))
					continue;
				*ret_best = run;
				found = true;
			}
		}
	}
	return found;
}

static void change_add_run(struct change_search *s, const struct change_run *run)
{
	const struct place_parent *parent = &s->snapshot->parents[run->parent];
	json_t *list = json_array();
	char text[CHANGE_TEXT_MAX] = "";

	for (size_t i = 0; i < run->count; i++) {
		const char *uuid = parent->pool.pieces[run->first + i].uuid;
		const char *action = change_action(change_admitted(parent, uuid), run->wholly);
		size_t used = strlen(text);

		json_array_append_new(list, json_pack("{s:s,s:s,s:s}", "uuid", uuid, "parent",
						      parent->name, "action", action));
		snprintf(text + used, sizeof(text) - used, "%s%s %s", i ? ", " : "", action, uuid);
	}
	change_add(s, "remove",
		   1 + change_part(parent->pool.piece_count + run->count, parent->pool.piece_count),
		   json_pack("{s:o}", "mdevs", list), "%s", text);
}

/* The fewest mdevs that would have to go. */
static void change_others(struct change_search *s)
{
	struct change_run best = {0};
	size_t most = 0;

	for (size_t p = 0; p < s->snapshot->count; p++)
		most = MAX(most, s->snapshot->parents[p].pool.piece_count);
	for (size_t count = 1; count <= most && s->searched; count++) {
		if (change_best_run(s, count, &best)) {
			change_add_run(s, &best);
			return;
		}
	}
}

/* ---- All ------------------------------------------------------------------------------------- */

json_t *plan_find_changes(struct place_snapshot *snapshot, const struct plan_wants *wants,
			  bool *ret_searched)
{
	struct change_search s = {.snapshot = snapshot, .wants = wants, .searched = true};
	size_t begin = 0;

	s.changes = json_array();
	s.trial = calloc(wants->count + 1, sizeof(*s.trial));
	s.parents = calloc(wants->count + 1, sizeof(*s.parents));
	s.no_memory = !s.changes || !s.trial || !s.parents;
	while (begin < wants->count && !s.no_memory) {
		struct change_entry e = {wants->wants[begin].entry, begin, 1};

		while (begin + e.count < wants->count &&
		       wants->wants[begin + e.count].entry == e.number)
			e.count++;
		change_all_knobs(&s, &e);
		change_count(&s, &e);
		change_parent(&s, &e);
		change_type(&s, &e);
		begin += e.count;
	}
	if (!s.no_memory)
		change_others(&s);
	*ret_searched = s.searched;
	free(s.trial);
	free(s.parents);
	if (s.no_memory) {
		json_decref(s.changes);
		return NULL;
	}
	return s.changes;
}
