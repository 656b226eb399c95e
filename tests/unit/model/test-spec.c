/* SPDX-License-Identifier: BSD-3-Clause */
/* Typed values: each kind at its limits, and tables that a driver must not declare. */
#include "model/spec.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <umdev/driver.h>

#include <cmocka.h>

static uint64_t good(const struct spec *spec, const char *text)
{
	struct umdev_error err = {0};
	uint64_t n = 12345;

	if (spec_check(spec, text, &n, &err) != 0)
		fail_msg("'%s': %s", text, err.message);
	return n;
}

static void bad(const struct spec *spec, const char *text)
{
	struct umdev_error err = {0};
	uint64_t n = 12345;

	assert_int_equal(spec_check(spec, text, &n, &err), -EINVAL);
	assert_int_equal(err.word, ERROR_INVALID);
	assert_string_equal(err.key, spec->name);
	assert_int_equal(n, 12345);
}

static void test_numbers(void **state)
{
	struct spec u64 = {.name = "n", .kind = UMDEV_KIND_U64, .min = 2, .max = 100};
	struct spec bytes = {.name = "b", .kind = UMDEV_KIND_BYTES};

	(void)state;
	assert_int_equal(good(&u64, "2"), 2);
	assert_int_equal(good(&u64, "100"), 100);
	assert_int_equal(good(&u64, "0x10"), 16);
	bad(&u64, "1");
	bad(&u64, "101");
	bad(&u64, "");
	bad(&u64, "-3");
	bad(&u64, "+3");
	bad(&u64, " 3");
	bad(&u64, "3 ");
	bad(&u64, "3K");
	bad(&u64, "0x");
	bad(&u64, "18446744073709551618");
	assert_int_equal(good(&bytes, "4096"), 4096);
	assert_int_equal(good(&bytes, "1k"), 1024);
	assert_int_equal(good(&bytes, "8G"), 8ULL << 30);
	assert_int_equal(good(&bytes, "3T"), 3ULL << 40);
	assert_int_equal(good(&bytes, "9223372036854775807"), INT64_MAX);
	bad(&bytes, "9223372036854775808");
	bad(&bytes, "8388608T");
	bad(&bytes, "99999999999T");
	bad(&bytes, "1GG");
	bad(&bytes, "1P");
	bad(&bytes, "G");
	assert_int_equal(good(&bytes, "2MiB"), 2ULL << 20);
}

static void test_words(void **state)
{
	struct spec boolean = {.name = "b", .kind = UMDEV_KIND_BOOL};
	struct spec word = {.name = "w", .kind = UMDEV_KIND_ENUM, .choices = "trapped shared none"};

	(void)state;
	assert_int_equal(good(&boolean, "1"), 1);
	assert_int_equal(good(&boolean, "off"), 0);
	assert_int_equal(good(&boolean, "yes"), 1);
	assert_int_equal(good(&boolean, "false"), 0);
	bad(&boolean, "2");
	bad(&boolean, "");
	assert_int_equal(good(&word, "trapped"), 0);
	assert_int_equal(good(&word, "none"), 2);
	bad(&word, "share");
	bad(&word, "trapped shared");
	bad(&word, "");
}

static void test_texts(void **state)
{
	struct spec text = {.name = "t", .kind = UMDEV_KIND_STRING, .max = 4};
	struct spec path = {.name = "p", .kind = UMDEV_KIND_BACKING};
	const struct spec *mode = spec_find(spec_standard(), "mdev/socket_mode");
	const struct spec *user = spec_find(spec_standard(), "mdev/socket_user");

	(void)state;
	good(&text, "");
	good(&text, "abcd");
	bad(&text, "abcde");
	bad(&text, "a\nb");
	good(&path, "/srv/disk.img");
	bad(&path, "disk.img");
	bad(&path, "");
	assert_int_equal(good(mode, "0660"), 0660);
	assert_int_equal(good(mode, "777"), 0777);
	bad(mode, "1777");
	bad(mode, "0x1ff");
	bad(mode, "rw");
	bad(mode, "8");
	good(user, "nobody");
	good(user, "65534");
	bad(user, "");
	bad(user, "-1");
}

/* What a refused value is told. */
static void bad_says(const struct spec *spec, const char *text, const char *says)
{
	struct umdev_error err = {0};

	assert_int_equal(spec_check(spec, text, NULL, &err), -EINVAL);
	if (!strstr(err.message, says))
		fail_msg("'%s' does not say '%s'", err.message, says);
}

