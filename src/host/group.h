/* SPDX-License-Identifier: BSD-3-Clause */
/* Groups as one host sees them: a place in the scheduler, the driver's rules, one consumer. */
#pragma once

#include "host/host.h"

/* Makes the mdev, which competes for no engine yet, a member of group @uuid; @knobs count when it
 * is the first one here. Leaving is safe for one that is in no group. */
int host_group_join(struct umdev_mdev *mdev, const char *uuid, const struct qos_knobs *knobs,
		    struct umdev_error *err) umdev_warn_unused;
void host_group_leave(struct umdev_mdev *mdev);

/* Where the flows of the mdev on @engine belong, or NULL: to no group. */
struct qos_group *host_group_engine(const struct umdev_mdev *mdev, uint32_t engine);

/* Changes cap and weight of a group that has members here, in effect from the next job. */
int host_group_set(struct umdev_parent *parent, const char *uuid, const struct qos_knobs *knobs,
		   struct umdev_error *err) umdev_warn_unused;

/* The group of @mdev and its knobs as LINK_CREATE has them, or NULL. */
json_t *host_group_print(const struct umdev_mdev *mdev);

/* Asks the driver about the set that LINK_GROUP brings. */
int host_group_check(struct umdev_parent *parent, json_t *params,
		     struct umdev_error *err) umdev_warn_unused;

/* Forgets the question, and that the client counts, without telling the broker: another process
 * will serve it. */
void host_group_forget(struct umdev_mdev *mdev);

/* Asks the broker whether @peer may use the mdev: -EINPROGRESS, or another errno with @err set. The
 * second ends that, and what a grant meant. */
int host_group_ask(struct umdev_mdev *mdev, const struct ucred *peer,
		   struct umdev_error *err) umdev_warn_unused;
void host_group_unask(struct umdev_mdev *mdev);

/* Asks the new broker what the one before it could not answer any more. */
void host_group_ask_again(struct umdev_mdev *mdev);
