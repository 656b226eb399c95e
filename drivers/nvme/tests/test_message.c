/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest memory that only messages reach: rings, lists, data, all of it or some. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest.h"
#include "identify.h"

static void verify(uint32_t blocks)
{
	uint64_t to = GUEST_BUFFER + 0x400000;

	for (uint32_t i = 0; i < blocks * 512; i++)
		fake.memory[GUEST_BUFFER + i] = (uint8_t)(i * 17 + i / 512 + blocks);
	memset(fake.memory + to, 0xee, blocks * 512 + 1);
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_WRITE, 40, blocks, GUEST_BUFFER),
				   NULL),
			 NVME_OK);
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_READ, 40, blocks, to), NULL), NVME_OK);
	assert_memory_equal(fake.memory + to, fake.memory + GUEST_BUFFER, blocks * 512);
	assert_int_equal(fake.memory[to + blocks * 512], 0xee);
}

static void session(void)
{
	static const uint32_t sizes[] = {1, 8, 16, 17, 256, 2048};
	struct nvme_dsm_range range = {.blocks = 8, .first = 48};
	struct nvme_sqe sqe;

	guest_enable(32);
	sqe = guest_command(NVME_ADMIN_IDENTIFY, 0);
	sqe.prp1 = GUEST_BUFFER;
	sqe.cdw10 = NVME_CNS_CONTROLLER;
	assert_int_equal(guest_run(0, sqe, NULL), NVME_OK);
	assert_memory_equal(fake.memory + GUEST_BUFFER + 24, "umdev NVMe", 10);
	guest_create_pair(1, 16);
	for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		verify(sizes[i]);
	memcpy(fake.memory + GUEST_BUFFER, &range, sizeof(range));
	sqe = guest_command(NVME_IO_DATASET, 1);
	sqe.prp1 = GUEST_BUFFER;
	sqe.cdw11 = NVME_DSM_DEALLOCATE;
	assert_int_equal(guest_run(1, sqe, NULL), NVME_OK);
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_READ, 48, 8, GUEST_BUFFER), NULL),
			 NVME_OK);
	assert_int_equal(fake.memory[GUEST_BUFFER + 77], 0);
	/* More at once than there are buffers; wrapping rings. */
	for (uint32_t lap = 0; lap < 20; lap++) {
		for (uint32_t i = 0; i < 15; i++)
			guest_post(1, guest_transfer(i & 1 ? NVME_IO_READ : NVME_IO_WRITE, i * 64,
						     64, GUEST_BUFFER + i * 0x10000));
		for (uint32_t i = 0; i < 15; i++)
			assert_int_equal(guest_wait(1).status >> 1, NVME_OK);
	}
}

static void run(const struct fake_options *options, uint64_t from, uint64_t to)
{
	fake_up(options);
	fake.remote_from = from;
	fake.remote_to = to;
	session();
	fake_down();
}

static void test_everything(void **state)
{
	run(&(struct fake_options){.size = 16u << 20}, 0, FAKE_MEMORY);
}

static void test_everything_file(void **state)
{
	struct fake_options options = {.io = 1};

	options.path = guest_file(16u << 20);
	run(&options, 0, FAKE_MEMORY);
	unlink(options.path);
}

static void test_rings_only(void **state)
{
	run(&(struct fake_options){.size = 16u << 20}, 0, GUEST_BUFFER);
}

static void test_lists_only(void **state)
{
	run(&(struct fake_options){.size = 16u << 20}, GUEST_LISTS, FAKE_MEMORY);
}

static void test_data_only(void **state)
{
	run(&(struct fake_options){.size = 16u << 20}, GUEST_BUFFER, GUEST_LISTS);
}

/* A transfer of which one page is remote goes by messages as a whole. */
static void test_one_page(void **state)
{
	run(&(struct fake_options){.size = 16u << 20}, GUEST_BUFFER + 0x3000,
	    GUEST_BUFFER + 0x4000);
}

static void test_failures(void **state)
{
	fake_up(&(struct fake_options){.size = 16u << 20});
	guest_enable(32);
	guest_create_pair(1, 16);
	fake.remote_from = GUEST_BUFFER;
	fake.remote_to = FAKE_MEMORY;
	fake.messages_fail = true;
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_WRITE, 0, 8, GUEST_BUFFER), NULL),
			 NVME_DATA_ERROR);
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_READ, 0, 8, GUEST_BUFFER), NULL),
			 NVME_DATA_ERROR);
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_READ, 0, 64, GUEST_BUFFER), NULL),
			 NVME_DATA_ERROR);
	fake.remote_from = 0;
	guest_post(1, guest_command(NVME_IO_FLUSH, 1));
	fake_settle(20);
	assert_int_equal(guest_read32(NVME_REG_CSTS) & NVME_CSTS_CFS, NVME_CSTS_CFS);
	fake_down();
}

/* Shadow doorbells cannot be where no one can look. */
static void test_no_shadow(void **state)
{
	struct nvme_sqe sqe;

	fake_up(&(struct fake_options){.size = 16u << 20});
	fake.remote_to = FAKE_MEMORY;
	guest_enable(32);
	sqe = guest_command(NVME_ADMIN_DOORBELL_BUF, 0);
	sqe.prp1 = GUEST_SHADOW;
	sqe.prp2 = GUEST_EVENTIDX;
	assert_int_equal(guest_run(0, sqe, NULL), NVME_BAD_FIELD);
	fake_down();
}

/* A queue is deleted while its entries, and its completions, are on their way. */
static void test_delete(void **state)
{
	for (uint32_t turns = 0; turns < 8; turns++) {
		struct nvme_sqe sqe;

		fake_up(&(struct fake_options){.size = 16u << 20});
		guest_enable(32);
		guest_create_pair(1, 16);
		fake.remote_to = FAKE_MEMORY;
		for (uint32_t i = 0; i < 9; i++)
			guest_post(1, guest_transfer(NVME_IO_WRITE, i, 64, GUEST_BUFFER));
		for (uint32_t i = 0; i < turns; i++)
			fake_turn();
		fake.remote_to = turns & 1 ? FAKE_MEMORY : 0;
		sqe = guest_command(NVME_ADMIN_DELETE_SQ, 0);
		sqe.cdw10 = 1;
		assert_int_equal(guest_run(0, sqe, NULL), NVME_OK);
		sqe = guest_command(NVME_ADMIN_DELETE_CQ, 0);
		sqe.cdw10 = 1;
		assert_int_equal(guest_run(0, sqe, NULL), NVME_OK);
		fake.remote_to = 0;
		guest_create_pair(1, 16);
		assert_int_equal(guest_run(1, guest_command(NVME_IO_FLUSH, 1), NULL), NVME_OK);
		fake_down();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything), cmocka_unit_test(test_everything_file),
		cmocka_unit_test(test_rings_only), cmocka_unit_test(test_lists_only),
		cmocka_unit_test(test_data_only),  cmocka_unit_test(test_one_page),
		cmocka_unit_test(test_failures),   cmocka_unit_test(test_no_shadow),
		cmocka_unit_test(test_delete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
