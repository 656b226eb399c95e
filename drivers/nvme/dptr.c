/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Data pointers: PRP entries and lists (NVM Express 1.4c, 4.3), SGLs (4.4), into ranges of guest
 * addresses.
 *
 * Lists lie in guest memory and are read in chunks, by whatever way leads there, so a walk can
 * pause at every chunk and goes on in the callback. It is bounded: PRP lists by the length of the
 * transfer, SGLs by SGL_SEEN_MAX descriptors. Ranges that touch become one.
 */
#include <errno.h>
#include <string.h>

#include "core.h"

#define SGL_SEEN_MAX 1024u
#define WALK_MORE    0xffffffffu /* a step's answer: go on reading */

static bool range_add(struct nvme_request *req, uint64_t iova, uint64_t length)
{
	uint32_t max = req->ranges == req->few ? 2 : NVME_RANGES_MAX;
	struct nvme_range *last;
	uint64_t end;

	if (length == 0)
		return true;
	if (__builtin_add_overflow(iova, length, &end))
		return false;
	if (req->range_count > 0) {
		last = &req->ranges[req->range_count - 1];
		if (last->iova + last->length == iova) {
			last->length += length;
			return true;
		}
	}
	if (req->range_count == max)
		return false;
	req->ranges[req->range_count++] = (struct nvme_range){.iova = iova, .length = length};
	return true;
}

/* From here on there may be many ranges. */
static void ranges_enlarge(struct nvme_request *req)
{
	req->ranges = req->ctrl->arena->ranges[req->index];
	memcpy(req->ranges, req->few, sizeof(req->few));
}

/* ---- PRP ---- */

static uint32_t prp_begin(struct nvme_request *req)
{
	const struct nvme_sqe *sqe = &req->cmd->sqe;
	uint32_t page = 1u << req->ctrl->page_shift;
	uint32_t first = page - (uint32_t)(sqe->prp1 & (page - 1));

	req->location = 24;
	if (sqe->prp1 & 3u)
		return NVME_PRP_BAD_OFFSET;
	first = first < req->length ? first : req->length;
	if (!range_add(req, sqe->prp1, first))
		return NVME_DATA_ERROR;
	req->walk.left = req->length - first;
	if (req->walk.left == 0)
		return NVME_OK;
	req->location = 32;
	if (req->walk.left <= page) {
		if (sqe->prp2 & (page - 1))
			return NVME_PRP_BAD_OFFSET;
		return range_add(req, sqe->prp2, req->walk.left) ? NVME_OK : NVME_DATA_ERROR;
	}
	if (sqe->prp2 & 7u)
		return NVME_PRP_BAD_OFFSET;
	req->walk.next = sqe->prp2;
	req->walk.entries = (page - (uint32_t)(sqe->prp2 & (page - 1))) / sizeof(uint64_t);
	ranges_enlarge(req);
	return WALK_MORE;
}

/* Takes the entries that were read. The last entry of a list page that does not end the transfer
 * names the next. */
static uint32_t prp_step(struct nvme_request *req, const uint8_t *chunk)
{
	struct nvme_walk *walk = &req->walk;
	uint32_t page = 1u << req->ctrl->page_shift;

	for (uint32_t i = 0; i < walk->chunk / sizeof(uint64_t); i++) {
		uint32_t take = walk->left < page ? walk->left : page;
		uint64_t entry;

		memcpy(&entry, chunk + i * sizeof(entry), sizeof(entry));
		if (entry & (page - 1))
			return NVME_PRP_BAD_OFFSET;
		walk->next += sizeof(entry);
		if (--walk->entries == 0 && walk->left > page) {
			walk->next = entry;
			walk->entries = page / sizeof(entry);
			return WALK_MORE;
		}
		if (!range_add(req, entry, take))
			return NVME_DATA_ERROR;
		walk->left -= take;
		if (walk->left == 0)
			return NVME_OK;
	}
	return WALK_MORE;
}

static uint32_t prp_chunk(const struct nvme_request *req)
{
	uint32_t page = 1u << req->ctrl->page_shift;
	uint32_t entries = (req->walk.left + page - 1) / page;

	entries = entries < req->walk.entries ? entries : req->walk.entries;
	entries = entries < NVME_LIST_CHUNK / 8 ? entries : NVME_LIST_CHUNK / 8;
	return entries * (uint32_t)sizeof(uint64_t);
}

/* ---- SGL ---- */

static uint32_t sgl_data(struct nvme_request *req, const struct nvme_sgl *sgl)
{
	if (sgl->length > req->walk.left)
		return NVME_SGL_BAD_LENGTH;
	if (!range_add(req, sgl->address, sgl->length))
		return req->range_count == NVME_RANGES_MAX ? NVME_SGL_BAD_COUNT : NVME_DATA_ERROR;
	req->walk.left -= sgl->length;
	return WALK_MORE;
}

static uint32_t sgl_segment(struct nvme_request *req, const struct nvme_sgl *sgl)
{
	if (sgl->length == 0 || sgl->length % sizeof(*sgl) != 0)
		return NVME_SGL_BAD_SEGMENT;
	req->walk.next = sgl->address;
	req->walk.entries = sgl->length / (uint32_t)sizeof(*sgl);
	req->walk.last = sgl->type == NVME_SGL_LAST_SEGMENT;
	return WALK_MORE;
}

static uint32_t sgl_end(const struct nvme_request *req)
{
	return req->walk.left == 0 ? NVME_OK : NVME_SGL_BAD_LENGTH;
}

