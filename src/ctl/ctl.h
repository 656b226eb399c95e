/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the verbs of umdevctl share: the verb table, the parsed command line, calls to the daemon,
 * and the ways to print and to fail.
 *
 * A verb is one row of the table in verbs.c and one function that returns an exit code. Errors are
 * one line on stderr; with --json they are one line of JSON there. Results alone go to stdout.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <umdev/client.h>

#include "util/cleanup.h"
#include "util/error.h"

#define CTL_OK		0
#define CTL_FAILED	1
#define CTL_USAGE	2

#define CTL_MANY	0x7fffffff
#define CTL_UUID_STRING 37

struct ctl;

/* An option of a verb. */
struct ctl_option {
	const char *name;
	char letter;	   /* the short form, or 0 */
	const char *value; /* what the value is called in the help; NULL: a flag */
	const char *help;
	bool many;	  /* may be given more than once */
	bool unsupported; /* known, and refused as not there yet */
};

struct ctl_verb {
	const char *name;     /* one word, or two such as "parent add" */
	const char *operands; /* as the help says them, or "" */
	const char *summary;  /* "": not shown among the verbs */
	int min_operands;
	int max_operands;
	bool command; /* the operands are a command: what follows the first is its own */
	const struct ctl_option *options; /* ends with a NULL name */
	int (*run)(struct ctl *ctl);
};

struct ctl_value {
	const struct ctl_option *option;
	const char *value; /* NULL for a flag */
};

/* One command line, parsed. The texts belong to argv. */
struct ctl {
	const struct ctl_verb *verb;
	const char *root; /* as given, or NULL */
	bool json;
	bool help;
	bool version;
	struct ctl_value *values; /* owned */
	size_t n_values;
	const char **operands; /* owned, ends with NULL */
	size_t n_operands;
	struct umdev_client *client; /* owned; NULL until ctl_connect() */
};

/* The verb table (ends with a NULL name) and the options that every verb takes. */
extern const struct ctl_verb ctl_verbs[];
extern const struct ctl_option ctl_common_options[];

/* The verb called @first, or "@first @second" (may be NULL). *@ret_two says whether it took both.
 */
const struct ctl_verb *ctl_verb_find(const char *first, const char *second, bool *ret_two);

/* Whether @first begins the name of a verb of two words. */
bool ctl_verb_has_second(const char *first);

/* "umdevctl", or what else this program was called as: "mdevctl" or "lsmdev". */
const char *ctl_name(void);
bool ctl_is_mdevctl(void);

/* Called as mdevctl, returns when the tree of the daemon, if there is one, shows what has happened
 * to the mdev @uuid and has told udev's listeners of it. */
void ctl_wait_for_tree(const struct ctl *ctl, const char *uuid);

/* The verb that the name stands for, or NULL. */
const struct ctl_verb *ctl_name_verb(void);

/* Prints the one line of --version. */
void ctl_print_version(FILE *out);

/* Parses the command line into @ctl (zeroed before). Returns an exit code; errors are told. */
int ctl_parse(struct ctl *ctl, int argc, char **argv);

/* Frees what ctl_parse() and ctl_connect() made. */
void ctl_done(struct ctl *ctl);

/* The last value of an option, NULL when it was not given or is a flag. */
const char *ctl_get(const struct ctl *ctl, const char *option);
bool ctl_has(const struct ctl *ctl, const char *option);

/* Goes through the values of an option that may be given many times: *@at begins with 0; NULL ends.
 */
const char *ctl_next(const struct ctl *ctl, const char *option, size_t *at);

