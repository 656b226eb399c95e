/* SPDX-License-Identifier: BSD-3-Clause */
/* A group start that fails in every way and place: all of it is taken back, and the next one works.
 */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/group.h"
#include "util/clock.h"

#define A "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
#define B "83b8f4f2-509f-382f-3c1e-e6bfe0fa1002"
#define C "83b8f4f2-509f-382f-3c1e-e6bfe0fa1003"
#define D "83b8f4f2-509f-382f-3c1e-e6bfe0fa1004"
#define G "83b8f4f2-509f-382f-3c1e-e6bfe0fa100a"

/* A on p, B on q, C on p; only C is green. */
#define MEMBER(u, p, color)                                                                        \
	"{\"uuid\":\"" u "\",\"parent\":\"" p "\",\"type\":\"fake-s\",\"group\":\"" G              \
	"\",\"attrs\":[{\"color\":\"" color "\"}]}"
#define GROUP "{\"group\":\"" G "\"}"

static void define_all(struct fixture *f)
{
	fixture_ok(f, "mdev.define", MEMBER(A, "p", "red"));
	fixture_ok(f, "mdev.define", MEMBER(B, "q", "red"));
	fixture_ok(f, "mdev.define", MEMBER(C, "p", "green"));
}

static int setup(void **state)
{
	fixture_setup(state);
	fixture_script(*state, "scope=2");
	fixture_ok(*state, "parent.add", "{\"name\":\"p\",\"driver\":\"fake\"}");
	fixture_ok(*state, "parent.add", "{\"name\":\"q\",\"driver\":\"fake\"}");
	define_all(*state);
	free(fixture_log(*state));
	return 0;
}

/* Nobody is active or holds anything, and both parents are ready. */
static void expect_nothing(struct fixture *f)
{
	fixture_until(f, "parent.list", "parents.0.state", "ready");
	fixture_until(f, "parent.list", "parents.1.state", "ready");
	assert_string_equal(fixture_get(f, "mdev.list", "{}", "mdevs"), "[]");
	assert_string_equal(fixture_get(f, "group.list", "{}", "groups.0.state"), "defined");
	assert_string_equal(fixture_get(f, "parent.list", "{}", "parents.0.pool.free"), "1000");
	assert_string_equal(fixture_get(f, "parent.list", "{}", "parents.1.pool.free"), "1000");
	assert_false(fixture_exists(f, "run/umdev/mdevs/" A));
	assert_false(fixture_exists(f, "run/umdev/mdevs/" B));
	assert_false(fixture_exists(f, "run/umdev/mdevs/" C));
}

static void expect_start(struct fixture *f)
{
	fixture_script(f, "scope=2");
	assert_string_equal(fixture_get(f, "group.start", GROUP, "state"), "active");
	assert_true(fixture_exists(f, "run/umdev/mdevs/" A "/vfio-user.sock"));
	assert_false(fixture_exists(f, "run/umdev/mdevs/" A "/.vfio-user.sock"));
	assert_string_equal(fixture_get(f, "group.stop", GROUP, "state"), "defined");
	/* What was defined and started has kept its piece. */
	fixture_ok(f, "mdev.undefine", "{\"uuid\":\"" A "\"}");
	fixture_ok(f, "mdev.undefine", "{\"uuid\":\"" B "\"}");
	fixture_ok(f, "mdev.undefine", "{\"uuid\":\"" C "\"}");
	assert_string_equal(fixture_get(f, "group.list", "{}", "groups"), "[]");
	define_all(f);
}

static void test_start(void **state)
{
	struct fixture *f = *state;
	umdev_autofree char *log = NULL;
	const char *built;

	assert_string_equal(fixture_get(f, "group.start", GROUP, "mdevs.2.state"), "active");
	log = fixture_log(f);
	built = fixture_find(log, "create " A " origin 0");
	/* Both drivers were asked about all three before the first was made. */
	assert_true(fixture_find(log, "group p of 3") < built);
	assert_true(fixture_find(log, "group q of 3") < built);
	fixture_find(log, "create " B " origin 0");
	fixture_find(log, "create " C " origin 0");
	assert_null(strstr(strstr(log, "group p") + 1, "group p"));
}

