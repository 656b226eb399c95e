/* SPDX-License-Identifier: BSD-3-Clause */
/* The session's life, VERSION, and framing. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"
#include "util/fd.h"
#include "vfio/session-internal.h"

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

/* ---- Life */

static void test_join_and_leave(void **state)
{
	struct fixture *fx = *state;
	struct ucred peer;

	assert_false(vfio_session_client(fx->session, NULL));
	client_join_qemu(fx);
	assert_true(vfio_session_client(fx->session, &peer));
	assert_int_equal(peer.pid, getpid());
	assert_int_equal(fx->joined, 1);
	assert_true(fx->kept[VFIO_SLOT_CONNECTION]);
	client_leave(fx);
	assert_int_equal(fx->lost, 1);
	assert_string_equal(fx->lost_reason, "client closed the connection");
	assert_int_equal(fx->refused, 0);
	assert_int_equal(fx->kept_count, 0);
	assert_false(vfio_session_client(fx->session, NULL));
	client_join_crate(fx);
	assert_int_equal(fx->joined, 2);
}

static void test_second_client(void **state)
{
	struct fixture *fx = *state;
	char byte;
	int second;

	client_join_qemu(fx);
	second = client_connect(fx);
	assert_int_equal(recv(second, &byte, 1, MSG_DONTWAIT), 0);
	close(second);
	assert_int_equal(fx->refused, 1);
	assert_non_null(strstr(fx->refused_reason, "in use by pid"));
	assert_int_equal(client_call(fx, WIRE_DEVICE_RESET, NOTHING, NULL, 0, NULL), 0);
}

/* The end of one client and the beginning of the next are seen in one turn of the loop. */
static void test_next_client_at_once(void **state)
{
	struct fixture *fx = *state;

	for (unsigned i = 0; i < 3; i++) {
		client_join_qemu(fx);
		close(fx->client);
	}
	client_join_qemu(fx);
	assert_int_equal(fx->joined, 4);
	assert_int_equal(fx->lost, 3);
	assert_int_equal(fx->refused, 0);
}

/* It does not use the device any more when it has closed the connection, and is gone a while later.
 */
static void test_in_use(void **state)
{
	struct fixture *fx = *state;

	assert_false(vfio_session_in_use(fx->session));
	client_join_qemu(fx);
	assert_true(vfio_session_in_use(fx->session));
	close(fx->client);
	fx->client = -1;
	assert_false(vfio_session_in_use(fx->session));
	assert_true(vfio_session_client(fx->session, NULL));
	fixture_turn(fx);
	assert_false(vfio_session_client(fx->session, NULL));
	assert_int_equal(fx->lost, 1);
}

static void test_not_admitted(void **state)
{
	struct fixture *fx = *state;

	fx->admit_result = -EPERM;
	fx->client = client_connect(fx);
	assert_true(client_closed(fx));
	assert_string_equal(fx->refused_reason, "this client may not");
	assert_int_equal(fx->kept_count, 0);
	assert_false(vfio_session_client(fx->session, NULL));
}

/* Connects and says VERSION while the device asks somebody whether it may. */
static void ask(struct fixture *fx)
{
	static const char version[] = {0, 0, 0, 0, '{', '}', 0};

	fx->admit_result = -EINPROGRESS;
	fx->client = client_connect(fx);
	client_send(fx, WIRE_VERSION, 0, BODY(version, sizeof(version)));
	fixture_turn(fx);
	assert_true(client_silent(fx));
	assert_int_equal(fx->page->state, VFIO_STATE_ASKING);
	assert_int_equal(fx->left, 0);
}

static void test_asked_and_granted(void **state)
{
	struct fixture *fx = *state;
	struct wire_header header;
	char body[512];

	ask(fx);
	vfio_session_admit(fx->session, NULL);
	fixture_turn(fx);
	client_recv(fx, &header, body, sizeof(body), NULL);
	assert_int_equal(header.command, WIRE_VERSION);
	assert_int_equal(fx->joined, 1);
	/* An answer that comes twice, or late, changes nothing. */
	vfio_session_admit(fx->session, "too late");
	assert_int_equal(client_call(fx, WIRE_DEVICE_RESET, NOTHING, NULL, 0, NULL), 0);
	client_leave(fx);
	assert_int_equal(fx->left, 1);
}

