/* SPDX-License-Identifier: BSD-3-Clause */
/* Descriptors in messages, their limits and their ownership; memfds; files that are never half. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/open-fds.h"
#include "util/fd.h"

#define ENTRY_MAX 256

/* A directory of its own for each test that touches files, and the number of open descriptors,
 * which must be the same again at the end. */
struct fixture {
	char path[64];
	int dir;
	int open_fds;
};

static int fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	snprintf(f->path, sizeof(f->path), "/tmp/umdev-test-fd-XXXXXX");
	assert_non_null(mkdtemp(f->path));
	f->dir = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->dir >= 0);
	f->open_fds = count_open_fds();
	*state = f;
	return 0;
}

/* Removes the names below @dir, directories included, one level of depth at a time. */
static void fixture_empty(int dir)
{
	DIR *stream = fdopendir(dup(dir));
	struct dirent *entry;

	assert_non_null(stream);
	rewinddir(stream);
	while ((entry = readdir(stream))) {
		int sub;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (unlinkat(dir, entry->d_name, 0) == 0)
			continue;
		sub = openat(dir, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (sub >= 0) {
			fixture_empty(sub);
			close(sub);
		}
		unlinkat(dir, entry->d_name, AT_REMOVEDIR);
	}
	closedir(stream);
}

static int fixture_teardown(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(count_open_fds(), f->open_fds);
	fixture_empty(f->dir);
	close(f->dir);
	assert_int_equal(rmdir(f->path), 0);
	free(f);
	return 0;
}

/* The one name in the directory besides @name, or "" when there is none. */
static const char *fixture_stray_name(struct fixture *f, const char *name)
{
	static char stray[ENTRY_MAX];
	DIR *stream = fdopendir(dup(f->dir));
	struct dirent *entry;

	stray[0] = '\0';
	assert_non_null(stream);
	rewinddir(stream);
	while ((entry = readdir(stream))) {
		if (entry->d_name[0] != '.' && strcmp(entry->d_name, name) != 0)
			snprintf(stray, sizeof(stray), "%s", entry->d_name);
	}
	closedir(stream);
	return stray;
}

static void fd_make_many(int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		assert_true(fds[i] >= 0);
	}
}

static bool fd_is_cloexec(int fd)
{
	return fcntl(fd, F_GETFD) & FD_CLOEXEC;
}

/* ---- Messages */

static void test_send_and_receive(void **state)
{
	int pair[2];
	int sent[3];
	int got[8];
	char text[16];
	size_t nfds = 99;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	fd_make_many(sent, 3);
	assert_int_equal(fd_send(pair[0], "hello", 5, sent, 3), 5);
	assert_int_equal(fd_recv(pair[1], text, sizeof(text), got, 8, &nfds), 5);
	assert_memory_equal(text, "hello", 5);
	assert_int_equal(nfds, 3);
	for (size_t i = 0; i < nfds; i++)
		assert_true(fd_is_cloexec(got[i]));
	fd_close_all(got, nfds);
	assert_int_equal(got[0], -1);
	/* What was sent stays the sender's. */
	for (size_t i = 0; i < 3; i++)
		assert_true(fcntl(sent[i], F_GETFD) >= 0);
	fd_close_all(sent, 3);
	fd_close_all(pair, 2);
}

static void test_receive_nothing_and_end(void **state)
{
	int pair[2];
	int got[1];
	char text[16];
	size_t nfds = 99;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(fd_recv(pair[1], text, sizeof(text), got, 1, &nfds), -EAGAIN);
	assert_int_equal(nfds, 0);
	fd_close(&pair[0]);
	nfds = 99;
	assert_int_equal(fd_recv(pair[1], text, sizeof(text), got, 1, &nfds), 0);
	assert_int_equal(nfds, 0);
	assert_int_equal(fd_send(pair[1], "x", 1, NULL, 0), -EPIPE);
	fd_close(&pair[1]);
}

/* As many as the kernel takes, and one more. */
static void test_most_fds(void **state)
{
	int pair[2];
	int *sent = calloc(FD_MESSAGE_MAX + 1, sizeof(int));
	int *got = calloc(FD_MESSAGE_MAX, sizeof(int));
	size_t nfds;
	char byte;

	assert_non_null(sent);
	assert_non_null(got);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	fd_make_many(sent, FD_MESSAGE_MAX + 1);
	assert_int_equal(fd_send(pair[0], "x", 1, sent, FD_MESSAGE_MAX + 1), -E2BIG);
	assert_int_equal(fd_send(pair[0], "x", 1, sent, FD_MESSAGE_MAX), 1);
	assert_int_equal(fd_recv(pair[1], &byte, 1, got, FD_MESSAGE_MAX, &nfds), 1);
	assert_int_equal(nfds, FD_MESSAGE_MAX);
	fd_close_all(got, nfds);
	fd_close_all(sent, FD_MESSAGE_MAX + 1);
	fd_close_all(pair, 2);
	free(sent);
	free(got);
}

