/* SPDX-License-Identifier: BSD-3-Clause */
/* Rings: wrap and phase, full completion queues, fairness, interrupts, I/O command errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "driver.h"
#include "guest.h"

static int up(void **state)
{
	fake_up(&(struct fake_options){.size = 64u << 20});
	guest_enable(32);
	return 0;
}

static int down(void **state)
{
	fake_down();
	return 0;
}

static void test_registers(void **state)
{
	uint8_t byte = 0;

	assert_int_equal(guest_read64(NVME_REG_CAP),
			 1023 | 1u << 16 | 40u << 24 | 1ull << 37 | 4ull << 52);
	assert_int_equal(guest_read32(NVME_REG_CAP + 4), 1u << 5 | 4u << 20);
	assert_int_equal(guest_read32(NVME_REG_VS), 0x10400);
	assert_int_equal(guest_read32(0x20), 0);
	assert_int_equal(guest_read32(0x38), 0);
	assert_int_equal(fake.driver->region_read(fake.mdev, 0, 0xa, &byte, 1), 0);
	assert_int_equal(byte, 1);
	/* While enabled the queues of the admin do not move. */
	guest_write32(NVME_REG_AQA, 0);
	guest_write64(NVME_REG_ASQ, 0);
	assert_int_equal(guest_read64(NVME_REG_ASQ), GUEST_ADMIN_SQ);
	guest_write32(NVME_REG_INTMS, 5);
	guest_write32(NVME_REG_INTMC, 1);
	assert_int_equal(guest_read32(NVME_REG_INTMS), 4);
}

static void test_bad_enable(void **state)
{
	static const uint32_t bad[] = {
		1u << 4,  7u << 4, /* CSS */
		5u << 7,	   /* MPS */
		1u << 11,	   /* AMS */
		5u << 16, 3u << 20 /* entry sizes */
	};

	for (uint32_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		guest_write32(NVME_REG_CC, 0);
		assert_int_equal(guest_read32(NVME_REG_CSTS), 0);
		guest_write32(NVME_REG_CC, bad[i] | NVME_CC_EN);
		assert_int_equal(guest_read32(NVME_REG_CSTS), NVME_CSTS_CFS);
	}
	guest_write32(NVME_REG_CC, 0);
	guest_write32(NVME_REG_AQA, 31);
	guest_write32(NVME_REG_CC, NVME_CC_EN);
	assert_int_equal(guest_read32(NVME_REG_CSTS), NVME_CSTS_CFS);
	guest_write32(NVME_REG_CC, 0);
	guest_enable(32);
	assert_int_equal(guest_run(0, guest_command(0xc0, 0), NULL), NVME_BAD_OPCODE);
}

static void test_wrap(void **state)
{
	guest_create_pair(1, 4);
	for (uint32_t i = 0; i < 50; i++)
		assert_int_equal(guest_run(1, guest_command(NVME_IO_FLUSH, 1), NULL), NVME_OK);
	/* The smallest queue there is. */
	guest_create_pair(2, 2);
	for (uint32_t i = 0; i < 9; i++)
		assert_int_equal(guest_run(2, guest_command(NVME_IO_FLUSH, 1), NULL), NVME_OK);
	guest_create_pair(3, 1024);
	guest.keep_doorbells = true;
	for (uint32_t lap = 0; lap < 3; lap++) {
		for (uint32_t i = 0; i < 1023; i++)
			guest_post(3, guest_command(NVME_IO_FLUSH, 1));
		guest_ring(3);
		for (uint32_t i = 0; i < 1023; i++)
			assert_int_equal(guest_wait(3).status >> 1, NVME_OK);
	}
	assert_int_equal(fake.irqs[3] < 3 * 1023, 1); /* one interrupt tells of many */
}

static void test_sq_head(void **state)
{
	struct nvme_cqe cqe;

	guest_create_pair(1, 8);
	guest.keep_doorbells = true;
	for (uint32_t i = 0; i < 5; i++)
		guest_post(1, guest_command(NVME_IO_FLUSH, 1));
	guest_ring(1);
	for (uint32_t i = 0; i < 5; i++)
		cqe = guest_wait(1);
	assert_int_equal(cqe.sq_head, 5);
}

