/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An NVMe controller from the host's side: brought up the way an operating system's driver does it,
 * used by one thread, shut down properly.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "client.h"
#include "options.h"
#include "queue.h"

#define NVME_QUEUES_MAX	 OPTIONS_QUEUES_MAX
#define NVME_VECTORS_MAX (NVME_QUEUES_MAX + 1)

enum nvme_interrupts {
	NVME_INTERRUPTS_NONE, /* completions are polled */
	NVME_INTERRUPTS_MSIX,
	NVME_INTERRUPTS_MSI,
	NVME_INTERRUPTS_INTX,
	NVME_INTERRUPTS_COUNT
};

/* The controller and its one namespace, from Identify. */
struct nvme_identity {
	char serial[21];
	char model[41];
	char firmware[9];
	uint64_t transfer_max; /* bytes; UINT64_MAX: no limit */
	uint32_t sgls;
	uint16_t oacs;
	uint16_t oncs;
	uint64_t blocks;
	uint32_t block_bytes;
	bool zero_after_deallocate;
};

struct nvme_ctrl {
	struct client *client;
	struct arena *arena;
	struct nvme_identity id;
	struct nvme_queue admin;
	struct nvme_queue queues[NVME_QUEUES_MAX];
	uint32_t queue_count; /* created; 0 before nvme_ctrl_create_queues() */
	uint32_t cq_count;
	uint64_t cap;
	uint64_t ready_timeout_ns;
	uint32_t stride; /* bytes from one doorbell to the next */
	uint16_t next_cid;
	enum options_doorbells doorbells;
	enum nvme_interrupts interrupts;
	uint32_t vectors;
	int eventfds[NVME_VECTORS_MAX];
	uint8_t *page; /* for data of admin commands */
	uint64_t page_iova;
	uint32_t *shadow;
	uint32_t *event;
	uint8_t *bar_map; /* of the doorbells in BAR 0, from bar_map_offset */
	uint64_t bar_map_offset;
	uint64_t bar_map_size;
	bool enabled;
};

/* A name per kind, for reports. */
const char *nvme_interrupts_name(enum nvme_interrupts interrupts);

/* Bytes of arena that a controller with @queues queues of @entries entries takes. */
uint64_t nvme_ctrl_arena_bytes(uint32_t queues, uint32_t entries);

/*
 * Resets the controller behind @client, enables it with memory of @arena, sets interrupts up unless
 * options->poll, asks who it and its namespace are, and prepares doorbells of the kind asked for.
 * Both must outlive @ctrl. Returns 0 or -errno with @err; then nvme_ctrl_done() still must be
 * called.
 */
int nvme_ctrl_init(struct nvme_ctrl *ctrl, struct client *client, struct arena *arena,
		   const struct perf_options *options, struct umdev_error *err) umdev_warn_unused;

/* Creates options->queues queue pairs, each for options->depth commands in flight. */
int nvme_ctrl_create_queues(struct nvme_ctrl *ctrl, const struct perf_options *options,
			    struct umdev_error *err) umdev_warn_unused;

/* Deletes the queues and shuts the controller down as before power off. */
int nvme_ctrl_shutdown(struct nvme_ctrl *ctrl, struct umdev_error *err) umdev_warn_unused;

/* Releases what the object holds on this side. */
void nvme_ctrl_done(struct nvme_ctrl *ctrl);

/* The name of a status as in a completion (without the phase bit), or "unknown status". */
const char *nvme_status_name(uint16_t status);
