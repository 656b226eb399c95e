/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Descriptors with a service manager, which is played here: what it would hold after the daemon was
 * killed at any message is what the next one finds, and nothing that it hands over can do more than
 * be of no use.
 */
#include "broker/fdstore.h"

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
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "broker/fdindex.h"
#include "util/fd.h"
#include "util/notify.h"

#define HELD_MAX  256
#define FIRST_FD  3
#define FDS_BASE  300 /* of this test, out of the way of what is handed over */
#define ROUNDS	  200
#define MAX_SMALL 24

/* The manager. */
static int manager_fd = -1;
static struct {
	char name[32];
	int fd;
} held[HELD_MAX];
static size_t held_count;

static int setup(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char name[64];

	(void)state;
	snprintf(name, sizeof(name), "@umdev-fdstore-%d", (int)getpid());
	memcpy(address.sun_path, name, strlen(name));
	address.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (const struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
			 0);
	manager_fd = fcntl(fd, F_DUPFD_CLOEXEC, FDS_BASE);
	close(fd);
	setenv("NOTIFY_SOCKET", name, 1);
	unsetenv("FDSTORE");
	return 0;
}

static void manager_drop(const char *name)
{
	size_t kept = 0;

	for (size_t i = 0; i < held_count; i++) {
		if (strcmp(held[i].name, name) == 0)
			close(held[i].fd);
		else
			held[kept++] = held[i];
	}
	held_count = kept;
}

static int teardown(void **state)
{
	(void)state;
	while (held_count > 0)
		manager_drop(held[0].name);
	fd_close(&manager_fd);
	return 0;
}

static void manager_put(const char *name, int fd)
{
	assert_true(held_count < HELD_MAX);
	snprintf(held[held_count].name, sizeof(held[0].name), "%s", name);
	held[held_count].fd = fcntl(fd, F_DUPFD_CLOEXEC, FDS_BASE);
	close(fd);
	held_count++;
}

/* Reads at most @max messages. Returns how many there were. */
static size_t manager_read(size_t max)
{
	size_t n = 0;

	while (n < max) {
		char text[512] = "";
		char name[300] = "";
		size_t nfds = 0;
		int fd = -1;

		if (fd_recv(manager_fd, text, sizeof(text) - 1, &fd, 1, &nfds) < 0)
			break;
		n++;
		if (sscanf(text, "FDSTOREREMOVE=1\nFDNAME=%299s", name) == 1) {
			assert_int_equal(nfds, 0);
			manager_drop(name);
		} else {
			assert_int_equal(sscanf(text, "FDSTORE=1\nFDNAME=%299s\nFDPOLL=0", name),
					 1);
			assert_non_null(strstr(text, "\nFDPOLL=0"));
			assert_int_equal(nfds, 1);
			manager_put(name, fd);
		}
	}
	return n;
}

/* Runs until nothing waits to be sent or read: the socket of a manager takes ten messages at once.
 */
static void settle(struct reactor *reactor)
{
	do
		assert_int_equal(reactor_turn(reactor, 0), 0);
	while (manager_read(SIZE_MAX) > 0);
}

/* Another process is started with what the manager holds; this one plays it. */
static struct fdstore *start(struct reactor *reactor, size_t max)
{
	char names[HELD_MAX * 33] = "";
	struct fdstore *store = NULL;
	size_t len = 0;
	char text[16];

	for (size_t i = 0; i < held_count; i++) {
		assert_int_equal(fcntl(FIRST_FD + (int)i, F_GETFD), -1);
		assert_int_equal(dup2(held[i].fd, FIRST_FD + (int)i), FIRST_FD + (int)i);
		len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%.31s", i ? ":" : "",
					held[i].name);
	}
	snprintf(text, sizeof(text), "%d", (int)getpid());
	setenv("LISTEN_PID", text, 1);
	snprintf(text, sizeof(text), "%zu", held_count);
	setenv("LISTEN_FDS", text, 1);
	setenv("LISTEN_FDNAMES", names, 1);
	assert_int_equal(fdstore_open(reactor, max, &store), 0);
	assert_non_null(store);
	return store;
}

