/* SPDX-License-Identifier: BSD-3-Clause */
/* The mirror follows the daemon. See sync.h. */
#include "sysfs/sync.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/log.h"

struct sync {
	struct rpc_async *conn;
	struct tree *tree;
	const struct sync_ops *ops;
	void *data;
	struct reactor *reactor;
	struct reactor_task settled;
	size_t open; /* questions */
	bool lost;   /* the daemon; what is known is all that will ever be */
};

/* One question about one thing. */
struct sync_ask {
	struct sync *sync;
	char *name;
	bool ready; /* of a parent: it has a host */
};

static void sync_ask_free(struct sync_ask *ask)
{
	if (ask)
		free(ask->name);
	free(ask);
}

static void sync_lost(struct sync *sync, const char *why)
{
	struct umdev_error err = {0};

	error_set(&err, ERROR_INTERNAL, "%s", why);
	sync->lost = true;
	sync->ops->closed(sync->data, &err);
}

/* Asks @method with @params (stolen) about @ask (stolen). */
static void sync_send(struct sync_ask *ask, const char *method, json_t *params,
		      rpc_async_reply_fn *reply)
{
	struct sync *sync = ask->sync;
	int r = params ? rpc_async_call(sync->conn, method, params, reply, ask) : -ENOMEM;

	if (r == 0) {
		sync->open++;
		return;
	}
	sync_ask_free(ask);
	/* A closed connection tells so by itself. */
	if (r != -ENOTCONN)
		sync_lost(sync, "out of memory");
}

static struct sync_ask *sync_ask_new(struct sync *sync, const char *name)
{
	struct sync_ask *ask = calloc(1, sizeof(*ask));

	if (ask) {
		ask->sync = sync;
		ask->name = strdup(name);
	}
	if (ask && ask->name)
		return ask;
	free(ask);
	sync_lost(sync, "out of memory");
	return NULL;
}

/* A question is through; the last one settles the mirror. */
static void sync_answered(struct sync_ask *ask)
{
	struct sync *sync = ask->sync;

	sync_ask_free(ask);
	if (--sync->open == 0)
		reactor_task_add(sync->reactor, &sync->settled);
}

static void sync_settled(struct reactor_task *task)
{
	struct sync *sync = container_of(task, struct sync, settled);

	if (sync->open == 0 && !sync->lost)
		sync->ops->settled(sync->data);
}

/* ---- Groups ---------------------------------------------------------------------------------- */

/* Something about @group (NULL: nothing) may be otherwise now. */
static void sync_group_changed(struct sync *sync, struct tree_group *group)
{
	if (!group)
		return;
	group->changes++;
	sync->ops->group_changed(sync->data, group);
}

/* ---- Mdevs ----------------------------------------------------------------------------------- */

/* Tells of an mdev that goes, and takes it away. */
static void sync_take_mdev(struct sync *sync, struct tree_mdev *mdev)
{
	struct tree_group *group = mdev->group && mdev->group->mdev_count > 1 ? mdev->group : NULL;

	sync->ops->mdev_goes(sync->data, mdev);
	tree_drop_mdev(sync->tree, mdev);
	sync_group_changed(sync, group);
}

static void sync_drop_mdev(struct sync *sync, struct tree_mdev *mdev)
{
	struct tree_parent *parent = mdev->parent;

	sync_take_mdev(sync, mdev);
	parent->changes++;
	sync->ops->pool_changed(sync->data, parent);
}

/* Whether @object is of another type, parent or group than @mdev: it is another device. */
static bool sync_is_another(const struct tree_mdev *mdev, const json_t *object)
{
	return strcmp(mdev->type->name, tree_text(object, "type")) != 0 ||
	       strcmp(mdev->parent->name, tree_text(object, "parent")) != 0 ||
	       strcmp(mdev->group ? mdev->group->uuid : "", tree_group_of(object)) != 0;
}

static void sync_put_mdev(struct sync *sync, const json_t *object)
{
	struct tree_mdev *known = tree_find_mdev(sync->tree, tree_text(object, "uuid"));
	struct tree_mdev *mdev = NULL;
	json_t *before = NULL;
	bool is_new = false;
	int r;

	if (known && sync_is_another(known, object))
		sync_drop_mdev(sync, known);
	else if (known)
		before = json_incref(known->object);
	r = tree_put_mdev(sync->tree, object, &mdev, &is_new);
	if (r < 0) {
		umdev_log(LOG_WARNING, "umdev-sysfs", "tree.mdev", "mdev %.40s is not shown: %s",
			  tree_text(object, "uuid"), strerror(-r));
	} else if (is_new) {
		mdev->seen = true;
		mdev->parent->changes++;
		sync->ops->mdev_came(sync->data, mdev);
		sync->ops->pool_changed(sync->data, mdev->parent);
		sync_group_changed(sync, mdev->group);
	} else {
		mdev->seen = true;
		sync->ops->mdev_changed(sync->data, mdev, before);
		sync_group_changed(sync, mdev->group);
	}
	json_decref(before);
}

