/* SPDX-License-Identifier: BSD-3-Clause */
/* Attributes of a group of mdevs: /sys/bus/mdev/groups/GROUP. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "sysfs/attr-tables.h"
#include "util/parse.h"

#define GROUP_VALUE_MAX 32

/* The group in an answer to group.list; NULL: its last member has gone. */
static const json_t *group_answered(const json_t *answer)
{
	return json_array_get(json_object_get(answer, "groups"), 0);
}

static int group_show_text(const struct subject *s, const struct attr *attr, const json_t *answer,
			   char *text, size_t size)
{
	const json_t *group = group_answered(answer);

	return group ? attr_print(text, size, "%s\n", tree_text(group, attr->key)) : -ENODEV;
}

static int group_show_number(const struct subject *s, const struct attr *attr, const json_t *answer,
			     char *text, size_t size)
{
	const json_t *group = group_answered(answer);

	return group ? attr_print(text, size, "%.15g\n",
				  json_number_value(json_object_get(group, attr->key)))
		     : -ENODEV;
}

/* What was written without a line end, as text. */
static int group_take(const char *text, size_t len, char value[GROUP_VALUE_MAX])
{
	if (len > 0 && text[len - 1] == '\n')
		len--;
	if (len >= GROUP_VALUE_MAX || memchr(text, '\0', len))
		return -EINVAL;
	memcpy(value, text, len);
	value[len] = '\0';
	return 0;
}

/* Asks for the knob attr->key to be @number (stolen; NULL: out of memory). */
static int group_set(const struct subject *s, const struct attr *attr, json_t *number,
		     struct attr_action *ret_action)
{
	*ret_action = (struct attr_action){
		.deed = ATTR_DEED_SET,
		.method = "group.qos",
		.params =
			number ? json_pack("{s:s,s:o}", "group", s->group->uuid, attr->key, number)
			       : NULL,
	};
	return ret_action->params ? 0 : -ENOMEM;
}

static int group_store_cap(const struct subject *s, const struct attr *attr, const char *text,
			   size_t len, struct attr_action *ret_action)
{
	char value[GROUP_VALUE_MAX];
	uint64_t hundredths = 0;

	if (group_take(text, len, value) < 0 || parse_hundredths(value, &hundredths) < 0)
		return -EINVAL;
	return group_set(s, attr,
			 hundredths % 100 ? json_real((double)hundredths / 100)
					  : json_integer((json_int_t)(hundredths / 100)),
			 ret_action);
}

static int group_store_weight(const struct subject *s, const struct attr *attr, const char *text,
			      size_t len, struct attr_action *ret_action)
{
	char value[GROUP_VALUE_MAX];
	uint64_t weight = 0;

	if (group_take(text, len, value) < 0 || parse_u64(value, &weight) < 0 || weight > INT64_MAX)
		return -EINVAL;
	return group_set(s, attr, json_integer((json_int_t)weight), ret_action);
}

const struct attr attr_group_rows[] = {
	{
		.name = "cap",
		.mode = S_IFREG | 0644,
		.from = ATTR_FROM_GROUP,
		.changes = true,
		.key = "cap",
		.show = group_show_number,
		.store = group_store_cap,
		.since = ATTR_SINCE_0_1,
		.doc = "The most of the time of each of its parents that the members may own "
		       "together, in percent: 0.01 to 100, 100 being no bound. Takes effect at "
		       "once.",
	},
	{
		.name = "weight",
		.mode = S_IFREG | 0644,
		.from = ATTR_FROM_GROUP,
		.changes = true,
		.key = "weight",
		.show = group_show_number,
		.store = group_store_weight,
		.since = ATTR_SINCE_0_1,
		.doc = "How the time of each of its parents is divided between the group and others "
		       "that have work: 1 to 10000. Takes effect at once. The members share what "
		       "the group gets by their own weights.",
	},
	{
		.name = "scope",
		.mode = S_IFREG | 0444,
		.from = ATTR_FROM_GROUP,
		.changes = true,
		.key = "scope",
		.show = group_show_text,
		.since = ATTR_SINCE_0_1,
		.doc = "How far its members may be from each other: device, all are on one parent, "
		       "or driver, all are of one vendor driver.",
	},
	{
		.name = "state",
		.mode = S_IFREG | 0444,
		.from = ATTR_FROM_GROUP,
		.changes = true,
		.key = "state",
		.show = group_show_text,
		.since = ATTR_SINCE_0_1,
		.doc = "partial while only some of the members are active, active, or in-use while a "
		       "client is connected to one.",
	},
};
const size_t attr_group_count = ARRAY_SIZE(attr_group_rows);
