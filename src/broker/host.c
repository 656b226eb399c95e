/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Processes of parents. See host.h.
 *
 * A host is over when its process was reaped and its link was read to the end. Either may happen
 * first: a link that closes while the process lives brings a kill, a process that ends leaves its
 * last messages (descriptors to keep, the reason of a failure) in the socket.
 *
 * A host that was adopted is no child: its end is seen, how it ended is not.
 */
#include "broker/host.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "link/protocol.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/log.h"

struct host_call {
	struct list link;
	struct host *host;
	char method[16];
	uint64_t deadline_ns;
	uint64_t timeout_ns;
	link_reply_fn *reply;
	void *arg;
};

struct host {
	struct link link;
	struct reactor *reactor;
	struct reactor_fd pidfd;
	struct reactor_timer timer; /* the earliest deadline */
	struct reactor_task finish;
	struct list calls;
	const struct host_ops *ops;
	void *data;
	char parent[72];
	pid_t pid;
	uint64_t started_ns;
	uint64_t exit_timeout_ns;
	uint64_t end_deadline_ns; /* when to kill or to give up reading; 0: none */
	bool said_hello;
	bool closed; /* no more messages come */
	bool exited;
	bool stopping;
	struct umdev_error error; /* why it ends, once that is known */
};

/* How long the last messages of a dead process are waited for, should somebody else hold its end.
 */
#define HOST_DRAIN_NS NS_PER_S

static void host_arm(struct host *host)
{
	uint64_t first = host->end_deadline_ns ? host->end_deadline_ns : UINT64_MAX;
	struct host_call *c;

	list_for_each (c, &host->calls, link)
		first = MIN(first, c->deadline_ns);
	if (first == UINT64_MAX)
		reactor_timer_cancel(host->reactor, &host->timer);
	else
		reactor_timer_set(host->reactor, &host->timer, first);
}

static void host_release(struct host *host)
{
	link_done(&host->link); /* fails the calls, whose owners may still ask for this and that */
	reactor_timer_cancel(host->reactor, &host->timer);
	reactor_task_del(host->reactor, &host->finish);
	reactor_fd_del(host->reactor, &host->pidfd);
	fd_close(&host->pidfd.fd);
	free(host);
}

static void host_finish(struct reactor_task *task)
{
	struct host *host = container_of(task, struct host, finish);
	const struct host_ops *ops = host->ops;
	void *data = host->data;
	struct umdev_error error = host->error;

	host_release(host);
	ops->died(data, &error);
}

/* Ends the host's life when both its process and its link are through. */
static void host_check(struct host *host)
{
	if (host->exited && host->closed)
		reactor_task_add(host->reactor, &host->finish);
}

static void host_signal(struct host *host)
{
	if (!host->exited && host->pidfd.fd >= 0)
		(void)pidfd_send_signal(host->pidfd.fd, SIGKILL, NULL, 0);
}

