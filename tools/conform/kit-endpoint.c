/* SPDX-License-Identifier: BSD-3-Clause */
/* Endpoints of mdevs under the harness: nobody is at their other end. See kit.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "kit.h"

static int endpoint_pty(void)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	struct termios raw;

	if (fd < 0 || grantpt(fd) < 0 || unlockpt(fd) < 0 || tcgetattr(fd, &raw) < 0)
		verdict_skip("cannot make a pseudo terminal: %s", strerror(errno));
	cfmakeraw(&raw);
	(void)tcsetattr(fd, TCSANOW, &raw);
	return fd;
}

static int endpoint_unix(void)
{
	struct sockaddr_un any = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	/* With no name in it the kernel gives the socket one that is no file. */
	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any.sun_family)) < 0 ||
	    listen(fd, 4) < 0)
		verdict_skip("cannot make a Unix socket: %s", strerror(errno));
	return fd;
}

uint32_t kit_endpoints_new(const struct umdev_type *type, int32_t fds[UMDEV_ENDPOINTS_MAX])
{
	uint32_t count = type->endpoint_kind == UMDEV_ENDPOINT_NONE
				 ? 0
				 : MIN(type->endpoint_count, (uint32_t)UMDEV_ENDPOINTS_MAX);

	for (uint32_t i = 0; i < count; i++)
		fds[i] = type->endpoint_kind == UMDEV_ENDPOINT_PTY ? endpoint_pty()
								   : endpoint_unix();
	return count;
}
