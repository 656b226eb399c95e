/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libumdev: the blocking client. See umdev/client.h.
 *
 * One call at a time is on its way. What the daemon sends is treated as input like any other: its
 * length is bounded, an answer must carry the id that was asked for, and a stream that makes no
 * sense ends the connection, since nothing after it could be trusted to match.
 */
#include <umdev/client.h>

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "rpc/connect.h"
#include "rpc/frame.h"
#include "rpc/methods.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/list.h"

#define CLIENT_ANSWER_MAX (256UL * 1024 * 1024)
#define CLIENT_EVENTS_MAX 8192
#define CLIENT_READ_CHUNK 16384

struct client_event {
	struct list link;
	char *text;
};

struct umdev_client {
	int fd;
	int32_t timeout_ms;
	json_int_t last_id;
	struct rpc_frame frame;
	struct list events; /* came while an answer was waited for */
	size_t n_events;
	size_t input_at;
	size_t input_len;
	char input[CLIENT_READ_CHUNK];
	struct umdev_error error;
};

static _Thread_local struct umdev_error client_connect_error;

/* A point in time after which waiting ends; UINT64_MAX for none. */
static uint64_t client_deadline_ns(int32_t timeout_ms)
{
	return timeout_ms < 0 ? UINT64_MAX : clock_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
}

/* Waits for @events on the socket. Returns 1, 0 when the time is over, -EINTR, or -errno. */
static int client_wait(const struct umdev_client *client, short events, uint64_t deadline_ns)
{
	struct pollfd p = {.fd = client->fd, .events = events};
	int timeout_ms = -1;
	int n;

	if (deadline_ns != UINT64_MAX) {
		uint64_t now = clock_now_ns();
		uint64_t left = deadline_ns > now ? deadline_ns - now : 0;

		timeout_ms = (int)MIN((left + NS_PER_MS - 1) / NS_PER_MS, (uint64_t)INT_MAX);
	}
	n = poll(&p, 1, timeout_ms);
	if (n < 0)
		return -errno;
	return n > 0;
}

