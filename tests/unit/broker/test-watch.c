/* SPDX-License-Identifier: BSD-3-Clause */
/* Definition files that others write, replace, break and remove while the broker runs. */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/mdev.h"
#include "util/clock.h"

#define A	"83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
#define B	"83b8f4f2-509f-382f-3c1e-e6bfe0fa1002"
#define MARKER	"83b8f4f2-509f-382f-3c1e-e6bfe0fa10ff"
#define DIR	"etc/umdev/mdevs.d"
#define FILE(u) DIR "/p/" u
#define ON(u)	"{\"uuid\":\"" u "\",\"parent\":\"p\",\"type\":\"fake-s\"}"
#define JUST(u) "{\"uuid\":\"" u "\"}"
#define OF(u)	"{\"uuid\":\"" u "\",\"defined\":true}"
#define SMALL	"{\n  \"mdev_type\": \"fake-s\",\n  \"start\": \"manual\",\n  \"attrs\": []\n}"
#define COLORED "{\"attrs\":[{\"color\":\"red\"}],\"start\":\"manual\",\"mdev_type\":\"fake-s\"}"
#define HALF	"{\"mdev_type\": \"fake-s\", \"sta"
#define WAIT_NS (10 * NS_PER_S)

static int setup(void **state)
{
	struct fixture *f;

	fixture_setup(state);
	f = *state;
	f->config.settle_timeout_ns = 100 * NS_PER_MS;
	f->broker->config.settle_timeout_ns = f->config.settle_timeout_ns;
	fixture_ok(f, "parent.add", "{\"name\":\"p\",\"driver\":\"fake\"}");
	return 0;
}

/* ---- Looking --------------------------------------------------------------------------------- */

/* Runs the loop until mdev.list with @params shows @expected at @path. */
static void until(struct fixture *f, const char *params, const char *path, const char *expected)
{
	uint64_t deadline = clock_now_ns() + WAIT_NS;
	const char *got;

	while (strcmp(got = fixture_get(f, "mdev.list", params, path), expected) != 0) {
		if (clock_now_ns() > deadline)
			fail_msg("%s of %s is %s, not %s", path, params, got, expected);
		assert_int_equal(reactor_turn(f->reactor, 20 * NS_PER_MS), 0);
	}
}

static size_t count(struct fixture *f, const char *name, const char *uuid)
{
	json_t *events = events_list(&f->broker->events, 1, uuid, EVENTS_KEPT);
	size_t found = 0;
	size_t i;
	json_t *e;

	json_array_foreach (events, i, e)
		found += strcmp(json_string_value(json_object_get(e, "event")), name) == 0;
	json_decref(events);
	return found;
}

/* Fails unless exactly so many events are known about @uuid: defined, modified, undefined, bad. */
static void expect_events(struct fixture *f, const char *uuid, const size_t counts[4])
{
	static const char *const names[] = {"mdev.defined", "mdev.modified", "mdev.undefined",
					    "definition.bad"};

	for (size_t i = 0; i < 4; i++) {
		if (count(f, names[i], uuid) != counts[i])
			fail_msg("%zu times %s, not %zu", count(f, names[i], uuid), names[i],
				 counts[i]);
	}
}

static void path_of(const struct fixture *f, const char *path, char full[512])
{
	snprintf(full, 512, "%s/%s", f->root, path);
}

static void make_dir(const struct fixture *f, const char *path)
{
	char full[512];

	path_of(f, path, full);
	if (mkdir(full, 0755) < 0)
		assert_int_equal(errno, EEXIST);
}

static void take_away(const struct fixture *f, const char *path)
{
	char full[512];

	path_of(f, path, full);
	assert_int_equal(remove(full), 0);
}

static void move(const struct fixture *f, const char *from, const char *to)
{
	char a[512];
	char b[512];

	path_of(f, from, a);
	path_of(f, to, b);
	assert_int_equal(rename(a, b), 0);
}

