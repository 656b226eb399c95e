/* SPDX-License-Identifier: BSD-3-Clause */
/* The mirror of what the daemon has. See tree.h. */
#include "sysfs/tree.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The lowest bits of an id tell what it is of. */
enum tree_kind { TREE_GROUP, TREE_PARENT, TREE_TYPE, TREE_MDEV };
#define TREE_KIND(id) ((id)&3u)

static uint32_t tree_hash(const char *text)
{
	uint32_t hash = 2166136261u; /* FNV-1a, 32 bits */

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 16777619u;
	return hash % TREE_BUCKETS;
}

void tree_init(struct tree *tree)
{
	list_init(&tree->parents);
	list_init(&tree->mdevs);
	list_init(&tree->groups);
	for (size_t i = 0; i < TREE_BUCKETS; i++) {
		list_init(&tree->ids[i]);
		list_init(&tree->uuids[i]);
	}
	tree->driver_count = 0;
	tree->next_id = 1;
	tree->mdev_count = 0;
}

void tree_done(struct tree *tree)
{
	while (!list_empty(&tree->parents))
		tree_drop_parent(tree, list_first(&tree->parents, struct tree_parent, link));
	while (tree->driver_count > 0)
		free(tree->drivers[--tree->driver_count]);
}

/* ---- Ids ------------------------------------------------------------------------------------- */

static void tree_add_thing(struct tree *tree, struct tree_thing *thing, enum tree_kind kind)
{
	thing->id = tree->next_id++ << 2 | kind;
	list_add_tail(&tree->ids[(thing->id >> 2) % TREE_BUCKETS], &thing->bucket);
}

static struct tree_thing *tree_thing_by_id(const struct tree *tree, uint64_t id,
					   enum tree_kind kind)
{
	const struct list *bucket = &tree->ids[(id >> 2) % TREE_BUCKETS];
	struct tree_thing *thing;

	if (TREE_KIND(id) != kind)
		return NULL;
	list_for_each (thing, bucket, bucket) {
		if (thing->id == id)
			return thing;
	}
	return NULL;
}

struct tree_parent *tree_parent_by_id(const struct tree *tree, uint64_t id)
{
	struct tree_thing *thing = tree_thing_by_id(tree, id, TREE_PARENT);

	return thing ? container_of(thing, struct tree_parent, thing) : NULL;
}

struct tree_type *tree_type_by_id(const struct tree *tree, uint64_t id)
{
	struct tree_thing *thing = tree_thing_by_id(tree, id, TREE_TYPE);

	return thing ? container_of(thing, struct tree_type, thing) : NULL;
}

struct tree_mdev *tree_mdev_by_id(const struct tree *tree, uint64_t id)
{
	struct tree_thing *thing = tree_thing_by_id(tree, id, TREE_MDEV);

	return thing ? container_of(thing, struct tree_mdev, thing) : NULL;
}

struct tree_group *tree_group_by_id(const struct tree *tree, uint64_t id)
{
	struct tree_thing *thing = tree_thing_by_id(tree, id, TREE_GROUP);

	return thing ? container_of(thing, struct tree_group, thing) : NULL;
}

/* ---- Values ---------------------------------------------------------------------------------- */

const char *tree_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

int64_t tree_number(const json_t *object, const char *key, int64_t missing)
{
	const json_t *value = json_object_get(object, key);

	return json_is_integer(value) ? json_integer_value(value) : missing;
}

bool tree_name_ok(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > TREE_NAME_MAX || name[0] == '.')
		return false;
	for (; *name; name++) {
		if (*name == '/' || iscntrl((unsigned char)*name))
			return false;
	}
	return true;
}

/* ---- Parents --------------------------------------------------------------------------------- */

static void tree_free_attrs(struct tree_attr *attrs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(attrs[i].name);
		free(attrs[i].description);
		free(attrs[i].fallback);
	}
	free(attrs);
}

/* "nvme/queues": one directory and a file in it. */
static bool tree_attr_name_ok(const char *name)
{
	const char *slash = strchr(name, '/');
	char dir[TREE_NAME_MAX + 1];
	size_t len = slash ? (size_t)(slash - name) : 0;

	if (len == 0 || len > TREE_NAME_MAX)
		return false;
	memcpy(dir, name, len);
	dir[len] = '\0';
	return tree_name_ok(dir) && tree_name_ok(slash + 1);
}

static bool tree_attr_there(const struct tree_attr *attrs, size_t count, const char *name)
{
	while (count > 0) {
		if (strcmp(attrs[--count].name, name) == 0)
			return true;
	}
	return false;
}

