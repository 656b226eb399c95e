/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who competes and who is capped. See sim.h.
 *
 * An mdev competes from the time it has a job queued until the scheduler looks for a job and finds
 * none of it: that it is empty between the start of a job and a new one at the same instant, or
 * while the device has no room, does not count.
 */
#include <errno.h>

#include "sim-internal.h"

int sim_enter(struct sim *sim, struct sim_mdev *mdev)
{
	struct sim_group *group = mdev->group;
	meter_time now = sim->meter.integral;
	int r;

	if (mdev->node.member)
		return 0;
	r = fair_enter(&mdev->node, now);
	if (r < 0)
		return r;
	mdev->entered_ns = sim->meter.now_ns;
	if (!group || group->members++ > 0 || group->scenario->knobs.cap != QOS_CAP_NONE)
		return 0;
	return fair_enter(&group->node, now);
}

void sim_leave(struct sim *sim, struct sim_mdev *mdev)
{
	meter_time now = sim->meter.integral;

	if (!mdev->node.member)
		return;
	fair_leave(&mdev->node, now);
	if (mdev->group && --mdev->group->members == 0)
		fair_leave(&mdev->group->node, now);
}

/* Whether no cap holds it. */
static bool sim_uncapped(const struct sim_mdev *mdev)
{
	return mdev->knobs.cap == QOS_CAP_NONE &&
	       (!mdev->group || mdev->group->scenario->knobs.cap == QOS_CAP_NONE);
}

void sim_queue_changed(struct sim *sim, const struct sim_mdev *mdev, bool filled)
{
	if (sim_uncapped(mdev))
		sim->waiting += filled ? 1 : UINT32_MAX;
}

void sim_flush_drained(struct sim *sim)
{
	while (sim->drained) {
		struct sim_mdev *mdev = sim->drained;

		sim->drained = mdev->next_drained;
		mdev->drained = false;
		if (mdev->queued == 0)
			sim_leave(sim, mdev);
	}
}

int sim_cap_point(struct sim *sim, struct sim_cap *cap)
{
	int r;

	if (!cap || !cap->active)
		return 0;
	r = window_point(&cap->track, &sim->windows, sim->meter.now_ns,
			 fair_owned(cap->node, sim->meter.integral));
	if (r == -EDQUOT)
		return error_set_key(sim->err, ERROR_LIMIT, "windows_us",
				     "windows_us: more than %u starts and ends of jobs lie in the "
				     "longest; make it shorter",
				     WINDOW_POINTS_MAX);
	return r;
}

int sim_cap_set(struct sim *sim, struct sim_cap *cap, uint32_t hundredths)
{
	if (!cap)
		return 0;
	window_restart(&cap->track, &sim->windows, hundredths);
	cap->active = hundredths != QOS_CAP_NONE;
	return sim_cap_point(sim, cap);
}

/* Notes a bend at the start or end of a job, and whether there will be more of them. */
static int sim_cap_run(struct sim *sim, struct sim_cap *cap)
{
	bool busy = cap && cap->node->running > 0;

	if (!cap)
		return 0;
	if (busy && !cap->busy) {
		cap->busy_place = sim->busy_cap_count;
		sim->busy_caps[sim->busy_cap_count++] = cap;
	}
	if (!busy && cap->busy) {
		struct sim_cap *last = sim->busy_caps[--sim->busy_cap_count];

		sim->busy_caps[cap->busy_place] = last;
		last->busy_place = cap->busy_place;
	}
	cap->busy = busy;
	return sim_cap_point(sim, cap);
}

int sim_run_nodes(struct sim *sim, struct sim_mdev *mdev, int jobs)
{
	meter_time now = sim->meter.integral;
	struct sim_group *group = mdev->group;
	int r = fair_run(&mdev->node, jobs, now);

	if (r == 0)
		r = sim_cap_run(sim, mdev->cap);
	if (r < 0 || !group)
		return r;
	if (!group->touched) {
		group->touched = true;
		group->next_touched = sim->touched;
		sim->touched = group;
	}
	r = fair_run(&group->node, jobs, now);
	return r < 0 ? r : sim_cap_run(sim, group->cap);
}

