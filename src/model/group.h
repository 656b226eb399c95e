/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Groups: which mdevs may be one, and when one may join or leave.
 *
 * A group is a set of mdevs whose resources are committed together for one consumer. The rules see
 * it as a list of members, whatever parents they are on. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/cleanup.h"
#include "util/error.h"

#define GROUP_MEMBERS_MAX 128

/* One mdev as the rules see it. Texts are borrowed. */
struct group_member {
	const char *uuid;
	const char *parent;
	const char *driver;
	const char *type_id;
	uint32_t scope; /* UMDEV_GROUP_* of its type */
	bool hotplug;	/* group_hotplug of its type */
	bool moves;	/* it is the one that joins or leaves */
	int in_use;	/* the process that uses it; 0: none */
};

/* "none", "device", "driver". */
const char *group_scope_name(uint32_t scope);

/* Whether these may be one group: INVALID with the rule that keeps two of them apart, LIMIT for too
 * many. */
int group_check_members(const char *group, const struct group_member *members, size_t count,
			struct umdev_error *err) umdev_warn_unused;

/* Whether those that move may join (they are among @members) or leave: as above, and DEVICE_BUSY
 * while one of the others is in use and one of all has no hotplug. */
int group_check_join(const char *group, const struct group_member *members, size_t count,
		     struct umdev_error *err) umdev_warn_unused;
int group_check_leave(const char *group, const struct group_member *members, size_t count,
		      struct umdev_error *err) umdev_warn_unused;

/* Who uses a group: a process is known by its number and the time of its start, since numbers are
 * used again. */
struct group_client {
	int pid; /* 0: nobody */
	uint64_t started;
	uint32_t uid;
};

/* Whether @client may connect while @holder (pid 0: nobody) has the group through member @uuid. */
int group_check_client(const char *group, const char *uuid, const struct group_client *holder,
		       const struct group_client *client,
		       struct umdev_error *err) umdev_warn_unused;
