/* SPDX-License-Identifier: BSD-3-Clause */
/* Rings and doorbells of a queue pair, with a device that the test plays in the same memory. */
#include "queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define ENTRIES 4u

static struct nvme_command sq[ENTRIES];
static struct nvme_completion cq[ENTRIES];
static uint32_t registers[2];
static uint32_t shadow[2];
static uint32_t event[2];
static struct nvme_queue q;

static int set_up(void **state)
{
	memset(sq, 0, sizeof(sq));
	memset(cq, 0, sizeof(cq));
	memset(registers, 0, sizeof(registers));
	memset(shadow, 0, sizeof(shadow));
	memset(event, 0, sizeof(event));
	q = (struct nvme_queue){
		.sq = sq,
		.cq = cq,
		.sq_bell = {.mapped = &registers[0]},
		.cq_bell = {.mapped = &registers[1]},
		.sq_entries = ENTRIES,
		.cq_entries = ENTRIES,
		.phase = 1,
		.id = 1,
	};
	return 0;
}

static void use_shadow(void)
{
	q.sq_bell.shadow = &shadow[0];
	q.sq_bell.event = &event[0];
	q.cq_bell.shadow = &shadow[1];
	q.cq_bell.event = &event[1];
}

static void test_phase(void **state)
{
	struct nvme_completion done;
	uint32_t at = 0;
	uint16_t phase = 1;

	for (uint16_t n = 0; n < 3 * ENTRIES; n++) {
		assert_false(nvme_queue_pop(&q, &done));
		cq[at] =
			(struct nvme_completion){.cid = n, .status = (uint16_t)(0x81 << 1 | phase)};
		assert_true(nvme_queue_pop(&q, &done));
		assert_int_equal(done.cid, n);
		assert_int_equal(done.status >> 1, 0x81);
		if (++at == ENTRIES) {
			at = 0;
			phase ^= 1;
		}
	}
}

static void test_ring_wraps(void **state)
{
	for (uint32_t n = 1; n <= 3 * ENTRIES; n++) {
		nvme_queue_slot(&q)->cid = (uint16_t)n;
		assert_int_equal(sq[(n - 1) % ENTRIES].cid, n);
		nvme_queue_push(&q);
		assert_int_equal(nvme_queue_ring(&q), 0);
		assert_int_equal(registers[0], n % ENTRIES);
		assert_int_equal(q.rings, n);
	}
	assert_int_equal(nvme_queue_ring(&q), 0);
	assert_int_equal(q.rings, 3 * ENTRIES);
	assert_int_equal(registers[1], 0);
}

/* The register is written once the step passes what the device waits for, and not else. */
static void test_shadow(void **state)
{
	use_shadow();
	registers[0] = 99;
	event[0] = 2;
	nvme_queue_push(&q);
	nvme_queue_push(&q);
	assert_int_equal(nvme_queue_ring(&q), 0);
	assert_int_equal(shadow[0], 2);
	assert_int_equal(registers[0], 99);
	nvme_queue_push(&q);
	assert_int_equal(nvme_queue_ring(&q), 0);
	assert_int_equal(shadow[0], 3);
	assert_int_equal(registers[0], 3);
	assert_int_equal(q.rings, 1);
}

static void test_shadow_of_head(void **state)
{
	struct nvme_completion done;

	use_shadow();
	registers[1] = 99;
	event[1] = 1;
	cq[0].status = 1;
	assert_true(nvme_queue_pop(&q, &done));
	assert_int_equal(nvme_queue_ring(&q), 0);
	assert_int_equal(shadow[1], 1);
	assert_int_equal(registers[1], 99);
	cq[1].status = 1;
	assert_true(nvme_queue_pop(&q, &done));
	assert_int_equal(nvme_queue_ring(&q), 0);
	assert_int_equal(registers[1], 2);
}

static void test_wanted(void **state)
{
	assert_true(nvme_doorbell_wanted(0, 1, 0));
	assert_false(nvme_doorbell_wanted(1, 1, 0));
	assert_true(nvme_doorbell_wanted(4, 5, 0));
	assert_false(nvme_doorbell_wanted(5, 5, 0));
	assert_false(nvme_doorbell_wanted(0, 5, 1));
	/* Around the wrap of the counters. */
	assert_true(nvme_doorbell_wanted(0xffff, 1, 0xfffe));
	assert_true(nvme_doorbell_wanted(0, 1, 0xfffe));
	assert_false(nvme_doorbell_wanted(1, 1, 0xfffe));
	assert_false(nvme_doorbell_wanted(0xfffd, 1, 0xfffe));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_phase, set_up),
		cmocka_unit_test_setup(test_ring_wraps, set_up),
		cmocka_unit_test_setup(test_shadow, set_up),
		cmocka_unit_test_setup(test_shadow_of_head, set_up),
		cmocka_unit_test(test_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
