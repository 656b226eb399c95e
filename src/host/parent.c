/* SPDX-License-Identifier: BSD-3-Clause */
/* The broker's requests to this host: open the parent, create, remove and query mdevs. Shapes:
 * link/protocol.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/baton.h"
#include "host/convert.h"
#include "host/describe.h"
#include "host/given.h"
#include "host/group.h"
#include "host/handover.h"
#include "host/host.h"
#include "host/jobs.h"
#include "host/release.h"
#include "host/save.h"
#include "host/usage.h"
#include "host/values.h"
#include "util/clock.h"
#include "util/log.h"

void host_event(struct umdev_parent *parent, struct umdev_mdev *mdev, int level, const char *event,
		const struct ucred *peer, const char *message)
{
	json_t *params =
		json_pack("{s:s,s:i,s:s}", "event", event, "level", level, "message", message);

	if (!params)
		return;
	if (mdev)
		json_object_set_new(params, "uuid", json_string(mdev->uuid));
	if (mdev && mdev->in_use)
		json_object_set_new(params, "since_ns",
				    json_integer((json_int_t)mdev->client_since_ns));
	if (peer) {
		json_object_set_new(params, "pid", json_integer(peer->pid));
		json_object_set_new(params, "uid", json_integer(peer->uid));
	}
	/* Without a broker there is nobody to tell. */
	link_notify(&parent->link, LINK_EVENT, params, NULL, 0);
}

/* ---- open ---- */

/* Puts the descriptors that came along into the values of the options they are for. */
static int parent_take_fds(struct umdev_parent *parent, json_t *params, int *fds, size_t nfds,
			   struct umdev_error *err)
{
	json_t *names = json_object_get(params, "fds");
	json_t *flags = json_object_get(params, "flags");
	json_t *name;
	size_t index;

	if (json_array_size(names) != nfds && json_array_size(names) + 1 != nfds)
		return error_set(err, ERROR_INVALID, "open names %zu descriptors, %zu came",
				 json_array_size(names), nfds);
	host_handover_opened(parent, params, json_array_size(names) < nfds ? &fds[nfds - 1] : NULL);
	json_array_foreach (names, index, name) {
		const char *text = json_string_value(name);

		for (uint32_t i = 0; text && i < parent->driver.option_count; i++) {
			const struct umdev_option *o = driver_option(&parent->driver, i);
			struct umdev_value *v = &parent->values[i];

			if (strcmp(o->name, text) != 0 || v->fd >= 0)
				continue;
			v->fd = umdev_steal_fd(&fds[index]);
			v->flags = (uint32_t)json_integer_value(json_object_get(flags, text));
		}
	}
	return 0;
}

/* A driver's types must be whole before anybody hears of them; the model's rules follow at the
 * broker. */
static int parent_check_info(const struct umdev_parent *parent, struct umdev_error *err)
{
	const struct umdev_parent_info *info = &parent->info;

	if (info->type_count == 0 || info->type_count > DRIVER_TABLE_MAX || !info->types)
		return error_set(err, ERROR_DRIVER_FAILED,
				 "driver %s offers %u types, 1 to %d are allowed",
				 parent->driver.table.name, info->type_count, DRIVER_TABLE_MAX);
	if (info->engine_count > HOST_ENGINES_MAX || (info->engine_count > 0 && !info->engines))
		return error_set(err, ERROR_DRIVER_FAILED,
				 "driver %s declares %u engines, at most %d are allowed",
				 parent->driver.table.name, info->engine_count, HOST_ENGINES_MAX);
	for (uint32_t i = 0; i < info->type_count; i++) {
		const struct umdev_type *t = driver_type(&parent->driver, info, i);

		if (!t->id || !t->name || !t->class_name)
			return error_set(err, ERROR_DRIVER_FAILED,
					 "driver %s offers a type without id, name or class",
					 parent->driver.table.name);
	}
	for (uint32_t i = 0; i < info->engine_count; i++) {
		const struct umdev_engine *e = driver_engine(&parent->driver, info, i);

		if (!e->name || e->parallelism == 0)
			return error_set(err, ERROR_DRIVER_FAILED,
					 "driver %s declares an engine without name or parallelism",
					 parent->driver.table.name);
	}
	return 0;
}

