/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The wire between broker and host: what either end may send to the other, with descriptors, while
 * calls of ours wait for their answers.
 *
 * Input: messages of the peer, each ended by 0x00 and a byte that says how many descriptors go
 * along and what we do.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "link/link.h"
#include "util/fd.h"

#include "fuzz.h"

#define FLOOD 400

struct fuzz {
	struct link link;
	struct reactor *reactor;
	int peer;
	uint8_t mood;
	uint32_t calls;
	uint32_t replies;
	bool closed;
	bool done;
	bool deaf;    /* the peer does not read */
	bool flooded; /* once is enough */
	int taken;    /* a descriptor that came along */
};

static void fuzz_end(struct fuzz *f)
{
	f->done = true;
	link_done(&f->link);
}

static void fuzz_request(struct link *link, uint64_t id, const char *method, json_t *params,
			 int *fds, size_t nfds)
{
	struct fuzz *f = link->data;
	struct umdev_error err = {0};

	fuzz_check(method && (!params || json_is_object(params)) && nfds <= LINK_FDS_MAX);
	fuzz_check(!f->closed && !f->done);
	for (size_t i = 0; i < nfds; i++)
		fuzz_check(fcntl(fds[i], F_GETFD) == FD_CLOEXEC);
	if (f->mood & 1 && nfds > 0) {
		fd_close(&f->taken);
		f->taken = umdev_steal_fd(&fds[nfds - 1]);
	}
	switch (f->mood >> 1 & 7) {
	case 0:
		link_reply(link, id, NULL);
		break;
	case 1:
		error_set_key(&err, ERROR_INVALID, "key", "no %.40s", method);
		link_reply_error(link, id, &err);
		break;
	case 2:
		link_reply(link, id, params ? json_incref(params) : NULL);
		break;
	case 3:
		fuzz_end(f);
		break;
	case 4:
		(void)link_notify(link, "event", params ? json_incref(params) : NULL, fds, nfds);
		break;
	default:
		break;
	}
}

static void fuzz_closed(struct link *link, int error)
{
	struct fuzz *f = link->data;

	fuzz_check(!f->closed && !f->done && error <= 0);
	f->closed = true;
	if (f->mood & 16)
		fuzz_end(f);
}

static const struct link_ops fuzz_ops = {.request = fuzz_request, .closed = fuzz_closed};

static void fuzz_replied(void *arg, json_t *result, const struct umdev_error *err)
{
	struct fuzz *f = arg;

	fuzz_check(result ? err->word == ERROR_NONE : err->word != ERROR_NONE);
	f->replies++;
	if (f->mood & 32 && !f->done)
		fuzz_end(f);
}

static void fuzz_call(struct fuzz *f)
{
	int r;

	if (f->done)
		return;
	r = link_call(&f->link, "stats", json_pack("{s:s}", "uuid", "x"), &f->peer,
		      f->mood & 64 ? 1 : 0, fuzz_replied, f);
	fuzz_check(r <= 0);
	f->calls += r == 0;
}

/* What the peer receives keeps the rules, too. */
static void fuzz_receive(struct fuzz *f)
{
	static char bytes[LINK_MESSAGE_MAX];
	int fds[LINK_FDS_MAX];
	size_t nfds;
	json_t *message;
	ssize_t n;

	while ((n = fd_recv(f->peer, bytes, sizeof(bytes), fds, LINK_FDS_MAX, &nfds)) > 0) {
		fd_close_all(fds, nfds);
		message = json_loadb(bytes, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
		fuzz_check(json_is_object(message));
		json_decref(message);
	}
}

static void fuzz_turn(struct fuzz *f)
{
	fuzz_check(reactor_turn(f->reactor, 0) == 0 && reactor_turn(f->reactor, 0) == 0);
	if (!f->deaf)
		fuzz_receive(f);
}

/* More than the socket holds. */
static void fuzz_flood(struct fuzz *f)
{
	for (int i = 0; i < FLOOD && !f->done && !f->flooded; i++)
		(void)link_notify(&f->link, "event", json_pack("{s:i}", "n", i), &f->peer,
				  f->mood & 64 ? 1 : 0);
	f->flooded = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz f;
	struct fuzz_input in = {.at = data, .left = size};
	int pair[2];
	int fds[3];

	signal(SIGPIPE, SIG_IGN);
	f = (struct fuzz){.taken = -1, .reactor = reactor_new()};
	fuzz_check(f.reactor);
	fuzz_check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	f.peer = pair[0];
	fuzz_check(fd_set_nonblock(f.peer, true) == 0);
	fuzz_check(link_init(&f.link, f.reactor, pair[1], &fuzz_ops, &f) == 0);
	fuzz_call(&f);
	while (in.left > 0) {
		char *text = fuzz_text(&in, 0);
		uint8_t how = fuzz_byte(&in);

		f.mood = fuzz_byte(&in);
		for (size_t i = 0; i < 3; i++)
			fds[i] = f.peer;
		if (how & 4)
			fuzz_call(&f);
		f.deaf = how & 32;
		if (how & 64)
			fuzz_flood(&f);
		(void)fd_send(f.peer, text, strlen(text), fds, how & 3);
		if (how & 8)
			(void)shutdown(f.peer, SHUT_WR);
		free(text);
		if (!(how & 16))
			fuzz_turn(&f);
	}
	fuzz_turn(&f);
	f.mood = 0;
	f.deaf = false;
	fuzz_turn(&f);
	link_done(&f.link);
	link_done(&f.link);
	fuzz_check(f.calls == f.replies);
	fd_close(&f.taken);
	fd_close(&f.peer);
	reactor_free(f.reactor);
	return 0;
}
