/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A driver for the tests of clients that mean harm: a device that kills its host when its client
 * wants it to, in each of the ways in which a driver is called.
 *
 *   0x00  reads an id, or what was written to 0x04
 *   0x08  a write of N kills the first N hosts that are called for it
 *   0x0c  a write of N makes the device deadly to N hosts that look at it by themselves
 *   0x10  a write of N asks for guest memory at BRITTLE_IOVA; the answer is deadly to N hosts
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <umdev/driver.h>

#define BRITTLE_ID   0x6c747262u
#define BRITTLE_IOVA 0x100000u

static const struct umdev_host_ops *host;

struct brittle_state {
	uint32_t id;
	uint32_t scratch;
	uint32_t tries;
	uint32_t watched; /* deaths to come by looking */
	uint32_t answers;
	uint32_t reserved;
};

struct brittle_mdev {
	struct brittle_state *state;
	struct umdev_mdev *mdev;
	uint8_t memory[64];
	uint8_t asked;
};

static const struct umdev_type brittle_types[] = {
	{.id = "one", .name = "test brittle one", .class_name = "compute", .cost = 1},
};

static int brittle_parent_open(struct umdev_parent *parent, const struct umdev_parent_args *args,
			       struct umdev_parent_info *ret_info, void **ret_priv)
{
	ret_info->types = brittle_types;
	ret_info->type_count = 1;
	ret_info->pool_units = 8;
	ret_info->pool_unit = "devices";
	return 0;
}

static void brittle_parent_close(void *parent_priv)
{
}

static int brittle_reset(void *priv, uint32_t kind)
{
	struct brittle_mdev *m = priv;

	host->poll_mode(m->mdev, 0);
	*m->state = (struct brittle_state){.id = BRITTLE_ID};
	return 0;
}

static int brittle_mdev_create(void *parent_priv, struct umdev_mdev *mdev,
			       const struct umdev_mdev_args *args, struct umdev_device *ret_device,
			       void **ret_priv)
{
	struct brittle_mdev *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->state = args->state;
	m->mdev = mdev;
	if (args->state_origin == UMDEV_STATE_NEW)
		brittle_reset(m, UMDEV_RESET_DEVICE);
	host->poll_mode(mdev, m->state->watched > 0);
	ret_device->vendor_id = 0x1b36;
	ret_device->device_id = 0x00fc;
	ret_device->class_code = 0xff0000;
	ret_device->bars[0].size = 4096;
	*ret_priv = m;
	return 0;
}

static int brittle_region_read(void *priv, uint32_t bar, uint64_t offset, void *buf, uint32_t len)
{
	struct brittle_mdev *m = priv;

	memset(buf, 0, len);
	if (offset + len <= sizeof(*m->state))
		memcpy(buf, (const char *)m->state + offset, len);
	return 0;
}

static void brittle_die(uint32_t *left)
{
	if (*left == 0)
		return;
	(*left)--;
	raise(SIGKILL);
}

static uint32_t brittle_poll(void *priv)
{
	struct brittle_mdev *m = priv;

	brittle_die(&m->state->watched);
	return 0;
}

static void brittle_answered(void *arg, int status)
{
	struct brittle_mdev *m = arg;

	m->asked = 0;
	if (status == 0)
		brittle_die(&m->state->answers);
}

static int brittle_region_write(void *priv, uint32_t bar, uint64_t offset, const void *buf,
				uint32_t len)
{
	struct brittle_mdev *m = priv;
	uint32_t value;

	if (len != sizeof(value))
		return -EINVAL;
	memcpy(&value, buf, len);
	switch (offset) {
	case 0x04:
		m->state->scratch = value;
		break;
	case 0x08:
		if (++m->state->tries <= value)
			raise(SIGKILL);
		m->state->tries = 0;
		break;
	case 0x0c:
		m->state->watched = value;
		host->poll_mode(m->mdev, 1);
		break;
	case 0x10:
		if (m->asked)
			return -EBUSY;
		if (value > 0)
			m->state->answers = value;
		m->asked = 1;
		return host->dma_read(m->mdev, BRITTLE_IOVA, m->memory, sizeof(m->memory),
				      brittle_answered, m) == -EINPROGRESS
			       ? 0
			       : -EIO;
	default:
		break;
	}
	return 0;
}

UMDEV_REGISTER_DRIVER(host, .name = "brittle", .description = "for tests of clients that mean harm",
		      .version = "1", .state_version = 1,
		      .state_size = sizeof(struct brittle_state),
		      .parent_open = brittle_parent_open, .parent_close = brittle_parent_close,
		      .mdev_create = brittle_mdev_create, .mdev_remove = free,
		      .region_read = brittle_region_read, .region_write = brittle_region_write,
		      .reset = brittle_reset, .poll = brittle_poll)
