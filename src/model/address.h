/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where a parent stands among the devices of the tree, and as what PCI device it shows itself.
 *
 * Tools that manage mediated devices know parents as PCI devices. A parent whose name is a PCI
 * address is one, at that address. Any other name stands in the subsystem "mtty", the only one
 * beside PCI in which libvirt looks for types; its address is made up from the name, always the
 * same for the same name. Pure.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/cleanup.h"

#define ADDRESS_TEXT_SIZE 20  /* "ffffffff:ff:1f.7" */
#define ADDRESS_PATH_SIZE 128 /* "/sys/devices/..." */

struct address {
	uint32_t domain;
	uint8_t bus;
	uint8_t slot;	  /* 0..31 */
	uint8_t function; /* 0..7 */
	bool own;	  /* the parent's name is the address */
};

/* The address of the parent @name. */
void address_of(const char *name, struct address *ret_address);

/* As the kernel writes it: "0000:86:00.0". */
void address_print(const struct address *address, char ret_text[ADDRESS_TEXT_SIZE]);

/* The subsystem of the parent, "pci" or "mtty". */
const char *address_subsystem(const struct address *address);

/* The directory of the parent @name, seen as if the tree were mounted at /. */
void address_path(const struct address *address, const char *name,
		  char ret_path[ADDRESS_PATH_SIZE]);

/*
 * { address, domain, bus, slot, function, class, vendor, device }: what a parent whose types are of
 * @class_name (NULL: it has none yet) looks like. NULL when out of memory.
 */
json_t *address_print_pci(const struct address *address, const char *class_name);
