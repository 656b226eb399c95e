/* SPDX-License-Identifier: BSD-3-Clause */
/* Snapshots of the broker, and what a start or a change may not break. See place.h. */
#include "broker/place.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <umdev/driver.h>

#include "broker/group.h"

/* ---- Snapshots ------------------------------------------------------------------------------- */

/* The knobs that count in the division: a type that does not honour one has its default. */
static void place_read_knobs(const struct definition *definition, const struct type *type,
			     struct knobs *ret_knobs)
{
	knobs_read(definition, ret_knobs);
	if (type && !(type->qos & UMDEV_QOS_WEIGHT))
		ret_knobs->weight = KNOBS_WEIGHT_DEFAULT;
	if (type && !(type->qos & UMDEV_QOS_CAP))
		ret_knobs->cap = KNOBS_CAP_NONE;
}

void place_fill_group(struct broker *broker, struct place_group *group)
{
	struct knobs knobs;

	group_knobs(broker, group->uuid, &knobs);
	group->weight = knobs.weight;
	group->cap = knobs.cap;
}

/* What @mdev on @parent counts as, or NULL when it is not admitted. */
static const struct definition *place_admitted_as(const struct parent *parent,
						  const struct mdev *mdev)
{
	if (mdev->state != MDEV_IDLE)
		return mdev->running;
	return parent_reserves(parent) ? mdev->definition : NULL;
}

static const struct type *place_type(const struct parent *parent, const struct mdev *mdev,
				     const struct definition *d)
{
	if (!parent || !parent->opened)
		return NULL;
	if (mdev->state != MDEV_IDLE && mdev->type_index < parent->types.count)
		return &parent->types.types[mdev->type_index];
	return d->type_id ? type_find_id(&parent->types, d->type_id) : NULL;
}

static int place_add_mdev(const struct parent *parent, const struct mdev *mdev,
			  struct place_parent *to)
{
	const struct definition *d = place_admitted_as(parent, mdev);
	const struct type *type = d ? place_type(parent, mdev, d) : NULL;
	struct place_mdev *m = d ? place_parent_add(to) : NULL;
	struct knobs knobs;

	if (!d)
		return 0;
	if (!m)
		return -ENOMEM;
	memcpy(m->uuid, mdev->uuid, sizeof(m->uuid));
	definition_group(d, m->group);
	place_read_knobs(d, type, &knobs);
	m->weight = m->weight_least = knobs.weight;
	m->cap = m->cap_least = knobs.cap;
	m->min_share = knobs_min_share(d);
	m->state = mdev->state != MDEV_IDLE ? PLACE_ACTIVE : PLACE_RESERVED;
	m->defined = mdev_is_defined(mdev);
	m->in_use = mdev->in_use;
	/* Nobody knows yet which of both it will be: the worse one, for others and for itself. */
	if (mdev->state != MDEV_IDLE && mdev->changing_to) {
		place_read_knobs(mdev->changing_to, type, &knobs);
		m->weight_least = MIN(m->weight, knobs.weight);
		m->cap_least = MIN(m->cap, knobs.cap);
		m->weight = MAX(m->weight, knobs.weight);
		m->cap = MAX(m->cap, knobs.cap);
		m->min_share = MAX(m->min_share, knobs_min_share(mdev->changing_to));
	}
	return 0;
}

/* One parent, with a copy of its pool or without. */
static int place_take_parent(struct broker *broker, const struct parent *parent, bool with_pool,
			     struct place_parent *ret)
{
	struct place_parent p = {.reserve = parent_reserves(parent)};
	const struct mdev *mdev;
	int r = 0;

	memcpy(p.name, parent->name, sizeof(p.name));
	memcpy(p.driver, parent->driver, sizeof(p.driver));
	if (parent_check_ready(parent, &p.not_ready) < 0 || !parent->opened)
		with_pool = false;
	if (parent->opened)
		p.types = &parent->types;
	if (with_pool)
		r = pool_copy(&parent->pool, &p.pool);
	list_for_each (mdev, &broker->mdevs, link) {
		if (r == 0 && strcmp(mdev->parent_name, parent->name) == 0)
			r = place_add_mdev(parent, mdev, &p);
	}
	if (r == 0)
		r = place_parent_seal(&p);
	for (size_t g = 0; g < p.group_count; g++)
		place_fill_group(broker, &p.groups[g]);
	if (r < 0)
		place_parent_done(&p);
	else
		*ret = p;
	return r;
}

static int place_take_peer(struct broker *broker, const struct mdev *mdev,
			   struct place_snapshot *snapshot)
{
	const struct definition *d = mdev->state != MDEV_IDLE ? mdev->running : mdev->definition;
	const struct parent *parent = parent_find(broker, mdev->parent_name);
	const struct type *type = d ? place_type(parent, mdev, d) : NULL;
	char group[IDENT_UUID_SIZE] = "";
	struct group_member member;
	struct place_peer *peer;

	if (d)
		definition_group(d, group);
	if (!group[0])
		return 0;
	if (!type) /* its parent is not there to tell */
		return 0;
	group_describe(mdev, type, &member);
	peer = place_snapshot_add_peer(snapshot);
	if (!peer)
		return -ENOMEM;
	memcpy(peer->uuid, mdev->uuid, sizeof(peer->uuid));
	memcpy(peer->group, group, sizeof(peer->group));
	memcpy(peer->parent, mdev->parent_name, sizeof(peer->parent));
	memcpy(peer->driver, parent->driver, sizeof(peer->driver));
	peer->type = type;
	peer->active = mdev->state != MDEV_IDLE;
	peer->in_use = member.in_use;
	return 0;
}

