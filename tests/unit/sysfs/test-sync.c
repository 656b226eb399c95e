/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The mirror follows a daemon that does what the test says: questions are kept until the test
 * answers them, events come when it sends them.
 */
#include "mirror.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "rpc/methods.h"
#include "rpc/server.h"
#include "sysfs/sync.h"
#include "util/log.h"

#define STAGE_ASKS 64
#define STAGE_LOG  4096

struct stage_ask {
	const char *method;
	struct rpc_request *req;
	json_t *params;
};

struct stage {
	char root[64];
	int listen_fd;
	struct reactor *reactor;
	struct rpc_server *server;
	struct stage_ask asks[STAGE_ASKS];
	size_t ask_count;
	struct tree tree;
	struct sync *sync;
	char log[STAGE_LOG]; /* what the mirror told of, since it was last looked at */
	unsigned closed;
};

/* ---- The daemon ------------------------------------------------------------------------------ */

static void stage_ask(struct stage *stage, const char *method, struct rpc_request *req,
		      json_t *params)
{
	assert_true(stage->ask_count < STAGE_ASKS);
	stage->asks[stage->ask_count++] = (struct stage_ask){method, req, json_incref(params)};
}

static void stage_watch(void *data, struct rpc_request *req, json_t *params)
{
	rpc_request_watch(req);
	stage_ask(data, "event.watch", req, params);
}

static void stage_parents(void *data, struct rpc_request *req, json_t *params)
{
	stage_ask(data, "parent.list", req, params);
}

static void stage_types(void *data, struct rpc_request *req, json_t *params)
{
	stage_ask(data, "type.list", req, params);
}

static void stage_mdevs(void *data, struct rpc_request *req, json_t *params)
{
	stage_ask(data, "mdev.list", req, params);
}

static void stage_others(void *data, struct rpc_request *req, json_t *params)
{
	(void)data;
	(void)req;
	(void)params;
	fail_msg("the mirror asks for something else");
}

static void stage_listen(struct stage *stage)
{
	static struct rpc_binding bindings[64];
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct umdev_error err = {0};
	char path[96];
	size_t n = 0;

	for (const struct rpc_method *m = rpc_methods; m->name; m++) {
		rpc_handler *handler = strcmp(m->name, "event.watch") == 0   ? stage_watch
				       : strcmp(m->name, "parent.list") == 0 ? stage_parents
				       : strcmp(m->name, "type.list") == 0   ? stage_types
				       : strcmp(m->name, "mdev.list") == 0   ? stage_mdevs
									     : stage_others;

		assert_true(n + 1 < ARRAY_SIZE(bindings));
		bindings[n++] = (struct rpc_binding){m->name, handler};
	}
	snprintf(stage->root, sizeof(stage->root), "/tmp/umdev-sync-XXXXXX");
	assert_non_null(mkdtemp(stage->root));
	snprintf(path, sizeof(path), "%s/run", stage->root);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/run/umdev", stage->root);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/run/umdev/control.sock",
		 stage->root);
	stage->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(stage->listen_fd, (void *)&address, sizeof(address)), 0);
	assert_int_equal(listen(stage->listen_fd, 4), 0);
	assert_int_equal(rpc_server_new(stage->reactor, stage->listen_fd, bindings, stage,
					&stage->server, &err),
			 0);
}

static void stage_turn(struct stage *stage)
{
	for (int i = 0; i < 8; i++)
		assert_int_equal(reactor_turn(stage->reactor, 0), 0);
}

/* Sends an event. */
static void stage_event(struct stage *stage, const char *text)
{
	json_t *event = mirror_json(text);

	rpc_server_publish(stage->server, event);
	json_decref(event);
}

/* The oldest question must be this one; it is taken out of the queue. */
static struct rpc_request *stage_take(struct stage *stage, const char *method, const char *params)
{
	struct stage_ask ask;
	json_t *expected = mirror_json(params);

