/* SPDX-License-Identifier: BSD-3-Clause */
/* Mdev objects: found, made, shown, and told what their hosts report. See mdev.h. */
#include "broker/mdev.h"

#include <assert.h>
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "broker/endpoint.h"
#include "broker/group.h"
#include "broker/store.h"
#include "broker/stored.h"
#include "link/protocol.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/log.h"

/* Descriptors that no client can take from the broker's own work. */
#define MDEV_FD_RESERVE 256
/* Clients cause events; those of one mdev must not push all others out of the log. */
#define MDEV_EVENTS_WINDOW_NS (10 * NS_PER_S)
#define MDEV_EVENTS_MAX	      60

/* Negative, zero or positive: the order of listings. */
static int mdev_compare(const struct mdev *mdev, const char *parent, const char *uuid)
{
	int order = strcmp(mdev->parent_name, parent);

	return order ? order : strcmp(mdev->uuid, uuid);
}

struct mdev *mdev_find(struct broker *broker, const char *parent, const char *uuid)
{
	struct mdev *mdev;

	list_for_each (mdev, &broker->mdevs, link) {
		if (mdev_compare(mdev, parent, uuid) == 0)
			return mdev;
	}
	return NULL;
}

struct mdev *mdev_find_active(struct broker *broker, const char *uuid)
{
	struct mdev *mdev;

	list_for_each (mdev, &broker->mdevs, link) {
		if (mdev->state != MDEV_IDLE && strcmp(mdev->uuid, uuid) == 0)
			return mdev;
	}
	return NULL;
}

int mdev_get(struct broker *broker, const char *parent, const char *uuid, struct mdev **ret_mdev,
	     struct umdev_error *err)
{
	struct mdev *mdev = mdev_find(broker, parent, uuid);
	struct mdev *after;

	if (mdev) {
		*ret_mdev = mdev;
		return 0;
	}
	if (broker->mdev_count >= BROKER_MDEVS_MAX)
		return error_set(err, ERROR_LIMIT, "there are %d mdevs already, the limit",
				 BROKER_MDEVS_MAX);
	mdev = calloc(1, sizeof(*mdev));
	if (!mdev)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	mdev->broker = broker;
	snprintf(mdev->uuid, sizeof(mdev->uuid), "%s", uuid);
	snprintf(mdev->parent_name, sizeof(mdev->parent_name), "%s", parent);
	list_init(&mdev->return_link);
	keeper_init(&mdev->keeper);
	mdev->restore_fd = -1;
	list_for_each (after, &broker->mdevs, link) {
		if (mdev_compare(after, parent, uuid) > 0)
			break;
	}
	list_add_tail(&after->link, &mdev->link);
	broker->mdev_count++;
	*ret_mdev = mdev;
	return 0;
}

void mdev_free(struct mdev *mdev)
{
	list_del(&mdev->link);
	list_del(&mdev->return_link);
	mdev->broker->mdev_count--;
	keeper_done(&mdev->keeper);
	fd_close(&mdev->restore_fd);
	definition_free(mdev->definition);
	definition_free(mdev->running);
	free(mdev);
}

void mdev_put(struct mdev *mdev)
{
	if (mdev->state == MDEV_IDLE && !mdev_is_defined(mdev))
		mdev_free(mdev);
}

bool mdev_is_defined(const struct mdev *mdev)
{
	return mdev->definition || mdev->unreadable.word != ERROR_NONE;
}

void mdev_set_state(struct mdev *mdev, enum mdev_state state)
{
	assert(mdev_state_may(mdev->state, state));
	mdev->state = state;
	if (state == MDEV_ACTIVE)
		stored_mdev(mdev);
}

/* The name of user @uid in @buffer, or NULL. */
static const char *mdev_user_name(uid_t uid, char *buffer, size_t size)
{
	struct passwd entry;
	struct passwd *found = NULL;

	return getpwuid_r(uid, &entry, buffer, size, &found) == 0 && found ? found->pw_name : NULL;
}

