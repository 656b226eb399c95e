/* SPDX-License-Identifier: BSD-3-Clause */
/* The list of system calls: what is on it goes on, what is not ends the process, on any thread. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/calls.h"
#include "host/need.h"

#define CALLS_DONE    7 /* exit status: it returned */
#define CALLS_REFUSED 8 /* the filter was not taken */

/* Restricts a child to @needs (settled too with @settle), makes @attempt there: its wait status. */
static int calls_child(uint32_t needs, bool settle, void (*attempt)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || calls_restrict(needs) < 0 ||
		    (settle && calls_settle() < 0))
			syscall(SYS_exit_group, CALLS_REFUSED);
		attempt();
		syscall(SYS_exit_group, CALLS_DONE);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void calls_expect(uint32_t needs, bool settle, void (*attempt)(void), bool allowed)
{
	int status = calls_child(needs, settle, attempt);

	if (allowed) {
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), CALLS_DONE);
	} else {
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGSYS);
	}
}

static void calls_try_getpid(void)
{
	syscall(SYS_getpid);
}

static void calls_try_open(void)
{
	syscall(SYS_openat, AT_FDCWD, "/", O_RDONLY);
}

static void calls_try_fdatasync(void)
{
	syscall(SYS_fdatasync, -1);
}

static void calls_try_memory(void)
{
	syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void calls_try_code(void)
{
	syscall(SYS_mprotect, NULL, 0, PROT_READ | PROT_EXEC);
}

static void calls_try_raise(void)
{
	syscall(SYS_tgkill, syscall(SYS_getpid), syscall(SYS_gettid), 0);
}

static void calls_try_kill_other(void)
{
	syscall(SYS_tgkill, 1, 1, 0);
}

static void calls_try_limit(void)
{
	uint64_t limit[2] = {0, 0};

	syscall(SYS_prlimit64, 0, 0, limit, NULL);
}

static void calls_try_thread(void)
{
	/* Refused for want of CLONE_SIGHAND, should it be let through. */
	syscall(SYS_clone, CLONE_VM | CLONE_THREAD, 0, 0, 0, 0);
}

static void calls_try_process(void)
{
	syscall(SYS_clone, CLONE_VM | CLONE_THREAD | CLONE_NEWUSER, 0, 0, 0, 0);
}

static void calls_try_ring(void)
{
	syscall(SYS_io_uring_setup, 0, NULL);
}

static void test_every_host(void **state)
{
	calls_expect(0, false, calls_try_getpid, true);
	calls_expect(0, false, calls_try_memory, true);
	calls_expect(0, false, calls_try_raise, true);
	calls_expect(0, false, calls_try_open, false);
	calls_expect(0, false, calls_try_code, false);
	calls_expect(0, false, calls_try_kill_other, false);
	calls_expect(0, false, calls_try_limit, false);
}

static void test_needs(void **state)
{
	uint32_t all_but = (NEED_BIT(NEED_COUNT) - 1) & ~NEED_BIT(NEED_FILES);

	calls_expect(NEED_BIT(NEED_FILES), false, calls_try_fdatasync, true);
	calls_expect(all_but, false, calls_try_fdatasync, false);
	calls_expect(NEED_BIT(NEED_COUNT) - 1, false, calls_try_open, false);
}

static void test_settled(void **state)
{
	uint32_t both = NEED_BIT(NEED_THREADS) | NEED_BIT(NEED_IO_URING);

	calls_expect(both, false, calls_try_thread, true);
	calls_expect(both, true, calls_try_thread, false);
	calls_expect(both, false, calls_try_process, false);
	calls_expect(NEED_BIT(NEED_IO_URING), false, calls_try_thread, false);
	calls_expect(both, false, calls_try_ring, true);
	calls_expect(both, true, calls_try_ring, false);
	calls_expect(NEED_BIT(NEED_THREADS), false, calls_try_ring, false);
	calls_expect(both, true, calls_try_getpid, true);
}

static pthread_barrier_t calls_restricted;

static void *calls_thread(void *arg)
{
	pthread_barrier_wait(&calls_restricted);
	calls_try_open();
	return arg;
}

/* A thread that was there before is under it, and takes the process with it. */
static void test_threads(void **state)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		pthread_t thread;

		pthread_barrier_init(&calls_restricted, NULL, 2);
		if (pthread_create(&thread, NULL, calls_thread, NULL) != 0 ||
		    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || calls_restrict(0) < 0)
			_exit(CALLS_REFUSED);
		pthread_barrier_wait(&calls_restricted);
		pthread_join(thread, NULL);
		_exit(CALLS_DONE);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void test_names(void **state)
{
	for (int i = 0; i < NEED_COUNT; i++)
		assert_int_equal(need_find(need_name(i)), i);
	assert_null(need_name(NEED_COUNT));
	assert_null(need_name(-1));
	assert_int_equal(need_find("wings"), -1);
	assert_int_equal(need_find(""), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_host), cmocka_unit_test(test_needs),
		cmocka_unit_test(test_settled),	   cmocka_unit_test(test_threads),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
