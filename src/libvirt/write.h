/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writes what libvirt would say about parents, types and mdevs, and domains that use mdevs.
 *
 * Device descriptions come from the objects of the RPC. Their children stand in the order that
 * libvirt 9.0's schema wants. libvirt has no word for vfio-user, so a domain names mdevs on QEMU's
 * command line; its memory must be shared. No I/O.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/cleanup.h"

#define LIBVIRT_NAME_MAX 192

/* What libvirt calls a PARENT: pci_0000_86_00_0, mtty_store. */
void libvirt_parent_name(const json_t *parent, char ret_name[LIBVIRT_NAME_MAX]);

/* What libvirt calls the mdev @uuid of the parent of name @parent. */
void libvirt_mdev_name(const char *uuid, const char *parent, char ret_name[LIBVIRT_NAME_MAX]);

/* All functions below return a new text, freed by the caller, or NULL when out of memory. */

/* The node device of a PARENT with its TYPEs. */
char *libvirt_parent_write(const json_t *parent, const json_t *types);

/* The node device of an MDEV, active or defined; @parent is its PARENT or NULL. */
char *libvirt_mdev_write(const json_t *mdev, const json_t *parent);

struct libvirt_domain {
	const char *name;
	const char *virt_type; /* "kvm" or "qemu" */
	uint64_t memory_bytes;
	bool fragment;	     /* only what has to be put into a domain that exists */
	const json_t *words; /* of QEMU's command line, texts */
};

/* A domain that can be defined as it is, or a fragment. */
char *libvirt_domain_write(const struct libvirt_domain *domain);
