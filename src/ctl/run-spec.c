/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The specifications of umdevctl run: KEY=VALUE separated by commas; a comma within a value is
 * written twice.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/run.h"

/* Takes the next KEY=VALUE from *@at into @field (as long as the whole specification). Returns
 * whether there was one. */
static bool spec_next(const char **at, char *field)
{
	const char *p = *at;

	if (!*p)
		return false;
	while (*p && !(p[0] == ',' && p[1] != ',')) {
		if (p[0] == ',')
			p++;
		*field++ = *p++;
	}
	*field = '\0';
	*at = *p == ',' ? p + 1 : p;
	return true;
}

/* What one specification becomes. @texts are keys that go to @params under another name. */
struct spec_target {
	const char *option;
	const char *const (*texts)[2];
	json_t *params;
	json_t *options; /* where other keys go, an object; NULL: nowhere */
	json_t *attrs;	 /* where keys beginning with "attr." go, an array; NULL: nowhere */
};

static int spec_put(const struct ctl *ctl, const struct spec_target *target, const char *key,
		    const char *value)
{
	for (size_t i = 0; target->texts[i][0]; i++) {
		if (strcmp(target->texts[i][0], key) != 0)
			continue;
		if (json_object_get(target->params, target->texts[i][1]))
			return ctl_usage(ctl, "--%s: '%s' is given twice", target->option, key);
		ctl_put_text(target->params, target->texts[i][1], value);
		return CTL_OK;
	}
	if (target->attrs && strncmp(key, "attr.", 5) == 0 && key[5]) {
		json_array_append_new(target->attrs, json_pack("{s:s}", key + 5, value));
		return CTL_OK;
	}
	if (!target->options)
		return ctl_usage(ctl, "--%s: unknown key '%s'", target->option, key);
	if (json_object_get(target->options, key))
		return ctl_usage(ctl, "--%s: '%s' is given twice", target->option, key);
	ctl_put_text(target->options, key, value);
	return CTL_OK;
}

static int spec_parse(const struct ctl *ctl, const struct spec_target *target, const char *spec)
{
	umdev_autofree char *field = malloc(strlen(spec) + 1);
	const char *at = spec;
	int r = CTL_OK;

	if (!field)
		return ctl_fail_word(ctl, ERROR_NO_MEMORY, "no memory for '%s'", spec);
	while (r == CTL_OK && spec_next(&at, field)) {
		char *equals = strchr(field, '=');

		if (!equals || equals == field)
			return ctl_usage(ctl, "--%s: '%s' is not KEY=VALUE", target->option, field);
		*equals = '\0';
		r = spec_put(ctl, target, field, equals + 1);
	}
	return r;
}

int run_parse_parent(const struct ctl *ctl, const char *spec, unsigned index, json_t **ret_params)
{
	static const char *const texts[][2] = {
		{"driver", "driver"}, {"name", "name"}, {NULL, NULL}};
	json_t *options = json_object();
	json_t *params = json_pack("{s:o}", "options", options);
	const struct spec_target target = {"parent", texts, params, options, NULL};
	char name[16];
	int r = spec_parse(ctl, &target, spec);

	snprintf(name, sizeof(name), "p%u", index);
	if (!json_object_get(params, "name"))
		ctl_put_text(params, "name", name);
	if (r == CTL_OK && !json_object_get(params, "driver"))
		r = ctl_usage(ctl, "--parent: driver= is missing in '%s'", spec);
	if (r == CTL_OK)
		*ret_params = params;
	else
		json_decref(params);
	return r;
}

int run_parse_mdev(const struct ctl *ctl, const char *spec, json_t **ret_params)
{
	static const char *const texts[][2] = {{"type", "type"},     {"type-name", "type_name"},
					       {"parent", "parent"}, {"uuid", "uuid"},
					       {"owner", "owner"},   {"group", "group"},
					       {NULL, NULL}};
	static const char *const uuids[] = {"uuid", "group"};
	json_t *attrs = json_array();
	json_t *params = json_pack("{s:o}", "attrs", attrs);
	const struct spec_target target = {"mdev", texts, params, NULL, attrs};
	char uuid[CTL_UUID_STRING];
	int r = spec_parse(ctl, &target, spec);

	if (r == CTL_OK && !json_object_get(params, "type") &&
	    !json_object_get(params, "type_name"))
		r = ctl_usage(ctl, "--mdev: type= is missing in '%s'", spec);
	for (size_t i = 0; r == CTL_OK && i < ARRAY_SIZE(uuids); i++) {
		const char *text = json_string_value(json_object_get(params, uuids[i]));

		if (text && !ctl_uuid_parse(text, uuid))
			r = ctl_usage(ctl, "--mdev: %s '%s' is not a UUID", uuids[i], text);
		else if (text)
			ctl_put_text(params, uuids[i], uuid);
	}
	if (r == CTL_OK)
		*ret_params = params;
	else
		json_decref(params);
	return r;
}
