/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client on the reactor against a daemon that is the test itself: it reads what the client
 * sent, and sends any bytes it likes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "rpc/async.h"
#include "rpc/server.h"

#define STAGE_CALLS 256
#define STAGE_LOG   4096

struct stage_call {
	struct stage *stage;
	unsigned number;
	unsigned replies;
};

struct stage {
	char root[64];
	int listen_fd;
	int fd; /* the daemon's end */
	struct reactor *reactor;
	struct rpc_async *conn;
	struct stage_call calls[STAGE_CALLS];
	unsigned call_count;
	unsigned replies;
	unsigned closed;
	bool again;		/* every reply makes another call */
	bool drain;		/* every callback drains */
	struct umdev_error err; /* of the end */
	char log[STAGE_LOG];
	char line[65536]; /* read from the client and not taken yet */
	size_t len;
};

static void stage_log(struct stage *stage, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void stage_log(struct stage *stage, const char *format, ...)
{
	size_t used = strlen(stage->log);
	va_list ap;

	va_start(ap, format);
	vsnprintf(stage->log + used, sizeof(stage->log) - used, format, ap);
	va_end(ap);
}

static void expect_log(struct stage *stage, const char *expected)
{
	assert_string_equal(stage->log, expected);
	stage->log[0] = '\0';
}

static void stage_event(void *data, json_t *event)
{
	struct stage *stage = data;
	const char *name = json_string_value(json_object_get(event, "event"));

	stage_log(stage, "[%s]", name ? name : "?");
	if (stage->drain)
		rpc_async_drain(stage->conn);
}

static void stage_closed(void *data, const struct umdev_error *err)
{
	struct stage *stage = data;

	/* Whatever was outstanding has failed by now. */
	assert_int_equal(rpc_async_outstanding(stage->conn), 0);
	stage->closed++;
	stage->err = *err;
}

static void stage_call(struct stage *stage, const char *method);

static void stage_reply(void *arg, json_t *result, const struct umdev_error *err)
{
	struct stage_call *call = arg;
	struct stage *stage = call->stage;

	assert_int_equal(!result, err != NULL);
	assert_int_equal(call->replies++, 0);
	stage->replies++;
	if (result)
		stage_log(stage, "(%u %lld)", call->number,
			  (long long)json_integer_value(json_object_get(result, "r")));
	else
		stage_log(stage, "(%u %s)", call->number, error_word_name(err->word));
	if (stage->drain)
		rpc_async_drain(stage->conn);
	if (stage->again)
		stage_call(stage, "version");
}

/* Calls; the reply will say the number of the call, from 1. */
static void stage_call(struct stage *stage, const char *method)
{
	struct stage_call *call = &stage->calls[stage->call_count];

	assert_true(stage->call_count < STAGE_CALLS);
	*call = (struct stage_call){.stage = stage, .number = ++stage->call_count};
	if (rpc_async_call(stage->conn, method, json_pack("{s:i}", "n", (int)call->number),
			   stage_reply, call) < 0)
		stage->call_count--;
}

static void stage_turn(struct stage *stage)
{
	for (int i = 0; i < 4; i++)
		assert_int_equal(reactor_turn(stage->reactor, 0), 0);
}

static void stage_send_bytes(struct stage *stage, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(stage->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			return;
		assert_true(n > 0 || errno == EAGAIN);
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		} else {
			stage_turn(stage);
		}
	}
}

/* Sends what the daemon says, and lets the client work. */
static void stage_say(struct stage *stage, const char *text)
{
	stage_send_bytes(stage, text, strlen(text));
	stage_turn(stage);
}

/* How many calls have arrived, that were not counted before; each must be as it was made. */
static unsigned stage_arrived(struct stage *stage, unsigned first)
{
	unsigned count = 0;
	char *end;

	stage_turn(stage);
	for (;;) {
		ssize_t n = recv(stage->fd, stage->line + stage->len,
				 sizeof(stage->line) - stage->len, MSG_DONTWAIT);

		if (n <= 0)
			break;
		stage->len += (size_t)n;
		stage_turn(stage);
	}
	while ((end = memchr(stage->line, '\n', stage->len))) {
		size_t len = (size_t)(end - stage->line) + 1;
		json_t *json = json_loadb(stage->line, len, 0, NULL);
		unsigned number = first + count++;

		assert_string_equal(json_string_value(json_object_get(json, "jsonrpc")), "2.0");
		assert_int_equal(json_integer_value(json_object_get(json, "id")), number);
		assert_int_equal(
			json_integer_value(json_object_get(json_object_get(json, "params"), "n")),
			number);
		json_decref(json);
		memmove(stage->line, stage->line + len, stage->len - len);
		stage->len -= len;
	}
	return count;
}