static struct reactor *loop(void)
{
	struct reactor *reactor = reactor_new();

	assert_non_null(reactor);
	return reactor;
}

/* A loop whose descriptors are out of the way. It is made once: a reactor keeps what it has open.
 */
static struct reactor *reactor_high(void)
{
	int fill[64];
	size_t n = 0;
	struct reactor *reactor;

	/* What is low is taken while it is made. */
	while (n < 64) {
		fill[n] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (fill[n] > 60) {
			close(fill[n]);
			break;
		}
		n++;
	}
	reactor = loop();
	fd_close_all(fill, n);
	return reactor;
}

static int new_fd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	int high = fcntl(fd, F_DUPFD_CLOEXEC, FDS_BASE);

	close(fd);
	return high;
}

/* A write into one is seen in the other. */
static bool same(int a, int b)
{
	uint64_t one = 1;
	uint64_t got = 0;

	return a >= 0 && write(a, &one, sizeof(one)) == sizeof(one) &&
	       fd_set_nonblock(b, true) == 0 && read(b, &got, sizeof(got)) == sizeof(got);
}

static void test_next_one_finds_it(void **state)
{
	struct reactor *reactor = reactor_high();
	struct fdstore *store = start(reactor, 64);
	struct fdstore_owner *owner = fdstore_owner(store, "one", true);
	int fds[3] = {new_fd(), new_fd(), new_fd()};
	size_t used;
	size_t max;

	(void)state;
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(fdstore_put(owner, i * 7, fds[i]), 0);
	/* Again is nothing new; the same open file for another owner is not stored again. */
	assert_int_equal(fdstore_put(owner, 7, fds[1]), 0);
	assert_int_equal(fdstore_put(fdstore_owner(store, "other", true), 1, fds[1]), 0);
	fdstore_set_number(owner, 17);
	assert_int_equal(manager_read(SIZE_MAX), 4);
	fdstore_close(store, true);
	assert_int_equal(manager_read(SIZE_MAX), 0);

	store = start(reactor, 64);
	owner = fdstore_owner(store, "one", false);
	assert_non_null(owner);
	assert_true(fdstore_is_whole(owner));
	assert_int_equal(fdstore_number(owner), 17);
	for (uint32_t i = 0; i < 3; i++)
		assert_true(same(fdstore_get(owner, i * 7), fds[i]));
	assert_int_equal(fdstore_get(owner, 1), -1);
	assert_true(same(fdstore_get(fdstore_owner(store, "other", false), 1), fds[1]));
	fdstore_usage(store, &used, &max);
	assert_int_equal(used, 4);
	assert_int_equal(max, 64);
	/* What the first owner had and the other one has not goes. */
	fdstore_forget(owner);
	assert_int_equal(manager_read(SIZE_MAX), 2);
	assert_int_equal(held_count, 2);
	assert_null(fdstore_owner(store, "one", false));
	fdstore_forget_unclaimed(store);
	manager_read(SIZE_MAX);
	assert_int_equal(held_count, 1);
	fdstore_close(store, false);
	manager_read(SIZE_MAX);
	assert_int_equal(held_count, 0);
	fd_close_all(fds, 3);
	reactor_free(reactor);
}

