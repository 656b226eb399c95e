/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest memory by messages, and how memory that is not shared is found out. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"

#define RW (WIRE_DMA_MAP_READ | WIRE_DMA_MAP_WRITE)

struct transfer {
	int status;
	uint32_t calls;
};

static void transfer_done(void *arg, int status)
{
	struct transfer *t = arg;

	t->status = status;
	t->calls++;
}

/* A request of the session. */
struct request {
	struct wire_header header;
	struct wire_dma_access access;
	uint8_t data[WIRE_TRANSFER_MAX];
	size_t data_len;
};

static void request_take(struct fixture *fx, struct request *q)
{
	uint8_t *body = malloc(WIRE_MESSAGE_MAX);
	size_t len;

	assert_non_null(body);
	len = client_recv(fx, &q->header, body, WIRE_MESSAGE_MAX, NULL);
	assert_int_equal(q->header.flags, 0);
	assert_true(len >= sizeof(q->access));
	memcpy(&q->access, body, sizeof(q->access));
	q->data_len = len - sizeof(q->access);
	memcpy(q->data, body + sizeof(q->access), q->data_len);
	free(body);
}

/* Answers it with @len bytes of body. */
static void reply_raw(struct fixture *fx, const struct request *q, int error, const void *body,
		      size_t len)
{
	uint8_t *message = malloc(sizeof(q->header) + len + 1);
	struct wire_header header = wire_reply_header(&q->header, (uint32_t)len, error);

	assert_non_null(message);
	memcpy(message, &header, sizeof(header));
	if (len)
		memcpy(message + sizeof(header), body, len);
	client_send_raw(fx, message, sizeof(header) + len, NULL, 0);
	free(message);
	fixture_turn(fx);
}

static void reply_read(struct fixture *fx, const struct request *q, const void *data)
{
	uint8_t *body = malloc(sizeof(q->access) + q->access.count);

	assert_non_null(body);
	assert_int_equal(q->header.command, WIRE_DMA_READ);
	memcpy(body, &q->access, sizeof(q->access));
	memcpy(body + sizeof(q->access), data, q->access.count);
	reply_raw(fx, q, 0, body, sizeof(q->access) + q->access.count);
	free(body);
}

/* Takes and answers the write of no bytes that comes before everything else. */
static void probe_answer(struct fixture *fx)
{
	static struct request q;

	request_take(fx, &q);
	assert_int_equal(q.header.command, WIRE_DMA_WRITE);
	assert_int_equal(q.access.count, 0);
	assert_int_equal(q.data_len, 0);
	reply_raw(fx, &q, 0, &q.access, sizeof(q.access));
}

static int region_read4(struct fixture *fx, uint32_t *ret)
{
	struct wire_region_access access = {0, 0, 4};
	uint8_t reply[20];
	int error = client_call(fx, WIRE_REGION_READ, BODY(&access, sizeof(access)), reply,
				sizeof(reply), NULL);

	memcpy(ret, reply + 16, 4);
	return error;
}

/* ---- Transfers */

