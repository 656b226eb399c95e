/* SPDX-License-Identifier: BSD-3-Clause */
/* The method table itself, and the check of parameters by it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "rpc/methods.h"
#include "util/cleanup.h"

static void test_table(void **state)
{
	for (const struct rpc_method *m = rpc_methods; m->name; m++) {
		assert_non_null(m->summary);
		assert_non_null(m->returns);
		assert_ptr_equal(rpc_method_find(m->name), m);
		for (const struct rpc_param *p = m->params; p->name; p++) {
			assert_non_null(p->doc);
			for (const struct rpc_param *q = p + 1; q->name; q++)
				assert_string_not_equal(p->name, q->name);
		}
	}
	assert_null(rpc_method_find("mdev"));
	assert_null(rpc_method_find(""));
}

static void test_check(void **state)
{
	static const struct {
		const char *method;
		const char *params;
		const char *key; /* NULL: fits */
	} cases[] = {
		{"version", "{}", NULL},
		{"version", "{\"x\":1}", "x"},
		{"parent.add", "{\"name\":\"p\",\"driver\":\"nvme\"}", NULL},
		{"parent.add", "{\"name\":\"p\"}", "driver"},
		{"parent.add", "{\"name\":7,\"driver\":\"nvme\"}", "name"},
		{"parent.add", "{\"name\":\"p\",\"driver\":\"n\",\"options\":{\"a\":\"b\"}}", NULL},
		{"parent.add", "{\"name\":\"p\",\"driver\":\"n\",\"options\":{\"a\":1}}",
		 "options"},
		{"parent.add", "{\"name\":\"p\",\"driver\":\"n\",\"options\":[]}", "options"},
		{"parent.add", "{\"name\":\"p\",\"driver\":null}", "driver"},
		{"mdev.list", "{\"all\":true,\"defined\":false}", NULL},
		{"mdev.list", "{\"all\":1}", "all"},
		{"mdev.list", "{\"all\":\"true\"}", "all"},
		{"mdev.define", "{\"attrs\":[{\"a\":\"b\"},{\"a\":\"c\"}]}", NULL},
		{"mdev.define", "{\"attrs\":[]}", NULL},
		{"mdev.define", "{\"attrs\":[{\"a\":\"b\",\"c\":\"d\"}]}", "attrs"},
		{"mdev.define", "{\"attrs\":[{}]}", "attrs"},
		{"mdev.define", "{\"attrs\":[{\"a\":1}]}", "attrs"},
		{"mdev.define", "{\"attrs\":[\"a\"]}", "attrs"},
		{"mdev.define", "{\"attrs\":{\"a\":\"b\"}}", "attrs"},
		{"mdev.define", "{\"definition\":{\"any\":[1]}}", NULL},
		{"mdev.define", "{\"definition\":\"text\"}", "definition"},
		{"mdev.modify", "{\"uuid\":\"u\",\"index\":0}", NULL},
		{"mdev.modify", "{\"uuid\":\"u\",\"index\":-1}", "index"},
		{"mdev.modify", "{\"uuid\":\"u\",\"index\":1.0}", "index"},
		{"mdev.modify", "{\"index\":1}", "uuid"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *params = json_loads(cases[i].params, 0, NULL);
		const struct rpc_method *method = rpc_method_find(cases[i].method);
		struct umdev_error err = {0};
		int r;

		assert_non_null(params);
		assert_non_null(method);
		r = rpc_method_check(method, params, &err);
		if (cases[i].key) {
			assert_int_equal(r, -error_word_errno(ERROR_INVALID));
			assert_int_equal(err.word, ERROR_INVALID);
			assert_string_equal(err.key, cases[i].key);
			assert_int_equal(rpc_method_check(method, params, NULL), r);
		} else {
			assert_int_equal(r, 0);
			assert_int_equal(err.word, ERROR_NONE);
		}
		json_decref(params);
	}
}

static void test_check_without_object(void **state)
{
	struct umdev_error err = {0};
	json_t *array = json_array();

	assert_int_equal(rpc_method_check(rpc_method_find("version"), NULL, &err), 0);
	assert_true(rpc_method_check(rpc_method_find("version"), array, &err) < 0);
	assert_true(rpc_method_check(rpc_method_find("mdev.stop"), NULL, &err) < 0);
	assert_string_equal(err.key, "uuid");
	json_decref(array);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_check_without_object),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
