/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * PCI for any driver: configuration space, BARs, capabilities, MSI and MSI-X, built from the struct
 * umdev_device that a driver fills. No I/O, no allocation; all that a guest can see is in struct
 * pci_page, a part of the state page.
 *
 * VMMs emulate MSI-X tables themselves and never forward accesses to them (QEMU), so delivery never
 * depends on the table here; table and PBA are served for clients that look. Sources: PCI Local
 * Bus 3.0 chapter 6, PCI Express Base 4.0 chapter 7.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <umdev/driver.h>

#include "util/cleanup.h"
#include "util/error.h"

#define PCI_CONFIG_SIZE	     256
#define PCI_EXPRESS_SIZE     4096
#define PCI_MSIX_VECTORS_MAX 2048

/* What a configuration write asks of the device. */
#define PCI_EFFECT_FLR 1u /* function level reset was started by the guest */
#define PCI_EFFECT_IRQ 2u /* interrupt kind, masks or INTx disable may have changed */

/* How the guest wants its interrupts at present. */
enum pci_irq_mode { PCI_IRQ_INTX, PCI_IRQ_MSI, PCI_IRQ_MSIX, PCI_IRQ_MODE_COUNT };

struct pci_page; /* guest-visible PCI state, pointer-free: see pci-page.h */

/* One function: constant description and a borrowed page. Embed it; zero it before pci_init(). */
struct pci_function {
	struct umdev_device device;
	struct pci_page *page;
	uint32_t config_size;
	uint16_t pm_offset; /* of capabilities in configuration space; 0 absent */
	uint16_t msi_offset;
	uint16_t msix_offset;
	uint16_t express_offset;
	uint8_t writable[PCI_EXPRESS_SIZE]; /* mask of bits a guest may change */
};

/* Bytes of the PCI part of a state page. */
size_t pci_page_size(void);

/*
 * Checks what a driver declared (@err names the rule that is broken, -EINVAL) and lays out
 * configuration space. With @fresh the page is filled with reset values; without, its contents are
 * validated against the layout (-EBADMSG).
 */
int pci_init(struct pci_function *pci, const struct umdev_device *device, struct pci_page *page,
	     bool fresh, struct umdev_error *err) umdev_warn_unused;

/* The layout of struct pci_page. */
uint32_t pci_page_version(void);

/*
 * Takes over what a guest can change of @from, a page of this version that comes from elsewhere and
 * may hold anything: what is not the guest's to write stays as declared.
 */
void pci_load(struct pci_function *pci, const struct pci_page *from);

/* Brings configuration space, MSI-X table and PBA to their reset values; BAR addresses too. */
void pci_reset(struct pci_function *pci);

/* @len bytes at @offset, any alignment, up to the whole space. The caller has checked the range
 * against config_size. */
void pci_config_read(const struct pci_function *pci, uint32_t offset, void *buf, uint32_t len);

/* As above; read-only bits stay. Returns PCI_EFFECT_* bits. A started FLR does not reset by itself:
 * the caller calls pci_reset(). */
uint32_t pci_config_write(struct pci_function *pci, uint32_t offset, const void *buf, uint32_t len);

/* True when [@offset, +@len) of BAR @bar touches the MSI-X table or PBA, which pci_msix_access()
 * serves. */
bool pci_msix_covers(const struct pci_function *pci, uint32_t bar, uint64_t offset, uint64_t len);

/* Access inside the BAR that holds the MSI-X structures; parts outside of them read zero and ignore
 * writes. */
void pci_msix_access(struct pci_function *pci, bool write, uint64_t offset, void *buf,
		     uint32_t len);

/* How interrupts are delivered, and whether INTx is disabled in the command register. */
enum pci_irq_mode pci_irq_mode(const struct pci_function *pci);
bool pci_intx_disabled(const struct pci_function *pci);

/* Sets the Interrupt Status bit of the status register. */
void pci_intx_status(struct pci_function *pci, bool level);

/* Whether the guest enabled bus mastering (command register bit 2). */
bool pci_bus_master(const struct pci_function *pci);
