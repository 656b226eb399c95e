/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Scope-bound ownership. Declare such variables at the top of their block, initialised; hand one
 * on with umdev_steal_ptr() or umdev_steal_fd(), else it is released when the block ends.
 */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The functions behind the macros below; nothing else calls them. */
static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

/* As above, for descriptors; errno is kept. */
static inline void cleanup_close(const int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

/* As above, for streams. */
static inline void cleanup_fclose(FILE **f)
{
	if (*f)
		fclose(*f);
}

/* Takes the descriptor out of its variable. */
static inline int cleanup_steal_fd(int *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}

#define umdev_autofree	    __attribute__((cleanup(cleanup_free)))
#define umdev_autoclose	    __attribute__((cleanup(cleanup_close)))
#define umdev_autofclose    __attribute__((cleanup(cleanup_fclose)))
#define umdev_auto(destroy) __attribute__((cleanup(destroy)))
#define umdev_steal_fd(fd)  cleanup_steal_fd(fd)
#define umdev_steal_ptr(p)                                                                         \
	({                                                                                         \
		__typeof__(*(p)) stolen_ptr = *(p);                                                \
		*(p) = NULL;                                                                       \
		stolen_ptr;                                                                        \
	})

#define umdev_warn_unused __attribute__((warn_unused_result))
#define ARRAY_SIZE(a)	  (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member)                                                            \
	((type *)((char *)(1 ? (ptr) : &((type *)0)->member) - offsetof(type, member)))
#define MIN(a, b)                                                                                  \
	({                                                                                         \
		__typeof__(a) min_a = (a);                                                         \
		__typeof__(b) min_b = (b);                                                         \
		min_a < min_b ? min_a : min_b;                                                     \
	})
#define MAX(a, b)                                                                                  \
	({                                                                                         \
		__typeof__(a) max_a = (a);                                                         \
		__typeof__(b) max_b = (b);                                                         \
		max_a > max_b ? max_a : max_b;                                                     \
	})
