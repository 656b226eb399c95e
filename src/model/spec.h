/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Typed values: which options a parent takes and which attributes an mdev has, and whether a text
 * is a legal value of one.
 *
 * A driver's tables arrive as JSON from its host and are untrusted: a table is taken whole or
 * refused with the row that is wrong. The attributes that every mdev has, whatever its driver
 * ("mdev/..."), are rows of the same kind. Pure.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "util/cleanup.h"
#include "util/error.h"

/* Kinds are those of umdev/driver.h and, for our own attributes: */
#define SPEC_KIND_MODE 64u /* permission bits in octal, 0..0777 */
#define SPEC_KIND_USER 65u /* the name or number of a user or group */
#define SPEC_KIND_PERCENT                                                                          \
	66u /* at most two decimals; number, min, max: hundredths of a percent                     \
	     */

#define SPEC_KIND_UUID 67u /* of either case, or nothing */

/* When an attribute may change, besides UMDEV_WHEN_*: with its definition only, so an active device
 * keeps the value that it was created with. */
#define SPEC_WHEN_NEVER 3u

#define SPEC_ROWS_MAX	256
#define SPEC_VALUE_MAX	4096 /* bytes of one value */

struct spec {
	const char *name; /* in full: options "path", attributes "nvme/doorbells" */
	const char *description;
	const char *default_value; /* NULL: absent unless given */
	const char *choices;	   /* as in umdev/driver.h */
	uint64_t min;
	uint64_t max; /* 0: no upper bound */
	uint32_t kind;
	uint32_t when; /* attributes: UMDEV_WHEN_*, SPEC_WHEN_NEVER */
};

struct spec_table {
	struct spec *rows;
	size_t count;
};

enum spec_use {
	SPEC_OPTIONS, /* of a parent */
	SPEC_ATTRS,   /* of an mdev: names get the prefix "<driver>/" */
};

/*
 * Reads the table that a host declared. On failure *@ret_table is untouched and @err
 * (DRIVER_FAILED) names the row. Freed with spec_table_done().
 */
int spec_table_parse(const json_t *rows, enum spec_use use, const char *driver,
		     struct spec_table *ret_table, struct umdev_error *err) umdev_warn_unused;

/* Frees what the table holds and empties it. Safe on a zeroed one. */
void spec_table_done(struct spec_table *table);

/* The row of that name, or NULL. */
const struct spec *spec_find(const struct spec_table *table, const char *name);

/* The group that an mdev belongs to, and its attribute. */
#define SPEC_ATTR_GROUP "mdev/group"

/* The attributes of every mdev: its group, its socket's owner and mode, and its knobs
 * (model/knobs.h). Static. */
const struct spec_table *spec_standard(void);

/* The options of every parent, whatever its driver, which the broker itself acts upon. Static. */
const struct spec_table *spec_standard_options(void);

/*
 * Finds the attribute that @name means in the standard table or in @driver_attrs (may be NULL): a
 * full name, or the bare name of an attribute of @driver. INVALID with the list of all otherwise.
 */
const struct spec *spec_find_attr(const struct spec_table *driver_attrs, const char *driver,
				  const char *name, struct umdev_error *err);

/*
 * Checks @text against @spec. *@ret_number (may be NULL) becomes its number: the value, the index
 * of the word, 0 or 1; 0 for texts. INVALID, with the rule and the name as key, otherwise.
 */
int spec_check(const struct spec *spec, const char *text, uint64_t *ret_number,
	       struct umdev_error *err) umdev_warn_unused;

/* "create", "idle", "live" or "never": when an attribute may change. */
const char *spec_when_name(uint32_t when);

/* The part of an attribute's name behind its first slash, or all of it. */
const char *spec_local_name(const struct spec *spec);
