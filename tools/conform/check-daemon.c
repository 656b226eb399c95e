/* SPDX-License-Identifier: BSD-3-Clause */
/* Checks under a real umdevd: instances, groups, clients that leave, hosts that die, and shares. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "guest.h"
#include "perf/random.h"
#include "util/clock.h"

#define DAEMON_STEPS	  40
#define DAEMON_MDEVS	  8
#define DAEMON_TOUCHES	  60
#define DAEMON_SAMPLES	  16 /* of one look */
#define DAEMON_SAMPLE_MS  50
#define DAEMON_LOOKS	  8
#define DAEMON_RESTART_NS (20 * NS_PER_S)
#define DAEMON_BURST	  64
#define DAEMON_GROUP	  "6f5e4d3c-0000-4000-8000-00000000000a"

static const char *daemon_text(const json_t *object, const char *member)
{
	const char *text = json_string_value(json_object_get(object, member));

	return text ? text : "";
}

static json_int_t daemon_number(const json_t *object, const char *member)
{
	return json_integer_value(json_object_get(object, member));
}

static json_t *daemon_uuid_param(const json_t *mdev)
{
	return json_pack("{s:s}", "uuid", daemon_text(mdev, "uuid"));
}

/* Stops an mdev whose client has left, or is about to be noticed as such. */
static void daemon_stop_mdev(struct daemon *daemon, const json_t *mdev)
{
	json_decref(
		daemon_call(daemon, "mdev.stop",
			    json_pack("{s:s,s:b}", "uuid", daemon_text(mdev, "uuid"), "force", 1)));
}

/* ---- Instances ---- */

/* What the daemon says of each type against what the pool has room for. */
static void daemon_check_instances(struct kit *kit, struct daemon *daemon)
{
	json_t *all = daemon_call(daemon, "type.list", json_pack("{s:s}", "parent", DAEMON_PARENT));
	const json_t *types = json_object_get(all, "types");

	if (json_array_size(types) != kit->info.type_count)
		verdict_fail("umdevd lists %zu types of %u", json_array_size(types),
			     kit->info.type_count);
	for (uint32_t i = 0; i < kit->info.type_count; i++) {
		const struct umdev_type *row = kit_type_row(kit, i);
		struct pool_want want = {.cost = row->cost, .rest = row->flags & UMDEV_TYPE_REST};
		uint64_t room = pool_available(&daemon->pool, &want);
		bool found = false;
		const json_t *type;
		size_t at;

		json_array_foreach (types, at, type) {
			if (strcmp(daemon_text(type, "name"), row->name) != 0)
				continue;
			found = true;
			if ((uint64_t)daemon_number(type, "available_instances") != room)
				verdict_fail("type %s has %lld available instances; the pool has "
					     "room for %llu",
					     row->id,
					     (long long)daemon_number(type, "available_instances"),
					     (unsigned long long)room);
		}
		if (!found)
			verdict_fail("type '%s' is not listed", row->name);
	}
	json_decref(all);
}

/* Whether the daemon could start one more of that type; then it must. */
static json_t *daemon_start_one(struct kit *kit, struct daemon *daemon, uint32_t index)
{
	const struct umdev_type *row = kit_type_row(kit, index);
	struct pool_want want = {.cost = row->cost, .rest = row->flags & UMDEV_TYPE_REST};
	struct umdev_error err = {0};
	struct pool_range piece;
	json_t *mdev;
	char id[160];

	snprintf(id, sizeof(id), "%s-%s", kit->driver.table.name, row->id);
	mdev = daemon_try(daemon, "mdev.start",
			  json_pack("{s:s,s:s}", "parent", DAEMON_PARENT, "type", id), &err);
	if (!mdev && row->requires_group)
		return NULL;
	if (!mdev && pool_available(&daemon->pool, &want) > 0)
		verdict_fail("there is room for another %s, and it does not start: %s", row->id,
			     err.message);
	if (!mdev)
		return NULL;
	piece.start = (uint64_t)daemon_number(json_object_get(mdev, "piece"), "start");
	piece.size = (uint64_t)daemon_number(json_object_get(mdev, "piece"), "size");
	if (pool_hold(&daemon->pool, daemon_text(mdev, "uuid"), &piece) < 0)
		verdict_fail("another %s got %llu units at %llu, which are not free", row->id,
			     (unsigned long long)piece.size, (unsigned long long)piece.start);
	return mdev;
}