/* Descriptors nobody asked for are closed: the teardown counts. */
static void test_fds_beyond_room(void **state)
{
	int pair[2];
	int sent[5];
	int got[2];
	size_t nfds;
	char byte;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	fd_make_many(sent, 5);
	assert_int_equal(fd_send(pair[0], "x", 1, sent, 5), 1);
	assert_int_equal(fd_recv(pair[1], &byte, 1, got, 2, &nfds), 1);
	assert_int_equal(nfds, 2);
	fd_close_all(got, nfds);
	assert_int_equal(fd_send(pair[0], "x", 1, sent, 5), 1);
	assert_int_equal(fd_recv(pair[1], &byte, 1, NULL, 0, &nfds), 1);
	assert_int_equal(nfds, 0);
	fd_close_all(sent, 5);
	fd_close_all(pair, 2);
}

static void test_datagram_too_long(void **state)
{
	int pair[2];
	int sent[2];
	int got[2];
	size_t nfds;
	char small[4];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	fd_make_many(sent, 2);
	assert_int_equal(fd_send(pair[0], "12345", 5, sent, 2), 5);
	assert_int_equal(fd_recv(pair[1], small, sizeof(small), got, 2, &nfds), -EMSGSIZE);
	assert_int_equal(nfds, 0);
	assert_int_equal(fd_send(pair[0], "1234", 4, NULL, 0), 4);
	assert_int_equal(fd_recv(pair[1], small, sizeof(small), got, 2, &nfds), 4);
	fd_close_all(sent, 2);
	fd_close_all(pair, 2);
}

static void test_full_socket(void **state)
{
	static const char block[4096];
	int pair[2];
	ssize_t n;
	int turns = 0;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(fd_set_nonblock(pair[0], true), 0);
	while ((n = fd_send(pair[0], block, sizeof(block), NULL, 0)) > 0)
		assert_true(++turns < 100000);
	assert_int_equal(n, -EAGAIN);
	assert_int_equal(fd_set_nonblock(pair[0], false), 0);
	assert_false(fcntl(pair[0], F_GETFL) & O_NONBLOCK);
	assert_int_equal(fd_set_nonblock(-1, true), -EBADF);
	fd_close_all(pair, 2);
}

static void test_close_keeps_errno(void **state)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	errno = EXDEV;
	fd_close(&fd);
	assert_int_equal(fd, -1);
	fd_close(&fd);
	assert_int_equal(errno, EXDEV);
}

/* ---- Memory */

static void test_memfd(void **state)
{
	struct stat st;
	int fd = fd_memfd("test", 12345);

	assert_true(fd >= 0);
	assert_true(fd_is_cloexec(fd));
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 12345);
	assert_int_equal(ftruncate(fd, 1), -1);
	assert_int_equal(ftruncate(fd, 99999), -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	close(fd);
	assert_int_equal(fd_memfd("test", (uint64_t)INT64_MAX + 1), -EFBIG);
}

/* ---- Files */

static void test_read_file(void **state)
{
	struct fixture *f = *state;
	char *data = NULL;
	size_t len = 99;

	assert_int_equal(fd_write_file_atomic(f->dir, "a", "four", 4, 0600), 0);
	assert_int_equal(fd_read_file(f->dir, "a", 4, &data, &len), 0);
	assert_int_equal(len, 4);
	assert_string_equal(data, "four");
	free(data);
	data = NULL;
	assert_int_equal(fd_read_file(f->dir, "a", 3, &data, &len), -EFBIG);
	assert_null(data);
	assert_int_equal(fd_write_file_atomic(f->dir, "a", "", 0, 0600), 0);
	assert_int_equal(fd_read_file(f->dir, "a", 0, &data, &len), 0);
	assert_int_equal(len, 0);
	assert_string_equal(data, "");
	free(data);
}

static void test_read_what_is_no_file(void **state)
{
	struct fixture *f = *state;
	char *data = NULL;
	size_t len;

	assert_int_equal(fd_read_file(f->dir, "none", 10, &data, &len), -ENOENT);
	assert_int_equal(mkdirat(f->dir, "dir", 0700), 0);
	assert_int_equal(fd_read_file(f->dir, "dir", 10, &data, &len), -EINVAL);
	/* A pipe must not make the reader wait. */
	assert_int_equal(mkfifoat(f->dir, "pipe", 0600), 0);
	assert_int_equal(fd_read_file(f->dir, "pipe", 10, &data, &len), -EINVAL);
	assert_int_equal(fd_read_file(f->dir, "/dev/zero", 10, &data, &len), -EINVAL);
	assert_null(data);
}

