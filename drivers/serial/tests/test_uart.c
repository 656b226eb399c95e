/* SPDX-License-Identifier: BSD-3-Clause */
/* Registers, FIFOs and interrupts, as drivers probe and use them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_host.h"

static const struct fake_options one = {.backend = SERIAL_BACKEND_UNIX};
static const struct fake_options two = {.backend = SERIAL_BACKEND_UNIX, .type = 1};

static void loopback(uint32_t port)
{
	guest_open(port);
	guest_out(port, UART_MCR, UART_MCR_LOOP | UART_MCR_RTS);
	(void)guest_in(port, UART_MSR);
}

/* What the guest sees before it has touched anything, and the types behind it. */
static void test_device(void **state)
{
	fake_up(&one);
	assert_int_equal(fake.device.vendor_id, 0x1b36);
	assert_int_equal(fake.device.device_id, 2);
	assert_int_equal(fake.device.class_code, 0x070002);
	assert_int_equal(fake.device.bars[0].size, 8);
	assert_int_equal(fake.device.interrupt_pin, 1);
	assert_int_equal(guest_in(0, UART_LSR), UART_LSR_THRE | UART_LSR_TEMT);
	assert_int_equal(guest_in(0, UART_IIR), UART_IIR_NONE);
	assert_int_equal(guest_in(0, UART_MSR), 0);
	assert_false(fake.level);
	assert_string_equal(fake.info.types[1].name, "umdev serial, 2 ports");
	assert_int_equal(fake.info.types[1].cost, 2);
	assert_int_equal(fake.info.type_count, 2);
	fake_down();
	fake_up(&two);
	assert_int_equal(fake.device.device_id, 3);
	assert_int_equal(fake.device.bars[0].size, 16);
	fake_down();
	fake_up(&(struct fake_options){.backend = SERIAL_BACKEND_UNIX, .ports = 1});
	assert_int_equal(fake.info.type_count, 1);
	fake_down();
}

/* The steps by which Linux' 8250 driver tells a 16550A from all its relatives. */
static void test_autoconfig(void **state)
{
	fake_up(&one);
	guest_out(0, UART_IER, 0);
	assert_int_equal(guest_in(0, UART_IER) & 0x0f, 0);
	guest_out(0, UART_IER, 0x0f);
	assert_int_equal(guest_in(0, UART_IER), 0x0f);
	guest_out(0, UART_IER, 0xff); /* no bits above */
	assert_int_equal(guest_in(0, UART_IER), 0x0f);
	guest_out(0, UART_IER, 0);
	guest_out(0, UART_MCR, UART_MCR_LOOP | 0x0a);
	assert_int_equal(guest_in(0, UART_MSR) & 0xf0, 0x90);
	guest_out(0, UART_MCR, 0);
	guest_out(0, UART_LCR, 0xbf); /* an enhanced chip would show its EFR as register 2 */
	guest_out(0, 2, 0);
	guest_out(0, UART_LCR, 0);
	guest_out(0, UART_FCR, UART_FCR_ENABLE);
	assert_int_equal(guest_in(0, UART_IIR) >> 6, 3);
	guest_out(0, UART_LCR, UART_LCR_DLAB);
	assert_int_equal(guest_in(0, 2), 0xc1);
	guest_out(0, UART_LCR, 0xbf);
	assert_int_equal(guest_in(0, 2), 0xc1);
	guest_out(0, UART_LCR, 0xe0); /* NS16C552: bank 2, EXCR1 */
	assert_int_equal(guest_in(0, 2) & UART_MCR_LOOP, 0);
	guest_out(0, UART_LCR, UART_LCR_DLAB);
	guest_out(0, UART_FCR, UART_FCR_ENABLE | 0x20); /* TI16750: 64 bytes */
	assert_int_equal(guest_in(0, UART_IIR) >> 5, 6);
	guest_out(0, UART_LCR, 0);
	for (uint32_t v = 0; v < 256; v += 51) {
		guest_out(0, UART_SCR, (uint8_t)v);
		assert_int_equal(guest_in(0, UART_SCR), v);
	}
	fake_down();
}