static int tree_take_attrs(const json_t *list, struct tree_attr **ret_attrs, size_t *ret_count)
{
	size_t max = MIN(json_array_size(list), (size_t)TREE_ATTRS_MAX);
	struct tree_attr *attrs = calloc(max + 1, sizeof(*attrs));
	size_t count = 0;

	if (!attrs)
		return -ENOMEM;
	for (size_t i = 0; i < max; i++) {
		const json_t *row = json_array_get(list, i);
		const char *fallback = json_string_value(json_object_get(row, "default"));
		struct tree_attr *attr = &attrs[count];

		if (!tree_attr_name_ok(tree_text(row, "name")) ||
		    tree_attr_there(attrs, count, tree_text(row, "name")))
			continue;
		attr->name = strdup(tree_text(row, "name"));
		attr->description = strdup(tree_text(row, "description"));
		attr->fallback = fallback ? strdup(fallback) : NULL;
		count++;
		if (!attr->name || !attr->description || (fallback && !attr->fallback)) {
			tree_free_attrs(attrs, count);
			return -ENOMEM;
		}
	}
	*ret_attrs = attrs;
	*ret_count = count;
	return 0;
}

static void tree_free_parent(struct tree_parent *parent)
{
	free(parent->name);
	free(parent->driver);
	free(parent->path);
	json_decref(parent->pci);
	tree_free_attrs(parent->attrs, parent->attr_count);
	free(parent);
}

/* Whether @path is where the parent @name of @object is looked for: a PCI device below the bus that
 * it has in its name, any other among those of mtty. */
static bool tree_path_ok(const json_t *object, const char *path, const char *name)
{
	const json_t *pci = json_object_get(object, "pci");
	int64_t domain = tree_number(pci, "domain", -1);
	int64_t bus = tree_number(pci, "bus", -1);
	char place[TREE_PATH_MAX];
	char address[16];
	int n;

	if (strcmp(tree_text(object, "subsystem"), "pci") != 0) {
		n = snprintf(place, sizeof(place), "/sys/devices/virtual/mtty/%s", name);
		return (size_t)n < sizeof(place) && strcmp(path, place) == 0;
	}
	if (domain < 0 || domain > UINT32_MAX || bus < 0 || bus > UINT8_MAX)
		return false;
	n = snprintf(address, sizeof(address), "%04x:%02x:", (unsigned)domain, (unsigned)bus);
	if (strncmp(name, address, (size_t)n) != 0)
		return false;
	n = snprintf(place, sizeof(place), "/sys/devices/pci%04x:%02x/%s", (unsigned)domain,
		     (unsigned)bus, name);
	return (size_t)n < sizeof(place) && strcmp(path, place) == 0;
}

static int tree_new_parent(const json_t *object, struct tree_parent **ret)
{
	const char *name = tree_text(object, "name");
	const char *path = tree_text(object, "path");
	struct tree_parent *parent;
	int r;

	if (!tree_name_ok(name) || !tree_name_ok(tree_text(object, "driver")) ||
	    !json_is_object(json_object_get(object, "pci")) || !tree_path_ok(object, path, name))
		return -EINVAL;
	parent = calloc(1, sizeof(*parent));
	if (!parent)
		return -ENOMEM;
	list_init(&parent->types);
	list_init(&parent->mdevs);
	parent->name = strdup(name);
	parent->driver = strdup(tree_text(object, "driver"));
	parent->path = strdup(path + 1);
	parent->pci = json_incref(json_object_get(object, "pci"));
	parent->is_pci = strcmp(tree_text(object, "subsystem"), "pci") == 0;
	r = tree_take_attrs(json_object_get(object, "attributes"), &parent->attrs,
			    &parent->attr_count);
	if (r < 0 || !parent->name || !parent->driver || !parent->path) {
		tree_free_parent(parent);
		return -ENOMEM;
	}
	*ret = parent;
	return 0;
}

/* The facts of @from take the place of those of @parent, whose name and place stay. */
static void tree_renew_parent(struct tree_parent *parent, struct tree_parent *from)
{
	json_t *pci = parent->pci;
	struct tree_attr *attrs = parent->attrs;
	size_t count = parent->attr_count;

	parent->pci = from->pci;
	parent->attrs = from->attrs;
	parent->attr_count = from->attr_count;
	from->pci = pci;
	from->attrs = attrs;
	from->attr_count = count;
	tree_free_parent(from);
}

/* Gives the driver a number. -ENOSPC for one too many. */
static int tree_number_driver(struct tree *tree, const char *driver, size_t *ret_number)
{
	size_t i = 0;

	while (i < tree->driver_count && strcmp(tree->drivers[i], driver) != 0)
		i++;
	if (i == TREE_DRIVERS_MAX)
		return -ENOSPC;
	if (i == tree->driver_count) {
		tree->drivers[i] = strdup(driver);
		if (!tree->drivers[i])
			return -ENOMEM;
		tree->driver_count++;
	}
	*ret_number = i;
	return 0;
}

