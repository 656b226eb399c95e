/* SPDX-License-Identifier: BSD-3-Clause */
/* See rpc-fixture.h. */
#include "rpc-fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "rpc/methods.h"
#include "util/cleanup.h"

static struct rpc_binding fixture_bindings[64];

static void fixture_echo(void *data, struct rpc_request *req, json_t *params)
{
	struct fixture *f = data;

	f->n_calls++;
	rpc_reply(req, json_deep_copy(params));
}

static void fixture_version(void *data, struct rpc_request *req, json_t *params)
{
	struct fixture *f = data;

	f->n_calls++;
	rpc_reply(req, json_pack("{s:i, s:i}", "uid", (int)rpc_request_uid(req), "pid",
				 (int)rpc_request_pid(req)));
}

static void fixture_hold(void *data, struct rpc_request *req, json_t *params)
{
	struct fixture *f = data;

	assert_true(f->n_held < FIXTURE_HELD_MAX);
	f->held[f->n_held++] = req;
}

static void fixture_refuse(void *data, struct rpc_request *req, json_t *params)
{
	struct umdev_error err = {0};

	/* The text ends within a character, as one that was cut does. */
	error_set_key(&err, ERROR_DEVICE_BUSY, "uuid", "mdev '%s' is in use \xc3",
		      json_string_value(json_object_get(params, "uuid")));
	rpc_reply_error(req, &err);
}

static void fixture_watch(void *data, struct rpc_request *req, json_t *params)
{
	json_t *event = json_pack("{s:s}", "event", "missed");

	rpc_request_watch(req);
	if (json_object_get(params, "since"))
		rpc_request_notify(req, event);
	json_decref(event);
	rpc_reply(req, json_pack("{s:i}", "next", 5));
}

static void fixture_long(void *data, struct rpc_request *req, json_t *params)
{
	umdev_autofree char *text = malloc(FIXTURE_LONG_TEXT + 1);

	assert_non_null(text);
	memset(text, 'x', FIXTURE_LONG_TEXT);
	text[FIXTURE_LONG_TEXT] = '\0';
	rpc_reply(req, json_pack("{s:s}", "text", text));
}

static void fixture_bind(void)
{
	static const struct rpc_binding special[] = {
		{"version", fixture_version},  {"doctor", fixture_hold},
		{"mdev.stop", fixture_refuse}, {"event.watch", fixture_watch},
		{"driver.list", fixture_long},
	};
	size_t n = 0;

	for (const struct rpc_method *m = rpc_methods; m->name; m++) {
		fixture_bindings[n] = (struct rpc_binding){m->name, fixture_echo};
		for (size_t i = 0; i < ARRAY_SIZE(special); i++) {
			if (strcmp(special[i].method, m->name) == 0)
				fixture_bindings[n] = special[i];
		}
		n++;
		assert_true(n < ARRAY_SIZE(fixture_bindings));
	}
	fixture_bindings[n] = (struct rpc_binding){NULL, NULL};
}

static void fixture_address(const struct fixture *f, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(address->sun_path, sizeof(address->sun_path), "%s/run/umdev/control.sock",
		 f->root);
}

void fixture_init(struct fixture *f)
{
	struct sockaddr_un address;
	struct umdev_error err = {0};
	char path[128];

	*f = (struct fixture){.listen_fd = -1};
	snprintf(f->root, sizeof(f->root), "/tmp/umdev-rpc-XXXXXX");
	assert_non_null(mkdtemp(f->root));
	snprintf(path, sizeof(path), "%s/run", f->root);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/run/umdev", f->root);
	assert_int_equal(mkdir(path, 0700), 0);
	fixture_address(f, &address);
	f->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(f->listen_fd >= 0);
	assert_int_equal(bind(f->listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(f->listen_fd, 128), 0);
	f->reactor = reactor_new();
	assert_non_null(f->reactor);
	fixture_bind();
	assert_int_equal(
		rpc_server_new(f->reactor, f->listen_fd, fixture_bindings, f, &f->server, &err), 0);
}

void fixture_done(struct fixture *f)
{
	static const char *const paths[] = {"/run/umdev/control.sock", "/run/umdev", "/run", ""};
	char path[128];

	rpc_server_free(f->server);
	reactor_free(f->reactor);
	close(f->listen_fd);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		snprintf(path, sizeof(path), "%s%s", f->root, paths[i]);
		assert_int_equal(remove(path), 0);
	}
}

int fixture_connect(const struct fixture *f)
{
	struct sockaddr_un address;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	fixture_address(f, &address);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

void fixture_turn(struct fixture *f)
{
	for (int i = 0; i < 4; i++)
		assert_int_equal(reactor_turn(f->reactor, 0), 0);
}

void fixture_send(struct fixture *f, int fd, const char *text)
{
	size_t len = strlen(text);
	size_t sent = 0;

	while (sent <= len) {
		bool end = sent == len;
		ssize_t n = send(fd, end ? "\n" : text + sent, end ? 1 : len - sent, MSG_NOSIGNAL);

		assert_true(n > 0 || errno == EAGAIN);
		if (n > 0)
			sent += (size_t)n;
		fixture_turn(f);
	}
}

/* Takes what is there of the present line to the end of *@line. Returns what recv(2) does. */
static ssize_t fixture_take(int fd, char **line, size_t *len, bool *ret_ended)
{
	char chunk[65536];
	ssize_t n = recv(fd, chunk, sizeof(chunk), MSG_PEEK);
	const char *end;
	size_t take;

	if (n <= 0)
		return n;
	end = memchr(chunk, '\n', (size_t)n);
	*ret_ended = end != NULL;
	take = end ? (size_t)(end - chunk) + 1 : (size_t)n;
	*line = realloc(*line, *len + take);
	assert_non_null(*line);
	assert_int_equal(recv(fd, *line + *len, take, 0), take);
	*len += take;
	return n;
}

json_t *fixture_receive(struct fixture *f, int fd)
{
	umdev_autofree char *line = NULL;
	size_t len = 0;
	bool ended = false;
	json_t *json;

	for (int idle = 0; !ended; idle++) {
		ssize_t n = fixture_take(fd, &line, &len, &ended);

		if (n == 0 || (n < 0 && errno == ECONNRESET)) {
			assert_int_equal(len, 0);
			return NULL;
		}
		if (n > 0) {
			idle = 0;
			continue;
		}
		assert_int_equal(errno, EAGAIN);
		assert_true(idle < 100);
		fixture_turn(f);
	}
	json = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(json);
	assert_string_equal(json_string_value(json_object_get(json, "jsonrpc")), "2.0");
	return json;
}

const char *fixture_word(const json_t *answer)
{
	const char *word = json_string_value(
		json_object_get(json_object_get(json_object_get(answer, "error"), "data"), "word"));

	assert_non_null(word);
	return word;
}
