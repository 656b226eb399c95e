/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The parent's storage behind one interface: io_uring on a file or block device, a pool of threads
 * on the same where io_uring is refused, or memory. An operation is embedded in whoever asks for
 * it; ends are reported on the host's thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/uio.h>

#include <umdev/driver.h>

enum nvme_io_op {
	NVME_OP_READ,
	NVME_OP_WRITE,
	NVME_OP_FLUSH,
	NVME_OP_ZERO,	    /* reads as zeros afterwards */
	NVME_OP_DEALLOCATE, /* gives space back; reads as zeros if it did; -EOPNOTSUPP if it cannot
			     */
	NVME_OP_WIPE, /* as ZERO, for a whole piece of the pool, and gives space back if it can */
	NVME_OP_COUNT,
};

#define NVME_OP_DURABLE	  1u /* WRITE, ZERO: on stable storage before it ends */
#define NVME_OP_GIVE_BACK 2u /* ZERO: space may be given back */

/*
 * One operation. The asker fills op, flags, offset, length, iov and done, and keeps all of it until
 * done; the backend may change iov while it works.
 */
struct nvme_io {
	TAILQ_ENTRY(nvme_io) link; /* the backend's while it works */
	/* The operation has ended: 0 or -errno. It may be started anew from here. */
	void (*done)(struct nvme_io *io, int error);
	struct iovec *iov; /* READ, WRITE: adds up to length */
	uint32_t iov_count;
	uint8_t op;
	uint8_t flags;
	uint8_t step; /* the backend's */
	uint8_t busy; /* the backend's */
	uint64_t offset;
	uint64_t length;
	uint64_t moved; /* the backend's */
	int32_t fd;	/* the backend's */
	int32_t result; /* the backend's */
};

struct nvme_backend;

struct nvme_backend_ops {
	const char *name;
	/* Starts @io; done may be called from within. Never fails otherwise. */
	void (*start)(struct nvme_backend *backend, struct nvme_io *io);
	/* Hands everything started to the kernel. */
	void (*flush)(struct nvme_backend *backend);
	/* Reports what has ended without waiting. Returns how many. Needs no system call when
	 * nothing has. */
	uint32_t (*reap)(struct nvme_backend *backend);
	/* Hurries the end of a started @io; done is still called, never from within. */
	void (*cancel)(struct nvme_backend *backend, struct nvme_io *io);
	/* Ends the backend; nothing may be in progress. */
	void (*close)(struct nvme_backend *backend);
};

/* Embedded first in each backend. */
struct nvme_backend {
	const struct nvme_backend_ops *ops;
	/* Called after done was called outside of start() and reap(): completions wait to be told.
	 */
	void (*ended)(void *arg);
	void *ended_arg;
	uint32_t most;	/* operations it can work on at once */
	bool immediate; /* READ and WRITE end within start() */
	bool stalled;	/* the kernel took nothing for now: reap() tries again */
	bool polled;	/* reap() finds ends earlier than events tell of them */
};

struct nvme_backend_args {
	struct umdev_parent *parent;
	int fd;
	uint64_t size;	/* bytes that may be touched */
	uint32_t depth; /* operations in progress at once */
	void (*ended)(void *arg);
	void *ended_arg;
};

/* Open a backend: 0 or -errno (no reason is said). The fd stays the caller's. */
int nvme_uring_open(const struct nvme_backend_args *args, struct nvme_backend **ret_backend);
int nvme_threads_open(const struct nvme_backend_args *args, struct nvme_backend **ret_backend);
int nvme_ram_open(const struct nvme_backend_args *args, struct nvme_backend **ret_backend);

/* ---- Worker threads: for what would block, in all three backends ---- */

struct nvme_workers;

/*
 * Starts @count threads (at most NVME_WORKERS_MAX). The operations' io->fd says on what they work.
 * @ended as in struct nvme_backend. Returns 0 or -errno.
 */
#define NVME_WORKERS_MAX 32u
int nvme_workers_new(struct umdev_parent *parent, uint32_t count, void (*ended)(void *arg),
		     void *ended_arg, struct nvme_workers **ret_workers);
/* Ends the threads. NULL is fine. Nothing may be in progress. */
void nvme_workers_free(struct nvme_workers *workers);
/* Hands @io to a thread; done is called on the host's thread, never from within. */
void nvme_workers_start(struct nvme_workers *workers, struct nvme_io *io);
/* Ends @io with -ECANCELED soon if no thread has taken it yet. */
void nvme_workers_cancel(struct nvme_workers *workers, struct nvme_io *io);
/* Calls done for what has ended. Returns how many. */
uint32_t nvme_workers_reap(struct nvme_workers *workers);

/* Does @io on @io->fd in the calling thread, blocking. Returns 0 or -errno. Any thread. */
int nvme_io_run(struct nvme_io *io);
/* Drops @bytes from the front of an operation's iov and moves its offset on. */
void nvme_io_advance(struct nvme_io *io, size_t bytes);

/* A block of zeros for writing, NVME_ZERO_BYTES long. */
#define NVME_ZERO_BYTES 65536u
extern const uint8_t nvme_zeros[NVME_ZERO_BYTES];
