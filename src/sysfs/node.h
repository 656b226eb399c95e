/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The places of the tree: which directories there are, what is in them, and the numbers by which
 * the kernel knows them.
 *
 * A node is a kind of place, the thing it belongs to, and in a directory's table of attributes a
 * row. Its number follows from these three alone, so nothing is kept for a node and nothing has to
 * be forgotten; a node of a thing that is gone resolves to nothing. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sysfs/tree.h"
#include "util/cleanup.h"

enum node_kind {
	NODE_ROOT,
	NODE_SYS,
	NODE_CLASS,
	NODE_CLASS_MDEV_BUS,
	NODE_CLASS_MTTY,
	NODE_BUS,
	NODE_BUS_MDEV,
	NODE_BUS_MDEV_DEVICES,
	NODE_BUS_MDEV_DRIVERS,
	NODE_BUS_MDEV_DRIVER, /* of a driver's number */
	NODE_BUS_MDEV_GROUPS,
	NODE_GROUP, /* of mdevs */
	NODE_GROUP_DEVICES,
	NODE_BUS_PCI,
	NODE_BUS_PCI_DEVICES,
	NODE_BUS_PCI_DRIVERS,
	NODE_BUS_PCI_DRIVER, /* of a driver's number */
	NODE_DEVICES,
	NODE_DEVICES_PCI, /* pci0000:00, of the number of domain and bus */
	NODE_DEVICES_VIRTUAL,
	NODE_DEVICES_VIRTUAL_MTTY,
	NODE_PARENT,
	NODE_TYPES,
	NODE_TYPE,
	NODE_TYPE_DEVICES,
	NODE_MDEV,
	NODE_MDEV_STANDARD, /* its directory mdev/ */
	NODE_MDEV_DRIVER,   /* its directory of the driver */
	NODE_KERNEL,
	NODE_IOMMU_GROUPS,
	NODE_IOMMU_GROUP,
	NODE_IOMMU_GROUP_DEVICES,
	/* Links in directories whose content changes. */
	NODE_LINK_MDEV_BUS,
	NODE_LINK_MTTY,
	NODE_LINK_PCI,
	NODE_LINK_PCI_DRIVER,
	NODE_LINK_MDEV,
	NODE_LINK_MDEV_DRIVER,
	NODE_LINK_TYPE,
	NODE_LINK_IOMMU,
	NODE_LINK_MEMBER,
	NODE_KIND_COUNT
};

#define NODE_ROW_MAX 4095u

struct node {
	enum node_kind kind;
	uint32_t row;	 /* 0: the place itself; else row - 1 of its attributes */
	uint64_t object; /* id of a thing, or a number; 0 where there is one such place */
};

/* The thing that a node belongs to, and those above it; NULL what does not apply. */
struct subject {
	const struct tree *tree;
	struct tree_parent *parent;
	struct tree_type *type;
	struct tree_mdev *mdev;
	struct tree_group *group;
};

/* The number of a node, its inode; 1 is the root. False when @number is of no node. */
uint64_t node_number(struct node node);
bool node_from_number(uint64_t number, struct node *ret_node);

/* What @node belongs to. False when that is gone. */
bool node_resolve(const struct tree *tree, struct node node, struct subject *ret_subject);

/* Whether it is a directory, or a link of a changing directory (not a row). */
bool node_is_dir(struct node node);
bool node_is_link(struct node node);

/* Whether @node, once found in the directory above it, is what its name means there for as long as
 * that directory exists. */
bool node_is_fixed(struct node node);

/* The entry @name of directory @dir. False when there is none. */
bool node_find(const struct tree *tree, struct node dir, const char *name, struct node *ret_node);

/* Gets one entry; false ends the listing. */
typedef bool node_emit_fn(void *data, const char *name, struct node node);

/* Calls @emit with every entry of @dir but "." and "..". */
void node_list(const struct tree *tree, struct node dir, node_emit_fn *emit, void *data);

/* The directory above @node. */
struct node node_up(const struct tree *tree, struct node node);

/* Where the link leads, relative. Cut when it does not fit. */
void node_link_target(const struct subject *s, struct node node, char *text, size_t size);

/* Path of a place in the tree, for people: "/sys/.../<parent>/mdev_supported_types". */
const char *node_kind_path(enum node_kind kind);
