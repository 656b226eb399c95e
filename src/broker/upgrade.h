/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Another process for a parent, of what lies on the disk now, while guests use its mdevs.
 *
 *   LOADING    the next host loads its driver, opens the parent; the old one serves
 *   RELEASING  the old one comes to rest
 *   SERVING    pages of an older version are converted, then the next one has everything; the old
 *              one rests, in case, but for nothing once pages were converted
 *   BACK       the next one failed: the old one has everything again
 *
 * To have everything takes two steps: all mdevs are staged, and then the host is told that the
 * parent is its own. Should this broker die, the hosts find out by themselves which of them goes on
 * (host/baton.h).
 *
 * Whatever can be checked is checked before anything is touched. From the end of SERVING on, a
 * death of the host is like any other.
 */
#pragma once

#include <stdbool.h>

#include "broker/mdev.h"
#include "broker/parent.h"

struct upgrade;

/* Begins; @call is answered at the end. Returns 0, or a negative errno with nothing done and @call
 * unanswered. */
int upgrade_start(struct parent *parent, struct api_call *call,
		  struct umdev_error *err) umdev_warn_unused;

/* The host of a parent that is being upgraded has died. Returns whether that is taken care of. */
bool upgrade_host_died(struct parent *parent, const struct umdev_error *err);

/* Whether mdevs are to be staged at the host, and not yet to be created there; all of them were
 * sent, the one or the other. */
bool upgrade_stages(const struct parent *parent);
void upgrade_all_sent(struct parent *parent);

/* An mdev is served again. */
void upgrade_mdev_back(struct mdev *mdev);

/* Whether an upgrade is under way whose next host is to convert pages. It is not when one was
 * refused, and the host is being ended for that. */
bool upgrade_converts(const struct parent *parent);

/* The pages of @count mdevs were converted: the next host can be given everything. */
void upgrade_converted(struct parent *parent, unsigned count);

/* Whether an upgrade is under way that can still go back to the old host. */
bool upgrade_can_go_back(const struct parent *parent);

/* The next host does not take an mdev as it is. */
void upgrade_mdev_refused(struct mdev *mdev, const struct umdev_error *err);

/* Ends it, whatever it is at, failing its call. Nothing when there is none. */
void upgrade_abort(struct parent *parent, const struct umdev_error *why);