	stage_turn(stage);
	if (stage->ask_count == 0)
		fail_msg("%s %s is not asked", method, params);
	ask = stage->asks[0];
	if (strcmp(ask.method, method) != 0 || !json_equal(ask.params, expected))
		fail_msg("%s %s is asked, not %s %s", ask.method, json_dumps(ask.params, 0), method,
			 params);
	stage->ask_count--;
	memmove(stage->asks, stage->asks + 1, stage->ask_count * sizeof(ask));
	json_decref(expected);
	json_decref(ask.params);
	return ask.req;
}

/* The oldest question must be this one, and is answered; @answer is stolen. */
static void stage_answer(struct stage *stage, const char *method, const char *params,
			 json_t *answer)
{
	rpc_reply(stage_take(stage, method, params), answer);
	stage_turn(stage);
}

static void stage_refuse(struct stage *stage, const char *method, const char *params,
			 enum error_word word)
{
	struct umdev_error err = {0};

	error_set(&err, word, "as scripted");
	rpc_reply_error(stage_take(stage, method, params), &err);
	stage_turn(stage);
}

static json_t *wrap(const char *key, json_t *value)
{
	return json_pack("{s:o}", key, value);
}

static json_t *parents_of(json_t *parent)
{
	return wrap("parents", json_pack("[o]", parent));
}

static json_t *mdevs_of(json_t *mdev)
{
	return wrap("mdevs", mdev ? json_pack("[o]", mdev) : json_array());
}

/* ---- The mirror ------------------------------------------------------------------------------ */

static void stage_log(struct stage *stage, const char *what, const char *name)
{
	size_t used = strlen(stage->log);

	snprintf(stage->log + used, sizeof(stage->log) - used, "%s%s%s%s", used ? " " : "", what,
		 name[0] ? ":" : "", name);
}

/* The last four letters of a UUID will do. */
static const char *short_name(const struct tree_mdev *mdev)
{
	return mdev->uuid + TREE_UUID_SIZE - 5;
}

static void stage_parent_came(void *data, const struct tree_parent *parent)
{
	assert_true(parent->type_count > 0);
	stage_log(data, "+", parent->name);
}

static void stage_parent_goes(void *data, const struct tree_parent *parent)
{
	struct stage *stage = data;

	/* It is still there. */
	assert_ptr_equal(tree_find_parent(&stage->tree, parent->name), parent);
	stage_log(stage, "-", parent->name);
}

static void stage_mdev_came(void *data, const struct tree_mdev *mdev)
{
	stage_log(data, "+", short_name(mdev));
}

static void stage_mdev_goes(void *data, const struct tree_mdev *mdev)
{
	struct stage *stage = data;

	assert_ptr_equal(tree_find_mdev(&stage->tree, mdev->uuid), mdev);
	stage_log(stage, "-", short_name(mdev));
}

static void stage_mdev_changed(void *data, const struct tree_mdev *mdev, const json_t *before)
{
	assert_non_null(before);
	stage_log(data, tree_attr_value(mdev->parent, before, "mdev/weight"), short_name(mdev));
}

static void stage_pool_changed(void *data, const struct tree_parent *parent)
{
	stage_log(data, "pool", parent->name);
}

static void stage_group_changed(void *data, const struct tree_group *group)
{
	struct stage *stage = data;

	assert_ptr_equal(tree_find_group(&stage->tree, group->uuid), group);
	stage_log(stage, "group", group->uuid + 24);
}

static void stage_settled(void *data)
{
	stage_log(data, "settled", "");
}

static void stage_closed(void *data, const struct umdev_error *err)
{
	struct stage *stage = data;

	assert_true(err->message[0] != '\0');
	stage->closed++;
}

/* What the mirror told of, in order; it is forgotten then. */
static void expect_log(struct stage *stage, const char *expected)
{
	stage_turn(stage);
	assert_string_equal(stage->log, expected);
	stage->log[0] = '\0';
}

