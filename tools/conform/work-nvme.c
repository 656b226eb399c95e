/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The smallest guest of an NVMe controller: admin queue, one I/O queue pair without interrupts,
 * reads of single blocks. NVM Express 1.4, sections 3.1 (registers), 5.3 and 5.4 (queues), 6.9
 * (Read).
 */
#include "work-nvme.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"

#define NVME_REG_CAP	   0x00u
#define NVME_REG_CC	   0x14u
#define NVME_REG_CSTS	   0x1cu
#define NVME_REG_AQA	   0x24u
#define NVME_REG_ASQ	   0x28u
#define NVME_REG_ACQ	   0x30u
#define NVME_BELLS	   0x1000u

#define NVME_CC_ENABLE	   0x00460001u /* 64-byte commands, 16-byte completions */
#define NVME_ENTRIES	   1024u       /* of the I/O queue: more than a device takes at once */
#define NVME_ADMIN_ENTRIES 32u
#define NVME_BLOCKS	   1024u /* of the drive that are read */
#define NVME_WAIT_NS	   (5 * NS_PER_S)

#define NVME_ADMIN_SQ	   0x0000u
#define NVME_ADMIN_CQ	   0x1000u
#define NVME_IO_CQ	   0x4000u
#define NVME_IO_SQ	   0x10000u
#define NVME_DATA	   0x20000u

#define NVME_CREATE_SQ	   0x01u
#define NVME_CREATE_CQ	   0x05u
#define NVME_READ	   0x02u

struct nvme_sqe {
	uint8_t opcode;
	uint8_t flags;
	uint16_t cid;
	uint32_t nsid;
	uint32_t reserved[4];
	uint64_t prp[2];
	uint32_t cdw[6]; /* 10.. */
};

struct nvme_cqe {
	uint32_t result;
	uint32_t reserved;
	uint16_t head;
	uint16_t sqid;
	uint16_t cid;
	uint16_t status; /* bit 0: phase */
};

struct nvme_ring {
	uint64_t sq; /* offsets in the work's memory */
	uint64_t cq;
	uint32_t id;
	uint32_t entries;
	uint32_t tail;
	uint32_t head;
	uint32_t phase;
	uint32_t flying;
};

struct work_nvme {
	const struct work_device *device;
	struct nvme_ring admin;
	struct nvme_ring io;
	uint32_t stride;
	uint16_t next_cid;
	uint16_t last_status;
	uint32_t next_block;
};

struct work_nvme *work_nvme_new(const struct work_device *device)
{
	struct work_nvme *n = calloc(1, sizeof(*n));

	if (n)
		n->device = device;
	return n;
}

void work_nvme_free(struct work_nvme *nvme)
{
	free(nvme);
}

static int nvme_write(struct work_nvme *n, uint64_t offset, uint64_t value, uint32_t len)
{
	return n->device->write(n->device->arg, 0, offset, &value, len);
}

static int nvme_ring_bell(struct work_nvme *n, const struct nvme_ring *ring, bool completion)
{
	uint32_t number = 2 * ring->id + completion;

	return nvme_write(n, NVME_BELLS + (uint64_t)number * n->stride,
			  completion ? ring->head : ring->tail, 4);
}

/* Puts one command into the ring; there is room. */
static void nvme_post(struct work_nvme *n, struct nvme_ring *ring, struct nvme_sqe *sqe)
{
	sqe->cid = n->next_cid++;
	memcpy(n->device->memory + ring->sq + (size_t)ring->tail * sizeof(*sqe), sqe, sizeof(*sqe));
	ring->tail = (ring->tail + 1) % ring->entries;
	ring->flying++;
	nvme_ring_bell(n, ring, false);
}

/* Takes what has been completed. Returns how many. */
static uint32_t nvme_reap(struct work_nvme *n, struct nvme_ring *ring)
{
	uint32_t count = 0;

	while (ring->flying > 0) {
		const uint8_t *at =
			n->device->memory + ring->cq + (size_t)ring->head * sizeof(struct nvme_cqe);
		struct nvme_cqe cqe;
		uint16_t status = __atomic_load_n(
			(const uint16_t *)(const void *)(at + offsetof(struct nvme_cqe, status)),
			__ATOMIC_ACQUIRE);

		if ((status & 1u) != ring->phase)
			break;
		memcpy(&cqe, at, sizeof(cqe));
		n->last_status = (uint16_t)(cqe.status >> 1);
		ring->head = (ring->head + 1) % ring->entries;
		ring->phase ^= ring->head == 0;
		ring->flying--;
		count++;
	}
	if (count > 0)
		nvme_ring_bell(n, ring, true);
	return count;
}

