/* SPDX-License-Identifier: BSD-3-Clause */
/* Attributes of an mdev: of its directory, and of the standard directory mdev/ in that. */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sysfs/attr-tables.h"

/* ---- Printing -------------------------------------------------------------------------------- */

int attr_print(char *text, size_t size, const char *format, ...)
{
	va_list ap;
	int n;

	if (size == 0)
		return 0;
	va_start(ap, format);
	n = vsnprintf(text, size, format, ap);
	va_end(ap);
	return n < 0 ? 0 : (int)MIN((size_t)n, size - 1);
}

int attr_print_up(char *text, size_t size, const char *path, unsigned more, const char *target)
{
	size_t used = 0;

	/* "sys/a/b": two directories below the one that holds bus and class. */
	for (; *path; path++)
		more += *path == '/';
	while (more-- > 0)
		used += (size_t)attr_print(text + used, size - used, "../");
	return (int)used + attr_print(text + used, size - used, "%s", target);
}

/* ---- The device ------------------------------------------------------------------------------ */

static int mdev_show_type(const struct subject *s, const struct attr *attr, const json_t *answer,
			  char *text, size_t size)
{
	return attr_print(text, size, "../mdev_supported_types/%s", s->type->name);
}

static int mdev_show_subsystem(const struct subject *s, const struct attr *attr,
			       const json_t *answer, char *text, size_t size)
{
	return attr_print_up(text, size, s->parent->path, 1, "bus/mdev");
}

static int mdev_show_driver(const struct subject *s, const struct attr *attr, const json_t *answer,
			    char *text, size_t size)
{
	char target[TREE_NAME_MAX + 32];

	snprintf(target, sizeof(target), "bus/mdev/drivers/%s", s->parent->driver);
	return attr_print_up(text, size, s->parent->path, 1, target);
}

static int mdev_show_group(const struct subject *s, const struct attr *attr, const json_t *answer,
			   char *text, size_t size)
{
	char target[48];

	snprintf(target, sizeof(target), "kernel/iommu_groups/%u", s->mdev->iommu_group);
	return attr_print_up(text, size, s->parent->path, 1, target);
}

/* A number as the kernel's remove reads one: not negative, decimal, 0x and 0 mean what they mean in
 * C, and one line end may follow. */
static int mdev_take_number(const char *text, size_t len, unsigned long long *ret_number)
{
	char *end;

	/* strtoull() would skip blanks and take a minus. */
	if (!isdigit((unsigned char)text[0]) &&
	    (text[0] != '+' || !isdigit((unsigned char)text[1])))
		return -EINVAL;
	errno = 0;
	*ret_number = strtoull(text, &end, 0);
	if (errno == ERANGE)
		return -EINVAL;
	if (*end == '\n')
		end++;
	return (size_t)(end - text) != len ? -EINVAL : 0;
}

static int mdev_remove(const struct subject *s, const struct attr *attr, const char *text,
		       size_t len, struct attr_action *ret_action)
{
	unsigned long long number = 0;
	int r = mdev_take_number(text, len, &number);

	if (r < 0)
		return r;
	*ret_action = (struct attr_action){.deed = ATTR_DEED_NOTHING};
	/* Whoever comes second has nothing left to do. */
	if (number == 0 || s->mdev->removing)
		return 0;
	ret_action->deed = ATTR_DEED_REMOVE;
	ret_action->method = "mdev.stop";
	ret_action->params = json_pack("{s:s}", "uuid", s->mdev->uuid);
	return ret_action->params ? 0 : -ENOMEM;
}

