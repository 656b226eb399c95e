/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The protocol between a service and the manager that started it, as sd_notify(3) and
 * sd_listen_fds(3) describe it: datagrams to the socket that NOTIFY_SOCKET names, and descriptors
 * that the manager hands to the service from 3 on.
 */
#pragma once

#include <stddef.h>

#include "util/cleanup.h"

#define NOTIFY_NAME_MAX 255 /* of a descriptor; what managers allow */
/* More is not taken from a manager. */
#define NOTIFY_FDS_MAX 65536

/* A socket that is connected to the manager's and does not wait. Returns it or -errno; -ENOENT:
 * there is no manager that wants to be told. */
int notify_open(void) umdev_warn_unused;

/* Tells the manager @state, lines "NAME=value". Returns 0 or -errno; 0 as well without manager. */
int notify_say(const char *state);

/* What the manager handed over. */
struct notify_fd {
	int fd;
	char *name;
};

/*
 * Takes what the manager handed to this very process, close-on-exec, and forgets the variables that
 * say so: neither a child nor the program that this process becomes shall find them. One that is
 * not open is left out; what has no name is called "". *@ret is freed with notify_fds_free().
 * Returns the number or -errno.
 */
int notify_take_fds(struct notify_fd **ret) umdev_warn_unused;

/* Closes those that are still there. NULL is fine. */
void notify_fds_free(struct notify_fd *fds, size_t count);
