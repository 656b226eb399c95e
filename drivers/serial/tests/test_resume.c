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
		if (out < 1024 && fake_port(0)->tx_count < UART_FIFO)
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
	assert_int_equal(fake_port(0)->overruns, 0);
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
			((uint8_t *)fake_port(port))[bad[i].at] = bad[i].value;
			assert_int_equal(fake_create(UMDEV_STATE_RESUME), -EBADMSG);
			assert_non_null(strstr(fake.failed, "is damaged"));
			*fake.state = good;
			assert_int_equal(fake_create(UMDEV_STATE_RESUME), 0);
		}
	}
	fake_down();
}

/* Any page that is accepted can be worked with. */
static void any_page(uint32_t backend)
{
	unsigned seed = 4711;
	uint32_t accepted = 0;

	fake_up(&(struct fake_options){.backend = backend, .type = 1, .breaks = 1});
	for (uint32_t round = 0; round < 3000; round++) {
		uint8_t *bytes = (uint8_t *)fake.state;
		int fd;

		fake_crash();
		memset(bytes, 0, sizeof(*fake.state));
		for (uint32_t p = 0; p < SERIAL_PORTS_MAX; p++) {
			uint8_t *st = (uint8_t *)fake_port(p);

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
				fake_port(p)->ier &= 0x0f;
				fake_port(p)->mcr &= 0x1f;
				fake_port(p)->rx_head &= 0x0f;
				fake_port(p)->tx_head &= 0x0f;
				fake_port(p)->rx_count %= 17;
				fake_port(p)->tx_count %= 17;
				fake_port(p)->rx_wire_count %= 17;
				fake_port(p)->tx_wire_count %= 17;
				memset(fake_port(p)->rx_error, UART_LSR_BI, UART_FIFO);
				memset(fake_port(p)->rx_wire_error, 0, UART_FIFO);
			}
		}
		fake.state->images[0].carry = rand_r(&seed) % 4 ? 0 : (uint8_t)rand_r(&seed) % 6;
		fake.state->images[0].carry_port = (uint8_t)rand_r(&seed) % 3;
		fake.state->images[0].carry_count = (uint8_t)rand_r(&seed) % 40;
		fake.state->message.msg_len = (unsigned)rand_r(&seed) % 40;
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
			assert_int_equal(serial_state_check(fake.state, 2), 0);
		}
		close(fd);
		fake_settle();
	}
	assert_true(accepted > 1000);
	fake_down();
}

static void test_any_page(void **state)
{
	any_page(SERIAL_BACKEND_UNIX);
}

static void test_any_page_pty(void **state)
{
	any_page(SERIAL_BACKEND_PTY);
}

/* A transfer that cannot have begun. */
static void test_damaged_line(void **state)
{
	static const struct {
		uint8_t carry;
		uint8_t port;
		uint8_t count;
	} bad[] = {
		{SERIAL_CARRY_NONE, 2, 0},     {SERIAL_CARRY_OUT, 0, 16},
		{SERIAL_CARRY_OUT, 1, 33},     {SERIAL_CARRY_BREAK, 0, 3},
		{SERIAL_CARRY_BREAK, 1, 4},    {SERIAL_CARRY_IN, 1, 0},
		{SERIAL_CARRY_PULL, 0, 17},    {SERIAL_CARRY_PULL, 1, 1},
		{SERIAL_CARRY_PULL + 1, 0, 0}, {SERIAL_CARRY_NONE, 255, 0},
	};

	fake_up(&(struct fake_options){.backend = SERIAL_BACKEND_PTY, .type = 1});
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]) + 1; i++) {
		struct serial_image *image;
		struct serial_state good;

		fake_crash();
		good = *fake.state;
		image = &fake.state->images[fake.state->current];
		if (i < sizeof(bad) / sizeof(bad[0])) {
			image->ports[1].rx_wire_count = image->ports[1].tx_wire_count = 1;
			image->ports[1].break_queued = 1;
			image->carry = bad[i].carry;
			image->carry_port = bad[i].port;
			image->carry_count = bad[i].count;
		} else {
			fake.state->current += 2;
		}
		assert_int_equal(fake_create(UMDEV_STATE_RESUME), -EBADMSG);
		assert_non_null(strstr(fake.failed, "line is damaged"));
		*fake.state = good;
		assert_int_equal(fake_create(UMDEV_STATE_RESUME), 0);
	}
	fake_down();
}

