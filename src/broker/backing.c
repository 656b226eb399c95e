/* SPDX-License-Identifier: BSD-3-Clause */
/* Opening what parents stand on. See backing.h. */
#include "broker/backing.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <umdev/driver.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/fd.h"

/* How long a file may still be locked by what ended just now, and how often it is tried. */
#define BACKING_WAIT_NS (250 * NS_PER_MS)
#define BACKING_LOOK_NS (2 * NS_PER_MS)

/* Appends the names of options; what does not fit is left out. */
static void backing_list_options(char *text, size_t size, const struct spec_table *specs)
{
	for (size_t i = 0; i < specs->count; i++) {
		size_t used = strlen(text);

		snprintf(text + used, size - used, "%s%s", used ? ", " : "", specs->rows[i].name);
	}
}

int backings_check_options(const json_t *options, const struct spec_table *specs,
			   const char *driver, struct umdev_error *err)
{
	const char *name;
	json_t *value;

	json_object_foreach ((json_t *)(uintptr_t)options, name, value) {
		const struct spec *spec = spec_find(specs, name);
		char known[256] = "";
		int r;

		if (!spec)
			spec = spec_find(spec_standard_options(), name);
		if (!spec) {
			backing_list_options(known, sizeof(known), specs);
			backing_list_options(known, sizeof(known), spec_standard_options());
		}
		if (!spec)
			return error_set_key(err, ERROR_INVALID, name,
					     "driver %s has no option '%.64s'; it has: %s", driver,
					     name, known[0] ? known : "none");
		if (!json_is_string(value))
			return error_set_key(err, ERROR_INVALID, name, "option %s is no text",
					     name);
		r = spec_check(spec, json_string_value(value), NULL, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The size that the option belonging to @spec gives, 0 when it is not given. */
static uint64_t backing_size_option(const struct spec *spec, const json_t *options,
				    const struct spec_table *specs)
{
	const char *name = spec->choices;
	const char *text = name ? json_string_value(json_object_get(options, name)) : NULL;
	const struct spec *size_spec = text ? spec_find(specs, name) : NULL;
	uint64_t size = 0;

	if (!size_spec || spec_check(size_spec, text, &size, NULL) < 0)
		return 0;
	return size;
}

static int backing_open_failed(const struct spec *spec, const char *path, int error,
			       struct umdev_error *err)
{
	const char *size = spec->choices;
	struct stat st;

	switch (error) {
	case ENOENT:
		if (size)
			return error_set_key(err, ERROR_NOT_FOUND, spec->name,
					     "%s does not exist; give %s= to create it", path,
					     size);
		return error_set_key(err, ERROR_NOT_FOUND, spec->name, "%s does not exist", path);
	case EISDIR:
		return error_set_key(err, ERROR_INVALID, spec->name,
				     "%s is a directory; a regular file or a block device is "
				     "needed",
				     path);
	case EROFS:
		return error_set_key(err, ERROR_READ_ONLY, spec->name,
				     "%s is on a read-only file system", path);
	case EACCES:
	case EPERM:
		if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && !(st.st_mode & 0222))
			return error_set_key(err, ERROR_READ_ONLY, spec->name,
					     "%s is read-only: chmod u+w it first", path);
		return error_set_key(err, ERROR_NOT_PERMITTED, spec->name,
				     "%s may not be opened by user %u", path, (unsigned)geteuid());
	case EBUSY:
		return error_set_key(err, ERROR_LOCKED, spec->name,
				     "%s is in use (mounted, or claimed by another program)", path);
	default:
		return error_set_key(err, error_word_from_errno(error), spec->name,
				     "%s cannot be opened: %s", path, strerror(error));
	}
}

static int backing_check_size(const struct spec *spec, const char *path, uint64_t is,
			      uint64_t given, struct umdev_error *err)
{
	if (is == 0)
		return error_set_key(err, ERROR_INVALID, spec->name, "%s is empty", path);
	if (given && is != given)
		return error_set_key(err, ERROR_INVALID, spec->choices,
				     "%s has %llu bytes and %s= says %llu; leave %s= out to use "
				     "the file as it is",
				     path, (unsigned long long)is, spec->choices,
				     (unsigned long long)given, spec->choices);
	if (is < spec->min)
		return error_set_key(err, ERROR_INVALID, spec->name,
				     "%s is too small: it has %llu bytes and %llu are needed", path,
				     (unsigned long long)is, (unsigned long long)spec->min);
	return 0;
}

/* Creates the file with @size bytes of nothing. It is on the disk, name and all, before anything is
 * written that tells of it. */
static int backing_create(const struct spec *spec, const char *path, uint64_t size, int *ret_fd,
			  struct umdev_error *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int r = 0;

	if (fd < 0 && errno == ENOENT)
		return error_set_key(err, ERROR_NOT_FOUND, spec->name,
				     "%s cannot be created: its directory does not exist", path);
	if (fd < 0)
		return backing_open_failed(spec, path, errno, err);
	if (ftruncate(fd, (off_t)size) < 0)
		r = error_set_key(err, ERROR_NO_SPACE, spec->choices,
				  "%s cannot be made %llu bytes large: %s", path,
				  (unsigned long long)size, strerror(errno));
	if (r == 0)
		r = backing_check_size(spec, path, size, 0, err);
	if (r == 0 && (fsync(fd) < 0 || (errno = -fd_sync_dir_of(AT_FDCWD, path)) != 0))
		r = error_set_key(err, error_word_from_errno(errno), spec->name,
				  "%s cannot be written to its disk: %s", path, strerror(errno));
	if (r < 0) {
		unlink(path);
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

/* A ring of a host is taken apart some time after its process has ended, tens of milliseconds, and
 * holds the open file until then: where the daemon died, too, its lock is not gone yet. Sleeps a
 * little; false at @deadline. The loop stands still meanwhile, so it is soon. */
static bool backing_wait(uint64_t deadline)
{
	struct timespec pause = {.tv_nsec = BACKING_LOOK_NS};
	bool again = clock_now_ns() < deadline;

	if (again)
		nanosleep(&pause, NULL);
	return again;
}

static int backing_open_existing(struct backing *b, const struct spec *spec, const char *path,
				 uint64_t size, struct umdev_error *err)
{
	uint64_t deadline = clock_now_ns() + BACKING_WAIT_NS;
	struct stat st;
	uint64_t is;
	bool block;

	if (stat(path, &st) < 0)
		return backing_open_failed(spec, path, errno, err);
	block = S_ISBLK(st.st_mode);
	/* O_NONBLOCK: should it be a FIFO by now, the open does not wait. */
	do
		b->fd = open(path,
			     O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (block ? O_EXCL : 0));
	while (b->fd < 0 && errno == EBUSY && backing_wait(deadline));
	if (b->fd < 0)
		return backing_open_failed(spec, path, errno, err);
	if (fstat(b->fd, &st) < 0 || fd_set_nonblock(b->fd, false) < 0)
		return backing_open_failed(spec, path, EIO, err);
	if (S_ISBLK(st.st_mode)) {
		int read_only = 0;

		b->flags |= UMDEV_BACKING_BLOCK_DEVICE;
		if (ioctl(b->fd, BLKGETSIZE64, &is) < 0)
			return backing_open_failed(spec, path, errno, err);
		if (ioctl(b->fd, BLKROGET, &read_only) == 0 && read_only)
			return error_set_key(err, ERROR_READ_ONLY, spec->name,
					     "%s is a read-only device", path);
	} else if (S_ISREG(st.st_mode)) {
		is = (uint64_t)st.st_size;
		/* Root may open it all the same, but whoever marked it did not want that. */
		if (!(st.st_mode & 0222))
			return error_set_key(err, ERROR_READ_ONLY, spec->name,
					     "%s is read-only: chmod u+w it first", path);
	} else {
		return error_set_key(err, ERROR_INVALID, spec->name,
				     "%s is neither a regular file nor a block device", path);
	}
	return backing_check_size(spec, path, is, size, err);
}

static int backing_lock(const struct backing *b, const struct spec *spec, const char *path,
			struct umdev_error *err)
{
	uint64_t deadline = clock_now_ns() + BACKING_WAIT_NS;

	while (flock(b->fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return error_set_key(err, ERROR_INTERNAL, spec->name,
					     "%s cannot be locked: %s", path, strerror(errno));
		if (!backing_wait(deadline))
			return error_set_key(err, ERROR_LOCKED, spec->name,
					     "%s is locked: another parent or program uses it",
					     path);
	}
	return 0;
}

static int backing_open_path(struct backing *b, const struct spec *spec, const char *path,
			     uint64_t size, bool may_create, struct umdev_error *err)
{
	struct stat st;
	int r;

	r = backing_open_existing(b, spec, path, size, err);
	if (r < 0 && b->fd < 0 && err->word == ERROR_NOT_FOUND && size > 0 && !may_create)
		/* A parent that was there before had data. A new empty file is not what it was. */
		return error_set_key(err, ERROR_NOT_FOUND, spec->name,
				     "%s is gone: bring it back, or remove the parent", path);
	if (r < 0 && b->fd < 0 && err->word == ERROR_NOT_FOUND && size > 0) {
		r = backing_create(spec, path, size, &b->fd, err);
		if (r == 0)
			b->flags |= UMDEV_BACKING_CREATED;
	}
	if (r < 0)
		return r;
	b->path = realpath(path, NULL);
	if (!b->path || fstat(b->fd, &st) < 0) {
		r = error_set_key(err, ERROR_INTERNAL, spec->name, "%s: %s", path, strerror(errno));
		if (b->flags & UMDEV_BACKING_CREATED)
			unlink(path);
		return r;
	}
	b->device = S_ISBLK(st.st_mode) ? st.st_rdev : st.st_dev;
	b->inode = S_ISBLK(st.st_mode) ? 0 : st.st_ino;
	return backing_lock(b, spec, path, err);
}

static int backing_open_one(struct backing *b, const struct spec *spec, const json_t *options,
			    const struct spec_table *specs, bool may_create,
			    struct umdev_error *err)
{
	const char *text = json_string_value(json_object_get(options, spec->name));
	uint64_t size = 0;
	int r;

	b->fd = -1;
	b->option = strdup(spec->name);
	if (!b->option)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	if (spec->kind == UMDEV_KIND_BACKING)
		return backing_open_path(b, spec, text ? text : spec->default_value,
					 backing_size_option(spec, options, specs), may_create,
					 err);
	r = spec_check(spec, text ? text : spec->default_value, &size, err);
	if (r < 0)
		return r;
	if (size == 0)
		return error_set_key(err, ERROR_INVALID, spec->name, "%s: must not be 0",
				     spec->name);
	b->flags = UMDEV_BACKING_CREATED;
	b->fd = fd_memfd("umdev-parent", size);
	if (b->fd < 0)
		return error_set_key(err, ERROR_NO_MEMORY, spec->name,
				     "%s: cannot make memory of %llu bytes: %s", spec->name,
				     (unsigned long long)size, strerror(-b->fd));
	return 0;
}

int backings_open(struct backings *backings, const json_t *options, const struct spec_table *specs,
		  bool may_create, struct umdev_error *err)
{
	struct umdev_error why = {0};
	int r = 0;

	backings->count = 0;
	for (size_t i = 0; r == 0 && i < specs->count; i++) {
		const struct spec *spec = &specs->rows[i];

		if (spec->kind != UMDEV_KIND_BACKING && spec->kind != UMDEV_KIND_MEMORY)
			continue;
		if (!json_object_get(options, spec->name) && !spec->default_value)
			continue;
		if (backings->count == BACKINGS_MAX) {
			r = error_set_key(&why, ERROR_LIMIT, spec->name,
					  "more than %d options name files or memory",
					  BACKINGS_MAX);
			break;
		}
		memset(&backings->items[backings->count], 0, sizeof(struct backing));
		r = backing_open_one(&backings->items[backings->count++], spec, options, specs,
				     may_create, &why);
	}
	if (r < 0) {
		backings_close(backings, true);
		*err = why;
	}
	return r;
}

void backings_close(struct backings *backings, bool remove_created)
{
	for (size_t i = 0; i < backings->count; i++) {
		struct backing *b = &backings->items[i];

		if (remove_created && b->path && (b->flags & UMDEV_BACKING_CREATED))
			unlink(b->path);
		/* A ring of the host, which is taken apart some time after its process has ended,
		 * may still hold the open file; its lock ends here. */
		if (b->path && b->fd >= 0)
			(void)flock(b->fd, LOCK_UN);
		fd_close(&b->fd);
		free(b->option);
		free(b->path);
	}
	backings->count = 0;
}

void backings_leave(struct backings *backings)
{
	for (size_t i = 0; i < backings->count; i++) {
		fd_close(&backings->items[i].fd);
		free(backings->items[i].option);
		free(backings->items[i].path);
	}
	backings->count = 0;
}

/* Whether @path is what @st was opened as. */
static bool backing_is_at(const char *path, const struct stat *st)
{
	struct stat at;

	if (stat(path, &at) < 0 || (at.st_mode & S_IFMT) != (st->st_mode & S_IFMT))
		return false;
	return S_ISBLK(at.st_mode) ? at.st_rdev == st->st_rdev
				   : at.st_dev == st->st_dev && at.st_ino == st->st_ino;
}

static int backing_adopt_path(struct backing *b, const struct spec *spec, const char *path,
			      const struct stat *st, struct umdev_error *err)
{
	if (!path || !backing_is_at(path, st))
		return error_set_key(err, ERROR_NOT_FOUND, spec->name,
				     "%s is another file than the one in use", path ? path : "?");
	b->path = realpath(path, NULL);
	if (!b->path)
		return error_set_key(err, ERROR_INTERNAL, spec->name, "%s: %s", path,
				     strerror(errno));
	if (S_ISBLK(st->st_mode))
		b->flags |= UMDEV_BACKING_BLOCK_DEVICE;
	b->device = S_ISBLK(st->st_mode) ? st->st_rdev : st->st_dev;
	b->inode = S_ISBLK(st->st_mode) ? 0 : st->st_ino;
	return 0;
}

int backings_adopt(struct backings *backings, const char *option, const json_t *options,
		   const struct spec_table *specs, int *fd, struct umdev_error *err)
{
	const struct spec *spec = spec_find(specs, option);
	const char *text = json_string_value(json_object_get(options, option));
	struct backing b = {.fd = *fd};
	struct stat st;
	int r = 0;

	if (!spec || (spec->kind != UMDEV_KIND_BACKING && spec->kind != UMDEV_KIND_MEMORY))
		return error_set(err, ERROR_INVALID, "option %.64s opens nothing", option);
	if (backings->count == BACKINGS_MAX)
		return error_set(err, ERROR_LIMIT, "more than %d options name files or memory",
				 BACKINGS_MAX);
	if (fstat(*fd, &st) < 0)
		return error_set(err, ERROR_INTERNAL, "%s: %s", option, strerror(errno));
	if (spec->kind == UMDEV_KIND_BACKING)
		r = backing_adopt_path(&b, spec, text ? text : spec->default_value, &st, err);
	if (r < 0)
		return r;
	b.option = strdup(option);
	if (!b.option) {
		free(b.path);
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	}
	*fd = -1;
	backings->items[backings->count++] = b;
	return 0;
}

bool backings_are_new(const struct backings *backings)
{
	for (size_t i = 0; i < backings->count; i++) {
		if (!(backings->items[i].flags & UMDEV_BACKING_CREATED))
			return false;
	}
	return backings->count > 0;
}

void backings_settle(struct backings *backings)
{
	for (size_t i = 0; i < backings->count; i++)
		backings->items[i].flags &= ~UMDEV_BACKING_CREATED;
}