const struct attr attr_mdev_rows[] = {
	{
		.name = "remove",
		.mode = S_IFREG | 0200,
		.store = mdev_remove,
		.since = ATTR_SINCE_0_1,
		.users = ATTR_USERS_MDEV,
		.doc = "Writing a number other than 0 removes the mdev. Of two that do so at once, "
		       "the second succeeds without doing anything. EINVAL: no number. EBUSY: a "
		       "client uses it, or its group, which it may not leave then. EPERM: another "
		       "user made it. ENODEV: it is gone.",
	},
	{
		.name = "mdev_type",
		.mode = S_IFLNK | 0777,
		.show = mdev_show_type,
		.since = ATTR_SINCE_0_1,
		.users = ATTR_USERS_MDEV,
		.doc = "Leads to its type.",
	},
	{
		.name = "subsystem",
		.mode = S_IFLNK | 0777,
		.show = mdev_show_subsystem,
		.since = ATTR_SINCE_0_1,
		.users = "udev, libvirt",
		.doc = "Leads to /sys/bus/mdev.",
	},
	{
		.name = "driver",
		.mode = S_IFLNK | 0777,
		.show = mdev_show_driver,
		.since = ATTR_SINCE_0_1,
		.users = "udev, libvirt",
		.doc = "Leads to the vendor driver among those of the bus.",
	},
	{
		.name = "iommu_group",
		.mode = S_IFLNK | 0777,
		.show = mdev_show_group,
		.since = ATTR_SINCE_0_1,
		.users = "libvirt, which shows no mdev without one",
		.doc = "Leads to a group of its own. Nothing but its number is true of it: the "
		       "memory of a guest is reached by what the VMM lends, not by an IOMMU.",
	},
	{
		.name = "uevent",
		.mode = S_IFREG | 0644,
		.show = attr_show_uevent,
		.store = attr_store_uevent,
		.since = ATTR_SINCE_0_1,
		.users = "udev, libvirt",
		.doc = "What udev is told about the device. Writing add, remove, change, bind, "
		       "unbind, online, offline or move sends that event again.",
	},
};
const size_t attr_mdev_count = ARRAY_SIZE(attr_mdev_rows);

/* ---- Values ---------------------------------------------------------------------------------- */

int attr_show_value(const struct subject *s, const struct attr *attr, const json_t *answer,
		    char *text, size_t size)
{
	return attr_print(text, size, "%s\n",
			  tree_attr_value(s->parent, s->mdev->object, attr->key));
}

int attr_store_value(const struct subject *s, const struct attr *attr, const char *text, size_t len,
		     struct attr_action *ret_action)
{
	size_t value_len = len > 0 && text[len - 1] == '\n' ? len - 1 : len;

	if (memchr(text, '\0', len))
		return -EINVAL;
	*ret_action = (struct attr_action){
		.deed = ATTR_DEED_SET,
		.method = "mdev.set",
		.params = json_pack("{s:s,s:s,s:s%}", "uuid", s->mdev->uuid, "name", attr->key,
				    "value", text, value_len),
	};
	/* Memory, or a text that is not UTF-8; the latter is likelier. */
	return ret_action->params ? 0 : -EINVAL;
}

/* ---- mdev/ ----------------------------------------------------------------------------------- */

static int standard_show_text(const struct subject *s, const struct attr *attr,
			      const json_t *answer, char *text, size_t size)
{
	return attr_print(text, size, "%s\n", tree_text(s->mdev->object, attr->key));
}

static int standard_show_flag(const struct subject *s, const struct attr *attr,
			      const json_t *answer, char *text, size_t size)
{
	return attr_print(text, size, "%d\n",
			  json_is_true(json_object_get(s->mdev->object, attr->key)));
}

/* A number of QOS; a host that does not say it has it not at this moment. */
static int standard_print_number(const json_t *object, const char *key, char *text, size_t size)
{
	int64_t number = tree_number(object, key, -1);

	if (number < 0)
		return -EAGAIN;
	return attr_print(text, size, "%lld\n", (long long)number);
}

static int standard_show_number(const struct subject *s, const struct attr *attr,
				const json_t *answer, char *text, size_t size)
{
	return standard_print_number(answer, attr->key, text, size);
}

static int standard_show_cause(const struct subject *s, const struct attr *attr,
			       const json_t *answer, char *text, size_t size)
{
	return standard_print_number(json_object_get(answer, "wait_by_cause_ns"), attr->key, text,
				     size);
}

#define STANDARD_KNOB(the_name, the_doc)                                                           \
	{                                                                                          \
		.name = (the_name), .mode = S_IFREG | 0644, .changes = true,                       \
		.key = "mdev/" the_name, .show = attr_show_value, .store = attr_store_value,       \
		.since = ATTR_SINCE_0_1, .users = "mdevctl --addattr, libvirt <attr>",             \
		.doc = (the_doc)                                                                   \
	}

