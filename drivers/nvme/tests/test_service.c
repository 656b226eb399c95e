/* SPDX-License-Identifier: BSD-3-Clause */
/* service_us: jobs that take exactly their time, on a clock that the test moves; and what ends them
 * early. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver.h"
#include "guest.h"

#define EACH_US 300u
#define EACH_NS (EACH_US * 1000ull)

static void up(struct fake_options options)
{
	options.service_us = EACH_US;
	options.size = 64u << 20;
	fake_up(&options);
	guest_enable(32);
	guest_create_pair(1, 64);
}

static void turns(uint32_t n)
{
	while (n-- > 0)
		fake_turn();
}

static struct nvme_sqe read_of(uint32_t i)
{
	return guest_transfer(NVME_IO_READ, i * 8, 8, GUEST_BUFFER + i * 4096);
}

/* Lets the clock stand until the work of all started jobs is over. */
static void work(void)
{
	turns(5);
	usleep(0);
	turns(5);
}

static struct nvme_sqe one_of(uint32_t kind)
{
	struct nvme_dsm_range ranges[3] = {
		{.first = 0, .blocks = 8}, {.first = 64, .blocks = 8}, {.first = 128, .blocks = 8}};
	struct nvme_sqe sqe = guest_command(NVME_IO_FLUSH, 1);

	switch (kind) {
	case 0:
		return read_of(1);
	case 1:
		return guest_transfer(NVME_IO_WRITE, 0, 8, GUEST_BUFFER);
	case 2:
		return sqe;
	case 3:
		sqe.opcode = NVME_IO_WRITE_ZEROES;
		sqe.cdw12 = 7;
		return sqe;
	default:
		sqe.opcode = NVME_IO_DATASET;
		sqe.cdw10 = 2;
		sqe.cdw11 = NVME_DSM_DEALLOCATE;
		sqe.prp1 = GUEST_BUFFER;
		memcpy(fake.memory + GUEST_BUFFER, ranges, sizeof(ranges));
		return sqe;
	}
}

/* Every kind of command is one job of that time, not a nanosecond less; its end is told as it
 * should have been, however late it is seen. */
static void test_exact(void **state)
{
	struct nvme_cqe cqe;

	up((struct fake_options){.parallelism = 1});
	for (uint32_t kind = 0; kind < 5; kind++) {
		uint64_t start_ns = fake.now_ns;

		guest_post(1, one_of(kind));
		for (uint32_t i = 0; i < 200; i++)
			work();
		assert_int_equal(fake.io.started, 1);
		fake.now_ns = start_ns + EACH_NS - 1;
		turns(10);
		assert_false(guest_reap(1, &cqe));
		fake.now_ns += 1 + kind * 10000;
		turns(3);
		assert_true(guest_reap(1, &cqe));
		assert_int_equal(cqe.status >> 1, NVME_OK);
		assert_int_equal(fake.ended_ns, start_ns + EACH_NS);
	}
	fake_down();
}

/* One after the other with parallelism=1, side by side with more. */
static void test_queue(void **state)
{
	struct nvme_cqe cqe;

	for (uint32_t parallel = 1; parallel <= 4; parallel += 3) {
		uint64_t start_ns;

		up((struct fake_options){.parallelism = parallel});
		start_ns = fake.now_ns;
		for (uint32_t i = 0; i < 12; i++)
			guest_post(1, read_of(i));
		work();
		for (uint32_t i = 0; i < 12; i++) {
			uint32_t round = i / parallel + 1;

			fake.now_ns = start_ns + round * EACH_NS - 1;
			work();
			assert_int_equal(guest_reap(1, &cqe), i % parallel != 0);
			fake.now_ns = start_ns + round * EACH_NS;
			work();
			if (i % parallel == 0)
				assert_true(guest_reap(1, &cqe));
			assert_int_equal(fake.ended_ns, fake.now_ns);
		}
		fake_down();
	}
}

