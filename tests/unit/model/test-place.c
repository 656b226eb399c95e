/* SPDX-License-Identifier: BSD-3-Clause */
/* Placement: which parent, what share, who refuses and why; and that no promise is ever broken. */
#include "model/place.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "place-scene.h"

#define G "59e8b599-afdd-4766-a59e-415ef4f5a492"

/* Chooses, and expects the parent of that name and the share. */
static void expect(struct scene *s, const struct place_want *want, enum place_policy policy,
		   const char *parent, uint32_t share)
{
	struct place_choice choice;

	assert_int_equal(place_choose(&s->snapshot, want, policy, &choice), 0);
	if (choice.best == SIZE_MAX)
		fail_msg("%s", choice.why.message);
	assert_string_equal(s->snapshot.parents[choice.candidates[choice.best].parent].name,
			    parent);
	assert_int_equal(choice.candidates[choice.best].share, share);
	place_choice_done(&choice);
}

/* Expects that none fits, for a reason of that word. */
static void refuse(struct scene *s, const struct place_want *want, enum error_word word,
		   const char *says)
{
	struct place_choice choice;

	assert_int_equal(place_choose(&s->snapshot, want, PLACE_SPREAD, &choice), 0);
	assert_int_equal(choice.best, SIZE_MAX);
	if (!strstr(choice.why.message, says))
		fail_msg("'%s' does not say '%s'", choice.why.message, says);
	assert_int_equal(choice.why.word, word);
	place_choice_done(&choice);
}

/* Weights 100 and 300 on a, 50 and 50 on b, on which less is left. */
static void two_parents(struct scene *s)
{
	scene_init(s);
	scene_parent(s, "a", 8);
	scene_parent(s, "b", 3);
	scene_mdev(s, 0, "a1", 100, 10000);
	scene_mdev(s, 0, "a2", 300, 10000);
	scene_mdev(s, 1, "b1", 50, 10000);
	scene_mdev(s, 1, "b2", 50, 10000);
	scene_seal(s);
}

static void test_policies(void **state)
{
	struct place_want want = scene_want("w", "x-small");
	struct scene s;

	(void)state;
	two_parents(&s);
	expect(&s, &want, PLACE_SPREAD, "b", 500000000);
	expect(&s, &want, PLACE_PACK, "b", 500000000);
	want.parent = "a";
	expect(&s, &want, PLACE_SPREAD, "a", 200000000);
	want.parent = NULL;
	/* Its cap makes both worth the same: then the one with more instances. */
	want.knobs.cap = 1250;
	expect(&s, &want, PLACE_SPREAD, "a", 125000000);
	expect(&s, &want, PLACE_PACK, "b", 125000000);
	/* Two units are left on a only. */
	want = scene_want("w", "x-big");
	expect(&s, &want, PLACE_PACK, "a", 200000000);
	want = scene_want("w", NULL);
	want.type_name = "Small";
	expect(&s, &want, PLACE_SPREAD, "b", 500000000);
	scene_done(&s);

	/* All alike: the name. */
	scene_init(&s);
	scene_parent(&s, "a", 2);
	scene_parent(&s, "b", 2);
	scene_seal(&s);
	want = scene_want("w", "x-small");
	expect(&s, &want, PLACE_SPREAD, "a", SHARE_WHOLE);
	expect(&s, &want, PLACE_PACK, "a", SHARE_WHOLE);
	scene_done(&s);
}

