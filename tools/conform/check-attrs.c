/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks of attributes. Whether a text is a value of its row is decided before the driver sees it,
 * so a driver has to take whatever its rows allow, and a refusal of its own must change nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "regs.h"
#include "util/clock.h"

#define ATTRS_VALUES 24
#define ATTRS_TEXT   32

/* Texts worth trying on one attribute. */
struct attrs_values {
	char *texts[ATTRS_VALUES];
	uint32_t count;
};

static void attrs_add(struct attrs_values *values, const char *text, size_t len)
{
	if (values->count < ATTRS_VALUES)
		values->texts[values->count++] = strndup(text, len);
}

static void attrs_add_number(struct attrs_values *values, uint64_t number)
{
	char text[ATTRS_TEXT];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
	attrs_add(values, text, strlen(text));
}

static void attrs_add_words(struct attrs_values *values, const char *words)
{
	while (*words) {
		size_t len = strcspn(words, " ");

		attrs_add(values, words, len);
		words += len + strspn(words + len, " ");
	}
}

/* A text of @len bytes. */
static void attrs_add_length(struct attrs_values *values, uint64_t len)
{
	char text[4096];

	memset(text, 'x', sizeof(text));
	attrs_add(values, text, MIN(len, (uint64_t)sizeof(text)));
}

/* Values of @attr at its bounds and within. */
static void attrs_legal(const struct umdev_attr *attr, struct attrs_values *values)
{
	uint64_t max = attr->max ? attr->max : INT64_MAX;

	values->count = 0;
	attrs_add(values, attr->default_value, strlen(attr->default_value));
	switch (attr->kind) {
	case UMDEV_KIND_U64:
	case UMDEV_KIND_BYTES:
		attrs_add_number(values, attr->min);
		attrs_add_number(values, max);
		for (uint64_t i = 1; i < 8 && attr->min + i < max; i++)
			attrs_add_number(values, attr->min + i);
		break;
	case UMDEV_KIND_BOOL:
		attrs_add_words(values, "0 1");
		break;
	case UMDEV_KIND_ENUM:
		attrs_add_words(values, attr->choices);
		break;
	default:
		attrs_add_length(values, MAX(attr->min, UINT64_C(1)));
		attrs_add_length(values, attr->max ? attr->max : 64);
	}
}

/* Those that are just not. */
static void attrs_illegal(const struct umdev_attr *attr, struct attrs_values *values)
{
	values->count = 0;
	switch (attr->kind) {
	case UMDEV_KIND_U64:
	case UMDEV_KIND_BYTES:
		if (attr->min > 0)
			attrs_add_number(values, attr->min - 1);
		if (attr->max && attr->max < INT64_MAX)
			attrs_add_number(values, attr->max + 1);
		attrs_add_words(values, "-1 x");
		break;
	case UMDEV_KIND_BOOL:
		attrs_add_words(values, "2 maybe");
		break;
	case UMDEV_KIND_ENUM:
		attrs_add_words(values, "no-such-word");
		break;
	default:
		if (attr->max && attr->max < 4096)
			attrs_add_length(values, attr->max + 1);
	}
}

static void attrs_free(struct attrs_values *values)
{
	for (uint32_t i = 0; i < values->count; i++)
		free(values->texts[i]);
	values->count = 0;
}

static void attrs_up(struct kit *kit)
{
	kit_up(kit);
	if (kit->driver.attr_count == 0)
		verdict_skip("the driver has no attributes");
}

void check_attrs_bounds(struct kit *kit)
{
	const struct umdev_attr *a;

	attrs_up(kit);
	for (uint32_t i = 0; (a = driver_attr(&kit->driver, i)); i++) {
		struct umdev_value value = {.fd = -1};
		struct umdev_error err = {0};
		struct attrs_values values;

		attrs_legal(a, &values);
		/* The first is the default, which load.defaults is about. */
		for (uint32_t v = 1; v < values.count; v++) {
			if (bridge_attr_value(a, values.texts[v], &value, &err) < 0)
				verdict_fail("%s: '%.40s' lies within its row and is refused: %s",
					     a->name, values.texts[v], err.message);
			free((void *)(uintptr_t)value.text);
		}
		attrs_free(&values);
		attrs_illegal(a, &values);
		for (uint32_t v = 0; v < values.count; v++) {
			if (bridge_attr_value(a, values.texts[v], &value, &err) == 0)
				verdict_fail("%s: '%.40s' lies outside of its row and is taken",
					     a->name, values.texts[v]);
		}
		attrs_free(&values);
	}
	kit_close(kit);
}