static void test_read_and_write(void **state)
{
	struct fixture *fx = *state;
	static struct request q;
	struct transfer t = {0};
	struct iovec iov[4];
	uint8_t buf[64];
	uint32_t value;

	client_join_qemu(fx);
	assert_int_equal(client_map(fx, 0x10000, 0x10000, 0, RW, -1), 0);
	assert_int_equal(vfio_dma_translate(fx->session, 0x10000, 64, RW, iov, 4), -EREMOTE);
	assert_int_equal(vfio_dma_translate(fx->session, 0x1ffff, 2, RW, iov, 4), -EFAULT);
	assert_int_equal(vfio_dma_read(fx->session, 0x1ffff, buf, 2, transfer_done, &t), -EFAULT);
	assert_int_equal(vfio_dma_read(fx->session, 0x12345, buf, 64, transfer_done, &t),
			 -EINPROGRESS);
	assert_int_equal(vfio_dma_write(fx->session, 0x10010, "hello", 5, transfer_done, &t),
			 -EINPROGRESS);
	probe_answer(fx);
	request_take(fx, &q);
	assert_int_equal(q.access.addr, 0x12345);
	assert_int_equal(q.access.count, 64);
	/* While it is under way commands are served. */
	fx->bar0[0] = 42;
	client_send(fx, WIRE_DEVICE_RESET, WIRE_FLAG_NO_REPLY, NOTHING);
	fixture_turn(fx);
	assert_int_equal(fx->resets, 1);
	assert_int_equal(t.calls, 0);
	{
		static struct request w;

		request_take(fx, &w);
		assert_int_equal(w.header.command, WIRE_DMA_WRITE);
		assert_int_equal(w.access.addr, 0x10010);
		assert_int_equal(w.access.count, 5);
		assert_memory_equal(w.data, "hello", 5);
		assert_int_equal(region_read4(fx, &value), 0);
		assert_int_equal(value, 42);
		/* answers may come in any order; a write's count is 8 bytes or 4 */
		reply_raw(fx, &w, 0, &w.access, 12);
	}
	assert_int_equal(t.calls, 1);
	assert_int_equal(t.status, 0);
	memset(q.data, 0x5a, 64);
	reply_read(fx, &q, q.data);
	assert_int_equal(t.calls, 2);
	assert_int_equal(t.status, 0);
	assert_int_equal(buf[0], 0x5a);
	assert_int_equal(buf[63], 0x5a);
	assert_true(client_silent(fx));
	assert_int_equal(vfio_page_check(fx->page, &fx->info), 0);
}

/* Longer than a message: in pieces of what the client takes. */
static void test_chunks(void **state)
{
	struct fixture *fx = *state;
	static const char json[] = "{\"capabilities\":{\"write_multiple\":true,"
				   "\"max_data_xfer_size\":1000}}";
	uint8_t body[4 + sizeof(json)] = {0};
	static struct request q;
	struct transfer t = {0};
	uint8_t buf[2500];
	uint8_t expect[2500];

	fx->client = client_connect(fx);
	memcpy(body + 4, json, sizeof(json));
	assert_int_equal(client_call(fx, WIRE_VERSION, BODY(body, sizeof(body)), NULL, 0, NULL), 0);
	assert_int_equal(client_map(fx, 0, 0x10000, 0, RW, -1), 0);
	for (size_t i = 0; i < sizeof(expect); i++)
		expect[i] = (uint8_t)(i * 7);
	assert_int_equal(vfio_dma_read(fx->session, 100, buf, sizeof(buf), transfer_done, &t),
			 -EINPROGRESS);
	probe_answer(fx);
	for (size_t at = 0; at < sizeof(buf); at += 1000) {
		assert_int_equal(t.calls, 0);
		request_take(fx, &q);
		assert_int_equal(q.access.addr, 100 + at);
		assert_int_equal(q.access.count, MIN(sizeof(buf) - at, (size_t)1000));
		reply_read(fx, &q, expect + at);
	}
	assert_int_equal(t.calls, 1);
	assert_memory_equal(buf, expect, sizeof(buf));
	assert_int_equal(vfio_dma_write(fx->session, 0, expect, sizeof(expect), transfer_done, &t),
			 -EINPROGRESS);
	for (size_t at = 0; at < sizeof(buf); at += 1000) {
		request_take(fx, &q);
		assert_memory_equal(q.data, expect + at, q.access.count);
		reply_raw(fx, &q, 0, &q.access, sizeof(q.access));
	}
	assert_int_equal(t.calls, 2);
}

static void test_many(void **state)
{
	struct fixture *fx = *state;
	enum { COUNT = 200 };
	static struct request q;
	static struct transfer t[COUNT];
	static uint32_t buf[COUNT];

	memset(t, 0, sizeof(t));
	client_join_qemu(fx);
	assert_int_equal(client_map(fx, 0, 0x10000, 0, RW, -1), 0);
	for (uint32_t i = 0; i < COUNT; i++)
		assert_int_equal(vfio_dma_read(fx->session, i * 8, &buf[i], 4, transfer_done,
					       &t[i]),
				 -EINPROGRESS);
	probe_answer(fx);
	for (uint32_t i = 0; i < COUNT; i++) {
		uint32_t value;

		request_take(fx, &q);
		value = (uint32_t)q.access.addr + 3;
		reply_read(fx, &q, &value);
	}
	for (uint32_t i = 0; i < COUNT; i++) {
		assert_int_equal(t[i].calls, 1);
		assert_int_equal(buf[i], i * 8 + 3);
	}
}

