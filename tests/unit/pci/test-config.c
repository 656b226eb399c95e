/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Configuration space as a guest sees it: header, BAR sizing, capabilities, what can be written and
 * what that asks of the device.
 */
#include "pci-fixture.h"

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

static void test_header(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fixture_read(f, 0x00, 4), 0x00101b36);
	assert_int_equal(fixture_read(f, 0x04, 2), 0);
	assert_int_equal(fixture_read(f, 0x06, 2), 0x0010);
	assert_int_equal(fixture_read(f, 0x08, 4), 0x01080203);
	assert_int_equal(fixture_read(f, 0x0e, 1), 0);
	assert_int_equal(fixture_read(f, 0x2c, 4), 0x11001af4);
	assert_int_equal(fixture_read(f, 0x3d, 1), 1);
	assert_int_equal(f->pci.config_size, 4096);

	/* Identity, CardBus pointer, ROM address, Min_Gnt and Max_Lat stay whatever is written. */
	for (uint32_t at = 0; at < 64; at += 4) {
		uint32_t before = fixture_read(f, at, 4);

		if ((at >= 0x10 && at < 0x28) || at == 0x04 || at == 0x0c || at == 0x3c)
			continue;
		assert_int_equal(fixture_write(f, at, 4, 0xffffffff), 0);
		assert_int_equal(fixture_read(f, at, 4), before);
	}
	fixture_write(f, 0x0c, 4, 0xffffffff);
	assert_int_equal(fixture_read(f, 0x0c, 4), 0x000000ff); /* Express: no latency timer */
	fixture_write(f, 0x3c, 4, 0xffffff0b);
	assert_int_equal(fixture_read(f, 0x3c, 4), 0x0000010b);
	assert_int_equal(fixture_read(f, 0x30, 4), 0);
}

static void test_command(void **state)
{
	struct fixture *f = *state;
	struct umdev_device least = fixture_least();
	struct fixture *bare = fixture_new(&least);

	assert_false(pci_bus_master(&f->pci));
	assert_false(pci_intx_disabled(&f->pci));
	assert_int_equal(fixture_write(f, 0x04, 2, 0x0007), 0);
	assert_true(pci_bus_master(&f->pci));
	assert_int_equal(fixture_write(f, 0x04, 2, 0xffff), PCI_EFFECT_IRQ);
	assert_int_equal(fixture_read(f, 0x04, 2), 0x0547);
	assert_true(pci_intx_disabled(&f->pci));
	assert_int_equal(fixture_write(f, 0x04, 2, 0xffff), 0); /* nothing changed */
	assert_int_equal(fixture_write(f, 0x05, 1, 0), PCI_EFFECT_IRQ);
	assert_int_equal(fixture_read(f, 0x04, 2), 0x0047);

	/* Space enables that would enable nothing read zero. */
	fixture_write(bare, 0x04, 2, 0xffff);
	assert_int_equal(fixture_read(bare, 0x04, 2), 0x0544);
	fixture_write(bare, 0x0d, 1, 0xff);
	assert_int_equal(fixture_read(bare, 0x0d, 1), 0xf8);
	test_free(bare);
}

static void test_status(void **state)
{
	struct fixture *f = *state;

	pci_intx_status(&f->pci, true);
	assert_int_equal(fixture_read(f, 0x06, 2), 0x0018);
	fixture_write(f, 0x06, 2, 0xffff);
	assert_int_equal(fixture_read(f, 0x06, 2), 0x0018);
	pci_intx_status(&f->pci, true);
	assert_int_equal(fixture_read(f, 0x06, 2), 0x0018);
	pci_intx_status(&f->pci, false);
	assert_int_equal(fixture_read(f, 0x06, 2), 0x0010);
}