static void mdev_tell_forced(const struct mdev *mdev, const struct mdev_owner *owner,
			     const struct api_call *call)
{
	char names[1024];
	struct mdev_owner who = {.uid = call->uid};
	char whose[MDEV_OWNER_SIZE];
	char by[MDEV_OWNER_SIZE];

	mdev_owner_print(owner, whose);
	who.name = mdev_user_name(call->uid, names, sizeof(names));
	mdev_owner_print(&who, by);
	broker_event(mdev->broker,
		     &(struct event){.name = "mdev.forced",
				     .level = LOG_WARNING,
				     .parent = mdev->parent_name,
				     .uuid = mdev->uuid,
				     .pid = call->pid,
				     .uid = call->uid,
				     .has_peer = true},
		     "%s by %s, process %d, with --force: it belongs to %s",
		     call->method ? call->method : "change", by, (int)call->pid, whose);
}

int mdev_may_change(const struct mdev *mdev, const struct api_call *call, struct umdev_error *err)
{
	const struct definition *d = mdev->definition ? mdev->definition : mdev->running;
	struct mdev_owner owner = {.uid = mdev->broker->uid};
	struct mdev_caller caller = {
		.uid = call->uid, .daemon = mdev->broker->uid, .force = api_flag(call, "force")};
	char names[1024];
	int r;

	if (d) {
		owner.uid = d->has_uid ? d->uid : mdev->broker->uid;
		owner.text = d->owner;
	}
	if (owner.uid != caller.uid) /* else nobody wants to know the name */
		owner.name = mdev_user_name(owner.uid, names, sizeof(names));
	r = mdev_owner_check(&owner, &caller, mdev->uuid, err);
	if (r == MDEV_OWNER_FORCED)
		mdev_tell_forced(mdev, &owner, call);
	return MIN(r, 0);
}

int mdev_store(struct mdev *mdev, struct umdev_error *err)
{
	int r = store_definition(mdev, err);

	if (r == 0) {
		memset(&mdev->unreadable, 0, sizeof(mdev->unreadable));
		mdev->file_lacks = false;
	}
	return r;
}

void mdev_learn_name(struct mdev *mdev)
{
	const struct parent *parent = parent_find(mdev->broker, mdev->parent_name);
	struct definition *d = mdev->definition;
	const struct type *type;

	if (!d || !d->type_id || d->type_name || !parent || !parent->opened)
		return;
	type = type_find_id(&parent->types, d->type_id);
	if (type && definition_set_type(d, type->id, type->name) == 0)
		mdev->file_lacks = true;
}

void mdev_learn_names(struct parent *parent)
{
	struct mdev *mdev;

	list_for_each (mdev, &parent->broker->mdevs, link) {
		if (strcmp(mdev->parent_name, parent->name) == 0)
			mdev_learn_name(mdev);
	}
}

int mdev_redefine(struct mdev *mdev, struct definition *next, struct umdev_error *err)
{
	struct definition *old = mdev->definition;
	char group[IDENT_UUID_SIZE] = "";
	int r;

	mdev->definition = next;
	r = mdev_store(mdev, err);
	if (r < 0) {
		mdev->definition = old;
		old = next;
	}
	if (old)
		definition_group(old, group);
	definition_free(old);
	group_settle(mdev->broker, group);
	return r;
}

void mdev_drop_piece(struct mdev *mdev)
{
	struct parent *parent = parent_find(mdev->broker, mdev->parent_name);
	struct umdev_error err = {0};
	const struct pool_piece *piece =
		parent && parent->opened ? pool_find(&parent->pool, mdev->uuid) : NULL;
	int r = 0;

	if (piece) {
		pool_release(&parent->pool, piece->start, true);
		r = parent_store_map(parent, &err);
	} else if (!parent || !parent->opened) {
		r = parent_drop_piece(mdev->broker, mdev->parent_name, mdev->uuid, &err);
	}
	/* Should this fail, loading the map finds a piece of nobody and releases it. */
	if (r < 0)
		umdev_log(LOG_WARNING, mdev->parent_name, "parent.map", "%s", err.message);
}

