/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Starting members of a group: all of them, or none.
 *
 *   prepare each (checks, a piece) -> the rules -> ask the drivers about the whole set ->
 *   build each, side by side (wipe, page, hidden socket, the host creates it) -> publish all
 *
 * Up to the last step no socket has its name, so nobody can have seen half a group; whatever fails
 * takes all of it back. Nothing durable says that a group is being started: a daemon that is killed
 * on the way leaves pieces that nobody has, which the next one releases.
 *
 * One member that joins alone is a set of one. The members' own steps are in start.c; the next step
 * of the set is always taken from the loop, so that no member can vanish from under a caller.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/group.h"
#include "link/protocol.h"
#include "util/log.h"

enum group_phase {
	GROUP_ASKING,
	GROUP_BUILDING,
	GROUP_UNDOING,
};

struct group_start {
	struct list link; /* of the broker */
	struct broker *broker;
	struct reactor_task task;
	struct api_call *call;
	char group[IDENT_UUID_SIZE];
	bool single;
	enum group_phase phase;
	unsigned pending; /* answers that are waited for */
	struct umdev_error err;
	size_t count;
	struct mdev *members[]; /* NULL: idle again */
};

static void group_start_note(struct group_start *start, const struct umdev_error *err)
{
	if (start->err.word == ERROR_NONE)
		start->err = *err;
}

json_t *group_start_print(const struct group_start *start)
{
	json_t *uuids = json_array();

	for (size_t i = 0; i < start->count; i++) {
		if (start->members[i])
			json_array_append_new(uuids, json_string(start->members[i]->uuid));
	}
	return uuids;
}

/* ---- The end --------------------------------------------------------------------------------- */

static void group_start_free(struct group_start *start)
{
	reactor_task_del(start->broker->reactor, &start->task);
	list_del(&start->link);
	free(start);
}

void group_start_free_all(struct broker *broker)
{
	while (!list_empty(&broker->group_starts)) {
		struct group_start *start =
			list_first(&broker->group_starts, struct group_start, link);
		struct umdev_error err = {0};

		error_set(&err, ERROR_NO_PARENT, "the daemon is ending");
		for (size_t i = 0; i < start->count; i++) {
			if (start->members[i])
				start->members[i]->start = NULL;
		}
		api_fail(start->call, &err);
		group_start_free(start);
	}
}

static void group_start_end(struct group_start *start)
{
	struct api_call *call = start->call;
	struct umdev_error err = start->err;

	if (!start->single && err.word != ERROR_NONE)
		group_wrap(&err, start->group);
	group_start_free(start);
	api_fail(call, &err);
}

/* All are there: they get their names, then everybody hears of it. */
static void group_start_commit(struct group_start *start)
{
	struct api_call *call = start->call;
	const struct mdev *first = start->members[0];

	for (size_t i = 0; i < start->count; i++) {
		start->members[i]->start = NULL;
		mdev_start_done(start->members[i]);
	}
	if (!start->single)
		group_event(start->broker, start->group, "group.started", LOG_INFO,
			    "started with %zu member%s", start->count,
			    start->count == 1 ? "" : "s");
	if (start->single)
		api_reply(call, mdev_print(first, false));
	else
		api_reply(call, group_print(start->broker, start->group));
	group_start_free(start);
}

/* ---- Taking back ----------------------------------------------------------------------------- */

/* Why a member that was well is taken back. */
static void group_start_reason(const struct group_start *start, struct umdev_error *ret)
{
	*ret = start->err;
	error_wrap(ret, "not started with the rest of its group");
}

static void group_start_undo(struct group_start *start)
{
	struct umdev_error why;

	start->phase = GROUP_UNDOING;
	group_start_reason(start, &why);
	start->pending++; /* until all were begun */
	for (size_t i = 0; i < start->count; i++) {
		struct mdev *mdev = start->members[i];

		if (!mdev)
			continue;
		if (mdev->built) {
			mdev->stepping = true;
			start->pending++;
			mdev_unbuild(mdev, &why);
		} else {
			mdev_start_failed(mdev, &why);
		}
	}
	if (--start->pending == 0)
		reactor_task_add(start->broker->reactor, &start->task);
}

