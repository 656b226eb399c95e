/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Storage by io_uring, straight into guest memory.
 *
 * Operations become submission entries when they start and one io_uring_enter() a round hands them
 * over. What has ended is found in shared memory while the host polls, and by a watch of the ring's
 * descriptor while it sleeps. Each operation has one entry in the ring at a time, and the ring has
 * one place for each operation the parent may have in flight, so entries never run out; cancel
 * requests, which carry no operation, are the exception and are simply left out when there is no
 * place.
 */
#include <errno.h>
#include <liburing.h>
#include <linux/falloc.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backend.h"
#include "driver.h"

/* io->step of NVME_OP_ZERO and NVME_OP_WRITE */
#define STEP_FIRST 0u
#define STEP_OTHER 1u /* the second best way of making zeros */
#define STEP_WRITE 2u /* writing zeros */
#define STEP_SYNC  3u

#define REAP_BATCH 32u

struct nvme_uring {
	struct nvme_backend base;
	struct nvme_workers *workers; /* for wiping */
	struct io_uring ring;
	struct umdev_parent *parent;
	int fd;
	bool watched;
	bool fixed; /* the file is registered */
	uint32_t in_progress;
	uint32_t unsubmitted;
};

static void uring_submit(struct nvme_uring *u)
{
	int n;

	while (u->unsubmitted > 0) {
		n = io_uring_submit(&u->ring);
		u->base.stalled = n <= 0; /* out of kernel memory for now */
		if (u->base.stalled)
			return;
		u->unsubmitted -= (uint32_t)n < u->unsubmitted ? (uint32_t)n : u->unsubmitted;
	}
}

static struct io_uring_sqe *uring_sqe(struct nvme_uring *u)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	if (!sqe) {
		uring_submit(u);
		sqe = io_uring_get_sqe(&u->ring);
	}
	return sqe;
}

static void uring_prep_transfer(const struct nvme_io *io, struct io_uring_sqe *sqe, int fd)
{
	if (io->op == NVME_OP_READ) {
		if (io->iov_count == 1)
			io_uring_prep_read(sqe, fd, io->iov->iov_base, (unsigned)io->iov->iov_len,
					   io->offset);
		else
			io_uring_prep_readv(sqe, fd, io->iov, io->iov_count, io->offset);
		return;
	}
	if (io->iov_count == 1)
		io_uring_prep_write(sqe, fd, io->iov->iov_base, (unsigned)io->iov->iov_len,
				    io->offset);
	else
		io_uring_prep_writev(sqe, fd, io->iov, io->iov_count, io->offset);
	if (io->flags & NVME_OP_DURABLE)
		sqe->rw_flags = RWF_DSYNC;
}

static void uring_prep_zero(const struct nvme_io *io, struct io_uring_sqe *sqe, int fd)
{
	bool punch = (io->flags & NVME_OP_GIVE_BACK) != 0;
	size_t len = io->length < NVME_ZERO_BYTES ? (size_t)io->length : NVME_ZERO_BYTES;

	switch (io->step) {
	case STEP_WRITE:
		io_uring_prep_write(sqe, fd, nvme_zeros, (unsigned)len, io->offset);
		return;
	case STEP_SYNC:
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
		return;
	case STEP_OTHER:
		punch = !punch;
		break;
	default:
		break;
	}
	io_uring_prep_fallocate(sqe, fd,
				FALLOC_FL_KEEP_SIZE |
					(punch ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE),
				(off_t)io->offset, (off_t)io->length);
}

static void uring_queue(struct nvme_uring *u, struct nvme_io *io)
{
	struct io_uring_sqe *sqe = uring_sqe(u);
	int fd = u->fixed ? 0 : u->fd;

	if (!sqe) {
		io->done(io, -EAGAIN);
		return;
	}
	switch (io->op) {
	case NVME_OP_READ:
	case NVME_OP_WRITE:
		uring_prep_transfer(io, sqe, fd);
		break;
	case NVME_OP_FLUSH:
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
		break;
	case NVME_OP_ZERO:
		uring_prep_zero(io, sqe, fd);
		break;
	default:
		io_uring_prep_fallocate(sqe, fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
					(off_t)io->offset, (off_t)io->length);
		break;
	}
	if (u->fixed)
		sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data(sqe, io);
	u->in_progress++;
	u->unsubmitted++;
}