/* Runs until all that happened before was looked at, for the second time too. */
static void settle(struct fixture *f)
{
	make_dir(f, DIR "/marker");
	fixture_write(f, DIR "/marker/" MARKER, SMALL);
	until(f, OF(MARKER), "mdevs.0.state", "defined");
	take_away(f, DIR "/marker/" MARKER);
	until(f, OF(MARKER), "mdevs", "[]");
}

static void expect_free(struct fixture *f, const char *units)
{
	assert_string_equal(fixture_get(f, "parent.list", "{}", "parents.0.pool.free"), units);
}

/* ---- Files ----------------------------------------------------------------------------------- */

static void test_written(void **state)
{
	struct fixture *f = *state;

	make_dir(f, DIR "/p");
	fixture_write(f, FILE(A), SMALL);
	until(f, OF(A), "mdevs.0.type", "fake-s");
	settle(f);
	expect_events(f, A, (const size_t[]){1, 0, 0, 0});
	fixture_write(f, FILE(A), SMALL);
	settle(f);
	expect_events(f, A, (const size_t[]){1, 0, 0, 0});
	fixture_write(f, FILE(A), COLORED);
	until(f, OF(A), "mdevs.0.attrs", "[{\"color\":\"red\"}]");
	settle(f);
	expect_events(f, A, (const size_t[]){1, 1, 0, 0});
	fixture_write(f, DIR "/p/next", SMALL);
	move(f, DIR "/p/next", FILE(A));
	until(f, OF(A), "mdevs.0.attrs", "[]");
	assert_string_equal(fixture_get(f, "mdev.list", OF(A), "mdevs.0.defined"), "true");
	fixture_ok(f, "mdev.start", JUST(A));
}

static void test_our_own_writes(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "mdev.define", ON(A));
	settle(f);
	fixture_ok(f, "mdev.modify", "{\"uuid\":\"" A "\",\"start\":\"auto\"}");
	settle(f);
	fixture_ok(f, "mdev.undefine", JUST(A));
	settle(f);
	expect_events(f, A, (const size_t[]){1, 1, 1, 0});
	/* The directory goes and comes with its last and first file. */
	fixture_ok(f, "mdev.define", ON(A));
	fixture_ok(f, "mdev.undefine", JUST(A));
	fixture_ok(f, "mdev.define", ON(A));
	settle(f);
	expect_events(f, A, (const size_t[]){3, 1, 2, 0});
	fixture_write(f, FILE(A), COLORED);
	until(f, OF(A), "mdevs.0.attrs", "[{\"color\":\"red\"}]");
}

static void test_owner(void **state)
{
	struct fixture *f = *state;

	make_dir(f, DIR "/p");
	fixture_write(f, FILE(A), SMALL);
	until(f, OF(A), "mdevs.0.type", "fake-s");
	f->uid = 4711;
	fixture_fails(f, ERROR_NOT_PERMITTED, "mdev.undefine", JUST(A));
	fixture_write(f, FILE(A), "{\"mdev_type\":\"fake-s\",\"start\":\"manual\",\"uid\":4711}");
	until(f, OF(A), "mdevs.0.uid", "4711");
	fixture_ok(f, "mdev.undefine", JUST(A));
}

