/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The method mdev.list: what is defined or active, with statistics that only the hosts know.
 *
 * A bounded number of questions is under way at a time, and a host that is slow to answer costs the
 * list its numbers, not its answer.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/rpc-mdev.h"
#include "link/protocol.h"
#include "util/clock.h"

#define LIST_WINDOW  32
#define LIST_WAIT_NS NS_PER_S

struct list_op {
	struct api_call *call; /* NULL: answered */
	struct reactor_timer timer;
	json_t *mdevs;
	bool numbers; /* statistics are wanted */
	size_t next;  /* to be asked about */
	size_t waiting;
};

/* One question of a list. */
struct list_ask {
	struct list_op *op;
	json_t *entry;
};

static void list_answer(struct list_op *op)
{
	struct api_call *call = umdev_steal_ptr(&op->call);

	if (!call)
		return;
	reactor_timer_cancel(call->broker->reactor, &op->timer);
	api_reply(call, json_pack("{s:O}", "mdevs", op->mdevs));
}

static void list_free(struct list_op *op)
{
	list_answer(op);
	json_decref(op->mdevs);
	free(op);
}

static void list_expired(struct reactor_timer *timer)
{
	struct list_op *op = container_of(timer, struct list_op, timer);

	list_answer(op);
	/* What was asked still comes and is thrown away. */
	op->next = SIZE_MAX;
}

static void list_continue(struct list_op *op);

/* Takes numbers only: the answer comes from the process of a driver. */
static void list_take_numbers(json_t *to, const json_t *from)
{
	const char *name;
	json_t *value;

	json_object_foreach ((json_t *)(uintptr_t)from, name, value) {
		if (ident_word_ok(name) && json_is_integer(value))
			json_object_set(to, name, value);
	}
}

static void list_replied(void *arg, json_t *result, const struct umdev_error *err)
{
	struct list_ask *ask = arg;
	struct list_op *op = ask->op;
	json_t *statistics = json_object();

	if (result && statistics && op->call) {
		list_take_numbers(statistics, json_object_get(result, "stats"));
		list_take_numbers(statistics, json_object_get(result, "host"));
		json_object_set(ask->entry, "statistics", statistics);
	}
	json_decref(statistics);
	json_decref(ask->entry);
	free(ask);
	op->waiting--;
	list_continue(op);
}

static void list_ask_host(struct list_op *op, json_t *entry)
{
	const char *uuid = json_string_value(json_object_get(entry, "uuid"));
	const char *parent = json_string_value(json_object_get(entry, "parent"));
	struct mdev *mdev = mdev_find(op->call->broker, parent, uuid);
	struct list_ask *ask;

	if (!mdev || mdev->state != MDEV_ACTIVE || !mdev->parent->host)
		return;
	ask = calloc(1, sizeof(*ask));
	if (!ask)
		return;
	ask->op = op;
	ask->entry = json_incref(entry);
	if (parent_call(mdev->parent, LINK_STATS, json_pack("{s:s}", "uuid", uuid), list_replied,
			ask) < 0) {
		json_decref(ask->entry);
		free(ask);
		return;
	}
	op->waiting++;
}

static void list_continue(struct list_op *op)
{
	while (op->numbers && op->waiting < LIST_WINDOW && op->next < json_array_size(op->mdevs))
		list_ask_host(op, json_array_get(op->mdevs, op->next++));
	if (op->waiting == 0)
		list_free(op);
}

static bool list_wants(const struct api_call *call, const struct mdev *mdev)
{
	bool active = mdev_state_is_active(mdev->state);

	if (api_flag(call, "all"))
		return active || mdev_is_defined(mdev);
	return api_flag(call, "defined") ? mdev_is_defined(mdev) : active;
}

void rpc_mdev_list(struct api_call *call)
{
	const char *parent = api_text(call, "parent");
	bool by_uuid = api_text(call, "uuid") != NULL;
	bool as_defined = api_flag(call, "defined") && !api_flag(call, "all");
	char uuid[IDENT_UUID_SIZE] = "";
	struct umdev_error err = {0};
	struct list_op *op;
	const struct mdev *mdev;

	if (by_uuid && rpc_uuid(call, uuid, false, &err) < 0) {
		api_fail(call, &err);
		return;
	}
	op = calloc(1, sizeof(*op));
	if (op)
		op->mdevs = json_array();
	if (!op || !op->mdevs) {
		free(op);
		api_reply(call, NULL);
		return;
	}
	list_for_each (mdev, &call->broker->mdevs, link) {
		if (list_wants(call, mdev) && (!by_uuid || strcmp(mdev->uuid, uuid) == 0) &&
		    (!parent || strcmp(mdev->parent_name, parent) == 0))
			json_array_append_new(op->mdevs,
					      mdev_print(mdev,
							 as_defined || mdev->state == MDEV_IDLE));
	}
	op->call = call;
	op->numbers = !json_is_false(json_object_get(call->params, "statistics"));
	op->timer.expired = list_expired;
	reactor_timer_set(call->broker->reactor, &op->timer, clock_now_ns() + LIST_WAIT_NS);
	list_continue(op);
}
