/* SPDX-License-Identifier: BSD-3-Clause */
/* The sequence of a booting guest, on each kind of storage, with data that is verified. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest.h"
#include "identify.h"

static void boot_identify(void)
{
	struct nvme_sqe sqe = guest_command(NVME_ADMIN_IDENTIFY, 0);
	struct nvme_id_ctrl *id = (void *)(fake.memory + GUEST_BUFFER);
	uint32_t result = 0;

	sqe.prp1 = GUEST_BUFFER;
	sqe.cdw10 = NVME_CNS_CONTROLLER;
	assert_int_equal(guest_run(0, sqe, NULL), NVME_OK);
	assert_int_equal(id->ver, NVME_VERSION);
	sqe = guest_command(NVME_ADMIN_SET_FEATURES, 0);
	sqe.cdw10 = NVME_FEAT_QUEUES;
	sqe.cdw11 = 7u << 16 | 7;
	assert_int_equal(guest_run(0, sqe, &result), NVME_OK);
	assert_int_equal(result, 7u << 16 | 7);
}

static void fill(uint64_t at, uint64_t length, uint32_t seed)
{
	for (uint64_t i = 0; i < length; i += 4) {
		seed = seed * 1664525u + 1013904223u;
		memcpy(fake.memory + at + i, &seed, 4);
	}
}

/* Writes, flushes, reads back and compares @length bytes at @offset in guest pages. */
static void verify(uint64_t first, uint32_t blocks, uint64_t offset)
{
	uint64_t from = GUEST_BUFFER + offset;
	uint64_t to = GUEST_BUFFER + 0x400000 + offset;

	fill(from, blocks * 512ull, blocks + 7);
	memset(fake.memory + to, 0xee, blocks * 512ull + 64);
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_WRITE, first, blocks, from), NULL),
			 NVME_OK);
	assert_int_equal(guest_run(1, guest_command(NVME_IO_FLUSH, 1), NULL), NVME_OK);
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_READ, first, blocks, to), NULL),
			 NVME_OK);
	assert_memory_equal(fake.memory + from, fake.memory + to, blocks * 512ull);
	/* Nothing was written past the end. */
	for (uint32_t i = 0; i < 64; i++)
		assert_int_equal(fake.memory[to + blocks * 512ull + i], 0xee);
}

static void verify_zeros(uint64_t first, uint32_t blocks)
{
	uint64_t to = GUEST_BUFFER + 0x400000;

	memset(fake.memory + to, 0xee, blocks * 512ull);
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_READ, first, blocks, to), NULL),
			 NVME_OK);
	for (uint32_t i = 0; i < blocks * 512; i++)
		assert_int_equal(fake.memory[to + i], 0);
}

static void boot_zeroes(void)
{
	struct nvme_sqe sqe;

	verify(1000, 64, 0);
	for (uint32_t deac = 0; deac < 2; deac++) {
		verify(1000, 64, 0);
		sqe = guest_command(NVME_IO_WRITE_ZEROES, 1);
		sqe.cdw10 = 1004;
		sqe.cdw12 = 31u | (deac ? NVME_CDW12_DEAC : 0) | NVME_CDW12_FUA;
		assert_int_equal(guest_run(1, sqe, NULL), NVME_OK);
		verify_zeros(1004, 32);
	}
	sqe = guest_command(NVME_IO_WRITE_ZEROES, 1);
	sqe.cdw12 = 0xffff; /* 32 MiB */
	verify(60000, 64, 0);
	assert_int_equal(guest_run(1, sqe, NULL), NVME_OK);
	verify_zeros(60000, 64);
}

static void boot_dataset(void)
{
	struct nvme_dsm_range ranges[3] = {{.blocks = 8, .first = 2000},
					   {.blocks = 0, .first = 0},
					   {.blocks = 16, .first = 2032}};
	struct nvme_sqe sqe = guest_command(NVME_IO_DATASET, 1);

	verify(2000, 64, 0);
	memcpy(fake.memory + GUEST_BUFFER, ranges, sizeof(ranges));
	sqe.prp1 = GUEST_BUFFER;
	sqe.cdw10 = 2;
	sqe.cdw11 = NVME_DSM_DEALLOCATE;
	assert_int_equal(guest_run(1, sqe, NULL), NVME_OK);
	verify_zeros(2000, 8);
	verify_zeros(2032, 16);
}

static void boot(const struct fake_options *options)
{
	static const struct {
		uint32_t blocks;
		uint32_t offset;
	} shapes[] = {{1, 0},  {8, 0},	 {8, 512},  {9, 0},    {16, 0},	  {17, 0},
		      {24, 4}, {256, 0}, {256, 64}, {1031, 0}, {2048, 0}, {2048, 2052}};

	fake_up(options);
	guest_enable(32);
	boot_identify();
	guest_create_pair(1, 64);
	for (uint32_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		verify(i * 3000, shapes[i].blocks, shapes[i].offset);
	boot_zeroes();
	boot_dataset();
	fake_down();
}

static void boot_file(struct fake_options options)
{
	options.path = guest_file(64u << 20);
	boot(&options);
	unlink(options.path);
}

static void test_ram(void **state)
{
	boot(&(struct fake_options){.size = 64u << 20});
}

static void test_uring(void **state)
{
	boot_file((struct fake_options){.io = 1});
}

static void test_threads(void **state)
{
	boot_file((struct fake_options){.io = 2});
}

static void test_auto(void **state)
{
	boot_file((struct fake_options){.io = 0, .parallelism = 1});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ram),
		cmocka_unit_test(test_uring),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_auto),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
