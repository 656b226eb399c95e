/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest over vfio-user. See guest.h. */
#include "guest.h"

#include <poll.h>
#include <string.h>

#include "perf/random.h"
#include "regs.h"
#include "util/clock.h"

#define GUEST_IOVA	  (1ULL << 32)
#define GUEST_TIMEOUT_NS  (10 * NS_PER_S)
#define GUEST_COMMAND	  0x04u
#define GUEST_CLASS	  0x08u
#define GUEST_COMMAND_ON  0x0007u /* I/O, memory, bus master */
#define GUEST_ARENA_BYTES (2u * WORK_MEMORY)

static int guest_look(struct guest *g, struct umdev_error *err)
{
	uint16_t command = GUEST_COMMAND_ON;
	uint32_t revision = 0;
	int r = client_write(&g->client, PROTO_REGION_CONFIG, GUEST_COMMAND, &command,
			     sizeof(command), err);

	if (r == 0)
		r = client_read(&g->client, PROTO_REGION_CONFIG, GUEST_CLASS, &revision,
				sizeof(revision), err);
	g->class_code = revision >> 8;
	for (uint32_t i = 0; r == 0 && i < UMDEV_BAR_COUNT; i++) {
		struct client_region region = {.fd = -1};

		r = client_region_info(&g->client, i, &region, err);
		if (r == 0 && region.fd >= 0)
			close(region.fd);
		g->bar_sizes[i] = region.size;
	}
	return r;
}

bool guest_try(struct guest *guest, struct kit *kit, const json_t *mdev, struct umdev_error *err)
{
	const char *path = json_string_value(json_object_get(mdev, "socket"));
	int r;

	memset(guest, 0, sizeof(*guest));
	guest->kit = kit;
	guest->arena.fd = -1;
	if (!path) {
		error_set(err, ERROR_NOT_ACTIVE, "the mdev has no socket");
		return false;
	}
	r = arena_init(&guest->arena, GUEST_IOVA, GUEST_ARENA_BYTES, err);
	if (r == 0)
		r = client_connect(&guest->client, path, GUEST_TIMEOUT_NS, err);
	if (r < 0) {
		arena_done(&guest->arena);
		return false;
	}
	guest->connected = true;
	r = client_negotiate(&guest->client, err);
	if (r == 0)
		r = client_map(&guest->client, &guest->arena, err);
	if (r == 0)
		r = guest_look(guest, err);
	if (r < 0)
		guest_leave(guest);
	return r == 0;
}

void guest_connect(struct guest *guest, struct kit *kit, const json_t *mdev)
{
	uint64_t end_ns = clock_now_ns() + GUEST_TIMEOUT_NS;
	struct umdev_error err = {0};

	while (!guest_try(guest, kit, mdev, &err)) {
		if (clock_now_ns() > end_ns)
			verdict_fail("no client can connect: %s", err.message);
		(void)poll(NULL, 0, 20);
	}
}

void guest_leave(struct guest *guest)
{
	if (!guest->connected)
		return;
	work_free(guest->work);
	guest->work = NULL;
	client_close(&guest->client);
	arena_done(&guest->arena);
	guest->connected = false;
}

/* ---- Registers ---- */

/* Without a session there is nothing left to check. */
static void guest_must(int r, const char *what, uint64_t offset, const struct umdev_error *err)
{
	if (r == -ECONNRESET || r == -ETIMEDOUT || r == -EPROTO)
		verdict_fail("%s at offset 0x%llx ended the session: %s", what,
			     (unsigned long long)offset, err->message);
}

void guest_read(struct guest *guest, struct guest_regs *ret_regs)
{
	struct umdev_error err = {0};

	memset(ret_regs, 0, sizeof(*ret_regs));
	for (uint32_t bar = 0; bar < UMDEV_BAR_COUNT; bar++) {
		uint64_t size = MIN(guest->bar_sizes[bar], (uint64_t)GUEST_BYTES);

		for (uint64_t at = 0; at + 4 <= size; at += 4)
			guest_must(client_read(&guest->client, bar, at, &ret_regs->bytes[bar][at],
					       4, &err),
				   "a read", at, &err);
	}
}

void guest_touch(struct guest *guest, uint64_t *seed, uint32_t count)
{
	struct umdev_error err = {0};

	for (uint32_t i = 0; i < count; i++) {
		uint32_t bar = (uint32_t)random_below(seed, UMDEV_BAR_COUNT);
		uint64_t value = regs_value(seed);
		uint64_t at;

		if (guest->bar_sizes[bar] < 4)
			continue;
		at = random_below(seed, MIN(guest->bar_sizes[bar], (uint64_t)64)) & ~UINT64_C(3);
		guest_must(client_write(&guest->client, bar, at, &value, 4, &err), "a write", at,
			   &err);
	}
}

/* ---- Work ---- */

static int guest_work_read(void *arg, uint32_t bar, uint64_t offset, void *buf, uint32_t len)
{
	struct guest *g = arg;
	struct umdev_error err;

	return client_read(&g->client, bar, offset, buf, len, &err);
}

static int guest_work_write(void *arg, uint32_t bar, uint64_t offset, const void *buf, uint32_t len)
{
	struct guest *g = arg;
	struct umdev_error err;

	return client_write(&g->client, bar, offset, buf, len, &err);
}

static void guest_work_pass(void *arg)
{
	struct guest *g = arg;
	struct umdev_error err;

	(void)poll(NULL, 0, 1);
	(void)!client_service(&g->client, &err);
}

const char *guest_work(struct guest *guest)
{
	struct work_device device = {
		.read = guest_work_read,
		.write = guest_work_write,
		.pass = guest_work_pass,
		.arg = guest,
		.class_code = guest->class_code,
		.driver = guest->kit->options->name,
	};
	const char *reason = NULL;

	device.memory = arena_alloc(&guest->arena, WORK_MEMORY, &device.iova);
	if (!device.memory)
		return "out of memory";
	guest->work = work_new(&device, guest->kit->options, &reason);
	return guest->work ? work_begin(guest->work) : reason;
}
