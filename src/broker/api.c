/* SPDX-License-Identifier: BSD-3-Clause */
/* Calls and the table of their handlers. See api.h. */
#include "broker/api.h"

#include <stdint.h>
#include <stdlib.h>

#include "broker/broker.h"

const struct api_method api_methods[] = {
	{"version", rpc_version},
	{"parent.add", rpc_parent_add},
	{"parent.remove", rpc_parent_remove},
	{"parent.upgrade", rpc_parent_upgrade},
	{"parent.list", rpc_parent_list},
	{"driver.list", rpc_driver_list},
	{"type.list", rpc_type_list},
	{"mdev.list", rpc_mdev_list},
	{"mdev.define", rpc_mdev_define},
	{"mdev.undefine", rpc_mdev_undefine},
	{"mdev.modify", rpc_mdev_modify},
	{"mdev.start", rpc_mdev_start},
	{"mdev.stop", rpc_mdev_stop},
	{"mdev.save", rpc_mdev_save},
	{"mdev.restore", rpc_mdev_restore},
	{"mdev.set", rpc_mdev_set},
	{"mdev.qos", rpc_mdev_qos},
	{"mdev.blame", rpc_mdev_blame},
	{"group.list", rpc_group_list},
	{"group.start", rpc_group_start},
	{"group.stop", rpc_group_stop},
	{"group.qos", rpc_group_qos},
	{"event.list", rpc_event_list},
	{"doctor", rpc_doctor},
	{"plan", rpc_plan},
	{NULL, NULL},
};

struct api_call *api_call_new(struct broker *broker, json_t *params,
			      void (*done)(struct api_call *call, json_t *result,
					   const struct umdev_error *err),
			      void *arg)
{
	struct api_call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->broker = broker;
	call->params = params ? json_incref(params) : json_object();
	call->done = done;
	call->arg = arg;
	if (!call->params) {
		free(call);
		return NULL;
	}
	return call;
}

void api_forget(struct api_call *call)
{
	json_decref(call->params);
	free(call);
}

static void api_end(struct api_call *call, json_t *result, const struct umdev_error *err)
{
	call->done(call, result, err);
	api_forget(call);
}

void api_reply(struct api_call *call, json_t *result)
{
	struct umdev_error err = {0};

	if (!call) {
		json_decref(result);
		return;
	}
	if (!result)
		error_set(&err, ERROR_NO_MEMORY, "out of memory");
	api_end(call, result, result ? NULL : &err);
}

void api_fail(struct api_call *call, const struct umdev_error *err)
{
	if (call)
		api_end(call, NULL, err);
}

static void api_again(struct reactor_timer *timer)
{
	struct api_call *call = container_of(timer, struct api_call, wait.timer);

	list_del(&call->link);
	call->again(call);
}

bool api_put_off(struct api_call *call, api_handler *handler, const struct mdev *mdev)
{
	call->wait.timer.expired = api_again;
	if (!mdev || !client_await(mdev, &call->wait))
		return false;
	call->again = handler;
	list_add_tail(&call->broker->put_off, &call->link);
	return true;
}

void api_end_put_off(struct broker *broker)
{
	struct umdev_error err = {0};

	error_set(&err, ERROR_DEVICE_BUSY, "umdevd ends: try again when it is back");
	while (!list_empty(&broker->put_off)) {
		struct api_call *call = list_first(&broker->put_off, struct api_call, link);

		reactor_timer_cancel(broker->reactor, &call->wait.timer);
		list_del(&call->link);
		api_fail(call, &err);
	}
}

const char *api_text(const struct api_call *call, const char *key)
{
	return json_string_value(json_object_get(call->params, key));
}

bool api_flag(const struct api_call *call, const char *key)
{
	return json_is_true(json_object_get(call->params, key));
}

size_t api_size(const struct api_call *call, const char *key, size_t missing)
{
	const json_t *value = json_object_get(call->params, key);

	return json_is_integer(value) && json_integer_value(value) >= 0
		       ? (size_t)json_integer_value(value)
		       : missing;
}
