/* SPDX-License-Identifier: BSD-3-Clause */
/* umdevctl save and restore: the state of a device to a file and back. The daemon sees no file. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"
#include "util/base64.h"
#include "util/fd.h"

/* As much as the daemon takes, with room for the text around it. */
#define SAVE_FILE_MAX (704 * 1024)

/* Writes the file whole or not at all: what is in it is nobody else's to read. */
static int save_write(const struct ctl *ctl, const char *path, const void *data, size_t len)
{
	int r = 0;

	if (strcmp(path, "-") == 0) {
		if (fwrite(data, 1, len, stdout) != len || fflush(stdout) != 0)
			r = -errno;
	} else {
		r = fd_write_file_atomic(AT_FDCWD, path, data, len, 0600);
	}
	if (r == 0)
		return CTL_OK;
	return ctl_fail_word(ctl, error_word_from_errno(r), "cannot write '%s': %s", path,
			     strerror(-r));
}

int ctl_save(struct ctl *ctl)
{
	const char *path = ctl->operands[1];
	umdev_autofree void *data = NULL;
	char uuid[CTL_UUID_STRING];
	json_t *params;
	json_t *result = NULL;
	const char *text;
	size_t len = 0;
	int r;

	if (!ctl_uuid_parse(ctl->operands[0], uuid))
		return ctl_usage(ctl, "'%s' is not a UUID", ctl->operands[0]);
	params = json_object();
	ctl_put_text(params, "uuid", uuid);
	ctl_put_flag(params, "force", ctl_has(ctl, "force"));
	r = ctl_call(ctl, "mdev.save", params, &result);
	if (r != CTL_OK)
		return r;
	text = ctl_text(result, "data");
	if (base64_decode(text, strlen(text), &data, &len) < 0)
		r = ctl_fail_word(ctl, ERROR_INTERNAL, "the daemon's answer is no saved state");
	else
		r = save_write(ctl, path, data, len);
	if (r == CTL_OK && ctl->json && strcmp(path, "-") != 0) {
		json_object_del(result, "data");
		ctl_print_json(result, "\n");
	}
	json_decref(result);
	return r;
}

int ctl_restore(struct ctl *ctl)
{
	umdev_autofree char *text = NULL;
	umdev_autofree char *data = NULL;
	char uuid[CTL_UUID_STRING] = "";
	json_t *params;
	json_t *mdev = NULL;
	size_t len = 0;
	int r = ctl_get_uuid(ctl, "uuid", uuid);

	if (r == CTL_OK)
		r = ctl_read_file(ctl, ctl->operands[0], SAVE_FILE_MAX, &text, &len);
	if (r != CTL_OK)
		return r;
	data = base64_encode(text, len);
	params = data ? json_object() : json_null();
	if (data) {
		ctl_put_text(params, "data", data);
		ctl_put_text(params, "uuid", uuid[0] ? uuid : NULL);
		ctl_put_text(params, "parent", ctl_get(ctl, "parent"));
		ctl_put_flag(params, "force", ctl_has(ctl, "force"));
	}
	r = ctl_call(ctl, "mdev.restore", params, &mdev);
	if (r != CTL_OK)
		return r;
	ctl_wait_for_tree(ctl, ctl_text(mdev, "uuid"));
	if (ctl->json)
		ctl_print_json(mdev, "\n");
	else
		printf("%s\n", ctl_text(mdev, "uuid"));
	json_decref(mdev);
	return CTL_OK;
}