int place_take_snapshot(struct broker *broker, struct place_snapshot *ret)
{
	struct place_snapshot snapshot = {0};
	const struct parent *parent;
	const struct mdev *mdev;
	size_t count = 0;
	int r = 0;

	list_for_each (parent, &broker->parents, link)
		count++;
	snapshot.parents = calloc(count + 1, sizeof(*snapshot.parents));
	if (!snapshot.parents)
		return -ENOMEM;
	list_for_each (parent, &broker->parents, link) {
		if (r == 0)
			r = place_take_parent(broker, parent, true,
					      &snapshot.parents[snapshot.count]);
		if (r == 0)
			snapshot.count++;
	}
	list_for_each (mdev, &broker->mdevs, link) {
		if (r == 0)
			r = place_take_peer(broker, mdev, &snapshot);
	}
	if (r < 0)
		place_snapshot_done(&snapshot);
	else
		*ret = snapshot;
	return r;
}

/* ---- Checks ---------------------------------------------------------------------------------- */

/* An mdev as it will count on @parent. */
static void place_make_want(struct broker *broker, const char *uuid, const struct type *type,
			    const struct definition *d, struct place_want *ret_want)
{
	struct place_want want = {.min_share = knobs_min_share(d)};

	snprintf(want.uuid, sizeof(want.uuid), "%s", uuid);
	definition_group(d, want.group);
	place_read_knobs(d, type, &want.knobs);
	memcpy(want.group_is.uuid, want.group, sizeof(want.group_is.uuid));
	place_fill_group(broker, &want.group_is);
	*ret_want = want;
}

static int place_check(struct broker *broker, const struct parent *parent,
		       const struct place_want *want, enum place_state state,
		       struct umdev_error *err)
{
	struct place_parent before = {0};
	struct place_parent after = {0};
	char name[IDENT_UUID_SIZE + 8];
	int r = place_take_parent(broker, parent, false, &before);

	snprintf(name, sizeof(name), "mdev %s", want->uuid);
	if (r < 0)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	if (want->min_share || place_parent_has_promises(&before)) {
		int self = place_parent_copy(&before, false, &after);

		if (self == 0)
			self = place_parent_admit(&after, want, state);
		r = self < 0 ? error_set(err, ERROR_NO_MEMORY, "out of memory")
			     : place_check_promises(&before, &after,
						    &(struct place_self){(size_t)self, name, NULL},
						    err);
	}
	place_parent_done(&before);
	place_parent_done(&after);
	return r;
}

int place_check_start(const struct mdev *mdev, const struct parent *parent, const struct type *type,
		      const struct definition *running, struct umdev_error *err)
{
	struct place_want want;

	place_make_want(mdev->broker, mdev->uuid, type, running, &want);
	return place_check(mdev->broker, parent, &want, PLACE_NEW, err);
}

int place_check_change(const struct mdev *mdev, const struct definition *next,
		       struct umdev_error *err)
{
	struct place_want want;

	place_make_want(mdev->broker, mdev->uuid, place_type(mdev->parent, mdev, next), next,
			&want);
	return place_check(mdev->broker, mdev->parent, &want, PLACE_ACTIVE, err);
}

int place_check_definition(struct broker *broker, const char *parent_name, const char *uuid,
			   const struct definition *next, struct umdev_error *err)
{
	const struct parent *parent = parent_find(broker, parent_name);
	const struct mdev *mdev = mdev_find(broker, parent_name, uuid);
	const struct type *type = NULL;
	struct place_want want;

	if (!parent || !parent_reserves(parent) || (mdev && mdev->state != MDEV_IDLE))
		return 0;
	if (parent->opened && next->type_id)
		type = type_find_id(&parent->types, next->type_id);
	place_make_want(broker, uuid, type, next, &want);
	return place_check(broker, parent, &want, PLACE_RESERVED, err);
}

/* The same group with other knobs on one parent. */
static int place_check_group_on(struct broker *broker, const struct parent *parent,
				const struct place_group *next, struct umdev_error *err)
{
	struct place_parent before = {0};
	struct place_parent after = {0};
	char name[IDENT_UUID_SIZE + 8];
	bool there = false;
	int r = place_take_parent(broker, parent, false, &before);

	if (r == 0)
		r = place_parent_copy(&before, false, &after);
	if (r < 0) {
		place_parent_done(&before);
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	}
	for (size_t g = 0; g < after.group_count; g++) {
		if (strcmp(after.groups[g].uuid, next->uuid) == 0) {
			after.groups[g] = *next;
			there = true;
		}
	}
	snprintf(name, sizeof(name), "group %s", next->uuid);
	if (there && place_parent_has_promises(&before))
		r = place_check_promises(&before, &after,
					 &(struct place_self){SIZE_MAX, name, NULL}, err);
	place_parent_done(&before);
	place_parent_done(&after);
	return r;
}

int place_check_group(struct broker *broker, const char *group, const struct knobs *next,
		      struct umdev_error *err)
{
	struct place_group to = {.weight = next->weight, .cap = next->cap};
	const struct parent *parent;
	int r = 0;

	snprintf(to.uuid, sizeof(to.uuid), "%s", group);
	list_for_each (parent, &broker->parents, link) {
		if (r == 0)
			r = place_check_group_on(broker, parent, &to, err);
	}
	return r;
}
