/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A peer that breaks every rule: guests reach the host, and drivers run in it, so what it writes is
 * nothing to trust. The link ends, or drops the message; descriptors never stay.
 */
#include "link-fixture.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "util/fd.h"

/* Each of these is no message and ends the link with EBADMSG. */
static const char *const hostile_texts[] = {
	"x",
	"{",
	"[]",
	"1",
	"null",
	"\"text\"",
	"{}",
	"{\"id\":0}",
	"{\"id\":0,\"result\":{}}",
	"{\"id\":-1,\"method\":\"m\"}",
	"{\"id\":\"1\",\"method\":\"m\"}",
	"{\"id\":1.5,\"method\":\"m\"}",
	"{\"id\":99999999999999999999,\"method\":\"m\"}",
	"{\"id\":1,\"method\":7}",
	"{\"id\":1,\"method\":\"m\",\"params\":[]}",
	"{\"id\":1,\"method\":\"m\",\"params\":7}",
	"{\"id\":1,\"method\":\"m\",\"params\":null}",
	"{\"id\":1,\"id\":2,\"method\":\"m\"}",
	"{\"method\":\"m\"} {\"method\":\"m\"}",
	"{\"method\":\"\xff\"}",
};

static void test_no_message(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(hostile_texts); i++) {
		void *fixture = NULL;
		struct fixture *f;
		int fds[3];

		assert_int_equal(fixture_setup_raw(&fixture), 0);
		f = fixture;
		fixture_open_many(fds, 3);
		fixture_send_raw(f, hostile_texts[i], strlen(hostile_texts[i]), fds, 3);
		fd_close_all(fds, 3);
		if (f->near.closed != 1 || f->near.requests != 0)
			fail_msg("not refused: %s", hostile_texts[i]);
		assert_int_equal(f->near.closed_error, -EBADMSG);
		fixture_teardown(&fixture);
	}
}

static void test_deep_nesting(void **state)
{
	struct fixture *f = *state;
	char text[LINK_MESSAGE_MAX];

	memset(text, '[', sizeof(text));
	memcpy(text, "{\"params\":", 10);
	fixture_send_raw(f, text, sizeof(text), NULL, 0);
	assert_int_equal(f->near.closed, 1);
}

static void test_message_with_nul(void **state)
{
	struct fixture *f = *state;

	fixture_send_raw(f, "{\"method\":\"m\"}\0{}", 17, NULL, 0);
	assert_int_equal(f->near.closed_error, -EBADMSG);
	assert_int_equal(f->near.requests, 0);
}

/* An empty message reads like the end of the stream; what it carried is closed all the same. */
static void test_empty_message_with_fds(void **state)
{
	struct fixture *f = *state;
	int fds[3];

	fixture_open_many(fds, 3);
	assert_int_equal(fd_send(f->raw, "", 0, fds, 3), 0);
	fd_close_all(fds, 3);
	fixture_settle(f);
	assert_int_equal(f->near.closed, 1);
}

static void test_longer_than_the_limit(void **state)
{
	struct fixture *f = *state;
	char *text = malloc(LINK_MESSAGE_MAX + 1);
	int fds[2];

	assert_non_null(text);
	memset(text, ' ', LINK_MESSAGE_MAX + 1);
	memcpy(text, "{\"method\":\"m\"}", 14);
	fixture_send_raw(f, text, LINK_MESSAGE_MAX, NULL, 0);
	assert_int_equal(f->near.requests, 1);
	assert_int_equal(f->near.closed, 0);
	fixture_open_many(fds, 2);
	fixture_send_raw(f, text, LINK_MESSAGE_MAX + 1, fds, 2);
	fd_close_all(fds, 2);
	free(text);
	assert_int_equal(f->near.requests, 1);
	assert_int_equal(f->near.closed, 1);
	assert_int_equal(f->near.closed_error, -EMSGSIZE);
}

/* More descriptors than a message may carry: those past the limit are closed, and seen by nobody.
 */
static void test_too_many_fds(void **state)
{
	struct fixture *f = *state;
	int fds[FD_MESSAGE_MAX];

	fixture_open_many(fds, FD_MESSAGE_MAX);
	fixture_send_raw(f, "{\"method\":\"m\"}", 14, fds, FD_MESSAGE_MAX);
	fd_close_all(fds, FD_MESSAGE_MAX);
	assert_int_equal(f->near.requests, 1);
	assert_int_equal(f->near.fd_count, LINK_FDS_MAX);
}

