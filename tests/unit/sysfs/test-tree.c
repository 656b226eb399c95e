/* SPDX-License-Identifier: BSD-3-Clause */
/* The mirror: what it takes, what it refuses, and that ids stay with their things. */
#include "mirror.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int setup(void **state)
{
	struct tree *tree = malloc(sizeof(*tree));

	assert_non_null(tree);
	tree_init(tree);
	*state = tree;
	return 0;
}

static int teardown(void **state)
{
	tree_done(*state);
	free(*state);
	return 0;
}

/* ---- Parents --------------------------------------------------------------------------------- */

static void test_parents(void **state)
{
	struct tree *tree = *state;
	static const char *const order[] = {"0000:86:00.0", "a", "m", "z"};
	struct tree_parent *m = mirror_put_parent(tree, "m", "nvme", NULL);
	struct tree_parent *parent;
	size_t i = 0;

	mirror_put_parent(tree, "z", "null", NULL);
	parent = mirror_put_parent(tree, "0000:86:00.0", "nvme", NULL);
	assert_true(parent->is_pci);
	assert_string_equal(parent->path, "sys/devices/pci0000:86/0000:86:00.0");
	assert_int_equal(parent->driver_number, m->driver_number);
	parent = mirror_put_parent(tree, "a", "null", NULL);
	assert_false(parent->is_pci);
	assert_string_equal(parent->path, "sys/devices/virtual/mtty/a");
	assert_int_not_equal(parent->driver_number, m->driver_number);
	list_for_each (parent, &tree->parents, link)
		assert_string_equal(parent->name, order[i++]);
	assert_int_equal(i, 4);
	assert_ptr_equal(tree_find_parent(tree, "m"), m);
	assert_null(tree_find_parent(tree, "M"));
	assert_null(tree_find_parent(tree, ""));
	tree_drop_parent(tree, m);
	assert_null(tree_find_parent(tree, "m"));
}

/* New facts of a parent that is there: it stays the same one, with all that is below it. */
static void test_renew_parent(void **state)
{
	struct tree *tree = *state;
	struct tree_parent *parent = mirror_put_parent(tree, "p", "nvme", "nvme-a");
	struct tree_mdev *mdev = mirror_put_mdev(tree, MIRROR_A, "p", "nvme-a", 1);
	uint64_t id = parent->thing.id;
	json_t *object = mirror_parent("p", "nvme");
	struct tree_parent *again = NULL;

	json_object_set_new(object, "attributes", mirror_json("[{'name':'nvme/new'}]"));
	json_object_set_new(json_object_get(object, "pci"), "class", json_integer(0x10000));
	assert_int_equal(tree_put_parent(tree, object, &again), 0);
	json_decref(object);
	assert_ptr_equal(again, parent);
	assert_int_equal(parent->thing.id, id);
	assert_int_equal(parent->attr_count, 1);
	assert_string_equal(parent->attrs[0].name, "nvme/new");
	assert_string_equal(parent->attrs[0].description, "");
	assert_null(parent->attrs[0].fallback);
	assert_int_equal(tree_number(parent->pci, "class", 0), 0x10000);
	assert_ptr_equal(tree_find_mdev(tree, MIRROR_A), mdev);
	assert_int_equal(parent->type_count, 1);
}

/* The same name with another driver is another parent, without what the old one had. */
static void test_parent_of_another_driver(void **state)
{
	struct tree *tree = *state;
	struct tree_parent *parent = mirror_put_parent(tree, "p", "nvme", "nvme-a");
	uint64_t id = parent->thing.id;
	uint64_t type_id = tree_find_type(parent, "nvme-a")->thing.id;
	uint64_t mdev_id = mirror_put_mdev(tree, MIRROR_A, "p", "nvme-a", 1)->thing.id;

	parent = mirror_put_parent(tree, "p", "null", NULL);
	assert_int_not_equal(parent->thing.id, id);
	assert_null(tree_parent_by_id(tree, id));
	assert_null(tree_type_by_id(tree, type_id));
	assert_null(tree_mdev_by_id(tree, mdev_id));
	assert_null(tree_find_mdev(tree, MIRROR_A));
	assert_int_equal(tree->mdev_count, 0);
	assert_int_equal(parent->type_count, 0);
}

