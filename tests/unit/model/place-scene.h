/* SPDX-License-Identifier: BSD-3-Clause */
/* Snapshots for the tests of placement and plans: parents of a few units, with types small (one
 * unit), big (two) and plain (one, honours no knob). */
#pragma once

#include "model/place.h"

struct scene {
	struct type_table types;
	struct place_snapshot snapshot;
};

void scene_init(struct scene *scene);
void scene_done(struct scene *scene);

/* Adds a parent of so many units; in the order of names. Returns its index. */
size_t scene_parent(struct scene *scene, const char *name, uint64_t units);

/* Admits an mdev of type small that holds a unit, and returns it. */
struct place_mdev *scene_mdev(struct scene *scene, size_t parent, const char *uuid, uint32_t weight,
			      uint32_t cap);

/* Puts an mdev of @parent, of type small, into a group; before scene_seal(). */
void scene_group(struct scene *scene, size_t parent, struct place_mdev *mdev, const char *group,
		 const char *type);

/* When all were added. */
void scene_seal(struct scene *scene);

/* A want of a type with default knobs. */
struct place_want scene_want(const char *name, const char *type_id);