static void test_knobs(void **state)
{
	const struct spec *cap = spec_find(spec_standard(), "mdev/cap");
	const struct spec *weight = spec_find(spec_standard(), "mdev/weight");
	const struct spec *priority = spec_find(spec_standard(), "mdev/priority");
	static const char *const no_percentage[] = {"",	   "-1",   "0.001", "12.345", "1e1",
						    "60%", "half", "0x10",  "1.",     ".5"};

	(void)state;
	assert_int_equal(good(cap, cap->default_value), 10000);
	assert_int_equal(good(cap, "0.01"), 1);
	assert_int_equal(good(cap, "12.5"), 1250);
	assert_int_equal(good(cap, "60.00"), 6000);
	assert_int_equal(good(cap, "100"), 10000);
	bad_says(cap, "0", "mdev/cap: 0 is out of range 0.01..100");
	bad_says(cap, "0.00", "out of range 0.01..100");
	bad_says(cap, "100.01", "out of range 0.01..100");
	bad_says(cap, "99999999999999999999999", "out of range 0.01..100");
	for (size_t i = 0; i < ARRAY_SIZE(no_percentage); i++) {
		bad(cap, no_percentage[i]);
		bad_says(cap, no_percentage[i], "not a percentage from 0.01 to 100");
	}
	assert_int_equal(good(weight, weight->default_value), 100);
	assert_int_equal(good(weight, "1"), 1);
	assert_int_equal(good(weight, "10000"), 10000);
	bad_says(weight, "0", "mdev/weight: 0 is out of range 1..10000");
	bad_says(weight, "10001", "out of range 1..10000");
	bad_says(weight, "-1", "not a number from 1 to 10000");
	bad_says(weight, "1.5", "not a number from 1 to 10000");
	assert_int_equal(good(priority, priority->default_value), 0);
	assert_int_equal(good(priority, "7"), 7);
	bad_says(priority, "8", "mdev/priority: 8 is out of range 0..7");
	assert_int_equal(cap->when, UMDEV_WHEN_LIVE);
	assert_int_equal(weight->when, UMDEV_WHEN_LIVE);
	assert_int_equal(priority->when, UMDEV_WHEN_LIVE);
}

static json_t *table_json(const char *text)
{
	json_t *t = json_loads(text, 0, NULL);

	assert_non_null(t);
	return t;
}

static void test_table(void **state)
{
	struct spec_table t = {0};
	struct umdev_error err = {0};
	json_t *rows = table_json("[{\"name\":\"doorbells\",\"description\":\"d\",\"default\":"
				  "\"trapped\",\"choices\":\"trapped shared\",\"min\":0,\"max\":0,"
				  "\"kind\":4,\"when\":0}]");

	(void)state;
	assert_int_equal(spec_table_parse(rows, SPEC_ATTRS, "nvme", &t, &err), 0);
	assert_string_equal(t.rows[0].name, "nvme/doorbells");
	assert_string_equal(spec_local_name(&t.rows[0]), "doorbells");
	assert_ptr_equal(spec_find_attr(&t, "nvme", "doorbells", &err), &t.rows[0]);
	assert_ptr_equal(spec_find_attr(&t, "nvme", "nvme/doorbells", &err), &t.rows[0]);
	assert_null(spec_find_attr(&t, "nvme", "mdev/caps", &err));
	assert_int_equal(err.word, ERROR_INVALID);
	assert_string_equal(err.key, "mdev/caps");
	assert_non_null(strstr(err.message, "nvme/doorbells, mdev/group, mdev/socket_user"));
	assert_non_null(strstr(err.message, "mdev/cap, mdev/weight, mdev/priority"));
	assert_null(spec_find_attr(&t, "nvme", "socket_user", &err));
	spec_table_done(&t);
	json_decref(rows);
}

static void test_table_bad(void **state)
{
	static const char *const tables[] = {
		"{}",
		"[1]",
		"[{}]",
		"[{\"name\":\"a b\",\"kind\":0,\"default\":\"\"}]",
		"[{\"name\":\"a\",\"kind\":9,\"default\":\"\"}]",
		"[{\"name\":\"a\",\"kind\":5,\"default\":\"/x\"}]",
		"[{\"name\":\"a\",\"kind\":0}]",
		"[{\"name\":\"a\",\"kind\":4,\"default\":\"x\"}]",
		"[{\"name\":\"a\",\"kind\":4,\"default\":\"x\",\"choices\":\"y z\"}]",
		"[{\"name\":\"a\",\"kind\":1,\"default\":\"7\",\"max\":6}]",
		"[{\"name\":\"a\",\"kind\":1,\"default\":\"7\",\"min\":-6}]",
		("[{\"name\":\"a\",\"kind\":0,\"default\":\"\"},"
		 "{\"name\":\"a\",\"kind\":0,\"default\":\"\"}]"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		struct spec_table t = {0};
		struct umdev_error err = {0};
		json_t *rows = table_json(tables[i]);

		assert_int_equal(spec_table_parse(rows, SPEC_ATTRS, "nvme", &t, &err), -EIO);
		assert_int_equal(err.word, ERROR_DRIVER_FAILED);
		assert_null(t.rows);
		json_decref(rows);
	}
}

static void test_table_limit(void **state)
{
	(void)state;
	for (int n = SPEC_ROWS_MAX; n <= SPEC_ROWS_MAX + 1; n++) {
		struct spec_table t = {0};
		struct umdev_error err = {0};
		json_t *rows = json_array();

		for (int i = 0; i < n; i++) {
			char name[16];

			snprintf(name, sizeof(name), "o%d", i);
			json_array_append_new(rows,
					      json_pack("{s:s,s:i}", "name", name, "kind", 0));
		}
		assert_int_equal(spec_table_parse(rows, SPEC_OPTIONS, "x", &t, &err),
				 n == SPEC_ROWS_MAX ? 0 : -EIO);
		spec_table_done(&t);
		json_decref(rows);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),	    cmocka_unit_test(test_words),
		cmocka_unit_test(test_texts),	    cmocka_unit_test(test_knobs),
		cmocka_unit_test(test_table),	    cmocka_unit_test(test_table_bad),
		cmocka_unit_test(test_table_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