static int setup(void **state)
{
	static const struct rpc_async_ops ops = {.event = stage_event, .closed = stage_closed};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stage *stage = calloc(1, sizeof(*stage));
	struct umdev_error err = {0};
	char path[96];

	assert_non_null(stage);
	signal(SIGPIPE, SIG_IGN);
	snprintf(stage->root, sizeof(stage->root), "/tmp/umdev-async-XXXXXX");
	assert_non_null(mkdtemp(stage->root));
	snprintf(path, sizeof(path), "%s/run", stage->root);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/run/umdev", stage->root);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/run/umdev/control.sock",
		 stage->root);
	stage->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(stage->listen_fd, (void *)&address, sizeof(address)), 0);
	assert_int_equal(listen(stage->listen_fd, 1), 0);
	stage->reactor = reactor_new();
	assert_int_equal(
		rpc_async_new(stage->reactor, stage->root, &ops, stage, &stage->conn, &err), 0);
	stage->fd = accept(stage->listen_fd, NULL, NULL);
	assert_true(stage->fd >= 0);
	*state = stage;
	return 0;
}

static int teardown(void **state)
{
	static const char *const paths[] = {"/run/umdev/control.sock", "/run/umdev", "/run", ""};
	struct stage *stage = *state;
	char path[96];

	stage->again = false;
	rpc_async_free(stage->conn);
	/* However it ended: every call was answered, once. */
	assert_int_equal(stage->replies, stage->call_count);
	reactor_free(stage->reactor);
	close(stage->fd);
	close(stage->listen_fd);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		snprintf(path, sizeof(path), "%s%s", stage->root, paths[i]);
		assert_int_equal(remove(path), 0);
	}
	free(stage);
	return 0;
}

/* ---- Calls and answers ----------------------------------------------------------------------- */

static void test_any_order(void **state)
{
	struct stage *stage = *state;

	for (int i = 0; i < 3; i++)
		stage_call(stage, "version");
	assert_int_equal(rpc_async_outstanding(stage->conn), 3);
	assert_int_equal(stage_arrived(stage, 1), 3);
	stage_say(stage, "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{\"r\":30}}\n"
			 "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"r\":10}}\n");
	expect_log(stage, "(3 30)(1 10)");
	assert_int_equal(rpc_async_outstanding(stage->conn), 1);
	stage_say(stage, "{\"id\":2,\"error\":{\"code\":-32000,\"message\":\"no\",\"data\":"
			 "{\"word\":\"DEVICE_BUSY\",\"key\":\"uuid\"}}}\n");
	expect_log(stage, "(2 DEVICE_BUSY)");
	stage_call(stage, "version");
	/* Results of any kind are results; a null beside them is no error. */
	stage_say(stage, "{\"id\":4,\"result\":null,\"error\":null}\n");
	expect_log(stage, "(4 0)");
	assert_int_equal(stage->closed, 0);
}

/* As many as the daemon bears are sent, the others wait for answers. */
static void test_outstanding(void **state)
{
	struct stage *stage = *state;
	unsigned sent;

	for (int i = 0; i < 40; i++)
		stage_call(stage, "version");
	assert_int_equal(rpc_async_outstanding(stage->conn), 40);
	assert_int_equal(RPC_OUTSTANDING_MAX, 16);
	sent = stage_arrived(stage, 1);
	assert_int_equal(sent, RPC_OUTSTANDING_MAX);
	assert_int_equal(stage_arrived(stage, sent + 1), 0);
	/* Each answer lets one more go; the newest first. */
	for (unsigned answered = 1; answered <= 40; answered++) {
		char text[64];
		/* 16..39 go first; 15..1 and 40 are left then. */
		unsigned id = answered <= 24 || answered == 40 ? sent : 40 - answered;

		snprintf(text, sizeof(text), "{\"id\":%u,\"result\":{}}\n", id);
		stage_say(stage, text);
		sent += stage_arrived(stage, sent + 1);
		assert_int_equal(sent, answered <= 24 ? 16 + answered : 40);
	}
	assert_int_equal(stage->replies, 40);
	assert_int_equal(stage->closed, 0);
	assert_int_equal(rpc_async_outstanding(stage->conn), 0);
}

