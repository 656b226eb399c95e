/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bytes between the state page and the other end, moved so that a successor knows which were, at
 * whatever instruction this process dies.
 *
 * That a transfer begins is noted in the page. That it has happened nobody can note in the same
 * step, so the kernel has to:
 *
 * - Sockets: recvmmsg() and sendmmsg() write the number of bytes into a header in the page before
 *   they return to a process that may be dead by then.
 * - A terminal knows no such call. There a pipe that is kept outside of the process stands in
 *   between. Outwards the bytes lie in it before the transfer is noted; splice() takes them on, and
 *   those that are still there were not sent. Inwards splice() fills the pipe, which was empty;
 *   what lies there has come. Taking it out (PULL) is noted once more: what then is not in the pipe
 *   is in the page.
 *
 * None of these calls sleeps, and a signal that kills is heeded only where one sleeps or returns:
 * each of them happens wholly or not at all.
 *
 * With no transfer noted the pipe may hold what was not sent. It is worth nothing and thrown away.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core.h"

#define CARRY_READ_END	0
#define CARRY_WRITE_END 1

static bool carry_has_pipe(const struct serial_mdev *m)
{
	return m->pipe[CARRY_READ_END] >= 0;
}

/* Bytes that lie in the pipe. */
static uint32_t carry_held(const struct serial_mdev *m)
{
	int bytes = 0;

	return ioctl(m->pipe[CARRY_READ_END], FIONREAD, &bytes) == 0 && bytes > 0 ? (uint32_t)bytes
										  : 0;
}

static void carry_empty(const struct serial_mdev *m)
{
	uint8_t nobody[4 * UART_FIFO];

	while (read(m->pipe[CARRY_READ_END], nobody, sizeof(nobody)) > 0)
		;
}

static void carry_begin(struct serial_port *port, uint32_t carry, uint32_t count)
{
	struct serial_image *work = &port->mdev->work;

	work->carry = (uint8_t)carry;
	work->carry_port = (uint8_t)port->index;
	work->carry_count = (uint8_t)count;
	serial_commit(port->mdev);
}

void carry_end(struct serial_mdev *m)
{
	m->work.carry = SERIAL_CARRY_NONE;
	serial_commit(m);
	if (m->pipe_left)
		carry_empty(m);
	m->pipe_left = false;
}

/* ---- Sockets ---- */

/* The header, which says that nothing was moved. */
static struct mmsghdr *carry_message(struct serial_mdev *m, struct iovec *iov)
{
	m->state->message = (struct mmsghdr){.msg_hdr = {.msg_iov = iov, .msg_iovlen = 1}};
	return &m->state->message;
}

/* What a call on @message did that returned @r. Its addresses are nobody else's business. */
static ssize_t carry_answer(struct mmsghdr *message, int r)
{
	ssize_t n = r < 0 ? -errno : (ssize_t)message->msg_len;

	message->msg_hdr = (struct msghdr){.msg_iov = NULL};
	return n;
}

