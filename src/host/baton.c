/* SPDX-License-Identifier: BSD-3-Clause */
/* See baton.h. */
#include "host/baton.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "host/given.h"
#include "host/group.h"
#include "host/handover.h"
#include "util/fd.h"
#include "util/log.h"

/* ---- The baton ------------------------------------------------------------------------------- */

void host_baton_wait(struct umdev_parent *parent, int *baton)
{
	parent->waits = true;
	fd_close(&parent->baton);
	if (baton)
		parent->baton = umdev_steal_fd(baton);
	host_handover_listen(parent, false);
}

/* Here it is decided. */
static bool baton_take(struct umdev_parent *parent)
{
	uint64_t value;
	ssize_t n;

	if (parent->baton < 0)
		return false;
	do {
		n = read(parent->baton, &value, sizeof(value));
	} while (n < 0 && errno == EINTR);
	fd_close(&parent->baton);
	if (n != sizeof(value))
		return false;
	parent->waits = false;
	host_handover_listen(parent, true);
	return true;
}

bool host_baton_orphan(struct umdev_parent *parent)
{
	bool waited = parent->waits;

	if (waited && !baton_take(parent))
		return false;
	if (waited)
		umdev_log(LOG_WARNING, parent->name, "host.upgrade",
			  "the broker is gone in the middle of an upgrade: this host goes on");
	host_baton_build(parent);
	return true;
}

void host_baton_on_own(struct umdev_parent *parent, uint64_t id, json_t *params, int *fds,
		       size_t nfds)
{
	struct umdev_error err = {0};

	(void)params;
	if (!parent->waits || nfds != 1 || parent->unstaged) {
		error_set(&err, ERROR_INVALID, "parent %s is not to be owned by this host",
			  parent->name);
		link_reply_error(&parent->link, id, &err);
		return;
	}
	fd_close(&parent->baton);
	parent->baton = umdev_steal_fd(&fds[0]);
	if (baton_take(parent)) {
		link_reply(&parent->link, id, NULL);
		return;
	}
	error_set(&err, ERROR_INVALID, "parent %s is owned by another host", parent->name);
	link_reply_error(&parent->link, id, &err);
}

/* ---- What is staged -------------------------------------------------------------------------- */

void host_baton_on_stage(struct umdev_parent *parent, uint64_t id, json_t *params, int *fds,
			 size_t nfds)
{
	struct umdev_error err = {0};
	int r = parent->waits ? host_given_stage(parent, params, fds, nfds) : -EBUSY;

	if (r == 0) {
		link_reply(&parent->link, id, NULL);
		return;
	}
	parent->unstaged = true;
	error_set(&err, error_word_from_errno(r), "not staged: %s", strerror(-r));
	link_reply_error(&parent->link, id, &err);
}

void host_baton_forget(struct umdev_parent *parent)
{
	if (parent->waits)
		host_given_free_all(parent);
}

/* Descriptors of one mdev on their way to the stage. */
struct baton_copy {
	const struct umdev_mdev *mdev;
	int error;
};

static int baton_dup(int fd, int *ret)
{
	*ret = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return *ret < 0 ? -errno : 0;
}

static void baton_copy_slot(void *arg, uint32_t slot, int fd)
{
	struct baton_copy *copy = arg;
	umdev_autoclose int own = -1;
	int r = baton_dup(fd, &own);

	if (r == 0)
		r = host_given_put(copy->mdev->parent, copy->mdev->uuid, slot, &own);
	if (copy->error == 0)
		copy->error = r;
}

static json_t *baton_knobs(const struct qos_knobs *knobs)
{
	return json_pack("{s:I,s:I,s:I}", "cap", (json_int_t)knobs->cap, "weight",
			 (json_int_t)knobs->weight, "priority", (json_int_t)knobs->priority);
}

/* The LINK_CREATE that makes @mdev again. */
static json_t *baton_params(const struct umdev_mdev *mdev)
{
	return json_pack("{s:s,s:I,s:[I,I],s:O*,s:i,s:o,s:o*}", "uuid", mdev->uuid, "type",
			 (json_int_t)mdev->type_index, "piece", (json_int_t)mdev->piece_start,
			 (json_int_t)mdev->piece_size, "attrs", mdev->attrs, "origin", 1, "qos",
			 baton_knobs(&mdev->knobs), "group", host_group_print(mdev));
}

/* Page, listener, endpoints and record, as create brought them. */
static int baton_copy_fds(const struct umdev_mdev *mdev, int *fds, size_t *ret_nfds)
{
	size_t n = 0;
	int r = baton_dup(mdev->page.fd, &fds[n++]);

	if (r == 0)
		r = baton_dup(vfio_session_listener(mdev->session), &fds[n++]);
	for (uint32_t i = 0; r == 0 && i < mdev->endpoint_count; i++)
		r = baton_dup(mdev->endpoints[i], &fds[n++]);
	if (r == 0 && mdev->record_fd >= 0)
		r = baton_dup(mdev->record_fd, &fds[n++]);
	*ret_nfds = n;
	return r;
}

void host_baton_stage(struct umdev_mdev *mdev)
{
	struct baton_copy copy = {.mdev = mdev};
	json_t *params = baton_params(mdev);
	int fds[HOST_CREATE_FDS];
	size_t nfds = 0;
	int r;

	host_handover_each_fd(mdev, baton_copy_slot, &copy);
	r = baton_copy_fds(mdev, fds, &nfds);
	if (r == 0)
		r = copy.error;
	if (r == 0)
		r = params ? host_given_stage(mdev->parent, params, fds, nfds) : -ENOMEM;
	if (r < 0)
		umdev_log(LOG_WARNING, mdev->uuid, "host.upgrade",
			  "this host could not go on with it: %s", strerror(-r));
	fd_close_all(fds, nfds);
	json_decref(params);
}

static void baton_build_one(struct umdev_parent *parent, struct host_given *given)
{
	json_t *params = json_incref(given->create);
	struct umdev_error err = {0};
	char uuid[UMDEV_UUID_STRING];

	memcpy(uuid, given->uuid, sizeof(uuid));
	if (host_parent_create(parent, params, NULL, 0, &err) < 0) {
		umdev_log(LOG_ERR, uuid, "host.upgrade", "it ends with its last host: %s",
			  err.message);
		host_given_free(host_given_claim(parent, uuid, true));
	}
	json_decref(params);
}

void host_baton_build(struct umdev_parent *parent)
{
	struct host_given *given;
	struct host_given *tmp;

	if (parent->waits || parent->releasing)
		return;
	list_for_each_safe (given, tmp, &parent->given, link) {
		if (given->create)
			baton_build_one(parent, given);
	}
}
