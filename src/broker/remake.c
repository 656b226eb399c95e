/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Making an active mdev anew with other attributes, on the same piece and under the same name.
 *
 * Tools of mediated devices create first and set attributes then, before the first use. What a
 * driver takes at creation only is therefore set by taking the device down and creating it again,
 * as long as no client uses it. Where the driver refuses the new values, the device is made as it
 * was before; only where that fails, too, is it gone.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/client.h"
#include "broker/endpoint.h"
#include "broker/group.h"
#include "broker/journal.h"
#include "broker/mdev.h"
#include "broker/place.h"
#include "link/protocol.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/log.h"

struct remake {
	struct mdev *mdev;
	struct definition *next; /* what is tried; then what it was, once that runs */
	struct api_call *call;
	void (*then)(struct mdev *mdev, struct api_call *call);
	struct umdev_error err; /* why it is being set back */
};

static void remake_end(struct remake *remake, const struct umdev_error *err)
{
	struct mdev *mdev = remake->mdev;
	struct api_call *call = remake->call;
	void (*then)(struct mdev * mdev, struct api_call * call) = remake->then;

	definition_free(remake->next);
	if (err) {
		api_fail(call, err);
	} else {
		mdev_event(mdev, "mdev.modified", LOG_INFO, "made anew with other attributes");
		then(mdev, call);
	}
	free(remake);
}

/* The device is there again, as it is in mdev->running. */
static void remake_active(struct mdev *mdev)
{
	mdev->changing = false;
	mdev->changing_to = NULL;
	mdev->counts_since_ns = clock_now_ns();
	mdev_set_state(mdev, MDEV_ACTIVE);
	journal_settled(mdev);
	journal_remade(mdev);
}

static void remake_swap(struct remake *remake)
{
	struct definition *other = remake->mdev->running;

	remake->mdev->running = remake->next;
	remake->mdev->changing_to = other;
	remake->next = other;
}

/* Sends the creation of a device with an empty page, as mdev->running says. */
static int remake_send(struct mdev *mdev, link_reply_fn *reply, struct remake *remake,
		       struct umdev_error *err)
{
	int r = keeper_page_new(&mdev->keeper, mdev->parent->page_size,
				mdev->parent->state_version);

	if (r < 0)
		return error_set(err, error_word_from_errno(r),
				 "cannot make the state page of %s: %s", mdev->uuid, strerror(-r));
	keeper_drop_all(&mdev->keeper);
	/* It is stored again when it is whole. */
	keeper_unstore(&mdev->keeper);
	r = mdev_socket_open(mdev, err);
	if (r == 0)
		r = mdev_endpoints_open(mdev, err);
	if (r < 0)
		return r;
	journal_settled(mdev);
	r = mdev_send_create(mdev, 0, reply, remake);
	if (r < 0)
		return error_set(err, ERROR_HOST_FAILED,
				 "the host of %s cannot be asked to create %s: %s",
				 mdev->parent_name, mdev->uuid, strerror(-r));
	return 0;
}

/* Neither the new nor the old device can be made. */
static void remake_lost(struct remake *remake, const struct umdev_error *why)
{
	struct mdev *mdev = remake->mdev;
	struct umdev_error err = remake->err;

	mdev->changing = false;
	mdev->changing_to = NULL;
	journal_remade(mdev);
	/* A host that died makes it on its successor, and nothing is left to be resumed. */
	if (why->word == ERROR_HOST_FAILED) {
		fd_close(&mdev->keeper.page_fd);
		mdev_set_state(mdev, MDEV_ACTIVE);
		remake_end(remake, &err);
		return;
	}
	error_wrap(&err, "mdev %s could not be made as before either (%.128s) and is stopped",
		   mdev->uuid, why->message);
	/* First the event, then the answer. */
	mdev_stopped(mdev, "it could not be made anew");
	remake_end(remake, &err);
}

