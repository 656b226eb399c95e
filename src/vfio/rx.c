/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Receiving: exactly framed messages, straight into the page.
 *
 * A header is peeked first, so that its size tells how much to take and descriptors can be handed
 * on while the message still stands in the socket; then the whole message is taken in one call. Two
 * calls a message, never a byte beyond it. Fragments of headers and bodies take more turns, and
 * not for ever. page.h says what a successor can read from the state between any two steps; it
 * begins with rx_resume().
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "util/fault.h"
#include "util/fd.h"
#include "vfio/session-internal.h"

/* Stores descriptor @fd with the request, or closes it when there are too many. */
static void rx_add_fd(struct vfio_request *q, int fd)
{
	if (q->fd_count < WIRE_FDS_MAX)
		q->fds[q->fd_count] = fd;
	else
		close(fd);
	q->fd_count++;
}

static void rx_add_fds(struct vfio_request *q, struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			rx_add_fd(q, fd);
		}
	}
	/* There was room for one more than is allowed: with fewer, the process ran out of them. */
	if ((msg->msg_flags & MSG_CTRUNC) && q->fd_count <= WIRE_FDS_MAX)
		q->fds_lost = true;
}

/* Closes what descriptors of the request nobody took. */
static void rx_close_fds(struct vfio_request *q)
{
	fd_close_all(q->fds, MIN(q->fd_count, (size_t)WIRE_FDS_MAX));
	q->fd_count = 0;
	q->fds_lost = false;
}

/* The connection has nothing (0 bytes), or an error, to give. Returns -EAGAIN or, with the session
 * doomed, another -errno. */
static ssize_t rx_failed(struct vfio_session *s, ssize_t n)
{
	if (n == -EAGAIN)
		return n;
	session_doom(s, false, "client closed the connection%s",
		     vfio_rx_have(&s->page->rx) ? " in the middle of a message" : "");
	return -ECONNRESET;
}

