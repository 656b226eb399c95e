/* SPDX-License-Identifier: BSD-3-Clause */
/* The conversation with a host that an earlier broker started. See takeover.h. */
#include "broker/takeover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/group.h"
#include "broker/host-socket.h"
#include "broker/journal.h"
#include "broker/record.h"
#include "broker/stored.h"
#include "link/protocol.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/log.h"

/* ---- Ends ------------------------------------------------------------------------------------ */

void takeover_free(struct parent *parent)
{
	struct takeover *t = umdev_steal_ptr(&parent->takeover);

	if (!t)
		return;
	json_decref(t->answer);
	json_decref(t->records);
	json_decref(t->removes);
	json_decref(t->files);
	free(t);
}

void takeover_drop_mdevs(struct parent *parent)
{
	struct mdev *mdev;
	struct mdev *tmp;

	list_for_each_safe (mdev, tmp, &parent->broker->mdevs, link) {
		if (mdev->parent == parent)
			takeover_drop_mdev(mdev);
	}
}

/* The host is of no use. What follows from that comes with its death. */
static void takeover_fail(struct parent *parent, const struct umdev_error *err)
{
	struct umdev_error why = *err;

	error_wrap(&why, "not taken over");
	parent_fail(parent, &why);
}

static int takeover_connect(struct takeover *t, bool next);
static void takeover_stray(struct broker *broker, const char *name);

/* What else an upgrade has left is at its end. */
static void takeover_end_other(struct parent *parent)
{
	char name[IDENT_PARENT_NAME_MAX + 2];

	snprintf(name, sizeof(name), "%s%c", parent->name, HOST_SOCKET_NEXT);
	takeover_stray(parent->broker, name);
}

bool takeover_host_died(struct parent *parent, const struct umdev_error *why)
{
	struct broker *broker = parent->broker;
	struct takeover *t = parent->takeover;
	bool removing = parent->state == PARENT_REMOVING;
	/* Nobody knew its mdevs better than it did, but what was stored is there still. */
	bool again = !removing && !t->stored && !t->replaces;

	if (!removing && !t->stored && !t->greeted && !t->next && takeover_connect(t, true) == 0)
		return true;
	takeover_drop_mdevs(parent);
	backings_close(&parent->backings, false);
	fd_close(&parent->record_fd);
	json_object_clear(parent->remakes);
	parent->autostarted = false;
	parent->restarts = 0;
	if (!removing && t->replaces)
		parent_event(parent, "host.replaced", LOG_WARNING,
			     "its options were changed while no daemon ran: begins anew");
	else if (!removing)
		parent_event(parent, "host.died", LOG_ERR, "%s", why->message);
	takeover_free(parent);
	takeover_end_other(parent);
	if (!removing) {
		parent->lock_deadline_ns = clock_now_ns() + broker->config.lock_timeout_ns;
		if (again)
			(void)stored_take(parent);
		parent_begin(parent);
	}
	broker_taken_step(broker);
	return !removing;
}

static void takeover_done(struct takeover *t)
{
	struct parent *parent = t->parent;
	struct mdev *mdev;

	if (t->stored) {
		takeover_free(parent);
		if (parent->state == PARENT_READY)
			parent_autostart(parent);
		broker_taken_step(parent->broker);
		return;
	}
	list_for_each (mdev, &parent->broker->mdevs, link) {
		if (mdev->parent == parent)
			takeover_settled_mdev(t, mdev);
	}
	if (t->started_ns)
		host_set_started_ns(parent->host, t->started_ns);
	takeover_free(parent);
	takeover_end_other(parent);
	if (parent->state == PARENT_STARTING) /* else it is being removed by now */
		parent_taken(parent);
	broker_taken_step(parent->broker);
}

void takeover_step(struct takeover *t)
{
	if (--t->pending == 0)
		takeover_done(t);
}

void takeover_replied(void *arg, json_t *result, const struct umdev_error *err)
{
	struct takeover *t = arg;

	if (!result)
		umdev_log(LOG_WARNING, t->parent->name, "host.takeover", "%s", err->message);
	takeover_step(t);
}

/* ---- Settling -------------------------------------------------------------------------------- */

