/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The PCI part of a state page: all of a function that its guest can see and change.
 *
 * Pointer-free, little-endian as on the bus, free of holes; a process that did not write it
 * validates it (pci_init() without fresh). Rows of the MSI-X table beyond the vectors of the
 * function are never touched, so that they cost no memory. There is no pending bit array: vectors
 * are signalled at once and their masks are the VMM's, hence no vector is ever pending here.
 */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "pci/pci.h"

#define PCI_PAGE_VERSION 1u

/* One row of the MSI-X table. */
struct pci_msix_row {
	uint32_t address_low; /* bits 1:0 are zero */
	uint32_t address_high;
	uint32_t data;
	uint32_t control; /* bit 0: masked; the others are zero */
};

struct pci_page {
	uint32_t version; /* PCI_PAGE_VERSION */
	uint32_t size;	  /* of this struct */
	uint8_t config[PCI_EXPRESS_SIZE];
	struct pci_msix_row msix[PCI_MSIX_VECTORS_MAX];
};

static_assert(offsetof(struct pci_page, config) == 8, "layout of a state page is fixed");
static_assert(offsetof(struct pci_page, msix) == 8 + 4096, "layout of a state page is fixed");
static_assert(sizeof(struct pci_page) == 8 + 4096 + 2048 * 16, "layout of a state page is fixed");
