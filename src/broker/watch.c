/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Definition files that change behind the daemon's back. See watch.h.
 *
 * One inotify watch is on the directory of all definitions and one on each of its subdirectories,
 * up to the number that there may be parents. Events only say where to look: what counts is what is
 * on disk when it is looked at. A new subdirectory, and after lost events every one, is read whole.
 */
#include "broker/watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/group.h"
#include "broker/mdev.h"
#include "broker/store.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/log.h"

#define WATCH_BUFFER 4096 /* bytes of events taken in one turn */
#define WATCH_READS  256  /* so often at most before a request */
#define WATCH_SLICE  64	  /* files looked at in one turn */
#define WATCH_MASK                                                                                 \
	(IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR)

/* What a look at a file may find and act upon. The rest is left to a later look. */
enum watch_look {
	WATCH_GOOD, /* only a definition: others may be writing it anew */
	WATCH_GONE, /* that there is no file, too */
	WATCH_ALL,  /* and that it cannot be read */
};

/* A directory of definitions. */
struct watch_dir {
	struct list link;
	char name[IDENT_PARENT_NAME_MAX + 1];
	int wd;
	bool wanted; /* to be read whole */
	DIR *scan;   /* being read; NULL: not */
};

/* A file that was gone or could not be read; all wait equally long, so they are sorted by time. */
struct watch_doubt {
	struct list link;
	uint64_t due_ns;
	char parent[IDENT_PARENT_NAME_MAX + 1];
	char uuid[IDENT_UUID_SIZE];
};

struct watch {
	struct broker *broker;
	struct reactor_fd source;
	struct reactor_task task;
	struct reactor_timer timer;
	int top_wd;
	struct list dirs;
	size_t dir_count;
	struct list doubts;
	size_t doubt_count;
	bool too_many; /* directories, and it was told */
};

/* ---- One definition -------------------------------------------------------------------------- */

static void watch_take_good(struct broker *broker, struct mdev *mdev, struct definition *next,
			    bool file_lacks)
{
	bool was_defined = mdev_is_defined(mdev);

	definition_free(mdev->definition);
	mdev->definition = next;
	mdev->file_lacks = file_lacks;
	memset(&mdev->unreadable, 0, sizeof(mdev->unreadable));
	mdev_learn_name(mdev);
	group_settle_all(broker);
	if (was_defined)
		mdev_event(mdev, "mdev.modified", LOG_INFO, "its file was changed");
	else
		mdev_event(mdev, "mdev.defined", LOG_INFO, "defined as %s on %s by a new file",
			   next->type_id, mdev->parent_name);
}

static void watch_take_bad(struct mdev *mdev, const struct umdev_error *why,
			   const struct umdev_error *shown)
{
	definition_free(umdev_steal_ptr(&mdev->definition));
	mdev->unreadable = *shown;
	store_tell_bad(mdev->broker, mdev->parent_name, mdev->uuid, mdev->uuid, why);
}

/* Takes note of a file that cannot be read. False when it is to be looked at again. */
static bool watch_look_bad(struct broker *broker, const char *parent, const char *uuid,
			   const struct umdev_error *why, enum watch_look look)
{
	struct mdev *mdev = mdev_find(broker, parent, uuid);
	struct umdev_error shown = *why;
	struct umdev_error err = {0};

	error_wrap(&shown, "its definition cannot be read");
	if (mdev && strcmp(mdev->unreadable.message, shown.message) == 0)
		return true; /* known */
	if (look < WATCH_ALL)
		return false;
	if (mdev_get(broker, parent, uuid, &mdev, &err) < 0)
		store_tell_bad(broker, parent, uuid, uuid, &err);
	else
		watch_take_bad(mdev, why, &shown);
	return true;
}

/* Takes note of a file that is not there. False when it is to be looked at again. */
static bool watch_look_gone(struct broker *broker, const char *parent, const char *uuid,
			    enum watch_look look)
{
	struct mdev *mdev = mdev_find(broker, parent, uuid);