/* Runs one admin command to its end. */
static const char *nvme_admin(struct work_nvme *n, struct nvme_sqe *sqe)
{
	uint64_t end_ns = clock_now_ns() + NVME_WAIT_NS;

	nvme_post(n, &n->admin, sqe);
	while (nvme_reap(n, &n->admin) == 0) {
		if (clock_now_ns() > end_ns)
			return "an NVMe admin command did not end within 5 s";
		n->device->pass(n->device->arg);
	}
	return n->last_status ? "an NVMe admin command failed" : NULL;
}

static const char *nvme_ready(struct work_nvme *n, uint32_t wanted)
{
	uint64_t end_ns = clock_now_ns() + NVME_WAIT_NS;
	uint32_t csts = 0;

	do {
		if (n->device->read(n->device->arg, 0, NVME_REG_CSTS, &csts, 4) < 0)
			return "CSTS of the NVMe controller cannot be read";
		if ((csts & 1u) == wanted)
			return NULL;
		n->device->pass(n->device->arg);
	} while (clock_now_ns() < end_ns);
	return "the NVMe controller did not become ready within 5 s";
}

const char *work_nvme_begin(struct work_nvme *n)
{
	uint64_t iova = n->device->iova;
	struct nvme_sqe cq = {.opcode = NVME_CREATE_CQ,
			      .prp = {iova + NVME_IO_CQ},
			      .cdw = {1 | (NVME_ENTRIES - 1) << 16, 1}};
	struct nvme_sqe sq = {.opcode = NVME_CREATE_SQ,
			      .prp = {iova + NVME_IO_SQ},
			      .cdw = {1 | (NVME_ENTRIES - 1) << 16, 1 | 1u << 16}};
	const char *bad;
	uint64_t cap = 0;

	memset(n->device->memory, 0, NVME_DATA);
	n->admin = (struct nvme_ring){.sq = NVME_ADMIN_SQ,
				      .cq = NVME_ADMIN_CQ,
				      .entries = NVME_ADMIN_ENTRIES,
				      .phase = 1};
	n->io = (struct nvme_ring){
		.sq = NVME_IO_SQ, .cq = NVME_IO_CQ, .id = 1, .entries = NVME_ENTRIES, .phase = 1};
	if (n->device->read(n->device->arg, 0, NVME_REG_CAP, &cap, 8) < 0)
		return "CAP of the NVMe controller cannot be read";
	n->stride = 4u << (cap >> 32 & 0xf);
	nvme_write(n, NVME_REG_CC, 0, 4);
	bad = nvme_ready(n, 0);
	if (bad)
		return bad;
	nvme_write(n, NVME_REG_AQA, (NVME_ADMIN_ENTRIES - 1) << 16 | (NVME_ADMIN_ENTRIES - 1), 4);
	nvme_write(n, NVME_REG_ASQ, iova + NVME_ADMIN_SQ, 8);
	nvme_write(n, NVME_REG_ACQ, iova + NVME_ADMIN_CQ, 8);
	nvme_write(n, NVME_REG_CC, NVME_CC_ENABLE, 4);
	bad = nvme_ready(n, 1);
	if (!bad)
		bad = nvme_admin(n, &cq);
	return bad ? bad : nvme_admin(n, &sq);
}

int work_nvme_one(struct work_nvme *n)
{
	struct nvme_sqe read = {.opcode = NVME_READ, .nsid = 1};
	uint32_t block = n->next_block;

	nvme_reap(n, &n->io);
	if (n->io.flying + 1 >= NVME_ENTRIES)
		return 0;
	n->next_block = (block + 7) % NVME_BLOCKS;
	read.prp[0] = n->device->iova + NVME_DATA;
	read.cdw[0] = block;
	nvme_post(n, &n->io, &read);
	return 1;
}
