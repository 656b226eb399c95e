/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The wire between umdevd and one umdev-host: a SOCK_SEQPACKET pair, one JSON object a message,
 * descriptors beside it.
 *
 * A message is a request { "id", "method", "params" }, a reply { "id", "result" } or { "id",
 * "error": { "word", "message", "key" } }, or a notification { "method", "params" }. protocol.h
 * lists the methods. Both ends treat what they read as untrusted: the host because drivers run in
 * it, the broker because guests reach the host.
 *
 * A link owns its descriptor. It belongs to the thread of its reactor.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/error.h"
#include "util/reactor.h"

#define LINK_MESSAGE_MAX 65536 /* bytes of JSON */
#define LINK_FDS_MAX	 64
#define LINK_QUEUE_MAX	 4096 /* messages waiting to be sent; one more breaks the link */

struct link;

struct link_ops {
	/*
	 * A request came (@id > 0) or a notification (@id 0). Descriptors in @fds are the callee's
	 * to take (set to -1) or are closed afterwards. A request is answered by link_reply() or
	 * link_reply_error(), now or later.
	 */
	void (*request)(struct link *link, uint64_t id, const char *method, json_t *params,
			int *fds, size_t nfds);
	/* The link broke or the peer left (0). Not called by link_done(). The callee may call
	 * link_done(). */
	void (*closed)(struct link *link, int error);
};

/* Called with the outcome of a call: @result, or NULL and @err. Both are the link's. */
typedef void link_reply_fn(void *arg, json_t *result, const struct umdev_error *err);

struct link {
	struct reactor *reactor;
	struct reactor_fd source;
	const struct link_ops *ops;
	void *data; /* the owner's */
	uint64_t next_id;
	struct list calls;
	struct list queue;
	unsigned queue_len;
	char *buffer;
};

/* Takes @fd over (also on failure) and begins to listen. Returns 0 or -errno. */
int link_init(struct link *link, struct reactor *reactor, int fd, const struct link_ops *ops,
	      void *data) umdev_warn_unused;

/* Closes the link. Calls not yet answered end with HOST_FAILED, after which the link is not touched
 * any more. Safe to call from within any callback, twice, and on a zeroed link. */
void link_done(struct link *link);

/*
 * Sends a request; @reply is called once. @params is stolen, @fds are duplicated while the message
 * waits. Returns 0 or -errno, in which case @reply is not called.
 */
int link_call(struct link *link, const char *method, json_t *params, const int *fds, size_t nfds,
	      link_reply_fn *reply, void *arg) umdev_warn_unused;

/*
 * Sends a notification. @params is stolen. Returns 0 or -errno; a link that cannot take it is told
 * as closed at its next event, so a caller need not look.
 */
int link_notify(struct link *link, const char *method, json_t *params, const int *fds, size_t nfds);

/*
 * As link_notify(), but returns only when the message, and all before it, are in the peer's socket
 * buffer, or after
 * @timeout_ns with -ETIMEDOUT. What is in that buffer survives the death of the sender.
 */
int link_notify_sync(struct link *link, const char *method, json_t *params, const int *fds,
		     size_t nfds, uint64_t timeout_ns);

/* Answers request @id. @result is stolen (NULL: an empty object). */
void link_reply(struct link *link, uint64_t id, json_t *result);
void link_reply_error(struct link *link, uint64_t id, const struct umdev_error *err);
