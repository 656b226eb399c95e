/* SPDX-License-Identifier: BSD-3-Clause */
/* Printing: JSON as mdevctl writes it, sorted lists, and the help. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ctl.h"

void ctl_print_json(const json_t *value, const char *end)
{
	umdev_autofree char *text =
		json_dumps(value, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));

	/* jansson writes \u001F where mdevctl writes \u001f. */
	for (char *c = text; c && *c; c++) {
		if (*c != '\\')
			continue;
		c++;
		for (int i = 1; *c == 'u' && i <= 4; i++)
			c[i] = (char)tolower((unsigned char)c[i]);
	}
	printf("%s%s", text ? text : "", end);
}

void ctl_print_json_line(const json_t *value)
{
	json_dumpf(value, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
	putchar('\n');
}

const char *ctl_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static int text_compare(const void *a, const void *b, void *data)
{
	const char *const *keys = data;
	json_t *const *x = a;
	json_t *const *y = b;
	int r = strcmp(ctl_text(*x, keys[0]), ctl_text(*y, keys[0]));

	return r ? r : strcmp(ctl_text(*x, keys[1]), ctl_text(*y, keys[1]));
}

json_t **ctl_sorted(const json_t *array, const char *first_key, const char *second_key)
{
	const char *keys[] = {first_key, second_key};
	size_t n = json_array_size(array);
	json_t **sorted = calloc(n + 1, sizeof(json_t *));

	if (!sorted) {
		ctl_warn("no memory for the list");
		exit(CTL_FAILED);
	}
	for (size_t i = 0; i < n; i++)
		sorted[i] = json_array_get(array, i);
	qsort_r(sorted, n, sizeof(json_t *), text_compare, keys);
	return sorted;
}

static void text_help_options(FILE *out, const struct ctl_option *options)
{
	for (const struct ctl_option *o = options; o->name; o++) {
		char form[64];

		if (o->unsupported)
			continue;
		snprintf(form, sizeof(form), "--%s%s%s", o->name, o->value ? " " : "",
			 o->value ? o->value : "");
		if (o->letter)
			fprintf(out, "  -%c, %-22s %s%s\n", o->letter, form, o->help,
				o->many ? "; repeatable" : "");
		else
			fprintf(out, "      %-22s %s%s\n", form, o->help,
				o->many ? "; repeatable" : "");
	}
}

void ctl_help_verb(FILE *out, const struct ctl_verb *verb)
{
	bool named = verb == ctl_name_verb();

	fprintf(out, "usage: %s%s%s [OPTION]...%s%s\n\n", ctl_name(), named ? "" : " ",
		named ? "" : verb->name, verb->operands[0] ? " " : "", verb->operands);
	if (verb->summary[0])
		fprintf(out, "%c%s.\n\n", toupper((unsigned char)verb->summary[0]),
			verb->summary + 1);
	fprintf(out, "options:\n");
	text_help_options(out, verb->options);
	text_help_options(out, ctl_common_options);
}

void ctl_help_all(FILE *out)
{
	fprintf(out, "usage: %s [--root DIR] [--json] VERB [OPTION]...\n\nverbs:\n", ctl_name());
	for (const struct ctl_verb *v = ctl_verbs; v->name; v++) {
		if (v->summary[0])
			fprintf(out, "  %-16s %s\n", v->name, v->summary);
	}
	fprintf(out, "\noptions:\n");
	text_help_options(out, ctl_common_options);
	fprintf(out, "  -V, %-22s show the version\n", "--version");
	fprintf(out, "\n'%s help VERB' tells more.\n", ctl_name());
}

char *ctl_program_dir(void)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *slash;

	if (n < 0)
		return NULL;
	path[n] = '\0';
	slash = strrchr(path, '/');
	if (!slash) {
		errno = ENOENT;
		return NULL;
	}
	*(slash == path ? slash + 1 : slash) = '\0';
	return strdup(path);
}