/* Nothing polls long before an end is due, nor with nothing in flight. */
static void test_polling(void **state)
{
	uint64_t start_ns;

	up((struct fake_options){.parallelism = 1});
	fake.now_ns += 1000000;
	turns(5);
	assert_false(fake.polling);
	start_ns = fake.now_ns;
	guest_post(1, read_of(0));
	fake_turn();
	fake.now_ns += 10000;
	turns(5);
	assert_false(fake.polling);
	fake.now_ns = start_ns + EACH_NS - 60000;
	turns(5);
	assert_true(fake.polling);
	fake.now_ns = start_ns + EACH_NS;
	turns(2);
	assert_int_equal(fake.io.started, 0);
	fake.now_ns += 1000000;
	turns(5);
	assert_false(fake.polling);
	fake_down();
}

/* Work that takes longer than that ends when it ends. */
static void test_longer(void **state)
{
	struct fake_options options = {.parallelism = 1, .io = 2};
	struct nvme_cqe cqe;
	uint64_t start_ns;

	options.path = guest_file(64u << 20);
	up(options);
	start_ns = fake.now_ns;
	guest_post(1, read_of(0));
	fake_turn();
	/* The thread's report is in no hurry: only what the loop sees counts. */
	fake.fds_stopped = true;
	fake.now_ns = start_ns + 2 * EACH_NS;
	fake.driver->jobs_flush(fake.parent);
	assert_false(guest_reap(1, &cqe));
	fake.fds_stopped = false;
	cqe = guest_wait(1);
	assert_int_equal(cqe.status >> 1, NVME_OK);
	assert_int_equal(fake.ended_ns, 0);
	fake_down();
	unlink(options.path);
}

/* A command that fails takes its time too: errors are not free. */
static void test_error(void **state)
{
	struct nvme_sqe sqe;
	struct nvme_cqe cqe;
	uint64_t start_ns;

	up((struct fake_options){.parallelism = 1});
	sqe = read_of(0);
	sqe.prp1 = FAKE_MEMORY;
	start_ns = fake.now_ns;
	guest_post(1, sqe);
	work();
	fake.now_ns = start_ns + EACH_NS - 1;
	work();
	assert_false(guest_reap(1, &cqe));
	fake.now_ns++;
	work();
	assert_true(guest_reap(1, &cqe));
	assert_int_equal(cqe.status >> 1 & ~NVME_MORE, NVME_DATA_ERROR);
	fake_down();
}

/* Data that only messages reach: one job, one time. */
static void test_messages(void **state)
{
	uint64_t start_ns;

	up((struct fake_options){.parallelism = 1});
	memset(fake.memory + GUEST_BUFFER, 0x5a, 4096);
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_WRITE, 8, 8, GUEST_BUFFER), NULL),
			 NVME_OK);
	memset(fake.memory + GUEST_BUFFER, 0, 8192);
	fake.remote_from = GUEST_BUFFER;
	fake.remote_to = GUEST_BUFFER + (1u << 20);
	start_ns = fake.now_ns;
	guest_post(1, read_of(1));
	work();
	assert_int_equal(fake.io.started, 1);
	fake.now_ns = start_ns + EACH_NS;
	turns(5);
	assert_int_equal(guest_wait(1).status >> 1, NVME_OK);
	assert_int_equal(fake.memory[GUEST_BUFFER + 4096], 0x5a);
	assert_int_equal(fake.ended_ns, start_ns + EACH_NS);
	fake_down();
}

/* A reset waits for none of it, nor does disabling, nor a shutdown that is cut short. */
static void reset(struct fake_options options, bool immediate)
{
	up(options);
	for (uint32_t way = 0; way < 4; way++) {
		uint32_t before = fake.resets_done;
		uint64_t start_ns = fake.now_ns;
		int rc = 0;

		for (uint32_t i = 0; i < 20; i++)
			guest_post(1, read_of(i));
		turns(2 + way * 3);
		assert_int_equal(fake.io.started, 4);
		if (way == 3) {
			fake.now_ns += EACH_NS - 50000; /* about to be polled for */
			turns(3);
			guest_write32(NVME_REG_CC, guest_read32(NVME_REG_CC) | 1u << 14);
			turns(2);
			start_ns = fake.now_ns;
		}
		if (way == 1)
			guest_write32(NVME_REG_CC, 0);
		else
			rc = fake.driver->reset(fake.mdev, UMDEV_RESET_DEVICE);
		if (immediate)
			assert_int_equal(rc, 0);
		for (uint32_t i = 0; rc == -EINPROGRESS && fake.resets_done == before; i++) {
			assert_true(i < 2000000);
			fake_turn();
		}
		for (uint32_t i = 0; guest_read32(NVME_REG_CSTS) != 0; i++) {
			assert_true(i < 2000000);
			fake_turn();
		}
		assert_int_equal(fake.now_ns, start_ns);
		assert_int_equal(fake.io.started + fake.io.queued, 0);
		assert_int_equal(fake.ended_ns, 0);
		turns(5);
		assert_false(fake.polling);
		guest_enable(32);
		guest_create_pair(1, 64);
	}
	fake_down();
}

