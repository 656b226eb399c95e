/* SPDX-License-Identifier: BSD-3-Clause */
/* See rig.h. The steps of the client are in rig-client.c. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/fd.h"

#include "fuzz-clock.h"
#include "rig-internal.h"

#define RIG_MEMORY 65536

void rig_pass(struct rig *rig, uint64_t ns)
{
	fuzz_clock_pass(ns);
	rig_turn(rig);
}

/* ---- The device ---- */

static int rig_access(void *device, uint32_t region, bool write, uint64_t offset, void *buf,
		      uint32_t count)
{
	struct rig *rig = device;

	fuzz_check(region < VFIO_REGION_COUNT && count >= 1 && count <= WIRE_TRANSFER_MAX);
	fuzz_check(rig->info.regions[region].size >= count &&
		   offset <= rig->info.regions[region].size - count);
	fuzz_check(!rig->busy && !rig->losing);
	fuzz_check(vfio_session_access_id(rig->session) != 0);
	if (!write) {
		memset(buf, 0x5a, count);
		return rig->access_result == -EINPROGRESS ? 0 : rig->access_result;
	}
	memcpy(rig->buf, buf, count < sizeof(rig->buf) ? count : sizeof(rig->buf));
	/* As a function level reset. */
	if (region == VFIO_REGION_CONFIG && rig->buf[0] == 0xf1) {
		rig->busy = true;
		return -EINPROGRESS;
	}
	if (rig->buf[0] == 0xe0)
		vfio_session_expel(rig->session, "expelled");
	return rig->access_result == -EINPROGRESS ? 0 : rig->access_result;
}

static int rig_reset(void *device)
{
	struct rig *rig = device;

	fuzz_check(!rig->busy && !rig->losing);
	if (rig->access_result == 0 || rig->access_result == -EINPROGRESS)
		rig_runs(rig);
	rig->busy = rig->access_result == -EINPROGRESS;
	return rig->access_result;
}

static void rig_drop(void *device, uint32_t slot)
{
	struct rig *rig = device;

	fuzz_check(slot < VFIO_SLOT_COUNT);
	for (uint32_t i = 0; i < rig->kept_count; i++) {
		if (rig->kept[i].slot != slot)
			continue;
		close(rig->kept[i].fd);
		rig->kept[i] = rig->kept[--rig->kept_count];
		return;
	}
}

