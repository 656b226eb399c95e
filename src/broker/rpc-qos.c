/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The methods mdev.qos and mdev.blame: knobs shown and changed, and what came of them.
 *
 * The knobs are the broker's own, the numbers those of the host, which is asked once per call and
 * has a second to answer: one that does not costs the numbers, not the reply. A change of an active
 * mdev and its definition is one transaction: first the host, then the file; where that cannot be
 * written the host is told the knobs of before.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/place.h"
#include "broker/rpc-mdev.h"
#include "broker/usage.h"
#include "link/protocol.h"
#include "util/clock.h"
#include "util/log.h"

#define QOS_WAIT_NS NS_PER_S

static void qos_definition_cleanup(struct definition **definition)
{
	definition_free(*definition);
}

/* Which knobs a call may carry, and the attributes they are. */
static const struct {
	const char *param;
	const char *attr;
} qos_params[] = {
	{"cap", KNOBS_ATTR_CAP},
	{"weight", KNOBS_ATTR_WEIGHT},
	{"priority", KNOBS_ATTR_PRIORITY},
};

/* ---- Showing --------------------------------------------------------------------------------- */

static json_t *qos_print(const struct mdev *mdev, const struct definition *d)
{
	struct knobs knobs;

	knobs_read(d, &knobs);
	return json_pack("{s:s,s:s,s:o,s:I,s:I}", "uuid", mdev->uuid, "parent", mdev->parent_name,
			 "cap", knobs_percent_json(knobs.cap), "weight", (json_int_t)knobs.weight,
			 "priority", (json_int_t)knobs.priority);
}

/* The QOS object of an active mdev. @usage may be NULL. */
static json_t *qos_print_active(const struct mdev *mdev, const json_t *usage)
{
	json_t *object = qos_print(mdev, mdev->running);
	uint64_t time_ns = usage_time_ns(usage, clock_now_ns());

	if (!object)
		return NULL;
	json_object_set_new(object, "active", json_true());
	json_object_set_new(object, "time_ns", json_integer((json_int_t)time_ns));
	json_object_set_new(object, "since_ns", json_integer((json_int_t)mdev->counts_since_ns));
	if (usage_take(object, usage, mdev->uuid))
		json_object_set_new(object, "engines", usage_engines(usage));
	return object;
}

static json_t *qos_print_defined(const struct mdev *mdev)
{
	json_t *object = qos_print(mdev, mdev->definition);

	if (!object)
		return NULL;
	json_object_set_new(object, "active", json_boolean(mdev_state_is_active(mdev->state)));
	json_object_set_new(object, "time_ns", json_integer((json_int_t)clock_now_ns()));
	return object;
}

/* What is told of a peer: less than of the mdev itself. */
static json_t *blame_print_peer(const struct mdev *peer, const json_t *usage)
{
	static const char *const hidden[] = {"parent", "estimate_ns", "cap_debt_ns", "wait_ns",
					     "wait_by_cause_ns"};
	json_t *object = qos_print(peer, peer->running);

	if (!object)
		return NULL;
	if (peer->running->owner)
		json_object_set_new(object, "owner", json_string(peer->running->owner));
	json_object_set_new(object, "since_ns", json_integer((json_int_t)peer->counts_since_ns));
	usage_take(object, usage, peer->uuid);
	for (size_t i = 0; i < ARRAY_SIZE(hidden); i++)
		json_object_del(object, hidden[i]);
	return object;
}

/* Who owned most comes first. */
static int blame_compare(const void *a, const void *b)
{
	json_t *const *x = a;
	json_t *const *y = b;
	json_int_t of_x = json_integer_value(json_object_get(*x, "owned_ns"));
	json_int_t of_y = json_integer_value(json_object_get(*y, "owned_ns"));

	if (of_x != of_y)
		return of_x < of_y ? 1 : -1;
	return strcmp(json_string_value(json_object_get(*x, "uuid")),
		      json_string_value(json_object_get(*y, "uuid")));
}

