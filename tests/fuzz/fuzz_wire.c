/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The codec of vfio-user: every decoder with a body of any length and contents. What a decoder lets
 * pass must keep the rules of wire.h, and be let pass again when it is encoded.
 *
 * Input: which decoder, how many descriptors came along, the body.
 */
#include <errno.h>

#include "vfio/wire.h"

#include "fuzz.h"

#define RIGHTS (WIRE_DMA_MAP_READ | WIRE_DMA_MAP_WRITE)

/* A body that ends where its bytes end. */
struct body {
	const uint8_t *bytes;
	size_t len;
	size_t nfds;
};

/* Not empty, and ends at 2^64 or before. */
static bool fuzz_range_ok(uint64_t start, uint64_t size)
{
	return size > 0 && size - 1 <= UINT64_MAX - start;
}

static void fuzz_header(const struct body *body)
{
	struct wire_header header = {0};
	struct wire_header reply;
	int r;

	memcpy(&header, body->bytes, body->len < sizeof(header) ? body->len : sizeof(header));
	r = wire_header_check(&header);
	fuzz_check(r == 0 || r == -EPROTO || r == -EMSGSIZE);
	if (r < 0)
		return;
	fuzz_check(header.size >= sizeof(header) && header.size <= WIRE_MESSAGE_MAX);
	fuzz_check((header.flags & WIRE_FLAG_TYPE) <= WIRE_TYPE_REPLY);
	reply = wire_reply_header(&header, header.size - (uint32_t)sizeof(header),
				  header.error & 127);
	fuzz_check(reply.id == header.id && reply.command == header.command);
	fuzz_check(wire_header_check(&reply) == 0);
	fuzz_check(!!(reply.flags & WIRE_FLAG_ERROR) == (reply.error != 0));
}

static void fuzz_version(const struct body *body)
{
	struct wire_client client;
	struct wire_client again;
	uint8_t answer[256];
	int len;
	int r = wire_version_decode(body->bytes, body->len, &client);

	fuzz_check(r == 0 || r == -EINVAL || r == -EPROTONOSUPPORT);
	if (r < 0)
		return;
	fuzz_check(client.major == 0 && client.max_data_xfer >= 1 &&
		   client.max_data_xfer <= INT64_MAX);
	fuzz_check(client.has_json == (body->len > 4));
	len = wire_version_encode(&client, answer, sizeof(answer));
	/* QEMU takes the answer into the buffer of its own request, of some 200 bytes. */
	fuzz_check(len > 4 && len < 200 && answer[len - 1] == '\0');
	fuzz_check(wire_version_decode(answer, (size_t)len, &again) == 0);
	fuzz_check(again.minor <= client.minor && again.minor <= WIRE_MINOR);
	fuzz_check(again.write_multiple == client.write_multiple);
	for (size_t size = 0; size < (size_t)len; size++) {
		uint8_t *small = malloc(size > 0 ? size : 1);

		fuzz_check(small);
		fuzz_check(wire_version_encode(&client, small, size) == -ENOSPC);
		free(small);
	}
}

static void fuzz_dma_map(const struct body *body)
{
	struct wire_dma_map map;
	struct wire_dma_map again;
	int r = wire_dma_map_decode(body->bytes, body->len, body->nfds, &map);

	fuzz_check(r == 0 || r == -EINVAL || r == -EOPNOTSUPP);
	if (r < 0)
		return;
	fuzz_check(body->nfds <= 1 && map.argsz >= sizeof(map));
	fuzz_check(map.flags & RIGHTS && !(map.flags & ~(RIGHTS | WIRE_DMA_MAP_MMAP)));
	fuzz_check((map.addr | map.size | map.offset) % WIRE_PAGE_SIZE == 0);
	fuzz_check(fuzz_range_ok(map.addr, map.size));
	fuzz_check(body->nfds ? fuzz_range_ok(map.offset, map.size) : map.offset == 0);
	fuzz_check(wire_dma_map_decode(&map, sizeof(map), body->nfds, &again) == 0);
	fuzz_check(memcmp(&map, &again, sizeof(map)) == 0);
}

static void fuzz_dma_unmap(const struct body *body)
{
	struct wire_dma_unmap unmap;
	struct wire_dma_unmap again;
	int r = wire_dma_unmap_decode(body->bytes, body->len, &unmap);

	fuzz_check(r == 0 || r == -EINVAL || r == -EOPNOTSUPP);
	if (r < 0)
		return;
	if (unmap.flags & WIRE_DMA_UNMAP_ALL)
		fuzz_check(unmap.addr == 0 && unmap.size == 0);
	else
		fuzz_check(unmap.flags == 0 && fuzz_range_ok(unmap.addr, unmap.size));
	fuzz_check(wire_dma_unmap_decode(&unmap, sizeof(unmap), &again) == 0);
	fuzz_check(memcmp(&unmap, &again, sizeof(unmap)) == 0);
}

