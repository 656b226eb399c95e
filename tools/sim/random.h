/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reproducible random numbers (xoshiro256**), one independent stream per purpose, and the few
 * functions of mathematics that distributions need. These use nothing but sums, products and
 * quotients, so the same seed gives the same bits on every machine. Not for secrets.
 */
#pragma once

#include <stdint.h>

struct random_stream {
	uint64_t s[4];
};

/* Makes @r the stream number @index of @seed. Streams of different numbers have nothing in
 * common. */
void random_seed(struct random_stream *r, uint64_t seed, uint64_t index);

/* The next 64 bits. */
static inline uint64_t random_next(struct random_stream *r)
{
	uint64_t *s = r->s;
	uint64_t product = s[1] * 5;
	uint64_t result = ((product << 7) | (product >> 57)) * 9;
	uint64_t shifted = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= shifted;
	s[3] = (s[3] << 45) | (s[3] >> 19);
	return result;
}

/* Evenly spread over 0 < x <= 1, in steps of 2^-53. */
static inline double random_unit(struct random_stream *r)
{
	return (double)((random_next(r) >> 11) + 1) * 0x1p-53;
}

/* Exponentially distributed, of mean 1; at most 36.8. */
double random_exponential(struct random_stream *r);

/* The natural logarithm of a normal @x > 0, and the power of e, both within 1e-14 relative or
 * absolute, whichever is larger; @x of the latter within -700..700. */
double random_log(double x);
double random_exp(double x);
