/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Jobs of all mdevs of a parent: started in the order of submission, at most K in flight on each
 * engine.
 *
 * A job is the driver's memory; its host[] words hold a queue node while it waits. Starting happens
 * in one task a turn of the loop, so that submissions of a turn become one batch for the device.
 * The task starts a bounded number and then lets events through.
 */
#include <assert.h>
#include <string.h>

#include "host/host.h"
#include "util/log.h"

#define JOBS_PER_ROUND 1024

enum job_state {
	JOB_IDLE,
	JOB_QUEUED,
	JOB_STARTED,
};

/* What the host keeps in umdev_job.host. */
struct host_job {
	struct list link;
	struct umdev_mdev *mdev;
	uint64_t state;
};
static_assert(sizeof(struct host_job) <= sizeof(((struct umdev_job *)0)->host),
	      "the host's words of a job hold its queue node");

static struct host_job *job_of(struct umdev_job *job)
{
	return (struct host_job *)job->host;
}

static struct umdev_job *job_public(struct host_job *hj)
{
	return container_of((uint64_t(*)[8])hj, struct umdev_job, host);
}

static bool jobs_engine_ready(const struct host_engine *e)
{
	return e->in_flight < e->parallelism && !list_empty(&e->queue);
}

/* Starts what engine @e may start, up to @budget. Returns the number started. */
static uint32_t jobs_start(struct umdev_parent *parent, struct host_engine *e, uint32_t budget)
{
	uint32_t started = 0;

	while (started < budget && jobs_engine_ready(e)) {
		struct host_job *hj = list_first(&e->queue, struct host_job, link);

		list_del(&hj->link);
		hj->state = JOB_STARTED;
		e->in_flight++;
		e->started++;
		started++;
		driver_job_start(&parent->driver, hj->mdev->priv, job_public(hj));
	}
	return started;
}

static void jobs_dispatch(struct reactor_task *task)
{
	struct umdev_parent *parent = container_of(task, struct umdev_parent, dispatch);
	uint32_t started = 0;
	bool more = false;

	for (uint32_t i = 0; i < parent->engine_count; i++)
		started += jobs_start(parent, &parent->engines[i], JOBS_PER_ROUND);
	if (started > 0)
		driver_jobs_flush(&parent->driver, parent->priv);
	for (uint32_t i = 0; i < parent->engine_count; i++)
		more |= jobs_engine_ready(&parent->engines[i]);
	if (more)
		reactor_task_add(parent->reactor, &parent->dispatch);
}

void host_jobs_init(struct umdev_parent *parent)
{
	const struct umdev_parent_info *info = &parent->info;

	parent->dispatch.run = jobs_dispatch;
	parent->engine_count = MAX(1u, info->engine_count);
	for (uint32_t i = 0; i < parent->engine_count; i++) {
		const struct umdev_engine *row = driver_engine(&parent->driver, info, i);
		struct host_engine *e = &parent->engines[i];

		list_init(&e->queue);
		e->parallelism = row && row->parallelism ? row->parallelism : 1;
	}
}

void host_job_submit(struct umdev_mdev *mdev, struct umdev_job *job)
{
	struct host_job *hj = job_of(job);
	struct umdev_parent *parent = mdev->parent;
	uint32_t index = job->engine < parent->engine_count ? job->engine : 0;
	struct host_engine *e = &parent->engines[index];

	if (hj->state != JOB_IDLE)
		return;
	if (!parent->driver.table.job_start) {
		umdev_log(LOG_ERR, mdev->uuid, "driver.job",
			  "driver %s submits jobs and lacks job_start", parent->driver.table.name);
		return;
	}
	job->engine = index;
	hj->mdev = mdev;
	hj->state = JOB_QUEUED;
	list_add_tail(&e->queue, &hj->link);
	if (e->in_flight < e->parallelism)
		reactor_task_add(parent->reactor, &parent->dispatch);
}

int host_job_withdraw(struct umdev_mdev *mdev, struct umdev_job *job)
{
	struct host_job *hj = job_of(job);

	if (hj->state != JOB_QUEUED)
		return 0;
	list_del(&hj->link);
	hj->state = JOB_IDLE;
	return 1;
}

void host_job_done(struct umdev_mdev *mdev, struct umdev_job *job)
{
	struct host_job *hj = job_of(job);
	struct host_engine *e = &mdev->parent->engines[job->engine];

	if (hj->state != JOB_STARTED)
		return;
	hj->state = JOB_IDLE;
	e->in_flight--;
	mdev->jobs_done++;
	if (!list_empty(&e->queue))
		reactor_task_add(mdev->parent->reactor, &mdev->parent->dispatch);
}

void host_job_done_at(struct umdev_mdev *mdev, struct umdev_job *job, uint64_t ended_ns)
{
	/* Jobs are first in, first out: nobody is charged. */
	host_job_done(mdev, job);
}
