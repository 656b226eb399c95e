/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What always holds of the places of a tree, whatever is in it (walk.h); random trees that change
 * at random. SYSFS_SEED is the first seed; the one at which something does not hold is printed.
 */
#include "mirror.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sysfs/attr.h"
#include "walk.h"

#define NODE_TREES   40
#define NODE_STEPS   25
#define NODE_NUMBERS 20000

struct world {
	struct tree tree;
	uint64_t random;
	unsigned groups;
};

static uint64_t world_pick(struct world *world, uint64_t count)
{
	return mirror_random(&world->random) % count;
}

static const char *world_parent_name(struct world *world)
{
	static const char *const names[] = {"0000:86:00.0",
					    "0000:86:00.1",
					    "0000:86:1f.7",
					    "0000:87:00.0",
					    "10000:01:00.0",
					    "10000:01:02.0",
					    "ffffffff:ff:1f.7",
					    "0000:00:02.0",
					    "0001:86:00.0",
					    "store",
					    "a",
					    "devices",
					    "virtual",
					    "pci0000:86",
					    "0000:86",
					    "0000:8G:00.0",
					    "0000:86:20.0",
					    "00000:86:00.0",
					    "mtty",
					    "card-1"};

	return names[world_pick(world, ARRAY_SIZE(names))];
}

/* A PARENT; sometimes with attributes that are in the way of others. */
static json_t *world_parent(struct world *world)
{
	static const char *const drivers[] = {"nvme", "null", "serial", "mdev", "uevent", "remove"};
	static const char *const attrs[] = {"mdev/cap",	  "mdev/weight", "mdev/own", "nvme/a",
					    "nvme/b",	  "null/a",	 "serial/a", "mdev/mdev",
					    "uevent/a",	  "remove/x",	 "other/a",  "mdev/jobs",
					    "nvme/uevent"};
	json_t *object = mirror_parent(world_parent_name(world),
				       drivers[world_pick(world, 8) % ARRAY_SIZE(drivers)]);
	json_t *list = json_object_get(object, "attributes");

	for (uint64_t i = world_pick(world, 6); i > 0; i--)
		json_array_append_new(list, json_pack("{s:s}", "name",
						      attrs[world_pick(world, ARRAY_SIZE(attrs))]));
	return object;
}

static json_t *world_types(struct world *world)
{
	static const char *const ids[] = {"t-1", "t-2", "t-3", "devices", "create"};
	static const char *const attrs[] = {"capacity", "name", "devices", "ports", "a/b",
					    "..",	"",	"create",  "x\ny",  "heads"};
	char text[64] = "";
	json_t *types;
	json_t *type;
	size_t i;

	for (uint64_t n = world_pick(world, 4); n > 0; n--) {
		strncat(text, ids[world_pick(world, ARRAY_SIZE(ids))], 16);
		strncat(text, " ", 2);
	}
	types = mirror_types(text);
	json_array_foreach (types, i, type) {
		if (world_pick(world, 2) == 0)
			json_object_set_new(type, "description", json_string("what it is"));
		for (uint64_t n = world_pick(world, 4); n > 0; n--)
			json_object_set_new(json_object_get(type, "attributes"),
					    attrs[world_pick(world, ARRAY_SIZE(attrs))],
					    json_string("v"));
	}
	return types;
}

static void world_put_parent(struct world *world)
{
	json_t *object = world_parent(world);
	json_t *types = world_types(world);
	struct tree_parent *parent = NULL;

	assert_int_equal(tree_put_parent(&world->tree, object, &parent), 0);
	assert_int_equal(tree_put_types(&world->tree, parent, types, world_pick(world, 2)), 0);
	json_decref(types);
	json_decref(object);
}

static void world_put_mdev(struct world *world)
{
	struct tree_parent *parent = tree_find_parent(&world->tree, world_parent_name(world));
	struct tree_type *type;
	char uuid[TREE_UUID_SIZE];
	char group[TREE_UUID_SIZE];
	uint64_t skip;

	if (!parent || parent->type_count == 0)
		return;
	skip = world_pick(world, parent->type_count);
	list_for_each (type, &parent->types, link) {
		if (skip-- == 0)
			break;
	}
	snprintf(uuid, sizeof(uuid), "83b8f4f2-509f-382f-3c1e-e6bfe0fa10%02x",
		 (unsigned)world_pick(world, 24));
	snprintf(group, sizeof(group), "0c5b5ba6-2f0c-4a33-b3c6-3c1ee6bfe0f%x",
		 (unsigned)world_pick(world, 3));
	if (world_pick(world, 2))
		mirror_put_member(&world->tree, uuid, parent->name, type->name, ++world->groups,
				  group);
	else
		mirror_put_mdev(&world->tree, uuid, parent->name, type->name, ++world->groups);
}

static void world_step(struct world *world)
{
	struct tree *tree = &world->tree;
	uint64_t what = world_pick(world, 8);

	if (what == 0 && !list_empty(&tree->parents))
		tree_drop_parent(tree, list_first(&tree->parents, struct tree_parent, link));
	else if (what == 1 && !list_empty(&tree->mdevs))
		tree_drop_mdev(tree, list_first(&tree->mdevs, struct tree_mdev, link));
	else if (what < 4)
		world_put_parent(world);
	else
		world_put_mdev(world);
}

