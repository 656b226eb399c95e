/* SPDX-License-Identifier: BSD-3-Clause */
/* See walk.h. */
#include "walk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sysfs/attr.h"

#define WALK_DEPTH 16
#define WALK_PATH  1024

struct walk_place {
	struct node node;
	char path[WALK_PATH];
};

/* What is to be looked into, and the directory that is being looked at. */
struct walk_state {
	struct walk *walk;
	struct walk_place *places;
	size_t count;
	size_t room;
	struct walk_place at;
	char **names; /* of its entries */
	size_t name_count;
	size_t name_room;
};

static void *walk_grow(void *array, size_t count, size_t *room, size_t size)
{
	if (count < *room)
		return array;
	*room = *room ? *room * 2 : 64;
	array = realloc(array, *room * size);
	assert_non_null(array);
	return array;
}

static bool walk_same(struct node a, struct node b)
{
	return a.kind == b.kind && a.row == b.row && a.object == b.object;
}

bool walk_resolve(const struct tree *tree, const char *path, struct node *ret_node)
{
	struct node stack[WALK_DEPTH] = {{NODE_ROOT, 0, 0}};
	char copy[WALK_PATH];
	char *rest = copy;
	size_t depth = 0;
	char *part;

	assert_true(strlen(path) < sizeof(copy));
	memcpy(copy, path, strlen(path) + 1);
	while ((part = strsep(&rest, "/"))) {
		if (strcmp(part, "..") == 0) {
			assert_true(depth > 0); /* out of the mount */
			depth--;
			continue;
		}
		assert_true(part[0] && depth + 1 < WALK_DEPTH);
		if (!node_find(tree, stack[depth], part, &stack[depth + 1]))
			return false;
		if (!node_is_dir(stack[++depth]))
			return false;
	}
	*ret_node = stack[depth];
	return true;
}

bool walk_answers(const struct tree *tree, uint64_t number)
{
	struct subject s;
	struct node node;
	struct attr made;

	return node_from_number(number, &node) && node_resolve(tree, node, &s) &&
	       (node.row == 0 || attr_of(&s, node, &made));
}

/* Where a link leads; false when @node is none. */
static bool walk_link(const struct tree *tree, struct node node, char *text, size_t size)
{
	const struct attr *attr;
	struct subject s;
	struct attr made;
	int n;

	assert_true(node_resolve(tree, node, &s));
	if (node.row == 0) {
		if (!node_is_link(node))
			return false;
		node_link_target(&s, node, text, size);
		return true;
	}
	attr = attr_of(&s, node, &made);
	assert_non_null(attr);
	if (!S_ISLNK(attr->mode))
		return false;
	n = attr->show(&s, attr, NULL, text, size - 1);
	assert_true(n > 0 && (size_t)n < size - 1);
	text[n] = '\0';
	return true;
}

static void walk_check_link(struct walk_state *state, struct node node, const char *name)
{
	char target[WALK_PATH];
	char path[2 * WALK_PATH];
	struct node led;

	if (!walk_link(state->walk->tree, node, target, sizeof(target)))
		return;
	if (strncmp(target, "../", 3) != 0)
		fail_msg("%s/%s leads to %s", state->at.path, name, target);
	snprintf(path, sizeof(path), "%s/%s", state->at.path, target);
	if (!walk_resolve(state->walk->tree, path, &led))
		fail_msg("%s/%s -> %s dangles", state->at.path, name, target);
}

static void walk_note(struct walk *walk, uint64_t number)
{
	walk->numbers = walk_grow(walk->numbers, walk->count, &walk->room, sizeof(uint64_t));
	walk->numbers[walk->count++] = number;
}

static void walk_push(struct walk_state *state, struct node node, const char *name)
{
	struct walk_place *place;
	const char *slash = state->at.path[0] ? "/" : "";
	int n;

	state->places =
		walk_grow(state->places, state->count, &state->room, sizeof(*state->places));
	place = &state->places[state->count++];
	place->node = node;
	n = snprintf(place->path, sizeof(place->path), "%s%s%s", state->at.path, slash, name);
	assert_true((size_t)n < sizeof(place->path));
}

static bool walk_entry(void *data, const char *name, struct node node)
{
	struct walk_state *state = data;
	const struct tree *tree = state->walk->tree;
	uint64_t number = node_number(node);
	struct node found = {NODE_ROOT, 0, 0};
	struct node back;

	if (!node_find(tree, state->at.node, name, &found) || !walk_same(found, node))
		fail_msg("%s/%s is listed, but is not found (kind %d)", state->at.path, name,
			 (int)node.kind);
	assert_true(node_from_number(number, &back));
	assert_true(walk_same(back, node));
	assert_true(walk_answers(tree, number));
	if (!walk_same(node_up(tree, node), state->at.node))
		fail_msg("%s/%s has another directory above it", state->at.path, name);
	for (size_t i = 0; i < state->name_count; i++) {
		if (strcmp(state->names[i], name) == 0)
			fail_msg("%s/%s is listed twice", state->at.path, name);
	}
	state->names = walk_grow(state->names, state->name_count, &state->name_room,
				 sizeof(*state->names));
	state->names[state->name_count++] = strdup(name);
	walk_note(state->walk, number);
	walk_check_link(state, node, name);
	if (node_is_dir(node))
		walk_push(state, node, name);
	return true;
}

/* What is not listed is not found. */
static void walk_check_others(const struct walk_state *state)
{
	static const char *const others[] = {
		"",	".",	     "..",	  "-1", "+0", "00", "0x0", "18446744073709551616",
		" sys", "sys/class", MIRROR_A "x"};
	struct node found;

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_false(node_find(state->walk->tree, state->at.node, others[i], &found));
	for (size_t i = 0; i < state->name_count; i++) {
		char other[WALK_PATH];

		snprintf(other, sizeof(other), "%s.", state->names[i]);
		assert_false(node_find(state->walk->tree, state->at.node, other, &found));
	}
}

static int walk_compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

void walk_all(struct walk *walk, const struct tree *tree)
{
	struct walk_state state = {.walk = walk};

	*walk = (struct walk){.tree = tree};
	walk_note(walk, node_number((struct node){NODE_ROOT, 0, 0}));
	assert_int_equal(walk->numbers[0], 1);
	walk_push(&state, (struct node){NODE_ROOT, 0, 0}, "");
	while (state.count > 0) {
		state.at = state.places[--state.count];
		node_list(tree, state.at.node, walk_entry, &state);
		walk_check_others(&state);
		while (state.name_count > 0)
			free(state.names[--state.name_count]);
	}
	free(state.places);
	free(state.names);
	qsort(walk->numbers, walk->count, sizeof(uint64_t), walk_compare);
	for (size_t i = 1; i < walk->count; i++)
		assert_true(walk->numbers[i] != walk->numbers[i - 1]);
}

void walk_done(struct walk *walk)
{
	free(walk->numbers);
}

bool walk_met(const struct walk *walk, uint64_t number)
{
	return bsearch(&number, walk->numbers, walk->count, sizeof(number), walk_compare) != NULL;
}
