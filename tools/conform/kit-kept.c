/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What outlives a process: numbers of accesses, and descriptors that a driver has kept. Those end
 * with the mdev here. A process that goes on from another's state finds none, as after a restore.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "kit.h"
#include "util/clock.h"

void kit_access_begin(struct umdev_mdev *mdev)
{
	uint64_t now_ns = clock_now_ns();

	/* No number of an earlier process, either. */
	mdev->last_access = MAX(mdev->last_access + 1, now_ns);
	mdev->access = mdev->last_access;
}

void kit_access_end(struct umdev_mdev *mdev)
{
	mdev->access = 0;
}

int kit_keep(struct umdev_mdev *mdev, uint32_t index, int fd)
{
	int copy;

	if (index >= KIT_KEPT)
		return -EINVAL;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return -errno;
	if (mdev->kept[index])
		close(mdev->kept[index] - 1);
	mdev->kept[index] = copy + 1;
	return 0;
}

int kit_kept(struct umdev_mdev *mdev, uint32_t index)
{
	int copy;

	if (index >= KIT_KEPT || !mdev->kept[index])
		return -ENOENT;
	copy = fcntl(mdev->kept[index] - 1, F_DUPFD_CLOEXEC, 0);
	return copy < 0 ? -errno : copy;
}

void kit_kept_drop(struct umdev_mdev *mdev)
{
	for (uint32_t i = 0; i < KIT_KEPT; i++) {
		if (mdev->kept[i])
			close(mdev->kept[i] - 1);
		mdev->kept[i] = 0;
	}
}