static json_t *blame_print_peers(const struct mdev *mdev, const json_t *usage)
{
	struct broker *broker = mdev->broker;
	umdev_autofree json_t **sorted = calloc(broker->mdev_count + 1, sizeof(json_t *));
	json_t *peers = json_array();
	const struct mdev *peer;
	size_t count = 0;

	if (!sorted || !peers) {
		json_decref(peers);
		return NULL;
	}
	list_for_each (peer, &broker->mdevs, link) {
		if (peer == mdev || !mdev_state_is_active(peer->state) ||
		    strcmp(peer->parent_name, mdev->parent_name) != 0)
			continue;
		sorted[count] = blame_print_peer(peer, usage);
		count += sorted[count] != NULL;
	}
	if (count > 0)
		qsort(sorted, count, sizeof(json_t *), blame_compare);
	for (size_t i = 0; i < count; i++)
		json_array_append_new(peers, sorted[i]);
	return peers;
}

static json_t *blame_print(const struct mdev *mdev, const json_t *usage)
{
	json_t *own = qos_print_active(mdev, usage);

	return json_pack("{s:I,s:s,s:o,s:b,s:o,s:o}", "time_ns",
			 json_integer_value(json_object_get(own, "time_ns")), "parent",
			 mdev->parent_name, "engines", usage_engines(usage), "hardware",
			 usage_in_hardware(usage), "mdev", own, "peers",
			 blame_print_peers(mdev, usage));
}

/* ---- Asking the host ------------------------------------------------------------------------- */

struct qos_ask {
	struct api_call *call; /* NULL: answered */
	struct reactor_timer timer;
	bool blame;
	char uuid[IDENT_UUID_SIZE];
	char parent[IDENT_PARENT_NAME_MAX + 1];
};

/* Answers with what @usage (NULL: nothing) says, unless that was done. */
static void qos_answer(struct qos_ask *ask, const json_t *usage)
{
	struct api_call *call = umdev_steal_ptr(&ask->call);
	const struct mdev *mdev;
	struct umdev_error err = {0};

	if (!call)
		return;
	reactor_timer_cancel(call->broker->reactor, &ask->timer);
	mdev = mdev_find(call->broker, ask->parent, ask->uuid);
	if (mdev && mdev_state_is_active(mdev->state) && mdev->running) {
		api_reply(call,
			  ask->blame ? blame_print(mdev, usage) : qos_print_active(mdev, usage));
		return;
	}
	error_set(&err, ERROR_NOT_ACTIVE, "mdev %s is not active any more", ask->uuid);
	api_fail(call, &err);
}

static void qos_replied(void *arg, json_t *result, const struct umdev_error *err)
{
	struct qos_ask *ask = arg;

	(void)err;
	qos_answer(ask, result);
	free(ask);
}

static void qos_expired(struct reactor_timer *timer)
{
	/* What was asked still comes, and is thrown away. */
	qos_answer(container_of(timer, struct qos_ask, timer), NULL);
}

/* Asks the host of the active @mdev and answers @call. */
static void qos_ask_host(struct api_call *call, const struct mdev *mdev, bool blame)
{
	struct qos_ask *ask = calloc(1, sizeof(*ask));

	if (!ask) {
		api_reply(call, NULL);
		return;
	}
	ask->call = call;
	ask->blame = blame;
	ask->timer.expired = qos_expired;
	snprintf(ask->uuid, sizeof(ask->uuid), "%s", mdev->uuid);
	snprintf(ask->parent, sizeof(ask->parent), "%s", mdev->parent_name);
	reactor_timer_set(call->broker->reactor, &ask->timer, clock_now_ns() + QOS_WAIT_NS);
	if (parent_call(mdev->parent, LINK_USAGE,
			json_pack("{s:s,s:b}", "uuid", ask->uuid, "peers", blame), qos_replied,
			ask) < 0) {
		qos_answer(ask, NULL);
		free(ask);
	}
}

/* ---- Changing -------------------------------------------------------------------------------- */

static bool qos_has_knobs(const struct api_call *call)
{
	for (size_t i = 0; i < ARRAY_SIZE(qos_params); i++) {
		if (json_object_get(call->params, qos_params[i].param))
			return true;
	}
	return false;
}

/* A copy of @from with the knobs of @call in it. */
static int qos_next(const struct api_call *call, const struct definition *from,
		    struct definition **ret_next, struct umdev_error *err)
{
	umdev_auto(qos_definition_cleanup) struct definition *next = definition_dup(from);

	if (!next)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < ARRAY_SIZE(qos_params); i++) {
		const json_t *value = json_object_get(call->params, qos_params[i].param);
		int r;

		if (!value)
			continue;
		r = knobs_put(next, qos_params[i].attr, value, err);
		if (r < 0)
			return r;
	}
	*ret_next = umdev_steal_ptr(&next);
	return 0;
}

