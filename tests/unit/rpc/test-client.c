/* SPDX-License-Identifier: BSD-3-Clause */
/* libumdev against the real server on another thread, and against peers that make no sense. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <umdev/client.h>

#include "rpc-fixture.h"
#include "util/cleanup.h"
#include "util/clock.h"

struct served {
	struct fixture f;
	pthread_t thread;
	struct reactor_fd stop;
	int stop_pipe[2];
};

static void served_stop(struct reactor_fd *source, uint32_t events)
{
	struct served *s = container_of(source, struct served, stop);

	reactor_stop(s->f.reactor);
}

static void *served_run(void *data)
{
	struct served *s = data;

	return reactor_run(s->f.reactor) == 0 ? NULL : s;
}

static int setup(void **state)
{
	struct served *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	fixture_init(&s->f);
	assert_int_equal(pipe(s->stop_pipe), 0);
	s->stop =
		(struct reactor_fd){.fd = s->stop_pipe[0], .events = EPOLLIN, .ready = served_stop};
	assert_int_equal(reactor_fd_add(s->f.reactor, &s->stop), 0);
	assert_int_equal(pthread_create(&s->thread, NULL, served_run, s), 0);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct served *s = *state;
	void *result = s;

	close(s->stop_pipe[1]);
	assert_int_equal(pthread_join(s->thread, &result), 0);
	assert_null(result);
	for (unsigned i = 0; i < s->f.n_held; i++)
		rpc_reply(s->f.held[i], json_object());
	close(s->stop_pipe[0]);
	fixture_done(&s->f);
	free(s);
	return 0;
}

static void test_call(void **state)
{
	struct served *s = *state;
	struct umdev_client *client = NULL;
	char *text = NULL;

	assert_int_equal(umdev_client_connect(s->f.root, &client), 0);
	assert_int_equal(umdev_client_call(client, "mdev.list", "{\"uuid\": \"u\"}", &text), 0);
	assert_string_equal(text, "{\"uuid\":\"u\"}");
	umdev_client_free_text(text);
	assert_int_equal(umdev_client_call(client, "mdev.list", NULL, NULL), 0);
	assert_int_equal(umdev_client_call(client, "driver.list", NULL, &text), 0);
	assert_int_equal(strlen(text), FIXTURE_LONG_TEXT + strlen("{\"text\":\"\"}"));
	umdev_client_free_text(text);
	umdev_client_free(client);
}

static void test_root_from_environment(void **state)
{
	struct served *s = *state;
	struct umdev_client *client = NULL;

	setenv("UMDEV_ROOT", s->f.root, 1);
	assert_int_equal(umdev_client_connect(NULL, &client), 0);
	unsetenv("UMDEV_ROOT");
	umdev_client_free(client);
}

static void test_errors(void **state)
{
	struct served *s = *state;
	struct umdev_client *client = NULL;
	char *text = NULL;

	assert_int_equal(umdev_client_connect(s->f.root, &client), 0);
	assert_int_equal(umdev_client_call(client, "mdev.stop", "{\"uuid\":\"u\"}", &text), -EBUSY);
	assert_null(text);
	assert_string_equal(umdev_client_error_word(client), "DEVICE_BUSY");
	assert_string_equal(umdev_client_error_message(client), "mdev 'u' is in use ?");
	assert_string_equal(umdev_client_error_key(client), "uuid");
	assert_int_equal(umdev_client_call(client, "no.such", NULL, &text), -ENOSYS);
	assert_string_equal(umdev_client_error_word(client), "UNKNOWN_METHOD");
	assert_int_equal(umdev_client_call(client, "mdev.stop", "[]", &text), -EINVAL);
	assert_int_equal(umdev_client_call(client, "mdev.stop", "{", &text), -EINVAL);
	assert_int_equal(umdev_client_call(client, "mdev.list", NULL, NULL), 0);
	assert_string_equal(umdev_client_error_word(client), "NONE");
	assert_string_equal(umdev_client_error_message(client), "");
	umdev_client_free(client);
}

static void test_events(void **state)
{
	struct served *s = *state;
	struct umdev_client *client = NULL;
	char *text = NULL;

	assert_int_equal(umdev_client_connect(s->f.root, &client), 0);
	assert_int_equal(umdev_client_next_event(client, 0, &text), 0);
	/* The event comes before the answer and is kept. */
	assert_int_equal(umdev_client_call(client, "event.watch", "{\"since\": 0}", &text), 0);
	assert_string_equal(text, "{\"next\":5}");
	umdev_client_free_text(text);
	assert_int_equal(umdev_client_next_event(client, 0, &text), 1);
	assert_string_equal(text, "{\"event\":\"missed\"}");
	umdev_client_free_text(text);
	assert_int_equal(umdev_client_next_event(client, 10, &text), 0);
	umdev_client_free(client);
}

