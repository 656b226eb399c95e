/* SPDX-License-Identifier: BSD-3-Clause */
/* What a host tells of one mdev, and what is made of it. See takeover.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <umdev/driver.h>

#include "broker/group.h"
#include "broker/journal.h"
#include "broker/record.h"
#include "broker/takeover.h"
#include "link/protocol.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/log.h"

/* ---- Being told ------------------------------------------------------------------------------ */

/* Whether the definition on disk still is what it was "before". */
static bool takeover_is_before(const struct mdev *mdev, const json_t *before)
{
	struct umdev_error ignored = {0};
	struct definition *was = NULL;
	struct definition *is = NULL;
	bool same;

	if (json_is_null(before) || !mdev->definition)
		return json_is_null(before) && !mdev->definition;
	if (definition_parse(before, &was, &ignored) < 0)
		return false;
	/* What a tool may have left out of the file was known all the same. */
	is = definition_dup(mdev->definition);
	same = is && definition_adopt(is, was) >= 0 && definition_equal(is, was);
	definition_free(was);
	definition_free(is);
	return same;
}

static int takeover_take_record(struct mdev *mdev, const json_t *record, struct umdev_error *err)
{
	const json_t *definition = json_object_get(record, "definition");
	const json_t *was = json_object_get(record, "was");
	json_int_t number = json_integer_value(json_object_get(record, "number"));
	json_int_t since = json_integer_value(json_object_get(record, "since_ns"));
	int r;

	if (was && takeover_is_before(mdev, json_object_get(record, "before")))
		definition = was;
	if (!definition || number <= 0 || number > UINT16_MAX || since < 0)
		return error_set(err, ERROR_INVALID, "malformed record");
	r = definition_parse(definition, &mdev->running, err);
	if (r < 0)
		return r;
	mdev->number = (unsigned)number;
	mdev->counts_since_ns = since ? (uint64_t)since : clock_now_ns();
	mdev->claimed = json_is_true(json_object_get(record, "claimed"));
	definition_group(mdev->running, mdev->group);
	return 0;
}

static void takeover_take_client(struct mdev *mdev, json_t *params)
{
	json_t *client = json_object_get(params, "client");

	mdev->in_use = json_is_object(client);
	mdev->client_pid = (pid_t)json_integer_value(json_object_get(client, "pid"));
	mdev->client_uid = (uid_t)json_integer_value(json_object_get(client, "uid"));
	mdev->client_since_ns = (uint64_t)json_integer_value(json_object_get(client, "since_ns"));
	mdev->client = (struct group_client){0};
}

