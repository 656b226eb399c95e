/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The checks. Each is one row of the table in check.c and one function; the function runs in a
 * process of its own with a harness that has loaded nothing yet. It returns when all is well, or
 * ends the process with verdict_fail() or verdict_skip().
 */
#pragma once

#include <stddef.h>

#include "kit.h"

/* No rule of the harness stands behind the check. */
#define CHECK_NO_RULE (-1)
/* Nor this time; the check needs a daemon. */
#define CHECK_DAEMON (-2)

struct check {
	const char *name;    /* stable */
	const char *meaning; /* what holds when it is ok */
	void (*run)(struct kit *kit);
	uint32_t limit_s;
	int rule; /* enum rule: breaches that any check saw make this one fail; or CHECK_* */
};

extern const struct check check_table[];
extern const size_t check_count;

/* Whether @check was asked for. */
bool check_wanted(const struct conform_options *options, const struct check *check);

/* ---- check-load.c: the file, its table, and whether it can be unloaded ---- */
void check_load_entry(struct kit *kit);
void check_load_name(struct kit *kit);
void check_load_accepted(struct kit *kit);
void check_load_tables(struct kit *kit);
void check_load_defaults(struct kit *kit);
void check_load_unload(struct kit *kit);

/* ---- check-types.c: the parent and the types that it offers ---- */
void check_parent_open(struct kit *kit);
void check_types_legal(struct kit *kit);
void check_types_class(struct kit *kit);
void check_types_unique(struct kit *kit);
void check_types_stable(struct kit *kit);

/* ---- check-pool.c: pieces and lives ---- */
void check_pool_fit(struct kit *kit);
void check_pool_fill(struct kit *kit);
void check_pool_orders(struct kit *kit);
void check_pool_random(struct kit *kit);
void check_pool_given_back(struct kit *kit);

/* ---- check-device.c: one device, and wiping ---- */
void check_device_declared(struct kit *kit);
void check_device_stats(struct kit *kit);
void check_pool_discard(struct kit *kit);

/* ---- check-attrs.c: values, and refusing them ---- */
void check_attrs_bounds(struct kit *kit);
void check_attrs_create(struct kit *kit);
void check_attrs_set(struct kit *kit);
void check_attrs_refusal(struct kit *kit);

/* ---- check-group.c: group_check ---- */
void check_group_answer(struct kit *kit);
void check_group_pure(struct kit *kit);

/* ---- check-reset.c: power-on state again ---- */
void check_reset_device(struct kit *kit);
void check_reset_flr(struct kit *kit);
void check_reset_lost(struct kit *kit);

/* ---- check-hostile.c: guests that mean no good ---- */
void check_hostile(struct kit *kit);

/* ---- check-state.c: the state page ---- */
void check_state_resume(struct kit *kit);
void check_state_damaged(struct kit *kit);

/* ---- check-convert.c: states of older versions ---- */
void check_state_convert(struct kit *kit);

/* ---- check-jobs.c: work and shares ---- */
void check_jobs_run(struct kit *kit);
void check_qos_weights(struct kit *kit);
void check_qos_cap(struct kit *kit);
/* How long process @pid has waited for a processor; and skips the check when, within @wall_ns, that
 * was too long to measure shares. */
uint64_t check_delay_ns(pid_t pid);
void check_need_quiet(uint64_t wall_ns, uint64_t delay_ns);

/* ---- check-daemon.c: under a real umdevd ---- */
void check_daemon_instances(struct kit *kit);
void check_daemon_group(struct kit *kit);
void check_client_lost(struct kit *kit);
void check_host_restart(struct kit *kit);
void check_daemon_shares(struct kit *kit);

/* ---- check-calls.c: the rules of the harness ---- */
void check_calls(struct kit *kit);