int tree_put_parent(struct tree *tree, const json_t *object, struct tree_parent **ret_parent)
{
	struct tree_parent *fresh = NULL;
	struct tree_parent *parent;
	struct tree_parent *after;
	int r = tree_new_parent(object, &fresh);

	if (r < 0)
		return r;
	r = tree_number_driver(tree, fresh->driver, &fresh->driver_number);
	if (r < 0) {
		tree_free_parent(fresh);
		return r;
	}
	parent = tree_find_parent(tree, fresh->name);
	if (parent && strcmp(parent->driver, fresh->driver) == 0 &&
	    strcmp(parent->path, fresh->path) == 0) {
		tree_renew_parent(parent, fresh);
		*ret_parent = parent;
		return 0;
	}
	if (parent)
		tree_drop_parent(tree, parent);
	tree_add_thing(tree, &fresh->thing, TREE_PARENT);
	list_for_each (after, &tree->parents, link) {
		if (strcmp(after->name, fresh->name) > 0)
			break;
	}
	list_add_tail(&after->link, &fresh->link);
	*ret_parent = fresh;
	return 0;
}

static void tree_drop_type(struct tree_type *type)
{
	list_del(&type->link);
	list_del(&type->thing.bucket);
	type->parent->type_count--;
	json_decref(type->object);
	free(type->name);
	free(type);
}

void tree_drop_parent(struct tree *tree, struct tree_parent *parent)
{
	while (!list_empty(&parent->mdevs))
		tree_drop_mdev(tree, list_first(&parent->mdevs, struct tree_mdev, parent_link));
	while (!list_empty(&parent->types))
		tree_drop_type(list_first(&parent->types, struct tree_type, link));
	list_del(&parent->link);
	list_del(&parent->thing.bucket);
	tree_free_parent(parent);
}

struct tree_parent *tree_find_parent(const struct tree *tree, const char *name)
{
	struct tree_parent *parent;

	list_for_each (parent, &tree->parents, link) {
		if (strcmp(parent->name, name) == 0)
			return parent;
	}
	return NULL;
}

/* ---- Types ----------------------------------------------------------------------------------- */

struct tree_type *tree_find_type(const struct tree_parent *parent, const char *name)
{
	struct tree_type *type;

	list_for_each (type, &parent->types, link) {
		if (strcmp(type->name, name) == 0)
			return type;
	}
	return NULL;
}

static int tree_put_type(struct tree *tree, struct tree_parent *parent, json_t *object)
{
	const char *id = tree_text(object, "id");
	struct tree_type *type = tree_find_type(parent, id);

	if (!tree_name_ok(id))
		return 0;
	if (!type) {
		type = calloc(1, sizeof(*type));
		if (type)
			type->name = strdup(id);
		if (!type || !type->name) {
			free(type);
			return -ENOMEM;
		}
		type->parent = parent;
		list_init(&type->mdevs);
		tree_add_thing(tree, &type->thing, TREE_TYPE);
		list_add_tail(&parent->types, &type->link);
		parent->type_count++;
	}
	json_decref(type->object);
	type->object = json_incref(object);
	type->seen = true;
	return 0;
}

int tree_put_types(struct tree *tree, struct tree_parent *parent, const json_t *types, bool keep)
{
	struct tree_type *type;
	struct tree_type *tmp;
	size_t i;
	json_t *object;

	list_for_each (type, &parent->types, link)
		type->seen = false;
	json_array_foreach (types, i, object) {
		if (tree_put_type(tree, parent, object) < 0)
			return -ENOMEM;
	}
	list_for_each_safe (type, tmp, &parent->types, link) {
		if (!type->seen && !keep && list_empty(&type->mdevs))
			tree_drop_type(type);
	}
	return 0;
}

/* ---- Groups ---------------------------------------------------------------------------------- */

struct tree_group *tree_find_group(const struct tree *tree, const char *uuid)
{
	struct tree_group *group;

	list_for_each (group, &tree->groups, link) {
		if (strcmp(group->uuid, uuid) == 0)
			return group;
	}
	return NULL;
}

/* The group goes with its last member. */
static void tree_leave_group(struct tree_mdev *mdev)
{
	struct tree_group *group = mdev->group;

	if (!group)
		return;
	list_del(&mdev->group_link);
	mdev->group = NULL;
	group->changes++;
	if (--group->mdev_count > 0)
		return;
	list_del(&group->link);
	list_del(&group->thing.bucket);
	free(group);
}

