/* SPDX-License-Identifier: BSD-3-Clause */
/* Places of the tree and their entries. See node.h. */
#include "sysfs/node.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sysfs/attr.h"

/* A number is a kind, a row and an object. */
#define NODE_KIND_SHIFT	    56
#define NODE_ROW_SHIFT	    44
#define NODE_OBJECT_MASK    ((UINT64_C(1) << NODE_ROW_SHIFT) - 1)
#define NODE_NUMBER_OF_ROOT 1u

/* Whose places a kind has: one for all, or one for each thing of a kind. */
enum node_of { OF_NOBODY, OF_PARENT, OF_TYPE, OF_MDEV, OF_GROUP, OF_DRIVER, OF_PCI_BUS };

/* What the entries of a changing directory are. */
typedef void node_list_fn(const struct subject *s, struct node dir, node_emit_fn *emit, void *data);

/* Finds one of them without looking at all. NULL in the table: by node_list_fn. */
typedef bool node_find_fn(const struct subject *s, struct node dir, const char *name,
			  struct node *ret_node);

struct node_info {
	const char *name; /* in the directory above it; NULL where that depends on the thing */
	enum node_kind up;
	enum node_of of;
	bool link;
	node_list_fn *list;
	node_find_fn *find;
	const char *path; /* for people */
};

static enum node_kind node_find_fixed(enum node_kind kind, const char *name);

/* ---- Entries of changing directories --------------------------------------------------------- */

static bool node_emit_parent(node_emit_fn *emit, void *data, enum node_kind kind,
			     const struct tree_parent *parent)
{
	return emit(data, parent->name, (struct node){kind, 0, parent->thing.id});
}

static bool node_emit_mdev(node_emit_fn *emit, void *data, enum node_kind kind,
			   const struct tree_mdev *mdev)
{
	return emit(data, mdev->uuid, (struct node){kind, 0, mdev->thing.id});
}

static void node_list_mdev_bus(const struct subject *s, struct node dir, node_emit_fn *emit,
			       void *data)
{
	const struct tree_parent *p;

	list_for_each (p, &s->tree->parents, link) {
		if (p->type_count > 0 && !node_emit_parent(emit, data, NODE_LINK_MDEV_BUS, p))
			return;
	}
}

static void node_list_mtty(const struct subject *s, struct node dir, node_emit_fn *emit, void *data)
{
	enum node_kind kind = dir.kind == NODE_CLASS_MTTY ? NODE_LINK_MTTY : NODE_PARENT;
	const struct tree_parent *p;

	list_for_each (p, &s->tree->parents, link) {
		if (!p->is_pci && !node_emit_parent(emit, data, kind, p))
			return;
	}
}

static void node_list_pci_devices(const struct subject *s, struct node dir, node_emit_fn *emit,
				  void *data)
{
	const struct tree_parent *p;

	list_for_each (p, &s->tree->parents, link) {
		if (p->is_pci && !node_emit_parent(emit, data, NODE_LINK_PCI, p))
			return;
	}
}

static void node_list_mdevs(const struct subject *s, struct node dir, node_emit_fn *emit,
			    void *data)
{
	const struct tree_mdev *m;

	list_for_each (m, &s->tree->mdevs, link) {
		if (!node_emit_mdev(emit, data, NODE_LINK_MDEV, m))
			return;
	}
}

static bool node_find_mdev(const struct subject *s, struct node dir, const char *name,
			   struct node *ret_node)
{
	const struct tree_mdev *m = tree_find_mdev(s->tree, name);
	enum node_kind kind = NODE_LINK_MDEV;

	if (!m)
		return false;
	if (dir.kind == NODE_BUS_MDEV_DRIVER) {
		kind = NODE_LINK_MDEV_DRIVER;
		if (m->parent->driver_number != dir.object)
			return false;
	} else if (dir.kind == NODE_TYPE_DEVICES) {
		kind = NODE_LINK_TYPE;
		if (m->type != s->type)
			return false;
	} else if (dir.kind == NODE_PARENT) {
		kind = NODE_MDEV;
		if (m->parent != s->parent)
			return false;
	} else if (dir.kind == NODE_IOMMU_GROUP_DEVICES) {
		kind = NODE_LINK_IOMMU;
		if (m != s->mdev)
			return false;
	} else if (dir.kind == NODE_GROUP_DEVICES) {
		kind = NODE_LINK_MEMBER;
		if (m->group != s->group)
			return false;
	}
	*ret_node = (struct node){kind, 0, m->thing.id};
	return true;
}

