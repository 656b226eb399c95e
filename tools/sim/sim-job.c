/* SPDX-License-Identifier: BSD-3-Clause */
/* Jobs of the simulation: they arrive, start and end. See sim.h. */
#include <errno.h>
#include <inttypes.h>

#include "sim-internal.h"

static struct sim_job *sim_job_new(struct sim *sim)
{
	struct sim_job *job;

	if (!sim->free_jobs) {
		struct sim_chunk *chunk = calloc(1, sizeof(*chunk));

		if (!chunk)
			return NULL;
		chunk->next = sim->chunks;
		sim->chunks = chunk;
		for (size_t i = SIM_CHUNK_JOBS; i-- > 0;) {
			chunk->jobs[i].next = sim->free_jobs;
			sim->free_jobs = &chunk->jobs[i];
		}
	}
	job = sim->free_jobs;
	sim->free_jobs = job->next;
	*job = (struct sim_job){0};
	return job;
}

/* The cost of the next job as the scheduler sees it, which may be a piece of one. */
static uint64_t sim_cost(struct sim_mdev *mdev)
{
	uint32_t pieces = mdev->scenario->split;
	uint64_t before;

	if (mdev->piece == 0)
		mdev->whole_ns = cost_next(&mdev->scenario->cost, &mdev->cost);
	/* The pieces add up to the whole, except that none is nothing. */
	before = mdev->whole_ns / pieces * mdev->piece +
		 mdev->whole_ns % pieces * mdev->piece / pieces;
	mdev->piece++;
	before = mdev->whole_ns / pieces * mdev->piece +
		 mdev->whole_ns % pieces * mdev->piece / pieces - before;
	if (mdev->piece == pieces)
		mdev->piece = 0;
	return MAX(before, (uint64_t)1);
}

int sim_job_submit(struct sim *sim, struct sim_mdev *mdev)
{
	struct sim_job *job = sim_job_new(sim);
	uint64_t now = sim->meter.now_ns;

	if (!job)
		return -ENOMEM;
	job->mdev = mdev;
	job->submit_ns = now;
	job->cost_ns = sim_cost(mdev);
	mdev->jobs++;
	mdev->outstanding++;
	mdev->submit_sum += now;
	qos_submit(&mdev->flow, &job->job, now);
	if (mdev->queued++ == 0)
		sim_queue_changed(sim, mdev, true);
	return mdev->knobs.cap == QOS_CAP_NONE ? sim_enter(sim, mdev) : 0;
}

int sim_fill(struct sim *sim, struct sim_mdev *mdev)
{
	const struct scenario_mdev *scenario = mdev->scenario;
	uint64_t now = sim->meter.now_ns;
	int r = 0;

	if (scenario->arrival != ARRIVAL_BACKLOGGED || now < scenario->start_ns ||
	    now >= scenario->stop_ns)
		return 0;
	while (r == 0 && mdev->outstanding < mdev->depth && !(scenario->yield && mdev->queued > 0))
		r = sim_job_submit(sim, mdev);
	return r;
}

int sim_refill(struct sim *sim)
{
	int r = 0;

	while (sim->refill && r == 0) {
		struct sim_mdev *mdev = sim->refill;

		sim->refill = mdev->next_refill;
		mdev->refill = false;
		r = sim_fill(sim, mdev);
	}
	sim->refill_end = &sim->refill;
	return r;
}

/* When the arrival after that at @now_ns comes. */
static int sim_next_arrival(struct sim *sim, struct sim_mdev *mdev, uint64_t now_ns)
{
	const struct scenario_mdev *scenario = mdev->scenario;
	uint64_t gap = scenario->every_ns;

	if (scenario->arrival == ARRIVAL_POISSON)
		gap = (uint64_t)(random_exponential(&mdev->arrivals) / scenario->per_ns + 0.5);
	if (gap >= scenario->stop_ns - now_ns)
		return 0;
	return event_push(&sim->events, now_ns + gap, EVENT_ARRIVAL, mdev);
}

