/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where hosts wait for the next broker: run/umdev/hosts/<parent>.sock, for the broker's user alone.
 *
 * The broker binds the socket, the host listens at it. A name that nobody listens at is left by a
 * host that has ended.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "broker/broker.h"
#include "util/cleanup.h"

/* A bound socket for the host of the parent @name, in place of one that is there; @next: for one
 * that is to replace the host that has the name. The fd or -errno. */
int host_socket_bind(const struct broker *broker, const char *name, bool next) umdev_warn_unused;

/* The next host has the name from now on, and the one that had it what the next one had. */
void host_socket_swap(const struct broker *broker, const char *name);

/* A connection to the host of the parent @name, or to the next one, and a pidfd of its process, or
 * -errno: -ECONNREFUSED and -ENOENT where there is none. */
int host_socket_connect(const struct broker *broker, const char *name, bool next, pid_t *ret_pid,
			int *ret_pidfd) umdev_warn_unused;

/* Removes the name, or that of the next one. */
void host_socket_remove(const struct broker *broker, const char *name, bool next);

/* Calls @each with the name of every parent that has one there, and with those of next ones, which
 * cannot be a parent's. */
#define HOST_SOCKET_NEXT '~' /* is the last of those */
void host_socket_each(struct broker *broker, void (*each)(struct broker *broker, const char *name));