void mdev_undefined(struct mdev *mdev, const char *how)
{
	mdev_event(mdev, "mdev.undefined", LOG_INFO, "%s%s", how,
		   mdev->state == MDEV_IDLE ? "" : "; it is active and stays so until it stops");
	if (mdev->state != MDEV_IDLE)
		return;
	mdev_drop_piece(mdev);
	mdev_put(mdev);
}

/* ---- What hosts report ----------------------------------------------------------------------- */

/* The number of a message of the host about what is kept, all of which has been done. */
static void mdev_take_number(struct mdev *mdev, const json_t *params)
{
	json_int_t number = json_integer_value(json_object_get(params, "number"));

	if (number <= 0)
		return;
	mdev->kept_number = (uint64_t)number;
	stored_number(mdev);
}

/* Descriptors of one message, slot by slot. What cannot be kept is closed by the link. */
static void mdev_take_keep(struct mdev *mdev, json_t *params, int *fds, size_t nfds)
{
	uint32_t max = mdev->broker->config.keep_fds_max;
	json_t *slots = json_object_get(params, "slots");
	int error = 0;

	if (json_array_size(slots) != nfds)
		error = -EINVAL;
	for (size_t i = 0; error == 0 && i < nfds; i++) {
		json_t *slot = json_array_get(slots, i);
		json_int_t n = json_is_integer(slot) ? json_integer_value(slot) : -1;

		if (n < 0 || n >= LINK_SLOT_COUNT)
			error = -EINVAL;
		else if (!fd_fair(fds[i], mdev->keeper.count, MDEV_FD_RESERVE))
			error = -EMFILE;
		else
			error = keeper_keep(&mdev->keeper, (uint32_t)n, &fds[i], max);
		if (error == 0)
			stored_keep(mdev, (uint32_t)n);
	}
	mdev_take_number(mdev, params);
	if (error < 0 && !mdev->keep_refused) {
		mdev->keep_refused = true;
		mdev_event(mdev, EVENT_DRIVER, LOG_WARNING,
			   "its host asks to keep what cannot be kept (%s; %zu descriptors are): "
			   "it would not survive the death of its host",
			   error == -EDQUOT ? "too much" : strerror(-error), mdev->keeper.count);
	}
}

static void mdev_take_drop(struct mdev *mdev, const json_t *params)
{
	size_t i;
	json_t *slot;

	json_array_foreach (json_object_get(params, "slots"), i, slot) {
		json_int_t n = json_is_integer(slot) ? json_integer_value(slot) : -1;

		if (n >= 0 && n < LINK_SLOT_COUNT)
			keeper_drop(&mdev->keeper, (uint32_t)n);
	}
	mdev_take_number(mdev, params);
	stored_dropped(mdev);
}

static void mdev_take_leave(struct mdev *mdev)
{
	group_client_left(mdev);
	stored_client(mdev);
}

/* What an event of a known name means for the mdev. */
static void mdev_take_client(struct mdev *mdev, const struct event *event, const json_t *params,
			     const char *message)
{
	json_int_t since = json_integer_value(json_object_get(params, "since_ns"));
	struct umdev_error refusal = {0};

	if (strcmp(event->name, EVENT_CLIENT_CONNECTED) == 0) {
		mdev->in_use = true;
		mdev->client_pid = event->pid;
		mdev->client_uid = event->uid;
		mdev->client_since_ns = since > 0 ? (uint64_t)since : clock_wall_ns();
		stored_client(mdev);
	} else if (strcmp(event->name, EVENT_CLIENT_DISCONNECTED) == 0) {
		mdev->in_use = false;
		stored_client(mdev);
	} else if (strcmp(event->name, EVENT_CLIENT_REFUSED) == 0) {
		/* Cut within a character it would keep the whole mdev from being shown. */
		error_set(&refusal, ERROR_NONE, "%.*s", EVENTS_LINE_MAX - 1, message);
		memcpy(mdev->last_refusal, refusal.message, sizeof(mdev->last_refusal));
	}
}

