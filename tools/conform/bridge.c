/* SPDX-License-Identifier: BSD-3-Clause */
/* The rules of host and broker, as they apply them. See bridge.h. */
#include "bridge.h"

#include <stdlib.h>
#include <string.h>

#include "broker/backing.h"
#include "host/describe.h"
#include "host/host.h"
#include "host/values.h"

json_t *bridge_types(const struct host_driver *driver, const struct umdev_parent_info *info)
{
	struct umdev_parent *parent = calloc(1, sizeof(*parent));
	json_t *described;
	json_t *types;

	if (!parent)
		return NULL;
	parent->driver = *driver;
	parent->info = *info;
	described = host_describe_parent(parent);
	types = json_incref(json_object_get(described, "types"));
	json_decref(described);
	free(parent);
	return types;
}

static int bridge_table(const struct host_driver *driver, const char *member, enum spec_use use,
			struct spec_table *ret_table, struct umdev_error *err)
{
	json_t *described = host_describe_driver(driver, page_size_for(driver->table.state_size));
	int r = spec_table_parse(json_object_get(described, member), use, driver->table.name,
				 ret_table, err);

	json_decref(described);
	return r;
}

int bridge_check_rows(const struct host_driver *driver, struct umdev_error *err)
{
	json_t *described = host_describe_driver(driver, page_size_for(driver->table.state_size));
	static const char *const members[] = {"options", "attrs"};
	struct spec_table table = {0};
	struct umdev_error bad = {0};
	const char *why;
	int r = 0;

	for (size_t m = 0; r == 0 && m < ARRAY_SIZE(members); m++) {
		json_t *rows = json_object_get(described, members[m]);
		json_t *row;
		size_t i;

		json_array_foreach (rows, i, row)
			json_object_del(row, "default");
		/* Attributes are read as options, which may be without a default. */
		r = spec_table_parse(rows, SPEC_OPTIONS, driver->table.name, &table, &bad);
		spec_table_done(&table);
		if (r < 0) {
			why = strstr(bad.message, "options: ");
			error_set(err, ERROR_DRIVER_FAILED, "the table of %s: %s", members[m],
				  why ? why + strlen("options: ") : bad.message);
		}
	}
	json_decref(described);
	return r;
}

int bridge_options(const struct host_driver *driver, struct spec_table *ret_table,
		   struct umdev_error *err)
{
	return bridge_table(driver, "options", SPEC_OPTIONS, ret_table, err);
}

int bridge_attrs(const struct host_driver *driver, struct spec_table *ret_table,
		 struct umdev_error *err)
{
	return bridge_table(driver, "attrs", SPEC_ATTRS, ret_table, err);
}

int bridge_option_values(const struct host_driver *driver, json_t *texts,
			 struct umdev_value **ret_values, struct umdev_error *err)
{
	return host_option_values(driver, texts, ret_values, err);
}

/* Puts a descriptor into the value of the option it is for. */
static void bridge_give_fd(const struct host_driver *driver, struct backing *backing,
			   struct umdev_value *values)
{
	for (uint32_t i = 0; i < driver->option_count; i++) {
		if (strcmp(driver_option(driver, i)->name, backing->option) != 0)
			continue;
		values[i].fd = umdev_steal_fd(&backing->fd);
		values[i].flags = backing->flags;
	}
}

int bridge_open_backings(const struct host_driver *driver, const json_t *options,
			 struct umdev_value *values, struct umdev_error *err)
{
	struct spec_table specs = {0};
	struct backings backings = {0};
	int r = bridge_options(driver, &specs, err);

	if (r == 0)
		r = backings_check_options(options, &specs, driver->table.name, err);
	if (r == 0)
		r = backings_open(&backings, options, &specs, true, err);
	for (size_t i = 0; r == 0 && i < backings.count; i++)
		bridge_give_fd(driver, &backings.items[i], values);
	backings_close(&backings, false);
	spec_table_done(&specs);
	return r;
}

int bridge_attr_values(const struct host_driver *driver, json_t *texts,
		       struct umdev_value **ret_values, struct umdev_error *err)
{
	return host_attr_values(driver, texts, ret_values, err);
}

int bridge_attr_value(const struct umdev_attr *attr, const char *text,
		      struct umdev_value *ret_value, struct umdev_error *err)
{
	return host_attr_value(attr, text, ret_value, err);
}

void bridge_values_free(struct umdev_value *values, uint32_t count)
{
	host_values_free(values, count);
}
