/* SPDX-License-Identifier: BSD-3-Clause */
/* See fuzz-clock.h. */
#include "fuzz-clock.h"

#include <time.h>

#define CLOCK_START_NS 1000000000u
#define CLOCK_SECOND   1000000000u

/* While it is not 0: the only time there is. */
static _Thread_local uint64_t clock_now;

int __real_clock_gettime(clockid_t clock, struct timespec *ts);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ts);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
	if (clock_now == 0)
		return __real_clock_gettime(clock, ts);
	ts->tv_sec = (time_t)(clock_now / CLOCK_SECOND);
	ts->tv_nsec = (long)(clock_now % CLOCK_SECOND);
	return 0;
}

void fuzz_clock_start(void)
{
	clock_now = CLOCK_START_NS;
}

void fuzz_clock_pass(uint64_t ns)
{
	clock_now += ns;
}

void fuzz_clock_stop(void)
{
	clock_now = 0;
}
