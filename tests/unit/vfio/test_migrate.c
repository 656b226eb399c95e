/* SPDX-License-Identifier: BSD-3-Clause */
/* A client that moves the device: states, the stream, and what is refused. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

/* Asks for a state; the errno of the answer. */
static int set_state(struct fixture *fx, uint32_t state)
{
	uint32_t body[4] = {16, WIRE_FEATURE_STATE | WIRE_FEATURE_SET, state, 0};
	uint32_t reply[4];
	size_t len = 0;
	int r = client_call(fx, WIRE_DEVICE_FEATURE, BODY(body, sizeof(body)), reply, sizeof(reply),
			    &len);

	if (r == 0) {
		assert_int_equal(len, sizeof(body));
		assert_memory_equal(reply, body, sizeof(body));
	}
	return r;
}

static uint32_t get_state(struct fixture *fx)
{
	uint32_t body[2] = {16, WIRE_FEATURE_STATE | WIRE_FEATURE_GET};
	uint32_t reply[4];
	size_t len = 0;

	assert_int_equal(client_call(fx, WIRE_DEVICE_FEATURE, BODY(body, sizeof(body)), reply,
				     sizeof(reply), &len),
			 0);
	assert_int_equal(len, sizeof(reply));
	assert_int_equal(reply[0], 16);
	return reply[2];
}

/* Reads at most @size bytes of the stream; returns how many came, or -errno. */
static int read_some(struct fixture *fx, uint8_t *to, uint32_t size)
{
	uint32_t body[2] = {8 + size, size};
	uint8_t *reply = malloc(8 + size);
	size_t len = 0;
	uint32_t got;
	int r = client_call(fx, WIRE_MIG_DATA_READ, BODY(body, sizeof(body)), reply, 8 + size,
			    &len);

	if (r == 0) {
		memcpy(&got, reply + 4, 4);
		assert_int_equal(len, 8 + got);
		assert_true(got <= size);
		memcpy(to, reply + 8, got);
		r = -(int)got;
	}
	free(reply);
	return -r;
}

static int write_some(struct fixture *fx, uint32_t from, uint32_t size)
{
	uint8_t *body = malloc(8 + size);
	uint32_t head[2] = {8 + size, size};
	int r;

	memcpy(body, head, sizeof(head));
	for (uint32_t i = 0; i < size; i++)
		body[8 + i] = fixture_stream(from + i);
	r = client_call(fx, WIRE_MIG_DATA_WRITE, BODY(body, 8 + size), NULL, 0, NULL);
	free(body);
	return r;
}

static void test_read(void **state)
{
	struct fixture *fx = *state;
	uint8_t bytes[30000];
	uint32_t at = 0;
	int n;

	client_join_qemu(fx);
	assert_int_equal(get_state(fx), WIRE_STATE_RUNNING);
	assert_int_equal(read_some(fx, bytes, 10), -EINVAL);
	/* Two steps at once. */
	assert_int_equal(set_state(fx, WIRE_STATE_STOP_COPY), 0);
	assert_int_equal(fx->rests, 1);
	assert_true(fx->kept[VFIO_SLOT_STREAM]);
	assert_int_equal(set_state(fx, WIRE_STATE_STOP_COPY), 0);
	do {
		n = read_some(fx, bytes, sizeof(bytes));
		assert_true(n >= 0);
		for (int i = 0; i < n; i++)
			assert_int_equal(bytes[i], fixture_stream(at + (uint32_t)i));
		at += (uint32_t)n;
	} while (n == sizeof(bytes));
	assert_int_equal(at, FIXTURE_STREAM);
	assert_int_equal(read_some(fx, bytes, 10), 0);
	/* More than a message holds would look like the end. */
	assert_int_equal(read_some(fx, bytes, WIRE_TRANSFER_MAX), -EINVAL);
	assert_int_equal(set_state(fx, WIRE_STATE_RUNNING), 0);
	assert_int_equal(fx->wakes, 1);
	assert_false(fx->kept[VFIO_SLOT_STREAM]);
	assert_int_equal(vfio_page_check(fx->page, &fx->info), 0);
}

