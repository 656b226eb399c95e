/* SPDX-License-Identifier: BSD-3-Clause */
/* The JSON-RPC server: envelopes, errors, late answers, events, and each limit at it and past it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "rpc-fixture.h"
#include "rpc/methods.h"
#include "util/cleanup.h"
#include "util/clock.h"

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	fixture_init(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	fixture_done(*state);
	free(*state);
	return 0;
}

/* Sends one line and compares the whole answer. */
static void expect(struct fixture *f, int fd, const char *line, const char *answer)
{
	json_t *json;
	umdev_autofree char *text = NULL;

	fixture_send(f, fd, line);
	json = fixture_receive(f, fd);
	assert_non_null(json);
	text = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	assert_string_equal(text, answer);
}

static void test_answers(void **state)
{
	struct fixture *f = *state;
	int fd = fixture_connect(f);
	char want[128];

	expect(f, fd,
	       "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"mdev.list\",\"params\":{\"uuid\":\"u\"}}",
	       "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"uuid\":\"u\"}}");
	expect(f, fd, "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"mdev.list\"}",
	       "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"result\":{}}");
	expect(f, fd, "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"mdev.list\"}",
	       "{\"jsonrpc\":\"2.0\",\"id\":null,\"result\":{}}");
	snprintf(want, sizeof(want),
		 "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"uid\":%d,\"pid\":%d}}", (int)getuid(),
		 (int)getpid());
	expect(f, fd, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"version\"}", want);
	close(fd);
	fixture_turn(f);
	assert_int_equal(rpc_server_clients(f->server), 0);
}

static void test_errors(void **state)
{
	struct fixture *f = *state;
	int fd = fixture_connect(f);

	expect(f, fd, "no json",
	       "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":"
	       "\"not JSON: invalid token near 'no'\",\"data\":{\"word\":\"INVALID\",\"errno\":22}}}");
	expect(f, fd, "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"version\"}]",
	       "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\"message\":"
	       "\"requests come one by one, not in a batch\",\"data\":{\"word\":\"INVALID\",\"errno\":22}}}");
	expect(f, fd, "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"version\"}",
	       "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32600,\"message\":"
	       "\"a request has \\\"jsonrpc\\\": \\\"2.0\\\"\",\"data\":{\"word\":\"INVALID\",\"errno\":22}}}");
	expect(f, fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"nothing.here\"}",
	       "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32601,\"message\":"
	       "\"there is no method 'nothing.here'\",\"data\":{\"word\":\"UNKNOWN_METHOD\",\"errno\":38}}}");
	expect(f, fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"mdev.stop\",\"params\":{}}",
	       "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32602,\"message\":"
	       "\"mdev.stop: parameter 'uuid' is missing\",\"data\":{\"word\":\"INVALID\",\"errno\":22,"
	       "\"key\":\"uuid\"}}}");
	expect(f, fd,
	       "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"mdev.stop\",\"params\":{\"uuid\":\"u\"}}",
	       "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32000,\"message\":"
	       "\"mdev 'u' is in use ?\",\"data\":{\"word\":\"DEVICE_BUSY\",\"errno\":16,\"key\":\"uuid\"}}}");
	close(fd);
}

static void test_bad_envelopes(void **state)
{
	static const char *const lines[] = {
		"5",
		"\"text\"",
		"{}",
		"{\"id\":1,\"method\":\"version\"}",
		"{\"jsonrpc\":\"2.0\",\"id\":1}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}",
		"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"version\"}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"version\",\"params\":[]}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"version\"}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ver\\u0000sion\"}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}",
	};
	struct fixture *f = *state;
	int fd = fixture_connect(f);

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		json_t *answer;

		fixture_send(f, fd, lines[i]);
		answer = fixture_receive(f, fd);
		assert_string_equal(fixture_word(answer), "INVALID");
		json_decref(answer);
	}
	assert_int_equal(f->n_calls, 0);
	close(fd);
}

static void test_notification_has_no_answer(void **state)
{
	struct fixture *f = *state;
	int fd = fixture_connect(f);

	fixture_send(f, fd, "{\"jsonrpc\":\"2.0\",\"method\":\"mdev.list\"}");
	fixture_send(f, fd, "{\"jsonrpc\":\"2.0\",\"method\":\"mdev.stop\",\"params\":{}}");
	fixture_send(f, fd, "{\"jsonrpc\":\"2.0\",\"method\":\"nothing\"}");
	assert_int_equal(f->n_calls, 1);
	expect(f, fd, "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"mdev.list\"}",
	       "{\"jsonrpc\":\"2.0\",\"id\":9,\"result\":{}}");
	close(fd);
}

