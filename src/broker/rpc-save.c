/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The methods mdev.save and mdev.restore.
 *
 * The bytes pass through the socket, and the caller reads and writes the file: with its own rights,
 * wherever it likes. Of a stream the broker reads the compatibility text and what it had put in
 * itself, the section STREAM_ABOUT; the state of the device is the host's to look at.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/convert.h"
#include "broker/group.h"
#include "broker/rpc-mdev.h"
#include "link/protocol.h"
#include "stream/stream.h"
#include "util/base64.h"
#include "util/fd.h"
#include "util/parse.h"

/* ---- mdev.save ------------------------------------------------------------------------------- */

struct save {
	struct api_call *call;
	struct mdev *mdev;
	int fd;
};

/* What the file says of whose state it has. */
static char *save_about(const struct mdev *mdev)
{
	json_t *about = json_pack("{s:s,s:s,s:o}", "uuid", mdev->uuid, "parent", mdev->parent_name,
				  "definition", definition_print(mdev->running));
	char *text = json_dumps(about, JSON_COMPACT);

	json_decref(about);
	return text;
}

static int save_reply(struct save *save, json_t *result, struct umdev_error *err)
{
	json_int_t size = json_integer_value(json_object_get(result, "size"));
	umdev_autofree uint8_t *bytes = NULL;
	umdev_autofree char *text = NULL;

	if (size <= 0 || size > (json_int_t)STREAM_FILE_MAX)
		return error_set(err, ERROR_HOST_FAILED, "the host of %s saved nothing",
				 save->mdev->parent_name);
	bytes = malloc((size_t)size);
	if (!bytes)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	if (pread(save->fd, bytes, (size_t)size, 0) != (ssize_t)size)
		return error_set(err, ERROR_INTERNAL, "the saved state cannot be read: %s",
				 strerror(errno));
	text = base64_encode(bytes, (size_t)size);
	if (!text)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	api_reply(save->call,
		  json_pack("{s:s,s:I,s:s}", "uuid", save->mdev->uuid, "size", size, "data", text));
	return 0;
}

static void save_done(void *arg, json_t *result, const struct umdev_error *err)
{
	struct save *save = arg;
	struct umdev_error failure = {0};

	save->mdev->changing = false;
	if (!result)
		api_fail(save->call, err);
	else if (save_reply(save, result, &failure) < 0)
		api_fail(save->call, &failure);
	fd_close(&save->fd);
	free(save);
}

static int save_send(struct save *save, struct umdev_error *err)
{
	struct mdev *mdev = save->mdev;
	umdev_autofree char *about = save_about(mdev);
	size_t len = about ? strlen(about) : 0;
	struct host_request request = {
		.method = LINK_SAVE,
		.fds = &save->fd,
		.nfds = 1,
		.timeout_ns = mdev->broker->config.call_timeout_ns,
	};
	int r;

	if (!about)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	save->fd = fd_memfd("umdev-save", STREAM_FILE_MAX);
	if (save->fd < 0 || pwrite(save->fd, about, len, 0) != (ssize_t)len)
		return error_set(err, ERROR_NO_MEMORY, "no memory for the state of %s", mdev->uuid);
	request.params = json_pack("{s:s,s:I}", "uuid", mdev->uuid, "about", (json_int_t)len);
	r = mdev->parent->host ? host_call(mdev->parent->host, &request, save_done, save)
			       : -ENOTCONN;
	if (r < 0)
		return error_set(err, ERROR_HOST_FAILED, "the host of %s cannot be asked: %s",
				 mdev->parent_name, strerror(-r));
	mdev->changing = true;
	return 0;
}

static int save_begin(struct api_call *call, struct umdev_error *err)
{
	char uuid[IDENT_UUID_SIZE];
	struct mdev *mdev;
	struct save *save;
	int r = rpc_uuid(call, uuid, false, err);

	if (r < 0)
		return r;
	mdev = mdev_find_active(call->broker, uuid);
	if (!mdev)
		return error_set(err, ERROR_NOT_ACTIVE, "mdev %s is not active", uuid);
	/* What a guest has told its device is no less its owner's than the device. */
	r = mdev_may_change(mdev, call, err);
	if (r < 0)
		return r;
	if (api_put_off(call, rpc_mdev_save, mdev))
		return 0;
	if (mdev->state != MDEV_ACTIVE || mdev->changing)
		return error_set(err, ERROR_DEVICE_BUSY, "mdev %s is %s: try again", uuid,
				 mdev->changing ? "being changed" : mdev_state_name(mdev->state));
	save = calloc(1, sizeof(*save));
	if (!save)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	save->call = call;
	save->mdev = mdev;
	save->fd = -1;
	r = save_send(save, err);
	if (r < 0) {
		fd_close(&save->fd);
		free(save);
	}
	return r;
}