/* What an earlier host declared of the engines. Returns how many; 0 where there was none. */
static uint32_t parent_known_engines(json_t *params, uint32_t *parallelism)
{
	json_t *known = json_object_get(params, "engines");
	json_t *number;
	size_t i;

	if (json_array_size(known) > HOST_ENGINES_MAX)
		return 0;
	json_array_foreach (known, i, number) {
		json_int_t n = json_integer_value(number);

		if (n < 1 || n > UINT32_MAX)
			return 0;
		parallelism[i] = (uint32_t)n;
	}
	return (uint32_t)json_array_size(known);
}

static int parent_open(struct umdev_parent *parent, json_t *params, int *fds, size_t nfds,
		       struct umdev_error *err)
{
	struct umdev_parent_args args = {.struct_size = sizeof(args)};
	uint32_t parallelism[HOST_ENGINES_MAX];
	int r;

	if (parent->opened || parent->values)
		return error_set(err, ERROR_EXISTS, "parent %s is open already", parent->name);
	r = host_option_values(&parent->driver, json_object_get(params, "values"), &parent->values,
			       err);
	if (r == 0)
		r = parent_take_fds(parent, params, fds, nfds, err);
	if (r < 0)
		return r;
	args.name = parent->name;
	args.values = parent->values;
	args.value_count = parent->driver.option_count;
	args.engine_count = parent_known_engines(params, parallelism);
	if (args.engine_count > 0)
		args.parallelism = parallelism;
	r = driver_parent_open(&parent->driver, parent, &args, &parent->info, &parent->priv, err);
	if (r < 0)
		return r;
	r = parent_check_info(parent, err);
	if (r == 0)
		r = host_jobs_init(parent, err);
	if (r < 0) {
		driver_parent_close(&parent->driver, parent->priv);
		return r;
	}
	parent->opened = true;
	sandbox_settle(&parent->sandbox);
	return 0;
}

static void parent_on_open(struct umdev_parent *parent, uint64_t id, json_t *params, int *fds,
			   size_t nfds)
{
	struct umdev_error err = {0};

	if (parent_open(parent, params, fds, nfds, &err) < 0)
		link_reply_error(&parent->link, id, &err);
	else
		link_reply(&parent->link, id, host_describe_parent(parent));
}

/* ---- create, remove ---- */

/* The descriptors that were staged for the mdev of @params. */
static size_t parent_staged_fds(struct umdev_parent *parent, json_t *params, int **ret_fds)
{
	const char *uuid = json_string_value(json_object_get(params, "uuid"));
	struct host_given *given = uuid ? host_given_find(parent, uuid, true) : NULL;

	*ret_fds = given ? given->fds : NULL;
	return given ? given->nfds : 0;
}

int host_parent_create(struct umdev_parent *parent, json_t *params, int *fds, size_t nfds,
		       struct umdev_error *err)
{
	struct umdev_value *values = NULL;
	struct host_create create = {.knobs = QOS_KNOBS_DEFAULT, .group_knobs = QOS_KNOBS_DEFAULT};
	json_t *attrs = NULL;
	json_t *knobs = NULL;
	json_t *group = NULL;
	json_int_t start = 0;
	json_int_t size = 0;
	json_int_t kept = 0;
	int type = -1;
	int origin = 0;
	bool staged = nfds == 0;
	int stored = 0;
	int r;

