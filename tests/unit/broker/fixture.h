/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A broker on a temporary root with the fake host, driven through its handlers: what a client would
 * send as JSON goes in, what it would get comes out.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/api.h"
#include "broker/broker.h"

struct fixture {
	char dir[64];	  /* temporary */
	char root[80];	  /* dir/root */
	char drivers[80]; /* dir/drivers: what the fake host reads and writes */
	struct broker_config config;
	struct reactor *reactor;
	struct broker *broker;
	bool booted;
	bool ended;
	uid_t uid;		/* who calls */
	struct umdev_error err; /* of the last call that failed */
};

/* cmocka fixtures: a booted broker without parents; at the end no child may be left. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* What the fake host shall do from now on: lines "what=how". */
void fixture_script(const struct fixture *f, const char *text);

/* The log of the fake host, which is emptied. Freed by the caller. */
char *fixture_log(const struct fixture *f);

/* The place of @line in @log; fails the test when it is not there. */
const char *fixture_find(const char *log, const char *line);

/* Begins a call; *@ret_done becomes 1 when it succeeded, -1 when it failed. */
void fixture_begin(struct fixture *f, const char *method, const char *params, int *ret_done);

/* Calls and waits. Result, owned by the caller, or NULL with f->err. */
json_t *fixture_call(struct fixture *f, const char *method, const char *params);

/* Calls and expects success, or a failure with that word. */
void fixture_ok(struct fixture *f, const char *method, const char *params);
void fixture_fails(struct fixture *f, enum error_word word, const char *method, const char *params);

/* Calls and returns a member of the result as text, up to the next such call: "a.b.0.c". */
const char *fixture_get(struct fixture *f, const char *method, const char *params,
			const char *path);

/* Runs the loop until fixture_get() gives @expected. */
void fixture_until(struct fixture *f, const char *method, const char *path, const char *expected);

/* Runs the loop until *@flag is not 0; the test fails after 10 s. */
void fixture_wait(struct fixture *f, const int *flag);

/* Runs the loop until an event of that name was recorded after number @since. */
void fixture_wait_event(struct fixture *f, const char *name, uint64_t since);

/* Ends the broker in order or, as if it died, at once; and starts it anew. */
void fixture_stop(struct fixture *f);
void fixture_kill(struct fixture *f);

/* ... as if it were killed while nothing is under way, and its hosts live on. */
void fixture_leave(struct fixture *f);

/* Another broker, in a process of its own, does what @live does and is killed once @line (NULL:
 * nothing) was in the log of its host. Its hosts live on. */
void fixture_broker_dies(struct fixture *f, void (*live)(struct fixture *f), const char *line);
void fixture_start(struct fixture *f);

/* Writes, reads (freed by the caller, NULL: not there) and looks for a file below the root. */
void fixture_write(const struct fixture *f, const char *path, const char *text);
char *fixture_read(const struct fixture *f, const char *path);
bool fixture_exists(const struct fixture *f, const char *path);
