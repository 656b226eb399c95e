/* SPDX-License-Identifier: BSD-3-Clause */
/* What an earlier daemon left with the service manager, or this one leaves. See fdstore.h. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/fdstore-internal.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/parse.h"

/* Names a file in memory to the program that this one becomes: struct handed_on, one after another.
 */
#define FDSTORE_HANDED_ON "UMDEVD_STORE"
#define FDSTORE_INDEX_ID  0u
#define FDSTORE_DRAIN_NS  (2 * NS_PER_S)

struct handed_on {
	int32_t fd;
	uint32_t id;
};

/* ---- Taking ---------------------------------------------------------------------------------- */

/* The number in "u1f"; false for another name. */
static bool fdstore_name_id(const char *name, uint32_t *ret_id)
{
	char again[16];
	unsigned long id;

	if (name[0] != 'u' || name[1] == '\0' ||
	    strspn(name + 1, "0123456789abcdef") != strlen(name + 1) || strlen(name) > 9)
		return false;
	id = strtoul(name + 1, NULL, 16);
	snprintf(again, sizeof(again), "u%lx", id);
	*ret_id = (uint32_t)id;
	return strcmp(again, name) == 0;
}

/* Takes what the program before this one left in the same process. Returns the number or -errno. */
static int fdstore_take_handed_on(struct notify_fd **ret)
{
	const char *text = getenv(FDSTORE_HANDED_ON);
	umdev_autofree struct handed_on *rows = NULL;
	umdev_autoclose int list = -1;
	struct notify_fd *fds;
	uint64_t number = 0;
	struct stat st;
	size_t count;

	*ret = NULL;
	if (!text || parse_u64(text, &number) < 0 || number > INT32_MAX)
		return 0;
	unsetenv(FDSTORE_HANDED_ON);
	list = (int)number;
	if (fcntl(list, F_GET_SEALS) < 0 || fstat(list, &st) < 0 || st.st_size < 0 ||
	    st.st_size > (off_t)(sizeof(*rows) * NOTIFY_FDS_MAX))
		return -EBADMSG;
	count = (size_t)st.st_size / sizeof(*rows);
	rows = calloc(count + 1, sizeof(*rows));
	fds = calloc(count + 1, sizeof(*fds));
	if (!rows || !fds ||
	    pread(list, rows, count * sizeof(*rows), 0) != (ssize_t)(count * sizeof(*rows))) {
		free(fds);
		return -ENOMEM;
	}
	for (size_t i = 0; i < count; i++) {
		char name[16];

		snprintf(name, sizeof(name), "u%x", rows[i].id);
		fds[i].fd = fcntl(rows[i].fd, F_SETFD, FD_CLOEXEC) < 0 ? -1 : rows[i].fd;
		fds[i].name = strdup(name);
	}
	*ret = fds;
	return (int)count;
}

/* Closes @given and takes it out of the manager's store, where nobody would ask for it again. */
static void fdstore_reject(struct fdstore *store, struct notify_fd *given)
{
	fd_close(&given->fd);
	if (given->name && given->name[0] && !strpbrk(given->name, "\n"))
		fdstore_queue_remove(store, given->name);
}

static int fdstore_order(const void *a, const void *b)
{
	const struct notify_fd *x = a;
	const struct notify_fd *y = b;
	uint32_t p = 0;
	uint32_t q = 0;
	bool has_p = x->name && fdstore_name_id(x->name, &p);
	bool has_q = y->name && fdstore_name_id(y->name, &q);

	/* What has no number comes last. */
	if (!has_p || !has_q)
		return has_q - has_p;
	return p < q ? -1 : p > q;
}

/*
 * Sorts what has a number of ours to the front, by number; the rest is taken out. Of two with one
 * name, which the manager can only take out together, the second is closed, and the name goes to
 * @twice. Returns how many there are.
 */
static size_t fdstore_sort(struct fdstore *store, struct notify_fd *given, size_t count,
			   uint32_t *twice, size_t *ret_twice)
{
	size_t good = 0;
	uint32_t last = UINT32_MAX;

	*ret_twice = 0;
	if (count > 0)
		qsort(given, count, sizeof(*given), fdstore_order);
	for (size_t i = 0; i < count; i++) {
		struct notify_fd moved = given[i];
		uint32_t id = 0;

		if (moved.fd < 0 || !moved.name || !fdstore_name_id(moved.name, &id) ||
		    id == UINT32_MAX) {
			fdstore_reject(store, &given[i]);
			continue;
		}
		if (good > 0 && id == last) {
			fd_close(&given[i].fd);
			twice[(*ret_twice)++] = id;
			continue;
		}
		last = id;
		given[i] = given[good];
		given[good++] = moved;
		if (id >= store->next_id)
			store->next_id = id + 1;
	}
	return good;
}

/* ---- Adopting -------------------------------------------------------------------------------- */

