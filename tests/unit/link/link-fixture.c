/* SPDX-License-Identifier: BSD-3-Clause */
/* See link-fixture.h. */
#include "link-fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/open-fds.h"
#include "util/fd.h"

static void side_request(struct link *link, uint64_t id, const char *method, json_t *params,
			 int *fds, size_t nfds)
{
	struct side *side = link->data;
	char *text = json_dumps(params, JSON_COMPACT | JSON_SORT_KEYS);

	side->requests++;
	side->last_id = id;
	snprintf(side->last_method, sizeof(side->last_method), "%s", method);
	snprintf(side->last_params, sizeof(side->last_params), "%s", text ? text : "");
	free(text);
	side->fd_count = nfds;
	for (size_t i = 0; side->take_fds && i < nfds; i++)
		side->fds[i] = umdev_steal_fd(&fds[i]);
	if (side->answer)
		link_reply(link, id, NULL);
	if (side->done_inside)
		link_done(link);
}

static void side_closed(struct link *link, int error)
{
	struct side *side = link->data;

	side->closed++;
	side->closed_error = error;
	if (side->done_on_close)
		link_done(link);
}

static const struct link_ops side_ops = {.request = side_request, .closed = side_closed};

static struct fixture *fixture_new(int pair[2])
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->open_fds = count_open_fds();
	f->reactor = reactor_new();
	assert_non_null(f->reactor);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(link_init(&f->near.link, f->reactor, pair[0], &side_ops, &f->near), 0);
	f->raw = -1;
	return f;
}

int fixture_setup(void **state)
{
	int pair[2];
	struct fixture *f = fixture_new(pair);

	assert_int_equal(link_init(&f->far.link, f->reactor, pair[1], &side_ops, &f->far), 0);
	*state = f;
	return 0;
}

int fixture_setup_raw(void **state)
{
	int pair[2];
	struct fixture *f = fixture_new(pair);

	f->raw = pair[1];
	*state = f;
	return 0;
}

int fixture_teardown(void **state)
{
	struct fixture *f = *state;

	link_done(&f->near.link);
	link_done(&f->far.link);
	fd_close(&f->raw);
	reactor_free(f->reactor);
	assert_int_equal(count_open_fds(), f->open_fds);
	free(f);
	return 0;
}

void fixture_settle(struct fixture *f)
{
	unsigned quiet = 0;

	while (quiet < 3) {
		unsigned before = f->near.requests + f->near.closed + f->far.requests +
				  f->far.closed + f->near.link.queue_len + f->far.link.queue_len;

		assert_int_equal(reactor_turn(f->reactor, 0), 0);
		quiet = before == f->near.requests + f->near.closed + f->far.requests +
						f->far.closed + f->near.link.queue_len +
						f->far.link.queue_len
				? quiet + 1
				: 0;
	}
}

void outcome_take(void *arg, json_t *result, const struct umdev_error *err)
{
	struct outcome *outcome = arg;
	char *text = result ? json_dumps(result, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

	outcome->called++;
	snprintf(outcome->result, sizeof(outcome->result), "%s", text ? text : "");
	free(text);
	outcome->err = *err;
	if (outcome->done)
		link_done(outcome->done);
}

void fixture_send_raw(struct fixture *f, const char *text, size_t len, const int *fds, size_t nfds)
{
	assert_int_equal(fd_send(f->raw, text, len, fds, nfds), len);
	fixture_settle(f);
}

void fixture_open_many(int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		assert_true(fds[i] >= 0);
	}
}
