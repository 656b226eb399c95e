/* SPDX-License-Identifier: BSD-3-Clause */
/* The life of a parent: add, ready, death and restart of its host, removal. See parent.h. */
#include "broker/parent.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/ask.h"
#include "broker/group.h"
#include "broker/host-socket.h"
#include "broker/journal.h"
#include "broker/mdev.h"
#include "broker/store.h"
#include "broker/stored.h"
#include "broker/takeover.h"
#include "broker/upgrade.h"
#include "link/protocol.h"
#include "model/address.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/log.h"

static const char *const parent_state_names[] = {
	[PARENT_STARTING] = "starting",	    [PARENT_READY] = "ready",
	[PARENT_RESTARTING] = "restarting", [PARENT_FAILED] = "failed",
	[PARENT_REMOVING] = "removing",
};
static_assert(ARRAY_SIZE(parent_state_names) == PARENT_STATE_COUNT, "every state has a name");

const char *parent_state_name(enum parent_state state)
{
	return (unsigned)state < PARENT_STATE_COUNT ? parent_state_names[state] : "unknown";
}

struct parent *parent_find(struct broker *broker, const char *name)
{
	struct parent *p;

	list_for_each (p, &broker->parents, link) {
		if (strcmp(p->name, name) == 0)
			return p;
	}
	return NULL;
}

/* Calls @each for every mdev of @parent that is not idle; it may go away in the call. */
static void parent_each_mdev(struct parent *parent, void (*each)(struct mdev *mdev))
{
	struct mdev *mdev;
	struct mdev *tmp;

	list_for_each_safe (mdev, tmp, &parent->broker->mdevs, link) {
		if (mdev->parent == parent && mdev->state != MDEV_IDLE)
			each(mdev);
	}
}

static void parent_boot_done(struct parent *parent)
{
	if (!parent->booting)
		return;
	parent->booting = false;
	broker_boot_step(parent->broker);
}

/* ---- Making and freeing ---------------------------------------------------------------------- */

static void parent_discard_run(struct reactor_task *task);
static void parent_timer_expired(struct reactor_timer *timer);

static int parent_new(struct broker *broker, const char *name, const char *driver,
		      const json_t *options, struct parent **ret, struct umdev_error *err)
{
	struct parent *parent = calloc(1, sizeof(*parent));
	struct parent *after;

	if (parent) {
		parent->options = options ? json_deep_copy(options) : json_object();
		parent->remakes = json_object();
	}
	if (!parent || !parent->options || !parent->remakes) {
		if (parent)
			json_decref(parent->options);
		free(parent);
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	}
	parent->broker = broker;
	parent->record_fd = -1;
	snprintf(parent->name, sizeof(parent->name), "%s", name);
	snprintf(parent->driver, sizeof(parent->driver), "%s", driver);
	list_init(&parent->discards);
	list_init(&parent->returns);
	parent->return_task.run = mdev_return_task;
	parent->discard_task.run = parent_discard_run;
	parent->timer.expired = parent_timer_expired;
	parent->lock_deadline_ns = clock_now_ns() + broker->config.lock_timeout_ns;
	list_for_each (after, &broker->parents, link) {
		if (strcmp(after->name, name) > 0)
			break;
	}
	list_add_tail(&after->link, &parent->link);
	*ret = parent;
	return 0;
}

static void parent_fail_discards(struct parent *parent, const struct umdev_error *err)
{
	while (!list_empty(&parent->discards)) {
		struct parent_discard *d =
			list_first(&parent->discards, struct parent_discard, link);

		list_del(&d->link);
		d->done(d, err);
	}
	parent->discarding = false;
}

