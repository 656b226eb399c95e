/* SPDX-License-Identifier: BSD-3-Clause */
/* Knobs from a definition to the host and back: what is refused, what a host is told and when, what
 * a change leaves behind when a step of it fails. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/mdev.h"
#include "util/clock.h"

#define A	 "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
#define B	 "83b8f4f2-509f-382f-3c1e-e6bfe0fa1002"
#define C	 "83b8f4f2-509f-382f-3c1e-e6bfe0fa1003"
#define ON(u, t) "{\"uuid\":\"" u "\",\"parent\":\"p\",\"type\":\"" t "\"}"
#define WITH_ATTRS(u, t, attrs)                                                                    \
	"{\"uuid\":\"" u "\",\"parent\":\"p\",\"type\":\"" t "\",\"attrs\":[" attrs "]}"
#define JUST(u)	     "{\"uuid\":\"" u "\"}"
#define SET(u, what) "{\"uuid\":\"" u "\"," what "}"
#define FILE(u)	     "etc/umdev/mdevs.d/p/" u
#define CAP(n)	     "{\"mdev/cap\":\"" n "\"}"
#define WEIGHT(n)    "{\"mdev/weight\":\"" n "\"}"
#define PRIORITY(n)  "{\"mdev/priority\":\"" n "\"}"

static int setup(void **state)
{
	fixture_setup(state);
	fixture_ok(*state, "parent.add", "{\"name\":\"p\",\"driver\":\"fake\"}");
	free(fixture_log(*state));
	return 0;
}

/* Expects the host to have been told exactly that since the last look. */
static void expect_log(struct fixture *f, const char *text)
{
	umdev_autofree char *log = fixture_log(f);

	assert_string_equal(log, text);
}

static void expect_logged(struct fixture *f, const char *text)
{
	umdev_autofree char *log = fixture_log(f);

	fixture_find(log, text);
}

static void expect_running(struct fixture *f, const char *attrs)
{
	assert_string_equal(fixture_get(f, "mdev.list", JUST(A), "mdevs.0.attrs"), attrs);
}

/* A failure with that key, whose message says @says. */
static void refused(struct fixture *f, const char *method, const char *params, const char *key,
		    const char *says)
{
	fixture_fails(f, ERROR_INVALID, method, params);
	assert_string_equal(f->err.key, key);
	if (!strstr(f->err.message, says))
		fail_msg("'%s' does not say '%s'", f->err.message, says);
}

/* ---- Attributes ------------------------------------------------------------------------------ */

static void test_create(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "mdev.start", ON(A, "fake-s"));
	expect_logged(f, "knobs 10000 100 0\n");
	fixture_ok(f, "mdev.start",
		   WITH_ATTRS(B, "fake-s", CAP("12.5") "," WEIGHT("200") "," PRIORITY("7")));
	/* They are not for the driver. */
	expect_logged(f, "attrs {}\nknobs 1250 200 7\n");
	fixture_ok(f, "mdev.define", WITH_ATTRS(C, "fake-s", CAP("1") "," CAP("0.01")));
	fixture_ok(f, "mdev.start", JUST(C));
	expect_logged(f, "knobs 1 100 0\n");
}

static void test_out_of_range(void **state)
{
	struct fixture *f = *state;
	static const char *const methods[] = {"mdev.define", "mdev.start"};

	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		refused(f, methods[i], WITH_ATTRS(A, "fake-s", CAP("0")), "mdev/cap",
			"0 is out of range 0.01..100");
		refused(f, methods[i], WITH_ATTRS(A, "fake-s", CAP("100.01")), "mdev/cap",
			"out of range 0.01..100");
		refused(f, methods[i], WITH_ATTRS(A, "fake-s", WEIGHT("10001")), "mdev/weight",
			"out of range 1..10000");
		refused(f, methods[i], WITH_ATTRS(A, "fake-s", PRIORITY("8")), "mdev/priority",
			"out of range 0..7");
	}
	expect_log(f, "");
	assert_false(fixture_exists(f, FILE(A)));
}