/* Looks at up to @len bytes, taking the descriptors that come along. Returns as rx_failed(). */
static ssize_t rx_peek(struct vfio_session *s, void *buf, size_t len)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE((WIRE_FDS_MAX + 1) * sizeof(int))];
	struct iovec iov = {.iov_base = buf, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};
	ssize_t n;

	do {
		n = recvmsg(s->connection.fd, &msg, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		return rx_failed(s, n < 0 ? -errno : 0);
	rx_add_fds(&s->request, &msg);
	return n;
}

/* Takes @len bytes more of the present message, fewer when there are fewer. */
static ssize_t rx_take(struct vfio_session *s, size_t len)
{
	struct vfio_page_rx *rx = &s->page->rx;
	ssize_t n = move_receive(s->connection.fd, &rx->take,
				 (uint8_t *)&rx->header + move_total(&rx->take), len);

	if (n <= 0)
		return rx_failed(s, n);
	FAULT_POINT("rx.taken");
	return n;
}

/* Notes how many descriptors came. Those of a message that comes in pieces are in this process
 * alone. */
static void rx_count_fds(struct vfio_session *s)
{
	s->page->rx.fd_count = (uint32_t)MIN(s->request.fd_count, (size_t)WIRE_FDS_MAX);
}

/* The message is not whole yet: it gets some time. */
static int rx_wait(struct vfio_session *s)
{
	if (s->page->state != VFIO_STATE_NEGOTIATING && !s->deadline.armed)
		reactor_timer_set(s->reactor, &s->deadline,
				  reactor_now_ns(s->reactor) + VFIO_STALL_NS);
	return 0;
}

/* Returns 1 with the header in @header (not yet taken, or taken in fragments), 0, or -errno. */
static int rx_head(struct vfio_session *s, struct wire_header *header)
{
	struct vfio_page_rx *rx = &s->page->rx;
	uint32_t have = move_total(&rx->take);
	uint8_t bytes[sizeof(*header)];
	ssize_t n;

	memcpy(bytes, &rx->header, have);
	n = rx_peek(s, bytes + have, sizeof(bytes) - have);
	if (n < 0)
		return n == -EAGAIN ? 0 : (int)n;
	if (have + (size_t)n < sizeof(bytes)) {
		rx_count_fds(s);
		n = rx_take(s, (size_t)n);
		return n < 0 && n != -EAGAIN ? (int)n : rx_wait(s);
	}
	memcpy(header, bytes, sizeof(bytes));
	switch (wire_header_check(header)) {
	case 0:
		return 1;
	case -EMSGSIZE:
		session_doom(s, true, "client sent a message of %u bytes; the limit is %u",
			     header->size, WIRE_MESSAGE_MAX);
		return -EMSGSIZE;
	default:
		session_doom(s, true, "client sent no vfio-user message (size %u, flags %#x)",
			     header->size, header->flags);
		return -EPROTO;
	}
}

/* Copies a message that brought descriptors without taking it. Returns whether it is there whole.
 */
static bool rx_peek_whole(struct vfio_session *s, const struct wire_header *header)
{
	struct vfio_page_rx *rx = &s->page->rx;
	ssize_t n;

	do {
		n = recv(s->connection.fd, &rx->header, header->size, MSG_PEEK | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n != (ssize_t)header->size)
		return false;
	__atomic_store_n(&rx->flags, VFIO_RX_PEEKED, __ATOMIC_RELEASE);
	FAULT_POINT("rx.peeked");
	return true;
}

/* The message is whole: shows it as a request. */
static int rx_deliver(struct vfio_session *s)
{
	struct vfio_page_rx *rx = &s->page->rx;
	struct vfio_request *q = &s->request;

	if (s->deadline.armed && s->page->state != VFIO_STATE_NEGOTIATING)
		reactor_timer_cancel(s->reactor, &s->deadline);
	q->header = rx->header;
	q->body = rx->body;
	q->len = q->header.size - (uint32_t)sizeof(q->header);
	rx_count_fds(s);
	return 1;
}

int rx_receive(struct vfio_session *s)
{
	struct vfio_page_rx *rx = &s->page->rx;
	uint32_t have = move_total(&rx->take);
	struct wire_header header;
	ssize_t n;
	int r;

	if (have == 0) {
		rx->number = s->page->served;
		rx->multi_next = 0;
		rx->multi_count = 0;
	}
	if (have < sizeof(header)) {
		r = rx_head(s, &header);
		if (r <= 0)
			return r;
		if (have == 0 && s->request.fd_count > 0 && rx_peek_whole(s, &header))
			return rx_deliver(s);
	} else {
		header = rx->header;
	}
	if (have < header.size) {
		rx_count_fds(s);
		n = rx_take(s, header.size - have);
		if (n < 0 && n != -EAGAIN)
			return (int)n;
	}
	return move_total(&rx->take) < header.size ? rx_wait(s) : rx_deliver(s);
}

/* Takes off the socket what stands in the page already. */
static void rx_take_peeked(struct vfio_session *s)
{
	struct vfio_page_rx *rx = &s->page->rx;
	const uint32_t size = rx->header.size;

	__atomic_store_n(&rx->flags, VFIO_RX_TAKING, __ATOMIC_RELEASE);
	while (move_total(&rx->take) < size) {
		if (rx_take(s, size - move_total(&rx->take)) < 0)
			break;
	}
	if (move_total(&rx->take) < size)
		session_doom(s, false, "the connection failed");
}

void rx_finish(struct vfio_session *s)
{
	struct vfio_page_rx *rx = &s->page->rx;

	s->page->served = rx->number + 1;
	FAULT_POINT("rx.served");
	__atomic_store_n(&s->page->tries, 0, __ATOMIC_RELEASE);
	if (rx->flags && s->connection.fd >= 0)
		rx_take_peeked(s);
	rx_abort(s);
}

void rx_abort(struct vfio_session *s)
{
	struct vfio_page_rx *rx = &s->page->rx;

	rx_close_fds(&s->request);
	rx->fd_count = 0;
	/* In this order: the other way round, the next message would seem to be this one. */
	__atomic_store_n(&rx->flags, 0, __ATOMIC_RELEASE);
	move_set(&rx->take, 0);
}

/* Whether the reply to the request in rx stands in tx. */
static bool rx_answered(const struct vfio_page *page)
{
	const struct wire_header *reply = &page->tx.header;
	const struct wire_header *request = &page->rx.header;

	return page->tx.len > 0 && (reply->flags & WIRE_FLAG_TYPE) == WIRE_TYPE_REPLY &&
	       reply->id == request->id && reply->command == request->command;
}

bool rx_resume(struct vfio_session *s)
{
	struct vfio_page *page = s->page;
	struct vfio_page_rx *rx = &page->rx;
	uint32_t have = vfio_rx_have(rx);

	if (rx->flags & VFIO_RX_TAKING) {
		rx_finish(s);
		return false;
	}
	if (rx->fd_count > 0 && !rx->flags && page->served == rx->number) {
		session_doom(s, true,
			     "the host died while the client passed descriptors in a message of "
			     "several pieces");
		return false;
	}
	if (have < sizeof(rx->header) || have < rx->header.size)
		return false;
	if (page->served > rx->number || rx_answered(page)) {
		rx_finish(s);
		return false;
	}
	if (rx->flags & VFIO_RX_PEEKED) {
		/* It is in the socket, with its descriptors. */
		rx_abort(s);
		return false;
	}
	rx_deliver(s);
	return true;
}
