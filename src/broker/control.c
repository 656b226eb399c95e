/* SPDX-License-Identifier: BSD-3-Clause */
/* The control socket. See control.h. */
#include "broker/control.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "broker/api.h"
#include "util/fd.h"

#define CONTROL_BACKLOG 32

static void control_done(struct api_call *call, json_t *result, const struct umdev_error *err)
{
	if (result)
		rpc_reply(call->arg, result);
	else
		rpc_reply_error(call->arg, err);
}

static void control_call(struct control *control, struct rpc_request *req, json_t *params,
			 const struct api_method *method)
{
	struct umdev_error err = {0};
	struct api_call *call = api_call_new(control->broker, params, control_done, req);

	if (!call) {
		error_set(&err, ERROR_NO_MEMORY, "out of memory");
		rpc_reply_error(req, &err);
		return;
	}
	call->uid = rpc_request_uid(req);
	call->pid = rpc_request_pid(req);
	call->method = method->name;
	method->handler(call);
}

/* Sends what is kept from "since" on, then everything that comes. */
static void control_event_watch(void *data, struct rpc_request *req, json_t *params)
{
	struct control *control = data;
	struct events *events = &control->broker->events;
	const json_t *since = json_object_get(params, "since");
	json_t *past =
		since ? events_list(events, (uint64_t)json_integer_value(since), NULL, EVENTS_KEPT)
		      : NULL;
	size_t i;
	json_t *event;

	json_array_foreach (past, i, event)
		rpc_request_notify(req, event);
	json_decref(past);
	rpc_request_watch(req);
	rpc_reply(req, json_pack("{s:I}", "next", (json_int_t)events->next));
}

/* The server calls handlers with one pointer for all, so each method has a function of its own. */
/* clang-format off */
#define CONTROL_METHODS(of) \
	of("version", rpc_version) \
	of("parent.add", rpc_parent_add) \
	of("parent.remove", rpc_parent_remove) \
	of("parent.upgrade", rpc_parent_upgrade) \
	of("parent.list", rpc_parent_list) \
	of("driver.list", rpc_driver_list) \
	of("type.list", rpc_type_list) \
	of("mdev.list", rpc_mdev_list) \
	of("mdev.define", rpc_mdev_define) \
	of("mdev.undefine", rpc_mdev_undefine) \
	of("mdev.modify", rpc_mdev_modify) \
	of("mdev.start", rpc_mdev_start) \
	of("mdev.stop", rpc_mdev_stop) \
	of("mdev.save", rpc_mdev_save) \
	of("mdev.restore", rpc_mdev_restore) \
	of("mdev.set", rpc_mdev_set) \
	of("mdev.qos", rpc_mdev_qos) \
	of("mdev.blame", rpc_mdev_blame) \
	of("group.list", rpc_group_list) \
	of("group.start", rpc_group_start) \
	of("group.stop", rpc_group_stop) \
	of("group.qos", rpc_group_qos) \
	of("event.list", rpc_event_list) \
	of("doctor", rpc_doctor) \
	of("plan", rpc_plan)
/* clang-format on */

#define CONTROL_HANDLER(method, handler)                                                           \
	static void control_##handler(void *data, struct rpc_request *req, json_t *params)         \
	{                                                                                          \
		control_call(data, req, params, &(struct api_method){method, handler});            \
	}
CONTROL_METHODS(CONTROL_HANDLER)

#define CONTROL_BINDING(method, handler) {method, control_##handler},
static const struct rpc_binding control_bindings[] = {
	CONTROL_METHODS(CONTROL_BINDING){"event.watch", control_event_watch},
	{NULL, NULL},
};

static void control_publish(void *data, json_t *event)
{
	struct control *control = data;

	rpc_server_publish(control->server, event);
}

static int control_listen(struct control *control, struct umdev_error *err)
{
	struct broker *broker = control->broker;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	umdev_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask;
	int r;

	/* The lock is ours, so what is left there is of a daemon that died. */
	if (unlinkat(broker->root_fd, BROKER_CONTROL, 0) < 0 && errno != ENOENT)
		return error_set(err, error_word_from_errno(errno), "cannot remove %s/%s: %s",
				 broker->config.root, BROKER_CONTROL, strerror(errno));
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", broker->root_fd,
		 BROKER_CONTROL);
	mask = umask(0117);
	r = fd < 0 ? -1 : bind(fd, (const struct sockaddr *)&address, sizeof(address));
	umask(mask);
	if (r < 0 || listen(fd, CONTROL_BACKLOG) < 0)
		return error_set(err, error_word_from_errno(errno), "cannot listen on %s/%s: %s",
				 broker->config.root, BROKER_CONTROL, strerror(errno));
	control->listen_fd = umdev_steal_fd(&fd);
	return 0;
}

int control_open(struct control *control, struct broker *broker, struct umdev_error *err)
{
	int r;

	memset(control, 0, sizeof(*control));
	control->broker = broker;
	control->listen_fd = -1;
	r = control_listen(control, err);
	if (r == 0)
		r = rpc_server_new(broker->reactor, control->listen_fd, control_bindings, control,
				   &control->server, err);
	if (r < 0) {
		control_close(control);
		return r;
	}
	broker->events.publish = control_publish;
	broker->events.data = control;
	return 0;
}

void control_close(struct control *control)
{
	if (!control->broker)
		return;
	control->broker->events.publish = NULL;
	rpc_server_free(control->server);
	control->server = NULL;
	if (control->listen_fd >= 0)
		unlinkat(control->broker->root_fd, BROKER_CONTROL, 0);
	fd_close(&control->listen_fd);
	control->broker = NULL;
}
