/* SPDX-License-Identifier: BSD-3-Clause */
/* Resets, shutdown and queue deletion with commands in every stage of their life. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest.h"

static void up(struct fake_options options)
{
	fake_up(&options);
	guest_enable(32);
	guest_create_pair(1, 256);
}

/* Commands of every kind, none of them reaped. */
static void load(uint32_t count)
{
	guest.keep_doorbells = true;
	for (uint32_t i = 0; i < count; i++) {
		struct nvme_sqe sqe;

		switch (i % 4) {
		case 0:
			sqe = guest_transfer(NVME_IO_WRITE, i * 64, 64, GUEST_BUFFER);
			break;
		case 1:
			sqe = guest_transfer(NVME_IO_READ, i * 64, 64, GUEST_BUFFER);
			break;
		case 2:
			sqe = guest_command(NVME_IO_FLUSH, 1);
			break;
		default:
			sqe = guest_command(NVME_IO_WRITE_ZEROES, 1);
			sqe.cdw10 = 4096;
			sqe.cdw12 = 0xffff;
			break;
		}
		guest_post(1, sqe);
	}
	guest_ring(1);
	guest.keep_doorbells = false;
}

static void reset_and_wait(uint32_t kind)
{
	uint32_t before = fake.resets_done;
	int rc = fake.driver->reset(fake.mdev, kind);

	fake.io.stopped = false;
	fake.transfers_stopped = false;
	assert_true(rc == 0 || rc == -EINPROGRESS);
	for (uint32_t i = 0; rc == -EINPROGRESS && fake.resets_done == before; i++) {
		assert_true(i < 2000000);
		fake_turn();
	}
	assert_int_equal(fake.holds, 0);
	assert_int_equal(fake.io.queued + fake.io.started, 0);
	assert_int_equal(fake.transfer_count, 0);
	assert_int_equal(guest_read32(NVME_REG_CC), 0);
	assert_int_equal(guest_read32(NVME_REG_CSTS), 0);
	assert_int_equal(guest_read64(NVME_REG_ASQ), 0);
}

static void again(void)
{
	guest_enable(32);
	guest_create_pair(1, 256);
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_READ, 0, 8, GUEST_BUFFER), NULL),
			 NVME_OK);
}

static void cycle(struct fake_options options)
{
	for (uint32_t kind = UMDEV_RESET_DEVICE; kind <= UMDEV_RESET_LOST; kind++) {
		up(options);
		for (uint32_t turns = 0; turns < 6; turns++) {
			fake.io.stopped = turns == 0;
			load(100);
			for (uint32_t i = 1; i < turns; i++)
				fake_turn();
			reset_and_wait(kind);
			again();
		}
		fake_down();
	}
}

static void cycle_file(struct fake_options options)
{
	options.path = guest_file(64u << 20);
	cycle(options);
	unlink(options.path);
}

static void test_reset_ram(void **state)
{
	cycle((struct fake_options){.size = 64u << 20});
}

static void test_reset_uring(void **state)
{
	cycle_file((struct fake_options){.io = 1});
}

static void test_reset_threads(void **state)
{
	cycle_file((struct fake_options){.io = 2});
}

/* Guest memory that only messages reach: fetches, lists, data and entries are on their way. */
static void test_reset_messages(void **state)
{
	up((struct fake_options){.size = 64u << 20});
	for (uint32_t turns = 0; turns < 12; turns++) {
		fake.remote_to = FAKE_MEMORY;
		load(60);
		for (uint32_t i = 0; i < turns; i++)
			fake_turn();
		fake.messages_fail = turns & 1;
		reset_and_wait(UMDEV_RESET_LOST);
		fake.messages_fail = false;
		fake.remote_to = 0;
		again();
	}
	fake_down();
}

static void test_controller_reset(void **state)
{
	struct fake_options options = {.io = 2};

	options.path = guest_file(64u << 20);
	up(options);
	load(100);
	fake_turn();
	guest_write32(NVME_REG_CC, 4u << 20 | 6u << 16);
	/* Not ready to be enabled again before all has ended. */
	for (uint32_t i = 0; guest_read32(NVME_REG_CSTS) & NVME_CSTS_RDY; i++) {
		assert_true(i < 2000000);
		fake_turn();
	}
	assert_int_equal(fake.io.started, 0);
	assert_int_equal(fake.resets_done, 0);
	assert_int_equal(guest_read64(NVME_REG_ASQ), GUEST_ADMIN_SQ);
	again();
	/* Enabled again while it still drains: it becomes ready after that. */
	load(100);
	fake_turn();
	guest_write32(NVME_REG_CC, 0);
	guest_write32(NVME_REG_CC, 4u << 20 | 6u << 16 | NVME_CC_EN);
	for (uint32_t i = 0; fake.io.started > 0; i++) {
		assert_true(i < 2000000);
		fake_turn();
	}
	assert_int_equal(guest_read32(NVME_REG_CSTS), NVME_CSTS_RDY);
	assert_int_equal(fake.state->sq[1].size, 0);
	fake_down();
	unlink(options.path);
}

