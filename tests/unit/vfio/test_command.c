/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands that touch neither memory nor interrupts, and effects that take time. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"
#include "util/fd.h"

#define READ_SIZE (sizeof(struct wire_region_access))

/* A region access message's body: header and data. */
static size_t access_body(uint8_t *body, uint32_t region, uint64_t offset, uint32_t count,
			  const void *data)
{
	struct wire_region_access access = {offset, region, count};

	memcpy(body, &access, sizeof(access));
	if (data)
		memcpy(body + sizeof(access), data, count);
	return sizeof(access) + (data ? count : 0);
}

static int region_read(struct fixture *fx, uint32_t region, uint64_t offset, uint32_t count,
		       void *data, size_t *ret_len)
{
	uint8_t body[READ_SIZE];
	static uint8_t reply[READ_SIZE + 8192];
	size_t len;
	int error;

	access_body(body, region, offset, count, NULL);
	error = client_call(fx, WIRE_REGION_READ, BODY(body, sizeof(body)), reply, sizeof(reply),
			    &len);
	if (len > READ_SIZE) {
		assert_memory_equal(reply, body, sizeof(body));
		memcpy(data, reply + READ_SIZE, len - READ_SIZE);
	}
	*ret_len = len;
	return error;
}

static int region_write(struct fixture *fx, uint32_t region, uint64_t offset, uint32_t count,
			const void *data)
{
	uint8_t body[READ_SIZE + 64];
	uint8_t reply[READ_SIZE];
	size_t len = access_body(body, region, offset, count, data);
	int error;

	error = client_call(fx, WIRE_REGION_WRITE, BODY(body, len), reply, sizeof(reply), &len);
	if (!error) {
		assert_int_equal(len, sizeof(reply));
		assert_memory_equal(reply, body, sizeof(reply));
	}
	return error;
}

/* ---- Commands */

static void test_info(void **state)
{
	struct fixture *fx = *state;
	struct wire_device_info info = {.argsz = sizeof(info)};
	size_t len;

	client_join_qemu(fx);
	assert_int_equal(client_call(fx, WIRE_GET_INFO, BODY(&info, sizeof(info)), &info,
				     sizeof(info), &len),
			 0);
	assert_int_equal(len, 16);
	assert_int_equal(info.argsz, 16);
	assert_int_equal(info.flags, 3);
	assert_int_equal(info.num_regions, 9);
	assert_int_equal(info.num_irqs, 5);
	assert_int_equal(client_call(fx, WIRE_GET_INFO, BODY(&info, 15), NULL, 0, NULL), EINVAL);
	info.argsz = 15;
	assert_int_equal(client_call(fx, WIRE_GET_INFO, BODY(&info, sizeof(info)), NULL, 0, NULL),
			 EINVAL);
}

struct region_reply {
	struct wire_region_info info;
	struct wire_region_sparse sparse;
	struct wire_region_area areas[2];
};

static size_t region_info(struct fixture *fx, uint32_t index, uint32_t argsz, size_t body_len,
			  struct region_reply *ret, int *ret_fd)
{
	uint8_t body[4096] = {0};
	struct wire_region_info info = {.argsz = argsz, .index = index};
	struct wire_header header;
	size_t len;

	memcpy(body, &info, sizeof(info));
	memset(ret, 0, sizeof(*ret));
	client_send(fx, WIRE_GET_REGION_INFO, 0, BODY(body, body_len));
	len = client_recv(fx, &header, ret, sizeof(*ret), ret_fd);
	assert_int_equal(header.error, 0);
	assert_true(len <= argsz);
	return len;
}

