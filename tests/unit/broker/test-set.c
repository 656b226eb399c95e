/* SPDX-License-Identifier: BSD-3-Clause */
/* mdev.set: attributes that change at once, and those for which the device is made anew; the latter
 * failed at every step. Numbers of IOMMU groups. */
#include "fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "broker/mdev.h"
#include "util/clock.h"
#include "util/fd.h"

#define A		 "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
#define B		 "83b8f4f2-509f-382f-3c1e-e6bfe0fa1002"
#define C		 "83b8f4f2-509f-382f-3c1e-e6bfe0fa1003"
#define D		 "83b8f4f2-509f-382f-3c1e-e6bfe0fa1004"
#define ON(u, t)	 "{\"uuid\":\"" u "\",\"parent\":\"p\",\"type\":\"" t "\"}"
#define JUST(u)		 "{\"uuid\":\"" u "\"}"
#define SOCK(u)		 "run/umdev/mdevs/" u "/vfio-user.sock"
#define SET(name, value) "{\"uuid\":\"" A "\",\"name\":\"" name "\",\"value\":\"" value "\"}"

/* An active A with fake/fixed=1 on the piece 0..100, and B beside it. */
static int setup(void **state)
{
	fixture_setup(state);
	fixture_ok(*state, "parent.add", "{\"name\":\"p\",\"driver\":\"fake\"}");
	fixture_ok(*state, "mdev.start",
		   "{\"uuid\":\"" A "\",\"parent\":\"p\",\"type\":\"fake-s\",\"attrs\":"
		   "[{\"fixed\":\"1\"}]}");
	fixture_ok(*state, "mdev.start", ON(B, "fake-s"));
	free(fixture_log(*state));
	return 0;
}

static void expect_attrs(struct fixture *f, const char *attrs)
{
	assert_string_equal(fixture_get(f, "mdev.list", JUST(A), "mdevs.0.attrs"), attrs);
}

static void expect_state(struct fixture *f, const char *state)
{
	assert_string_equal(fixture_get(f, "mdev.list", JUST(A), "mdevs.0.state"), state);
}

static void expect_log(struct fixture *f, const char *expected)
{
	char *log = fixture_log(f);

	assert_string_equal(log, expected);
	free(log);
}

/* All that another may rely on while A is being changed. */
static void expect_b(struct fixture *f)
{
	assert_string_equal(fixture_get(f, "mdev.list", JUST(B), "mdevs.0.state"), "active");
	assert_string_equal(fixture_get(f, "mdev.list", JUST(B), "mdevs.0.piece"),
			    "{\"start\":100,\"size\":100}");
	assert_string_equal(fixture_get(f, "mdev.list", JUST(B), "mdevs.0.iommu_group"), "2");
	assert_string_equal(fixture_get(f, "parent.list", "{}", "parents.0.pool.free"), "800");
}

/* Waits until a new host has both again. */
static void wait_back(struct fixture *f)
{
	fixture_until(f, "mdev.list", "mdevs.0.statistics.things", "7");
	fixture_until(f, "mdev.list", "mdevs.1.statistics.things", "7");
}

/* Waits until the host has come to @line, while @done is open. The log is left as it is: what the
 * host writes at that moment must not get lost. */
static void wait_log(struct fixture *f, const char *line, const int *done)
{
	uint64_t deadline = clock_now_ns() + 10 * NS_PER_S;
	bool there = false;
	char path[160];

	snprintf(path, sizeof(path), "%s/log", f->drivers);
	while (!there) {
		char *log = NULL;
		size_t len = 0;

		if (fd_read_file(AT_FDCWD, path, 1 << 20, &log, &len) == 0)
			there = strstr(log, line) != NULL;
		free(log);
		assert_true(clock_now_ns() < deadline);
		assert_int_equal(reactor_turn(f->reactor, 5 * NS_PER_MS), 0);
	}
	assert_int_equal(*done, 0);
}

