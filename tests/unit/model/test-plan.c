/* SPDX-License-Identifier: BSD-3-Clause */
/* Plans: what would happen, and the smallest change, which is tried out. */
#include "model/plan.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "place-scene.h"

static json_t *plan(struct scene *s, const struct place_want *wants, size_t count)
{
	struct plan_wants all = {wants, count, PLACE_SPREAD};
	struct umdev_error err = {0};
	json_t *answer;

	s->snapshot.work = 0;
	answer = plan_make(&s->snapshot, &all, &err);
	if (!answer)
		fail_msg("%s", err.message);
	return answer;
}

static bool fits(struct scene *s, const struct place_want *wants, size_t count)
{
	json_t *answer = plan(s, wants, count);
	bool yes = json_is_true(json_object_get(answer, "fits"));

	json_decref(answer);
	return yes;
}

/* The change of that kind, which is the smallest or one of the others; NULL when there is none. */
static const json_t *find(const json_t *answer, const char *kind)
{
	const json_t *change = json_object_get(answer, "change");
	const json_t *other;
	size_t i;

	if (change && strcmp(json_string_value(json_object_get(change, "kind")), kind) == 0)
		return change;
	json_array_foreach (json_object_get(answer, "other_changes"), i, other) {
		if (strcmp(json_string_value(json_object_get(other, "kind")), kind) == 0)
			return other;
	}
	return NULL;
}

static double number(const json_t *change, const char *key)
{
	return json_number_value(json_object_get(change, key));
}

static void says(const json_t *change, const char *text)
{
	assert_non_null(change);
	assert_string_equal(json_string_value(json_object_get(change, "message")), text);
}

static void expect_smallest(const json_t *answer, const char *kind)
{
	const json_t *change = json_object_get(answer, "change");
	double last = number(change, "relative");
	const json_t *other;
	size_t i;

	assert_non_null(change);
	assert_string_equal(json_string_value(json_object_get(change, "kind")), kind);
	json_array_foreach (json_object_get(answer, "other_changes"), i, other) {
		assert_true(number(other, "relative") >= last);
		last = number(other, "relative");
	}
}

/* Weights 100 and 300 on a, 50 and 50 on b. */
static void two_parents(struct scene *s, uint64_t units)
{
	scene_init(s);
	scene_parent(s, "a", units);
	scene_parent(s, "b", units);
	scene_mdev(s, 0, "a1", 100, 10000);
	scene_mdev(s, 0, "a2", 300, 10000);
	scene_mdev(s, 1, "b1", 50, 10000);
	scene_mdev(s, 1, "b2", 50, 10000);
	scene_seal(s);
}

static void test_fits(void **state)
{
	struct place_want wants[3];
	const json_t *first;
	const json_t *row;
	json_t *answer;
	struct scene s;

	(void)state;
	two_parents(&s, 4);
	for (int i = 0; i < 3; i++) {
		char name[16];

		snprintf(name, sizeof(name), "new#%d", i + 1);
		wants[i] = scene_want(name, "x-small");
	}
	answer = plan(&s, wants, 3);
	assert_true(json_is_true(json_object_get(answer, "fits")));
	assert_null(json_object_get(answer, "change"));
	/* b with a half, b with a third, then both would give 20 and 25 %, but b is full. */
	first = json_array_get(json_object_get(answer, "mdevs"), 0);
	assert_string_equal(json_string_value(json_object_get(first, "parent")), "b");
	assert_int_equal(number(first, "share"), 50);
	assert_string_equal(json_string_value(json_object_get(first, "arithmetic")),
			    "100 / (100 + 50 + 50) = 50 %");
	first = json_array_get(json_object_get(answer, "mdevs"), 2);
	assert_string_equal(json_string_value(json_object_get(first, "parent")), "a");
	assert_int_equal(number(first, "share"), 20);
	/* In the end, a1 has 100 / 500. */
	row = json_array_get(
		json_object_get(json_array_get(json_object_get(answer, "shares"), 0), "mdevs"), 0);
	assert_string_equal(json_string_value(json_object_get(row, "uuid")), "a1");
	assert_int_equal(number(row, "share_now"), 25);
	assert_int_equal(number(row, "share_then"), 20);
	/* Nothing was touched. */
	assert_int_equal(s.snapshot.parents[0].mdev_count, 2);
	assert_int_equal(s.snapshot.parents[1].pool.piece_count, 2);
	json_decref(answer);
	scene_done(&s);
}

