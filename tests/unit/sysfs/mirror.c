/* SPDX-License-Identifier: BSD-3-Clause */
/* See mirror.h. */
#include "mirror.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/address.h"

json_t *mirror_json(const char *text)
{
	char *copy = strdup(text);
	json_error_t where;
	json_t *json;

	assert_non_null(copy);
	for (char *c = copy; *c; c++) {
		if (*c == '\'')
			*c = '"';
	}
	json = json_loads(copy, JSON_DECODE_ANY, &where);
	if (!json)
		fail_msg("%s: %s", copy, where.text);
	free(copy);
	return json;
}

json_t *mirror_parent(const char *name, const char *driver)
{
	char path[ADDRESS_PATH_SIZE];
	char queues[300];
	struct address address;
	json_t *object;

	address_of(name, &address);
	address_path(&address, name, path);
	snprintf(queues, sizeof(queues), "%s/queues", driver);
	object = json_pack(
		"{s:s,s:s,s:s,s:s,s:s,s:o,s:[{s:s,s:s,s:s,s:s},{s:s,s:s,s:s},{s:s,s:s,s:s,s:s}]}",
		"name", name, "driver", driver, "state", "ready", "path", path, "subsystem",
		address_subsystem(&address), "pci", address_print_pci(&address, "storage"),
		"attributes", "name", "mdev/weight", "description", "x", "default", "100", "when",
		"live", "name", "mdev/note", "description", "x", "when", "create", "name", queues,
		"description", "x", "default", "4", "when", "create");
	assert_non_null(object);
	return object;
}

json_t *mirror_types(const char *ids)
{
	json_t *types = json_array();
	char *copy = strdup(ids);
	char *rest = copy;
	char *id;

	while ((id = strsep(&rest, " "))) {
		if (!id[0])
			continue;
		assert_int_equal(
			json_array_append_new(
				types,
				json_pack(
					"{s:s,s:s,s:s,s:s,s:i,s:i,s:s,s:b,s:b,s:[s,s],s:{s:s,s:s}}",
					"id", id, "name", "a name", "class", "storage",
					"device_api", "vfio-pci", "available_instances", 3,
					"max_instances", 4, "group_scope", "none", "requires_group",
					0, "group_hotplug", 1, "qos", "cap", "weight", "attributes",
					"capacity", "1024", "block_size", "512")),
			0);
	}
	free(copy);
	return types;
}

json_t *mirror_mdev(const char *uuid, const char *parent, const char *type, unsigned group,
		    const char *attrs)
{
	json_t *object = json_pack("{s:s,s:s,s:s,s:b,s:b,s:s,s:s,s:I,s:o}", "uuid", uuid, "parent",
				   parent, "type", type, "active", 1, "in_use", 0, "class",
				   "storage", "socket", "/run/x.sock", "iommu_group",
				   (json_int_t)group, "attrs", mirror_json(attrs));

	assert_non_null(object);
	return object;
}

struct tree_parent *mirror_put_parent(struct tree *tree, const char *name, const char *driver,
				      const char *types)
{
	json_t *object = mirror_parent(name, driver);
	struct tree_parent *parent = NULL;
	json_t *list;

	assert_int_equal(tree_put_parent(tree, object, &parent), 0);
	json_decref(object);
	if (types) {
		list = mirror_types(types);
		assert_int_equal(tree_put_types(tree, parent, list, false), 0);
		json_decref(list);
	}
	return parent;
}

struct tree_mdev *mirror_put_mdev(struct tree *tree, const char *uuid, const char *parent,
				  const char *type, unsigned group)
{
	json_t *object = mirror_mdev(uuid, parent, type, group, "[]");
	struct tree_mdev *mdev = NULL;
	bool is_new;

	assert_int_equal(tree_put_mdev(tree, object, &mdev, &is_new), 0);
	json_decref(object);
	return mdev;
}

json_t *mirror_member(const char *uuid, const char *parent, const char *type, unsigned iommu_group,
		      const char *group)
{
	json_t *object = mirror_mdev(uuid, parent, type, iommu_group, "[]");

	assert_int_equal(json_object_set_new(object, "group", json_string(group)), 0);
	return object;
}

struct tree_mdev *mirror_put_member(struct tree *tree, const char *uuid, const char *parent,
				    const char *type, unsigned iommu_group, const char *group)
{
	json_t *object = mirror_member(uuid, parent, type, iommu_group, group);
	struct tree_mdev *mdev = NULL;
	bool is_new;

	assert_int_equal(tree_put_mdev(tree, object, &mdev, &is_new), 0);
	json_decref(object);
	return mdev;
}

uint64_t mirror_random(uint64_t *seed)
{
	uint64_t x = *seed += UINT64_C(0x9e3779b97f4a7c15); /* SplitMix64 */

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

uint64_t mirror_seed(void)
{
	const char *given = getenv("SYSFS_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : 1;

	print_message("SYSFS_SEED=%llu\n", (unsigned long long)seed);
	return seed;
}