static int setup(void **state)
{
	static const struct sync_ops ops = {
		.parent_came = stage_parent_came,
		.parent_goes = stage_parent_goes,
		.mdev_came = stage_mdev_came,
		.mdev_goes = stage_mdev_goes,
		.mdev_changed = stage_mdev_changed,
		.pool_changed = stage_pool_changed,
		.group_changed = stage_group_changed,
		.settled = stage_settled,
		.closed = stage_closed,
	};
	struct stage *stage = calloc(1, sizeof(*stage));
	struct umdev_error err = {0};

	assert_non_null(stage);
	log_setup("test", LOG_CRIT);
	signal(SIGPIPE, SIG_IGN);
	stage->reactor = reactor_new();
	tree_init(&stage->tree);
	stage_listen(stage);
	assert_int_equal(sync_new(&(struct sync_config){.reactor = stage->reactor,
							.root = stage->root,
							.tree = &stage->tree,
							.ops = &ops,
							.data = stage},
				  &stage->sync, &err),
			 0);
	*state = stage;
	return 0;
}

static int teardown(void **state)
{
	static const char *const paths[] = {"/run/umdev/control.sock", "/run/umdev", "/run", ""};
	struct stage *stage = *state;
	char path[96];

	sync_free(stage->sync);
	for (size_t i = 0; i < stage->ask_count; i++) {
		rpc_reply(stage->asks[i].req, json_object());
		json_decref(stage->asks[i].params);
	}
	rpc_server_free(stage->server);
	reactor_free(stage->reactor);
	tree_done(&stage->tree);
	close(stage->listen_fd);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		snprintf(path, sizeof(path), "%s%s", stage->root, paths[i]);
		assert_int_equal(remove(path), 0);
	}
	free(stage);
	return 0;
}

#define ASK_A		  "{'uuid':'" MIRROR_A "','statistics':false}"
#define ASK_B		  "{'uuid':'" MIRROR_B "','statistics':false}"
#define ASK_C		  "{'uuid':'" MIRROR_C "','statistics':false}"
#define OF_P		  "{'parent':'p'}"
#define BELOW_P		  "{'parent':'p','statistics':false}"
#define EVENT(name, uuid) "{'event':'" name "','uuid':'" uuid "','parent':'p'}"

static json_t *mdev_a(const char *weight)
{
	char attrs[64];

	snprintf(attrs, sizeof(attrs), "[{'mdev/weight':'%s'}]", weight);
	return mirror_mdev(MIRROR_A, "p", "nvme-1", 1, attrs);
}

/* Answers all until the mirror holds a parent p, and in it A. */
static void stage_fill(struct stage *stage)
{
	stage_answer(stage, "event.watch", "{}", mirror_json("{'next':5}"));
	stage_answer(stage, "parent.list", "{}", parents_of(mirror_parent("p", "nvme")));
	stage_answer(stage, "type.list", OF_P, wrap("types", mirror_types("nvme-1 nvme-2")));
	stage_answer(stage, "mdev.list", BELOW_P, mdevs_of(mdev_a("5")));
	expect_log(stage, "+:p +:1001 pool:p settled");
}

/* ---- The tests ------------------------------------------------------------------------------- */

static void test_fill(void **state)
{
	struct stage *stage = *state;

	stage_turn(stage);
	assert_false(sync_drain(stage->sync));
	stage_answer(stage, "event.watch", "{}", mirror_json("{'next':5}"));
	stage_answer(stage, "parent.list", "{}",
		     wrap("parents", json_pack("[o,o]", mirror_parent("p", "nvme"),
					       mirror_parent("q", "null"))));
	stage_answer(stage, "type.list", OF_P, wrap("types", mirror_types("nvme-1")));
	stage_answer(stage, "type.list", "{'parent':'q'}", wrap("types", json_array()));
	assert_false(sync_drain(stage->sync));
	stage_answer(stage, "mdev.list", BELOW_P, mdevs_of(mdev_a("5")));
	assert_false(sync_drain(stage->sync));
	expect_log(stage, "+:p pool:q +:1001 pool:p");
	stage_answer(stage, "mdev.list", "{'parent':'q','statistics':false}", mdevs_of(NULL));
	expect_log(stage, "settled");
	assert_true(sync_drain(stage->sync));
	assert_int_equal(stage->ask_count, 0);
}

