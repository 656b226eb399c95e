/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Making and unmaking a controller, and what the guest's PCI bus sees of it.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core.h"

/*
 * The id under which vfio-user NVMe controllers are known already (SPDK's target has it): class
 * drivers bind to it by class code, and no stock driver has a quirk for it. QEMU's 1b36:0010 would
 * switch off Write Zeroes and all namespace identifiers in Linux.
 */
#define DEVICE_VENDOR	   0x4e58
#define DEVICE_ID	   0x0001
#define DEVICE_CLASS	   0x010802u /* mass storage, NVM, NVM Express */

#define REGISTERS_BAR_SIZE 0x4000u
#define MSIX_BAR	   4u
#define MSIX_BAR_SIZE	   0x1000u
#define MSIX_PBA_OFFSET	   0x800u

static int device_parse_uuid(const char *text, uint8_t ret_uuid[16])
{
	uint32_t n = 0;

	for (; *text; text++) {
		uint32_t digit;

		if (*text == '-')
			continue;
		if (!isxdigit((unsigned char)*text) || n >= 32)
			return -EINVAL;
		digit = isdigit((unsigned char)*text)
				? (uint32_t)(*text - '0')
				: (uint32_t)(tolower((unsigned char)*text) - 'a' + 10);
		ret_uuid[n / 2] = (uint8_t)(ret_uuid[n / 2] << 4 | digit);
		n++;
	}
	return n == 32 ? 0 : -EINVAL;
}

static bool device_printable(const char *text)
{
	for (; *text; text++) {
		if (*text < 0x20 || *text > 0x7e)
			return false;
	}
	return true;
}

/* Serial and model number: at most as long as Identify has room, ASCII. */
static int device_names(struct nvme_ctrl *ctrl, const struct umdev_value *values)
{
	const char *serial = values[NVME_ATTR_SERIAL].text;
	const char *model = values[NVME_ATTR_MODEL].text;

	if (!device_printable(serial) || strlen(serial) >= sizeof(ctrl->serial))
		return nvme_host->fail(EINVAL, "serial must be at most 20 printable ASCII "
					       "characters");
	if (!device_printable(model) || strlen(model) >= sizeof(ctrl->model))
		return nvme_host->fail(EINVAL, "model must be at most 40 printable ASCII "
					       "characters");
	snprintf(ctrl->model, sizeof(ctrl->model), "%s", model);
	if (*serial) {
		snprintf(ctrl->serial, sizeof(ctrl->serial), "%s", serial);
		return 0;
	}
	for (uint32_t i = 0; i < 10; i++)
		snprintf(ctrl->serial + 2 * i, 3, "%02x", ctrl->uuid[i]);
	return 0;
}

static uint32_t device_vectors(const struct nvme_ctrl *ctrl)
{
	uint32_t n = 1;

	switch (ctrl->interrupts) {
	case NVME_INTERRUPTS_MSIX:
		return ctrl->queues + 1;
	case NVME_INTERRUPTS_MSI:
		while (n < ctrl->queues + 1 && n < 32)
			n *= 2;
		return n;
	default:
		return 1;
	}
}

static void device_describe(const struct nvme_ctrl *ctrl, struct umdev_device *dev)
{
	uint64_t serial = 0;

	for (uint32_t i = 0; i < 8; i++)
		serial = serial << 8 | ctrl->uuid[i];
	dev->flags = UMDEV_PCI_EXPRESS | UMDEV_PCI_FLR;
	dev->vendor_id = DEVICE_VENDOR;
	dev->device_id = DEVICE_ID;
	dev->subsystem_vendor_id = DEVICE_VENDOR;
	dev->subsystem_id = DEVICE_ID;
	dev->class_code = DEVICE_CLASS;
	dev->revision_id = 1;
	dev->interrupt_pin = 1;
	dev->serial_number = serial;
	dev->bars[0].size = REGISTERS_BAR_SIZE;
	dev->bars[0].flags = UMDEV_BAR_64;
	if (ctrl->shared) {
		dev->bars[0].mmap[0].offset = NVME_DOORBELLS;
		dev->bars[0].mmap[0].size = 0x1000;
	}
	if (ctrl->interrupts == NVME_INTERRUPTS_MSI)
		dev->msi_vectors = (uint16_t)ctrl->vectors;
	if (ctrl->interrupts == NVME_INTERRUPTS_MSIX) {
		dev->bars[MSIX_BAR].size = MSIX_BAR_SIZE;
		dev->msix_bar = MSIX_BAR;
		dev->msix_vectors = (uint16_t)ctrl->vectors;
		dev->msix_pba_offset = MSIX_PBA_OFFSET;
	}
}

void nvme_state_init(struct nvme_ctrl *ctrl)
{
	memset(ctrl->state, 0, sizeof(*ctrl->state) - sizeof(ctrl->state->cmds));
	ctrl->state->magic = NVME_STATE_MAGIC;
	ctrl->state->smart.power_cycles = 1;
	ctrl->state->smart.created_ns = nvme_host->now_ns();
	nvme_features_init(ctrl);
}