static void fdstore_adopt_owners(struct fdstore *store, struct fdstore_owner **owners)
{
	for (uint32_t row = 0; row < FDINDEX_OWNERS; row++) {
		char name[FDINDEX_NAME_SIZE];
		uint64_t number = 0;

		if (!fdindex_owner(&store->index, row, name, &number))
			continue;
		if (!fdstore_owner(store, name, false))
			owners[row] = owner_new(store, name, row);
		if (owners[row])
			owners[row]->number = number;
		else
			fdindex_drop_owner(&store->index, row);
	}
}

static struct notify_fd *fdstore_given(struct notify_fd *given, size_t count, uint32_t id)
{
	struct notify_fd key = {.name = (char[16]){0}};

	snprintf(key.name, 16, "u%x", id);
	return count ? bsearch(&key, given, count, sizeof(*given), fdstore_order) : NULL;
}

/* Binds the rows of the index to what was given. @entries: of each that was given, or NULL yet. */
static void fdstore_adopt_refs(struct fdstore *store, struct fdstore_owner **owners,
			       struct notify_fd *given, size_t count,
			       struct fdstore_entry **entries)
{
	for (uint32_t row = 0; row < FDINDEX_REFS; row++) {
		struct notify_fd *found;
		struct fdstore_owner *owner;
		uint32_t index = 0;
		uint32_t key = 0;
		uint32_t id = 0;
		size_t i;

		if (!fdindex_ref(&store->index, row, &index, &key, &id))
			continue;
		owner = owners[index];
		found = id == FDSTORE_INDEX_ID ? NULL : fdstore_given(given, count, id);
		i = found ? (size_t)(found - given) : 0;
		if (found && owner && !entries[i] && found->fd >= 0)
			entries[i] = fdstore_adopt_entry(store, id, &found->fd);
		if (found && owner && entries[i] && owner_add_ref(owner, key, row, entries[i]) == 0)
			continue;
		if (owner)
			owner->whole = false;
		fdindex_drop_ref(&store->index, row);
	}
}

/* Begins with the index that was given, or with a new one. */
static int fdstore_begin_index(struct fdstore *store, struct notify_fd *given, size_t count)
{
	struct notify_fd *found = fdstore_given(given, count, FDSTORE_INDEX_ID);
	int r;

	if (found && fdindex_adopt(&store->index, &found->fd) == 0)
		return 0;
	r = fdindex_new(&store->index);
	if (r < 0)
		return r;
	if (found)
		fdstore_reject(store, found);
	fdstore_queue_index(store);
	return 0;
}

/* Has the manager hold what it has twice under the name @id once. */
static void fdstore_store_again(struct fdstore *store, uint32_t id)
{
	char name[16];

	snprintf(name, sizeof(name), "u%x", id);
	fdstore_queue_remove(store, name);
	if (id == FDSTORE_INDEX_ID)
		fdstore_queue_index(store);
	for (size_t i = 0; i < store->entry_count; i++) {
		if (store->entries[i]->id == id)
			fdstore_queue_store(store, store->entries[i]);
	}
}

static int fdstore_adopt(struct fdstore *store, struct notify_fd *given, size_t count)
{
	umdev_autofree uint32_t *twice = calloc(count + 1, sizeof(*twice));
	umdev_autofree struct fdstore_owner **owners =
		calloc(FDINDEX_OWNERS, sizeof(struct fdstore_owner *));
	umdev_autofree struct fdstore_entry **entries =
		calloc(count + 1, sizeof(struct fdstore_entry *));
	size_t twice_count = 0;
	int r;

	if (!owners || !entries || !twice)
		return -ENOMEM;
	store->next_id = 1;
	count = fdstore_sort(store, given, count, twice, &twice_count);
	r = fdstore_begin_index(store, given, count);
	if (r < 0)
		return r;
	fdstore_adopt_owners(store, owners);
	fdstore_adopt_refs(store, owners, given, count, entries);
	for (size_t i = 0; i < count; i++) {
		/* Nobody speaks of it, or its open file has another name, too. */
		if (!entries[i] && given[i].fd >= 0)
			fdstore_reject(store, &given[i]);
	}
	fdstore_remove_unused(store);
	for (size_t i = 0; i < twice_count; i++)
		fdstore_store_again(store, twice[i]);
	return 0;
}

/* How many the manager takes: as it says, or as we were told. */
static size_t fdstore_max(size_t max)
{
	const char *text = getenv("FDSTORE");
	uint64_t number;

	if (text && parse_u64(text, &number) == 0)
		max = number > FDSTORE_MAX ? FDSTORE_MAX : (size_t)number;
	return MIN(max, (size_t)FDSTORE_MAX);
}

int fdstore_open(struct reactor *reactor, size_t max, struct fdstore **ret_store)
{
	struct notify_fd *given = NULL;
	struct fdstore *store = NULL;
	int count = fdstore_take_handed_on(&given);
	int r;

	if (count <= 0)
		count = notify_take_fds(&given);
	r = count < 0 ? count : notify_open();
	max = fdstore_max(max);
	*ret_store = NULL;
	if (r < 0 || max < 2) {
		if (r >= 0)
			close(r);
		notify_fds_free(given, count < 0 ? 0 : (size_t)count);
		return r == -ENOENT || r >= 0 ? 0 : r;
	}
	store = calloc(1, sizeof(*store));
	if (store) {
		store->reactor = reactor;
		store->socket =
			(struct reactor_fd){.fd = r, .events = EPOLLOUT, .ready = fdstore_flush};
		store->index.fd = -1;
		store->list_fd = -1;
		store->max = max;
		list_init(&store->owners);
		r = fdstore_can_compare(r) ? fdstore_adopt(store, given, (size_t)count) : -ENOSYS;
	} else {
		close(r);
		r = -ENOMEM;
	}
	notify_fds_free(given, (size_t)count);
	if (r < 0) {
		fdstore_close(store, true);
		return r;
	}
	*ret_store = store;
	return 0;
}

