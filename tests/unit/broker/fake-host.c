/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A host that does what a script says, for tests of the broker.
 *
 * <driver-dir>/script holds lines "what=how", read anew for every message; <driver-dir>/log gets a
 * line for every request. What it offers: units of pool (1000, or the size of path=), align 10,
 * types s (100, all knobs), m (250, the cap) and rest (no knob); attributes color (live), level
 * (idle), fixed (create).
 *
 *   hello=none|die|bad-name|no-page|huge-page|bad-options|twice|failed
 *   open, create, discard, remove, attr, stats = die|hang|error[:WORD]
 *   open=bad-types|no-pool   units=N   page=N
 *   resume=refuse            create with origin 1 is refused
 *   refuse-create=TEXT       create is refused, or the host dies of it, if the attributes, as JSON,
 *   die-create=TEXT          have TEXT in them
 *   keep=N                   keeps N descriptors after create; keep=bad: a slot out of range
 *   event=NAME               reports it after create, of process 1, which lives,
 *   repeat=yes               and once more
 *   message=long             of that event: more than fits, of characters of two bytes
 *   remove=busy              unless forced
 *   refuse-attr=NAME
 *   qos, usage = die|hang|error[:WORD]
 *   bad-usage=top|mdev|cause|engine KEY JSON    a value of usage is something else
 *   usage=nobody             usage knows no mdev
 *   scope=N                  group_scope of every type
 *   group, group_qos = die|hang|error[:WORD]
 *   join=UUID                after a create, process 77 is said to have connected to that one
 *   hang-create=TEXT         as refuse-create, never answered
 *   mute=METHOD              does what it asks for and does not answer
 *   tell=bad-record|no-parent    what it tells the next broker
 *   only=PARENT              what follows "group", "create" or "remove" is for the host of that one
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <umdev/driver.h>
#include <unistd.h>

#include "link/link.h"
#include "link/protocol.h"
#include "util/fd.h"

#define PAGE_MARK "marked"

static struct fake {
	struct link link;
	struct reactor *reactor;
	const char *dir;
	const char *driver;
	const char *name;
	json_int_t units;
	json_int_t usage_time; /* counts on */
	json_t *mdevs;	       /* uuid -> knobs, in the order of creation */
	char value[128];
	struct reactor_fd listener; /* for the next broker */
	struct fake_open {
		json_t *params;
		int fds[8];
		size_t nfds;
	} open;
	struct fake_mdev {
		char uuid[40];
		int fds[3]; /* page, listener, record */
	} devices[64];
	size_t device_count;
} fake;

static void fake_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void fake_log(const char *fmt, ...)
{
	char path[512];
	FILE *f;
	va_list ap;

	snprintf(path, sizeof(path), "%s/log", fake.dir);
	f = fopen(path, "ae");
	if (!f)
		abort();
	va_start(ap, fmt);
	vfprintf(f, fmt, ap);
	va_end(ap);
	fputc('\n', f);
	fclose(f);
}

/* What the script says about @what; "" when nothing. Valid until the next call. */
static const char *fake_script(const char *what)
{
	char path[512];
	char line[256];
	size_t len = strlen(what);
	FILE *f;

	fake.value[0] = '\0';
	snprintf(path, sizeof(path), "%s/script", fake.dir);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, what, len) == 0 && line[len] == '=')
			snprintf(fake.value, sizeof(fake.value), "%s", line + len + 1);
	}
	if (f)
		fclose(f);
	return fake.value;
}

static bool fake_is(const char *what, const char *how)
{
	return strcmp(fake_script(what), how) == 0;
}

static json_t *fake_row(const char *name, unsigned kind, const char *default_value,
			const char *choices, unsigned when)
{
	return json_pack("{s:s,s:s,s:s*,s:s*,s:i,s:i,s:i,s:i}", "name", name, "description", "x",
			 "default", default_value, "choices", choices, "min", 0, "max", 0, "kind",
			 (int)kind, "when", (int)when);
}

