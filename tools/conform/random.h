/* SPDX-License-Identifier: BSD-3-Clause */
/* Fast reproducible random numbers; not for secrets. */
#pragma once

#include <stdint.h>

/* A bijective mix of 64 bits in which every input bit changes about half of the output. */
static inline uint64_t random_mix(uint64_t x)
{
	x ^= x >> 32;
	x *= 0x9e3779b97f4a7c15ULL;
	x ^= x >> 29;
	x *= 0xd6e8feb86659fd93ULL;
	x ^= x >> 32;
	return x;
}

/* The next number of the sequence that *@state stands for. Any state is fine. */
static inline uint64_t random_next(uint64_t *state)
{
	*state += 0xa0761d6478bd642fULL;
	return random_mix(*state);
}

/* A number in 0..@bound-1, evenly spread; @bound above 0. */
static inline uint64_t random_below(uint64_t *state, uint64_t bound)
{
	return (uint64_t)(((unsigned __int128)random_next(state) * bound) >> 64);
}