static bool node_driver_used(const struct tree *tree, size_t number)
{
	const struct tree_parent *p;

	list_for_each (p, &tree->parents, link) {
		if (p->driver_number == number)
			return true;
	}
	return false;
}

static void node_list_drivers(const struct subject *s, struct node dir, node_emit_fn *emit,
			      void *data)
{
	enum node_kind kind =
		dir.kind == NODE_BUS_PCI_DRIVERS ? NODE_BUS_PCI_DRIVER : NODE_BUS_MDEV_DRIVER;

	for (size_t i = 0; i < s->tree->driver_count; i++) {
		if (node_driver_used(s->tree, i) &&
		    !emit(data, s->tree->drivers[i], (struct node){kind, 0, i}))
			return;
	}
}

static void node_list_driver_mdevs(const struct subject *s, struct node dir, node_emit_fn *emit,
				   void *data)
{
	const struct tree_mdev *m;

	list_for_each (m, &s->tree->mdevs, link) {
		if (m->parent->driver_number == dir.object &&
		    !node_emit_mdev(emit, data, NODE_LINK_MDEV_DRIVER, m))
			return;
	}
}

static void node_list_driver_parents(const struct subject *s, struct node dir, node_emit_fn *emit,
				     void *data)
{
	const struct tree_parent *p;

	list_for_each (p, &s->tree->parents, link) {
		if (p->driver_number == dir.object &&
		    !node_emit_parent(emit, data, NODE_LINK_PCI_DRIVER, p))
			return;
	}
}

/* The number of the PCI bus that a parent is on. */
static uint64_t node_pci_bus(const struct tree_parent *parent)
{
	return (uint64_t)tree_number(parent->pci, "domain", 0) << 8 |
	       ((uint64_t)tree_number(parent->pci, "bus", 0) & 0xffu);
}

static void node_list_devices(const struct subject *s, struct node dir, node_emit_fn *emit,
			      void *data)
{
	const struct tree_parent *p;
	uint64_t last = UINT64_MAX;

	/* Parents are in the order of their names, and so of their buses. */
	list_for_each (p, &s->tree->parents, link) {
		uint64_t bus = node_pci_bus(p);
		char name[32];

		if (!p->is_pci || bus == last)
			continue;
		last = bus;
		snprintf(name, sizeof(name), "pci%04llx:%02x", (unsigned long long)(bus >> 8),
			 (unsigned)(bus & 0xffu));
		if (!emit(data, name, (struct node){NODE_DEVICES_PCI, 0, bus}))
			return;
	}
}

static bool node_pci_bus_used(const struct tree *tree, uint64_t bus)
{
	const struct tree_parent *p;

	list_for_each (p, &tree->parents, link) {
		if (p->is_pci && node_pci_bus(p) == bus)
			return true;
	}
	return false;
}

static void node_list_pci_bus(const struct subject *s, struct node dir, node_emit_fn *emit,
			      void *data)
{
	const struct tree_parent *p;

	list_for_each (p, &s->tree->parents, link) {
		if (p->is_pci && node_pci_bus(p) == dir.object &&
		    !node_emit_parent(emit, data, NODE_PARENT, p))
			return;
	}
}

static void node_list_parent(const struct subject *s, struct node dir, node_emit_fn *emit,
			     void *data)
{
	const struct tree_mdev *m;

	list_for_each (m, &s->parent->mdevs, parent_link) {
		if (!node_emit_mdev(emit, data, NODE_MDEV, m))
			return;
	}
}

static void node_list_types(const struct subject *s, struct node dir, node_emit_fn *emit,
			    void *data)
{
	const struct tree_type *t;

	list_for_each (t, &s->parent->types, link) {
		if (!emit(data, t->name, (struct node){NODE_TYPE, 0, t->thing.id}))
			return;
	}
}

static void node_list_type_devices(const struct subject *s, struct node dir, node_emit_fn *emit,
				   void *data)
{
	const struct tree_mdev *m;

	list_for_each (m, &s->type->mdevs, type_link) {
		if (!node_emit_mdev(emit, data, NODE_LINK_TYPE, m))
			return;
	}
}

/* Whether an mdev has a directory of the driver's own attributes: if there are any, and nothing
 * else has the driver's name. */
