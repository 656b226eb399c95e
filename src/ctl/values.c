/* SPDX-License-Identifier: BSD-3-Clause */
/* Values of options turned into what the RPC takes: UUIDs, numbers, attributes, definitions. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "util/fd.h"
#include "util/parse.h"

#define CTL_DEFINITION_MAX (512 * 1024)

bool ctl_uuid_parse(const char *text, char ret[CTL_UUID_STRING])
{
	bool dashes = strlen(text) == 36;
	char out[CTL_UUID_STRING];
	size_t n = 0;

	if (!dashes && strlen(text) != 32)
		return false;
	while (n < 36) {
		if (n == 8 || n == 13 || n == 18 || n == 23) {
			if (dashes && *text++ != '-')
				return false;
			out[n++] = '-';
			continue;
		}
		if (!isxdigit((unsigned char)*text))
			return false;
		out[n++] = (char)tolower((unsigned char)*text++);
	}
	out[n] = '\0';
	memcpy(ret, out, sizeof(out));
	return true;
}

int ctl_get_uuid(const struct ctl *ctl, const char *option, char ret[CTL_UUID_STRING])
{
	const char *text = ctl_get(ctl, option);

	if (text && !ctl_uuid_parse(text, ret))
		return ctl_usage(ctl, "'%s' is not a UUID", text);
	return CTL_OK;
}

int ctl_get_number(const struct ctl *ctl, const char *option, uint64_t max, uint64_t *ret)
{
	const char *text = ctl_get(ctl, option);
	uint64_t value = 0;

	if (!text)
		return CTL_OK;
	if (parse_u64(text, &value) < 0 || value > max)
		return ctl_usage(ctl, "--%s: '%s' is not a number from 0 to %llu", option, text,
				 (unsigned long long)max);
	*ret = value;
	return CTL_OK;
}

int ctl_put_percent(const struct ctl *ctl, const char *option, const char *key, uint64_t min,
		    json_t *params)
{
	const char *text = ctl_get(ctl, option);
	uint64_t hundredths = 0;

	if (!text)
		return CTL_OK;
	if (parse_hundredths(text, &hundredths) < 0 || hundredths < min || hundredths > 10000)
		return ctl_usage(
			ctl,
			"--%s: '%s' is not a percentage from %s to 100 with at most two decimals",
			option, text, min ? "0.01" : "0");
	json_object_set_new(params, key,
			    hundredths % 100 ? json_real((double)hundredths / 100)
					     : json_integer((json_int_t)hundredths / 100));
	return CTL_OK;
}

int ctl_put_number(const struct ctl *ctl, const char *option, const char *key, uint64_t min,
		   uint64_t max, json_t *params)
{
	const char *text = ctl_get(ctl, option);
	uint64_t value = 0;

	if (!text)
		return CTL_OK;
	if (parse_u64(text, &value) < 0 || value < min || value > max)
		return ctl_usage(ctl, "--%s: '%s' is not a number from %llu to %llu", option, text,
				 (unsigned long long)min, (unsigned long long)max);
	json_object_set_new(params, key, json_integer((json_int_t)value));
	return CTL_OK;
}

/* Adds one NAME=VALUE. */
static int values_add_pair(const struct ctl *ctl, const char *option, const char *text,
			   json_t *pairs)
{
	const char *equals = strchr(text, '=');
	umdev_autofree char *name = NULL;

	if (!equals || equals == text)
		return ctl_usage(ctl, "--%s: '%s' is not NAME=VALUE", option, text);
	name = strndup(text, (size_t)(equals - text));
	if (!name)
		return ctl_fail_word(ctl, ERROR_NO_MEMORY, "no memory for '%s'", text);
	if (json_is_array(pairs)) {
		json_array_append_new(pairs, json_pack("{s:s}", name, equals + 1));
		return CTL_OK;
	}
	if (json_object_get(pairs, name))
		return ctl_usage(ctl, "--%s: '%s' is given twice", option, name);
	json_object_set_new(pairs, name, json_string(equals + 1));
	return CTL_OK;
}

int ctl_get_pairs(const struct ctl *ctl, const char *option, json_t *pairs)
{
	const char *text;
	size_t at = 0;

	while ((text = ctl_next(ctl, option, &at)) != NULL) {
		int r = values_add_pair(ctl, option, text, pairs);

		if (r != CTL_OK)
			return r;
	}
	return CTL_OK;
}

/* Standard input is taken as it is: by its path it could not be opened when it is a socket, or a
 * pipe of another user's. */
static FILE *values_open(const char *path)
{
	int fd;
	FILE *file;

	if (strcmp(path, "/dev/stdin") != 0 && strcmp(path, "-") != 0)
		return fopen(path, "re");
	fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
	file = fd >= 0 ? fdopen(fd, "r") : NULL;
	if (!file)
		fd_close(&fd);
	return file;
}

