/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * State pages of an older version of the driver's state: another page is made of one, which stays
 * as it is, so that whoever left it can go on from it as long as nobody went on from the other.
 */
#pragma once

#include "host/host.h"

/*
 * Fills @to_fd, a memfd of zeros, with the page of mdev @uuid that @from_fd, left by a process of
 * an older state_version of the driver, is in today's layout. With @doubt (hosts died one after
 * another) one that a host died in the midst of is refused. On failure @to_fd holds no page.
 */
int host_convert(struct umdev_parent *parent, const char *uuid, int from_fd, int to_fd, bool doubt,
		 struct umdev_error *err) umdev_warn_unused;

/* The layout of what in a page is not the driver's, as text. It is never converted. */
void host_page_layout(char *ret_text, size_t size);
