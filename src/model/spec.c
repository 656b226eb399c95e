/* SPDX-License-Identifier: BSD-3-Clause */
/* Typed values. See spec.h. */
#include "model/spec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <umdev/driver.h>

#include "model/ident.h"
#include "model/knobs.h"
#include "util/parse.h"

static const char spec_user_rule[] = "a user's name or number";

static const struct spec spec_standard_rows[] = {
	{
		.name = SPEC_ATTR_GROUP,
		.description = "UUID of the group that it belongs to",
		.kind = SPEC_KIND_UUID,
		.when = SPEC_WHEN_NEVER,
	},
	{
		.name = "mdev/socket_user",
		.description = "user that owns the vfio-user socket",
		.kind = SPEC_KIND_USER,
		.when = UMDEV_WHEN_CREATE,
	},
	{
		.name = "mdev/socket_group",
		.description = "group of the vfio-user socket",
		.kind = SPEC_KIND_USER,
		.when = UMDEV_WHEN_CREATE,
	},
	{
		.name = "mdev/socket_mode",
		.description = "permission bits of the vfio-user socket, octal",
		.default_value = "0600",
		.kind = SPEC_KIND_MODE,
		.when = UMDEV_WHEN_CREATE,
	},
	{
		.name = KNOBS_ATTR_CAP,
		.description =
			"most of the parent's time that it may own, in percent; 100 is no bound",
		.default_value = "100",
		.kind = SPEC_KIND_PERCENT,
		.min = KNOBS_CAP_MIN,
		.max = KNOBS_CAP_NONE,
		.when = UMDEV_WHEN_LIVE,
	},
	{
		.name = KNOBS_ATTR_WEIGHT,
		.description = "how the parent's time is divided among mdevs that have work",
		.default_value = "100",
		.kind = UMDEV_KIND_U64,
		.min = KNOBS_WEIGHT_MIN,
		.max = KNOBS_WEIGHT_MAX,
		.when = UMDEV_WHEN_LIVE,
	},
	{
		.name = KNOBS_ATTR_PRIORITY,
		.description = "who goes first within what cap and weight allow; higher first",
		.default_value = "0",
		.kind = UMDEV_KIND_U64,
		.max = KNOBS_PRIORITY_MAX,
		.when = UMDEV_WHEN_LIVE,
	},
	{
		.name = KNOBS_ATTR_MIN_SHARE,
		.description = "share of the parent that it is promised, in percent; 0 is none",
		.default_value = "0",
		.kind = SPEC_KIND_PERCENT,
		.max = KNOBS_CAP_NONE,
		.when = UMDEV_WHEN_CREATE,
	},
};

static const struct spec_table spec_standard_table = {
	.rows = (struct spec *)(uintptr_t)spec_standard_rows, /* never freed or written */
	.count = ARRAY_SIZE(spec_standard_rows),
};

const struct spec_table *spec_standard(void)
{
	return &spec_standard_table;
}

static const struct spec spec_standard_option_rows[] = {
	{
		.name = "admission",
		.description = "whether mdevs that are only defined count when shares are promised",
		.default_value = "lend",
		.choices = "lend reserve",
		.kind = UMDEV_KIND_ENUM,
	},
};

static const struct spec_table spec_standard_option_table = {
	.rows = (struct spec *)(uintptr_t)spec_standard_option_rows, /* never freed or written */
	.count = ARRAY_SIZE(spec_standard_option_rows),
};

const struct spec_table *spec_standard_options(void)
{
	return &spec_standard_option_table;
}

static void spec_done(struct spec *spec)
{
	free((void *)(uintptr_t)spec->name);
	free((void *)(uintptr_t)spec->description);
	free((void *)(uintptr_t)spec->default_value);
	free((void *)(uintptr_t)spec->choices);
	memset(spec, 0, sizeof(*spec));
}

void spec_table_done(struct spec_table *table)
{
	for (size_t i = 0; i < table->count; i++)
		spec_done(&table->rows[i]);
	free(table->rows);
	memset(table, 0, sizeof(*table));
}