/* ---- Building -------------------------------------------------------------------------------- */

static void group_start_build(struct group_start *start)
{
	start->phase = GROUP_BUILDING;
	start->pending++; /* until all were begun */
	for (size_t i = 0; i < start->count; i++) {
		struct mdev *mdev = start->members[i];

		mdev->stepping = true;
		start->pending++;
		mdev_start_next(mdev);
	}
	if (--start->pending == 0)
		reactor_task_add(start->broker->reactor, &start->task);
}

/* Whether the prepared members may join those that are there. */
static int group_start_check(const struct group_start *start, struct umdev_error *err)
{
	struct group_member members[GROUP_MEMBERS_MAX];
	size_t count = group_list_active(start->broker, start->group, NULL, members);
	const struct mdev *mdev;
	size_t all = 0;

	list_for_each (mdev, &start->broker->mdevs, link) {
		if (mdev->state == MDEV_IDLE || strcmp(mdev->group, start->group) != 0)
			continue;
		if (all < count)
			members[all].moves = mdev->state == MDEV_STARTING;
		all++;
	}
	if (all > count)
		return error_set_key(err, ERROR_LIMIT, "group",
				     "group %s would have %zu members, the limit is %d",
				     start->group, all, GROUP_MEMBERS_MAX);
	return group_check_join(start->group, members, count, err);
}

static void group_start_publish(struct group_start *start)
{
	struct umdev_error err = {0};
	int r = group_start_check(start, &err); /* somebody may have connected to one meanwhile */

	for (size_t i = 0; r == 0 && i < start->count; i++)
		r = mdev_socket_publish(start->members[i], &err);
	if (r < 0) {
		group_start_note(start, &err);
		group_start_undo(start);
	} else {
		group_start_commit(start);
	}
}

/* Nothing is waited for: goes on. */
static void group_start_run(struct reactor_task *task)
{
	struct group_start *start = container_of(task, struct group_start, task);
	bool failed = start->err.word != ERROR_NONE;

	if (start->pending > 0)
		return;
	if (start->phase == GROUP_UNDOING)
		group_start_end(start);
	else if (failed)
		group_start_undo(start);
	else if (start->phase == GROUP_ASKING)
		group_start_build(start);
	else
		group_start_publish(start);
}

void group_start_step(struct mdev *mdev, const struct umdev_error *err)
{
	struct group_start *start = mdev->start;

	if (err) {
		for (size_t i = 0; i < start->count; i++) {
			if (start->members[i] == mdev)
				start->members[i] = NULL;
		}
		group_start_note(start, err);
		mdev->start = NULL;
		mdev->built = false;
	} else {
		mdev->built = true;
	}
	if (mdev->stepping)
		start->pending--;
	mdev->stepping = false;
	if (start->pending == 0)
		reactor_task_add(start->broker->reactor, &start->task);
}

void group_start_host_died(struct mdev *mdev, const struct umdev_error *err)
{
	/* What is under way fails by itself. */
	if (!mdev->stepping)
		mdev_start_failed(mdev, err);
}

/* ---- Asking ---------------------------------------------------------------------------------- */

static void group_asked(void *arg, json_t *result, const struct umdev_error *err)
{
	struct group_start *start = arg;

	if (!result)
		group_start_note(start, err);
	if (--start->pending == 0)
		reactor_task_add(start->broker->reactor, &start->task);
}

static json_t *group_print_set(const struct broker *broker, const char *group)
{
	json_t *members = json_array();
	const struct mdev *mdev;

	list_for_each (mdev, &broker->mdevs, link) {
		const struct type *type;

		if (mdev->state == MDEV_IDLE || strcmp(mdev->group, group) != 0)
			continue;
		type = &mdev->parent->types.types[mdev->type_index];
		json_array_append_new(members, json_pack("{s:s,s:s,s:s,s:s,s:b}", "uuid",
							 mdev->uuid, "parent", mdev->parent_name,
							 "type", type->id, "type_name", type->name,
							 "new", mdev->state == MDEV_STARTING));
	}
	return members;
}

