/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The verify model: it must accept what a right disk gives back and name what a wrong one does. The
 * disk is an array here, so that every way of being wrong can be had.
 */
#include "verify.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "random.h"

#define FIRST  1000u
#define BLOCKS 64u
#define SIZE   512u

static struct verify_model m;
/* One byte more in front, to have contents at odd addresses as PRP offsets give them. */
static uint8_t memory[BLOCKS * SIZE + 4];
static uint8_t *disk = memory + 4;
static uint64_t checked;
static struct verify_mismatch mismatch;
static char text[256];

static int set_up(void **state)
{
	memset(memory, 0, sizeof(memory));
	checked = 0;
	return verify_init(&m, FIRST, BLOCKS, SIZE, 0xabcd);
}

static int tear_down(void **state)
{
	verify_done(&m);
	return 0;
}

static uint32_t disk_write(uint64_t block, uint32_t count)
{
	uint32_t generation = verify_fill(&m, block, count, disk + block * SIZE);

	verify_wrote(&m, block, count, generation);
	return generation;
}

static uint32_t check(uint64_t block, uint32_t count)
{
	uint32_t bad = verify_check(&m, block, count, disk + block * SIZE, &checked, &mismatch);

	if (bad)
		verify_describe(&mismatch, text, sizeof(text));
	return bad;
}

static void test_right(void **state)
{
	assert_int_equal(check(0, BLOCKS), 0);
	assert_int_equal(checked, 0);
	assert_false(verify_known(&m, 0, 1));
	assert_int_equal(verify_next_known(&m, 0), BLOCKS);
	assert_int_equal(disk_write(3, 4), 1);
	assert_int_equal(disk_write(5, 1), 2);
	assert_true(verify_known(&m, 3, 4));
	assert_false(verify_known(&m, 3, 5));
	assert_int_equal(verify_next_known(&m, 0), 3);
	assert_int_equal(verify_next_known(&m, 6), 6);
	assert_int_equal(verify_next_known(&m, 7), BLOCKS);
	assert_int_equal(check(0, BLOCKS), 0);
	assert_int_equal(checked, 4);
}

