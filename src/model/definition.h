/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is written down about one mdev: mdevctl's definition, and our keys beside its own.
 *
 *   { "mdev_type": "nvme-1g", "start": "auto"|"manual", "attrs": [ { "name": "value" }, ... ],
 *     "type_name": "...", "owner": "...", "uid": number }
 *
 * mdev_type and start are required, any start but "auto" is manual. The order of attributes and
 * duplicates are kept (the last one counts), and so are keys that we do not know. Pure.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/ident.h"
#include "model/spec.h"
#include "util/cleanup.h"
#include "util/error.h"

#define DEFINITION_ATTRS_MAX 256
#define DEFINITION_FILE_MAX  65536 /* bytes */

struct definition_attr {
	char *name;
	char *value;
};

struct definition {
	char *type_id;
	char *type_name; /* NULL: not known (a file of mdevctl's) */
	char *owner;	 /* free text, or NULL */
	bool auto_start;
	bool has_uid;
	uint32_t uid; /* who created it */
	struct definition_attr *attrs;
	size_t attr_count;
	json_t *others; /* keys that are not ours, or NULL */
};

/* Reads a definition. INVALID, naming the key, and *@ret untouched when it is none. */
int definition_parse(const json_t *object, struct definition **ret,
		     struct umdev_error *err) umdev_warn_unused;

/* The same from the text of a file. */
int definition_parse_text(const char *text, size_t len, struct definition **ret,
			  struct umdev_error *err) umdev_warn_unused;

/* A new definition of the given type, manual, without attributes; either text may be NULL. NULL
 * when out of memory. */
struct definition *definition_new(const char *type_id, const char *type_name);
struct definition *definition_dup(const struct definition *definition);
void definition_free(struct definition *definition);

/* Whether both are written down alike. Either may be NULL. */
bool definition_equal(const struct definition *a, const struct definition *b);

/*
 * Takes over from @old (may be NULL) what a tool drops that knows none of our keys and has
 * rewritten a definition: whose it is and, of the same type id, the type's name. 1 when it had
 * dropped something, else 0, or -ENOMEM.
 */
int definition_adopt(struct definition *definition, const struct definition *old) umdev_warn_unused;

/* Replaces type id or name. 0 or -ENOMEM. */
int definition_set_type(struct definition *definition, const char *type_id,
			const char *type_name) umdev_warn_unused;
int definition_set_owner(struct definition *definition, const char *owner) umdev_warn_unused;

/* Puts an attribute at @index (SIZE_MAX: at the end); as mdevctl, @index must not be beyond the
 * end. INVALID or LIMIT otherwise. */
int definition_add_attr(struct definition *definition, size_t index, const char *name,
			const char *value, struct umdev_error *err) umdev_warn_unused;

/* Makes attribute @name (in full) @value: in place of what was said of it last, or at the end.
 * INVALID or LIMIT otherwise. */
int definition_put_attr(struct definition *definition, const char *name, const char *value,
			struct umdev_error *err) umdev_warn_unused;

/* Removes the attribute at @index (SIZE_MAX: the last). INVALID when there is none. */
int definition_del_attr(struct definition *definition, size_t index,
			struct umdev_error *err) umdev_warn_unused;

/* Replaces all attributes by a JSON list of one-key objects. INVALID and unchanged otherwise. */
int definition_set_attrs(struct definition *definition, const json_t *attrs,
			 struct umdev_error *err) umdev_warn_unused;

/* The value that counts for attribute @name (in full), or NULL. */
const char *definition_attr(const struct definition *definition, const char *name);

/* The group that it names, in lower case; "" when it names none. */
void definition_group(const struct definition *definition, char ret_group[IDENT_UUID_SIZE]);

/*
 * Checks every attribute against what @driver has and puts it under its full name. @driver_attrs
 * NULL (the parent is not there): only the standard ones are checked. INVALID names the attribute;
 * nothing is changed then.
 */
int definition_check_attrs(struct definition *definition, const struct spec_table *driver_attrs,
			   const char *driver, struct umdev_error *err) umdev_warn_unused;

/* The list of attributes, and the whole, as JSON. NULL when out of memory. */
json_t *definition_print_attrs(const struct definition *definition);
json_t *definition_print(const struct definition *definition);
