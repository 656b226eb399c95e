/* SPDX-License-Identifier: BSD-3-Clause */
/* See upgrade.h. */
#include "broker/upgrade.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "broker/convert.h"
#include "broker/host-socket.h"
#include "broker/journal.h"
#include "link/protocol.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/log.h"

/* A host that fails in its first seconds was no good. */
#define UPGRADE_WATCH_NS (2 * NS_PER_S)
/* How long the old host may take to come to rest; VMMs wait 5 s for an answer. */
#define UPGRADE_REST_NS (2500 * NS_PER_MS)
/* Verbs that are under way are waited for. */
#define UPGRADE_RETRY_NS (20 * NS_PER_MS)
#define UPGRADE_BUSY_NS	 (5 * NS_PER_S)

enum upgrade_phase { UPGRADE_LOADING, UPGRADE_RELEASING, UPGRADE_SERVING, UPGRADE_BACK };

struct upgrade {
	struct parent *parent;
	struct api_call *call;
	enum upgrade_phase phase;
	struct host *next; /* until it is the parent's */
	struct host *old;  /* from then on, as long as it is of use */
	json_t *hello;	   /* of the next one */
	json_t *answer;
	json_t *old_hello; /* of the old one */
	json_t *old_answer;
	struct reactor_timer timer;
	uint64_t busy_deadline_ns;
	uint64_t released_ns; /* when the old one was asked to rest */
	int baton;	      /* whose reader goes on, should this broker die */
	bool stages;	      /* the host is not told yet that the parent is its own */
	bool named;	      /* the next one has the name of the socket */
	int from_pid;
	unsigned converted; /* pages, from version @from_version: there is no way back */
	uint32_t from_version;
	unsigned waiting; /* mdevs that are not served yet */
	json_t *pauses;
	struct umdev_error error; /* why it goes back */
};

/* ---- The end --------------------------------------------------------------------------------- */

static void upgrade_free(struct upgrade *u)
{
	struct broker *broker = u->parent->broker;

	reactor_timer_cancel(broker->reactor, &u->timer);
	u->parent->upgrade = NULL;
	if (broker->leaving) {
		host_leave(u->next);
		host_leave(u->old);
	} else {
		host_socket_remove(broker, u->parent->name, true);
		host_free(u->next);
		host_free(u->old);
	}
	fd_close(&u->baton);
	json_decref(u->hello);
	json_decref(u->answer);
	json_decref(u->old_hello);
	json_decref(u->old_answer);
	json_decref(u->pauses);
	free(u);
}

void upgrade_abort(struct parent *parent, const struct umdev_error *why)
{
	struct upgrade *u = parent->upgrade;
	struct api_call *call = u ? umdev_steal_ptr(&u->call) : NULL;

	if (!u)
		return;
	upgrade_free(u);
	api_fail(call, why);
}

/* It has not come to pass; the host that was there serves. */
static void upgrade_failed(struct upgrade *u, const struct umdev_error *why)
{
	struct parent *parent = u->parent;
	struct umdev_error err = *why;

	error_wrap(&err, "parent %s is not upgraded, its host is what it was", parent->name);
	parent_event(parent, "parent.upgraded", LOG_ERR, "%s", err.message);
	upgrade_abort(parent, &err);
}

static void upgrade_done(struct upgrade *u)
{
	struct parent *parent = u->parent;
	struct api_call *call = umdev_steal_ptr(&u->call);
	json_t *result =
		json_pack("{s:s,s:i,s:i,s:O}", "name", parent->name, "from_pid", u->from_pid, "pid",
			  (int)host_pid(parent->host), "mdevs", u->pauses);
	char told[64] = "";

	if (u->converted > 0)
		snprintf(told, sizeof(told), ", %u states converted from version %u to %u",
			 u->converted, u->from_version, parent->state_version);
	parent_event(parent, "parent.upgraded", LOG_INFO,
		     "process %d serves what process %d did, %zu mdevs%s",
		     (int)host_pid(parent->host), u->from_pid, json_array_size(u->pauses), told);
	journal_parent(parent);
	upgrade_free(u);
	api_reply(call, result);
}

