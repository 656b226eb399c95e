/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Signals to eventfds that never wait.
 *
 * write(2) to an eventfd whose counter is full waits, unless the open file is in non-blocking mode;
 * the mode is shared with the client, who can change it at any time and so stop the process. The
 * kernel's own signal, by which it reports asynchronous I/O, does not wait: it adds to the counter,
 * or leaves a full one as it is. So a signal here is a request that names the eventfd as the one to
 * signal and completes within the call: a read from the same eventfd, too short for a counter.
 *
 * One context serves the process, on its one thread. Where the kernel has no asynchronous I/O for
 * us, the counter is looked at before it is written.
 */
#include <errno.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "vfio/session-internal.h"

#define SIGNAL_EVENTS	  64
#define SIGNAL_RING_MAGIC 0xa10a10a1u

/* The ring of completions that the kernel keeps at the address of a context. */
struct signal_ring {
	uint32_t id;
	uint32_t count;
	uint32_t head; /* ours to move */
	uint32_t tail;
	uint32_t magic;
};

static struct {
	aio_context_t context;
	bool tried;
	bool usable;
} signal_state;

void irq_signal_setup(void)
{
	if (signal_state.tried)
		return;
	signal_state.tried = true;
	signal_state.usable = syscall(SYS_io_setup, SIGNAL_EVENTS, &signal_state.context) == 0;
}

/* Forgets what has completed: nobody asks. */
static void signal_reap(void)
{
	struct signal_ring *ring = (struct signal_ring *)(uintptr_t)signal_state.context;
	struct io_event events[SIGNAL_EVENTS];
	struct timespec now = {0};

	if (ring->magic == SIGNAL_RING_MAGIC)
		__atomic_store_n(&ring->head, __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE),
				 __ATOMIC_RELEASE);
	else
		(void)syscall(SYS_io_getevents, signal_state.context, 0L, (long)SIGNAL_EVENTS,
			      events, &now);
}

static int signal_by_write(int fd)
{
	static const uint64_t one = 1;
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	/* A full counter: the client has enough to see. */
	if (poll(&p, 1, 0) == 0)
		return 0;
	return write(fd, &one, sizeof(one)) < 0 && errno != EAGAIN ? -errno : 0;
}

int irq_signal(int fd)
{
	uint8_t nothing;
	struct iocb read = {
		.aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_fildes = (uint32_t)fd,
		.aio_buf = (uintptr_t)&nothing,
		.aio_nbytes = sizeof(nothing),
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = (uint32_t)fd,
	};
	struct iocb *reads[] = {&read};

	if (!signal_state.usable)
		return signal_by_write(fd);
	if (syscall(SYS_io_submit, signal_state.context, 1L, reads) == 1) {
		signal_reap();
		return 0;
	}
	return errno == EAGAIN || errno == ENOSYS || errno == EPERM ? signal_by_write(fd) : -errno;
}
