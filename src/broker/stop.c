/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stopping an mdev, and what the death of its host means for it.
 *
 * A device that was taken down keeps its piece while it is defined; the piece of a transient one is
 * released and dirty. After the death of a host its mdevs come back on the next one with their
 * state pages; connections and what they lent do not.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/client.h"
#include "broker/convert.h"
#include "broker/group.h"
#include "broker/journal.h"
#include "broker/mdev.h"
#include "broker/upgrade.h"
#include "link/protocol.h"
#include "util/clock.h"
#include "util/log.h"

void mdev_stopped(struct mdev *mdev, const char *why)
{
	struct parent *parent = mdev->parent;
	struct broker *broker = mdev->broker;
	struct api_call *call;
	struct umdev_error err = {0};
	char group[IDENT_UUID_SIZE];

	if (mdev->start) { /* it was not there for anybody yet */
		error_set(&err, ERROR_NO_PARENT, "%s was stopped: %s", mdev->uuid, why);
		mdev_start_failed(mdev, &err);
		return;
	}
	call = umdev_steal_ptr(&mdev->call);
	memcpy(group, mdev->group, sizeof(group));
	mdev->group[0] = '\0';
	mdev->client = (struct group_client){0};
	list_del(&mdev->return_link);
	mdev_socket_close(mdev);
	keeper_done(&mdev->keeper);
	if (!mdev_is_defined(mdev)) {
		pool_release(&parent->pool, mdev->piece.start, true);
		if (parent_store_map(parent, &err) < 0)
			umdev_log(LOG_ERR, parent->name, "parent.map", "%s", err.message);
	}
	definition_free(umdev_steal_ptr(&mdev->running));
	mdev->parent = NULL;
	mdev->in_use = false;
	mdev->stop_next = false;
	mdev_set_state(mdev, MDEV_IDLE);
	mdev_event(mdev, "mdev.stopped", LOG_INFO, "stopped: %s", why);
	mdev_put(mdev);
	group_settle(broker, group);
	api_reply(call, json_object());
}

static void mdev_removed(void *arg, json_t *result, const struct umdev_error *err)
{
	struct mdev *mdev = arg;
	struct api_call *call;

	/* With its host, or unknown to it, it is gone as well. */
	if (result || err->word == ERROR_HOST_FAILED || err->word == ERROR_NOT_ACTIVE) {
		mdev_stopped(mdev, "as asked");
		return;
	}
	call = umdev_steal_ptr(&mdev->call);
	mdev_set_state(mdev, MDEV_ACTIVE);
	api_fail(call, err);
}

int mdev_stop(struct mdev *mdev, bool force, struct api_call *call, struct umdev_error *err)
{
	struct parent *parent = mdev->parent;
	char who[CLIENT_TEXT_SIZE];
	int r;

	if (mdev->state == MDEV_IDLE)
		return error_set(err, ERROR_NOT_ACTIVE, "mdev %s is not active", mdev->uuid);
	if (mdev->state == MDEV_STARTING || mdev->state == MDEV_STOPPING || mdev->changing)
		return error_set(err, ERROR_DEVICE_BUSY, "mdev %s is %s: try again", mdev->uuid,
				 mdev->changing ? "being changed" : mdev_state_name(mdev->state));
	if (mdev->state == MDEV_RESTARTING && mdev->stop_next)
		return error_set(err, ERROR_DEVICE_BUSY, "mdev %s is being stopped", mdev->uuid);
	if (mdev->state == MDEV_RESTARTING &&
	    (parent->state == PARENT_READY || parent->upgrade || parent->returning > 0)) {
		/* The host is creating it just now or converts its page, or one of two has it. */
		mdev->stop_next = true;
		mdev->stop_forced = force;
		mdev->call = call;
		return 0;
	}
	if (mdev->state != MDEV_ACTIVE) {
		mdev->call = call;
		mdev_stopped(mdev, "as asked");
		return 0;
	}
	if (!force && mdev->in_use && !client_hung_up(mdev))
		return error_set(err, ERROR_DEVICE_BUSY,
				 "mdev %s is in use by %s: end that, or use --force", mdev->uuid,
				 client_text(mdev, who));
	r = parent_call(parent, LINK_REMOVE,
			json_pack("{s:s,s:b}", "uuid", mdev->uuid, "force", force), mdev_removed,
			mdev);
	if (r < 0)
		return error_set(err, ERROR_HOST_FAILED, "the host of %s cannot be asked: %s",
				 mdev->parent_name, strerror(-r));
	mdev_set_state(mdev, MDEV_STOPPING);
	mdev->call = call;
	return 0;
}

void mdev_stop_surely(struct mdev *mdev, struct api_call *call)
{
	struct parent *parent = mdev->parent;
	struct umdev_error err = {0};

	if (mdev_stop(mdev, true, call, &err) == 0)
		return;
	/* A host that cannot be asked is dying, or is made to: the next one gets it to be stopped,
	 * and without a next one it is. */
	mdev->stop_next = true;
	mdev->stop_forced = true;
	mdev->call = call;
	if (parent->state != PARENT_REMOVING)
		parent_fail(parent, &err);
}