static void remake_restored(void *arg, json_t *result, const struct umdev_error *err)
{
	struct remake *remake = arg;
	struct umdev_error failure = {0};

	if (!result || mdev_socket_publish(remake->mdev, &failure) < 0) {
		remake_lost(remake, result ? &failure : err);
		return;
	}
	remake_active(remake->mdev);
	remake_end(remake, &remake->err);
}

/* Sets back to what it was, because of @why. */
static void remake_restore(struct remake *remake, const struct umdev_error *why)
{
	struct umdev_error err = {0};

	remake->err = *why;
	remake_swap(remake);
	if (why->word == ERROR_HOST_FAILED)
		remake_lost(remake, why);
	else if (remake_send(remake->mdev, remake_restored, remake, &err) < 0)
		remake_lost(remake, &err);
}

static void remake_created(void *arg, json_t *result, const struct umdev_error *err)
{
	struct remake *remake = arg;
	struct umdev_error failure = {0};

	if (!result || mdev_socket_publish(remake->mdev, &failure) < 0) {
		remake_restore(remake, result ? &failure : err);
		return;
	}
	remake_active(remake->mdev);
	remake_end(remake, NULL);
}

static void remake_removed(void *arg, json_t *result, const struct umdev_error *err)
{
	struct remake *remake = arg;
	struct mdev *mdev = remake->mdev;
	struct umdev_error failure = {0};

	/* Refused (a client came in between), or gone with its host: it stays what it was. */
	if (!result && err->word != ERROR_NOT_ACTIVE) {
		mdev->changing = false;
		mdev->changing_to = NULL;
		mdev_set_state(mdev, MDEV_ACTIVE);
		journal_remade(mdev);
		remake_end(remake, err);
		return;
	}
	remake_swap(remake);
	if (remake_send(mdev, remake_created, remake, &failure) < 0)
		remake_restore(remake, &failure);
}

static int remake_check(struct mdev *mdev, struct definition *next, struct umdev_error *err)
{
	char who[CLIENT_TEXT_SIZE];
	int r;

	if (mdev->state != MDEV_ACTIVE || mdev->changing)
		return error_set(err, ERROR_DEVICE_BUSY, "mdev %s is %s: try again", mdev->uuid,
				 mdev->changing ? "being changed" : mdev_state_name(mdev->state));
	if (mdev->in_use && !client_hung_up(mdev))
		return error_set(err, ERROR_DEVICE_BUSY,
				 "mdev %s is in use by %s: this takes effect at creation, so end "
				 "that first",
				 mdev->uuid, client_text(mdev, who));
	r = group_check_stop(mdev, err);
	if (r < 0)
		return r;
	r = definition_check_attrs(next, &mdev->parent->attr_specs, mdev->parent->driver, err);
	if (r == 0)
		r = knobs_check(next, &mdev->parent->types.types[mdev->type_index], mdev->uuid,
				err);
	if (r == 0)
		r = place_check_change(mdev, next, err);
	return r == 0 ? mdev_socket_check(next, err) : r;
}

int mdev_remake(struct mdev *mdev, struct definition *next, struct api_call *call,
		void (*then)(struct mdev *mdev, struct api_call *call), struct umdev_error *err)
{
	struct remake *remake = NULL;
	int r = remake_check(mdev, next, err);

	if (r == 0) {
		remake = calloc(1, sizeof(*remake));
		if (!remake)
			r = error_set(err, ERROR_NO_MEMORY, "out of memory");
	}
	if (r == 0) {
		*remake = (struct remake){mdev, next, call, then, {0}};
		journal_remakes(mdev);
		r = parent_call(mdev->parent, LINK_REMOVE,
				json_pack("{s:s,s:b}", "uuid", mdev->uuid, "force", false),
				remake_removed, remake);
		if (r < 0)
			r = error_set(err, ERROR_HOST_FAILED, "the host of %s cannot be asked: %s",
				      mdev->parent_name, strerror(-r));
	}
	if (r < 0) {
		if (remake)
			journal_remade(mdev);
		free(remake);
		definition_free(next);
		return r;
	}
	mdev->changing = true;
	mdev->changing_to = next;
	mdev_set_state(mdev, MDEV_STOPPING);
	return 0;
}
