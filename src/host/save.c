/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state of an mdev to a file and back.
 *
 * A state is worth keeping only together with the guest memory of the same moment, which is not
 * ours to save: so the guest must stand still. Nobody tells us whether a VM is paused; what can be
 * seen is whether its device does anything. A device whose client has sent nothing for a while,
 * with no job queued or in flight, is as it would be after a pause at the beginning of that while;
 * one that does more is refused. It is then brought to rest, copied, and goes on.
 */
#include "host/save.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "host/given.h"
#include "host/rest.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/log.h"
#include "vfio/migrate.h"
#include "vfio/page.h"

#define SAVE_LOOK_NS (20 * NS_PER_MS)
#define SAVE_QUIET   5 /* looks without anything new */
#define SAVE_WAIT_NS (2 * NS_PER_S)

struct host_save {
	struct umdev_mdev *mdev;
	uint64_t id;
	int fd;
	uint64_t about;
	struct reactor_timer timer;
	uint64_t deadline_ns;
	uint64_t requests;
	uint64_t jobs;
	unsigned quiet;
	bool paused; /* the session, and that is ours to undo */
};

/* ---- Saving */

void host_save_done(struct umdev_mdev *mdev)
{
	struct host_save *save = mdev->save;

	if (!save)
		return;
	reactor_timer_cancel(mdev->parent->reactor, &save->timer);
	fd_close(&save->fd);
	free(save);
	mdev->save = NULL;
}

void host_save_forget(struct umdev_mdev *mdev)
{
	if (mdev->save)
		mdev->save->id = 0;
}

static void save_failed(struct host_save *save, const struct umdev_error *err)
{
	struct umdev_mdev *mdev = save->mdev;
	uint64_t id = save->id;

	host_save_done(mdev);
	if (id)
		link_reply_error(&mdev->parent->link, id, err);
}

/* Copies what is at rest. */
static int64_t save_write(struct host_save *save, struct umdev_error *err)
{
	umdev_autofree char *about = malloc(save->about + 1);

	if (!about)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	if (pread(save->fd, about, save->about, 0) != (ssize_t)save->about)
		return error_set(err, ERROR_INVALID, "malformed save");
	return image_write(save->mdev, save->fd, about, save->about, err);
}

static void save_finish(struct host_save *save)
{
	struct umdev_mdev *mdev = save->mdev;
	struct umdev_error err = {0};
	struct umdev_error lost = {0};
	int64_t size = save_write(save, &err);

	if (save->paused) {
		if (host_wake(mdev, &lost) < 0)
			vfio_session_expel(mdev->session,
					   "the device does not go on after it was saved");
		vfio_session_go_on(mdev->session);
	}
	if (lost.message[0])
		host_event(mdev->parent, mdev, LOG_ERR, EVENT_DRIVER, NULL, lost.message);
	if (size < 0) {
		save_failed(save, &err);
		return;
	}
	if (save->id)
		link_reply(&mdev->parent->link, save->id,
			   json_pack("{s:I}", "size", (json_int_t)size));
	host_save_done(mdev);
}

static void save_rested(struct umdev_mdev *mdev)
{
	if (mdev->save)
		save_finish(mdev->save);
}

/* Nothing is going on: takes the picture. */
static void save_take(struct host_save *save)
{
	struct umdev_mdev *mdev = save->mdev;
	struct umdev_error err = {0};
	int r;

	if (mdev->rest == HOST_REST_YES) {
		save_finish(save);
		return;
	}
	vfio_session_pause(mdev->session);
	save->paused = true;
	r = host_rest(mdev, save_rested);
	if (r == 0) {
		save_finish(save);
	} else if (r != -EINPROGRESS) {
		vfio_session_go_on(mdev->session);
		error_set(&err, ERROR_DEVICE_BUSY, "mdev %s is busy: try again", mdev->uuid);
		save_failed(save, &err);
	}
}