static void test_refusals(void **state)
{
	struct place_want want = scene_want("w", "x-small");
	struct scene s;

	(void)state;
	two_parents(&s);
	want.min_share = 2000;
	expect(&s, &want, PLACE_SPREAD, "b", 500000000);
	want.min_share = 5000; /* exactly */
	expect(&s, &want, PLACE_SPREAD, "b", 500000000);
	want.min_share = 5001;
	refuse(&s, &want, ERROR_NO_SHARE,
	       "a: 100 / (100 + 100 + 300) = 20 %, less than 50.01 %; b: 100 / (100 + 50 + 50) = 50 "
	       "%, less than 50.01 %");
	want.min_share = 0;
	want.type_id = "x-tiny";
	refuse(&s, &want, ERROR_UNKNOWN_TYPE,
	       "none of the parents offers x-tiny; nearest: x-big (Big), x-plain (Plain)");
	want.type_id = "x-small";
	want.type_name = "Big";
	refuse(&s, &want, ERROR_UNKNOWN_TYPE, "x-small under the name Big");
	want.type_name = NULL;
	want.parent = "c";
	refuse(&s, &want, ERROR_NO_PARENT, "'c'");
	want.parent = NULL;
	want.type_id = "x-plain";
	want.knobs.weight = 200;
	refuse(&s, &want, ERROR_INVALID, "does not honour mdev/weight");
	want = scene_want("w", "x-small");
	error_set(&s.snapshot.parents[1].not_ready, ERROR_NO_PARENT, "parent b is restarting");
	expect(&s, &want, PLACE_SPREAD, "a", 200000000);
	want.parent = "b";
	refuse(&s, &want, ERROR_NO_PARENT, "b is restarting");
	scene_done(&s);

	scene_init(&s);
	scene_seal(&s);
	want.parent = NULL;
	refuse(&s, &want, ERROR_NO_PARENT, "no parent is ready");
	scene_parent(&s, "a", 1);
	scene_mdev(&s, 0, "a1", 100, 10000);
	scene_seal(&s);
	refuse(&s, &want, ERROR_NO_INSTANCES, "x-small on a");
	/* Who holds the piece may have it. */
	want = scene_want("a1", "x-small");
	expect(&s, &want, PLACE_SPREAD, "a", SHARE_WHOLE);
	want.type_id = "x-plain";
	expect(&s, &want, PLACE_SPREAD, "a", SHARE_WHOLE);
	want.type_id = "x-big";
	refuse(&s, &want, ERROR_NO_INSTANCES, "x-big on a");
	scene_done(&s);
}

static void test_promises(void **state)
{
	struct place_want want = scene_want("w", "x-small");
	struct scene s;

	(void)state;
	scene_init(&s);
	scene_parent(&s, "a", 8);
	scene_mdev(&s, 0, "a1", 100, 10000)->min_share = 4000;
	scene_mdev(&s, 0, "a2", 100, 10000);
	scene_seal(&s);
	want.knobs.weight = 50; /* 100 / 250 = 40 % */
	expect(&s, &want, PLACE_SPREAD, "a", 200000000);
	want.knobs.weight = 51;
	refuse(&s, &want, ERROR_NO_SHARE,
	       "mdev w would leave mdev a1 on a only 39.84 % of the 40 % that it was promised: 100 / "
	       "(100 + 100 + 51) = 39.84 %");
	want.knobs.cap = 2000; /* 80 % are left for two */
	want.knobs.weight = 10000;
	expect(&s, &want, PLACE_SPREAD, "a", 200000000);
	want.knobs.cap = 2001;
	refuse(&s, &want, ERROR_NO_SHARE, "mdev a1");
	scene_done(&s);

	/* A promise that is broken already is nobody's fault who does not make it worse. */
	scene_init(&s);
	scene_parent(&s, "a", 8);
	scene_mdev(&s, 0, "a1", 100, 1000)->min_share = 4000;
	scene_seal(&s);
	want = scene_want("w", "x-small");
	expect(&s, &want, PLACE_SPREAD, "a", 900000000);
	scene_done(&s);
}

/* One that is being changed counts as whichever of both is worse. */
static void test_being_changed(void **state)
{
	struct place_want want = scene_want("w", "x-small");
	struct place_mdev *m;
	struct scene s;

	(void)state;
	scene_init(&s);
	scene_parent(&s, "a", 8);
	scene_mdev(&s, 0, "a1", 100, 10000)->min_share = 2500;
	m = scene_mdev(&s, 0, "a2", 300, 10000);
	scene_seal(&s);
	m->weight_least = 100;
	want.knobs.weight = 1;
	refuse(&s, &want, ERROR_NO_SHARE, "mdev a1");
	m->weight = 100;
	want.knobs.weight = 200;
	expect(&s, &want, PLACE_SPREAD, "a", 500000000);
	/* Of itself, the lesser. */
	m->min_share = 2500;
	m->weight = 300;
	s.snapshot.parents[0].mdevs[0].min_share = 0;
	expect(&s, &want, PLACE_SPREAD, "a", 333333333);
	want.knobs.weight = 201;
	refuse(&s, &want, ERROR_NO_SHARE, "mdev a2");
	scene_done(&s);
}