static ssize_t carry_send(struct serial_port *port, uint32_t carry, const void *buf, uint32_t len)
{
	struct iovec iov = {.iov_base = (void *)buf, .iov_len = len};
	struct mmsghdr *message = carry_message(port->mdev, &iov);
	int r;

	carry_begin(port, carry, len);
	r = sendmmsg(port->fd, message, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	return carry_answer(message, r);
}

static ssize_t carry_receive(struct serial_port *port)
{
	struct serial_mdev *m = port->mdev;
	struct iovec iov = {.iov_base = m->state->carried, .iov_len = sizeof(m->state->carried)};
	struct mmsghdr *message = carry_message(m, &iov);
	int r;

	carry_begin(port, SERIAL_CARRY_IN, 0);
	r = recvmmsg(port->fd, message, 1, MSG_DONTWAIT, NULL);
	/* That the peer has left unread what it was sent is told first, and once, and then what it
	 * sent itself is still there. */
	if (r < 0 && errno == ECONNRESET)
		r = recvmmsg(port->fd, message, 1, MSG_DONTWAIT, NULL);
	return carry_answer(message, r);
}

/* ---- Pseudo terminals ---- */

static ssize_t carry_splice_out(struct serial_port *port, uint32_t carry, const void *buf,
				uint32_t len)
{
	int *ends = port->mdev->pipe;
	ssize_t held = write(ends[CARRY_WRITE_END], buf, len);
	ssize_t n;

	if (held <= 0)
		return -EAGAIN;
	carry_begin(port, carry, (uint32_t)held);
	n = splice(ends[CARRY_READ_END], NULL, port->fd, NULL, (size_t)held, SPLICE_F_NONBLOCK);
	port->mdev->pipe_left = n != held;
	return n < 0 ? -errno : n;
}

/* Takes @count bytes, of which some may have been taken before, out of the pipe. */
static void carry_pull(struct serial_mdev *m, uint32_t count)
{
	uint32_t held = carry_held(m);
	uint32_t had = held < count ? count - held : 0;

	while (had < count) {
		ssize_t n = read(m->pipe[CARRY_READ_END], m->state->carried + had, count - had);

		if (n <= 0)
			return;
		had += (uint32_t)n;
	}
}

static ssize_t carry_splice_in(struct serial_port *port)
{
	struct serial_mdev *m = port->mdev;
	ssize_t n;

	carry_begin(port, SERIAL_CARRY_IN, 0);
	n = splice(port->fd, NULL, m->pipe[CARRY_WRITE_END], NULL, sizeof(m->state->carried),
		   SPLICE_F_NONBLOCK);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	carry_begin(port, SERIAL_CARRY_PULL, (uint32_t)n);
	carry_pull(m, (uint32_t)n);
	return n;
}

/* ---- Both ---- */

ssize_t carry_out(struct serial_port *port, uint32_t carry, const void *buf, uint32_t len)
{
	return carry_has_pipe(port->mdev) ? carry_splice_out(port, carry, buf, len)
					  : carry_send(port, carry, buf, len);
}

ssize_t carry_in(struct serial_port *port)
{
	return carry_has_pipe(port->mdev) ? carry_splice_in(port) : carry_receive(port);
}

static uint32_t carry_pipe_moved(struct serial_mdev *m)
{
	struct serial_image *work = &m->work;
	uint32_t held = carry_held(m);

	switch (work->carry) {
	case SERIAL_CARRY_OUT:
	case SERIAL_CARRY_BREAK:
		return held < work->carry_count ? work->carry_count - held : 0;
	case SERIAL_CARRY_IN:
		if (held > UART_FIFO) /* not of our making */
			held = UART_FIFO;
		carry_begin(&m->ports[work->carry_port], SERIAL_CARRY_PULL, held);
		break;
	default:
		break;
	}
	carry_pull(m, work->carry_count);
	return work->carry_count;
}

uint32_t carry_moved(struct serial_mdev *m)
{
	uint32_t most = m->work.carry == SERIAL_CARRY_IN ? UART_FIFO : m->work.carry_count;

	if (m->work.carry == SERIAL_CARRY_NONE)
		return 0;
	if (carry_has_pipe(m))
		return carry_pipe_moved(m);
	return m->state->message.msg_len < most ? m->state->message.msg_len : most;
}

/* ---- Life ---- */

static int carry_make(struct serial_mdev *m)
{
	if (pipe2(m->pipe, O_CLOEXEC | O_NONBLOCK) < 0) {
		m->pipe[CARRY_READ_END] = m->pipe[CARRY_WRITE_END] = -1;
		return serial_host->fail(errno, "no pipe for the line: %s", strerror(errno));
	}
	for (uint32_t i = 0; i < 2; i++) {
		int r = serial_host->keep(m->handle, SERIAL_KEPT_PIPE + i, m->pipe[i]);

		if (r < 0) {
			carry_close(m);
			return serial_host->fail(-r, "the pipe of the line cannot be kept: %s",
						 strerror(-r));
		}
	}
	return 0;
}

int carry_open(struct serial_mdev *m, bool resume)
{
	m->pipe[CARRY_READ_END] = m->pipe[CARRY_WRITE_END] = -1;
	if (m->parent->backend != SERIAL_BACKEND_PTY)
		return 0;
	for (uint32_t i = 0; resume && i < 2; i++) {
		m->pipe[i] = serial_host->kept(m->handle, SERIAL_KEPT_PIPE + i);
		if (m->pipe[i] >= 0)
			continue;
		carry_close(m);
		/* A page from elsewhere comes without, and then no transfer was under way. */
		if (m->work.carry != SERIAL_CARRY_NONE)
			return serial_host->fail(EBADMSG,
						 "the saved state of the line came without what "
						 "was on its way; stop and start the device");
		break;
	}
	m->pipe_left = carry_has_pipe(m);
	return m->pipe_left ? 0 : carry_make(m);
}

void carry_close(struct serial_mdev *m)
{
	for (uint32_t i = 0; i < 2; i++) {
		if (m->pipe[i] >= 0)
			close(m->pipe[i]);
		m->pipe[i] = -1;
	}
}