static bool node_has_driver_dir(const struct subject *s)
{
	uint32_t rows = attr_count(s, NODE_MDEV_DRIVER);
	struct attr made;

	if (node_find_fixed(NODE_MDEV, s->parent->driver) != NODE_ROOT ||
	    attr_find(s, NODE_MDEV, s->parent->driver) > 0)
		return false;
	for (uint32_t row = 1; row <= rows; row++) {
		if (attr_of(s, (struct node){NODE_MDEV_DRIVER, row, 0}, &made))
			return true;
	}
	return false;
}

static void node_list_mdev(const struct subject *s, struct node dir, node_emit_fn *emit, void *data)
{
	if (node_has_driver_dir(s))
		emit(data, s->parent->driver, (struct node){NODE_MDEV_DRIVER, 0, dir.object});
}

static void node_list_iommu_groups(const struct subject *s, struct node dir, node_emit_fn *emit,
				   void *data)
{
	const struct tree_mdev *m;

	list_for_each (m, &s->tree->mdevs, link) {
		char name[16];

		snprintf(name, sizeof(name), "%u", m->iommu_group);
		if (!emit(data, name, (struct node){NODE_IOMMU_GROUP, 0, m->thing.id}))
			return;
	}
}

static bool node_find_iommu_group(const struct subject *s, struct node dir, const char *name,
				  struct node *ret_node)
{
	char *end;
	unsigned long group = strtoul(name, &end, 10);
	const struct tree_mdev *m;
	char same[24];

	snprintf(same, sizeof(same), "%lu", group);
	if (*end || strcmp(same, name) != 0 || group > UINT32_MAX)
		return false;
	m = tree_find_iommu_group(s->tree, (uint32_t)group);
	if (m)
		*ret_node = (struct node){NODE_IOMMU_GROUP, 0, m->thing.id};
	return m != NULL;
}

static void node_list_iommu_devices(const struct subject *s, struct node dir, node_emit_fn *emit,
				    void *data)
{
	node_emit_mdev(emit, data, NODE_LINK_IOMMU, s->mdev);
}

static void node_list_groups(const struct subject *s, struct node dir, node_emit_fn *emit,
			     void *data)
{
	const struct tree_group *g;

	list_for_each (g, &s->tree->groups, link) {
		if (!emit(data, g->uuid, (struct node){NODE_GROUP, 0, g->thing.id}))
			return;
	}
}

static bool node_find_group(const struct subject *s, struct node dir, const char *name,
			    struct node *ret_node)
{
	const struct tree_group *g = tree_find_group(s->tree, name);

	if (g)
		*ret_node = (struct node){NODE_GROUP, 0, g->thing.id};
	return g != NULL;
}

static void node_list_members(const struct subject *s, struct node dir, node_emit_fn *emit,
			      void *data)
{
	const struct tree_mdev *m;

	list_for_each (m, &s->group->mdevs, group_link) {
		if (!node_emit_mdev(emit, data, NODE_LINK_MEMBER, m))
			return;
	}
}

/* ---- The table ------------------------------------------------------------------------------- */

#define NODE_DIR(the_name, the_up, ...)                                                            \
	{                                                                                          \
		.name = (the_name), .up = (the_up), __VA_ARGS__                                    \
	}
#define NODE_LINK(the_up, the_of)                                                                  \
	{                                                                                          \
		.up = (the_up), .of = (the_of), .link = true                                       \
	}

