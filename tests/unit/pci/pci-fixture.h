/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of src/pci share: a device that uses everything, and little-endian access to its
 * configuration space through the functions under test.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <linux/pci_regs.h>

#include "pci/pci-page.h"

/* A function and its page, on the heap so that sanitizers guard their ends. */
struct fixture {
	struct pci_function pci;
	struct pci_page page;
	struct umdev_error err;
};

static inline struct umdev_device fixture_device(void)
{
	return (struct umdev_device){
		.struct_size = sizeof(struct umdev_device),
		.flags = UMDEV_PCI_EXPRESS | UMDEV_PCI_FLR,
		.vendor_id = 0x1b36,
		.device_id = 0x0010,
		.subsystem_vendor_id = 0x1af4,
		.subsystem_id = 0x1100,
		.class_code = 0x010802,
		.revision_id = 3,
		.interrupt_pin = 1,
		.msix_bar = 4,
		.msi_vectors = 8,
		.msix_vectors = 65,
		.msix_table_offset = 0x1000,
		.msix_pba_offset = 0x2000,
		.serial_number = UINT64_C(0x1122334455667788),
		.bars =
			{
				[0] = {.size = 0x4000,
				       .flags = UMDEV_BAR_64 | UMDEV_BAR_PREFETCH,
				       .mmap = {{0x1000, 0x1000}}},
				[2] = {.size = 0x20, .flags = UMDEV_BAR_IO},
				[3] = {.size = 0x10},
				[4] = {.size = 0x4000, .flags = UMDEV_BAR_64},
			},
	};
}

/* A conventional device with the least there can be. */
static inline struct umdev_device fixture_least(void)
{
	return (struct umdev_device){
		.struct_size = sizeof(struct umdev_device),
		.vendor_id = 1,
		.msix_bar = UMDEV_NO_BAR,
	};
}

static inline struct fixture *fixture_new(const struct umdev_device *device)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(pci_init(&f->pci, device, &f->page, true, &f->err), 0);
	return f;
}

static inline uint32_t fixture_read(struct fixture *f, uint32_t offset, uint32_t len)
{
	uint8_t raw[4] = {0};

	pci_config_read(&f->pci, offset, raw, len);
	return raw[0] | (uint32_t)raw[1] << 8 | (uint32_t)raw[2] << 16 | (uint32_t)raw[3] << 24;
}

static inline uint32_t fixture_write(struct fixture *f, uint32_t offset, uint32_t len,
				     uint32_t value)
{
	uint8_t raw[4] = {(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16),
			  (uint8_t)(value >> 24)};

	return pci_config_write(&f->pci, offset, raw, len);
}

/* The offset of capability @id as a guest finds it, 0 when the list does not have it. */
static inline uint32_t fixture_capability(struct fixture *f, uint8_t id)
{
	uint32_t at = fixture_read(f, PCI_CAPABILITY_LIST, 1);

	for (int hops = 0; at && hops < 48; hops++) {
		assert_in_range(at, 0x40, 0xfc);
		assert_int_equal(at % 4, 0);
		if (fixture_read(f, at, 1) == id)
			return at;
		at = fixture_read(f, at + 1, 1);
	}
	assert_int_equal(at, 0);
	return 0;
}