static json_t *fake_hello(void)
{
	json_int_t page = fake_is("hello", "no-page")	  ? 0
			  : fake_is("hello", "huge-page") ? (64 << 20) + 1
							  : 4096;
	json_t *options;

	if (fake_script("page")[0])
		page = atoll(fake.value);
	options =
		json_pack("[o,o,o]", fake_row("path", UMDEV_KIND_BACKING, NULL, "size", 0),
			  fake_row("size", UMDEV_KIND_BYTES, NULL, NULL, 0),
			  fake_row("ram", fake_is("hello", "bad-options") ? 99 : UMDEV_KIND_MEMORY,
				   NULL, NULL, 0));
	return json_pack("{s:i,s:i,s:{s:s,s:s,s:s,s:i,s:i,s:I},s:o,s:[o,o,o],s:[]}", "version",
			 LINK_VERSION + fake_is("hello", "bad-version"), "pid", (int)getpid(),
			 "driver", "name", fake_is("hello", "bad-name") ? "other" : fake.driver,
			 "description", "x", "version", "1", "flags", 0, "state_version", 1,
			 "page_size", page, "options", options, "attrs",
			 fake_row("color", UMDEV_KIND_ENUM, "red", "red green", UMDEV_WHEN_LIVE),
			 fake_row("level", UMDEV_KIND_U64, "1", NULL, UMDEV_WHEN_IDLE),
			 fake_row("fixed", UMDEV_KIND_U64, "1", NULL, UMDEV_WHEN_CREATE), "stats");
}

static json_t *fake_type(const char *id, const char *name, int cost, int flags, unsigned qos)
{
	return json_pack("{s:s,s:s,s:s,s:i,s:i,s:i,s:i,s:i,s:i,s:[[s,n],[s,s]]}", "id", id, "name",
			 name, "class", "storage", "cost", cost, "flags", flags, "group_scope",
			 atoi(fake_script("scope")), "requires_group", 0, "group_hotplug", 0, "qos",
			 (int)qos, "attrs", "capacity", "block_size", "512");
}

static json_t *fake_opened(void)
{
	json_t *types = json_pack("[o,o,o]",
				  fake_type("s", "fake small", 100, 0,
					    UMDEV_QOS_CAP | UMDEV_QOS_WEIGHT | UMDEV_QOS_PRIORITY),
				  fake_type("m", "fake medium", 250, 0, UMDEV_QOS_CAP),
				  fake_type("rest", "fake rest", 100, UMDEV_TYPE_REST, 0));

	if (fake_is("open", "bad-types"))
		json_object_set_new(json_array_get(types, 1), "cost", json_integer(0));
	if (fake_script("units")[0])
		fake.units = atoll(fake.value);
	if (fake_is("open", "no-pool"))
		return json_pack("{s:o}", "types", types);
	return json_pack("{s:s,s:{s:I,s:i,s:s},s:[],s:o}", "description", "a fake", "pool", "units",
			 fake.units, "align", 10, "unit", "bytes", "engines", "types", types);
}