/* How many events of that name there are. */
static int count_events(struct fixture *f, const char *name)
{
	json_t *events = events_list(&f->broker->events, 1, NULL, EVENTS_KEPT);
	int count = 0;
	size_t i;
	json_t *e;

	json_array_foreach (events, i, e)
		count += strcmp(json_string_value(json_object_get(e, "event")), name) == 0;
	json_decref(events);
	return count;
}

/* The line that a creation of A leaves in the log of the host. */
#define MADE(attrs) "create " A " origin 0 page empty piece [0,100] attrs " attrs "\nknobs "
#define KNOBS	    "10000 100 0\n"
#define ANEW(attrs) "remove " A "\n" MADE(attrs) KNOBS

/* ---- At once --------------------------------------------------------------------------------- */

static void test_live(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(fixture_get(f, "mdev.set", SET("fake/color", "green"), "attrs"),
			    "[{\"fake/fixed\":\"1\"},{\"fake/color\":\"green\"}]");
	expect_log(f, "attr color green\n");
	fixture_ok(f, "mdev.set", SET("level", "7")); /* the prefix may be left out */
	expect_log(f, "attr level 7\n");
	fixture_ok(f, "mdev.set", SET("mdev/weight", "250"));
	expect_log(f, "qos 10000 250 0\n");
	assert_string_equal(fixture_get(f, "mdev.set", SET("mdev/cap", "12.5"), "uuid"), A);
	expect_log(f, "qos 1250 250 0\n");
	expect_attrs(f, "[{\"fake/fixed\":\"1\"},{\"fake/color\":\"green\"},{\"fake/level\":\"7\"},"
			"{\"mdev/weight\":\"250\"},{\"mdev/cap\":\"12.5\"}]");
	assert_int_equal(count_events(f, "mdev.modified"), 4);
	/* In use, what is not live is refused, what is live is not. */
	mdev_find_active(f->broker, A)->in_use = true;
	fixture_fails(f, ERROR_DEVICE_BUSY, "mdev.set", SET("level", "8"));
	fixture_ok(f, "mdev.set", SET("color", "red"));
	fixture_script(f, "refuse-attr=color");
	fixture_fails(f, ERROR_DRIVER_FAILED, "mdev.set", SET("color", "green"));
	expect_b(f);
}

static void test_same_value(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "mdev.set", SET("fixed", "1"));
	fixture_ok(f, "mdev.set", SET("color", "green"));
	free(fixture_log(f));
	assert_int_equal(count_events(f, "mdev.modified"), 1);
	fixture_ok(f, "mdev.set", SET("fake/color", "green"));
	expect_log(f, "");
	assert_int_equal(count_events(f, "mdev.modified"), 1);
	/* Even while it is in use. */
	mdev_find_active(f->broker, A)->in_use = true;
	assert_string_equal(fixture_get(f, "mdev.set", SET("fixed", "1"), "uuid"), A);
	expect_log(f, "");
}

