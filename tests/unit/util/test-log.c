/* SPDX-License-Identifier: BSD-3-Clause */
/* Log lines: shape, levels, one line each, and that a reader who does not read stops nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/log.h"

/* stderr is a pipe while a test runs; its own text goes back to where it was. */
struct log_capture {
	int saved;
	int read_end;
};

static int log_setup_capture(void **state)
{
	static struct log_capture capture;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0)
		return -1;
	fflush(stderr);
	capture.saved = dup(STDERR_FILENO);
	if (capture.saved < 0 || dup2(ends[1], STDERR_FILENO) < 0)
		return -1;
	close(ends[1]);
	capture.read_end = ends[0];
	unsetenv("JOURNAL_STREAM");
	log_setup("test", LOG_INFO);
	*state = &capture;
	return 0;
}

static int log_teardown_capture(void **state)
{
	struct log_capture *capture = *state;

	dup2(capture->saved, STDERR_FILENO);
	close(capture->saved);
	close(capture->read_end);
	return 0;
}

/* Takes all that is in the pipe. */
static size_t log_take(struct log_capture *capture, char *text, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while (len < size - 1 && (n = read(capture->read_end, text + len, size - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	return len;
}

static void test_shape(void **state)
{
	char text[4096];

	umdev_log(LOG_WARNING, "host", "host.died", "pid %d ended", 42);
	log_take(*state, text, sizeof(text));
	assert_string_equal(text, "test: warning: host: pid 42 ended [host.died]\n");
}

static void test_systemd_prefix(void **state)
{
	char text[4096];

	setenv("JOURNAL_STREAM", "8:1", 1);
	log_setup("test", LOG_INFO);
	umdev_log(LOG_ERR, "broker", "x.y", "text");
	log_take(*state, text, sizeof(text));
	assert_string_equal(text, "<3>broker: text [x.y]\n");
}

static void test_levels(void **state)
{
	char text[4096];

	umdev_log(LOG_DEBUG, "s", "e", "not written");
	umdev_log(-1, "s", "e", "not written");
	umdev_log(8, "s", "e", "not written");
	assert_int_equal(log_take(*state, text, sizeof(text)), 0);
	log_setup("test", LOG_DEBUG);
	umdev_log(LOG_DEBUG, "s", "e", "written");
	log_take(*state, text, sizeof(text));
	assert_string_equal(text, "test: debug: s: written [e]\n");
}

static void test_one_line(void **state)
{
	char text[4096];

	umdev_log(LOG_INFO, "a\nb", "e", "one\ntwo\x1b[31m");
	log_take(*state, text, sizeof(text));
	assert_string_equal(text, "test: info: a b: one two [31m [e]\n");
}

static void test_long_line_is_cut(void **state)
{
	char text[8192];
	char large[4000];
	size_t len;

	memset(large, 'z', sizeof(large));
	large[sizeof(large) - 1] = '\0';
	umdev_log(LOG_INFO, "s", "e", "%s", large);
	len = log_take(*state, text, sizeof(text));
	assert_int_equal(len, 1024);
	assert_ptr_equal(strchr(text, '\n'), text + len - 1);
	umdev_log(LOG_INFO, large, "e", "text");
	assert_int_equal(log_take(*state, text, sizeof(text)), 1024);
}

static void test_errno_is_kept(void **state)
{
	errno = EXDEV;
	umdev_log(LOG_INFO, "s", "e", "text");
	assert_int_equal(errno, EXDEV);
}

/* A full pipe: nothing waits, the lost lines are counted, and told once there is room. */
static void test_full_pipe(void **state)
{
	static char text[1 << 20];
	uint64_t before = log_dropped();
	uint64_t start = clock_now_ns();
	char told[64];
	uint64_t lost;

	for (int i = 0; i < 10000; i++)
		umdev_log(LOG_INFO, "s", "e", "line %d", i);
	assert_true(clock_now_ns() - start < 5 * NS_PER_S);
	lost = log_dropped() - before;
	assert_true(lost > 0 && lost < 10000);
	log_take(*state, text, sizeof(text));
	assert_non_null(strstr(text, "line 0 [e]\n"));
	assert_int_equal(text[strlen(text) - 1], '\n');

	umdev_log(LOG_INFO, "s", "e", "room again");
	log_take(*state, text, sizeof(text));
	snprintf(told, sizeof(told), "test: log: %llu lines dropped\n", (unsigned long long)lost);
	assert_memory_equal(text, told, strlen(told));
	assert_string_equal(text + strlen(told), "test: info: s: room again [e]\n");

	umdev_log(LOG_INFO, "s", "e", "once");
	log_take(*state, text, sizeof(text));
	assert_string_equal(text, "test: info: s: once [e]\n");
}

static void test_reader_gone(void **state)
{
	struct log_capture *capture = *state;
	uint64_t before = log_dropped();
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_true(dup2(null, capture->read_end) >= 0);
	close(null);
	umdev_log(LOG_INFO, "s", "e", "to nobody");
	assert_true(log_dropped() == before + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_shape, log_setup_capture,
						log_teardown_capture),
		cmocka_unit_test_setup_teardown(test_systemd_prefix, log_setup_capture,
						log_teardown_capture),
		cmocka_unit_test_setup_teardown(test_levels, log_setup_capture,
						log_teardown_capture),
		cmocka_unit_test_setup_teardown(test_one_line, log_setup_capture,
						log_teardown_capture),
		cmocka_unit_test_setup_teardown(test_long_line_is_cut, log_setup_capture,
						log_teardown_capture),
		cmocka_unit_test_setup_teardown(test_errno_is_kept, log_setup_capture,
						log_teardown_capture),
		cmocka_unit_test_setup_teardown(test_full_pipe, log_setup_capture,
						log_teardown_capture),
		cmocka_unit_test_setup_teardown(test_reader_gone, log_setup_capture,
						log_teardown_capture),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
