/* SPDX-License-Identifier: BSD-3-Clause */
/* Between the FIFOs and a program on this machine: nothing is lost, whoever is slow. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_host.h"

#define MUCH 65536u

static const struct fake_options by_unix = {.backend = SERIAL_BACKEND_UNIX};
static const struct fake_options by_pty = {.backend = SERIAL_BACKEND_PTY};
static const struct fake_options marked = {.backend = SERIAL_BACKEND_UNIX,
					   .breaks = SERIAL_BREAKS_MARKS};
static const struct fake_options *const both[] = {&by_unix, &by_pty};

#define LINES (UART_MSR_CTS | UART_MSR_DSR | UART_MSR_DCD)

static struct serial_state_port *port0(void)
{
	return fake_port(0);
}

static void fill(uint8_t *data, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
}

/* Bytes of every value arrive as they were, in both directions. */
static void test_transparent(void **state)
{
	uint8_t sent[256];
	uint8_t got[256];

	for (uint32_t b = 0; b < 2; b++) {
		int fd;

		fake_up(both[b]);
		fd = peer_open(0);
		guest_open(0);
		for (uint32_t i = 0; i < 256; i++)
			sent[i] = (uint8_t)i;
		assert_int_equal(guest_send(0, sent, 256), 256);
		assert_int_equal(peer_receive(fd, got, 256), 256);
		assert_memory_equal(sent, got, 256);
		memset(got, 0, sizeof(got));
		assert_int_equal(peer_send(fd, sent, 256), 256);
		for (uint32_t n = 0; n < 256;) {
			n += guest_receive(0, got + n, 256 - n);
			fake_settle();
		}
		assert_memory_equal(sent, got, 256);
		assert_int_equal(port0()->tx_bytes, 256);
		assert_int_equal(port0()->rx_bytes, 256);
		close(fd);
		fake_settle();
		fake_down();
	}
}

/* A few characters do not wait for more, and none is said to be sent before it is. */
static void test_gathered(void **state)
{
	uint8_t got[4];
	int fd;

	fake_up(&by_unix);
	fd = peer_open(0);
	guest_open(0);
	guest_out(0, UART_IER, UART_IER_THRI);
	(void)guest_in(0, UART_IIR);
	(void)guest_in(0, UART_IIR);
	guest_out(0, UART_THR, 'a');
	guest_out(0, UART_THR, 'b');
	fake_settle();
	assert_false(fake.level);
	assert_int_equal(peer_receive(fd, got, 1), 0);
	fake_pass(500000);
	assert_true(fake.level);
	assert_int_equal(peer_receive(fd, got, 2), 2);
	assert_int_equal(fake.jobs, 1);
	/* A guest that looks whether it is sent does not wait. */
	guest_out(0, UART_THR, 'c');
	assert_int_equal(guest_in(0, UART_LSR) & UART_LSR_THRE, 0);
	fake_settle();
	assert_int_equal(guest_in(0, UART_LSR) & UART_LSR_THRE, UART_LSR_THRE);
	assert_int_equal(peer_receive(fd, got, 1), 1);
	close(fd);
	fake_settle();
	fake_down();
}

/* A program that does not read: the guest waits, holds nothing up, and loses nothing. */
static void test_slow_program(void **state)
{
	uint8_t *sent = malloc(MUCH * 16);
	uint8_t *got = malloc(MUCH * 16);

	for (uint32_t b = 0; b < 2; b++) {
		uint32_t out = 0;
		uint32_t in = 0;
		int fd;

		fake_up(both[b]);
		fd = peer_open(0);
		guest_open(0);
		fill(sent, MUCH * 16);
		out = guest_send(0, sent, MUCH * 16);
		assert_in_range(out, 1000, MUCH * 16 - 1); /* it was held */
		fake_pass(1000000000);
		assert_int_equal(guest_in(0, UART_LSR) & (UART_LSR_THRE | UART_LSR_TEMT), 0);
		assert_int_equal(fake.queued + fake.started, 0);
		for (uint32_t rounds = 0; in < MUCH * 4 && rounds < 100000; rounds++) {
			in += peer_receive_some(fd, got + in, 4096);
			fake_settle();
			out += guest_send(0, sent + out, MUCH * 16 - out);
		}
		assert_true(in >= MUCH * 4);
		assert_memory_equal(sent, got, in);
		assert_int_equal(port0()->lost_bytes, 0);
		close(fd);
		fake_settle();
		fake_down();
	}
	free(sent);
	free(got);
}

