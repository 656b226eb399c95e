/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Waiting for the tree.
 *
 * Whoever calls mdevctl looks into /sys next, or waits for udev to tell of the device; libvirt
 * looks once and then sleeps for seconds. The tree answers a question only after it has shown and
 * told all that happened before, so one question is enough; then listeners get the time to read.
 */
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "ctl/ctl.h"
#include "util/udev.h"

/* A listener that hangs is not waited for longer than this. */
#define TREE_LISTENERS_MS 50

void ctl_wait_for_tree(const struct ctl *ctl, const char *uuid)
{
	const char *root = ctl->root ? ctl->root : secure_getenv("UMDEV_ROOT");
	char path[PATH_MAX];
	struct stat st;
	int n;

	if (!ctl_is_mdevctl())
		return;
	n = snprintf(path, sizeof(path), "%s/run/umdev/tree/sys/bus/mdev/devices/%s",
		     root ? root : "", uuid);
	if (n > 0 && (size_t)n < sizeof(path))
		n = lstat(path, &st);
	/* Without a tree nobody was told anything. */
	for (int i = 0; n == 0 && i < TREE_LISTENERS_MS && udev_listeners_behind(); i++)
		poll(NULL, 0, 1);
}
