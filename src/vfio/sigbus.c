/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The process-wide SIGBUS handler. See sigbus.h.
 *
 * The handler may use async-signal-safe calls only and take no lock, so the ranges stand in a fixed
 * table of atomics. A slot is claimed by compare-and-swap on its state; its fields are written
 * between claim and the release store of ACTIVE, which pairs with the handler's acquire load.
 */
#include "vfio/sigbus.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

enum sigbus_state { SIGBUS_FREE, SIGBUS_CLAIMED, SIGBUS_ACTIVE };

struct sigbus_range {
	_Atomic int state;
	_Atomic int hit;
	uintptr_t base;
	size_t len;
	size_t page_size;
	int wake_fd;
};

static struct sigbus_range sigbus_ranges[SIGBUS_RANGES_MAX];
/* Slots at and above this were never used; it only grows. */
static _Atomic unsigned sigbus_used;
static struct sigaction sigbus_previous;

/* Lays zero pages over the mapping from the fault to its end. Returns whether that went well. */
static bool sigbus_patch(struct sigbus_range *range, uintptr_t fault)
{
	static const uint64_t one = 1;
	size_t offset = (fault - range->base) & ~(range->page_size - 1);
	void *start = (void *)(range->base + offset); // NOLINT(performance-no-int-to-ptr)

	if (mmap(start, range->len - offset, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
		return false;
	atomic_store_explicit(&range->hit, 1, memory_order_release);
	/* A full counter is as good as a written one. */
	return write(range->wake_fd, &one, sizeof(one)) == (ssize_t)sizeof(one) || errno == EAGAIN;
}

static void sigbus_handle(int signo, siginfo_t *info, void *context)
{
	uintptr_t fault = (uintptr_t)info->si_addr;
	unsigned used = atomic_load_explicit(&sigbus_used, memory_order_acquire);
	int saved = errno;

	for (unsigned i = 0; info->si_code > 0 && i < used; i++) {
		struct sigbus_range *range = &sigbus_ranges[i];

		if (atomic_load_explicit(&range->state, memory_order_acquire) != SIGBUS_ACTIVE)
			continue;
		if (fault < range->base || fault - range->base >= range->len)
			continue;
		if (!sigbus_patch(range, fault))
			break;
		errno = saved;
		return;
	}
	/* Not ours: as if there were no handler. A fault repeats itself on return; a sent signal is
	 * sent again. */
	sigaction(signo, &sigbus_previous, NULL);
	if (info->si_code <= 0)
		raise(signo);
	errno = saved;
}

int sigbus_install(void)
{
	struct sigaction action = {.sa_sigaction = sigbus_handle, .sa_flags = SA_SIGINFO};
	struct sigaction present;

	if (sigaction(SIGBUS, NULL, &present) < 0)
		return -errno;
	if ((present.sa_flags & SA_SIGINFO) && present.sa_sigaction == sigbus_handle)
		return 0;
	sigemptyset(&action.sa_mask);
	sigbus_previous = present;
	return sigaction(SIGBUS, &action, NULL) < 0 ? -errno : 0;
}

struct sigbus_range *sigbus_add(void *base, size_t len, size_t page_size, int wake_fd)
{
	for (unsigned i = 0; i < SIGBUS_RANGES_MAX; i++) {
		struct sigbus_range *range = &sigbus_ranges[i];
		unsigned used = atomic_load(&sigbus_used);
		int expected = SIGBUS_FREE;

		if (!atomic_compare_exchange_strong(&range->state, &expected, SIGBUS_CLAIMED))
			continue;
		range->base = (uintptr_t)base;
		range->len = len;
		range->page_size = page_size;
		range->wake_fd = wake_fd;
		atomic_store(&range->hit, 0);
		atomic_store_explicit(&range->state, SIGBUS_ACTIVE, memory_order_release);
		while (used <= i && !atomic_compare_exchange_weak(&sigbus_used, &used, i + 1))
			;
		return range;
	}
	return NULL;
}

bool sigbus_hit(const struct sigbus_range *range)
{
	return atomic_load_explicit(&range->hit, memory_order_acquire) != 0;
}

void sigbus_del(struct sigbus_range *range)
{
	if (range)
		atomic_store_explicit(&range->state, SIGBUS_FREE, memory_order_release);
}
