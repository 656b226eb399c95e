/* SPDX-License-Identifier: BSD-3-Clause */
/* The scenario as a whole: engine, groups, windows, and what concerns several parts. See
 * scenario.h. */
#include "scenario.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "field.h"
#include "scenario-internal.h"
#include "util/clock.h"
#include "util/parse.h"

#define SCENARIO_DURATION_S 10
#define SCENARIO_WINDOW_US  1e12

static int scenario_no_memory(struct umdev_error *err)
{
	return error_set(err, ERROR_NO_MEMORY, "not enough memory for the scenario");
}

static int scenario_read_k(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario *sc = into;
	uint64_t number = 0;
	int r = field_whole(reader, value, 1, QOS_PARALLELISM_MAX, &number);

	if (r == 0)
		sc->engine.parallelism = (uint32_t)number;
	return r;
}

static int scenario_read_reserved(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario *sc = into;
	uint64_t number = 0;
	int r = field_whole(reader, value, 0, QOS_PARALLELISM_MAX - 1, &number);

	if (r == 0)
		sc->engine.reserved_slots = (uint32_t)number;
	return r;
}

static int scenario_read_burst(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario *sc = into;

	return field_time(reader, value, NS_PER_US, SCENARIO_COST_US_MAX, 0, &sc->engine.burst_ns);
}

static int scenario_read_slack(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario *sc = into;

	return field_time(reader, value, NS_PER_US, SCENARIO_COST_US_MAX, 0, &sc->engine.slack_ns);
}

/* A whole number, or hexadecimal digits as a text. */
static int scenario_read_virtual(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario *sc = into;
	const char *text = json_string_value(value);
	char digits[24];

	if (!text)
		return field_whole(reader, value, 0, INT64_MAX, &sc->engine.virtual_start);
	if (strncmp(text, "0x", 2) == 0 || strncmp(text, "0X", 2) == 0)
		text += 2;
	if (strlen(text) > 16)
		return field_bad(reader, "must have at most 16 hexadecimal digits");
	snprintf(digits, sizeof(digits), "0x%s", text);
	if (parse_u64(digits, &sc->engine.virtual_start) < 0)
		return field_bad(reader, "must be hexadecimal digits");
	return 0;
}

static const struct field scenario_engine_fields[] = {
	{"k", scenario_read_k},
	{"reserved_slots", scenario_read_reserved},
	{"burst_us", scenario_read_burst},
	{"slack_us", scenario_read_slack},
	{"virtual_start", scenario_read_virtual},
	{NULL, NULL},
};

static int scenario_read_engine(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario *sc = into;
	int r = field_object(reader, value, scenario_engine_fields, sc);

	if (r == 0 && sc->engine.reserved_slots >= sc->engine.parallelism)
		return field_bad(reader, "reserved_slots must be less than k, which is %u",
				 sc->engine.parallelism);
	return r;
}

static int scenario_read_seed(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario *sc = into;

	return field_whole(reader, value, 0, INT64_MAX, &sc->seed);
}

static int scenario_read_duration(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario *sc = into;

	return field_time(reader, value, NS_PER_S, SCENARIO_SECONDS_MAX, 1, &sc->duration_ns);
}

static int scenario_read_max_jobs(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario *sc = into;

	return field_whole(reader, value, 1, (uint64_t)SCENARIO_JOBS_MAX, &sc->max_jobs);
}

static int scenario_read_windows(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario *sc = into;
	int r = field_array(reader, value, 1, SCENARIO_WINDOWS_MAX);

	for (size_t i = 0; r == 0 && i < json_array_size(value); i++) {
		size_t length = field_enter(reader, NULL, i);

		r = field_time(reader, json_array_get(value, i), NS_PER_US, SCENARIO_WINDOW_US, 1,
			       &sc->windows_ns[i]);
		for (size_t j = 0; r == 0 && j < i; j++) {
			if (sc->windows_ns[j] == sc->windows_ns[i])
				r = field_bad(reader, "is there twice");
		}
		if (r == 0)
			field_leave(reader, length);
	}
	if (r == 0)
		sc->window_count = (uint32_t)json_array_size(value);
	return r;
}