static void test_refusals(void **state)
{
	struct fixture *f = *state;

	fixture_fails(f, ERROR_INVALID, "mdev.set",
		      "{\"uuid\":\"x\",\"name\":\"color\",\"value\":\"red\"}");
	assert_string_equal(f->err.key, "uuid");
	fixture_fails(f, ERROR_NOT_ACTIVE, "mdev.set",
		      "{\"uuid\":\"" C "\",\"name\":\"color\",\"value\":\"red\"}");
	fixture_ok(f, "mdev.define", ON(C, "fake-s"));
	fixture_fails(f, ERROR_NOT_ACTIVE, "mdev.set",
		      "{\"uuid\":\"" C "\",\"name\":\"color\",\"value\":\"red\"}");
	/* An unknown name is told which there are. */
	fixture_fails(f, ERROR_INVALID, "mdev.set", SET("colour", "red"));
	assert_non_null(strstr(f->err.message, "fake/color"));
	assert_non_null(strstr(f->err.message, "fake/fixed"));
	assert_non_null(strstr(f->err.message, A));
	fixture_fails(f, ERROR_INVALID, "mdev.set", SET("other/color", "red"));
	fixture_fails(f, ERROR_INVALID, "mdev.set", SET("", "red"));
	fixture_fails(f, ERROR_INVALID, "mdev.set", SET("color", "blue"));
	fixture_fails(f, ERROR_INVALID, "mdev.set", SET("color", ""));
	fixture_fails(f, ERROR_INVALID, "mdev.set", SET("fixed", "one"));
	fixture_fails(f, ERROR_INVALID, "mdev.set", SET("mdev/weight", "0"));
	fixture_fails(f, ERROR_INVALID, "mdev.set", SET("mdev/socket_mode", "0999"));
	fixture_fails(f, ERROR_INVALID, "mdev.set", SET("mdev/socket_user", "nosuchuser"));
	expect_log(f, "");
	expect_attrs(f, "[{\"fake/fixed\":\"1\"}]");
	/* A type that does not honour a knob. */
	fixture_ok(f, "mdev.start", ON(D, "fake-m"));
	fixture_fails(f, ERROR_INVALID, "mdev.set",
		      "{\"uuid\":\"" D "\",\"name\":\"mdev/weight\",\"value\":\"7\"}");
}

static void test_owner(void **state)
{
	struct fixture *f = *state;
	static const char set[] = "{\"uuid\":\"" C "\",\"name\":\"fixed\",\"value\":\"2\"}";

	f->uid = 1000;
	fixture_ok(f, "mdev.start", ON(C, "fake-s"));
	fixture_fails(f, ERROR_NOT_PERMITTED, "mdev.set", SET("fixed", "2"));
	fixture_fails(f, ERROR_NOT_PERMITTED, "mdev.set", SET("color", "green"));
	fixture_fails(f, ERROR_NOT_PERMITTED, "mdev.set", SET("fixed", "1")); /* nor the same */
	f->uid = 1001;
	fixture_fails(f, ERROR_NOT_PERMITTED, "mdev.set", set);
	f->uid = 1000;
	fixture_ok(f, "mdev.set", set);
	f->uid = 0;
	fixture_fails(f, ERROR_NOT_PERMITTED, "mdev.set", set); /* as from the tree */
	expect_attrs(f, "[{\"fake/fixed\":\"1\"}]");
}

/* ---- Made anew ------------------------------------------------------------------------------- */

static void test_remake(void **state)
{
	struct fixture *f = *state;
	char path[160];
	struct stat before;
	struct stat after;

	snprintf(path, sizeof(path), "%s/" SOCK(A), f->root);
	assert_int_equal(lstat(path, &before), 0);
	fixture_ok(f, "mdev.set", SET("color", "green"));
	free(fixture_log(f));
	assert_string_equal(fixture_get(f, "mdev.set", SET("fake/fixed", "2"), "state"), "active");
	/* On the same piece, of which nothing is discarded, with all other attributes. */
	expect_log(f, ANEW("{\"color\":\"green\",\"fixed\":\"2\"}"));
	expect_attrs(f, "[{\"fake/fixed\":\"2\"},{\"fake/color\":\"green\"}]");
	assert_string_equal(fixture_get(f, "mdev.list", JUST(A), "mdevs.0.piece"),
			    "{\"start\":0,\"size\":100}");
	assert_string_equal(fixture_get(f, "mdev.list", JUST(A), "mdevs.0.iommu_group"), "1");
	assert_int_equal(count_events(f, "mdev.stopped"), 0);
	assert_int_equal(count_events(f, "mdev.modified"), 2);
	/* The socket: another one, at once there for whoever connects. */
	assert_int_equal(lstat(path, &after), 0);
	assert_int_equal(after.st_mode, S_IFSOCK | 0600);
	fixture_ok(f, "mdev.set", SET("mdev/socket_mode", "0666"));
	assert_int_equal(lstat(path, &after), 0);
	assert_int_equal(after.st_mode, S_IFSOCK | 0666);
	expect_b(f);
	fixture_ok(f, "mdev.stop", JUST(A));
	assert_false(fixture_exists(f, "run/umdev/mdevs/" A));
}