/* @change: members that take the place of those of a good parent; null takes one away. */
static void expect_bad_parent(struct tree *tree, const char *name, const char *change)
{
	json_t *object = mirror_parent(name, "nvme");
	json_t *patch = mirror_json(change);
	struct tree_parent *parent = NULL;
	uint64_t next = tree->next_id;
	const char *key;
	json_t *value;
	int r;

	json_object_foreach (patch, key, value) {
		if (json_is_null(value))
			json_object_del(object, key);
		else
			json_object_set(object, key, value);
	}
	r = tree_put_parent(tree, object, &parent);
	if (r != -EINVAL)
		fail_msg("%s with %s: %d", name, change, r);
	assert_null(parent);
	assert_int_equal(tree->next_id, next);
	json_decref(patch);
	json_decref(object);
}

static void test_bad_parents(void **state)
{
	struct tree *tree = *state;
	static const char *const bad[] = {
		"{'name':null}",
		"{'name':''}",
		"{'name':7}",
		"{'name':'.'}",
		"{'name':'..','path':'/sys/devices/virtual/mtty/..'}",
		"{'name':'.p','path':'/sys/devices/virtual/mtty/.p'}",
		"{'name':'a/p'}",
		"{'name':'p\\n','path':'/sys/devices/virtual/mtty/p\\n'}",
		"{'name':'p\\u007f','path':'/sys/devices/virtual/mtty/p\\u007f'}",
		"{'name':'q'}",
		"{'driver':null}",
		"{'driver':''}",
		"{'driver':'..'}",
		"{'driver':'a/b'}",
		"{'path':null}",
		"{'path':''}",
		"{'path':['x']}",
		"{'path':'/sys/devices/p'}",
		"{'path':'sys/devices/virtual/mtty/p'}",
		"{'path':'/sys/class/mtty/p'}",
		"{'path':'/sys/devices/virtual/mtty/../mtty/p'}",
		"{'path':'/sys/devices/virtual/mtty//p'}",
		"{'path':'/sys/devices/virtual/mtty/p/'}",
		"{'path':'/sys/devices/virtual/mtty/xp'}",
		"{'path':'/sys/devices/virtual/other/p'}",
		"{'path':'/sys/devices/pci0000:86/p'}",
		"{'subsystem':'pci'}",
		"{'pci':null}",
		"{'pci':[1]}",
		"{'pci':'0000:86:00.0'}",
	};
	/* A PCI device stands where its address says. */
	static const char *const bad_pci[] = {
		"{'subsystem':'mtty'}",
		"{'subsystem':null}",
		"{'pci':{}}",
		"{'pci':{'domain':0,'bus':135}}",
		"{'pci':{'domain':1,'bus':134}}",
		"{'pci':{'domain':0,'bus':390}}",
		"{'pci':{'domain':-1,'bus':134}}",
		"{'pci':{'domain':4294967296,'bus':134}}",
		"{'pci':{'domain':'0','bus':'134'}}",
		"{'path':'/sys/devices/pci0000:87/0000:86:00.0'}",
		"{'path':'/sys/devices/virtual/mtty/0000:86:00.0'}",
		"{'name':'0000:87:00.0','path':'/sys/devices/pci0000:86/0000:87:00.0'}",
		"{'name':'p','path':'/sys/devices/pci0000:86/p'}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		expect_bad_parent(tree, "p", bad[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bad_pci); i++)
		expect_bad_parent(tree, "0000:86:00.0", bad_pci[i]);
	assert_true(list_empty(&tree->parents));
	assert_int_equal(tree->driver_count, 0);
	mirror_put_parent(tree, "p", "nvme", NULL);
	mirror_put_parent(tree, "ffffffff:ff:1f.7", "nvme", NULL);
	expect_bad_parent(tree, "p", "{'pci':null}");
	assert_int_equal(tree_find_parent(tree, "p")->attr_count, 3);
}

static void test_long_names(void **state)
{
	struct tree *tree = *state;
	json_t *object = mirror_parent("p", "nvme");
	struct tree_parent *parent = NULL;
	char name[TREE_NAME_MAX + 2];
	char path[TREE_NAME_MAX + 64];

	/* As long a path as there may be, one more, as long a name, one more. */
	for (size_t len = 200; len <= TREE_NAME_MAX + 1; len++) {
		int n;

		memset(name, 'n', len);
		name[len] = '\0';
		n = snprintf(path, sizeof(path), "/sys/devices/virtual/mtty/%s", name);
		json_object_set_new(object, "name", json_string(name));
		json_object_set_new(object, "path", json_string(path));
		assert_int_equal(tree_put_parent(tree, object, &parent),
				 n < TREE_PATH_MAX ? 0 : -EINVAL);
	}
	json_decref(object);
	object = mirror_parent("q", "nvme");
	name[TREE_NAME_MAX] = '\0';
	json_object_set_new(object, "driver", json_string(name));
	assert_int_equal(tree_put_parent(tree, object, &parent), 0);
	name[TREE_NAME_MAX] = 'n';
	json_object_set_new(object, "driver", json_string(name));
	assert_int_equal(tree_put_parent(tree, object, &parent), -EINVAL);
	json_decref(object);
}

/* As many drivers as there is room for, and one more; those that were seen keep their numbers. */
static void test_many_drivers(void **state)
{
	struct tree *tree = *state;
	struct tree_parent *parent = NULL;
	json_t *object;
	char name[16];

	for (unsigned i = 0; i < TREE_DRIVERS_MAX; i++) {
		snprintf(name, sizeof(name), "d%u", i);
		parent = mirror_put_parent(tree, name, name, NULL);
		assert_int_equal(parent->driver_number, i);
		if (i % 2)
			tree_drop_parent(tree, parent);
	}
	object = mirror_parent("more", "more");
	assert_int_equal(tree_put_parent(tree, object, &parent), -ENOSPC);
	json_decref(object);
	assert_null(tree_find_parent(tree, "more"));
	assert_int_equal(mirror_put_parent(tree, "d7", "d7", NULL)->driver_number, 7);
}

/* A driver whose directory in an mdev could not be told from what is there already. */
static void test_reserved_drivers(void **state)
{
	static const char *const names[] = {"mdev",	 "remove",	"uevent",   "driver",
					    "subsystem", "iommu_group", "mdev_type"};
	struct tree *tree = *state;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct tree_parent *parent = mirror_put_parent(tree, names[i], names[i], "x-1");
		struct tree_mdev *mdev = mirror_put_mdev(tree, MIRROR_A, names[i], "x-1", 1);
		struct node dir = {NODE_MDEV, 0, mdev->thing.id};
		struct node found;

		/* What has the name first keeps it. */
		assert_true(node_find(tree, dir, names[i], &found));
		assert_int_not_equal(found.kind, NODE_MDEV_DRIVER);
		tree_drop_parent(tree, parent);
	}
}

