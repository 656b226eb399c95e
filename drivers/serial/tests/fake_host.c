/* SPDX-License-Identifier: BSD-3-Clause */
/* See fake_host.h. */
#include "fake_host.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#define WATCHES	     8
#define JOBS	     8
#define TIMERS	     4
#define KEPT	     8
#define SETTLE_TURNS 20000

struct fake fake;

static struct {
	int fd;
	uint32_t events;
	umdev_fd_ready *ready;
	void *arg;
} watches[WATCHES];

static struct {
	uint64_t deadline_ns;
	umdev_timer_expired *expired;
	void *arg;
} timers[TIMERS];

static struct umdev_job *queue[JOBS];
static int32_t endpoints[SERIAL_PORTS_MAX] = {-1, -1};
static char paths[SERIAL_PORTS_MAX][64];
static struct fake_options options;
static const int handles[2];

enum { JOB_IDLE, JOB_QUEUED, JOB_STARTED };

static int kept[KEPT] = {-1, -1, -1, -1, -1, -1, -1, -1};
static uint64_t last_access_id;
static jmp_buf death;

/* ---- Services ---- */

__attribute__((format(printf, 2, 3))) static int fake_fail(int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(fake.failed, sizeof(fake.failed), fmt, ap);
	va_end(ap);
	return -error;
}

__attribute__((format(printf, 2, 3))) static void fake_log(int level, const char *fmt, ...)
{
}

static uint64_t fake_now(void)
{
	return fake.now_ns;
}

static void fake_fd_unwatch(struct umdev_parent *parent, int fd)
{
	for (uint32_t i = 0; i < WATCHES; i++) {
		if (watches[i].ready && watches[i].fd == fd)
			watches[i].ready = NULL;
	}
}

static int fake_fd_watch(struct umdev_parent *parent, int fd, uint32_t events,
			 umdev_fd_ready *ready, void *arg)
{
	if (fake.no_inotify && !fake.parent)
		return -ENOMEM;
	fake_fd_unwatch(parent, fd);
	for (uint32_t i = 0; i < WATCHES; i++) {
		if (watches[i].ready)
			continue;
		watches[i].fd = fd;
		watches[i].events = events;
		watches[i].ready = ready;
		watches[i].arg = arg;
		return 0;
	}
	return -ENOSPC;
}

static void fake_timer(struct umdev_mdev *mdev, uint32_t id, uint64_t deadline_ns,
		       umdev_timer_expired *expired, void *arg)
{
	fake_step("timer");
	assert_true(id < TIMERS);
	timers[id].deadline_ns = deadline_ns;
	timers[id].expired = expired;
	timers[id].arg = arg;
}

static void fake_irq_raise(struct umdev_mdev *mdev, uint32_t vector)
{
	assert_int_equal(vector, 0);
	fake_step("irq_raise");
	fake.raised++;
	fake.level = true;
	fake_step("irq_raise, done");
}

static void fake_irq_lower(struct umdev_mdev *mdev)
{
	fake_step("irq_lower");
	fake.level = false;
	fake_step("irq_lower, done");
}

static void fake_job_submit(struct umdev_mdev *mdev, struct umdev_job *job)
{
	fake_step("job_submit");
	assert_int_equal(job->engine, 0);
	assert_int_equal(job->host[0], JOB_IDLE);
	assert_true(fake.queued < JOBS);
	job->host[0] = JOB_QUEUED;
	queue[fake.queued++] = job;
}

static int fake_job_withdraw(struct umdev_mdev *mdev, struct umdev_job *job)
{
	if (fake.dead)
		return 1;
	for (uint32_t i = 0; job->host[0] == JOB_QUEUED && i < fake.queued; i++) {
		if (queue[i] != job)
			continue;
		fake.queued--;
		memmove(&queue[i], &queue[i + 1], (fake.queued - i) * sizeof(queue[0]));
		job->host[0] = JOB_IDLE;
		return 1;
	}
	return 0;
}

static void fake_job_done(struct umdev_mdev *mdev, struct umdev_job *job)
{
	fake_step("job_done");
	assert_int_equal(job->host[0], JOB_STARTED);
	job->host[0] = JOB_IDLE;
	fake.started--;
	fake.behind = fake.queued;
	fake.ended_ns = 0;
}

static void fake_job_done_at(struct umdev_mdev *mdev, struct umdev_job *job, uint64_t ended_ns)
{
	fake_job_done(mdev, job);
	assert_true(ended_ns > 0 && ended_ns <= fake.now_ns);
	fake.ended_ns = ended_ns;
}

