/* SPDX-License-Identifier: BSD-3-Clause */
/* XML in: what is taken and as what, and what is refused, with the line and the key. */
#include "libvirt/read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define UUID "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
#define DEVICE(capability)                                                                         \
	"<device><parent>store</parent><capability type='mdev'>" capability "</capability></device>"

static void takes(const char *text, const char *type, const char *type_name, const char *attrs)
{
	struct libvirt_mdev mdev = {0};
	struct umdev_error err = {0};
	json_t *wanted = json_loads(attrs, 0, NULL);

	if (libvirt_mdev_read(text, strlen(text), &mdev, &err) < 0)
		fail_msg("%s: %s", text, err.message);
	assert_string_equal(mdev.parent, "store");
	if (type)
		assert_string_equal(mdev.type, type);
	else
		assert_null(mdev.type);
	if (type_name)
		assert_string_equal(mdev.type_name, type_name);
	else
		assert_null(mdev.type_name);
	assert_true(json_equal(mdev.attrs, wanted));
	json_decref(wanted);
	libvirt_mdev_done(&mdev);
}

static void refuses_bytes(const char *text, size_t len, const char *key, const char *says)
{
	struct libvirt_mdev mdev;
	struct libvirt_mdev before;
	struct umdev_error err = {0};

	memset(&mdev, 0x5a, sizeof(mdev));
	before = mdev;
	assert_true(libvirt_mdev_read(text, len, &mdev, &err) < 0);
	assert_memory_equal(&mdev, &before, sizeof(mdev));
	assert_int_equal(err.word, ERROR_INVALID);
	if (!strstr(err.message, says))
		fail_msg("%.200s: '%s' does not say '%s'", text, err.message, says);
	if (key)
		assert_string_equal(err.key, key);
	assert_null(strchr(err.message, '\n'));
}

static void refuses(const char *text, const char *key, const char *says)
{
	refuses_bytes(text, strlen(text), key, says);
}

static void takes_count(const char *text, size_t len, size_t count)
{
	struct libvirt_mdev mdev = {0};
	struct umdev_error err = {0};

	assert_int_equal(libvirt_mdev_read(text, len, &mdev, &err), 0);
	assert_int_equal(json_array_size(mdev.attrs), count);
	libvirt_mdev_done(&mdev);
}

/* A device with @count attributes. */
static size_t print_attrs(char *text, size_t size, size_t count)
{
	size_t used = (size_t)snprintf(text, size,
				       "<device><parent>p</parent><capability type='mdev'>"
				       "<type id='a'/>");

	for (size_t i = 0; i < count; i++)
		used += (size_t)snprintf(text + used, size - used, "<attr name='a%zu' value='1'/>",
					 i);
	return used + (size_t)snprintf(text + used, size - used, "</capability></device>");
}

static void test_forms_of_today(void **state)
{
	struct libvirt_mdev mdev = {0};
	struct umdev_error err = {0};
	/* As libvirt prints it itself. */
	static const char whole[] =
		"<?xml version='1.0' encoding='UTF-8'?>\n<!-- printed -->\n"
		"<device>\n <name>mdev_x</name>\n <path>/sys/devices/x</path>\n"
		" <parent> pci_0000_86_00_0 </parent>\n <driver><name>nvme</name></driver>\n"
		" <capability type='mdev'>\n  <type id='nvme-1g'/>\n  <uuid>" UUID "</uuid>\n"
		"  <parent_addr>0000:86:00.0</parent_addr>\n  <iommuGroup number='3'/>\n"
		"  <attr name='mdev/weight' value='5'/>\n  <attr name='nvme/serial' value='a &lt; b'/>\n"
		"  <attr name='mdev/weight' value=''/>\n </capability>\n</device>\n";

	(void)state;
	assert_int_equal(libvirt_mdev_read(whole, strlen(whole), &mdev, &err), 0);
	assert_string_equal(mdev.parent, "pci_0000_86_00_0");
	assert_string_equal(mdev.uuid, UUID);
	assert_int_equal(json_array_size(mdev.attrs), 3);
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(mdev.attrs, 1), "nvme/serial")),
		"a < b");
	libvirt_mdev_done(&mdev);
	takes(DEVICE("<type id='nvme-1g'/>"), "nvme-1g", NULL, "[]");
	takes(DEVICE("<type name='umdev NVMe 1 GiB'/>"), NULL, "umdev NVMe 1 GiB", "[]");
}

