/* SPDX-License-Identifier: BSD-3-Clause */
/* Telling of changes. See tell.h. */
#include "sysfs/tell.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sysfs/attr.h"

static struct subject tell_of_parent(const struct tell *tell, const struct tree_parent *parent)
{
	return (struct subject){.tree = tell->tree,
				.parent = (struct tree_parent *)(uintptr_t)parent};
}

static struct subject tell_of_mdev(const struct tell *tell, const struct tree_mdev *mdev)
{
	return (struct subject){.tree = tell->tree,
				.parent = mdev->parent,
				.type = mdev->type,
				.mdev = (struct tree_mdev *)(uintptr_t)mdev};
}

/* Tells of @node at the path below the mount. */
static void tell_watchers(struct tell *tell, enum touch_deed deed, struct node node,
			  const char *format, ...) __attribute__((format(printf, 4, 5)));

static void tell_watchers(struct tell *tell, enum touch_deed deed, struct node node,
			  const char *format, ...)
{
	char path[TOUCH_PATH_MAX];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(path, sizeof(path), format, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < sizeof(path))
		touch_tell(&tell->touch, deed, node_up(tell->tree, node), node, path);
}

static struct node tell_node(enum node_kind kind, uint64_t object)
{
	return (struct node){kind, 0, object};
}

void tell_parent(struct tell *tell, const struct tree_parent *parent, bool came)
{
	enum touch_deed link = came ? TOUCH_CAME_LINK : TOUCH_WENT_LINK;
	enum touch_deed dir = came ? TOUCH_CAME_DIR : TOUCH_WENT_DIR;
	struct subject s = tell_of_parent(tell, parent);

	if (came)
		uevent_send(&tell->uevent, &s, "add", NULL);
	uevent_send(&tell->uevent, &s, "change",
		    came ? "MDEV_STATE=registered" : "MDEV_STATE=unregistered");
	if (!came)
		uevent_send(&tell->uevent, &s, "remove", NULL);
	tell_watchers(tell, dir, tell_node(NODE_PARENT, parent->thing.id), "%s", parent->path);
	tell_watchers(tell, link, tell_node(NODE_LINK_MDEV_BUS, parent->thing.id),
		      "sys/class/mdev_bus/%s", parent->name);
}

/* The directory of a group comes with its first member and goes with the last, and so does the link
 * of that one. */
static void tell_member(struct tell *tell, const struct tree_mdev *mdev, bool came)
{
	const struct tree_group *group = mdev->group;
	struct node link = tell_node(NODE_LINK_MEMBER, mdev->thing.id);
	struct node dir = tell_node(NODE_GROUP, group->thing.id);

	if (group->mdev_count == 1)
		tell_watchers(tell, came ? TOUCH_CAME_DIR : TOUCH_WENT_DIR, dir,
			      "sys/bus/mdev/groups/%s", group->uuid);
	else
		tell_watchers(tell, came ? TOUCH_CAME_LINK : TOUCH_WENT_LINK, link,
			      "sys/bus/mdev/groups/%s/devices/%s", group->uuid, mdev->uuid);
}

void tell_mdev(struct tell *tell, const struct tree_mdev *mdev, bool came)
{
	enum touch_deed link = came ? TOUCH_CAME_LINK : TOUCH_WENT_LINK;
	enum touch_deed dir = came ? TOUCH_CAME_DIR : TOUCH_WENT_DIR;
	struct subject s = tell_of_mdev(tell, mdev);

	uevent_send(&tell->uevent, &s, came ? "add" : "unbind", NULL);
	uevent_send(&tell->uevent, &s, came ? "bind" : "remove", NULL);
	tell_watchers(tell, dir, tell_node(NODE_MDEV, mdev->thing.id), "%s/%s", mdev->parent->path,
		      mdev->uuid);
	tell_watchers(tell, link, tell_node(NODE_LINK_MDEV, mdev->thing.id),
		      "sys/bus/mdev/devices/%s", mdev->uuid);
	tell_watchers(tell, link, tell_node(NODE_LINK_TYPE, mdev->thing.id),
		      "%s/mdev_supported_types/%s/devices/%s", mdev->parent->path, mdev->type->name,
		      mdev->uuid);
	if (mdev->group)
		tell_member(tell, mdev, came);
}

void tell_group_changed(struct tell *tell, const struct tree_group *group)
{
	static const char *const names[] = {"cap", "weight", "scope", "state"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		tell_watchers(tell, TOUCH_CHANGED, tell_node(NODE_GROUP, group->thing.id),
			      "sys/bus/mdev/groups/%s/%s", group->uuid, names[i]);
}

void tell_mdev_changed(struct tell *tell, const struct tree_mdev *mdev, const json_t *before)
{
	const struct tree_parent *parent = mdev->parent;
	struct subject s = tell_of_mdev(tell, mdev);
	struct node node = tell_node(NODE_MDEV, mdev->thing.id);

	uevent_send(&tell->uevent, &s, "change", NULL);
	for (size_t i = 0; i < parent->attr_count; i++) {
		const char *name = parent->attrs[i].name;

		if (strcmp(tree_attr_value(parent, before, name),
			   tree_attr_value(parent, mdev->object, name)) != 0)
			tell_watchers(tell, TOUCH_CHANGED, node, "%s/%s/%s", parent->path,
				      mdev->uuid, name);
	}
	if (json_is_true(json_object_get(before, "in_use")) !=
	    json_is_true(json_object_get(mdev->object, "in_use")))
		tell_watchers(tell, TOUCH_CHANGED, node, "%s/%s/mdev/in_use", parent->path,
			      mdev->uuid);
}

void tell_pool_changed(struct tell *tell, const struct tree_parent *parent)
{
	const struct tree_type *type;

	list_for_each (type, &parent->types, link)
		tell_watchers(tell, TOUCH_CHANGED, tell_node(NODE_TYPE, type->thing.id),
			      "%s/mdev_supported_types/%s/available_instances", parent->path,
			      type->name);
}

void tell_action(struct tell *tell, const struct subject *s, const char *action)
{
	uevent_send(&tell->uevent, s, action, NULL);
}
