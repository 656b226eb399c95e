/* SPDX-License-Identifier: BSD-3-Clause */
/* Shadow doorbells and the shared page: nothing is lost, nothing polls while idle. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver.h"
#include "guest.h"

static uint64_t stat(uint32_t index)
{
	uint64_t values[NVME_STAT_COUNT];

	fake.driver->stats_get(fake.mdev, values);
	return values[index];
}

static void up(const struct fake_options *options)
{
	fake_up(options);
	guest_enable(32);
	guest_create_pair(1, 16);
}

static uint32_t *ei(uint32_t index)
{
	return (uint32_t *)(void *)(fake.memory + GUEST_EVENTIDX) + index;
}

static void idle(void)
{
	for (uint32_t i = 0; i < 1000 && fake.polling; i++) {
		fake_turn();
		fake.now_ns += 1000;
	}
	assert_false(fake.polling);
}

static void test_shadow_sleeps(void **state)
{
	uint64_t trapped;

	up(&(struct fake_options){.size = 16u << 20});
	guest_shadow();
	assert_int_equal(stat(NVME_STAT_SHADOW), 1);
	idle();
	/* Asleep: the event index stands at the tail, so the next ring traps. */
	for (uint32_t i = 0; i < 40; i++) {
		trapped = stat(NVME_STAT_TRAPPED);
		assert_int_equal(*ei(2), guest.q[1].tail);
		assert_int_equal(guest_run(1, guest_command(NVME_IO_FLUSH, 1), NULL), NVME_OK);
		idle();
		assert_true(stat(NVME_STAT_TRAPPED) > trapped);
	}
	fake_down();
}

static void test_shadow_polls(void **state)
{
	uint64_t trapped;

	up(&(struct fake_options){.size = 16u << 20, .poll_us = 100});
	guest_shadow();
	assert_int_equal(guest_run(1, guest_command(NVME_IO_FLUSH, 1), NULL), NVME_OK);
	assert_true(fake.polling);
	trapped = stat(NVME_STAT_TRAPPED);
	for (uint32_t i = 0; i < 300; i++)
		assert_int_equal(guest_run(1, guest_command(NVME_IO_FLUSH, 1), NULL), NVME_OK);
	/* Awake: rings are seen in memory. A ring that meets an old event index may trap, once a
	 * lap. */
	assert_true(stat(NVME_STAT_TRAPPED) - trapped <= 2 * (300 / 16 + 1));
	assert_int_equal(stat(NVME_STAT_POLL_MODE), 1);
	idle();
	assert_int_equal(stat(NVME_STAT_POLL_MODE), 0);
	assert_int_equal(*ei(2), guest.q[1].tail);
	fake_down();
}

/* What was rung between the creation of the queue and the command is in memory only. */
static void test_shadow_late(void **state)
{
	struct nvme_sqe sqe;

	up(&(struct fake_options){.size = 16u << 20});
	guest.keep_doorbells = true;
	guest_post(1, guest_command(NVME_IO_FLUSH, 1));
	guest.keep_doorbells = false;
	memset(fake.memory + GUEST_SHADOW, 0, 8192);
	*(uint32_t *)(void *)(fake.memory + GUEST_SHADOW + 8) = 1;
	sqe = guest_command(NVME_ADMIN_DOORBELL_BUF, 0);
	sqe.prp1 = GUEST_SHADOW;
	sqe.prp2 = GUEST_EVENTIDX;
	assert_int_equal(guest_run(0, sqe, NULL), NVME_OK);
	guest.shadow = true;
	assert_int_equal(guest_wait(1).status >> 1, NVME_OK);
	/* A register write that comes late does not turn the tail back. */
	assert_int_equal(guest_run(1, guest_command(NVME_IO_FLUSH, 1), NULL), NVME_OK);
	guest_write32(NVME_DOORBELLS + 8, 1);
	fake_settle(10);
	assert_int_equal(guest_run(1, guest_command(NVME_IO_FLUSH, 1), NULL), NVME_OK);
	fake_down();
}

