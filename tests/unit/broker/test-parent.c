/* SPDX-License-Identifier: BSD-3-Clause */
/* Parents: what may go wrong while one is added leaves nothing, and what becomes of one whose host
 * dies. */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/parent.h"
#include "util/clock.h"

#define ADD	"{\"name\":\"p\",\"driver\":\"fake\"}"
#define CONFIG	"etc/umdev/parents.d/p.json"
#define UUID	"83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
#define START_S "{\"uuid\":\"" UUID "\",\"parent\":\"p\",\"type\":\"fake-s\"}"

/* Nothing of a parent may be there. */
static void expect_nothing(struct fixture *f)
{
	assert_string_equal(fixture_get(f, "parent.list", "{}", "parents"), "[]");
	assert_false(fixture_exists(f, CONFIG));
	assert_false(fixture_exists(f, "etc/umdev/parents.d/p.map"));
}

/* Adds p on f->dir/name with more options. */
static const char *add_path(const struct fixture *f, const char *name, const char *more)
{
	static char text[512];

	snprintf(text, sizeof(text),
		 "{\"name\":\"p\",\"driver\":\"fake\",\"options\":{\"path\":\"%s/%s\"%s}}", f->dir,
		 name, more);
	return text;
}

static void make_file(const struct fixture *f, const char *name, off_t size, mode_t mode)
{
	char path[160];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static bool file_exists(const struct fixture *f, const char *name)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	return access(path, F_OK) == 0;
}

static void test_names(void **state)
{
	struct fixture *f = *state;

	fixture_fails(f, ERROR_UNKNOWN_DRIVER, "parent.add",
		      "{\"name\":\"p\",\"driver\":\"nosuch\"}");
	assert_non_null(strstr(f->err.message, "fake"));
	fixture_fails(f, ERROR_UNKNOWN_DRIVER, "parent.add",
		      "{\"name\":\"p\",\"driver\":\"../fake\"}");
	fixture_fails(f, ERROR_INVALID, "parent.add", "{\"name\":\"../p\",\"driver\":\"fake\"}");
	assert_string_equal(f->err.key, "name");
	fixture_fails(f, ERROR_NOT_FOUND, "parent.remove", "{\"name\":\"p\"}");
	fixture_fails(f, ERROR_NOT_FOUND, "parent.list", "{\"name\":\"p\"}");
	fixture_fails(f, ERROR_NOT_FOUND, "type.list", "{\"parent\":\"p\"}");
	expect_nothing(f);
}

static void test_options(void **state)
{
	struct fixture *f = *state;

	fixture_fails(f, ERROR_INVALID, "parent.add",
		      "{\"name\":\"p\",\"driver\":\"fake\",\"options\":{\"colour\":\"1\"}}");
	assert_string_equal(f->err.key, "colour");
	assert_non_null(strstr(f->err.message, "path, size, ram"));
	fixture_fails(f, ERROR_INVALID, "parent.add",
		      "{\"name\":\"p\",\"driver\":\"fake\",\"options\":{\"size\":\"much\"}}");
	assert_string_equal(f->err.key, "size");
	fixture_fails(f, ERROR_INVALID, "parent.add",
		      "{\"name\":\"p\",\"driver\":\"fake\",\"options\":{\"ram\":\"0\"}}");
	assert_string_equal(f->err.key, "ram");
	fixture_fails(f, ERROR_INVALID, "parent.add",
		      "{\"name\":\"p\",\"driver\":\"fake\",\"options\":{\"path\":\"x.img\"}}");
	assert_string_equal(f->err.key, "path");
	expect_nothing(f);
}

static void test_backing(void **state)
{
	struct fixture *f = *state;

	fixture_fails(f, ERROR_NOT_FOUND, "parent.add", add_path(f, "none", ""));
	assert_non_null(strstr(f->err.message, "size="));
	fixture_fails(f, ERROR_NOT_FOUND, "parent.add",
		      add_path(f, "none/none", ",\"size\":\"1000\""));
	make_file(f, "empty", 0, 0644);
	fixture_fails(f, ERROR_INVALID, "parent.add", add_path(f, "empty", ""));
	make_file(f, "small", 500, 0644);
	fixture_fails(f, ERROR_INVALID, "parent.add", add_path(f, "small", ",\"size\":\"1000\""));
	assert_string_equal(f->err.key, "size");
	make_file(f, "marked", 1000, 0444);
	fixture_fails(f, ERROR_READ_ONLY, "parent.add", add_path(f, "marked", ""));
	fixture_fails(f, ERROR_INVALID, "parent.add", add_path(f, "", ""));
	assert_non_null(strstr(f->err.message, "directory"));
	expect_nothing(f);
}

