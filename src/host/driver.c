/* SPDX-License-Identifier: BSD-3-Clause */
/* Loading a vendor driver and calling it. See driver.h. */
#include "host/driver.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "host/need.h"
#include "util/log.h"

typedef const struct umdev_driver *driver_entry_fn(uint32_t host_abi,
						   const struct umdev_host_ops *ops);

/* The first table that was published: nothing shorter ever was. */
#define DRIVER_TABLE_SIZE_MIN offsetof(struct umdev_driver, convert)

/* What the driver said of the callback in progress. One reactor thread, so one text. */
static char driver_fail_text[ERROR_MESSAGE_MAX];

void driver_fail_note(const char *text)
{
	snprintf(driver_fail_text, sizeof(driver_fail_text), "%s", text);
}

/* Turns a callback's answer into an error of ours: what the driver said, or what its errno means.
 */
static int driver_failed(const struct host_driver *driver, int r, const char *doing,
			 struct umdev_error *err)
{
	enum error_word word;

	if (r > 0 || r < -4095)
		return error_set(err, ERROR_DRIVER_FAILED,
				 "driver %s broke its contract: %s returned %d", driver->table.name,
				 doing, r);
	word = error_word_from_errno(r);
	if (word == ERROR_INTERNAL || word == ERROR_NOT_FOUND)
		word = ERROR_DRIVER_FAILED;
	if (driver_fail_text[0])
		return error_set(err, word, "%s", driver_fail_text);
	return error_set(err, word, "driver %s: %s: %s", driver->table.name, doing, strerror(-r));
}

/* ---- Tables ---- */

static const void *driver_row(const void *table, uint32_t row_size, uint32_t index)
{
	return table ? (const char *)table + (size_t)index * row_size : NULL;
}

const struct umdev_option *driver_option(const struct host_driver *driver, uint32_t index)
{
	if (index >= driver->option_count)
		return NULL;
	return driver_row(driver->table.options, driver->table.option_size, index);
}

const struct umdev_attr *driver_attr(const struct host_driver *driver, uint32_t index)
{
	if (index >= driver->attr_count)
		return NULL;
	return driver_row(driver->table.attrs, driver->table.attr_size, index);
}

const struct umdev_stat *driver_stat(const struct host_driver *driver, uint32_t index)
{
	if (index >= driver->stat_count)
		return NULL;
	return driver_row(driver->table.stats, driver->table.stat_size, index);
}

const struct umdev_need *driver_need(const struct host_driver *driver, uint32_t index)
{
	if (index >= driver->need_count)
		return NULL;
	return driver_row(driver->table.needs, driver->table.need_size, index);
}

const struct umdev_type *driver_type(const struct host_driver *driver,
				     const struct umdev_parent_info *info, uint32_t index)
{
	if (index >= info->type_count)
		return NULL;
	return driver_row(info->types, driver->table.type_size, index);
}

const struct umdev_engine *driver_engine(const struct host_driver *driver,
					 const struct umdev_parent_info *info, uint32_t index)
{
	if (index >= info->engine_count)
		return NULL;
	return driver_row(info->engines, driver->table.engine_size, index);
}

/* Rows up to the one without a name; every table's rows begin with the name. -E2BIG beyond the
 * limit. */
static int driver_count_rows(const void *table, uint32_t row_size, uint32_t *ret_count)
{
	uint32_t n = 0;

	while (table && *(const char *const *)driver_row(table, row_size, n)) {
		if (++n > DRIVER_TABLE_MAX)
			return -E2BIG;
	}
	*ret_count = n;
	return 0;
}

/* ---- Loading ---- */

static int driver_check_callbacks(const struct umdev_driver *t, const char *name,
				  struct umdev_error *err)
{
	const char *missing = NULL;

	if (!t->parent_open)
		missing = "parent_open";
	else if (!t->parent_close)
		missing = "parent_close";
	else if (!t->mdev_create)
		missing = "mdev_create";
	else if (!t->mdev_remove)
		missing = "mdev_remove";
	else if (!t->region_read != !t->region_write)
		missing = t->region_read ? "region_write" : "region_read";
	else if (!t->reset)
		missing = "reset";
	else if (t->stats && !t->stats_get)
		missing = "stats_get";
	if (!missing)
		return 0;
	return error_set(err, ERROR_DRIVER_FAILED, "driver %s lacks the mandatory callback %s",
			 name, missing);
}

