/* SPDX-License-Identifier: BSD-3-Clause */
/* Mdevs: the transaction of a start failed at every step, pieces that are never handed on dirty,
 * definitions, ownership, live changes. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "broker/mdev.h"
#include "util/clock.h"

#define A	 "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
#define B	 "83b8f4f2-509f-382f-3c1e-e6bfe0fa1002"
#define C	 "83b8f4f2-509f-382f-3c1e-e6bfe0fa1003"
#define MAP	 "etc/umdev/parents.d/p.map"
#define ON(u, t) "{\"uuid\":\"" u "\",\"parent\":\"p\",\"type\":\"" t "\"}"
#define JUST(u)	 "{\"uuid\":\"" u "\"}"
#define SOCK(u)	 "run/umdev/mdevs/" u "/vfio-user.sock"
#define FILE(u)	 "etc/umdev/mdevs.d/p/" u

static int setup(void **state)
{
	fixture_setup(state);
	fixture_ok(*state, "parent.add", "{\"name\":\"p\",\"driver\":\"fake\"}");
	free(fixture_log(*state));
	return 0;
}

static void expect_free(struct fixture *f, const char *units)
{
	assert_string_equal(fixture_get(f, "parent.list", "{}", "parents.0.pool.free"), units);
}

static void expect_state(struct fixture *f, const char *params, const char *state)
{
	assert_string_equal(fixture_get(f, "mdev.list", params, "mdevs.0.state"), state);
}

/* A definition has its piece already: the map on disk is as it must be. */
static void test_map_stays(void **state)
{
	struct fixture *f = *state;
	char path[160];
	struct stat before;
	struct stat after;

	snprintf(path, sizeof(path), "%s/" MAP, f->root);
	fixture_ok(f, "mdev.define", ON(A, "fake-s"));
	fixture_ok(f, "mdev.start", JUST(A));
	assert_int_equal(stat(path, &before), 0);
	fixture_ok(f, "mdev.stop", JUST(A));
	fixture_ok(f, "mdev.start", JUST(A));
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(after.st_ino, before.st_ino);
	fixture_ok(f, "mdev.start", ON(B, "fake-s"));
	assert_int_equal(stat(path, &after), 0);
	assert_int_not_equal(after.st_ino, before.st_ino);
}

static void test_start_and_stop(void **state)
{
	struct fixture *f = *state;
	umdev_autofree char *log = NULL;
	char path[160];
	struct stat st;

	fixture_ok(
		f, "mdev.start",
		"{\"uuid\":\"" A "\",\"parent\":\"p\",\"type\":\"fake-s\",\"attrs\":"
		"[{\"color\":\"green\"},{\"mdev/socket_mode\":\"0660\"},{\"fake/color\":\"red\"},"
		"{\"level\":\"5\"}]}");
	log = fixture_log(f);
	fixture_find(log, "create " A " origin 0 page empty piece [0,100] attrs "
			  "{\"color\":\"red\",\"level\":\"5\"}");
	snprintf(path, sizeof(path), "%s/" SOCK(A), f->root);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0660);
	assert_string_equal(fixture_get(f, "mdev.list", "{}", "mdevs.0.attrs.0"),
			    "{\"fake/color\":\"green\"}");
	assert_string_equal(fixture_get(f, "mdev.list", "{}", "mdevs.0.statistics"),
			    "{\"things\":7,\"jobs\":8}");
	assert_string_equal(fixture_get(f, "mdev.list", "{}", "mdevs.0.type_name"), "fake small");
	expect_free(f, "900");
	fixture_fails(f, ERROR_EXISTS, "mdev.start", ON(A, "fake-s"));
	fixture_ok(f, "mdev.stop", JUST(A));
	assert_false(fixture_exists(f, "run/umdev/mdevs/" A));
	expect_free(f, "1000");
	assert_string_equal(fixture_get(f, "mdev.list", "{\"all\":true}", "mdevs"), "[]");
	fixture_fails(f, ERROR_NOT_ACTIVE, "mdev.stop", JUST(A));
}

