/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The line: bursts between FIFOs and backends.
 *
 * A burst of either direction is a job on the parent's one engine, handed over only when the
 * backend is ready for it, so that one that is slow does not hold the line. With a rate the job
 * lasts as long as its bytes would on the wire; what it carries arrives at its end. While a burst
 * is on the line the guest can fill or empty its FIFO for the next: a port that has more to carry
 * asks again in the moment in which a burst ends, as the scheduler needs it to give each its share.
 *
 * Flow control. From the backend: nothing is read from it while the guest has RTS down, or while a
 * burst waits on the line because the FIFO has no room, so nothing can run over. To the backend:
 * what it does not take stays on the line and in the FIFO, and the guest waits. Where nobody is at
 * the other end, CTS is down; what the guest sends all the same is lost, as on a cable that is not
 * plugged in.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "core.h"

/* What the guest writes is gathered for so long, unless the FIFO is full or the guest waits: each
 * register write is a message, and a burst for each character would be dear. */
#define LINE_GATHER_NS	 500000u

#define LINE_MARK	 0xffu
#define LINE_BREAK_BYTES 3u

/* ---- To the backend ---- */

static bool line_marks(const struct serial_port *port)
{
	return port->mdev->parent->breaks == SERIAL_BREAKS_MARKS;
}

static bool line_tx_wanted(const struct serial_port *port)
{
	const struct serial_state_port *st = port->st;

	/* An empty transmitter would keep a handler busy, too, and what it receives waiting. */
	if (port->mdev->service_ns || port->mdev->rest_ns)
		return false;
	return st->tx_wire_count > 0 || (st->tx_count > 0 && port->tx_ripe) || st->break_queued;
}

/* Puts the next burst on the line, unless there is one of which not all was taken. Returns its
 * length. */
static uint32_t line_tx_begin(struct serial_port *port)
{
	struct serial_state_port *st = port->st;

	if (st->tx_wire_count == 0) {
		uart_tx_shift(st);
		port->tx_ripe = false;
	}
	return st->tx_wire_count + st->break_queued;
}

/* One item as it goes to the backend. Returns its length. */
static uint32_t line_encode(const struct serial_port *port, uint8_t byte, uint8_t *out)
{
	uint32_t len = 0;

	out[len++] = byte;
	if (byte == LINE_MARK && line_marks(port))
		out[len++] = LINE_MARK;
	return len;
}

/* Takes off the line what @written bytes of what line_tx_write() made were. */
static void line_tx_written(struct serial_port *port, uint32_t written)
{
	struct serial_state_port *st = port->st;
	uint8_t item[2];
	uint32_t sent = 0;

	written += st->tx_written;
	while (sent < st->tx_wire_count) {
		uint32_t len = line_encode(port, st->tx_wire[sent], item);

		if (written < len)
			break;
		written -= len;
		sent++;
	}
	st->tx_bytes += sent;
	st->tx_wire_count = (uint8_t)(st->tx_wire_count - sent);
	/* Of the item that is first now. */
	st->tx_written = st->tx_wire_count ? (uint8_t)written : 0;
	memmove(st->tx_wire, st->tx_wire + sent, st->tx_wire_count);
}

static void line_tx_write(struct serial_port *port)
{
	struct serial_state_port *st = port->st;
	uint8_t out[2 * UART_FIFO];
	uint32_t len = 0;
	ssize_t n;

	for (uint32_t i = 0; i < st->tx_wire_count; i++)
		len += line_encode(port, st->tx_wire[i], out + len);
	if (st->tx_written >= len) /* cannot be, unless the state was made up */
		st->tx_written = 0;
	n = backend_write(port, SERIAL_CARRY_OUT, out + st->tx_written, len - st->tx_written);
	if (n >= 0)
		line_tx_written(port, (uint32_t)n);
	carry_end(port->mdev);
}

static void line_break_sent(struct serial_state_port *st)
{
	st->tx_written = 0;
	st->break_queued = 0;
	st->breaks_out++;
}

/* @written bytes more of the mark were; the rest follows when it can be. */
static void line_break_written(struct serial_state_port *st, uint32_t written)
{
	st->tx_written = (uint8_t)(st->tx_written + written);
	if (st->tx_written >= LINE_BREAK_BYTES)
		line_break_sent(st);
}

static void line_tx_break(struct serial_port *port)
{
	static const uint8_t mark[LINE_BREAK_BYTES] = {LINE_MARK, 0, 0};
	struct serial_state_port *st = port->st;
	ssize_t n;

	if (!line_marks(port)) {
		line_break_sent(st);
		return;
	}
	n = backend_write(port, SERIAL_CARRY_BREAK, mark + st->tx_written,
			  LINE_BREAK_BYTES - st->tx_written);
	if (n >= 0)
		line_break_written(st, (uint32_t)n);
	carry_end(port->mdev);
}

