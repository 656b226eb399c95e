/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupts: eventfds that the client assigned to vectors, and the INTx level protocol.
 *
 * VMMs emulate MSI-X tables themselves, so masks of vectors are not known here; a signal goes out
 * whenever there is an eventfd. INTx masks itself when it fires and fires again on unmask, by
 * command or by the second eventfd (vector 1 of the index), as long as the device holds the level.
 *
 * A signal must never block the loop, whatever the client does to the descriptor it shares with us:
 * see irq_signal.c. A descriptor is taken only if it is of the anonymous kind (no pipe, socket or
 * file). A full counter means that the client has not looked at the last signals yet and is as good
 * as delivered.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/fault.h"
#include "util/fd.h"
#include "vfio/session-internal.h"

#define IRQ_INTX_TRIGGER 0
#define IRQ_INTX_UNMASK	 1 /* where the resample eventfd stands */

static uint32_t irq_slots(const struct vfio_session *s, uint32_t index)
{
	return s->info.irq_counts[index] + (index == VFIO_IRQ_INTX ? 1 : 0);
}

static uint32_t irq_slot(uint32_t index, uint32_t vector)
{
	return VFIO_SLOT_IRQ + (index << 12) + vector;
}

int irq_init(struct vfio_session *s)
{
	irq_signal_setup();
	for (uint32_t index = 0; index < VFIO_IRQ_COUNT; index++) {
		uint32_t count = irq_slots(s, index);

		s->irq_fds[index] = malloc((count + 1) * sizeof(int));
		if (!s->irq_fds[index])
			return -ENOMEM;
		for (uint32_t vector = 0; vector < count; vector++)
			s->irq_fds[index][vector] = -1;
	}
	return 0;
}

void irq_done(struct vfio_session *s)
{
	reactor_fd_del(s->reactor, &s->unmask);
	for (uint32_t index = 0; index < VFIO_IRQ_COUNT; index++) {
		if (s->irq_fds[index])
			fd_close_all(s->irq_fds[index], irq_slots(s, index));
		free(s->irq_fds[index]);
		s->irq_fds[index] = NULL;
	}
	s->irq_assigned = 0;
}

static void irq_write(struct vfio_session *s, int fd)
{
	s->stats.irqs++;
	/* An error means that the client passed something which takes no signals: its own loss. */
	if (irq_signal(fd) < 0)
		s->stats.bad_requests++;
}

static void irq_fire(struct vfio_session *s, uint32_t index, uint32_t vector)
{
	FAULT_POINT("irq.firing");
	if (s->irq_fds[index][vector] >= 0)
		irq_write(s, s->irq_fds[index][vector]);
}

/* Fires INTx if the level is high and nothing masks it. */
static void irq_intx_update(struct vfio_session *s)
{
	struct vfio_page_intx *intx = &s->page->intx;

	if (!intx->level || intx->masked || s->info.irq_counts[VFIO_IRQ_INTX] == 0 ||
	    s->irq_fds[VFIO_IRQ_INTX][IRQ_INTX_TRIGGER] < 0)
		return;
	intx->masked = VFIO_INTX_BY_FIRING;
	irq_fire(s, VFIO_IRQ_INTX, IRQ_INTX_TRIGGER);
}

static void irq_intx_unmask(struct vfio_session *s)
{
	s->page->intx.masked = 0;
	irq_intx_update(s);
}

/* The client (KVM) resamples: the guest has acknowledged the interrupt. */
static void irq_unmask_ready(struct reactor_fd *source, uint32_t events)
{
	struct vfio_session *s = container_of(source, struct vfio_session, unmask);
	uint64_t count;
	struct iovec iov = {.iov_base = &count, .iov_len = sizeof(count)};
	/* The client may have made it block, and have read it empty since. Every eventfd can be
	 * read without waiting; what cannot is something else. */
	ssize_t n = preadv2(source->fd, &iov, 1, -1, RWF_NOWAIT);

	if (n == (ssize_t)sizeof(count))
		irq_intx_unmask(s);
	else if (errno != EAGAIN)
		reactor_fd_del(s->reactor, source); /* no eventfd after all: look no more */
}

/* Frees a vector: first in the page, then its descriptor. */
static void irq_unassign(struct vfio_session *s, uint32_t index, uint32_t vector)
{
	int *fd = &s->irq_fds[index][vector];

	if (*fd < 0)
		return;
	if (index == VFIO_IRQ_INTX && vector == IRQ_INTX_UNMASK)
		reactor_fd_del(s->reactor, &s->unmask);
	__atomic_store_n(&s->page->irqs[index][vector], 0, __ATOMIC_RELEASE);
	s->ops->drop(s->device, irq_slot(index, vector));
	fd_close(fd);
	s->irq_assigned--;
}

