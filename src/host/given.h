/* SPDX-License-Identifier: BSD-3-Clause */
/* Descriptors that an earlier host had kept, on their way to the device that they belong to. */
#pragma once

#include "host/host.h"

struct host_given {
	struct list link; /* of the parent, until claimed */
	char uuid[UMDEV_UUID_STRING];
	struct vfio_kept *rows; /* fd -1: taken */
	size_t count;
	size_t room;
};

/* LINK_GIVE: takes the descriptors in. */
void host_given_take(struct umdev_parent *parent, json_t *params, int *fds, size_t nfds);

/* What was given for @uuid, now the caller's; NULL when nothing was. */
struct host_given *host_given_claim(struct umdev_parent *parent, const char *uuid);

/* The descriptor of @slot, for the caller to take or to leave, or NULL. @given may be NULL. */
int *host_given_slot(struct host_given *given, uint32_t slot);

/* Closes what nobody took. NULL is fine. */
void host_given_free(struct host_given *given);

/* The same for what nobody claimed. */
void host_given_free_all(struct umdev_parent *parent);