const struct spec *spec_find(const struct spec_table *table, const char *name)
{
	for (size_t i = 0; table && i < table->count; i++) {
		if (strcmp(table->rows[i].name, name) == 0)
			return &table->rows[i];
	}
	return NULL;
}

const char *spec_when_name(uint32_t when)
{
	static const char *const names[] = {"create", "idle", "live", "never"};

	return names[MIN(when, ARRAY_SIZE(names) - 1)];
}

const char *spec_local_name(const struct spec *spec)
{
	const char *slash = strchr(spec->name, '/');

	return slash ? slash + 1 : spec->name;
}

/* Appends to a list of names in a fixed buffer; what does not fit is left out. */
static void spec_list_names(char *text, size_t size, const struct spec_table *table)
{
	for (size_t i = 0; table && i < table->count; i++) {
		size_t used = strlen(text);

		snprintf(text + used, size - used, "%s%s", used ? ", " : "", table->rows[i].name);
	}
}

const struct spec *spec_find_attr(const struct spec_table *driver_attrs, const char *driver,
				  const char *name, struct umdev_error *err)
{
	char full[IDENT_ATTR_MAX + 1];
	char known[256] = "";
	const struct spec *spec = spec_find(&spec_standard_table, name);

	if (!spec)
		spec = spec_find(driver_attrs, name);
	if (!spec && driver && !strchr(name, '/') &&
	    snprintf(full, sizeof(full), "%s/%s", driver, name) < (int)sizeof(full))
		spec = spec_find(driver_attrs, full);
	if (spec)
		return spec;
	spec_list_names(known, sizeof(known), driver_attrs);
	spec_list_names(known, sizeof(known), &spec_standard_table);
	error_set_key(err, ERROR_INVALID, name, "there is no attribute '%s'; there are: %s", name,
		      known);
	return NULL;
}

/* ---- Values ---------------------------------------------------------------------------------- */

static int spec_check_number(const struct spec *spec, const char *text, uint64_t *ret,
			     struct umdev_error *err)
{
	bool bytes = spec->kind != UMDEV_KIND_U64;
	uint64_t max = spec->max ? spec->max : INT64_MAX;
	uint64_t n;

	if ((bytes ? parse_bytes(text, &n) : parse_u64(text, &n)) < 0 || n > INT64_MAX) {
		if (!bytes && spec->max)
			return error_set_key(err, ERROR_INVALID, spec->name,
					     "%s: '%s' is not a number from %llu to %llu",
					     spec->name, text, (unsigned long long)spec->min,
					     (unsigned long long)max);
		return error_set_key(err, ERROR_INVALID, spec->name, "%s: '%s' is not a number%s",
				     spec->name, text,
				     bytes ? " of bytes, such as 4096, 512K or 8G" : "");
	}
	if (n < spec->min || n > max)
		return error_set_key(err, ERROR_INVALID, spec->name,
				     "%s: %s is out of range %llu..%llu", spec->name, text,
				     (unsigned long long)spec->min, (unsigned long long)max);
	*ret = n;
	return 0;
}

static int spec_check_percent(const struct spec *spec, const char *text, uint64_t *ret,
			      struct umdev_error *err)
{
	char min[KNOBS_PERCENT_SIZE];
	char max[KNOBS_PERCENT_SIZE];
	uint64_t n = 0;
	int r = parse_hundredths(text, &n);

	knobs_percent((uint32_t)spec->min, min);
	knobs_percent((uint32_t)spec->max, max);
	if (r == -EINVAL)
		return error_set_key(err, ERROR_INVALID, spec->name,
				     "%s: '%s' is not a percentage from %s to %s with at most two "
				     "decimals",
				     spec->name, text, min, max);
	if (r < 0 || n < spec->min || n > spec->max)
		return error_set_key(err, ERROR_INVALID, spec->name,
				     "%s: %s is out of range %s..%s (percent)", spec->name, text,
				     min, max);
	*ret = n;
	return 0;
}