void parent_free(struct parent *parent)
{
	struct umdev_error err = {0};

	if (!parent)
		return;
	error_set(&err, ERROR_HOST_FAILED, "parent %s is gone", parent->name);
	reactor_timer_cancel(parent->broker->reactor, &parent->timer);
	takeover_free(parent);
	ask_forget(parent);
	stored_parent_gone(parent);
	if (parent->broker->leaving)
		host_leave(umdev_steal_ptr(&parent->host));
	else
		host_free(umdev_steal_ptr(&parent->host));
	parent_fail_discards(parent, &err);
	reactor_task_del(parent->broker->reactor, &parent->discard_task);
	reactor_task_del(parent->broker->reactor, &parent->return_task);
	upgrade_abort(parent, &err);
	api_fail(parent->call, &err);
	json_decref(parent->hello);
	json_decref(parent->answer);
	while (!list_empty(&parent->returns))
		list_del(parent->returns.next);
	list_del(&parent->link);
	spec_table_done(&parent->option_specs);
	spec_table_done(&parent->attr_specs);
	type_table_done(&parent->types);
	if (parent->broker->leaving)
		backings_leave(&parent->backings);
	else
		backings_close(&parent->backings, false);
	pool_done(&parent->pool);
	fd_close(&parent->record_fd);
	json_decref(parent->remakes);
	json_decref(parent->options);
	json_decref(parent->sandbox);
	free(parent->unit);
	free(parent->description);
	free(parent);
}

/* ---- Hosts come and go ----------------------------------------------------------------------- */

static void parent_failed(struct parent *parent, const struct umdev_error *err)
{
	parent->state = PARENT_FAILED;
	parent->error = *err;
	parent_event(parent, "parent.failed", LOG_ERR, "%s", err->message);
	parent_each_mdev(parent, mdev_host_gone);
	if (parent->booting)
		group_autostart(parent);
	parent_boot_done(parent);
}

/* The first host did not become ready. */
static void parent_start_failed(struct parent *parent, const struct umdev_error *err)
{
	struct umdev_error why = *err;
	struct api_call *call = umdev_steal_ptr(&parent->call);

	stored_abandon(parent);
	backings_close(&parent->backings, true);
	if (!call) {
		parent_failed(parent, &why);
		return;
	}
	error_wrap(&why, "parent %s", parent->name);
	parent_free(parent);
	api_fail(call, &why);
}

static uint64_t parent_restart_delay(struct parent *parent)
{
	const struct broker_config *c = &parent->broker->config;
	uint64_t delay = c->restart_delay_ns;

	/* Guests wait: the first time, at once. */
	if (parent->death_count <= 1)
		return 0;
	for (unsigned i = 2; i < parent->death_count && delay < c->restart_delay_max_ns; i++)
		delay *= 2;
	return MIN(delay, c->restart_delay_max_ns);
}

/* A host that served for a while has proven itself, so its death begins a new count. */
static void parent_count_death(struct parent *parent)
{
	uint64_t lived = parent->ready_ns ? clock_now_ns() - parent->ready_ns : 0;

	if (lived >= parent->broker->config.restart_probation_ns)
		parent->death_count = 0;
	parent->death_count++;
	parent->ready_ns = 0;
}

bool parent_near_end(const struct parent *parent)
{
	return parent->death_count >= PARENT_DOUBTS_AFTER &&
	       parent->death_count + PARENT_DOUBTS >= parent->broker->config.restart_deaths_max;
}

static void parent_restart_later(struct parent *parent, const struct umdev_error *err)
{
	bool was_ready = parent->state == PARENT_READY;
	uint64_t delay;

	parent->state = PARENT_RESTARTING;
	parent->error = *err;
	parent_count_death(parent);
	parent_event(parent, "host.died", LOG_ERR, "%s", err->message);
	if (was_ready)
		parent_each_mdev(parent, mdev_host_died);
	if (parent->death_count >= parent->broker->config.restart_deaths_max) {
		struct umdev_error why = *err;

		error_wrap(&why,
			   "given up after %u hosts in a row that died soon after their start; the "
			   "last",
			   parent->death_count);
		parent_failed(parent, &why);
		return;
	}
	delay = parent_restart_delay(parent);
	reactor_timer_set(parent->broker->reactor, &parent->timer, clock_now_ns() + delay);
}

static void parent_removed(struct parent *parent)
{
	struct broker *broker = parent->broker;
	struct api_call *call = umdev_steal_ptr(&parent->call);
	struct umdev_error err = {0};
	struct mdev *mdev;
	struct mdev *tmp;
	bool any = false;

	/* The map once, and not for each: what is in it still is released when it is read. */
	parent->map_later = true;
	list_for_each_safe (mdev, tmp, &broker->mdevs, link) {
		if (mdev->parent != parent || mdev->state == MDEV_IDLE)
			continue;
		mdev_stopped(mdev, broker->ending ? "the daemon stops" : "its parent was removed");
		any = true;
	}
	parent->map_later = false;
	if (any && parent_store_map(parent, &err) < 0)
		umdev_log(LOG_ERR, parent->name, "parent.map", "%s", err.message);
	parent_boot_done(parent);
	if (!broker->ending)
		parent_event(parent, "parent.removed", LOG_INFO, "removed");
	host_socket_remove(broker, parent->name, false);
	parent_free(parent);
	api_reply(call, json_object());
	broker_end_step(broker);
}

