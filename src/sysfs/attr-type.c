/* SPDX-License-Identifier: BSD-3-Clause */
/* Attributes of a type: P/mdev_supported_types/TYPE. */
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "sysfs/attr-tables.h"

#define TYPE_UUID_LEN	    (TREE_UUID_SIZE - 1)
#define TYPE_WITH_GROUP_LEN (2 * TYPE_UUID_LEN + 1)

static int type_show_text(const struct subject *s, const struct attr *attr, const json_t *answer,
			  char *text, size_t size)
{
	return attr_print(text, size, "%s\n", tree_text(s->type->object, attr->key));
}

static bool type_has_text(const struct subject *s, const struct attr *attr)
{
	return tree_text(s->type->object, attr->key)[0] != '\0';
}

static int type_show_number(const struct subject *s, const struct attr *attr, const json_t *answer,
			    char *text, size_t size)
{
	return attr_print(text, size, "%lld\n",
			  (long long)tree_number(s->type->object, attr->key, 0));
}

static int type_show_flag(const struct subject *s, const struct attr *attr, const json_t *answer,
			  char *text, size_t size)
{
	return attr_print(text, size, "%d\n",
			  json_is_true(json_object_get(s->type->object, attr->key)));
}

static int type_show_words(const struct subject *s, const struct attr *attr, const json_t *answer,
			   char *text, size_t size)
{
	const json_t *words = json_object_get(s->type->object, attr->key);
	size_t used = 0;
	json_t *word;
	size_t i;

	json_array_foreach (words, i, word) {
		const char *of = json_string_value(word);

		used += (size_t)attr_print(text + used, size - used, "%s%s", i ? " " : "",
					   of ? of : "");
	}
	return (int)used + attr_print(text + used, size - used, "\n");
}

/* As the daemon says at this moment; a parent without a host can create nothing. */
static int type_show_available(const struct subject *s, const struct attr *attr,
			       const json_t *answer, char *text, size_t size)
{
	int64_t available = tree_number(attr_answered_type(s, answer), attr->key, 0);

	return attr_print(text, size, "%lld\n", (long long)available);
}

/* A UUID of either case, in lower case. */
static bool type_take_uuid(const char *text, char ret_uuid[TREE_UUID_SIZE])
{
	for (size_t i = 0; i < TYPE_UUID_LEN; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
			return false;
		ret_uuid[i] = (char)tolower((unsigned char)text[i]);
	}
	ret_uuid[TYPE_UUID_LEN] = '\0';
	return true;
}

static int type_create(const struct subject *s, const struct attr *attr, const char *text,
		       size_t len, struct attr_action *ret_action)
{
	bool with_group = len == TYPE_WITH_GROUP_LEN || len == TYPE_WITH_GROUP_LEN + 1;
	char uuid[TREE_UUID_SIZE];
	char group[TREE_UUID_SIZE];

	/* As the kernel: the one byte that may follow can be any. */
	if ((!with_group && len != TYPE_UUID_LEN && len != TYPE_UUID_LEN + 1) ||
	    !type_take_uuid(text, uuid))
		return -EINVAL;
	if (with_group &&
	    (text[TYPE_UUID_LEN] != ':' || !type_take_uuid(text + TYPE_UUID_LEN + 1, group)))
		return -EINVAL;
	*ret_action = (struct attr_action){
		.deed = ATTR_DEED_CREATE,
		.method = "mdev.start",
		.params = json_pack("{s:s,s:s,s:s,s:s*}", "uuid", uuid, "parent", s->parent->name,
				    "type", s->type->name, "group", with_group ? group : NULL),
	};
	return ret_action->params ? 0 : -ENOMEM;
}

