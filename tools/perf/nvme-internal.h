/* SPDX-License-Identifier: BSD-3-Clause */
/* What nvme.c and nvme-setup.c share; nobody else includes it. */
#pragma once

#include "nvme.h"

/* Runs one admin command and waits for it. A status other than success is an error. */
int nvme_admin(struct nvme_ctrl *ctrl, struct nvme_command *command, const char *what,
	       uint32_t *ret_result, struct umdev_error *err) umdev_warn_unused;

/* Makes @q the empty queue pair @id with the given rings, its doorbells as far as they are set up.
 */
void nvme_queue_setup(struct nvme_ctrl *ctrl, struct nvme_queue *q, uint16_t id, void *sq,
		      const void *cq);

/* Maps the doorbell page of BAR 0, if the device offers it and @wanted does not exclude it. */
int nvme_map_doorbells(struct nvme_ctrl *ctrl, enum options_doorbells wanted,
		       struct umdev_error *err) umdev_warn_unused;

/* Enables the device on the bus, and its interrupts unless @poll. */
int nvme_setup_interrupts(struct nvme_ctrl *ctrl, bool poll, uint32_t queues,
			  struct umdev_error *err) umdev_warn_unused;

/* Reads who the controller and namespace @nsid are. */
int nvme_identify(struct nvme_ctrl *ctrl, uint32_t nsid, struct umdev_error *err) umdev_warn_unused;

/* Settles on the kind of doorbell for the I/O queues. */
int nvme_choose_doorbells(struct nvme_ctrl *ctrl, enum options_doorbells wanted,
			  struct umdev_error *err) umdev_warn_unused;
