/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Starting an mdev: one transaction.
 *
 *   check -> claim a piece -> discard its dirty parts -> write the map -> state page and socket ->
 *   the host creates it -> publish the socket -> announce
 *
 * Members of a group take the same steps side by side, and are published together (group-start.c).
 * mdev_start_failed() undoes whatever was done, in reverse. The order of the checks is mdevctl's:
 * already active, parent, type, instances, attributes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "broker/endpoint.h"
#include "broker/group.h"
#include "broker/journal.h"
#include "broker/mdev.h"
#include "broker/place.h"
#include "link/protocol.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/log.h"

/* ---- Undoing --------------------------------------------------------------------------------- */

/* Takes back a piece that was given up and not discarded or handed on since: its data is still
 * there. */
static void mdev_take_back(struct mdev *mdev, struct pool *pool)
{
	struct pool_range dirty;

	if (mdev->old_piece.size == 0 || !pool_dirty_next(pool, &mdev->old_piece, &dirty) ||
	    dirty.start != mdev->old_piece.start || dirty.size != mdev->old_piece.size)
		return;
	if (pool_hold(pool, mdev->uuid, &mdev->old_piece) == 0 &&
	    pool_mark_clean(pool, &mdev->old_piece) < 0)
		pool_release(pool, mdev->old_piece.start, true);
}

static void mdev_autostart_done(struct mdev *mdev)
{
	struct parent *parent = mdev->parent;

	if (!mdev->autostarted)
		return;
	mdev->autostarted = false;
	if (--parent->autostarting == 0 && parent->booting) {
		parent->booting = false;
		broker_boot_step(parent->broker);
	}
	journal_autostarted(parent);
}

/* Gives back what the start holds and goes idle. */
static void mdev_start_release(struct mdev *mdev)
{
	struct umdev_error map_err = {0};

	mdev_socket_close(mdev);
	keeper_done(&mdev->keeper);
	fd_close(&mdev->restore_fd);
	if (mdev->claimed) {
		pool_release(&mdev->parent->pool, mdev->piece.start, mdev->touched);
		mdev_take_back(mdev, &mdev->parent->pool);
		if (mdev->mapped && parent_store_map(mdev->parent, &map_err) < 0)
			umdev_log(LOG_ERR, mdev->parent_name, "parent.map", "%s", map_err.message);
	}
	definition_free(umdev_steal_ptr(&mdev->running));
	mdev->parent = NULL;
	mdev->group[0] = '\0';
	mdev_set_state(mdev, MDEV_IDLE);
}

void mdev_start_unprepare(struct mdev *mdev)
{
	mdev_start_release(mdev);
}

void mdev_start_failed(struct mdev *mdev, const struct umdev_error *error)
{
	struct umdev_error err = *error;
	struct api_call *call = umdev_steal_ptr(&mdev->call);
	struct broker *broker = mdev->broker;
	char group[IDENT_UUID_SIZE];

	memcpy(group, mdev->group, sizeof(group));
	if (mdev->autostarted)
		mdev_event(mdev, "mdev.stopped", LOG_WARNING, "could not start by itself: %s",
			   err.message);
	mdev_autostart_done(mdev);
	mdev_start_release(mdev);
	mdev->error = err;
	if (!mdev_is_defined(mdev)) /* its file may have gone meanwhile */
		mdev_drop_piece(mdev);
	if (mdev->start)
		group_start_step(mdev, &err);
	mdev_put(mdev);
	group_settle(broker, group);
	api_fail(call, &err);
}

/* ---- Checks ---------------------------------------------------------------------------------- */

static int mdev_check_inactive(struct mdev *mdev, struct umdev_error *err)
{
	const struct mdev *active = mdev_find_active(mdev->broker, mdev->uuid);

	if (!active)
		return 0;
	if (active->state == MDEV_STARTING || active->state == MDEV_STOPPING)
		return error_set(err, ERROR_DEVICE_BUSY, "mdev %s is %s: try again", mdev->uuid,
				 mdev_state_name(active->state));
	if (active != mdev)
		return error_set(err, ERROR_EXISTS,
				 "mdev %s is active already, under parent %s: stop it first",
				 mdev->uuid, active->parent_name);
	return error_set(err, ERROR_EXISTS, "mdev %s is active already", mdev->uuid);
}

