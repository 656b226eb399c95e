/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Making endpoints. See endpoint.h.
 *
 * Each is made under a name of its own, gets owner and mode, and is then renamed: nobody can open
 * it before all is right.
 */
#include "broker/endpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <umdev/driver.h>
#include <unistd.h>

#include "broker/mdev.h"
#include "util/fd.h"
#include "util/log.h"

#define ENDPOINT_BACKLOG 4
#define ENDPOINT_TEMP	 ".endpoint"
#define ENDPOINT_KEEP_ID ((uint32_t)-1)

struct endpoint {
	char name[TYPE_ENDPOINT_NAME_MAX + 4];
	int dir;
	const struct endpoint_access *access;
	uid_t broker_uid;
};

/* Gives the inode of @fd, or of ENDPOINT_TEMP where it is -1, its owner. 0 or -errno. */
static int endpoint_own(const struct endpoint *e, int fd)
{
	const struct endpoint_access *a = e->access;
	int r;

	if ((a->uid == ENDPOINT_KEEP_ID || a->uid == e->broker_uid) && a->gid == ENDPOINT_KEEP_ID)
		return 0;
	r = fd >= 0 ? fchown(fd, a->uid, a->gid)
		    : fchownat(e->dir, ENDPOINT_TEMP, a->uid, a->gid, AT_SYMLINK_NOFOLLOW);
	/* Unasked: it is for root, who needs no right, or for whom the mode must let in. */
	return r < 0 && a->asked ? -errno : 0;
}

/*
 * A pseudo terminal in raw mode, as a line that echoes and changes nothing. Its other end is opened
 * once and closed, after which the master can tell whether anybody has it open. Returns the master
 * or -errno.
 */
static int endpoint_pty(const struct endpoint *e)
{
	umdev_autoclose int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	umdev_autoclose int slave = -1;
	struct termios tio;
	char path[64];
	int locked = 0;
	int r;

	if (master < 0 || ioctl(master, TIOCSPTLCK, &locked) < 0 ||
	    ptsname_r(master, path, sizeof(path)) != 0)
		return -errno;
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0 || tcgetattr(slave, &tio) < 0)
		return -errno;
	cfmakeraw(&tio);
	if (tcsetattr(slave, TCSANOW, &tio) < 0 || fchmod(slave, e->access->mode & 0666) < 0)
		return -errno;
	r = endpoint_own(e, slave);
	if (r == 0 && symlinkat(path, e->dir, ENDPOINT_TEMP) < 0)
		r = -errno;
	return r < 0 ? r : umdev_steal_fd(&master);
}

/* A listening socket. Returns it or -errno. */
static int endpoint_unix(const struct endpoint *e)
{
	umdev_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int r;

	if (fd < 0)
		return -errno;
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", e->dir,
		 ENDPOINT_TEMP);
	/* The directory is open to all, the name must not be before it has its mode. */
	if (fchmod(fd, 0) < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	r = endpoint_own(e, -1);
	if (r < 0)
		return r;
	if (fchmodat(e->dir, ENDPOINT_TEMP, e->access->mode, 0) < 0 ||
	    listen(fd, ENDPOINT_BACKLOG) < 0)
		return -errno;
	return umdev_steal_fd(&fd);
}

static int endpoint_make(const struct endpoint *e, uint32_t kind)
{
	umdev_autoclose int fd = -1;

	if (unlinkat(e->dir, ENDPOINT_TEMP, 0) < 0 && errno != ENOENT)
		return -errno;
	fd = kind == UMDEV_ENDPOINT_PTY ? endpoint_pty(e) : endpoint_unix(e);
	if (fd < 0)
		return fd;
	if (renameat(e->dir, ENDPOINT_TEMP, e->dir, e->name) < 0)
		return -errno;
	return umdev_steal_fd(&fd);
}

int mdev_endpoints_open(struct mdev *mdev, struct umdev_error *err)
{
	const struct type *type = &mdev->parent->types.types[mdev->type_index];
	umdev_autoclose int dir = -1;
	struct endpoint_access access = {0};
	struct endpoint e = {.access = &access, .broker_uid = mdev->broker->uid};
	struct keeper *keeper = &mdev->keeper;
	char path[PATH_MAX];
	int r;

	keeper_drop_endpoints(keeper);
	if (type->endpoint_count == 0)
		return 0;
	r = mdev_socket_access(mdev->running, &access, err);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s/%s", BROKER_SOCKETS_DIR, mdev->uuid);
	dir = openat(mdev->broker->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0)
		return error_set(err, error_word_from_errno(errno), "cannot use %s: %s", path,
				 strerror(errno));
	e.dir = dir;
	while (keeper->endpoint_count < type->endpoint_count) {
		snprintf(e.name, sizeof(e.name), "%s%zu", type->endpoint_name,
			 keeper->endpoint_count);
		r = endpoint_make(&e, type->endpoint_kind);
		if (r < 0)
			return error_set(err, error_word_from_errno(r), "cannot make %s/%s: %s",
					 path, e.name, strerror(-r));
		keeper->endpoint_fds[keeper->endpoint_count++] = r;
	}
	return 0;
}

json_t *mdev_print_endpoints(const struct mdev *mdev)
{
	const struct type *type = &mdev->parent->types.types[mdev->type_index];
	const char *root = mdev->broker->config.root;
	json_t *paths = json_array();

	for (size_t i = 0; i < mdev->keeper.endpoint_count; i++)
		json_array_append_new(paths, json_sprintf("%s/%s/%s/%s%zu",
							  strcmp(root, "/") == 0 ? "" : root,
							  BROKER_SOCKETS_DIR, mdev->uuid,
							  type->endpoint_name, i));
	return paths;
}

/* Whether @name is small letters and one digit, or what is made under it on the way. */
static bool endpoint_named(const char *name)
{
	size_t letters = strspn(name, "abcdefghijklmnopqrstuvwxyz");

	if (strcmp(name, ENDPOINT_TEMP) == 0)
		return true;
	return letters > 0 && letters <= TYPE_ENDPOINT_NAME_MAX && name[letters] >= '0' &&
	       name[letters] < '0' + UMDEV_ENDPOINTS_MAX && name[letters + 1] == '\0';
}

void endpoints_clear(int root, const char *path)
{
	struct dirent **names = NULL;
	int n = scandirat(root, path, &names, NULL, NULL);

	for (int i = 0; i < n; i++) {
		char entry[PATH_MAX];
		struct stat st;

		snprintf(entry, sizeof(entry), "%s/%s", path, names[i]->d_name);
		if (endpoint_named(names[i]->d_name) &&
		    fstatat(root, entry, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    (S_ISLNK(st.st_mode) || S_ISSOCK(st.st_mode)))
			unlinkat(root, entry, 0);
		free(names[i]);
	}
	free(names);
}