static void test_reserved(void **state)
{
	struct place_want want = scene_want("a2", "x-small");
	struct place_choice choice;
	struct scene s;

	(void)state;
	scene_init(&s);
	scene_parent(&s, "a", 8);
	scene_mdev(&s, 0, "a1", 100, 10000);
	scene_mdev(&s, 0, "a2", 300, 10000)->state = PLACE_RESERVED;
	scene_seal(&s);
	want.knobs.weight = 300;
	assert_int_equal(place_choose(&s.snapshot, &want, PLACE_SPREAD, &choice), 0);
	assert_int_equal(choice.candidates[0].count, 2);
	assert_int_equal(choice.candidates[0].self, 1);
	assert_int_equal(choice.candidates[0].now[1], 750000000);
	assert_int_equal(choice.candidates[0].share, 750000000);
	assert_int_equal(place_put(&s.snapshot, &choice.candidates[0], &want), 0);
	assert_int_equal(s.snapshot.parents[0].mdev_count, 2);
	assert_int_equal(s.snapshot.parents[0].pool.piece_count, 2);
	place_choice_done(&choice);
	scene_done(&s);
}

static void test_groups(void **state)
{
	struct place_want want = scene_want("w", "x-small");
	struct scene s;

	(void)state;
	scene_init(&s);
	scene_parent(&s, "a", 8);
	scene_parent(&s, "b", 8);
	scene_mdev(&s, 0, "a1", 100, 10000);
	scene_group(&s, 0, scene_mdev(&s, 0, "a2", 300, 10000), G, "x-small");
	scene_seal(&s);
	snprintf(want.group, sizeof(want.group), "%s", G);
	/* Where the others are, though b is empty; and 100 of 400 of one half. */
	expect(&s, &want, PLACE_SPREAD, "a", 125000000);
	want.parent = "b";
	refuse(&s, &want, ERROR_INVALID, "all members on one parent");
	want.parent = NULL;
	want.type_id = "x-plain";
	refuse(&s, &want, ERROR_INVALID, "may not be in a group");
	/* Of scope driver; but the other is of scope device. */
	want.type_id = "x-big";
	expect(&s, &want, PLACE_SPREAD, "a", 125000000);
	s.snapshot.peers[0].type = type_find_id(&s.types, "x-big");
	expect(&s, &want, PLACE_SPREAD, "b", SHARE_WHOLE);
	/* In use, and without hotplug: it may be defined, not started. */
	s.snapshot.peers[0].in_use = 42;
	refuse(&s, &want, ERROR_DEVICE_BUSY, "process 42");
	want.starts = false;
	expect(&s, &want, PLACE_SPREAD, "b", SHARE_WHOLE);
	scene_done(&s);

	/* A group's own knobs count where nobody of it is yet. */
	scene_init(&s);
	scene_parent(&s, "a", 8);
	scene_mdev(&s, 0, "a1", 100, 10000);
	scene_seal(&s);
	want = scene_want("w", "x-small");
	snprintf(want.group, sizeof(want.group), "%s", G);
	want.group_is.weight = 300;
	expect(&s, &want, PLACE_SPREAD, "a", 750000000);
	want.group_is.cap = 1000;
	expect(&s, &want, PLACE_SPREAD, "a", 100000000);
	scene_done(&s);
}

/* ---- Properties ------------------------------------------------------------------------------ */

static uint64_t seed = 20160926;

static uint32_t random_below(uint32_t n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((seed >> 33) % n);
}

static void check_promises(const struct scene *s)
{
	for (size_t p = 0; p < s->snapshot.count; p++) {
		const struct place_parent *parent = &s->snapshot.parents[p];
		struct share_member *shares = NULL;

		assert_int_equal(place_parent_shares(parent, SIZE_MAX, &shares, NULL), 0);
		for (size_t i = 0; i < parent->mdev_count; i++)
			assert_true(shares[i].share / 100000 >= parent->mdevs[i].min_share);
		free(shares);
	}
}

