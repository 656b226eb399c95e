/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Worker threads: operations that block go in by one queue and come back by another, with an
 * eventfd to wake the host's thread. The mutex guards both queues and nothing is called with it
 * held. A thread owns an operation between taking it and putting it back.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend.h"
#include "driver.h"

TAILQ_HEAD(nvme_io_list, nvme_io);

#define WIPE_STEP    (256ull << 20) /* so that a thread comes up for air */
#define WORKER_STACK (128u << 10)

struct nvme_workers {
	pthread_mutex_t lock; /* queue, ended, stopping */
	pthread_cond_t wake;
	struct nvme_io_list queue;
	struct nvme_io_list ended;
	bool stopping;
	int event_fd;
	bool watched;
	uint32_t count;
	uint32_t in_progress; /* the host's thread only */
	struct umdev_parent *parent;
	void (*report)(void *arg);
	void *report_arg;
	pthread_t threads[NVME_WORKERS_MAX];
};

const uint8_t nvme_zeros[NVME_ZERO_BYTES];

void nvme_io_advance(struct nvme_io *io, size_t bytes)
{
	io->offset += bytes;
	io->length -= bytes;
	while (bytes > 0 && io->iov_count > 0) {
		size_t step = bytes < io->iov->iov_len ? bytes : io->iov->iov_len;

		io->iov->iov_base = (uint8_t *)io->iov->iov_base + step;
		io->iov->iov_len -= step;
		bytes -= step;
		if (io->iov->iov_len == 0) {
			io->iov++;
			io->iov_count--;
		}
	}
}

static int worker_transfer(struct nvme_io *io)
{
	int flags = io->flags & NVME_OP_DURABLE ? RWF_DSYNC : 0;

	while (io->length > 0) {
		ssize_t n;

		if (io->op == NVME_OP_READ)
			n = preadv2(io->fd, io->iov, (int)io->iov_count, (off_t)io->offset, 0);
		else
			n = pwritev2(io->fd, io->iov, (int)io->iov_count, (off_t)io->offset, flags);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO; /* the file became shorter than it was */
		nvme_io_advance(io, (size_t)n);
	}
	return 0;
}

/* Zeros by writing them, for devices and filesystems that know no better. */
static int worker_write_zeros(struct nvme_io *io)
{
	while (io->length > 0) {
		size_t len = io->length < NVME_ZERO_BYTES ? (size_t)io->length : NVME_ZERO_BYTES;
		ssize_t n = pwrite(io->fd, nvme_zeros, len, (off_t)io->offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		io->offset += (uint64_t)n;
		io->length -= (uint64_t)n;
	}
	return 0;
}

static int worker_fallocate(const struct nvme_io *io, int mode)
{
	int rc;

	do {
		rc = fallocate(io->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)io->offset,
			       (off_t)io->length);
	} while (rc < 0 && errno == EINTR);
	if (rc < 0 && errno == EINVAL)
		return -EOPNOTSUPP; /* a device with blocks larger than the guest's */
	return rc < 0 ? -errno : 0;
}

static int worker_zero(struct nvme_io *io)
{
	bool give_back = io->flags & NVME_OP_GIVE_BACK;
	int rc = worker_fallocate(io, give_back ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);

	if (rc == -EOPNOTSUPP)
		rc = worker_fallocate(io, give_back ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE);
	if (rc == -EOPNOTSUPP)
		rc = worker_write_zeros(io);
	if (rc == 0 && (io->flags & NVME_OP_DURABLE) && fdatasync(io->fd) < 0)
		rc = -errno;
	return rc;
}

/* A hole reads as zeros in a file, and the kernel promises the same of a block device. */
static int worker_wipe(const struct nvme_io *io)
{
	uint64_t end = io->offset + io->length;
	struct nvme_io part = {.fd = io->fd, .op = NVME_OP_ZERO, .flags = NVME_OP_GIVE_BACK};
	struct stat st;

	if (fstat(io->fd, &st) < 0)
		return -errno;
	for (uint64_t at = io->offset; at < end; at += WIPE_STEP) {
		uint64_t len = end - at < WIPE_STEP ? end - at : WIPE_STEP;
		uint64_t range[2] = {at, len};
		int rc;

		part.offset = at;
		part.length = len;
		rc = worker_fallocate(&part, FALLOC_FL_PUNCH_HOLE);
		if (rc == -EOPNOTSUPP && S_ISBLK(st.st_mode))
			rc = ioctl(io->fd, BLKZEROOUT, range) < 0 ? -errno : 0;
		if (rc == -EOPNOTSUPP)
			rc = worker_zero(&part);
		if (rc < 0)
			return rc;
	}
	return fdatasync(io->fd) < 0 ? -errno : 0;
}

