/* SPDX-License-Identifier: BSD-3-Clause */
/* The methods parent.*, driver.list and type.list. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/mdev.h"
#include "broker/parent.h"
#include "broker/store.h"
#include "broker/upgrade.h"

static struct parent *rpc_find_parent(struct api_call *call, const char *name,
				      struct umdev_error *err)
{
	struct parent *parent = parent_find(call->broker, name);
	struct parent *p;
	char known[200] = "";

	if (parent)
		return parent;
	list_for_each (p, &call->broker->parents, link) {
		size_t used = strlen(known);

		snprintf(known + used, sizeof(known) - used, "%s%s", used ? ", " : "", p->name);
	}
	error_set_key(err, ERROR_NOT_FOUND, "parent", "there is no parent '%.64s'; there are: %s",
		      name, known[0] ? known : "none");
	return NULL;
}

void rpc_parent_add(struct api_call *call)
{
	struct umdev_error err = {0};
	int r;

	if (call->broker->ending)
		r = error_set(&err, ERROR_NO_PARENT, "the daemon is ending");
	else
		r = parent_add(call->broker, api_text(call, "name"), api_text(call, "driver"),
			       json_object_get(call->params, "options"), call, &err);
	if (r < 0)
		api_fail(call, &err);
}

/* Whether the caller may take away all that is active on @parent. */
static int rpc_check_removal(struct api_call *call, const struct parent *parent,
			     struct umdev_error *err)
{
	bool force = api_flag(call, "force");
	const struct mdev *mdev;
	size_t active;
	size_t defined;

	if (parent->upgrade)
		return error_set(err, ERROR_DEVICE_BUSY, "parent %s is being upgraded: try again",
				 parent->name);
	if (parent->state == PARENT_REMOVING || (parent->state == PARENT_STARTING && parent->call))
		return error_set(err, ERROR_DEVICE_BUSY, "parent %s is being %s: try again",
				 parent->name,
				 parent->state == PARENT_REMOVING ? "removed" : "added");
	parent_count_mdevs(parent, &active, &defined);
	if (active > 0 && !force)
		return error_set(err, ERROR_DEVICE_BUSY,
				 "parent %s has %zu active mdevs: stop them first, or use --force",
				 parent->name, active);
	list_for_each (mdev, &call->broker->mdevs, link) {
		int r = 0;

		if (mdev->parent == parent && mdev->state != MDEV_IDLE)
			r = mdev_may_change(mdev, call, err);
		if (r < 0)
			return r;
	}
	return 0;
}

void rpc_parent_remove(struct api_call *call)
{
	struct umdev_error err = {0};
	struct parent *parent = rpc_find_parent(call, api_text(call, "name"), &err);

	/* The configuration goes first: should that fail, nothing has happened. */
	if (!parent || rpc_check_removal(call, parent, &err) < 0 ||
	    store_delete_parent(parent, &err) < 0) {
		api_fail(call, &err);
		return;
	}
	parent_remove(parent, call);
}

void rpc_parent_upgrade(struct api_call *call)
{
	struct umdev_error err = {0};
	struct parent *parent = rpc_find_parent(call, api_text(call, "name"), &err);

	if (!parent || upgrade_start(parent, call, &err) < 0)
		api_fail(call, &err);
}

void rpc_parent_list(struct api_call *call)
{
	const char *name = api_text(call, "name");
	struct umdev_error err = {0};
	const struct parent *p;
	json_t *list;

	if (name && !rpc_find_parent(call, name, &err)) {
		api_fail(call, &err);
		return;
	}
	list = json_array();
	list_for_each (p, &call->broker->parents, link) {
		if (!name || strcmp(p->name, name) == 0)
			json_array_append_new(list, parent_print(p));
	}
	api_reply(call, json_pack("{s:o}", "parents", list));
}

void rpc_driver_list(struct api_call *call)
{
	api_reply(call, json_pack("{s:o}", "drivers", drivers_list(call->broker)));
}

static int rpc_compare_types(const void *a, const void *b)
{
	const struct type *const *left = a;
	const struct type *const *right = b;

	return strcmp((*left)->id, (*right)->id);
}

/* Appends the types of one parent, of @class_name (NULL: of any), in the order of their ids. */
static void rpc_append_types(json_t *list, const struct parent *parent, const char *class_name)
{
	const struct type *sorted[TYPE_COUNT_MAX];
	size_t count = MIN(parent->types.count, (size_t)TYPE_COUNT_MAX);

	for (size_t i = 0; i < count; i++)
		sorted[i] = &parent->types.types[i];
	qsort(sorted, count, sizeof(sorted[0]), rpc_compare_types);
	for (size_t i = 0; i < count; i++) {
		if (!class_name || strcmp(sorted[i]->class_name, class_name) == 0)
			json_array_append_new(list,
					      type_print(sorted[i], parent->name, &parent->pool));
	}
}

void rpc_type_list(struct api_call *call)
{
	const char *name = api_text(call, "parent");
	const char *class_name = api_text(call, "class");
	struct umdev_error err = {0};
	const struct parent *p;
	json_t *list;

	if ((name && !rpc_find_parent(call, name, &err)) ||
	    (class_name && type_class_check(class_name, &err) < 0)) {
		api_fail(call, &err);
		return;
	}
	list = json_array();
	list_for_each (p, &call->broker->parents, link) {
		if (p->state == PARENT_READY && (!name || strcmp(p->name, name) == 0))
			rpc_append_types(list, p, class_name);
	}
	api_reply(call, json_pack("{s:o}", "types", list));
}
