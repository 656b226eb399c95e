/* SPDX-License-Identifier: BSD-3-Clause */
/* What a simulation came to. See sim.h. */
#include <errno.h>

#include "sim-internal.h"

/* Sums over the mdevs that always competed. */
struct sim_fairness {
	double share;
	double weight;
	double ratio; /* of share to weight */
	double ratio_square;
};

static int64_t sim_less(unsigned __int128 a, unsigned __int128 b)
{
	return a >= b ? (int64_t)(a - b) : -(int64_t)(b - a);
}

static void sim_collect_mdev(struct sim *sim, struct sim_mdev *mdev, struct sim_mdev_result *result,
			     const struct qos_flow_stats *stats)
{
	uint64_t now = sim->meter.now_ns;
	unsigned __int128 total = mdev->wait.sum_ns + (unsigned __int128)now * mdev->queued;
	unsigned __int128 causes = 0;
	meter_time owned = fair_owned(&mdev->node, sim->meter.integral);

	total -= mdev->submit_sum;
	for (unsigned cause = 0; cause < QOS_CAUSE_COUNT; cause++) {
		result->wait_by_cause[cause] = stats->wait_by_cause_ns[cause];
		causes += stats->wait_by_cause_ns[cause];
	}
	result->owned_ns = meter_real_ns(owned);
	result->share = now ? result->owned_ns / (double)now : 0;
	result->jobs = mdev->jobs;
	result->ended = mdev->ended;
	result->dropped = mdev->dropped;
	result->wait_p50 = wait_percentile(&mdev->wait, 500);
	result->wait_p99 = wait_percentile(&mdev->wait, 990);
	result->wait_p999 = wait_percentile(&mdev->wait, 999);
	result->wait_max = mdev->wait.max_ns;
	if (mdev->wait.count)
		result->wait_mean = (double)mdev->wait.sum_ns / (double)mdev->wait.count;
	result->wait_total = (uint64_t)total;
	result->wait_error = sim_less(total, causes);
}

/* Whether an mdev competed from the beginning to the end, with one weight and no cap. */
static bool sim_steady(const struct sim_mdev *mdev)
{
	return mdev->node.member && !mdev->node.left && mdev->entered_ns == 0 && !mdev->reweighed;
}

/* The part of the whole that an mdev should have of what all steady ones get; 0: it is not one. */
static double sim_weight(const struct sim_mdev *mdev)
{
	const struct sim_group *group = mdev->group;

	if (!sim_steady(mdev))
		return 0;
	if (!group)
		return mdev->node.weight;
	/* The group's weight is divided by its steady members only if it has no others. */
	if (!group->node.member || group->node.left || group->steady != group->mdevs)
		return 0;
	return (double)group->node.weight * mdev->node.weight / (double)group->steady_weight;
}

static void sim_collect_fairness(struct sim *sim, struct sim_result *result)
{
	struct sim_fairness sum = {0};
	uint32_t count = sim->scenario->mdev_count;

	for (uint32_t i = 0; i < count; i++) {
		struct sim_mdev *mdev = &sim->mdevs[i];

		if (!mdev->group || mdev->scenario->arrival == ARRIVAL_NEVER)
			continue;
		mdev->group->mdevs++;
		mdev->group->steady += sim_steady(mdev);
		mdev->group->steady_weight += mdev->node.weight;
	}
	for (uint32_t i = 0; i < count; i++) {
		double weight = sim_weight(&sim->mdevs[i]);
		double ratio;

		if (weight <= 0)
			continue;
		ratio = result->mdevs[i].share / weight;
		result->fair_mdevs++;
		sum.share += result->mdevs[i].share;
		sum.weight += weight;
		sum.ratio += ratio;
		sum.ratio_square += ratio * ratio;
	}
	if (sum.share <= 0)
		return;
	result->jain = sum.ratio * sum.ratio / (result->fair_mdevs * sum.ratio_square);
	for (uint32_t i = 0; i < count; i++) {
		double due = sim_weight(&sim->mdevs[i]) / sum.weight;
		double error = due > 0 ? 100 * (result->mdevs[i].share / sum.share / due - 1) : 0;

		result->share_error_percent =
			MAX(result->share_error_percent, error < 0 ? -error : error);
	}
}

/* The charges of jobs that still run count so far as they go: lag contains them, too. */
static void sim_collect_running(struct sim *sim)
{
	for (const struct sim_chunk *chunk = sim->chunks; chunk; chunk = chunk->next) {
		for (uint32_t i = 0; i < SIM_CHUNK_JOBS; i++) {
			const struct sim_job *job = &chunk->jobs[i];

			if (job->mdev && job->started)
				sim->longest_charge =
					MAX(sim->longest_charge, sim->meter.integral - job->start);
		}
	}
}

static void sim_collect_lag(struct sim *sim, struct sim_result *result)
{
	double lag;

	sim_collect_running(sim);

	fair_end_epoch(&sim->contest, sim->meter.integral);
	lag = sim->contest.lag_ns;
	for (uint32_t i = 0; i < sim->scenario->group_count; i++) {
		fair_end_epoch(&sim->groups[i].contest, sim->meter.integral);
		lag = MAX(lag, sim->groups[i].contest.lag_ns);
	}
	result->longest_charge_ns = meter_real_ns(sim->longest_charge);
	if (sim->longest_charge)
		result->lag_max = lag / result->longest_charge_ns;
}

static int sim_collect_caps(struct sim *sim, struct sim_result *result)
{
	int r = 0;

	for (uint32_t i = 0; i < sim->scenario->mdev_count && r == 0; i++)
		r = sim_cap_point(sim, sim->mdevs[i].cap);
	for (uint32_t i = 0; i < sim->scenario->group_count && r == 0; i++)
		r = sim_cap_point(sim, sim->groups[i].cap);
	result->window_count = sim->windows.count;
	for (uint32_t i = 0; i < sim->windows.count; i++) {
		result->windows[i].length_ns = sim->windows.lengths_ns[i];
		result->windows[i].seen = sim->windows.seen[i];
		result->windows[i].points = sim->windows.worst[i];
	}
	return r;
}

int sim_collect(struct sim *sim, struct sim_result *ret_result)
{
	uint32_t count = sim->scenario->mdev_count;
	struct sim_result result = {
		.wall_ns = sim->meter.now_ns,
		.busy_ns = sim->meter.busy_ns,
		.idle_with_work_ns = sim->idle_with_work_ns,
		.longest_job_ns = sim->longest_job_ns,
		.decisions = sim->decisions,
		.ended = sim->ended,
	};
	unsigned __int128 charges = 0;
	int r = sim_collect_caps(sim, &result);

	if (r < 0)
		return r;
	result.mdevs = calloc(count, sizeof(*result.mdevs));
	if (!result.mdevs)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		struct qos_flow_stats stats;
		double error;

		qos_flow_stats(&sim->mdevs[i].flow, sim->meter.now_ns, &stats);
		sim_collect_mdev(sim, &sim->mdevs[i], &result.mdevs[i], &stats);
		charges += stats.owned_ns;
		error = (double)stats.owned_ns - result.mdevs[i].owned_ns;
		result.owned_error_ns = MAX(result.owned_error_ns, error < 0 ? -error : error);
	}
	result.charge_error_ns = sim_less(charges, sim->meter.busy_ns);
	sim_collect_lag(sim, &result);
	sim_collect_fairness(sim, &result);
	*ret_result = result;
	return 0;
}
