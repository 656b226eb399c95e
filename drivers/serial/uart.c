/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The registers and FIFOs of one 16550A.
 *
 * All state stands in the state page. Interrupts: line status, received data and modem status are
 * levels, computed from FIFO and registers; "transmitter empty" and the character timeout are
 * events that are remembered until something defined takes them back.
 */
#include <string.h>

#include "core.h"

/* A character timeout is four characters long, within these bounds. */
#define UART_TIMEOUT_MIN_NS 100000u
#define UART_TIMEOUT_MAX_NS 20000000u

static bool uart_has_fifo(const struct serial_state_port *st)
{
	return st->fcr & UART_FCR_ENABLE;
}

static uint32_t uart_depth(const struct serial_state_port *st)
{
	return uart_has_fifo(st) ? UART_FIFO : 1;
}

static uint32_t uart_trigger(const struct serial_state_port *st)
{
	static const uint8_t levels[] = {1, 4, 8, 14};

	return uart_has_fifo(st) ? levels[st->fcr >> 6] : 1;
}

/* Errors of the character that is read next, and the overrun. */
static uint8_t uart_errors(const struct serial_state_port *st)
{
	return st->overrun | (st->rx_count ? st->rx_error[st->rx_head] : 0);
}

uint8_t uart_iir(const struct serial_state_port *st)
{
	uint8_t fifo = uart_has_fifo(st) ? UART_IIR_FIFO : 0;

	if (st->ier & UART_IER_RLSI && uart_errors(st))
		return UART_IIR_RLSI | fifo;
	if (st->ier & UART_IER_RDI && st->rx_count >= uart_trigger(st))
		return UART_IIR_RDI | fifo;
	if (st->ier & UART_IER_RDI && st->pending & SERIAL_PENDING_TIMEOUT)
		return UART_IIR_TIMEOUT | fifo;
	if (st->ier & UART_IER_THRI && st->pending & SERIAL_PENDING_THRE)
		return UART_IIR_THRI | fifo;
	if (st->ier & UART_IER_MSI && st->msr & UART_MSR_DELTA)
		return UART_IIR_MSI | fifo;
	return UART_IIR_NONE | fifo;
}

/* ---- Receiver ---- */

uint32_t uart_rx_room(const struct serial_state_port *st)
{
	uint32_t depth = uart_depth(st);

	return st->rx_count < depth ? depth - st->rx_count : 0;
}

void uart_rx_push(struct serial_state_port *st, uint8_t byte, uint8_t error)
{
	uint32_t at = (st->rx_head + st->rx_count) % UART_FIFO;

	if (uart_rx_room(st) == 0) {
		st->overrun = UART_LSR_OE;
		st->overruns++;
		return;
	}
	st->rx[at] = byte;
	st->rx_error[at] = error;
	st->rx_count++;
}

static void uart_rx_clear(struct serial_state_port *st)
{
	st->rx_head = 0;
	st->rx_count = 0;
	st->pending &= (uint8_t)~SERIAL_PENDING_TIMEOUT;
}

static void uart_idle_expired(void *arg)
{
	struct serial_mdev *m = arg;
	uint64_t now_ns = serial_host->now_ns();

	m->idle_armed_ns = 0;
	for (uint32_t i = 0; i < m->port_count; i++) {
		if (m->ports[i].idle_ns == 0 || m->ports[i].idle_ns > now_ns)
			continue;
		m->ports[i].idle_ns = 0;
		m->ports[i].st->pending |= SERIAL_PENDING_TIMEOUT;
	}
	if (m->service_ns && m->service_ns <= now_ns) {
		m->service_ns = 0;
		serial_rest(m, now_ns);
	}
	if (m->rest_ns && m->rest_ns <= now_ns) {
		m->rest_ns = 0;
		for (uint32_t i = 0; i < m->port_count; i++)
			line_update(&m->ports[i]);
	}
	uart_idle_arm(m);
	serial_settle(m);
}

/* A timer that is due too early finds that out by itself: it is not moved for every character. */
void uart_idle_arm(struct serial_mdev *m)
{
	uint64_t first_ns = m->service_ns;

	if (m->rest_ns && (first_ns == 0 || m->rest_ns < first_ns))
		first_ns = m->rest_ns;

	for (uint32_t i = 0; i < m->port_count; i++) {
		uint64_t at_ns = m->ports[i].idle_ns;

		if (at_ns && (first_ns == 0 || at_ns < first_ns))
			first_ns = at_ns;
	}
	if (first_ns == 0 || (m->idle_armed_ns && m->idle_armed_ns <= first_ns))
		return;
	m->idle_armed_ns = first_ns;
	serial_host->timer(m->handle, SERIAL_TIMER_IDLE, first_ns, uart_idle_expired, m);
}

void uart_rx_quiet(struct serial_port *port)
{
	port->idle_ns = 0;
}

static uint32_t uart_divisor(const struct serial_state_port *st)
{
	return (uint32_t)st->dlm << 8 | st->dll;
}