	if (!parent->opened || parent->closing || parent->waits)
		return error_set(err, ERROR_NO_PARENT, "parent %s is not open", parent->name);
	if (staged)
		nfds = parent_staged_fds(parent, params, &fds);
	if (nfds < 2 ||
	    json_unpack(params, "{s:s,s:i,s:[I,I],s?o,s?i,s?o,s?o,s?I,s?b}", "uuid", &create.uuid,
			"type", &type, "piece", &start, &size, "attrs", &attrs, "origin", &origin,
			"qos", &knobs, "group", &group, "kept", &kept, "stored", &stored) < 0)
		return error_set(err, ERROR_INVALID, "malformed create");
	if (type < 0 || (uint32_t)type >= parent->info.type_count || start < 0 || size < 0 ||
	    strlen(create.uuid) != UMDEV_UUID_STRING - 1)
		return error_set(err, ERROR_INVALID,
				 "create names no type, piece or uuid of this parent");
	create.endpoint_count =
		driver_type(&parent->driver, &parent->info, (uint32_t)type)->endpoint_count;
	if (nfds == 3 + create.endpoint_count)
		create.record = &fds[--nfds];
	if (create.endpoint_count > UMDEV_ENDPOINTS_MAX || nfds - 2 != create.endpoint_count)
		return error_set(err, ERROR_INVALID, "create brings %zu endpoints, the type has %u",
				 nfds - 2, create.endpoint_count);
	r = knobs ? host_knobs_parse(knobs, &create.knobs, err) : 0;
	if (r == 0 && group) {
		create.group = json_string_value(json_object_get(group, "uuid"));
		r = create.group && strlen(create.group) == UMDEV_UUID_STRING - 1
			    ? host_knobs_parse(group, &create.group_knobs, err)
			    : error_set(err, ERROR_INVALID, "malformed create");
	}
	if (r == 0)
		r = host_attr_values(&parent->driver, attrs, &values, err);
	if (r < 0)
		return r;
	create.type_index = (uint32_t)type;
	create.piece_start = (uint64_t)start;
	create.piece_size = (uint64_t)size;
	create.values = values;
	create.resume = origin == 1 || origin == 2;
	create.doubt = origin == 2;
	create.restore = origin == 3;
	create.stored = stored;
	create.kept = (uint64_t)kept;
	create.attrs = attrs;
	create.page_fd = &fds[0];
	create.listener = &fds[1];
	create.endpoints = &fds[2];
	create.given = host_given_claim(parent, create.uuid, staged);
	r = host_mdev_create(parent, &create, err);
	host_given_free(create.given);
	host_values_free(values, parent->driver.attr_count);
	return r;
}

static void parent_on_create(struct umdev_parent *parent, uint64_t id, json_t *params, int *fds,
			     size_t nfds)
{
	struct umdev_error err = {0};

	if (host_parent_create(parent, params, fds, nfds, &err) < 0)
		link_reply_error(&parent->link, id, &err);
	else
		link_reply(&parent->link, id, NULL);
}

static void parent_on_convert(struct umdev_parent *parent, uint64_t id, json_t *params, int *fds,
			      size_t nfds)
{
	const char *uuid = json_string_value(json_object_get(params, "uuid"));
	bool doubt = json_is_true(json_object_get(params, "doubt"));
	struct umdev_error err = {0};

	if (!uuid || strlen(uuid) != UMDEV_UUID_STRING - 1 || nfds != 2 || !parent->opened)
		error_set(&err, ERROR_INVALID, "malformed convert");
	else if (host_convert(parent, uuid, fds[0], fds[1], doubt, &err) == 0) {
		link_reply(&parent->link, id, NULL);
		return;
	}
	link_reply_error(&parent->link, id, &err);
}

/* The mdev that a request is about; on failure the request has been answered. */
static struct umdev_mdev *parent_mdev(struct umdev_parent *parent, uint64_t id, json_t *params)
{
	const char *uuid = json_string_value(json_object_get(params, "uuid"));
	struct umdev_mdev *mdev = uuid ? host_mdev_find(parent, uuid) : NULL;
	struct umdev_error err = {0};

