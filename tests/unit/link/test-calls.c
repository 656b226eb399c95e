/* SPDX-License-Identifier: BSD-3-Clause */
/* What two well-behaved ends do: calls, answers, errors, notifications, descriptors, and leaving,
 * at any moment. */
#include "link-fixture.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/fd.h"

static void test_call_and_reply(void **state)
{
	struct fixture *f = *state;
	struct outcome out = {0};

	assert_int_equal(link_call(&f->near.link, "open", json_pack("{s:i}", "a", 1), NULL, 0,
				   outcome_take, &out),
			 0);
	fixture_settle(f);
	assert_int_equal(f->far.requests, 1);
	assert_string_equal(f->far.last_method, "open");
	assert_string_equal(f->far.last_params, "{\"a\":1}");
	assert_true(f->far.last_id > 0);
	assert_int_equal(out.called, 0);
	link_reply(&f->far.link, f->far.last_id, json_pack("{s:s}", "b", "x"));
	fixture_settle(f);
	assert_int_equal(out.called, 1);
	assert_string_equal(out.result, "{\"b\":\"x\"}");
	assert_int_equal(out.err.word, ERROR_NONE);
}

/* Without parameters or result an empty object goes over the wire. */
static void test_empty(void **state)
{
	struct fixture *f = *state;
	struct outcome out = {0};

	f->far.answer = true;
	assert_int_equal(link_call(&f->near.link, "m", NULL, NULL, 0, outcome_take, &out), 0);
	fixture_settle(f);
	assert_string_equal(f->far.last_params, "{}");
	assert_string_equal(out.result, "{}");
}

static void test_error_reply(void **state)
{
	struct fixture *f = *state;
	struct outcome out = {0};
	struct umdev_error err = {0};

	assert_int_equal(link_call(&f->near.link, "m", NULL, NULL, 0, outcome_take, &out), 0);
	fixture_settle(f);
	error_set_key(&err, ERROR_LOCKED, "path", "the file is \"locked\"");
	link_reply_error(&f->far.link, f->far.last_id, &err);
	fixture_settle(f);
	assert_int_equal(out.called, 1);
	assert_string_equal(out.result, "");
	assert_int_equal(out.err.word, ERROR_LOCKED);
	assert_string_equal(out.err.message, "the file is \"locked\"");
	assert_string_equal(out.err.key, "path");
}

static void test_answers_in_any_order(void **state)
{
	struct fixture *f = *state;
	struct outcome out[3] = {0};
	uint64_t ids[3];

	for (int i = 0; i < 3; i++) {
		assert_int_equal(
			link_call(&f->near.link, "m", NULL, NULL, 0, outcome_take, &out[i]), 0);
		fixture_settle(f);
		ids[i] = f->far.last_id;
	}
	for (int i = 2; i >= 0; i--)
		link_reply(&f->far.link, ids[i], json_pack("{s:i}", "n", i));
	link_reply(&f->far.link, ids[1], NULL); /* a second answer is nobody's */
	fixture_settle(f);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(out[i].called, 1);
		assert_int_equal(out[i].result[5], '0' + i);
	}
	assert_int_equal(f->near.closed, 0);
}

static void test_both_ways_at_once(void **state)
{
	struct fixture *f = *state;
	struct outcome a = {0};
	struct outcome b = {0};

	f->near.answer = true;
	f->far.answer = true;
	assert_int_equal(link_call(&f->near.link, "x", NULL, NULL, 0, outcome_take, &a), 0);
	assert_int_equal(link_call(&f->far.link, "y", NULL, NULL, 0, outcome_take, &b), 0);
	fixture_settle(f);
	assert_int_equal(a.called, 1);
	assert_int_equal(b.called, 1);
	assert_string_equal(f->near.last_method, "y");
	assert_string_equal(f->far.last_method, "x");
}

static void test_notify(void **state)
{
	struct fixture *f = *state;
	struct umdev_error err = {.word = ERROR_INVALID};

	f->far.answer = true; /* answering a notification does nothing */
	assert_int_equal(link_notify(&f->near.link, "event", NULL, NULL, 0), 0);
	fixture_settle(f);
	assert_int_equal(f->far.requests, 1);
	assert_int_equal(f->far.last_id, 0);
	link_reply(&f->far.link, 0, json_object());
	link_reply_error(&f->far.link, 0, &err);
	fixture_settle(f);
	assert_int_equal(f->near.requests, 0);
	assert_int_equal(f->near.closed, 0);
}

/* Descriptors arrive in order; the callee keeps those it takes, the rest are closed (teardown). */
static void test_fds(void **state)
{
	struct fixture *f = *state;
	int ends[2];
	int got[2];
	char byte = 0;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	f->far.take_fds = true;
	assert_int_equal(link_notify(&f->near.link, "keep", NULL, ends, 2), 0);
	fixture_settle(f);
	assert_int_equal(f->far.fd_count, 2);
	memcpy(got, f->far.fds, sizeof(got));
	assert_int_equal(write(got[1], "z", 1), 1);
	assert_int_equal(read(ends[0], &byte, 1), 1);
	assert_int_equal(byte, 'z');
	assert_true(fcntl(got[0], F_GETFD) & FD_CLOEXEC);
	fd_close_all(got, 2);
	f->far.take_fds = false;
	assert_int_equal(link_notify(&f->near.link, "keep", NULL, ends, 2), 0);
	fixture_settle(f);
	assert_int_equal(f->far.fd_count, 2);
	fd_close_all(ends, 2);
}