static void test_random_trees(void **state)
{
	uint64_t seed = mirror_seed();

	(void)state;
	for (unsigned i = 0; i < NODE_TREES; i++) {
		struct world *world = calloc(1, sizeof(*world));
		struct walk before = {0};

		assert_non_null(world);
		world->random = seed + i;
		tree_init(&world->tree);
		print_message("seed %llu\n", (unsigned long long)world->random);
		for (unsigned step = 0; step < NODE_STEPS; step++) {
			struct walk now;

			world_step(world);
			walk_all(&now, &world->tree);
			/* What went is not answered for, whoever still has its number. */
			for (size_t n = 0; n < before.count; n++) {
				if (walk_answers(&world->tree, before.numbers[n]) !=
				    walk_met(&now, before.numbers[n]))
					fail_msg("number %llx is answered for, but not there",
						 (unsigned long long)before.numbers[n]);
			}
			walk_done(&before);
			before = now;
		}
		walk_done(&before);
		tree_done(&world->tree);
		free(world);
	}
}

/* Asks everything about a node that a number of somebody may be of. */
static void ask_all(const struct tree *tree, struct node node)
{
	struct subject s;
	struct node found;
	char text[1024];

	(void)node_is_fixed(node);
	(void)node_find(tree, node, "uevent", &found);
	(void)node_up(tree, node);
	if (!node_resolve(tree, node, &s))
		return;
	if (node.row == 0 && node_is_link(node))
		node_link_target(&s, node, text, sizeof(text));
}

/* Any 64 bits: what is in the tree is answered for; what else is does no harm. */
static void test_random_numbers(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct walk walk;
	unsigned hits = 0;

	(void)state;
	assert_non_null(world);
	world->random = mirror_seed();
	tree_init(&world->tree);
	for (unsigned i = 0; i < 60; i++)
		world_step(world);
	walk_all(&walk, &world->tree);
	for (unsigned i = 0; i < NODE_NUMBERS; i++) {
		uint64_t number = mirror_random(&world->random);
		struct node node;
		bool answers;

		/* Wholly random ones mean nothing; so most are near to what there is. */
		if (i % 4 != 0)
			number = walk.numbers[number % walk.count];
		if (i % 4 == 2)
			number ^= UINT64_C(1) << mirror_random(&world->random) % 64;
		else if (i % 4 == 3)
			number = (number & ~(UINT64_C(0xff) << 56)) |
				 mirror_random(&world->random) % 48 << 56;
		answers = walk_answers(&world->tree, number);
		if (walk_met(&walk, number) && !answers)
			fail_msg("number %llx", (unsigned long long)number);
		hits += answers;
		if (node_from_number(number, &node))
			ask_all(&world->tree, node);
	}
	assert_true(hits > NODE_NUMBERS / 8);
	walk_done(&walk);
	tree_done(&world->tree);
	free(world);
}

static void test_no_nodes(void **state)
{
	struct node node;

	(void)state;
	assert_false(node_from_number(0, &node));
	assert_false(node_from_number(2, &node));
	assert_false(node_from_number(UINT64_MAX, &node));
	assert_false(node_from_number((uint64_t)NODE_KIND_COUNT << 56, &node));
	assert_true(node_from_number((uint64_t)(NODE_KIND_COUNT - 1) << 56, &node));
	assert_true(node_from_number(1, &node));
	assert_int_equal(node.kind, NODE_ROOT);
	assert_int_equal(node_number((struct node){NODE_ROOT, 0, 0}), 1);
}

/* ---- One tree, by name ----------------------------------------------------------------------- */

static void expect_link(const struct tree *tree, const char *dir, const char *name,
			const char *target, struct node where)
{
	char text[1024];
	char path[2048];
	struct subject s;
	struct node at;
	struct node link;
	struct attr made;
	int n;

	assert_true(walk_resolve(tree, dir, &at));
	if (!node_find(tree, at, name, &link))
		fail_msg("%s/%s is not there", dir, name);
	assert_true(node_resolve(tree, link, &s));
	if (link.row > 0) {
		const struct attr *attr = attr_of(&s, link, &made);

		n = attr->show(&s, attr, NULL, text, sizeof(text) - 1);
		text[n] = '\0';
	} else {
		node_link_target(&s, link, text, sizeof(text));
	}
	assert_string_equal(text, target);
	snprintf(path, sizeof(path), "%s/%s", dir, text);
	assert_true(walk_resolve(tree, path, &at));
	assert_int_equal(node_number(at), node_number(where));
}

#define STORE "sys/devices/virtual/mtty/store"
#define CARD  "sys/devices/pci0000:86/0000:86:00.0"
#define OF(kind, thing_of)                                                                         \
	(struct node)                                                                              \
	{                                                                                          \
		kind, 0, (thing_of)->thing.id                                                      \
	}
#define ONE(kind)                                                                                  \
	(struct node)                                                                              \
	{                                                                                          \
		kind, 0, 0                                                                         \
	}

