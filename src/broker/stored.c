/* SPDX-License-Identifier: BSD-3-Clause */
/* See stored.h. */
#include "broker/stored.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <umdev/driver.h>

#include "broker/fdstore.h"
#include "broker/journal.h"
#include "broker/record.h"
#include "broker/takeover.h"
#include "link/protocol.h"
#include "util/fd.h"
#include "util/log.h"

/* Keys; those below LINK_SLOT_COUNT are the slots of the host. */
#define STORED_PAGE	 0x10000u
#define STORED_LISTENER	 0x10001u
#define STORED_RECORD	 0x10002u
#define STORED_ENDPOINT	 0x10010u /* + number */
#define STORED_MEMORY	 0x10100u /* + number, of a parent's backing */

#define STORED_KEYS_BASE (3 + UMDEV_ENDPOINTS_MAX)
#define STORED_PARENT	 "parent:"

/* ---- Storing --------------------------------------------------------------------------------- */

/* There is no room: rather nothing than a part. */
static void stored_refuse(struct mdev *mdev, int error)
{
	keeper_unstore(&mdev->keeper);
	if (mdev->store_refused)
		return;
	mdev->store_refused = true;
	mdev_event(
		mdev, EVENT_DRIVER, LOG_WARNING,
		"what is kept of it does not fit into the service manager's store (%s): it would "
		"not survive the death of its host while there is no daemon",
		error == -EDQUOT ? "full" : strerror(-error));
}

static int stored_put(struct mdev *mdev, uint32_t key, int fd, uint32_t *keys, size_t *count)
{
	keys[(*count)++] = key;
	return fdstore_put(mdev->keeper.stored, key, fd);
}

/* Puts all of it, and takes out what is there besides. */
static int stored_put_all(struct mdev *mdev)
{
	const struct keeper *k = &mdev->keeper;
	umdev_autofree uint32_t *keys = calloc(k->count + STORED_KEYS_BASE, sizeof(*keys));
	size_t count = 0;
	int r;

	if (!keys)
		return -ENOMEM;
	r = stored_put(mdev, STORED_PAGE, k->page_fd, keys, &count);
	if (r == 0)
		r = stored_put(mdev, STORED_LISTENER, k->listen_fd, keys, &count);
	if (r == 0)
		r = stored_put(mdev, STORED_RECORD, k->record_fd, keys, &count);
	for (uint32_t i = 0; r == 0 && i < k->endpoint_count; i++)
		r = stored_put(mdev, STORED_ENDPOINT + i, k->endpoint_fds[i], keys, &count);
	for (size_t i = 0; r == 0 && i < k->count; i++)
		r = stored_put(mdev, k->slots[i].slot, k->slots[i].fd, keys, &count);
	if (r == 0)
		fdstore_retain(k->stored, keys, count);
	return r;
}

void stored_mdev(struct mdev *mdev)
{
	struct fdstore *store = mdev->broker->fdstore;
	struct keeper *k = &mdev->keeper;
	int r = 0;

	if (!store || k->page_fd < 0 || k->listen_fd < 0 || k->record_fd < 0)
		return;
	/* A second time without what it takes the place of. */
	for (int tries = 0; tries < 2; tries++) {
		bool fresh = !fdstore_owner(store, mdev->uuid, false);

		if (!k->stored)
			k->stored = fdstore_owner(store, mdev->uuid, true);
		r = k->stored ? stored_put_all(mdev) : -EDQUOT;
		if (r != -EDQUOT || fresh)
			break;
		keeper_unstore(k);
	}
	if (r < 0) {
		stored_refuse(mdev, r);
		return;
	}
	mdev->store_refused = false;
	stored_number(mdev);
}

void stored_keep(struct mdev *mdev, uint32_t slot)
{
	int r;

	if (!mdev->keeper.stored)
		return;
	r = fdstore_put(mdev->keeper.stored, slot, keeper_get(&mdev->keeper, slot));
	if (r < 0)
		stored_refuse(mdev, r);
}