static void test_forms_of_2016(void **state)
{
	(void)state;
	takes(DEVICE("<type id='11'/>"), "11", NULL, "[]");
	takes(DEVICE("<type>GRID M60-0B</type>"), "GRID M60-0B", NULL, "[]");
	takes(DEVICE("<type id='11'/><params>'frame_rate_limiter=0'</params>"), "11", NULL,
	      "[{\"frame_rate_limiter\":\"0\"}]");
	takes(DEVICE("<type id='11'/><params> \"a=1\", b=2;c=x=y\n d= </params>"), "11", NULL,
	      "[{\"a\":\"1\"},{\"b\":\"2\"},{\"c\":\"x=y\"},{\"d\":\"\"}]");
	/* Quotes hold a value together; around everything they mean nothing. */
	takes(DEVICE("<type id='11'/><params>a='x y, z' \"b=1;2\" c=\"it's\"</params>"), "11", NULL,
	      "[{\"a\":\"x y, z\"},{\"b\":\"1;2\"},{\"c\":\"it's\"}]");
	takes(DEVICE("<type id='11'/><params>\n 'a=1 b=2' \n</params>"), "11", NULL,
	      "[{\"a\":\"1\"},{\"b\":\"2\"}]");
	takes(DEVICE("<type id='11'/><params>'a=1','b=2'</params>"), "11", NULL,
	      "[{\"a\":\"1\"},{\"b\":\"2\"}]");
	takes(DEVICE("<type id='11'/><attr name='a' value='0'/><params>a=1</params>"), "11", NULL,
	      "[{\"a\":\"0\"},{\"a\":\"1\"}]");
	refuses(DEVICE("<type id='11'/><params>b=1 a=1 a=2</params>"), "a", "twice");
	refuses(DEVICE("<type id='11'/><params>a='1 b=2</params>"), "params", "not closed");
	refuses(DEVICE("<type id='11'/><params>'</params>"), "params", "not closed");
	refuses("<device>\n<parent>store</parent>\n<capability type='mdev'>\n<type='11'/>\n"
		"</capability></device>",
		"type", "line 4: <type='...'/> is no XML: write <type id='...'/>");
	takes(DEVICE("<type id='11'/><group> 83B8F4F2-509F-382F-3C1E-E6BFE0FA1001 </group>"), "11",
	      NULL, "[{\"mdev/group\":\"83b8f4f2-509f-382f-3c1e-e6bfe0fa1001\"}]");
	refuses(DEVICE("<type id='11'/>\n<group>1</group>"), "group", "line 2: '1' is no UUID");
	refuses(DEVICE("<type id='11'/>\n<group/>"), "group", "line 2: ");
	refuses(DEVICE("<type id='11'/>\n<group id='1'/>"), "id", "line 2: ");
	refuses(DEVICE("<type id='11'/><group>83b8f4f2-509f-382f-3c1e-e6bfe0fa1001</group>\n"
		       "<group>83b8f4f2-509f-382f-3c1e-e6bfe0fa1001</group>"),
		"group", "line 2: <group> is given twice");
	refuses(DEVICE("<type id='11'/><params>frame_rate_limiter</params>"), "params",
		"'frame_rate_limiter'");
	refuses(DEVICE("<type id='11'/><params>a=1 =2</params>"), "params", "'=2'");
}