static void sync_got_mdev(void *arg, json_t *result, const struct umdev_error *err)
{
	struct sync_ask *ask = arg;
	struct tree_mdev *mdev = tree_find_mdev(ask->sync->tree, ask->name);
	const json_t *object = json_array_get(json_object_get(result, "mdevs"), 0);

	if (object)
		sync_put_mdev(ask->sync, object);
	else if (mdev && result)
		sync_drop_mdev(ask->sync, mdev);
	sync_answered(ask);
}

static void sync_ask_mdev(struct sync *sync, const char *uuid)
{
	struct sync_ask *ask = sync_ask_new(sync, uuid);

	if (ask)
		sync_send(ask, "mdev.list", json_pack("{s:s,s:b}", "uuid", uuid, "statistics", 0),
			  sync_got_mdev);
}

/* ---- Parents --------------------------------------------------------------------------------- */

static void sync_drop_parent(struct sync *sync, struct tree_parent *parent)
{
	/* One by one: a group goes with the last of them. */
	while (!list_empty(&parent->mdevs))
		sync_take_mdev(sync, list_first(&parent->mdevs, struct tree_mdev, parent_link));
	if (parent->type_count > 0)
		sync->ops->parent_goes(sync->data, parent);
	tree_drop_parent(sync->tree, parent);
}

static void sync_got_mdevs(void *arg, json_t *result, const struct umdev_error *err)
{
	struct sync_ask *ask = arg;
	struct sync *sync = ask->sync;
	struct tree_parent *parent = tree_find_parent(sync->tree, ask->name);
	struct tree_mdev *mdev;
	struct tree_mdev *tmp;
	json_t *object;
	size_t i;

	if (parent && result) {
		list_for_each (mdev, &parent->mdevs, parent_link)
			mdev->seen = false;
		json_array_foreach (json_object_get(result, "mdevs"), i, object)
			sync_put_mdev(sync, object);
		list_for_each_safe (mdev, tmp, &parent->mdevs, parent_link) {
			if (!mdev->seen)
				sync_drop_mdev(sync, mdev);
		}
	}
	sync_answered(ask);
}

static void sync_got_types(void *arg, json_t *result, const struct umdev_error *err)
{
	struct sync_ask *ask = arg;
	struct sync *sync = ask->sync;
	struct tree_parent *parent = tree_find_parent(sync->tree, ask->name);
	struct sync_ask *next;
	bool had_types = parent && parent->type_count > 0;

	if (parent && result) {
		if (tree_put_types(sync->tree, parent, json_object_get(result, "types"),
				   !ask->ready) < 0)
			sync_lost(sync, "out of memory");
		parent->changes++;
		if (!had_types && parent->type_count > 0)
			sync->ops->parent_came(sync->data, parent);
		else
			sync->ops->pool_changed(sync->data, parent);
		next = sync_ask_new(sync, ask->name);
		if (next)
			sync_send(next, "mdev.list",
				  json_pack("{s:s,s:b}", "parent", ask->name, "statistics", 0),
				  sync_got_mdevs);
	}
	sync_answered(ask);
}

/* Takes one PARENT and goes on to its types. */
static void sync_put_parent(struct sync *sync, const json_t *object)
{
	struct tree_parent *parent = tree_find_parent(sync->tree, tree_text(object, "name"));
	struct sync_ask *ask;
	int r;

	/* Removed and added again since it was asked about. */
	if (parent && strcmp(parent->driver, tree_text(object, "driver")) != 0)
		sync_drop_parent(sync, parent);
	r = tree_put_parent(sync->tree, object, &parent);
	if (r < 0) {
		umdev_log(LOG_WARNING, "umdev-sysfs", "tree.parent",
			  "parent %.64s is not shown: %s", tree_text(object, "name"), strerror(-r));
		return;
	}
	ask = sync_ask_new(sync, parent->name);
	if (!ask)
		return;
	ask->ready = strcmp(tree_text(object, "state"), "ready") == 0;
	sync_send(ask, "type.list", json_pack("{s:s}", "parent", parent->name), sync_got_types);
}