/* Asks the host of @parent, unless one of its members was met before. */
static void group_ask_parent(struct group_start *start, const struct mdev *mdev)
{
	const struct mdev *before;
	struct umdev_error err = {0};
	int r;

	list_for_each (before, &start->broker->mdevs, link) {
		if (before == mdev)
			break;
		if (before->state != MDEV_IDLE && before->parent == mdev->parent &&
		    strcmp(before->group, start->group) == 0)
			return;
	}
	r = parent_check_ready(mdev->parent, &err);
	if (r == 0) {
		r = parent_call(mdev->parent, LINK_GROUP,
				json_pack("{s:s,s:o}", "group", start->group, "members",
					  group_print_set(start->broker, start->group)),
				group_asked, start);
		if (r < 0)
			error_set(&err, ERROR_HOST_FAILED, "the host of %s cannot be asked: %s",
				  mdev->parent_name, strerror(-r));
	}
	if (r < 0)
		group_start_note(start, &err);
	else
		start->pending++;
}

static void group_ask(struct group_start *start)
{
	const struct mdev *mdev;

	list_for_each (mdev, &start->broker->mdevs, link) {
		if (mdev->state != MDEV_IDLE && strcmp(mdev->group, start->group) == 0)
			group_ask_parent(start, mdev);
	}
	if (start->pending == 0)
		reactor_task_add(start->broker->reactor, &start->task);
}

/* ---- The beginning --------------------------------------------------------------------------- */

int group_check_quiet(const struct broker *broker, const char *group, struct umdev_error *err)
{
	const struct group_start *other;

	list_for_each (other, &broker->group_starts, link) {
		if (strcmp(other->group, group) == 0)
			return error_set_key(err, ERROR_DEVICE_BUSY, "group",
					     "group %s is being started: try again", group);
	}
	if (group_is_stopping(broker, group))
		return error_set_key(err, ERROR_DEVICE_BUSY, "group",
				     "group %s is being stopped: try again", group);
	return 0;
}

static int group_prepare(struct group_start *start, const struct group_wanted *wanted,
			 struct umdev_error *err)
{
	int r = 0;

	for (size_t i = 0; i < wanted->count; i++) {
		struct mdev *mdev = wanted->mdevs[i];

		if (r < 0) {
			definition_free(wanted->runnings[i]);
			continue;
		}
		r = mdev_start_prepare(mdev, wanted->runnings[i], err);
		if (r < 0) {
			if (!start->single)
				error_wrap(err, "mdev %s", mdev->uuid);
			continue;
		}
		mdev->start = start;
		mdev->built = false;
		mdev->stepping = false;
		start->members[start->count++] = mdev;
	}
	return r == 0 ? group_start_check(start, err) : r;
}

int group_start(struct broker *broker, const struct group_wanted *wanted, struct api_call *call,
		struct umdev_error *err)
{
	struct group_start *start =
		calloc(1, sizeof(*start) + wanted->count * sizeof(struct mdev *));
	int r = start ? group_check_quiet(broker, wanted->group, err)
		      : error_set(err, ERROR_NO_MEMORY, "out of memory");

	if (r < 0) {
		for (size_t i = 0; i < wanted->count; i++)
			definition_free(wanted->runnings[i]);
		free(start);
		return r;
	}
	start->broker = broker;
	start->task.run = group_start_run;
	start->single = wanted->single;
	snprintf(start->group, sizeof(start->group), "%s", wanted->group);
	list_add_tail(&broker->group_starts, &start->link);
	r = group_prepare(start, wanted, err);
	if (r < 0) {
		/* The caller is told at once, and still has its objects. */
		for (size_t i = 0; i < start->count; i++) {
			start->members[i]->start = NULL;
			mdev_start_unprepare(start->members[i]);
		}
		group_start_free(start);
		return r;
	}
	start->call = call;
	group_ask(start);
	return 0;
}

