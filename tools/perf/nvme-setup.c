/* SPDX-License-Identifier: BSD-3-Clause */
/* What a controller must be asked and told before it is of use. See nvme-internal.h. */
#include "nvme-internal.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "util/fd.h"

#define PCI_COMMAND	  0x04u
#define PCI_STATUS	  0x06u
#define PCI_CAPABILITIES  0x34u
#define PCI_MEMORY_MASTER 0x06u
#define PCI_STATUS_CAPS	  0x10u
#define PCI_CAP_MSI	  0x05u
#define PCI_CAP_MSIX	  0x11u
#define PCI_MSIX_ENABLE	  0x8000u
#define PCI_MSIX_MASK	  0x4000u
#define PCI_MSI_ENABLE	  0x0001u

void nvme_queue_setup(struct nvme_ctrl *ctrl, struct nvme_queue *q, uint16_t id, void *sq,
		      const void *cq)
{
	struct nvme_doorbell *bells[2] = {&q->sq_bell, &q->cq_bell};

	memset(q, 0, sizeof(*q));
	q->sq = sq;
	q->cq = cq;
	q->client = ctrl->client;
	q->id = id;
	q->phase = 1;
	for (unsigned i = 0; i < 2; i++) {
		uint32_t number = 2u * id + i;
		uint64_t offset = NVME_REG_DOORBELLS + (uint64_t)number * ctrl->stride;

		bells[i]->offset = offset;
		if (ctrl->bar_map && offset >= ctrl->bar_map_offset &&
		    offset - ctrl->bar_map_offset + 4 <= ctrl->bar_map_size)
			bells[i]->mapped =
				(uint32_t *)(void *)(ctrl->bar_map + offset - ctrl->bar_map_offset);
		if (id > 0 && ctrl->shadow) {
			bells[i]->shadow = ctrl->shadow + (size_t)number * ctrl->stride / 4;
			bells[i]->event = ctrl->event + (size_t)number * ctrl->stride / 4;
		}
	}
}

int nvme_map_doorbells(struct nvme_ctrl *ctrl, enum options_doorbells wanted,
		       struct umdev_error *err)
{
	struct client_region region;
	umdev_autoclose int fd = -1;
	void *map;
	int r = client_region_info(ctrl->client, PROTO_REGION_BAR0, &region, err);

	if (r < 0)
		return r;
	fd = region.fd;
	if (region.size < NVME_REG_DOORBELLS + 8)
		return error_set(err, ERROR_INVALID, "BAR 0 is too small for an NVMe controller");
	if (fd < 0 || wanted == DOORBELLS_TRAPPED)
		return 0;
	for (uint32_t i = 0; i < region.area_count; i++) {
		const struct proto_area *area = &region.areas[i];

		if (area->offset > NVME_REG_DOORBELLS || area->offset > region.size ||
		    area->size > region.size - area->offset || area->size % ARENA_PAGE != 0 ||
		    area->offset + area->size <= NVME_REG_DOORBELLS)
			continue;
		map = mmap(NULL, area->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			   (off_t)(region.fd_offset + area->offset));
		if (map == MAP_FAILED)
			return error_set(err, ERROR_INTERNAL, "cannot map the doorbells: %s",
					 strerror(errno));
		ctrl->bar_map = map;
		ctrl->bar_map_offset = area->offset;
		ctrl->bar_map_size = area->size;
		break;
	}
	return 0;
}

int nvme_choose_doorbells(struct nvme_ctrl *ctrl, enum options_doorbells wanted,
			  struct umdev_error *err)
{
	struct nvme_command command = {.opcode = NVME_ADMIN_DOORBELL_BUFFER};
	bool offered = ctrl->id.oacs & NVME_OACS_DOORBELLS && ctrl->stride == 4;

