/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libFuzzer: a session of the vfio-user server that is fed arbitrary bytes.
 *
 * The input is a script of steps for a hostile client: each begins with one byte that says what
 * to do. Most steps are well-formed headers with arbitrary bodies, so that commands are reached;
 * others are raw bytes, descriptors, memory that shrinks, interrupts and DMA of the device, the
 * device's completions, and hanging up. Sanitizers and the page's own rules are the judge.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/fd.h"
#include "vfio/page.h"
#include "vfio/session.h"
#include "vfio/wire.h"

#define FUZZ_BAR_SIZE 8192
#define FUZZ_BODY_MAX 256
#define FUZZ_MEMORY   65536
#define FUZZ_STREAM   4096

struct fuzz {
	struct reactor *reactor;
	struct vfio_session *session;
	struct vfio_page *page;
	struct vfio_device_info info;
	const uint8_t *data;
	size_t len;
	int client;
	int memory;
	uint16_t id;
	bool busy;
	bool rests;
	bool has_hold;
	uint32_t hold;
	uint8_t buf[FUZZ_BAR_SIZE];
};

static char fuzz_path[96];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* ---- The device: answers by what the input says */

static uint8_t fuzz_byte(struct fuzz *f)
{
	if (f->len == 0)
		return 0;
	f->len--;
	return *f->data++;
}

static void fuzz_copy(struct fuzz *f, void *to, size_t len)
{
	size_t n = MIN(len, f->len);

	memset(to, 0, len);
	memcpy(to, f->data, n);
	f->data += n;
	f->len -= n;
}

static void fuzz_check(bool ok)
{
	if (!ok)
		abort();
}

static int fuzz_access(void *device, uint32_t region, bool write, uint64_t offset, void *buf,
		       uint32_t count)
{
	struct fuzz *f = device;

	fuzz_check(region < VFIO_REGION_COUNT && f->info.regions[region].size >= count &&
		   offset <= f->info.regions[region].size - count && !f->busy);
	if (!write) {
		memset(buf, 0x5a, count);
		return 0;
	}
	memcpy(f->buf, buf, MIN(count, (uint32_t)sizeof(f->buf)));
	if (region == VFIO_REGION_CONFIG && f->buf[0] == 0xf1) {
		f->busy = true;
		return -EINPROGRESS;
	}
	if (f->buf[0] == 0xe0)
		vfio_session_expel(f->session, "expelled");
	return f->buf[0] == 0xee ? -EIO : 0;
}

static int fuzz_reset(void *device)
{
	struct fuzz *f = device;

	fuzz_check(!f->busy);
	f->busy = true;
	f->rests = false;
	return -EINPROGRESS;
}

static int fuzz_keep(void *device, uint32_t slot, int fd)
{
	fuzz_check(slot < VFIO_SLOT_COUNT && fcntl(fd, F_GETFD) >= 0);
	return 0;
}

static void fuzz_drop(void *device, uint32_t slot)
{
	fuzz_check(slot < VFIO_SLOT_COUNT);
}

static int fuzz_admit(void *device, const struct ucred *peer, struct umdev_error *err)
{
	return 0;
}

static void fuzz_joined(void *device, const struct ucred *peer)
{
}

static int fuzz_lost(void *device, const char *reason)
{
	struct fuzz *f = device;

	fuzz_check(!f->busy && reason[0]);
	f->rests = false;
	if (!f->has_hold)
		return 0;
	f->busy = true;
	return -EINPROGRESS;
}

static void fuzz_refused(void *device, const char *reason)
{
	fuzz_check(reason[0] != '\0');
}

/* Moving the device: takes time while the driver holds memory. */
static int fuzz_rest(void *device)
{
	struct fuzz *f = device;

	fuzz_check(!f->busy && !f->rests);
	f->rests = true;
	if (!f->has_hold)
		return 0;
	f->busy = true;
	return -EINPROGRESS;
}

