/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vfio-user protocol as structs and numbers: what each message looks like, without padding, in
 * host byte order. Decoders are in wire.h. Facts: the vfio-user specification in QEMU's
 * documentation.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum wire_command {
	WIRE_VERSION = 1,
	WIRE_DMA_MAP = 2,
	WIRE_DMA_UNMAP = 3,
	WIRE_GET_INFO = 4,
	WIRE_GET_REGION_INFO = 5,
	WIRE_GET_REGION_IO_FDS = 6,
	WIRE_GET_IRQ_INFO = 7,
	WIRE_SET_IRQS = 8,
	WIRE_REGION_READ = 9,
	WIRE_REGION_WRITE = 10,
	WIRE_DMA_READ = 11,
	WIRE_DMA_WRITE = 12,
	WIRE_DEVICE_RESET = 13,
	WIRE_REGION_WRITE_MULTI = 15,
	WIRE_DEVICE_FEATURE = 16,
	WIRE_MIG_DATA_READ = 17,
	WIRE_MIG_DATA_WRITE = 18,
	WIRE_COMMAND_COUNT
};

#define WIRE_FLAG_TYPE	   0xfu
#define WIRE_TYPE_COMMAND  0u
#define WIRE_TYPE_REPLY	   1u
#define WIRE_FLAG_NO_REPLY 0x10u
#define WIRE_FLAG_ERROR	   0x20u

/*
 * The most bytes one read or write message may carry in either direction. It bounds the state page;
 * VMMs move registers, not disks, through messages, so an eighth of the protocol's default does.
 */
#define WIRE_TRANSFER_MAX 131072u
/* Header, address and count, data: the longest message we take or send. */
#define WIRE_MESSAGE_MAX  (16u + 16u + WIRE_TRANSFER_MAX)

#define WIRE_PAGE_SIZE	  4096u
#define WIRE_DMA_MAPS_MAX 65535u
/* QEMU gives up on a server that says more; more than that are taken from those who send them. */
#define WIRE_FDS_OFFERED 16u
#define WIRE_FDS_MAX	 64u
#define WIRE_MINOR	 1u    /* the highest minor version we agree to; the major version is 0 */
#define WIRE_JSON_MAX	 4096u /* a longer list of capabilities is refused */
#define WIRE_MULTI_DATA	 8u    /* bytes one entry of a REGION_WRITE_MULTI can carry */

struct wire_header {
	uint16_t id;
	uint16_t command;
	uint32_t size; /* of the whole message */
	uint32_t flags;
	uint32_t error;
};

struct wire_dma_map {
	uint32_t argsz;
	uint32_t flags;
	uint64_t offset;
	uint64_t addr;
	uint64_t size;
};

#define WIRE_DMA_MAP_READ    1u
#define WIRE_DMA_MAP_WRITE   2u
#define WIRE_DMA_MAP_MMAP    4u
#define WIRE_DMA_MAP_FILE_IO 8u

struct wire_dma_unmap {
	uint32_t argsz;
	uint32_t flags;
	uint64_t addr;
	uint64_t size;
};

#define WIRE_DMA_UNMAP_DIRTY 1u
#define WIRE_DMA_UNMAP_ALL   2u

struct wire_device_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t num_regions;
	uint32_t num_irqs;
};

#define WIRE_DEVICE_RESETS 1u
#define WIRE_DEVICE_PCI	   2u

struct wire_region_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t cap_offset;
	uint64_t size;
	uint64_t offset;
};

#define WIRE_REGION_READABLE 1u
#define WIRE_REGION_WRITABLE 2u
#define WIRE_REGION_MMAP     4u
#define WIRE_REGION_CAPS     8u

/* The sparse-mmap capability, followed by its areas. */
struct wire_region_sparse {
	uint16_t id;
	uint16_t version;
	uint32_t next;
	uint32_t nr_areas;
	uint32_t reserved;
};

#define WIRE_REGION_SPARSE_ID 1u

struct wire_region_area {
	uint64_t offset;
	uint64_t size;
};

struct wire_region_io_fds {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
};

struct wire_irq_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
};

#define WIRE_IRQ_EVENTFD    1u
#define WIRE_IRQ_MASKABLE   2u
#define WIRE_IRQ_AUTOMASKED 4u

struct wire_set_irqs {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t start;
	uint32_t count;
};

#define WIRE_IRQ_DATA_NONE	0x01u
#define WIRE_IRQ_DATA_BOOL	0x02u
#define WIRE_IRQ_DATA_FDS	0x04u
#define WIRE_IRQ_DATA		0x07u
#define WIRE_IRQ_ACTION_MASK	0x08u
#define WIRE_IRQ_ACTION_UNMASK	0x10u
#define WIRE_IRQ_ACTION_TRIGGER 0x20u
#define WIRE_IRQ_ACTION		0x38u

struct wire_region_access {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
};

struct wire_dma_access {
	uint64_t addr;
	uint64_t count;
};

struct wire_multi_entry {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
	uint8_t data[WIRE_MULTI_DATA];
};

struct wire_feature {
	uint32_t argsz;
	uint32_t flags;
};

#define WIRE_FEATURE_GET	 0x10000u
#define WIRE_FEATURE_SET	 0x20000u
#define WIRE_FEATURE_PROBE	 0x40000u

#define WIRE_FEATURE_NUMBER	 0xffffu

#define WIRE_FEATURE_MIGRATION	 1u
#define WIRE_FEATURE_STATE	 2u
#define WIRE_FEATURE_LOG_START	 6u
#define WIRE_FEATURE_LOG_STOP	 7u
#define WIRE_FEATURE_LOG_REPORT	 8u

#define WIRE_MIGRATION_STOP_COPY 1u

/* Bytes of a dirty bitmap that one answer holds. */
#define WIRE_BITMAP_MAX	     (WIRE_TRANSFER_MAX - 4096u)

#define WIRE_STATE_ERROR     0u
#define WIRE_STATE_STOP	     1u
#define WIRE_STATE_RUNNING   2u
#define WIRE_STATE_STOP_COPY 3u
#define WIRE_STATE_RESUMING  4u

struct wire_device_state {
	uint32_t state; /* WIRE_STATE_* */
	int32_t data_fd;
};

struct wire_logging_start {
	uint64_t page_size;
	uint32_t num_ranges; /* 0: everything */
	uint32_t reserved;
};

struct wire_logging_range {
	uint64_t iova;
	uint64_t length;
};

struct wire_logging_report {
	uint64_t iova;
	uint64_t length;
	uint64_t page_size; /* of one bit */
};

/* What a client said of itself in VERSION. */
struct wire_client {
	uint16_t major;
	uint16_t minor;
	bool has_json;
	bool write_multiple; /* named and true */
	bool migration;	     /* named; in our answer: the device can be moved */
	uint32_t max_msg_fds;
	uint64_t max_data_xfer;
};