/* ---- Attributes ------------------------------------------------------------------------------ */

static struct tree_parent *put_attrs(struct tree *tree, json_t *attributes)
{
	json_t *object = mirror_parent("p", "nvme");
	struct tree_parent *parent = NULL;

	json_object_set_new(object, "attributes", attributes);
	assert_int_equal(tree_put_parent(tree, object, &parent), 0);
	json_decref(object);
	return parent;
}

static void test_attributes(void **state)
{
	struct tree *tree = *state;
	json_t *many = json_array();
	struct tree_parent *parent;
	char name[32];

	for (unsigned i = 0; i < TREE_ATTRS_MAX + 1; i++) {
		snprintf(name, sizeof(name), "nvme/a%u", i);
		json_array_append_new(many, json_pack("{s:s}", "name", name));
	}
	parent = put_attrs(tree, many);
	assert_int_equal(parent->attr_count, TREE_ATTRS_MAX);
	assert_string_equal(parent->attrs[TREE_ATTRS_MAX - 1].name, "nvme/a511");
	parent = put_attrs(tree, mirror_json("[{'name':'nvme/a'},{'name':'nvme'},{'name':'/a'},"
					     "{'name':'nvme/'},{'name':'nvme/a/b'},{'name':7},{},"
					     "7,null,[],{'name':'../x'},{'name':'nvme/..'},"
					     "{'name':'nvme/.x'},{'name':'nvme/a\\n'},"
					     "{'name':'nvme/b','default':5,'description':[]},"
					     "{'name':'nvme/a','default':'second'},"
					     "{'name':'mdev/a'}]"));
	assert_int_equal(parent->attr_count, 3);
	assert_string_equal(parent->attrs[0].name, "nvme/a");
	assert_null(parent->attrs[0].fallback); /* the first of two */
	assert_string_equal(parent->attrs[1].name, "nvme/b");
	assert_null(parent->attrs[1].fallback);
	assert_string_equal(parent->attrs[1].description, "");
	assert_string_equal(parent->attrs[2].name, "mdev/a");
	assert_int_equal(put_attrs(tree, mirror_json("{'a':'b'}"))->attr_count, 0);
	assert_int_equal(put_attrs(tree, mirror_json("null"))->attr_count, 0);
}

