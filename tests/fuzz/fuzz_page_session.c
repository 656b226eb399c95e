/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A session on a page that another process left, and that may hold anything.
 *
 * Input: steps of client and device, after which the process dies; which descriptors the keeper has
 * lost, and whether another client waited; what is then written where into the page; steps of the
 * session that goes on from it, if it does. Most of a page is zero, so most writes go to what is
 * not, or near the head.
 */
#include <stddef.h>

#include "rig.h"

#define STEPS_MAX  24
#define WRITES_MAX 24
#define NEXT_FROM  192	 /* writes from which on another client waits */
#define LOOK_BYTES 4096u /* of the DMA table */

/* A place in the page. */
static size_t fuzz_place(struct rig *rig)
{
	const size_t maps = offsetof(struct vfio_page, maps);
	const uint8_t *bytes = (const uint8_t *)rig->page;
	uint8_t how = fuzz_byte(&rig->in);
	size_t wanted;

	switch (how & 3) {
	case 0: /* the head, where most of what counts stands */
		return fuzz_pick(&rig->in, 512);
	case 1: /* anywhere */
		return fuzz_take(&rig->in, 3) % vfio_page_size();
	case 2: /* the first rows of the DMA table */
		return maps + fuzz_pick(&rig->in, 512);
	default: /* the n-th word that is not zero */
		wanted = how >> 2;
		for (size_t at = 0; at < maps + LOOK_BYTES; at += 4) {
			if (memcmp(bytes + at, "\0\0\0", 4) != 0 && wanted-- == 0)
				return at;
		}
		return how;
	}
}

static void fuzz_write(struct rig *rig)
{
	uint8_t *bytes = (uint8_t *)rig->page;
	size_t at = fuzz_place(rig);
	uint32_t len = 1 + fuzz_byte(&rig->in) % 8;

	for (uint32_t i = 0; i < len && at + i < vfio_page_size(); i++)
		bytes[at + i] = fuzz_byte(&rig->in);
}

/* A page of nothing but input. */
static void fuzz_fill(struct rig *rig)
{
	uint8_t *bytes = (uint8_t *)rig->page;

	fuzz_copy(&rig->in, bytes, rig->in.left < 4096 ? rig->in.left : 4096);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct rig rig;
	uint8_t steps;
	uint8_t writes;
	uint8_t lost;

	rig_init(&rig, data, size);
	steps = fuzz_byte(&rig.in);
	writes = fuzz_byte(&rig.in);
	lost = fuzz_byte(&rig.in);
	fuzz_check(rig_start(&rig) == 0);
	if (steps > 0)
		rig_join(&rig);
	for (uint8_t i = 0; rig.in.left > 0 && i < steps % STEPS_MAX; i++)
		rig_step(&rig);
	rig_die(&rig);
	rig_lose(&rig, lost);
	if (writes >= NEXT_FROM)
		rig_wait_next(&rig, writes);
	rig.fresh = false;
	if (steps == 0)
		fuzz_fill(&rig);
	for (uint8_t i = 0; rig.in.left > 0 && i < writes % WRITES_MAX; i++)
		fuzz_write(&rig);
	if (rig_start(&rig) < 0) {
		rig_done(&rig);
		return 0;
	}
	for (uint8_t i = 0; rig.in.left > 0 && i < STEPS_MAX; i++)
		rig_step(&rig);
	rig_leave(&rig);
	rig_done(&rig);
	return 0;
}