/* Returns 0 or -errno; -EFBIG for more than @max bytes. */
static int values_read(const char *path, size_t max, char **ret_text, size_t *ret_len)
{
	umdev_autofree char *text = malloc(max + 1);
	umdev_autofclose FILE *file = NULL;
	size_t len;

	if (!text)
		return -ENOMEM;
	file = values_open(path);
	if (!file)
		return -errno;
	errno = 0;
	len = fread(text, 1, max + 1, file);
	if (ferror(file))
		return errno ? -errno : -EIO;
	if (len > max)
		return -EFBIG;
	text[len] = '\0';
	*ret_text = umdev_steal_ptr(&text);
	*ret_len = len;
	return 0;
}

int ctl_read_file(const struct ctl *ctl, const char *path, size_t max, char **ret_text,
		  size_t *ret_len)
{
	int r = values_read(path, max, ret_text, ret_len);

	if (r == 0)
		return CTL_OK;
	return ctl_fail_word(ctl, error_word_from_errno(r), "cannot read '%s': %s", path,
			     strerror(-r));
}

int ctl_read_definition(const struct ctl *ctl, const char *path, json_t **ret_definition)
{
	umdev_autofree char *text = NULL;
	json_error_t fault;
	json_t *definition;
	size_t len = 0;
	int r = ctl_read_file(ctl, path, CTL_DEFINITION_MAX, &text, &len);

	if (r != CTL_OK)
		return r;
	definition = json_loadb(text, len, JSON_REJECT_DUPLICATES, &fault);
	if (!definition)
		return ctl_fail_word(ctl, ERROR_INVALID, "'%s' is not JSON: line %d: %s", path,
				     fault.line, fault.text);
	if (!json_is_object(definition)) {
		json_decref(definition);
		return ctl_fail_word(ctl, ERROR_INVALID, "'%s' is not a definition: no object",
				     path);
	}
	*ret_definition = definition;
	return CTL_OK;
}

static const char *const values_not_with_jsonfile[] = {"type", "type-name", "attr",
						       "auto", "min-share", "place"};

/* What excludes what, before anything is read. */
static int values_check_mdev(const struct ctl *ctl)
{
	int r;

	/* mdevctl needs one of these; here the parent of a type can be chosen. */
	if (!ctl_has(ctl, "uuid") && !ctl_has(ctl, "parent") &&
	    (ctl_is_mdevctl() || (!ctl_has(ctl, "type") && !ctl_has(ctl, "type-name"))))
		return ctl_usage(ctl, ctl_is_mdevctl() || ctl_has(ctl, "jsonfile")
					      ? "--uuid or --parent is missing"
					      : "--uuid, --parent or a type is missing");
	if (ctl_has(ctl, "place") && ctl_has(ctl, "parent"))
		return ctl_conflict(ctl, "place", "parent");
	for (size_t i = 0; i < ARRAY_SIZE(values_not_with_jsonfile); i++) {
		r = ctl_conflict(ctl, "jsonfile", values_not_with_jsonfile[i]);
		if (r != CTL_OK)
			return r;
	}
	r = ctl_conflict(ctl, "type", "type-name");
	if (r != CTL_OK)
		return r;
	if (ctl_has(ctl, "jsonfile") && !ctl_has(ctl, "parent"))
		return ctl_fail_word(ctl, ERROR_INVALID,
				     "--jsonfile does not say the parent; give it with --parent");
	return CTL_OK;
}

static int values_fill_mdev(const struct ctl *ctl, json_t *params)
{
	const char *file = ctl_get(ctl, "jsonfile");
	char uuid[CTL_UUID_STRING] = "";
	char group[CTL_UUID_STRING] = "";
	json_t *attrs;
	int r;

	r = ctl_get_uuid(ctl, "uuid", uuid);
	if (r == CTL_OK)
		r = ctl_get_uuid(ctl, "group", group);
	if (r != CTL_OK)
		return r;
	ctl_put_text(params, "uuid", uuid[0] ? uuid : NULL);
	ctl_put_text(params, "parent", ctl_get(ctl, "parent"));
	ctl_put_text(params, "type", ctl_get(ctl, "type"));
	ctl_put_text(params, "type_name", ctl_get(ctl, "type-name"));
	ctl_put_text(params, "owner", ctl_get(ctl, "owner"));
	ctl_put_flag(params, "force", ctl_has(ctl, "force"));
	ctl_put_text(params, "group", group[0] ? group : NULL);
	if (file) {
		json_t *definition = NULL;

		r = ctl_read_definition(ctl, file, &definition);
		if (r == CTL_OK)
			json_object_set_new(params, "definition", definition);
		return r;
	}
	ctl_put_text(params, "placement", ctl_get(ctl, "place"));
	r = ctl_put_percent(ctl, "min-share", "min_share", 0, params);
	if (r != CTL_OK || !ctl_has(ctl, "attr"))
		return r;
	attrs = json_array();
	json_object_set_new(params, "attrs", attrs);
	return ctl_get_pairs(ctl, "attr", attrs);
}

int ctl_mdev_params(const struct ctl *ctl, json_t **ret_params)
{
	json_t *params;
	int r;

	r = values_check_mdev(ctl);
	if (r != CTL_OK)
		return r;
	params = json_object();
	r = values_fill_mdev(ctl, params);
	if (r != CTL_OK) {
		json_decref(params);
		return r;
	}
	*ret_params = params;
	return CTL_OK;
}