static void host_set_error(struct host *host, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Notes why the host ends; the first reason stays. */
static void host_set_error(struct host *host, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	if (host->error.word != ERROR_NONE)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	error_set(&host->error, ERROR_HOST_FAILED, "%s", text);
}

static void host_reap(struct host *host)
{
	siginfo_t info = {0};

	int r = waitid(P_PIDFD, (id_t)host->pidfd.fd, &info, WEXITED | WNOHANG);

	if (r == 0 ? info.si_pid == 0 : errno != ECHILD)
		return;
	if (r < 0)
		host_set_error(host, "the host of %s (process %d) ended", host->parent,
			       (int)host->pid);
	else if (info.si_code == CLD_EXITED)
		host_set_error(host, "the host of %s (process %d) exited with status %d",
			       host->parent, (int)host->pid, info.si_status);
	else if (info.si_status == SIGSYS)
		host_set_error(host,
			       "the host of %s (process %d) made a forbidden system call and was "
			       "killed by signal %d (%s)",
			       host->parent, (int)host->pid, info.si_status,
			       strsignal(info.si_status));
	else
		host_set_error(host, "the host of %s (process %d) was killed by signal %d (%s)",
			       host->parent, (int)host->pid, info.si_status,
			       strsignal(info.si_status));
	host->exited = true;
	reactor_fd_del(host->reactor, &host->pidfd);
	host->end_deadline_ns = reactor_now_ns(host->reactor) + HOST_DRAIN_NS;
	host_arm(host);
	host_check(host);
}

static void host_pidfd_ready(struct reactor_fd *source, uint32_t events)
{
	host_reap(container_of(source, struct host, pidfd));
}

static void host_expired(struct reactor_timer *timer)
{
	struct host *host = container_of(timer, struct host, timer);
	uint64_t now = reactor_now_ns(host->reactor);
	struct host_call *c;

	if (!host->said_hello && !host->exited && host->end_deadline_ns &&
	    host->end_deadline_ns <= now && !host->stopping) {
		host->end_deadline_ns = 0;
		host_kill(host, "the host of %s did not load its driver in time", host->parent);
		return;
	}
	if (host->end_deadline_ns && host->end_deadline_ns <= now) {
		host->end_deadline_ns = 0;
		host_signal(host);
		if (host->exited)
			host->closed = true;
		host_check(host);
	}
	list_for_each (c, &host->calls, link) {
		if (c->deadline_ns > now)
			continue;
		host_kill(host, "the host of %s did not answer '%s' within %llu ms", host->parent,
			  c->method, (unsigned long long)(c->timeout_ns / NS_PER_MS));
		return;
	}
	host_arm(host);
}

/* ---- The link -------------------------------------------------------------------------------- */

static void host_take_failed(struct host *host, json_t *params)
{
	const char *word = json_string_value(json_object_get(params, "word"));
	const char *message = json_string_value(json_object_get(params, "message"));

	/* Its own words say more than how it ended. */
	error_set(&host->error, error_word_parse(word), "%s",
		  message ? message : "the host gave no reason");
}

static void host_request(struct link *link, uint64_t id, const char *method, json_t *params,
			 int *fds, size_t nfds)
{
	struct host *host = link->data;
	struct umdev_error err = {0};

	if (id != 0 && host->said_hello) {
		host->ops->ask(host->data, id, method, params);
	} else if (id != 0) {
		error_set(&err, ERROR_UNKNOWN_METHOD, "a host says hello first");
		link_reply_error(link, id, &err);
	} else if (strcmp(method, LINK_FAILED) == 0) {
		host_take_failed(host, params);
	} else if (strcmp(method, LINK_HELLO) == 0) {
		if (host->said_hello) {
			host_kill(host, "the host of %s said hello twice", host->parent);
			return;
		}
		host->said_hello = true;
		if (!host->stopping && !host->exited)
			host->end_deadline_ns = 0;
		host_arm(host);
		if (!host->stopping)
			host->ops->hello(host->data, params);
	} else if (host->said_hello) {
		host->ops->notify(host->data, method, params, fds, nfds);
	}
}

static void host_closed(struct link *link, int error)
{
	struct host *host = link->data;

	host->closed = true;
	/* One that was asked to end is on its way, for as long as it may take. */
	if (!host->stopping)
		host_signal(host);
	host_check(host);
}

static const struct link_ops host_link_ops = {
	.request = host_request,
	.closed = host_closed,
};

void host_answer(struct host *host, uint64_t id, const struct umdev_error *err)
{
	if (err)
		link_reply_error(&host->link, id, err);
	else
		link_reply(&host->link, id, NULL);
}

static void host_call_done(void *arg, json_t *result, const struct umdev_error *err)
{
	struct host_call *c = arg;
	struct host *host = c->host;

	list_del(&c->link);
	/* What a host says after the reason for its end is known counts no more. */
	if (host->error.word != ERROR_NONE && (!result || !host->stopping)) {
		result = NULL;
		err = &host->error;
	}
	c->reply(c->arg, result, err);
	free(c);
}

int host_call(struct host *host, const struct host_request *request, link_reply_fn *reply,
	      void *arg)
{
	struct host_call *c;
	int r;

	if (!request->params || host->closed || host->stopping || host->error.word != ERROR_NONE) {
		json_decref(request->params);
		return request->params ? -ENOTCONN : -ENOMEM;
	}
	c = calloc(1, sizeof(*c));
	if (!c) {
		json_decref(request->params);
		return -ENOMEM;
	}
	c->host = host;
	snprintf(c->method, sizeof(c->method), "%s", request->method);
	c->timeout_ns = request->timeout_ns;
	c->deadline_ns = clock_now_ns() + request->timeout_ns;
	c->reply = reply;
	c->arg = arg;
	r = link_call(&host->link, request->method, request->params, request->fds, request->nfds,
		      host_call_done, c);
	if (r < 0) {
		free(c);
		return r;
	}
	list_add_tail(&host->calls, &c->link);
	host_arm(host);
	return 0;
}

int host_notify(struct host *host, const char *method, json_t *params, const int *fds, size_t nfds)
{
	if (!params || host->closed || host->stopping || host->error.word != ERROR_NONE) {
		json_decref(params);
		return params ? -ENOTCONN : -ENOMEM;
	}
	return link_notify(&host->link, method, params, fds, nfds);
}

/* ---- The process ----------------------------------------------------------------------------- */

/* In the child: nothing but the link, /dev/null and stderr goes on. Does not return. */
static void host_exec(const struct host_config *config, int link_fd)
{
	const char *argv[16] = {config->path,	    "--driver", config->driver, "--driver-dir",
				config->driver_dir, "--name",	config->parent};
	bool waits = config->listen_fd >= 0;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	char orphan_ms[24];
	size_t argc = 7;
	sigset_t none;

	if (config->user && config->user[0]) {
		argv[argc++] = "--user";
		argv[argc++] = config->user;
	}
	if (config->no_sandbox)
		argv[argc++] = "--no-sandbox";
	if (config->next)
		argv[argc++] = "--next";

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	snprintf(orphan_ms, sizeof(orphan_ms), "%llu",
		 (unsigned long long)(config->orphan_ns / NS_PER_MS));
	if (waits)
		argv[argc++] = "--handover";
	if (waits && config->orphan_ns) {
		argv[argc++] = "--orphan-ms";
		argv[argc++] = orphan_ms;
	}
	/* Both fds are above LINK_LISTEN_FD. */
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0 ||
	    dup2(link_fd, LINK_HOST_FD) < 0 ||
	    (waits && dup2(config->listen_fd, LINK_LISTEN_FD) < 0) ||
	    close_range(waits ? LINK_LISTEN_FD + 1 : LINK_LISTEN_FD, ~0U, 0) < 0)
		_exit(126);
	execv(config->path, (char *const *)(uintptr_t)argv);
	_exit(127);
}

