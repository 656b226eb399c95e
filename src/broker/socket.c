/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vfio-user socket of an mdev: <root>/run/umdev/mdevs/<uuid>/vfio-user.sock.
 *
 * It is bound under a hidden name in a directory that nobody else may enter, gets its owner and
 * mode and listens, and only then the directory opens; its name it gets when the mdev is whole.
 * Nobody can connect before all is right. The address goes through /proc/self/fd, so that a long
 * root is no obstacle to us.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "broker/endpoint.h"
#include "broker/mdev.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/parse.h"

#define SOCKET_BACKLOG 8
#define SOCKET_KEEP_ID ((uint32_t)-1)

struct socket_access {
	uint32_t uid;
	uint32_t gid;
	mode_t mode;
	bool asked; /* the owner was given by an attribute */
};

void mdev_socket_path(const struct mdev *mdev, char *path, size_t size)
{
	const char *root = mdev->broker->config.root;

	snprintf(path, size, "%s/%s/%s/%s", strcmp(root, "/") == 0 ? "" : root, BROKER_SOCKETS_DIR,
		 mdev->uuid, BROKER_SOCKET_NAME);
}

static int socket_find_id(const char *text, bool group, uint32_t *ret_id, struct umdev_error *err)
{
	const char *key = group ? "mdev/socket_group" : "mdev/socket_user";
	uint64_t number;

	if (parse_u64(text, &number) == 0 && number < SOCKET_KEEP_ID) {
		*ret_id = (uint32_t)number;
		return 0;
	}
	if (group) {
		const struct group *g = getgrnam(text);

		if (!g)
			return error_set_key(err, ERROR_INVALID, key, "%s: there is no group '%s'",
					     key, text);
		*ret_id = g->gr_gid;
	} else {
		const struct passwd *u = getpwnam(text);

		if (!u)
			return error_set_key(err, ERROR_INVALID, key, "%s: there is no user '%s'",
					     key, text);
		*ret_id = u->pw_uid;
	}
	return 0;
}

static int socket_access_of(const struct definition *d, struct socket_access *ret,
			    struct umdev_error *err)
{
	const char *user = definition_attr(d, "mdev/socket_user");
	const char *group = definition_attr(d, "mdev/socket_group");
	const char *mode = definition_attr(d, "mdev/socket_mode");
	struct socket_access a = {.uid = SOCKET_KEEP_ID, .gid = SOCKET_KEEP_ID, .mode = 0600};
	int r = 0;

	a.asked = user || group;
	if (user)
		r = socket_find_id(user, false, &a.uid, err);
	else if (d->has_uid)
		a.uid = d->uid;
	if (r == 0 && group)
		r = socket_find_id(group, true, &a.gid, err);
	if (r < 0)
		return r;
	if (mode)
		a.mode = (mode_t)strtoul(mode, NULL, 8); /* was checked */
	*ret = a;
	return 0;
}

int mdev_socket_check(const struct definition *definition, struct umdev_error *err)
{
	struct socket_access ignored;

	return socket_access_of(definition, &ignored, err);
}