static void test_locked(void **state)
{
	struct fixture *f = *state;
	char path[160];
	int fd;

	make_file(f, "disk", 1000, 0644);
	snprintf(path, sizeof(path), "%s/disk", f->dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_SH), 0);
	fixture_fails(f, ERROR_LOCKED, "parent.add", add_path(f, "disk", ""));
	expect_nothing(f);
	close(fd);
	fixture_ok(f, "parent.add", add_path(f, "disk", ""));
	snprintf(path, sizeof(path),
		 "{\"name\":\"q\",\"driver\":\"fake\",\"options\":{\"path\":\"%s/disk\"}}", f->dir);
	fixture_fails(f, ERROR_LOCKED, "parent.add", path);
	fixture_ok(f, "parent.remove", "{\"name\":\"p\"}");
	fixture_ok(f, "parent.add", path);
}

/* A hello that is none, in every way there is. */
static void test_bad_hello(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *script;
		enum error_word word;
	} bad[] = {
		{"hello=die", ERROR_HOST_FAILED},
		{"hello=failed", ERROR_UNKNOWN_DRIVER},
		{"hello=twice", ERROR_HOST_FAILED},
		{"hello=bad-name", ERROR_DRIVER_FAILED},
		{"hello=no-page", ERROR_DRIVER_FAILED},
		{"hello=huge-page", ERROR_DRIVER_FAILED},
		{"hello=bad-options", ERROR_DRIVER_FAILED},
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		fixture_script(f, bad[i].script);
		fixture_fails(f, bad[i].word, "parent.add", ADD);
		expect_nothing(f);
	}
	fixture_script(f, "");
	fixture_ok(f, "parent.add", ADD);
}

static void test_slow_hello(void **state)
{
	struct fixture *f = *state;
	uint64_t begin = clock_now_ns();

	f->broker->config.call_timeout_ns = 200 * NS_PER_MS;
	fixture_script(f, "hello=none");
	fixture_fails(f, ERROR_HOST_FAILED, "parent.add", ADD);
	assert_non_null(strstr(f->err.message, "in time"));
	assert_true(clock_now_ns() - begin >= 200 * NS_PER_MS);
	assert_true(clock_now_ns() - begin < 2 * NS_PER_S);
	expect_nothing(f);
}

/* Whatever happens in open, the file that was made for it is gone again. */
static void test_bad_open(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *script;
		enum error_word word;
	} bad[] = {
		{"open=die", ERROR_HOST_FAILED},	 {"open=error:READ_ONLY", ERROR_READ_ONLY},
		{"open=bad-types", ERROR_DRIVER_FAILED}, {"open=no-pool", ERROR_DRIVER_FAILED},
		{"units=0", ERROR_DRIVER_FAILED},	 {"open=hang", ERROR_HOST_FAILED},
	};

	f->broker->config.call_timeout_ns = 500 * NS_PER_MS;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		fixture_script(f, bad[i].script);
		fixture_fails(f, bad[i].word, "parent.add",
			      add_path(f, "new", ",\"size\":\"1000\""));
		assert_false(file_exists(f, "new"));
		expect_nothing(f);
	}
	/* A file that was there stays. */
	make_file(f, "old", 1000, 0644);
	fixture_script(f, "open=error");
	fixture_fails(f, ERROR_DRIVER_FAILED, "parent.add",
		      add_path(f, "old", ",\"size\":\"1000\""));
	assert_true(file_exists(f, "old"));
}