static void test_divisor(void **state)
{
	fake_up(&one);
	guest_open(0);
	guest_out(0, UART_IER, UART_IER_RDI);
	guest_out(0, UART_LCR, UART_LCR_DLAB | 3);
	guest_out(0, 0, 0x34);
	guest_out(0, 1, 0x12);
	assert_int_equal(guest_in(0, 0), 0x34);
	assert_int_equal(guest_in(0, 1), 0x12);
	guest_out(0, UART_LCR, 3);
	assert_int_equal(guest_in(0, UART_IER), UART_IER_RDI);
	assert_int_equal(guest_in(0, UART_LSR) & UART_LSR_THRE,
			 UART_LSR_THRE); /* nothing was sent */
	/* A divisor of 0 is no division. */
	guest_out(0, UART_LCR, UART_LCR_DLAB);
	guest_out(0, 0, 0);
	guest_out(0, 1, 0);
	guest_out(0, UART_LCR, 3);
	fake_down();
}

/* The modem's outputs come back as inputs, with the changes noted until they are read. */
static void test_modem_loopback(void **state)
{
	fake_up(&one);
	guest_out(0, UART_MCR, UART_MCR_LOOP);
	(void)guest_in(0, UART_MSR);
	guest_out(0, UART_MCR, UART_MCR_LOOP | UART_MCR_RTS);
	assert_int_equal(guest_in(0, UART_MSR), UART_MSR_CTS | UART_MSR_DCTS);
	assert_int_equal(guest_in(0, UART_MSR), UART_MSR_CTS);
	guest_out(0, UART_MCR, UART_MCR_LOOP | UART_MCR_DTR);
	assert_int_equal(guest_in(0, UART_MSR), UART_MSR_DSR | UART_MSR_DDSR | UART_MSR_DCTS);
	guest_out(0, UART_MCR, UART_MCR_LOOP | UART_MCR_OUT1);
	assert_int_equal(guest_in(0, UART_MSR), UART_MSR_RI | UART_MSR_DDSR);
	guest_out(0, UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2); /* the ring ends */
	assert_int_equal(guest_in(0, UART_MSR), UART_MSR_DCD | UART_MSR_DDCD | UART_MSR_TERI);
	guest_out(0, UART_IER, UART_IER_MSI);
	assert_false(fake.level);
	guest_out(0, UART_MCR, UART_MCR_LOOP);
	assert_true(fake.level);
	assert_int_equal(guest_in(0, UART_IIR), UART_IIR_MSI);
	(void)guest_in(0, UART_MSR);
	assert_int_equal(guest_in(0, UART_IIR), UART_IIR_NONE);
	assert_false(fake.level);
	guest_out(0, UART_MCR, 0xff); /* no bits above */
	assert_int_equal(guest_in(0, UART_MCR), 0x1f);
	fake_down();
}

/* Transmitter empty: comes when enabled while empty, goes when its identification was read or a
 * character written. */
static void test_thre(void **state)
{
	fake_up(&one);
	loopback(0);
	for (uint32_t i = 0; i < 3; i++) {
		guest_out(0, UART_IER, UART_IER_THRI);
		assert_true(fake.level);
		assert_int_equal(guest_in(0, UART_IIR) & 0x0f, UART_IIR_THRI);
		assert_int_equal(guest_in(0, UART_IIR) & 0x0f, UART_IIR_NONE);
		assert_false(fake.level);
		guest_out(0, UART_IER, UART_IER_THRI); /* no edge, no interrupt */
		assert_int_equal(guest_in(0, UART_IIR) & 0x0f, UART_IIR_NONE);
		guest_out(0, UART_IER, 0);
	}
	guest_out(0, UART_IER, UART_IER_THRI);
	guest_out(0, UART_IER, 0);
	assert_false(fake.level);
	guest_out(0, UART_MCR, UART_MCR_RTS);
	guest_out(0, UART_IER, UART_IER_THRI);
	fake.stopped = true; /* the line takes nothing */
	guest_out(0, UART_THR, 'x');
	assert_false(fake.level);
	assert_int_equal(guest_in(0, UART_IIR) & 0x0f, UART_IIR_NONE);
	fake_pass(1000000);
	assert_int_equal(guest_in(0, UART_LSR) & (UART_LSR_THRE | UART_LSR_TEMT), 0);
	fake.stopped = false;
	fake_settle();
	assert_true(fake.level);
	assert_int_equal(guest_in(0, UART_LSR) & (UART_LSR_THRE | UART_LSR_TEMT),
			 UART_LSR_THRE | UART_LSR_TEMT);
	assert_int_equal(guest_in(0, UART_IIR) & 0x0f, UART_IIR_THRI);
	fake_down();
}