/* Both need what may be written further down, so they are only found here. */
static int scenario_note_groups(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario_parser *parser = reader->context;

	(void)into;
	parser->groups = value;
	return field_array(reader, value, 0, SCENARIO_GROUPS_MAX);
}

static int scenario_note_mdevs(struct field_reader *reader, const json_t *value, void *into)
{
	struct scenario_parser *parser = reader->context;

	(void)into;
	parser->mdevs = value;
	return field_array(reader, value, 1, SCENARIO_MDEVS_MAX);
}

static const struct field scenario_fields[] = {
	{"seed", scenario_read_seed},	       {"duration_s", scenario_read_duration},
	{"max_jobs", scenario_read_max_jobs},  {"engine", scenario_read_engine},
	{"windows_us", scenario_read_windows}, {"groups", scenario_note_groups},
	{"mdevs", scenario_note_mdevs},	       {NULL, NULL},
};

static int scenario_compare_names(const void *a, const void *b)
{
	const struct scenario_name *x = a;
	const struct scenario_name *y = b;
	int order = strcmp(x->name, y->name);

	if (order != 0)
		return order;
	return x->index < y->index ? -1 : x->index > y->index;
}

/* Sorts names and refuses one that is there twice. */
static int scenario_sort_names(struct scenario_name *names, size_t count, const char *kind,
			       struct umdev_error *err)
{
	if (count > 0)
		qsort(names, count, sizeof(*names), scenario_compare_names);
	for (size_t i = 1; i < count; i++) {
		char place[40];

		if (strcmp(names[i - 1].name, names[i].name) != 0)
			continue;
		snprintf(place, sizeof(place), "%s[%u].name", kind, names[i].index);
		return error_set_key(err, ERROR_INVALID, place,
				     "%s: \"%s\" is the name of %s[%u] already", place,
				     names[i].name, kind, names[i - 1].index);
	}
	return 0;
}

static int scenario_read_groups(struct scenario_parser *parser, struct field_reader *reader)
{
	struct scenario *sc = parser->scenario;
	size_t count = json_array_size(parser->groups);
	size_t outer = field_enter(reader, "groups", 0);

	sc->groups = calloc(count + 1, sizeof(*sc->groups));
	parser->group_names = calloc(count + 1, sizeof(*parser->group_names));
	if (!sc->groups || !parser->group_names)
		return scenario_no_memory(reader->err);
	for (size_t i = 0; i < count; i++) {
		size_t length = field_enter(reader, NULL, i);
		int r;

		sc->group_count++;
		r = scenario_group_read(reader, json_array_get(parser->groups, i), &sc->groups[i]);
		if (r < 0)
			return r;
		parser->group_names[i].name = sc->groups[i].name;
		parser->group_names[i].index = (uint32_t)i;
		field_leave(reader, length);
	}
	field_leave(reader, outer);
	return scenario_sort_names(parser->group_names, count, "groups", reader->err);
}

/* What all mdevs together may ask for. */
static int scenario_count(struct scenario_parser *parser, struct field_reader *reader,
			  const struct scenario_mdev *mdev)
{
	uint32_t depth = mdev->arrival == ARRIVAL_NEVER ? 0 : mdev->depth;

	for (uint32_t i = 0; i < mdev->change_count; i++) {
		if (mdev->changes[i].mask & SCENARIO_DEPTH && mdev->arrival != ARRIVAL_NEVER)
			depth = MAX(depth, mdev->changes[i].depth);
	}
	parser->depth_sum += depth;
	parser->changes += mdev->change_count;
	parser->phases += mdev->cost.phase_count;
	if (parser->depth_sum > SCENARIO_DEPTH_SUM_MAX)
		return field_bad(reader, "the queues of all mdevs together may be %u deep",
				 SCENARIO_DEPTH_SUM_MAX);
	if (parser->changes > SCENARIO_CHANGES_MAX)
		return field_bad(reader, "all mdevs together may have %u changes",
				 SCENARIO_CHANGES_MAX);
	if (parser->phases > SCENARIO_PHASES_MAX)
		return field_bad(reader, "all mdevs together may have %u phases",
				 SCENARIO_PHASES_MAX);
	return 0;
}