static void test_region_info(void **state)
{
	struct fixture *fx = *state;
	struct region_reply r;
	struct wire_region_info info = {.argsz = 32, .index = 9};
	int fd;

	client_join_qemu(fx);
	/* too little room for the capability: what is needed, and nothing that misleads */
	assert_int_equal(region_info(fx, 0, 32, 32, &r, &fd), 32);
	assert_int_equal(r.info.argsz, 64);
	assert_int_equal(r.info.flags, 7);
	assert_int_equal(r.info.cap_offset, 0);
	assert_int_equal(fd, -1);
	/* enough, by a client that sends a longer body than it must */
	assert_int_equal(region_info(fx, 0, 4064, 4096, &r, &fd), 64);
	assert_int_equal(r.info.argsz, 64);
	assert_int_equal(r.info.flags, 15);
	assert_int_equal(r.info.cap_offset, 32);
	assert_int_equal(r.info.size, FIXTURE_BAR0_SIZE);
	assert_int_equal(r.info.offset, 0);
	assert_int_equal(r.sparse.id, 1);
	assert_int_equal(r.sparse.version, 1);
	assert_int_equal(r.sparse.next, 0);
	assert_int_equal(r.sparse.nr_areas, 1);
	assert_int_equal(r.areas[0].offset, 0x1000);
	assert_int_equal(r.areas[0].size, 0x2000);
	assert_true(fd >= 0);
	close(fd);
	/* the whole region needs no capability */
	assert_int_equal(region_info(fx, 2, 32, 32, &r, &fd), 32);
	assert_int_equal(r.info.flags, 7);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(region_info(fx, 8, 32, 32, &r, &fd), 32);
	assert_int_equal(r.info.size, 0);
	assert_int_equal(r.info.flags, 0);
	assert_int_equal(region_info(fx, 4, 32, 32, &r, &fd), 32);
	assert_int_equal(r.info.flags, 1);
	assert_int_equal(client_call(fx, WIRE_GET_REGION_INFO, BODY(&info, 32), NULL, 0, NULL),
			 EINVAL);
	info.index = 0;
	info.argsz = 31;
	assert_int_equal(client_call(fx, WIRE_GET_REGION_INFO, BODY(&info, 32), NULL, 0, NULL),
			 EINVAL);
	assert_int_equal(client_call(fx, WIRE_GET_REGION_INFO, BODY(&info, 31), NULL, 0, NULL),
			 EINVAL);
}

static void test_region_io_fds(void **state)
{
	struct fixture *fx = *state;
	struct wire_region_io_fds info = {.argsz = 16, .index = 0};
	struct wire_region_io_fds reply;
	size_t len;

	client_join_qemu(fx);
	assert_int_equal(client_call(fx, WIRE_GET_REGION_IO_FDS, BODY(&info, 16), &reply, 16, &len),
			 0);
	assert_int_equal(len, 16);
	assert_int_equal(reply.argsz, 16);
	assert_int_equal(reply.count, 0);
	info.index = 9;
	assert_int_equal(client_call(fx, WIRE_GET_REGION_IO_FDS, BODY(&info, 16), NULL, 0, NULL),
			 EINVAL);
	info.index = 0;
	info.flags = 1;
	assert_int_equal(client_call(fx, WIRE_GET_REGION_IO_FDS, BODY(&info, 16), NULL, 0, NULL),
			 EINVAL);
}