static uint64_t fake_access_id(struct umdev_mdev *mdev)
{
	assert_true(fake.access_id > 0);
	fake_step("access_id");
	return fake.access_id;
}

static int fake_keep(struct umdev_mdev *mdev, uint32_t index, int fd)
{
	assert_true(index < KEPT && fd >= 0);
	fake_step("keep");
	if (fake.keep_error)
		return fake.keep_error;
	if (kept[index] >= 0)
		close(kept[index]);
	kept[index] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	assert_true(kept[index] >= 0);
	fake_step("keep, done");
	return 0;
}

static int fake_kept(struct umdev_mdev *mdev, uint32_t index)
{
	int fd;

	assert_true(index < KEPT);
	if (fake.keep_error)
		return fake.keep_error;
	if (kept[index] < 0)
		return -ENOENT;
	fd = fcntl(kept[index], F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

static const struct umdev_host_ops fake_ops = {
	.struct_size = sizeof(fake_ops),
	.abi_version = UMDEV_ABI_VERSION,
	.fail = fake_fail,
	.log = fake_log,
	.now_ns = fake_now,
	.fd_watch = fake_fd_watch,
	.fd_unwatch = fake_fd_unwatch,
	.timer = fake_timer,
	.irq_raise = fake_irq_raise,
	.irq_lower = fake_irq_lower,
	.job_submit = fake_job_submit,
	.job_withdraw = fake_job_withdraw,
	.job_done = fake_job_done,
	.job_done_at = fake_job_done_at,
	.access_id = fake_access_id,
	.keep = fake_keep,
	.kept = fake_kept,
};

/* ---- Life ---- */

static int endpoint_pty(char path[64])
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct termios tio;
	int slave;

	assert_true(fd >= 0);
	assert_int_equal(unlockpt(fd), 0);
	assert_int_equal(ptsname_r(fd, path, 64), 0);
	slave = open(path, O_RDWR | O_NOCTTY);
	assert_true(slave >= 0);
	tcgetattr(slave, &tio);
	cfmakeraw(&tio);
	tcsetattr(slave, TCSANOW, &tio);
	close(slave);
	return fd;
}

static int endpoint_unix(uint32_t port)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* In the abstract space, under a name that nobody else has. */
	snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "umdev-test-%d-%u",
		 (int)getpid(), port);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 4), 0);
	return fd;
}

int fake_create(uint32_t state_origin)
{
	struct umdev_mdev_args args = {
		.struct_size = sizeof(args),
		.type_index = options.type,
		.uuid = "c0ffee00-1234-4abc-8def-0123456789ab",
		.piece_size = options.type + 1,
		.state = fake.state,
		.state_size = sizeof(*fake.state),
		.state_origin = state_origin,
		.endpoints = endpoints,
		.endpoint_count = fake.info.types[options.type].endpoint_count,
	};
	int r;

	memset(&fake.device, 0, sizeof(fake.device));
	r = fake.driver->mdev_create(fake.parent, (struct umdev_mdev *)(void *)&handles[1], &args,
				     &fake.device, &fake.mdev);
	if (r < 0)
		fake.mdev = NULL;
	return r;
}

