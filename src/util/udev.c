/* SPDX-License-Identifier: BSD-3-Clause */
/* Who has not read his events. See udev.h. */
#include "util/udev.h"

#include <linux/netlink.h>
#include <stdio.h>

#include "util/cleanup.h"

#define UDEV_TABLE     "/proc/net/netlink"
#define UDEV_GROUP_BIT 2u /* of udev's events; 1 is the kernel's */

bool udev_listeners_behind(void)
{
	umdev_autofclose FILE *table = fopen(UDEV_TABLE, "re");
	char line[256];

	/* One socket a line: address, protocol, port, groups, bytes that wait to be read, ... */
	while (table && fgets(line, sizeof(line), table)) {
		unsigned protocol;
		unsigned groups;
		unsigned waiting;

		if (sscanf(line, "%*s %u %*u %x %u", &protocol, &groups, &waiting) == 3 &&
		    protocol == NETLINK_KOBJECT_UEVENT && groups & UDEV_GROUP_BIT && waiting > 0)
			return true;
	}
	return false;
}
