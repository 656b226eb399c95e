/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Work: what a guest does to make a device ask for jobs. Known for devices with a standard
 * interface, and for those whose author said it in register writes.
 *
 * The device is reached through functions, so that the same work runs in the harness and over a
 * client's connection.
 */
#pragma once

#include <stdint.h>

#include "options.h"

#define WORK_MEMORY 0x40000u /* bytes of guest memory that one work needs */

struct work;

/* A device as its guest has it. */
struct work_device {
	int (*read)(void *arg, uint32_t bar, uint64_t offset, void *buf, uint32_t len);
	int (*write)(void *arg, uint32_t bar, uint64_t offset, const void *buf, uint32_t len);
	void (*pass)(void *arg); /* lets a little time pass */
	void *arg;
	uint8_t *memory; /* WORK_MEMORY bytes of the guest's */
	uint64_t iova;	 /* where the device sees them */
	uint32_t class_code;
	const char *driver; /* its name */
};

/* Makes work for @device. Returns it, or NULL with the reason in *@ret_reason. Nothing has been
 * done to the device yet. */
struct work *work_new(const struct work_device *device, const struct conform_options *options,
		      const char **ret_reason);

/* Makes the device ready. NULL, or why that failed; also after a reset. */
const char *work_begin(struct work *work);

/* Asks for one more job. Returns 1, or 0 when the guest has no room for more at present. */
int work_one(struct work *work);

/* Frees it; the device is left as it is. NULL is fine. */
void work_free(struct work *work);
