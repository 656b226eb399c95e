/* SPDX-License-Identifier: BSD-3-Clause */
/* Hosts that outlive a broker, and what the next one makes of what they tell. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/parent.h"
#include "util/clock.h"

#define A	     "11111111-1111-4111-8111-111111111111"
#define B	     "22222222-2222-4222-8222-222222222222"
#define SOCKET(uuid) "run/umdev/mdevs/" uuid "/vfio-user.sock"
#define HIDDEN(uuid) "run/umdev/mdevs/" uuid "/.vfio-user.sock"

static void add_parent(struct fixture *f)
{
	fixture_ok(f, "parent.add",
		   "{\"name\":\"p\",\"driver\":\"fake\",\"options\":{\"ram\":\"1000\"}}");
}

static void start(struct fixture *f, const char *uuid)
{
	char params[256];

	snprintf(params, sizeof(params), "{\"uuid\":\"%s\",\"parent\":\"p\",\"type\":\"fake-s\"}",
		 uuid);
	fixture_ok(f, "mdev.start", params);
}

static const char *listed(struct fixture *f, const char *path)
{
	return fixture_get(f, "mdev.list", "{}", path);
}

/* What a broker does before it dies; each is that of one test. */
static void live_two(struct fixture *f)
{
	fixture_script(f, "keep=3\n");
	add_parent(f);
	fixture_ok(f, "mdev.define",
		   "{\"uuid\":\"" B "\",\"parent\":\"p\",\"type\":\"fake-m\",\"start\":\"auto\"}");
	start(f, A);
	fixture_ok(f, "mdev.start", "{\"uuid\":\"" B "\"}");
	fixture_ok(f, "mdev.qos", "{\"uuid\":\"" A "\",\"weight\":300}");
}

static void live_stop(struct fixture *f)
{
	fixture_ok(f, "mdev.stop", "{\"uuid\":\"" B "\"}");
	fixture_ok(f, "mdev.stop", "{\"uuid\":\"" A "\"}");
}

static void test_all_as_before(void **state)
{
	struct fixture *f = *state;
	char *log;

	fixture_broker_dies(f, live_two, NULL);
	fixture_start(f);
	log = fixture_log(f);
	fixture_find(log, "takeover");
	assert_null(strstr(log, "open"));
	assert_null(strstr(log, "create"));
	assert_null(strstr(log, "qos"));
	free(log);
	assert_string_equal(fixture_get(f, "parent.list", "{}", "parents.0.pool.free"), "650");
	assert_string_equal(listed(f, "mdevs.0.uuid"), A);
	assert_string_equal(listed(f, "mdevs.0.iommu_group"), "1");
	assert_string_equal(listed(f, "mdevs.0.attrs.0.mdev/weight"), "300");
	assert_string_equal(listed(f, "mdevs.1.uuid"), B);
	assert_string_equal(listed(f, "mdevs.1.iommu_group"), "2");
	assert_true(fixture_exists(f, SOCKET(A)) && fixture_exists(f, SOCKET(B)));
	/* What was taken over once can be taken over again. */
	fixture_leave(f);
	fixture_start(f);
	assert_string_equal(listed(f, "mdevs.1.uuid"), B);
	/* Stopped, what starts by itself stays stopped. */
	fixture_leave(f);
	fixture_broker_dies(f, live_stop, NULL);
	fixture_start(f);
	assert_string_equal(listed(f, "mdevs.0.uuid"), "(absent)");
	assert_string_equal(fixture_get(f, "parent.list", "{}", "parents.0.pool.free"), "750");
	assert_false(fixture_exists(f, SOCKET(B)));
}

static void live_one(struct fixture *f)
{
	add_parent(f);
	start(f, A);
}

/* The host dies under the next broker: what that was given makes the mdevs again. */
static void test_host_dies_afterwards(void **state)
{
	struct fixture *f = *state;
	char *log;

	fixture_broker_dies(f, live_one, NULL);
	fixture_start(f);
	fixture_script(f, "stats=die\n");
	(void)fixture_get(f, "mdev.list", "{}", "mdevs.0.uuid");
	fixture_script(f, "");
	fixture_wait_event(f, "host.started", 0);
	fixture_ok(f, "mdev.stop", "{\"uuid\":\"" A "\"}");
	log = fixture_log(f);
	fixture_find(log, "create " A " origin 1 page marked");
	free(log);
	assert_string_equal(fixture_get(f, "parent.list", "{}", "parents.0.host.restarts"), "1");
}

static int ignored_done;

static void live_starting(struct fixture *f)
{
	add_parent(f);
	start(f, B);
	fixture_script(f, "mute=create\n");
	fixture_begin(f, "mdev.start", "{\"uuid\":\"" A "\",\"parent\":\"p\",\"type\":\"fake-s\"}",
		      &ignored_done);
}