/* Whether jobs of the mdev wait or are being done. */
static bool save_jobs(const struct umdev_mdev *mdev)
{
	for (uint32_t i = 0; i < mdev->flow_count; i++) {
		if (mdev->flows[i].qos.node.queued || mdev->flows[i].qos.node.in_flight)
			return true;
	}
	return false;
}

static void save_look(struct reactor_timer *timer)
{
	struct host_save *save = container_of(timer, struct host_save, timer);
	struct umdev_mdev *mdev = save->mdev;
	struct vfio_session_stats stats;
	struct umdev_error err = {0};
	struct ucred peer = {0};
	bool client = vfio_session_client(mdev->session, &peer);

	vfio_session_stats(mdev->session, &stats);
	if (stats.requests != save->requests || mdev->jobs_done != save->jobs || save_jobs(mdev) ||
	    !vfio_session_still(mdev->session) || mdev->rest == HOST_REST_GOING ||
	    mdev->pending != HOST_PENDING_NONE)
		save->quiet = 0;
	else
		save->quiet++;
	save->requests = stats.requests;
	save->jobs = mdev->jobs_done;
	/* Without a client, and for one that has stopped the device, there is nothing to watch. */
	if (save->quiet >= SAVE_QUIET ||
	    (save->quiet > 0 && (!client || mdev->rest == HOST_REST_YES))) {
		save_take(save);
	} else if (mdev->removing || clock_now_ns() > save->deadline_ns) {
		error_set(&err, ERROR_DEVICE_BUSY,
			  "mdev %s is in use by process %d, whose guest is running: pause that, or "
			  "end it",
			  mdev->uuid, (int)peer.pid);
		save_failed(save, &err);
	} else {
		reactor_timer_set(mdev->parent->reactor, &save->timer,
				  clock_now_ns() + SAVE_LOOK_NS);
	}
}

int host_save(struct umdev_mdev *mdev, uint64_t id, int *fd, uint64_t about,
	      struct umdev_error *err)
{
	struct vfio_session_stats stats;
	struct host_save *save;
	struct stat st;
	int r = host_rest_possible(mdev->parent, err);

	if (r < 0)
		return r;
	if (mdev->save || mdev->removing || mdev->releasing)
		return error_set(err, ERROR_DEVICE_BUSY, "mdev %s is busy: try again", mdev->uuid);
	if (fstat(*fd, &st) < 0 || about > (uint64_t)st.st_size)
		return error_set(err, ERROR_INVALID, "malformed save");
	save = calloc(1, sizeof(*save));
	if (!save)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	vfio_session_stats(mdev->session, &stats);
	*save = (struct host_save){.mdev = mdev,
				   .id = id,
				   .fd = umdev_steal_fd(fd),
				   .about = about,
				   .requests = stats.requests,
				   .jobs = mdev->jobs_done,
				   .deadline_ns = clock_now_ns() + SAVE_WAIT_NS};
	save->timer.expired = save_look;
	mdev->save = save;
	reactor_timer_set(mdev->parent->reactor, &save->timer, clock_now_ns());
	return 0;
}

/* ---- Restoring */

int host_restore_begin(struct umdev_mdev *mdev, struct host_given *given, struct image *ret_image,
		       struct umdev_error *err)
{
	int *fd = host_given_slot(given, VFIO_SLOT_STREAM);
	struct stat st;
	int r = host_rest_possible(mdev->parent, err);

	if (r < 0)
		return r;
	if (!fd || fstat(*fd, &st) < 0 || st.st_size < 0)
		return error_set(err, ERROR_INVALID, "no saved state was given");
	r = image_read(mdev, *fd, (uint64_t)st.st_size, ret_image, err);
	fd_close(fd);
	return r < 0 ? r : image_load_driver(mdev, ret_image, err);
}

int host_restore_end(struct umdev_mdev *mdev, const struct image *image, struct umdev_error *err)
{
	int r = image_load_rest(mdev, image, err);

	if (r == 0)
		vfio_page_await(mdev->page.session);
	return r;
}