static const struct node_info node_infos[] = {
	[NODE_ROOT] = NODE_DIR(NULL, NODE_ROOT),
	[NODE_SYS] = NODE_DIR("sys", NODE_ROOT),
	[NODE_CLASS] = NODE_DIR("class", NODE_SYS),
	[NODE_CLASS_MDEV_BUS] = NODE_DIR("mdev_bus", NODE_CLASS, .list = node_list_mdev_bus),
	[NODE_CLASS_MTTY] = NODE_DIR("mtty", NODE_CLASS, .list = node_list_mtty),
	[NODE_BUS] = NODE_DIR("bus", NODE_SYS),
	[NODE_BUS_MDEV] = NODE_DIR("mdev", NODE_BUS),
	[NODE_BUS_MDEV_DEVICES] =
		NODE_DIR("devices", NODE_BUS_MDEV, .list = node_list_mdevs, .find = node_find_mdev),
	[NODE_BUS_MDEV_DRIVERS] = NODE_DIR("drivers", NODE_BUS_MDEV, .list = node_list_drivers),
	[NODE_BUS_MDEV_DRIVER] = NODE_DIR(NULL, NODE_BUS_MDEV_DRIVERS, .of = OF_DRIVER,
					  .list = node_list_driver_mdevs, .find = node_find_mdev),
	[NODE_BUS_MDEV_GROUPS] = NODE_DIR("groups", NODE_BUS_MDEV, .list = node_list_groups,
					  .find = node_find_group),
	[NODE_GROUP] = NODE_DIR(NULL, NODE_BUS_MDEV_GROUPS, .of = OF_GROUP,
				.path = "/sys/bus/mdev/groups/GROUP"),
	[NODE_GROUP_DEVICES] = NODE_DIR("devices", NODE_GROUP, .of = OF_GROUP,
					.list = node_list_members, .find = node_find_mdev),
	[NODE_BUS_PCI] = NODE_DIR("pci", NODE_BUS),
	[NODE_BUS_PCI_DEVICES] = NODE_DIR("devices", NODE_BUS_PCI, .list = node_list_pci_devices),
	[NODE_BUS_PCI_DRIVERS] = NODE_DIR("drivers", NODE_BUS_PCI, .list = node_list_drivers),
	[NODE_BUS_PCI_DRIVER] = NODE_DIR(NULL, NODE_BUS_PCI_DRIVERS, .of = OF_DRIVER,
					 .list = node_list_driver_parents),
	[NODE_DEVICES] = NODE_DIR("devices", NODE_SYS, .list = node_list_devices),
	[NODE_DEVICES_PCI] =
		NODE_DIR(NULL, NODE_DEVICES, .of = OF_PCI_BUS, .list = node_list_pci_bus),
	[NODE_DEVICES_VIRTUAL] = NODE_DIR("virtual", NODE_DEVICES),
	[NODE_DEVICES_VIRTUAL_MTTY] =
		NODE_DIR("mtty", NODE_DEVICES_VIRTUAL, .list = node_list_mtty),
	[NODE_PARENT] = NODE_DIR(NULL, NODE_DEVICES, .of = OF_PARENT, .list = node_list_parent,
				 .find = node_find_mdev, .path = "/sys/devices/.../PARENT"),
	[NODE_TYPES] = NODE_DIR("mdev_supported_types", NODE_PARENT, .of = OF_PARENT,
				.list = node_list_types),
	[NODE_TYPE] = NODE_DIR(NULL, NODE_TYPES, .of = OF_TYPE,
			       .path = "/sys/class/mdev_bus/PARENT/mdev_supported_types/TYPE"),
	[NODE_TYPE_DEVICES] = NODE_DIR("devices", NODE_TYPE, .of = OF_TYPE,
				       .list = node_list_type_devices, .find = node_find_mdev),
	[NODE_MDEV] = NODE_DIR(NULL, NODE_PARENT, .of = OF_MDEV, .list = node_list_mdev,
			       .path = "/sys/bus/mdev/devices/UUID"),
	[NODE_MDEV_STANDARD] = NODE_DIR("mdev", NODE_MDEV, .of = OF_MDEV,
					.path = "/sys/bus/mdev/devices/UUID/mdev"),
	[NODE_MDEV_DRIVER] = NODE_DIR(NULL, NODE_MDEV, .of = OF_MDEV,
				      .path = "/sys/bus/mdev/devices/UUID/DRIVER"),
	[NODE_KERNEL] = NODE_DIR("kernel", NODE_SYS),
	[NODE_IOMMU_GROUPS] = NODE_DIR("iommu_groups", NODE_KERNEL, .list = node_list_iommu_groups,
				       .find = node_find_iommu_group),
	[NODE_IOMMU_GROUP] = NODE_DIR(NULL, NODE_IOMMU_GROUPS, .of = OF_MDEV),
	[NODE_IOMMU_GROUP_DEVICES] =
		NODE_DIR("devices", NODE_IOMMU_GROUP, .of = OF_MDEV,
			 .list = node_list_iommu_devices, .find = node_find_mdev),
	[NODE_LINK_MDEV_BUS] = NODE_LINK(NODE_CLASS_MDEV_BUS, OF_PARENT),
	[NODE_LINK_MTTY] = NODE_LINK(NODE_CLASS_MTTY, OF_PARENT),
	[NODE_LINK_PCI] = NODE_LINK(NODE_BUS_PCI_DEVICES, OF_PARENT),
	[NODE_LINK_PCI_DRIVER] = NODE_LINK(NODE_BUS_PCI_DRIVER, OF_PARENT),
	[NODE_LINK_MDEV] = NODE_LINK(NODE_BUS_MDEV_DEVICES, OF_MDEV),
	[NODE_LINK_MDEV_DRIVER] = NODE_LINK(NODE_BUS_MDEV_DRIVER, OF_MDEV),
	[NODE_LINK_TYPE] = NODE_LINK(NODE_TYPE_DEVICES, OF_MDEV),
	[NODE_LINK_IOMMU] = NODE_LINK(NODE_IOMMU_GROUP_DEVICES, OF_MDEV),
	[NODE_LINK_MEMBER] = NODE_LINK(NODE_GROUP_DEVICES, OF_MDEV),
};
static_assert(ARRAY_SIZE(node_infos) == NODE_KIND_COUNT, "every kind has a row");

