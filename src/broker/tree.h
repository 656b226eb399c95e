/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The process that mounts the tree, umdev-sysfs, kept running.
 *
 * It is a client of the control socket and needs nothing of the broker but to be started. Where it
 * cannot mount (no FUSE, no right to) the daemon does without; where it dies it is started again,
 * later each time. One that ended in order was told to by somebody else, and stays away.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "broker/broker.h"
#include "util/reactor.h"

#define TREE_PATH "run/umdev/tree"

enum tree_state { TREE_OFF, TREE_STARTING, TREE_MOUNTED, TREE_WAITING, TREE_ABSENT };

struct tree_server {
	struct broker *broker;
	char *path; /* of the program */
	enum tree_state state;
	char reason[128]; /* why it is absent, or died last */
	pid_t pid;
	struct reactor_fd pidfd;
	struct reactor_fd ready;
	struct reactor_timer timer; /* the next start; how long one is waited for at boot */
	uint64_t started_ns;
	uint64_t delay_ns;
	bool booting; /* counted in broker->booting */
};

/* Starts the program at @path (NULL: there shall be no tree). The broker is not booted before the
 * tree is mounted or known to be absent. */
void tree_server_start(struct tree_server *tree, struct broker *broker, const char *path);

/* Ends the program and waits for that. Safe on one that was not started. */
void tree_server_stop(struct tree_server *tree);
