/* SPDX-License-Identifier: BSD-3-Clause */
/* XML out: names, and that what is written is read back as it was, whatever is in the texts. */
#include "libvirt/write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libvirt/read.h"

#define UUID "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"

static json_t *parent_of(const char *name, const char *subsystem)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:{s:i,s:i,s:i,s:i,s:i,s:i,s:i}}", "name", name,
			 "driver", "nvme", "subsystem", subsystem, "path", "/sys/devices/x", "pci",
			 "domain", 1, "bus", 2, "slot", 3, "function", 4, "class", 0x10802,
			 "vendor", 0x1b36, "device", 0x10);
}

static void test_names(void **state)
{
	char name[LIBVIRT_NAME_MAX];
	json_t *parent = parent_of("0000:86:00.0", "pci");

	(void)state;
	libvirt_parent_name(parent, name);
	assert_string_equal(name, "pci_0000_86_00_0");
	json_decref(parent);
	parent = parent_of("my-store.1", "mtty");
	libvirt_parent_name(parent, name);
	assert_string_equal(name, "mtty_my_store_1");
	json_decref(parent);
	libvirt_mdev_name(UUID, "0000:86:00.0", name);
	assert_string_equal(name, "mdev_83b8f4f2_509f_382f_3c1e_e6bfe0fa1001_0000_86_00_0");
}

/* Every attribute comes back in its place, but for what XML cannot hold. */
static void test_what_is_written_is_read(void **state)
{
	static const char *const values[] = {
		"5",   "",	"a < b & c > d", "'quotes' \"both\"",
		"]]>", "&amp;", "  blanks  ",	 "\xc3\xa4\xe2\x82\xac",
	};
	json_t *attrs = json_array();
	json_t *parent = parent_of("store", "mtty");
	struct libvirt_mdev back = {0};
	struct umdev_error err = {0};
	json_t *mdev;
	char *text;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		json_array_append_new(attrs, json_pack("{s:s}", "mdev/weight", values[i]));
	mdev = json_pack("{s:s,s:s,s:s,s:b,s:i,s:O}", "uuid", UUID, "parent", "store", "type",
			 "nvme-1g", "active", true, "iommu_group", 7, "attrs", attrs);
	text = libvirt_mdev_write(mdev, parent);
	assert_non_null(strstr(text, "<iommuGroup number='7'/>"));
	assert_non_null(strstr(text, "<path>/sys/devices/x/" UUID "</path>"));
	if (libvirt_mdev_read(text, strlen(text), &back, &err) < 0)
		fail_msg("%s: %s", err.message, text);
	assert_string_equal(back.parent, "mtty_store");
	assert_string_equal(back.type, "nvme-1g");
	assert_string_equal(back.uuid, UUID);
	assert_true(json_equal(back.attrs, attrs));
	libvirt_mdev_done(&back);
	free(text);
	/* A definition has no place, and its parent may be unknown. */
	json_object_set_new(mdev, "active", json_false());
	text = libvirt_mdev_write(mdev, NULL);
	assert_null(strstr(text, "<path>"));
	assert_null(strstr(text, "iommuGroup"));
	assert_non_null(strstr(text, "<parent>mtty_store</parent>"));
	free(text);
	json_decref(mdev);
	json_decref(attrs);
	json_decref(parent);
}

/* The longest value, every character of which needs an escape, comes back whole. */
static void test_long_value(void **state)
{
	static const char kinds[] = "&<>'\"";
	struct libvirt_mdev back = {0};
	struct umdev_error err = {0};
	char value[LIBVIRT_VALUE_MAX + 1];
	json_t *mdev;
	char *text;

	(void)state;
	for (size_t i = 0; i < LIBVIRT_VALUE_MAX; i++)
		value[i] = kinds[i % strlen(kinds)];
	value[LIBVIRT_VALUE_MAX] = '\0';
	mdev = json_pack("{s:s,s:s,s:s,s:b,s:[{s:s}]}", "uuid", UUID, "parent", "store", "type",
			 "t", "active", false, "attrs", "a", value);
	text = libvirt_mdev_write(mdev, NULL);
	assert_non_null(text);
	assert_int_equal(libvirt_mdev_read(text, strlen(text), &back, &err), 0);
	assert_true(json_equal(back.attrs, json_object_get(mdev, "attrs")));
	libvirt_mdev_done(&back);
	free(text);
	json_decref(mdev);
}

