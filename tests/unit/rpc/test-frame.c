/* SPDX-License-Identifier: BSD-3-Clause */
/* Cutting a byte stream into texts: every way of fragmenting it, limits, and recovery. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "rpc/frame.h"
#include "util/cleanup.h"

#define SEEN_MAX 1024

/* Feeds @data in pieces of @step bytes and writes each text, or "!", to @seen followed by '|'. */
static void feed_all(struct rpc_frame *frame, const char *data, size_t step, char *seen)
{
	size_t total = strlen(data);

	seen[0] = '\0';
	for (size_t at = 0; at < total; at += step) {
		const char *p = data + at;
		size_t len = MIN(step, total - at);
		int event;

		while ((event = rpc_frame_feed(frame, &p, &len)) != RPC_FRAME_NONE) {
			size_t used = strlen(seen);

			assert_true(event > 0);
			assert_true(used < SEEN_MAX - 64);
			if (event == RPC_FRAME_TEXT)
				assert_int_equal(strlen(frame->text), frame->len);
			snprintf(seen + used, SEEN_MAX - used, "%s|",
				 event == RPC_FRAME_TEXT ? frame->text : "!");
		}
		assert_int_equal(len, 0);
	}
}

static void test_every_fragmentation(void **state)
{
	static const struct {
		const char *stream;
		const char *seen;
	} cases[] = {
		{"{\"a\":1}\n{\"b\":2}\n", "{\"a\":1}|{\"b\":2}|"},
		{"{\"a\":1}{\"b\":2}", "{\"a\":1}|{\"b\":2}|"},
		{"\r\n \t{\"a\":{\"b\":[1,{}]}} \r\n[1,[2]]", "{\"a\":{\"b\":[1,{}]}}|[1,[2]]|"},
		{"{\"a\":\"}]\\\"}\\\\\"}{}", "{\"a\":\"}]\\\"}\\\\\"}|{}|"},
		{"garbage } here\n{}\n", "garbage } here|{}|"},
		{"{\"broken\n{\"a\":1}\n", "{\"broken|{\"a\":1}|"},
		{"\"text\"\n5\n", "\"text\"|5|"},
		{"}{}\n", "}{}|"},
		{"{\"unfinished\":", ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t step = 1; step <= strlen(cases[i].stream); step++) {
			struct rpc_frame frame;
			char seen[SEEN_MAX];

			rpc_frame_init(&frame, 64);
			feed_all(&frame, cases[i].stream, step, seen);
			assert_string_equal(seen, cases[i].seen);
			rpc_frame_done(&frame);
		}
	}
}

static void test_limit(void **state)
{
	static const struct {
		const char *stream;
		const char *seen;
	} cases[] = {
		{"{\"a\":123}{}", "{\"a\":123}|{}|"}, /* nine bytes: at the limit */
		{"{\"a\":1234}{}\n{}", "!|{}|{}|"},   /* ten */
		{"123456789\n{}", "123456789|{}|"},   /* a line at the limit */
		{"1234567890\n{}", "!|{}|"},	      /* and past it */
		{"{\"a\":\"}}}}}}}}\"}{}", "!|{}|"},  /* brackets in a text do not end it */
		{"{\"aaaaaaaaaaaaaaaa\n{}", "!|{}|"}, /* a line end does */
		{"{\"a\":[[[[[[[[[[]]]]]]]]]]}{}",
		 "!|{}|"}, /* nesting is followed beyond the limit */
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t step = 1; step <= strlen(cases[i].stream); step++) {
			struct rpc_frame frame;
			char seen[SEEN_MAX];

			rpc_frame_init(&frame, 9);
			feed_all(&frame, cases[i].stream, step, seen);
			assert_string_equal(seen, cases[i].seen);
			rpc_frame_done(&frame);
		}
	}
}

static void test_memory_is_given_back(void **state)
{
	static char line[100002];
	struct rpc_frame frame;
	const char *p = line;
	size_t len = sizeof(line) - 1;

	memset(line, 'x', sizeof(line) - 2);
	line[sizeof(line) - 2] = '\n';
	rpc_frame_init(&frame, sizeof(line));
	assert_int_equal(rpc_frame_feed(&frame, &p, &len), RPC_FRAME_TEXT);
	assert_int_equal(frame.len, sizeof(line) - 2);
	p = "1\n";
	len = 2;
	assert_int_equal(rpc_frame_feed(&frame, &p, &len), RPC_FRAME_TEXT);
	assert_true(frame.room <= 4096);
	rpc_frame_done(&frame);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_fragmentation),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_memory_is_given_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
