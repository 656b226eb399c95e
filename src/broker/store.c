/* SPDX-License-Identifier: BSD-3-Clause */
/* Files below etc/umdev. See store.h. */
#include "broker/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/mdev.h"
#include "broker/parent.h"
#include "util/fd.h"
#include "util/log.h"

#define STORE_PARENT_MAX 65536
#define STORE_GROUP_MAX	 4096
#define STORE_MAP_MAX	 (16 * 1024 * 1024)
#define STORE_CONFIG	 ".json"
#define STORE_MAP	 ".map"

int store_init(int root_fd, struct umdev_error *err)
{
	static const char *const dirs[] = {BROKER_PARENTS_DIR, BROKER_MDEVS_DIR, BROKER_GROUPS_DIR,
					   BROKER_SOCKETS_DIR};

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		int r = fd_mkdir_parents(root_fd, dirs[i], 0755);

		if (r < 0)
			return error_set(err, error_word_from_errno(r), "cannot make %s: %s",
					 dirs[i], strerror(-r));
	}
	if (mkdirat(root_fd, BROKER_HOSTS_DIR, 0700) < 0 && errno != EEXIST)
		return error_set(err, error_word_from_errno(errno), "cannot make %s: %s",
				 BROKER_HOSTS_DIR, strerror(errno));
	return 0;
}

static int store_failed(const char *what, const char *path, int error, struct umdev_error *err)
{
	return error_set(err, error_word_from_errno(error), "cannot %s %s: %s", what, path,
			 strerror(abs(error)));
}

/* Writes @text; what has more than @max bytes could not be read again. */
static int store_write_text(int root_fd, const char *path, const char *text, size_t max,
			    struct umdev_error *err)
{
	size_t len = strlen(text);
	int r;

	if (len > max)
		return error_set(err, ERROR_LIMIT, "%s would have %zu bytes; at most %zu are taken",
				 path, len, max);
	r = fd_write_file_atomic(root_fd, path, text, len, 0644);
	return r < 0 ? store_failed("write", path, r, err) : 0;
}

static int store_write(int root_fd, const char *path, const json_t *json, size_t max,
		       struct umdev_error *err)
{
	umdev_autofree char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
	umdev_autofree char *line = NULL;

	if (!text || asprintf(&line, "%s\n", text) < 0) {
		line = NULL;
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	}
	return store_write_text(root_fd, path, line, max, err);
}

static int store_unlink(int root_fd, const char *path, struct umdev_error *err)
{
	int r = fd_unlink_sync(root_fd, path);

	return r < 0 && r != -ENOENT ? store_failed("remove", path, r, err) : 0;
}

/* Joins a directory and a name. False when that is too long for a path. */
static bool store_join(char path[PATH_MAX], const char *dir, const char *name)
{
	size_t dir_len = strlen(dir);
	size_t name_len = strlen(name);

	if (dir_len + 1 + name_len >= PATH_MAX)
		return false;
	memcpy(path, dir, dir_len);
	path[dir_len] = '/';
	memcpy(path + dir_len + 1, name, name_len + 1);
	return true;
}

int store_each(struct broker *broker, const char *dir,
	       void (*take)(struct broker *broker, const char *dir, const char *name),
	       struct umdev_error *err)
{
	struct dirent **names = NULL;
	int n = scandirat(broker->root_fd, dir, &names, NULL, alphasort);

	if (n < 0)
		return store_failed("read", dir, errno, err);
	for (int i = 0; i < n; i++) {
		if (names[i]->d_name[0] != '.')
			take(broker, dir, names[i]->d_name);
		free(names[i]);
	}
	free(names);
	return 0;
}

static void store_settle_dir(struct broker *broker, const char *path)
{
	int r = fd_sync_dir(broker->root_fd, path);

	if (r < 0)
		umdev_log(LOG_WARNING, "umdevd", "store.sync",
			  "what is in %s may not survive a power cut: %s", path, strerror(-r));
}

static void store_settle_below(struct broker *broker, const char *dir, const char *name)
{
	char path[PATH_MAX];

	if (ident_parent_name_ok(name) && store_join(path, dir, name))
		store_settle_dir(broker, path);
}