void stored_number(struct mdev *mdev)
{
	fdstore_set_number(mdev->keeper.stored, mdev->kept_number);
}

void stored_dropped(struct mdev *mdev)
{
	if (mdev->broker->fdstore && mdev->state == MDEV_ACTIVE && !mdev->keeper.stored)
		stored_mdev(mdev);
}

void stored_client(struct mdev *mdev)
{
	if (!mdev->broker->fdstore || mdev->state != MDEV_ACTIVE)
		return;
	stored_dropped(mdev);
	/* The record tells the next daemon who it is. */
	if (!mdev->changing)
		journal_settled(mdev);
}

/* ---- Parents --------------------------------------------------------------------------------- */

static void stored_parent_name(const struct parent *parent, char name[IDENT_PARENT_NAME_MAX + 16])
{
	snprintf(name, IDENT_PARENT_NAME_MAX + 16, STORED_PARENT "%s", parent->name);
}

void stored_describe(const struct parent *parent, json_t *record)
{
	json_t *files = json_object();

	for (size_t i = 0; i < parent->backings.count; i++) {
		const struct backing *b = &parent->backings.items[i];

		json_object_set_new(files, b->option,
				    b->path ? json_pack("[I,I]", (json_int_t)b->device,
							(json_int_t)b->inode)
					    : json_integer((json_int_t)i));
	}
	json_object_set_new(record, "state_version", json_integer(parent->state_version));
	json_object_set_new(record, "values", parent_driver_options(parent));
	json_object_set_new(record, "files", files);
}

void stored_parent(struct parent *parent)
{
	char name[IDENT_PARENT_NAME_MAX + 16];
	int r = 0;

	if (!parent->broker->fdstore || parent->record_fd < 0)
		return;
	stored_parent_name(parent, name);
	if (!parent->stored)
		parent->stored = fdstore_owner(parent->broker->fdstore, name, true);
	r = parent->stored ? fdstore_put(parent->stored, STORED_RECORD, parent->record_fd)
			   : -EDQUOT;
	for (uint32_t i = 0; r == 0 && i < parent->backings.count; i++) {
		const struct backing *b = &parent->backings.items[i];

		if (!b->path)
			r = fdstore_put(parent->stored, STORED_MEMORY + i, b->fd);
	}
	if (r == 0) {
		journal_parent(parent);
		return;
	}
	stored_parent_gone(parent);
	parent_event(
		parent, EVENT_DRIVER, LOG_WARNING,
		"the service manager's store is full: its mdevs would not survive the death of "
		"its host while there is no daemon");
}

void stored_parent_gone(struct parent *parent)
{
	fdstore_forget(parent->stored);
	parent->stored = NULL;
}

/* ---- What an earlier daemon left ------------------------------------------------------------- */

static void stored_look(void *arg, const char *name, struct fdstore_owner *owner)
{
	struct broker *broker = arg;
	int fd = fdstore_get(owner, STORED_RECORD);
	json_t *record = fd < 0 ? NULL : record_read(fd);
	const char *parent = json_string_value(json_object_get(record, "parent"));
	json_t *mdevs = parent ? json_object_get(broker->stored, parent) : NULL;

	if (record && parent && strncmp(name, STORED_PARENT, strlen(STORED_PARENT)) != 0) {
		if (!mdevs) {
			mdevs = json_object();
			json_object_set_new(broker->stored, parent, mdevs);
		}
		json_object_set_new(mdevs, name, json_incref(record));
	}
	json_decref(record);
}

void stored_begin(struct broker *broker)
{
	if (!broker->fdstore)
		return;
	broker->stored = json_object();
	if (broker->stored)
		fdstore_each_owner(broker->fdstore, stored_look, broker);
}

void stored_end(struct broker *broker)
{
	json_decref(umdev_steal_ptr(&broker->stored));
	if (broker->fdstore)
		fdstore_forget_unclaimed(broker->fdstore);
}

