/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vendor driver that lives outside of umdev's tree: a device that counts, one job for each count,
 * and takes its time for it. docs/writing-a-driver.md goes through it line by line.
 *
 * BAR 0, 32-bit registers: 0x0 id, 0x4 count, 0x8 asks for one more count when written; an
 * interrupt follows.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <umdev/driver.h>

#define COUNTER_ID    0x746e6365u
#define COUNTER_UNITS 8u
#define COUNTER_JOBS  16u
#define COUNTER_TIMER 0u

static const struct umdev_host_ops *host;

/* All that a guest can see. Another process may go on from it. */
struct counter_state {
	uint32_t id;
	uint32_t count;
};

struct counter {
	struct umdev_mdev *mdev;
	struct counter_state *state;
	uint64_t delay_ns;
	struct umdev_job *running;
	struct umdev_job jobs[COUNTER_JOBS];
	uint32_t asked; /* bit n: jobs[n] is queued or runs */
};

enum { ATTR_DELAY };
static const struct umdev_attr counter_attrs[] = {
	[ATTR_DELAY] = {.name = "delay_us",
			.description = "microseconds that one count takes",
			.default_value = "500",
			.min = 1,
			.max = 100000,
			.kind = UMDEV_KIND_U64,
			.when = UMDEV_WHEN_LIVE},
	{.name = NULL},
};

static const struct umdev_stat counter_stats[] = {
	{"counts", "counts since the last reset"},
	{NULL, NULL},
};

static const struct umdev_type counter_type = {
	.id = "one",
	.name = "Example counter",
	.description = "counts to four billion",
	.class_name = "compute",
	.cost = 1,
	.qos = UMDEV_QOS_CAP | UMDEV_QOS_WEIGHT | UMDEV_QOS_PRIORITY,
};

static int counter_parent_open(struct umdev_parent *parent, const struct umdev_parent_args *args,
			       struct umdev_parent_info *ret_info, void **ret_priv)
{
	(void)parent;
	(void)args;
	(void)ret_priv;
	ret_info->types = &counter_type;
	ret_info->type_count = 1;
	ret_info->pool_units = COUNTER_UNITS;
	ret_info->pool_unit = "counters";
	return 0;
}

static void counter_parent_close(void *parent_priv)
{
	(void)parent_priv;
}

/* ---- Jobs ---- */

static void counter_due(void *arg)
{
	struct counter *c = arg;
	struct umdev_job *job = c->running;

	c->running = NULL;
	c->asked &= ~(1u << (job - c->jobs));
	c->state->count++;
	host->job_done(c->mdev, job);
	host->irq_raise(c->mdev, 0);
}

/* One at a time: the parent declared no engine, which is one that takes one job. */
static void counter_job_start(void *mdev_priv, struct umdev_job *job)
{
	struct counter *c = mdev_priv;

	c->running = job;
	host->timer(c->mdev, COUNTER_TIMER, host->now_ns() + c->delay_ns, counter_due, c);
}

static void counter_ask(struct counter *c)
{
	for (uint32_t i = 0; i < COUNTER_JOBS; i++) {
		if (c->asked & 1u << i)
			continue;
		c->asked |= 1u << i;
		host->job_submit(c->mdev, &c->jobs[i]);
		return;
	}
}

/* Power-on state, and nothing left in progress. */
static int counter_reset(void *mdev_priv, uint32_t kind)
{
	struct counter *c = mdev_priv;

	(void)kind;
	host->timer(c->mdev, COUNTER_TIMER, 0, NULL, NULL);
	for (uint32_t i = 0; i < COUNTER_JOBS; i++)
		host->job_withdraw(c->mdev, &c->jobs[i]);
	if (c->running)
		host->job_done(c->mdev, c->running);
	c->running = NULL;
	c->asked = 0;
	*c->state = (struct counter_state){.id = COUNTER_ID};
	return 0;
}

/* ---- One device ---- */

static int counter_mdev_create(void *parent_priv, struct umdev_mdev *mdev,
			       const struct umdev_mdev_args *args, struct umdev_device *ret_device,
			       void **ret_priv)
{
	struct counter *c;
	struct counter_state *state = args->state;

	(void)parent_priv;
	/* Another process may have written it, so it is no better than any other input. */
	if (args->state_origin == UMDEV_STATE_RESUME && state->id != COUNTER_ID)
		return host->fail(EBADMSG, "the saved state is not that of a counter");
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->mdev = mdev;
	c->state = state;
	c->delay_ns = args->values[ATTR_DELAY].number * 1000;
	if (args->state_origin == UMDEV_STATE_NEW)
		counter_reset(c, UMDEV_RESET_DEVICE);
	ret_device->vendor_id = 0x1b36;
	ret_device->device_id = 0x00fd;
	ret_device->class_code = 0xff0000;
	ret_device->msi_vectors = 1;
	ret_device->bars[0].size = 4096;
	*ret_priv = c;
	return 0;
}

static int counter_region_read(void *mdev_priv, uint32_t bar, uint64_t offset, void *buf,
			       uint32_t len)
{
	const struct counter *c = mdev_priv;

	(void)bar;
	memset(buf, 0, len);
	if (offset + len <= sizeof(*c->state))
		memcpy(buf, (const char *)c->state + offset, len);
	return 0;
}

static int counter_region_write(void *mdev_priv, uint32_t bar, uint64_t offset, const void *buf,
				uint32_t len)
{
	(void)bar;
	(void)buf;
	if (offset == 0x8 && len == 4)
		counter_ask(mdev_priv);
	return 0;
}

static int counter_attr_set(void *mdev_priv, uint32_t index, const struct umdev_value *value)
{
	struct counter *c = mdev_priv;

	if (index != ATTR_DELAY)
		return host->fail(EINVAL, "a counter has no such attribute");
	c->delay_ns = value->number * 1000;
	return 0;
}

static void counter_stats_get(void *mdev_priv, uint64_t *values)
{
	const struct counter *c = mdev_priv;

	values[0] = c->state->count;
}

UMDEV_REGISTER_DRIVER(host, .name = "counter", .description = "an example from outside of the tree",
		      .version = "1", .attrs = counter_attrs, .stats = counter_stats,
		      .state_version = 1, .state_size = sizeof(struct counter_state),
		      .parent_open = counter_parent_open, .parent_close = counter_parent_close,
		      .mdev_create = counter_mdev_create, .mdev_remove = free,
		      .region_read = counter_region_read, .region_write = counter_region_write,
		      .reset = counter_reset, .job_start = counter_job_start,
		      .attr_set = counter_attr_set, .stats_get = counter_stats_get)
