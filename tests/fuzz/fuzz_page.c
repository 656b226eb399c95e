/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The head of a state page, as a host finds it: a file of any size with any header.
 *
 * Input: whether the page is resumed, the size of the file, of which layout the page was and which
 * is wanted, and what is written over the header.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host/page.h"
#include "pci/pci.h"
#include "util/fd.h"
#include "vfio/session.h"

#include "fuzz.h"

#define DRIVER_SIZES 4

static const uint64_t fuzz_sizes[DRIVER_SIZES] = {0, 1, 4096, 1u << 20};

static struct page_layout fuzz_layout(struct fuzz_input *in)
{
	static const char *const drivers[] = {"nvme", "serial", "null", "abcdefghijklmnopqrst"};
	static const char *const uuids[] = {"c0ffee00-1234-4abc-8def-0123456789ab", "short"};
	uint8_t how = fuzz_byte(in);

	return (struct page_layout){
		.driver = drivers[how & 3],
		.uuid = uuids[how >> 2 & 1],
		.driver_version = how >> 3 & 3,
		.driver_size = fuzz_sizes[how >> 5 & 3],
	};
}

static int fuzz_file(uint64_t size)
{
	int fd = memfd_create("page", MFD_CLOEXEC);

	fuzz_check(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	return fd;
}

/* Every part is where the header says, and can be written to its end. */
static void fuzz_use(const struct page *page, const struct page_layout *layout)
{
	const uint8_t *base = (const uint8_t *)page->header;

	fuzz_check(page->size == page_size_for(layout->driver_size));
	fuzz_check((const uint8_t *)page->session >= base + sizeof(*page->header));
	fuzz_check((const uint8_t *)page->session + vfio_page_size() <= (const uint8_t *)page->pci);
	fuzz_check((const uint8_t *)page->pci + pci_page_size() <= (const uint8_t *)page->driver);
	fuzz_check((const uint8_t *)page->driver + layout->driver_size <= base + page->size);
	if (layout->driver_size > 0)
		((uint8_t *)page->driver)[layout->driver_size - 1] = 1;
	*(uint8_t *)page->session = 1;
	*(uint8_t *)page->pci = 1;
	fuzz_check(page->header->generation > 0 || page->header->magic == PAGE_MAGIC);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {.at = data, .left = size};
	struct page_layout was = fuzz_layout(&in);
	struct page_layout want = fuzz_layout(&in);
	uint8_t how = fuzz_byte(&in);
	uint64_t bytes = page_size_for(was.driver_size);
	struct umdev_error err = {0};
	struct page page = {0};
	struct page_header header;
	int fd;
	int spare;
	int r;

	if (how & 4)
		want = was;
	if (how & 8)
		bytes = fuzz_take(&in, 4) % (8u << 20);
	fd = fuzz_file(bytes);
	spare = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	fuzz_check(spare >= 0);
	r = page_open(&page, &fd, &was, false, &err);
	fuzz_check(r == 0 ? fd == -1 : fd >= 0);
	if (r == 0) {
		fuzz_use(&page, &was);
		header = *page.header;
		if (how & 2)
			fuzz_copy(&in, (uint8_t *)&header + fuzz_pick(&in, sizeof(header) - 16),
				  16);
		*page.header = header;
		page_close(&page);
		fd = umdev_steal_fd(&spare);
	}
	page = (struct page){0};
	r = page_open(&page, &fd, &want, how & 1, &err);
	if (r < 0) {
		fuzz_check(fd >= 0 && err.message[0] && !page.header);
	} else {
		fuzz_use(&page, &want);
		page_close(&page);
	}
	page_close(&page);
	fd_close(&fd);
	fd_close(&spare);
	return 0;
}
