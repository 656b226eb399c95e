/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The command line. Options stand before or after the verb's operands, in the forms --name VALUE,
 * --name=VALUE, -n VALUE, -nVALUE, -n=VALUE, and flags together as in -dv. Names are not
 * abbreviated. "--" ends the options.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"

/* What is still to be read of argv. */
struct args_cursor {
	char **argv;
	int argc;
	int at;
	const char *first; /* the first word of a verb of two, until the second came */
	bool operands_only;
};

static const struct ctl_option *args_find_in(const struct ctl_option *options, const char *name,
					     size_t len, char letter)
{
	for (; options && options->name; options++) {
		if (letter ? options->letter == letter
			   : strlen(options->name) == len && strncmp(options->name, name, len) == 0)
			return options;
	}
	return NULL;
}

/* The option of the verb (once there is one) or of all verbs, by name or by letter. */
static const struct ctl_option *args_find(const struct ctl *ctl, const char *name, size_t len,
					  char letter)
{
	const struct ctl_option *o;

	o = args_find_in(ctl->verb ? ctl->verb->options : NULL, name, len, letter);
	return o ? o : args_find_in(ctl_common_options, name, len, letter);
}

/* Whether a word can be sent to the daemon. Names of files need not be UTF-8, all else must. */
static bool args_is_text(const char *word)
{
	json_t *text = json_string(word);

	json_decref(text);
	return text != NULL;
}

static bool args_is_path(const struct ctl_option *option)
{
	return strcmp(option->name, "root") == 0 || strcmp(option->name, "jsonfile") == 0 ||
	       strcmp(option->name, "file") == 0;
}

/* Notes one option. @value is NULL for a flag. */
static int args_note(struct ctl *ctl, const struct ctl_option *option, const char *value)
{
	if (option->unsupported)
		return ctl_fail_word(ctl, ERROR_INVALID,
				     "option '--%s' is not supported by this version; leave it out",
				     option->name);
	if (option->value && !option->many && ctl_has(ctl, option->name))
		return ctl_usage(ctl, "option '--%s' is given twice", option->name);
	if (value && !args_is_path(option) && !args_is_text(value))
		return ctl_usage(ctl, "the value of option '--%s' is not UTF-8", option->name);
	if (strcmp(option->name, "root") == 0)
		ctl->root = value;
	if (strcmp(option->name, "json") == 0)
		ctl->json = true;
	if (strcmp(option->name, "help") == 0)
		ctl->help = true;
	ctl->values[ctl->n_values++] = (struct ctl_value){option, value};
	return CTL_OK;
}

/* The next word as the value of @option. */
static int args_take_value(struct ctl *ctl, struct args_cursor *cursor,
			   const struct ctl_option *option)
{
	const char *word = cursor->at < cursor->argc ? cursor->argv[cursor->at] : NULL;

	if (!word || strncmp(word, "--", 2) == 0)
		return ctl_usage(ctl, "option '--%s' needs a value: %s", option->name,
				 option->value);
	cursor->at++;
	return args_note(ctl, option, word);
}

/* mdevctl takes -V and --version behind a verb, too. */
static bool args_may_ask_version(const struct ctl *ctl)
{
	return !ctl->verb || ctl_is_mdevctl();
}

static int args_long(struct ctl *ctl, struct args_cursor *cursor, const char *word)
{
	const char *name = word + 2;
	const char *equals = strchr(name, '=');
	size_t len = equals ? (size_t)(equals - name) : strlen(name);
	const struct ctl_option *option = args_find(ctl, name, len, 0);

	if (!option && args_may_ask_version(ctl) && strcmp(name, "version") == 0) {
		ctl->version = true;
		return CTL_OK;
	}
	if (!option)
		return ctl_usage(ctl, "unknown option '--%.*s'", (int)len, name);
	if (!option->value && equals)
		return ctl_usage(ctl, "option '--%s' takes no value", option->name);
	if (!option->value)
		return args_note(ctl, option, NULL);
	if (equals)
		return args_note(ctl, option, equals + 1);
	return args_take_value(ctl, cursor, option);
}