static void test_answer_to_nothing(void **state)
{
	struct fixture *f = *state;
	static const char text[] = "{\"id\":7,\"result\":{}}";
	int fds[2];

	fixture_open_many(fds, 2);
	fixture_send_raw(f, text, sizeof(text) - 1, fds, 2);
	fd_close_all(fds, 2);
	assert_int_equal(f->near.requests + f->near.closed, 0);
}

/* Whatever a peer calls its failure, the caller gets an error that is one. */
static void test_answers_that_are_none(void **state)
{
	static const struct {
		const char *body;
		enum error_word word;
		const char *message;
	} answers[] = {
		{"\"error\":{}", ERROR_INTERNAL, "the peer gave no reason"},
		{"\"error\":null", ERROR_INTERNAL, "the peer gave no reason"},
		{"\"error\":7", ERROR_INTERNAL, "the peer gave no reason"},
		{"\"error\":{\"word\":\"NONE\",\"message\":\"well\"}", ERROR_INTERNAL, "well"},
		{"\"error\":{\"word\":\"OTHER\",\"message\":\"odd\"}", ERROR_INTERNAL, "odd"},
		{"\"error\":{\"word\":7,\"message\":\"m\"}", ERROR_INTERNAL, NULL},
		{"\"error\":{\"word\":\"EXISTS\"},\"result\":{}", ERROR_EXISTS, NULL},
		{"\"error\":{\"word\":\"EXISTS\",\"message\":\"two\\nlines\"}", ERROR_EXISTS,
		 "two lines"},
		{"\"other\":1", ERROR_INTERNAL, "the peer gave no reason"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		struct fixture *f = *state;
		struct outcome out = {0};
		char text[256];
		int len;

		assert_int_equal(link_call(&f->near.link, "m", NULL, NULL, 0, outcome_take, &out),
				 0);
		len = snprintf(text, sizeof(text), "{\"id\":%zu,%s}", i + 1, answers[i].body);
		fixture_send_raw(f, text, (size_t)len, NULL, 0);
		if (out.called != 1 || out.result[0] || out.err.word != answers[i].word)
			fail_msg("%s: called %u, result %s, word %s", text, out.called, out.result,
				 error_word_name(out.err.word));
		if (answers[i].message)
			assert_string_equal(out.err.message, answers[i].message);
	}
}

/* The same as random bytes and as random cuts of a good message: nothing but an end may come of it.
 */
static void test_random_bytes(void **state)
{
	static const char good[] =
		"{\"id\":3,\"method\":\"open\",\"params\":{\"name\":\"a\",\"fds\":[\"path\"]}}";
	unsigned seed = 20240607;

	for (int round = 0; round < 500; round++) {
		void *fixture = NULL;
		struct fixture *f;
		char text[sizeof(good)];
		size_t len = 1 + (size_t)rand_r(&seed) % (sizeof(good) - 1);

		memcpy(text, good, sizeof(good));
		for (int i = 0; i < round % 4; i++)
			text[(size_t)rand_r(&seed) % len] = (char)rand_r(&seed);
		assert_int_equal(fixture_setup_raw(&fixture), 0);
		f = fixture;
		fixture_send_raw(f, text, len, NULL, 0);
		assert_int_equal(f->near.requests + f->near.closed, 1);
		fixture_teardown(&fixture);
	}
}

static void test_peer_resets_at_once(void **state)
{
	struct fixture *f = *state;
	struct outcome out = {0};

	assert_int_equal(link_call(&f->near.link, "m", NULL, NULL, 0, outcome_take, &out), 0);
	fd_close(&f->raw); /* with our message unread: the socket reports a reset */
	f->near.done_on_close = true;
	fixture_settle(f);
	assert_int_equal(f->near.closed, 1);
	assert_int_equal(out.called, 1);
	assert_int_equal(out.err.word, ERROR_HOST_FAILED);
}

#define RAW_TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup_raw, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_message),     cmocka_unit_test(test_random_bytes),
		RAW_TEST(test_deep_nesting),	       RAW_TEST(test_message_with_nul),
		RAW_TEST(test_empty_message_with_fds), RAW_TEST(test_longer_than_the_limit),
		RAW_TEST(test_too_many_fds),	       RAW_TEST(test_answer_to_nothing),
		RAW_TEST(test_answers_that_are_none),  RAW_TEST(test_peer_resets_at_once),
	};

	return cmocka_run_group_tests_name("link-hostile", tests, NULL, NULL);
}
