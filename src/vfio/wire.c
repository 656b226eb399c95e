/* SPDX-License-Identifier: BSD-3-Clause */
/* The vfio-user wire format. See wire.h; VERSION with its JSON is in wire_version.c. */
#include "vfio/wire.h"

#include <errno.h>
#include <string.h>

/* These structs are the protocol: their layout must never move. */
_Static_assert(sizeof(struct wire_header) == 16, "header");
_Static_assert(sizeof(struct wire_dma_map) == 32, "DMA_MAP");
_Static_assert(sizeof(struct wire_dma_unmap) == 24, "DMA_UNMAP");
_Static_assert(sizeof(struct wire_device_info) == 16, "GET_INFO");
_Static_assert(sizeof(struct wire_region_info) == 32, "GET_REGION_INFO");
_Static_assert(sizeof(struct wire_region_sparse) == 16, "sparse mmap capability");
_Static_assert(sizeof(struct wire_region_area) == 16, "sparse mmap area");
_Static_assert(sizeof(struct wire_region_io_fds) == 16, "GET_REGION_IO_FDS");
_Static_assert(sizeof(struct wire_irq_info) == 16, "GET_IRQ_INFO");
_Static_assert(sizeof(struct wire_set_irqs) == 20, "SET_IRQS");
_Static_assert(sizeof(struct wire_region_access) == 16, "REGION_READ");
_Static_assert(sizeof(struct wire_dma_access) == 16, "DMA_READ");
_Static_assert(sizeof(struct wire_multi_entry) == 24, "REGION_WRITE_MULTI");
_Static_assert(sizeof(struct wire_feature) == 8, "DEVICE_FEATURE");

int wire_header_check(const struct wire_header *header)
{
	uint32_t type = header->flags & WIRE_FLAG_TYPE;

	if (type != WIRE_TYPE_COMMAND && type != WIRE_TYPE_REPLY)
		return -EPROTO;
	if (header->size < sizeof(*header))
		return -EPROTO;
	return header->size > WIRE_MESSAGE_MAX ? -EMSGSIZE : 0;
}

struct wire_header wire_reply_header(const struct wire_header *command, uint32_t body_len,
				     int error)
{
	return (struct wire_header){
		.id = command->id,
		.command = command->command,
		.size = (uint32_t)sizeof(struct wire_header) + body_len,
		.flags = WIRE_TYPE_REPLY | (error ? WIRE_FLAG_ERROR : 0),
		.error = (uint32_t)error,
	};
}

/* Copies the fixed part of a request, which may be followed by more. */
static int wire_take(void *ret, size_t size, const void *body, size_t len)
{
	if (len < size)
		return -EINVAL;
	memcpy(ret, body, size);
	return 0;
}

/* Whether [@start, +@size) is not empty and ends at 2^64 or before. */
static bool wire_range_valid(uint64_t start, uint64_t size)
{
	return size > 0 && size - 1 <= UINT64_MAX - start;
}

int wire_dma_map_decode(const void *body, size_t len, size_t nfds, struct wire_dma_map *ret_map)
{
	const uint32_t modes = WIRE_DMA_MAP_MMAP | WIRE_DMA_MAP_FILE_IO;
	const uint32_t rights = WIRE_DMA_MAP_READ | WIRE_DMA_MAP_WRITE;
	struct wire_dma_map map;

	if (wire_take(&map, sizeof(map), body, len) < 0 || map.argsz < sizeof(map) || nfds > 1)
		return -EINVAL;
	if ((map.flags & ~(modes | rights)) || !(map.flags & rights))
		return -EINVAL;
	if ((map.flags & modes) == modes || ((map.flags & modes) && nfds == 0))
		return -EINVAL;
	if ((map.addr | map.size) % WIRE_PAGE_SIZE || !wire_range_valid(map.addr, map.size))
		return -EINVAL;
	if (nfds == 0)
		map.offset = 0;
	else if (map.offset % WIRE_PAGE_SIZE || !wire_range_valid(map.offset, map.size))
		return -EINVAL;
	if (map.flags & WIRE_DMA_MAP_FILE_IO)
		return -EOPNOTSUPP;
	*ret_map = map;
	return 0;
}

int wire_dma_unmap_decode(const void *body, size_t len, struct wire_dma_unmap *ret_unmap)
{
	struct wire_dma_unmap unmap;

	if (wire_take(&unmap, sizeof(unmap), body, len) < 0 || unmap.argsz < sizeof(unmap))
		return -EINVAL;
	if (unmap.flags & ~(WIRE_DMA_UNMAP_DIRTY | WIRE_DMA_UNMAP_ALL))
		return -EINVAL;
	if (unmap.flags & WIRE_DMA_UNMAP_DIRTY)
		return -EOPNOTSUPP;
	if (unmap.flags & WIRE_DMA_UNMAP_ALL) {
		if (unmap.addr || unmap.size)
			return -EINVAL;
	} else if (!wire_range_valid(unmap.addr, unmap.size)) {
		return -EINVAL;
	}
	*ret_unmap = unmap;
	return 0;
}

