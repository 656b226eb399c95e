/* SPDX-License-Identifier: BSD-3-Clause */
/* Questions of hosts, and when they are answered. See ask.h. */
#include "broker/ask.h"

#include <stdlib.h>

#include "broker/client.h"
#include "broker/group.h"
#include "broker/parent.h"

struct ask {
	struct list link; /* of broker->asks */
	struct parent *parent;
	uint64_t id;
	json_t *params;
	struct client_wait wait;
};

static void ask_free(struct ask *ask)
{
	reactor_timer_cancel(ask->parent->broker->reactor, &ask->wait.timer);
	list_del(&ask->link);
	json_decref(ask->params);
	free(ask);
}

static void ask_answer(struct ask *ask)
{
	const struct mdev *holder = NULL;
	struct umdev_error err = {0};
	int r = group_client_joins(ask->parent, ask->params, &holder, &err);

	if (r < 0 && holder && client_await(holder, &ask->wait))
		return;
	if (ask->parent->host)
		host_answer(ask->parent->host, ask->id, r < 0 ? &err : NULL);
	ask_free(ask);
}

static void ask_again(struct reactor_timer *timer)
{
	ask_answer(container_of(timer, struct ask, wait.timer));
}

void ask_join(struct parent *parent, uint64_t id, json_t *params)
{
	struct ask *ask = calloc(1, sizeof(*ask));
	struct umdev_error err = {0};

	if (!ask) {
		error_set(&err, ERROR_NO_MEMORY, "out of memory");
		host_answer(parent->host, id, &err);
		return;
	}
	*ask = (struct ask){.parent = parent,
			    .id = id,
			    .params = json_incref(params),
			    .wait.timer.expired = ask_again};
	list_add_tail(&parent->broker->asks, &ask->link);
	if (parent->broker->takeovers == 0)
		ask_answer(ask);
}

void ask_answer_all(struct broker *broker)
{
	struct ask *ask;
	struct ask *tmp;

	list_for_each_safe (ask, tmp, &broker->asks, link) {
		if (!ask->wait.timer.armed)
			ask_answer(ask);
	}
}

void ask_forget(const struct parent *parent)
{
	struct ask *ask;
	struct ask *tmp;

	list_for_each_safe (ask, tmp, &parent->broker->asks, link) {
		if (ask->parent == parent)
			ask_free(ask);
	}
}