/* What XML cannot hold is left out of attributes and elements alike. */
static void test_no_characters(void **state)
{
	json_t *mdev = json_pack("{s:s,s:s,s:s,s:b,s:[{s:s}]}", "uuid", UUID, "parent",
				 "a\x01\xef\xbf\xbf", "type", "t\xef\xbf\xbe\x1f\x7f", "active",
				 false, "attrs", "a", "1\xef\xbf\xbd");
	struct libvirt_mdev back = {0};
	struct umdev_error err = {0};
	char *text = libvirt_mdev_write(mdev, NULL);

	(void)state;
	if (libvirt_mdev_read(text, strlen(text), &back, &err) < 0)
		fail_msg("%s: %s", err.message, text);
	assert_string_equal(back.type, "t");
	assert_non_null(strstr(text, "<parent_addr>a</parent_addr>"));
	assert_true(json_equal(back.attrs, json_object_get(mdev, "attrs")));
	libvirt_mdev_done(&back);
	free(text);
	json_decref(mdev);
}

static void test_parent_that_is_not_there(void **state)
{
	static const char *const rows[][2] = {
		{"0000:86:00.0", "<parent>pci_0000_86_00_0</parent>"},
		{"0000:86:00.8", "<parent>mtty_0000_86_00_8</parent>"},
		{"0000:86:00.", "<parent>mtty_0000_86_00_</parent>"},
		{"0000:8G:00.0", "<parent>mtty_0000_8G_00_0</parent>"},
		{"0000:86:00.00", "<parent>mtty_0000_86_00_00</parent>"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		json_t *mdev = json_pack("{s:s,s:s,s:s,s:b}", "uuid", UUID, "parent", rows[i][0],
					 "type", "t", "active", false);
		char *text = libvirt_mdev_write(mdev, NULL);

		assert_non_null(strstr(text, rows[i][1]));
		free(text);
		json_decref(mdev);
	}
}

static void test_parent_and_types(void **state)
{
	json_t *parent = parent_of("store", "mtty");
	json_t *types = json_pack("[{s:s,s:s,s:s,s:i},{s:s,s:s,s:i}]", "id", "nvme-1g", "name",
				  "1 < 2", "device_api", "vfio-pci", "available_instances", 3, "id",
				  "nvme-4g", "device_api", "vfio-pci", "available_instances", 0);
	char *text = libvirt_parent_write(parent, types);
	char *bare = libvirt_parent_write(parent, NULL);

	(void)state;
	assert_non_null(strstr(text, "<class>0x010802</class>"));
	assert_non_null(strstr(text, "<product id='0x0010'/>"));
	assert_non_null(strstr(text, "<name>1 &lt; 2</name>"));
	assert_non_null(strstr(text, "<availableInstances>0</availableInstances>"));
	assert_null(strstr(bare, "mdev_types"));
	free(text);
	free(bare);
	json_decref(parent);
	json_decref(types);
}

static void test_domain_and_fragment(void **state)
{
	json_t *words = json_pack("[s,s]", "-device", "{\"driver\":\"vfio-user-pci\"}");
	struct libvirt_domain domain = {
		.name = "a&b", .virt_type = "qemu", .memory_bytes = 1ull << 30, .words = words};
	char *text = libvirt_domain_write(&domain);

	(void)state;
	assert_non_null(strstr(text, "<name>a&amp;b</name>"));
	assert_non_null(strstr(text, "<memory unit='KiB'>1048576</memory>"));
	assert_non_null(strstr(text, "<access mode='shared'/>"));
	assert_non_null(strstr(text, "value='{\"driver\":\"vfio-user-pci\"}'"));
	free(text);
	domain.memory_bytes = 1025;
	text = libvirt_domain_write(&domain);
	assert_non_null(strstr(text, "<memory unit='KiB'>2</memory>"));
	free(text);
	domain.fragment = true;
	text = libvirt_domain_write(&domain);
	assert_null(strstr(text, "<domain"));
	assert_true(strncmp(text, "<memoryBacking>", 15) == 0);
	assert_non_null(strstr(text, "<qemu:commandline xmlns:qemu="));
	free(text);
	json_decref(words);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_what_is_written_is_read),
		cmocka_unit_test(test_long_value),
		cmocka_unit_test(test_no_characters),
		cmocka_unit_test(test_parent_that_is_not_there),
		cmocka_unit_test(test_parent_and_types),
		cmocka_unit_test(test_domain_and_fragment),
	};

	return cmocka_run_group_tests_name("write", tests, NULL, NULL);
}
