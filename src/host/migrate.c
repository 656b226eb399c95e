/* SPDX-License-Identifier: BSD-3-Clause */
/* What a session asks of the device when its client moves it (vfio/migrate.c). */
#include <errno.h>
#include <string.h>

#include "host/rest.h"
#include "host/save.h"
#include "util/fd.h"
#include "util/log.h"
#include "vfio/migrate.h"

/* Why the client got an error, for the operator. */
static void migrate_tell(struct umdev_mdev *mdev, const struct umdev_error *err)
{
	if (err->message[0] && host_event_allowed(mdev))
		host_event(mdev->parent, mdev, LOG_WARNING, EVENT_DRIVER, NULL, err->message);
}

static void migrate_rested(struct umdev_mdev *mdev)
{
	vfio_session_complete(mdev->session, 0);
}

int host_migrate_rest(void *device)
{
	struct umdev_mdev *mdev = device;

	return mdev->save ? -EBUSY : host_rest(mdev, migrate_rested);
}

int host_migrate_wake(void *device)
{
	struct umdev_mdev *mdev = device;
	struct umdev_error err = {0};
	int r = host_wake(mdev, &err);

	if (r < 0)
		migrate_tell(mdev, &err);
	return r;
}

int host_migrate_save(void *device, int *ret_fd, uint64_t *ret_size)
{
	struct umdev_mdev *mdev = device;
	umdev_autoclose int fd = fd_memfd("umdev-stream", image_max(mdev));
	struct umdev_error err = {0};
	int64_t size;

	if (fd < 0)
		return fd;
	size = image_write(mdev, fd, NULL, 0, &err);
	if (size < 0) {
		migrate_tell(mdev, &err);
		return (int)size;
	}
	*ret_fd = umdev_steal_fd(&fd);
	*ret_size = (uint64_t)size;
	return 0;
}

int host_migrate_check(void *device, int fd, uint64_t size)
{
	struct umdev_mdev *mdev = device;
	struct umdev_error err = {0};
	int r = image_begin(mdev, fd, size, &err);

	if (r < 0)
		migrate_tell(mdev, &err);
	return r;
}

/* Whether the driver goes on from what was loaded: it alone can read its part. */
static int migrate_try(struct umdev_mdev *mdev, struct umdev_error *err)
{
	int r;

	mdev->blank = false;
	r = host_wake(mdev, err);
	return r < 0 ? r : host_rest(mdev, migrate_rested);
}

int host_migrate_load(void *device, int fd, uint64_t size)
{
	struct umdev_mdev *mdev = device;
	umdev_auto(image_free) struct image image = {0};
	struct umdev_error err = {0};
	int r;

	if (mdev->rest != HOST_REST_YES)
		return -EBUSY;
	r = image_read(mdev, fd, size, &image, &err);
	if (r == 0)
		r = image_load_driver(mdev, &image, &err);
	if (r == 0)
		r = image_load_rest(mdev, &image, &err);
	if (r == 0)
		r = migrate_try(mdev, &err);
	if (r == 0 || r == -EINPROGRESS)
		return r;
	host_rest_blank(mdev);
	migrate_tell(mdev, &err);
	return r;
}
