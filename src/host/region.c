/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a client's access to a region becomes: configuration space and MSI-X structures are served
 * by pci, the rest of the BARs by the driver, cut into naturally aligned pieces of at most eight
 * bytes.
 */
#include <errno.h>
#include <string.h>

#include "host/host.h"
#include "host/inside.h"
#include "host/rest.h"

void host_intx_update(struct umdev_mdev *mdev)
{
	bool level = mdev->level && pci_irq_mode(&mdev->pci) == PCI_IRQ_INTX;

	pci_intx_status(&mdev->pci, level);
	if (mdev->session)
		vfio_irq_intx(mdev->session, level && !pci_intx_disabled(&mdev->pci));
}

int host_mdev_reset(struct umdev_mdev *mdev, uint32_t kind)
{
	int r = host_wake_any(mdev);

	if (r < 0)
		return r;
	pci_reset(&mdev->pci);
	mdev->level = false;
	host_intx_update(mdev);
	host_mdev_in(mdev);
	r = driver_reset(&mdev->parent->driver, mdev->priv, kind);
	host_mdev_out(mdev);
	return r;
}

static int region_config(struct umdev_mdev *mdev, bool write, uint64_t offset, void *buf,
			 uint32_t count)
{
	uint32_t effects;
	int r;

	if (!write) {
		pci_config_read(&mdev->pci, (uint32_t)offset, buf, count);
		return 0;
	}
	effects = pci_config_write(&mdev->pci, (uint32_t)offset, buf, count);
	if (effects & PCI_EFFECT_IRQ)
		host_intx_update(mdev);
	if (!(effects & PCI_EFFECT_FLR))
		return 0;
	if (mdev->rest != HOST_REST_NO)
		return -EBUSY; /* a guest that does not run resets nothing; its VMM has a command */
	r = host_mdev_reset(mdev, UMDEV_RESET_FLR);
	if (r == -EINPROGRESS)
		mdev->pending = HOST_PENDING_RESET;
	return r;
}

/*
 * Moves @count bytes between a message and shared memory, four and eight aligned ones in one
 * access: whoever maps the area must not see half a doorbell.
 */
static void region_copy(void *memory, void *buf, uint32_t count, bool write)
{
	uintptr_t at = (uintptr_t)memory;
	uint32_t word;
	uint64_t quad;

	if (count == sizeof(word) && at % sizeof(word) == 0) {
		if (write) {
			memcpy(&word, buf, sizeof(word));
			__atomic_store_n((uint32_t *)memory, word, __ATOMIC_RELEASE);
		} else {
			word = __atomic_load_n((uint32_t *)memory, __ATOMIC_ACQUIRE);
			memcpy(buf, &word, sizeof(word));
		}
	} else if (count == sizeof(quad) && at % sizeof(quad) == 0) {
		if (write) {
			memcpy(&quad, buf, sizeof(quad));
			__atomic_store_n((uint64_t *)memory, quad, __ATOMIC_RELEASE);
		} else {
			quad = __atomic_load_n((uint64_t *)memory, __ATOMIC_ACQUIRE);
			memcpy(buf, &quad, sizeof(quad));
		}
	} else if (write) {
		memcpy(memory, buf, count);
	} else {
		memcpy(buf, memory, count);
	}
}

/* Parts of an mmap area are shared memory: messages must see what maps see. */
static bool region_in_area(struct umdev_mdev *mdev, uint32_t bar, bool write, uint64_t offset,
			   void *buf, uint32_t count)
{
	for (uint32_t i = 0; i < UMDEV_MMAP_COUNT; i++) {
		const struct umdev_mmap_area *a = &mdev->pci.device.bars[bar].mmap[i];

		if (a->size < count || offset < a->offset || offset - a->offset > a->size - count)
			continue;
		region_copy((char *)mdev->bar_memory[bar] + offset, buf, count, write);
		return true;
	}
	return false;
}

/* The largest naturally aligned piece at @offset of what is left. */
static uint32_t region_piece(uint64_t offset, uint32_t left)
{
	uint32_t len = 8;

	while (len > left || (offset & (len - 1)))
		len /= 2;
	return len;
}

static int region_driver(struct umdev_mdev *mdev, uint32_t bar, bool write, uint64_t offset,
			 uint8_t *buf, uint32_t count)
{
	const struct host_driver *d = &mdev->parent->driver;

	mdev->piece = 0;
	if (mdev->rest != HOST_REST_NO)
		return -EBUSY;
	while (count > 0) {
		uint32_t len = region_piece(offset, count);
		int r = write ? driver_region_write(d, mdev->priv, bar, offset, buf, len)
			      : driver_region_read(d, mdev->priv, bar, offset, buf, len);

		if (r < 0)
			return r;
		mdev->piece++;
		offset += len;
		buf += len;
		count -= len;
	}
	return 0;
}

static int region_access(struct umdev_mdev *mdev, uint32_t region, bool write, uint64_t offset,
			 void *buf, uint32_t count)
{
	if (region == VFIO_REGION_CONFIG)
		return region_config(mdev, write, offset, buf, count);
	if (region >= UMDEV_BAR_COUNT)
		return -EINVAL;
	if (pci_msix_covers(&mdev->pci, region, offset, count)) {
		pci_msix_access(&mdev->pci, write, offset, buf, count);
		return 0;
	}
	if (mdev->bar_memory[region] && region_in_area(mdev, region, write, offset, buf, count)) {
		if (write && mdev->created)
			driver_poll(&mdev->parent->driver, mdev->priv);
		return 0;
	}
	return region_driver(mdev, region, write, offset, buf, count);
}

int host_region_access(void *device, uint32_t region, bool write, uint64_t offset, void *buf,
		       uint32_t count)
{
	struct umdev_mdev *mdev = device;
	int r;

	host_mdev_in(mdev);
	r = region_access(mdev, region, write, offset, buf, count);
	host_mdev_out(mdev);
	return r;
}
