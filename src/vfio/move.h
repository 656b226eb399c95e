/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bytes to and from a socket, counted by the kernel in memory that outlives the process.
 *
 * A process may be killed between the system call that moved bytes and the instruction that would
 * note how many. Here the note is made within the call: recvmmsg(2) and sendmmsg(2) write the count
 * into the struct mmsghdr they were given, which lies in the state page. Beside the count stands
 * how much had been moved before, and both are set by one store; so their sum is right whenever it
 * is read, by whomever.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* One direction of one message. Begins with the call's struct mmsghdr, whose pointers mean nothing
 * to anybody but the call. */
struct vfio_page_move {
	uint64_t call[7]; /* struct msghdr */
	union {
		struct {
			uint32_t moved;	 /* by the last call; mmsghdr.msg_len, written by the kernel
					  */
			uint32_t before; /* by those before it */
		};
		uint64_t both;
	};
};

/* Bytes of the present message that were moved. */
static inline uint32_t move_total(const struct vfio_page_move *move)
{
	return move->before + move->moved;
}

/* Says that @bytes of the present message were moved: 0 at its beginning. */
void move_set(struct vfio_page_move *move, uint32_t bytes);

/*
 * Receives up to @len bytes into @buf; descriptors that come along are dropped. Returns the bytes
 * (0 at the end of the stream), counted in @move, or -errno with nothing moved. Never waits.
 */
ssize_t move_receive(int sock, struct vfio_page_move *move, void *buf, size_t len);

/* Sends up to @len bytes at @buf, with the descriptor @fd unless it is negative. As above. */
ssize_t move_send(int sock, struct vfio_page_move *move, const void *buf, size_t len, int fd);
