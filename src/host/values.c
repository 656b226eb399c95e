/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Texts of options and attributes to the typed values that a driver gets.
 *
 * The broker has checked them against the same tables; they are checked again because the tables
 * are the driver's and the link is not trusted.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/host.h"
#include "host/values.h"
#include "util/parse.h"

#define VALUE_TEXT_MAX 4096

/* What options and attributes have in common. */
struct value_rule {
	const char *what; /* "option" or "attribute" */
	const char *name;
	const char *choices;
	uint64_t min;
	uint64_t max;
	uint32_t kind;
};

static int value_number(const struct value_rule *rule, const char *text, uint64_t *ret_number)
{
	bool flag = false;
	int r;

	switch (rule->kind) {
	case UMDEV_KIND_U64:
		r = parse_u64(text, ret_number);
		break;
	case UMDEV_KIND_BYTES:
	case UMDEV_KIND_MEMORY:
		r = parse_bytes(text, ret_number);
		break;
	case UMDEV_KIND_BOOL:
		r = parse_bool(text, &flag);
		*ret_number = flag;
		return r;
	case UMDEV_KIND_ENUM:
		return parse_choice(text, rule->choices ? rule->choices : "", ret_number);
	default: /* STRING, BACKING: the text is the value */
		*ret_number = 0;
		return strlen(text) > (rule->max ? rule->max : VALUE_TEXT_MAX) ? -ERANGE : 0;
	}
	if (r == 0 && (*ret_number < rule->min || (rule->max && *ret_number > rule->max)))
		r = -ERANGE;
	return r;
}

/* Reads one text. The value's text is a copy that belongs to the value. */
static int value_read(const struct value_rule *rule, const char *text,
		      struct umdev_value *ret_value, struct umdev_error *err)
{
	struct umdev_value v = {.fd = -1};
	int r = strlen(text) > VALUE_TEXT_MAX ? -ERANGE : value_number(rule, text, &v.number);

	if (r < 0)
		return error_set_key(err, ERROR_INVALID, rule->name, "%s %s: \"%.64s\" is %s",
				     rule->what, rule->name, text,
				     r == -ERANGE ? "out of range" : "no such value");
	v.text = strdup(text);
	if (!v.text)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	*ret_value = v;
	return 0;
}

static int values_read(const struct value_rule *rule, json_t *texts, const char *default_value,
		       struct umdev_value *ret_value, struct umdev_error *err)
{
	json_t *given = json_object_get(texts, rule->name);
	const char *text = given ? json_string_value(given) : default_value;

	ret_value->fd = -1;
	if (given && !text)
		return error_set_key(err, ERROR_INVALID, rule->name, "%s %s must be a string",
				     rule->what, rule->name);
	if (!text)
		return 0;
	return value_read(rule, text, ret_value, err);
}

int host_option_values(const struct host_driver *driver, json_t *texts,
		       struct umdev_value **ret_values, struct umdev_error *err)
{
	struct umdev_value *values = calloc(driver->option_count + 1, sizeof(*values));
	int r = values ? 0 : error_set(err, ERROR_NO_MEMORY, "out of memory");

	for (uint32_t i = 0; r == 0 && i < driver->option_count; i++) {
		const struct umdev_option *o = driver_option(driver, i);
		struct value_rule rule = {"option", o->name, o->choices, o->min, o->max, o->kind};

		r = values_read(&rule, texts, o->default_value, &values[i], err);
	}
	if (r < 0) {
		host_values_free(values, driver->option_count);
		return r;
	}
	*ret_values = values;
	return 0;
}

int host_attr_value(const struct umdev_attr *attr, const char *text, struct umdev_value *ret_value,
		    struct umdev_error *err)
{
	struct value_rule rule = {"attribute", attr->name, attr->choices,
				  attr->min,   attr->max,  attr->kind};

	return value_read(&rule, text, ret_value, err);
}

int host_attr_values(const struct host_driver *driver, json_t *texts,
		     struct umdev_value **ret_values, struct umdev_error *err)
{
	struct umdev_value *values = calloc(driver->attr_count + 1, sizeof(*values));
	int r = values ? 0 : error_set(err, ERROR_NO_MEMORY, "out of memory");

	for (uint32_t i = 0; r == 0 && i < driver->attr_count; i++) {
		const struct umdev_attr *a = driver_attr(driver, i);
		struct value_rule rule = {"attribute", a->name, a->choices,
					  a->min,      a->max,	a->kind};

		r = values_read(&rule, texts, a->default_value, &values[i], err);
	}
	if (r < 0) {
		host_values_free(values, driver->attr_count);
		return r;
	}
	*ret_values = values;
	return 0;
}

void host_values_free(struct umdev_value *values, uint32_t count)
{
	for (uint32_t i = 0; values && i < count; i++) {
		free((void *)(uintptr_t)values[i].text);
		if (values[i].fd >= 0)
			close(values[i].fd);
	}
	free(values);
}
