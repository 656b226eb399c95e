/* SPDX-License-Identifier: BSD-3-Clause */
/* The tables of attr-*.c, and what they share with the attributes that the daemon adds. */
#pragma once

#include "sysfs/attr.h"

/* Of a parent's directory, a type's, an mdev's, of the directory mdev/ in that, and of a group's.
 */
extern const struct attr attr_parent_rows[];
extern const struct attr attr_type_rows[];
extern const struct attr attr_mdev_rows[];
extern const struct attr attr_standard_rows[];
extern const struct attr attr_group_rows[];
extern const size_t attr_parent_count;
extern const size_t attr_type_count;
extern const size_t attr_mdev_count;
extern const size_t attr_standard_count;
extern const size_t attr_group_count;

/* The value of the attribute attr->key of an mdev, and setting it. */
int attr_show_value(const struct subject *s, const struct attr *attr, const json_t *answer,
		    char *text, size_t size);
int attr_store_value(const struct subject *s, const struct attr *attr, const char *text, size_t len,
		     struct attr_action *ret_action);

/* The file uevent: writing the name of an action sends it. */
int attr_store_uevent(const struct subject *s, const struct attr *attr, const char *text,
		      size_t len, struct attr_action *ret_action);
int attr_show_uevent(const struct subject *s, const struct attr *attr, const json_t *answer,
		     char *text, size_t size);

/* The type of @s in an answer to type.list, or NULL: its parent has no host now. */
const json_t *attr_answered_type(const struct subject *s, const json_t *answer);

/* Prints "../" for every directory of @path (and @more of them), then @target. */
int attr_print_up(char *text, size_t size, const char *path, unsigned more, const char *target);

/* Prints @format's text, but never more than fits: the length that stands in @text. */
int attr_print(char *text, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Who reads the kernel's attributes. */
#define ATTR_USERS_MDEV "mdevctl, libvirt, KubeVirt, Nova"
#define ATTR_SINCE_0_1	"0.1"