/* A daemon that does not read: calls are kept, and sent on from where the socket was full. */
static void test_slow_reader(void **state)
{
	struct stage *stage = *state;
	size_t text_len = 60000;
	char *text = malloc(text_len + 1);
	unsigned count = 0;
	char *data = malloc(1 << 21);
	size_t len = 0;

	memset(text, 'x', text_len);
	text[text_len] = '\0';
	for (unsigned i = 0; i < 16; i++) {
		struct stage_call *call = &stage->calls[stage->call_count];

		*call = (struct stage_call){.stage = stage, .number = ++stage->call_count};
		assert_int_equal(rpc_async_call(stage->conn, "version",
						json_pack("{s:s}", "t", text), stage_reply, call),
				 0);
	}
	while (count < 16) {
		ssize_t n = recv(stage->fd, data + len, (1 << 21) - len, MSG_DONTWAIT);

		if (n > 0) {
			for (ssize_t i = 0; i < n; i++)
				count += data[len + (size_t)i] == '\n';
			len += (size_t)n;
		} else {
			assert_int_equal(errno, EAGAIN);
		}
		stage_turn(stage);
	}
	assert_true(len > 16 * text_len);
	stage_say(stage, "{\"id\":16,\"result\":{\"r\":1}}\n");
	expect_log(stage, "(16 1)");
	free(text);
	free(data);
}

/* A reply that calls again, and one that drains again, from within. */
static void test_from_within(void **state)
{
	struct stage *stage = *state;
	char text[4096] = "";
	size_t used = 0;

	stage->again = true;
	stage->drain = true;
	for (int i = 0; i < 16; i++)
		stage_call(stage, "version");
	for (int i = 1; i <= 32; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used,
					 "{\"id\":%d,\"result\":{}}\n", i);
	/* 17..32 are not sent before 1..16 are answered: so in two parts. */
	*strstr(text, "{\"id\":17,") = '\0';
	stage_say(stage, text);
	assert_int_equal(stage->replies, 16);
	assert_int_equal(stage_arrived(stage, 1), 32);
	for (int i = 17; i <= 32; i++) {
		snprintf(text, sizeof(text), "{\"id\":%d,\"result\":{}}\n", i);
		stage_say(stage, text);
	}
	assert_int_equal(stage->replies, 32);
	assert_int_equal(rpc_async_outstanding(stage->conn), 16);
	assert_int_equal(stage->closed, 0);
}

/* ---- Events ---------------------------------------------------------------------------------- */

#define EVENT(name)                                                                                \
	"{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"event\":\"" name "\"}}\n"

/* Events and answers are handed on as they were sent, however they are cut. */
static void test_order(void **state)
{
	struct stage *stage = *state;
	unsigned next = 1;

	for (size_t chunk = 1; chunk < 400; chunk += chunk < 8 ? 1 : 29) {
		char text[512];
		char expected[128];

		stage_call(stage, "version");
		stage_call(stage, "version");
		snprintf(text, sizeof(text),
			 EVENT("a") EVENT("b") "{\"id\":%u,\"result\":{\"r\":1}}\n" EVENT(
				 "c") "{\"id\":%u,\"error\":{\"message\":\"x\"}}\n" EVENT("d"),
			 next, next + 1);
		for (size_t at = 0; at < strlen(text); at += chunk) {
			size_t len = strlen(text) - at;

			stage_send_bytes(stage, text + at, len < chunk ? len : chunk);
			stage_turn(stage);
		}
		snprintf(expected, sizeof(expected), "[a][b](%u 1)[c](%u INTERNAL)[d]", next,
			 next + 1);
		expect_log(stage, expected);
		next += 2;
	}
}

/* Draining takes what is there at once, without a turn of the loop. */
static void test_drain(void **state)
{
	struct stage *stage = *state;

	stage_send_bytes(stage, EVENT("a") EVENT("b"), strlen(EVENT("a") EVENT("b")));
	expect_log(stage, "");
	rpc_async_drain(stage->conn);
	expect_log(stage, "[a][b]");
	rpc_async_drain(stage->conn);
	expect_log(stage, "");
	/* Also at the end of the stream, where closed() still comes from the loop. */
	stage_call(stage, "version");
	stage_send_bytes(stage, EVENT("c"), strlen(EVENT("c")));
	close(stage->fd);
	stage->fd = -1;
	rpc_async_drain(stage->conn);
	expect_log(stage, "[c]");
	assert_int_equal(stage->closed, 0);
	stage_turn(stage);
	expect_log(stage, "(1 UNREACHABLE)");
	assert_int_equal(stage->closed, 1);
	rpc_async_drain(stage->conn);
}