static void test_limit(void **state)
{
	struct reactor *reactor = reactor_high();
	struct fdstore *store = start(reactor, MAX_SMALL);
	struct fdstore_owner *big = fdstore_owner(store, "big", true);
	struct fdstore_owner *small = fdstore_owner(store, "small", true);
	int fds[MAX_SMALL + 1];
	uint32_t n = 0;

	(void)state;
	for (size_t i = 0; i < MAX_SMALL + 1; i++)
		fds[i] = new_fd();
	/* One gets so many ... and then no more than is left. */
	while (fdstore_put(big, n, fds[n]) == 0)
		n++;
	assert_int_equal(n, FDSTORE_FREE);
	/* Another one gets the rest, to the last. */
	for (uint32_t i = 0; i < MAX_SMALL - 1 - n; i++)
		assert_int_equal(fdstore_put(small, i, fds[n + i]), 0);
	assert_int_equal(fdstore_put(small, 100, fds[MAX_SMALL]), -EDQUOT);
	assert_int_equal(fdstore_put(small, 100, fds[0]), 0); /* stored already */
	fdstore_drop(big, 1);
	assert_int_equal(fdstore_put(small, 101, fds[MAX_SMALL]), 0);
	settle(reactor);
	assert_int_equal(held_count, MAX_SMALL);
	fdstore_forget(big);
	settle(reactor);
	fdstore_close(store, false);
	manager_read(SIZE_MAX);
	assert_int_equal(held_count, 0);
	fd_close_all(fds, MAX_SMALL + 1);
	reactor_free(reactor);
}

static void test_replaced(void **state)
{
	struct reactor *reactor = reactor_high();
	struct fdstore *store = start(reactor, 64);
	struct fdstore_owner *owner = fdstore_owner(store, "one", true);
	const uint32_t keys[] = {2, 9};
	int a = new_fd();
	int b = new_fd();

	(void)state;
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(fdstore_put(owner, i, a), 0);
	assert_int_equal(fdstore_put(owner, 2, b), 0);
	manager_read(SIZE_MAX);
	assert_int_equal(held_count, 3);
	assert_true(same(fdstore_get(owner, 2), b));
	fdstore_retain(owner, keys, 2);
	manager_read(SIZE_MAX);
	assert_int_equal(held_count, 2);
	assert_int_equal(fdstore_get(owner, 1), -1);
	fdstore_close(store, false);
	manager_read(SIZE_MAX);
	close(a);
	close(b);
	reactor_free(reactor);
}

/* A manager that does not read: all of it is sent once it does, and the number counts only then. */
static void test_behind(void **state)
{
	struct reactor *reactor = reactor_high();
	int fds[8];

	(void)state;
	for (uint32_t i = 0; i < 8; i++)
		fds[i] = new_fd();
	for (int killed = 0; killed < 2; killed++) {
		struct fdstore *store = start(reactor, 64);
		struct fdstore_owner *owner = fdstore_owner(store, "one", true);

		for (uint32_t n = 0; n < 4000; n++)
			assert_int_equal(fdstore_put(owner, n % 3, fds[n % 8]), 0);
		fdstore_set_number(owner, 5);
		if (!killed)
			settle(reactor);
		fdstore_close(store, true);
		manager_read(SIZE_MAX);
		store = start(reactor, 64);
		owner = fdstore_owner(store, "one", false);
		if (!killed)
			assert_true(owner && fdstore_is_whole(owner));
		if (owner)
			assert_int_equal(fdstore_number(owner), killed ? 0 : 5);
		fdstore_close(store, false);
		manager_read(SIZE_MAX);
		assert_int_equal(held_count, 0);
	}
	fd_close_all(fds, 8);
	reactor_free(reactor);
}

/* Whatever the manager hands over, a store comes of it that works, and what is no use is taken out.
 */