static void test_region_access(void **state)
{
	struct fixture *fx = *state;
	uint8_t data[4096];
	size_t len;

	client_join_qemu(fx);
	for (size_t i = 0; i < sizeof(fx->config); i++)
		fx->config[i] = (uint8_t)i;
	assert_int_equal(region_read(fx, VFIO_REGION_CONFIG, 0, 256, data, &len), 0);
	assert_int_equal(len, 16 + 256);
	assert_memory_equal(data, fx->config, 256);
	assert_int_equal(region_write(fx, 0, 0x3ff8, 8, "12345678"), 0);
	assert_memory_equal(fx->bar0 + 0x3ff8, "12345678", 8);
	assert_int_equal(region_read(fx, 0, 0x3fff, 1, data, &len), 0);
	assert_int_equal(data[0], '8');
	fx->accesses = 0;
	/* what does not exist, or not so; errors are bare headers */
	assert_int_equal(region_read(fx, 0, 0x3fff, 2, data, &len), EINVAL);
	assert_int_equal(len, 0);
	assert_int_equal(region_read(fx, 0, UINT64_MAX, 4, data, &len), EINVAL);
	assert_int_equal(region_read(fx, 0, UINT64_MAX - 3, 4, data, &len), EINVAL);
	assert_int_equal(region_read(fx, 1, 0, 1, data, &len), EINVAL);
	assert_int_equal(region_read(fx, 9, 0, 1, data, &len), EINVAL);
	assert_int_equal(region_read(fx, UINT32_MAX, 0, 1, data, &len), EINVAL);
	assert_int_equal(region_read(fx, 0, 0, 0, data, &len), EINVAL);
	assert_int_equal(region_read(fx, 0, 0, WIRE_TRANSFER_MAX + 1, data, &len), EINVAL);
	assert_int_equal(region_write(fx, 4, 0, 4, "abcd"), EPERM);
	assert_int_equal(region_write(fx, VFIO_REGION_CONFIG, 253, 4, "abcd"), EINVAL);
	assert_int_equal(fx->accesses, 0);
	fx->read_result = -EIO;
	assert_int_equal(region_read(fx, 0, 0, 4, data, &len), EIO);
	assert_int_equal(len, 0);
}

/* Shorter than it says. */
static void test_region_write_short(void **state)
{
	struct fixture *fx = *state;
	uint8_t body[READ_SIZE + 8];

	client_join_qemu(fx);
	access_body(body, 0, 0, 8, "abcdefgh");
	for (size_t len = 0; len < sizeof(body); len++)
		assert_int_equal(client_call(fx, WIRE_REGION_WRITE, BODY(body, len), NULL, 0, NULL),
				 EINVAL);
	for (size_t len = 0; len < READ_SIZE; len++)
		assert_int_equal(client_call(fx, WIRE_REGION_READ, BODY(body, len), NULL, 0, NULL),
				 EINVAL);
	assert_int_equal(fx->accesses, 0);
}

/* Clients other than QEMU read replies at fixed sizes and do not look at the error flag. */
static void test_region_errors_in_full(void **state)
{
	struct fixture *fx = *state;
	uint8_t body[READ_SIZE + 4];
	uint8_t reply[64];
	uint8_t data[64];
	size_t len;

	client_join_crate(fx);
	assert_int_equal(region_read(fx, 1, 0, 4, data, &len), EINVAL);
	assert_int_equal(len, 20);
	assert_memory_equal(data, "\xff\xff\xff\xff", 4);
	access_body(body, 1, 0, 4, "abcd");
	assert_int_equal(client_call(fx, WIRE_REGION_WRITE, BODY(body, sizeof(body)), reply,
				     sizeof(reply), &len),
			 EINVAL);
	assert_int_equal(len, 16);
}

static size_t multi_body(uint8_t *body, const struct wire_multi_entry *entries, uint64_t count)
{
	memcpy(body, &count, sizeof(count));
	memcpy(body + 8, entries, count * sizeof(*entries));
	return 8 + count * sizeof(*entries);
}

