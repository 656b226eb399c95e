/* SPDX-License-Identifier: BSD-3-Clause */
/* Running umdev-sysfs. See tree.h. */
#include "broker/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/fd.h"
#include "util/log.h"

#define TREE_READY_FD	  3
#define TREE_NO_MOUNT	  3 /* exit code: it cannot be mounted here */
#define TREE_BOOT_WAIT_NS (10 * NS_PER_S)
#define TREE_DELAY_MIN_NS (100 * NS_PER_MS)
#define TREE_DELAY_MAX_NS (5 * NS_PER_S)
#define TREE_STEADY_NS	  (60 * NS_PER_S) /* a life as long as this forgives the deaths before it */
#define TREE_EXIT_WAIT_MS 5000

#define tree_event(tree, event_name, event_level, ...)                                             \
	broker_event((tree)->broker,                                                               \
		     &(struct event){.name = (event_name), .level = (event_level)}, __VA_ARGS__)

static void tree_spawn(struct tree_server *tree);

static void tree_booted(struct tree_server *tree)
{
	if (!tree->booting)
		return;
	tree->booting = false;
	if (tree->state != TREE_WAITING)
		reactor_timer_cancel(tree->broker->reactor, &tree->timer);
	broker_boot_step(tree->broker);
}

static void tree_close_fds(struct tree_server *tree)
{
	struct reactor *reactor = tree->broker->reactor;

	reactor_fd_del(reactor, &tree->ready);
	reactor_fd_del(reactor, &tree->pidfd);
	fd_close(&tree->ready.fd);
	fd_close(&tree->pidfd.fd);
}

/* Ends the process, if there is one, and waits for that. */
static void tree_end(struct tree_server *tree)
{
	struct pollfd p = {.fd = tree->pidfd.fd, .events = POLLIN};

	if (p.fd >= 0) {
		(void)pidfd_send_signal(p.fd, SIGTERM, NULL, 0);
		if (poll(&p, 1, TREE_EXIT_WAIT_MS) == 0)
			(void)pidfd_send_signal(p.fd, SIGKILL, NULL, 0);
		waitid(P_PIDFD, (id_t)p.fd, &(siginfo_t){0}, WEXITED);
	}
	tree_close_fds(tree);
	tree->state = TREE_OFF;
}

static void tree_absent(struct tree_server *tree, const char *why)
{
	tree->state = TREE_ABSENT;
	snprintf(tree->reason, sizeof(tree->reason), "%s", why);
	tree_event(tree, "tree.absent", LOG_INFO, "no tree at %s: %s", TREE_PATH, why);
	tree_booted(tree);
}

/* It died: another one, but not at once. */
static void tree_again(struct tree_server *tree)
{
	uint64_t now = clock_now_ns();

	if (now - tree->started_ns > TREE_STEADY_NS || tree->delay_ns == 0)
		tree->delay_ns = TREE_DELAY_MIN_NS;
	else
		tree->delay_ns = MIN(tree->delay_ns * 2, (uint64_t)TREE_DELAY_MAX_NS);
	tree->state = TREE_WAITING;
	reactor_timer_set(tree->broker->reactor, &tree->timer, now + tree->delay_ns);
	tree_event(tree, "tree.died", LOG_WARNING, "%s; started again in %u ms", tree->reason,
		   (unsigned)(tree->delay_ns / NS_PER_MS));
	tree_booted(tree);
}