static void parent_host_died(void *data, const struct umdev_error *err)
{
	struct parent *parent = data;
	struct umdev_error why = parent->failing ? parent->error : *err;

	parent->host = NULL;
	parent->failing = false;
	parent_fail_discards(parent, &why);
	ask_forget(parent);
	if (parent->takeover && takeover_host_died(parent, &why))
		return;
	if (upgrade_host_died(parent, &why))
		return;
	switch (parent->state) {
	case PARENT_REMOVING:
		parent_removed(parent);
		break;
	case PARENT_STARTING:
		parent_start_failed(parent, &why);
		break;
	default:
		parent_restart_later(parent, &why);
	}
}

static void parent_host_hello(void *data, json_t *params)
{
	struct parent *parent = data;

	if (parent->takeover && !parent->takeover->stored)
		takeover_hello(parent, params);
	else
		parent_open_begin(parent, params);
}

static void parent_host_notify(void *data, const char *method, json_t *params, int *fds,
			       size_t nfds)
{
	struct parent *parent = data;

	if (!parent->takeover || parent->takeover->stored ||
	    !takeover_notify(parent, method, params, fds, nfds))
		mdev_host_notify(parent, method, params, fds, nfds);
}

static void parent_host_ask(void *data, uint64_t id, const char *method, json_t *params)
{
	struct parent *parent = data;
	struct umdev_error err = {0};

	if (strcmp(method, LINK_JOIN) == 0) {
		ask_join(parent, id, params);
		return;
	}
	error_set(&err, ERROR_UNKNOWN_METHOD, "the broker knows no %.32s", method);
	host_answer(parent->host, id, &err);
}

const struct host_ops parent_host_ops = {
	.ask = parent_host_ask,
	.hello = parent_host_hello,
	.notify = parent_host_notify,
	.died = parent_host_died,
};

void parent_host_config(const struct parent *parent, struct host_config *ret_config)
{
	const struct broker_config *c = &parent->broker->config;

	*ret_config = (struct host_config){
		.reactor = parent->broker->reactor,
		.path = c->host_path,
		.driver_dir = c->driver_dir,
		.driver = parent->driver,
		.parent = parent->name,
		.user = c->host_user,
		.no_sandbox = c->no_sandbox,
		.call_timeout_ns = c->call_timeout_ns,
		.exit_timeout_ns = c->exit_timeout_ns,
		.orphan_ns = c->orphan_ns,
		.listen_fd = -1,
	};
}

int parent_spawn_host(struct parent *parent, const struct host_ops *ops, void *data,
		      struct host **ret_host, struct umdev_error *err)
{
	umdev_autoclose int listen_fd =
		host_socket_bind(parent->broker, parent->name, parent->host != NULL);
	struct host_config config;

	/* Without it the host ends with this broker, and its mdevs with the host. */
	if (listen_fd < 0)
		umdev_log(LOG_WARNING, parent->name, "host.socket", "%s/%s.sock: %s",
			  BROKER_HOSTS_DIR, parent->name, strerror(-listen_fd));
	parent_host_config(parent, &config);
	config.listen_fd = listen_fd < 0 ? -1 : listen_fd;
	config.next = parent->host != NULL;
	return host_spawn(&config, ops, data, ret_host, err);
}

static int parent_spawn(struct parent *parent, struct umdev_error *err)
{
	return parent_spawn_host(parent, &parent_host_ops, parent, &parent->host, err);
}

void parent_adopt_host(struct parent *parent)
{
	host_adopt(parent->host, &parent_host_ops, parent);
}

void parent_begin(struct parent *parent)
{
	struct umdev_error err = {0};

	if (parent_spawn(parent, &err) < 0)
		parent_start_failed(parent, &err);
}

