/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every rule for what a driver declares: one change to a good device, and the message it gets; and
 * the values at each limit, which are fine.
 */
#include "pci-fixture.h"

#include <errno.h>

struct check_row {
	const char *says; /* part of the message; NULL: accepted */
	const char *key;
	void (*change)(struct umdev_device *device);
};

#define ROW(fn_name, key_text, says_text, ...)                                                     \
	static void fn_name(struct umdev_device *d)                                                \
	{                                                                                          \
		__VA_ARGS__;                                                                       \
	}                                                                                          \
	static const struct check_row row_##fn_name = {says_text, key_text, fn_name};

ROW(size_short, "struct_size", "struct_size", d->struct_size--)
ROW(size_long, "struct_size", "struct_size", d->struct_size++)
ROW(reserved, "reserved", "reserved member", d->reserved = 1)
ROW(reserved2, "reserved", "reserved member", d->reserved2 = 1)
ROW(flags_unknown, "flags", "flags 0x4 are not known", d->flags |= 4)
ROW(flr_alone, "flags", "function level reset needs", d->flags = UMDEV_PCI_FLR)
ROW(serial_alone, "serial_number", "serial number needs", d->flags = 0)
ROW(vendor_zero, "vendor_id", "vendor id 0x0000", d->vendor_id = 0)
ROW(vendor_ones, "vendor_id", "vendor id 0xffff", d->vendor_id = 0xffff)
ROW(vendor_edge, NULL, NULL, d->vendor_id = 0xfffe)
ROW(class_wide, "class_code", "class code 0x1000000", d->class_code = 0x1000000)
ROW(class_edge, NULL, NULL, d->class_code = 0xffffff)
ROW(pin_b, "interrupt_pin", "interrupt pin 2", d->interrupt_pin = 2)
ROW(pin_none, NULL, NULL, d->interrupt_pin = 0)

ROW(bar_reserved, "reserved", "BAR 3: the reserved", d->bars[3].reserved = 1)
ROW(bar_flags, "bars.flags", "BAR 3: flags 0x8", d->bars[3].flags = 8)
ROW(bar_absent_flags, "bars.size", "no size", d->bars[3].size = 0; d->bars[3].flags = 4)
ROW(bar_absent_area, "bars.size", "no size", d->bars[0].size = 0; d->bars[0].flags = 0)
ROW(bar_odd, "bars.size", "BAR 3: size 0x30 is not a power of two", d->bars[3].size = 0x30)
ROW(bar_small, "bars.size", "BAR 3: size 8 is below the least, 16", d->bars[3].size = 8)
ROW(io_small, "bars.size", "BAR 2: size 2 is below the least, 4", d->bars[2].size = 2)
ROW(io_edge_low, NULL, NULL, d->bars[2].size = 4)
ROW(io_edge_high, NULL, NULL, d->bars[2].size = 256)
ROW(io_big, "bars.size", "BAR 2: size 0x200 is above the most, 0x100", d->bars[2].size = 512)
ROW(io_64, "bars.flags", "BAR 2: an I/O BAR is neither", d->bars[2].flags |= UMDEV_BAR_64)
ROW(io_prefetch, "bars.flags", "BAR 2: an I/O BAR is neither",
    d->bars[2].flags |= UMDEV_BAR_PREFETCH)
ROW(mem32_edge, NULL, NULL, d->bars[3].size = 0x80000000)
ROW(mem32_big, "bars.size", "use UMDEV_BAR_64", d->bars[3].size = 0x100000000)
ROW(mem64_edge, NULL, NULL, d->bars[0].size = UINT64_C(1) << 63)
ROW(last_64, "bars.flags", "BAR 5: a 64-bit BAR takes two slots", d->bars[4].flags = 0;
    d->bars[5].size = 16; d->bars[5].flags = UMDEV_BAR_64)
ROW(slot_taken, "bars.size", "BAR 1: its slot belongs to the 64-bit BAR 0", d->bars[1].size = 16)

