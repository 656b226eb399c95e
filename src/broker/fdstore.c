/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See fdstore.h.
 *
 * Entries, one for each open file, are in the order that kcmp(2) gives to open files, so that one
 * is found without a look at all of them. What an owner has are references to them, by key, each
 * with its row in the index. Order, for whoever reads the index after a kill: a descriptor is sent
 * before it is taken out what it replaces, a row is taken out before its descriptor, and numbers
 * are written when nothing waits to be sent.
 */
#include "broker/fdstore.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "broker/fdindex.h"
#include "broker/fdstore-internal.h"
#include "util/fd.h"
#include "util/log.h"

/* ---- Messages -------------------------------------------------------------------------------- */

/* Sends one message. 0 or -errno; -EAGAIN: later. */
static int fdstore_send(struct fdstore *store, const struct fdstore_op *op)
{
	char text[NOTIFY_NAME_MAX + 64];
	int fd = op->entry ? op->entry->fd : op->fd;
	ssize_t n;

	/* Without FDPOLL=0 the manager would drop what a client or a terminal hangs up. */
	if (fd >= 0)
		snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", op->name);
	else
		snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", op->name);
	for (int tries = 0; tries < 2; tries++) {
		n = fd_send(store->socket.fd, text, strlen(text), &fd, fd >= 0 ? 1 : 0);
		if (n != -ECONNREFUSED && n != -ENOTCONN && n != -ECONNRESET && n != -EBADF)
			break;
		/* The manager was started anew. */
		reactor_fd_del(store->reactor, &store->socket);
		fd_close(&store->socket.fd);
		store->socket.fd = notify_open();
	}
	return n < 0 ? (int)n : 0;
}

static void fdstore_failed(struct fdstore *store, int error)
{
	if (!store->failed)
		umdev_log(
			LOG_WARNING, "umdevd", "fdstore.send",
			"the service manager takes nothing (%s): what it holds for the next daemon "
			"is not all",
			strerror(-error));
	store->failed = true;
}

/* Writes the numbers down, if what they stand for is with the manager. */
static void fdstore_commit(struct fdstore *store, const struct fdstore_owner *owner)
{
	if (store->op_count == 0)
		fdindex_set_number(&store->index, owner->row,
				   store->failed ? FDSTORE_NUMBER_NONE : owner->number);
}

void fdstore_flush(struct reactor_fd *source, uint32_t events)
{
	struct fdstore *store = container_of(source, struct fdstore, socket);
	const struct fdstore_owner *owner;
	size_t done = 0;

	while (done < store->op_count) {
		int r = fdstore_send(store, &store->ops[done]);

		if (r == -EAGAIN)
			break;
		if (r < 0)
			fdstore_failed(store, r);
		done++;
	}
	store->op_count -= done;
	memmove(store->ops, store->ops + done, store->op_count * sizeof(*store->ops));
	if (store->op_count > 0)
		return;
	reactor_fd_del(store->reactor, &store->socket);
	list_for_each (owner, &store->owners, link)
		fdstore_commit(store, owner);
}

/* Sends @op, now or when the manager has room. */
static void fdstore_queue(struct fdstore *store, const struct fdstore_op *op)
{
	int r = store->op_count > 0 ? -EAGAIN : fdstore_send(store, op);

	if (r == -EAGAIN && store->op_count == store->op_room) {
		size_t room = store->op_room ? store->op_room * 2 : 16;
		struct fdstore_op *ops = reallocarray(store->ops, room, sizeof(*ops));

		if (ops) {
			store->ops = ops;
			store->op_room = room;
		} else {
			r = -ENOMEM;
		}
	}
	if (r == -EAGAIN) {
		store->ops[store->op_count++] = *op;
		r = reactor_fd_add(store->reactor, &store->socket);
		if (r == 0)
			return;
		store->op_count--;
	}
	if (r < 0)
		fdstore_failed(store, r);
}