static void test_nothing_there(void **state)
{
	struct stage *stage = *state;

	stage_answer(stage, "event.watch", "{}", mirror_json("{}"));
	stage_answer(stage, "parent.list", "{}", wrap("parents", json_array()));
	expect_log(stage, "settled");
	assert_true(sync_drain(stage->sync));
}

static void test_mdev_events(void **state)
{
	struct stage *stage = *state;

	stage_fill(stage);
	stage_event(stage, EVENT("mdev.started", MIRROR_B));
	stage_answer(stage, "mdev.list", ASK_B,
		     mdevs_of(mirror_mdev(MIRROR_B, "p", "nvme-2", 2, "[]")));
	expect_log(stage, "+:1002 pool:p settled");
	stage_event(stage, EVENT("mdev.modified", MIRROR_A));
	stage_answer(stage, "mdev.list", ASK_A, mdevs_of(mdev_a("6")));
	expect_log(stage, "5:1001 settled");
	stage_event(stage, EVENT("client.connected", MIRROR_A));
	stage_answer(stage, "mdev.list", ASK_A, mdevs_of(mdev_a("7")));
	expect_log(stage, "6:1001 settled");
	stage_event(stage, EVENT("mdev.stopped", MIRROR_A));
	stage_answer(stage, "mdev.list", ASK_A, mdevs_of(NULL));
	expect_log(stage, "-:1001 pool:p settled");
	assert_null(tree_find_mdev(&stage->tree, MIRROR_A));
	/* What was defined held its piece. */
	stage_event(stage, EVENT("mdev.undefined", MIRROR_A));
	expect_log(stage, "pool:p");
	/* The daemon fails to say: it stays as it was. */
	stage_event(stage, EVENT("mdev.modified", MIRROR_B));
	stage_refuse(stage, "mdev.list", ASK_B, ERROR_NO_MEMORY);
	expect_log(stage, "settled");
	assert_non_null(tree_find_mdev(&stage->tree, MIRROR_B));
}

/* Events that mean nothing for the tree ask for nothing. */
static void test_groups(void **state)
{
	struct stage *stage = *state;
	struct tree_mdev *a;
	uint64_t id;

	stage_fill(stage);
	/* A member brings its group; what is said of the group is told. */
	stage_event(stage, EVENT("mdev.started", MIRROR_B));
	stage_answer(stage, "mdev.list", ASK_B,
		     mdevs_of(mirror_member(MIRROR_B, "p", "nvme-1", 2, MIRROR_G)));
	expect_log(stage, "+:1002 pool:p group:3c1ee6bfe0fa settled");
	stage_event(stage, "{'event':'group.modified','group':'" MIRROR_G "'}");
	stage_event(stage, "{'event':'group.modified','group':'" MIRROR_H "'}");
	stage_event(stage, "{'event':'group.modified'}");
	expect_log(stage, "group:3c1ee6bfe0fa");
	/* A second one, which is changed, and goes before the first. */
	stage_event(stage, EVENT("mdev.started", MIRROR_C));
	stage_answer(stage, "mdev.list", ASK_C,
		     mdevs_of(mirror_member(MIRROR_C, "p", "nvme-1", 3, MIRROR_G)));
	expect_log(stage, "+:1003 pool:p group:3c1ee6bfe0fa settled");
	stage_event(stage, EVENT("client.connected", MIRROR_C));
	stage_answer(stage, "mdev.list", ASK_C,
		     mdevs_of(mirror_member(MIRROR_C, "p", "nvme-1", 3, MIRROR_G)));
	expect_log(stage, "100:1003 group:3c1ee6bfe0fa settled");
	stage_event(stage, EVENT("mdev.stopped", MIRROR_C));
	stage_answer(stage, "mdev.list", ASK_C, mdevs_of(NULL));
	expect_log(stage, "-:1003 group:3c1ee6bfe0fa pool:p settled");
	/* Started again in another group before it was asked about: another device. */
	a = tree_find_mdev(&stage->tree, MIRROR_B);
	id = a->thing.id;
	stage_event(stage, EVENT("mdev.modified", MIRROR_B));
	stage_answer(stage, "mdev.list", ASK_B,
		     mdevs_of(mirror_member(MIRROR_B, "p", "nvme-1", 2, MIRROR_H)));
	expect_log(stage, "-:1002 pool:p +:1002 pool:p group:3c1ee6bfe0fb settled");
	assert_int_not_equal(tree_find_mdev(&stage->tree, MIRROR_B)->thing.id, id);
	assert_null(tree_find_group(&stage->tree, MIRROR_G));
	/* With a parent all go, and the group once. */
	stage_event(stage, "{'event':'parent.removed','parent':'p'}");
	stage_refuse(stage, "parent.list", "{'name':'p'}", ERROR_NOT_FOUND);
	expect_log(stage, "-:1001 -:1002 -:p settled");
	assert_true(list_empty(&stage->tree.groups));
}