static void test_add_and_remove(void **state)
{
	struct fixture *f = *state;
	umdev_autofree char *log = NULL;
	umdev_autofree char *config = NULL;
	int done;

	fixture_begin(f, "parent.add", add_path(f, "new", ",\"size\":\"1K\""), &done);
	assert_int_equal(done, 0);
	assert_string_equal(fixture_get(f, "parent.list", "{}", "parents.0.state"), "starting");
	fixture_fails(f, ERROR_EXISTS, "parent.add", ADD);
	fixture_fails(f, ERROR_DEVICE_BUSY, "parent.remove", "{\"name\":\"p\"}");
	fixture_wait(f, &done);
	assert_int_equal(done, 1);
	assert_string_equal(fixture_get(f, "parent.list", "{}", "parents.0.state"), "ready");
	assert_string_equal(fixture_get(f, "parent.list", "{}", "parents.0.pool"),
			    "{\"units\":1024,\"free\":1024,\"unit\":\"bytes\"}");
	assert_string_equal(fixture_get(f, "type.list", "{}", "types.0.id"), "fake-m");
	assert_string_equal(fixture_get(f, "type.list", "{}", "types.0.available_instances"), "4");
	assert_string_equal(fixture_get(f, "type.list", "{}", "types.1.attributes.capacity"),
			    "1020");
	config = fixture_read(f, CONFIG);
	assert_non_null(strstr(config, "\"driver\": \"fake\""));
	log = fixture_log(f);
	fixture_find(log, "open flags {\"path\":2}"); /* created */
	assert_null(strstr(log, "inherited"));
	fixture_ok(f, "parent.remove", "{\"name\":\"p\"}");
	expect_nothing(f);
	assert_true(file_exists(f, "new")); /* the data are the operator's */
}

/* A parent that was configured is there again; its file is not made anew when it is lost. */
static void test_daemon_restart(void **state)
{
	struct fixture *f = *state;
	umdev_autofree char *log = NULL;
	char path[160];

	fixture_ok(f, "parent.add", add_path(f, "disk", ",\"size\":\"1000\""));
	fixture_stop(f);
	assert_false(fixture_exists(f, "run/umdev/mdevs/" UUID));
	fixture_start(f);
	assert_string_equal(fixture_get(f, "parent.list", "{}", "parents.0.state"), "ready");
	log = fixture_log(f);
	fixture_find(log, "open flags {\"path\":0}"); /* not created this time */
	fixture_stop(f);
	snprintf(path, sizeof(path), "%s/disk", f->dir);
	assert_int_equal(unlink(path), 0);
	fixture_start(f);
	assert_string_equal(fixture_get(f, "parent.list", "{}", "parents.0.state"), "failed");
	assert_non_null(strstr(fixture_get(f, "parent.list", "{}", "parents.0.error"), "disk"));
	assert_false(file_exists(f, "disk"));
	fixture_fails(f, ERROR_NO_PARENT, "mdev.start", START_S);
	fixture_ok(f, "parent.remove", "{\"name\":\"p\"}");
	expect_nothing(f);
}

/* The hosts of a daemon that died hold the lock for a moment. */
static void test_lock_of_the_dying(void **state)
{
	struct fixture *f = *state;
	char path[160];
	pid_t holder;
	int ready[2];

	fixture_ok(f, "parent.add", add_path(f, "disk", ",\"size\":\"1000\""));
	fixture_stop(f);
	snprintf(path, sizeof(path), "%s/disk", f->dir);
	assert_int_equal(pipe(ready), 0);
	holder = fork();
	if (holder == 0) {
		int fd = open(path, O_RDWR | O_CLOEXEC);

		if (fork() != 0)
			_exit(0); /* not a child of the test */
		flock(fd, LOCK_EX);
		(void)!write(ready[1], "x", 1);
		usleep(300000);
		_exit(0);
	}
	assert_int_equal(waitpid(holder, NULL, 0), holder);
	assert_int_equal(read(ready[0], path, 1), 1);
	close(ready[0]);
	close(ready[1]);
	fixture_start(f);
	assert_string_equal(fixture_get(f, "parent.list", "{}", "parents.0.state"), "ready");
}

static void test_one_daemon(void **state)
{
	struct fixture *f = *state;
	struct broker *other = NULL;
	struct umdev_error err = {0};

	assert_true(broker_new(&f->config, f->reactor, &other, &err) < 0);
	assert_int_equal(err.word, ERROR_LOCKED);
	assert_null(other);
}

