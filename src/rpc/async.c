/* SPDX-License-Identifier: BSD-3-Clause */
/* Calls and events on the reactor. See async.h. */
#include "rpc/async.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/connect.h"
#include "rpc/frame.h"
#include "rpc/methods.h"
#include "rpc/server.h"
#include "util/fd.h"
#include "util/list.h"

#define ASYNC_ANSWER_MAX (256UL * 1024 * 1024)
#define ASYNC_READ_CHUNK 65536

/* One call, from the moment it is made to its answer. */
struct async_call {
	struct list link;
	json_int_t id;
	rpc_async_reply_fn *reply;
	void *arg;
	size_t len; /* of the line */
	size_t sent;
	char line[];
};

struct rpc_async {
	struct reactor *reactor;
	struct reactor_fd source;
	struct reactor_task closing;
	const struct rpc_async_ops *ops;
	void *data;
	struct rpc_frame frame;
	struct list unsent; /* the first one may be sent in part */
	struct list waiting;
	size_t n_unsent;
	size_t n_waiting;
	json_int_t last_id;
	bool reading; /* a handler that drains again gets nothing */
	struct umdev_error error;
};

static void async_end(struct rpc_async *conn, enum error_word word, const char *text)
{
	if (conn->source.fd < 0)
		return;
	reactor_fd_del(conn->reactor, &conn->source);
	fd_close(&conn->source.fd);
	error_set(&conn->error, word, "%s", text);
	reactor_task_add(conn->reactor, &conn->closing);
}

static void async_fail_calls(struct rpc_async *conn, struct list *calls)
{
	while (!list_empty(calls)) {
		struct async_call *call = list_first(calls, struct async_call, link);

		list_del(&call->link);
		call->reply(call->arg, NULL, &conn->error);
		free(call);
	}
}

static void async_closed(struct reactor_task *task)
{
	struct rpc_async *conn = container_of(task, struct rpc_async, closing);

	async_fail_calls(conn, &conn->waiting);
	async_fail_calls(conn, &conn->unsent);
	conn->n_waiting = 0;
	conn->n_unsent = 0;
	conn->ops->closed(conn->data, &conn->error);
}

/* ---- Sending --------------------------------------------------------------------------------- */

/* Sends calls as far as the socket and the daemon's bound on unanswered ones allow. */
static void async_flush(struct rpc_async *conn)
{
	uint32_t events = EPOLLIN;

	while (conn->source.fd >= 0 && conn->n_unsent > 0 &&
	       conn->n_waiting < RPC_OUTSTANDING_MAX) {
		struct async_call *call = list_first(&conn->unsent, struct async_call, link);
		ssize_t n = fd_send(conn->source.fd, call->line + call->sent,
				    call->len - call->sent, NULL, 0);

		if (n == -EAGAIN) {
			events |= EPOLLOUT;
			break;
		}
		if (n < 0) {
			async_end(conn, ERROR_UNREACHABLE, "umdevd closed the connection");
			return;
		}
		call->sent += (size_t)n;
		if (call->sent < call->len)
			continue;
		list_del(&call->link);
		list_add_tail(&conn->waiting, &call->link);
		conn->n_unsent--;
		conn->n_waiting++;
	}
	if (conn->source.fd >= 0 && reactor_fd_events(conn->reactor, &conn->source, events) < 0)
		async_end(conn, ERROR_INTERNAL, "cannot wait for umdevd");
}

int rpc_async_call(struct rpc_async *conn, const char *method, json_t *params,
		   rpc_async_reply_fn *reply, void *arg)
{
	umdev_autofree char *text = NULL;
	struct async_call *call;
	json_t *object;
	size_t len;

	if (conn->source.fd < 0) {
		json_decref(params);
		return -ENOTCONN;
	}
	object = json_pack("{s:s, s:I, s:s, s:o}", "jsonrpc", RPC_JSONRPC_TAG, "id",
			   conn->last_id + 1, "method", method, "params", params);
	text = object ? json_dumps(object, JSON_COMPACT) : NULL;
	json_decref(object);
	if (!text)
		return -ENOMEM;
	len = strlen(text);
	call = malloc(sizeof(*call) + len + 1);
	if (!call)
		return -ENOMEM;
	*call = (struct async_call){
		.id = ++conn->last_id, .reply = reply, .arg = arg, .len = len + 1};
	memcpy(call->line, text, len);
	call->line[len] = '\n';
	list_add_tail(&conn->unsent, &call->link);
	conn->n_unsent++;
	async_flush(conn);
	return 0;
}

size_t rpc_async_outstanding(const struct rpc_async *conn)
{
	return conn->n_unsent + conn->n_waiting;
}

/* ---- Receiving ------------------------------------------------------------------------------- */

static void async_take_error(const json_t *error, struct umdev_error *err)
{
	const json_t *data = json_object_get(error, "data");
	enum error_word word = error_word_parse(json_string_value(json_object_get(data, "word")));
	const char *key = json_string_value(json_object_get(data, "key"));
	const char *message = json_string_value(json_object_get(error, "message"));

	error_set_key(err, word == ERROR_NONE ? ERROR_INTERNAL : word, key ? key : "", "%s",
		      message ? message : "umdevd refused without a reason");
}

