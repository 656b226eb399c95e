/* SPDX-License-Identifier: BSD-3-Clause */
/* Life of driver, parent and mdevs under the harness. See kit.h. */
#include "kit.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/clock.h"

#define KIT_PAGE 4096u
/* A callback may not block; this is what a loaded machine may make of one that does not. */
#define KIT_CALL_NS NS_PER_S
/* How often a backing that is still locked is tried, 10 ms apart. */
#define KIT_LOCK_TRIES 300
/* Fills what lies behind a driver's state. */

struct kit *kit_self;

static void *kit_map(size_t size, int flags)
{
	void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS | MAP_NORESERVE,
			 -1, 0);

	if (map == MAP_FAILED)
		verdict_skip("cannot map %zu bytes: %s", size, strerror(errno));
	return map;
}

struct kit *kit_new(const struct conform_options *options)
{
	struct kit *kit = kit_map(sizeof(*kit), MAP_PRIVATE);

	kit->options = options;
	kit->parent.kit = kit;
	kit->jobs = kit_map(KIT_JOBS * sizeof(*kit->jobs), MAP_PRIVATE);
	kit->memory = kit_map(KIT_MEMORY, MAP_SHARED);
	kit->bar_arena = kit_map(KIT_BAR_ARENA, MAP_SHARED);
	kit->thread = gettid();
	for (uint32_t i = 0; i < KIT_WATCHES; i++)
		kit->watches[i].fd = -1;
	kit_self = kit;
	return kit;
}

void kit_leave(struct kit *kit, const char *callback)
{
	uint64_t took_ns = verdict_done();

	kit->depth--;
	if (took_ns > KIT_CALL_NS && strcmp(callback, "parent_open") != 0 &&
	    strcmp(callback, "parent_close") != 0)
		verdict_broken(RULE_TIME, "%s took %llu ms; callbacks must not block",
			       verdict_page->doing, took_ns / NS_PER_MS);
}

int kit_load(struct kit *kit, struct umdev_error *err)
{
	int r;

	kit->thread = gettid();
	if (!kit->options->name[0])
		return error_set(err, ERROR_INVALID, "its file is not named umdev-driver-NAME.so");
	kit_enter(kit, "its entry");
	r = driver_load(kit->options->path, kit->options->name, &kit_ops, &kit->driver, err);
	kit_leave(kit, "entry");
	kit->loaded = r == 0;
	return r;
}

/* Values and descriptors of the options, once for all openings. */
static int kit_option_values(struct kit *kit, struct umdev_error *err)
{
	struct umdev_value *values = NULL;
	int r;

	if (kit->values)
		return 0;
	r = bridge_option_values(&kit->driver, kit->options->parent, &values, err);
	for (unsigned tries = 0; r == 0; tries++) {
		r = bridge_open_backings(&kit->driver, kit->options->parent, values, err);
		if (r == 0 || err->word != ERROR_LOCKED || tries == KIT_LOCK_TRIES)
			break;
		/* The kernel closes what the last check left in its own time. */
		(void)poll(NULL, 0, 10);
		r = 0;
	}
	if (r < 0) {
		bridge_values_free(values, kit->driver.option_count);
		return r;
	}
	kit->values = values;
	return 0;
}

/* What the host asks of an open parent before it goes on. */
static int kit_check_info(const struct kit *kit, struct umdev_error *err)
{
	const struct umdev_parent_info *info = &kit->info;

	if (info->type_count == 0 || info->type_count > DRIVER_TABLE_MAX || !info->types)
		return error_set(err, ERROR_DRIVER_FAILED,
				 "it offers %u types; 1 to %d are possible", info->type_count,
				 DRIVER_TABLE_MAX);
	if (info->engine_count > KIT_ENGINES || (info->engine_count > 0 && !info->engines))
		return error_set(err, ERROR_DRIVER_FAILED,
				 "it declares %u engines, at most %d are possible",
				 info->engine_count, KIT_ENGINES);
	for (uint32_t i = 0; i < info->type_count; i++) {
		const struct umdev_type *t = driver_type(&kit->driver, info, i);

		if (!t->id || !t->name || !t->class_name)
			return error_set(err, ERROR_DRIVER_FAILED,
					 "type %u has no id, no name or no class", i);
	}
	return 0;
}

