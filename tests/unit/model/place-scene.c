/* SPDX-License-Identifier: BSD-3-Clause */
/* Snapshots for the tests of placement and plans. See place-scene.h. */
#include "place-scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define STORAGE "\"class\":\"storage\",\"attrs\":[[\"capacity\",null],[\"block_size\",\"512\"]]"

static const char scene_types[] =
	"[{\"id\":\"small\",\"name\":\"Small\",\"cost\":1,\"qos\":7,\"group_scope\":1," STORAGE "},"
	"{\"id\":\"big\",\"name\":\"Big\",\"cost\":2,\"qos\":7,\"group_scope\":2," STORAGE "},"
	"{\"id\":\"plain\",\"name\":\"Plain\",\"cost\":1," STORAGE "}]";

void scene_init(struct scene *scene)
{
	json_t *types = json_loads(scene_types, 0, NULL);
	struct umdev_error err = {0};

	memset(scene, 0, sizeof(*scene));
	if (type_table_parse(types, "x", &scene->types, &err) < 0)
		fail_msg("%s", err.message);
	json_decref(types);
	scene->snapshot.parents = calloc(16, sizeof(*scene->snapshot.parents));
	assert_non_null(scene->snapshot.parents);
}

void scene_done(struct scene *scene)
{
	place_snapshot_done(&scene->snapshot);
	type_table_done(&scene->types);
}

size_t scene_parent(struct scene *scene, const char *name, uint64_t units)
{
	struct place_parent *p = &scene->snapshot.parents[scene->snapshot.count];

	snprintf(p->name, sizeof(p->name), "%s", name);
	snprintf(p->driver, sizeof(p->driver), "x");
	p->types = &scene->types;
	assert_int_equal(pool_init(&p->pool, units, 1), 0);
	return scene->snapshot.count++;
}

struct place_mdev *scene_mdev(struct scene *scene, size_t parent, const char *uuid, uint32_t weight,
			      uint32_t cap)
{
	struct place_parent *p = &scene->snapshot.parents[parent];
	struct place_mdev *m = place_parent_add(p);
	struct pool_range piece;

	assert_non_null(m);
	snprintf(m->uuid, sizeof(m->uuid), "%s", uuid);
	m->weight = m->weight_least = weight;
	m->cap = m->cap_least = cap;
	assert_int_equal(pool_claim(&p->pool, uuid, &scene->types.types[0].want, &piece), 0);
	return m;
}

void scene_group(struct scene *scene, size_t parent, struct place_mdev *mdev, const char *group,
		 const char *type)
{
	struct place_peer *peer = place_snapshot_add_peer(&scene->snapshot);

	assert_non_null(peer);
	snprintf(mdev->group, sizeof(mdev->group), "%s", group);
	snprintf(peer->group, sizeof(peer->group), "%s", group);
	snprintf(peer->uuid, sizeof(peer->uuid), "%s", mdev->uuid);
	snprintf(peer->parent, sizeof(peer->parent), "%s", scene->snapshot.parents[parent].name);
	snprintf(peer->driver, sizeof(peer->driver), "x");
	peer->type = type_find_id(&scene->types, type);
	peer->active = true;
}

void scene_seal(struct scene *scene)
{
	for (size_t i = 0; i < scene->snapshot.count; i++)
		assert_int_equal(place_parent_seal(&scene->snapshot.parents[i]), 0);
}

struct place_want scene_want(const char *name, const char *type_id)
{
	struct place_want want = {
		.type_id = type_id,
		.knobs = {.cap = KNOBS_CAP_NONE, .weight = KNOBS_WEIGHT_DEFAULT},
		.group_is = {.cap = KNOBS_CAP_NONE, .weight = KNOBS_WEIGHT_DEFAULT},
		.starts = true,
	};

	snprintf(want.uuid, sizeof(want.uuid), "%s", name);
	return want;
}
