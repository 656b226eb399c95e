/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Jobs of all mdevs of a parent: handed to the scheduler of their engine, started when it says so.
 *
 * A job is the driver's memory; its host[] words are the scheduler's. Starting happens in one task
 * a turn of the loop, so that submissions of a turn become one batch for the device. The task
 * starts a bounded number and then lets events through.
 *
 * Time. Ownership is settled by timestamps of starts and ends. Reading the clock for each would
 * cost more than the scheduler itself, so while one mdev has an engine for itself a round of starts
 * and a burst of ends share one reading; as soon as several compete, each end has its own.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/group.h"
#include "host/host.h"
#include "host/inside.h"
#include "host/jobs.h"
#include "util/clock.h"
#include "util/log.h"

#define JOBS_PER_ROUND 1024

/* While several compete: a round that served all there is would leave nothing to choose from. What
 * is still a batch, so that who is served can ask for more before the others are served. */
#define JOBS_PER_SHARED_ROUND 16

/* A timer wakes the loop some 25 us late, more under load; a capped mdev does not lose by that. */
#define JOBS_SLACK_NS NS_PER_MS

static_assert(sizeof(struct qos_job) <= sizeof(((struct umdev_job *)0)->host),
	      "the host's words of a job hold what the scheduler needs");

static struct qos_job *job_of(struct umdev_job *job)
{
	return (struct qos_job *)job->host;
}

static struct umdev_job *job_public(struct qos_job *job)
{
	return container_of((uint64_t(*)[8])job, struct umdev_job, host);
}

/* The time as far as it matters for what comes next: never back, and not always read anew. */
static uint64_t jobs_now(struct umdev_parent *parent)
{
	parent->jobs_ns = MAX(parent->jobs_ns, reactor_now_ns(parent->reactor));
	return parent->jobs_ns;
}

/* The time at which a job has ended. */
static uint64_t jobs_end_ns(struct umdev_parent *parent, const struct host_engine *e)
{
	if (qos_contenders(e->qos) > 1)
		parent->jobs_ns = clock_now_ns();
	return jobs_now(parent);
}

/* How many jobs of @e one round starts at most. */
static uint32_t jobs_budget(const struct host_engine *e)
{
	return qos_contenders(e->qos) > 1 ? JOBS_PER_SHARED_ROUND : JOBS_PER_ROUND;
}

/* Whether it matters to the microsecond when the jobs of @e start: one mdev alone is charged for
 * the whole round anyway. */
static bool jobs_exact(const struct host_engine *e)
{
	return qos_contenders(e->qos) > 1 || qos_next_ns(e->qos) != QOS_NEVER;
}

/* Starts what engine @e may start in one round. Returns the number started. */
static uint32_t jobs_start(struct umdev_parent *parent, struct host_engine *e)
{
	uint32_t budget = jobs_budget(e);
	struct qos_job *job;
	uint32_t started = 0;

	e->round = qos_ready(e->qos) || qos_next_ns(e->qos) <= parent->jobs_ns;
	if (!e->round)
		return 0;
	qos_pass(e->qos, true, parent->jobs_ns);
	while (started < budget && (job = qos_pick(e->qos, parent->jobs_ns))) {
		struct host_flow *flow = container_of(job->flow, struct host_flow, qos);

		started++;
		host_mdev_in(flow->mdev);
		driver_job_start(&parent->driver, flow->mdev->priv, job_public(job));
		host_mdev_out(flow->mdev);
	}
	return started;
}

static void jobs_cap_opens(struct reactor_timer *timer)
{
	struct umdev_parent *parent = container_of(timer, struct umdev_parent, cap_timer);

	reactor_task_add(parent->reactor, &parent->dispatch);
}

/* Wakes the loop when the next mdev that waits for its cap may go on. */
static void jobs_arm(struct umdev_parent *parent)
{
	uint64_t next = QOS_NEVER;

	for (uint32_t i = 0; i < parent->engine_count; i++)
		next = MIN(next, qos_next_ns(parent->engines[i].qos));
	if (next == QOS_NEVER) {
		reactor_timer_cancel(parent->reactor, &parent->cap_timer);
	} else if (!parent->cap_timer.armed || parent->cap_timer.deadline_ns != next) {
		parent->cap_timer.expired = jobs_cap_opens;
		reactor_timer_set(parent->reactor, &parent->cap_timer, next);
	}
}