/* What is written down is not what runs: a definition stays as it is. */
static void test_definition_stays(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "mdev.define", JUST(A));
	fixture_ok(f, "mdev.set", SET("fixed", "2"));
	assert_string_equal(fixture_get(f, "mdev.list", "{\"defined\":true}", "mdevs.0.attrs"),
			    "[{\"fake/fixed\":\"1\"}]");
	fixture_ok(f, "mdev.stop", JUST(A));
	free(fixture_log(f));
	fixture_ok(f, "mdev.start", JUST(A));
	expect_log(f, MADE("{\"fixed\":\"1\"}") KNOBS);
}

static void test_in_use(void **state)
{
	struct fixture *f = *state;

	mdev_find_active(f->broker, A)->in_use = true;
	fixture_fails(f, ERROR_DEVICE_BUSY, "mdev.set", SET("fixed", "2"));
	fixture_fails(f, ERROR_DEVICE_BUSY, "mdev.set", SET("mdev/socket_mode", "0666"));
	expect_log(f, "");
	mdev_find_active(f->broker, A)->in_use = false;
	/* What the host knows and we do not yet counts as well. */
	fixture_script(f, "remove=busy");
	fixture_fails(f, ERROR_DEVICE_BUSY, "mdev.set", SET("fixed", "2"));
	expect_log(f, "remove " A "\n");
	expect_state(f, "active");
	expect_attrs(f, "[{\"fake/fixed\":\"1\"}]");
	assert_true(fixture_exists(f, SOCK(A)));
	fixture_script(f, "");
	fixture_ok(f, "mdev.set", SET("fixed", "2"));
	expect_b(f);
}

/* The driver refuses: it is made as it was, and the error is the driver's. */
static void test_refused(void **state)
{
	struct fixture *f = *state;

	fixture_script(f, "refuse-create=\"2\"");
	fixture_fails(f, ERROR_DRIVER_FAILED, "mdev.set", SET("fixed", "2"));
	assert_non_null(strstr(f->err.message, "not with \"2\""));
	expect_log(f, "remove " A "\ncreate " A
		      " origin 0 page empty piece [0,100] attrs {\"fixed\":\"2\"}\n" MADE(
			      "{\"fixed\":\"1\"}") KNOBS);
	expect_state(f, "active");
	expect_attrs(f, "[{\"fake/fixed\":\"1\"}]");
	assert_true(fixture_exists(f, SOCK(A)));
	assert_int_equal(count_events(f, "mdev.modified"), 0);
	expect_b(f);
	fixture_script(f, "");
	fixture_ok(f, "mdev.set", SET("fixed", "2"));
	expect_attrs(f, "[{\"fake/fixed\":\"2\"}]");
}

/* What is sent to whom, and whether the event was there before the answer. */
struct witness {
	struct fixture *f;
	int stopped_at_answer;
	bool answered;
};

static void witness_done(struct api_call *call, json_t *result, const struct umdev_error *err)
{
	struct witness *w = call->arg;

	assert_null(result);
	assert_int_equal(err->word, ERROR_DRIVER_FAILED);
	w->stopped_at_answer = count_events(w->f, "mdev.stopped");
	w->answered = true;
}