static void test_error_replies(void **state)
{
	struct fixture *fx = *state;
	static struct request q;
	struct transfer t = {0};
	uint8_t buf[8];

	client_join_qemu(fx);
	assert_int_equal(client_map(fx, 0, 0x10000, 0, RW, -1), 0);
	assert_int_equal(vfio_dma_read(fx->session, 0, buf, 8, transfer_done, &t), -EINPROGRESS);
	/* an error to the first message tells that errors are told */
	request_take(fx, &q);
	reply_raw(fx, &q, ENODEV, NULL, 0);
	request_take(fx, &q);
	reply_raw(fx, &q, ENODEV, NULL, 0);
	assert_int_equal(t.status, -ENODEV);
	assert_int_equal(vfio_dma_write(fx->session, 0, buf, 8, transfer_done, &t), -EINPROGRESS);
	request_take(fx, &q);
	reply_raw(fx, &q, 100000, NULL, 0);
	assert_int_equal(t.status, -EIO);
	assert_int_equal(t.calls, 2);
	assert_int_equal(region_read4(fx, &(uint32_t){0}), 0);
}

static void test_malformed_replies(void **state)
{
	struct fixture *fx = *state;
	static struct request q;
	uint8_t buf[8];

	for (int kind = 0; kind < 6; kind++) {
		struct transfer t = {0};
		uint8_t body[24] = {0};

		client_join_qemu(fx);
		assert_int_equal(client_map(fx, 0, 0x10000, 0, RW, -1), 0);
		assert_int_equal(vfio_dma_read(fx->session, 0, buf, 8, transfer_done, &t),
				 -EINPROGRESS);
		probe_answer(fx);
		request_take(fx, &q);
		if (kind == 1)
			q.access.count = 9;
		if (kind == 2)
			q.access.addr = 1;
		if (kind == 3)
			q.header.id ^= 64; /* another number in the same row */
		if (kind == 4)
			q.header.command = WIRE_DMA_WRITE;
		memcpy(body, &q.access, sizeof(q.access));
		reply_raw(fx, &q, 0, body, kind == 0 ? 23 : 24);
		if (kind == 5)
			reply_raw(fx, &q, 0, body, 24); /* twice */
		assert_true(client_closed(fx));
		assert_int_equal(t.calls, 1);
		assert_true(kind == 5 ? t.status == 0 : t.status < 0);
		assert_non_null(strstr(fx->lost_reason,
				       kind < 3 ? "malformed answer to DMA_READ" : "was not made"));
		client_leave(fx);
	}
}

static void test_cancelled_when_client_leaves(void **state)
{
	struct fixture *fx = *state;
	static struct request q;
	struct transfer flying = {0};
	struct transfer queued[100] = {0};
	uint8_t buf[8];

	client_join_qemu(fx);
	assert_int_equal(client_map(fx, 0, 0x10000, 0, RW, -1), 0);
	assert_int_equal(vfio_dma_read(fx->session, 0, buf, 8, transfer_done, &flying),
			 -EINPROGRESS);
	probe_answer(fx);
	request_take(fx, &q);
	for (size_t i = 0; i < ARRAY_SIZE(queued); i++)
		assert_int_equal(vfio_dma_read(fx->session, 0, buf, 8, transfer_done, &queued[i]),
				 -EINPROGRESS);
	client_leave(fx);
	assert_int_equal(flying.calls, 1);
	assert_int_equal(flying.status, -ECANCELED);
	for (size_t i = 0; i < ARRAY_SIZE(queued); i++) {
		assert_int_equal(queued[i].calls, 1);
		assert_int_equal(queued[i].status, -ECANCELED);
	}
	assert_int_equal(vfio_dma_read(fx->session, 0, buf, 8, transfer_done, &flying), -EFAULT);
	/* the next client is asked anew, and knows nothing of the old messages */
	client_join_qemu(fx);
	assert_int_equal(client_map(fx, 0, 0x10000, 0, RW, -1), 0);
	assert_int_equal(vfio_dma_read(fx->session, 0, buf, 8, transfer_done, &flying),
			 -EINPROGRESS);
	probe_answer(fx);
	request_take(fx, &q);
	reply_read(fx, &q, "12345678");
	assert_memory_equal(buf, "12345678", 8);
}