static void test_values(void **state)
{
	struct tree *tree = *state;
	const struct tree_parent *parent = mirror_put_parent(tree, "p", "nvme", "nvme-a");
	json_t *object = mirror_mdev(MIRROR_A, "p", "nvme-a", 1,
				     "[{'mdev/weight':'1'},{'nvme/queues':'2'},{'mdev/weight':'3'},"
				     "{'mdev/weight':9},7,{'other':'x'}]");

	assert_string_equal(tree_attr_value(parent, object, "mdev/weight"), "3");
	assert_string_equal(tree_attr_value(parent, object, "nvme/queues"), "2");
	assert_string_equal(tree_attr_value(parent, object, "mdev/note"), "");
	assert_string_equal(tree_attr_value(parent, object, "mdev/unknown"), "");
	json_object_set_new(object, "attrs", mirror_json("{'mdev/weight':'1'}"));
	assert_string_equal(tree_attr_value(parent, object, "mdev/weight"), "100");
	assert_string_equal(tree_attr_value(parent, object, "nvme/queues"), "4");
	json_object_del(object, "attrs");
	assert_string_equal(tree_attr_value(parent, object, "mdev/weight"), "100");
	assert_string_equal(tree_attr_value(parent, NULL, "mdev/weight"), "100");
	json_decref(object);
}

static void test_members(void **state)
{
	json_t *object = mirror_json("{'t':'text','n':-5,'r':1.5,'b':true,'z':null}");

	assert_string_equal(tree_text(object, "t"), "text");
	assert_string_equal(tree_text(object, "n"), "");
	assert_string_equal(tree_text(object, "x"), "");
	assert_string_equal(tree_text(NULL, "t"), "");
	assert_int_equal(tree_number(object, "n", 1), -5);
	assert_int_equal(tree_number(object, "t", 1), 1);
	assert_int_equal(tree_number(object, "r", 1), 1);
	assert_int_equal(tree_number(object, "b", 1), 1);
	assert_int_equal(tree_number(object, "z", 1), 1);
	assert_int_equal(tree_number(NULL, "n", 1), 1);
	json_decref(object);
}

/* ---- Types ----------------------------------------------------------------------------------- */

static void put_types(struct tree *tree, struct tree_parent *parent, json_t *types, bool keep)
{
	assert_int_equal(tree_put_types(tree, parent, types, keep), 0);
	json_decref(types);
}