/* Every single bit matters. */
static void test_damaged(void **state)
{
	disk_write(7, 1);
	for (unsigned bit = 0; bit < SIZE * 8; bit++) {
		disk[7 * SIZE + bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(check(0, BLOCKS), 1);
		assert_int_equal(mismatch.fault, VERIFY_FAULT_DAMAGED);
		assert_int_equal(mismatch.lba, FIRST + 7);
		disk[7 * SIZE + bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_int_equal(check(0, BLOCKS), 0);
}

static void test_stale(void **state)
{
	uint8_t old[SIZE];

	disk_write(7, 1);
	memcpy(old, disk + 7 * SIZE, SIZE);
	disk_write(7, 2);
	memcpy(disk + 7 * SIZE, old, SIZE);
	assert_int_equal(check(6, 3), 1);
	assert_int_equal(mismatch.fault, VERIFY_FAULT_STALE);
	assert_string_equal(text, "LBA 1007: expected generation 2, got generation 1");
}

static void test_misplaced(void **state)
{
	disk_write(7, 2);
	memcpy(disk + 7 * SIZE, disk + 8 * SIZE, SIZE);
	assert_int_equal(check(7, 2), 1);
	assert_int_equal(mismatch.fault, VERIFY_FAULT_MISPLACED);
	assert_string_equal(text, "LBA 1007: expected generation 1, got LBA 1008, generation 1");
}

static void test_other_run(void **state)
{
	m.run = 0xabcc;
	(void)verify_fill(&m, 7, 1, disk + 7 * SIZE);
	m.run = 0xabcd;
	m.generation = 0;
	verify_wrote(&m, 7, 1, 1);
	assert_int_equal(check(7, 1), 1);
	assert_int_equal(mismatch.fault, VERIFY_FAULT_OTHER_RUN);
	assert_string_equal(text, "LBA 1007: expected generation 1, got data of an earlier run");
}

static void test_zeros(void **state)
{
	disk_write(7, 3);
	memset(disk + 8 * SIZE, 0, SIZE);
	assert_int_equal(check(7, 3), 1);
	assert_int_equal(mismatch.fault, VERIFY_FAULT_ZEROS);
	assert_string_equal(text, "LBA 1008: expected generation 1, got zeros");
	verify_zeroed(&m, 8, 2);
	assert_int_equal(check(7, 3), 1);
	assert_int_equal(mismatch.fault, VERIFY_FAULT_NOT_ZEROS);
	assert_string_equal(text, "LBA 1009: expected zeros, got generation 1");
	memset(disk + 9 * SIZE, 0, SIZE);
	assert_int_equal(check(7, 3), 0);
	disk[9 * SIZE + SIZE - 1] = 1;
	assert_int_equal(check(7, 3), 1);
	assert_int_equal(mismatch.fault, VERIFY_FAULT_DAMAGED);
}

/* Deallocated blocks are zeros or what they were; the first look decides. */
static void test_deallocated(void **state)
{
	disk_write(10, 3);
	verify_zeroed(&m, 12, 1);
	memset(disk + 12 * SIZE, 0, SIZE);
	verify_deallocated(&m, 10, 5);
	assert_false(verify_known(&m, 13, 1));
	memset(disk + 11 * SIZE, 0, SIZE);
	assert_int_equal(check(10, 3), 0);
	assert_int_equal(checked, 3);
	/* Block 10 kept its data, so it may not become zeros any more; 11 the other way round. */
	memset(disk + 10 * SIZE, 0, SIZE);
	assert_int_equal(check(10, 1), 1);
	assert_int_equal(mismatch.fault, VERIFY_FAULT_ZEROS);
	verify_forget(&m, 10, 1);
	(void)verify_fill(&m, 11, 1, disk + 11 * SIZE);
	assert_int_equal(check(10, 2), 1);
	assert_int_equal(mismatch.fault, VERIFY_FAULT_NOT_ZEROS);
}

/* What is neither the old data nor zeros is wrong even after deallocation. */
static void test_deallocated_wrong(void **state)
{
	disk_write(10, 1);
	verify_deallocated(&m, 10, 1);
	disk[10 * SIZE + 77] ^= 4;
	assert_int_equal(check(10, 1), 1);
	assert_int_equal(mismatch.fault, VERIFY_FAULT_DAMAGED);
}

static void test_forgotten(void **state)
{
	disk_write(10, 2);
	memset(disk, 0x55, BLOCKS * SIZE);
	assert_int_equal(check(10, 2), 2);
	verify_forget(&m, 10, 1);
	assert_int_equal(check(10, 2), 1);
	assert_int_equal(mismatch.lba, FIRST + 11);
}

static void test_locks(void **state)
{
	assert_true(verify_lock(&m, 10, 4, true));
	assert_false(verify_lock(&m, 7, 4, true));
	assert_false(verify_lock(&m, 13, 2, false));
	assert_true(verify_lock(&m, 7, 3, true));
	assert_true(verify_lock(&m, 14, 2, false));
	assert_true(verify_lock(&m, 15, 2, false));
	assert_false(verify_lock(&m, 16, 2, true));
	verify_unlock(&m, 15, 2, false);
	assert_true(verify_lock(&m, 16, 2, true));
	assert_false(verify_lock(&m, 14, 1, true));
	verify_unlock(&m, 14, 2, false);
	verify_unlock(&m, 10, 4, true);
	assert_true(verify_lock(&m, 10, 6, true));
}

/* The number of readers has a limit, below which nothing is lost. */
static void test_reader_limit(void **state)
{
	unsigned readers = 0;

	while (verify_lock(&m, 5, 1, false))
		readers++;
	assert_int_equal(readers, 254);
	while (readers-- > 0)
		verify_unlock(&m, 5, 1, false);
	assert_true(verify_lock(&m, 5, 1, true));
}

/* Random commands on a right disk, then with one of them lost, which must be found. */
static void test_random(void **state)
{
	uint64_t rng = 3;

	for (unsigned i = 0; i < 20000; i++) {
		uint32_t count = 1 + (uint32_t)random_below(&rng, 8);
		uint64_t block = random_below(&rng, BLOCKS - count + 1);

		switch (random_below(&rng, 4)) {
		case 0:
			disk_write(block, count);
			break;
		case 1:
			memset(disk + block * SIZE, 0, count * SIZE);
			verify_zeroed(&m, block, count);
			break;
		case 2:
			if (random_next(&rng) & 1)
				memset(disk + block * SIZE, 0, count * SIZE);
			verify_deallocated(&m, block, count);
			break;
		default:
			assert_int_equal(check(block, count), 0);
			break;
		}
	}
	assert_int_equal(check(0, BLOCKS), 0);
	disk_write(20, 1);
	verify_wrote(&m, 20, 1, 1 + m.generation);
	assert_int_equal(check(0, BLOCKS), 1);
	assert_int_equal(mismatch.fault, VERIFY_FAULT_STALE);
}

static void test_limits(void **state)
{
	struct verify_model big;

	assert_int_equal(verify_init(&big, 0, VERIFY_BLOCKS_MAX + 1, SIZE, 1), -E2BIG);
	verify_done(&big);
}

static void test_file(void **state)
{
	char dir[] = "/tmp/test-verify-XXXXXX";
	char path[64];
	struct umdev_error err = {0};
	struct verify_model other;
	int fd;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/state", dir);
	assert_int_equal(verify_init(&other, FIRST, BLOCKS, SIZE, 1), 0);
	assert_int_equal(verify_load(&other, path, &err), 0);
	assert_int_equal(other.run, 1);
	disk_write(5, 3);
	verify_zeroed(&m, 9, 1);
	assert_int_equal(verify_save(&m, path, &err), 0);
	assert_int_equal(verify_load(&other, path, &err), 0);
	assert_int_equal(other.run, m.run);
	assert_int_equal(other.generation, m.generation);
	assert_memory_equal(other.states, m.states, BLOCKS * sizeof(*m.states));
	other.first_lba++;
	assert_int_equal(verify_load(&other, path, &err), -EINVAL);
	assert_non_null(strstr(err.message, "is the state of another region"));
	other.first_lba--;
	other.blocks--;
	assert_int_equal(verify_load(&other, path, &err), -EINVAL);
	assert_non_null(strstr(err.message, "is the state of a region of another size"));
	other.blocks++;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "\1", 1, 100), 1);
	assert_int_equal(verify_load(&other, path, &err), -EINVAL);
	assert_non_null(strstr(err.message, "is damaged"));
	assert_int_equal(pwrite(fd, "X", 1, 0), 1);
	assert_int_equal(verify_load(&other, path, &err), -EINVAL);
	assert_non_null(strstr(err.message, "is no state of umdev-perf"));
	close(fd);
	verify_done(&other);
	unlink(path);
	rmdir(dir);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_right),	 TEST(test_damaged),
		TEST(test_stale),	 TEST(test_misplaced),
		TEST(test_other_run),	 TEST(test_zeros),
		TEST(test_deallocated),	 TEST(test_deallocated_wrong),
		TEST(test_forgotten),	 TEST(test_locks),
		TEST(test_reader_limit), TEST(test_random),
		TEST(test_limits),	 TEST(test_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