/* A reset that takes time ends the transfers at once: their answers could only come after it. */
static void test_cancelled_by_reset(void **state)
{
	struct fixture *fx = *state;
	static struct request q;
	struct wire_header header;
	struct transfer t = {0};
	uint8_t buf[8] = "before";

	client_join_qemu(fx);
	assert_int_equal(client_map(fx, 0, 0x10000, 0, RW, -1), 0);
	assert_int_equal(vfio_dma_read(fx->session, 0, buf, 8, transfer_done, &t), -EINPROGRESS);
	probe_answer(fx);
	request_take(fx, &q);
	fx->reset_result = -EINPROGRESS;
	client_send(fx, WIRE_DEVICE_RESET, 0, NOTHING);
	fixture_turn(fx);
	assert_int_equal(t.calls, 1);
	assert_int_equal(t.status, -ECANCELED);
	/* the late answer is taken and ignored */
	reply_read(fx, &q, "12345678");
	vfio_session_complete(fx->session, 0);
	client_recv(fx, &header, NULL, 0, NULL);
	assert_int_equal(header.command, WIRE_DEVICE_RESET);
	fixture_turn(fx);
	assert_string_equal((char *)buf, "before");
	assert_int_equal(t.calls, 1);
	assert_int_equal(region_read4(fx, &(uint32_t){0}), 0);
}

static void test_cancelled_by_waiting_unmap(void **state)
{
	struct fixture *fx = *state;
	static struct request q;
	struct wire_dma_unmap unmap = {24, 0, 0x10000, 0x1000};
	struct transfer t = {0};
	uint8_t buf[8];

	client_join_qemu(fx);
	assert_int_equal(client_map(fx, 0, 0x10000, 0, RW, -1), 0);
	assert_int_equal(client_map(fx, 0x10000, 0x1000, 0, RW, -1), 0);
	assert_int_equal(vfio_dma_read(fx->session, 0, buf, 8, transfer_done, &t), -EINPROGRESS);
	probe_answer(fx);
	request_take(fx, &q);
	(void)vfio_dma_hold(fx->session);
	client_send(fx, WIRE_DMA_UNMAP, 0, BODY(&unmap, sizeof(unmap)));
	fixture_turn(fx);
	assert_int_equal(t.calls, 0);
	fixture_advance(1100000000ull);
	fixture_turn(fx);
	assert_int_equal(t.calls, 1);
	assert_int_equal(t.status, -ECANCELED);
	vfio_dma_release(fx->session, 0);
	assert_false(client_silent(fx));
}

/* None is sent before the command is answered: one that begins meanwhile must not wait for it. */
static void test_begun_while_busy(void **state)
{
	struct fixture *fx = *state;
	static struct request q;
	struct wire_dma_unmap unmap = {24, 0, 0x10000, 0x1000};
	struct wire_header header;
	struct transfer t = {0};
	uint8_t buf[8];
	uint32_t token;

	client_join_qemu(fx);
	assert_int_equal(client_map(fx, 0, 0x10000, 0, RW, -1), 0);
	assert_int_equal(client_map(fx, 0x10000, 0x1000, 0, RW, -1), 0);
	token = vfio_dma_hold(fx->session);
	client_send(fx, WIRE_DMA_UNMAP, 0, BODY(&unmap, sizeof(unmap)));
	fixture_turn(fx);
	assert_int_equal(vfio_dma_read(fx->session, 0, buf, 8, transfer_done, &t), -EINPROGRESS);
	fixture_turn(fx);
	assert_int_equal(t.calls, 0);
	fixture_advance(1100000000ull);
	fixture_turn(fx);
	assert_int_equal(t.calls, 1);
	assert_int_equal(t.status, -ECANCELED);
	vfio_dma_release(fx->session, token);
	client_recv(fx, &header, &unmap, sizeof(unmap), NULL);
	assert_int_equal(header.command, WIRE_DMA_UNMAP);

	fx->reset_result = -EINPROGRESS;
	client_send(fx, WIRE_DEVICE_RESET, 0, NOTHING);
	fixture_turn(fx);
	assert_int_equal(vfio_dma_read(fx->session, 0, buf, 8, transfer_done, &t), -ECANCELED);
	vfio_session_complete(fx->session, 0);
	client_recv(fx, &header, NULL, 0, NULL);
	assert_int_equal(header.command, WIRE_DEVICE_RESET);
	assert_int_equal(vfio_dma_read(fx->session, 0, buf, 8, transfer_done, &t), -EINPROGRESS);
	probe_answer(fx);
	request_take(fx, &q);
	reply_read(fx, &q, "12345678");
	assert_int_equal(t.status, 0);
}

