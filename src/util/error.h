/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Errors that reach a person or another program.
 *
 * Inside the project a failure is a negative errno. At the four edges (configuration, driver
 * load, RPC, command line) it becomes a struct umdev_error: a stable word that programs compare,
 * the errno it maps to, one line for a person, and optionally the name of the field that is wrong.
 * The words below are a contract; their texts may change, they may not.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>

enum error_word {
	ERROR_NONE,
	ERROR_INTERNAL,	      /* EIO: a fault of ours or of the system, the text says which */
	ERROR_NO_MEMORY,      /* ENOMEM */
	ERROR_INVALID,	      /* EINVAL: malformed name, uuid, option, attribute or file */
	ERROR_NOT_FOUND,      /* ENOENT: no such mdev, parent, definition */
	ERROR_EXISTS,	      /* EEXIST */
	ERROR_UNKNOWN_DRIVER, /* ENOENT */
	ERROR_UNKNOWN_TYPE,   /* ENOENT */
	ERROR_UNKNOWN_METHOD, /* ENOSYS */
	ERROR_NO_INSTANCES,   /* EUSERS: the pool has no room for another of this type */
	ERROR_NO_SPACE,	      /* ENOSPC */
	ERROR_NO_SHARE,	   /* ENOSPC: weights and caps on the parent leave less than was promised */
	ERROR_NO_PARENT,   /* ENODEV: the parent is not there or not ready */
	ERROR_DEVICE_BUSY, /* EBUSY: in use, or being changed */
	ERROR_NOT_ACTIVE,  /* ENODEV */
	ERROR_NOT_DEFINED, /* ENOENT */
	ERROR_NOT_PERMITTED, /* EPERM */
	ERROR_LOCKED,	     /* EBUSY: the backing object is locked by another user */
	ERROR_READ_ONLY,     /* EROFS */
	ERROR_TYPE_MISMATCH, /* EINVAL: id and name of a type disagree */
	ERROR_DRIVER_FAILED, /* EIO: a driver refused or failed */
	ERROR_HOST_FAILED,   /* EIO: the process of a parent died or does not answer */
	ERROR_LIMIT,	     /* EDQUOT: a limit of ours was reached */
	ERROR_TIMEOUT,	     /* ETIMEDOUT */
	ERROR_UNREACHABLE,   /* ECONNREFUSED: the daemon does not answer */
	ERROR_WORD_COUNT
};

#define ERROR_MESSAGE_MAX 384
#define ERROR_KEY_MAX	  64

/* One failure. All zero means no error. Plain data: copy it, nothing is owned. */
struct umdev_error {
	enum error_word word;
	char message[ERROR_MESSAGE_MAX];
	char key[ERROR_KEY_MAX]; /* the offending field, or "" */
};

/* Fills @err (which may be NULL) and returns the negative errno of @word. Texts are cut, never
 * split. */
int error_set(struct umdev_error *err, enum error_word word, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* As error_set(), naming the field that is wrong. */
int error_set_key(struct umdev_error *err, enum error_word word, const char *key, const char *fmt,
		  ...) __attribute__((format(printf, 4, 5)));

/* Puts "context: " before the message of @err (may be NULL). Returns the errno of its word. */
int error_wrap(struct umdev_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The stable name of a word, such as "DEVICE_BUSY". Never NULL. */
const char *error_word_name(enum error_word word);

/* The word of a stable name, ERROR_INTERNAL for one that is not known. */
enum error_word error_word_parse(const char *name);

/* The positive errno a word maps to, for the tree and for vfio-user replies; 0 for ERROR_NONE. */
int error_word_errno(enum error_word word);

/* The word that fits a positive or negative errno best. */
enum error_word error_word_from_errno(int error);