/* ---- Taking ---------------------------------------------------------------------------------- */

static int stored_dup(const struct fdstore_owner *owner, uint32_t key)
{
	int fd = fdstore_get(owner, key);

	if (fd < 0)
		return -ENODATA;
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

/* A file in memory whose size cannot change under us. */
static bool stored_is_memory(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & F_SEAL_SHRINK);
}

static bool stored_listens(int fd)
{
	int domain = 0;
	int type = 0;
	int listens = 0;
	socklen_t len = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens;
}

/* Page, listening socket, endpoints and record, as a host tells of them. Returns the number or
 * -errno. */
static int stored_take_base(const struct fdstore_owner *owner, int fds[STORED_KEYS_BASE])
{
	int n = 0;
	int r;

	fds[n] = r = stored_dup(owner, STORED_PAGE);
	if (r >= 0) {
		n++;
		fds[n] = r = stored_dup(owner, STORED_LISTENER);
	}
	for (uint32_t i = 0; r >= 0 && i < UMDEV_ENDPOINTS_MAX; i++) {
		if (fdstore_get(owner, STORED_ENDPOINT + i) < 0)
			break;
		n++;
		fds[n] = r = stored_dup(owner, STORED_ENDPOINT + i);
	}
	if (r >= 0) {
		n++;
		fds[n] = r = stored_dup(owner, STORED_RECORD);
	}
	if (r >= 0) {
		n++;
		if (!stored_is_memory(fds[0]) || !stored_listens(fds[1]))
			r = -EINVAL;
	}
	if (r < 0)
		fd_close_all(fds, (size_t)n);
	return r < 0 ? r : n;
}

static void stored_take_slot(void *arg, uint32_t key, int fd)
{
	struct mdev *mdev = arg;
	int copy = key < LINK_SLOT_COUNT ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;

	/* What is missing is noticed by the host. */
	if (copy >= 0 &&
	    keeper_keep(&mdev->keeper, key, &copy, mdev->broker->config.keep_fds_max) < 0)
		fd_close(&copy);
}

static json_t *stored_print(const char *uuid, const struct fdstore_owner *owner, size_t endpoints,
			    const json_t *record)
{
	uint64_t number = fdstore_is_whole(owner) ? fdstore_number(owner) : INT64_MAX;

	return json_pack("{s:s,s:i,s:o,s:O,s:I}", "uuid", uuid, "endpoints", (int)endpoints,
			 "asked", json_boolean(json_is_true(json_object_get(record, "asked"))),
			 "client",
			 json_is_object(json_object_get(record, "client"))
				 ? json_object_get(record, "client")
				 : json_null(),
			 "kept", (json_int_t)MIN(number, (uint64_t)INT64_MAX));
}

static void stored_take_mdev(struct takeover *t, const char *uuid, const json_t *record)
{
	struct parent *parent = t->parent;
	struct broker *broker = parent->broker;
	struct fdstore_owner *owner = fdstore_owner(broker->fdstore, uuid, false);
	int fds[STORED_KEYS_BASE];
	int n = owner ? stored_take_base(owner, fds) : -ENODATA;
	struct mdev *mdev;
	json_t *params;

	if (n < 0) {
		parent_event(parent, "mdev.stopped", LOG_ERR,
			     "mdev %.40s: what was stored of it is of no use: %s", uuid,
			     strerror(-n));
		return;
	}
	params = stored_print(uuid, owner, (size_t)n - 3, record);
	takeover_take_mdev(t, params, fds, (size_t)n);
	json_decref(params);
	fd_close_all(fds, (size_t)n);
	mdev = mdev_find(broker, parent->name, uuid);
	if (mdev && mdev->parent == parent && mdev->state == MDEV_STARTING)
		fdstore_each(owner, stored_take_slot, mdev);
}