/* A transfer asked for from within a region access goes out after the access's reply. */
static uint8_t nested_buf[4];
static struct transfer nested;

static void read_on_access(struct fixture *fx, uint32_t region, bool write, uint64_t offset)
{
	fx->on_access = NULL;
	assert_int_equal(vfio_dma_read(fx->session, 0, nested_buf, 4, transfer_done, &nested),
			 -EINPROGRESS);
}

static void test_from_region_access(void **state)
{
	struct fixture *fx = *state;
	static struct request q;
	uint32_t value;

	nested = (struct transfer){0};
	client_join_qemu(fx);
	assert_int_equal(client_map(fx, 0, 0x10000, 0, RW, -1), 0);
	fx->on_access = read_on_access;
	assert_int_equal(region_read4(fx, &value), 0);
	probe_answer(fx);
	request_take(fx, &q);
	reply_read(fx, &q, "abcd");
	assert_int_equal(nested.calls, 1);
	assert_memory_equal(nested_buf, "abcd", 4);
}

/* Mapped memory is copied at once; what lies half in it goes by message as a whole. */
static void test_mapped_and_not(void **state)
{
	struct fixture *fx = *state;
	int fd = memory_new(8192, 1);
	static struct request q;
	struct transfer t = {0};
	uint8_t buf[16];
	uint8_t byte;

	client_join_crate(fx);
	assert_int_equal(client_map(fx, 0, 4096, 4096, RW, fd), 0);
	assert_int_equal(client_map(fx, 4096, 4096, 0, RW, fd), 0);
	assert_int_equal(vfio_dma_read(fx->session, 4088, buf, 16, transfer_done, &t), 0);
	assert_int_equal(buf[7], 2);
	assert_int_equal(buf[8], 1);
	assert_int_equal(
		vfio_dma_write(fx->session, 4088, "0123456789abcdef", 16, transfer_done, &t), 0);
	assert_int_equal(pread(fd, &byte, 1, 0), 1);
	assert_int_equal(byte, '8');
	/* this client answers no messages */
	assert_int_equal(client_map(fx, 8192, 4096, 0, RW, -1), 0);
	assert_int_equal(vfio_dma_read(fx->session, 8190, buf, 4, transfer_done, &t), -EFAULT);
	client_leave(fx);
	client_join_qemu(fx);
	assert_int_equal(client_map(fx, 0, 8192, 0, RW, fd), 0);
	assert_int_equal(client_map(fx, 8192, 4096, 0, RW, -1), 0);
	assert_int_equal(vfio_dma_read(fx->session, 8190, buf, 4, transfer_done, &t), -EINPROGRESS);
	probe_answer(fx);
	request_take(fx, &q);
	if (q.access.count == 4096) /* the look comes first or second */
		request_take(fx, &q);
	assert_int_equal(q.access.addr, 8190);
	reply_read(fx, &q, "abcd");
	assert_int_equal(t.calls, 1);
	close(fd);
}

/* ---- Shared or not */

/* Answers reads of @memory (what the guest sees, from address 0) until there are none. */
static uint32_t serve_guest(struct fixture *fx, const uint8_t *memory)
{
	static struct request q;
	uint32_t reads = 0;

	while (client_pending(fx)) {
		request_take(fx, &q);
		if (q.header.command == WIRE_DMA_WRITE) {
			assert_int_equal(q.access.count, 0);
			reply_raw(fx, &q, 0, &q.access, sizeof(q.access));
			continue;
		}
		reads++;
		reply_read(fx, &q, memory + q.access.addr);
	}
	return reads;
}

static void look(struct fixture *fx, uint64_t iova)
{
	struct iovec iov[2];

	assert_int_equal(vfio_dma_translate(fx->session, iova, 64, 1, iov, 2), 1);
	fixture_turn(fx);
}