/* The stop that was asked for while the device was being created again. */
static void mdev_stop_next(struct mdev *mdev)
{
	struct api_call *call = umdev_steal_ptr(&mdev->call);
	struct umdev_error err = {0};

	mdev->stop_next = false;
	if (mdev_stop(mdev, mdev->stop_forced, call, &err) < 0)
		api_fail(call, &err);
}

/* ---- Deaths of hosts ------------------------------------------------------------------------- */

void mdev_host_died(struct mdev *mdev)
{
	/* One that starts is not active yet, and may be gone after this. */
	if (mdev->start)
		group_start_host_died(mdev, &mdev->parent->error);
	else if (mdev->state == MDEV_ACTIVE)
		mdev_set_state(mdev, MDEV_RESTARTING);
}

/* The device begins anew or not at all: its client is lost. */
static void mdev_lose_client(struct mdev *mdev)
{
	mdev->in_use = false;
	mdev->client = (struct group_client){0};
	keeper_drop_all(&mdev->keeper);
}

void mdev_host_gone(struct mdev *mdev)
{
	if (mdev->state != MDEV_RESTARTING)
		return;
	mdev->error = mdev->parent->error;
	mdev_lose_client(mdev);
	mdev_set_state(mdev, MDEV_FAILED);
	if (mdev->stop_next)
		mdev_stop_next(mdev);
}

static void mdev_back_failed(struct mdev *mdev, const struct umdev_error *err)
{
	mdev->error = *err;
	mdev_lose_client(mdev);
	mdev_set_state(mdev, MDEV_FAILED);
	mdev_event(mdev, "mdev.stopped", LOG_ERR, "not started again on the new host: %s",
		   err->message);
}

static void mdev_back(struct mdev *mdev, const struct umdev_error *err)
{
	if (!err) {
		memset(&mdev->error, 0, sizeof(mdev->error));
		mdev->counts_since_ns = clock_now_ns();
		mdev->from_store = false;
		mdev_set_state(mdev, MDEV_ACTIVE);
		journal_settled(mdev);
	} else if (err->word != ERROR_HOST_FAILED) {
		mdev_back_failed(mdev, err);
	} else {
		return; /* another death, another host */
	}
	upgrade_mdev_back(mdev);
	if (mdev->stop_next)
		mdev_stop_next(mdev);
}

static void mdev_return_next(struct parent *parent);

static void mdev_back_anew(void *arg, json_t *result, const struct umdev_error *err)
{
	struct mdev *mdev = arg;
	struct parent *parent = mdev->parent;

	parent->returning--;
	mdev_back(mdev, result ? NULL : err);
	mdev_return_next(parent);
}

static void mdev_send_again(struct mdev *mdev, int origin, link_reply_fn *reply)
{
	int r = mdev_send_create(mdev, origin, reply, mdev);

	/* A host that cannot be asked is dying; the next one gets it. */
	if (r == 0)
		mdev->parent->returning++;
	else
		umdev_log(LOG_DEBUG, mdev->uuid, "host.create", "not sent: %s", strerror(-r));
}

/* Gives it up to the new host with nothing in its page: to the guest, a new device. */
static void mdev_send_anew(struct mdev *mdev)
{
	struct umdev_error err = {0};
	int r = keeper_page_new(&mdev->keeper, mdev->parent->page_size,
				mdev->parent->state_version);

	mdev->from_store = false;
	mdev_lose_client(mdev);
	if (r < 0) {
		error_set(&err, error_word_from_errno(r), "cannot make the state page of %s: %s",
			  mdev->uuid, strerror(-r));
		mdev_back(mdev, &err);
		return;
	}
	mdev_send_again(mdev, 0, mdev_back_anew);
}

/* Its page is of no use to the new host. */
static void mdev_begin_anew(struct mdev *mdev, const struct umdev_error *why)
{
	mdev_event(mdev, "driver", LOG_WARNING, "its state is not resumed, it begins anew: %s",
		   why->message);
	mdev_send_anew(mdev);
}

static void mdev_back_resumed(void *arg, json_t *result, const struct umdev_error *err)
{
	struct mdev *mdev = arg;
	struct parent *parent = mdev->parent;

	parent->returning--;
	if (result || err->word == ERROR_HOST_FAILED) {
		mdev_back(mdev, result ? NULL : err);
	} else if (upgrade_can_go_back(parent)) {
		upgrade_mdev_refused(mdev, err);
	} else {
		mdev_begin_anew(mdev, err);
	}
	mdev_return_next(parent);
}

/* Gives the new host what the old one had kept. A host that cannot be told is dying; the next one
 * gets it. */