	if (!mdev || !mdev_is_defined(mdev))
		return true;
	if (look < WATCH_GONE)
		return false;
	definition_free(umdev_steal_ptr(&mdev->definition));
	memset(&mdev->unreadable, 0, sizeof(mdev->unreadable));
	mdev_undefined(mdev, "undefined: its file is gone");
	group_settle_all(broker);
	return true;
}

/* Takes what is on disk as the definition. False, with nothing done, when it is something that
 * @look does not act upon. */
static bool watch_look_at(struct broker *broker, const char *parent, const char *uuid,
			  enum watch_look look)
{
	struct definition *next = NULL;
	struct umdev_error err = {0};
	struct mdev *mdev;
	bool lacks;
	int r = store_read_definition(broker, parent, uuid, &next, &err);

	if (r == -ENOENT)
		return watch_look_gone(broker, parent, uuid, look);
	if (r < 0)
		return watch_look_bad(broker, parent, uuid, &err, look);
	mdev = mdev_find(broker, parent, uuid);
	r = mdev ? definition_adopt(next, mdev->definition) : 0;
	lacks = r > 0;
	if (mdev && definition_equal(mdev->definition, next)) {
		mdev->file_lacks = lacks;
		definition_free(next);
		return true;
	}
	if (r < 0)
		error_set(&err, ERROR_NO_MEMORY, "out of memory");
	else
		r = mdev_get(broker, parent, uuid, &mdev, &err);
	if (r < 0) {
		store_tell_bad(broker, parent, uuid, uuid, &err);
		definition_free(next);
		return true;
	}
	watch_take_good(broker, mdev, next, lacks);
	return true;
}

/* ---- Second looks ---------------------------------------------------------------------------- */

static void watch_doubt_add(struct watch *watch, const char *parent, const char *uuid)
{
	struct watch_doubt *doubt = NULL;

	if (watch->doubt_count < BROKER_MDEVS_MAX)
		doubt = calloc(1, sizeof(*doubt));
	if (!doubt) { /* the next start sees it */
		umdev_log(LOG_WARNING, parent, "definition.unwatched",
			  "too much changes at once: %s is not looked at", uuid);
		return;
	}
	doubt->due_ns = clock_now_ns() + watch->broker->config.settle_timeout_ns;
	snprintf(doubt->parent, sizeof(doubt->parent), "%s", parent);
	snprintf(doubt->uuid, sizeof(doubt->uuid), "%s", uuid);
	if (watch->doubt_count++ == 0)
		reactor_timer_set(watch->broker->reactor, &watch->timer, doubt->due_ns);
	list_add_tail(&watch->doubts, &doubt->link);
}

static void watch_look(struct watch *watch, const char *parent, const char *uuid)
{
	if (!watch_look_at(watch->broker, parent, uuid, WATCH_GOOD))
		watch_doubt_add(watch, parent, uuid);
}

static void watch_doubt_free(struct watch *watch, struct watch_doubt *doubt)
{
	list_del(&doubt->link);
	watch->doubt_count--;
	free(doubt);
}

static void watch_expired(struct reactor_timer *timer)
{
	struct watch *watch = container_of(timer, struct watch, timer);
	uint64_t now = clock_now_ns();

	for (int i = 0; i < WATCH_SLICE && watch->doubt_count > 0; i++) {
		struct watch_doubt *doubt = list_first(&watch->doubts, struct watch_doubt, link);

		if (doubt->due_ns > now)
			break;
		watch_look_at(watch->broker, doubt->parent, doubt->uuid, WATCH_ALL);
		watch_doubt_free(watch, doubt);
	}
	if (watch->doubt_count > 0)
		reactor_timer_set(watch->broker->reactor, timer,
				  list_first(&watch->doubts, struct watch_doubt, link)->due_ns);
}

/* ---- Directories ----------------------------------------------------------------------------- */

static void watch_path(const char *parent, const char *file, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/%s%s%s", BROKER_MDEVS_DIR, parent, file[0] ? "/" : "", file);
}

