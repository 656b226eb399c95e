/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Endpoints of mdevs: pseudo terminals and sockets that a type of device wants beside the vfio-user
 * socket, for programs on this machine.
 *
 * The broker makes them, so that a host needs no right to, and keeps their descriptors: names and
 * what a pseudo terminal holds outlive a host. They have owner and mode of the vfio-user socket.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/cleanup.h"
#include "util/error.h"

struct definition;
struct mdev;

/* Who may use an endpoint. */
struct endpoint_access {
	uint32_t uid; /* UINT32_MAX: stays */
	uint32_t gid; /* likewise */
	mode_t mode;
	bool asked; /* the owner was given by an attribute */
};

/* What @definition says of the owner and mode of the socket (socket.c). */
int mdev_socket_access(const struct definition *definition, struct endpoint_access *ret,
		       struct umdev_error *err) umdev_warn_unused;

/*
 * Makes the endpoints of @mdev's type, in place of those that are there, in the directory that
 * mdev_socket_open() has made. On failure there may be some; mdev_socket_close() removes them.
 */
int mdev_endpoints_open(struct mdev *mdev, struct umdev_error *err) umdev_warn_unused;

/* Their paths. NULL when out of memory. */
json_t *mdev_print_endpoints(const struct mdev *mdev);

/* Removes everything that is named as endpoints are from the directory @path below @root. */
void endpoints_clear(int root, const char *path);