static void test_write_replaces(void **state)
{
	struct fixture *f = *state;
	char *data = NULL;
	size_t len;
	struct stat st;

	assert_int_equal(fd_write_file_atomic(f->dir, "a", "first, longer", 13, 0640), 0);
	assert_int_equal(fstatat(f->dir, "a", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777 & ~0640, 0);
	assert_int_equal(fd_write_file_atomic(f->dir, "a", "second", 6, 0600), 0);
	assert_int_equal(fd_read_file(f->dir, "a", 100, &data, &len), 0);
	assert_string_equal(data, "second");
	free(data);
	assert_string_equal(fixture_stray_name(f, "a"), "");
}

/* A reader that opened the old file goes on seeing the old file, whole. */
static void test_write_never_in_place(void **state)
{
	struct fixture *f = *state;
	char text[8] = "";
	int old;

	assert_int_equal(fd_write_file_atomic(f->dir, "a", "old", 3, 0600), 0);
	old = openat(f->dir, "a", O_RDONLY | O_CLOEXEC);
	assert_true(old >= 0);
	assert_int_equal(fd_write_file_atomic(f->dir, "a", "newer", 5, 0600), 0);
	assert_int_equal(read(old, text, sizeof(text) - 1), 3);
	assert_string_equal(text, "old");
	close(old);
}

static void test_write_fails_at_rename(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mkdirat(f->dir, "a", 0700), 0);
	assert_int_equal(fd_write_file_atomic(f->dir, "a", "x", 1, 0600), -EISDIR);
	assert_string_equal(fixture_stray_name(f, "a"), "");
	assert_int_equal(fd_write_file_atomic(f->dir, "no/a", "x", 1, 0600), -ENOENT);
}

/* A disk that is full in the middle of the text leaves the old file and nothing else. */
static void test_write_fails_in_the_middle(void **state)
{
	struct fixture *f = *state;
	static char large[65536];
	struct rlimit limit;
	struct rlimit low;
	char *data = NULL;
	size_t len;
	int r;

	assert_int_equal(fd_write_file_atomic(f->dir, "a", "old", 3, 0600), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	low = limit;
	low.rlim_cur = 1000;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
	r = fd_write_file_atomic(f->dir, "a", large, sizeof(large), 0600);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(r, -EFBIG);
	assert_int_equal(fd_read_file(f->dir, "a", 100, &data, &len), 0);
	assert_string_equal(data, "old");
	free(data);
	assert_string_equal(fixture_stray_name(f, "a"), "");
}

/* What a crash left of an earlier attempt is in nobody's way, and a link put there is not followed.
 */
static void test_write_over_leftover(void **state)
{
	struct fixture *f = *state;
	char *data = NULL;
	size_t len;

	assert_int_equal(fd_write_file_atomic(f->dir, "a.new~", "a long leftover", 15, 0600), 0);
	assert_int_equal(fd_write_file_atomic(f->dir, "a", "x", 1, 0600), 0);
	assert_int_equal(fd_read_file(f->dir, "a", 100, &data, &len), 0);
	assert_string_equal(data, "x");
	free(data);
	assert_int_equal(fd_write_file_atomic(f->dir, "other", "kept", 4, 0600), 0);
	assert_int_equal(symlinkat("other", f->dir, "a.new~"), 0);
	assert_int_equal(fd_write_file_atomic(f->dir, "a", "y", 1, 0600), -ELOOP);
	assert_int_equal(fd_read_file(f->dir, "other", 100, &data, &len), 0);
	assert_string_equal(data, "kept");
	free(data);
}

static void test_path_too_long(void **state)
{
	struct fixture *f = *state;
	static char path[5000];

	memset(path, 'a', sizeof(path) - 1);
	assert_int_equal(fd_write_file_atomic(f->dir, path, "x", 1, 0600), -ENAMETOOLONG);
	assert_int_equal(fd_mkdir_parents(f->dir, path, 0700), -ENAMETOOLONG);
}

static void test_sync_dir(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fd_mkdir_parents(f->dir, "d/e", 0700), 0);
	assert_int_equal(fd_write_file_atomic(f->dir, "d/file", "x", 1, 0600), 0);
	assert_int_equal(fd_sync_dir(f->dir, "d"), 0);
	assert_int_equal(fd_sync_dir(f->dir, "."), 0);
	assert_int_equal(fd_sync_dir(f->dir, "d/file"), -ENOTDIR);
	assert_int_equal(fd_sync_dir(f->dir, "none"), -ENOENT);
	assert_int_equal(fd_sync_dir_of(f->dir, "d/none"), 0);
	assert_int_equal(fd_sync_dir_of(f->dir, "none"), 0);
	assert_int_equal(fd_sync_dir_of(f->dir, "none/none"), -ENOENT);
}