void uart_rx_changed(struct serial_port *port)
{
	struct serial_state_port *st = port->st;
	/* Four characters of ten bits. */
	uint64_t wait_ns = uart_divisor(st) * 40 * UINT64_C(1000000000) / UART_BAUD_BASE;

	if (wait_ns < UART_TIMEOUT_MIN_NS)
		wait_ns = UART_TIMEOUT_MIN_NS;
	if (wait_ns > UART_TIMEOUT_MAX_NS)
		wait_ns = UART_TIMEOUT_MAX_NS;
	st->pending &= (uint8_t)~SERIAL_PENDING_TIMEOUT;
	uart_rx_quiet(port);
	if (!uart_has_fifo(st) || st->rx_count == 0)
		return;
	port->idle_ns = serial_host->now_ns() + wait_ns;
	uart_idle_arm(port->mdev);
}

static uint8_t uart_read_rbr(struct serial_port *port)
{
	struct serial_state_port *st = port->st;
	uint8_t byte = st->rx[st->rx_head]; /* of an empty one: what was there last */

	if (st->rx_count == 0)
		return byte;
	st->rx_head = (st->rx_head + 1) % UART_FIFO;
	st->rx_count--;
	uart_rx_changed(port);
	line_update(port);
	return byte;
}

/* ---- Transmitter ---- */

void uart_tx_shift(struct serial_state_port *st)
{
	if (st->tx_count == 0)
		return;
	for (uint32_t i = 0; i < st->tx_count; i++)
		st->tx_wire[i] = st->tx[(st->tx_head + i) % UART_FIFO];
	st->tx_wire_count = st->tx_count;
	st->tx_head = 0;
	st->tx_count = 0;
	st->pending |= SERIAL_PENDING_THRE;
}

static void uart_tx_clear(struct serial_port *port)
{
	struct serial_state_port *st = port->st;

	if (st->tx_count > 0)
		st->pending |= SERIAL_PENDING_THRE;
	st->tx_head = 0;
	st->tx_count = 0;
	port->tx_ripe = false;
}

static void uart_write_thr(struct serial_port *port, uint8_t byte)
{
	struct serial_state_port *st = port->st;
	uint32_t depth = uart_depth(st);

	st->pending &= (uint8_t)~SERIAL_PENDING_THRE;
	if (st->mcr & UART_MCR_LOOP) {
		uart_rx_push(st, byte, 0);
		uart_rx_changed(port);
		st->pending |= SERIAL_PENDING_THRE;
		return;
	}
	if (st->tx_count < depth)
		st->tx_count++;
	/* A guest that does not look whether there is room loses the last one, as on the chip. */
	st->tx[(st->tx_head + st->tx_count - 1u) % UART_FIFO] = byte;
	if (st->tx_count == depth)
		line_flush(port);
	else
		line_gather(port);
}

/* ---- Control ---- */

void uart_lines_update(struct serial_port *port)
{
	struct serial_state_port *st = port->st;
	uint8_t lines = 0;
	uint8_t changed;

	if (st->mcr & UART_MCR_LOOP) {
		lines |= st->mcr & UART_MCR_RTS ? UART_MSR_CTS : 0;
		lines |= st->mcr & UART_MCR_DTR ? UART_MSR_DSR : 0;
		lines |= st->mcr & UART_MCR_OUT1 ? UART_MSR_RI : 0;
		lines |= st->mcr & UART_MCR_OUT2 ? UART_MSR_DCD : 0;
	} else if (port->peer != SERIAL_PEER_NONE) {
		lines = UART_MSR_CTS | UART_MSR_DSR | UART_MSR_DCD;
	}
	changed = (st->msr ^ lines) & UART_MSR_LINES;
	st->msr = (st->msr & UART_MSR_DELTA) | lines;
	st->msr |= changed & UART_MSR_CTS ? UART_MSR_DCTS : 0;
	st->msr |= changed & UART_MSR_DSR ? UART_MSR_DDSR : 0;
	st->msr |= changed & ~lines & UART_MSR_RI ? UART_MSR_TERI : 0;
	st->msr |= changed & UART_MSR_DCD ? UART_MSR_DDCD : 0;
}

static void uart_write_ier(struct serial_state_port *st, uint8_t value)
{
	uint8_t changed = st->ier ^ (value & UART_IER_MASK);

	st->ier = value & UART_IER_MASK;
	if (!(changed & UART_IER_THRI))
		return;
	/* Enabled while the transmitter is empty it comes at once, however often. */
	if (st->ier & UART_IER_THRI && st->tx_count == 0)
		st->pending |= SERIAL_PENDING_THRE;
	else
		st->pending &= (uint8_t)~SERIAL_PENDING_THRE;
}