/* mdevctl drops our keys: whose it is, and what the type is called, stays so. */
static void test_keys_dropped(void **state)
{
	struct fixture *f = *state;
	char *file;

	f->uid = 4711;
	fixture_ok(f, "mdev.define",
		   "{\"uuid\":\"" A "\",\"parent\":\"p\",\"type\":\"fake-s\",\"owner\":\"vm 7\"}");
	fixture_write(f, FILE(A), COLORED);
	until(f, OF(A), "mdevs.0.attrs", "[{\"color\":\"red\"}]");
	assert_string_equal(fixture_get(f, "mdev.list", OF(A), "mdevs.0.uid"), "4711");
	assert_string_equal(fixture_get(f, "mdev.list", OF(A), "mdevs.0.owner"), "vm 7");
	assert_string_equal(fixture_get(f, "mdev.list", OF(A), "mdevs.0.type_name"), "fake small");
	settle(f);
	expect_events(f, A, (const size_t[]){1, 1, 0, 0}); /* once, however often it is looked at */
	f->uid = 4712;
	fixture_fails(f, ERROR_NOT_PERMITTED, "mdev.undefine", JUST(A));
	/* What the daemon writes next has them again. */
	f->uid = 4711;
	fixture_ok(f, "mdev.modify", "{\"uuid\":\"" A "\",\"start\":\"auto\"}");
	file = fixture_read(f, FILE(A));
	assert_non_null(strstr(file, "\"uid\": 4711"));
	assert_non_null(strstr(file, "\"owner\": \"vm 7\""));
	free(file);
	/* Another type is called otherwise. */
	fixture_write(f, FILE(A), "{\"mdev_type\":\"fake-m\",\"start\":\"manual\",\"attrs\":[]}");
	until(f, OF(A), "mdevs.0.type", "fake-m");
	assert_string_equal(fixture_get(f, "mdev.list", OF(A), "mdevs.0.type_name"), "fake medium");
	/* Who takes it away and writes another makes it. */
	fixture_ok(f, "mdev.undefine", JUST(A));
	make_dir(f, DIR "/p");
	fixture_write(f, FILE(A), SMALL);
	until(f, OF(A), "mdevs.0.uid", "0");
}

static void test_half_written(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "mdev.define", ON(A));
	fixture_ok(f, "mdev.define", ON(B));
	fixture_write(f, FILE(A), HALF);
	fixture_wait_event(f, "definition.bad", 1);
	assert_non_null(strstr(fixture_get(f, "mdev.list", OF(A), "mdevs.0.error"), "line 1"));
	assert_string_equal(fixture_get(f, "mdev.list", OF(B), "mdevs.0.error"), "(absent)");
	fixture_fails(f, ERROR_INVALID, "mdev.start", JUST(A));
	fixture_write(f, FILE(A), HALF);
	settle(f);
	expect_events(f, A, (const size_t[]){1, 0, 0, 1});
	expect_events(f, B, (const size_t[]){1, 0, 0, 0});
	fixture_write(f, FILE(A), SMALL);
	until(f, OF(A), "mdevs.0.error", "(absent)");
	settle(f);
	expect_events(f, A, (const size_t[]){1, 1, 0, 1});
	fixture_ok(f, "mdev.start", JUST(A));
}

static void test_written_in_two(void **state)
{
	struct fixture *f = *state;
	char full[512];
	int fd;

	make_dir(f, DIR "/p");
	path_of(f, FILE(A), full);
	fd = open(full, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	assert_int_equal(write(fd, SMALL, 20), 20);
	for (int i = 0; i < 5; i++)
		assert_int_equal(reactor_turn(f->reactor, NS_PER_MS), 0);
	assert_int_equal(write(fd, &SMALL[20], strlen(SMALL) - 20), strlen(SMALL) - 20);
	assert_int_equal(close(fd), 0);
	until(f, OF(A), "mdevs.0.type", "fake-s");
	settle(f);
	expect_events(f, A, (const size_t[]){1, 0, 0, 0});
}

static void test_unreadable_and_new(void **state)
{
	struct fixture *f = *state;

	make_dir(f, DIR "/p");
	make_dir(f, FILE(A));
	fixture_wait_event(f, "definition.bad", 1);
	take_away(f, FILE(A));
	until(f, OF(A), "mdevs", "[]");
	settle(f);
	expect_events(f, A, (const size_t[]){0, 0, 1, 1});
}

/* ---- Files that go --------------------------------------------------------------------------- */

static void test_gone(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "mdev.define", ON(A));
	fixture_ok(f, "mdev.start", JUST(A));
	fixture_ok(f, "mdev.stop", JUST(A));
	expect_free(f, "900");
	take_away(f, FILE(A));
	until(f, OF(A), "mdevs", "[]");
	expect_free(f, "1000");
	expect_events(f, A, (const size_t[]){1, 0, 1, 0});
	fixture_fails(f, ERROR_NOT_DEFINED, "mdev.start", JUST(A));
}

