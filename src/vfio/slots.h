/* SPDX-License-Identifier: BSD-3-Clause */
/* Slots: the numbers under which a session's descriptors are kept outside of the process. */
#pragma once

#define VFIO_IRQ_COUNT	     5 /* INTx, MSI, MSI-X, ERR, REQ */

#define VFIO_SLOT_CONNECTION 0u
#define VFIO_SLOT_BAR                                                                              \
	1u /* + the BAR's number: the memfd behind its mmap areas (the device's, not the           \
	      session's) */
#define VFIO_SLOT_STREAM     7u /* the state of the device on its way out or in */
#define VFIO_SLOT_DRIVER     8u /* + number: what a driver had kept (the device's) */
#define VFIO_SLOT_DRIVER_MAX 8u
#define VFIO_SLOT_MEMORY     16u /* + file number: guest memory */
#define VFIO_SLOT_MEMORY_MAX 1024u
#define VFIO_SLOT_NEXT	     1040u /* the connection of the next client, while the last one leaves */
#define VFIO_SLOT_IRQ	     2048u /* + (index << 12) + vector: interrupt eventfds */
#define VFIO_SLOT_COUNT	     (VFIO_SLOT_IRQ + (VFIO_IRQ_COUNT << 12))