static int driver_check_attrs(struct host_driver *d, struct umdev_error *err)
{
	const struct umdev_option *o;
	const struct umdev_attr *a;

	for (uint32_t i = 0; (a = driver_attr(d, i)); i++) {
		if (!a->default_value || !a->description || a->kind >= UMDEV_KIND_BACKING ||
		    a->when > UMDEV_WHEN_LIVE)
			return error_set_key(
				err, ERROR_DRIVER_FAILED, a->name,
				"driver %s declares attribute %s without default or description, "
				"or of an unknown kind",
				d->table.name, a->name);
		if (a->when != UMDEV_WHEN_CREATE && !d->table.attr_set)
			return error_set(err, ERROR_DRIVER_FAILED,
					 "driver %s lacks attr_set, which attribute %s needs",
					 d->table.name, a->name);
	}
	for (uint32_t i = 0; (o = driver_option(d, i)); i++) {
		if (!o->description || o->kind > UMDEV_KIND_MEMORY)
			return error_set_key(
				err, ERROR_DRIVER_FAILED, o->name,
				"driver %s declares option %s without description or of an "
				"unknown kind",
				d->table.name, o->name);
	}
	return 0;
}

/* A word that is not known here may stand for anything, so the driver cannot work as it thinks. */
static int driver_check_needs(struct host_driver *d, struct umdev_error *err)
{
	const struct umdev_need *n;

	for (uint32_t i = 0; (n = driver_need(d, i)); i++) {
		int need = need_find(n->name);

		if (need < 0)
			return error_set_key(err, ERROR_DRIVER_FAILED, "needs",
					     "driver %s needs '%.32s', which this host does not "
					     "know: install the umdev that it was made for",
					     d->table.name, n->name);
		if (!n->reason || !n->reason[0])
			return error_set_key(err, ERROR_DRIVER_FAILED, "needs",
					     "driver %s needs %s and gives no reason",
					     d->table.name, n->name);
		d->needs |= NEED_BIT(need);
	}
	return 0;
}

static int driver_check_state(const struct umdev_driver *t, const char *name,
			      struct umdev_error *err)
{
	if (t->state_size > DRIVER_STATE_MAX)
		return error_set(err, ERROR_DRIVER_FAILED,
				 "driver %s wants %llu bytes of state, the limit is %d", name,
				 (unsigned long long)t->state_size, DRIVER_STATE_MAX);
	if (!t->convert && t->state_from > 0)
		return error_set(err, ERROR_DRIVER_FAILED,
				 "driver %s lacks the callback convert, which state_from announces",
				 name);
	if (t->convert && t->state_from >= t->state_version)
		return error_set(
			err, ERROR_DRIVER_FAILED,
			"driver %s converts from state_from %u on, which is not older than "
			"its own state_version %u",
			name, t->state_from, t->state_version);
	return 0;
}

static int driver_check(struct host_driver *d, const struct umdev_driver *from, const char *name,
			struct umdev_error *err)
{
	struct umdev_driver *t = &d->table;
	int r;

