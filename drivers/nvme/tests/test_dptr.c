/* SPDX-License-Identifier: BSD-3-Clause */
/* PRP lists and SGLs: good ones with data verified, and every way in which they can be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctrl.h"
#include "guest.h"

static int up(void **state)
{
	fake_up(&(struct fake_options){.size = 64u << 20});
	guest_enable(32);
	guest_create_pair(1, 64);
	return 0;
}

static int down(void **state)
{
	fake_down();
	return 0;
}

static struct nvme_sqe write_command(uint32_t blocks)
{
	struct nvme_sqe sqe = guest_command(NVME_IO_WRITE, 1);

	sqe.cdw12 = blocks - 1;
	return sqe;
}

static uint64_t *list(uint64_t offset)
{
	return (uint64_t *)(void *)(fake.memory + GUEST_LISTS + offset);
}

static void test_prp_offsets(void **state)
{
	struct nvme_sqe sqe = write_command(32);

	sqe.prp1 = GUEST_BUFFER + 1;
	assert_int_equal(guest_run(1, sqe, NULL), NVME_PRP_BAD_OFFSET);
	sqe.prp1 = GUEST_BUFFER;
	sqe.prp2 = GUEST_LISTS + 4;
	assert_int_equal(guest_run(1, sqe, NULL), NVME_PRP_BAD_OFFSET);
	sqe.prp2 = GUEST_LISTS;
	list(0)[0] = GUEST_BUFFER + 0x1000;
	list(0)[1] = GUEST_BUFFER + 0x2004;
	list(0)[2] = GUEST_BUFFER + 0x3000;
	assert_int_equal(guest_run(1, sqe, NULL), NVME_PRP_BAD_OFFSET);
	list(0)[1] = GUEST_BUFFER + 0x2000;
	assert_int_equal(guest_run(1, sqe, NULL), NVME_OK);
	sqe = write_command(16);
	sqe.prp1 = GUEST_BUFFER;
	sqe.prp2 = GUEST_BUFFER + 0x1008; /* no list: an offset is wrong here */
	assert_int_equal(guest_run(1, sqe, NULL), NVME_PRP_BAD_OFFSET);
}

static void test_prp_outside(void **state)
{
	struct nvme_sqe sqe = write_command(32);

	sqe.prp1 = GUEST_BUFFER;
	sqe.prp2 = FAKE_MEMORY;
	assert_int_equal(guest_run(1, sqe, NULL), NVME_DATA_ERROR);
	sqe.prp2 = ~7ull;
	assert_int_equal(guest_run(1, sqe, NULL), NVME_DATA_ERROR);
	sqe.prp2 = GUEST_LISTS;
	list(0)[0] = GUEST_BUFFER;
	list(0)[1] = FAKE_MEMORY;
	list(0)[2] = GUEST_BUFFER;
	assert_int_equal(guest_run(1, sqe, NULL), NVME_DATA_ERROR);
	list(0)[1] = 0xfffffffffffff000ull; /* wraps */
	assert_int_equal(guest_run(1, sqe, NULL), NVME_DATA_ERROR);
	sqe.prp1 = 0xfffffffffffffe00ull;
	assert_int_equal(guest_run(1, sqe, NULL), NVME_DATA_ERROR);
	assert_int_equal(fake.holds, 0);
}

/* Lists that begin in the last places of a page, so that nearly every entry chains. */
static void test_prp_chain(void **state)
{
	uint32_t blocks = 2048;
	struct nvme_sqe sqe = write_command(blocks);
	uint64_t to = GUEST_BUFFER + 0x800000;

	for (uint32_t start = 4096 - 24; start < 4096; start += 8) {
		for (uint32_t i = 0; i < blocks * 512; i++)
			fake.memory[GUEST_BUFFER + i] = (uint8_t)(i * 7 + i / 4096 + start);
		guest_prps(&sqe, GUEST_BUFFER, blocks * 512, start);
		assert_int_equal(guest_run(1, sqe, NULL), NVME_OK);
		memset(fake.memory + to, 0, blocks * 512);
		assert_int_equal(guest_run(1, guest_transfer(NVME_IO_READ, 0, blocks, to), NULL),
				 NVME_OK);
		assert_memory_equal(fake.memory + to, fake.memory + GUEST_BUFFER, blocks * 512);
	}
	/* The pointer to the next list needs offset zero. */
	guest_prps(&sqe, GUEST_BUFFER, blocks * 512, 4096 - 8);
	list(4096 - 8)[0] += 8;
	assert_int_equal(guest_run(1, sqe, NULL), NVME_PRP_BAD_OFFSET);
	/* A list that names itself for ever ends with the transfer. */
	sqe.prp2 = GUEST_LISTS;
	for (uint32_t i = 0; i < 512; i++)
		list(0)[i] = GUEST_LISTS;
	assert_int_equal(guest_run(1, sqe, NULL), NVME_OK);
}