static void uring_start(struct nvme_backend *backend, struct nvme_io *io)
{
	struct nvme_uring *u = (struct nvme_uring *)backend;

	io->step = STEP_FIRST;
	io->busy = io->op != NVME_OP_WIPE;
	io->fd = u->fd;
	if (io->op == NVME_OP_WIPE)
		nvme_workers_start(u->workers, io);
	else
		uring_queue(u, io);
}

static void uring_flush(struct nvme_backend *backend)
{
	uring_submit((struct nvme_uring *)backend);
}

/* The next step of making zeros, or its end. Returns false when @io goes on. */
static bool uring_zero_ended(struct nvme_io *io, int result, int *ret_error)
{
	*ret_error = result < 0 ? result : 0;
	if (result == -EOPNOTSUPP && io->step < STEP_WRITE) {
		io->step++;
		return false;
	}
	if (result < 0 || io->step == STEP_SYNC)
		return true;
	if (io->step == STEP_WRITE) {
		io->offset += (uint64_t)result;
		io->length -= (uint64_t)result;
		if (io->length > 0 && result > 0)
			return false;
		*ret_error = io->length > 0 ? -EIO : 0;
	}
	if (*ret_error < 0 || !(io->flags & NVME_OP_DURABLE))
		return true;
	io->step = STEP_SYNC;
	return false;
}

/* Judges what the kernel said of @io. Returns false when it has to go on. */
static bool uring_ended(struct nvme_io *io, int result, int *ret_error)
{
	if (result == -EINTR)
		return false;
	/* A device with blocks larger than the guest's cannot do it for a part of one. */
	if (result == -EINVAL && (io->op == NVME_OP_ZERO || io->op == NVME_OP_DEALLOCATE))
		result = -EOPNOTSUPP;
	if (io->op == NVME_OP_ZERO)
		return uring_zero_ended(io, result, ret_error);
	*ret_error = result < 0 ? result : 0;
	if (result < 0 || io->op > NVME_OP_WRITE)
		return true;
	if (result == 0) {
		*ret_error = -EIO; /* the file became shorter than it was */
		return true;
	}
	nvme_io_advance(io, (size_t)result);
	return io->length == 0;
}

static uint32_t uring_reap(struct nvme_backend *backend)
{
	struct nvme_uring *u = (struct nvme_uring *)backend;
	struct io_uring_cqe *cqes[REAP_BATCH];
	uint32_t total = 0;
	unsigned n;

	if (u->unsubmitted > 0)
		uring_submit(u);
	while ((n = io_uring_peek_batch_cqe(&u->ring, cqes, REAP_BATCH)) > 0) {
		struct nvme_io *ios[REAP_BATCH];
		int results[REAP_BATCH];

		for (unsigned i = 0; i < n; i++) {
			ios[i] = io_uring_cqe_get_data(cqes[i]);
			results[i] = cqes[i]->res;
		}
		io_uring_cq_advance(&u->ring, n);
		for (unsigned i = 0; i < n; i++) {
			int error = 0;

			if (!ios[i])
				continue;
			u->in_progress--;
			total++;
			if (uring_ended(ios[i], results[i], &error))
				ios[i]->done(ios[i], error);
			else
				uring_queue(u, ios[i]);
		}
		if (u->unsubmitted > 0)
			uring_submit(u);
		if (n < REAP_BATCH)
			break;
	}
	return total;
}

static void uring_ready(void *arg, uint32_t events)
{
	struct nvme_uring *u = arg;

	if (uring_reap(&u->base) > 0)
		u->base.ended(u->base.ended_arg);
}

static void uring_cancel(struct nvme_backend *backend, struct nvme_io *io)
{
	struct nvme_uring *u = (struct nvme_uring *)backend;
	struct io_uring_sqe *sqe;

	if (io->op == NVME_OP_WIPE) {
		nvme_workers_cancel(u->workers, io);
		return;
	}
	sqe = uring_sqe(u);
	if (!sqe)
		return;
	io_uring_prep_cancel(sqe, io, 0);
	io_uring_sqe_set_data(sqe, NULL);
	u->unsubmitted++;
	uring_submit(u);
}

