/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Configuration space and MSI-X structures: what a driver may declare, what a guest reads and
 * writes, and pages of another process.
 *
 * Input: whether the device is the full one, the least one or anything; the device; accesses. After
 * every write the bits that are read-only stand as they were, and at the end the page is one that
 * a successor takes.
 */
#include <errno.h>

#include "pci/pci-internal.h"
#include "pci/pci.h"

#include "fuzz.h"

#define ACCESSES_MAX 200

static struct umdev_device fuzz_device(struct fuzz_input *in)
{
	struct umdev_device full = {
		.struct_size = sizeof(full),
		.flags = UMDEV_PCI_EXPRESS | UMDEV_PCI_FLR,
		.vendor_id = 0x1b36,
		.device_id = 0x0010,
		.class_code = 0x010802,
		.interrupt_pin = 1,
		.msi_vectors = 32,
		.msix_vectors = 65,
		.msix_bar = 3,
		.msix_table_offset = 0x1000,
		.msix_pba_offset = 0x3000,
		.serial_number = 0x1122334455667788,
		.bars = {[0] = {.size = 16384, .flags = UMDEV_BAR_64},
			 [2] = {.size = 32, .flags = UMDEV_BAR_IO},
			 [3] = {.size = 16384}},
	};
	struct umdev_device least = {
		.struct_size = sizeof(least),
		.vendor_id = 1,
		.msix_bar = UMDEV_NO_BAR,
	};
	struct umdev_device any = {0};
	uint8_t how = fuzz_byte(in);

	if (how % 4 == 0)
		return full;
	if (how % 4 == 1)
		return least;
	if (how % 4 == 2) {
		/* One member is otherwise. */
		uint32_t at = fuzz_pick(in, sizeof(full));

		((uint8_t *)&full)[at] = fuzz_byte(in);
		return full;
	}
	fuzz_copy(in, &any, sizeof(any));
	any.struct_size = sizeof(any);
	if (how & 4)
		any.reserved = 0;
	if (how & 8)
		any.reserved2 = 0;
	return any;
}

/* The bits of @len bytes from @from on that nobody may change are those of @image. */
static void fuzz_same_fixed(const struct pci_function *pci, const uint8_t *image, uint32_t from,
			    uint32_t len)
{
	for (uint32_t i = from; i < from + len; i++) {
		uint8_t fixed = (uint8_t)~pci->writable[i];

		if (i == PCI_STATUS)
			fixed &= (uint8_t)~PCI_STATUS_INTERRUPT;
		fuzz_check(((pci->page->config[i] ^ image[i]) & fixed) == 0);
	}
}

static void fuzz_config(struct pci_function *pci, struct fuzz_input *in, bool write)
{
	uint8_t buf[64] = {0};
	uint32_t offset = fuzz_pick(in, pci->config_size);
	uint32_t len = 1 + fuzz_pick(in, sizeof(buf));
	uint8_t image[PCI_EXPRESS_SIZE];
	uint32_t effects;

	/* As the caller promises. */
	if (len > pci->config_size - offset)
		len = pci->config_size - offset;
	if (!write) {
		pci_config_read(pci, offset, buf, len);
		fuzz_check(memcmp(buf, pci->page->config + offset, len) == 0);
		return;
	}
	fuzz_copy(in, buf, len);
	memcpy(image + offset, pci->page->config + offset, len);
	effects = pci_config_write(pci, offset, buf, len);
	fuzz_check(!(effects & ~(PCI_EFFECT_FLR | PCI_EFFECT_IRQ)));
	fuzz_check(!(effects & PCI_EFFECT_FLR) || pci->device.flags & UMDEV_PCI_FLR);
	fuzz_same_fixed(pci, image, offset, len);
	if (effects & PCI_EFFECT_FLR)
		pci_reset(pci);
}

static void fuzz_msix(struct pci_function *pci, struct fuzz_input *in)
{
	uint8_t buf[32];
	uint8_t how = fuzz_byte(in);
	uint32_t bar = how % UMDEV_BAR_COUNT;
	uint64_t size = pci->device.bars[bar].size;
	uint64_t offset = how & 64 ? pci->device.msix_table_offset : pci->device.msix_pba_offset;
	uint32_t len = 1 + fuzz_pick(in, sizeof(buf));

	offset = how & 32 ? fuzz_take(in, 8) : offset + fuzz_take(in, 2) - 64;
	if (size < len)
		return;
	offset %= size - len + 1;
	fuzz_copy(in, buf, sizeof(buf));
	if (pci_msix_covers(pci, bar, offset, len))
		pci_msix_access(pci, how & 128, offset, buf, len);
}

static void fuzz_access(struct pci_function *pci, struct fuzz_input *in)
{
	switch (fuzz_byte(in) % 8) {
	case 0:
		fuzz_config(pci, in, false);
		break;
	case 1:
		fuzz_msix(pci, in);
		break;
	case 2:
		pci_intx_status(pci, fuzz_byte(in) & 1);
		break;
	case 3:
		pci_reset(pci);
		break;
	default:
		fuzz_config(pci, in, true);
		break;
	}
	fuzz_check(pci_irq_mode(pci) < PCI_IRQ_MODE_COUNT);
	(void)pci_intx_disabled(pci);
	(void)pci_bus_master(pci);
}

/* A page that another process may have left: what stands in it is anything. */
static void fuzz_damage(struct pci_page *page, struct fuzz_input *in)
{
	uint8_t count = fuzz_byte(in) % 16;

	for (uint8_t i = 0; i < count; i++) {
		uint32_t at = fuzz_pick(in, i & 1 ? 512 : sizeof(*page));

		((uint8_t *)page)[at] = fuzz_byte(in);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pci_page page;
	static struct pci_function pci;
	struct fuzz_input in = {.at = data, .left = size};
	struct umdev_device device = fuzz_device(&in);
	struct umdev_error err = {0};
	uint8_t image[PCI_EXPRESS_SIZE];
	bool damaged;
	int r;

	memset(&page, 0, sizeof(page));
	memset(&pci, 0, sizeof(pci));
	r = pci_init(&pci, &device, &page, true, &err);
	fuzz_check(r == 0 || (r == -EINVAL && err.message[0]));
	if (r < 0)
		return 0;
	fuzz_check(pci.config_size == PCI_CONFIG_SIZE || pci.config_size == PCI_EXPRESS_SIZE);
	memcpy(image, page.config, sizeof(image));
	for (int i = 0; i < ACCESSES_MAX && in.left > 8; i++)
		fuzz_access(&pci, &in);
	fuzz_same_fixed(&pci, image, 0, PCI_EXPRESS_SIZE);
	memset(&pci, 0, sizeof(pci));
	fuzz_check(pci_init(&pci, &device, &page, false, &err) == 0);
	damaged = fuzz_byte(&in) & 1;
	if (damaged)
		fuzz_damage(&page, &in);
	memset(&pci, 0, sizeof(pci));
	r = pci_init(&pci, &device, &page, false, &err);
	fuzz_check(r == 0 || (damaged && r == -EBADMSG));
	if (r == 0) {
		fuzz_same_fixed(&pci, image, 0, PCI_EXPRESS_SIZE);
		while (in.left > 0)
			fuzz_access(&pci, &in);
		fuzz_same_fixed(&pci, image, 0, PCI_EXPRESS_SIZE);
	}
	return 0;
}