void check_attrs_create(struct kit *kit)
{
	const struct umdev_attr *a;

	attrs_up(kit);
	kit_remove(kit_mdev(kit, 0));
	for (uint32_t i = 0; (a = driver_attr(&kit->driver, i)); i++) {
		struct attrs_values values;

		attrs_legal(a, &values);
		for (uint32_t v = 0; v < values.count; v++) {
			json_t *texts = json_pack("{s:s}", a->name, values.texts[v]);
			struct kit_create create = {.type_index = kit_type(kit), .attrs = texts};
			struct umdev_error err = {0};
			struct umdev_mdev *mdev = kit_create(kit, &create, &err);

			if (!mdev)
				verdict_fail("with %s=%.40s, which its row allows, no mdev is "
					     "made: %s",
					     a->name, values.texts[v], err.message);
			kit_remove(mdev);
			json_decref(texts);
		}
		attrs_free(&values);
	}
	kit_close(kit);
}

/* Sets an attribute as the host does after its own checks. */
static int attrs_set(struct umdev_mdev *mdev, uint32_t index, const struct umdev_value *value,
		     const char *name, struct umdev_error *err)
{
	int r;

	kit_enter(mdev->kit, "attr_set(%s=%.40s)", name, value->text);
	r = driver_attr_set(&mdev->kit->driver, mdev->priv, index, value, err);
	kit_leave(mdev->kit, "attr_set");
	return r;
}

void check_attrs_set(struct kit *kit)
{
	struct umdev_mdev *mdev;
	const struct umdev_attr *a;
	bool any = false;

	attrs_up(kit);
	mdev = kit_mdev(kit, 0);
	for (uint32_t i = 0; (a = driver_attr(&kit->driver, i)); i++) {
		struct attrs_values values;

		if (a->when == UMDEV_WHEN_CREATE)
			continue;
		any = true;
		if (a->when == UMDEV_WHEN_LIVE)
			kit_join(mdev);
		attrs_legal(a, &values);
		/* The bounds: what lies between may be refused, with a reason. */
		for (uint32_t v = 0; v < MIN(values.count, 3u); v++) {
			struct umdev_value value = {.fd = -1};
			struct umdev_error err = {0};

			if (bridge_attr_value(a, values.texts[v], &value, &err) == 0 &&
			    attrs_set(mdev, i, &value, a->name, &err) < 0)
				verdict_fail("%s=%.40s, which its row allows, is refused: %s",
					     a->name, values.texts[v], err.message);
			free((void *)(uintptr_t)value.text);
		}
		attrs_free(&values);
	}
	if (!any)
		verdict_skip("no attribute changes after creation");
	kit_close(kit);
}

/* Compares registers with those of before a refused change. */
static void attrs_unchanged(struct umdev_mdev *mdev, const struct regs *before,
			    const struct regs *ignored, const char *what)
{
	struct regs *after = regs_read(mdev);
	uint32_t bar;
	uint32_t at;

	if (regs_differ(before, after, ignored, &bar, &at))
		verdict_fail("%s was refused, and has changed offset 0x%x of BAR %u from 0x%x to "
			     "0x%x",
			     what, at, bar, regs_word(before, bar, at), regs_word(after, bar, at));
	free(after);
}

/* All values of one attribute, and what those leave that are refused. */
static void attrs_try(struct umdev_mdev *mdev, uint32_t index, const struct umdev_attr *a)
{
	struct attrs_values values;

	attrs_legal(a, &values);
	for (uint32_t v = 0; v < values.count; v++) {
		struct umdev_value value = {.fd = -1};
		struct umdev_error err = {0};
		struct regs *before = regs_read(mdev);
		struct regs *again = regs_read(mdev);
		struct regs *ignored = regs_volatile(before, again);
		char what[96];

		snprintf(what, sizeof(what), "%.40s=%.40s", a->name, values.texts[v]);
		if (bridge_attr_value(a, values.texts[v], &value, &err) == 0 &&
		    attrs_set(mdev, index, &value, a->name, &err) < 0)
			attrs_unchanged(mdev, before, ignored, what);
		free((void *)(uintptr_t)value.text);
		free(before);
		free(again);
		free(ignored);
	}
	attrs_free(&values);
}

void check_attrs_refusal(struct kit *kit)
{
	struct umdev_value value = {.text = "1", .number = 1, .fd = -1};
	struct umdev_error err = {0};
	struct umdev_mdev *mdev;
	const struct umdev_attr *a;

	attrs_up(kit);
	if (!kit->driver.table.attr_set)
		verdict_skip("no attribute changes after creation");
	mdev = kit_mdev(kit, 0);
	for (uint32_t i = 0; (a = driver_attr(&kit->driver, i)); i++) {
		if (a->when != UMDEV_WHEN_CREATE)
			attrs_try(mdev, i, a);
		else if (attrs_set(mdev, i, &value, a->name, &err) == 0)
			verdict_fail("%s, which only a definition may change, is set by attr_set",
				     a->name);
	}
	if (attrs_set(mdev, kit->driver.attr_count, &value, "no row", &err) == 0)
		verdict_fail("attr_set takes row %u of a table of %u", kit->driver.attr_count,
			     kit->driver.attr_count);
	kit_close(kit);
}
