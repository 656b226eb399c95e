/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzzing of the ports by their guest and by the programs at the other end: register accesses of
 * any length, bytes from peers that come and go, time, resets, and deaths of the process, after
 * which the state page may be damaged. After each step the state must be one that a successor
 * takes. The fake host checks its rules all the while.
 *
 * Input: which device, then steps.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_host.h"
#include "fuzz/fuzz.h"

#define STEPS_MAX 300
#define FATAL	  0xd1 /* the next step is */
#define FDS_GAP	  64   /* as many in a row are closed: so are those after them */
#define FDS_MAX	  2048

struct fuzz {
	struct fuzz_input in;
	struct fake_options options;
	int peers[SERIAL_PORTS_MAX];
	bool died;
	bool open[FDS_MAX]; /* descriptors, before */

	/* The last access of one byte. */
	uint64_t id;
	uint32_t at;
	uint8_t value;
	bool was_read;
};

/* Calls @each for the descriptors that are open. They are given out from the lowest on. */
static void fuzz_each_fd(struct fuzz *f, void (*each)(struct fuzz *f, int fd))
{
	for (int fd = 0, closed = 0; fd < FDS_MAX && closed < FDS_GAP; fd++) {
		if (fcntl(fd, F_GETFD) < 0) {
			closed++;
			continue;
		}
		closed = 0;
		each(f, fd);
	}
}

static void fuzz_note_fd(struct fuzz *f, int fd)
{
	f->open[fd] = true;
}

/* A process that died in a step had its descriptors closed; one that did not leaves none. */
static void fuzz_close_fd(struct fuzz *f, int fd)
{
	if (f->open[fd])
		return;
	fuzz_check(f->died);
	close(fd);
}

static void fuzz_check_state(const struct fuzz *f)
{
	fuzz_check(serial_state_check(fake.state, f->options.type + 1) == 0);
	fuzz_check(fake.queued <= 4 && fake.started <= 1);
}

static void fuzz_access(struct fuzz *f, bool write)
{
	uint8_t buf[20];
	uint64_t offset = fuzz_byte(&f->in);
	uint32_t len = 1;
	uint64_t bytes = (f->options.type + 1) * UART_REGISTERS;
	bool inside;
	int r;

	if (offset & 0x80)
		len = 1 + fuzz_byte(&f->in) % (uint32_t)sizeof(buf);
	offset &= 0x3f;
	inside = offset + len <= bytes && len <= 8;
	fake.access_id = guest_access_id();
	if (write) {
		fuzz_copy(&f->in, buf, len);
		r = fake.driver->region_write(fake.mdev, 0, offset, buf, len);
	} else {
		r = fake.driver->region_read(fake.mdev, 0, offset, buf, len);
	}
	f->id = r == 0 && len == 1 ? fake.access_id : 0;
	f->at = (uint32_t)offset;
	f->value = buf[0];
	f->was_read = !write;
	fake.access_id = 0;
	fuzz_check(r == (inside ? 0 : -EINVAL));
}

/* Nobody knows whether its answer was sent: again. It must not happen twice. */
static void fuzz_repeat(const struct fuzz *f)
{
	const struct serial_state_port *st = fake_port(f->at / UART_REGISTERS);
	uint8_t rx_count = st->rx_count;
	uint8_t value = guest_access(f->id, !f->was_read, f->at, f->value);

	fuzz_check(!f->was_read || value == f->value);
	/* What is on the line goes on moving; but nothing was read, and nothing emptied. */
	fuzz_check(fake_port(f->at / UART_REGISTERS)->rx_count >= rx_count);
}

/* As a driver does: what the interrupt asks for, until it asks for nothing more. */
static void fuzz_serve(struct fuzz *f)
{
	uint32_t port = fuzz_byte(&f->in) % (f->options.type + 1);

	for (int i = 0; i < 40; i++) {
		uint8_t iir = guest_in(port, UART_IIR);

		if (iir & UART_IIR_NONE)
			break;
		(void)guest_in(port, UART_LSR);
		(void)guest_in(port, UART_MSR);
		(void)guest_in(port, UART_RBR);
	}
}

static void fuzz_peer(struct fuzz *f)
{
	uint8_t how = fuzz_byte(&f->in);
	uint32_t port = how % (f->options.type + 1);
	int *fd = &f->peers[port];
	uint8_t bytes[64];

	switch (how >> 2 & 7) {
	case 0:
		if (*fd < 0)
			*fd = peer_open(port);
		break;
	case 1:
		if (*fd >= 0)
			close(*fd);
		*fd = -1;
		break;
	case 2:
		if (*fd >= 0)
			(void)!read(*fd, bytes, 1 + (how >> 5) * 9);
		break;
	default:
		fuzz_copy(&f->in, bytes, 1 + (how >> 5) * 9);
		if (*fd >= 0)
			(void)peer_send(*fd, bytes, 1 + (how >> 5) * 9);
		break;
	}
}

