/* SPDX-License-Identifier: BSD-3-Clause */
/* The state page of one mdev. See page.h. */
#include "host/page.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "pci/pci.h"
#include "util/fd.h"
#include "vfio/session.h"

#define PAGE_ALIGN 4096u

static_assert(sizeof(struct page_header) <= PAGE_ALIGN, "the header fits into its page");

static uint64_t page_align(uint64_t size)
{
	return (size + PAGE_ALIGN - 1) & ~(uint64_t)(PAGE_ALIGN - 1);
}

uint64_t page_size_for(uint64_t driver_size)
{
	return PAGE_ALIGN + page_align(vfio_page_size()) + page_align(pci_page_size()) +
	       page_align(driver_size);
}

void page_expect(const struct page_layout *layout, struct page_header *ret_header)
{
	struct page_header *h = ret_header;

	memset(h, 0, sizeof(*h));
	h->magic = PAGE_MAGIC;
	h->version = PAGE_VERSION;
	h->driver_version = layout->driver_version;
	snprintf(h->driver, sizeof(h->driver), "%s", layout->driver);
	snprintf(h->uuid, sizeof(h->uuid), "%s", layout->uuid);
	h->total_size = page_size_for(layout->driver_size);
	h->session_offset = PAGE_ALIGN;
	h->session_size = vfio_page_size();
	h->pci_offset = h->session_offset + page_align(h->session_size);
	h->pci_size = pci_page_size();
	h->driver_offset = h->pci_offset + page_align(h->pci_size);
	h->driver_size = layout->driver_size;
}

static int page_map(struct page *page, int fd, uint64_t size, struct umdev_error *err)
{
	struct stat st;
	void *map;

	if (fstat(fd, &st) < 0)
		return error_set(err, ERROR_INTERNAL, "state page: %s", strerror(errno));
	if (st.st_size < 0 || (uint64_t)st.st_size < size)
		return error_set(err, ERROR_INVALID, "state page of %lld bytes, %llu are needed",
				 (long long)st.st_size, (unsigned long long)size);
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return error_set(err, ERROR_NO_MEMORY, "state page cannot be mapped: %s",
				 strerror(errno));
	page->header = map;
	page->size = size;
	return 0;
}

/* All but the header. Punched out rather than written: what is never touched must cost no memory.
 */
static void page_clear(const struct page *page)
{
	uint8_t *parts = (uint8_t *)page->header + PAGE_ALIGN;

	if (madvise(parts, page->size - PAGE_ALIGN, MADV_REMOVE) < 0)
		memset(parts, 0, page->size - PAGE_ALIGN);
}

void page_renew(struct page *page)
{
	page_clear(page);
}

int page_open(struct page *page, int *fd, const struct page_layout *layout, bool resume,
	      struct umdev_error *err)
{
	struct page_header want;
	struct page_header got;
	int r;

	page_expect(layout, &want);
	r = page_map(page, *fd, want.total_size, err);
	if (r < 0)
		return r;
	got = *page->header;
	want.generation = resume ? got.generation : 0;
	want.inside = resume ? got.inside : 0;
	want.kept = resume ? got.kept : 0;
	if (resume && memcmp(&got, &want, sizeof(want)) != 0) {
		page_close(page);
		return error_set(err, ERROR_INVALID,
				 "state page of %s has another layout: start the mdev afresh",
				 layout->uuid);
	}
	page->died_inside = want.inside != 0;
	want.inside = 0;
	want.generation++;
	if (!resume)
		page_clear(page);
	*page->header = want;
	page->session = (struct vfio_page *)((char *)page->header + want.session_offset);
	page->pci = (struct pci_page *)((char *)page->header + want.pci_offset);
	page->driver = (char *)page->header + want.driver_offset;
	page->fd = umdev_steal_fd(fd);
	return 0;
}

void page_close(struct page *page)
{
	if (!page->header)
		return;
	munmap(page->header, page->size);
	if (page->fd > 0)
		fd_close(&page->fd);
	memset(page, 0, sizeof(*page));
	page->fd = -1;
}
