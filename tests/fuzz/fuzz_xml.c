/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libvirt's XML, today's form and that of 2016, read and written.
 *
 * Input: what to do; a document, or JSON of which one is written. What was written is XML, and an
 * mdev that was written can be read: it is the same mdev.
 */
#include <libxml/parser.h>

#include "libvirt/read.h"
#include "libvirt/write.h"

#include "fuzz.h"

static void fuzz_read(struct fuzz_input *in)
{
	struct libvirt_mdev mdev = {0};
	struct umdev_error err = {0};
	size_t len;
	uint8_t *text = fuzz_chunk(in, SIZE_MAX, &len);
	int r = libvirt_mdev_read((const char *)text, len, &mdev, &err);

	free(text);
	fuzz_check(r <= 0);
	if (r < 0) {
		fuzz_check(err.message[0] && !mdev.parent && !mdev.type && !mdev.attrs);
		return;
	}
	fuzz_check(mdev.type || mdev.type_name);
	fuzz_check(json_is_array(mdev.attrs) && json_array_size(mdev.attrs) <= LIBVIRT_ATTRS_MAX);
	for (size_t i = 0; i < json_array_size(mdev.attrs); i++)
		fuzz_check(json_object_size(json_array_get(mdev.attrs, i)) == 1);
	libvirt_mdev_done(&mdev);
	libvirt_mdev_done(&mdev);
}

/* Whether @text is well-formed. */
static void fuzz_is_xml(const char *text, const char *around)
{
	size_t len = strlen(text) + 2 * strlen(around) + 8;
	char *whole = malloc(len);
	xmlDocPtr doc;

	fuzz_check(whole);
	snprintf(whole, len, "%s%s%s%s%s", around[0] ? "<" : "", around, around[0] ? ">" : "", text,
		 around[0] ? "</x>" : "");
	doc = xmlReadMemory(whole, (int)strlen(whole), "", NULL,
			    XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING |
				    XML_PARSE_HUGE);
	fuzz_check(doc);
	xmlFreeDoc(doc);
	free(whole);
}

static void fuzz_write_device(json_t *mdev, json_t *parent, json_t *types)
{
	char name[LIBVIRT_NAME_MAX];
	char *text = libvirt_parent_write(parent, types);

	/* NULL: a text that XML cannot hold. */
	if (text)
		fuzz_is_xml(text, "");
	free(text);
	text = libvirt_mdev_write(mdev, json_object_size(parent) > 0 ? parent : NULL);
	if (text)
		fuzz_is_xml(text, "");
	free(text);
	libvirt_parent_name(parent, name);
}

static void fuzz_write_domain(json_t *words, uint8_t how)
{
	struct libvirt_domain domain = {
		.name = how & 1 ? "a<b>&'\"" : "vm",
		.virt_type = how & 2 ? "kvm" : "qemu",
		.memory_bytes = (uint64_t)how << 24,
		.fragment = how & 4,
		.words = words,
	};
	char *text;
	json_t *word;
	size_t i;

	/* As the caller promises. */
	json_array_foreach (words, i, word) {
		if (!json_is_string(word))
			return;
	}
	text = libvirt_domain_write(&domain);
	if (text)
		fuzz_is_xml(text, domain.fragment ? "x" : "");
	free(text);
}

/* An mdev with one attribute of any value comes back. */
static void fuzz_round(const char *type, const char *name, const char *value)
{
	json_t *json = json_pack("{s:s,s:s,s:s,s:b,s:[{s:s}]}", "uuid",
				 "c0ffee00-1234-4abc-8def-0123456789ab", "parent", "p0", "type",
				 type, "active", 0, "attrs", name, value);
	struct libvirt_mdev mdev = {0};
	struct umdev_error err = {0};
	const char *back;
	char *text;
	bool plain = true;

	if (!json)
		return; /* no UTF-8 */
	text = libvirt_mdev_write(json, NULL);
	fuzz_check(text);
	fuzz_is_xml(text, "");
	for (const char *c = value; *c; c++)
		plain = plain && *c >= 0x20 && *c < 0x7f;
	if (libvirt_mdev_read(text, strlen(text), &mdev, &err) == 0) {
		back = json_string_value(json_object_get(json_array_get(mdev.attrs, 0), name));
		fuzz_check(json_array_size(mdev.attrs) == 1);
		fuzz_check(!plain || !back || strcmp(back, value) == 0);
		libvirt_mdev_done(&mdev);
	} else {
		fuzz_check(err.message[0]);
	}
	free(text);
	json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {.at = data, .left = size};
	uint8_t how = fuzz_byte(&in);
	json_t *json[3];
	char *texts[3];

	if (!(how & 3)) {
		fuzz_read(&in);
		return 0;
	}
	for (int i = 0; i < 3; i++) {
		texts[i] = fuzz_text(&in, 0);
		json[i] = json_loads(texts[i], 0, NULL);
	}
	if ((how & 3) == 1)
		fuzz_write_device(json[0], json[1], json[2]);
	else if ((how & 3) == 2)
		fuzz_write_domain(json[0], how >> 2);
	else
		fuzz_round(texts[0], texts[1], texts[2]);
	for (int i = 0; i < 3; i++) {
		json_decref(json[i]);
		free(texts[i]);
	}
	return 0;
}
