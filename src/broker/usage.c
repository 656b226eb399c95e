/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers of a host, believed only where they can be true. See usage.h. */
#include "broker/usage.h"

#include "model/ident.h"
#include "util/cleanup.h"

#define USAGE_ENGINE_NAME_MAX 64

static const char *const usage_causes[] = {"cap", "turn", "priority", "engine"};

/* A whole number of 0..@max at @key, else -1. */
static json_int_t usage_number(const json_t *object, const char *key, json_int_t max)
{
	const json_t *value = json_object_get(object, key);
	json_int_t n = json_is_integer(value) ? json_integer_value(value) : -1;

	return n <= max ? n : -1;
}

/* The causes of waiting, which must add up to @wait_ns; NULL when they do not. */
static json_t *usage_take_causes(const json_t *causes, json_int_t wait_ns)
{
	json_t *taken = json_object();
	json_int_t sum = 0;
	bool good = taken != NULL;

	for (size_t i = 0; good && i < ARRAY_SIZE(usage_causes); i++) {
		json_int_t n = usage_number(causes, usage_causes[i], INT64_MAX);

		good = n >= 0 && !__builtin_add_overflow(sum, n, &sum) &&
		       json_object_set_new(taken, usage_causes[i], json_integer(n)) == 0;
	}
	if (good && sum == wait_ns)
		return taken;
	json_decref(taken);
	return NULL;
}

bool usage_take(json_t *object, const json_t *usage, const char *uuid)
{
	static const struct {
		const char *name;
		json_int_t max;
	} numbers[] = {
		{"jobs", INT64_MAX},	 {"queued", UINT32_MAX},     {"in_flight", UINT32_MAX},
		{"owned_ns", INT64_MAX}, {"estimate_ns", INT64_MAX}, {"cap_debt_ns", INT64_MAX},
		{"wait_ns", INT64_MAX},
	};
	const json_t *from = json_object_get(json_object_get(usage, "mdevs"), uuid);
	json_int_t values[ARRAY_SIZE(numbers)];
	json_t *causes;

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		values[i] = usage_number(from, numbers[i].name, numbers[i].max);
		if (values[i] < 0)
			return false;
	}
	causes = usage_take_causes(json_object_get(from, "wait_by_cause_ns"),
				   values[ARRAY_SIZE(numbers) - 1]);
	if (!causes)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		json_object_set_new(object, numbers[i].name, json_integer(values[i]));
	json_object_set_new(object, "wait_by_cause_ns", causes);
	return true;
}

uint64_t usage_time_ns(const json_t *usage, uint64_t now_ns)
{
	json_int_t n = usage_number(usage, "time_ns", (json_int_t)now_ns);

	return n < 0 ? now_ns : (uint64_t)n;
}

/* A copy of one engine, or NULL when it cannot be. */
static json_t *usage_engine(const json_t *engine)
{
	const char *name = json_string_value(json_object_get(engine, "name"));
	json_int_t parallelism = usage_number(engine, "parallelism", UINT32_MAX);
	json_int_t reserved = usage_number(engine, "reserved_slots", UINT32_MAX);
	json_int_t busy_ns = usage_number(engine, "busy_ns", INT64_MAX);
	json_int_t in_flight = usage_number(engine, "in_flight", UINT32_MAX);

	if (!ident_line_ok(name, USAGE_ENGINE_NAME_MAX) || parallelism < 1 || reserved < 0 ||
	    reserved >= parallelism || busy_ns < 0 || in_flight < 0 || in_flight > parallelism)
		return NULL;
	return json_pack("{s:s,s:I,s:I,s:I,s:I}", "name", name, "parallelism", parallelism,
			 "reserved_slots", reserved, "busy_ns", busy_ns, "in_flight", in_flight);
}

json_t *usage_engines(const json_t *usage)
{
	const json_t *engines = json_object_get(usage, "engines");
	json_t *taken = json_array();

	for (size_t i = 0; i < json_array_size(engines) && i < USAGE_ENGINES_MAX; i++) {
		json_t *engine = usage_engine(json_array_get(engines, i));

		if (engine)
			json_array_append_new(taken, engine);
	}
	return taken;
}

bool usage_in_hardware(const json_t *usage)
{
	return json_is_true(json_object_get(usage, "hardware"));
}