static int scenario_read_mdevs(struct scenario_parser *parser, struct field_reader *reader)
{
	struct scenario *sc = parser->scenario;
	size_t count = json_array_size(parser->mdevs);
	umdev_autofree struct scenario_name *names = calloc(count + 1, sizeof(*names));
	size_t outer = field_enter(reader, "mdevs", 0);

	sc->mdevs = calloc(count + 1, sizeof(*sc->mdevs));
	if (!sc->mdevs || !names)
		return scenario_no_memory(reader->err);
	for (size_t i = 0; i < count; i++) {
		size_t length = field_enter(reader, NULL, i);
		int r;

		sc->mdev_count++;
		r = scenario_mdev_read(reader, json_array_get(parser->mdevs, i), &sc->mdevs[i]);
		if (r == 0)
			r = scenario_count(parser, reader, &sc->mdevs[i]);
		if (r < 0)
			return r;
		names[i].name = sc->mdevs[i].name;
		names[i].index = (uint32_t)i;
		field_leave(reader, length);
	}
	field_leave(reader, outer);
	return scenario_sort_names(names, count, "mdevs", reader->err);
}

/* What jansson says of a text, in one line. */
static int scenario_syntax(const json_error_t *error, struct umdev_error *err)
{
	char text[JSON_ERROR_TEXT_LENGTH];

	snprintf(text, sizeof(text), "%s", error->text);
	for (char *p = text; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	}
	return error_set(err, ERROR_INVALID, "line %d, column %d: %s", error->line, error->column,
			 text);
}

static int scenario_read(struct scenario_parser *parser, const json_t *root,
			 struct field_reader *reader)
{
	struct scenario *sc = parser->scenario;
	int r = field_object(reader, root, scenario_fields, sc);

	if (r < 0)
		return r;
	if (!parser->mdevs)
		return field_bad(reader, "\"mdevs\" is missing");
	/* A run that ends after so many jobs needs no other end. */
	if (sc->duration_ns == 0)
		sc->duration_ns = sc->max_jobs ? (uint64_t)(SCENARIO_SECONDS_MAX * NS_PER_S)
					       : SCENARIO_DURATION_S * NS_PER_S;
	r = scenario_read_groups(parser, reader);
	return r < 0 ? r : scenario_read_mdevs(parser, reader);
}

int scenario_parse(const char *text, size_t len, struct scenario *ret_scenario,
		   struct umdev_error *err)
{
	struct scenario sc = {.seed = 1, .engine = {.parallelism = 1}};
	struct scenario_parser parser = {.scenario = &sc};
	struct field_reader reader = {.context = &parser, .err = err};
	json_error_t error;
	json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	int r;

	if (!root)
		return scenario_syntax(&error, err);
	r = scenario_read(&parser, root, &reader);
	json_decref(root);
	free(parser.group_names);
	if (r < 0) {
		scenario_done(&sc);
		return r;
	}
	*ret_scenario = sc;
	return 0;
}

void scenario_done(struct scenario *scenario)
{
	for (uint32_t i = 0; i < scenario->mdev_count; i++) {
		free(scenario->mdevs[i].name);
		free(scenario->mdevs[i].changes);
		free(scenario->mdevs[i].cost.phases);
	}
	for (uint32_t i = 0; i < scenario->group_count; i++)
		free(scenario->groups[i].name);
	free(scenario->mdevs);
	free(scenario->groups);
	*scenario = (struct scenario){0};
}
