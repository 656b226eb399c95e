/* SPDX-License-Identifier: BSD-3-Clause */
/* See fixture.h. */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rpc/methods.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/log.h"

#define WAIT_NS (10 * NS_PER_S)

static char fixture_text[512];

static void fixture_booted(struct broker *broker)
{
	((struct fixture *)broker->booted_data)->booted = true;
}

static void fixture_ended(struct broker *broker)
{
	((struct fixture *)broker->booted_data)->ended = true;
}

static void fixture_turn(struct fixture *f, uint64_t deadline)
{
	assert_true(clock_now_ns() < deadline);
	assert_int_equal(reactor_turn(f->reactor, 20 * NS_PER_MS), 0);
}

void fixture_start(struct fixture *f)
{
	struct umdev_error err = {0};
	uint64_t deadline = clock_now_ns() + WAIT_NS;

	f->booted = false;
	f->ended = false;
	if (broker_new(&f->config, f->reactor, &f->broker, &err) < 0)
		fail_msg("%s", err.message);
	f->broker->booted = fixture_booted;
	f->broker->booted_data = f;
	f->broker->ended = fixture_ended;
	assert_int_equal(broker_boot(f->broker, &err), 0);
	while (!f->booted)
		fixture_turn(f, deadline);
}

void fixture_stop(struct fixture *f)
{
	uint64_t deadline = clock_now_ns() + WAIT_NS;

	broker_shutdown(f->broker);
	while (!f->ended)
		fixture_turn(f, deadline);
	fixture_kill(f);
}

void fixture_leave(struct fixture *f)
{
	broker_leave(f->broker);
	f->broker = NULL;
}

/* In the child: a broker that is killed once @line is in the log. Does not return. */
static void fixture_live_and_die(struct fixture *f, void (*live)(struct fixture *f),
				 const char *line)
{
	uint64_t deadline = clock_now_ns() + WAIT_NS;
	bool found = !line;

	f->reactor = reactor_new();
	fixture_start(f);
	live(f);
	while (!found) {
		char *log = fixture_log(f);

		found = strstr(log, line);
		free(log);
		if (!found)
			fixture_turn(f, deadline);
	}
	kill(getpid(), SIGKILL);
}

