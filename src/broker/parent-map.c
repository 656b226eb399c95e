/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The map of a parent's pool on disk: whose the pieces are, and which must be discarded.
 *
 * A map says on which files it is about. So a file that comes back under another name is
 * recognised: where it still holds data of defined mdevs the new parent is refused, else all that
 * was ever used of it is dirty for the new parent. A name does not change from one file to another
 * while the first is there: its map would be lost. What no map knows was never given to an mdev,
 * and is the operator's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "broker/mdev.h"
#include "broker/parent.h"
#include "broker/store.h"

static json_t *map_print_backings(const struct parent *parent)
{
	json_t *list = json_array();

	for (size_t i = 0; i < parent->backings.count; i++) {
		const struct backing *b = &parent->backings.items[i];

		if (b->path)
			json_array_append_new(list, json_pack("{s:s,s:I,s:I}", "path", b->path,
							      "device", (json_int_t)b->device,
							      "inode", (json_int_t)b->inode));
	}
	return list;
}

int parent_store_map(struct parent *parent, struct umdev_error *err)
{
	umdev_autofree char *map = NULL;
	json_t *backings;
	int r;

	/* A definition that starts again has its piece already. */
	if (parent->map_later ||
	    (parent->map_stored && parent->map_changes == parent->pool.changes))
		return 0;
	backings = map_print_backings(parent);
	map = backings ? pool_map_print(&parent->pool, backings) : NULL;
	json_decref(backings);
	if (!map)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	r = store_write_map(parent->broker, parent->name, map, err);
	parent->map_stored = r == 0;
	parent->map_changes = parent->pool.changes;
	return r;
}

struct map_drop {
	struct broker *broker;
	const char *name;
	const char *uuid;
	struct umdev_error *err;
	int result;
};

/* Writes the map of the parent with that name anew, the piece of that UUID released and dirty. */
static void map_drop_piece(void *data, const char *name, const json_t *map)
{
	struct map_drop *drop = data;
	json_int_t units = json_integer_value(json_object_get(map, "units"));
	json_int_t align = json_integer_value(json_object_get(map, "align"));
	umdev_autofree char *next = NULL;
	const struct pool_piece *piece;
	struct pool pool;

	/* One that cannot be understood is refused when the parent is added. */
	if (strcmp(name, drop->name) != 0 || units <= 0 || align < 0 ||
	    pool_init(&pool, (uint64_t)units, (uint64_t)align) < 0)
		return;
	piece = pool_map_parse(&pool, map, NULL) == 0 ? pool_find(&pool, drop->uuid) : NULL;
	if (piece) {
		pool_release(&pool, piece->start, true);
		next = pool_map_print(&pool, json_object_get(map, "backings"));
		if (!next)
			drop->result = error_set(drop->err, ERROR_NO_MEMORY, "out of memory");
		else
			drop->result = store_write_map(drop->broker, name, next, drop->err);
	}
	pool_done(&pool);
}

int parent_drop_piece(struct broker *broker, const char *name, const char *uuid,
		      struct umdev_error *err)
{
	struct map_drop drop = {.broker = broker, .name = name, .uuid = uuid, .err = err};
	int r = store_each_map(broker, map_drop_piece, &drop, err);

	return r < 0 ? r : drop.result;
}

/* ---- Files that were another parent's -------------------------------------------------------- */

/* Whether @entry of a map is about one of the files of @parent: by its name, or by its inode where
 * it was renamed. */
static bool map_is_about(const json_t *entry, const struct parent *parent)
{
	const char *path = json_string_value(json_object_get(entry, "path"));
	json_int_t device = json_integer_value(json_object_get(entry, "device"));
	json_int_t inode = json_integer_value(json_object_get(entry, "inode"));

	for (size_t i = 0; i < parent->backings.count; i++) {
		const struct backing *b = &parent->backings.items[i];

		if (b->path && ((path && strcmp(path, b->path) == 0) ||
				(inode != 0 && inode == (json_int_t)b->inode &&
				 device == (json_int_t)b->device)))
			return true;
	}
	return false;
}