ROW(area_io, "bars.mmap", "BAR 2: an I/O BAR cannot be mapped", d->bars[2].mmap[1].size = 4096)
ROW(area_offset, "bars.mmap", "mmap area 0 is not made of whole pages",
    d->bars[0].mmap[0].offset = 0x800)
ROW(area_size, "bars.mmap", "mmap area 0 is not made of whole pages",
    d->bars[0].mmap[0].size = 0x1800)
ROW(area_whole, NULL, NULL, d->bars[0].mmap[0].offset = 0; d->bars[0].mmap[0].size = 0x4000)
ROW(area_past, "bars.mmap", "mmap area 0 ends outside", d->bars[0].mmap[0].offset = 0x4000)
ROW(area_long, "bars.mmap", "mmap area 0 ends outside", d->bars[0].mmap[0].size = 0x4000)
ROW(area_wrap, "bars.mmap", "mmap area 0 ends outside",
    d->bars[0].mmap[0].offset = UINT64_C(0xfffffffffffff000))
ROW(area_touch, NULL, NULL, d->bars[0].mmap[1].offset = 0x2000; d->bars[0].mmap[1].size = 0x2000)
ROW(area_overlap, "bars.mmap", "its mmap areas overlap", d->bars[0].mmap[1].offset = 0;
    d->bars[0].mmap[1].size = 0x2000)
ROW(area_small_bar, "bars.mmap", "mmap area 0 ends outside", d->bars[3].mmap[0].size = 0x1000)

ROW(msi_three, "msi_vectors", "MSI: 3 vectors", d->msi_vectors = 3)
ROW(msi_many, "msi_vectors", "MSI: 64 vectors", d->msi_vectors = 64)
ROW(msi_edge, NULL, NULL, d->msi_vectors = 32)
ROW(msi_none, NULL, NULL, d->msi_vectors = 0)

ROW(msix_none, "msix_bar", "MSI-X: BAR 4 is named, but", d->msix_vectors = 0)
ROW(msix_absent, NULL, NULL, d->msix_vectors = 0; d->msix_bar = UMDEV_NO_BAR)
ROW(msix_no_bar, "msix_bar", "MSI-X: there is no BAR 255", d->msix_bar = UMDEV_NO_BAR)
ROW(msix_bar_6, "msix_bar", "MSI-X: there is no BAR 6", d->msix_bar = 6)
ROW(msix_io, "msix_bar", "MSI-X: BAR 2 is not a memory BAR", d->msix_bar = 2)
ROW(msix_upper, "msix_bar", "MSI-X: BAR 5 is not a memory BAR", d->msix_bar = 5)
ROW(msix_edge, NULL, NULL, d->msix_vectors = 2048; d->bars[4].size = 0x10000;
    d->msix_table_offset = 0x8000; d->msix_pba_offset = 0x7f00)
ROW(msix_many, "msix_vectors", "MSI-X: 2049 vectors", d->msix_vectors = 2049;
    d->bars[4].size = 0x20000; d->msix_table_offset = 0x8000)
ROW(msix_table_odd, "msix_table_offset", "multiples of 8", d->msix_table_offset += 4)
ROW(msix_pba_odd, "msix_table_offset", "multiples of 8", d->msix_pba_offset += 4)
ROW(msix_table_fits, NULL, NULL, d->msix_table_offset = 0x4000 - 65 * 16)
ROW(msix_table_past, "msix_table_offset", "the table ends outside",
    d->msix_table_offset = 0x4000 - 65 * 16 + 8)
ROW(msix_pba_fits, NULL, NULL, d->msix_pba_offset = 0x4000 - 16)
ROW(msix_pba_past, "msix_pba_offset", "the PBA ends outside", d->msix_pba_offset = 0x4000 - 8)
ROW(msix_touch, NULL, NULL, d->msix_pba_offset = 0x1000 + 65 * 16)
ROW(msix_overlap, "msix_pba_offset", "table and PBA overlap",
    d->msix_pba_offset = 0x1000 + 65 * 16 - 8)