static void test_failures(void **state)
{
	static const struct {
		const char *script;
		enum error_word word;
	} bad[] = {
		{"scope=2\ngroup=error", ERROR_DRIVER_FAILED},
		{"scope=2\nonly=q\ngroup=error:NO_SPACE", ERROR_NO_SPACE},
		{"scope=2\nonly=q\ngroup=die", ERROR_HOST_FAILED},
		{"scope=2\nonly=p\ngroup=hang", ERROR_HOST_FAILED},
		{"scope=2\nrefuse-create=green", ERROR_DRIVER_FAILED},
		{"scope=2\ndie-create=green", ERROR_HOST_FAILED},
		{"scope=2\nhang-create=green", ERROR_HOST_FAILED},
		{"scope=2\nonly=q\ncreate=error:NO_SPACE", ERROR_NO_SPACE},
		{"scope=2\nonly=q\ncreate=die", ERROR_HOST_FAILED},
		/* And taking back what was made fails, too. */
		{"scope=2\nrefuse-create=green\nonly=q\nremove=die", ERROR_DRIVER_FAILED},
		{"scope=2\nrefuse-create=green\nonly=q\nremove=hang", ERROR_DRIVER_FAILED},
		{"scope=2\nrefuse-create=green\nremove=error", ERROR_DRIVER_FAILED},
	};
	struct fixture *f = *state;

	f->broker->config.call_timeout_ns = 400 * NS_PER_MS;
	f->broker->config.restart_deaths_max = 1000;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		fixture_script(f, bad[i].script);
		fixture_fails(f, bad[i].word, "group.start", GROUP);
		assert_non_null(strstr(f->err.message, G));
		expect_nothing(f);
		expect_start(f);
	}
}

/* The parent of one goes, by force, while the others wait for theirs. */
static void test_parent_goes(void **state)
{
	struct fixture *f = *state;
	int started = 0;

	fixture_script(f, "scope=2\nhang-create=green");
	fixture_begin(f, "group.start", GROUP, &started);
	fixture_fails(f, ERROR_DEVICE_BUSY, "mdev.stop", "{\"uuid\":\"" A "\"}");
	fixture_fails(f, ERROR_DEVICE_BUSY, "group.start", GROUP);
	fixture_fails(f, ERROR_DEVICE_BUSY, "group.qos", "{\"group\":\"" G "\",\"weight\":5}");
	fixture_ok(f, "parent.remove", "{\"name\":\"q\",\"force\":true}");
	f->broker->config.call_timeout_ns = 400 * NS_PER_MS;
	fixture_ok(f, "parent.remove", "{\"name\":\"p\",\"force\":true}");
	fixture_wait(f, &started);
	assert_int_equal(started, -1);
	fixture_script(f, "scope=2");
	fixture_ok(f, "parent.add", "{\"name\":\"p\",\"driver\":\"fake\"}");
	fixture_ok(f, "parent.add", "{\"name\":\"q\",\"driver\":\"fake\"}");
	expect_nothing(f);
	expect_start(f);
}

/* The broker goes in the middle of a start. */
static void test_end_in_the_middle(void **state)
{
	static const char *const scripts[] = {"scope=2\ngroup=hang", "scope=2\nhang-create=green"};
	struct fixture *f = *state;

	for (size_t i = 0; i < 2 * ARRAY_SIZE(scripts); i++) {
		int started = 0;

		fixture_script(f, scripts[i / 2]);
		fixture_begin(f, "group.start", GROUP, &started);
		assert_string_equal(fixture_get(f, "version", "{}", "name"), "umdevd");
		if (i % 2)
			fixture_stop(f);
		else
			fixture_kill(f);
		assert_int_equal(started, -1);
		fixture_script(f, "scope=2");
		fixture_start(f);
		expect_nothing(f);
		expect_start(f);
	}
}

/* A client comes to a member between the check and the end of another one's start. */
static void test_client_in_the_middle(void **state)
{
	struct fixture *f = *state;
	umdev_autofree char *log = NULL;

	fixture_ok(f, "mdev.start", "{\"uuid\":\"" A "\"}");
	fixture_script(f, "scope=2\njoin=" A);
	fixture_fails(f, ERROR_DEVICE_BUSY, "mdev.start", "{\"uuid\":\"" C "\"}");
	assert_non_null(strstr(f->err.message, "group_hotplug"));
	assert_false(fixture_exists(f, "run/umdev/mdevs/" C));
	log = fixture_log(f);
	fixture_find(log, "join granted");
	fixture_find(log, "remove " C);
	assert_string_equal(fixture_get(f, "group.list", "{}", "groups.0.state"), "in-use");
	/* What is not there is nobody's. */
	fixture_fails(f, ERROR_DEVICE_BUSY, "mdev.start", "{\"uuid\":\"" B "\"}");
}

