/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * When commands of an open loop are due: at a rate, whatever becomes of the ones before.
 *
 * Pure: the same seed gives the same times. Times do not drift: a thousand steps at a thousand a
 * second take one second.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PACE_RATE_MIN 0.001 /* a second */
#define PACE_RATE_MAX 1e9

struct pace {
	double interval_ns; /* on average */
	bool poisson;
	uint64_t rng;
	uint64_t begin_ns;
	uint64_t steps;	  /* so far */
	double offset_ns; /* poisson: sum of the intervals so far */
	uint64_t next_ns; /* when the next command is due */
};

/*
 * @rate arrivals a second, PACE_RATE_MIN to PACE_RATE_MAX, the first of them due at @begin_ns when
 * they are evenly spaced; with @poisson, at random times that do not depend on each other.
 */
void pace_begin(struct pace *pace, double rate, bool poisson, uint64_t seed, uint64_t begin_ns);

/* Goes on to the arrival after next_ns. */
void pace_step(struct pace *pace);
