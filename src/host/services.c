/* SPDX-License-Identifier: BSD-3-Clause */
/* The services that a driver is given: struct umdev_host_ops of umdev/driver.h. Thin: each leads to
 * its room. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/handover.h"
#include "host/host.h"
#include "host/inside.h"
#include "host/jobs.h"
#include "host/release.h"
#include "host/rest.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/log.h"

#define EVENTS_WINDOW_NS  (10 * NS_PER_S)
#define EVENTS_PER_WINDOW 20

/* A descriptor a driver watches. */
struct host_watch {
	struct list link;
	struct reactor_fd source;
	umdev_fd_ready *ready;
	void *arg;
};

static int __attribute__((format(printf, 2, 3))) services_fail(int error, const char *fmt, ...)
{
	char text[ERROR_MESSAGE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
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
	umdev_log(level, "driver", "driver.log", "%s", text);
}

/* ---- Descriptors, timers, polling ---- */

static void services_watch_ready(struct reactor_fd *source, uint32_t events)
{
	struct host_watch *w = container_of(source, struct host_watch, source);

	w->ready(w->arg, events);
}

static void services_fd_unwatch(struct umdev_parent *parent, int fd)
{
	struct host_watch *w;
	struct host_watch *tmp;

	list_for_each_safe (w, tmp, &parent->watches, link) {
		if (w->source.fd != fd)
			continue;
		reactor_fd_del(parent->reactor, &w->source);
		list_del(&w->link);
		free(w);
	}
}

/* The watch of @fd takes another interest, without anything being made anew. Whether it did. */
static bool services_fd_rewatch(struct umdev_parent *parent, int fd, uint32_t events,
				umdev_fd_ready *ready, void *arg)
{
	struct host_watch *w;

	list_for_each (w, &parent->watches, link) {
		if (w->source.fd != fd)
			continue;
		if (reactor_fd_events(parent->reactor, &w->source, events) < 0)
			return false;
		w->ready = ready;
		w->arg = arg;
		return true;
	}
	return false;
}

static int services_fd_watch(struct umdev_parent *parent, int fd, uint32_t events,
			     umdev_fd_ready *ready, void *arg)
{
	struct host_watch *w;
	int r;

	if (services_fd_rewatch(parent, fd, events, ready, arg))
		return 0;
	services_fd_unwatch(parent, fd);
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->source.fd = fd;
	w->source.events = events; /* poll(2) and epoll(7) use the same bits */
	w->source.ready = services_watch_ready;
	w->ready = ready;
	w->arg = arg;
	r = reactor_fd_add(parent->reactor, &w->source);
	if (r < 0) {
		free(w);
		return r;
	}
	list_add_tail(&parent->watches, &w->link);
	return 0;
}

void host_watches_free(struct umdev_parent *parent)
{
	while (!list_empty(&parent->watches))
		services_fd_unwatch(
			parent, list_first(&parent->watches, struct host_watch, link)->source.fd);
}

static void services_timer_expired(struct reactor_timer *timer)
{
	struct host_timer *t = container_of(timer, struct host_timer, timer);
	struct umdev_mdev *mdev = t->mdev;

	host_mdev_in(mdev);
	t->expired(t->arg);
	host_mdev_out(mdev);
}

static void services_timer(struct umdev_mdev *mdev, uint32_t id, uint64_t deadline_ns,
			   umdev_timer_expired *expired, void *arg)
{
	struct host_timer *t;

	if (id >= HOST_TIMERS)
		return;
	t = &mdev->timers[id];
	if (deadline_ns == 0) {
		reactor_timer_cancel(mdev->parent->reactor, &t->timer);
		return;
	}
	t->mdev = mdev;
	t->expired = expired;
	t->arg = arg;
	t->timer.expired = services_timer_expired;
	reactor_timer_set(mdev->parent->reactor, &t->timer, deadline_ns);
}

static uint32_t services_poll(struct reactor_poller *poller, uint64_t now_ns)
{
	struct umdev_mdev *mdev = container_of(poller, struct umdev_mdev, poller);
	uint32_t found;

	host_mdev_in(mdev);
	found = driver_poll(&mdev->parent->driver, mdev->priv);
	host_mdev_out(mdev);
	return found;
}

static void services_poll_mode(struct umdev_mdev *mdev, uint32_t on)
{
	mdev->poller.poll = services_poll;
	mdev->poller.spin_ns = UINT64_MAX;
	if (on)
		reactor_poller_add(mdev->parent->reactor, &mdev->poller);
	else
		reactor_poller_del(mdev->parent->reactor, &mdev->poller);
}

void host_mdev_quiet(struct umdev_mdev *mdev)
{
	reactor_poller_del(mdev->parent->reactor, &mdev->poller);
	reactor_timer_cancel(mdev->parent->reactor, &mdev->finish);
	for (uint32_t i = 0; i < HOST_TIMERS; i++)
		reactor_timer_cancel(mdev->parent->reactor, &mdev->timers[i].timer);
}

/* ---- Interrupts ---- */

static void services_irq_raise(struct umdev_mdev *mdev, uint32_t vector)
{
	if (!mdev->session)
		return;
	switch (pci_irq_mode(&mdev->pci)) {
	case PCI_IRQ_MSIX:
		vfio_irq_signal(mdev->session, VFIO_IRQ_MSIX, vector);
		break;
	case PCI_IRQ_MSI:
		vfio_irq_signal(mdev->session, VFIO_IRQ_MSI, vector);
		break;
	default:
		mdev->level = true;
		host_intx_update(mdev);
	}
}

static void services_irq_lower(struct umdev_mdev *mdev)
{
	if (!mdev->level)
		return;
	mdev->level = false;
	host_intx_update(mdev);
}

static uint32_t services_irq_is_level(struct umdev_mdev *mdev)
{
	return pci_irq_mode(&mdev->pci) == PCI_IRQ_INTX;
}

/* ---- Guest memory ---- */

static int services_dma_map(struct umdev_mdev *mdev, uint64_t iova, uint64_t len, uint32_t access,
			    struct iovec *iov, uint32_t max)
{
	if (!mdev->session)
		return -EFAULT;
	return vfio_dma_translate(mdev->session, iova, len, access, iov, max);
}

static uint32_t services_dma_hold(struct umdev_mdev *mdev)
{
	return mdev->session ? vfio_dma_hold(mdev->session) : 0;
}

static void services_dma_release(struct umdev_mdev *mdev, uint32_t token)
{
	if (mdev->session)
		vfio_dma_release(mdev->session, token);
}

static int services_dma_read(struct umdev_mdev *mdev, uint64_t iova, void *buf, uint64_t len,
			     umdev_dma_done *done, void *arg)
{
	if (!mdev->session)
		return -EFAULT;
	return vfio_dma_read(mdev->session, iova, buf, len, done, arg);
}

static int services_dma_write(struct umdev_mdev *mdev, uint64_t iova, const void *buf, uint64_t len,
			      umdev_dma_done *done, void *arg)
{
	if (!mdev->session)
		return -EFAULT;
	return vfio_dma_write(mdev->session, iova, buf, len, done, arg);
}

static void *services_bar_memory(struct umdev_mdev *mdev, uint32_t bar, uint32_t area)
{
	const struct umdev_mmap_area *a;

	if (bar >= UMDEV_BAR_COUNT || area >= UMDEV_MMAP_COUNT || !mdev->bar_memory[bar])
		return NULL;
	a = &mdev->pci.device.bars[bar].mmap[area];
	return a->size ? (char *)mdev->bar_memory[bar] + a->offset : NULL;
}

/* ---- Ends of what took time, events ---- */

static void services_discard_done(struct umdev_parent *parent, int status)
{
	uint64_t id = parent->discard_id;
	struct umdev_error err = {0};

	parent->discard_id = 0;
	if (host_handover_discarded(parent)) /* for a broker that is gone */
		return;
	if (status == 0) {
		link_reply(&parent->link, id, NULL);
		return;
	}
	error_set(&err, ERROR_DRIVER_FAILED, "discarding a piece of %s failed: %s", parent->name,
		  strerror(abs(status)));
	link_reply_error(&parent->link, id, &err);
}

bool host_event_allowed(struct umdev_mdev *mdev)
{
	uint64_t now = reactor_now_ns(mdev->parent->reactor);

	if (now - mdev->events_window_ns > EVENTS_WINDOW_NS) {
		mdev->events_window_ns = now;
		mdev->events_in_window = 0;
	}
	return mdev->events_in_window++ < EVENTS_PER_WINDOW;
}

static void __attribute__((format(printf, 2, 3)))
services_event(struct umdev_mdev *mdev, const char *fmt, ...)
{
	char text[ERROR_MESSAGE_MAX];
	va_list ap;

	if (!host_event_allowed(mdev))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	host_event(mdev->parent, mdev, LOG_WARNING, EVENT_DRIVER, NULL, text);
}

static uint64_t services_access_id(struct umdev_mdev *mdev)
{
	uint64_t id = mdev->session ? vfio_session_access_id(mdev->session) : 0;

	return id ? id + mdev->piece : 0;
}

static int services_keep(struct umdev_mdev *mdev, uint32_t index, int fd)
{
	int copy;
	int r;

	if (index >= VFIO_SLOT_DRIVER_MAX)
		return -EINVAL;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return -errno;
	r = host_mdev_keep(mdev, VFIO_SLOT_DRIVER + index, copy);
	if (r < 0) {
		close(copy);
		return r;
	}
	fd_close(&mdev->kept_fds[index]);
	mdev->kept_fds[index] = copy;
	return 0;
}

static int services_kept(struct umdev_mdev *mdev, uint32_t index)
{
	int copy;

	if (index >= VFIO_SLOT_DRIVER_MAX || mdev->kept_fds[index] < 0)
		return -ENOENT;
	copy = fcntl(mdev->kept_fds[index], F_DUPFD_CLOEXEC, 0);
	return copy < 0 ? -errno : copy;
}

static void services_quiesce_done(struct umdev_mdev *mdev)
{
	if (mdev->releasing)
		host_release_quiet(mdev);
	else
		host_rest_quiet(mdev);
}

const struct umdev_host_ops host_ops = {
	.struct_size = sizeof(struct umdev_host_ops),
	.abi_version = UMDEV_ABI_VERSION,
	.fail = services_fail,
	.log = services_log,
	.now_ns = clock_now_ns,
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
	.job_submit = host_job_submit,
	.job_withdraw = host_job_withdraw,
	.job_done = host_job_done,
	.reset_done = host_mdev_reset_done,
	.discard_done = services_discard_done,
	.event = services_event,
	.job_done_at = host_job_done_at,
	.access_id = services_access_id,
	.keep = services_keep,
	.kept = services_kept,
	.quiesce_done = services_quiesce_done,
};
