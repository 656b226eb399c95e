/* SPDX-License-Identifier: BSD-3-Clause */
/* The services of struct umdev_host_ops under the harness, each with its rules. See kit.h. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kit.h"
#include "util/clock.h"

/* Guest memory comes in pieces that end at multiples of this. */
#define SERVICES_PIECE (1u << 20)
/* From here on it can only be read by the device. */
#define SERVICES_READ_ONLY (KIT_MEMORY / 4 * 3)

bool kit_may_call(const char *name)
{
	const struct kit *kit = kit_self;

	if (gettid() != kit->thread) {
		verdict_broken(RULE_THREAD, "%s was called on another thread", name);
		return false;
	}
	if (kit->converting)
		verdict_fail("%s was called within convert, which is to be a pure function", name);
	if (kit->quiet) {
		verdict_broken(RULE_PURE, "%s was called within %s, which is to change nothing",
			       name, verdict_page->doing);
		return false;
	}
	return true;
}

/* The same for a service that is about an mdev. */
static bool services_about(const struct umdev_mdev *mdev, const char *name)
{
	if (!kit_may_call(name))
		return false;
	if (mdev->created)
		return true;
	verdict_broken(RULE_THREAD, "%s was called for an mdev that was removed", name);
	return false;
}

static int __attribute__((format(printf, 2, 3))) services_fail(int error, const char *fmt, ...)
{
	char text[ERROR_MESSAGE_MAX];
	va_list ap;

	if (gettid() != kit_self->thread)
		verdict_broken(RULE_THREAD, "fail was called on another thread");
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (strchr(text, '\n'))
		verdict_broken(RULE_ANSWER, "fail() was given more than one line: %.60s", text);
	driver_fail_note(text);
	return error > 0 ? -error : -EIO;
}

static void __attribute__((format(printf, 2, 3))) services_log(int level, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (kit_self->options->verbose)
		fprintf(stderr, "driver, level %d: %s\n", level, text);
}

/* ---- Descriptors, timers, polling ---- */

