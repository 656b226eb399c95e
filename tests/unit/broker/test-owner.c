/* SPDX-License-Identifier: BSD-3-Clause */
/* Whose an mdev is: every method that changes or removes one, asked by its creator, by another
 * user, and by root with force and without. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/mdev.h"

#define A	    "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
#define B	    "83b8f4f2-509f-382f-3c1e-e6bfe0fa1002"
#define JUST_A	    "{\"uuid\":\"" A "\"}"
#define OF_A(...)   "{\"uuid\":\"" A "\"," __VA_ARGS__
#define PARAMS_SIZE 512
#define FORCED	    ",\"force\":true"
#define CREATOR	    1000u
#define STRANGER    1001u

/* What a method finds: A as another user's definition, active or not. */
enum stage { IDLE, ACTIVE };

static const struct {
	const char *method;
	const char *params; /* without the last brace */
	enum stage stage;
} changes[] = {
	{"mdev.start", "{\"uuid\":\"" A "\"", IDLE},
	{"mdev.stop", "{\"uuid\":\"" A "\"", ACTIVE},
	{"mdev.undefine", "{\"uuid\":\"" A "\"", IDLE},
	{"mdev.undefine", "{\"uuid\":\"" A "\"", ACTIVE},
	{"mdev.modify", OF_A("\"start\":\"auto\""), IDLE},
	{"mdev.modify", OF_A("\"addattr\":{\"name\":\"mdev/weight\",\"value\":\"5\"}"), IDLE},
	{"mdev.modify",
	 OF_A("\"live\":true,\"definition\":{\"mdev_type\":\"fake-s\",\"start\":\"manual\","
	      "\"attrs\":[{\"fake/color\":\"green\"}]}"),
	 ACTIVE},
	{"mdev.set", OF_A("\"name\":\"mdev/weight\",\"value\":\"7\""), ACTIVE},
	{"mdev.set", OF_A("\"name\":\"fake/fixed\",\"value\":\"7\""), ACTIVE},
	{"mdev.qos", OF_A("\"weight\":7"), ACTIVE},
	{"mdev.qos", OF_A("\"weight\":7,\"defined\":true"), IDLE},
	/* The same UUID under another parent is not another's to take. */
	{"mdev.define", OF_A("\"parent\":\"q\",\"type\":\"fake-s\""), IDLE},
	{"mdev.start", OF_A("\"parent\":\"q\",\"type\":\"fake-s\""), IDLE},
};

/* The parameters of a change, with @force. */
static void change_params(size_t i, const char *force, char params[PARAMS_SIZE])
{
	snprintf(params, PARAMS_SIZE, "%s%s}", changes[i].params, force);
}

static int setup(void **state)
{
	fixture_setup(state);
	fixture_ok(*state, "parent.add", "{\"name\":\"p\",\"driver\":\"fake\"}");
	fixture_ok(*state, "parent.add", "{\"name\":\"q\",\"driver\":\"fake\"}");
	return 0;
}

static void stage_set(struct fixture *f, enum stage stage)
{
	f->uid = CREATOR;
	fixture_ok(f, "mdev.define",
		   "{\"uuid\":\"" A "\",\"parent\":\"p\",\"type\":\"fake-s\",\"owner\":\"vm 7\"}");
	if (stage == ACTIVE)
		fixture_ok(f, "mdev.start", JUST_A);
}

/* Takes away what a change has left. */
static void stage_clear(struct fixture *f)
{
	static const char *const parents[] = {"p", "q"};

	f->uid = 0;
	if (mdev_find_active(f->broker, A))
		fixture_ok(f, "mdev.stop", "{\"uuid\":\"" A "\",\"force\":true}");
	for (size_t i = 0; i < ARRAY_SIZE(parents); i++) {
		if (mdev_find(f->broker, parents[i], A))
			fixture_ok(f, "mdev.undefine", "{\"uuid\":\"" A "\",\"force\":true}");
	}
}

/* All that may be changed, as text; freed by the caller. */
static char *stage_picture(struct fixture *f)
{
	json_t *list = fixture_call(f, "mdev.list", "{\"all\":true,\"statistics\":false}");
	char *text = json_dumps(list, JSON_SORT_KEYS);

	json_decref(list);
	assert_non_null(text);
	return text;
}

/* The last event with that name since @since; NULL: there is none. Borrowed. */
static json_t *find_event(struct fixture *f, const char *name, uint64_t since)
{
	json_t *events = events_list(&f->broker->events, since, NULL, EVENTS_KEPT);
	json_t *found = NULL;
	size_t i;
	json_t *e;

	json_array_foreach (events, i, e) {
		if (strcmp(json_string_value(json_object_get(e, "event")), name) == 0)
			found = e; /* the ring holds it */
	}
	json_decref(events);
	return found;
}

static void refused(struct fixture *f, size_t i, uid_t uid, const char *force, const char *advice)
{
	uint64_t since = f->broker->events.next;
	char *before = stage_picture(f);
	char params[PARAMS_SIZE];
	char *after;

	f->uid = uid;
	change_params(i, force, params);
	fixture_fails(f, ERROR_NOT_PERMITTED, changes[i].method, params);
	assert_non_null(strstr(f->err.message, "mdev " A " belongs to user "));
	assert_non_null(strstr(f->err.message, "1000"));
	assert_non_null(strstr(f->err.message, "'vm 7'"));
	assert_non_null(strstr(f->err.message, advice));
	after = stage_picture(f);
	assert_string_equal(before, after);
	assert_null(find_event(f, "mdev.forced", since));
	free(before);
	free(after);
}