/* The same for the definition of @mdev, checked against its type where the parent can be asked. */
static int qos_next_defined(const struct api_call *call, const struct mdev *mdev,
			    struct definition **ret_next, struct umdev_error *err)
{
	const struct parent *parent = parent_find(mdev->broker, mdev->parent_name);
	struct definition *next = NULL;
	const struct type *type = NULL;
	int r = qos_next(call, mdev->definition, &next, err);

	if (r < 0)
		return r;
	if (parent && parent->opened && next->type_id)
		type = type_find_id(&parent->types, next->type_id);
	r = type ? knobs_check(next, type, mdev->uuid, err) : 0;
	if (r == 0)
		r = place_check_definition(mdev->broker, mdev->parent_name, mdev->uuid, next, err);
	if (r < 0)
		definition_free(next);
	else
		*ret_next = next;
	return r;
}

static int qos_redefine(const struct api_call *call, struct mdev *mdev, struct umdev_error *err)
{
	struct definition *next = NULL;
	int r;

	if (!mdev->definition)
		return error_set_key(err, ERROR_NOT_DEFINED, "uuid", "mdev %s is not defined",
				     mdev->uuid);
	r = qos_next_defined(call, mdev, &next, err);
	if (r == 0)
		r = mdev_redefine(mdev, next, err);
	if (r == 0)
		mdev_event(mdev, "mdev.modified", LOG_INFO, "definition modified");
	return r;
}

/* A change of an active mdev while its host works on it. */
struct qos_change {
	struct api_call *call;
	struct definition *was; /* what it ran as */
	struct umdev_error err; /* why it is being set back */
	char uuid[IDENT_UUID_SIZE];
	char parent[IDENT_PARENT_NAME_MAX + 1];
};

static void qos_change_fail(struct qos_change *change, const struct umdev_error *error)
{
	struct umdev_error err = *error;

	/* Rules about attributes do not know whose they are. */
	if (!strstr(err.message, change->uuid))
		error_wrap(&err, "mdev %s", change->uuid);
	api_fail(change->call, &err);
	definition_free(change->was);
	free(change);
}

static void qos_live_then(struct mdev *mdev, struct api_call *step)
{
	(void)mdev;
	api_reply(step, json_object());
}

static void qos_set_back_done(struct api_call *step, json_t *result, const struct umdev_error *err)
{
	struct qos_change *change = step->arg;

	(void)err;
	json_decref(result);
	qos_change_fail(change, &change->err);
}

static void qos_changed(struct api_call *step, json_t *result, const struct umdev_error *err);

/* Has the host change to @next (stolen); @done is told, once. */
static void qos_change_step(struct qos_change *change, struct definition *next,
			    void (*done)(struct api_call *step, json_t *result,
					 const struct umdev_error *err))
{
	struct mdev *mdev = mdev_find(change->call->broker, change->parent, change->uuid);
	struct api_call *step = api_call_new(change->call->broker, NULL, done, change);
	struct umdev_error err = {0};

	if (!step || !mdev) {
		definition_free(next);
		error_set(&err, ERROR_NO_MEMORY, "out of memory");
		if (step)
			api_fail(step, &err);
		else
			qos_change_fail(change, &err);
		return;
	}
	if (mdev_change_live(mdev, next, step, qos_live_then, api_flag(change->call, "defined"),
			     &err) < 0)
		api_fail(step, &err);
}

/* The active mdev has changed, or not; now its definition. */
static void qos_changed(struct api_call *step, json_t *result, const struct umdev_error *err)
{
	struct qos_change *change = step->arg;
	struct mdev *mdev = mdev_find(change->call->broker, change->parent, change->uuid);

	json_decref(result);
	if (!result || !mdev) {
		qos_change_fail(change, err ? err : &change->err);
		return;
	}
	if (api_flag(change->call, "defined") &&
	    qos_redefine(change->call, mdev, &change->err) < 0) {
		qos_change_step(change, umdev_steal_ptr(&change->was), qos_set_back_done);
		return;
	}
	qos_ask_host(change->call, mdev, false);
	definition_free(change->was);
	free(change);
}