/* What is defined under @parent and has no file any more. */
static void watch_check_gone(struct watch *watch, const char *parent)
{
	struct broker *broker = watch->broker;
	const struct mdev *mdev;

	list_for_each (mdev, &broker->mdevs, link) {
		char path[PATH_MAX];
		struct stat st;

		if (strcmp(mdev->parent_name, parent) != 0 || !mdev_is_defined(mdev))
			continue;
		watch_path(parent, mdev->uuid, path);
		if (fstatat(broker->root_fd, path, &st, 0) < 0 && errno == ENOENT)
			watch_doubt_add(watch, parent, mdev->uuid);
	}
}

/* A name in a directory of definitions. Those of temporary and backup files say nothing. */
static bool watch_name_is_uuid(const char *name)
{
	char uuid[IDENT_UUID_SIZE];

	return ident_uuid_parse(name, uuid) == 0 && strcmp(uuid, name) == 0;
}

/* Reads on in @dir. True when there is more. */
static bool watch_scan(struct watch *watch, struct watch_dir *dir)
{
	const struct dirent *entry = NULL;

	for (int i = 0; i < WATCH_SLICE; i++) {
		entry = readdir(dir->scan);
		if (!entry)
			break;
		if (watch_name_is_uuid(entry->d_name))
			watch_look(watch, dir->name, entry->d_name);
	}
	if (entry)
		return true;
	closedir(umdev_steal_ptr(&dir->scan));
	watch_check_gone(watch, dir->name);
	return false;
}

static void watch_scan_begin(struct watch *watch, struct watch_dir *dir)
{
	char path[PATH_MAX];
	int fd;

	dir->wanted = false;
	watch_path(dir->name, "", path);
	fd = openat(watch->broker->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir->scan = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir->scan)
		fd_close(&fd);
}

static void watch_run(struct reactor_task *task)
{
	struct watch *watch = container_of(task, struct watch, task);
	struct watch_dir *dir;

	list_for_each (dir, &watch->dirs, link) {
		if (!dir->scan && dir->wanted)
			watch_scan_begin(watch, dir);
		if (dir->scan) {
			watch_scan(watch, dir);
			reactor_task_add(watch->broker->reactor, task);
			return;
		}
	}
}

static void watch_tell(struct watch *watch, const char *parent, const char *why)
{
	broker_event(watch->broker,
		     &(struct event){.name = "definition.unwatched",
				     .level = LOG_WARNING,
				     .parent = parent},
		     "%s%s%s: what others change there is seen at the next start only: %s",
		     BROKER_MDEVS_DIR, parent ? "/" : "", parent ? parent : "", why);
}

static struct watch_dir *watch_find_dir(struct watch *watch, const char *name)
{
	struct watch_dir *dir;

	list_for_each (dir, &watch->dirs, link) {
		if (strcmp(dir->name, name) == 0)
			return dir;
	}
	return NULL;
}

/* Ends the watch @wd unless a directory (two names may lead to one) still has it. */
static void watch_remove_wd(struct watch *watch, int wd)
{
	const struct watch_dir *dir;

	if (wd < 0 || wd == watch->top_wd)
		return;
	list_for_each (dir, &watch->dirs, link) {
		if (dir->wd == wd)
			return;
	}
	inotify_rm_watch(watch->source.fd, wd);
}

static void watch_drop_dir(struct watch *watch, struct watch_dir *dir)
{
	if (!dir)
		return;
	list_del(&dir->link);
	watch->dir_count--;
	if (dir->scan)
		closedir(dir->scan);
	watch_remove_wd(watch, dir->wd);
	free(dir);
}

/* The full path below the root, or with @parent NULL that of all definitions. Returns a watch
 * descriptor or -errno. */