static void uart_write_fcr(struct serial_port *port, uint8_t value)
{
	struct serial_state_port *st = port->st;
	bool toggled = (st->fcr ^ value) & UART_FCR_ENABLE;

	if (value & UART_FCR_CLEAR_RX || toggled) {
		uart_rx_clear(st);
		uart_rx_changed(port);
	}
	if (value & UART_FCR_CLEAR_TX || toggled)
		uart_tx_clear(port);
	st->fcr = value & UART_FCR_ENABLE ? value & UART_FCR_KEPT : 0;
	line_update(port);
}

static void uart_write_lcr(struct serial_port *port, uint8_t value)
{
	struct serial_state_port *st = port->st;
	uint8_t risen = (uint8_t)(value & ~st->lcr);
	uint8_t fallen = (uint8_t)(st->lcr & ~value);

	st->lcr = value;
	if (fallen & UART_LCR_DLAB)
		backend_speed(port);
	if (!(risen & UART_LCR_BREAK))
		return;
	if (st->mcr & UART_MCR_LOOP) {
		uart_rx_push(st, 0, UART_LSR_BI);
		uart_rx_changed(port);
		return;
	}
	st->break_queued = 1;
	line_update(port);
}

static void uart_write_mcr(struct serial_port *port, uint8_t value)
{
	port->st->mcr = value & UART_MCR_MASK;
	uart_lines_update(port);
	line_update(port);
}

static uint8_t uart_read_lsr(struct serial_port *port)
{
	struct serial_state_port *st = port->st;
	uint8_t lsr = uart_errors(st);

	if (st->rx_count > 0)
		lsr |= UART_LSR_DR;
	for (uint32_t i = 0; uart_has_fifo(st) && i < st->rx_count; i++)
		lsr |= st->rx_error[(st->rx_head + i) % UART_FIFO] ? UART_LSR_FIFO : 0;
	lsr |= st->tx_count == 0 ? UART_LSR_THRE : 0;
	lsr |= st->tx_count + st->tx_wire_count + st->break_queued == 0 ? UART_LSR_TEMT : 0;
	st->overrun = 0;
	if (st->rx_count > 0)
		st->rx_error[st->rx_head] = 0;
	/* It waits for that, perhaps. What may come in by it was not told of above. */
	if (st->tx_count > 0)
		line_flush(port);
	return lsr;
}

static uint8_t uart_read_iir(struct serial_port *port)
{
	struct serial_state_port *st = port->st;
	uint8_t iir = uart_iir(st);

	serial_irq_served(port->mdev, !(iir & UART_IIR_NONE));

	if ((iir & ~UART_IIR_FIFO) == UART_IIR_THRI)
		st->pending &= (uint8_t)~SERIAL_PENDING_THRE;
	return iir;
}

static uint8_t uart_read_msr(struct serial_state_port *st)
{
	uint8_t msr = st->msr;

	st->msr &= UART_MSR_LINES;
	return msr;
}

uint8_t uart_read(struct serial_port *port, uint32_t reg)
{
	struct serial_state_port *st = port->st;
	bool dlab = st->lcr & UART_LCR_DLAB;

	switch (reg) {
	case UART_RBR:
		return dlab ? st->dll : uart_read_rbr(port);
	case UART_IER:
		return dlab ? st->dlm : st->ier;
	case UART_IIR:
		return uart_read_iir(port);
	case UART_LCR:
		return st->lcr;
	case UART_MCR:
		return st->mcr;
	case UART_LSR:
		return uart_read_lsr(port);
	case UART_MSR:
		return uart_read_msr(st);
	default:
		return st->scr;
	}
}

void uart_write(struct serial_port *port, uint32_t reg, uint8_t value)
{
	struct serial_state_port *st = port->st;
	bool dlab = st->lcr & UART_LCR_DLAB;

	switch (reg) {
	case UART_THR:
		if (dlab)
			st->dll = value;
		else
			uart_write_thr(port, value);
		break;
	case UART_IER:
		if (dlab)
			st->dlm = value;
		else
			uart_write_ier(st, value);
		break;
	case UART_FCR:
		uart_write_fcr(port, value);
		break;
	case UART_LCR:
		uart_write_lcr(port, value);
		break;
	case UART_MCR:
		uart_write_mcr(port, value);
		break;
	case UART_SCR:
		st->scr = value;
		break;
	default: /* LSR and MSR are the chip's to write */
		break;
	}
}

void uart_resume(struct serial_port *port)
{
	if (!(port->st->pending & SERIAL_PENDING_TIMEOUT))
		uart_rx_changed(port);
	port->tx_ripe = port->st->tx_count > 0;
	backend_speed(port);
}

void uart_reset(struct serial_state_port *st)
{
	struct serial_state_port fresh = {
		.dll = 1, /* 115200 baud, the least surprising of what the data sheet leaves open */
		.msr = st->msr & UART_MSR_LINES,
		.rx_bytes = st->rx_bytes,
		.tx_bytes = st->tx_bytes,
		.lost_bytes = st->lost_bytes,
		.overruns = st->overruns,
		.breaks_in = st->breaks_in,
		.breaks_out = st->breaks_out,
	};

	*st = fresh;
}
