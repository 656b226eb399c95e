/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A driver for the tests of groups: one device of four kinds, which differ in what they are to a
 * group, and a creation that fails on request.
 *
 *   alone   may be in none
 *   pair    on one parent only, in a group only, two at most; not while the group is used
 *   deck    on any parents; not while the group is used
 *   part    on any parents, at any time
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <umdev/driver.h>

static const struct umdev_host_ops *host;

struct crew_state {
	uint32_t id;
	uint32_t scratch;
};

struct crew_mdev {
	struct crew_state *state;
};

#define CREW_TYPE(the_id, ...)                                                                     \
	{                                                                                          \
		.id = the_id, .name = "test crew " the_id, .class_name = "compute", .cost = 1,     \
		.qos = UMDEV_QOS_CAP | UMDEV_QOS_WEIGHT | UMDEV_QOS_PRIORITY, __VA_ARGS__          \
	}

static const struct umdev_type crew_types[] = {
	CREW_TYPE("alone", .group_scope = UMDEV_GROUP_NONE),
	CREW_TYPE("pair", .group_scope = UMDEV_GROUP_DEVICE, .requires_group = 1),
	CREW_TYPE("deck", .group_scope = UMDEV_GROUP_DRIVER),
	CREW_TYPE("part", .group_scope = UMDEV_GROUP_DRIVER, .group_hotplug = 1),
};

static const struct umdev_attr crew_attrs[] = {
	{.name = "fail",
	 .description = "whether its creation fails",
	 .default_value = "0",
	 .kind = UMDEV_KIND_BOOL,
	 .when = UMDEV_WHEN_CREATE},
	{0},
};

static int crew_parent_open(struct umdev_parent *parent, const struct umdev_parent_args *args,
			    struct umdev_parent_info *ret_info, void **ret_priv)
{
	ret_info->types = crew_types;
	ret_info->type_count = sizeof(crew_types) / sizeof(crew_types[0]);
	ret_info->pool_units = 8;
	ret_info->pool_unit = "seats";
	return 0;
}

static void crew_parent_close(void *parent_priv)
{
}

static int crew_group_check(void *parent_priv, const char *group,
			    const struct umdev_group_member *members, uint32_t count)
{
	uint32_t pairs = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (strcmp(members[i].type_id, "pair") == 0 && ++pairs > 2)
			return host->fail(EINVAL, "a pair has no room for %s", members[i].uuid);
	}
	return 0;
}

static int crew_reset(void *priv, uint32_t kind)
{
	struct crew_mdev *m = priv;

	*m->state = (struct crew_state){.id = 0x77657263};
	return 0;
}

static int crew_mdev_create(void *parent_priv, struct umdev_mdev *mdev,
			    const struct umdev_mdev_args *args, struct umdev_device *ret_device,
			    void **ret_priv)
{
	struct crew_mdev *m;

	if (args->values[0].number)
		return host->fail(EIO, "%s fails as asked", args->uuid);
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->state = args->state;
	if (args->state_origin == UMDEV_STATE_NEW)
		crew_reset(m, UMDEV_RESET_DEVICE);
	ret_device->vendor_id = 0x1b36;
	ret_device->device_id = 0x00fd;
	ret_device->class_code = 0xff0000;
	ret_device->msi_vectors = 1;
	ret_device->bars[0].size = 4096;
	*ret_priv = m;
	return 0;
}

static int crew_region_read(void *priv, uint32_t bar, uint64_t offset, void *buf, uint32_t len)
{
	struct crew_mdev *m = priv;

	memset(buf, 0, len);
	if (offset + len <= sizeof(*m->state))
		memcpy(buf, (const char *)m->state + offset, len);
	return 0;
}

static int crew_region_write(void *priv, uint32_t bar, uint64_t offset, const void *buf,
			     uint32_t len)
{
	struct crew_mdev *m = priv;

	if (offset == 4 && len == 4)
		memcpy(&m->state->scratch, buf, len);
	return 0;
}

UMDEV_REGISTER_DRIVER(host, .name = "crew", .description = "for the tests of groups",
		      .version = "1", .state_version = 1, .state_size = sizeof(struct crew_state),
		      .attrs = crew_attrs, .parent_open = crew_parent_open,
		      .parent_close = crew_parent_close, .mdev_create = crew_mdev_create,
		      .mdev_remove = free, .region_read = crew_region_read,
		      .region_write = crew_region_write, .reset = crew_reset,
		      .group_check = crew_group_check)