/* The daemon may answer in any order. */
static struct async_call *async_find(struct rpc_async *conn, json_int_t id)
{
	struct async_call *call;

	list_for_each (call, &conn->waiting, link) {
		if (call->id == id)
			return call;
	}
	return NULL;
}

static void async_take_answer(struct rpc_async *conn, const json_t *message)
{
	const json_t *id = json_object_get(message, "id");
	json_t *result = json_object_get(message, "result");
	const json_t *error = json_object_get(message, "error");
	struct async_call *call =
		json_is_integer(id) ? async_find(conn, json_integer_value(id)) : NULL;
	struct umdev_error err = {0};

	if (!json_is_object(error) == !result || (!call && !json_is_object(error))) {
		async_end(conn, ERROR_INTERNAL,
			  "umdevd sent what is neither an answer nor an event");
		return;
	}
	if (error)
		async_take_error(error, &err);
	/* An error without an id is about the connection. */
	if (!call) {
		async_end(conn, err.word, err.message);
		return;
	}
	list_del(&call->link);
	conn->n_waiting--;
	call->reply(call->arg, result, result ? NULL : &err);
	free(call);
}

static void async_take(struct rpc_async *conn, const char *text, size_t len)
{
	json_t *message = json_loadb(text, len, 0, NULL);
	const char *method = json_string_value(json_object_get(message, "method"));
	json_t *params = json_object_get(message, "params");

	if (!message)
		async_end(conn, ERROR_INTERNAL, "umdevd sent no valid JSON");
	else if (method && strcmp(method, "event") == 0 && json_is_object(params))
		conn->ops->event(conn->data, params);
	else
		async_take_answer(conn, message);
	json_decref(message);
}

static void async_feed(struct rpc_async *conn, const char *data, size_t len)
{
	while (conn->source.fd >= 0 && len > 0) {
		int event = rpc_frame_feed(&conn->frame, &data, &len);

		if (event == RPC_FRAME_TEXT)
			async_take(conn, conn->frame.text, conn->frame.len);
		else if (event == RPC_FRAME_TOO_LONG)
			async_end(conn, ERROR_LIMIT, "umdevd sent too long an answer");
		else if (event < 0)
			async_end(conn, ERROR_NO_MEMORY, "no memory for an answer of umdevd");
	}
}

void rpc_async_drain(struct rpc_async *conn)
{
	char data[ASYNC_READ_CHUNK];

	if (conn->reading)
		return;
	conn->reading = true;
	while (conn->source.fd >= 0) {
		size_t n_fds = 0;
		ssize_t n = fd_recv(conn->source.fd, data, sizeof(data), NULL, 0, &n_fds);

		if (n == -EAGAIN)
			break;
		if (n <= 0)
			async_end(conn, ERROR_UNREACHABLE, "umdevd closed the connection");
		else
			async_feed(conn, data, (size_t)n);
	}
	conn->reading = false;
	async_flush(conn);
}

static void async_ready(struct reactor_fd *source, uint32_t events)
{
	rpc_async_drain(container_of(source, struct rpc_async, source));
}

/* ---- Begin and end --------------------------------------------------------------------------- */

int rpc_async_new(struct reactor *reactor, const char *root, const struct rpc_async_ops *ops,
		  void *data, struct rpc_async **ret, struct umdev_error *err)
{
	struct rpc_async *conn = calloc(1, sizeof(*conn));
	int r;

	if (!conn)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	conn->reactor = reactor;
	conn->ops = ops;
	conn->data = data;
	conn->closing.run = async_closed;
	conn->source.events = EPOLLIN;
	conn->source.ready = async_ready;
	list_init(&conn->unsent);
	list_init(&conn->waiting);
	rpc_frame_init(&conn->frame, ASYNC_ANSWER_MAX);
	conn->source.fd = rpc_connect(root, err);
	if (conn->source.fd < 0) {
		r = conn->source.fd;
		rpc_async_free(conn);
		return r;
	}
	r = fd_set_nonblock(conn->source.fd, true);
	if (r == 0)
		r = reactor_fd_add(reactor, &conn->source);
	if (r < 0) {
		rpc_async_free(conn);
		return error_set(err, ERROR_INTERNAL, "cannot wait for umdevd: %s", strerror(-r));
	}
	*ret = conn;
	return 0;
}

void rpc_async_free(struct rpc_async *conn)
{
	if (!conn)
		return;
	if (conn->source.fd >= 0)
		reactor_fd_del(conn->reactor, &conn->source);
	fd_close(&conn->source.fd);
	reactor_task_del(conn->reactor, &conn->closing);
	if (conn->error.word == ERROR_NONE)
		error_set(&conn->error, ERROR_UNREACHABLE, "the connection is being closed");
	async_fail_calls(conn, &conn->waiting);
	async_fail_calls(conn, &conn->unsent);
	rpc_frame_done(&conn->frame);
	free(conn);
}