/* Gives a vector the eventfd *@fd, which is taken over on success. */
static int irq_assign(struct vfio_session *s, uint32_t index, uint32_t vector, int *fd)
{
	int r = s->ops->keep(s->device, irq_slot(index, vector), *fd);

	if (r < 0)
		return r;
	if (index == VFIO_IRQ_INTX && vector == IRQ_INTX_UNMASK)
		reactor_fd_del(s->reactor, &s->unmask);
	s->irq_assigned += s->irq_fds[index][vector] < 0;
	fd_close(&s->irq_fds[index][vector]);
	s->irq_fds[index][vector] = umdev_steal_fd(fd);
	s->page->irqs_used[index] = MAX(s->page->irqs_used[index], vector + 1);
	__atomic_store_n(&s->page->irqs[index][vector], 1, __ATOMIC_RELEASE);
	return 0;
}

static void irq_disable(struct vfio_session *s, uint32_t index)
{
	for (uint32_t vector = 0; vector < s->page->irqs_used[index]; vector++)
		irq_unassign(s, index, vector);
	if (index == VFIO_IRQ_INTX)
		s->page->intx.masked = 0;
}

/* Listens to the eventfd by which the client unmasks. */
static int irq_watch_unmask(struct vfio_session *s)
{
	int r;

	s->unmask.fd = s->irq_fds[VFIO_IRQ_INTX][IRQ_INTX_UNMASK];
	s->unmask.events = EPOLLIN;
	s->unmask.ready = irq_unmask_ready;
	r = reactor_fd_add(s->reactor, &s->unmask);
	if (r < 0)
		irq_unassign(s, VFIO_IRQ_INTX, IRQ_INTX_UNMASK);
	return r;
}

bool irq_resume_fd(struct vfio_session *s, uint32_t slot, int *fd)
{
	uint32_t index = (slot - VFIO_SLOT_IRQ) >> 12;
	uint32_t vector = (slot - VFIO_SLOT_IRQ) & 4095u;

	if (index >= VFIO_IRQ_COUNT || vector >= s->page->irqs_used[index] ||
	    !s->page->irqs[index][vector] || s->irq_fds[index][vector] >= 0)
		return false;
	s->irq_fds[index][vector] = umdev_steal_fd(fd);
	s->irq_assigned++;
	return true;
}

int irq_give_back_fd(struct vfio_session *s, uint32_t slot)
{
	uint32_t index = (slot - VFIO_SLOT_IRQ) >> 12;
	uint32_t vector = (slot - VFIO_SLOT_IRQ) & 4095u;

	if (index >= VFIO_IRQ_COUNT || vector >= s->page->irqs_used[index])
		return -1;
	if (index == VFIO_IRQ_INTX && vector == IRQ_INTX_UNMASK)
		reactor_fd_del(s->reactor, &s->unmask);
	return umdev_steal_fd(&s->irq_fds[index][vector]);
}

int irq_resume(struct vfio_session *s)
{
	for (uint32_t index = 0; index < VFIO_IRQ_COUNT; index++) {
		for (uint32_t vector = 0; vector < s->page->irqs_used[index]; vector++) {
			if (s->page->irqs[index][vector] && s->irq_fds[index][vector] < 0)
				return -EBADF;
		}
	}
	if (s->info.irq_counts[VFIO_IRQ_INTX] > 0 &&
	    s->irq_fds[VFIO_IRQ_INTX][IRQ_INTX_UNMASK] >= 0)
		return irq_watch_unmask(s);
	return 0;
}

void irq_resume_intx(struct vfio_session *s)
{
	struct vfio_page_intx *intx = &s->page->intx;

	/* It may have been masked for firing, and the signal not been sent. */
	if (intx->masked == VFIO_INTX_BY_FIRING)
		intx->masked = 0;
	irq_intx_update(s);
}

void irq_clear(struct vfio_session *s)
{
	for (uint32_t index = 0; index < VFIO_IRQ_COUNT; index++)
		irq_disable(s, index);
}

/* Whether a signal to @fd cannot wait: see the head of this file. */
static int irq_check_fd(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if ((st.st_mode & S_IFMT) != 0)
		return -EINVAL;
	return fd_set_nonblock(fd, true);
}

/* Assigns the request's descriptors to vectors from @start on: all, or none. */
static int irq_assign_all(struct vfio_session *s, struct vfio_request *q, uint32_t index,
			  uint32_t start)
{
	uint32_t count = (uint32_t)q->fd_count;
	int r;

	for (uint32_t i = 0; i < count; i++) {
		r = irq_check_fd(q->fds[i]);
		if (r < 0)
			return r;
		/* Clients of other devices need some, too. One in place of another is none more. */
		if (s->irq_fds[index][start + i] < 0 &&
		    !fd_fair(q->fds[i], s->irq_assigned + s->dma.mapped_files + i, VFIO_FD_RESERVE))
			return -EMFILE;
	}
	for (uint32_t i = 0; i < count; i++) {
		r = irq_assign(s, index, start + i, &q->fds[i]);
		if (r < 0) {
			while (i-- > 0)
				irq_unassign(s, index, start + i);
			return r;
		}
	}
	return 0;
}

