/* SPDX-License-Identifier: BSD-3-Clause */
/* Labelled steps at which a host that is built for tests (meson -Dfaults=true) may die; nothing
 * otherwise. A host of another kind has no such function. */
#pragma once

#include <stdint.h>

#ifdef UMDEV_FAULTS
/* The step of that label was reached; it may be the last. */
void umdev_fault_point(const char *label) __attribute__((weak));

/* The same with a number, such as a place on the storage. */
void umdev_fault_value(const char *label, uint64_t value) __attribute__((weak));

/* One more death over what is on hand would be held against it. */
void umdev_fault_spare(void) __attribute__((weak));

#define FAULT_VALUE(label, value)                                                                  \
	do {                                                                                       \
		if (umdev_fault_value)                                                             \
			umdev_fault_value(label, value);                                           \
	} while (0)
#define FAULT_POINT(label)                                                                         \
	do {                                                                                       \
		if (umdev_fault_point)                                                             \
			umdev_fault_point(label);                                                  \
	} while (0)
#define FAULT_SPARE()                                                                              \
	do {                                                                                       \
		if (umdev_fault_spare)                                                             \
			umdev_fault_spare();                                                       \
	} while (0)
#else
#define FAULT_POINT(label)	  ((void)0)
#define FAULT_SPARE()		  ((void)0)
#define FAULT_VALUE(label, value) ((void)0)
#endif