static int mdev_give(struct mdev *mdev)
{
	const struct keeper *keeper = &mdev->keeper;
	size_t at = 0;
	int r;

	while (at < keeper->count) {
		int fds[LINK_FDS_MAX];
		size_t n = MIN(keeper->count - at, (size_t)LINK_FDS_MAX);
		json_t *slots = json_array();

		for (size_t i = 0; i < n; i++) {
			fds[i] = keeper->slots[at + i].fd;
			json_array_append_new(slots, json_integer(keeper->slots[at + i].slot));
		}
		r = parent_notify(mdev->parent, LINK_GIVE,
				  json_pack("{s:s,s:o}", "uuid", mdev->uuid, "slots", slots), fds,
				  n);
		if (r < 0)
			return r;
		at += n;
	}
	return 0;
}

static void mdev_staged(void *arg, json_t *result, const struct umdev_error *err)
{
	struct mdev *mdev = arg;
	struct parent *parent = mdev->parent;

	parent->returning--;
	if (!result && err->word != ERROR_HOST_FAILED && parent->upgrade)
		upgrade_mdev_refused(mdev, err);
	mdev_return_next(parent);
}

/* In an upgrade all are staged, and created when the host has all of them. */
static void mdev_return_upgraded(struct mdev *mdev)
{
	struct umdev_error err = {0};
	int r;

	if (!upgrade_stages(mdev->parent)) {
		r = mdev_send_staged(mdev, mdev_back_resumed, mdev);
	} else {
		r = mdev_give(mdev);
		if (r == 0)
			r = mdev_send_stage(mdev, mdev_staged, mdev);
	}
	if (r == 0) {
		mdev->parent->returning++;
	} else if (r == -EMSGSIZE || r == -E2BIG || r == -EMFILE || r == -ENOMEM) {
		/* For any other reason the host is dying. */
		error_set(&err, error_word_from_errno(r), "it cannot be sent: %s", strerror(-r));
		upgrade_mdev_refused(mdev, &err);
	}
}

static void mdev_resume(struct mdev *mdev)
{
	if (mdev_give(mdev) == 0)
		mdev_send_again(mdev, 1, mdev_back_resumed);
}

static void mdev_converted(void *arg, json_t *result, const struct umdev_error *err)
{
	struct mdev *mdev = arg;
	struct parent *parent = mdev->parent;
	uint32_t was = mdev->keeper.state_version;

	parent->returning--;
	if (result) {
		keeper_page_swap(&mdev->keeper, parent->state_version);
		mdev_event(mdev, "driver", LOG_INFO,
			   "its state was converted from version %u to version %u", was,
			   parent->state_version);
		mdev_resume(mdev);
	} else if (err->word != ERROR_HOST_FAILED) {
		mdev_begin_anew(mdev, err);
	}
	mdev_return_next(parent);
}

/* The driver on disk is another one than that which the page was left by. */
static void mdev_convert(struct mdev *mdev)
{
	struct umdev_error err = {0};
	int r = convert_check(mdev, &err);

	if (r == 0) {
		r = convert_send(mdev, mdev_converted);
		if (r == 0)
			mdev->parent->returning++;
		if (r == 0 || r == -ENOTCONN)
			return; /* one that cannot be asked is dying; the next one gets it */
		error_set(&err, error_word_from_errno(r), "its state page is not converted: %s",
			  strerror(-r));
	}
	mdev_begin_anew(mdev, &err);
}

static void mdev_return(struct mdev *mdev)
{
	if (mdev->parent->upgrade)
		mdev_return_upgraded(mdev);
	else if (mdev->keeper.page_fd < 0)
		mdev_send_anew(mdev);
	else if (convert_needed(mdev))
		mdev_convert(mdev);
	else
		mdev_resume(mdev);
}

/* What a host has not read yet waits here with copies of its descriptors: thousands of mdevs with
 * what they keep would be more than the link takes and a process may have. */
static void mdev_return_next(struct parent *parent)
{
	while (parent->host && !list_empty(&parent->returns) &&
	       (parent->returning == 0 || !host_is_behind(parent->host))) {
		struct mdev *mdev = list_first(&parent->returns, struct mdev, return_link);

		list_del(&mdev->return_link);
		mdev_return(mdev);
	}
	if (parent->host && parent->upgrade && list_empty(&parent->returns))
		upgrade_all_sent(parent);
}

void mdev_host_back(struct mdev *mdev)
{
	struct parent *parent = mdev->parent;

	if (mdev->state == MDEV_FAILED)
		mdev_set_state(mdev, MDEV_RESTARTING);
	if (mdev->state != MDEV_RESTARTING)
		return;
	list_del(&mdev->return_link);
	if (mdev->in_use) /* somebody waits */
		list_add(&parent->returns, &mdev->return_link);
	else
		list_add_tail(&parent->returns, &mdev->return_link);
	reactor_task_add(parent->broker->reactor, &parent->return_task);
}

void mdev_return_task(struct reactor_task *task)
{
	mdev_return_next(container_of(task, struct parent, return_task));
}