static void test_gone_for_a_moment(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "mdev.define", ON(A));
	fixture_ok(f, "mdev.start", JUST(A));
	fixture_ok(f, "mdev.stop", JUST(A));
	move(f, FILE(A), DIR "/p/backup~");
	for (int i = 0; i < 5; i++)
		assert_int_equal(reactor_turn(f->reactor, NS_PER_MS), 0);
	move(f, DIR "/p/backup~", FILE(A));
	settle(f);
	expect_free(f, "900"); /* its data is still there */
	expect_events(f, A, (const size_t[]){1, 0, 0, 0});
}

static void test_gone_while_active(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "mdev.define", ON(A));
	fixture_ok(f, "mdev.start", JUST(A));
	take_away(f, FILE(A));
	until(f, OF(A), "mdevs", "[]");
	assert_string_equal(fixture_get(f, "mdev.list", JUST(A), "mdevs.0.state"), "active");
	assert_string_equal(fixture_get(f, "mdev.list", JUST(A), "mdevs.0.defined"), "false");
	expect_free(f, "900");
	fixture_ok(f, "mdev.stop", JUST(A));
	expect_free(f, "1000");
	assert_string_equal(fixture_get(f, "mdev.list", "{\"all\":true}", "mdevs"), "[]");
}

static void test_gone_while_starting(void **state)
{
	struct fixture *f = *state;
	int done;

	fixture_ok(f, "mdev.define", ON(A));
	fixture_ok(f, "mdev.start", JUST(A));
	fixture_ok(f, "mdev.stop", JUST(A));
	f->broker->config.call_timeout_ns = NS_PER_S;
	fixture_script(f, "create=hang\n");
	fixture_begin(f, "mdev.start", JUST(A), &done);
	take_away(f, FILE(A));
	until(f, OF(A), "mdevs", "[]");
	assert_int_equal(done, 0);
	fixture_script(f, "");
	fixture_wait(f, &done);
	assert_int_equal(done, -1);
	expect_free(f, "1000");
	assert_string_equal(fixture_get(f, "mdev.list", "{\"all\":true}", "mdevs"), "[]");
}

/* ---- Requests that come before the events were looked at ---------------------------------------
 */

static void test_request_after_a_write(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "mdev.define", ON(B));
	fixture_write(f, FILE(A), COLORED);
	fixture_ok(f, "mdev.start", JUST(A));
	assert_string_equal(fixture_get(f, "mdev.list", JUST(A), "mdevs.0.attrs"),
			    "[{\"fake/color\":\"red\"}]");
	fixture_ok(f, "mdev.stop", JUST(A));
	fixture_write(f, FILE(A), "{\"mdev_type\":\"fake-m\",\"start\":\"auto\"}");
	fixture_fails(f, ERROR_TYPE_MISMATCH, "mdev.start", ON(A));
	fixture_write(f, FILE(A), SMALL);
	fixture_ok(f, "mdev.modify", "{\"uuid\":\"" A "\",\"start\":\"auto\"}");
	make_dir(f, DIR "/q");
	fixture_write(f, DIR "/q/" A, SMALL);
	fixture_fails(f, ERROR_INVALID, "mdev.start", JUST(A));
	assert_string_equal(f->err.key, "parent");
	settle(f);
	expect_events(f, A, (const size_t[]){2, 3, 0, 0});
}