/* ---- What makes no sense --------------------------------------------------------------------- */

static void test_garbage(void **state)
{
	static const struct {
		const char *text;
		enum error_word word;
	} bad[] = {
		{"garbage\n", ERROR_INTERNAL},
		{"{\"id\":1,\"result\":{}\n", ERROR_INTERNAL},
		{"7\n", ERROR_INTERNAL},
		{"null\n", ERROR_INTERNAL},
		{"[]\n", ERROR_INTERNAL},
		{"{}\n", ERROR_INTERNAL},
		{"{\"id\":1}\n", ERROR_INTERNAL},
		{"{\"id\":1,\"result\":{},\"error\":{\"message\":\"x\"}}\n", ERROR_INTERNAL},
		{"{\"id\":1,\"error\":\"x\"}\n", ERROR_INTERNAL},
		{"{\"id\":2,\"result\":{}}\n", ERROR_INTERNAL},
		{"{\"id\":0,\"result\":{}}\n", ERROR_INTERNAL},
		{"{\"id\":\"1\",\"result\":{}}\n", ERROR_INTERNAL},
		{"{\"id\":1.0,\"result\":{}}\n", ERROR_INTERNAL},
		{"{\"result\":{}}\n", ERROR_INTERNAL},
		{"{\"method\":\"event\",\"params\":7}\n", ERROR_INTERNAL},
		{"{\"method\":\"other\",\"params\":{}}\n", ERROR_INTERNAL},
		{"{\"method\":\"event\"}\n", ERROR_INTERNAL},
		{"\xff\xfe\n", ERROR_INTERNAL},
		/* Of the connection: what it says is why it ends. */
		{"{\"id\":null,\"error\":{\"message\":\"too many\",\"data\":{\"word\":\"LIMIT\"}}}\n",
		 ERROR_LIMIT},
		{"{\"error\":{}}\n", ERROR_INTERNAL},
		{"{\"id\":9,\"error\":{\"data\":{\"word\":\"LIMIT\"}}}\n", ERROR_LIMIT},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		void *own = NULL;
		struct stage *stage;

		setup(&own);
		stage = own;
		stage_call(stage, "version");
		/* What follows counts no more. */
		stage_send_bytes(stage, bad[i].text, strlen(bad[i].text));
		stage_send_bytes(stage, EVENT("late"), strlen(EVENT("late")));
		stage_turn(stage);
		if (stage->closed != 1 || stage->err.word != bad[i].word)
			fail_msg("%s: closed %u, %s (%s)", bad[i].text, stage->closed,
				 error_word_name(stage->err.word), stage->err.message);
		assert_null(strstr(stage->log, "late"));
		assert_int_equal(stage->replies, 1);
		stage_call(stage, "version");
		assert_int_equal(stage->call_count, 1);
		teardown(&own);
	}
}

/* An answer twice is one to a call that is not there. */
static void test_twice(void **state)
{
	struct stage *stage = *state;

	stage_call(stage, "version");
	stage_say(stage, "{\"id\":1,\"result\":{\"r\":1}}\n{\"id\":1,\"result\":{\"r\":2}}\n");
	expect_log(stage, "(1 1)");
	assert_int_equal(stage->closed, 1);
}

/* To a call that was made, but not sent yet. */
static void test_too_early(void **state)
{
	struct stage *stage = *state;

	for (int i = 0; i < RPC_OUTSTANDING_MAX + 1; i++)
		stage_call(stage, "version");
	stage_say(stage, "{\"id\":17,\"result\":{}}\n");
	assert_int_equal(stage->closed, 1);
	assert_int_equal(stage->replies, RPC_OUTSTANDING_MAX + 1);
	assert_null(strstr(stage->log, "(17 0)"));
}

#define TOO_LONG (256UL * 1024 * 1024)