/* ---- What the two hosts declare -------------------------------------------------------------- */

/* Makes the tables of the parent those of the next host, or of the old one. */
static int upgrade_take(struct upgrade *u, json_t *hello, json_t *answer, struct umdev_error *err)
{
	int r = parent_take_hello(u->parent, hello, err);

	return r == 0 && answer ? parent_take_answer(u->parent, answer, err) : r;
}

static void upgrade_take_back(struct upgrade *u)
{
	struct umdev_error err = {0};

	/* It was taken before. */
	if (upgrade_take(u, u->old_hello, u->old_answer, &err) < 0)
		umdev_log(LOG_ERR, u->parent->name, "parent.upgrade", "%s", err.message);
}

/* Whether the mdevs that are there keep the rules of the tables in force. */
static int upgrade_check_mdevs(const struct upgrade *u, struct umdev_error *err)
{
	const struct parent *parent = u->parent;
	const struct mdev *mdev;

	list_for_each (mdev, &parent->broker->mdevs, link) {
		int r = 0;

		if (mdev->parent == parent && mdev->running)
			r = definition_check_attrs(mdev->running, &parent->attr_specs,
						   parent->driver, err);
		if (r < 0)
			return error_wrap(err, "mdev %s", mdev->uuid);
	}
	return 0;
}

/* Whether all that the next host declares can take the place of what is there. Changes nothing. */
static int upgrade_check(struct upgrade *u, struct umdev_error *err)
{
	int r = convert_check_hello(u->parent, u->hello, err);

	if (r < 0)
		return r;
	r = upgrade_take(u, u->hello, u->answer, err);
	if (r == 0)
		r = upgrade_check_mdevs(u, err);
	upgrade_take_back(u);
	return r;
}

/* The eventfd that one host can read, once. */
static int upgrade_baton(void)
{
	return eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
}

/* ---- Serving --------------------------------------------------------------------------------- */

/* Calls @each for the mdevs of the parent that are in @state. */
static void upgrade_each(struct upgrade *u, enum mdev_state state, void (*each)(struct mdev *mdev))
{
	struct parent *parent = u->parent;
	struct mdev *mdev;
	struct mdev *tmp;

	list_for_each_safe (mdev, tmp, &parent->broker->mdevs, link) {
		if (mdev->parent == parent && mdev->state == state)
			each(mdev);
	}
}

/* All mdevs are served again. */
static void upgrade_all_back(struct upgrade *u)
{
	struct umdev_error err = u->error;

	if (u->phase == UPGRADE_BACK)
		upgrade_failed(u, &err);
	else if (u->converted > 0)
		upgrade_done(u); /* what happens from here on is no different from a crash */
	else
		reactor_timer_set(u->parent->broker->reactor, &u->timer,
				  clock_now_ns() + UPGRADE_WATCH_NS);
}

static void upgrade_count(struct mdev *mdev)
{
	mdev->parent->upgrade->waiting++;
}

/* Gives all mdevs to the host that the parent has now: they are staged there. */
static void upgrade_give(struct upgrade *u)
{
	u->parent->state = PARENT_RESTARTING;
	u->stages = true;
	u->waiting = 0;
	upgrade_each(u, MDEV_RESTARTING, upgrade_count);
	if (u->waiting == 0)
		upgrade_all_sent(u->parent);
	else
		upgrade_each(u, MDEV_RESTARTING, mdev_host_back);
}

/* What the old host could have gone on with is another's. */
static void upgrade_forget_old(struct upgrade *u)
{
	int r = host_notify(u->old, LINK_FORGET, json_object(), NULL, 0);

	if (r < 0) /* it is dying */
		umdev_log(LOG_DEBUG, u->parent->name, "parent.upgrade", "%s", strerror(-r));
}