static void test_bad_start(void **state)
{
	struct fixture *f = *state;
	umdev_autofree char *log = NULL;

	fixture_fails(f, ERROR_INVALID, "mdev.start",
		      "{\"uuid\":\"x\",\"parent\":\"p\",\"type\":\"fake-s\"}");
	assert_string_equal(f->err.key, "uuid");
	fixture_fails(f, ERROR_NOT_DEFINED, "mdev.start", JUST(A));
	fixture_fails(f, ERROR_INVALID, "mdev.start", "{\"parent\":\"p\"}");
	assert_string_equal(f->err.key, "type");
	fixture_fails(f, ERROR_NO_PARENT, "mdev.start", "{\"parent\":\"P\",\"type\":\"fake-s\"}");
	assert_non_null(strstr(f->err.message, "Did you mean 'p'?"));
	fixture_fails(f, ERROR_UNKNOWN_TYPE, "mdev.start", ON(A, "fake-x"));
	fixture_fails(f, ERROR_TYPE_MISMATCH, "mdev.start",
		      "{\"parent\":\"p\",\"type\":\"fake-s\",\"type_name\":\"fake medium\"}");
	fixture_fails(f, ERROR_INVALID, "mdev.start",
		      "{\"parent\":\"p\",\"type\":\"fake-s\",\"attrs\":[{\"mdev/weight\":\"0\"}]}");
	assert_string_equal(f->err.key, "mdev/weight");
	fixture_fails(f, ERROR_INVALID, "mdev.start",
		      "{\"parent\":\"p\",\"type\":\"fake-s\",\"attrs\":"
		      "[{\"mdev/socket_user\":\"nosuchuser\"}]}");
	assert_string_equal(fixture_get(f, "mdev.list", "{\"all\":true}", "mdevs"), "[]");
	expect_free(f, "1000");
	assert_false(fixture_exists(f, MAP)); /* nothing was even begun */
	log = fixture_log(f);
	assert_string_equal(log, "");
}

/* The host fails to create, in every way: nothing is left but a dirty piece. */
static void test_create_fails(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *script;
		enum error_word word;
	} bad[] = {
		{"create=error:NO_SPACE", ERROR_NO_SPACE},
		{"create=die", ERROR_HOST_FAILED},
		{"create=hang", ERROR_HOST_FAILED},
	};

	f->broker->config.call_timeout_ns = 400 * NS_PER_MS;
	fixture_ok(f, "mdev.define", ON(A, "fake-m"));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		fixture_script(f, bad[i].script);
		fixture_fails(f, bad[i].word, "mdev.start", JUST(A));
		assert_false(fixture_exists(f, "run/umdev/mdevs/" A));
		fixture_until(f, "parent.list", "parents.0.state", "ready");
		fixture_fails(f, bad[i].word, "mdev.start", ON(B, "fake-s"));
		assert_false(fixture_exists(f, "run/umdev/mdevs/" B));
		fixture_script(f, "");
		fixture_until(f, "parent.list", "parents.0.state", "ready");
		expect_free(f, "1000");
		assert_string_equal(fixture_get(f, "mdev.list", "{}", "mdevs"), "[]");
		assert_string_equal(fixture_get(f, "mdev.list", "{\"all\":true}", "mdevs.1"),
				    "(absent)");
		expect_state(f, "{\"defined\":true}", "defined");
	}
	fixture_ok(f, "mdev.start", JUST(A));
}

/* What belonged to one UUID is discarded, all of it and nothing else, before another gets it. */
static void test_discard_before_reuse(void **state)
{
	struct fixture *f = *state;
	umdev_autofree char *log = NULL;
	umdev_autofree char *map = NULL;

	fixture_ok(f, "mdev.start", ON(A, "fake-s")); /* 0..100 */
	fixture_ok(f, "mdev.start", ON(B, "fake-s")); /* 100..200 */
	fixture_ok(f, "mdev.stop", JUST(A));
	map = fixture_read(f, MAP);
	assert_non_null(strstr(map, "\"dirty\""));
	free(fixture_log(f));
	/* 200..450 was never used: no discard. */
	fixture_ok(f, "mdev.start", ON(C, "fake-m"));
	log = fixture_log(f);
	assert_null(strstr(log, "discard"));
	free(log);
	fixture_ok(f, "mdev.stop", JUST(C));
	fixture_ok(f, "mdev.stop", JUST(B));
	free(fixture_log(f));
	/* 0..250 again: dirty are 0..200 and 200..450, of which 0..250 counts. */
	fixture_ok(f, "mdev.start", ON(C, "fake-m"));
	log = fixture_log(f);
	fixture_find(fixture_find(log, "discard 0 250\n"), "create " C);
	free(log);
	fixture_ok(f, "mdev.start", ON(B, "fake-s")); /* 250..350 */
	log = fixture_log(f);
	fixture_find(fixture_find(log, "discard 250 100\n"), "create " B);
}

/* The same across a restart of the daemon, in order or not; for a definition nothing is discarded.
 */