static void test_shadow_bad(void **state)
{
	uint32_t *tail;

	up(&(struct fake_options){.size = 16u << 20});
	guest_shadow();
	idle();
	tail = (uint32_t *)(void *)(fake.memory + GUEST_SHADOW) + 2;
	*tail = 16; /* out of range */
	guest_write32(NVME_DOORBELLS + 8, 16);
	idle();
	assert_int_equal(fake.state->error_count, 1);
	guest_write32(NVME_DOORBELLS + 8, 16);
	idle();
	assert_int_equal(fake.state->error_count, 1); /* said once */
	*tail = 0;
	assert_int_equal(guest_run(1, guest_command(NVME_IO_FLUSH, 1), NULL), NVME_OK);
	fake_down();
}

/* A completion queue that fills up under shadow doorbells goes on when the head moves in memory. */
static void test_shadow_full(void **state)
{
	uint64_t count = 0;
	struct nvme_cqe cqe;

	up(&(struct fake_options){.size = 16u << 20});
	guest_create_pair(2, 4);
	guest_shadow();
	for (uint32_t lap = 0; lap < 50; lap++) {
		for (uint32_t i = 0; i < 3; i++)
			guest_post(2, guest_command(NVME_IO_FLUSH, 1));
		idle();
		for (uint32_t i = 0; i < 3; i++) {
			assert_true(guest_reap(2, &cqe));
			count++;
		}
	}
	assert_int_equal(count, 150);
	fake_down();
}

static void test_shadow_unmapped(void **state)
{
	up(&(struct fake_options){.size = 16u << 20});
	guest_shadow();
	idle();
	fake.remote_from = GUEST_SHADOW;
	fake.remote_to = GUEST_SHADOW + 4096;
	guest_write32(NVME_DOORBELLS + 8, 1);
	assert_int_equal(guest_read32(NVME_REG_CSTS) & NVME_CSTS_CFS, NVME_CSTS_CFS);
	fake.remote_to = 0;
	fake_down();
}

struct racer {
	uint32_t count;
	volatile uint32_t rung;
	volatile uint32_t traps;
};

/* The guest's processor: rings in memory, asks the event index, and leaves the register to the main
 * thread. */
static void *race(void *arg)
{
	struct racer *r = arg;
	uint32_t *shadow = (uint32_t *)(void *)(fake.memory + GUEST_SHADOW) + 2;

	for (uint32_t i = 1; i <= r->count; i++) {
		uint16_t old = (uint16_t)*shadow;
		uint16_t value = (uint16_t)(i % 16);
		uint16_t event;

		__atomic_store_n(shadow, (uint32_t)value, __ATOMIC_SEQ_CST);
		event = (uint16_t)__atomic_load_n(ei(2), __ATOMIC_SEQ_CST);
		if ((uint16_t)(value - event - 1) < (uint16_t)(value - old))
			__atomic_add_fetch(&r->traps, 1, __ATOMIC_SEQ_CST);
		__atomic_store_n(&r->rung, i, __ATOMIC_SEQ_CST);
		while (__atomic_load_n(&fake.state->sq[1].fetched, __ATOMIC_ACQUIRE) < i)
			usleep(0);
	}
	return NULL;
}

/* Ring and sleep at the same time, many times: if a ring were lost, the race would stop. */
static void test_shadow_race(void **state)
{
	struct racer r = {.count = 20000};
	struct nvme_cqe cqe;
	uint32_t traps = 0;
	uint32_t reaped = 0;
	pthread_t thread;

	up(&(struct fake_options){.size = 16u << 20});
	guest_shadow();
	idle();
	for (uint32_t i = 0; i < 16; i++) {
		struct nvme_sqe sqe = guest_command(NVME_IO_FLUSH, 1);

		memcpy(fake.memory + guest.q[1].sq + i * 64, &sqe, 64);
	}
	assert_int_equal(pthread_create(&thread, NULL, race, &r), 0);
	for (time_t end = time(NULL) + 50; reaped < r.count;) {
		uint32_t now = __atomic_load_n(&r.traps, __ATOMIC_SEQ_CST);

		if (traps != now) {
			traps = now;
			guest_write32(NVME_DOORBELLS + 8, 0);
		}
		if (fake.polling || fake.io.queued > 0)
			fake_turn();
		else
			sched_yield();
		while (guest_reap(1, &cqe))
			reaped++;
		assert_true(time(NULL) < end);
	}
	pthread_join(thread, NULL);
	assert_int_equal(fake.state->sq[1].fetched, r.count);
	fake_down();
}

