/* SPDX-License-Identifier: BSD-3-Clause */
/* Mdevs and groups of a scenario: knobs, arrivals, costs and changes. See scenario.h. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "scenario-internal.h"
#include "util/clock.h"

#define SCENARIO_DEPTH_DEFAULT 32u
#define SCENARIO_RATE_MAX      1e9

/* Percent with two decimals, as the hundredths of the scheduler. */
static int scenario_read_percent(struct field_reader *reader, const json_t *value,
				 uint32_t *ret_cap)
{
	double percent = 0;
	double hundredths;
	int r = field_number(reader, value, QOS_CAP_MIN / 100.0, QOS_CAP_NONE / 100.0, &percent);

	if (r < 0)
		return r;
	hundredths = percent * 100;
	*ret_cap = (uint32_t)(hundredths + 0.5);
	if (fabs(hundredths - *ret_cap) > 1e-6)
		return field_bad(reader, "%.15g has more than two decimals", percent);
	return 0;
}

static int scenario_read_u32(struct field_reader *reader, const json_t *value, uint32_t min,
			     uint32_t max, uint32_t *ret_number)
{
	uint64_t number = 0;
	int r = field_whole(reader, value, min, max, &number);

	if (r == 0)
		*ret_number = (uint32_t)number;
	return r;
}

static int scenario_read_weight_to(struct field_reader *reader, const json_t *value,
				   struct qos_knobs *knobs)
{
	return scenario_read_u32(reader, value, QOS_WEIGHT_MIN, QOS_WEIGHT_MAX, &knobs->weight);
}

static int scenario_read_priority_to(struct field_reader *reader, const json_t *value,
				     struct qos_knobs *knobs)
{
	return scenario_read_u32(reader, value, 0, QOS_PRIORITY_MAX, &knobs->priority);
}

/* Groups. */

static int scenario_read_group_name(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario_group *group = into;

	return field_name(reader, value, SCENARIO_NAME_MAX, &group->name);
}

static int scenario_read_group_weight(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario_group *group = into;

	return scenario_read_weight_to(reader, value, &group->knobs);
}

static int scenario_read_group_cap(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario_group *group = into;

	return scenario_read_percent(reader, value, &group->knobs.cap);
}

static const struct field scenario_group_fields[] = {
	{"name", scenario_read_group_name},
	{"weight", scenario_read_group_weight},
	{"cap", scenario_read_group_cap},
	{NULL, NULL},
};

int scenario_group_read(struct field_reader *reader, const json_t *value,
			struct scenario_group *group)
{
	int r;

	group->knobs = (struct qos_knobs)QOS_KNOBS_DEFAULT;
	r = field_object(reader, value, scenario_group_fields, group);
	if (r == 0 && !group->name)
		return field_bad(reader, "\"name\" is missing");
	return r;
}

/* Costs. */

static int scenario_read_cost_ns(struct field_reader *reader, const json_t *value, double *ret_ns)
{
	double us = 0;
	int r = field_number(reader, value, 1.0 / NS_PER_US, SCENARIO_COST_US_MAX, &us);

	if (r == 0)
		*ret_ns = us * NS_PER_US;
	return r;
}

static int scenario_read_fixed(struct field_reader *reader, const json_t *value, void *into)
{
	struct cost_model *cost = into;

	cost->kind = COST_FIXED;
	return scenario_read_cost_ns(reader, value, &cost->a_ns);
}

static int scenario_read_exp(struct field_reader *reader, const json_t *value, void *into)
{
	struct cost_model *cost = into;

	cost->kind = COST_EXP;
	return scenario_read_cost_ns(reader, value, &cost->a_ns);
}

/* The element @index of an array, a cost. */
static int scenario_read_cost_at(struct field_reader *reader, const json_t *array, size_t index,
				 double *ret_ns)
{
	size_t length = field_enter(reader, NULL, index);
	int r = scenario_read_cost_ns(reader, json_array_get(array, index), ret_ns);

	if (r == 0)
		field_leave(reader, length);
	return r;
}

