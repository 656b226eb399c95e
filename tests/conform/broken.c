/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vendor driver with one fault, chosen by -DFAULT=..., for tests of umdev-conform; without a
 * fault, it passes. -DDRIVER_NAME is the name in its table.
 *
 * With -DOLDER it is the one before, whose state has another layout.
 *
 * BAR 0, 32-bit registers: 0x0 id, 0x4 scratch, 0x8 jobs ended, where a write asks for one more,
 * which takes a millisecond; 0xc the attribute level.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <umdev/driver.h>

enum {
	NO_FAULT,
	WRONG_NAME,
	NO_RESET,
	BAD_ROW,
	DEFAULT_OUT_OF_RANGE,
	REFUSES_AGAIN,
	BAD_ID,
	NO_CLASS_ATTR,
	TWO_NAMES,
	TYPES_CHANGE,
	COST_ZERO,
	COST_TOO_MUCH,
	POOL_OVERSOLD,
	ORDER_MATTERS,
	LEAKS_MEMORY,
	LEAKS_WATCH,
	LEAKS_TIMER,
	RESET_KEEPS,
	LOST_KEEPS,
	RESET_LEAVES_JOB,
	RESET_NEVER_ENDS,
	STATE_ELSEWHERE,
	STATE_BELIEVED,
	STATE_OVERFLOWS,
	CRASHES_HIGH,
	HANGS_HIGH,
	WRITES_OUTSIDE,
	JOB_ENDED_TWICE,
	JOB_NEVER_ENDS,
	BAD_VECTOR,
	BAD_ANSWER,
	BLOCKS,
	HOLD_KEPT,
	RELEASED_TWICE,
	TAKES_ANY_ATTR,
	HALF_AN_ATTR,
	REFUSES_A_BOUND,
	GROUP_CHANGES_MIND,
	GROUP_ACTS,
	BAD_DEVICE,
	EARLY_END,
	CRASHES_ON_RESUME,
	SECOND_REFUSED,
	CONVERT_BELIEVES,
	CONVERT_TAKES_ANY,
	CONVERT_OVERFLOWS,
	CONVERT_FORGETS,
	CONVERT_CHANGES_MIND,
	CONVERT_ACTS,
};

#ifndef FAULT
#define FAULT NO_FAULT
#endif
#define HAS(fault) (FAULT == (fault))

#define UNITS	   8
#define JOBS	   4
#define BAR_SIZE   16384

static const struct umdev_host_ops *host;
static int opened; /* how often */
static uint32_t elsewhere;
static char owners[1000]; /* of watches that are forgotten */

struct state_1 {
	uint32_t id;
	uint32_t scratch;
	uint32_t jobs;
	uint32_t level;
	uint32_t table[4];
	uint32_t index;
};

struct state_2 {
	uint32_t id;
	uint32_t scratch;
	uint32_t jobs;
	uint32_t level;
	uint32_t index; /* of @table; anything in a page that nobody wrote */
	uint32_t table[4];
	uint32_t more[16];
};

#ifdef OLDER
#define state_now     state_1
#define STATE_VERSION 1
#else
#define state_now     state_2
#define STATE_VERSION 2
#endif

struct broken_parent {
	struct umdev_parent *handle;
	int event;
	uint32_t used;
	uint32_t most;
	uint32_t asked;
	struct umdev_type types[2];
};

struct broken_mdev {
	struct umdev_mdev *handle;
	struct broken_parent *parent;
	struct state_now *state;
	struct umdev_job jobs[JOBS];
	int busy[JOBS];
	struct umdev_job *started;
	int event;
	uint32_t number;
};

static const struct umdev_type_attr storage_attrs[] = {
	{"capacity", NULL},
	{HAS(NO_CLASS_ATTR) ? "blocks" : "block_size", "512"},
	{NULL, NULL},
};

static const struct umdev_attr attrs[] = {
	{.name = HAS(BAD_ROW) ? "Level!" : "level",
	 .description = "a number that the guest can see",
	 .default_value = HAS(DEFAULT_OUT_OF_RANGE) ? "11" : "3",
	 .min = 1,
	 .max = 10,
	 .kind = UMDEV_KIND_U64,
	 .when = UMDEV_WHEN_LIVE},
	{.name = "mode",
	 .description = "a word that nobody can see",
	 .default_value = "plain",
	 .choices = "plain fancy",
	 .kind = UMDEV_KIND_ENUM,
	 .when = UMDEV_WHEN_CREATE},
	{.name = NULL},
};

