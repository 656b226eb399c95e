/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Callouts and notifiers: scripts that mdevctl runs around a command, run here in the same way.
 *
 * They lie below the root, in usr/lib/mdevctl/scripts.d and etc/mdevctl.d/scripts.d. It is this
 * program that runs them, as whoever calls it; the daemon never does.
 */
#pragma once

#include "ctl/ctl.h"

/*
 * Calls the method "mdev.@action" as ctl_call() does, where @action is start, stop, define,
 * undefine or modify, with the scripts for it before and after. A callout that fails keeps the
 * command from being done, unless --force was given. Without scripts it is ctl_call() and nothing
 * else.
 */
int callout_call(struct ctl *ctl, const char *action, json_t *params, json_t **ret_result);

/* ---- callout-device.c: which mdevs a command is about ---- */

/*
 * A list of { "uuid", "parent", "type", "definition", "params" }: each mdev that the command is
 * about, with what it is or will be, and the parameters of the call for it alone. Where @params
 * lack the UUID of something new, it is made. The list is empty when that cannot be told; the call
 * then says what is wrong. CTL_OK, or the exit code when the daemon cannot be asked.
 */
int callout_devices(struct ctl *ctl, const char *action, json_t *params, json_t **ret_devices);

/* ---- callout-place.c ---- */

/* Chooses a parent for a start or define whose @params give a type and no parent, tells where it
 * goes, and puts it there. CTL_OK also where none fits. */
int callout_place(struct ctl *ctl, json_t *params);
