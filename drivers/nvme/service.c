/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * service_us: a device whose every job takes the same time, however fast the storage below is. The
 * work itself is done when the job starts; the job then ends that time later, or with the work if
 * that takes longer. What is told to the host is the modelled end, so nobody is charged for a late
 * look at the clock.
 *
 * Jobs take equally long, so they end in the order in which they started: a list suffices, and only
 * its head matters. A timer wakes the host's thread somewhat before the head is due, since timers
 * are late by tens of microseconds; for the rest the controller of the head is polled, turn by turn
 * of the host's loop, so that all others go on meanwhile. With nothing in flight there is neither.
 *
 * A job leaves the list when it is due. If its work has not ended by then, it ends with that.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "core.h"

#define LOOK_NS 90000u /* polled for so long before the end is due */

/* nvme_request.service */
#define SERVICE_LISTED 1u
#define SERVICE_WORKED 2u /* the storage is done with it */

struct nvme_service {
	struct nvme_parent *parent;
	uint64_t each_ns;
	uint64_t armed_ns; /* what the timer waits for; 0: nothing */
	int timer_fd;
	bool watched;
	struct nvme_ctrl *looker; /* the head's controller while it is due soon, or NULL */
	struct nvme_request_list list;
};

static bool service_arm(struct nvme_service *s, uint64_t at_ns)
{
	struct itimerspec when = {.it_value = {.tv_sec = (time_t)(at_ns / 1000000000u),
					       .tv_nsec = (long)(at_ns % 1000000000u)}};

	if (s->armed_ns == at_ns)
		return true;
	s->armed_ns = at_ns;
	return timerfd_settime(s->timer_fd, TFD_TIMER_ABSTIME, &when, NULL) == 0;
}

/* Sees to it that the head's end is noticed. */
static void service_aim(struct nvme_service *s, uint64_t now_ns)
{
	struct nvme_request *head = TAILQ_FIRST(&s->list);

	s->looker = NULL;
	if (!head)
		return;
	if (head->due_ns > now_ns + LOOK_NS && service_arm(s, head->due_ns - LOOK_NS))
		return;
	s->looker = head->ctrl;
	nvme_polling_update(head->ctrl, false);
}

void nvme_service_begin(struct nvme_request *req)
{
	struct nvme_service *s = req->ctrl->parent->service;

	req->due_ns = nvme_host->now_ns() + s->each_ns;
	req->service = SERVICE_LISTED;
	TAILQ_INSERT_TAIL(&s->list, req, link);
}

bool nvme_service_keeps(struct nvme_request *req, int error)
{
	if (!(req->service & SERVICE_LISTED))
		return false;
	req->error = error;
	req->service |= SERVICE_WORKED;
	return true;
}

uint32_t nvme_service_run(struct nvme_parent *parent)
{
	struct nvme_service *s = parent->service;
	uint64_t now_ns = nvme_host->now_ns();
	struct nvme_request *req;
	uint32_t n = 0;

	while ((req = TAILQ_FIRST(&s->list)) && req->due_ns <= now_ns) {
		bool worked = req->service & SERVICE_WORKED;

		TAILQ_REMOVE(&s->list, req, link);
		req->service = 0;
		if (worked)
			nvme_io_ended(req, req->error, req->due_ns);
		n += worked;
	}
	service_aim(s, now_ns);
	return n;
}

bool nvme_service_cancel(struct nvme_request *req)
{
	struct nvme_service *s = req->ctrl->parent->service;
	bool worked = req->service & SERVICE_WORKED;

	if (!(req->service & SERVICE_LISTED))
		return false;
	TAILQ_REMOVE(&s->list, req, link);
	req->service = 0;
	if (s->looker == req->ctrl)
		service_aim(s, nvme_host->now_ns());
	if (worked)
		nvme_io_ended(req, req->error, 0);
	return worked;
}

bool nvme_service_looks(const struct nvme_ctrl *ctrl)
{
	const struct nvme_service *s = ctrl->parent->service;

	return s && s->looker == ctrl;
}

static void service_ready(void *arg, uint32_t events)
{
	struct nvme_service *s = arg;
	uint64_t count;

	if (read(s->timer_fd, &count, sizeof(count)) < 0)
		return; /* it was moved since */
	s->armed_ns = 0;
	nvme_service_run(s->parent);
	nvme_parent_turn(s->parent);
}

int nvme_service_new(struct nvme_parent *parent, uint64_t each_ns)
{
	struct nvme_service *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return -ENOMEM;
	s->parent = parent;
	s->each_ns = each_ns;
	TAILQ_INIT(&s->list);
	s->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	rc = s->timer_fd < 0 ? -errno : 0;
	if (rc == 0) {
		rc = nvme_host->fd_watch(parent->handle, s->timer_fd, POLLIN, service_ready, s);
		s->watched = rc == 0;
	}
	if (rc < 0) {
		nvme_service_free(s);
		return rc;
	}
	parent->service = s;
	return 0;
}

void nvme_service_free(struct nvme_service *s)
{
	if (!s)
		return;
	if (s->watched)
		nvme_host->fd_unwatch(s->parent->handle, s->timer_fd);
	if (s->timer_fd >= 0)
		close(s->timer_fd);
	free(s);
}