/* What was chosen is the best of those that fit, gets what was said, and breaks nothing. */
static void check_choice(struct scene *s, const struct place_want *want,
			 const struct place_choice *choice, enum place_policy policy)
{
	const struct place_candidate *best = &choice->candidates[choice->best];
	struct place_parent *parent = &s->snapshot.parents[best->parent];
	struct share_member *shares = NULL;
	size_t index;

	for (size_t i = 0; i < choice->count; i++) {
		const struct place_candidate *c = &choice->candidates[i];

		if (c->fits && policy == PLACE_SPREAD)
			assert_true(c->share <= best->share);
		if (c->fits && policy == PLACE_PACK)
			assert_true(c->instances >= best->instances);
		assert_true(c->fits || c->why.word != ERROR_NONE);
	}
	assert_int_equal(place_put(&s->snapshot, best, want), 0);
	index = place_parent_find(parent, want->uuid);
	assert_int_not_equal(index, SIZE_MAX);
	assert_int_equal(place_parent_shares(parent, SIZE_MAX, &shares, NULL), 0);
	assert_int_equal(shares[index].share, best->share);
	assert_true(best->share / 100000 >= want->min_share);
	free(shares);
}

static void test_properties(void **state)
{
	unsigned placed = 0;
	unsigned refused[ERROR_WORD_COUNT] = {0};

	(void)state;
	for (unsigned n = 0; n < 300; n++) {
		struct scene s;

		scene_init(&s);
		for (uint32_t p = 0; p < 3; p++)
			scene_parent(&s, p == 0 ? "a" : p == 1 ? "b" : "c", 2 + random_below(8));
		scene_seal(&s);
		for (unsigned i = 0; i < 20; i++) {
			enum place_policy policy = random_below(2) ? PLACE_PACK : PLACE_SPREAD;
			struct place_choice choice;
			struct place_want want;
			char name[16];

			snprintf(name, sizeof(name), "w%u", i);
			want = scene_want(name, random_below(3) ? "x-small" : "x-big");
			want.knobs.weight = 1 + random_below(500);
			want.knobs.cap = random_below(2) ? 10000 : 100 + random_below(9000);
			want.min_share = random_below(2) ? 0 : random_below(3500);
			if (random_below(3) == 0)
				snprintf(want.group, sizeof(want.group),
					 "59e8b599-afdd-4766-a59e-00000000000%u", random_below(3));
			assert_int_equal(place_choose(&s.snapshot, &want, policy, &choice), 0);
			if (choice.best != SIZE_MAX) {
				check_choice(&s, &want, &choice, policy);
				check_promises(&s);
				placed++;
			} else {
				refused[choice.why.word]++;
			}
			place_choice_done(&choice);
		}
		scene_done(&s);
	}
	print_message("placed %u, refused %u for a share and %u for room\n", placed,
		      refused[ERROR_NO_SHARE], refused[ERROR_NO_INSTANCES]);
	assert_true(placed > 1000 && refused[ERROR_NO_SHARE] > 300 &&
		    refused[ERROR_NO_INSTANCES] > 300);
}

static void test_names(void **state)
{
	enum place_policy policy;

	(void)state;
	assert_int_equal(place_policy_parse("spread", &policy), 0);
	assert_int_equal(policy, PLACE_SPREAD);
	assert_int_equal(place_policy_parse("pack", &policy), 0);
	assert_int_equal(policy, PLACE_PACK);
	assert_int_equal(place_policy_parse("Pack", &policy), -EINVAL);
	assert_string_equal(place_policy_name(PLACE_PACK), "pack");
	assert_string_equal(place_policy_name(PLACE_POLICY_COUNT), "unknown");
	assert_string_equal(place_state_name(PLACE_RESERVED), "reserved");
	assert_string_equal(place_state_name(PLACE_STATE_COUNT), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_policies), cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_promises), cmocka_unit_test(test_being_changed),
		cmocka_unit_test(test_reserved), cmocka_unit_test(test_groups),
		cmocka_unit_test(test_names),	 cmocka_unit_test(test_properties),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