/* Each cause hides those below it. */
static void test_priorities(void **state)
{
	fake_up(&one);
	guest_open(0);
	guest_out(0, UART_FCR, 0x01); /* one character is enough */
	guest_out(0, UART_MCR, UART_MCR_LOOP);
	(void)guest_in(0, UART_MSR);
	guest_out(0, UART_IER, UART_IER_MASK);
	(void)guest_in(0, UART_IIR);
	guest_out(0, UART_THR, 'a');
	guest_out(0, UART_LCR, UART_LCR_BREAK | 3);
	guest_out(0, UART_MCR, UART_MCR_LOOP | UART_MCR_RTS);
	(void)guest_in(0, UART_RBR);
	/* The break is next: line status, data, transmitter, modem. */
	assert_int_equal(guest_in(0, UART_IIR) & 0x0f, UART_IIR_RLSI);
	assert_int_equal(guest_in(0, UART_LSR) & (UART_LSR_BI | UART_LSR_FIFO | UART_LSR_DR),
			 UART_LSR_BI | UART_LSR_FIFO | UART_LSR_DR);
	assert_int_equal(guest_in(0, UART_LSR) & (UART_LSR_BI | UART_LSR_FIFO), 0);
	assert_int_equal(guest_in(0, UART_IIR) & 0x0f, UART_IIR_RDI);
	assert_int_equal(guest_in(0, UART_RBR), 0);
	assert_int_equal(guest_in(0, UART_IIR) & 0x0f, UART_IIR_THRI);
	assert_int_equal(guest_in(0, UART_IIR) & 0x0f, UART_IIR_MSI);
	(void)guest_in(0, UART_MSR);
	assert_int_equal(guest_in(0, UART_IIR) & 0x0f, UART_IIR_NONE);
	fake_down();
}

static void test_trigger_levels(void **state)
{
	static const uint8_t levels[] = {1, 4, 8, 14};

	for (uint32_t l = 0; l < 4; l++) {
		fake_up(&one);
		loopback(0);
		guest_out(0, UART_FCR, (uint8_t)(l << 6 | 1));
		guest_out(0, UART_IER, UART_IER_RDI);
		for (uint32_t i = 1; i < levels[l]; i++) {
			guest_out(0, UART_THR, (uint8_t)i);
			assert_int_equal(guest_in(0, UART_IIR) & 0x0f, UART_IIR_NONE);
		}
		guest_out(0, UART_THR, 99);
		assert_int_equal(guest_in(0, UART_IIR), UART_IIR_RDI | UART_IIR_FIFO);
		(void)guest_in(0, UART_RBR);
		assert_int_equal(guest_in(0, UART_IIR) & 0x0f, UART_IIR_NONE);
		fake_down();
	}
}