/* A start that was not announced is undone. */
static void test_start_under_way(void **state)
{
	struct fixture *f = *state;
	char *log;

	fixture_broker_dies(f, live_starting, "create " A);
	assert_true(fixture_exists(f, HIDDEN(A)));
	fixture_script(f, "");
	fixture_start(f);
	log = fixture_log(f);
	fixture_find(log, "remove " A);
	assert_null(strstr(log, "remove " B));
	free(log);
	assert_string_equal(listed(f, "mdevs.0.uuid"), B);
	assert_string_equal(listed(f, "mdevs.1.uuid"), "(absent)");
	assert_false(fixture_exists(f, HIDDEN(A)));
	assert_string_equal(fixture_get(f, "parent.list", "{}", "parents.0.pool.free"), "900");
	start(f, A);
	log = fixture_log(f);
	fixture_find(log, "discard 100 100");
	free(log);
}

static void live_changing(struct fixture *f)
{
	add_parent(f);
	fixture_ok(f, "mdev.start",
		   "{\"uuid\":\"" A "\",\"parent\":\"p\",\"type\":\"fake-s\",\"attrs\":"
		   "[{\"mdev/weight\":\"7\"},{\"fake/color\":\"green\"}]}");
	fixture_script(f, "mute=qos\n");
	fixture_begin(f, "mdev.qos", "{\"uuid\":\"" A "\",\"weight\":500}", &ignored_done);
}

/* What was under way is set back to what was acknowledged, knobs and attributes. */
static void test_change_under_way(void **state)
{
	struct fixture *f = *state;
	char *log;

	fixture_broker_dies(f, live_changing, "qos 10000 500 0");
	fixture_script(f, "");
	fixture_start(f);
	log = fixture_log(f);
	fixture_find(log, "qos 10000 7 0");
	fixture_find(log, "attr color green");
	fixture_find(log, "attr level 1");
	assert_null(strstr(log, "attr fixed"));
	free(log);
	assert_string_equal(listed(f, "mdevs.0.attrs.0.mdev/weight"), "7");
	/* Once is enough. */
	fixture_leave(f);
	fixture_start(f);
	log = fixture_log(f);
	assert_null(strstr(log, "qos"));
	free(log);
}

static void live_remaking_gone(struct fixture *f)
{
	live_one(f);
	fixture_script(f, "mute=remove\n");
	fixture_begin(f, "mdev.set", "{\"uuid\":\"" A "\",\"name\":\"fake/fixed\",\"value\":\"8\"}",
		      &ignored_done);
}

static void live_remaking_made(struct fixture *f)
{
	fixture_script(f, "mute=create\n");
	fixture_begin(f, "mdev.set", "{\"uuid\":\"" A "\",\"name\":\"fake/fixed\",\"value\":\"9\"}",
		      &ignored_done);
}

static void test_being_made_anew(void **state)
{
	struct fixture *f = *state;
	char *log;

	fixture_broker_dies(f, live_remaking_gone, "remove " A);
	fixture_script(f, "");
	fixture_start(f);
	log = fixture_log(f);
	fixture_find(log, "create " A " origin 0 page empty piece [0,100] attrs {}");
	assert_null(strstr(log, "discard"));
	free(log);
	assert_string_equal(listed(f, "mdevs.0.state"), "active");
	assert_string_equal(listed(f, "mdevs.0.attrs"), "[]");
	/* Made, and not announced yet: it is what was asked for. */
	fixture_leave(f);
	fixture_broker_dies(f, live_remaking_made, "create " A);
	fixture_script(f, "");
	fixture_start(f);
	log = fixture_log(f);
	assert_null(strstr(log, "remove"));
	assert_null(strstr(log, "create"));
	free(log);
	assert_string_equal(listed(f, "mdevs.0.attrs.0.fake/fixed"), "9");
	assert_true(fixture_exists(f, SOCKET(A)));
	assert_false(fixture_exists(f, HIDDEN(A)));
}

static void test_other_options(void **state)
{
	struct fixture *f = *state;
	char *log;

	fixture_broker_dies(f, live_one, NULL);
	fixture_write(f, "etc/umdev/parents.d/p.json",
		      "{\"driver\":\"fake\",\"options\":{\"ram\":\"2000\"}}");
	fixture_start(f);
	log = fixture_log(f);
	fixture_find(fixture_find(fixture_find(log, "takeover"), "end"), "open");
	free(log);
	assert_string_equal(fixture_get(f, "parent.list", "{}", "parents.0.state"), "ready");
	assert_string_equal(listed(f, "mdevs.0.uuid"), "(absent)");
	assert_false(fixture_exists(f, SOCKET(A)));
}

static void test_no_parent(void **state)
{
	struct fixture *f = *state;
	char path[160];
	char *log;

	fixture_broker_dies(f, live_one, NULL);
	snprintf(path, sizeof(path), "%s/etc/umdev/parents.d/p.json", f->root);
	assert_int_equal(unlink(path), 0);
	fixture_start(f);
	log = fixture_log(f);
	fixture_find(log, "end");
	assert_null(strstr(log, "takeover"));
	free(log);
	assert_false(fixture_exists(f, "run/umdev/hosts/p.sock"));
	assert_false(fixture_exists(f, SOCKET(A)));
}

