/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The JSON-RPC server. See server.h.
 *
 * Life of a connection: it is referred to by the server's list while its socket is open, by each
 * of its unanswered requests, and by the callback that runs on it. Closing takes the socket away
 * and nothing else, so that a failing send deep inside a handler leaves everything valid; the last
 * reference frees it.
 */
#include "rpc/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "rpc/frame.h"
#include "rpc/methods.h"
#include "util/clock.h"
#include "util/fd.h"

#define RPC_READ_CHUNK	 16384
#define RPC_ACCEPT_RETRY (100 * NS_PER_MS)

/* The codes that JSON-RPC 2.0 reserves, and ours for all that a handler refuses. */
enum rpc_code {
	RPC_CODE_PARSE = -32700,
	RPC_CODE_REQUEST = -32600,
	RPC_CODE_METHOD = -32601,
	RPC_CODE_PARAMS = -32602,
	RPC_CODE_FAILED = -32000,
};

struct rpc_server {
	struct reactor *reactor;
	struct reactor_fd listener;
	struct reactor_timer accept_again;
	const struct rpc_binding *bindings;
	void *data;
	struct list clients;
	size_t n_clients;
};

/* Bytes that the peer has not taken yet. */
struct rpc_chunk {
	struct list link;
	size_t len;
	size_t sent;
	char data[];
};

struct rpc_client {
	struct rpc_server *server; /* NULL once closed */
	struct reactor_fd source;
	struct list link;
	struct list unsent;
	size_t unsent_bytes;
	struct rpc_frame frame;
	size_t input_at;
	size_t input_len;
	unsigned refs;
	unsigned outstanding;
	uid_t uid;
	pid_t pid;
	bool watching;
	bool ended;		    /* the peer sends no more; answers are still owed */
	char input[RPC_READ_CHUNK]; /* read, and worked through up to input_at */
};

struct rpc_request {
	struct rpc_client *client;
	json_t *id; /* NULL: a notification, nobody waits */
};

static void rpc_client_unref(struct rpc_client *client)
{
	if (--client->refs > 0)
		return;
	rpc_frame_done(&client->frame);
	free(client);
}

static void rpc_client_drop_unsent(struct rpc_client *client)
{
	struct rpc_chunk *chunk;
	struct rpc_chunk *tmp;

	list_for_each_safe (chunk, tmp, &client->unsent, link) {
		list_del(&chunk->link);
		free(chunk);
	}
	client->unsent_bytes = 0;
}

/* Takes the socket away. The struct stays for those who still refer to it. */
static void rpc_client_close(struct rpc_client *client)
{
	struct rpc_server *server = client->server;

	if (!server)
		return;
	client->server = NULL;
	reactor_fd_del(server->reactor, &client->source);
	fd_close(&client->source.fd);
	list_del(&client->link);
	server->n_clients--;
	rpc_client_drop_unsent(client);
	rpc_client_unref(client);
}

static bool rpc_client_holds_input(const struct rpc_client *client)
{
	return client->input_at < client->input_len;
}

/* Waits for what the state of the connection allows: input unless paused, room while something is
 * unsent or waits for less to be unsent. */
static void rpc_client_arm(struct rpc_client *client)
{
	uint32_t events = 0;

	if (!client->server)
		return;
	if (!client->ended && !rpc_client_holds_input(client) &&
	    client->unsent_bytes < RPC_UNSENT_PAUSE)
		events |= EPOLLIN;
	if (client->unsent_bytes > 0 || rpc_client_holds_input(client))
		events |= EPOLLOUT;
	if (reactor_fd_events(client->server->reactor, &client->source, events) < 0)
		rpc_client_close(client);
}

/* Sends what the socket takes now. Closes the connection when it is broken. */
static void rpc_client_flush(struct rpc_client *client)
{
	while (client->server && !list_empty(&client->unsent)) {
		struct rpc_chunk *chunk = list_first(&client->unsent, struct rpc_chunk, link);
		ssize_t n = fd_send(client->source.fd, chunk->data + chunk->sent,
				    chunk->len - chunk->sent, NULL, 0);

		if (n == -EAGAIN)
			break;
		if (n < 0) {
			rpc_client_close(client);
			return;
		}
		chunk->sent += (size_t)n;
		client->unsent_bytes -= (size_t)n;
		if (chunk->sent == chunk->len) {
			list_del(&chunk->link);
			free(chunk);
		}
	}
	if (client->ended && client->outstanding == 0 && client->unsent_bytes == 0)
		rpc_client_close(client);
}