/* It refuses what it was, too: the device is gone, in order, before anybody is told. */
static void test_refused_both(void **state)
{
	struct fixture *f = *state;
	json_t *params = json_loads(SET("fixed", "2"), 0, NULL);
	struct witness w = {.f = f};
	uint64_t deadline = clock_now_ns() + 10 * NS_PER_S;
	struct api_call *call = api_call_new(f->broker, params, witness_done, &w);

	json_decref(params);
	fixture_script(f, "create=error");
	rpc_mdev_set(call);
	while (!w.answered) {
		assert_true(clock_now_ns() < deadline);
		assert_int_equal(reactor_turn(f->reactor, 20 * NS_PER_MS), 0);
	}
	assert_int_equal(w.stopped_at_answer, 1);
	assert_string_equal(fixture_get(f, "mdev.list", JUST(A), "mdevs"), "[]");
	assert_false(fixture_exists(f, "run/umdev/mdevs/" A));
	assert_string_equal(fixture_get(f, "parent.list", "{}", "parents.0.pool.free"), "900");
	assert_string_equal(fixture_get(f, "mdev.list", JUST(B), "mdevs.0.state"), "active");
	/* Its piece was written and belongs to nobody now. */
	fixture_script(f, "");
	free(fixture_log(f));
	fixture_ok(f, "mdev.start", ON(A, "fake-s"));
	expect_log(f, "discard 0 100\n" MADE("{}") KNOBS);
}

static void test_refused_both_defined(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "mdev.define", JUST(A));
	fixture_script(f, "create=error:NO_SPACE");
	fixture_fails(f, ERROR_NO_SPACE, "mdev.set", SET("fixed", "2"));
	assert_non_null(strstr(f->err.message, "stopped"));
	assert_string_equal(fixture_get(f, "mdev.list", JUST(A), "mdevs"), "[]");
	assert_string_equal(fixture_get(f, "mdev.list", "{\"defined\":true}", "mdevs.0.state"),
			    "defined");
	assert_string_equal(fixture_get(f, "parent.list", "{}", "parents.0.pool.free"), "800");
	fixture_script(f, "");
	fixture_ok(f, "mdev.start", JUST(A));
	expect_b(f);
}

/* The host dies, or does not answer, at each step: A comes back on the next one, as it was. */
static void test_host_dies(void **state)
{
	static const char *const scripts[] = {
		"remove=die",	    "remove=hang",
		"die-create=\"2\"", "refuse-create=\"2\"\ndie-create=\"1\"",
		"create=hang",	    "create=die",
	};
	struct fixture *f = *state;

	f->broker->config.call_timeout_ns = NS_PER_S;
	f->broker->config.restart_probation_ns = 0; /* more deaths than it would bear */
	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		bool refused = strncmp(scripts[i], "refuse", 6) == 0;
		char *log;

		fixture_script(f, scripts[i]);
		fixture_fails(f, refused ? ERROR_DRIVER_FAILED : ERROR_HOST_FAILED, "mdev.set",
			      SET("fixed", "2"));
		/* Before the next host is there. */
		fixture_script(f, "");
		wait_back(f);
		expect_state(f, "active");
		expect_attrs(f, "[{\"fake/fixed\":\"1\"}]");
		assert_string_equal(fixture_get(f, "mdev.list", JUST(A), "mdevs.0.error"),
				    "(absent)");
		assert_true(fixture_exists(f, SOCK(A)));
		expect_b(f);
		/* What was taken down is not resumed, what was not is. */
		log = fixture_log(f);
		fixture_find(log, i < 2 ? "create " A " origin 1 page marked piece [0,100]"
					: "open flags {}\n" MADE("{\"fixed\":\"1\"}") KNOBS);
		free(log);
	}
	fixture_ok(f, "mdev.set", SET("fixed", "2"));
	expect_attrs(f, "[{\"fake/fixed\":\"2\"}]");
	assert_int_equal(count_events(f, "mdev.stopped"), 0);
}