static void fuzz_open(struct fuzz *f)
{
	uint32_t port = fuzz_byte(&f->in) % (f->options.type + 1);

	guest_open(port);
	guest_out(port, UART_IER, fuzz_byte(&f->in) & UART_IER_MASK);
}

/* Another process takes over, perhaps from a page that is not as it was. */
static void fuzz_resume(struct fuzz *f)
{
	uint8_t how = fuzz_byte(&f->in);
	uint8_t n = how % 12;

	/* What dies while it is made, nobody would free. */
	fake.steps = 0;
	fake_crash();
	fake.level = false;
	if (how & 128)
		fake_lose_kept();
	for (uint8_t i = 0; i < n; i++) {
		uint32_t at = fuzz_pick(&f->in, sizeof(*fake.state));

		((uint8_t *)fake.state)[at] = fuzz_byte(&f->in);
	}
	if (fake_create(UMDEV_STATE_RESUME) == 0) {
		if (n == 0 && how & 64 && f->id > 0)
			fuzz_repeat(f);
		f->id = 0;
		return;
	}
	f->id = 0;
	fuzz_check(n > 0 && fake.failed[0]);
	memset(fake.state, 0, sizeof(*fake.state));
	assert_int_equal(fake_create(UMDEV_STATE_NEW), 0);
}

static void fuzz_step(void *arg)
{
	struct fuzz *f = arg;
	uint64_t values[SERIAL_STAT_COUNT];

	switch (fuzz_byte(&f->in) % 12) {
	case 0:
	case 1:
	case 2:
		fuzz_access(f, true);
		break;
	case 3:
	case 4:
		fuzz_access(f, false);
		break;
	case 5:
		fuzz_peer(f);
		break;
	case 6:
		fake_pass((uint64_t)1000 << fuzz_byte(&f->in) % 20);
		break;
	case 7:
		f->id = 0;
		fuzz_serve(f);
		break;
	case 8:
		f->id = 0;
		fuzz_open(f);
		break;
	case 9:
		fuzz_check(fake.driver->reset(fake.mdev, fuzz_byte(&f->in) % 3) == 0);
		fake.level = false;
		f->id = 0;
		break;
	case 10:
		fuzz_resume(f);
		break;
	default:
		fake.stopped = fuzz_byte(&f->in) & 1;
		fake.driver->stats_get(fake.mdev, values);
		break;
	}
	(void)fake_turn();
	fuzz_check_state(f);
}

/* A step in which the process dies, if it comes that far. */
static void fuzz_fatal_step(struct fuzz *f)
{
	fake.steps = 1 + fuzz_byte(&f->in) % 8;
	if (fake_survives(fuzz_step, f)) {
		fake.steps = 0;
		return;
	}
	f->died = true;
	fake.steps = 0;
	fake.access_id = 0;
	f->id = 0;
	fake_crash();
	fake.level = false;
	fuzz_check(fake_create(UMDEV_STATE_RESUME) == 0);
	fuzz_check_state(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint64_t rates[] = {0, 100, 11520, 1000000};
	struct fuzz f = {.in = {.at = data, .left = size}, .peers = {-1, -1}};
	uint8_t how = fuzz_byte(&f.in);

	f.options.type = how & 1;
	f.options.backend = SERIAL_BACKEND_UNIX;
	f.options.breaks = how >> 1 & 1;
	f.options.rate = rates[how >> 2 & 3];
	fuzz_each_fd(&f, fuzz_note_fd);
	/* As a host has it. */
	signal(SIGPIPE, SIG_IGN);
	fake_up(&f.options);
	for (int i = 0; i < STEPS_MAX && f.in.left > 0; i++) {
		if (f.in.at[0] == FATAL) {
			(void)fuzz_byte(&f.in);
			fuzz_fatal_step(&f);
		} else {
			fuzz_step(&f);
		}
	}
	fake.stopped = false;
	fake_pass(1000000000);
	fuzz_check_state(&f);
	for (uint32_t i = 0; i < SERIAL_PORTS_MAX; i++) {
		if (f.peers[i] >= 0)
			close(f.peers[i]);
	}
	fake_settle();
	fake_down();
	fuzz_each_fd(&f, fuzz_close_fd);
	return 0;
}
