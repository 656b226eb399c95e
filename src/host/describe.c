/* SPDX-License-Identifier: BSD-3-Clause */
/* A driver's tables and types as JSON for the broker. Shapes: link/protocol.h. */
#include <string.h>
#include <unistd.h>

#include "host/convert.h"
#include "host/describe.h"
#include "host/host.h"

static json_t *describe_text(const char *text)
{
	return text ? json_string(text) : json_null();
}

static json_t *describe_options(const struct host_driver *driver)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < driver->option_count; i++) {
		const struct umdev_option *o = driver_option(driver, i);

		json_array_append_new(array, json_pack("{s:s,s:s,s:o,s:o,s:I,s:I,s:i}", "name",
						       o->name, "description", o->description,
						       "default", describe_text(o->default_value),
						       "choices", describe_text(o->choices), "min",
						       (json_int_t)o->min, "max",
						       (json_int_t)o->max, "kind", (int)o->kind));
	}
	return array;
}

static json_t *describe_attrs(const struct host_driver *driver)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < driver->attr_count; i++) {
		const struct umdev_attr *a = driver_attr(driver, i);

		json_array_append_new(
			array, json_pack("{s:s,s:s,s:s,s:o,s:I,s:I,s:i,s:i}", "name", a->name,
					 "description", a->description, "default", a->default_value,
					 "choices", describe_text(a->choices), "min",
					 (json_int_t)a->min, "max", (json_int_t)a->max, "kind",
					 (int)a->kind, "when", (int)a->when));
	}
	return array;
}

static json_t *describe_stats(const struct host_driver *driver)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < driver->stat_count; i++) {
		const struct umdev_stat *s = driver_stat(driver, i);

		json_array_append_new(array, json_pack("{s:s,s:s}", "name", s->name, "description",
						       s->description ? s->description : ""));
	}
	return array;
}

json_t *host_describe_driver(const struct host_driver *driver, uint64_t page_size)
{
	const struct umdev_driver *t = &driver->table;
	json_t *hello =
		json_pack("{s:i,s:i,s:{s:s,s:s,s:s,s:I,s:i,s:I},s:o,s:o,s:o}", "version",
			  LINK_VERSION, "pid", (int)getpid(), "driver", "name", t->name,
			  "description", t->description, "version", t->version, "flags",
			  (json_int_t)t->flags, "state_version", (int)t->state_version, "page_size",
			  (json_int_t)page_size, "options", describe_options(driver), "attrs",
			  describe_attrs(driver), "stats", describe_stats(driver));

	if (t->convert)
		json_object_set_new(json_object_get(hello, "driver"), "state_from",
				    json_integer(t->state_from));
	return hello;
}

json_t *host_describe_hello(const struct umdev_parent *parent)
{
	json_t *hello = host_describe_driver(&parent->driver,
					     page_size_for(parent->driver.table.state_size));
	char layout[32];

	host_page_layout(layout, sizeof(layout));
	if (hello) {
		json_object_set_new(hello, "page_layout", json_string(layout));
		json_object_set_new(hello, "sandbox",
				    sandbox_print(&parent->sandbox, &parent->driver));
	}
	return hello;
}

static json_t *describe_type_attrs(const struct umdev_type *type)
{
	json_t *array = json_array();

	for (uint32_t i = 0; type->attrs && type->attrs[i].name && i < DRIVER_TABLE_MAX; i++)
		json_array_append_new(array, json_pack("[s,o]", type->attrs[i].name,
						       describe_text(type->attrs[i].value)));
	return array;
}

static json_t *describe_type(const struct umdev_type *type)
{
	json_t *t;

	t = json_pack("{s:s,s:s,s:s,s:I,s:I,s:i,s:i,s:i,s:i,s:o}", "id", type->id, "name",
		      type->name, "class", type->class_name, "cost", (json_int_t)type->cost,
		      "flags", (json_int_t)type->flags, "group_scope", (int)type->group_scope,
		      "requires_group", (int)type->requires_group, "group_hotplug",
		      (int)type->group_hotplug, "qos", (int)type->qos, "attrs",
		      describe_type_attrs(type));
	if (t && type->description)
		json_object_set_new(t, "description", json_string(type->description));
	if (t && type->endpoint_kind != UMDEV_ENDPOINT_NONE)
		json_object_set_new(t, "endpoints",
				    json_pack("{s:s,s:i,s:i}", "name",
					      type->endpoint_name ? type->endpoint_name : "",
					      "kind", (int)type->endpoint_kind, "count",
					      (int)type->endpoint_count));
	return t;
}

json_t *host_describe_parent(const struct umdev_parent *parent)
{
	const struct umdev_parent_info *info = &parent->info;
	json_t *types = json_array();
	json_t *engines = json_array();

	for (uint32_t i = 0; i < info->type_count; i++)
		json_array_append_new(types, describe_type(driver_type(&parent->driver, info, i)));
	for (uint32_t i = 0; i < info->engine_count; i++) {
		const struct umdev_engine *e = driver_engine(&parent->driver, info, i);

		json_array_append_new(engines, json_pack("{s:s,s:i}", "name", e->name,
							 "parallelism", (int)e->parallelism));
	}
	return json_pack("{s:s,s:{s:I,s:I,s:s},s:o,s:o}", "description",
			 info->description ? info->description : "", "pool", "units",
			 (json_int_t)info->pool_units, "align",
			 (json_int_t)(info->pool_align ? info->pool_align : 1), "unit",
			 info->pool_unit ? info->pool_unit : "units", "engines", engines, "types",
			 types);
}