void rpc_mdev_save(struct api_call *call)
{
	struct umdev_error err = {0};

	if (save_begin(call, &err) < 0)
		api_fail(call, &err);
}

/* ---- mdev.restore ---------------------------------------------------------------------------- */

struct restore {
	void *bytes;
	size_t len;
	struct stream stream;
	json_t *about;
	char type_name[256];
};

static void restore_free(struct restore *restore)
{
	free(restore->bytes);
	json_decref(restore->about);
}

static int restore_read(const struct api_call *call, struct restore *restore,
			struct umdev_error *err)
{
	const char *text = api_text(call, "data");
	const struct stream_section *about;
	int r = base64_decode(text, strlen(text), &restore->bytes, &restore->len);

	if (r < 0)
		return r == -ENOMEM ? error_set(err, ERROR_NO_MEMORY, "out of memory")
				    : error_set_key(err, ERROR_INVALID, "data",
						    "the saved state is not in base64");
	if (restore->len > STREAM_FILE_MAX)
		return error_set_key(err, ERROR_LIMIT, "data", "a saved state has at most %u bytes",
				     STREAM_FILE_MAX);
	r = stream_read(restore->bytes, restore->len, &restore->stream, err);
	if (r < 0)
		return r;
	about = stream_find(&restore->stream, STREAM_ABOUT);
	restore->about = about ? json_loadb(about->data, about->stored, 0, NULL) : NULL;
	if (!json_is_object(restore->about) ||
	    !stream_compat(&restore->stream, "type", restore->type_name,
			   sizeof(restore->type_name)))
		return error_set_key(err, ERROR_INVALID, "data",
				     "the saved state does not say of which mdev it is");
	return 0;
}

/* What the parent's driver must be; the rest of the text is compared by the host. */
static int restore_check_driver(const struct restore *restore, const struct parent *parent,
				struct umdev_error *err)
{
	uint64_t version;
	char told[64];
	char is[32] = "";

	if (!stream_compat(&restore->stream, "driver", is, sizeof(is)) ||
	    strcmp(is, parent->driver) != 0)
		return error_set_key(err, ERROR_TYPE_MISMATCH, "compatibility",
				     "the saved state is one of driver %s; parent %s has driver %s",
				     is[0] ? is : "?", parent->name, parent->driver);
	if (!stream_compat(&restore->stream, "state", is, sizeof(is)) ||
	    parse_u64(is, &version) < 0 || version < parent->state_from ||
	    version > parent->state_version)
		return error_set_key(err, ERROR_TYPE_MISMATCH, "compatibility",
				     "the saved state has version %s of what driver %s saves; the "
				     "driver here has version %u%s",
				     is, parent->driver, parent->state_version,
				     convert_told(parent, told, sizeof(told)));
	return 0;
}

/* The mdev is defined: it has to be of that type. Attributes are compared by the host. */
static int restore_defined(const struct restore *restore, const struct mdev *mdev,
			   struct definition **ret, struct umdev_error *err)
{
	const struct definition *d = mdev->definition;

	if (!d) {
		*err = mdev->unreadable;
		return error_wrap(err, "%s", mdev->uuid);
	}
	if (d->type_name && strcmp(d->type_name, restore->type_name) != 0)
		return error_set_key(err, ERROR_TYPE_MISMATCH, "type",
				     "%s is defined as '%.100s', the saved state is of '%.100s'",
				     mdev->uuid, d->type_name, restore->type_name);
	*ret = definition_dup(d);
	return *ret ? 0 : error_set(err, ERROR_NO_MEMORY, "out of memory");
}

