/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vfio-user messages as a client sees them. Written from the specification and kept apart from the
 * server's codec on purpose, so that the two check each other. Host byte order.
 */
#pragma once

#include <assert.h>
#include <stdint.h>

enum proto_command {
	PROTO_VERSION = 1,
	PROTO_DMA_MAP = 2,
	PROTO_DMA_UNMAP = 3,
	PROTO_GET_INFO = 4,
	PROTO_GET_REGION_INFO = 5,
	PROTO_GET_IRQ_INFO = 7,
	PROTO_SET_IRQS = 8,
	PROTO_REGION_READ = 9,
	PROTO_REGION_WRITE = 10,
	PROTO_DMA_READ = 11,
	PROTO_DMA_WRITE = 12,
	PROTO_DEVICE_RESET = 13,
};

#define PROTO_TYPE_MASK 0xfu
#define PROTO_REPLY	0x1u
#define PROTO_NO_REPLY	0x10u
#define PROTO_ERROR	0x20u

struct proto_header {
	uint16_t id;
	uint16_t command;
	uint32_t size; /* of the whole message */
	uint32_t flags;
	uint32_t error;
};
static_assert(sizeof(struct proto_header) == 16, "wire layout");

struct proto_version {
	uint16_t major;
	uint16_t minor;
};

struct proto_dma_map {
	uint32_t argsz;
	uint32_t flags; /* PROTO_DMA_* */
	uint64_t offset;
	uint64_t addr;
	uint64_t size;
};
static_assert(sizeof(struct proto_dma_map) == 32, "wire layout");
#define PROTO_DMA_READABLE 1u
#define PROTO_DMA_WRITABLE 2u

struct proto_dma_unmap {
	uint32_t argsz;
	uint32_t flags;
	uint64_t addr;
	uint64_t size;
};
static_assert(sizeof(struct proto_dma_unmap) == 24, "wire layout");

struct proto_device_info {
	uint32_t argsz;
	uint32_t flags; /* PROTO_DEVICE_* */
	uint32_t num_regions;
	uint32_t num_irqs;
};
#define PROTO_DEVICE_CAN_RESET 1u
#define PROTO_DEVICE_PCI       2u

struct proto_region_info {
	uint32_t argsz;
	uint32_t flags; /* PROTO_REGION_* */
	uint32_t index;
	uint32_t cap_offset;
	uint64_t size;
	uint64_t offset;
};
static_assert(sizeof(struct proto_region_info) == 32, "wire layout");
#define PROTO_REGION_MMAP 4u
#define PROTO_REGION_CAPS 8u

struct proto_cap_header {
	uint16_t id;
	uint16_t version;
	uint32_t next;
};
#define PROTO_CAP_SPARSE_MMAP 1u

struct proto_sparse_mmap {
	struct proto_cap_header header;
	uint32_t nr_areas;
	uint32_t reserved;
};

struct proto_area {
	uint64_t offset;
	uint64_t size;
};

struct proto_irq_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
};

struct proto_irq_set {
	uint32_t argsz;
	uint32_t flags; /* PROTO_IRQ_* */
	uint32_t index;
	uint32_t start;
	uint32_t count;
};
static_assert(sizeof(struct proto_irq_set) == 20, "wire layout");
#define PROTO_IRQ_DATA_NONE	 0x1u
#define PROTO_IRQ_DATA_EVENTFD	 0x4u
#define PROTO_IRQ_ACTION_UNMASK	 0x10u
#define PROTO_IRQ_ACTION_TRIGGER 0x20u

struct proto_region_access {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
};
static_assert(sizeof(struct proto_region_access) == 16, "wire layout");

struct proto_dma_access {
	uint64_t addr;
	uint64_t count;
};
static_assert(sizeof(struct proto_dma_access) == 16, "wire layout");

/* VFIO's numbering for PCI devices. */
#define PROTO_REGION_BAR0   0u
#define PROTO_REGION_CONFIG 7u
#define PROTO_IRQ_INTX	    0u
#define PROTO_IRQ_MSI	    1u
#define PROTO_IRQ_MSIX	    2u
