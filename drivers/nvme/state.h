/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Everything about one controller that its guest can see, as it stands in the state page. No
 * pointers, no holes; another process may go on from it, and then checks every value first
 * (resume.c).
 *
 * Two rules make that possible. Positions in rings are counted for ever: a submission queue's head
 * is fetched % size, a completion queue's tail is posted % size and its phase follows from posted /
 * size. And a command is written to its slot before the count moves that consumes it: slot ACTIVE,
 * then fetched + 1; slot ENDING with its cq_seq, then the completion entry, then posted + 1, then
 * slot FREE. So whoever finds the page half-way can tell what was done already.
 */
#pragma once

#include <stdint.h>

#include "identify.h"
#include "nvme.h"

#define NVME_STATE_VERSION 2u
#define NVME_STATE_MAGIC   0x766e64766d75ull

#define NVME_IO_QUEUES	   64u
#define NVME_QUEUES	   (NVME_IO_QUEUES + 1u)
#define NVME_ENTRIES_MAX   1024u
#define NVME_ADMIN_ENTRIES 4096u
#define NVME_SLOTS	   1024u /* commands fetched and not completed */
#define NVME_EVENTS_MAX	   4u	 /* outstanding Asynchronous Event Requests */
#define NVME_PENDING_MAX   8u	 /* events that wait for one */
#define NVME_ERRORS	   64u
#define NVME_DEATHS_MAX	   3u /* of processes over one command, which then ends with an error */

struct nvme_state_sq {
	uint64_t base;
	uint64_t fetched;
	uint32_t tail;
	uint32_t size; /* entries; 0: no such queue */
	uint16_t cqid;
	uint16_t reserved;
	uint32_t reserved2;
};

struct nvme_state_cq {
	uint64_t base;
	uint64_t posted;
	uint32_t head;
	uint32_t size; /* entries; 0: no such queue */
	uint16_t vector;
	uint16_t irq; /* interrupts enabled */
	uint32_t reserved;
};

#define NVME_SLOT_FREE	 0u
#define NVME_SLOT_ACTIVE 1u
#define NVME_SLOT_ENDING 2u

struct nvme_state_cmd {
	struct nvme_sqe sqe;
	uint64_t sq_seq; /* which fetch of its queue this was */
	uint64_t cq_seq; /* ENDING: the place of its completion entry */
	uint32_t result;
	uint16_t status;
	uint16_t sqid;
	uint16_t sq_head;
	uint8_t phase;	/* NVME_SLOT_* */
	uint8_t deaths; /* processes that died over it */
	uint8_t reserved[4];
};

struct nvme_state_event {
	uint8_t type;
	uint8_t info;
	uint8_t log;
	uint8_t reserved;
};

struct nvme_state_features {
	uint32_t arbitration;
	uint32_t over_temperature;
	uint32_t under_temperature;
	uint32_t recovery;
	uint32_t write_cache;
	uint32_t queues; /* as granted, 0-based: CQs << 16 | SQs */
	uint32_t coalescing;
	uint32_t atomicity;
	uint32_t async_events;
	uint8_t no_coalescing[76]; /* per vector */
};

/* Counters that outlive controller resets; SMART reports them. */
struct nvme_state_smart {
	uint64_t read_bytes;
	uint64_t write_bytes;
	uint64_t reads;
	uint64_t writes;
	uint64_t flushes;
	uint64_t others;
	uint64_t errors;
	uint64_t media_errors;
	uint64_t power_cycles;
	uint64_t unsafe_shutdowns;
	uint64_t busy_ns;
	uint64_t created_ns;
};

struct nvme_state {
	uint64_t magic;
	uint32_t cc;
	uint32_t csts;
	uint32_t aqa;
	uint32_t intms;
	uint64_t asq;
	uint64_t acq;
	uint64_t shadow; /* guest addresses of Doorbell Buffer Config; 0: off */
	uint64_t eventidx;
	uint32_t intx; /* the INTx level as last told to the host */
	uint32_t event_slot_count;
	uint16_t event_slots[NVME_EVENTS_MAX];
	struct nvme_state_event pending[NVME_PENDING_MAX];
	uint32_t pending_count;
	uint32_t events_masked; /* by type, until the guest reads the log page */
	uint32_t warned;	/* SMART warnings that were announced */
	uint32_t slots_used;	/* slots from here on were never touched */
	struct nvme_state_features features;
	struct nvme_state_smart smart;
	uint32_t suspect; /* slot + 1 of the command that is being worked on, or 0: replay.c */
	uint32_t replays; /* 1 while commands that began anew have not all ended */
	uint64_t error_count;
	struct nvme_log_error errors[NVME_ERRORS]; /* entry n at (n - 1) % NVME_ERRORS */
	struct nvme_state_sq sq[NVME_QUEUES];
	struct nvme_state_cq cq[NVME_QUEUES];
	struct nvme_state_cmd cmds[NVME_SLOTS];
};
static_assert(sizeof(struct nvme_state_cmd) == 96, "no holes");
static_assert(sizeof(struct nvme_state_sq) == 32 && sizeof(struct nvme_state_cq) == 32, "no holes");
static_assert(sizeof(struct nvme_state_features) == 112, "no holes");
static_assert(offsetof(struct nvme_state, sq) ==
		      64 + 8 + 32 + 16 + 112 + 96 + 16 + 64 * NVME_ERRORS,
	      "no holes");
static_assert(sizeof(struct nvme_state) <= 1u << 20, "the most a driver may have");