void check_daemon_instances(struct kit *kit)
{
	json_t *mdevs[DAEMON_MDEVS] = {NULL};
	struct daemon daemon = {0};
	uint64_t seed = kit->options->seed;

	daemon_start(kit, &daemon);
	daemon_check_instances(kit, &daemon);
	for (uint32_t step = 0; step < DAEMON_STEPS; step++) {
		uint32_t i = (uint32_t)random_below(&seed, DAEMON_MDEVS);

		verdict_note("seed %llu, step %u", (unsigned long long)kit->options->seed, step);
		if (mdevs[i]) {
			uint64_t at = (uint64_t)daemon_number(json_object_get(mdevs[i], "piece"),
							      "start");

			daemon_stop_mdev(&daemon, mdevs[i]);
			pool_release(&daemon.pool, at, false);
			json_decref(mdevs[i]);
			mdevs[i] = NULL;
		} else {
			mdevs[i] = daemon_start_one(
				kit, &daemon, (uint32_t)random_below(&seed, kit->info.type_count));
		}
		daemon_check_instances(kit, &daemon);
	}
	daemon_stop(&daemon);
}

/* ---- Groups ---- */

/* Defines a member of the group. NULL with @err when that is refused. */
static json_t *daemon_member(struct daemon *daemon, struct umdev_error *err)
{
	return daemon_try(daemon, "mdev.define",
			  json_pack("{s:s,s:s,s:s}", "parent", DAEMON_PARENT, "type", daemon->type,
				    "group", DAEMON_GROUP),
			  err);
}

/* Groups that no type of the driver may join are refused. */
static void daemon_no_group(struct daemon *daemon, const char *type)
{
	struct umdev_error err = {0};
	json_t *mdev = daemon_try(daemon, "mdev.start",
				  json_pack("{s:s,s:s,s:s}", "parent", DAEMON_PARENT, "type",
					    daemon->type, "group", DAEMON_GROUP),
				  &err);

	if (mdev)
		verdict_fail("type %s may not join a group, and has", type);
}

/* Joining while a member is in use: as the type says. */
static void daemon_hotplug(struct kit *kit, struct daemon *daemon, const json_t *member,
			   const struct umdev_type *type)
{
	struct umdev_error err = {0};
	struct guest guest;
	json_t *mdev;

	guest_connect(&guest, kit, member);
	mdev = daemon_try(daemon, "mdev.start",
			  json_pack("{s:s,s:s,s:s}", "parent", DAEMON_PARENT, "type", daemon->type,
				    "group", DAEMON_GROUP),
			  &err);
	if (mdev && !type->group_hotplug)
		verdict_fail("an mdev of type %s, without group_hotplug, joined a group in use",
			     type->id);
	if (!mdev && type->group_hotplug && err.word == ERROR_DEVICE_BUSY)
		verdict_fail(
			"an mdev of type %s, with group_hotplug, does not join a group in use: "
			"%s",
			type->id, err.message);
	json_decref(mdev);
	guest_leave(&guest);
}

void check_daemon_group(struct kit *kit)
{
	const struct umdev_type *type;
	struct daemon daemon = {0};
	struct umdev_error err = {0};
	json_t *members[2];
	json_t *group;

	daemon_start(kit, &daemon);
	type = kit_type_row(kit, daemon.type_index);
	if (type->group_scope == UMDEV_GROUP_NONE) {
		daemon_no_group(&daemon, type->id);
		daemon_stop(&daemon);
		return;
	}
	if (type->requires_group &&
	    (group = daemon_try(
		     &daemon, "mdev.start",
		     json_pack("{s:s,s:s}", "parent", DAEMON_PARENT, "type", daemon.type), &err)))
		verdict_fail("type %s demands a group, and started without", type->id);
	for (unsigned i = 0; i < 2; i++) {
		members[i] = daemon_member(&daemon, &err);
		if (!members[i])
			verdict_fail("an mdev of type %s cannot be defined in a group: %s",
				     type->id, err.message);
	}
	group = daemon_try(&daemon, "group.start", json_pack("{s:s}", "group", DAEMON_GROUP), &err);
	if (!group)
		verdict_skip("the driver refuses two of type %s as a group: %s", type->id,
			     err.message);
	if (strcmp(daemon_text(group, "state"), "active") != 0)
		verdict_fail("a group that was started is %s", daemon_text(group, "state"));
	daemon_hotplug(kit, &daemon, json_array_get(json_object_get(group, "mdevs"), 0), type);
	json_decref(group);
	group = daemon_call(&daemon, "group.stop",
			    json_pack("{s:s,s:b}", "group", DAEMON_GROUP, "force", 1));
	json_decref(group);
	for (unsigned i = 0; i < 2; i++)
		json_decref(members[i]);
	daemon_stop(&daemon);
}

