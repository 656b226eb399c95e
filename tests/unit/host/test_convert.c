/* SPDX-License-Identifier: BSD-3-Clause */
/* State pages of an older version of the driver's state: made into today's, or refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/convert.h"
#include "util/fd.h"
#include "vfio/page.h"
#include "vfio/wire.h"

#define UUID	 "00000000-0000-4000-8000-000000000001"
#define OLD_SIZE 5000u
#define NEW_SIZE 9000u

struct bench {
	struct umdev_parent parent;
	int from;
	struct page page; /* on it */
	int to;
};

static unsigned device_calls;

/* The new state is a byte more, and does not begin with a 7. */
static int device_convert(const struct umdev_old_state *old)
{
	const uint8_t *state = old->state;
	uint8_t *to = old->to;

	device_calls++;
	assert_int_equal(old->version, 3);
	assert_int_equal(old->to_size, NEW_SIZE);
	to[0] = 0xee;
	if (old->state_size != OLD_SIZE || state[0] == 7)
		return -EBADMSG;
	memcpy(to + 1, state, old->state_size);
	return 0;
}

static int bench_setup(void **state)
{
	static const struct page_layout layout = {
		.driver = "test", .uuid = UUID, .driver_version = 3, .driver_size = OLD_SIZE};
	struct bench *b = calloc(1, sizeof(*b));
	struct umdev_error err = {0};
	int fd;

	b->parent.driver.table.name = "test";
	b->parent.driver.table.state_version = 4;
	b->parent.driver.table.state_from = 3;
	b->parent.driver.table.state_size = NEW_SIZE;
	b->parent.driver.table.convert = device_convert;
	b->from = fd_memfd("from", page_size_for(OLD_SIZE));
	b->to = fd_memfd("to", page_size_for(NEW_SIZE));
	fd = dup(b->from);
	assert_int_equal(page_open(&b->page, &fd, &layout, false, &err), 0);
	for (size_t i = 0; i < OLD_SIZE; i++)
		((uint8_t *)b->page.driver)[i] = (uint8_t)(i * 3 + 1);
	memset((uint8_t *)b->page.session + vfio_page_size() - 100, 0x5a, 100);
	memset(b->page.pci, 0xa5, 300);
	device_calls = 0;
	*state = b;
	return 0;
}

static int bench_teardown(void **state)
{
	struct bench *b = *state;

	page_close(&b->page);
	close(b->from);
	close(b->to);
	free(b);
	return 0;
}

/* Must be refused with @says, with nothing made and the old page as it was. */
static void bench_refuse(struct bench *b, bool doubt, const char *says)
{
	size_t size = page_size_for(OLD_SIZE);
	umdev_autofree uint8_t *before = malloc(size);
	struct page_header header;
	struct umdev_error err = {0};

	memcpy(before, b->page.header, size);
	assert_true(host_convert(&b->parent, UUID, b->from, b->to, doubt, &err) < 0);
	if (!strstr(err.message, says))
		fail_msg("\"%s\" does not say \"%s\"", err.message, says);
	assert_memory_equal(before, b->page.header, size);
	assert_int_equal(pread(b->to, &header, sizeof(header), 0), sizeof(header));
	assert_int_equal(header.magic, 0);
}

static void test_converted(void **state)
{
	struct bench *b = *state;
	struct page_layout layout = {
		.driver = "test", .uuid = UUID, .driver_version = 4, .driver_size = NEW_SIZE};
	struct umdev_error err = {0};
	struct page page = {0};
	struct stat before;
	struct stat after;
	int fd = dup(b->to);

	b->page.header->kept = 77; /* what was kept is kept of the new page */
	assert_int_equal(host_convert(&b->parent, UUID, b->from, b->to, false, &err), 0);
	assert_int_equal(b->page.header->driver_version, 3);
	assert_int_equal(b->page.header->inside, 0);
	assert_int_equal(fstat(b->from, &before), 0);
	assert_int_equal(fstat(b->to, &after), 0);
	/* The session's part has megabytes that nobody touched. */
	assert_in_range(after.st_blocks, 1, before.st_blocks + 2 * NEW_SIZE / 512 + 16);
	assert_int_equal(page_open(&page, &fd, &layout, true, &err), 0);
	assert_int_equal(page.header->generation, b->page.header->generation + 1);
	assert_int_equal(page.header->kept, 77);
	assert_memory_equal(page.session, b->page.session, vfio_page_size());
	assert_memory_equal(page.pci, b->page.pci, 300);
	assert_int_equal(((uint8_t *)page.driver)[0], 0xee);
	assert_memory_equal((uint8_t *)page.driver + 1, b->page.driver, OLD_SIZE);
	page_close(&page);
}