static void live_auto(struct fixture *f)
{
	live_one(f);
	fixture_ok(f, "mdev.define",
		   "{\"uuid\":\"" B "\",\"parent\":\"p\",\"type\":\"fake-m\",\"start\":\"auto\"}");
}

static void live_again(struct fixture *f)
{
	start(f, A);
}

/* A host that cannot be taken over ends, and the parent begins anew, as after a reboot. */
static void test_not_taken_over(void **state)
{
	static const char *const scripts[] = {"takeover=die\n",	 "takeover=error\n",
					      "takeover=hang\n", "next=die\n",
					      "next=error\n",	 "tell=no-parent\n"};
	struct fixture *f = *state;
	char *log;

	f->config.call_timeout_ns = NS_PER_S / 2;
	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		fixture_broker_dies(f, i ? live_again : live_auto, NULL);
		fixture_script(f, scripts[i]);
		fixture_start(f);
		fixture_script(f, "");
		log = fixture_log(f);
		fixture_find(log, "open");
		free(log);
		assert_string_equal(fixture_get(f, "parent.list", "{}", "parents.0.state"),
				    "ready");
		assert_string_equal(listed(f, "mdevs.0.uuid"), B);
		assert_string_equal(listed(f, "mdevs.1.uuid"), "(absent)");
		assert_string_equal(fixture_get(f, "parent.list", "{}", "parents.0.pool.free"),
				    "750");
		fixture_leave(f);
	}
	fixture_script(f, "hello=bad-version\n");
	fixture_start(f);
	assert_string_equal(fixture_get(f, "parent.list", "{}", "parents.0.state"), "failed");
	assert_non_null(strstr(fixture_get(f, "parent.list", "{}", "parents.0.error"), "version"));
}

/* What is told of one mdev makes no sense: that one is removed. */
static void test_bad_record(void **state)
{
	struct fixture *f = *state;
	char *log;

	fixture_broker_dies(f, live_one, NULL);
	fixture_script(f, "tell=bad-record\n");
	fixture_start(f);
	log = fixture_log(f);
	fixture_find(log, "remove " A);
	free(log);
	assert_string_equal(listed(f, "mdevs.0.uuid"), "(absent)");
	assert_string_equal(fixture_get(f, "parent.list", "{}", "parents.0.pool.free"), "1000");
	assert_false(fixture_exists(f, SOCKET(A)));
}

#define G      "33333333-3333-4333-8333-333333333333"
#define MEMBER "\"parent\":\"p\",\"type\":\"fake-s\",\"group\":\"" G "\"}"

static void live_group(struct fixture *f)
{
	fixture_script(f, "scope=2\n");
	add_parent(f);
	fixture_ok(f, "mdev.start", "{\"uuid\":\"" A "\"," MEMBER);
	fixture_ok(f, "mdev.start", "{\"uuid\":\"" B "\"," MEMBER);
	fixture_ok(f, "group.qos", "{\"group\":\"" G "\",\"weight\":5}");
}

/* A group of which nothing is defined keeps what was set of it as long as a member is active. */
static void test_settings_of_active_members(void **state)
{
	struct fixture *f = *state;

	fixture_broker_dies(f, live_group, NULL);
	fixture_start(f);
	assert_string_equal(fixture_get(f, "group.list", "{}", "groups.0.weight"), "5");
	fixture_ok(f, "group.stop", "{\"group\":\"" G "\"}");
	assert_false(fixture_exists(f, "etc/umdev/groups.d/" G));
}

static void live_stopping(struct fixture *f)
{
	live_group(f);
	fixture_script(f, "mute=remove\n");
	fixture_begin(f, "group.stop", "{\"group\":\"" G "\"}", &ignored_done);
}

/* The stop of a group is completed, and what is not active any more is left alone. */
static void test_group_stop_under_way(void **state)
{
	struct fixture *f = *state;
	char *log;

	fixture_broker_dies(f, live_stopping, "remove " B);
	fixture_script(f, "");
	fixture_start(f);
	log = fixture_log(f);
	assert_null(strstr(log, "create"));
	free(log);
	assert_string_equal(listed(f, "mdevs"), "[]");
	assert_string_equal(fixture_get(f, "parent.list", "{}", "parents.0.pool.free"), "1000");
	assert_false(fixture_exists(f, SOCKET(A)) || fixture_exists(f, SOCKET(B)));
	assert_false(fixture_exists(f, "etc/umdev/groups.d/" G));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_settings_of_active_members, fixture_setup,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(test_group_stop_under_way, fixture_setup,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(test_all_as_before, fixture_setup,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(test_host_dies_afterwards, fixture_setup,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(test_start_under_way, fixture_setup,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(test_change_under_way, fixture_setup,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(test_being_made_anew, fixture_setup,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(test_other_options, fixture_setup,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(test_no_parent, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_not_taken_over, fixture_setup,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(test_bad_record, fixture_setup, fixture_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
