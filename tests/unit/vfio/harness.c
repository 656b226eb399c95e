/* SPDX-License-Identifier: BSD-3-Clause */
/* See harness.h. */
#include "harness.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "util/fd.h"

#define CLIENT_TURNS 2000

static uint64_t clock_offset_ns;

/* The linker sends every clock_gettime() of the program here. */
int __real_clock_gettime(clockid_t clock, struct timespec *ts);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ts);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
	int r = __real_clock_gettime(clock, ts);
	uint64_t ns = (uint64_t)ts->tv_sec * 1000000000u + (uint64_t)ts->tv_nsec + clock_offset_ns;

	ts->tv_sec = (time_t)(ns / 1000000000u);
	ts->tv_nsec = (long)(ns % 1000000000u);
	return r;
}

void fixture_advance(uint64_t ns)
{
	clock_offset_ns += ns;
}

/* ---- The device */

static int device_access(void *device, uint32_t region, bool write, uint64_t offset, void *buf,
			 uint32_t count)
{
	struct fixture *fx = device;
	uint8_t *at = region == VFIO_REGION_CONFIG ? fx->config : fx->bar0;

	fx->last = (struct device_access){region, write, offset, count};
	fx->accesses++;
	if (fx->on_access)
		fx->on_access(fx, region, write, offset);
	if (write && region == VFIO_REGION_CONFIG && fx->write_result)
		return fx->write_result;
	if (!write && fx->read_result)
		return fx->read_result;
	if (write)
		memcpy(at + offset, buf, count);
	else
		memcpy(buf, at + offset, count);
	return 0;
}

static int device_reset(void *device)
{
	struct fixture *fx = device;

	fx->resets++;
	return fx->reset_result;
}

static int device_keep(void *device, uint32_t slot, int fd)
{
	struct fixture *fx = device;

	assert_true(slot < FIXTURE_SLOTS);
	assert_true(fd >= 0);
	fx->keeps++;
	if (fx->keep_fails_at == fx->keeps)
		return -ENOBUFS;
	if (fx->keep_result)
		return fx->keep_result;
	if (fx->page->tx.len)
		fx->reply_seen_before_keep = true;
	fx->kept_count += !fx->kept[slot];
	fx->kept[slot] = true;
	return 0;
}

static void device_drop(void *device, uint32_t slot)
{
	struct fixture *fx = device;

	assert_true(slot < FIXTURE_SLOTS);
	assert_true(fx->kept[slot]);
	/* Nothing in the page may still name the slot. */
	if (slot >= VFIO_SLOT_IRQ)
		assert_int_equal(
			fx->page->irqs[(slot - VFIO_SLOT_IRQ) >> 12][(slot - VFIO_SLOT_IRQ) & 4095],
			0);
	else if (slot >= VFIO_SLOT_MEMORY)
		assert_int_equal(fx->page->files[slot - VFIO_SLOT_MEMORY].valid, 0);
	fx->kept[slot] = false;
	fx->kept_count--;
}

static int device_admit(void *device, const struct ucred *peer, struct umdev_error *err)
{
	struct fixture *fx = device;

	assert_int_equal(peer->pid, getpid());
	if (fx->admit_result == -EINPROGRESS)
		return fx->admit_result;
	if (fx->admit_result)
		return error_set(err, ERROR_NOT_PERMITTED, "this client may not");
	return 0;
}

static void device_left(void *device)
{
	struct fixture *fx = device;

	fx->left++;
}

static void device_joined(void *device, const struct ucred *peer)
{
	struct fixture *fx = device;

	assert_int_equal(peer->uid, getuid());
	fx->joined++;
}

static int device_lost(void *device, const char *reason)
{
	struct fixture *fx = device;

	fx->lost++;
	snprintf(fx->lost_reason, sizeof(fx->lost_reason), "%s", reason);
	return fx->lost_result;
}

static void device_refused(void *device, const char *reason)
{
	struct fixture *fx = device;

	fx->refused++;
	snprintf(fx->refused_reason, sizeof(fx->refused_reason), "%s", reason);
}

static int device_rest(void *device)
{
	struct fixture *fx = device;

	fx->rests++;
	return fx->rest_result;
}