const struct attr attr_type_rows[] = {
	{
		.name = "create",
		.mode = S_IFREG | 0200,
		.store = type_create,
		.since = ATTR_SINCE_0_1,
		.users = ATTR_USERS_MDEV,
		.doc = "Writing a UUID of 36 characters, which one more byte may follow, creates an "
		       "mdev of this type; when the write returns, the device is there whole and "
		       "its socket accepts a client. If the daemon has a definition of that UUID "
		       "under this parent, the mdev starts with its attributes. UUID:GROUP, two "
		       "UUIDs in 73 characters, which one more byte may follow, makes it a member "
		       "of that group. EINVAL: no UUID, or the definition says another type or "
		       "group, or the type or driver forbids the group. EEXIST: the UUID is in "
		       "use, on any parent. EBUSY: members of the group are in use, and a type "
		       "among them has no group_hotplug. EUSERS: no instance is available. ENOSPC: "
		       "the share that it or an mdev there was promised would be broken. ENODEV: "
		       "the parent is going or has no host. EPERM: another user defined it. Other "
		       "errors are the driver's own.",
	},
	{
		.name = "name",
		.mode = S_IFREG | 0444,
		.key = "name",
		.show = type_show_text,
		.since = ATTR_SINCE_0_1,
		.users = ATTR_USERS_MDEV,
		.doc = "The name of the type, unique within its driver and stable for ever: the same "
		       "name has the same characteristics.",
	},
	{
		.name = "description",
		.mode = S_IFREG | 0444,
		.key = "description",
		.show = type_show_text,
		.visible = type_has_text,
		.since = ATTR_SINCE_0_1,
		.users = ATTR_USERS_MDEV,
		.doc = "What the driver says about the type, if it says something.",
	},
	{
		.name = "class",
		.mode = S_IFREG | 0444,
		.key = "class",
		.show = type_show_text,
		.since = ATTR_SINCE_0_1,
		.doc = "What the type is to its user: storage, serial, display, crypto, network or "
		       "compute. Each class has attributes of its own, which stand beside this one: "
		       "capacity and block_size; ports; fb_length, max_resolution and heads; "
		       "algorithms; max_bandwidth.",
	},
	{
		.name = "device_api",
		.mode = S_IFREG | 0444,
		.key = "device_api",
		.show = type_show_text,
		.since = ATTR_SINCE_0_1,
		.users = ATTR_USERS_MDEV,
		.doc = "Always vfio-pci.",
	},
	{
		.name = "available_instances",
		.mode = S_IFREG | 0444,
		.from = ATTR_FROM_TYPES,
		.changes = true,
		.key = "available_instances",
		.show = type_show_available,
		.since = ATTR_SINCE_0_1,
		.users = ATTR_USERS_MDEV,
		.doc = "How many more mdevs of this type can be created now. All types of a parent "
		       "draw on one pool, so every create and remove may change it for all of them.",
	},
	{
		.name = "max_instances",
		.mode = S_IFREG | 0444,
		.key = "max_instances",
		.show = type_show_number,
		.since = ATTR_SINCE_0_1,
		.doc = "How many of this type an empty parent could have.",
	},
	{
		.name = "group_scope",
		.mode = S_IFREG | 0444,
		.key = "group_scope",
		.show = type_show_text,
		.since = ATTR_SINCE_0_1,
		.doc = "Who may be in one group: none, device (mdevs of this parent) or driver (of "
		       "all parents of this driver).",
	},
	{
		.name = "requires_group",
		.mode = S_IFREG | 0444,
		.key = "requires_group",
		.show = type_show_flag,
		.since = ATTR_SINCE_0_1,
		.doc = "1 if an mdev of this type exists only inside a group, else 0.",
	},
	{
		.name = "group_hotplug",
		.mode = S_IFREG | 0444,
		.key = "group_hotplug",
		.show = type_show_flag,
		.since = ATTR_SINCE_0_1,
		.doc = "1 if mdevs of this type may join and leave a group that is in use, else 0.",
	},
	{
		.name = "qos",
		.mode = S_IFREG | 0444,
		.key = "qos",
		.show = type_show_words,
		.since = ATTR_SINCE_0_1,
		.doc = "Which knobs the type honours: any of cap, weight and priority.",
	},
};
const size_t attr_type_count = ARRAY_SIZE(attr_type_rows);