static void test_write_multi(void **state)
{
	struct fixture *fx = *state;
	static const struct wire_multi_entry entries[] = {
		{0, 0, 4, "aaaa"},	{4, 0, 8, "bbbbbbbb"},
		{0, 99, 4, "cccc"},	/* no such region */
		{0x3ffe, 0, 4, "dddd"}, /* beyond its end */
		{12, 0, 9, "eeeeeeee"}, /* too much */
		{12, 0, 0, ""},		/* nothing */
		{0x3ffc, 0, 4, "ffff"},
	};
	uint8_t body[8 + sizeof(entries)];
	uint64_t count;
	size_t len = multi_body(body, entries, ARRAY_SIZE(entries));

	client_join_qemu(fx);
	assert_int_equal(client_call(fx, WIRE_REGION_WRITE_MULTI, BODY(body, len), &count,
				     sizeof(count), NULL),
			 0);
	assert_int_equal(count, 3);
	assert_memory_equal(fx->bar0, "aaaabbbbbbbb", 12);
	assert_memory_equal(fx->bar0 + 0x3ffc, "ffff", 4);
	client_send(fx, WIRE_REGION_WRITE_MULTI, WIRE_FLAG_NO_REPLY, BODY(body, len));
	assert_true(client_silent(fx));
	assert_int_equal(fx->accesses, 6);
	/* more entries than bytes */
	for (size_t n = 0; n < len; n++)
		assert_int_equal(client_call(fx, WIRE_REGION_WRITE_MULTI, BODY(body, n), NULL, 0,
					     NULL),
				 EINVAL);
	count = UINT64_MAX / 8;
	memcpy(body, &count, 8);
	assert_int_equal(client_call(fx, WIRE_REGION_WRITE_MULTI, BODY(body, len), NULL, 0, NULL),
			 EINVAL);
	assert_int_equal(fx->accesses, 6);
}

static void test_features(void **state)
{
	struct fixture *fx = *state;
	static const struct {
		uint32_t flags;
		int error;
	} tries[] = {
		{1 | WIRE_FEATURE_GET, ENOTSUP},
		{2 | WIRE_FEATURE_SET, ENOTSUP},
		{1 | WIRE_FEATURE_PROBE, ENOTSUP},
		{6 | WIRE_FEATURE_PROBE | WIRE_FEATURE_SET, ENOTSUP},
		{8 | WIRE_FEATURE_PROBE | WIRE_FEATURE_SET | WIRE_FEATURE_GET, ENOTSUP},
		{1 | WIRE_FEATURE_GET | WIRE_FEATURE_SET, EINVAL},
		{1, EINVAL},
		{1 | WIRE_FEATURE_GET | 0x80000, EINVAL},
	};
	struct wire_feature feature = {.argsz = 8};
	size_t len;

	client_join_qemu(fx);
	for (size_t i = 0; i < ARRAY_SIZE(tries); i++) {
		feature.flags = tries[i].flags;
		assert_int_equal(client_call(fx, WIRE_DEVICE_FEATURE, BODY(&feature, 8), NULL, 0,
					     &len),
				 tries[i].error);
		assert_int_equal(len, 0);
	}
	assert_int_equal(client_call(fx, WIRE_DEVICE_FEATURE, BODY(&feature, 7), NULL, 0, NULL),
			 EINVAL);
	assert_int_equal(client_call(fx, WIRE_MIG_DATA_READ, BODY(&feature, 8), NULL, 0, NULL),
			 ENOTSUP);
	assert_int_equal(client_call(fx, WIRE_MIG_DATA_WRITE, NOTHING, NULL, 0, NULL), ENOTSUP);
	assert_int_equal(client_call(fx, 14, NOTHING, NULL, 0, NULL), ENOSYS);
	assert_int_equal(client_call(fx, WIRE_DMA_READ, NOTHING, NULL, 0, NULL), ENOSYS);
	assert_int_equal(client_call(fx, 0, NOTHING, NULL, 0, NULL), ENOSYS);
	assert_int_equal(client_call(fx, UINT16_MAX, NOTHING, NULL, 0, NULL), ENOSYS);
}

/* ---- Effects that take time */

