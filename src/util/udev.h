/* SPDX-License-Identifier: BSD-3-Clause */
/* The listeners of udev's events in this network namespace. */
#pragma once

#include <stdbool.h>

/*
 * Whether somebody who listens to the events that udev sends on has not read all of them yet. A
 * listener that handles one event before it reads the next has handled all but the last when this
 * becomes false. False, too, where the kernel does not tell.
 */
bool udev_listeners_behind(void);