static void test_request_after_a_removal(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "mdev.define", "{\"uuid\":\"" A "\",\"parent\":\"p\",\"type\":\"fake-m\"}");
	fixture_ok(f, "mdev.start", JUST(A));
	fixture_ok(f, "mdev.stop", JUST(A));
	take_away(f, FILE(A));
	/* Who only asks costs nobody a piece: the file may come back. */
	assert_string_equal(fixture_get(f, "mdev.list", OF(A), "mdevs.0.type"), "fake-m");
	expect_free(f, "750");
	fixture_fails(f, ERROR_NOT_DEFINED, "mdev.start", JUST(A));
	expect_free(f, "1000");
	fixture_ok(f, "mdev.start", ON(A));
	settle(f);
	expect_events(f, A, (const size_t[]){1, 0, 1, 0});
	assert_string_equal(fixture_get(f, "mdev.list", JUST(A), "mdevs.0.type"), "fake-s");
	/* What is being written anew is not taken for gone, nor for broken. */
	fixture_ok(f, "mdev.define", ON(B));
	fixture_write(f, FILE(B), HALF);
	fixture_ok(f, "mdev.start", JUST(B));
	fixture_write(f, FILE(B), COLORED);
	settle(f);
	expect_events(f, B, (const size_t[]){1, 1, 0, 0});
}

/* ---- Directories ----------------------------------------------------------------------------- */

static void test_directories(void **state)
{
	struct fixture *f = *state;

	make_dir(f, DIR "/q");
	fixture_write(f, DIR "/q/" A, SMALL);
	until(f, OF(A), "mdevs.0.parent", "q");
	move(f, DIR "/q", DIR "/r");
	until(f, OF(A), "mdevs.0.parent", "r");
	until(f, "{\"parent\":\"q\",\"defined\":true}", "mdevs", "[]");
	fixture_write(f, DIR "/r/" B, SMALL);
	until(f, OF(B), "mdevs.0.parent", "r");
	take_away(f, DIR "/r/" A);
	take_away(f, DIR "/r/" B);
	take_away(f, DIR "/r");
	make_dir(f, DIR "/r");
	fixture_write(f, DIR "/r/" B, SMALL);
	until(f, OF(A), "mdevs", "[]");
	until(f, OF(B), "mdevs.0.parent", "r");
	fixture_write(f, DIR "/r/" B, COLORED);
	until(f, OF(B), "mdevs.0.attrs", "[{\"color\":\"red\"}]");
}

static void test_two_names(void **state)
{
	struct fixture *f = *state;
	char full[512];

	make_dir(f, DIR "/p");
	path_of(f, DIR "/link", full);
	assert_int_equal(symlink("p", full), 0);
	path_of(f, DIR "/loop", full);
	assert_int_equal(symlink(".", full), 0);
	fixture_write(f, FILE(A), SMALL);
	until(f, OF(A), "mdevs.1.parent", "p");
	assert_string_equal(fixture_get(f, "mdev.list", OF(A), "mdevs.0.parent"), "link");
	take_away(f, DIR "/link");
	until(f, OF(A), "mdevs.0.parent", "p");
	fixture_write(f, FILE(B), SMALL);
	until(f, OF(B), "mdevs.0.parent", "p");
}

static void test_scripts(void **state)
{
	struct fixture *f = *state;

	make_dir(f, DIR "/scripts.d");
	make_dir(f, DIR "/scripts.d/callouts");
	fixture_write(f, DIR "/scripts.d/" A, SMALL);
	fixture_write(f, DIR "/scripts.d/README", "x");
	settle(f);
	assert_string_equal(fixture_get(f, "mdev.list", "{\"all\":true}", "mdevs"), "[]");
	fixture_fails(f, ERROR_INVALID, "parent.add",
		      "{\"name\":\"scripts.d\",\"driver\":\"fake\"}");
	fixture_stop(f);
	fixture_start(f);
	assert_int_equal(count(f, "definition.bad", NULL), 0);
	assert_string_equal(fixture_get(f, "mdev.list", "{\"all\":true}", "mdevs"), "[]");
}

static void test_names(void **state)
{
	struct fixture *f = *state;

	make_dir(f, DIR "/p");
	settle(f);
	fixture_write(f, DIR "/p/." A ".swp", SMALL);
	fixture_write(f, FILE(A) "~", SMALL);
	fixture_write(f, FILE(A) ".new~", SMALL);
	fixture_write(f, DIR "/" A, SMALL);
	settle(f);
	assert_int_equal(count(f, "definition.bad", NULL), 0);
	assert_true(fixture_exists(f, FILE(A) ".new~"));
	fixture_write(f, DIR "/p/83B8F4F2-509f-382f-3c1e-e6bfe0fa1001", SMALL);
	fixture_write(f, DIR "/p/notes", SMALL);
	settle(f);
	assert_int_equal(count(f, "definition.bad", NULL), 2);
	assert_string_equal(fixture_get(f, "mdev.list", "{\"all\":true}", "mdevs"), "[]");
}

