/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a driver may need beyond what every host may do: the words of umdev/driver.h, as bits.
 *
 * The words are all that a driver can say. Which system calls stand behind each is the host's
 * affair (calls.c).
 */
#pragma once

#include <stdint.h>

enum need {
	NEED_FILES,
	NEED_DISKS,
	NEED_IO_URING,
	NEED_THREADS,
	NEED_STREAMS,
	NEED_TERMINALS,
	NEED_COUNT
};

#define NEED_BIT(need) (1u << (need))

/* The need of that name, or -1. */
int need_find(const char *name);

/* Its name, or NULL past the last. */
const char *need_name(int need);