static void test_write(void **state)
{
	struct fixture *fx = *state;

	client_join_qemu(fx);
	assert_int_equal(write_some(fx, 0, 10), EINVAL);
	assert_int_equal(set_state(fx, WIRE_STATE_RESUMING), 0);
	for (uint32_t at = 0; at < FIXTURE_STREAM; at += 12500)
		assert_int_equal(write_some(fx, at, 12500), 0);
	assert_int_equal(write_some(fx, 0, 1001), ENOSPC);
	assert_int_equal(set_state(fx, WIRE_STATE_RUNNING), 0);
	assert_int_equal(fx->loads, 1);
	assert_int_equal(fx->wakes, 1);
	/* A load that takes time. */
	assert_int_equal(set_state(fx, WIRE_STATE_RESUMING), 0);
	for (uint32_t at = 0; at < FIXTURE_STREAM; at += 12500)
		assert_int_equal(write_some(fx, at, 12500), 0);
	fx->load_result = -EINPROGRESS;
	{
		uint32_t body[4] = {16, WIRE_FEATURE_STATE | WIRE_FEATURE_SET, WIRE_STATE_RUNNING,
				    0};
		struct wire_header header;
		uint32_t reply[4];

		client_send(fx, WIRE_DEVICE_FEATURE, 0, BODY(body, sizeof(body)));
		assert_true(client_silent(fx));
		assert_int_equal(fx->page->migration.state, WIRE_STATE_RESUMING);
		vfio_session_complete(fx->session, 0);
		assert_int_equal(client_recv(fx, &header, reply, sizeof(reply), NULL), 16);
		assert_int_equal(header.error, 0);
	}
	assert_int_equal(get_state(fx), WIRE_STATE_RUNNING);
}

static void test_bad_stream(void **state)
{
	struct fixture *fx = *state;

	client_join_qemu(fx);
	assert_int_equal(set_state(fx, WIRE_STATE_RESUMING), 0);
	assert_int_equal(write_some(fx, 0, 10), 0);
	assert_int_equal(set_state(fx, WIRE_STATE_RUNNING), EINVAL);
	assert_int_equal(get_state(fx), WIRE_STATE_ERROR);
	assert_false(fx->kept[VFIO_SLOT_STREAM]);
	assert_int_equal(set_state(fx, WIRE_STATE_STOP), EINVAL);
	assert_int_equal(client_call(fx, WIRE_DEVICE_RESET, NOTHING, NULL, 0, NULL), 0);
	assert_int_equal(get_state(fx), WIRE_STATE_RUNNING);
	assert_int_equal(set_state(fx, WIRE_STATE_STOP), 0);
}

/* Of a stream that cannot fit the client hears at the first bytes that show it. */
static void test_checked(void **state)
{
	struct fixture *fx = *state;

	client_join_qemu(fx);
	assert_int_equal(set_state(fx, WIRE_STATE_RESUMING), 0);
	assert_int_equal(write_some(fx, 0, FIXTURE_HEAD - 1), 0);
	assert_int_equal(write_some(fx, 3, 1), EINVAL);
	assert_int_equal(fx->checks, 2);
	/* What was refused was not taken. */
	assert_int_equal(get_state(fx), WIRE_STATE_RESUMING);
	assert_int_equal(write_some(fx, FIXTURE_HEAD - 1, 1), 0);
	assert_int_equal(fx->checks, 3);
	/* Once it fits, nobody asks again. */
	for (uint32_t at = FIXTURE_HEAD; at < FIXTURE_STREAM; at += 11000)
		assert_int_equal(write_some(fx, at, 11000), 0);
	assert_int_equal(fx->checks, 3);
	assert_int_equal(set_state(fx, WIRE_STATE_STOP), 0);
	/* Another stream is looked at again. */
	assert_int_equal(set_state(fx, WIRE_STATE_RESUMING), 0);
	assert_int_equal(write_some(fx, 1, FIXTURE_HEAD), EINVAL);
	assert_int_equal(fx->checks, 4);
}