static int socket_own(const struct mdev *mdev, int dir, const struct socket_access *a,
		      struct umdev_error *err)
{
	if ((a->uid == SOCKET_KEEP_ID || a->uid == mdev->broker->uid) && a->gid == SOCKET_KEEP_ID)
		return 0;
	if (fchownat(dir, BROKER_SOCKET_NEW, a->uid, a->gid, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	if (!a->asked) { /* root, who needs no right, or a user whom the mode must let in */
		umdev_log(LOG_DEBUG, mdev->uuid, "socket.owner", "not given to user %u: %s", a->uid,
			  strerror(errno));
		return 0;
	}
	return error_set_key(err, ERROR_NOT_PERMITTED, "mdev/socket_user",
			     "the socket of %s cannot be given to user %d, group %d: %s",
			     mdev->uuid, (int)a->uid, (int)a->gid, strerror(errno));
}

/* Binds a listening socket in the directory @dir. Returns the fd or -errno. */
static int socket_bind(int dir, mode_t mode)
{
	umdev_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int r;

	if (fd < 0)
		return -errno;
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", dir,
		 BROKER_SOCKET_NEW);
	if (unlinkat(dir, BROKER_SOCKET_NEW, 0) < 0 && errno != ENOENT)
		return -errno;
	r = bind(fd, (const struct sockaddr *)&address, sizeof(address));
	if (r < 0 || fchmodat(dir, BROKER_SOCKET_NEW, mode, 0) < 0 ||
	    listen(fd, SOCKET_BACKLOG) < 0)
		return -errno;
	return umdev_steal_fd(&fd);
}

int mdev_socket_open(struct mdev *mdev, struct umdev_error *err)
{
	umdev_autoclose int dir = -1;
	struct socket_access access = {0};
	char path[PATH_MAX];
	int root = mdev->broker->root_fd;
	int fd;
	int r = socket_access_of(mdev->running, &access, err);

	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s/%s", BROKER_SOCKETS_DIR, mdev->uuid);
	if (mkdirat(root, path, 0700) < 0 && errno != EEXIST)
		return error_set(err, error_word_from_errno(errno), "cannot make %s: %s", path,
				 strerror(errno));
	dir = openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0 || fchmod(dir, 0700) < 0)
		return error_set(err, error_word_from_errno(errno), "cannot use %s: %s", path,
				 strerror(errno));
	fd = socket_bind(dir, access.mode);
	if (fd < 0)
		return error_set(err, error_word_from_errno(fd), "cannot bind %s/%s: %s", path,
				 BROKER_SOCKET_NAME, strerror(-fd));
	fd_close(&mdev->keeper.listen_fd);
	mdev->keeper.listen_fd = fd;
	r = socket_own(mdev, dir, &access, err);
	if (r == 0 && fchmod(dir, 0755) < 0)
		r = error_set(err, error_word_from_errno(errno), "cannot open %s: %s", path,
			      strerror(errno));
	return r;
}

static bool socket_is_there(const struct broker *broker, const char *uuid, const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s/%s", BROKER_SOCKETS_DIR, uuid, name);
	return fstatat(broker->root_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

bool mdev_socket_hidden(const struct broker *broker, const char *uuid)
{
	return socket_is_there(broker, uuid, BROKER_SOCKET_NEW);
}

bool mdev_socket_published(const struct broker *broker, const char *uuid)
{
	return !mdev_socket_hidden(broker, uuid) &&
	       socket_is_there(broker, uuid, BROKER_SOCKET_NAME);
}

int mdev_socket_publish(struct mdev *mdev, struct umdev_error *err)
{
	char path[PATH_MAX];
	char hidden[PATH_MAX];
	int root = mdev->broker->root_fd;

	snprintf(hidden, sizeof(hidden), "%s/%s/%s", BROKER_SOCKETS_DIR, mdev->uuid,
		 BROKER_SOCKET_NEW);
	snprintf(path, sizeof(path), "%s/%s/%s", BROKER_SOCKETS_DIR, mdev->uuid,
		 BROKER_SOCKET_NAME);
	if (renameat(root, hidden, root, path) < 0)
		return error_set(err, error_word_from_errno(errno), "cannot make %s: %s", path,
				 strerror(errno));
	return 0;
}

int mdev_socket_access(const struct definition *definition, struct endpoint_access *ret,
		       struct umdev_error *err)
{
	struct socket_access a = {0};
	int r = socket_access_of(definition, &a, err);

	if (r == 0)
		*ret = (struct endpoint_access){
			.uid = a.uid, .gid = a.gid, .mode = a.mode, .asked = a.asked};
	return r;
}

void mdev_socket_close(struct mdev *mdev)
{
	char path[PATH_MAX];
	char hidden[PATH_MAX];
	char dir[PATH_MAX];
	int root = mdev->broker->root_fd;

	fd_close(&mdev->keeper.listen_fd);
	snprintf(dir, sizeof(dir), "%s/%s", BROKER_SOCKETS_DIR, mdev->uuid);
	endpoints_clear(root, dir);
	snprintf(path, sizeof(path), "%s/%s/%s", BROKER_SOCKETS_DIR, mdev->uuid,
		 BROKER_SOCKET_NAME);
	snprintf(hidden, sizeof(hidden), "%s/%s/%s", BROKER_SOCKETS_DIR, mdev->uuid,
		 BROKER_SOCKET_NEW);
	unlinkat(root, path, 0);
	unlinkat(root, hidden, 0);
	unlinkat(root, dir, AT_REMOVEDIR);
}
