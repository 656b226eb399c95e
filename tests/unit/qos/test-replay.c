/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The same calls at the same times give the same decisions, wherever virtual time begins and
 * wherever in memory flows are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "machine.h"
#include "qos/qos-internal.h"

#define US    1000ull
#define FLOWS 20

struct replay_place {
	uint64_t virtual_start;
	uint64_t begin_ns;
	uint64_t scatter; /* 0: memory as it comes */
};

/* What is done: everything at the times of a fast device, or a 32768th of that speed, where weights
 * are so small that virtual time wraps. */
struct replay_kind {
	uint64_t seed;
	uint32_t slow; /* log 2 */
	uint32_t weights;
	uint32_t steps;
};

static struct qos_knobs replay_knobs(uint64_t *random, uint32_t weights)
{
	return (struct qos_knobs){
		.cap = machine_random(random) % 3 ? QOS_CAP_NONE
						  : 100 + (uint32_t)(machine_random(random) % 9900),
		.weight = 1 + (uint32_t)(machine_random(random) % weights),
		.priority = (uint32_t)(machine_random(random) % 8),
	};
}

static void replay_step(struct machine *m, const struct replay_kind *kind, uint64_t *random)
{
	struct machine_flow *f = m->flows[machine_random(random) % m->flow_count];

	switch (machine_random(random) % 5) {
	case 0:
		machine_set(f, replay_knobs(random, kind->weights));
		break;
	case 1:
		f->depth = (uint32_t)(machine_random(random) % 20);
		break;
	case 2:
		machine_withdraw(f, machine_random(random) % 100);
		break;
	case 3:
		f->cost_ns = 1ull << (kind->slow + 14 + machine_random(random) % 10);
		break;
	default:
		while (machine_random(random) % 10)
			machine_arrive(f);
	}
	machine_run(m, m->now_ns + machine_random(random) % (4000 * US << kind->slow));
}

/* Hash of the decisions; *ret_wraps: how often virtual time began anew. */
static uint64_t replay_hash(const struct replay_kind *kind, struct replay_place place,
			    uint64_t *ret_jobs, uint32_t *ret_wraps)
{
	uint64_t seed = kind->seed;
	uint64_t now = place.virtual_start;
	struct qos_config config = {
		.parallelism = 1 + (uint32_t)(machine_random(&seed) % 8),
		.virtual_start = place.virtual_start,
	};
	struct qos_knobs knobs = QOS_KNOBS_DEFAULT;
	struct qos_group *group;
	struct machine m;
	uint64_t hash;

	config.reserved_slots = (uint32_t)(machine_random(&seed) % config.parallelism);
	machine_init(&m, &config, place.begin_ns);
	if (place.scatter)
		machine_scatter(&m, FLOWS, place.scatter);
	group = qos_group_new(m.engine, &knobs, m.now_ns);
	assert_non_null(group);
	for (uint32_t i = 0; i < FLOWS; i++) {
		struct machine_flow *f =
			machine_add(&m, i % 4 ? NULL : group, replay_knobs(&seed, kind->weights),
				    (uint32_t)(machine_random(&seed) % 5), 100 * US << kind->slow);

		f->cost = i % 2 ? machine_cost_exp : machine_cost_pareto;
	}
	*ret_wraps = 0;
	for (uint32_t i = 0; i < kind->steps; i++) {
		replay_step(&m, kind, &seed);
		*ret_wraps += contest_now(&m.engine->root) < now / 2;
		now = contest_now(&m.engine->root);
	}
	*ret_jobs = machine_ended(&m);
	hash = m.hash;
	machine_stop(&m);
	qos_group_free(group);
	machine_done(&m);
	return hash;
}

/* Virtual time begins at multiples of the coarsest slot, the last of them right before a wrap. */
static const struct replay_place replay_places[] = {
	{0, 12345, 0},
	{0, 12345, 1},
	{0, 12345, 2},
	{0, 99 * US *US *US, 0},
	{1ull << 63, 12345, 0},
	{(1ull << 63) - (1ull << 60), 1, 3},
	{0 - (1ull << 60), 12345, 0},
	{0 - (1ull << 60), 0, 7},
};

static void replay_all(const struct replay_kind *kind, uint64_t *jobs, uint32_t *wraps)
{
	uint64_t first_jobs = 0;
	uint64_t first = 0;

	for (uint32_t i = 0; i < ARRAY_SIZE(replay_places); i++) {
		uint64_t again_jobs;
		uint32_t wrapped;
		uint64_t hash = replay_hash(kind, replay_places[i], &again_jobs, &wrapped);

		if (i == 0) {
			first = hash;
			first_jobs = again_jobs;
		}
		if (hash != first)
			print_message("seed %lu place %u\n", kind->seed, i);
		assert_int_equal(hash, first);
		assert_int_equal(again_jobs, first_jobs);
		*jobs += again_jobs;
		*wraps += wrapped;
	}
}

static void test_same(void **state)
{
	uint64_t jobs = 0;
	uint32_t wraps = 0;

	for (uint64_t seed = 1; seed <= 8; seed++) {
		struct replay_kind kind = {.seed = seed, .weights = QOS_WEIGHT_MAX, .steps = 400};

		replay_all(&kind, &jobs, &wraps);
	}
	print_message("seeds 1..8: %lu jobs in %zu places\n", jobs, ARRAY_SIZE(replay_places));
}

static void test_same_after_wrap(void **state)
{
	uint64_t jobs = 0;
	uint32_t wraps = 0;

	for (uint64_t seed = 1; seed <= 3; seed++) {
		struct replay_kind kind = {.seed = seed, .slow = 15, .weights = 1, .steps = 1200};

		replay_all(&kind, &jobs, &wraps);
	}
	print_message("seeds 1..3: %lu jobs, %u wraps\n", jobs, wraps);
	assert_true(wraps > 0);
}

/* The hash is worth something: another seed gives another. */
static void test_different(void **state)
{
	struct replay_kind one = {.seed = 1, .weights = 10, .steps = 100};
	struct replay_kind two = {.seed = 2, .weights = 10, .steps = 100};
	uint64_t jobs;
	uint32_t wraps;

	assert_int_not_equal(replay_hash(&one, replay_places[0], &jobs, &wraps),
			     replay_hash(&two, replay_places[0], &jobs, &wraps));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same),
		cmocka_unit_test(test_same_after_wrap),
		cmocka_unit_test(test_different),
	};

	return cmocka_run_group_tests_name("qos replay", tests, NULL, NULL);
}