static void takeover_call(struct takeover *t, const char *method, json_t *params)
{
	t->pending++;
	if (parent_call(t->parent, method, params, takeover_replied, t) < 0)
		t->pending--;
}

/* Whether an mdev of the same parent before @mdev is in the same group. */
static bool takeover_group_met(const struct mdev *mdev)
{
	const struct mdev *before;

	list_for_each (before, &mdev->broker->mdevs, link) {
		if (before == mdev)
			return false;
		if (before->parent == mdev->parent && before->state == MDEV_ACTIVE &&
		    strcmp(before->group, mdev->group) == 0)
			return true;
	}
	return false;
}

/* What is set of groups stands on disk, whatever the host was told. */
static void takeover_settle_groups(struct takeover *t)
{
	const struct mdev *mdev;

	list_for_each (mdev, &t->parent->broker->mdevs, link) {
		struct knobs knobs;

		if (mdev->parent != t->parent || mdev->state != MDEV_ACTIVE || !mdev->group[0] ||
		    takeover_group_met(mdev))
			continue;
		group_knobs(mdev->broker, mdev->group, &knobs);
		takeover_call(t, LINK_GROUP_QOS,
			      json_pack("{s:s,s:i,s:i,s:i}", "group", mdev->group, "cap",
					(int)knobs.cap, "weight", (int)knobs.weight, "priority",
					0));
	}
}

static void takeover_settle(struct takeover *t)
{
	struct parent *parent = t->parent;
	struct umdev_error err = {0};
	struct mdev *mdev;
	struct mdev *tmp;
	json_t *uuid;
	size_t i;

	if (parent_take_answer(parent, t->answer, &err) < 0) {
		takeover_fail(parent, &err);
		return;
	}
	parent->opened = true;
	t->pending = 1; /* until all was begun */
	list_for_each_safe (mdev, tmp, &parent->broker->mdevs, link) {
		if (mdev->parent == parent && mdev->state == MDEV_STARTING)
			takeover_settle_mdev(t, mdev);
	}
	json_array_foreach (t->removes, i, uuid)
		takeover_call(t, LINK_REMOVE, json_pack("{s:O,s:b}", "uuid", uuid, "force", true));
	takeover_settle_groups(t);
	takeover_step(t);
}

/* ---- Being told ------------------------------------------------------------------------------ */

static void takeover_ask_next(struct takeover *t, const char *after);

static void takeover_nexted(void *arg, json_t *result, const struct umdev_error *err)
{
	struct parent *parent = arg;
	struct takeover *t = parent->takeover;
	const char *uuid = json_string_value(json_object_get(result, "uuid"));

	if (!t || parent->state != PARENT_STARTING)
		return;
	if (!result)
		takeover_fail(parent, err);
	else if (uuid)
		takeover_ask_next(t, uuid);
	else
		takeover_settle(t);
}

static void takeover_ask_next(struct takeover *t, const char *after)
{
	struct parent *parent = t->parent;
	struct umdev_error err = {0};
	size_t told = json_object_size(t->records) + json_array_size(t->removes);
	int r = told > BROKER_MDEVS_MAX
			? -E2BIG
			: parent_call(parent, LINK_NEXT, json_pack("{s:s*}", "after", after),
				      takeover_nexted, parent);

	if (r == 0)
		return;
	error_set(&err, ERROR_HOST_FAILED, "the host of %s cannot be asked what it has: %s",
		  parent->name, strerror(-r));
	takeover_fail(parent, &err);
}

static void takeover_opened(void *arg, json_t *result, const struct umdev_error *err)
{
	struct parent *parent = arg;
	struct takeover *t = parent->takeover;
	struct umdev_error why = {0};

	if (!t || parent->state != PARENT_STARTING)
		return;
	if (!result) {
		takeover_fail(parent, err);
	} else if (!t->told) {
		error_set(&why, ERROR_HOST_FAILED,
			  "the host of %s does not tell what it was opened with", parent->name);
		takeover_fail(parent, &why);
	} else if (t->replaces) {
		host_stop(parent->host);
	} else {
		t->answer = json_incref(result);
		takeover_ask_next(t, NULL);
	}
}

