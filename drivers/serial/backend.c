/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is at the other end of a port: a pseudo terminal, or a Unix socket.
 *
 * Its peer is a program that has the terminal open, or is connected. Whether there is one is the
 * carrier of the line. What a peer sent before it left is still delivered; then the carrier falls.
 *
 * A pseudo terminal that nobody has open is always "hung up" to poll(2), so it is not watched; that
 * somebody opens it is told by inotify, or found out by looking where there is none. A socket has
 * one connection at a time: who comes next waits in the backlog. The connection is kept outside of
 * the process, also after its peer has gone: what a successor finds then is one that has ended.
 */
#include <asm/termbits.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core.h"

/* How often is looked for what nothing tells of. */
#define BACKEND_LOOK_NS 250000000u

static void backend_accept(void *arg, uint32_t events);

static bool backend_is_pty(const struct serial_port *port)
{
	return port->mdev->parent->backend == SERIAL_BACKEND_PTY;
}

static void backend_look_expired(void *arg)
{
	struct serial_mdev *m = arg;

	for (uint32_t i = 0; i < m->port_count; i++)
		backend_look(&m->ports[i]);
	/* Also where nobody is: the first look tells the host the level. */
	serial_settle(m);
}

static void backend_look_later(struct serial_port *port)
{
	serial_host->timer(port->mdev->handle, SERIAL_TIMER_LOOK,
			   serial_host->now_ns() + BACKEND_LOOK_NS, backend_look_expired,
			   port->mdev);
}

/* ---- Who is there ---- */

static void backend_unwatch(struct serial_port *port)
{
	if (port->watching)
		serial_host->fd_unwatch(port->mdev->parent->handle, port->fd);
	port->watching = false;
}

static void backend_listen(struct serial_port *port)
{
	if (port->listening || port->fd >= 0)
		return;
	if (serial_host->fd_watch(port->mdev->parent->handle, port->endpoint, POLLIN,
				  backend_accept, port) == 0)
		port->listening = true;
	else
		backend_look_later(port);
}

static void backend_listen_not(struct serial_port *port)
{
	if (port->listening)
		serial_host->fd_unwatch(port->mdev->parent->handle, port->endpoint);
	port->listening = false;
}

static void backend_set_peer(struct serial_port *port, enum serial_peer peer)
{
	if (peer != SERIAL_PEER_HERE)
		backend_unwatch(port);
	if (peer == SERIAL_PEER_NONE && !backend_is_pty(port)) {
		if (port->fd >= 0)
			close(port->fd);
		port->fd = -1;
		backend_listen(port);
	}
	if (peer == SERIAL_PEER_NONE && backend_is_pty(port) && port->terminal < 0)
		backend_look_later(port);
	if (port->peer == peer)
		return;
	port->peer = peer;
	uart_lines_update(port);
}

/* Whether something is still to be read from a peer that has gone. */
static bool backend_pending(const struct serial_port *port)
{
	struct pollfd p = {.fd = port->fd, .events = POLLIN};
	int bytes = 0;

	if (backend_is_pty(port))
		return poll(&p, 1, 0) > 0 && p.revents & POLLIN;
	return ioctl(port->fd, FIONREAD, &bytes) == 0 && bytes > 0;
}

/* The peer has hung up. */
static void backend_left(struct serial_port *port)
{
	backend_set_peer(port, backend_pending(port) ? SERIAL_PEER_LEFT : SERIAL_PEER_NONE);
}

void backend_look(struct serial_port *port)
{
	struct pollfd p = {.fd = port->fd};

	if (port->fd < 0) {
		backend_listen(port);
		return;
	}
	if (poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR))
		backend_left(port);
	else
		backend_set_peer(port, SERIAL_PEER_HERE);
	line_update(port);
	serial_settle(port->mdev);
}

/* ---- Events ---- */

static void backend_event(void *arg, uint32_t events)
{
	struct serial_port *port = arg;

	if (events & (POLLHUP | POLLERR))
		backend_left(port);
	line_update(port);
	serial_settle(port->mdev);
}

