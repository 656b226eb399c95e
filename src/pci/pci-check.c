/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The rules that a driver's struct umdev_device must obey, one message each. A driver is code of
 * somebody else: what it declares is checked before anything is built from it.
 */
#include <errno.h>
#include <inttypes.h>

#include "pci/pci-internal.h"

#define CHECK_PAGE		  4096u /* clients map in units of this */
#define CHECK_IO_MAX		  256u	/* PCI 3.0, 6.2.5.1 */
#define CHECK_MEM32_MAX		  (UINT64_C(1) << 31)
#define CHECK_MSI_MAX		  32u
#define CHECK_FLAGS		  (UMDEV_PCI_EXPRESS | UMDEV_PCI_FLR)
#define CHECK_BAR_FLAGS		  (UMDEV_BAR_IO | UMDEV_BAR_64 | UMDEV_BAR_PREFETCH)
#define CHECK_CLASS_MAX		  0xffffffu
#define CHECK_NO_VENDOR		  0xffffu
#define CHECK_PIN_MAX		  1u
#define CHECK_TABLE_ALIGN	  8u

#define check_fail(err, key, ...) error_set_key((err), ERROR_INVALID, (key), __VA_ARGS__)

static bool check_power_of_two(uint64_t value)
{
	return value && !(value & (value - 1));
}

/* Whether [@offset, +@len) lies in [0, @size). */
static bool check_inside(uint64_t offset, uint64_t len, uint64_t size)
{
	return len <= size && offset <= size - len;
}

static int check_identity(const struct umdev_device *device, struct umdev_error *err)
{
	if (device->struct_size != sizeof(*device))
		return check_fail(err, "struct_size",
				  "PCI device: struct_size is %" PRIu32 ", not %zu: leave it as "
				  "umdev set it",
				  device->struct_size, sizeof(*device));
	if (device->reserved || device->reserved2)
		return check_fail(err, "reserved", "PCI device: a reserved member is not zero");
	if (device->flags & ~CHECK_FLAGS)
		return check_fail(err, "flags", "PCI device: flags 0x%" PRIx32 " are not known",
				  device->flags & ~CHECK_FLAGS);
	if (device->flags & UMDEV_PCI_FLR && !(device->flags & UMDEV_PCI_EXPRESS))
		return check_fail(err, "flags",
				  "PCI device: function level reset needs UMDEV_PCI_EXPRESS");
	if (device->serial_number && !(device->flags & UMDEV_PCI_EXPRESS))
		return check_fail(err, "serial_number",
				  "PCI device: a serial number needs UMDEV_PCI_EXPRESS");
	if (!device->vendor_id || device->vendor_id == CHECK_NO_VENDOR)
		return check_fail(err, "vendor_id",
				  "PCI device: vendor id 0x%04x means that there is no device",
				  device->vendor_id);
	if (device->class_code > CHECK_CLASS_MAX)
		return check_fail(err, "class_code",
				  "PCI device: class code 0x%" PRIx32 " is wider than 24 bits",
				  device->class_code);
	if (device->interrupt_pin > CHECK_PIN_MAX)
		return check_fail(err, "interrupt_pin",
				  "PCI device: interrupt pin %u is neither 0 (none) nor 1 (INTA)",
				  device->interrupt_pin);
	return 0;
}

static int check_bar_size(const struct umdev_device *device, uint32_t i, struct umdev_error *err)
{
	const struct umdev_bar *bar = &device->bars[i];
	bool io = bar->flags & UMDEV_BAR_IO;
	uint64_t min = io ? 4 : 16;
	uint64_t max = io ? CHECK_IO_MAX : CHECK_MEM32_MAX;

	if (bar->flags & ~CHECK_BAR_FLAGS)
		return check_fail(err, "bars.flags",
				  "BAR %" PRIu32 ": flags 0x%" PRIx32 " are not known", i,
				  bar->flags & ~CHECK_BAR_FLAGS);
	if (io && bar->flags & (UMDEV_BAR_64 | UMDEV_BAR_PREFETCH))
		return check_fail(err, "bars.flags",
				  "BAR %" PRIu32 ": an I/O BAR is neither 64-bit nor prefetchable",
				  i);
	if (!check_power_of_two(bar->size))
		return check_fail(err, "bars.size",
				  "BAR %" PRIu32 ": size 0x%" PRIx64 " is not a power of two", i,
				  bar->size);
	if (bar->size < min)
		return check_fail(err, "bars.size",
				  "BAR %" PRIu32 ": size %" PRIu64 " is below the least, %" PRIu64,
				  i, bar->size, min);
	if (!(bar->flags & UMDEV_BAR_64))
		return bar->size <= max
			       ? 0
			       : check_fail(err, "bars.size",
					    "BAR %" PRIu32 ": size 0x%" PRIx64
					    " is above the most, 0x%" PRIx64 "%s",
					    i, bar->size, max, io ? "" : "; use UMDEV_BAR_64");
	if (i == UMDEV_BAR_COUNT - 1)
		return check_fail(err, "bars.flags",
				  "BAR %" PRIu32
				  ": a 64-bit BAR takes two slots, and this is the last",
				  i);
	if (device->bars[i + 1].size)
		return check_fail(err, "bars.size",
				  "BAR %" PRIu32 ": its slot belongs to the "
				  "64-bit BAR %" PRIu32,
				  i + 1, i);
	return 0;
}

