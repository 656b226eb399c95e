/* SPDX-License-Identifier: BSD-3-Clause */
/* Types: published all or nothing, shown with what the pool has, and found by id and name. */
#include "model/type.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define STORAGE "\"class\":\"storage\",\"attrs\":[[\"capacity\",null],[\"block_size\",\"512\"]]"

static const char three[] =
	"[{\"id\":\"1g\",\"name\":\"umdev NVMe 1 GiB\",\"cost\":1073741824,\"qos\":3," STORAGE "},"
	"{\"id\":\"4g\",\"name\":\"umdev NVMe 4 GiB\",\"cost\":4294967296," STORAGE "},"
	"{\"id\":\"rest\",\"name\":\"umdev NVMe rest\",\"cost\":1048576,\"flags\":1," STORAGE "}]";

static int parse(const char *text, struct type_table *t, struct umdev_error *err)
{
	json_t *types = json_loads(text, 0, NULL);
	int r;

	assert_non_null(types);
	r = type_table_parse(types, "nvme", t, err);
	json_decref(types);
	return r;
}

static void test_publish(void **state)
{
	struct type_table t = {0};
	struct umdev_error err = {0};
	struct pool pool;
	struct pool_range piece;
	json_t *shown;

	(void)state;
	assert_int_equal(parse(three, &t, &err), 0);
	assert_int_equal(t.count, 3);
	assert_string_equal(t.types[0].id, "nvme-1g");
	assert_int_equal(pool_init(&pool, 8ULL << 30, 1 << 20), 0);
	assert_int_equal(pool_claim(&pool, "a", &t.types[0].want, &piece), 0);

	shown = type_print(&t.types[0], "disk0", &pool);
	assert_int_equal(json_integer_value(json_object_get(shown, "available_instances")), 7);
	assert_int_equal(json_integer_value(json_object_get(shown, "max_instances")), 8);
	assert_string_equal(json_string_value(json_object_get(json_object_get(shown, "attributes"),
							      "capacity")),
			    "1073741824");
	assert_int_equal(json_array_size(json_object_get(shown, "qos")), 2);
	assert_string_equal(json_string_value(json_object_get(shown, "device_api")), "vfio-pci");
	assert_null(json_object_get(shown, "description"));
	json_decref(shown);

	shown = type_print(&t.types[2], "disk0", &pool);
	assert_int_equal(json_integer_value(json_object_get(shown, "available_instances")), 1);
	assert_string_equal(json_string_value(json_object_get(json_object_get(shown, "attributes"),
							      "capacity")),
			    "7516192768");
	json_decref(shown);
	pool_done(&pool);
	type_table_done(&t);
}