static void test_bar_sizing(void **state)
{
	struct fixture *f = *state;
	static const uint32_t masks[UMDEV_BAR_COUNT] = {
		0xffffc00c, 0xffffffff, 0xffffffe1, 0xfffffff0, 0xffffc004, 0xffffffff,
	};
	static const uint32_t types[UMDEV_BAR_COUNT] = {0xc, 0, 1, 0, 4, 0};

	for (uint32_t i = 0; i < UMDEV_BAR_COUNT; i++) {
		uint32_t at = 0x10 + 4 * i;

		assert_int_equal(fixture_read(f, at, 4), types[i]);
		assert_int_equal(fixture_write(f, at, 4, 0xffffffff), 0);
		assert_int_equal(fixture_read(f, at, 4), masks[i]);
		fixture_write(f, at, 4, 0);
		assert_int_equal(fixture_read(f, at, 4), types[i]);
		/* Byte by byte comes to the same. */
		for (uint32_t byte = 0; byte < 4; byte++)
			fixture_write(f, at + byte, 1, 0xff);
		assert_int_equal(fixture_read(f, at, 4), masks[i]);
	}
	fixture_write(f, 0x10, 4, 0xfebd1234);
	assert_int_equal(fixture_read(f, 0x10, 4), 0xfebd000c);
}

static void test_bar_sizes(void **state)
{
	/* Sizes at the edges of what 32 and 64 bits can say. */
	struct umdev_device device = fixture_least();
	struct fixture *f;

	device.bars[0] = (struct umdev_bar){.size = UINT64_C(1) << 63, .flags = UMDEV_BAR_64};
	device.bars[2] = (struct umdev_bar){.size = UINT64_C(1) << 31, .flags = UMDEV_BAR_PREFETCH};
	device.bars[3] = (struct umdev_bar){.size = UINT64_C(1) << 32, .flags = UMDEV_BAR_64};
	device.bars[5] = (struct umdev_bar){.size = 4, .flags = UMDEV_BAR_IO};
	f = fixture_new(&device);
	for (uint32_t i = 0; i < UMDEV_BAR_COUNT; i++)
		fixture_write(f, 0x10 + 4 * i, 4, 0xffffffff);
	assert_int_equal(fixture_read(f, 0x10, 4), 0x00000004);
	assert_int_equal(fixture_read(f, 0x14, 4), 0x80000000);
	assert_int_equal(fixture_read(f, 0x18, 4), 0x80000008);
	assert_int_equal(fixture_read(f, 0x1c, 4), 0x00000004);
	assert_int_equal(fixture_read(f, 0x20, 4), 0xffffffff);
	assert_int_equal(fixture_read(f, 0x24, 4), 0xfffffffd);
	test_free(f);
}

static void test_pm(void **state)
{
	struct fixture *f = *state;
	uint32_t pm = fixture_capability(f, PCI_CAP_ID_PM);

	assert_int_not_equal(pm, 0);
	assert_int_equal(fixture_read(f, pm + 2, 2), 0x0003);
	assert_int_equal(fixture_read(f, pm + 4, 4), 0x00000008);
	assert_int_equal(fixture_write(f, pm + 4, 2, 0xffff), 0);
	assert_int_equal(fixture_read(f, pm + 4, 2), 0x000b);
	for (uint32_t refused = 1; refused <= 2; refused++) {
		fixture_write(f, pm + 4, 2, refused);
		assert_int_equal(fixture_read(f, pm + 4, 2), 0x000b);
	}
	fixture_write(f, pm + 4, 2, 0);
	assert_int_equal(fixture_read(f, pm + 4, 2), 0x0008);
}

static void test_msi(void **state)
{
	struct fixture *f = *state;
	uint32_t msi = fixture_capability(f, PCI_CAP_ID_MSI);

	assert_int_equal(msi, f->pci.msi_offset);
	assert_int_equal(fixture_read(f, msi + 2, 2), 0x0186); /* 64-bit, masks, 8 vectors */
	assert_int_equal(pci_irq_mode(&f->pci), PCI_IRQ_INTX);
	assert_int_equal(fixture_write(f, msi + 4, 4, 0xffffffff), 0);
	assert_int_equal(fixture_write(f, msi + 8, 4, 0xffffffff), 0);
	assert_int_equal(fixture_write(f, msi + 12, 4, 0xffffffff), 0);
	assert_int_equal(fixture_write(f, msi + 16, 4, 0xffffffff), PCI_EFFECT_IRQ);
	assert_int_equal(fixture_write(f, msi + 20, 4, 0xffffffff), 0);
	assert_int_equal(fixture_read(f, msi + 4, 4), 0xfffffffc);
	assert_int_equal(fixture_read(f, msi + 8, 4), 0xffffffff);
	assert_int_equal(fixture_read(f, msi + 12, 4), 0x0000ffff);
	assert_int_equal(fixture_read(f, msi + 16, 4), 0x000000ff);
	assert_int_equal(fixture_read(f, msi + 20, 4), 0);
	assert_int_equal(fixture_write(f, msi + 2, 2, 0xffff), PCI_EFFECT_IRQ);
	assert_int_equal(fixture_read(f, msi + 2, 2), 0x01f7);
	assert_int_equal(pci_irq_mode(&f->pci), PCI_IRQ_MSI);
	assert_int_equal(fixture_write(f, msi + 2, 2, 0), PCI_EFFECT_IRQ);
	assert_int_equal(pci_irq_mode(&f->pci), PCI_IRQ_INTX);
}