void fdstore_queue_store(struct fdstore *store, struct fdstore_entry *entry)
{
	struct fdstore_op op = {.entry = entry, .fd = -1};

	snprintf(op.name, sizeof(op.name), "u%x", entry->id);
	fdstore_queue(store, &op);
}

void fdstore_queue_index(struct fdstore *store)
{
	struct fdstore_op op = {.fd = store->index.fd};

	snprintf(op.name, sizeof(op.name), "u0");
	fdstore_queue(store, &op);
}

void fdstore_queue_remove(struct fdstore *store, const char *name)
{
	struct fdstore_op op = {.fd = -1};

	snprintf(op.name, sizeof(op.name), "%s", name);
	fdstore_queue(store, &op);
}

/* ---- Entries --------------------------------------------------------------------------------- */

/* How the open files of two descriptors are ordered: negative, 0 for the same, positive. */
static int fdstore_compare(int a, int b)
{
	pid_t self = getpid();
	long r = syscall(SYS_kcmp, self, self, KCMP_FILE, (unsigned long)a, (unsigned long)b);

	return r == 0 ? 0 : r == 1 ? -1 : 1;
}

bool fdstore_can_compare(int fd)
{
	pid_t self = getpid();

	return syscall(SYS_kcmp, self, self, KCMP_FILE, (unsigned long)fd, (unsigned long)fd) == 0;
}

/* The entry of the open file of @fd, or NULL and where it belongs. */
static struct fdstore_entry *fdstore_find(const struct fdstore *store, int fd, size_t *ret_at)
{
	size_t low = 0;
	size_t high = store->entry_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = fdstore_compare(store->entries[mid]->fd, fd);

		if (order == 0)
			return store->entries[mid];
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	*ret_at = low;
	return NULL;
}

/* An entry without references at @at for *@fd, which is taken on success. */
static struct fdstore_entry *fdstore_insert(struct fdstore *store, size_t at, uint32_t id, int *fd)
{
	struct fdstore_entry *entry = calloc(1, sizeof(*entry));

	if (entry && store->entry_count == store->entry_room) {
		size_t room = store->entry_room ? store->entry_room * 2 : 64;
		struct fdstore_entry **entries =
			reallocarray(store->entries, room, sizeof(struct fdstore_entry *));

		if (!entries) {
			free(entry);
			return NULL;
		}
		store->entries = entries;
		store->entry_room = room;
	}
	if (!entry)
		return NULL;
	*entry = (struct fdstore_entry){.id = id, .fd = umdev_steal_fd(fd)};
	memmove(&store->entries[at + 1], &store->entries[at],
		(store->entry_count - at) * sizeof(struct fdstore_entry *));
	store->entries[at] = entry;
	store->entry_count++;
	return entry;
}

/* Takes an entry that has no reference any more out of the store. */
static void fdstore_remove(struct fdstore *store, struct fdstore_entry *entry)
{
	char name[FDSTORE_NAME_SIZE];
	bool waits = false;
	size_t at = 0;

	while (at < store->entry_count && store->entries[at] != entry)
		at++;
	store->entry_count--;
	memmove(&store->entries[at], &store->entries[at + 1],
		(store->entry_count - at) * sizeof(struct fdstore_entry *));
	/* What was not sent yet need not be. */
	for (size_t i = 0; i < store->op_count && !waits; i++) {
		if (store->ops[i].entry != entry)
			continue;
		waits = true;
		store->op_count--;
		memmove(&store->ops[i], &store->ops[i + 1],
			(store->op_count - i) * sizeof(*store->ops));
	}
	snprintf(name, sizeof(name), "u%x", entry->id);
	fd_close(&entry->fd);
	free(entry);
	if (!waits)
		fdstore_queue_remove(store, name);
}

static void fdstore_unref(struct fdstore *store, struct fdstore_entry *entry)
{
	if (--entry->refs == 0)
		fdstore_remove(store, entry);
}

void fdstore_remove_unused(struct fdstore *store)
{
	for (size_t i = store->entry_count; i-- > 0;) {
		if (store->entries[i]->refs == 0)
			fdstore_remove(store, store->entries[i]);
	}
}

