/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A client of the daemon on the reactor: calls that are answered later, and events as they come.
 *
 * Answers and events are handed on in the order in which the daemon sent them. It sends an event
 * before it answers whoever caused it; so a client that has drained its socket knows all that
 * anybody could have learned from an answer, and can be asked about it. All is owned by the
 * reactor's thread. Input is bounded and checked as in client.c; a stream that makes no sense ends
 * the connection.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "util/cleanup.h"
#include "util/error.h"
#include "util/reactor.h"

struct rpc_async;

/* The outcome of a call: @result (borrowed), or NULL and @err. */
typedef void rpc_async_reply_fn(void *arg, json_t *result, const struct umdev_error *err);

struct rpc_async_ops {
	/* An event of the daemon (borrowed). */
	void (*event)(void *data, json_t *event);
	/* The connection is over; calls that were outstanding have failed with UNREACHABLE. Nothing
	 * more comes. The connection must not be freed from within. */
	void (*closed)(void *data, const struct umdev_error *err);
};

/* Connects to the daemon that serves @root. @ops are kept. Returns 0 or the errno of @err. */
int rpc_async_new(struct reactor *reactor, const char *root, const struct rpc_async_ops *ops,
		  void *data, struct rpc_async **ret, struct umdev_error *err) umdev_warn_unused;

/* Closes the connection without calling closed(); outstanding calls fail. NULL is fine. */
void rpc_async_free(struct rpc_async *conn);

/*
 * Calls @method with @params (stolen; NULL: out of memory). What the daemon would not take yet
 * waits here. @reply is called once, never from within.
 */
int rpc_async_call(struct rpc_async *conn, const char *method, json_t *params,
		   rpc_async_reply_fn *reply, void *arg) umdev_warn_unused;

/* Handles what has arrived by now. */
void rpc_async_drain(struct rpc_async *conn);

/* How many calls are not answered yet. */
size_t rpc_async_outstanding(const struct rpc_async *conn);
