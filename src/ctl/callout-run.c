/* SPDX-License-Identifier: BSD-3-Clause */
/* One script, with bounds. See callout-run.h. */
#include "ctl/callout-run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/fd.h"

#define RUN_GRACE_NS NS_PER_S /* between the signal that came and SIGKILL */

enum { RUN_INPUT, RUN_OUTPUT, RUN_COMPLAINT, RUN_PID, RUN_SIGNAL, RUN_COUNT };

extern char **environ;

struct run {
	struct pollfd fds[RUN_COUNT]; /* our ends; -1 once they are done */
	pid_t pid;
	const char *input; /* what is left of it */
	uint64_t deadline_ns;
	int stop; /* the signal that ends this program, or 0 */
	sigset_t old_mask;
	struct sigaction old_pipe;
	struct callout_result *result;
};

/* ---- Begin ----------------------------------------------------------------------------------- */

/* Holds back what ends this program, and lets a script that does not read its input be no reason to
 * die. */
static int run_hold_signals(struct run *run)
{
	static const int held[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t mask;

	sigemptyset(&mask);
	for (size_t i = 0; i < ARRAY_SIZE(held); i++)
		sigaddset(&mask, held[i]);
	sigaction(SIGPIPE, &ignore, &run->old_pipe);
	sigprocmask(SIG_BLOCK, &mask, &run->old_mask);
	run->fds[RUN_SIGNAL].fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	return run->fds[RUN_SIGNAL].fd < 0 ? -errno : 0;
}

static void run_release_signals(struct run *run)
{
	sigaction(SIGPIPE, &run->old_pipe, NULL);
	sigprocmask(SIG_SETMASK, &run->old_mask, NULL);
	if (run->stop)
		raise(run->stop);
}

/* The child starts with the signals that this program was started with. */
static int run_spawn(struct run *run, const char *const *argv, const int ends[3])
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t defaults;
	int r;

	sigemptyset(&defaults);
	if (run->old_pipe.sa_handler == SIG_DFL)
		sigaddset(&defaults, SIGPIPE);
	posix_spawnattr_init(&attr);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
						POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setsigmask(&attr, &run->old_mask);
	posix_spawnattr_setsigdefault(&attr, &defaults);
	for (int i = 0; i < 3; i++)
		posix_spawn_file_actions_adddup2(&actions, ends[i], i);
	r = posix_spawn(&run->pid, argv[0], &actions, &attr, (char *const *)(uintptr_t)argv,
			environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	if (r != 0)
		return -r;
	run->fds[RUN_PID].fd = pidfd_open(run->pid, 0);
	return run->fds[RUN_PID].fd < 0 ? -errno : 0;
}

/* Moves a descriptor out of the way of those that the child gets as 0, 1 and 2. */
static int run_above(int *fd)
{
	int moved;

	if (*fd > STDERR_FILENO)
		return 0;
	moved = fcntl(*fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	fd_close(fd);
	*fd = moved;
	return moved < 0 ? -errno : 0;
}

static int run_pipes(struct run *run, int ends[3])
{
	for (int i = RUN_INPUT; i <= RUN_COMPLAINT; i++) {
		bool ours_writes = i == RUN_INPUT;
		int pair[2];
		int r;

		if (pipe2(pair, O_CLOEXEC) < 0)
			return -errno;
		run->fds[i].fd = pair[ours_writes];
		run->fds[i].events = ours_writes ? POLLOUT : POLLIN;
		ends[i] = pair[!ours_writes];
		r = run_above(&ends[i]);
		if (r == 0)
			r = run_above(&run->fds[i].fd);
		if (r == 0)
			r = fd_set_nonblock(run->fds[i].fd, true);
		if (r < 0)
			return r;
	}
	return 0;
}

static int run_begin(struct run *run, const char *const *argv)
{
	int ends[3] = {-1, -1, -1};
	int r = run_hold_signals(run);

	if (r == 0)
		r = run_pipes(run, ends);
	if (r == 0)
		r = run_spawn(run, argv, ends);
	fd_close_all(ends, 3);
	return r;
}

/* ---- Talking --------------------------------------------------------------------------------- */

static void run_write(struct run *run)
{
	size_t left = run->input ? strlen(run->input) : 0;
	ssize_t n = left > 0 ? write(run->fds[RUN_INPUT].fd, run->input, left) : 0;

	if (n > 0)
		run->input += n;
	/* It need not read all of it. */
	if (left == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		fd_close(&run->fds[RUN_INPUT].fd);
}

/* Reads what is there, keeps what fits and forgets the rest. */
static void run_read(struct run *run, int which)
{
	struct callout_result *result = run->result;
	bool output = which == RUN_OUTPUT;
	char *kept = output ? result->output : result->complaint;
	size_t *len = output ? &result->output_len : &result->complaint_len;
	size_t max = output ? sizeof(result->output) - 1 : sizeof(result->complaint) - 1;
	char chunk[4096];
	ssize_t n = read(run->fds[which].fd, chunk, sizeof(chunk));

	if (n > 0) {
		size_t take = MIN((size_t)n, max - *len);

		memcpy(kept + *len, chunk, take);
		*len += take;
		kept[*len] = '\0';
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		fd_close(&run->fds[which].fd);
	}
}

/* A signal came that ends this program: the script gets it first. */
static void run_take_signal(struct run *run)
{
	struct signalfd_siginfo info;

	if (read(run->fds[RUN_SIGNAL].fd, &info, sizeof(info)) != sizeof(info))
		return;
	run->stop = (int)info.ssi_signo;
	run->deadline_ns = MIN(run->deadline_ns, clock_now_ns() + RUN_GRACE_NS);
	kill(-run->pid, run->stop);
}

/* Waits for one thing and deals with it. True when the script has ended or its time is up. */
static bool run_turn(struct run *run)
{
	uint64_t now = clock_now_ns();
	struct timespec left = {0};

	if (now >= run->deadline_ns)
		return true;
	left.tv_sec = (time_t)((run->deadline_ns - now) / NS_PER_S);
	left.tv_nsec = (long)((run->deadline_ns - now) % NS_PER_S);
	if (ppoll(run->fds, RUN_COUNT, &left, NULL) < 0)
		return errno != EINTR;
	if (run->fds[RUN_INPUT].revents)
		run_write(run);
	if (run->fds[RUN_OUTPUT].revents)
		run_read(run, RUN_OUTPUT);
	if (run->fds[RUN_COMPLAINT].revents)
		run_read(run, RUN_COMPLAINT);
	if (run->fds[RUN_SIGNAL].revents)
		run_take_signal(run);
	/* What it left in the pipes is there by then; who else holds them open is not waited for.
	 */
	return run->fds[RUN_PID].revents && !run->fds[RUN_OUTPUT].revents &&
	       !run->fds[RUN_COMPLAINT].revents;
}

/* Reaps the script, which is killed with all that it started when it did not end by itself. */
static int run_end(struct run *run)
{
	siginfo_t info = {0};
	bool ended = waitid(P_PID, (id_t)run->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
		     info.si_pid == run->pid;
	int status = 0;

	if (!ended)
		kill(-run->pid, SIGKILL);
	while (waitpid(run->pid, &status, 0) < 0 && errno == EINTR)
		continue;
	run->result->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	run->result->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	if (run->stop)
		return -EINTR;
	return ended ? 0 : -ETIMEDOUT;
}

int callout_run(const char *const *argv, const char *input, uint64_t limit_ns,
		struct callout_result *ret)
{
	struct run run = {.input = input, .result = ret};
	int r;

	for (int i = 0; i < RUN_COUNT; i++)
		run.fds[i] = (struct pollfd){.fd = -1, .events = POLLIN};
	ret->status = -1;
	ret->signal = 0;
	ret->output_len = 0;
	ret->complaint_len = 0;
	ret->output[0] = '\0';
	ret->complaint[0] = '\0';
	run.deadline_ns = clock_now_ns() + limit_ns;
	r = run_begin(&run, argv);
	while (r == 0 && !run_turn(&run))
		continue;
	if (run.pid > 0) {
		int end = run_end(&run);

		r = r < 0 ? r : end;
	}
	for (int i = 0; i < RUN_COUNT; i++)
		fd_close(&run.fds[i].fd);
	run_release_signals(&run);
	return r;
}