int store_settle(struct broker *broker, struct umdev_error *err)
{
	static const char *const dirs[] = {
		".", "etc", "etc/umdev", BROKER_PARENTS_DIR, BROKER_MDEVS_DIR, BROKER_GROUPS_DIR};

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		store_settle_dir(broker, dirs[i]);
	return store_each(broker, BROKER_MDEVS_DIR, store_settle_below, err);
}

/* What fd_write_file_atomic() leaves behind when power fails in between. */
static bool store_is_leftover(const char *name)
{
	size_t len = strlen(name);

	return len > 5 && strcmp(name + len - 5, ".new~") == 0;
}

/* Takes the name of a parent out of that of a file. False when the file ends otherwise or the name
 * is not one; @name is "" then. */
static bool store_strip(const char *file, const char *suffix, char name[IDENT_PARENT_NAME_MAX + 1])
{
	size_t len = strlen(file);
	size_t cut = strlen(suffix);

	name[0] = '\0';
	if (len <= cut || strcmp(file + len - cut, suffix) != 0 ||
	    len - cut > IDENT_PARENT_NAME_MAX)
		return false;
	memcpy(name, file, len - cut);
	name[len - cut] = '\0';
	return ident_parent_name_ok(name);
}

/* ---- Parents --------------------------------------------------------------------------------- */

static void store_parent_path(const char *name, const char *suffix, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/%s%s", BROKER_PARENTS_DIR, name, suffix);
}

int store_write_parent(const struct parent *parent, struct umdev_error *err)
{
	char path[PATH_MAX];
	json_t *config =
		json_pack("{s:s,s:O}", "driver", parent->driver, "options", parent->options);
	int r;

	store_parent_path(parent->name, STORE_CONFIG, path);
	r = store_write(parent->broker->root_fd, path, config, STORE_PARENT_MAX, err);
	json_decref(config);
	return r;
}

int store_delete_parent(const struct parent *parent, struct umdev_error *err)
{
	char path[PATH_MAX];

	store_parent_path(parent->name, STORE_CONFIG, path);
	return store_unlink(parent->broker->root_fd, path, err);
}

int store_write_map(struct broker *broker, const char *name, const char *map,
		    struct umdev_error *err)
{
	char path[PATH_MAX];

	store_parent_path(name, STORE_MAP, path);
	return store_write_text(broker->root_fd, path, map, STORE_MAP_MAX, err);
}

int store_read_map(const struct parent *parent, json_t **ret_map, struct umdev_error *err)
{
	umdev_autofree char *text = NULL;
	char path[PATH_MAX];
	json_error_t where;
	size_t len = 0;
	json_t *map;
	int r;

	store_parent_path(parent->name, STORE_MAP, path);
	r = fd_read_file(parent->broker->root_fd, path, STORE_MAP_MAX, &text, &len);
	if (r == -ENOENT) {
		*ret_map = NULL;
		return 0;
	}
	if (r < 0)
		return store_failed("read", path, r, err);
	map = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
	if (!map)
		return error_set(err, ERROR_INVALID,
				 "%s is not readable (line %d: %s); restore it, or remove it to "
				 "forget which pieces belong to whom",
				 path, where.line, where.text);
	*ret_map = map;
	return 0;
}

int store_delete_map(struct broker *broker, const char *name, struct umdev_error *err)
{
	char path[PATH_MAX];

	store_parent_path(name, STORE_MAP, path);
	return store_unlink(broker->root_fd, path, err);
}

/* Reads @file as a map. NULL when it is none. */
static json_t *store_load_map(struct broker *broker, const char *file)
{
	umdev_autofree char *text = NULL;
	char path[PATH_MAX];
	size_t len = 0;

	if (!store_join(path, BROKER_PARENTS_DIR, file) ||
	    fd_read_file(broker->root_fd, path, STORE_MAP_MAX, &text, &len) < 0)
		return NULL;
	return json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
}

int store_each_map(struct broker *broker,
		   void (*look)(void *data, const char *name, const json_t *map), void *data,
		   struct umdev_error *err)
{
	struct dirent **names = NULL;
	int n = scandirat(broker->root_fd, BROKER_PARENTS_DIR, &names, NULL, alphasort);