static void test_msi_32(void **state)
{
	struct umdev_device device = fixture_least();
	struct fixture *f;
	uint32_t msi;

	device.msi_vectors = 32;
	f = fixture_new(&device);
	msi = fixture_capability(f, PCI_CAP_ID_MSI);
	assert_int_equal(fixture_read(f, msi + 2, 2), 0x018a);
	fixture_write(f, msi + 16, 4, 0xffffffff);
	assert_int_equal(fixture_read(f, msi + 16, 4), 0xffffffff);
	assert_int_equal(fixture_capability(f, PCI_CAP_ID_MSIX), 0);
	assert_int_equal(fixture_capability(f, PCI_CAP_ID_EXP), 0);
	assert_int_equal(f->pci.msix_offset, 0);
	assert_int_equal(f->pci.express_offset, 0);
	test_free(f);
}

static void test_msix(void **state)
{
	struct fixture *f = *state;
	uint32_t msix = fixture_capability(f, PCI_CAP_ID_MSIX);
	uint32_t msi = fixture_capability(f, PCI_CAP_ID_MSI);

	assert_int_equal(msix, f->pci.msix_offset);
	assert_int_equal(fixture_read(f, msix + 2, 2), 64);
	assert_int_equal(fixture_read(f, msix + 4, 4), 0x1004);
	assert_int_equal(fixture_read(f, msix + 8, 4), 0x2004);
	assert_int_equal(fixture_write(f, msix + 2, 2, 0xffff), PCI_EFFECT_IRQ);
	assert_int_equal(fixture_read(f, msix + 2, 2), 0xc040);
	assert_int_equal(pci_irq_mode(&f->pci), PCI_IRQ_MSIX);
	fixture_write(f, msi + 2, 2, 1);
	assert_int_equal(pci_irq_mode(&f->pci), PCI_IRQ_MSIX);
	assert_int_equal(fixture_write(f, msix + 3, 1, 0x40), PCI_EFFECT_IRQ);
	assert_int_equal(pci_irq_mode(&f->pci), PCI_IRQ_MSI);
	assert_int_equal(fixture_write(f, msix + 4, 4, 0), 0);
	assert_int_equal(fixture_read(f, msix + 4, 4), 0x1004);
}

static void test_express(void **state)
{
	struct fixture *f = *state;
	uint32_t exp = fixture_capability(f, PCI_CAP_ID_EXP);

	assert_int_equal(exp, f->pci.express_offset);
	assert_int_equal(fixture_read(f, exp + 2, 2), 0x0002);
	assert_int_equal(fixture_read(f, exp + 4, 4), 0x10008000);
	assert_int_equal(fixture_read(f, exp + 8, 2), 0x2810);
	assert_int_equal(fixture_write(f, exp + 8, 2, 0x7fff), 0);
	assert_int_equal(fixture_read(f, exp + 8, 2), 0x78ff);
	assert_int_equal(fixture_read(f, exp + 12, 4), 0x43);
	assert_int_equal(fixture_read(f, exp + 18, 2), 0x43);
	assert_int_equal(fixture_read(f, exp + 44, 4), 0x0e);
	/* The speed the link has is among those it can have. */
	assert_true(fixture_read(f, exp + 44, 4) & 1u << (fixture_read(f, exp + 12, 4) & 0xf));
	assert_in_range(exp + 60, 0, 256);
}