static void fuzz_infos(const struct body *body)
{
	struct wire_device_info device;
	struct wire_region_info region;
	struct wire_region_io_fds io_fds;
	struct wire_irq_info irq;
	bool whole = body->len >= sizeof(device);
	int r = wire_device_info_decode(body->bytes, body->len);

	if (whole)
		memcpy(&device, body->bytes, sizeof(device));
	fuzz_check(r == (whole && device.argsz >= sizeof(device) ? 0 : -EINVAL));
	if (wire_region_info_decode(body->bytes, body->len, &region) == 0)
		fuzz_check(body->len >= sizeof(region) && region.argsz >= sizeof(region));
	if (wire_region_io_fds_decode(body->bytes, body->len, &io_fds) == 0)
		fuzz_check(whole && io_fds.argsz >= sizeof(io_fds) && !io_fds.flags &&
			   !io_fds.count);
	if (wire_irq_info_decode(body->bytes, body->len, &irq) == 0)
		fuzz_check(whole && irq.argsz >= sizeof(irq));
}

static void fuzz_set_irqs(const struct body *body)
{
	struct wire_set_irqs irqs;
	const uint8_t *bools = body->bytes;
	int r = wire_set_irqs_decode(body->bytes, body->len, body->nfds, &irqs, &bools);

	fuzz_check(r == 0 || r == -EINVAL);
	if (r < 0) {
		fuzz_check(bools == body->bytes);
		return;
	}
	fuzz_check(__builtin_popcount(irqs.flags & WIRE_IRQ_DATA) == 1);
	fuzz_check(__builtin_popcount(irqs.flags & WIRE_IRQ_ACTION) == 1);
	fuzz_check(!(irqs.flags & ~(WIRE_IRQ_DATA | WIRE_IRQ_ACTION)));
	fuzz_check(!!bools == !!(irqs.flags & WIRE_IRQ_DATA_BOOL));
	if (bools)
		fuzz_touch(bools, irqs.count);
	if (irqs.flags & WIRE_IRQ_DATA_FDS)
		fuzz_check(body->nfds == 0 || body->nfds == irqs.count);
	else
		fuzz_check(body->nfds == 0);
}

static void fuzz_region_access(const struct body *body)
{
	struct wire_region_access access;

	if (wire_region_access_decode(body->bytes, body->len, false, &access) == 0)
		fuzz_check(access.count >= 1 && access.count <= WIRE_TRANSFER_MAX);
	if (wire_region_access_decode(body->bytes, body->len, true, &access) < 0)
		return;
	fuzz_check(access.count >= 1 && access.count <= WIRE_TRANSFER_MAX);
	fuzz_touch(body->bytes + sizeof(access), access.count);
}

static void fuzz_multi(const struct body *body)
{
	struct wire_multi_entry entry;
	uint64_t count;

	if (wire_multi_decode(body->bytes, body->len, &count) < 0)
		return;
	fuzz_check(count <= WIRE_MESSAGE_MAX / sizeof(entry));
	for (uint64_t i = 0; i < count; i++)
		wire_multi_entry(body->bytes, i, &entry);
}

static void fuzz_feature(const struct body *body)
{
	const uint32_t ways = WIRE_FEATURE_GET | WIRE_FEATURE_SET;
	struct wire_feature feature;
	int r = wire_feature_decode(body->bytes, body->len, &feature);

	fuzz_check(r == 0 || r == -EINVAL);
	if (r == 0 && !(feature.flags & WIRE_FEATURE_PROBE))
		fuzz_check(__builtin_popcount(feature.flags & ways) == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const decoders[])(const struct body *) = {
		fuzz_header,   fuzz_version,	   fuzz_dma_map, fuzz_dma_unmap, fuzz_infos,
		fuzz_set_irqs, fuzz_region_access, fuzz_multi,	 fuzz_feature,
	};
	struct fuzz_input in = {.at = data, .left = size};
	struct body body = {0};
	uint8_t what = fuzz_byte(&in);
	uint8_t *bytes;

	body.nfds = fuzz_byte(&in) & 7;
	bytes = fuzz_chunk(&in, SIZE_MAX, &body.len);
	body.bytes = bytes;
	/* 0xff: everybody has to live with it */
	for (size_t i = 0; i < sizeof(decoders) / sizeof(decoders[0]); i++) {
		if (what == 0xff || what % (sizeof(decoders) / sizeof(decoders[0])) == i)
			decoders[i](&body);
	}
	free(bytes);
	return 0;
}