static void test_anything(void **state)
{
	const char *seed_text = getenv("UMDEV_TEST_SEED");
	unsigned seed = seed_text ? (unsigned)strtoul(seed_text, NULL, 0) : (unsigned)getpid();
	struct reactor *reactor = reactor_high();

	(void)state;
	print_message("seed %u\n", seed);
	srandom(seed);
	for (int round = 0; round < ROUNDS; round++) {
		struct fdstore *store = start(reactor, 64);
		struct fdstore_owner *owner = fdstore_owner(store, "one", true);
		size_t used;
		size_t max;

		for (uint32_t i = 0; i < 6; i++) {
			int fd = new_fd();

			assert_int_equal(fdstore_put(owner, (uint32_t)random() % 12, fd), 0);
			close(fd);
		}
		manager_read(SIZE_MAX);
		for (int i = 0; i < 3; i++) {
			size_t at = (size_t)random() % held_count;
			char name[32];

			snprintf(name, sizeof(name), "u%lx", (unsigned long)random() % 16);
			if (random() % 2)
				manager_put(random() % 4 ? name : "stored", new_fd());
			else if (random() % 2)
				manager_drop(held[at].name);
			else if (strcmp(held[at].name, "u0") == 0)
				for (int b = 0; b < 100; b++) {
					uint32_t word = (uint32_t)random() >> random() % 32;

					if (pwrite(held[at].fd, &word, sizeof(word),
						   random() % 430000) < 0)
						break; /* is none */
				}
		}
		fdstore_close(store, true);
		store = start(reactor, 64);
		owner = fdstore_owner(store, "two", true);
		if (owner) {
			int fd = new_fd();

			assert_int_equal(fdstore_put(owner, 1, fd), 0);
			close(fd);
		}
		settle(reactor);
		fdstore_usage(store, &used, &max);
		assert_int_equal(used, held_count);
		fdstore_forget_unclaimed(store);
		fdstore_close(store, false);
		manager_read(SIZE_MAX);
		assert_int_equal(held_count, 0);
	}
	reactor_free(reactor);
}

static void test_none(void **state)
{
	struct reactor *reactor = reactor_high();
	struct fdstore *store = NULL;

	(void)state;
	assert_int_equal(fdstore_open(reactor, 0, &store), 0);
	assert_null(store);
	setenv("FDSTORE", "0", 1);
	assert_int_equal(fdstore_open(reactor, 64, &store), 0);
	assert_null(store);
	unsetenv("NOTIFY_SOCKET");
	setenv("FDSTORE", "64", 1);
	assert_int_equal(fdstore_open(reactor, 64, &store), 0);
	assert_null(store);
	assert_int_equal(manager_read(SIZE_MAX), 0);
	unsetenv("FDSTORE");
	reactor_free(reactor);
}

/* The index alone: full, and full again after all were dropped. */
static void test_index_limits(void **state)
{
	struct fdindex index = {.fd = -1};
	char name[FDINDEX_NAME_SIZE + 1];

	(void)state;
	assert_int_equal(fdindex_new(&index), 0);
	for (int round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < FDINDEX_OWNERS; i++)
			assert_int_equal(fdindex_add_owner(&index, "x"),
					 round ? FDINDEX_OWNERS - 1 - i : i);
		assert_int_equal(fdindex_add_owner(&index, "x"), -ENOSPC);
		for (uint32_t i = 0; i < FDINDEX_REFS; i++)
			assert_true(fdindex_add_ref(&index, 0, i, i) >= 0);
		assert_int_equal(fdindex_add_ref(&index, 0, 0, 0), -ENOSPC);
		for (uint32_t i = 0; i < FDINDEX_REFS; i++)
			fdindex_drop_ref(&index, i);
		for (uint32_t i = 0; i < FDINDEX_OWNERS; i++)
			fdindex_drop_owner(&index, i);
	}
	memset(name, 'n', sizeof(name));
	name[FDINDEX_NAME_SIZE] = '\0';
	assert_int_equal(fdindex_add_owner(&index, name), -ENOSPC);
	name[FDINDEX_NAME_SIZE - 1] = '\0';
	assert_true(fdindex_add_owner(&index, name) >= 0);
	fdindex_done(&index);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_next_one_finds_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replaced, setup, teardown),
		cmocka_unit_test_setup_teardown(test_behind, setup, teardown),
		cmocka_unit_test_setup_teardown(test_anything, setup, teardown),
		cmocka_unit_test_setup_teardown(test_none, setup, teardown),
		cmocka_unit_test(test_index_limits),
	};

	/* Where what is handed over comes nothing may be left of whoever started this. */
	if (close_range(FIRST_FD, ~0U, 0) < 0)
		return EXIT_FAILURE;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