static int device_wake(void *device)
{
	struct fixture *fx = device;

	fx->wakes++;
	return 0;
}

uint8_t fixture_stream(uint32_t at)
{
	return (uint8_t)(at * 7 + at / 256);
}

static int device_save(void *device, int *ret_fd, uint64_t *ret_size)
{
	int fd = memory_new(FIXTURE_STREAM + 5000, 0);
	uint8_t bytes[FIXTURE_STREAM];

	for (uint32_t i = 0; i < FIXTURE_STREAM; i++)
		bytes[i] = fixture_stream(i);
	assert_int_equal(pwrite(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	*ret_fd = fd;
	*ret_size = FIXTURE_STREAM;
	return 0;
}

static int device_load(void *device, int fd, uint64_t size)
{
	struct fixture *fx = device;
	uint8_t bytes[FIXTURE_STREAM];

	fx->loads++;
	if (size != FIXTURE_STREAM)
		return -EINVAL;
	assert_int_equal(pread(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	for (uint32_t i = 0; i < FIXTURE_STREAM; i++) {
		if (bytes[i] != fixture_stream(i))
			return -EINVAL;
	}
	return fx->load_result;
}

/* The first FIXTURE_HEAD bytes tell whether it fits. */
static int device_check(void *device, int fd, uint64_t size)
{
	struct fixture *fx = device;
	uint8_t bytes[FIXTURE_HEAD];

	fx->checks++;
	if (size < FIXTURE_HEAD)
		return 0;
	assert_int_equal(pread(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	for (uint32_t i = 0; i < FIXTURE_HEAD; i++) {
		if (bytes[i] != fixture_stream(i))
			return -EINVAL;
	}
	return 1;
}

static const struct vfio_session_ops device_ops = {
	.region_access = device_access,
	.reset = device_reset,
	.keep = device_keep,
	.drop = device_drop,
	.admit = device_admit,
	.left = device_left,
	.joined = device_joined,
	.lost = device_lost,
	.refused = device_refused,
	.rest = device_rest,
	.wake = device_wake,
	.save = device_save,
	.load = device_load,
	.check = device_check,
};

/* ---- Fixture */

static int fixture_listen(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

static int fixture_make(void **state, uint64_t stream_max)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	fx->fds_before = count_open_fds();
	snprintf(fx->dir, sizeof(fx->dir), "/tmp/umdev-vfio-XXXXXX");
	assert_non_null(mkdtemp(fx->dir));
	snprintf(fx->path, sizeof(fx->path), "%s/s", fx->dir);
	fx->client = -1;
	fx->reactor = reactor_new();
	assert_non_null(fx->reactor);
	fx->page = mmap(NULL, vfio_page_size(), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_true(fx->page != MAP_FAILED);
	fx->info.name = "test";
	fx->info.stream_max = stream_max;
	fx->info.regions[0] = (struct vfio_region){
		.size = FIXTURE_BAR0_SIZE,
		.flags = VFIO_REGION_READABLE | VFIO_REGION_WRITABLE | VFIO_REGION_MAPPABLE,
		.area_count = 1,
		.areas = {{0x1000, 0x2000}},
		.fd = memory_new(FIXTURE_BAR0_SIZE, 0),
	};
	for (uint32_t i = 1; i < VFIO_REGION_COUNT; i++)
		fx->info.regions[i].fd = -1;
	/* A region that can be mapped whole, and one that can only be read. */
	fx->info.regions[2] = fx->info.regions[0];
	fx->info.regions[2].areas[0] = (struct vfio_area){0, FIXTURE_BAR0_SIZE};
	fx->info.regions[4].size = 0x1000;
	fx->info.regions[4].flags = VFIO_REGION_READABLE;
	fx->info.regions[VFIO_REGION_CONFIG].size = sizeof(fx->config);
	fx->info.regions[VFIO_REGION_CONFIG].flags = VFIO_REGION_READABLE | VFIO_REGION_WRITABLE;
	fx->info.irq_counts[VFIO_IRQ_INTX] = 1;
	fx->info.irq_counts[VFIO_IRQ_MSI] = 32;
	fx->info.irq_counts[VFIO_IRQ_MSIX] = 2048;
	fx->info.irq_counts[VFIO_IRQ_ERR] = 1;
	fx->info.irq_counts[VFIO_IRQ_REQ] = 1;
	assert_int_equal(vfio_session_new(fx->reactor, &fx->info, &device_ops, fx, fx->page,
					  fixture_listen(fx->path), NULL, 0, &fx->session),
			 0);
	*state = fx;
	return 0;
}

int fixture_setup(void **state)
{
	return fixture_make(state, 0);
}

int fixture_setup_moved(void **state)
{
	return fixture_make(state, FIXTURE_STREAM + 1000);
}

int fixture_teardown(void **state)
{
	struct fixture *fx = *state;
	int fds;

	if (fx->client >= 0)
		close(fx->client);
	fixture_turn(fx);
	vfio_session_free(fx->session);
	reactor_free(fx->reactor);
	close(fx->info.regions[0].fd);
	munmap(fx->page, vfio_page_size());
	unlink(fx->path);
	rmdir(fx->dir);
	fds = count_open_fds();
	assert_int_equal(fds, fx->fds_before);
	free(fx);
	return 0;
}

void fixture_turn(struct fixture *fx)
{
	for (int i = 0; i < 8; i++)
		assert_int_equal(reactor_turn(fx->reactor, 0), 0);
}

/* ---- The client */

int client_connect(struct fixture *fx)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", fx->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	fixture_turn(fx);
	return fd;
}

static void client_join(struct fixture *fx, uint16_t minor, const char *json)
{
	uint8_t body[512] = {0};
	uint8_t reply[512];
	size_t len;
	uint16_t version[2] = {0, minor};

	fx->client = client_connect(fx);
	memcpy(body, version, sizeof(version));
	memcpy(body + 4, json, strlen(json) + 1);
	assert_int_equal(client_call(fx, WIRE_VERSION, BODY(body, 4 + strlen(json) + 1), reply,
				     sizeof(reply), &len),
			 0);
	memcpy(version, reply, sizeof(version));
	assert_int_equal(version[0], 0);
	assert_int_equal(version[1], minor);
	assert_true(len + sizeof(struct wire_header) <= 200);
}

void client_join_qemu(struct fixture *fx)
{
	client_join(fx, 0, QEMU_JSON);
}

void client_join_crate(struct fixture *fx)
{
	client_join(fx, 1, CRATE_JSON);
}

void client_leave(struct fixture *fx)
{
	close(fx->client);
	fx->client = -1;
	fixture_turn(fx);
}

void client_send_raw(struct fixture *fx, const void *data, size_t len, const int *fds, size_t nfds)
{
	size_t sent = 0;

	for (int i = 0; sent < len && i < CLIENT_TURNS; i++) {
		ssize_t n = fd_send(fx->client, (const uint8_t *)data + sent, len - sent, fds,
				    sent == 0 ? nfds : 0);

		if (n > 0)
			sent += (size_t)n;
		else
			fixture_turn(fx);
	}
	assert_int_equal(sent, len);
}

uint16_t client_send(struct fixture *fx, uint16_t command, uint32_t flags, struct payload payload)
{
	struct wire_header header = {
		.id = fx->next_id++,
		.command = command,
		.size = (uint32_t)(sizeof(header) + payload.len),
		.flags = flags,
	};
	uint8_t *message = malloc(sizeof(header) + payload.len);

	assert_non_null(message);
	memcpy(message, &header, sizeof(header));
	if (payload.len > 0)
		memcpy(message + sizeof(header), payload.body, payload.len);
	client_send_raw(fx, message, sizeof(header) + payload.len, payload.fds, payload.nfds);
	free(message);
	return header.id;
}

/* Receives exactly @len bytes, turning the loop. */
static void client_recv_bytes(struct fixture *fx, void *data, size_t len, int *ret_fd)
{
	size_t have = 0;

	for (int i = 0; have < len && i < CLIENT_TURNS; i++) {
		int fd = -1;
		size_t nfds;
		ssize_t n = fd_recv(fx->client, (uint8_t *)data + have, len - have, &fd, 1, &nfds);

		if (nfds > 0) {
			assert_non_null(ret_fd);
			*ret_fd = fd;
		}
		if (n > 0)
			have += (size_t)n;
		else
			fixture_turn(fx);
	}
	assert_int_equal(have, len);
}

size_t client_recv(struct fixture *fx, struct wire_header *ret_header, void *body, size_t size,
		   int *ret_fd)
{
	size_t len;

	if (ret_fd)
		*ret_fd = -1;
	client_recv_bytes(fx, ret_header, sizeof(*ret_header), ret_fd);
	len = ret_header->size - sizeof(*ret_header);
	assert_true(ret_header->size >= sizeof(*ret_header) && len <= size);
	if (len > 0)
		client_recv_bytes(fx, body, len, NULL);
	return len;
}

bool client_closed(struct fixture *fx)
{
	char byte;
	ssize_t n;

	fixture_turn(fx);
	/* What the session still had to say, such as the error reply, comes before the end. */
	while ((n = recv(fx->client, &byte, 1, MSG_DONTWAIT)) > 0)
		;
	return n == 0 || (n < 0 && errno == ECONNRESET);
}

bool client_silent(struct fixture *fx)
{
	char byte;

	fixture_turn(fx);
	return recv(fx->client, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

bool client_pending(struct fixture *fx)
{
	char byte;

	fixture_turn(fx);
	return recv(fx->client, &byte, 1, MSG_DONTWAIT | MSG_PEEK) > 0;
}

int client_call(struct fixture *fx, uint16_t command, struct payload payload, void *reply,
		size_t size, size_t *ret_len)
{
	struct wire_header header;
	uint8_t scratch[512];
	uint16_t id = client_send(fx, command, 0, payload);
	size_t n = client_recv(fx, &header, reply ? reply : scratch, reply ? size : sizeof(scratch),
			       NULL);

	assert_int_equal(header.id, id);
	assert_int_equal(header.command, command);
	assert_int_equal(header.flags & WIRE_FLAG_TYPE, WIRE_TYPE_REPLY);
	assert_int_equal(!!(header.flags & WIRE_FLAG_ERROR), header.error != 0);
	if (ret_len)
		*ret_len = n;
	return (int)header.error;
}

int client_map(struct fixture *fx, uint64_t addr, uint64_t size, uint64_t offset, uint32_t flags,
	       int fd)
{
	struct wire_dma_map map = {
		.argsz = sizeof(map),
		.flags = flags,
		.offset = offset,
		.addr = addr,
		.size = size,
	};
	size_t len;
	int error = client_call(fx, WIRE_DMA_MAP, BODY_FDS(&map, sizeof(map), &fd, fd >= 0), NULL,
				0, &len);

	assert_int_equal(len, 0);
	return error;
}

int client_unmap(struct fixture *fx, uint64_t addr, uint64_t size)
{
	struct wire_dma_unmap unmap = {.argsz = sizeof(unmap), .addr = addr, .size = size};
	struct wire_dma_unmap reply;
	size_t len;
	int error = client_call(fx, WIRE_DMA_UNMAP, BODY(&unmap, sizeof(unmap)), &reply,
				sizeof(reply), &len);

	assert_int_equal(len, error ? 0 : sizeof(reply));
	if (!error)
		assert_memory_equal(&unmap, &reply, sizeof(reply));
	return error;
}

int client_irqs(struct fixture *fx, struct wire_set_irqs irqs, const int *fds, size_t nfds)
{
	size_t len;
	int error = client_call(fx, WIRE_SET_IRQS, BODY_FDS(&irqs, sizeof(irqs), fds, nfds), NULL,
				0, &len);

	assert_int_equal(len, 0);
	return error;
}

int memory_new(uint64_t size, uint8_t fill)
{
	/* A client's memory: unlike ours, its size can change. */
	int fd = memfd_create("memory", MFD_CLOEXEC);
	uint8_t page[4096];

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	for (uint64_t at = 0; fill && at < size; at += sizeof(page)) {
		memset(page, (int)(fill + at / sizeof(page)), sizeof(page));
		assert_int_equal(pwrite(fd, page, sizeof(page), (off_t)at), sizeof(page));
	}
	return fd;
}

int event_new(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(fd >= 0);
	return fd;
}

uint64_t event_take(int fd)
{
	uint64_t count = 0;

	return read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count) ? count : 0;
}
