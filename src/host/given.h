/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Descriptors that an earlier host had kept, on their way to the device that they belong to; and,
 * for one that is staged, all else that it is created of.
 */
#pragma once

#include "host/host.h"

struct host_given {
	struct list link; /* of the parent, until claimed */
	char uuid[UMDEV_UUID_STRING];
	struct vfio_kept *rows; /* fd -1: taken */
	size_t count;
	size_t room;
	json_t *create; /* as LINK_CREATE has it; NULL: it is not staged */
	int fds[HOST_CREATE_FDS];
	size_t nfds;
};

/* LINK_GIVE: takes the descriptors in. */
void host_given_take(struct umdev_parent *parent, json_t *params, int *fds, size_t nfds);

/* Stages @params (borrowed) with its descriptors, which are taken, for what was given under its
 * uuid. In place of what was staged for that before. Returns 0, -EINVAL or -ENOMEM. */
int host_given_stage(struct umdev_parent *parent, json_t *params, int *fds,
		     size_t nfds) umdev_warn_unused;

/* As if @fd (taken) had been given for @uuid. Returns 0, -ENOSPC or -ENOMEM. */
int host_given_put(struct umdev_parent *parent, const char *uuid, uint32_t slot,
		   int *fd) umdev_warn_unused;

/* What is staged for @uuid, or was given and not staged; NULL when nothing was. */
struct host_given *host_given_find(struct umdev_parent *parent, const char *uuid, bool staged);

/* The same, now the caller's. */
struct host_given *host_given_claim(struct umdev_parent *parent, const char *uuid, bool staged);

/* The descriptor of @slot, for the caller to take or to leave, or NULL. @given may be NULL. */
int *host_given_slot(struct host_given *given, uint32_t slot);

/* Closes what nobody took. NULL is fine. */
void host_given_free(struct host_given *given);

/* The same for what nobody claimed. */
void host_given_free_all(struct umdev_parent *parent);
