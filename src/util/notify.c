/* SPDX-License-Identifier: BSD-3-Clause */
/* See notify.h. */
#include "util/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/fd.h"
#include "util/parse.h"

#define NOTIFY_FIRST_FD 3

/* Fills in where NOTIFY_SOCKET says. Returns the length of the address or -errno. */
static int notify_address(struct sockaddr_un *ret)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t len = path ? strlen(path) : 0;

	if (!path)
		return -ENOENT;
	if (len < 2 || len >= sizeof(ret->sun_path) || (path[0] != '/' && path[0] != '@'))
		return -EINVAL;
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(ret->sun_path, path, len);
	if (path[0] == '@') /* abstract */
		ret->sun_path[0] = '\0';
	return (int)(offsetof(struct sockaddr_un, sun_path) + len);
}

static int notify_connect(int flags)
{
	umdev_autoclose int fd = -1;
	struct sockaddr_un address;
	int len = notify_address(&address);

	if (len < 0)
		return len;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | flags, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, (socklen_t)len) < 0)
		return errno == ENOENT ? -ECONNREFUSED : -errno;
	return umdev_steal_fd(&fd);
}

int notify_open(void)
{
	return notify_connect(SOCK_NONBLOCK);
}

int notify_say(const char *state)
{
	umdev_autoclose int fd = notify_connect(0);
	ssize_t n;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	n = fd_send(fd, state, strlen(state), NULL, 0);
	return n < 0 ? (int)n : 0;
}

/* ---- Descriptors of the manager -------------------------------------------------------------- */

void notify_fds_free(struct notify_fd *fds, size_t count)
{
	for (size_t i = 0; fds && i < count; i++) {
		fd_close(&fds[i].fd);
		free(fds[i].name);
	}
	free(fds);
}

/* How many this process was handed. */
static int notify_count(void)
{
	const char *pid = getenv("LISTEN_PID");
	const char *count = getenv("LISTEN_FDS");
	uint64_t number = 0;
	uint64_t n = 0;

	if (!pid || !count)
		return 0;
	if (parse_u64(pid, &number) < 0 || parse_u64(count, &n) < 0 || n > NOTIFY_FDS_MAX)
		return -EINVAL;
	return number == (uint64_t)getpid() ? (int)n : 0;
}

/* The next of names that are separated by colons: its length, and *@names moves on. */
static size_t notify_next_name(const char **names, const char **ret)
{
	size_t len = *names ? strcspn(*names, ":") : 0;

	*ret = *names ? *names : "";
	if (*names)
		*names = (*names)[len] == ':' ? *names + len + 1 : NULL;
	return len;
}

int notify_take_fds(struct notify_fd **ret)
{
	const char *names = getenv("LISTEN_FDNAMES");
	int count = notify_count();
	struct notify_fd *fds = NULL;
	int n = 0;
	int r = count < 0 ? count : 0;

	if (count > 0)
		fds = calloc((size_t)count, sizeof(*fds));
	if (count > 0 && !fds)
		r = -ENOMEM;
	for (int i = 0; i < count; i++) {
		const char *name;
		size_t len = notify_next_name(&names, &name);
		int fd = NOTIFY_FIRST_FD + i;

		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			continue;
		if (!fds) {
			close(fd);
			continue;
		}
		fds[n].fd = fd;
		fds[n].name = strndup(name, len < NOTIFY_NAME_MAX ? len : NOTIFY_NAME_MAX);
		if (!fds[n++].name)
			r = -ENOMEM;
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	unsetenv("LISTEN_PIDFDID");
	if (r < 0) {
		notify_fds_free(fds, (size_t)n);
		return r;
	}
	*ret = fds;
	return n;
}