int kit_open(struct kit *kit, struct umdev_error *err)
{
	struct umdev_parent_args args = {.struct_size = sizeof(args), .name = "conform"};
	int r = kit_option_values(kit, err);

	if (r < 0)
		return r;
	args.values = kit->values;
	args.value_count = kit->driver.option_count;
	kit->parent_priv = NULL;
	kit_enter(kit, "parent_open");
	r = driver_parent_open(&kit->driver, &kit->parent, &args, &kit->info, &kit->parent_priv,
			       err);
	kit_leave(kit, "parent_open");
	if (r < 0)
		return r;
	r = kit_check_info(kit, err);
	if (r == 0)
		r = kit_engines_new(kit, err);
	if (r < 0) {
		driver_parent_close(&kit->driver, kit->parent_priv);
		return r;
	}
	for (uint32_t i = 0; i < kit->driver.option_count; i++)
		kit->values[i].flags &= ~UMDEV_BACKING_CREATED;
	kit->opened = true;
	return 0;
}

void kit_up(struct kit *kit)
{
	struct umdev_error err = {0};

	if (!kit->loaded && kit_load(kit, &err) < 0)
		verdict_skip("the driver is not loaded: %s", err.message);
	if (!kit->opened && kit_open(kit, &err) < 0)
		verdict_skip("the parent does not open: %s", err.message);
}

void kit_close(struct kit *kit)
{
	for (uint32_t i = 0; i < KIT_MDEVS; i++) {
		if (kit->mdevs[i])
			kit_remove(kit->mdevs[i]);
	}
	if (kit->opened) {
		kit_enter(kit, "parent_close");
		driver_parent_close(&kit->driver, kit->parent_priv);
		kit_leave(kit, "parent_close");
		kit_engines_free(kit);
	}
	kit->opened = false;
	for (uint32_t i = 0; i < KIT_WATCHES; i++) {
		if (kit->watches[i].fd < 0)
			continue;
		verdict_broken(RULE_WATCH, "descriptor %d is still watched after parent_close",
			       kit->watches[i].fd);
		kit->watches[i].fd = -1;
	}
}

/* Types live until parent_close(), texts and all: what is asked of them later is copied. */
static void kit_keep_types(struct kit *kit)
{
	size_t count = kit->info.type_count;
	struct umdev_type *copy = calloc(count, kit->driver.table.type_size);
	uint32_t size = kit->driver.table.type_size;

	if (!copy)
		verdict_skip("out of memory");
	memcpy(copy, kit->info.types, count * size);
	for (size_t i = 0; i < count; i++) {
		struct umdev_type *t = (struct umdev_type *)((char *)copy + i * size);

		t->id = strdup(t->id);
		t->name = strdup(t->name);
		t->class_name = NULL;
		t->description = NULL;
		t->attrs = NULL;
	}
	kit->info.types = copy;
	kit->info.pool_unit = NULL;
	kit->info.description = NULL;
	kit->info.engines = NULL;
	kit->info.engine_count = 0;
}

void kit_let_go(struct kit *kit)
{
	kit_keep_types(kit);
	kit_close(kit);
	bridge_values_free(kit->values, kit->driver.option_count);
	kit->values = NULL;
}

/* ---- Types ---- */

const struct umdev_type *kit_type_row(const struct kit *kit, uint32_t index)
{
	return driver_type(&kit->driver, &kit->info, index);
}

uint32_t kit_type(const struct kit *kit)
{
	const char *id = kit->options->type;
	size_t prefix = strlen(kit->driver.table.name);

	for (uint32_t i = 0; i < kit->info.type_count; i++) {
		const struct umdev_type *t = kit_type_row(kit, i);
		bool full = id && strncmp(id, kit->driver.table.name, prefix) == 0 &&
			    id[prefix] == '-' && strcmp(id + prefix + 1, t->id) == 0;

		if (id ? full || strcmp(id, t->id) == 0
		       : t->cost > 0 && t->cost <= kit->info.pool_units)
			return i;
	}
	if (id)
		verdict_skip("--type %s: there is no such type", id);
	verdict_skip("no type fits into the pool of %llu %s",
		     (unsigned long long)kit->info.pool_units,
		     kit->info.pool_unit ? kit->info.pool_unit : "units");
}

/* ---- Mdevs ---- */

static size_t kit_state_mapped(const struct kit *kit)
{
	return ((size_t)kit->driver.table.state_size / KIT_PAGE + 1) * KIT_PAGE;
}

void *kit_state_new(const struct kit *kit)
{
	size_t size = kit->driver.table.state_size;
	size_t mapped = kit_state_mapped(kit);
	uint8_t *state = kit_map(mapped, MAP_SHARED);

	memset(state + size, KIT_FILLER, mapped - size);
	return state;
}

void kit_state_free(const struct kit *kit, void *state)
{
	munmap(state, kit_state_mapped(kit));
}