/* The host has read that the parent is its own; what follows is created by it. */
static void upgrade_owned(void *arg, json_t *result, const struct umdev_error *err)
{
	struct parent *parent = arg;
	struct upgrade *u = parent->upgrade;
	bool next;

	if (!u || (!result && err->word == ERROR_HOST_FAILED))
		return; /* its death goes on from there */
	if (!result) {
		host_kill(parent->host, "%s", err->message);
		return;
	}
	next = u->phase == UPGRADE_SERVING;
	if (u->old)
		upgrade_forget_old(u);
	if (u->named != next)
		host_socket_swap(parent->broker, parent->name);
	u->named = next;
	journal_parent(parent);
	if (u->waiting == 0)
		upgrade_all_back(u);
}

bool upgrade_stages(const struct parent *parent)
{
	return parent->upgrade && parent->upgrade->stages;
}

void upgrade_all_sent(struct parent *parent)
{
	struct upgrade *u = parent->upgrade;
	struct host_request request = {.method = LINK_OWN,
				       .fds = &u->baton,
				       .nfds = 1,
				       .timeout_ns = parent->broker->config.call_timeout_ns};

	if (!u->stages)
		return;
	request.params = json_object();
	if (host_call(parent->host, &request, upgrade_owned, parent) < 0) {
		host_kill(parent->host, "its host cannot be told that it is to serve");
		return;
	}
	u->stages = false;
	parent->state = PARENT_READY;
	parent->ready_ns = clock_now_ns();
	upgrade_each(u, MDEV_RESTARTING, mdev_host_back);
}

void upgrade_mdev_back(struct mdev *mdev)
{
	struct upgrade *u = mdev->parent->upgrade;
	uint64_t pause = clock_now_ns();

	if (!u || u->waiting == 0)
		return;
	pause -= u->released_ns;
	if (u->phase == UPGRADE_SERVING)
		json_array_append_new(u->pauses,
				      json_pack("{s:s,s:b,s:I}", "uuid", mdev->uuid, "in_use",
						mdev->in_use, "pause_ns", (json_int_t)pause));
	if (--u->waiting == 0)
		upgrade_all_back(u);
}

void upgrade_mdev_refused(struct mdev *mdev, const struct umdev_error *err)
{
	struct upgrade *u = mdev->parent->upgrade;

	u->error = *err;
	error_wrap(&u->error, "mdev %s", mdev->uuid);
	host_kill(mdev->parent->host, "%s", u->error.message);
}

bool upgrade_can_go_back(const struct parent *parent)
{
	return parent->upgrade && parent->upgrade->converted == 0;
}

bool upgrade_converts(const struct parent *parent)
{
	const struct upgrade *u = parent->upgrade;

	return u && u->phase == UPGRADE_SERVING && u->error.word == ERROR_NONE;
}

void upgrade_converted(struct parent *parent, unsigned count)
{
	parent->upgrade->converted = count;
	upgrade_give(parent->upgrade);
}

static void upgrade_adopt_old(struct upgrade *u);

/* The old host rests, or is gone: the next one takes its place. */
static void upgrade_switch(struct upgrade *u)
{
	struct parent *parent = u->parent;
	struct umdev_error err = {0};

	u->old = parent->host;
	if (u->old)
		upgrade_adopt_old(u);
	parent->host = umdev_steal_ptr(&u->next);
	parent_adopt_host(parent);
	u->phase = UPGRADE_SERVING;
	if (upgrade_take(u, u->hello, u->answer, &err) < 0) {
		host_kill(parent->host, "%s", err.message);
		return;
	}
	convert_all(parent);
}