/* Makes the connection useless after a fault of the stream. Returns the errno of @word. */
__attribute__((format(printf, 3, 4))) static int
client_fail(struct umdev_client *client, enum error_word word, const char *fmt, ...)
{
	char message[ERROR_MESSAGE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	fd_close(&client->fd);
	return error_set(&client->error, word, "%s", message);
}

int umdev_client_connect(const char *root, struct umdev_client **ret_client)
{
	struct umdev_client *client;
	int fd;

	client_connect_error = (struct umdev_error){0};
	fd = rpc_connect(root, &client_connect_error);
	if (fd < 0)
		return fd;
	client = calloc(1, sizeof(*client));
	if (!client) {
		fd_close(&fd);
		return error_set(&client_connect_error, ERROR_NO_MEMORY, "no memory for a client");
	}
	client->fd = fd;
	client->timeout_ms = UMDEV_CLIENT_TIMEOUT_MS;
	list_init(&client->events);
	rpc_frame_init(&client->frame, CLIENT_ANSWER_MAX);
	*ret_client = client;
	return 0;
}

void umdev_client_free(struct umdev_client *client)
{
	struct client_event *event;
	struct client_event *tmp;

	if (!client)
		return;
	list_for_each_safe (event, tmp, &client->events, link) {
		list_del(&event->link);
		free(event->text);
		free(event);
	}
	rpc_frame_done(&client->frame);
	fd_close(&client->fd);
	free(client);
}

void umdev_client_free_text(char *text)
{
	free(text);
}

int umdev_client_fd(const struct umdev_client *client)
{
	return client->fd;
}

void umdev_client_set_timeout(struct umdev_client *client, int32_t timeout_ms)
{
	client->timeout_ms = timeout_ms;
}

static const struct umdev_error *client_error(const struct umdev_client *client)
{
	return client ? &client->error : &client_connect_error;
}

const char *umdev_client_error_word(const struct umdev_client *client)
{
	return error_word_name(client_error(client)->word);
}

const char *umdev_client_error_message(const struct umdev_client *client)
{
	return client_error(client)->message;
}

const char *umdev_client_error_key(const struct umdev_client *client)
{
	return client_error(client)->key;
}

/*
 * The next message in *@ret_message (a new reference). Returns 1, 0 when the time is over, -EINTR
 * when a signal came, or the errno of the client's error.
 */
static int client_next_message(struct umdev_client *client, uint64_t deadline_ns,
			       json_t **ret_message)
{
	while (client->fd >= 0) {
		const char *data = client->input + client->input_at;
		size_t len = client->input_len - client->input_at;
		int event = rpc_frame_feed(&client->frame, &data, &len);
		size_t n_fds = 0;
		ssize_t n;

		client->input_at = client->input_len - len;
		if (event < 0)
			return client_fail(client, ERROR_NO_MEMORY, "no memory for an answer");
		if (event == RPC_FRAME_TOO_LONG)
			return client_fail(client, ERROR_LIMIT, "umdevd sent more than %lu bytes",
					   CLIENT_ANSWER_MAX);
		if (event == RPC_FRAME_TEXT) {
			*ret_message = json_loadb(client->frame.text, client->frame.len, 0, NULL);
			if (*ret_message)
				return 1;
			return client_fail(client, ERROR_INTERNAL, "umdevd sent no valid JSON");
		}
		event = client_wait(client, POLLIN, deadline_ns);
		if (event == 0 || event == -EINTR)
			return event;
		n = fd_recv(client->fd, client->input, sizeof(client->input), NULL, 0, &n_fds);
		if (n == -EAGAIN)
			continue;
		if (n <= 0)
			break;
		client->input_at = 0;
		client->input_len = (size_t)n;
	}
	fd_close(&client->fd);
	error_set(&client->error, ERROR_UNREACHABLE, "umdevd closed the connection");
	return -ECONNRESET;
}

/* Keeps an event for later. The oldest goes when nobody fetches them. */
static int client_keep_event(struct umdev_client *client, const json_t *params)
{
	struct client_event *event = calloc(1, sizeof(*event));

	if (event)
		event->text = json_dumps(params, JSON_COMPACT);
	if (!event || !event->text) {
		free(event);
		return client_fail(client, ERROR_NO_MEMORY, "no memory for an event");
	}
	if (client->n_events == CLIENT_EVENTS_MAX) {
		struct client_event *oldest =
			list_first(&client->events, struct client_event, link);

		list_del(&oldest->link);
		free(oldest->text);
		free(oldest);
		client->n_events--;
	}
	list_add_tail(&client->events, &event->link);
	client->n_events++;
	return 0;
}

static bool client_is_event(const json_t *message)
{
	const char *method = json_string_value(json_object_get(message, "method"));

	return method && strcmp(method, "event") == 0 &&
	       json_is_object(json_object_get(message, "params"));
}

/* Sends one line, waiting as long as the daemon does not take it. */
static int client_send(struct umdev_client *client, const char *line, size_t len,
		       uint64_t deadline_ns)
{
	size_t sent = 0;

	while (sent < len) {
		ssize_t n;
		int r = client_wait(client, POLLOUT, deadline_ns);

		if (r == -EINTR)
			continue;
		if (r == 0)
			return client_fail(client, ERROR_TIMEOUT, "umdevd takes no requests");
		n = send(client->fd, line + sent, len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		/* A daemon that turned us away has said why before it closed. */
		if (n < 0 && errno == EPIPE)
			return 0;
		if (n < 0)
			return client_fail(client, ERROR_UNREACHABLE, "cannot send to umdevd: %s",
					   strerror(errno));
		sent += (size_t)n;
	}
	return 0;
}

static int client_send_call(struct umdev_client *client, const char *method, const char *params,
			    uint64_t deadline_ns)
{
	umdev_autofree char *line = NULL;
	json_t *call;
	json_t *object;
	json_error_t fault;
	size_t len;

	object = params ? json_loads(params, JSON_REJECT_DUPLICATES, &fault) : json_object();
	if (!json_is_object(object)) {
		json_decref(object);
		return error_set(&client->error, ERROR_INVALID,
				 "%s: the parameters are no JSON object", method);
	}
	call = json_pack("{s:s, s:I, s:s, s:o}", "jsonrpc", RPC_JSONRPC_TAG, "id",
			 ++client->last_id, "method", method, "params", object);
	if (call)
		line = json_dumps(call, JSON_COMPACT);
	json_decref(call);
	if (!line)
		return error_set(&client->error, ERROR_INVALID, "the method's name is no text");
	len = strlen(line);
	/* The line end takes the place of the NUL. */
	line[len] = '\n';
	return client_send(client, line, len + 1, deadline_ns);
}

/* Takes over the error of an answer. Returns its errno. */
static int client_take_error(struct umdev_client *client, const json_t *error)
{
	const json_t *data = json_object_get(error, "data");
	enum error_word word = error_word_parse(json_string_value(json_object_get(data, "word")));
	const char *key = json_string_value(json_object_get(data, "key"));
	const char *message = json_string_value(json_object_get(error, "message"));

	return error_set_key(&client->error, word == ERROR_NONE ? ERROR_INTERNAL : word,
			     key ? key : "", "%s",
			     message ? message : "umdevd refused without a reason");
}

/*
 * Looks at one message while an answer is due. Returns 1 when it was the answer, 0 when there is
 * more to come, or the errno of the client's error.
 */
static int client_take_message(struct umdev_client *client, const json_t *message,
			       char **ret_result)
{
	const json_t *id = json_object_get(message, "id");
	const json_t *result = json_object_get(message, "result");
	const json_t *error = json_object_get(message, "error");
	char *text;

	if (client_is_event(message))
		return client_keep_event(client, json_object_get(message, "params"));
	/* An error without an id is about the connection or about what we sent last. */
	if (json_is_object(error) &&
	    (json_is_null(id) || json_integer_value(id) == client->last_id))
		return client_take_error(client, error);
	if (!json_is_integer(id) || json_integer_value(id) != client->last_id || !result)
		return client_fail(client, ERROR_INTERNAL,
				   "umdevd sent what is neither the answer nor an event");
	if (!ret_result)
		return 1;
	text = json_dumps(result, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
	if (!text)
		return client_fail(client, ERROR_NO_MEMORY, "no memory for an answer");
	*ret_result = text;
	return 1;
}

int umdev_client_call(struct umdev_client *client, const char *method, const char *params,
		      char **ret_result)
{
	uint64_t deadline_ns = client_deadline_ns(client->timeout_ms);
	int r;

	client->error = (struct umdev_error){0};
	if (client->fd < 0)
		return error_set(&client->error, ERROR_UNREACHABLE,
				 "the connection to umdevd is closed");
	r = client_send_call(client, method, params, deadline_ns);
	while (r == 0) {
		json_t *message = NULL;

		r = client_next_message(client, deadline_ns, &message);
		if (r == -EINTR) {
			r = 0;
			continue;
		}
		if (r == 0)
			return client_fail(client, ERROR_TIMEOUT,
					   "%s: umdevd gave no answer in time", method);
		if (r < 0)
			return r;
		r = client_take_message(client, message, ret_result);
		json_decref(message);
	}
	return r < 0 ? r : 0;
}

int umdev_client_next_event(struct umdev_client *client, int32_t timeout_ms, char **ret_event)
{
	uint64_t deadline_ns = client_deadline_ns(timeout_ms);

	client->error = (struct umdev_error){0};
	while (list_empty(&client->events)) {
		json_t *message = NULL;
		int r = client_next_message(client, deadline_ns, &message);

		if (r == -EINTR)
			return 0;
		if (r <= 0)
			return r;
		/* An answer that was given up on may come late; only events count here. */
		r = client_is_event(message)
			    ? client_keep_event(client, json_object_get(message, "params"))
			    : 0;
		json_decref(message);
		if (r < 0)
			return r;
	}
	struct client_event *event = list_first(&client->events, struct client_event, link);

	list_del(&event->link);
	client->n_events--;
	*ret_event = event->text;
	free(event);
	return 1;
}