/* What is in the socket when the sender leaves is still read, its descriptors too. */
static void test_notify_sync_survives_sender(void **state)
{
	struct fixture *f = *state;
	int fd;

	fixture_open_many(&fd, 1);
	assert_int_equal(link_notify_sync(&f->near.link, "keep", NULL, &fd, 1, NS_PER_S), 0);
	fd_close(&fd);
	link_done(&f->near.link);
	f->far.take_fds = true;
	fixture_settle(f);
	assert_int_equal(f->far.requests, 1);
	assert_int_equal(f->far.fd_count, 1);
	assert_true(fcntl(f->far.fds[0], F_GETFD) >= 0);
	fd_close_all(f->far.fds, 1);
	assert_int_equal(f->far.closed, 1);
	assert_int_equal(f->far.closed_error, 0);
}

/* ---- Leaving */

static void test_peer_leaves_calls_outstanding(void **state)
{
	struct fixture *f = *state;
	struct outcome out[2] = {0};

	for (int i = 0; i < 2; i++)
		assert_int_equal(
			link_call(&f->near.link, "m", NULL, NULL, 0, outcome_take, &out[i]), 0);
	fixture_settle(f);
	link_done(&f->far.link);
	f->near.done_on_close = true;
	fixture_settle(f);
	assert_int_equal(f->near.closed, 1);
	assert_int_equal(f->near.closed_error, 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(out[i].called, 1);
		assert_int_equal(out[i].err.word, ERROR_HOST_FAILED);
	}
	assert_int_equal(f->far.closed, 0);
}

static void test_closed_without_done(void **state)
{
	struct fixture *f = *state;
	struct outcome out = {0};

	link_done(&f->far.link);
	fixture_settle(f);
	assert_int_equal(f->near.closed, 1);
	assert_int_equal(link_notify(&f->near.link, "m", NULL, NULL, 0), -ENOTCONN);
	assert_int_equal(link_call(&f->near.link, "m", json_object(), NULL, 0, outcome_take, &out),
			 -ENOTCONN);
	assert_int_equal(out.called, 0);
}

static void test_done_in_request(void **state)
{
	struct fixture *f = *state;
	struct outcome out = {0};
	int fds[2];

	f->far.done_inside = true;
	fixture_open_many(fds, 2);
	assert_int_equal(link_call(&f->near.link, "m", NULL, fds, 2, outcome_take, &out), 0);
	fd_close_all(fds, 2);
	f->near.done_on_close = true;
	fixture_settle(f);
	assert_int_equal(f->far.requests, 1);
	assert_int_equal(out.called, 1);
	assert_int_equal(out.err.word, ERROR_HOST_FAILED);
}

static void test_done_after_reply_in_request(void **state)
{
	struct fixture *f = *state;
	struct outcome out = {0};

	f->far.answer = true;
	f->far.done_inside = true;
	assert_int_equal(link_call(&f->near.link, "m", NULL, NULL, 0, outcome_take, &out), 0);
	fixture_settle(f);
	assert_int_equal(out.called, 1);
	assert_string_equal(out.result, "{}");
	assert_int_equal(f->near.closed, 1);
}

/* A reply function ends the link while more calls wait: each still ends exactly once. */
static void test_done_in_reply(void **state)
{
	struct fixture *f = *state;
	struct outcome out[3] = {{.done = &f->near.link}, {0}, {.done = &f->near.link}};

	for (int i = 0; i < 3; i++)
		assert_int_equal(
			link_call(&f->near.link, "m", NULL, NULL, 0, outcome_take, &out[i]), 0);
	fixture_settle(f);
	link_reply(&f->far.link, f->far.last_id, NULL);
	fixture_settle(f);
	for (int i = 0; i < 3; i++)
		assert_int_equal(out[i].called, 1);
	assert_int_equal(out[0].err.word, ERROR_HOST_FAILED);
	assert_int_equal(out[1].err.word, ERROR_HOST_FAILED);
	assert_int_equal(out[2].err.word, ERROR_NONE);
	assert_int_equal(f->near.closed, 0);
}

static void test_done_twice(void **state)
{
	struct fixture *f = *state;
	struct link never = {0};

	link_done(&never);
	link_done(&f->near.link);
	link_done(&f->near.link);
}

static void test_init_takes_fd_on_failure(void **state)
{
	struct fixture *f = *state;
	static const struct link_ops ops = {0};
	struct link link;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC); /* epoll takes no plain files */

	assert_true(fd >= 0);
	assert_int_equal(link_init(&link, f->reactor, fd, &ops, NULL), -EPERM);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(link_init(&link, f->reactor, -1, &ops, NULL), -EBADF);
}

#define CALL_TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CALL_TEST(test_call_and_reply),
		CALL_TEST(test_empty),
		CALL_TEST(test_error_reply),
		CALL_TEST(test_answers_in_any_order),
		CALL_TEST(test_both_ways_at_once),
		CALL_TEST(test_notify),
		CALL_TEST(test_fds),
		CALL_TEST(test_notify_sync_survives_sender),
		CALL_TEST(test_peer_leaves_calls_outstanding),
		CALL_TEST(test_closed_without_done),
		CALL_TEST(test_done_in_request),
		CALL_TEST(test_done_after_reply_in_request),
		CALL_TEST(test_done_in_reply),
		CALL_TEST(test_done_twice),
		CALL_TEST(test_init_takes_fd_on_failure),
	};

	return cmocka_run_group_tests_name("link-calls", tests, NULL, NULL);
}
