/* SPDX-License-Identifier: BSD-3-Clause */
/* Admin commands as jobs: their order and limit, Abort, deletion, reset and resume with some
 * queued. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctrl.h"
#include "guest.h"

static int up(void **state)
{
	fake_up(&(struct fake_options){.size = 64u << 20});
	guest_enable(256);
	guest_create_pair(1, 64);
	fake.admin.total = 0;
	fake.io.total = 0;
	return 0;
}

static int down(void **state)
{
	fake_down();
	return 0;
}

static struct nvme_sqe identify(void)
{
	struct nvme_sqe sqe = guest_command(NVME_ADMIN_IDENTIFY, 0);

	sqe.cdw10 = NVME_CNS_CONTROLLER;
	sqe.prp1 = GUEST_BUFFER;
	return sqe;
}

static struct nvme_sqe abort_of(uint32_t sqid, uint16_t cid)
{
	struct nvme_sqe sqe = guest_command(NVME_ADMIN_ABORT, 0);

	sqe.cdw10 = (uint32_t)cid << 16 | sqid;
	return sqe;
}

static void test_engines(void **state)
{
	assert_int_equal(fake.info.engine_count, 2);
	assert_string_equal(fake.info.engines[0].name, "io");
	assert_string_equal(fake.info.engines[1].name, "admin");
	assert_int_equal(fake.info.engines[1].parallelism, 1);
	assert_int_equal(guest_run(0, identify(), NULL), NVME_OK);
	assert_int_equal(fake.admin.total, 1);
	assert_int_equal(guest_run(0, guest_command(0xc0, 0), NULL), NVME_BAD_OPCODE);
	assert_int_equal(fake.admin.total, 2);
	guest_post(0, guest_command(NVME_ADMIN_ASYNC_EVENT, 0));
	assert_int_equal(guest_run(0, abort_of(1, 9999), NULL), NVME_OK);
	assert_int_equal(fake.admin.total, 2);
	assert_int_equal(fake.io.total, 0);
}

static void test_order(void **state)
{
	uint16_t cids[40];

	fake.admin.stopped = true;
	for (uint32_t i = 0; i < 40; i++)
		cids[i] = guest_post(0, identify());
	fake_settle(20);
	assert_int_equal(fake.admin.queued, 40);
	/* They hold up nobody else. */
	assert_int_equal(guest_run(1, guest_command(NVME_IO_FLUSH, 1), NULL), NVME_OK);
	fake.admin.stopped = false;
	for (uint32_t i = 0; i < 40; i++)
		assert_int_equal(guest_wait(0).cid, cids[i]);
}

/* Commands that wait leave slots to the I/O queues, and one batch a turn is all that is fetched. */
static void test_limit(void **state)
{
	uint64_t fetched = fake.state->sq[0].fetched;

	fake.admin.stopped = true;
	guest.keep_doorbells = true;
	for (uint32_t i = 0; i < NVME_ADMIN_MAX + 1; i++)
		guest_post(0, identify());
	guest.keep_doorbells = false;
	guest_ring(0);
	assert_int_equal(fake.state->sq[0].fetched, fetched + NVME_FETCH_BATCH);
	assert_true(fake.polling);
	fake_turn();
	assert_int_equal(fake.state->sq[0].fetched, fetched + 2 * NVME_FETCH_BATCH);
	for (uint32_t i = 0; i < 20; i++)
		fake_turn();
	assert_int_equal(fake.admin.queued, NVME_ADMIN_MAX);
	fake.now_ns += 1000000000;
	fake_settle(100);
	assert_false(fake.polling); /* for what cannot be fetched nobody spins */
	assert_int_equal(guest_run(1, guest_command(NVME_IO_FLUSH, 1), NULL), NVME_OK);
	fake.admin.stopped = false;
	for (uint32_t i = 0; i < NVME_ADMIN_MAX + 1; i++)
		assert_int_equal(guest_wait(0).status >> 1, NVME_OK);
}

/* Abort finds what is queued, on either engine, and does not wait behind it. */
static void test_abort(void **state)
{
	struct nvme_cqe cqe;
	struct nvme_sqe sqe;
	uint16_t first, second, io;

	fake.admin.stopped = true;
	fake.io.stopped = true;
	first = guest_post(0, identify());
	second = guest_post(0, identify());
	io = guest_post(1, guest_command(NVME_IO_FLUSH, 1));
	sqe = abort_of(0, second);
	guest_post(0, sqe);
	cqe = guest_wait(0);
	assert_int_equal(cqe.cid, second);
	assert_int_equal(cqe.status >> 1, NVME_ABORTED);
	cqe = guest_wait(0);
	assert_int_equal(cqe.cid, sqe.cid);
	assert_int_equal(cqe.result, 0);
	assert_int_equal(fake.admin.queued, 1);
	sqe = abort_of(1, io);
	guest_post(0, sqe);
	assert_int_equal(guest_wait(0).result, 0);
	assert_int_equal(guest_wait(1).status >> 1, NVME_ABORTED);
	assert_int_equal(fake.io.queued, 0);
	fake.admin.stopped = false;
	cqe = guest_wait(0);
	assert_int_equal(cqe.cid, first);
	assert_int_equal(cqe.status >> 1, NVME_OK);
}