static const struct umdev_stat stats[] = {{"jobs", "jobs that ended"}, {NULL, NULL}};

static void event_ready(void *arg, uint32_t events)
{
	const struct broken_parent *p = arg;
	uint64_t count;

	if (read(p->event, &count, sizeof(count)) < 0)
		return;
}

static int broken_parent_open(struct umdev_parent *parent, const struct umdev_parent_args *args,
			      struct umdev_parent_info *ret_info, void **ret_priv)
{
	struct broken_parent *p;

	opened++;
	if (HAS(REFUSES_AGAIN) && opened > 1)
		return host->fail(EBUSY, "it was opened before");
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->handle = parent;
	p->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->event < 0 || host->fd_watch(parent, p->event, 1, event_ready, p) < 0) {
		free(p);
		return -EIO;
	}
	p->types[0] = (struct umdev_type){
		.id = HAS(BAD_ID) ? "Small Disk" : "small",
		.name = "conform small",
		.class_name = "storage",
		.attrs = storage_attrs,
		.cost = HAS(COST_ZERO)			  ? 0
			: HAS(COST_TOO_MUCH)		  ? UNITS + 1
			: HAS(TYPES_CHANGE) && opened > 1 ? 2
							  : 1,
		.group_scope = UMDEV_GROUP_DEVICE,
		.qos = UMDEV_QOS_CAP | UMDEV_QOS_WEIGHT | UMDEV_QOS_PRIORITY,
	};
	p->types[1] = p->types[0];
	p->types[1].id = "large";
	p->types[1].name = HAS(TWO_NAMES) ? "conform small" : "conform large";
	p->types[1].cost = HAS(COST_TOO_MUCH) ? UNITS + 2 : 3;
	ret_info->types = p->types;
	ret_info->type_count = 2;
	ret_info->pool_units = UNITS;
	*ret_priv = p;
	return 0;
}

static void broken_parent_close(void *parent_priv)
{
	struct broken_parent *p = parent_priv;

	host->fd_unwatch(p->handle, p->event);
	close(p->event);
	free(p);
}

/* ---- Jobs ---- */

static void job_end(struct broken_mdev *m)
{
	struct umdev_job *job = m->started;

	m->started = NULL;
	m->busy[job - m->jobs] = 0;
	m->state->jobs++;
	host->job_done(m->handle, job);
	if (HAS(JOB_ENDED_TWICE))
		host->job_done(m->handle, job);
	host->irq_raise(m->handle, HAS(BAD_VECTOR) ? 4 : 0);
}

static void job_due(void *arg)
{
	struct broken_mdev *m = arg;

	if (!HAS(JOB_NEVER_ENDS))
		job_end(m);
}

static void broken_job_start(void *priv, struct umdev_job *job)
{
	struct broken_mdev *m = priv;

	m->started = job;
	host->timer(m->handle, 0, host->now_ns() + 1000000, job_due, m);
}

static void job_ask(struct broken_mdev *m)
{
	for (uint32_t i = 0; i < JOBS; i++) {
		if (m->busy[i])
			continue;
		m->busy[i] = 1;
		host->job_submit(m->handle, &m->jobs[i]);
		return;
	}
}

static void jobs_drop(struct broken_mdev *m)
{
	host->timer(m->handle, 0, 0, NULL, NULL);
	for (uint32_t i = 0; i < JOBS; i++) {
		host->job_withdraw(m->handle, &m->jobs[i]);
		m->busy[i] = 0;
	}
	if (m->started && !HAS(RESET_LEAVES_JOB)) {
		if (HAS(EARLY_END))
			host->job_done_at(m->handle, m->started, host->now_ns() + 1000000000);
		else
			host->job_done(m->handle, m->started);
	}
	m->started = NULL;
}

static int broken_reset(void *priv, uint32_t kind)
{
	struct broken_mdev *m = priv;
	uint32_t scratch = m->state->scratch;
	uint32_t level = m->state->level;

	jobs_drop(m);
	*m->state = (struct state_now){.id = 0x6b6f7262, .level = level};
	if (HAS(RESET_KEEPS) && kind == UMDEV_RESET_DEVICE)
		m->state->scratch = scratch;
	if (HAS(LOST_KEEPS) && kind == UMDEV_RESET_LOST)
		m->state->scratch = scratch;
	elsewhere = 0;
	if (HAS(RESET_NEVER_ENDS) && kind == UMDEV_RESET_FLR)
		return -EINPROGRESS;
	return 0;
}