	if (!from)
		return error_set(
			err, ERROR_DRIVER_FAILED,
			"driver %s refuses this host (ABI %u): rebuild it against this umdev", name,
			UMDEV_ABI_VERSION);
	if (from->struct_size < DRIVER_TABLE_SIZE_MIN)
		return error_set(err, ERROR_DRIVER_FAILED,
				 "driver %s has a table of %u bytes, at least %zu are needed", name,
				 from->struct_size, DRIVER_TABLE_SIZE_MIN);
	if (from->abi_version != UMDEV_ABI_VERSION)
		return error_set(err, ERROR_DRIVER_FAILED,
				 "driver %s is built for ABI %u, this host speaks %u: rebuild it",
				 name, from->abi_version, UMDEV_ABI_VERSION);
	memcpy(t, from, MIN(sizeof(*t), (size_t)from->struct_size));
	if (!t->name || strcmp(t->name, name) != 0)
		return error_set(err, ERROR_DRIVER_FAILED,
				 "the file of driver %s holds a driver that calls itself %s", name,
				 t->name ? t->name : "nothing");
	if (!t->description || !t->version)
		return error_set(err, ERROR_DRIVER_FAILED,
				 "driver %s has no description or no version", name);
	if (t->option_size < sizeof(struct umdev_option) ||
	    t->attr_size < sizeof(struct umdev_attr) || t->stat_size < sizeof(struct umdev_stat) ||
	    t->type_size < sizeof(struct umdev_type) ||
	    t->engine_size < sizeof(struct umdev_engine) ||
	    (t->needs && t->need_size < sizeof(struct umdev_need)))
		return error_set(err, ERROR_DRIVER_FAILED,
				 "driver %s declares table rows shorter than the ABI's", name);
	r = driver_check_state(t, name, err);
	if (r == 0)
		r = driver_check_callbacks(t, name, err);
	if (r < 0)
		return r;
	if (driver_count_rows(t->options, t->option_size, &d->option_count) < 0 ||
	    driver_count_rows(t->attrs, t->attr_size, &d->attr_count) < 0 ||
	    driver_count_rows(t->stats, t->stat_size, &d->stat_count) < 0 ||
	    driver_count_rows(t->needs, t->need_size, &d->need_count) < 0)
		return error_set(err, ERROR_DRIVER_FAILED,
				 "driver %s has a table of more than %d rows", name,
				 DRIVER_TABLE_MAX);
	r = driver_check_needs(d, err);
	return r < 0 ? r : driver_check_attrs(d, err);
}

int driver_load(const char *path, const char *name, const struct umdev_host_ops *ops,
		struct host_driver *ret_driver, struct umdev_error *err)
{
	struct host_driver d = {0};
	driver_entry_fn *entry;
	int r;

	d.handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!d.handle)
		return error_set(err, ERROR_UNKNOWN_DRIVER, "driver %s cannot be loaded: %s", name,
				 dlerror());
	*(void **)&entry = dlsym(d.handle, "umdev_driver_entry");
	if (!entry) {
		r = error_set(err, ERROR_DRIVER_FAILED,
			      "%s is no umdev driver: it exports no umdev_driver_entry", path);
	} else {
		r = driver_check(&d, entry(UMDEV_ABI_VERSION, ops), name, err);
	}
	if (r < 0) {
		dlclose(d.handle);
		return r;
	}
	*ret_driver = d;
	return 0;
}

/* ---- Callbacks ---- */

int driver_parent_open(const struct host_driver *driver, struct umdev_parent *parent,
		       const struct umdev_parent_args *args, struct umdev_parent_info *ret_info,
		       void **ret_priv, struct umdev_error *err)
{
	int r;

	driver_fail_text[0] = '\0';
	memset(ret_info, 0, sizeof(*ret_info));
	ret_info->struct_size = sizeof(*ret_info);
	r = driver->table.parent_open(parent, args, ret_info, ret_priv);
	if (r != 0)
		return driver_failed(driver, r, "parent_open", err);
	return 0;
}

void driver_parent_close(const struct host_driver *driver, void *parent_priv)
{
	driver->table.parent_close(parent_priv);
}

int driver_mdev_create(const struct host_driver *driver, void *parent_priv, struct umdev_mdev *mdev,
		       const struct umdev_mdev_args *args, struct umdev_device *ret_device,
		       void **ret_priv, struct umdev_error *err)
{
	int r;

	driver_fail_text[0] = '\0';
	memset(ret_device, 0, sizeof(*ret_device));
	ret_device->struct_size = sizeof(*ret_device);
	ret_device->msix_bar = UMDEV_NO_BAR;
	r = driver->table.mdev_create(parent_priv, mdev, args, ret_device, ret_priv);
	if (r != 0)
		return driver_failed(driver, r, "mdev_create", err);
	return 0;
}

bool driver_converts(const struct host_driver *driver, uint32_t version)
{
	return driver->table.convert && version >= driver->table.state_from &&
	       version < driver->table.state_version;
}

int driver_convert(const struct host_driver *driver, uint32_t version, const void *state,
		   uint64_t size, void *to, struct umdev_error *err)
{
	struct umdev_old_state old = {
		.struct_size = sizeof(old),
		.version = version,
		.state = state,
		.state_size = size,
		.to = to,
		.to_size = driver->table.state_size,
	};
	int r = -EINVAL;

	driver_fail_text[0] = '\0';
	if (driver_converts(driver, version))
		r = driver->table.convert(&old);
	if (r == 0)
		return 0;
	(void)driver_failed(driver, r, "convert", err);
	return error_wrap(err, "its state of version %u is not converted to version %u", version,
			  driver->table.state_version);
}