static void test_share_is_too_small(void **state)
{
	struct place_want want = scene_want("new#1", "x-small");
	json_t *answer;
	struct scene s;

	(void)state;
	two_parents(&s, 4);
	want.min_share = 6000;
	answer = plan(&s, &want, 1);
	assert_false(json_is_true(json_object_get(answer, "fits")));
	expect_smallest(answer, "min_share"); /* by a sixth, against a half of the weight */
	says(find(answer, "min_share"), "lower the min_share of new#1 from 60 % to 50 %");
	says(find(answer, "weight"), "raise the weight of new#1 from 100 to 150");
	says(find(answer, "remove"), "stop b1"); /* 100 / 150 */
	json_decref(answer);

	want.min_share = 5000;
	assert_true(fits(&s, &want, 1));
	want.min_share = 5001;
	assert_false(fits(&s, &want, 1));
	want.min_share = 6000;
	want.knobs.weight = 149;
	assert_false(fits(&s, &want, 1));
	want.knobs.weight = 150;
	assert_true(fits(&s, &want, 1));

	want.knobs.weight = 10000;
	want.knobs.cap = 5900;
	answer = plan(&s, &want, 1);
	says(find(answer, "cap"), "raise the cap of new#1 from 59 % to 60 %");
	assert_null(find(answer, "weight"));
	expect_smallest(answer, "min_share");
	json_decref(answer);

	want = scene_want("new#1", "x-small");
	want.min_share = 5000;
	want.parent = "a";
	answer = plan(&s, &want, 1);
	expect_smallest(answer, "parent");
	says(find(answer, "parent"), "put new#1 on b instead of a");
	json_decref(answer);
	scene_done(&s);
}

static void test_promise_of_another(void **state)
{
	struct place_want want = scene_want("new#1", "x-small");
	json_t *answer;
	struct scene s;

	(void)state;
	scene_init(&s);
	scene_parent(&s, "a", 4);
	scene_mdev(&s, 0, "a1", 100, 10000)->min_share = 4000;
	scene_mdev(&s, 0, "a2", 100, 10000);
	scene_seal(&s);
	want.knobs.weight = 60;
	answer = plan(&s, &want, 1);
	expect_smallest(answer, "weight");
	says(find(answer, "weight"), "lower the weight of new#1 from 60 to 50");
	says(find(answer, "cap"), "lower the cap of new#1 from 100 % to 20 %");
	/* Of a1, or the one of whom nothing was promised. */
	assert_non_null(find(answer, "remove"));
	json_decref(answer);
	want.knobs.cap = 2001;
	assert_false(fits(&s, &want, 1));
	want.knobs.cap = 2000;
	assert_true(fits(&s, &want, 1));
	scene_done(&s);
}

