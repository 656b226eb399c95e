/* SPDX-License-Identifier: BSD-3-Clause */
/* Attributes of a parent's directory, which looks like a PCI device; and what udev is told. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "sysfs/attr-tables.h"

#define PARENT_CONFIG_SIZE    256
#define PARENT_RESOURCE_LINES 13

static int64_t parent_number(const struct subject *s, const char *key)
{
	return tree_number(s->parent->pci, key, 0);
}

/* ---- uevent ---------------------------------------------------------------------------------- */

int attr_uevent_text(const struct subject *s, char *text, size_t size)
{
	unsigned class_code = (unsigned)parent_number(s, "class");
	unsigned vendor = (unsigned)parent_number(s, "vendor");
	unsigned device = (unsigned)parent_number(s, "device");

	if (s->mdev)
		return attr_print(text, size, "DRIVER=%s\n", s->parent->driver);
	return attr_print(text, size,
			  "DRIVER=%s\nPCI_CLASS=%X\nPCI_ID=%04X:%04X\nPCI_SUBSYS_ID=%04X:%04X\n"
			  "PCI_SLOT_NAME=%s\n"
			  "MODALIAS=pci:v%08Xd%08Xsv%08Xsd%08Xbc%02Xsc%02Xi%02X\n",
			  s->parent->driver, class_code, vendor, device, vendor, device,
			  tree_text(s->parent->pci, "address"), vendor, device, vendor, device,
			  class_code >> 16 & 0xff, class_code >> 8 & 0xff, class_code & 0xff);
}

int attr_show_uevent(const struct subject *s, const struct attr *attr, const json_t *answer,
		     char *text, size_t size)
{
	return attr_uevent_text(s, text, size);
}

int attr_store_uevent(const struct subject *s, const struct attr *attr, const char *text,
		      size_t len, struct attr_action *ret_action)
{
	static const char *const actions[] = {"add",	"remove",  "change", "move",
					      "online", "offline", "bind",   "unbind"};
	size_t word_len = len > 0 && text[len - 1] == '\n' ? len - 1 : len;

	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		if (strlen(actions[i]) != word_len || memcmp(actions[i], text, word_len) != 0)
			continue;
		*ret_action = (struct attr_action){.deed = ATTR_DEED_UEVENT};
		memcpy(ret_action->word, actions[i], word_len);
		return 0;
	}
	return -EINVAL;
}

/* ---- The rows -------------------------------------------------------------------------------- */

static int parent_show_class(const struct subject *s, const struct attr *attr, const json_t *answer,
			     char *text, size_t size)
{
	return attr_print(text, size, "0x%06x\n", (unsigned)parent_number(s, "class"));
}

static int parent_show_id(const struct subject *s, const struct attr *attr, const json_t *answer,
			  char *text, size_t size)
{
	return attr_print(text, size, "0x%04x\n", (unsigned)parent_number(s, attr->key));
}

/* Words that say the same of every parent. */
static int parent_show_word(const struct subject *s, const struct attr *attr, const json_t *answer,
			    char *text, size_t size)
{
	return attr_print(text, size, "%s\n", attr->key);
}

static int parent_show_resource(const struct subject *s, const struct attr *attr,
				const json_t *answer, char *text, size_t size)
{
	size_t used = 0;

	for (int i = 0; i < PARENT_RESOURCE_LINES; i++)
		used += (size_t)attr_print(
			text + used, size - used,
			"0x0000000000000000 0x0000000000000000 0x0000000000000000\n");
	return (int)used;
}

static void parent_put16(char *config, size_t at, unsigned value)
{
	config[at] = (char)(value & 0xff);
	config[at + 1] = (char)(value >> 8 & 0xff);
}