static void test_pieces_survive(void **state)
{
	struct fixture *f = *state;
	umdev_autofree char *log = NULL;

	fixture_ok(f, "mdev.define", ON(A, "fake-s"));
	fixture_ok(f, "mdev.start", JUST(A));	      /* 0..100 */
	fixture_ok(f, "mdev.start", ON(B, "fake-s")); /* 100..200, transient */
	fixture_kill(f);
	assert_true(fixture_exists(f, SOCK(A)));
	fixture_start(f);
	assert_false(fixture_exists(f, "run/umdev/mdevs/" A));
	expect_free(f, "900");
	free(fixture_log(f));
	fixture_ok(f, "mdev.start", ON(C, "fake-s"));
	fixture_ok(f, "mdev.start", JUST(A));
	log = fixture_log(f);
	fixture_find(log, "discard 100 100\ncreate " C);
	fixture_find(log, "create " A " origin 0 page empty piece [0,100]");
	assert_null(strstr(log, "discard 0"));
	free(log);
	fixture_ok(f, "mdev.undefine", JUST(A));
	expect_free(f, "800"); /* it is active still */
	fixture_ok(f, "mdev.stop", JUST(A));
	expect_free(f, "900");
	fixture_stop(f);
	fixture_start(f);
	free(fixture_log(f));
	fixture_ok(f, "mdev.start", ON(B, "fake-s"));
	log = fixture_log(f);
	fixture_find(log, "discard 0 100\ncreate " B);
}

static void test_discard_fails(void **state)
{
	struct fixture *f = *state;
	umdev_autofree char *log = NULL;
	static const char *const scripts[] = {"discard=error", "discard=die", "discard=hang"};

	f->broker->config.discard_timeout_ns = 300 * NS_PER_MS;
	fixture_ok(f, "mdev.start", ON(A, "fake-s"));
	fixture_ok(f, "mdev.stop", JUST(A));
	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		int first;
		int second;

		fixture_script(f, scripts[i]);
		fixture_begin(f, "mdev.start", ON(B, "fake-s"), &first);
		fixture_begin(f, "mdev.start", ON(C, "fake-s"), &second);
		fixture_wait(f, &first);
		fixture_wait(f, &second);
		assert_int_equal(first, -1); /* C took a piece that was never used */
		fixture_script(f, "");
		fixture_until(f, "parent.list", "parents.0.state", "ready");
		if (second == 1) {
			fixture_until(f, "mdev.list", "mdevs.0.statistics.things", "7");
			fixture_ok(f, "mdev.stop", JUST(C));
		}
		expect_free(f, "1000");
		assert_string_equal(fixture_get(f, "mdev.list", "{\"all\":true}", "mdevs"), "[]");
	}
	free(fixture_log(f));
	fixture_ok(f, "mdev.start", ON(B, "fake-s"));
	log = fixture_log(f);
	fixture_find(log, "discard 0 100\ncreate " B);
}

static void test_no_instances(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "mdev.start", ON(A, "fake-rest"));
	expect_free(f, "0");
	fixture_fails(f, ERROR_NO_INSTANCES, "mdev.start", ON(B, "fake-s"));
	assert_non_null(strstr(f->err.message, "No available instances of fake-s on p"));
	fixture_fails(f, ERROR_NO_INSTANCES, "mdev.start", ON(B, "fake-rest"));
	fixture_ok(f, "mdev.define", ON(B, "fake-s"));
	fixture_fails(f, ERROR_NO_INSTANCES, "mdev.start", JUST(B));
	fixture_ok(f, "mdev.stop", JUST(A));
	fixture_ok(f, "mdev.start", JUST(B));
	fixture_ok(f, "mdev.start", ON(A, "fake-rest"));
	assert_string_equal(fixture_get(f, "mdev.list", JUST(A), "mdevs.0.piece"),
			    "{\"start\":100,\"size\":900}");
}

/* Another type needs another piece; when that does not work out, the old one with its data is back.
 */
