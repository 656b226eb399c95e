/* SPDX-License-Identifier: BSD-3-Clause */
/* See fuzz-host.h. */
#include "fuzz-host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <umdev/driver.h>

#include "broker/host.h"
#include "link/protocol.h"
#include "util/fd.h"
#include "util/list.h"

#include "fuzz.h"

#define HOST_PID       4242
#define HOST_FDS_MAX   4
#define WORK_CALLS_MAX 64

struct fuzz_call {
	struct list link;
	char method[16];
	json_t *params;
	link_reply_fn *reply;
	void *arg;
};

/* What hides behind struct host. */
struct fuzz_host {
	struct list link;
	struct reactor *reactor;
	struct reactor_task finish;
	struct reactor_task begin;
	const struct host_ops *ops;
	void *data;
	struct list calls;
	struct umdev_error error;
	bool said_hello;
	bool stopping;
	bool over;
};

static struct list fuzz_hosts = {&fuzz_hosts, &fuzz_hosts};
static bool fuzz_behave;

static const char fuzz_hello[] =
	"{\"pid\":1,\"driver\":{\"name\":\"nvme\",\"description\":\"d\",\"version\":\"1\",\"flags\":0,"
	"\"state_version\":1,\"page_size\":8192},"
	"\"options\":[{\"name\":\"level\",\"description\":\"l\",\"default\":\"1\",\"min\":0,\"max\":9,"
	"\"kind\":1}],"
	"\"attrs\":[{\"name\":\"queues\",\"description\":\"q\",\"default\":\"64\",\"min\":1,\"max\":64,"
	"\"kind\":1,\"when\":0},{\"name\":\"speed\",\"description\":\"s\",\"default\":\"slow\","
	"\"choices\":\"slow fast\",\"kind\":4,\"when\":2},{\"name\":\"label\",\"description\":\"l\","
	"\"default\":\"\",\"max\":20,\"kind\":0,\"when\":1}],"
	"\"stats\":[{\"name\":\"reads\",\"description\":\"r\"}]}";

static const char fuzz_open[] =
	"{\"description\":\"a drive\",\"pool\":{\"units\":1000,\"align\":10,\"unit\":\"bytes\"},"
	"\"engines\":[{\"name\":\"io\",\"parallelism\":8}],\"types\":["
	"{\"id\":\"1g\",\"name\":\"one\",\"class\":\"storage\",\"cost\":100,\"flags\":0,\"group_scope\":2,"
	"\"requires_group\":0,\"group_hotplug\":1,\"qos\":7,\"attrs\":[[\"capacity\",null],"
	"[\"block_size\",\"512\"]]},"
	"{\"id\":\"rest\",\"name\":\"the rest\",\"class\":\"storage\",\"cost\":10,\"flags\":1,"
	"\"group_scope\":0,\"requires_group\":0,\"group_hotplug\":0,\"qos\":0,\"attrs\":"
	"[[\"capacity\",null],[\"block_size\",\"4096\"]]},"
	"{\"id\":\"2p\",\"name\":\"two ports\",\"class\":\"serial\",\"cost\":10,\"flags\":0,"
	"\"group_scope\":1,\"requires_group\":1,\"group_hotplug\":0,\"qos\":1,\"attrs\":"
	"[[\"ports\",\"2\"]],\"endpoints\":{\"name\":\"line\",\"kind\":2,\"count\":2}}]}";

/* ---- Instead of host.c ---- */

int __wrap_host_spawn(const struct host_config *config, const struct host_ops *ops, void *data,
		      struct host **ret_host, struct umdev_error *err);
int __wrap_host_call(struct host *host, const struct host_request *request, link_reply_fn *reply,
		     void *arg);
