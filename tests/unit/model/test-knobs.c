/* SPDX-License-Identifier: BSD-3-Clause */
/* Knobs: read from definitions and written to them, and refused where a type does not honour them.
 */
#include "model/knobs.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <umdev/driver.h>

#include <cmocka.h>

#include "model/definition.h"
#include "model/type.h"

static void expect(const struct definition *d, uint32_t cap, uint32_t weight, uint32_t priority)
{
	const struct knobs want = {.cap = cap, .weight = weight, .priority = priority};
	struct knobs got;

	knobs_read(d, &got);
	assert_int_equal(got.cap, cap);
	assert_int_equal(got.weight, weight);
	assert_int_equal(got.priority, priority);
	assert_true(knobs_equal(&got, &want));
}

static void write_knob(struct definition *d, const char *name, const char *text)
{
	struct umdev_error err = {0};

	if (knobs_write(d, name, text, &err) < 0)
		fail_msg("%s", err.message);
}

static void test_read(void **state)
{
	struct definition *d = definition_new("nvme-1g", NULL);

	(void)state;
	expect(d, 10000, 100, 0);
	assert_int_equal(definition_add_attr(d, SIZE_MAX, "mdev/cap", "12.5", NULL), 0);
	assert_int_equal(definition_add_attr(d, SIZE_MAX, "mdev/priority", "7", NULL), 0);
	expect(d, 1250, 100, 7);
	/* The last one counts; a text that means nothing is the default. */
	assert_int_equal(definition_add_attr(d, SIZE_MAX, "mdev/cap", "0.01", NULL), 0);
	assert_int_equal(definition_add_attr(d, SIZE_MAX, "mdev/weight", "much", NULL), 0);
	expect(d, 1, 100, 7);
	definition_free(d);
}

static void test_write(void **state)
{
	struct definition *d = definition_new("nvme-1g", NULL);
	struct umdev_error err = {0};
	json_t *attrs;
	json_t *got;

	(void)state;
	write_knob(d, "mdev/weight", "100"); /* as it is: nothing to say */
	assert_int_equal(d->attr_count, 0);
	write_knob(d, "mdev/weight", "200");
	assert_int_equal(definition_add_attr(d, SIZE_MAX, "x/y", "z", NULL), 0);
	write_knob(d, "mdev/cap", "60");
	write_knob(d, "mdev/weight", "300");
	write_knob(d, "mdev/cap", "60.00");
	expect(d, 6000, 300, 0);
	attrs = json_pack("[{s:s},{s:s},{s:s}]", "mdev/weight", "300", "x/y", "z", "mdev/cap",
			  "60");
	got = definition_print_attrs(d);
	assert_true(json_equal(attrs, got));
	json_decref(attrs);
	json_decref(got);
	write_knob(d, "mdev/cap", "100");
	expect(d, 10000, 300, 0);
	assert_int_equal(knobs_write(d, "mdev/cap", "100.01", &err), -EINVAL);
	assert_string_equal(err.key, "mdev/cap");
	assert_int_equal(knobs_write(d, "mdev/priority", "8", &err), -EINVAL);
	expect(d, 10000, 300, 0);
	definition_free(d);
}

static void test_write_limit(void **state)
{
	struct definition *d = definition_new("nvme-1g", NULL);
	struct umdev_error err = {0};

	(void)state;
	write_knob(d, "mdev/cap", "50");
	while (d->attr_count < DEFINITION_ATTRS_MAX)
		assert_int_equal(definition_add_attr(d, SIZE_MAX, "x/y", "z", NULL), 0);
	write_knob(d, "mdev/cap", "40");
	assert_int_equal(knobs_write(d, "mdev/weight", "1", &err), -EDQUOT);
	assert_int_equal(err.word, ERROR_LIMIT);
	expect(d, 4000, 100, 0);
	definition_free(d);
}

static void refused(const struct definition *d, const struct type *type, const char *key,
		    const char *message)
{
	struct umdev_error err = {0};

	assert_int_equal(knobs_check(d, type, "U", &err), -EINVAL);
	assert_int_equal(err.word, ERROR_INVALID);
	assert_string_equal(err.key, key);
	assert_string_equal(err.message, message);
}

static void test_check(void **state)
{
	char id[] = "nvme-1g";
	struct type type = {.id = id, .qos = UMDEV_QOS_CAP | UMDEV_QOS_PRIORITY};
	struct definition *d = definition_new("nvme-1g", NULL);
	struct umdev_error err = {0};

	(void)state;
	write_knob(d, "mdev/cap", "50");
	write_knob(d, "mdev/priority", "1");
	assert_int_equal(definition_add_attr(d, SIZE_MAX, "mdev/weight", "100", NULL), 0);
	assert_int_equal(knobs_check(d, &type, "U", &err), 0);
	write_knob(d, "mdev/weight", "99");
	refused(d, &type, "mdev/weight",
		"mdev U: type nvme-1g does not honour mdev/weight (it honours mdev/cap, "
		"mdev/priority): leave that at 100");
	type.qos = 0;
	refused(d, &type, "mdev/cap",
		"mdev U: type nvme-1g does not honour mdev/cap (it honours no knob): leave that at "
		"100");
	type.qos = UMDEV_QOS_CAP | UMDEV_QOS_WEIGHT | UMDEV_QOS_PRIORITY;
	assert_int_equal(knobs_check(d, &type, "U", &err), 0);
	definition_free(d);
}

static void test_percent(void **state)
{
	static const struct {
		uint32_t hundredths;
		const char *text;
		double number;
	} samples[] = {{1, "0.01", 0.01},
		       {10, "0.1", 0.1},
		       {1250, "12.5", 12.5},
		       {1205, "12.05", 12.05},
		       {10000, "100", 100.0}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		char text[KNOBS_PERCENT_SIZE];
		json_t *json = knobs_percent_json(samples[i].hundredths);

		knobs_percent(samples[i].hundredths, text);
		assert_string_equal(text, samples[i].text);
		assert_true(json_number_value(json) == samples[i].number);
		json_decref(json);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),	    cmocka_unit_test(test_write),
		cmocka_unit_test(test_write_limit), cmocka_unit_test(test_check),
		cmocka_unit_test(test_percent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
