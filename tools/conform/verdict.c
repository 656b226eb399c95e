/* SPDX-License-Identifier: BSD-3-Clause */
/* Verdicts, and the processes that give them. See verdict.h. */
#include "verdict.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/clock.h"

/* A callback that has not returned by then never will. */
#define VERDICT_HANG_NS (5 * NS_PER_S)
/* How often the watchdog looks. */
#define VERDICT_LOOK_NS (20 * NS_PER_MS)
/* Of what a child wrote to its standard error. */
#define VERDICT_ERRORS 65536

struct verdict *verdict_page;

int verdict_new(void)
{
	void *map = mmap(NULL, sizeof(*verdict_page), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (map == MAP_FAILED)
		return -errno;
	verdict_page = map;
	return 0;
}

void verdict_clear(void)
{
	memset(verdict_page, 0, sizeof(*verdict_page));
}

const char *verdict_outcome_name(enum outcome outcome)
{
	static const char *const names[OUTCOME_COUNT] = {"none", "ok", "failed", "skipped"};

	return names[outcome];
}

/* Sets the verdict unless there is one. */
static void verdict_set(enum outcome outcome, const char *reason)
{
	if (verdict_page->outcome != OUTCOME_NONE)
		return;
	snprintf(verdict_page->reason, sizeof(verdict_page->reason), "%s", reason);
	for (char *p = verdict_page->reason; *p; p++) {
		if ((unsigned char)*p < 0x20)
			*p = ' ';
	}
	verdict_page->outcome = outcome;
}

void verdict_fail(const char *fmt, ...)
{
	char text[VERDICT_TEXT];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	verdict_set(OUTCOME_FAILED, text);
	_exit(1);
}

void verdict_skip(const char *fmt, ...)
{
	char text[VERDICT_TEXT];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	verdict_set(OUTCOME_SKIPPED, text);
	_exit(1);
}

void verdict_ok(void)
{
	verdict_set(OUTCOME_OK, "");
	_exit(1);
}

void verdict_broken(enum rule rule, const char *fmt, ...)
{
	char *text = verdict_page->broken[rule];
	va_list ap;

	if (text[0])
		return;
	va_start(ap, fmt);
	vsnprintf(text, VERDICT_TEXT, fmt, ap);
	va_end(ap);
}

void verdict_doing(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(verdict_page->doing, sizeof(verdict_page->doing), fmt, ap);
	va_end(ap);
	/* The watchdog, another process, reads it at any time; a text half written is only ugly. */
	__atomic_store_n(&verdict_page->doing_since_ns, clock_now_ns(), __ATOMIC_RELEASE);
}

uint64_t verdict_done(void)
{
	uint64_t since_ns = verdict_page->doing_since_ns;

	__atomic_store_n(&verdict_page->doing_since_ns, 0, __ATOMIC_RELEASE);
	return clock_now_ns() - since_ns;
}

void verdict_note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(verdict_page->note, sizeof(verdict_page->note), fmt, ap);
	va_end(ap);
}

/* Where it happened, for the end of a reason. */
static const char *verdict_where(char text[2 * VERDICT_DOING])
{
	const struct verdict *v = verdict_page;
	const char *when = v->doing_since_ns ? "in" : "after";

	snprintf(text, sizeof(char[2 * VERDICT_DOING]), " %s %.150s%s%.120s", when,
		 v->doing[0] ? v->doing : "loading it", v->note[0] ? ", " : "", v->note);
	return text;
}

