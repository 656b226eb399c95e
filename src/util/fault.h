/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Labelled steps at which a build for tests (meson -Dfaults=true) kills its process. In any other
 * build FAULT_POINT() is nothing.
 *
 * UMDEV_FAULTS in the environment: "SEED LABEL LABEL ...". Each process chooses one of the labels
 * and how often it passes it before it dies there, both by SEED and its own number, and says so in
 * one line on stderr: "fault: LABEL". Three of four let some time pass before they count; with
 * "SEED!" none does, for steps that are passed early or never.
 *
 * A client over one request of which, or over one command, hosts die again and again pays for it.
 * Deaths by chance are nobody's fault, so the last host that may die over such a thing is spared
 * for a while: FAULT_SPARE().
 *
 * UMDEV_FAULT_VALUE="LABEL NUMBER [STEP]": each process dies when it passes that FAULT_VALUE() with
 * that number, or at the next FAULT_POINT() STEP, as it would of a request that is its death.
 */
#pragma once

#include <stdint.h>

#ifdef UMDEV_FAULTS

/* A step was reached. Kills the process if it is the chosen one. Drivers find it in the host. */
__attribute__((visibility("default"))) void umdev_fault_point(const char *label);

/* A step was reached with that number. Kills the process if the two are those of the environment.
 */
__attribute__((visibility("default"))) void umdev_fault_value(const char *label, uint64_t value);

/* The process does not die by chance for the next two seconds. */
__attribute__((visibility("default"))) void umdev_fault_spare(void);

#define FAULT_POINT(label) umdev_fault_point(label)
#define FAULT_SPARE()	   umdev_fault_spare()
#else
#define FAULT_POINT(label) ((void)0)
#define FAULT_SPARE()	   ((void)0)
#endif
