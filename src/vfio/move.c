/* SPDX-License-Identifier: BSD-3-Clause */
/* See move.h. */
#include "vfio/move.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

_Static_assert(sizeof(struct vfio_page_move) == sizeof(struct mmsghdr), "the kernel writes here");
_Static_assert(offsetof(struct vfio_page_move, moved) == offsetof(struct mmsghdr, msg_len),
	       "the kernel writes here");
_Static_assert(offsetof(struct vfio_page_move, both) % 8 == 0, "one store");

void move_set(struct vfio_page_move *move, uint32_t bytes)
{
	const struct vfio_page_move next = {.moved = 0, .before = bytes};

	__atomic_store_n(&move->both, next.both, __ATOMIC_RELEASE);
}

/* What was counted so far counts as before, and the call is described. */
static struct mmsghdr *move_begin(struct vfio_page_move *move, struct iovec *iov)
{
	struct mmsghdr *call = (struct mmsghdr *)move;

	move_set(move, move_total(move));
	call->msg_hdr = (struct msghdr){.msg_iov = iov, .msg_iovlen = 1};
	return call;
}

ssize_t move_receive(int sock, struct vfio_page_move *move, void *buf, size_t len)
{
	struct iovec iov = {.iov_base = buf, .iov_len = len};
	struct mmsghdr *call = move_begin(move, &iov);
	bool reset = false;
	int r;

	for (;;) {
		r = recvmmsg(sock, call, 1, MSG_DONTWAIT, NULL);
		if (r >= 0)
			break;
		/* That the peer closed without reading all is told, once, before what it sent. */
		if (errno != EINTR && (errno != ECONNRESET || reset))
			break;
		reset |= errno == ECONNRESET;
	}
	return r < 0 ? -errno : (ssize_t)move->moved;
}

ssize_t move_send(int sock, struct vfio_page_move *move, const void *buf, size_t len, int fd)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};
	struct mmsghdr *call = move_begin(move, &iov);
	int r;

	if (fd >= 0) {
		struct cmsghdr *c = (struct cmsghdr *)control;

		call->msg_hdr.msg_control = control;
		call->msg_hdr.msg_controllen = sizeof(control);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	do {
		r = sendmmsg(sock, call, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : (ssize_t)move->moved;
}
