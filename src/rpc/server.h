/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * JSON-RPC 2.0 over a listening unix stream socket, on the reactor.
 *
 * One compact object per line each way; objects that follow each other without a line end are
 * understood too. The peer of every connection is known by its credentials. A handler answers at
 * once or later, from the reactor's thread, which owns all of this. Nothing here blocks.
 *
 * Limits: a request that is longer than RPC_REQUEST_MAX, or comes when RPC_OUTSTANDING_MAX of its
 * connection are still unanswered, is refused; a connection beyond RPC_CLIENTS_MAX is told so and
 * closed; a client with more than RPC_UNSENT_MAX unread bytes behind the message that is being sent
 * to it is closed when another one is due. While a client has RPC_UNSENT_PAUSE unread bytes, its
 * requests are left in the socket.
 */
#pragma once

#include <jansson.h>
#include <sys/types.h>

#include "util/error.h"
#include "util/reactor.h"

#define RPC_REQUEST_MAX	    (1024 * 1024)
#define RPC_CLIENTS_MAX	    64
#define RPC_OUTSTANDING_MAX 16
#define RPC_UNSENT_MAX	    (4 * 1024 * 1024)
#define RPC_UNSENT_PAUSE    (256 * 1024)

struct rpc_server;

/* A request that waits for its answer. Opaque: it lives until it is answered. */
struct rpc_request;

/*
 * Handles one request whose @params fit the method table (always an object, borrowed: take a
 * reference to keep it). It must be answered exactly once with rpc_reply() or rpc_reply_error(),
 * in the handler or later.
 */
typedef void rpc_handler(void *data, struct rpc_request *req, json_t *params);

struct rpc_binding {
	const char *method;
	rpc_handler *handler;
};

/*
 * Serves @listen_fd (a listening, non-blocking unix stream socket, stays the caller's) with
 * @bindings, which ends with a NULL method and is kept. Fails with ERROR_INTERNAL when a method of
 * the table has no handler or a handler no method. Returns 0 or the errno of @err.
 */
int rpc_server_new(struct reactor *reactor, int listen_fd, const struct rpc_binding *bindings,
		   void *data, struct rpc_server **ret_server, struct umdev_error *err);

/*
 * Closes all connections and frees the server; what is unsent is tried once more. Requests still
 * unanswered stay valid, and their answers are dropped. NULL is fine.
 */
void rpc_server_free(struct rpc_server *server);

/* Answers @req with @result (stolen; NULL counts as out of memory) and frees @req. */
void rpc_reply(struct rpc_request *req, json_t *result);

/* Answers @req with @err and frees @req. */
void rpc_reply_error(struct rpc_request *req, const struct umdev_error *err);

/* Who asks, as the kernel says. The pid may be gone by now. */
uid_t rpc_request_uid(const struct rpc_request *req);
pid_t rpc_request_pid(const struct rpc_request *req);

/* The connection of @req gets what rpc_server_publish() sends, from now on. */
void rpc_request_watch(struct rpc_request *req);

/* Sends one event (borrowed) to the connection of @req alone: what it missed. */
void rpc_request_notify(struct rpc_request *req, json_t *event);

/* Sends one event (borrowed) to every connection that watches. */
void rpc_server_publish(struct rpc_server *server, json_t *event);

/* The number of open connections. */
size_t rpc_server_clients(const struct rpc_server *server);
