/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Jobs under the harness: the real scheduler, real time, and a record of every job that is not the
 * driver's own memory, so that what a driver does to its jobs can be held against it.
 */
#include <errno.h>
#include <string.h>

#include "kit.h"
#include "util/clock.h"

/* Starts of one turn: a driver that ends each at once must not keep the loop. */
#define JOBS_ROUND 64

int kit_engines_new(struct kit *kit, struct umdev_error *err)
{
	uint32_t count = MAX(1u, kit->info.engine_count);

	for (uint32_t i = 0; i < count; i++) {
		const struct umdev_engine *row = driver_engine(&kit->driver, &kit->info, i);
		struct qos_config config = {.parallelism = row ? row->parallelism : 1,
					    .reserved_slots = row ? row->reserved_slots : 0,
					    .slack_ns = NS_PER_MS};

		kit->engines[i] =
			row && !row->name ? NULL : qos_engine_new(&config, clock_now_ns());
		if (!kit->engines[i]) {
			kit_engines_free(kit);
			return error_set(err, ERROR_DRIVER_FAILED,
					 "engine %u has no name, or %u slots, %u of them reserved",
					 i, config.parallelism, config.reserved_slots);
		}
		kit->engine_count = i + 1;
	}
	return 0;
}

void kit_engines_free(struct kit *kit)
{
	for (uint32_t i = 0; i < kit->engine_count; i++) {
		qos_engine_free(kit->engines[i]);
		kit->engines[i] = NULL;
	}
	kit->engine_count = 0;
}

void kit_jobs_join(struct umdev_mdev *mdev)
{
	struct kit *kit = mdev->kit;
	struct qos_knobs knobs = QOS_KNOBS_DEFAULT;

	memset(mdev->flows, 0, sizeof(mdev->flows));
	mdev->flow_count = kit->engine_count;
	for (uint32_t i = 0; i < kit->engine_count; i++) {
		if (qos_flow_join(kit->engines[i], NULL, &mdev->flows[i], &knobs, clock_now_ns()) <
		    0)
			verdict_skip("out of memory");
	}
}

void kit_jobs_leave(struct umdev_mdev *mdev)
{
	struct kit *kit = mdev->kit;

	for (uint32_t i = 0; i < kit->job_top; i++) {
		struct kit_job *j = &kit->jobs[i];

		if (!j->job || j->mdev != mdev)
			continue;
		if (!qos_withdraw(&j->qos, clock_now_ns()))
			qos_complete(&j->qos, clock_now_ns());
		j->job = NULL;
	}
	for (uint32_t i = 0; i < mdev->flow_count; i++)
		qos_flow_leave(&mdev->flows[i]);
	mdev->flow_count = 0;
}

static struct kit_job *jobs_find(struct kit *kit, const struct umdev_job *job)
{
	for (uint32_t i = 0; i < kit->job_top; i++) {
		if (kit->jobs[i].job == job)
			return &kit->jobs[i];
	}
	return NULL;
}

static struct kit_job *jobs_new(struct kit *kit)
{
	for (uint32_t i = 0; i < KIT_JOBS; i++) {
		if (!kit->jobs[i].job) {
			kit->job_top = MAX(kit->job_top, i + 1);
			memset(&kit->jobs[i], 0, sizeof(kit->jobs[i]));
			return &kit->jobs[i];
		}
	}
	return NULL;
}

uint32_t kit_jobs_of(const struct umdev_mdev *mdev, bool started)
{
	const struct kit *kit = mdev->kit;
	uint32_t count = 0;

	for (uint32_t i = 0; i < kit->job_top; i++) {
		const struct kit_job *j = &kit->jobs[i];

		count += j->job && j->mdev == mdev && (!started || qos_job_started(&j->qos));
	}
	return count;
}

/* The host's words of a job are the host's. */
static void jobs_check_canary(const struct kit_job *j, const char *when)
{
	if (j->job->host[0] != j->canary)
		verdict_broken(RULE_JOB, "the host's words of a job were changed before %s", when);
}