/* Whether the file of @entry is still where it was. */
static bool map_entry_is_there(const json_t *entry)
{
	const char *path = json_string_value(json_object_get(entry, "path"));
	json_int_t device = json_integer_value(json_object_get(entry, "device"));
	json_int_t inode = json_integer_value(json_object_get(entry, "inode"));
	struct stat st;

	if (!path || stat(path, &st) < 0)
		return false;
	if (S_ISBLK(st.st_mode))
		return device == (json_int_t)st.st_rdev;
	return device == (json_int_t)st.st_dev && inode == (json_int_t)st.st_ino;
}

/* A file that @map is about, that is there and that @parent does not have, or NULL. To go on with
 * the map would forget what it says about that file. */
static const char *map_other_file(const json_t *map, const struct parent *parent)
{
	const json_t *backings = json_object_get(map, "backings");

	if (json_array_size(json_object_get(map, "pieces")) == 0)
		return NULL;
	for (size_t i = 0; i < json_array_size(backings); i++) {
		const json_t *entry = json_array_get(backings, i);

		if (!map_is_about(entry, parent) && map_entry_is_there(entry))
			return json_string_value(json_object_get(entry, "path"));
	}
	return NULL;
}

/* Whether @map was written about the very file @b; a device has nothing but its name. */
static bool map_is_of(const json_t *map, const struct backing *b)
{
	const json_t *backings = json_object_get(map, "backings");

	for (size_t i = 0; i < json_array_size(backings); i++) {
		const json_t *entry = json_array_get(backings, i);
		const char *path = json_string_value(json_object_get(entry, "path"));
		json_int_t device = json_integer_value(json_object_get(entry, "device"));
		json_int_t inode = json_integer_value(json_object_get(entry, "inode"));

		if (inode != (json_int_t)b->inode)
			continue;
		if (inode != 0 ? device == (json_int_t)b->device
			       : path && strcmp(path, b->path) == 0)
			return true;
	}
	return false;
}

/* Whether @map was written about the very files of @parent. */
static bool map_is_of_all(const json_t *map, const struct parent *parent)
{
	for (size_t i = 0; i < parent->backings.count; i++) {
		if (parent->backings.items[i].path && !map_is_of(map, &parent->backings.items[i]))
			return false;
	}
	return true;
}

/* The number of pieces in @map whose mdevs are defined under the parent @name. */
static size_t map_count_defined(struct broker *broker, const json_t *map, const char *name)
{
	const json_t *pieces = json_object_get(map, "pieces");
	size_t count = 0;

	for (size_t i = 0; i < json_array_size(pieces); i++) {
		const char *uuid =
			json_string_value(json_object_get(json_array_get(pieces, i), "uuid"));
		const struct mdev *mdev = uuid ? mdev_find(broker, name, uuid) : NULL;

		count += mdev && mdev_is_defined(mdev);
	}
	return count;
}

/* Everything that @map knows is dirty in the pool of @parent. */
static int map_take_dirt(struct parent *parent, const json_t *map)
{
	const json_t *pieces = json_object_get(map, "pieces");
	int r = 0;

	for (size_t i = 0; r == 0 && i < json_array_size(pieces); i++) {
		const json_t *piece = json_array_get(pieces, i);
		json_int_t start = json_integer_value(json_object_get(piece, "start"));
		json_int_t size = json_integer_value(json_object_get(piece, "size"));

		if (start >= 0 && size > 0)
			r = pool_mark_dirty(&parent->pool,
					    &(struct pool_range){(uint64_t)start, (uint64_t)size});
	}
	return r;
}

struct map_search {
	struct parent *parent;
	struct umdev_error *err;
	bool taken;
	int result;
};

/* Whether the map of parent @name is another's than @parent's, about one of its files. */
static bool map_concerns(const struct parent *parent, const char *name, const json_t *map)
{
	const json_t *backings = json_object_get(map, "backings");

	for (size_t i = 0; i < json_array_size(backings); i++) {
		if (map_is_about(json_array_get(backings, i), parent))
			return strcmp(name, parent->name) != 0;
	}
	return false;
}

