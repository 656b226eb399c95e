/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the loader takes and what it refuses. Arguments: the shared objects of variant.c and
 * no-driver.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/driver.h"
#include "host/need.h"

static const char *load_variant;
static const char *load_no_driver;

static const struct umdev_host_ops load_ops = {
	.struct_size = sizeof(struct umdev_host_ops),
	.abi_version = UMDEV_ABI_VERSION,
};

/* Loads the driver in one of its ways. */
static int load_as(const char *variant, struct host_driver *driver, struct umdev_error *err)
{
	setenv("UMDEV_TEST_VARIANT", variant, 1);
	memset(driver, 0, sizeof(*driver));
	memset(err, 0, sizeof(*err));
	return driver_load(load_variant, "variant", &load_ops, driver, err);
}

/* The error must be @word, and its text must name the driver and @what. */
static void load_expect_refusal(const char *variant, enum error_word word, const char *what)
{
	struct host_driver driver;
	struct host_driver untouched = {0};
	struct umdev_error err;

	assert_int_equal(load_as(variant, &driver, &err), -error_word_errno(word));
	assert_int_equal(err.word, word);
	if (!strstr(err.message, "variant") || !strstr(err.message, what))
		fail_msg("%s: \"%s\" does not name the driver and \"%s\"", variant, err.message,
			 what);
	assert_memory_equal(&driver, &untouched, sizeof(driver));
}

static void load_expect_good(const struct host_driver *driver)
{
	uint64_t value = 0;

	assert_int_equal(driver->table.struct_size >= sizeof(struct umdev_driver), 1);
	assert_string_equal(driver->table.name, "variant");
	assert_int_equal(driver->option_count, 2);
	assert_int_equal(driver->attr_count, 1);
	assert_int_equal(driver->stat_count, 1);
	/* Rows are as long as the driver says, not as our own. */
	assert_string_equal(driver_option(driver, 1)->name, "two");
	assert_true(driver_option(driver, 1)->max == 20);
	assert_null(driver_option(driver, 2));
	assert_string_equal(driver_attr(driver, 0)->name, "live");
	assert_null(driver_attr(driver, 1));
	driver_stats_get(driver, NULL, &value);
	assert_int_equal(value, 7);
}

static void test_longer_table(void **state)
{
	struct host_driver driver;
	struct umdev_error err;

	assert_int_equal(load_as("longer", &driver, &err), 0);
	load_expect_good(&driver);
}

static void test_exact_table(void **state)
{
	struct host_driver driver;
	struct umdev_error err;

	assert_int_equal(load_as("exact", &driver, &err), 0);
	load_expect_good(&driver);
}

/* A driver that was built before tables grew. */
static void test_first_table(void **state)
{
	struct host_driver driver;
	struct umdev_error err;
	char to[4096] = {0};

	assert_int_equal(load_as("first", &driver, &err), 0);
	assert_string_equal(driver.table.name, "variant");
	assert_int_equal(driver.option_count, 2);
	assert_null(driver.table.convert);
	assert_int_equal(driver.table.state_from, 0);
	assert_false(driver_converts(&driver, 0));
	assert_int_equal(driver_convert(&driver, 0, to, 0, to, &err), -EINVAL);
}

static void test_convert(void **state)
{
	struct host_driver driver;
	struct umdev_error err;
	char from[] = {1, 0};
	char to[4096] = {0};

	load_expect_refusal("no_convert", ERROR_DRIVER_FAILED, "convert");
	load_expect_refusal("converts_itself", ERROR_DRIVER_FAILED, "state_version 3");
	assert_int_equal(load_as("converts", &driver, &err), 0);
	assert_false(driver_converts(&driver, 0));
	assert_true(driver_converts(&driver, 1));
	assert_true(driver_converts(&driver, 2));
	assert_false(driver_converts(&driver, 3));
	assert_int_equal(driver_convert(&driver, 1, from, sizeof(from), to, &err), 0);
	assert_int_equal(to[0], 2);
	/* Its refusal, its breach of the contract, and what it was not made for. */
	assert_true(driver_convert(&driver, 1, to, sizeof(to), to, &err) < 0);
	assert_non_null(strstr(err.message, "version 1 is not converted to version 3: "));
	assert_true(driver_convert(&driver, 2, from, sizeof(from), to, &err) < 0);
	assert_non_null(strstr(err.message, "broke its contract: convert returned 1"));
	assert_int_equal(driver_convert(&driver, 3, from, sizeof(from), to, &err), -EINVAL);
	assert_int_equal(driver_convert(&driver, 0, from, sizeof(from), to, &err), -EINVAL);
}