static void test_timeout(void **state)
{
	struct served *s = *state;
	struct umdev_client *client = NULL;
	uint64_t start = clock_now_ns();

	assert_int_equal(umdev_client_connect(s->f.root, &client), 0);
	umdev_client_set_timeout(client, 50);
	assert_int_equal(umdev_client_call(client, "doctor", NULL, NULL), -ETIMEDOUT);
	assert_true(clock_now_ns() - start >= 50 * NS_PER_MS);
	assert_string_equal(umdev_client_error_word(client), "TIMEOUT");
	/* What comes late would be taken for the next answer, so the connection is over. */
	assert_int_equal(umdev_client_call(client, "mdev.list", NULL, NULL), -ECONNREFUSED);
	umdev_client_free(client);
}

static void test_turned_away(void **state)
{
	struct served *s = *state;
	struct umdev_client *clients[RPC_CLIENTS_MAX + 1] = {NULL};

	for (int i = 0; i < RPC_CLIENTS_MAX; i++) {
		assert_int_equal(umdev_client_connect(s->f.root, &clients[i]), 0);
		assert_int_equal(umdev_client_call(clients[i], "mdev.list", NULL, NULL), 0);
	}
	assert_int_equal(umdev_client_connect(s->f.root, &clients[RPC_CLIENTS_MAX]), 0);
	assert_int_equal(umdev_client_call(clients[RPC_CLIENTS_MAX], "mdev.list", NULL, NULL),
			 -EDQUOT);
	for (int i = 0; i <= RPC_CLIENTS_MAX; i++)
		umdev_client_free(clients[i]);
}

static void test_nobody_there(void **state)
{
	char root[64] = "/tmp/umdev-rpc-XXXXXX";
	char message[512];
	struct umdev_client *client = NULL;

	assert_non_null(mkdtemp(root));
	assert_int_equal(umdev_client_connect(root, &client), -ECONNREFUSED);
	assert_null(client);
	assert_string_equal(umdev_client_error_word(NULL), "UNREACHABLE");
	snprintf(message, sizeof(message),
		 "cannot reach umdevd at %s/run/umdev/control.sock: No such file or directory; "
		 "is it running with this root?",
		 root);
	assert_string_equal(umdev_client_error_message(NULL), message);
	assert_int_equal(rmdir(root), 0);
}

/* A root whose path is longer than a socket address. */
static void test_long_root(void **state)
{
	struct served *s = *state;
	struct umdev_client *client = NULL;
	char root[512];
	size_t len;

	snprintf(root, sizeof(root), "%s", s->f.root);
	for (len = strlen(root); len < 400; len += 2)
		memcpy(root + len, "/.", 3);
	assert_int_equal(umdev_client_connect(root, &client), 0);
	assert_int_equal(umdev_client_call(client, "mdev.list", NULL, NULL), 0);
	umdev_client_free(client);
}

/* What a peer without sense sends in place of an answer, and what the call says then. */
struct odd_peer {
	int listen_fd;
	const char *sends;
};

static void *odd_peer_run(void *data)
{
	struct odd_peer *peer = data;
	int fd = accept(peer->listen_fd, NULL, NULL);
	char line[512];

	if (fd < 0 || recv(fd, line, sizeof(line), 0) < 0)
		return NULL;
	if (send(fd, peer->sends, strlen(peer->sends), MSG_NOSIGNAL) < 0)
		return NULL;
	close(fd);
	return peer;
}

static void test_odd_peers(void **state)
{
	static const struct {
		const char *sends;
		int result;
	} cases[] = {
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n", 0},
		{"{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}\n", -EIO},
		{"{\"jsonrpc\":\"2.0\",\"id\":1}\n", -EIO},
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{}}\n", -EIO},
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"data\":{\"word\":\"NONE\"}}}\n", -EIO},
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"data\":{\"word\":\"LIMIT\"}}}\n",
		 -EDQUOT},
		{"garbage\n", -EIO},
		{"[]\n", -EIO},
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"res", -ECONNRESET},
		{"", -ECONNRESET},
	};
	struct fixture f;

	fixture_init(&f);
	rpc_server_free(f.server);
	f.server = NULL;
	assert_int_equal(fcntl(f.listen_fd, F_SETFL, 0), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct odd_peer peer = {f.listen_fd, cases[i].sends};
		struct umdev_client *client = NULL;
		void *result = NULL;
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, odd_peer_run, &peer), 0);
		assert_int_equal(umdev_client_connect(f.root, &client), 0);
		assert_int_equal(umdev_client_call(client, "version", NULL, NULL), cases[i].result);
		assert_int_equal(pthread_join(thread, &result), 0);
		assert_ptr_equal(result, &peer);
		umdev_client_free(client);
	}
	fixture_done(&f);
}

#define CLIENT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLIENT_TEST(test_call),
		CLIENT_TEST(test_root_from_environment),
		CLIENT_TEST(test_errors),
		CLIENT_TEST(test_events),
		CLIENT_TEST(test_timeout),
		CLIENT_TEST(test_turned_away),
		cmocka_unit_test(test_nobody_there),
		CLIENT_TEST(test_long_root),
		cmocka_unit_test(test_odd_peers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