static int fake_take(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

static void fake_forget(const char *uuid)
{
	for (size_t i = 0; i < fake.device_count; i++) {
		if (strcmp(fake.devices[i].uuid, uuid) != 0)
			continue;
		fd_close_all(fake.devices[i].fds, 3);
		memmove(&fake.devices[i], &fake.devices[i + 1],
			(--fake.device_count - i) * sizeof(fake.devices[0]));
		return;
	}
}

static void fake_remember(const char *uuid, int *fds)
{
	struct fake_mdev *m = &fake.devices[fake.device_count++];

	if (fake.device_count > 63)
		abort();
	snprintf(m->uuid, sizeof(m->uuid), "%s", uuid);
	for (size_t i = 0; i < 3; i++)
		m->fds[i] = fake_take(&fds[i]);
}

/* An answer, unless the script wants none. */
static void fake_reply(const char *method, uint64_t id, json_t *result)
{
	if (fake_is("mute", method))
		json_decref(result);
	else
		link_reply(&fake.link, id, result);
}

/* Deals with what the script wants of every method. True when the request is dealt with. */
static bool fake_scripted(uint64_t id, const char *method)
{
	struct umdev_error err = {0};
	char how[128];

	if (fake_script("only")[0] && strcmp(fake.value, fake.name) != 0)
		return false;
	snprintf(how, sizeof(how), "%s", fake_script(method));
	if (strcmp(how, "die") == 0)
		_exit(3);
	if (strcmp(how, "hang") != 0 && strncmp(how, "error", 5) != 0)
		return false;
	/* Before the answer: whoever gets that may look at the log at once. */
	fake_log("%s scripted", method);
	if (strcmp(how, "hang") == 0)
		return true;
	error_set(&err, how[5] == ':' ? error_word_parse(how + 6) : ERROR_DRIVER_FAILED,
		  "the script says no to %s", method);
	link_reply_error(&fake.link, id, &err);
	return true;
}

static void fake_keep(const char *uuid)
{
	const char *how = fake_script("keep");
	int count = atoi(how);
	bool bad = strcmp(how, "bad") == 0;

	for (int i = 0; i < (bad ? 1 : count); i++) {
		int fd = fd_memfd("fake", 4096);

		if (link_notify_sync(&fake.link, LINK_KEEP,
				     json_pack("{s:s,s:[i]}", "uuid", uuid, "slots",
					       bad ? (int)LINK_SLOT_COUNT : i),
				     &fd, 1, 1000000000) < 0)
			abort();
		close(fd);
	}
}

/* Logs the knobs in a message and remembers them for usage. */
static void fake_take_knobs(const char *what, const char *uuid, const json_t *knobs)
{
	json_t *kept = json_pack("{s:O,s:O,s:O}", "cap", json_object_get(knobs, "cap"), "weight",
				 json_object_get(knobs, "weight"), "priority",
				 json_object_get(knobs, "priority"));

	if (!kept)
		abort();
	fake_log("%s %lld %lld %lld", what,
		 (long long)json_integer_value(json_object_get(kept, "cap")),
		 (long long)json_integer_value(json_object_get(kept, "weight")),
		 (long long)json_integer_value(json_object_get(kept, "priority")));
	json_object_set_new(fake.mdevs, uuid, kept);
}

/* What the n-th mdev used: all numbers follow from n. */
static json_t *fake_usage_of(json_t *knobs, json_int_t n)
{
	json_t *usage = json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:{s:I,s:I,s:I,s:I}}", "jobs",
				  10 * n, "queued", n, "in_flight", (json_int_t)1, "owned_ns",
				  1000 * n, "estimate_ns", (json_int_t)50, "cap_debt_ns",
				  (json_int_t)0, "wait_ns", 100 * n, "wait_by_cause_ns", "cap",
				  40 * n, "turn", 30 * n, "priority", 20 * n, "engine", 10 * n);

	json_object_update(usage, knobs);
	return usage;
}

/* Puts the value that the script wants at one place. */
static void fake_spoil(json_t *at, const char *place)
{
	char where[16] = "";
	char key[32] = "";
	char text[64] = "";

	if (sscanf(fake_script("bad-usage"), "%15s %31s %63s", where, key, text) != 3 ||
	    strcmp(where, place) != 0)
		return;
	json_object_set_new(at, key, json_loads(text, JSON_DECODE_ANY, NULL));
}

static json_t *fake_usage(void)
{
	json_t *mdevs = json_object();
	json_t *engine = json_pack("{s:s,s:i,s:i,s:i,s:i}", "name", "media", "parallelism", 2,
				   "reserved_slots", 1, "busy_ns", 5000, "in_flight", 1);
	json_t *usage;
	const char *uuid;
	json_t *knobs;
	json_int_t n = 0;

	json_object_foreach (fake.mdevs, uuid, knobs) {
		json_t *one = fake_usage_of(knobs, ++n);

		fake_spoil(one, "mdev");
		fake_spoil(json_object_get(one, "wait_by_cause_ns"), "cause");
		if (!fake_is("usage", "nobody"))
			json_object_set(mdevs, uuid, one);
		json_decref(one);
	}
	fake_spoil(engine, "engine");
	fake.usage_time += 1000000;
	usage = json_pack("{s:I,s:[o],s:b,s:o}", "time_ns", fake.usage_time, "engines", engine,
			  "hardware", 0, "mdevs", mdevs);
	fake_spoil(usage, "top");
	return usage;
}

