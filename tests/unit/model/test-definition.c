/* SPDX-License-Identifier: BSD-3-Clause */
/* Definitions: mdevctl's files are read and written as they are; every prefix of one is refused. */
#include "model/definition.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char full[] =
	"{\"mdev_type\":\"nvme-1g\",\"start\":\"auto\",\"attrs\":[{\"nvme/a\":\"1\"},"
	"{\"mdev/socket_mode\":\"0660\"},{\"nvme/a\":\"2\"}],\"type_name\":\"umdev NVMe 1 GiB\","
	"\"owner\":\"ci\",\"uid\":1000,\"future\":{\"x\":[1,2]}}";

static struct definition *load(const char *text)
{
	struct definition *d = NULL;
	struct umdev_error err = {0};

	if (definition_parse_text(text, strlen(text), &d, &err) != 0)
		fail_msg("%s", err.message);
	return d;
}

static void expect_print(const struct definition *d, const char *expected)
{
	json_t *json = definition_print(d);
	char *text = json_dumps(json, JSON_COMPACT);

	assert_string_equal(text, expected);
	free(text);
	json_decref(json);
}

static void test_round_trip(void **state)
{
	struct definition *d = load(full);
	struct definition *copy = definition_dup(d);

	(void)state;
	assert_true(d->auto_start);
	assert_int_equal(d->uid, 1000);
	assert_string_equal(definition_attr(d, "nvme/a"), "2"); /* the last one counts */
	assert_null(definition_attr(d, "nvme/b"));
	expect_print(d, full);
	expect_print(copy, full);
	definition_free(copy);
	definition_free(d);

	d = load("{\"start\":\"yes\",\"mdev_type\":\"t\"}");
	assert_false(d->auto_start);
	assert_false(d->has_uid);
	expect_print(d, "{\"mdev_type\":\"t\",\"start\":\"manual\",\"attrs\":[]}");
	definition_free(d);
}

/* A file that was cut off anywhere is no definition. */
static void test_every_prefix(void **state)
{
	(void)state;
	for (size_t len = 0; len < strlen(full); len++) {
		struct definition *d = NULL;
		struct umdev_error err = {0};

		assert_int_equal(definition_parse_text(full, len, &d, &err), -EINVAL);
		assert_int_equal(err.word, ERROR_INVALID);
		assert_null(d);
	}
}

