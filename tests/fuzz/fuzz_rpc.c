/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The server of the RPC: how it cuts a stream into requests, checks them by the method table, and
 * queues answers for those who do not read them. Handlers answer at once, later, with an error, or
 * with a lot.
 *
 * Input: bytes of clients. 0x00 is followed by a byte that says what else happens (see fuzz_act()).
 * Whatever a client receives is lines of JSON-RPC.
 */
#include <jansson.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "rpc/methods.h"
#include "rpc/server.h"
#include "util/fd.h"

#include "fuzz.h"

#define METHODS_MAX 64
#define LARGE_MAX   2 /* more would only take time */
#define CLIENTS	    3
#define PENDING	    (RPC_OUTSTANDING_MAX * CLIENTS * 2)
#define LINE_ROOM   65536
#define BIG_ANSWER  270000

struct fuzz_client {
	int fd;
	bool deaf;
	bool cut; /* a line was longer than there is room for */
	char line[LINE_ROOM];
	size_t len;
};

struct fuzz {
	struct reactor *reactor;
	struct rpc_server *server;
	int listener;
	struct fuzz_client clients[CLIENTS];
	uint32_t current;
	uint8_t mood;	/* of the handlers */
	uint32_t large; /* answers so far that take long */
	struct rpc_request *pending[PENDING];
	uint32_t pending_count;
};

static struct rpc_binding fuzz_bindings[METHODS_MAX];

/* ---- Handlers ---- */

static void fuzz_answer(struct fuzz *f, struct rpc_request *req, json_t *params, uint8_t mood)
{
	struct umdev_error err = {0};
	char *big;

	switch (f->large < LARGE_MAX ? mood % 4 : mood % 3) {
	case 0:
		rpc_reply(req, json_object());
		break;
	case 1:
		rpc_reply(req, json_incref(params));
		break;
	case 2:
		error_set_key(&err, ERROR_DEVICE_BUSY, "k\xc3\xa4y", "no: %.20s",
			      json_string_value(json_object_get(params, "name"))
				      ? json_string_value(json_object_get(params, "name"))
				      : "\xff");
		rpc_reply_error(req, &err);
		break;
	default:
		f->large++;
		big = malloc(BIG_ANSWER);
		fuzz_check(big);
		memset(big, 'x', BIG_ANSWER);
		rpc_reply(req, json_stringn(big, BIG_ANSWER));
		free(big);
		break;
	}
}

static void fuzz_handler(void *data, struct rpc_request *req, json_t *params)
{
	struct fuzz *f = data;

	fuzz_check(json_is_object(params) && rpc_request_uid(req) == getuid());
	fuzz_check(rpc_request_pid(req) == getpid());
	if (f->mood & 8)
		rpc_request_watch(req);
	if (f->mood & 16)
		rpc_request_notify(req, params);
	if (f->mood & 4 && f->pending_count < PENDING) {
		f->pending[f->pending_count++] = req;
		return;
	}
	fuzz_answer(f, req, params, f->mood);
}

static void fuzz_answer_one(struct fuzz *f, uint8_t how)
{
	struct rpc_request *req;
	json_t *params = json_object();
	uint32_t at;

	if (f->pending_count > 0) {
		at = how % f->pending_count;
		req = f->pending[at];
		f->pending[at] = f->pending[--f->pending_count];
		fuzz_answer(f, req, params, how >> 5);
	}
	json_decref(params);
}

/* ---- Clients ---- */

static void fuzz_line(const char *line, size_t len)
{
	json_t *message = json_loadb(line, len, 0, NULL);

	fuzz_check(json_is_object(message));
	fuzz_check(strcmp(json_string_value(json_object_get(message, "jsonrpc")), "2.0") == 0);
	fuzz_check(json_object_get(message, "id") || json_object_get(message, "method"));
	json_decref(message);
}

/* Some bytes without a line end. */
static void fuzz_keep(struct fuzz_client *c, const char *bytes, size_t len)
{
	if (len > sizeof(c->line) - c->len)
		c->cut = true;
	if (c->cut)
		return;
	memcpy(c->line + c->len, bytes, len);
	c->len += len;
}