static void test_reset_takes_time(void **state)
{
	struct fixture *fx = *state;
	struct wire_header header;
	uint8_t body[READ_SIZE];
	uint8_t reply[64];

	client_join_qemu(fx);
	fx->reset_result = -EINPROGRESS;
	client_send(fx, WIRE_DEVICE_RESET, 0, NOTHING);
	access_body(body, 0, 0, 4, NULL);
	client_send(fx, WIRE_REGION_READ, 0, BODY(body, sizeof(body)));
	assert_true(client_silent(fx));
	assert_int_equal(fx->page->state, VFIO_STATE_BUSY);
	assert_int_equal(vfio_page_check(fx->page, &fx->info), 0);
	assert_int_equal(fx->accesses, 0);
	vfio_session_complete(fx->session, 0);
	client_recv(fx, &header, reply, sizeof(reply), NULL);
	assert_int_equal(header.command, WIRE_DEVICE_RESET);
	assert_int_equal(header.error, 0);
	client_recv(fx, &header, reply, sizeof(reply), NULL);
	assert_int_equal(header.command, WIRE_REGION_READ);
	/* a completion that nobody waits for */
	vfio_session_complete(fx->session, 0);
	fixture_turn(fx);
	fx->reset_result = -EIO;
	assert_int_equal(client_call(fx, WIRE_DEVICE_RESET, NOTHING, NULL, 0, NULL), EIO);
}

static void test_client_leaves_in_reset(void **state)
{
	struct fixture *fx = *state;

	client_join_qemu(fx);
	fx->reset_result = -EINPROGRESS;
	client_send(fx, WIRE_DEVICE_RESET, 0, NOTHING);
	fixture_turn(fx);
	client_leave(fx);
	assert_int_equal(fx->lost, 0);
	assert_true(vfio_session_client(fx->session, NULL));
	fx->lost_result = -EINPROGRESS;
	vfio_session_complete(fx->session, 0);
	fixture_turn(fx);
	assert_int_equal(fx->lost, 1);
	assert_true(vfio_session_client(fx->session, NULL));
	vfio_session_complete(fx->session, 0);
	fixture_turn(fx);
	assert_false(vfio_session_client(fx->session, NULL));
}

static void test_write_takes_time(void **state)
{
	struct fixture *fx = *state;
	static const struct wire_multi_entry entries[] = {
		{0, 0, 4, "aaaa"},
		{4, VFIO_REGION_CONFIG, 4, "bbbb"},
		{8, 0, 4, "cccc"},
		{4, VFIO_REGION_CONFIG, 4, "bbbb"},
	};
	uint8_t body[8 + sizeof(entries)];
	struct wire_header header;
	uint64_t count;
	uint8_t reply[16];
	size_t len = access_body(body, VFIO_REGION_CONFIG, 0, 4, "flr!");

	client_join_qemu(fx);
	fx->write_result = -EINPROGRESS;
	client_send(fx, WIRE_REGION_WRITE, 0, BODY(body, len));
	assert_true(client_silent(fx));
	vfio_session_complete(fx->session, 0);
	assert_int_equal(client_recv(fx, &header, reply, sizeof(reply), NULL), 16);
	assert_memory_equal(reply, body, 16);
	/* among several */
	len = multi_body(body, entries, ARRAY_SIZE(entries));
	client_send(fx, WIRE_REGION_WRITE_MULTI, 0, BODY(body, len));
	assert_true(client_silent(fx));
	assert_int_equal(fx->page->rx.multi_next, 1);
	vfio_session_complete(fx->session, 0);
	assert_true(client_silent(fx));
	assert_memory_equal(fx->bar0 + 8, "cccc", 4);
	vfio_session_complete(fx->session, -EIO);
	assert_int_equal(client_recv(fx, &header, &count, sizeof(count), NULL), 8);
	assert_int_equal(count, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_info),
		TEST(test_region_info),
		TEST(test_region_io_fds),
		TEST(test_region_access),
		TEST(test_region_write_short),
		TEST(test_region_errors_in_full),
		TEST(test_write_multi),
		TEST(test_features),
		TEST(test_reset_takes_time),
		TEST(test_client_leaves_in_reset),
		TEST(test_write_takes_time),
	};

	return cmocka_run_group_tests_name("vfio/command", tests, NULL, NULL);
}
