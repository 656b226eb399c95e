/* SPDX-License-Identifier: BSD-3-Clause */
/* Looking at parents for a wanted mdev, and choosing one. See place.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/group.h"
#include "model/place.h"

#define LOOK_ONE_SIZE  (ERROR_MESSAGE_MAX + IDENT_PARENT_NAME_MAX + 8)
#define LOOK_HEAD_ROOM 80 /* of a refusal, for the mdev, whatever its name, */
#define LOOK_TELL_ROOM 48 /* and for how many parents it leaves out */

/* ---- One parent ------------------------------------------------------------------------------ */

/* The type that @want means among @types; where both were given, both must match. */
static const struct type *look_type(const struct type_table *types, const struct place_want *want)
{
	const struct type *type;

	if (!types)
		return NULL;
	if (!want->type_id)
		return type_find_name(types, want->type_name);
	type = type_find_id(types, want->type_id);
	if (type && want->type_name && strcmp(type->name, want->type_name) != 0)
		return NULL;
	return type;
}

/* The members of the group of @want but itself, with it as the first. */
static size_t look_list_members(const struct place_snapshot *snapshot,
				const struct place_want *want, bool active,
				struct group_member members[GROUP_MEMBERS_MAX + 1])
{
	size_t count = 1;

	for (size_t i = 0; i < snapshot->peer_count && count <= GROUP_MEMBERS_MAX; i++) {
		const struct place_peer *peer = &snapshot->peers[i];

		if ((active && !peer->active) || strcmp(peer->group, want->group) != 0 ||
		    strcmp(peer->uuid, want->uuid) == 0)
			continue;
		members[count++] = (struct group_member){
			.uuid = peer->uuid,
			.parent = peer->parent,
			.driver = peer->driver,
			.type_id = peer->type->id,
			.scope = peer->type->group_scope,
			.hotplug = peer->type->group_hotplug,
			.in_use = peer->in_use,
		};
	}
	return count;
}

/* Whether the members that the group has allow one more of @type on @parent. */
static int look_group(const struct place_snapshot *snapshot, const struct place_want *want,
		      const struct place_parent *parent, const struct type *type,
		      struct umdev_error *err)
{
	struct group_member members[GROUP_MEMBERS_MAX + 1];
	size_t count;
	int r;

	if (!want->group[0])
		return type->requires_group
			       ? error_set_key(err, ERROR_INVALID, "group",
					       "type %s exists only inside a group: give a group",
					       type->id)
			       : 0;
	members[0] = (struct group_member){
		.uuid = want->uuid,
		.parent = parent->name,
		.driver = parent->driver,
		.type_id = type->id,
		.scope = type->group_scope,
		.hotplug = type->group_hotplug,
		.moves = true,
	};
	count = look_list_members(snapshot, want, false, members);
	r = group_check_members(want->group, members, count, err);
	if (r < 0 || !want->starts)
		return r;
	count = look_list_members(snapshot, want, true, members);
	return group_check_join(want->group, members, count, err);
}

/* Whether a start would find a piece: the one that the mdev holds, or another. */
static int look_piece(const struct place_parent *parent, const struct place_want *want,
		      const struct type *type, struct umdev_error *err)
{
	const struct pool_piece *held = pool_find(&parent->pool, want->uuid);
	bool room = pool_claim_size(&parent->pool, &type->want) > 0;

	if (held &&
	    (type->want.rest ? held->size >= type->want.cost : held->size == type->want.cost))
		return 0;
	if (held && !room) {
		struct pool copy;

		if (pool_copy(&parent->pool, &copy) < 0)
			return error_set(err, ERROR_NO_MEMORY, "out of memory");
		pool_release(&copy, held->start, false);
		room = pool_claim_size(&copy, &type->want) > 0;
		pool_done(&copy);
	}
	if (room)
		return 0;
	return error_set_key(err, ERROR_NO_INSTANCES, "type", "No available instances of %s on %s",
			     type->id, parent->name);
}

