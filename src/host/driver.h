/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Loading a vendor driver, and the only place from which its callbacks are called.
 *
 * A driver's table is copied into a zeroed one of our own size, so that drivers built with a
 * shorter or longer struct work alike, and the copy alone is used. Around every callback the
 * wrappers below check what the driver answered: a driver that breaks the contract fails the
 * request, not the process.
 */
#pragma once

#include <umdev/driver.h>

#include "qos/qos.h"
#include "util/cleanup.h"
#include "util/error.h"

#define DRIVER_STATE_MAX (1024 * 1024)
#define DRIVER_TABLE_MAX 256 /* rows of one table */

/* A loaded driver. Zero it before driver_load(). */
struct host_driver {
	void *handle;
	struct umdev_driver table;
	uint32_t option_count;
	uint32_t attr_count;
	uint32_t stat_count;
	uint32_t need_count;
	uint32_t needs; /* bits of enum need */
};

/*
 * Loads @path, gives it @ops and checks its table against the contract; @name is what the table
 * must call itself. On failure @err says which rule was broken, and nothing stays loaded.
 */
int driver_load(const char *path, const char *name, const struct umdev_host_ops *ops,
		struct host_driver *ret_driver, struct umdev_error *err) umdev_warn_unused;

/* Row @index of a table, or NULL past its end. */
const struct umdev_option *driver_option(const struct host_driver *driver, uint32_t index);
const struct umdev_attr *driver_attr(const struct host_driver *driver, uint32_t index);
const struct umdev_stat *driver_stat(const struct host_driver *driver, uint32_t index);
const struct umdev_need *driver_need(const struct host_driver *driver, uint32_t index);
const struct umdev_type *driver_type(const struct host_driver *driver,
				     const struct umdev_parent_info *info, uint32_t index);
const struct umdev_engine *driver_engine(const struct host_driver *driver,
					 const struct umdev_parent_info *info, uint32_t index);

/* The callbacks. Errors of the driver come back as one line in @err: its own fail() text where it
 * gave one. */
int driver_parent_open(const struct host_driver *driver, struct umdev_parent *parent,
		       const struct umdev_parent_args *args, struct umdev_parent_info *ret_info,
		       void **ret_priv, struct umdev_error *err) umdev_warn_unused;
void driver_parent_close(const struct host_driver *driver, void *parent_priv);
int driver_mdev_create(const struct host_driver *driver, void *parent_priv, struct umdev_mdev *mdev,
		       const struct umdev_mdev_args *args, struct umdev_device *ret_device,
		       void **ret_priv, struct umdev_error *err) umdev_warn_unused;
/* Whether the driver can go on from a state of @version, which is not its own, and: makes one of
 * its own of the @size bytes at @state, in the zeros at @to. */
bool driver_converts(const struct host_driver *driver, uint32_t version);
int driver_convert(const struct host_driver *driver, uint32_t version, const void *state,
		   uint64_t size, void *to, struct umdev_error *err) umdev_warn_unused;
void driver_mdev_remove(const struct host_driver *driver, void *mdev_priv);
int driver_region_read(const struct host_driver *driver, void *mdev_priv, uint32_t bar,
		       uint64_t offset, void *buf, uint32_t len);
int driver_region_write(const struct host_driver *driver, void *mdev_priv, uint32_t bar,
			uint64_t offset, const void *buf, uint32_t len);
int driver_reset(const struct host_driver *driver, void *mdev_priv, uint32_t kind);
/* -ENOTSUP: its process can only be ended. */
int driver_quiesce(const struct host_driver *driver, void *mdev_priv);
void driver_client_joined(const struct host_driver *driver, void *mdev_priv);
uint32_t driver_poll(const struct host_driver *driver, void *mdev_priv);
void driver_job_start(const struct host_driver *driver, void *mdev_priv, struct umdev_job *job);
void driver_jobs_flush(const struct host_driver *driver, void *parent_priv);
int driver_attr_set(const struct host_driver *driver, void *mdev_priv, uint32_t index,
		    const struct umdev_value *value, struct umdev_error *err) umdev_warn_unused;
int driver_qos_set(const struct host_driver *driver, void *mdev_priv, const struct qos_knobs *knobs,
		   struct umdev_error *err) umdev_warn_unused;
int driver_group_check(const struct host_driver *driver, void *parent_priv, const char *group,
		       const struct umdev_group_member *members, uint32_t count,
		       struct umdev_error *err) umdev_warn_unused;
void driver_stats_get(const struct host_driver *driver, void *mdev_priv, uint64_t *values);
int driver_discard(const struct host_driver *driver, void *parent_priv, uint64_t piece_start,
		   uint64_t piece_size, struct umdev_error *err) umdev_warn_unused;

/* Remembers what a driver said in ops->fail(), until the present callback returns. */
void driver_fail_note(const char *text);
