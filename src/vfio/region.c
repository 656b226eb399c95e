/* SPDX-License-Identifier: BSD-3-Clause */
/* Regions: what the client is told of them, and its accesses. */
#include <errno.h>
#include <string.h>

#include "vfio/session-internal.h"

/* Writes the sparse-mmap capability of @region at @at; returns its length. */
static uint32_t region_sparse(const struct vfio_region *region, uint8_t *at)
{
	struct wire_region_sparse sparse = {
		.id = WIRE_REGION_SPARSE_ID,
		.version = 1,
		.nr_areas = region->area_count,
	};

	memcpy(at, &sparse, sizeof(sparse));
	for (uint32_t i = 0; i < region->area_count; i++) {
		struct wire_region_area area = {region->areas[i].offset, region->areas[i].size};

		memcpy(at + sizeof(sparse) + i * sizeof(area), &area, sizeof(area));
	}
	return (uint32_t)(sizeof(sparse) + region->area_count * sizeof(struct wire_region_area));
}

static bool region_mappable(const struct vfio_region *region)
{
	return (region->flags & VFIO_REGION_MAPPABLE) && region->area_count > 0 && region->fd >= 0;
}

/* Whether the one area is the whole region, which needs no capability to say so. */
static bool region_whole(const struct vfio_region *region)
{
	return region->area_count == 1 && region->areas[0].offset == 0 &&
	       region->areas[0].size == region->size;
}

int region_info_serve(struct vfio_session *s, struct vfio_request *q, uint32_t *ret_len)
{
	struct vfio_page_tx *tx = &s->page->tx;
	struct wire_region_info info;
	const struct vfio_region *region;
	uint32_t offered;
	uint32_t needed = sizeof(info);

	if (wire_region_info_decode(q->body, q->len, &info) < 0 || info.index >= VFIO_REGION_COUNT)
		return -EINVAL;
	offered = info.argsz;
	region = &s->info.regions[info.index];
	info = (struct wire_region_info){.index = info.index, .size = region->size};
	if (region->flags & VFIO_REGION_READABLE)
		info.flags |= WIRE_REGION_READABLE;
	if (region->flags & VFIO_REGION_WRITABLE)
		info.flags |= WIRE_REGION_WRITABLE;
	if (region_mappable(region)) {
		info.flags |= WIRE_REGION_MMAP;
		if (!region_whole(region))
			needed += region_sparse(region, tx->body + sizeof(info));
		/* With too little room the client only learns how much to ask for: no capability,
		 * and no descriptor, which would invite it to map the whole region. */
		if (needed <= offered)
			tx->region = info.index + 1;
	}
	*ret_len = sizeof(info);
	if (needed > sizeof(info) && needed <= offered) {
		info.flags |= WIRE_REGION_CAPS;
		info.cap_offset = sizeof(info);
		*ret_len = needed;
	}
	info.argsz = needed;
	memcpy(tx->body, &info, sizeof(info));
	return 0;
}

/* No region is accessed by descriptors. */
int region_io_fds_serve(struct vfio_session *s, struct vfio_request *q, uint32_t *ret_len)
{
	struct wire_region_io_fds info;

	if (wire_region_io_fds_decode(q->body, q->len, &info) < 0)
		return -EINVAL;
	if (info.index >= VFIO_REGION_COUNT)
		return -EINVAL;
	info.argsz = sizeof(info);
	memcpy(s->page->tx.body, &info, sizeof(info));
	*ret_len = sizeof(info);
	return 0;
}

/* Whether the device has these bytes and lets them be accessed so. */
static int region_check(const struct vfio_session *s, uint32_t index, uint64_t offset,
			uint32_t count, bool write)
{
	const struct vfio_region *region;

	if (index >= VFIO_REGION_COUNT)
		return -EINVAL;
	region = &s->info.regions[index];
	if (count > region->size || offset > region->size - count)
		return -EINVAL;
	if (!(region->flags & (write ? VFIO_REGION_WRITABLE : VFIO_REGION_READABLE)))
		return -EPERM;
	return 0;
}