/* Below the level: after four characters' time, taken back by reading. */
static void test_timeout(void **state)
{
	fake_up(&two);
	loopback(0);
	loopback(1);
	guest_out(0, UART_IER, UART_IER_RDI);
	guest_out(1, UART_IER, UART_IER_RDI);
	guest_out(0, UART_THR, 1);
	fake_pass(200000);
	guest_out(0, UART_THR, 2); /* begins anew */
	guest_out(1, UART_THR, 3);
	fake_pass(200000);
	assert_false(fake.level);
	fake_pass(200000);
	assert_true(fake.level);
	assert_int_equal(guest_in(0, UART_IIR), UART_IIR_TIMEOUT | UART_IIR_FIFO);
	assert_int_equal(guest_in(1, UART_IIR), UART_IIR_TIMEOUT | UART_IIR_FIFO);
	assert_int_equal(guest_in(0, UART_RBR), 1);
	assert_int_equal(guest_in(0, UART_IIR) & 0x0f, UART_IIR_NONE);
	fake_pass(400000);
	assert_int_equal(guest_in(0, UART_IIR), UART_IIR_TIMEOUT | UART_IIR_FIFO);
	assert_int_equal(guest_in(0, UART_RBR), 2);
	fake_pass(1000000);
	assert_int_equal(guest_in(0, UART_IIR) & 0x0f, UART_IIR_NONE);
	fake_down();
}

/* In its handler the guest finds the line down; what is left at its end is told again. */
static void test_line_in_handler(void **state)
{
	fake_up(&two);
	loopback(0);
	loopback(1);
	guest_out(0, UART_FCR, 1);
	guest_out(1, UART_FCR, 1);
	guest_out(0, UART_IER, UART_IER_RDI);
	guest_out(1, UART_IER, UART_IER_RDI);
	guest_out(0, UART_THR, 1);
	guest_out(1, UART_THR, 2);
	assert_true(fake.level);
	assert_int_equal(guest_in(0, UART_IIR) & 0x0f, UART_IIR_RDI);
	assert_false(fake.level);
	for (uint32_t i = 0; i < 5; i++) { /* it takes its time and is still there */
		fake_pass(900000);
		(void)guest_in(0, UART_LSR);
		assert_false(fake.level);
	}
	(void)guest_in(0, UART_RBR);
	assert_int_equal(guest_in(0, UART_IIR) & 0x0f, UART_IIR_NONE);
	assert_true(fake.level); /* of the other port */
	assert_int_equal(guest_in(1, UART_IIR) & 0x0f, UART_IIR_RDI);
	assert_false(fake.level);
	fake_pass(1100000); /* it has gone away without a look whether that was all */
	assert_true(fake.level);
	fake_down();
}

/* Only loopback can run over: there nothing holds the sender back. */
static void test_overrun(void **state)
{
	uint8_t got[32];

	fake_up(&one);
	loopback(0);
	guest_out(0, UART_IER, UART_IER_RLSI);
	for (uint8_t i = 0; i < 16; i++)
		guest_out(0, UART_THR, i);
	assert_false(fake.level);
	guest_out(0, UART_THR, 16);
	assert_true(fake.level);
	assert_int_equal(guest_in(0, UART_IIR) & 0x0f, UART_IIR_RLSI);
	assert_int_equal(guest_in(0, UART_LSR) & UART_LSR_ERROR, UART_LSR_OE);
	assert_int_equal(guest_in(0, UART_LSR) & UART_LSR_ERROR, 0);
	assert_int_equal(guest_receive(0, got, sizeof(got)), 16);
	for (uint8_t i = 0; i < 16; i++)
		assert_int_equal(got[i], i);
	assert_int_equal(fake_port(0)->overruns, 1);
	fake_down();
}