/* ---- Clients and hosts that go ---- */

/* Compares what two guests found. */
static void daemon_compare(const struct guest_regs *expected, const struct guest_regs *again,
			   struct guest *guest, const char *when)
{
	struct guest_regs got;

	guest_read(guest, &got);
	for (uint32_t bar = 0; bar < UMDEV_BAR_COUNT; bar++) {
		for (uint32_t at = 0; at < GUEST_BYTES; at++) {
			if (expected->bytes[bar][at] == got.bytes[bar][at] ||
			    expected->bytes[bar][at] != again->bytes[bar][at])
				continue;
			verdict_fail("%s, byte 0x%x of BAR %u is 0x%02x; at power-on it is 0x%02x",
				     when, at, bar, got.bytes[bar][at], expected->bytes[bar][at]);
		}
	}
}

/* What two guests find that do nothing. */
static void daemon_power_on(struct kit *kit, const json_t *mdev, struct guest_regs regs[2])
{
	for (unsigned i = 0; i < 2; i++) {
		struct guest guest;

		guest_connect(&guest, kit, mdev);
		(void)poll(NULL, 0, 20);
		guest_read(&guest, &regs[i]);
		guest_leave(&guest);
	}
}

/* A guest in the midst of its work. */
static void daemon_busy(struct guest *guest, uint64_t *seed, bool works)
{
	if (works && !guest_work(guest)) {
		for (unsigned i = 0; i < DAEMON_BURST; i++)
			(void)work_one(guest->work);
	} else {
		guest_touch(guest, seed, DAEMON_TOUCHES);
	}
}

void check_client_lost(struct kit *kit)
{
	struct daemon daemon = {0};
	struct guest_regs regs[2];
	uint64_t seed = kit->options->seed;
	struct guest guest;
	json_t *mdev;

	daemon_start(kit, &daemon);
	mdev = daemon_mdev(&daemon);
	daemon_power_on(kit, mdev, regs);
	for (unsigned round = 0; round < 6; round++) {
		verdict_note("client %u", round);
		guest_connect(&guest, kit, mdev);
		daemon_busy(&guest, &seed, round % 2 == 0);
		guest_leave(&guest);
		guest_connect(&guest, kit, mdev);
		(void)poll(NULL, 0, 20);
		daemon_compare(&regs[0], &regs[1], &guest,
			       "for the client after one that was lost");
		guest_leave(&guest);
	}
	daemon_stop_mdev(&daemon, mdev);
	json_decref(mdev);
	daemon_stop(&daemon);
}

static json_t *daemon_host(struct daemon *daemon)
{
	json_t *all = daemon_call(daemon, "parent.list", json_pack("{s:s}", "name", DAEMON_PARENT));
	json_t *parent = json_array_get(json_object_get(all, "parents"), 0);
	json_t *host = json_incref(json_object_get(parent, "host"));
	bool ready = strcmp(daemon_text(parent, "state"), "ready") == 0;

	json_decref(all);
	if (ready && json_is_object(host))
		return host;
	json_decref(host);
	return NULL;
}

/* Kills the parent's host and waits until another serves. */
static void daemon_kill_host(struct daemon *daemon)
{
	uint64_t end_ns = clock_now_ns() + DAEMON_RESTART_NS;
	json_t *host = daemon_host(daemon);
	json_int_t pid = daemon_number(host, "pid");

	json_decref(host);
	if (pid <= 1)
		verdict_skip("the parent has no host of its own");
	kill((pid_t)pid, SIGKILL);
	for (;;) {
		host = daemon_host(daemon);
		if (host && daemon_number(host, "pid") != pid)
			break;
		json_decref(host);
		if (clock_now_ns() > end_ns)
			verdict_fail("after the death of its host the parent does not come back");
		(void)poll(NULL, 0, 10);
	}
	json_decref(host);
}

void check_host_restart(struct kit *kit)
{
	struct daemon daemon = {0};
	struct guest_regs regs[2];
	uint64_t seed = kit->options->seed;
	struct guest guest;
	json_t *mdev;

	daemon_start(kit, &daemon);
	mdev = daemon_mdev(&daemon);
	daemon_power_on(kit, mdev, regs);
	for (unsigned round = 0; round < 4; round++) {
		verdict_note("host %u", round);
		guest_connect(&guest, kit, mdev);
		daemon_busy(&guest, &seed, round % 2 == 0);
		daemon_kill_host(&daemon);
		guest_leave(&guest);
		guest_connect(&guest, kit, mdev);
		(void)poll(NULL, 0, 20);
		daemon_compare(&regs[0], &regs[1], &guest,
			       "for the client after the death of a host");
		guest_leave(&guest);
	}
	daemon_stop_mdev(&daemon, mdev);
	json_decref(mdev);
	daemon_stop(&daemon);
}