static void test_reset(void **state)
{
	struct fake_options options = {.parallelism = 4};

	reset(options, true);
	options.path = guest_file(64u << 20);
	for (options.io = 1; options.io <= 2; options.io++)
		reset(options, false);
	unlink(options.path);
}

/* Deletion and Abort leave alone what has started; it ends in its time. */
static void test_delete(void **state)
{
	struct nvme_sqe sqe;
	struct nvme_cqe cqe;
	uint32_t good = 0;

	up((struct fake_options){.parallelism = 4});
	for (uint32_t i = 0; i < 20; i++)
		guest_post(1, read_of(i));
	turns(2);
	sqe = guest_command(NVME_ADMIN_DELETE_SQ, 0);
	sqe.cdw10 = 1;
	assert_int_equal(guest_run(0, sqe, NULL), NVME_OK);
	assert_int_equal(fake.state->sq[1].size, 0);
	while (guest_reap(1, &cqe))
		good += cqe.status >> 1 == NVME_OK;
	assert_int_equal(good, 4);
	fake_down();
}

static void test_shutdown(void **state)
{
	uint64_t start_ns;

	up((struct fake_options){.parallelism = 4});
	start_ns = fake.now_ns;
	guest_write32(NVME_REG_CC, guest_read32(NVME_REG_CC) | 1u << 14);
	work();
	assert_int_equal(guest_read32(NVME_REG_CSTS), NVME_CSTS_RDY | NVME_CSTS_SHST_BUSY);
	fake.now_ns = start_ns + EACH_NS;
	work();
	assert_int_equal(guest_read32(NVME_REG_CSTS), NVME_CSTS_RDY | NVME_CSTS_SHST_DONE);
	fake_down();
}

/* A process that dies takes nothing with it: what was in flight is done by the next. */
static void test_resume(void **state)
{
	struct fake_options options = {.parallelism = 4, .service_us = EACH_US, .size = 64u << 20};

	up(options);
	for (uint32_t i = 0; i < 10; i++)
		guest_post(1, read_of(i));
	turns(3);
	fake_crash();
	assert_int_equal(fake_create(&options, UMDEV_STATE_RESUME), 0);
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(guest_wait(1).status >> 1, NVME_OK);
	fake_down();
}

/* On the clock: never early. How late is a matter of the machine. */
static void test_clock(void **state)
{
	up((struct fake_options){.parallelism = 1, .real_time = true});
	for (uint32_t i = 0; i < 50; i++) {
		uint64_t start_ns, end_ns;

		start_ns = fake_now();
		assert_int_equal(guest_run(1, read_of(i), NULL), NVME_OK);
		end_ns = fake_now();
		assert_true(end_ns - start_ns >= EACH_NS);
		assert_in_range(fake.ended_ns, start_ns + EACH_NS, end_ns);
	}
	fake_down();
}

static void test_description(void **state)
{
	up((struct fake_options){.parallelism = 2});
	assert_string_equal(fake.info.description, "memory, 64 MiB, 2 at once, 300 us each");
	fake_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exact),	    cmocka_unit_test(test_queue),
		cmocka_unit_test(test_polling),	    cmocka_unit_test(test_longer),
		cmocka_unit_test(test_error),	    cmocka_unit_test(test_messages),
		cmocka_unit_test(test_reset),	    cmocka_unit_test(test_delete),
		cmocka_unit_test(test_shutdown),    cmocka_unit_test(test_resume),
		cmocka_unit_test(test_description), cmocka_unit_test(test_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