static void test_type_changes(void **state)
{
	struct fixture *f = *state;
	umdev_autofree char *log = NULL;

	fixture_ok(f, "mdev.define", ON(A, "fake-s"));
	fixture_ok(f, "mdev.start", JUST(A));
	fixture_ok(f, "mdev.start", ON(B, "fake-s"));
	fixture_ok(f, "mdev.stop", JUST(A));
	fixture_ok(f, "mdev.modify",
		   "{\"uuid\":\"" A "\",\"type\":\"fake-m\",\"start\":\"manual\"}");
	fixture_script(f, "create=error");
	fixture_fails(f, ERROR_DRIVER_FAILED, "mdev.start", JUST(A));
	fixture_ok(f, "mdev.modify",
		   "{\"uuid\":\"" A "\",\"type\":\"fake-s\",\"start\":\"manual\"}");
	fixture_script(f, "");
	free(fixture_log(f));
	fixture_ok(f, "mdev.start", JUST(A));
	log = fixture_log(f);
	fixture_find(log, "create " A " origin 0 page empty piece [0,100]");
	assert_null(strstr(log, "discard"));
	fixture_ok(f, "mdev.stop", JUST(A));
	fixture_ok(f, "mdev.modify",
		   "{\"uuid\":\"" A "\",\"type\":\"fake-m\",\"start\":\"manual\"}");
	fixture_ok(f, "mdev.start", JUST(A));
	assert_string_equal(fixture_get(f, "mdev.list", JUST(A), "mdevs.0.piece"),
			    "{\"start\":200,\"size\":250}");
	expect_free(f, "650");
}

/* The name of a type is the contract, its id is not. */
static void test_type_names(void **state)
{
	struct fixture *f = *state;
	umdev_autofree char *text = NULL;

	fixture_ok(f, "mdev.define", ON(A, "fake-s"));
	fixture_stop(f);
	fixture_write(f, FILE(A),
		      "{\"mdev_type\":\"fake-old\",\"start\":\"manual\",\"type_name\":\"fake "
		      "medium\",\"x\":1}");
	fixture_write(
		f, FILE(B),
		"{\"mdev_type\":\"fake-s\",\"start\":\"manual\",\"type_name\":\"fake medium\"}");
	fixture_write(f, FILE(C), "{\"mdev_type\":\"fake-s\",\"start\":\"manual\"}");
	fixture_start(f);
	fixture_ok(f, "mdev.start", JUST(A));
	fixture_wait_event(f, "mdev.modified", 1);
	text = fixture_read(f, FILE(A));
	assert_non_null(strstr(text, "\"mdev_type\": \"fake-m\""));
	assert_non_null(strstr(text, "\"x\": 1")); /* what we do not know is kept */
	fixture_fails(f, ERROR_TYPE_MISMATCH, "mdev.start", JUST(B));
	fixture_ok(f, "mdev.start", JUST(C));
	free(text);
	text = fixture_read(f, FILE(C));
	assert_non_null(strstr(text, "\"type_name\": \"fake small\""));
}

static void test_define(void **state)
{
	struct fixture *f = *state;
	umdev_autofree char *text = NULL;

	fixture_fails(f, ERROR_INVALID, "mdev.define", JUST(A));
	fixture_fails(f, ERROR_UNKNOWN_TYPE, "mdev.define", ON(A, "fake-x"));
	fixture_fails(f, ERROR_INVALID, "mdev.define",
		      "{\"parent\":\"p\",\"type\":\"fake-s\",\"attrs\":[{\"colour\":\"1\"}]}");
	fixture_fails(f, ERROR_INVALID, "mdev.define",
		      "{\"parent\":\"p\",\"type\":\"fake-s\",\"definition\":{}}");
	fixture_ok(f, "mdev.define",
		   "{\"uuid\":\"" A "\",\"parent\":\"later\",\"type\":\"other-1\",\"attrs\":"
		   "[{\"x/y\":\"z\"}],\"start\":\"auto\",\"owner\":\"me\"}");
	fixture_fails(f, ERROR_EXISTS, "mdev.define",
		      "{\"uuid\":\"" A "\",\"parent\":\"later\",\"type\":\"other-1\"}");
	fixture_fails(f, ERROR_NO_PARENT, "mdev.start", JUST(A));
	/* The same under another parent; then it must be said which. */
	fixture_ok(f, "mdev.define", ON(A, "fake-s"));
	fixture_fails(f, ERROR_INVALID, "mdev.start", JUST(A));
	assert_string_equal(f->err.key, "parent");
	fixture_ok(f, "mdev.start", "{\"uuid\":\"" A "\",\"parent\":\"p\"}");
	fixture_ok(f, "mdev.undefine", JUST(A));
	assert_string_equal(fixture_get(f, "mdev.list", "{\"defined\":true}", "mdevs"), "[]");
	assert_false(fixture_exists(f, "etc/umdev/mdevs.d/later"));
	/* An active one can be defined by its UUID alone. */
	fixture_ok(f, "mdev.define", JUST(A));
	text = fixture_read(f, FILE(A));
	assert_string_equal(text, "{\n  \"mdev_type\": \"fake-s\",\n  \"start\": \"manual\",\n"
				  "  \"attrs\": [],\n  \"type_name\": \"fake small\",\n"
				  "  \"uid\": 0\n}\n");
	fixture_fails(f, ERROR_NOT_DEFINED, "mdev.undefine", JUST(B));
}

