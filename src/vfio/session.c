/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A session's life: the listener, one client at a time, and how it ends.
 *
 *   idle         the listener accepts. Others who connect while a client is there are turned away.
 *   negotiating  connected and admitted; VERSION is awaited, for a while.
 *   serving      requests are served in order.
 *   busy         the command in rx is in progress: a reset, or an unmap that waits for holds.
 *                Nothing is read; the connection's end is seen nevertheless.
 *   losing       the connection is closed; memory and descriptors live until the device has let go.
 *                The listener rests: the next client waits in its queue.
 *
 * Whatever ends a connection (end of file, a broken rule, the operator) is noted by session_doom()
 * and done by session_progress(), which runs with nothing of the session on the stack.
 */
#include "vfio/session.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/fault.h"
#include "util/fd.h"
#include "vfio/session-internal.h"

#define SESSION_ACCEPTS	   16 /* connections looked at in one turn */
#define SESSION_PAUSE_NS   (100 * NS_PER_MS)
#define SESSION_END_NS	   (5 * NS_PER_S) /* between the end of a process and of its connection */
#define SESSION_LOOK_NS	   (5 * NS_PER_MS)
#define SESSION_STALL_S	   (VFIO_STALL_NS / NS_PER_S)
#define SESSION_MSIX_LIMIT 2048

static void session_progress(struct vfio_session *s);

/* ---- Notes and the stack */

void session_kick(struct vfio_session *s)
{
	if (!s->paused)
		reactor_task_add(s->reactor, &s->task);
}

void session_doom(struct vfio_session *s, bool blame, const char *fmt, ...)
{
	va_list args;

	if (s->doomed || s->connection.fd < 0)
		return;
	s->doomed = true;
	s->doom_blames = blame;
	va_start(args, fmt);
	vsnprintf(s->reason, sizeof(s->reason), fmt, args);
	va_end(args);
	session_kick(s);
}

void session_enter(struct vfio_session *s)
{
	s->depth++;
}

/* What is waited for on the connection follows from the state. */
void session_leave(struct vfio_session *s)
{
	uint32_t events = EPOLLIN;

	if (--s->depth > 0 || s->connection.fd < 0 || s->doomed || s->paused)
		return;
	if (s->page->tx.len > 0)
		events = EPOLLOUT;
	else if (s->page->state == VFIO_STATE_BUSY || s->page->state == VFIO_STATE_ASKING)
		events = 0;
	if (reactor_fd_events(s->reactor, &s->connection, events) < 0)
		session_doom(s, false, "the connection could not be watched");
}

static void session_task(struct reactor_task *task)
{
	session_progress(container_of(task, struct vfio_session, task));
}

/* ---- The connection */

/* An answer of the client to a message of ours. As with requests, a client over whose answers
 * processes die one after another is let go. */
static void session_answer(struct vfio_session *s)
{
	uint16_t *tries = &s->page->answer_tries;

	if (*tries >= VFIO_TRIES_MAX) {
		session_doom(s, true, "%u hosts died over the client's answers to DMA messages",
			     VFIO_TRIES_MAX);
		return;
	}
	__atomic_store_n(tries, *tries + 1, __ATOMIC_RELEASE);
	if (*tries == VFIO_TRIES_MAX)
		FAULT_SPARE();
	message_reply(s);
	__atomic_store_n(tries, 0, __ATOMIC_RELEASE);
	rx_finish(s);
}

static void session_serve(struct vfio_session *s)
{
	uint64_t end_ns = clock_now_ns() + VFIO_TURN_NS;
	uint32_t bytes = 0;

	for (int n = 0; n < VFIO_TURN_REQUESTS && bytes < VFIO_TURN_BYTES && !s->doomed; n++) {
		/* One that brings descriptors may take as long as a hundred others. */
		if (n > 0 && clock_now_ns() >= end_ns)
			return;
		if (rx_receive(s) <= 0)
			return;
		bytes += s->request.header.size;
		if ((s->request.header.flags & WIRE_FLAG_TYPE) == WIRE_TYPE_REPLY) {
			session_answer(s);
			continue;
		}
		command_serve(s);
		if (s->page->state == VFIO_STATE_BUSY || s->page->tx.len > 0)
			return;
		/* A client that asked for a reply now reads it; looking for more would be in vain.
		 */
		if (!(s->request.header.flags & WIRE_FLAG_NO_REPLY))
			return;
	}
}