/* It is not defined: it becomes what it was. */
static int restore_transient(const struct api_call *call, const struct restore *restore,
			     struct definition **ret, struct umdev_error *err)
{
	const json_t *was = json_object_get(restore->about, "definition");
	struct definition *d = definition_new(NULL, restore->type_name);
	int r = d ? 0 : error_set(err, ERROR_NO_MEMORY, "out of memory");

	if (r == 0)
		r = definition_set_attrs(d, json_object_get(was, "attrs"), err);
	if (r < 0) {
		definition_free(d);
		return r;
	}
	d->has_uid = true;
	d->uid = call->uid;
	*ret = d;
	return 0;
}

/* The memfd that the host will read. */
static int restore_give(const struct restore *restore, struct mdev *mdev, struct umdev_error *err)
{
	int fd = fd_memfd("umdev-restore", restore->len);

	if (fd < 0 || pwrite(fd, restore->bytes, restore->len, 0) != (ssize_t)restore->len) {
		fd_close(&fd);
		return error_set(err, ERROR_NO_MEMORY, "no memory for the state of %s", mdev->uuid);
	}
	fd_close(&mdev->restore_fd);
	mdev->restore_fd = fd;
	return 0;
}

static int restore_find(struct api_call *call, const struct restore *restore,
			struct mdev **ret_mdev, struct definition **ret_running,
			struct umdev_error *err)
{
	const char *uuid_text = api_text(call, "uuid");
	const char *parent_name = api_text(call, "parent");
	const struct parent *parent;
	char uuid[IDENT_UUID_SIZE];
	int r;

	if (!uuid_text)
		uuid_text = json_string_value(json_object_get(restore->about, "uuid"));
	if (!uuid_text || ident_uuid_parse(uuid_text, uuid) < 0)
		return error_set_key(err, ERROR_INVALID, "uuid", "'%.64s' is no UUID",
				     uuid_text ? uuid_text : "");
	r = rpc_check_owners(call, uuid, err);
	if (r == 0)
		r = rpc_find_definition(call->broker, uuid, parent_name, ret_mdev, err);
	if (r < 0)
		return r;
	if (!parent_name)
		parent_name =
			*ret_mdev ? (*ret_mdev)->parent_name
				  : json_string_value(json_object_get(restore->about, "parent"));
	parent = parent_name ? parent_find(call->broker, parent_name) : NULL;
	if (!parent)
		return error_set_key(err, ERROR_NO_PARENT, "parent",
				     "Unable to find parent device '%.64s': say which one shall "
				     "have it",
				     parent_name ? parent_name : "");
	r = parent_check_ready(parent, err);
	if (r == 0)
		r = restore_check_driver(restore, parent, err);
	if (r < 0)
		return r;
	if (*ret_mdev)
		return restore_defined(restore, *ret_mdev, ret_running, err);
	r = restore_transient(call, restore, ret_running, err);
	if (r == 0)
		r = mdev_get(call->broker, parent->name, uuid, ret_mdev, err);
	return r;
}

static int restore_begin(struct api_call *call, struct mdev **ret_mdev, struct umdev_error *err)
{
	umdev_auto(restore_free) struct restore restore = {0};
	struct definition *running = NULL;
	int r;

	if (call->broker->ending)
		return error_set(err, ERROR_NO_PARENT, "the daemon is ending");
	r = restore_read(call, &restore, err);
	if (r == 0)
		r = restore_find(call, &restore, ret_mdev, &running, err);
	if (r == 0 && (*ret_mdev)->state != MDEV_IDLE)
		r = error_set(err, ERROR_EXISTS,
			      "mdev %s is active already: stop it first, or restore under another "
			      "UUID",
			      (*ret_mdev)->uuid);
	if (r == 0)
		r = restore_give(&restore, *ret_mdev, err);
	if (r < 0) {
		definition_free(running);
		return r;
	}
	r = mdev_start(*ret_mdev, running, call, err);
	if (r < 0)
		fd_close(&(*ret_mdev)->restore_fd);
	return r;
}

void rpc_mdev_restore(struct api_call *call)
{
	struct umdev_error err = {0};
	struct mdev *mdev = NULL;

	if (restore_begin(call, &mdev, &err) == 0)
		return;
	if (mdev)
		mdev_put(mdev);
	api_fail(call, &err);
}
