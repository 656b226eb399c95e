/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The types of virtual device that a parent offers.
 *
 * A parent's types come from its driver, so they are untrusted: all of them are checked and then
 * published together, or none is. The name of a type is its contract, the id a local handle; see
 * type_resolve(). Pure.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/pool.h"
#include "util/cleanup.h"
#include "util/error.h"

#define TYPE_COUNT_MAX	       256
#define TYPE_ATTRS_MAX	       32

#define TYPE_ENDPOINT_NAME_MAX 15

struct type_attr {
	char *name;
	char *value; /* NULL: the size of the piece that one instance gets */
};

struct type {
	char *id; /* in full: "<driver>-<local>" */
	char *name;
	char *description; /* or NULL */
	char *class_name;
	struct type_attr *attrs;
	size_t attr_count;
	struct pool_want want;
	uint32_t group_scope; /* UMDEV_GROUP_*: who may join a group (used by groups) */
	bool requires_group;
	bool group_hotplug;
	uint32_t qos;	     /* UMDEV_QOS_* */
	char *endpoint_name; /* or NULL: none */
	uint32_t endpoint_kind;
	uint32_t endpoint_count;
};

/* In the driver's order: the index is the driver's handle of a type. */
struct type_table {
	struct type *types;
	size_t count;
};

/*
 * Checks and takes the list of types in a host's answer to "open". On failure *@ret_table is
 * untouched and @err (DRIVER_FAILED) names type and rule. Freed with type_table_done().
 */
int type_table_parse(const json_t *types, const char *driver, struct type_table *ret_table,
		     struct umdev_error *err) umdev_warn_unused;

/* Frees what the table holds and empties it. Safe on a zeroed one. */
void type_table_done(struct type_table *table);

/* INVALID, listing the classes that there are, unless @name is one. */
int type_class_check(const char *name, struct umdev_error *err) umdev_warn_unused;

/* The type with that id, or that name; NULL when there is none. */
const struct type *type_find_id(const struct type_table *table, const char *id);
const struct type *type_find_name(const struct type_table *table, const char *name);

/* True when @table offers every type of @older with the same id, name, class, cost and
 * endpoints at the same index. */
bool type_table_extends(const struct type_table *table, const struct type_table *older);

/* What was found by type_resolve(). */
struct type_choice {
	const struct type *type;
	bool corrected; /* the name won over an id that is gone */
};

/*
 * The type that @id and @name (either may be NULL) mean among the types of @parent. An id that is
 * there under another name is TYPE_MISMATCH; an id that is gone gives way to the name; where
 * neither is there, UNKNOWN_TYPE lists the nearest. Never another type in silence.
 */
int type_resolve(const struct type_table *table, const char *parent, const char *id,
		 const char *name, struct type_choice *ret_choice,
		 struct umdev_error *err) umdev_warn_unused;

/* Writes the types nearest to @id or @name (either may be NULL), nearest first, as "nvme-1g (umdev
 * NVMe 1 GiB), ...". */
void type_nearest(const struct type_table *table, const char *id, const char *name, char *text,
		  size_t size);

/* The type as the RPC shows it, with what @pool has for it. NULL when out of memory. */
json_t *type_print(const struct type *type, const char *parent, const struct pool *pool);