/* ---- Life ---- */

/* Whether another process left a state in which everything is possible. */
static int state_good(const struct state_now *st)
{
	return st->id == 0x6b6f7262 && st->index < 4 && st->level <= 10;
}

static void mdev_begin(struct broken_mdev *m, const struct umdev_mdev_args *args)
{
	m->state->level = (uint32_t)args->values[0].number;
	broken_reset(m, UMDEV_RESET_DEVICE);
	if (HAS(STATE_OVERFLOWS))
		((volatile uint8_t *)m->state)[sizeof(struct state_now) + 3] = 1;
}

static int mdev_limits(const struct broken_parent *p, const struct umdev_mdev_args *args)
{
	if (HAS(POOL_OVERSOLD) && p->used >= 7)
		return host->fail(ENOSPC, "there is no room");
	if (args->piece_start + args->piece_size > UNITS)
		return host->fail(EINVAL, "the piece lies outside of the pool");
	if (HAS(CRASHES_ON_RESUME) && args->state_origin == UMDEV_STATE_RESUME)
		abort();
	if (HAS(SECOND_REFUSED) && args->piece_start == 1)
		return host->fail(EIO, "the second unit is broken");
	if (args->state_origin == UMDEV_STATE_RESUME && !HAS(STATE_BELIEVED) &&
	    !state_good(args->state))
		return host->fail(EBADMSG, "the state is damaged");
	return 0;
}

static int broken_mdev_create(void *parent_priv, struct umdev_mdev *mdev,
			      const struct umdev_mdev_args *args, struct umdev_device *ret_device,
			      void **ret_priv)
{
	struct broken_parent *p = parent_priv;
	struct broken_mdev *m;
	int r = mdev_limits(p, args);

	if (r < 0)
		return r;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->handle = mdev;
	m->parent = p;
	m->state = args->state;
	m->number = p->used++;
	p->most = p->used > p->most ? p->used : p->most;
	m->event = -1;
	if (args->state_origin == UMDEV_STATE_NEW)
		mdev_begin(m, args);
	if (HAS(LEAKS_WATCH)) {
		m->event = eventfd(0, EFD_CLOEXEC);
		host->fd_watch(p->handle, m->event, 1, event_ready, &owners[opened++ % 1000]);
	}
	ret_device->vendor_id = HAS(BAD_DEVICE) ? 0xffff : 0x1b36;
	ret_device->device_id = 0x00fe;
	ret_device->class_code = 0xff0000;
	ret_device->flags = UMDEV_PCI_EXPRESS | UMDEV_PCI_FLR;
	ret_device->msi_vectors = 4;
	ret_device->bars[0].size = HAS(BAD_DEVICE) ? 5000 : BAR_SIZE;
	*ret_priv = m;
	return 0;
}

static void broken_mdev_remove(void *priv)
{
	struct broken_mdev *m = priv;

	m->parent->used--;
	if (HAS(ORDER_MATTERS) && m->number == 1 && m->parent->used == 3 && m->parent->most == 4)
		abort();
	if (HAS(LEAKS_WATCH))
		close(m->event);
	if (HAS(LEAKS_TIMER))
		host->timer(m->handle, 1, host->now_ns() + 1000000000, job_due, m);
	else if (m->started)
		host->timer(m->handle, 0, 0, NULL, NULL);
	if (HAS(LEAKS_MEMORY))
		m = calloc(1, 100);
	if (!HAS(LEAKS_MEMORY))
		free(m);
}

/* ---- Registers ---- */

static int broken_region_read(void *priv, uint32_t bar, uint64_t offset, void *buf, uint32_t len)
{
	struct broken_mdev *m = priv;
	struct state_now st = *m->state;

	/* Where it is read at its last byte: what nobody does who reads word by word. */
	if (HAS(HANGS_HIGH) && offset == BAR_SIZE - 1)
		pause();
	if (HAS(BLOCKS) && offset == BAR_SIZE - 1)
		usleep(1200000);
	if (HAS(STATE_ELSEWHERE))
		st.scratch = elsewhere;
	if (HAS(STATE_BELIEVED))
		st.jobs += st.table[st.index];
	memset(buf, 0, len + (HAS(WRITES_OUTSIDE) && len == 1 ? 1 : 0));
	if (offset + len <= 16)
		memcpy(buf, (const char *)&st + offset, len);
	if (HAS(BAD_ANSWER) && offset == 0x20)
		return (int)len;
	return 0;
}

