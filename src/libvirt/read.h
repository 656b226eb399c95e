/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reads what libvirt, or the mail thread of 2016, writes about an mdev in XML.
 *
 * Today's form:
 *
 *   <device>
 *     <parent>pci_0000_86_00_0</parent>
 *     <capability type='mdev'>
 *       <type id='nvme-1g'/> <uuid>...</uuid> <attr name='mdev/weight' value='200'/> ...
 *     </capability>
 *   </device>
 *
 * That of 2016 has <type id='11'/> with an id of the vendor's own, <group>, and <params> with
 * key=value, each of which becomes an attribute. What libvirt prints and ignores when it reads is
 * ignored; anything else that is not known is refused with its line. The text is untrusted:
 * bounded, no DTD, no entities but XML's own five, nothing fetched. No I/O.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "util/cleanup.h"
#include "util/error.h"

#define LIBVIRT_TEXT_MAX  (512UL * 1024) /* bytes of a document */
#define LIBVIRT_VALUE_MAX 4096		 /* of one value */
#define LIBVIRT_ATTRS_MAX 256

/* What a device description asks for. All owned; free with libvirt_mdev_done(). */
struct libvirt_mdev {
	char *parent;	 /* as written, or NULL */
	char *type;	 /* an id, of the vendor's own or in full, or a name */
	char *type_name; /* a name; one of the two is there */
	char *uuid;	 /* as written, or NULL */
	json_t *attrs;	 /* [ { name: value } ], in order */
};

/*
 * Reads a node device. INVALID otherwise, "line N: " before the rule, the name of what is wrong as
 * key, and *@ret_mdev untouched.
 */
int libvirt_mdev_read(const char *text, size_t len, struct libvirt_mdev *ret_mdev,
		      struct umdev_error *err) umdev_warn_unused;

/* Frees what is in it. Safe on a zeroed one. */
void libvirt_mdev_done(struct libvirt_mdev *mdev);