static void test_leaves(void **state)
{
	static const uint32_t states[] = {WIRE_STATE_STOP, WIRE_STATE_STOP_COPY,
					  WIRE_STATE_RESUMING};
	struct fixture *fx = *state;

	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		client_join_qemu(fx);
		assert_int_equal(set_state(fx, states[i]), 0);
		client_leave(fx);
		assert_int_equal(fx->page->migration.state, WIRE_STATE_RUNNING);
		assert_int_equal(fx->kept_count, 0);
		assert_int_equal(vfio_page_check(fx->page, &fx->info), 0);
	}
	/* In the middle of coming to rest: the device ends that first. */
	client_join_qemu(fx);
	fx->rest_result = -EINPROGRESS;
	{
		uint32_t body[4] = {16, WIRE_FEATURE_STATE | WIRE_FEATURE_SET, WIRE_STATE_STOP, 0};

		client_send(fx, WIRE_DEVICE_FEATURE, 0, BODY(body, sizeof(body)));
		fixture_turn(fx);
	}
	client_leave(fx);
	assert_int_equal(fx->lost, 3);
	vfio_session_complete(fx->session, 0);
	fixture_turn(fx);
	assert_int_equal(fx->lost, 4);
	assert_int_equal(fx->page->state, VFIO_STATE_IDLE);
}

/* Sizes and numbers of every kind. */
static void test_refused(void **state)
{
	static const struct {
		uint32_t words[4];
		uint32_t len;
		int error;
	} cases[] = {
		{{8, WIRE_FEATURE_STATE | WIRE_FEATURE_SET}, 8, EINVAL},
		{{16, WIRE_FEATURE_STATE | WIRE_FEATURE_SET, WIRE_STATE_STOP}, 12, EINVAL},
		{{16, WIRE_FEATURE_STATE | WIRE_FEATURE_SET, WIRE_STATE_ERROR, 0}, 16, EINVAL},
		{{16, WIRE_FEATURE_STATE | WIRE_FEATURE_SET, 5, 0}, 16, EINVAL},
		{{16, WIRE_FEATURE_STATE | WIRE_FEATURE_SET, 6, 0}, 16, EINVAL},
		{{16, WIRE_FEATURE_STATE | WIRE_FEATURE_SET, 8, 0}, 16, EINVAL},
		{{16, WIRE_FEATURE_STATE | WIRE_FEATURE_SET, UINT32_MAX, 0}, 16, EINVAL},
		{{16, WIRE_FEATURE_MIGRATION | WIRE_FEATURE_SET, 0, 0}, 16, ENOTSUP},
		{{16, 3 | WIRE_FEATURE_GET, 0, 0}, 16, ENOTSUP},
		{{16, 0xffff | WIRE_FEATURE_GET, 0, 0}, 16, ENOTSUP},
		{{8, WIRE_FEATURE_PROBE | WIRE_FEATURE_STATE | WIRE_FEATURE_SET}, 8, 0},
		{{8, WIRE_FEATURE_PROBE | WIRE_FEATURE_MIGRATION}, 8, 0},
		{{8, WIRE_FEATURE_PROBE | WIRE_FEATURE_MIGRATION | WIRE_FEATURE_SET}, 8, ENOTSUP},
	};
	struct fixture *fx = *state;
	uint32_t reply[8];
	size_t len = 0;

	client_join_qemu(fx);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(client_call(fx, WIRE_DEVICE_FEATURE,
					     BODY(cases[i].words, cases[i].len), reply,
					     sizeof(reply), &len),
				 cases[i].error);
	assert_int_equal(get_state(fx), WIRE_STATE_RUNNING);
	/* No room for the answer: its size. */
	{
		uint32_t body[2] = {8, WIRE_FEATURE_STATE | WIRE_FEATURE_GET};

		assert_int_equal(client_call(fx, WIRE_DEVICE_FEATURE, BODY(body, 8), reply,
					     sizeof(reply), &len),
				 0);
		assert_int_equal(len, 8);
		assert_int_equal(reply[0], 16);
	}
	assert_int_equal(set_state(fx, WIRE_STATE_RESUMING), 0);
	for (uint32_t n = 0; n < 12; n++) {
		uint32_t body[3] = {8, 5, 0};

		assert_int_equal(client_call(fx, WIRE_MIG_DATA_WRITE, BODY(body, n), NULL, 0, NULL),
				 EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup_moved, fixture_teardown)
		TEST(test_read),   TEST(test_write),   TEST(test_bad_stream),
		TEST(test_leaves), TEST(test_refused), TEST(test_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
