/* SPDX-License-Identifier: BSD-3-Clause */
/* PCI addresses of parents. See address.h. */
#include "model/address.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* What is made up lies in domains that firmware does not give out. */
#define ADDRESS_MADE_UP_DOMAIN 0xf000u

/* Class codes: PCI Code and ID Assignment Specification, revision 1.11. The ids are those of
 * emulated devices of the class, so that no driver of real hardware feels called. */
static const struct {
	const char *class_name;
	uint32_t class_code;
	uint16_t vendor;
	uint16_t device;
} address_classes[] = {
	{"storage", 0x010802, 0x1b36, 0x0010}, {"serial", 0x070002, 0x1b36, 0x0003},
	{"display", 0x038000, 0x1234, 0x1111}, {"crypto", 0x108000, 0x1af4, 0x1054},
	{"network", 0x020000, 0x1af4, 0x1041}, {"compute", 0x120000, 0x1b36, 0x00ff},
};

/* Takes 1..@max_digits hexadecimal digits of at least @min_digits at *@at. False when there are
 * none such. */
static bool address_take_hex(const char **at, int min_digits, int max_digits, uint32_t *ret_value)
{
	uint32_t value = 0;
	int digits = 0;

	for (; digits < max_digits && isxdigit((unsigned char)**at); digits++, (*at)++) {
		int c = tolower((unsigned char)**at);

		value = value << 4 | (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	*ret_value = value;
	return digits >= min_digits;
}

static bool address_take_char(const char **at, char c)
{
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

static bool address_parse(const char *text, struct address *ret_address)
{
	uint32_t domain;
	uint32_t bus;
	uint32_t slot;
	uint32_t function;

	if (!address_take_hex(&text, 4, 8, &domain) || !address_take_char(&text, ':') ||
	    !address_take_hex(&text, 2, 2, &bus) || !address_take_char(&text, ':') ||
	    !address_take_hex(&text, 2, 2, &slot) || !address_take_char(&text, '.') ||
	    !address_take_hex(&text, 1, 1, &function) || *text || slot > 31 || function > 7)
		return false;
	*ret_address = (struct address){.domain = domain,
					.bus = (uint8_t)bus,
					.slot = (uint8_t)slot,
					.function = (uint8_t)function,
					.own = true};
	return true;
}

void address_of(const char *name, struct address *ret_address)
{
	uint32_t hash = 2166136261u; /* FNV-1a, 32 bits */
	char text[ADDRESS_TEXT_SIZE];

	if (address_parse(name, ret_address)) {
		/* Written otherwise (upper case, more zeros), it is a name like any other. */
		address_print(ret_address, text);
		if (strcmp(text, name) == 0)
			return;
	}
	for (const char *c = name; *c; c++)
		hash = (hash ^ (unsigned char)*c) * 16777619u;
	*ret_address = (struct address){
		.domain = ADDRESS_MADE_UP_DOMAIN | (hash >> 13 & 0xfffu),
		.bus = (uint8_t)(hash >> 5),
		.slot = (uint8_t)(hash & 31u),
	};
}

void address_print(const struct address *address, char ret_text[ADDRESS_TEXT_SIZE])
{
	snprintf(ret_text, ADDRESS_TEXT_SIZE, "%04x:%02x:%02x.%u", address->domain, address->bus,
		 address->slot & 31u, address->function & 7u);
}

const char *address_subsystem(const struct address *address)
{
	return address->own ? "pci" : "mtty";
}

void address_path(const struct address *address, const char *name, char ret_path[ADDRESS_PATH_SIZE])
{
	if (address->own)
		snprintf(ret_path, ADDRESS_PATH_SIZE, "/sys/devices/pci%04x:%02x/%.64s",
			 address->domain, address->bus, name);
	else
		snprintf(ret_path, ADDRESS_PATH_SIZE, "/sys/devices/virtual/mtty/%.64s", name);
}

json_t *address_print_pci(const struct address *address, const char *class_name)
{
	size_t row = ARRAY_SIZE(address_classes) - 1;
	char text[ADDRESS_TEXT_SIZE];

	for (size_t i = 0; class_name && i < ARRAY_SIZE(address_classes); i++) {
		if (strcmp(address_classes[i].class_name, class_name) == 0)
			row = i;
	}
	address_print(address, text);
	return json_pack("{s:s,s:I,s:i,s:i,s:i,s:i,s:i,s:i}", "address", text, "domain",
			 (json_int_t)address->domain, "bus", address->bus, "slot", address->slot,
			 "function", address->function, "class",
			 (int)address_classes[row].class_code, "vendor",
			 (int)address_classes[row].vendor, "device",
			 (int)address_classes[row].device);
}