/* Scattered pages in pieces smaller than ranges: the largest number of pieces there can be. */
static void test_prp_scattered(void **state)
{
	struct nvme_sqe sqe = write_command(2048);
	uint64_t to = GUEST_BUFFER + 0x1000000;

	for (uint32_t i = 0; i < 2u << 20; i++)
		fake.memory[GUEST_BUFFER + i] = (uint8_t)(i * 13 + i / 4096);
	sqe.prp1 = GUEST_BUFFER;
	sqe.prp2 = GUEST_LISTS;
	for (uint32_t i = 0; i < 255; i++)
		list(0)[i] = GUEST_BUFFER + 0x2000 * (i + 1ull);
	fake.split = 2048;
	assert_int_equal(guest_run(1, sqe, NULL), NVME_OK);
	fake.split = 0;
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_READ, 0, 2048, to), NULL), NVME_OK);
	for (uint32_t i = 0; i < 256; i++)
		assert_memory_equal(fake.memory + to + i * 4096,
				    fake.memory + GUEST_BUFFER + 0x2000 * i, 4096);
	/* More pieces than anyone needs are refused, not overrun. */
	fake.split = 512;
	assert_int_equal(guest_run(1, sqe, NULL), NVME_DATA_ERROR);
}

static void test_large_pages(void **state)
{
	struct nvme_sqe sqe;

	guest_write32(NVME_REG_CC, 0);
	fake_settle(100);
	guest_enable(32);
	guest_write32(NVME_REG_CC, 0);
	guest_write32(NVME_REG_CC, 4u << 20 | 6u << 16 | 4u << 7 | NVME_CC_EN);
	assert_int_equal(guest_read32(NVME_REG_CSTS), NVME_CSTS_RDY);
	guest.q[0].tail = guest.q[0].head = 0;
	guest.q[0].phase = 1;
	memset(fake.memory + GUEST_ADMIN_CQ, 0, 4096);
	guest_create_pair(1, 64);
	sqe = write_command(512); /* 256 KiB in pages of 64 */
	sqe.prp1 = GUEST_BUFFER + 0x8000;
	sqe.prp2 = GUEST_LISTS;
	for (uint32_t i = 0; i < 4; i++)
		list(0)[i] = GUEST_BUFFER + 0x20000 * (i + 1ull);
	assert_int_equal(guest_run(1, sqe, NULL), NVME_OK);
	list(0)[2] += 0x1000;
	assert_int_equal(guest_run(1, sqe, NULL), NVME_PRP_BAD_OFFSET);
}

/* ---- SGL ---- */

static struct nvme_sqe sgl_command(uint8_t opcode, uint32_t blocks, uint64_t address,
				   uint32_t length, uint8_t type)
{
	struct nvme_sqe sqe = guest_command(opcode, 1);
	struct nvme_sgl sgl = {.address = address, .length = length, .type = type};

	sqe.flags = 0x40;
	sqe.cdw12 = blocks - 1;
	memcpy(&sqe.prp1, &sgl, sizeof(sgl));
	return sqe;
}

static struct nvme_sgl *segment(uint64_t offset)
{
	return (struct nvme_sgl *)(void *)(fake.memory + GUEST_LISTS + offset);
}

static uint32_t sgl_run(uint32_t blocks, uint64_t address, uint32_t length, uint8_t type)
{
	return guest_run(1, sgl_command(NVME_IO_WRITE, blocks, address, length, type), NULL);
}

