/* SPDX-License-Identifier: BSD-3-Clause */
/* Tables of attributes, and those that the daemon adds to them. See attr.h. */
#include "sysfs/attr.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "sysfs/attr-tables.h"

struct attr_table attr_table(enum node_kind kind)
{
	switch (kind) {
	case NODE_PARENT:
		return (struct attr_table){attr_parent_rows, attr_parent_count};
	case NODE_TYPE:
		return (struct attr_table){attr_type_rows, attr_type_count};
	case NODE_MDEV:
		return (struct attr_table){attr_mdev_rows, attr_mdev_count};
	case NODE_MDEV_STANDARD:
		return (struct attr_table){attr_standard_rows, attr_standard_count};
	case NODE_GROUP:
		return (struct attr_table){attr_group_rows, attr_group_count};
	default:
		return (struct attr_table){NULL, 0};
	}
}

static const struct attr *attr_in_table(enum node_kind kind, const char *name)
{
	struct attr_table table = attr_table(kind);

	for (size_t i = 0; i < table.count; i++) {
		if (strcmp(table.rows[i].name, name) == 0)
			return &table.rows[i];
	}
	return NULL;
}

/* ---- What the daemon adds -------------------------------------------------------------------- */

const json_t *attr_answered_type(const struct subject *s, const json_t *answer)
{
	const json_t *types = json_object_get(answer, "types");
	json_t *type;
	size_t i;

	json_array_foreach (types, i, type) {
		if (strcmp(tree_text(type, "id"), s->type->name) == 0)
			return type;
	}
	return NULL;
}

/* The name of the @index-th attribute of the type's class. */
static const char *attr_class_name(const struct subject *s, size_t index)
{
	json_t *attributes = json_object_get(s->type->object, "attributes");
	const char *name;
	json_t *value;

	json_object_foreach (attributes, name, value) {
		if (index-- == 0)
			return name;
	}
	return NULL;
}

/* As the daemon says now: the capacity of a type that gets what is left changes with the pool. */
static int attr_show_class(const struct subject *s, const struct attr *attr, const json_t *answer,
			   char *text, size_t size)
{
	const json_t *type = attr_answered_type(s, answer);
	const json_t *attributes = json_object_get(type ? type : s->type->object, "attributes");

	return attr_print(text, size, "%s\n", tree_text(attributes, attr->name));
}

/* The part of the full @name behind "@dir/", or NULL. */
static const char *attr_behind(const char *name, const char *dir)
{
	size_t len = strlen(dir);

	return strncmp(name, dir, len) == 0 && name[len] == '/' ? name + len + 1 : NULL;
}

/* Row @index, from 0, among those that the daemon adds in a directory of @kind. */
static bool attr_make(const struct subject *s, enum node_kind kind, size_t index, struct attr *ret)
{
	const char *dir = kind == NODE_MDEV_DRIVER ? s->parent->driver : "mdev";
	const struct tree_attr *from;
	const char *name;

	memset(ret, 0, sizeof(*ret));
	if (kind == NODE_TYPE) {
		name = attr_class_name(s, index);
		if (!name || !tree_name_ok(name) || attr_in_table(kind, name))
			return false;
		*ret = (struct attr){.name = name,
				     .mode = S_IFREG | 0444,
				     .from = ATTR_FROM_TYPES,
				     .show = attr_show_class};
		return true;
	}
	if (index >= s->parent->attr_count)
		return false;
	from = &s->parent->attrs[index];
	name = attr_behind(from->name, dir);
	if (!name || attr_in_table(kind, name))
		return false;
	*ret = (struct attr){.name = name,
			     .mode = S_IFREG | 0644,
			     .changes = true,
			     .key = from->name,
			     .show = attr_show_value,
			     .store = attr_store_value,
			     .doc = from->description};
	return true;
}

/* How many rows attr_make() may make. */
static size_t attr_made_count(const struct subject *s, enum node_kind kind)
{
	if (kind == NODE_TYPE)
		return MIN(json_object_size(json_object_get(s->type->object, "attributes")),
			   (size_t)TREE_ATTRS_MAX);
	return kind == NODE_MDEV_STANDARD || kind == NODE_MDEV_DRIVER ? s->parent->attr_count : 0;
}

/* ---- Rows by number and by name -------------------------------------------------------------- */

const struct attr *attr_of(const struct subject *s, struct node node, struct attr *ret_made)
{
	struct attr_table table = attr_table(node.kind);
	size_t index = node.row - 1;

	if (index < table.count) {
		const struct attr *row = &table.rows[index];

		return row->visible && !row->visible(s, row) ? NULL : row;
	}
	index -= table.count;
	if (index >= attr_made_count(s, node.kind) || !attr_make(s, node.kind, index, ret_made))
		return NULL;
	return ret_made;
}

uint32_t attr_count(const struct subject *s, enum node_kind kind)
{
	size_t count = attr_table(kind).count + attr_made_count(s, kind);

	return (uint32_t)MIN(count, (size_t)NODE_ROW_MAX);
}

uint32_t attr_find(const struct subject *s, enum node_kind kind, const char *name)
{
	struct attr_table table = attr_table(kind);
	const struct attr *row = attr_in_table(kind, name);
	size_t made = attr_made_count(s, kind);

	if (row)
		return row->visible && !row->visible(s, row) ? 0 : (uint32_t)(row - table.rows) + 1;
	for (size_t i = 0; i < made && table.count + i < NODE_ROW_MAX; i++) {
		struct attr attr;

		if (attr_make(s, kind, i, &attr) && strcmp(attr.name, name) == 0)
			return (uint32_t)(table.count + i) + 1;
	}
	return 0;
}

/* ---- Errors ---------------------------------------------------------------------------------- */

int attr_errno(enum attr_deed deed, const struct umdev_error *err)
{
	/* A UUID that is being made or taken down is taken; a group that is used is not. */
	if (deed == ATTR_DEED_CREATE && err->word == ERROR_DEVICE_BUSY &&
	    strcmp(err->key, "group") != 0)
		return -EEXIST;
	/* The type is gone with its parent's old card; the device with whoever removed it. */
	if (err->word == ERROR_UNKNOWN_TYPE || err->word == ERROR_NOT_FOUND ||
	    err->word == ERROR_UNREACHABLE || err->word == ERROR_NOT_DEFINED)
		return -ENODEV;
	return -error_word_errno(err->word);
}
