/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stopping a group: all members, or none.
 *
 *   look at each -> note on disk that the group is being stopped -> stop each, side by side ->
 *   take the note back -> answer
 *
 * A device that is gone cannot come back to its guest, so from the note on there is only forwards:
 * whoever reads it when no stop is under way, which is the next broker, stops what it finds active.
 * Until it is taken back no member starts, changes or gets a client.
 *
 * What is defined to start by itself stays down where the next broker found a host of the group
 * alive. Where all of them had ended, too, the stop was over with the last one, and the group comes
 * back as after a reboot, as a whole.
 */
#include <stdlib.h>
#include <string.h>

#include "broker/client.h"
#include "broker/group.h"
#include "util/log.h"

struct group_stop {
	struct broker *broker;
	struct api_call *call; /* NULL: an earlier broker was asked */
	char group[IDENT_UUID_SIZE];
	unsigned pending;
	struct umdev_error err;
	size_t count;
	struct api_call *steps[]; /* one for each member, so that none is wanting on the way */
};

static void group_stop_end(struct group_stop *stop)
{
	struct broker *broker = stop->broker;
	bool asked = stop->call;

	/* What hosts that were left to another broker have not done yet, that one has them do. */
	if (!broker->leaving)
		group_mark(broker, stop->group, false);
	if (stop->err.word != ERROR_NONE) {
		group_wrap(&stop->err, stop->group);
		if (!asked)
			umdev_log(LOG_ERR, stop->group, "group", "%s", stop->err.message);
		api_fail(stop->call, &stop->err);
	} else {
		group_event(broker, stop->group, "group.stopped", LOG_INFO, "stopped as asked%s",
			    asked ? "" : " of an earlier daemon");
		if (asked)
			api_reply(stop->call, group_print(broker, stop->group));
	}
	free(stop);
	if (!asked)
		broker_boot_step(broker);
}

static void group_stop_step(struct group_stop *stop)
{
	if (--stop->pending == 0)
		group_stop_end(stop);
}

static void group_stopped(struct api_call *step, json_t *result, const struct umdev_error *err)
{
	struct group_stop *stop = step->arg;

	json_decref(result);
	if (!result && stop->err.word == ERROR_NONE)
		stop->err = *err;
	group_stop_step(stop);
}

static bool group_stop_concerns(const struct mdev *mdev, const char *group)
{
	return mdev->state != MDEV_IDLE && strcmp(mdev->group, group) == 0;
}

static struct group_stop *group_stop_new(struct broker *broker, const char *group)
{
	struct group_stop *stop;
	const struct mdev *mdev;
	size_t count = 0;

	list_for_each (mdev, &broker->mdevs, link)
		count += group_stop_concerns(mdev, group);
	stop = calloc(1, sizeof(*stop) + count * sizeof(stop->steps[0]));
	if (!stop)
		return NULL;
	stop->broker = broker;
	snprintf(stop->group, sizeof(stop->group), "%s", group);
	while (stop->count < count) {
		stop->steps[stop->count] = api_call_new(broker, NULL, group_stopped, stop);
		if (!stop->steps[stop->count])
			break;
		stop->count++;
	}
	if (stop->count == count)
		return stop;
	while (stop->count > 0)
		api_forget(stop->steps[--stop->count]);
	free(stop);
	return NULL;
}

static void group_stop_run(struct group_stop *stop)
{
	struct broker *broker = stop->broker;
	struct mdev *mdev;
	struct mdev *tmp;

	stop->pending = 1; /* until all were begun */
	list_for_each_safe (mdev, tmp, &broker->mdevs, link) {
		if (!group_stop_concerns(mdev, stop->group))
			continue;
		stop->pending++;
		mdev_stop_surely(mdev, stop->steps[--stop->count]);
	}
	group_stop_step(stop);
}

/* All are looked at before the first one goes. */
static int group_stop_check(const struct broker *broker, const char *group, bool force,
			    struct umdev_error *err)
{
	const struct mdev *mdev;
	char who[CLIENT_TEXT_SIZE];
	size_t active = 0;

	list_for_each (mdev, &broker->mdevs, link) {
		if (!group_stop_concerns(mdev, group))
			continue;
		active++;
		if (mdev->state == MDEV_STARTING || mdev->state == MDEV_STOPPING ||
		    mdev->stop_next || mdev->changing)
			return error_set(err, ERROR_DEVICE_BUSY, "mdev %s is %s: try again",
					 mdev->uuid,
					 mdev->changing	   ? "being changed"
					 : mdev->stop_next ? "being stopped"
							   : mdev_state_name(mdev->state));
		/* One that was let in has not said yet who it is, perhaps. */
		if (!force && (mdev->in_use || mdev->client.pid) && !client_hung_up(mdev))
			return error_set(
				err, ERROR_DEVICE_BUSY,
				"group %s is in use by %s, through %s: end that, or use --force",
				group, client_text(mdev, who), mdev->uuid);
	}
	if (active == 0)
		return error_set(err, ERROR_NOT_ACTIVE, "no member of group %s is active", group);
	return group_check_quiet(broker, group, err);
}

int group_stop(struct broker *broker, const char *group, bool force, struct api_call *call,
	       struct umdev_error *err)
{
	int r = group_stop_check(broker, group, force, err);
	struct group_stop *stop;

	if (r < 0)
		return r;
	stop = group_stop_new(broker, group);
	if (!stop)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	stop->call = call;
	group_mark(broker, group, true);
	group_stop_run(stop);
	return 0;
}

/* ---- Begun by an earlier broker -------------------------------------------------------------- */

/* Whether a host of one of its members lived on, so that the stop goes on. */
static bool group_stop_found(const struct broker *broker, const char *group)
{
	const struct mdev *mdev;

	list_for_each (mdev, &broker->mdevs, link) {
		const struct parent *parent;

		if (group_stop_concerns(mdev, group))
			return true;
		parent = group_has(group, mdev) ? parent_find(mdev->broker, mdev->parent_name)
						: NULL;
		if (parent && parent->autostarted)
			return true;
	}
	return false;
}

void group_stop_again(struct broker *broker)
{
	struct group *group;
	struct group *tmp;

	list_for_each_safe (group, tmp, &broker->groups, link) {
		struct group_stop *stop = NULL;

		if (!group->stopping)
			continue;
		group->down = group_stop_found(broker, group->uuid);
		if (group->down)
			stop = group_stop_new(broker, group->uuid);
		if (!stop) {
			group_mark(broker, group->uuid, false);
			continue;
		}
		broker->booting++;
		group_stop_run(stop); /* may free @group */
	}
}

void group_booted(struct broker *broker)
{
	struct group *group;

	list_for_each (group, &broker->groups, link)
		group->down = false;
}
