/* SPDX-License-Identifier: BSD-3-Clause */
/* XML out. See write.h. */
#include "libvirt/write.h"

#include <ctype.h>
#include <libxml/xmlmemory.h>
#include <libxml/xmlwriter.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WRITE_INDENT  "  "
#define WRITE_QEMU_NS "http://libvirt.org/schemas/domain/qemu/1.0"
#define WRITE_KIB     1024u

/* A document while it is written. */
struct write {
	xmlBufferPtr buffer;
	xmlTextWriterPtr writer;
	bool failed;
};

static const char *write_text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static long long write_number_of(const json_t *object, const char *key)
{
	return (long long)json_integer_value(json_object_get(object, key));
}

/* ---- Names ----------------------------------------------------------------------------------- */

/* As libvirt: what is no letter or digit becomes an underscore. */
static void write_sanitize(char *name)
{
	for (; *name; name++) {
		if (!isalnum((unsigned char)*name))
			*name = '_';
	}
}

/* Whether @name is written as the kernel writes a PCI address. */
static bool write_is_address(const char *name)
{
	static const char form[] = "xxxx:xx:xx.o";

	for (size_t i = 0; i < sizeof(form); i++) {
		const char *digits = form[i] == 'x' ? "0123456789abcdef" : "01234567";
		bool digit = form[i] == 'x' || form[i] == 'o';

		if (digit ? !name[i] || !strchr(digits, name[i]) : name[i] != form[i])
			return false;
	}
	return true;
}

/* Of a parent that is not there, only the name is known. */
static void write_name_of_absent(const char *parent, char ret_name[LIBVIRT_NAME_MAX])
{
	snprintf(ret_name, LIBVIRT_NAME_MAX, "%s_%s", write_is_address(parent) ? "pci" : "mtty",
		 parent);
	write_sanitize(ret_name);
}

void libvirt_parent_name(const json_t *parent, char ret_name[LIBVIRT_NAME_MAX])
{
	snprintf(ret_name, LIBVIRT_NAME_MAX, "%s_%s", write_text_of(parent, "subsystem"),
		 write_text_of(parent, "name"));
	write_sanitize(ret_name);
}

void libvirt_mdev_name(const char *uuid, const char *parent, char ret_name[LIBVIRT_NAME_MAX])
{
	snprintf(ret_name, LIBVIRT_NAME_MAX, "mdev_%s_%s", uuid, parent);
	write_sanitize(ret_name);
}

/* ---- Elements -------------------------------------------------------------------------------- */

static void write_note(struct write *w, int r)
{
	w->failed = w->failed || r < 0;
}

static void write_open(struct write *w, const char *name)
{
	write_note(w, xmlTextWriterStartElement(w->writer, (const xmlChar *)name));
}

static void write_close(struct write *w)
{
	write_note(w, xmlTextWriterEndElement(w->writer));
}

/* What stands for the character at *@text, NULL for itself, "" for one that XML cannot hold. Moves
 * *@text on. */
static const char *write_entity(const char **text)
{
	const char *c = (*text)++;

	/* U+FFFE and U+FFFF are no characters. */
	if (strncmp(c, "\xef\xbf\xbe", 3) == 0 || strncmp(c, "\xef\xbf\xbf", 3) == 0) {
		*text += 2;
		return "";
	}
	switch (*c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '\'':
		return "&apos;";
	default:
		return iscntrl((unsigned char)*c) ? "" : NULL;
	}
}

/* @text as it may stand in an element or between single quotes, freed by the caller. What XML
 * cannot hold at all is left out. The library escapes double quotes, of which QEMU's arguments are
 * full, and not the single ones that libvirt puts around. */
static char *write_escape(const char *text)
{
	char *plain = malloc(strlen(text) * strlen("&apos;") + 1);
	size_t n = 0;

	while (plain && *text) {
		const char *from = text;
		const char *as = write_entity(&text);

		if (!as)
			plain[n++] = *from;
		for (; as && *as; as++)
			plain[n++] = *as;
	}
	if (plain)
		plain[n] = '\0';
	return plain;
}

/* Text within an attribute or element that is open. */
static void write_raw(struct write *w, const char *text)
{
	umdev_autofree char *plain = write_escape(text);

	if (plain)
		write_note(w, xmlTextWriterWriteRaw(w->writer, (const xmlChar *)plain));
	else
		w->failed = true;
}