static void test_bad_configuration(void **state)
{
	struct fixture *f = *state;

	fixture_stop(f);
	fixture_write(f, "etc/umdev/parents.d/half.json", "{\"driver\": \"fa");
	fixture_write(f, "etc/umdev/parents.d/gone.json", "{\"driver\": \"gone\"}");
	fixture_write(f, "etc/umdev/parents.d/p.json", "{\"driver\": \"fake\"}");
	fixture_write(f, "etc/umdev/parents.d/p.json.new~", "{");
	fixture_write(f, "etc/umdev/parents.d/a b.json", "{\"driver\": \"fake\"}");
	fixture_start(f);
	assert_string_equal(fixture_get(f, "parent.list", "{\"name\":\"p\"}", "parents.0.state"),
			    "ready");
	assert_string_equal(fixture_get(f, "parent.list", "{\"name\":\"half\"}", "parents.0.state"),
			    "failed");
	assert_string_equal(fixture_get(f, "parent.list", "{\"name\":\"gone\"}", "parents.0.state"),
			    "failed");
	assert_string_equal(fixture_get(f, "parent.list", "{}", "parents.3"), "(absent)");
	assert_false(fixture_exists(f, "etc/umdev/parents.d/p.json.new~"));
	assert_true(fixture_exists(f, "etc/umdev/parents.d/half.json"));
	fixture_ok(f, "parent.remove", "{\"name\":\"half\"}");
	assert_false(fixture_exists(f, "etc/umdev/parents.d/half.json"));
}

/* One parent fits beside those that cannot be used, one more does not. */
static void test_parents_limit(void **state)
{
	struct fixture *f = *state;
	char path[64];

	fixture_stop(f);
	for (int i = 1; i < BROKER_PARENTS_MAX; i++) {
		snprintf(path, sizeof(path), "etc/umdev/parents.d/bad%d.json", i);
		fixture_write(f, path, "{");
	}
	fixture_start(f);
	fixture_ok(f, "parent.add", "{\"name\":\"p\",\"driver\":\"fake\"}");
	fixture_fails(f, ERROR_LIMIT, "parent.add", "{\"name\":\"q\",\"driver\":\"fake\"}");
	fixture_ok(f, "parent.remove", "{\"name\":\"bad1\"}");
	fixture_ok(f, "parent.add", "{\"name\":\"q\",\"driver\":\"fake\"}");
}

static pid_t host_of(struct fixture *f)
{
	return (pid_t)atoi(fixture_get(f, "parent.list", "{}", "parents.0.host.pid"));
}

static void kill_host(struct fixture *f)
{
	uint64_t since = f->broker->events.next;
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", (int)host_of(f));
	assert_int_equal(kill((pid_t)atoi(pid), SIGKILL), 0);
	fixture_wait_event(f, "host.died", since);
	json_t *events = events_list(&f->broker->events, since, NULL, 1);

	assert_non_null(strstr(
		json_string_value(json_object_get(json_array_get(events, 0), "message")), pid));
	json_decref(events);
}

/* An mdev comes back on the next host with what is in its page; memory of the parent stays. */
static void test_host_dies(void **state)
{
	struct fixture *f = *state;
	umdev_autofree char *log = NULL;
	umdev_autofree char *again = NULL;
	uint64_t since;

	fixture_ok(f, "parent.add",
		   "{\"name\":\"p\",\"driver\":\"fake\",\"options\":{\"ram\":\"1000\"}}");
	fixture_ok(f, "mdev.start", START_S);
	log = fixture_log(f);
	fixture_find(log, "open flags {\"ram\":2}");
	fixture_find(log, "create " UUID " origin 0 page empty piece [0,100] attrs {}");
	since = f->broker->events.next;
	kill_host(f);
	assert_string_equal(fixture_get(f, "parent.list", "{}", "parents.0.state"), "restarting");
	assert_string_equal(fixture_get(f, "mdev.list", "{}", "mdevs.0.state"), "active");
	fixture_fails(f, ERROR_NO_PARENT, "mdev.start", "{\"parent\":\"p\",\"type\":\"fake-s\"}");
	fixture_wait_event(f, "host.started", since);
	assert_string_equal(fixture_get(f, "parent.list", "{}", "parents.0.host.restarts"), "1");
	fixture_ok(f, "mdev.stop", "{\"uuid\":\"" UUID "\"}");
	again = fixture_log(f);
	fixture_find(again, "open flags {\"ram\":0}");
	fixture_find(again, "create " UUID " origin 1 page marked piece [0,100]");
	fixture_find(again, "remove " UUID);
}