int rig_keep(void *device, uint32_t slot, int fd)
{
	struct rig *rig = device;

	fuzz_check(slot < VFIO_SLOT_COUNT && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	if (rig->keep_fails > 0 && --rig->keep_fails == 0)
		return -ETIMEDOUT;
	rig_drop(device, slot);
	if (rig->kept_count == RIG_KEPT)
		return -EDQUOT;
	rig->kept[rig->kept_count].slot = slot;
	rig->kept[rig->kept_count++].fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return 0;
}

static int rig_admit(void *device, const struct ucred *peer, struct umdev_error *err)
{
	struct rig *rig = device;

	fuzz_check(!rig->fresh || peer->pid == getpid());
	return rig->ask ? -EINPROGRESS : 0;
}

static void rig_left(void *device)
{
	struct rig *rig = device;

	fuzz_check(!rig->busy && !rig->losing);
}

static void rig_resumed(void *device, const struct ucred *peer, bool joined)
{
	struct rig *rig = device;

	fuzz_check(!rig->busy && !rig->losing);
	fuzz_check(!rig->fresh || peer->pid == getpid());
}

static void rig_joined(void *device, const struct ucred *peer)
{
	const struct rig *rig = device;

	fuzz_check(!rig->fresh || peer->pid == getpid());
}

static int rig_lost(void *device, const char *reason)
{
	struct rig *rig = device;

	fuzz_check(!rig->busy && !rig->losing && reason[0]);
	/* One that waits for its first client waits on. */
	if (!vfio_session_waits(rig->session))
		rig_runs(rig);
	if (!rig->has_hold)
		return 0;
	rig->losing = true;
	return -EINPROGRESS;
}

static void rig_refused(void *device, const char *reason)
{
	fuzz_check(reason[0] != '\0' && !strchr(reason, '\n'));
}

static const struct vfio_session_ops rig_ops = {
	.region_access = rig_access,
	.reset = rig_reset,
	.keep = rig_keep,
	.drop = rig_drop,
	.admit = rig_admit,
	.left = rig_left,
	.resumed = rig_resumed,
	.joined = rig_joined,
	.lost = rig_lost,
	.rest = rig_rest,
	.wake = rig_wake,
	.save = rig_save,
	.load = rig_load,
	.check = rig_check,
	.refused = rig_refused,
};

void rig_complete(struct rig *rig, int status)
{
	rig->busy = false;
	rig->losing = false;
	rig_ended(rig, status);
	vfio_session_complete(rig->session, status);
	rig_turn(rig);
}

void rig_hold(struct rig *rig)
{
	if (rig->has_hold)
		vfio_dma_release(rig->session, rig->hold);
	else
		rig->hold = vfio_dma_hold(rig->session);
	rig->has_hold = !rig->has_hold;
	rig_turn(rig);
}

static void rig_dma_done(void *arg, int status)
{
	struct rig *rig = arg;

	fuzz_check(rig->transfers > 0 && status <= 0);
	rig->transfers--;
}

void rig_dma(struct rig *rig)
{
	uint64_t iova = (uint64_t)fuzz_byte(&rig->in) * 512;
	uint64_t len = (uint64_t)fuzz_byte(&rig->in) * 32;
	uint8_t how = fuzz_byte(&rig->in);
	struct iovec iov[4];
	int n = vfio_dma_translate(rig->session, iova, len, 1 + how % 3, iov, 4);

	fuzz_check(n <= 4);
	for (int i = 0; i < n && how & 4; i++) {
		if ((1 + how % 3) & WIRE_DMA_MAP_WRITE)
			memset(iov[i].iov_base, 0x33, iov[i].iov_len);
		else
			memcpy(rig->buf, iov[i].iov_base, iov[i].iov_len);
	}
	if (how & 8)
		rig->transfers += vfio_dma_read(rig->session, iova, rig->buf, len, rig_dma_done,
						rig) == -EINPROGRESS;
	if (how & 16)
		rig->transfers += vfio_dma_write(rig->session, iova, rig->buf, len, rig_dma_done,
						 rig) == -EINPROGRESS;
	rig_turn(rig);
}

/* ---- Its life ---- */

static int rig_listen(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* A name in the abstract space, of the kernel's choice. */
	fuzz_check(fd >= 0 && bind(fd, (struct sockaddr *)&addr, sizeof(sa_family_t)) == 0);
	fuzz_check(listen(fd, 8) == 0);
	return fd;
}

/* Which descriptors are open. */
static void rig_look_at_fds(bool open[RIG_FDS_MAX])
{
	for (int fd = 0; fd < RIG_FDS_MAX; fd++)
		open[fd] = fcntl(fd, F_GETFD) >= 0;
}

void rig_init(struct rig *rig, const uint8_t *data, size_t size)
{
	/* libFuzzer's own handler would get what ours passes on. */
	signal(SIGBUS, SIG_DFL);
	memset(rig, 0, sizeof(*rig));
	rig_look_at_fds(rig->open);
	fuzz_clock_start();
	rig->in = (struct fuzz_input){.at = data, .left = size};
	rig->reactor = reactor_new();
	rig->client = -1;
	rig->next = -1;
	rig->event = -1;
	rig->fresh = true;
	rig->memory = memfd_create("fuzz", MFD_CLOEXEC);
	rig->page = mmap(NULL, vfio_page_size(), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	fuzz_check(rig->reactor && rig->memory >= 0 && rig->page != MAP_FAILED);
	fuzz_check(ftruncate(rig->memory, RIG_MEMORY) == 0);
	for (uint32_t i = 0; i < VFIO_REGION_COUNT; i++)
		rig->info.regions[i].fd = -1;
	rig->info.name = "fuzzed";
	rig->info.regions[0] = (struct vfio_region){
		.size = RIG_BAR_SIZE,
		.flags = VFIO_REGION_READABLE | VFIO_REGION_WRITABLE | VFIO_REGION_MAPPABLE,
		.area_count = 1,
		.areas = {{4096, 4096}},
		.fd = rig->memory,
	};
	rig->info.regions[1].size = 64;
	rig->info.regions[1].flags = VFIO_REGION_READABLE;
	rig->info.regions[2].size = 8;
	rig->info.regions[2].flags = VFIO_REGION_WRITABLE;
	rig->info.regions[VFIO_REGION_CONFIG].size = 256;
	rig->info.regions[VFIO_REGION_CONFIG].flags = VFIO_REGION_READABLE | VFIO_REGION_WRITABLE;
	rig->info.stream_max = RIG_STREAM_MAX;
	rig->info.irq_counts[VFIO_IRQ_INTX] = 1;
	rig->info.irq_counts[VFIO_IRQ_MSI] = 4;
	rig->info.irq_counts[VFIO_IRQ_MSIX] = 16;
	rig->info.irq_counts[VFIO_IRQ_ERR] = 1;
	rig->listener = rig_listen();
}

int rig_start(struct rig *rig)
{
	struct vfio_kept kept[RIG_KEPT];
	uint32_t count = rig->kept_count;
	int r;

	for (uint32_t i = 0; i < count; i++) {
		kept[i].slot = rig->kept[i].slot;
		kept[i].fd = fcntl(rig->kept[i].fd, F_DUPFD_CLOEXEC, 0);
	}
	r = vfio_session_new(rig->reactor, &rig->info, &rig_ops, rig, rig->page,
			     fcntl(rig->listener, F_DUPFD_CLOEXEC, 0), kept, count, &rig->session);
	/* What was not used is nobody's. */
	for (uint32_t i = 0; i < count; i++) {
		if (kept[i].fd < 0)
			continue;
		close(kept[i].fd);
		rig_drop(rig, kept[i].slot);
	}
	if (r < 0)
		rig->session = NULL;
	else if (!vfio_session_rests(rig->session))
		rig_runs(rig);
	return r;
}

void rig_turn(struct rig *rig)
{
	for (int i = 0; i < 3; i++) {
		fuzz_check(reactor_turn(rig->reactor, 0) == 0);
		if (!rig->deaf)
			rig_receive(rig);
	}
	if (rig->fresh && rig->session)
		fuzz_check(vfio_page_check(rig->page, &rig->info) == 0);
}

void rig_die(struct rig *rig)
{
	if (rig->has_hold)
		vfio_dma_release(rig->session, rig->hold);
	rig->has_hold = false;
	vfio_session_free(rig->session);
	rig->session = NULL;
	/* Nobody ends them any more, and the device is as new. */
	rig->transfers = 0;
	rig->busy = false;
	rig->losing = false;
	rig->keep_fails = 0;
	rig->pending = RIG_NOTHING;
}

void rig_lose(struct rig *rig, uint8_t which)
{
	for (uint32_t i = rig->kept_count < 8 ? rig->kept_count : 8; i > 0; i--) {
		if (which >> (i - 1) & 1)
			rig_drop(rig, rig->kept[i - 1].slot);
	}
}

void rig_leave(struct rig *rig)
{
	rig->ask = false;
	rig->keep_fails = 0;
	rig->deaf = false;
	fd_close(&rig->client);
	fd_close(&rig->next);
	rig_turn(rig);
	/* Connections that were given up while they waited in the queue end one by one. */
	for (int i = 0; i < 32 && (i < 2 || vfio_session_client(rig->session, NULL)); i++) {
		if (rig->has_hold)
			rig_hold(rig);
		rig_complete(rig, 0);
	}
	fuzz_check(!vfio_session_client(rig->session, NULL));
	fuzz_check(rig->transfers == 0);
	fuzz_check(rig->kept_count == 0);
}

void rig_done(struct rig *rig)
{
	bool open[RIG_FDS_MAX];

	if (rig->session)
		rig_die(rig);
	while (rig->kept_count > 0)
		close(rig->kept[--rig->kept_count].fd);
	fd_close(&rig->listener);
	fd_close(&rig->client);
	fd_close(&rig->next);
	fd_close(&rig->memory);
	fd_close(&rig->event);
	reactor_free(rig->reactor);
	munmap(rig->page, vfio_page_size());
	fuzz_clock_stop();
	rig_look_at_fds(open);
	fuzz_check(memcmp(open, rig->open, sizeof(open)) == 0);
}