static void test_sgl_block(void **state)
{
	uint64_t to = GUEST_BUFFER + 0x400003; /* no alignment is needed */

	memset(fake.memory + GUEST_BUFFER, 0x5a, 8192);
	assert_int_equal(sgl_run(16, GUEST_BUFFER + 1, 8192, NVME_SGL_DATA), NVME_OK);
	assert_int_equal(guest_run(1, sgl_command(NVME_IO_READ, 16, to, 8192, NVME_SGL_DATA), NULL),
			 NVME_OK);
	assert_memory_equal(fake.memory + to, fake.memory + GUEST_BUFFER + 1, 8192);
	assert_int_equal(sgl_run(16, GUEST_BUFFER, 8191, NVME_SGL_DATA), NVME_SGL_BAD_LENGTH);
	assert_int_equal(sgl_run(16, GUEST_BUFFER, 8193, NVME_SGL_DATA), NVME_SGL_BAD_LENGTH);
	assert_int_equal(sgl_run(16, FAKE_MEMORY - 8191, 8192, NVME_SGL_DATA), NVME_DATA_ERROR);
	assert_int_equal(sgl_run(16, ~0ull, 8192, NVME_SGL_DATA), NVME_DATA_ERROR);
	assert_int_equal(sgl_run(16, GUEST_BUFFER, 8192, 0x10), NVME_SGL_BAD_TYPE);
	assert_int_equal(sgl_run(16, GUEST_BUFFER, 8192, 0x40), NVME_SGL_BAD_TYPE);
	assert_int_equal(sgl_run(16, GUEST_BUFFER, 8192, 0x01), NVME_SGL_BAD_TYPE);
}

static void test_sgl_segments(void **state)
{
	uint64_t to = GUEST_BUFFER + 0x400000;

	for (uint32_t i = 0; i < 0x40000; i++)
		fake.memory[GUEST_BUFFER + i] = (uint8_t)(i * 11 + i / 256);
	/* 40 blocks of 512 bytes, the first 33 in one segment, the rest in the last. */
	for (uint32_t i = 0; i < 40; i++)
		segment(i < 33 ? i * 16 : 0x2000 + (i - 33) * 16)[0] =
			(struct nvme_sgl){.address = GUEST_BUFFER + i * 0x1000ull, .length = 512};
	segment(33 * 16)[0] = (struct nvme_sgl){
		.address = GUEST_LISTS + 0x2000, .length = 7 * 16, .type = NVME_SGL_LAST_SEGMENT};
	assert_int_equal(sgl_run(40, GUEST_LISTS, 34 * 16, NVME_SGL_SEGMENT), NVME_OK);
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_READ, 0, 40, to), NULL), NVME_OK);
	for (uint32_t i = 0; i < 40; i++)
		assert_memory_equal(fake.memory + to + i * 512,
				    fake.memory + GUEST_BUFFER + i * 0x1000, 512);
	/* Said to be the last, but it goes on. */
	assert_int_equal(sgl_run(40, GUEST_LISTS, 34 * 16, NVME_SGL_LAST_SEGMENT),
			 NVME_SGL_BAD_SEGMENT);
	/* Said to go on, but it does not. */
	assert_int_equal(sgl_run(33, GUEST_LISTS, 33 * 16, NVME_SGL_SEGMENT), NVME_SGL_BAD_SEGMENT);
	/* A pointer that is not at the end. */
	assert_int_equal(sgl_run(40, GUEST_LISTS, 35 * 16, NVME_SGL_SEGMENT), NVME_SGL_BAD_SEGMENT);
	assert_int_equal(sgl_run(39, GUEST_LISTS, 34 * 16, NVME_SGL_SEGMENT), NVME_SGL_BAD_LENGTH);
	assert_int_equal(sgl_run(41, GUEST_LISTS, 34 * 16, NVME_SGL_SEGMENT), NVME_SGL_BAD_LENGTH);
	assert_int_equal(sgl_run(40, GUEST_LISTS, 0, NVME_SGL_SEGMENT), NVME_SGL_BAD_SEGMENT);
	assert_int_equal(sgl_run(40, GUEST_LISTS, 17, NVME_SGL_SEGMENT), NVME_SGL_BAD_SEGMENT);
	assert_int_equal(sgl_run(40, FAKE_MEMORY, 16, NVME_SGL_SEGMENT), NVME_DATA_ERROR);
	segment(2 * 16)->type = 0x20 | 1;
	assert_int_equal(sgl_run(40, GUEST_LISTS, 34 * 16, NVME_SGL_SEGMENT), NVME_SGL_BAD_TYPE);
}

