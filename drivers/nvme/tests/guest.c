/* SPDX-License-Identifier: BSD-3-Clause */
/* See guest.h. */
#include "guest.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define TURNS_MAX 2000000u

struct guest guest;

uint32_t guest_read32(uint64_t offset)
{
	uint32_t value = 0;

	assert_int_equal(fake.driver->region_read(fake.mdev, 0, offset, &value, 4), 0);
	return value;
}

uint64_t guest_read64(uint64_t offset)
{
	uint64_t value = 0;

	assert_int_equal(fake.driver->region_read(fake.mdev, 0, offset, &value, 8), 0);
	return value;
}

void guest_write32(uint64_t offset, uint32_t value)
{
	assert_int_equal(fake.driver->region_write(fake.mdev, 0, offset, &value, 4), 0);
}

void guest_write64(uint64_t offset, uint64_t value)
{
	assert_int_equal(fake.driver->region_write(fake.mdev, 0, offset, &value, 8), 0);
}

static void guest_queue_init(uint32_t qid, uint32_t entries, uint64_t sq, uint64_t cq)
{
	guest.q[qid] = (struct guest_queue){.size = entries, .phase = 1, .sq = sq, .cq = cq};
	memset(fake.memory + sq, 0, entries * 64);
	memset(fake.memory + cq, 0, entries * 16);
}

void guest_enable(uint32_t entries)
{
	memset(&guest, 0, sizeof(guest));
	guest.shared = fake.device.bars[0].mmap[0].size > 0;
	guest_queue_init(0, entries, GUEST_ADMIN_SQ, GUEST_ADMIN_CQ);
	guest_write32(NVME_REG_AQA, (entries - 1) << 16 | (entries - 1));
	guest_write64(NVME_REG_ASQ, GUEST_ADMIN_SQ);
	guest_write64(NVME_REG_ACQ, GUEST_ADMIN_CQ);
	guest_write32(NVME_REG_CC, 4u << 20 | 6u << 16 | NVME_CC_EN);
	fake_settle(1000);
	assert_int_equal(guest_read32(NVME_REG_CSTS), NVME_CSTS_RDY);
}

void guest_create_pair(uint32_t qid, uint32_t entries)
{
	uint64_t sq = GUEST_RINGS + qid * 0x20000ull;
	struct nvme_sqe sqe = guest_command(NVME_ADMIN_CREATE_CQ, 0);
	uint32_t vector = fake.device.msix_vectors > qid ? qid : 0;

	guest_queue_init(qid, entries, sq, sq + 0x10000);
	sqe.prp1 = sq + 0x10000;
	sqe.cdw10 = (entries - 1) << 16 | qid;
	sqe.cdw11 = vector << 16 | 3;
	assert_int_equal(guest_run(0, sqe, NULL), NVME_OK);
	sqe = guest_command(NVME_ADMIN_CREATE_SQ, 0);
	sqe.prp1 = sq;
	sqe.cdw10 = (entries - 1) << 16 | qid;
	sqe.cdw11 = qid << 16 | 1;
	assert_int_equal(guest_run(0, sqe, NULL), NVME_OK);
}

void guest_shadow(void)
{
	struct nvme_sqe sqe = guest_command(NVME_ADMIN_DOORBELL_BUF, 0);
	uint32_t *words = (uint32_t *)(void *)(fake.memory + GUEST_SHADOW);

	memset(words, 0, 8192);
	for (uint32_t i = 1; i < NVME_QUEUES; i++) {
		words[i * 2] = guest.q[i].tail;
		words[i * 2 + 1] = guest.q[i].head;
	}
	sqe.prp1 = GUEST_SHADOW;
	sqe.prp2 = GUEST_EVENTIDX;
	assert_int_equal(guest_run(0, sqe, NULL), NVME_OK);
	guest.shadow = true;
}

struct nvme_sqe guest_command(uint8_t opcode, uint32_t nsid)
{
	return (struct nvme_sqe){.opcode = opcode, .nsid = nsid, .cid = guest.next_cid++};
}

static uint32_t *guest_word(uint64_t page, uint32_t index)
{
	return (uint32_t *)(void *)(fake.memory + page) + index;
}

