/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The NVM command set (NVM Express 1.4c, chapter 6). Every command that touches the storage is a
 * job of the parent.
 *
 * Guest memory is translated when the job starts, so that a job that waits its turn holds nothing.
 * Where translation says that only messages lead there, the job ends unused and comes again with a
 * bounce buffer.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "core.h"
#include "fault.h"

void nvme_job_submit(struct nvme_request *req, uint32_t engine)
{
	req->stage = NVME_STAGE_QUEUED;
	req->job.engine = engine;
	nvme_host->job_submit(req->ctrl->mdev, &req->job);
}

static void io_submit(struct nvme_request *req)
{
	nvme_job_submit(req, NVME_ENGINE_IO);
}

/* The end of LISTS for reads and writes. */
static void io_located(struct nvme_request *req, uint32_t status)
{
	if (status == NVME_OK)
		io_submit(req);
	else
		nvme_finish(req, status);
}

static uint32_t io_check_range(const struct nvme_ctrl *ctrl, uint64_t first, uint64_t blocks)
{
	uint64_t end;

	if (__builtin_add_overflow(first, blocks, &end) || end > ctrl->blocks)
		return NVME_LBA_RANGE;
	return NVME_OK;
}

static uint64_t io_first(const struct nvme_request *req)
{
	return (uint64_t)req->cmd->sqe.cdw11 << 32 | req->cmd->sqe.cdw10;
}

static uint64_t io_blocks(const struct nvme_request *req)
{
	return (uint64_t)(req->cmd->sqe.cdw12 & 0xffffu) + 1;
}

static void io_transfer(struct nvme_request *req)
{
	uint64_t bytes = io_blocks(req) << req->ctrl->block_shift;
	uint32_t status;

	req->location = 48;
	if (bytes > NVME_TRANSFER_MAX) {
		nvme_finish(req, NVME_BAD_FIELD);
		return;
	}
	req->location = 40;
	status = io_check_range(req->ctrl, io_first(req), io_blocks(req));
	if (status != NVME_OK) {
		nvme_finish(req, status);
		return;
	}
	req->length = (uint32_t)bytes;
	nvme_dptr_read(req, io_located);
}

static void io_write_zeroes(struct nvme_request *req)
{
	req->location = 40;
	io_located(req, io_check_range(req->ctrl, io_first(req), io_blocks(req)));
}

/* ---- Dataset Management: fetch the ranges, check all, then give back one after the other ---- */

static struct nvme_dsm_range io_dsm_range(const struct nvme_request *req, uint32_t index)
{
	struct nvme_dsm_range range;

	memcpy(&range, req->buffer + index * sizeof(range), sizeof(range));
	return range;
}

static void io_dsm_fetched(struct nvme_request *req, uint32_t status)
{
	for (uint32_t i = 0; i < req->dsm_count && status == NVME_OK; i++) {
		struct nvme_dsm_range range = io_dsm_range(req, i);

		status = io_check_range(req->ctrl, range.first, range.blocks);
	}
	io_located(req, status);
}

static void io_dsm_buffer(struct nvme_request *req, uint32_t status)
{
	nvme_copy(req, false, io_dsm_fetched);
}

static void io_dsm_located(struct nvme_request *req, uint32_t status)
{
	if (status == NVME_OK)
		nvme_buffer_get(req, false, io_dsm_buffer);
	else
		nvme_finish(req, status);
}

static void io_dataset(struct nvme_request *req)
{
	const struct nvme_sqe *sqe = &req->cmd->sqe;

	if (!(sqe->cdw11 & NVME_DSM_DEALLOCATE)) {
		nvme_finish(req, NVME_OK); /* hints of access patterns: nothing to do with them */
		return;
	}
	req->dsm_next = 0;
	req->dsm_count = (uint16_t)((sqe->cdw10 & 0xffu) + 1);
	req->length = req->dsm_count * (uint32_t)sizeof(struct nvme_dsm_range);
	nvme_dptr_read(req, io_dsm_located);
}

/* Begins the next range that is not empty. Returns false when there is none. */
static bool io_dsm_step(struct nvme_request *req)
{
	struct nvme_ctrl *ctrl = req->ctrl;

	while (req->dsm_next < req->dsm_count) {
		struct nvme_dsm_range range = io_dsm_range(req, req->dsm_next++);

		if (range.blocks == 0)
			continue;
		req->io.offset = ctrl->base + (range.first << ctrl->block_shift);
		req->io.length = (uint64_t)range.blocks << ctrl->block_shift;
		ctrl->parent->backend->ops->start(ctrl->parent->backend, &req->io);
		return true;
	}
	return false;
}