static void test_other_events(void **state)
{
	static const char *const others[] = {
		EVENT("mdev.modified", MIRROR_B),
		EVENT("mdev.stopped", MIRROR_B),
		EVENT("mdev.defined", MIRROR_A),
		EVENT("driver", MIRROR_A),
		"{'event':'mdev.stopped','uuid':'" MIRROR_A "','parent':'q'}",
		"{'event':'host.started','parent':'p'}",
		"{'event':'tree.mounted'}",
		"{'event':7,'uuid':7,'parent':7}",
		"{'event':['mdev.started'],'uuid':'" MIRROR_B "'}",
		"{}",
	};
	struct stage *stage = *state;

	stage_fill(stage);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		stage_event(stage, others[i]);
		stage_turn(stage);
		if (stage->ask_count != 0)
			fail_msg("%s asks for something", others[i]);
	}
	expect_log(stage, "");
	assert_true(sync_drain(stage->sync));
}

/* Whoever drains sees what was sent, and is told that not all is known yet. */
static void test_unsettled(void **state)
{
	struct stage *stage = *state;

	stage_fill(stage);
	stage_event(stage, EVENT("mdev.modified", MIRROR_A));
	assert_false(sync_drain(stage->sync));
	stage_event(stage, EVENT("mdev.started", MIRROR_B));
	assert_false(sync_drain(stage->sync));
	stage_answer(stage, "mdev.list", ASK_A, mdevs_of(mdev_a("6")));
	assert_false(sync_drain(stage->sync));
	expect_log(stage, "5:1001");
	/* An event before the last answer is one more question. */
	stage_event(stage, EVENT("mdev.modified", MIRROR_A));
	stage_answer(stage, "mdev.list", ASK_B, mdevs_of(NULL));
	assert_false(sync_drain(stage->sync));
	expect_log(stage, "");
	stage_answer(stage, "mdev.list", ASK_A, mdevs_of(mdev_a("6")));
	expect_log(stage, "6:1001 settled");
	assert_true(sync_drain(stage->sync));
}

static void test_parent_removed(void **state)
{
	struct stage *stage = *state;

	stage_fill(stage);
	stage_event(stage, "{'event':'parent.removed','parent':'p'}");
	stage_refuse(stage, "parent.list", "{'name':'p'}", ERROR_NO_MEMORY);
	expect_log(stage, "settled");
	stage_event(stage, "{'event':'parent.removed','parent':'p'}");
	stage_refuse(stage, "parent.list", "{'name':'p'}", ERROR_NOT_FOUND);
	expect_log(stage, "-:1001 -:p settled");
	assert_true(list_empty(&stage->tree.parents));
	assert_int_equal(stage->tree.mdev_count, 0);
	stage_event(stage, "{'event':'parent.removed','parent':'p'}");
	stage_refuse(stage, "parent.list", "{'name':'p'}", ERROR_NOT_FOUND);
	expect_log(stage, "settled");
}

