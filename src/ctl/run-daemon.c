/* SPDX-License-Identifier: BSD-3-Clause */
/* The private daemon of umdevctl run, and the guard that cleans up after it. See run.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/run.h"
#include "util/clock.h"
#include "util/fd.h"

#define RUN_READY_TIME (60 * NS_PER_S)
#define RUN_STOP_TIME  (5 * NS_PER_S)
#define RUN_LOG_SHOWN  4096
/* What the longest socket of an mdev adds to the root. */
#define RUN_SOCKET_TAIL "/run/umdev/mdevs/00000000-0000-0000-0000-000000000000/vfio-user.sock"

char *run_daemon_program(bool *ret_beside)
{
	static const char *const places[] = {"umdevd", "../sbin/umdevd"};
	umdev_autofree char *dir = ctl_program_dir();

	*ret_beside = true;
	for (size_t i = 0; dir && i < ARRAY_SIZE(places); i++) {
		char *path = NULL;

		if (asprintf(&path, "%s/%s", dir, places[i]) < 0)
			return NULL;
		if (access(path, X_OK) == 0)
			return path;
		free(path);
	}
	*ret_beside = false;
	return strdup("umdevd");
}

/* A fresh directory whose sockets have addresses short enough. */
static int run_make_root(const struct ctl *ctl, char root[PATH_MAX])
{
	const char *base = getenv("TMPDIR");
	const size_t room = sizeof(((struct sockaddr_un *)NULL)->sun_path);

	if (!base || base[0] != '/' ||
	    strlen(base) + strlen("/umdev-run-XXXXXX" RUN_SOCKET_TAIL) >= room)
		base = "/tmp";
	snprintf(root, PATH_MAX, "%s/umdev-run-XXXXXX", base);
	if (mkdtemp(root))
		return CTL_OK;
	root[0] = '\0';
	return ctl_fail_word(ctl, ERROR_INTERNAL, "cannot make a directory in %s: %s", base,
			     strerror(errno));
}

static int run_remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	/* What cannot be removed is left; the rest goes. */
	(void)remove(path);
	return 0;
}

/* Gives every process that is a child now @signal. Returns how many there are. */
static unsigned run_signal_children(int signal_number)
{
	umdev_autofclose FILE *list = NULL;
	char path[64];
	unsigned n = 0;
	int pid;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)gettid());
	list = fopen(path, "re");
	while (list && fscanf(list, "%d", &pid) == 1) {
		kill(pid, signal_number);
		n++;
	}
	return n;
}

/* Waits until @daemon ends or the time is over, reaping others too. Returns whether it ended. */
static bool run_reap(pid_t daemon, uint64_t limit_ns)
{
	uint64_t end_ns = clock_now_ns() + limit_ns;
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	for (;;) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);
		uint64_t now_ns = clock_now_ns();
		struct timespec left;

		if (pid == daemon || (pid < 0 && errno == ECHILD))
			return true;
		if (pid > 0)
			continue;
		if (now_ns >= end_ns)
			return false;
		left.tv_sec = (time_t)((end_ns - now_ns) / NS_PER_S);
		left.tv_nsec = (long)((end_ns - now_ns) % NS_PER_S);
		sigtimedwait(&child, NULL, &left);
	}
}

/* The guard: waits for the end of @alive, then ends the daemon and whatever it left. */
__attribute__((noreturn)) static void run_guard(const char *root, pid_t daemon, int alive)
{
	char byte;

	while (read(alive, &byte, 1) < 0 && errno == EINTR)
		;
	kill(daemon, SIGTERM);
	if (!run_reap(daemon, RUN_STOP_TIME)) {
		kill(daemon, SIGKILL);
		run_reap(daemon, RUN_STOP_TIME);
	}
	/* A daemon that was killed leaves its hosts, which are our children now. */
	while (run_signal_children(SIGKILL) > 0) {
		if (waitpid(-1, NULL, 0) < 0 && errno == ECHILD)
			break;
	}
	nftw(root, run_remove_one, 16, FTW_DEPTH | FTW_PHYS);
	_exit(0);
}

