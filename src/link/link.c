/* SPDX-License-Identifier: BSD-3-Clause */
/* The wire between broker and host. See link.h. */
#include "link/link.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/fd.h"

/* A request of ours that waits for its answer. */
struct link_pending {
	struct list link;
	uint64_t id;
	link_reply_fn *reply;
	void *arg;
};

/* A message that the socket did not take yet, with its own duplicates of the fds. */
struct link_message {
	struct list link;
	char *text;
	size_t len;
	int fds[LINK_FDS_MAX];
	size_t nfds;
};

static void link_message_free(struct link_message *m)
{
	if (!m)
		return;
	fd_close_all(m->fds, m->nfds);
	free(m->text);
	free(m);
}

/* Sends what waits, as far as the socket takes it. Returns 0 or -errno (never -EAGAIN). */
static int link_flush(struct link *link)
{
	struct link_message *m;
	struct link_message *tmp;

	list_for_each_safe (m, tmp, &link->queue, link) {
		ssize_t n = fd_send(link->source.fd, m->text, m->len, m->fds, m->nfds);

		if (n == -EAGAIN)
			break;
		if (n < 0)
			return (int)n;
		list_del(&m->link);
		link->queue_len--;
		link_message_free(m);
	}
	return reactor_fd_events(link->reactor, &link->source,
				 list_empty(&link->queue) ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

/*
 * Ends a link that cannot go on, without calling its owner from within a call of his: the next
 * event finds the end of the stream and tells closed().
 */
static void link_give_up(struct link *link)
{
	if (link->source.fd >= 0)
		(void)shutdown(link->source.fd, SHUT_RDWR);
}

static int link_message_dup_fds(struct link_message *m, const int *fds, size_t nfds)
{
	for (size_t i = 0; i < nfds; i++) {
		int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);

		if (fd < 0)
			return -errno;
		m->fds[m->nfds++] = fd;
	}
	return 0;
}

/* Puts one object on the wire or in the queue. Steals @object. */
static int link_put(struct link *link, json_t *object, const int *fds, size_t nfds)
{
	struct link_message *m = NULL;
	int r = -ENOMEM;

	if (link->source.fd < 0 || !object || nfds > LINK_FDS_MAX) {
		json_decref(object);
		return !object ? -ENOMEM : link->source.fd < 0 ? -ENOTCONN : -E2BIG;
	}
	m = calloc(1, sizeof(*m));
	if (m) {
		m->text = json_dumps(object, JSON_COMPACT);
		m->len = m->text ? strlen(m->text) : 0;
	}
	json_decref(object);
	if (!m || !m->text)
		goto fail;
	r = -EMSGSIZE;
	if (m->len > LINK_MESSAGE_MAX)
		goto fail;
	r = -ENOBUFS;
	if (link->queue_len >= LINK_QUEUE_MAX) {
		link_give_up(link);
		goto fail;
	}
	if (list_empty(&link->queue)) {
		ssize_t n = fd_send(link->source.fd, m->text, m->len, fds, nfds);

		r = n < 0 ? (int)n : 0;
		if (r != -EAGAIN)
			goto fail; /* sent, or broken: nothing to queue in either case */
	}
	r = link_message_dup_fds(m, fds, nfds);
	if (r < 0)
		goto fail;
	list_add_tail(&link->queue, &m->link);
	link->queue_len++;
	return link_flush(link);
fail:
	link_message_free(m);
	return r;
}

static void link_take_error(json_t *error, struct umdev_error *ret)
{
	const char *word = "";
	const char *message = "the peer gave no reason";
	const char *key = "";

	(void)json_unpack(error, "{s?s,s?s,s?s}", "word", &word, "message", &message, "key", &key);
	error_set_key(ret, error_word_parse(word), key, "%s", message);
	if (ret->word == ERROR_NONE)
		ret->word = ERROR_INTERNAL; /* a failure stays one, whatever the peer calls it */
	if (ret->word == ERROR_HOST_FAILED)
		ret->word = ERROR_DRIVER_FAILED; /* who answers is there; only the link's end says
						    that */
}

/* Finds the call that @id answers and ends it. An answer to nothing is dropped. */
static void link_take_reply(struct link *link, uint64_t id, json_t *msg)
{
	struct link_pending *p;
	struct link_pending *tmp;

	list_for_each_safe (p, tmp, &link->calls, link) {
		struct umdev_error err = {0};
		json_t *result = json_object_get(msg, "result");

		if (p->id != id)
			continue;
		list_del(&p->link);
		if (!result || json_object_get(msg, "error")) {
			link_take_error(json_object_get(msg, "error"), &err);
			result = NULL;
		}
		p->reply(p->arg, result, &err);
		free(p);
		return;
	}
}

/* Acts on one object. Returns 0, or -EBADMSG for one that is no message; the link may be gone
 * afterwards. */
static int link_take(struct link *link, json_t *msg, int *fds, size_t nfds)
{
	json_int_t id = 0;
	const char *method = NULL;
	json_t *params = NULL;

	if (json_unpack(msg, "{s?I,s?s,s?o}", "id", &id, "method", &method, "params", &params) < 0)
		return -EBADMSG;
	if (id < 0 || (params && !json_is_object(params)))
		return -EBADMSG;
	if (method)
		link->ops->request(link, (uint64_t)id, method, params, fds, nfds);
	else if (id > 0)
		link_take_reply(link, (uint64_t)id, msg);
	else
		return -EBADMSG;
	return 0;
}

static void link_break(struct link *link, int error)
{
	reactor_fd_del(link->reactor, &link->source);
	fd_close(&link->source.fd);
	link->ops->closed(link, error);
}

static void link_ready(struct reactor_fd *source, uint32_t events)
{
	struct link *link = container_of(source, struct link, source);
	int fds[LINK_FDS_MAX];
	size_t nfds;
	ssize_t n;
	json_t *msg;
	int r;

	if (events & EPOLLOUT) {
		r = link_flush(link);
		if (r < 0) {
			link_break(link, r);
			return;
		}
	}
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	n = fd_recv(source->fd, link->buffer, LINK_MESSAGE_MAX, fds, LINK_FDS_MAX, &nfds);
	/* The peer ended with something of ours unread. What it had sent before is still to be
	 * read; then comes the end. */
	if (n == -EAGAIN || n == -ECONNRESET)
		return;
	if (n <= 0) {
		fd_close_all(fds, nfds);
		link_break(link, (int)n);
		return;
	}
	msg = json_loadb(link->buffer, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
	r = json_is_object(msg) ? link_take(link, msg, fds, nfds) : -EBADMSG;
	fd_close_all(fds, nfds);
	json_decref(msg);
	if (r < 0)
		link_break(link, r);
}

int link_init(struct link *link, struct reactor *reactor, int fd, const struct link_ops *ops,
	      void *data)
{
	int r;

	memset(link, 0, sizeof(*link));
	link->reactor = reactor;
	link->ops = ops;
	link->data = data;
	link->source.fd = fd;
	link->source.events = EPOLLIN;
	link->source.ready = link_ready;
	list_init(&link->calls);
	list_init(&link->queue);
	link->buffer = malloc(LINK_MESSAGE_MAX);
	r = link->buffer ? fd_set_nonblock(fd, true) : -ENOMEM;
	if (r == 0)
		r = reactor_fd_add(reactor, &link->source);
	if (r < 0)
		link_done(link);
	return r;
}

void link_done(struct link *link)
{
	struct link_message *m;
	struct link_message *mtmp;
	struct list calls;

	if (!link->reactor)
		return;
	reactor_fd_del(link->reactor, &link->source);
	fd_close(&link->source.fd);
	list_for_each_safe (m, mtmp, &link->queue, link) {
		list_del(&m->link);
		link_message_free(m);
	}
	free(link->buffer);
	/* From here on the link is gone: a reply function may free it, or end it again. */
	list_add(&link->calls, &calls);
	list_del(&link->calls);
	memset(link, 0, sizeof(*link));
	link->source.fd = -1;
	while (!list_empty(&calls)) {
		struct link_pending *p = list_first(&calls, struct link_pending, link);
		struct umdev_error err = {0};

		list_del(&p->link);
		error_set(&err, ERROR_HOST_FAILED, "the process at the other end is gone");
		p->reply(p->arg, NULL, &err);
		free(p);
	}
}

int link_call(struct link *link, const char *method, json_t *params, const int *fds, size_t nfds,
	      link_reply_fn *reply, void *arg)
{
	struct link_pending *p = calloc(1, sizeof(*p));
	int r;

	if (!p) {
		json_decref(params);
		return -ENOMEM;
	}
	p->id = ++link->next_id;
	p->reply = reply;
	p->arg = arg;
	r = link_put(link,
		     json_pack("{s:I,s:s,s:o}", "id", (json_int_t)p->id, "method", method, "params",
			       params ? params : json_object()),
		     fds, nfds);
	if (r < 0) {
		free(p);
		return r;
	}
	list_add_tail(&link->calls, &p->link);
	return 0;
}

int link_notify(struct link *link, const char *method, json_t *params, const int *fds, size_t nfds)
{
	return link_put(link,
			json_pack("{s:s,s:o}", "method", method, "params",
				  params ? params : json_object()),
			fds, nfds);
}

int link_notify_sync(struct link *link, const char *method, json_t *params, const int *fds,
		     size_t nfds, uint64_t timeout_ns)
{
	uint64_t deadline = clock_now_ns() + timeout_ns;
	int r = link_notify(link, method, params, fds, nfds);

	while (r == 0 && !list_empty(&link->queue)) {
		struct pollfd p = {.fd = link->source.fd, .events = POLLOUT};
		uint64_t now = clock_now_ns();

		if (now >= deadline)
			return -ETIMEDOUT;
		if (poll(&p, 1, (int)((deadline - now) / NS_PER_MS) + 1) < 0 && errno != EINTR)
			return -errno;
		r = link_flush(link);
	}
	return r;
}

/*
 * Sends an answer. One that cannot be sent must not leave the caller waiting for ever: too large a
 * one becomes an error, and when even that fails the link ends, which ends the call.
 */
static void link_put_reply(struct link *link, json_t *object, uint64_t id)
{
	struct umdev_error err = {0};
	int r = link_put(link, object, NULL, 0);

	if (r == -EMSGSIZE) {
		error_set(&err, ERROR_LIMIT, "the answer is larger than %d bytes",
			  LINK_MESSAGE_MAX);
		link_reply_error(link, id, &err);
	} else if (r < 0) {
		link_give_up(link);
	}
}

void link_reply(struct link *link, uint64_t id, json_t *result)
{
	if (id == 0) {
		json_decref(result);
		return;
	}
	link_put_reply(link,
		       json_pack("{s:I,s:o}", "id", (json_int_t)id, "result",
				 result ? result : json_object()),
		       id);
}

void link_reply_error(struct link *link, uint64_t id, const struct umdev_error *err)
{
	if (id == 0)
		return;
	link_put_reply(link,
		       json_pack("{s:I,s:{s:s,s:s,s:s}}", "id", (json_int_t)id, "error", "word",
				 error_word_name(err->word), "message", err->message, "key",
				 err->key),
		       id);
}
