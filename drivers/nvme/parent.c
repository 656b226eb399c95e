/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Opening and closing a parent, wiping its pieces, and the round over its controllers.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core.h"

enum { IO_AUTO, IO_URING, IO_THREADS };

void nvme_parent_turn(struct nvme_parent *parent)
{
	struct nvme_ctrl *ctrl;

	/* A turn takes the controller off the list and leaves nothing to post that could be. */
	while ((ctrl = TAILQ_FIRST(&parent->dirty))) {
		TAILQ_REMOVE(&parent->dirty, ctrl, dirty_link);
		ctrl->in_dirty = false;
		nvme_turn(ctrl);
	}
}

static void parent_ended(void *arg)
{
	nvme_parent_turn(arg);
}

/* What the options name as storage: its fd and size. Returns 0, or -errno after saying why. */
static int parent_storage(struct nvme_parent *p, const struct umdev_value *values, int *ret_fd)
{
	const struct umdev_value *path = &values[NVME_OPT_PATH];
	const struct umdev_value *ram = &values[NVME_OPT_RAM];
	const struct umdev_value *size = &values[NVME_OPT_SIZE];
	off_t end;

	if (!path->text == !ram->text)
		return nvme_host->fail(EINVAL, "give exactly one of path= and ram=");
	if (ram->text && size->text)
		return nvme_host->fail(EINVAL, "size= belongs to path=; ram= has its own size");
	*ret_fd = path->text ? path->fd : ram->fd;
	end = lseek(*ret_fd, 0, SEEK_END);
	if (end < 0)
		return nvme_host->fail(errno, "cannot tell the size of the storage: %s",
				       strerror(errno));
	p->size = (uint64_t)end & ~(NVME_POOL_ALIGN - 1);
	if (p->size == 0)
		return nvme_host->fail(EINVAL,
				       "%s is smaller than 1 MiB: too small to share, make it "
				       "larger",
				       path->text ? path->text : "ram=");
	if (path->text && size->text && (uint64_t)end < size->number)
		return nvme_host->fail(EINVAL,
				       "%s has %lld bytes, less than size=%llu: give a smaller "
				       "size or extend the file",
				       path->text, (long long)end,
				       (unsigned long long)size->number);
	return 0;
}

/* The I/O engine as the options have it. Returns 0, or -EINVAL after saying why. */
static int parent_engines(struct nvme_parent *p, const struct umdev_parent_args *args)
{
	const struct umdev_value *values = args->values;
	uint32_t parallelism = (uint32_t)values[NVME_OPT_PARALLELISM].number;
	uint32_t reserved = (uint32_t)values[NVME_OPT_RESERVED_SLOTS].number;

	if (parallelism > 0 && reserved >= parallelism)
		return nvme_host->fail(EINVAL,
				       "reserved_slots=%u leaves nothing to drives without a "
				       "priority: give less than parallelism=%u",
				       reserved, parallelism);
	/* Guests wait: what an earlier process found out is good enough. */
	if (parallelism == 0 && args->parallelism && args->engine_count > NVME_ENGINE_IO)
		parallelism = args->parallelism[NVME_ENGINE_IO];
	p->engines[NVME_ENGINE_IO] = (struct umdev_engine){
		.name = "io", .parallelism = parallelism, .reserved_slots = reserved};
	/* The host's thread does all of its work within job_start(). */
	p->engines[NVME_ENGINE_ADMIN] = (struct umdev_engine){.name = "admin", .parallelism = 1};
	return 0;
}

/*
 * Finds out what parallelism=0 is. What memory does has ended when its start returns, so nothing is
 * ever in flight but what frees many pages; a bound is there for that.
 */
static void parent_parallelism(struct nvme_parent *p)
{
	struct umdev_engine *engine = &p->engines[NVME_ENGINE_IO];

	if (engine->parallelism > 0)
		return;
	if (p->backend->immediate) {
		engine->parallelism = NVME_BATCH;
	} else {
		engine->parallelism = nvme_measure(p->backend, p->size, &p->measure);
		p->measured = true;
	}
	if (engine->parallelism <= engine->reserved_slots)
		engine->parallelism = engine->reserved_slots + 1;
}

/* Operations that may be in progress, before it is known how many will. */
static uint32_t parent_depth(const struct nvme_parent *p)
{
	const struct umdev_engine *engine = &p->engines[NVME_ENGINE_IO];

	if (engine->parallelism > 0)
		return engine->parallelism;
	return engine->reserved_slots < NVME_MEASURE_MAX ? NVME_MEASURE_MAX
							 : engine->reserved_slots + 1;
}

static int parent_backend(struct nvme_parent *p, const struct umdev_value *values, int fd)
{
	struct nvme_backend_args args = {
		.parent = p->handle,
		.fd = fd,
		.size = p->size,
		.depth = parent_depth(p),
		.ended = parent_ended,
		.ended_arg = p,
	};
	uint64_t way = values[NVME_OPT_IO].number;
	int rc = 0;

	if (values[NVME_OPT_RAM].text) {
		rc = nvme_ram_open(&args, &p->backend);
		return rc < 0 ? nvme_host->fail(-rc, "cannot map the memory of ram=: %s",
						strerror(-rc))
			      : 0;
	}
	if (way != IO_THREADS) {
		rc = nvme_uring_open(&args, &p->backend);
		if (rc == 0)
			return 0;
		if (way == IO_URING)
			return nvme_host->fail(-rc,
					       "io_uring is refused here (%s): use io=auto or "
					       "io=threads",
					       strerror(-rc));
		nvme_host->log(UMDEV_LOG_INFO, "io_uring is refused (%s), threads do its work",
			       strerror(-rc));
	}
	rc = nvme_threads_open(&args, &p->backend);
	return rc < 0 ? nvme_host->fail(-rc, "cannot start threads: %s", strerror(-rc)) : 0;
}

