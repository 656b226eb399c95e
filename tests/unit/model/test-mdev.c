/* SPDX-License-Identifier: BSD-3-Clause */
/* The states of an mdev and the rule of ownership. */
#include "model/mdev.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_states(void **state)
{
	static const uint8_t legal[MDEV_STATE_COUNT][MDEV_STATE_COUNT] = {
		[MDEV_IDLE] = {[MDEV_STARTING] = 1},
		[MDEV_STARTING] = {[MDEV_ACTIVE] = 1, [MDEV_IDLE] = 1},
		[MDEV_ACTIVE] = {[MDEV_STOPPING] = 1, [MDEV_RESTARTING] = 1, [MDEV_IDLE] = 1},
		[MDEV_STOPPING] = {[MDEV_ACTIVE] = 1, [MDEV_IDLE] = 1},
		[MDEV_RESTARTING] = {[MDEV_ACTIVE] = 1, [MDEV_FAILED] = 1, [MDEV_IDLE] = 1},
		[MDEV_FAILED] = {[MDEV_RESTARTING] = 1, [MDEV_IDLE] = 1},
	};

	(void)state;
	for (int from = 0; from < MDEV_STATE_COUNT; from++) {
		for (int to = 0; to < MDEV_STATE_COUNT; to++)
			assert_int_equal(mdev_state_may((enum mdev_state)from, (enum mdev_state)to),
					 legal[from][to]);
	}
	assert_false(mdev_state_may(MDEV_STATE_COUNT, MDEV_IDLE));
	assert_false(mdev_state_is_active(MDEV_IDLE));
	assert_false(mdev_state_is_active(MDEV_STARTING));
	assert_true(mdev_state_is_active(MDEV_FAILED));
	assert_string_equal(mdev_state_name(MDEV_STATE_COUNT), "unknown");
}

static void test_owner(void **state)
{
	struct mdev_owner owner = {.uid = 1000, .text = "ci"};
	struct umdev_error err = {0};

	(void)state;
	assert_int_equal(mdev_owner_check(&owner, 1000, 0, "u", &err), 0);
	assert_int_equal(mdev_owner_check(&owner, 0, 7, "u", &err), 0);
	assert_int_equal(mdev_owner_check(&owner, 7, 7, "u", &err), 0);
	assert_int_equal(mdev_owner_check(&owner, 1001, 0, "u", &err), -EPERM);
	assert_int_equal(err.word, ERROR_NOT_PERMITTED);
	assert_non_null(strstr(err.message, "user 1000 (ci)"));
	owner.uid = 0;
	assert_int_equal(mdev_owner_check(&owner, 1001, 0, "u", &err), -EPERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_owner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