/* ... and comes with its first. */
static int tree_join_group(struct tree *tree, struct tree_mdev *mdev, const char *uuid)
{
	struct tree_group *group = tree_find_group(tree, uuid);

	if (strlen(uuid) != TREE_UUID_SIZE - 1 || !tree_name_ok(uuid))
		return 0; /* "": none */
	if (!group) {
		group = calloc(1, sizeof(*group));
		if (!group)
			return -ENOMEM;
		memcpy(group->uuid, uuid, sizeof(group->uuid));
		list_init(&group->mdevs);
		tree_add_thing(tree, &group->thing, TREE_GROUP);
		list_add_tail(&tree->groups, &group->link);
	}
	list_add_tail(&group->mdevs, &mdev->group_link);
	mdev->group = group;
	group->mdev_count++;
	group->changes++;
	return 0;
}

const char *tree_group_of(const json_t *object)
{
	return tree_text(object, "group");
}

/* ---- Mdevs ----------------------------------------------------------------------------------- */

struct tree_mdev *tree_find_mdev(const struct tree *tree, const char *uuid)
{
	struct tree_mdev *mdev;

	list_for_each (mdev, &tree->uuids[tree_hash(uuid)], uuid_link) {
		if (strcmp(mdev->uuid, uuid) == 0)
			return mdev;
	}
	return NULL;
}

struct tree_mdev *tree_find_iommu_group(const struct tree *tree, uint32_t group)
{
	struct tree_mdev *mdev;

	list_for_each (mdev, &tree->mdevs, link) {
		if (mdev->iommu_group == group)
			return mdev;
	}
	return NULL;
}

void tree_drop_mdev(struct tree *tree, struct tree_mdev *mdev)
{
	list_del(&mdev->link);
	list_del(&mdev->uuid_link);
	list_del(&mdev->parent_link);
	list_del(&mdev->type_link);
	list_del(&mdev->thing.bucket);
	tree_leave_group(mdev);
	tree->mdev_count--;
	json_decref(mdev->object);
	free(mdev);
}

static int tree_new_mdev(struct tree *tree, const char *uuid, struct tree_type *type,
			 struct tree_mdev **ret_mdev)
{
	struct tree_mdev *mdev = calloc(1, sizeof(*mdev));

	if (!mdev)
		return -ENOMEM;
	snprintf(mdev->uuid, sizeof(mdev->uuid), "%s", uuid);
	mdev->parent = type->parent;
	mdev->type = type;
	tree_add_thing(tree, &mdev->thing, TREE_MDEV);
	list_add_tail(&tree->mdevs, &mdev->link);
	list_add_tail(&tree->uuids[tree_hash(uuid)], &mdev->uuid_link);
	list_add_tail(&type->parent->mdevs, &mdev->parent_link);
	list_add_tail(&type->mdevs, &mdev->type_link);
	tree->mdev_count++;
	*ret_mdev = mdev;
	return 0;
}

int tree_put_mdev(struct tree *tree, const json_t *object, struct tree_mdev **ret_mdev,
		  bool *ret_new)
{
	const char *uuid = tree_text(object, "uuid");
	struct tree_parent *parent = tree_find_parent(tree, tree_text(object, "parent"));
	struct tree_type *type = parent ? tree_find_type(parent, tree_text(object, "type")) : NULL;
	struct tree_mdev *mdev;

	if (strlen(uuid) != TREE_UUID_SIZE - 1 || !tree_name_ok(uuid))
		return -EINVAL;
	if (!type)
		return -ENOENT;
	mdev = tree_find_mdev(tree, uuid);
	if (mdev && (mdev->type != type ||
		     strcmp(mdev->group ? mdev->group->uuid : "", tree_group_of(object)) != 0)) {
		tree_drop_mdev(tree, mdev);
		mdev = NULL;
	}
	*ret_new = !mdev;
	if (!mdev && tree_new_mdev(tree, uuid, type, &mdev) < 0)
		return -ENOMEM;
	if (*ret_new && tree_join_group(tree, mdev, tree_group_of(object)) < 0) {
		tree_drop_mdev(tree, mdev);
		return -ENOMEM;
	}
	json_decref(mdev->object);
	mdev->object = json_incref((json_t *)(uintptr_t)object);
	mdev->iommu_group = (uint32_t)tree_number(object, "iommu_group", 0);
	mdev->changes++;
	*ret_mdev = mdev;
	return 0;
}

const char *tree_attr_value(const struct tree_parent *parent, const json_t *object,
			    const char *name)
{
	const json_t *attrs = json_object_get(object, "attrs");

	/* The last of several is the one that counts. */
	for (size_t i = json_array_size(attrs); i > 0; i--) {
		const char *value =
			json_string_value(json_object_get(json_array_get(attrs, i - 1), name));

		if (value)
			return value;
	}
	for (size_t i = 0; i < parent->attr_count; i++) {
		const struct tree_attr *attr = &parent->attrs[i];

		if (strcmp(attr->name, name) == 0)
			return attr->fallback ? attr->fallback : "";
	}
	return "";
}
