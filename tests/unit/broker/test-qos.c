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

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_create), WITH(test_out_of_range),	WITH(test_not_honoured),
		WITH(test_live),   WITH(test_live_all_or_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
