/* SPDX-License-Identifier: BSD-3-Clause */
/* Every form in which a word of the command line may come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/ctl.h"

#define WORDS_MAX 12
#define UUID	  "976d8cc2-4bfc-43b9-b9f9-f4af2de91ab9"

static int parse(struct ctl *ctl, const char *const *words)
{
	char *argv[WORDS_MAX + 2] = {(char *)(uintptr_t) "umdevctl"};
	int argc = 1;

	*ctl = (struct ctl){0};
	while (words[argc - 1]) {
		argv[argc] = (char *)(uintptr_t)words[argc - 1];
		argc++;
	}
	return ctl_parse(ctl, argc, argv);
}

static void test_forms(void **state)
{
	static const char *const forms[][WORDS_MAX] = {
		{"list", "-d", "-v", "-u", UUID, "-p", "p0"},
		{"list", "-dv", "-u" UUID, "-pp0"},
		{"list", "-vdu", UUID, "-p=p0"},
		{"list", "--defined", "--verbose", "--uuid=" UUID, "--parent", "p0"},
		{"list", "--parent=p0", "-vd", "--uuid", UUID},
		{"--root", "/r", "list", "-dvu" UUID, "--json", "-pp0"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		struct ctl ctl;

		assert_int_equal(parse(&ctl, forms[i]), CTL_OK);
		assert_string_equal(ctl.verb->name, "list");
		assert_true(ctl_has(&ctl, "defined"));
		assert_true(ctl_has(&ctl, "verbose"));
		assert_false(ctl_has(&ctl, "dumpjson"));
		assert_string_equal(ctl_get(&ctl, "uuid"), UUID);
		assert_string_equal(ctl_get(&ctl, "parent"), "p0");
		assert_null(ctl_get(&ctl, "verbose"));
		assert_int_equal(ctl.json, i == 5);
		ctl_done(&ctl);
	}
}

static void test_refused(void **state)
{
	static const struct {
		int code;
		const char *words[WORDS_MAX];
	} cases[] = {
		{CTL_USAGE, {NULL}},
		{CTL_USAGE, {"frob"}},
		{CTL_USAGE, {"parent"}},
		{CTL_USAGE, {"parent", "frob"}},
		{CTL_USAGE, {"add", "x"}},
		{CTL_USAGE, {"parent add", "x"}},
		{CTL_USAGE, {"parent", "add"}},
		{CTL_USAGE, {"parent", "add", "a", "b"}},
		{CTL_USAGE, {"list", "-x"}},
		{CTL_USAGE, {"list", "-dx"}},
		{CTL_USAGE, {"list", "-u"}},
		{CTL_USAGE, {"list", "-u", "--verbose"}},
		{CTL_USAGE, {"list", "--uuid"}},
		{CTL_USAGE, {"list", "--uu=" UUID}},
		{CTL_USAGE, {"list", "--verbose=yes"}},
		{CTL_USAGE, {"list", "-u", UUID, "-u", UUID}},
		{CTL_USAGE, {"list", "--json=1"}},
		{CTL_USAGE, {"list", "--", "-v"}},
		{CTL_USAGE, {"list", "-p", "\xff"}},
		{CTL_USAGE, {"qemu-args"}},
		{CTL_USAGE, {"qemu-args", "\xff"}},
		{CTL_USAGE, {"start", "--min-share=5", "--min-share=6"}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ctl ctl;

		assert_int_equal(parse(&ctl, cases[i].words), cases[i].code);
		ctl_done(&ctl);
	}
}

static void test_command_is_left_alone(void **state)
{
	static const char *const forms[][WORDS_MAX] = {
		{"run", "-p", "driver=null", "--", "cmd", "--root", "x", "--", "-v"},
		{"run", "-p", "driver=null", "cmd", "--root", "x", "--", "-v"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		struct ctl ctl;

		assert_int_equal(parse(&ctl, forms[i]), CTL_OK);
		assert_null(ctl.root);
		assert_int_equal(ctl.n_operands, 5);
		assert_string_equal(ctl.operands[0], "cmd");
		assert_string_equal(ctl.operands[1], "--root");
		assert_string_equal(ctl.operands[3], "--");
		assert_null(ctl.operands[5]);
		ctl_done(&ctl);
	}
}

static void test_many_values_in_order(void **state)
{
	static const char *const words[] = {"define",	  "--attr", "b=1", "-pp0",
					    "--attr=a=2", "--attr", "b=",  NULL};
	struct ctl ctl;
	json_t *attrs = json_array();
	umdev_autofree char *text = NULL;

	assert_int_equal(parse(&ctl, words), CTL_OK);
	assert_int_equal(ctl_get_pairs(&ctl, "attr", attrs), CTL_OK);
	text = json_dumps(attrs, JSON_COMPACT);
	assert_string_equal(text, "[{\"b\":\"1\"},{\"a\":\"2\"},{\"b\":\"\"}]");
	json_decref(attrs);
	ctl_done(&ctl);
}

static void test_verbs_do_not_clash(void **state)
{
	for (const struct ctl_verb *v = ctl_verbs; v->name; v++) {
		assert_non_null(v->run);
		for (const struct ctl_option *o = v->options; o->name; o++) {
			for (const struct ctl_option *p = o + 1; p->name; p++) {
				assert_string_not_equal(o->name, p->name);
				assert_true(!o->letter || o->letter != p->letter);
			}
			for (const struct ctl_option *c = ctl_common_options; c->name; c++) {
				assert_string_not_equal(o->name, c->name);
				assert_true(!o->letter || o->letter != c->letter);
			}
		}
	}
}

static void test_uuid(void **state)
{
	static const char *const wrong[] = {
		"",
		"976d8cc2-4bfc-43b9-b9f9-f4af2de91ab",
		"976d8cc2-4bfc-43b9-b9f9-f4af2de91ab90",
		"976d8cc2-4bfc-43b9-b9f9-f4af2de91abg",
		"976d8cc24-bfc-43b9-b9f9-f4af2de91ab9",
		"976d8cc2x4bfcx43b9xb9f9xf4af2de91ab9",
		"976d8cc24bfc43b9b9f9f4af2de91a-9",
		"../../../../../../../../../etc/passwd",
	};
	char uuid[CTL_UUID_STRING] = "";

	assert_true(ctl_uuid_parse("976D8CC2-4bfc-43B9-b9f9-f4af2de91AB9", uuid));
	assert_string_equal(uuid, UUID);
	assert_true(ctl_uuid_parse("976d8cc24bfc43b9b9f9f4af2de91ab9", uuid));
	assert_string_equal(uuid, UUID);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_false(ctl_uuid_parse(wrong[i], uuid));
	assert_string_equal(uuid, UUID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_command_is_left_alone),
		cmocka_unit_test(test_many_values_in_order),
		cmocka_unit_test(test_verbs_do_not_clash),
		cmocka_unit_test(test_uuid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