static int watch_add_wd(struct watch *watch, const char *parent)
{
	char path[PATH_MAX];
	int wd;

	if (snprintf(path, sizeof(path), "%s/%s%s%s", watch->broker->config.root, BROKER_MDEVS_DIR,
		     parent ? "/" : "", parent ? parent : "") >= (int)sizeof(path))
		return -ENAMETOOLONG;
	wd = inotify_add_watch(watch->source.fd, path, WATCH_MASK);
	return wd < 0 ? -errno : wd;
}

static struct watch_dir *watch_new_dir(struct watch *watch, const char *name)
{
	struct watch_dir *dir = NULL;

	if (watch->dir_count < BROKER_PARENTS_MAX)
		dir = calloc(1, sizeof(*dir));
	if (!dir)
		return NULL;
	snprintf(dir->name, sizeof(dir->name), "%s", name);
	dir->wd = -1;
	list_add_tail(&watch->dirs, &dir->link);
	watch->dir_count++;
	return dir;
}

/* Something happened to the subdirectory @name: it may be new, another, or gone. */
static void watch_look_dir(struct watch *watch, const char *name)
{
	struct watch_dir *dir = watch_find_dir(watch, name);
	int wd = ident_parent_name_ok(name) ? watch_add_wd(watch, name) : -ENOTDIR;
	int old;

	if (wd < 0 || wd == watch->top_wd) {
		watch_drop_dir(watch, dir);
		watch_check_gone(watch, name);
		if (wd < 0 && wd != -ENOENT && wd != -ENOTDIR)
			watch_tell(watch, name, strerror(-wd));
		return;
	}
	if (!dir)
		dir = watch_new_dir(watch, name);
	if (!dir) {
		watch_remove_wd(watch, wd);
		if (!watch->too_many)
			watch_tell(watch, name, "there are too many such directories");
		watch->too_many = true;
		return;
	}
	old = dir->wd;
	dir->wd = wd;
	if (old != wd)
		watch_remove_wd(watch, old);
	dir->wanted = true;
	reactor_task_add(watch->broker->reactor, &watch->task);
}

static void watch_take_name(struct broker *broker, const char *path, const char *name)
{
	if (ident_parent_name_ok(name))
		watch_look_dir(broker->watch, name);
}

/* After events were lost: every directory that was or is there. */
static void watch_look_all(struct watch *watch)
{
	struct umdev_error err = {0};
	struct watch_dir *dir;
	struct watch_dir *tmp;

	list_for_each_safe (dir, tmp, &watch->dirs, link) {
		char name[IDENT_PARENT_NAME_MAX + 1];

		memcpy(name, dir->name, sizeof(name));
		watch_look_dir(watch, name);
	}
	if (store_each(watch->broker, BROKER_MDEVS_DIR, watch_take_name, &err) < 0)
		watch_tell(watch, NULL, err.message);
}

/* ---- Events ---------------------------------------------------------------------------------- */