static void test_not_honoured(void **state)
{
	struct fixture *f = *state;

	refused(f, "mdev.define", WITH_ATTRS(A, "fake-m", WEIGHT("99")), "mdev/weight",
		"mdev " A ": type fake-m does not honour mdev/weight (it honours mdev/cap)");
	refused(f, "mdev.start", WITH_ATTRS(A, "fake-rest", CAP("99")), "mdev/cap",
		"mdev " A ": type fake-rest does not honour mdev/cap (it honours no knob)");
	assert_string_equal(fixture_get(f, "parent.list", "{}", "parents.0.pool.free"), "1000");
	expect_log(f, "");
	/* The default is fine, and what it does honour. */
	fixture_ok(f, "mdev.define",
		   WITH_ATTRS(A, "fake-m", CAP("50") "," WEIGHT("100") "," PRIORITY("0")));
	refused(f, "mdev.modify",
		SET(A, "\"addattr\":{\"name\":\"mdev/priority\",\"value\":\"1\"}"), "mdev/priority",
		"does not honour mdev/priority");
	refused(f, "mdev.modify", SET(A, "\"type\":\"fake-rest\""), "mdev/cap",
		"type fake-rest does not honour mdev/cap");
	/* Where the parent is not there to be asked, the start finds out. */
	fixture_ok(f, "parent.remove", "{\"name\":\"p\"}");
	fixture_ok(f, "mdev.define", WITH_ATTRS(B, "fake-m", WEIGHT("99")));
	refused(f, "mdev.define", WITH_ATTRS(C, "fake-m", WEIGHT("0")), "mdev/weight",
		"out of range 1..10000");
	fixture_ok(f, "parent.add", "{\"name\":\"p\",\"driver\":\"fake\"}");
	refused(f, "mdev.start", JUST(B), "mdev/weight", "does not honour mdev/weight");
}

#define LIVE(type, attrs)                                                                          \
	SET(A, "\"live\":true,\"definition\":{\"mdev_type\":\"" type "\",\"start\":\"manual\","    \
	       "\"attrs\":[" attrs "]}")

/* All knobs in one message, when any of them differs, and never as attributes of the driver. */
static void test_live(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "mdev.start", WITH_ATTRS(A, "fake-s", WEIGHT("200")));
	free(fixture_log(f));
	fixture_ok(f, "mdev.modify", LIVE("fake-s", CAP("100.00") "," WEIGHT("0200")));
	expect_log(f, "");
	fixture_ok(f, "mdev.modify", LIVE("fake-s", CAP("50") "," PRIORITY("3")));
	expect_log(f, "qos 5000 100 3\n");
	fixture_ok(f, "mdev.modify", LIVE("fake-s", "{\"color\":\"green\"}"));
	expect_log(f, "qos 10000 100 0\nattr color green\n");
	refused(f, "mdev.modify", LIVE("fake-s", CAP("101")), "mdev/cap", "out of range");
	fixture_ok(f, "mdev.stop", JUST(A));
	fixture_ok(f, "mdev.start", ON(A, "fake-m"));
	refused(f, "mdev.modify", LIVE("fake-m", WEIGHT("99")), "mdev/weight", "does not honour");
}