static void fake_joined(void *arg, json_t *result, const struct umdev_error *err)
{
	(void)arg;
	fake_log("join %s", result ? "granted" : err->message);
}

static void fake_create(uint64_t id, json_t *params, int *fds, size_t nfds)
{
	const char *uuid = json_string_value(json_object_get(params, "uuid"));
	int origin = (int)json_integer_value(json_object_get(params, "origin"));
	struct umdev_error err = {0};
	char *attrs = json_dumps(json_object_get(params, "attrs"), JSON_COMPACT | JSON_SORT_KEYS);
	char *piece = json_dumps(json_object_get(params, "piece"), JSON_COMPACT);
	char message[601] = "as scripted";
	char mark[8] = "";
	bool refused;
	struct stat st;

	if (nfds != 3 || fstat(fds[1], &st) < 0 || !S_ISSOCK(st.st_mode) ||
	    pread(fds[0], mark, sizeof(mark) - 1, 0) < 0)
		abort();
	fake_log("create %s origin %d page %s piece %s attrs %s", uuid, origin,
		 mark[0] ? mark : "empty", piece, attrs);
	if (fake_script("die-create")[0] && strstr(attrs, fake.value))
		_exit(3);
	if (fake_script("hang-create")[0] && strstr(attrs, fake.value)) {
		free(attrs);
		free(piece);
		return;
	}
	refused = fake_script("refuse-create")[0] && strstr(attrs, fake.value);
	free(attrs);
	free(piece);
	if (refused) {
		error_set(&err, ERROR_DRIVER_FAILED, "not with %s", fake.value);
		link_reply_error(&fake.link, id, &err);
		return;
	}
	fake_take_knobs("knobs", uuid, json_object_get(params, "qos"));
	if (origin == 1 && fake_is("resume", "refuse")) {
		error_set(&err, ERROR_DRIVER_FAILED, "cannot resume");
		link_reply_error(&fake.link, id, &err);
		return;
	}
	if (fake_script("join")[0] && link_call(&fake.link, LINK_JOIN,
						json_pack("{s:s,s:i,s:i}", "uuid", fake.value,
							  "pid", (int)getpid(), "uid", 0),
						NULL, 0, fake_joined, NULL) < 0)
		abort();
	if (pwrite(fds[0], PAGE_MARK, sizeof(PAGE_MARK), 0) < 0)
		abort();
	fake_keep(uuid);
	fake_remember(uuid, fds);
	fake_reply(LINK_CREATE, id, NULL);
	for (size_t i = 0; fake_is("message", "long") && i < 300; i++)
		memcpy(message + 2 * i, "\xc3\xa4", 3);
	for (int times = fake_is("repeat", "yes") ? 2 : 1; fake_script("event")[0] && times > 0;
	     times--) {
		if (link_notify(&fake.link, LINK_EVENT,
				json_pack("{s:s,s:s,s:i,s:s,s:i,s:i}", "uuid", uuid, "event",
					  fake.value, "level", 6, "message", message, "pid", 1,
					  "uid", 88),
				NULL, 0) < 0)
			abort();
	}
}

static void fake_attr(uint64_t id, json_t *params)
{
	const char *name = json_string_value(json_object_get(params, "name"));
	struct umdev_error err = {0};

	fake_log("attr %s %s", name, json_string_value(json_object_get(params, "value")));
	if (fake_is("refuse-attr", name)) {
		error_set(&err, ERROR_DRIVER_FAILED, "not %s", name);
		link_reply_error(&fake.link, id, &err);
		return;
	}
	fake_reply(LINK_ATTR, id, NULL);
}

