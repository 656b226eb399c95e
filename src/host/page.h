/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state page of one mdev: a memfd that the broker made and keeps, mapped here.
 *
 *   header | session part (vfio) | PCI part (pci) | driver part
 *
 * Each part begins at a multiple of 4096 and is laid out by its own module; the header says which
 * layout. A page of another layout is refused, never guessed at; of one whose driver's part alone
 * is of another version another page is made first (convert.h).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "util/cleanup.h"
#include "util/error.h"

struct vfio_page;
struct pci_page;

#define PAGE_MAGIC   0x3176656d75ULL /* "umev1" */
#define PAGE_VERSION 1u

/* First bytes of a state page. Pointer-free; numbers in host byte order. */
struct page_header {
	uint64_t magic;
	uint32_t version;
	uint32_t driver_version; /* umdev_driver.state_version */
	char driver[16];
	char uuid[40];
	uint64_t generation; /* one more for each process that served it */
	uint64_t total_size;
	uint64_t session_offset;
	uint64_t session_size;
	uint64_t pci_offset;
	uint64_t pci_size;
	uint64_t driver_offset;
	uint64_t driver_size;
	/* Not 0 while the process is in the midst of this device: building it, or in a callback of
	 * its driver. What a dead process left here says what it died of, perhaps. */
	uint64_t inside;
	/* How often the broker was told to keep or drop something, raised before it is told: what
	 * it has kept is all that belongs to this page if it knows the same number. 0 in older
	 * pages. */
	uint64_t kept;
};

/* A mapped page. Zero it before page_open(). */
struct page {
	int fd;
	uint64_t size;
	struct page_header *header;
	struct vfio_page *session;
	struct pci_page *pci;
	void *driver;
	bool died_inside; /* the process before was in the midst of it */
};

/* What the driver's part must be. */
struct page_layout {
	const char *driver;
	const char *uuid;
	uint32_t driver_version;
	uint64_t driver_size;
};

/* Bytes a page needs for a driver's part of @driver_size. */
uint64_t page_size_for(uint64_t driver_size);

/* The header that a page of @layout must have, but for what its processes write there. */
void page_expect(const struct page_layout *layout, struct page_header *ret_header);

/*
 * Maps *@fd (taken on success). With @resume the contents must be a page of this very layout
 * (-EBADMSG), else it is cleared and laid out.
 */
int page_open(struct page *page, int *fd, const struct page_layout *layout, bool resume,
	      struct umdev_error *err) umdev_warn_unused;

/* Makes the page one of a device that begins anew. */
void page_renew(struct page *page);

/* Unmaps and closes. Safe on a zeroed page. */
void page_close(struct page *page);