static int broken_region_write(void *priv, uint32_t bar, uint64_t offset, const void *buf,
			       uint32_t len)
{
	struct broken_mdev *m = priv;
	struct iovec iov;

	if (HAS(CRASHES_HIGH) && offset == BAR_SIZE - 8 && len == 8)
		*(volatile int *)(uintptr_t)offset = 1;
	if ((HAS(HOLD_KEPT) || HAS(RELEASED_TWICE)) && offset == 0x10 &&
	    host->dma_map(m->handle, 0x200000, 16, UMDEV_DMA_READ, &iov, 1) == 1) {
		uint32_t token = host->dma_hold(m->handle);

		for (unsigned i = 0; i < 2 && HAS(RELEASED_TWICE); i++)
			host->dma_release(m->handle, token);
	}
	if (offset == 0x4 && len == 4) {
		memcpy(&m->state->scratch, buf, len);
		elsewhere = m->state->scratch;
	}
	if (offset == 0x8 && len == 4)
		job_ask(m);
	return 0;
}

/* ---- Attributes, statistics, groups ---- */

static int broken_attr_set(void *priv, uint32_t index, const struct umdev_value *value)
{
	struct broken_mdev *m = priv;

	if (index != 0)
		return HAS(TAKES_ANY_ATTR) ? 0 : host->fail(EINVAL, "it cannot change");
	if (HAS(REFUSES_A_BOUND) && value->number == 10)
		return host->fail(EINVAL, "that is too much");
	if (HAS(HALF_AN_ATTR))
		m->state->level = (uint32_t)value->number;
	if (HAS(HALF_AN_ATTR) && value->number == 5)
		return host->fail(EINVAL, "five is right out");
	m->state->level = (uint32_t)value->number;
	return 0;
}

static void broken_stats_get(void *priv, uint64_t *values)
{
	const struct broken_mdev *m = priv;

	values[0] = m->state->jobs;
}

static int broken_group_check(void *parent_priv, const char *group,
			      const struct umdev_group_member *members, uint32_t count)
{
	struct broken_parent *p = parent_priv;

	p->asked++;
	if (HAS(GROUP_ACTS))
		host->fd_unwatch(p->handle, p->event);
	if (HAS(GROUP_CHANGES_MIND) && p->asked % 2 == 0)
		return host->fail(EBUSY, "not today");
	return count > 6 ? host->fail(EINVAL, "more than six are no group") : 0;
}

/* ---- The state of the driver before ---- */

#ifndef OLDER
static int broken_convert(const struct umdev_old_state *old)
{
	static unsigned asked;
	const struct state_1 *was = old->state;
	struct state_now *now = old->to;

	if (HAS(CONVERT_ACTS))
		(void)host->now_ns();
	if (old->version != 1 || (old->state_size != sizeof(*was) && !HAS(CONVERT_BELIEVES)))
		return host->fail(EBADMSG, "a state of version 1 has another size");
	now->id = was->id;
	now->scratch = HAS(CONVERT_FORGETS) ? 0 : was->scratch;
	now->jobs = was->jobs + (HAS(CONVERT_CHANGES_MIND) ? asked++ : 0);
	now->level = was->level;
	now->index = was->index;
	memcpy(now->table, was->table, sizeof(now->table));
	if (HAS(CONVERT_OVERFLOWS))
		((volatile uint8_t *)now)[sizeof(*now) + 3] = 1;
	if (!state_good(now) && !HAS(CONVERT_TAKES_ANY))
		return host->fail(EBADMSG, "the state is damaged");
	return 0;
}
#endif

UMDEV_REGISTER_DRIVER(host, .name = HAS(WRONG_NAME) ? "other" : DRIVER_NAME,
		      .description = "a driver with a fault", .version = "1", .attrs = attrs,
		      .stats = stats, .state_version = STATE_VERSION,
		      .state_size = sizeof(struct state_now), .parent_open = broken_parent_open,
		      .parent_close = broken_parent_close, .mdev_create = broken_mdev_create,
		      .mdev_remove = broken_mdev_remove, .region_read = broken_region_read,
		      .region_write = broken_region_write,
		      .reset = HAS(NO_RESET) ? NULL : broken_reset, .job_start = broken_job_start,
		      .attr_set = broken_attr_set, .stats_get = broken_stats_get,
#ifndef OLDER
		      .convert = broken_convert, .state_from = 1,
#endif
		      .group_check = broken_group_check)
