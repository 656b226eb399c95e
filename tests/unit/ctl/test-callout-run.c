/* SPDX-License-Identifier: BSD-3-Clause */
/* One script with its bounds: time, output, input that nobody reads, children that stay. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/callout-run.h"
#include "lib/open-fds.h"
#include "util/clock.h"

#define LONG_NS	 (20 * NS_PER_S)
#define SHORT_NS (200 * NS_PER_MS)

static struct callout_result result;

/* Runs a line of shell with an argument of its own. */
static int run_line(const char *line, const char *input, uint64_t limit_ns)
{
	const char *const argv[] = {"/bin/sh", "-c", line, "sh", "an argument", NULL};

	return callout_run(argv, input, limit_ns, &result);
}

static void test_ends(void **state)
{
	assert_int_equal(
		run_line("cat; echo \"$1\"; echo oops >&2; exit 7", "what it reads\n", LONG_NS), 0);
	assert_int_equal(result.status, 7);
	assert_int_equal(result.signal, 0);
	assert_string_equal(result.output, "what it reads\nan argument\n");
	assert_string_equal(result.complaint, "oops\n");
	assert_int_equal(result.output_len, strlen(result.output));
	assert_int_equal(run_line("cat", NULL, LONG_NS), 0);
	assert_int_equal(result.status, 0);
	assert_string_equal(result.output, "");
	assert_string_equal(result.complaint, "");
	assert_int_equal(run_line("kill -9 $$", NULL, LONG_NS), 0);
	assert_int_equal(result.status, -1);
	assert_int_equal(result.signal, SIGKILL);
}

static void test_cannot_start(void **state)
{
	const char *const missing[] = {"/nonexistent/script", NULL};
	const char *const plain[] = {"/etc/passwd", NULL};
	const char *const dir[] = {"/tmp", NULL};

	assert_int_equal(callout_run(missing, NULL, LONG_NS, &result), -ENOENT);
	assert_int_equal(callout_run(plain, "x", LONG_NS, &result), -EACCES);
	assert_int_equal(callout_run(dir, NULL, LONG_NS, &result), -EACCES);
}

/* Whether @pid is gone, or only waits for its parent to take note. */
static bool is_gone(pid_t pid)
{
	char path[64];
	char text[256] = "";
	const char *paren;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	paren = strrchr(text, ')');
	return !paren || paren[2] == 'Z';
}

static void test_takes_too_long(void **state)
{
	uint64_t begin = clock_now_ns();
	uint64_t deadline;
	pid_t child;

	assert_int_equal(run_line("sleep 1000 & echo $!; wait", NULL, SHORT_NS), -ETIMEDOUT);
	assert_true(clock_now_ns() - begin >= SHORT_NS);
	assert_true(clock_now_ns() - begin < LONG_NS);
	child = (pid_t)atoi(result.output);
	assert_true(child > 0);
	deadline = clock_now_ns() + LONG_NS;
	while (!is_gone(child))
		assert_true(clock_now_ns() < deadline);
	/* Deaf to everything but SIGKILL, and one that talks all the time. */
	assert_int_equal(run_line("trap '' TERM INT HUP; while :; do echo x; done", NULL, SHORT_NS),
			 -ETIMEDOUT);
	assert_int_equal(result.signal, SIGKILL);
}

/* Who holds the pipes open after the script's end is not waited for. */
static void test_leaves_a_child(void **state)
{
	uint64_t begin = clock_now_ns();
	pid_t child;

	assert_int_equal(run_line("sleep 1000 & echo $!", NULL, LONG_NS), 0);
	assert_true(clock_now_ns() - begin < LONG_NS);
	assert_int_equal(result.status, 0);
	child = (pid_t)atoi(result.output);
	assert_true(child > 0);
	assert_int_equal(kill(child, SIGKILL), 0);
}

