/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The parts of umdevctl run: what --parent and --mdev say, and the private daemon.
 *
 * The daemon is a child of a guard process, which ends it and removes its root as soon as this
 * program is gone, however it went. So nothing stays behind, whoever is killed.
 */
#pragma once

#include <limits.h>
#include <sys/types.h>

#include "ctl/ctl.h"

/* A private daemon. All -1 and empty when there is none. */
struct run_daemon {
	char root[PATH_MAX];
	pid_t guard;
	int alive;  /* the guard acts when this end of its pipe closes */
	int output; /* what the daemon prints */
};

/* The parameters of parent.add (@index counts the parents) or mdev.start that one --parent or
 * --mdev gives. */
int run_parse_parent(const struct ctl *ctl, const char *spec, unsigned index, json_t **ret_params);
int run_parse_mdev(const struct ctl *ctl, const char *spec, json_t **ret_params);

/* Makes a root, starts a daemon on it and waits until it is ready. Returns an exit code; the
 * reason is told. */
int run_daemon_start(const struct ctl *ctl, struct run_daemon *daemon);

/* Ends the daemon and removes its root. Nothing happens when there is none. */
void run_daemon_stop(struct run_daemon *daemon);

/* The path of umdevd beside this program, or just its name to be looked for on PATH (*@ret_beside
 * is false then); freed by the caller. */
char *run_daemon_program(bool *ret_beside);