static void test_live_all_or_none(void **state)
{
	struct fixture *f = *state;
	static const char was[] = "[{\"mdev/weight\":\"200\"},{\"fake/color\":\"red\"}]";

	fixture_ok(f, "mdev.start", WITH_ATTRS(A, "fake-s", WEIGHT("200") ",{\"color\":\"red\"}"));
	free(fixture_log(f));
	/* A later step is refused: back with the knobs, too. */
	fixture_script(f, "refuse-attr=level");
	fixture_fails(f, ERROR_DRIVER_FAILED, "mdev.modify",
		      LIVE("fake-s", CAP("50") ",{\"color\":\"green\"},{\"level\":\"8\"}"));
	expect_log(f, "qos 5000 100 0\nattr color green\nattr level 8\nattr color red\n"
		      "qos 10000 200 0\n");
	expect_running(f, was);
	/* The knobs are refused: nothing else is begun. */
	fixture_script(f, "qos=error:INVALID");
	fixture_fails(f, ERROR_INVALID, "mdev.modify",
		      LIVE("fake-s", CAP("50") ",{\"color\":\"green\"}"));
	expect_log(f, "qos scripted\n");
	expect_running(f, was);
	/* The host dies over it, and the next one gets what was. */
	fixture_script(f, "qos=die");
	fixture_fails(f, ERROR_HOST_FAILED, "mdev.modify", LIVE("fake-s", CAP("50")));
	fixture_script(f, "");
	fixture_until(f, "mdev.list", "mdevs.0.statistics.things", "7");
	expect_logged(f, "create " A " origin 1 page marked piece [0,100] attrs "
			 "{\"color\":\"red\"}\nknobs 10000 200 0\n");
	expect_running(f, was);
}

/* ---- mdev.qos -------------------------------------------------------------------------------- */

#define NUMBERS                                                                                    \
	"\"jobs\":10,\"queued\":1,\"in_flight\":1,\"owned_ns\":1000,\"estimate_ns\":50,"           \
	"\"cap_debt_ns\":0,\"wait_ns\":100,\"wait_by_cause_ns\":{\"cap\":40,\"turn\":30,"          \
	"\"priority\":20,\"engine\":10}"
#define ENGINES                                                                                    \
	"[{\"name\":\"media\",\"parallelism\":2,\"reserved_slots\":1,\"busy_ns\":5000,"            \
	"\"in_flight\":1}]"

/* The result of a call without the times, in the order of its keys. */
static char *shown(struct fixture *f, const char *method, const char *params)
{
	json_t *result = fixture_call(f, method, params);
	char *text;

	if (!result)
		fail_msg("%s %s: %s", method, params, f->err.message);
	json_object_del(result, "time_ns");
	json_object_del(result, "since_ns");
	text = json_dumps(result, JSON_COMPACT | JSON_REAL_PRECISION(15));
	json_decref(result);
	return text;
}

static void expect_shown(struct fixture *f, const char *params, const char *text)
{
	umdev_autofree char *got = shown(f, "mdev.qos", params);

	assert_string_equal(got, text);
}

static void test_show(void **state)
{
	struct fixture *f = *state;
	json_int_t since;

	fixture_fails(f, ERROR_NOT_DEFINED, "mdev.qos", JUST(A));
	fixture_ok(f, "mdev.define", WITH_ATTRS(A, "fake-s", CAP("12.5") "," PRIORITY("7")));
	expect_shown(f, JUST(A),
		     "{\"uuid\":\"" A "\",\"parent\":\"p\",\"cap\":12.5,\"weight\":100,"
		     "\"priority\":7,\"active\":false}");
	fixture_ok(f, "mdev.start", JUST(A));
	expect_shown(f, JUST(A),
		     "{\"uuid\":\"" A "\",\"parent\":\"p\",\"cap\":12.5,\"weight\":100,"
		     "\"priority\":7,\"active\":true," NUMBERS ",\"engines\":" ENGINES "}");
	expect_shown(f, SET(A, "\"defined\":true"),
		     "{\"uuid\":\"" A "\",\"parent\":\"p\",\"cap\":12.5,\"weight\":100,"
		     "\"priority\":7,\"active\":true}");
	since = atoll(fixture_get(f, "mdev.qos", JUST(A), "since_ns"));
	assert_true(since > 0 && (uint64_t)since <= clock_now_ns());
	fixture_fails(f, ERROR_INVALID, "mdev.qos", JUST("x"));
	fixture_fails(f, ERROR_NOT_DEFINED, "mdev.qos", SET(A, "\"parent\":\"q\""));
}

