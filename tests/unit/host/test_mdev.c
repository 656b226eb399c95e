/* SPDX-License-Identifier: BSD-3-Clause */
/* An mdev with its client, seen from the broker's end of the link. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/host.h"
#include "util/fd.h"
#include "vfio/wire.h"

#define UUID "0d6e2f4c-5b1a-4f0e-9c3d-7a8b9c0d1e2f"
#define MAPS 40

struct bench {
	struct umdev_parent parent;
	int broker;
	int client;
	unsigned keeps;
	unsigned drops; /* slots */
	unsigned drop_messages;
};

static int device_create(void *parent_priv, struct umdev_mdev *mdev,
			 const struct umdev_mdev_args *args, struct umdev_device *ret_device,
			 void **ret_priv)
{
	ret_device->vendor_id = 0x1234;
	return 0;
}

static void device_remove(void *mdev_priv)
{
}

static int device_reset(void *mdev_priv, uint32_t kind)
{
	return 0;
}

/* Turns the loop and takes what the host told its broker. */
static void bench_turn(struct bench *b)
{
	static char text[LINK_MESSAGE_MAX];

	for (int i = 0; i < 8; i++) {
		int fds[LINK_FDS_MAX];
		size_t nfds;
		ssize_t n;

		assert_int_equal(reactor_turn(b->parent.reactor, 0), 0);
		while ((n = fd_recv(b->broker, text, sizeof(text), fds, LINK_FDS_MAX, &nfds)) > 0) {
			json_t *msg = json_loadb(text, (size_t)n, 0, NULL);
			const char *method = json_string_value(json_object_get(msg, "method"));
			json_t *slots = json_object_get(json_object_get(msg, "params"), "slots");

			assert_non_null(method);
			if (strcmp(method, LINK_KEEP) == 0)
				b->keeps += (unsigned)nfds;
			if (strcmp(method, LINK_DROP) == 0) {
				b->drops += (unsigned)json_array_size(slots);
				b->drop_messages++;
			}
			fd_close_all(fds, nfds);
			json_decref(msg);
		}
	}
}

static void client_send(struct bench *b, uint16_t command, const void *body, size_t len,
			const int *fd)
{
	uint8_t message[256];
	struct wire_header header = {
		.command = command,
		.size = (uint32_t)(sizeof(header) + len),
	};

	memcpy(message, &header, sizeof(header));
	memcpy(message + sizeof(header), body, len);
	assert_int_equal(fd_send(b->client, message, header.size, fd, fd ? 1 : 0), header.size);
	bench_turn(b);
	assert_true(read(b->client, message, sizeof(message)) >= (ssize_t)sizeof(header));
	memcpy(&header, message, sizeof(header));
	assert_int_equal(header.error, 0);
}

static void bench_create(struct bench *b)
{
	char dir[] = "/tmp/umdev-host-test-XXXXXX";
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct umdev_driver *table = &b->parent.driver.table;
	int page = fd_memfd("page", page_size_for(0));
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct host_create create = {.uuid = UUID, .page_fd = &page, .listener = &listener};
	struct umdev_error err = {0};

	table->name = "test";
	table->mdev_create = device_create;
	table->mdev_remove = device_remove;
	table->reset = device_reset;
	assert_non_null(mkdtemp(dir));
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/socket", dir);
	assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(host_mdev_create(&b->parent, &create, &err), 0);
	b->client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(b->client, (struct sockaddr *)&addr, sizeof(addr)), 0);
	unlink(addr.sun_path);
	rmdir(dir);
}

/* The last mdev that fits is there: one more is refused. */
static void bench_expect_full(struct bench *b)
{
	int none = -1;
	struct host_create create = {.uuid = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1fff",
				     .page_fd = &none,
				     .listener = &none};
	struct umdev_error err = {0};

	assert_int_equal(b->parent.mdev_count, HOST_MDEVS_MAX);
	assert_true(host_mdev_create(&b->parent, &create, &err) < 0);
	assert_int_equal(err.word, ERROR_LIMIT);
	assert_int_equal(b->parent.mdev_count, HOST_MDEVS_MAX);
}

/* What a client leaves behind is taken back in one message, not in one for each descriptor. */
static void test_drops_together(void **state)
{
	static const uint8_t version[4] = {0};
	struct bench *b = calloc(1, sizeof(*b));
	struct umdev_error err = {0};
	int pair[2];

	assert_non_null(b);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	b->broker = pair[1];
	b->parent.reactor = reactor_new();
	assert_non_null(b->parent.reactor);
	list_init(&b->parent.mdevs);
	assert_int_equal(link_init(&b->parent.link, b->parent.reactor, pair[0], &host_link_ops,
				   &b->parent),
			 0);
	b->parent.mdev_count = HOST_MDEVS_MAX - 1;
	bench_create(b);
	bench_expect_full(b);
	client_send(b, WIRE_VERSION, version, sizeof(version), NULL);
	for (unsigned i = 0; i < MAPS; i++) {
		struct wire_dma_map map = {sizeof(map), WIRE_DMA_MAP_READ, 0, i * 4096u, 4096};
		int fd = fd_memfd("memory", 4096);

		client_send(b, WIRE_DMA_MAP, &map, sizeof(map), &fd);
		close(fd);
	}
	assert_int_equal(b->keeps, MAPS + 1); /* with the connection */
	assert_int_equal(b->drops, 0);
	close(b->client);
	bench_turn(b);
	assert_int_equal(b->drops, MAPS + 1);
	assert_int_equal(b->drop_messages, 1);
	assert_int_equal(host_mdev_remove(host_mdev_find(&b->parent, UUID), 0, false, &err), 0);
	bench_turn(b);
	assert_null(host_mdev_find(&b->parent, UUID));
	link_done(&b->parent.link);
	reactor_free(b->parent.reactor);
	close(b->broker);
	free(b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drops_together),
	};

	return cmocka_run_group_tests_name("host/mdev", tests, NULL, NULL);
}