/* Page, listener, endpoints and record, in this order. */
static int takeover_take_fds(const struct takeover *t, struct mdev *mdev, size_t endpoints,
			     int *fds)
{
	struct keeper *k = &mdev->keeper;
	struct stat st;

	if (fstat(fds[0], &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0 ||
	    st.st_size > KEEPER_PAGE_MAX)
		return -EINVAL;
	keeper_done(k);
	k->page_size = (uint64_t)st.st_size;
	/* Its host serves it, or did. */
	k->state_version = t->stored ? t->state_version : t->parent->state_version;
	k->page_fd = umdev_steal_fd(&fds[0]);
	k->listen_fd = umdev_steal_fd(&fds[1]);
	for (size_t i = 0; i < endpoints; i++)
		k->endpoint_fds[k->endpoint_count++] = umdev_steal_fd(&fds[2 + i]);
	k->record_fd = umdev_steal_fd(&fds[2 + endpoints]);
	return 0;
}

static int takeover_fill(struct takeover *t, struct mdev *mdev, json_t *params, int *fds,
			 size_t nfds)
{
	json_int_t endpoints = json_integer_value(json_object_get(params, "endpoints"));
	struct umdev_error err = {0};
	json_t *record;
	int r;

	if (endpoints < 0 || endpoints > UMDEV_ENDPOINTS_MAX || nfds != (size_t)endpoints + 3)
		return -EINVAL;
	record = record_read(fds[nfds - 1]);
	if (!record)
		return -ENODATA;
	r = takeover_take_record(mdev, record, &err);
	if (r == 0)
		r = takeover_take_fds(t, mdev, (size_t)endpoints, fds);
	if (r < 0) {
		definition_free(umdev_steal_ptr(&mdev->running));
		mdev->group[0] = '\0';
		json_decref(record);
		return r;
	}
	mdev->parent = t->parent;
	takeover_take_client(mdev, params);
	mdev->kept_number = (uint64_t)json_integer_value(json_object_get(params, "kept"));
	mdev->from_store = t->stored;
	if (json_is_true(json_object_get(params, "asked")))
		group_client_was(mdev);
	mdev->keep_refused = false;
	mdev->last_refusal[0] = '\0';
	mdev_set_state(mdev, MDEV_STARTING);
	json_object_set_new(t->records, mdev->uuid, record);
	return 0;
}

void takeover_take_mdev(struct takeover *t, json_t *params, int *fds, size_t nfds)
{
	struct parent *parent = t->parent;
	const char *text = json_string_value(json_object_get(params, "uuid"));
	struct umdev_error err = {0};
	char uuid[IDENT_UUID_SIZE];
	struct mdev *mdev = NULL;
	int r = text && ident_uuid_parse(text, uuid) == 0 ? 0 : -EINVAL;

	if (r == 0 && mdev_find_active(parent->broker, uuid))
		r = -EEXIST;
	if (r == 0)
		r = mdev_get(parent->broker, parent->name, uuid, &mdev, &err);
	if (r == 0)
		r = takeover_fill(t, mdev, params, fds, nfds);
	if (r == 0)
		return;
	parent_event(parent, "mdev.stopped", LOG_ERR,
		     "mdev %.40s cannot be taken over and is stopped: %s", text ? text : "?",
		     strerror(abs(r)));
	if (text)
		json_array_append_new(t->removes, json_string(text));
	if (mdev)
		mdev_put(mdev);
}

void takeover_drop_mdev(struct mdev *mdev)
{
	keeper_done(&mdev->keeper);
	definition_free(umdev_steal_ptr(&mdev->running));
	mdev->parent = NULL;
	mdev->group[0] = '\0';
	mdev->in_use = false;
	mdev->from_store = false;
	mdev->client = (struct group_client){0};
	mdev_set_state(mdev, MDEV_IDLE);
	mdev_put(mdev);
}

/* ---- Settling -------------------------------------------------------------------------------- */

/* Whether the start of @mdev was announced: its socket has its name, or that of another that was
 * started with it, for they get them when all are built. */
static bool takeover_announced(const struct mdev *mdev, const json_t *record)
{
	char member[IDENT_UUID_SIZE];
	json_t *uuid;
	size_t i;

	if (!mdev_socket_hidden(mdev->broker, mdev->uuid))
		return true;
	/* One that was made anew was announced long ago. */
	if (!json_object_get(record, "with"))
		return true;
	json_array_foreach (json_object_get(record, "with"), i, uuid) {
		const char *text = json_string_value(uuid);

		if (text && ident_uuid_parse(text, member) == 0 &&
		    mdev_socket_published(mdev->broker, member))
			return true;
	}
	return false;
}

static int takeover_check(struct mdev *mdev, struct umdev_error *err)
{
	const struct parent *parent = mdev->parent;
	const struct pool_piece *piece = pool_find(&parent->pool, mdev->uuid);
	const struct type *type = mdev->running->type_id
					  ? type_find_id(&parent->types, mdev->running->type_id)
					  : NULL;

	if (!piece)
		return error_set(err, ERROR_INVALID, "it has no piece of %s", parent->name);
	mdev->piece = (struct pool_range){.start = piece->start, .size = piece->size};
	if (!type || type->endpoint_count != mdev->keeper.endpoint_count)
		return error_set(err, ERROR_UNKNOWN_TYPE, "%s offers no such type", parent->name);
	mdev->type_index = (size_t)(type - parent->types.types);
	return 0;
}

static void takeover_undone(struct api_call *call, json_t *result, const struct umdev_error *err)
{
	(void)err;
	json_decref(result);
	takeover_step(call->arg);
}

/* Takes back a start that was under way, or what cannot be. */
static void takeover_undo(struct takeover *t, struct mdev *mdev, const struct umdev_error *why)
{
	mdev_event(mdev, "mdev.stopped", LOG_WARNING, "%s", why->message);
	mdev->claimed = mdev->claimed && mdev->piece.size > 0;
	mdev->mapped = true;
	mdev->touched = true;
	memset(&mdev->old_piece, 0, sizeof(mdev->old_piece));
	mdev->call = api_call_new(mdev->broker, NULL, takeover_undone, t);
	if (mdev->call)
		t->pending++;
	mdev_unbuild(mdev, why);
}

static void takeover_send(struct takeover *t, const char *method, json_t *params)
{
	t->pending++;
	if (parent_call(t->parent, method, params, takeover_replied, t) < 0)
		t->pending--;
}

/* Sets everything again that may change while @mdev is there. */
static void takeover_send_values(struct takeover *t, struct mdev *mdev)
{
	const struct spec_table *specs = &mdev->parent->attr_specs;
	json_t *knobs = mdev_print_knobs(mdev->running);

	if (knobs)
		json_object_set_new(knobs, "uuid", json_string(mdev->uuid));
	takeover_send(t, LINK_QOS, knobs);
	for (size_t i = 0; i < specs->count; i++) {
		const struct spec *spec = &specs->rows[i];
		const char *value = definition_attr(mdev->running, spec->name);

		if (!value)
			value = spec->default_value;
		if (value && (spec->when == UMDEV_WHEN_LIVE ||
			      (spec->when == UMDEV_WHEN_IDLE && !mdev->in_use)))
			takeover_send(t, LINK_ATTR,
				      json_pack("{s:s,s:s,s:s}", "uuid", mdev->uuid, "name",
						spec_local_name(spec), "value", value));
	}
}

void takeover_settle_mdev(struct takeover *t, struct mdev *mdev)
{
	const json_t *record = json_object_get(t->records, mdev->uuid);
	struct umdev_error err = {0};
	int r = takeover_check(mdev, &err);

	if (r == 0 && !takeover_announced(mdev, record))
		r = error_set(&err, ERROR_INTERNAL,
			      "its start was under way when the daemon ended, and is taken back");
	if (r == 0 && mdev_socket_hidden(mdev->broker, mdev->uuid))
		r = mdev_socket_publish(mdev, &err);
	if (r < 0) {
		takeover_undo(t, mdev, &err);
		return;
	}
	memset(&mdev->error, 0, sizeof(mdev->error));
	mdev_set_state(mdev, MDEV_ACTIVE);
	if (t->stored) { /* its host died, as far as it is concerned */
		mdev_set_state(mdev, MDEV_RESTARTING);
		mdev_host_back(mdev);
	} else if (json_is_true(json_object_get(record, "changing"))) {
		takeover_send_values(t, mdev);
	}
}

void takeover_settled_mdev(const struct takeover *t, struct mdev *mdev)
{
	const json_t *record = json_object_get(t->records, mdev->uuid);

	if (mdev->state == MDEV_ACTIVE &&
	    (json_object_get(record, "with") || json_object_get(record, "changing")))
		journal_settled(mdev);
}

/* ---- Made anew ------------------------------------------------------------------------------- */

static void takeover_remade(struct api_call *call, json_t *result, const struct umdev_error *err)
{
	struct broker *broker = call->broker;
	const char *uuid = api_text(call, "uuid");
	const char *name = api_text(call, "parent");
	struct parent *parent = name ? parent_find(broker, name) : NULL;

	if (!result)
		broker_event(broker,
			     &(struct event){.name = "mdev.stopped",
					     .level = LOG_ERR,
					     .parent = name,
					     .uuid = uuid},
			     "could not be made as before: %s", err->message);
	json_decref(result);
	if (parent && uuid && json_object_del(parent->remakes, uuid) == 0)
		journal_parent(parent);
	broker_boot_step(broker);
}

static void takeover_remake_one(struct parent *parent, const char *uuid, const json_t *definition)
{
	struct broker *broker = parent->broker;
	json_t *params = json_pack("{s:s,s:s}", "uuid", uuid, "parent", parent->name);
	struct api_call *call = api_call_new(broker, params, takeover_remade, NULL);
	struct umdev_error err = {0};
	struct definition *running = NULL;
	struct mdev *mdev = NULL;
	int r;

	json_decref(params);
	if (!call)
		return;
	broker->booting++;
	r = definition_parse(definition, &running, &err);
	if (r == 0)
		r = mdev_get(broker, parent->name, uuid, &mdev, &err);
	if (r == 0)
		r = mdev_start(mdev, umdev_steal_ptr(&running), call, &err);
	if (r == 0)
		return;
	definition_free(running);
	if (mdev && mdev->state == MDEV_IDLE) {
		if (!mdev_is_defined(mdev))
			mdev_drop_piece(mdev);
		mdev_put(mdev);
	}
	api_fail(call, &err);
}

void takeover_remake(struct parent *parent)
{
	json_t *remakes = json_copy(parent->remakes);
	const char *key;
	json_t *definition;

	json_object_foreach (remakes, key, definition) {
		char uuid[IDENT_UUID_SIZE];

		if (ident_uuid_parse(key, uuid) == 0 && strcmp(key, uuid) == 0 &&
		    !mdev_find_active(parent->broker, uuid))
			takeover_remake_one(parent, uuid, definition);
		else if (json_object_del(parent->remakes, key) == 0)
			journal_parent(parent);
	}
	json_decref(remakes);
}
