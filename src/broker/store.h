/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The files below etc/umdev: configurations of parents, maps of their pools, definitions.
 *
 * Every file is replaced as a whole, so that a power cut leaves the old one or the new one. A file
 * that is no such thing (half of one, foreign) is reported and left alone.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "util/cleanup.h"
#include "util/error.h"

struct broker;
struct definition;
struct mdev;
struct parent;

/* Makes the directories below the root. */
int store_init(int root_fd, struct umdev_error *err) umdev_warn_unused;

/*
 * Puts on the disk what a daemon that was killed may have left on its way there. This one will act
 * and answer on what it reads, and a power cut must not take that back.
 */
int store_settle(struct broker *broker, struct umdev_error *err) umdev_warn_unused;

/* Loads all definitions; those that cannot be read become mdevs that say so. */
int store_load_definitions(struct broker *broker, struct umdev_error *err) umdev_warn_unused;

/*
 * Reads the definition of @uuid under @parent. -ENOENT, with nothing in @err, means that there is
 * no file; what is in one that cannot be read is told by @err, without the path.
 */
int store_read_definition(struct broker *broker, const char *parent, const char *uuid,
			  struct definition **ret, struct umdev_error *err) umdev_warn_unused;

/* Calls @take with every name in a directory below the root that does not begin with a dot, in the
 * order of the names. */
int store_each(struct broker *broker, const char *dir,
	       void (*take)(struct broker *broker, const char *dir, const char *name),
	       struct umdev_error *err) umdev_warn_unused;

/* Records that @file among the definitions of @parent, which would be that of @uuid (NULL: its name
 * is none), cannot be used. */
void store_tell_bad(struct broker *broker, const char *parent, const char *uuid, const char *file,
		    const struct umdev_error *why);

/* Loads all parents and begins to start them. */
int store_load_parents(struct broker *broker, struct umdev_error *err) umdev_warn_unused;

/* Writes or removes the configuration of a parent. */
int store_write_parent(const struct parent *parent, struct umdev_error *err) umdev_warn_unused;
int store_delete_parent(const struct parent *parent, struct umdev_error *err) umdev_warn_unused;

/* Writes the definition, or removes it when there is none. */
int store_definition(const struct mdev *mdev, struct umdev_error *err) umdev_warn_unused;

/* Writes the settings of a group, or removes them when there are none (NULL); reads them. */
int store_write_group(struct broker *broker, const char *group, const json_t *settings,
		      struct umdev_error *err) umdev_warn_unused;
int store_read_group(struct broker *broker, const char *group, json_t **ret_settings,
		     struct umdev_error *err) umdev_warn_unused;

/* Removes a file that a power cut left unfinished. False when @name is not that of one. */
bool store_clear_leftover(struct broker *broker, const char *dir, const char *name);

/* Calls @look with every map that can be read, whether its parent is there or not. */
int store_each_map(struct broker *broker,
		   void (*look)(void *data, const char *name, const json_t *map), void *data,
		   struct umdev_error *err) umdev_warn_unused;

/* Removes the map of the parent @name. */
int store_delete_map(struct broker *broker, const char *name,
		     struct umdev_error *err) umdev_warn_unused;

/* Writes or reads the map of a parent's pool; *@ret_map is NULL when there is no file. */
int store_write_map(struct broker *broker, const char *name, const char *map,
		    struct umdev_error *err) umdev_warn_unused;
int store_read_map(const struct parent *parent, json_t **ret_map,
		   struct umdev_error *err) umdev_warn_unused;