void driver_mdev_remove(const struct host_driver *driver, void *mdev_priv)
{
	driver->table.mdev_remove(mdev_priv);
}

int driver_region_read(const struct host_driver *driver, void *mdev_priv, uint32_t bar,
		       uint64_t offset, void *buf, uint32_t len)
{
	int r = driver->table.region_read(mdev_priv, bar, offset, buf, len);

	return r > 0 ? -EIO : r;
}

int driver_region_write(const struct host_driver *driver, void *mdev_priv, uint32_t bar,
			uint64_t offset, const void *buf, uint32_t len)
{
	int r = driver->table.region_write(mdev_priv, bar, offset, buf, len);

	return r > 0 ? -EIO : r;
}

int driver_reset(const struct host_driver *driver, void *mdev_priv, uint32_t kind)
{
	int r = driver->table.reset(mdev_priv, kind);

	if (r == 0 || r == -EINPROGRESS)
		return r;
	umdev_log(LOG_ERR, driver->table.name, "driver.reset", "reset failed: %s",
		  strerror(r < 0 ? -r : EIO));
	return -EIO;
}

int driver_quiesce(const struct host_driver *driver, void *mdev_priv)
{
	int r = driver->table.job_start ? -ENOTSUP : 0;

	if (driver->table.quiesce)
		r = driver->table.quiesce(mdev_priv);
	return r == 0 || r == -EINPROGRESS ? r : -ENOTSUP;
}

void driver_client_joined(const struct host_driver *driver, void *mdev_priv)
{
	if (driver->table.client_joined)
		driver->table.client_joined(mdev_priv);
}

uint32_t driver_poll(const struct host_driver *driver, void *mdev_priv)
{
	return driver->table.poll ? driver->table.poll(mdev_priv) : 0;
}

void driver_job_start(const struct host_driver *driver, void *mdev_priv, struct umdev_job *job)
{
	driver->table.job_start(mdev_priv, job);
}

void driver_jobs_flush(const struct host_driver *driver, void *parent_priv)
{
	if (driver->table.jobs_flush)
		driver->table.jobs_flush(parent_priv);
}

int driver_attr_set(const struct host_driver *driver, void *mdev_priv, uint32_t index,
		    const struct umdev_value *value, struct umdev_error *err)
{
	int r;

	driver_fail_text[0] = '\0';
	r = driver->table.attr_set(mdev_priv, index, value);
	if (r != 0)
		return driver_failed(driver, r, "attr_set", err);
	return 0;
}

int driver_qos_set(const struct host_driver *driver, void *mdev_priv, const struct qos_knobs *knobs,
		   struct umdev_error *err)
{
	struct umdev_qos qos = {
		.struct_size = sizeof(qos),
		.cap = knobs->cap,
		.weight = knobs->weight,
		.priority = knobs->priority,
	};
	int r;

	if (!driver->table.qos_set)
		return 0;
	driver_fail_text[0] = '\0';
	r = driver->table.qos_set(mdev_priv, &qos);
	if (r != 0)
		return driver_failed(driver, r, "qos_set", err);
	return 0;
}

int driver_group_check(const struct host_driver *driver, void *parent_priv, const char *group,
		       const struct umdev_group_member *members, uint32_t count,
		       struct umdev_error *err)
{
	int r;

	driver_fail_text[0] = '\0';
	if (!driver->table.group_check)
		return 0;
	r = driver->table.group_check(parent_priv, group, members, count);
	if (r != 0)
		return driver_failed(driver, r, "group_check", err);
	return 0;
}

void driver_stats_get(const struct host_driver *driver, void *mdev_priv, uint64_t *values)
{
	if (driver->stat_count > 0)
		driver->table.stats_get(mdev_priv, values);
}

int driver_discard(const struct host_driver *driver, void *parent_priv, uint64_t piece_start,
		   uint64_t piece_size, struct umdev_error *err)
{
	int r;

	driver_fail_text[0] = '\0';
	if (!driver->table.discard)
		return 0;
	r = driver->table.discard(parent_priv, piece_start, piece_size);
	if (r == 0 || r == -EINPROGRESS)
		return r;
	return driver_failed(driver, r, "discard", err);
}