static void test_fifo_control(void **state)
{
	fake_up(&one);
	loopback(0);
	guest_out(0, UART_THR, 1);
	guest_out(0, UART_FCR, 0x03); /* empties the receiver */
	assert_int_equal(guest_in(0, UART_LSR) & UART_LSR_DR, 0);
	guest_out(0, UART_THR, 2);
	guest_out(0, UART_FCR, 0); /* off: empties both, one character deep */
	assert_int_equal(guest_in(0, UART_LSR) & UART_LSR_DR, 0);
	assert_int_equal(guest_in(0, UART_IIR), UART_IIR_NONE);
	guest_out(0, UART_THR, 3);
	guest_out(0, UART_THR, 4);
	assert_int_equal(guest_in(0, UART_LSR) & (UART_LSR_DR | UART_LSR_OE),
			 UART_LSR_DR | UART_LSR_OE);
	assert_int_equal(guest_in(0, UART_RBR), 3);
	/* The transmitter is emptied too, and says so. */
	guest_open(0);
	fake.stopped = true;
	guest_out(0, UART_IER, UART_IER_THRI);
	guest_out(0, UART_THR, 5);
	assert_int_equal(guest_in(0, UART_LSR) & UART_LSR_THRE, 0);
	guest_out(0, UART_FCR, 0x05);
	assert_int_equal(guest_in(0, UART_LSR) & UART_LSR_THRE, UART_LSR_THRE);
	assert_int_equal(guest_in(0, UART_IIR) & 0x0f, UART_IIR_THRI);
	fake.stopped = false;
	fake_settle();
	assert_int_equal(fake_port(0)->tx_bytes + fake_port(0)->lost_bytes, 0);
	fake_down();
}

/* Accesses of other widths are those to each register; beyond the last there is nothing. */
static void test_widths(void **state)
{
	uint8_t wide[8];
	uint8_t zero[8] = {0};

	fake_up(&one);
	guest_out(0, UART_SCR, 0x5a);
	fake.access_id = guest_access_id();
	assert_int_equal(fake.driver->region_read(fake.mdev, 0, 0, wide, 8), 0);
	assert_int_equal(wide[UART_SCR], 0x5a);
	fake.access_id = guest_access_id();
	assert_int_equal(fake.driver->region_write(fake.mdev, 0, 6, zero, 2), 0);
	assert_int_equal(guest_in(0, UART_SCR), 0);
	fake.access_id = guest_access_id();
	assert_int_equal(fake.driver->region_read(fake.mdev, 0, 8, wide, 1), -EINVAL);
	assert_int_equal(fake.driver->region_read(fake.mdev, 0, 4, wide, 8), -EINVAL);
	assert_int_equal(fake.driver->region_write(fake.mdev, 0, 8, zero, 1), -EINVAL);
	assert_int_equal(fake.driver->region_read(fake.mdev, 1, 0, wide, 1), -EINVAL);
	fake_down();
}

/* Any sequence of accesses leaves everything within bounds. */
static void test_any_access(void **state)
{
	uint8_t byte;
	int fd[2];

	for (unsigned seed = 1; seed <= 20; seed++) {
		unsigned s = seed;

		fake_up(&two);
		fd[0] = peer_open(0);
		fd[1] = seed % 2 ? peer_open(1) : -1;
		for (uint32_t i = 0; i < 4000; i++) {
			uint32_t reg = (uint32_t)rand_r(&s) % 16;

			if (rand_r(&s) % 3 == 0)
				(void)guest_in(reg / 8, reg % 8);
			else
				guest_out(reg / 8, reg % 8, (uint8_t)rand_r(&s));
			if (rand_r(&s) % 8 == 0)
				fake_pass((uint64_t)rand_r(&s) % 1000000);
			byte = (uint8_t)i;
			if (rand_r(&s) % 4 == 0)
				(void)peer_send(fd[0], &byte, 1);
			assert_int_equal(serial_state_check(fake.state, 2), 0);
		}
		close(fd[0]);
		if (fd[1] >= 0)
			close(fd[1]);
		fake_settle();
		fake_down();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_device),
		cmocka_unit_test(test_autoconfig),
		cmocka_unit_test(test_divisor),
		cmocka_unit_test(test_modem_loopback),
		cmocka_unit_test(test_thre),
		cmocka_unit_test(test_priorities),
		cmocka_unit_test(test_trigger_levels),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_line_in_handler),
		cmocka_unit_test(test_overrun),
		cmocka_unit_test(test_fifo_control),
		cmocka_unit_test(test_widths),
		cmocka_unit_test(test_any_access),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