static int fuzz_wake(void *device)
{
	struct fuzz *f = device;

	fuzz_check(!f->busy && f->rests);
	f->rests = false;
	return 0;
}

static int fuzz_save(void *device, int *ret_fd, uint64_t *ret_size)
{
	const struct fuzz *f = device;

	fuzz_check(!f->busy && f->rests);
	*ret_fd = fd_memfd("fuzz-stream", FUZZ_STREAM);
	*ret_size = FUZZ_STREAM / 2;
	return *ret_fd < 0 ? *ret_fd : 0;
}

static int fuzz_load(void *device, int fd, uint64_t size)
{
	struct fuzz *f = device;

	fuzz_check(!f->busy && f->rests && size <= FUZZ_STREAM);
	if (size % 3 == 0)
		return -EINVAL;
	f->busy = size % 3 == 1;
	return f->busy ? -EINPROGRESS : 0;
}

static const struct vfio_session_ops fuzz_ops = {
	.region_access = fuzz_access,
	.reset = fuzz_reset,
	.keep = fuzz_keep,
	.drop = fuzz_drop,
	.admit = fuzz_admit,
	.joined = fuzz_joined,
	.lost = fuzz_lost,
	.refused = fuzz_refused,
	.rest = fuzz_rest,
	.wake = fuzz_wake,
	.save = fuzz_save,
	.load = fuzz_load,
};

/* ---- Steps */

static void fuzz_turn(struct fuzz *f)
{
	char sink[4096];

	for (int i = 0; i < 3; i++) {
		fuzz_check(reactor_turn(f->reactor, 0) == 0);
		while (f->client >= 0 && recv(f->client, sink, sizeof(sink), MSG_DONTWAIT) > 0)
			;
	}
	fuzz_check(vfio_page_check(f->page, &f->info) == 0);
}

