/* SPDX-License-Identifier: BSD-3-Clause */
/* Another process goes on from the state page: no completion is lost or given twice, and a damaged
 * page is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guest.h"

static const struct fake_options options = {.size = 64u << 20};

static void up(void)
{
	fake_up(&options);
	guest_enable(32);
	guest_create_pair(1, 64);
}

static void crash(void)
{
	fake_crash();
	assert_int_equal(fake_create(&options, UMDEV_STATE_RESUME), 0);
	fake.io.stopped = false;
}

static void test_idle(void **state)
{
	up();
	for (uint32_t i = 0; i < 70; i++)
		assert_int_equal(guest_run(1, guest_command(NVME_IO_FLUSH, 1), NULL), NVME_OK);
	crash();
	fake_settle(10);
	assert_int_equal(guest_read32(NVME_REG_CSTS), NVME_CSTS_RDY);
	for (uint32_t i = 0; i < 70; i++)
		assert_int_equal(guest_run(1, guest_command(NVME_IO_FLUSH, 1), NULL), NVME_OK);
	assert_int_equal(guest_run(0, guest_command(0xc0, 0), NULL), NVME_BAD_OPCODE);
	fake_down();
}

/* Commands in flight, event requests too, end once each. */
static void test_in_flight(void **state)
{
	struct nvme_cqe cqe;
	uint8_t seen[64];

	for (uint32_t turns = 0; turns < 8; turns++) {
		uint16_t first;
		uint32_t got = 0;
		uint16_t event;

		up();
		event = guest_post(0, guest_command(NVME_ADMIN_ASYNC_EVENT, 0));
		memset(seen, 0, sizeof(seen));
		fake.io.stopped = turns == 0;
		fake.remote_to = turns > 3 ? FAKE_MEMORY : 0; /* stages that take turns */
		guest.keep_doorbells = true;
		first = guest.next_cid;
		for (uint32_t i = 0; i < 40; i++)
			guest_post(1, guest_transfer(i & 1 ? NVME_IO_READ : NVME_IO_WRITE, i * 64,
						     64, GUEST_BUFFER + i * 0x8000));
		guest_ring(1);
		guest.keep_doorbells = false;
		for (uint32_t i = 0; i < turns; i++)
			fake_turn();
		crash();
		while (got < 40) {
			cqe = guest_wait(1);
			assert_in_range(cqe.cid, first, first + 39);
			assert_int_equal(seen[cqe.cid - first]++, 0);
			assert_int_equal(cqe.status >> 1, NVME_OK);
			got++;
		}
		fake_settle(50);
		assert_false(guest_reap(1, &cqe));
		fake.remote_to = 0;
		/* The event request is still there. */
		guest_write32(NVME_DOORBELLS + 50 * 8, 1);
		cqe = guest_wait(0);
		assert_int_equal(cqe.cid, event);
		fake_down();
	}
}

/*
 * Death between any two steps of a completion. The page is set to what it is there: entry not
 * written, entry written but not counted, counted but slot not free.
 */
static void test_half_completed(void **state)
{
	for (uint32_t step = 0; step < 3; step++) {
		struct nvme_state_cmd saved;
		struct nvme_cqe cqe;
		uint16_t cid;

		up();
		cid = guest_post(1, guest_command(NVME_IO_FLUSH, 1));
		fake_settle(20);
		saved = fake.state->cmds[0]; /* free now, but as it was */
		assert_int_equal(saved.sqe.cid, cid);
		fake_crash();
		saved.phase = NVME_SLOT_ENDING;
		fake.state->cmds[0] = saved;
		if (step < 2)
			fake.state->cq[1].posted--;
		if (step < 1)
			memset(fake.memory + guest.q[1].cq, 0, 16);
		assert_int_equal(fake_create(&options, UMDEV_STATE_RESUME), 0);
		cqe = guest_wait(1);
		assert_int_equal(cqe.cid, cid);
		fake_settle(20);
		assert_false(guest_reap(1, &cqe));
		assert_int_equal(fake.state->cq[1].posted, 1);
		assert_int_equal(guest_run(1, guest_command(NVME_IO_FLUSH, 1), NULL), NVME_OK);
		fake_down();
	}
}

/* Death between a slot and the count of its queue: the command is not fetched twice. */
static void test_half_fetched(void **state)
{
	struct nvme_cqe cqe;
	uint16_t cid;

	up();
	fake.io.stopped = true;
	cid = guest_post(1, guest_command(NVME_IO_FLUSH, 1));
	fake_crash();
	assert_int_equal(fake.state->sq[1].fetched, 1);
	fake.state->sq[1].fetched = 0;
	fake.io.stopped = false;
	assert_int_equal(fake_create(&options, UMDEV_STATE_RESUME), 0);
	assert_int_equal(guest_wait(1).cid, cid);
	fake_settle(20);
	assert_false(guest_reap(1, &cqe));
	fake_down();
}

