/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Configuration space of a function: where its capabilities stand, their reset values, and which
 * bits a guest may change.
 *
 * Order: header | PM | MSI | MSI-X | PCI Express, each only where the device has it, and in
 * extended space the device serial number. Offsets depend on the declaration alone, never on a
 * process, so a page laid out by one process means the same to the next.
 *
 * Bits that a guest may not change stay as laid out, with two exceptions that the device itself
 * moves: Interrupt Status, and the power state, which takes the values D0 and D3hot only.
 */
#include <endian.h>
#include <string.h>

#include "pci/pci-internal.h"

#define LAYOUT_FIRST_CAP  0x40u
#define LAYOUT_PM_SIZE	  8u
#define LAYOUT_MSI_SIZE	  24u
#define LAYOUT_MSIX_SIZE  12u
#define LAYOUT_EXP_SIZE	  60u

#define LAYOUT_LINK_SPEED 3u /* 8 GT/s */
#define LAYOUT_LINK_WIDTH 4u

/* A layout in the making. */
struct layout {
	struct pci_function *pci;
	uint8_t *image;
	uint32_t next;	/* where the next capability goes */
	uint32_t chain; /* the byte that points to it */
};

static void layout_16(struct layout *l, uint32_t offset, uint16_t value, uint16_t writable)
{
	uint16_t raw_value = htole16(value);
	uint16_t raw_mask = htole16(writable);

	memcpy(l->image + offset, &raw_value, sizeof(raw_value));
	memcpy(l->pci->writable + offset, &raw_mask, sizeof(raw_mask));
}

static void layout_32(struct layout *l, uint32_t offset, uint32_t value, uint32_t writable)
{
	uint32_t raw_value = htole32(value);
	uint32_t raw_mask = htole32(writable);

	memcpy(l->image + offset, &raw_value, sizeof(raw_value));
	memcpy(l->pci->writable + offset, &raw_mask, sizeof(raw_mask));
}

/* Opens a capability of @size bytes at the end of the list. Returns its offset. */
static uint32_t layout_capability(struct layout *l, uint8_t id, uint32_t size)
{
	uint32_t offset = l->next;

	l->image[l->chain] = (uint8_t)offset;
	l->image[offset + PCI_CAP_LIST_ID] = id;
	l->chain = offset + PCI_CAP_LIST_NEXT;
	l->next = offset + ((size + 3u) & ~3u);
	return offset;
}