/* The next host was no good: the old one, if there is one, is given everything again. */
static bool upgrade_back(struct upgrade *u, const struct umdev_error *why)
{
	struct parent *parent = u->parent;

	if (u->error.word == ERROR_NONE)
		u->error = *why;
	convert_forget(parent);
	/* Guests may have moved on, and their new pages are nothing to the old host. */
	if (u->converted > 0) {
		host_free(umdev_steal_ptr(&u->old));
		error_wrap(&u->error,
			   "parent %s is upgraded, states were converted, and another "
			   "host goes on from them",
			   parent->name);
	}
	if (!u->old && !parent->host)
		return false;
	reactor_timer_cancel(parent->broker->reactor, &u->timer);
	if (!parent->host) {
		parent->host = umdev_steal_ptr(&u->old);
		parent_adopt_host(parent);
	}
	/* The next one may have had the last one. */
	fd_close(&u->baton);
	u->baton = upgrade_baton();
	upgrade_take_back(u);
	u->phase = UPGRADE_BACK;
	upgrade_each(u, MDEV_ACTIVE, mdev_host_died);
	upgrade_give(u);
	return true;
}

bool upgrade_host_died(struct parent *parent, const struct umdev_error *err)
{
	struct upgrade *u = parent->upgrade;
	struct umdev_error failed = *err;

	if (!u)
		return false;
	switch (u->phase) {
	case UPGRADE_RELEASING:
		if (!u->next)
			break;
		upgrade_switch(u);
		return true;
	case UPGRADE_SERVING:
		if (upgrade_back(u, err))
			return true;
		failed = u->error;
		break;
	default:
		break;
	}
	upgrade_abort(parent, &failed);
	return false;
}

/* ---- The old host ---------------------------------------------------------------------------- */

static void upgrade_old_died(void *data, const struct umdev_error *err)
{
	struct upgrade *u = data;

	u->old = NULL;
	umdev_log(LOG_DEBUG, u->parent->name, "parent.upgrade", "%s", err->message);
}

static void upgrade_ignore(void *data, const char *method, json_t *params, int *fds, size_t nfds)
{
}

static void upgrade_refuse(void *data, uint64_t id, const char *method, json_t *params)
{
}

static void upgrade_old_hello(void *data, json_t *params)
{
}

static const struct host_ops upgrade_old_ops = {
	.ask = upgrade_refuse,
	.hello = upgrade_old_hello,
	.notify = upgrade_ignore,
	.died = upgrade_old_died,
};

static void upgrade_adopt_old(struct upgrade *u)
{
	host_adopt(u->old, &upgrade_old_ops, u);
}

static void upgrade_released(void *arg, json_t *result, const struct umdev_error *err)
{
	struct parent *parent = arg;
	struct upgrade *u = parent->upgrade;

	if (!u || u->phase != UPGRADE_RELEASING || (!result && err->word == ERROR_HOST_FAILED))
		return; /* its death goes on from there */
	if (!u->next) {
		(void)upgrade_back(u, &u->error);
		return;
	}
	if (result)
		upgrade_switch(u);
	else /* one that cannot come to rest is ended as if it had crashed */
		host_kill(parent->host, "%s", err->message);
}

/* Whether an mdev of the parent is in the middle of something. */
static const struct mdev *upgrade_find_busy(const struct upgrade *u)
{
	const struct mdev *mdev;

	list_for_each (mdev, &u->parent->broker->mdevs, link) {
		if (mdev->parent == u->parent && mdev->state != MDEV_IDLE &&
		    mdev->state != MDEV_FAILED && (mdev->state != MDEV_ACTIVE || mdev->changing))
			return mdev;
	}
	return NULL;
}