static int qos_change_begin(struct api_call *call, const struct mdev *mdev, struct umdev_error *err)
{
	struct qos_change *change = calloc(1, sizeof(*change));
	struct definition *next = NULL;
	int r;

	if (change)
		change->was = definition_dup(mdev->running);
	if (!change || !change->was) {
		free(change);
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	}
	r = qos_next(call, mdev->running, &next, err);
	if (r < 0) {
		definition_free(change->was);
		free(change);
		return r;
	}
	change->call = call;
	snprintf(change->uuid, sizeof(change->uuid), "%s", mdev->uuid);
	snprintf(change->parent, sizeof(change->parent), "%s", mdev->parent_name);
	qos_change_step(change, next, qos_changed);
	return 0;
}

/* ---- mdev.qos -------------------------------------------------------------------------------- */

/* What the call is about: what is active, and what is defined, if that is asked for. */
struct qos_subject {
	struct mdev *active;
	struct mdev *defined;
};

static int qos_find(const struct api_call *call, struct qos_subject *ret, struct umdev_error *err)
{
	const char *parent = api_text(call, "parent");
	char uuid[IDENT_UUID_SIZE];
	int r = rpc_uuid(call, uuid, false, err);

	if (r < 0)
		return r;
	ret->active = mdev_find_active(call->broker, uuid);
	if (ret->active && parent && strcmp(ret->active->parent_name, parent) != 0)
		ret->active = NULL;
	if (!api_flag(call, "defined") && (ret->active || qos_has_knobs(call)))
		return ret->active ? 0
				   : error_set(err, ERROR_NOT_ACTIVE,
					       "mdev %s is not active: change its definition with "
					       "--defined",
					       uuid);
	r = rpc_find_definition(call->broker, uuid, ret->active ? ret->active->parent_name : parent,
				&ret->defined, err);
	if (r < 0)
		return r;
	if (!ret->defined)
		return error_set_key(err, ERROR_NOT_DEFINED, "uuid", "mdev %s is %s", uuid,
				     api_flag(call, "defined") ? "not defined"
							       : "neither active nor defined");
	if (!ret->defined->definition) {
		*err = ret->defined->unreadable;
		return error_wrap(err, "%s", uuid);
	}
	return 0;
}

static int qos_show(struct api_call *call, const struct qos_subject *subject,
		    struct umdev_error *err)
{
	if (subject->defined)
		api_reply(call, qos_print_defined(subject->defined));
	else if (mdev_state_is_active(subject->active->state))
		qos_ask_host(call, subject->active, false);
	else
		return error_set(err, ERROR_DEVICE_BUSY, "mdev %s is %s: try again",
				 subject->active->uuid, mdev_state_name(subject->active->state));
	return 0;
}

static int qos_change(struct api_call *call, const struct qos_subject *subject,
		      struct umdev_error *err)
{
	struct definition *checked = NULL;
	int r = mdev_may_change(subject->active ? subject->active : subject->defined, call, err);

	if (r < 0)
		return r;
	if (!subject->active) {
		r = qos_redefine(call, subject->defined, err);
		if (r == 0)
			api_reply(call, qos_print_defined(subject->defined));
		return r;
	}
	/* The file is written last, so that it must not be refused then. */
	if (subject->defined)
		r = qos_next_defined(call, subject->defined, &checked, err);
	definition_free(checked);
	return r < 0 ? r : qos_change_begin(call, subject->active, err);
}

void rpc_mdev_qos(struct api_call *call)
{
	struct qos_subject subject = {0};
	struct umdev_error err = {0};
	int r = qos_find(call, &subject, &err);

	if (r == 0)
		r = qos_has_knobs(call) ? qos_change(call, &subject, &err)
					: qos_show(call, &subject, &err);
	if (r == 0)
		return;
	if (!strstr(err.message, api_text(call, "uuid")))
		error_wrap(&err, "mdev %s", api_text(call, "uuid"));
	api_fail(call, &err);
}

/* ---- mdev.blame ------------------------------------------------------------------------------ */

void rpc_mdev_blame(struct api_call *call)
{
	const struct mdev *mdev = NULL;
	struct umdev_error err = {0};
	char uuid[IDENT_UUID_SIZE];
	int r = rpc_uuid(call, uuid, false, &err);

	if (r == 0) {
		mdev = mdev_find_active(call->broker, uuid);
		if (!mdev || !mdev_state_is_active(mdev->state))
			r = error_set(&err, ERROR_NOT_ACTIVE,
				      "mdev %s is not active: nothing holds it back but that",
				      uuid);
	}
	if (r < 0)
		api_fail(call, &err);
	else
		qos_ask_host(call, mdev, true);
}
