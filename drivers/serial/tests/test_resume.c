/* SPDX-License-Identifier: BSD-3-Clause */
/* Another process goes on from the state page: no byte is lost, and a damaged page is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_host.h"

static const struct fake_options pty = {.backend = SERIAL_BACKEND_PTY, .rate = 100000};

static void resume(void)
{
	fake_crash();
	fake.level = false;
	assert_int_equal(fake_create(UMDEV_STATE_RESUME), 0);
	fake_settle();
}

/* Registers and interrupts are as they were. */
static void test_registers(void **state)
{
	int fd;

	fake_up(&pty);
	fd = peer_open(0);
	guest_open(0);
	guest_out(0, UART_SCR, 0x77);
	guest_out(0, UART_IER, UART_IER_RDI | UART_IER_THRI);
	assert_true(fake.level);
	resume();
	assert_true(fake.level);
	assert_int_equal(guest_in(0, UART_IIR), UART_IIR_THRI | UART_IIR_FIFO);
	assert_int_equal(guest_in(0, UART_SCR), 0x77);
	assert_int_equal(guest_in(0, UART_MCR), UART_MCR_DTR | UART_MCR_RTS | UART_MCR_OUT2);
	/* The terminal is the same one, and its program did not notice. */
	assert_int_equal(guest_in(0, UART_MSR) & UART_MSR_DCD, UART_MSR_DCD);
	close(fd);
	fake_settle();
	fake_down();
}

/* Killed at any moment, again and again, with bytes on their way in both directions. */
static void test_bytes(void **state)
{
	uint8_t sent[1024];
	uint8_t got[2048];
	uint8_t seen[2048];
	uint32_t out = 0;
	uint32_t in = 0;
	uint32_t fed = 0;
	uint32_t read_n = 0;
	int fd;

	fake_up(&pty);
	fd = peer_open(0);
	guest_open(0);
	for (uint32_t i = 0; i < sizeof(sent); i++)
		sent[i] = (uint8_t)(i ^ i >> 3);
	for (uint32_t round = 0; round < 3000 && (in < 1024 || read_n < 1024); round++) {
		if (out < 1024 && fake.state->ports[0].tx_count < UART_FIFO)
			guest_out(0, UART_THR, sent[out++]);
		if (fed < 1024)
			fed += peer_send(fd, sent + fed, 3 < 1024 - fed ? 3 : 1024 - fed);
		fake.now_ns += 10000 * (round % 9);
		fake_turn();
		if (round % 5 == 0)
			resume();
		if (round % 2 == 0 && in < sizeof(got))
			in += guest_receive(0, got + in, 4);
		if (round % 50 == 0 && read_n < sizeof(seen))
			read_n += peer_receive(fd, seen + read_n, (uint32_t)sizeof(seen) - read_n);
	}
	assert_int_equal(in, 1024);
	assert_int_equal(read_n, 1024);
	assert_memory_equal(got, sent, 1024);
	assert_memory_equal(seen, sent, 1024);
	assert_int_equal(fake.state->ports[0].overruns, 0);
	close(fd);
	fake_settle();
	fake_down();
}

/* Each field beyond what the driver can have written. */
static void test_damaged(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
	} bad[] = {
#define FIELD(field, value) {offsetof(struct serial_state_port, field), value}
		FIELD(ier, 0x10),	  FIELD(fcr, 0x02),	    FIELD(mcr, 0x20),
		FIELD(overrun, 1),	  FIELD(pending, 4),	    FIELD(rx_head, 16),
		FIELD(rx_count, 17),	  FIELD(tx_head, 16),	    FIELD(tx_count, 17),
		FIELD(tx_count, 2),	  FIELD(rx_count, 2),	    FIELD(tx_written, 3),
		FIELD(break_queued, 2),	  FIELD(mark, 3),	    FIELD(rx_wire_count, 17),
		FIELD(tx_wire_count, 17), FIELD(rx_error[3], 0x20), FIELD(rx_wire_error[15], 0x80),
	};

	fake_up(&pty);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		for (uint32_t port = 0; port < SERIAL_PORTS_MAX; port++) {
			struct serial_state good;

			fake_crash();
			good = *fake.state;
			((uint8_t *)&fake.state->ports[port])[bad[i].at] = bad[i].value;
			assert_int_equal(fake_create(UMDEV_STATE_RESUME), -EBADMSG);
			assert_non_null(strstr(fake.failed, "is damaged"));
			*fake.state = good;
			assert_int_equal(fake_create(UMDEV_STATE_RESUME), 0);
		}
	}
	fake_down();
}

/* Any page that is accepted can be worked with. */
static void test_any_page(void **state)
{
	unsigned seed = 4711;
	uint32_t accepted = 0;

	fake_up(&(struct fake_options){.backend = SERIAL_BACKEND_UNIX, .type = 1, .breaks = 1});
	for (uint32_t round = 0; round < 3000; round++) {
		uint8_t *bytes = (uint8_t *)fake.state;
		int fd;

		fake_crash();
		memset(bytes, 0, sizeof(*fake.state));
		for (uint32_t p = 0; p < SERIAL_PORTS_MAX; p++) {
			uint8_t *st = (uint8_t *)&fake.state->ports[p];

			for (uint32_t i = 0; i < offsetof(struct serial_state_port, rx_bytes); i++)
				st[i] = (uint8_t)rand_r(&seed) & (rand_r(&seed) % 4 ? 0x0f : 0xff);
			/* Most of what is random is refused at once. */
			if (round % 8) {
				st[offsetof(struct serial_state_port, fcr)] = 0xc1;
				st[offsetof(struct serial_state_port, overrun)] = 0;
				st[offsetof(struct serial_state_port, pending)] &= 3;
				st[offsetof(struct serial_state_port, break_queued)] &= 1;
				st[offsetof(struct serial_state_port, tx_written)] %= 3;
				st[offsetof(struct serial_state_port, mark)] %= 3;
				fake.state->ports[p].ier &= 0x0f;
				fake.state->ports[p].mcr &= 0x1f;
				fake.state->ports[p].rx_head &= 0x0f;
				fake.state->ports[p].tx_head &= 0x0f;
				fake.state->ports[p].rx_count %= 17;
				fake.state->ports[p].tx_count %= 17;
				fake.state->ports[p].rx_wire_count %= 17;
				fake.state->ports[p].tx_wire_count %= 17;
				memset(fake.state->ports[p].rx_error, UART_LSR_BI, UART_FIFO);
				memset(fake.state->ports[p].rx_wire_error, 0, UART_FIFO);
			}
		}
		if (fake_create(UMDEV_STATE_RESUME) < 0) {
			memset(bytes, 0, sizeof(*fake.state));
			assert_int_equal(fake_create(UMDEV_STATE_NEW), 0);
			continue;
		}
		accepted++;
		fake_settle();
		fd = peer_open(round % 2);
		for (uint32_t i = 0; i < 40; i++) {
			(void)guest_in(i % 2, (uint32_t)rand_r(&seed) % 8);
			guest_out(i % 2, (uint32_t)rand_r(&seed) % 8, (uint8_t)rand_r(&seed));
			fake_pass(100000);
			assert_int_equal(serial_state_check(fake.state), 0);
		}
		close(fd);
		fake_settle();
	}
	assert_true(accepted > 1000);
	fake_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_registers),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_any_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