static int args_short(struct ctl *ctl, struct args_cursor *cursor, const char *word)
{
	for (const char *c = word + 1; *c; c++) {
		const struct ctl_option *option = args_find(ctl, NULL, 0, *c);
		int r;

		if (!option && args_may_ask_version(ctl) && *c == 'V') {
			ctl->version = true;
			continue;
		}
		if (!option)
			return ctl_usage(ctl, "unknown option '-%c'", *c);
		if (option->value && c[1])
			return args_note(ctl, option, c[1] == '=' ? c + 2 : c + 1);
		r = option->value ? args_take_value(ctl, cursor, option)
				  : args_note(ctl, option, NULL);
		if (r != CTL_OK)
			return r;
	}
	return CTL_OK;
}

/* A word that is no option: the verb, its second word, or an operand. */
static int args_word(struct ctl *ctl, struct args_cursor *cursor, const char *word)
{
	bool two = false;

	if (ctl->verb) {
		if (ctl->n_operands >= (size_t)ctl->verb->max_operands)
			return ctl_usage(ctl, "'%s' is too much", word);
		if (!ctl->verb->command && !args_is_text(word))
			return ctl_usage(ctl, "'%s' is not UTF-8", word);
		ctl->operands[ctl->n_operands++] = word;
		if (ctl->verb->command)
			cursor->operands_only = true;
		return CTL_OK;
	}
	if (!cursor->first && ctl_verb_has_second(word)) {
		cursor->first = word;
		return CTL_OK;
	}
	if (cursor->first)
		ctl->verb = ctl_verb_find(cursor->first, word, &two);
	else
		ctl->verb = ctl_verb_find(word, NULL, &two);
	if (!ctl->verb)
		return ctl_usage(ctl, "unknown verb '%s%s%s'", cursor->first ? cursor->first : "",
				 cursor->first ? " " : "", word);
	return CTL_OK;
}

static int args_one(struct ctl *ctl, struct args_cursor *cursor)
{
	const char *word = cursor->argv[cursor->at++];

	if (cursor->operands_only || word[0] != '-' || !word[1])
		return args_word(ctl, cursor, word);
	if (strcmp(word, "--") == 0) {
		cursor->operands_only = true;
		return CTL_OK;
	}
	if (word[1] == '-')
		return args_long(ctl, cursor, word);
	return args_short(ctl, cursor, word);
}

int ctl_parse(struct ctl *ctl, int argc, char **argv)
{
	struct args_cursor cursor = {.argv = argv, .argc = argc, .at = 1};

	/* A word holds at most one option per character. */
	size_t room = 1;

	ctl->verb = ctl_name_verb();
	for (int i = 1; i < argc; i++)
		room += strlen(argv[i]) + 1;
	ctl->values = calloc(room, sizeof(*ctl->values));
	ctl->operands = calloc((size_t)argc + 1, sizeof(*ctl->operands));
	if (!ctl->values || !ctl->operands)
		return ctl_fail_word(ctl, ERROR_NO_MEMORY, "no memory for the command line");
	while (cursor.at < argc) {
		int r = args_one(ctl, &cursor);

		if (r != CTL_OK)
			return r;
	}
	if (ctl->help || ctl->version)
		return CTL_OK;
	if (cursor.first && !ctl->verb)
		return ctl_usage(ctl, "'%s' needs one of its verbs", cursor.first);
	if (!ctl->verb)
		return ctl_usage(ctl, "no verb is given");
	if (ctl->n_operands < (size_t)ctl->verb->min_operands)
		return ctl_usage(ctl, "%s is missing", ctl->verb->operands);
	return CTL_OK;
}

void ctl_done(struct ctl *ctl)
{
	free(ctl->values);
	free(ctl->operands);
	umdev_client_free(ctl->client);
}

const char *ctl_next(const struct ctl *ctl, const char *option, size_t *at)
{
	while (*at < ctl->n_values) {
		const struct ctl_value *v = &ctl->values[(*at)++];

		if (strcmp(v->option->name, option) == 0)
			return v->value;
	}
	return NULL;
}

const char *ctl_get(const struct ctl *ctl, const char *option)
{
	size_t at = 0;

	return ctl_next(ctl, option, &at);
}

bool ctl_has(const struct ctl *ctl, const char *option)
{
	for (size_t i = 0; i < ctl->n_values; i++) {
		if (strcmp(ctl->values[i].option->name, option) == 0)
			return true;
	}
	return false;
}

int ctl_conflict(const struct ctl *ctl, const char *first, const char *second)
{
	if (!ctl_has(ctl, first) || !ctl_has(ctl, second))
		return CTL_OK;
	return ctl_usage(ctl, "options '--%s' and '--%s' exclude each other", first, second);
}