static void test_no_room(void **state)
{
	struct place_want wants[3];
	const json_t *gone;
	json_t *answer;
	struct scene s;

	(void)state;
	scene_init(&s);
	scene_parent(&s, "a", 4);
	scene_mdev(&s, 0, "a1", 100, 10000)->in_use = true;
	scene_mdev(&s, 0, "a2", 100, 10000)->defined = true;
	scene_mdev(&s, 0, "a3", 100, 10000);
	scene_seal(&s);
	for (size_t i = 0; i < 3; i++) {
		char name[16];

		snprintf(name, sizeof(name), "new#%zu", i + 1);
		wants[i] = scene_want(name, "x-small");
	}
	answer = plan(&s, wants, 3);
	expect_smallest(answer, "count");
	says(find(answer, "count"), "1 instead of 3");
	/* Two pieces next to each other: a1 is in use, so a2 and a3. */
	says(find(answer, "remove"), "stop and undefine a2, stop a3");
	gone = json_array_get(json_object_get(find(answer, "remove"), "mdevs"), 0);
	assert_string_equal(json_string_value(json_object_get(gone, "parent")), "a");
	json_decref(answer);

	/* The last unit is no place for a big one; a small one is, and so is the place of a3. */
	wants[0].type_id = "x-big";
	answer = plan(&s, wants, 1);
	expect_smallest(answer, "type");
	says(find(answer, "type"), "take type x-small for new#1 instead of x-big");
	says(find(answer, "remove"), "stop a3");
	json_decref(answer);
	scene_done(&s);
}

static void test_nothing_helps(void **state)
{
	struct place_want want = scene_want("new#1", "x-none");
	json_t *answer;
	struct scene s;

	(void)state;
	two_parents(&s, 4);
	answer = plan(&s, &want, 1);
	assert_null(json_object_get(answer, "change"));
	assert_true(json_is_true(json_object_get(answer, "searched")));
	assert_int_equal(json_array_size(json_object_get(answer, "other_changes")), 0);
	json_decref(answer);
	scene_done(&s);
}

/* Too much is refused, or searched in part; never for long. */
static void test_too_much(void **state)
{
	struct place_want *wants = calloc(PLAN_WANTS_MAX, sizeof(*wants));
	struct plan_wants all = {wants, PLAN_WANTS_MAX, PLACE_SPREAD};
	struct umdev_error err = {0};
	struct scene s;
	json_t *answer;

	(void)state;
	assert_non_null(wants);
	scene_init(&s);
	scene_parent(&s, "a", 30000);
	for (unsigned i = 0; i < 20000; i++) {
		struct place_mdev *m = place_parent_add(&s.snapshot.parents[0]);

		assert_non_null(m);
		snprintf(m->uuid, sizeof(m->uuid), "m%u", i);
		m->weight = m->weight_least = 100;
		m->cap = m->cap_least = 10000;
	}
	scene_seal(&s);
	for (unsigned i = 0; i < PLAN_WANTS_MAX; i++) {
		char name[16];

		snprintf(name, sizeof(name), "new#%u", i);
		wants[i] = scene_want(name, "x-small");
	}
	assert_null(plan_make(&s.snapshot, &all, &err));
	assert_int_equal(err.word, ERROR_LIMIT);
	wants[0].min_share = 5000;
	s.snapshot.work = 0;
	all.count = 1;
	answer = plan_make(&s.snapshot, &all, &err);
	assert_non_null(answer);
	assert_false(json_is_true(json_object_get(answer, "fits")));
	assert_true(s.snapshot.work < 2 * PLAN_WORK_MAX);
	json_decref(answer);
	scene_done(&s);
	free(wants);
}

/* ---- Properties ------------------------------------------------------------------------------ */

static uint64_t seed = 19700101;

static uint32_t random_below(uint32_t n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((seed >> 33) % n);
}