static void fake_remove(uint64_t id, json_t *params)
{
	struct umdev_error err = {0};

	fake_log("remove %s", json_string_value(json_object_get(params, "uuid")));
	json_object_del(fake.mdevs, json_string_value(json_object_get(params, "uuid")));
	if (fake_is("remove", "busy") && !json_is_true(json_object_get(params, "force"))) {
		error_set(&err, ERROR_DEVICE_BUSY, "in use");
		link_reply_error(&fake.link, id, &err);
		return;
	}
	fake_forget(json_string_value(json_object_get(params, "uuid")));
	fake_reply(LINK_REMOVE, id, NULL);
}

/* ---- The next broker ------------------------------------------------------------------------- */

static void fake_opened_with(json_t *params, int *fds, size_t nfds)
{
	json_decref(fake.open.params);
	fake.open.params = json_incref(params);
	fake.open.nfds = nfds;
	for (size_t i = 0; i < nfds && i < 8; i++)
		fake.open.fds[i] = fake_take(&fds[i]);
}

static void fake_takeover(uint64_t id)
{
	json_t *p = fake.open.params;

	fake_log("takeover");
	if (!fake_is("tell", "no-parent") &&
	    link_notify(&fake.link, LINK_PARENT,
			json_pack("{s:O,s:O,s:O}", "values", json_object_get(p, "values"), "fds",
				  json_object_get(p, "fds"), "flags", json_object_get(p, "flags")),
			fake.open.fds, fake.open.nfds) < 0)
		abort();
	link_reply(&fake.link, id, fake_opened());
}

static void fake_next(uint64_t id, json_t *params)
{
	const char *after = json_string_value(json_object_get(params, "after"));
	size_t i = 0;
	int fds[3];

	while (after && i < fake.device_count && strcmp(fake.devices[i].uuid, after) != 0)
		i++;
	i += after != NULL;
	if (i >= fake.device_count) {
		link_reply(&fake.link, id, NULL);
		return;
	}
	memcpy(fds, fake.devices[i].fds, sizeof(fds));
	if (fake_is("tell", "bad-record"))
		fds[2] = fds[0];
	if (link_notify(&fake.link, LINK_MDEV,
			json_pack("{s:s,s:i,s:b,s:n}", "uuid", fake.devices[i].uuid, "endpoints", 0,
				  "asked", 0, "client"),
			fds, 3) < 0)
		abort();
	fake_keep(fake.devices[i].uuid);
	link_reply(&fake.link, id, json_pack("{s:s}", "uuid", fake.devices[i].uuid));
}

static void fake_request(struct link *link, uint64_t id, const char *method, json_t *params,
			 int *fds, size_t nfds)
{
	struct stat st;

	if (fake_scripted(id, method))
		return;
	if (strcmp(method, LINK_STOP) == 0) {
		reactor_stop(fake.reactor);
	} else if (strcmp(method, LINK_OPEN) == 0) {
		char *flags = json_dumps(json_object_get(params, "flags"), JSON_COMPACT);

		if (nfds > 1 && fstat(fds[0], &st) == 0)
			fake.units = st.st_size;
		fake_log("open flags %s", flags);
		free(flags);
		fake_opened_with(params, fds, nfds);
		link_reply(link, id, fake_opened());
	} else if (strcmp(method, LINK_TAKEOVER) == 0) {
		fake_takeover(id);
	} else if (strcmp(method, LINK_NEXT) == 0) {
		fake_next(id, params);
	} else if (strcmp(method, LINK_CREATE) == 0) {
		fake_create(id, params, fds, nfds);
	} else if (strcmp(method, LINK_REMOVE) == 0) {
		fake_remove(id, params);
	} else if (strcmp(method, LINK_ATTR) == 0) {
		fake_attr(id, params);
	} else if (strcmp(method, LINK_QOS) == 0) {
		fake_take_knobs("qos", json_string_value(json_object_get(params, "uuid")), params);
		fake_reply(LINK_QOS, id, NULL);
	} else if (strcmp(method, LINK_GROUP) == 0) {
		fake_log("group %s of %zu", fake.name,
			 json_array_size(json_object_get(params, "members")));
		link_reply(link, id, NULL);
	} else if (strcmp(method, LINK_GROUP_QOS) == 0) {
		fake_log("group_qos %s %lld %lld", fake.name,
			 (long long)json_integer_value(json_object_get(params, "cap")),
			 (long long)json_integer_value(json_object_get(params, "weight")));
		link_reply(link, id, NULL);
	} else if (strcmp(method, LINK_USAGE) == 0) {
		link_reply(link, id, fake_usage());
	} else if (strcmp(method, LINK_DISCARD) == 0) {
		fake_log("discard %lld %lld",
			 (long long)json_integer_value(json_object_get(params, "start")),
			 (long long)json_integer_value(json_object_get(params, "size")));
		link_reply(link, id, NULL);
	} else if (strcmp(method, LINK_STATS) == 0) {
		link_reply(link, id,
			   json_pack("{s:{s:i,s:s},s:{s:i},s:n}", "stats", "things", 7, "bad",
				     "text", "host", "jobs", 8, "client"));
	}
}