/* The line of a sanitizer or assertion in what the child wrote, or NULL. */
static const char *verdict_complaint(char *errors)
{
	static const char *const signs[] = {"ERROR: ", "runtime error:", "Assertion", "WARNING: "};
	char *save = NULL;

	for (char *line = strtok_r(errors, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		for (size_t i = 0; i < ARRAY_SIZE(signs); i++) {
			if (strstr(line, signs[i]))
				return line;
		}
	}
	return NULL;
}

/* Explains the end of a child that gave no verdict. */
static void verdict_explain(int status, int err_fd)
{
	umdev_autofree char *errors = calloc(1, VERDICT_ERRORS + 1);
	char where[2 * VERDICT_DOING];
	char text[VERDICT_TEXT];
	const char *complaint = NULL;

	if (verdict_page->outcome != OUTCOME_NONE)
		return;
	verdict_where(where);
	if (errors && err_fd >= 0 && pread(err_fd, errors, VERDICT_ERRORS, 0) > 0)
		complaint = verdict_complaint(errors);
	if (WIFSIGNALED(status))
		snprintf(text, sizeof(text), "crashed with SIG%s%.200s%s%.60s",
			 sigabbrev_np(WTERMSIG(status)), where, complaint ? ": " : "",
			 complaint ? complaint : "");
	else if (complaint)
		snprintf(text, sizeof(text), "%.150s;%.160s", complaint, where);
	else
		snprintf(text, sizeof(text), "ended the process with status %d%.200s",
			 WEXITSTATUS(status), where);
	verdict_set(OUTCOME_FAILED, text);
}

/* What the watchdog has to say by now; NULL: nothing. */
static const char *verdict_overdue(uint64_t end_ns, char text[VERDICT_TEXT])
{
	uint64_t since_ns = __atomic_load_n(&verdict_page->doing_since_ns, __ATOMIC_ACQUIRE);
	uint64_t now_ns = clock_now_ns();
	char where[2 * VERDICT_DOING];

	if (since_ns && now_ns > since_ns + VERDICT_HANG_NS)
		snprintf(text, VERDICT_TEXT, "%.150s has not returned for %llu s%s%.100s",
			 verdict_page->doing, VERDICT_HANG_NS / NS_PER_S,
			 verdict_page->note[0] ? ", " : "", verdict_page->note);
	else if (now_ns > end_ns)
		snprintf(text, VERDICT_TEXT, "came to no end%.200s", verdict_where(where));
	else
		return NULL;
	return text;
}

/* Waits for @child, and ends it and its children when that takes too long. */
static int verdict_watch(pid_t child, uint64_t end_ns)
{
	struct timespec look = {.tv_nsec = (long)VERDICT_LOOK_NS};
	char text[VERDICT_TEXT];
	sigset_t set;
	int status = 0;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	while (waitpid(child, &status, WNOHANG) == 0) {
		if (verdict_overdue(end_ns, text)) {
			verdict_set(OUTCOME_FAILED, text);
			kill(-child, SIGKILL);
			kill(child, SIGKILL);
			waitpid(child, &status, 0);
			break;
		}
		sigtimedwait(&set, NULL, &look);
	}
	/* What the child started and left behind. */
	kill(-child, SIGKILL);
	return status;
}

void verdict_run(void (*run)(void *arg), void *arg, uint32_t limit_s, int err_fd)
{
	struct rlimit no_core = {0, 0};
	sigset_t set;
	pid_t child;

	verdict_clear();
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fflush(NULL);
	child = fork();
	if (child < 0) {
		verdict_set(OUTCOME_FAILED, "cannot fork");
		return;
	}
	if (child == 0) {
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setrlimit(RLIMIT_CORE, &no_core);
		sigprocmask(SIG_UNBLOCK, &set, NULL);
		if (err_fd >= 0 && (ftruncate(err_fd, 0) < 0 || lseek(err_fd, 0, SEEK_SET) < 0 ||
				    dup2(err_fd, STDERR_FILENO) < 0))
			_exit(1);
		run(arg);
		verdict_ok();
	}
	setpgid(child, child);
	verdict_explain(verdict_watch(child, clock_now_ns() + limit_s * NS_PER_S), err_fd);
}

void verdict_in_child(void (*run)(void *arg), void *arg)
{
	pid_t child;
	int status = 0;

	fflush(NULL);
	child = fork();
	if (child < 0)
		verdict_fail("cannot fork: %s", strerror(errno));
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		run(arg);
		_exit(0);
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (status == 0)
		return;
	verdict_explain(status, STDERR_FILENO);
	_exit(1);
}
