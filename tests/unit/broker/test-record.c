/* SPDX-License-Identifier: BSD-3-Clause */
/* The record that outlives a broker: the last one written whole counts, and nothing else is read.
 */
#include "broker/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/fd.h"

#define COPY ((off_t)RECORD_MAX + 4096)

static int number_in(int fd)
{
	json_t *json = record_read(fd);
	int n = json ? (int)json_integer_value(json_object_get(json, "n")) : -1;

	json_decref(json);
	return n;
}

static void put(int fd, int n)
{
	json_t *json = json_pack("{s:i}", "n", n);

	assert_int_equal(record_write(fd, json), 0);
	json_decref(json);
}

static void test_last_one_counts(void **state)
{
	int fd = record_new();

	(void)state;
	assert_true(fd >= 0 && record_is(fd));
	assert_int_equal(number_in(fd), -1);
	for (int n = 0; n < 9; n++) {
		put(fd, n);
		assert_int_equal(number_in(fd), n);
	}
	close(fd);
}

/* A write that is cut short at any byte of its text, or before its header, has not happened. */
static void test_half_a_write(void **state)
{
	int fd = record_new();
	char zeros[64] = {0};

	(void)state;
	put(fd, 1); /* into the first copy */
	put(fd, 2); /* into the second */
	for (size_t len = 1; len <= sizeof(zeros); len++) {
		/* the text of a third over the first, whose header still says 1 */
		assert_int_equal(pwrite(fd, zeros, len, 24), len);
		assert_int_equal(number_in(fd), 2);
	}
	put(fd, 3);
	assert_int_equal(number_in(fd), 3);
	close(fd);
}

static void test_too_large(void **state)
{
	int fd = record_new();
	char *text = malloc(RECORD_MAX + 1);
	json_t *json;

	(void)state;
	assert_non_null(text);
	put(fd, 1);
	memset(text, 'x', RECORD_MAX);
	text[RECORD_MAX] = '\0';
	json = json_pack("{s:s}", "n", text);
	assert_int_equal(record_write(fd, json), -EFBIG);
	json_decref(json);
	assert_int_equal(number_in(fd), 1);
	/* {"n":"..."}: the very limit */
	text[RECORD_MAX - 8] = '\0';
	json = json_pack("{s:s}", "n", text);
	assert_int_equal(record_write(fd, json), 0);
	json_decref(json);
	json = record_read(fd);
	assert_int_equal(strlen(json_string_value(json_object_get(json, "n"))), RECORD_MAX - 8);
	json_decref(json);
	free(text);
	close(fd);
}

/* What a host may hand back instead. */
static void test_something_else(void **state)
{
	const uint64_t huge[3] = {0x64726f636572756dULL, 99, UINT64_MAX};
	int pair[2];
	int fd = fd_memfd("other", 4096);

	(void)state;
	assert_null(record_read(fd));
	close(fd);
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_null(record_read(fd));
	close(fd);
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	assert_null(record_read(pair[0]));
	close(pair[0]);
	close(pair[1]);
	assert_null(record_read(-1));

	fd = record_new();
	put(fd, 1);
	assert_int_equal(pwrite(fd, huge, sizeof(huge), COPY), sizeof(huge));
	assert_int_equal(number_in(fd), 1);
	assert_int_equal(pwrite(fd, "[1]      ", 9, 24), 9);
	assert_null(record_read(fd));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_last_one_counts),
		cmocka_unit_test(test_half_a_write),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_something_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
