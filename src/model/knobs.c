/* SPDX-License-Identifier: BSD-3-Clause */
/* Knobs in definitions. See knobs.h. */
#include "model/knobs.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <umdev/driver.h>

#include "model/definition.h"
#include "model/type.h"

static const struct {
	const char *attr;
	uint32_t bit;
} knobs_names[] = {
	{KNOBS_ATTR_CAP, UMDEV_QOS_CAP},
	{KNOBS_ATTR_WEIGHT, UMDEV_QOS_WEIGHT},
	{KNOBS_ATTR_PRIORITY, UMDEV_QOS_PRIORITY},
};

static uint32_t knobs_default(const struct spec *spec)
{
	uint64_t number = 0;

	/* Our own table: its defaults are legal. */
	if (spec_check(spec, spec->default_value, &number, NULL) < 0)
		return 0;
	return (uint32_t)number;
}

static uint32_t knobs_value(const struct definition *definition, const char *attr)
{
	const struct spec *spec = spec_find(spec_standard(), attr);
	const char *text = definition_attr(definition, attr);
	uint64_t number = 0;

	if (!text || spec_check(spec, text, &number, NULL) < 0)
		return knobs_default(spec);
	return (uint32_t)number;
}

void knobs_read(const struct definition *definition, struct knobs *ret_knobs)
{
	ret_knobs->cap = knobs_value(definition, KNOBS_ATTR_CAP);
	ret_knobs->weight = knobs_value(definition, KNOBS_ATTR_WEIGHT);
	ret_knobs->priority = knobs_value(definition, KNOBS_ATTR_PRIORITY);
}

uint32_t knobs_min_share(const struct definition *definition)
{
	return knobs_value(definition, KNOBS_ATTR_MIN_SHARE);
}

bool knobs_equal(const struct knobs *a, const struct knobs *b)
{
	return a->cap == b->cap && a->weight == b->weight && a->priority == b->priority;
}

int knobs_write(struct definition *definition, const char *name, const char *text,
		struct umdev_error *err)
{
	const struct spec *spec = spec_find(spec_standard(), name);
	uint64_t number = 0;
	int r = spec_check(spec, text, &number, err);

	if (r < 0)
		return r;
	if (number == knobs_value(definition, name))
		return 0;
	return definition_put_attr(definition, name, text, err);
}

void knobs_text(const json_t *value, char ret_text[KNOBS_TEXT_SIZE])
{
	if (json_is_integer(value))
		snprintf(ret_text, KNOBS_TEXT_SIZE, "%lld", (long long)json_integer_value(value));
	else
		snprintf(ret_text, KNOBS_TEXT_SIZE, "%.15g", json_real_value(value));
}

int knobs_put(struct definition *definition, const char *name, const json_t *value,
	      struct umdev_error *err)
{
	char text[KNOBS_TEXT_SIZE];

	knobs_text(value, text);
	return knobs_write(definition, name, text, err);
}

/* The knobs of @bits as a list for a person. */
static void knobs_list(char *text, size_t size, uint32_t bits)
{
	text[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(knobs_names); i++) {
		size_t used = strlen(text);

		if (bits & knobs_names[i].bit)
			snprintf(text + used, size - used, "%s%s", used ? ", " : "",
				 knobs_names[i].attr);
	}
	if (!text[0])
		snprintf(text, size, "no knob");
}

int knobs_check_values(const struct knobs *knobs, const struct type *type, const char *uuid,
		       struct umdev_error *err)
{
	const uint32_t values[] = {knobs->cap, knobs->weight, knobs->priority};
	char honoured[64];

	static_assert(ARRAY_SIZE(values) == ARRAY_SIZE(knobs_names), "a value for each knob");
	for (size_t i = 0; i < ARRAY_SIZE(knobs_names); i++) {
		const char *attr = knobs_names[i].attr;
		const struct spec *spec = spec_find(spec_standard(), attr);

		if (type->qos & knobs_names[i].bit || values[i] == knobs_default(spec))
			continue;
		knobs_list(honoured, sizeof(honoured), type->qos);
		return error_set_key(err, ERROR_INVALID, attr,
				     "mdev %s: type %s does not honour %s (it honours %s): leave "
				     "that at %s",
				     uuid, type->id, attr, honoured, spec->default_value);
	}
	return 0;
}

int knobs_check(const struct definition *definition, const struct type *type, const char *uuid,
		struct umdev_error *err)
{
	struct knobs knobs;

	knobs_read(definition, &knobs);
	return knobs_check_values(&knobs, type, uuid, err);
}

void knobs_percent(uint32_t hundredths, char ret_text[KNOBS_PERCENT_SIZE])
{
	unsigned whole = hundredths / 100;
	unsigned part = hundredths % 100;

	if (part == 0)
		snprintf(ret_text, KNOBS_PERCENT_SIZE, "%u", whole);
	else if (part % 10 == 0)
		snprintf(ret_text, KNOBS_PERCENT_SIZE, "%u.%u", whole, part / 10);
	else
		snprintf(ret_text, KNOBS_PERCENT_SIZE, "%u.%02u", whole, part);
}

json_t *knobs_percent_json(uint32_t hundredths)
{
	return hundredths % 100 == 0 ? json_integer(hundredths / 100)
				     : json_real(hundredths / 100.0);
}