/* The header of PCI Local Bus Specification 3.0, section 6.1. Type 0, no BAR, no capability. */
static int parent_show_config(const struct subject *s, const struct attr *attr,
			      const json_t *answer, char *text, size_t size)
{
	unsigned class_code = (unsigned)parent_number(s, "class");

	if (size < PARENT_CONFIG_SIZE)
		return -EINVAL;
	memset(text, 0, PARENT_CONFIG_SIZE);
	parent_put16(text, 0x00, (unsigned)parent_number(s, "vendor"));
	parent_put16(text, 0x02, (unsigned)parent_number(s, "device"));
	text[0x08] = 1; /* revision */
	text[0x09] = (char)(class_code & 0xff);
	parent_put16(text, 0x0a, class_code >> 8);
	parent_put16(text, 0x2c, (unsigned)parent_number(s, "vendor"));
	parent_put16(text, 0x2e, (unsigned)parent_number(s, "device"));
	return PARENT_CONFIG_SIZE;
}

static int parent_show_subsystem(const struct subject *s, const struct attr *attr,
				 const json_t *answer, char *text, size_t size)
{
	return attr_print_up(text, size, s->parent->path, 0,
			     s->parent->is_pci ? "bus/pci" : "class/mtty");
}

static int parent_show_driver(const struct subject *s, const struct attr *attr,
			      const json_t *answer, char *text, size_t size)
{
	char target[TREE_NAME_MAX + 32];

	snprintf(target, sizeof(target), "bus/pci/drivers/%s", s->parent->driver);
	return attr_print_up(text, size, s->parent->path, 0, target);
}

#define PARENT_ROW(the_name, the_show, the_key, the_doc)                                           \
	{                                                                                          \
		.name = (the_name), .mode = S_IFREG | 0444, .key = (the_key), .show = (the_show),  \
		.since = ATTR_SINCE_0_1, .users = "udev, libvirt", .doc = (the_doc)                \
	}

const struct attr attr_parent_rows[] = {
	{
		.name = "subsystem",
		.mode = S_IFLNK | 0777,
		.show = parent_show_subsystem,
		.since = ATTR_SINCE_0_1,
		.users = "udev, libvirt",
		.doc = "Leads to /sys/bus/pci for a parent whose name is a PCI address, else to "
		       "/sys/class/mtty: beside PCI, that is the only subsystem in which libvirt "
		       "looks for types.",
	},
	{
		.name = "driver",
		.mode = S_IFLNK | 0777,
		.show = parent_show_driver,
		.since = ATTR_SINCE_0_1,
		.users = "udev, libvirt",
		.doc = "Leads to the vendor driver.",
	},
	{
		.name = "uevent",
		.mode = S_IFREG | 0644,
		.show = attr_show_uevent,
		.store = attr_store_uevent,
		.since = ATTR_SINCE_0_1,
		.users = "udev, libvirt",
		.doc = "What udev is told about the device. Writing an action sends it again.",
	},
	PARENT_ROW("class", parent_show_class, NULL,
		   "The PCI class of what the parent's mdevs are. This and the five below are made "
		   "up, so that the parent looks like a PCI device."),
	PARENT_ROW("vendor", parent_show_id, "vendor", "PCI vendor id."),
	PARENT_ROW("device", parent_show_id, "device", "PCI device id."),
	PARENT_ROW("subsystem_vendor", parent_show_id, "vendor", "PCI subsystem vendor id."),
	PARENT_ROW("subsystem_device", parent_show_id, "device", "PCI subsystem device id."),
	PARENT_ROW("revision", parent_show_word, "0x01", "PCI revision."),
	PARENT_ROW("numa_node", parent_show_word, "-1", "None is nearer than another."),
	PARENT_ROW("resource", parent_show_resource, NULL, "No BAR: 13 lines of zeros."),
	{
		.name = "config",
		.mode = S_IFREG | 0444,
		.size = PARENT_CONFIG_SIZE,
		.show = parent_show_config,
		.since = ATTR_SINCE_0_1,
		.users = "libvirt, lspci",
		.doc = "256 bytes of configuration space that say the same.",
	},
};
const size_t attr_parent_count = ARRAY_SIZE(attr_parent_rows);
