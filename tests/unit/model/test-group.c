/* SPDX-License-Identifier: BSD-3-Clause */
/* The rules of groups: each is broken once, by members of two parents, two types, two drivers. */
#include "model/group.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <umdev/driver.h>

#include <cmocka.h>

#define G "00000000-0000-4000-8000-00000000000a"
#define A "00000000-0000-4000-8000-000000000001"
#define B "00000000-0000-4000-8000-000000000002"
#define C "00000000-0000-4000-8000-000000000003"

static struct group_member member(const char *uuid, const char *parent, const char *type,
				  uint32_t scope)
{
	return (struct group_member){.uuid = uuid,
				     .parent = parent,
				     .driver = strncmp(type, "nvme", 4) == 0 ? "nvme" : "null",
				     .type_id = type,
				     .scope = scope};
}

static void assert_refused(const struct group_member *members, size_t count, int error,
			   const char *const *parts)
{
	struct umdev_error err = {0};

	assert_int_equal(group_check_join(G, members, count, &err), error);
	assert_string_equal(err.key, "group");
	for (; *parts; parts++) {
		if (!strstr(err.message, *parts))
			fail_msg("'%s' lacks '%s'", err.message, *parts);
	}
}

static void test_scopes(void **state)
{
	struct umdev_error err = {0};
	struct group_member m[3];

	(void)state;
	m[0] = member(A, "p0", "null-a", UMDEV_GROUP_NONE);
	assert_refused(m, 1, -EINVAL, (const char *const[]){"null-a", "none", A, NULL});
	m[0] = member(A, "p0", "null-a", UMDEV_GROUP_DEVICE);
	m[1] = member(B, "p0", "null-b", UMDEV_GROUP_DEVICE);
	assert_int_equal(group_check_join(G, m, 2, &err), 0);
	m[1].parent = "p1";
	assert_refused(m, 2, -EINVAL,
		       (const char *const[]){"one parent", "device", "p0", "p1", A, B, NULL});
	/* One of them is enough, whichever it is. */
	m[0].scope = UMDEV_GROUP_DRIVER;
	assert_refused(m, 2, -EINVAL, (const char *const[]){"null-b of " B, "one parent", NULL});
	m[1].scope = UMDEV_GROUP_DRIVER;
	assert_int_equal(group_check_join(G, m, 2, &err), 0);
	m[1] = member(B, "p1", "nvme-1g", UMDEV_GROUP_DRIVER);
	assert_refused(m, 2, -EINVAL, (const char *const[]){"one driver", "nvme", "null", NULL});
	/* Two that do not mind do not speak for the third. */
	m[0] = member(A, "p0", "null-a", UMDEV_GROUP_DRIVER);
	m[1] = member(B, "p1", "null-a", UMDEV_GROUP_DRIVER);
	m[2] = member(C, "p0", "null-b", UMDEV_GROUP_DEVICE);
	assert_refused(m, 3, -EINVAL, (const char *const[]){"null-b of " C, "p1", B, NULL});
	m[1] = member(B, "p1", "null-b", UMDEV_GROUP_NONE);
	assert_refused(m, 2, -EINVAL, (const char *const[]){"null-b", "none", B, NULL});
}

static void test_hotplug(void **state)
{
	struct umdev_error err = {0};
	struct group_member m[3];

	(void)state;
	m[0] = member(A, "p0", "null-a", UMDEV_GROUP_DRIVER);
	m[1] = member(B, "p1", "null-b", UMDEV_GROUP_DRIVER);
	m[2] = member(C, "p1", "null-b", UMDEV_GROUP_DRIVER);
	m[2].moves = true;
	assert_int_equal(group_check_join(G, m, 3, &err), 0);
	m[0].in_use = 77;
	assert_refused(m, 3, -EBUSY, (const char *const[]){C, "77", A, "group_hotplug", NULL});
	for (size_t i = 0; i < 3; i++)
		m[i].hotplug = true;
	assert_int_equal(group_check_join(G, m, 3, &err), 0);
	assert_int_equal(group_check_leave(G, m, 3, &err), 0);
	/* A single one without it is enough, be it the one that is used, another, or the newcomer.
	 */
	for (size_t i = 0; i < 3; i++) {
		m[i].hotplug = false;
		assert_int_equal(group_check_join(G, m, 3, &err), -EBUSY);
		assert_int_equal(group_check_leave(G, m, 3, &err), -EBUSY);
		assert_non_null(strstr(err.message, "leave"));
		m[i].hotplug = true;
	}
	/* Its own use is its own affair. */
	m[0].in_use = 0;
	m[2].in_use = 77;
	m[0].hotplug = false;
	assert_int_equal(group_check_leave(G, m, 3, &err), 0);
}

static void test_limit(void **state)
{
	struct group_member m[GROUP_MEMBERS_MAX + 1];
	struct umdev_error err = {0};

	(void)state;
	for (size_t i = 0; i <= GROUP_MEMBERS_MAX; i++)
		m[i] = member(A, "p0", "null-a", UMDEV_GROUP_DEVICE);
	assert_int_equal(group_check_join(G, m, GROUP_MEMBERS_MAX, &err), 0);
	assert_int_equal(group_check_join(G, m, GROUP_MEMBERS_MAX + 1, &err), -EDQUOT);
	assert_non_null(strstr(err.message, "128"));
}

static void test_client(void **state)
{
	struct group_client nobody = {0};
	struct group_client holder = {.pid = 10, .started = 5, .uid = 1000};
	struct group_client client = holder;
	struct umdev_error err = {0};

	(void)state;
	assert_int_equal(group_check_client(G, A, &nobody, &client, &err), 0);
	assert_int_equal(group_check_client(G, A, &holder, &client, &err), 0);
	client.pid = 11;
	assert_int_equal(group_check_client(G, A, &holder, &client, &err), -EBUSY);
	assert_non_null(strstr(err.message, "process 10 of user 1000"));
	assert_non_null(strstr(err.message, A));
	/* The number of a process that is gone, used again. */
	client = holder;
	client.started = 6;
	assert_int_equal(group_check_client(G, A, &holder, &client, &err), -EBUSY);
	client.pid = 0;
	assert_int_equal(group_check_client(G, A, &nobody, &client, &err), -EPERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scopes),
		cmocka_unit_test(test_hotplug),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