static void test_mkdir_parents(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	assert_int_equal(fd_mkdir_parents(f->dir, "x/y/z", 0700), 0);
	assert_int_equal(fd_mkdir_parents(f->dir, "x/y/z", 0700), 0);
	assert_int_equal(fd_mkdir_parents(f->dir, "x/y/w/", 0700), 0);
	assert_int_equal(fstatat(f->dir, "x/y/z", &st, 0), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(fd_write_file_atomic(f->dir, "x/file", "x", 1, 0600), 0);
	assert_int_equal(fd_mkdir_parents(f->dir, "x/file/z", 0700), -ENOTDIR);
	assert_int_equal(fd_mkdir_parents(f->dir, "x/file", 0700), -ENOTDIR);
	assert_int_equal(fd_mkdir_parents(f->dir, "", 0700), -ENOENT);
}

/* The limits are those of numbers, so no descriptor is opened. */
static void test_fair(void **state)
{
	struct rlimit saved;
	struct rlimit limit;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &saved), 0);
	limit = (struct rlimit){200, saved.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	/* 200 - 100 reserved - 50 used: 50 are left for all others */
	assert_true(fd_fair(49, 49, 100));
	assert_false(fd_fair(49, 50, 100));
	assert_true(fd_fair(98, 0, 100));
	assert_false(fd_fair(99, 0, 100));
	assert_false(fd_fair(150, 0, 100));
	assert_false(fd_fair(0, 0, 200));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &saved), 0);
}

/* Bytes that nobody has read do not hide it. */
static void test_hung_up(void **state)
{
	int ends[2];
	int file;

	(void)state;
	assert_false(fd_is_socket(-1) || fd_hung_up(-1));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_true(fd_is_socket(ends[0]));
	assert_false(fd_hung_up(ends[0]));
	assert_int_equal(write(ends[1], "last", 4), 4);
	assert_int_equal(shutdown(ends[1], SHUT_WR), 0);
	assert_false(fd_hung_up(ends[0]));
	fd_close(&ends[1]);
	assert_true(fd_hung_up(ends[0]));
	fd_close(&ends[0]);
	file = fd_memfd("file", 1);
	assert_false(fd_is_socket(file));
	fd_close(&file);
}

/* A process that has ended is told from a connection that has: this one lives on with us. */
static void test_peer_ended(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int ours = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd;
	siginfo_t info;
	pid_t pid;

	(void)state;
	assert_false(fd_peer_ended(-1));
	/* An abstract name, chosen by the kernel. */
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address,
				     &(socklen_t){sizeof(address)}),
			 0);
	assert_int_equal(listen(listener, 1), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)!connect(ours, (struct sockaddr *)&address, sizeof(sa_family_t) + 6);
		pause();
		_exit(0);
	}
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	assert_false(fd_peer_ended(fd));
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	if (!fd_peer_ended(fd)) {
		struct utsname kernel;
		unsigned major = 0;
		unsigned minor = 0;

		assert_int_equal(uname(&kernel), 0);
		assert_int_equal(sscanf(kernel.release, "%u.%u", &major, &minor), 2);
		assert_true(major < 6 || (major == 6 && minor < 5));
		assert_int_equal(waitpid(pid, NULL, 0), pid);
	} else {
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		assert_true(fd_peer_ended(fd));
	}
	assert_false(fd_hung_up(fd));
	fd_close(&ours);
	assert_true(fd_hung_up(fd));
	fd_close(&fd);
	fd_close(&listener);
}

#define FD_TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FD_TEST(test_send_and_receive),
		FD_TEST(test_receive_nothing_and_end),
		FD_TEST(test_most_fds),
		FD_TEST(test_fds_beyond_room),
		FD_TEST(test_datagram_too_long),
		FD_TEST(test_full_socket),
		FD_TEST(test_close_keeps_errno),
		FD_TEST(test_memfd),
		FD_TEST(test_read_file),
		FD_TEST(test_read_what_is_no_file),
		FD_TEST(test_write_replaces),
		FD_TEST(test_write_never_in_place),
		FD_TEST(test_write_fails_at_rename),
		FD_TEST(test_write_fails_in_the_middle),
		FD_TEST(test_write_over_leftover),
		FD_TEST(test_path_too_long),
		FD_TEST(test_sync_dir),
		FD_TEST(test_mkdir_parents),
		FD_TEST(test_fair),
		FD_TEST(test_hung_up),
		FD_TEST(test_peer_ended),
	};

	return cmocka_run_group_tests_name("fd", tests, NULL, NULL);
}