void nvme_io_command(struct nvme_request *req)
{
	const struct nvme_sqe *sqe = &req->cmd->sqe;

	req->location = 1;
	if (NVME_FUSE(sqe->flags) != 0 || NVME_PSDT(sqe->flags) == 3) {
		nvme_finish(req, NVME_BAD_FIELD);
		return;
	}
	req->location = 4;
	if (sqe->nsid != 1 && !(sqe->opcode == NVME_IO_FLUSH && sqe->nsid == NVME_NSID_ALL)) {
		nvme_finish(req, NVME_BAD_NAMESPACE);
		return;
	}
	switch (sqe->opcode) {
	case NVME_IO_READ:
	case NVME_IO_WRITE:
		io_transfer(req);
		break;
	case NVME_IO_FLUSH:
		io_submit(req);
		break;
	case NVME_IO_WRITE_ZEROES:
		io_write_zeroes(req);
		break;
	case NVME_IO_DATASET:
		io_dataset(req);
		break;
	default:
		req->location = 0;
		nvme_finish(req, NVME_BAD_OPCODE);
		break;
	}
}

/* ---- Ends ---- */

static uint32_t io_status(const struct nvme_request *req, int error)
{
	switch (error) {
	case 0:
		return NVME_OK;
	case -EFAULT:
	case -E2BIG:
		return NVME_DATA_ERROR;
	case -ECANCELED:
		return NVME_ABORTED;
	case -ENOSPC:
	case -EDQUOT:
		return NVME_CAPACITY;
	case -EIO:
		return req->io.op == NVME_OP_READ ? NVME_READ_ERROR : NVME_WRITE_FAULT;
	default:
		return NVME_INTERNAL;
	}
}

static void io_account(struct nvme_request *req, uint32_t status)
{
	struct nvme_state_smart *smart = &req->ctrl->state->smart;

	if (status == NVME_READ_ERROR || status == NVME_WRITE_FAULT)
		smart->media_errors++;
	if (status != NVME_OK || req->cmd->sqid == 0)
		return;
	switch (req->cmd->sqe.opcode) {
	case NVME_IO_READ:
		smart->reads++;
		smart->read_bytes += req->length;
		break;
	case NVME_IO_WRITE:
		smart->writes++;
		smart->write_bytes += req->length;
		break;
	case NVME_IO_FLUSH:
		smart->flushes++;
		break;
	default:
		smart->others++;
		break;
	}
}

static void io_copied_out(struct nvme_request *req, uint32_t status)
{
	io_account(req, status);
	nvme_finish(req, status);
}

static void io_flush_ended(struct nvme_request *req, int error)
{
	struct nvme_ctrl *ctrl = req->ctrl;

	req->stage = NVME_STAGE_FREE;
	ctrl->flushing = false;
	ctrl->outstanding--;
	if (error < 0 && error != -ECANCELED)
		nvme_host->event(ctrl->mdev, "the flush at shutdown failed: error %d", -error);
	nvme_shutdown_flushed(ctrl);
	nvme_drain_check(ctrl);
}

/* The job is over: it ends, then the command. */
void nvme_io_ended(struct nvme_request *req, int error, uint64_t ended_ns)
{
	struct nvme_ctrl *ctrl = req->ctrl;
	uint32_t status = io_status(req, error);

	if (ended_ns == 0)
		nvme_host->job_done(ctrl->mdev, &req->job);
	else
		nvme_host->job_done_at(ctrl->mdev, &req->job, ended_ns);
	if (req->index == NVME_FLUSH_REQUEST) {
		io_flush_ended(req, error);
		return;
	}
	if (status == NVME_OK && req->buffer && req->io.op == NVME_OP_READ && !ctrl->draining) {
		nvme_copy(req, true, io_copied_out);
		return;
	}
	io_copied_out(req, status);
}

/* The storage is done with it, and so is the job unless it takes longer than that. */
static void io_worked(struct nvme_request *req, int error)
{
	FAULT_POINT("io.done");
	if (req->held)
		nvme_host->dma_release(req->ctrl->mdev, req->hold);
	req->held = 0;
	if (!req->ctrl->parent->service || !nvme_service_keeps(req, error))
		nvme_io_ended(req, error, 0);
}

static void io_done(struct nvme_io *io, int error)
{
	struct nvme_request *req =
		(struct nvme_request *)((char *)io - offsetof(struct nvme_request, io));
	uint32_t before = nvme_suspect_begin(req);
	bool more = false;

	if (io->op == NVME_OP_DEALLOCATE) {
		/* Deallocation is a wish: storage that cannot keeps the data. */
		if (error == -EOPNOTSUPP)
			error = 0;
		more = error == 0 && !req->ctrl->draining && io_dsm_step(req);
	}
	if (!more)
		io_worked(req, error);
	nvme_suspect_end(req, before);
}

/* ---- Message-only guest memory ---- */

static void io_bounce_filled(struct nvme_request *req, uint32_t status)
{
	io_located(req, status);
}

static void io_bounce_buffer(struct nvme_request *req, uint32_t status)
{
	if (req->cmd->sqe.opcode == NVME_IO_WRITE)
		nvme_copy(req, false, io_bounce_filled);
	else
		io_submit(req);
}