/* It goes while its types and mdevs are asked for. */
static void test_parent_removed_meanwhile(void **state)
{
	struct stage *stage = *state;
	struct rpc_request *types;
	struct rpc_request *mdevs;

	stage_fill(stage);
	stage_event(stage, "{'event':'parent.ready','parent':'p'}");
	stage_answer(stage, "parent.list", "{'name':'p'}", parents_of(mirror_parent("p", "nvme")));
	types = stage_take(stage, "type.list", OF_P);
	stage_event(stage, "{'event':'parent.removed','parent':'p'}");
	stage_refuse(stage, "parent.list", "{'name':'p'}", ERROR_NOT_FOUND);
	expect_log(stage, "-:1001 -:p");
	rpc_reply(types, wrap("types", mirror_types("nvme-1")));
	expect_log(stage, "settled");
	stage_event(stage, "{'event':'parent.added','parent':'p'}");
	stage_answer(stage, "parent.list", "{'name':'p'}", parents_of(mirror_parent("p", "nvme")));
	stage_answer(stage, "type.list", OF_P, wrap("types", mirror_types("nvme-1")));
	mdevs = stage_take(stage, "mdev.list", BELOW_P);
	stage_event(stage, "{'event':'parent.removed','parent':'p'}");
	stage_refuse(stage, "parent.list", "{'name':'p'}", ERROR_NOT_FOUND);
	rpc_reply(mdevs, mdevs_of(mdev_a("5")));
	expect_log(stage, "+:p -:p settled");
	assert_int_equal(stage->tree.mdev_count, 0);
}

/* While its host is away a parent lists no types; they and the mdevs stay. */
static void test_host_away(void **state)
{
	struct stage *stage = *state;
	json_t *parent = mirror_parent("p", "nvme");
	uint64_t id;

	stage_fill(stage);
	id = tree_find_mdev(&stage->tree, MIRROR_A)->thing.id;
	json_object_set_new(parent, "state", json_string("restarting"));
	stage_event(stage, "{'event':'parent.restarting','parent':'p'}");
	stage_answer(stage, "parent.list", "{'name':'p'}", parents_of(parent));
	stage_answer(stage, "type.list", OF_P, wrap("types", json_array()));
	stage_answer(stage, "mdev.list", BELOW_P, mdevs_of(mdev_a("5")));
	expect_log(stage, "pool:p 5:1001 settled");
	assert_int_equal(tree_find_parent(&stage->tree, "p")->type_count, 2);
	assert_int_equal(tree_find_mdev(&stage->tree, MIRROR_A)->thing.id, id);
	/* What is not listed with its parent is gone. */
	stage_event(stage, "{'event':'parent.ready','parent':'p'}");
	stage_answer(stage, "parent.list", "{'name':'p'}", parents_of(mirror_parent("p", "nvme")));
	stage_answer(stage, "type.list", OF_P, wrap("types", mirror_types("nvme-1")));
	stage_answer(stage, "mdev.list", BELOW_P,
		     mdevs_of(mirror_mdev(MIRROR_B, "p", "nvme-1", 1, "[]")));
	expect_log(stage, "pool:p +:1002 pool:p -:1001 pool:p settled");
	assert_int_equal(tree_find_parent(&stage->tree, "p")->type_count, 1);
}

/* Stopped and started again before the first question is answered: it is another device, and
 * whoever watches hears of both. */
static void test_stop_and_start(void **state)
{
	struct stage *stage = *state;
	uint64_t id;

	stage_fill(stage);
	id = tree_find_mdev(&stage->tree, MIRROR_A)->thing.id;
	tree_find_mdev(&stage->tree, MIRROR_A)->removing = true;
	stage_event(stage, EVENT("mdev.stopped", MIRROR_A));
	stage_event(stage, EVENT("mdev.started", MIRROR_A));
	stage_answer(stage, "mdev.list", ASK_A, mdevs_of(mdev_a("9")));
	stage_answer(stage, "mdev.list", ASK_A, mdevs_of(mdev_a("9")));
	expect_log(stage, "-:1001 pool:p +:1001 pool:p 9:1001 settled");
	assert_null(tree_mdev_by_id(&stage->tree, id));
	assert_false(tree_find_mdev(&stage->tree, MIRROR_A)->removing);
	/* Of another type, too. */
	stage_event(stage, EVENT("mdev.stopped", MIRROR_A));
	stage_event(stage, EVENT("mdev.started", MIRROR_A));
	stage_answer(stage, "mdev.list", ASK_A,
		     mdevs_of(mirror_mdev(MIRROR_A, "p", "nvme-2", 1, "[]")));
	stage_answer(stage, "mdev.list", ASK_A,
		     mdevs_of(mirror_mdev(MIRROR_A, "p", "nvme-2", 1, "[]")));
	expect_log(stage, "-:1001 pool:p +:1001 pool:p 100:1001 settled");
	/* Started and stopped again: it was never seen. */
	stage_event(stage, EVENT("mdev.started", MIRROR_B));
	stage_event(stage, EVENT("mdev.stopped", MIRROR_B));
	stage_answer(stage, "mdev.list", ASK_B, mdevs_of(NULL));
	expect_log(stage, "settled");
}