	if (!mdev) {
		error_set(&err, ERROR_NOT_ACTIVE, "mdev %.64s is not active here",
			  uuid ? uuid : "?");
		link_reply_error(&parent->link, id, &err);
	}
	return mdev;
}

static void parent_on_remove(struct umdev_parent *parent, uint64_t id, json_t *params, int *fds,
			     size_t nfds)
{
	struct umdev_mdev *mdev = parent_mdev(parent, id, params);
	struct umdev_error err = {0};

	if (!mdev)
		return;
	if (host_mdev_remove(mdev, id, json_is_true(json_object_get(params, "force")), &err) < 0)
		link_reply_error(&parent->link, id, &err);
}

/* ---- attr, stats, discard ---- */

static int parent_attr(struct umdev_parent *parent, struct umdev_mdev *mdev, json_t *params,
		       struct umdev_error *err)
{
	const char *name = json_string_value(json_object_get(params, "name"));
	const char *text = json_string_value(json_object_get(params, "value"));
	struct umdev_value value = {.fd = -1};
	int r;

	if (!name || !text)
		return error_set(err, ERROR_INVALID, "malformed attr");
	for (uint32_t i = 0; i < parent->driver.attr_count; i++) {
		const struct umdev_attr *a = driver_attr(&parent->driver, i);

		if (strcmp(a->name, name) != 0)
			continue;
		if (a->when == UMDEV_WHEN_CREATE ||
		    (a->when == UMDEV_WHEN_IDLE && vfio_session_client(mdev->session, NULL)))
			return error_set_key(err, ERROR_DEVICE_BUSY, name,
					     "attribute %s of %s cannot change while it is %s",
					     name, mdev->uuid,
					     a->when == UMDEV_WHEN_CREATE ? "active" : "in use");
		r = host_attr_value(a, text, &value, err);
		if (r < 0)
			return r;
		if (mdev->created)
			r = driver_attr_set(&parent->driver, mdev->priv, i, &value, err);
		if (!mdev->attrs)
			mdev->attrs = json_object();
		if (r == 0)
			json_object_set_new(mdev->attrs, name, json_string(text));
		free((void *)(uintptr_t)value.text);
		return r;
	}
	return error_set_key(err, ERROR_INVALID, name, "driver %s has no attribute %s",
			     parent->driver.table.name, name);
}

static void parent_on_attr(struct umdev_parent *parent, uint64_t id, json_t *params, int *fds,
			   size_t nfds)
{
	struct umdev_mdev *mdev = parent_mdev(parent, id, params);
	struct umdev_error err = {0};

	if (!mdev)
		return;
	if (parent_attr(parent, mdev, params, &err) < 0)
		link_reply_error(&parent->link, id, &err);
	else
		link_reply(&parent->link, id, NULL);
}

static void parent_on_qos(struct umdev_parent *parent, uint64_t id, json_t *params, int *fds,
			  size_t nfds)
{
	struct umdev_mdev *mdev = parent_mdev(parent, id, params);
	struct umdev_error err = {0};
	struct qos_knobs knobs;

	if (!mdev)
		return;
	if (host_knobs_parse(params, &knobs, &err) < 0 ||
	    host_mdev_set_knobs(mdev, &knobs, &err) < 0)
		link_reply_error(&parent->link, id, &err);
	else
		link_reply(&parent->link, id, NULL);
}

static void parent_on_group(struct umdev_parent *parent, uint64_t id, json_t *params, int *fds,
			    size_t nfds)
{
	struct umdev_error err = {0};

	if (host_group_check(parent, params, &err) < 0)
		link_reply_error(&parent->link, id, &err);
	else
		link_reply(&parent->link, id, NULL);
}

static void parent_on_group_qos(struct umdev_parent *parent, uint64_t id, json_t *params, int *fds,
				size_t nfds)
{
	const char *group = json_string_value(json_object_get(params, "group"));
	struct umdev_error err = {0};
	struct qos_knobs knobs;

	if (!group)
		error_set(&err, ERROR_INVALID, "malformed group_qos");
	else if (host_knobs_parse(params, &knobs, &err) == 0 &&
		 host_group_set(parent, group, &knobs, &err) == 0) {
		link_reply(&parent->link, id, NULL);
		return;
	}
	link_reply_error(&parent->link, id, &err);
}

