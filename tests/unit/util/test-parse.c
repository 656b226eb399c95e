/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers and words that people write: all of the text or nothing, and the limits of 64 bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "util/parse.h"

#define UNTOUCHED 0x5555555555555555ULL

struct sample {
	const char *text;
	int result;
	uint64_t value;
};

static void parse_expect(int (*parse)(const char *, uint64_t *), const struct sample *samples,
			 size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t value = UNTOUCHED;
		int r = parse(samples[i].text, &value);

		if (r != samples[i].result || value != (r ? UNTOUCHED : samples[i].value))
			fail_msg("\"%s\" gives %d, %llu", samples[i].text, r,
				 (unsigned long long)value);
	}
}

static void test_u64(void **state)
{
	static const struct sample samples[] = {
		{"0", 0, 0},
		{"0008", 0, 8},
		{"18446744073709551615", 0, UINT64_MAX},
		{"18446744073709551616", -ERANGE, 0},
		{"99999999999999999999999", -ERANGE, 0},
		{"0x0", 0, 0},
		{"0xffffffffffffffff", 0, UINT64_MAX},
		{"0X10000000000000000", -ERANGE, 0},
		{"0xDeadBeef", 0, 0xdeadbeef},
		{"", -EINVAL, 0},
		{"0x", -EINVAL, 0},
		{"0xg", -EINVAL, 0},
		{"-1", -EINVAL, 0},
		{"+1", -EINVAL, 0},
		{" 1", -EINVAL, 0},
		{"1 ", -EINVAL, 0},
		{"1a", -EINVAL, 0},
		{"a", -EINVAL, 0},
		{"1K", -EINVAL, 0},
	};

	parse_expect(parse_u64, samples, ARRAY_SIZE(samples));
}

static void test_bytes(void **state)
{
	static const struct sample samples[] = {
		{"0", 0, 0},
		{"4096", 0, 4096},
		{"1k", 0, 1024},
		{"1K", 0, 1024},
		{"1KiB", 0, 1024},
		{"1kb", 0, 1024},
		{"2M", 0, 2ULL << 20},
		{"3g", 0, 3ULL << 30},
		{"4TiB", 0, 4ULL << 40},
		{"0x10M", 0, 16ULL << 20},
		{"16777215T", 0, 16777215ULL << 40},
		{"16777216T", -ERANGE, 0},
		{"18446744073709551615K", -ERANGE, 0},
		{"", -EINVAL, 0},
		{"K", -EINVAL, 0},
		{"1.5G", -EINVAL, 0},
		{"1KK", -EINVAL, 0},
		{"1Ki", -EINVAL, 0},
		{"1 K", -EINVAL, 0},
		{"1P", -EINVAL, 0},
		{"-1K", -EINVAL, 0},
	};

	parse_expect(parse_bytes, samples, ARRAY_SIZE(samples));
}

static void test_hundredths(void **state)
{
	static const struct sample samples[] = {
		{"0", 0, 0},
		{"60", 0, 6000},
		{"12.5", 0, 1250},
		{"12.50", 0, 1250},
		{"0.01", 0, 1},
		{"100.00", 0, 10000},
		{"0.001", -EINVAL, 0},
		{"12.345", -EINVAL, 0},
		{"1.", -EINVAL, 0},
		{".5", -EINVAL, 0},
		{".", -EINVAL, 0},
		{"1.2.3", -EINVAL, 0},
		{"1,5", -EINVAL, 0},
		{"", -EINVAL, 0},
		{"-1", -EINVAL, 0},
		{"+1", -EINVAL, 0},
		{" 1", -EINVAL, 0},
		{"1 ", -EINVAL, 0},
		{"50%", -EINVAL, 0},
		{"1e2", -EINVAL, 0},
		{"0x10", -EINVAL, 0},
		{"184467440737095516.15", 0, UINT64_MAX},
		{"184467440737095516.16", -ERANGE, 0},
		{"184467440737095517", -ERANGE, 0},
		{"99999999999999999999999", -ERANGE, 0},
	};

	parse_expect(parse_hundredths, samples, ARRAY_SIZE(samples));
}

static void test_bool(void **state)
{
	static const char *const no[] = {"0", "false", "no", "off"};
	static const char *const yes[] = {"1", "true", "yes", "on"};
	static const char *const neither[] = {"", "2", "Yes", "yes ", "tru", "01"};
	bool value = true;

	for (size_t i = 0; i < ARRAY_SIZE(no); i++) {
		assert_int_equal(parse_bool(no[i], &value), 0);
		assert_false(value);
		assert_int_equal(parse_bool(yes[i], &value), 0);
		assert_true(value);
	}
	for (size_t i = 0; i < ARRAY_SIZE(neither); i++) {
		assert_int_equal(parse_bool(neither[i], &value), -EINVAL);
		assert_true(value);
	}
}

static void test_choice(void **state)
{
	uint64_t index = UNTOUCHED;

	assert_int_equal(parse_choice("trap", "trap shared", &index), 0);
	assert_int_equal(index, 0);
	assert_int_equal(parse_choice("shared", "trap shared", &index), 0);
	assert_int_equal(index, 1);
	index = UNTOUCHED;
	assert_int_equal(parse_choice("share", "trap shared", &index), -EINVAL);
	assert_int_equal(parse_choice("sharedd", "trap shared", &index), -EINVAL);
	assert_int_equal(parse_choice("", "trap shared", &index), -EINVAL);
	assert_int_equal(parse_choice("trap shared", "trap shared", &index), -EINVAL);
	assert_int_equal(parse_choice("trap", "", &index), -EINVAL);
	assert_true(index == UNTOUCHED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_u64),	   cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_hundredths), cmocka_unit_test(test_bool),
		cmocka_unit_test(test_choice),
	};

	return cmocka_run_group_tests_name("parse", tests, NULL, NULL);
}
