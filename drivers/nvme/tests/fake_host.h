/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A host for tests of the driver: flat guest memory, jobs in order, messages that arrive late, and
 * a check of the rules a driver has to keep (jobs end once, holds are released, nothing is left
 * after a reset).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <umdev/driver.h>

#include "state.h"

#define FAKE_MEMORY    (64u << 20)
#define FAKE_VECTORS   80
#define FAKE_UUID      "c0ffee00-1234-4abc-8def-0123456789ab"
#define FAKE_TRANSFERS 4096

struct fake_transfer {
	uint64_t iova;
	void *to;
	const void *from; /* NULL: a read of guest memory */
	uint64_t len;
	umdev_dma_done *done;
	void *arg;
};

/* Jobs of one engine of the parent. */
struct fake_engine {
	uint32_t queued;
	uint32_t started;
	uint64_t total;
	bool stopped; /* jobs stay queued */
};

struct fake {
	const struct umdev_driver *driver;
	void *parent;
	void *mdev;
	struct umdev_parent_info info;
	struct umdev_device device;
	struct nvme_state *state;
	uint8_t *memory; /* guest addresses 0.. FAKE_MEMORY */
	uint8_t *bar_page;
	uint64_t now_ns;
	uint64_t real_time; /* use the clock */

	/* How guest memory behaves. */
	uint64_t split;	      /* pieces of dma_map() end at multiples of this; 0: never */
	uint64_t remote_from; /* [from, to) is reached by messages only */
	uint64_t remote_to;
	bool messages_fail;

	/* When the process dies: as it asks for that address (0: never), or as it asks for the
	 * dying_map-th time (0: never). It does not notice; fake_crash() follows. */
	uint64_t deadly;
	uint64_t dying_map;
	bool only_doomed; /* it goes on for a while: doomed says so */
	bool doomed;
	bool dead;
	struct nvme_state at_death;

	/* What the driver did. */
	char failed[256];
	char last_event[256];
	uint64_t irqs[FAKE_VECTORS];
	uint64_t maps;
	bool level;	 /* the INTx level */
	bool level_mode; /* irq_is_level() */
	bool polling;
	uint32_t holds;
	struct fake_engine io;
	struct fake_engine admin;
	uint64_t ended_ns; /* what job_done_at() said last; 0: job_done() */
	uint32_t resets_done;
	uint32_t discards_done;
	int discard_status;
	bool transfers_stopped;
	bool fds_stopped;
	uint32_t transfer_count;
	struct fake_transfer transfers[FAKE_TRANSFERS];
};

/* What a test may say about parent and mdev; zero is the default. */
struct fake_options {
	const char *path; /* else memory */
	uint64_t size;	  /* of the memory, default 64 MiB */
	const char *types;
	uint32_t block_size_index;
	uint32_t io;	      /* 0 auto, 1 io_uring, 2 threads */
	uint32_t parallelism; /* 0: 128 */
	bool measured;	      /* parallelism=0 */
	uint32_t reserved_slots;
	uint32_t service_us;
	bool real_time; /* from the start */
	uint32_t poll_us;
	uint32_t doorbells;
	uint32_t interrupts;
	uint32_t queues;
	const char *serial;
	const char *model;
	uint64_t piece_start;
	uint64_t piece_size; /* default: all of the parent */
	bool fresh_path_required;
};

/* The one fake there is; callbacks have no other way to it. */
extern struct fake fake;

/* Opens the parent. Returns what the driver returned. */
int fake_open(const struct fake_options *options);
/* Creates the mdev with a new state, or with the present one. Returns what the driver returned. */
int fake_create(const struct fake_options *options, uint32_t state_origin);
/* Both, and they must succeed. */
void fake_up(const struct fake_options *options);
/* Lost client, remove, close; checks that nothing was left. */
void fake_down(void);
/* Forgets the mdev as a dead process would: the state stays. Jobs and transfers are waited for but
 * not told. */
void fake_crash(void);

/* What now_ns() says. */
uint64_t fake_now(void);
/* One turn of the loop: descriptors, timers, polling, jobs, messages. Returns how much happened. */
uint32_t fake_turn(void);
/* Turns until nothing happens any more, or @limit turns. */
void fake_settle(uint32_t limit);
