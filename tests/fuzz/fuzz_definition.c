/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Definitions of mdevs: files that tools and people have written, and changes to them. What was
 * read can be written, read again and is the same; after any change it still can.
 *
 * Input: the text of a file, 0x00, changes. A change is a byte and texts, each ended by 0x00.
 */
#include "model/definition.h"
#include "model/knobs.h"

#include "fuzz.h"

#define CHANGES_MAX 40

static const char fuzz_attrs[] =
	"[{\"name\":\"queues\",\"description\":\"n\",\"default\":\"64\",\"min\":1,\"max\":64,"
	"\"kind\":1,\"when\":0},"
	"{\"name\":\"doorbells\",\"description\":\"d\",\"default\":\"auto\",\"choices\":\"auto "
	"trapped\",\"kind\":4,\"when\":0},"
	"{\"name\":\"serial\",\"description\":\"s\",\"default\":\"\",\"max\":20,\"kind\":0,\"when\":0}]";

static struct spec_table fuzz_table(void)
{
	static struct spec_table table;
	struct umdev_error err = {0};
	json_t *rows;

	if (table.count > 0)
		return table;
	rows = json_loads(fuzz_attrs, 0, NULL);
	fuzz_check(spec_table_parse(rows, SPEC_ATTRS, "nvme", &table, &err) == 0);
	json_decref(rows);
	return table;
}

/* Written and read again it is the same. */
static void fuzz_round(const struct definition *definition)
{
	json_t *json = definition_print(definition);
	char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
	struct definition *again = NULL;
	struct definition *copy = definition_dup(definition);
	struct umdev_error err = {0};

	fuzz_check(text && copy);
	fuzz_check(definition_parse_text(text, strlen(text), &again, &err) == 0);
	fuzz_check(definition_equal(definition, again) && definition_equal(again, copy));
	definition_free(again);
	definition_free(copy);
	free(text);
	json_decref(json);
}

static void fuzz_put_json(struct definition *d, const char *name, const char *text,
			  struct umdev_error *err)
{
	json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);

	if (json_is_number(json))
		(void)!knobs_put(d, name, json, err);
	else if (json)
		(void)!definition_set_attrs(d, json, err);
	json_decref(json);
}

static void fuzz_change(struct definition *d, const struct definition *old, struct fuzz_input *in)
{
	static const char *const knobs[] = {KNOBS_ATTR_CAP, KNOBS_ATTR_WEIGHT, KNOBS_ATTR_PRIORITY,
					    KNOBS_ATTR_MIN_SHARE};
	struct umdev_error err = {0};
	struct spec_table table = fuzz_table();
	uint8_t how = fuzz_byte(in);
	size_t index = how & 128 ? SIZE_MAX : how >> 4 & 7;
	char *name = fuzz_text(in, 0);
	char *value = fuzz_text(in, 0);
	int r = 0;

	switch (how & 7) {
	case 0:
		r = definition_add_attr(d, index, name, value, &err);
		break;
	case 1:
		r = definition_put_attr(d, name, value, &err);
		break;
	case 2:
		r = definition_del_attr(d, index, &err);
		break;
	case 3:
		r = definition_check_attrs(d, how & 16 ? &table : NULL, "nvme", &err);
		break;
	case 4:
		fuzz_put_json(d, knobs[index & 3], value, &err);
		break;
	case 5:
		r = definition_adopt(d, old);
		fuzz_check(r >= 0);
		r = 0;
		break;
	default:
		r = knobs_write(d, knobs[index & 3], value, &err);
		break;
	}
	fuzz_check(r == 0 || err.message[0]);
	fuzz_check(!strchr(err.message, '\n'));
	free(name);
	free(value);
}

static void fuzz_look(const struct definition *d)
{
	char group[IDENT_UUID_SIZE];
	char again[IDENT_UUID_SIZE];
	struct knobs knobs;

	definition_group(d, group);
	fuzz_check(!group[0] || ident_uuid_parse(group, again) == 0);
	knobs_read(d, &knobs);
	fuzz_check(knobs.cap >= KNOBS_CAP_MIN && knobs.cap <= KNOBS_CAP_NONE);
	fuzz_check(knobs.weight >= KNOBS_WEIGHT_MIN && knobs.weight <= KNOBS_WEIGHT_MAX);
	fuzz_check(knobs.priority <= KNOBS_PRIORITY_MAX);
	fuzz_check(knobs_min_share(d) <= 10000);
	fuzz_check(d->attr_count <= DEFINITION_ATTRS_MAX);
	for (size_t i = 0; i < d->attr_count; i++)
		fuzz_check(definition_attr(d, d->attrs[i].name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {.at = data, .left = size};
	struct definition *definition = NULL;
	struct definition *old;
	struct umdev_error err = {0};
	char *text = fuzz_text(&in, 0);
	int r = definition_parse_text(text, strlen(text), &definition, &err);

	free(text);
	fuzz_check(r <= 0 && (r == 0) == (definition != NULL));
	if (r < 0) {
		fuzz_check(err.message[0] && !strchr(err.message, '\n'));
		return 0;
	}
	fuzz_look(definition);
	fuzz_round(definition);
	old = definition_dup(definition);
	fuzz_check(old);
	for (int i = 0; in.left > 0 && i < CHANGES_MAX; i++)
		fuzz_change(definition, old, &in);
	fuzz_look(definition);
	fuzz_round(definition);
	definition_free(old);
	definition_free(definition);
	return 0;
}
