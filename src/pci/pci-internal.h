/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of src/pci share: the checks of a declaration and the layout of configuration
 * space. Register names are those of the kernel's <linux/pci_regs.h>.
 */
#pragma once

#include <linux/pci_regs.h>

#include "pci/pci-page.h"

#define PCI_MSIX_ROW_SIZE 16u

/* Bytes of the MSI-X table of @device. */
static inline uint64_t pci_msix_table_size(const struct umdev_device *device)
{
	return (uint64_t)device->msix_vectors * PCI_MSIX_ROW_SIZE;
}

/* Bytes of its pending bit array: a bit a vector, in words of 64. */
static inline uint64_t pci_msix_pba_size(const struct umdev_device *device)
{
	return (device->msix_vectors + 63u) / 64u * 8u;
}

/* Whether [@a, +@a_len) and [@b, +@b_len) share a byte. Ends past 2^64 count as unbounded. */
static inline bool pci_ranges_overlap(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
	return a_len && b_len && (a < b ? b - a < a_len : a - b < b_len);
}

/* Checks what a driver declared. Returns 0, or -EINVAL with the rule in @err. */
int pci_check(const struct umdev_device *device, struct umdev_error *err) umdev_warn_unused;

/*
 * Writes the reset image of configuration space (all PCI_EXPRESS_SIZE bytes) to @image, and the
 * masks and offsets of @pci. @pci->device is set and checked.
 */
void pci_layout(struct pci_function *pci, uint8_t *image);
