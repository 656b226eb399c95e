/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Placement: on which parent a wanted mdev goes, what share of it that is worth, and whether
 * everybody who was promised a share keeps it.
 *
 * All of it works on a snapshot, so that the same rules decide a start and tell what a start would
 * do. Admitted are the mdevs that count in the division of a parent: those that are active, and on
 * a parent that reserves those that are only defined, too. Pure.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/ident.h"
#include "model/knobs.h"
#include "model/pool.h"
#include "model/share.h"
#include "model/type.h"
#include "util/cleanup.h"
#include "util/error.h"

enum place_state {
	PLACE_ACTIVE,
	PLACE_RESERVED, /* defined only, on a parent that reserves */
	PLACE_NEW,	/* wanted, and put there */
	PLACE_STATE_COUNT
};

enum place_policy {
	PLACE_SPREAD, /* the largest share, then the most instances left, then the name */
	PLACE_PACK,   /* the fewest instances left that are enough, then the name */
	PLACE_POLICY_COUNT
};

/* One mdev that is admitted to a parent. */
struct place_mdev {
	char uuid[IDENT_UUID_SIZE];
	char group[IDENT_UUID_SIZE]; /* "": none */
	uint32_t group_index;	     /* in the parent's groups; place_parent_seal() sets it */
	uint32_t weight;
	uint32_t cap;
	/* While it is being changed: the lesser of what it is and what it becomes. Else the same.
	 */
	uint32_t weight_least;
	uint32_t cap_least;
	uint32_t min_share; /* that it was promised, in hundredths of a percent; 0: none */
	enum place_state state;
	bool defined; /* stopped, it keeps its piece */
	bool in_use;
};

/* A group that has somebody on a parent. */
struct place_group {
	char uuid[IDENT_UUID_SIZE];
	uint32_t weight;
	uint32_t cap;
};

struct place_parent {
	char name[IDENT_PARENT_NAME_MAX + 1];
	char driver[IDENT_DRIVER_NAME_MAX + 1];
	struct umdev_error not_ready; /* why it cannot be used; no word: it can */
	bool reserve;
	const struct type_table *types; /* somebody else's, and outlives the snapshot */
	struct pool pool;
	struct place_mdev *mdevs; /* in the order of their UUIDs, then those that were put there */
	size_t mdev_count;
	size_t mdev_room;
	struct place_group *groups;
	size_t group_count;
	size_t group_room;
};

/* A member of a group, whether it is admitted or only defined. */
struct place_peer {
	char uuid[IDENT_UUID_SIZE];
	char group[IDENT_UUID_SIZE];
	char parent[IDENT_PARENT_NAME_MAX + 1];
	char driver[IDENT_DRIVER_NAME_MAX + 1];
	const struct type *type; /* as the parents' types */
	bool active;
	int in_use; /* the process that uses it; 0: none */
};

struct place_snapshot {
	struct place_parent *parents; /* in the order of their names */
	size_t count;
	struct place_peer *peers;
	size_t peer_count;
	size_t peer_room;
	uint64_t work; /* how much was computed with it, to bound that */
};

/* What is wanted. Texts are somebody else's. */
struct place_want {
	char uuid[IDENT_UUID_SIZE];  /* or a name such as "new#1" */
	char group[IDENT_UUID_SIZE]; /* "": none */
	struct place_group group_is; /* its knobs, for a parent on which nobody of it is yet */
	const char *type_id;	     /* or NULL; both are given: both must match */
	const char *type_name;
	const char *parent; /* NULL: any */
	struct knobs knobs;
	uint32_t min_share;
	bool starts;  /* it is not only defined: a group that is in use may refuse it */
	size_t entry; /* the caller's */
};

/* What became of asking one parent. */
struct place_candidate {
	size_t parent; /* its index */
	const struct type *type;
	bool fits;
	struct umdev_error why; /* it does not */
	bool has_share;		/* what follows is known */
	uint64_t instances;	/* of the type that are left before */
	uint32_t share;
	char arithmetic[SHARE_ARITHMETIC_MAX];
	size_t broken; /* the index of whom it would cost a promise, or SIZE_MAX */
	size_t self;   /* its index among the mdevs then */
	size_t count;
	struct share_member *then;
	uint32_t *now; /* shares; 0 of one that is new */
};

struct place_choice {
	struct place_candidate *candidates; /* in the order of the parents */
	size_t count;
	size_t best;		/* SIZE_MAX: none fits */
	struct umdev_error why; /* then */
};

/* "spread", "pack", or -EINVAL for another word. */
const char *place_policy_name(enum place_policy policy);
int place_policy_parse(const char *text, enum place_policy *ret_policy) umdev_warn_unused;