/* ---- Shares ---- */

/* The guests, in a process of their own: they work while the daemon is asked about them. */
__attribute__((noreturn)) static void daemon_load(struct guest guests[2])
{
	struct umdev_error err = {0};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		for (unsigned i = 0; i < 2; i++) {
			for (unsigned n = 0; n < DAEMON_BURST && work_one(guests[i].work); n++)
				;
			if (client_service(&guests[i].client, &err) < 0)
				verdict_fail("a guest with work lost its session: %s", err.message);
		}
	}
}

/* What both have owned until now. Returns whether both have jobs that wait. */
static bool daemon_owned(struct daemon *daemon, json_t *const mdevs[2], uint64_t owned[2])
{
	bool wait = true;

	for (unsigned i = 0; i < 2; i++) {
		json_t *qos = daemon_call(daemon, "mdev.qos", daemon_uuid_param(mdevs[i]));

		owned[i] = (uint64_t)daemon_number(qos, "owned_ns");
		wait = wait && daemon_number(qos, "queued") > 0;
		json_decref(qos);
	}
	return wait;
}

/* The second's part of what both own from now on, in percent; -1: they do not have work enough. */
static double daemon_share(struct daemon *daemon, json_t *const mdevs[2])
{
	uint64_t before[2];
	uint64_t now[2];
	unsigned waits = 0;

	(void)daemon_owned(daemon, mdevs, before);
	for (unsigned i = 0; i < DAEMON_SAMPLES; i++) {
		(void)poll(NULL, 0, DAEMON_SAMPLE_MS);
		waits += daemon_owned(daemon, mdevs, now);
	}
	if (waits < DAEMON_SAMPLES * 3 / 4 || now[0] + now[1] <= before[0] + before[1])
		return -1;
	return 100.0 * (double)(now[1] - before[1]) /
	       (double)(now[0] + now[1] - before[0] - before[1]);
}

void check_daemon_shares(struct kit *kit)
{
	static const int weights[2] = {100, 300};
	struct daemon daemon = {0};
	struct guest guests[2];
	double share = -1;
	json_t *mdevs[2];
	uint64_t load_delay_ns;
	uint64_t from_ns;
	const char *reason;
	pid_t load;

	daemon_start(kit, &daemon);
	if (!(kit_type_row(kit, daemon.type_index)->qos & UMDEV_QOS_WEIGHT))
		verdict_skip("type %s does not say that it honours a weight", daemon.type);
	for (unsigned i = 0; i < 2; i++) {
		struct umdev_error err = {0};

		mdevs[i] = daemon_try(
			&daemon, "mdev.start",
			json_pack("{s:s,s:s}", "parent", DAEMON_PARENT, "type", daemon.type), &err);
		if (!mdevs[i])
			verdict_skip("two of type %s cannot be made: %s", daemon.type, err.message);
		json_decref(
			daemon_call(&daemon, "mdev.qos",
				    json_pack("{s:s,s:i}", "uuid", daemon_text(mdevs[i], "uuid"),
					      "weight", weights[i])));
		guest_connect(&guests[i], kit, mdevs[i]);
		reason = guest_work(&guests[i]);
		if (reason)
			verdict_skip("%s", reason);
	}
	from_ns = clock_now_ns();
	load = fork();
	if (load < 0)
		verdict_skip("cannot fork: %s", strerror(errno));
	if (load == 0)
		daemon_load(guests);
	(void)poll(NULL, 0, DAEMON_SAMPLE_MS);
	for (unsigned look = 0; look < DAEMON_LOOKS && (share < 68 || share > 82); look++)
		share = daemon_share(&daemon, mdevs);
	load_delay_ns = check_delay_ns(load);
	kill(load, SIGKILL);
	waitpid(load, NULL, 0);
	/* The guests' process is as good a witness as any. */
	if (share < 68 || share > 82)
		check_need_quiet(clock_now_ns() - from_ns, load_delay_ns);
	if (share < 0)
		verdict_skip("two guests do not keep the parent busy");
	if (share < 68 || share > 82)
		verdict_fail("with weights 1:3 and work enough, the second guest owns %.1f %% of "
			     "what both own, not 75 %%",
			     share);
	for (unsigned i = 0; i < 2; i++) {
		guest_leave(&guests[i]);
		json_decref(mdevs[i]);
	}
	daemon_stop(&daemon);
}
