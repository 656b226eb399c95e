/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks of jobs and of what the scheduler makes of them. The scheduler is the real one (src/qos)
 * and so is time; what is checked is that the driver's jobs are such that its promises hold.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "util/clock.h"

#define JOBS_RUN      64
#define JOBS_LIMIT_NS (10 * NS_PER_S)
#define JOBS_ONE_NS   (3 * NS_PER_S)
#define JOBS_WARM_NS  (100 * NS_PER_MS)
#define JOBS_TIME_NS  (500 * NS_PER_MS)
#define JOBS_LOOKS    8
#define JOBS_DEPTH    16

/* An mdev whose guest makes jobs, or the check is skipped. */
static struct umdev_mdev *jobs_mdev(struct kit *kit, uint32_t number)
{
	struct umdev_mdev *mdev = kit_mdev(kit, number);
	const char *reason;

	kit->memory_mode = KIT_MEMORY_DIRECT;
	kit_join(mdev);
	reason = kit_work_begin(mdev);
	if (reason)
		verdict_skip("%s", reason);
	return mdev;
}

void check_jobs_run(struct kit *kit)
{
	uint64_t end_ns = clock_now_ns() + JOBS_LIMIT_NS;
	uint64_t idle_ns = clock_now_ns();
	struct umdev_mdev *mdev;
	uint64_t before;
	uint64_t ended;

	kit_up(kit);
	mdev = jobs_mdev(kit, 0);
	before = mdev->submitted;
	ended = mdev->ended;
	kit_work_keep(kit, 4);
	while (mdev->ended < before + JOBS_RUN && clock_now_ns() < end_ns) {
		kit_turn(kit, NS_PER_MS);
		if (mdev->ended != ended)
			idle_ns = clock_now_ns();
		ended = mdev->ended;
		if (clock_now_ns() > idle_ns + JOBS_ONE_NS)
			break;
	}
	if (mdev->submitted == before)
		verdict_fail("its guest works, and the driver submits no job");
	if (mdev->started > mdev->ended && clock_now_ns() > idle_ns + JOBS_ONE_NS)
		verdict_fail("a job that was started has not ended after 3 s");
	kit_work_keep(kit, 0);
	if (!kit_settle(kit, JOBS_ONE_NS))
		verdict_fail(
			"jobs do not end, or never stop coming, though no guest asks for more");
	kit_close(kit);
}

/* ---- Shares ---- */

static void jobs_knobs(struct umdev_mdev *mdev, uint32_t weight, uint32_t cap)
{
	struct qos_knobs knobs = QOS_KNOBS_DEFAULT;

	knobs.weight = weight;
	knobs.cap = cap;
	for (uint32_t i = 0; i < mdev->flow_count; i++) {
		if (qos_flow_set(&mdev->flows[i], &knobs, clock_now_ns()) < 0)
			verdict_skip("out of memory");
	}
}

static uint64_t jobs_owned(const struct umdev_mdev *mdev)
{
	uint64_t owned = 0;

	for (uint32_t i = 0; i < mdev->flow_count; i++) {
		struct qos_flow_stats stats;

		qos_flow_stats(&mdev->flows[i], clock_now_ns(), &stats);
		owned += stats.owned_ns;
	}
	return owned;
}

/* The usual type, if its mdevs are scheduled here and honour @knob. */
static void jobs_need_knob(struct kit *kit, uint32_t knob, const char *name)
{
	const struct umdev_type *type;

	kit_up(kit);
	type = kit_type_row(kit, kit_type(kit));
	if (kit->driver.table.qos_set)
		verdict_skip("the driver schedules in hardware");
	if (!(type->qos & knob))
		verdict_skip("type %s does not say that it honours %s", type->id, name);
}

static void jobs_pass(struct kit *kit, uint64_t ns)
{
	uint64_t end_ns = clock_now_ns() + ns;

	while (clock_now_ns() < end_ns)
		kit_turn(kit, NS_PER_MS);
}

/* More than the engine takes at once, so that there is always something to choose from. */
static uint32_t jobs_depth(const struct kit *kit)
{
	uint32_t most = 1;

	for (uint32_t i = 0; i < kit->info.engine_count; i++) {
		const struct umdev_engine *e = driver_engine(&kit->driver, &kit->info, i);

		most = MAX(most, e->parallelism);
	}
	return MAX(2 * most, (uint32_t)JOBS_DEPTH);
}

