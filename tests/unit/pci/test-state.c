/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The page as another process finds it, and the MSI-X structures that live in it.
 */
#include "pci-fixture.h"

#include <errno.h>
#include <stdlib.h>

static int setup(void **state)
{
	struct umdev_device device = fixture_device();

	*state = fixture_new(&device);
	return 0;
}

static int teardown(void **state)
{
	test_free(*state);
	return 0;
}

/* What a successor makes of the page of @f, with the device it declares. */
static int take_over(struct fixture *f, const struct umdev_device *device)
{
	static struct pci_function successor;

	memset(&successor, 0, sizeof(successor));
	memset(&f->err, 0, sizeof(f->err));
	return pci_init(&successor, device, &f->page, false, &f->err);
}

static void refused(struct fixture *f, const char *says)
{
	struct umdev_device device = fixture_device();

	assert_int_equal(take_over(f, &device), -EBADMSG);
	if (!strstr(f->err.message, says))
		fail_msg("\"%s\" does not say \"%s\"", f->err.message, says);
}

static void test_handed_over(void **state)
{
	struct fixture *f = *state;
	struct umdev_device device = fixture_device();
	static struct pci_page before;
	uint8_t ones[4096];
	uint32_t row[4] = {0xfee01004, 1, 0x42, 0};

	memset(ones, 0xff, sizeof(ones));
	(void)pci_config_write(&f->pci, 0, ones, sizeof(ones));
	pci_intx_status(&f->pci, true);
	pci_msix_access(&f->pci, true, 0x1000 + 64 * 16, row, sizeof(row));
	before = f->page;
	assert_int_equal(take_over(f, &device), 0);
	assert_memory_equal(&before, &f->page, sizeof(before));
}

static void test_version(void **state)
{
	struct fixture *f = *state;

	f->page.version++;
	refused(f, "version 2 of");
	f->page.version--;
	f->page.size--;
	refused(f, "bytes is not version");
	f->page.size++;
	memset(&f->page, 0, sizeof(f->page));
	refused(f, "version 0 of 0 bytes");
}

/* Every bit of configuration space that a guest cannot change is compared. */
static void test_read_only_bits(void **state)
{
	struct fixture *f = *state;
	struct umdev_device device = fixture_device();
	unsigned int refusals = 0;

	for (uint32_t bit = 0; bit < 4096 * 8; bit++) {
		uint8_t mask = (uint8_t)(1u << bit % 8);
		bool pm = bit / 8 == (uint32_t)f->pci.pm_offset + PCI_PM_CTRL && mask <= 2;
		bool dynamic = bit / 8 == PCI_STATUS && mask == PCI_STATUS_INTERRUPT;
		bool writable = f->pci.writable[bit / 8] & mask;
		int expected = (writable && !pm) || dynamic ? 0 : -EBADMSG;

		f->page.config[bit / 8] ^= mask;
		if (take_over(f, &device) != expected)
			fail_msg("bit %u of byte 0x%03x: \"%s\"", bit % 8, bit / 8, f->err.message);
		f->page.config[bit / 8] ^= mask;
		refusals += expected != 0;
	}
	assert_in_range(refusals, 31000, 4096 * 8 - 1);
}

static void test_other_device(void **state)
{
	struct fixture *f = *state;
	struct umdev_device device = fixture_device();

	device.bars[0].size *= 2;
	assert_int_equal(take_over(f, &device), 0); /* the mask grew; the address may be zero */
	device.msix_vectors--;
	assert_int_equal(take_over(f, &device), -EBADMSG);
	assert_non_null(strstr(f->err.message, "the device was declared otherwise"));
}

static void test_power_state(void **state)
{
	struct fixture *f = *state;

	f->page.config[f->pci.pm_offset + PCI_PM_CTRL] |= 1;
	refused(f, "power state");
}

static void test_msix_rows(void **state)
{
	struct fixture *f = *state;
	struct umdev_device device = fixture_device();

	f->page.msix[64].address_low = 2;
	refused(f, "MSI-X row 64");
	f->page.msix[64].address_low = 4;
	f->page.msix[3].control = 2;
	refused(f, "MSI-X row 3");
	f->page.msix[3].control = 1;
	/* Rows that the function does not have are nobody's. */
	memset(&f->page.msix[65], 0xff, sizeof(f->page.msix[65]));
	assert_int_equal(take_over(f, &device), 0);
}

static void test_msix_covers(void **state)
{
	struct fixture *f = *state;
	const uint64_t table_end = 0x1000 + 65 * 16;
	struct umdev_device device = fixture_least();
	struct fixture *bare = fixture_new(&device);

	assert_true(pci_msix_covers(&f->pci, 4, 0x1000, 1));
	assert_true(pci_msix_covers(&f->pci, 4, 0xfff, 2));
	assert_false(pci_msix_covers(&f->pci, 4, 0xfff, 1));
	assert_true(pci_msix_covers(&f->pci, 4, table_end - 1, 1));
	assert_false(pci_msix_covers(&f->pci, 4, table_end, 8));
	assert_true(pci_msix_covers(&f->pci, 4, 0x2008, 8)); /* 65 vectors: two words of PBA */
	assert_false(pci_msix_covers(&f->pci, 4, 0x2010, 8));
	assert_true(pci_msix_covers(&f->pci, 4, 0, UINT64_MAX));
	assert_false(pci_msix_covers(&f->pci, 4, UINT64_MAX, UINT64_MAX));
	assert_false(pci_msix_covers(&f->pci, 4, 0x1000, 0));
	assert_false(pci_msix_covers(&f->pci, 0, 0x1000, 4));
	assert_false(pci_msix_covers(&f->pci, 0xff, 0x1000, 4));
	assert_false(pci_msix_covers(&bare->pci, 0xff, 0, 4));
	test_free(bare);
}

