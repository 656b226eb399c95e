/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tells the world what happened to the mirror: udev's listeners, and those who watch files.
 */
#pragma once

#include "sysfs/sync.h"
#include "sysfs/touch.h"
#include "sysfs/uevent.h"

struct tell {
	const struct tree *tree;
	struct uevent uevent;
	struct touch touch;
};

/* What came, goes, or changed. As in struct sync_ops. */
void tell_parent(struct tell *tell, const struct tree_parent *parent, bool came);
void tell_mdev(struct tell *tell, const struct tree_mdev *mdev, bool came);

/* The mdev was @before, an MDEV, and is otherwise now. */
void tell_mdev_changed(struct tell *tell, const struct tree_mdev *mdev, const json_t *before);

/* The attributes of the group may be others. */
void tell_group_changed(struct tell *tell, const struct tree_group *group);

/* Another number of instances may be available. */
void tell_pool_changed(struct tell *tell, const struct tree_parent *parent);

/* The event that somebody asked for by writing to a file uevent. */
void tell_action(struct tell *tell, const struct subject *s, const char *action);
