/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The states of a device that its client moves, and the way from one to another.
 *
 *   RUNNING <-> STOP <-> STOP_COPY     STOP <-> RESUMING
 *
 * are the only direct steps here (the states between RUNNING and STOP_COPY that let a device be
 * copied while it runs are not offered: its state is small). So every way leads through STOP.
 */
#include <errno.h>

#include "vfio/wire.h"

static bool wire_state_offered(uint32_t state)
{
	return state == WIRE_STATE_STOP || state == WIRE_STATE_RUNNING ||
	       state == WIRE_STATE_STOP_COPY || state == WIRE_STATE_RESUMING;
}

int wire_state_step(uint32_t from, uint32_t to)
{
	/* Out of ERROR leads a reset, into it nobody may ask to go. */
	if (!wire_state_offered(from) || !wire_state_offered(to))
		return -EINVAL;
	return (int)(from == to || from == WIRE_STATE_STOP ? to : WIRE_STATE_STOP);
}
