/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of the load share; nobody else includes it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "load.h"
#include "pace.h"

/* One command in flight, or a place for one. */
struct load_slot {
	uint64_t start_ns; /* what its latency counts from */
	uint64_t due_ns;   /* of an open loop */
	uint64_t block;	   /* first of the region's */
	uint8_t *buffer;
	uint64_t buffer_iova;
	uint64_t *list; /* one page of PRP entries */
	uint64_t list_iova;
	uint64_t prp[2]; /* of a full-sized transfer at the start of the buffer */
	uint32_t count;	 /* blocks */
	uint32_t generation;
	uint32_t shift; /* of the data from the start of the buffer */
	enum load_op op;
	bool busy;
};

struct load_queue {
	struct nvme_queue *q;
	struct load_slot *slots;
	uint16_t *free;
	uint32_t free_count;
	bool starved; /* all tries to find unlocked blocks failed; to be tried again */
};

struct load {
	const struct perf_options *options;
	struct nvme_ctrl *ctrl;
	struct verify_model *model; /* NULL: nothing is verified */
	struct load_result *result;
	struct load_queue queues[NVME_QUEUES_MAX];
	uint32_t queue_count;
	uint64_t first_lba;
	uint64_t blocks;
	uint32_t command_blocks; /* of one full-sized command */
	uint32_t block_bytes;
	uint64_t cursor; /* of sequential patterns and of the sweep */
	uint64_t rng;
	uint64_t issued;
	uint64_t limit; /* of issued */
	uint64_t in_flight;
	uint32_t complaints;
	bool sweeping;
	bool stopping;
	bool measuring;
	bool random;
	bool may_write;
	bool open;  /* commands may be started */
	bool paced; /* open loop: started when they are due */
	bool full;  /* paced: what is due next has to wait for a completion */
	/* Times. */
	uint64_t open_ns;    /* when commands may be started */
	uint64_t measure_ns; /* when measuring begins */
	uint64_t deadline_ns;
	uint64_t window_start_ns;
	uint64_t progress_ns; /* of the last completion */
	uint64_t check_ns;    /* of the next load_check() */
	uint64_t full_ns;     /* what was due until then found no place */
	uint64_t wake_ns;     /* when the next command is to be started; UINT64_MAX: unknown */
	uint64_t timer_ns;    /* what the timer is set to */
	uint64_t rings_before;
	struct pace pace;
	struct cpu_meter cpu;
	pid_t server;
	const volatile sig_atomic_t *stop;
	int epoll;
	int timer;
};

/*
 * Starts one command on @lq, which has a free slot, at @now_ns. Returns its slot, or NULL when no
 * blocks are free for one now. The caller rings.
 */
struct load_slot *load_start(struct load *l, struct load_queue *lq, uint64_t now_ns);

/* Puts as many commands on queue @lq as it takes; they start at @now_ns. The caller rings. */
void load_fill(struct load *l, struct load_queue *lq, uint64_t now_ns);

/* From now on commands may be started. */
void load_open(struct load *l);

/* Open loop: starts what is due at @now_ns and rings. Returns 0 or the -errno of the message. */
int load_pace(struct load *l, uint64_t now_ns) umdev_warn_unused;

/* Settles what the completed @slot did: status, contents, locks. */
void load_settle(struct load *l, const struct load_queue *lq, struct load_slot *slot,
		 uint16_t status);

/* Whether a command of kind @op changes the blocks it names. */
static inline bool load_op_changes(enum load_op op)
{
	return op == LOAD_WRITE || op == LOAD_ZEROES || op == LOAD_DEALLOCATE;
}