/* Those with a client are given to the next host before those that nobody waits for. */
static void test_clients_first(void **state)
{
	static const int order[] = {3, 1, 2, 4};
	struct fixture *f = *state;
	umdev_autofree char *log = NULL;
	const char *at;
	uint64_t since;
	char params[128];

	fixture_ok(f, "parent.add", "{\"name\":\"p\",\"driver\":\"fake\"}");
	fixture_script(f, "event=client.connected");
	for (int i = 0; i < 4; i++) {
		snprintf(params, sizeof(params),
			 "{\"uuid\":\"83b8f4f2-509f-382f-3c1e-e6bfe0fa200%d\",\"parent\":\"p\","
			 "\"type\":\"fake-s\"}",
			 order[i]);
		since = f->broker->events.next;
		fixture_ok(f, "mdev.start", params);
		if (i == 0)
			fixture_wait_event(f, "client.connected", since);
		fixture_script(f, "");
	}
	free(fixture_log(f));
	since = f->broker->events.next;
	kill_host(f);
	fixture_wait_event(f, "host.started", since);
	fixture_ok(f, "mdev.stop", "{\"uuid\":\"83b8f4f2-509f-382f-3c1e-e6bfe0fa2004\"}");
	log = fixture_log(f);
	at = fixture_find(log, "create 83b8f4f2-509f-382f-3c1e-e6bfe0fa2003 origin 1");
	at = fixture_find(at, "create 83b8f4f2-509f-382f-3c1e-e6bfe0fa2001 origin 1");
	at = fixture_find(at, "create 83b8f4f2-509f-382f-3c1e-e6bfe0fa2002 origin 1");
	fixture_find(at, "create 83b8f4f2-509f-382f-3c1e-e6bfe0fa2004 origin 1");
}

/* A driver that does not resume gets an empty page. */
static void test_no_resume(void **state)
{
	struct fixture *f = *state;
	umdev_autofree char *log = NULL;
	uint64_t since;

	fixture_ok(f, "parent.add", ADD);
	fixture_ok(f, "mdev.start", START_S);
	free(fixture_log(f));
	fixture_script(f, "resume=refuse");
	since = f->broker->events.next;
	kill_host(f);
	fixture_wait_event(f, "driver", since);
	fixture_until(f, "mdev.list", "mdevs.0.statistics.things", "7");
	log = fixture_log(f);
	fixture_find(strchr(fixture_find(log, "origin 1 page marked"), '\n'),
		     "create " UUID " origin 0 page empty");
	fixture_ok(f, "mdev.stop", "{\"uuid\":\"" UUID "\"}");
}

/* Nor does one whose page has another size by now. */
static void test_page_of_another_size(void **state)
{
	struct fixture *f = *state;
	umdev_autofree char *log = NULL;

	fixture_ok(f, "parent.add", ADD);
	fixture_ok(f, "mdev.start", START_S);
	free(fixture_log(f));
	fixture_script(f, "page=8192");
	kill_host(f);
	fixture_until(f, "mdev.list", "mdevs.0.statistics.things", "7");
	log = fixture_log(f);
	assert_null(strstr(log, "origin 1"));
	fixture_find(log, "create " UUID " origin 0 page empty");
}

static void test_too_many_deaths(void **state)
{
	struct fixture *f = *state;
	char message[512];

	fixture_ok(f, "parent.add", ADD);
	fixture_ok(f, "mdev.start", START_S);
	fixture_script(f, "hello=die");
	kill_host(f);
	fixture_wait_event(f, "parent.failed", 1);
	assert_string_equal(fixture_get(f, "parent.list", "{}", "parents.0.state"), "failed");
	snprintf(message, sizeof(message), "%s",
		 fixture_get(f, "parent.list", "{}", "parents.0.error"));
	assert_non_null(strstr(message, "6 hosts in a row"));
	assert_string_equal(fixture_get(f, "mdev.list", "{}", "mdevs.0.state"), "failed");
	assert_string_equal(fixture_get(f, "mdev.list", "{}", "mdevs.0.error"), message);
	fixture_fails(f, ERROR_DEVICE_BUSY, "parent.remove", "{\"name\":\"p\"}");
	fixture_ok(f, "mdev.stop", "{\"uuid\":\"" UUID "\"}");
	assert_false(fixture_exists(f, "run/umdev/mdevs/" UUID));
	fixture_ok(f, "parent.remove", "{\"name\":\"p\"}");
}

