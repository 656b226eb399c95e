/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Going on with the client of an earlier process, which may have died between any two instructions.
 *
 * The page was checked (page.c). First what needs no loop: the connection, guest memory and
 * interrupts come out of the rows of the page and the descriptors that were kept, whole or not at
 * all. Then, from the loop, what was under way: a reply that stands in tx is sent to its end, a
 * request in rx is finished or served again. page.h says which; what it rests on is move.h.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "util/fd.h"
#include "vfio/session-internal.h"

static struct vfio_kept *resume_find(struct vfio_kept *kept, size_t count, uint32_t slot)
{
	for (size_t i = 0; i < count; i++) {
		if (kept[i].slot == slot && kept[i].fd >= 0)
			return &kept[i];
	}
	return NULL;
}

/* Gives each descriptor to the row that speaks of it. @memory: borrowed, by number of the file. */
static void resume_sort(struct vfio_session *s, struct vfio_kept *kept, size_t count, int *memory)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t slot = kept[i].slot;

		if (kept[i].fd < 0)
			continue;
		if (slot == VFIO_SLOT_CONNECTION && s->connection.fd < 0)
			s->connection.fd = umdev_steal_fd(&kept[i].fd);
		else if (slot >= VFIO_SLOT_MEMORY && slot < VFIO_SLOT_MEMORY + VFIO_SLOT_MEMORY_MAX)
			memory[slot - VFIO_SLOT_MEMORY] = kept[i].fd;
		else if (slot == VFIO_SLOT_STREAM && s->stream_fd < 0)
			s->stream_fd = umdev_steal_fd(&kept[i].fd);
		else if (slot >= VFIO_SLOT_IRQ)
			(void)irq_resume_fd(s, slot, &kept[i].fd);
	}
}

/* The memory files that were mapped are used: nobody shall drop them. */
static void resume_take_memory(struct vfio_session *s, struct vfio_kept *kept, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t number = kept[i].slot - VFIO_SLOT_MEMORY;

		if (kept[i].slot < VFIO_SLOT_MEMORY || number >= s->page->files_used ||
		    !s->page->files[number].valid)
			continue;
		fd_close(&kept[i].fd);
	}
}

/* What a client that cannot be served on had is used by nobody: else its connection would stay open
 * with the keeper, and it would wait for ever. */
static void resume_give_back(struct vfio_session *s, struct vfio_kept *kept, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (kept[i].fd >= 0)
			continue;
		if (kept[i].slot == VFIO_SLOT_CONNECTION)
			kept[i].fd = umdev_steal_fd(&s->connection.fd);
		else if (kept[i].slot >= VFIO_SLOT_IRQ)
			kept[i].fd = irq_give_back_fd(s, kept[i].slot);
	}
}

void session_resume_none(struct vfio_kept *kept, size_t count)
{
	struct vfio_kept *connection = resume_find(kept, count, VFIO_SLOT_CONNECTION);

	if (connection)
		shutdown(connection->fd, SHUT_RDWR);
}

/* Whether both are descriptors of one socket. */
static bool resume_same(int a, int b)
{
	struct stat sa;
	struct stat sb;

	return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_dev == sb.st_dev &&
	       sa.st_ino == sb.st_ino;
}

void session_resume_next(struct vfio_session *s, struct vfio_kept *kept, size_t count)
{
	struct vfio_kept *next = resume_find(kept, count, VFIO_SLOT_NEXT);
	struct vfio_kept *connection = resume_find(kept, count, VFIO_SLOT_CONNECTION);

	/* It was about to be the client, and was already kept as that. */
	if (next && connection && resume_same(next->fd, connection->fd))
		return;
	if (next)
		s->next = umdev_steal_fd(&next->fd);
}

/* A connection that is kept while the page knows of no client was accepted just before the death.
 */
static void resume_arrived(struct vfio_session *s, struct vfio_kept *kept, size_t count)
{
	struct vfio_kept *connection = resume_find(kept, count, VFIO_SLOT_CONNECTION);

	if (connection)
		s->arrived = umdev_steal_fd(&connection->fd);
}

int session_resume(struct vfio_session *s, struct vfio_kept *kept, size_t count)
{
	int memory[VFIO_SLOT_MEMORY_MAX];
	int r = irq_init(s);

	if (r < 0)
		return r;
	if (s->page->state == VFIO_STATE_IDLE)
		resume_arrived(s, kept, count);
	if (s->page->state == VFIO_STATE_IDLE || s->page->state == VFIO_STATE_LOSING)
		return 1;
	memset(memory, -1, sizeof(memory));
	resume_sort(s, kept, count, memory);
	r = s->connection.fd < 0 ? -EBADF : irq_resume(s);
	if (r == 0)
		r = dma_resume(s, memory);
	if (r == 0)
		r = dirty_resume(s);
	if (r < 0) {
		resume_give_back(s, kept, count);
		return r;
	}
	resume_take_memory(s, kept, count);
	migrate_resume(s);
	s->resuming = true;
	session_kick(s);
	return 0;
}

/* Whether it may connect was being asked: asks again. */
static void resume_asking(struct vfio_session *s, const struct ucred *peer)
{
	struct umdev_error err = {0};
	int r = s->ops->admit(s->device, peer, &err);

	if (r == 0)
		s->page->state = VFIO_STATE_NEGOTIATING;
	else if (r != -EINPROGRESS)
		session_doom(s, true, "%s", err.message[0] ? err.message : "client turned away");
}

/* The states in which no request is in progress. */
static void resume_state(struct vfio_session *s, bool again)
{
	struct vfio_page *page = s->page;
	struct ucred peer = {page->peer.pid, page->peer.uid, page->peer.gid};

	if (page->state == VFIO_STATE_BUSY)
		page->state = VFIO_STATE_SERVING;
	if (page->state == VFIO_STATE_SERVING && again &&
	    s->request.header.command == WIRE_VERSION && page->rx.number == page->first)
		page->state = VFIO_STATE_NEGOTIATING;
	if (page->state == VFIO_STATE_ASKING) {
		resume_asking(s, &peer);
	} else {
		s->joined = page->state == VFIO_STATE_SERVING;
		if (s->ops->resumed)
			s->ops->resumed(s->device, &peer, s->joined);
	}
	if (page->state != VFIO_STATE_SERVING)
		reactor_timer_set(s->reactor, &s->deadline,
				  reactor_now_ns(s->reactor) + VFIO_STALL_NS);
}

void session_resume_go(struct vfio_session *s)
{
	bool again;

	s->resuming = false;
	s->connection.events = EPOLLIN;
	s->connection.ready = session_ready;
	if (reactor_fd_add(s->reactor, &s->connection) < 0)
		session_doom(s, false, "the connection could not be watched");
	message_resume(s);
	again = rx_resume(s);
	if (again && (s->request.header.flags & WIRE_FLAG_TYPE) == WIRE_TYPE_REPLY) {
		message_forget_reply(s);
		rx_finish(s);
		again = false;
	}
	resume_state(s, again);
	irq_resume_intx(s);
	if (again && s->page->tx.len > 0)
		session_doom(s, true, "the state page holds a request and a message at once");
	if (s->doomed)
		return;
	if (s->page->tx.len > 0)
		tx_send(s);
	if (again)
		command_serve(s);
}