/* As long an answer as is taken, and one byte more. */
static void test_too_long(void **state)
{
	static const char head[] = "{\"id\":1,\"result\":{\"r\":8";
	static const char tail[] = "}}";
	struct stage *stage = *state;
	size_t room = TOO_LONG - strlen(head) - strlen(tail);
	size_t chunk = 1 << 16;
	char *filler = malloc(chunk);

	assert_non_null(filler);
	memset(filler, ' ', chunk);
	stage_call(stage, "version");
	stage_call(stage, "version");
	stage_send_bytes(stage, head, strlen(head));
	for (size_t left = room; left > 0;) {
		size_t n = left < chunk ? left : chunk;

		stage_send_bytes(stage, filler, n);
		left -= n;
	}
	stage_say(stage, tail);
	stage_say(stage, "\n");
	expect_log(stage, "(1 8)");
	stage_send_bytes(stage, "{\"id\":2,\"result\":{\"r\":8 ", strlen(head) + 1);
	for (size_t left = room; left > 0 && stage->closed == 0;) {
		size_t n = left < chunk ? left : chunk;

		stage_send_bytes(stage, filler, n);
		left -= n;
	}
	stage_say(stage, tail);
	stage_say(stage, "\n");
	expect_log(stage, "(2 LIMIT)");
	assert_int_equal(stage->err.word, ERROR_LIMIT);
	free(filler);
}

/* ---- The end --------------------------------------------------------------------------------- */

/* In the middle of an answer, with calls sent and unsent. */
static void test_closed_in_the_middle(void **state)
{
	struct stage *stage = *state;

	for (int i = 0; i < 20; i++)
		stage_call(stage, "version");
	stage_say(stage, "{\"id\":5,\"result\":{\"r\":5}}\n{\"id\":6,\"resu");
	expect_log(stage, "(5 5)");
	close(stage->fd);
	stage->fd = -1;
	stage_turn(stage);
	assert_int_equal(stage->closed, 1);
	assert_int_equal(stage->err.word, ERROR_UNREACHABLE);
	assert_int_equal(stage->replies, 20);
	assert_null(strstr(stage->log, "(6 0)"));
	assert_int_equal(rpc_async_outstanding(stage->conn), 0);
}

/* Freed with calls sent and unsent: each fails, closed() is not called. */
static void test_freed(void **state)
{
	struct stage *stage = *state;

	for (int i = 0; i < 20; i++)
		stage_call(stage, "version");
	stage_turn(stage);
	stage->again = true; /* calls from within the end of all go nowhere */
	rpc_async_free(stage->conn);
	stage->conn = NULL;
	assert_int_equal(stage->replies, 20);
	assert_int_equal(stage->call_count, 20);
	assert_int_equal(stage->closed, 0);
	assert_non_null(strstr(stage->log, "(20 UNREACHABLE)"));
	stage_turn(stage);
	assert_int_equal(stage->closed, 0);
}

/* Freed between the end of the stream and the loop's turn. */
static void test_freed_at_the_end(void **state)
{
	struct stage *stage = *state;

	stage_call(stage, "version");
	close(stage->fd);
	stage->fd = -1;
	rpc_async_drain(stage->conn);
	rpc_async_free(stage->conn);
	stage->conn = NULL;
	expect_log(stage, "(1 UNREACHABLE)");
	stage_turn(stage);
	assert_int_equal(stage->closed, 0);
}

static void test_no_memory(void **state)
{
	struct stage *stage = *state;

	assert_int_equal(rpc_async_call(stage->conn, "version", NULL, stage_reply, NULL), -ENOMEM);
	assert_int_equal(rpc_async_outstanding(stage->conn), 0);
	rpc_async_free(NULL);
}

static void test_nobody_there(void **state)
{
	static const struct rpc_async_ops ops = {.event = stage_event, .closed = stage_closed};
	struct stage *stage = *state;
	struct rpc_async *conn = NULL;
	struct umdev_error err = {0};

	assert_true(rpc_async_new(stage->reactor, "/nonexistent", &ops, stage, &conn, &err) < 0);
	assert_null(conn);
	assert_int_equal(err.word, ERROR_UNREACHABLE);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_any_order),
		WITH(test_outstanding),
		WITH(test_slow_reader),
		WITH(test_from_within),
		WITH(test_order),
		WITH(test_drain),
		cmocka_unit_test(test_garbage),
		WITH(test_twice),
		WITH(test_too_early),
		WITH(test_too_long),
		WITH(test_closed_in_the_middle),
		WITH(test_freed),
		WITH(test_freed_at_the_end),
		WITH(test_no_memory),
		WITH(test_nobody_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
