/* SPDX-License-Identifier: BSD-3-Clause */
/* PRP entries, walked the way a controller walks them: they must give back the very bytes. */
#include "prp.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define LIST_IOVA 0x700000000ULL

/* Checks that @prp and @list cover [@iova, @iova + @len) in order and need exactly @entries. */
static void check_walk(uint64_t iova, uint32_t len, int entries)
{
	uint64_t list[PRP_LIST_ENTRIES + 1];
	uint64_t prp[2] = {1, 1};
	uint64_t at = iova;
	uint32_t left = len;
	uint32_t n = PRP_PAGE - (uint32_t)(iova % PRP_PAGE);

	memset(list, 0xee, sizeof(list));
	assert_int_equal(prp_build(iova, len, list, LIST_IOVA, prp), entries);
	assert_int_equal(prp_list_entries(iova, len), entries);
	assert_int_equal(prp[0], iova);
	n = n < left ? n : left;
	at += n;
	left -= n;
	if (left == 0) {
		assert_int_equal(prp[1], 0);
	} else if (left <= PRP_PAGE) {
		assert_int_equal(prp[1], at);
	} else {
		assert_int_equal(prp[1], LIST_IOVA);
		for (int i = 0; i < entries; i++) {
			assert_true(left > 0);
			assert_int_equal(list[i], at);
			n = left < PRP_PAGE ? left : PRP_PAGE;
			at += n;
			left -= n;
		}
		assert_int_equal(left, 0);
	}
	assert_int_equal(list[entries], 0xeeeeeeeeeeeeeeeeULL);
}

static void test_without_list(void **state)
{
	check_walk(0x100000000ULL, 512, 0);
	check_walk(0x100000000ULL, 4096, 0);
	check_walk(0x100000000ULL, 4097, 0);
	check_walk(0x100000000ULL, 8192, 0);
	check_walk(0x100000ffcULL, 4, 0);
	check_walk(0x100000ffcULL, 5, 0);
	check_walk(0x100000ffcULL, 4100, 0);
}

static void test_with_list(void **state)
{
	check_walk(0x100000000ULL, 8193, 2);
	check_walk(0x100000000ULL, 12288, 2);
	check_walk(0x100000ffcULL, 4101, 2);
	check_walk(0x100000000ULL, 131072, 31);
	check_walk(0x100000004ULL, 131072, 32);
	check_walk(0x100000000ULL, 1 << 20, 255);
	check_walk(0x100000ffcULL, 1 << 20, 256);
}

/* As much as one page of entries describes, and one byte more. */
static void test_limit(void **state)
{
	uint64_t list[PRP_LIST_ENTRIES];
	uint64_t prp[2] = {1, 1};
	uint32_t most = (PRP_LIST_ENTRIES + 1) * PRP_PAGE;

	check_walk(0x100000000ULL, most, PRP_LIST_ENTRIES);
	assert_int_equal(prp_build(0x100000000ULL, most + 1, list, LIST_IOVA, prp), -E2BIG);
	assert_int_equal(prp[0], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_list),
		cmocka_unit_test(test_with_list),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