void check_need_quiet(uint64_t wall_ns, uint64_t delay_ns)
{
	if (delay_ns > wall_ns / 10)
		verdict_skip("the machine is too busy to tell: for %llu %% of the time this "
			     "process waited for a processor",
			     (unsigned long long)(100 * delay_ns / wall_ns));
}

uint64_t check_delay_ns(pid_t pid)
{
	umdev_autofclose FILE *stat = NULL;
	unsigned long long ran = 0;
	unsigned long long waited = 0;
	char path[48];

	snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)pid);
	stat = fopen(path, "re");
	if (!stat || fscanf(stat, "%llu %llu", &ran, &waited) != 2)
		return 0;
	return waited;
}

/* The second's part of what both own from now on, in percent; -1: no job ended. */
static double jobs_second_share(struct kit *kit, struct umdev_mdev *const mdevs[2])
{
	uint64_t jobs = mdevs[0]->ended + mdevs[1]->ended;
	uint64_t before[2];
	uint64_t owned[2];

	for (uint32_t i = 0; i < 2; i++)
		before[i] = jobs_owned(mdevs[i]);
	jobs_pass(kit, JOBS_TIME_NS);
	for (uint32_t i = 0; i < 2; i++)
		owned[i] = jobs_owned(mdevs[i]) - before[i];
	if (mdevs[0]->ended + mdevs[1]->ended == jobs || owned[0] + owned[1] == 0)
		return -1;
	return 100.0 * (double)owned[1] / (double)(owned[0] + owned[1]);
}

void check_qos_weights(struct kit *kit)
{
	struct umdev_mdev *mdevs[2];
	uint64_t delay_ns;
	uint64_t from_ns;
	double share = 0;

	jobs_need_knob(kit, UMDEV_QOS_WEIGHT, "a weight");
	for (uint32_t i = 0; i < 2; i++)
		mdevs[i] = jobs_mdev(kit, i);
	jobs_knobs(mdevs[0], 100, QOS_CAP_NONE);
	jobs_knobs(mdevs[1], 300, QOS_CAP_NONE);
	kit_work_keep(kit, jobs_depth(kit));
	jobs_pass(kit, JOBS_WARM_NS);
	if (mdevs[0]->most_jobs < 2)
		verdict_skip("a guest of it has one job at a time, which is never work enough");
	from_ns = clock_now_ns();
	delay_ns = check_delay_ns(getpid());
	/* A machine that is busy with something else may spoil one look, not all. */
	for (unsigned look = 0; look < JOBS_LOOKS && (share < 70 || share > 80); look++) {
		share = jobs_second_share(kit, mdevs);
		if (share < 0)
			verdict_skip("jobs do not end");
	}
	kit_work_keep(kit, 0);
	if (share < 70 || share > 80)
		check_need_quiet(clock_now_ns() - from_ns, check_delay_ns(getpid()) - delay_ns);
	if (share < 70 || share > 80)
		verdict_fail("with weights 1:3 and work enough, the second owns %.1f %% of what "
			     "both own, not 75 %%",
			     share);
	kit_close(kit);
}

/* What @mdev owns of the time from now on, in percent; -1: no job ended. */
static double jobs_time_share(struct kit *kit, const struct umdev_mdev *mdev)
{
	uint64_t jobs = mdev->ended;
	uint64_t before = jobs_owned(mdev);
	uint64_t from_ns = clock_now_ns();

	jobs_pass(kit, JOBS_TIME_NS);
	if (mdev->ended == jobs)
		return -1;
	return 100.0 * (double)(jobs_owned(mdev) - before) / (double)(clock_now_ns() - from_ns);
}

void check_qos_cap(struct kit *kit)
{
	struct umdev_mdev *mdev;
	uint64_t delay_ns;
	uint64_t from_ns;
	double share = 100;

	jobs_need_knob(kit, UMDEV_QOS_CAP, "a cap");
	mdev = jobs_mdev(kit, 0);
	jobs_knobs(mdev, QOS_WEIGHT, 2500);
	kit_work_keep(kit, jobs_depth(kit));
	jobs_pass(kit, JOBS_WARM_NS);
	from_ns = clock_now_ns();
	delay_ns = check_delay_ns(getpid());
	for (unsigned look = 0; look < JOBS_LOOKS && share > 28; look++) {
		share = jobs_time_share(kit, mdev);
		if (share < 0)
			verdict_skip("jobs do not end");
	}
	if (share > 28)
		check_need_quiet(clock_now_ns() - from_ns, check_delay_ns(getpid()) - delay_ns);
	if (share > 28)
		verdict_fail("under a cap of 25 %% it owns %.1f %% of its parent", share);
	kit_close(kit);
}
