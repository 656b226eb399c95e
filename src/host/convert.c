/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See convert.h. The header is written last: without it a page is none. Of the old page only the
 * mark that a process is in the midst of it changes.
 */
#include "host/convert.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pci/pci-page.h"
#include "vfio/page.h"

#define CONVERT_CHUNK 65536u
#define CONVERT_BLOCK 4096u

/* What is under way; freed by convert_done(). */
struct convert {
	struct page_header *from; /* all before the driver's part */
	uint64_t from_size;
	uint8_t *old; /* a copy of the old driver's part */
	uint8_t *new; /* the new one */
};

void host_page_layout(char *ret_text, size_t size)
{
	snprintf(ret_text, size, "%u.%u.%" PRIu32, PAGE_VERSION, VFIO_PAGE_VERSION,
		 pci_page_version());
}

static void convert_done(struct convert *c)
{
	if (c->from)
		munmap(c->from, c->from_size);
	free(c->old);
	free(c->new);
}

static int convert_check_size(int fd, uint64_t size, struct umdev_error *err)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && st.st_size >= 0 && (uint64_t)st.st_size >= size)
		return 0;
	return error_set(err, ERROR_INVALID, "a state page has less than the %llu bytes needed",
			 (unsigned long long)size);
}

/* Maps the first @size bytes, or returns NULL. */
static void *convert_map(int fd, uint64_t size, struct umdev_error *err)
{
	void *map;

	if (convert_check_size(fd, size, err) < 0)
		return NULL;
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map != MAP_FAILED)
		return map;
	error_set(err, ERROR_NO_MEMORY, "state page cannot be mapped: %s", strerror(errno));
	return NULL;
}

/* Whether @got, of the page of @uuid, differs from what its driver would lay out today in the
 * driver's part at most, and that can be converted. */
static int convert_check(const struct umdev_parent *parent, const char *uuid,
			 const struct page_header *got, struct umdev_error *err)
{
	const struct umdev_driver *table = &parent->driver.table;
	struct page_layout was = {
		.driver = table->name,
		.uuid = uuid,
		.driver_version = got->driver_version,
		.driver_size = got->driver_size,
	};
	struct page_header want;

	if (got->driver_size > DRIVER_STATE_MAX)
		return error_set(err, ERROR_INVALID, "state page of %s is no such page", uuid);
	page_expect(&was, &want);
	want.generation = got->generation;
	want.inside = got->inside;
	want.kept = got->kept;
	if (memcmp(got, &want, sizeof(want)) != 0)
		return error_set(err, ERROR_INVALID,
				 "state page of %s is of another umdev, and only the part of the "
				 "driver is converted",
				 uuid);
	if (!driver_converts(&parent->driver, got->driver_version))
		return error_set(err, ERROR_INVALID,
				 "state page of %s has version %" PRIu32
				 " of the state of driver %s, which has version %" PRIu32
				 " and cannot convert that",
				 uuid, got->driver_version, table->name, table->state_version);
	return 0;
}

/*
 * What was never touched costs no memory, here as there: holes are skipped. Moves *@at to the next
 * byte that is in none. Returns 1 and where the next hole is, 0 when there is none before @end.
 */
static int convert_seek(int fd, off_t *at, off_t end, off_t *ret_stop)
{
	off_t data = *at < end ? lseek(fd, *at, SEEK_DATA) : end;
	off_t stop;

	if (data < 0)
		return errno == ENXIO ? 0 : -errno;
	if (data >= end)
		return 0;
	stop = lseek(fd, data, SEEK_HOLE);
	if (stop < 0)
		return -errno;
	*at = data;
	*ret_stop = MIN(stop, end);
	return 1;
}

/* Copies bytes @at to @end from one file to the other. */
static int convert_copy(int from_fd, int to_fd, off_t at, off_t end)
{
	uint8_t buf[CONVERT_CHUNK];
	off_t stop;
	int r;

	while ((r = convert_seek(from_fd, &at, end, &stop)) > 0) {
		while (at < stop) {
			size_t n = MIN((size_t)(stop - at), sizeof(buf));

			if (pread(from_fd, buf, n, at) != (ssize_t)n ||
			    pwrite(to_fd, buf, n, at) != (ssize_t)n)
				return -EIO;
			at += (off_t)n;
		}
	}
	return r;
}

