/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One request of a client while the broker works on it.
 *
 * The handlers of the nouns (rpc_*.c) see nothing but this, so that they can be driven without a
 * socket. A call is answered exactly once, by api_reply() or api_fail(), at once or later, which
 * also frees it.
 */
#pragma once

#include <jansson.h>
#include <sys/types.h>

#include "broker/client.h"
#include "util/error.h"
#include "util/list.h"

struct broker;
struct api_call;

typedef void api_handler(struct api_call *call);

struct api_call {
	struct broker *broker;
	uid_t uid;	    /* who asks */
	pid_t pid;	    /* 0: not known */
	const char *method; /* what for; NULL: not known */
	json_t *params;	    /* the call's, an object that fits the method table */
	/* Takes the outcome: @result (stolen), or NULL and @err. The call is freed afterwards. */
	void (*done)(struct api_call *call, json_t *result, const struct umdev_error *err);
	void *arg;
	/* While it is put off. */
	struct list link; /* of broker->put_off */
	struct client_wait wait;
	api_handler *again;
};

struct api_method {
	const char *name;
	api_handler *handler;
};

/* Every method but event.watch, which is about the connection. Ends with a NULL name. */
extern const struct api_method api_methods[];

/* A call with a reference to @params (may be NULL: no parameters), or NULL when out of memory. */
struct api_call *api_call_new(struct broker *broker, json_t *params,
			      void (*done)(struct api_call *call, json_t *result,
					   const struct umdev_error *err),
			      void *arg);

/* Answers with @result (stolen; NULL: out of memory). A NULL @call is one that nobody waits for. */
void api_reply(struct api_call *call, json_t *result);
void api_fail(struct api_call *call, const struct umdev_error *err);

/* Where the client of @mdev (NULL: none) is leaving: true, and @handler gets the call again when it
 * is gone or has been waited for long enough. */
bool api_put_off(struct api_call *call, api_handler *handler, const struct mdev *mdev);

/* Fails the calls that are put off: the broker ends. */
void api_end_put_off(struct broker *broker);

/* Frees a call that nobody is to hear of. */
void api_forget(struct api_call *call);

/* Parameters that may be absent: NULL, false or @missing then. */
const char *api_text(const struct api_call *call, const char *key);
bool api_flag(const struct api_call *call, const char *key);
size_t api_size(const struct api_call *call, const char *key, size_t missing);

/* The handlers. */
api_handler rpc_version, rpc_parent_add, rpc_parent_remove, rpc_parent_upgrade, rpc_parent_list,
	rpc_driver_list, rpc_type_list, rpc_mdev_list, rpc_mdev_define, rpc_mdev_undefine,
	rpc_mdev_modify, rpc_mdev_start, rpc_mdev_stop, rpc_mdev_save, rpc_mdev_restore,
	rpc_mdev_set, rpc_mdev_qos, rpc_mdev_blame, rpc_group_list, rpc_group_start, rpc_group_stop,
	rpc_group_qos, rpc_event_list, rpc_doctor, rpc_plan;
