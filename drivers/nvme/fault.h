/* SPDX-License-Identifier: BSD-3-Clause */
/* Labelled steps at which a host that is built for tests (meson -Dfaults=true) may die; nothing
 * otherwise. A host of another kind has no such function. */
#pragma once

#ifdef UMDEV_FAULTS
/* The step of that label was reached; it may be the last. */
void umdev_fault_point(const char *label) __attribute__((weak));

#define FAULT_POINT(label)                                                                         \
	do {                                                                                       \
		if (umdev_fault_point)                                                             \
			umdev_fault_point(label);                                                  \
	} while (0)
#else
#define FAULT_POINT(label) ((void)0)
#endif