static int mdev_check_parent(struct mdev *mdev, struct parent **ret_parent, struct umdev_error *err)
{
	struct broker *broker = mdev->broker;
	struct parent *parent = parent_find(broker, mdev->parent_name);
	struct parent *p;

	if (parent) {
		*ret_parent = parent;
		return parent_check_ready(parent, err);
	}
	list_for_each (p, &broker->parents, link) {
		if (strcasecmp(p->name, mdev->parent_name) == 0)
			return error_set_key(
				err, ERROR_NO_PARENT, "parent",
				"Unable to find parent device '%s'. Did you mean '%s'?",
				mdev->parent_name, p->name);
	}
	return error_set_key(err, ERROR_NO_PARENT, "parent", "Unable to find parent device '%s'",
			     mdev->parent_name);
}

/* Writes down what type_resolve() found out: a new id for the name, or a name for the id. */
static int mdev_correct_type(struct mdev *mdev, struct definition *running,
			     const struct type_choice *choice, struct umdev_error *err)
{
	const struct type *type = choice->type;
	struct definition *d = mdev->definition;
	umdev_autofree char *old = running->type_id ? strdup(running->type_id) : NULL;

	if (!choice->corrected && running->type_name && running->type_id)
		return d && mdev->file_lacks ? mdev_store(mdev, err) : 0;
	if (definition_set_type(running, type->id, type->name) < 0)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	if (!d || !old || !d->type_id || strcmp(d->type_id, old) != 0)
		return 0;
	if (definition_set_type(d, type->id, type->name) < 0)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	if (choice->corrected)
		mdev_event(mdev, "mdev.modified", LOG_WARNING,
			   "type %s is gone from %s; '%s' is %s there now: definition corrected",
			   old, mdev->parent_name, type->name, type->id);
	return mdev_store(mdev, err);
}

/* ---- The piece ------------------------------------------------------------------------------- */

static int mdev_claim(struct mdev *mdev, struct parent *parent, const struct type *type,
		      struct umdev_error *err)
{
	const struct pool_piece *held = pool_find(&parent->pool, mdev->uuid);
	int r;

	mdev->claimed = false;
	mdev->mapped = false;
	mdev->touched = false;
	memset(&mdev->old_piece, 0, sizeof(mdev->old_piece));
	if (held &&
	    (type->want.rest ? held->size >= type->want.cost : held->size == type->want.cost)) {
		mdev->piece = (struct pool_range){.start = held->start, .size = held->size};
		return 0;
	}
	if (held) { /* of another type, so of no use any more */
		mdev->old_piece = (struct pool_range){.start = held->start, .size = held->size};
		pool_release(&parent->pool, held->start, true);
	}
	r = pool_claim(&parent->pool, mdev->uuid, &type->want, &mdev->piece);
	if (r == 0) {
		mdev->claimed = true;
		return 0;
	}
	mdev_take_back(mdev, &parent->pool);
	if (r == -ENOSPC)
		return error_set_key(err, ERROR_NO_INSTANCES, "type",
				     "No available instances of %s on %s", type->id, parent->name);
	return error_set(err, error_word_from_errno(r), "no piece of %s for %s: %s", parent->name,
			 mdev->uuid, strerror(-r));
}

/* The device is there and cannot be used after all. */
static void mdev_unbuilt(void *arg, json_t *result, const struct umdev_error *err)
{
	struct mdev *mdev = arg;
	struct umdev_error why = mdev->error;

	(void)result;
	(void)err;
	mdev_start_failed(mdev, &why);
}

void mdev_unbuild(struct mdev *mdev, const struct umdev_error *why)
{
	mdev->error = *why;
	if (parent_call(mdev->parent, LINK_REMOVE,
			json_pack("{s:s,s:b}", "uuid", mdev->uuid, "force", true), mdev_unbuilt,
			mdev) < 0)
		mdev_start_failed(mdev, why);
}