/* What would be too large to be read again is not taken. */
static void test_large_definition(void **state)
{
	struct fixture *f = *state;
	json_t *params = json_pack("{s:s,s:s,s:{s:s,s:s}}", "uuid", A, "parent", "p", "definition",
				   "mdev_type", "fake-s", "start", "manual");
	umdev_autofree char *filler = malloc(70000);
	umdev_autofree char *text = NULL;

	assert_non_null(filler);
	memset(filler, 'x', 69999);
	filler[69999] = '\0';
	json_object_set_new(json_object_get(params, "definition"), "note", json_string(filler));
	text = json_dumps(params, 0);
	json_decref(params);
	fixture_fails(f, ERROR_LIMIT, "mdev.define", text);
	assert_string_equal(fixture_get(f, "mdev.list", "{\"defined\":true}", "mdevs"), "[]");
}

static void test_half_a_definition(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "mdev.define", ON(A, "fake-s"));
	fixture_ok(f, "mdev.start", JUST(A));
	fixture_ok(f, "mdev.define", ON(B, "fake-s"));
	fixture_stop(f);
	fixture_write(f, FILE(A), "{\"mdev_type\": \"fake-s\", \"sta");
	fixture_start(f);
	fixture_wait_event(f, "definition.bad", 1);
	expect_free(f, "900"); /* whose piece is nobody else's */
	assert_non_null(strstr(fixture_get(f, "mdev.list", "{\"defined\":true,\"uuid\":\"" A "\"}",
					   "mdevs.0.error"),
			       "cannot be read"));
	fixture_fails(f, ERROR_INVALID, "mdev.start", JUST(A));
	fixture_ok(f, "mdev.start", JUST(B));
	fixture_fails(f, ERROR_INVALID, "mdev.undefine", JUST(A));
	fixture_ok(f, "mdev.undefine", "{\"uuid\":\"" A "\",\"force\":true}");
	assert_false(fixture_exists(f, FILE(A)));
	expect_free(f, "900");
}

static void test_half_a_map(void **state)
{
	struct fixture *f = *state;
	umdev_autofree char *map = NULL;

	fixture_ok(f, "mdev.define", ON(A, "fake-s"));
	fixture_ok(f, "mdev.start", JUST(A));
	fixture_stop(f);
	map = fixture_read(f, MAP);
	for (size_t len = 0; len < strlen(map) - 2; len += 23) {
		umdev_autofree char *half = strndup(map, len);

		fixture_write(f, MAP, half);
		fixture_start(f);
		assert_string_equal(fixture_get(f, "parent.list", "{}", "parents.0.state"),
				    "failed");
		assert_non_null(
			strstr(fixture_get(f, "parent.list", "{}", "parents.0.error"), "p.map"));
		fixture_stop(f);
	}
	fixture_write(f, MAP, map);
	fixture_start(f);
	expect_free(f, "900");
}

static void test_owner(void **state)
{
	struct fixture *f = *state;

	f->uid = 1000;
	fixture_ok(f, "mdev.define",
		   "{\"uuid\":\"" A "\",\"parent\":\"p\",\"owner\":\"ci\",\"definition\":"
		   "{\"mdev_type\":\"fake-s\",\"start\":\"manual\",\"uid\":0}}");
	fixture_ok(f, "mdev.start", JUST(A));
	f->uid = 1001;
	fixture_fails(f, ERROR_NOT_PERMITTED, "mdev.stop", JUST(A));
	assert_non_null(strstr(f->err.message, "'ci'): only that user"));
	fixture_fails(f, ERROR_NOT_PERMITTED, "mdev.undefine", JUST(A));
	fixture_fails(f, ERROR_NOT_PERMITTED, "mdev.modify",
		      "{\"uuid\":\"" A "\",\"start\":\"auto\"}");
	fixture_fails(f, ERROR_NOT_PERMITTED, "mdev.define", ON(A, "fake-s"));
	fixture_fails(f, ERROR_NOT_PERMITTED, "mdev.start", JUST(A));
	f->uid = 0;
	fixture_ok(f, "mdev.modify", "{\"uuid\":\"" A "\",\"start\":\"auto\",\"force\":true}");
	assert_string_equal(fixture_get(f, "mdev.list", "{}", "mdevs.0.uid"), "1000");
	f->uid = 1000;
	fixture_ok(f, "mdev.stop", JUST(A));
	fixture_ok(f, "mdev.undefine", JUST(A));
}

