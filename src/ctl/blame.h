/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What held an mdev back during a time: the difference of two answers to mdev.blame, shared by the
 * verb and by what it prints.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "ctl/causes.h"

/* A peer, and what it owned in that time. */
struct blame_peer {
	const json_t *peer; /* PEER of the RPC */
	json_int_t owned_ns;
	double share; /* of wall time; 1 is all of it */
};

struct blame {
	const json_t *snapshot; /* the later answer, which all texts belong to */
	const json_t *mdev;	/* QOS of the mdev in it */
	bool whole;		/* since the mdev was started */
	double seconds;
	struct causes waits;
	json_int_t jobs;
	json_int_t owned_ns;
	double share;
	struct blame_peer *peers; /* owned; the largest share comes first */
	size_t n_peers;
};

/* The cause of most of the waiting; CAUSE_COUNT when there was none. */
enum cause blame_main_cause(const struct blame *blame);

/* Prints all of it for a person. */
void blame_print(const struct blame *blame);