/* What waits behind the message that is being sent. That one is an answer that was asked for, of
 * whatever length, and not held against the client. */
static size_t rpc_client_piled_up(const struct rpc_client *client)
{
	const struct rpc_chunk *chunk;

	if (list_empty(&client->unsent))
		return 0;
	chunk = list_first(&client->unsent, struct rpc_chunk, link);
	return client->unsent_bytes - (chunk->len - chunk->sent);
}

/* Queues one line and sends what goes through. */
static void rpc_client_send(struct rpc_client *client, const char *text, size_t len)
{
	struct rpc_chunk *chunk;

	if (!client->server)
		return;
	if (rpc_client_piled_up(client) > RPC_UNSENT_MAX) {
		rpc_client_close(client);
		return;
	}
	chunk = malloc(sizeof(*chunk) + len + 1);
	if (!chunk) {
		rpc_client_close(client);
		return;
	}
	chunk->len = len + 1;
	chunk->sent = 0;
	memcpy(chunk->data, text, len);
	chunk->data[len] = '\n';
	list_add_tail(&client->unsent, &chunk->link);
	client->unsent_bytes += chunk->len;
	/* Sending may find out that the peer is gone, and close. */
	client->refs++;
	rpc_client_flush(client);
	rpc_client_arm(client);
	rpc_client_unref(client);
}

/* Sends @message (stolen). A connection whose answer cannot be made is closed: silence would hang
 * its user. */
static void rpc_client_send_json(struct rpc_client *client, json_t *message)
{
	umdev_autofree char *text = NULL;

	if (message)
		text = json_dumps(message, JSON_COMPACT | JSON_REAL_PRECISION(15));
	json_decref(message);
	if (text)
		rpc_client_send(client, text, strlen(text));
	else
		rpc_client_close(client);
}

/* A JSON text of what may have been cut within a character or come from a file system. */
static json_t *rpc_text_json(const char *text)
{
	char plain[ERROR_MESSAGE_MAX];
	json_t *json = json_string(text);

	if (json)
		return json;
	snprintf(plain, sizeof(plain), "%s", text);
	for (char *c = plain; *c; c++) {
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	}
	return json_string(plain);
}

/* The error object of JSON-RPC with our stable word in its data. */
static json_t *rpc_error_json(enum rpc_code code, const struct umdev_error *err)
{
	json_t *data = json_pack("{s:s, s:i}", "word", error_word_name(err->word), "errno",
				 error_word_errno(err->word));

	if (err->key[0])
		json_object_set_new(data, "key", rpc_text_json(err->key));
	return json_pack("{s:i, s:o, s:o}", "code", (int)code, "message",
			 rpc_text_json(err->message), "data", data);
}

/* Answers with an error; @id (borrowed) may be NULL when it is not known. */
static void rpc_client_refuse(struct rpc_client *client, json_t *id, enum rpc_code code,
			      const struct umdev_error *err)
{
	rpc_client_send_json(client,
			     json_pack("{s:s, s:O, s:o}", "jsonrpc", RPC_JSONRPC_TAG, "id",
				       id ? id : json_null(), "error", rpc_error_json(code, err)));
}

static struct rpc_request *rpc_request_new(struct rpc_client *client, json_t *id)
{
	struct rpc_request *req = calloc(1, sizeof(*req));

	if (!req)
		return NULL;
	req->client = client;
	req->id = json_incref(id);
	client->refs++;
	client->outstanding++;
	return req;
}

static void rpc_request_free(struct rpc_request *req)
{
	struct rpc_client *client = req->client;

	client->outstanding--;
	json_decref(req->id);
	free(req);
	if (client->server)
		rpc_client_flush(client);
	rpc_client_unref(client);
}

static rpc_handler *rpc_server_handler(const struct rpc_server *server, const char *method)
{
	for (const struct rpc_binding *b = server->bindings; b->method; b++) {
		if (strcmp(b->method, method) == 0)
			return b->handler;
	}
	return NULL;
}