static void test_late_answers(void **state)
{
	struct fixture *f = *state;
	int fd = fixture_connect(f);
	struct umdev_error err = {0};
	json_t *answer;

	fixture_send(f, fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"doctor\"}");
	fixture_send(f, fd, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"doctor\"}");
	fixture_send(f, fd, "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"doctor\"}");
	assert_int_equal(f->n_held, 3);
	rpc_reply(f->held[1], json_object());
	answer = fixture_receive(f, fd);
	assert_int_equal(json_integer_value(json_object_get(answer, "id")), 2);
	json_decref(answer);
	/* No result at all means that there was no memory for one. */
	rpc_reply(f->held[0], NULL);
	answer = fixture_receive(f, fd);
	assert_int_equal(json_integer_value(json_object_get(answer, "id")), 1);
	assert_string_equal(fixture_word(answer), "NO_MEMORY");
	json_decref(answer);
	/* The client goes while one is unanswered. */
	close(fd);
	fixture_turn(f);
	assert_int_equal(rpc_server_clients(f->server), 0);
	assert_int_equal(rpc_request_uid(f->held[2]), getuid());
	error_set(&err, ERROR_TIMEOUT, "late");
	rpc_reply_error(f->held[2], &err);
}

static void test_half_closed_peer_gets_its_answer(void **state)
{
	struct fixture *f = *state;
	int fd = fixture_connect(f);
	json_t *answer;

	fixture_send(f, fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"doctor\"}");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	fixture_turn(f);
	assert_int_equal(rpc_server_clients(f->server), 1);
	rpc_reply(f->held[0], json_object());
	answer = fixture_receive(f, fd);
	json_decref(answer);
	assert_null(fixture_receive(f, fd));
	assert_int_equal(rpc_server_clients(f->server), 0);
	close(fd);
}

static void test_server_freed_before_answers(void **state)
{
	struct fixture *f = *state;
	int fd = fixture_connect(f);

	fixture_send(f, fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"doctor\"}");
	fixture_send(f, fd, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"doctor\"}");
	rpc_server_free(f->server);
	f->server = NULL;
	rpc_request_watch(f->held[0]);
	rpc_reply(f->held[0], json_object());
	rpc_reply(f->held[1], json_object());
	assert_null(fixture_receive(f, fd));
	close(fd);
}

static void test_outstanding_limit(void **state)
{
	struct fixture *f = *state;
	int fd = fixture_connect(f);
	json_t *answer;

	for (int i = 0; i < RPC_OUTSTANDING_MAX; i++)
		fixture_send(f, fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"doctor\"}");
	assert_int_equal(f->n_held, RPC_OUTSTANDING_MAX);
	fixture_send(f, fd, "{\"jsonrpc\":\"2.0\",\"id\":77,\"method\":\"doctor\"}");
	assert_int_equal(f->n_held, RPC_OUTSTANDING_MAX);
	answer = fixture_receive(f, fd);
	assert_string_equal(fixture_word(answer), "LIMIT");
	assert_int_equal(json_integer_value(json_object_get(answer, "id")), 77);
	json_decref(answer);
	rpc_reply(f->held[0], json_object());
	json_decref(fixture_receive(f, fd));
	fixture_send(f, fd, "{\"jsonrpc\":\"2.0\",\"id\":78,\"method\":\"doctor\"}");
	assert_int_equal(f->n_held, RPC_OUTSTANDING_MAX + 1);
	for (unsigned i = 1; i < f->n_held; i++)
		rpc_reply(f->held[i], json_object());
	close(fd);
}

