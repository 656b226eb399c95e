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

/* The id of the type that @mdev means among @types: that id, one with the driver before it, or the
 * one of that name; in this order. */
static const char *create_find_type(const json_t *types, const char *driver,
				    const struct libvirt_mdev *mdev)
{
	const char *name = mdev->type_name ? mdev->type_name : mdev->type;
	size_t len = strlen(driver);
	const char *found = NULL;
	const char *named = NULL;
	json_t *type;
	size_t i;

	json_array_foreach (types, i, type) {
		const char *id = ctl_text(type, "id");

		if (mdev->type && strcmp(id, mdev->type) == 0)
			return id;
		if (mdev->type && strncmp(id, driver, len) == 0 && id[len] == '-' &&
		    strcmp(id + len + 1, mdev->type) == 0)
			found = id;
		if (strcmp(ctl_text(type, "name"), name) == 0)
			named = id;
	}
	return found ? found : named;
}

/*
 * Puts what the XML says into @params, as the content of a definition: as with mdevctl's
 * --jsonfile, which libvirt uses, that is what counts, whether the UUID is defined or not.
 */
static int create_put_content(struct ctl *ctl, const json_t *parent,
			      const struct libvirt_mdev *mdev, json_t *params)
{
	json_t *result = NULL;
	const char *id;
	int r = ctl_call(ctl, "type.list", json_pack("{s:s}", "parent", ctl_text(parent, "name")),
			 &result);

	if (r != CTL_OK)
		return r;
	id = create_find_type(json_object_get(result, "types"), ctl_text(parent, "driver"), mdev);
	/* One that is not there is the daemon's to refuse: it knows the nearest. */
	if (!id && mdev->type_name)
		ctl_put_text(params, "type_name", mdev->type_name);
	else
		json_object_set_new(params, "definition",
				    json_pack("{s:s,s:s,s:O}", "mdev_type", id ? id : mdev->type,
					      "start", ctl_has(ctl, "auto") ? "auto" : "manual",
					      "attrs", mdev->attrs));
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
		r = create_put_content(ctl, parent, mdev, params);
	if (r == CTL_OK) {
		ctl_put_text(params, "parent", ctl_text(parent, "name"));
		ctl_put_text(params, "owner", ctl_get(ctl, "owner"));
		ctl_put_flag(params, "force", ctl_has(ctl, "force"));
		if (mdev->uuid && ctl_uuid_parse(mdev->uuid, uuid))
			ctl_put_text(params, "uuid", uuid);
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
