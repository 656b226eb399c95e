/* SPDX-License-Identifier: BSD-3-Clause */
/* Words, texts and keys of errors, and that what reaches a person is one line of valid text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/error.h"

static void test_words_round_trip(void **state)
{
	for (unsigned i = 0; i < ERROR_WORD_COUNT; i++) {
		const char *name = error_word_name((enum error_word)i);

		assert_true(strlen(name) > 0);
		assert_int_equal(error_word_parse(name), i);
		if (i != ERROR_NONE)
			assert_true(error_word_errno((enum error_word)i) > 0);
	}
	assert_int_equal(error_word_errno(ERROR_NONE), 0);
}

static void test_words_not_known(void **state)
{
	assert_int_equal(error_word_parse("NO_SUCH_WORD"), ERROR_INTERNAL);
	assert_int_equal(error_word_parse(""), ERROR_INTERNAL);
	assert_int_equal(error_word_parse(NULL), ERROR_INTERNAL);
	assert_string_equal(error_word_name(ERROR_WORD_COUNT), "INTERNAL");
	assert_string_equal(error_word_name((enum error_word)1000000), "INTERNAL");
	assert_int_equal(error_word_errno((enum error_word)1000000), EIO);
}

/* These words and numbers are a contract with programs outside. */
static void test_words_are_pinned(void **state)
{
	static const struct {
		const char *name;
		int error;
	} pinned[] = {
		{"NO_INSTANCES", EUSERS},      {"DEVICE_BUSY", EBUSY}, {"EXISTS", EEXIST},
		{"INVALID", EINVAL},	       {"NOT_FOUND", ENOENT},  {"UNKNOWN_DRIVER", ENOENT},
		{"UNKNOWN_TYPE", ENOENT},      {"NO_PARENT", ENODEV},  {"LOCKED", EBUSY},
		{"READ_ONLY", EROFS},	       {"NO_SPACE", ENOSPC},   {"NOT_PERMITTED", EPERM},
		{"UNREACHABLE", ECONNREFUSED}, {"NO_SHARE", ENOSPC},
	};

	for (size_t i = 0; i < sizeof(pinned) / sizeof(pinned[0]); i++) {
		enum error_word word = error_word_parse(pinned[i].name);

		assert_string_equal(error_word_name(word), pinned[i].name);
		assert_int_equal(error_word_errno(word), pinned[i].error);
	}
}

static void test_words_from_errno(void **state)
{
	assert_int_equal(error_word_from_errno(0), ERROR_NONE);
	assert_int_equal(error_word_from_errno(EBUSY), ERROR_DEVICE_BUSY);
	assert_int_equal(error_word_from_errno(-EBUSY), ERROR_DEVICE_BUSY);
	assert_int_equal(error_word_from_errno(-EACCES), ERROR_NOT_PERMITTED);
	assert_int_equal(error_word_from_errno(-ENOSPC), ERROR_NO_SPACE);
	assert_int_equal(error_word_from_errno(12345), ERROR_INTERNAL);
}

static void test_set_fills_all(void **state)
{
	struct umdev_error err;

	memset(&err, 0xaa, sizeof(err));
	assert_int_equal(error_set(&err, ERROR_DEVICE_BUSY, "mdev %s is in use", "a"), -EBUSY);
	assert_int_equal(err.word, ERROR_DEVICE_BUSY);
	assert_string_equal(err.message, "mdev a is in use");
	assert_string_equal(err.key, "");
	assert_int_equal(error_set_key(&err, ERROR_INVALID, "size", "size is %d", 0), -EINVAL);
	assert_string_equal(err.key, "size");
	assert_string_equal(err.message, "size is 0");
}

static void test_set_without_receiver(void **state)
{
	assert_int_equal(error_set(NULL, ERROR_NO_MEMORY, "no memory"), -ENOMEM);
	assert_int_equal(error_set_key(NULL, ERROR_EXISTS, "uuid", "there"), -EEXIST);
	assert_true(error_wrap(NULL, "context") < 0);
}

static void test_message_is_one_line(void **state)
{
	struct umdev_error err = {0};

	error_set_key(&err, ERROR_INVALID, "a\nb", "first\nsecond\r\tthird\x1b[0m\x7f");
	assert_string_equal(err.message, "first second  third [0m ");
	assert_string_equal(err.key, "a b");
}

static void test_message_is_valid_utf8(void **state)
{
	struct umdev_error err = {0};

	error_set(&err, ERROR_INVALID, "%s", "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80");
	assert_string_equal(err.message, "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80");
	error_set(&err, ERROR_INVALID, "%s",
		  "latin \xfc, alone \x80, overlong \xc0\xaf \xe0\x80\xaf");
	assert_string_equal(err.message, "latin ?, alone ?, overlong ?? ???");
	error_set(&err, ERROR_INVALID, "%s",
		  "surrogate \xed\xa0\x80 beyond \xf4\x90\x80\x80 cut \xe2\x82");
	assert_string_equal(err.message, "surrogate ??? beyond ???? cut ??");
}

/* The last character that fits only in part is not left in part. */
static void test_message_cut(void **state)
{
	struct umdev_error err = {0};
	char text[ERROR_MESSAGE_MAX * 2];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	memcpy(text + ERROR_MESSAGE_MAX - 2, "\xc3\xbc", 2);
	error_set(&err, ERROR_INVALID, "%s", text);
	assert_int_equal(strlen(err.message), ERROR_MESSAGE_MAX - 1);
	assert_int_equal(err.message[ERROR_MESSAGE_MAX - 2], '?');
}

static void test_key_cut(void **state)
{
	struct umdev_error err = {0};
	char key[ERROR_KEY_MAX * 2];

	memset(key, 'k', sizeof(key));
	key[sizeof(key) - 1] = '\0';
	error_set_key(&err, ERROR_INVALID, key, "text");
	assert_int_equal(strlen(err.key), ERROR_KEY_MAX - 1);
}

static void test_wrap_prepends(void **state)
{
	struct umdev_error err = {0};

	error_set_key(&err, ERROR_LOCKED, "path", "is locked");
	assert_int_equal(error_wrap(&err, "parent %s", "disk0"), -EBUSY);
	assert_string_equal(err.message, "parent disk0: is locked");
	assert_string_equal(err.key, "path");
	assert_int_equal(err.word, ERROR_LOCKED);
}

static void test_wrap_to_the_limit(void **state)
{
	struct umdev_error err = {0};
	char text[ERROR_MESSAGE_MAX];

	memset(text, 'y', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	error_set(&err, ERROR_INVALID, "%s", text);
	for (int i = 0; i < 50; i++) {
		assert_int_equal(error_wrap(&err, "context %d", i), -EINVAL);
		assert_true(strlen(err.message) < ERROR_MESSAGE_MAX);
	}
	assert_memory_equal(err.message, "context 49: context 48: ", 24);
	assert_int_equal(error_wrap(&err, "%s", text), -EINVAL);
	assert_int_equal(strlen(err.message), ERROR_MESSAGE_MAX - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words_round_trip),
		cmocka_unit_test(test_words_not_known),
		cmocka_unit_test(test_words_are_pinned),
		cmocka_unit_test(test_words_from_errno),
		cmocka_unit_test(test_set_fills_all),
		cmocka_unit_test(test_set_without_receiver),
		cmocka_unit_test(test_message_is_one_line),
		cmocka_unit_test(test_message_is_valid_utf8),
		cmocka_unit_test(test_message_cut),
		cmocka_unit_test(test_key_cut),
		cmocka_unit_test(test_wrap_prepends),
		cmocka_unit_test(test_wrap_to_the_limit),
	};

	return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
