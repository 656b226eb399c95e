/* SPDX-License-Identifier: BSD-3-Clause */
/* Syntax of names: what is taken and what is not, at the limit and one past it. */
#include "model/ident.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_uuid(void **state)
{
	char uuid[IDENT_UUID_SIZE] = "untouched";

	(void)state;
	assert_int_equal(ident_uuid_parse("83B8F4F2-509F-382F-3C1E-E6BFE0FA1001", uuid), 0);
	assert_string_equal(uuid, "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001");
	assert_int_equal(ident_uuid_parse("00000000-0000-0000-0000-000000000000", uuid), 0);
	strcpy(uuid, "untouched");
	static const char *const bad[] = {
		"",
		"83b8f4f2-509f-382f-3c1e-e6bfe0fa100",
		"83b8f4f2-509f-382f-3c1e-e6bfe0fa10010",
		"83b8f4f2-509f-382f-3c1e-e6bfe0fa1001\n",
		"83b8f4f2x509f-382f-3c1e-e6bfe0fa1001",
		"83b8f4f2-509f-382f-3c1e-e6bfe0fa100g",
		"83b8f4f25-09f-382f-3c1e-e6bfe0fa1001",
		"../../../../../../../../etc/passwd-x",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(ident_uuid_parse(bad[i], uuid), -EINVAL);
	assert_int_equal(ident_uuid_parse(NULL, uuid), -EINVAL);
	assert_string_equal(uuid, "untouched");
}

static void test_parent_name(void **state)
{
	char longest[IDENT_PARENT_NAME_MAX + 2];

	(void)state;
	memset(longest, 'a', sizeof(longest));
	longest[IDENT_PARENT_NAME_MAX] = '\0';
	assert_true(ident_parent_name_ok(longest));
	longest[IDENT_PARENT_NAME_MAX] = 'a';
	longest[IDENT_PARENT_NAME_MAX + 1] = '\0';
	assert_false(ident_parent_name_ok(longest));
	assert_true(ident_parent_name_ok("0000:00:02.0"));
	assert_true(ident_parent_name_ok("Disk_1"));
	assert_false(ident_parent_name_ok(""));
	assert_false(ident_parent_name_ok("."));
	assert_false(ident_parent_name_ok(".."));
	assert_false(ident_parent_name_ok(".hidden"));
	assert_false(ident_parent_name_ok("-x"));
	assert_false(ident_parent_name_ok("a/b"));
	assert_false(ident_parent_name_ok("a b"));
	assert_false(ident_parent_name_ok("a\nb"));
	assert_false(ident_parent_name_ok("\xc3\xa4"));
	assert_false(ident_parent_name_ok(NULL));
	assert_false(ident_parent_name_ok("scripts.d"));
	assert_true(ident_parent_name_ok("scripts.e"));
}

static void test_other_names(void **state)
{
	(void)state;
	assert_true(ident_driver_name_ok("nvme"));
	assert_true(ident_driver_name_ok("abcdefghijklmno"));
	assert_false(ident_driver_name_ok("abcdefghijklmnop"));
	assert_false(ident_driver_name_ok("Nvme"));
	assert_false(ident_driver_name_ok("nv-me"));
	assert_false(ident_driver_name_ok("9p"));
	assert_false(ident_driver_name_ok("../evil"));
	assert_true(ident_word_ok("block_size"));
	assert_false(ident_word_ok("_x"));
	assert_true(ident_type_local_ok("1g"));
	assert_true(ident_type_local_ok("v5_4.x-y"));
	assert_false(ident_type_local_ok(".x"));
	assert_false(ident_type_local_ok("a/b"));
}

static void test_attr_name(void **state)
{
	(void)state;
	assert_true(ident_attr_name_ok("nvme/doorbells"));
	assert_true(ident_attr_name_ok("x"));
	assert_true(ident_attr_name_ok("a/...b/c"));
	assert_false(ident_attr_name_ok(""));
	assert_false(ident_attr_name_ok("/x"));
	assert_false(ident_attr_name_ok("x/"));
	assert_false(ident_attr_name_ok("a//b"));
	assert_false(ident_attr_name_ok("../b"));
	assert_false(ident_attr_name_ok("a/./b"));
	assert_false(ident_attr_name_ok("a/.."));
	assert_false(ident_attr_name_ok("a=b"));
}

static void test_line(void **state)
{
	(void)state;
	assert_true(ident_line_ok("umdev NVMe 1 GiB", 16));
	assert_false(ident_line_ok("umdev NVMe 1 GiB", 15));
	assert_false(ident_line_ok("", 16));
	assert_true(ident_line_ok("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 16));
	assert_false(ident_line_ok("two\nlines", 16));
	assert_false(ident_line_ok("\x7f", 16));
	assert_false(ident_line_ok("\xc3", 16));	     /* cut */
	assert_false(ident_line_ok("\xc0\x80", 16));	     /* overlong */
	assert_false(ident_line_ok("\xed\xa0\x80", 16));     /* surrogate */
	assert_false(ident_line_ok("\xf4\x90\x80\x80", 16)); /* beyond Unicode */
	assert_false(ident_line_ok("\x80", 16));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_uuid),	    cmocka_unit_test(test_parent_name),
		cmocka_unit_test(test_other_names), cmocka_unit_test(test_attr_name),
		cmocka_unit_test(test_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
