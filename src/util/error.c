/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of error words, and formatting of one-line errors. See error.h. */
#include "util/error.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	int error;
} error_words[] = {
	[ERROR_NONE] = {"NONE", 0},
	[ERROR_INTERNAL] = {"INTERNAL", EIO},
	[ERROR_NO_MEMORY] = {"NO_MEMORY", ENOMEM},
	[ERROR_INVALID] = {"INVALID", EINVAL},
	[ERROR_NOT_FOUND] = {"NOT_FOUND", ENOENT},
	[ERROR_EXISTS] = {"EXISTS", EEXIST},
	[ERROR_UNKNOWN_DRIVER] = {"UNKNOWN_DRIVER", ENOENT},
	[ERROR_UNKNOWN_TYPE] = {"UNKNOWN_TYPE", ENOENT},
	[ERROR_UNKNOWN_METHOD] = {"UNKNOWN_METHOD", ENOSYS},
	[ERROR_NO_INSTANCES] = {"NO_INSTANCES", EUSERS},
	[ERROR_NO_SPACE] = {"NO_SPACE", ENOSPC},
	[ERROR_NO_SHARE] = {"NO_SHARE", ENOSPC},
	[ERROR_NO_PARENT] = {"NO_PARENT", ENODEV},
	[ERROR_DEVICE_BUSY] = {"DEVICE_BUSY", EBUSY},
	[ERROR_NOT_ACTIVE] = {"NOT_ACTIVE", ENODEV},
	[ERROR_NOT_DEFINED] = {"NOT_DEFINED", ENOENT},
	[ERROR_NOT_PERMITTED] = {"NOT_PERMITTED", EPERM},
	[ERROR_LOCKED] = {"LOCKED", EBUSY},
	[ERROR_READ_ONLY] = {"READ_ONLY", EROFS},
	[ERROR_TYPE_MISMATCH] = {"TYPE_MISMATCH", EINVAL},
	[ERROR_DRIVER_FAILED] = {"DRIVER_FAILED", EIO},
	[ERROR_HOST_FAILED] = {"HOST_FAILED", EIO},
	[ERROR_LIMIT] = {"LIMIT", EDQUOT},
	[ERROR_TIMEOUT] = {"TIMEOUT", ETIMEDOUT},
	[ERROR_UNREACHABLE] = {"UNREACHABLE", ECONNREFUSED},
};
static_assert(sizeof(error_words) / sizeof(error_words[0]) == ERROR_WORD_COUNT,
	      "every error word has a name and an errno");

/* Bytes of the UTF-8 character at @p, or 0 when there is no whole, valid one. */
static size_t error_utf8_length(const unsigned char *p)
{
	size_t len = p[0] < 0x80		   ? 1
		     : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
		     : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
		     : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
						   : 0;

	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

/*
 * A message is one line of valid UTF-8 whatever was formatted into it and wherever it was cut: it
 * is on its way into JSON, which takes nothing else.
 */
static void error_one_line(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p;) {
		size_t len = error_utf8_length(p);

		if (len == 0)
			*p = '?';
		else if (*p < 0x20 || *p == 0x7f)
			*p = ' ';
		p += len ? len : 1;
	}
}

__attribute__((format(printf, 4, 0))) static int error_fill(struct umdev_error *err,
							    enum error_word word, const char *key,
							    const char *fmt, va_list ap)
{
	if (err) {
		err->word = word;
		vsnprintf(err->message, sizeof(err->message), fmt, ap);
		error_one_line(err->message);
		snprintf(err->key, sizeof(err->key), "%s", key);
		error_one_line(err->key);
	}
	return -error_word_errno(word);
}

int error_set(struct umdev_error *err, enum error_word word, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = error_fill(err, word, "", fmt, ap);
	va_end(ap);
	return r;
}

int error_set_key(struct umdev_error *err, enum error_word word, const char *key, const char *fmt,
		  ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = error_fill(err, word, key, fmt, ap);
	va_end(ap);
	return r;
}

int error_wrap(struct umdev_error *err, const char *fmt, ...)
{
	char old[ERROR_MESSAGE_MAX];
	char context[ERROR_MESSAGE_MAX];
	va_list ap;
	size_t used;

	if (!err)
		return -EIO;
	memcpy(old, err->message, sizeof(old));
	va_start(ap, fmt);
	vsnprintf(context, sizeof(context), fmt, ap);
	va_end(ap);
	used = (size_t)snprintf(err->message, sizeof(err->message), "%s: ", context);
	if (used < sizeof(err->message))
		snprintf(err->message + used, sizeof(err->message) - used, "%s", old);
	error_one_line(err->message);
	return -error_word_errno(err->word);
}

const char *error_word_name(enum error_word word)
{
	if ((unsigned)word >= ERROR_WORD_COUNT)
		word = ERROR_INTERNAL;
	return error_words[word].name;
}

enum error_word error_word_parse(const char *name)
{
	for (unsigned i = 0; name && i < ERROR_WORD_COUNT; i++) {
		if (strcmp(error_words[i].name, name) == 0)
			return (enum error_word)i;
	}
	return ERROR_INTERNAL;
}

int error_word_errno(enum error_word word)
{
	if ((unsigned)word >= ERROR_WORD_COUNT)
		word = ERROR_INTERNAL;
	return error_words[word].error;
}

enum error_word error_word_from_errno(int error)
{
	switch (abs(error)) {
	case 0:
		return ERROR_NONE;
	case ENOMEM:
		return ERROR_NO_MEMORY;
	case EINVAL:
	case ERANGE:
		return ERROR_INVALID;
	case ENOENT:
		return ERROR_NOT_FOUND;
	case EEXIST:
		return ERROR_EXISTS;
	case EUSERS:
		return ERROR_NO_INSTANCES;
	case ENOSPC:
		return ERROR_NO_SPACE;
	case ENODEV:
		return ERROR_NO_PARENT;
	case EBUSY:
		return ERROR_DEVICE_BUSY;
	case EPERM:
	case EACCES:
		return ERROR_NOT_PERMITTED;
	case EROFS:
		return ERROR_READ_ONLY;
	case EDQUOT:
		return ERROR_LIMIT;
	case ETIMEDOUT:
		return ERROR_TIMEOUT;
	case ECONNREFUSED:
		return ERROR_UNREACHABLE;
	default:
		return ERROR_INTERNAL;
	}
}
