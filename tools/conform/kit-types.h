/* SPDX-License-Identifier: BSD-3-Clause */
/* The objects of the harness: what drivers know as opaque handles, and what it remembers of their
 * calls. See kit.h. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <umdev/driver.h>

#include "bridge.h"
#include "host/driver.h"
#include "options.h"
#include "pci/pci.h"
#include "qos/qos.h"
#include "verdict.h"

#define KIT_MDEVS	32 /* at once */
#define KIT_ENGINES	16
#define KIT_TIMERS	4
#define KIT_WATCHES	64
#define KIT_HOLDS	4096
#define KIT_KEPT	8
#define KIT_JOBS	8192
#define KIT_TRANSFERS	1024
#define KIT_MEMORY	(32u << 20) /* bytes of guest memory */
#define KIT_MEMORY_IOVA 0x100000u
#define KIT_BAR_ARENA	(8u << 20) /* bytes of memory behind mmap areas */
/* Guest memory of umdev/driver.h: a reset has to end within this time. */
#define KIT_RESET_NS 4000000000ull

struct kit;
struct work;

/* How the guest's memory can be reached. */
enum kit_memory {
	KIT_MEMORY_NONE,   /* no client has mapped any */
	KIT_MEMORY_DIRECT, /* shared; in pieces */
	KIT_MEMORY_REMOTE  /* by messages only, which take their time */
};

struct umdev_parent {
	struct kit *kit;
};

struct kit_timer {
	uint64_t deadline_ns; /* 0: not armed */
	umdev_timer_expired *expired;
	void *arg;
};

struct umdev_mdev {
	struct kit *kit;
	char uuid[UMDEV_UUID_STRING];
	void *priv;
	uint32_t type_index;
	uint64_t piece_start;
	uint64_t piece_size;
	void *state;
	struct umdev_device device;
	struct pci_function pci;
	struct pci_page *pci_page;
	uint8_t *bar_memory[UMDEV_BAR_COUNT]; /* NULL: no mmap area */
	struct kit_timer timers[KIT_TIMERS];
	struct qos_flow flows[KIT_ENGINES];
	uint32_t flow_count;
	uint32_t endpoint_count;
	int32_t endpoints[UMDEV_ENDPOINTS_MAX];
	uint64_t access; /* number of the one under way; 0: none */
	uint64_t last_access;
	int32_t kept[KIT_KEPT];	   /* descriptors, plus one; 0: none */
	uint32_t holds[KIT_HOLDS]; /* tokens given out and not released; 0: free */
	uint32_t hold_count;
	bool created;
	bool polled;
	bool level;
	bool touched; /* by a guest since it was created or reset */
	bool resetting;
	bool in_reset;	    /* reset() has not returned */
	bool reset_ended;   /* reset_done() was called for the reset in progress */
	uint32_t most_jobs; /* that it has had queued and started at once */
	uint32_t reserved;
	uint64_t irqs;
	uint64_t submitted;
	uint64_t started;
	uint64_t ended;
	struct work *work; /* what makes jobs, see work.h; or NULL */
};

struct kit_watch {
	int fd; /* -1: free */
	uint32_t events;
	umdev_fd_ready *ready;
	void *arg;
};

struct kit_job {
	struct qos_job qos;
	struct umdev_job *job; /* NULL: free */
	struct umdev_mdev *mdev;
	uint64_t canary; /* what stands in host[] while the job is the host's */
};

struct kit_transfer {
	struct umdev_mdev *mdev; /* NULL: free */
	uint64_t iova;
	void *to;
	const void *from; /* NULL: a read of guest memory */
	uint64_t len;
	umdev_dma_done *done;
	void *arg;
};

/* All of it. One per process. */
struct kit {
	const struct conform_options *options;
	struct host_driver driver;
	bool loaded;
	bool opened;
	bool declared_badly; /* the driver made an mdev that no host can show to a guest */
	struct umdev_parent parent;
	void *parent_priv;
	struct umdev_parent_info info;
	struct umdev_value *values; /* of the options */
	json_t *texts;		    /* of the options */
	/* Endpoints of every mdev from now on, where processes share them; else each has its own.
	 */
	const int32_t *endpoints;
	struct umdev_mdev *mdevs[KIT_MDEVS];
	struct qos_engine *engines[KIT_ENGINES];
	uint32_t engine_count;
	struct kit_watch watches[KIT_WATCHES];
	struct kit_job *jobs; /* KIT_JOBS */
	uint32_t job_top;     /* those from here on are free */
	struct kit_transfer transfers[KIT_TRANSFERS];
	uint32_t transfer_count;
	enum kit_memory memory_mode;
	uint8_t *memory;
	uint8_t *bar_arena; /* shared with children, like the state of mdevs */
	uint64_t bar_used;
	bool hold_jobs; /* submitted jobs are not started */
	bool quiet; /* only fail, log and now_ns may be called: a question that changes nothing */
	bool converting; /* a callback is in progress that calls fail() and log() at most */
	uint32_t depth;	 /* callbacks in progress */
	uint32_t next_token;
	uint64_t next_canary;
	int thread;
	bool discard_pending;
	int discard_status;
	/* Called after each start of a job, and in each turn, so that work never runs out. */
	void (*refill)(struct kit *kit);
	uint32_t refill_depth; /* jobs that it keeps queued or started, of each mdev */
};

/* What an mdev is made of. All zero: the type of the options, attributes at their defaults, the
 * whole state new, a piece from the front. */
struct kit_create {
	uint32_t type_index;
	uint32_t number; /* its UUID is made of this */
	uint64_t piece_start;
	uint64_t piece_size; /* 0: the cost of the type */
	json_t *attrs;	     /* texts, or NULL */
	void *state;	     /* resume from this; NULL: new */
};
