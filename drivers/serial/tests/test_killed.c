/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The driver in a process of its own, which is killed with SIGKILL at instructions that nobody
 * chose, hundreds of times. A successor is forked that has what is kept: the page, the endpoints
 * and the descriptors. An access that was not answered is made again under the same number. Beside
 * test_deaths.c, which knows every step of the driver, this takes the kernel at its word.
 *
 * UMDEV_SERIAL_KILLS   how often; 300 by default
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "talk.h"

#define LIFE_US 2000u
#define LIMIT_S 20

struct request {
	uint64_t id;
	bool write;
	uint8_t value;
	uint8_t reserved[2];
	uint32_t at;
};

static struct {
	pid_t pid;
	int fd; /* to it */
	volatile sig_atomic_t killed;
} process;

static uint32_t kills;
static uint64_t run_began_ns;
static bool in_process;

/* What the process tells, beside the page; it outlives it, too. */
static volatile bool *level_told;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ---- The process ---- */

static void process_serve(int fd)
{
	struct request request;
	ssize_t n = recv(fd, &request, sizeof(request), MSG_DONTWAIT);

	if (n == 0)
		_exit(0);
	if (n < 0)
		return;
	request.value = guest_access(request.id, request.write, request.at, request.value);
	*level_told = fake.level;
	(void)send(fd, &request.value, 1, MSG_NOSIGNAL);
}

static void process_main(int fd)
{
	in_process = true;
	fake.level = *level_told;
	fake.now_ns = now_ns();
	assert_int_equal(fake_create(UMDEV_STATE_RESUME), 0);
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		uint32_t did;

		fake.now_ns = now_ns();
		did = fake_turn();
		*level_told = fake.level;
		if (poll(&p, 1, did > 0 ? 0 : 1) > 0)
			process_serve(fd);
	}
}

/* Where processes are slow to begin, none would come to anything: they live longer by and by. */
static suseconds_t process_life_us(void)
{
	unsigned most = LIFE_US * (1 + (unsigned)((now_ns() - run_began_ns) / 1000000000));

	return 50 + (suseconds_t)((unsigned)rand() % most);
}

static void process_start(void)
{
	struct itimerval life = {.it_value.tv_usec = process_life_us()};
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	process.killed = 0;
	process.pid = fork();
	assert_true(process.pid >= 0);
	if (process.pid == 0) {
		close(ends[0]);
		process_main(ends[1]);
	}
	close(ends[1]);
	process.fd = ends[0];
	setitimer(ITIMER_REAL, &life, NULL);
}

static void process_kill(int signal)
{
	(void)signal;
	process.killed = 1;
	kill(process.pid, SIGKILL);
}

/* It must have died as it should, and by nothing of its own. */
static void process_bury(void)
{
	int status = 0;
	pid_t pid;

	do
		pid = waitpid(process.pid, &status, 0);
	while (pid < 0 && errno == EINTR);
	assert_int_equal(pid, process.pid);
	close(process.fd);
	if (!process.killed || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		fail_msg("the process ended by itself: status %x", (unsigned)status);
	kills++;
}

/* ---- The guest ---- */

static uint8_t guest_asks(uint32_t port, uint32_t reg, bool write, uint8_t value)
{
	const struct request request = {.id = guest_access_id(),
					.write = write,
					.value = value,
					.at = port * UART_REGISTERS + reg};
	uint8_t answer = 0;

	for (;;) {
		ssize_t n = send(process.fd, &request, sizeof(request), MSG_NOSIGNAL);

		while (n > 0) {
			n = recv(process.fd, &answer, 1, 0);
			if (n == 1)
				return answer;
			if (n < 0 && errno == EINTR)
				n = 1; /* the alarm: it is dead soon */
		}
		if (n < 0 && errno == EINTR)
			continue;
		process_bury();
		process_start();
	}
}

static bool guest_interrupted(void)
{
	return *level_told;
}

static const struct talk_ops guest = {.access = guest_asks, .level = guest_interrupted};

/* ---- A run ---- */

static void run(const struct fake_options *options, unsigned seed)
{
	time_t end_s = time(NULL) + LIMIT_S;

	srand(seed);
	run_began_ns = now_ns();
	talk_begin(options, &guest);
	*level_told = fake.level;
	fake_crash();
	process_start();
	while (!talk_done()) {
		if (time(NULL) > end_s)
			talk_stuck();
		talk_programs();
		talk_guest();
		/* As a guest that has nothing to do: the process may be dead. */
		(void)guest_asks(0, UART_SCR + UART_REGISTERS * (seed % 2), false, 0);
	}
	setitimer(ITIMER_REAL, &(struct itimerval){.it_value.tv_usec = 0}, NULL);
	process_kill(SIGALRM);
	process_bury();
	talk_end();
	fake_down();
}

static void runs(uint32_t backend, uint32_t breaks)
{
	const char *more = getenv("UMDEV_SERIAL_KILLS");
	uint32_t most = (more ? (uint32_t)strtoul(more, NULL, 10) : 300) / 4;
	const struct fake_options options = {.backend = backend, .breaks = breaks, .type = 1};

	if (in_process)
		_exit(1);
	kills = 0;
	for (unsigned seed = 0; kills < most; seed++)
		run(&options, seed);
}

static void test_pty(void **state)
{
	runs(SERIAL_BACKEND_PTY, SERIAL_BREAKS_DROP);
}

static void test_pty_marks(void **state)
{
	runs(SERIAL_BACKEND_PTY, SERIAL_BREAKS_MARKS);
}

static void test_unix(void **state)
{
	runs(SERIAL_BACKEND_UNIX, SERIAL_BREAKS_DROP);
}

static void test_unix_marks(void **state)
{
	runs(SERIAL_BACKEND_UNIX, SERIAL_BREAKS_MARKS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pty),
		cmocka_unit_test(test_pty_marks),
		cmocka_unit_test(test_unix),
		cmocka_unit_test(test_unix_marks),
	};
	const struct sigaction alarmed = {.sa_handler = process_kill};

	level_told = mmap(NULL, sizeof(*level_told), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (level_told == MAP_FAILED || sigaction(SIGALRM, &alarmed, NULL) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