/* ---- By itself ------------------------------------------------------------------------------- */

/* Those of @group that shall start by themselves and are idle. Their parents may be missing. */
static size_t group_list_auto(struct broker *broker, const char *group,
			      struct mdev *mdevs[GROUP_MEMBERS_MAX])
{
	struct mdev *mdev;
	size_t count = 0;

	list_for_each (mdev, &broker->mdevs, link) {
		const struct parent *parent = parent_find(broker, mdev->parent_name);

		/* Who was stopped under an earlier broker stays so. */
		if (parent && parent->autostarted && broker->booting > 0)
			continue;
		if (mdev->state == MDEV_IDLE && mdev->definition && mdev->definition->auto_start &&
		    group_has(group, mdev) && count < GROUP_MEMBERS_MAX)
			mdevs[count++] = mdev;
	}
	return count;
}

static void group_autostart_one(struct broker *broker, const char *group)
{
	struct mdev *mdevs[GROUP_MEMBERS_MAX];
	struct definition *runnings[GROUP_MEMBERS_MAX];
	struct group_wanted wanted = {.group = group, .mdevs = mdevs, .runnings = runnings};
	struct umdev_error err = {0};
	bool copied = true;

	if (group_is_down(broker, group))
		return;
	wanted.count = group_list_auto(broker, group, mdevs);
	if (wanted.count == 0)
		return;
	for (size_t i = 0; i < wanted.count; i++) {
		const struct parent *parent = parent_find(broker, mdevs[i]->parent_name);

		if (parent && parent->state == PARENT_STARTING)
			return; /* it comes here, too */
	}
	for (size_t i = 0; i < wanted.count; i++) {
		struct parent *parent = parent_find(broker, mdevs[i]->parent_name);

		runnings[i] = definition_dup(mdevs[i]->definition);
		copied = copied && runnings[i];
		mdevs[i]->autostarted = parent != NULL;
		if (parent)
			parent->autostarting++;
	}
	if (!copied) {
		for (size_t i = 0; i < wanted.count; i++)
			definition_free(runnings[i]);
		error_set(&err, ERROR_NO_MEMORY, "out of memory");
	} else if (group_start(broker, &wanted, NULL, &err) == 0) {
		return;
	}
	for (size_t i = 0; i < wanted.count; i++) {
		struct parent *parent = parent_find(broker, mdevs[i]->parent_name);

		if (mdevs[i]->autostarted)
			parent->autostarting--;
		mdevs[i]->autostarted = false;
		mdevs[i]->error = err;
	}
	group_event(broker, group, "group.stopped", LOG_WARNING, "could not start by itself: %s",
		    err.message);
}

/* Whether an mdev before @mdev speaks for the same group on the same parent. */
static bool group_spoken_for(const struct mdev *mdev, const char *group)
{
	const struct mdev *before;

	list_for_each (before, &mdev->broker->mdevs, link) {
		if (before == mdev)
			return false;
		if (before->state == MDEV_IDLE && before->definition &&
		    before->definition->auto_start &&
		    strcmp(before->parent_name, mdev->parent_name) == 0 && group_has(group, before))
			return true;
	}
	return false;
}

void group_autostart(struct parent *parent)
{
	struct broker *broker = parent->broker;
	struct mdev *mdev;

	if (broker->ending)
		return;
	list_for_each (mdev, &broker->mdevs, link) {
		char group[IDENT_UUID_SIZE];

		if (mdev->state != MDEV_IDLE || !mdev->definition ||
		    !mdev->definition->auto_start || strcmp(mdev->parent_name, parent->name) != 0)
			continue;
		definition_group(mdev->definition, group);
		if (group[0] && !group_spoken_for(mdev, group))
			group_autostart_one(broker, group);
	}
}
