/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of a PCI function: what guests read from and write to its page, and what that means.
 */
#include "pci/pci.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "pci/pci-internal.h"

#define PCI_DEVCTL_FLR_BYTE (PCI_EXP_DEVCTL + 1u)
#define PCI_DEVCTL_FLR_BIT  (PCI_EXP_DEVCTL_BCR_FLR >> 8)

size_t pci_page_size(void)
{
	return sizeof(struct pci_page);
}

uint32_t pci_page_version(void)
{
	return PCI_PAGE_VERSION;
}

static uint16_t pci_config_16(const struct pci_function *pci, uint32_t offset)
{
	const uint8_t *config = pci->page->config;

	return (uint16_t)(config[offset] | config[offset + 1] << 8);
}

/* Bits at @offset that the device, not the guest, changes. */
static uint8_t pci_device_bits(uint32_t offset)
{
	return offset == PCI_STATUS ? PCI_STATUS_INTERRUPT : 0;
}

static bool pci_power_state_ok(uint8_t control)
{
	uint8_t state = control & PCI_PM_CTRL_STATE_MASK;

	return state == 0 || state == 3; /* D0, D3hot */
}

/* Whether a page that another process left could have been reached from @image. */
static int pci_validate(const struct pci_function *pci, const uint8_t *image,
			struct umdev_error *err)
{
	const struct pci_page *page = pci->page;

	if (page->version != PCI_PAGE_VERSION || page->size != sizeof(*page)) {
		(void)error_set(err, ERROR_INVALID,
				"PCI state: version %" PRIu32 " of %" PRIu32
				" bytes is not version %u of %zu bytes",
				page->version, page->size, PCI_PAGE_VERSION, sizeof(*page));
		return -EBADMSG;
	}
	for (uint32_t i = 0; i < PCI_EXPRESS_SIZE; i++) {
		uint8_t fixed = (uint8_t) ~(pci->writable[i] | pci_device_bits(i));

		if (!((page->config[i] ^ image[i]) & fixed))
			continue;
		(void)error_set(err, ERROR_INVALID,
				"PCI state: configuration space at 0x%03" PRIx32
				" differs in read-only bits: the device was declared otherwise",
				i);
		return -EBADMSG;
	}
	if (!pci_power_state_ok(page->config[pci->pm_offset + PCI_PM_CTRL])) {
		(void)error_set(err, ERROR_INVALID, "PCI state: the power state does not exist");
		return -EBADMSG;
	}
	for (uint32_t i = 0; i < pci->device.msix_vectors; i++) {
		const struct pci_msix_row *row = &page->msix[i];

		if (!(row->address_low & 3u) && !(row->control & ~PCI_MSIX_ENTRY_CTRL_MASKBIT))
			continue;
		(void)error_set(err, ERROR_INVALID,
				"PCI state: MSI-X row %" PRIu32 " has reserved bits set", i);
		return -EBADMSG;
	}
	return 0;
}

int pci_init(struct pci_function *pci, const struct umdev_device *device, struct pci_page *page,
	     bool fresh, struct umdev_error *err)
{
	uint8_t image[PCI_EXPRESS_SIZE];
	int r = pci_check(device, err);

	if (r < 0)
		return r;
	pci->device = *device;
	pci->page = page;
	if (fresh) {
		page->version = PCI_PAGE_VERSION;
		page->size = sizeof(*page);
		pci_reset(pci);
		return 0;
	}
	pci_layout(pci, image);
	return pci_validate(pci, image, err);
}

void pci_reset(struct pci_function *pci)
{
	pci_layout(pci, pci->page->config);
	for (uint32_t i = 0; i < pci->device.msix_vectors; i++)
		pci->page->msix[i] = (struct pci_msix_row){.control = PCI_MSIX_ENTRY_CTRL_MASKBIT};
}

void pci_config_read(const struct pci_function *pci, uint32_t offset, void *buf, uint32_t len)
{
	memcpy(buf, pci->page->config + offset, len);
}

/* Whether a change of the byte at @offset can change how interrupts are delivered. */
static bool pci_irq_byte(const struct pci_function *pci, uint32_t offset)
{
	uint32_t msi = pci->msi_offset;
	uint32_t msix = pci->msix_offset;

	if (offset == PCI_COMMAND + 1)
		return true;
	if (msi && (offset == msi + PCI_MSI_FLAGS ||
		    (offset >= msi + PCI_MSI_MASK_64 && offset < msi + PCI_MSI_MASK_64 + 4)))
		return true;
	return msix && offset == msix + PCI_MSIX_FLAGS + 1;
}