static void parent_timer_expired(struct reactor_timer *timer)
{
	struct parent *parent = container_of(timer, struct parent, timer);
	struct umdev_error err = {0};

	if (parent->state == PARENT_STARTING)
		parent_open_continue(parent);
	else if (parent->state == PARENT_RESTARTING && parent_spawn(parent, &err) < 0)
		parent_restart_later(parent, &err);
}

void parent_fail(struct parent *parent, const struct umdev_error *err)
{
	if (parent->failing || !parent->host)
		return;
	parent->failing = true;
	parent->error = *err;
	host_kill(parent->host, "%s", err->message);
}

void parent_now_ready(struct parent *parent)
{
	struct umdev_error err = {0};
	bool first = !parent->opened;

	if (parent->call && store_write_parent(parent, &err) < 0) {
		parent_fail(parent, &err);
		return;
	}
	parent->opened = true;
	parent->ready_ns = clock_now_ns();
	parent->state = PARENT_READY;
	memset(&parent->error, 0, sizeof(parent->error));
	backings_settle(&parent->backings);
	if (!first) {
		parent->restarts++;
		parent_event(parent, "host.started", LOG_WARNING, "host restarted as process %d",
			     (int)host_pid(parent->host));
		journal_parent(parent);
		parent_each_mdev(parent, mdev_host_back);
		return;
	}
	if (parent->call)
		parent_event(parent, "parent.added", LOG_INFO, "driver %s", parent->driver);
	parent_event(parent, "parent.ready", LOG_INFO, "%zu types, host process %d",
		     parent->types.count, (int)host_pid(parent->host));
	journal_parent(parent);
	api_reply(umdev_steal_ptr(&parent->call), parent_print(parent));
	stored_parent(parent);
	mdev_learn_names(parent);
	if (parent->takeover)
		stored_settle(parent);
	else
		parent_autostart(parent);
}

void parent_taken(struct parent *parent)
{
	parent->opened = true;
	parent->state = PARENT_READY;
	memset(&parent->error, 0, sizeof(parent->error));
	parent_event(parent, "parent.ready", LOG_INFO, "%zu types, host process %d taken over",
		     parent->types.count, (int)host_pid(parent->host));
	stored_parent(parent);
	mdev_learn_names(parent);
	parent_autostart(parent);
}

void parent_autostart(struct parent *parent)
{
	/* What is active elsewhere is known only when all was taken over. */
	parent->autostart_waits = parent->broker->takeovers > 0;
	if (parent->autostart_waits)
		return;
	if (parent->autostarted)
		group_autostart(parent); /* others of its groups may wait for it */
	else
		mdev_autostart(parent);
	if (parent->autostarting == 0)
		parent_boot_done(parent);
	journal_autostarted(parent);
}

/* ---- Requests -------------------------------------------------------------------------------- */

static int parent_check_new(struct broker *broker, const char *name, const json_t *options,
			    struct umdev_error *err)
{
	struct parent *p;
	size_t count = 0;
	const char *key;
	json_t *value;

	if (!ident_parent_name_ok(name))
		return error_set_key(err, ERROR_INVALID, "name",
				     "'%.64s' is no name for a parent: letters, digits and _ . : - "
				     "are allowed, %d at most, and scripts.d is taken",
				     name, IDENT_PARENT_NAME_MAX);
	if (parent_find(broker, name))
		return error_set_key(err, ERROR_EXISTS, "name",
				     "there is a parent %s already; remove it first", name);
	list_for_each (p, &broker->parents, link)
		count++;
	if (count >= BROKER_PARENTS_MAX)
		return error_set(err, ERROR_LIMIT, "there are %d parents already, the limit",
				 BROKER_PARENTS_MAX);
	if (options && !json_is_object(options))
		return error_set_key(err, ERROR_INVALID, "options", "options are not an object");
	json_object_foreach ((json_t *)(uintptr_t)options, key, value) {
		if (!json_is_string(value))
			return error_set_key(err, ERROR_INVALID, key, "option %s is no text", key);
	}
	return 0;
}

int parent_add(struct broker *broker, const char *name, const char *driver, const json_t *options,
	       struct api_call *call, struct umdev_error *err)
{
	struct parent *parent;
	int r = parent_check_new(broker, name, options, err);