static void test_sgl_hostile(void **state)
{
	/* A segment of one pointer to itself. */
	segment(0)[0] =
		(struct nvme_sgl){.address = GUEST_LISTS, .length = 16, .type = NVME_SGL_SEGMENT};
	assert_int_equal(sgl_run(8, GUEST_LISTS, 16, NVME_SGL_SEGMENT), NVME_SGL_BAD_COUNT);
	/* Blocks of nothing without end. */
	for (uint32_t i = 0; i < 2048; i++)
		segment(0)[i] = (struct nvme_sgl){.address = GUEST_BUFFER};
	assert_int_equal(sgl_run(8, GUEST_LISTS, 2048 * 16, NVME_SGL_LAST_SEGMENT),
			 NVME_SGL_BAD_COUNT);
	assert_int_equal(sgl_run(8, GUEST_LISTS, 0xfffffff0u, NVME_SGL_LAST_SEGMENT),
			 NVME_SGL_BAD_COUNT);
	/* More blocks that do not touch than a transfer may have. */
	for (uint32_t i = 0; i < 512; i++)
		segment(0)[i] =
			(struct nvme_sgl){.address = GUEST_BUFFER + i * 4096ull, .length = 512};
	assert_int_equal(sgl_run(264, GUEST_LISTS, 264 * 16, NVME_SGL_LAST_SEGMENT), NVME_OK);
	assert_int_equal(sgl_run(265, GUEST_LISTS, 265 * 16, NVME_SGL_LAST_SEGMENT),
			 NVME_SGL_BAD_COUNT);
}

/* Random bytes where descriptors and lists are expected: any status will do, nothing may break. */
static void test_noise(void **state)
{
	uint32_t seed = 20240611;

	for (uint32_t round = 0; round < 3000; round++) {
		struct nvme_sqe sqe;
		uint8_t *bytes = (uint8_t *)&sqe;

		for (uint32_t i = 0; i < sizeof(sqe); i++) {
			seed = seed * 1103515245u + 12345u;
			bytes[i] = (uint8_t)(seed >> 16);
		}
		for (uint32_t i = 0; i < 512; i++) {
			seed = seed * 1103515245u + 12345u;
			list(0)[i] =
				((uint64_t)seed << 20 | seed) & (round & 1 ? 0x3fff000 : ~0ull);
			if (round & 2)
				segment(0)[i / 2].type = (uint8_t)(seed >> 27 << 4);
		}
		sqe.opcode = round & 4 ? NVME_IO_WRITE : NVME_IO_READ;
		sqe.nsid = 1;
		sqe.flags = (uint8_t)(round % 3 << 6);
		sqe.cdw10 = 0;
		sqe.cdw11 = 0;
		sqe.cdw12 &= 0x7ff;
		if (round & 8)
			sqe.prp1 &= 0x3fffffc;
		sqe.prp2 = round & 16 ? GUEST_LISTS : sqe.prp2;
		/* Guest memory behind the rings only: a read that hits them would be the guest's
		 * own fault. */
		if (sqe.opcode == NVME_IO_READ && round & 8)
			sqe.prp1 |= GUEST_BUFFER;
		for (uint32_t i = 0; i < 512 && sqe.opcode == NVME_IO_READ; i++)
			list(0)[i] |= GUEST_BUFFER;
		guest_run(1, sqe, NULL);
	}
	assert_int_equal(fake.holds, 0);
	assert_int_equal(guest_run(1, guest_command(NVME_IO_FLUSH, 1), NULL), NVME_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_prp_offsets, up, down),
		cmocka_unit_test_setup_teardown(test_prp_outside, up, down),
		cmocka_unit_test_setup_teardown(test_prp_chain, up, down),
		cmocka_unit_test_setup_teardown(test_prp_scattered, up, down),
		cmocka_unit_test_setup_teardown(test_large_pages, up, down),
		cmocka_unit_test_setup_teardown(test_sgl_block, up, down),
		cmocka_unit_test_setup_teardown(test_sgl_segments, up, down),
		cmocka_unit_test_setup_teardown(test_sgl_hostile, up, down),
		cmocka_unit_test_setup_teardown(test_noise, up, down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