static void test_shared(void **state)
{
	uint64_t polls;

	up(&(struct fake_options){.size = 16u << 20, .doorbells = 1, .poll_us = 50});
	assert_int_equal(fake.device.bars[0].mmap[0].offset, 0x1000);
	assert_int_equal(stat(NVME_STAT_TRAPPED), 0);
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(guest_run(1, guest_command(NVME_IO_FLUSH, 1), NULL), NVME_OK);
	assert_int_equal(stat(NVME_STAT_TRAPPED), 0);
	idle();
	/* Asleep but looking: at most every 50 us, in the end every 4 ms. */
	polls = stat(NVME_STAT_POLLS);
	for (uint32_t i = 0; i < 1000; i++) {
		fake.now_ns += 1000000;
		fake_turn();
	}
	polls = stat(NVME_STAT_POLLS) - polls;
	assert_in_range(polls, 200, 300);
	assert_int_equal(guest_run(1, guest_command(NVME_IO_FLUSH, 1), NULL), NVME_OK);
	/* A client that sends messages is understood as well. */
	fake_settle(1000);
	guest.shared = false;
	assert_int_equal(guest_run(1, guest_command(NVME_IO_FLUSH, 1), NULL), NVME_OK);
	guest.shared = true;
	/* Disabled: no timer, no polling. */
	guest_write32(NVME_REG_CC, 0);
	idle();
	polls = stat(NVME_STAT_POLLS);
	for (uint32_t i = 0; i < 100; i++) {
		fake.now_ns += 10000000;
		fake_turn();
	}
	assert_true(stat(NVME_STAT_POLLS) - polls <= 1);
	/* Stale words of the page mean nothing to new queues. */
	memset(fake.bar_page, 9, 4096);
	guest_enable(32);
	guest_create_pair(1, 16);
	assert_int_equal(guest_run(1, guest_command(NVME_IO_FLUSH, 1), NULL), NVME_OK);
	assert_int_equal(guest_run(0, guest_command(NVME_ADMIN_DOORBELL_BUF, 0), NULL),
			 NVME_BAD_OPCODE);
	fake_down();
}

/* The level of INTx falls once the guest took the completions, though only memory says so. */
static void test_shared_level(void **state)
{
	struct nvme_cqe cqe;

	fake_up(&(struct fake_options){.size = 16u << 20, .doorbells = 1, .interrupts = 2});
	fake.level_mode = true;
	guest_enable(32);
	guest_create_pair(1, 16);
	guest_post(1, guest_command(NVME_IO_FLUSH, 1));
	for (uint32_t i = 0; i < 100; i++) {
		fake_turn();
		fake.now_ns += 100000;
	}
	assert_true(fake.level);
	assert_true(guest_reap(1, &cqe));
	for (uint32_t i = 0; i < 100; i++) {
		fake_turn();
		fake.now_ns += 100000;
	}
	assert_false(fake.level);
	fake_down();
}

static void test_trapped_never_polls(void **state)
{
	up(&(struct fake_options){.size = 16u << 20});
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(guest_run(1, guest_command(NVME_IO_FLUSH, 1), NULL), NVME_OK);
	assert_int_equal(stat(NVME_STAT_POLLS), 0);
	assert_false(fake.polling);
	fake_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shadow_sleeps),	    cmocka_unit_test(test_shadow_polls),
		cmocka_unit_test(test_shadow_late),	    cmocka_unit_test(test_shadow_bad),
		cmocka_unit_test(test_shadow_full),	    cmocka_unit_test(test_shadow_unmapped),
		cmocka_unit_test(test_shadow_race),	    cmocka_unit_test(test_shared),
		cmocka_unit_test(test_trapped_never_polls), cmocka_unit_test(test_shared_level),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