static void test_every_method(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		char params[PARAMS_SIZE];
		uint64_t since;
		json_t *event;

		stage_set(f, changes[i].stage);
		refused(f, i, STRANGER, "", "only that user may change it, and root with --force");
		refused(f, i, STRANGER, FORCED, "only that user may change it");
		refused(f, i, 0, "", "leave it to that user, or use --force");
		/* Root with force, and it is written down. */
		since = f->broker->events.next;
		change_params(i, FORCED, params);
		fixture_ok(f, changes[i].method, params);
		event = find_event(f, "mdev.forced", since);
		assert_non_null(event);
		assert_string_equal(json_string_value(json_object_get(event, "level")), "warning");
		assert_string_equal(json_string_value(json_object_get(event, "uuid")), A);
		assert_int_equal(json_integer_value(json_object_get(event, "uid")), 0);
		assert_non_null(strstr(json_string_value(json_object_get(event, "message")),
				       "with --force: it belongs to user "));
		stage_clear(f);
		/* Its creator needs none. */
		stage_set(f, changes[i].stage);
		since = f->broker->events.next;
		change_params(i, "", params);
		fixture_ok(f, changes[i].method, params);
		assert_null(find_event(f, "mdev.forced", since));
		stage_clear(f);
	}
}

/* Whatever root forces, it stays what another user made. */
static void test_stays_the_creators(void **state)
{
	struct fixture *f = *state;

	stage_set(f, IDLE);
	f->uid = 0;
	fixture_ok(f, "mdev.start", "{\"uuid\":\"" A "\",\"force\":true}");
	fixture_ok(f, "mdev.qos",
		   "{\"uuid\":\"" A "\",\"weight\":7,\"defined\":true,\"force\":true}");
	fixture_ok(f, "mdev.modify", "{\"uuid\":\"" A "\",\"start\":\"auto\",\"force\":true}");
	assert_string_equal(fixture_get(f, "mdev.list", "{}", "mdevs.0.uid"), "1000");
	assert_string_equal(fixture_get(f, "mdev.list", "{}", "mdevs.0.owner"), "vm 7");
	f->uid = CREATOR;
	fixture_ok(f, "mdev.stop", JUST_A);
	fixture_ok(f, "mdev.undefine", JUST_A);
}

/* Without a definition it is the one who started it. */
static void test_transient(void **state)
{
	struct fixture *f = *state;

	f->uid = CREATOR;
	fixture_ok(f, "mdev.start", "{\"uuid\":\"" A "\",\"parent\":\"p\",\"type\":\"fake-s\"}");
	f->uid = 0;
	fixture_fails(f, ERROR_NOT_PERMITTED, "mdev.stop", JUST_A);
	f->uid = CREATOR;
	fixture_ok(f, "mdev.stop", JUST_A);
	/* And nobody's any more. */
	f->uid = STRANGER;
	fixture_ok(f, "mdev.start", "{\"uuid\":\"" A "\",\"parent\":\"p\",\"type\":\"fake-s\"}");
}

/* A file without our keys was made by the daemon's user, as far as anybody knows. */
static void test_file_without_owner(void **state)
{
	struct fixture *f = *state;

	/* Makes the directory. */
	fixture_ok(f, "mdev.define", "{\"uuid\":\"" B "\",\"parent\":\"p\",\"type\":\"fake-s\"}");
	fixture_write(f, "etc/umdev/mdevs.d/p/" A,
		      "{\"mdev_type\":\"fake-s\",\"start\":\"manual\",\"attrs\":[]}\n");
	f->uid = STRANGER;
	fixture_fails(f, ERROR_NOT_PERMITTED, "mdev.undefine", JUST_A);
	f->uid = f->broker->uid;
	fixture_ok(f, "mdev.undefine", JUST_A);
}

/* Removing a parent stops what others have on it: force is asked for, and told of each. */
static void test_parent_removed(void **state)
{
	struct fixture *f = *state;
	uint64_t since = f->broker->events.next;
	json_t *events;
	int forced = 0;
	size_t i;
	json_t *e;

	f->uid = CREATOR;
	fixture_ok(f, "mdev.start", "{\"uuid\":\"" A "\",\"parent\":\"p\",\"type\":\"fake-s\"}");
	fixture_ok(f, "mdev.start", "{\"parent\":\"p\",\"type\":\"fake-s\"}");
	f->uid = 0;
	fixture_ok(f, "mdev.start", "{\"parent\":\"p\",\"type\":\"fake-s\"}");
	fixture_fails(f, ERROR_DEVICE_BUSY, "parent.remove", "{\"name\":\"p\"}");
	f->uid = STRANGER;
	fixture_fails(f, ERROR_NOT_PERMITTED, "parent.remove", "{\"name\":\"p\",\"force\":true}");
	assert_string_equal(fixture_get(f, "parent.list", "{}", "parents.0.mdevs.active"), "3");
	f->uid = 0;
	fixture_ok(f, "parent.remove", "{\"name\":\"p\",\"force\":true}");
	events = events_list(&f->broker->events, since, NULL, EVENTS_KEPT);
	json_array_foreach (events, i, e)
		forced +=
			strcmp(json_string_value(json_object_get(e, "event")), "mdev.forced") == 0;
	json_decref(events);
	assert_int_equal(forced, 2);
}

/* The daemon is no caller: what starts by itself does so whosever it is. */
static void test_daemon_itself(void **state)
{
	struct fixture *f = *state;

	stage_set(f, IDLE);
	fixture_ok(f, "mdev.modify", "{\"uuid\":\"" A "\",\"start\":\"auto\"}");
	fixture_stop(f);
	fixture_start(f);
	fixture_until(f, "mdev.list", "mdevs.0.state", "active");
	assert_null(find_event(f, "mdev.forced", 1));
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_every_method),   WITH(test_stays_the_creators),
		WITH(test_transient),	   WITH(test_file_without_owner),
		WITH(test_parent_removed), WITH(test_daemon_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