static void upgrade_release(struct upgrade *u)
{
	struct parent *parent = u->parent;
	struct reactor *reactor = parent->broker->reactor;
	const struct mdev *busy = upgrade_find_busy(u);
	struct umdev_error err = {0};
	struct host_request request = {.method = LINK_RELEASE,
				       .params = json_object(),
				       .fds = &u->baton,
				       .nfds = 1,
				       .timeout_ns = UPGRADE_REST_NS};

	if (busy || parent->discarding) {
		json_decref(request.params);
		if (clock_now_ns() < u->busy_deadline_ns) {
			reactor_timer_set(reactor, &u->timer, clock_now_ns() + UPGRADE_RETRY_NS);
			return;
		}
		error_set(&err, ERROR_DEVICE_BUSY, "%s %s is busy: try again",
			  busy ? "mdev" : "parent", busy ? busy->uuid : parent->name);
		upgrade_failed(u, &err);
		return;
	}
	/* Some may have been started since. */
	if (convert_check_hello(parent, u->hello, &err) < 0) {
		json_decref(request.params);
		upgrade_failed(u, &err);
		return;
	}
	u->from_version = parent->state_version;
	if (host_call(parent->host, &request, upgrade_released, parent) < 0) {
		error_set(&err, ERROR_HOST_FAILED, "its host cannot be asked");
		upgrade_failed(u, &err);
		return;
	}
	u->released_ns = clock_now_ns();
	u->phase = UPGRADE_RELEASING;
	parent->state = PARENT_RESTARTING;
	upgrade_each(u, MDEV_ACTIVE, mdev_host_died);
}

static void upgrade_expired(struct reactor_timer *timer)
{
	struct upgrade *u = container_of(timer, struct upgrade, timer);

	if (u->phase == UPGRADE_LOADING)
		upgrade_release(u);
	else
		upgrade_done(u);
}

/* ---- The next host --------------------------------------------------------------------------- */

static void upgrade_opened(void *arg, json_t *answer, const struct umdev_error *error)
{
	struct parent *parent = arg;
	struct upgrade *u = parent->upgrade;
	struct umdev_error err = {0};

	if (!u || u->phase != UPGRADE_LOADING)
		return;
	if (!answer) {
		if (error->word != ERROR_HOST_FAILED) /* else its death tells */
			upgrade_failed(u, error);
		return;
	}
	u->answer = json_incref(answer);
	if (upgrade_check(u, &err) < 0)
		upgrade_failed(u, &err);
	else
		upgrade_release(u);
}

static void upgrade_next_hello(void *data, json_t *params)
{
	struct upgrade *u = data;
	struct umdev_error err = {0};
	int r;

	u->hello = json_incref(params);
	r = upgrade_check(u, &err);
	if (r == 0 && parent_send_open(u->parent, u->next, upgrade_opened) < 0)
		r = error_set(&err, ERROR_HOST_FAILED, "the next host cannot be asked");
	if (r < 0)
		upgrade_failed(u, &err);
}

static void upgrade_next_died(void *data, const struct umdev_error *err)
{
	struct upgrade *u = data;

	u->next = NULL;
	if (u->phase == UPGRADE_LOADING)
		upgrade_failed(u, err);
	else
		u->error = *err; /* upgrade_released() goes back */
}

static const struct host_ops upgrade_next_ops = {
	.ask = upgrade_refuse,
	.hello = upgrade_next_hello,
	.notify = upgrade_ignore,
	.died = upgrade_next_died,
};

int upgrade_start(struct parent *parent, struct api_call *call, struct umdev_error *err)
{
	struct upgrade *u;
	int r = parent_check_ready(parent, err);

	if (r < 0)
		return r;
	if (parent->upgrade)
		return error_set(err, ERROR_DEVICE_BUSY, "parent %s is being upgraded already",
				 parent->name);
	u = calloc(1, sizeof(*u));
	if (!u)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	u->parent = parent;
	u->timer.expired = upgrade_expired;
	u->baton = upgrade_baton();
	u->pauses = json_array();
	u->old_hello = json_incref(parent->hello);
	u->old_answer = json_incref(parent->answer);
	u->from_pid = (int)host_pid(parent->host);
	u->busy_deadline_ns = clock_now_ns() + UPGRADE_BUSY_NS;
	parent->upgrade = u;
	r = u->baton < 0 ? error_set(err, ERROR_LIMIT, "no descriptor is free for an upgrade") : 0;
	if (r == 0)
		r = parent_spawn_host(parent, &upgrade_next_ops, u, &u->next, err);
	if (r < 0) {
		upgrade_free(u);
		return r;
	}
	u->call = call;
	return 0;
}