static void test_refused(void **state)
{
	struct bench *b = *state;
	struct umdev_driver *t = &b->parent.driver.table;

	*(uint8_t *)b->page.driver = 7;
	bench_refuse(b, false, "its state of version 3 is not converted to version 4");
	*(uint8_t *)b->page.driver = 1;
	t->state_version = 5;
	t->state_from = 4;
	bench_refuse(b, false, "has version 3 of the state of driver test, which has version 5");
	t->state_version = 3;
	t->convert = NULL;
	bench_refuse(b, false, "cannot convert that");
	assert_int_equal(device_calls, 1);
}

/* Anything but the driver's part is of the version of today, or refused. */
static void test_other_headers(void **state)
{
	struct bench *b = *state;
	struct page_header *h = b->page.header;
	struct page_header good = *h;
	static const size_t own[] = {offsetof(struct page_header, generation),
				     offsetof(struct page_header, inside),
				     offsetof(struct page_header, kept)};

	for (size_t i = 0; i < sizeof(*h); i++) {
		size_t word = i / 8 * 8;

		if (word == own[0] || word == own[1] || word == own[2])
			continue;
		((uint8_t *)h)[i] ^= 0x81;
		bench_refuse(b, false, "");
		*h = good;
	}
	/* A size that the old driver did not have is its successor's to refuse. */
	h->driver_size = OLD_SIZE - 1;
	bench_refuse(b, false, "not converted");
	h->driver_size = DRIVER_STATE_MAX + 1;
	bench_refuse(b, false, "no such page");
	*h = good;
	h->version++;
	bench_refuse(b, false, "of another umdev, and only the part of the driver is converted");
}

static void test_doubt(void **state)
{
	struct bench *b = *state;
	struct umdev_error err = {0};

	b->page.header->inside = 1;
	bench_refuse(b, true, "hosts died one after another");
	assert_int_equal(host_convert(&b->parent, UUID, b->from, b->to, false, &err), 0);
	b->page.header->inside = 0;
	assert_int_equal(host_convert(&b->parent, UUID, b->from, b->to, true, &err), 0);
}

/* What a load would have filled is not looked at. */
static void test_loading(void **state)
{
	struct bench *b = *state;
	struct umdev_error err = {0};
	uint8_t first = 0xff;

	vfio_page_await(b->page.session);
	b->page.session->migration.state = WIRE_STATE_RESUMING;
	assert_int_equal(host_convert(&b->parent, UUID, b->from, b->to, false, &err), 0);
	assert_int_equal(device_calls, 0);
	assert_int_equal(pread(b->to, &first, 1, (off_t)b->page.header->driver_offset), 1);
	assert_int_equal(first, 0);
}

static void test_short_files(void **state)
{
	struct bench *b = *state;
	struct umdev_error err = {0};
	int small = fd_memfd("small", 8192);

	assert_true(host_convert(&b->parent, UUID, small, b->to, false, &err) < 0);
	assert_true(host_convert(&b->parent, UUID, b->from, small, false, &err) < 0);
	assert_true(host_convert(&b->parent, UUID, b->from, -1, false, &err) < 0);
	close(small);
	assert_int_equal(device_calls, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)
	static const struct CMUnitTest tests[] = {
		T(test_converted), T(test_refused), T(test_other_headers),
		T(test_doubt),	   T(test_loading), T(test_short_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