void kit_job_submit(struct umdev_mdev *mdev, struct umdev_job *job)
{
	struct kit *kit = mdev->kit;
	struct kit_job *j;

	if (!kit_may_call("job_submit"))
		return;
	if (!mdev->created) {
		verdict_broken(RULE_JOB, "job_submit for an mdev that was removed");
		return;
	}
	if (!kit->driver.table.job_start) {
		verdict_broken(RULE_JOB, "job_submit by a driver without job_start");
		return;
	}
	j = jobs_find(kit, job);
	if (j) {
		if (j->mdev != mdev)
			verdict_broken(RULE_JOB, "a job was submitted for two mdevs");
		return; /* one that is queued or started stays as it is */
	}
	if (job->engine >= mdev->flow_count) {
		verdict_broken(RULE_JOB, "a job names engine %u, the parent has %u", job->engine,
			       mdev->flow_count);
		job->engine = 0;
	}
	j = jobs_new(kit);
	if (!j) {
		verdict_broken(RULE_JOB, "more than %d jobs at once", KIT_JOBS);
		return;
	}
	j->job = job;
	j->mdev = mdev;
	j->canary = ++kit->next_canary;
	job->host[0] = j->canary;
	mdev->submitted++;
	mdev->most_jobs = MAX(mdev->most_jobs, kit_jobs_of(mdev, false));
	qos_submit(&mdev->flows[job->engine], &j->qos, clock_now_ns());
}

int kit_job_withdraw(struct umdev_mdev *mdev, struct umdev_job *job)
{
	struct kit_job *j;

	if (!kit_may_call("job_withdraw"))
		return 0;
	j = jobs_find(mdev->kit, job);
	if (!j || !qos_withdraw(&j->qos, clock_now_ns()))
		return 0;
	jobs_check_canary(j, "job_withdraw");
	job->host[0] = 0;
	j->job = NULL;
	return 1;
}

static void jobs_end(struct umdev_mdev *mdev, struct umdev_job *job, uint64_t ended_ns,
		     const char *service)
{
	struct kit_job *j;

	if (!kit_may_call(service))
		return;
	j = jobs_find(mdev->kit, job);
	if (!j || !qos_job_started(&j->qos)) {
		verdict_broken(RULE_JOB, "%s for a job that %s, in %s", service,
			       j ? "was not started" : "has ended or was never submitted",
			       verdict_page->doing);
		return;
	}
	if (j->mdev != mdev)
		verdict_broken(RULE_JOB, "%s names another mdev than job_submit", service);
	jobs_check_canary(j, service);
	qos_complete(&j->qos, ended_ns);
	mdev->ended++;
	job->host[0] = 0;
	j->job = NULL;
}

void kit_job_done(struct umdev_mdev *mdev, struct umdev_job *job)
{
	jobs_end(mdev, job, clock_now_ns(), "job_done");
}

void kit_job_done_at(struct umdev_mdev *mdev, struct umdev_job *job, uint64_t ended_ns)
{
	uint64_t now_ns = clock_now_ns();

	if (ended_ns > now_ns)
		verdict_broken(RULE_JOB, "job_done_at %llu ns in the future",
			       (unsigned long long)(ended_ns - now_ns));
	jobs_end(mdev, job, MIN(ended_ns, now_ns), "job_done_at");
}

static void jobs_start_one(struct kit *kit, struct qos_job *qos)
{
	struct kit_job *j = container_of(qos, struct kit_job, qos);
	struct umdev_mdev *mdev = j->mdev;

	jobs_check_canary(j, "its start");
	mdev->started++;
	kit_enter(kit, "job_start");
	driver_job_start(&kit->driver, mdev->priv, j->job);
	kit_leave(kit, "job_start");
	if (kit->refill)
		kit->refill(kit);
}

uint32_t kit_jobs_start(struct kit *kit)
{
	uint32_t started = 0;

	for (uint32_t i = 0; i < kit->engine_count; i++) {
		struct qos_job *job;

		while (started < JOBS_ROUND && (job = qos_pick(kit->engines[i], clock_now_ns()))) {
			jobs_start_one(kit, job);
			started++;
		}
	}
	if (started > 0) {
		kit_enter(kit, "jobs_flush");
		driver_jobs_flush(&kit->driver, kit->parent_priv);
		kit_leave(kit, "jobs_flush");
	}
	return started;
}
