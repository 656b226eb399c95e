/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Events as udevd sends them on to its listeners, so that libvirt learns at once of what comes and
 * goes.
 *
 * They are sent to the netlink group of udev's monitors, in the network namespace of this process.
 * Listeners believe root of their user namespace alone, and the kernel lets nobody else send: where
 * that is refused, it is so for good and nothing is sent any more.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sysfs/node.h"

struct uevent {
	int fd; /* -1: not permitted, or not wanted */
	uint64_t number;
};

/* Opens the socket if @wanted. Nothing that fails here is an error. */
void uevent_open(struct uevent *uevent, bool wanted);
void uevent_close(struct uevent *uevent);

/* Tells that @action ("add", "remove", "change", ...) happened to the parent or mdev of @s. @extra
 * (may be NULL) is one more KEY=value. */
void uevent_send(struct uevent *uevent, const struct subject *s, const char *action,
		 const char *extra);
