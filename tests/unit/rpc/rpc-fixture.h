/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A server over every method of the table below a temporary root, with handlers that the tests
 * steer: "version" answers at once, "doctor" keeps its requests until the test answers them,
 * "mdev.stop" refuses, "event.watch" watches, "driver.list" answers with a long text, and the
 * others answer with their own parameters.
 */
#pragma once

#include <jansson.h>

#include "rpc/server.h"
#include "util/reactor.h"

#define FIXTURE_HELD_MAX  64
#define FIXTURE_LONG_TEXT (300 * 1024)

struct fixture {
	char root[64];
	int listen_fd;
	struct reactor *reactor;
	struct rpc_server *server;
	struct rpc_request *held[FIXTURE_HELD_MAX];
	unsigned n_held;
	unsigned n_calls;
};

/* Makes the root, the socket and the server. Fails the test when it cannot. */
void fixture_init(struct fixture *f);

/* Frees all and removes the root. A server already freed by the test is NULL. */
void fixture_done(struct fixture *f);

/* A connection to the socket, non-blocking. */
int fixture_connect(const struct fixture *f);

/* Lets the server do what is due. */
void fixture_turn(struct fixture *f);

/* Sends @text (a line end is added), lets the server work. */
void fixture_send(struct fixture *f, int fd, const char *text);

/* The next line that comes on @fd, as JSON; NULL at the end of the stream. Fails the test when
 * there is none. The server works meanwhile. */
json_t *fixture_receive(struct fixture *f, int fd);

/* The stable word of an error answer. */
const char *fixture_word(const json_t *answer);