uint32_t pci_config_write(struct pci_function *pci, uint32_t offset, const void *buf, uint32_t len)
{
	const uint8_t *bytes = buf;
	uint32_t effects = 0;

	for (uint32_t i = 0; i < len; i++) {
		uint32_t at = offset + i;
		uint8_t mask = pci->writable[at];
		uint8_t old = pci->page->config[at];
		uint8_t new = (uint8_t)((old & ~mask) | (bytes[i] & mask));

		/* A write of a power state that there is not is discarded. */
		if (at == (uint32_t)pci->pm_offset + PCI_PM_CTRL && !pci_power_state_ok(new))
			continue;
		if (pci->device.flags & UMDEV_PCI_FLR &&
		    at == (uint32_t)pci->express_offset + PCI_DEVCTL_FLR_BYTE &&
		    bytes[i] & PCI_DEVCTL_FLR_BIT)
			effects |= PCI_EFFECT_FLR;
		if (old != new &&pci_irq_byte(pci, at))
			effects |= PCI_EFFECT_IRQ;
		pci->page->config[at] = new;
	}
	return effects;
}

bool pci_msix_covers(const struct pci_function *pci, uint32_t bar, uint64_t offset, uint64_t len)
{
	const struct umdev_device *device = &pci->device;

	if (!device->msix_vectors || bar != device->msix_bar)
		return false;
	return pci_ranges_overlap(offset, len, device->msix_table_offset,
				  pci_msix_table_size(device)) ||
	       pci_ranges_overlap(offset, len, device->msix_pba_offset, pci_msix_pba_size(device));
}

/* Bits that a guest may change in byte @at of a row of the MSI-X table. */
static uint8_t pci_msix_writable(uint32_t at)
{
	if (at == PCI_MSIX_ENTRY_LOWER_ADDR)
		return 0xfc;
	if (at < PCI_MSIX_ENTRY_VECTOR_CTRL)
		return 0xff;
	return at == PCI_MSIX_ENTRY_VECTOR_CTRL ? PCI_MSIX_ENTRY_CTRL_MASKBIT : 0;
}

void pci_msix_access(struct pci_function *pci, bool write, uint64_t offset, void *buf, uint32_t len)
{
	uint8_t *table = (uint8_t *)pci->page->msix;
	uint64_t table_offset = pci->device.msix_table_offset;
	uint64_t table_size = pci_msix_table_size(&pci->device);
	uint8_t *bytes = buf;

	for (uint32_t i = 0; i < len; i++) {
		uint64_t at = offset + i - table_offset; /* wraps below the table */
		uint8_t mask;

		if (at >= table_size) {
			if (!write)
				bytes[i] = 0;
			continue;
		}
		if (!write) {
			bytes[i] = table[at];
			continue;
		}
		mask = pci_msix_writable(at % PCI_MSIX_ROW_SIZE);
		table[at] = (uint8_t)((table[at] & ~mask) | (bytes[i] & mask));
	}
}

void pci_load(struct pci_function *pci, const struct pci_page *from)
{
	const uint8_t *rows = (const uint8_t *)from->msix;
	uint8_t *table = (uint8_t *)pci->page->msix;

	pci_reset(pci);
	for (uint32_t at = 0; at < PCI_EXPRESS_SIZE; at++) {
		uint8_t mask = pci->writable[at];
		uint8_t *byte = &pci->page->config[at];
		uint8_t new = (uint8_t)((*byte & ~mask) | (from->config[at] & mask));

		if (at == (uint32_t)pci->pm_offset + PCI_PM_CTRL && !pci_power_state_ok(new))
			continue;
		*byte = new;
	}
	for (uint64_t at = 0; at < pci_msix_table_size(&pci->device); at++) {
		uint8_t mask = pci_msix_writable(at % PCI_MSIX_ROW_SIZE);

		table[at] = (uint8_t)((table[at] & ~mask) | (rows[at] & mask));
	}
}

enum pci_irq_mode pci_irq_mode(const struct pci_function *pci)
{
	if (pci->msix_offset &&
	    pci_config_16(pci, pci->msix_offset + PCI_MSIX_FLAGS) & PCI_MSIX_FLAGS_ENABLE)
		return PCI_IRQ_MSIX;
	if (pci->msi_offset &&
	    pci_config_16(pci, pci->msi_offset + PCI_MSI_FLAGS) & PCI_MSI_FLAGS_ENABLE)
		return PCI_IRQ_MSI;
	return PCI_IRQ_INTX;
}

bool pci_intx_disabled(const struct pci_function *pci)
{
	return pci_config_16(pci, PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE;
}

void pci_intx_status(struct pci_function *pci, bool level)
{
	uint8_t *status = &pci->page->config[PCI_STATUS];

	*status = (uint8_t)((*status & ~PCI_STATUS_INTERRUPT) | (level ? PCI_STATUS_INTERRUPT : 0));
}

bool pci_bus_master(const struct pci_function *pci)
{
	return pci_config_16(pci, PCI_COMMAND) & PCI_COMMAND_MASTER;
}
