/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device that its client can move, and a client that does: states, streams, logs of what was
 * written. See rig.h.
 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/fd.h"

#include "rig-internal.h"

#define RIG_CHECKED 16u /* bytes of a stream that tell whether it is the device's */

/* ---- The device */

void rig_ended(struct rig *rig, int status)
{
	if (status == 0 && rig->pending == RIG_RESTS)
		rig->rests = true;
	if (status == 0 && rig->pending == RIG_LOADED)
		rig->half = false;
	rig->pending = RIG_NOTHING;
}

/* Does what may take time: now, later, or not at all. */
static int rig_begin(struct rig *rig, enum rig_effect effect)
{
	fuzz_check(!rig->busy && !rig->losing && rig->pending == RIG_NOTHING);
	rig->pending = effect;
	rig->busy = rig->access_result == -EINPROGRESS;
	if (!rig->busy)
		rig_ended(rig, rig->access_result);
	return rig->access_result;
}

int rig_rest(void *device)
{
	struct rig *rig = device;

	return rig_begin(rig, RIG_RESTS);
}

int rig_wake(void *device)
{
	struct rig *rig = device;

	fuzz_check(!rig->busy && !rig->losing);
	fuzz_check(!rig->fresh || !rig->half);
	if (rig->access_result == -EIO)
		return -EIO;
	rig->rests = false;
	return 0;
}

int rig_save(void *device, int *ret_fd, uint64_t *ret_size)
{
	struct rig *rig = device;
	uint8_t bytes[RIG_STREAM_MAX];
	uint64_t size = rig->access_result == -EINVAL ? 0 : sizeof(bytes);

	fuzz_check(!rig->busy && !rig->losing && (!rig->fresh || (rig->rests && !rig->half)));
	if (rig->access_result == -EIO)
		return -EIO;
	memset(bytes, 's', sizeof(bytes));
	*ret_fd = fd_memfd("fuzz", size);
	fuzz_check(*ret_fd >= 0);
	fuzz_check(pwrite(*ret_fd, bytes, size, 0) == (ssize_t)size);
	*ret_size = size;
	return 0;
}

/* What is there of a stream; its beginning tells whether it is the device's. */
static int rig_look_at_stream(const struct rig *rig, int fd, uint64_t size)
{
	uint8_t first = 's';
	struct stat st;

	if (rig->fresh) {
		fuzz_check(size <= RIG_STREAM_MAX);
		fuzz_check(fstat(fd, &st) == 0 && (uint64_t)st.st_size >= size);
	}
	if (size > 0 && pread(fd, &first, 1, 0) != 1)
		return -EIO;
	return first == 's' ? 0 : -EINVAL;
}

int rig_check(void *device, int fd, uint64_t size)
{
	const struct rig *rig = device;
	int r = rig_look_at_stream(rig, fd, size);

	fuzz_check(!rig->busy && !rig->losing);
	return r == 0 && size >= RIG_CHECKED ? 1 : r;
}

int rig_load(void *device, int fd, uint64_t size)
{
	struct rig *rig = device;
	int r = rig_look_at_stream(rig, fd, size);

	/* What was checked as it came is right, or too short. */
	fuzz_check(!rig->fresh || (rig->rests && r == 0));
	rig->half = true;
	return r < 0 || size < RIG_CHECKED ? -EINVAL : rig_begin(rig, RIG_LOADED);
}

void rig_runs(struct rig *rig)
{
	rig->rests = false;
	rig->half = false;
	rig->pending = RIG_NOTHING;
}

/* ---- The client */

struct rig_feature {
	struct wire_feature head;
	union {
		struct wire_device_state state;
		struct wire_logging_report report;
		struct {
			struct wire_logging_start start;
			struct wire_logging_range ranges[3];
		} log;
		uint8_t bytes[64];
	};
};