static bool watch_is_there(struct watch *watch, const char *parent, const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	watch_path(parent, name, path);
	return fstatat(watch->broker->root_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void watch_file_event(struct watch *watch, const char *parent,
			     const struct inotify_event *event)
{
	struct umdev_error err = {0};
	size_t len = strlen(event->name);

	if (watch_name_is_uuid(event->name)) {
		watch_look(watch, parent, event->name);
		return;
	}
	/* Temporary and backup files are nobody's definitions. */
	if (event->name[0] == '.' || event->name[len - 1] == '~' ||
	    !(event->mask & (IN_CLOSE_WRITE | IN_MOVED_TO)) ||
	    !watch_is_there(watch, parent, event->name))
		return;
	error_set(&err, ERROR_INVALID, "its name is not a UUID in lower case");
	store_tell_bad(watch->broker, parent, NULL, event->name, &err);
}

/* A directory that is no longer watched: there may be another of its name. */
static void watch_ignored(struct watch *watch, struct watch_dir *dir)
{
	char name[IDENT_PARENT_NAME_MAX + 1];

	memcpy(name, dir->name, sizeof(name));
	dir->wd = -1;
	watch_look_dir(watch, name);
}

static void watch_event(struct watch *watch, const struct inotify_event *event)
{
	struct watch_dir *dir;
	struct watch_dir *tmp;

	if (event->mask & IN_Q_OVERFLOW) {
		watch_look_all(watch);
		return;
	}
	if (event->wd == watch->top_wd && (event->mask & IN_IGNORED)) {
		watch->top_wd = -1;
		watch_tell(watch, NULL, "the directory was removed");
		return;
	}
	if (event->wd == watch->top_wd) {
		if (event->len > 0 && ident_parent_name_ok(event->name))
			watch_look_dir(watch, event->name);
		return;
	}
	list_for_each_safe (dir, tmp, &watch->dirs, link) {
		if (dir->wd != event->wd)
			continue;
		if (event->mask & IN_IGNORED)
			watch_ignored(watch, dir);
		else if (event->len > 0 && event->name[0])
			watch_file_event(watch, dir->name, event);
	}
}

/* Takes some events. True when there were any. */
static bool watch_read(struct watch *watch)
{
	_Alignas(struct inotify_event) char buffer[WATCH_BUFFER];
	ssize_t n = read(watch->source.fd, buffer, sizeof(buffer));
	size_t at = 0;

	while (n > 0 && at + sizeof(struct inotify_event) <= (size_t)n) {
		const struct inotify_event *event = (const void *)(buffer + at);

		at += sizeof(*event) + event->len;
		watch_event(watch, event);
	}
	return n > 0;
}

static void watch_ready(struct reactor_fd *source, uint32_t events)
{
	watch_read(container_of(source, struct watch, source));
}

void watch_catch_up(struct watch *watch, const char *uuid)
{
	const struct watch_dir *dir;

	if (!watch)
		return;
	/* They tell of directories that are new; as many as the kernel may have kept. */
	for (int i = 0; i < WATCH_READS && watch_read(watch); i++)
		continue;
	list_for_each (dir, &watch->dirs, link)
		watch_look_at(watch->broker, dir->name, uuid, WATCH_GONE);
}

/* ---- Begin and end --------------------------------------------------------------------------- */

static int watch_begin(struct watch *watch)
{
	int r;

	watch->source.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (watch->source.fd < 0)
		return -errno;
	watch->top_wd = watch_add_wd(watch, NULL);
	if (watch->top_wd < 0)
		return watch->top_wd;
	watch->source.events = EPOLLIN;
	watch->source.ready = watch_ready;
	r = reactor_fd_add(watch->broker->reactor, &watch->source);
	if (r < 0)
		return r;
	watch->broker->watch = watch;
	watch_look_all(watch);
	return 0;
}

struct watch *watch_new(struct broker *broker)
{
	struct watch *watch = calloc(1, sizeof(*watch));
	struct watch_dir *dir;
	int r;

	if (!watch)
		return NULL;
	watch->broker = broker;
	watch->source.fd = -1;
	watch->task.run = watch_run;
	watch->timer.expired = watch_expired;
	list_init(&watch->dirs);
	list_init(&watch->doubts);
	r = watch_begin(watch);
	if (r < 0) {
		watch_tell(watch, NULL, strerror(-r));
		watch_free(watch);
		return NULL;
	}
	/* All of them are about to be loaded. */
	list_for_each (dir, &watch->dirs, link)
		dir->wanted = false;
	return watch;
}

void watch_free(struct watch *watch)
{
	struct reactor *reactor = watch ? watch->broker->reactor : NULL;

	if (!watch)
		return;
	while (!list_empty(&watch->dirs))
		watch_drop_dir(watch, list_first(&watch->dirs, struct watch_dir, link));
	while (!list_empty(&watch->doubts))
		watch_doubt_free(watch, list_first(&watch->doubts, struct watch_doubt, link));
	reactor_timer_cancel(reactor, &watch->timer);
	reactor_task_del(reactor, &watch->task);
	reactor_fd_del(reactor, &watch->source);
	fd_close(&watch->source.fd);
	free(watch);
}