static void test_shutdown(void **state)
{
	up((struct fake_options){.size = 16u << 20});
	fake.io.stopped = true;
	guest_write32(NVME_REG_CC, guest_read32(NVME_REG_CC) | 1u << 14);
	assert_int_equal(guest_read32(NVME_REG_CSTS), NVME_CSTS_RDY | NVME_CSTS_SHST_BUSY);
	assert_int_equal(fake.io.queued, 1); /* our flush */
	fake.io.stopped = false;
	fake_settle(100);
	assert_int_equal(guest_read32(NVME_REG_CSTS), NVME_CSTS_RDY | NVME_CSTS_SHST_DONE);
	assert_int_equal(fake.driver->reset(fake.mdev, UMDEV_RESET_LOST), 0);
	assert_int_equal(fake.state->smart.unsafe_shutdowns, 0);
	again();
	/* A reset in the middle of a shutdown. */
	fake.io.stopped = true;
	guest_write32(NVME_REG_CC, guest_read32(NVME_REG_CC) | 2u << 14);
	reset_and_wait(UMDEV_RESET_LOST);
	assert_int_equal(fake.state->smart.unsafe_shutdowns, 1);
	/* Shutdown of a controller that is not enabled. */
	guest_write32(NVME_REG_CC, 1u << 14);
	fake_settle(100);
	assert_int_equal(guest_read32(NVME_REG_CSTS), NVME_CSTS_SHST_DONE);
	again();
	fake_down();
}

static void test_delete_in_flight(void **state)
{
	struct nvme_sqe sqe;
	struct nvme_cqe cqe;
	uint32_t aborted = 0;
	uint32_t good = 0;
	struct fake_options options = {.io = 2, .parallelism = 4};

	options.path = guest_file(64u << 20);
	up(options);
	load(100);
	fake_turn(); /* four have started, the others wait */
	sqe = guest_command(NVME_ADMIN_DELETE_SQ, 0);
	sqe.cdw10 = 1;
	assert_int_equal(guest_run(0, sqe, NULL), NVME_OK);
	fake_settle(100);
	while (guest_reap(1, &cqe)) {
		aborted += cqe.status >> 1 == NVME_ABORTED_SQ_DELETED;
		good += cqe.status >> 1 == NVME_OK;
	}
	assert_int_equal(aborted + good, 100);
	assert_true(aborted >= 90);
	sqe = guest_command(NVME_ADMIN_DELETE_CQ, 0);
	sqe.cdw10 = 1;
	assert_int_equal(guest_run(0, sqe, NULL), NVME_OK);
	guest_create_pair(1, 64);
	assert_int_equal(guest_run(1, guest_command(NVME_IO_FLUSH, 1), NULL), NVME_OK);
	fake_down();
	unlink(options.path);
}

/* Deleting a queue whose completions nobody takes must not wait for them. */
static void test_delete_full(void **state)
{
	struct nvme_sqe sqe;

	up((struct fake_options){.size = 64u << 20});
	guest_create_pair(2, 4);
	guest.keep_doorbells = true;
	for (uint32_t lap = 0; lap < 2; lap++) {
		for (uint32_t i = 0; i < 3; i++)
			guest_post(2, guest_command(NVME_IO_FLUSH, 1));
		guest_ring(2);
		fake_settle(20);
	}
	guest.keep_doorbells = false;
	sqe = guest_command(NVME_ADMIN_DELETE_SQ, 0);
	sqe.cdw10 = 2;
	assert_int_equal(guest_run(0, sqe, NULL), NVME_OK);
	sqe = guest_command(NVME_ADMIN_DELETE_CQ, 0);
	sqe.cdw10 = 2;
	assert_int_equal(guest_run(0, sqe, NULL), NVME_OK);
	guest_create_pair(2, 4);
	assert_int_equal(guest_run(2, guest_command(NVME_IO_FLUSH, 1), NULL), NVME_OK);
	fake_down();
}

/* An enabled controller that is reset keeps its data and counts. */
static void test_data_stays(void **state)
{
	up((struct fake_options){.size = 16u << 20});
	memset(fake.memory + GUEST_BUFFER, 0x77, 4096);
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_WRITE, 5, 8, GUEST_BUFFER), NULL),
			 NVME_OK);
	reset_and_wait(UMDEV_RESET_LOST);
	again();
	memset(fake.memory + GUEST_BUFFER, 0, 4096);
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_READ, 5, 8, GUEST_BUFFER), NULL),
			 NVME_OK);
	assert_int_equal(fake.memory[GUEST_BUFFER + 4095], 0x77);
	assert_int_equal(fake.state->smart.writes, 1);
	fake_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reset_ram),	 cmocka_unit_test(test_reset_uring),
		cmocka_unit_test(test_reset_threads),	 cmocka_unit_test(test_reset_messages),
		cmocka_unit_test(test_controller_reset), cmocka_unit_test(test_shutdown),
		cmocka_unit_test(test_delete_in_flight), cmocka_unit_test(test_delete_full),
		cmocka_unit_test(test_data_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