/* A completion queue of 4 takes 3 entries; the rest waits for the head to move. */
static void test_cq_full(void **state)
{
	struct nvme_sqe sqe;
	struct nvme_cqe cqe;
	uint32_t got = 0;

	guest_create_pair(1, 64);
	sqe = guest_command(NVME_ADMIN_CREATE_CQ, 0);
	sqe.prp1 = GUEST_RINGS + 9 * 0x20000 + 0x10000;
	sqe.cdw10 = 3u << 16 | 9;
	sqe.cdw11 = 9u << 16 | 3;
	assert_int_equal(guest_run(0, sqe, NULL), NVME_OK);
	sqe = guest_command(NVME_ADMIN_CREATE_SQ, 0);
	sqe.prp1 = GUEST_RINGS + 9 * 0x20000;
	sqe.cdw10 = 63u << 16 | 9;
	sqe.cdw11 = 9u << 16 | 1;
	assert_int_equal(guest_run(0, sqe, NULL), NVME_OK);
	guest.keep_doorbells = true;
	for (uint32_t i = 0; i < 40; i++) {
		sqe = guest_command(NVME_IO_FLUSH, 1);
		memcpy(fake.memory + GUEST_RINGS + 9 * 0x20000 + i * 64, &sqe, 64);
	}
	guest_write32(NVME_DOORBELLS + 9 * 8, 40);
	fake_settle(100);
	assert_false(fake.polling); /* a guest that does not read makes nobody spin */
	for (uint32_t i = 0; i < 3; i++) {
		memcpy(&cqe, fake.memory + GUEST_RINGS + 9 * 0x20000 + 0x10000 + i * 16, 16);
		assert_int_equal(cqe.status & 1, 1);
	}
	memcpy(&cqe, fake.memory + GUEST_RINGS + 9 * 0x20000 + 0x10000 + 3 * 16, 16);
	assert_int_equal(cqe.status & 1, 0);
	/* Others are served meanwhile. */
	guest.keep_doorbells = false;
	assert_int_equal(guest_run(1, guest_command(NVME_IO_FLUSH, 1), NULL), NVME_OK);
	for (got = 3; got < 40; got++) {
		guest_write32(NVME_DOORBELLS + 9 * 8 + 4, (got - 2) % 4);
		fake_settle(20);
		memcpy(&cqe, fake.memory + GUEST_RINGS + 9 * 0x20000 + 0x10000 + got % 4 * 16, 16);
		assert_int_equal(cqe.status & 1, !(got / 4 & 1));
	}
}

/* Two full queues: neither gets far ahead of the other. */
static void test_fair(void **state)
{
	uint64_t done[2] = {0, 0};
	struct nvme_cqe cqe;

	guest_create_pair(1, 1024);
	guest_create_pair(2, 1024);
	guest.keep_doorbells = true;
	for (uint32_t i = 0; i < 1000; i++) {
		guest_post(1, guest_command(NVME_IO_FLUSH, 1));
		guest_post(2, guest_command(NVME_IO_FLUSH, 1));
	}
	fake.io.stopped = true;
	guest_ring(1);
	guest_ring(2);
	fake.io.stopped = false;
	while (done[0] < 1000 || done[1] < 1000) {
		fake_turn();
		for (uint32_t q = 0; q < 2; q++) {
			while (guest_reap(q + 1, &cqe))
				done[q]++;
		}
		/* The first was rung first and may have one budget more. */
		assert_true(done[0] <= done[1] + 300);
		assert_true(done[1] <= done[0] + 300);
	}
}

static void test_slots(void **state)
{
	/* More commands than slots; the admin queue still works. */
	for (uint32_t q = 1; q <= 3; q++)
		guest_create_pair(q, 512);
	fake.io.stopped = true;
	guest.keep_doorbells = true;
	for (uint32_t q = 1; q <= 3; q++) {
		for (uint32_t i = 0; i < 500; i++)
			guest_post(q, guest_command(NVME_IO_FLUSH, 1));
		guest_ring(q);
	}
	guest.keep_doorbells = false;
	for (uint32_t i = 0; i < 100; i++)
		fake_turn();
	assert_int_equal(fake.io.queued, NVME_SLOTS - 16);
	assert_false(fake.polling);
	assert_int_equal(guest_run(0, guest_command(0xc0, 0), NULL), NVME_BAD_OPCODE);
	fake.io.stopped = false;
	for (uint32_t i = 0; i < 1500; i++)
		assert_int_equal(guest_wait(i / 500 + 1).status >> 1, NVME_OK);
}

