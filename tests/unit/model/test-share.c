/* SPDX-License-Identifier: BSD-3-Clause */
/* Shares: tables worked out by hand, rules that hold for any mdevs, and another way to compute
 * them.
 */
#include "model/share.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NONE	   SHARE_NO_GROUP
#define PERCENT(p) ((uint32_t)((p)*10000000.0 + 0.5))
#define MEMBERS	   12
#define GROUPS	   4

struct table {
	const char *what;
	struct share_member members[6]; /* a weight of 0 ends them; share: what is owed */
	struct share_group groups[3];
	const char *arithmetic; /* of the first one */
};

static const struct table tables[] = {
	{"alone",
	 {{.weight = 7, .cap = 10000, .group = NONE, .share = SHARE_WHOLE}},
	 {{0}},
	 "7 / 7 = 100 %"},
	{"alone with a cap",
	 {{.weight = 7, .cap = 1250, .group = NONE, .share = PERCENT(12.5)}},
	 {{0}},
	 "its cap = 12.5 %"},
	{"one to three",
	 {{100, 10000, NONE, PERCENT(25), false}, {300, 10000, NONE, PERCENT(75), false}},
	 {{0}},
	 "100 / (100 + 300) = 25 %"},
	{"thirds: the unit that is over goes to the first",
	 {{100, 10000, NONE, 333333334, false},
	  {100, 10000, NONE, 333333333, false},
	  {100, 10000, NONE, 333333333, false}},
	 {{0}},
	 "100 / (100 + 100 + 100) = 33.33 %"},
	{"what a cap leaves goes to the others by weight",
	 {{100, 10000, NONE, PERCENT(22.5), false},
	  {300, 10000, NONE, PERCENT(67.5), false},
	  {100, 1000, NONE, PERCENT(10), true}},
	 {{0}},
	 "(100 % - 10 % that caps bound) x 100 / (100 + 300) = 22.5 %"},
	{"a cap above the share does not matter",
	 {{100, 3000, NONE, PERCENT(25), false}, {300, 10000, NONE, PERCENT(75), false}},
	 {{0}},
	 "100 / (100 + 300) = 25 %"},
	{"a second cap binds because of the first",
	 {{100, 10000, NONE, PERCENT(55), false},
	  {100, 3500, NONE, PERCENT(35), true},
	  {100, 1000, NONE, PERCENT(10), true}},
	 {{0}},
	 "(100 % - 45 % that caps bound) x 100 / 100 = 55 %"},
	{"caps of all: something is nobody's",
	 {{100, 2000, NONE, PERCENT(20), true}, {900, 3000, NONE, PERCENT(30), true}},
	 {{0}},
	 "its cap = 20 %"},
	{"a group counts once",
	 {{100, 10000, NONE, PERCENT(50), false},
	  {100, 10000, 0, PERCENT(12.5), false},
	  {300, 10000, 0, PERCENT(37.5), false}},
	 {{100, 10000, PERCENT(50), false}},
	 "100 / (100 + 100) = 50 %"},
	{"a group of some weight, from within",
	 {{100, 10000, 0, PERCENT(20), false},
	  {300, 10000, 0, PERCENT(60), false},
	  {100, 10000, NONE, PERCENT(20), false}},
	 {{400, 10000, PERCENT(80), false}},
	 "its group 400 / (400 + 100) = 80 %, of it 80 % x 100 / (100 + 300) = 20 %"},
	{"a group's cap",
	 {{100, 10000, 0, PERCENT(10), false},
	  {100, 10000, 0, PERCENT(10), false},
	  {100, 10000, NONE, PERCENT(80), false}},
	 {{900, 2000, PERCENT(20), true}},
	 "its group by its cap 20 %, of it 20 % x 100 / (100 + 100) = 10 %"},
	{"a member's cap is of the whole parent, and the rest stays in the group",
	 {{100, 10000, 0, PERCENT(40), false},
	  {100, 1000, 0, PERCENT(10), true},
	  {100, 10000, NONE, PERCENT(50), false}},
	 {{100, 10000, PERCENT(50), false}},
	 "its group 100 / (100 + 100) = 50 %, of it (50 % - 10 % that caps bound) x 100 / 100 = "
	 "40 %"},
	{"a group whose members are all capped leaves the rest to the others",
	 {{100, 10000, NONE, PERCENT(85), false},
	  {100, 500, 0, PERCENT(5), true},
	  {100, 1000, 0, PERCENT(10), true}},
	 {{900, 10000, PERCENT(15), true}},
	 "(100 % - 15 % that caps bound) x 100 / 100 = 85 %"},
	{"groups alone, one without members",
	 {{1, 10000, 2, PERCENT(25), false}, {10000, 10000, 0, PERCENT(75), false}},
	 {{300, 10000, PERCENT(75), false},
	  {9999, 10000, 0, false},
	  {100, 10000, PERCENT(25), false}},
	 "its group 100 / (100 + 300) = 25 %, of it 25 % x 1 / 1 = 25 %"},
};

