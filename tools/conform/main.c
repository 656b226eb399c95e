/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * umdev-conform: holds a vendor driver against the contract of umdev/driver.h.
 *
 * Exit code: 0 without a failed check; 1 with one; 2 for usage.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "check.h"
#include "daemon.h"
#include "options.h"
#include "report.h"
#include "util/fd.h"
#include "util/log.h"
#include "verdict.h"

#define MAIN_CHECKS_MAX 128

/* A run: what was found, and the first breach of each rule. */
struct main_run {
	struct conform_options options;
	struct finding findings[MAIN_CHECKS_MAX];
	struct finding ended[MAIN_CHECKS_MAX]; /* as the check itself said, rules apart */
	char broken[RULE_COUNT][VERDICT_TEXT];
	int err_fd; /* what checks write to their standard error; -1: to ours */
};

/* What one child is to do. */
struct main_job {
	const struct conform_options *options;
	const struct check *check;
};

static void main_child(void *arg)
{
	const struct main_job *job = arg;

	job->check->run(kit_new(job->options));
}

/* Breaches that @check saw; the first of each rule stays. */
static void main_collect(struct main_run *run, const struct check *check)
{
	for (int i = 0; i < RULE_COUNT; i++) {
		if (!verdict_page->broken[i][0] || run->broken[i][0])
			continue;
		if (check->rule == i)
			snprintf(run->broken[i], VERDICT_TEXT, "%s", verdict_page->broken[i]);
		else
			snprintf(run->broken[i], VERDICT_TEXT, "%.260s (during %.30s)",
				 verdict_page->broken[i], check->name);
	}
}

/* Rules of the harness share one function. Takes its outcome where it ran already. */
static bool main_known(const struct main_run *run, size_t index, struct finding *f)
{
	for (size_t i = 0; i < index; i++) {
		const struct check *earlier = &check_table[i];

		if (earlier->run != check_table[index].run ||
		    run->findings[i].outcome == OUTCOME_NONE)
			continue;
		f->outcome = run->ended[i].outcome;
		memcpy(f->reason, run->ended[i].reason, sizeof(f->reason));
		if (f->outcome != OUTCOME_FAILED)
			return true;
		f->outcome = OUTCOME_SKIPPED;
		snprintf(f->reason, sizeof(f->reason), "it stands on what ended early in %s",
			 earlier->name);
		return true;
	}
	return false;
}

static void main_check(struct main_run *run, size_t index)
{
	const struct check *check = &check_table[index];
	struct main_job job = {&run->options, check};
	struct finding *f = &run->findings[index];

	if (!main_known(run, index, f)) {
		verdict_run(main_child, &job, check->limit_s, run->err_fd);
		f->outcome = verdict_page->outcome;
		memcpy(f->reason, verdict_page->reason, sizeof(f->reason));
		main_collect(run, check);
		daemon_clean();
	}
	run->ended[index] = *f;
	if (check->rule >= 0 && run->broken[check->rule][0]) {
		f->outcome = OUTCOME_FAILED;
		memcpy(f->reason, run->broken[check->rule], sizeof(f->reason));
	}
	report_check(&run->options, check, f);
}

static int main_run_checks(struct main_run *run)
{
	bool any = false;

	run->err_fd = run->options.verbose ? -1 : memfd_create("umdev-conform-errors", MFD_CLOEXEC);
	for (size_t i = 0; i < check_count; i++) {
		if (!check_wanted(&run->options, &check_table[i]))
			continue;
		any = true;
		main_check(run, i);
	}
	fd_close(&run->err_fd);
	if (!any) {
		fprintf(stderr, "umdev-conform: --only names no check; see --list\n");
		return 2;
	}
	return report_end(&run->options, run->findings);
}

int main(int argc, char **argv)
{
	static struct main_run run = {.err_fd = -1};
	struct umdev_error err = {0};
	int r = options_parse(argc, argv, &run.options, &err);

	log_setup("umdev-conform", LOG_WARNING);
	signal(SIGPIPE, SIG_IGN);
	if (r < 0) {
		fprintf(stderr, "umdev-conform: %s\n", err.message);
		r = 2;
	} else if (r > 0) {
		r = 0;
	} else if (run.options.list) {
		report_list(&run.options);
	} else if (verdict_new() < 0 || check_count > MAIN_CHECKS_MAX) {
		fprintf(stderr, "umdev-conform: out of memory\n");
		r = 1;
	} else {
		daemon_adopt();
		r = main_run_checks(&run);
	}
	options_done(&run.options);
	return r;
}
