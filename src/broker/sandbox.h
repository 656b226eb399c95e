/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hosts in their sandboxes, as the broker sees them: as whom they run, and what they say they got.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "util/cleanup.h"
#include "util/error.h"

/* The user that hosts of a daemon of root's become, if there is one of that name; else nobody. */
#define SANDBOX_USER	  "umdev-host"

#define SANDBOX_USER_TEXT 24

/* Writes UID:GID of that user; empty when this process is not root's and has no choice. */
void sandbox_find_user(char text[SANDBOX_USER_TEXT]);

/*
 * Takes the object that a hello brings about its sandbox: a copy of what is well formed in it, or
 * NULL with @err set. JSON null where the hello has none.
 */
json_t *sandbox_take(json_t *hello, const char *driver, struct umdev_error *err) umdev_warn_unused;

/* One line for a person: what was got. */
void sandbox_describe(const json_t *sandbox, char *text, size_t size);

/*
 * Whose process @pid is, when a host says it is @uid's. In a user namespace of its own a host knows
 * one user, and takes all others for nobody.
 */
uid_t sandbox_client_uid(const json_t *sandbox, pid_t pid, uid_t uid);
