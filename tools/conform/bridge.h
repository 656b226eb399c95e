/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What umdev-host and umdevd themselves do with a driver's tables and types, so that a check is the
 * rule that is applied and not a second opinion: descriptions as the host makes them, parsed as the
 * broker does. Apart from the harness, which has structs of its own for the handles that the host
 * gives out.
 */
#pragma once

#include <jansson.h>

#include "host/driver.h"
#include "model/spec.h"
#include "model/type.h"
#include "util/error.h"

/* The types of an open parent as the broker gets them, a JSON array. NULL when out of memory. */
json_t *bridge_types(const struct host_driver *driver, const struct umdev_parent_info *info);

/* Whether the broker would take the rows of options and attributes, their defaults aside. */
int bridge_check_rows(const struct host_driver *driver, struct umdev_error *err);

/* The tables of options and attributes as the broker reads them; freed with spec_table_done(). */
int bridge_options(const struct host_driver *driver, struct spec_table *ret_table,
		   struct umdev_error *err);
int bridge_attrs(const struct host_driver *driver, struct spec_table *ret_table,
		 struct umdev_error *err);

/* Values of options or attributes from texts (JSON object, borrowed), defaults for those that are
 * not there; freed with bridge_values_free(). */
int bridge_option_values(const struct host_driver *driver, json_t *texts,
			 struct umdev_value **ret_values, struct umdev_error *err);
int bridge_attr_values(const struct host_driver *driver, json_t *texts,
		       struct umdev_value **ret_values, struct umdev_error *err);
/* Opens what options of the kinds BACKING and MEMORY name, as the broker does, into @values. */
int bridge_open_backings(const struct host_driver *driver, const json_t *options,
			 struct umdev_value *values, struct umdev_error *err);
/* The value of one attribute; its text is the caller's to free. */
int bridge_attr_value(const struct umdev_attr *attr, const char *text,
		      struct umdev_value *ret_value, struct umdev_error *err);
/* Frees @count values, their texts and descriptors. */
void bridge_values_free(struct umdev_value *values, uint32_t count);