void fixture_broker_dies(struct fixture *f, void (*live)(struct fixture *f), const char *line)
{
	int status = 0;
	pid_t pid;

	if (f->broker)
		fixture_stop(f);
	/* Its hosts are to be reaped by us. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		fixture_live_and_die(f, live, line);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	free(fixture_log(f));
}

void fixture_kill(struct fixture *f)
{
	broker_free(f->broker);
	f->broker = NULL;
}

static int fixture_unlink(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char path[160];

	log_setup("test", LOG_CRIT);
	signal(SIGPIPE, SIG_IGN);
	snprintf(f->dir, sizeof(f->dir), "/tmp/umdev-broker-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->root, sizeof(f->root), "%s/root", f->dir);
	snprintf(f->drivers, sizeof(f->drivers), "%s/drivers", f->dir);
	assert_int_equal(mkdir(f->root, 0755), 0);
	assert_int_equal(mkdir(f->drivers, 0755), 0);
	snprintf(path, sizeof(path), "%s/umdev-driver-fake.so", f->drivers);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	f->config = broker_defaults;
	f->config.root = f->root;
	f->config.host_path = FAKE_HOST;
	f->config.driver_dir = f->drivers;
	f->config.call_timeout_ns = 3 * NS_PER_S;
	f->config.discard_timeout_ns = 3 * NS_PER_S;
	f->config.restart_delay_ns = 10 * NS_PER_MS;
	f->config.restart_delay_max_ns = 40 * NS_PER_MS;
	f->config.keep_fds_max = 8;
	f->reactor = reactor_new();
	assert_non_null(f->reactor);
	fixture_start(f);
	*state = f;
	return 0;
}

int fixture_teardown(void **state)
{
	struct fixture *f = *state;

	if (f->broker)
		fixture_stop(f);
	reactor_free(f->reactor);
	nftw(f->dir, fixture_unlink, 16, FTW_DEPTH | FTW_PHYS);
	free(f);
	/* Every host was reaped. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	return 0;
}

static void fixture_put(const char *path, const char *text)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

void fixture_script(const struct fixture *f, const char *text)
{
	char path[160];
	char next[160];

	snprintf(path, sizeof(path), "%s/script", f->drivers);
	snprintf(next, sizeof(next), "%s/script.next", f->drivers);
	fixture_put(next, text);
	assert_int_equal(rename(next, path), 0);
}

char *fixture_log(const struct fixture *f)
{
	char path[160];
	char *text = NULL;
	size_t len = 0;

	snprintf(path, sizeof(path), "%s/log", f->drivers);
	if (fd_read_file(AT_FDCWD, path, 1 << 20, &text, &len) < 0)
		return strdup("");
	assert_int_equal(unlink(path), 0);
	return text;
}

const char *fixture_find(const char *log, const char *line)
{
	const char *found = strstr(log, line);

	if (!found)
		fail_msg("'%s' is not in the log:\n%s", line, log);
	return found;
}

void fixture_write(const struct fixture *f, const char *path, const char *text)
{
	char full[512];

	snprintf(full, sizeof(full), "%s/%s", f->root, path);
	fixture_put(full, text);
}

char *fixture_read(const struct fixture *f, const char *path)
{
	char full[512];
	char *text = NULL;
	size_t len = 0;

	snprintf(full, sizeof(full), "%s/%s", f->root, path);
	if (fd_read_file(AT_FDCWD, full, 1 << 20, &text, &len) < 0)
		return NULL;
	return text;
}

bool fixture_exists(const struct fixture *f, const char *path)
{
	char full[512];
	struct stat st;

	snprintf(full, sizeof(full), "%s/%s", f->root, path);
	return lstat(full, &st) == 0;
}

/* ---- Calls ----------------------------------------------------------------------------------- */

struct waiting {
	struct fixture *f;
	int *done;
	json_t **result;
};

static void fixture_done(struct api_call *call, json_t *result, const struct umdev_error *err)
{
	struct waiting *w = call->arg;

	*w->done = result ? 1 : -1;
	if (err)
		w->f->err = *err;
	if (w->result)
		*w->result = result;
	else
		json_decref(result);
	free(w);
}

static void fixture_send(struct fixture *f, const char *method, const char *params, int *ret_done,
			 json_t **ret_result)
{
	struct waiting *w = calloc(1, sizeof(*w));
	json_error_t where;
	json_t *json = json_loads(params, 0, &where);
	const struct rpc_method *m = rpc_method_find(method);
	struct umdev_error err = {0};
	struct api_call *call;

	if (!json)
		fail_msg("%s: %s", params, where.text);
	assert_non_null(m);
	if (rpc_method_check(m, json, &err) < 0)
		fail_msg("%s", err.message);
	*w = (struct waiting){.f = f, .done = ret_done, .result = ret_result};
	*ret_done = 0;
	memset(&f->err, 0, sizeof(f->err));
	call = api_call_new(f->broker, json, fixture_done, w);
	json_decref(json);
	assert_non_null(call);
	call->uid = f->uid;
	for (const struct api_method *a = api_methods; a->name; a++) {
		if (strcmp(a->name, method) == 0) {
			a->handler(call);
			return;
		}
	}
	fail_msg("no handler for %s", method);
}

void fixture_begin(struct fixture *f, const char *method, const char *params, int *ret_done)
{
	fixture_send(f, method, params, ret_done, NULL);
}

void fixture_wait(struct fixture *f, const int *flag)
{
	uint64_t deadline = clock_now_ns() + WAIT_NS;

	while (*flag == 0)
		fixture_turn(f, deadline);
}

json_t *fixture_call(struct fixture *f, const char *method, const char *params)
{
	json_t *result = NULL;
	int done;

	fixture_send(f, method, params, &done, &result);
	fixture_wait(f, &done);
	return result;
}

void fixture_ok(struct fixture *f, const char *method, const char *params)
{
	json_t *result = fixture_call(f, method, params);

	if (!result)
		fail_msg("%s %s: %s", method, params, f->err.message);
	json_decref(result);
}

void fixture_fails(struct fixture *f, enum error_word word, const char *method, const char *params)
{
	json_t *result = fixture_call(f, method, params);

	json_decref(result);
	if (result)
		fail_msg("%s %s succeeded", method, params);
	if (f->err.word != word)
		fail_msg("%s %s: %s (%s), not %s", method, params, error_word_name(f->err.word),
			 f->err.message, error_word_name(word));
	assert_true(f->err.message[0] != '\0');
	assert_null(strchr(f->err.message, '\n'));
}

const char *fixture_get(struct fixture *f, const char *method, const char *params, const char *path)
{
	json_t *result = fixture_call(f, method, params);
	const json_t *at = result;
	char copy[128];
	char *rest = copy;
	char *part;
	char *text;

	if (!result)
		fail_msg("%s %s: %s", method, params, f->err.message);
	snprintf(copy, sizeof(copy), "%s", path);
	while ((part = strsep(&rest, ".")))
		at = json_is_array(at) ? json_array_get(at, (size_t)atoi(part))
				       : json_object_get(at, part);
	text = json_is_string(at) ? strdup(json_string_value(at))
	       : at		  ? json_dumps(at, JSON_COMPACT | JSON_ENCODE_ANY)
				  : strdup("(absent)");
	snprintf(fixture_text, sizeof(fixture_text), "%s", text);
	free(text);
	json_decref(result);
	return fixture_text;
}

void fixture_until(struct fixture *f, const char *method, const char *path, const char *expected)
{
	uint64_t deadline = clock_now_ns() + WAIT_NS;

	while (strcmp(fixture_get(f, method, "{}", path), expected) != 0)
		fixture_turn(f, deadline);
}

void fixture_wait_event(struct fixture *f, const char *name, uint64_t since)
{
	uint64_t deadline = clock_now_ns() + WAIT_NS;

	for (;;) {
		json_t *events = events_list(&f->broker->events, since, NULL, EVENTS_KEPT);
		bool found = false;
		size_t i;
		json_t *e;

		json_array_foreach (events, i, e)
			found = found ||
				strcmp(json_string_value(json_object_get(e, "event")), name) == 0;
		json_decref(events);
		if (found)
			return;
		fixture_turn(f, deadline);
	}
}
