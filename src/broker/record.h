/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A small file in memory that outlives the broker, because a host holds it too: what the next
 * broker reads there is what this one wrote last, whole, whenever it was killed.
 *
 * It has room for two copies. A write fills the older one and then makes it the newer by one store
 * of its header, so that the other counts until then. The host gets the descriptor and could write
 * as well: what is read back is input like any other.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "util/cleanup.h"

#define RECORD_MAX (512u << 10) /* bytes of JSON */

/* An empty record. Returns the fd or -errno. */
int record_new(void) umdev_warn_unused;

/* Whether @fd is such a file: it can be read without waiting for anybody. */
bool record_is(int fd);

/* Makes @json what the record says. 0 or -errno, in which case it says what it said before. */
int record_write(int fd, const json_t *json) umdev_warn_unused;

/* What it says, an object, or NULL: nothing that can be understood. */
json_t *record_read(int fd);
