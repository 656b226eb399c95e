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

/* Who may, and who is told what. */
static void test_owner(void **state)
{
	struct umdev_error err = {0};
	static const struct {
		uid_t owner, caller, daemon;
		bool force;
		int expected;
		const char *text;
	} cases[] = {
		/* The creator, whoever that is. */
		{1000, 1000, 0, false, 0, NULL},
		{1000, 1000, 0, true, 0, NULL},
		{0, 0, 0, true, 0, NULL},
		{7, 7, 7, false, 0, NULL},
		/* Another, with force or not. */
		{1000, 1001, 0, false, -EPERM,
		 "mdev u belongs to user alice (1000, 'ci'): only that user may change it, and "
		 "root with --force"},
		{1000, 1001, 0, true, -EPERM, "only that user may change it"},
		{0, 1001, 0, true, -EPERM, "user alice (0, 'ci')"},
		{7, 1001, 7, true, -EPERM, "user alice (7, 'ci')"},
		/* Root, and who is root to an unprivileged daemon. */
		{1000, 0, 0, false, -EPERM,
		 "mdev u belongs to user alice (1000, 'ci'): leave it to that user, or use "
		 "--force"},
		{1000, 0, 0, true, MDEV_OWNER_FORCED, NULL},
		{1000, 7, 7, false, -EPERM, "or use --force"},
		{1000, 7, 7, true, MDEV_OWNER_FORCED, NULL},
		{7, 0, 7, false, -EPERM, "or use --force"},
		{7, 0, 7, true, MDEV_OWNER_FORCED, NULL},
		{0, 7, 7, false, -EPERM, "or use --force"},
		{0, 7, 7, true, MDEV_OWNER_FORCED, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct mdev_owner owner = {.uid = cases[i].owner, .name = "alice", .text = "ci"};
		struct mdev_caller caller = {cases[i].caller, cases[i].daemon, cases[i].force};
		int r = mdev_owner_check(&owner, &caller, "u", &err);

		if (r != cases[i].expected)
			fail_msg("case %zu: %d", i, r);
		if (r < 0) {
			assert_int_equal(err.word, ERROR_NOT_PERMITTED);
			assert_non_null(strstr(err.message, cases[i].text));
		}
	}
}

static void test_owner_print(void **state)
{
	char text[MDEV_OWNER_SIZE];
	char name[400];
	char said[400];
	static const struct {
		struct mdev_owner owner;
		const char *text;
	} cases[] = {
		{{.uid = 1000}, "user 1000"},
		{{.uid = 1000, .name = "alice"}, "user alice (1000)"},
		{{.uid = 1000, .text = "vm 7"}, "user 1000 ('vm 7')"},
		{{.uid = 1000, .name = "alice", .text = "vm 7"}, "user alice (1000, 'vm 7')"},
		{{.uid = 4294967294u}, "user 4294967294"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		mdev_owner_print(&cases[i].owner, text);
		assert_string_equal(text, cases[i].text);
	}
	memset(name, 'n', sizeof(name));
	memset(said, 's', sizeof(said));
	name[sizeof(name) - 1] = said[sizeof(said) - 1] = '\0';
	mdev_owner_print(&(struct mdev_owner){.uid = UINT32_MAX, .name = name, .text = said}, text);
	assert_int_equal(strlen(text), strlen("user  (4294967295, '')") + 64 + 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_owner),
		cmocka_unit_test(test_owner_print),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