static void rig_feature(struct rig *rig, struct rig_feature *body, uint32_t flags, size_t len)
{
	body->head.argsz = sizeof(*body);
	body->head.flags = flags;
	rig_command(rig, WIRE_DEVICE_FEATURE, body, sizeof(body->head) + len);
}

/* Asks for a state, or which it is. */
static void rig_step_state(struct rig *rig, uint8_t how)
{
	struct rig_feature body = {.state = {.state = how % 6, .data_fd = -1}};
	uint32_t way = how & 64 ? WIRE_FEATURE_GET : WIRE_FEATURE_SET;

	rig_feature(rig, &body, way | WIRE_FEATURE_STATE, sizeof(body.state));
}

static void rig_step_log(struct rig *rig, uint8_t how)
{
	struct rig_feature body = {0};

	body.log.start.page_size = 512ull << fuzz_byte(&rig->in) % 16;
	body.log.start.num_ranges = how & 7;
	for (uint32_t i = 0; i < 3; i++) {
		body.log.ranges[i].iova = (uint64_t)fuzz_byte(&rig->in) * 4096;
		body.log.ranges[i].length = (uint64_t)fuzz_byte(&rig->in) * 4096;
	}
	rig_feature(rig, &body, WIRE_FEATURE_SET | WIRE_FEATURE_LOG_START,
		    how & 8 ? sizeof(body.log.start) : sizeof(body.log));
}

static void rig_step_report(struct rig *rig, uint8_t how)
{
	struct rig_feature body = {0};

	body.report.page_size = 512ull << fuzz_byte(&rig->in) % 16;
	body.report.iova = (uint64_t)fuzz_byte(&rig->in) * 4096;
	body.report.length = fuzz_take(&rig->in, how & 1 ? 1 : 6) * 4096;
	if (how & 2)
		body.report.iova <<= 50;
	body.head.argsz = sizeof(body);
	body.head.flags = WIRE_FEATURE_GET | WIRE_FEATURE_LOG_REPORT;
	/* Room for the answer, or not. */
	if (how & 4)
		body.head.argsz = (uint32_t)fuzz_take(&rig->in, 3);
	rig_command(rig, WIRE_DEVICE_FEATURE, &body, sizeof(body.head) + sizeof(body.report));
}

/* Any other, rightly or wrongly put. */
static void rig_step_other(struct rig *rig, uint8_t how)
{
	struct rig_feature body = {0};
	size_t len = fuzz_byte(&rig->in) % sizeof(body.bytes);

	fuzz_copy(&rig->in, body.bytes, how & 8 ? len : 0);
	rig_feature(rig, &body, (uint32_t)(how >> 4) << 16 | how % 10, len);
}

/* A piece of a stream, from or to the device. */
static void rig_step_data(struct rig *rig, uint8_t how)
{
	struct {
		uint32_t argsz;
		uint32_t size;
		uint8_t bytes[RIG_STREAM_MAX];
	} body = {0};
	uint32_t size = (uint32_t)fuzz_take(&rig->in, how & 2 ? 4 : 1);

	if (!(how & 4))
		size %= sizeof(body.bytes) + 1;
	memset(body.bytes, how & 8 ? 'x' : 's', sizeof(body.bytes));
	body.argsz = how & 16 ? fuzz_byte(&rig->in) : 8 + size;
	body.size = size;
	if (how & 1)
		rig_command(rig, WIRE_MIG_DATA_READ, &body, 8);
	else
		rig_command(rig, WIRE_MIG_DATA_WRITE, &body,
			    8 + (size < sizeof(body.bytes) ? size : sizeof(body.bytes)));
}

void rig_step_move(struct rig *rig, uint8_t what)
{
	static void (*const steps[])(struct rig *, uint8_t) = {rig_step_state, rig_step_data,
							       rig_step_state, rig_step_data,
							       rig_step_log,   rig_step_report,
							       rig_step_other};

	steps[what % (sizeof(steps) / sizeof(steps[0]))](rig, fuzz_byte(&rig->in));
}
