/* SPDX-License-Identifier: BSD-3-Clause */
/* What mdevs own of their parent, and the knobs that say what they may: as the link brings and
 * takes them. */
#pragma once

#include "host/host.h"

/* The answer to LINK_USAGE, about @uuid (may be NULL) and, with @peers, those that own most. NULL
 * when out of memory. */
json_t *host_usage_print(const struct umdev_parent *parent, const char *uuid, bool peers);

/* Reads knobs as LINK_CREATE and LINK_QOS bring them, within their ranges. */
int host_knobs_parse(json_t *object, struct qos_knobs *ret_knobs,
		     struct umdev_error *err) umdev_warn_unused;