/* What a guest throws away while it was held does not hold what it writes later. */
static void test_cleared_while_held(void **state)
{
	static uint8_t much[1 << 20];
	int fd;

	fake_up(&by_unix);
	fd = peer_open(0);
	guest_open(0);
	assert_in_range(guest_send(0, much, sizeof(much)), 1, sizeof(much) - 1);
	guest_out(0, UART_FCR, 0x85);
	while (peer_receive(fd, much, sizeof(much)) > 0)
		fake_settle();
	guest_out(0, UART_THR, 'a');
	fake_pass(1000000);
	assert_int_equal(peer_receive(fd, much, 1), 1);
	assert_int_equal(much[0], 'a');
	close(fd);
	fake_settle();
	fake_down();
}

/* A guest that does not read, and one with RTS down: the program waits, nothing runs over. */
static void test_slow_guest(void **state)
{
	uint8_t *sent = malloc(MUCH * 16);
	uint8_t *got = malloc(MUCH * 16);

	for (uint32_t b = 0; b < 2; b++) {
		uint32_t out = 0;
		uint32_t in = 0;
		uint32_t held;
		int fd;

		fake_up(both[b]);
		fd = peer_open(0);
		guest_open(0);
		guest_out(0, UART_MCR, UART_MCR_DTR);
		fill(sent, MUCH * 16);
		out = peer_send(fd, sent, MUCH * 16);
		fake_pass(10000000);
		assert_int_equal(guest_in(0, UART_LSR) & UART_LSR_DR, 0);
		guest_out(0, UART_MCR, UART_MCR_DTR | UART_MCR_RTS);
		fake_pass(10000000);
		out += peer_send(fd, sent + out, MUCH * 16 - out);
		assert_in_range(out, 1000, MUCH * 16 - 1);
		assert_int_equal(port0()->rx_count + port0()->rx_wire_count, 2 * UART_FIFO);
		fake_pass(1000000000);
		assert_int_equal(fake.queued + fake.started, 0);
		for (uint32_t rounds = 0; in < out && rounds < 200000; rounds++) {
			in += guest_receive(0, got + in, 8);
			if (rounds % 3 == 0) { /* down in between: nothing comes */
				guest_out(0, UART_MCR, UART_MCR_DTR);
				held = port0()->rx_count + port0()->rx_wire_count;
				fake_settle();
				assert_int_equal(port0()->rx_count + port0()->rx_wire_count, held);
				guest_out(0, UART_MCR, UART_MCR_DTR | UART_MCR_RTS);
			}
			fake_settle();
		}
		assert_int_equal(in, out);
		assert_memory_equal(sent, got, in);
		assert_int_equal(port0()->overruns, 0);
		close(fd);
		fake_settle();
		fake_down();
	}
	free(sent);
	free(got);
}

