/* SPDX-License-Identifier: BSD-3-Clause */
/* What the kernel says of a process of somebody else. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* When it was started, in clock ticks since boot; 0 when it is not there. */
uint64_t process_started(pid_t pid);

/* Whether it has ended, also if nobody has waited for it yet. Not of one that is hidden (hidepid=,
 * proc(5)), nor of 0, which is one of a PID namespace that we do not see. */
bool process_ended(pid_t pid);
