/* SPDX-License-Identifier: BSD-3-Clause */
/* Two hosts of one parent, of which one goes on; and what is staged for it. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/baton.h"
#include "host/given.h"
#include "host/host.h"
#include "host/release.h"
#include "util/fd.h"

#define UUID "0d6e2f4c-5b1a-4f0e-9c3d-7a8b9c0d1e2f"

struct bench {
	struct umdev_parent old;
	struct umdev_parent next;
	int brokers[2]; /* the other ends of their links */
	int baton;
};

static int host_begin(struct umdev_parent *parent)
{
	int pair[2];

	list_init(&parent->mdevs);
	list_init(&parent->groups);
	list_init(&parent->given);
	snprintf(parent->name, sizeof(parent->name), "p");
	parent->baton = -1;
	parent->opened = true;
	parent->driver.table.name = "test";
	parent->reactor = reactor_new();
	assert_non_null(parent->reactor);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(link_init(&parent->link, parent->reactor, pair[0], &host_link_ops, parent),
			 0);
	return pair[1];
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	b->brokers[0] = host_begin(&b->old);
	b->brokers[1] = host_begin(&b->next);
	b->baton = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(b->baton >= 0);
	host_baton_wait(&b->next, NULL);
	*state = b;
	return 0;
}

static void host_end(struct umdev_parent *parent)
{
	host_given_free_all(parent);
	fd_close(&parent->baton);
	link_done(&parent->link);
	reactor_free(parent->reactor);
}

static int teardown(void **state)
{
	struct bench *b = *state;

	host_end(&b->old);
	host_end(&b->next);
	close(b->brokers[0]);
	close(b->brokers[1]);
	close(b->baton);
	free(b);
	return 0;
}

/* The old one has let go of everything. */
static void let_go(struct bench *b)
{
	int baton = fcntl(b->baton, F_DUPFD_CLOEXEC, 0);

	host_release(&b->old, 0, &baton);
	assert_int_equal(baton, -1);
	assert_true(b->old.waits);
}

/* Sends a message to the next host. Returns whether it was answered with a result. */
static bool ask(struct bench *b, const char *method, const char *params, const int *fds,
		size_t nfds)
{
	char text[512];
	int id = strcmp(method, LINK_GIVE) == 0 || strcmp(method, LINK_FORGET) == 0 ? 0 : 7;
	int n = snprintf(text, sizeof(text), "{\"id\":%d,\"method\":\"%s\",\"params\":%s}", id,
			 method, params);
	json_t *answer;
	bool good;

	assert_int_equal(fd_send(b->brokers[1], text, (size_t)n, fds, nfds), n);
	assert_int_equal(reactor_turn(b->next.reactor, 0), 0);
	if (id == 0)
		return true;
	n = (int)recv(b->brokers[1], text, sizeof(text), MSG_DONTWAIT);
	assert_true(n > 0);
	answer = json_loadb(text, (size_t)n, 0, NULL);
	assert_int_equal(json_integer_value(json_object_get(answer, "id")), id);
	good = json_object_get(answer, "result") != NULL;
	json_decref(answer);
	return good;
}

static bool own(struct bench *b)
{
	return ask(b, LINK_OWN, "{}", &b->baton, 1);
}

static void test_the_next_one(void **state)
{
	struct bench *b = *state;

	let_go(b);
	assert_true(own(b));
	assert_false(b->next.waits);
	/* The broker dies then. */
	assert_false(host_baton_orphan(&b->old));
	assert_true(b->old.waits);
	assert_true(host_baton_orphan(&b->next));
	/* It owns the parent: it is not told so again. */
	assert_false(own(b));
}

static void test_the_old_one(void **state)
{
	struct bench *b = *state;

	let_go(b);
	assert_true(host_baton_orphan(&b->old));
	assert_false(b->old.waits);
	/* The word of the broker was on its way. */
	assert_false(own(b));
	assert_true(b->next.waits);
	assert_false(host_baton_orphan(&b->next));
}

static void test_before_anything(void **state)
{
	struct bench *b = *state;

	assert_true(host_baton_orphan(&b->old));
	assert_false(host_baton_orphan(&b->next));
	assert_false(ask(b, LINK_OWN, "{}", NULL, 0));
	assert_true(b->next.waits);
}

/* How many descriptors of this process are the file @fd. */
static unsigned count(int fd)
{
	struct stat st;
	struct stat other;
	unsigned found = 0;

	assert_int_equal(fstat(fd, &st), 0);
	for (int i = 0; i < 256; i++)
		found += fstat(i, &other) == 0 && other.st_dev == st.st_dev &&
			 other.st_ino == st.st_ino;
	return found;
}

static int file(void)
{
	int fd = fd_memfd("test", 4096);

	assert_true(fd >= 0);
	return fd;
}

#define STAGE(number) "{\"uuid\":\"" UUID "\",\"type\":" number "}"

static json_int_t staged_type(struct bench *b)
{
	struct host_given *given = host_given_find(&b->next, UUID, true);

	assert_non_null(given);
	return json_integer_value(json_object_get(given->create, "type"));
}

/* What is staged again replaces what was, when all of it is there and not before. */
static void test_staged_again(void **state)
{
	struct bench *b = *state;
	int first[3] = {file(), file(), file()};
	int again[3] = {file(), file(), file()};

	ask(b, LINK_GIVE, "{\"uuid\":\"" UUID "\",\"slots\":[9]}", &first[0], 1);
	assert_true(ask(b, LINK_STAGE, STAGE("1"), &first[1], 2));
	assert_int_equal(staged_type(b), 1);
	ask(b, LINK_GIVE, "{\"uuid\":\"" UUID "\",\"slots\":[9]}", &again[0], 1);
	assert_int_equal(staged_type(b), 1);
	assert_int_equal(count(first[0]), 2);
	assert_true(ask(b, LINK_STAGE, STAGE("2"), &again[1], 2));
	assert_int_equal(staged_type(b), 2);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(count(first[i]), 1);
		assert_int_equal(count(again[i]), 2);
	}
	assert_non_null(host_given_slot(host_given_find(&b->next, UUID, true), 9));
	ask(b, LINK_FORGET, "{}", NULL, 0);
	assert_true(list_empty(&b->next.given));
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(count(again[i]), 1);
	fd_close_all(first, 3);
	fd_close_all(again, 3);
}

/* Who does not have everything owns nothing. */
static void test_not_staged(void **state)
{
	struct bench *b = *state;

	assert_false(ask(b, LINK_STAGE, STAGE("1"), NULL, 0));
	assert_false(own(b));
	assert_true(b->next.waits);
	let_go(b);
	assert_true(host_baton_orphan(&b->old));
}

/* Nothing is served before it is known who serves. */
static void test_no_create(void **state)
{
	struct bench *b = *state;
	int fds[2] = {file(), file()};

	assert_false(ask(b, LINK_CREATE, STAGE("0"), fds, 2));
	assert_true(own(b));
	/* And nothing is staged afterwards. */
	assert_false(ask(b, LINK_STAGE, STAGE("0"), fds, 2));
	assert_true(list_empty(&b->next.given));
	fd_close_all(fds, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_the_next_one, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_old_one, setup, teardown),
		cmocka_unit_test_setup_teardown(test_before_anything, setup, teardown),
		cmocka_unit_test_setup_teardown(test_staged_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_staged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_create, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