void fake_up(const struct fake_options *o)
{
	struct umdev_value values[SERIAL_OPT_COUNT] = {{.text = NULL}};
	struct umdev_parent_args args = {.struct_size = sizeof(args),
					 .value_count = SERIAL_OPT_COUNT,
					 .name = "com",
					 .values = values};
	bool no_inotify = fake.no_inotify;

	memset(&fake, 0, sizeof(fake));
	memset(timers, 0, sizeof(timers));
	memset(watches, 0, sizeof(watches));
	options = *o;
	fake.no_inotify = no_inotify;
	fake.now_ns = 1000000000;
	fake.state = mmap(NULL, sizeof(*fake.state), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(fake.state, MAP_FAILED);
	values[SERIAL_OPT_PORTS].number = o->ports ? o->ports : 16;
	values[SERIAL_OPT_BACKEND].number = o->backend;
	values[SERIAL_OPT_RATE].number = o->rate;
	values[SERIAL_OPT_BREAKS].number = o->breaks;
	fake.driver = umdev_driver_entry(UMDEV_ABI_VERSION, &fake_ops);
	assert_non_null(fake.driver);
	fake.info.struct_size = sizeof(fake.info);
	assert_int_equal(fake.driver->parent_open((struct umdev_parent *)(void *)&handles[0], &args,
						  &fake.info, &fake.parent),
			 0);
	for (uint32_t i = 0; i < fake.info.types[o->type].endpoint_count; i++) {
		endpoints[i] = o->backend == SERIAL_BACKEND_PTY ? endpoint_pty(paths[i])
								: endpoint_unix(i);
		assert_int_equal(fcntl(endpoints[i], F_SETFL, O_NONBLOCK), 0);
	}
	assert_int_equal(fake_create(UMDEV_STATE_NEW), 0);
	fake_settle();
}

static void fake_remove(void)
{
	assert_int_equal(fake.driver->reset(fake.mdev, UMDEV_RESET_LOST), 0);
	assert_int_equal(fake.queued, 0);
	assert_int_equal(fake.started, 0);
	fake.driver->mdev_remove(fake.mdev);
	fake.mdev = NULL;
	memset(timers, 0, sizeof(timers));
	for (uint32_t i = 0; i < SERIAL_PORTS_MAX; i++) {
		for (uint32_t w = 0; w < WATCHES; w++)
			assert_false(watches[w].ready && watches[w].fd == endpoints[i] &&
				     endpoints[i] >= 0);
	}
}

void fake_lose_kept(void)
{
	for (uint32_t i = 0; i < KEPT; i++) {
		if (kept[i] >= 0)
			close(kept[i]);
		kept[i] = -1;
	}
}

void fake_down(void)
{
	if (fake.mdev)
		fake_remove();
	fake.driver->parent_close(fake.parent);
	for (uint32_t i = 0; i < WATCHES; i++)
		assert_null(watches[i].ready);
	for (uint32_t i = 0; i < SERIAL_PORTS_MAX; i++) {
		if (endpoints[i] >= 0)
			close(endpoints[i]);
		endpoints[i] = -1;
	}
	fake_lose_kept();
	munmap(fake.state, sizeof(*fake.state));
	fake.no_inotify = false;
}

uint32_t fake_timers(void)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < TIMERS; i++)
		n += timers[i].deadline_ns > 0;
	return n;
}

/* ---- Deaths ---- */

struct serial_state_port *fake_port(uint32_t index)
{
	return &fake.state->images[fake.state->current & 1].ports[index];
}

void fake_step(const char *name)
{
	if (fake.dead || fake.steps == 0 || --fake.steps > 0)
		return;
	fake.died_at = name;
	longjmp(death, 1);
}

bool fake_survives(void (*act)(void *arg), void *arg)
{
	fake.died_at = NULL;
	if (setjmp(death))
		return false;
	act(arg);
	return true;
}

void fake_crash(void)
{
	struct serial_state left = *fake.state;

	/* What there is in the process goes; nobody hears of it, and the page stays. */
	fake.dead = true;
	if (fake.mdev)
		fake.driver->mdev_remove(fake.mdev);
	fake.mdev = NULL;
	fake.dead = false;
	assert_memory_equal(fake.state, &left, sizeof(left));
	for (uint32_t i = 0; i < WATCHES; i++) {
		if (watches[i].arg != fake.parent)
			watches[i].ready = NULL;
	}
	memset(timers, 0, sizeof(timers));
	fake.queued = 0;
	fake.started = 0;
	/* It may have died while it wrote the next image. */
	for (size_t i = 0; i < sizeof(struct serial_image); i++)
		((uint8_t *)&fake.state->images[!(fake.state->current & 1)])[i] = (uint8_t)rand();
}

/* ---- The loop ---- */

static uint32_t fake_turn_fds(void)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < WATCHES; i++) {
		struct pollfd pfd = {.fd = watches[i].fd, .events = (short)watches[i].events};

		if (watches[i].ready && poll(&pfd, 1, 0) == 1) {
			watches[i].ready(watches[i].arg, (uint32_t)pfd.revents);
			n++;
		}
	}
	return n;
}

static uint32_t fake_turn_timers(void)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < TIMERS; i++) {
		if (timers[i].deadline_ns == 0 || timers[i].deadline_ns > fake.now_ns)
			continue;
		timers[i].deadline_ns = 0;
		timers[i].expired(timers[i].arg);
		n++;
	}
	return n;
}

static uint32_t fake_turn_jobs(void)
{
	uint32_t n = 0;

	while (fake.queued > 0 && !fake.stopped && fake.started == 0) {
		struct umdev_job *job = queue[0];

		fake.queued--;
		memmove(&queue[0], &queue[1], fake.queued * sizeof(queue[0]));
		job->host[0] = JOB_STARTED;
		fake.started++;
		fake.jobs++;
		fake.started_ns = fake.now_ns;
		fake.driver->job_start(fake.mdev, job);
		n++;
	}
	return n;
}

uint32_t fake_turn(void)
{
	uint32_t n = fake_turn_fds() + fake_turn_timers();

	return n + fake_turn_jobs();
}