	if (wanted == DOORBELLS_SHADOW && !offered)
		return error_set_key(err, ERROR_INVALID, "doorbells",
				     "--doorbells shadow: the controller does not offer them");
	if (wanted == DOORBELLS_SHARED && !ctrl->bar_map)
		return error_set_key(err, ERROR_INVALID, "doorbells",
				     "--doorbells shared: the device offers no doorbell page to "
				     "map; set its attribute nvme/doorbells to shared");
	ctrl->doorbells = ctrl->bar_map ? DOORBELLS_SHARED : DOORBELLS_TRAPPED;
	if (!offered || (wanted != DOORBELLS_AUTO && wanted != DOORBELLS_SHADOW))
		return 0;
	ctrl->shadow = arena_alloc(ctrl->arena, ARENA_PAGE, &command.data[0]);
	ctrl->event = arena_alloc(ctrl->arena, ARENA_PAGE, &command.data[1]);
	if (!ctrl->shadow || !ctrl->event)
		return error_set(err, ERROR_INTERNAL, "the arena is too small");
	ctrl->doorbells = DOORBELLS_SHADOW;
	return nvme_admin(ctrl, &command, "Doorbell Buffer Config", NULL, err);
}

/* The offset of capability @id in configuration space @config, or 0. */
static uint8_t nvme_pci_capability(const uint8_t *config, uint8_t id)
{
	uint8_t at = config[PCI_CAPABILITIES] & 0xfc;

	if (!(config[PCI_STATUS] & PCI_STATUS_CAPS))
		return 0;
	for (unsigned hops = 0; at >= 0x40 && hops < 48; hops++) {
		if (config[at] == id)
			return at;
		at = config[at + 1] & 0xfc;
	}
	return 0;
}

static int nvme_pci_write16(struct nvme_ctrl *ctrl, uint32_t offset, uint32_t value,
			    struct umdev_error *err)
{
	uint16_t word = (uint16_t)value;

	return client_write(ctrl->client, PROTO_REGION_CONFIG, offset, &word, sizeof(word), err);
}

/* Turns the interrupts chosen on in configuration space, as a guest would. */
static int nvme_pci_enable(struct nvme_ctrl *ctrl, const uint8_t *config, struct umdev_error *err)
{
	uint8_t msix = nvme_pci_capability(config, PCI_CAP_MSIX);
	uint8_t msi = nvme_pci_capability(config, PCI_CAP_MSI);
	uint32_t control;

	if (ctrl->interrupts == NVME_INTERRUPTS_MSIX && msix) {
		control = (uint32_t)config[msix + 2] | (uint32_t)config[msix + 3] << 8;
		control = (control & ~PCI_MSIX_MASK) | PCI_MSIX_ENABLE;
		return nvme_pci_write16(ctrl, msix + 2u, control, err);
	}
	if (ctrl->interrupts == NVME_INTERRUPTS_MSI && msi) {
		control = (uint32_t)config[msi + 2] | (uint32_t)config[msi + 3] << 8;
		control = (control & ~0x70u) | PCI_MSI_ENABLE;
		control |= (uint32_t)__builtin_ctz(ctrl->vectors) << 4;
		return nvme_pci_write16(ctrl, msi + 2u, control, err);
	}
	return 0;
}

/* Picks the best kind of interrupt and how many vectors of it to use. */
static int nvme_choose_interrupts(struct nvme_ctrl *ctrl, uint32_t queues, uint32_t *ret_index,
				  struct umdev_error *err)
{
	static const struct {
		enum nvme_interrupts kind;
		uint32_t index;
	} kinds[] = {
		{NVME_INTERRUPTS_MSIX, PROTO_IRQ_MSIX},
		{NVME_INTERRUPTS_MSI, PROTO_IRQ_MSI},
		{NVME_INTERRUPTS_INTX, PROTO_IRQ_INTX},
	};
	uint32_t count = 0;
	int r;

	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
		r = client_irq_count(ctrl->client, kinds[i].index, &count, err);
		if (r < 0)
			return r;
		if (count == 0)
			continue;
		ctrl->interrupts = kinds[i].kind;
		ctrl->vectors = MIN(count, queues + 1);
		while (kinds[i].kind == NVME_INTERRUPTS_MSI && ctrl->vectors & (ctrl->vectors - 1))
			ctrl->vectors &= ctrl->vectors - 1;
		if (kinds[i].kind == NVME_INTERRUPTS_INTX)
			ctrl->vectors = 1;
		*ret_index = kinds[i].index;
		return 0;
	}
	return error_set(err, ERROR_INVALID, "the device has no interrupts; use --poll");
}