static void tree_exited(struct reactor_fd *source, uint32_t events)
{
	struct tree_server *tree = container_of(source, struct tree_server, pidfd);
	siginfo_t info = {0};

	if (waitid(P_PIDFD, (id_t)source->fd, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
		return;
	tree_close_fds(tree);
	if (tree->broker->ending) {
		tree->state = TREE_OFF;
		tree_booted(tree);
	} else if (info.si_code == CLD_EXITED && info.si_status == TREE_NO_MOUNT) {
		tree_absent(tree, "umdev-sysfs cannot mount here; its message is in the log");
	} else if (info.si_code == CLD_EXITED && info.si_status == EXIT_SUCCESS) {
		tree_absent(tree, "somebody ended or unmounted it");
	} else {
		snprintf(tree->reason, sizeof(tree->reason), "umdev-sysfs (process %d) %s %d",
			 (int)tree->pid,
			 info.si_code == CLD_EXITED ? "exited with status" : "was killed by signal",
			 info.si_status);
		tree_again(tree);
	}
}

static void tree_is_ready(struct reactor_fd *source, uint32_t events)
{
	struct tree_server *tree = container_of(source, struct tree_server, ready);
	char byte;
	ssize_t n = read(source->fd, &byte, 1);

	reactor_fd_del(tree->broker->reactor, &tree->ready);
	fd_close(&tree->ready.fd);
	if (n != 1) /* it will be told by its end */
		return;
	tree->state = TREE_MOUNTED;
	tree_event(tree, "tree.mounted", LOG_INFO, "mounted at %s", TREE_PATH);
	tree_booted(tree);
}

static void tree_expired(struct reactor_timer *timer)
{
	struct tree_server *tree = container_of(timer, struct tree_server, timer);

	if (tree->state == TREE_WAITING)
		tree_spawn(tree);
	else
		tree_booted(tree); /* it takes too long to wait for it */
}

/* In the child. Does not return. */
static void tree_exec(const struct tree_server *tree, int ready_fd, pid_t parent)
{
	char number[16];
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	snprintf(number, sizeof(number), "%d", TREE_READY_FD);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	/* It would end by itself when the daemon does, unless it hangs. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent || null < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(STDERR_FILENO, STDOUT_FILENO) < 0 || dup2(ready_fd, TREE_READY_FD) < 0 ||
	    close_range(TREE_READY_FD + 1, ~0U, 0) < 0)
		_exit(126);
	execl(tree->path, tree->path, "--root", tree->broker->config.root, "--ready-fd", number,
	      (char *)NULL);
	_exit(127);
}

static int tree_fork(struct tree_server *tree)
{
	umdev_autoclose int theirs = -1;
	pid_t self = getpid();
	int pair[2];

	if (pipe2(pair, O_CLOEXEC) < 0)
		return -errno;
	tree->ready.fd = pair[0];
	/* Not at TREE_READY_FD, where dup2() would leave close-on-exec set. */
	theirs = fcntl(pair[1], F_DUPFD_CLOEXEC, TREE_READY_FD + 1);
	close(pair[1]);
	if (theirs < 0)
		return -errno;
	tree->pid = fork();
	if (tree->pid < 0)
		return -errno;
	if (tree->pid == 0)
		tree_exec(tree, theirs, self);
	tree->pidfd.fd = pidfd_open(tree->pid, 0);
	if (tree->pidfd.fd < 0) {
		int r = -errno;

		kill(tree->pid, SIGKILL);
		waitpid(tree->pid, NULL, 0);
		return r;
	}
	return 0;
}

static void tree_spawn(struct tree_server *tree)
{
	struct reactor *reactor = tree->broker->reactor;
	int r = tree_fork(tree);

	tree->started_ns = clock_now_ns();
	tree->state = TREE_STARTING;
	tree->pidfd.events = EPOLLIN;
	tree->pidfd.ready = tree_exited;
	tree->ready.events = EPOLLIN;
	tree->ready.ready = tree_is_ready;
	if (r == 0)
		r = reactor_fd_add(reactor, &tree->pidfd);
	if (r == 0)
		r = reactor_fd_add(reactor, &tree->ready);
	if (r == 0)
		return;
	tree_end(tree);
	snprintf(tree->reason, sizeof(tree->reason), "umdev-sysfs cannot be started: %s",
		 strerror(-r));
	tree_again(tree);
}

void tree_server_start(struct tree_server *tree, struct broker *broker, const char *path)
{
	memset(tree, 0, sizeof(*tree));
	tree->broker = broker;
	tree->pidfd.fd = -1;
	tree->ready.fd = -1;
	tree->timer.expired = tree_expired;
	broker->tree = tree;
	if (!path)
		return;
	tree->path = strdup(path);
	tree->booting = true;
	broker->booting++;
	if (!tree->path || access(path, X_OK) < 0) {
		tree_absent(tree, "umdev-sysfs is not installed");
		return;
	}
	reactor_timer_set(broker->reactor, &tree->timer, clock_now_ns() + TREE_BOOT_WAIT_NS);
	tree_spawn(tree);
}

void tree_server_stop(struct tree_server *tree)
{
	if (!tree->broker)
		return;
	reactor_timer_cancel(tree->broker->reactor, &tree->timer);
	tree_end(tree);
	tree->broker->tree = NULL;
	tree->broker = NULL;
	free(umdev_steal_ptr(&tree->path));
}