/* Who waits for its client holds no place of the engine: the client may never answer. */
static void test_message_reply(void **state)
{
	struct nvme_sqe sqe = identify();
	uint16_t slow;

	fake.transfers_stopped = true;
	fake.remote_from = GUEST_BUFFER;
	fake.remote_to = GUEST_BUFFER + 4096;
	slow = guest_post(0, sqe);
	fake_settle(20);
	assert_int_equal(fake.transfer_count, 1);
	assert_int_equal(fake.admin.started, 0);
	sqe = identify();
	sqe.prp1 = GUEST_BUFFER + 4096;
	assert_int_equal(guest_run(0, sqe, NULL), NVME_OK);
	fake.transfers_stopped = false;
	assert_int_equal(guest_wait(0).cid, slow);
}

/* More replies under way than there are buffers. */
static void test_buffers(void **state)
{
	fake.transfers_stopped = true;
	fake.remote_from = GUEST_BUFFER;
	fake.remote_to = GUEST_BUFFER + 4096;
	for (uint32_t i = 0; i < 20; i++)
		guest_post(0, identify());
	fake_settle(50);
	assert_int_equal(fake.admin.total, 20);
	assert_int_equal(fake.admin.started, 0);
	fake.transfers_stopped = false;
	for (uint32_t i = 0; i < 20; i++)
		assert_int_equal(guest_wait(0).status >> 1, NVME_OK);
}

/* A cache that is switched off is flushed: a job of one engine, then one of the other. */
static void test_flush(void **state)
{
	struct nvme_sqe sqe = guest_command(NVME_ADMIN_SET_FEATURES, 0);

	sqe.cdw10 = NVME_FEAT_WRITE_CACHE;
	fake.io.stopped = true;
	guest_post(0, sqe);
	fake_settle(20);
	assert_int_equal(fake.admin.started + fake.admin.queued, 0);
	assert_int_equal(fake.io.queued, 1);
	assert_int_equal(guest_run(0, identify(), NULL), NVME_OK);
	fake.io.stopped = false;
	assert_int_equal(guest_wait(0).cid, sqe.cid);
	assert_int_equal(fake.io.total, 1);
	/* It can be aborted while it waits for that. */
	sqe.cdw11 = 1;
	sqe.cid = guest.next_cid++;
	assert_int_equal(guest_run(0, sqe, NULL), NVME_OK);
	fake.io.stopped = true;
	sqe.cdw11 = 0;
	sqe.cid = guest.next_cid++;
	guest_post(0, sqe);
	fake_settle(20);
	guest_post(0, abort_of(0, sqe.cid));
	assert_int_equal(guest_wait(0).status >> 1, NVME_ABORTED);
	assert_int_equal(guest_wait(0).result, 0);
	assert_int_equal(fake.io.queued, 0);
}

/* A deletion takes back what is queued, waits for what has started, and holds up nothing. */
static void test_delete(void **state)
{
	struct fake_options options = {.io = 2, .parallelism = 4};
	struct nvme_sqe sqe;
	struct nvme_cqe cqe;
	uint32_t aborted = 0;

	fake_down();
	options.path = guest_file(64u << 20);
	fake_up(&options);
	guest_enable(32);
	guest_create_pair(1, 64);
	guest.keep_doorbells = true;
	for (uint32_t i = 0; i < 40; i++)
		guest_post(1, guest_transfer(NVME_IO_READ, i * 8, 8, GUEST_BUFFER));
	guest.keep_doorbells = false;
	guest_ring(1);
	fake_turn();
	fake.admin.stopped = true;
	sqe = guest_command(NVME_ADMIN_DELETE_SQ, 0);
	sqe.cdw10 = 1;
	guest_post(0, sqe);
	assert_int_equal(fake.admin.queued, 1);
	assert_int_not_equal(fake.state->sq[1].size, 0);
	fake.io.stopped = true; /* so some are queued still when it begins */
	fake.admin.stopped = false;
	assert_int_equal(guest_wait(0).cid, sqe.cid);
	assert_int_equal(fake.state->sq[1].size, 0);
	assert_int_equal(fake.admin.started + fake.io.started + fake.io.queued, 0);
	while (guest_reap(1, &cqe))
		aborted += cqe.status >> 1 == NVME_ABORTED_SQ_DELETED;
	assert_true(aborted >= 1);
	fake_down();
	unlink(options.path);
	up(state);
}