/* Hands a request that fits the table to its handler. */
static void rpc_client_call(struct rpc_client *client, const struct rpc_method *method, json_t *id,
			    json_t *params)
{
	struct rpc_server *server = client->server;
	struct umdev_error err = {0};
	struct rpc_request *req;

	if (rpc_method_check(method, params, &err) < 0) {
		if (id)
			rpc_client_refuse(client, id, RPC_CODE_PARAMS, &err);
		return;
	}
	if (client->outstanding >= RPC_OUTSTANDING_MAX) {
		error_set(&err, ERROR_LIMIT,
			  "%s: %d requests of this connection are unanswered; wait for one of them",
			  method->name, RPC_OUTSTANDING_MAX);
		if (id)
			rpc_client_refuse(client, id, RPC_CODE_FAILED, &err);
		return;
	}
	params = params ? json_incref(params) : json_object();
	req = params ? rpc_request_new(client, id) : NULL;
	if (req)
		rpc_server_handler(server, method->name)(server->data, req, params);
	else
		rpc_client_close(client);
	json_decref(params);
}

/* What is wrong with the envelope of @message, or NULL. Sets *@ret_id when it can be told. */
static const char *rpc_envelope_fault(const json_t *message, json_t **ret_id)
{
	const char *tag = json_string_value(json_object_get(message, "jsonrpc"));
	json_t *id = json_object_get(message, "id");

	if (json_is_array(message))
		return "requests come one by one, not in a batch";
	if (!json_is_object(message))
		return "a request is an object";
	if (id && !json_is_string(id) && !json_is_number(id) && !json_is_null(id))
		return "the id of a request is a text, a number or null";
	*ret_id = id;
	if (!tag || strcmp(tag, RPC_JSONRPC_TAG) != 0)
		return "a request has \"jsonrpc\": \"2.0\"";
	if (!json_is_string(json_object_get(message, "method")))
		return "a request has a method, which is a text";
	return NULL;
}

static void rpc_client_dispatch(struct rpc_client *client, const json_t *message)
{
	struct umdev_error err = {0};
	const struct rpc_method *method;
	const char *fault;
	const char *name;
	json_t *id = NULL;

	fault = rpc_envelope_fault(message, &id);
	if (fault) {
		error_set(&err, ERROR_INVALID, "%s", fault);
		rpc_client_refuse(client, id, RPC_CODE_REQUEST, &err);
		return;
	}
	name = json_string_value(json_object_get(message, "method"));
	method = rpc_method_find(name);
	if (!method) {
		error_set(&err, ERROR_UNKNOWN_METHOD, "there is no method '%.64s'", name);
		if (id)
			rpc_client_refuse(client, id, RPC_CODE_METHOD, &err);
		return;
	}
	rpc_client_call(client, method, id, json_object_get(message, "params"));
}

/* One text of the stream, or the news that one was too long. */
static void rpc_client_text(struct rpc_client *client, int event)
{
	struct umdev_error err = {0};
	json_error_t fault;
	json_t *message;

	if (event == RPC_FRAME_TOO_LONG) {
		error_set(&err, ERROR_LIMIT, "a request may have %d bytes", RPC_REQUEST_MAX);
		rpc_client_refuse(client, NULL, RPC_CODE_REQUEST, &err);
		return;
	}
	message = json_loadb(client->frame.text, client->frame.len,
			     JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &fault);
	if (!message) {
		error_set(&err, ERROR_INVALID, "not JSON: %s", fault.text);
		rpc_client_refuse(client, NULL, RPC_CODE_PARSE, &err);
		return;
	}
	rpc_client_dispatch(client, message);
	json_decref(message);
}

/* Works through what was read until it is used up or the peer has too much to read itself. */
static void rpc_client_input(struct rpc_client *client)
{
	while (client->server && rpc_client_holds_input(client) &&
	       client->unsent_bytes < RPC_UNSENT_PAUSE) {
		const char *data = client->input + client->input_at;
		size_t len = client->input_len - client->input_at;
		int event = rpc_frame_feed(&client->frame, &data, &len);

		client->input_at = client->input_len - len;
		if (event < 0)
			rpc_client_close(client);
		else if (event != RPC_FRAME_NONE)
			rpc_client_text(client, event);
	}
}