/* A handler comes to an end, and the guest to itself, however much there is to come. */
static void test_handler_ends(void **state)
{
	static const uint8_t much[256];
	int fd;

	fake_up(&by_unix);
	fd = peer_open(0);
	guest_open(0);
	guest_out(0, UART_IER, UART_IER_RDI);
	assert_int_equal(peer_send(fd, much, sizeof(much)), sizeof(much));
	fake_settle();
	for (uint32_t burst = 0; burst < sizeof(much) / UART_FIFO; burst++) {
		assert_true(fake.level);
		assert_int_equal(guest_in(0, UART_IIR) & 0x0f, UART_IIR_RDI);
		for (uint32_t i = 0; i < UART_FIFO; i++) {
			assert_int_equal(guest_in(0, UART_LSR) & UART_LSR_DR, UART_LSR_DR);
			(void)guest_in(0, UART_RBR);
			fake_pass(50000);
		}
		assert_int_equal(guest_in(0, UART_LSR) & UART_LSR_DR, 0);
		assert_int_equal(guest_in(0, UART_IIR) & 0x0f, UART_IIR_NONE);
		fake_pass(399999);
		assert_int_equal(guest_in(0, UART_LSR) & UART_LSR_DR, 0);
		assert_false(fake.level);
		fake_pass(1);
	}
	assert_false(fake.level);
	close(fd);
	fake_settle();
	fake_down();
}

/* Carrier: whether somebody is there. What he sent is delivered before it falls. */
static void test_carrier(void **state)
{
	for (uint32_t b = 0; b < 2; b++) {
		uint8_t got[64];
		int fd;

		fake_up(both[b]);
		guest_open(0);
		assert_int_equal(guest_in(0, UART_MSR) & LINES, 0);
		guest_out(0, UART_IER, UART_IER_MSI);
		fd = peer_open(0);
		assert_true(fake.level);
		assert_int_equal(guest_in(0, UART_IIR) & 0x0f, UART_IIR_MSI);
		assert_int_equal(guest_in(0, UART_MSR),
				 LINES | UART_MSR_DCTS | UART_MSR_DDSR | UART_MSR_DDCD);
		assert_int_equal(guest_in(0, UART_IIR) & 0x0f, UART_IIR_NONE);
		assert_false(fake.level);
		assert_int_equal(peer_send(fd, "the rest of what there was", 26), 26);
		close(fd);
		fake_settle();
		assert_int_equal(guest_in(0, UART_MSR) & LINES, LINES);
		for (uint32_t n = 0; n < 26;) {
			n += guest_receive(0, got + n, 26 - n);
			fake_settle();
		}
		assert_memory_equal(got, "the rest of what there was", 26);
		fake_pass(1000000000);
		assert_int_equal(guest_in(0, UART_MSR) & LINES, 0);
		/* The next one. */
		fd = peer_open(0);
		assert_int_equal(guest_in(0, UART_MSR) & LINES, LINES);
		close(fd);
		fake_settle();
		fake_pass(1000000000);
		assert_int_equal(guest_in(0, UART_MSR) & LINES, 0);
		fake_down();
	}
}

/* With nobody there a guest sends into the void at once, and that is counted. */
static void test_nobody(void **state)
{
	uint8_t got[32];
	int fd;

	for (uint32_t b = 0; b < 2; b++) {
		fake_up(both[b]);
		guest_open(0);
		assert_int_equal(guest_send(0, "0123456789012345678", 19), 19);
		fake_pass(1000000);
		assert_int_equal(guest_in(0, UART_LSR) & UART_LSR_TEMT, UART_LSR_TEMT);
		assert_int_equal(port0()->lost_bytes, 19);
		assert_int_equal(port0()->tx_bytes, 0);
		fd = peer_open(0);
		assert_int_equal(guest_send(0, "here", 4), 4);
		assert_int_equal(peer_receive(fd, got, sizeof(got)), 4);
		assert_memory_equal(got, "here", 4);
		close(fd);
		fake_settle();
		fake_down();
	}
}

/* Somebody who comes and goes before anybody looked has said what he said. */
static void test_short_visit(void **state)
{
	uint8_t got[8];

	for (uint32_t looked = 0; looked < 2; looked++) {
		int fd;

		fake.no_inotify = looked;
		fake_up(&by_pty);
		guest_open(0);
		fd = open(peer_path(0), O_RDWR | O_NOCTTY);
		assert_int_equal(write(fd, "hello", 5), 5);
		close(fd);
		fake_pass(1000000000);
		assert_int_equal(guest_receive(0, got, sizeof(got)), 5);
		assert_memory_equal(got, "hello", 5);
		fake_down();
	}
}

