/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Storage by blocking calls in threads, for kernels and sandboxes that refuse io_uring.
 */
#include <errno.h>
#include <stdlib.h>

#include "backend.h"

#define THREADS_COUNT 16u

struct nvme_threads {
	struct nvme_backend base;
	struct nvme_workers *workers;
	int fd;
};

static void threads_start(struct nvme_backend *backend, struct nvme_io *io)
{
	struct nvme_threads *t = (struct nvme_threads *)backend;

	io->fd = t->fd;
	nvme_workers_start(t->workers, io);
}

static void threads_flush(struct nvme_backend *backend)
{
}

static uint32_t threads_reap(struct nvme_backend *backend)
{
	return nvme_workers_reap(((struct nvme_threads *)backend)->workers);
}

static void threads_cancel(struct nvme_backend *backend, struct nvme_io *io)
{
	nvme_workers_cancel(((struct nvme_threads *)backend)->workers, io);
}

static void threads_close(struct nvme_backend *backend)
{
	nvme_workers_free(((struct nvme_threads *)backend)->workers);
	free(backend);
}

static const struct nvme_backend_ops threads_ops = {
	.name = "threads",
	.start = threads_start,
	.flush = threads_flush,
	.reap = threads_reap,
	.cancel = threads_cancel,
	.close = threads_close,
};

int nvme_threads_open(const struct nvme_backend_args *args, struct nvme_backend **ret_backend)
{
	struct nvme_threads *t = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return -ENOMEM;
	t->base.ops = &threads_ops;
	t->base.ended = args->ended;
	t->base.ended_arg = args->ended_arg;
	t->fd = args->fd;
	t->base.most = args->depth < THREADS_COUNT ? args->depth : THREADS_COUNT;
	rc = nvme_workers_new(args->parent, t->base.most, args->ended, args->ended_arg,
			      &t->workers);
	if (rc < 0) {
		free(t);
		return rc;
	}
	*ret_backend = &t->base;
	return 0;
}
