/* SPDX-License-Identifier: BSD-3-Clause */
/* State pages: laid out afresh, taken over, and refused when they are not what they should be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/page.h"
#include "util/fd.h"

static const struct page_layout page_layout = {
	.driver = "null",
	.uuid = "00000000-0000-4000-8000-000000000001",
	.driver_version = 3,
	.driver_size = 5000,
};

/* Opens a page on a duplicate of @fd, as another process would. */
static int page_reopen(int fd, const struct page_layout *layout, bool resume, struct page *ret_page)
{
	struct umdev_error err = {0};
	int copy = dup(fd);
	int r;

	memset(ret_page, 0, sizeof(*ret_page));
	r = page_open(ret_page, &copy, layout, resume, &err);
	if (r < 0) {
		assert_true(err.message[0] != '\0');
		assert_true(copy >= 0); /* not taken */
		close(copy);
	}
	return r;
}

static int page_memfd(void)
{
	int fd = fd_memfd("test", page_size_for(page_layout.driver_size));

	assert_true(fd >= 0);
	return fd;
}

static void test_fresh_page_is_zero_and_resumes(void **state)
{
	int fd = page_memfd();
	struct page page;
	struct page again;

	assert_int_equal(page_reopen(fd, &page_layout, false, &page), 0);
	assert_int_equal(page.header->generation, 1);
	for (unsigned i = 0; i < page_layout.driver_size; i++)
		assert_int_equal(((char *)page.driver)[i], 0);
	memset(page.driver, 0xa5, page_layout.driver_size);
	assert_int_equal(page_reopen(fd, &page_layout, true, &again), 0);
	assert_int_equal(again.header->generation, 2);
	assert_memory_equal(again.driver, page.driver, page_layout.driver_size);
	page_close(&again);
	assert_int_equal(page_reopen(fd, &page_layout, false, &again), 0);
	assert_int_equal(((char *)again.driver)[4999], 0);
	page_close(&again);
	page_close(&page);
	page_close(&page);
	close(fd);
}

static void test_other_layouts_are_refused(void **state)
{
	int fd = page_memfd();
	struct page_layout other;
	struct page page;

	assert_int_equal(page_reopen(fd, &page_layout, true, &page), -EINVAL); /* never laid out */
	assert_int_equal(page_reopen(fd, &page_layout, false, &page), 0);
	page_close(&page);
	other = page_layout;
	other.driver_version = 4;
	assert_int_equal(page_reopen(fd, &other, true, &page), -EINVAL);
	other = page_layout;
	other.driver = "nvme";
	assert_int_equal(page_reopen(fd, &other, true, &page), -EINVAL);
	other = page_layout;
	other.uuid = "00000000-0000-4000-8000-000000000002";
	assert_int_equal(page_reopen(fd, &other, true, &page), -EINVAL);
	other = page_layout;
	other.driver_size = 4096;
	assert_int_equal(page_reopen(fd, &other, true, &page), -EINVAL);
	close(fd);
}

static void test_damaged_header_is_refused(void **state)
{
	int fd = page_memfd();
	struct page page;

	/* What follows is a mark, not a part of the layout. */
	for (unsigned i = 0; i < offsetof(struct page_header, inside); i++) {
		if (i >= offsetof(struct page_header, generation) &&
		    i < offsetof(struct page_header, total_size))
			continue;
		assert_int_equal(page_reopen(fd, &page_layout, false, &page), 0);
		((uint8_t *)page.header)[i] ^= 0x40;
		page_close(&page);
		assert_int_equal(page_reopen(fd, &page_layout, true, &page), -EINVAL);
	}
	close(fd);
}

/* The mark of a process that died in the midst of it is told once; a renewed page is a fresh one.
 */
static void test_died_inside(void **state)
{
	int fd = page_memfd();
	struct page page;

	assert_int_equal(page_reopen(fd, &page_layout, false, &page), 0);
	assert_false(page.died_inside);
	page.header->inside = 2;
	((uint8_t *)page.driver)[0] = 7;
	page_close(&page);
	assert_int_equal(page_reopen(fd, &page_layout, true, &page), 0);
	assert_true(page.died_inside);
	assert_int_equal(((uint8_t *)page.driver)[0], 7);
	page_renew(&page);
	assert_int_equal(((uint8_t *)page.driver)[0], 0);
	page_close(&page);
	assert_int_equal(page_reopen(fd, &page_layout, true, &page), 0);
	assert_false(page.died_inside);
	page_close(&page);
	close(fd);
}

static void test_short_page_is_refused(void **state)
{
	int fd = fd_memfd("test", page_size_for(page_layout.driver_size) - 1);
	struct page page;

	assert_int_equal(page_reopen(fd, &page_layout, false, &page), -EINVAL);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fresh_page_is_zero_and_resumes),
		cmocka_unit_test(test_other_layouts_are_refused),
		cmocka_unit_test(test_damaged_header_is_refused),
		cmocka_unit_test(test_died_inside),
		cmocka_unit_test(test_short_page_is_refused),
	};

	return cmocka_run_group_tests_name("host page", tests, NULL, NULL);
}