/* Fills in the shares, and whether they keep all promises. */
static int look_shares(const struct place_parent *parent, const struct place_want *want,
		       struct place_candidate *c, struct umdev_error *err)
{
	umdev_autofree struct share_member *was = NULL;
	umdev_autofree struct share_group *groups = NULL;
	struct place_parent after = {0};
	char name[IDENT_UUID_SIZE + 8];
	int r = place_parent_copy(parent, false, &after);
	int self = r == 0 ? place_parent_admit(&after, want, PLACE_NEW) : r;

	if (self >= 0)
		r = place_parent_shares(parent, SIZE_MAX, &was, NULL);
	if (self >= 0 && r == 0)
		r = place_parent_shares(&after, SIZE_MAX, &c->then, &groups);
	c->count = after.mdev_count;
	c->now = r == 0 ? calloc(c->count + 1, sizeof(*c->now)) : NULL;
	if (self < 0 || r < 0 || !c->now) {
		place_parent_done(&after);
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	}
	for (size_t i = 0; i < parent->mdev_count; i++)
		c->now[i] = was[i].share;
	c->self = (size_t)self;
	c->share = c->then[self].share;
	c->has_share = true;
	share_explain(c->then, c->count, groups, after.group_count, c->self, c->arithmetic);
	snprintf(name, sizeof(name), "mdev %s", want->uuid);
	r = place_check_promises(parent, &after, &(struct place_self){c->self, name, &c->broken},
				 err);
	place_parent_done(&after);
	return r;
}

static int look_all(struct place_snapshot *snapshot, const struct place_want *want,
		    struct place_candidate *c, struct umdev_error *err)
{
	const struct place_parent *parent = &snapshot->parents[c->parent];
	struct umdev_error shares = {0};
	int r;

	if (parent->not_ready.word != ERROR_NONE) {
		*err = parent->not_ready;
		return -error_word_errno(err->word);
	}
	c->type = look_type(parent->types, want);
	if (!c->type)
		return error_set_key(err, ERROR_UNKNOWN_TYPE, want->type_id ? "type" : "type_name",
				     "%s does not offer %.64s%s%.64s", parent->name,
				     want->type_id ? want->type_id : want->type_name,
				     want->type_id && want->type_name ? " under the name " : "",
				     want->type_id && want->type_name ? want->type_name : "");
	c->instances = pool_available(&parent->pool, &c->type->want);
	r = look_group(snapshot, want, parent, c->type, err);
	if (r == 0)
		r = knobs_check_values(&want->knobs, c->type, want->uuid, err);
	if (r < 0)
		return r;
	snapshot->work += parent->mdev_count + parent->group_count + parent->pool.piece_count / 4;
	/* The share is told even where there is no piece. */
	if (look_shares(parent, want, c, &shares) < 0 && shares.word == ERROR_NO_MEMORY)
		*err = shares;
	else if (look_piece(parent, want, c->type, err) == 0)
		*err = shares;
	return -error_word_errno(err->word);
}

int place_look(struct place_snapshot *snapshot, size_t index, const struct place_want *want,
	       struct place_candidate *ret_candidate)
{
	struct place_candidate c = {.parent = index, .broken = SIZE_MAX};

	snapshot->work += 8;
	c.fits = look_all(snapshot, want, &c, &c.why) == 0;
	if (c.why.word == ERROR_NO_MEMORY) {
		place_candidate_done(&c);
		return -ENOMEM;
	}
	*ret_candidate = c;
	return 0;
}

void place_candidate_done(struct place_candidate *candidate)
{
	free(candidate->then);
	free(candidate->now);
	memset(candidate, 0, sizeof(*candidate));
}

void place_choice_done(struct place_choice *choice)
{
	for (size_t i = 0; i < choice->count; i++)
		place_candidate_done(&choice->candidates[i]);
	free(choice->candidates);
	memset(choice, 0, sizeof(*choice));
}

