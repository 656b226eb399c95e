/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Replays umdevctl against canned answers and compares every byte.
 *
 * usage: golden UMDEVCTL DIRECTORY [--write]
 *
 * A case is three files: NAME.args, one word of the command line per line; NAME.rpc.json, with the
 * calls that must arrive, in this order and with these parameters, their results or errors, events
 * to be sent after the last of them, and what umdevctl must say on stderr and exit with; NAME.out,
 * its stdout. NAME.in, if there is one, is its stdin. "@ROOT@" stands for the root, which is new
 * each time, "@VERSION@" and
 * "@MACHINE@" for what they say. The answers go through the real
 * RPC server, so that the method table checks them too. With --write, NAME.out is written.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rpc/methods.h"
#include "rpc/server.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/reactor.h"

#define GOLDEN_TIME	(20 * NS_PER_S)
#define GOLDEN_FILE_MAX (1024 * 1024)
#define GOLDEN_WORDS	64

struct golden {
	const char *name;
	const char *dir;
	char root[64];
	const char *machine;
	json_t *script;
	size_t n_called;
	unsigned faults;
	struct reactor *reactor;
	struct reactor_fd child;
	struct reactor_timer watchdog;
	struct reactor_task after; /* sends the events, then ends the connection */
	struct rpc_server *server;
	pid_t pid;
};