/* While a step is under way, others are told so, and nothing is half-made. */
static void test_busy(void **state)
{
	struct fixture *f = *state;
	int started;

	f->broker->config.call_timeout_ns = 500 * NS_PER_MS;
	fixture_ok(f, "mdev.define", ON(A, "fake-s"));
	fixture_script(f, "create=hang");
	fixture_begin(f, "mdev.start", JUST(A), &started);
	fixture_fails(f, ERROR_DEVICE_BUSY, "mdev.start", JUST(A));
	fixture_fails(f, ERROR_DEVICE_BUSY, "mdev.stop", JUST(A));
	fixture_fails(f, ERROR_DEVICE_BUSY, "mdev.undefine", JUST(A));
	fixture_fails(f, ERROR_DEVICE_BUSY, "parent.remove", "{\"name\":\"p\"}");
	assert_string_equal(fixture_get(f, "mdev.list", "{}", "mdevs"), "[]");
	fixture_ok(f, "parent.remove", "{\"name\":\"p\",\"force\":true}");
	assert_int_equal(started, -1);
	assert_false(fixture_exists(f, "run/umdev/mdevs/" A));
	assert_true(fixture_exists(f, FILE(A)));
}

/* A host that died while its client connected had told of it, perhaps, and the next one does. */
static void test_told_twice(void **state)
{
	struct fixture *f = *state;
	json_t *events;
	json_t *event;
	size_t i;
	int connected = 0;

	fixture_script(f, "event=client.connected\nrepeat=yes");
	fixture_ok(f, "mdev.start", ON(A, "fake-s"));
	fixture_ok(f, "mdev.stop", "{\"uuid\":\"" A "\",\"force\":true}");
	events = fixture_call(f, "event.list", "{}");
	json_array_foreach (json_object_get(events, "events"), i, event)
		connected += strcmp(json_string_value(json_object_get(event, "event")),
				    "client.connected") == 0;
	assert_int_equal(connected, 1);
	json_decref(events);
}

static void test_in_use(void **state)
{
	struct fixture *f = *state;

	fixture_script(f, "event=client.connected\nremove=busy");
	fixture_ok(f, "mdev.start", ON(A, "fake-s"));
	fixture_wait_event(f, "client.connected", 1);
	expect_state(f, "{}", "in-use");
	assert_string_equal(fixture_get(f, "mdev.list", "{}", "mdevs.0.client.pid"), "1");
	fixture_fails(f, ERROR_DEVICE_BUSY, "mdev.stop", JUST(A));
	expect_state(f, "{}", "in-use");
	fixture_ok(f, "mdev.stop", "{\"uuid\":\"" A "\",\"force\":true}");
	/* What the host knows and we do not yet counts as well. */
	fixture_script(f, "event=client.refused\nremove=busy");
	fixture_ok(f, "mdev.start", ON(A, "fake-s"));
	fixture_wait_event(f, "client.refused", 1);
	assert_string_equal(fixture_get(f, "mdev.list", "{}", "mdevs.0.last_refusal"),
			    "as scripted");
	fixture_script(f, "event=client.refused\nmessage=long");
	fixture_ok(f, "mdev.start", ON(B, "fake-s"));
	fixture_wait_event(f, "client.refused", 3);
	assert_string_equal(fixture_get(f, "mdev.list", JUST(B), "mdevs.0.state"), "active");
	assert_int_equal(strlen(fixture_get(f, "mdev.list", JUST(B), "mdevs.0.last_refusal")),
			 EVENTS_LINE_MAX - 1);
	fixture_ok(f, "mdev.stop", JUST(B));
	fixture_script(f, "remove=busy");
	fixture_fails(f, ERROR_DEVICE_BUSY, "mdev.stop", JUST(A));
	expect_state(f, "{}", "active");
	fixture_script(f, "remove=die");
	fixture_ok(f, "mdev.stop", JUST(A)); /* gone is gone */
	assert_string_equal(fixture_get(f, "mdev.list", "{}", "mdevs"), "[]");
}