/* A queue that was created before the completion said so is created, not an error. */
static void test_replayed_admin(void **state)
{
	struct nvme_sqe sqe;

	up();
	sqe = guest_command(NVME_ADMIN_CREATE_CQ, 0);
	sqe.prp1 = GUEST_RINGS + 2 * 0x20000;
	sqe.cdw10 = 15u << 16 | 2;
	sqe.cdw11 = 3;
	assert_int_equal(guest_run(0, sqe, NULL), NVME_OK);
	fake_crash();
	fake.state->cmds[0].phase = NVME_SLOT_ACTIVE;
	fake.state->cmds[0].sqe = sqe;
	fake.state->cmds[0].sqid = 0;
	fake.state->cmds[0].sq_seq = fake.state->sq[0].fetched;
	assert_int_equal(fake_create(&options, UMDEV_STATE_RESUME), 0);
	guest.q[0].tail = (guest.q[0].tail + 1) % guest.q[0].size;
	assert_int_equal(guest_wait(0).status >> 1, NVME_OK);
	fake_down();
}

static void test_shadow(void **state)
{
	up();
	guest_shadow();
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(guest_run(1, guest_command(NVME_IO_FLUSH, 1), NULL), NVME_OK);
	fake_crash();
	/* Rung while nobody was there. */
	guest.keep_doorbells = true;
	guest_post(1, guest_command(NVME_IO_FLUSH, 1));
	guest.keep_doorbells = false;
	memcpy(fake.memory + GUEST_SHADOW + 8, &guest.q[1].tail, 4);
	assert_int_equal(fake_create(&options, UMDEV_STATE_RESUME), 0);
	assert_int_equal(guest_wait(1).status >> 1, NVME_OK);
	fake_down();
}

/* The page of shared doorbells is found again, with what was rung while nobody was there. */
static void test_shared(void **state)
{
	const struct fake_options shared = {.size = 64u << 20, .doorbells = 1};

	fake_up(&shared);
	guest_enable(32);
	guest_create_pair(1, 64);
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(guest_run(1, guest_command(NVME_IO_FLUSH, 1), NULL), NVME_OK);
	fake_crash();
	guest_post(1, guest_command(NVME_IO_FLUSH, 1));
	assert_int_equal(fake_create(&shared, UMDEV_STATE_RESUME), 0);
	assert_int_equal(guest_wait(1).status >> 1, NVME_OK);
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(guest_run(1, guest_command(NVME_IO_FLUSH, 1), NULL), NVME_OK);
	fake_down();
}

/* A deletion that begins anew before the commands of its queue waits for them. */
static void test_replayed_deletion(void **state)
{
	uint16_t deletion, flush;

	up();
	deletion = guest_post(0, guest_command(NVME_ADMIN_ASYNC_EVENT, 0));
	fake.io.stopped = true;
	flush = guest_post(1, guest_command(NVME_IO_FLUSH, 1));
	fake_crash();
	assert_int_equal(fake.state->cmds[0].sqe.cid, deletion);
	assert_int_equal(fake.state->cmds[1].sqe.cid, flush);
	fake.state->cmds[0].sqe.opcode = NVME_ADMIN_DELETE_SQ;
	fake.state->cmds[0].sqe.cdw10 = 1;
	fake.io.stopped = false;
	assert_int_equal(fake_create(&options, UMDEV_STATE_RESUME), 0);
	assert_int_equal(guest_wait(1).cid, flush);
	assert_int_equal(guest_wait(0).cid, deletion);
	assert_int_equal(fake.state->sq[1].size, 0);
	fake_down();
}

/* A reset before the successor began to go on, and a death while the guest waited for CSTS.RDY to
 * fall. */
static void test_reset_first(void **state)
{
	for (uint32_t disabled = 0; disabled < 2; disabled++) {
		up();
		fake.io.stopped = true;
		for (uint32_t i = 0; i < 9; i++)
			guest_post(1, guest_transfer(NVME_IO_WRITE, i, 8, GUEST_BUFFER));
		fake_crash();
		if (disabled)
			fake.state->cc &= ~NVME_CC_EN;
		assert_int_equal(fake_create(&options, UMDEV_STATE_RESUME), 0);
		if (!disabled)
			assert_int_equal(fake.driver->reset(fake.mdev, UMDEV_RESET_LOST), 0);
		fake_settle(10);
		assert_int_equal(guest_read32(NVME_REG_CSTS), 0);
		assert_int_equal(fake.io.queued, 0);
		fake.io.stopped = false;
		guest_enable(32);
		guest_create_pair(1, 64);
		assert_int_equal(guest_run(1, guest_command(NVME_IO_FLUSH, 1), NULL), NVME_OK);
		fake_down();
	}
}