static void test_types(void **state)
{
	struct tree *tree = *state;
	struct tree_parent *parent = mirror_put_parent(tree, "p", "nvme", "nvme-a nvme-b");
	struct tree_type *a = tree_find_type(parent, "nvme-a");
	uint64_t id = a->thing.id;

	assert_int_equal(parent->type_count, 2);
	assert_ptr_equal(tree_type_by_id(tree, id), a);
	/* The same list again changes nothing; a parent without a host keeps what it had. */
	put_types(tree, parent, mirror_types("nvme-a nvme-b"), false);
	assert_ptr_equal(tree_find_type(parent, "nvme-a"), a);
	put_types(tree, parent, mirror_types(""), true);
	assert_int_equal(parent->type_count, 2);
	put_types(tree, parent, mirror_types("nvme-b nvme-c"), false);
	assert_null(tree_find_type(parent, "nvme-a"));
	assert_null(tree_type_by_id(tree, id));
	assert_int_equal(parent->type_count, 2);
	/* One that comes back is another one. */
	put_types(tree, parent, mirror_types("nvme-a"), false);
	assert_int_equal(parent->type_count, 1);
	assert_int_not_equal(tree_find_type(parent, "nvme-a")->thing.id, id);
}

static void test_types_in_use(void **state)
{
	struct tree *tree = *state;
	struct tree_parent *parent = mirror_put_parent(tree, "p", "nvme", "nvme-a nvme-b");
	struct tree_mdev *mdev = mirror_put_mdev(tree, MIRROR_A, "p", "nvme-a", 1);

	put_types(tree, parent, mirror_types(""), false);
	assert_int_equal(parent->type_count, 1);
	assert_ptr_equal(mdev->type, tree_find_type(parent, "nvme-a"));
	tree_drop_mdev(tree, mdev);
	assert_int_equal(parent->type_count, 1);
	put_types(tree, parent, mirror_types(""), false);
	assert_int_equal(parent->type_count, 0);
}