static int host_fork(struct host *host, const struct host_config *config, int *link_fd)
{
	struct host_config moved = *config;
	umdev_autoclose int theirs = -1;
	umdev_autoclose int waits = -1;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	*link_fd = pair[0];
	/* Not where they shall be, where dup2() would leave close-on-exec set. */
	theirs = fcntl(pair[1], F_DUPFD_CLOEXEC, LINK_LISTEN_FD + 1);
	close(pair[1]);
	if (theirs < 0)
		return -errno;
	if (config->listen_fd >= 0) {
		waits = fcntl(config->listen_fd, F_DUPFD_CLOEXEC, LINK_LISTEN_FD + 1);
		if (waits < 0)
			return -errno;
		moved.listen_fd = waits;
	}
	host->pid = fork();
	if (host->pid < 0)
		return -errno;
	if (host->pid == 0)
		host_exec(&moved, theirs);
	host->pidfd.fd = pidfd_open(host->pid, 0);
	if (host->pidfd.fd < 0) {
		int r = -errno;

		kill(host->pid, SIGKILL);
		waitpid(host->pid, NULL, 0);
		return r;
	}
	return 0;
}

static struct host *host_new(const struct host_config *config, const struct host_ops *ops,
			     void *data)
{
	struct host *host = calloc(1, sizeof(*host));

	if (!host)
		return NULL;
	host->reactor = config->reactor;
	host->ops = ops;
	host->data = data;
	host->pidfd.fd = -1;
	host->pidfd.events = EPOLLIN;
	host->pidfd.ready = host_pidfd_ready;
	host->timer.expired = host_expired;
	host->finish.run = host_finish;
	host->exit_timeout_ns = config->exit_timeout_ns;
	host->end_deadline_ns = clock_now_ns() + config->call_timeout_ns;
	snprintf(host->parent, sizeof(host->parent), "%s", config->parent);
	list_init(&host->calls);
	return host;
}