static void test_links(void **state)
{
	struct tree *tree = malloc(sizeof(*tree));
	struct tree_parent *store;
	struct tree_parent *card;
	struct tree_mdev *a;
	struct tree_mdev *b;

	(void)state;
	assert_non_null(tree);
	tree_init(tree);
	store = mirror_put_parent(tree, "store", "nvme", "nvme-1");
	card = mirror_put_parent(tree, "0000:86:00.0", "null", "null-1");
	a = mirror_put_member(tree, MIRROR_A, "store", "nvme-1", 1, MIRROR_G);
	b = mirror_put_member(tree, MIRROR_B, "0000:86:00.0", "null-1", 12, MIRROR_G);
	expect_link(tree, "sys/bus/mdev/groups/" MIRROR_G "/devices", MIRROR_A,
		    "../../../../../devices/virtual/mtty/store/" MIRROR_A, OF(NODE_MDEV, a));
	expect_link(tree, "sys/bus/mdev/groups/" MIRROR_G "/devices", MIRROR_B,
		    "../../../../../devices/pci0000:86/0000:86:00.0/" MIRROR_B, OF(NODE_MDEV, b));
	expect_link(tree, "sys/class/mdev_bus", "store", "../../devices/virtual/mtty/store",
		    OF(NODE_PARENT, store));
	expect_link(tree, "sys/class/mdev_bus", "0000:86:00.0",
		    "../../devices/pci0000:86/0000:86:00.0", OF(NODE_PARENT, card));
	expect_link(tree, "sys/class/mtty", "store", "../../devices/virtual/mtty/store",
		    OF(NODE_PARENT, store));
	expect_link(tree, "sys/bus/pci/devices", "0000:86:00.0",
		    "../../../devices/pci0000:86/0000:86:00.0", OF(NODE_PARENT, card));
	expect_link(tree, "sys/bus/mdev/devices", MIRROR_A,
		    "../../../devices/virtual/mtty/store/" MIRROR_A, OF(NODE_MDEV, a));
	expect_link(tree, "sys/bus/mdev/drivers/null", MIRROR_B,
		    "../../../../devices/pci0000:86/0000:86:00.0/" MIRROR_B, OF(NODE_MDEV, b));
	expect_link(tree, STORE, "subsystem", "../../../../class/mtty", ONE(NODE_CLASS_MTTY));
	expect_link(tree, CARD, "subsystem", "../../../bus/pci", ONE(NODE_BUS_PCI));
	expect_link(tree, CARD, "driver", "../../../bus/pci/drivers/null",
		    (struct node){NODE_BUS_PCI_DRIVER, 0, card->driver_number});
	expect_link(tree, STORE "/" MIRROR_A, "mdev_type", "../mdev_supported_types/nvme-1",
		    OF(NODE_TYPE, a->type));
	expect_link(tree, STORE "/mdev_supported_types/nvme-1/devices", MIRROR_A,
		    "../../../" MIRROR_A, OF(NODE_MDEV, a));
	expect_link(tree, STORE "/" MIRROR_A, "subsystem", "../../../../../bus/mdev",
		    ONE(NODE_BUS_MDEV));
	expect_link(tree, CARD "/" MIRROR_B, "driver", "../../../../bus/mdev/drivers/null",
		    (struct node){NODE_BUS_MDEV_DRIVER, 0, card->driver_number});
	expect_link(tree, CARD "/" MIRROR_B, "iommu_group", "../../../../kernel/iommu_groups/12",
		    OF(NODE_IOMMU_GROUP, b));
	expect_link(tree, "sys/kernel/iommu_groups/12/devices", MIRROR_B,
		    "../../../../devices/pci0000:86/0000:86:00.0/" MIRROR_B, OF(NODE_MDEV, b));
	tree_done(tree);
	free(tree);
}

/* A parent whose types were never published has no directory of them, and no link in mdev_bus. */
static void test_unpublished(void **state)
{
	struct tree *tree = malloc(sizeof(*tree));
	struct node node;
	json_t *types;

	(void)state;
	assert_non_null(tree);
	tree_init(tree);
	mirror_put_parent(tree, "store", "nvme", NULL);
	assert_true(walk_resolve(tree, STORE, &node));
	assert_false(walk_resolve(tree, STORE "/mdev_supported_types", &node));
	assert_true(walk_resolve(tree, "sys/class/mdev_bus", &node));
	assert_false(node_find(tree, node, "store", &node));
	types = mirror_types("nvme-1");
	assert_int_equal(tree_put_types(tree, tree_find_parent(tree, "store"), types, false), 0);
	json_decref(types);
	assert_true(walk_resolve(tree, STORE "/mdev_supported_types/nvme-1/devices", &node));
	assert_true(walk_resolve(tree, "sys/class/mdev_bus", &node));
	assert_true(node_find(tree, node, "store", &node));
	tree_done(tree);
	free(tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_trees), cmocka_unit_test(test_random_numbers),
		cmocka_unit_test(test_no_nodes),     cmocka_unit_test(test_links),
		cmocka_unit_test(test_unpublished),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