/* The daemon says "stopped" of one that its new host does not make again, and which it still has.
 */
static void test_stopped_but_there(void **state)
{
	struct stage *stage = *state;

	stage_fill(stage);
	stage_event(stage, EVENT("mdev.stopped", MIRROR_A));
	stage_answer(stage, "mdev.list", ASK_A, mdevs_of(mdev_a("5")));
	expect_log(stage, "5:1001 settled");
}

/* An mdev of a type of which nobody spoke before, without a word between. */
static void test_type_changes(void **state)
{
	struct stage *stage = *state;

	stage_fill(stage);
	stage_event(stage, EVENT("mdev.modified", MIRROR_A));
	stage_answer(stage, "mdev.list", ASK_A,
		     mdevs_of(mirror_mdev(MIRROR_A, "p", "nvme-2", 1, "[]")));
	expect_log(stage, "-:1001 pool:p +:1001 pool:p settled");
}

/* Removed and added with another driver before the first question is answered. */
static void test_another_driver(void **state)
{
	struct stage *stage = *state;

	stage_fill(stage);
	stage_event(stage, "{'event':'parent.removed','parent':'p'}");
	stage_event(stage, "{'event':'parent.added','parent':'p'}");
	stage_answer(stage, "parent.list", "{'name':'p'}", parents_of(mirror_parent("p", "null")));
	stage_answer(stage, "parent.list", "{'name':'p'}", parents_of(mirror_parent("p", "null")));
	stage_answer(stage, "type.list", OF_P, wrap("types", mirror_types("null-1")));
	stage_answer(stage, "type.list", OF_P, wrap("types", mirror_types("null-1")));
	stage_answer(stage, "mdev.list", BELOW_P, mdevs_of(NULL));
	stage_answer(stage, "mdev.list", BELOW_P, mdevs_of(NULL));
	expect_log(stage, "-:1001 -:p +:p pool:p settled");
	assert_string_equal(tree_find_parent(&stage->tree, "p")->driver, "null");
}

static void test_lost(void **state)
{
	struct stage *stage = *state;

	stage_fill(stage);
	stage_event(stage, EVENT("mdev.modified", MIRROR_A));
	stage_turn(stage);
	assert_int_equal(stage->ask_count, 1);
	rpc_server_free(stage->server);
	stage->server = NULL;
	stage_turn(stage);
	assert_int_equal(stage->closed, 1);
	/* The mirror stays as it was, and nobody is told otherwise. */
	assert_non_null(tree_find_mdev(&stage->tree, MIRROR_A));
	assert_null(strstr(stage->log, "1001"));
	(void)sync_drain(stage->sync);
	stage_turn(stage);
	assert_int_equal(stage->closed, 1);
}

static void test_lost_at_once(void **state)
{
	struct stage *stage = *state;

	rpc_server_free(stage->server);
	stage->server = NULL;
	/* What waits to be accepted ends with the socket that listens. */
	close(stage->listen_fd);
	stage->listen_fd = dup(STDERR_FILENO);
	stage_turn(stage);
	assert_int_equal(stage->closed, 1);
	assert_string_equal(stage->log, "");
}