void __wrap_host_answer(struct host *host, uint64_t id, const struct umdev_error *err);
void __wrap_host_stop(struct host *host);
void __wrap_host_kill(struct host *host, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void __wrap_host_free(struct host *host);
int __wrap_host_notify(struct host *host, const char *method, json_t *params, const int *fds,
		       size_t nfds);
void __wrap_host_adopt(struct host *host, const struct host_ops *ops, void *data);
void __wrap_host_leave(struct host *host);
void __wrap_host_set_started_ns(struct host *host, uint64_t started_ns);
bool __wrap_host_is_behind(const struct host *host);
pid_t __wrap_host_pid(const struct host *host);
uint64_t __wrap_host_started_ns(const struct host *host);

static struct fuzz_host *fuzz_of(struct host *host)
{
	return (struct fuzz_host *)(void *)host;
}

static void fuzz_call_free(struct fuzz_call *call)
{
	list_del(&call->link);
	json_decref(call->params);
	free(call);
}

/* Ends the oldest call. */
static void fuzz_call_end(struct fuzz_host *host, json_t *result, const struct umdev_error *err)
{
	struct fuzz_call *call = list_first(&host->calls, struct fuzz_call, link);
	link_reply_fn *reply = call->reply;
	void *arg = call->arg;

	fuzz_call_free(call);
	reply(arg, result, err);
}

static void fuzz_host_release(struct fuzz_host *host)
{
	struct umdev_error err = {0};

	host->over = true;
	error_set(&err, ERROR_HOST_FAILED, "the host is gone");
	while (!list_empty(&host->calls))
		fuzz_call_end(host, NULL, host->error.word == ERROR_NONE ? &err : &host->error);
	reactor_task_del(host->reactor, &host->finish);
	reactor_task_del(host->reactor, &host->begin);
	list_del(&host->link);
	free(host);
}

static void fuzz_host_finish(struct reactor_task *task)
{
	struct fuzz_host *host = container_of(task, struct fuzz_host, finish);
	const struct host_ops *ops = host->ops;
	struct umdev_error error = host->error;
	void *data = host->data;

	fuzz_host_release(host);
	ops->died(data, &error);
}

static void fuzz_host_end(struct fuzz_host *host, const char *why)
{
	if (host->error.word == ERROR_NONE)
		error_set(&host->error, ERROR_HOST_FAILED, "%s", why);
	reactor_task_add(host->reactor, &host->finish);
}

/* A hello, without options that name files of this machine. */
static void fuzz_say_hello(struct fuzz_host *host, json_t *params)
{
	json_t *row;
	size_t i;

	json_array_foreach (json_object_get(params, "options"), i, row) {
		if (json_integer_value(json_object_get(row, "kind")) == UMDEV_KIND_BACKING)
			json_object_set_new(row, "kind", json_integer(UMDEV_KIND_STRING));
	}
	if (host->said_hello) {
		fuzz_host_end(host, "the host said hello twice");
		return;
	}
	host->said_hello = true;
	if (!host->stopping)
		host->ops->hello(host->data, params);
}

static void fuzz_host_begin(struct reactor_task *task)
{
	json_t *hello = json_loads(fuzz_hello, 0, NULL);

	json_object_set_new(hello, "version", json_integer(LINK_VERSION));
	fuzz_say_hello(container_of(task, struct fuzz_host, begin), hello);
	json_decref(hello);
}

int __wrap_host_spawn(const struct host_config *config, const struct host_ops *ops, void *data,
		      struct host **ret_host, struct umdev_error *err)
{
	struct fuzz_host *host = calloc(1, sizeof(*host));

	fuzz_check(host && config->driver[0] && config->parent[0]);
	host->reactor = config->reactor;
	host->ops = ops;
	host->data = data;
	host->finish.run = fuzz_host_finish;
	host->begin.run = fuzz_host_begin;
	list_init(&host->calls);
	list_add_tail(&fuzz_hosts, &host->link);
	if (fuzz_behave)
		reactor_task_add(host->reactor, &host->begin);
	*ret_host = (struct host *)(void *)host;
	return 0;
}

int __wrap_host_call(struct host *h, const struct host_request *request, link_reply_fn *reply,
		     void *arg)
{
	struct fuzz_host *host = fuzz_of(h);
	struct fuzz_call *call;

	if (!request->params || host->stopping || host->over || host->error.word != ERROR_NONE) {
		json_decref(request->params);
		return request->params ? -ENOTCONN : -ENOMEM;
	}
	fuzz_check(host->said_hello && request->timeout_ns > 0);
	for (size_t i = 0; i < request->nfds; i++)
		fuzz_check(fcntl(request->fds[i], F_GETFD) >= 0);
	call = calloc(1, sizeof(*call));
	fuzz_check(call);
	snprintf(call->method, sizeof(call->method), "%s", request->method);
	call->params = request->params;
	call->reply = reply;
	call->arg = arg;
	list_add_tail(&host->calls, &call->link);
	return 0;
}

void __wrap_host_answer(struct host *host, uint64_t id, const struct umdev_error *err)
{
	fuzz_check(host && id > 0 && (!err || err->message[0]));
}

void __wrap_host_stop(struct host *h)
{
	struct fuzz_host *host = fuzz_of(h);

	host->stopping = true;
	fuzz_host_end(host, "the host is being stopped");
}

void __wrap_host_kill(struct host *h, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fuzz_host_end(fuzz_of(h), text);
}

void __wrap_host_free(struct host *host)
{
	if (host)
		fuzz_host_release(fuzz_of(host));
}

int __wrap_host_notify(struct host *h, const char *method, json_t *params, const int *fds,
		       size_t nfds)
{
	const struct fuzz_host *host = fuzz_of(h);
	bool over = host->stopping || host->over || host->error.word != ERROR_NONE;
	int r = !params ? -ENOMEM : over ? -ENOTCONN : 0;

	for (size_t i = 0; i < nfds; i++)
		fuzz_check(fcntl(fds[i], F_GETFD) >= 0);
	json_decref(params);
	return r;
}

void __wrap_host_adopt(struct host *host, const struct host_ops *ops, void *data)
{
	fuzz_of(host)->ops = ops;
	fuzz_of(host)->data = data;
}

void __wrap_host_leave(struct host *host)
{
	__wrap_host_free(host);
}

void __wrap_host_set_started_ns(struct host *host, uint64_t started_ns)
{
}

bool __wrap_host_is_behind(const struct host *host)
{
	return false;
}

pid_t __wrap_host_pid(const struct host *host)
{
	return HOST_PID;
}

uint64_t __wrap_host_started_ns(const struct host *host)
{
	return 1;
}

/* ---- What the input makes them do ---- */

void fuzz_hosts_behave(bool behave)
{
	fuzz_behave = behave;
}

uint32_t fuzz_hosts_count(void)
{
	struct fuzz_host *host;
	uint32_t count = 0;

	list_for_each (host, &fuzz_hosts, link)
		count++;
	return count;
}

/* One that is not ending. */
static struct fuzz_host *fuzz_host_at(uint32_t index)
{
	struct fuzz_host *host;
	uint32_t count = fuzz_hosts_count();

	if (count == 0)
		return NULL;
	index %= count;
	list_for_each (host, &fuzz_hosts, link) {
		if (index-- == 0)
			return host->error.word == ERROR_NONE ? host : NULL;
	}
	return NULL;
}

void fuzz_host_hello(uint32_t index, json_t *params)
{
	struct fuzz_host *host = fuzz_host_at(index);

	if (host && json_is_object(params))
		fuzz_say_hello(host, params);
}

void fuzz_host_notify(uint32_t index, const char *method, json_t *params, uint32_t nfds)
{
	struct fuzz_host *host = fuzz_host_at(index);
	int fds[HOST_FDS_MAX];

	/* host.c lets nothing else pass. */
	if (!host || !host->said_hello || strcmp(method, LINK_HELLO) == 0 ||
	    strcmp(method, LINK_FAILED) == 0)
		return;
	for (uint32_t i = 0; i < nfds && i < HOST_FDS_MAX; i++) {
		fds[i] = eventfd(0, EFD_CLOEXEC);
		fuzz_check(fds[i] >= 0);
	}
	nfds = nfds < HOST_FDS_MAX ? nfds : HOST_FDS_MAX;
	host->ops->notify(host->data, method, params, fds, nfds);
	fd_close_all(fds, nfds);
}

void fuzz_host_ask(uint32_t index, uint64_t id, const char *method, json_t *params)
{
	struct fuzz_host *host = fuzz_host_at(index);

	if (host && host->said_hello)
		host->ops->ask(host->data, id, method, params);
}

void fuzz_host_reply(uint32_t index, json_t *answer)
{
	struct fuzz_host *host = fuzz_host_at(index);
	json_t *result = json_object_get(answer, "result");
	const char *word = json_string_value(json_object_get(answer, "error"));
	struct umdev_error err = {0};

	if (!host || list_empty(&host->calls))
		return;
	if (!result)
		error_set_key(&err,
			      error_word_parse(word) ? error_word_parse(word) : ERROR_INTERNAL,
			      "key", "the host says no");
	fuzz_call_end(host, result, &err);
}

void fuzz_host_die(uint32_t index)
{
	struct fuzz_host *host = fuzz_host_at(index);

	if (host)
		fuzz_host_end(host, "the host was killed");
}

static json_t *fuzz_good_answer(const struct fuzz_call *call)
{
	const char *uuid = json_string_value(json_object_get(call->params, "uuid"));

	if (strcmp(call->method, LINK_OPEN) == 0)
		return json_loads(fuzz_open, 0, NULL);
	if (strcmp(call->method, LINK_STATS) == 0)
		return json_pack("{s:{s:i},s:{},s:n}", "stats", "reads", 5, "host", "client");
	if (strcmp(call->method, LINK_USAGE) == 0 && uuid)
		return json_pack(
			"{s:i,s:[],s:b,s:{s:{s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:{s:i,"
			"s:i,s:i,s:i}}}}",
			"time_ns", 1, "engines", "hardware", 0, "mdevs", uuid, "cap", 10000,
			"weight", 100, "priority", 0, "jobs", 1, "queued", 0, "in_flight", 0,
			"owned_ns", 1, "estimate_ns", 1, "cap_debt_ns", 0, "wait_ns", 4,
			"wait_by_cause_ns", "cap", 1, "turn", 1, "priority", 1, "engine", 1);
	return json_object();
}

uint32_t fuzz_hosts_work(void)
{
	struct umdev_error none = {0};
	uint32_t count = 0;

	for (uint32_t i = 0; fuzz_behave && i < fuzz_hosts_count(); i++) {
		struct fuzz_host *host = fuzz_host_at(i);
		json_t *answer;

		if (!host || list_empty(&host->calls) || count >= WORK_CALLS_MAX)
			continue;
		answer = fuzz_good_answer(list_first(&host->calls, struct fuzz_call, link));
		fuzz_call_end(host, answer, &none);
		json_decref(answer);
		count++;
	}
	return count;
}
