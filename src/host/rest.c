/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See rest.h. A driver promises nothing after quiesce() but to be removed, so an mdev at rest has
 * no instance of its driver; to go on is to create one from the page, which is what a successor of
 * a process that died does.
 */
#include "host/rest.h"

#include <errno.h>
#include <string.h>

#include "host/values.h"
#include "util/clock.h"
#include "util/log.h"

int host_mdev_instance(struct umdev_mdev *mdev, const struct umdev_value *values, uint32_t origin,
		       struct umdev_device *ret_device, struct umdev_error *err)
{
	struct umdev_parent *parent = mdev->parent;
	struct umdev_value *own = NULL;
	struct umdev_mdev_args args = {
		.struct_size = sizeof(args),
		.type_index = mdev->type_index,
		.uuid = mdev->uuid,
		.piece_start = mdev->piece_start,
		.piece_size = mdev->piece_size,
		.state = mdev->page.driver,
		.state_size = parent->driver.table.state_size,
		.value_count = parent->driver.attr_count,
		.state_origin = origin,
		.endpoints = mdev->endpoints,
		.endpoint_count = mdev->endpoint_count,
	};
	int r = values ? 0 : host_attr_values(&parent->driver, mdev->attrs, &own, err);

	if (r < 0)
		return r;
	args.values = values ? values : own;
	r = driver_mdev_create(&parent->driver, parent->priv, mdev, &args, ret_device, &mdev->priv,
			       err);
	mdev->created = r == 0;
	host_values_free(own, parent->driver.attr_count);
	return r;
}

int host_rest_possible(const struct umdev_parent *parent, struct umdev_error *err)
{
	const struct umdev_driver *table = &parent->driver.table;

	if (!(table->flags & UMDEV_DRIVER_RESET_ON_RESTART) &&
	    (!table->job_start || table->quiesce))
		return 0;
	(void)error_set(err, ERROR_DRIVER_FAILED,
			"driver %s cannot go on from a saved state: its devices begin anew",
			table->name);
	return -ENOTSUP;
}

static void rest_end(struct umdev_mdev *mdev)
{
	host_mdev_quiet(mdev);
	driver_mdev_remove(&mdev->parent->driver, mdev->priv);
	mdev->created = false;
	mdev->priv = NULL;
	mdev->rest = HOST_REST_YES;
}

static void rest_expired(struct reactor_timer *timer)
{
	struct umdev_mdev *mdev = container_of(timer, struct umdev_mdev, rest_timer);

	rest_end(mdev);
	if (mdev->rested)
		mdev->rested(mdev);
}

void host_rest_quiet(struct umdev_mdev *mdev)
{
	if (mdev->rest != HOST_REST_GOING || mdev->rest_timer.armed)
		return;
	/* The driver is on the stack. */
	mdev->rest_timer.expired = rest_expired;
	reactor_timer_set(mdev->parent->reactor, &mdev->rest_timer, clock_now_ns());
}

int host_rest(struct umdev_mdev *mdev, void (*rested)(struct umdev_mdev *mdev))
{
	int r;

	if (mdev->rest == HOST_REST_YES)
		return 0;
	if (mdev->rest == HOST_REST_GOING || mdev->pending != HOST_PENDING_NONE ||
	    mdev->releasing || !mdev->created)
		return -EBUSY;
	r = host_rest_possible(mdev->parent, NULL);
	if (r < 0)
		return r;
	mdev->rest = HOST_REST_GOING;
	mdev->rested = rested;
	r = driver_quiesce(&mdev->parent->driver, mdev->priv);
	if (r == -EINPROGRESS) {
		vfio_session_cancel(mdev->session);
		return r;
	}
	rest_end(mdev);
	return 0;
}

/* What the host knows beside the page of how the driver stands. */
static void wake_catch_up(struct umdev_mdev *mdev)
{
	struct umdev_error err = {0};

	if (driver_qos_set(&mdev->parent->driver, mdev->priv, &mdev->knobs, &err) < 0)
		umdev_log(LOG_WARNING, mdev->uuid, "host.qos", "%s", err.message);
	host_intx_update(mdev);
	if (mdev->join_owed)
		driver_client_joined(&mdev->parent->driver, mdev->priv);
	mdev->join_owed = false;
}

static int wake_from(struct umdev_mdev *mdev, uint32_t origin, struct umdev_error *err)
{
	struct umdev_device device;
	int r;

	mdev->level = false;
	r = host_mdev_instance(mdev, NULL, origin, &device, err);
	if (r < 0)
		return r;
	if (memcmp(&device, &mdev->pci.device, sizeof(device)) != 0) {
		host_mdev_quiet(mdev);
		driver_mdev_remove(&mdev->parent->driver, mdev->priv);
		mdev->created = false;
		(void)error_set(err, ERROR_DRIVER_FAILED,
				"driver %s makes another device of the same state",
				mdev->parent->driver.table.name);
		return -EIO;
	}
	mdev->rest = HOST_REST_NO;
	wake_catch_up(mdev);
	return 0;
}

int host_wake(struct umdev_mdev *mdev, struct umdev_error *err)
{
	if (mdev->rest == HOST_REST_NO)
		return 0;
	if (mdev->rest == HOST_REST_GOING)
		return error_set(err, ERROR_DEVICE_BUSY, "mdev %s is coming to rest", mdev->uuid);
	if (mdev->blank)
		return error_set(err, ERROR_INVALID, "mdev %s has no state to go on from",
				 mdev->uuid);
	return wake_from(mdev, UMDEV_STATE_RESUME, err);
}

int host_wake_any(struct umdev_mdev *mdev)
{
	struct umdev_error err = {0};
	int r = host_wake(mdev, &err);

	if (r == 0 || mdev->rest == HOST_REST_GOING)
		return r;
	host_rest_blank(mdev);
	r = wake_from(mdev, UMDEV_STATE_NEW, &err);
	if (r < 0)
		host_event(mdev->parent, mdev, LOG_ERR, EVENT_DRIVER, NULL, err.message);
	else
		mdev->blank = false;
	return r;
}

void host_rest_blank(struct umdev_mdev *mdev)
{
	memset(mdev->page.driver, 0, mdev->parent->driver.table.state_size);
	mdev->blank = true;
}

void host_rest_done(struct umdev_mdev *mdev)
{
	reactor_timer_cancel(mdev->parent->reactor, &mdev->rest_timer);
}
