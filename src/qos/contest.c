/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One contest: virtual time, and the order of those who compete.
 *
 * The choice is by priority, eligibility and virtual deadline, where the deadline is the start (the
 * competitor's virtual time) plus what one job takes on average. That is rounded up to a power of
 * two, which changes nothing in what anybody gets and makes order cheap: among competitors of one
 * size the order of deadlines is that of starts. So there is a ring for each priority and size, of
 * 64 slots that are 1/16 of the size wide, with a word that says which slots are in use; a slot is
 * a list. The first of each ring is found by counting bits, and the sizes present, a few, are
 * compared. Entering, leaving, moving and choosing take constant time, whatever the number of
 * competitors.
 *
 * What does not fit into a ring goes into its last slot, and on when it gets to the front: a
 * competitor may stand earlier than it should, and is looked at again before it is chosen.
 */
#include <errno.h>
#include <stdlib.h>

#include "qos/qos-internal.h"

/* After so many turns whatever was owed is paid. */
#define CONTEST_TURNS_PAID 4u

#define SIZE_MIN	   RING_FINE /* of a job, log 2: slots get no finer than one unit */
#define SLOT_MASK	   (RING_SLOTS - 1u)

/* Those whose turn comes at about the same virtual time; first in, first out. */
struct qos_slot {
	struct qos_node *head;
	struct qos_node *tail;
};

/* The rings of one priority. */
struct qos_rank {
	uint64_t sizes;		    /* in use */
	uint64_t first[RING_SIZES]; /* virtual time at which the first slot in use begins */
	uint64_t used[RING_SIZES];  /* slots in use */
	struct qos_slot fresh;	    /* those who just came back from idle */
	struct qos_slot slots[RING_SIZES][RING_SLOTS];
};

int contest_reserve(struct qos_contest *contest, uint32_t priority)
{
	if (!contest->ranks[priority])
		contest->ranks[priority] = calloc(1, sizeof(struct qos_rank));
	return contest->ranks[priority] ? 0 : -ENOMEM;
}

void contest_init(struct qos_contest *contest, struct qos_engine *engine)
{
	*contest = (struct qos_contest){.origin = engine->config.virtual_start, .engine = engine};
}

void contest_done(struct qos_contest *contest)
{
	for (uint32_t i = 0; i < QOS_LEVELS; i++)
		free(contest->ranks[i]);
}

/* ---- Virtual time ---- */

static uint64_t contest_mean(const struct qos_contest *contest)
{
	qos_wide weight = (qos_wide)contest->weight;
	qos_wide mean = contest->moment / weight;

	if (contest->moment % weight < 0)
		mean--;
	return contest->origin + (uint64_t)mean;
}

uint64_t contest_now(const struct qos_contest *contest)
{
	return contest->weight > 0 ? contest_mean(contest) : contest->origin;
}

/* Moves the origin, which is only a point to measure from. */
static void contest_origin(struct qos_contest *contest, uint64_t origin)
{
	int64_t by = (int64_t)(origin - contest->origin);

	contest->moment -= (qos_wide)by * (qos_wide)contest->weight;
	contest->origin = origin;
	if (by <= 0)
		return;
	contest->advance += (uint64_t)by;
	while (contest->advance >= CONTEST_TURN) {
		contest->advance -= CONTEST_TURN;
		contest->turns++;
	}
}

static void contest_add(struct qos_contest *contest, const struct qos_node *node)
{
	contest->weight += node->weight;
	contest->moment += (qos_wide)(int64_t)(node->vtime - contest->origin) * node->weight;
}

static void contest_take(struct qos_contest *contest, const struct qos_node *node)
{
	contest->weight -= node->weight;
	contest->moment -= (qos_wide)(int64_t)(node->vtime - contest->origin) * node->weight;
}

/* ---- Rings ---- */

/* Log 2 of what a job of the node takes, rounded down. */
static inline uint32_t node_size(const struct qos_node *node)
{
	uint32_t size = 63u - (uint32_t)__builtin_clzll(node_slice(node) | 1u);

	return MAX(size, SIZE_MIN);
}

/* Begin of the slot that a virtual time belongs to. */
static inline uint64_t slot_begin(uint64_t vtime, uint32_t size)
{
	return vtime & ~((1ull << (size - RING_FINE)) - 1);
}

static inline uint32_t slot_index(uint64_t begin, uint32_t size)
{
	return (uint32_t)(begin >> (size - RING_FINE)) & SLOT_MASK;
}

static inline uint64_t rotate(uint64_t word, uint32_t by)
{
	return word >> by | word << (-by & SLOT_MASK);
}

/* The slot for @begin in the ring of @size, which may move to make it fit. */
static inline uint32_t ring_slot(struct qos_rank *rank, uint32_t size, uint64_t begin)
{
	int64_t distance;
	uint32_t low;
	int64_t high;

	if (rank->used[size] == 0) {
		rank->first[size] = begin;
		return slot_index(begin, size);
	}
	low = slot_index(rank->first[size], size);
	distance = (int64_t)(begin - rank->first[size]) >> (size - RING_FINE);
	if (distance > (int64_t)SLOT_MASK)
		distance = SLOT_MASK;
	if (distance < 0) {
		high = 63 - __builtin_clzll(rotate(rank->used[size], low));
		distance = MAX(distance, high - (int64_t)SLOT_MASK);
		rank->first[size] += (uint64_t)distance << (size - RING_FINE);
	}
	return (low + (uint32_t)distance) & SLOT_MASK;
}

static inline void slot_add(struct qos_slot *slot, struct qos_node *node)
{
	node->next = NULL;
	node->prev = slot->tail;
	if (slot->tail)
		slot->tail->next = node;
	else
		slot->head = node;
	slot->tail = node;
}

static inline void slot_take(struct qos_slot *slot, struct qos_node *node)
{
	if (node->prev)
		node->prev->next = node->next;
	else
		slot->head = node->next;
	if (node->next)
		node->next->prev = node->prev;
	else
		slot->tail = node->prev;
}

/* Puts the node where its size and the begin of its slot say. */
static inline void rank_add(struct qos_rank *rank, struct qos_node *node, uint32_t size,
			    uint64_t begin)
{
	uint32_t index = ring_slot(rank, size, begin);

	node->place = size << 8 | index;
	rank->sizes |= 1ull << size;
	rank->used[size] |= 1ull << index;
	slot_add(&rank->slots[size][index], node);
}

static inline void rank_take(struct qos_rank *rank, struct qos_node *node)
{
	uint32_t size = node->place >> 8;
	uint32_t index = node->place & SLOT_MASK;
	struct qos_slot *slot = &rank->slots[size][index];
	uint64_t left;

	slot_take(slot, node);
	if (slot->head)
		return;
	left = rank->used[size] &= ~(1ull << index);
	if (left == 0)
		rank->sizes &= ~(1ull << size);
	else if (index == slot_index(rank->first[size], size))
		rank->first[size] += (uint64_t)__builtin_ctzll(rotate(left, index))
				     << (size - RING_FINE);
}

/* Puts the node where its virtual time says. */
static void node_link(struct qos_node *node)
{
	struct qos_contest *contest = node->contest;
	uint32_t size = node_size(node);

	contest->levels |= 1u << node->priority;
	if (node->state & NODE_FRESH)
		slot_add(&contest->ranks[node->priority]->fresh, node);
	else
		rank_add(contest->ranks[node->priority], node, size, slot_begin(node->vtime, size));
}

static void node_unlink(struct qos_node *node)
{
	struct qos_contest *contest = node->contest;
	struct qos_rank *rank = contest->ranks[node->priority];

	if (node->state & NODE_FRESH)
		slot_take(&rank->fresh, node);
	else
		rank_take(rank, node);
	if (rank->sizes == 0 && !rank->fresh.head)
		contest->levels &= ~(1u << node->priority);
}

/* ---- Coming, going, moving ---- */

/* The virtual time of a node that comes back: its own, unless less than @least. */
static uint64_t node_back(const struct qos_node *node, uint64_t least)
{
	if (node->contest->turns - node->place >= CONTEST_TURNS_PAID)
		return least;
	return (int64_t)(least - node->vtime) > 0 ? least : node->vtime;
}

void contest_enter(struct qos_node *node, bool keep)
{
	struct qos_contest *contest = node->contest;
	uint64_t now = contest_now(contest);

	if (keep && node->credit > 0)
		now -= (uint64_t)node->credit;
	node->vtime = node_back(node, now);
	contest_add(contest, node);
	node_set_state(node, NODE_COMPETES);
	if (!keep && node->vtime == now && contest->engine->in_flight > 0)
		node->state |= NODE_FRESH;
	node_link(node);
}

void contest_skip(struct qos_node *node, uint64_t by)
{
	struct qos_contest *contest = node->contest;

	node->vtime = node_back(node, contest_now(contest)) + by;
	contest_origin(contest, node->vtime);
	node->place = contest->turns;
	node->credit = 0;
}

void contest_leave(struct qos_node *node)
{
	struct qos_contest *contest = node->contest;

	node_unlink(node);
	node->state &= (uint8_t)~NODE_FRESH;
	contest_take(contest, node);
	if (contest->weight == 0)
		contest_origin(contest, node->vtime);
	node_set_state(node, NODE_IDLE);
	node->place = contest->turns;
	node->credit = (int64_t)(contest_now(contest) - node->vtime);
}

void contest_rebase(struct qos_contest *contest)
{
	contest_origin(contest, contest_mean(contest));
}

void contest_settle(struct qos_node *node)
{
	node_unlink(node);
	node->state &= (uint8_t)~NODE_FRESH;
	node_link(node);
}

void contest_place(struct qos_node *node)
{
	uint32_t size = node_size(node);
	uint64_t begin = slot_begin(node->vtime, size);
	struct qos_rank *rank;

	if (node->state & NODE_FRESH)
		return;
	if (node->place == (size << 8 | slot_index(begin, size)))
		return;
	rank = node->contest->ranks[node->priority];
	rank_take(rank, node);
	rank_add(rank, node, size, begin);
}

void contest_set_priority(struct qos_node *node, uint32_t priority)
{
	bool competes = node_state(node) == NODE_COMPETES;

	if (competes)
		node_unlink(node);
	node->priority = (uint8_t)priority;
	if (competes)
		node_link(node);
}

void contest_reweigh(struct qos_node *node, uint32_t weight)
{
	struct qos_contest *contest = node->contest;
	uint64_t now = contest_now(contest);
	bool competes = node_state(node) == NODE_COMPETES;
	qos_wide ahead = (int64_t)(node->vtime - now);
	uint32_t turn = node_state(node) == NODE_HELD ? node->held_turn : node->place;

	/* What was owed long ago is paid, and would only be misread. */
	if (!competes && contest->turns - turn >= CONTEST_TURNS_PAID)
		ahead = 0;
	if (competes) {
		node_unlink(node);
		contest_take(contest, node);
	}
	ahead = ahead * node->weight / (qos_wide)weight;
	/* A debt of a thousand of the longest jobs need not be told from a greater one. */
	ahead = MIN(ahead, (qos_wide)CONTEST_TURN);
	ahead = MAX(ahead, -(qos_wide)CONTEST_TURN);
	node->vtime = now + (uint64_t)(int64_t)ahead;
	node->slice = (uint64_t)((qos_wide)node->slice * node->weight / weight);
	node->weight = (uint16_t)weight;
	if (!competes)
		return;
	if (contest->weight == 0)
		contest_origin(contest, node->vtime);
	contest_add(contest, node);
	node_link(node);
}

/* ---- The choice ---- */

/*
 * The size whose first competitor has the earliest deadline, among those whose start is due at the
 * moment @due; RING_SIZES when there is none. Each level of priority lets one run a job or two
 * (sizes are rounded) ahead of that. The branches are foretold well enough: to do without them is
 * slower, as nothing could be begun before the size is known.
 */
static inline uint32_t rank_earliest(const struct qos_contest *contest, uint32_t priority,
				     qos_wide due)
{
	const struct qos_rank *rank = contest->ranks[priority];
	int64_t weight = (int64_t)contest->weight;
	int64_t earliest = INT64_MAX;
	uint32_t best = RING_SIZES;

	for (uint64_t sizes = rank->sizes; sizes; sizes &= sizes - 1) {
		uint64_t job = sizes & -sizes;
		uint32_t size = (uint32_t)__builtin_ctzll(sizes);
		uint64_t start = rank->first[size] - contest->origin;
		int64_t deadline = (int64_t)(start + 2 * job);

		if (deadline >= earliest ||
		    (qos_wide)(int64_t)(start - priority * 2 * job) * weight > due)
			continue;
		earliest = deadline;
		best = size;
	}
	return best;
}

/* The one to choose of a priority; NULL: nobody is due. Who came back from idle owes nothing and
 * goes first, once. */
static inline struct qos_node *rank_choose(const struct qos_contest *contest, uint32_t priority,
					   bool anyone)
{
	qos_wide due = anyone ? (qos_wide)INT64_MAX << 64 : contest->moment;
	struct qos_rank *rank = contest->ranks[priority];
	uint32_t size;

	if (rank->fresh.head)
		return rank->fresh.head;
	while ((size = rank_earliest(contest, priority, due)) < RING_SIZES) {
		struct qos_node *node = rank->slots[size][slot_index(rank->first[size], size)].head;
		uint32_t true_size = node_size(node);
		uint64_t begin = slot_begin(node->vtime, true_size);

		if (true_size == size && (int64_t)(begin - rank->first[size]) <= 0)
			return node;
		rank_take(rank, node);
		rank_add(rank, node, true_size, begin);
	}
	return NULL;
}

static struct qos_node *contest_choose(const struct qos_contest *contest, bool anyone)
{
	struct qos_node *node = NULL;

	for (uint32_t left = contest->levels; left && !node;) {
		uint32_t priority = 31u - (uint32_t)__builtin_clz(left);

		node = rank_choose(contest, priority, anyone);
		left ^= 1u << priority;
	}
	return node;
}

struct qos_node *contest_first(struct qos_contest *contest)
{
	struct qos_node *node = contest_choose(contest, false);

	/* A slot that was moved to fit may begin later than who is in it: the engine does not wait
	 * for that. */
	return node || contest->weight == 0 ? node : contest_choose(contest, true);
}
