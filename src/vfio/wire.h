/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vfio-user wire format: what stands in a message, decoded from and encoded to bytes.
 *
 * Pure: no I/O, no state, so that it can be tested and fuzzed alone. Every decoder takes a body of
 * any length and contents and either fills its result with values that keep the rules of the
 * protocol, or says which errno the client gets. Rules that need the state of a session (does this
 * region exist, does this range overlap) are not checked here. Integers are in host byte order, as
 * the protocol wants it. Facts: the vfio-user specification in QEMU's documentation.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/cleanup.h"

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

#define WIRE_FEATURE_GET   0x10000u
#define WIRE_FEATURE_SET   0x20000u
#define WIRE_FEATURE_PROBE 0x40000u

/* What a client said of itself in VERSION. */
struct wire_client {
	uint16_t major;
	uint16_t minor;
	bool has_json;
	bool write_multiple; /* named and true */
	uint32_t max_msg_fds;
	uint64_t max_data_xfer;
};

/* -EPROTO: no vfio-user header; -EMSGSIZE: a message longer than WIRE_MESSAGE_MAX. */
int wire_header_check(const struct wire_header *header) umdev_warn_unused;

/* The header of the reply to @command, of @body_len bytes, with @error (0, or a positive errno). */
struct wire_header wire_reply_header(const struct wire_header *command, uint32_t body_len,
				     int error);

/*
 * VERSION. -EINVAL for a body that is no version, JSON that is none, or a member of the wrong type
 * or range; -EPROTONOSUPPORT for a major version other than 0.
 */
int wire_version_decode(const void *body, size_t len,
			struct wire_client *ret_client) umdev_warn_unused;

/* The body of our answer to @client, into @buf of @size bytes. Returns its length or -ENOSPC. */
int wire_version_encode(const struct wire_client *client, void *buf, size_t size) umdev_warn_unused;

/*
 * DMA_MAP with @nfds descriptors. The range is not empty, page-aligned and ends at 2^64 or before;
 * so does the piece of the file. -EINVAL, or -EOPNOTSUPP for memory that is to be accessed by file
 * I/O.
 */
int wire_dma_map_decode(const void *body, size_t len, size_t nfds,
			struct wire_dma_map *ret_map) umdev_warn_unused;

/*
 * DMA_UNMAP. The range is not empty and ends at 2^64 or before, unless the ALL flag stands there
 * (then it is 0, 0). -EINVAL, or -EOPNOTSUPP for a dirty bitmap.
 */
int wire_dma_unmap_decode(const void *body, size_t len,
			  struct wire_dma_unmap *ret_unmap) umdev_warn_unused;

/* The other requests. Each returns 0 or -EINVAL: too short, or an argsz below the fixed part. */
int wire_device_info_decode(const void *body, size_t len) umdev_warn_unused;
int wire_region_info_decode(const void *body, size_t len,
			    struct wire_region_info *ret_info) umdev_warn_unused;
int wire_region_io_fds_decode(const void *body, size_t len,
			      struct wire_region_io_fds *ret_info) umdev_warn_unused;
int wire_irq_info_decode(const void *body, size_t len,
			 struct wire_irq_info *ret_info) umdev_warn_unused;

/*
 * SET_IRQS: exactly one kind of data and one action, as many descriptors and bytes as the kind of
 * data wants. *@ret_bools points into @body for BOOL data, else it is NULL.
 */
int wire_set_irqs_decode(const void *body, size_t len, size_t nfds, struct wire_set_irqs *ret_irqs,
			 const uint8_t **ret_bools) umdev_warn_unused;

/* REGION_READ and, with @write, REGION_WRITE, whose data follow the struct: 1..WIRE_TRANSFER_MAX
 * bytes. */
int wire_region_access_decode(const void *body, size_t len, bool write,
			      struct wire_region_access *ret_access) umdev_warn_unused;

/* REGION_WRITE_MULTI: how many entries follow the count. */
int wire_multi_decode(const void *body, size_t len, uint64_t *ret_count) umdev_warn_unused;

/* Entry @index of those, which exists. The entry is copied, not checked. */
void wire_multi_entry(const void *body, uint64_t index, struct wire_multi_entry *ret_entry);

/* DEVICE_FEATURE: 0 for a well-formed request, -EINVAL else. */
int wire_feature_decode(const void *body, size_t len,
			struct wire_feature *ret_feature) umdev_warn_unused;