	if (n < 0)
		return store_failed("read", BROKER_PARENTS_DIR, errno, err);
	for (int i = 0; i < n; i++) {
		char name[IDENT_PARENT_NAME_MAX + 1];

		if (store_strip(names[i]->d_name, STORE_MAP, name)) {
			json_t *map = store_load_map(broker, names[i]->d_name);

			if (map)
				look(data, name, map);
			json_decref(map);
		}
		free(names[i]);
	}
	free(names);
	return 0;
}

static int store_parse_parent(struct broker *broker, const char *name, const char *path,
			      struct umdev_error *err)
{
	umdev_autofree char *text = NULL;
	json_error_t where;
	size_t len = 0;
	const char *driver = NULL;
	json_t *options = NULL;
	json_t *config;
	int r;

	r = fd_read_file(broker->root_fd, path, STORE_PARENT_MAX, &text, &len);
	if (r < 0)
		return store_failed("read", path, r, err);
	config = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
	if (!config)
		return error_set(err, ERROR_INVALID, "%s: line %d, column %d: %s", path, where.line,
				 where.column, where.text);
	if (json_unpack(config, "{s:s,s?o}", "driver", &driver, "options", &options) < 0)
		r = error_set(err, ERROR_INVALID, "%s: it has no driver", path);
	else
		r = parent_add(broker, name, driver, options, NULL, err);
	json_decref(config);
	return r;
}

static void store_take_parent(struct broker *broker, const char *dir, const char *file)
{
	char path[PATH_MAX];
	char name[IDENT_PARENT_NAME_MAX + 1];
	struct umdev_error err = {0};
	size_t len = strlen(file);
	size_t suffix = strlen(STORE_CONFIG);

	if (!store_join(path, dir, file))
		return;
	if (store_is_leftover(file)) {
		unlinkat(broker->root_fd, path, 0);
		return;
	}
	if (!store_strip(file, STORE_CONFIG, name)) {
		if (len > suffix && strcmp(file + len - suffix, STORE_CONFIG) == 0)
			broker_event(broker,
				     &(struct event){.name = "definition.bad",
						     .level = LOG_WARNING},
				     "%s: its name is not one of a parent", path);
		return;
	}
	if (store_parse_parent(broker, name, path, &err) == 0)
		return;
	broker_event(
		broker,
		&(struct event){.name = "definition.bad", .level = LOG_WARNING, .parent = name},
		"%s", err.message);
	if (parent_add_failed(broker, name, &err) < 0)
		umdev_log(LOG_ERR, name, "definition.bad", "out of memory");
}

int store_load_parents(struct broker *broker, struct umdev_error *err)
{
	return store_each(broker, BROKER_PARENTS_DIR, store_take_parent, err);
}

/* ---- Groups ---------------------------------------------------------------------------------- */

int store_write_group(struct broker *broker, const char *group, const json_t *settings,
		      struct umdev_error *err)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", BROKER_GROUPS_DIR, group);
	if (!settings)
		return store_unlink(broker->root_fd, path, err);
	return store_write(broker->root_fd, path, settings, STORE_GROUP_MAX, err);
}

int store_read_group(struct broker *broker, const char *group, json_t **ret_settings,
		     struct umdev_error *err)
{
	umdev_autofree char *text = NULL;
	char path[PATH_MAX];
	json_error_t where;
	size_t len = 0;
	int r;

	snprintf(path, sizeof(path), "%s/%s", BROKER_GROUPS_DIR, group);
	r = fd_read_file(broker->root_fd, path, STORE_GROUP_MAX, &text, &len);
	if (r < 0)
		return store_failed("read", path, r, err);
	*ret_settings = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
	if (!*ret_settings)
		return error_set(err, ERROR_INVALID, "%s: line %d, column %d: %s", path, where.line,
				 where.column, where.text);
	return 0;
}

bool store_clear_leftover(struct broker *broker, const char *dir, const char *name)
{
	char path[PATH_MAX];

	if (!store_is_leftover(name) || !store_join(path, dir, name))
		return false;
	unlinkat(broker->root_fd, path, 0);
	return true;
}