static void test_what_is_not_known(void **state)
{
	static const struct {
		const char *text;
		const char *key;
		const char *says;
	} rows[] = {
		{"<domain/>", "domain", "line 1: <domain> is no node device"},
		{"<device/>", "capability", "no <capability"},
		{"<device><capability type='mdev'><type id='a'/></capability></device>", "parent",
		 "no <parent>"},
		{"<device><parent>a</parent><parent>b</parent></device>", "parent", "twice"},
		{"<device>\n\n<colour/></device>", "colour",
		 "line 3: <colour> is not known in <device>"},
		{"<device x='1'/>", "x", "<device> has no attribute x"},
		{"<device>text</device>", "device", "there is text in <device>"},
		{"<device><parent><b/></parent></device>", "b", "which holds text"},
		{"<device><parent> </parent></device>", "parent", "parent is empty"},
		{"<device><capability type='pci'/></device>", "capability", "'pci'"},
		{"<device><capability/></device>", "capability", "of type ''"},
		{DEVICE(""), "type", "no <type id='...'/>"},
		{DEVICE("<type/>"), "type", "type is empty"},
		{DEVICE("<type id=''/>"), "type", "type is empty"},
		{DEVICE("<type id='a' name='b'/>"), "type", "not both"},
		{DEVICE("<type id='a'>b</type>"), "type", "not both"},
		{DEVICE("<type id='a'/><type id='b'/>"), "type", "twice"},
		{DEVICE("<type id='a' size='4'/>"), "size", "no attribute size"},
		{DEVICE("<type id='a'/><uuid>123</uuid>"), "uuid", "'123' is no UUID"},
		{DEVICE("<type id='a'/><uuid>" UUID "0</uuid>"), "uuid", "is no UUID"},
		{DEVICE("<type id='a'/><uuid>" UUID "</uuid><uuid>" UUID "</uuid>"), "uuid",
		 "twice"},
		{DEVICE("<type id='a'/><attr name='b'/>"), "attr", "needs a name and a value"},
		{DEVICE("<type id='a'/><attr value='b'/>"), "attr", "needs a name and a value"},
		{DEVICE("<type id='a'/><attr name='' value='b'/>"), "name", "name is empty"},
		{DEVICE("<type id='a'/><attr name='b' value='&#10;'/>"), "b", "control character"},
		{DEVICE("<type id='a'/><attr name='b' value='c'>d</attr>"), "attr",
		 "as attributes"},
		{DEVICE("<type id='a'/><address/>"), "address", "is not known in <capability>"},
		{"<device xmlns='urn:x'/>", "xmlns", "takes no namespace"},
		{"<x:device xmlns:x='urn:x'/>", "xmlns", "takes no namespace"},
		{"<device><x:parent xmlns:x='urn:x'>p</x:parent></device>", "parent", "not known"},
		{DEVICE("<x:type xmlns:x='urn:x' id='a'/>"), "type", "not known"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		refuses(rows[i].text, rows[i].key, rows[i].says);
}

static void test_what_is_hostile(void **state)
{
	static char big[LIBVIRT_TEXT_MAX + 2];
	static char deep[64 * 1024];
	static char many[512 * 1024];
	size_t len;

	(void)state;
	refuses("<!DOCTYPE d [<!ENTITY a 'x'><!ENTITY b '&a;&a;&a;'>]>\n<device>&b;</device>",
		"DOCTYPE", "a document type is not taken");
	refuses("<!DOCTYPE d SYSTEM 'file:///etc/passwd'>\n<device/>", "DOCTYPE", "not taken");
	refuses("<device><name>&nosuch;</name></device>", NULL, "line 1: not well-formed");
	refuses("<device>", NULL, "line 1: not well-formed");
	refuses("", NULL, "line 1: not well-formed");
	refuses("<device>\xff\xfe</device>", NULL, "not well-formed");
	refuses("<a:device xmlns:a='x'/><b/>", NULL, "not well-formed");
	refuses_bytes("<device>\0</device>", 18, NULL, "NUL");
	for (size_t i = 0; i + 3 < sizeof(deep); i += 3)
		memcpy(deep + i, "<a>", 3);
	refuses(deep, NULL, "nested too deep");
	memset(big, ' ', sizeof(big) - 1);
	refuses_bytes(big, LIBVIRT_TEXT_MAX, NULL, "not well-formed");
	refuses_bytes(big, LIBVIRT_TEXT_MAX + 1, NULL, "too long");
	len = print_attrs(many, sizeof(many), LIBVIRT_ATTRS_MAX);
	takes_count(many, len, LIBVIRT_ATTRS_MAX);
	len = print_attrs(many, sizeof(many), LIBVIRT_ATTRS_MAX + 1);
	refuses_bytes(many, len, NULL, "more than 256 attributes");
}

static void test_long_values(void **state)
{
	char value[LIBVIRT_VALUE_MAX + 2];
	char text[sizeof(value) + 256];

	(void)state;
	memset(value, 'v', sizeof(value));
	value[LIBVIRT_VALUE_MAX] = '\0';
	snprintf(text, sizeof(text), DEVICE("<type id='a'/><attr name='b' value='%s'/>"), value);
	takes_count(text, strlen(text), 1);
	value[LIBVIRT_VALUE_MAX] = 'v';
	value[LIBVIRT_VALUE_MAX + 1] = '\0';
	snprintf(text, sizeof(text), DEVICE("<type id='a'/><attr name='b' value='%s'/>"), value);
	refuses(text, "b", "4097 bytes, at most 4096");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms_of_today),	  cmocka_unit_test(test_forms_of_2016),
		cmocka_unit_test(test_what_is_not_known), cmocka_unit_test(test_what_is_hostile),
		cmocka_unit_test(test_long_values),
	};

	return cmocka_run_group_tests_name("read", tests, NULL, NULL);
}
