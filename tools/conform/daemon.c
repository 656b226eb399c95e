/* SPDX-License-Identifier: BSD-3-Clause */
/* The private daemon of a check. See daemon.h. */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/fd.h"

#define DAEMON_READY_NS (30 * NS_PER_S)
#define DAEMON_STOP_NS	(10 * NS_PER_S)
#define DAEMON_LOCK_NS	(5 * NS_PER_S)

/* The first of @places, relative to this program's directory, that can be run; false for none. */
static bool daemon_find(const char *const *places, size_t count, char path[PATH_MAX])
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (n <= 0)
		return false;
	exe[n] = '\0';
	dirname(exe);
	for (size_t i = 0; i < count; i++) {
		if (snprintf(path, PATH_MAX, "%s/%s", exe, places[i]) < PATH_MAX &&
		    access(path, X_OK) == 0)
			return true;
	}
	return false;
}

/* Root and driver directory. The page remembers the root, for who removes it. */
static void daemon_make_root(const struct kit *kit, char drivers[PATH_MAX])
{
	char link[PATH_MAX + 32];
	const char *where = getenv("TMPDIR");

	if (!where || where[0] != '/')
		where = "/tmp";
	/* Sockets lie below it, and their paths are short. */
	if (snprintf(verdict_page->root, sizeof(verdict_page->root), "%s/umdev-conform-XXXXXX",
		     where) >= (int)sizeof(verdict_page->root)) {
		verdict_page->root[0] = '\0';
		verdict_skip("TMPDIR=%s is too long for the paths of sockets", where);
	}
	if (!mkdtemp(verdict_page->root)) {
		verdict_page->root[0] = '\0';
		verdict_skip("cannot make a directory in %s: %s", where, strerror(errno));
	}
	snprintf(drivers, PATH_MAX, "%s/drivers", verdict_page->root);
	snprintf(link, sizeof(link), "%.4000s/umdev-driver-%.60s.so", drivers, kit->options->name);
	if (mkdir(drivers, 0755) < 0 || symlink(kit->options->path, link) < 0)
		verdict_skip("cannot make %s: %s", link, strerror(errno));
}