static int irq_trigger(struct vfio_session *s, struct vfio_request *q,
		       const struct wire_set_irqs *irqs, const uint8_t *bools)
{
	bool was_off = s->irq_fds[irqs->index][irqs->start] < 0;
	int r;

	if (irqs->flags & WIRE_IRQ_DATA_FDS) {
		if (q->fd_count == 0) {
			for (uint32_t i = 0; i < irqs->count; i++)
				irq_unassign(s, irqs->index, irqs->start + i);
			return 0;
		}
		r = irq_assign_all(s, q, irqs->index, irqs->start);
		if (r < 0 || irqs->index != VFIO_IRQ_INTX)
			return r;
		if (was_off)
			s->page->intx.masked = 0;
		irq_intx_update(s);
		return 0;
	}
	/* The client fires vectors itself, to test its wiring. */
	for (uint32_t i = 0; i < irqs->count; i++) {
		if (!bools || bools[i])
			irq_fire(s, irqs->index, irqs->start + i);
	}
	return 0;
}

/* MASK and UNMASK are INTx's alone, as in the kernel's VFIO; only UNMASK takes an eventfd. */
static int irq_mask(struct vfio_session *s, struct vfio_request *q,
		    const struct wire_set_irqs *irqs, const uint8_t *bools)
{
	bool unmask = irqs->flags & WIRE_IRQ_ACTION_UNMASK;
	int r;

	if (irqs->index != VFIO_IRQ_INTX)
		return -ENOTTY;
	if (irqs->flags & WIRE_IRQ_DATA_FDS) {
		if (!unmask)
			return -ENOTTY;
		if (q->fd_count == 0) {
			irq_unassign(s, VFIO_IRQ_INTX, IRQ_INTX_UNMASK);
			return 0;
		}
		r = irq_assign_all(s, q, VFIO_IRQ_INTX, IRQ_INTX_UNMASK);
		if (r < 0)
			return r;
		return irq_watch_unmask(s);
	}
	if (bools && !bools[0])
		return 0;
	if (unmask)
		irq_intx_unmask(s);
	else
		s->page->intx.masked = VFIO_INTX_BY_CLIENT;
	return 0;
}

int irq_set_serve(struct vfio_session *s, struct vfio_request *q, uint32_t *ret_len)
{
	struct wire_set_irqs irqs;
	const uint8_t *bools;
	uint32_t count;

	if (wire_set_irqs_decode(q->body, q->len, q->fd_count, &irqs, &bools) < 0)
		return -EINVAL;
	if (irqs.index >= VFIO_IRQ_COUNT)
		return -EINVAL;
	if (irqs.count == 0) {
		if (irqs.flags != (WIRE_IRQ_DATA_NONE | WIRE_IRQ_ACTION_TRIGGER) || irqs.start)
			return -EINVAL;
		irq_disable(s, irqs.index);
		return 0;
	}
	count = s->info.irq_counts[irqs.index];
	if (irqs.start >= count || irqs.count > count - irqs.start)
		return -EINVAL;
	if (irqs.flags & WIRE_IRQ_ACTION_TRIGGER)
		return irq_trigger(s, q, &irqs, bools);
	return irq_mask(s, q, &irqs, bools);
}

int irq_info_serve(struct vfio_session *s, struct vfio_request *q, uint32_t *ret_len)
{
	struct wire_irq_info info;

	if (wire_irq_info_decode(q->body, q->len, &info) < 0 || info.index >= VFIO_IRQ_COUNT)
		return -EINVAL;
	info.argsz = sizeof(info);
	info.flags = WIRE_IRQ_EVENTFD;
	if (info.index == VFIO_IRQ_INTX)
		info.flags |= WIRE_IRQ_MASKABLE | WIRE_IRQ_AUTOMASKED;
	info.count = s->info.irq_counts[info.index];
	memcpy(s->page->tx.body, &info, sizeof(info));
	*ret_len = sizeof(info);
	return 0;
}

void vfio_irq_signal(struct vfio_session *session, uint32_t index, uint32_t vector)
{
	if (index == VFIO_IRQ_INTX || index >= VFIO_IRQ_COUNT ||
	    vector >= session->info.irq_counts[index])
		return;
	irq_fire(session, index, vector);
}

void vfio_irq_intx(struct vfio_session *session, bool level)
{
	session->page->intx.level = level;
	irq_intx_update(session);
}