/* A host that calls its refusal the death of a host is still there: nothing waits for another. */
static void test_pretended_death(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "parent.add", ADD);
	fixture_ok(f, "mdev.start", START_S);
	fixture_script(f, "create=error:HOST_FAILED");
	kill_host(f);
	fixture_wait_event(f, "host.started", 1);
	fixture_until(f, "mdev.list", "mdevs.0.state", "failed");
	fixture_ok(f, "mdev.stop", "{\"uuid\":\"" UUID "\"}");
}

/* A driver that offers something else after a restart would make mdevs into what they are not. */
static void test_other_pool_after_restart(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "parent.add", ADD);
	fixture_script(f, "units=2000");
	kill_host(f);
	fixture_wait_event(f, "parent.failed", 1);
	assert_non_null(
		strstr(fixture_get(f, "parent.list", "{}", "parents.0.error"), "another pool"));
}

static void test_remove_busy(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "parent.add", ADD);
	fixture_ok(f, "mdev.define", START_S);
	fixture_ok(f, "mdev.start", "{\"uuid\":\"" UUID "\"}");
	fixture_fails(f, ERROR_DEVICE_BUSY, "parent.remove", "{\"name\":\"p\"}");
	assert_true(fixture_exists(f, CONFIG));
	f->uid = 1001;
	fixture_fails(f, ERROR_NOT_PERMITTED, "parent.remove", "{\"name\":\"p\",\"force\":true}");
	f->uid = 0;
	fixture_ok(f, "parent.remove", "{\"name\":\"p\",\"force\":true}");
	assert_false(fixture_exists(f, CONFIG));
	assert_string_equal(fixture_get(f, "mdev.list", "{\"all\":true}", "mdevs.0.state"),
			    "defined");
	assert_false(fixture_exists(f, "run/umdev/mdevs/" UUID));
	/* The same parent again has the same piece for it. */
	fixture_ok(f, "parent.add", ADD);
	assert_string_equal(fixture_get(f, "parent.list", "{}", "parents.0.pool.free"), "900");
}

/* A file under another name: data of definitions are protected, other data are never handed on. */
static void test_file_of_another_parent(void **state)
{
	struct fixture *f = *state;
	umdev_autofree char *log = NULL;
	char other[256];

	snprintf(other, sizeof(other),
		 "{\"name\":\"q\",\"driver\":\"fake\",\"options\":{\"path\":\"%s/disk\"}}", f->dir);
	fixture_ok(f, "parent.add", add_path(f, "disk", ",\"size\":\"1000\""));
	fixture_ok(f, "mdev.define", START_S);
	fixture_ok(f, "mdev.start", "{\"uuid\":\"" UUID "\"}");
	fixture_ok(f, "parent.remove", "{\"name\":\"p\",\"force\":true}");
	fixture_fails(f, ERROR_EXISTS, "parent.add", other);
	assert_non_null(strstr(f->err.message, "under parent p"));
	fixture_ok(f, "mdev.undefine", "{\"uuid\":\"" UUID "\"}");
	fixture_ok(f, "parent.add", other);
	free(fixture_log(f));
	fixture_ok(f, "mdev.start", "{\"parent\":\"q\",\"type\":\"fake-m\"}");
	log = fixture_log(f);
	fixture_find(log, "discard 0 100\n");
	fixture_ok(f, "parent.remove", "{\"name\":\"q\",\"force\":true}");
	/* And back: nothing is believed of the time before. */
	free(log);
	fixture_ok(f, "parent.add", add_path(f, "disk", ""));
	free(fixture_log(f));
	fixture_ok(f, "mdev.start", "{\"parent\":\"p\",\"type\":\"fake-m\"}");
	log = fixture_log(f);
	fixture_find(log, "discard 0 250\n");
}