/* An attribute of the element that is open. */
static void write_attribute(struct write *w, const char *name, const char *value)
{
	write_note(w, xmlTextWriterStartAttribute(w->writer, (const xmlChar *)name));
	write_raw(w, value);
	write_note(w, xmlTextWriterEndAttribute(w->writer));
}

static void write_element(struct write *w, const char *name, const char *text)
{
	write_open(w, name);
	write_raw(w, text);
	write_close(w);
}

static void write_number(struct write *w, const char *name, const char *format, long long number)
	__attribute__((format(printf, 3, 0)));

static void write_number(struct write *w, const char *name, const char *format, long long number)
{
	char text[32];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* every caller's is a literal */
	snprintf(text, sizeof(text), format, number);
#pragma GCC diagnostic pop
	write_element(w, name, text);
}

/* <name attr='value'/> */
static void write_empty(struct write *w, const char *name, const char *attr, const char *value)
{
	write_open(w, name);
	write_attribute(w, attr, value);
	write_close(w);
}

static bool write_begin(struct write *w)
{
	memset(w, 0, sizeof(*w));
	w->buffer = xmlBufferCreate();
	w->writer = w->buffer ? xmlNewTextWriterMemory(w->buffer, 0) : NULL;
	if (!w->writer) {
		xmlBufferFree(w->buffer);
		return false;
	}
	xmlTextWriterSetIndent(w->writer, 1);
	xmlTextWriterSetIndentString(w->writer, (const xmlChar *)WRITE_INDENT);
	xmlTextWriterSetQuoteChar(w->writer, '\'');
	return true;
}

static char *write_end(struct write *w)
{
	char *text = NULL;

	write_note(w, xmlTextWriterEndDocument(w->writer));
	xmlFreeTextWriter(w->writer);
	if (!w->failed)
		text = strdup((const char *)xmlBufferContent(w->buffer));
	xmlBufferFree(w->buffer);
	return text;
}

/* ---- Devices --------------------------------------------------------------------------------- */

static void write_driver(struct write *w, const json_t *parent)
{
	write_open(w, "driver");
	write_element(w, "name", write_text_of(parent, "driver"));
	write_close(w);
}

static void write_types(struct write *w, const json_t *types)
{
	const json_t *type;
	size_t i;

	write_open(w, "capability");
	write_attribute(w, "type", "mdev_types");
	json_array_foreach (types, i, type) {
		write_open(w, "type");
		write_attribute(w, "id", write_text_of(type, "id"));
		if (write_text_of(type, "name")[0])
			write_element(w, "name", write_text_of(type, "name"));
		write_element(w, "deviceAPI", write_text_of(type, "device_api"));
		write_number(w, "availableInstances", "%lld",
			     write_number_of(type, "available_instances"));
		write_close(w);
	}
	write_close(w);
}

static void write_id(struct write *w, const char *name, long long id)
{
	char text[16];

	snprintf(text, sizeof(text), "0x%04llx", (unsigned long long)id & 0xffff);
	write_empty(w, name, "id", text);
}

char *libvirt_parent_write(const json_t *parent, const json_t *types)
{
	const json_t *pci = json_object_get(parent, "pci");
	char name[LIBVIRT_NAME_MAX];
	struct write w;

	if (!write_begin(&w))
		return NULL;
	libvirt_parent_name(parent, name);
	write_open(&w, "device");
	write_element(&w, "name", name);
	write_element(&w, "path", write_text_of(parent, "path"));
	write_element(&w, "parent", "computer");
	write_driver(&w, parent);
	write_open(&w, "capability");
	write_attribute(&w, "type", "pci");
	write_number(&w, "class", "0x%06llx", write_number_of(pci, "class"));
	write_number(&w, "domain", "%lld", write_number_of(pci, "domain"));
	write_number(&w, "bus", "%lld", write_number_of(pci, "bus"));
	write_number(&w, "slot", "%lld", write_number_of(pci, "slot"));
	write_number(&w, "function", "%lld", write_number_of(pci, "function"));
	write_id(&w, "product", write_number_of(pci, "device"));
	write_id(&w, "vendor", write_number_of(pci, "vendor"));
	if (json_array_size(types) > 0)
		write_types(&w, types);
	write_close(&w);
	write_close(&w);
	return write_end(&w);
}

