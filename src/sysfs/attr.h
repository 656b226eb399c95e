/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The attributes: one row each, with all that there is to know about it.
 *
 * A table belongs to a kind of directory. Beside its rows a directory may have attributes that come
 * from the daemon: those of a type's class, those of a driver. A row shows itself as text and takes
 * text; what that asks of the daemon it says, and the file system (fs.c) does it. Pure.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sysfs/node.h"
#include "util/cleanup.h"
#include "util/error.h"

#define ATTR_SIZE 4096 /* of a text, and what every attribute says its size is */

/* From where the text comes, beside the mirror. */
enum attr_from {
	ATTR_FROM_TREE,
	ATTR_FROM_TYPES, /* type.list of the parent */
	ATTR_FROM_QOS,	 /* mdev.qos of the mdev */
	ATTR_FROM_GROUP, /* group.list of the group */
};

/* What a write asks for. */
enum attr_deed {
	ATTR_DEED_NOTHING,
	ATTR_DEED_CREATE,
	ATTR_DEED_REMOVE,
	ATTR_DEED_SET,
	ATTR_DEED_UEVENT,
};

struct attr_action {
	enum attr_deed deed;
	const char *method; /* of the RPC */
	json_t *params;	    /* owned by whoever got it */
	char word[16];	    /* of an event */
};

struct attr {
	const char *name;
	uint32_t mode; /* S_IFREG or S_IFLNK and permission bits */
	uint32_t size; /* what stat says; 0: ATTR_SIZE */
	enum attr_from from;
	bool changes;	 /* by what is done elsewhere: poll tells */
	const char *key; /* in the object or answer, or the attribute's full name */
	/* Writes the text of at most @size bytes (no NUL is needed); its length or -errno. @answer:
	 * as @from says. */
	int (*show)(const struct subject *s, const struct attr *attr, const json_t *answer,
		    char *text, size_t size);
	/* Reads what was written (@len bytes and a NUL). 0 or -errno. */
	int (*store)(const struct subject *s, const struct attr *attr, const char *text, size_t len,
		     struct attr_action *ret_action);
	bool (*visible)(const struct subject *s, const struct attr *attr); /* NULL: always */
	const char *since;
	const char *users;
	const char *doc;
};

struct attr_table {
	const struct attr *rows;
	size_t count;
};

/* The table of a kind of directory; empty when it has none. */
struct attr_table attr_table(enum node_kind kind);

/* The row of @node (row > 0): of the table, or made of what the daemon says into *@ret_made. NULL
 * when there is none. */
const struct attr *attr_of(const struct subject *s, struct node node, struct attr *ret_made);

/* Row number (from 1) of the attribute called @name, or 0. */
uint32_t attr_find(const struct subject *s, enum node_kind kind, const char *name);

/* How many rows there are, visible or not: the rows are 1..count. */
uint32_t attr_count(const struct subject *s, enum node_kind kind);

/* The errno of a write to the tree for an error of the daemon: negative. */
int attr_errno(enum attr_deed deed, const struct umdev_error *err);

/* What a device says about itself to udev: lines of KEY=value. */
int attr_uevent_text(const struct subject *s, char *text, size_t size);