static void test_msix_access(void **state)
{
	struct fixture *f = *state;
	uint32_t row[4];
	uint8_t wide[0x4000];
	uint64_t pba;

	pci_msix_access(&f->pci, false, 0x1000, row, sizeof(row));
	assert_int_equal(row[0] | row[1] | row[2], 0);
	assert_int_equal(row[3], 1); /* masked after reset */

	memset(row, 0xff, sizeof(row));
	pci_msix_access(&f->pci, true, 0x1000 + 64 * 16, row, sizeof(row));
	memset(row, 0, sizeof(row));
	pci_msix_access(&f->pci, false, 0x1000 + 64 * 16, row, sizeof(row));
	assert_int_equal(row[0], 0xfffffffc);
	assert_int_equal(row[1], 0xffffffff);
	assert_int_equal(row[2], 0xffffffff);
	assert_int_equal(row[3], 1);

	/* The PBA takes no writes, nor does what lies beside. */
	pba = UINT64_MAX;
	pci_msix_access(&f->pci, true, 0x2000, &pba, sizeof(pba));
	pci_msix_access(&f->pci, true, 0x1000 + 65 * 16, &pba, sizeof(pba));
	assert_int_equal(f->page.msix[65].address_low, 0);
	pci_msix_access(&f->pci, false, 0x2000, &pba, sizeof(pba));
	assert_int_equal(pba, 0);

	/* One access across all: zero outside, the table inside. */
	memset(wide, 0xaa, sizeof(wide));
	pci_msix_access(&f->pci, false, 0, wide, sizeof(wide));
	for (uint32_t i = 0; i < sizeof(wide); i++)
		if (i < 0x1000 || i >= 0x1000 + 65 * 16)
			assert_int_equal(wide[i], 0);
	assert_memory_equal(wide + 0x1000, f->page.msix, 65 * 16);
	memset(wide, 0xff, sizeof(wide));
	pci_msix_access(&f->pci, true, 0, wide, sizeof(wide));
	assert_int_equal(f->page.msix[65].control, 0);

	pci_reset(&f->pci);
	pci_msix_access(&f->pci, false, 0x1000 + 64 * 16, row, sizeof(row));
	assert_int_equal(row[0] | row[1] | row[2], 0);
	assert_int_equal(row[3], 1);
}

static void test_reset_spares_unused(void **state)
{
	struct fixture *f = *state;

	memset(&f->page.msix[65], 0x5a, sizeof(f->page.msix[65]));
	pci_reset(&f->pci);
	assert_int_equal(f->page.msix[65].data, 0x5a5a5a5a);
}

static void test_reset_mode(void **state)
{
	struct fixture *f = *state;

	fixture_write(f, f->pci.msix_offset + 2, 2, 0x8000);
	fixture_write(f, 0x04, 2, 0x0406);
	fixture_write(f, 0x10, 4, 0xfe000000);
	pci_intx_status(&f->pci, true);
	pci_reset(&f->pci);
	assert_int_equal(pci_irq_mode(&f->pci), PCI_IRQ_INTX);
	assert_false(pci_bus_master(&f->pci));
	assert_false(pci_intx_disabled(&f->pci));
	assert_int_equal(fixture_read(f, 0x04, 4), 0x00100000);
	assert_int_equal(fixture_read(f, 0x10, 4), 0xc);
	assert_int_not_equal(f->pci.msix_offset, 0);
}

static void test_page_size(void **state)
{
	assert_int_equal(pci_page_size(), sizeof(struct pci_page));
}

/* Random writes never reach a bit they must not, and a successor always takes the page. */
static void test_random_writes(void **state)
{
	struct fixture *f = *state;
	struct umdev_device device = fixture_device();
	unsigned int seed = 20240607;
	uint8_t buf[32];

	print_message("seed %u\n", seed);
	for (int round = 0; round < 20000; round++) {
		uint32_t len = 1 + (uint32_t)rand_r(&seed) % sizeof(buf);
		uint32_t at = (uint32_t)rand_r(&seed) % (4096 - len + 1);

		if (round % 2)
			at %= 256;
		for (uint32_t i = 0; i < len; i++)
			buf[i] = (uint8_t)rand_r(&seed);
		(void)pci_config_write(&f->pci, at, buf, len);
		pci_msix_access(&f->pci, true, (uint32_t)rand_r(&seed) % 0x4000, buf, len);
		if (round % 500 == 0)
			assert_int_equal(take_over(f, &device), 0);
	}
	assert_int_equal(take_over(f, &device), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_handed_over),  T(test_version),	   T(test_read_only_bits),
		T(test_other_device), T(test_power_state), T(test_msix_rows),
		T(test_msix_covers),  T(test_msix_access), T(test_reset_spares_unused),
		T(test_reset_mode),   T(test_page_size),   T(test_random_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
