/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The syntax of the names that people, files and drivers give us.
 *
 * Everything here becomes part of a path, a line of output or a JSON key, so the alphabets are
 * small and nothing may begin with a dot or hold a slash unless it says so. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "util/cleanup.h"

#define IDENT_UUID_SIZE	      37 /* 36 characters and the NUL */
#define IDENT_PARENT_NAME_MAX 64
#define IDENT_DRIVER_NAME_MAX 15
#define IDENT_WORD_MAX	      48  /* names of options, attributes, statistics */
#define IDENT_TYPE_MAX	      64  /* the local part of a type id; also a type's name */
#define IDENT_TEXT_MAX	      512 /* descriptions */
#define IDENT_ATTR_MAX	      128 /* full attribute names */

/*
 * Reads a UUID: 36 characters, hexadecimal of either case, dashes at 8, 13, 18 and 23; every
 * version and the nil one. Writes it in lower case. Returns 0 or -EINVAL.
 */
int ident_uuid_parse(const char *text, char ret_uuid[IDENT_UUID_SIZE]) umdev_warn_unused;

/* A parent: letters, digits and _ . : - , not beginning with one of the last four; and not
 * "scripts.d", which is where mdevctl keeps scripts beside the definitions. */
bool ident_parent_name_ok(const char *name);

/* A driver: [a-z][a-z0-9]*, at most IDENT_DRIVER_NAME_MAX. */
bool ident_driver_name_ok(const char *name);

/* An option, attribute or statistic of a driver: [a-z][a-z0-9_]*. */
bool ident_word_ok(const char *name);

/* The local part of a type id: [a-z0-9][a-z0-9_.-]*. */
bool ident_type_local_ok(const char *name);

/* The name of an attribute as a definition may hold it: words of [A-Za-z0-9_.-] joined by '/', none
 * of them "." or "..". */
bool ident_attr_name_ok(const char *name);

/* A line for people: 1..@max bytes of UTF-8 without control characters. */
bool ident_line_ok(const char *text, size_t max);