static void uring_close(struct nvme_backend *backend)
{
	struct nvme_uring *u = (struct nvme_uring *)backend;

	if (u->watched)
		nvme_host->fd_unwatch(u->parent, u->ring.ring_fd);
	nvme_workers_free(u->workers);
	io_uring_queue_exit(&u->ring);
	free(u);
}

static const struct nvme_backend_ops uring_ops = {
	.name = "io_uring",
	.start = uring_start,
	.flush = uring_flush,
	.reap = uring_reap,
	.cancel = uring_cancel,
	.close = uring_close,
};

static int uring_register(const struct io_uring *ring, unsigned op, void *arg, unsigned count)
{
	/* liburing 2.3 declares functions for these and does not export them. */
	return syscall(SYS_io_uring_register, ring->ring_fd, op, arg, count) < 0 ? -errno : 0;
}

/*
 * A ring can do much that a host may not: open files, connect sockets. This one is limited to what
 * is used here, for good, and then begins to run.
 */
static int uring_limit(const struct io_uring *ring)
{
	static const uint8_t ops[] = {IORING_OP_READ,	     IORING_OP_READV, IORING_OP_WRITE,
				      IORING_OP_WRITEV,	     IORING_OP_FSYNC, IORING_OP_FALLOCATE,
				      IORING_OP_ASYNC_CANCEL};
	struct io_uring_restriction rules[sizeof(ops) + 1] = {
		[sizeof(ops)] = {.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED,
				 .sqe_flags = IOSQE_FIXED_FILE},
	};
	int rc;

	if (!(ring->flags & IORING_SETUP_R_DISABLED))
		return 0;
	for (size_t i = 0; i < sizeof(ops); i++) {
		rules[i].opcode = IORING_RESTRICTION_SQE_OP;
		rules[i].sqe_op = ops[i];
	}
	rc = uring_register(ring, IORING_REGISTER_RESTRICTIONS, rules, sizeof(ops) + 1);
	return rc == 0 ? uring_register(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0) : rc;
}

/* The newest flags first: task work runs when we look, not by interrupting us. Only the kernels
 * that know none of these have no limits either. */
static int uring_init(struct io_uring *ring, uint32_t depth)
{
	static const unsigned flags[] = {
		IORING_SETUP_R_DISABLED | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
			IORING_SETUP_SINGLE_ISSUER,
		IORING_SETUP_R_DISABLED | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
		IORING_SETUP_R_DISABLED,
		0,
	};
	int rc = -ENOSYS;

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		rc = io_uring_queue_init(depth, ring, flags[i] | IORING_SETUP_CLAMP);
		if (rc != -EINVAL)
			break;
	}
	return rc;
}

int nvme_uring_open(const struct nvme_backend_args *args, struct nvme_backend **ret_backend)
{
	struct nvme_uring *u = calloc(1, sizeof(*u));
	int rc;

	if (!u)
		return -ENOMEM;
	rc = uring_init(&u->ring, args->depth);
	if (rc < 0) {
		free(u);
		return rc;
	}
	u->base.ops = &uring_ops;
	u->base.ended = args->ended;
	u->base.ended_arg = args->ended_arg;
	u->base.polled = true;
	u->base.most = args->depth;
	u->parent = args->parent;
	u->fd = args->fd;
	u->fixed = io_uring_register_files(&u->ring, &u->fd, 1) == 0;
	rc = uring_limit(&u->ring);
	if (rc < 0) {
		io_uring_queue_exit(&u->ring);
		free(u);
		return rc;
	}
	io_uring_ring_dontfork(&u->ring);
	rc = nvme_workers_new(args->parent, 1, args->ended, args->ended_arg, &u->workers);
	if (rc == 0) {
		rc = nvme_host->fd_watch(args->parent, u->ring.ring_fd, POLLIN, uring_ready, u);
		u->watched = rc == 0;
	}
	if (rc < 0) {
		uring_close(&u->base);
		return rc;
	}
	*ret_backend = &u->base;
	return 0;
}
