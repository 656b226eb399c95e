/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * State pages of another version than the host of the parent lays out: its driver makes pages of
 * its own of them, into new memfds, before it is given the mdevs. The old pages stay as they are
 * until then.
 */
#pragma once

#include <stdbool.h>

#include "broker/mdev.h"
#include "broker/parent.h"

/* Whether the page of @mdev is of another version than the host of its parent lays out. */
bool convert_needed(const struct mdev *mdev);

/* Whether that host's driver says that it converts it; ERROR_INVALID with the reason. */
int convert_check(const struct mdev *mdev, struct umdev_error *err) umdev_warn_unused;

/* The same of a host that said @hello, for all mdevs of the parent that have a page; its present
 * host laid them out. */
int convert_check_hello(const struct parent *parent, json_t *hello,
			struct umdev_error *err) umdev_warn_unused;

/* What @parent's driver converts, to be told after its version: begins with a space, or is empty.
 */
const char *convert_told(const struct parent *parent, char *text, size_t size);

/* Asks the host of the parent to make the next page (keeper.h) of @mdev, @reply's argument. 0 or
 * -errno. */
int convert_send(struct mdev *mdev, link_reply_fn *reply) umdev_warn_unused;

/*
 * Has the pages of all mdevs that are to come back converted, then puts them in the place of the
 * old ones, and tells upgrade_converted() how many. A refusal goes to upgrade_mdev_refused(), with
 * all old pages where they were.
 */
void convert_all(struct parent *parent);

/* Forgets the next pages of all mdevs of the parent. */
void convert_forget(struct parent *parent);
