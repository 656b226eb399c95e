/* SPDX-License-Identifier: BSD-3-Clause */
/* The loop: what is ready, what is due, what has ended. See kit.h. */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "kit.h"
#include "util/clock.h"

static uint32_t loop_watches(struct kit *kit, uint64_t timeout_ns)
{
	struct pollfd fds[KIT_WATCHES];
	struct timespec wait = {.tv_sec = (time_t)(timeout_ns / NS_PER_S),
				.tv_nsec = (long)(timeout_ns % NS_PER_S)};
	uint32_t found = 0;

	for (uint32_t i = 0; i < KIT_WATCHES; i++)
		fds[i] = (struct pollfd){.fd = kit->watches[i].fd,
					 .events = (short)kit->watches[i].events};
	if (ppoll(fds, KIT_WATCHES, &wait, NULL) <= 0)
		return 0;
	for (uint32_t i = 0; i < KIT_WATCHES; i++) {
		struct kit_watch *w = &kit->watches[i];

		/* A callback before this one may have ended the watch. */
		if (!fds[i].revents || w->fd != fds[i].fd)
			continue;
		if (fds[i].revents & POLLNVAL) {
			verdict_broken(RULE_WATCH, "descriptor %d was closed while it is watched",
				       w->fd);
			w->fd = -1;
			continue;
		}
		kit_enter(kit, "the callback of the watch of descriptor %d", w->fd);
		w->ready(w->arg, (uint32_t)fds[i].revents);
		kit_leave(kit, "watch");
		found++;
	}
	return found;
}

static uint32_t loop_timers(struct kit *kit)
{
	uint64_t now_ns = clock_now_ns();
	uint32_t found = 0;

	for (uint32_t i = 0; i < KIT_MDEVS * KIT_TIMERS; i++) {
		struct umdev_mdev *mdev = kit->mdevs[i / KIT_TIMERS];
		struct kit_timer *t = mdev ? &mdev->timers[i % KIT_TIMERS] : NULL;

		if (!t || !t->deadline_ns || t->deadline_ns > now_ns)
			continue;
		t->deadline_ns = 0;
		kit_enter(kit, "the callback of timer %u", i % KIT_TIMERS);
		t->expired(t->arg);
		kit_leave(kit, "timer");
		found++;
	}
	return found;
}

/* When the loop has to be awake again. */
static uint64_t loop_wait(const struct kit *kit, uint64_t timeout_ns)
{
	uint64_t now_ns = clock_now_ns();
	uint64_t end_ns = now_ns + timeout_ns;

	if (kit->transfer_count > 0)
		return 0;
	for (uint32_t i = 0; i < KIT_MDEVS * KIT_TIMERS; i++) {
		const struct umdev_mdev *mdev = kit->mdevs[i / KIT_TIMERS];
		uint64_t at = mdev ? mdev->timers[i % KIT_TIMERS].deadline_ns : 0;

		if (mdev && mdev->polled)
			return 0;
		if (at)
			end_ns = MIN(end_ns, at);
	}
	for (uint32_t i = 0; i < kit->engine_count && !kit->hold_jobs; i++) {
		if (qos_ready(kit->engines[i]))
			return 0;
		end_ns = MIN(end_ns, qos_next_ns(kit->engines[i]));
	}
	return end_ns > now_ns ? end_ns - now_ns : 0;
}

/* Ends one transfer with @status. */
static void loop_end_transfer(struct kit *kit, struct kit_transfer *t, int status)
{
	struct kit_transfer ended = *t;
	void *at = kit_memory_at(kit, t->iova, t->len);

	t->mdev = NULL;
	kit->transfer_count--;
	if (status == 0 && at && ended.from)
		memcpy(at, ended.from, ended.len);
	else if (status == 0 && at)
		memcpy(ended.to, at, ended.len);
	kit_enter(kit, "the callback of a transfer that ended with %d", status);
	ended.done(ended.arg, status);
	kit_leave(kit, "transfer");
}

static uint32_t loop_transfers(struct kit *kit)
{
	struct kit_transfer *due[KIT_TRANSFERS];
	uint32_t count = 0;

	/* Those that begin meanwhile take until the next turn. */
	for (uint32_t i = 0; i < KIT_TRANSFERS; i++) {
		if (kit->transfers[i].mdev)
			due[count++] = &kit->transfers[i];
	}
	for (uint32_t i = 0; i < count; i++) {
		if (due[i]->mdev)
			loop_end_transfer(kit, due[i], 0);
	}
	return count;
}

void kit_transfers_cancel(struct umdev_mdev *mdev)
{
	struct kit *kit = mdev->kit;

	for (uint32_t i = 0; i < KIT_TRANSFERS; i++) {
		if (kit->transfers[i].mdev == mdev)
			loop_end_transfer(kit, &kit->transfers[i], -ECANCELED);
	}
}

uint32_t kit_transfers_of(const struct umdev_mdev *mdev)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < KIT_TRANSFERS; i++)
		count += mdev->kit->transfers[i].mdev == mdev;
	return count;
}

static uint32_t loop_polls(struct kit *kit)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < KIT_MDEVS; i++) {
		struct umdev_mdev *mdev = kit->mdevs[i];

		if (!mdev || !mdev->polled)
			continue;
		kit_enter(kit, "poll");
		found += driver_poll(&kit->driver, mdev->priv);
		kit_leave(kit, "poll");
	}
	return found;
}

uint32_t kit_turn(struct kit *kit, uint64_t timeout_ns)
{
	uint32_t found;

	if (kit->refill)
		kit->refill(kit);
	found = loop_watches(kit, loop_wait(kit, timeout_ns));
	found += loop_timers(kit);
	found += loop_transfers(kit);
	found += loop_polls(kit);
	/* A guest that has seen a job end asks for the next before anybody is chosen. */
	if (kit->refill)
		kit->refill(kit);
	if (!kit->hold_jobs)
		found += kit_jobs_start(kit);
	return found;
}

static bool loop_busy(const struct kit *kit)
{
	if (kit->transfer_count > 0 || kit->discard_pending)
		return true;
	for (uint32_t i = 0; i < KIT_MDEVS; i++) {
		if (kit->mdevs[i] && kit_jobs_of(kit->mdevs[i], false) > 0)
			return true;
	}
	return false;
}

bool kit_settle(struct kit *kit, uint64_t limit_ns)
{
	uint64_t end_ns = clock_now_ns() + limit_ns;
	unsigned quiet = 0;

	/* What ends may begin something else: a few turns without anything are the end. */
	while (quiet < 4) {
		if (clock_now_ns() > end_ns)
			return false;
		quiet = kit_turn(kit, NS_PER_MS) == 0 && !loop_busy(kit) ? quiet + 1 : 0;
	}
	return true;
}
