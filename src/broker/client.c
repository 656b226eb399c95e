/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients that come to an end. See client.h. */
#include "broker/client.h"

#include <stdio.h>

#include "broker/mdev.h"
#include "broker/process.h"
#include "link/protocol.h"
#include "util/clock.h"
#include "util/fd.h"

#define CLIENT_WAIT_NS (5 * NS_PER_S)
#define CLIENT_LOOK_NS (5 * NS_PER_MS)

/* One that was let in has not said yet who it is, perhaps; its group knows. */
static pid_t client_pid(const struct mdev *mdev)
{
	return mdev->in_use ? mdev->client_pid : mdev->client.pid;
}

bool client_hung_up(const struct mdev *mdev)
{
	int fd = keeper_get(&mdev->keeper, LINK_SLOT_CONNECTION);

	/* What it is was the host's choice. */
	return fd_is_socket(fd) && fd_hung_up(fd);
}

bool client_leaving(const struct mdev *mdev)
{
	return mdev->state == MDEV_ACTIVE && (mdev->in_use || mdev->client.pid) &&
	       (client_hung_up(mdev) || process_ended(client_pid(mdev)));
}

bool client_await(const struct mdev *mdev, struct client_wait *wait)
{
	uint64_t now = clock_now_ns();

	if (!client_leaving(mdev))
		return false;
	if (wait->deadline_ns == 0)
		wait->deadline_ns = now + CLIENT_WAIT_NS;
	if (now >= wait->deadline_ns)
		return false;
	reactor_timer_set(mdev->broker->reactor, &wait->timer, now + CLIENT_LOOK_NS);
	return true;
}

const char *client_text(const struct mdev *mdev, char text[CLIENT_TEXT_SIZE])
{
	pid_t pid = client_pid(mdev);

	snprintf(text, CLIENT_TEXT_SIZE, "process %d of user %u%s", (int)pid,
		 (unsigned)(mdev->in_use ? mdev->client_uid : mdev->client.uid),
		 process_ended(pid) ? ", which has ended and left its connection to another" : "");
	return text;
}
