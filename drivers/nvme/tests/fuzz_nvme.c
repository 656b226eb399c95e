/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzzing of a controller by its guest: the input is a program of register writes, writes to guest
 * memory where rings, lists and data lie, doorbells, resets, and deaths of the process, after which
 * the state page may be damaged. The fake host checks its rules all the while.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "driver.h"
#include "fuzz/fuzz.h"
#include "guest.h"

#define TURNS 40u

/* A place in guest memory that matters. */
static uint64_t fuzz_place(struct fuzz_input *in)
{
	static const uint64_t places[] = {GUEST_ADMIN_SQ, GUEST_ADMIN_CQ,	 GUEST_SHADOW,
					  GUEST_EVENTIDX, GUEST_RINGS + 0x20000, GUEST_BUFFER,
					  GUEST_LISTS,	  GUEST_LISTS + 0xff0};

	return places[fuzz_take(in, 1) % 8] + fuzz_take(in, 2) % 0x2000;
}

/* A command whose every field is the input's, but which points at memory more often than chance
 * would. */
static void fuzz_command(struct fuzz_input *in)
{
	uint32_t qid = (uint32_t)fuzz_take(in, 1) % 4;
	struct nvme_sqe sqe;
	uint8_t shape = (uint8_t)fuzz_take(in, 1);

	for (uint32_t i = 0; i < sizeof(sqe); i += 4) {
		uint32_t word = 0;

		if (shape >> (i / 8) & 1u)
			word = (uint32_t)fuzz_take(in, 4);
		memcpy((uint8_t *)&sqe + i, &word, 4);
	}
	sqe.opcode = (uint8_t)fuzz_take(in, 1) & 0x7f;
	if (!(shape & 1u))
		sqe.nsid = 1;
	if (!(shape & 8u))
		sqe.prp1 = fuzz_place(in);
	if (!(shape & 16u))
		sqe.prp2 = fuzz_place(in);
	if (guest.q[qid].size > 0)
		guest_post(qid, sqe);
}

static void fuzz_memory(struct fuzz_input *in)
{
	uint64_t at = fuzz_place(in);
	uint32_t n = (uint32_t)fuzz_take(in, 1) % 64;

	for (uint32_t i = 0; i < n; i++)
		fake.memory[at + i] = (uint8_t)fuzz_take(in, 1);
}

static void fuzz_turns(uint32_t n)
{
	while (n-- > 0) {
		fake_turn();
		fake.now_ns += 20000;
	}
}

static void fuzz_reset(uint32_t kind)
{
	uint32_t before = fake.resets_done;

	if (fake.driver->reset(fake.mdev, kind % 3) != -EINPROGRESS)
		return;
	while (fake.resets_done == before)
		fake_turn();
}

/* Another process takes over, perhaps from a page that is not as it was. */
static void fuzz_resume(struct fuzz_input *in, const struct fake_options *options)
{
	uint32_t n = (uint32_t)fuzz_take(in, 1) % 8;

	fake_crash();
	for (uint32_t i = 0; i < n; i++) {
		size_t at = (size_t)fuzz_take(in, 3) % sizeof(*fake.state);

		((uint8_t *)fake.state)[at] = (uint8_t)fuzz_take(in, 1);
	}
	if (fake_create(options, UMDEV_STATE_RESUME) == 0)
		return;
	memset(fake.state, 0, sizeof(*fake.state));
	assert_int_equal(fake_create(options, UMDEV_STATE_NEW), 0);
	memset(&guest, 0, sizeof(guest));
}

static void fuzz_step(struct fuzz_input *in, const struct fake_options *options)
{
	uint64_t stats[NVME_STAT_COUNT];
	uint8_t value[8] = {0};
	uint64_t word;

	switch (fuzz_take(in, 1) % 12) {
	case 0:
	case 1:
	case 2:
		fuzz_command(in);
		break;
	case 3:
		fuzz_memory(in);
		break;
	case 4:
		guest_write32(fuzz_take(in, 1) % 64 & ~3ull, (uint32_t)fuzz_take(in, 4));
		break;
	case 5:
		guest_write32(NVME_DOORBELLS + (fuzz_take(in, 1) & ~3ull),
			      (uint32_t)fuzz_take(in, 2));
		break;
	case 6:
		word = fuzz_take(in, 2) % 0x1ff8;
		fake.driver->region_read(fake.mdev, 0, word & ~7ull, value, 8);
		memcpy(value, &word, 8);
		fake.driver->region_write(fake.mdev, 0, word & ~7ull, value, 8);
		break;
	case 7:
		fuzz_turns((uint32_t)fuzz_take(in, 1) % TURNS);
		break;
	case 8:
		fuzz_reset((uint32_t)fuzz_take(in, 1));
		break;
	case 9:
		fake.remote_from = fuzz_place(in) & ~0xfffull;
		fake.remote_to = fake.remote_from + (fuzz_take(in, 1) << 16);
		fake.split = fuzz_take(in, 1) & 1 ? 2048 : 0;
		break;
	case 10:
		fuzz_resume(in, options);
		break;
	default:
		fake.level_mode = fuzz_take(in, 1) & 1;
		fake.io.stopped = fuzz_take(in, 1) & 1;
		fake.driver->stats_get(fake.mdev, stats);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {.at = data, .left = size};
	struct fake_options options = {.size = 4u << 20};
	uint8_t flags = (uint8_t)fuzz_take(&in, 1);

	options.doorbells = flags & 1u;
	options.interrupts = flags >> 1 & 1u;
	options.queues = flags & 4u ? 3 : 64;
	fake_up(&options);
	guest_enable(16);
	guest_create_pair(1, 16);
	guest_create_pair(2, 4);
	if (flags & 8u && !(flags & 1u))
		guest_shadow();
	while (in.left > 0)
		fuzz_step(&in, &options);
	fake.io.stopped = false;
	fuzz_turns(TURNS);
	fake_down();
	return 0;
}
