/* SPDX-License-Identifier: BSD-3-Clause */
/* Connecting to the daemon. See connect.h. */
#include "rpc/connect.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define CONNECT_RUN_DIR "run/umdev"
#define CONNECT_SOCKET	"control.sock"

int rpc_connect(const char *root, struct umdev_error *err)
{
	umdev_autoclose int dir = -1;
	umdev_autoclose int fd = -1;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	umdev_autofree char *path = NULL;

	if (!root)
		root = secure_getenv("UMDEV_ROOT");
	if (!root || !root[0])
		root = "/";
	if (asprintf(&path, "%s/" CONNECT_RUN_DIR, strcmp(root, "/") == 0 ? "" : root) < 0) {
		path = NULL;
		return error_set(err, ERROR_NO_MEMORY, "no memory for the path of the socket");
	}
	dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return error_set(err, ERROR_UNREACHABLE,
				 "cannot reach umdevd at %s/" CONNECT_SOCKET
				 ": %s; is it running with this root?",
				 path, strerror(errno));
	/* Through the directory's fd, since a root may be longer than a socket address. */
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" CONNECT_SOCKET,
		 dir);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set(err, ERROR_INTERNAL, "cannot make a socket: %s", strerror(errno));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		if (errno == EACCES || errno == EPERM)
			return error_set(err, ERROR_NOT_PERMITTED,
					 "not permitted to use umdevd at %s/" CONNECT_SOCKET
					 "; ask to be in the socket's group",
					 path);
		return error_set(err, ERROR_UNREACHABLE,
				 "cannot reach umdevd at %s/" CONNECT_SOCKET
				 ": %s; is it running with this root?",
				 path, strerror(errno));
	}
	return umdev_steal_fd(&fd);
}