static void test_no_watching(void **state)
{
	struct stage *stage = *state;

	stage_refuse(stage, "event.watch", "{}", ERROR_LIMIT);
	assert_int_equal(stage->closed, 1);
}

/* Freed with questions open: nothing is called any more. */
static void test_freed(void **state)
{
	struct stage *stage = *state;

	stage_fill(stage);
	stage_event(stage, EVENT("mdev.modified", MIRROR_A));
	stage_event(stage, "{'event':'parent.ready','parent':'p'}");
	stage_turn(stage);
	sync_free(stage->sync);
	stage->sync = NULL;
	expect_log(stage, "");
	assert_int_equal(stage->closed, 0);
}

/* ---- Answers that make no sense -------------------------------------------------------------- */

static const char *const malformed[] = {
	"null",
	"7",
	"'text'",
	"[]",
	"{}",
	"{'parents':null,'types':null,'mdevs':null}",
	"{'parents':{},'types':{},'mdevs':{}}",
	"{'parents':'p','types':'p','mdevs':'p'}",
	"{'parents':[null,7,'p',[],{}],'types':[null,7,'p',[],{}],'mdevs':[null,7,'p',[],{}]}",
	"{'parents':[{'name':'p'}],'types':[{'id':7}],'mdevs':[{'uuid':'" MIRROR_A "'}]}",
	"{'parents':[{'name':'p','driver':'nvme','path':'/sys/devices/virtual/mtty/p','pci':7}],"
	"'types':[{'id':'nvme-1','attributes':7,'qos':7}],"
	"'mdevs':[{'uuid':'" MIRROR_A "','parent':'p','type':7,'attrs':7}]}",
	"{'parents':[{'name':'p','driver':'nvme','path':'/sys/devices/virtual/mtty/p','pci':{},"
	"'attributes':[7,{'name':7}],'state':7}],"
	"'types':[{'id':'../x'},{'id':'nvme-1'}],"
	"'mdevs':[{'uuid':'" MIRROR_A "','parent':'p','type':'nvme-1','attrs':[[7]],"
	"'iommu_group':'x'}]}",
};

/* Every kind of nonsense at every place of the first filling, and then at events. */
static void test_malformed(void **state)
{
	struct stage *stage = *state;
	uint64_t seed = mirror_seed();
	static const char *const events[] = {
		EVENT("mdev.started", MIRROR_A),	 EVENT("mdev.started", MIRROR_B),
		EVENT("mdev.modified", MIRROR_A),	 EVENT("mdev.stopped", MIRROR_A),
		"{'event':'parent.ready','parent':'p'}", "{'event':'parent.ready','parent':'q'}"};

	stage_answer(stage, "event.watch", "{}", mirror_json("{}"));
	for (unsigned i = 0; i < 2000; i++) {
		if (stage->ask_count == 0) {
			/* All are answered: it is settled, whatever they were. */
			assert_true(sync_drain(stage->sync));
			stage_event(stage, events[mirror_random(&seed) % ARRAY_SIZE(events)]);
			stage_turn(stage);
			stage->log[0] = '\0';
			continue;
		}
		rpc_reply(stage->asks[0].req,
			  mirror_json(malformed[mirror_random(&seed) % ARRAY_SIZE(malformed)]));
		json_decref(stage->asks[0].params);
		memmove(stage->asks, stage->asks + 1, --stage->ask_count * sizeof(stage->asks[0]));
		stage_turn(stage);
	}
	assert_int_equal(stage->closed, 0);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_fill),
		WITH(test_nothing_there),
		WITH(test_mdev_events),
		WITH(test_groups),
		WITH(test_other_events),
		WITH(test_unsettled),
		WITH(test_parent_removed),
		WITH(test_parent_removed_meanwhile),
		WITH(test_host_away),
		WITH(test_stop_and_start),
		WITH(test_stopped_but_there),
		WITH(test_type_changes),
		WITH(test_another_driver),
		WITH(test_lost),
		WITH(test_lost_at_once),
		WITH(test_no_watching),
		WITH(test_freed),
		WITH(test_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
