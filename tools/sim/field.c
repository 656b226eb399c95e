/* SPDX-License-Identifier: BSD-3-Clause */
/* Values of JSON. See field.h. */
#include "field.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

int field_bad(struct field_reader *reader, const char *fmt, ...)
{
	char text[ERROR_MESSAGE_MAX];
	const char *place = reader->path[0] ? reader->path : "scenario";
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return error_set_key(reader->err, ERROR_INVALID, place, "%s: %.300s", place, text);
}

size_t field_enter(struct field_reader *reader, const char *key, size_t index)
{
	size_t length = strlen(reader->path);
	size_t room = sizeof(reader->path) - length;

	if (key)
		snprintf(reader->path + length, room, "%s%s", length ? "." : "", key);
	else
		snprintf(reader->path + length, room, "[%zu]", index);
	return length;
}

void field_leave(struct field_reader *reader, size_t length)
{
	reader->path[length] = 0;
}

/* A key that somebody wrote, fit to be shown. */
static void field_show(const char *key, char *ret_text, size_t size)
{
	size_t i = 0;

	for (; key[i] && i + 1 < size; i++)
		ret_text[i] = (char)((unsigned char)key[i] < ' ' || key[i] == 0x7f ? '?' : key[i]);
	ret_text[i] = 0;
}

static const struct field *field_find(const struct field *fields, const char *key)
{
	for (; fields->key; fields++) {
		if (strcmp(fields->key, key) == 0)
			return fields;
	}
	return NULL;
}

/* Names what may be written instead of an unknown key. */
static int field_unknown(struct field_reader *reader, const struct field *fields, const char *key)
{
	char shown[40];
	char known[256] = "";

	field_show(key, shown, sizeof(shown));
	for (; fields->key; fields++) {
		size_t used = strlen(known);

		snprintf(known + used, sizeof(known) - used, "%s%s", used ? ", " : "", fields->key);
	}
	return field_bad(reader, "\"%s\" is not known here; known are %s", shown, known);
}

int field_object(struct field_reader *reader, const json_t *value, const struct field *fields,
		 void *into)
{
	/* Jansson's iterators do not change what they go over, but want it to be changeable. */
	json_t *object = (json_t *)(uintptr_t)value;
	const char *key;
	json_t *member;

	if (!json_is_object(value))
		return field_bad(reader, "must be an object");
	json_object_foreach (object, key, member) {
		const struct field *field = field_find(fields, key);
		size_t length;
		int r;

		if (!field)
			return field_unknown(reader, fields, key);
		length = field_enter(reader, field->key, 0);
		r = field->read(reader, member, into);
		if (r < 0)
			return r;
		field_leave(reader, length);
	}
	return 0;
}

int field_number(struct field_reader *reader, const json_t *value, double min, double max,
		 double *ret_number)
{
	double number = json_number_value(value);

	if (!json_is_number(value))
		return field_bad(reader, "must be a number");
	if (number < min || number > max)
		return field_bad(reader, "%.15g is out of range %.15g..%.15g", number, min, max);
	*ret_number = number;
	return 0;
}

int field_whole(struct field_reader *reader, const json_t *value, uint64_t min, uint64_t max,
		uint64_t *ret_number)
{
	json_int_t number = json_integer_value(value);
	double real = json_real_value(value);

	if (json_is_real(value)) {
		/* 100.0 is as good as 100 where both are exact. */
		if (real < 0 || real > 0x1p53 || (double)(uint64_t)real != real)
			return field_bad(reader,
					 "%.15g is not a whole number of the range %llu..%llu",
					 real, (unsigned long long)min, (unsigned long long)max);
		number = (json_int_t)real;
	} else if (!json_is_integer(value)) {
		return field_bad(reader, "must be a whole number");
	}
	if (number < 0 || (uint64_t)number < min || (uint64_t)number > max)
		return field_bad(reader, "%lld is out of range %llu..%llu", (long long)number,
				 (unsigned long long)min, (unsigned long long)max);
	*ret_number = (uint64_t)number;
	return 0;
}

int field_time(struct field_reader *reader, const json_t *value, double unit_ns, double max,
	       uint64_t min_ns, uint64_t *ret_ns)
{
	double number = 0;
	int r = field_number(reader, value, (double)min_ns / unit_ns, max, &number);

	if (r < 0)
		return r;
	*ret_ns = (uint64_t)(number * unit_ns + 0.5);
	return 0;
}

int field_bool(struct field_reader *reader, const json_t *value, bool *ret_bool)
{
	if (!json_is_boolean(value))
		return field_bad(reader, "must be true or false");
	*ret_bool = json_is_true(value);
	return 0;
}

int field_name(struct field_reader *reader, const json_t *value, size_t max, char **ret_text)
{
	const char *text = json_string_value(value);
	char *copy;

	if (!text)
		return field_bad(reader, "must be a text");
	if (json_string_length(value) < 1 || json_string_length(value) > max)
		return field_bad(reader, "must have 1 to %zu bytes", max);
	for (const char *p = text; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f || strchr("\"\\,", *p))
			return field_bad(reader, "may have no control characters, quotes, "
						 "backslashes or commas");
	}
	copy = strdup(text);
	if (!copy)
		return error_set(reader->err, ERROR_NO_MEMORY, "not enough memory");
	free(*ret_text);
	*ret_text = copy;
	return 0;
}

int field_array(struct field_reader *reader, const json_t *value, size_t min, size_t max)
{
	if (!json_is_array(value))
		return field_bad(reader, "must be an array");
	if (json_array_size(value) < min || json_array_size(value) > max)
		return field_bad(reader, "has %zu elements; %zu to %zu may be there",
				 json_array_size(value), min, max);
	return 0;
}
