/* SPDX-License-Identifier: BSD-3-Clause */
/* Helpers around file descriptors. See fd.h. */
#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif

void fd_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

void fd_close_all(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		fd_close(&fds[i]);
}

int fd_set_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}

ssize_t fd_send(int sock, const void *data, size_t len, const int *fds, size_t nfds)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(FD_MESSAGE_MAX * sizeof(int))];
	struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (nfds > FD_MESSAGE_MAX)
		return -E2BIG;
	if (nfds > 0) {
		struct cmsghdr *c;

		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		memset(control, 0, msg.msg_controllen);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
	}
	do {
		n = sendmsg(sock, &msg, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* Takes every descriptor out of the control data of @msg, keeps @max_fds, closes the rest. */
static size_t fd_collect(struct msghdr *msg, int *fds, size_t max_fds)
{
	size_t kept = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (kept < max_fds)
				fds[kept++] = fd;
			else
				close(fd);
		}
	}
	return kept;
}

ssize_t fd_recv(int sock, void *data, size_t len, int *fds, size_t max_fds, size_t *ret_nfds)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(FD_MESSAGE_MAX * sizeof(int))];
	struct iovec iov = {.iov_base = data, .iov_len = len};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;

	*ret_nfds = 0;
	do {
		n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	*ret_nfds = fd_collect(&msg, fds, max_fds);
	if (msg.msg_flags & MSG_TRUNC) {
		fd_close_all(fds, *ret_nfds);
		*ret_nfds = 0;
		return -EMSGSIZE;
	}
	return n;
}

int fd_memfd(const char *name, uint64_t size)
{
	umdev_autoclose int fd = -1;

	if (size > (uint64_t)INT64_MAX)
		return -EFBIG;
	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	return umdev_steal_fd(&fd);
}

int fd_read_file(int dirfd, const char *path, size_t max, char **ret_data, size_t *ret_len)
{
	umdev_autofree char *data = NULL;
	umdev_autoclose int fd = -1;
	struct stat st;
	size_t len = 0;

	fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size < 0 || (uint64_t)st.st_size > max)
		return -EFBIG;
	data = malloc(max < 4096 ? max + 1 : (size_t)st.st_size + 1);
	if (!data)
		return -ENOMEM;
	while (len < (size_t)st.st_size) {
		ssize_t n = read(fd, data + len, (size_t)st.st_size - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	data[len] = '\0';
	*ret_data = umdev_steal_ptr(&data);
	*ret_len = len;
	return 0;
}

static int fd_write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int fd_sync_dir(int dirfd, const char *path)
{
	umdev_autoclose int dir = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return dir < 0 || fsync(dir) < 0 ? -errno : 0;
}

int fd_sync_dir_of(int dirfd, const char *path)
{
	char copy[PATH_MAX];

	if (snprintf(copy, sizeof(copy), "%s", path) >= (int)sizeof(copy))
		return -ENAMETOOLONG;
	return fd_sync_dir(dirfd, dirname(copy));
}

int fd_write_file_atomic(int dirfd, const char *path, const void *data, size_t len, mode_t mode)
{
	char temp[PATH_MAX];
	umdev_autoclose int fd = -1;
	int r;

	if (snprintf(temp, sizeof(temp), "%s.new~", path) >= (int)sizeof(temp))
		return -ENAMETOOLONG;
	fd = openat(dirfd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return -errno;
	r = fd_write_all(fd, data, len);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && renameat(dirfd, temp, dirfd, path) < 0)
		r = -errno;
	if (r < 0) {
		unlinkat(dirfd, temp, 0);
		return r;
	}
	return fd_sync_dir_of(dirfd, path);
}

int fd_unlink_sync(int dirfd, const char *path)
{
	if (unlinkat(dirfd, path, 0) < 0)
		return -errno;
	return fd_sync_dir_of(dirfd, path);
}

/* One directory; that it is there already is fine, as long as it is one. Returns whether it was
 * made, or -errno. */
static int fd_mkdir(int dirfd, const char *path, mode_t mode)
{
	struct stat st;

	if (mkdirat(dirfd, path, mode) == 0)
		return 1;
	if (errno != EEXIST)
		return -errno;
	if (fstatat(dirfd, path, &st, 0) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int fd_mkdir_parents(int dirfd, const char *path, mode_t mode)
{
	char copy[PATH_MAX];
	int r;

	if (!*path)
		return -ENOENT;
	if (snprintf(copy, sizeof(copy), "%s", path) >= (int)sizeof(copy))
		return -ENAMETOOLONG;
	for (char *p = copy + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		r = fd_mkdir(dirfd, copy, mode);
		if (r > 0)
			r = fd_sync_dir_of(dirfd, copy);
		if (r < 0)
			return r;
		*p = '/';
	}
	r = fd_mkdir(dirfd, copy, mode);
	/* Whoever made it if we did not may have left it at that. */
	return r < 0 ? r : fd_sync_dir_of(dirfd, path);
}

bool fd_fair(int fd, size_t own, size_t reserve)
{
	/* The lowest free number is given out: about all below are in use. */
	rlim_t used = (rlim_t)fd + 1 + reserve;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return true;
	return used <= limit.rlim_cur && own + 1 <= limit.rlim_cur - used;
}

bool fd_is_socket(int fd)
{
	socklen_t len = sizeof(int);
	int type;

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0;
}

bool fd_hung_up(int fd)
{
	struct pollfd p = {.fd = fd};

	return poll(&p, 1, 0) > 0 && p.revents & POLLHUP;
}

bool fd_peer_ended(int fd)
{
	umdev_autoclose int pidfd = -1;
	struct pollfd p = {.events = POLLIN};
	socklen_t len = sizeof(pidfd);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) < 0)
		return errno == ESRCH || errno == EINVAL; /* one that has been waited for */
	p.fd = pidfd;
	return poll(&p, 1, 0) > 0;
}
