/* SPDX-License-Identifier: BSD-3-Clause */
/* The protocol of a service manager: what is told arrives, and only what is ours is taken. */
#include "util/notify.h"

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
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/fd.h"

/* A manager at an abstract address, in the environment. */
static int manager(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char name[64];

	snprintf(name, sizeof(name), "@umdev-notify-%d", (int)getpid());
	memcpy(address.sun_path, name, strlen(name));
	address.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (const struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
			 0);
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

static void test_say(void **state)
{
	int fd = manager();
	char text[64] = "";
	size_t nfds;

	(void)state;
	assert_int_equal(notify_say("READY=1"), 0);
	assert_int_equal(fd_recv(fd, text, sizeof(text) - 1, NULL, 0, &nfds), 7);
	assert_string_equal(text, "READY=1");
	close(fd);
	assert_int_equal(notify_say("READY=1"), -ECONNREFUSED);
	assert_int_equal(notify_open(), -ECONNREFUSED);
}

static void test_addresses(void **state)
{
	char path[200];

	(void)state;
	memset(path, 'x', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	setenv("NOTIFY_SOCKET", path, 1);
	assert_int_equal(notify_open(), -EINVAL);
	setenv("NOTIFY_SOCKET", "relative", 1);
	assert_int_equal(notify_open(), -EINVAL);
	setenv("NOTIFY_SOCKET", "", 1);
	assert_int_equal(notify_say("READY=1"), -EINVAL);
	setenv("NOTIFY_SOCKET", "/nowhere/at/all", 1);
	assert_int_equal(notify_open(), -ECONNREFUSED);
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(notify_open(), -ENOENT);
	assert_int_equal(notify_say("READY=1"), 0);
}

/* A manager that reads nothing is not waited for. */
static void test_full(void **state)
{
	int fd = manager();
	int sock = notify_open();
	ssize_t n = 0;

	(void)state;
	assert_true(sock >= 0);
	for (int i = 0; i < 100000 && n >= 0; i++)
		n = fd_send(sock, "x", 1, &fd, 1);
	assert_int_equal(n, -EAGAIN);
	close(sock);
	close(fd);
}

static void listen_as(const char *pid, const char *count, const char *names)
{
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", count, 1);
	if (names)
		setenv("LISTEN_FDNAMES", names, 1);
	else
		unsetenv("LISTEN_FDNAMES");
}

static void test_take(void **state)
{
	struct notify_fd *fds = NULL;
	char pid[16];
	int n;

	(void)state;
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	/* 3 and 5 are open, 4 is not. */
	assert_true(dup2(STDERR_FILENO, 3) == 3 && dup2(STDERR_FILENO, 5) == 5);
	close(4);
	listen_as(pid, "3", "a:b");
	n = notify_take_fds(&fds);
	assert_int_equal(n, 2);
	assert_int_equal(fds[0].fd, 3);
	assert_string_equal(fds[0].name, "a");
	assert_int_equal(fds[1].fd, 5);
	assert_string_equal(fds[1].name, "");
	assert_true(fcntl(3, F_GETFD) & FD_CLOEXEC);
	assert_null(getenv("LISTEN_PID"));
	assert_null(getenv("LISTEN_FDS"));
	assert_null(getenv("LISTEN_FDNAMES"));
	notify_fds_free(fds, 2);
	assert_int_equal(fcntl(3, F_GETFD), -1);
	assert_int_equal(fcntl(5, F_GETFD), -1);
}

static void test_not_ours(void **state)
{
	struct notify_fd *fds = NULL;
	char pid[16];

	(void)state;
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	assert_int_equal(notify_take_fds(&fds), 0);
	listen_as("1", "2", "a:b");
	assert_int_equal(notify_take_fds(&fds), 0);
	assert_null(getenv("LISTEN_PID"));
	listen_as(pid, "65537", NULL);
	assert_int_equal(notify_take_fds(&fds), -EINVAL);
	listen_as(pid, "-1", NULL);
	assert_int_equal(notify_take_fds(&fds), -EINVAL);
	listen_as("x", "1", NULL);
	assert_int_equal(notify_take_fds(&fds), -EINVAL);
	listen_as(pid, "0", "a");
	assert_int_equal(notify_take_fds(&fds), 0);
	notify_fds_free(fds, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_say),	 cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_full),	 cmocka_unit_test(test_take),
		cmocka_unit_test(test_not_ours),
	};

	/* Nothing of whoever started this is taken for what is handed over. */
	if (close_range(3, ~0U, 0) < 0)
		return EXIT_FAILURE;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
