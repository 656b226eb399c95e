/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One umdev-host process and the link to it.
 *
 * The broker never waits for a host: a call has a deadline, and a host that misses one is killed,
 * for nobody can tell what a process that does not answer will still do. Whatever ends a host, its
 * death is told once, after the last message it sent was handled, after all calls were failed and
 * after the process was reaped.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "link/link.h"
#include "util/cleanup.h"
#include "util/error.h"
#include "util/reactor.h"

struct host;

struct host_ops {
	/* The driver is loaded: @params of LINK_HELLO. Called at most once. */
	void (*hello)(void *data, json_t *params);
	/* A notification of the host. Descriptors as in struct link_ops. */
	void (*notify)(void *data, const char *method, json_t *params, int *fds, size_t nfds);
	/* A request of the host, to be answered with host_answer(), now or later. */
	void (*ask)(void *data, uint64_t id, const char *method, json_t *params);
	/* The process is gone and the host freed: why, and the host's own words if it had some. */
	void (*died)(void *data, const struct umdev_error *err);
};

struct host_config {
	struct reactor *reactor;
	const char *path; /* of the program */
	const char *driver_dir;
	const char *driver;
	const char *parent;
	const char *user; /* UID:GID to become; empty or NULL: as it is */
	bool no_sandbox;
	uint64_t call_timeout_ns; /* for the hello, and to end when asked */
	uint64_t exit_timeout_ns;
	uint64_t orphan_ns; /* how long it waits, unused, for another broker; 0: as it sees fit */
	int listen_fd;	    /* where it waits (host-socket.h), the caller's; -1: it ends with us */
	bool next;	    /* another one serves, and this one nothing before LINK_OWN */
};

/* Starts a host. Its @ops are called from the reactor, never from within this or another function
 * here. */
int host_spawn(const struct host_config *config, const struct host_ops *ops, void *data,
	       struct host **ret_host, struct umdev_error *err) umdev_warn_unused;

/* A host that runs and waits for a broker. */
struct host_found {
	int link_fd; /* these two are taken, also on failure */
	int pidfd;
	pid_t pid;
	uint64_t started_ns; /* 0: not known */
};

/* Takes the link to a host that an earlier broker has started; as above, the hello included. */
int host_take(const struct host_config *config, const struct host_found *found,
	      const struct host_ops *ops, void *data, struct host **ret_host,
	      struct umdev_error *err) umdev_warn_unused;

/* What a host is asked. */
struct host_request {
	const char *method;
	json_t *params; /* stolen */
	const int *fds;
	size_t nfds;
	uint64_t timeout_ns;
};

/*
 * Calls the host; @reply gets the outcome, HOST_FAILED when the host dies before it answered or
 * does not answer in time. Returns 0, or a negative errno with @reply not called.
 */
int host_call(struct host *host, const struct host_request *request, link_reply_fn *reply,
	      void *arg) umdev_warn_unused;

/* Tells the host something, with descriptors (borrowed). @params is stolen. Returns 0 or -errno. */
int host_notify(struct host *host, const char *method, json_t *params, const int *fds,
		size_t nfds) umdev_warn_unused;

/* Answers request @id of the host: done (NULL), or why not. */
void host_answer(struct host *host, uint64_t id, const struct umdev_error *err);

/* Has another owner told of the host from now on. */
void host_adopt(struct host *host, const struct host_ops *ops, void *data);

/* Asks the host to end in order, and kills it should that take too long. */
void host_stop(struct host *host);

/* Kills the host, because of what the text says. */
void host_kill(struct host *host, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Kills, reaps and frees at once, without telling; outstanding calls fail. NULL is fine. */
void host_free(struct host *host);

/* Frees at once and leaves the process to the next broker. NULL is fine. */
void host_leave(struct host *host);

/* When it was started, where host_adopt() did not know. */
void host_set_started_ns(struct host *host, uint64_t started_ns);

/* Whether messages to it wait here, with copies of their descriptors, because it has not read those
 * before. */
bool host_is_behind(const struct host *host);

/* Its process, and when that was started by the wall clock. */
pid_t host_pid(const struct host *host);
uint64_t host_started_ns(const struct host *host);