static void layout_header(struct layout *l)
{
	const struct umdev_device *device = &l->pci->device;
	uint16_t command = PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | PCI_COMMAND_SERR |
			   PCI_COMMAND_INTX_DISABLE;

	for (uint32_t i = 0; i < UMDEV_BAR_COUNT; i++)
		if (device->bars[i].size)
			command |= device->bars[i].flags & UMDEV_BAR_IO ? PCI_COMMAND_IO
									: PCI_COMMAND_MEMORY;
	layout_16(l, PCI_VENDOR_ID, device->vendor_id, 0);
	layout_16(l, PCI_DEVICE_ID, device->device_id, 0);
	layout_16(l, PCI_COMMAND, 0, command);
	layout_16(l, PCI_STATUS, PCI_STATUS_CAP_LIST, 0);
	layout_32(l, PCI_CLASS_REVISION, device->class_code << 8 | device->revision_id, 0);
	l->pci->writable[PCI_CACHE_LINE_SIZE] = 0xff;
	if (!(device->flags & UMDEV_PCI_EXPRESS))
		l->pci->writable[PCI_LATENCY_TIMER] = 0xf8;
	l->image[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_NORMAL;
	layout_16(l, PCI_SUBSYSTEM_VENDOR_ID, device->subsystem_vendor_id, 0);
	layout_16(l, PCI_SUBSYSTEM_ID, device->subsystem_id, 0);
	l->pci->writable[PCI_INTERRUPT_LINE] = 0xff;
	l->image[PCI_INTERRUPT_PIN] = device->interrupt_pin;
}

static void layout_bars(struct layout *l)
{
	for (uint32_t i = 0; i < UMDEV_BAR_COUNT; i++) {
		const struct umdev_bar *bar = &l->pci->device.bars[i];
		uint32_t offset = PCI_BASE_ADDRESS_0 + 4 * i;
		uint64_t mask = ~(bar->size - 1);
		uint32_t value = PCI_BASE_ADDRESS_SPACE_MEMORY;

		if (!bar->size)
			continue;
		if (bar->flags & UMDEV_BAR_IO) {
			layout_32(l, offset, PCI_BASE_ADDRESS_SPACE_IO, (uint32_t)mask);
			continue;
		}
		if (bar->flags & UMDEV_BAR_PREFETCH)
			value |= PCI_BASE_ADDRESS_MEM_PREFETCH;
		if (bar->flags & UMDEV_BAR_64) {
			value |= PCI_BASE_ADDRESS_MEM_TYPE_64;
			layout_32(l, offset + 4, 0, (uint32_t)(mask >> 32));
		}
		layout_32(l, offset, value, (uint32_t)mask);
	}
}

static void layout_pm(struct layout *l)
{
	uint32_t offset = layout_capability(l, PCI_CAP_ID_PM, LAYOUT_PM_SIZE);

	layout_16(l, offset + PCI_PM_PMC, 3, 0); /* version 1.2: D0 and D3hot, no PME */
	layout_16(l, offset + PCI_PM_CTRL, PCI_PM_CTRL_NO_SOFT_RESET, PCI_PM_CTRL_STATE_MASK);
	l->pci->pm_offset = (uint16_t)offset;
}

static void layout_msi(struct layout *l)
{
	uint32_t vectors = l->pci->device.msi_vectors;
	uint32_t offset = layout_capability(l, PCI_CAP_ID_MSI, LAYOUT_MSI_SIZE);
	uint16_t log2 = (uint16_t)__builtin_ctz(vectors);

	layout_16(l, offset + PCI_MSI_FLAGS,
		  (uint16_t)(PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_MASKBIT | log2 << 1),
		  PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE);
	layout_32(l, offset + PCI_MSI_ADDRESS_LO, 0, ~3u);
	layout_32(l, offset + PCI_MSI_ADDRESS_HI, 0, ~0u);
	layout_16(l, offset + PCI_MSI_DATA_64, 0, 0xffff);
	layout_32(l, offset + PCI_MSI_MASK_64, 0, (uint32_t)((UINT64_C(1) << vectors) - 1));
	l->pci->msi_offset = (uint16_t)offset;
}

static void layout_msix(struct layout *l)
{
	const struct umdev_device *device = &l->pci->device;
	uint32_t offset = layout_capability(l, PCI_CAP_ID_MSIX, LAYOUT_MSIX_SIZE);

	layout_16(l, offset + PCI_MSIX_FLAGS, (uint16_t)(device->msix_vectors - 1),
		  PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	layout_32(l, offset + PCI_MSIX_TABLE, device->msix_table_offset | device->msix_bar, 0);
	layout_32(l, offset + PCI_MSIX_PBA, device->msix_pba_offset | device->msix_bar, 0);
	l->pci->msix_offset = (uint16_t)offset;
}

static void layout_express(struct layout *l)
{
	bool flr = l->pci->device.flags & UMDEV_PCI_FLR;
	uint32_t offset = layout_capability(l, PCI_CAP_ID_EXP, LAYOUT_EXP_SIZE);

	layout_16(l, offset + PCI_EXP_FLAGS, 2 | PCI_EXP_TYPE_ENDPOINT << 4, 0);
	layout_32(l, offset + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_RBER | (flr ? PCI_EXP_DEVCAP_FLR : 0u),
		  0);
	layout_16(l, offset + PCI_EXP_DEVCTL,
		  PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_NOSNOOP_EN | PCI_EXP_DEVCTL_READRQ_512B,
		  PCI_EXP_DEVCTL_CERE | PCI_EXP_DEVCTL_NFERE | PCI_EXP_DEVCTL_FERE |
			  PCI_EXP_DEVCTL_URRE | PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_PAYLOAD |
			  PCI_EXP_DEVCTL_NOSNOOP_EN | PCI_EXP_DEVCTL_READRQ);
	layout_32(l, offset + PCI_EXP_LNKCAP, LAYOUT_LINK_SPEED | LAYOUT_LINK_WIDTH << 4, 0);
	layout_16(l, offset + PCI_EXP_LNKCTL, 0,
		  PCI_EXP_LNKCTL_ASPMC | PCI_EXP_LNKCTL_RCB | PCI_EXP_LNKCTL_CCC |
			  PCI_EXP_LNKCTL_ES);
	layout_16(l, offset + PCI_EXP_LNKSTA, LAYOUT_LINK_SPEED | LAYOUT_LINK_WIDTH << 4, 0);
	layout_32(l, offset + PCI_EXP_DEVCAP2, PCI_EXP_DEVCAP2_COMP_TMOUT_DIS, 0);
	layout_16(l, offset + PCI_EXP_DEVCTL2, 0, PCI_EXP_DEVCTL2_COMP_TMOUT_DIS);
	layout_32(l, offset + PCI_EXP_LNKCAP2, ((1u << LAYOUT_LINK_SPEED) - 1) << 1, 0);
	layout_16(l, offset + PCI_EXP_LNKCTL2, LAYOUT_LINK_SPEED, PCI_EXP_LNKCTL2_TLS);
	l->pci->express_offset = (uint16_t)offset;
}

static void layout_serial_number(struct layout *l)
{
	uint64_t number = l->pci->device.serial_number;
	uint32_t offset = PCI_CFG_SPACE_SIZE;

	layout_32(l, offset, PCI_EXT_CAP_ID_DSN | 1u << 16, 0); /* version 1, the last */
	layout_32(l, offset + 4, (uint32_t)number, 0);
	layout_32(l, offset + 8, (uint32_t)(number >> 32), 0);
}

void pci_layout(struct pci_function *pci, uint8_t *image)
{
	struct layout l = {
		.pci = pci,
		.image = image,
		.next = LAYOUT_FIRST_CAP,
		.chain = PCI_CAPABILITY_LIST,
	};

	memset(image, 0, PCI_EXPRESS_SIZE);
	memset(pci->writable, 0, sizeof(pci->writable));
	pci->config_size = PCI_CONFIG_SIZE;
	pci->msi_offset = 0;
	pci->msix_offset = 0;
	pci->express_offset = 0;
	layout_header(&l);
	layout_bars(&l);
	layout_pm(&l);
	if (pci->device.msi_vectors)
		layout_msi(&l);
	if (pci->device.msix_vectors)
		layout_msix(&l);
	if (pci->device.flags & UMDEV_PCI_EXPRESS) {
		pci->config_size = PCI_EXPRESS_SIZE;
		layout_express(&l);
	}
	if (pci->device.serial_number)
		layout_serial_number(&l);
}