/* Does to the wants, or to a copy of the snapshot, what the change says. */
static bool fits_with(struct scene *s, const struct place_want *wants, size_t count,
		      const json_t *change)
{
	const char *kind = json_string_value(json_object_get(change, "kind"));
	size_t entry = (size_t)json_integer_value(json_object_get(change, "entry"));
	struct place_want next[8];
	struct scene other = *s;
	const json_t *gone;
	bool yes;
	size_t n = 0;
	size_t i;

	assert_int_equal(place_snapshot_copy(&s->snapshot, &other.snapshot), 0);
	for (i = 0; i < count; i++) {
		bool mine = wants[i].entry == entry && strcmp(kind, "remove") != 0;

		if (mine && strcmp(kind, "count") == 0 && i >= number(change, "to"))
			continue;
		next[n] = wants[i];
		if (mine && strcmp(kind, "min_share") == 0)
			next[n].min_share = (uint32_t)(number(change, "to") * 100 + 0.5);
		if (mine && strcmp(kind, "weight") == 0)
			next[n].knobs.weight = (uint32_t)number(change, "to");
		if (mine && strcmp(kind, "cap") == 0)
			next[n].knobs.cap = (uint32_t)(number(change, "to") * 100 + 0.5);
		if (mine && strcmp(kind, "type") == 0)
			next[n].type_id = json_string_value(json_object_get(change, "to"));
		n++;
	}
	json_array_foreach (json_object_get(change, "mdevs"), i, gone) {
		const char *uuid = json_string_value(json_object_get(gone, "uuid"));

		for (size_t p = 0; p < other.snapshot.count; p++) {
			struct place_parent *parent = &other.snapshot.parents[p];
			size_t at = place_parent_find(parent, uuid);

			if (at == SIZE_MAX)
				continue;
			pool_release(&parent->pool, pool_find(&parent->pool, uuid)->start, false);
			parent->mdev_count--;
			memmove(&parent->mdevs[at], &parent->mdevs[at + 1],
				(parent->mdev_count - at) * sizeof(parent->mdevs[0]));
		}
	}
	yes = fits(&other, next, n);
	place_snapshot_done(&other.snapshot);
	return yes;
}

/* Whatever is proposed works when it is done. */
static void test_changes_work(void **state)
{
	unsigned proposed = 0;
	unsigned none = 0;

	(void)state;
	for (unsigned n = 0; n < 150; n++) {
		struct place_want wants[4];
		const json_t *other;
		json_t *answer;
		struct scene s;
		size_t i;

		scene_init(&s);
		for (size_t p = 0; p < 2; p++) {
			scene_parent(&s, p ? "b" : "a", 3 + random_below(3));
			for (unsigned m = 0; m < 3; m++) {
				char uuid[16];

				snprintf(uuid, sizeof(uuid), "%c%u", p ? 'b' : 'a', m);
				scene_mdev(&s, p, uuid, 50 * (1 + random_below(6)), 10000)
					->min_share = random_below(3) ? 0 : 500;
			}
		}
		scene_seal(&s);
		for (i = 0; i < 4; i++) {
			char name[16];

			snprintf(name, sizeof(name), "new#%zu", i + 1);
			wants[i] = scene_want(name, random_below(3) ? "x-small" : "x-big");
			wants[i].entry = i == 3;
			if (i > 0 && i < 3) {
				wants[i] = wants[0];
				snprintf(wants[i].uuid, sizeof(wants[i].uuid), "%s", name);
			} else {
				wants[i].knobs.weight = 20 * (1 + random_below(20));
				wants[i].min_share = random_below(5000);
			}
		}
		answer = plan(&s, wants, 4);
		if (json_object_get(answer, "change")) {
			proposed++;
			if (!fits_with(&s, wants, 4, json_object_get(answer, "change")))
				fail_msg("%s", json_dumps(answer, JSON_INDENT(1)));
		} else {
			none += !json_is_true(json_object_get(answer, "fits"));
		}
		json_array_foreach (json_object_get(answer, "other_changes"), i, other) {
			if (!fits_with(&s, wants, 4, other))
				fail_msg("%s", json_dumps(other, JSON_INDENT(1)));
		}
		json_decref(answer);
		scene_done(&s);
	}
	print_message("%u changes proposed and done, none for %u\n", proposed, none);
	assert_true(proposed > 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fits),
		cmocka_unit_test(test_share_is_too_small),
		cmocka_unit_test(test_promise_of_another),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_nothing_helps),
		cmocka_unit_test(test_too_much),
		cmocka_unit_test(test_changes_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
