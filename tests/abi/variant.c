/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A driver that is well made or wrong in one way, which the environment variable
 * UMDEV_TEST_VARIANT names at each entry. What it hands out is larger than today's table, as from a
 * driver that was built against a later header.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <umdev/driver.h>

/* Today's table and rows, grown at their ends. */
struct later_driver {
	struct umdev_driver now;
	int (*later_callback)(void *mdev_priv);
	uint64_t later_value;
};

struct later_option {
	struct umdev_option now;
	const char *later_text;
	uint64_t later_value;
};

static int variant_parent_open(struct umdev_parent *parent, const struct umdev_parent_args *args,
			       struct umdev_parent_info *ret_info, void **ret_priv)
{
	return 0;
}

static void variant_parent_close(void *parent_priv)
{
}

static int variant_mdev_create(void *parent_priv, struct umdev_mdev *mdev,
			       const struct umdev_mdev_args *args, struct umdev_device *ret_device,
			       void **ret_priv)
{
	return 0;
}

static void variant_mdev_remove(void *mdev_priv)
{
}

static int variant_region_read(void *mdev_priv, uint32_t bar, uint64_t offset, void *buf,
			       uint32_t len)
{
	memset(buf, 0, len);
	return 0;
}

static int variant_region_write(void *mdev_priv, uint32_t bar, uint64_t offset, const void *buf,
				uint32_t len)
{
	return 0;
}

static int variant_reset(void *mdev_priv, uint32_t kind)
{
	return 0;
}

static int variant_attr_set(void *mdev_priv, uint32_t index, const struct umdev_value *value)
{
	return 0;
}

static void variant_stats_get(void *mdev_priv, uint64_t *values)
{
	values[0] = 7;
}

/* From what begins with a 1. */
static int variant_convert(const struct umdev_old_state *old)
{
	if (old->version == 2)
		return 1; /* against the contract */
	if (old->state_size < 1 || *(const char *)old->state != 1)
		return -EBADMSG;
	*(char *)old->to = 2;
	return 0;
}

static const struct later_option variant_options[] = {
	{.now = {.name = "one", .description = "first", .max = 10, .kind = UMDEV_KIND_U64},
	 .later_value = UINT64_MAX},
	{.now = {.name = "two", .description = "second", .max = 20, .kind = UMDEV_KIND_U64},
	 .later_value = UINT64_MAX},
	{.now = {.name = NULL}},
};

static const struct umdev_attr variant_attrs[] = {
	{.name = "live",
	 .description = "may change",
	 .default_value = "0",
	 .max = 1,
	 .kind = UMDEV_KIND_U64,
	 .when = UMDEV_WHEN_LIVE},
	{.name = NULL},
};

static const struct umdev_stat variant_stats[] = {
	{.name = "seven", .description = "always seven"},
	{.name = NULL},
};

static const struct umdev_need variant_needs[] = {
	{UMDEV_NEED_FILES, "to have one"},
	{UMDEV_NEED_THREADS, "to have another"},
	{NULL, NULL},
};
static const struct umdev_need variant_wings[] = {{"wings", "to fly"}, {NULL, NULL}};
static const struct umdev_need variant_no_reason[] = {{UMDEV_NEED_FILES, NULL}, {NULL, NULL}};

static const struct later_driver variant_good = {
	.now = {.struct_size = sizeof(struct later_driver),
		.abi_version = UMDEV_ABI_VERSION,
		.name = "variant",
		.description = "test",
		.version = "1",
		.options = &variant_options[0].now,
		.attrs = variant_attrs,
		.stats = variant_stats,
		.option_size = sizeof(struct later_option),
		.attr_size = sizeof(struct umdev_attr),
		.stat_size = sizeof(struct umdev_stat),
		.type_size = sizeof(struct umdev_type),
		.engine_size = sizeof(struct umdev_engine),
		.state_size = 4096,
		.parent_open = variant_parent_open,
		.parent_close = variant_parent_close,
		.mdev_create = variant_mdev_create,
		.mdev_remove = variant_mdev_remove,
		.region_read = variant_region_read,
		.region_write = variant_region_write,
		.reset = variant_reset,
		.attr_set = variant_attr_set,
		.stats_get = variant_stats_get,
		.needs = variant_needs,
		.need_size = sizeof(struct umdev_need)},
	.later_callback = (int (*)(void *))0x10,
	.later_value = UINT64_MAX,
};

/* Takes one mandatory callback away. Returns 1 when @name was one. */
static int variant_drop_callback(struct umdev_driver *t, const char *name)
{
	if (strcmp(name, "parent_open") == 0)
		t->parent_open = NULL;
	else if (strcmp(name, "parent_close") == 0)
		t->parent_close = NULL;
	else if (strcmp(name, "mdev_create") == 0)
		t->mdev_create = NULL;
	else if (strcmp(name, "mdev_remove") == 0)
		t->mdev_remove = NULL;
	else if (strcmp(name, "reset") == 0)
		t->reset = NULL;
	else if (strcmp(name, "attr_set") == 0)
		t->attr_set = NULL;
	else if (strcmp(name, "stats_get") == 0)
		t->stats_get = NULL;
	else
		return 0;
	return 1;
}

/* Spoils the table in one way. */
static void variant_spoil(struct umdev_driver *t, const char *name)
{
	if (variant_drop_callback(t, name))
		return;
	if (strcmp(name, "exact") == 0)
		t->struct_size = sizeof(*t);
	else if (strcmp(name, "short") == 0)
		t->struct_size = offsetof(struct umdev_driver, convert) - 8;
	else if (strcmp(name, "first") == 0) { /* what lies behind it is not the table's */
		t->struct_size = offsetof(struct umdev_driver, convert);
		t->convert = variant_convert;
		t->state_from = 7;
	} else if (strcmp(name, "converts") == 0) {
		t->convert = variant_convert;
		t->state_version = 3;
		t->state_from = 1;
	} else if (strcmp(name, "converts_itself") == 0) {
		t->convert = variant_convert;
		t->state_version = 3;
		t->state_from = 3;
	} else if (strcmp(name, "no_convert") == 0)
		t->state_from = 1;
	else if (strcmp(name, "empty") == 0)
		t->struct_size = 0;
	else if (strcmp(name, "version") == 0)
		t->abi_version = UMDEV_ABI_VERSION + 1;
	else if (strcmp(name, "name") == 0)
		t->name = "other";
	else if (strcmp(name, "no_name") == 0)
		t->name = NULL;
	else if (strcmp(name, "no_description") == 0)
		t->description = NULL;
	else if (strcmp(name, "short_rows") == 0)
		t->option_size = sizeof(struct umdev_option) - 8;
	else if (strcmp(name, "short_needs") == 0)
		t->need_size = sizeof(struct umdev_need) - 8;
	else if (strcmp(name, "wants_wings") == 0)
		t->needs = variant_wings;
	else if (strcmp(name, "no_reason") == 0)
		t->needs = variant_no_reason;
	else if (strcmp(name, "no_needs") == 0)
		t->needs = NULL;
	else if (strcmp(name, "large_state") == 0)
		t->state_size = 1024 * 1024 + 1;
}

__attribute__((visibility("default"))) const struct umdev_driver *
umdev_driver_entry(uint32_t host_abi, const struct umdev_host_ops *ops)
{
	static struct later_driver table;
	const char *variant = getenv("UMDEV_TEST_VARIANT");

	if (variant && strcmp(variant, "refuses") == 0)
		return NULL;
	table = variant_good;
	variant_spoil(&table.now, variant ? variant : "");
	return &table.now;
}
