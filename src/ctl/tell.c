/* SPDX-License-Identifier: BSD-3-Clause */
/* Errors and warnings on stderr: one line each. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"

/* Writes the one line of an error. The text of a person, or with --json an object. */
static void tell_error(const struct ctl *ctl, const struct umdev_error *err)
{
	json_t *object = NULL;

	if (ctl->json)
		object = json_pack("{s:{s:s, s:s}}", "error", "word", error_word_name(err->word),
				   "message", err->message);
	if (object && err->key[0])
		json_object_set_new(json_object_get(object, "error"), "key", json_string(err->key));
	if (object) {
		json_dumpf(object, stderr, JSON_COMPACT);
		fputc('\n', stderr);
	} else {
		fprintf(stderr, "%s: %s\n", ctl_name(), err->message);
	}
	json_decref(object);
}

int ctl_fail(const struct ctl *ctl, const struct umdev_error *err)
{
	tell_error(ctl, err);
	return CTL_FAILED;
}

int ctl_fail_word(const struct ctl *ctl, enum error_word word, const char *fmt, ...)
{
	char message[ERROR_MESSAGE_MAX];
	struct umdev_error err = {0};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	error_set(&err, word, "%s", message);
	return ctl_fail(ctl, &err);
}

int ctl_usage(const struct ctl *ctl, const char *fmt, ...)
{
	char message[ERROR_MESSAGE_MAX];
	struct umdev_error err = {0};
	const char *verb = ctl->verb ? ctl->verb->name : "";
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	error_set(&err, ERROR_INVALID, "%s%s%s; see '%s help%s%s'", verb, verb[0] ? ": " : "",
		  message, strcmp(ctl_name(), "lsmdev") == 0 ? "mdevctl" : ctl_name(),
		  verb[0] ? " " : "", verb);
	tell_error(ctl, &err);
	return CTL_USAGE;
}

void ctl_warn(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s: ", ctl_name());
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}
