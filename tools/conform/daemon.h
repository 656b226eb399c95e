/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A private umdevd that knows the driver alone, for checks that need sessions, groups and the
 * scheduler as users have them.
 *
 * It is a child of the check, below a root of its own. However the check ends, the daemon ends with
 * it, and the process that runs the checks removes the root (daemon_clean()).
 */
#pragma once

#include <jansson.h>
#include <limits.h>
#include <sys/types.h>

#include <umdev/client.h>

#include "kit.h"
#include "model/pool.h"

#define DAEMON_PARENT "conform"

struct daemon {
	struct umdev_client *rpc;
	struct pool pool; /* as the driver declared it; pieces are as the check notes them */
	char type[160];	  /* full id of the usual type */
	uint32_t type_index;
};

/*
 * Starts it and adds the parent. Before that the driver is looked at in this process: its types
 * stay readable through @kit. The check is skipped when there is no daemon or no parent.
 */
void daemon_start(struct kit *kit, struct daemon *daemon);

/* Calls a method with @params (taken). Returns the result, or NULL with the daemon's words in @err.
 */
json_t *daemon_try(struct daemon *daemon, const char *method, json_t *params,
		   struct umdev_error *err);
/* The same, where an error ends the check as failed. */
json_t *daemon_call(struct daemon *daemon, const char *method, json_t *params);

/* Starts an mdev of the usual type and notes its piece. Returns MDEV. */
json_t *daemon_mdev(struct daemon *daemon);

/* Ends the daemon; it has to go by itself. */
void daemon_stop(struct daemon *daemon);

/* In the process that runs the checks, at its start and after each of them. */
void daemon_adopt(void);
void daemon_clean(void);