static void jobs_dispatch(struct reactor_task *task)
{
	struct umdev_parent *parent = container_of(task, struct umdev_parent, dispatch);
	uint32_t started = 0;
	bool exact = false;
	bool more = false;

	for (uint32_t i = 0; i < parent->engine_count; i++)
		exact |= jobs_exact(&parent->engines[i]);
	parent->jobs_ns = exact ? clock_now_ns() : jobs_now(parent);
	parent->dispatching = true;
	for (uint32_t i = 0; i < parent->engine_count; i++)
		started += jobs_start(parent, &parent->engines[i]);
	if (started > 0) {
		driver_jobs_flush(&parent->driver, parent->priv);
		parent->jobs_ns = clock_now_ns();
	}
	for (uint32_t i = 0; i < parent->engine_count; i++) {
		struct host_engine *e = &parent->engines[i];

		if (e->round)
			qos_pass(e->qos, false, parent->jobs_ns);
		more |= started > 0 && qos_ready(e->qos);
	}
	parent->dispatching = false;
	if (more)
		reactor_task_add(parent->reactor, &parent->dispatch);
	jobs_arm(parent);
}

int host_jobs_init(struct umdev_parent *parent, struct umdev_error *err)
{
	const struct umdev_parent_info *info = &parent->info;

	parent->dispatch.run = jobs_dispatch;
	parent->engine_count = MAX(1u, info->engine_count);
	for (uint32_t i = 0; i < parent->engine_count; i++) {
		const struct umdev_engine *row = driver_engine(&parent->driver, info, i);
		struct qos_config config = {.parallelism = 1, .slack_ns = JOBS_SLACK_NS};

		if (row) {
			config.parallelism = row->parallelism;
			config.reserved_slots = row->reserved_slots;
		}
		parent->engines[i].qos = qos_engine_new(&config, clock_now_ns());
		if (parent->engines[i].qos)
			continue;
		host_jobs_done(parent);
		return error_set(err, errno == EINVAL ? ERROR_DRIVER_FAILED : ERROR_NO_MEMORY,
				 "engine %s of driver %s: %u slots, %u of them reserved, are not "
				 "possible: at least one must be for all, of at most %u",
				 row ? row->name : "", parent->driver.table.name,
				 config.parallelism, config.reserved_slots, QOS_PARALLELISM_MAX);
	}
	return 0;
}

void host_jobs_done(struct umdev_parent *parent)
{
	for (uint32_t i = 0; i < parent->engine_count; i++) {
		qos_engine_free(parent->engines[i].qos);
		parent->engines[i].qos = NULL;
	}
	parent->engine_count = 0;
	reactor_timer_cancel(parent->reactor, &parent->cap_timer);
	reactor_task_del(parent->reactor, &parent->dispatch);
}

/* ---- Mdevs ---- */

/* What the scheduler is told: nothing, where the device does it. */
static struct qos_knobs jobs_knobs(const struct umdev_mdev *mdev, const struct qos_knobs *knobs)
{
	struct qos_knobs none = QOS_KNOBS_DEFAULT;

	return mdev->parent->driver.table.qos_set ? none : *knobs;
}

int host_mdev_join(struct umdev_mdev *mdev, const struct qos_knobs *knobs, struct umdev_error *err)
{
	struct umdev_parent *parent = mdev->parent;
	struct qos_knobs used = jobs_knobs(mdev, knobs);
	int r;

	mdev->flows = aligned_alloc(HOST_FLOW_ALIGN, parent->engine_count * sizeof(*mdev->flows));
	if (!mdev->flows)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	memset(mdev->flows, 0, parent->engine_count * sizeof(*mdev->flows));
	for (uint32_t i = 0; i < parent->engine_count; i++) {
		mdev->flows[i].mdev = mdev;
		r = qos_flow_join(parent->engines[i].qos, host_group_engine(mdev, i),
				  &mdev->flows[i].qos, &used, clock_now_ns());
		if (r < 0)
			return error_set(err, ERROR_NO_MEMORY, "out of memory");
		mdev->flow_count = i + 1;
	}
	mdev->knobs = *knobs;
	return driver_qos_set(&parent->driver, mdev->priv, knobs, err);
}