static int services_fd_watch(struct umdev_parent *parent, int fd, uint32_t events,
			     umdev_fd_ready *ready, void *arg)
{
	struct kit *kit = parent->kit;
	struct kit_watch *place = NULL;
	struct stat st;

	if (!kit_may_call("fd_watch"))
		return -EINVAL;
	if (!ready)
		verdict_broken(RULE_WATCH, "fd_watch without a callback");
	for (uint32_t i = 0; i < KIT_WATCHES; i++) {
		/* Again by whom it is watched already: that changes what is waited for. */
		if (kit->watches[i].fd == fd && fd >= 0 &&
		    (kit->watches[i].ready != ready || kit->watches[i].arg != arg))
			verdict_broken(RULE_WATCH, "descriptor %d is watched twice", fd);
		if (kit->watches[i].fd == fd || (!place && kit->watches[i].fd < 0))
			place = &kit->watches[i];
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return -EBADF;
	if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
		return -EPERM; /* as epoll(7) says */
	if (!place || !ready)
		return -ENOSPC;
	*place = (struct kit_watch){.fd = fd, .events = events, .ready = ready, .arg = arg};
	return 0;
}

static void services_fd_unwatch(struct umdev_parent *parent, int fd)
{
	if (!kit_may_call("fd_unwatch"))
		return;
	for (uint32_t i = 0; i < KIT_WATCHES; i++) {
		if (parent->kit->watches[i].fd == fd)
			parent->kit->watches[i].fd = -1;
	}
}

static void services_timer(struct umdev_mdev *mdev, uint32_t id, uint64_t deadline_ns,
			   umdev_timer_expired *expired, void *arg)
{
	if (!services_about(mdev, "timer"))
		return;
	if (id >= KIT_TIMERS) {
		verdict_broken(RULE_TIMER, "timer %u; they are 0 to %d", id, KIT_TIMERS - 1);
		return;
	}
	if (deadline_ns && !expired) {
		verdict_broken(RULE_TIMER, "timer %u was armed without a callback", id);
		return;
	}
	mdev->timers[id] = (struct kit_timer){deadline_ns, expired, arg};
}

static void services_poll_mode(struct umdev_mdev *mdev, uint32_t on)
{
	if (!services_about(mdev, "poll_mode"))
		return;
	if (on && !mdev->kit->driver.table.poll) {
		verdict_broken(RULE_TIMER, "poll_mode by a driver without poll");
		return;
	}
	mdev->polled = on;
}

/* ---- Interrupts ---- */

static void services_irq_raise(struct umdev_mdev *mdev, uint32_t vector)
{
	const struct umdev_device *d = &mdev->device;
	uint32_t count = MAX(d->msi_vectors, d->msix_vectors);

	if (!services_about(mdev, "irq_raise"))
		return;
	count = MAX(count, d->interrupt_pin ? 1u : 0u);
	if (vector >= count)
		verdict_broken(RULE_IRQ, "irq_raise of vector %u; the device has %u", vector,
			       count);
	mdev->irqs++;
	if (!d->msi_vectors && !d->msix_vectors)
		mdev->level = true;
}

static void services_irq_lower(struct umdev_mdev *mdev)
{
	if (services_about(mdev, "irq_lower"))
		mdev->level = false;
}

static uint32_t services_irq_is_level(struct umdev_mdev *mdev)
{
	if (!services_about(mdev, "irq_is_level"))
		return 0;
	return !mdev->device.msi_vectors && !mdev->device.msix_vectors;
}

/* ---- Guest memory ---- */

/* Whether the device may do @access there: 0 or -EFAULT. */
static int services_dma_check(const struct umdev_mdev *mdev, uint64_t iova, uint64_t len,
			      uint32_t access)
{
	struct kit *kit = mdev->kit;

	if (kit->memory_mode == KIT_MEMORY_NONE || !kit_memory_at(kit, iova, len))
		return -EFAULT;
	if ((access & UMDEV_DMA_WRITE) && iova - KIT_MEMORY_IOVA + len > SERVICES_READ_ONLY)
		return -EFAULT;
	return 0;
}

static int services_dma_map(struct umdev_mdev *mdev, uint64_t iova, uint64_t len, uint32_t access,
			    struct iovec *iov, uint32_t max)
{
	uint8_t *at;
	int n = 0;
	int r;

	if (!services_about(mdev, "dma_map"))
		return -EFAULT;
	if (!(access & (UMDEV_DMA_READ | UMDEV_DMA_WRITE)) ||
	    (access & ~(UMDEV_DMA_READ | UMDEV_DMA_WRITE)))
		verdict_broken(RULE_MEMORY, "dma_map with access %u", access);
	if (max > 0 && !iov)
		verdict_broken(RULE_MEMORY, "dma_map of %u pieces without a place for them", max);
	r = services_dma_check(mdev, iova, len, access);
	if (r < 0)
		return r;
	if (mdev->kit->memory_mode == KIT_MEMORY_REMOTE)
		return -EREMOTE;
	at = kit_memory_at(mdev->kit, iova, len);
	while (len > 0) {
		uint64_t offset = (uint64_t)(at - mdev->kit->memory);
		uint64_t part = MIN(len, SERVICES_PIECE - offset % SERVICES_PIECE);

		if ((uint32_t)n >= max)
			return -E2BIG;
		iov[n++] = (struct iovec){.iov_base = at, .iov_len = part};
		at += part;
		len -= part;
	}
	return n;
}

static uint32_t services_dma_hold(struct umdev_mdev *mdev)
{
	struct kit *kit = mdev->kit;

	if (!services_about(mdev, "dma_hold"))
		return 0;
	for (uint32_t i = 0; i < KIT_HOLDS; i++) {
		if (mdev->holds[i])
			continue;
		mdev->holds[i] = ++kit->next_token;
		mdev->hold_count++;
		return mdev->holds[i];
	}
	verdict_broken(RULE_MEMORY, "more than %d holds at once", KIT_HOLDS);
	return 0;
}

static void services_dma_release(struct umdev_mdev *mdev, uint32_t token)
{
	if (!services_about(mdev, "dma_release"))
		return;
	for (uint32_t i = 0; i < KIT_HOLDS; i++) {
		if (!mdev->holds[i] || mdev->holds[i] != token)
			continue;
		mdev->holds[i] = 0;
		mdev->hold_count--;
		return;
	}
	verdict_broken(RULE_MEMORY, "dma_release of a token that is not out");
}

/* Copies at once, or later where memory is reached by messages. */
static int services_transfer(const struct kit_transfer *wanted, uint32_t access)
{
	struct umdev_mdev *mdev = wanted->mdev;
	struct kit *kit = mdev->kit;
	void *at = kit_memory_at(kit, wanted->iova, wanted->len);
	int r = services_dma_check(mdev, wanted->iova, wanted->len, access);

	if (r < 0)
		return r;
	if (!wanted->done)
		verdict_broken(RULE_MEMORY, "a transfer without a callback");
	if (mdev->resetting)
		return -ECANCELED;
	if (kit->memory_mode == KIT_MEMORY_DIRECT || wanted->len == 0) {
		if (wanted->from)
			memcpy(at, wanted->from, wanted->len);
		else
			memcpy(wanted->to, at, wanted->len);
		return 0;
	}
	for (uint32_t i = 0; i < KIT_TRANSFERS && wanted->done; i++) {
		if (kit->transfers[i].mdev)
			continue;
		kit->transfers[i] = *wanted;
		kit->transfer_count++;
		return -EINPROGRESS;
	}
	return -EAGAIN;
}

static int services_dma_read(struct umdev_mdev *mdev, uint64_t iova, void *buf, uint64_t len,
			     umdev_dma_done *done, void *arg)
{
	struct kit_transfer t = {
		.mdev = mdev, .iova = iova, .to = buf, .len = len, .done = done, .arg = arg};

	return services_about(mdev, "dma_read") ? services_transfer(&t, UMDEV_DMA_READ) : -EFAULT;
}

static int services_dma_write(struct umdev_mdev *mdev, uint64_t iova, const void *buf, uint64_t len,
			      umdev_dma_done *done, void *arg)
{
	struct kit_transfer t = {
		.mdev = mdev, .iova = iova, .from = buf, .len = len, .done = done, .arg = arg};

	return services_about(mdev, "dma_write") ? services_transfer(&t, UMDEV_DMA_WRITE) : -EFAULT;
}

static void *services_bar_memory(struct umdev_mdev *mdev, uint32_t bar, uint32_t area)
{
	const struct umdev_mmap_area *a;

	if (!services_about(mdev, "bar_memory") || bar >= UMDEV_BAR_COUNT ||
	    area >= UMDEV_MMAP_COUNT || !mdev->bar_memory[bar])
		return NULL;
	a = &mdev->device.bars[bar].mmap[area];
	return a->size ? mdev->bar_memory[bar] + a->offset : NULL;
}

/* ---- Ends of what took time, events ---- */

static void services_reset_done(struct umdev_mdev *mdev)
{
	if (!services_about(mdev, "reset_done"))
		return;
	if (!mdev->resetting || mdev->reset_ended)
		verdict_broken(RULE_RESET, "reset_done without a reset in progress");
	else if (mdev->in_reset)
		verdict_broken(RULE_RESET, "reset_done from within reset, before its answer");
	mdev->reset_ended = true;
}

static void services_discard_done(struct umdev_parent *parent, int status)
{
	struct kit *kit = parent->kit;

	if (!kit_may_call("discard_done"))
		return;
	if (!kit->discard_pending)
		verdict_broken(RULE_ANSWER, "discard_done without a discard in progress");
	kit->discard_pending = false;
	kit->discard_status = status;
}

static void __attribute__((format(printf, 2, 3)))
services_event(struct umdev_mdev *mdev, const char *fmt, ...)
{
	char text[ERROR_MESSAGE_MAX];
	va_list ap;

	if (!services_about(mdev, "event"))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (kit_self->options->verbose)
		fprintf(stderr, "driver, event: %s\n", text);
}

static uint64_t services_access_id(struct umdev_mdev *mdev)
{
	return services_about(mdev, "access_id") ? mdev->access : 0;
}

static int services_keep(struct umdev_mdev *mdev, uint32_t index, int fd)
{
	return services_about(mdev, "keep") ? kit_keep(mdev, index, fd) : -EINVAL;
}

static int services_kept(struct umdev_mdev *mdev, uint32_t index)
{
	return services_about(mdev, "kept") ? kit_kept(mdev, index) : -ENOENT;
}

static uint64_t services_now_ns(void)
{
	if (kit_self->converting)
		(void)kit_may_call("now_ns");
	return clock_now_ns();
}

const struct umdev_host_ops kit_ops = {
	.struct_size = sizeof(struct umdev_host_ops),
	.abi_version = UMDEV_ABI_VERSION,
	.fail = services_fail,
	.log = services_log,
	.now_ns = services_now_ns,
	.fd_watch = services_fd_watch,
	.fd_unwatch = services_fd_unwatch,
	.timer = services_timer,
	.poll_mode = services_poll_mode,
	.irq_raise = services_irq_raise,
	.irq_lower = services_irq_lower,
	.irq_is_level = services_irq_is_level,
	.dma_map = services_dma_map,
	.dma_hold = services_dma_hold,
	.dma_release = services_dma_release,
	.dma_read = services_dma_read,
	.dma_write = services_dma_write,
	.bar_memory = services_bar_memory,
	.job_submit = kit_job_submit,
	.job_withdraw = kit_job_withdraw,
	.job_done = kit_job_done,
	.reset_done = services_reset_done,
	.discard_done = services_discard_done,
	.event = services_event,
	.job_done_at = kit_job_done_at,
	.access_id = services_access_id,
	.keep = services_keep,
	.kept = services_kept,
};
