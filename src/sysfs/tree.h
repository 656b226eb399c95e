/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the daemon has, mirrored: parents, their types, the active mdevs and their groups.
 *
 * It is filled from objects of the RPC (rpc/methods.c) and never changed by a reader. A thing that
 * was there keeps its id until it goes, and no id is given twice, so that a file handle of a device
 * that is gone can never mean another one. Names that could not be names of files are refused.
 * Owned by one thread; no I/O.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/cleanup.h"
#include "util/list.h"

#define TREE_NAME_MAX	 255
#define TREE_BUCKETS	 4096
#define TREE_ATTRS_MAX	 512 /* of one parent's mdevs, or of one type */
#define TREE_DRIVERS_MAX 256 /* that were ever seen */
#define TREE_UUID_SIZE	 37
#define TREE_PATH_MAX	 256

/* What is common to all that has an id. */
struct tree_thing {
	struct list bucket; /* of the ids */
	uint64_t id;
};

/* One attribute that the mdevs of a parent have. */
struct tree_attr {
	char *name; /* in full: "nvme/queues" */
	char *description;
	char *fallback; /* its value unless one is given, or NULL */
};

struct tree_parent {
	struct tree_thing thing;
	struct list link;
	char *name;
	char *driver;
	size_t driver_number; /* in tree->drivers */
	char *path;  /* below the root of the tree, without a slash before it: "sys/devices/..." */
	json_t *pci; /* of the RPC */
	bool is_pci; /* its subsystem */
	struct tree_attr *attrs;
	size_t attr_count;
	struct list types; /* by id */
	struct list mdevs;
	size_t type_count;
	uint32_t changes; /* counts what may have changed its pool */
};

struct tree_type {
	struct tree_thing thing;
	struct list link;
	struct tree_parent *parent;
	char *name;	/* the directory: its id in full */
	json_t *object; /* TYPE */
	struct list mdevs;
	bool seen; /* by the update that runs */
};

struct tree_mdev {
	struct tree_thing thing;
	struct list link;      /* of all, in the order of their coming */
	struct list uuid_link; /* of a bucket of UUIDs */
	struct list parent_link;
	struct list type_link;
	struct tree_parent *parent;
	struct tree_type *type;
	char uuid[TREE_UUID_SIZE];
	json_t *object;		  /* MDEV */
	struct list group_link;	  /* of its group */
	struct tree_group *group; /* NULL: it is in none */
	uint32_t iommu_group;
	bool seen;	  /* by the update that runs */
	bool removing;	  /* a write to its file "remove" is under way */
	uint32_t changes; /* counts what may have changed its attributes */
};

/* A group that has an active member. */
struct tree_group {
	struct tree_thing thing;
	struct list link;
	char uuid[TREE_UUID_SIZE];
	struct list mdevs;
	size_t mdev_count;
	uint32_t changes; /* counts what may have changed its attributes */
};

struct tree {
	struct list parents; /* by name */
	struct list mdevs;
	struct list groups;
	struct list ids[TREE_BUCKETS];
	struct list uuids[TREE_BUCKETS];
	char *drivers[TREE_DRIVERS_MAX]; /* their numbers stay */
	size_t driver_count;
	uint64_t next_id;
	size_t mdev_count;
};

/* An empty mirror. */
void tree_init(struct tree *tree);

/* Frees all that is in it. */
void tree_done(struct tree *tree);

/* Takes a PARENT: a new one, or new facts of one that is there. 0, -EINVAL or -ENOMEM, with nothing
 * changed. */
int tree_put_parent(struct tree *tree, const json_t *object,
		    struct tree_parent **ret_parent) umdev_warn_unused;

/*
 * Takes the list of TYPE of @parent. A type that is not in it any more goes, unless mdevs are of it
 * or @keep: a parent without a host lists none, and its types come back. Malformed ones are left
 * out. 0 or -ENOMEM.
 */
int tree_put_types(struct tree *tree, struct tree_parent *parent, const json_t *types,
		   bool keep) umdev_warn_unused;

/* Takes an active MDEV, whose parent and type must be there. *@ret_new says whether it is one more.
 * 0, -ENOENT, -EINVAL or -ENOMEM. */
int tree_put_mdev(struct tree *tree, const json_t *object, struct tree_mdev **ret_mdev,
		  bool *ret_new) umdev_warn_unused;

/* Takes away what is there; a parent with all that is below it. */
void tree_drop_parent(struct tree *tree, struct tree_parent *parent);
void tree_drop_mdev(struct tree *tree, struct tree_mdev *mdev);

/* By name, or NULL. */
struct tree_parent *tree_find_parent(const struct tree *tree, const char *name);
struct tree_type *tree_find_type(const struct tree_parent *parent, const char *name);
struct tree_mdev *tree_find_mdev(const struct tree *tree, const char *uuid);
struct tree_mdev *tree_find_iommu_group(const struct tree *tree, uint32_t group);

/* The group of that UUID, or NULL: it has no active member. */
struct tree_group *tree_find_group(const struct tree *tree, const char *uuid);

/* By id, or NULL when that is not there or is another kind of thing. */
struct tree_parent *tree_parent_by_id(const struct tree *tree, uint64_t id);
struct tree_type *tree_type_by_id(const struct tree *tree, uint64_t id);
struct tree_mdev *tree_mdev_by_id(const struct tree *tree, uint64_t id);
struct tree_group *tree_group_by_id(const struct tree *tree, uint64_t id);

/* Whether @name can be the name of a file that is not hidden. */
bool tree_name_ok(const char *name);

/* The text at @key of @object, or "". The whole number at @key, or @missing. */
const char *tree_text(const json_t *object, const char *key);
int64_t tree_number(const json_t *object, const char *key, int64_t missing);

/* The group that an MDEV says it is in, or "". */
const char *tree_group_of(const json_t *object);

/* The value that counts of attribute @name (in full) of an mdev: given in its @object, the default
 * that @parent has, or "". */
const char *tree_attr_value(const struct tree_parent *parent, const json_t *object,
			    const char *name);