/* Becomes the daemon. Returns only when that fails. */
static void run_exec_daemon(const char *program, const char *root, int output)
{
	const char *const argv[] = {program, "--root", root, "--foreground", "--no-tree", NULL};
	char path[PATH_MAX + 16];
	sigset_t none;
	int log;

	snprintf(path, sizeof(path), "%s/umdevd.log", root);
	log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (log < 0 || dup2(log, STDERR_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0)
		return;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execvp(program, (char *const *)(uintptr_t)argv);
	dprintf(STDERR_FILENO, "cannot run %s: %s\n", program, strerror(errno));
}

/* In the guard's process: starts the daemon and guards it. */
__attribute__((noreturn)) static void run_guard_main(const char *program, const char *root,
						     int alive, int output)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t all;
	pid_t daemon;

	/* Of its own session, so that an interrupt from the terminal is not for it. */
	setsid();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0)
		_exit(1);
	daemon = fork();
	if (daemon == 0) {
		run_exec_daemon(program, root, output);
		_exit(127);
	}
	if (daemon < 0) {
		(void)rmdir(root);
		_exit(1);
	}
	/* Who waits for the end of our output must not wait for the guard. */
	close(output);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	run_guard(root, daemon, alive);
}

/* Shows the end of the daemon's log after a failure. */
static void run_show_log(const char *root)
{
	umdev_autoclose int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	umdev_autofree char *text = NULL;
	size_t len = 0;
	const char *from;

	if (fd_read_file(dir, "umdevd.log", 1024UL * 1024, &text, &len) < 0 || len == 0)
		return;
	from = len > RUN_LOG_SHOWN ? text + len - RUN_LOG_SHOWN : text;
	fprintf(stderr, "%s", from);
}

/* Waits for the line "ready". */
static int run_wait_ready(const struct ctl *ctl, const struct run_daemon *daemon)
{
	uint64_t end_ns = clock_now_ns() + RUN_READY_TIME;
	char text[256];
	size_t len = 0;

	while (len + 1 < sizeof(text)) {
		struct pollfd p = {.fd = daemon->output, .events = POLLIN};
		uint64_t now_ns = clock_now_ns();
		ssize_t n;

		if (now_ns >= end_ns || poll(&p, 1, (int)((end_ns - now_ns) / NS_PER_MS) + 1) == 0)
			break;
		n = read(daemon->output, text + len, sizeof(text) - 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
		text[len] = '\0';
		if (strncmp(text, "ready\n", 6) == 0 || strstr(text, "\nready\n"))
			return CTL_OK;
	}
	run_show_log(daemon->root);
	return ctl_fail_word(ctl, ERROR_UNREACHABLE, "the private umdevd did not become ready");
}

/* Makes the root and the guard that removes it. */
static int run_fork_guard(const struct ctl *ctl, struct run_daemon *daemon)
{
	umdev_autofree char *program = NULL;
	umdev_autoclose int guard_alive = -1;
	umdev_autoclose int daemon_output = -1;
	bool beside = false;
	int alive[2];
	int output[2];
	int r;

	program = run_daemon_program(&beside);
	r = run_make_root(ctl, daemon->root);
	if (r != CTL_OK)
		return r;
	if (!program || pipe2(alive, O_CLOEXEC) < 0)
		return ctl_fail_word(ctl, ERROR_INTERNAL, "cannot make a pipe: %s",
				     strerror(errno));
	guard_alive = alive[0];
	daemon->alive = alive[1];
	if (pipe2(output, O_CLOEXEC) < 0)
		return ctl_fail_word(ctl, ERROR_INTERNAL, "cannot make a pipe: %s",
				     strerror(errno));
	daemon->output = output[0];
	daemon_output = output[1];
	daemon->guard = fork();
	if (daemon->guard < 0)
		return ctl_fail_word(ctl, ERROR_INTERNAL, "cannot fork: %s", strerror(errno));
	if (daemon->guard == 0) {
		close(daemon->alive);
		close(daemon->output);
		run_guard_main(program, daemon->root, guard_alive, daemon_output);
	}
	return CTL_OK;
}

int run_daemon_start(const struct ctl *ctl, struct run_daemon *daemon)
{
	sigset_t all;
	sigset_t before;
	int r;

	/* A signal that ended this program between the two would leave the root behind. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	r = run_fork_guard(ctl, daemon);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return r == CTL_OK ? run_wait_ready(ctl, daemon) : r;
}

void run_daemon_stop(struct run_daemon *daemon)
{
	fd_close(&daemon->alive);
	if (daemon->guard > 0) {
		while (waitpid(daemon->guard, NULL, 0) < 0 && errno == EINTR)
			;
	} else if (daemon->root[0]) {
		(void)rmdir(daemon->root);
	}
	fd_close(&daemon->output);
	daemon->guard = -1;
	daemon->root[0] = '\0';
}