static void test_tables(void **state)
{
	(void)state;
	for (size_t t = 0; t < ARRAY_SIZE(tables); t++) {
		const struct table *table = &tables[t];
		struct share_member got[6];
		struct share_group groups[3];
		char text[SHARE_ARITHMETIC_MAX];
		size_t count = 0;

		memcpy(got, table->members, sizeof(got));
		memcpy(groups, table->groups, sizeof(groups));
		while (count < ARRAY_SIZE(got) && got[count].weight)
			count++;
		assert_int_equal(share_compute(got, count, groups, ARRAY_SIZE(groups)), 0);
		for (size_t i = 0; i < count; i++) {
			if (got[i].share != table->members[i].share)
				fail_msg("%s: %zu has %u", table->what, i, got[i].share);
			/* A cap that is just reached may count either way. */
			if (table->members[i].capped && !got[i].capped)
				fail_msg("%s: %zu is not capped", table->what, i);
		}
		for (size_t g = 0; g < ARRAY_SIZE(groups); g++) {
			if (groups[g].share != table->groups[g].share)
				fail_msg("%s: group %zu has %u", table->what, g, groups[g].share);
		}
		share_explain(got, count, groups, ARRAY_SIZE(groups), 0, text);
		assert_string_equal(text, table->arithmetic);
	}
}