static int scenario_read_uniform(struct field_reader *reader, const json_t *value, void *into)
{
	struct cost_model *cost = into;
	int r = field_array(reader, value, 2, 2);

	cost->kind = COST_UNIFORM;
	if (r == 0)
		r = scenario_read_cost_at(reader, value, 0, &cost->a_ns);
	if (r == 0)
		r = scenario_read_cost_at(reader, value, 1, &cost->b_ns);
	if (r == 0 && cost->a_ns > cost->b_ns)
		return field_bad(reader, "the first number is the smaller one");
	return r;
}

static int scenario_read_pareto(struct field_reader *reader, const json_t *value, void *into)
{
	struct cost_model *cost = into;
	size_t length;
	int r = field_array(reader, value, 3, 3);

	cost->kind = COST_PARETO;
	if (r < 0)
		return r;
	length = field_enter(reader, NULL, 0);
	r = field_number(reader, json_array_get(value, 0), 0.1, 10, &cost->alpha);
	if (r < 0)
		return r;
	field_leave(reader, length);
	r = scenario_read_cost_at(reader, value, 1, &cost->a_ns);
	if (r == 0)
		r = scenario_read_cost_at(reader, value, 2, &cost->b_ns);
	if (r == 0 && cost->a_ns >= cost->b_ns)
		return field_bad(reader, "the second number is less than the third");
	return r;
}

static int scenario_read_phase(struct field_reader *reader, const json_t *value,
			       struct cost_phase *phase)
{
	double ns = 0;
	size_t length;
	int r = field_array(reader, value, 2, 2);

	if (r < 0)
		return r;
	length = field_enter(reader, NULL, 0);
	r = field_whole(reader, json_array_get(value, 0), 1, (uint64_t)SCENARIO_JOBS_MAX,
			&phase->jobs);
	if (r < 0)
		return r;
	field_leave(reader, length);
	r = scenario_read_cost_at(reader, value, 1, &ns);
	phase->cost_ns = (uint64_t)(ns + 0.5);
	return r;
}

static int scenario_read_phases(struct field_reader *reader, const json_t *value, void *into)
{
	struct cost_model *cost = into;
	size_t count = json_array_size(value);
	int r = field_array(reader, value, 1, SCENARIO_PHASES_MAX);

	if (r < 0)
		return r;
	cost->kind = COST_PHASES;
	cost->phases = calloc(count, sizeof(*cost->phases));
	if (!cost->phases)
		return error_set(reader->err, ERROR_NO_MEMORY, "not enough memory");
	cost->phase_count = (uint32_t)count;
	for (size_t i = 0; i < count; i++) {
		size_t length = field_enter(reader, NULL, i);

		r = scenario_read_phase(reader, json_array_get(value, i), &cost->phases[i]);
		if (r < 0)
			return r;
		field_leave(reader, length);
	}
	return 0;
}

static const struct field scenario_cost_fields[] = {
	{"fixed", scenario_read_fixed},	    {"exp", scenario_read_exp},
	{"uniform", scenario_read_uniform}, {"pareto", scenario_read_pareto},
	{"phases", scenario_read_phases},   {NULL, NULL},
};

static int scenario_read_cost(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario_mdev *mdev = into;

	if (json_is_object(value) && json_object_size(value) != 1)
		return field_bad(reader, "must have one of fixed, exp, uniform, pareto, phases");
	return field_object(reader, value, scenario_cost_fields, &mdev->cost);
}

/* Arrivals. */

static int scenario_read_poisson(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario_mdev *mdev = into;
	double rate = 0;
	int r = field_number(reader, value, 1e-6, SCENARIO_RATE_MAX, &rate);

	mdev->arrival = ARRIVAL_POISSON;
	mdev->per_ns = rate / NS_PER_S;
	return r;
}

static int scenario_read_every_us(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario_mdev *mdev = into;

	if (mdev->every_ns)
		return field_bad(reader, "every_us and every_ms exclude each other");
	return field_time(reader, value, NS_PER_US, SCENARIO_SECONDS_MAX * 1e6, 1, &mdev->every_ns);
}

static int scenario_read_every_ms(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario_mdev *mdev = into;

	if (mdev->every_ns)
		return field_bad(reader, "every_us and every_ms exclude each other");
	return field_time(reader, value, NS_PER_MS, SCENARIO_SECONDS_MAX * 1e3, 1, &mdev->every_ns);
}