/* Sets up req->io.iov. Returns 0 or -errno. */
static int io_map(struct nvme_request *req)
{
	struct nvme_ctrl *ctrl = req->ctrl;
	int rc;

	if (req->buffer) {
		req->iov_few[0] = (struct iovec){.iov_base = req->buffer, .iov_len = req->length};
		req->io.iov = req->iov_few;
		req->io.iov_count = 1;
		return 0;
	}
	rc = nvme_dptr_map(req, req->io.op == NVME_OP_READ ? UMDEV_DMA_WRITE : UMDEV_DMA_READ);
	if (rc == 0 && !ctrl->parent->backend->immediate) {
		req->hold = nvme_host->dma_hold(ctrl->mdev);
		req->held = 1;
	}
	return rc;
}

/* ---- Start ---- */

static void io_prepare(struct nvme_request *req)
{
	const struct nvme_ctrl *ctrl = req->ctrl;
	const struct nvme_sqe *sqe = &req->cmd->sqe;
	struct nvme_io *io = &req->io;

	io->flags = ctrl->state->features.write_cache && !(sqe->cdw12 & NVME_CDW12_FUA)
			    ? 0
			    : NVME_OP_DURABLE;
	io->offset = ctrl->base + (io_first(req) << ctrl->block_shift);
	io->length = io_blocks(req) << ctrl->block_shift;
	switch (sqe->opcode) {
	case NVME_IO_READ:
		io->op = NVME_OP_READ;
		break;
	case NVME_IO_WRITE:
		io->op = NVME_OP_WRITE;
		break;
	case NVME_IO_WRITE_ZEROES:
		io->op = NVME_OP_ZERO;
		if (sqe->cdw12 & NVME_CDW12_DEAC)
			io->flags |= NVME_OP_GIVE_BACK;
		break;
	case NVME_IO_DATASET:
		io->op = NVME_OP_DEALLOCATE;
		break;
	default:
		io->op = NVME_OP_FLUSH;
		break;
	}
}

static void io_start(struct nvme_request *req)
{
	struct nvme_ctrl *ctrl = req->ctrl;
	struct nvme_backend *backend = ctrl->parent->backend;
	int rc = 0;

	req->stage = NVME_STAGE_STARTED;
	req->io.done = io_done;
	if (req->index == NVME_FLUSH_REQUEST || req->cmd->sqid == 0)
		req->io.op = NVME_OP_FLUSH;
	else
		io_prepare(req);
	if (req->io.op == NVME_OP_READ || req->io.op == NVME_OP_WRITE) {
		FAULT_VALUE("io.starting", req->io.offset);
		rc = io_map(req);
	}
	if (rc == -EREMOTE) {
		nvme_host->job_done(ctrl->mdev, &req->job);
		req->stage = NVME_STAGE_LISTS;
		nvme_buffer_get(req, true, io_bounce_buffer);
		return;
	}
	if (ctrl->parent->service)
		nvme_service_begin(req);
	if (rc < 0) {
		io_worked(req, rc);
		return;
	}
	if (req->io.op == NVME_OP_DEALLOCATE) {
		if (!io_dsm_step(req))
			io_worked(req, 0);
		return;
	}
	FAULT_POINT("io.starting");
	backend->ops->start(backend, &req->io);
}

void nvme_job_start(void *mdev_priv, struct umdev_job *job)
{
	struct nvme_request *req =
		(struct nvme_request *)((char *)job - offsetof(struct nvme_request, job));
	uint32_t before = nvme_suspect_begin(req);

	if (job->engine == NVME_ENGINE_ADMIN)
		nvme_admin_start(req);
	else
		io_start(req);
	nvme_suspect_end(req, before);
}

void nvme_jobs_flush(void *parent_priv)
{
	struct nvme_parent *parent = parent_priv;

	FAULT_POINT("io.submitting");
	parent->backend->ops->flush(parent->backend);
	FAULT_POINT("io.submitted");
	/* What was in the page cache has ended already. */
	if (parent->backend->polled)
		parent->backend->ops->reap(parent->backend);
	if (parent->service)
		nvme_service_run(parent);
	nvme_parent_turn(parent);
}

bool nvme_job_withdraw(struct nvme_request *req)
{
	return nvme_host->job_withdraw(req->ctrl->mdev, &req->job) == 1;
}

void nvme_flush_for(struct nvme_request *req)
{
	nvme_admin_job_end(req); /* a request is one job at a time */
	io_submit(req);
}

void nvme_flush_begin(struct nvme_ctrl *ctrl)
{
	struct nvme_request *req = &ctrl->arena->requests[NVME_FLUSH_REQUEST];

	if (ctrl->flushing)
		return;
	req->ctrl = ctrl;
	req->index = NVME_FLUSH_REQUEST;
	ctrl->flushing = true;
	ctrl->outstanding++;
	io_submit(req);
}