int wire_device_info_decode(const void *body, size_t len)
{
	struct wire_device_info info;

	if (wire_take(&info, sizeof(info), body, len) < 0 || info.argsz < sizeof(info))
		return -EINVAL;
	return 0;
}

int wire_region_info_decode(const void *body, size_t len, struct wire_region_info *ret_info)
{
	struct wire_region_info info;

	if (wire_take(&info, sizeof(info), body, len) < 0 || info.argsz < sizeof(info))
		return -EINVAL;
	*ret_info = info;
	return 0;
}

int wire_region_io_fds_decode(const void *body, size_t len, struct wire_region_io_fds *ret_info)
{
	struct wire_region_io_fds info;

	if (wire_take(&info, sizeof(info), body, len) < 0 || info.argsz < sizeof(info))
		return -EINVAL;
	if (info.flags || info.count)
		return -EINVAL;
	*ret_info = info;
	return 0;
}

int wire_irq_info_decode(const void *body, size_t len, struct wire_irq_info *ret_info)
{
	struct wire_irq_info info;

	if (wire_take(&info, sizeof(info), body, len) < 0 || info.argsz < sizeof(info))
		return -EINVAL;
	*ret_info = info;
	return 0;
}

int wire_set_irqs_decode(const void *body, size_t len, size_t nfds, struct wire_set_irqs *ret_irqs,
			 const uint8_t **ret_bools)
{
	struct wire_set_irqs irqs;
	const uint8_t *bools = NULL;
	uint32_t data;
	uint32_t action;

	if (wire_take(&irqs, sizeof(irqs), body, len) < 0 || irqs.argsz < sizeof(irqs))
		return -EINVAL;
	data = irqs.flags & WIRE_IRQ_DATA;
	action = irqs.flags & WIRE_IRQ_ACTION;
	if (irqs.flags != (data | action))
		return -EINVAL;
	if (__builtin_popcount(data) != 1 || __builtin_popcount(action) != 1)
		return -EINVAL;
	if (data == WIRE_IRQ_DATA_FDS ? (nfds != 0 && nfds != irqs.count) : nfds != 0)
		return -EINVAL;
	if (data == WIRE_IRQ_DATA_BOOL) {
		if (irqs.count > len - sizeof(irqs))
			return -EINVAL;
		bools = (const uint8_t *)body + sizeof(irqs);
	}
	*ret_irqs = irqs;
	*ret_bools = bools;
	return 0;
}

int wire_region_access_decode(const void *body, size_t len, bool write,
			      struct wire_region_access *ret_access)
{
	struct wire_region_access access;

	if (wire_take(&access, sizeof(access), body, len) < 0)
		return -EINVAL;
	if (access.count == 0 || access.count > WIRE_TRANSFER_MAX)
		return -EINVAL;
	if (write && access.count > len - sizeof(access))
		return -EINVAL;
	*ret_access = access;
	return 0;
}

int wire_multi_decode(const void *body, size_t len, uint64_t *ret_count)
{
	uint64_t count;

	if (wire_take(&count, sizeof(count), body, len) < 0)
		return -EINVAL;
	if (count > (len - sizeof(count)) / sizeof(struct wire_multi_entry))
		return -EINVAL;
	*ret_count = count;
	return 0;
}

void wire_multi_entry(const void *body, uint64_t index, struct wire_multi_entry *ret_entry)
{
	memcpy(ret_entry, (const uint8_t *)body + sizeof(uint64_t) + index * sizeof(*ret_entry),
	       sizeof(*ret_entry));
}

int wire_feature_decode(const void *body, size_t len, struct wire_feature *ret_feature)
{
	const uint32_t ways = WIRE_FEATURE_GET | WIRE_FEATURE_SET | WIRE_FEATURE_PROBE;
	struct wire_feature feature;
	uint32_t transfer;

	if (wire_take(&feature, sizeof(feature), body, len) < 0 || feature.argsz < sizeof(feature))
		return -EINVAL;
	transfer = feature.flags & (WIRE_FEATURE_GET | WIRE_FEATURE_SET);
	if ((feature.flags & ~(ways | 0xffffu)) || !(feature.flags & ways))
		return -EINVAL;
	if (!(feature.flags & WIRE_FEATURE_PROBE) && __builtin_popcount(transfer) != 1)
		return -EINVAL;
	*ret_feature = feature;
	return 0;
}