static void test_reset(void **state)
{
	for (uint32_t kind = UMDEV_RESET_DEVICE; kind <= UMDEV_RESET_LOST; kind++) {
		fake.admin.stopped = true;
		for (uint32_t i = 0; i < 30; i++)
			guest_post(0, identify());
		fake_settle(20);
		assert_int_equal(fake.admin.queued, 30);
		assert_int_equal(fake.driver->reset(fake.mdev, kind), 0);
		assert_int_equal(fake.admin.queued, 0);
		fake.admin.stopped = false;
		guest_enable(256);
		assert_int_equal(guest_run(0, identify(), NULL), NVME_OK);
	}
	/* By the guest itself, and shutdown. */
	fake.admin.stopped = true;
	guest_post(0, identify());
	guest_write32(NVME_REG_CC, guest_read32(NVME_REG_CC) | 1u << 14);
	fake_settle(20);
	assert_int_equal(guest_read32(NVME_REG_CSTS), NVME_CSTS_RDY | NVME_CSTS_SHST_DONE);
	guest_write32(NVME_REG_CC, 0);
	assert_int_equal(guest_read32(NVME_REG_CSTS), 0);
	assert_int_equal(fake.admin.queued, 0);
}

/* Commands that build on each other begin anew in their order, whatever slots they have. */
static void test_resume(void **state)
{
	struct nvme_sqe sqe = guest_command(NVME_ADMIN_CREATE_CQ, 0);
	struct nvme_state_cmd saved;
	uint16_t cq, sq;

	fake.admin.stopped = true;
	sqe.prp1 = GUEST_RINGS + 2 * 0x20000;
	sqe.cdw10 = 15u << 16 | 2;
	sqe.cdw11 = 3;
	cq = guest_post(0, sqe);
	sqe.opcode = NVME_ADMIN_CREATE_SQ;
	sqe.cid = guest.next_cid++;
	sqe.prp1 += 0x10000;
	sqe.cdw11 = 2u << 16 | 1;
	sq = guest_post(0, sqe);
	guest_post(0, guest_command(NVME_ADMIN_ASYNC_EVENT, 0));
	fake_settle(20);
	assert_int_equal(fake.admin.queued, 2);
	fake_crash();
	assert_int_equal(fake.state->cmds[0].sqe.cid, cq);
	assert_int_equal(fake.state->cmds[1].sqe.cid, sq);
	saved = fake.state->cmds[0];
	fake.state->cmds[0] = fake.state->cmds[1];
	fake.state->cmds[1] = saved;
	fake.admin.stopped = false;
	assert_int_equal(fake_create(&(struct fake_options){.size = 64u << 20}, UMDEV_STATE_RESUME),
			 0);
	for (uint32_t i = 0; i < 2; i++) {
		struct nvme_cqe cqe = guest_wait(0);

		assert_int_equal(cqe.cid, i ? sq : cq);
		assert_int_equal(cqe.status >> 1, NVME_OK);
	}
	assert_int_equal(fake.state->event_slot_count, 1);
	assert_int_equal(guest_run(0, identify(), NULL), NVME_OK);
}

/* A reset before the successor has begun anything. */
static void test_resume_reset(void **state)
{
	fake.admin.stopped = true;
	guest_post(0, identify());
	fake_crash();
	assert_int_equal(fake_create(&(struct fake_options){.size = 64u << 20}, UMDEV_STATE_RESUME),
			 0);
	fake_turn();
	assert_int_equal(fake.admin.queued, 1);
	assert_int_equal(fake.driver->reset(fake.mdev, UMDEV_RESET_DEVICE), 0);
	assert_int_equal(fake.admin.queued, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_engines, up, down),
		cmocka_unit_test_setup_teardown(test_order, up, down),
		cmocka_unit_test_setup_teardown(test_limit, up, down),
		cmocka_unit_test_setup_teardown(test_abort, up, down),
		cmocka_unit_test_setup_teardown(test_message_reply, up, down),
		cmocka_unit_test_setup_teardown(test_buffers, up, down),
		cmocka_unit_test_setup_teardown(test_flush, up, down),
		cmocka_unit_test_setup_teardown(test_delete, up, down),
		cmocka_unit_test_setup_teardown(test_reset, up, down),
		cmocka_unit_test_setup_teardown(test_resume, up, down),
		cmocka_unit_test_setup_teardown(test_resume_reset, up, down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