static void line_tx_end(struct serial_port *port)
{
	struct serial_state_port *st = port->st;

	if (port->peer == SERIAL_PEER_HERE && st->tx_wire_count > 0)
		line_tx_write(port);
	if (port->peer == SERIAL_PEER_HERE && st->tx_wire_count + st->tx_count == 0 &&
	    st->break_queued)
		line_tx_break(port);
	if (port->peer == SERIAL_PEER_HERE)
		return;
	/* Nobody will receive it. */
	st->lost_bytes += st->tx_wire_count;
	st->tx_wire_count = 0;
	st->tx_written = 0;
	st->break_queued = 0;
}

static void line_gathered(void *arg)
{
	struct serial_mdev *m = arg;

	m->gathering = false;
	for (uint32_t i = 0; i < m->port_count; i++) {
		if (m->ports[i].st->tx_count > 0)
			line_flush(&m->ports[i]);
	}
	serial_settle(m);
}

void line_gather(struct serial_port *port)
{
	struct serial_mdev *m = port->mdev;

	if (port->tx_ripe || m->gathering)
		return;
	m->gathering = true;
	serial_host->timer(m->handle, SERIAL_TIMER_GATHER, serial_host->now_ns() + LINE_GATHER_NS,
			   line_gathered, m);
}

void line_flush(struct serial_port *port)
{
	if (port->tx_ripe)
		return;
	port->tx_ripe = true;
	line_update(port);
}

/* ---- From the backend ---- */

/* The line takes a burst while the FIFO is still full: it waits there until there is room. */
static bool line_rx_wanted(const struct serial_port *port)
{
	const struct serial_state_port *st = port->st;

	return port->peer != SERIAL_PEER_NONE && !port->no_more && st->mcr & UART_MCR_RTS &&
	       !(st->mcr & UART_MCR_LOOP) && st->rx_wire_count == 0;
}

static void line_wire_put(struct serial_state_port *st, uint8_t byte, uint8_t error)
{
	if (st->rx_wire_count >= UART_FIFO)
		return;
	st->rx_wire[st->rx_wire_count] = byte;
	st->rx_wire_error[st->rx_wire_count++] = error;
}

/* One byte of the backend, where marks are spoken. Never makes more characters than it took. */
static void line_decode(struct serial_state_port *st, uint8_t byte)
{
	switch (st->mark) {
	case SERIAL_MARK_BEGUN:
		st->mark = byte == 0 ? SERIAL_MARK_ZERO : SERIAL_MARK_NONE;
		if (byte != 0) /* a doubled one; any other is taken as it is */
			line_wire_put(st, byte, 0);
		break;
	case SERIAL_MARK_ZERO:
		st->mark = SERIAL_MARK_NONE;
		line_wire_put(st, byte, byte == 0 ? UART_LSR_BI : UART_LSR_PE);
		break;
	default:
		if (byte == LINE_MARK)
			st->mark = SERIAL_MARK_BEGUN;
		else
			line_wire_put(st, byte, 0);
	}
}

/* Puts what came in onto the wire. */
static void line_rx_came(struct serial_port *port, uint32_t count)
{
	const uint8_t *in = port->mdev->state->carried;

	for (uint32_t i = 0; i < count; i++) {
		if (line_marks(port))
			line_decode(port->st, in[i]);
		else
			line_wire_put(port->st, in[i], 0);
	}
}

/* Takes a burst off the backend onto the wire. Returns its length. */
static uint32_t line_rx_begin(struct serial_port *port)
{
	ssize_t n;

	/* Since the job was handed over the guest may have changed its mind. */
	if (!line_rx_wanted(port))
		return 0;
	n = backend_read(port);
	if (n > 0)
		line_rx_came(port, (uint32_t)n);
	carry_end(port->mdev);
	return n > 0 ? (uint32_t)n : 0;
}

/* What is on the line arrives, as far as there is room, and unless the guest needs its time. */
static void line_rx_end(struct serial_port *port)
{
	struct serial_state_port *st = port->st;
	uint32_t room = uart_rx_room(st);
	uint32_t count = st->rx_wire_count < room ? st->rx_wire_count : room;

	if (count == 0 || port->mdev->service_ns || port->mdev->rest_ns)
		return;
	for (uint32_t i = 0; i < count; i++) {
		uart_rx_push(st, st->rx_wire[i], st->rx_wire_error[i]);
		if (st->rx_wire_error[i] & UART_LSR_BI)
			st->breaks_in++;
		else
			st->rx_bytes++;
	}
	st->rx_wire_count = (uint8_t)(st->rx_wire_count - count);
	memmove(st->rx_wire, st->rx_wire + count, st->rx_wire_count);
	memmove(st->rx_wire_error, st->rx_wire_error + count, st->rx_wire_count);
	uart_rx_changed(port);
}