ROW(msix_area_table, "bars.mmap", "BAR 4: mmap area 1 covers",
    d->bars[4].mmap[1] = ((struct umdev_mmap_area){0x1000, 0x1000}))
ROW(msix_area_pba, "bars.mmap", "BAR 4: mmap area 0 covers",
    d->bars[4].mmap[0] = ((struct umdev_mmap_area){0x2000, 0x2000}))
ROW(msix_area_beside, NULL, NULL, d->bars[4].mmap[0] = ((struct umdev_mmap_area){0x3000, 0x1000}))

static const struct check_row *const check_rows[] = {
	&row_size_short,
	&row_size_long,
	&row_reserved,
	&row_reserved2,
	&row_flags_unknown,
	&row_flr_alone,
	&row_serial_alone,
	&row_vendor_zero,
	&row_vendor_ones,
	&row_vendor_edge,
	&row_class_wide,
	&row_class_edge,
	&row_pin_b,
	&row_pin_none,
	&row_bar_reserved,
	&row_bar_flags,
	&row_bar_absent_flags,
	&row_bar_absent_area,
	&row_bar_odd,
	&row_bar_small,
	&row_io_small,
	&row_io_edge_low,
	&row_io_edge_high,
	&row_io_big,
	&row_io_64,
	&row_io_prefetch,
	&row_mem32_edge,
	&row_mem32_big,
	&row_mem64_edge,
	&row_last_64,
	&row_slot_taken,
	&row_area_io,
	&row_area_offset,
	&row_area_size,
	&row_area_whole,
	&row_area_past,
	&row_area_long,
	&row_area_wrap,
	&row_area_touch,
	&row_area_overlap,
	&row_area_small_bar,
	&row_msi_three,
	&row_msi_many,
	&row_msi_edge,
	&row_msi_none,
	&row_msix_none,
	&row_msix_absent,
	&row_msix_no_bar,
	&row_msix_bar_6,
	&row_msix_io,
	&row_msix_upper,
	&row_msix_edge,
	&row_msix_many,
	&row_msix_table_odd,
	&row_msix_pba_odd,
	&row_msix_table_fits,
	&row_msix_table_past,
	&row_msix_pba_fits,
	&row_msix_pba_past,
	&row_msix_touch,
	&row_msix_overlap,
	&row_msix_area_table,
	&row_msix_area_pba,
	&row_msix_area_beside,
};

static void test_rules(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	for (size_t i = 0; i < ARRAY_SIZE(check_rows); i++) {
		const struct check_row *row = check_rows[i];
		struct umdev_device device = fixture_device();
		int r;

		row->change(&device);
		memset(f, 0, sizeof(*f));
		r = pci_init(&f->pci, &device, &f->page, true, &f->err);
		if (r != (row->says ? -EINVAL : 0))
			fail_msg("row %zu (%s): returned %d, \"%s\"", i,
				 row->says ? row->says : "accepted", r, f->err.message);
		if (!row->says)
			continue;
		if (!strstr(f->err.message, row->says))
			fail_msg("row %zu: \"%s\" does not say \"%s\"", i, f->err.message,
				 row->says);
		assert_string_equal(f->err.key, row->key);
		assert_int_equal(f->err.word, ERROR_INVALID);
		assert_null(strchr(f->err.message, '\n'));
		assert_int_equal(f->page.version, 0); /* nothing was built */
	}
	test_free(f);
}

static void test_least(void **state)
{
	struct umdev_device device = fixture_least();
	struct fixture *f = fixture_new(&device);

	assert_int_equal(f->pci.config_size, 256);
	test_free(f);
}

static void test_no_error_wanted(void **state)
{
	struct umdev_device device = fixture_least();
	struct fixture *f = test_calloc(1, sizeof(*f));

	device.vendor_id = 0;
	assert_int_equal(pci_init(&f->pci, &device, &f->page, true, NULL), -EINVAL);
	test_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_least),
		cmocka_unit_test(test_no_error_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
