/* SPDX-License-Identifier: BSD-3-Clause */
/* Small helpers around file descriptors: modes, messages with fds, memfds, atomic files. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/cleanup.h"

/* The kernel's own bound on fds in one message (SCM_MAX_FD). */
#define FD_MESSAGE_MAX 253

/* Closes *@fd if it is open and sets it to -1. errno is kept. */
void fd_close(int *fd);

/* Closes @n fds and sets each to -1. */
void fd_close_all(int *fds, size_t n);

/* Sets or clears O_NONBLOCK. Returns 0 or -errno. */
int fd_set_nonblock(int fd, bool on) umdev_warn_unused;

/*
 * One sendmsg(2) of @len bytes with @nfds descriptors (0..FD_MESSAGE_MAX), MSG_NOSIGNAL.
 * Returns the bytes taken or -errno (-EAGAIN when a non-blocking socket is full). Fds stay the
 * caller's.
 */
ssize_t fd_send(int sock, const void *data, size_t len, const int *fds, size_t nfds);

/*
 * One recvmsg(2), never waiting (MSG_DONTWAIT), of up to @len bytes. Descriptors that came along go
 * to
 * @fds (room for @max_fds, at most FD_MESSAGE_MAX), close-on-exec, owned by the caller, and their
 * number to
 * *@ret_nfds, which is set on every return; those beyond @max_fds are closed. Returns bytes, 0 at
 * end of stream, or -errno; -EMSGSIZE for a datagram longer than @len (its fds are closed).
 */
ssize_t fd_recv(int sock, void *data, size_t len, int *fds, size_t max_fds, size_t *ret_nfds);

/* A close-on-exec memfd of @size zero bytes, a size that nobody who gets it can change. Returns the
 * fd or -errno. */
int fd_memfd(const char *name, uint64_t size) umdev_warn_unused;

/* Reads a whole file of at most @max bytes below @dirfd into a new NUL-terminated buffer, freed by
 * the caller. */
int fd_read_file(int dirfd, const char *path, size_t max, char **ret_data,
		 size_t *ret_len) umdev_warn_unused;

/*
 * Replaces @path below @dirfd by @len bytes so that a power cut leaves the old or the new file,
 * never a part: temporary file in the same directory, fsync, rename, fsync of the directory.
 * Returns 0 or -errno.
 */
int fd_write_file_atomic(int dirfd, const char *path, const void *data, size_t len,
			 mode_t mode) umdev_warn_unused;

/* Removes a file so that a power cut does not bring it back. Returns 0 or -errno. */
int fd_unlink_sync(int dirfd, const char *path) umdev_warn_unused;

/* fsync() of a directory, and of that in which @path lies: the names in it are on the disk then.
 * Return 0 or -errno. */
int fd_sync_dir(int dirfd, const char *path) umdev_warn_unused;
int fd_sync_dir_of(int dirfd, const char *path) umdev_warn_unused;

/* mkdir -p below @dirfd. What it made, and the name @path in any case, is on the disk then. Returns
 * 0 or -errno. */
int fd_mkdir_parents(int dirfd, const char *path, mode_t mode) umdev_warn_unused;

/*
 * Whether one of many users of this process, who has @own descriptors, may have @fd, just received,
 * as well: nobody gets more than what is then left for all others, @reserve not counted. So however
 * many want everything, there is always as much for the next one as each of them has.
 */
bool fd_fair(int fd, size_t own, size_t reserve);

/* Whether @fd is a socket. Unlike a file it can then be asked without the help of another process
 * (FUSE), which may never answer. */
bool fd_is_socket(int fd);

/* Whether whoever was at the other end of a connected socket has closed it, whatever is still to be
 * read from it. One system call. */
bool fd_hung_up(int fd);

/* Whether the process that had connected a unix socket, of which @fd is the accepted end, has
 * ended. The connection has not, perhaps. Before Linux 6.5 nobody can tell: false. */
bool fd_peer_ended(int fd);