#define STANDARD_COUNTER(the_name, the_show, the_key, the_doc)                                     \
	{                                                                                          \
		.name = (the_name), .mode = S_IFREG | 0444, .from = ATTR_FROM_QOS,                 \
		.key = (the_key), .show = (the_show), .since = ATTR_SINCE_0_1, .doc = (the_doc)    \
	}

const struct attr attr_standard_rows[] = {
	STANDARD_KNOB("cap", "The most of the parent's time that it may own, in percent: 0.01 to "
			     "100, 100 being no bound. Takes effect at once."),
	STANDARD_KNOB("weight",
		      "How the parent's time is divided among the mdevs that have work: 1 "
		      "to 10000. Takes effect at once."),
	STANDARD_KNOB("priority",
		      "Who goes first within what cap and weight allow: 0 to 7, higher first. "
		      "Takes effect at once."),
	STANDARD_KNOB("min_share", "The share of the parent that it is promised, in percent; 0 is "
				   "none. ENOSPC where weights and caps do not give that much. "
				   "EBUSY while a client uses the mdev."),
	STANDARD_KNOB("socket_user", "The user, by name or number, that owns the socket. EBUSY "
				     "while a client uses the mdev."),
	STANDARD_KNOB("socket_group", "The group, by name or number, of the socket. EBUSY while a "
				      "client uses the mdev."),
	STANDARD_KNOB("socket_mode", "The permission bits of the socket, octal. EBUSY while a "
				     "client uses the mdev."),
	STANDARD_KNOB("group",
		      "The group that it is in, a UUID, or an empty line. EBUSY for any other "
		      "value: to move a device, remove it and create it in the other group."),
	{
		.name = "class",
		.mode = S_IFREG | 0444,
		.key = "class",
		.show = standard_show_text,
		.since = ATTR_SINCE_0_1,
		.doc = "The class of its type.",
	},
	{
		.name = "socket",
		.mode = S_IFREG | 0444,
		.key = "socket",
		.show = standard_show_text,
		.since = ATTR_SINCE_0_1,
		.doc = "The path of the vfio-user socket that a VMM connects to.",
	},
	{
		.name = "owner",
		.mode = S_IFREG | 0444,
		.key = "owner",
		.show = standard_show_text,
		.since = ATTR_SINCE_0_1,
		.doc = "Whose it is, as given at its creation; often empty.",
	},
	{
		.name = "in_use",
		.mode = S_IFREG | 0444,
		.changes = true,
		.key = "in_use",
		.show = standard_show_flag,
		.since = ATTR_SINCE_0_1,
		.doc = "1 while a client is connected, else 0.",
	},
	STANDARD_COUNTER("jobs", standard_show_number, "jobs", "Jobs started so far."),
	STANDARD_COUNTER("queued", standard_show_number, "queued", "Jobs that wait now."),
	STANDARD_COUNTER("in_flight", standard_show_number, "in_flight", "Jobs on the device now."),
	STANDARD_COUNTER(
		"owned_ns", standard_show_number, "owned_ns",
		"Nanoseconds of the device that were its own: with N jobs in flight each is "
		"charged 1/N of the time."),
	STANDARD_COUNTER("wait_ns", standard_show_number, "wait_ns",
			 "Nanoseconds that its jobs waited, in sum. The four below add up to it, "
			 "when read at one moment."),
	STANDARD_COUNTER("wait_cap_ns", standard_show_cause, "cap",
			 "Of these, because of its own cap."),
	STANDARD_COUNTER("wait_turn_ns", standard_show_cause, "turn",
			 "Of these, because it was the turn of others."),
	STANDARD_COUNTER("wait_priority_ns", standard_show_cause, "priority",
			 "Of these, because others have a higher priority."),
	STANDARD_COUNTER("wait_engine_ns", standard_show_cause, "engine",
			 "Of these, because the device was full of its own jobs."),
};
const size_t attr_standard_count = ARRAY_SIZE(attr_standard_rows);