static void test_io_errors(void **state)
{
	struct nvme_sqe sqe;
	uint64_t last = (64u << 20) / 512 - 1;

	guest_create_pair(1, 64);
	assert_int_equal(guest_run(1, guest_command(0x7f, 1), NULL), NVME_BAD_OPCODE);
	assert_int_equal(guest_run(1, guest_command(0x05, 1), NULL), NVME_BAD_OPCODE); /* Compare */
	assert_int_equal(guest_run(1, guest_command(NVME_IO_FLUSH, 0), NULL), NVME_BAD_NAMESPACE);
	assert_int_equal(guest_run(1, guest_command(NVME_IO_FLUSH, NVME_NSID_ALL), NULL), NVME_OK);
	assert_int_equal(guest_run(1, guest_command(NVME_IO_READ, 2), NULL), NVME_BAD_NAMESPACE);
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_READ, last, 1, GUEST_BUFFER), NULL),
			 NVME_OK);
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_READ, last, 2, GUEST_BUFFER), NULL),
			 NVME_LBA_RANGE);
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_WRITE, last + 1, 1, GUEST_BUFFER),
				   NULL),
			 NVME_LBA_RANGE);
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_READ, ~0ull, 8, GUEST_BUFFER), NULL),
			 NVME_LBA_RANGE);
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_READ, 0, 2048, GUEST_BUFFER), NULL),
			 NVME_OK);
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_READ, 0, 2049, GUEST_BUFFER), NULL),
			 NVME_BAD_FIELD);
	sqe = guest_transfer(NVME_IO_READ, 0, 1, GUEST_BUFFER);
	sqe.flags = 2;
	assert_int_equal(guest_run(1, sqe, NULL), NVME_BAD_FIELD);
	sqe.flags = 0xc0;
	assert_int_equal(guest_run(1, sqe, NULL), NVME_BAD_FIELD);
	sqe = guest_command(NVME_IO_WRITE_ZEROES, 1);
	sqe.cdw10 = (uint32_t)last;
	sqe.cdw12 = 1;
	assert_int_equal(guest_run(1, sqe, NULL), NVME_LBA_RANGE);
	sqe = guest_command(NVME_IO_DATASET, 1);
	sqe.prp1 = GUEST_BUFFER;
	assert_int_equal(guest_run(1, sqe, NULL), NVME_OK); /* no deallocation asked for */
	memcpy(fake.memory + GUEST_BUFFER, &(struct nvme_dsm_range){.blocks = 2, .first = last},
	       16);
	sqe.cdw11 = NVME_DSM_DEALLOCATE;
	assert_int_equal(guest_run(1, sqe, NULL), NVME_LBA_RANGE);
	sqe.prp1 = FAKE_MEMORY;
	assert_int_equal(guest_run(1, sqe, NULL), NVME_DATA_ERROR);
}

static void test_queue_memory(void **state)
{
	struct nvme_sqe sqe;

	guest_create_pair(1, 64);
	sqe = guest_command(NVME_ADMIN_CREATE_SQ, 0);
	sqe.prp1 = FAKE_MEMORY;
	sqe.cdw10 = 63u << 16 | 2;
	sqe.cdw11 = 1u << 16 | 1;
	assert_int_equal(guest_run(0, sqe, NULL), NVME_OK);
	guest_write32(NVME_DOORBELLS + 16, 1);
	fake_settle(10);
	assert_int_equal(guest_read32(NVME_REG_CSTS), NVME_CSTS_CFS | NVME_CSTS_RDY);
	assert_non_null(strstr(fake.last_event, "submission queue"));
	/* The way out is a controller reset. */
	guest_write32(NVME_REG_CC, 0);
	assert_int_equal(guest_read32(NVME_REG_CSTS), 0);
	guest_enable(16);
	sqe = guest_command(NVME_ADMIN_CREATE_CQ, 0);
	sqe.prp1 = FAKE_MEMORY;
	sqe.cdw10 = 63u << 16 | 2;
	sqe.cdw11 = 3;
	assert_int_equal(guest_run(0, sqe, NULL), NVME_OK);
	guest_create_pair(1, 64);
	sqe = guest_command(NVME_ADMIN_CREATE_SQ, 0);
	sqe.prp1 = GUEST_RINGS + 0x40000;
	sqe.cdw10 = 63u << 16 | 3;
	sqe.cdw11 = 2u << 16 | 1;
	assert_int_equal(guest_run(0, sqe, NULL), NVME_OK);
	guest_write32(NVME_DOORBELLS + 24, 1);
	fake_settle(10);
	assert_int_equal(guest_read32(NVME_REG_CSTS), NVME_CSTS_CFS | NVME_CSTS_RDY);
	assert_non_null(strstr(fake.last_event, "completion queue"));
}

