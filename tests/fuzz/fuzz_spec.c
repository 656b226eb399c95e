/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Words and numbers that people write, and the tables of a driver by which they are checked: every
 * text against every kind of value, and tables of options, attributes and types that a host might
 * declare.
 *
 * Input: what to do, texts ended by 0x00.
 */
#include <errno.h>

#include "model/address.h"
#include "model/ident.h"
#include "model/knobs.h"
#include "model/spec.h"
#include "model/type.h"
#include "util/parse.h"

#include "fuzz.h"

static void fuzz_one_line(const struct umdev_error *err)
{
	fuzz_check(err->message[0] && !strchr(err->message, '\n'));
}

/* ---- Texts ---- */

static void fuzz_parse(const char *text)
{
	uint64_t number = 7;
	uint64_t again = 0;
	char print[32];
	bool flag;

	if (parse_u64(text, &number) == 0) {
		snprintf(print, sizeof(print), "%llu", (unsigned long long)number);
		fuzz_check(parse_u64(print, &again) == 0 && again == number);
		fuzz_check(parse_bytes(text, &again) == 0 && again == number);
	} else {
		fuzz_check(number == 7);
	}
	if (parse_hundredths(text, &number) == 0 && number <= KNOBS_CAP_NONE) {
		knobs_percent((uint32_t)number, print);
		fuzz_check(parse_hundredths(print, &again) == 0 && again == number);
	}
	(void)!parse_bytes(text, &number);
	(void)!parse_bool(text, &flag);
	if (parse_choice(text, "one two three-and-more", &number) == 0)
		fuzz_check(number < 3);
}

static void fuzz_ident(const char *text)
{
	char uuid[IDENT_UUID_SIZE];
	char again[IDENT_UUID_SIZE];
	struct address address;
	char path[ADDRESS_PATH_SIZE];

	if (ident_uuid_parse(text, uuid) == 0) {
		fuzz_check(strlen(text) == 36 && ident_uuid_parse(uuid, again) == 0);
		fuzz_check(strcmp(uuid, again) == 0);
	}
	if (ident_parent_name_ok(text)) {
		fuzz_check(text[0] != '.' && !strchr(text, '/') &&
			   strlen(text) <= IDENT_PARENT_NAME_MAX);
		address_of(text, &address);
		address_print(&address, path);
		address_path(&address, text, path);
		fuzz_check(strncmp(path, "/sys/devices/", 13) == 0);
		fuzz_check(!address.own || strcmp(address_subsystem(&address), "pci") == 0);
	}
	if (ident_attr_name_ok(text))
		fuzz_check(!strstr(text, "..") || !strstr(text, "/../"));
	if (ident_line_ok(text, IDENT_TEXT_MAX))
		fuzz_check(!strchr(text, '\n') && text[0]);
	(void)ident_driver_name_ok(text);
	(void)ident_word_ok(text);
	(void)ident_type_local_ok(text);
}

/* Every row of @table with that value. */
static void fuzz_values(const struct spec_table *table, const char *text)
{
	struct umdev_error err;
	uint64_t number;

	for (size_t i = 0; i < table->count; i++) {
		const struct spec *spec = &table->rows[i];

		err = (struct umdev_error){0};
		number = UINT64_MAX;
		if (spec_check(spec, text, &number, &err) == 0) {
			fuzz_check(strlen(text) <= SPEC_VALUE_MAX);
			fuzz_check(spec_check(spec, text, NULL, NULL) == 0);
		} else {
			fuzz_one_line(&err);
		}
		if (spec->default_value)
			fuzz_check(spec_check(spec, spec->default_value, NULL, NULL) == 0);
		fuzz_check(spec_find(table, spec->name) == spec);
		fuzz_check(spec_local_name(spec)[0]);
	}
}

static void fuzz_name(const struct spec_table *table, const char *name)
{
	struct umdev_error err = {0};
	const struct spec *spec = spec_find_attr(table, "nvme", name, &err);

	if (!spec)
		fuzz_one_line(&err);
}

/* ---- Tables ---- */

static void fuzz_spec_table(const json_t *rows, enum spec_use use, const char *text)
{
	struct spec_table table = {0};
	struct umdev_error err = {0};

	if (spec_table_parse(rows, use, "nvme", &table, &err) < 0) {
		fuzz_one_line(&err);
		fuzz_check(table.count == 0);
		return;
	}
	fuzz_check(table.count <= SPEC_ROWS_MAX);
	fuzz_values(&table, text);
	if (use == SPEC_ATTRS)
		fuzz_name(&table, text);
	spec_table_done(&table);
}

static void fuzz_type(const struct type *type)
{
	struct pool pool;
	json_t *json;

	fuzz_check(type->id && type->name && type->want.cost > 0);
	fuzz_check(strncmp(type->id, "nvme-", 5) == 0);
	fuzz_check(pool_init(&pool, 1000, 10) == 0);
	json = type_print(type, "p0", &pool);
	fuzz_check(json);
	json_decref(json);
	pool_done(&pool);
}

static void fuzz_type_table(const json_t *rows, const char *text)
{
	struct type_table table = {0};
	struct type_choice choice;
	struct umdev_error err = {0};
	char nearest[200];

	if (type_table_parse(rows, "nvme", &table, &err) < 0) {
		fuzz_one_line(&err);
		fuzz_check(table.count == 0);
		return;
	}
	fuzz_check(table.count > 0 && table.count <= TYPE_COUNT_MAX);
	for (size_t i = 0; i < table.count; i++) {
		fuzz_type(&table.types[i]);
		fuzz_check(type_find_id(&table, table.types[i].id) == &table.types[i]);
		fuzz_check(type_find_name(&table, table.types[i].name) == &table.types[i]);
	}
	fuzz_check(type_table_extends(&table, &table));
	type_nearest(&table, text, NULL, nearest, sizeof(nearest));
	type_nearest(&table, NULL, text, nearest, sizeof(nearest));
	if (type_resolve(&table, "p0", text, NULL, &choice, &err) < 0)
		fuzz_one_line(&err);
	err = (struct umdev_error){0};
	if (type_resolve(&table, "p0", text, table.types[0].name, &choice, &err) == 0)
		fuzz_check(strcmp(choice.type->name, table.types[0].name) == 0);
	else
		fuzz_one_line(&err);
	type_table_done(&table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {.at = data, .left = size};
	struct umdev_error err = {0};
	uint8_t how = fuzz_byte(&in);
	char *text = fuzz_text(&in, 0);
	char *table = fuzz_text(&in, 0);
	json_t *rows;

	if (how & 1) {
		fuzz_parse(text);
		fuzz_ident(text);
		fuzz_values(spec_standard(), text);
		fuzz_values(spec_standard_options(), text);
		fuzz_name(NULL, text);
		if (type_class_check(text, &err) < 0)
			fuzz_one_line(&err);
	}
	rows = json_loads(table, JSON_REJECT_DUPLICATES, NULL);
	if (rows && how & 2)
		fuzz_spec_table(rows, SPEC_OPTIONS, text);
	if (rows && how & 4)
		fuzz_spec_table(rows, SPEC_ATTRS, text);
	if (rows && how & 8)
		fuzz_type_table(rows, text);
	json_decref(rows);
	free(table);
	free(text);
	return 0;
}
