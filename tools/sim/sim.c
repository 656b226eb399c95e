/* SPDX-License-Identifier: BSD-3-Clause */
/* The simulation's loop, and what it stands on. See sim.h. */
#include "sim.h"

#include <errno.h>

#include "sim-internal.h"

#define SIM_WAIT_BYTES	 ((size_t)2 << 30) /* of waiting times, all mdevs together */
#define SIM_WINDOW_COUNT 3u
#define SIM_WINDOW_FIRST 10u /* longest jobs; each further window is ten times as long */

/* Lets time pass, with the rows of the series that fall due. */
static void sim_advance(struct sim *sim, uint64_t now_ns)
{
	if (sim->idle_with_work)
		sim->idle_with_work_ns += now_ns - sim->meter.now_ns;
	while (sim->series.file && sim->series_next_ns <= now_ns) {
		meter_advance(&sim->meter, sim->series_next_ns);
		sim_series_rows(sim, sim->series_next_ns);
		sim->series_next_ns += sim->series.interval_ns;
	}
	meter_advance(&sim->meter, now_ns);
}

/* What happens at this instant by itself; the jobs that end come first. */
static int sim_events(struct sim *sim)
{
	uint64_t now = sim->meter.now_ns;
	const struct event *event = event_peek(&sim->events);
	bool last = now == sim->scenario->duration_ns;
	int r = 0;

	for (; event && event->time_ns == now && event_kind(event) == EVENT_END && r == 0;
	     event = event_peek(&sim->events)) {
		r = sim_job_end(sim, event_pop(&sim->events));
		if (sim->over)
			return r;
	}
	if (r == 0 && !last)
		r = sim_refill(sim);
	while (r == 0 && !last && (event = event_peek(&sim->events)) && event->time_ns == now) {
		if (event_kind(event) == EVENT_ARRIVAL)
			r = sim_arrive(sim, event_pop(&sim->events));
		else
			r = sim_change(sim, event_pop(&sim->events));
	}
	return r;
}

static int sim_pick(struct sim *sim)
{
	for (;;) {
		struct qos_job *picked;
		int r;

		if (sim->meter.in_flight < sim->scenario->engine.parallelism)
			sim_flush_drained(sim);
		picked = qos_pick(sim->engine, sim->meter.now_ns);
		if (!picked)
			return 0;
		r = sim_job_start(sim, container_of(picked, struct sim_job, job));
		if (r < 0)
			return r;
	}
}

/* When to look again. */
static uint64_t sim_next_ns(const struct sim *sim)
{
	const struct event *event = event_peek(&sim->events);
	uint64_t next = event ? event->time_ns : UINT64_MAX;
	uint64_t wake = qos_next_ns(sim->engine);
	uint64_t now = sim->meter.now_ns;

	/* A wake that is due but brought nothing waits for room, which the end of a job makes. */
	if (wake <= now)
		wake = sim->meter.in_flight > 0 || wake == QOS_NEVER ? UINT64_MAX : now + 1;
	return MIN(next, wake);
}

static int sim_loop(struct sim *sim)
{
	uint64_t end = sim->scenario->duration_ns;

	for (;;) {
		uint64_t next = sim_next_ns(sim);
		int r;

		if (next > end)
			break;
		sim_advance(sim, next);
		r = sim_events(sim);
		if (r < 0 || sim->over || next == end)
			return r;
		r = sim_pick(sim);
		if (r == 0)
			r = sim_settle(sim);
		if (r < 0)
			return r;
	}
	sim_advance(sim, end);
	return 0;
}

/* Whether an mdev is capped at some time. */
static bool sim_capped(const struct scenario_mdev *scenario)
{
	bool capped = scenario->knobs.cap != QOS_CAP_NONE;

	for (uint32_t i = 0; i < scenario->change_count && !capped; i++)
		capped = scenario->changes[i].mask & SCENARIO_CAP &&
			 scenario->changes[i].knobs.cap != QOS_CAP_NONE;
	return capped;
}

static int sim_cap_new(struct sim *sim, const struct fair_node *node, uint32_t hundredths,
		       struct sim_cap **ret_cap)
{
	if (sim->windows.count == 0)
		return 0;
	*ret_cap = calloc(1, sizeof(**ret_cap));
	if (!*ret_cap)
		return -ENOMEM;
	(*ret_cap)->node = node;
	return sim_cap_set(sim, *ret_cap, hundredths);
}

