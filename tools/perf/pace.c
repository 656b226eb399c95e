/* SPDX-License-Identifier: BSD-3-Clause */
/* Arrival times. See pace.h. */
#include "pace.h"

#include <math.h>

#include "random.h"
#include "util/clock.h"

/* Exponentially distributed with an average of 1; below 37, since 53 bits are drawn. */
static double pace_draw(struct pace *pace)
{
	double u = (double)(random_next(&pace->rng) >> 11) * 0x1p-53;

	return -log1p(-u);
}

static void pace_place(struct pace *pace)
{
	double offset = pace->poisson ? pace->offset_ns : (double)pace->steps * pace->interval_ns;

	/* Centuries from now is never. */
	pace->next_ns = offset < 0x1p62 ? pace->begin_ns + (uint64_t)offset : UINT64_MAX;
}

void pace_begin(struct pace *pace, double rate, bool poisson, uint64_t seed, uint64_t begin_ns)
{
	*pace = (struct pace){
		.interval_ns = (double)NS_PER_S / rate,
		.poisson = poisson,
		.rng = random_mix(seed),
		.begin_ns = begin_ns,
	};
	if (poisson)
		pace->offset_ns = pace_draw(pace) * pace->interval_ns;
	pace_place(pace);
}

void pace_step(struct pace *pace)
{
	pace->steps++;
	if (pace->poisson)
		pace->offset_ns += pace_draw(pace) * pace->interval_ns;
	pace_place(pace);
}