	if (r == 0)
		r = parent_new(broker, name, driver, options, &parent, err);
	if (r < 0)
		return r;
	/* A host that runs has its driver, whatever has become of the file. */
	if (call || !takeover_begin(parent)) {
		r = drivers_check(broker, driver, err);
		if (r == 0)
			r = parent_spawn(parent, err);
	}
	if (r < 0) {
		stored_abandon(parent);
		parent_free(parent);
		return r;
	}
	parent->call = call;
	if (!call) {
		parent->booting = true;
		broker->booting++;
	}
	return 0;
}

int parent_add_failed(struct broker *broker, const char *name, const struct umdev_error *why)
{
	struct umdev_error err = {0};
	struct parent *parent;
	int r;

	if (parent_find(broker, name))
		return 0;
	r = parent_new(broker, name, "", NULL, &parent, &err);
	if (r < 0)
		return r;
	parent_failed(parent, why);
	return 0;
}

void parent_remove(struct parent *parent, struct api_call *call)
{
	struct umdev_error err = {0};

	if (parent->call) {
		error_set(&err, ERROR_NO_PARENT, "parent %s is being removed", parent->name);
		api_fail(umdev_steal_ptr(&parent->call), &err);
	}
	error_set(&err, ERROR_NO_PARENT, "parent %s is being removed", parent->name);
	upgrade_abort(parent, &err);
	parent->state = PARENT_REMOVING;
	parent->call = call;
	reactor_timer_cancel(parent->broker->reactor, &parent->timer);
	if (parent->host)
		host_stop(parent->host);
	else
		parent_removed(parent);
}

int parent_check_ready(const struct parent *parent, struct umdev_error *err)
{
	if (parent->state == PARENT_READY && !parent->failing)
		return 0;
	return error_set_key(err, ERROR_NO_PARENT, "parent", "parent %s is %s%s%s", parent->name,
			     parent->failing ? "failing" : parent_state_name(parent->state),
			     parent->error.message[0] ? ": " : "", parent->error.message);
}

int parent_call(struct parent *parent, const char *method, json_t *params, link_reply_fn *reply,
		void *arg)
{
	struct host_request request = {
		.method = method,
		.params = params,
		.timeout_ns = parent->broker->config.call_timeout_ns,
	};

	if (!parent->host) {
		json_decref(params);
		return -ENOTCONN;
	}
	return host_call(parent->host, &request, reply, arg);
}

int parent_notify(struct parent *parent, const char *method, json_t *params, const int *fds,
		  size_t nfds)
{
	if (!parent->host) {
		json_decref(params);
		return -ENOTCONN;
	}
	return host_notify(parent->host, method, params, fds, nfds);
}

/* ---- The pool -------------------------------------------------------------------------------- */

static void parent_discarded(void *arg, json_t *result, const struct umdev_error *err)
{
	struct parent *parent = arg;
	struct parent_discard *d = list_first(&parent->discards, struct parent_discard, link);

	parent->discarding = false;
	list_del(&d->link);
	if (result && pool_mark_clean(&parent->pool, &d->range) == 0)
		err = NULL;
	d->done(d, err);
	if (!list_empty(&parent->discards))
		reactor_task_add(parent->broker->reactor, &parent->discard_task);
}

static int parent_send_discard(struct parent *parent, const struct pool_range *range)
{
	struct host_request request = {
		.method = LINK_DISCARD,
		.timeout_ns = parent->broker->config.discard_timeout_ns,
	};

	if (!parent->host)
		return -ENOTCONN;
	request.params = json_pack("{s:I,s:I}", "start", (json_int_t)range->start, "size",
				   (json_int_t)range->size);
	return host_call(parent->host, &request, parent_discarded, parent);
}

static void parent_discard_run(struct reactor_task *task)
{
	struct parent *parent = container_of(task, struct parent, discard_task);

	while (!parent->discarding && !list_empty(&parent->discards)) {
		struct parent_discard *d =
			list_first(&parent->discards, struct parent_discard, link);
		struct umdev_error err = {0};
		int r = parent_send_discard(parent, &d->range);

		if (r == 0) {
			parent->discarding = true;
			return;
		}
		error_set(&err, ERROR_HOST_FAILED, "the host of %s cannot be asked: %s",
			  parent->name, strerror(-r));
		list_del(&d->link);
		d->done(d, &err);
	}
}