/* ---- Numbers --------------------------------------------------------------------------------- */

uint64_t node_number(struct node node)
{
	if (node.kind == NODE_ROOT)
		return NODE_NUMBER_OF_ROOT;
	return (uint64_t)node.kind << NODE_KIND_SHIFT | (uint64_t)node.row << NODE_ROW_SHIFT |
	       (node.object & NODE_OBJECT_MASK);
}

bool node_from_number(uint64_t number, struct node *ret_node)
{
	struct node node = {
		.kind = (enum node_kind)(number >> NODE_KIND_SHIFT),
		.row = (uint32_t)(number >> NODE_ROW_SHIFT) & NODE_ROW_MAX,
		.object = number & NODE_OBJECT_MASK,
	};

	if (number == NODE_NUMBER_OF_ROOT)
		node.object = 0;
	else if (node.kind == NODE_ROOT || (unsigned)node.kind >= NODE_KIND_COUNT)
		return false;
	*ret_node = node;
	return true;
}

/* Types that are not published have no directory yet, and their parent no link in mdev_bus. */
static bool node_hidden(const struct subject *s, enum node_kind kind)
{
	if (kind == NODE_MDEV_DRIVER)
		return !node_has_driver_dir(s);
	if (kind == NODE_LINK_MEMBER)
		return !s->group;
	return (kind == NODE_TYPES || kind == NODE_LINK_MDEV_BUS) && s->parent->type_count == 0;
}

bool node_resolve(const struct tree *tree, struct node node, struct subject *ret_subject)
{
	struct subject s = {.tree = tree};
	bool there = true;

	switch (node_infos[node.kind].of) {
	case OF_NOBODY:
		there = node.object == 0;
		break;
	case OF_PARENT:
		s.parent = tree_parent_by_id(tree, node.object);
		there = s.parent != NULL;
		break;
	case OF_TYPE:
		s.type = tree_type_by_id(tree, node.object);
		there = s.type != NULL;
		s.parent = there ? s.type->parent : NULL;
		break;
	case OF_MDEV:
		s.mdev = tree_mdev_by_id(tree, node.object);
		there = s.mdev != NULL;
		s.type = there ? s.mdev->type : NULL;
		s.parent = there ? s.mdev->parent : NULL;
		s.group = there ? s.mdev->group : NULL;
		break;
	case OF_GROUP:
		s.group = tree_group_by_id(tree, node.object);
		there = s.group != NULL;
		break;
	case OF_DRIVER:
		there = node_driver_used(tree, node.object);
		break;
	case OF_PCI_BUS:
		there = node_pci_bus_used(tree, node.object);
		break;
	}
	if (!there || node_hidden(&s, node.kind))
		return false;
	*ret_subject = s;
	return true;
}

bool node_is_link(struct node node)
{
	return node_infos[node.kind].link;
}

bool node_is_fixed(struct node node)
{
	struct attr_table table = attr_table(node.kind);

	if (node.row == 0)
		return node_infos[node.kind].name != NULL && node.kind != NODE_TYPES;
	/* What the daemon adds may be in another order after an upgrade. */
	return node.row <= table.count && !table.rows[node.row - 1].visible;
}

bool node_is_dir(struct node node)
{
	return node.row == 0 && !node_is_link(node);
}

/* ---- Entries --------------------------------------------------------------------------------- */

struct node_search {
	const char *name;
	struct node *ret_node;
	bool found;
};

static bool node_compare(void *data, const char *name, struct node node)
{
	struct node_search *search = data;

	if (strcmp(search->name, name) != 0)
		return true;
	*search->ret_node = node;
	search->found = true;
	return false;
}

/* A directory that is always in a directory of @kind. NODE_ROOT: there is none of that name. */
static enum node_kind node_find_fixed(enum node_kind kind, const char *name)
{
	for (enum node_kind k = NODE_ROOT; k < NODE_KIND_COUNT; k++) {
		const struct node_info *info = &node_infos[k];

		if (info->name && info->up == kind && strcmp(info->name, name) == 0)
			return k;
	}
	return NODE_ROOT;
}