__attribute__((format(printf, 2, 3))) static void golden_fault(struct golden *g, const char *fmt,
							       ...)
{
	va_list ap;

	g->faults++;
	fprintf(stderr, "%s: ", g->name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

/* What the script has for the next call, if it is the one that came. */
static const json_t *golden_expect(struct golden *g, const char *method, json_t *params)
{
	const json_t *call = json_array_get(json_object_get(g->script, "calls"), g->n_called++);
	umdev_autofree char *got = json_dumps(params, JSON_COMPACT);
	const char *want = json_string_value(json_object_get(call, "method"));
	json_t *none = json_object();
	json_t *want_params = json_object_get(call, "params");

	if (!want || strcmp(want, method) != 0) {
		golden_fault(g, "call %zu is %s %s, not %s", g->n_called, method, got,
			     want ? want : "expected");
		call = NULL;
	} else if (!json_equal(want_params ? want_params : none, params)) {
		golden_fault(g, "call %zu is %s with the parameters %s", g->n_called, method, got);
	}
	json_decref(none);
	return call;
}

static void golden_answer(struct golden *g, struct rpc_request *req, const char *method,
			  json_t *params)
{
	const json_t *call = golden_expect(g, method, params);
	const json_t *error = json_object_get(call, "error");
	struct umdev_error err = {0};

	if (strcmp(method, "event.watch") == 0) {
		rpc_request_watch(req);
		reactor_task_add(g->reactor, &g->after);
	}
	if (call && !error) {
		rpc_reply(req, json_incref(json_object_get(call, "result")));
		return;
	}
	error_set_key(&err, error_word_parse(json_string_value(json_object_get(error, "word"))),
		      error ? json_string_value(json_object_get(error, "key")) : "", "%s",
		      error ? json_string_value(json_object_get(error, "message")) : "unexpected");
	rpc_reply_error(req, &err);
}

/* The server says no method's name to a handler, so each method has one of its own. */
#define GOLDEN_HANDLER(function, method)                                                           \
	static void function(void *data, struct rpc_request *req, json_t *params)                  \
	{                                                                                          \
		golden_answer(data, req, method, params);                                          \
	}

GOLDEN_HANDLER(golden_version, "version")
GOLDEN_HANDLER(golden_parent_add, "parent.add")
GOLDEN_HANDLER(golden_parent_remove, "parent.remove")
GOLDEN_HANDLER(golden_parent_upgrade, "parent.upgrade")
GOLDEN_HANDLER(golden_parent_list, "parent.list")
GOLDEN_HANDLER(golden_driver_list, "driver.list")
GOLDEN_HANDLER(golden_type_list, "type.list")
GOLDEN_HANDLER(golden_mdev_list, "mdev.list")
GOLDEN_HANDLER(golden_mdev_define, "mdev.define")
GOLDEN_HANDLER(golden_mdev_undefine, "mdev.undefine")
GOLDEN_HANDLER(golden_mdev_modify, "mdev.modify")
GOLDEN_HANDLER(golden_mdev_start, "mdev.start")
GOLDEN_HANDLER(golden_mdev_stop, "mdev.stop")
GOLDEN_HANDLER(golden_mdev_save, "mdev.save")
GOLDEN_HANDLER(golden_mdev_restore, "mdev.restore")
GOLDEN_HANDLER(golden_mdev_set, "mdev.set")
GOLDEN_HANDLER(golden_mdev_qos, "mdev.qos")
GOLDEN_HANDLER(golden_mdev_blame, "mdev.blame")
GOLDEN_HANDLER(golden_group_list, "group.list")
GOLDEN_HANDLER(golden_group_start, "group.start")
GOLDEN_HANDLER(golden_group_stop, "group.stop")
GOLDEN_HANDLER(golden_group_qos, "group.qos")
GOLDEN_HANDLER(golden_event_list, "event.list")
GOLDEN_HANDLER(golden_event_watch, "event.watch")
GOLDEN_HANDLER(golden_doctor, "doctor")
GOLDEN_HANDLER(golden_plan, "plan")

static struct rpc_binding golden_bindings[] = {
	{"version", golden_version},
	{"parent.add", golden_parent_add},
	{"parent.remove", golden_parent_remove},
	{"parent.upgrade", golden_parent_upgrade},
	{"parent.list", golden_parent_list},
	{"driver.list", golden_driver_list},
	{"type.list", golden_type_list},
	{"mdev.list", golden_mdev_list},
	{"mdev.define", golden_mdev_define},
	{"mdev.undefine", golden_mdev_undefine},
	{"mdev.modify", golden_mdev_modify},
	{"mdev.start", golden_mdev_start},
	{"mdev.stop", golden_mdev_stop},
	{"mdev.save", golden_mdev_save},
	{"mdev.restore", golden_mdev_restore},
	{"mdev.set", golden_mdev_set},
	{"mdev.qos", golden_mdev_qos},
	{"mdev.blame", golden_mdev_blame},
	{"group.list", golden_group_list},
	{"group.start", golden_group_start},
	{"group.stop", golden_group_stop},
	{"group.qos", golden_group_qos},
	{"event.list", golden_event_list},
	{"event.watch", golden_event_watch},
	{"doctor", golden_doctor},
	{"plan", golden_plan},
	{NULL, NULL},
};

/* Sends what the script has and goes, as a daemon that is stopped does. */
static void golden_send_events(struct reactor_task *task)
{
	struct golden *g = container_of(task, struct golden, after);
	json_t *event;
	size_t i;

	json_array_foreach (json_object_get(g->script, "events"), i, event) {
		rpc_server_publish(g->server, event);
	}
	rpc_server_free(g->server);
	g->server = NULL;
}

static void golden_child_ended(struct reactor_fd *source, uint32_t events)
{
	reactor_stop(container_of(source, struct golden, child)->reactor);
}

static void golden_too_late(struct reactor_timer *timer)
{
	struct golden *g = container_of(timer, struct golden, watchdog);

	golden_fault(g, "takes too long");
	kill(g->pid, SIGKILL);
}

/* The listening socket below a new root, or -1. */
static int golden_listen(struct golden *g)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char dir[128];
	int fd;

	snprintf(g->root, sizeof(g->root), "/tmp/umdev-golden-XXXXXX");
	if (!mkdtemp(g->root))
		return -1;
	snprintf(dir, sizeof(dir), "%s/run/umdev", g->root);
	if (fd_mkdir_parents(AT_FDCWD, dir, 0700) < 0)
		return -1;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/run/umdev/control.sock", g->root);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, 8) < 0) {
		perror(address.sun_path);
		return -1;
	}
	return fd;
}