static void test_show_without_host(void **state)
{
	struct fixture *f = *state;
	static const char *const scripts[] = {"usage=hang", "usage=error", "usage=nobody",
					      "usage=die"};
	uint64_t begin = clock_now_ns();

	fixture_ok(f, "mdev.start", WITH_ATTRS(A, "fake-s", WEIGHT("7")));
	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		fixture_script(f, scripts[i]);
		expect_shown(f, JUST(A),
			     "{\"uuid\":\"" A "\",\"parent\":\"p\",\"cap\":100,\"weight\":7,"
			     "\"priority\":0,\"active\":true}");
		assert_string_equal(fixture_get(f, "mdev.blame", JUST(A), "mdev.weight"), "7");
	}
	assert_true(clock_now_ns() - begin < 5 * NS_PER_S);
}

static void test_change(void **state)
{
	struct fixture *f = *state;

	fixture_fails(f, ERROR_NOT_ACTIVE, "mdev.qos", SET(A, "\"cap\":50"));
	assert_non_null(strstr(f->err.message, "--defined"));
	fixture_ok(f, "mdev.start", ON(A, "fake-s"));
	free(fixture_log(f));
	expect_shown(f, SET(A, "\"cap\":0.07,\"weight\":200"),
		     "{\"uuid\":\"" A "\",\"parent\":\"p\",\"cap\":0.07,\"weight\":200,"
		     "\"priority\":0,\"active\":true," NUMBERS ",\"engines\":" ENGINES "}");
	expect_log(f, "qos 7 200 0\n");
	expect_running(f, "[{\"mdev/cap\":\"0.07\"},{\"mdev/weight\":\"200\"}]");
	fixture_ok(f, "mdev.qos", SET(A, "\"priority\":7,\"weight\":200"));
	expect_log(f, "qos 7 200 7\n");
	fixture_ok(f, "mdev.qos", SET(A, "\"priority\":7"));
	expect_log(f, "");
	/* A host that takes its place runs with what was changed last. */
	fixture_script(f, "usage=die");
	fixture_ok(f, "mdev.qos", JUST(A));
	fixture_script(f, "");
	fixture_until(f, "mdev.list", "mdevs.0.statistics.things", "7");
	expect_logged(f, "knobs 7 200 7\n");
	/* The transient one has no definition to change. */
	fixture_fails(f, ERROR_NOT_DEFINED, "mdev.qos", SET(A, "\"cap\":1,\"defined\":true"));
	expect_log(f, "");
}

static void test_change_refused(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "mdev.start", WITH_ATTRS(A, "fake-m", CAP("50")));
	free(fixture_log(f));
	refused(f, "mdev.qos", SET(A, "\"cap\":0"), "mdev/cap",
		"mdev " A ": mdev/cap: 0 is out of range 0.01..100");
	refused(f, "mdev.qos", SET(A, "\"cap\":100.01"), "mdev/cap", "out of range 0.01..100");
	refused(f, "mdev.qos", SET(A, "\"cap\":12.345"), "mdev/cap", "at most two decimals");
	refused(f, "mdev.qos", SET(A, "\"cap\":-1"), "mdev/cap", "from 0.01 to 100");
	refused(f, "mdev.qos", SET(A, "\"cap\":1e300"), "mdev/cap", "from 0.01 to 100");
	refused(f, "mdev.qos", SET(A, "\"weight\":0"), "mdev/weight", "out of range 1..10000");
	refused(f, "mdev.qos", SET(A, "\"weight\":10001"), "mdev/weight", "out of range");
	refused(f, "mdev.qos", SET(A, "\"priority\":8"), "mdev/priority", "out of range 0..7");
	/* One of several is wrong: none is set. */
	refused(f, "mdev.qos", SET(A, "\"cap\":20,\"weight\":99"), "mdev/weight",
		"mdev " A ": type fake-m does not honour mdev/weight (it honours mdev/cap)");
	fixture_script(f, "qos=error:DRIVER_FAILED");
	fixture_fails(f, ERROR_DRIVER_FAILED, "mdev.qos", SET(A, "\"cap\":20"));
	assert_non_null(strstr(f->err.message, A));
	expect_log(f, "qos scripted\n");
	fixture_script(f, "qos=die");
	fixture_fails(f, ERROR_HOST_FAILED, "mdev.qos", SET(A, "\"cap\":20"));
	fixture_script(f, "");
	assert_string_equal(fixture_get(f, "mdev.qos", JUST(A), "cap"), "50");
}