static void test_short_table(void **state)
{
	load_expect_refusal("short", ERROR_DRIVER_FAILED, "bytes");
	load_expect_refusal("empty", ERROR_DRIVER_FAILED, "bytes");
	load_expect_refusal("short_rows", ERROR_DRIVER_FAILED, "rows");
	load_expect_refusal("short_needs", ERROR_DRIVER_FAILED, "rows");
}

static void test_other_version(void **state)
{
	load_expect_refusal("version", ERROR_DRIVER_FAILED, "ABI");
	load_expect_refusal("refuses", ERROR_DRIVER_FAILED, "ABI");
}

static void test_names(void **state)
{
	load_expect_refusal("name", ERROR_DRIVER_FAILED, "other");
	load_expect_refusal("no_name", ERROR_DRIVER_FAILED, "nothing");
	load_expect_refusal("no_description", ERROR_DRIVER_FAILED, "description");
}

static void test_mandatory_callbacks(void **state)
{
	static const char *const names[] = {
		"parent_open", "parent_close", "mdev_create", "mdev_remove",
		"reset",       "attr_set",     "stats_get",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		load_expect_refusal(names[i], ERROR_DRIVER_FAILED, names[i]);
}

static void test_state_limit(void **state)
{
	load_expect_refusal("large_state", ERROR_DRIVER_FAILED, "state");
}

static void test_needs(void **state)
{
	struct host_driver driver;
	struct umdev_error err;

	assert_int_equal(load_as("exact", &driver, &err), 0);
	assert_int_equal(driver.need_count, 2);
	assert_int_equal(driver.needs, NEED_BIT(NEED_FILES) | NEED_BIT(NEED_THREADS));
	assert_string_equal(driver_need(&driver, 1)->reason, "to have another");
	assert_null(driver_need(&driver, 2));
	assert_int_equal(load_as("no_needs", &driver, &err), 0);
	assert_int_equal(driver.need_count, 0);
	assert_int_equal(driver.needs, 0);
	load_expect_refusal("wants_wings", ERROR_DRIVER_FAILED, "'wings'");
	load_expect_refusal("no_reason", ERROR_DRIVER_FAILED, "reason");
}

static void test_what_is_no_driver(void **state)
{
	struct host_driver driver = {0};
	struct umdev_error err = {0};
	char path[] = "/tmp/umdev-test-load-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "not an object", 13), 13);
	close(fd);
	assert_true(driver_load(path, "text", &load_ops, &driver, &err) < 0);
	assert_int_equal(err.word, ERROR_UNKNOWN_DRIVER);
	assert_int_equal(unlink(path), 0);
	assert_true(driver_load(path, "gone", &load_ops, &driver, &err) < 0);
	assert_int_equal(err.word, ERROR_UNKNOWN_DRIVER);
	assert_non_null(strstr(err.message, "gone"));
	assert_true(driver_load(load_no_driver, "object", &load_ops, &driver, &err) < 0);
	assert_int_equal(err.word, ERROR_DRIVER_FAILED);
	assert_non_null(strstr(err.message, "umdev_driver_entry"));
	assert_null(driver.handle);
}

/* A good one after all the bad ones: nothing of them is left. */
static void test_good_after_bad(void **state)
{
	struct host_driver driver;
	struct umdev_error err;

	load_expect_refusal("version", ERROR_DRIVER_FAILED, "ABI");
	assert_int_equal(load_as("", &driver, &err), 0);
	load_expect_good(&driver);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_longer_table),
		cmocka_unit_test(test_exact_table),
		cmocka_unit_test(test_short_table),
		cmocka_unit_test(test_first_table),
		cmocka_unit_test(test_convert),
		cmocka_unit_test(test_other_version),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_mandatory_callbacks),
		cmocka_unit_test(test_state_limit),
		cmocka_unit_test(test_needs),
		cmocka_unit_test(test_what_is_no_driver),
		cmocka_unit_test(test_good_after_bad),
	};

	if (argc != 3) {
		fprintf(stderr, "usage: %s VARIANT NO-DRIVER\n", argv[0]);
		return 2;
	}
	load_variant = argv[1];
	load_no_driver = argv[2];
	return cmocka_run_group_tests_name("abi-load", tests, NULL, NULL);
}
