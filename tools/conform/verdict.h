/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a check has found, in memory that outlives the process that ran it.
 *
 * A check runs in a process of its own. It ends by saying ok, failed or skipped, or it is ended: by
 * a signal, a sanitizer, the watchdog. Then what the driver was asked last explains the end, and
 * stands in the page because it was written there before the driver was called. Breaches of the
 * contract that the driver commits on the way are noted per rule and are no verdict of the check
 * that saw them: each rule has a check of its own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define VERDICT_TEXT  320
#define VERDICT_DOING 160

enum outcome { OUTCOME_NONE, OUTCOME_OK, OUTCOME_FAILED, OUTCOME_SKIPPED, OUTCOME_COUNT };

/* What the harness watches over in every call, whatever the check is about. */
enum rule {
	RULE_ANSWER, /* a callback returned what the contract does not know */
	RULE_TIME,   /* a callback kept the thread for too long */
	RULE_THREAD, /* a service was called on another thread or where it may not be */
	RULE_WATCH,
	RULE_TIMER,
	RULE_IRQ,
	RULE_MEMORY, /* guest memory: maps, holds, transfers */
	RULE_JOB,
	RULE_RESET, /* a reset left something in progress, or told its end wrongly */
	RULE_PURE,  /* a service was called within a question that changes nothing */
	RULE_COUNT
};

struct verdict {
	uint32_t outcome; /* enum outcome */
	uint32_t reserved;
	uint64_t doing_since_ns; /* 0: the driver is not being called */
	char reason[VERDICT_TEXT];
	char doing[VERDICT_DOING]; /* the call in progress, or the last one */
	char note[VERDICT_DOING];  /* where in the check that was, or "" */
	char broken[RULE_COUNT][VERDICT_TEXT];
	char root[64];	/* of a private daemon that is to be removed, or "" */
	int32_t daemon; /* its process, 0: none */
	int32_t reserved2;
};

/* The page that this process reports to; set by verdict_new(), inherited by its children. */
extern struct verdict *verdict_page;

/* Makes the page, shared with children. Returns 0 or -errno. */
int verdict_new(void);

/* Forgets what the last check said. */
void verdict_clear(void);

/* "ok", "failed", "skipped". */
const char *verdict_outcome_name(enum outcome outcome);

/* Ends the process with that verdict of the check. */
__attribute__((noreturn, format(printf, 1, 2))) void verdict_fail(const char *fmt, ...);
__attribute__((noreturn, format(printf, 1, 2))) void verdict_skip(const char *fmt, ...);
__attribute__((noreturn)) void verdict_ok(void);

/* Notes that @rule was broken; the first breach of each is kept. */
__attribute__((format(printf, 2, 3))) void verdict_broken(enum rule rule, const char *fmt, ...);

/* Says what the driver is about to be asked, and that it answered. */
__attribute__((format(printf, 1, 2))) void verdict_doing(const char *fmt, ...);
/* Returns how long that took, in nanoseconds. */
uint64_t verdict_done(void);

/* Says where in the check the following calls are, such as "seed 7"; "" for nowhere special. */
__attribute__((format(printf, 1, 2))) void verdict_note(const char *fmt, ...);

/*
 * Runs @run in a child that @limit_s seconds suffice for, and its children. Whatever way it ends,
 * the page then holds an outcome. @err_fd takes what it writes to its standard error, -1: ours.
 */
void verdict_run(void (*run)(void *arg), void *arg, uint32_t limit_s, int err_fd);

/*
 * Within a check: runs @run in a child, which need not give a verdict. When it ended otherwise than
 * by returning, so does the calling process, with the same verdict.
 */
void verdict_in_child(void (*run)(void *arg), void *arg);
