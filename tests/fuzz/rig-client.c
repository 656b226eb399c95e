/* SPDX-License-Identifier: BSD-3-Clause */
/* What the client of a rig sends and receives, and the steps of an input. See rig.h. */
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/fd.h"

#include "rig-internal.h"

#define RIG_BODY_MAX 4096
#define RIG_FDS_SENT 8

struct rig_message {
	struct wire_header header;
	uint8_t body[RIG_BODY_MAX];
};

static const char *const rig_versions[] = {
	"{\"capabilities\":{\"write_multiple\":true}}",
	"{\"capabilities\": {\"pgsizes\": 4096, \"max_msg_fds\": 16, \"max_dma_maps\": 65535, "
	"\"max_data_xfer_size\": 1048576, \"migration\": {\"max_bitmap_size\": 268435456, "
	"\"pgsize\": 4096}, \"write_multiple\": true}}",
	"{\"capabilities\":{\"max_msg_fds\":1,\"max_data_xfer_size\":512}}",
	"{}",
};

/* ---- Receiving ---- */

static void rig_take_message(struct rig *rig)
{
	struct rig_request *request = &rig->requests[rig->request_count % RIG_REQUESTS];

	memcpy(request, rig->partial, sizeof(*request));
	if (request->header.command == WIRE_DMA_READ || request->header.command == WIRE_DMA_WRITE)
		rig->request_count++;
}

/* Cuts a stream into messages, of which the beginnings matter. */
static void rig_take_bytes(struct rig *rig, const uint8_t *bytes, size_t len)
{
	while (len > 0) {
		const struct wire_header *header = (const void *)rig->partial;
		uint32_t want = sizeof(rig->partial);
		size_t n;

		if (rig->skip > 0) {
			n = len < rig->skip ? len : rig->skip;
			rig->skip -= (uint32_t)n;
			bytes += n;
			len -= n;
			continue;
		}
		if (rig->have < sizeof(*header))
			want = sizeof(*header);
		else if (header->size < want)
			want = header->size;
		n = len < want - rig->have ? len : want - rig->have;
		memcpy(rig->partial + rig->have, bytes, n);
		rig->have += (uint32_t)n;
		bytes += n;
		len -= n;
		if (rig->have < sizeof(*header))
			continue;
		fuzz_check(wire_header_check(header) == 0);
		want = header->size < sizeof(rig->partial) ? header->size : sizeof(rig->partial);
		if (rig->have < want)
			continue;
		rig->skip = header->size - want;
		rig_take_message(rig);
		memset(rig->partial, 0, sizeof(rig->partial));
		rig->have = 0;
	}
}

void rig_receive(struct rig *rig)
{
	uint8_t bytes[8192];
	int fds[4];
	size_t nfds;
	ssize_t n;

	while (rig->client >= 0) {
		n = fd_recv(rig->client, bytes, sizeof(bytes), fds, 4, &nfds);
		fd_close_all(fds, nfds);
		if (n <= 0)
			return;
		rig_take_bytes(rig, bytes, (size_t)n);
	}
}

/* ---- Sending ---- */

static int rig_connect_to(const struct rig *rig)
{
	struct sockaddr_un addr;
	socklen_t len = sizeof(addr);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	fuzz_check(fd >= 0);
	fuzz_check(getsockname(rig->listener, (struct sockaddr *)&addr, &len) == 0);
	/* The queue is full when the session still waits for an old client's memory. */
	if (connect(fd, (struct sockaddr *)&addr, len) < 0)
		fuzz_check(errno == EAGAIN);
	return fd;
}

static void rig_connect(struct rig *rig)
{
	fd_close(&rig->client);
	rig->have = 0;
	rig->skip = 0;
	rig->request_count = 0;
	rig_turn(rig);
	rig->client = rig_connect_to(rig);
	rig_turn(rig);
}