/* One connection at a time; the next has its turn. */
static void test_one_connection(void **state)
{
	uint8_t got[8];
	int first;
	int second;

	fake_up(&by_unix);
	guest_open(0);
	first = peer_open(0);
	second = peer_open(0);
	assert_int_equal(peer_send(second, "2", 1), 1);
	assert_int_equal(peer_send(first, "1", 1), 1);
	fake_pass(1000000);
	assert_int_equal(guest_receive(0, got, sizeof(got)), 1);
	assert_int_equal(got[0], '1');
	close(first);
	fake_pass(1000000);
	assert_int_equal(guest_receive(0, got, sizeof(got)), 1);
	assert_int_equal(got[0], '2');
	/* Who has said all still hears the answer. */
	assert_int_equal(shutdown(second, SHUT_WR), 0);
	fake_pass(1000000);
	assert_int_equal(guest_send(0, "answer", 6), 6);
	assert_int_equal(peer_receive(second, got, 6), 6);
	assert_memory_equal(got, "answer", 6);
	assert_int_equal(guest_in(0, UART_MSR) & LINES, LINES);
	close(second);
	fake_pass(1000000);
	assert_int_equal(guest_in(0, UART_MSR) & LINES, 0);
	fake_down();
}

/* Without marks a break is counted, and every byte is a character. */
static void test_break_dropped(void **state)
{
	uint8_t got[8];
	int fd;

	fake_up(&by_unix);
	fd = peer_open(0);
	guest_open(0);
	guest_out(0, UART_LCR, UART_LCR_BREAK | 3);
	fake_pass(1000000);
	guest_out(0, UART_LCR, 3);
	assert_int_equal(port0()->breaks_out, 1);
	assert_int_equal(guest_send(0, "\xff", 1), 1);
	assert_int_equal(peer_receive(fd, got, 8), 1);
	assert_int_equal(got[0], 0xff);
	assert_int_equal(peer_send(fd, "\xff\0\0", 3), 3);
	fake_pass(1000000);
	assert_int_equal(guest_receive(0, got, 8), 3);
	assert_int_equal(port0()->breaks_in, 0);
	close(fd);
	fake_settle();
	fake_down();
}

/* With marks it goes both ways, in its place, however the bytes are cut. */
static void test_break_marked(void **state)
{
	static const char in[] = "a\xff\xff"
				 "b\xff\0\0c\xff\0xd";
	uint8_t got[16];
	int fd;

	fake_up(&marked);
	fd = peer_open(0);
	guest_open(0);
	assert_int_equal(guest_send(0, "x\xffy", 3), 3);
	guest_out(0, UART_LCR, UART_LCR_BREAK | 3);
	fake_pass(1000000);
	guest_out(0, UART_LCR, 3);
	assert_int_equal(guest_send(0, "z", 1), 1);
	assert_int_equal(peer_receive(fd, got, 8), 8);
	assert_memory_equal(got, "x\xff\xffy\xff\0\0z", 8);
	assert_int_equal(port0()->tx_bytes, 4);
	assert_int_equal(port0()->breaks_out, 1);

	guest_out(0, UART_IER, UART_IER_RLSI);
	for (uint32_t i = 0; i < sizeof(in) - 1; i++) {
		assert_int_equal(peer_send(fd, in + i, 1), 1);
		fake_pass(100000);
	}
	assert_int_equal(guest_receive(0, got, 3), 3);
	assert_memory_equal(got,
			    "a\xff"
			    "b",
			    3);
	assert_true(fake.level);
	assert_int_equal(guest_in(0, UART_IIR) & 0x0f, UART_IIR_RLSI);
	assert_int_equal(guest_in(0, UART_LSR) & UART_LSR_ERROR, UART_LSR_BI);
	assert_int_equal(guest_in(0, UART_RBR), 0);
	assert_int_equal(guest_in(0, UART_RBR), 'c');
	assert_int_equal(guest_in(0, UART_LSR) & UART_LSR_ERROR, UART_LSR_PE);
	assert_int_equal(guest_in(0, UART_RBR), 'x');
	assert_int_equal(guest_in(0, UART_RBR), 'd');
	assert_int_equal(port0()->breaks_in, 1);
	close(fd);
	fake_settle();
	fake_down();
}