static struct nvme_ctrl *device_new(struct nvme_parent *parent, struct umdev_mdev *mdev,
				    const struct umdev_mdev_args *args)
{
	struct nvme_ctrl *ctrl = calloc(1, sizeof(*ctrl));

	if (!ctrl)
		return NULL;
	/* Most of this is never touched: it is as large as the largest load needs. */
	ctrl->arena = mmap(NULL, sizeof(*ctrl->arena), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ctrl->arena == MAP_FAILED) {
		free(ctrl);
		return NULL;
	}
	ctrl->parent = parent;
	ctrl->mdev = mdev;
	ctrl->state = args->state;
	ctrl->base = args->piece_start;
	ctrl->block_shift = parent->block_size == 4096 ? 12 : 9;
	ctrl->blocks = args->piece_size >> ctrl->block_shift;
	ctrl->page_shift = 12;
	ctrl->free_count = NVME_SLOTS;
	ctrl->small_free = (1u << NVME_SMALL_COUNT) - 1;
	ctrl->large_free = (1u << NVME_LARGE_COUNT) - 1;
	TAILQ_INIT(&ctrl->free);
	TAILQ_INIT(&ctrl->waiting[0]);
	TAILQ_INIT(&ctrl->waiting[1]);
	for (uint32_t i = 0; i < NVME_QUEUES; i++) {
		TAILQ_INIT(&ctrl->cq[i].pending);
		ctrl->cq[i].phase = 1;
	}
	return ctrl;
}

static int device_setup(struct nvme_ctrl *ctrl, const struct umdev_mdev_args *args)
{
	const struct nvme_parent *parent = ctrl->parent;
	const struct umdev_value *values = args->values;
	int rc;

	if (args->piece_start > parent->size ||
	    args->piece_size > parent->size - args->piece_start || args->piece_size == 0)
		return nvme_host->fail(EINVAL, "the piece of the parent does not lie inside of it");
	rc = device_parse_uuid(args->uuid, ctrl->uuid);
	if (rc < 0)
		return nvme_host->fail(EINVAL, "'%s' is not a UUID", args->uuid);
	snprintf(ctrl->uuid_text, sizeof(ctrl->uuid_text), "%s", args->uuid);
	ctrl->shared = values[NVME_ATTR_DOORBELLS].number == 1;
	ctrl->interrupts = (uint8_t)values[NVME_ATTR_INTERRUPTS].number;
	ctrl->queues = (uint32_t)values[NVME_ATTR_QUEUES].number;
	ctrl->vectors = device_vectors(ctrl);
	rc = device_names(ctrl, values);
	if (rc < 0 || args->state_origin == UMDEV_STATE_NEW)
		return rc;
	return nvme_state_check(ctrl);
}

int nvme_mdev_create(void *parent_priv, struct umdev_mdev *mdev, const struct umdev_mdev_args *args,
		     struct umdev_device *ret_device, void **ret_priv)
{
	struct nvme_ctrl *ctrl = device_new(parent_priv, mdev, args);
	int rc;

	if (!ctrl)
		return nvme_host->fail(ENOMEM, "out of memory for a controller");
	rc = device_setup(ctrl, args);
	if (rc < 0) {
		nvme_mdev_remove(ctrl);
		return rc;
	}
	device_describe(ctrl, ret_device);
	if (args->state_origin == UMDEV_STATE_RESUME)
		nvme_state_resume(ctrl);
	else
		nvme_state_init(ctrl);
	*ret_priv = ctrl;
	return 0;
}

void nvme_mdev_remove(void *mdev_priv)
{
	struct nvme_ctrl *ctrl = mdev_priv;

	if (ctrl->in_dirty)
		TAILQ_REMOVE(&ctrl->parent->dirty, ctrl, dirty_link);
	munmap(ctrl->arena, sizeof(*ctrl->arena));
	free(ctrl);
}

void nvme_stats_get(void *mdev_priv, uint64_t *values)
{
	const struct nvme_ctrl *ctrl = mdev_priv;
	const struct nvme_state_smart *smart = &ctrl->state->smart;

	values[NVME_STAT_READS] = smart->reads;
	values[NVME_STAT_WRITES] = smart->writes;
	values[NVME_STAT_READ_BYTES] = smart->read_bytes;
	values[NVME_STAT_WRITE_BYTES] = smart->write_bytes;
	values[NVME_STAT_FLUSHES] = smart->flushes;
	values[NVME_STAT_OTHER] = smart->others;
	values[NVME_STAT_ERRORS] = smart->errors;
	values[NVME_STAT_IN_FLIGHT] = ctrl->working;
	values[NVME_STAT_INTERRUPTS] = ctrl->counters.interrupts;
	values[NVME_STAT_TRAPPED] = ctrl->counters.trapped;
	values[NVME_STAT_SHADOW] = ctrl->state->shadow != 0;
	values[NVME_STAT_POLL_MODE] = ctrl->polling;
	values[NVME_STAT_POLLS] = ctrl->counters.polls;
	values[NVME_STAT_SLEEPS] = ctrl->counters.sleeps;
	values[NVME_STAT_COPIED_BYTES] = ctrl->counters.copied_bytes;
	values[NVME_STAT_FATAL] = ctrl->counters.fatal;
}