static void test_modify(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "mdev.define", ON(A, "fake-s"));
	fixture_fails(f, ERROR_INVALID, "mdev.modify", JUST(A));
	fixture_fails(f, ERROR_NOT_DEFINED, "mdev.modify",
		      "{\"uuid\":\"" B "\",\"start\":\"auto\"}");
	fixture_ok(f, "mdev.modify",
		   "{\"uuid\":\"" A "\",\"addattr\":{\"name\":\"level\",\"value\":\"2\"}}");
	fixture_ok(f, "mdev.modify",
		   "{\"uuid\":\"" A "\",\"addattr\":{\"name\":\"color\",\"value\":\"green\"},"
		   "\"index\":0}");
	assert_string_equal(fixture_get(f, "mdev.list", "{\"defined\":true}", "mdevs.0.attrs"),
			    "[{\"fake/color\":\"green\"},{\"fake/level\":\"2\"}]");
	fixture_fails(f, ERROR_INVALID, "mdev.modify",
		      "{\"uuid\":\"" A "\",\"addattr\":{\"name\":\"level\",\"value\":\"x\"}}");
	fixture_fails(f, ERROR_INVALID, "mdev.modify",
		      "{\"uuid\":\"" A "\",\"delattr\":true,\"index\":2}");
	fixture_ok(f, "mdev.modify", "{\"uuid\":\"" A "\",\"delattr\":true}");
	assert_string_equal(fixture_get(f, "mdev.list", "{\"defined\":true}", "mdevs.0.attrs"),
			    "[{\"fake/color\":\"green\"}]");
	fixture_fails(f, ERROR_UNKNOWN_TYPE, "mdev.modify",
		      "{\"uuid\":\"" A "\",\"type\":\"fake-x\"}");
}

#define LIVE(attrs)                                                                                \
	"{\"uuid\":\"" A "\",\"live\":true,\"definition\":{\"mdev_type\":\"fake-s\",\"start\":"    \
	"\"manual\",\"attrs\":[" attrs "]}}"

static void test_live(void **state)
{
	struct fixture *f = *state;
	umdev_autofree char *log = NULL;

	fixture_fails(f, ERROR_NOT_ACTIVE, "mdev.modify", LIVE(""));
	fixture_ok(f, "mdev.start", ON(A, "fake-s"));
	free(fixture_log(f));
	fixture_ok(f, "mdev.modify", LIVE("{\"color\":\"green\"},{\"level\":\"7\"}"));
	log = fixture_log(f);
	fixture_find(fixture_find(log, "attr color green\n"), "attr level 7\n");
	free(log);
	/* All or none: what was set before the refusal is set back. */
	fixture_script(f, "refuse-attr=level");
	fixture_fails(f, ERROR_DRIVER_FAILED, "mdev.modify",
		      LIVE("{\"color\":\"red\"},{\"level\":\"8\"}"));
	log = fixture_log(f);
	assert_string_equal(log, "attr color red\nattr level 8\nattr color green\n");
	assert_string_equal(fixture_get(f, "mdev.list", "{}", "mdevs.0.attrs"),
			    "[{\"fake/color\":\"green\"},{\"fake/level\":\"7\"}]");
	fixture_fails(f, ERROR_DEVICE_BUSY, "mdev.modify", LIVE("{\"fixed\":\"2\"}"));
	assert_string_equal(f->err.key, "fake/fixed");
	fixture_fails(f, ERROR_DEVICE_BUSY, "mdev.modify", LIVE("{\"mdev/socket_mode\":\"0666\"}"));
	fixture_ok(f, "mdev.stop", JUST(A));
	fixture_script(f, "event=client.connected");
	fixture_ok(f, "mdev.start", ON(A, "fake-s"));
	fixture_wait_event(f, "client.connected", 1);
	fixture_fails(f, ERROR_DEVICE_BUSY, "mdev.modify", LIVE("{\"level\":\"9\"}"));
	fixture_ok(f, "mdev.modify", LIVE("{\"color\":\"green\"}"));
}

static void test_autostart(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "mdev.define",
		   "{\"uuid\":\"" A "\",\"parent\":\"p\",\"type\":\"fake-s\",\"start\":\"auto\"}");
	fixture_ok(f, "mdev.define", ON(B, "fake-s"));
	fixture_stop(f);
	fixture_write(f, FILE(C), "{\"mdev_type\":\"fake-x\",\"start\":\"auto\"}");
	fixture_start(f); /* returns when all of it was tried */
	expect_state(f, JUST(A), "active");
	assert_string_equal(fixture_get(f, "mdev.list", "{}", "mdevs.1"), "(absent)");
	assert_non_null(strstr(fixture_get(f, "mdev.list", "{\"defined\":true,\"uuid\":\"" C "\"}",
					   "mdevs.0.error"),
			       "fake-x"));
	/* A host that dies over it does not keep the daemon from being ready. */
	fixture_stop(f);
	fixture_script(f, "create=die");
	fixture_start(f);
	fixture_script(f, "");
	assert_string_equal(fixture_get(f, "mdev.list", "{}", "mdevs"), "[]");
}

