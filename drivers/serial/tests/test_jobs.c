/* SPDX-License-Identifier: BSD-3-Clause */
/* Bursts as jobs: what they carry, how long they last, and when none is asked for. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_host.h"

#define NS 1000000000u

static const struct fake_options slow = {.backend = SERIAL_BACKEND_UNIX, .type = 1, .rate = 1000};

static struct serial_state_port *port_state(uint32_t i)
{
	return fake_port(i);
}

static void write_some(uint32_t port, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		guest_out(port, UART_THR, (uint8_t)('a' + i));
}

/* One engine, one burst at a time; the parent's line says what it carries. */
static void test_engine(void **state)
{
	fake_up(&slow);
	assert_int_equal(fake.info.engine_count, 1);
	assert_int_equal(fake.info.engines[0].parallelism, 1);
	assert_string_equal(fake.info.engines[0].name, "line");
	assert_string_equal(fake.info.pool_unit, "ports");
	assert_int_equal(fake.info.types[0].qos,
			 UMDEV_QOS_CAP | UMDEV_QOS_WEIGHT | UMDEV_QOS_PRIORITY);
	fake_down();
}

/* A burst lasts as long as its bytes, ends at its time however late that is noticed, and what it
 * carries is not sent before. */
static void test_duration_out(void **state)
{
	uint8_t got[32];
	int fd;

	fake_up(&slow);
	fd = peer_open(0);
	guest_open(0);
	write_some(0, 16);
	fake_settle();
	assert_int_equal(fake.started, 1);
	fake.now_ns += 15 * (NS / 1000);
	fake_settle();
	assert_int_equal(fake.started, 1);
	assert_int_equal(peer_receive(fd, got, 1), 0);
	/* On the line, so that there is room for more, and not sent. */
	assert_int_equal(guest_in(0, UART_LSR) & (UART_LSR_THRE | UART_LSR_TEMT), UART_LSR_THRE);
	fake.now_ns += 3 * (NS / 1000); /* 2 ms late */
	fake_settle();
	assert_int_equal(fake.started, 0);
	assert_int_equal(fake.ended_ns - fake.started_ns, 16 * (NS / 1000));
	assert_int_equal(peer_receive(fd, got, 16), 16);
	assert_int_equal(guest_in(0, UART_LSR) & UART_LSR_TEMT, UART_LSR_TEMT);
	close(fd);
	fake_settle();
	fake_down();
}

static void test_duration_in(void **state)
{
	int fd;

	fake_up(&slow);
	fd = peer_open(0);
	guest_open(0);
	assert_int_equal(peer_send(fd, "0123456789", 10), 10);
	fake_settle();
	assert_int_equal(fake.started, 1);
	assert_int_equal(guest_in(0, UART_LSR) & UART_LSR_DR, 0);
	fake_pass(10 * (NS / 1000));
	assert_int_equal(guest_in(0, UART_LSR) & UART_LSR_DR, UART_LSR_DR);
	assert_int_equal(fake.ended_ns - fake.started_ns, 10 * (NS / 1000));
	assert_int_equal(port_state(0)->rx_count, 10);
	close(fd);
	fake_settle();
	fake_down();
}

/* What is written while a burst is on its way belongs to the next. */
static void test_written_meanwhile(void **state)
{
	uint8_t got[32];
	int fd;

	fake_up(&slow);
	fd = peer_open(0);
	guest_open(0);
	write_some(0, 4);
	fake_pass(NS / 2000); /* gathered: they begin */
	assert_int_equal(fake.started, 1);
	write_some(0, 4);
	fake_pass(4 * (NS / 1000));
	assert_int_equal(peer_receive(fd, got, 8), 4);
	assert_int_equal(fake.jobs, 2);
	fake_pass(4 * (NS / 1000));
	assert_int_equal(peer_receive(fd, got, 8), 4);
	close(fd);
	fake_settle();
	fake_down();
}

/* A port that has more to carry asks again when a burst ends: nobody else gets in between for want
 * of a job that waits. */
static void test_asks_again(void **state)
{
	static const uint8_t much[256];
	uint8_t got[256];
	int fd;

	fake_up(&slow);
	fd = peer_open(0);
	guest_open(0);
	write_some(0, 16);
	assert_int_equal(peer_send(fd, much, sizeof(much)), sizeof(much));
	fake_settle();
	for (uint32_t burst = 0; burst < 8; burst++) {
		assert_int_equal(fake.started, 1);
		assert_int_equal(fake.queued, 1);
		if (guest_in(0, UART_LSR) & UART_LSR_THRE)
			write_some(0, 16);
		(void)guest_receive(0, got, 16);
		fake_pass(16 * (NS / 1000));
		/* Already when it ended. */
		assert_int_equal(fake.behind, 2);
	}
	close(fd);
	fake_settle();
	fake_down();
}