static void test_bad_types(void **state)
{
	struct tree *tree = *state;
	struct tree_parent *parent = mirror_put_parent(tree, "p", "nvme", NULL);
	char name[TREE_NAME_MAX + 2];

	put_types(tree, parent,
		  mirror_json(
			  "[7,null,[],{},{'id':7},{'id':''},{'id':'.'},{'id':'..'},{'id':'a/b'},"
			  "{'id':'a\\tb'},{'id':'x-1'},{'id':'x-1','name':'second'}]"),
		  false);
	assert_int_equal(parent->type_count, 1);
	assert_string_equal(tree_text(tree_find_type(parent, "x-1")->object, "name"), "second");
	put_types(tree, parent, mirror_json("{'id':'x-2'}"), true);
	assert_int_equal(parent->type_count, 1);
	memset(name, 't', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	put_types(tree, parent, json_pack("[{s:s},{s:s}]", "id", name, "id", name + 1), false);
	assert_int_equal(parent->type_count, 1);
	assert_non_null(tree_find_type(parent, name + 1));
}

/* ---- Mdevs ----------------------------------------------------------------------------------- */

static void test_mdevs(void **state)
{
	struct tree *tree = *state;
	struct tree_parent *p = mirror_put_parent(tree, "p", "nvme", "nvme-a nvme-b");
	struct tree_mdev *a = mirror_put_mdev(tree, MIRROR_A, "p", "nvme-a", 7);
	uint64_t id = a->thing.id;
	uint32_t changes = a->changes;
	json_t *object = mirror_mdev(MIRROR_A, "p", "nvme-a", 8, "[{'mdev/weight':'5'}]");
	struct tree_mdev *again = NULL;
	bool is_new = true;

	assert_ptr_equal(tree_find_iommu_group(tree, 7), a);
	assert_int_equal(tree_put_mdev(tree, object, &again, &is_new), 0);
	assert_ptr_equal(again, a);
	assert_false(is_new);
	assert_int_equal(a->changes, changes + 1);
	assert_int_equal(a->iommu_group, 8);
	assert_null(tree_find_iommu_group(tree, 7));
	assert_string_equal(tree_attr_value(p, a->object, "mdev/weight"), "5");
	/* Of another type it is another device. */
	json_object_set_new(object, "type", json_string("nvme-b"));
	assert_int_equal(tree_put_mdev(tree, object, &again, &is_new), 0);
	assert_true(is_new);
	assert_int_not_equal(again->thing.id, id);
	assert_null(tree_mdev_by_id(tree, id));
	assert_int_equal(tree->mdev_count, 1);
	mirror_put_parent(tree, "q", "nvme", "nvme-b");
	json_object_set_new(object, "parent", json_string("q"));
	assert_int_equal(tree_put_mdev(tree, object, &again, &is_new), 0);
	assert_true(is_new);
	assert_true(list_empty(&p->mdevs));
	tree_drop_parent(tree, p);
	assert_ptr_equal(tree_find_mdev(tree, MIRROR_A), again);
	json_decref(object);
}

/* A group is there while it has a member, and is another one afterwards. */
static void test_groups(void **state)
{
	struct tree *tree = *state;
	struct tree_parent *p = mirror_put_parent(tree, "p", "nvme", "nvme-a");
	struct tree_mdev *a;
	struct tree_mdev *b;
	struct tree_group *g;
	uint64_t id;
	uint32_t changes;

	mirror_put_parent(tree, "q", "nvme", "nvme-a");
	mirror_put_mdev(tree, MIRROR_C, "p", "nvme-a", 3);
	assert_true(list_empty(&tree->groups));
	a = mirror_put_member(tree, MIRROR_A, "p", "nvme-a", 1, MIRROR_G);
	g = tree_find_group(tree, MIRROR_G);
	assert_non_null(g);
	assert_ptr_equal(a->group, g);
	id = g->thing.id;
	assert_ptr_equal(tree_group_by_id(tree, id), g);
	assert_null(tree_mdev_by_id(tree, id));
	assert_null(tree_group_by_id(tree, a->thing.id));
	changes = g->changes;
	b = mirror_put_member(tree, MIRROR_B, "q", "nvme-a", 2, MIRROR_G);
	assert_ptr_equal(b->group, g);
	assert_int_equal(g->mdev_count, 2);
	assert_int_not_equal(g->changes, changes);
	/* The same again is no second member; of another group it is another device. */
	mirror_put_member(tree, MIRROR_B, "q", "nvme-a", 2, MIRROR_G);
	assert_int_equal(g->mdev_count, 2);
	id = b->thing.id;
	b = mirror_put_member(tree, MIRROR_B, "q", "nvme-a", 2, MIRROR_H);
	assert_int_not_equal(b->thing.id, id);
	assert_int_equal(g->mdev_count, 1);
	assert_ptr_equal(b->group, tree_find_group(tree, MIRROR_H));
	/* With its last member, also when a parent takes that along. */
	id = g->thing.id;
	tree_drop_parent(tree, p);
	assert_null(tree_find_group(tree, MIRROR_G));
	assert_null(tree_group_by_id(tree, id));
	tree_drop_mdev(tree, b);
	assert_true(list_empty(&tree->groups));
	b = mirror_put_member(tree, MIRROR_B, "q", "nvme-a", 2, MIRROR_G);
	assert_int_not_equal(b->group->thing.id, id);
	/* What is no name is no group. */
	a = mirror_put_member(tree, MIRROR_A, "q", "nvme-a", 1, "..");
	assert_null(a->group);
}

static void test_bad_mdevs(void **state)
{
	struct tree *tree = *state;
	static const struct {
		const char *change;
		int error;
	} bad[] = {
		{"{'parent':'q'}", -ENOENT},
		{"{'parent':7}", -ENOENT},
		{"{'type':'nvme-x'}", -ENOENT},
		{"{'type':null}", -ENOENT},
		{"{'uuid':null}", -EINVAL},
		{"{'uuid':''}", -EINVAL},
		{"{'uuid':'83b8f4f2-509f-382f-3c1e-e6bfe0fa100'}", -EINVAL},
		{"{'uuid':'83b8f4f2-509f-382f-3c1e-e6bfe0fa10011'}", -EINVAL},
		{"{'uuid':'83b8f4f2-509f-382f-3c1e/e6bfe0fa1001'}", -EINVAL},
		{"{'uuid':'.3b8f4f2-509f-382f-3c1e-e6bfe0fa1001'}", -EINVAL},
		{"{'uuid':'83b8f4f2-509f-382f-3c1e-e6bfe0fa100\\n'}", -EINVAL},
	};
	struct tree_mdev *mdev = NULL;
	bool is_new;

	mirror_put_parent(tree, "p", "nvme", "nvme-a");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		json_t *object = mirror_mdev(MIRROR_A, "p", "nvme-a", 1, "[]");
		json_t *patch = mirror_json(bad[i].change);

		json_object_update(object, patch);
		if (tree_put_mdev(tree, object, &mdev, &is_new) != bad[i].error)
			fail_msg("%s is taken", bad[i].change);
		json_decref(patch);
		json_decref(object);
	}
	assert_null(mdev);
	assert_int_equal(tree->mdev_count, 0);
	assert_true(list_empty(&tree->mdevs));
}