/* ---- Which one ------------------------------------------------------------------------------- */

/* Whether @a is the better one; at equal merit the one that stands first is. */
static bool look_better(const struct place_candidate *a, const struct place_candidate *b,
			enum place_policy policy)
{
	if (policy == PLACE_PACK)
		return a->instances < b->instances;
	if (a->share != b->share)
		return a->share > b->share;
	return a->instances > b->instances;
}

/* Whether the refusal @a says more of what could be done about it than @b. */
static bool look_nearer(const struct place_candidate *a, const struct place_candidate *b)
{
	static const enum error_word order[] = {ERROR_NO_SHARE, ERROR_NO_INSTANCES, ERROR_INVALID};

	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		if (a->why.word == order[i] || b->why.word == order[i])
			return b->why.word != order[i];
	}
	return false;
}

/* What was wrong with one of several, in short. */
static void look_tell_one(const struct place_snapshot *snapshot, const struct place_want *want,
			  const struct place_candidate *c, char text[LOOK_ONE_SIZE])
{
	const struct place_parent *parent = &snapshot->parents[c->parent];
	const size_t size = LOOK_ONE_SIZE;
	char promised[KNOBS_PERCENT_SIZE];

	knobs_percent(want->min_share, promised);
	if (c->why.word == ERROR_NO_INSTANCES)
		snprintf(text, size, "%s: no instance left", parent->name);
	else if (c->why.word == ERROR_NO_SHARE && c->broken != SIZE_MAX)
		snprintf(text, size, "%s: would break the promise to %s", parent->name,
			 parent->mdevs[c->broken].uuid);
	else if (c->why.word == ERROR_NO_SHARE)
		snprintf(text, size, "%s: %s, less than %s %%", parent->name, c->arithmetic,
			 promised);
	else
		snprintf(text, size, "%s: %s", parent->name, c->why.message);
}

/* Says for each candidate why it does not fit, as far as a message has room. */
static void look_tell(const struct place_snapshot *snapshot, const struct place_want *want,
		      struct place_choice *choice)
{
	const struct place_candidate *nearest = &choice->candidates[0];
	char text[ERROR_MESSAGE_MAX - LOOK_HEAD_ROOM - LOOK_TELL_ROOM] = "";
	char rest[LOOK_TELL_ROOM] = "";

	for (size_t i = 1; i < choice->count; i++) {
		if (look_nearer(&choice->candidates[i], nearest))
			nearest = &choice->candidates[i];
	}
	if (choice->count == 1) {
		choice->why = nearest->why;
		return;
	}
	for (size_t i = 0; i < choice->count; i++) {
		char one[LOOK_ONE_SIZE];
		size_t used = strlen(text);

		look_tell_one(snapshot, want, &choice->candidates[i], one);
		if (used + strlen(one) + 3 > sizeof(text)) {
			snprintf(rest, sizeof(rest), "; and %zu more, see umdevctl plan",
				 choice->count - i);
			break;
		}
		snprintf(text + used, sizeof(text) - used, "%s%s", i ? "; " : "", one);
	}
	error_set_key(&choice->why, nearest->why.word, nearest->why.key,
		      "mdev %s fits on none of %zu parents: %s%s", want->uuid, choice->count, text,
		      rest);
}

/* No parent offers it: says what would be nearest among all that is offered. */
static int look_tell_unknown(const struct place_snapshot *snapshot, const struct place_want *want,
			     struct umdev_error *err)
{
	struct type_table all = {0};
	size_t ready = 0;
	char nearest[256];

