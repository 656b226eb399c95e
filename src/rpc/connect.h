/* SPDX-License-Identifier: BSD-3-Clause */
/* The way to the daemon's control socket, for every kind of client. */
#pragma once

#include "util/cleanup.h"
#include "util/error.h"

/*
 * Connects to the daemon that serves @root (NULL: UMDEV_ROOT or /), however long that path is.
 * Returns a close-on-exec stream socket, or the errno of @err: UNREACHABLE, NOT_PERMITTED.
 */
int rpc_connect(const char *root, struct umdev_error *err) umdev_warn_unused;
