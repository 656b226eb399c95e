/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A session with a hostile client. Sanitizers, the contract of the session's ops and the rules of
 * its page are the judges; at the end nothing may be left of the client. The device may be one
 * that was restored and waits.
 *
 * Input: steps of client and device (rig-client.c).
 */
#include "rig.h"

#define STEPS_MAX 96

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct rig rig;
	uint8_t how;

	rig_init(&rig, data, size);
	how = fuzz_byte(&rig.in);
	if (how & 128) {
		vfio_page_await(rig.page);
		rig.rests = true;
	}
	fuzz_check(rig_start(&rig) == 0);
	rig_join(&rig);
	for (int step = 0; rig.in.left > 0 && step < STEPS_MAX; step++)
		rig_step(&rig);
	if (!(how & 1))
		rig_leave(&rig);
	rig_done(&rig);
	return 0;
}