/* Nobody else comes between. */
static void test_busy(void **state)
{
	static const char live[] =
		"{\"uuid\":\"" A "\",\"live\":true,\"definition\":{\"mdev_type\":"
		"\"fake-s\",\"start\":\"manual\",\"attrs\":[]}}";
	static const char *const steps[] = {"remove=hang", "create=hang"};
	struct fixture *f = *state;
	int live_done;

	f->broker->config.call_timeout_ns = NS_PER_S;
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		int done;

		fixture_script(f, steps[i]);
		free(fixture_log(f));
		fixture_begin(f, "mdev.set", SET("fixed", "2"), &done);
		wait_log(f, i == 0 ? "remove scripted" : "create scripted", &done);
		fixture_fails(f, ERROR_DEVICE_BUSY, "mdev.start", ON(A, "fake-s"));
		fixture_fails(f, ERROR_DEVICE_BUSY, "mdev.stop", JUST(A));
		fixture_fails(f, ERROR_DEVICE_BUSY, "mdev.stop",
			      "{\"uuid\":\"" A "\",\"force\":true}");
		fixture_fails(f, ERROR_DEVICE_BUSY, "mdev.modify", live);
		fixture_fails(f, ERROR_DEVICE_BUSY, "mdev.set", SET("fixed", "3"));
		fixture_fails(f, ERROR_DEVICE_BUSY, "mdev.set", SET("color", "green"));
		fixture_fails(f, ERROR_DEVICE_BUSY, "mdev.set", SET("mdev/weight", "7"));
		fixture_fails(f, ERROR_DEVICE_BUSY, "mdev.qos",
			      "{\"uuid\":\"" A "\",\"weight\":7}");
		fixture_fails(f, ERROR_DEVICE_BUSY, "parent.remove", "{\"name\":\"p\"}");
		/* It is an active mdev all the time. */
		assert_string_equal(fixture_get(f, "mdev.list",
						"{\"uuid\":\"" A "\",\"statistics\":false}",
						"mdevs.0.active"),
				    "true");
		fixture_script(f, "");
		fixture_wait(f, &done);
		assert_int_equal(done, -1);
		wait_back(f);
		expect_attrs(f, "[{\"fake/fixed\":\"1\"}]");
	}
	/* And while live attributes are being changed, none that asks for it to be made anew. */
	fixture_script(f, "attr=hang");
	fixture_begin(f, "mdev.set", SET("color", "green"), &live_done);
	wait_log(f, "attr scripted", &live_done);
	fixture_fails(f, ERROR_DEVICE_BUSY, "mdev.set", SET("fixed", "2"));
	fixture_fails(f, ERROR_DEVICE_BUSY, "mdev.stop", JUST(A));
	fixture_script(f, "");
	fixture_wait(f, &live_done);
	assert_int_equal(live_done, -1);
	wait_back(f);
}

/* Its parent is removed by force at each step: the call is answered, nothing is left. */
static void test_parent_removed(void **state)
{
	static const char *const steps[] = {"remove=hang", "create=hang", "",
					    "refuse-create=\"2\""};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		int done;

		fixture_script(f, steps[i]);
		fixture_begin(f, "mdev.set", SET("fixed", "2"), &done);
		for (size_t turn = 0; turn < i; turn++)
			assert_int_equal(reactor_turn(f->reactor, 5 * NS_PER_MS), 0);
		fixture_ok(f, "parent.remove", "{\"name\":\"p\",\"force\":true}");
		assert_int_not_equal(done, 0);
		assert_string_equal(fixture_get(f, "mdev.list", "{\"all\":true}", "mdevs"), "[]");
		assert_false(fixture_exists(f, "run/umdev/mdevs/" A));
		fixture_script(f, "");
		fixture_ok(f, "parent.add", "{\"name\":\"p\",\"driver\":\"fake\"}");
		fixture_ok(f, "mdev.start",
			   "{\"uuid\":\"" A "\",\"parent\":\"p\",\"type\":\"fake-s\",\"attrs\":"
			   "[{\"fixed\":\"1\"}]}");
	}
}

