/* SPDX-License-Identifier: BSD-3-Clause */
/* Which hosts may go on from the state pages that are there, judged by what they say in their
 * hello. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "broker/convert.h"

/* A parent whose host laid out pages of version 2, and converts version 1; with one mdev. */
struct bench {
	struct broker broker;
	struct parent parent;
	struct mdev mdev;
};

static int bench_setup(void **state)
{
	static struct bench b;

	memset(&b, 0, sizeof(b));
	list_init(&b.broker.mdevs);
	b.parent.broker = &b.broker;
	snprintf(b.parent.driver, sizeof(b.parent.driver), "test");
	b.parent.state_version = 2;
	b.parent.state_from = 1;
	b.parent.page_size = 8192;
	b.parent.hello = json_pack("{s:s}", "page_layout", "1.3.1");
	b.mdev.parent = &b.parent;
	b.mdev.state = MDEV_ACTIVE;
	keeper_init(&b.mdev.keeper);
	assert_int_equal(keeper_page_new(&b.mdev.keeper, 8192, 2), 0);
	list_add_tail(&b.broker.mdevs, &b.mdev.link);
	*state = &b;
	return 0;
}

static int bench_teardown(void **state)
{
	struct bench *b = *state;

	keeper_done(&b->mdev.keeper);
	json_decref(b->parent.hello);
	return 0;
}

/* What becomes of an upgrade to a host that says so; from -1: it converts nothing. */
static int bench_check(const struct bench *b, json_int_t version, json_int_t from, json_int_t size,
		       const char *layout, struct umdev_error *err)
{
	json_t *hello = json_pack("{s:{s:I,s:I},s:s*}", "driver", "state_version", version,
				  "page_size", size, "page_layout", layout);
	int r;

	if (from >= 0)
		json_object_set_new(json_object_get(hello, "driver"), "state_from",
				    json_integer(from));
	memset(err, 0, sizeof(*err));
	r = convert_check_hello(&b->parent, hello, err);
	json_decref(hello);
	return r;
}

static void test_versions(void **state)
{
	struct bench *b = *state;
	struct umdev_error err;

	assert_int_equal(bench_check(b, 2, -1, 8192, "1.3.1", &err), 0);
	assert_int_equal(bench_check(b, 2, -1, 8192, NULL, &err), 0);
	assert_int_equal(bench_check(b, 3, 2, 12288, "1.3.1", &err), 0);
	assert_int_equal(bench_check(b, 9, 0, 4096, "1.3.1", &err), 0);
	assert_int_equal(bench_check(b, 3, -1, 8192, "1.3.1", &err), -EINVAL);
	assert_non_null(strstr(err.message, "as version 3 in 8192 bytes, the running one as "
					    "version 2 in 8192, and cannot convert it: stop"));
	assert_int_equal(bench_check(b, 5, 3, 8192, "1.3.1", &err), -EINVAL);
	assert_non_null(strstr(err.message, "but from version 3 on: upgrade to a driver in "
					    "between first, or stop the mdevs"));
	/* Neither down, nor to another size of the same version. */
	assert_int_equal(bench_check(b, 1, 0, 8192, "1.3.1", &err), -EINVAL);
	assert_int_equal(bench_check(b, 2, 1, 12288, "1.3.1", &err), -EINVAL);
}

/* What is umdev's own in a page is never converted. */
static void test_layout(void **state)
{
	struct bench *b = *state;
	struct umdev_error err;

	assert_int_equal(bench_check(b, 2, -1, 8192, "1.4.1", &err), -EINVAL);
	assert_non_null(strstr(err.message, "lays out state pages as version 1.4.1, the running "
					    "one as version 1.3.1, and only the part of the "
					    "driver is ever converted"));
	assert_int_equal(bench_check(b, 3, 1, 8192, "1.4.1", &err), -EINVAL);
}

static void test_malformed(void **state)
{
	static const struct {
		json_int_t version, from, size;
		int r;
	} rows[] = {
		{-1, -1, 8192, -EIO},
		{1ll << 32, 1, 8192, -EIO},
		{3, 2, 0, -EIO},
		{3, 2, -4096, -EIO},
		/* That is no promise to convert. */
		{3, 3, 8192, -EINVAL},
		{3, 1ll << 40, 8192, -EINVAL},
	};
	struct umdev_error err;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int r = bench_check(*state, rows[i].version, rows[i].from, rows[i].size, "1.3.1",
				    &err);

		assert_int_equal(r, rows[i].r);
		assert_true(err.message[0] != '\0');
	}
}

/* Where nothing has a page, there is nothing to convert. */
static void test_nothing_there(void **state)
{
	struct bench *b = *state;
	struct umdev_error err;

	b->mdev.state = MDEV_FAILED; /* begins anew in any case */
	assert_int_equal(bench_check(b, 3, -1, 12288, "9.9.9", &err), 0);
	b->mdev.state = MDEV_ACTIVE;
	assert_int_equal(bench_check(b, 3, -1, 12288, "9.9.9", &err), -EINVAL);
	list_del(&b->mdev.link);
	assert_int_equal(bench_check(b, 3, -1, 12288, "9.9.9", &err), 0);
}

/* A page that was left before: as after the death of a host. */
static void test_one_page(void **state)
{
	struct bench *b = *state;
	struct umdev_error err = {0};
	struct keeper *k = &b->mdev.keeper;

	assert_false(convert_needed(&b->mdev));
	assert_int_equal(keeper_page_new(k, 8192, 1), 0);
	assert_true(convert_needed(&b->mdev));
	assert_int_equal(convert_check(&b->mdev, &err), 0);
	assert_int_equal(keeper_page_new(k, 8192, 0), 0);
	assert_int_equal(convert_check(&b->mdev, &err), -EINVAL);
	/* The next page takes the place of the old one at once, or not at all. */
	assert_int_equal(keeper_page_next(k, 12288), 0);
	assert_int_equal(k->page_size, 8192);
	convert_forget(&b->parent);
	keeper_page_swap(k, 2);
	assert_int_equal(k->page_size, 8192);
	assert_int_equal(k->state_version, 0);
	assert_int_equal(keeper_page_next(k, 12288), 0);
	keeper_page_swap(k, 2);
	assert_int_equal(k->page_size, 12288);
	assert_int_equal(k->state_version, 2);
	assert_int_equal(k->next_page_fd, -1);
	assert_int_equal(keeper_page_next(k, KEEPER_PAGE_MAX + 1), -EFBIG);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)
	static const struct CMUnitTest tests[] = {
		T(test_versions),      T(test_layout),	 T(test_malformed),
		T(test_nothing_there), T(test_one_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