/* "active", "reserved", "new". */
const char *place_state_name(enum place_state state);

/* Adds an element, zeroed. NULL when out of memory. */
struct place_mdev *place_parent_add(struct place_parent *parent);
struct place_group *place_parent_add_group(struct place_parent *parent);
struct place_peer *place_snapshot_add_peer(struct place_snapshot *snapshot);

/* Sorts groups and finds those of the mdevs among them, once all were added. A group that somebody
 * names and nobody added has the default knobs. Returns 0 or -ENOMEM. */
int place_parent_seal(struct place_parent *parent) umdev_warn_unused;

/* Free what they hold and empty them. Safe on zeroed ones. */
void place_parent_done(struct place_parent *parent);
void place_snapshot_done(struct place_snapshot *snapshot);
void place_choice_done(struct place_choice *choice);

/* A copy of its own. Returns 0 or -ENOMEM. */
int place_snapshot_copy(const struct place_snapshot *snapshot,
			struct place_snapshot *ret_copy) umdev_warn_unused;

/* The same of one parent; without its pool, which is empty then. */
int place_parent_copy(const struct place_parent *parent, bool with_pool,
		      struct place_parent *ret_copy) umdev_warn_unused;

/* The index of mdev @uuid among those admitted, or SIZE_MAX. */
size_t place_parent_find(const struct place_parent *parent, const char *uuid);

/* Computes the shares of all that are admitted; @least (SIZE_MAX: none): with the lesser knobs of
 * that one. The caller frees *@ret_members, and *@ret_groups, which may be NULL if not wanted. */
int place_parent_shares(const struct place_parent *parent, size_t least,
			struct share_member **ret_members,
			struct share_group **ret_groups) umdev_warn_unused;

/* Admits @want to @parent, in place of what it may be there already, without a piece. Returns its
 * index, or -ENOMEM. */
int place_parent_admit(struct place_parent *parent, const struct place_want *want,
		       enum place_state state) umdev_warn_unused;

/* Whom a change is about. */
struct place_self {
	size_t index;	    /* among those after it; SIZE_MAX: a group */
	const char *name;   /* what it is called in messages, such as "mdev UUID" */
	size_t *ret_broken; /* the index of whom it would cost a promise; may be NULL */
};

/* Whether anybody admitted was promised something: mostly nobody was. */
bool place_parent_has_promises(const struct place_parent *parent);

/*
 * Whether @after keeps what was promised to those who were on @before: NO_SHARE names the first who
 * would get less than its promise and less than it gets now. The one that is new keeps its own, or
 * that is NO_SHARE, too.
 */
int place_check_promises(const struct place_parent *before, const struct place_parent *after,
			 const struct place_self *self, struct umdev_error *err) umdev_warn_unused;

/* Looks at parent @index for @want. Fills the candidate, or returns -ENOMEM. */
int place_look(struct place_snapshot *snapshot, size_t index, const struct place_want *want,
	       struct place_candidate *ret_candidate) umdev_warn_unused;
void place_candidate_done(struct place_candidate *candidate);

/*
 * Looks at every parent that offers what is wanted and chooses one. choice->best is SIZE_MAX and
 * choice->why says why when none fits or no parent offers it. Returns 0 or -ENOMEM; free with
 * place_choice_done() either way.
 */
int place_choose(struct place_snapshot *snapshot, const struct place_want *want,
		 enum place_policy policy, struct place_choice *ret_choice) umdev_warn_unused;

/* Puts @want where place_look() found that it fits: claims a piece and admits it. Returns 0,
 * -ENOMEM, -ENOSPC. */
int place_put(struct place_snapshot *snapshot, const struct place_candidate *candidate,
	      const struct place_want *want) umdev_warn_unused;

/* ---- place-print.c ---- */

#define PLACE_ROWS_MAX 1000 /* mdevs in the tables of one choice */

/*
 * The choice as the RPC shows it: { "policy", "parent", "share"?, "arithmetic"?, "word"?,
 * "message"?, "candidates": [CANDIDATE] }; before @want is put anywhere. At most *@rows mdevs are
 * listed, which is lowered by as many. NULL when out of memory.
 */
json_t *place_print_choice(const struct place_snapshot *snapshot, const struct place_choice *choice,
			   const struct place_want *want, enum place_policy policy, size_t *rows);

/* A parent with its mdevs and their shares, before and after some were put there. */
json_t *place_print_parent(const struct place_parent *before, const struct place_parent *after,
			   size_t *rows);

/* A share as a number of percent. */
json_t *place_print_share(uint32_t share);