/* Turns the knobs as the next change of @mdev says. */
static int sim_turn(struct sim *sim, struct sim_mdev *mdev, const struct scenario_change *change)
{
	uint32_t cap = mdev->knobs.cap;
	int r = 0;

	if (mdev->queued > 0)
		sim_queue_changed(sim, mdev, false);
	if (change->mask & SCENARIO_CAP)
		mdev->knobs.cap = change->knobs.cap;
	if (change->mask & SCENARIO_PRIORITY)
		mdev->knobs.priority = change->knobs.priority;
	if (change->mask & SCENARIO_WEIGHT) {
		mdev->reweighed = mdev->reweighed || mdev->knobs.weight != change->knobs.weight;
		mdev->knobs.weight = change->knobs.weight;
		r = fair_reweigh(&mdev->node, mdev->knobs.weight, sim->meter.integral);
	}
	if (mdev->queued > 0)
		sim_queue_changed(sim, mdev, true);
	if (r == 0 && cap != mdev->knobs.cap)
		r = sim_cap_set(sim, mdev->cap, mdev->knobs.cap);
	if (mdev->knobs.cap != QOS_CAP_NONE)
		sim_leave(sim, mdev);
	else if (r == 0 && mdev->queued > 0)
		r = sim_enter(sim, mdev);
	return r < 0 ? r : qos_flow_set(&mdev->flow, &mdev->knobs, sim->meter.now_ns);
}

int sim_change(struct sim *sim, struct sim_mdev *mdev)
{
	const struct scenario_mdev *scenario = mdev->scenario;
	const struct scenario_change *change = &scenario->changes[mdev->change++];
	int r = 0;

	if (change->mask & (SCENARIO_CAP | SCENARIO_WEIGHT | SCENARIO_PRIORITY))
		r = sim_turn(sim, mdev, change);
	if (change->mask & SCENARIO_DEPTH)
		mdev->depth = change->depth;
	if (r == 0)
		r = sim_fill(sim, mdev);
	if (r < 0 || mdev->change == scenario->change_count)
		return r;
	return event_push(&sim->events, scenario->changes[mdev->change].at_ns, EVENT_CHANGE, mdev);
}

int sim_settle(struct sim *sim)
{
	const struct qos_config *config = &sim->scenario->engine;
	meter_time now = sim->meter.integral;
	uint32_t in_flight = sim->meter.in_flight;

	/* Reserved slots may be free. Mdevs whose cap does not hold them now count as well, which
	 * only the scheduler knows. */
	sim->idle_with_work = in_flight + config->reserved_slots < config->parallelism &&
			      (sim->waiting > 0 || qos_ready(sim->engine));
	fair_settle(&sim->contest, now);
	for (; sim->touched; sim->touched = sim->touched->next_touched) {
		fair_settle(&sim->touched->contest, now);
		sim->touched->touched = false;
	}
	if (in_flight == sim->settled_in_flight)
		return 0;
	sim->settled_in_flight = in_flight;
	for (uint32_t i = 0; i < sim->busy_cap_count; i++) {
		int r = sim_cap_point(sim, sim->busy_caps[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

void sim_series_rows(struct sim *sim, uint64_t now_ns)
{
	double length = (double)(now_ns - sim->series_last_ns);

	for (uint32_t i = 0; i < sim->scenario->mdev_count; i++) {
		struct sim_mdev *mdev = &sim->mdevs[i];
		meter_time owned = fair_owned(&mdev->node, sim->meter.integral);

		fprintf(sim->series.file, "%s,%.6f,%.9f,%u,%u.%02u\n", mdev->scenario->name,
			(double)now_ns / 1e9, meter_real_ns(owned - mdev->series_owned) / length,
			mdev->knobs.weight, mdev->knobs.cap / 100, mdev->knobs.cap % 100);
		mdev->series_owned = owned;
	}
	sim->series_last_ns = now_ns;
}