/* As much as the limit allows is kept, one more is told of and does no other harm. */
static void test_keep(void **state)
{
	struct fixture *f = *state;
	struct mdev *mdev;

	fixture_script(f, "keep=8");
	fixture_ok(f, "mdev.start", ON(A, "fake-s"));
	mdev = mdev_find_active(f->broker, A);
	assert_int_equal(mdev->keeper.count, 8);
	assert_false(mdev->keep_refused);
	fixture_ok(f, "mdev.stop", JUST(A));
	fixture_script(f, "keep=9");
	fixture_ok(f, "mdev.start", ON(A, "fake-s"));
	mdev = mdev_find_active(f->broker, A);
	assert_int_equal(mdev->keeper.count, 8);
	assert_true(mdev->keep_refused);
	fixture_wait_event(f, "driver", 1);
	fixture_ok(f, "mdev.stop", JUST(A));
	fixture_script(f, "keep=bad");
	fixture_ok(f, "mdev.start", ON(A, "fake-s"));
	mdev = mdev_find_active(f->broker, A);
	assert_int_equal(mdev->keeper.count, 0);
	assert_true(mdev->keep_refused);
}

/* The last mdev that the broker takes is there: one more is refused, another after it is gone is
 * not. */
static void test_mdevs_limit(void **state)
{
	struct fixture *f = *state;
	size_t others = BROKER_MDEVS_MAX - 1;

	f->broker->mdev_count += others;
	fixture_ok(f, "mdev.start", ON(A, "fake-s"));
	fixture_fails(f, ERROR_LIMIT, "mdev.start", ON(B, "fake-s"));
	fixture_fails(f, ERROR_LIMIT, "mdev.define", ON(B, "fake-s"));
	expect_free(f, "900");
	fixture_ok(f, "mdev.stop", JUST(A));
	fixture_ok(f, "mdev.define", ON(B, "fake-s"));
	f->broker->mdev_count -= others;
}

/* A host that does not give statistics costs the list those, and no more than its patience. */
static void test_slow_statistics(void **state)
{
	struct fixture *f = *state;
	uint64_t begin;

	fixture_ok(f, "mdev.start", ON(A, "fake-s"));
	fixture_script(f, "stats=hang");
	begin = clock_now_ns();
	assert_string_equal(fixture_get(f, "mdev.list", "{}", "mdevs.0.statistics"), "(absent)");
	assert_true(clock_now_ns() - begin < 2 * NS_PER_S);
	fixture_script(f, "stats=error");
	expect_state(f, "{}", "active");
}

static void test_many(void **state)
{
	struct fixture *f = *state;
	int done[10];

	for (int i = 0; i < 10; i++)
		fixture_begin(f, "mdev.start", "{\"parent\":\"p\",\"type\":\"fake-s\"}", &done[i]);
	for (int i = 0; i < 10; i++) {
		fixture_wait(f, &done[i]);
		assert_int_equal(done[i], 1);
	}
	expect_free(f, "0");
	fixture_fails(f, ERROR_NO_INSTANCES, "mdev.start",
		      "{\"parent\":\"p\",\"type\":\"fake-s\"}");
	assert_string_equal(fixture_get(f, "mdev.list", "{}", "mdevs.9.statistics.things"), "7");
	assert_string_equal(fixture_get(f, "event.list", "{\"limit\":1}", "events.0.event"),
			    "mdev.started");
	assert_string_equal(fixture_get(f, "event.list", "{\"limit\":0}", "events"), "[]");
	assert_string_equal(fixture_get(f, "doctor", "{}", "checks.0.status"), "ok");
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_start_and_stop),
		WITH(test_map_stays),
		WITH(test_bad_start),
		WITH(test_create_fails),
		WITH(test_discard_before_reuse),
		WITH(test_pieces_survive),
		WITH(test_discard_fails),
		WITH(test_no_instances),
		WITH(test_type_changes),
		WITH(test_type_names),
		WITH(test_define),
		WITH(test_large_definition),
		WITH(test_half_a_definition),
		WITH(test_half_a_map),
		WITH(test_owner),
		WITH(test_busy),
		WITH(test_told_twice),
		WITH(test_in_use),
		WITH(test_modify),
		WITH(test_live),
		WITH(test_autostart),
		WITH(test_keep),
		WITH(test_mdevs_limit),
		WITH(test_slow_statistics),
		WITH(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