struct fdstore_entry *fdstore_adopt_entry(struct fdstore *store, uint32_t id, int *fd)
{
	size_t at = 0;

	return fdstore_find(store, *fd, &at) ? NULL : fdstore_insert(store, at, id, fd);
}

/* ---- References ------------------------------------------------------------------------------ */

/* The index of the first key that is not below @key. */
static size_t owner_find(const struct fdstore_owner *owner, uint32_t key)
{
	size_t low = 0;
	size_t high = owner->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (owner->refs[mid].key < key)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct fdstore_ref *owner_get(const struct fdstore_owner *owner, uint32_t key)
{
	size_t i = owner_find(owner, key);

	return i < owner->count && owner->refs[i].key == key ? &owner->refs[i] : NULL;
}

int owner_add_ref(struct fdstore_owner *owner, uint32_t key, uint32_t row,
		  struct fdstore_entry *entry)
{
	size_t i = owner_find(owner, key);

	if (i < owner->count && owner->refs[i].key == key)
		return -EEXIST;
	if (owner->count == owner->room) {
		size_t room = owner->room ? owner->room * 2 : 16;
		struct fdstore_ref *refs = reallocarray(owner->refs, room, sizeof(*refs));

		if (!refs)
			return -ENOMEM;
		owner->refs = refs;
		owner->room = room;
	}
	memmove(&owner->refs[i + 1], &owner->refs[i], (owner->count - i) * sizeof(*owner->refs));
	owner->refs[i] = (struct fdstore_ref){.key = key, .row = row, .entry = entry};
	owner->count++;
	entry->refs++;
	return 0;
}

static void owner_remove_ref(struct fdstore_owner *owner, size_t i)
{
	struct fdstore_ref ref = owner->refs[i];

	fdindex_drop_ref(&owner->store->index, ref.row);
	owner->count--;
	memmove(&owner->refs[i], &owner->refs[i + 1], (owner->count - i) * sizeof(*owner->refs));
	fdstore_unref(owner->store, ref.entry);
}

/* The entry for @fd, made and sent if there is none. One that is new has no reference. */
static int owner_entry(struct fdstore_owner *owner, int fd, struct fdstore_entry **ret)
{
	struct fdstore *store = owner->store;
	umdev_autoclose int copy = -1;
	size_t at = 0;
	size_t used = store->entry_count + 1; /* the index */

	*ret = fdstore_find(store, fd, &at);
	if (*ret)
		return 0;
	if (used >= store->max ||
	    (owner->count >= FDSTORE_FREE && owner->count > store->max - used))
		return -EDQUOT;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return -errno;
	*ret = fdstore_insert(store, at, store->next_id++, &copy);
	if (!*ret)
		return -ENOMEM;
	fdstore_queue_store(store, *ret);
	return 0;
}

int fdstore_put(struct fdstore_owner *owner, uint32_t key, int fd)
{
	struct fdstore *store = owner->store;
	struct fdstore_ref *ref = owner_get(owner, key);
	struct fdstore_entry *entry = NULL;
	int row;
	int r;

	if (store->frozen)
		return 0;
	r = owner_entry(owner, fd, &entry);
	if (r < 0 || (ref && ref->entry == entry))
		return r;
	if (ref) {
		struct fdstore_entry *old = ref->entry;

		fdindex_set_ref(&store->index, ref->row, entry->id);
		ref->entry = entry;
		entry->refs++;
		fdstore_unref(store, old);
		return 0;
	}
	row = fdindex_add_ref(&store->index, owner->row, key, entry->id);
	r = row < 0 ? -EDQUOT : owner_add_ref(owner, key, (uint32_t)row, entry);
	if (r < 0 && row >= 0)
		fdindex_drop_ref(&store->index, (uint32_t)row);
	if (r < 0 && entry->refs == 0)
		fdstore_remove(store, entry);
	return r;
}

void fdstore_drop(struct fdstore_owner *owner, uint32_t key)
{
	size_t i;

	if (!owner || owner->store->frozen)
		return;
	i = owner_find(owner, key);
	if (i < owner->count && owner->refs[i].key == key)
		owner_remove_ref(owner, i);
}

void fdstore_retain(struct fdstore_owner *owner, const uint32_t *keys, size_t count)
{
	for (size_t i = owner->store->frozen ? 0 : owner->count; i-- > 0;) {
		size_t k = 0;

		while (k < count && keys[k] != owner->refs[i].key)
			k++;
		if (k == count)
			owner_remove_ref(owner, i);
	}
}

int fdstore_get(const struct fdstore_owner *owner, uint32_t key)
{
	const struct fdstore_ref *ref = owner_get(owner, key);

	return ref ? ref->entry->fd : -1;
}

void fdstore_each(const struct fdstore_owner *owner, void (*each)(void *arg, uint32_t key, int fd),
		  void *arg)
{
	for (size_t i = 0; i < owner->count; i++)
		each(arg, owner->refs[i].key, owner->refs[i].entry->fd);
}

/* ---- Owners ---------------------------------------------------------------------------------- */

struct fdstore_owner *owner_new(struct fdstore *store, const char *name, uint32_t row)
{
	struct fdstore_owner *owner = calloc(1, sizeof(*owner));

	if (!owner)
		return NULL;
	owner->store = store;
	owner->row = row;
	owner->whole = true;
	snprintf(owner->name, sizeof(owner->name), "%s", name);
	list_add_tail(&store->owners, &owner->link);
	return owner;
}

void owner_free(struct fdstore_owner *owner)
{
	list_del(&owner->link);
	free(owner->refs);
	free(owner);
}

struct fdstore_owner *fdstore_owner(struct fdstore *store, const char *name, bool make)
{
	struct fdstore_owner *owner;
	int row;

	list_for_each (owner, &store->owners, link) {
		if (strcmp(owner->name, name) != 0)
			continue;
		owner->claimed |= make;
		return owner;
	}
	if (!make || store->frozen)
		return NULL;
	row = fdindex_add_owner(&store->index, name);
	if (row < 0)
		return NULL;
	owner = owner_new(store, name, (uint32_t)row);
	if (owner)
		owner->claimed = true;
	else
		fdindex_drop_owner(&store->index, (uint32_t)row);
	return owner;
}

void fdstore_forget(struct fdstore_owner *owner)
{
	if (!owner || owner->store->frozen)
		return;
	while (owner->count > 0)
		owner_remove_ref(owner, owner->count - 1);
	fdindex_drop_owner(&owner->store->index, owner->row);
	owner_free(owner);
}

void fdstore_forget_unclaimed(struct fdstore *store)
{
	struct fdstore_owner *owner;
	struct fdstore_owner *tmp;

	list_for_each_safe (owner, tmp, &store->owners, link) {
		if (!owner->claimed)
			fdstore_forget(owner);
	}
}

void fdstore_each_owner(struct fdstore *store,
			void (*each)(void *arg, const char *name, struct fdstore_owner *owner),
			void *arg)
{
	struct fdstore_owner *owner;

	list_for_each (owner, &store->owners, link)
		each(arg, owner->name, owner);
}

void fdstore_set_number(struct fdstore_owner *owner, uint64_t number)
{
	if (!owner || owner->store->frozen)
		return;
	owner->number = number;
	fdstore_commit(owner->store, owner);
}

uint64_t fdstore_number(const struct fdstore_owner *owner)
{
	return owner->number;
}

bool fdstore_is_whole(const struct fdstore_owner *owner)
{
	return owner->whole;
}

void fdstore_usage(const struct fdstore *store, size_t *ret_used, size_t *ret_max)
{
	*ret_used = store->entry_count + 1;
	*ret_max = store->max;
}

void fdstore_freeze(struct fdstore *store)
{
	if (store)
		store->frozen = true;
}
