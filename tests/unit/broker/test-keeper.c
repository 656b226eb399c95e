/* SPDX-License-Identifier: BSD-3-Clause */
/* What outlives a host: slots at their limits, no descriptor lost, a page that cannot change size.
 */
#include "broker/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "link/protocol.h"
#include "util/fd.h"

static int new_fd(void)
{
	int fd = fd_memfd("test", 1);

	assert_true(fd >= 0);
	return fd;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void test_slots(void **state)
{
	struct keeper k;
	int a = new_fd();
	int b = new_fd();
	int kept_a = a;
	int kept_b = b;

	(void)state;
	keeper_init(&k);
	assert_int_equal(keeper_keep(&k, LINK_SLOT_COUNT, &a, 4), -EINVAL);
	assert_int_equal(a, kept_a);
	assert_int_equal(keeper_keep(&k, LINK_SLOT_COUNT - 1, &a, 4), 0);
	assert_int_equal(a, -1);
	assert_int_equal(keeper_keep(&k, 0, &a, 4), -EINVAL);
	assert_int_equal(keeper_get(&k, LINK_SLOT_COUNT - 1), kept_a);
	/* A slot that is taken is replaced. */
	assert_int_equal(keeper_keep(&k, LINK_SLOT_COUNT - 1, &b, 4), 0);
	assert_false(is_open(kept_a));
	assert_int_equal(keeper_get(&k, LINK_SLOT_COUNT - 1), kept_b);
	keeper_drop(&k, 7);
	keeper_drop(&k, LINK_SLOT_COUNT - 1);
	assert_false(is_open(kept_b));
	assert_int_equal(k.count, 0);
	assert_int_equal(keeper_get(&k, LINK_SLOT_COUNT - 1), -1);
	keeper_done(&k);
}

static void test_limit(void **state)
{
	struct keeper k;
	int fds[5];

	(void)state;
	keeper_init(&k);
	for (int i = 0; i < 5; i++) {
		int fd = new_fd();

		fds[i] = fd;
		/* From the top down: the order of slots is not that of their coming. */
		assert_int_equal(keeper_keep(&k, (uint32_t)(100 - i), &fd, 4), i < 4 ? 0 : -EDQUOT);
		assert_int_equal(fd, i < 4 ? -1 : fds[4]);
	}
	/* Replacing needs no room. */
	assert_int_equal(keeper_keep(&k, 100, &fds[4], 4), 0);
	for (uint32_t slot = 97; slot <= 100; slot++)
		assert_true(keeper_get(&k, slot) >= 0);
	keeper_done(&k);
	for (int i = 0; i < 4; i++)
		assert_false(is_open(fds[i]));
}

/* Any order of keeping and dropping agrees with a plain table. */
static void test_random(void **state)
{
	struct keeper k;
	int shadow[64];
	unsigned seed = 12345;

	(void)state;
	keeper_init(&k);
	for (int i = 0; i < 64; i++)
		shadow[i] = -1;
	for (int step = 0; step < 5000; step++) {
		uint32_t slot = (uint32_t)rand_r(&seed) % 64;

		if (rand_r(&seed) % 2) {
			int fd = new_fd();

			shadow[slot] = fd;
			assert_int_equal(keeper_keep(&k, slot, &fd, 64), 0);
		} else {
			keeper_drop(&k, slot);
			assert_true(shadow[slot] < 0 || !is_open(shadow[slot]));
			shadow[slot] = -1;
		}
		for (uint32_t i = 0; i < 64; i++)
			assert_int_equal(keeper_get(&k, i), shadow[i]);
	}
	keeper_done(&k);
}

static void test_page(void **state)
{
	struct keeper k;
	struct stat st;
	char byte = 1;
	int old;

	(void)state;
	keeper_init(&k);
	assert_int_equal(keeper_page_new(&k, 0, 1), -EINVAL);
	assert_int_equal(keeper_page_new(&k, KEEPER_PAGE_MAX + 1, 1), -EFBIG);
	assert_int_equal(k.page_fd, -1);
	assert_int_equal(keeper_page_new(&k, KEEPER_PAGE_MAX, 1), 0);
	assert_int_equal(keeper_page_new(&k, 8192, 1), 0);
	assert_int_equal(fstat(k.page_fd, &st), 0);
	assert_int_equal(st.st_size, 8192);
	assert_int_equal(ftruncate(k.page_fd, 4096), -1);
	assert_int_equal(ftruncate(k.page_fd, 16384), -1);
	assert_int_equal(pwrite(k.page_fd, &byte, 1, 8191), 1);
	/* A new one is empty, and the old one closed. */
	old = dup(k.page_fd);
	assert_int_equal(keeper_page_new(&k, 8192, 1), 0);
	assert_int_equal(pread(k.page_fd, &byte, 1, 8191), 1);
	assert_int_equal(byte, 0);
	close(old);
	keeper_done(&k);
	keeper_done(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
