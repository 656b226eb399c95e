/* SPDX-License-Identifier: BSD-3-Clause */
/* Options and attributes as a driver takes them: texts of the broker, read by the driver's tables.
 */
#pragma once

#include <jansson.h>

#include "host/driver.h"
#include "util/error.h"

/*
 * Reads @texts (JSON object name -> text) into one value per row of the driver's option or
 * attribute table, with defaults. Texts are copied. Free with host_values_free().
 */
int host_option_values(const struct host_driver *driver, json_t *texts,
		       struct umdev_value **ret_values, struct umdev_error *err) umdev_warn_unused;
int host_attr_values(const struct host_driver *driver, json_t *texts,
		     struct umdev_value **ret_values, struct umdev_error *err) umdev_warn_unused;
int host_attr_value(const struct umdev_attr *attr, const char *text, struct umdev_value *ret_value,
		    struct umdev_error *err) umdev_warn_unused;
void host_values_free(struct umdev_value *values, uint32_t count);