static int check_bar_areas(const struct umdev_device *device, uint32_t i, struct umdev_error *err)
{
	const struct umdev_bar *bar = &device->bars[i];
	const struct umdev_mmap_area *first = &bar->mmap[0];

	for (uint32_t n = 0; n < UMDEV_MMAP_COUNT; n++) {
		const struct umdev_mmap_area *area = &bar->mmap[n];

		if (!area->size)
			continue;
		if (bar->flags & UMDEV_BAR_IO)
			return check_fail(err, "bars.mmap",
					  "BAR %" PRIu32 ": an I/O BAR cannot be mapped", i);
		if ((area->offset | area->size) % CHECK_PAGE)
			return check_fail(err, "bars.mmap",
					  "BAR %" PRIu32 ": mmap area %" PRIu32
					  " is not made of whole pages",
					  i, n);
		if (!check_inside(area->offset, area->size, bar->size))
			return check_fail(err, "bars.mmap",
					  "BAR %" PRIu32 ": mmap area %" PRIu32
					  " ends outside of the BAR",
					  i, n);
		if (n && pci_ranges_overlap(first->offset, first->size, area->offset, area->size))
			return check_fail(err, "bars.mmap",
					  "BAR %" PRIu32 ": its mmap areas overlap", i);
	}
	return 0;
}

static int check_bars(const struct umdev_device *device, struct umdev_error *err)
{
	for (uint32_t i = 0; i < UMDEV_BAR_COUNT; i++) {
		const struct umdev_bar *bar = &device->bars[i];
		int r;

		if (bar->reserved)
			return check_fail(err, "reserved",
					  "BAR %" PRIu32 ": the reserved member is not zero", i);
		if (!bar->size) {
			if (bar->flags || bar->mmap[0].size || bar->mmap[1].size)
				return check_fail(err, "bars.size",
						  "BAR %" PRIu32
						  ": it has flags or mmap areas, but no size",
						  i);
			continue;
		}
		r = check_bar_size(device, i, err);
		if (r < 0)
			return r;
		r = check_bar_areas(device, i, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_msix(const struct umdev_device *device, struct umdev_error *err)
{
	uint64_t table_size = pci_msix_table_size(device);
	uint64_t pba_size = pci_msix_pba_size(device);
	uint32_t table = device->msix_table_offset;
	uint32_t pba = device->msix_pba_offset;
	const struct umdev_bar *bar;

	if (!device->msix_vectors)
		return device->msix_bar == UMDEV_NO_BAR
			       ? 0
			       : check_fail(err, "msix_bar",
					    "MSI-X: BAR %u is named, but there are "
					    "no vectors",
					    device->msix_bar);
	if (device->msix_vectors > PCI_MSIX_VECTORS_MAX)
		return check_fail(err, "msix_vectors", "MSI-X: %u vectors are more than %u",
				  device->msix_vectors, PCI_MSIX_VECTORS_MAX);
	if (device->msix_bar >= UMDEV_BAR_COUNT)
		return check_fail(err, "msix_bar", "MSI-X: there is no BAR %u for the table",
				  device->msix_bar);
	bar = &device->bars[device->msix_bar];
	if (!bar->size || bar->flags & UMDEV_BAR_IO)
		return check_fail(err, "msix_bar", "MSI-X: BAR %u is not a memory BAR",
				  device->msix_bar);
	if (table % CHECK_TABLE_ALIGN || pba % CHECK_TABLE_ALIGN)
		return check_fail(err, "msix_table_offset",
				  "MSI-X: table and PBA begin at multiples of %u",
				  CHECK_TABLE_ALIGN);
	if (!check_inside(table, table_size, bar->size))
		return check_fail(err, "msix_table_offset",
				  "MSI-X: the table ends outside of "
				  "BAR %u",
				  device->msix_bar);
	if (!check_inside(pba, pba_size, bar->size))
		return check_fail(err, "msix_pba_offset", "MSI-X: the PBA ends outside of BAR %u",
				  device->msix_bar);
	if (pci_ranges_overlap(table, table_size, pba, pba_size))
		return check_fail(err, "msix_pba_offset", "MSI-X: table and PBA overlap");
	for (uint32_t n = 0; n < UMDEV_MMAP_COUNT; n++) {
		const struct umdev_mmap_area *area = &bar->mmap[n];

		if (pci_ranges_overlap(area->offset, area->size, table, table_size) ||
		    pci_ranges_overlap(area->offset, area->size, pba, pba_size))
			return check_fail(err, "bars.mmap",
					  "BAR %u: mmap area %" PRIu32
					  " covers the MSI-X table or PBA",
					  device->msix_bar, n);
	}
	return 0;
}

int pci_check(const struct umdev_device *device, struct umdev_error *err)
{
	int r = check_identity(device, err);

	if (r < 0)
		return r;
	r = check_bars(device, err);
	if (r < 0)
		return r;
	if (device->msi_vectors &&
	    (!check_power_of_two(device->msi_vectors) || device->msi_vectors > CHECK_MSI_MAX))
		return check_fail(err, "msi_vectors",
				  "MSI: %u vectors are not a power of two up "
				  "to %u",
				  device->msi_vectors, CHECK_MSI_MAX);
	return check_msix(device, err);
}