static void parent_on_usage(struct umdev_parent *parent, uint64_t id, json_t *params, int *fds,
			    size_t nfds)
{
	const char *uuid = json_string_value(json_object_get(params, "uuid"));

	bool peers = !json_is_false(json_object_get(params, "peers"));

	link_reply(&parent->link, id, host_usage_print(parent, uuid, peers));
}

static json_t *parent_driver_stats(struct umdev_parent *parent, struct umdev_mdev *mdev)
{
	uint64_t values[DRIVER_TABLE_MAX] = {0};
	json_t *stats = json_object();

	if (mdev->created)
		driver_stats_get(&parent->driver, mdev->priv, values);
	for (uint32_t i = 0; i < parent->driver.stat_count; i++)
		json_object_set_new(stats, driver_stat(&parent->driver, i)->name,
				    json_integer((json_int_t)values[i]));
	return stats;
}

static void parent_on_stats(struct umdev_parent *parent, uint64_t id, json_t *params, int *fds,
			    size_t nfds)
{
	struct umdev_mdev *mdev = parent_mdev(parent, id, params);
	struct vfio_session_stats s;
	struct ucred peer;
	json_t *client = NULL;

	if (!mdev)
		return;
	vfio_session_stats(mdev->session, &s);
	if (vfio_session_client(mdev->session, &peer))
		client = json_pack("{s:i,s:i,s:I}", "pid", (int)peer.pid, "uid", (int)peer.uid,
				   "since_ns", (json_int_t)mdev->client_since_ns);
	link_reply(&parent->link, id,
		   json_pack("{s:o,s:{s:I,s:I,s:I,s:I,s:I,s:I},s:o}", "stats",
			     parent_driver_stats(parent, mdev), "host", "jobs",
			     (json_int_t)mdev->jobs_done, "requests", (json_int_t)s.requests,
			     "bad_requests", (json_int_t)s.bad_requests, "dma_maps",
			     (json_int_t)s.dma_maps, "dma_bytes_by_message",
			     (json_int_t)s.dma_bytes_by_message, "irqs", (json_int_t)s.irqs,
			     "client", client ? client : json_null()));
}

static void parent_on_discard(struct umdev_parent *parent, uint64_t id, json_t *params, int *fds,
			      size_t nfds)
{
	struct umdev_error err = {0};
	struct host_piece piece;
	json_int_t start = -1;
	json_int_t size = -1;

	if (json_unpack(params, "{s:I,s:I}", "start", &start, "size", &size) < 0 || start < 0 ||
	    size < 0 || !parent->opened) {
		error_set(&err, ERROR_INVALID, "malformed discard");
		link_reply_error(&parent->link, id, &err);
		return;
	}
	piece.start = (uint64_t)start;
	piece.size = (uint64_t)size;
	if (parent->discard_id && host_handover_discard_later(parent, id, &piece))
		return;
	if (parent->discard_id) {
		error_set(&err, ERROR_DEVICE_BUSY, "parent %s is discarding another piece",
			  parent->name);
		link_reply_error(&parent->link, id, &err);
		return;
	}
	host_discard(parent, id, &piece);
}

void host_discard(struct umdev_parent *parent, uint64_t id, const struct host_piece *piece)
{
	struct umdev_error err = {0};
	int r;

	parent->discard_id = id;
	r = driver_discard(&parent->driver, parent->priv, piece->start, piece->size, &err);
	if (r == -EINPROGRESS)
		return;
	parent->discard_id = 0;
	if (r < 0)
		link_reply_error(&parent->link, id, &err);
	else
		link_reply(&parent->link, id, NULL);
}