static int spec_check_word(const struct spec *spec, const char *text, uint64_t *ret,
			   struct umdev_error *err)
{
	bool is_bool = spec->kind == UMDEV_KIND_BOOL;
	bool flag = false;
	int r = is_bool ? parse_bool(text, &flag) : parse_choice(text, spec->choices, ret);

	if (r < 0)
		return error_set_key(err, ERROR_INVALID, spec->name, "%s: '%s' is none of: %s",
				     spec->name, text,
				     is_bool ? "0 1 false true no yes off on" : spec->choices);
	if (is_bool)
		*ret = flag;
	return 0;
}

static int spec_check_mode(const struct spec *spec, const char *text, uint64_t *ret,
			   struct umdev_error *err)
{
	size_t len = strlen(text);
	uint64_t mode = 0;

	if (len == 0 || len > 4 || strspn(text, "01234567") != len ||
	    (mode = strtoull(text, NULL, 8)) > 0777)
		return error_set_key(err, ERROR_INVALID, spec->name,
				     "%s: '%s' is not a mode in octal, such as 0660", spec->name,
				     text);
	*ret = mode;
	return 0;
}

static int spec_check_text(const struct spec *spec, const char *text, struct umdev_error *err)
{
	size_t max = spec->max && spec->max < SPEC_VALUE_MAX ? (size_t)spec->max : SPEC_VALUE_MAX;

	if (spec->kind == UMDEV_KIND_BACKING && text[0] != '/')
		return error_set_key(err, ERROR_INVALID, spec->name,
				     "%s: '%s' is not an absolute path", spec->name, text);
	if (spec->kind == SPEC_KIND_USER) {
		max = 64;
		if (text[0] == '\0' || text[0] == '-')
			return error_set_key(err, ERROR_INVALID, spec->name, "%s: '%s' is not %s",
					     spec->name, text, spec_user_rule);
	}
	if (spec->kind == SPEC_KIND_UUID) {
		char uuid[IDENT_UUID_SIZE];

		if (text[0] != '\0' && ident_uuid_parse(text, uuid) < 0)
			return error_set_key(err, ERROR_INVALID, spec->name,
					     "%s: '%.64s' is no UUID: 36 characters such as "
					     "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001",
					     spec->name, text);
		return 0;
	}
	if (text[0] != '\0' && !ident_line_ok(text, max))
		return error_set_key(err, ERROR_INVALID, spec->name,
				     "%s: must be one line of at most %zu bytes", spec->name, max);
	if (spec->kind == UMDEV_KIND_STRING && strlen(text) < spec->min)
		return error_set_key(err, ERROR_INVALID, spec->name,
				     "%s: must have at least %llu bytes", spec->name,
				     (unsigned long long)spec->min);
	return 0;
}

int spec_check(const struct spec *spec, const char *text, uint64_t *ret_number,
	       struct umdev_error *err)
{
	uint64_t number = 0;
	int r;

	switch (spec->kind) {
	case UMDEV_KIND_U64:
	case UMDEV_KIND_BYTES:
	case UMDEV_KIND_MEMORY:
		r = spec_check_number(spec, text, &number, err);
		break;
	case UMDEV_KIND_BOOL:
	case UMDEV_KIND_ENUM:
		r = spec_check_word(spec, text, &number, err);
		break;
	case SPEC_KIND_PERCENT:
		r = spec_check_percent(spec, text, &number, err);
		break;
	case SPEC_KIND_MODE:
		r = spec_check_mode(spec, text, &number, err);
		break;
	default:
		r = spec_check_text(spec, text, err);
	}
	if (r == 0 && ret_number)
		*ret_number = number;
	return r;
}

/* ---- Tables ---------------------------------------------------------------------------------- */

static char *spec_dup(const char *text)
{
	return text ? strdup(text) : NULL;
}