int region_read_serve(struct vfio_session *s, struct vfio_request *q, uint32_t *ret_len)
{
	uint8_t *body = s->page->tx.body;
	struct wire_region_access access;
	int r;

	if (wire_region_access_decode(q->body, q->len, false, &access) < 0)
		return -EINVAL;
	r = region_check(s, access.region, access.offset, access.count, false);
	if (r == 0)
		r = s->ops->region_access(s->device, access.region, false, access.offset,
					  body + sizeof(access), access.count);
	if (r == -EINPROGRESS)
		r = -EIO;
	/* Where an error takes the place of data, a client that does not look gets all ones. */
	if (r < 0 && (s->page->peer.flags & VFIO_PEER_HEADER_ERRORS))
		return r;
	if (r < 0)
		memset(body + sizeof(access), 0xff, access.count);
	memcpy(body, &access, sizeof(access));
	*ret_len = (uint32_t)sizeof(access) + access.count;
	return r;
}

void region_write_reply(struct vfio_session *s, const struct vfio_request *q, int status,
			uint32_t *ret_len)
{
	if (status < 0 && (s->page->peer.flags & VFIO_PEER_HEADER_ERRORS))
		return;
	memcpy(s->page->tx.body, q->body, sizeof(struct wire_region_access));
	*ret_len = sizeof(struct wire_region_access);
}

/* Hands a checked write to the device. */
static int region_write(struct vfio_session *s, uint32_t index, uint64_t offset, const void *data,
			uint32_t count)
{
	int r = region_check(s, index, offset, count, true);

	if (r < 0)
		return r;
	r = s->ops->region_access(s->device, index, true, offset, (void *)(uintptr_t)data, count);
	if (r == -EINPROGRESS)
		s->device_busy = true;
	return r;
}

int region_write_serve(struct vfio_session *s, struct vfio_request *q, uint32_t *ret_len)
{
	struct wire_region_access access;
	int r;

	if (wire_region_access_decode(q->body, q->len, true, &access) < 0)
		return -EINVAL;
	r = region_write(s, access.region, access.offset, q->body + sizeof(access), access.count);
	if (r != -EINPROGRESS)
		region_write_reply(s, q, r, ret_len);
	return r;
}

/* The entry at multi_next is dealt with. */
static void region_multi_next(struct vfio_page_rx *rx, bool written)
{
	if (written)
		rx->multi_count = MIN(rx->multi_count + 1, rx->multi_next + 1);
	rx->multi_next++;
}

/* Writes the entries from multi_next on, until one takes time. One that is refused is skipped, as
 * if it had been sent alone. */
static int region_multi_run(struct vfio_session *s, struct vfio_request *q, uint32_t *ret_len)
{
	struct vfio_page_rx *rx = &s->page->rx;
	struct wire_multi_entry entry;
	uint64_t count;
	int r;

	if (wire_multi_decode(q->body, q->len, &count) < 0)
		return -EINVAL;
	while (rx->multi_next < count) {
		wire_multi_entry(q->body, rx->multi_next, &entry);
		r = -EINVAL;
		if (entry.count > 0 && entry.count <= sizeof(entry.data))
			r = region_write(s, entry.region, entry.offset, entry.data, entry.count);
		if (r == -EINPROGRESS)
			return r;
		if (r < 0)
			s->stats.bad_requests++;
		region_multi_next(rx, r == 0);
	}
	memcpy(s->page->tx.body, &rx->multi_count, sizeof(rx->multi_count));
	*ret_len = sizeof(rx->multi_count);
	return 0;
}

int region_multi_serve(struct vfio_session *s, struct vfio_request *q, uint32_t *ret_len)
{
	return region_multi_run(s, q, ret_len);
}

int region_multi_resume(struct vfio_session *s, struct vfio_request *q, int status,
			uint32_t *ret_len)
{
	region_multi_next(&s->page->rx, status == 0);
	return region_multi_run(s, q, ret_len);
}

uint64_t vfio_session_access_id(const struct vfio_session *session)
{
	const struct vfio_page_rx *rx = &session->page->rx;

	return session->in_command ? (rx->number + 1) << VFIO_ACCESS_SHIFT | rx->multi_next << 3
				   : 0;
}
