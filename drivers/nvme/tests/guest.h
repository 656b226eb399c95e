/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest's side for tests: rings in the fake's memory, commands, completions.
 */
#pragma once

#include "fake_host.h"

#define GUEST_ADMIN_SQ 0x10000ull
#define GUEST_ADMIN_CQ 0x20000ull
#define GUEST_SHADOW   0x30000ull
#define GUEST_EVENTIDX 0x31000ull
#define GUEST_RINGS    0x100000ull /* queue n: SQ at + n * 0x20000, CQ at + n * 0x20000 + 0x10000 */
#define GUEST_BUFFER   0x1000000ull
#define GUEST_LISTS    0x3000000ull

struct guest_queue {
	uint32_t size;
	uint32_t tail;
	uint32_t head;
	uint32_t phase;
	uint64_t sq;
	uint64_t cq;
};

struct guest {
	struct guest_queue q[NVME_QUEUES];
	uint16_t next_cid;
	bool shadow; /* I/O doorbells go to memory, and to the register as the event index asks */
	bool shared;
	bool keep_doorbells; /* do not ring after guest_post() */
};

extern struct guest guest;

/* Registers of BAR 0; the access must succeed. */
uint32_t guest_read32(uint64_t offset);
uint64_t guest_read64(uint64_t offset);
void guest_write32(uint64_t offset, uint32_t value);
void guest_write64(uint64_t offset, uint64_t value);

/* Sets up the admin queue (@entries each) and enables the controller; it must become ready. */
void guest_enable(uint32_t entries);
/* Creates I/O queue pair @qid with @entries. */
void guest_create_pair(uint32_t qid, uint32_t entries);
/* Turns shadow doorbells on. */
void guest_shadow(void);

/* A command with the next cid. */
struct nvme_sqe guest_command(uint8_t opcode, uint32_t nsid);
/* Puts @sqe into queue @qid and rings. Returns its cid. */
uint16_t guest_post(uint32_t qid, struct nvme_sqe sqe);
/* Rings the tail of @qid as it stands. */
void guest_ring(uint32_t qid);
/* Takes the next completion of @qid if there is one. */
bool guest_reap(uint32_t qid, struct nvme_cqe *ret_cqe);
/* Takes the next completion, with turns of the loop in between; it must come. */
struct nvme_cqe guest_wait(uint32_t qid);
/* Posts and waits; returns the status field without More. */
uint32_t guest_run(uint32_t qid, struct nvme_sqe sqe, uint32_t *ret_result);

/* A read or write of @blocks at @first with PRPs over @length bytes of guest memory at @at. */
struct nvme_sqe guest_transfer(uint8_t opcode, uint64_t first, uint32_t blocks, uint64_t at);
/* Sets PRP1 and PRP2 of @sqe for @length bytes at @at, with a list at GUEST_LISTS + @list where
 * needed. */
void guest_prps(struct nvme_sqe *sqe, uint64_t at, uint64_t length, uint64_t list);

/* A path for backing files, and one of @size bytes made there. */
const char *guest_file(uint64_t size);
