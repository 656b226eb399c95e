/* SPDX-License-Identifier: BSD-3-Clause */
/* What of a session a new keeper is given: the descriptors behind its slots. */
#include "vfio/session-internal.h"

static void handover_irqs(const struct vfio_session *s, uint32_t index, vfio_session_fd *each,
			  void *arg)
{
	/* INTx has its unmask eventfd behind the trigger. */
	uint32_t count = s->info.irq_counts[index] + (index == VFIO_IRQ_INTX ? 1 : 0);

	for (uint32_t vector = 0; s->irq_fds[index] && vector < count; vector++) {
		if (s->irq_fds[index][vector] >= 0)
			each(arg, VFIO_SLOT_IRQ + (index << 12) + vector,
			     s->irq_fds[index][vector]);
	}
}

void vfio_session_each_fd(const struct vfio_session *session, vfio_session_fd *each, void *arg)
{
	if (session->connection.fd >= 0)
		each(arg, VFIO_SLOT_CONNECTION, session->connection.fd);
	else if (session->arrived >= 0)
		each(arg, VFIO_SLOT_CONNECTION, session->arrived);
	if (session->next >= 0)
		each(arg, VFIO_SLOT_NEXT, session->next);
	if (session->stream_fd >= 0)
		each(arg, VFIO_SLOT_STREAM, session->stream_fd);
	for (uint32_t i = 0; session->dma.files && i < session->page->files_used; i++) {
		if (i < VFIO_SLOT_MEMORY_MAX && session->dma.files[i] &&
		    session->dma.files[i]->fd >= 0)
			each(arg, VFIO_SLOT_MEMORY + i, session->dma.files[i]->fd);
	}
	for (uint32_t index = 0; index < VFIO_IRQ_COUNT; index++)
		handover_irqs(session, index, each, arg);
}

int vfio_session_listener(const struct vfio_session *session)
{
	return session->listener.fd;
}
