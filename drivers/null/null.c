/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The smallest vendor driver: no hardware behind it. Copy this directory to begin a driver of your
 * own; umdev/driver.h explains every member.
 *
 * BAR 0, 32-bit registers: 0x0 id, 0x4 scratch, 0x8 jobs ended; a write to 0x8 asks for one more
 * job and an interrupt at its end.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <umdev/driver.h>

static const struct umdev_host_ops *host;

/* All that a guest can see stands in the state page, so that another process can go on from here.
 */
struct null_state {
	uint32_t id;
	uint32_t scratch;
	uint32_t jobs;
};

struct null_mdev {
	struct umdev_mdev *handle;
	struct null_state *state;
	struct umdev_job job;
};

static const struct umdev_type null_type = {
	.id = "basic",
	.name = "umdev null device",
	.description = "PCI device with a scratch register",
	.class_name = "compute",
	.cost = 1,
};

static int null_parent_open(struct umdev_parent *parent, const struct umdev_parent_args *args,
			    struct umdev_parent_info *ret_info, void **ret_priv)
{
	ret_info->types = &null_type;
	ret_info->type_count = 1;
	ret_info->pool_units = 16;
	return 0;
}

static void null_parent_close(void *parent_priv)
{
}

static int null_reset(void *priv, uint32_t kind)
{
	struct null_mdev *m = priv;

	host->job_withdraw(m->handle, &m->job);
	*m->state = (struct null_state){.id = 0x6c6c756e};
	return 0;
}

static int null_mdev_create(void *parent_priv, struct umdev_mdev *mdev,
			    const struct umdev_mdev_args *args, struct umdev_device *ret_device,
			    void **ret_priv)
{
	struct null_mdev *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->handle = mdev;
	m->state = args->state;
	if (args->state_origin == UMDEV_STATE_NEW)
		null_reset(m, UMDEV_RESET_DEVICE);
	ret_device->vendor_id = 0x1b36;
	ret_device->device_id = 0x00fe; /* no stock driver binds to it */
	ret_device->class_code = 0xff0000;
	ret_device->msi_vectors = 1;
	ret_device->bars[0].size = 4096;
	*ret_priv = m;
	return 0;
}

static int null_region_read(void *priv, uint32_t bar, uint64_t offset, void *buf, uint32_t len)
{
	struct null_mdev *m = priv;

	memset(buf, 0, len);
	if (offset + len <= sizeof(*m->state))
		memcpy(buf, (const char *)m->state + offset, len);
	return 0;
}

static int null_region_write(void *priv, uint32_t bar, uint64_t offset, const void *buf,
			     uint32_t len)
{
	struct null_mdev *m = priv;

	if (offset == 0x4 && len == 4)
		memcpy(&m->state->scratch, buf, len);
	if (offset == 0x8)
		host->job_submit(m->handle, &m->job);
	return 0;
}

static void null_job_start(void *priv, struct umdev_job *job)
{
	struct null_mdev *m = priv;

	m->state->jobs++;
	host->job_done(m->handle, job);
	host->irq_raise(m->handle, 0);
}

UMDEV_REGISTER_DRIVER(host, .name = "null", .description = "example without hardware",
		      .version = "1", .state_version = 1, .state_size = sizeof(struct null_state),
		      .parent_open = null_parent_open, .parent_close = null_parent_close,
		      .mdev_create = null_mdev_create, .mdev_remove = free,
		      .region_read = null_region_read, .region_write = null_region_write,
		      .reset = null_reset, .job_start = null_job_start)