/* Looks at the map of another parent. */
static void map_look(void *data, const char *name, const json_t *map)
{
	struct map_search *search = data;
	struct parent *parent = search->parent;
	size_t defined;

	if (search->result < 0 || !map_concerns(parent, name, map))
		return;
	defined = map_count_defined(parent->broker, map, name);
	if (defined > 0) {
		search->result = error_set(search->err, ERROR_EXISTS,
					   "it holds the data of %zu mdevs that are defined under "
					   "parent %s: add it by that name, or undefine them",
					   defined, name);
		return;
	}
	if (parent->pool.piece_count > 0) {
		search->result = error_set(search->err, ERROR_EXISTS,
					   "it has the file that parent %s had last, and %zu mdevs "
					   "with data elsewhere: undefine them, or give it "
					   "another name",
					   name, parent->pool.piece_count);
		return;
	}
	search->taken = true;
	if (map_take_dirt(parent, map) < 0)
		search->result = error_set(search->err, ERROR_NO_MEMORY, "out of memory");
}

/* A map that was taken over must not be believed again under its old name. */
static void map_forget(void *data, const char *name, const json_t *map)
{
	struct map_search *search = data;

	if (search->result == 0 && map_concerns(search->parent, name, map))
		search->result = store_delete_map(search->parent->broker, name, search->err);
}

static int map_take_over(struct parent *parent, struct umdev_error *err)
{
	struct map_search search = {.parent = parent, .err = err};
	int r = store_each_map(parent->broker, map_look, &search, err);

	if (r == 0)
		r = search.result;
	if (r < 0 || !search.taken)
		return r;
	r = parent_store_map(parent, err);
	if (r == 0)
		r = store_each_map(parent->broker, map_forget, &search, err);
	return r == 0 ? search.result : r;
}

/* ---- Loading --------------------------------------------------------------------------------- */

/* Pieces of mdevs that are neither defined nor active any more belong to nobody. Returns whether
 * there were any.
 */
static bool map_release_orphans(struct parent *parent)
{
	bool any = false;

	for (size_t i = parent->pool.piece_count; i > 0; i--) {
		const struct pool_piece *piece = &parent->pool.pieces[i - 1];
		const struct mdev *mdev = mdev_find(parent->broker, parent->name, piece->uuid);

		/* Those that are active or being made anew are of a host that was taken over. */
		if ((mdev && (mdev_is_defined(mdev) || mdev->state != MDEV_IDLE)) ||
		    json_object_get(parent->remakes, piece->uuid))
			continue;
		pool_release(&parent->pool, piece->start, true);
		any = true;
	}
	return any;
}

int parent_load_map(struct parent *parent, uint64_t units, uint64_t align, struct umdev_error *err)
{
	bool is_new = backings_are_new(&parent->backings);
	const char *other;
	json_t *map = NULL;
	bool changed;
	bool known;
	int r;

	if (pool_init(&parent->pool, units, align) < 0)
		return error_set(err, ERROR_DRIVER_FAILED, "driver %s has a pool of %llu units",
				 parent->driver, (unsigned long long)units);
	r = store_read_map(parent, &map, err);
	if (r < 0)
		return r;
	if (!map)
		return is_new ? 0 : map_take_over(parent, err);
	other = map_other_file(map, parent);
	if (other) {
		r = error_set(err, ERROR_EXISTS,
			      "%s had the file %s before and knows what is on it: use another "
			      "name for this one, or remove that file",
			      parent->name, other);
		json_decref(map);
		return r;
	}
	known = is_new || map_is_of_all(map, parent);
	r = pool_map_parse(&parent->pool, map, err);
	json_decref(map);
	if (r < 0)
		return error_wrap(err, "the map %s/%s.map does not fit", BROKER_PARENTS_DIR,
				  parent->name);
	changed = map_release_orphans(parent);
	if (is_new) {
		r = pool_mark_clean(&parent->pool, &(struct pool_range){.size = units});
		changed = true;
	}
	if (r < 0)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	if (!known) {
		r = map_take_over(parent, err);
		if (r < 0)
			return r;
	}
	parent->map_changes = parent->pool.changes;
	parent->map_stored = known && !changed;
	return changed ? parent_store_map(parent, err) : 0;
}
