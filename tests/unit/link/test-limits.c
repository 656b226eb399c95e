/* SPDX-License-Identifier: BSD-3-Clause */
/* The limits of a link, each at its value and one past it. */
#include "link-fixture.h"

#include <stdlib.h>
#include <string.h>

#include "util/clock.h"
#include "util/fd.h"

/* Bytes that a notification "m" with params {"t":"..."} has around its text. */
#define ENVELOPE (sizeof("{\"method\":\"m\",\"params\":{\"t\":\"\"}}") - 1)

static json_t *limits_text(size_t len)
{
	char *text = calloc(1, len + 1);
	json_t *params;

	assert_non_null(text);
	memset(text, 'a', len);
	params = json_pack("{s:s}", "t", text);
	free(text);
	assert_non_null(params);
	return params;
}

static void test_most_fds(void **state)
{
	struct fixture *f = *state;
	int fds[LINK_FDS_MAX + 1];
	struct outcome out = {0};

	fixture_open_many(fds, LINK_FDS_MAX + 1);
	assert_int_equal(link_notify(&f->near.link, "m", NULL, fds, LINK_FDS_MAX + 1), -E2BIG);
	assert_int_equal(link_call(&f->near.link, "m", json_object(), fds, LINK_FDS_MAX + 1,
				   outcome_take, &out),
			 -E2BIG);
	fixture_settle(f);
	assert_int_equal(f->far.requests, 0);
	assert_int_equal(link_notify(&f->near.link, "m", NULL, fds, LINK_FDS_MAX), 0);
	fixture_settle(f);
	assert_int_equal(f->far.requests, 1);
	assert_int_equal(f->far.fd_count, LINK_FDS_MAX);
	fd_close_all(fds, LINK_FDS_MAX + 1);
	assert_int_equal(out.called, 0);
}

static void test_longest_message(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(link_notify(&f->near.link, "m", limits_text(LINK_MESSAGE_MAX - ENVELOPE),
				     NULL, 0),
			 0);
	fixture_settle(f);
	assert_int_equal(f->far.requests, 1);
	assert_int_equal(link_notify(&f->near.link, "m",
				     limits_text(LINK_MESSAGE_MAX - ENVELOPE + 1), NULL, 0),
			 -EMSGSIZE);
	fixture_settle(f);
	assert_int_equal(f->far.requests, 1);
	assert_int_equal(f->near.closed + f->far.closed, 0);
}

/* A caller is not left waiting for an answer that does not fit. */
static void test_answer_too_long(void **state)
{
	struct fixture *f = *state;
	struct outcome out = {0};

	assert_int_equal(link_call(&f->near.link, "m", NULL, NULL, 0, outcome_take, &out), 0);
	fixture_settle(f);
	link_reply(&f->far.link, f->far.last_id, limits_text(LINK_MESSAGE_MAX));
	fixture_settle(f);
	assert_int_equal(out.called, 1);
	assert_int_equal(out.err.word, ERROR_LIMIT);
	assert_int_equal(f->near.closed + f->far.closed, 0);
}

/* Fills the socket and then the queue, with a peer that reads nothing. */
static unsigned limits_fill_queue(struct fixture *f, unsigned until)
{
	unsigned sent = 0;

	while (f->near.link.queue_len < until) {
		assert_int_equal(link_notify(&f->near.link, "m", limits_text(4096), NULL, 0), 0);
		assert_true(++sent < 3 * LINK_QUEUE_MAX);
	}
	return sent;
}

static void test_queue_drains_in_order(void **state)
{
	struct fixture *f = *state;
	int fds[2];
	unsigned sent;

	fixture_open_many(fds, 2);
	sent = limits_fill_queue(f, 100);
	assert_int_equal(link_notify(&f->near.link, "last", NULL, fds, 2), 0);
	fd_close_all(fds, 2); /* the queue has its own */
	f->far.take_fds = true;
	fixture_settle(f);
	assert_int_equal(f->near.link.queue_len, 0);
	assert_int_equal(f->far.requests, sent + 1);
	assert_string_equal(f->far.last_method, "last");
	assert_int_equal(f->far.fd_count, 2);
	fd_close_all(f->far.fds, 2);
}

static void test_full_queue(void **state)
{
	struct fixture *f = *state;
	struct outcome out = {0};

	assert_int_equal(link_call(&f->near.link, "m", NULL, NULL, 0, outcome_take, &out), 0);
	limits_fill_queue(f, LINK_QUEUE_MAX);
	assert_int_equal(f->near.closed, 0);
	assert_int_equal(link_notify(&f->near.link, "m", NULL, NULL, 0), -ENOBUFS);
	/* The owner hears of it from the loop, not from within his call. */
	assert_int_equal(f->near.closed, 0);
	f->near.done_on_close = true;
	fixture_settle(f);
	assert_int_equal(f->near.closed, 1);
	assert_int_equal(out.called, 1);
	assert_int_equal(out.err.word, ERROR_HOST_FAILED);
}

/* A full queue of answers ends the link, so that no caller waits for the lost one. */
static void test_full_queue_of_answers(void **state)
{
	struct fixture *f = *state;

	limits_fill_queue(f, LINK_QUEUE_MAX);
	link_reply(&f->near.link, 1, NULL);
	assert_int_equal(f->near.closed, 0);
	fixture_settle(f);
	assert_int_equal(f->near.closed, 1);
}

static void test_sync_times_out(void **state)
{
	struct fixture *f = *state;
	uint64_t start;
	unsigned queued;

	limits_fill_queue(f, 1);
	queued = f->near.link.queue_len;
	start = clock_now_ns();
	assert_int_equal(link_notify_sync(&f->near.link, "m", NULL, NULL, 0, 20 * NS_PER_MS),
			 -ETIMEDOUT);
	assert_true(clock_now_ns() - start >= 20 * NS_PER_MS);
	assert_int_equal(f->near.link.queue_len, queued + 1);
}

static void test_sync_peer_gone(void **state)
{
	struct fixture *f = *state;

	limits_fill_queue(f, 1);
	fd_close(&f->raw);
	assert_true(link_notify_sync(&f->near.link, "m", NULL, NULL, 0, 30 * NS_PER_S) < 0);
}

#define LIMIT_TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
#define RAW_TEST(test)	 cmocka_unit_test_setup_teardown(test, fixture_setup_raw, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIMIT_TEST(test_most_fds),	  LIMIT_TEST(test_longest_message),
		LIMIT_TEST(test_answer_too_long), LIMIT_TEST(test_queue_drains_in_order),
		RAW_TEST(test_full_queue),	  RAW_TEST(test_full_queue_of_answers),
		RAW_TEST(test_sync_times_out),	  RAW_TEST(test_sync_peer_gone),
	};

	return cmocka_run_group_tests_name("link-limits", tests, NULL, NULL);
}