void parent_discard_add(struct parent *parent, struct parent_discard *discard)
{
	list_add_tail(&parent->discards, &discard->link);
	reactor_task_add(parent->broker->reactor, &parent->discard_task);
}

/* ---- Options of every parent ----------------------------------------------------------------- */

const char *parent_option(const struct parent *parent, const char *name)
{
	const char *given = json_string_value(json_object_get(parent->options, name));
	const struct spec *spec = spec_find(spec_standard_options(), name);

	return given || !spec ? given : spec->default_value;
}

bool parent_reserves(const struct parent *parent)
{
	const char *admission = parent_option(parent, "admission");

	return admission && strcmp(admission, "reserve") == 0;
}

/* ---- Showing --------------------------------------------------------------------------------- */

void parent_count_mdevs(const struct parent *parent, size_t *ret_active, size_t *ret_defined)
{
	const struct mdev *mdev;

	*ret_active = 0;
	*ret_defined = 0;
	list_for_each (mdev, &parent->broker->mdevs, link) {
		if (strcmp(mdev->parent_name, parent->name) != 0)
			continue;
		*ret_active += mdev->state != MDEV_IDLE;
		*ret_defined += mdev_is_defined(mdev);
	}
}

static void parent_print_attrs(const struct spec_table *table, json_t *list)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct spec *spec = &table->rows[i];

		json_array_append_new(
			list, json_pack("{s:s,s:s,s:s*,s:s}", "name", spec->name, "description",
					spec->description ? spec->description : "", "default",
					spec->default_value, "when", spec_when_name(spec->when)));
	}
}

/* Adds where the parent is in the tree, and which attributes its mdevs have, to @object (stolen).
 */
static json_t *parent_print_place(const struct parent *parent, json_t *object)
{
	const char *class_name = parent->types.count ? parent->types.types[0].class_name : NULL;
	json_t *attributes = json_array();
	char path[ADDRESS_PATH_SIZE];
	struct address address;

	address_of(parent->name, &address);
	address_path(&address, parent->name, path);
	for (size_t i = 0; i < spec_standard_options()->count; i++) {
		const char *name = spec_standard_options()->rows[i].name;

		json_object_set_new(object, name, json_string(parent_option(parent, name)));
	}
	parent_print_attrs(spec_standard(), attributes);
	parent_print_attrs(&parent->attr_specs, attributes);
	json_object_set_new(object, "path", json_string(path));
	json_object_set_new(object, "subsystem", json_string(address_subsystem(&address)));
	json_object_set_new(object, "pci", address_print_pci(&address, class_name));
	json_object_set_new(object, "attributes", attributes);
	return object;
}

json_t *parent_print(const struct parent *parent)
{
	size_t active;
	size_t defined;
	json_t *host = NULL;
	json_t *pool = NULL;
	json_t *object;

	parent_count_mdevs(parent, &active, &defined);
	if (parent->host)
		host = json_pack("{s:i,s:i,s:I}", "pid", (int)host_pid(parent->host), "restarts",
				 (int)parent->restarts, "started_ns",
				 (json_int_t)host_started_ns(parent->host));
	if (parent->opened)
		pool = json_pack("{s:I,s:I,s:s}", "units", (json_int_t)parent->pool.units, "free",
				 (json_int_t)pool_free(&parent->pool), "unit",
				 parent->unit ? parent->unit : "units");
	object = json_pack("{s:s,s:s,s:O,s:s,s:s*,s:o,s:s*,s:o,s:i,s:{s:i,s:i}}", "name",
			   parent->name, "driver", parent->driver, "options", parent->options,
			   "state", parent_state_name(parent->state), "error",
			   parent->error.message[0] ? parent->error.message : NULL, "host",
			   host ? host : json_null(), "description", parent->description, "pool",
			   pool ? pool : json_null(), "types", (int)parent->types.count, "mdevs",
			   "active", (int)active, "defined", (int)defined);
	if (object)
		json_object_set(object, "sandbox",
				parent->sandbox && parent->host ? parent->sandbox : json_null());
	if (object && parent->hello)
		json_object_set_new(object, "restart",
				    json_string(parent->restart_resets ? "reset" : "seamless"));
	return parent_print_place(parent, object);
}