static void golden_remove_root(const struct golden *g)
{
	static const char *const paths[] = {
		"/run/umdev/control.sock", "/run/umdev", "/run", "/stdout", "/stderr", ""};
	char path[128];

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		snprintf(path, sizeof(path), "%s%s", g->root, paths[i]);
		(void)remove(path);
	}
}

/* Becomes umdevctl. */
__attribute__((noreturn)) static void golden_exec(const struct golden *g, const char *program,
						  const char *const *words)
{
	static const char *const streams[] = {"/stdout", "/stderr"};
	const char *argv[GOLDEN_WORDS + 2] = {program};
	char path[512];
	int input;

	snprintf(path, sizeof(path), "%s/%s.in", g->dir, g->name);
	input = open(path, O_RDONLY | O_CLOEXEC);
	if (input < 0)
		input = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (input < 0 || dup2(input, STDIN_FILENO) < 0)
		_exit(97);
	for (int i = 0; i < 2; i++) {
		int fd;

		snprintf(path, sizeof(path), "%s%s", g->root, streams[i]);
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		if (fd < 0 || dup2(fd, i + 1) < 0)
			_exit(99);
	}
	for (size_t i = 0; words[i]; i++)
		argv[i + 1] = words[i];
	setenv("UMDEV_ROOT", g->root, 1);
	setenv("TZ", "UTC", 1);
	setenv("PATH", "/nonexistent", 1);
	execv(program, (char *const *)(uintptr_t)argv);
	_exit(98);
}

/* Runs umdevctl against the script. Returns its exit code. */
static int golden_run(struct golden *g, const char *program, const char *const *words)
{
	umdev_autoclose int listen_fd = golden_listen(g);
	umdev_autoclose int pidfd = -1;
	struct umdev_error err = {0};
	int status = -1;

	g->reactor = reactor_new();
	g->after.run = golden_send_events;
	if (listen_fd < 0 || !g->reactor ||
	    rpc_server_new(g->reactor, listen_fd, golden_bindings, g, &g->server, &err) < 0) {
		golden_fault(g, "cannot serve: %s", err.message);
		return -1;
	}
	g->pid = fork();
	if (g->pid == 0)
		golden_exec(g, program, words);
	pidfd = pidfd_open(g->pid, 0);
	g->child = (struct reactor_fd){.fd = pidfd, .events = EPOLLIN, .ready = golden_child_ended};
	g->watchdog.expired = golden_too_late;
	reactor_timer_set(g->reactor, &g->watchdog, clock_now_ns() + GOLDEN_TIME);
	if (reactor_fd_add(g->reactor, &g->child) < 0 || reactor_run(g->reactor) < 0)
		golden_fault(g, "cannot wait");
	if (waitpid(g->pid, &status, 0) != g->pid)
		golden_fault(g, "cannot wait for the program");
	rpc_server_free(g->server);
	reactor_free(g->reactor);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* @text with what differs from run to run replaced by names; freed by the caller. */
static char *golden_neutral(const struct golden *g, const char *text)
{
	const char *const names[][2] = {
		{g->root, "@ROOT@"}, {UMDEV_VERSION, "@VERSION@"}, {g->machine, "@MACHINE@"}};
	char *neutral = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&neutral, &len);

	while (out && *text) {
		size_t i = 0;

		while (i < ARRAY_SIZE(names) &&
		       strncmp(text, names[i][0], strlen(names[i][0])) != 0)
			i++;
		if (i < ARRAY_SIZE(names)) {
			fputs(names[i][1], out);
			text += strlen(names[i][0]);
		} else {
			fputc(*text++, out);
		}
	}
	if (out)
		fclose(out);
	return neutral;
}

static void golden_compare(struct golden *g, const char *what, const char *want)
{
	umdev_autofree char *text = NULL;
	umdev_autofree char *got = NULL;
	char path[128];
	size_t len = 0;

	snprintf(path, sizeof(path), "%s/%s", g->root, what);
	if (fd_read_file(AT_FDCWD, path, GOLDEN_FILE_MAX, &text, &len) < 0) {
		golden_fault(g, "cannot read its %s", what);
		return;
	}
	got = golden_neutral(g, text);
	if (strlen(text) != len || strcmp(got, want) != 0)
		golden_fault(g, "its %s is\n%s<end>\nnot\n%s<end>", what, got, want);
}