static int sim_set_up_groups(struct sim *sim)
{
	const struct scenario *scenario = sim->scenario;

	for (uint32_t i = 0; i < scenario->group_count; i++) {
		struct sim_group *group = &sim->groups[i];
		int r = 0;

		group->scenario = &scenario->groups[i];
		group->node.contest = &sim->contest;
		group->node.weight = group->scenario->knobs.weight;
		group->group = qos_group_new(sim->engine, &group->scenario->knobs, 0);
		if (!group->group)
			return -errno;
		if (group->scenario->knobs.cap != QOS_CAP_NONE)
			r = sim_cap_new(sim, &group->node, group->scenario->knobs.cap, &group->cap);
		if (r < 0)
			return r;
	}
	return 0;
}

static int sim_set_up_mdev(struct sim *sim, uint32_t index)
{
	struct sim_mdev *mdev = &sim->mdevs[index];
	const struct scenario_mdev *scenario = &sim->scenario->mdevs[index];
	int r;

	mdev->scenario = scenario;
	mdev->group = scenario->group == SCENARIO_NO_GROUP ? NULL : &sim->groups[scenario->group];
	mdev->node.contest = mdev->group ? &mdev->group->contest : &sim->contest;
	mdev->node.weight = scenario->knobs.weight;
	mdev->knobs = scenario->knobs;
	mdev->depth = scenario->depth;
	random_seed(&mdev->cost.random, sim->scenario->seed, 2 * (uint64_t)index);
	random_seed(&mdev->arrivals, sim->scenario->seed, 2 * (uint64_t)index + 1);
	r = qos_flow_join(sim->engine, mdev->group ? mdev->group->group : NULL, &mdev->flow,
			  &mdev->knobs, 0);
	if (r < 0)
		return r;
	mdev->joined = true;
	if (sim_capped(scenario))
		r = sim_cap_new(sim, &mdev->node, mdev->knobs.cap, &mdev->cap);
	if (r == 0)
		r = sim_start_arrivals(sim, mdev);
	if (r == 0 && scenario->change_count > 0)
		r = event_push(&sim->events, scenario->changes[0].at_ns, EVENT_CHANGE, mdev);
	return r;
}

static int sim_set_up(struct sim *sim)
{
	const struct scenario *scenario = sim->scenario;
	int r;

	sim->budget.limit_bytes = SIM_WAIT_BYTES;
	sim->refill_end = &sim->refill;
	sim->series_next_ns = sim->series.interval_ns;
	sim->engine = qos_engine_new(&scenario->engine, 0);
	if (!sim->engine)
		return -errno;
	sim->mdevs = calloc(scenario->mdev_count, sizeof(*sim->mdevs));
	sim->groups = calloc(scenario->group_count + 1, sizeof(*sim->groups));
	sim->busy_caps = calloc((size_t)scenario->mdev_count + scenario->group_count + 1,
				sizeof(struct sim_cap *));
	if (!sim->mdevs || !sim->groups || !sim->busy_caps)
		return -ENOMEM;
	r = sim_set_up_groups(sim);
	for (uint32_t i = 0; i < scenario->mdev_count && r == 0; i++)
		r = sim_set_up_mdev(sim, i);
	return r;
}

static void sim_cap_free(struct sim *sim, struct sim_cap *cap)
{
	if (cap)
		window_done(&cap->track, &sim->windows);
	free(cap);
}

/* Takes everything back from the scheduler. What is in flight ends, what is queued is withdrawn. */
static void sim_retire(struct sim *sim)
{
	for (struct sim_chunk *chunk = sim->chunks; chunk; chunk = chunk->next) {
		for (uint32_t i = 0; i < SIM_CHUNK_JOBS; i++) {
			struct qos_job *job = &chunk->jobs[i].job;

			if (chunk->jobs[i].mdev && !qos_withdraw(job, sim->meter.now_ns))
				qos_complete(job, sim->meter.now_ns);
		}
	}
	for (uint32_t i = 0; sim->mdevs && i < sim->scenario->mdev_count; i++) {
		if (sim->mdevs[i].joined)
			qos_flow_leave(&sim->mdevs[i].flow);
	}
	for (uint32_t i = 0; sim->groups && i < sim->scenario->group_count; i++) {
		if (sim->groups[i].group)
			qos_group_free(sim->groups[i].group);
	}
	qos_engine_free(sim->engine);
}