static void test_long_sum(void **state)
{
	struct share_member many[20];
	char text[SHARE_ARITHMETIC_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = (struct share_member){100, 10000, NONE, 0, false};
	assert_int_equal(share_compute(many, ARRAY_SIZE(many), NULL, 0), 0);
	share_explain(many, ARRAY_SIZE(many), NULL, 0, 3, text);
	assert_string_equal(text, "100 / (100 + 1900 of 19 others) = 5 %");
}

static void test_edges(void **state)
{
	struct share_member one = {100, 10000, 3, 0, false};
	struct share_group groups[3] = {{100, 10000, 5, true}};
	char text[SHARE_PERCENT_SIZE];

	(void)state;
	assert_int_equal(share_compute(NULL, 0, NULL, 0), 0);
	assert_int_equal(share_compute(&one, 1, groups, 3), -EINVAL);
	assert_int_equal(share_compute(NULL, 0, groups, 1), 0);
	assert_int_equal(groups[0].share, 0);
	assert_false(groups[0].capped);
	share_percent(666666666, text);
	assert_string_equal(text, "66.66");
	share_percent(SHARE_WHOLE, text);
	assert_string_equal(text, "100");
	share_percent(99999, text);
	assert_string_equal(text, "0");
	assert_int_equal(share_hundredths(199999), 1);
}

/* As many as there may be, at the largest numbers: nothing overflows. */
static void test_many(void **state)
{
	const size_t count = 65536;
	struct share_member *many = calloc(count, sizeof(*many));
	struct share_group *groups = calloc(count, sizeof(*groups));
	uint64_t sum = 0;

	(void)state;
	assert_non_null(many);
	assert_non_null(groups);
	for (size_t i = 0; i < count; i++) {
		many[i] = (struct share_member){10000, 10000, i % 2 ? (uint32_t)i : NONE, 0, false};
		groups[i] = (struct share_group){10000, 10000, 0, false};
	}
	assert_int_equal(share_compute(many, count, groups, count), 0);
	for (size_t i = 0; i < count; i++) {
		assert_in_range(many[i].share, SHARE_WHOLE / count, SHARE_WHOLE / count + 1);
		sum += many[i].share;
	}
	assert_int_equal(sum, SHARE_WHOLE);
	free(many);
	free(groups);
}

/* ---- Properties ------------------------------------------------------------------------------ */

static uint64_t seed;

static uint32_t random_below(uint32_t n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((seed >> 33) % n);
}

struct scene {
	struct share_member members[MEMBERS];
	struct share_group groups[GROUPS];
	size_t count;
};

static uint32_t random_weight(void)
{
	return random_below(3) ? 1 + random_below(10000) : 100 * (1 + random_below(4));
}

static uint32_t random_cap(void)
{
	return random_below(2) ? 10000 : 1 + random_below(random_below(2) ? 10000 : 600);
}

static void scene_make(struct scene *scene)
{
	memset(scene, 0, sizeof(*scene));
	scene->count = 1 + random_below(MEMBERS);
	for (size_t i = 0; i < scene->count; i++)
		scene->members[i] =
			(struct share_member){random_weight(), random_cap(),
					      random_below(2) ? NONE : random_below(GROUPS), 0,
					      false};
	for (size_t g = 0; g < GROUPS; g++)
		scene->groups[g] = (struct share_group){random_weight(), random_cap(), 0, false};
}

static void scene_compute(struct scene *scene)
{
	assert_int_equal(share_compute(scene->members, scene->count, scene->groups, GROUPS), 0);
}

/*
 * The reference: fractions of @whole by going round until no cap is exceeded, as one would on
 * paper. Nothing in common with the other but the question.
 */
static void reference(const uint64_t *weights, const uint64_t *caps, size_t count, uint64_t whole,
		      long double *ret)
{
	bool fixed[MEMBERS + GROUPS] = {false};
	bool again = true;

	while (again) {
		long double left = whole;
		long double sum = 0;

		again = false;
		for (size_t i = 0; i < count; i++) {
			if (fixed[i])
				left -= caps[i];
			else
				sum += weights[i];
		}
		for (size_t i = 0; i < count; i++) {
			ret[i] = fixed[i] ? caps[i] : left * weights[i] / sum;
			if (ret[i] > caps[i]) {
				fixed[i] = true;
				again = true;
			}
		}
	}
}

static void check_close(const struct scene *scene, const char *what, uint32_t share,
			long double want)
{
	(void)scene;
	if (share > want + 1 || share < want - 1)
		fail_msg("seed %llu: %s has %u, not %.3Lf", (unsigned long long)seed, what, share,
			 want);
}

/* The members of one group, or with SHARE_NO_GROUP the contest for the parent. */
static void check_reference(const struct scene *scene, uint32_t group)
{
	uint64_t weights[MEMBERS + GROUPS];
	uint64_t caps[MEMBERS + GROUPS];
	uint32_t got[MEMBERS + GROUPS];
	long double want[MEMBERS + GROUPS];
	size_t n = 0;

	for (size_t i = 0; i < scene->count; i++) {
		if (scene->members[i].group != group)
			continue;
		weights[n] = scene->members[i].weight;
		caps[n] = scene->members[i].cap * 100000ull;
		got[n++] = scene->members[i].share;
	}
	for (size_t g = 0; group == NONE && g < GROUPS; g++) {
		uint64_t all = 0;

		for (size_t i = 0; i < scene->count; i++)
			all += scene->members[i].group == g ? scene->members[i].cap * 100000ull : 0;
		if (all == 0)
			continue;
		weights[n] = scene->groups[g].weight;
		caps[n] = MIN(all, scene->groups[g].cap * 100000ull);
		got[n++] = scene->groups[g].share;
	}
	reference(weights, caps, n, group == NONE ? SHARE_WHOLE : scene->groups[group].share, want);
	for (size_t i = 0; i < n; i++)
		check_close(scene, group == NONE ? "a top competitor" : "a member", got[i],
			    want[i]);
}

static void check_sums(const struct scene *scene)
{
	uint64_t in_group[GROUPS] = {0};
	uint64_t group_caps[GROUPS] = {0};
	uint64_t sum = 0;
	uint64_t caps = 0;

	for (size_t i = 0; i < scene->count; i++) {
		const struct share_member *m = &scene->members[i];

		assert_true(m->share <= m->cap * 100000ull);
		assert_true(!m->capped || m->share == m->cap * 100000ull);
		sum += m->share;
		if (m->group == NONE) {
			caps += m->cap * 100000ull;
		} else {
			in_group[m->group] += m->share;
			group_caps[m->group] += m->cap * 100000ull;
		}
	}
	for (size_t g = 0; g < GROUPS; g++) {
		assert_int_equal(in_group[g], scene->groups[g].share);
		assert_true(in_group[g] <= scene->groups[g].cap * 100000ull);
		caps += MIN(group_caps[g], scene->groups[g].cap * 100000ull);
	}
	/* All of it, unless caps forbid. */
	assert_int_equal(sum, MIN(caps, (uint64_t)SHARE_WHOLE));
}

/* More weight or cap of one's own is never worth less, and never more to anybody else outside. */
static void check_monotone(const struct scene *scene)
{
	struct scene more = *scene;
	uint32_t who = random_below((uint32_t)scene->count);
	struct share_member *m = &more.members[who];

	if (random_below(2))
		m->weight = MIN(m->weight + 1 + random_below(random_below(2) ? 2 : 4000), 10000u);
	else
		m->cap = MIN(m->cap + 1 + random_below(random_below(2) ? 2 : 4000), 10000u);
	scene_compute(&more);
	if (m->share < scene->members[who].share)
		fail_msg("seed %llu: more is worth less: %u, then %u", (unsigned long long)seed,
			 scene->members[who].share, m->share);
	for (size_t i = 0; i < scene->count; i++) {
		if (i != who && (m->group == NONE || scene->members[i].group == m->group) &&
		    more.members[i].share > scene->members[i].share + 2 &&
		    scene->members[who].cap == m->cap)
			fail_msg("seed %llu: the weight of another is worth more to %zu",
				 (unsigned long long)seed, i);
	}
}

static void test_properties(void **state)
{
	(void)state;
	seed = 20170817;
	for (int n = 0; n < 30000; n++) {
		struct scene scene;

		scene_make(&scene);
		scene_compute(&scene);
		check_sums(&scene);
		check_reference(&scene, NONE);
		for (uint32_t g = 0; g < GROUPS; g++)
			check_reference(&scene, g);
		check_monotone(&scene);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables),	   cmocka_unit_test(test_long_sum),
		cmocka_unit_test(test_edges),	   cmocka_unit_test(test_many),
		cmocka_unit_test(test_properties),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
