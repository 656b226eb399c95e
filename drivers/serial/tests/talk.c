/* SPDX-License-Identifier: BSD-3-Clause */
/* See talk.h. */
#include "talk.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define BYTES	    120 /* each way on each port */
#define CODED	    (3 * BYTES)
#define BREAK_EVERY 10

/* ---- Both ends ---- */

/* One end of a port, and the program that is at the other. */
struct end {
	uint8_t data[BYTES]; /* what the guest sends */
	uint8_t wire[CODED]; /* as the program has to see it */
	uint8_t seen[CODED + 64];
	uint8_t items[BYTES]; /* what the program sends; the guest has to see it */
	uint8_t coded[CODED]; /* as it is sent */
	uint8_t got[BYTES + 64];
	uint32_t wire_len;
	uint32_t coded_len;
	uint32_t sent;
	uint32_t fed;
	uint32_t seen_len;
	uint32_t got_len;
	uint32_t breaks_sent;
	uint32_t breaks_got;
	uint32_t breaks_fed;
	uint8_t scratch;
	uint8_t errors;
	int fd;
};

static struct end ends[SERIAL_PORTS_MAX];
static struct talk_ops guest;
static bool marks;

/* The guest breaks before each of these. */
static bool breaks_at(uint32_t i)
{
	return i % BREAK_EVERY == BREAK_EVERY / 2;
}

static uint32_t code(uint8_t byte, uint8_t *to)
{
	to[0] = byte;
	to[1] = 0xff;
	return byte == 0xff && marks ? 2 : 1;
}

static uint32_t code_break(uint8_t *to)
{
	to[0] = 0xff;
	to[1] = to[2] = 0;
	return 3;
}

static void end_fill(struct end *e)
{
	for (uint32_t i = 0; i < BYTES; i++) {
		e->data[i] = rand() % 4 ? (uint8_t)rand() : 0xff;
		e->items[i] = rand() % 4 ? (uint8_t)rand() : 0xff;
		if (marks && breaks_at(i)) {
			e->wire_len += code_break(e->wire + e->wire_len);
			e->coded_len += code_break(e->coded + e->coded_len);
			e->breaks_fed++;
		}
		e->wire_len += code(e->data[i], e->wire + e->wire_len);
		e->coded_len += code(e->items[i], e->coded + e->coded_len);
	}
}

static void end_program(struct end *e)
{
	uint32_t some = 1 + (uint32_t)rand() % 24;
	struct pollfd p = {.fd = e->fd, .events = POLLIN};
	ssize_t n;

	if (some > e->coded_len - e->fed)
		some = e->coded_len - e->fed;
	if (some > 0 && rand() % 2)
		e->fed += peer_send(e->fd, e->coded + e->fed, some);
	if (poll(&p, 1, 0) <= 0)
		return;
	n = read(e->fd, e->seen + e->seen_len, sizeof(e->seen) - e->seen_len);
	if (n > 0)
		e->seen_len += (uint32_t)n;
}

void talk_programs(void)
{
	end_program(&ends[rand() % SERIAL_PORTS_MAX]);
}

/* ---- The guest: it does nothing unless an interrupt asks for it ---- */

static uint8_t in(uint32_t port, uint32_t reg)
{
	return guest.access(port, reg, false, 0xee);
}

static void out(uint32_t port, uint32_t reg, uint8_t value)
{
	(void)guest.access(port, reg, true, value);
}

/* The line status, with the errors of the next character that it was told before. */
static uint8_t guest_looks(uint32_t port, struct end *e)
{
	uint8_t lsr = in(port, UART_LSR);

	e->errors |= lsr & UART_LSR_ERROR;
	return lsr | e->errors;
}

static void guest_reads(uint32_t port, struct end *e)
{
	uint8_t lsr;

	while ((lsr = guest_looks(port, e)) & UART_LSR_DR) {
		uint8_t byte = in(port, UART_RBR);

		e->errors = 0;
		assert_int_equal(lsr & (UART_LSR_OE | UART_LSR_PE), 0);
		if (lsr & UART_LSR_BI) {
			assert_int_equal(byte, 0);
			e->breaks_got++;
		} else {
			assert_true(e->got_len < sizeof(e->got));
			e->got[e->got_len++] = byte;
		}
	}
}