int sim_start_arrivals(struct sim *sim, struct sim_mdev *mdev)
{
	const struct scenario_mdev *scenario = mdev->scenario;

	if (scenario->arrival == ARRIVAL_NEVER || scenario->start_ns >= scenario->stop_ns)
		return 0;
	if (scenario->arrival == ARRIVAL_POISSON)
		return sim_next_arrival(sim, mdev, scenario->start_ns);
	return event_push(&sim->events, scenario->start_ns, EVENT_ARRIVAL, mdev);
}

int sim_arrive(struct sim *sim, struct sim_mdev *mdev)
{
	const struct scenario_mdev *scenario = mdev->scenario;
	uint64_t pieces = (uint64_t)scenario->burst * scenario->split;

	if (scenario->arrival == ARRIVAL_BACKLOGGED)
		return sim_fill(sim, mdev);
	for (uint64_t i = 0; i < pieces; i++) {
		int r;

		if (mdev->outstanding >= mdev->depth) {
			/* Its cost is drawn all the same: those after it do not depend on it. */
			sim_cost(mdev);
			mdev->dropped++;
			continue;
		}
		r = sim_job_submit(sim, mdev);
		if (r < 0)
			return r;
	}
	return sim_next_arrival(sim, mdev, sim->meter.now_ns);
}

int sim_job_start(struct sim *sim, struct sim_job *job)
{
	struct sim_mdev *mdev = job->mdev;
	uint64_t now = sim->meter.now_ns;
	int r;

	if (sim->meter.in_flight >= sim->scenario->engine.parallelism)
		return error_set(sim->err, ERROR_INTERNAL,
				 "the scheduler started more than k jobs");
	r = wait_add(&mdev->wait, now - job->submit_ns, &sim->budget);
	if (r == 0)
		r = sim_run_nodes(sim, mdev, 1);
	if (r == 0)
		r = event_push(&sim->events, now + job->cost_ns, EVENT_END, job);
	if (r < 0)
		return r;
	sim->meter.in_flight++;
	sim->decisions++;
	job->start = sim->meter.integral;
	job->started = true;
	mdev->submit_sum -= job->submit_ns;
	if (--mdev->queued == 0) {
		sim_queue_changed(sim, mdev, false);
		if (!mdev->drained) {
			mdev->drained = true;
			mdev->next_drained = sim->drained;
			sim->drained = mdev;
		}
	}
	return mdev->scenario->yield ? sim_fill(sim, mdev) : 0;
}

int sim_job_end(struct sim *sim, struct sim_job *job)
{
	struct sim_mdev *mdev = job->mdev;
	int r = sim_run_nodes(sim, mdev, -1);

	if (r < 0)
		return r;
	sim->meter.in_flight--;
	sim->ended++;
	sim->longest_job_ns = MAX(sim->longest_job_ns, job->cost_ns);
	sim->longest_charge = MAX(sim->longest_charge, sim->meter.integral - job->start);
	sim->over = sim->scenario->max_jobs && sim->ended == sim->scenario->max_jobs;
	if (sim->series.jobs)
		fprintf(sim->series.jobs, "%s,%" PRIu64 ",%" PRIu64 ",%" PRIu64 "\n",
			mdev->scenario->name, job->submit_ns, sim->meter.now_ns - job->cost_ns,
			sim->meter.now_ns);
	mdev->ended++;
	mdev->outstanding--;
	qos_complete(&job->job, sim->meter.now_ns);
	job->mdev = NULL;
	job->next = sim->free_jobs;
	sim->free_jobs = job;
	if (!mdev->refill) {
		mdev->refill = true;
		mdev->next_refill = NULL;
		*sim->refill_end = mdev;
		sim->refill_end = &mdev->next_refill;
	}
	return 0;
}
