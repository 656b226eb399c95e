/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One controller as this process sees it: caches over struct nvme_state, requests, buffers. All of
 * it belongs to the host's thread.
 *
 * A request is one command from fetch to completion entry, bound to the slot of the same index in
 * the state. Its stages, and who calls next:
 *
 *   FREE     -> LISTS     a command was fetched; PRP lists or SGL segments are being read (DMA
 * done)
 *            -> BUFFER    it waits for a bounce buffer                                    (a
 * buffer's release)
 *            -> COPY_IN   data comes from the guest by copying                            (DMA
 * done)
 *            -> QUEUED    the host has the job (job_start); most admin commands begin here and
 *                         go on with LISTS
 *            -> STARTED   the storage works on it                                         (io.done)
 *            -> COPY_OUT  data goes to the guest by copying                               (DMA
 * done)
 *            -> PARKED    it waits for something to happen (events, queue deletion)
 *            -> DONE      it waits for its completion entry to be written (completion.c)
 *            -> FREE
 */
#pragma once

#include "driver.h"
#include "state.h"

#define NVME_ADMIN_RESERVE 16u	/* slots that I/O queues leave for the admin queue */
#define NVME_ADMIN_MAX	   128u /* slots the admin queue takes at most */
#define NVME_MDTS	   8u	/* in pages of 4 KiB: 1 MiB */
#define NVME_TRANSFER_MAX  (NVME_PAGE_BYTES << NVME_MDTS)
#define NVME_MPSMAX	   4u
#define NVME_RANGES_MAX	   264u /* of a transfer in 4 KiB pages, or SGL blocks */
#define NVME_IOV_MAX	   512u
#define NVME_LIST_CHUNK	   512u /* bytes of a PRP list or SGL segment read at once */
#define NVME_SMALL_COUNT   8u	/* bounce buffers of 4 KiB, for admin data and range lists */
#define NVME_LARGE_COUNT   4u	/* and of NVME_TRANSFER_MAX, for data in message-only memory */
#define NVME_FETCH_BATCH   16u
#define NVME_TIMER_SHARED  0u
#define NVME_TIMER_RESUME  1u
#define NVME_TIMER_REPLAY  2u
#define NVME_FLUSH_REQUEST                                                                         \
	NVME_SLOTS /* the request for our own flush at shutdown; it has no slot */

enum nvme_stage {
	NVME_STAGE_FREE,
	NVME_STAGE_LISTS,
	NVME_STAGE_BUFFER,
	NVME_STAGE_COPY_IN,
	NVME_STAGE_QUEUED,
	NVME_STAGE_STARTED,
	NVME_STAGE_COPY_OUT,
	NVME_STAGE_PARKED,
	NVME_STAGE_DONE,
};

/* How commands of an earlier process begin anew; see replay.c. But for NONE nothing is fetched. */
enum nvme_replay {
	NVME_REPLAY_NONE, /* they have begun, or there are none */
	NVME_REPLAY_DUE,
	NVME_REPLAY_ALONE, /* one after the other */
};

struct nvme_range {
	uint64_t iova;
	uint64_t length;
};

struct nvme_request;
TAILQ_HEAD(nvme_request_list, nvme_request);

/* Where the reading of PRP lists and SGL segments stands; see dptr.c. */
struct nvme_walk {
	uint64_t next;	  /* guest address of the next entries */
	uint32_t left;	  /* bytes of the transfer not yet described */
	uint32_t entries; /* SGL: descriptors left in the segment; PRP: entries left in the list
			     page */
	uint32_t chunk;	  /* bytes being read */
	uint16_t seen;	  /* SGL descriptors so far */
	uint8_t sgl;
	uint8_t last; /* this is the last segment */
};

struct nvme_request {
	struct umdev_job job;
	struct nvme_io io;
	struct nvme_ctrl *ctrl;
	struct nvme_state_cmd *cmd;
	TAILQ_ENTRY(nvme_request) link; /* free, completion, waiting or service list */
	void (*next)(struct nvme_request *req,
		     uint32_t status);		/* after LISTS, COPY_IN, COPY_OUT */
	void (*fill)(struct nvme_request *req); /* admin: puts the reply into the buffer */
	uint8_t *buffer;			/* bounce buffer, or NULL */
	struct nvme_walk walk;
	uint32_t index;
	uint32_t length;      /* bytes to transfer */
	uint32_t copied;      /* by the copy in progress */
	uint32_t copy_length; /* the piece in progress */
	uint32_t copy_range;
	uint32_t hold;
	uint32_t location; /* of the field in error, for the error log */
	uint16_t range_count;
	uint8_t stage;
	uint8_t held;
	uint8_t large;	   /* kind of the buffer */
	uint8_t replayed;  /* a command that an earlier process began */
	uint8_t replaying; /* it has not ended or parked since */
	uint8_t in_job;	   /* an admin command whose job has started and not ended */
	uint16_t dsm_next; /* range of Dataset Management that follows */
	uint16_t dsm_count;
	uint64_t due_ns; /* service_us: when the job is over */
	int32_t error;	 /* how its work ended */
	uint32_t service;
	struct nvme_range *ranges; /* few, or NVME_RANGES_MAX in the arena */
	struct nvme_range few[2];  /* what nearly every command needs, near at hand */
	struct iovec iov_few[2];
};

struct nvme_sq {
	uint32_t head;	 /* fetched % size */
	uint32_t active; /* requests before DONE */
	bool fetching;	 /* entries are being read by message */
	struct nvme_request *deleter;
};

struct nvme_cq {
	uint32_t tail;	/* posted % size */
	uint32_t users; /* submission queues */
	uint16_t phase;
	bool writing; /* an entry is being written by message */
	struct nvme_request *deleter;
	struct nvme_request_list pending;
};

/* Says whose ring a transfer by message belongs to. */
struct nvme_token {
	struct nvme_ctrl *ctrl;
	uint32_t qid;
	uint32_t count;
};

/* Memory that is reserved once and touched as load asks for it. */
struct nvme_arena {
	struct nvme_range ranges[NVME_SLOTS + 1][NVME_RANGES_MAX];
	struct iovec iovs[NVME_SLOTS + 1][NVME_IOV_MAX];
	uint8_t lists[NVME_SLOTS + 1][NVME_LIST_CHUNK];
	struct nvme_sqe fetch[NVME_QUEUES][NVME_FETCH_BATCH];
	struct nvme_token fetch_tokens[NVME_QUEUES];
	struct nvme_cqe post[NVME_QUEUES];
	struct nvme_token post_tokens[NVME_QUEUES];
	uint8_t small[NVME_SMALL_COUNT][NVME_PAGE_BYTES];
	uint8_t large[NVME_LARGE_COUNT][NVME_TRANSFER_MAX];
	struct nvme_request requests[NVME_SLOTS + 1];
};

/* Counters of this process; those a guest can see are in the state. */
struct nvme_counters {
	uint64_t interrupts;
	uint64_t trapped;
	uint64_t polls;
	uint64_t sleeps;
	uint64_t copied_bytes;
	uint64_t fatal;
};

struct nvme_ctrl {
	struct nvme_parent *parent;
	struct umdev_mdev *mdev;
	struct nvme_state *state;
	struct nvme_arena *arena;
	TAILQ_ENTRY(nvme_ctrl) dirty_link;
	uint64_t base;	 /* of the namespace in the parent, bytes */
	uint64_t blocks; /* of the namespace */
	uint32_t block_shift;
	uint32_t page_shift; /* CC.MPS, while enabled */
	uint32_t vectors;
	uint32_t queues; /* I/O queue pairs offered */
	uint8_t interrupts;
	bool shared;	     /* doorbells=shared */
	uint32_t *doorbells; /* the page of doorbells=shared */

	bool running;	 /* CC.EN, ready, not draining, not failed */
	bool drain_held; /* a drain is being set up */
	bool draining;	 /* until nothing is outstanding */
	bool in_dirty;
	bool polling;
	bool put_off;	     /* the last look left the turn to the next */
	bool flushing;	     /* our own flush is in progress */
	bool serving;	     /* guards against recursion */
	uint8_t reset_asked; /* reset_done() is due */
	bool timer_armed;
	bool resuming;		    /* nvme_state_go() is still to come */
	bool leaving;		    /* another process will go on from the state */
	uint8_t replay;		    /* enum nvme_replay */
	uint32_t replay_left;	    /* requests that are replaying */
	struct nvme_request *alone; /* the one that began anew last, of those that do so alone */
	uint32_t outstanding;	    /* requests not FREE, fetches and posts by message */
	uint32_t working;	    /* requests between fetch and DONE, without PARKED */
	uint32_t used;		    /* requests ever taken from the arena */
	uint32_t free_count;
	uint32_t last_sq; /* the round robin stands here */
	uint64_t last_work_ns;
	uint64_t busy_since_ns;
	uint64_t ready[2];    /* submission queues with entries to fetch, by id */
	uint64_t cq_dirty[2]; /* completion queues with requests pending, by id */
	uint64_t bad_tail[2]; /* doorbells in memory whose bad value was reported */
	uint64_t bad_head[2];
	uint64_t irq_held; /* vectors whose interrupt is masked, when not MSI-X */
	struct nvme_request_list free;
	struct nvme_request_list waiting[2]; /* for a small, a large buffer */
	uint32_t small_free;		     /* bit sets */
	uint32_t large_free;
	struct nvme_counters counters;
	struct nvme_sq sq[NVME_QUEUES];
	struct nvme_cq cq[NVME_QUEUES];
	uint8_t uuid[16];
	char uuid_text[UMDEV_UUID_STRING];
	char serial[21];
	char model[41];
};

/* Sets of queue ids, 0..NVME_QUEUES - 1. */
static inline void nvme_bit_set(uint64_t set[2], uint32_t bit)
{
	set[bit >> 6] |= 1ull << (bit & 63u);
}

/* Takes @bit out of @set. */
static inline void nvme_bit_clear(uint64_t set[2], uint32_t bit)
{
	set[bit >> 6] &= ~(1ull << (bit & 63u));
}

/* Whether @bit is in @set. */
static inline bool nvme_bit_test(const uint64_t set[2], uint32_t bit)
{
	return (set[bit >> 6] >> (bit & 63u)) & 1u;
}