static void test_intx(void **state)
{
	struct nvme_cqe cqe;

	fake.level_mode = true;
	guest_create_pair(1, 16);
	assert_false(fake.level);
	guest_post(1, guest_command(NVME_IO_FLUSH, 1));
	fake_settle(10);
	assert_true(fake.level);
	guest_write32(NVME_REG_INTMS, 1);
	assert_false(fake.level);
	guest_write32(NVME_REG_INTMC, 1);
	assert_true(fake.level);
	assert_true(guest_reap(1, &cqe));
	assert_false(fake.level);
	/* The same when heads move in memory: the event index makes the guest tell. */
	guest_shadow();
	guest_post(1, guest_command(NVME_IO_FLUSH, 1));
	guest_post(1, guest_command(NVME_IO_FLUSH, 1));
	fake_settle(10);
	assert_true(fake.level);
	assert_true(guest_reap(1, &cqe));
	assert_true(fake.level);
	assert_true(guest_reap(1, &cqe));
	assert_false(fake.level);
	guest_post(1, guest_command(NVME_IO_FLUSH, 1));
	fake_settle(10);
	assert_true(fake.level);
	guest_write32(NVME_REG_CC, 0);
	assert_false(fake.level);
}

static void test_msi_mask(void **state)
{
	uint64_t before;

	fake_down();
	fake_up(&(struct fake_options){.interrupts = NVME_INTERRUPTS_MSI, .queues = 4});
	assert_int_equal(fake.device.msi_vectors, 8);
	assert_int_equal(fake.device.msix_vectors, 0);
	assert_int_equal(fake.device.msix_bar, UMDEV_NO_BAR);
	guest_enable(16);
	before = fake.irqs[0];
	guest_write32(NVME_REG_INTMS, 1);
	assert_int_equal(guest_run(0, guest_command(0xc0, 0), NULL), NVME_BAD_OPCODE);
	assert_int_equal(fake.irqs[0], before);
	guest_write32(NVME_REG_INTMC, 1);
	assert_int_equal(fake.irqs[0], before + 1);
}

static void test_stats(void **state)
{
	uint64_t values[NVME_STAT_COUNT];

	guest_create_pair(1, 16);
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_WRITE, 0, 16, GUEST_BUFFER), NULL),
			 NVME_OK);
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_READ, 0, 8, GUEST_BUFFER), NULL),
			 NVME_OK);
	assert_int_equal(guest_run(1, guest_command(NVME_IO_FLUSH, 1), NULL), NVME_OK);
	assert_int_equal(guest_run(1, guest_command(0x7f, 1), NULL), NVME_BAD_OPCODE);
	fake.driver->stats_get(fake.mdev, values);
	assert_int_equal(values[NVME_STAT_READS], 1);
	assert_int_equal(values[NVME_STAT_WRITES], 1);
	assert_int_equal(values[NVME_STAT_READ_BYTES], 4096);
	assert_int_equal(values[NVME_STAT_WRITE_BYTES], 8192);
	assert_int_equal(values[NVME_STAT_FLUSHES], 1);
	assert_int_equal(values[NVME_STAT_ERRORS], 1);
	assert_int_equal(values[NVME_STAT_IN_FLIGHT], 0);
	assert_int_equal(values[NVME_STAT_SHADOW], 0);
	assert_true(values[NVME_STAT_TRAPPED] > 0);
	assert_true(values[NVME_STAT_INTERRUPTS] > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_registers, up, down),
		cmocka_unit_test_setup_teardown(test_bad_enable, up, down),
		cmocka_unit_test_setup_teardown(test_wrap, up, down),
		cmocka_unit_test_setup_teardown(test_sq_head, up, down),
		cmocka_unit_test_setup_teardown(test_cq_full, up, down),
		cmocka_unit_test_setup_teardown(test_fair, up, down),
		cmocka_unit_test_setup_teardown(test_slots, up, down),
		cmocka_unit_test_setup_teardown(test_io_errors, up, down),
		cmocka_unit_test_setup_teardown(test_queue_memory, up, down),
		cmocka_unit_test_setup_teardown(test_intx, up, down),
		cmocka_unit_test_setup_teardown(test_msi_mask, up, down),
		cmocka_unit_test_setup_teardown(test_stats, up, down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
