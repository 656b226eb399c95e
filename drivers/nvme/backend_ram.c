/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Storage in memory: a memfd mapped whole. Reads and writes are copies that end at once; what frees
 * many pages goes to a worker.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "backend.h"

#define RAM_INLINE_ZERO (1u << 20) /* zeroed by the host's thread itself */

struct nvme_ram {
	struct nvme_backend base;
	struct nvme_workers *workers;
	uint8_t *memory;
	uint64_t size;
	int fd;
};

static void ram_copy(struct nvme_ram *r, struct nvme_io *io)
{
	uint8_t *at = r->memory + io->offset;

	for (uint32_t i = 0; i < io->iov_count; i++) {
		if (io->op == NVME_OP_READ)
			memcpy(io->iov[i].iov_base, at, io->iov[i].iov_len);
		else
			memcpy(at, io->iov[i].iov_base, io->iov[i].iov_len);
		at += io->iov[i].iov_len;
	}
}

static void ram_start(struct nvme_backend *backend, struct nvme_io *io)
{
	struct nvme_ram *r = (struct nvme_ram *)backend;

	io->busy = 0;
	if (io->op != NVME_OP_FLUSH &&
	    (io->offset > r->size || io->length > r->size - io->offset)) {
		io->done(io, -EIO);
		return;
	}
	switch (io->op) {
	case NVME_OP_READ:
	case NVME_OP_WRITE:
		ram_copy(r, io);
		break;
	case NVME_OP_FLUSH:
		break;
	case NVME_OP_ZERO:
		if (io->length <= RAM_INLINE_ZERO) {
			memset(r->memory + io->offset, 0, io->length);
			break;
		}
		__attribute__((fallthrough));
	default:
		io->flags = (uint8_t)(io->flags & ~NVME_OP_DURABLE);
		io->fd = r->fd;
		nvme_workers_start(r->workers, io);
		return;
	}
	io->done(io, 0);
}

static void ram_flush(struct nvme_backend *backend)
{
}

static uint32_t ram_reap(struct nvme_backend *backend)
{
	return nvme_workers_reap(((struct nvme_ram *)backend)->workers);
}

static void ram_cancel(struct nvme_backend *backend, struct nvme_io *io)
{
	nvme_workers_cancel(((struct nvme_ram *)backend)->workers, io);
}

static void ram_close(struct nvme_backend *backend)
{
	struct nvme_ram *r = (struct nvme_ram *)backend;

	nvme_workers_free(r->workers);
	munmap(r->memory, r->size);
	free(r);
}

static const struct nvme_backend_ops ram_ops = {
	.name = "ram",
	.start = ram_start,
	.flush = ram_flush,
	.reap = ram_reap,
	.cancel = ram_cancel,
	.close = ram_close,
};

int nvme_ram_open(const struct nvme_backend_args *args, struct nvme_backend **ret_backend)
{
	struct nvme_ram *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return -ENOMEM;
	r->base.ops = &ram_ops;
	r->base.ended = args->ended;
	r->base.ended_arg = args->ended_arg;
	r->base.immediate = true;
	r->base.most = 1;
	r->fd = args->fd;
	r->size = args->size;
	r->memory = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
	if (r->memory == MAP_FAILED) {
		rc = -errno;
		free(r);
		return rc;
	}
	rc = nvme_workers_new(args->parent, 1, args->ended, args->ended_arg, &r->workers);
	if (rc < 0) {
		munmap(r->memory, r->size);
		free(r);
		return rc;
	}
	*ret_backend = &r->base;
	return 0;
}