	for (size_t i = 0; i < snapshot->count; i++)
		all.count += snapshot->parents[i].types ? snapshot->parents[i].types->count : 0;
	all.types = calloc(all.count + 1, sizeof(*all.types));
	if (!all.types)
		return -ENOMEM;
	all.count = 0;
	for (size_t i = 0; i < snapshot->count; i++) {
		const struct place_parent *parent = &snapshot->parents[i];

		if (parent->not_ready.word != ERROR_NONE || !parent->types)
			continue;
		ready++;
		for (size_t t = 0; t < parent->types->count; t++) {
			if (!type_find_id(&all, parent->types->types[t].id))
				all.types[all.count++] = parent->types->types[t];
		}
	}
	type_nearest(&all, want->type_id, want->type_name, nearest, sizeof(nearest));
	free(all.types); /* what its elements point to is the parents' */
	if (ready == 0)
		error_set_key(err, ERROR_NO_PARENT, "parent",
			      "no parent is ready: add one with umdevctl parent add");
	else
		error_set_key(err, ERROR_UNKNOWN_TYPE, want->type_id ? "type" : "type_name",
			      "none of the parents offers %.64s%s%.64s; nearest: %s",
			      want->type_id ? want->type_id : want->type_name,
			      want->type_id && want->type_name ? " under the name " : "",
			      want->type_id && want->type_name ? want->type_name : "", nearest);
	return 0;
}

/* Whether parent @index is looked at: the one that was named, or any that offers the type. */
static bool look_is_candidate(const struct place_snapshot *snapshot, size_t index,
			      const struct place_want *want)
{
	const struct place_parent *parent = &snapshot->parents[index];

	if (want->parent)
		return strcmp(parent->name, want->parent) == 0;
	return look_type(parent->types, want) != NULL;
}

int place_choose(struct place_snapshot *snapshot, const struct place_want *want,
		 enum place_policy policy, struct place_choice *ret_choice)
{
	struct place_choice *choice = ret_choice;
	int r = 0;

	memset(choice, 0, sizeof(*choice));
	choice->best = SIZE_MAX;
	choice->candidates = calloc(snapshot->count + 1, sizeof(*choice->candidates));
	if (!choice->candidates)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < snapshot->count; i++) {
		struct place_candidate *c = &choice->candidates[choice->count];

		if (!look_is_candidate(snapshot, i, want))
			continue;
		r = place_look(snapshot, i, want, c);
		if (r < 0)
			break;
		if (c->fits && (choice->best == SIZE_MAX ||
				look_better(c, &choice->candidates[choice->best], policy)))
			choice->best = choice->count;
		choice->count++;
	}
	if (r < 0 || choice->best != SIZE_MAX)
		return r;
	if (choice->count > 0)
		look_tell(snapshot, want, choice);
	else if (want->parent)
		error_set_key(&choice->why, ERROR_NO_PARENT, "parent",
			      "Unable to find parent device '%.64s'", want->parent);
	else
		r = look_tell_unknown(snapshot, want, &choice->why);
	return r;
}

int place_put(struct place_snapshot *snapshot, const struct place_candidate *candidate,
	      const struct place_want *want)
{
	struct place_parent *parent = &snapshot->parents[candidate->parent];
	const struct type *type = candidate->type;
	const struct pool_piece *held = pool_find(&parent->pool, want->uuid);
	struct pool_range piece;
	int r = 0;

	if (held &&
	    (type->want.rest ? held->size < type->want.cost : held->size != type->want.cost)) {
		pool_release(&parent->pool, held->start, false);
		held = NULL;
	}
	if (!held)
		r = pool_claim(&parent->pool, want->uuid, &type->want, &piece);
	if (r == 0)
		r = place_parent_admit(parent, want, PLACE_NEW);
	if (r >= 0 && want->group[0]) {
		struct place_peer *peer = place_snapshot_add_peer(snapshot);

		if (!peer)
			return -ENOMEM;
		memcpy(peer->uuid, want->uuid, sizeof(peer->uuid));
		memcpy(peer->group, want->group, sizeof(peer->group));
		memcpy(peer->parent, parent->name, sizeof(peer->parent));
		memcpy(peer->driver, parent->driver, sizeof(peer->driver));
		peer->type = type;
		peer->active = true;
	}
	return r < 0 ? r : 0;
}
