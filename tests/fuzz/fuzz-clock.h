/* SPDX-License-Identifier: BSD-3-Clause */
/* The clock of a target: made up, so that nothing depends on how fast the machine is. The program
 * is linked with -Wl,--wrap=clock_gettime. */
#pragma once

#include <stdint.h>

/* From now on, for this thread, time stands still unless it is moved. */
void fuzz_clock_start(void);
void fuzz_clock_pass(uint64_t ns);

/* The thread has the clock that everybody has. */
void fuzz_clock_stop(void);