void session_ready(struct reactor_fd *source, uint32_t events)
{
	struct vfio_session *s = container_of(source, struct vfio_session, connection);

	session_enter(s);
	if (s->page->tx.len > 0) {
		tx_send(s);
		session_kick(s);
	} else if (s->page->state == VFIO_STATE_BUSY || s->page->state == VFIO_STATE_ASKING) {
		if (events & (EPOLLHUP | EPOLLERR))
			session_doom(s, false, "client closed the connection");
	} else {
		session_serve(s);
	}
	session_leave(s);
}

static void session_late(struct reactor_timer *timer)
{
	struct vfio_session *s = container_of(timer, struct vfio_session, deadline);

	if (s->page->state == VFIO_STATE_NEGOTIATING)
		session_doom(s, true,
			     "client (pid %d, uid %u) did not agree on a version within %llu s",
			     s->page->peer.pid, s->page->peer.uid, SESSION_STALL_S);
	else if (s->page->state == VFIO_STATE_ASKING)
		session_doom(s, true,
			     "client turned away: nobody could say whether it may connect");
	else
		session_doom(s, true, "client stopped in the middle of a message for %llu s",
			     SESSION_STALL_S);
}

static void session_grace_over(struct reactor_timer *timer)
{
	struct vfio_session *s = container_of(timer, struct vfio_session, grace);

	session_enter(s);
	message_cancel(s, -ECANCELED);
	session_leave(s);
}

/* The command in progress is not what a process dies of. */
static void session_proven(struct reactor_timer *timer)
{
	struct vfio_session *s = container_of(timer, struct vfio_session, proven);

	s->page->tries = 0;
}

/* ---- Accepting */

/* Nobody serves the connection @fd, and nobody shall think so who finds it with the keeper. */
static void session_turn_away(struct vfio_session *s, int fd)
{
	shutdown(fd, SHUT_RDWR);
	s->ops->drop(s->device, VFIO_SLOT_CONNECTION);
}

/* Has the keeper hold the connection @fd, before anything else is done with it: what follows may be
 * cut short by a death, and then the next process finds it. */
static int session_keep(struct vfio_session *s, uint32_t slot, int fd, struct umdev_error *err)
{
	int r = s->ops->keep(s->device, slot, fd);

	if (r < 0)
		return error_set(err, ERROR_INTERNAL,
				 "client turned away: its connection cannot be kept: %s",
				 strerror(-r));
	return 0;
}

static void session_left(struct vfio_session *s)
{
	if (s->ops->left)
		s->ops->left(s->device);
}