static void test_asked_and_refused(void **state)
{
	struct fixture *fx = *state;

	ask(fx);
	vfio_session_admit(fx->session, "somebody else has it");
	assert_true(client_closed(fx));
	assert_string_equal(fx->refused_reason, "somebody else has it");
	assert_int_equal(fx->joined, 0);
	assert_int_equal(fx->left, 1);
	assert_int_equal(fx->kept_count, 0);
	client_leave(fx);
	fx->admit_result = 0;
	client_join_qemu(fx);
}

/* Who hangs up, or is never answered, makes room for the next. */
static void test_asked_and_gone(void **state)
{
	struct fixture *fx = *state;

	ask(fx);
	client_leave(fx);
	assert_int_equal(fx->left, 1);
	vfio_session_admit(fx->session, NULL);
	assert_false(vfio_session_client(fx->session, NULL));
	fx->left = 0;
	ask(fx);
	fixture_advance(11000000000ull);
	assert_true(client_closed(fx));
	assert_non_null(strstr(fx->refused_reason, "nobody could say"));
	client_leave(fx);
	fx->admit_result = 0;
	client_join_qemu(fx);
}

static void test_connection_not_kept(void **state)
{
	struct fixture *fx = *state;

	fx->keep_result = -ENOBUFS;
	fx->client = client_connect(fx);
	assert_true(client_closed(fx));
	assert_int_equal(fx->refused, 1);
	assert_non_null(strstr(fx->refused_reason, "cannot be kept"));
}

static void test_expel(void **state)
{
	struct fixture *fx = *state;

	vfio_session_expel(fx->session, "nobody is there");
	assert_int_equal(fx->refused, 0);
	client_join_qemu(fx);
	vfio_session_expel(fx->session, "go away");
	assert_int_equal(fx->lost, 1);
	assert_string_equal(fx->lost_reason, "go away");
	assert_string_equal(fx->refused_reason, "go away");
	assert_true(client_closed(fx));
}

static void expel_on_access(struct fixture *fx, uint32_t region, bool write, uint64_t offset)
{
	vfio_session_expel(fx->session, "bad access");
	assert_int_equal(fx->lost, 0);
}

static void test_expel_in_callback(void **state)
{
	struct fixture *fx = *state;
	uint8_t body[READ_SIZE];

	client_join_qemu(fx);
	fx->on_access = expel_on_access;
	access_body(body, 0, 0, 4, NULL);
	client_send(fx, WIRE_REGION_READ, 0, BODY(body, sizeof(body)));
	assert_true(client_closed(fx));
	assert_int_equal(fx->lost, 1);
	assert_string_equal(fx->lost_reason, "bad access");
}