/* A page that comes without the pipe is believed where nothing was under way. */
static void test_no_pipe(void **state)
{
	uint8_t got[4];
	int fd;

	fake_up(&pty);
	fd = peer_open(0);
	guest_open(0);
	fake_crash();
	fake_lose_kept();
	assert_int_equal(fake_create(UMDEV_STATE_RESUME), 0);
	guest_out(0, UART_THR, 'x');
	fake_pass(1000000);
	assert_int_equal(peer_receive(fd, got, 4), 1);
	fake_crash();
	fake_lose_kept();
	fake.state->images[fake.state->current].carry = SERIAL_CARRY_IN;
	assert_int_equal(fake_create(UMDEV_STATE_RESUME), -EBADMSG);
	assert_non_null(strstr(fake.failed, "on its way"));
	fake.state->images[fake.state->current].carry = SERIAL_CARRY_NONE;
	assert_int_equal(fake_create(UMDEV_STATE_RESUME), 0);
	close(fd);
	fake_settle();
	fake_down();
}

/* An upgrade in the middle of bursts: the old process leaves no job, timer or watch, and the page
 * as it was; the next one, or itself again, goes on. */
static void test_quiesce(void **state)
{
	static const uint8_t much[64] =
		"what the guest says, and what it is told, is carried as before..";
	uint8_t got[64];
	uint32_t sent = 0;
	uint32_t in = 0;
	uint32_t out = 0;

	for (uint32_t backend = 0; backend < 2; backend++) {
		int fd;

		fake_up(&(struct fake_options){.backend = backend, .rate = 1000});
		fd = peer_open(0);
		guest_open(0);
		assert_int_equal(peer_send(fd, much, sizeof(much)), sizeof(much));
		sent = in = out = 0;
		for (uint32_t round = 0; round < 2000 && (in < sizeof(got) || out < sizeof(much));
		     round++) {
			struct serial_state left;

			while (sent < sizeof(much) && fake_port(0)->tx_count < UART_FIFO)
				guest_out(0, UART_THR, much[sent++]);
			fake_pass(5000000 * (round % 7));
			in += guest_receive(0, got + in, (uint32_t)sizeof(got) - in);
			left = *fake.state;
			assert_int_equal(fake.driver->quiesce(fake.mdev), 0);
			assert_int_equal(fake.queued + fake.started + fake_timers(), 0);
			fake_settle();
			assert_int_equal(fake.queued + fake.started + fake_timers(), 0);
			assert_memory_equal(fake.state, &left, sizeof(left));
			fake_crash();
			assert_int_equal(fake_create(UMDEV_STATE_RESUME), 0);
			fake_settle();
			out = (uint32_t)fake_port(0)->tx_bytes;
		}
		assert_memory_equal(got, much, sizeof(much));
		assert_int_equal(peer_receive(fd, got, sizeof(got)), sizeof(much));
		assert_memory_equal(got, much, sizeof(much));
		close(fd);
		fake_settle();
		fake_down();
	}
}

/* Where nothing can be kept no device is made, and nothing of it is left. A connection that cannot
 * be kept is served all the same, as long as the process lives. */
static void test_keeping_fails(void **state)
{
	int fd;

	for (uint32_t backend = 0; backend < 2; backend++) {
		fake_up(&(struct fake_options){.backend = backend, .type = 1});
		fake_crash();
		fake.keep_error = -EMFILE;
		assert_int_equal(fake_create(UMDEV_STATE_RESUME), -EMFILE);
		assert_int_equal(fake_timers(), 0);
		fake.keep_error = 0;
		assert_int_equal(fake_create(UMDEV_STATE_RESUME), 0);
		fake_down();
	}
	fake_up(&pty);
	fake_crash();
	fake.keep_error = -ETIMEDOUT;
	assert_int_equal(fake_create(UMDEV_STATE_NEW), -ETIMEDOUT);
	assert_non_null(strstr(fake.failed, "cannot be kept"));
	assert_int_equal(fake_timers(), 0);
	fake_down();
	fake_up(&(struct fake_options){.backend = SERIAL_BACKEND_UNIX});
	fake.keep_error = -ETIMEDOUT;
	fd = peer_open(0);
	assert_int_equal(guest_in(0, UART_MSR) & UART_MSR_DCD, UART_MSR_DCD);
	fake.keep_error = 0;
	resume();
	assert_int_equal(guest_in(0, UART_MSR) & UART_MSR_DCD, 0);
	close(fd);
	fake_down();
}