static void sim_done(struct sim *sim)
{
	if (sim->engine)
		sim_retire(sim);
	for (uint32_t i = 0; sim->mdevs && i < sim->scenario->mdev_count; i++) {
		wait_done(&sim->mdevs[i].wait);
		sim_cap_free(sim, sim->mdevs[i].cap);
	}
	for (uint32_t i = 0; sim->groups && i < sim->scenario->group_count; i++) {
		fair_done(&sim->groups[i].contest);
		sim_cap_free(sim, sim->groups[i].cap);
	}
	while (sim->chunks) {
		struct sim_chunk *chunk = sim->chunks;

		sim->chunks = chunk->next;
		free(chunk);
	}
	fair_done(&sim->contest);
	event_done(&sim->events);
	free(sim->busy_caps);
	free(sim->groups);
	free(sim->mdevs);
}

static int sim_once(struct sim *sim, struct sim_result *ret_result)
{
	int r = sim_set_up(sim);

	if (r == 0)
		r = sim_loop(sim);
	if (r == 0 && sim->series.file && sim->series_last_ns < sim->meter.now_ns)
		sim_series_rows(sim, sim->meter.now_ns);
	if (r == 0)
		r = sim_collect(sim, ret_result);
	sim_done(sim);
	if (r == -EDQUOT && sim->err->word == ERROR_NONE)
		error_set(sim->err, ERROR_LIMIT,
			  "waiting times take more than %zu MiB; use fewer mdevs or less time",
			  SIM_WAIT_BYTES >> 20);
	else if (r < 0 && sim->err->word == ERROR_NONE)
		error_set(sim->err, error_word_from_errno(r), "%s",
			  r == -ENOMEM ? "not enough memory"
				       : "the scheduler refused the scenario");
	return r;
}

/* The longest job that can be; 0 when it is known only afterwards. */
static uint64_t sim_longest_job(const struct scenario *scenario)
{
	uint64_t longest = 0;

	for (uint32_t i = 0; i < scenario->mdev_count; i++) {
		const struct scenario_mdev *mdev = &scenario->mdevs[i];
		uint64_t cost = cost_longest_ns(&mdev->cost);

		if (mdev->arrival == ARRIVAL_NEVER)
			continue;
		if (cost == 0)
			return 0;
		longest = MAX(longest, (cost + mdev->split - 1) / mdev->split);
	}
	return longest;
}

/* The windows of caps: as asked for, or such that the longest job is a small part of them. */
static int sim_find_windows(const struct scenario *scenario, struct window_set *set,
			    struct umdev_error *err)
{
	struct sim first = {.scenario = scenario, .err = err};
	struct sim_result result = {0};
	uint64_t longest = sim_longest_job(scenario);
	bool capped = false;

	for (uint32_t i = 0; i < scenario->window_count; i++)
		set->lengths_ns[set->count++] = scenario->windows_ns[i];
	for (uint32_t i = 0; i < scenario->mdev_count && !capped; i++)
		capped = sim_capped(&scenario->mdevs[i]);
	for (uint32_t i = 0; i < scenario->group_count && !capped; i++)
		capped = scenario->groups[i].knobs.cap != QOS_CAP_NONE;
	if (scenario->window_count || !capped)
		return 0;
	if (longest == 0) {
		/* Nothing depends on the windows, so a first run tells. */
		int r = sim_once(&first, &result);

		if (r < 0)
			return r;
		longest = MAX(result.longest_job_ns, (uint64_t)1);
		sim_result_done(&result);
	}
	for (uint64_t factor = SIM_WINDOW_FIRST; set->count < SIM_WINDOW_COUNT; factor *= 10)
		set->lengths_ns[set->count++] = factor * longest;
	return 0;
}

int sim_run(const struct scenario *scenario, const struct sim_series *series,
	    struct sim_result *ret_result, struct umdev_error *err)
{
	struct sim sim = {.scenario = scenario, .series = *series, .err = err};
	int r;

	if (series->file && scenario->duration_ns / series->interval_ns >=
				    SIM_SERIES_ROWS_MAX / scenario->mdev_count)
		return error_set_key(err, ERROR_LIMIT, "interval-ms",
				     "--interval-ms: the series may have %u rows; make it longer",
				     SIM_SERIES_ROWS_MAX);
	r = sim_find_windows(scenario, &sim.windows, err);
	return r < 0 ? r : sim_once(&sim, ret_result);
}

void sim_result_done(struct sim_result *result)
{
	free(result->mdevs);
	*result = (struct sim_result){0};
}
