/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Letting go of all mdevs because another process will serve them: nothing more is read from
 * clients, drivers come to rest, and then everything is freed while page and kept descriptors stay
 * as they are. The parent stays open, and has what it let go of staged (baton.h), so that it can go
 * on.
 */
#include <errno.h>
#include <string.h>

#include "host/baton.h"
#include "host/handover.h"
#include "host/host.h"
#include "host/release.h"
#include "util/clock.h"

static void release_check(struct umdev_parent *parent)
{
	uint64_t id = parent->release_id;

	if (!parent->releasing || !list_empty(&parent->mdevs))
		return;
	parent->releasing = false;
	parent->release_id = 0;
	link_reply(&parent->link, id, NULL);
	/* The broker may have gone meanwhile, and another one may wait. */
	host_baton_build(parent);
	host_handover_removed(parent);
}

static void release_finish(struct reactor_timer *timer)
{
	struct umdev_mdev *mdev = container_of(timer, struct umdev_mdev, finish);
	struct umdev_parent *parent = mdev->parent;

	if (parent->stages)
		host_baton_stage(mdev);
	list_del(&mdev->link);
	parent->mdev_count--;
	host_mdev_free(mdev);
	release_check(parent);
}

void host_release_quiet(struct umdev_mdev *mdev)
{
	if (!mdev->releasing || mdev->finish.armed)
		return;
	/* The driver is on the stack. */
	mdev->finish.expired = release_finish;
	reactor_timer_set(mdev->parent->reactor, &mdev->finish, clock_now_ns());
}

/* Whether everything can be let go of. */
static int release_check_begin(const struct umdev_parent *parent, struct umdev_error *err)
{
	const struct umdev_driver *table = &parent->driver.table;
	const struct umdev_mdev *mdev;

	if (parent->releasing || parent->waits || parent->discard_id || !parent->opened ||
	    parent->closing)
		return error_set(err, ERROR_DEVICE_BUSY, "parent %s is busy: try again",
				 parent->name);
	if (table->job_start && !table->quiesce)
		return error_set(err, ERROR_DRIVER_FAILED, "driver %s cannot come to rest",
				 table->name);
	list_for_each (mdev, &parent->mdevs, link) {
		if (mdev->save)
			return error_set(err, ERROR_DEVICE_BUSY, "mdev %s is being saved",
					 mdev->uuid);
		if (mdev->removing)
			return error_set(err, ERROR_DEVICE_BUSY, "mdev %s is being stopped",
					 mdev->uuid);
	}
	return 0;
}

void host_release(struct umdev_parent *parent, uint64_t id, int *baton)
{
	struct umdev_error err = {0};
	struct umdev_mdev *mdev;

	if (release_check_begin(parent, &err) < 0) {
		link_reply_error(&parent->link, id, &err);
		return;
	}
	parent->release_id = id;
	parent->releasing = true;
	parent->stages = baton != NULL;
	if (baton)
		host_baton_wait(parent, baton);
	/* First all of them stop to begin something, then each has its own to end. */
	list_for_each (mdev, &parent->mdevs, link)
		vfio_session_pause(mdev->session);
	list_for_each (mdev, &parent->mdevs, link) {
		mdev->releasing = true;
		if (mdev->rest == HOST_REST_GOING)
			continue; /* quiesce_done() goes on from here */
		if (!mdev->created || driver_quiesce(&parent->driver, mdev->priv) != -EINPROGRESS)
			host_release_quiet(mdev);
		vfio_session_cancel(mdev->session);
	}
	release_check(parent);
}