static void write_attrs(struct write *w, const json_t *attrs)
{
	json_t *pair;
	size_t i;

	json_array_foreach (attrs, i, pair) {
		void *at = json_object_iter(pair);
		const char *value = json_string_value(json_object_iter_value(at));

		if (!at)
			continue;
		write_open(w, "attr");
		write_attribute(w, "name", json_object_iter_key(at));
		write_attribute(w, "value", value ? value : "");
		write_close(w);
	}
}

char *libvirt_mdev_write(const json_t *mdev, const json_t *parent)
{
	const char *uuid = write_text_of(mdev, "uuid");
	const char *parent_name = write_text_of(mdev, "parent");
	bool active = json_is_true(json_object_get(mdev, "active"));
	char number[24];
	char name[LIBVIRT_NAME_MAX];
	struct write w;

	if (!write_begin(&w))
		return NULL;
	libvirt_mdev_name(uuid, parent_name, name);
	write_open(&w, "device");
	write_element(&w, "name", name);
	if (parent && active) {
		char path[512];

		snprintf(path, sizeof(path), "%s/%s", write_text_of(parent, "path"), uuid);
		write_element(&w, "path", path);
	}
	if (parent)
		libvirt_parent_name(parent, name);
	else
		write_name_of_absent(parent_name, name);
	write_element(&w, "parent", name);
	if (parent && active)
		write_driver(&w, parent);
	write_open(&w, "capability");
	write_attribute(&w, "type", "mdev");
	write_empty(&w, "type", "id", write_text_of(mdev, "type"));
	write_element(&w, "uuid", uuid);
	write_element(&w, "parent_addr", parent_name);
	if (active) {
		snprintf(number, sizeof(number), "%lld", write_number_of(mdev, "iommu_group"));
		write_empty(&w, "iommuGroup", "number", number);
	}
	write_attrs(&w, json_object_get(mdev, "attrs"));
	write_close(&w);
	write_close(&w);
	return write_end(&w);
}

/* ---- Domains --------------------------------------------------------------------------------- */

static void write_memory_backing(struct write *w)
{
	write_open(w, "memoryBacking");
	write_empty(w, "source", "type", "memfd");
	write_empty(w, "access", "mode", "shared");
	write_close(w);
}

static void write_commandline(struct write *w, const json_t *words, bool with_namespace)
{
	const json_t *word;
	size_t i;

	write_open(w, "qemu:commandline");
	if (with_namespace)
		write_attribute(w, "xmlns:qemu", WRITE_QEMU_NS);
	json_array_foreach (words, i, word)
		write_empty(w, "qemu:arg", "value", json_string_value(word));
	write_close(w);
}

/* What every domain needs to be defined and to start without a disk: a machine with PCI Express,
 * and a console. */
static void write_machine(struct write *w)
{
	write_open(w, "os");
	write_open(w, "type");
	write_attribute(w, "machine", "q35");
	write_note(w, xmlTextWriterWriteString(w->writer, (const xmlChar *)"hvm"));
	write_close(w);
	write_close(w);
	write_open(w, "features");
	write_open(w, "acpi");
	write_close(w);
	write_close(w);
	write_open(w, "devices");
	write_empty(w, "console", "type", "pty");
	write_close(w);
}

char *libvirt_domain_write(const struct libvirt_domain *domain)
{
	char *text;
	struct write w;

	if (!write_begin(&w))
		return NULL;
	if (domain->fragment) {
		write_memory_backing(&w);
		write_commandline(&w, domain->words, true);
		text = write_end(&w);
		return text;
	}
	write_open(&w, "domain");
	write_attribute(&w, "type", domain->virt_type);
	write_attribute(&w, "xmlns:qemu", WRITE_QEMU_NS);
	write_element(&w, "name", domain->name);
	write_open(&w, "memory");
	write_attribute(&w, "unit", "KiB");
	write_note(&w, xmlTextWriterWriteFormatString(
			       w.writer, "%llu",
			       (unsigned long long)(domain->memory_bytes / WRITE_KIB) +
				       (domain->memory_bytes % WRITE_KIB != 0)));
	write_close(&w);
	write_memory_backing(&w);
	write_element(&w, "vcpu", "1");
	write_machine(&w);
	write_commandline(&w, domain->words, false);
	write_close(&w);
	return write_end(&w);
}
