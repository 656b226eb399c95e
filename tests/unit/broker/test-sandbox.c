/* SPDX-License-Identifier: BSD-3-Clause */
/* What a host says of its sandbox is taken as it is, or refused whole. */
#include "broker/sandbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/ident.h"

static json_t *said(void)
{
	return json_pack("{s:{s:i,s:s,s:s,s:s,s:s,s:b,s:[{s:s,s:s}],s:[s]}}", "sandbox", "user",
			 65534, "filesystem", "none", "network", "all", "capabilities", "none",
			 "seccomp", "on", "user_namespace", 1, "needs", "name", "files", "reason",
			 "to write", "missing", "network namespace: no");
}

/* Takes what is said with @key replaced by @value (stolen): the copy, or NULL. */
static json_t *take(const char *key, json_t *value)
{
	struct umdev_error err = {0};
	json_t *hello = said();
	json_t *taken;

	if (key)
		json_object_set_new(json_object_get(hello, "sandbox"), key, value);
	taken = sandbox_take(hello, "some", &err);
	json_decref(hello);
	if (!taken) {
		assert_int_equal(err.word, ERROR_DRIVER_FAILED);
		assert_non_null(strstr(err.message, "some"));
	}
	return taken;
}

static void expect_refusal(const char *key, json_t *value)
{
	assert_null(take(key, value));
}

static void test_taken(void **state)
{
	json_t *hello = said();
	json_t *taken = take("more", json_string("is ignored"));
	char text[200];

	assert_true(json_equal(taken, json_object_get(hello, "sandbox")));
	sandbox_describe(taken, text, sizeof(text));
	assert_string_equal(text, "user 65534, filesystem none, network all, capabilities none, "
				  "seccomp on; not allowed: network namespace: no");
	/* Cut where there is no room, and ended. */
	sandbox_describe(taken, text, 80);
	assert_int_equal(strlen(text), 79);
	json_decref(taken);
	json_decref(hello);
}

static void test_none(void **state)
{
	struct umdev_error err = {0};
	json_t *hello = json_object();
	json_t *taken = sandbox_take(hello, "some", &err);

	assert_true(json_is_null(taken));
	assert_int_equal(sandbox_client_uid(taken, getpid(), 65534), 65534);
	json_decref(hello);
}

static void test_malformed(void **state)
{
	static const char *const words[] = {"filesystem", "network", "capabilities", "seccomp"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		expect_refusal(words[i], json_integer(1));
		expect_refusal(words[i], json_string("two\nlines"));
		expect_refusal(words[i], json_string("a word of more than thirty-two bytes"));
	}
	expect_refusal("user", json_string("root"));
	expect_refusal("user", json_integer(-1));
	expect_refusal("user", json_integer(1LL << 32));
	expect_refusal("needs", json_object());
	expect_refusal("needs", json_pack("[s]", "files"));
	expect_refusal("needs", json_pack("[{s:s}]", "name", "files"));
	expect_refusal("needs", json_pack("[{s:s,s:s}]", "name", "files", "reason", "a\nb"));
	expect_refusal("missing", json_null());
	expect_refusal("missing", json_pack("[i]", 1));
}

static void test_rows(void **state)
{
	json_t *rows = json_array();
	json_t *taken;

	for (int i = 0; i < 256; i++)
		json_array_append_new(rows, json_string("something"));
	taken = take("missing", json_incref(rows));
	assert_non_null(taken);
	json_decref(taken);
	json_array_append_new(rows, json_string("something"));
	expect_refusal("missing", rows);
}

static void test_clients(void **state)
{
	json_t *within = take(NULL, NULL);
	json_t *without = take("user_namespace", json_false());

	assert_int_equal(sandbox_client_uid(within, getpid(), 65534), getuid());
	assert_int_equal(sandbox_client_uid(within, getpid(), 12), 12);
	assert_int_equal(sandbox_client_uid(within, 0, 65534), 65534);
	assert_int_equal(sandbox_client_uid(without, getpid(), 65534), 65534);
	json_decref(within);
	json_decref(without);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken),	  cmocka_unit_test(test_none),
		cmocka_unit_test(test_malformed), cmocka_unit_test(test_rows),
		cmocka_unit_test(test_clients),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