void rig_wait_next(struct rig *rig, uint8_t how)
{
	int fd = rig_connect_to(rig);
	umdev_autoclose int accepted =
		accept4(rig->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	fd_close(&rig->next);
	rig->next = fd;
	if (accepted < 0)
		return;
	if (how & 1)
		fd_close(&rig->next);
	rig->keep_fails = 0;
	(void)rig_keep(rig, VFIO_SLOT_NEXT, accepted);
	if (how & 2)
		(void)rig_keep(rig, VFIO_SLOT_CONNECTION, accepted);
}

static void rig_send(struct rig *rig, const void *data, size_t len, const int *fds, size_t nfds)
{
	const uint8_t *bytes = data;
	size_t at = 0;

	while (rig->client >= 0 && at < len) {
		size_t piece = rig->fragment && len - at > rig->fragment ? rig->fragment : len - at;

		if (fd_send(rig->client, bytes + at, piece, fds, at == 0 ? nfds : 0) <= 0)
			break;
		at += piece;
		rig_turn(rig);
	}
	rig_turn(rig);
}

void rig_command(struct rig *rig, uint16_t command, const void *body, size_t len)
{
	struct rig_message m = {.header = {.id = rig->id, .command = command}};

	fuzz_check(len <= sizeof(m.body));
	m.header.size = (uint32_t)(sizeof(m.header) + len);
	memcpy(m.body, body, len);
	rig_send(rig, &m, m.header.size, NULL, 0);
}

static void rig_version(struct rig *rig, const char *json)
{
	uint8_t body[512] = {0};

	memcpy(body + 4, json, strlen(json));
	rig_command(rig, WIRE_VERSION, body, 4 + strlen(json) + 1);
}

void rig_join(struct rig *rig)
{
	rig_connect(rig);
	rig_version(rig, rig_versions[fuzz_byte(&rig->in) % 4]);
}

/* Something that a client may send along, of any kind. */
static int rig_make_fd(struct rig *rig, uint8_t kind)
{
	char path[32];
	int pair[2];
	int fd;

	switch (kind % 10) {
	case 0:
	case 1:
		return fcntl(rig->memory, F_DUPFD_CLOEXEC, 0);
	case 2:
	case 3:
		fd = eventfd(0, EFD_CLOEXEC | (kind & 16 ? EFD_NONBLOCK : 0));
		fd_close(&rig->event);
		rig->event = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		return fd;
	case 4:
		snprintf(path, sizeof(path), "/proc/self/fd/%d", rig->memory);
		return open(path, O_RDONLY | O_CLOEXEC);
	case 5:
		fuzz_check(pipe2(pair, O_CLOEXEC | O_NONBLOCK) == 0);
		close(pair[kind >> 4 & 1]);
		return pair[!(kind >> 4 & 1)];
	case 6:
		return open("/", O_PATH | O_CLOEXEC);
	case 7:
		return open("/dev/zero", O_RDWR | O_CLOEXEC);
	case 8:
		fd = memfd_create("other", MFD_CLOEXEC);
		fuzz_check(fd >= 0 && ftruncate(fd, (off_t)(kind >> 4) * 4096) == 0);
		return fd;
	default:
		return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	}
}

/* A message, with as many descriptors as the input says. */
static void rig_send_with_fds(struct rig *rig, const void *data, size_t len, uint32_t nfds)
{
	int fds[RIG_FDS_SENT];
	uint8_t kind = nfds > 0 ? fuzz_byte(&rig->in) : 0;

	for (uint32_t i = 0; i < nfds; i++) {
		fds[i] = rig_make_fd(rig, kind);
		fuzz_check(fds[i] >= 0);
		if (kind & 8)
			kind = (uint8_t)(kind * 5 + 1);
	}
	rig_send(rig, data, len, fds, nfds);
	fd_close_all(fds, nfds);
}

/* ---- Steps: messages that are wrong in any way ---- */

/* A header whose fields the input chooses within reason, and a body. */
static void rig_step_message(struct rig *rig, uint32_t nfds)
{
	struct rig_message m = {0};
	uint8_t len = fuzz_byte(&rig->in);
	uint8_t flags = fuzz_byte(&rig->in);

	m.header.id = rig->id;
	m.header.command = fuzz_byte(&rig->in);
	m.header.size = (uint32_t)sizeof(m.header) + len;
	m.header.flags = flags & 0x31;
	m.header.error = flags & 0x20 ? 5 : 0;
	fuzz_copy(&rig->in, m.body, len);
	rig_send_with_fds(rig, &m, m.header.size, nfds);
}

static void rig_step_raw(struct rig *rig)
{
	uint8_t raw[64];
	size_t len = 1 + fuzz_byte(&rig->in) % sizeof(raw);

	fuzz_copy(&rig->in, raw, len);
	rig_send_with_fds(rig, raw, len, fuzz_byte(&rig->in) & 1);
}

/* Many at once, before the session has a turn. */
static void rig_step_flood(struct rig *rig)
{
	struct {
		struct wire_header header;
		struct wire_region_access access;
		uint8_t data[8];
	} m = {.access = {.offset = 8, .count = 8}};
	uint8_t count = fuzz_byte(&rig->in);
	uint8_t flags = fuzz_byte(&rig->in);

	m.header.command = flags & 1 ? WIRE_REGION_READ : WIRE_REGION_WRITE;
	m.header.flags = flags & WIRE_FLAG_NO_REPLY;
	m.access.region = flags >> 5;
	m.access.count = flags & 2 ? 8 : 65536;
	m.header.size = sizeof(m);
	for (uint32_t i = 0; rig->client >= 0 && i < count; i++) {
		m.header.id = ++rig->id;
		if (fd_send(rig->client, &m, sizeof(m), NULL, 0) < (ssize_t)sizeof(m))
			break;
	}
	rig_turn(rig);
}

/* ---- Steps: messages that are right in most ways ---- */

static void rig_step_map(struct rig *rig)
{
	struct {
		struct wire_header header;
		struct wire_dma_map map;
	} m = {{rig->id, WIRE_DMA_MAP, sizeof(m), 0, 0}, {32, 0, 0, 0, 0}};
	uint8_t how = fuzz_byte(&rig->in);

	m.map.flags = 1 + how % 3;
	m.map.addr = (uint64_t)(fuzz_byte(&rig->in) & 31) * 4096;
	m.map.offset = (uint64_t)(fuzz_byte(&rig->in) & 15) * 4096;
	m.map.size = (uint64_t)(fuzz_byte(&rig->in) & 7) * 4096;
	rig_send_with_fds(rig, &m, sizeof(m), !(how & 4));
}

static void rig_step_unmap(struct rig *rig)
{
	struct wire_dma_unmap unmap = {.argsz = sizeof(unmap)};
	uint8_t how = fuzz_byte(&rig->in);

	unmap.flags = how & 3;
	if (!(how & WIRE_DMA_UNMAP_ALL)) {
		unmap.addr = (uint64_t)(fuzz_byte(&rig->in) & 31) * 4096;
		unmap.size = (uint64_t)(fuzz_byte(&rig->in) & 31) * 4096;
	}
	rig_command(rig, WIRE_DMA_UNMAP, &unmap, sizeof(unmap));
}

static void rig_step_irqs(struct rig *rig)
{
	static const uint32_t actions[] = {WIRE_IRQ_ACTION_TRIGGER, WIRE_IRQ_ACTION_MASK,
					   WIRE_IRQ_ACTION_UNMASK, WIRE_IRQ_ACTION_TRIGGER};
	struct {
		struct wire_header header;
		struct wire_set_irqs irqs;
		uint8_t bools[8];
	} m = {{rig->id, WIRE_SET_IRQS, sizeof(m), 0, 0}, {.argsz = 20}, {0}};
	uint8_t how = fuzz_byte(&rig->in);
	uint8_t where = fuzz_byte(&rig->in);

	m.irqs.flags = (1u << how % 3) | actions[how >> 2 & 3];
	m.irqs.index = where % 6;
	m.irqs.start = where >> 4;
	m.irqs.count = how >> 4 & 7;
	for (uint32_t i = 0; i < 8; i++)
		m.bools[i] = where >> i & 1;
	rig_send_with_fds(rig, &m, sizeof(m),
			  m.irqs.flags & WIRE_IRQ_DATA_FDS && !(how & 128) ? m.irqs.count : 0);
}

static void rig_step_access(struct rig *rig)
{
	struct {
		struct wire_region_access access;
		uint8_t data[64];
	} body = {0};
	uint8_t how = fuzz_byte(&rig->in);
	uint16_t command = how & 1 ? WIRE_REGION_WRITE : WIRE_REGION_READ;

	body.access.region = how & 2 ? VFIO_REGION_CONFIG : how >> 4 & 7;
	body.access.offset = fuzz_take(&rig->in, how & 4 ? 2 : 1);
	body.access.count = 1 + (uint32_t)fuzz_take(&rig->in, how & 8 ? 3 : 1);
	fuzz_copy(&rig->in, body.data, how & 1 ? fuzz_byte(&rig->in) % sizeof(body.data) : 0);
	rig_command(rig, command, &body, sizeof(body));
}

static void rig_step_multi(struct rig *rig)
{
	struct {
		uint64_t count;
		struct wire_multi_entry entries[12];
	} body = {0};

	body.count = fuzz_byte(&rig->in) % 14;
	for (uint32_t i = 0; i < body.count && i < 12; i++) {
		uint8_t how = fuzz_byte(&rig->in);

		body.entries[i].region = how & 1 ? VFIO_REGION_CONFIG : how >> 4 & 7;
		body.entries[i].count = how >> 1 & 15;
		body.entries[i].offset = fuzz_byte(&rig->in);
		body.entries[i].data[0] = fuzz_byte(&rig->in);
	}
	rig_command(rig, WIRE_REGION_WRITE_MULTI, &body,
		    8 + (body.count < 12 ? body.count : 12) * sizeof(body.entries[0]));
}

static void rig_step_plain(struct rig *rig)
{
	static const uint16_t commands[] = {WIRE_GET_INFO,     WIRE_GET_REGION_INFO,
					    WIRE_GET_IRQ_INFO, WIRE_GET_REGION_IO_FDS,
					    WIRE_DEVICE_RESET, WIRE_DEVICE_FEATURE};
	uint32_t body[8] = {32, 0, 0, 0, 0, 0, 0, 0};
	uint8_t how = fuzz_byte(&rig->in);
	uint16_t command = commands[how % 6];

	if (command == WIRE_DEVICE_FEATURE)
		body[1] = (uint32_t)(how >> 4) << 16 | 1;
	else
		body[2] = how >> 4;
	if (how & 8)
		body[0] = fuzz_byte(&rig->in);
	rig_command(rig, command, body, command == WIRE_DEVICE_RESET ? 0 : sizeof(body));
}

/* The answer to a request of the session, right or wrong. */
static void rig_step_answer(struct rig *rig)
{
	struct rig_message m = {0};
	uint8_t how = fuzz_byte(&rig->in);
	const struct rig_request *request;
	uint32_t known = rig->request_count < RIG_REQUESTS ? rig->request_count : RIG_REQUESTS;
	size_t len = sizeof(struct wire_dma_access);

	if (known == 0)
		return;
	request = &rig->requests[(rig->request_count - 1 - (how & 15) % known) % RIG_REQUESTS];
	m.header = request->header;
	m.header.flags = WIRE_TYPE_REPLY;
	memcpy(m.body, &request->access, sizeof(request->access));
	memset(m.body + len, 0x33, sizeof(m.body) - len);
	if (request->header.command == WIRE_DMA_READ &&
	    request->access.count < sizeof(m.body) - len)
		len += request->access.count;
	if (how & 16)
		m.header.command ^= 7;
	if (how & 32) {
		m.header.flags |= WIRE_FLAG_ERROR;
		m.header.error = fuzz_byte(&rig->in);
		len = 0;
	}
	if (how & 64)
		len = fuzz_byte(&rig->in);
	if (how & 128)
		m.body[0] ^= fuzz_byte(&rig->in);
	m.header.size = (uint32_t)(sizeof(m.header) + len);
	rig_send(rig, &m, m.header.size, NULL, 0);
}

/* ---- Steps of others ---- */

static void rig_step_device(struct rig *rig)
{
	static const int results[] = {0, -EIO, -EINPROGRESS, -EINVAL};
	static const int ends[] = {0, -EIO};
	uint8_t how = fuzz_byte(&rig->in);

	switch (how % 8) {
	case 0:
		rig_complete(rig, ends[how >> 4 & 1]);
		break;
	case 1:
		rig_hold(rig);
		break;
	case 2:
		vfio_irq_intx(rig->session, how >> 4 & 1);
		break;
	case 3:
		vfio_irq_signal(rig->session, fuzz_byte(&rig->in), fuzz_byte(&rig->in));
		break;
	case 4:
		rig->access_result = results[how >> 4 & 3];
		break;
	case 5:
		rig->ask = how >> 4 & 1;
		vfio_session_admit(rig->session, how & 32 ? "not you" : NULL);
		break;
	case 6:
		rig->keep_fails = how >> 4;
		break;
	default:
		vfio_session_expel(rig->session, "thrown out");
		break;
	}
	rig_turn(rig);
}

static void rig_step_client(struct rig *rig)
{
	uint8_t how = fuzz_byte(&rig->in);
	int second;

	switch (how % 7) {
	case 0:
		fd_close(&rig->client);
		break;
	case 1:
		rig->fragment = how >> 3;
		break;
	case 2:
		rig->deaf = how >> 4 & 1;
		break;
	case 3:
		second = rig_connect_to(rig);
		rig_turn(rig);
		fd_close(&second);
		break;
	case 4:
		if (rig->client >= 0)
			(void)shutdown(rig->client, how >> 4 & 1 ? SHUT_WR : SHUT_RDWR);
		break;
	case 6:
		/* As KVM does when the guest has acknowledged. It never waits: it counts little. */
		if (rig->event >= 0)
			(void)!write(rig->event, &(uint64_t){1}, sizeof(uint64_t));
		break;
	default:
		fuzz_check(ftruncate(rig->memory, (off_t)(how >> 3) * 4096) == 0);
		break;
	}
	rig_turn(rig);
}

/* The process dies, or makes room for another, which goes on. */
static void rig_step_die(struct rig *rig)
{
	uint8_t how = fuzz_byte(&rig->in);

	if (how & 1) {
		vfio_session_pause(rig->session);
		/* A loop that still turns for others finds nothing to do for it. */
		rig_turn(rig);
		vfio_session_cancel(rig->session);
		fuzz_check(rig->transfers == 0);
		if (how & 2)
			rig_turn(rig);
	}
	rig_die(rig);
	if (how & 4)
		rig_wait_next(rig, how >> 3 & 1);
	fuzz_check(rig_start(rig) == 0);
	rig_turn(rig);
}

void rig_step(struct rig *rig)
{
	static void (*const steps[])(struct rig *) = {
		rig_step_map,	 rig_step_unmap,  rig_step_irqs, rig_step_access, rig_step_multi,
		rig_step_plain,	 rig_step_answer, rig_dma,	 rig_step_device, rig_step_client,
		rig_step_device, rig_step_raw,	  rig_step_flood};
	uint8_t what = fuzz_byte(&rig->in);

	if (what >= 228) {
		rig_step_move(rig, what - 228);
		rig->id++;
		return;
	}
	what %= 19;
	if (what < sizeof(steps) / sizeof(steps[0]))
		steps[what](rig);
	else if (what == 13)
		rig_step_message(rig, 0);
	else if (what == 14)
		rig_step_message(rig, fuzz_byte(&rig->in) % (RIG_FDS_SENT + 1));
	else if (what == 15)
		rig_join(rig);
	else if (what == 16)
		rig_connect(rig);
	else if (what == 18)
		rig_step_die(rig);
	else
		rig_pass(rig, (uint64_t)1000000 << fuzz_byte(&rig->in) % 16);
	rig->id++;
}