static void kit_check_filler(const struct umdev_mdev *mdev)
{
	size_t size = mdev->kit->driver.table.state_size;
	size_t mapped = kit_state_mapped(mdev->kit);
	const uint8_t *state = mdev->state;

	for (size_t i = size; i < mapped; i++) {
		if (state[i] != KIT_FILLER) {
			verdict_broken(RULE_MEMORY,
				       "wrote into byte %zu of a state of state_size %zu", i, size);
			return;
		}
	}
}

/* Memory behind mmap areas. A resumed mdev finds it as it was. */
static int kit_bar_memory(struct umdev_mdev *mdev, bool fresh, struct umdev_error *err)
{
	struct kit *kit = mdev->kit;

	for (uint32_t i = 0; i < UMDEV_BAR_COUNT; i++) {
		const struct umdev_bar *bar = &mdev->device.bars[i];

		if (bar->size == 0 || (bar->mmap[0].size == 0 && bar->mmap[1].size == 0))
			continue;
		if (bar->size > KIT_BAR_ARENA - kit->bar_used)
			return error_set(err, ERROR_LIMIT,
					 "BARs with mmap areas need more than the kit's %u bytes",
					 KIT_BAR_ARENA);
		mdev->bar_memory[i] = kit->bar_arena + kit->bar_used;
		kit->bar_used += bar->size;
		if (fresh)
			memset(mdev->bar_memory[i], 0, bar->size);
	}
	return 0;
}

static int kit_build(struct umdev_mdev *mdev, const struct kit_create *create,
		     struct umdev_value *values, struct umdev_error *err)
{
	struct kit *kit = mdev->kit;
	struct umdev_mdev_args args = {
		.struct_size = sizeof(args),
		.type_index = mdev->type_index,
		.uuid = mdev->uuid,
		.piece_start = mdev->piece_start,
		.piece_size = mdev->piece_size,
		.values = values,
		.state = mdev->state,
		.state_size = kit->driver.table.state_size,
		.value_count = kit->driver.attr_count,
		.state_origin = create->state ? UMDEV_STATE_RESUME : UMDEV_STATE_NEW,
		.endpoints = kit->endpoints ? kit->endpoints : mdev->endpoints,
		.endpoint_count = mdev->endpoint_count,
	};
	int r;

	kit_jobs_join(mdev);
	mdev->created = true;
	kit_enter(kit, "mdev_create");
	r = driver_mdev_create(&kit->driver, kit->parent_priv, mdev, &args, &mdev->device,
			       &mdev->priv, err);
	kit_leave(kit, "mdev_create");
	if (r < 0) {
		mdev->created = false;
		kit_jobs_leave(mdev);
		kit_kept_drop(mdev);
		return r;
	}
	mdev->pci_page = calloc(1, pci_page_size());
	if (!mdev->pci_page)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	r = pci_init(&mdev->pci, &mdev->device, mdev->pci_page, true, err);
	if (r == 0)
		r = kit_bar_memory(mdev, !create->state, err);
	for (uint32_t i = 0; r == 0 && i < UMDEV_BAR_COUNT; i++) {
		if (mdev->device.bars[i].size > 0 && !kit->driver.table.region_read)
			r = error_set(err, ERROR_DRIVER_FAILED,
				      "it declares BAR %u and lacks region_read and region_write",
				      i);
	}
	kit->declared_badly = r < 0;
	return r;
}

/* Knobs of an mdev that schedules in hardware, as after every creation. */
static int kit_qos(struct umdev_mdev *mdev, struct umdev_error *err)
{
	struct qos_knobs knobs = QOS_KNOBS_DEFAULT;
	int r;

	kit_enter(mdev->kit, "qos_set");
	r = driver_qos_set(&mdev->kit->driver, mdev->priv, &knobs, err);
	kit_leave(mdev->kit, "qos_set");
	return r;
}

static void kit_endpoints_close(struct umdev_mdev *mdev)
{
	for (uint32_t i = 0; i < mdev->endpoint_count && !mdev->kit->endpoints; i++)
		close(mdev->endpoints[i]);
	mdev->endpoint_count = 0;
}

static struct umdev_mdev **kit_free_place(struct kit *kit)
{
	for (uint32_t i = 0; i < KIT_MDEVS; i++) {
		if (!kit->mdevs[i])
			return &kit->mdevs[i];
	}
	return NULL;
}

