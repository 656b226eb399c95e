/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks of group_check: asked about sets of mdevs, it answers by the set alone and does nothing.
 * That it does nothing is seen by the services that it calls (none but fail, log and now_ns may
 * be), by devices that are there, and by the second answer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "perf/random.h"
#include "regs.h"

#define GROUP_MEMBERS 8
#define GROUP_ROUNDS  64
#define GROUP_UUID    "6f5e4d3c-0000-4000-8000-000000000001"

/* One question. Its texts live as long as the answer takes. */
struct group_question {
	uint32_t types[GROUP_MEMBERS]; /* indices into the types of the parent */
	uint32_t flags[GROUP_MEMBERS];
	uint32_t count;
};

/* Asks in the order @order and forgets the texts at once. Returns 0 or -errno. */
static int group_ask(struct kit *kit, const struct group_question *q, const uint32_t *order)
{
	struct umdev_group_member members[GROUP_MEMBERS] = {0};
	struct umdev_group_member copy[GROUP_MEMBERS];
	char uuids[GROUP_MEMBERS][UMDEV_UUID_STRING];
	char *group = strdup(GROUP_UUID);
	int r;

	for (uint32_t i = 0; i < q->count; i++) {
		uint32_t from = order[i];
		const struct umdev_type *type = kit_type_row(kit, q->types[from]);

		snprintf(uuids[i], sizeof(uuids[i]), "c0ffee00-0000-4000-8000-%012x", from + 1);
		members[i] = (struct umdev_group_member){
			.uuid = uuids[i],
			.parent = q->flags[from] & UMDEV_MEMBER_HERE ? "conform" : "elsewhere",
			.type_id = type->id,
			.type_name = type->name,
			.flags = q->flags[from],
		};
	}
	memcpy(copy, members, sizeof(copy));
	kit->quiet = true;
	kit_enter(kit, "group_check of %u members", q->count);
	r = kit->driver.table.group_check(kit->parent_priv, group, members, q->count);
	kit_leave(kit, "group_check");
	kit->quiet = false;
	if (r > 0 || r < -4095)
		verdict_fail("group_check returned %d, which is neither 0 nor an errno", r);
	if (memcmp(copy, members, sizeof(copy)) != 0)
		verdict_fail("group_check changed the members that it was asked about");
	memset(uuids, 0x5a, sizeof(uuids));
	memset(group, 0x5a, strlen(group));
	free(group);
	return r;
}

static void group_order(uint32_t *order, uint32_t count, uint64_t *seed)
{
	for (uint32_t i = 0; i < count; i++)
		order[i] = i;
	for (uint32_t i = count; seed && i > 1; i--) {
		uint32_t j = (uint32_t)random_below(seed, i);
		uint32_t t = order[i - 1];

		order[i - 1] = order[j];
		order[j] = t;
	}
}

/* Types that may join a group. Returns how many. */
static uint32_t group_types(const struct kit *kit, uint32_t types[DRIVER_TABLE_MAX],
			    bool *ret_anywhere)
{
	uint32_t count = 0;

	*ret_anywhere = true;
	for (uint32_t i = 0; i < kit->info.type_count; i++) {
		const struct umdev_type *t = kit_type_row(kit, i);

		if (t->group_scope == UMDEV_GROUP_NONE)
			continue;
		types[count++] = i;
		*ret_anywhere = *ret_anywhere && t->group_scope == UMDEV_GROUP_DRIVER;
	}
	return count;
}

/* A question at random, of members that scope lets in. */
static void group_question(struct kit *kit, struct group_question *q, uint64_t *seed)
{
	uint32_t types[DRIVER_TABLE_MAX];
	bool anywhere;
	uint32_t count = group_types(kit, types, &anywhere);

	q->count = 1 + (uint32_t)random_below(seed, GROUP_MEMBERS);
	for (uint32_t i = 0; i < q->count; i++) {
		q->types[i] = types[random_below(seed, count)];
		q->flags[i] = random_below(seed, 2) ? UMDEV_MEMBER_NEW : 0;
		if (!anywhere || i == 0 || random_below(seed, 2))
			q->flags[i] |= UMDEV_MEMBER_HERE;
	}
}

static void group_up(struct kit *kit)
{
	uint32_t types[DRIVER_TABLE_MAX];
	bool anywhere;

	kit_up(kit);
	if (!kit->driver.table.group_check)
		verdict_skip("the driver has no group_check: any set will do");
	if (group_types(kit, types, &anywhere) == 0)
		verdict_skip("no type may join a group");
}

void check_group_answer(struct kit *kit)
{
	uint64_t seed = kit->options->seed;
	uint32_t order[GROUP_MEMBERS];
	struct group_question q;

	group_up(kit);
	for (uint32_t round = 0; round < GROUP_ROUNDS; round++) {
		int first;
		int again;

		verdict_note("seed %llu, question %u", (unsigned long long)kit->options->seed,
			     round);
		group_question(kit, &q, &seed);
		group_order(order, q.count, NULL);
		first = group_ask(kit, &q, order);
		again = group_ask(kit, &q, order);
		if (first != again)
			verdict_fail("asked twice about the same %u members, group_check answers "
				     "%d and %d",
				     q.count, first, again);
		group_order(order, q.count, &seed);
		again = group_ask(kit, &q, order);
		if (first != again)
			verdict_fail("asked about the same %u members in another order, "
				     "group_check answers %d instead of %d",
				     q.count, again, first);
	}
	kit_close(kit);
}

void check_group_pure(struct kit *kit)
{
	uint64_t seed = kit->options->seed;
	uint32_t order[GROUP_MEMBERS];
	struct group_question q;
	struct umdev_mdev *mdev;
	struct regs *before;
	struct regs *after;
	struct regs *ignored;
	uint32_t bar;
	uint32_t at;

	group_up(kit);
	mdev = kit_mdev(kit, 0);
	before = regs_read(mdev);
	after = regs_read(mdev);
	ignored = regs_volatile(before, after);
	free(after);
	for (uint32_t round = 0; round < GROUP_ROUNDS; round++) {
		group_question(kit, &q, &seed);
		group_order(order, q.count, &seed);
		(void)group_ask(kit, &q, order);
	}
	after = regs_read(mdev);
	if (regs_differ(before, after, ignored, &bar, &at))
		verdict_fail("group_check changed offset 0x%x of BAR %u", at, bar);
	free(before);
	free(after);
	free(ignored);
	kit_close(kit);
}