void fake_settle(void)
{
	uint32_t quiet = 0;

	for (uint32_t turns = 0; quiet < 3; turns++) {
		quiet = fake_turn() > 0 ? 0 : quiet + 1;
		if (turns > SETTLE_TURNS)
			fail_msg("the driver is told of something for ever");
	}
}

void fake_pass(uint64_t ns)
{
	uint64_t end_ns = fake.now_ns + ns;

	while (fake.now_ns < end_ns) {
		uint64_t next_ns = end_ns;

		for (uint32_t i = 0; i < TIMERS; i++) {
			if (timers[i].deadline_ns > fake.now_ns && timers[i].deadline_ns < next_ns)
				next_ns = timers[i].deadline_ns;
		}
		fake.now_ns = next_ns;
		fake_settle();
	}
}

/* ---- The guest ---- */

uint8_t guest_access(uint64_t id, bool write, uint32_t at, uint8_t value)
{
	int r;

	fake.access_id = id;
	r = write ? fake.driver->region_write(fake.mdev, 0, at, &value, 1)
		  : fake.driver->region_read(fake.mdev, 0, at, &value, 1);
	assert_int_equal(r, 0);
	fake.access_id = 0;
	return value;
}

uint64_t guest_access_id(void)
{
	return ++last_access_id;
}

uint8_t guest_in(uint32_t port, uint32_t reg)
{
	return guest_access(guest_access_id(), false, port * 8 + reg, 0xee);
}

void guest_out(uint32_t port, uint32_t reg, uint8_t value)
{
	(void)guest_access(guest_access_id(), true, port * 8 + reg, value);
}

void guest_open(uint32_t port)
{
	guest_out(port, UART_FCR, 0x87); /* FIFOs on and empty, 8 characters */
	guest_out(port, UART_LCR, 0x83);
	guest_out(port, 0, 1);
	guest_out(port, 1, 0);
	guest_out(port, UART_LCR, 0x03);
	guest_out(port, UART_MCR, UART_MCR_DTR | UART_MCR_RTS | UART_MCR_OUT2);
}

uint32_t guest_send(uint32_t port, const void *data, uint32_t len)
{
	const uint8_t *bytes = data;
	uint32_t sent = 0;

	while (sent < len && guest_in(port, UART_LSR) & UART_LSR_THRE) {
		for (uint32_t i = 0; i < UART_FIFO && sent < len; i++)
			guest_out(port, UART_THR, bytes[sent++]);
		fake_pass(1000000);
	}
	return sent;
}

uint32_t guest_receive(uint32_t port, void *data, uint32_t len)
{
	uint8_t *bytes = data;
	uint32_t got = 0;

	while (got < len && guest_in(port, UART_LSR) & UART_LSR_DR) {
		bytes[got++] = guest_in(port, UART_RBR);
		fake_turn();
	}
	return got;
}

/* ---- The program at the other end ---- */

const char *peer_path(uint32_t port)
{
	return paths[port];
}

int peer_open(uint32_t port)
{
	struct sockaddr_un address = {0};
	socklen_t len = sizeof(address);
	int fd;

	if (options.backend == SERIAL_BACKEND_PTY) {
		fd = open(paths[port], O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	} else {
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		assert_int_equal(getsockname(endpoints[port], (struct sockaddr *)&address, &len),
				 0);
		if (connect(fd, (struct sockaddr *)&address, len) < 0) {
			assert_int_equal(errno, EAGAIN);
			close(fd);
			return -1;
		}
	}
	assert_true(fd >= 0);
	fake_settle();
	return fd;
}

uint32_t peer_receive(int fd, void *data, uint32_t len)
{
	uint32_t got = 0;
	ssize_t n = 1;

	/* What a terminal was given is handed on by a thread of the kernel. */
	for (uint32_t tries = 0; got < len && tries < 20; tries++) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		if (poll(&p, 1, 5) != 1)
			continue;
		n = read(fd, (uint8_t *)data + got, len - got);
		if (n <= 0)
			break;
		got += (uint32_t)n;
	}
	return got;
}

uint32_t peer_receive_some(int fd, void *data, uint32_t len)
{
	uint32_t got = peer_receive(fd, data, 1);
	ssize_t n = got ? read(fd, (uint8_t *)data + got, len - got) : 0;

	return n > 0 ? got + (uint32_t)n : got;
}

uint32_t peer_send(int fd, const void *data, uint32_t len)
{
	uint32_t sent = 0;

	while (sent < len) {
		ssize_t n = write(fd, (const uint8_t *)data + sent, len - sent);

		if (n <= 0)
			break;
		sent += (uint32_t)n;
	}
	return sent;
}
