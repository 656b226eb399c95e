/* SPDX-License-Identifier: BSD-3-Clause */
/* See host-socket.h. The address goes through /proc/self/fd, so that a long root is no obstacle. */
#include "broker/host-socket.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "model/ident.h"
#include "util/fd.h"
#include "util/log.h"

#define HOST_SOCKET_SUFFIX   ".sock"
#define HOST_SOCKET_NAME_MAX (IDENT_PARENT_NAME_MAX + 1)

/* Opens the directory and fills in the address. Returns the fd of the directory or -errno. */
static int host_socket_address(const struct broker *broker, const char *name,
			       struct sockaddr_un *ret)
{
	int dir = openat(broker->root_fd, BROKER_HOSTS_DIR,
			 O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (dir < 0)
		return -errno;
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%.*s%s", dir,
		 HOST_SOCKET_NAME_MAX, name, HOST_SOCKET_SUFFIX);
	return dir;
}

static void host_socket_name(const char *name, bool next, char ret[HOST_SOCKET_NAME_MAX + 1])
{
	static const char mark[] = {HOST_SOCKET_NEXT, '\0'};

	/* Without @next, a name may bring its mark. */
	snprintf(ret, HOST_SOCKET_NAME_MAX + 1, "%.*s%s",
		 next ? IDENT_PARENT_NAME_MAX : HOST_SOCKET_NAME_MAX, name, next ? mark : "");
}

int host_socket_bind(const struct broker *broker, const char *name, bool next)
{
	char full[HOST_SOCKET_NAME_MAX + 1];
	umdev_autoclose int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	umdev_autoclose int dir = -1;
	struct sockaddr_un address;

	host_socket_name(name, next, full);
	dir = host_socket_address(broker, full, &address);
	if (fd < 0 || dir < 0)
		return fd < 0 ? -errno : dir;
	host_socket_remove(broker, name, next);
	if (fchmod(fd, 0600) < 0 ||
	    bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return umdev_steal_fd(&fd);
}

int host_socket_connect(const struct broker *broker, const char *name, bool next, pid_t *ret_pid,
			int *ret_pidfd)
{
	char full[HOST_SOCKET_NAME_MAX + 1];
	umdev_autoclose int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	umdev_autoclose int dir = -1;
	umdev_autoclose int pidfd = -1;
	struct sockaddr_un address;
	struct ucred peer;
	socklen_t len = sizeof(peer);
	struct pollfd p = {.fd = fd};

	host_socket_name(name, next, full);
	dir = host_socket_address(broker, full, &address);
	if (fd < 0 || dir < 0)
		return fd < 0 ? -errno : dir;
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return -errno;
	pidfd = pidfd_open(peer.pid, 0);
	if (pidfd < 0)
		return errno == ESRCH ? -ECONNREFUSED : -errno;
	/* It lived when its number was looked up: the number was its own. */
	if (poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR))
		return -ECONNREFUSED;
	*ret_pid = peer.pid;
	*ret_pidfd = umdev_steal_fd(&pidfd);
	return umdev_steal_fd(&fd);
}

static void host_socket_path(const char *name, bool next, char path[PATH_MAX])
{
	char full[HOST_SOCKET_NAME_MAX + 1];

	host_socket_name(name, next, full);
	snprintf(path, PATH_MAX, "%s/%s%s", BROKER_HOSTS_DIR, full, HOST_SOCKET_SUFFIX);
}

void host_socket_remove(const struct broker *broker, const char *name, bool next)
{
	char path[PATH_MAX];

	host_socket_path(name, next, path);
	unlinkat(broker->root_fd, path, 0);
}

void host_socket_swap(const struct broker *broker, const char *name)
{
	char path[PATH_MAX];
	char other[PATH_MAX];

	host_socket_path(name, false, path);
	host_socket_path(name, true, other);
	if (renameat2(broker->root_fd, path, broker->root_fd, other, RENAME_EXCHANGE) < 0 &&
	    renameat(broker->root_fd, other, broker->root_fd, path) < 0)
		umdev_log(LOG_WARNING, name, "host.socket", "%s: %s", path, strerror(errno));
}

void host_socket_each(struct broker *broker, void (*each)(struct broker *broker, const char *name))
{
	const size_t suffix = strlen(HOST_SOCKET_SUFFIX);
	struct dirent **names = NULL;
	int n = scandirat(broker->root_fd, BROKER_HOSTS_DIR, &names, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		char *name = names[i]->d_name;
		size_t len = strlen(name);

		if (len > suffix && strcmp(name + len - suffix, HOST_SOCKET_SUFFIX) == 0) {
			name[len - suffix] = '\0';
			if (len - suffix <= HOST_SOCKET_NAME_MAX)
				each(broker, name);
		}
		free(names[i]);
	}
	free(names);
}