/* While members are being started the others stay. */
static void test_stop_in_the_middle(void **state)
{
	struct fixture *f = *state;
	int started = 0;

	fixture_ok(f, "mdev.start", "{\"uuid\":\"" A "\"}");
	f->broker->config.call_timeout_ns = 400 * NS_PER_MS;
	fixture_script(f, "scope=2\nhang-create=green");
	fixture_begin(f, "group.start", GROUP, &started);
	fixture_fails(f, ERROR_DEVICE_BUSY, "mdev.stop", "{\"uuid\":\"" A "\"}");
	fixture_fails(f, ERROR_DEVICE_BUSY, "group.stop", GROUP);
	fixture_wait(f, &started);
	assert_int_equal(started, -1);
	fixture_until(f, "mdev.list", "mdevs.0.state", "active");
}

/* Once begun, a stop goes to the end, whatever becomes of hosts; until then nothing else goes. */
static void test_stop_goes_through(void **state)
{
	static const char *const scripts[] = {"scope=2\nonly=q\nremove=die", "scope=2\nremove=die",
					      "scope=2\nremove=hang"};
	struct fixture *f = *state;
	uint64_t timeout_ns = f->broker->config.call_timeout_ns;

	f->broker->config.restart_deaths_max = 1000;
	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		int stopped = 0;

		fixture_ok(f, "group.start", GROUP);
		fixture_script(f, scripts[i]);
		f->broker->config.call_timeout_ns = 400 * NS_PER_MS;
		fixture_begin(f, "group.stop", GROUP, &stopped);
		f->broker->config.call_timeout_ns = timeout_ns; /* nothing else is to be late */
		assert_true(fixture_exists(f, "etc/umdev/groups.d/" G));
		fixture_fails(f, ERROR_DEVICE_BUSY, "group.stop", GROUP);
		fixture_fails(f, ERROR_DEVICE_BUSY, "group.qos",
			      "{\"group\":\"" G "\",\"weight\":5}");
		fixture_fails(f, ERROR_DEVICE_BUSY, "mdev.start", MEMBER(D, "p", "red"));
		fixture_wait(f, &stopped);
		assert_int_equal(stopped, 1);
		assert_false(fixture_exists(f, "etc/umdev/groups.d/" G));
		fixture_script(f, "scope=2");
		fixture_until(f, "parent.list", "parents.0.state", "ready");
		fixture_until(f, "parent.list", "parents.1.state", "ready");
		assert_string_equal(fixture_get(f, "mdev.list", "{}", "mdevs"), "[]");
	}
	/* What was set stays set. */
	fixture_ok(f, "group.qos", "{\"group\":\"" G "\",\"weight\":5}");
	expect_start(f);
}

static void test_settings_reach_hosts(void **state)
{
	struct fixture *f = *state;
	umdev_autofree char *log = NULL;

	fixture_ok(f, "group.start", GROUP);
	fixture_script(f, "scope=2\nonly=q\ngroup_qos=error");
	fixture_fails(f, ERROR_DRIVER_FAILED, "group.qos", "{\"group\":\"" G "\",\"weight\":5}");
	assert_string_equal(fixture_get(f, "group.list", "{}", "groups.0.weight"), "100");
	log = fixture_log(f);
	/* One took it, the other did not: it is set back. */
	assert_true(fixture_find(log, "group_qos p 10000 5") <
		    fixture_find(log, "group_qos p 10000 100"));
	fixture_script(f, "scope=2");
	fixture_ok(f, "group.qos", "{\"group\":\"" G "\",\"cap\":12.5,\"weight\":5}");
	free(umdev_steal_ptr(&log));
	log = fixture_log(f);
	fixture_find(log, "group_qos p 1250 5");
	fixture_find(log, "group_qos q 1250 5");
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_start),
		TEST(test_failures),
		TEST(test_parent_goes),
		TEST(test_end_in_the_middle),
		TEST(test_client_in_the_middle),
		TEST(test_stop_in_the_middle),
		TEST(test_stop_goes_through),
		TEST(test_settings_reach_hosts),
	};

	return cmocka_run_group_tests_name("broker/group", tests, NULL, NULL);
}
