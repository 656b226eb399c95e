/* SPDX-License-Identifier: BSD-3-Clause */
/* Streams, logarithm and exponential. See random.h. */
#include "random.h"

#include <string.h>

#define RANDOM_LN2	 0.693147180559945309417
#define RANDOM_LOG_TERMS 14
#define RANDOM_EXP_TERMS 16

/* splitmix64: neighbouring states give unrelated numbers. */
static uint64_t random_split(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

void random_seed(struct random_stream *r, uint64_t seed, uint64_t index)
{
	uint64_t state = seed;

	state = random_split(&state) ^ index;
	for (unsigned i = 0; i < 4; i++)
		r->s[i] = random_split(&state);
}

double random_log(double x)
{
	uint64_t bits;
	int exponent;
	double f;
	double square;
	double sum = 0;

	memcpy(&bits, &x, sizeof(bits));
	exponent = (int)(bits >> 52) - 1023;
	bits = (bits & 0xfffffffffffffULL) | (1023ULL << 52);
	memcpy(&x, &bits, sizeof(x));
	if (x > 1.4142135623730951) {
		x /= 2;
		exponent++;
	}
	/* log x = 2 artanh((x - 1) / (x + 1)), an odd series whose terms fall by 0.03 here. */
	f = (x - 1) / (x + 1);
	square = f * f;
	for (int n = RANDOM_LOG_TERMS; n >= 0; n--)
		sum = sum * square + 1.0 / (2 * n + 1);
	return 2 * f * sum + exponent * RANDOM_LN2;
}

double random_exp(double x)
{
	int power = (int)(x / RANDOM_LN2 + (x < 0 ? -0.5 : 0.5));
	double rest = x - power * RANDOM_LN2;
	double sum = 1;
	uint64_t bits;
	double scale;

	for (int n = RANDOM_EXP_TERMS; n > 0; n--)
		sum = 1 + rest / n * sum;
	bits = (uint64_t)(power + 1023) << 52;
	memcpy(&scale, &bits, sizeof(scale));
	return sum * scale;
}

double random_exponential(struct random_stream *r)
{
	return -random_log(random_unit(r));
}