/* ---- The steps ------------------------------------------------------------------------------- */

void mdev_start_done(struct mdev *mdev)
{
	memset(&mdev->error, 0, sizeof(mdev->error));
	fd_close(&mdev->restore_fd);
	mdev->counts_since_ns = clock_now_ns();
	mdev_set_state(mdev, MDEV_ACTIVE);
	journal_settled(mdev);
	mdev_event(mdev, "mdev.started", LOG_INFO, "started as %s on %s", mdev->running->type_id,
		   mdev->parent_name);
	mdev_autostart_done(mdev);
}

static void mdev_created(void *arg, json_t *result, const struct umdev_error *err)
{
	struct mdev *mdev = arg;
	struct umdev_error failure = {0};

	if (!result) {
		mdev_start_failed(mdev, err);
	} else if (mdev->start) {
		group_start_step(mdev, NULL);
	} else if (mdev_socket_publish(mdev, &failure) < 0) {
		mdev_unbuild(mdev, &failure);
	} else {
		struct api_call *call = umdev_steal_ptr(&mdev->call);

		mdev_start_done(mdev);
		api_reply(call, mdev_print(mdev, false));
	}
}

/* The driver's attributes as text, without their prefix; the last of several counts. */
static json_t *mdev_create_attrs(const struct mdev *mdev)
{
	const struct spec_table *specs = &mdev->parent->attr_specs;
	json_t *attrs = json_object();

	for (size_t i = 0; i < specs->count; i++) {
		const char *value = definition_attr(mdev->running, specs->rows[i].name);

		if (value)
			json_object_set_new(attrs, spec_local_name(&specs->rows[i]),
					    json_string(value));
	}
	return attrs;
}

json_t *mdev_print_knobs(const struct definition *definition)
{
	struct knobs knobs;

	knobs_read(definition, &knobs);
	return json_pack("{s:i,s:i,s:i}", "cap", (int)knobs.cap, "weight", (int)knobs.weight,
			 "priority", (int)knobs.priority);
}

/* Room for the descriptors of a create. */
struct mdev_create_fds {
	int fds[3 + UMDEV_ENDPOINTS_MAX];
};

/* What a create of @mdev is asked with. */
static struct host_request mdev_create_request(struct mdev *mdev, int origin,
					       struct mdev_create_fds *room)
{
	const struct keeper *k = &mdev->keeper;
	struct parent *parent = mdev->parent;
	/* Not only this client is at stake any more. */
	bool doubt = origin > 0 && parent_near_end(parent);
	struct host_request request = {
		.method = LINK_CREATE,
		.fds = room->fds,
		.nfds = 3 + k->endpoint_count,
		.timeout_ns = parent->broker->config.call_timeout_ns,
	};

	if (origin == 0 || origin == 3) /* an empty page */
		mdev->kept_number = 0;
	room->fds[0] = k->page_fd;
	room->fds[1] = k->listen_fd;
	memcpy(&room->fds[2], k->endpoint_fds, sizeof(k->endpoint_fds));
	room->fds[2 + k->endpoint_count] = k->record_fd;
	request.params =
		json_pack("{s:s,s:i,s:[I,I],s:o,s:i,s:o,s:o*,s:I,s:b}", "uuid", mdev->uuid, "type",
			  (int)mdev->type_index, "piece", (json_int_t)mdev->piece.start,
			  (json_int_t)mdev->piece.size, "attrs", mdev_create_attrs(mdev), "origin",
			  doubt ? 2 : origin, "qos", mdev_print_knobs(mdev->running), "group",
			  mdev->group[0] ? group_print_knobs(mdev->broker, mdev->group) : NULL,
			  "kept", (json_int_t)mdev->kept_number, "stored", mdev->from_store);
	return request;
}

int mdev_send_create(struct mdev *mdev, int origin, link_reply_fn *reply, void *arg)
{
	struct mdev_create_fds room;
	struct host_request request;

	if (!mdev->parent->host)
		return -ENOTCONN;
	request = mdev_create_request(mdev, origin, &room);
	return host_call(mdev->parent->host, &request, reply, arg);
}