static void test_lost_takes_time(void **state)
{
	struct fixture *fx = *state;
	int next;
	char byte;

	client_join_qemu(fx);
	fx->lost_result = -EINPROGRESS;
	client_leave(fx);
	assert_int_equal(fx->lost, 1);
	assert_true(vfio_session_client(fx->session, NULL));
	/* The next client waits in the listener's queue and is served afterwards. */
	next = client_connect(fx);
	assert_true(recv(next, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
	assert_int_equal(fx->refused, 0);
	vfio_session_complete(fx->session, 0);
	fixture_turn(fx);
	assert_int_equal(fx->page->state, VFIO_STATE_NEGOTIATING);
	close(next);
	fixture_turn(fx);
	assert_int_equal(fx->page->state, VFIO_STATE_IDLE);
	assert_int_equal(fx->lost, 1);
}

/* ---- Version */

static int version_error(struct fixture *fx, uint16_t major, uint16_t minor, const char *json,
			 size_t json_len)
{
	uint8_t body[8192] = {0};
	uint16_t version[2] = {major, minor};
	int error;

	fx->client = client_connect(fx);
	memcpy(body, version, sizeof(version));
	memcpy(body + 4, json, json_len);
	error = client_call(fx, WIRE_VERSION, BODY(body, 4 + json_len), NULL, 0, NULL);
	if (error)
		assert_true(client_closed(fx));
	client_leave(fx);
	return error;
}

static void test_version_refusals(void **state)
{
	struct fixture *fx = *state;
	static const char *const bad[] = {
		"x",
		"[]",
		"{",
		"{\"capabilities\":[]}",
		"{\"capabilities\":{\"max_msg_fds\":\"1\"}}",
		"{\"capabilities\":{\"max_msg_fds\":-1}}",
		"{\"capabilities\":{\"max_data_xfer_size\":0}}",
		"{\"capabilities\":{\"max_data_xfer_size\":1.5}}",
		"{\"capabilities\":{\"write_multiple\":1}}",
		"{\"capabilities\":{\"pgsizes\":null}}",
	};
	char *deep = malloc(WIRE_JSON_MAX + 2);

	assert_non_null(deep);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(version_error(fx, 0, 0, bad[i], strlen(bad[i]) + 1), EINVAL);
	/* not NUL-terminated; longer than anyone needs */
	assert_int_equal(version_error(fx, 0, 0, "{}", 2), EINVAL);
	memset(deep, ' ', WIRE_JSON_MAX + 1);
	memcpy(deep, "{}", 2);
	deep[WIRE_JSON_MAX + 1] = '\0';
	assert_int_equal(version_error(fx, 0, 0, deep, WIRE_JSON_MAX + 2), EINVAL);
	deep[WIRE_JSON_MAX] = '\0';
	assert_int_equal(version_error(fx, 0, 0, deep, WIRE_JSON_MAX + 1), 0);
	free(deep);
	assert_int_equal(version_error(fx, 1, 0, "{}", 3), EINVAL);
	assert_non_null(strstr(fx->refused_reason, "major version"));
	assert_int_equal(version_error(fx, 0, 7, "{\"other\":1}", 12), 0);
	assert_int_equal(version_error(fx, 0, 1, "", 0), 0);
}

static void test_version_order(void **state)
{
	struct fixture *fx = *state;

	fx->client = client_connect(fx);
	assert_int_equal(client_call(fx, WIRE_DEVICE_RESET, NOTHING, NULL, 0, NULL), EINVAL);
	assert_true(client_closed(fx));
	assert_non_null(strstr(fx->refused_reason, "DEVICE_RESET"));
	assert_int_equal(fx->resets, 0);
	assert_int_equal(fx->lost, 0);
	client_leave(fx);
	client_join_qemu(fx);
	assert_int_equal(client_call(fx, WIRE_VERSION, BODY("\0\0\0\0", 4), NULL, 0, NULL), EINVAL);
	assert_int_equal(client_call(fx, WIRE_DEVICE_RESET, NOTHING, NULL, 0, NULL), 0);
}

static void test_version_timeout(void **state)
{
	struct fixture *fx = *state;

	fx->client = client_connect(fx);
	fixture_advance(9900000000ull);
	assert_false(client_closed(fx));
	fixture_advance(200000000ull);
	assert_true(client_closed(fx));
	assert_non_null(strstr(fx->refused_reason, "version within 10 s"));
}

/* ---- Framing */

/* Every way to cut a message with a body in two, and a message with a descriptor too. */
static void test_fragments(void **state)
{
	struct fixture *fx = *state;
	struct {
		struct wire_header header;
		struct wire_region_access access;
		uint32_t data;
	} __attribute__((packed)) m = {
		{1, WIRE_REGION_WRITE, sizeof(m), 0, 0},
		{0x20, 0, 4},
		0,
	};

	client_join_qemu(fx);
	for (size_t cut = 1; cut < sizeof(m); cut++) {
		struct wire_header header;
		struct wire_region_access reply;
		uint32_t value;

		m.data = 0x01010101u * (uint32_t)cut;
		m.header.id = (uint16_t)cut;
		client_send_raw(fx, &m, cut, NULL, 0);
		assert_true(client_silent(fx));
		client_send_raw(fx, (uint8_t *)&m + cut, sizeof(m) - cut, NULL, 0);
		assert_int_equal(client_recv(fx, &header, &reply, sizeof(reply), NULL), 16);
		assert_int_equal(header.id, cut);
		assert_int_equal(header.error, 0);
		memcpy(&value, fx->bar0 + 0x20, 4);
		assert_int_equal(value, m.data);
	}
	/* and byte by byte */
	for (size_t i = 0; i < sizeof(m); i++) {
		client_send_raw(fx, (uint8_t *)&m + i, 1, NULL, 0);
		fixture_turn(fx);
	}
	assert_false(client_silent(fx));
}

static void test_fragments_with_fd(void **state)
{
	struct fixture *fx = *state;
	struct {
		struct wire_header header;
		struct wire_dma_map map;
	} m = {{0, WIRE_DMA_MAP, sizeof(m), 0, 0}, {32, 3, 0, 0, 0x1000}};
	int fd = memory_new(0x100000, 1);
	int fds;

	client_join_crate(fx);
	fds = count_open_fds();
	for (size_t cut = 1; cut <= sizeof(m); cut++) {
		struct wire_header header;
		struct iovec iov;

		m.map.addr = cut * 0x1000;
		client_send_raw(fx, &m, cut, &fd, 1);
		fixture_turn(fx);
		if (cut < sizeof(m))
			client_send_raw(fx, (uint8_t *)&m + cut, sizeof(m) - cut, NULL, 0);
		client_recv(fx, &header, NULL, 0, NULL);
		assert_int_equal(header.error, 0);
		assert_int_equal(vfio_dma_translate(fx->session, m.map.addr, 0x1000, 3, &iov, 1),
				 1);
		assert_int_equal(*(uint8_t *)iov.iov_base, 1);
	}
	/* The eventfd that watches mapped memory has come to stay, and what is held for a
	 * successor. */
	assert_int_equal(count_open_fds(), fds + 2);
	assert_int_equal(fx->kept_count, 2);
	close(fd);
}

static void test_pipelining(void **state)
{
	struct fixture *fx = *state;
	uint8_t stream[40 * (16 + 16 + 4)];
	size_t len = 0;

	client_join_qemu(fx);
	for (uint32_t i = 0; i < 40; i++) {
		struct wire_header header = {(uint16_t)i, WIRE_REGION_WRITE, 36, 0, 0};

		/* every other one wants no reply */
		if (i & 1)
			header.flags = WIRE_FLAG_NO_REPLY;
		memcpy(stream + len, &header, 16);
		access_body(stream + len + 16, 0, i * 4, 4, &i);
		len += 36;
	}
	client_send_raw(fx, stream, len, NULL, 0);
	for (uint32_t i = 0; i < 40; i += 2) {
		struct wire_header header;
		uint8_t reply[16];

		assert_int_equal(client_recv(fx, &header, reply, sizeof(reply), NULL), 16);
		assert_int_equal(header.id, i);
	}
	assert_true(client_silent(fx));
	for (uint32_t i = 0; i < 40; i++)
		assert_memory_equal(fx->bar0 + i * 4, &i, 4);
}

static void test_no_reply(void **state)
{
	struct fixture *fx = *state;
	uint8_t body[READ_SIZE + 4];
	size_t len;

	client_join_qemu(fx);
	client_send(fx, WIRE_DEVICE_RESET, WIRE_FLAG_NO_REPLY, NOTHING);
	len = access_body(body, 99, 0, 4, "abcd");
	client_send(fx, WIRE_REGION_WRITE, WIRE_FLAG_NO_REPLY, BODY(body, len));
	client_send(fx, WIRE_REGION_READ, WIRE_FLAG_NO_REPLY, BODY(body, len));
	client_send(fx, 99, WIRE_FLAG_NO_REPLY, NOTHING);
	assert_true(client_silent(fx));
	assert_int_equal(fx->resets, 1);
}

/* What a client wrote counts, though it leaves without having read all of its replies. */
static void test_written_before_leaving(void **state)
{
	struct fixture *fx = *state;
	struct wire_device_info info = {.argsz = sizeof(info)};
	struct {
		struct wire_region_access access;
		uint32_t value;
	} request = {{0x20, 0, 4}, 7};

	client_join_qemu(fx);
	client_send(fx, WIRE_GET_INFO, 0, BODY(&info, sizeof(info)));
	fixture_turn(fx);
	client_send(fx, WIRE_REGION_WRITE, WIRE_FLAG_NO_REPLY,
		    BODY(&request, sizeof(request.access) + 4));
	client_leave(fx);
	assert_int_equal(fx->accesses, 1);
	assert_int_equal(fx->bar0[0x20], 7);
	assert_int_equal(fx->lost, 1);
}

static void test_bad_headers(void **state)
{
	struct fixture *fx = *state;
	static const struct {
		struct wire_header header;
		const char *reason;
	} bad[] = {
		{{1, WIRE_DEVICE_RESET, 15, 0, 0}, "no vfio-user message"},
		{{1, WIRE_DEVICE_RESET, 0, 0, 0}, "no vfio-user message"},
		{{1, WIRE_DEVICE_RESET, 16, 2, 0}, "no vfio-user message"},
		{{1, WIRE_REGION_WRITE, WIRE_MESSAGE_MAX + 1, 0, 0}, "the limit is"},
		{{1, WIRE_REGION_WRITE, UINT32_MAX, 0, 0}, "the limit is"},
		{{1, WIRE_DMA_READ, 16, WIRE_TYPE_REPLY, 0}, "not made"},
		{{1, WIRE_DEVICE_RESET, 16, WIRE_TYPE_REPLY, 0}, "not made"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		client_join_qemu(fx);
		client_send_raw(fx, &bad[i].header, sizeof(bad[i].header), NULL, 0);
		assert_true(client_closed(fx));
		assert_non_null(strstr(fx->lost_reason, bad[i].reason));
		assert_string_equal(fx->lost_reason, fx->refused_reason);
		client_leave(fx);
	}
	assert_int_equal(fx->lost, ARRAY_SIZE(bad));
}

static void test_largest_message(void **state)
{
	struct fixture *fx = *state;
	uint8_t *body = calloc(1, WIRE_MESSAGE_MAX);
	uint8_t reply[16];
	size_t len;

	assert_non_null(body);
	client_join_qemu(fx);
	/* The most a message may hold, for a region that is smaller. */
	access_body(body, 0, 0, WIRE_TRANSFER_MAX, NULL);
	assert_int_equal(client_call(fx, WIRE_REGION_WRITE, BODY(body, 16 + WIRE_TRANSFER_MAX),
				     reply, sizeof(reply), &len),
			 EINVAL);
	assert_int_equal(fx->accesses, 0);
	free(body);
	assert_int_equal(client_call(fx, WIRE_DEVICE_RESET, NOTHING, NULL, 0, NULL), 0);
}

static void test_stall(void **state)
{
	struct fixture *fx = *state;
	struct wire_header header = {1, WIRE_REGION_WRITE, 36, 0, 0};

	client_join_qemu(fx);
	fixture_advance(60000000000ull); /* silence between messages is fine */
	assert_false(client_closed(fx));
	client_send_raw(fx, &header, sizeof(header), NULL, 0);
	fixture_turn(fx);
	fixture_advance(9900000000ull);
	assert_false(client_closed(fx));
	/* A byte more buys no more time. */
	client_send_raw(fx, &header, 1, NULL, 0);
	assert_false(client_closed(fx));
	fixture_advance(200000000ull);
	assert_true(client_closed(fx));
	assert_string_equal(fx->lost_reason, "client stopped in the middle of a message for 10 s");
}

static void test_stall_in_header(void **state)
{
	struct fixture *fx = *state;

	client_join_qemu(fx);
	client_send_raw(fx, "\1\0\1", 3, NULL, 0);
	fixture_turn(fx);
	fixture_advance(10100000000ull);
	assert_true(client_closed(fx));
}

static void test_end_inside_message(void **state)
{
	struct fixture *fx = *state;
	struct wire_header header = {1, WIRE_DMA_MAP, 48, 0, 0};
	int fd = memory_new(4096, 1);

	client_join_qemu(fx);
	client_send_raw(fx, &header, 7, &fd, 1);
	fixture_turn(fx);
	client_leave(fx);
	assert_string_equal(fx->lost_reason,
			    "client closed the connection in the middle of a message");
	close(fd);
}

/* Descriptors that nobody asked for are closed, on success and on failure (the teardown counts). */
static void test_stray_fds(void **state)
{
	struct fixture *fx = *state;
	int fds[FD_MESSAGE_MAX];
	int before;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = STDIN_FILENO;
	client_join_qemu(fx);
	before = count_open_fds();
	assert_int_equal(client_call(fx, WIRE_DEVICE_RESET, BODY_FDS(NULL, 0, fds, WIRE_FDS_MAX),
				     NULL, 0, NULL),
			 0);
	assert_int_equal(client_call(fx, WIRE_DEVICE_RESET,
				     BODY_FDS(NULL, 0, fds, WIRE_FDS_MAX + 1), NULL, 0, NULL),
			 EINVAL);
	assert_int_equal(client_call(fx, WIRE_DEVICE_RESET, BODY_FDS(NULL, 0, fds, FD_MESSAGE_MAX),
				     NULL, 0, NULL),
			 EINVAL);
	assert_int_equal(client_call(fx, 99, BODY_FDS(NULL, 0, fds, 3), NULL, 0, NULL), ENOSYS);
	assert_int_equal(fx->resets, 1);
	assert_int_equal(count_open_fds(), before);
}

/* A client that does not read its replies gets no further service until it does. */
static void test_slow_reader(void **state)
{
	struct fixture *fx = *state;
	uint8_t body[READ_SIZE];
	struct wire_header header;
	static uint8_t reply[READ_SIZE + FIXTURE_BAR0_SIZE];
	uint32_t sent = 0;
	uint32_t served;

	client_join_qemu(fx);
	access_body(body, 0, 0, FIXTURE_BAR0_SIZE, NULL);
	for (; sent < 100; sent++) {
		client_send(fx, WIRE_REGION_READ, 0, BODY(body, sizeof(body)));
		fixture_turn(fx);
	}
	served = fx->accesses;
	assert_true(served < sent);
	assert_true(fx->page->tx.len > 0);
	assert_int_equal(vfio_page_check(fx->page, &fx->info), 0);
	for (uint32_t i = 0; i < sent; i++) {
		assert_int_equal(client_recv(fx, &header, reply, sizeof(reply), NULL),
				 sizeof(reply));
		assert_int_equal(header.error, 0);
	}
	assert_int_equal(fx->accesses, sent);
	assert_true(client_silent(fx));
}

/* A page that an earlier process left is taken up without its client. */
static void test_page_of_earlier_process(void **state)
{
	struct fixture *fx = *state;

	client_join_qemu(fx);
	assert_int_equal(client_map(fx, 0, 0x1000, 0, 3, -1), 0);
	assert_int_equal(vfio_page_check(fx->page, &fx->info), 0);
	client_leave(fx);
	assert_int_equal(fx->page->maps_used, 0);
	assert_int_equal(vfio_page_check(fx->page, &fx->info), 0);
	for (size_t i = offsetof(struct vfio_page, peer); i < sizeof(*fx->page); i++) {
		/* rx and tx bodies may hold old bytes, nothing else does */
		if (i >= offsetof(struct vfio_page, rx) && i < offsetof(struct vfio_page, maps))
			continue;
		assert_int_equal(((uint8_t *)fx->page)[i], 0);
	}
}

/* ---- No descriptor is free */

/* Lets the process open @more descriptors, or with -1 as many as it may. */
static void limit_fds(int more)
{
	struct rlimit limit;
	int next = dup(STDERR_FILENO);

	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = more < 0 ? limit.rlim_max : (rlim_t)(next + more);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void test_no_fd_for_request(void **state)
{
	struct fixture *fx = *state;
	struct wire_dma_map map = {32, 3, 0, 0, 0x1000};
	int fd = memory_new(0x1000, 1);
	int error;

	client_join_crate(fx);
	limit_fds(0);
	error = client_call(fx, WIRE_DMA_MAP, BODY_FDS(&map, sizeof(map), &fd, 1), NULL, 0, NULL);
	limit_fds(-1);
	assert_int_equal(error, EMFILE);
	assert_int_equal(client_map(fx, 0, 0x1000, 0, 3, fd), 0);
	close(fd);
}

/* The client waits in the queue; the loop does not spin over it meanwhile. */
static void test_no_fd_for_client(void **state)
{
	struct fixture *fx = *state;

	limit_fds(1); /* the client's own end */
	fx->client = client_connect(fx);
	limit_fds(-1);
	assert_true(client_silent(fx));
	assert_int_equal(fx->page->state, VFIO_STATE_IDLE);
	fixture_advance(110000000);
	fixture_turn(fx);
	assert_int_equal(fx->page->state, VFIO_STATE_NEGOTIATING);
	assert_int_equal(fx->refused, 0);
}

/* Long posted writes become thousands of accesses: others get their turn in between. */
static void test_long_requests_take_turns(void **state)
{
	struct fixture *fx = *state;
	struct {
		struct wire_region_access access;
		uint8_t data[FIXTURE_BAR0_SIZE];
	} *write = calloc(1, sizeof(*write));

	assert_non_null(write);
	client_join_qemu(fx);
	write->access.count = sizeof(write->data);
	fx->accesses = 0;
	for (int i = 0; i < 6; i++)
		client_send(fx, WIRE_REGION_WRITE, WIRE_FLAG_NO_REPLY, BODY(write, sizeof(*write)));
	assert_int_equal(reactor_turn(fx->reactor, 0), 0);
	assert_in_range(fx->accesses, 1, 3);
	fixture_turn(fx);
	assert_int_equal(fx->accesses, 6);
	free(write);
}

static void slow_access(struct fixture *fx, uint32_t region, bool write, uint64_t offset)
{
	fixture_advance(VFIO_TURN_NS / 3 + 1);
}

/* So they do while short ones take long: so many requests as fit into a time. */
static void test_slow_requests_take_turns(void **state)
{
	struct fixture *fx = *state;
	struct {
		struct wire_region_access access;
		uint32_t value;
	} write = {.access.count = sizeof(write.value)};

	client_join_qemu(fx);
	fx->on_access = slow_access;
	fx->accesses = 0;
	for (int i = 0; i < 20; i++)
		client_send(fx, WIRE_REGION_WRITE, WIRE_FLAG_NO_REPLY, BODY(&write, sizeof(write)));
	assert_int_equal(reactor_turn(fx->reactor, 0), 0);
	assert_in_range(fx->accesses, 1, 3);
	fixture_turn(fx);
	assert_int_equal(fx->accesses, 20);
	/* One that takes longer than that has its turn, too. */
	fixture_advance(VFIO_TURN_NS);
	client_send(fx, WIRE_REGION_WRITE, WIRE_FLAG_NO_REPLY, BODY(&write, sizeof(write)));
	fixture_turn(fx);
	assert_int_equal(fx->accesses, 21);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_join_and_leave),
		TEST(test_second_client),
		TEST(test_next_client_at_once),
		TEST(test_in_use),
		TEST(test_not_admitted),
		TEST(test_asked_and_granted),
		TEST(test_asked_and_refused),
		TEST(test_asked_and_gone),
		TEST(test_connection_not_kept),
		TEST(test_expel),
		TEST(test_expel_in_callback),
		TEST(test_lost_takes_time),
		TEST(test_version_refusals),
		TEST(test_version_order),
		TEST(test_version_timeout),
		TEST(test_fragments),
		TEST(test_fragments_with_fd),
		TEST(test_pipelining),
		TEST(test_no_reply),
		TEST(test_written_before_leaving),
		TEST(test_bad_headers),
		TEST(test_largest_message),
		TEST(test_stall),
		TEST(test_stall_in_header),
		TEST(test_end_inside_message),
		TEST(test_stray_fds),
		TEST(test_slow_reader),
		TEST(test_no_fd_for_request),
		TEST(test_no_fd_for_client),
		TEST(test_long_requests_take_turns),
		TEST(test_slow_requests_take_turns),
		TEST(test_page_of_earlier_process),
	};

	return cmocka_run_group_tests_name("vfio/session", tests, NULL, NULL);
}