static void fuzz_receive(struct fuzz_client *c)
{
	static char bytes[LINE_ROOM];
	ssize_t n;

	while (c->fd >= 0 && !c->deaf &&
	       (n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
		const char *at = bytes;
		const char *end = bytes + n;
		const char *stop;

		while ((stop = memchr(at, '\n', (size_t)(end - at))) != NULL) {
			fuzz_keep(c, at, (size_t)(stop - at));
			if (!c->cut)
				fuzz_line(c->line, c->len);
			c->len = 0;
			c->cut = false;
			at = stop + 1;
		}
		fuzz_keep(c, at, (size_t)(end - at));
	}
}

static void fuzz_turn(struct fuzz *f)
{
	for (int i = 0; i < 2; i++) {
		fuzz_check(reactor_turn(f->reactor, 0) == 0);
		for (uint32_t c = 0; c < CLIENTS; c++)
			fuzz_receive(&f->clients[c]);
	}
	fuzz_check(rpc_server_clients(f->server) <= RPC_CLIENTS_MAX);
}

static void fuzz_connect(struct fuzz *f, struct fuzz_client *c)
{
	struct sockaddr_un addr;
	socklen_t len = sizeof(addr);

	fd_close(&c->fd);
	c->len = 0;
	c->cut = false;
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	fuzz_check(c->fd >= 0);
	fuzz_check(getsockname(f->listener, (struct sockaddr *)&addr, &len) == 0);
	fuzz_turn(f);
	fuzz_check(connect(c->fd, (struct sockaddr *)&addr, len) == 0);
	fuzz_check(fd_set_nonblock(c->fd, true) == 0);
	fuzz_turn(f);
}

static void fuzz_send(struct fuzz *f, const void *bytes, size_t len)
{
	struct fuzz_client *c = &f->clients[f->current];
	size_t at = 0;

	for (int tries = 0; c->fd >= 0 && at < len && tries < 64; tries++) {
		ssize_t n = send(c->fd, (const char *)bytes + at, len - at, MSG_NOSIGNAL);

		if (n > 0)
			at += (size_t)n;
		fuzz_turn(f);
	}
	fuzz_turn(f);
}

static void fuzz_publish(struct fuzz *f)
{
	json_t *event = json_pack("{s:s}", "event", "fuzzed");

	rpc_server_publish(f->server, event);
	json_decref(event);
}

static void fuzz_act(struct fuzz *f, uint8_t how)
{
	struct fuzz_client *c = &f->clients[f->current];

	switch (how % 10) {
	case 0:
		f->current = (how >> 4) % CLIENTS;
		break;
	case 1:
		fuzz_connect(f, c);
		break;
	case 2:
		fd_close(&c->fd);
		break;
	case 3:
		if (c->fd >= 0)
			(void)shutdown(c->fd, how & 16 ? SHUT_WR : SHUT_RDWR);
		break;
	case 4:
		fuzz_answer_one(f, how);
		break;
	case 5:
		f->mood = how / 8;
		break;
	case 6:
		c->deaf = how & 16;
		break;
	case 7:
		fuzz_publish(f);
		break;
	default:
		break; /* what came so far arrives alone */
	}
	fuzz_turn(f);
}

/* ---- Life ---- */

static void fuzz_open(struct fuzz *f)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct umdev_error err = {0};
	uint32_t n = 0;

	signal(SIGPIPE, SIG_IGN);
	for (const struct rpc_method *m = rpc_methods; m->name; m++) {
		fuzz_check(n < METHODS_MAX - 1);
		fuzz_bindings[n++] = (struct rpc_binding){m->name, fuzz_handler};
	}
	f->reactor = reactor_new();
	f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* A name in the abstract space, of the kernel's choice. */
	fuzz_check(bind(f->listener, (struct sockaddr *)&addr, sizeof(sa_family_t)) == 0);
	fuzz_check(listen(f->listener, 8) == 0);
	fuzz_check(rpc_server_new(f->reactor, f->listener, fuzz_bindings, f, &f->server, &err) ==
		   0);
	for (uint32_t i = 0; i < CLIENTS; i++)
		f->clients[i].fd = -1;
	fuzz_connect(f, &f->clients[0]);
}

static void fuzz_close(struct fuzz *f)
{
	for (uint32_t i = 0; i < CLIENTS; i++)
		f->clients[i].deaf = false;
	while (f->pending_count > 1)
		fuzz_answer_one(f, 0);
	for (uint32_t i = 0; i < CLIENTS; i++)
		fd_close(&f->clients[i].fd);
	fuzz_turn(f);
	rpc_server_free(f->server);
	/* One that is answered when nobody is there any more. */
	fuzz_answer_one(f, 0);
	reactor_free(f->reactor);
	fd_close(&f->listener);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz f;
	struct fuzz_input in = {.at = data, .left = size};

	memset(&f, 0, offsetof(struct fuzz, clients));
	f.current = 0;
	f.mood = 0;
	f.large = 0;
	f.pending_count = 0;
	for (uint32_t i = 0; i < CLIENTS; i++)
		f.clients[i].deaf = false;
	fuzz_open(&f);
	while (in.left > 0) {
		char *text = fuzz_text(&in, 0);

		if (text[0])
			fuzz_send(&f, text, strlen(text));
		free(text);
		if (in.left > 0)
			fuzz_act(&f, fuzz_byte(&in));
	}
	fuzz_close(&f);
	return 0;
}