int mdev_send_stage(struct mdev *mdev, link_reply_fn *reply, void *arg)
{
	struct mdev_create_fds room;
	struct host_request request;

	if (!mdev->parent->host)
		return -ENOTCONN;
	request = mdev_create_request(mdev, 1, &room);
	request.method = LINK_STAGE;
	return host_call(mdev->parent->host, &request, reply, arg);
}

int mdev_send_staged(struct mdev *mdev, link_reply_fn *reply, void *arg)
{
	struct mdev_create_fds room;
	struct host_request request;

	if (!mdev->parent->host)
		return -ENOTCONN;
	request = mdev_create_request(mdev, 1, &room);
	request.nfds = 0;
	return host_call(mdev->parent->host, &request, reply, arg);
}

/* Hands the saved state over, if it starts from one. */
static int mdev_give_stream(struct mdev *mdev)
{
	return mdev->restore_fd < 0 ? 0
				    : parent_notify(mdev->parent, LINK_GIVE,
						    json_pack("{s:s,s:[i]}", "uuid", mdev->uuid,
							      "slots", LINK_SLOT_STREAM),
						    &mdev->restore_fd, 1);
}

static void mdev_build(struct mdev *mdev)
{
	struct umdev_error err = {0};
	int r;

	mdev->mapped = true;
	r = parent_store_map(mdev->parent, &err);
	if (r == 0) {
		r = keeper_page_new(&mdev->keeper, mdev->parent->page_size,
				    mdev->parent->state_version);
		if (r < 0)
			error_set(&err, error_word_from_errno(r),
				  "cannot make the state page of %s: %s", mdev->uuid, strerror(-r));
	}
	if (r == 0)
		r = mdev_socket_open(mdev, &err);
	if (r == 0)
		r = mdev_endpoints_open(mdev, &err);
	if (r == 0)
		r = journal_begin(mdev, &err);
	if (r == 0) {
		mdev->touched = true;
		r = mdev_give_stream(mdev);
		if (r == 0)
			r = mdev_send_create(mdev, mdev->restore_fd < 0 ? 0 : 3, mdev_created,
					     mdev);
		if (r < 0)
			error_set(&err, ERROR_HOST_FAILED,
				  "the host of %s cannot be asked to create %s: %s",
				  mdev->parent_name, mdev->uuid, strerror(-r));
	}
	if (r < 0)
		mdev_start_failed(mdev, &err);
}

static void mdev_discarded(struct parent_discard *discard, const struct umdev_error *error)
{
	struct mdev *mdev = container_of(discard, struct mdev, discard);
	struct umdev_error err = {0};

	if (error) {
		err = *error;
		error_wrap(&err, "discarding what was on the piece before");
		mdev_start_failed(mdev, &err);
		return;
	}
	mdev_start_next(mdev);
}

void mdev_start_next(struct mdev *mdev)
{
	struct parent *parent = mdev->parent;

	if (!pool_dirty_next(&parent->pool, &mdev->piece, &mdev->discard.range)) {
		mdev_build(mdev);
		return;
	}
	mdev->discard.done = mdev_discarded;
	parent_discard_add(parent, &mdev->discard);
}

static int mdev_start_checked(struct mdev *mdev, struct definition *running,
			      struct parent **ret_parent, struct umdev_error *err)
{
	struct type_choice choice = {0};
	struct parent *parent = NULL;
	char group[IDENT_UUID_SIZE];
	int r = mdev_check_inactive(mdev, err);

