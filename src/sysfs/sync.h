/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Keeps the mirror like the daemon's own state.
 *
 * Events say what changed; what it is now is asked for. While such a question is open the mirror is
 * unsettled, and nobody should be told anything from it: the daemon sends an event before it
 * answers who caused it, so with the connection drained and the mirror settled, a reader sees at
 * least what anybody was ever told.
 */
#pragma once

#include <stdbool.h>

#include "rpc/async.h"
#include "sysfs/tree.h"
#include "util/cleanup.h"
#include "util/error.h"
#include "util/reactor.h"

struct sync;

/* What happened to the mirror; whatever comes is there, whatever goes is still there. */
struct sync_ops {
	void (*parent_came)(void *data, const struct tree_parent *parent);
	void (*parent_goes)(void *data, const struct tree_parent *parent);
	void (*mdev_came)(void *data, const struct tree_mdev *mdev);
	void (*mdev_goes)(void *data, const struct tree_mdev *mdev);
	void (*mdev_changed)(void *data, const struct tree_mdev *mdev, const json_t *before);
	void (*pool_changed)(void *data, const struct tree_parent *parent);
	void (*group_changed)(void *data, const struct tree_group *group);
	/* All questions are answered. Called after the first time it was filled, too. */
	void (*settled)(void *data);
	/* The daemon is gone. */
	void (*closed)(void *data, const struct umdev_error *err);
};

struct sync_config {
	struct reactor *reactor;
	const char *root;  /* of the daemon */
	struct tree *tree; /* to be filled; kept */
	const struct sync_ops *ops;
	void *data; /* for @ops */
};

/* Connects to the daemon and begins to fill the mirror. Returns 0 or the errno of @err. */
int sync_new(const struct sync_config *config, struct sync **ret_sync,
	     struct umdev_error *err) umdev_warn_unused;

/* Ends the connection. The mirror stays as it is. NULL is fine. */
void sync_free(struct sync *sync);

/* Takes in what has arrived, and says whether the mirror is settled then. It never is again when
 * the daemon is gone. */
bool sync_drain(struct sync *sync);
