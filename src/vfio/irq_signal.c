/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Signals to eventfds that never make us wait for a client.
 *
 * write(2) to an eventfd whose counter is full waits, unless the open file is in non-blocking mode;
 * the mode is shared with the client, who can change it at any time. None that means well fills a
 * counter, so a signal is a write, and a timer watches it: a write that still waits at a tick is
 * interrupted.
 *
 * That happens once to a process. From then on it signals as the kernel does for asynchronous I/O,
 * which adds to the counter or leaves a full one as it is: a signal is a request that names the
 * eventfd as the one to signal and completes within the call, a read from the same eventfd, too
 * short for a counter. This is not the way from the start since it takes three times as long, and
 * since the kernel lets a process with a context for such requests end only when all processors
 * have taken notice: 25 ms, for which all its clients would wait when it dies
 * (docs/performance.md).
 *
 * The timer runs only while signals come: it stops at the first tick outside of a write. All of it
 * belongs to one thread, that of the loop. A tick interrupts other calls of that thread as well,
 * those that sleep; the loop and the drivers have none but epoll_wait().
 */
#include <errno.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"
#include "vfio/session-internal.h"

#define SIGNAL_EVENTS	  64
#define SIGNAL_RING_MAGIC 0xa10a10a1u
#define SIGNAL_TICK_NS	  (10 * NS_PER_MS)

/* The ring of completions that the kernel keeps at the address of a context. */
struct signal_ring {
	uint32_t id;
	uint32_t count;
	uint32_t head; /* ours to move */
	uint32_t tail;
	uint32_t magic;
};

enum signal_way {
	SIGNAL_NEW,   /* not set up */
	SIGNAL_WRITE, /* by watched writes */
	SIGNAL_ASYNC, /* by asynchronous requests */
	SIGNAL_LOOK,  /* by writes to what is not full when it is looked at: there is no better one
		       */
};

static struct {
	enum signal_way way;
	aio_context_t context;
	timer_t timer;
	bool timed;
	volatile sig_atomic_t inside; /* a write */
	volatile sig_atomic_t ticking;
} signal_state;

static void signal_tick(int signo)
{
	static const struct itimerspec never = {0};
	int saved = errno;

	if (!signal_state.inside) {
		timer_settime(signal_state.timer, 0, &never, NULL);
		signal_state.ticking = 0;
	}
	errno = saved;
}

/* The timer, and the signal by which it ticks. It must not be anybody else's, nor be blocked. */
static bool signal_timer_new(void)
{
	struct sigaction action = {.sa_handler = signal_tick};
	struct sigaction present;
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN};
	sigset_t set;

	event._sigev_un._tid = gettid();
	sigemptyset(&action.sa_mask);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	if (sigaction(SIGRTMIN, NULL, &present) < 0 || present.sa_handler != SIG_DFL ||
	    sigaction(SIGRTMIN, &action, NULL) < 0)
		return false;
	return pthread_sigmask(SIG_UNBLOCK, &set, NULL) == 0 &&
	       timer_create(CLOCK_MONOTONIC, &event, &signal_state.timer) == 0;
}

static void signal_use_async(void)
{
	signal_state.way = syscall(SYS_io_setup, SIGNAL_EVENTS, &signal_state.context) == 0
				   ? SIGNAL_ASYNC
				   : SIGNAL_LOOK;
}

void irq_signal_setup(void)
{
	if (signal_state.way != SIGNAL_NEW)
		return;
	signal_state.timed = signal_timer_new();
	if (signal_state.timed)
		signal_state.way = SIGNAL_WRITE;
	else
		signal_use_async();
}

/* Adds to the counter. Waits until a tick where it is full, and returns -EINTR. */
static int signal_write(int fd)
{
	static const struct itimerspec ticks = {{0, SIGNAL_TICK_NS}, {0, SIGNAL_TICK_NS}};
	static const uint64_t one = 1;
	ssize_t n;

	/* From here to the end of the write no tick stops the timer. */
	signal_state.inside = 1;
	if (signal_state.timed && !signal_state.ticking) {
		signal_state.ticking = 1;
		timer_settime(signal_state.timer, 0, &ticks, NULL);
	}
	n = write(fd, &one, sizeof(one));
	signal_state.inside = 0;
	/* A full counter: the client has enough to see. */
	return n < 0 && errno != EAGAIN ? -errno : 0;
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

static int signal_look(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int r = poll(&p, 1, 0) == 0 ? 0 : signal_write(fd);

	return r == -EINTR ? 0 : r;
}

static int signal_async(int fd)
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

	if (syscall(SYS_io_submit, signal_state.context, 1L, reads) == 1) {
		signal_reap();
		return 0;
	}
	return errno == EAGAIN || errno == ENOSYS || errno == EPERM ? signal_look(fd) : -errno;
}

int irq_signal(int fd)
{
	if (signal_state.way == SIGNAL_WRITE) {
		int r = signal_write(fd);

		if (r != -EINTR)
			return r;
		signal_use_async();
	}
	return signal_state.way == SIGNAL_ASYNC ? signal_async(fd) : signal_look(fd);
}