/* ---- Ids ------------------------------------------------------------------------------------- */

#define IDS_STEPS 20000

/* Whatever comes and goes: an id is of one thing, once, and of one kind. */
static void test_ids(void **state)
{
	struct tree *tree = *state;
	static const char *const parents[] = {"a", "b", "0000:86:00.0"};
	static const char *const drivers[] = {"nvme", "null"};
	static const char *const types[] = {"t-1 t-2", "t-2", "t-1 t-3", "t-1 t-2 t-3"};
	static const char *const uuids[] = {MIRROR_A, MIRROR_B, MIRROR_C};
	uint64_t seed = mirror_seed();
	uint64_t last = 0;

	for (unsigned i = 0; i < IDS_STEPS; i++) {
		const char *name = parents[mirror_random(&seed) % 3];
		struct tree_parent *parent = tree_find_parent(tree, name);
		struct tree_mdev *mdev = tree_find_mdev(tree, uuids[mirror_random(&seed) % 3]);
		struct tree_type *type = NULL;
		uint64_t before = tree->next_id;
		uint64_t gone = 0;

		switch (mirror_random(&seed) % 4) {
		case 0:
			gone = mdev ? mdev->thing.id : 0;
			if (mdev)
				tree_drop_mdev(tree, mdev);
			break;
		case 1:
			gone = parent && i % 5 == 0 ? parent->thing.id : 0;
			if (gone)
				tree_drop_parent(tree, parent);
			break;
		case 2:
			mirror_put_parent(tree, name, drivers[mirror_random(&seed) % 20 == 0],
					  types[mirror_random(&seed) % 4]);
			break;
		default:
			if (parent && parent->type_count > 0)
				type = list_first(&parent->types, struct tree_type, link);
			if (type)
				mdev = mirror_put_mdev(tree, uuids[i % 3], name, type->name, i);
			if (type && tree->next_id > before) {
				assert_true(mdev->thing.id > last);
				last = mdev->thing.id;
				assert_ptr_equal(tree_mdev_by_id(tree, last), mdev);
				assert_null(tree_type_by_id(tree, last));
				assert_null(tree_parent_by_id(tree, last));
			}
		}
		assert_null(tree_mdev_by_id(tree, gone));
		assert_null(tree_parent_by_id(tree, gone));
		assert_true(tree->next_id >= before);
	}
	assert_true(last > 0);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_parents),
		WITH(test_renew_parent),
		WITH(test_parent_of_another_driver),
		WITH(test_bad_parents),
		WITH(test_long_names),
		WITH(test_many_drivers),
		WITH(test_reserved_drivers),
		WITH(test_attributes),
		WITH(test_values),
		WITH(test_members),
		WITH(test_types),
		WITH(test_types_in_use),
		WITH(test_bad_types),
		WITH(test_mdevs),
		WITH(test_groups),
		WITH(test_bad_mdevs),
		WITH(test_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