static void test_connection_limit(void **state)
{
	struct fixture *f = *state;
	int fds[RPC_CLIENTS_MAX + 1];
	json_t *answer;

	for (int i = 0; i < RPC_CLIENTS_MAX; i++) {
		fds[i] = fixture_connect(f);
		fixture_turn(f);
	}
	assert_int_equal(rpc_server_clients(f->server), RPC_CLIENTS_MAX);
	expect(f, fds[RPC_CLIENTS_MAX - 1],
	       "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"mdev.list\"}",
	       "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}");
	fds[RPC_CLIENTS_MAX] = fixture_connect(f);
	answer = fixture_receive(f, fds[RPC_CLIENTS_MAX]);
	assert_string_equal(fixture_word(answer), "LIMIT");
	assert_true(json_is_null(json_object_get(answer, "id")));
	json_decref(answer);
	assert_null(fixture_receive(f, fds[RPC_CLIENTS_MAX]));
	close(fds[0]);
	fixture_turn(f);
	fds[0] = fixture_connect(f);
	fixture_turn(f);
	expect(f, fds[0], "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"mdev.list\"}",
	       "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}");
	for (int i = 0; i <= RPC_CLIENTS_MAX; i++)
		close(fds[i]);
}

/* A request of exactly @len bytes, padded in a parameter. */
static char *padded_request(size_t len)
{
	static const char head[] =
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"mdev.list\",\"params\":"
		"{\"uuid\":\"";
	static const char tail[] = "\"}}";
	char *text = malloc(len + 1);

	assert_non_null(text);
	memset(text, 'u', len);
	memcpy(text, head, sizeof(head) - 1);
	memcpy(text + len - (sizeof(tail) - 1), tail, sizeof(tail));
	return text;
}

static void test_request_length_limit(void **state)
{
	struct fixture *f = *state;
	int fd = fixture_connect(f);
	umdev_autofree char *fits = padded_request(RPC_REQUEST_MAX);
	umdev_autofree char *too_long = padded_request(RPC_REQUEST_MAX + 1);
	json_t *answer;

	fixture_send(f, fd, fits);
	answer = fixture_receive(f, fd);
	assert_non_null(json_object_get(answer, "result"));
	json_decref(answer);
	fixture_send(f, fd, too_long);
	answer = fixture_receive(f, fd);
	assert_string_equal(fixture_word(answer), "LIMIT");
	json_decref(answer);
	expect(f, fd, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"mdev.list\"}",
	       "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}");
	close(fd);
}

static void test_pipelined_requests_wait_for_the_reader(void **state)
{
	struct fixture *f = *state;
	int fd = fixture_connect(f);
	char lines[64 * 80] = "";
	int n = 64;

	/* All in one go: 64 answers of 300 KiB would be far over the limit if made at once. */
	for (int i = 0; i < n; i++)
		snprintf(lines + strlen(lines), sizeof(lines) - strlen(lines),
			 "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"driver.list\"}", i);
	fixture_send(f, fd, lines);
	for (int i = 0; i < n; i++) {
		json_t *answer = fixture_receive(f, fd);

		assert_non_null(answer);
		assert_int_equal(json_integer_value(json_object_get(answer, "id")), i);
		json_decref(answer);
	}
	assert_int_equal(rpc_server_clients(f->server), 1);
	close(fd);
}

static void test_events(void **state)
{
	struct fixture *f = *state;
	int watcher = fixture_connect(f);
	int other = fixture_connect(f);
	json_t *event = json_pack("{s:i}", "seq", 7);
	json_t *got;

	expect(f, watcher,
	       "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"event.watch\",\"params\":{\"since\":1}}",
	       "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"event\":\"missed\"}}");
	json_decref(fixture_receive(f, watcher));
	fixture_turn(f);
	rpc_server_publish(f->server, event);
	got = fixture_receive(f, watcher);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(got, "params"), "seq")),
			 7);
	json_decref(got);
	expect(f, other, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"mdev.list\"}",
	       "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}");
	json_decref(event);
	close(watcher);
	close(other);
}

/* Watchers that go before the server has noticed, the next of the list among them. */
static void test_watcher_that_is_gone(void **state)
{
	struct fixture *f = *state;
	json_t *event = json_pack("{s:i}", "seq", 7);
	int fds[4];

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = fixture_connect(f);
		fixture_send(f, fds[i], "{\"jsonrpc\":\"2.0\",\"method\":\"event.watch\"}");
	}
	assert_int_equal(rpc_server_clients(f->server), 4);
	close(fds[1]);
	close(fds[2]);
	rpc_server_publish(f->server, event);
	rpc_server_publish(f->server, event);
	assert_int_equal(rpc_server_clients(f->server), 2);
	fixture_turn(f);
	json_decref(fixture_receive(f, fds[3]));
	json_decref(fixture_receive(f, fds[0]));
	json_decref(event);
	close(fds[0]);
	close(fds[3]);
}