__attribute__((noreturn)) static void daemon_exec(const struct kit *kit, const char *program,
						  const char *drivers, int output)
{
	static const char *const hosts[] = {"umdev-host", "../libexec/umdev/umdev-host"};
	char host[PATH_MAX];
	const char *argv[12] = {program,	"--root",    verdict_page->root,
				"--foreground", "--no-tree", "--driver-dir",
				drivers};
	sigset_t none;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (daemon_find(hosts, ARRAY_SIZE(hosts), host)) {
		argv[7] = "--host-path";
		argv[8] = host;
	}
	/* Of a group of its own: it ends in order, after the check. */
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	dup2(null, STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	if (!kit->options->verbose)
		dup2(null, STDERR_FILENO);
	execv(program, (char *const *)(uintptr_t)argv);
	_exit(127);
}

/* Waits for the line "ready". */
static void daemon_wait_ready(int output)
{
	uint64_t end_ns = clock_now_ns() + DAEMON_READY_NS;
	char text[256];
	size_t len = 0;

	while (len + 1 < sizeof(text) && clock_now_ns() < end_ns) {
		struct pollfd p = {.fd = output, .events = POLLIN};
		ssize_t n;

		if (poll(&p, 1, 100) <= 0)
			continue;
		n = read(output, text + len, sizeof(text) - 1 - len);
		if (n <= 0)
			break;
		len += (size_t)n;
		text[len] = '\0';
		if (strstr(text, "ready\n"))
			return;
	}
	verdict_skip("the private umdevd did not become ready");
}

/* Adds the parent. A file may be locked for a while by what had it last. */
static void daemon_add_parent(struct kit *kit, struct daemon *daemon)
{
	uint64_t end_ns = clock_now_ns() + DAEMON_LOCK_NS;
	struct umdev_error err = {0};
	json_t *result;

	for (;;) {
		result = daemon_try(daemon, "parent.add",
				    json_pack("{s:s,s:s,s:O}", "name", DAEMON_PARENT, "driver",
					      kit->options->name, "options", kit->options->parent),
				    &err);
		if (result || err.word != ERROR_LOCKED || clock_now_ns() > end_ns)
			break;
		(void)poll(NULL, 0, 20);
	}
	if (!result)
		verdict_skip("umdevd does not add the parent: %s", err.message);
	json_decref(result);
}

void daemon_start(struct kit *kit, struct daemon *daemon)
{
	static const char *const places[] = {"umdevd", "../sbin/umdevd"};
	char program[PATH_MAX];
	char drivers[PATH_MAX];
	int output[2];
	pid_t pid;

	kit_up(kit);
	daemon->type_index = kit_type(kit);
	snprintf(daemon->type, sizeof(daemon->type), "%s-%s", kit->driver.table.name,
		 kit_type_row(kit, daemon->type_index)->id);
	if (pool_init(&daemon->pool, kit->info.pool_units, kit->info.pool_align) < 0)
		verdict_skip("the pool is impossible");
	kit_let_go(kit);
	if (!daemon_find(places, ARRAY_SIZE(places), program))
		verdict_skip("umdevd is not beside this program");
	daemon_make_root(kit, drivers);
	if (pipe2(output, O_CLOEXEC) < 0)
		verdict_skip("cannot make a pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		verdict_skip("cannot fork: %s", strerror(errno));
	if (pid == 0)
		daemon_exec(kit, program, drivers, output[1]);
	verdict_page->daemon = pid;
	close(output[1]);
	daemon_wait_ready(output[0]);
	if (umdev_client_connect(verdict_page->root, &daemon->rpc) < 0)
		verdict_skip("the private umdevd does not answer: %s",
			     umdev_client_error_message(NULL));
	daemon_add_parent(kit, daemon);
}

json_t *daemon_try(struct daemon *daemon, const char *method, json_t *params,
		   struct umdev_error *err)
{
	umdev_autofree char *text = params ? json_dumps(params, JSON_COMPACT) : NULL;
	char *result = NULL;
	json_t *json;
	int r = umdev_client_call(daemon->rpc, method, text, &result);

	json_decref(params);
	if (r < 0) {
		error_set(err, error_word_parse(umdev_client_error_word(daemon->rpc)), "%s",
			  umdev_client_error_message(daemon->rpc));
		return NULL;
	}
	json = json_loads(result, JSON_DECODE_ANY, NULL);
	umdev_client_free_text(result);
	if (!json)
		error_set(err, ERROR_INTERNAL, "%s: the answer is no JSON", method);
	return json;
}

json_t *daemon_call(struct daemon *daemon, const char *method, json_t *params)
{
	struct umdev_error err = {0};
	json_t *result = daemon_try(daemon, method, params, &err);

	if (!result)
		verdict_fail("%s: %s", method, err.message);
	return result;
}

json_t *daemon_mdev(struct daemon *daemon)
{
	return daemon_call(daemon, "mdev.start",
			   json_pack("{s:s,s:s}", "parent", DAEMON_PARENT, "type", daemon->type));
}

/* Waits for a child, ending it in the end. */
static void daemon_reap(pid_t pid)
{
	uint64_t end_ns = clock_now_ns() + DAEMON_STOP_NS;

	while (waitpid(pid, NULL, WNOHANG) == 0) {
		if (clock_now_ns() > end_ns)
			kill(pid, SIGKILL);
		(void)poll(NULL, 0, 5);
	}
}

void daemon_stop(struct daemon *daemon)
{
	umdev_client_free(daemon->rpc);
	daemon->rpc = NULL;
	pool_done(&daemon->pool);
	if (verdict_page->daemon <= 0)
		return;
	kill(verdict_page->daemon, SIGTERM);
	daemon_reap(verdict_page->daemon);
	verdict_page->daemon = 0;
}

void daemon_adopt(void)
{
	prctl(PR_SET_CHILD_SUBREAPER, 1);
}

static int daemon_remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	/* What cannot be removed is left; the rest goes. */
	(void)remove(path);
	return 0;
}

void daemon_clean(void)
{
	if (verdict_page->daemon > 0)
		daemon_reap(verdict_page->daemon);
	verdict_page->daemon = 0;
	/* Hosts end with their daemon, and are ours to reap then. */
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	if (verdict_page->root[0])
		nftw(verdict_page->root, daemon_remove_one, 16, FTW_DEPTH | FTW_PHYS);
	verdict_page->root[0] = '\0';
}