void takeover_hello(struct parent *parent, json_t *hello)
{
	struct takeover *t = parent->takeover;
	struct umdev_error err = {0};
	int r = parent_take_hello(parent, hello, &err);

	t->greeted = true;
	if (t->next)
		host_socket_swap(parent->broker, parent->name);
	if (r == 0) {
		r = parent_call(parent, LINK_TAKEOVER, json_object(), takeover_opened, parent);
		if (r < 0)
			error_set(&err, ERROR_HOST_FAILED, "the host of %s cannot be asked: %s",
				  parent->name, strerror(-r));
	}
	if (r < 0)
		takeover_fail(parent, &err);
}

static void takeover_take_record(struct takeover *t, int *fd)
{
	struct parent *parent = t->parent;
	json_t *record = record_read(*fd);
	json_t *remakes = json_object_get(record, "remakes");

	if (!record)
		return;
	parent->record_fd = umdev_steal_fd(fd);
	parent->autostarted = json_is_true(json_object_get(record, "autostarted"));
	parent->restarts = (unsigned)json_integer_value(json_object_get(record, "restarts"));
	t->started_ns = (uint64_t)json_integer_value(json_object_get(record, "started_ns"));
	if (json_is_object(remakes))
		json_object_update(parent->remakes, remakes);
	json_decref(record);
}

/* What the parent was opened with. Should it be opened with something else now, it is opened anew.
 */
static void takeover_take_parent(struct takeover *t, json_t *params, int *fds, size_t nfds)
{
	struct parent *parent = t->parent;
	json_t *names = json_object_get(params, "fds");
	size_t count = json_array_size(names);
	json_t *options = parent_driver_options(parent);
	struct umdev_error err = {0};
	json_t *name;
	size_t i;

	if (t->told || (count != nfds && count + 1 != nfds)) {
		json_decref(options);
		return;
	}
	t->told = true;
	t->replaces = !options || !json_equal(options, json_object_get(params, "values"));
	json_decref(options);
	json_array_foreach (names, i, name) {
		const char *text = json_string_value(name);

		if (!t->replaces &&
		    backings_adopt(&parent->backings, text ? text : "", parent->options,
				   &parent->option_specs, &fds[i], &err) < 0) {
			umdev_log(LOG_WARNING, parent->name, "host.takeover", "%s", err.message);
			t->replaces = true;
		}
	}
	if (!t->replaces && nfds > count)
		takeover_take_record(t, &fds[count]);
}

bool takeover_notify(struct parent *parent, const char *method, json_t *params, int *fds,
		     size_t nfds)
{
	if (strcmp(method, LINK_PARENT) == 0)
		takeover_take_parent(parent->takeover, params, fds, nfds);
	else if (strcmp(method, LINK_MDEV) == 0)
		takeover_take_mdev(parent->takeover, params, fds, nfds);
	else
		return false;
	return true;
}

static struct takeover *takeover_new(struct parent *parent)
{
	struct takeover *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->parent = parent;
	t->records = json_object();
	t->removes = json_array();
	return t;
}

struct takeover *takeover_new_stored(struct parent *parent, json_t *files)
{
	struct takeover *t = takeover_new(parent);

	if (!t)
		return NULL;
	t->stored = true;
	t->files = json_incref(files);
	parent->takeover = t;
	parent->broker->takeovers++;
	return t;
}

static int takeover_connect(struct takeover *t, bool next)
{
	struct parent *parent = t->parent;
	struct host_found found = {0};
	struct umdev_error err = {0};
	struct host_config config;
	int r = host_socket_connect(parent->broker, parent->name, next, &found.pid, &found.pidfd);

	if (r < 0)
		return r;
	t->next = next;
	found.link_fd = r;
	parent_host_config(parent, &config);
	return host_take(&config, &found, &parent_host_ops, parent, &parent->host, &err);
}

bool takeover_begin(struct parent *parent)
{
	struct takeover *t = takeover_new(parent);
	int r = -ENOMEM;

	parent->takeover = t;
	if (t) {
		r = takeover_connect(t, false);
	}
	if (t && r < 0 && takeover_connect(t, true) == 0)
		r = 0;
	if (r < 0) {
		takeover_free(parent);
		/* A host that nobody listens for is over, and with it whatever it was doing. */
		if (r == -ENOENT || r == -ECONNREFUSED)
			(void)stored_take(parent);
		else
			umdev_log(LOG_WARNING, parent->name, "host.takeover",
				  "cannot connect to its host: %s", strerror(-r));
		return false;
	}
	parent->broker->takeovers++;
	return true;
}

