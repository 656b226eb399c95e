/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Placement and admission on what the broker has: snapshots for model/place.h, the checks that a
 * start or a change keeps what was promised, and the choice of a parent where none was named.
 *
 * The checks look at the present state only. What has passed one is part of that state at once: a
 * started mdev is no longer idle, a changed one says what it becomes (mdev->changing_to).
 */
#pragma once

#include "broker/mdev.h"
#include "model/place.h"

/* All parents and who is on them. Freed with place_snapshot_done(). Returns 0 or -ENOMEM. */
int place_take_snapshot(struct broker *broker, struct place_snapshot *ret) umdev_warn_unused;

/*
 * Whether @mdev, idle, may start on @parent as @running says: NO_SHARE when it would not get the
 * share that it is promised, or another would no longer; the message names whom.
 */
int place_check_start(const struct mdev *mdev, const struct parent *parent, const struct type *type,
		      const struct definition *running, struct umdev_error *err) umdev_warn_unused;

/* The same for an active @mdev that is to become @next. */
int place_check_change(const struct mdev *mdev, const struct definition *next,
		       struct umdev_error *err) umdev_warn_unused;

/* The same for the definition of an mdev that is not active: only where its parent reserves. */
int place_check_definition(struct broker *broker, const char *parent_name, const char *uuid,
			   const struct definition *next,
			   struct umdev_error *err) umdev_warn_unused;

/* The same for the cap and weight of a group, on every parent. */
int place_check_group(struct broker *broker, const char *group, const struct knobs *next,
		      struct umdev_error *err) umdev_warn_unused;

/* Fills in cap and weight of the group @group->uuid. */
void place_fill_group(struct broker *broker, struct place_group *group);

/*
 * Chooses a parent for a call of mdev.start or mdev.define that names a type and no parent, unless
 * the mdev has one already: puts it into the call's parameters, and "placement" into its answer.
 * Returns 0, also when there is nothing to choose.
 */
int place_call(struct api_call *call, bool start, struct umdev_error *err) umdev_warn_unused;