static void fake_closed(struct link *link, int error)
{
	if (!fake.listener.added || !fake.open.params) {
		reactor_stop(fake.reactor);
		return;
	}
	fake_log("orphan");
	link_done(link);
}

static const struct link_ops fake_ops = {.request = fake_request, .closed = fake_closed};

static int fake_begin(void)
{
	if (fake_is("hello", "die"))
		_exit(3);
	if (fake_is("hello", "none"))
		return 0;
	if (fake_is("hello", "failed"))
		return link_notify_sync(&fake.link, LINK_FAILED,
					json_pack("{s:s,s:s}", "word", "UNKNOWN_DRIVER", "message",
						  "it does not load"),
					NULL, 0, 1000000000) < 0
			       ? -1
			       : 1;
	if (fake_is("hello", "twice") &&
	    link_notify(&fake.link, LINK_HELLO, fake_hello(), NULL, 0) < 0)
		return -1;
	return link_notify(&fake.link, LINK_HELLO, fake_hello(), NULL, 0);
}

static void fake_accept(struct reactor_fd *source, uint32_t events)
{
	int fd = accept(source->fd, NULL, NULL);

	(void)events;
	link_done(&fake.link);
	if (fd < 0 || link_init(&fake.link, fake.reactor, fd, &fake_ops, NULL) < 0 ||
	    link_notify(&fake.link, LINK_HELLO, fake_hello(), NULL, 0) < 0)
		reactor_stop(fake.reactor);
}

static int fake_listen(void)
{
	fake.listener =
		(struct reactor_fd){.fd = LINK_LISTEN_FD, .events = EPOLLIN, .ready = fake_accept};
	if (listen(LINK_LISTEN_FD, 4) < 0)
		return -1;
	return reactor_fd_add(fake.reactor, &fake.listener);
}

int main(int argc, char **argv)
{
	bool handover = false;
	static const struct option longs[] = {
		{"driver", required_argument, NULL, 'd'},
		{"driver-dir", required_argument, NULL, 'D'},
		{"name", required_argument, NULL, 'n'},
		{"handover", no_argument, NULL, 'H'},
		{NULL, 0, NULL, 0},
	};
	int c;
	int r;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'd')
			fake.driver = optarg;
		else if (c == 'D')
			fake.dir = optarg;
		else if (c == 'n')
			fake.name = optarg;
		else if (c == 'H')
			handover = true;
	}
	fake.units = 1000;
	fake.mdevs = json_object();
	fake.reactor = reactor_new();
	if (!fake.reactor || !fake.dir || !fake.driver ||
	    link_init(&fake.link, fake.reactor, LINK_HOST_FD, &fake_ops, NULL) < 0 ||
	    (handover && fake_listen() < 0))
		return 2;
	/* Nothing else may have been handed on: 5 is the reactor's. */
	for (int fd = 6; fd < 256; fd++) {
		struct stat st;

		if (fstat(fd, &st) == 0)
			fake_log("inherited %d", fd);
	}
	r = fake_begin();
	if (r == 0)
		r = reactor_run(fake.reactor);
	fake_log("end");
	link_done(&fake.link);
	reactor_free(fake.reactor);
	json_decref(fake.mdevs);
	json_decref(fake.open.params);
	return r < 0;
}