static int scenario_read_burst_jobs(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario_mdev *mdev = into;

	return scenario_read_u32(reader, value, 1, SCENARIO_BURST_MAX, &mdev->burst);
}

static const struct field scenario_arrival_fields[] = {
	{"poisson_per_s", scenario_read_poisson},
	{"every_us", scenario_read_every_us},
	{"every_ms", scenario_read_every_ms},
	{"burst", scenario_read_burst_jobs},
	{NULL, NULL},
};

static int scenario_read_arrival(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario_mdev *mdev = into;
	const char *word = json_string_value(value);
	int r;

	if (word && strcmp(word, "backlogged") == 0) {
		mdev->arrival = ARRIVAL_BACKLOGGED;
		return 0;
	}
	if (word && strcmp(word, "never") == 0) {
		mdev->arrival = ARRIVAL_NEVER;
		return 0;
	}
	if (!json_is_object(value))
		return field_bad(reader,
				 "must be \"backlogged\", \"never\", {\"poisson_per_s\": N}, "
				 "{\"every_us\": N} or {\"burst\": N, \"every_ms\": M}");
	mdev->arrival = ARRIVAL_EVERY;
	mdev->burst = 0;
	r = field_object(reader, value, scenario_arrival_fields, mdev);
	if (r < 0)
		return r;
	if (mdev->arrival == ARRIVAL_POISSON && (mdev->every_ns || mdev->burst))
		return field_bad(reader, "poisson_per_s stands alone");
	if (mdev->arrival == ARRIVAL_EVERY && !mdev->every_ns)
		return field_bad(reader, "how often? give poisson_per_s, every_us or every_ms");
	mdev->burst = MAX(mdev->burst, 1u);
	return 0;
}

/* Changes. */

static int scenario_read_at_s(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario_change *change = into;

	return field_time(reader, value, NS_PER_S, SCENARIO_SECONDS_MAX, 0, &change->at_ns);
}

static int scenario_read_at_cap(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario_change *change = into;

	change->mask |= SCENARIO_CAP;
	return scenario_read_percent(reader, value, &change->knobs.cap);
}

static int scenario_read_at_weight(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario_change *change = into;

	change->mask |= SCENARIO_WEIGHT;
	return scenario_read_weight_to(reader, value, &change->knobs);
}

static int scenario_read_at_priority(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario_change *change = into;

	change->mask |= SCENARIO_PRIORITY;
	return scenario_read_priority_to(reader, value, &change->knobs);
}

static int scenario_read_at_depth(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario_change *change = into;

	change->mask |= SCENARIO_DEPTH;
	return scenario_read_u32(reader, value, 1, SCENARIO_DEPTH_MAX, &change->depth);
}

static const struct field scenario_change_fields[] = {
	{"s", scenario_read_at_s},
	{"cap", scenario_read_at_cap},
	{"weight", scenario_read_at_weight},
	{"priority", scenario_read_at_priority},
	{"queue_depth", scenario_read_at_depth},
	{NULL, NULL},
};

static int scenario_read_at(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario_mdev *mdev = into;
	size_t count = json_array_size(value);
	int r = field_array(reader, value, 0, SCENARIO_CHANGES_MAX);

	if (r < 0)
		return r;
	mdev->changes = calloc(count + 1, sizeof(*mdev->changes));
	if (!mdev->changes)
		return error_set(reader->err, ERROR_NO_MEMORY, "not enough memory");
	mdev->change_count = (uint32_t)count;
	for (size_t i = 0; i < count; i++) {
		size_t length = field_enter(reader, NULL, i);
		struct scenario_change *change = &mdev->changes[i];

		change->at_ns = UINT64_MAX;
		r = field_object(reader, json_array_get(value, i), scenario_change_fields, change);
		if (r < 0)
			return r;
		if (change->at_ns == UINT64_MAX)
			return field_bad(reader, "\"s\" is missing");
		if (i > 0 && change->at_ns < change[-1].at_ns)
			return field_bad(reader, "comes before the one above; put them in order");
		field_leave(reader, length);
	}
	return 0;
}

/* Mdevs. */

static int scenario_read_name(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario_mdev *mdev = into;

	return field_name(reader, value, SCENARIO_NAME_MAX, &mdev->name);
}