/* Begins to watch process and link. @link_fd is taken. */
static int host_begin(struct host *host, int link_fd)
{
	int r = link_init(&host->link, host->reactor, link_fd, &host_link_ops, host);

	if (r == 0)
		r = reactor_fd_add(host->reactor, &host->pidfd);
	if (r == 0)
		host_arm(host);
	return r;
}

int host_spawn(const struct host_config *config, const struct host_ops *ops, void *data,
	       struct host **ret_host, struct umdev_error *err)
{
	struct host *host;
	int link_fd = -1;
	int r;

	if (access(config->path, X_OK) < 0)
		return error_set(err, ERROR_HOST_FAILED, "%s cannot be run: %s", config->path,
				 strerror(errno));
	host = host_new(config, ops, data);
	if (!host)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	host->started_ns = clock_wall_ns();
	r = host_fork(host, config, &link_fd);
	if (r == 0)
		r = host_begin(host, umdev_steal_fd(&link_fd));
	if (r < 0) {
		fd_close(&link_fd);
		host_free(host);
		return error_set(err, ERROR_HOST_FAILED, "cannot start a host for %s: %s",
				 config->parent, strerror(-r));
	}
	*ret_host = host;
	return 0;
}

int host_take(const struct host_config *config, const struct host_found *found,
	      const struct host_ops *ops, void *data, struct host **ret_host,
	      struct umdev_error *err)
{
	struct host *host = host_new(config, ops, data);
	int r;

	if (!host) {
		close(found->link_fd);
		close(found->pidfd);
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	}
	host->pid = found->pid;
	host->pidfd.fd = found->pidfd;
	host->started_ns = found->started_ns;
	r = host_begin(host, found->link_fd);
	if (r < 0) {
		host_leave(host);
		return error_set(err, ERROR_HOST_FAILED, "cannot adopt the host of %s: %s",
				 config->parent, strerror(-r));
	}
	*ret_host = host;
	return 0;
}

void host_adopt(struct host *host, const struct host_ops *ops, void *data)
{
	host->ops = ops;
	host->data = data;
}

void host_kill(struct host *host, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	host_set_error(host, "%s", text);
	host_signal(host);
}

void host_stop(struct host *host)
{
	struct umdev_error err = {0};

	if (host->stopping)
		return;
	error_set(&err, ERROR_HOST_FAILED, "the host of %s is being stopped", host->parent);
	host->stopping = true;
	if (host->error.word == ERROR_NONE)
		host->error = err;
	host->end_deadline_ns = clock_now_ns() + host->exit_timeout_ns;
	/* The host removes what is there and exits; what it still says on the way is heard. */
	if (!host->closed)
		(void)link_notify(&host->link, LINK_STOP, NULL, NULL, 0);
	host_arm(host);
}

void host_free(struct host *host)
{
	if (!host)
		return;
	if (host->pidfd.fd >= 0 && !host->exited) {
		struct pollfd p = {.fd = host->pidfd.fd, .events = POLLIN};

		host_set_error(host, "the host of %s was ended", host->parent);
		host_signal(host);
		while (poll(&p, 1, -1) < 0 && errno == EINTR)
			;
		waitid(P_PIDFD, (id_t)host->pidfd.fd, &(siginfo_t){0}, WEXITED);
	}
	host_release(host);
}

void host_leave(struct host *host)
{
	if (!host)
		return;
	host_set_error(host, "the host of %s is left to another broker", host->parent);
	host_release(host);
}

void host_set_started_ns(struct host *host, uint64_t started_ns)
{
	host->started_ns = started_ns;
}

bool host_is_behind(const struct host *host)
{
	return host->link.queue_len > 0;
}

pid_t host_pid(const struct host *host)
{
	return host->pid;
}

uint64_t host_started_ns(const struct host *host)
{
	return host->started_ns;
}