/* A doorbell that arrives before the successor's first timer is not lost. */
static void test_early_ring(void **state)
{
	up();
	fake_crash();
	assert_int_equal(fake_create(&options, UMDEV_STATE_RESUME), 0);
	guest_post(1, guest_command(NVME_IO_FLUSH, 1));
	assert_int_equal(guest_wait(1).status >> 1, NVME_OK);
	fake_down();
}

/* Values that a guest may leave where they mean nothing do not look like damage. */
static void test_odd_values(void **state)
{
	struct nvme_sqe sqe;

	up();
	sqe = guest_command(NVME_ADMIN_CREATE_CQ, 0);
	sqe.prp1 = GUEST_RINGS + 2 * 0x20000;
	sqe.cdw10 = 15u << 16 | 2;
	sqe.cdw11 = 0xffffu << 16 | 1; /* a vector, but no interrupts */
	assert_int_equal(guest_run(0, sqe, NULL), NVME_OK);
	crash();
	assert_int_equal(guest_run(1, guest_command(NVME_IO_FLUSH, 1), NULL), NVME_OK);
	guest_write32(NVME_REG_CC, 0);
	fake_settle(10);
	guest_write32(NVME_REG_CC, 15u << 7 | NVME_CC_EN);
	assert_int_equal(guest_read32(NVME_REG_CSTS), NVME_CSTS_CFS);
	crash();
	guest_write32(NVME_REG_CC, 15u << 7);
	crash();
	guest_enable(32);
	fake_down();
}

static void refuse(const char *why)
{
	assert_int_equal(fake_create(&options, UMDEV_STATE_RESUME), -EBADMSG);
	assert_non_null(strstr(fake.failed, why));
}

static void test_damaged(void **state)
{
	struct nvme_state *good = malloc(sizeof(*good));
	struct nvme_state *s;

	up();
	guest_shadow();
	fake_crash();
	s = fake.state;
	memcpy(good, s, sizeof(*good));
#define DAMAGE(what, why)                                                                          \
	do {                                                                                       \
		what;                                                                              \
		refuse(why);                                                                       \
		memcpy(s, good, sizeof(*s));                                                       \
	} while (0)
	DAMAGE(s->magic = 0, "no state");
	DAMAGE(s->cc = 5u << 7 | NVME_CC_EN, "registers");
	DAMAGE(s->csts = 0x100, "registers");
	DAMAGE(s->sq[0].size = 0, "admin queue");
	DAMAGE(s->features.queues = 64, "features");
	DAMAGE(s->features.queues = 64u << 16, "features");
	DAMAGE(s->pending_count = 9, "events");
	DAMAGE(s->event_slot_count = 5, "events");
	DAMAGE((s->pending_count = 1, s->pending[0].type = 40), "events");
	DAMAGE(s->shadow = 0, "shadow");
	DAMAGE(s->eventidx = 4, "shadow");
	DAMAGE(s->sq[1].size = 1025, "queues");
	DAMAGE(s->sq[1].size = 1, "queues");
	DAMAGE(s->sq[1].tail = 64, "queues");
	DAMAGE(s->sq[1].base = 4, "queues");
	DAMAGE(s->sq[1].cqid = 2, "queues");
	DAMAGE(s->sq[1].cqid = 0, "queues");
	DAMAGE(s->sq[1].cqid = 0xffff, "queues");
	DAMAGE(s->cq[1].size = 4097, "queues");
	DAMAGE(s->cq[1].head = 64, "queues");
	DAMAGE(s->cq[1].vector = 65, "queues");
	DAMAGE(s->slots_used = 1025, "commands");
	DAMAGE(s->suspect = s->slots_used + 1, "commands");
	DAMAGE((s->slots_used = 1024, s->cmds[1023].phase = 3), "commands");
	DAMAGE((s->slots_used = 6, s->cmds[5].phase = 1, s->cmds[5].sqid = 65), "commands");
	DAMAGE((s->slots_used = 6, s->cmds[5].phase = 1, s->cmds[5].sqid = 9), "commands");
#undef DAMAGE
	/* Counts and places may be anything that fits: noise there must not break us. */
	s->sq[1].fetched = ~0ull;
	s->cq[1].posted = ~0ull - 3;
	s->error_count = ~0ull;
	memset(s->errors, 0xff, sizeof(s->errors));
	assert_int_equal(fake_create(&options, UMDEV_STATE_RESUME), 0);
	fake_settle(200);
	free(good);
	fake_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_in_flight),
		cmocka_unit_test(test_half_completed),
		cmocka_unit_test(test_half_fetched),
		cmocka_unit_test(test_replayed_admin),
		cmocka_unit_test(test_shadow),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_reset_first),
		cmocka_unit_test(test_early_ring),
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_replayed_deletion),
		cmocka_unit_test(test_odd_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