bool node_find(const struct tree *tree, struct node dir, const char *name, struct node *ret_node)
{
	const struct node_info *info = &node_infos[dir.kind];
	struct node_search search = {name, ret_node, false};
	struct subject s;
	enum node_kind fixed;
	uint32_t row;

	if (!node_is_dir(dir) || !node_resolve(tree, dir, &s))
		return false;
	fixed = node_find_fixed(dir.kind, name);
	if (fixed != NODE_ROOT && !node_hidden(&s, fixed)) {
		*ret_node = (struct node){fixed, 0, dir.object};
		return true;
	}
	row = attr_find(&s, dir.kind, name);
	if (row > 0) {
		*ret_node = (struct node){dir.kind, row, dir.object};
		return true;
	}
	if (info->find)
		return info->find(&s, dir, name, ret_node);
	if (info->list)
		info->list(&s, dir, node_compare, &search);
	return search.found;
}

void node_list(const struct tree *tree, struct node dir, node_emit_fn *emit, void *data)
{
	const struct node_info *info = &node_infos[dir.kind];
	struct subject s;
	uint32_t rows;

	if (!node_is_dir(dir) || !node_resolve(tree, dir, &s))
		return;
	for (enum node_kind k = NODE_SYS; k < NODE_KIND_COUNT; k++) {
		if (node_infos[k].name && node_infos[k].up == dir.kind && !node_hidden(&s, k) &&
		    !emit(data, node_infos[k].name, (struct node){k, 0, dir.object}))
			return;
	}
	rows = attr_count(&s, dir.kind);
	for (uint32_t row = 1; row <= rows; row++) {
		struct node node = {dir.kind, row, dir.object};
		struct attr made;
		const struct attr *attr = attr_of(&s, node, &made);

		if (attr && node_find_fixed(dir.kind, attr->name) == NODE_ROOT &&
		    !emit(data, attr->name, node))
			return;
	}
	if (info->list)
		info->list(&s, dir, emit, data);
}

struct node node_up(const struct tree *tree, struct node node)
{
	enum node_kind up = node_infos[node.kind].up;
	struct subject s;

	if (node.row > 0)
		return (struct node){node.kind, 0, node.object};
	if (!node_resolve(tree, node, &s))
		return (struct node){NODE_ROOT, 0, 0};
	if (node.kind == NODE_PARENT)
		return s.parent->is_pci ? (struct node){NODE_DEVICES_PCI, 0, node_pci_bus(s.parent)}
					: (struct node){NODE_DEVICES_VIRTUAL_MTTY, 0, 0};
	switch (node_infos[up].of) {
	case OF_PARENT:
		return (struct node){up, 0, s.parent->thing.id};
	case OF_TYPE:
		return (struct node){up, 0, s.type->thing.id};
	case OF_MDEV:
		return (struct node){up, 0, s.mdev->thing.id};
	case OF_GROUP:
		return (struct node){up, 0, s.group->thing.id};
	case OF_DRIVER:
		return (struct node){up, 0, s.parent->driver_number};
	default:
		return (struct node){up, 0, 0};
	}
}

void node_link_target(const struct subject *s, struct node node, char *text, size_t size)
{
	const char *path = s->parent->path + strlen("sys/");

	switch (node.kind) {
	case NODE_LINK_MDEV_BUS:
	case NODE_LINK_MTTY:
		snprintf(text, size, "../../%s", path);
		return;
	case NODE_LINK_PCI:
		snprintf(text, size, "../../../%s", path);
		return;
	case NODE_LINK_PCI_DRIVER:
		snprintf(text, size, "../../../../%s", path);
		return;
	case NODE_LINK_MDEV:
		snprintf(text, size, "../../../%s/%s", path, s->mdev->uuid);
		return;
	case NODE_LINK_MDEV_DRIVER:
	case NODE_LINK_IOMMU:
		snprintf(text, size, "../../../../%s/%s", path, s->mdev->uuid);
		return;
	case NODE_LINK_MEMBER:
		snprintf(text, size, "../../../../../%s/%s", path, s->mdev->uuid);
		return;
	case NODE_LINK_TYPE:
		snprintf(text, size, "../../../%s", s->mdev->uuid);
		return;
	default:
		text[0] = '\0';
	}
}

const char *node_kind_path(enum node_kind kind)
{
	return node_infos[kind].path;
}