static void guest_writes(uint32_t port, struct end *e)
{
	uint32_t room = 1 + (uint32_t)rand() % UART_FIFO;

	while (room-- > 0 && e->sent < BYTES) {
		uint32_t breaks_due = (e->sent + BREAK_EVERY / 2) / BREAK_EVERY;

		if (marks && breaks_at(e->sent) && e->breaks_sent < breaks_due) {
			/* All before it has to be gone. */
			if (!(guest_looks(port, e) & UART_LSR_TEMT))
				break;
			out(port, UART_LCR, 0x43);
			out(port, UART_LCR, 0x03);
			e->breaks_sent++;
			break;
		}
		if (marks && breaks_at(e->sent) && !(guest_looks(port, e) & UART_LSR_TEMT))
			break;
		out(port, UART_THR, e->data[e->sent++]);
	}
}

static void guest_serves(uint32_t port, struct end *e)
{
	uint8_t iir;
	uint8_t msr;

	while (!((iir = in(port, UART_IIR)) & UART_IIR_NONE)) {
		switch (iir & ~UART_IIR_FIFO) {
		case UART_IIR_THRI:
			guest_writes(port, e);
			break;
		case UART_IIR_MSI:
			fail_msg("the carrier changed");
			break;
		default:
			guest_reads(port, e);
		}
	}
	msr = in(port, UART_MSR);
	assert_int_equal(msr, UART_MSR_CTS | UART_MSR_DSR | UART_MSR_DCD);
	assert_int_equal(in(port, UART_SCR), e->scratch);
	out(port, UART_SCR, ++e->scratch);
}

/* A break leaves no interrupt behind: its end is looked for, by asking anew for an empty
 * transmitter. */
static void guest_nudges(uint32_t port, const struct end *e)
{
	if (!breaks_at(e->sent))
		return;
	out(port, UART_IER, UART_IER_RDI | UART_IER_RLSI | UART_IER_MSI);
	out(port, UART_IER, UART_IER_MASK);
}

void talk_guest(void)
{
	uint32_t stuck = 0;

	while (guest.level()) {
		for (uint32_t port = 0; port < SERIAL_PORTS_MAX; port++)
			guest_serves(port, &ends[port]);
		assert_true(stuck++ < 1000);
	}
	for (uint32_t port = 0; marks && port < SERIAL_PORTS_MAX; port++)
		guest_nudges(port, &ends[port]);
}

/* ---- All of it ---- */

static bool end_done(const struct end *e)
{
	return e->sent == BYTES && e->seen_len >= e->wire_len && e->got_len >= BYTES;
}

static void end_check(const struct end *e, uint32_t port)
{
	const struct serial_state_port *st = fake_port(port);

	assert_int_equal(e->seen_len, e->wire_len);
	assert_memory_equal(e->seen, e->wire, e->wire_len);
	assert_int_equal(e->got_len, BYTES);
	assert_memory_equal(e->got, e->items, BYTES);
	assert_int_equal(e->breaks_got, e->breaks_fed);
	assert_int_equal(st->rx_bytes, BYTES);
	assert_int_equal(st->tx_bytes, BYTES);
	assert_int_equal(st->overruns + st->lost_bytes, 0);
	assert_int_equal(st->breaks_in, e->breaks_fed);
	assert_int_equal(st->breaks_out, e->breaks_sent);
}

void talk_begin(const struct fake_options *options, const struct talk_ops *ops)
{
	guest = *ops;
	marks = options->breaks == SERIAL_BREAKS_MARKS;
	memset(ends, 0, sizeof(ends));
	fake_up(options);
	for (uint32_t port = 0; port < SERIAL_PORTS_MAX; port++) {
		end_fill(&ends[port]);
		ends[port].fd = peer_open(port);
		guest_open(port);
		(void)guest_in(port, UART_MSR);
		guest_out(port, UART_SCR, 0);
		guest_out(port, UART_IER, UART_IER_MASK);
	}
}

bool talk_done(void)
{
	return end_done(&ends[0]) && end_done(&ends[1]);
}

void talk_stuck(void)
{
	const struct end *e = &ends[end_done(&ends[0])];

	fail_msg("sent %u, seen %u of %u, fed %u of %u, got %u", e->sent, e->seen_len, e->wire_len,
		 e->fed, e->coded_len, e->got_len);
}

void talk_end(void)
{
	for (uint32_t port = 0; port < SERIAL_PORTS_MAX; port++) {
		end_program(&ends[port]);
		end_check(&ends[port], port);
		close(ends[port].fd);
	}
}
