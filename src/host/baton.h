/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which of two hosts goes on with a parent, whoever dies in an upgrade.
 *
 *   owner     serves; the state of every host but for an upgrade
 *   waiting   (parent->waits) the old one from LINK_RELEASE on, the next one from its start on:
 * what there is to serve is staged (given.h), nothing of it is touched, and nobody is heard at the
 * socket for other brokers
 *
 * Who waits becomes the owner by taking the baton, an eventfd of value 1 that both hosts were
 * handed: one read of it succeeds, ever. The next one does so when the broker says LINK_OWN. The
 * old one does so when its link ends, which it does not as long as the broker lives. Who finds it
 * taken, or has none, ends with its link. So one host goes on, whichever dies at whatever step, and
 * never two. A page that was staged is as a process that died at rest left it.
 */
#pragma once

#include "host/host.h"

/* Requests LINK_STAGE and LINK_OWN. */
void host_baton_on_stage(struct umdev_parent *parent, uint64_t id, json_t *params, int *fds,
			 size_t nfds);
void host_baton_on_own(struct umdev_parent *parent, uint64_t id, json_t *params, int *fds,
		       size_t nfds);

/* LINK_FORGET: what is staged here is another's. */
void host_baton_forget(struct umdev_parent *parent);

/* Waits from now on, with the baton of @baton (taken) or without any (NULL). */
void host_baton_wait(struct umdev_parent *parent, int *baton);

/* Stages @mdev, whose driver is at rest, with copies of all its descriptors. */
void host_baton_stage(struct umdev_mdev *mdev);

/* The link has ended, and is no more. Returns whether the parent is this host's. */
bool host_baton_orphan(struct umdev_parent *parent);

/* Builds what is staged, if the parent is this host's and the last broker has not come to it. */
void host_baton_build(struct umdev_parent *parent);
