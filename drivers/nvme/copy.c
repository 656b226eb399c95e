/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bounce buffers: for data that admin commands return, for range lists, and for guest memory that
 * only messages reach. They are few; who finds none waits its turn, which nvme_turn() gives.
 */
#include <errno.h>

#include "core.h"

static uint8_t *buffer_take(struct nvme_ctrl *ctrl, bool large)
{
	uint32_t *set = large ? &ctrl->large_free : &ctrl->small_free;
	uint32_t bit;

	if (*set == 0)
		return NULL;
	bit = (uint32_t)__builtin_ctz(*set);
	*set &= *set - 1;
	return large ? ctrl->arena->large[bit] : ctrl->arena->small[bit];
}

void nvme_buffer_get(struct nvme_request *req, bool large,
		     void (*next)(struct nvme_request *, uint32_t))
{
	req->large = large;
	req->buffer = buffer_take(req->ctrl, large);
	if (req->buffer) {
		next(req, NVME_OK);
		return;
	}
	req->next = next;
	req->stage = NVME_STAGE_BUFFER;
	TAILQ_INSERT_TAIL(&req->ctrl->waiting[large], req, link);
}

void nvme_buffer_put(struct nvme_request *req)
{
	struct nvme_ctrl *ctrl = req->ctrl;

	if (!req->buffer)
		return;
	if (req->large)
		ctrl->large_free |=
			1u << (uint32_t)((req->buffer - ctrl->arena->large[0]) / NVME_TRANSFER_MAX);
	else
		ctrl->small_free |=
			1u << (uint32_t)((req->buffer - ctrl->arena->small[0]) / NVME_PAGE_BYTES);
	req->buffer = NULL;
}

void nvme_buffers_serve(struct nvme_ctrl *ctrl)
{
	for (uint32_t large = 0; large < 2; large++) {
		struct nvme_request *req;

		while ((req = TAILQ_FIRST(&ctrl->waiting[large]))) {
			req->buffer = buffer_take(ctrl, large);
			if (!req->buffer)
				break;
			TAILQ_REMOVE(&ctrl->waiting[large], req, link);
			req->next(req, NVME_OK);
		}
	}
}

static void copy_done(void *arg, int error);

/* Copies pieces until the end, an error, or a pause. Returns false for a pause. */
static bool copy_on(struct nvme_request *req, int error)
{
	struct nvme_ctrl *ctrl = req->ctrl;

	while (error == 0 && req->copied < req->length && req->copy_range < req->range_count) {
		const struct nvme_range *range = &req->ranges[req->copy_range++];
		uint32_t left = req->length - req->copied;
		uint8_t *at = req->buffer + req->copied;
		int rc;

		left = range->length < left ? (uint32_t)range->length : left;
		req->copied += left;
		if (req->stage == NVME_STAGE_COPY_OUT)
			rc = nvme_host->dma_write(ctrl->mdev, range->iova, at, left, copy_done,
						  req);
		else
			rc = nvme_host->dma_read(ctrl->mdev, range->iova, at, left, copy_done, req);
		if (rc == -EINPROGRESS)
			return false;
		error = rc;
	}
	ctrl->counters.copied_bytes += req->copied;
	req->next(req, error < 0 ? NVME_DATA_ERROR : NVME_OK);
	return true;
}

static void copy_done(void *arg, int error)
{
	struct nvme_request *req = arg;
	struct nvme_ctrl *ctrl = req->ctrl;
	uint32_t before;
	bool ended;

	if (ctrl->draining) {
		nvme_request_release(req);
		nvme_drain_check(ctrl);
		return;
	}
	before = nvme_suspect_begin(req);
	ended = copy_on(req, error);
	nvme_suspect_end(req, before);
	if (ended)
		nvme_turn(ctrl);
}

void nvme_copy(struct nvme_request *req, bool out, void (*next)(struct nvme_request *, uint32_t))
{
	req->stage = out ? NVME_STAGE_COPY_OUT : NVME_STAGE_COPY_IN;
	req->next = next;
	req->copied = 0;
	req->copy_range = 0;
	(void)copy_on(req, 0);
}