/* ---- Hosts without a parent ------------------------------------------------------------------ */

struct stray {
	struct list link;
	struct broker *broker;
	struct host *host;
	char name[IDENT_PARENT_NAME_MAX + 2]; /* or that of a host that was to be the next one */
};

static void stray_free(struct stray *stray)
{
	list_del(&stray->link);
	if (stray->broker->leaving)
		host_leave(stray->host);
	else
		host_free(stray->host);
	free(stray);
}

static void stray_hello(void *data, json_t *params)
{
	(void)data;
	(void)params;
}

static void stray_notify(void *data, const char *method, json_t *params, int *fds, size_t nfds)
{
	(void)data;
	(void)method;
	(void)params;
	(void)fds;
	(void)nfds;
}

static void stray_ask(void *data, uint64_t id, const char *method, json_t *params)
{
	const struct stray *stray = data;
	struct umdev_error err = {0};

	(void)method;
	(void)params;
	error_set(&err, ERROR_NO_PARENT, "parent %s was removed", stray->name);
	host_answer(stray->host, id, &err);
}

static void stray_died(void *data, const struct umdev_error *err)
{
	struct stray *stray = data;
	struct broker *broker = stray->broker;

	(void)err;
	host_socket_remove(broker, stray->name, false);
	stray->host = NULL;
	stray_free(stray);
	broker_taken_step(broker);
	broker_end_step(broker);
}

/* The parent for which a host was to be the next one at the socket @name, or NULL. */
static const struct parent *takeover_next_of(struct broker *broker, const char *name)
{
	char base[IDENT_PARENT_NAME_MAX + 1];
	size_t len = strlen(name);

	if (len < 2 || len > sizeof(base) || name[len - 1] != HOST_SOCKET_NEXT)
		return NULL;
	snprintf(base, sizeof(base), "%.*s", (int)len - 1, name);
	return parent_find(broker, base);
}

static void takeover_stray(struct broker *broker, const char *name)
{
	static const struct host_ops ops = {
		.hello = stray_hello,
		.notify = stray_notify,
		.ask = stray_ask,
		.died = stray_died,
	};
	const struct parent *parent = parent_find(broker, name);
	const struct parent *next_of = takeover_next_of(broker, name);
	struct host_config config = {
		.reactor = broker->reactor,
		.parent = name,
		.call_timeout_ns = broker->config.call_timeout_ns,
		.exit_timeout_ns = broker->config.exit_timeout_ns,
	};
	struct host_found found = {0};
	struct umdev_error err = {0};
	struct stray *stray;
	int r;

	if (parent && parent->state != PARENT_FAILED)
		return;
	if (next_of && next_of->takeover)
		return; /* it may turn out to be the one */
	r = host_socket_connect(broker, name, false, &found.pid, &found.pidfd);
	if (r < 0) {
		host_socket_remove(broker, name, false);
		return;
	}
	found.link_fd = r;
	stray = calloc(1, sizeof(*stray));
	if (!stray) {
		fd_close(&found.link_fd);
		fd_close(&found.pidfd);
		return;
	}
	stray->broker = broker;
	snprintf(stray->name, sizeof(stray->name), "%s", name);
	list_add_tail(&broker->strays, &stray->link);
	if (host_take(&config, &found, &ops, stray, &stray->host, &err) < 0) {
		umdev_log(LOG_WARNING, name, "host.takeover", "%s", err.message);
		stray_free(stray);
		return;
	}
	broker->takeovers++;
	broker_event(broker,
		     &(struct event){.name = "host.stopped", .level = LOG_WARNING, .parent = name},
		     next_of ? "process %d is left of an upgrade: stopped"
			     : "process %d serves a parent that is not configured: stopped",
		     (int)found.pid);
	host_stop(stray->host);
}

void takeover_strays(struct broker *broker)
{
	host_socket_each(broker, takeover_stray);
}

void takeover_strays_free(struct broker *broker)
{
	while (!list_empty(&broker->strays))
		stray_free(list_first(&broker->strays, struct stray, link));
}
