/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Receiving: exactly framed messages, straight into the page.
 *
 * A header is peeked first, so that its size tells how much to take and descriptors can be handed
 * on while the message still stands in the socket; then the whole message is taken in one call. Two
 * calls a message, never a byte beyond it. Fragments of headers and bodies take more turns, and
 * not for ever. page.h says what a successor can read from the state between any two steps.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

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
	/* There is room for as many as a message can carry: the process ran out of descriptors. */
	if (msg->msg_flags & MSG_CTRUNC)
		q->fds_lost = true;
}

/* Closes what descriptors of the request nobody took. */
static void rx_close_fds(struct vfio_request *q)
{
	fd_close_all(q->fds, MIN(q->fd_count, (size_t)WIRE_FDS_MAX));
	q->fd_count = 0;
	q->fds_lost = false;
}

/* One recvmsg; descriptors that come along are taken with MSG_PEEK and dropped by the kernel
 * without. Returns the bytes, or -EAGAIN, or another -errno with the session doomed. */
static ssize_t rx_recv(struct vfio_session *s, void *buf, size_t len, int flags)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(FD_MESSAGE_MAX * sizeof(int))];
	struct iovec iov = {.iov_base = buf, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (flags & MSG_PEEK) {
		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
	}
	do {
		n = recvmsg(s->connection.fd, &msg, flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n > 0) {
		if (flags & MSG_PEEK)
			rx_add_fds(&s->request, &msg);
		return n;
	}
	if (n < 0 && errno == EAGAIN)
		return -EAGAIN;
	session_doom(s, false, "client closed the connection%s",
		     s->page->rx.have ? " in the middle of a message" : "");
	return -ECONNRESET;
}

/* Takes @len bytes more of the present message, fewer when there are fewer. */
static ssize_t rx_take(struct vfio_session *s, size_t len)
{
	struct vfio_page_rx *rx = &s->page->rx;
	ssize_t n = rx_recv(s, (uint8_t *)&rx->header + rx->have, len, 0);

	if (n > 0)
		rx->have += (uint32_t)n;
	return n;
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
	uint8_t bytes[sizeof(*header)];
	ssize_t n;

	memcpy(bytes, &rx->header, rx->have);
	n = rx_recv(s, bytes + rx->have, sizeof(bytes) - rx->have, MSG_PEEK);
	if (n < 0)
		return n == -EAGAIN ? 0 : (int)n;
	if (rx->have + (size_t)n < sizeof(bytes)) {
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
	struct iovec iov = {.iov_base = &rx->header, .iov_len = header->size};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	rx->flags = VFIO_RX_PEEKED;
	do {
		n = recvmsg(s->connection.fd, &msg, MSG_PEEK | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n == (ssize_t)header->size) {
		rx->have = header->size;
		return true;
	}
	rx->header.size = 0;
	rx->flags = 0;
	return false;
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
	rx->fd_count = (uint32_t)MIN(q->fd_count, (size_t)WIRE_FDS_MAX);
	return 1;
}

int rx_receive(struct vfio_session *s)
{
	struct vfio_page_rx *rx = &s->page->rx;
	struct wire_header header;
	ssize_t n;
	int r;

	if (rx->have < sizeof(header)) {
		r = rx_head(s, &header);
		if (r <= 0)
			return r;
		if (rx->have == 0 && s->request.fd_count > 0 && rx_peek_whole(s, &header))
			return rx_deliver(s);
		if (rx->have == 0)
			rx->header.size = 0;
	} else {
		header = rx->header;
	}
	if (rx->have < header.size) {
		n = rx_take(s, header.size - rx->have);
		if (n < 0 && n != -EAGAIN)
			return (int)n;
	}
	return rx->have < header.size ? rx_wait(s) : rx_deliver(s);
}

void rx_finish(struct vfio_session *s)
{
	struct vfio_page_rx *rx = &s->page->rx;

	if ((rx->flags & VFIO_RX_PEEKED) && s->connection.fd >= 0) {
		uint32_t size = rx->have;

		rx->flags = VFIO_RX_TAKING;
		rx->header.size = 0;
		rx->have = 0;
		while (rx->have < size) {
			if (rx_take(s, size - rx->have) < 0)
				break;
		}
		if (rx->have < size)
			session_doom(s, false, "the connection failed");
	}
	rx_abort(s);
}

void rx_abort(struct vfio_session *s)
{
	struct vfio_page_rx *rx = &s->page->rx;

	rx_close_fds(&s->request);
	rx->header.size = 0;
	rx->have = 0;
	rx->flags = 0;
	rx->fd_count = 0;
}