static int parent_service(struct nvme_parent *p, const struct umdev_value *values)
{
	uint64_t service_us = values[NVME_OPT_SERVICE_US].number;
	int rc = service_us > 0 ? nvme_service_new(p, service_us * 1000) : 0;

	return rc < 0 ? nvme_host->fail(-rc, "cannot make the timer of service_us=: %s",
					strerror(-rc))
		      : 0;
}

static void parent_describe(struct nvme_parent *p, const struct umdev_value *values,
			    struct umdev_parent_info *ret_info)
{
	const struct umdev_value *path = &values[NVME_OPT_PATH];
	uint64_t service_us = values[NVME_OPT_SERVICE_US].number;
	char storage[112];
	size_t len;

	if (path->text)
		snprintf(storage, sizeof(storage), "%s %.80s by %s",
			 path->flags & UMDEV_BACKING_BLOCK_DEVICE ? "block device" : "file",
			 path->text, p->backend->ops->name);
	else
		snprintf(storage, sizeof(storage), "memory, %llu MiB",
			 (unsigned long long)(p->size >> 20));
	len = (size_t)snprintf(p->description, sizeof(p->description), "%s, %u at once%s", storage,
			       p->engines[NVME_ENGINE_IO].parallelism,
			       p->measured ? " (measured)" : "");
	if (service_us > 0)
		snprintf(p->description + len, sizeof(p->description) - len, ", %llu us each",
			 (unsigned long long)service_us);
	ret_info->types = p->types;
	ret_info->type_count = p->type_count;
	ret_info->engines = p->engines;
	ret_info->engine_count = NVME_ENGINE_COUNT;
	ret_info->pool_units = p->size;
	ret_info->pool_align = NVME_POOL_ALIGN;
	ret_info->pool_unit = "bytes";
	ret_info->description = p->description;
}

int nvme_parent_open(struct umdev_parent *handle, const struct umdev_parent_args *args,
		     struct umdev_parent_info *ret_info, void **ret_priv)
{
	const struct umdev_value *values = args->values;
	struct nvme_parent *p = calloc(1, sizeof(*p));
	int fd = -1;
	int rc;

	if (!p)
		return nvme_host->fail(ENOMEM, "out of memory for a parent");
	TAILQ_INIT(&p->dirty);
	p->handle = handle;
	p->poll_ns = values[NVME_OPT_POLL_US].number * 1000;
	p->block_size = values[NVME_OPT_BLOCK_SIZE].number == 1 ? 4096 : 512;
	rc = nvme_types_parse(p, values[NVME_OPT_TYPES].text);
	if (rc == 0)
		rc = parent_engines(p, args);
	if (rc == 0)
		rc = parent_storage(p, values, &fd);
	if (rc == 0)
		rc = parent_service(p, values);
	if (rc == 0)
		rc = parent_backend(p, values, fd);
	if (rc < 0) {
		nvme_service_free(p->service);
		free(p);
		return rc;
	}
	p->discard.fd = fd;
	parent_parallelism(p);
	parent_describe(p, values, ret_info);
	*ret_priv = p;
	return 0;
}

void nvme_parent_close(void *parent_priv)
{
	struct nvme_parent *p = parent_priv;

	/* Storage that hangs: the process that ends takes what is left with it. */
	if (!nvme_measure_end(p->measure)) {
		nvme_host->log(UMDEV_LOG_ERROR, "the storage does not answer, left as it is");
		return;
	}
	nvme_service_free(p->service);
	p->backend->ops->close(p->backend);
	free(p);
}

static void parent_discarded(struct nvme_io *io, int error)
{
	struct nvme_parent *p =
		(struct nvme_parent *)((char *)io - offsetof(struct nvme_parent, discard));

	p->discarding = false;
	nvme_host->discard_done(p->handle, error);
}

int nvme_parent_discard(void *parent_priv, uint64_t piece_start, uint64_t piece_size)
{
	struct nvme_parent *p = parent_priv;
	uint64_t end;

	if (__builtin_add_overflow(piece_start, piece_size, &end) || end > p->size)
		return nvme_host->fail(EINVAL, "the piece does not lie inside of the parent");
	if (p->discarding)
		return nvme_host->fail(EBUSY, "a piece is being wiped already");
	if (piece_size == 0)
		return 0;
	p->discarding = true;
	p->discard.op = NVME_OP_WIPE;
	p->discard.flags = 0;
	p->discard.offset = piece_start;
	p->discard.length = piece_size;
	p->discard.done = parent_discarded;
	p->backend->ops->start(p->backend, &p->discard);
	return -EINPROGRESS;
}