static void parent_on_save(struct umdev_parent *parent, uint64_t id, json_t *params, int *fds,
			   size_t nfds)
{
	struct umdev_mdev *mdev = parent_mdev(parent, id, params);
	struct umdev_error err = {0};
	json_int_t about = json_integer_value(json_object_get(params, "about"));

	if (!mdev)
		return;
	if (nfds != 1 || about < 0)
		error_set(&err, ERROR_INVALID, "malformed save");
	else if (host_save(mdev, id, &fds[0], (uint64_t)about, &err) == 0)
		return;
	link_reply_error(&parent->link, id, &err);
}

static void parent_on_release(struct umdev_parent *parent, uint64_t id, json_t *params, int *fds,
			      size_t nfds)
{
	host_release(parent, id, nfds == 1 ? &fds[0] : NULL);
}

/* ---- The link ---- */

static const struct {
	const char *method;
	void (*handle)(struct umdev_parent *parent, uint64_t id, json_t *params, int *fds,
		       size_t nfds);
} parent_methods[] = {
	{LINK_OPEN, parent_on_open},	       {LINK_CREATE, parent_on_create},
	{LINK_CONVERT, parent_on_convert},     {LINK_REMOVE, parent_on_remove},
	{LINK_ATTR, parent_on_attr},	       {LINK_STATS, parent_on_stats},
	{LINK_DISCARD, parent_on_discard},     {LINK_GROUP, parent_on_group},
	{LINK_GROUP_QOS, parent_on_group_qos}, {LINK_QOS, parent_on_qos},
	{LINK_USAGE, parent_on_usage},	       {LINK_RELEASE, parent_on_release},
	{LINK_STAGE, host_baton_on_stage},     {LINK_OWN, host_baton_on_own},
	{LINK_SAVE, parent_on_save},	       {LINK_TAKEOVER, host_handover_on_takeover},
	{LINK_NEXT, host_handover_on_next},
};

static void parent_request(struct link *link, uint64_t id, const char *method, json_t *params,
			   int *fds, size_t nfds)
{
	struct umdev_error err = {0};

	if (id == 0) {
		if (strcmp(method, LINK_GIVE) == 0)
			host_given_take(link->data, params, fds, nfds);
		else if (strcmp(method, LINK_STOP) == 0)
			host_shutdown(link->data);
		else if (strcmp(method, LINK_FORGET) == 0)
			host_baton_forget(link->data);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(parent_methods); i++) {
		if (strcmp(parent_methods[i].method, method) == 0) {
			parent_methods[i].handle(link->data, id, params, fds, nfds);
			return;
		}
	}
	error_set(&err, ERROR_UNKNOWN_METHOD, "this host knows no %.32s", method);
	link_reply_error(link, id, &err);
}

static void parent_link_closed(struct link *link, int error)
{
	struct umdev_parent *parent = link->data;

	if (!host_handover_begin(parent))
		host_shutdown(parent);
}

const struct link_ops host_link_ops = {
	.request = parent_request,
	.closed = parent_link_closed,
};

/* ---- The end ---- */

void host_mdev_gone(struct umdev_parent *parent)
{
	if (!parent->closing || !list_empty(&parent->mdevs))
		return;
	if (parent->opened)
		driver_parent_close(&parent->driver, parent->priv);
	host_jobs_done(parent);
	parent->opened = false;
	reactor_stop(parent->reactor);
}

void host_shutdown(struct umdev_parent *parent)
{
	struct umdev_mdev *mdev;
	struct umdev_error err;

	if (parent->closing)
		return;
	parent->closing = true;
	host_handover_end(parent);
	alarm(HOST_SHUTDOWN_LIMIT_S); /* a driver that never lets go does not keep the process */
	list_for_each (mdev, &parent->mdevs, link) {
		if (!mdev->removing && host_mdev_remove(mdev, 0, true, &err) < 0)
			umdev_log(LOG_WARNING, mdev->uuid, "host.remove", "%s", err.message);
	}
	host_mdev_gone(parent);
}