static void test_bad(void **state)
{
	static const struct {
		const char *text;
		const char *key;
	} bad[] = {
		{"[]", ""},
		{"{\"start\":\"auto\"}", "mdev_type"},
		{"{\"mdev_type\":1,\"start\":\"auto\"}", "mdev_type"},
		{"{\"mdev_type\":\"\",\"start\":\"auto\"}", "mdev_type"},
		{"{\"mdev_type\":\"a\\nb\",\"start\":\"auto\"}", "mdev_type"},
		{"{\"mdev_type\":\"t\"}", "start"},
		{"{\"mdev_type\":\"t\",\"start\":true}", "start"},
		{"{\"mdev_type\":\"t\",\"start\":\"auto\",\"attrs\":{}}", "attrs"},
		{"{\"mdev_type\":\"t\",\"start\":\"auto\",\"attrs\":[1]}", "attrs"},
		{"{\"mdev_type\":\"t\",\"start\":\"auto\",\"attrs\":[{\"a\":1}]}", "attrs"},
		{"{\"mdev_type\":\"t\",\"start\":\"auto\",\"attrs\":[{}]}", "attrs"},
		{"{\"mdev_type\":\"t\",\"start\":\"auto\",\"attrs\":[{\"a\":\"1\",\"b\":\"2\"}]}",
		 "attrs"},
		{"{\"mdev_type\":\"t\",\"start\":\"auto\",\"attrs\":[{\"../a\":\"1\"}]}", "../a"},
		{"{\"mdev_type\":\"t\",\"start\":\"auto\",\"attrs\":[{\"a\":\"1\\n\"}]}", "a"},
		{"{\"mdev_type\":\"t\",\"start\":\"auto\",\"uid\":-1}", "uid"},
		{"{\"mdev_type\":\"t\",\"start\":\"auto\",\"uid\":4294967295}", "uid"},
		{"{\"mdev_type\":\"t\",\"start\":\"auto\",\"uid\":\"0\"}", "uid"},
		{"{\"mdev_type\":\"t\",\"mdev_type\":\"u\",\"start\":\"auto\"}", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct definition *d = NULL;
		struct umdev_error err = {0};

		if (definition_parse_text(bad[i].text, strlen(bad[i].text), &d, &err) != -EINVAL)
			fail_msg("taken: %s", bad[i].text);
		assert_string_equal(err.key, bad[i].key);
		assert_null(d);
	}
}

static void test_attrs(void **state)
{
	struct definition *d = load(full);
	struct umdev_error err = {0};

	(void)state;
	assert_int_equal(definition_add_attr(d, 4, "x", "y", &err), -EINVAL);
	assert_int_equal(definition_add_attr(d, 0, "first", "y", &err), 0);
	assert_int_equal(definition_add_attr(d, SIZE_MAX, "last", "", &err), 0);
	assert_string_equal(d->attrs[0].name, "first");
	assert_string_equal(d->attrs[4].name, "last");
	assert_int_equal(definition_del_attr(d, 5, &err), -EINVAL);
	assert_int_equal(definition_del_attr(d, SIZE_MAX, &err), 0);
	assert_int_equal(definition_del_attr(d, 1, &err), 0);
	assert_int_equal(d->attr_count, 3);
	assert_string_equal(d->attrs[1].name, "mdev/socket_mode");
	while (d->attr_count > 0)
		assert_int_equal(definition_del_attr(d, SIZE_MAX, &err), 0);
	assert_int_equal(definition_del_attr(d, SIZE_MAX, &err), -EINVAL);
	for (int i = 0; i < DEFINITION_ATTRS_MAX; i++)
		assert_int_equal(definition_add_attr(d, SIZE_MAX, "a", "b", &err), 0);
	assert_int_equal(definition_add_attr(d, SIZE_MAX, "a", "b", &err),
			 -error_word_errno(ERROR_LIMIT));
	assert_int_equal(err.word, ERROR_LIMIT);
	definition_free(d);
}

static void test_check_attrs(void **state)
{
	json_t *rows =
		json_loads("[{\"name\":\"a\",\"kind\":1,\"default\":\"0\",\"max\":9}]", 0, NULL);
	struct spec_table t = {0};
	struct umdev_error err = {0};
	struct definition *d;

	(void)state;
	assert_int_equal(spec_table_parse(rows, SPEC_ATTRS, "nvme", &t, &err), 0);
	d = load("{\"mdev_type\":\"t\",\"start\":\"auto\",\"attrs\":[{\"a\":\"1\"},"
		 "{\"nvme/a\":\"2\"}]}");
	assert_int_equal(definition_check_attrs(d, &t, "nvme", &err), 0);
	assert_string_equal(d->attrs[0].name, "nvme/a"); /* stored in full */
	assert_int_equal(definition_add_attr(d, SIZE_MAX, "a", "10", &err), 0);
	assert_int_equal(definition_check_attrs(d, &t, "nvme", &err), -EINVAL);
	assert_string_equal(err.key, "nvme/a");
	assert_string_equal(d->attrs[2].name, "a"); /* nothing was changed */
	assert_int_equal(definition_del_attr(d, SIZE_MAX, &err), 0);
	assert_int_equal(definition_add_attr(d, SIZE_MAX, "mdev/weight", "10001", &err), 0);
	assert_int_equal(definition_check_attrs(d, &t, "nvme", &err), -EINVAL);
	assert_string_equal(err.key, "mdev/weight");
	/* Without the parent only what every mdev has can be judged. */
	assert_int_equal(definition_check_attrs(d, NULL, NULL, &err), -EINVAL);
	assert_int_equal(definition_del_attr(d, SIZE_MAX, &err), 0);
	assert_int_equal(definition_add_attr(d, SIZE_MAX, "other/x", "10", &err), 0);
	assert_int_equal(definition_check_attrs(d, NULL, NULL, &err), 0);
	assert_int_equal(definition_add_attr(d, SIZE_MAX, "mdev/socket_mode", "9", &err), 0);
	assert_int_equal(definition_check_attrs(d, NULL, NULL, &err), -EINVAL);
	definition_free(d);
	spec_table_done(&t);
	json_decref(rows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_every_prefix),
		cmocka_unit_test(test_bad),	    cmocka_unit_test(test_attrs),
		cmocka_unit_test(test_check_attrs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