static void test_flr(void **state)
{
	struct fixture *f = *state;
	uint32_t exp = fixture_capability(f, PCI_CAP_ID_EXP);
	struct umdev_device device = fixture_device();
	struct fixture *without;
	uint8_t all[64];

	assert_int_equal(fixture_write(f, exp + 8, 2, 0x8000), PCI_EFFECT_FLR);
	assert_int_equal(fixture_read(f, exp + 8, 2), 0);
	assert_int_equal(fixture_write(f, exp + 9, 1, 0x80), PCI_EFFECT_FLR);
	assert_int_equal(fixture_write(f, exp + 8, 1, 0x80), 0);
	assert_int_equal(fixture_write(f, exp + 8, 4, 0x8000), PCI_EFFECT_FLR);
	memset(all, 0xff, sizeof(all));
	assert_int_equal(pci_config_write(&f->pci, exp, all, sizeof(all)), PCI_EFFECT_FLR);

	device.flags = UMDEV_PCI_EXPRESS;
	without = fixture_new(&device);
	assert_int_equal(fixture_read(without, exp + 4, 4), 0x00008000);
	assert_int_equal(fixture_write(without, exp + 8, 2, 0x8000), 0);
	assert_int_equal(fixture_read(without, exp + 8, 2), 0);
	test_free(without);

	/* A device without the capability: the same bytes mean nothing. */
	device = fixture_least();
	without = fixture_new(&device);
	assert_int_equal(fixture_write(without, 9, 1, 0x80), 0);
	test_free(without);
}

static void test_serial_number(void **state)
{
	struct fixture *f = *state;
	struct umdev_device device = fixture_device();
	struct fixture *without;

	assert_int_equal(fixture_read(f, 0x100, 4), 0x00010003);
	assert_int_equal(fixture_read(f, 0x104, 4), 0x55667788);
	assert_int_equal(fixture_read(f, 0x108, 4), 0x11223344);
	device.serial_number = 0;
	without = fixture_new(&device);
	for (uint32_t at = 0x100; at < 4096; at += 4)
		assert_int_equal(fixture_read(without, at, 4), 0);
	test_free(without);
}

static void test_whole_space(void **state)
{
	struct fixture *f = *state;
	uint8_t before[4096];
	uint8_t ones[4096];
	uint8_t after[4096];

	pci_config_read(&f->pci, 0, before, sizeof(before));
	memset(ones, 0xff, sizeof(ones));
	assert_int_equal(pci_config_write(&f->pci, 0, ones, sizeof(ones)),
			 PCI_EFFECT_FLR | PCI_EFFECT_IRQ);
	pci_config_read(&f->pci, 0, after, sizeof(after));
	for (uint32_t i = 0; i < sizeof(after); i++)
		assert_int_equal((before[i] ^ after[i]) & ~f->pci.writable[i], 0);
	assert_memory_equal(before + 0x100, after + 0x100, 4096 - 0x100);
	pci_reset(&f->pci);
	pci_config_read(&f->pci, 0, after, sizeof(after));
	assert_memory_equal(before, after, sizeof(after));
}

static void test_any_alignment(void **state)
{
	struct fixture *f = *state;
	uint8_t whole[256];
	uint8_t part[256];

	pci_config_read(&f->pci, 0, whole, sizeof(whole));
	for (uint32_t at = 0; at < 256; at += 13)
		for (uint32_t len = 1; at + len <= 256; len += 7) {
			pci_config_read(&f->pci, at, part, len);
			assert_memory_equal(part, whole + at, len);
		}
	/* A write across two registers changes what is writable in each. */
	assert_int_equal(fixture_write(f, 0x3a, 4, 0xab07ffff), 0);
	assert_int_equal(fixture_read(f, 0x3a, 4), 0x01070000);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_header),	     T(test_command),	    T(test_status),
		T(test_bar_sizing),  T(test_bar_sizes),	    T(test_pm),
		T(test_msi),	     T(test_msi_32),	    T(test_msix),
		T(test_express),     T(test_flr),	    T(test_serial_number),
		T(test_whole_space), T(test_any_alignment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
