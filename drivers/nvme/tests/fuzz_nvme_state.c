/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzzing of what a controller goes on from: a page that an earlier process left in the middle of
 * its work, with writes to it that no process made. Either it is refused, or the controller goes on
 * from it, serves what it finds, and can be reset.
 *
 * Input: which device and how far it came; the writes, to a member of the page each; what the guest
 * does then.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fuzz/fuzz.h"
#include "guest.h"

#define TURNS	   40u
#define WRITES_MAX 48u

/* Where in the page: members that are alone are met as often as rows of a table. */
static size_t fuzz_place(struct fuzz_input *in)
{
	const size_t cmd = sizeof(struct nvme_state_cmd);
	const size_t sq = sizeof(struct nvme_state_sq);
	const size_t cq = sizeof(struct nvme_state_cq);
	uint8_t how = fuzz_byte(in);

	switch (how & 7) {
	case 0:
		return offsetof(struct nvme_state, features) +
		       fuzz_pick(in, sizeof(struct nvme_state_features));
	case 1:
		return offsetof(struct nvme_state, sq) + (how >> 3 & 3) * sq + fuzz_byte(in) % sq;
	case 2:
		return offsetof(struct nvme_state, cq) + (how >> 3 & 3) * cq + fuzz_byte(in) % cq;
	case 3:
	case 4:
		return offsetof(struct nvme_state, cmds) + (how >> 3 & 15) * cmd +
		       fuzz_byte(in) % cmd;
	case 5:
		return fuzz_pick(in, sizeof(struct nvme_state));
	default:
		return fuzz_byte(in) % offsetof(struct nvme_state, features);
	}
}

static void fuzz_write(struct fuzz_input *in)
{
	size_t at = fuzz_place(in);
	uint8_t how = fuzz_byte(in);
	uint8_t *bytes = (uint8_t *)fake.state;

	for (uint32_t i = 0; i < 1u << (how & 3) && at + i < sizeof(*fake.state); i++) {
		/* A little more or less is as bad as anything. */
		if (how & 4)
			bytes[at + i] = (uint8_t)(bytes[at + i] + (how >> 3) - 16);
		else
			bytes[at + i] = fuzz_byte(in);
	}
}

static struct nvme_sqe fuzz_command(struct fuzz_input *in)
{
	static const uint8_t opcodes[] = {NVME_IO_READ, NVME_IO_WRITE, NVME_IO_FLUSH, 0x08, 0x09};
	uint8_t how = fuzz_byte(in);

	return guest_transfer(opcodes[how % 5], fuzz_byte(in), 1u + (how >> 3),
			      GUEST_BUFFER + fuzz_byte(in) * 0x800u);
}

static void fuzz_turns(uint32_t n)
{
	while (n-- > 0) {
		fake_turn();
		fake.now_ns += 20000;
	}
}

/* A controller in the middle of its work. */
static void fuzz_work(struct fuzz_input *in, uint8_t flags)
{
	uint8_t commands = fuzz_byte(in) % 12;

	guest_enable(16);
	guest_create_pair(1, 16);
	guest_create_pair(2, 4);
	if (flags & 8u && !(flags & 1u))
		guest_shadow();
	if (flags & 16u)
		(void)guest_post(0, guest_command(NVME_ADMIN_ASYNC_EVENT, 0));
	fake.io.stopped = flags & 32u;
	fake.remote_to = flags & 64u ? FAKE_MEMORY : 0;
	for (uint8_t i = 0; i < commands; i++)
		(void)guest_post(1 + (i & 1u) * (commands < 6), fuzz_command(in));
	fuzz_turns(commands > 0 ? fuzz_byte(in) % 8 : 0);
}

static void fuzz_guest(struct fuzz_input *in)
{
	uint8_t how = fuzz_byte(in);
	uint64_t value;

	switch (how % 8) {
	case 0:
	case 1:
		if (guest.q[1].size > 0)
			(void)guest_post(1, fuzz_command(in));
		break;
	case 2:
		(void)guest_post(0, guest_command(fuzz_byte(in) & 0x7f, how >> 7));
		break;
	case 3:
		guest_write32(NVME_DOORBELLS + (how >> 3) * 4u, (uint32_t)fuzz_take(in, 2));
		break;
	case 4:
		value = fuzz_take(in, 2) % 0x1000 & ~7ull;
		fake.driver->region_read(fake.mdev, 0, value, &value, 8);
		break;
	case 5:
		guest_write32((how >> 3) * 4u, (uint32_t)fuzz_take(in, 4));
		break;
	case 6:
		fake.io.stopped = how & 8;
		fake.remote_to = how & 16 ? FAKE_MEMORY : 0;
		break;
	default:
		fuzz_turns(how >> 3);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {.at = data, .left = size};
	struct fake_options options = {.size = 4u << 20};
	uint8_t flags = fuzz_byte(&in);
	uint8_t writes = fuzz_byte(&in) % WRITES_MAX;
	int r;

	options.doorbells = flags & 1u;
	options.interrupts = flags >> 1 & 1u;
	options.queues = flags & 4u ? 3 : 64;
	fake_up(&options);
	if (!(flags & 128u))
		fuzz_work(&in, flags);
	fake_crash();
	for (uint8_t i = 0; i < writes && in.left > 0; i++)
		fuzz_write(&in);
	fake.io.stopped = flags & 32u;
	r = fake_create(&options, UMDEV_STATE_RESUME);
	fuzz_check(r == 0 || (writes > 0 && r == -EBADMSG && fake.failed[0]));
	while (r == 0 && in.left > 0)
		fuzz_guest(&in);
	fake.io.stopped = false;
	if (r == 0)
		fuzz_turns(TURNS);
	fake_down();
	return 0;
}
