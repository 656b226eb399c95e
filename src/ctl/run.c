/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * umdevctl run: a private daemon with parents and mdevs for the time of one command.
 *
 * Until the command runs, a signal ends this program as it would any, and the guard of the daemon
 * cleans up. While it runs, signals are passed on to it.
 */
#include "ctl/run.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/qemu-args.h"
#include "util/parse.h"

#define RUN_NOT_EXECUTABLE 126
#define RUN_NOT_FOUND	   127
#define RUN_SIGNAL_BASE	   128

/* What the command line asks for. Arrays of parameters for the RPC. */
struct run_plan {
	json_t *parents;
	json_t *mdevs;
	json_t *words; /* arguments for QEMU */
	uint64_t memory_bytes;
};

static int run_plan_parents(const struct ctl *ctl, struct run_plan *plan)
{
	const char *spec;
	size_t at = 0;

	while ((spec = ctl_next(ctl, "parent", &at)) != NULL) {
		json_t *params = NULL;
		int r = run_parse_parent(ctl, spec, (unsigned)json_array_size(plan->parents),
					 &params);

		if (r != CTL_OK)
			return r;
		json_array_append_new(plan->parents, params);
	}
	return CTL_OK;
}

static int run_plan_mdevs(const struct ctl *ctl, struct run_plan *plan)
{
	const char *spec;
	size_t at = 0;

	while ((spec = ctl_next(ctl, "mdev", &at)) != NULL) {
		const json_t *first = json_array_get(plan->parents, 0);
		json_t *params = NULL;
		int r = run_parse_mdev(ctl, spec, &params);

		if (r != CTL_OK)
			return r;
		json_array_append_new(plan->mdevs, params);
		if (json_object_get(params, "parent"))
			continue;
		if (json_array_size(plan->parents) != 1)
			return ctl_usage(ctl, "--mdev: parent= is missing in '%s'", spec);
		ctl_put_text(params, "parent", ctl_text(first, "name"));
	}
	return CTL_OK;
}

static int run_plan(const struct ctl *ctl, struct run_plan *plan)
{
	const char *size = ctl_get(ctl, "memory");
	int r;

	if (ctl->root)
		return ctl_usage(ctl, "the private daemon has a root of its own; leave --root out");
	if (size && (parse_bytes(size, &plan->memory_bytes) < 0 || plan->memory_bytes == 0))
		return ctl_usage(ctl, "--memory: '%s' is not a size such as 512M or 2G", size);
	r = run_plan_parents(ctl, plan);
	return r == CTL_OK ? run_plan_mdevs(ctl, plan) : r;
}

/* Adds the parents, starts the mdevs and puts what the command needs into the environment. */
static int run_build(struct ctl *ctl, struct run_plan *plan)
{
	json_t *params;
	size_t i;
	int r = CTL_OK;

	qemu_args_memory(plan->words, plan->memory_bytes);
	json_array_foreach (plan->parents, i, params) {
		r = ctl_call(ctl, "parent.add", json_incref(params), NULL);
		if (r != CTL_OK)
			return r;
	}
	json_array_foreach (plan->mdevs, i, params) {
		json_t *mdev = NULL;
		char name[64];

		r = ctl_call(ctl, "mdev.start", json_incref(params), &mdev);
		if (r != CTL_OK)
			return r;
		snprintf(name, sizeof(name), "UMDEV_MDEV_%zu", i);
		setenv(name, ctl_text(mdev, "uuid"), 1);
		snprintf(name, sizeof(name), "UMDEV_SOCKET_%zu", i);
		setenv(name, ctl_text(mdev, "socket"), 1);
		qemu_args_device(plan->words, ctl_text(mdev, "uuid"), ctl_text(mdev, "socket"));
		json_decref(mdev);
	}
	return r;
}

static int run_environment(const struct ctl *ctl, const struct run_plan *plan, const char *root)
{
	umdev_autofree char *text = NULL;
	umdev_autofclose FILE *out = NULL; /* closed before its text is freed */
	size_t len = 0;

	out = open_memstream(&text, &len);
	if (!out)
		return ctl_fail_word(ctl, ERROR_NO_MEMORY, "no memory for the environment");
	qemu_args_print(out, plan->words, ' ');
	fflush(out);
	if (setenv("UMDEV_QEMU_ARGS", text, 1) < 0 || setenv("UMDEV_ROOT", root, 1) < 0)
		return ctl_fail_word(ctl, ERROR_NO_MEMORY, "no memory for the environment");
	return CTL_OK;
}

/* Waits for the command, passing signals on. One that the terminal sent has reached it already. */
static int run_wait(pid_t command, const sigset_t *signals)
{
	for (;;) {
		siginfo_t info = {0};
		int status;
		int n = sigwaitinfo(signals, &info);

		if (n > 0 && n != SIGCHLD && info.si_code != SI_KERNEL)
			kill(command, n);
		if (waitpid(command, &status, WNOHANG) != command)
			continue;
		if (WIFSIGNALED(status))
			return RUN_SIGNAL_BASE + WTERMSIG(status);
		return WEXITSTATUS(status);
	}
}

/* Runs the command and returns its exit code. */
static int run_command(const struct ctl *ctl)
{
	static const int passed[] = {SIGHUP,  SIGINT,  SIGQUIT,	 SIGTERM, SIGUSR1,
				     SIGUSR2, SIGCONT, SIGWINCH, SIGCHLD};
	char **argv = (char **)(uintptr_t)ctl->operands;
	sigset_t signals;
	sigset_t before;
	pid_t command;

	sigemptyset(&signals);
	for (size_t i = 0; i < ARRAY_SIZE(passed); i++)
		sigaddset(&signals, passed[i]);
	sigprocmask(SIG_BLOCK, &signals, &before);
	command = fork();
	if (command < 0)
		return ctl_fail_word(ctl, ERROR_INTERNAL, "cannot fork: %s", strerror(errno));
	if (command == 0) {
		/* Without this program its mdevs are gone, and it is of no use. */
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		sigprocmask(SIG_SETMASK, &before, NULL);
		execvp(argv[0], argv);
		ctl_warn("cannot run '%s': %s", argv[0], strerror(errno));
		_exit(errno == ENOENT ? RUN_NOT_FOUND : RUN_NOT_EXECUTABLE);
	}
	return run_wait(command, &signals);
}

int ctl_run(struct ctl *ctl)
{
	struct run_daemon daemon = {.guard = -1, .alive = -1, .output = -1};
	struct run_plan plan = {
		.parents = json_array(),
		.mdevs = json_array(),
		.words = json_array(),
		.memory_bytes = QEMU_ARGS_MEMORY,
	};
	int r = run_plan(ctl, &plan);

	if (r == CTL_OK)
		r = run_daemon_start(ctl, &daemon);
	ctl->root = daemon.root;
	if (r == CTL_OK)
		r = run_build(ctl, &plan);
	if (r == CTL_OK)
		r = run_environment(ctl, &plan, daemon.root);
	if (r == CTL_OK)
		r = run_command(ctl);
	umdev_client_free(ctl->client);
	ctl->client = NULL;
	ctl->root = NULL;
	run_daemon_stop(&daemon);
	json_decref(plan.parents);
	json_decref(plan.mdevs);
	json_decref(plan.words);
	return r;
}
