/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading values out of JSON, with errors that name the place: an object is read by a table of its
 * keys, and what is not in the table is an error.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/cleanup.h"
#include "util/error.h"

#define FIELD_PATH_MAX ERROR_KEY_MAX

/* Where the reader is, and where errors go. */
struct field_reader {
	char path[FIELD_PATH_MAX]; /* of the value being read */
	void *context;
	struct umdev_error *err;
};

/* How one key is read into what the table is about. */
struct field {
	const char *key;
	int (*read)(struct field_reader *reader, const json_t *value, void *into);
};

/* Says what is wrong with the value being read. Returns -EINVAL. */
int field_bad(struct field_reader *reader, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Reads the members of @value, which must be an object, by @fields (ended by an empty one). */
int field_object(struct field_reader *reader, const json_t *value, const struct field *fields,
		 void *into) umdev_warn_unused;

/*
 * Goes to member @key of the value being read, or to its element @index when @key is NULL. Returns
 * the length of the path before, which field_leave() goes back to.
 */
size_t field_enter(struct field_reader *reader, const char *key, size_t index);
void field_leave(struct field_reader *reader, size_t length);

/* A number within @min..@max, which may be a fraction. */
int field_number(struct field_reader *reader, const json_t *value, double min, double max,
		 double *ret_number) umdev_warn_unused;

/* A whole number within @min..@max. */
int field_whole(struct field_reader *reader, const json_t *value, uint64_t min, uint64_t max,
		uint64_t *ret_number) umdev_warn_unused;

/* Numbers of @unit_ns each, at most @max of them, in whole nanoseconds; at least @min_ns of
 * those. */
int field_time(struct field_reader *reader, const json_t *value, double unit_ns, double max,
	       uint64_t min_ns, uint64_t *ret_ns);

/* True or false. */
int field_bool(struct field_reader *reader, const json_t *value, bool *ret_bool) umdev_warn_unused;

/* A text of 1 to @max bytes without control characters, quotes, backslashes and commas. The caller
 * frees *@ret_text, which is replaced. */
int field_name(struct field_reader *reader, const json_t *value, size_t max,
	       char **ret_text) umdev_warn_unused;

/* An array of @min to @max elements. */
int field_array(struct field_reader *reader, const json_t *value, size_t min,
		size_t max) umdev_warn_unused;