/* As Linux does it: memory first, then the register if the event index was passed. */
static void guest_doorbell(uint32_t index, uint32_t value)
{
	uint16_t old, event;

	if (guest.shared) {
		__atomic_store_n((uint32_t *)(void *)fake.bar_page + index, value,
				 __ATOMIC_RELEASE);
		return;
	}
	if (guest.shadow && index >= 2) {
		old = (uint16_t)*guest_word(GUEST_SHADOW, index);
		__atomic_store_n(guest_word(GUEST_SHADOW, index), value, __ATOMIC_SEQ_CST);
		event = (uint16_t)__atomic_load_n(guest_word(GUEST_EVENTIDX, index),
						  __ATOMIC_SEQ_CST);
		if ((uint16_t)(value - event - 1) >= (uint16_t)(value - old))
			return;
	}
	guest_write32(NVME_DOORBELLS + index * 4, value);
}

void guest_ring(uint32_t qid)
{
	guest_doorbell(qid * 2, guest.q[qid].tail);
}

uint16_t guest_post(uint32_t qid, struct nvme_sqe sqe)
{
	struct guest_queue *q = &guest.q[qid];

	memcpy(fake.memory + q->sq + q->tail * sizeof(sqe), &sqe, sizeof(sqe));
	q->tail = (q->tail + 1) % q->size;
	if (!guest.keep_doorbells)
		guest_ring(qid);
	return sqe.cid;
}

bool guest_reap(uint32_t qid, struct nvme_cqe *ret_cqe)
{
	struct guest_queue *q = &guest.q[qid];
	struct nvme_cqe cqe;

	memcpy(&cqe, fake.memory + q->cq + q->head * sizeof(cqe), sizeof(cqe));
	if ((cqe.status & 1u) != q->phase)
		return false;
	q->head = (q->head + 1) % q->size;
	if (q->head == 0)
		q->phase ^= 1u;
	guest_doorbell(qid * 2 + 1, q->head);
	*ret_cqe = cqe;
	return true;
}

struct nvme_cqe guest_wait(uint32_t qid)
{
	struct nvme_cqe cqe = {.status = 0};

	for (uint32_t i = 0; i < TURNS_MAX; i++) {
		if (guest_reap(qid, &cqe))
			return cqe;
		fake_turn();
		fake.now_ns += 1000;
	}
	fail_msg("no completion on queue %u", qid);
	return cqe;
}

uint32_t guest_run(uint32_t qid, struct nvme_sqe sqe, uint32_t *ret_result)
{
	uint16_t cid = guest_post(qid, sqe);
	struct nvme_cqe cqe = guest_wait(qid);

	assert_int_equal(cqe.cid, cid);
	assert_int_equal(cqe.sqid, qid);
	if (ret_result)
		*ret_result = cqe.result;
	return (uint32_t)(cqe.status >> 1) & ~NVME_MORE;
}

void guest_prps(struct nvme_sqe *sqe, uint64_t at, uint64_t length, uint64_t list)
{
	uint64_t first = 4096 - at % 4096;
	uint64_t page = at - at % 4096;
	uint64_t *entry;
	uint64_t end = at + length;

	sqe->prp1 = at;
	if (length <= first)
		return;
	sqe->prp2 = page + 4096;
	if (length - first <= 4096)
		return;
	sqe->prp2 = GUEST_LISTS + list;
	entry = (uint64_t *)(void *)(fake.memory + GUEST_LISTS + list);
	for (page += 4096; page < end; page += 4096) {
		/* The last place of a page names the next list. */
		if (((uintptr_t)(entry + 1) & 4095u) == 0 && page + 4096 < end) {
			uint64_t next = (uint64_t)((uint8_t *)(entry + 1) - fake.memory);

			*entry++ = next;
		}
		*entry++ = page;
	}
}

struct nvme_sqe guest_transfer(uint8_t opcode, uint64_t first, uint32_t blocks, uint64_t at)
{
	struct nvme_sqe sqe = guest_command(opcode, 1);

	sqe.cdw10 = (uint32_t)first;
	sqe.cdw11 = (uint32_t)(first >> 32);
	sqe.cdw12 = blocks - 1;
	guest_prps(&sqe, at, blocks * 512ull, 0x10000);
	return sqe;
}

const char *guest_file(uint64_t size)
{
	static char path[256];
	const char *dir = getenv("TMPDIR");
	int fd;

	snprintf(path, sizeof(path), "%s/umdev-nvme-XXXXXX", dir ? dir : "/tmp");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_return_code(ftruncate(fd, (off_t)size), errno);
	close(fd);
	return path;
}