/* ---- Definitions ----------------------------------------------------------------------------- */

int store_definition(const struct mdev *mdev, struct umdev_error *err)
{
	struct broker *broker = mdev->broker;
	char path[PATH_MAX];
	json_t *json;
	int r;

	snprintf(path, sizeof(path), "%s/%s", BROKER_MDEVS_DIR, mdev->parent_name);
	if (!mdev->definition) {
		char file[PATH_MAX];

		snprintf(file, sizeof(file), "%.256s/%s", path, mdev->uuid);
		r = store_unlink(broker->root_fd, file, err);
		if (r == 0)
			unlinkat(broker->root_fd, path, AT_REMOVEDIR); /* when it was the last */
		return r;
	}
	r = fd_mkdir_parents(broker->root_fd, path, 0755);
	if (r < 0)
		return store_failed("make", path, r, err);
	snprintf(path, sizeof(path), "%s/%s/%s", BROKER_MDEVS_DIR, mdev->parent_name, mdev->uuid);
	json = definition_print(mdev->definition);
	r = store_write(broker->root_fd, path, json, DEFINITION_FILE_MAX, err);
	json_decref(json);
	return r;
}

void store_tell_bad(struct broker *broker, const char *parent, const char *uuid, const char *file,
		    const struct umdev_error *why)
{
	broker_event(broker,
		     &(struct event){.name = "definition.bad",
				     .level = LOG_WARNING,
				     .parent = parent,
				     .uuid = uuid},
		     "%s/%s/%s: %s", BROKER_MDEVS_DIR, parent, file, why->message);
}

int store_read_definition(struct broker *broker, const char *parent, const char *uuid,
			  struct definition **ret, struct umdev_error *err)
{
	umdev_autofree char *text = NULL;
	char path[PATH_MAX];
	size_t len = 0;
	int r;

	snprintf(path, sizeof(path), "%s/%s/%s", BROKER_MDEVS_DIR, parent, uuid);
	r = fd_read_file(broker->root_fd, path, DEFINITION_FILE_MAX, &text, &len);
	if (r == -ENOENT)
		return r;
	if (r < 0)
		r = error_set(err, error_word_from_errno(r), "%s", strerror(-r));
	else
		r = definition_parse_text(text, len, ret, err);
	/* Nothing that is wrong in a file may look like its absence. */
	return r == -ENOENT ? -EINVAL : r;
}

static void store_take_definition(struct broker *broker, const char *dir, const char *file)
{
	const char *parent = strrchr(dir, '/') + 1;
	char path[PATH_MAX];
	char uuid[IDENT_UUID_SIZE];
	struct umdev_error err = {0};
	struct mdev *mdev;
	int r;

	if (store_is_leftover(file)) {
		if (store_join(path, dir, file))
			unlinkat(broker->root_fd, path, 0);
		return;
	}
	if (ident_uuid_parse(file, uuid) < 0 || strcmp(uuid, file) != 0) {
		error_set(&err, ERROR_INVALID, "its name is not a UUID in lower case");
		store_tell_bad(broker, parent, NULL, file, &err);
		return;
	}
	r = mdev_get(broker, parent, uuid, &mdev, &err);
	if (r < 0) {
		store_tell_bad(broker, parent, uuid, file, &err);
		return;
	}
	r = store_read_definition(broker, parent, uuid, &mdev->definition, &err);
	if (r == -ENOENT) {
		mdev_put(mdev);
	} else if (r < 0) {
		mdev->unreadable = err;
		error_wrap(&mdev->unreadable, "its definition cannot be read");
		store_tell_bad(broker, parent, uuid, file, &err);
	}
}

static void store_take_parent_dir(struct broker *broker, const char *dir, const char *name)
{
	char path[PATH_MAX];
	struct umdev_error err = {0};

	if (!ident_parent_name_ok(name) || !store_join(path, dir, name))
		return;
	if (store_each(broker, path, store_take_definition, &err) < 0)
		store_tell_bad(broker, name, NULL, "", &err);
}

int store_load_definitions(struct broker *broker, struct umdev_error *err)
{
	return store_each(broker, BROKER_MDEVS_DIR, store_take_parent_dir, err);
}