/* ---- Leaving --------------------------------------------------------------------------------- */

/* Tells the manager what waits, for a while: nobody else is served any more, and what it was not
 * told to take out it would keep. */
static void fdstore_drain(struct fdstore *store)
{
	uint64_t end = clock_now_ns() + FDSTORE_DRAIN_NS;
	uint64_t now;

	while (store->op_count > 0 && (now = clock_now_ns()) < end) {
		struct pollfd p = {.fd = store->socket.fd, .events = POLLOUT};

		(void)poll(&p, 1, (int)((end - now) / NS_PER_MS) + 1);
		fdstore_flush(&store->socket, EPOLLOUT);
	}
	if (store->op_count > 0)
		umdev_log(LOG_WARNING, "umdevd", "fdstore.send",
			  "the service manager is slow: it still stores up to %zu descriptors that "
			  "nobody needs; \"systemctl clean --what=fdstore umdevd\" drops them",
			  store->op_count);
}

void fdstore_close(struct fdstore *store, bool leave)
{
	if (!store)
		return;
	store->frozen = false;
	while (!list_empty(&store->owners)) {
		struct fdstore_owner *owner =
			list_first(&store->owners, struct fdstore_owner, link);

		if (leave)
			owner_free(owner);
		else
			fdstore_forget(owner);
	}
	if (!leave) {
		fdstore_queue_remove(store, "u0");
		fdstore_drain(store);
	}
	for (size_t i = 0; i < store->entry_count; i++) {
		fd_close(&store->entries[i]->fd);
		free(store->entries[i]);
	}
	reactor_fd_del(store->reactor, &store->socket);
	fd_close(&store->socket.fd);
	fd_close(&store->list_fd);
	fdindex_done(&store->index);
	free(store->entries);
	free(store->ops);
	free(store);
}

/* Whether the manager has not been told of @entry yet. */
static bool fdstore_waits(const struct fdstore *store, const struct fdstore_entry *entry)
{
	for (size_t i = 0; i < store->op_count; i++) {
		if (store->ops[i].entry == entry)
			return true;
	}
	return false;
}

/* Writes down what is handed on. What the manager has not been told to store or to take out goes
 * without descriptor: it is to be taken out. */
static int fdstore_list(const struct fdstore *store)
{
	size_t room = store->entry_count + store->op_count + 1;
	umdev_autofree struct handed_on *rows = calloc(room, sizeof(*rows));
	umdev_autoclose int fd = -1;
	size_t n = 0;

	if (!rows)
		return -ENOMEM;
	rows[n++] = (struct handed_on){store->index.fd, FDSTORE_INDEX_ID};
	for (size_t i = 0; i < store->entry_count; i++) {
		const struct fdstore_entry *entry = store->entries[i];

		rows[n++] =
			(struct handed_on){fdstore_waits(store, entry) ? -1 : entry->fd, entry->id};
	}
	for (size_t i = 0; i < store->op_count; i++) {
		uint32_t id = 0;

		if (!store->ops[i].entry && fdstore_name_id(store->ops[i].name, &id) &&
		    id != FDSTORE_INDEX_ID)
			rows[n++] = (struct handed_on){-1, id};
	}
	fd = fd_memfd("umdev-store", n * sizeof(*rows));
	if (fd < 0)
		return fd;
	return pwrite(fd, rows, n * sizeof(*rows), 0) == (ssize_t)(n * sizeof(*rows))
		       ? umdev_steal_fd(&fd)
		       : -EIO;
}

void fdstore_hand_on(struct fdstore *store, bool on)
{
	char text[16];
	int flag = on ? 0 : FD_CLOEXEC;

	if (!store)
		return;
	unsetenv(FDSTORE_HANDED_ON);
	fd_close(&store->list_fd);
	if (on) {
		store->list_fd = fdstore_list(store);
		if (store->list_fd < 0) {
			umdev_log(LOG_WARNING, "umdevd", "fdstore.hand-on", "%s",
				  strerror(-store->list_fd));
			store->list_fd = -1;
			return;
		}
		snprintf(text, sizeof(text), "%d", store->list_fd);
		setenv(FDSTORE_HANDED_ON, text, 1);
		(void)fcntl(store->list_fd, F_SETFD, 0);
	}
	(void)fcntl(store->index.fd, F_SETFD, flag);
	for (size_t i = 0; i < store->entry_count; i++)
		(void)fcntl(store->entries[i]->fd, F_SETFD, flag);
}