/* ---- Jobs ---- */

static void line_submit(struct serial_port *port, struct serial_way *way)
{
	way->busy = true;
	way->turn = !way->turn;
	serial_host->job_submit(port->mdev->handle, &way->jobs[way->turn]);
}

void line_update(struct serial_port *port)
{
	short wanted = 0;
	short ready;
	bool tx;
	bool rx;

	if (!port->rx.busy)
		line_rx_end(port);
	tx = !port->tx.busy && line_tx_wanted(port);
	rx = !port->rx.busy && line_rx_wanted(port);
	wanted |= tx ? POLLOUT : 0;
	wanted |= rx ? POLLIN : 0;
	ready = wanted ? backend_ready(port, wanted) : 0;
	/* Into nothing one can always send. */
	if (tx && (ready & POLLOUT || port->peer != SERIAL_PEER_HERE))
		line_submit(port, &port->tx);
	if (rx && ready & POLLIN)
		line_submit(port, &port->rx);
	backend_watch(port, (short)(wanted & ~ready));
}

static bool line_way_has(const struct serial_way *way, const struct umdev_job *job)
{
	return job == &way->jobs[0] || job == &way->jobs[1];
}

/* Whose job it is. */
static struct serial_port *line_port(struct serial_mdev *m, const struct umdev_job *job)
{
	for (uint32_t i = 0; i + 1 < m->port_count; i++) {
		if (line_way_has(&m->ports[i].rx, job) || line_way_has(&m->ports[i].tx, job))
			return &m->ports[i];
	}
	return &m->ports[m->port_count - 1];
}

/* The job's bytes have come to where they go. */
static void line_end(struct serial_mdev *m, struct umdev_job *job, uint64_t ended_ns)
{
	struct serial_port *port = line_port(m, job);

	if (line_way_has(&port->tx, job)) {
		line_tx_end(port);
		port->tx.busy = false;
	} else {
		line_rx_end(port);
		port->rx.busy = false;
	}
	line_update(port);
	if (ended_ns)
		serial_host->job_done_at(m->handle, job, ended_ns);
	else
		serial_host->job_done(m->handle, job);
	serial_settle(m);
}

static void line_expired(void *arg)
{
	struct serial_mdev *m = arg;
	struct umdev_job *job = m->on_line;

	m->on_line = NULL;
	if (job)
		line_end(m, job, m->line_end_ns);
}

void serial_job_start(void *priv, struct umdev_job *job)
{
	struct serial_mdev *m = priv;
	struct serial_port *port = line_port(m, job);
	uint64_t rate = m->parent->rate;
	uint32_t bytes;

	bytes = line_way_has(&port->tx, job) ? line_tx_begin(port) : line_rx_begin(port);
	if (rate == 0 || bytes == 0) {
		line_end(m, job, 0);
		return;
	}
	m->on_line = job;
	m->line_end_ns = serial_host->now_ns() + bytes * UINT64_C(1000000000) / rate;
	serial_host->timer(m->handle, SERIAL_TIMER_LINE, m->line_end_ns, line_expired, m);
	serial_settle(m); /* the transmitter's FIFO may be empty now */
}

void line_resume(struct serial_mdev *m)
{
	struct serial_port *port = &m->ports[m->work.carry_port];
	uint32_t moved = carry_moved(m);

	switch (m->work.carry) {
	case SERIAL_CARRY_OUT:
		line_tx_written(port, moved);
		break;
	case SERIAL_CARRY_BREAK:
		line_break_written(port->st, moved);
		break;
	default: /* nothing was moved, or in */
		line_rx_came(port, moved);
	}
	carry_end(m);
}

static void line_take_back(struct serial_mdev *m, struct serial_way *way)
{
	struct umdev_job *job = &way->jobs[way->turn];

	if (!way->busy)
		return;
	way->busy = false;
	if (serial_host->job_withdraw(m->handle, job))
		return;
	if (m->on_line == job) {
		m->on_line = NULL;
		serial_host->timer(m->handle, SERIAL_TIMER_LINE, 0, NULL, NULL);
	}
	serial_host->job_done(m->handle, job);
}

void line_stop(struct serial_port *port)
{
	line_take_back(port->mdev, &port->rx);
	line_take_back(port->mdev, &port->tx);
	port->tx_ripe = false;
}