int nvme_io_run(struct nvme_io *io)
{
	switch (io->op) {
	case NVME_OP_READ:
	case NVME_OP_WRITE:
		return worker_transfer(io);
	case NVME_OP_FLUSH:
		return fdatasync(io->fd) < 0 ? -errno : 0;
	case NVME_OP_ZERO:
		return worker_zero(io);
	case NVME_OP_DEALLOCATE:
		return worker_fallocate(io, FALLOC_FL_PUNCH_HOLE);
	case NVME_OP_WIPE:
		return worker_wipe(io);
	default:
		return -EINVAL;
	}
}

static void *worker_main(void *arg)
{
	struct nvme_workers *w = arg;
	const uint64_t one = 1;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		struct nvme_io *io = TAILQ_FIRST(&w->queue);

		if (w->stopping)
			break;
		if (!io) {
			pthread_cond_wait(&w->wake, &w->lock);
			continue;
		}
		TAILQ_REMOVE(&w->queue, io, link);
		io->busy = 1;
		pthread_mutex_unlock(&w->lock);
		io->result = nvme_io_run(io);
		pthread_mutex_lock(&w->lock);
		TAILQ_INSERT_TAIL(&w->ended, io, link);
		/* A full counter has woken the other side already. */
		if (write(w->event_fd, &one, sizeof(one)) < 0)
			continue;
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

uint32_t nvme_workers_reap(struct nvme_workers *w)
{
	struct nvme_io_list ended = TAILQ_HEAD_INITIALIZER(ended);
	struct nvme_io *io;
	uint32_t n = 0;

	if (w->in_progress == 0)
		return 0;
	pthread_mutex_lock(&w->lock);
	TAILQ_CONCAT(&ended, &w->ended, link);
	pthread_mutex_unlock(&w->lock);
	while ((io = TAILQ_FIRST(&ended))) {
		TAILQ_REMOVE(&ended, io, link);
		w->in_progress--;
		n++;
		io->done(io, io->result);
	}
	return n;
}

static void workers_ready(void *arg, uint32_t events)
{
	struct nvme_workers *w = arg;
	uint64_t count;

	if (read(w->event_fd, &count, sizeof(count)) < 0)
		return;
	if (nvme_workers_reap(w) > 0)
		w->report(w->report_arg);
}

void nvme_workers_start(struct nvme_workers *w, struct nvme_io *io)
{
	w->in_progress++;
	io->busy = 0;
	pthread_mutex_lock(&w->lock);
	TAILQ_INSERT_TAIL(&w->queue, io, link);
	pthread_mutex_unlock(&w->lock);
	pthread_cond_signal(&w->wake);
}

void nvme_workers_cancel(struct nvme_workers *w, struct nvme_io *io)
{
	const uint64_t one = 1;

	pthread_mutex_lock(&w->lock);
	if (!io->busy) {
		io->busy = 1;
		TAILQ_REMOVE(&w->queue, io, link);
		io->result = -ECANCELED;
		TAILQ_INSERT_TAIL(&w->ended, io, link);
		if (write(w->event_fd, &one, sizeof(one)) < 0)
			nvme_host->log(UMDEV_LOG_WARNING, "cannot wake the host's thread");
	}
	pthread_mutex_unlock(&w->lock);
}

/* Signals are the host's thread's business. */
static int workers_spawn(struct nvme_workers *w, uint32_t count)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int rc = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, WORKER_STACK);
	while (rc == 0 && w->count < count) {
		rc = pthread_create(&w->threads[w->count], &attr, worker_main, w);
		if (rc == 0)
			w->count++;
	}
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return w->count > 0 ? 0 : -rc;
}

int nvme_workers_new(struct umdev_parent *parent, uint32_t count, void (*ended)(void *arg),
		     void *ended_arg, struct nvme_workers **ret_workers)
{
	struct nvme_workers *w = calloc(1, sizeof(*w));
	int rc;

	if (!w)
		return -ENOMEM;
	w->parent = parent;
	w->report = ended;
	w->report_arg = ended_arg;
	TAILQ_INIT(&w->queue);
	TAILQ_INIT(&w->ended);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wake, NULL);
	w->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = w->event_fd < 0 ? -errno : 0;
	if (rc == 0) {
		rc = nvme_host->fd_watch(parent, w->event_fd, POLLIN, workers_ready, w);
		w->watched = rc == 0;
	}
	if (rc == 0)
		rc = workers_spawn(w, count < NVME_WORKERS_MAX ? count : NVME_WORKERS_MAX);
	if (rc < 0) {
		nvme_workers_free(w);
		return rc;
	}
	*ret_workers = w;
	return 0;
}

void nvme_workers_free(struct nvme_workers *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	pthread_mutex_unlock(&w->lock);
	pthread_cond_broadcast(&w->wake);
	for (uint32_t i = 0; i < w->count; i++)
		pthread_join(w->threads[i], NULL);
	if (w->watched)
		nvme_host->fd_unwatch(w->parent, w->event_fd);
	if (w->event_fd >= 0)
		close(w->event_fd);
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
