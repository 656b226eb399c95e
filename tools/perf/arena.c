/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory shared with the device. See arena.h. */
#include "arena.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "util/fd.h"

int arena_init(struct arena *arena, uint64_t iova, uint64_t size, struct umdev_error *err)
{
	umdev_autoclose int fd = -1;
	void *base;

	/* DMA is mapped in whole pages. */
	size = (size + ARENA_PAGE - 1) & ~(uint64_t)(ARENA_PAGE - 1);
	fd = fd_memfd("umdev-perf", size);

	if (fd < 0)
		return error_set(err, ERROR_NO_MEMORY, "cannot make %llu bytes of memory: %s",
				 (unsigned long long)size, strerror(-fd));
	base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (base == MAP_FAILED)
		return error_set(err, ERROR_NO_MEMORY, "cannot map %llu bytes of memory: %s",
				 (unsigned long long)size, strerror(errno));
	*arena =
		(struct arena){.base = base, .iova = iova, .size = size, .fd = umdev_steal_fd(&fd)};
	return 0;
}

void arena_done(struct arena *arena)
{
	if (arena->base)
		munmap(arena->base, arena->size);
	fd_close(&arena->fd);
	arena->base = NULL;
}

void *arena_alloc(struct arena *arena, uint64_t size, uint64_t *ret_iova)
{
	uint64_t rounded = (size + ARENA_PAGE - 1) & ~(uint64_t)(ARENA_PAGE - 1);
	uint64_t at = arena->used;

	if (rounded < size || rounded > arena->size - at)
		return NULL;
	arena->used += rounded;
	*ret_iova = arena->iova + at;
	return arena->base + at;
}