static void sync_got_parents(void *arg, json_t *result, const struct umdev_error *err)
{
	struct sync_ask *ask = arg;
	struct sync *sync = ask->sync;
	struct tree_parent *gone = tree_find_parent(sync->tree, ask->name);
	json_t *object;
	size_t i;

	json_array_foreach (json_object_get(result, "parents"), i, object)
		sync_put_parent(sync, object);
	if (!result && gone && err->word == ERROR_NOT_FOUND)
		sync_drop_parent(sync, gone);
	sync_answered(ask);
}

/* Asks for one parent and all below it, or with "" for all there is. */
static void sync_ask_parent(struct sync *sync, const char *name)
{
	struct sync_ask *ask = sync_ask_new(sync, name);

	if (ask)
		sync_send(ask, "parent.list",
			  name[0] ? json_pack("{s:s}", "name", name) : json_object(),
			  sync_got_parents);
}

/* ---- Events ---------------------------------------------------------------------------------- */

static void sync_mdev_event(struct sync *sync, const char *name, const char *uuid,
			    const char *parent_name)
{
	struct tree_mdev *mdev = tree_find_mdev(sync->tree, uuid);
	struct tree_parent *parent = tree_find_parent(sync->tree, parent_name);

	if (strcmp(name, "mdev.started") == 0) {
		/* What is known of it was sent before: it is of an earlier life. */
		if (mdev)
			sync_drop_mdev(sync, mdev);
		sync_ask_mdev(sync, uuid);
	} else if (strcmp(name, "mdev.stopped") == 0 && mdev && mdev->parent == parent) {
		/* It says "stopped" of one that could not start by itself, too. */
		sync_ask_mdev(sync, uuid);
	} else if (strcmp(name, "mdev.undefined") == 0 && parent) {
		parent->changes++;
		sync->ops->pool_changed(sync->data, parent);
	} else if (mdev && (strcmp(name, "mdev.modified") == 0 ||
			    strncmp(name, "client.", strlen("client.")) == 0)) {
		sync_ask_mdev(sync, uuid);
	}
}

static void sync_event(void *data, json_t *event)
{
	struct sync *sync = data;
	const char *name = tree_text(event, "event");
	const char *uuid = tree_text(event, "uuid");
	const char *parent = tree_text(event, "parent");

	if (uuid[0])
		sync_mdev_event(sync, name, uuid, parent);
	else if (strncmp(name, "group.", strlen("group.")) == 0)
		sync_group_changed(sync, tree_find_group(sync->tree, tree_text(event, "group")));
	else if (parent[0] && strncmp(name, "parent.", strlen("parent.")) == 0)
		sync_ask_parent(sync, parent);
}

static void sync_closed(void *data, const struct umdev_error *err)
{
	struct sync *sync = data;

	sync->lost = true;
	sync->ops->closed(sync->data, err);
}

static void sync_watching(void *arg, json_t *result, const struct umdev_error *err)
{
	struct sync_ask *ask = arg;

	if (result)
		sync_ask_parent(ask->sync, "");
	else if (err->word != ERROR_UNREACHABLE) /* which is told by itself */
		ask->sync->ops->closed(ask->sync->data, err);
	sync_answered(ask);
}

int sync_new(const struct sync_config *config, struct sync **ret_sync, struct umdev_error *err)
{
	static const struct rpc_async_ops rpc_ops = {.event = sync_event, .closed = sync_closed};
	struct sync *sync = calloc(1, sizeof(*sync));
	struct sync_ask *ask;
	int r;

	if (!sync)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	sync->reactor = config->reactor;
	sync->tree = config->tree;
	sync->ops = config->ops;
	sync->data = config->data;
	sync->settled.run = sync_settled;
	r = rpc_async_new(config->reactor, config->root, &rpc_ops, sync, &sync->conn, err);
	if (r < 0) {
		free(sync);
		return r;
	}
	*ret_sync = sync;
	ask = sync_ask_new(sync, "");
	if (ask)
		sync_send(ask, "event.watch", json_object(), sync_watching);
	return 0;
}

void sync_free(struct sync *sync)
{
	if (!sync)
		return;
	rpc_async_free(sync->conn);
	reactor_task_del(sync->reactor, &sync->settled);
	free(sync);
}

bool sync_drain(struct sync *sync)
{
	rpc_async_drain(sync->conn);
	return sync->open == 0 && !sync->lost;
}