/* The ports share the line, and each direction is a job of its own. */
static void test_shared(void **state)
{
	uint64_t began_ns;
	uint8_t got[64];
	int a;
	int b;

	fake_up(&slow);
	a = peer_open(0);
	b = peer_open(1);
	guest_open(0);
	guest_open(1);
	began_ns = fake.now_ns;
	write_some(0, 16);
	write_some(1, 16);
	assert_int_equal(peer_send(a, "0123456789abcdef", 16), 16);
	assert_int_equal(peer_send(b, "0123456789abcdef", 16), 16);
	fake_settle();
	assert_int_equal(fake.started, 1);
	assert_int_equal(fake.queued, 3);
	while (fake.started + fake.queued > 0)
		fake_pass(NS / 1000);
	assert_in_range(fake.now_ns - began_ns, 64 * (NS / 1000), 66 * (NS / 1000));
	assert_int_equal(peer_receive(a, got, 16), 16);
	assert_int_equal(peer_receive(b, got, 16), 16);
	assert_int_equal(guest_receive(0, got, 16), 16);
	assert_int_equal(guest_receive(1, got, 16), 16);
	close(a);
	close(b);
	fake_settle();
	fake_down();
}

/* Neither a program that does not read nor a guest that does not is a job that waits. */
static void test_blocked_is_no_job(void **state)
{
	static uint8_t much[1 << 20];
	int fd;

	fake_up(&(struct fake_options){.backend = SERIAL_BACKEND_UNIX});
	fd = peer_open(0);
	guest_open(0);
	assert_in_range(guest_send(0, much, sizeof(much)), 1, sizeof(much) - 1);
	(void)peer_send(fd, much, sizeof(much));
	fake_pass(NS);
	assert_int_equal(fake.queued + fake.started, 0);
	assert_int_equal(port_state(0)->rx_count, UART_FIFO);
	assert_int_equal(port_state(0)->tx_count, UART_FIFO);
	close(fd);
	fake_settle();
	fake_down();
}

/* A reset leaves no job, whether it waits or is on the line. fake_down() looks. */
static void test_reset(void **state)
{
	for (uint32_t started = 0; started < 2; started++) {
		int fd;

		fake_up(&slow);
		fd = peer_open(0);
		guest_open(0);
		fake.stopped = !started;
		write_some(0, 16);
		assert_int_equal(peer_send(fd, "0123", 4), 4);
		fake_settle();
		assert_int_equal(fake.started, started);
		assert_int_equal(fake.driver->reset(fake.mdev, UMDEV_RESET_DEVICE), 0);
		assert_int_equal(fake.queued + fake.started, 0);
		fake.level = false;
		fake.stopped = false;
		fake_pass(NS);
		assert_int_equal(fake.jobs, started);
		assert_int_equal(guest_in(0, UART_LSR), UART_LSR_THRE | UART_LSR_TEMT);
		assert_int_equal(guest_in(0, UART_MCR), 0);
		/* And it works as before. */
		guest_open(0);
		write_some(0, 16);
		fake_pass(NS);
		assert_int_equal(port_state(0)->tx_bytes, 16);
		close(fd);
		fake_settle();
		fake_down();
	}
}

/* The guest empties its transmitter while a burst is on the line: what was there goes, no more. */
static void test_cleared_meanwhile(void **state)
{
	uint8_t got[32];
	int fd;

	fake_up(&slow);
	fd = peer_open(0);
	guest_open(0);
	write_some(0, 16);
	fake_settle();
	assert_int_equal(fake.started, 1);
	write_some(0, 3);
	guest_out(0, UART_FCR, 0x05);
	fake_pass(NS);
	assert_int_equal(fake.started, 0);
	assert_int_equal(peer_receive(fd, got, 32), 16); /* what was on the line */
	/* Off and short: what is on its way to the guest waits for room. */
	assert_int_equal(peer_send(fd, "0123456789", 10), 10);
	fake_settle();
	guest_out(0, UART_FCR, 0);
	fake_pass(NS);
	for (uint32_t i = 0; i < 10; i++) {
		assert_int_equal(guest_in(0, UART_LSR) & (UART_LSR_DR | UART_LSR_OE), UART_LSR_DR);
		assert_int_equal(guest_in(0, UART_RBR), '0' + i);
		fake_pass(NS);
	}
	assert_int_equal(port_state(0)->overruns, 0);
	close(fd);
	fake_settle();
	fake_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_engine),
		cmocka_unit_test(test_duration_out),
		cmocka_unit_test(test_duration_in),
		cmocka_unit_test(test_written_meanwhile),
		cmocka_unit_test(test_asks_again),
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_blocked_is_no_job),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_cleared_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
