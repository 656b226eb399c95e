/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Processes that die at every step there is, again and again, with a guest that works by interrupts
 * alone and programs that talk at the other ends. All bytes have to arrive once and in order, and
 * no register may show that anything happened.
 *
 * A step is the moment before or after a new image becomes the current one, or a service of the
 * host. Every call that moves bytes lies between two images. Calls move fewer bytes than they could
 * at random, so that transfers end in the middle.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "talk.h"

#define ROUNDS_MAX 60000
#define STEPS_MAX  48
#define NAMES_MAX  64

/* ---- Steps ---- */

static const char *const carries[] = {"none", "out", "break", "in", "pull"};

/* How often a process died where: of all children. */
static struct places {
	uint32_t count;
	struct {
		char name[32];
		uint32_t deaths;
	} at[NAMES_MAX];
} * places;

void __real_serial_commit(struct serial_mdev *m);
void __wrap_serial_commit(struct serial_mdev *m);
ssize_t __real_splice(int in, off_t *in_at, int out, off_t *out_at, size_t len, unsigned flags);
ssize_t __wrap_splice(int in, off_t *in_at, int out, off_t *out_at, size_t len, unsigned flags);
int __real_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags);
int __wrap_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags);
int __real_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
		    struct timespec *timeout);
int __wrap_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
		    struct timespec *timeout);

static void step(const char *when, uint32_t carry)
{
	static char name[32];

	snprintf(name, sizeof(name), "%s %s", when, carries[carry]);
	fake_step(name);
}

void __wrap_serial_commit(struct serial_mdev *m)
{
	step("before", m->work.carry);
	__real_serial_commit(m);
	step("after", m->work.carry);
}

static size_t fewer(size_t len)
{
	return rand() % 3 ? len : 1 + (size_t)rand() % len;
}

ssize_t __wrap_splice(int in, off_t *in_at, int out, off_t *out_at, size_t len, unsigned flags)
{
	return __real_splice(in, in_at, out, out_at, fewer(len), flags);
}

int __wrap_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
	messages->msg_hdr.msg_iov->iov_len = fewer(messages->msg_hdr.msg_iov->iov_len);
	return __real_sendmmsg(fd, messages, count, flags);
}

int __wrap_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
		    struct timespec *timeout)
{
	messages->msg_hdr.msg_iov->iov_len = fewer(messages->msg_hdr.msg_iov->iov_len);
	return __real_recvmmsg(fd, messages, count, flags, timeout);
}

static void died(void)
{
	uint32_t i = 0;

	while (i < places->count && strcmp(places->at[i].name, fake.died_at) != 0)
		i++;
	assert_true(i < NAMES_MAX);
	if (i == places->count) {
		places->count++;
		snprintf(places->at[i].name, sizeof(places->at[i].name), "%s", fake.died_at);
	}
	places->at[i].deaths++;
}

/* ---- Life goes on ---- */

/* Some live long enough for a burst to come to its end, which begins anew with each. */
static uint32_t steps_next(void)
{
	return 1 + (uint32_t)rand() % (rand() % 16 ? STEPS_MAX : 40 * STEPS_MAX);
}

static void act_create(void *arg)
{
	assert_int_equal(fake_create(UMDEV_STATE_RESUME), 0);
}

static void act_turn(void *arg)
{
	(void)fake_turn();
}

static void resume(void)
{
	do {
		died();
		fake_crash();
		fake.steps = steps_next();
	} while (!fake_survives(act_create, NULL));
}

static void turn(void)
{
	if (!fake_survives(act_turn, NULL))
		resume();
}

struct access {
	uint64_t id;
	bool write;
	uint32_t at;
	uint8_t value;
};

static void act_access(void *arg)
{
	struct access *a = arg;

	a->value = guest_access(a->id, a->write, a->at, a->value);
	fake_step("answer");
}

/* Accesses are most of what happens: in some runs they do not count. */
static bool accesses_count;

static uint8_t access_made(uint32_t port, uint32_t reg, bool write, uint8_t value)
{
	struct access a = {guest_access_id(), write, port * UART_REGISTERS + reg, value};
	uint32_t steps = fake.steps;

	if (!accesses_count)
		fake.steps = 0;
	while (!fake_survives(act_access, &a)) {
		a.value = value;
		resume();
	}
	if (!accesses_count)
		fake.steps = steps;
	return a.value;
}

/* ---- A run ---- */

static bool level(void)
{
	return fake.level;
}

static const struct talk_ops guest = {.access = access_made, .level = level};

static void run(const struct fake_options *options, unsigned seed)
{
	uint32_t rounds = 0;

	srand(seed);
	accesses_count = seed % 4 < 2;
	talk_begin(options, &guest);
	fake.steps = steps_next();
	while (!talk_done()) {
		if (rounds++ > ROUNDS_MAX)
			talk_stuck();
		talk_programs();
		fake.now_ns += (uint64_t)rand() % 400000;
		turn();
		talk_guest();
	}
	fake.steps = 0;
	fake_pass(100000000);
	talk_end();
	fake_settle();
	fake_down();
}

/* Whether this is the process of a run, which comes back from it by failing only. */
static bool running;

static void runs_over(void)
{
	if (running)
		_exit(1);
}

/* Each run in a process of its own, since what dies while it is made leaves its memory and its
 * descriptors. */
static void runs(uint32_t backend, uint32_t breaks)
{
	const char *more = getenv("UMDEV_SERIAL_DEATHS");
	unsigned count = more ? (unsigned)strtoul(more, NULL, 10) : 40;
	struct rlimit files;

	runs_over();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	files.rlim_cur = files.rlim_max;
	for (unsigned seed = 0; seed < count; seed++) {
		const struct fake_options options = {.backend = backend,
						     .breaks = breaks,
						     .type = 1,
						     .rate = seed % 2 ? 100000 : 0};
		pid_t pid = fork();
		int status = 0;

		assert_true(pid >= 0);
		if (pid == 0) {
			running = true;
			(void)setrlimit(RLIMIT_NOFILE, &files);
			run(&options, seed);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (status != 0)
			fail_msg("seed %u", seed);
	}
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

/* None of the steps was left out. */
static void test_places(void **state)
{
	static const char *const all[] = {
		"before none", "after none", "before out", "after out",	      "before break",
		"after break", "before in",  "after in",   "before pull",     "after pull",
		"answer",      "access_id",  "timer",	   "irq_raise",	      "irq_raise, done",
		"irq_lower",   "job_submit", "job_done",   "irq_lower, done",
	};

	runs_over();
	for (uint32_t i = 0; i < places->count; i++)
		print_message("%8u %s\n", places->at[i].deaths, places->at[i].name);
	for (uint32_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		uint32_t found = 0;

		while (found < places->count && strcmp(places->at[found].name, all[i]) != 0)
			found++;
		if (found == places->count)
			fail_msg("nothing died at: %s", all[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pty),    cmocka_unit_test(test_pty_marks),
		cmocka_unit_test(test_unix),   cmocka_unit_test(test_unix_marks),
		cmocka_unit_test(test_places),
	};

	places = mmap(NULL, sizeof(*places), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (places == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