static void fuzz_connect(struct fuzz *f)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	fd_close(&f->client);
	fuzz_turn(f);
	f->client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", fuzz_path);
	/* The queue is full when the session still waits for an old client's memory. */
	if (connect(f->client, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		fuzz_check(errno == EAGAIN);
	fuzz_turn(f);
}

static void fuzz_send(struct fuzz *f, const void *data, size_t len, const int *fds, size_t nfds)
{
	if (f->client >= 0)
		(void)fd_send(f->client, data, len, fds, nfds);
	fuzz_turn(f);
}

static void fuzz_version(struct fuzz *f, const char *json)
{
	struct {
		struct wire_header header;
		uint16_t version[2];
		char json[96];
	} m = {{1, WIRE_VERSION, sizeof(m), 0, 0}, {0, 0}, {0}};

	snprintf(m.json, sizeof(m.json), "%s", json);
	fuzz_send(f, &m, sizeof(m), NULL, 0);
}

/* A header whose fields the input chooses within reason, and a body. */
static void fuzz_message(struct fuzz *f, const int *fds, size_t nfds)
{
	struct {
		struct wire_header header;
		uint8_t body[FUZZ_BODY_MAX];
	} m;
	uint8_t len = fuzz_byte(f);
	uint8_t flags = fuzz_byte(f);

	m.header = (struct wire_header){
		.id = f->id,
		.command = fuzz_byte(f),
		.size = (uint32_t)sizeof(m.header) + len,
		.flags = flags & 0x31,
	};
	fuzz_copy(f, m.body, len);
	/* a reply to one of the last requests of the session */
	if (flags & 1)
		m.header.id = (uint16_t)(f->page->messages[flags >> 6].id);
	fuzz_send(f, &m, m.header.size, fds, nfds);
}

/* A map that is right in most ways. */
static void fuzz_map(struct fuzz *f, bool with_fd)
{
	struct {
		struct wire_header header;
		struct wire_dma_map map;
	} m = {{2, WIRE_DMA_MAP, sizeof(m), 0, 0}, {32, 3, 0, 0, 0}};

	m.map.addr = (uint64_t)(fuzz_byte(f) & 31) * 4096;
	m.map.offset = (uint64_t)(fuzz_byte(f) & 15) * 4096;
	m.map.size = (uint64_t)(fuzz_byte(f) & 7) * 4096;
	fuzz_send(f, &m, sizeof(m), &f->memory, with_fd);
}

/* DEVICE_FEATURE, or a piece of the stream, that is right in most ways. */
static void fuzz_feature(struct fuzz *f)
{
	struct {
		struct wire_header header;
		uint32_t words[10];
	} m = {{3, WIRE_DEVICE_FEATURE, sizeof(m), 0, 0}, {0}};
	uint8_t kind = fuzz_byte(f);

	m.words[0] = fuzz_byte(f);
	m.words[1] = (kind & 15) | (kind & 16 ? WIRE_FEATURE_GET : WIRE_FEATURE_SET);
	for (int i = 2; i < 8; i += 2)
		m.words[i] = (uint32_t)fuzz_byte(f) << (fuzz_byte(f) & 24);
	if (kind & 64) {
		m.header.command = kind & 32 ? WIRE_MIG_DATA_READ : WIRE_MIG_DATA_WRITE;
		m.words[1] = fuzz_byte(f) & 31;
	}
	fuzz_send(f, &m, sizeof(m), NULL, 0);
}

static void fuzz_done(void *arg, int status)
{
}

static void fuzz_dma(struct fuzz *f)
{
	uint64_t iova = (uint64_t)fuzz_byte(f) * 512;
	uint64_t len = (uint64_t)fuzz_byte(f) * 32;
	struct iovec iov[4];
	int n = vfio_dma_translate(f->session, iova, len, 1, iov, 4);

	for (int i = 0; i < n; i++)
		memset(iov[i].iov_base, 0x33, iov[i].iov_len);
	(void)!vfio_dma_read(f->session, iova, f->buf, len, fuzz_done, f);
	(void)!vfio_dma_write(f->session, iova, f->buf, len, fuzz_done, f);
	fuzz_turn(f);
}

static void fuzz_hold(struct fuzz *f)
{
	if (f->has_hold)
		vfio_dma_release(f->session, f->hold);
	else
		f->hold = vfio_dma_hold(f->session);
	f->has_hold = !f->has_hold;
	fuzz_turn(f);
}

static void fuzz_complete(struct fuzz *f)
{
	f->busy = false;
	vfio_session_complete(f->session, 0);
	fuzz_turn(f);
}

static void fuzz_step(struct fuzz *f)
{
	uint8_t raw[64];
	int fds[3] = {f->memory, -1, -1};

	switch (fuzz_byte(f) % 16) {
	case 0:
		fuzz_connect(f);
		break;
	case 1:
		fuzz_connect(f);
		fuzz_version(f, "{\"capabilities\":{\"write_multiple\":true}}");
		break;
	case 2:
		fuzz_connect(f);
		fuzz_version(f, "{}");
		break;
	case 3: {
		size_t len = 1 + fuzz_byte(f) % sizeof(raw);

		fuzz_copy(f, raw, len);
		fuzz_send(f, raw, len, fds, fuzz_byte(f) & 1);
		break;
	}
	case 4:
		fuzz_message(f, fds, 1);
		break;
	case 5:
		fds[0] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		fuzz_message(f, fds, 1);
		close(fds[0]);
		break;
	case 6:
		fuzz_map(f, true);
		break;
	case 7:
		fuzz_map(f, false);
		break;
	case 8:
		fuzz_dma(f);
		break;
	case 9:
		fuzz_hold(f);
		break;
	case 10:
		fuzz_complete(f);
		break;
	case 11:
		vfio_irq_intx(f->session, fuzz_byte(f) & 1);
		vfio_irq_signal(f->session, fuzz_byte(f), fuzz_byte(f));
		break;
	case 12:
		fuzz_check(ftruncate(f->memory, (off_t)(fuzz_byte(f) & 15) * 4096) == 0);
		break;
	case 13:
		fd_close(&f->client);
		fuzz_turn(f);
		break;
	case 14:
		fuzz_feature(f);
		break;
	default:
		fuzz_message(f, NULL, 0);
		break;
	}
	f->id++;
}

/* ---- One input */

static int fuzz_listen(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (!fuzz_path[0]) {
		char dir[] = "/tmp/umdev-fuzz-XXXXXX";

		fuzz_check(mkdtemp(dir) != NULL);
		snprintf(fuzz_path, sizeof(fuzz_path), "%s/s", dir);
	}
	unlink(fuzz_path);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", fuzz_path);
	fuzz_check(bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 && listen(fd, 8) == 0);
	return fd;
}

static void fuzz_open(struct fuzz *f)
{
	f->reactor = reactor_new();
	f->client = -1;
	f->memory = memfd_create("fuzz", MFD_CLOEXEC);
	f->page = mmap(NULL, vfio_page_size(), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	fuzz_check(f->reactor && f->memory >= 0 && f->page != MAP_FAILED);
	fuzz_check(ftruncate(f->memory, FUZZ_MEMORY) == 0);
	for (uint32_t i = 0; i < VFIO_REGION_COUNT; i++)
		f->info.regions[i].fd = -1;
	f->info.regions[0] = (struct vfio_region){
		.size = FUZZ_BAR_SIZE,
		.flags = VFIO_REGION_READABLE | VFIO_REGION_WRITABLE | VFIO_REGION_MAPPABLE,
		.area_count = 1,
		.areas = {{4096, 4096}},
		.fd = f->memory,
	};
	f->info.regions[VFIO_REGION_CONFIG].size = 256;
	f->info.regions[VFIO_REGION_CONFIG].flags = VFIO_REGION_READABLE | VFIO_REGION_WRITABLE;
	f->info.stream_max = FUZZ_STREAM;
	f->info.irq_counts[VFIO_IRQ_INTX] = 1;
	f->info.irq_counts[VFIO_IRQ_MSIX] = 16;
	f->info.irq_counts[VFIO_IRQ_ERR] = 1;
	fuzz_check(vfio_session_new(f->reactor, &f->info, &fuzz_ops, f, f->page, fuzz_listen(),
				    NULL, 0, &f->session) == 0);
}

/* The client hangs up and the device lets go: nothing may be left. */
static void fuzz_close(struct fuzz *f)
{
	fd_close(&f->client);
	fuzz_turn(f);
	/* Connections that were given up while they waited in the queue end one by one. */
	for (int i = 0; i < 32 && (i < 2 || vfio_session_client(f->session, NULL)); i++) {
		if (f->has_hold)
			fuzz_hold(f);
		fuzz_complete(f);
	}
	fuzz_check(!vfio_session_client(f->session, NULL));
	fuzz_check(f->page->maps_used == 0 && f->page->files_used == 0);
	vfio_session_free(f->session);
	reactor_free(f->reactor);
	fd_close(&f->memory);
	munmap(f->page, vfio_page_size());
}

/* The number that the next descriptor gets. */
static int fuzz_next_fd(void)
{
	int fd = dup(STDERR_FILENO);

	fuzz_check(fd >= 0);
	close(fd);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz f = {.data = data, .len = len};
	int next_fd = fuzz_next_fd();

	/* libFuzzer's own handler would get what ours passes on. */
	signal(SIGBUS, SIG_DFL);
	fuzz_open(&f);
	fuzz_connect(&f);
	fuzz_version(&f, "{\"capabilities\":{\"write_multiple\":true,\"migration\":{}}}");
	for (int step = 0; f.len > 0 && step < 64; step++)
		fuzz_step(&f);
	fuzz_close(&f);
	fuzz_check(fuzz_next_fd() == next_fd);
	return 0;
}