struct umdev_mdev *kit_create(struct kit *kit, const struct kit_create *create,
			      struct umdev_error *err)
{
	struct umdev_mdev **place = kit_free_place(kit);
	const struct umdev_type *type = kit_type_row(kit, create->type_index);
	struct umdev_value *values = NULL;
	struct umdev_mdev *mdev;
	int r;

	if (!place) {
		error_set(err, ERROR_LIMIT, "the kit makes at most %d mdevs", KIT_MDEVS);
		return NULL;
	}
	/* Never unmapped: who uses an mdev that was removed is told so, and does not crash. */
	mdev = kit_map(sizeof(*mdev), MAP_PRIVATE);
	mdev->kit = kit;
	mdev->type_index = create->type_index;
	mdev->piece_start = create->piece_start;
	mdev->piece_size = create->piece_size ? create->piece_size : type->cost;
	mdev->state = create->state ? create->state : kit_state_new(kit);
	snprintf(mdev->uuid, sizeof(mdev->uuid), "c0ffee00-0000-4000-8000-%012x",
		 create->number + 1);
	mdev->endpoint_count =
		kit->endpoints ? type->endpoint_count : kit_endpoints_new(type, mdev->endpoints);
	r = bridge_attr_values(&kit->driver, create->attrs, &values, err);
	if (r < 0 && !create->attrs)
		verdict_skip("no mdev can be made: %s", err->message);
	if (r == 0)
		r = kit_build(mdev, create, values, err);
	bridge_values_free(values, kit->driver.attr_count);
	if (r == 0)
		r = kit_qos(mdev, err);
	if (r == 0) {
		*place = mdev;
		return mdev;
	}
	if (mdev->created)
		kit_remove(mdev);
	else if (!create->state)
		munmap(mdev->state, kit_state_mapped(kit));
	kit_endpoints_close(mdev);
	return NULL;
}

struct umdev_mdev *kit_mdev(struct kit *kit, uint32_t number)
{
	struct umdev_error err = {0};
	uint32_t index = kit_type(kit);
	const struct umdev_type *type = kit_type_row(kit, index);
	uint64_t align = MAX(kit->info.pool_align, (uint64_t)1);
	uint64_t step = (type->cost + align - 1) / align * align;
	struct kit_create create = {
		.type_index = index,
		.number = number,
		.piece_start = number * step,
	};
	struct umdev_mdev *mdev;

	if (create.piece_start + type->cost > kit->info.pool_units)
		verdict_skip("the pool has no room for %u mdevs of type %s", number + 1, type->id);
	mdev = kit_create(kit, &create, &err);
	if (!mdev)
		verdict_skip("an mdev of type %s cannot be made: %s", type->id, err.message);
	return mdev;
}

/* What the driver has left of an mdev that it took down. */
static void kit_check_left(struct umdev_mdev *mdev)
{
	uint32_t jobs = kit_jobs_of(mdev, false);

	for (uint32_t i = 0; i < KIT_TIMERS; i++) {
		if (mdev->timers[i].deadline_ns)
			verdict_broken(RULE_TIMER, "timer %u was armed by mdev_remove", i);
	}
	if (mdev->polled)
		verdict_broken(RULE_TIMER, "poll_mode was turned on by mdev_remove");
	if (mdev->hold_count > 0)
		verdict_broken(RULE_MEMORY, "%u holds were not released by mdev_remove",
			       mdev->hold_count);
	if (jobs > 0)
		verdict_broken(RULE_JOB, "%u jobs are left after mdev_remove", jobs);
	if (kit_transfers_of(mdev) > 0)
		verdict_broken(RULE_MEMORY, "transfers are left after mdev_remove");
	kit_check_filler(mdev);
}

void kit_remove(struct umdev_mdev *mdev)
{
	struct kit *kit = mdev->kit;

	if (mdev->touched)
		kit_reset(mdev, UMDEV_RESET_LOST);
	memset(mdev->timers, 0, sizeof(mdev->timers));
	mdev->polled = false;
	kit_enter(kit, "mdev_remove");
	driver_mdev_remove(&kit->driver, mdev->priv);
	kit_leave(kit, "mdev_remove");
	kit_check_left(mdev);
	kit_transfers_cancel(mdev);
	kit_jobs_leave(mdev);
	kit_endpoints_close(mdev);
	kit_kept_drop(mdev);
	mdev->created = false;
	memset(mdev->timers, 0, sizeof(mdev->timers));
	mdev->polled = false;
	free(mdev->pci_page);
	mdev->pci_page = NULL;
	for (uint32_t i = 0; i < KIT_MDEVS; i++) {
		if (kit->mdevs[i] == mdev)
			kit->mdevs[i] = NULL;
	}
}
