/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A session with a hostile client. Sanitizers, the contract of the session's ops and the rules of
 * its page are the judges; at the end nothing may be left of the client.
 *
 * Input: steps of client and device (rig-client.c).
 */
#include "rig.h"

#define STEPS_MAX 96

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct rig rig;
	bool abrupt;

	rig_init(&rig, data, size);
	abrupt = fuzz_byte(&rig.in) & 1;
	fuzz_check(rig_start(&rig) == 0);
	rig_join(&rig);
	for (int step = 0; rig.in.left > 0 && step < STEPS_MAX; step++)
		rig_step(&rig);
	if (!abrupt)
		rig_leave(&rig);
	rig_done(&rig);
	return 0;
}