/* An access that is made again has no second effect, and gives what it gave. */
static void test_repeated(void **state)
{
	uint64_t id;
	int fd;

	fake_up(&(struct fake_options){.backend = SERIAL_BACKEND_UNIX});
	fd = peer_open(0);
	guest_open(0);
	assert_int_equal(peer_send(fd, "abc", 3), 3);
	fake_settle();
	id = guest_access_id();
	assert_int_equal(guest_access(id, false, UART_RBR, 0), 'a');
	resume();
	assert_int_equal(guest_access(id, false, UART_RBR, 0), 'a');
	resume();
	assert_int_equal(guest_access(id, false, UART_RBR, 0), 'a');
	assert_int_equal(guest_in(0, UART_RBR), 'b');
	assert_int_equal(guest_in(0, UART_RBR), 'c');
	assert_int_equal(guest_in(0, UART_LSR) & UART_LSR_DR, 0);
	/* The carrier did not fall in between, and its first rise is told once. */
	assert_int_equal(guest_in(0, UART_MSR) & (UART_MSR_DCD | UART_MSR_DDCD),
			 UART_MSR_DCD | UART_MSR_DDCD);
	resume();
	assert_int_equal(guest_in(0, UART_MSR) & (UART_MSR_DCD | UART_MSR_DELTA), UART_MSR_DCD);
	id = guest_access_id();
	guest_out(0, UART_LCR, 3);
	(void)guest_access(id, true, UART_THR, 'x');
	resume();
	(void)guest_access(id, true, UART_THR, 'x');
	fake_pass(1000000);
	assert_int_equal(fake_port(0)->tx_bytes, 1);
	/* The numbers of another client are others, even where they are the same. */
	assert_int_equal(fake.driver->reset(fake.mdev, UMDEV_RESET_LOST), 0);
	(void)guest_access(id, true, UART_SCR, 0x5a);
	assert_int_equal(guest_in(0, UART_SCR), 0x5a);
	close(fd);
	fake_settle();
	fake_down();
}

/* The process died before the host was told the level, whichever it is; nobody is at the other end,
 * and the guest waits. */
static void test_level(void **state)
{
	for (uint32_t backend = 0; backend < 2; backend++) {
		for (uint32_t level = 0; level < 2; level++) {
			fake_up(&(struct fake_options){.backend = backend});
			guest_open(0);
			guest_out(0, UART_IER, level ? UART_IER_THRI : 0);
			assert_int_equal(fake.level, level);
			fake.level = !level;
			resume();
			assert_int_equal(fake.level, level);
			fake_down();
		}
	}
}

/* The program leaves while no process is there: the guest is told as it is always. */
static void test_left_meanwhile(void **state)
{
	for (uint32_t backend = 0; backend < 2; backend++) {
		int fd;

		fake_up(&(struct fake_options){.backend = backend});
		fd = peer_open(0);
		guest_open(0);
		(void)guest_in(0, UART_MSR);
		fake_crash();
		assert_int_equal(peer_send(fd, "last", 4), 4);
		close(fd);
		assert_int_equal(fake_create(UMDEV_STATE_RESUME), 0);
		/* What it sent is still to come. */
		assert_int_equal(guest_in(0, UART_MSR), UART_MSR_LINES & ~UART_MSR_RI);
		fake_settle();
		assert_int_equal(guest_in(0, UART_RBR), 'l');
		resume();
		assert_int_equal(guest_in(0, UART_RBR), 'a');
		assert_int_equal(guest_in(0, UART_RBR), 's');
		assert_int_equal(guest_in(0, UART_RBR), 't');
		fake_settle();
		assert_int_equal(guest_in(0, UART_MSR),
				 UART_MSR_DCTS | UART_MSR_DDSR | UART_MSR_DDCD);
		resume();
		assert_int_equal(guest_in(0, UART_MSR), 0);
		/* And the next is welcome. */
		fd = peer_open(0);
		resume();
		assert_int_equal(guest_in(0, UART_MSR) & UART_MSR_DCD, UART_MSR_DCD);
		close(fd);
		fake_settle();
		fake_down();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_registers),    cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_damaged),	     cmocka_unit_test(test_damaged_line),
		cmocka_unit_test(test_no_pipe),	     cmocka_unit_test(test_any_page),
		cmocka_unit_test(test_any_page_pty), cmocka_unit_test(test_keeping_fails),
		cmocka_unit_test(test_quiesce),	     cmocka_unit_test(test_level),
		cmocka_unit_test(test_repeated),     cmocka_unit_test(test_left_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