int nvme_setup_interrupts(struct nvme_ctrl *ctrl, bool poll, uint32_t queues,
			  struct umdev_error *err)
{
	uint8_t config[256];
	uint32_t index = 0;
	int r = client_read(ctrl->client, PROTO_REGION_CONFIG, 0, config, sizeof(config), err);

	if (r == 0)
		r = nvme_pci_write16(ctrl, PCI_COMMAND,
				     config[PCI_COMMAND] | (uint32_t)config[PCI_COMMAND + 1] << 8 |
					     PCI_MEMORY_MASTER,
				     err);
	if (r < 0 || poll)
		return r;
	r = nvme_choose_interrupts(ctrl, queues, &index, err);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < ctrl->vectors; i++) {
		ctrl->eventfds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (ctrl->eventfds[i] < 0)
			return error_set(err, ERROR_INTERNAL, "eventfd: %s", strerror(errno));
	}
	r = client_set_irqs(ctrl->client, index, ctrl->eventfds, ctrl->vectors, err);
	return r < 0 ? r : nvme_pci_enable(ctrl, config, err);
}

/* Copies a space-padded field. */
static void nvme_text(char *to, const uint8_t *from, size_t len)
{
	memcpy(to, from, len);
	to[len] = 0;
	while (len > 0 && (to[len - 1] == ' ' || to[len - 1] == 0))
		to[--len] = 0;
	for (char *p = to; *p; p++) {
		if (*p < 0x20 || *p > 0x7e)
			*p = '?';
	}
}

static int nvme_identify_ctrl(struct nvme_ctrl *ctrl, struct umdev_error *err)
{
	struct nvme_command command = {
		.opcode = NVME_ADMIN_IDENTIFY, .data = {ctrl->page_iova}, .cdw10 = 1};
	const uint8_t *page = ctrl->page;
	struct nvme_identity *id = &ctrl->id;
	int r = nvme_admin(ctrl, &command, "Identify Controller", NULL, err);

	if (r < 0)
		return r;
	nvme_text(id->serial, page + 4, 20);
	nvme_text(id->model, page + 24, 40);
	nvme_text(id->firmware, page + 64, 8);
	id->transfer_max =
		page[77] && page[77] < 40 ? (uint64_t)ARENA_PAGE << page[77] : UINT64_MAX;
	memcpy(&id->oacs, page + 256, 2);
	memcpy(&id->oncs, page + 520, 2);
	memcpy(&id->sgls, page + 536, 4);
	return 0;
}

int nvme_identify(struct nvme_ctrl *ctrl, uint32_t nsid, struct umdev_error *err)
{
	struct nvme_command command = {
		.opcode = NVME_ADMIN_IDENTIFY, .nsid = nsid, .data = {ctrl->page_iova}};
	const uint8_t *page = ctrl->page;
	struct nvme_identity *id = &ctrl->id;
	uint32_t format;
	int r = nvme_identify_ctrl(ctrl, err);

	if (r == 0)
		r = nvme_admin(ctrl, &command, "Identify Namespace", NULL, err);
	if (r < 0)
		return r;
	memcpy(&id->blocks, page, 8);
	memcpy(&format, page + 128 + 4 * (page[26] & 0xf), 4);
	if (id->blocks == 0)
		return error_set_key(err, ERROR_NOT_FOUND, "nsid",
				     "--nsid %u: no such namespace, or it is empty", nsid);
	if ((format & 0xffff) != 0 || (format >> 16 & 0xff) < 9 || (format >> 16 & 0xff) > 16)
		return error_set(err, ERROR_INVALID,
				 "namespace %u has blocks with metadata or of unusual size "
				 "(format 0x%08x)",
				 nsid, format);
	id->block_bytes = 1u << (format >> 16 & 0xff);
	if (id->blocks > UINT64_MAX / id->block_bytes)
		return error_set(err, ERROR_INVALID, "namespace %u claims an impossible size",
				 nsid);
	id->zero_after_deallocate = (page[33] & 7) == 1;
	return 0;
}