/* Tells a wrong use of the verb. Returns CTL_USAGE. */
int ctl_usage(const struct ctl *ctl, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Tells a failure. Returns CTL_FAILED. */
int ctl_fail(const struct ctl *ctl, const struct umdev_error *err);
int ctl_fail_word(const struct ctl *ctl, enum error_word word, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Tells what is odd without failing. */
void ctl_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* CTL_USAGE with the message that @first and @second exclude each other, when both were given. */
int ctl_conflict(const struct ctl *ctl, const char *first, const char *second);

/*
 * Connects to the daemon unless that is done. ctl_connect_quiet() leaves the telling to the
 * caller (umdev_client_error_message(NULL)).
 */
int ctl_connect(struct ctl *ctl);
int ctl_connect_quiet(struct ctl *ctl);

/*
 * Calls @method with @params (stolen; NULL is none; but a caller that failed to make them passes
 * json_null()). On CTL_OK the result is in *@ret_result (may be NULL if not wanted; else a new
 * reference).
 */
int ctl_call(struct ctl *ctl, const char *method, json_t *params, json_t **ret_result);

/* Sets @key of @params when @value is not NULL, or when @on is true. */
void ctl_put_text(json_t *params, const char *key, const char *value);
void ctl_put_flag(json_t *params, const char *key, bool on);

/* The value of an option as a normal UUID (lower case, with dashes). CTL_OK with @ret untouched
 * when it was not given; CTL_USAGE when it is malformed. */
int ctl_get_uuid(const struct ctl *ctl, const char *option, char ret[CTL_UUID_STRING]);

/* @text as a normal UUID. Returns whether it is one. */
bool ctl_uuid_parse(const char *text, char ret[CTL_UUID_STRING]);

/* A whole number from 0 to @max in an option's value; *@ret is kept when it was not given. */
int ctl_get_number(const struct ctl *ctl, const char *option, uint64_t max, uint64_t *ret);

/* Puts the value of an option as @key into @params when it was given: a percentage with at most two
 * decimals, from @min hundredths to 100; a whole number from @min to @max. */
int ctl_put_percent(const struct ctl *ctl, const char *option, const char *key, uint64_t min,
		    json_t *params);
int ctl_put_number(const struct ctl *ctl, const char *option, const char *key, uint64_t min,
		   uint64_t max, json_t *params);

/* Adds NAME=VALUE of every --@option to the array *@ret_pairs as {NAME: VALUE}, or to the object as
 * NAME: VALUE. */
int ctl_get_pairs(const struct ctl *ctl, const char *option, json_t *pairs);

/* Reads a whole file ("-": standard input) of at most @max bytes into a new text with a NUL behind
 * it. */
int ctl_read_file(const struct ctl *ctl, const char *path, size_t max, char **ret_text,
		  size_t *ret_len);

/* Reads the object in the file of --jsonfile, which may be /dev/stdin. */
int ctl_read_definition(const struct ctl *ctl, const char *path, json_t **ret_definition);

/* The parameters that define and start share. The caller frees *@ret_params. */
int ctl_mdev_params(const struct ctl *ctl, json_t **ret_params);

/* Prints as mdevctl prints JSON: two spaces, short escapes, lower-case hex; @end after it. */
void ctl_print_json(const json_t *value, const char *end);

/* Prints @value on one line. */
void ctl_print_json_line(const json_t *value);

/* The text at @key of @object, or "". */
const char *ctl_text(const json_t *object, const char *key);

/* The objects of @array sorted by the texts at two keys; freed by the caller, ends with NULL. */
json_t **ctl_sorted(const json_t *array, const char *first_key, const char *second_key);

/* Writes the help of one verb, or of all. */
void ctl_help_verb(FILE *out, const struct ctl_verb *verb);
void ctl_help_all(FILE *out);

/* The directory in which this program lies; freed by the caller; NULL with errno set. */
char *ctl_program_dir(void);

/* The verbs. */
int ctl_parent_add(struct ctl *ctl);
int ctl_parent_remove(struct ctl *ctl);
int ctl_parent_list(struct ctl *ctl);
int ctl_types(struct ctl *ctl);
int ctl_list(struct ctl *ctl);
int ctl_define(struct ctl *ctl);
int ctl_undefine(struct ctl *ctl);
int ctl_modify(struct ctl *ctl);
int ctl_start(struct ctl *ctl);
int ctl_start_parent_mdevs(struct ctl *ctl);
int ctl_stop(struct ctl *ctl);
int ctl_qos(struct ctl *ctl);
int ctl_plan(struct ctl *ctl);
int ctl_blame(struct ctl *ctl);
int ctl_group_list(struct ctl *ctl);
int ctl_group_show(struct ctl *ctl);
int ctl_group_start(struct ctl *ctl);
int ctl_group_stop(struct ctl *ctl);
int ctl_group_qos(struct ctl *ctl);
int ctl_qemu_args(struct ctl *ctl);
int ctl_create(struct ctl *ctl);
int ctl_xml(struct ctl *ctl);
int ctl_events(struct ctl *ctl);
int ctl_save(struct ctl *ctl);
int ctl_restore(struct ctl *ctl);
int ctl_upgrade(struct ctl *ctl);
int ctl_doctor(struct ctl *ctl);
int ctl_run(struct ctl *ctl);
int ctl_version(struct ctl *ctl);
int ctl_help(struct ctl *ctl);