/* Takes the connection *@fd, which the keeper has, as the client, if everybody agrees. */
static int session_admit_kept(struct vfio_session *s, int *fd, struct umdev_error *err)
{
	struct vfio_page_peer *peer = &s->page->peer;
	struct ucred cred;
	socklen_t len = sizeof(cred);
	bool asking;
	int r;

	if (getsockopt(*fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return error_set(err, ERROR_INTERNAL,
				 "client turned away: who it is cannot be "
				 "told: %m");
	r = s->ops->admit(s->device, &cred, err);
	asking = r == -EINPROGRESS;
	if (r < 0 && !asking)
		return r;
	s->connection = (struct reactor_fd){.fd = *fd, .events = EPOLLIN, .ready = session_ready};
	r = reactor_fd_add(s->reactor, &s->connection);
	if (r < 0) {
		s->connection.fd = -1;
		session_left(s);
		return error_set(err, ERROR_INTERNAL, "client turned away: %s", strerror(-r));
	}
	*fd = -1;
	s->page->first = s->page->served;
	*peer = (struct vfio_page_peer){.pid = cred.pid, .uid = cred.uid, .gid = cred.gid};
	s->page->state = asking ? VFIO_STATE_ASKING : VFIO_STATE_NEGOTIATING;
	reactor_timer_set(s->reactor, &s->deadline, reactor_now_ns(s->reactor) + VFIO_STALL_NS);
	return 0;
}

/* The same of one that was accepted just now. */
static int session_admit(struct vfio_session *s, int *fd, struct umdev_error *err)
{
	int r = session_keep(s, VFIO_SLOT_CONNECTION, *fd, err);

	if (r < 0)
		return r;
	r = session_admit_kept(s, fd, err);
	if (r < 0)
		session_turn_away(s, *fd);
	return r;
}

/* An earlier process died between accepting a connection and taking it as the client. */
static void session_arrive(struct vfio_session *s)
{
	umdev_autoclose int fd = umdev_steal_fd(&s->arrived);
	struct umdev_error err = {0};

	if (fd_hung_up(fd)) {
		session_turn_away(s, fd);
		return;
	}
	if (session_admit_kept(s, &fd, &err) == 0)
		return;
	session_turn_away(s, fd);
	s->ops->refused(s->device, err.message[0] ? err.message : "client turned away");
}

static void session_refuse_second(struct vfio_session *s, int fd)
{
	struct ucred cred = {0};
	socklen_t len = sizeof(cred);
	char reason[VFIO_REASON_MAX];

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		cred = (struct ucred){0};
	snprintf(reason, sizeof(reason),
		 "client (pid %d, uid %u) turned away: the device is in use by pid %d, uid %u",
		 cred.pid, cred.uid, s->page->peer.pid, s->page->peer.uid);
	s->ops->refused(s->device, reason);
}

/* Whether the present client has hung up or is about to be hung up on. */
static bool session_leaving(const struct vfio_session *s)
{
	return s->doomed || fd_hung_up(s->connection.fd);
}

/* Nobody is accepted for that long. */
static void session_pause_accepting(struct vfio_session *s, uint64_t ns)
{
	reactor_fd_del(s->reactor, &s->listener);
	reactor_timer_set(s->reactor, &s->accept_pause, reactor_now_ns(s->reactor) + ns);
}

/* Whether whoever has come waits in the queue a little, since the client's process has ended: the
 * kernel may close its connection some time later. It never does where another process has it. */
static bool session_ending(struct vfio_session *s)
{
	uint64_t now = reactor_now_ns(s->reactor);

	if (s->connection.fd < 0 || !fd_peer_ended(s->connection.fd))
		return false;
	if (s->ended_ns == 0)
		s->ended_ns = now;
	if (now - s->ended_ns >= SESSION_END_NS)
		return false;
	session_pause_accepting(s, SESSION_LOOK_NS);
	return true;
}

/* Whoever has connected is the client now, or the next one, or turned away. Owns @connection. */
static void session_take(struct vfio_session *s, int connection)
{
	umdev_autoclose int fd = connection;
	struct umdev_error err = {0};
	int r = 0;

	if (s->connection.fd < 0) {
		r = session_admit(s, &fd, &err);
	} else if (session_leaving(s)) { /* it has left in this moment */
		r = session_keep(s, VFIO_SLOT_NEXT, fd, &err);
		if (r == 0)
			s->next = umdev_steal_fd(&fd);
	} else {
		session_refuse_second(s, fd);
	}
	if (r < 0)
		s->ops->refused(s->device, err.message[0] ? err.message : "client turned away");
}

static void session_accept(struct reactor_fd *source, uint32_t events)
{
	struct vfio_session *s = container_of(source, struct vfio_session, listener);

	session_enter(s);
	for (int i = 0; i < SESSION_ACCEPTS && s->listener.added; i++) {
		/* Whoever comes while the last client goes is the next one: it waits. So do
		 * those behind one who was accepted before. */
		if (s->arrived >= 0 || s->next >= 0 ||
		    (s->connection.fd >= 0 && session_leaving(s)) || session_ending(s))
			break;
		int fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		/* No descriptor or memory is free; the client waits in the queue. */
		if (fd < 0 && errno != EAGAIN)
			session_pause_accepting(s, SESSION_PAUSE_NS);
		if (fd < 0)
			break;
		session_take(s, fd);
	}
	session_leave(s);
}

/* Whoever was accepted while the client before it left. */
static void session_accept_next(struct vfio_session *s)
{
	if (fd_hung_up(s->next))
		fd_close(&s->next);
	else
		session_take(s, umdev_steal_fd(&s->next));
	/* Last: after a death before this it is found here, or here and as the client. */
	s->ops->drop(s->device, VFIO_SLOT_NEXT);
}

static void session_listen(struct vfio_session *s)
{
	if (reactor_fd_add(s->reactor, &s->listener) < 0)
		reactor_timer_set(s->reactor, &s->accept_pause,
				  reactor_now_ns(s->reactor) + SESSION_PAUSE_NS);
}

static void session_pause_over(struct reactor_timer *timer)
{
	struct vfio_session *s = container_of(timer, struct vfio_session, accept_pause);

	if (s->page->state != VFIO_STATE_LOSING && !s->gone)
		session_listen(s);
}

/* ---- Losing the client */

/* The connection is closed: the device lets go of the guest's memory. */
static void session_lose(struct vfio_session *s)
{
	s->page->state = VFIO_STATE_LOSING;
	s->unmap_waits = false;
	s->gone = false;
	rx_abort(s);
	message_cancel(s, -ECANCELED);
	if (s->joined) {
		s->joined = false;
		s->lost_waits = s->ops->lost(s->device, s->reason) == -EINPROGRESS;
	}
	session_kick(s);
}

/* Closes the connection of a doomed client. */
static void session_close(struct vfio_session *s)
{
	s->doomed = false;
	if (s->connection.fd < 0)
		return;
	reactor_timer_cancel(s->reactor, &s->deadline);
	reactor_timer_cancel(s->reactor, &s->grace);
	reactor_timer_cancel(s->reactor, &s->proven);
	reactor_fd_del(s->reactor, &s->connection);
	reactor_fd_del(s->reactor, &s->listener);
	reactor_timer_cancel(s->reactor, &s->accept_pause);
	/* The keeper has it a while longer. */
	shutdown(s->connection.fd, SHUT_RDWR);
	fd_close(&s->connection.fd);
	s->ended_ns = 0;
	tx_end(s);
	if (s->doom_blames)
		s->ops->refused(s->device, s->reason);
	/* What the device was asked to do, it ends first. */
	s->gone = s->device_busy;
	if (!s->gone)
		session_lose(s);
}

/* Nothing uses the client's memory any more: forgets all of it and waits for the next. */
static void session_forget(struct vfio_session *s)
{
	irq_clear(s);
	dma_clear(s, false);
	reactor_fd_del(s->reactor, &s->wake);
	fd_close(&s->wake.fd);
	share_clear(s);
	s->probing = false;
	memset(s->in_flight, 0, sizeof(s->in_flight));
	migrate_forget(s);
	dirty_stop(s);
	vfio_page_reset(s->page, true);
	s->ops->drop(s->device, VFIO_SLOT_CONNECTION);
	session_left(s);
	session_listen(s);
}

static bool session_held(const struct vfio_session *s)
{
	return s->dma.holds[0] > 0 || s->dma.holds[1] > 0;
}

/* Acts upon vfio_session_complete(). */
static void session_completed(struct vfio_session *s)
{
	s->completed = false;
	if (s->device_busy) {
		s->device_busy = false;
		if (s->gone)
			session_lose(s);
		else
			command_resume(s, s->completion);
	} else {
		s->lost_waits = false;
	}
}

/* Does what was noted while it was not safe. */
static void session_progress(struct vfio_session *s)
{
	session_enter(s);
	if (s->resuming)
		session_resume_go(s);
	if (s->arrived >= 0)
		session_arrive(s);
	if (s->doomed)
		session_close(s);
	if (s->completed)
		session_completed(s);
	if (s->unmap_waits && dma_unmap_ready(s)) {
		s->unmap_waits = false;
		dma_unmap_finish(s);
		command_resume(s, 0);
	}
	if (s->page->state == VFIO_STATE_LOSING && !s->lost_waits && !session_held(s))
		session_forget(s);
	if (s->next >= 0 && s->connection.fd < 0 && s->page->state == VFIO_STATE_IDLE)
		session_accept_next(s);
	share_start(s);
	message_pump(s);
	session_leave(s);
}

/* ---- For the device */

void vfio_session_complete(struct vfio_session *session, int status)
{
	if (!session->device_busy && !session->lost_waits)
		return;
	session->completed = true;
	session->completion = status;
	/* The device is in the middle of something; what follows calls it again. */
	session_kick(session);
}

void vfio_session_admit(struct vfio_session *session, const char *refusal)
{
	if (session->page->state != VFIO_STATE_ASKING)
		return;
	session_enter(session);
	if (refusal)
		session_doom(session, true, "%s", refusal);
	else
		session->page->state = VFIO_STATE_NEGOTIATING;
	session_leave(session);
}

void vfio_session_expel(struct vfio_session *session, const char *reason)
{
	session_doom(session, true, "%s", reason);
	if (session->doomed && session->depth == 0)
		session_progress(session);
}

bool vfio_session_arriving(const struct vfio_session *session)
{
	return session->arrived >= 0;
}

bool vfio_session_client(const struct vfio_session *session, struct ucred *ret_peer)
{
	const struct vfio_page_peer *peer = &session->page->peer;

	if (session->page->state == VFIO_STATE_IDLE)
		return false;
	if (ret_peer)
		*ret_peer = (struct ucred){peer->pid, peer->uid, peer->gid};
	return true;
}

bool vfio_session_in_use(const struct vfio_session *session)
{
	return session->connection.fd >= 0 && !session_leaving(session);
}

void vfio_session_stats(const struct vfio_session *session, struct vfio_session_stats *ret_stats)
{
	*ret_stats = session->stats;
}

void vfio_session_pause(struct vfio_session *session)
{
	session->paused = true;
	reactor_task_del(session->reactor, &session->task);
	reactor_timer_cancel(session->reactor, &session->deadline);
	reactor_timer_cancel(session->reactor, &session->grace);
	reactor_timer_cancel(session->reactor, &session->proven);
	reactor_timer_cancel(session->reactor, &session->accept_pause);
	reactor_fd_del(session->reactor, &session->listener);
	reactor_fd_del(session->reactor, &session->connection);
	reactor_fd_del(session->reactor, &session->unmask);
}

void vfio_session_go_on(struct vfio_session *session)
{
	const struct vfio_page *page = session->page;

	session->paused = false;
	if (page->state != VFIO_STATE_LOSING && !session->gone)
		session_listen(session);
	if (session->connection.fd >= 0 &&
	    reactor_fd_add(session->reactor, &session->connection) < 0)
		session_doom(session, false, "the connection could not be watched");
	if (session->unmask.fd >= 0 && reactor_fd_add(session->reactor, &session->unmask) < 0)
		session_doom(session, false, "the client's eventfd could not be watched");
	if (page->state == VFIO_STATE_NEGOTIATING || page->state == VFIO_STATE_ASKING ||
	    move_total(&page->rx.take) > 0)
		reactor_timer_set(session->reactor, &session->deadline,
				  reactor_now_ns(session->reactor) + VFIO_STALL_NS);
	session_kick(session);
}

bool vfio_session_still(const struct vfio_session *session)
{
	const struct vfio_page *page = session->page;

	/* The session's own look at memory is nothing that the device waits for. */
	return (page->state == VFIO_STATE_IDLE || page->state == VFIO_STATE_SERVING) &&
	       page->tx.len == 0 && vfio_rx_have(&page->rx) == 0 && session->depth == 0 &&
	       session->transfer_count == session->share.running && !session->doomed &&
	       !session->resuming;
}

void vfio_session_cancel(struct vfio_session *session)
{
	message_cancel(session, -ECANCELED);
}

/* ---- New and free */

static bool session_region_valid(const struct vfio_region *region)
{
	if (region->area_count > VFIO_AREA_COUNT || region->size > INT64_MAX)
		return false;
	for (uint32_t i = 0; i < region->area_count; i++) {
		const struct vfio_area *area = &region->areas[i];

		if (area->size == 0 || area->size > region->size ||
		    area->offset > region->size - area->size)
			return false;
	}
	return true;
}

static int session_check_info(const struct vfio_device_info *info)
{
	for (uint32_t i = 0; i < VFIO_REGION_COUNT; i++) {
		if (!session_region_valid(&info->regions[i]))
			return -EINVAL;
	}
	for (uint32_t i = 0; i < VFIO_IRQ_COUNT; i++) {
		if (info->irq_counts[i] > SESSION_MSIX_LIMIT)
			return -EINVAL;
	}
	return info->irq_counts[VFIO_IRQ_INTX] > 1 ? -EINVAL : 0;
}

/* Goes on with the client that an earlier process had, or begins without one. */
static int session_start(struct vfio_session *s, struct vfio_kept *kept, size_t kept_count)
{
	int r = vfio_page_check(s->page, &s->info);
	bool valid = r != -EBADMSG;

	session_resume_next(s, kept, kept_count);
	if (r == 0)
		r = session_resume(s, kept, kept_count);
	if (r != 0) {
		bool waits = r == 1 && s->page->migration.flags & VFIO_MIGRATION_WAITS;

		fd_close(&s->connection.fd);
		if (r < 0)
			session_resume_none(kept, kept_count);
		irq_done(s);
		dma_clear(s, true);
		vfio_page_reset(s->page, valid);
		dirty_stop(s);
		if (!waits)
			migrate_reset(s);
		r = irq_init(s);
	}
	if (r == 0)
		r = fd_set_nonblock(s->listener.fd, true);
	if (r == 0)
		r = reactor_fd_add(s->reactor, &s->listener);
	if (r == 0 && (s->arrived >= 0 || s->next >= 0))
		session_kick(s);
	return r;
}

int vfio_session_new(struct reactor *reactor, const struct vfio_device_info *info,
		     const struct vfio_session_ops *ops, void *device, struct vfio_page *page,
		     int listener, struct vfio_kept *kept, size_t kept_count,
		     struct vfio_session **ret_session)
{
	umdev_autoclose int listener_fd = listener;
	struct vfio_session *s;
	int r = session_check_info(info);

	if (r < 0)
		return r;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->reactor = reactor;
	s->info = *info;
	s->ops = ops;
	s->device = device;
	s->page = page;
	s->connection.fd = -1;
	s->arrived = -1;
	s->next = -1;
	s->wake.fd = -1;
	s->unmask.fd = -1;
	s->stream_fd = -1;
	s->listener.fd = umdev_steal_fd(&listener_fd);
	s->listener.events = EPOLLIN;
	s->listener.ready = session_accept;
	s->deadline.expired = session_late;
	s->grace.expired = session_grace_over;
	s->proven.expired = session_proven;
	s->accept_pause.expired = session_pause_over;
	s->task.run = session_task;
	list_init(&s->transfers);
	list_init(&s->spare);
	r = session_start(s, kept, kept_count);
	if (r < 0) {
		vfio_session_free(s);
		return r;
	}
	*ret_session = s;
	return 0;
}

void vfio_session_free(struct vfio_session *session)
{
	if (!session)
		return;
	reactor_timer_cancel(session->reactor, &session->deadline);
	reactor_timer_cancel(session->reactor, &session->grace);
	reactor_timer_cancel(session->reactor, &session->proven);
	reactor_timer_cancel(session->reactor, &session->accept_pause);
	reactor_task_del(session->reactor, &session->task);
	reactor_fd_del(session->reactor, &session->listener);
	reactor_fd_del(session->reactor, &session->connection);
	reactor_fd_del(session->reactor, &session->wake);
	irq_done(session);
	message_free(session);
	dma_clear(session, true);
	share_clear(session);
	fd_close_all(session->request.fds, MIN(session->request.fd_count, (size_t)WIRE_FDS_MAX));
	fd_close(&session->stream_fd);
	dirty_free(session);
	fd_close(&session->connection.fd);
	fd_close(&session->arrived);
	fd_close(&session->next);
	fd_close(&session->listener.fd);
	fd_close(&session->wake.fd);
	free(session);
}
