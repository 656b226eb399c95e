/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A walk over all of a tree that checks, at every entry, what always holds: an entry is found by
 * its name, is the only one of that name, has a number of its own that leads back to it, has the
 * directory it is in above it; and a link leads, textually, from its place to a directory.
 */
#pragma once

#include "mirror.h"

struct walk {
	const struct tree *tree;
	uint64_t *numbers; /* of all that was met, sorted */
	size_t count;
	size_t room;
};

/* Walks all of @tree. The test fails where something does not hold. */
void walk_all(struct walk *walk, const struct tree *tree);
void walk_done(struct walk *walk);

/* Whether @number was met. */
bool walk_met(const struct walk *walk, uint64_t number);

/* Whether the tree answers for the node of that number. */
bool walk_answers(const struct tree *tree, uint64_t number);

/* Finds what @path, which begins at the root and may have "..", names. False when a part of it is
 * not there or is no directory. */
bool walk_resolve(const struct tree *tree, const char *path, struct node *ret_node);