/* The daemon ends in the middle. */
static void test_daemon_ends(void **state)
{
	struct fixture *f = *state;
	int done;

	fixture_script(f, "create=hang");
	fixture_begin(f, "mdev.set", SET("fixed", "2"), &done);
	assert_int_equal(reactor_turn(f->reactor, 20 * NS_PER_MS), 0);
	fixture_stop(f);
	assert_int_equal(done, -1);
	fixture_script(f, "");
	fixture_start(f);
	assert_false(fixture_exists(f, "run/umdev/mdevs/" A));
}

/* ---- Numbers of IOMMU groups ----------------------------------------------------------------- */

static void expect_group(struct fixture *f, const char *params, const char *number)
{
	assert_string_equal(fixture_get(f, "mdev.list", params, "mdevs.0.iommu_group"), number);
}

/* The lowest that is free, of one mdev alone, and its own as long as it is active. */
static void test_groups(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "mdev.define", ON(C, "fake-s"));
	expect_group(f, JUST(A), "1");
	expect_group(f, JUST(B), "2");
	expect_group(f, "{\"defined\":true,\"uuid\":\"" C "\"}", "(absent)");
	assert_string_equal(fixture_get(f, "mdev.start", JUST(C), "iommu_group"), "3");
	fixture_ok(f, "mdev.stop", JUST(B));
	expect_group(f, JUST(A), "1");
	expect_group(f, JUST(C), "3");
	/* Across parents. */
	fixture_ok(f, "parent.add", "{\"name\":\"q\",\"driver\":\"fake\"}");
	assert_string_equal(fixture_get(f, "mdev.start",
					"{\"uuid\":\"" D "\",\"parent\":\"q\",\"type\":\"fake-s\"}",
					"iommu_group"),
			    "2");
	assert_string_equal(fixture_get(f, "mdev.start", ON(B, "fake-s"), "iommu_group"), "4");
	/* Through a failed start, a change, and the death of a host. */
	fixture_ok(f, "mdev.stop", JUST(A));
	fixture_script(f, "create=error");
	fixture_fails(f, ERROR_DRIVER_FAILED, "mdev.start", ON(A, "fake-s"));
	fixture_script(f, "");
	assert_string_equal(fixture_get(f, "mdev.start", ON(A, "fake-s"), "iommu_group"), "1");
	fixture_ok(f, "mdev.set", SET("fixed", "5"));
	expect_group(f, JUST(A), "1");
	fixture_script(f, "attr=die");
	fixture_fails(f, ERROR_HOST_FAILED, "mdev.set", SET("color", "green"));
	fixture_script(f, "");
	fixture_until(f, "mdev.list", "mdevs.0.statistics.things", "7");
	expect_group(f, JUST(A), "1");
	expect_group(f, JUST(B), "4");
	expect_group(f, JUST(D), "2");
}

static void test_many_groups(void **state)
{
	struct fixture *f = *state;
	unsigned seen = 0;

	/* Eight more: 1..10 are taken then, each once. */
	for (int i = 0; i < 8; i++)
		fixture_ok(f, "mdev.start", "{\"parent\":\"p\",\"type\":\"fake-s\"}");
	for (int i = 0; i < 10; i++) {
		char path[32];
		unsigned long number;

		snprintf(path, sizeof(path), "mdevs.%d.iommu_group", i);
		number = strtoul(fixture_get(f, "mdev.list", "{}", path), NULL, 10);
		assert_true(number >= 1 && number <= 10);
		assert_int_equal(seen & 1u << number, 0);
		seen |= 1u << number;
	}
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_live),	   WITH(test_same_value),
		WITH(test_refusals),	   WITH(test_owner),
		WITH(test_remake),	   WITH(test_definition_stays),
		WITH(test_in_use),	   WITH(test_refused),
		WITH(test_refused_both),   WITH(test_refused_both_defined),
		WITH(test_host_dies),	   WITH(test_busy),
		WITH(test_parent_removed), WITH(test_daemon_ends),
		WITH(test_groups),	   WITH(test_many_groups),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
