/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The simulator's own meter of ownership, apart from the scheduler's: the integral of dt/N over the
 * time in which N > 0 jobs are in flight, in 2^-40 ns, so that what is cut off adds up to less than
 * a nanosecond over 10^12 events.
 */
#pragma once

#include <stdint.h>

#define METER_BITS 40

typedef unsigned __int128 meter_time;

struct meter {
	uint64_t now_ns;
	uint64_t busy_ns;
	uint32_t in_flight;
	meter_time integral;
};

/* Lets time pass until @now_ns. */
static inline void meter_advance(struct meter *meter, uint64_t now_ns)
{
	uint64_t dt = now_ns - meter->now_ns;

	meter->now_ns = now_ns;
	if (!meter->in_flight || !dt)
		return;
	meter->busy_ns += dt;
	meter->integral += ((meter_time)dt << METER_BITS) / meter->in_flight;
}

/* Nanoseconds, rounded down, and as a fraction. */
static inline uint64_t meter_ns(meter_time time)
{
	return (uint64_t)(time >> METER_BITS);
}

/* As meter_ns(), with what is behind the point. */
static inline double meter_real_ns(meter_time time)
{
	return (double)time * 0x1p-40;
}
