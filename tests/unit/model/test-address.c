/* SPDX-License-Identifier: BSD-3-Clause */
/* PCI addresses of parents: which names are one, and what others get. */
#include "model/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_names_that_are_addresses(void **state)
{
	static const struct {
		const char *name;
		struct address is;
		const char *path;
	} rows[] = {
		{"0000:86:00.0",
		 {.bus = 0x86, .own = true},
		 "/sys/devices/pci0000:86/0000:86:00.0"},
		{"10000:ff:1f.7",
		 {.domain = 0x10000, .bus = 0xff, .slot = 31, .function = 7, .own = true},
		 "/sys/devices/pci10000:ff/10000:ff:1f.7"},
		{"ffffffff:00:01.2",
		 {.domain = 0xffffffff, .slot = 1, .function = 2, .own = true},
		 "/sys/devices/pciffffffff:00/ffffffff:00:01.2"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct address a;
		char text[ADDRESS_TEXT_SIZE];
		char path[ADDRESS_PATH_SIZE];

		address_of(rows[i].name, &a);
		assert_int_equal(a.domain, rows[i].is.domain);
		assert_int_equal(a.bus, rows[i].is.bus);
		assert_int_equal(a.slot, rows[i].is.slot);
		assert_int_equal(a.function, rows[i].is.function);
		assert_true(a.own);
		address_print(&a, text);
		assert_string_equal(text, rows[i].name);
		address_path(&a, rows[i].name, path);
		assert_string_equal(path, rows[i].path);
		assert_string_equal(address_subsystem(&a), "pci");
	}
}

static void test_other_names(void **state)
{
	static const char *const names[] = {
		"store",	"0000:86:00",	     "0000:86:20.0",  "0000:86:00.8",
		"0000:8g:00.0", "0000:86:00.0x",     "000:86:00.0",   "00000:86:00.0",
		"0000:8A:00.0", "100000000:86:00.0", "x0000:86:00.0", "",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct address a;
		struct address again;
		char path[ADDRESS_PATH_SIZE];

		address_of(names[i], &a);
		address_of(names[i], &again);
		assert_memory_equal(&a, &again, sizeof(a));
		assert_false(a.own);
		assert_true(a.domain >= 0xf000 && a.domain <= 0xffff);
		assert_true(a.slot < 32 && a.function == 0);
		assert_string_equal(address_subsystem(&a), "mtty");
		address_path(&a, names[i], path);
		assert_string_equal(path + strlen("/sys/devices/virtual/mtty/"), names[i]);
	}
}

static void test_what_it_looks_like(void **state)
{
	struct address a;
	json_t *pci;

	(void)state;
	address_of("0000:86:00.1", &a);
	pci = address_print_pci(&a, "storage");
	assert_string_equal(json_string_value(json_object_get(pci, "address")), "0000:86:00.1");
	assert_int_equal(json_integer_value(json_object_get(pci, "bus")), 0x86);
	assert_int_equal(json_integer_value(json_object_get(pci, "function")), 1);
	assert_int_equal(json_integer_value(json_object_get(pci, "class")), 0x010802);
	json_decref(pci);
	/* A parent that has no types yet, and a class of the future. */
	pci = address_print_pci(&a, NULL);
	assert_int_equal(json_integer_value(json_object_get(pci, "class")), 0x120000);
	json_decref(pci);
	pci = address_print_pci(&a, "telepathy");
	assert_int_equal(json_integer_value(json_object_get(pci, "class")), 0x120000);
	json_decref(pci);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_that_are_addresses),
		cmocka_unit_test(test_other_names),
		cmocka_unit_test(test_what_it_looks_like),
	};

	return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