static void backend_accept(void *arg, uint32_t events)
{
	struct serial_port *port = arg;
	int fd = accept4(port->endpoint, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int r;

	if (fd < 0) {
		if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
			return;
		/* Out of descriptors, most likely: it would be told again and again. */
		backend_listen_not(port);
		backend_look_later(port);
		return;
	}
	backend_listen_not(port);
	r = serial_host->keep(port->mdev->handle, SERIAL_KEPT_PEER(port->index), fd);
	if (r < 0)
		serial_host->log(UMDEV_LOG_WARNING,
				 "the connection of port %u cannot be kept (%s): it will end when "
				 "this process does",
				 port->index, strerror(-r));
	port->fd = fd;
	port->no_more = false;
	backend_set_peer(port, SERIAL_PEER_HERE);
	line_update(port);
	serial_settle(port->mdev);
}

/* ---- What the line asks for ---- */

short backend_ready(struct serial_port *port, short events)
{
	struct pollfd p = {.fd = port->fd, .events = events};

	if (port->peer == SERIAL_PEER_NONE || poll(&p, 1, 0) <= 0)
		return 0;
	if (p.revents & (POLLHUP | POLLERR)) {
		backend_left(port);
		return port->peer == SERIAL_PEER_LEFT ? events & POLLIN : 0;
	}
	return p.revents & events;
}

void backend_watch(struct serial_port *port, short events)
{
	if (port->peer != SERIAL_PEER_HERE || (port->watching && port->watched == events))
		return;
	port->watched = events;
	port->watching = serial_host->fd_watch(port->mdev->parent->handle, port->fd,
					       (uint32_t)events, backend_event, port) == 0;
	if (!port->watching)
		backend_look_later(port);
}

ssize_t backend_read(struct serial_port *port)
{
	ssize_t n = carry_in(port);

	if (n > 0 || n == -EAGAIN || n == -EINTR)
		return n > 0 ? n : 0;
	/* A socket of which one direction ended may want to hear what there is to say. */
	if (n == 0 && port->peer == SERIAL_PEER_HERE && !backend_is_pty(port)) {
		port->no_more = true;
		return 0;
	}
	backend_set_peer(port, SERIAL_PEER_NONE);
	return -EPIPE;
}

ssize_t backend_write(struct serial_port *port, uint32_t carry, const void *buf, uint32_t len)
{
	ssize_t n = carry_out(port, carry, buf, len);

	if (n >= 0)
		return n;
	if (n == -EAGAIN || n == -EINTR)
		return 0;
	backend_left(port);
	return -EPIPE;
}

/* The code of a speed that has a name, else that of any other. */
static uint32_t backend_speed_code(uint32_t baud)
{
	static const struct {
		uint32_t baud;
		uint32_t code;
	} named[] = {
		{50, B50},	 {75, B75},	    {110, B110},   {134, B134},	    {150, B150},
		{200, B200},	 {300, B300},	    {600, B600},   {1200, B1200},   {1800, B1800},
		{2400, B2400},	 {4800, B4800},	    {9600, B9600}, {19200, B19200}, {38400, B38400},
		{57600, B57600}, {115200, B115200},
	};

	for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
		if (named[i].baud == baud)
			return named[i].code;
	}
	return BOTHER;
}

void backend_speed(struct serial_port *port)
{
	uint32_t divisor = (uint32_t)port->st->dlm << 8 | port->st->dll;
	uint32_t baud = divisor ? UART_BAUD_BASE / divisor : 0;
	struct termios2 tio;

	if (baud == 0 || baud == port->baud || !backend_is_pty(port))
		return;
	port->baud = baud;
	if (ioctl(port->fd, TCGETS2, &tio) < 0)
		return;
	tio.c_cflag &= ~(uint32_t)(CBAUD | CBAUD << IBSHIFT);
	tio.c_cflag |= backend_speed_code(baud);
	tio.c_ispeed = baud;
	tio.c_ospeed = baud;
	/* A terminal that does not take it shows another number, no more. */
	(void)ioctl(port->fd, TCSETS2, &tio);
}

/* ---- Life ---- */

/* The number by which inotify tells of the terminal, or -1. */
static int backend_terminal(const struct serial_port *port)
{
	unsigned int number = 0;

	if (port->mdev->parent->inotify < 0 || ioctl(port->endpoint, TIOCGPTN, &number) < 0)
		return -1;
	return number <= INT_MAX ? (int)number : -1;
}

/* Who is there is known before the guest can ask: its carrier does not fall because of us. */
static int backend_find(struct serial_port *port)
{
	struct pollfd p = {.fd = port->fd};
	int fd;

	if (!backend_is_pty(port)) {
		fd = serial_host->kept(port->mdev->handle, SERIAL_KEPT_PEER(port->index));
		if (fd < 0 && fd != -ENOENT)
			return fd;
		port->fd = p.fd = fd < 0 ? -1 : fd;
	}
	port->peer = port->fd < 0 ? SERIAL_PEER_NONE : SERIAL_PEER_HERE;
	if (port->fd >= 0 && poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR))
		port->peer = backend_pending(port) ? SERIAL_PEER_LEFT : SERIAL_PEER_NONE;
	if (port->peer == SERIAL_PEER_NONE && port->fd >= 0 && !backend_is_pty(port)) {
		close(port->fd);
		port->fd = -1;
	}
	uart_lines_update(port);
	return 0;
}

int backend_open(struct serial_port *port, int endpoint, bool resume)
{
	int r;

	port->endpoint = endpoint;
	port->fd = backend_is_pty(port) ? endpoint : -1;
	r = resume ? backend_find(port) : 0;
	if (r < 0)
		return r;
	port->terminal = backend_is_pty(port) ? backend_terminal(port) : -1;
	/* Jobs can be handed over as soon as the mdev is there, and not before. */
	serial_host->timer(port->mdev->handle, SERIAL_TIMER_LOOK, serial_host->now_ns(),
			   backend_look_expired, port->mdev);
	return 0;
}

void backend_close(struct serial_port *port)
{
	backend_unwatch(port);
	backend_listen_not(port);
	port->terminal = -1;
	if (port->fd >= 0 && port->fd != port->endpoint)
		close(port->fd);
	port->fd = -1;
}