static void expect_file(struct fixture *f, const char *text)
{
	umdev_autofree char *file = fixture_read(f, FILE(A));

	if (!strstr(file, text))
		fail_msg("'%s' is not in\n%s", text, file);
}

static void test_change_defined(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "mdev.define", WITH_ATTRS(A, "fake-s", "{\"level\":\"2\"}," WEIGHT("5")));
	/* Not active: the definition alone. */
	expect_shown(f, SET(A, "\"weight\":200,\"defined\":true"),
		     "{\"uuid\":\"" A "\",\"parent\":\"p\",\"cap\":100,\"weight\":200,"
		     "\"priority\":0,\"active\":false}");
	expect_log(f, "");
	expect_file(f, "\"mdev/weight\": \"200\"");
	refused(f, "mdev.qos", SET(A, "\"cap\":101,\"defined\":true"), "mdev/cap", "out of range");
	/* Active: the definition stays, unless it is asked for. */
	fixture_ok(f, "mdev.start", JUST(A));
	free(fixture_log(f));
	fixture_ok(f, "mdev.qos", SET(A, "\"weight\":300"));
	expect_file(f, "\"mdev/weight\": \"200\"");
	assert_string_equal(fixture_get(f, "mdev.qos", SET(A, "\"defined\":true"), "weight"),
			    "200");
	fixture_ok(f, "mdev.qos", SET(A, "\"cap\":60,\"defined\":true"));
	expect_log(f, "qos 10000 300 0\nqos 6000 300 0\n");
	expect_file(f, "\"mdev/cap\": \"60\"");
	/* Only the knobs that were given. */
	expect_file(f, "\"mdev/weight\": \"200\"");
	/* It stays, whatever becomes of the daemon. */
	fixture_stop(f);
	fixture_start(f);
	free(fixture_log(f));
	fixture_ok(f, "mdev.start", JUST(A));
	expect_logged(f, "attrs {\"level\":\"2\"}\nknobs 6000 200 0\n");
}

/* The definition cannot be written: the active one is as it was. */
static void test_change_defined_fails(void **state)
{
	struct fixture *f = *state;
	umdev_autofree char *before = NULL;
	umdev_autofree char *after = NULL;
	struct mdev *mdev;

	fixture_ok(f, "mdev.define", WITH_ATTRS(A, "fake-s", CAP("50")));
	fixture_ok(f, "mdev.start", JUST(A));
	free(fixture_log(f));
	before = fixture_read(f, FILE(A));
	mdev = mdev_find_active(f->broker, A);
	/* Another 64 KiB would be refused by the file's limit. */
	mdev->definition->others = json_pack("{s:o}", "note", json_array());
	for (int i = 0; i < DEFINITION_FILE_MAX / 4; i++)
		json_array_append_new(json_object_get(mdev->definition->others, "note"),
				      json_integer(1000));
	fixture_fails(f, ERROR_LIMIT, "mdev.qos", SET(A, "\"cap\":20,\"defined\":true"));
	expect_log(f, "qos 2000 100 0\nqos 5000 100 0\n");
	expect_running(f, "[{\"mdev/cap\":\"50\"}]");
	after = fixture_read(f, FILE(A));
	assert_string_equal(before, after);
	fixture_ok(f, "mdev.qos", SET(A, "\"cap\":30"));
	expect_log(f, "qos 3000 100 0\n");
}

