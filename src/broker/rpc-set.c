/* SPDX-License-Identifier: BSD-3-Clause */
/* The method mdev.set: one attribute of an active mdev, at once where that may be, else by making
 * the device anew. */
#include <errno.h>
#include <string.h>
#include <umdev/driver.h>

#include "broker/rpc-mdev.h"

static void set_done(struct mdev *mdev, struct api_call *call)
{
	api_reply(call, mdev_print(mdev, false));
}

/* Whether @text is what @running says already; what has no value is empty. */
static bool set_is_so(const struct definition *running, const struct spec *spec, const char *text)
{
	const char *is = definition_attr(running, spec->name);

	if (!is && !spec->default_value)
		is = "";
	return is && strcmp(is, text) == 0;
}

static int set_next(const struct mdev *mdev, const struct spec *spec, const char *value,
		    struct definition **ret_next, struct umdev_error *err)
{
	struct definition *next = definition_dup(mdev->running);
	int r = next ? definition_put_attr(next, spec->name, value, err)
		     : error_set(err, ERROR_NO_MEMORY, "out of memory");

	if (r < 0)
		definition_free(next);
	else
		*ret_next = next;
	return r;
}

static int set_begin(struct api_call *call, struct umdev_error *err)
{
	const char *value = api_text(call, "value");
	struct definition *next = NULL;
	const struct spec *spec;
	struct mdev *mdev;
	char uuid[IDENT_UUID_SIZE];
	int r = rpc_uuid(call, uuid, false, err);

	if (r < 0)
		return r;
	mdev = mdev_find_active(call->broker, uuid);
	if (!mdev)
		return error_set(err, ERROR_NOT_ACTIVE, "mdev %s is not active", uuid);
	if (!mdev_state_is_active(mdev->state))
		return error_set(err, ERROR_DEVICE_BUSY, "mdev %s is %s: try again", uuid,
				 mdev_state_name(mdev->state));
	r = mdev_may_change(mdev, call, err);
	if (r < 0)
		return r;
	spec = spec_find_attr(&mdev->parent->attr_specs, mdev->parent->driver,
			      api_text(call, "name"), err);
	if (!spec)
		return -EINVAL; /* @err says which there are */
	r = spec_check(spec, value, NULL, err);
	if (r == 0 && set_is_so(mdev->running, spec, value)) {
		set_done(mdev, call);
		return 0;
	}
	if (r == 0 && spec->when != UMDEV_WHEN_LIVE && api_put_off(call, rpc_mdev_set, mdev))
		return 0;
	if (r == 0)
		r = set_next(mdev, spec, value, &next, err);
	if (r < 0)
		return r;
	if (spec->when == UMDEV_WHEN_CREATE)
		return mdev_remake(mdev, next, call, set_done, err);
	return mdev_change_live(mdev, next, call, set_done, false, err);
}

void rpc_mdev_set(struct api_call *call)
{
	struct umdev_error err = {0};

	if (set_begin(call, &err) == 0)
		return;
	if (!strstr(err.message, api_text(call, "uuid")))
		error_wrap(&err, "mdev %s", api_text(call, "uuid"));
	api_fail(call, &err);
}