/* True unless there were too many events of @mdev in a while, which the first one too many says. */
static bool mdev_own_event_allowed(struct mdev *mdev)
{
	uint64_t now = clock_now_ns();

	if (now - mdev->events_window_ns > MDEV_EVENTS_WINDOW_NS) {
		mdev->events_window_ns = now;
		mdev->events_in_window = 0;
	}
	if (mdev->events_in_window < MDEV_EVENTS_MAX) {
		mdev->events_in_window++;
		return true;
	}
	if (mdev->events_in_window++ == MDEV_EVENTS_MAX)
		mdev_event(mdev, EVENT_DRIVER, LOG_WARNING,
			   "its client caused %d events within %d s; more of them are not recorded "
			   "for as long",
			   MDEV_EVENTS_MAX, (int)(MDEV_EVENTS_WINDOW_NS / NS_PER_S));
	return false;
}

/* True unless the parent's host has used up what it may report in this second. */
static bool mdev_event_allowed(struct parent *parent)
{
	uint64_t second = clock_now_ns() / NS_PER_S;

	if (second != parent->event_second) {
		parent->event_second = second;
		parent->event_count = 0;
	}
	return ++parent->event_count <= PARENT_EVENTS_PER_S;
}

/* Whether it is told again: a host that died while the client connected had done so, perhaps. */
static bool mdev_knows(const struct mdev *mdev, const struct event *event)
{
	return strcmp(event->name, EVENT_CLIENT_CONNECTED) == 0 && mdev->in_use &&
	       event->pid == mdev->client_pid && event->uid == mdev->client_uid;
}

static void mdev_take_event(struct parent *parent, struct mdev *mdev, json_t *params)
{
	static const char *const known[] = {EVENT_CLIENT_CONNECTED, EVENT_CLIENT_DISCONNECTED,
					    EVENT_CLIENT_REFUSED};
	const char *name = json_string_value(json_object_get(params, "event"));
	const char *message = json_string_value(json_object_get(params, "message"));
	json_int_t level = json_integer_value(json_object_get(params, "level"));
	struct event event = {.name = EVENT_DRIVER, .parent = parent->name};

	for (size_t i = 0; mdev && name && i < ARRAY_SIZE(known); i++) {
		if (strcmp(known[i], name) == 0)
			event.name = known[i];
	}
	event.uuid = mdev ? mdev->uuid : NULL;
	event.level = level < LOG_ERR ? LOG_ERR : level > LOG_INFO ? LOG_INFO : (int)level;
	event.pid = (pid_t)json_integer_value(json_object_get(params, "pid"));
	event.uid = sandbox_client_uid(parent->sandbox, event.pid,
				       (uid_t)json_integer_value(json_object_get(params, "uid")));
	event.has_peer = json_object_get(params, "pid") && json_object_get(params, "uid");
	if (!message)
		message = "";
	if (mdev && mdev_knows(mdev, &event))
		return;
	if (mdev)
		mdev_take_client(mdev, &event, params, message);
	if ((!mdev || mdev_own_event_allowed(mdev)) && mdev_event_allowed(parent))
		broker_event(parent->broker, &event, "%s", message);
}