static void test_watcher_that_does_not_read_is_closed(void **state)
{
	struct fixture *f = *state;
	int deaf = fixture_connect(f);
	int live = fixture_connect(f);
	umdev_autofree char *text = malloc(65536);
	size_t published = 0;
	json_t *event;

	assert_non_null(text);
	memset(text, 'e', 65535);
	text[65535] = '\0';
	event = json_pack("{s:s}", "message", text);
	fixture_send(f, deaf, "{\"jsonrpc\":\"2.0\",\"method\":\"event.watch\"}");
	fixture_send(f, live, "{\"jsonrpc\":\"2.0\",\"method\":\"event.watch\"}");
	assert_int_equal(rpc_server_clients(f->server), 2);
	while (rpc_server_clients(f->server) == 2 && published < 1000) {
		rpc_server_publish(f->server, event);
		json_decref(fixture_receive(f, live));
		published++;
	}
	/* Not before the limit, and not long after it: the socket's buffer holds the rest. */
	assert_true(published * 65536 > RPC_UNSENT_MAX);
	assert_true(published * 65536 < RPC_UNSENT_MAX + 1024 * 1024);
	assert_int_equal(rpc_server_clients(f->server), 1);
	rpc_server_publish(f->server, event);
	json_decref(fixture_receive(f, live));
	json_decref(event);
	close(deaf);
	close(live);
}

static void test_no_descriptor_left(void **state)
{
	struct fixture *f = *state;
	struct rlimit saved;
	struct rlimit tight;
	int fd = fixture_connect(f);
	int probe = dup(fd);

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &saved), 0);
	tight = saved;
	tight.rlim_cur = (rlim_t)probe;
	close(probe);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	fixture_turn(f);
	assert_int_equal(rpc_server_clients(f->server), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &saved), 0);
	for (uint64_t end = clock_now_ns() + 5 * NS_PER_S;
	     rpc_server_clients(f->server) == 0 && clock_now_ns() < end;)
		assert_int_equal(reactor_turn(f->reactor, NS_PER_S), 0);
	assert_int_equal(rpc_server_clients(f->server), 1);
	close(fd);
}

static void unused_handler(void *data, struct rpc_request *req, json_t *params)
{
	rpc_reply(req, json_object());
}

static void test_bindings_must_match_the_table(void **state)
{
	struct fixture *f = *state;
	static struct rpc_binding all[64];
	const struct rpc_binding few[] = {{"version", unused_handler}, {NULL, NULL}};
	const struct rpc_binding odd[] = {{"no.such", unused_handler}, {NULL, NULL}};
	struct rpc_server *server = NULL;
	struct umdev_error err = {0};
	size_t n = 0;

	assert_true(rpc_server_new(f->reactor, f->listen_fd, few, NULL, &server, &err) < 0);
	assert_int_equal(err.word, ERROR_INTERNAL);
	assert_string_equal(err.key, "parent.add");
	assert_true(rpc_server_new(f->reactor, f->listen_fd, odd, NULL, &server, &err) < 0);
	assert_string_equal(err.key, "no.such");
	for (const struct rpc_method *m = rpc_methods; m->name; m++)
		all[n++] = (struct rpc_binding){m->name, unused_handler};
	all[n - 1].handler = NULL;
	assert_true(rpc_server_new(f->reactor, f->listen_fd, all, NULL, &server, &err) < 0);
	assert_string_equal(err.key, all[n - 1].method);
	assert_null(server);
}

#define SERVER_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVER_TEST(test_answers),
		SERVER_TEST(test_errors),
		SERVER_TEST(test_bad_envelopes),
		SERVER_TEST(test_notification_has_no_answer),
		SERVER_TEST(test_late_answers),
		SERVER_TEST(test_half_closed_peer_gets_its_answer),
		SERVER_TEST(test_server_freed_before_answers),
		SERVER_TEST(test_outstanding_limit),
		SERVER_TEST(test_connection_limit),
		SERVER_TEST(test_request_length_limit),
		SERVER_TEST(test_pipelined_requests_wait_for_the_reader),
		SERVER_TEST(test_events),
		SERVER_TEST(test_watcher_that_is_gone),
		SERVER_TEST(test_watcher_that_does_not_read_is_closed),
		SERVER_TEST(test_no_descriptor_left),
		SERVER_TEST(test_bindings_must_match_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