/* Reads DIRECTORY/NAME@suffix; freed by the caller; NULL when it is not there. */
static char *golden_read(const char *dir, const char *name, const char *suffix)
{
	char path[512];
	char *text = NULL;
	size_t len = 0;

	snprintf(path, sizeof(path), "%s/%s%s", dir, name, suffix);
	return fd_read_file(AT_FDCWD, path, GOLDEN_FILE_MAX, &text, &len) < 0 ? NULL : text;
}

/* Splits @text at line ends, in place. */
static void golden_words(char *text, const char *words[GOLDEN_WORDS])
{
	size_t n = 0;

	while (*text && n + 1 < GOLDEN_WORDS) {
		char *end = strchrnul(text, '\n');
		bool last = *end == '\0';

		*end = '\0';
		words[n++] = text;
		text = last ? end : end + 1;
	}
	words[n] = NULL;
}

static void golden_write(struct golden *g)
{
	umdev_autofree char *text = golden_read(g->root, "stdout", "");
	umdev_autofree char *neutral = text ? golden_neutral(g, text) : NULL;
	char path[512];

	snprintf(path, sizeof(path), "%s/%s.out", g->dir, g->name);
	if (!neutral || fd_write_file_atomic(AT_FDCWD, path, neutral, strlen(neutral), 0644) < 0)
		golden_fault(g, "cannot write %s", path);
}

static unsigned golden_case(const char *program, const char *dir, const char *name, bool write)
{
	umdev_autofree char *args = golden_read(dir, name, ".args");
	umdev_autofree char *rpc = golden_read(dir, name, ".rpc.json");
	umdev_autofree char *out = golden_read(dir, name, ".out");
	struct utsname host = {0};
	struct golden g = {.name = name, .dir = dir, .machine = host.machine};
	const char *words[GOLDEN_WORDS];
	const char *complaint;
	json_error_t fault = {0};
	int code;

	if (uname(&host) < 0)
		golden_fault(&g, "the machine has no name");
	g.script = rpc ? json_loads(rpc, JSON_REJECT_DUPLICATES, &fault) : NULL;
	if (!args || !g.script || (!out && !write)) {
		golden_fault(&g, "a file is missing or wrong: %s (line %d)", fault.text,
			     fault.line);
		json_decref(g.script);
		return g.faults;
	}
	golden_words(args, words);
	code = golden_run(&g, program, words);
	if (write)
		golden_write(&g);
	else
		golden_compare(&g, "stdout", out);
	complaint = json_string_value(json_object_get(g.script, "stderr"));
	golden_compare(&g, "stderr", complaint ? complaint : "");
	if (code != json_integer_value(json_object_get(g.script, "exit")))
		golden_fault(&g, "its exit code is %d", code);
	if (g.n_called != json_array_size(json_object_get(g.script, "calls")))
		golden_fault(&g, "it made %zu calls", g.n_called);
	golden_remove_root(&g);
	json_decref(g.script);
	return g.faults;
}

static int golden_is_case(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return len > 5 && strcmp(entry->d_name + len - 5, ".args") == 0;
}

int main(int argc, char **argv)
{
	struct dirent **entries = NULL;
	bool write = argc == 4 && strcmp(argv[3], "--write") == 0;
	unsigned failed = 0;
	int n;

	if (argc != 3 && !write) {
		fprintf(stderr, "usage: golden UMDEVCTL DIRECTORY [--write]\n");
		return 2;
	}
	n = scandir(argv[2], &entries, golden_is_case, alphasort);
	for (int i = 0; i < n; i++) {
		char *name = entries[i]->d_name;

		name[strlen(name) - 5] = '\0';
		failed += golden_case(argv[1], argv[2], name, write) > 0;
		free(entries[i]);
	}
	free(entries);
	printf("%d cases, %u failed\n", n, failed);
	return n <= 0 || failed > 0;
}