static void test_limit(void **state)
{
	struct fixture *f = *state;
	char path[128];

	settle(f); /* one directory */
	for (int i = 2; i <= BROKER_PARENTS_MAX; i++) {
		snprintf(path, sizeof(path), DIR "/d%d", i);
		make_dir(f, path);
	}
	settle(f);
	assert_int_equal(count(f, "definition.unwatched", NULL), 0);
	snprintf(path, sizeof(path), DIR "/d%d/" A, BROKER_PARENTS_MAX);
	fixture_write(f, path, SMALL);
	until(f, OF(A), "mdevs.0.type", "fake-s");
	make_dir(f, DIR "/over");
	make_dir(f, DIR "/more");
	fixture_wait_event(f, "definition.unwatched", 1);
	fixture_write(f, DIR "/over/" B, SMALL);
	settle(f);
	assert_int_equal(count(f, "definition.unwatched", NULL), 1);
	assert_string_equal(fixture_get(f, "mdev.list", OF(B), "mdevs"), "[]");
	fixture_stop(f);
	fixture_start(f);
	assert_string_equal(fixture_get(f, "mdev.list", OF(B), "mdevs.0.type"), "fake-s");
}

/* How many events the kernel keeps. */
static unsigned long event_limit(void)
{
	int fd = open("/proc/sys/fs/inotify/max_queued_events", O_RDONLY | O_CLOEXEC);
	char number[32] = "";

	assert_true(fd >= 0);
	assert_true(read(fd, number, sizeof(number) - 1) > 0);
	close(fd);
	return strtoul(number, NULL, 10);
}

static void test_lost_events(void **state)
{
	struct fixture *f = *state;
	unsigned long limit = event_limit();
	char paths[2][512];

	fixture_ok(f, "mdev.define", ON(A));
	make_dir(f, DIR "/q");
	settle(f);
	path_of(f, DIR "/p/one~", paths[0]);
	path_of(f, DIR "/p/two~", paths[1]);
	for (unsigned long i = 0; i < limit + 16; i++) {
		int fd = open(paths[i % 2], O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

		assert_true(fd >= 0);
		close(fd);
	}
	take_away(f, FILE(A));
	fixture_write(f, DIR "/q/" A, COLORED);
	make_dir(f, DIR "/late");
	fixture_write(f, DIR "/late/" B, SMALL);
	until(f, OF(A), "mdevs.0.parent", "q");
	until(f, OF(B), "mdevs.0.parent", "late");
	until(f, "{\"parent\":\"p\",\"defined\":true}", "mdevs", "[]");
	fixture_write(f, DIR "/late/" B, COLORED);
	until(f, OF(B), "mdevs.0.attrs", "[{\"color\":\"red\"}]");
}

static void test_directory_gone(void **state)
{
	struct fixture *f = *state;

	move(f, DIR, "etc/umdev/elsewhere");
	take_away(f, "etc/umdev/elsewhere");
	fixture_wait_event(f, "definition.unwatched", 1);
	fixture_ok(f, "mdev.define", ON(A));
	fixture_ok(f, "mdev.start", JUST(A));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_written, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_our_own_writes, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_owner, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_keys_dropped, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_half_written, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_written_in_two, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_unreadable_and_new, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_gone, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_gone_for_a_moment, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_gone_while_active, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_gone_while_starting, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_request_after_a_write, setup,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(test_request_after_a_removal, setup,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(test_directories, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_two_names, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_scripts, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_names, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_limit, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_lost_events, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_directory_gone, setup, fixture_teardown),
	};

	return cmocka_run_group_tests_name("broker watch", tests, NULL, NULL);
}