static int scenario_read_weight(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario_mdev *mdev = into;

	return scenario_read_weight_to(reader, value, &mdev->knobs);
}

static int scenario_read_cap(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario_mdev *mdev = into;

	return scenario_read_percent(reader, value, &mdev->knobs.cap);
}

static int scenario_read_priority(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario_mdev *mdev = into;

	return scenario_read_priority_to(reader, value, &mdev->knobs);
}

static int scenario_read_depth(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario_mdev *mdev = into;

	return scenario_read_u32(reader, value, 1, SCENARIO_DEPTH_MAX, &mdev->depth);
}

static int scenario_read_start(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario_mdev *mdev = into;

	return field_time(reader, value, NS_PER_S, SCENARIO_SECONDS_MAX, 0, &mdev->start_ns);
}

static int scenario_read_stop(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario_mdev *mdev = into;

	return field_time(reader, value, NS_PER_S, SCENARIO_SECONDS_MAX, 0, &mdev->stop_ns);
}

static int scenario_read_group(struct field_reader *reader, const json_t *value, void *into)
{
	const struct scenario_parser *parser = reader->context;
	struct scenario_mdev *mdev = into;
	const char *name = json_string_value(value);
	size_t low = 0;
	size_t high = parser->scenario->group_count;

	if (!name)
		return field_bad(reader, "must be the name of a group");
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(name, parser->group_names[middle].name);

		if (order == 0) {
			mdev->group = parser->group_names[middle].index;
			return 0;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return field_bad(reader, "there is no such group in \"groups\"");
}

static int scenario_read_split(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario_mdev *mdev = into;

	return scenario_read_u32(reader, value, 1, SCENARIO_SPLIT_MAX, &mdev->split);
}

static int scenario_read_yield(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario_mdev *mdev = into;

	return field_bool(reader, value, &mdev->yield);
}

static int scenario_read_idle(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario_parser *parser = reader->context;

	(void)into;
	return field_bool(reader, value, &parser->idle);
}

static const struct field scenario_mdev_fields[] = {
	{"name", scenario_read_name},
	{"weight", scenario_read_weight},
	{"cap", scenario_read_cap},
	{"priority", scenario_read_priority},
	{"queue_depth", scenario_read_depth},
	{"start_s", scenario_read_start},
	{"stop_s", scenario_read_stop},
	{"arrival", scenario_read_arrival},
	{"cost_us", scenario_read_cost},
	{"at", scenario_read_at},
	{"group", scenario_read_group},
	{"split", scenario_read_split},
	{"yield", scenario_read_yield},
	{"idle", scenario_read_idle},
	{NULL, NULL},
};

/* Rules that concern more than one key. */
static int scenario_mdev_check(struct field_reader *reader, struct scenario_mdev *mdev)
{
	const struct scenario_parser *parser = reader->context;

	if (!mdev->name)
		return field_bad(reader, "\"name\" is missing");
	if (parser->idle)
		mdev->arrival = ARRIVAL_NEVER;
	if (mdev->arrival != ARRIVAL_NEVER && mdev->cost.kind == COST_NONE)
		return field_bad(reader, "\"cost_us\" is missing");
	if (mdev->yield && mdev->arrival != ARRIVAL_BACKLOGGED)
		return field_bad(reader, "\"yield\" goes with \"arrival\": \"backlogged\"");
	if (mdev->stop_ns < mdev->start_ns)
		return field_bad(reader, "\"stop_s\" comes before \"start_s\"");
	mdev->stop_ns = MIN(mdev->stop_ns, parser->scenario->duration_ns);
	return 0;
}

int scenario_mdev_read(struct field_reader *reader, const json_t *value, struct scenario_mdev *mdev)
{
	struct scenario_parser *parser = reader->context;
	int r;

	*mdev = (struct scenario_mdev){
		.knobs = QOS_KNOBS_DEFAULT,
		.group = SCENARIO_NO_GROUP,
		.depth = SCENARIO_DEPTH_DEFAULT,
		.stop_ns = UINT64_MAX,
		.arrival = ARRIVAL_BACKLOGGED,
		.split = 1,
	};
	parser->idle = false;
	r = field_object(reader, value, scenario_mdev_fields, mdev);
	return r < 0 ? r : scenario_mdev_check(reader, mdev);
}