static void test_busy(void **state)
{
	struct fixture *f = *state;
	int done;

	fixture_ok(f, "mdev.start", ON(A, "fake-s"));
	fixture_script(f, "qos=hang");
	fixture_begin(f, "mdev.qos", SET(A, "\"cap\":50"), &done);
	fixture_fails(f, ERROR_DEVICE_BUSY, "mdev.qos", SET(A, "\"cap\":60"));
	fixture_fails(f, ERROR_DEVICE_BUSY, "mdev.stop", JUST(A));
	fixture_ok(f, "mdev.qos", JUST(A));
	/* The end of the daemon ends what is under way. */
	fixture_kill(f);
	assert_int_equal(done, -1);
	fixture_start(f);
}

static void test_owner(void **state)
{
	struct fixture *f = *state;

	f->uid = 1000;
	fixture_ok(f, "mdev.define", ON(A, "fake-s"));
	f->uid = 1001;
	fixture_fails(f, ERROR_NOT_PERMITTED, "mdev.qos", SET(A, "\"cap\":50,\"defined\":true"));
	f->uid = 1000;
	fixture_ok(f, "mdev.start", JUST(A));
	f->uid = 1001;
	fixture_fails(f, ERROR_NOT_PERMITTED, "mdev.qos", SET(A, "\"cap\":50"));
	fixture_ok(f, "mdev.qos", JUST(A));
	fixture_ok(f, "mdev.blame", JUST(A));
	f->uid = 1000;
	fixture_ok(f, "mdev.qos", SET(A, "\"cap\":50"));
	f->uid = 0;
	fixture_ok(f, "mdev.qos", SET(A, "\"cap\":60,\"defined\":true,\"force\":true"));
}

/* ---- mdev.blame ------------------------------------------------------------------------------ */

static void test_blame(void **state)
{
	struct fixture *f = *state;
	umdev_autofree char *got = NULL;
	json_t *result;
	json_t *peer;
	size_t i;

	fixture_ok(f, "parent.add", "{\"name\":\"q\",\"driver\":\"fake\"}");
	fixture_fails(f, ERROR_NOT_ACTIVE, "mdev.blame", JUST(A));
	fixture_ok(f, "mdev.start", WITH_ATTRS(A, "fake-s", CAP("20")));
	fixture_ok(f, "mdev.start",
		   "{\"uuid\":\"" B "\",\"parent\":\"p\",\"type\":\"fake-s\",\"owner\":\"me\"}");
	fixture_ok(f, "mdev.start", WITH_ATTRS(C, "fake-s", PRIORITY("2")));
	fixture_ok(f, "mdev.start", "{\"parent\":\"q\",\"type\":\"fake-s\"}");
	result = fixture_call(f, "mdev.blame", JUST(A));
	assert_non_null(result);
	assert_true(json_integer_value(json_object_get(result, "time_ns")) > 0);
	assert_true(json_equal(json_object_get(result, "time_ns"),
			       json_object_get(json_object_get(result, "mdev"), "time_ns")));
	json_object_del(result, "time_ns");
	json_object_del(json_object_get(result, "mdev"), "time_ns");
	json_object_del(json_object_get(result, "mdev"), "since_ns");
	json_array_foreach (json_object_get(result, "peers"), i, peer) {
		assert_true(json_integer_value(json_object_get(peer, "since_ns")) > 0);
		json_object_del(peer, "since_ns");
	}
	got = json_dumps(result, JSON_COMPACT);
	json_decref(result);
	assert_string_equal(
		got,
		"{\"parent\":\"p\",\"engines\":" ENGINES ",\"hardware\":false,\"mdev\":{\"uuid\":"
		"\"" A "\",\"parent\":\"p\",\"cap\":20,\"weight\":100,\"priority\":0,\"active\":"
		"true," NUMBERS ",\"engines\":" ENGINES "},\"peers\":[{\"uuid\":\"" C
		"\",\"cap\":100,\"weight\":100,\"priority\":2,\"jobs\":30,\"queued\":3,"
		"\"in_flight\":1,\"owned_ns\":3000},{\"uuid\":\"" B
		"\",\"cap\":100,\"weight\":100,\"priority\":0,\"owner\":\"me\",\"jobs\":20,"
		"\"queued\":2,\"in_flight\":1,\"owned_ns\":2000}]}");
}

