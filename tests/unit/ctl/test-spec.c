/* SPDX-License-Identifier: BSD-3-Clause */
/* What --parent and --mdev of umdevctl run become. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/run.h"

static const struct ctl_verb run_verb = {.name = "run"};

static void expect(int code, json_t *params, const char *want)
{
	umdev_autofree char *text = NULL;

	if (!want) {
		assert_int_equal(code, CTL_USAGE);
		assert_null(params);
		return;
	}
	assert_int_equal(code, CTL_OK);
	text = json_dumps(params, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(text, want);
	json_decref(params);
}

static void test_parent(void **state)
{
	static const struct {
		const char *spec;
		const char *want;
	} cases[] = {
		{"driver=nvme", "{\"driver\":\"nvme\",\"name\":\"p3\",\"options\":{}}"},
		{"name=x,driver=nvme,path=/a=b,size=1G",
		 "{\"driver\":\"nvme\",\"name\":\"x\",\"options\":{\"path\":\"/a=b\",\"size\":\"1G\"}}"},
		{"driver=nvme,path=/a,,b,,",
		 "{\"driver\":\"nvme\",\"name\":\"p3\",\"options\":{\"path\":\"/a,b,\"}}"},
		{"driver=nvme,path=",
		 "{\"driver\":\"nvme\",\"name\":\"p3\",\"options\":{\"path\":\"\"}}"},
		{"", NULL},
		{"path=/a", NULL},
		{"nvme", NULL},
		{"driver=a,driver=b", NULL},
		{"driver=a,x=1,x=2", NULL},
		{"driver=a,=1", NULL},
		{"driver=a,x", NULL},
		{",driver=a", NULL},
	};
	struct ctl ctl = {.verb = &run_verb};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *params = NULL;
		int code = run_parse_parent(&ctl, cases[i].spec, 3, &params);

		expect(code, params, cases[i].want);
	}
}

static void test_mdev(void **state)
{
	static const struct {
		const char *spec;
		const char *want;
	} cases[] = {
		{"type=nvme-1g", "{\"attrs\":[],\"type\":\"nvme-1g\"}"},
		{"type-name=umdev NVMe 1 GiB,parent=p1,owner=me",
		 "{\"attrs\":[],\"owner\":\"me\",\"parent\":\"p1\",\"type_name\":\"umdev NVMe 1 GiB\"}"},
		{"type=t,uuid=976D8CC24BFC43B9B9F9F4AF2DE91AB9",
		 "{\"attrs\":[],\"type\":\"t\",\"uuid\":\"976d8cc2-4bfc-43b9-b9f9-f4af2de91ab9\"}"},
		{"attr.nvme/a=1,type=t,attr.b=x,,y",
		 "{\"attrs\":[{\"nvme/a\":\"1\"},{\"b\":\"x,y\"}],\"type\":\"t\"}"},
		{"type=t,group=976D8CC24BFC43B9B9F9F4AF2DE91AB9",
		 "{\"attrs\":[],\"group\":\"976d8cc2-4bfc-43b9-b9f9-f4af2de91ab9\",\"type\":\"t\"}"},
		{"type=t,group=", NULL},
		{"type=t,group=1", NULL},
		{"parent=p1", NULL},
		{"type=t,uuid=1", NULL},
		{"type=t,foo=1", NULL},
		{"type=t,attr.=1", NULL},
		{"type=t,type=u", NULL},
	};
	struct ctl ctl = {.verb = &run_verb};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *params = NULL;
		int code = run_parse_mdev(&ctl, cases[i].spec, &params);

		expect(code, params, cases[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parent),
		cmocka_unit_test(test_mdev),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
