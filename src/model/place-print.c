/* SPDX-License-Identifier: BSD-3-Clause */
/* Candidates and shares as the RPC shows them. See place.h. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "model/place.h"

json_t *place_print_share(uint32_t share)
{
	const uint32_t percent = SHARE_WHOLE / 100;

	return share % percent == 0 ? json_integer(share / percent)
				    : json_real((double)share / percent);
}

/* One mdev in the table of a parent. */
static json_t *print_mdev(const struct place_mdev *m, uint32_t now, uint32_t then)
{
	return json_pack("{s:s,s:s*,s:I,s:o,s:o,s:s,s:o,s:o}", "uuid", m->uuid, "group",
			 m->group[0] ? m->group : NULL, "weight", (json_int_t)m->weight, "cap",
			 knobs_percent_json(m->cap), "min_share", knobs_percent_json(m->min_share),
			 "state", place_state_name(m->state), "share_now", place_print_share(now),
			 "share_then", place_print_share(then));
}

/* Appends as long as there is room for rows. Returns how many were left out. */
static size_t print_append(json_t *list, json_t *row, size_t *rows)
{
	if (*rows == 0 || !row) {
		json_decref(row);
		return 1;
	}
	(*rows)--;
	json_array_append_new(list, row);
	return 0;
}

static void print_left_out(json_t *object, size_t left_out)
{
	if (left_out)
		json_object_set_new(object, "left_out", json_integer((json_int_t)left_out));
}

/* Who is on the parent of @c, and what each has now and has then. */
static void print_table(const struct place_parent *parent, const struct place_candidate *c,
			const struct place_want *want, json_t *object, size_t *rows)
{
	json_t *list = json_array();
	size_t left_out = 0;

	for (size_t i = 0; i < c->count; i++) {
		struct place_mdev m = {0};

		if (i < parent->mdev_count)
			m = parent->mdevs[i];
		if (i == c->self) {
			memcpy(m.uuid, want->uuid, sizeof(m.uuid));
			memcpy(m.group, want->group, sizeof(m.group));
			m.weight = want->knobs.weight;
			m.cap = want->knobs.cap;
			m.min_share = want->min_share;
			m.state = PLACE_NEW;
		}
		left_out += print_append(list, print_mdev(&m, c->now[i], c->then[i].share), rows);
	}
	json_object_set_new(object, "mdevs", list);
	print_left_out(object, left_out);
}

static json_t *print_candidate(const struct place_snapshot *snapshot,
			       const struct place_candidate *c, const struct place_want *want,
			       size_t *rows)
{
	const struct place_parent *parent = &snapshot->parents[c->parent];
	json_t *object =
		json_pack("{s:s,s:b,s:s*,s:s*,s:s*,s:s*}", "parent", parent->name, "fits", c->fits,
			  "word", c->fits ? NULL : error_word_name(c->why.word), "message",
			  c->fits ? NULL : c->why.message, "type", c->type ? c->type->id : NULL,
			  "arithmetic", c->has_share ? c->arithmetic : NULL);

	if (!object)
		return NULL;
	if (c->type)
		json_object_set_new(object, "instances", json_integer((json_int_t)c->instances));
	if (!c->has_share)
		return object;
	json_object_set_new(object, "share", place_print_share(c->share));
	print_table(parent, c, want, object, rows);
	return object;
}

json_t *place_print_choice(const struct place_snapshot *snapshot, const struct place_choice *choice,
			   const struct place_want *want, enum place_policy policy, size_t *rows)
{
	const struct place_candidate *best =
		choice->best == SIZE_MAX ? NULL : &choice->candidates[choice->best];
	json_t *candidates = json_array();
	json_t *object;

	for (size_t i = 0; i < choice->count; i++)
		json_array_append_new(candidates, print_candidate(snapshot, &choice->candidates[i],
								  want, rows));
	object =
		json_pack("{s:s,s:o,s:s?}", "policy", place_policy_name(policy), "candidates",
			  candidates, "parent", best ? snapshot->parents[best->parent].name : NULL);
	if (object && best) {
		json_object_set_new(object, "share", place_print_share(best->share));
		json_object_set_new(object, "arithmetic", json_string(best->arithmetic));
	} else if (object) {
		json_object_set_new(object, "word", json_string(error_word_name(choice->why.word)));
		json_object_set_new(object, "message", json_string(choice->why.message));
	}
	return object;
}

json_t *place_print_parent(const struct place_parent *before, const struct place_parent *after,
			   size_t *rows)
{
	umdev_autofree struct share_member *was = NULL;
	umdev_autofree struct share_member *is = NULL;
	json_t *list = json_array();
	json_t *object;
	size_t left_out = 0;

	if (!list || place_parent_shares(before, SIZE_MAX, &was, NULL) < 0 ||
	    place_parent_shares(after, SIZE_MAX, &is, NULL) < 0) {
		json_decref(list);
		return NULL;
	}
	for (size_t i = 0; i < after->mdev_count; i++)
		left_out += print_append(list,
					 print_mdev(&after->mdevs[i],
						    i < before->mdev_count ? was[i].share : 0,
						    is[i].share),
					 rows);
	object = json_pack("{s:s,s:s,s:o}", "parent", after->name, "admission",
			   after->reserve ? "reserve" : "lend", "mdevs", list);
	if (object)
		print_left_out(object, left_out);
	return object;
}