/* Numbers that cannot be true are not shown; what does not depend on them is. */
static void test_hostile_numbers(void **state)
{
	struct fixture *f = *state;
	static const char *const bad_mdev[] = {
		"mdev jobs -1",	     "mdev jobs 1.5",	       "mdev jobs \"7\"",
		"mdev jobs null",    "mdev queued 4294967296", "mdev in_flight -1",
		"mdev owned_ns -5",  "mdev estimate_ns true",  "mdev cap_debt_ns []",
		"mdev wait_ns 101",  "mdev wait_ns 99",	       "mdev wait_by_cause_ns 100",
		"cause turn 31",     "cause cap -40",	       "cause cap 9223372036854775807",
		"cause engine null", "top mdevs []",	       "top mdevs null",
	};
	static const char *const bad_engine[] = {
		"engine name \"\\u0007\"", "engine name 5",	      "engine parallelism 0",
		"engine parallelism -1",   "engine reserved_slots 2", "engine busy_ns -1",
		"engine in_flight 3",	   "top engines {}",	      "top engines 7",
	};
	char script[96];

	fixture_ok(f, "mdev.start", WITH_ATTRS(A, "fake-s", CAP("20")));
	for (size_t i = 0; i < ARRAY_SIZE(bad_mdev); i++) {
		snprintf(script, sizeof(script), "bad-usage=%s", bad_mdev[i]);
		fixture_script(f, script);
		expect_shown(f, JUST(A),
			     "{\"uuid\":\"" A "\",\"parent\":\"p\",\"cap\":20,\"weight\":100,"
			     "\"priority\":0,\"active\":true}");
		assert_string_equal(fixture_get(f, "mdev.blame", JUST(A), "mdev.jobs"), "(absent)");
		assert_string_equal(fixture_get(f, "mdev.blame", JUST(A), "engines.0.name"),
				    "media");
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad_engine); i++) {
		snprintf(script, sizeof(script), "bad-usage=%s", bad_engine[i]);
		fixture_script(f, script);
		assert_string_equal(fixture_get(f, "mdev.blame", JUST(A), "engines"), "[]");
		assert_string_equal(fixture_get(f, "mdev.blame", JUST(A), "mdev.jobs"), "10");
	}
	/* The largest that is possible; and a time that has not come. */
	fixture_script(f, "bad-usage=mdev owned_ns 9223372036854775807");
	assert_string_equal(fixture_get(f, "mdev.qos", JUST(A), "owned_ns"), "9223372036854775807");
	fixture_script(f, "bad-usage=mdev queued 4294967295");
	assert_string_equal(fixture_get(f, "mdev.qos", JUST(A), "queued"), "4294967295");
	fixture_script(f, "bad-usage=top time_ns 9223372036854775807");
	assert_true((uint64_t)atoll(fixture_get(f, "mdev.blame", JUST(A), "time_ns")) <=
		    clock_now_ns());
	/* Knobs are the broker's, whatever the host says of them. */
	fixture_script(f, "bad-usage=mdev weight 9");
	assert_string_equal(fixture_get(f, "mdev.qos", JUST(A), "weight"), "100");
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_create),
		WITH(test_out_of_range),
		WITH(test_not_honoured),
		WITH(test_live),
		WITH(test_live_all_or_none),
		WITH(test_show),
		WITH(test_show_without_host),
		WITH(test_change),
		WITH(test_change_refused),
		WITH(test_change_defined),
		WITH(test_change_defined_fails),
		WITH(test_busy),
		WITH(test_owner),
		WITH(test_blame),
		WITH(test_hostile_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