static void rpc_client_read(struct rpc_client *client)
{
	size_t n_fds = 0;
	ssize_t n =
		fd_recv(client->source.fd, client->input, sizeof(client->input), NULL, 0, &n_fds);

	if (n == -EAGAIN)
		return;
	if (n < 0) {
		rpc_client_close(client);
		return;
	}
	if (n == 0) {
		/* A peer may shut its side and still wait for answers. */
		client->ended = true;
		rpc_client_flush(client);
		return;
	}
	client->input_at = 0;
	client->input_len = (size_t)n;
	rpc_client_input(client);
}

static void rpc_client_ready(struct reactor_fd *source, uint32_t events)
{
	struct rpc_client *client = container_of(source, struct rpc_client, source);

	client->refs++;
	/* Requests of a peer that has closed are still done; without any, nobody is left. */
	if ((events & EPOLLERR) || ((events & EPOLLHUP) && !(events & EPOLLIN)))
		rpc_client_close(client);
	if (client->server && (events & EPOLLOUT)) {
		rpc_client_flush(client);
		rpc_client_input(client);
	}
	if (client->server && (events & EPOLLIN) && !rpc_client_holds_input(client))
		rpc_client_read(client);
	if (client->server && client->ended && (events & EPOLLHUP))
		rpc_client_close(client);
	rpc_client_arm(client);
	rpc_client_unref(client);
}

/* Tells a connection that there is no room for why it is closed. */
static void rpc_server_turn_away(int fd)
{
	struct umdev_error err = {0};
	umdev_autofree char *text = NULL;
	json_t *message;

	error_set(&err, ERROR_LIMIT, "the daemon serves at most %d connections; close one",
		  RPC_CLIENTS_MAX);
	message = json_pack("{s:s, s:n, s:o}", "jsonrpc", RPC_JSONRPC_TAG, "id", "error",
			    rpc_error_json(RPC_CODE_FAILED, &err));
	if (message)
		text = json_dumps(message, JSON_COMPACT | JSON_REAL_PRECISION(15));
	json_decref(message);
	if (!text)
		return;
	/* Room for one line is there in a fresh socket; if not, the close alone has to do. */
	if (fd_send(fd, text, strlen(text), NULL, 0) > 0)
		(void)!fd_send(fd, "\n", 1, NULL, 0);
}

/* Makes a connection of @fd (owned from here on). */
static void rpc_server_admit(struct rpc_server *server, int fd)
{
	umdev_autoclose int owned = fd;
	struct ucred cred = {0};
	socklen_t cred_len = sizeof(cred);
	struct rpc_client *client;

	if (server->n_clients >= RPC_CLIENTS_MAX) {
		rpc_server_turn_away(owned);
		return;
	}
	if (getsockopt(owned, SOL_SOCKET, SO_PEERCRED, &cred, &cred_len) < 0)
		return;
	client = calloc(1, sizeof(*client));
	if (!client)
		return;
	client->uid = cred.uid;
	client->pid = cred.pid;
	client->server = server;
	client->source.fd = owned;
	client->source.events = EPOLLIN;
	client->source.ready = rpc_client_ready;
	client->refs = 1;
	list_init(&client->unsent);
	rpc_frame_init(&client->frame, RPC_REQUEST_MAX);
	if (reactor_fd_add(server->reactor, &client->source) < 0) {
		free(client);
		return;
	}
	(void)umdev_steal_fd(&owned);
	list_add_tail(&server->clients, &client->link);
	server->n_clients++;
}

static void rpc_server_accept(struct reactor_fd *source, uint32_t events)
{
	struct rpc_server *server = container_of(source, struct rpc_server, listener);
	int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0) {
		rpc_server_admit(server, fd);
		return;
	}
	if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
		/* The connection stays in the queue, and would wake the loop without end. */
		reactor_fd_del(server->reactor, source);
		reactor_timer_set(server->reactor, &server->accept_again,
				  reactor_now_ns(server->reactor) + RPC_ACCEPT_RETRY);
	}
}

static void rpc_server_accept_again(struct reactor_timer *timer)
{
	struct rpc_server *server = container_of(timer, struct rpc_server, accept_again);

	if (reactor_fd_add(server->reactor, &server->listener) < 0)
		reactor_timer_set(server->reactor, timer,
				  reactor_now_ns(server->reactor) + RPC_ACCEPT_RETRY);
}