void mdev_host_notify(struct parent *parent, const char *method, json_t *params, int *fds,
		      size_t nfds)
{
	const char *uuid = json_string_value(json_object_get(params, "uuid"));
	struct mdev *mdev = uuid ? mdev_find(parent->broker, parent->name, uuid) : NULL;

	if (mdev && mdev->parent != parent)
		mdev = NULL; /* idle by now */
	if (strcmp(method, LINK_EVENT) == 0)
		mdev_take_event(parent, mdev, params);
	else if (mdev && strcmp(method, LINK_KEEP) == 0)
		mdev_take_keep(mdev, params, fds, nfds);
	else if (mdev && strcmp(method, LINK_LEAVE) == 0)
		mdev_take_leave(mdev);
	else if (mdev && strcmp(method, LINK_DROP) == 0)
		mdev_take_drop(mdev, params);
}

/* ---- Showing --------------------------------------------------------------------------------- */

static const char *mdev_shown_state(const struct mdev *mdev)
{
	if (mdev->state == MDEV_FAILED)
		return "failed";
	if (mdev_state_is_active(mdev->state))
		return mdev->in_use ? "in-use" : "active";
	return "defined";
}

static const char *mdev_class(const struct mdev *mdev, const struct definition *d)
{
	const struct parent *parent = parent_find(mdev->broker, mdev->parent_name);
	const struct type *type =
		parent && d->type_id ? type_find_id(&parent->types, d->type_id) : NULL;

	return type ? type->class_name : NULL;
}

static void mdev_print_active(const struct mdev *mdev, json_t *object)
{
	char path[512];

	mdev_socket_path(mdev, path, sizeof(path));
	json_object_set_new(object, "socket", json_string(path));
	if (mdev->keeper.endpoint_count > 0)
		json_object_set_new(object, "endpoints", mdev_print_endpoints(mdev));
	json_object_set_new(object, "iommu_group", json_integer((json_int_t)mdev->number));
	json_object_set_new(object, "piece",
			    json_pack("{s:I,s:I}", "start", (json_int_t)mdev->piece.start, "size",
				      (json_int_t)mdev->piece.size));
	if (mdev->in_use)
		json_object_set_new(object, "client",
				    json_pack("{s:I,s:I,s:I}", "pid", (json_int_t)mdev->client_pid,
					      "uid", (json_int_t)mdev->client_uid, "since_ns",
					      (json_int_t)mdev->client_since_ns));
}

json_t *mdev_print(const struct mdev *mdev, bool as_defined)
{
	static const struct definition nothing;
	const struct definition *d = as_defined ? mdev->definition : mdev->running;
	bool active = mdev_state_is_active(mdev->state);
	char group[IDENT_UUID_SIZE];
	const struct umdev_error *error =
		mdev->unreadable.word != ERROR_NONE ? &mdev->unreadable : &mdev->error;
	json_t *object;

	if (!d)
		d = mdev->definition ? mdev->definition : mdev->running;
	if (!d)
		d = &nothing;
	object = json_pack("{s:s,s:s,s:s,s:s,s:s*,s:s,s:b,s:b,s:b,s:s,s:o,s:s*,s:I,s:s*,s:s*}",
			   "uuid", mdev->uuid, "parent", mdev->parent_name, "type",
			   d->type_id ? d->type_id : "", "type_name",
			   d->type_name ? d->type_name : "", "class", mdev_class(mdev, d), "start",
			   d->auto_start ? "auto" : "manual", "defined", mdev_is_defined(mdev),
			   "active", active, "in_use", mdev->in_use, "state",
			   mdev_shown_state(mdev), "attrs", definition_print_attrs(d), "owner",
			   d->owner, "uid", (json_int_t)(d->has_uid ? d->uid : mdev->broker->uid),
			   "last_refusal", mdev->last_refusal[0] ? mdev->last_refusal : NULL,
			   "error", error->word != ERROR_NONE ? error->message : NULL);
	if (object) {
		definition_group(d, group);
		if (group[0])
			json_object_set_new(object, "group", json_string(group));
	}
	if (object && active)
		mdev_print_active(mdev, object);
	return object;
}