/* A receiver that takes a byte now and then cuts marks in pieces; none is torn. */
static void test_marks_in_pieces(void **state)
{
	uint8_t sent[2048];
	uint8_t *got = malloc(MUCH * 4);
	uint32_t in = 0;
	uint32_t total = 0;
	int small = 1;
	int fd;

	fake_up(&marked);
	fd = peer_open(0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	guest_open(0);
	memset(sent, 0xff, sizeof(sent));
	for (uint32_t round = 0; round < 40; round++)
		total += guest_send(0, sent, sizeof(sent));
	for (uint32_t quiet = 0; quiet < 3;) {
		uint32_t n = peer_receive(fd, got + in, 1 + in % 3);

		in += n;
		quiet = n ? 0 : quiet + 1;
		fake_settle();
		if (n && total < 40 * sizeof(sent) && in > MUCH * 3)
			break;
	}
	for (uint32_t i = 0; i < in; i++)
		assert_int_equal(got[i], 0xff);
	assert_true(in / 2 <= total);
	if (port0()->tx_count + port0()->tx_wire_count == 0)
		assert_int_equal(in, total * 2);
	free(got);
	close(fd);
	fake_settle();
	fake_down();
}

/* The speed that the guest sets is the terminal's. */
static void test_speed(void **state)
{
	struct termios tio;
	int fd;

	fake_up(&by_pty);
	fd = peer_open(0);
	guest_open(0);
	assert_int_equal(tcgetattr(fd, &tio), 0);
	assert_int_equal(cfgetospeed(&tio), B115200);
	guest_out(0, UART_LCR, UART_LCR_DLAB | 3);
	guest_out(0, 0, 12);
	guest_out(0, 1, 0);
	guest_out(0, UART_LCR, 3);
	assert_int_equal(tcgetattr(fd, &tio), 0);
	assert_int_equal(cfgetospeed(&tio), B9600);
	assert_int_equal(cfgetispeed(&tio), B9600);
	close(fd);
	fake_settle();
	fake_down();
}

/* Who leaves without having read is told of by an error: what was sent before comes all the same.
 */
static void test_left_unread(void **state)
{
	uint8_t got[32];
	int fd;

	fake_up(&(struct fake_options){.backend = SERIAL_BACKEND_UNIX});
	fd = peer_open(0);
	guest_open(0);
	guest_out(0, UART_MCR, UART_MCR_DTR);
	assert_int_equal(guest_send(0, "unread", 6), 6);
	assert_int_equal(peer_send(fd, "0123456789abcdefghij", 20), 20);
	close(fd);
	fake_settle();
	guest_out(0, UART_MCR, UART_MCR_DTR | UART_MCR_RTS);
	fake_settle();
	assert_int_equal(guest_receive(0, got, sizeof(got)), 20);
	assert_memory_equal(got, "0123456789abcdefghij", 20);
	fake_pass(1000000000);
	assert_int_equal(guest_in(0, UART_MSR) & UART_MSR_DCD, 0);
	fake_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transparent),	cmocka_unit_test(test_gathered),
		cmocka_unit_test(test_slow_program),	cmocka_unit_test(test_cleared_while_held),
		cmocka_unit_test(test_slow_guest),	cmocka_unit_test(test_handler_ends),
		cmocka_unit_test(test_carrier),		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_short_visit),	cmocka_unit_test(test_one_connection),
		cmocka_unit_test(test_break_dropped),	cmocka_unit_test(test_break_marked),
		cmocka_unit_test(test_marks_in_pieces), cmocka_unit_test(test_speed),
		cmocka_unit_test(test_left_unread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