static void test_refused(void **state)
{
	static const struct {
		const char *types;
		const char *key;
	} bad[] = {
		{"[]", ""},
		{"{}", ""},
		{"[1]", "id"},
		{"[{\"id\":\"../1\",\"name\":\"n\",\"cost\":1," STORAGE "}]", "id"},
		{"[{\"id\":\"1\",\"name\":\"a\\nb\",\"cost\":1," STORAGE "}]", "name"},
		{"[{\"id\":\"1\",\"name\":\"n\",\"cost\":0," STORAGE "}]", "cost"},
		{"[{\"id\":\"1\",\"name\":\"n\",\"cost\":-1," STORAGE "}]", "cost"},
		{"[{\"id\":\"1\",\"name\":\"n\",\"cost\":1.5," STORAGE "}]", ""},
		{"[{\"id\":\"1\",\"name\":\"n\",\"cost\":1,\"flags\":2," STORAGE "}]", "flags"},
		{"[{\"id\":\"1\",\"name\":\"n\",\"cost\":1,\"qos\":8," STORAGE "}]", "qos"},
		{"[{\"id\":\"1\",\"name\":\"n\",\"cost\":1,\"group_scope\":3," STORAGE "}]",
		 "group_scope"},
		{"[{\"id\":\"1\",\"name\":\"n\",\"cost\":1,\"requires_group\":1," STORAGE "}]",
		 "requires_group"},
		{"[{\"id\":\"1\",\"name\":\"n\",\"cost\":1,\"class\":\"toaster\"}]", ""},
		{"[{\"id\":\"1\",\"name\":\"n\",\"cost\":1,\"class\":\"storage\","
		 "\"attrs\":[[\"capacity\",null]]}]",
		 "block_size"},
		{"[{\"id\":\"1\",\"name\":\"n\",\"cost\":1,\"class\":\"storage\","
		 "\"attrs\":[[\"capacity\",\"1G\"],[\"block_size\",\"512\"]]}]",
		 "capacity"},
		{"[{\"id\":\"1\",\"name\":\"n\",\"cost\":1,\"class\":\"storage\","
		 "\"attrs\":[[\"capacity\",null],[\"block_size\",null]]}]",
		 "block_size"},
		{"[{\"id\":\"1\",\"name\":\"n\",\"cost\":1,\"class\":\"display\",\"attrs\":"
		 "[[\"fb_length\",\"16\"],[\"max_resolution\",\"1x1\"],[\"heads\",\"1\"]]}]",
		 "fb_length"},
		{"[{\"id\":\"1\",\"name\":\"n\",\"cost\":1,\"class\":\"display\",\"attrs\":"
		 "[[\"fb_length\",\"16M\"],[\"max_resolution\",\"1920\"],[\"heads\",\"1\"]]}]",
		 "max_resolution"},
		{"[{\"id\":\"1\",\"name\":\"n\",\"cost\":1," STORAGE "},"
		 "{\"id\":\"1\",\"name\":\"m\",\"cost\":1," STORAGE "}]",
		 "id"},
		{"[{\"id\":\"1\",\"name\":\"n\",\"cost\":1," STORAGE "},"
		 "{\"id\":\"2\",\"name\":\"n\",\"cost\":1," STORAGE "}]",
		 "name"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct type_table t = {0};
		struct umdev_error err = {0};

		if (parse(bad[i].types, &t, &err) != -EIO)
			fail_msg("taken: %s", bad[i].types);
		assert_int_equal(err.word, ERROR_DRIVER_FAILED);
		assert_string_equal(err.key, bad[i].key);
		assert_null(t.types);
	}
}

static void test_limit(void **state)
{
	(void)state;
	for (int n = TYPE_COUNT_MAX; n <= TYPE_COUNT_MAX + 1; n++) {
		struct type_table t = {0};
		struct umdev_error err = {0};
		json_t *types = json_array();

		for (int i = 0; i < n; i++) {
			char id[16];

			snprintf(id, sizeof(id), "t%d", i);
			json_array_append_new(types,
					      json_pack("{s:s,s:s,s:i,s:s}", "id", id, "name", id,
							"cost", 1, "class", "compute"));
		}
		assert_int_equal(type_table_parse(types, "x", &t, &err),
				 n == TYPE_COUNT_MAX ? 0 : -EIO);
		type_table_done(&t);
		json_decref(types);
	}
}

static void test_resolve(void **state)
{
	struct type_table t = {0};
	struct umdev_error err = {0};
	struct type_choice c = {0};

	(void)state;
	assert_int_equal(parse(three, &t, &err), 0);
	assert_int_equal(type_resolve(&t, "p", "nvme-4g", NULL, &c, &err), 0);
	assert_ptr_equal(c.type, &t.types[1]);
	assert_false(c.corrected);
	assert_int_equal(type_resolve(&t, "p", "nvme-4g", "umdev NVMe 4 GiB", &c, &err), 0);
	assert_false(c.corrected);
	assert_int_equal(type_resolve(&t, "p", NULL, "umdev NVMe rest", &c, &err), 0);
	assert_ptr_equal(c.type, &t.types[2]);
	assert_false(c.corrected);
	/* The id is gone, the name is not: the name wins. */
	assert_int_equal(type_resolve(&t, "p", "nvme-old", "umdev NVMe 1 GiB", &c, &err), 0);
	assert_ptr_equal(c.type, &t.types[0]);
	assert_true(c.corrected);

	memset(&c, 0, sizeof(c));
	/* The id is there under another name: both names are told. */
	assert_int_equal(type_resolve(&t, "p", "nvme-4g", "umdev NVMe 1 GiB", &c, &err), -EINVAL);
	assert_int_equal(err.word, ERROR_TYPE_MISMATCH);
	assert_non_null(strstr(err.message, "'umdev NVMe 4 GiB'"));
	assert_non_null(strstr(err.message, "'umdev NVMe 1 GiB' here; that is nvme-1g there"));
	assert_int_equal(type_resolve(&t, "p", "nvme-4g", "gone", &c, &err), -EINVAL);
	assert_int_equal(err.word, ERROR_TYPE_MISMATCH);
	assert_non_null(strstr(err.message, "'gone' here; nearest: nvme-"));
	/* Neither: the nearest comes first. */
	assert_int_equal(type_resolve(&t, "p", "nvme-4h", NULL, &c, &err), -ENOENT);
	assert_int_equal(err.word, ERROR_UNKNOWN_TYPE);
	assert_non_null(strstr(err.message, "nearest: nvme-4g (umdev NVMe 4 GiB), nvme-1g"));
	assert_int_equal(type_resolve(&t, "p", "gone", "umdev NVMe reset", &c, &err), -ENOENT);
	assert_non_null(strstr(err.message, "nearest: nvme-rest"));
	assert_non_null(strstr(err.message, "no type 'gone' and none named 'umdev NVMe reset';"));
	assert_int_equal(type_resolve(&t, "p", NULL, NULL, &c, &err), -EINVAL);
	assert_null(c.type);
	type_table_done(&t);
}

static void test_extends(void **state)
{
	struct type_table a = {0};
	struct type_table b = {0};
	struct umdev_error err = {0};

	(void)state;
	assert_int_equal(parse(three, &a, &err), 0);
	assert_int_equal(parse(three, &b, &err), 0);
	assert_true(type_table_extends(&a, &b));
	b.types[1].want.cost++;
	assert_false(type_table_extends(&a, &b));
	b.types[1].want.cost--;
	type_table_done(&b);
	assert_int_equal(parse("[{\"id\":\"1g\",\"name\":\"umdev NVMe 1 GiB\",\"cost\":1073741824,"
			       "\"qos\":3," STORAGE "}]",
			       &b, &err),
			 0);
	assert_true(type_table_extends(&a, &b));
	assert_false(type_table_extends(&b, &a));
	type_table_done(&a);
	type_table_done(&b);
}

#define SERIAL                                                                                     \
	"\"id\":\"1\",\"name\":\"one\",\"class\":\"serial\",\"cost\":1,\"attrs\":[[\"ports\",\"1\"]]"

/* Endpoints become file names and descriptors of the broker: their name, kind and number are
 * bounded. */
static void test_endpoints(void **state)
{
	static const char *const bad[] = {
		"{}",
		"{\"name\":\"port\",\"kind\":1}",
		"{\"name\":\"\",\"kind\":1,\"count\":1}",
		"{\"name\":\"../port\",\"kind\":1,\"count\":1}",
		"{\"name\":\"port1\",\"kind\":1,\"count\":1}",
		"{\"name\":\"abcdefghijklmnop\",\"kind\":1,\"count\":1}",
		"{\"name\":\"port\",\"kind\":0,\"count\":1}",
		"{\"name\":\"port\",\"kind\":3,\"count\":1}",
		"{\"name\":\"port\",\"kind\":1,\"count\":0}",
		"{\"name\":\"port\",\"kind\":1,\"count\":9}",
		"{\"name\":\"port\",\"kind\":1,\"count\":-1}",
		"[]",
	};
	struct type_table t = {0};
	struct type_table with = {0};
	struct umdev_error err = {0};
	char text[512];

	(void)state;
	assert_int_equal(
		parse("[{" SERIAL
		      ",\"endpoints\":{\"name\":\"abcdefghijklmno\",\"kind\":2,\"count\":8}}]",
		      &t, &err),
		0);
	assert_string_equal(t.types[0].endpoint_name, "abcdefghijklmno");
	assert_int_equal(t.types[0].endpoint_kind, 2);
	assert_int_equal(t.types[0].endpoint_count, 8);
	type_table_done(&t);
	assert_int_equal(parse("[{" SERIAL "}]", &t, &err), 0);
	assert_int_equal(t.types[0].endpoint_count, 0);
	/* Devices that are there keep what they have: other endpoints are other types. */
	assert_int_equal(parse("[{" SERIAL
			       ",\"endpoints\":{\"name\":\"port\",\"kind\":1,\"count\":1}}]",
			       &with, &err),
			 0);
	assert_false(type_table_extends(&t, &with));
	assert_false(type_table_extends(&with, &t));
	assert_true(type_table_extends(&with, &with));
	type_table_done(&with);
	type_table_done(&t);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "[{" SERIAL ",\"endpoints\":%s}]", bad[i]);
		memset(&err, 0, sizeof(err));
		assert_int_not_equal(parse(text, &t, &err), 0);
		assert_int_equal(err.word, ERROR_DRIVER_FAILED);
		assert_string_equal(err.key, "endpoints");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_publish), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_limit),	cmocka_unit_test(test_resolve),
		cmocka_unit_test(test_extends), cmocka_unit_test(test_endpoints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