static void test_output_bounds(void **state)
{
	char line[128];

	snprintf(line, sizeof(line), "head -c %d /dev/zero | tr '\\0' x", CALLOUT_OUTPUT_MAX);
	assert_int_equal(run_line(line, NULL, LONG_NS), 0);
	assert_int_equal(result.output_len, CALLOUT_OUTPUT_MAX);
	assert_int_equal(strlen(result.output), CALLOUT_OUTPUT_MAX);
	snprintf(line, sizeof(line), "head -c %d /dev/zero | tr '\\0' x | tee /dev/stderr",
		 CALLOUT_OUTPUT_MAX + 1);
	assert_int_equal(run_line(line, NULL, LONG_NS), 0);
	assert_int_equal(result.status, 0);
	assert_int_equal(result.output_len, CALLOUT_OUTPUT_MAX);
	assert_int_equal(result.complaint_len, CALLOUT_COMPLAINT_MAX - 1);
	assert_int_equal(run_line("head -c 3000000 /dev/zero", NULL, LONG_NS), 0);
	assert_int_equal(result.status, 0);
}

static void test_input_that_is_not_read(void **state)
{
	size_t size = 1 << 20;
	char *input = malloc(size + 1);
	struct sigaction now;

	assert_non_null(input);
	memset(input, 'x', size);
	input[size] = '\0';
	assert_int_equal(run_line("exec <&-; exit 3", input, LONG_NS), 0);
	assert_int_equal(result.status, 3);
	assert_int_equal(run_line("head -c 1 > /dev/null", input, LONG_NS), 0);
	assert_int_equal(result.status, 0);
	assert_int_equal(run_line("cat | wc -c", input, LONG_NS), 0);
	assert_int_equal(atoi(result.output), size);
	free(input);
	/* And SIGPIPE is what it was, here and for the script. */
	assert_int_equal(sigaction(SIGPIPE, NULL, &now), 0);
	assert_true(now.sa_handler == SIG_DFL);
	assert_int_equal(run_line("kill -PIPE $$", NULL, LONG_NS), 0);
	assert_int_equal(result.signal, SIGPIPE);
	assert_int_equal(run_line("kill -TERM $$", NULL, LONG_NS), 0);
	assert_int_equal(result.signal, SIGTERM);
}

/* Those that whoever runs this test lets every program have. */
static int count_inherited(void)
{
	int n = 0;

	for (int fd = STDERR_FILENO + 1; fd < 256; fd++) {
		int flags = fcntl(fd, F_GETFD);

		n += flags >= 0 && !(flags & FD_CLOEXEC);
	}
	return n;
}

static void test_descriptors(void **state)
{
	int open_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int stdin_copy = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 10);
	int before = count_open_fds();

	/* Its three, and the directory that it is reading. */
	assert_int_equal(run_line("n=0; for f in /proc/$$/fd/*; do n=$((n + 1)); done; echo $n",
				  NULL, LONG_NS),
			 0);
	assert_int_equal(atoi(result.output), count_inherited() + 4);
	assert_int_equal(count_open_fds(), before);
	/* Without a standard input of our own, the pipes lie where the script's ends go. */
	assert_int_equal(close(STDIN_FILENO), 0);
	assert_int_equal(run_line("cat; echo out; echo err >&2", "in\n", LONG_NS), 0);
	assert_string_equal(result.output, "in\nout\n");
	assert_string_equal(result.complaint, "err\n");
	assert_int_equal(count_open_fds(), before - 1);
	assert_int_equal(dup2(stdin_copy, STDIN_FILENO), STDIN_FILENO);
	close(stdin_copy);
	close(open_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_cannot_start),
		cmocka_unit_test(test_takes_too_long),
		cmocka_unit_test(test_leaves_a_child),
		cmocka_unit_test(test_output_bounds),
		cmocka_unit_test(test_input_that_is_not_read),
		cmocka_unit_test(test_descriptors),
	};

	return cmocka_run_group_tests_name("callout run", tests, NULL, NULL);
}