	if (r == 0)
		r = mdev_check_parent(mdev, &parent, err);
	if (r == 0)
		r = type_resolve(&parent->types, parent->name, running->type_id, running->type_name,
				 &choice, err);
	if (r < 0)
		return r;
	definition_group(running, group);
	if (choice.type->requires_group && !group[0])
		return error_set_key(err, ERROR_INVALID, "group",
				     "type %s exists only inside a group: give %s one, with "
				     "--group UUID or the attribute %s",
				     choice.type->id, mdev->uuid, SPEC_ATTR_GROUP);
	r = mdev_claim(mdev, parent, choice.type, err);
	if (r < 0)
		return r;
	mdev->type_index = (size_t)(choice.type - parent->types.types);
	r = definition_check_attrs(running, &parent->attr_specs, parent->driver, err);
	if (r == 0)
		r = knobs_check(running, choice.type, mdev->uuid, err);
	if (r == 0)
		r = place_check_start(mdev, parent, choice.type, running, err);
	if (r == 0)
		r = mdev_socket_check(running, err);
	if (r == 0)
		r = mdev_correct_type(mdev, running, &choice, err);
	if (r < 0 && mdev->claimed) {
		pool_release(&parent->pool, mdev->piece.start, false);
		mdev_take_back(mdev, &parent->pool);
	}
	*ret_parent = parent;
	return r;
}

/* The lowest number that no mdev has which is not idle; 0 is never given. */
static unsigned mdev_free_number(const struct broker *broker)
{
	umdev_autofree uint8_t *taken = calloc(broker->mdev_count / 8 + 1, 1);
	const struct mdev *mdev;
	unsigned number = 0;

	if (!taken)
		return UINT16_MAX; /* shared with others rather than refused */
	list_for_each (mdev, &broker->mdevs, link) {
		if (mdev->state != MDEV_IDLE && mdev->number - 1 < broker->mdev_count)
			taken[(mdev->number - 1) / 8] |= (uint8_t)(1u << (mdev->number - 1) % 8);
	}
	while (number < broker->mdev_count && taken[number / 8] & 1u << number % 8)
		number++;
	return number + 1;
}

int mdev_start_prepare(struct mdev *mdev, struct definition *running, struct umdev_error *err)
{
	struct parent *parent = NULL;
	int r = mdev_start_checked(mdev, running, &parent, err);

	if (r < 0) {
		definition_free(running);
		return r;
	}
	mdev->number = mdev_free_number(mdev->broker);
	mdev->parent = parent;
	mdev->running = running;
	definition_group(running, mdev->group);
	mdev->client = (struct group_client){0};
	mdev->keep_refused = false;
	mdev->store_refused = false;
	mdev->in_use = false;
	mdev->last_refusal[0] = '\0';
	mdev_set_state(mdev, MDEV_STARTING);
	return 0;
}

int mdev_start(struct mdev *mdev, struct definition *running, struct api_call *call,
	       struct umdev_error *err)
{
	char group[IDENT_UUID_SIZE];
	int r;

	definition_group(running, group);
	if (group[0]) {
		struct group_wanted wanted = {group, &mdev, &running, 1, true};

		return group_start(mdev->broker, &wanted, call, err);
	}
	r = mdev_start_prepare(mdev, running, err);
	if (r < 0)
		return r;
	mdev->call = call;
	mdev_start_next(mdev);
	return 0;
}

void mdev_autostart(struct parent *parent)
{
	struct mdev *mdev;
	struct mdev *tmp;

	parent->autostarting++; /* until all were begun */
	list_for_each_safe (mdev, tmp, &parent->broker->mdevs, link) {
		struct umdev_error err = {0};
		struct definition *running;
		char group[IDENT_UUID_SIZE];

		if (strcmp(mdev->parent_name, parent->name) != 0 || !mdev->definition ||
		    !mdev->definition->auto_start || mdev->state != MDEV_IDLE)
			continue;
		definition_group(mdev->definition, group);
		if (group[0]) /* with the others of it */
			continue;
		running = definition_dup(mdev->definition);
		mdev->autostarted = true;
		parent->autostarting++;
		if (running && mdev_start(mdev, running, NULL, &err) == 0)
			continue;
		mdev->autostarted = false;
		parent->autostarting--;
		mdev->error = err;
		mdev_event(mdev, "mdev.stopped", LOG_WARNING, "could not start by itself: %s",
			   running ? err.message : "out of memory");
	}
	group_autostart(parent);
	parent->autostarting--;
}
