/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * umdevctl create: makes an mdev from libvirt's XML, as "virsh nodedev-create" does, or with
 * --define its definition. The parent may go by libvirt's name for it, the type by its local id or
 * its name.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/callout.h"
#include "libvirt/read.h"
#include "libvirt/write.h"

/* Reads the device in the file @path. */
static int create_read(const struct ctl *ctl, const char *path, struct libvirt_mdev *mdev)
{
	umdev_autofree char *text = NULL;
	struct umdev_error err = {0};
	size_t len = 0;
	int r = ctl_read_file(ctl, path, LIBVIRT_TEXT_MAX, &text, &len);

	if (r != CTL_OK)
		return r;
	if (libvirt_mdev_read(text, len, mdev, &err) == 0)
		return CTL_OK;
	error_wrap(&err, "%s", path);
	return ctl_fail(ctl, &err);
}

/* Whether @parent is meant by @name: its own name, libvirt's, or that of its place. */
static bool create_is_parent(const json_t *parent, const char *name)
{
	char libvirt[LIBVIRT_NAME_MAX];

	libvirt_parent_name(parent, libvirt);
	return strcmp(ctl_text(parent, "name"), name) == 0 || strcmp(libvirt, name) == 0;
}

/* The one parent that @name means, a part of @parents. */
static int create_find_parent(const struct ctl *ctl, const json_t *parents, const char *name,
			      const json_t **ret_parent)
{
	const json_t *found = NULL;
	char known[256] = "";
	json_t *parent;
	size_t i;

	json_array_foreach (parents, i, parent) {
		size_t used = strlen(known);

		snprintf(known + used, sizeof(known) - used, "%s%s", used ? ", " : "",
			 ctl_text(parent, "name"));
		/* Its own name says which, whatever libvirt calls others. */
		if (strcmp(ctl_text(parent, "name"), name) == 0) {
			*ret_parent = parent;
			return CTL_OK;
		}
		if (!create_is_parent(parent, name))
			continue;
		if (found)
			return ctl_fail_word(ctl, ERROR_INVALID,
					     "'%.64s' may be parent %s or %s: write its name", name,
					     ctl_text(found, "name"), ctl_text(parent, "name"));
		found = parent;
	}
	*ret_parent = found;
	if (found)
		return CTL_OK;
	return ctl_fail_word(ctl, ERROR_NO_PARENT, "there is no parent '%.64s'; there are: %s",
			     name, known[0] ? known : "none");
}

/* Whether an id of the document is that of @type: in full, or without the driver before it. */
static bool create_is_type(const json_t *type, const char *driver, const char *id)
{
	const char *full = ctl_text(type, "id");
	size_t len = strlen(driver);

	return strcmp(full, id) == 0 || (strncmp(full, driver, len) == 0 && full[len] == '-' &&
					 strcmp(full + len + 1, id) == 0);
}

/* Puts type or type_name into @params: what the parent calls the type of @mdev. */
static int create_put_type(struct ctl *ctl, const json_t *parent, const struct libvirt_mdev *mdev,
			   json_t *params)
{
	json_t *result = NULL;
	const char *as = NULL;
	json_t *type;
	size_t i;
	int r;

	if (mdev->type_name) {
		ctl_put_text(params, "type_name", mdev->type_name);
		return CTL_OK;
	}
	r = ctl_call(ctl, "type.list", json_pack("{s:s}", "parent", ctl_text(parent, "name")),
		     &result);
	if (r != CTL_OK)
		return r;
	json_array_foreach (json_object_get(result, "types"), i, type) {
		if (create_is_type(type, ctl_text(parent, "driver"), mdev->type))
			as = ctl_text(type, "id");
	}
	json_array_foreach (json_object_get(result, "types"), i, type) {
		if (!as && strcmp(ctl_text(type, "name"), mdev->type) == 0)
			as = ctl_text(type, "id");
	}
	/* One that is not there is the daemon's to refuse: it knows the nearest. */
	ctl_put_text(params, "type", as ? as : mdev->type);
	json_decref(result);
	return CTL_OK;
}

static int create_params(struct ctl *ctl, const struct libvirt_mdev *mdev, json_t *params)
{
	const json_t *parent = NULL;
	char uuid[CTL_UUID_STRING];
	json_t *result = NULL;
	int r = ctl_call(ctl, "parent.list", NULL, &result);

	if (r == CTL_OK)
		r = create_find_parent(ctl, json_object_get(result, "parents"), mdev->parent,
				       &parent);
	if (r == CTL_OK)
		r = create_put_type(ctl, parent, mdev, params);
	if (r == CTL_OK) {
		ctl_put_text(params, "parent", ctl_text(parent, "name"));
		ctl_put_text(params, "owner", ctl_get(ctl, "owner"));
		ctl_put_text(params, "start", ctl_has(ctl, "auto") ? "auto" : NULL);
		if (mdev->uuid && ctl_uuid_parse(mdev->uuid, uuid))
			ctl_put_text(params, "uuid", uuid);
		if (json_array_size(mdev->attrs) > 0)
			json_object_set(params, "attrs", mdev->attrs);
	}
	json_decref(result);
	return r;
}

/* Makes what was read. */
static int create_do(struct ctl *ctl, const struct libvirt_mdev *mdev)
{
	const char *action = ctl_has(ctl, "define") ? "define" : "start";
	json_t *params = json_object();
	json_t *made = NULL;
	int r = create_params(ctl, mdev, params);

	if (r != CTL_OK) {
		json_decref(params);
		return r;
	}
	r = callout_call(ctl, action, params, &made);
	if (r != CTL_OK)
		return r;
	if (ctl->json)
		ctl_print_json(made, "\n");
	else if (!mdev->uuid)
		printf("%s\n", ctl_text(made, "uuid"));
	json_decref(made);
	return CTL_OK;
}

int ctl_create(struct ctl *ctl)
{
	struct libvirt_mdev mdev = {0};
	int r;

	if (ctl_has(ctl, "auto") && !ctl_has(ctl, "define"))
		return ctl_usage(ctl, "--auto needs --define");
	r = create_read(ctl, ctl->operands[0], &mdev);
	if (r != CTL_OK)
		return r;
	r = create_do(ctl, &mdev);
	libvirt_mdev_done(&mdev);
	return r;
}