static void test_shared_memory(void **state)
{
	struct fixture *fx = *state;
	int fd = memory_new(16 * 4096, 0);
	uint8_t *guest = mmap(NULL, 16 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	uint32_t reads = 0;

	assert_true(guest != MAP_FAILED);
	client_join_qemu(fx);
	assert_int_equal(client_map(fx, 0, 16 * 4096, 0, RW, fd), 0);
	/* Zeros prove nothing; looks become rarer. */
	for (int i = 0; i < 100; i++) {
		look(fx, 0x3010);
		reads += serve_guest(fx, guest);
	}
	assert_int_equal(reads, 7); /* at 1, 3, 6, 11, 20, 37, 70 */
	assert_int_equal(fx->page->files[0].checked, 0);
	guest[0x3fff] = 1;
	for (int i = 0; i < 100; i++) {
		look(fx, 0x3010);
		serve_guest(fx, guest);
	}
	assert_int_equal(fx->page->files[0].checked, 1);
	look(fx, 0x3010);
	assert_true(client_silent(fx));
	assert_int_equal(fx->lost, 0);
	munmap(guest, 16 * 4096);
	close(fd);
}

static void test_private_memory(void **state)
{
	struct fixture *fx = *state;
	int fd = memory_new(16 * 4096, 0);
	uint8_t *guest = calloc(16, 4096); /* share=off: the file stays empty */

	assert_non_null(guest);
	guest[0x3020] = 1;
	client_join_qemu(fx);
	assert_int_equal(client_map(fx, 0, 16 * 4096, 0, RW, fd), 0);
	look(fx, 0x1010);
	assert_int_equal(serve_guest(fx, guest), 1);
	assert_int_equal(fx->lost, 0);
	look(fx, 0x3010);
	look(fx, 0x3010);
	assert_int_equal(serve_guest(fx, guest), 2);
	assert_true(client_closed(fx));
	assert_string_equal(fx->refused_reason, "guest memory was passed but is not shared: add "
						"share=on to the memory backend");
	assert_string_equal(fx->lost_reason, fx->refused_reason);
	free(guest);
	close(fd);
}

/* A guest that writes between the look at the mapping and the answer is no liar. */
static void test_changing_memory(void **state)
{
	struct fixture *fx = *state;
	int fd = memory_new(4096, 0);
	uint8_t *guest = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	static struct request q;
	uint8_t copy[4096];

	assert_true(guest != MAP_FAILED);
	client_join_qemu(fx);
	assert_int_equal(client_map(fx, 0, 4096, 0, RW, fd), 0);
	look(fx, 0);
	probe_answer(fx);
	for (int i = 0; i < 20; i++) {
		if (client_silent(fx)) {
			look(fx, 0);
			continue;
		}
		request_take(fx, &q);
		memcpy(copy, guest, sizeof(copy));
		copy[100] = (uint8_t)(i + 1);
		guest[100] = (uint8_t)(i + 2);
		reply_read(fx, &q, copy);
	}
	assert_int_equal(fx->lost, 0);
	assert_false(client_closed(fx));
	munmap(guest, 4096);
	close(fd);
}

/* One difference may be a guest that wrote and wrote back; two in a row are none. */
static void test_single_difference(void **state)
{
	struct fixture *fx = *state;
	int fd = memory_new(4096, 9);
	static struct request q;
	uint8_t copy[4096];

	memset(copy, 9, sizeof(copy));
	copy[7] = 1;
	client_join_qemu(fx);
	assert_int_equal(client_map(fx, 0, 4096, 0, RW, fd), 0);
	look(fx, 0);
	probe_answer(fx);
	request_take(fx, &q);
	reply_read(fx, &q, copy);
	request_take(fx, &q); /* at once again */
	copy[7] = 9;
	reply_read(fx, &q, copy);
	assert_int_equal(fx->page->files[0].checked, 1);
	assert_int_equal(fx->lost, 0);
	close(fd);
}

static void test_unmapped_while_looking(void **state)
{
	struct fixture *fx = *state;
	int fd = memory_new(4096, 9);
	static struct request q;

	client_join_qemu(fx);
	assert_int_equal(client_map(fx, 0, 4096, 0, RW, fd), 0);
	look(fx, 0);
	probe_answer(fx);
	request_take(fx, &q);
	assert_int_equal(client_unmap(fx, 0, 4096), 0);
	memset(q.data, 1, 4096);
	reply_read(fx, &q, q.data);
	assert_int_equal(fx->lost, 0);
	/* the next file is looked at all the same */
	assert_int_equal(client_map(fx, 0, 4096, 0, RW, fd), 0);
	look(fx, 0);
	request_take(fx, &q);
	memset(q.data, 9, 4096);
	reply_read(fx, &q, q.data);
	assert_int_equal(fx->page->files[0].checked, 1);
	close(fd);
}

/* The page that is looked at moves to another place of the file, which lives on in another map. */
static void test_moved_while_looking(void **state)
{
	struct fixture *fx = *state;
	int fd = memory_new(8192, 9);
	static struct request q;
	uint8_t copy[4096];

	memset(copy, 10, sizeof(copy));
	client_join_qemu(fx);
	assert_int_equal(client_map(fx, 0, 4096, 0, RW, fd), 0);
	assert_int_equal(client_map(fx, 8192, 4096, 4096, RW, fd), 0);
	look(fx, 0);
	probe_answer(fx);
	request_take(fx, &q);
	assert_int_equal(client_unmap(fx, 0, 4096), 0);
	assert_int_equal(client_map(fx, 0, 4096, 4096, RW, fd), 0);
	reply_read(fx, &q, copy);
	assert_false(client_pending(fx)); /* no second look at the page that was there */
	look(fx, 0);
	request_take(fx, &q);
	reply_read(fx, &q, copy);
	assert_int_equal(fx->lost, 0);
	assert_int_equal(fx->page->files[0].checked, 1);
	close(fd);
}

/* QEMU before 11: the answer to the first message is a bare header; data come 4 bytes early. */
static void test_old_layout(void **state)
{
	struct fixture *fx = *state;
	int fd = memory_new(4096, 9);
	static struct request q;
	struct transfer t = {0};
	struct iovec iov[1];
	uint8_t buf[8];
	uint8_t body[16 + 4096] = {0};

	client_join_qemu(fx);
	assert_int_equal(client_map(fx, 0, 4096, 0, RW, fd), 0);
	assert_int_equal(client_map(fx, 4096, 4096, 0, RW, -1), 0);
	assert_int_equal(vfio_dma_translate(fx->session, 4096, 8, 1, iov, 1), -EREMOTE);
	assert_int_equal(vfio_dma_read(fx->session, 4096, buf, 8, transfer_done, &t), -EINPROGRESS);
	look(fx, 0);
	request_take(fx, &q);
	reply_raw(fx, &q, 0, NULL, 0);
	assert_int_equal(t.calls, 1);
	assert_int_equal(t.status, -EFAULT);
	assert_int_equal(vfio_dma_translate(fx->session, 4096, 8, 1, iov, 1), -EFAULT);
	assert_int_equal(vfio_dma_read(fx->session, 4096, buf, 8, transfer_done, &t), -EFAULT);
	/* the look is taken all the same */
	request_take(fx, &q);
	assert_int_equal(q.header.command, WIRE_DMA_READ);
	memcpy(body, &q.access, 12);
	memset(body + 12, 9, 4096);
	reply_raw(fx, &q, 0, body, sizeof(body));
	assert_int_equal(fx->page->files[0].checked, 1);
	assert_int_equal(fx->lost, 0);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_read_and_write),
		TEST(test_chunks),
		TEST(test_many),
		TEST(test_error_replies),
		TEST(test_malformed_replies),
		TEST(test_cancelled_when_client_leaves),
		TEST(test_cancelled_by_reset),
		TEST(test_cancelled_by_waiting_unmap),
		TEST(test_begun_while_busy),
		TEST(test_from_region_access),
		TEST(test_mapped_and_not),
		TEST(test_shared_memory),
		TEST(test_private_memory),
		TEST(test_changing_memory),
		TEST(test_single_difference),
		TEST(test_unmapped_while_looking),
		TEST(test_moved_while_looking),
		TEST(test_old_layout),
	};

	return cmocka_run_group_tests_name("vfio/message", tests, NULL, NULL);
}
