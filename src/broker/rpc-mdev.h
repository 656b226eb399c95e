/* SPDX-License-Identifier: BSD-3-Clause */
/* What the methods about mdevs have in common: reading their parameters. */
#pragma once

#include "broker/mdev.h"

/* The parameter "uuid"; when absent and @generate, a fresh one. */
int rpc_uuid(const struct api_call *call, char uuid[IDENT_UUID_SIZE], bool generate,
	     struct umdev_error *err) umdev_warn_unused;

/* The same, for those that act upon definitions: what is on disk is looked at first, whoever wrote
 * it, which may free mdevs. */
int rpc_uuid_now(const struct api_call *call, char uuid[IDENT_UUID_SIZE], bool generate,
		 struct umdev_error *err) umdev_warn_unused;

/* The one definition of @uuid, under @parent or (NULL) anywhere; *@ret_mdev is NULL when there is
 * none. INVALID when there are several. */
int rpc_find_definition(struct broker *broker, const char *uuid, const char *parent,
			struct mdev **ret_mdev, struct umdev_error *err) umdev_warn_unused;

/* Whether the caller may do something with every mdev called @uuid. */
int rpc_check_owners(struct api_call *call, const char *uuid,
		     struct umdev_error *err) umdev_warn_unused;

/* INVALID when one of @names (ends with NULL) is given, for it does not go together with @with. */
int rpc_no_params(const struct api_call *call, const char *with, const char *const *names,
		  struct umdev_error *err) umdev_warn_unused;

/* Writes the parameter "group", if there is one, into @d, unless that says another. */
int rpc_put_group(const struct api_call *call, struct definition *d,
		  struct umdev_error *err) umdev_warn_unused;

/* A definition out of "definition" or "type", "type_name", "start", "attrs", "min_share"; and
 * "owner". It belongs to the caller. */
int rpc_new_definition(const struct api_call *call, struct definition **ret,
		       struct umdev_error *err) umdev_warn_unused;
