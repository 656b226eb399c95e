/* SPDX-License-Identifier: BSD-3-Clause */
/* Processes that begin and end. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/process.h"

/* A process that sleeps until it is killed, with a name that could be taken for other fields. */
static pid_t child_new(void)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, ") Z 1 (x) Z");
		(void)!write(ready[1], "", 1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void test_life(void **state)
{
	pid_t pid = child_new();
	siginfo_t info;
	uint64_t started = process_started(pid);

	(void)state;
	assert_true(started > 0 && started >= process_started(getpid()));
	assert_false(process_ended(pid));
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	assert_true(process_ended(pid));
	assert_int_equal(process_started(pid), started);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(process_ended(pid));
	assert_int_equal(process_started(pid), 0);
}

static void test_others(void **state)
{
	(void)state;
	assert_false(process_ended(getpid()));
	assert_false(process_ended(1)); /* of another user, perhaps */
	assert_false(process_ended(0));
	assert_false(process_ended(-1));
	assert_int_equal(process_started(0), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_others),
	};

	return cmocka_run_group_tests_name("process", tests, NULL, NULL);
}
