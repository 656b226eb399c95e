/* SPDX-License-Identifier: BSD-3-Clause */
/* Snapshots, the shares in them, and the promises. See place.h; looking and choosing: place-look.c.
 */
#include "model/place.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const place_policy_names[] = {
	[PLACE_SPREAD] = "spread",
	[PLACE_PACK] = "pack",
};
static_assert(ARRAY_SIZE(place_policy_names) == PLACE_POLICY_COUNT, "every policy has a name");

static const char *const place_state_names[] = {
	[PLACE_ACTIVE] = "active",
	[PLACE_RESERVED] = "reserved",
	[PLACE_NEW] = "new",
};
static_assert(ARRAY_SIZE(place_state_names) == PLACE_STATE_COUNT, "every state has a name");

const char *place_policy_name(enum place_policy policy)
{
	return (unsigned)policy < PLACE_POLICY_COUNT ? place_policy_names[policy] : "unknown";
}

int place_policy_parse(const char *text, enum place_policy *ret_policy)
{
	for (size_t i = 0; i < PLACE_POLICY_COUNT; i++) {
		if (strcmp(place_policy_names[i], text) == 0) {
			*ret_policy = (enum place_policy)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *place_state_name(enum place_state state)
{
	return (unsigned)state < PLACE_STATE_COUNT ? place_state_names[state] : "unknown";
}

/* ---- Memory ---------------------------------------------------------------------------------- */

/* Adds a zeroed element to an array. NULL when out of memory. */
static void *place_add(void **array, size_t *count, size_t *room, size_t element)
{
	char *at;

	if (*count == *room) {
		size_t more = *room ? *room * 2 : 8;
		void *bigger = reallocarray(*array, more, element);

		if (!bigger)
			return NULL;
		*array = bigger;
		*room = more;
	}
	at = (char *)*array + *count * element;
	memset(at, 0, element);
	(*count)++;
	return at;
}

struct place_mdev *place_parent_add(struct place_parent *parent)
{
	return place_add((void **)&parent->mdevs, &parent->mdev_count, &parent->mdev_room,
			 sizeof(*parent->mdevs));
}

struct place_group *place_parent_add_group(struct place_parent *parent)
{
	return place_add((void **)&parent->groups, &parent->group_count, &parent->group_room,
			 sizeof(*parent->groups));
}

struct place_peer *place_snapshot_add_peer(struct place_snapshot *snapshot)
{
	return place_add((void **)&snapshot->peers, &snapshot->peer_count, &snapshot->peer_room,
			 sizeof(*snapshot->peers));
}

void place_parent_done(struct place_parent *parent)
{
	pool_done(&parent->pool);
	free(parent->mdevs);
	free(parent->groups);
	memset(parent, 0, sizeof(*parent));
}

void place_snapshot_done(struct place_snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->count; i++)
		place_parent_done(&snapshot->parents[i]);
	free(snapshot->parents);
	free(snapshot->peers);
	memset(snapshot, 0, sizeof(*snapshot));
}

/* A copy of @count elements with room for one more. NULL when out of memory. */
static void *place_copy(const void *array, size_t count, size_t element)
{
	void *copy = calloc(count + 1, element);

	if (copy && count)
		memcpy(copy, array, count * element);
	return copy;
}

int place_parent_copy(const struct place_parent *parent, bool with_pool,
		      struct place_parent *ret_copy)
{
	struct place_parent copy = *parent;

	memset(&copy.pool, 0, sizeof(copy.pool));
	copy.mdevs = place_copy(parent->mdevs, parent->mdev_count, sizeof(*copy.mdevs));
	copy.mdev_room = parent->mdev_count + 1;
	copy.groups = place_copy(parent->groups, parent->group_count, sizeof(*copy.groups));
	copy.group_room = parent->group_count + 1;
	if (!copy.mdevs || !copy.groups ||
	    (with_pool && pool_copy(&parent->pool, &copy.pool) < 0)) {
		place_parent_done(&copy);
		return -ENOMEM;
	}
	*ret_copy = copy;
	return 0;
}

int place_snapshot_copy(const struct place_snapshot *snapshot, struct place_snapshot *ret_copy)
{
	struct place_snapshot copy = {.work = snapshot->work};
	int r = 0;

	copy.parents = calloc(snapshot->count + 1, sizeof(*copy.parents));
	copy.peers = place_copy(snapshot->peers, snapshot->peer_count, sizeof(*copy.peers));
	if (!copy.parents || !copy.peers)
		r = -ENOMEM;
	copy.peer_count = copy.peers ? snapshot->peer_count : 0;
	copy.peer_room = copy.peer_count + 1;
	for (size_t i = 0; r == 0 && i < snapshot->count; i++) {
		r = place_parent_copy(&snapshot->parents[i], true, &copy.parents[i]);
		if (r == 0)
			copy.count++;
		copy.work += snapshot->parents[i].mdev_count / 4 + 1;
	}
	if (r < 0)
		place_snapshot_done(&copy);
	else
		*ret_copy = copy;
	return r;
}

/* ---- Who is there ---------------------------------------------------------------------------- */

static int place_compare_groups(const void *a, const void *b)
{
	return strcmp(a, b); /* the UUID stands first */
}
static_assert(offsetof(struct place_group, uuid) == 0, "groups compare by their first member");

/* The index of group @uuid among the first @sorted groups, or SIZE_MAX. */
static size_t place_find_group(const struct place_parent *parent, const char *uuid, size_t sorted)
{
	const struct place_group *found =
		sorted ? bsearch(uuid, parent->groups, sorted, sizeof(*parent->groups),
				 place_compare_groups)
		       : NULL;

	if (found)
		return (size_t)(found - parent->groups);
	for (size_t i = sorted; i < parent->group_count; i++) {
		if (strcmp(parent->groups[i].uuid, uuid) == 0)
			return i;
	}
	return SIZE_MAX;
}

/* Adds those that are named only, to the end. */
static int place_add_named_groups(struct place_parent *parent)
{
	size_t sorted = parent->group_count;

	for (size_t i = 0; i < parent->mdev_count; i++) {
		struct place_group *group;

		if (!parent->mdevs[i].group[0] ||
		    place_find_group(parent, parent->mdevs[i].group, sorted) != SIZE_MAX)
			continue;
		group = place_parent_add_group(parent);
		if (!group)
			return -ENOMEM;
		memcpy(group->uuid, parent->mdevs[i].group, sizeof(group->uuid));
		group->weight = KNOBS_WEIGHT_DEFAULT;
		group->cap = KNOBS_CAP_NONE;
	}
	return 0;
}

static void place_sort_groups(struct place_parent *parent)
{
	if (parent->group_count > 0)
		qsort(parent->groups, parent->group_count, sizeof(*parent->groups),
		      place_compare_groups);
}

int place_parent_seal(struct place_parent *parent)
{
	int r;

	place_sort_groups(parent);
	r = place_add_named_groups(parent);
	place_sort_groups(parent);
	for (size_t i = 0; r == 0 && i < parent->mdev_count; i++) {
		struct place_mdev *m = &parent->mdevs[i];

		m->group_index = SHARE_NO_GROUP;
		if (m->group[0])
			m->group_index =
				(uint32_t)place_find_group(parent, m->group, parent->group_count);
	}
	return r;
}

size_t place_parent_find(const struct place_parent *parent, const char *uuid)
{
	for (size_t i = 0; i < parent->mdev_count; i++) {
		if (strcmp(parent->mdevs[i].uuid, uuid) == 0)
			return i;
	}
	return SIZE_MAX;
}

int place_parent_admit(struct place_parent *parent, const struct place_want *want,
		       enum place_state state)
{
	size_t index = place_parent_find(parent, want->uuid);
	size_t group = want->group[0] ? place_find_group(parent, want->group, 0) : SIZE_MAX;
	struct place_mdev *m;

	if (want->group[0] && group == SIZE_MAX) {
		struct place_group *g = place_parent_add_group(parent);

		if (!g)
			return -ENOMEM;
		*g = want->group_is;
		memcpy(g->uuid, want->group, sizeof(g->uuid));
		group = parent->group_count - 1;
	}
	if (index == SIZE_MAX) {
		index = parent->mdev_count;
		if (!place_parent_add(parent))
			return -ENOMEM;
	}
	m = &parent->mdevs[index];
	memcpy(m->uuid, want->uuid, sizeof(m->uuid));
	memcpy(m->group, want->group, sizeof(m->group));
	m->group_index = group == SIZE_MAX ? SHARE_NO_GROUP : (uint32_t)group;
	m->weight = m->weight_least = want->knobs.weight;
	m->cap = m->cap_least = want->knobs.cap;
	m->min_share = want->min_share;
	m->state = state;
	return (int)index;
}

/* ---- Shares ---------------------------------------------------------------------------------- */

int place_parent_shares(const struct place_parent *parent, size_t least,
			struct share_member **ret_members, struct share_group **ret_groups)
{
	umdev_autofree struct share_member *members =
		calloc(parent->mdev_count + 1, sizeof(*members));
	umdev_autofree struct share_group *groups =
		calloc(parent->group_count + 1, sizeof(*groups));
	int r;

	if (!members || !groups)
		return -ENOMEM;
	for (size_t i = 0; i < parent->mdev_count; i++) {
		const struct place_mdev *m = &parent->mdevs[i];

		members[i].weight = i == least ? m->weight_least : m->weight;
		members[i].cap = i == least ? m->cap_least : m->cap;
		members[i].group = m->group_index;
	}
	for (size_t g = 0; g < parent->group_count; g++) {
		groups[g].weight = parent->groups[g].weight;
		groups[g].cap = parent->groups[g].cap;
	}
	r = share_compute(members, parent->mdev_count, groups, parent->group_count);
	if (r < 0)
		return r;
	*ret_members = umdev_steal_ptr(&members);
	if (ret_groups)
		*ret_groups = umdev_steal_ptr(&groups);
	return 0;
}

/* ---- Promises -------------------------------------------------------------------------------- */

static uint32_t place_promised(const struct place_mdev *m)
{
	return m->min_share * SHARE_PER_HUNDREDTH;
}

/* The share of one that is being changed, with the lesser of its knobs. */
static int place_least_share(const struct place_parent *parent, size_t index, uint32_t *ret_share)
{
	struct share_member *members = NULL;
	int r = place_parent_shares(parent, index, &members, NULL);

	if (r == 0)
		*ret_share = members[index].share;
	free(members);
	return r;
}

/* Whether mdev @index of @after gets less than its promise and, unless it is new, than before. */
static int place_is_broken(const struct place_parent *before, const struct place_parent *after,
			   size_t index, const uint32_t shares[2], bool *ret_broken)
{
	const struct place_mdev *m = &after->mdevs[index];
	uint32_t was = shares[0];
	uint32_t is = shares[1];
	int r = 0;

	if (m->weight != m->weight_least || m->cap != m->cap_least) {
		r = place_least_share(after, index, &is);
		if (r == 0 && index < before->mdev_count)
			r = place_least_share(before, index, &was);
	}
	*ret_broken = is < place_promised(m) &&
		      (m->state == PLACE_NEW || index >= before->mdev_count || is < was ||
		       m->min_share > before->mdevs[index].min_share);
	return r;
}

static int place_tell_broken(const struct place_parent *after, size_t index,
			     const struct place_self *self, struct umdev_error *err)
{
	const struct place_mdev *m = &after->mdevs[index];
	struct share_member *members = NULL;
	struct share_group *groups = NULL;
	char arithmetic[SHARE_ARITHMETIC_MAX];
	char share[SHARE_PERCENT_SIZE];
	char promised[KNOBS_PERCENT_SIZE];

	if (place_parent_shares(after, index, &members, &groups) < 0)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	share_explain(members, after->mdev_count, groups, after->group_count, index, arithmetic);
	share_percent(members[index].share, share);
	knobs_percent(m->min_share, promised);
	free(members);
	free(groups);
	if (index == self->index)
		return error_set_key(err, ERROR_NO_SHARE, KNOBS_ATTR_MIN_SHARE,
				     "%s would get %s %% of %s, less than its min_share of %s %%: "
				     "%s; raise its weight or lower mdev/min_share",
				     self->name, share, after->name, promised, arithmetic);
	return error_set(err, ERROR_NO_SHARE,
			 "%s would leave mdev %s on %s only %s %% of the %s %% that it was "
			 "promised: %s; lower its weight or cap, or use another parent",
			 self->name, m->uuid, after->name, share, promised, arithmetic);
}

bool place_parent_has_promises(const struct place_parent *parent)
{
	for (size_t i = 0; i < parent->mdev_count; i++) {
		if (parent->mdevs[i].min_share)
			return true;
	}
	return false;
}

int place_check_promises(const struct place_parent *before, const struct place_parent *after,
			 const struct place_self *self, struct umdev_error *err)
{
	umdev_autofree struct share_member *was = NULL;
	umdev_autofree struct share_member *is = NULL;
	bool broken = false;
	size_t found = SIZE_MAX;
	int r;

	if (!place_parent_has_promises(after))
		return 0;
	r = place_parent_shares(before, SIZE_MAX, &was, NULL);
	if (r == 0)
		r = place_parent_shares(after, SIZE_MAX, &is, NULL);
	for (size_t i = 0; r == 0 && i < after->mdev_count; i++) {
		uint32_t shares[2];

		if (after->mdevs[i].min_share == 0)
			continue;
		shares[0] = i < before->mdev_count ? was[i].share : 0;
		shares[1] = is[i].share;
		r = place_is_broken(before, after, i, shares, &broken);
		/* Its own first: then nobody else need be looked at. */
		if (broken && (found == SIZE_MAX || i == self->index))
			found = i;
	}
	if (r < 0)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	if (self->ret_broken)
		*self->ret_broken = found == self->index ? SIZE_MAX : found;
	return found == SIZE_MAX ? 0 : place_tell_broken(after, found, self, err);
}