void host_mdev_leave(struct umdev_mdev *mdev)
{
	uint64_t now = jobs_now(mdev->parent);

	for (uint32_t i = 0; i < mdev->flow_count; i++) {
		struct qos_flow *flow = &mdev->flows[i].qos;

		if (flow->head)
			umdev_log(LOG_ERR, mdev->uuid, "driver.job",
				  "driver %s removed the mdev with jobs queued",
				  mdev->parent->driver.table.name);
		while (flow->head && qos_withdraw(flow->head, now))
			;
		qos_flow_leave(flow);
	}
	mdev->flow_count = 0;
	free(mdev->flows);
	mdev->flows = NULL;
}

int host_mdev_set_knobs(struct umdev_mdev *mdev, const struct qos_knobs *knobs,
			struct umdev_error *err)
{
	struct umdev_parent *parent = mdev->parent;
	struct qos_knobs used = jobs_knobs(mdev, knobs);
	struct qos_knobs before = jobs_knobs(mdev, &mdev->knobs);
	uint32_t done = 0;
	/* Of one at rest, when it goes on. */
	int r = mdev->rest == HOST_REST_NO ? driver_qos_set(&parent->driver, mdev->priv, knobs, err)
					   : 0;

	if (r < 0)
		return r;
	parent->jobs_ns = clock_now_ns();
	while (done < mdev->flow_count && r == 0)
		r = qos_flow_set(&mdev->flows[done++].qos, &used, parent->jobs_ns);
	if (r < 0) {
		/* What was possible before is possible again. */
		while (done-- > 0)
			(void)!qos_flow_set(&mdev->flows[done].qos, &before, parent->jobs_ns);
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	}
	mdev->knobs = *knobs;
	reactor_task_add(parent->reactor, &parent->dispatch);
	return 0;
}

/* Something has changed that may let a job of @e start: the next round looks. The present one does
 * by itself at its end. */
static void jobs_changed(struct umdev_parent *parent, const struct host_engine *e)
{
	if (parent->dispatching || parent->dispatch.queued)
		return;
	if (qos_ready(e->qos) || qos_next_ns(e->qos) != QOS_NEVER)
		reactor_task_add(parent->reactor, &parent->dispatch);
}

/* ---- The services ---- */

void host_job_submit(struct umdev_mdev *mdev, struct umdev_job *job)
{
	struct umdev_parent *parent = mdev->parent;

	if (!qos_job_idle(job_of(job)))
		return;
	if (!parent->driver.table.job_start) {
		umdev_log(LOG_ERR, mdev->uuid, "driver.job",
			  "driver %s submits jobs and lacks job_start", parent->driver.table.name);
		return;
	}
	if (job->engine >= mdev->flow_count)
		job->engine = 0;
	qos_submit(&mdev->flows[job->engine].qos, job_of(job), jobs_now(parent));
	jobs_changed(parent, &parent->engines[job->engine]);
}

int host_job_withdraw(struct umdev_mdev *mdev, struct umdev_job *job)
{
	return qos_withdraw(job_of(job), jobs_now(mdev->parent));
}

static void job_end(struct umdev_mdev *mdev, struct umdev_job *job, uint64_t ended_ns)
{
	if (!qos_job_started(job_of(job)))
		return;
	qos_complete(job_of(job), ended_ns);
	mdev->jobs_done++;
	jobs_changed(mdev->parent, &mdev->parent->engines[job->engine]);
}

void host_job_done(struct umdev_mdev *mdev, struct umdev_job *job)
{
	struct umdev_parent *parent = mdev->parent;

	job_end(mdev, job, jobs_end_ns(parent, &parent->engines[job->engine]));
}

void host_job_done_at(struct umdev_mdev *mdev, struct umdev_job *job, uint64_t ended_ns)
{
	job_end(mdev, job, MIN(ended_ns, clock_now_ns()));
}