bool stored_take(struct parent *parent)
{
	struct broker *broker = parent->broker;
	json_t *mdevs = json_object_get(broker->stored, parent->name);
	char name[IDENT_PARENT_NAME_MAX + 16];
	const struct fdstore_owner *owner;
	json_t *options = parent_driver_options(parent);
	json_t *record = NULL;
	struct takeover *t = NULL;
	uint32_t state_version;
	const char *uuid;
	json_t *mdev;

	stored_parent_name(parent, name);
	owner = broker->stored ? fdstore_owner(broker->fdstore, name, false) : NULL;
	if (owner && fdstore_get(owner, STORED_RECORD) >= 0)
		record = record_read(fdstore_get(owner, STORED_RECORD));
	if (record && json_equal(options, json_object_get(record, "values")))
		t = takeover_new_stored(parent, json_object_get(record, "files"));
	else if (mdevs)
		parent_event(parent, "host.replaced", LOG_WARNING,
			     "its options are not what they were, or are not stored: begins anew");
	state_version = (uint32_t)json_integer_value(json_object_get(record, "state_version"));
	json_decref(options);
	json_decref(record);
	if (!t)
		return false;
	t->state_version = state_version;
	if (parent->record_fd < 0) {
		int fd = stored_dup(owner, STORED_RECORD);

		parent->record_fd = fd < 0 ? -1 : fd;
	}
	json_object_foreach (mdevs, uuid, mdev)
		stored_take_mdev(t, uuid, mdev);
	return true;
}

/* Whether @b is what it was, as @was says; memory is put in its place. */
static bool stored_backing(struct parent *parent, struct backing *b, const json_t *was)
{
	char name[IDENT_PARENT_NAME_MAX + 16];
	const struct fdstore_owner *owner;
	struct stat now;
	struct stat then;
	int fd;

	if (b->path)
		return json_integer_value(json_array_get(was, 0)) == (json_int_t)b->device &&
		       json_integer_value(json_array_get(was, 1)) == (json_int_t)b->inode;
	stored_parent_name(parent, name);
	owner = fdstore_owner(parent->broker->fdstore, name, false);
	if (!owner || !json_is_integer(was))
		return false;
	fd = stored_dup(owner, STORED_MEMORY + (uint32_t)json_integer_value(was));
	if (fd < 0)
		return false;
	if (!stored_is_memory(fd) || fstat(fd, &then) < 0 || fstat(b->fd, &now) < 0 ||
	    then.st_size != now.st_size) {
		fd_close(&fd);
		return false;
	}
	fd_close(&b->fd);
	b->fd = fd;
	b->flags &= ~UMDEV_BACKING_CREATED;
	return true;
}

void stored_backings(struct parent *parent)
{
	struct takeover *t = parent->takeover;

	for (size_t i = 0; t && t->stored && i < parent->backings.count; i++) {
		struct backing *b = &parent->backings.items[i];

		if (stored_backing(parent, b, json_object_get(t->files, b->option)))
			continue;
		parent_event(parent, "host.replaced", LOG_WARNING,
			     "%s is not what it was: begins anew", b->option);
		takeover_drop_mdevs(parent);
		return;
	}
}

void stored_settle(struct parent *parent)
{
	struct takeover *t = parent->takeover;
	struct mdev *mdev;
	struct mdev *tmp;
	unsigned count = 0;

	t->pending = 1; /* until all was begun */
	list_for_each_safe (mdev, tmp, &parent->broker->mdevs, link) {
		if (mdev->parent != parent || mdev->state != MDEV_STARTING)
			continue;
		takeover_settle_mdev(t, mdev);
		count++;
	}
	if (count > 0)
		parent_event(parent, "host.started", LOG_WARNING,
			     "process %d goes on with %u mdevs that were stored",
			     (int)host_pid(parent->host), count);
	takeover_step(t);
}

void stored_abandon(struct parent *parent)
{
	struct broker *broker = parent->broker;

	if (!parent->takeover || !parent->takeover->stored)
		return;
	takeover_drop_mdevs(parent);
	takeover_free(parent);
	broker_taken_step(broker);
}