static int spec_row_fill(struct spec *spec, const json_t *row, enum spec_use use,
			 const char *driver, struct umdev_error *err)
{
	const char *name = json_string_value(json_object_get(row, "name"));
	const char *description = json_string_value(json_object_get(row, "description"));
	const char *default_value = json_string_value(json_object_get(row, "default"));
	const char *choices = json_string_value(json_object_get(row, "choices"));
	json_int_t min = 0;
	json_int_t max = 0;
	json_int_t kind = -1;
	json_int_t when = 0;
	char full[IDENT_ATTR_MAX];

	if (!name || json_unpack((json_t *)(uintptr_t)row, "{s?I,s?I,s:I,s?I}", "min", &min, "max",
				 &max, "kind", &kind, "when", &when) < 0)
		return error_set(err, ERROR_DRIVER_FAILED, "a row is malformed");
	if (max < 0)
		max = 0; /* a bound beyond what JSON can say is none */
	if (!ident_word_ok(name))
		return error_set(err, ERROR_DRIVER_FAILED, "'%.64s' is no name", name);
	if (use == SPEC_OPTIONS && spec_find(&spec_standard_option_table, name))
		return error_set(err, ERROR_DRIVER_FAILED, "'%s' is an option of every parent",
				 name);
	if (kind < 0 || kind > (use == SPEC_OPTIONS ? UMDEV_KIND_MEMORY : UMDEV_KIND_ENUM) ||
	    when < 0 || when > UMDEV_WHEN_LIVE || min < 0 ||
	    (description && !ident_line_ok(description, IDENT_TEXT_MAX)) ||
	    (choices && !ident_line_ok(choices, IDENT_TEXT_MAX)) ||
	    (kind == UMDEV_KIND_ENUM && !choices))
		return error_set(err, ERROR_DRIVER_FAILED, "the row of '%s' is malformed", name);
	snprintf(full, sizeof(full), "%s%s%s", use == SPEC_ATTRS ? driver : "",
		 use == SPEC_ATTRS ? "/" : "", name);
	spec->name = strdup(full);
	spec->description = spec_dup(description);
	spec->default_value = spec_dup(default_value);
	spec->choices = spec_dup(choices);
	spec->min = (uint64_t)min;
	spec->max = (uint64_t)max;
	spec->kind = (uint32_t)kind;
	spec->when = (uint32_t)when;
	if (!spec->name || (description && !spec->description) ||
	    (default_value && !spec->default_value) || (choices && !spec->choices))
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	if (use == SPEC_ATTRS && !default_value)
		return error_set(err, ERROR_DRIVER_FAILED, "'%s' has no default", name);
	return default_value ? spec_check(spec, default_value, NULL, err) : 0;
}

int spec_table_parse(const json_t *rows, enum spec_use use, const char *driver,
		     struct spec_table *ret_table, struct umdev_error *err)
{
	struct spec_table table = {0};
	size_t count = json_array_size(rows);
	int r = 0;

	if (!json_is_array(rows) || count > SPEC_ROWS_MAX)
		return error_set(err, ERROR_DRIVER_FAILED, "%s: not a table of at most %d rows",
				 use == SPEC_OPTIONS ? "options" : "attributes", SPEC_ROWS_MAX);
	table.rows = calloc(count ? count : 1, sizeof(*table.rows));
	if (!table.rows)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	for (size_t i = 0; r == 0 && i < count; i++) {
		table.count = i + 1;
		r = spec_row_fill(&table.rows[i], json_array_get(rows, i), use, driver, err);
		for (size_t j = 0; r == 0 && j < i; j++) {
			if (strcmp(table.rows[j].name, table.rows[i].name) == 0)
				r = error_set(err, ERROR_DRIVER_FAILED, "'%s' stands there twice",
					      table.rows[i].name);
		}
	}
	if (r < 0) {
		spec_table_done(&table);
		if (err && err->word == ERROR_NO_MEMORY)
			return r;
		error_wrap(err, "driver %s declares bad %s", driver,
			   use == SPEC_OPTIONS ? "options" : "attributes");
		if (err)
			err->word = ERROR_DRIVER_FAILED;
		return -EIO;
	}
	*ret_table = table;
	return 0;
}
