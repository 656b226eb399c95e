/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a host gives up before it hears anybody: its user, its capabilities, the filesystem, the
 * network, and all system calls but those on a list.
 *
 * It enters after the driver was loaded and before a byte from outside is read. What the kernel or
 * a container does not allow is left out and told; nothing of it stops the host.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/cleanup.h"

struct host_driver;

#define SANDBOX_MISSING_MAX 8
#define SANDBOX_TEXT_MAX    128

struct sandbox_options {
	bool off; /* for debugging */
	bool has_user;
	uid_t uid; /* to become, where there is a right to */
	gid_t gid;
};

/* What was got. */
struct sandbox {
	uid_t uid;
	const char *filesystem; /* "none", "/dev/pts" or "all" */
	const char *network; /* "none" or "all": what io_uring could reach; there is no socket() */
	const char *capabilities;
	bool seccomp; /* the list of system calls is in force */
	bool user_namespace;
	unsigned missing_count;
	char missing[SANDBOX_MISSING_MAX][SANDBOX_TEXT_MAX];
};

/* Enters. Call it with one thread. @needs are bits of enum need. */
void sandbox_enter(const struct sandbox_options *options, uint32_t needs,
		   struct sandbox *ret_sandbox);

/* The parent is open: takes back what only that needed. */
void sandbox_settle(const struct sandbox *sandbox);

/* The object of LINK_HELLO. NULL when out of memory. */
json_t *sandbox_print(const struct sandbox *sandbox, const struct host_driver *driver);
