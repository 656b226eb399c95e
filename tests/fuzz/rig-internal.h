/* SPDX-License-Identifier: BSD-3-Clause */
/* What rig.c and rig-client.c know of each other. */
#pragma once

#include "util/reactor.h"
#include "vfio/migrate.h"

#include "rig.h"

/* Some turns of the loop, in which the client reads unless it is deaf. */
void rig_turn(struct rig *rig);

/* Time goes by. */
void rig_pass(struct rig *rig, uint64_t ns);

/* The device: ends what takes time; takes hold of memory or lets it go; copies to and from it. */
void rig_complete(struct rig *rig, int status);
void rig_hold(struct rig *rig);
void rig_dma(struct rig *rig);

/* What a device that can be moved does (vfio/session.h). */
int rig_rest(void *device);
int rig_wake(void *device);
int rig_save(void *device, int *ret_fd, uint64_t *ret_size);
int rig_load(void *device, int fd, uint64_t size);
int rig_check(void *device, int fd, uint64_t size);

/* What it did for that has ended; it was reset, or another process begins. */
void rig_ended(struct rig *rig, int status);
void rig_runs(struct rig *rig);

/* The client sends a command that is one message. */
void rig_command(struct rig *rig, uint16_t command, const void *body, size_t len);

/* A step of a client that moves the device, or writes down what it does. */
void rig_step_move(struct rig *rig, uint8_t what);

/* The client reads what there is. */
void rig_receive(struct rig *rig);
