/* SPDX-License-Identifier: BSD-3-Clause */
/* The work of an NVMe controller: reads of one block through one I/O queue. */
#pragma once

#include "work.h"

struct work_nvme;

/* A guest of @device, which stays the caller's. NULL when out of memory. */
struct work_nvme *work_nvme_new(const struct work_device *device);
/* NULL is fine. */
void work_nvme_free(struct work_nvme *nvme);

/* Enables the controller and makes the queue. NULL, or why that failed. */
const char *work_nvme_begin(struct work_nvme *nvme);

/* Takes completions and posts one read. Returns 1, or 0 when the queue is full. */
int work_nvme_one(struct work_nvme *nvme);