/* A parent's name with another file than before: what is known of either file is kept. */
static void test_other_file_of_a_name(void **state)
{
	struct fixture *f = *state;
	umdev_autofree char *log = NULL;
	char disk2[256];

	snprintf(disk2, sizeof(disk2),
		 "{\"name\":\"q\",\"driver\":\"fake\",\"options\":{\"path\":\"%s/disk2\","
		 "\"size\":\"1000\"}}",
		 f->dir);
	fixture_ok(f, "parent.add", add_path(f, "disk", ",\"size\":\"1000\""));
	fixture_ok(f, "mdev.start", START_S);
	fixture_ok(f, "parent.remove", "{\"name\":\"p\",\"force\":true}");
	fixture_ok(f, "parent.add", disk2);
	fixture_ok(f, "mdev.start", "{\"parent\":\"q\",\"type\":\"fake-m\"}");
	fixture_ok(f, "parent.remove", "{\"name\":\"q\",\"force\":true}");
	fixture_fails(f, ERROR_EXISTS, "parent.add", add_path(f, "disk2", ""));
	assert_non_null(strstr(f->err.message, "/disk "));
	/* Once the first is gone, what q knew of the second counts. */
	snprintf(disk2, sizeof(disk2), "%s/disk", f->dir);
	assert_int_equal(unlink(disk2), 0);
	fixture_ok(f, "parent.add", add_path(f, "disk2", ""));
	free(fixture_log(f));
	fixture_ok(f, "mdev.start", "{\"parent\":\"p\",\"type\":\"fake-m\"}");
	log = fixture_log(f);
	fixture_find(log, "discard 0 250\n");
}

/* What is undefined while its parent is away is as gone as otherwise. */
static void test_undefine_without_parent(void **state)
{
	struct fixture *f = *state;
	umdev_autofree char *log = NULL;

	fixture_ok(f, "parent.add", add_path(f, "disk", ",\"size\":\"1000\""));
	fixture_ok(f, "mdev.define", START_S);
	fixture_ok(f, "mdev.start", "{\"uuid\":\"" UUID "\"}");
	fixture_ok(f, "parent.remove", "{\"name\":\"p\",\"force\":true}");
	fixture_ok(f, "mdev.undefine", "{\"uuid\":\"" UUID "\"}");
	fixture_ok(f, "mdev.define", START_S);
	fixture_ok(f, "parent.add", add_path(f, "disk", ""));
	free(fixture_log(f));
	fixture_ok(f, "mdev.start", "{\"uuid\":\"" UUID "\"}");
	log = fixture_log(f);
	fixture_find(log, "discard 0 100\n");
}

/* What was in a file before it became a parent is the operator's. */
static void test_file_with_content(void **state)
{
	struct fixture *f = *state;
	umdev_autofree char *log = NULL;

	make_file(f, "image", 1000, 0644);
	fixture_ok(f, "parent.add", add_path(f, "image", ""));
	fixture_ok(f, "mdev.start", START_S);
	log = fixture_log(f);
	assert_null(strstr(log, "discard"));
}

/* A host that ignores the end of its link is killed. */
static void test_stubborn_host(void **state)
{
	struct fixture *f = *state;
	pid_t pid;

	f->broker->config.exit_timeout_ns = 200 * NS_PER_MS;
	fixture_ok(f, "parent.add", ADD);
	pid = host_of(f);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	fixture_ok(f, "parent.remove", "{\"name\":\"p\"}");
	assert_int_equal(kill(pid, 0), -1);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_names),
		WITH(test_options),
		WITH(test_backing),
		WITH(test_locked),
		WITH(test_bad_hello),
		WITH(test_slow_hello),
		WITH(test_bad_open),
		WITH(test_add_and_remove),
		WITH(test_daemon_restart),
		WITH(test_lock_of_the_dying),
		WITH(test_one_daemon),
		WITH(test_bad_configuration),
		WITH(test_host_dies),
		WITH(test_parents_limit),
		WITH(test_clients_first),
		WITH(test_no_resume),
		WITH(test_page_of_another_size),
		WITH(test_too_many_deaths),
		WITH(test_pretended_death),
		WITH(test_other_pool_after_restart),
		WITH(test_remove_busy),
		WITH(test_file_of_another_parent),
		WITH(test_other_file_of_a_name),
		WITH(test_undefine_without_parent),
		WITH(test_file_with_content),
		WITH(test_stubborn_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
