/* SPDX-License-Identifier: BSD-3-Clause */
/* What rig.c and rig-client.c know of each other. */
#pragma once

#include "util/reactor.h"

#include "rig.h"

/* Some turns of the loop, in which the client reads unless it is deaf. */
void rig_turn(struct rig *rig);

/* Time goes by. */
void rig_pass(struct rig *rig, uint64_t ns);

/* The device: ends what takes time; takes hold of memory or lets it go; copies to and from it. */
void rig_complete(struct rig *rig, int status);
void rig_hold(struct rig *rig);
void rig_dma(struct rig *rig);

/* The client reads what there is. */
void rig_receive(struct rig *rig);