/* Reads bytes @begin to @end into zeros. */
static int convert_read(int fd, uint8_t *into, off_t begin, off_t end)
{
	off_t at = begin;
	off_t stop;
	int r;

	while ((r = convert_seek(fd, &at, end, &stop)) > 0) {
		if (pread(fd, into + (at - begin), (size_t)(stop - at), at) != (ssize_t)(stop - at))
			return -EIO;
		at = stop;
	}
	return r;
}

/* Writes @len bytes to zeros. */
static int convert_write(int fd, const uint8_t *bytes, size_t len, off_t at)
{
	static const uint8_t zeros[CONVERT_BLOCK];

	for (size_t done = 0; done < len; done += CONVERT_BLOCK) {
		size_t n = MIN(len - done, sizeof(zeros));

		if (memcmp(bytes + done, zeros, n) != 0 &&
		    pwrite(fd, bytes + done, n, at + (off_t)done) != (ssize_t)n)
			return -EIO;
	}
	return 0;
}

/* The driver's part, into @c->new. */
static int convert_state(struct umdev_parent *parent, struct convert *c, int from_fd,
			 const struct page_header *got, struct umdev_error *err)
{
	off_t begin = (off_t)got->driver_offset;
	int r;

	c->old = calloc(1, got->driver_size + 1);
	c->new = calloc(1, parent->driver.table.state_size + 1);
	if (!c->old || !c->new)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	/* Of a load that was under way nothing is used. */
	if (vfio_page_loading((const void *)((const char *)c->from + got->session_offset)))
		return 0;
	r = convert_read(from_fd, c->old, begin, begin + (off_t)got->driver_size);
	if (r < 0)
		return error_set(err, ERROR_INTERNAL, "state page cannot be read: %s",
				 strerror(-r));
	return driver_convert(&parent->driver, got->driver_version, c->old, got->driver_size,
			      c->new, err);
}

/* The whole page but its header. */
static int convert_parts(struct umdev_parent *parent, struct convert *c, int from_fd, int to_fd,
			 const struct page_header *got, struct umdev_error *err)
{
	int r = convert_state(parent, c, from_fd, got, err);

	if (r < 0)
		return r;
	r = convert_copy(from_fd, to_fd, (off_t)got->session_offset, (off_t)got->driver_offset);
	if (r == 0)
		r = convert_write(to_fd, c->new, parent->driver.table.state_size,
				  (off_t)got->driver_offset);
	if (r < 0)
		return error_set(err, ERROR_INTERNAL, "state page cannot be written: %s",
				 strerror(-r));
	return 0;
}

int host_convert(struct umdev_parent *parent, const char *uuid, int from_fd, int to_fd, bool doubt,
		 struct umdev_error *err)
{
	const struct umdev_driver *table = &parent->driver.table;
	struct page_layout layout = {
		.driver = table->name,
		.uuid = uuid,
		.driver_version = table->state_version,
		.driver_size = table->state_size,
	};
	umdev_auto(convert_done) struct convert c = {0};
	struct page_header got;
	struct page_header want;
	int r;

	page_expect(&layout, &want);
	c.from_size = want.driver_offset; /* convert_check(): it is the same there */
	c.from = convert_map(from_fd, c.from_size, err);
	if (!c.from)
		return -EINVAL;
	r = convert_check_size(to_fd, want.total_size, err);
	if (r < 0)
		return r;
	got = *c.from;
	r = convert_check(parent, uuid, &got, err);
	if (r < 0)
		return r;
	if (doubt && got.inside)
		return error_set(err, ERROR_INVALID,
				 "hosts died one after another, the last in the midst of it");
	__atomic_store_n(&c.from->inside, got.inside + 1, __ATOMIC_RELEASE);
	r = convert_parts(parent, &c, from_fd, to_fd, &got, err);
	__atomic_store_n(&c.from->inside, got.inside, __ATOMIC_RELEASE);
	if (r < 0)
		return r;
	want.generation = got.generation;
	want.inside = got.inside;
	want.kept = got.kept;
	if (pwrite(to_fd, &want, sizeof(want), 0) != (ssize_t)sizeof(want))
		return error_set(err, ERROR_INTERNAL, "state page cannot be written: %s",
				 strerror(errno));
	return 0;
}
