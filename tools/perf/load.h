/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The load: keeps every queue at its depth with commands of the wanted kind, or starts them at a
 * rate; times and checks what comes back.
 *
 * Latency counts from the doorbell. At a rate, a command that found the depth reached when it was
 * due counts from then: a slow device makes it wait, and must not be flattered by that. How late
 * this program itself was is told apart.
 *
 * One thread does it all. While it polls it makes no system call but a look at the connection ten
 * times a second; nothing is allocated after load_init(). It ends by itself: at the end of the
 * runtime or count, when nothing completes for the timeout, when the server hangs up, or when *stop
 * becomes non-zero.
 */
#pragma once

#include <signal.h>
#include <stdint.h>

#include "cpu.h"
#include "nvme.h"
#include "options.h"
#include "stats.h"
#include "verify.h"

enum load_op { LOAD_READ, LOAD_WRITE, LOAD_ZEROES, LOAD_DEALLOCATE, LOAD_FLUSH, LOAD_OP_COUNT };

struct load_result {
	struct stats_histogram latency[LOAD_OP_COUNT]; /* of what succeeded while measuring */
	uint64_t bytes[LOAD_OP_COUNT];
	struct stats_histogram late;	 /* open loop: from when it was due to its doorbell */
	struct stats_histogram response; /* open loop: from when it was due to its completion */
	uint64_t held;			 /* open loop: were due while the depth was reached */
	uint64_t begin_ns;		 /* when measuring began */
	uint64_t window_ns;
	uint64_t errors;     /* commands that failed, of the whole run */
	uint64_t mismatches; /* blocks that were wrong */
	uint64_t verified_blocks;
	uint64_t commands;	  /* all that completed, sweep and ramp included */
	uint64_t doorbell_writes; /* registers written while measuring */
	struct cpu_usage cpu;
};

struct load;

/* The name of @op in reports. */
const char *load_op_name(enum load_op op);

/* Bytes of arena that the buffers of a run take. */
uint64_t load_arena_bytes(const struct perf_options *options);

/* The part of the namespace that a run uses. */
struct load_region {
	uint64_t first_lba;
	uint64_t blocks;
	struct verify_model *model; /* of exactly these blocks; NULL: nothing is verified */
};

/*
 * Prepares a run on the queues of @ctrl. All arguments but @region must outlive the object, and so
 * must its model. Returns 0 or -errno.
 */
int load_new(const struct perf_options *options, struct nvme_ctrl *ctrl,
	     const struct load_region *region, struct load **ret_load,
	     struct umdev_error *err) umdev_warn_unused;

/* Frees it, after telling the model to forget what was still being written. NULL is fine. */
void load_free(struct load *load);

/*
 * Runs the load, then reads back everything the model knows. @server is whose CPU time to report,
 * or 0. What is wrong with commands and blocks is printed to stderr and counted; only what ends the
 * run is an error. *@ret_result is filled in any case.
 */
int load_run(struct load *load, pid_t server, const volatile sig_atomic_t *stop,
	     struct load_result *ret_result, struct umdev_error *err) umdev_warn_unused;