static uint32_t sgl_begin(struct nvme_request *req)
{
	struct nvme_sgl sgl;
	uint32_t status;

	req->location = 24;
	memcpy(&sgl, &req->cmd->sqe.prp1, sizeof(sgl));
	req->walk.left = req->length;
	req->walk.sgl = 1;
	switch (sgl.type) {
	case NVME_SGL_DATA:
		status = sgl_data(req, &sgl);
		return status == WALK_MORE ? sgl_end(req) : status;
	case NVME_SGL_SEGMENT:
	case NVME_SGL_LAST_SEGMENT:
		ranges_enlarge(req);
		return sgl_segment(req, &sgl);
	default:
		return NVME_SGL_BAD_TYPE;
	}
}

static uint32_t sgl_step(struct nvme_request *req, const uint8_t *chunk)
{
	struct nvme_walk *walk = &req->walk;
	uint32_t n = walk->chunk / (uint32_t)sizeof(struct nvme_sgl);

	for (uint32_t i = 0; i < n; i++) {
		struct nvme_sgl sgl;
		uint32_t status;

		memcpy(&sgl, chunk + i * sizeof(sgl), sizeof(sgl));
		walk->next += sizeof(sgl);
		walk->entries--;
		if (++walk->seen > SGL_SEEN_MAX)
			return NVME_SGL_BAD_COUNT;
		switch (sgl.type) {
		case NVME_SGL_DATA:
			/* A segment that is not the last ends with a pointer to the next. */
			if (walk->entries == 0 && !walk->last)
				return NVME_SGL_BAD_SEGMENT;
			status = sgl_data(req, &sgl);
			break;
		case NVME_SGL_SEGMENT:
		case NVME_SGL_LAST_SEGMENT:
			if (walk->entries > 0 || walk->last)
				return NVME_SGL_BAD_SEGMENT;
			return sgl_segment(req, &sgl);
		default:
			return NVME_SGL_BAD_TYPE;
		}
		if (status != WALK_MORE)
			return status;
	}
	return walk->entries > 0 ? WALK_MORE : sgl_end(req);
}

static uint32_t sgl_chunk(const struct nvme_request *req)
{
	uint32_t most = NVME_LIST_CHUNK / sizeof(struct nvme_sgl);
	uint32_t n = req->walk.entries < most ? req->walk.entries : most;

	return n * (uint32_t)sizeof(struct nvme_sgl);
}

/* ---- Both ---- */

static void walk_read(void *arg, int status);

static uint32_t walk_step(struct nvme_request *req)
{
	const uint8_t *chunk = req->ctrl->arena->lists[req->index];

	return req->walk.sgl ? sgl_step(req, chunk) : prp_step(req, chunk);
}

/* Reads and takes chunks until the end, an error, or a pause. Returns false for a pause. */
static bool walk_on(struct nvme_request *req, uint32_t *ret_status)
{
	struct nvme_ctrl *ctrl = req->ctrl;
	uint32_t status = WALK_MORE;

	while (status == WALK_MORE) {
		int rc;

		req->walk.chunk = req->walk.sgl ? sgl_chunk(req) : prp_chunk(req);
		rc = nvme_host->dma_read(ctrl->mdev, req->walk.next, ctrl->arena->lists[req->index],
					 req->walk.chunk, walk_read, req);
		if (rc == -EINPROGRESS)
			return false;
		status = rc < 0 ? NVME_DATA_ERROR : walk_step(req);
	}
	*ret_status = status;
	return true;
}

static void walk_read(void *arg, int error)
{
	struct nvme_request *req = arg;
	struct nvme_ctrl *ctrl = req->ctrl;
	uint32_t status;
	uint32_t before;
	bool more;

	if (ctrl->draining) {
		nvme_request_release(req);
		nvme_drain_check(ctrl);
		return;
	}
	before = nvme_suspect_begin(req);
	status = error < 0 ? NVME_DATA_ERROR : walk_step(req);
	more = status == WALK_MORE && !walk_on(req, &status);
	if (!more)
		req->next(req, status);
	nvme_suspect_end(req, before);
	if (!more)
		nvme_turn(ctrl);
}

void nvme_dptr_read(struct nvme_request *req, void (*next)(struct nvme_request *, uint32_t))
{
	uint32_t status;

	req->stage = NVME_STAGE_LISTS;
	req->next = next;
	req->ranges = req->few;
	req->range_count = 0;
	req->walk = (struct nvme_walk){.left = 0};
	if (NVME_PSDT(req->cmd->sqe.flags) == 0)
		status = prp_begin(req);
	else
		status = sgl_begin(req);
	if (status == WALK_MORE && !walk_on(req, &status))
		return;
	next(req, status);
}

int nvme_dptr_map(struct nvme_request *req, uint32_t access)
{
	struct iovec *iov = req->iov_few;
	uint32_t max = 2;
	uint32_t n = 0;

	for (uint32_t i = 0; i < req->range_count; i++) {
		int rc = -E2BIG;

		if (n < max)
			rc = nvme_host->dma_map(req->ctrl->mdev, req->ranges[i].iova,
						req->ranges[i].length, access, iov + n, max - n);
		if (rc == -E2BIG && max == 2) {
			iov = req->ctrl->arena->iovs[req->index];
			max = NVME_IOV_MAX;
			memcpy(iov, req->iov_few, n * sizeof(*iov));
			i--;
			continue;
		}
		if (rc < 0)
			return rc;
		n += (uint32_t)rc;
	}
	req->io.iov = iov;
	req->io.iov_count = n;
	return 0;
}
