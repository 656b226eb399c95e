/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two links over one socket pair in one loop, or one link and a raw socket that plays a peer of any
 * manners. Each side records what it is told. The teardown checks that no descriptor was left open.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "link/link.h"

#define SIDE_FDS_MAX LINK_FDS_MAX

struct side {
	struct link link;
	unsigned requests;
	unsigned closed;
	int closed_error;
	uint64_t last_id;
	char last_method[32];
	char last_params[256]; /* compact JSON */
	int fds[SIDE_FDS_MAX]; /* of the last request, when take_fds */
	size_t fd_count;
	/* What the next request is answered with. */
	bool answer;	    /* at once, with an empty object */
	bool take_fds;	    /* keep the descriptors */
	bool done_inside;   /* link_done() from within request() */
	bool done_on_close; /* link_done() from within closed() */
};

/* The outcome of one call. */
struct outcome {
	unsigned called;
	char result[256]; /* compact JSON, "" when there was none */
	struct umdev_error err;
	struct link *done; /* link_done() from within the reply function */
};

struct fixture {
	struct reactor *reactor;
	struct side near;
	struct side far; /* unused when raw >= 0 */
	int raw;	 /* a peer's end without a link */
	int open_fds;
};

/* Two links. */
int fixture_setup(void **state);
/* One link (near) and a raw end. */
int fixture_setup_raw(void **state);
int fixture_teardown(void **state);

/* Turns the loop until nothing happens any more. */
void fixture_settle(struct fixture *f);

/* The reply function that fills a struct outcome. */
void outcome_take(void *arg, json_t *result, const struct umdev_error *err);

/* Sends one raw message with @nfds descriptors to the near link, and lets it be read. */
void fixture_send_raw(struct fixture *f, const char *text, size_t len, const int *fds, size_t nfds);

/* Descriptors to give away: @count of /dev/null. */
void fixture_open_many(int *fds, size_t count);
