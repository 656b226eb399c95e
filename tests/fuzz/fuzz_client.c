/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The two clients of the RPC against a daemon that sends anything: libumdev, which waits, and the
 * one on the reactor.
 *
 * Input: which client, what it does, and the daemon's bytes; on the reactor 0x00 cuts them into
 * pieces that arrive one by one, with a call before each.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <umdev/client.h>

#include "rpc/async.h"
#include "util/fd.h"

#include "fuzz.h"

struct fuzz {
	struct reactor *reactor;
	struct rpc_async *conn;
	int server;
	uint32_t calls;
	uint32_t replies;
	bool closed;
	bool drain; /* from within handlers */
};

static char fuzz_root[64];
static int fuzz_listener = -1;

static void fuzz_listen(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	char path[96];

	if (fuzz_listener >= 0)
		return;
	signal(SIGPIPE, SIG_IGN);
	snprintf(fuzz_root, sizeof(fuzz_root), "/tmp/umdev-fuzz-XXXXXX");
	fuzz_check(mkdtemp(fuzz_root));
	fuzz_check(fd_mkdir_parents(AT_FDCWD, fuzz_root, 0700) == 0);
	snprintf(path, sizeof(path), "%s/run/umdev", fuzz_root);
	fuzz_check(fd_mkdir_parents(AT_FDCWD, path, 0700) == 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/run/umdev/control.sock", fuzz_root);
	fuzz_listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	fuzz_check(bind(fuzz_listener, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	fuzz_check(listen(fuzz_listener, 4) == 0);
}

/* The directory goes with the process; the socket in it stays connectable by nobody. */
__attribute__((destructor)) static void fuzz_clear(void)
{
	char path[128];

	if (fuzz_listener < 0)
		return;
	snprintf(path, sizeof(path), "%s/run/umdev/control.sock", fuzz_root);
	unlink(path);
	for (int i = 0; i < 3; i++) {
		static const char *const dirs[] = {"/run/umdev", "/run", ""};

		snprintf(path, sizeof(path), "%s%s", fuzz_root, dirs[i]);
		rmdir(path);
	}
}

static int fuzz_accept(void)
{
	int fd = accept4(fuzz_listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	fuzz_check(fd >= 0);
	return fd;
}

static void fuzz_send(int fd, const void *bytes, size_t len)
{
	(void)!send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* ---- libumdev ---- */

static void fuzz_check_error(const struct umdev_client *client, int r)
{
	fuzz_check(r < 0);
	fuzz_check(umdev_client_error_word(client)[0] && umdev_client_error_message(client)[0]);
	fuzz_check(umdev_client_error_key(client));
}

/* The daemon has said all that it has to say, and has hung up. */
static void fuzz_blocking(struct fuzz_input *in)
{
	struct umdev_client *client = NULL;
	uint8_t how = fuzz_byte(in);
	char *text;
	int server;

	fuzz_check(umdev_client_connect(fuzz_root, &client) == 0);
	server = fuzz_accept();
	umdev_client_set_timeout(client, 1000);
	fuzz_send(server, in->at, in->left);
	(void)shutdown(server, SHUT_WR);
	for (int i = 0; i < 4; i++) {
		int r;

		text = NULL;
		if (how >> i & 1) {
			r = umdev_client_next_event(client, 0, &text);
			fuzz_check((r == 1) == (text != NULL));
		} else {
			r = umdev_client_call(client, "mdev.list",
					      how & 16 ? "{\"all\":true}" : NULL,
					      how & 32 ? NULL : &text);
			fuzz_check(r <= 0 && (r == 0 || !text));
			fuzz_check(r < 0 || how & 32 || text);
		}
		if (r < 0)
			fuzz_check_error(client, r);
		umdev_client_free_text(text);
	}
	umdev_client_free(client);
	fd_close(&server);
}

/* ---- On the reactor ---- */

static void fuzz_replied(void *arg, json_t *result, const struct umdev_error *err)
{
	struct fuzz *f = arg;

	fuzz_check(result || (err && err->word != ERROR_NONE));
	f->replies++;
	if (f->drain && f->conn && !f->closed)
		rpc_async_drain(f->conn);
}

static void fuzz_event(void *data, json_t *event)
{
	struct fuzz *f = data;

	fuzz_check(json_is_object(event) && !f->closed);
	if (f->drain)
		rpc_async_drain(f->conn);
}

static void fuzz_closed(void *data, const struct umdev_error *err)
{
	struct fuzz *f = data;

	fuzz_check(!f->closed && err->word != ERROR_NONE);
	f->closed = true;
}

static const struct rpc_async_ops fuzz_ops = {.event = fuzz_event, .closed = fuzz_closed};

static void fuzz_call(struct fuzz *f)
{
	int r = rpc_async_call(f->conn, "mdev.list", json_object(), fuzz_replied, f);

	fuzz_check(r == 0 || r == -ENOTCONN);
	f->calls += r == 0;
}

static void fuzz_reactor(struct fuzz_input *in)
{
	struct fuzz f = {.reactor = reactor_new(), .server = -1};
	struct umdev_error err = {0};
	uint8_t how = fuzz_byte(in);
	char sink[4096];

	f.drain = how & 1;
	fuzz_check(f.reactor);
	fuzz_check(rpc_async_new(f.reactor, fuzz_root, &fuzz_ops, &f, &f.conn, &err) == 0);
	f.server = fuzz_accept();
	for (int i = 0; i < (how >> 1 & 31); i++)
		fuzz_call(&f);
	while (in->left > 0) {
		char *text = fuzz_text(in, 0);

		fuzz_send(f.server, text, strlen(text));
		free(text);
		fuzz_check(reactor_turn(f.reactor, 0) == 0);
		while (how & 64 && recv(f.server, sink, sizeof(sink), MSG_DONTWAIT) > 0)
			;
		fuzz_call(&f);
	}
	if (how & 128)
		fd_close(&f.server);
	fuzz_check(reactor_turn(f.reactor, 0) == 0 && reactor_turn(f.reactor, 0) == 0);
	fuzz_check(rpc_async_outstanding(f.conn) == f.calls - f.replies);
	f.drain = false;
	rpc_async_free(f.conn);
	fuzz_check(f.calls == f.replies);
	fd_close(&f.server);
	reactor_free(f.reactor);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {.at = data, .left = size};

	fuzz_listen();
	if (fuzz_byte(&in) & 1)
		fuzz_reactor(&in);
	else
		fuzz_blocking(&in);
	return 0;
}