static int rpc_bindings_check(const struct rpc_binding *bindings, struct umdev_error *err)
{
	for (const struct rpc_binding *b = bindings; b->method; b++) {
		if (!rpc_method_find(b->method))
			return error_set_key(err, ERROR_INTERNAL, b->method,
					     "the handler of '%s' has no method in the table",
					     b->method);
	}
	for (const struct rpc_method *m = rpc_methods; m->name; m++) {
		const struct rpc_binding *b = bindings;

		while (b->method && strcmp(b->method, m->name) != 0)
			b++;
		if (!b->method || !b->handler)
			return error_set_key(err, ERROR_INTERNAL, m->name,
					     "the method '%s' has no handler", m->name);
	}
	return 0;
}

int rpc_server_new(struct reactor *reactor, int listen_fd, const struct rpc_binding *bindings,
		   void *data, struct rpc_server **ret_server, struct umdev_error *err)
{
	struct rpc_server *server;
	int r;

	r = rpc_bindings_check(bindings, err);
	if (r < 0)
		return r;
	server = calloc(1, sizeof(*server));
	if (!server)
		return error_set(err, ERROR_NO_MEMORY, "no memory for the RPC server");
	server->reactor = reactor;
	server->bindings = bindings;
	server->data = data;
	server->listener.fd = listen_fd;
	server->listener.events = EPOLLIN;
	server->listener.ready = rpc_server_accept;
	server->accept_again.expired = rpc_server_accept_again;
	list_init(&server->clients);
	r = reactor_fd_add(reactor, &server->listener);
	if (r < 0) {
		free(server);
		return error_set(err, ERROR_INTERNAL, "cannot wait on the control socket: %s",
				 strerror(-r));
	}
	*ret_server = server;
	return 0;
}

void rpc_server_free(struct rpc_server *server)
{
	if (!server)
		return;
	while (!list_empty(&server->clients)) {
		struct rpc_client *client = list_first(&server->clients, struct rpc_client, link);

		client->refs++;
		rpc_client_flush(client);
		rpc_client_close(client);
		rpc_client_unref(client);
	}
	reactor_timer_cancel(server->reactor, &server->accept_again);
	reactor_fd_del(server->reactor, &server->listener);
	free(server);
}

size_t rpc_server_clients(const struct rpc_server *server)
{
	return server->n_clients;
}

uid_t rpc_request_uid(const struct rpc_request *req)
{
	return req->client->uid;
}

pid_t rpc_request_pid(const struct rpc_request *req)
{
	return req->client->pid;
}

void rpc_reply(struct rpc_request *req, json_t *result)
{
	struct umdev_error err = {0};

	if (!result) {
		error_set(&err, ERROR_NO_MEMORY, "no memory for the answer");
		rpc_reply_error(req, &err);
		return;
	}
	if (req->id && req->client->server)
		rpc_client_send_json(req->client,
				     json_pack("{s:s, s:O, s:O}", "jsonrpc", RPC_JSONRPC_TAG, "id",
					       req->id, "result", result));
	json_decref(result);
	rpc_request_free(req);
}

void rpc_reply_error(struct rpc_request *req, const struct umdev_error *err)
{
	if (req->id && req->client->server)
		rpc_client_refuse(req->client, req->id, RPC_CODE_FAILED, err);
	rpc_request_free(req);
}

void rpc_request_watch(struct rpc_request *req)
{
	req->client->watching = true;
}

static char *rpc_event_text(json_t *event)
{
	json_t *message = json_pack("{s:s, s:s, s:O}", "jsonrpc", RPC_JSONRPC_TAG, "method",
				    "event", "params", event);
	char *text = message ? json_dumps(message, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;

	json_decref(message);
	return text;
}

void rpc_request_notify(struct rpc_request *req, json_t *event)
{
	umdev_autofree char *text = rpc_event_text(event);

	if (text)
		rpc_client_send(req->client, text, strlen(text));
}

void rpc_server_publish(struct rpc_server *server, json_t *event)
{
	umdev_autofree char *text = NULL;
	struct rpc_client *client;
	struct rpc_client *tmp;

	list_for_each_safe (client, tmp, &server->clients, link) {
		if (!client->watching)
			continue;
		if (!text)
			text = rpc_event_text(event);
		if (!text)
			return;
		rpc_client_send(client, text, strlen(text));
	}
}
