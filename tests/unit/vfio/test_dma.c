/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest memory: maps and their refusals, range unmap, translation, holds, memory that shrinks. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "vfio/dma.h"

#define RO  WIRE_DMA_MAP_READ
#define RW  (WIRE_DMA_MAP_READ | WIRE_DMA_MAP_WRITE)
#define MIB 0x100000ull

/* Translates into up to 8 pieces. */
static int translate(struct fixture *fx, uint64_t iova, uint64_t len, struct iovec *iov)
{
	return vfio_dma_translate(fx->session, iova, len, RO, iov, 8);
}

static bool mapped(struct fixture *fx, uint64_t iova)
{
	struct iovec iov[8];

	return translate(fx, iova, 1, iov) == 1;
}

/* ---- Map */

static void test_map(void **state)
{
	struct fixture *fx = *state;
	int fd = memory_new(4 * MIB, 1);
	struct iovec iov[8];
	uint8_t byte = 0;

	client_join_crate(fx);
	/* QEMU's layout of low memory: two pieces of one file with a hole between */
	assert_int_equal(client_map(fx, 0, 0xa0000, 0, RW, fd), 0);
	assert_int_equal(client_map(fx, 0xc0000, 0x40000, 0xc0000, RW, fd), 0);
	assert_int_equal(fx->keeps, 2); /* the connection and one file */
	assert_true(fx->kept[VFIO_SLOT_MEMORY]);
	assert_false(fx->reply_seen_before_keep);
	assert_int_equal(fx->page->files_used, 1);
	assert_int_equal(fx->page->maps_used, 2);
	assert_int_equal(vfio_page_check(fx->page, &fx->info), 0);
	assert_int_equal(translate(fx, 0x2345, 0x10, iov), 1);
	assert_int_equal(((uint8_t *)iov[0].iov_base)[0], 3);
	/* the file is the memory: what one writes, the other reads */
	((uint8_t *)iov[0].iov_base)[0] = 0x77;
	assert_int_equal(pread(fd, &byte, 1, 0x2345), 1);
	assert_int_equal(byte, 0x77);
	assert_int_equal(translate(fx, 0xa0000, 1, iov), -EFAULT);
	assert_int_equal(translate(fx, 0x9ffff, 2, iov), -EFAULT);
	assert_int_equal(translate(fx, 0xbffff, 1, iov), -EFAULT);
	assert_int_equal(translate(fx, 0xfffff, 1, iov), 1);
	assert_int_equal(translate(fx, 0xfffff, 2, iov), -EFAULT);
	assert_int_equal(translate(fx, UINT64_MAX, 2, iov), -EFAULT);
	assert_int_equal(translate(fx, 0, UINT64_MAX, iov), -EFAULT);
	assert_int_equal(translate(fx, 0x5000, 0, iov), 0);
	close(fd);
	client_leave(fx);
	assert_int_equal(fx->kept_count, 0);
	assert_int_equal(translate(fx, 0, 1, iov), -EFAULT);
}

static void test_map_refusals(void **state)
{
	struct fixture *fx = *state;
	int fd = memory_new(16 * 4096, 1);
	int two[2] = {fd, fd};
	int pipes[2];
	struct wire_dma_map map = {32, RW, 0, 0, 4096};
	static const struct {
		struct wire_dma_map map;
		bool with_fd;
		int error;
	} bad[] = {
		{{32, RW, 0, 0, 0}, true, EINVAL},			/* nothing */
		{{32, RW, 0, 0x100, 0x1000}, true, EINVAL},		/* misaligned */
		{{32, RW, 0, 0, 0x1001}, true, EINVAL},			/* */
		{{32, RW, 0x10, 0, 0x1000}, true, EINVAL},		/* */
		{{32, RW, 0, UINT64_MAX - 4095, 0x2000}, true, EINVAL}, /* wraps */
		{{32, RW, UINT64_MAX - 4095, 0, 0x2000}, true, EINVAL}, /* wraps in the file */
		{{32, RW, 0, 0, UINT64_MAX - 4095}, true, EINVAL},	/* more than the file has */
		{{32, RW, 0, 0, 17 * 4096}, true, EINVAL},		/* */
		{{32, RW, 4096, 0, 16 * 4096}, true, EINVAL},		/* */
		{{32, RW, 1ull << 62, 0, 4096}, true, EINVAL},		/* */
		{{32, 0, 0, 0, 4096}, true, EINVAL},			/* no right at all */
		{{32, RW | 0x10, 0, 0, 4096}, true, EINVAL},		/* unknown flag */
		{{32, RW | WIRE_DMA_MAP_MMAP, 0, 0, 4096}, false, EINVAL},
		{{32, RW | WIRE_DMA_MAP_FILE_IO, 0, 0, 4096}, false, EINVAL},
		{{32, RW | WIRE_DMA_MAP_FILE_IO | WIRE_DMA_MAP_MMAP, 0, 0, 4096}, true, EINVAL},
		{{32, RW | WIRE_DMA_MAP_FILE_IO, 0, 0, 4096}, true, EOPNOTSUPP},
		{{31, RW, 0, 0, 4096}, true, EINVAL},
	};

	client_join_crate(fx);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(client_call(fx, WIRE_DMA_MAP,
					     BODY_FDS(&bad[i].map, 32, &fd, bad[i].with_fd), NULL,
					     0, NULL),
				 bad[i].error);
	for (size_t len = 0; len < sizeof(map); len++)
		assert_int_equal(client_call(fx, WIRE_DMA_MAP, BODY_FDS(&map, len, &fd, 1), NULL, 0,
					     NULL),
				 EINVAL);
	assert_int_equal(client_call(fx, WIRE_DMA_MAP, BODY_FDS(&map, 32, two, 2), NULL, 0, NULL),
			 EINVAL);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(client_call(fx, WIRE_DMA_MAP, BODY_FDS(&map, 32, pipes, 1), NULL, 0, NULL),
			 EINVAL);
	close(pipes[0]);
	close(pipes[1]);
	assert_int_equal(fx->page->maps_used, 0);
	assert_int_equal(fx->page->files_used, 0);
	assert_int_equal(fx->keeps, 1);
	/* the whole file, and the last page of the address space, are fine */
	assert_int_equal(client_map(fx, 0, 16 * 4096, 0, RW, fd), 0);
	assert_int_equal(client_map(fx, UINT64_MAX - 4095, 4096, 0, RW, fd), 0);
	assert_true(mapped(fx, UINT64_MAX));
	assert_int_equal(client_map(fx, 0x100000, 4096, 0, RW | WIRE_DMA_MAP_MMAP, fd), 0);
	close(fd);
}

static void test_map_overlap(void **state)
{
	struct fixture *fx = *state;
	int fd = memory_new(MIB, 1);
	int other = memory_new(MIB, 1);

	client_join_crate(fx);
	assert_int_equal(client_map(fx, 0x10000, 0x10000, 0x1000, RW, fd), 0);
	/* the very same again is fine */
	assert_int_equal(client_map(fx, 0x10000, 0x10000, 0x1000, RW, fd), 0);
	assert_int_equal(fx->page->maps_used, 1);
	/* whatever differs is not */
	assert_int_equal(client_map(fx, 0x10000, 0x10000, 0x2000, RW, fd), EEXIST);
	assert_int_equal(client_map(fx, 0x10000, 0x10000, 0x1000, RO, fd), EEXIST);
	assert_int_equal(client_map(fx, 0x10000, 0x10000, 0x1000, RW, other), EEXIST);
	assert_int_equal(client_map(fx, 0x10000, 0x10000, 0x1000, RW, -1), EEXIST);
	assert_int_equal(client_map(fx, 0x10000, 0x8000, 0x1000, RW, fd), EEXIST);
	assert_int_equal(client_map(fx, 0xf000, 0x2000, 0, RW, fd), EEXIST);
	assert_int_equal(client_map(fx, 0x1f000, 0x2000, 0, RW, fd), EEXIST);
	assert_int_equal(client_map(fx, 0, 0x100000, 0, RW, fd), EEXIST);
	assert_int_equal(client_map(fx, 0xf000, 0x1000, 0, RW, fd), 0);
	assert_int_equal(client_map(fx, 0x20000, 0x1000, 0, RW, fd), 0);
	assert_int_equal(client_map(fx, 0x30000, 0x1000, 0, RO, -1), 0);
	assert_int_equal(client_map(fx, 0x30000, 0x1000, 0, RO, -1), 0);
	assert_int_equal(client_map(fx, 0x30000, 0x1000, 0, RO, fd), EEXIST);
	assert_int_equal(fx->page->files_used, 1);
	close(fd);
	close(other);
}

static void test_map_read_only_file(void **state)
{
	struct fixture *fx = *state;
	char path[128];
	struct iovec iov[8];
	int rw;
	int ro;
	int wo;

	snprintf(path, sizeof(path), "%s/rom", fx->dir);
	rw = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(rw >= 0);
	assert_int_equal(ftruncate(rw, 8192), 0);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	wo = open(path, O_WRONLY | O_CLOEXEC);
	client_join_crate(fx);
	assert_int_equal(client_map(fx, 0, 4096, 0, RW, ro), EACCES);
	assert_int_equal(client_map(fx, 0, 4096, 0, RO, wo), EACCES);
	assert_int_equal(client_map(fx, 0, 4096, 0, RO, ro), 0);
	assert_int_equal(client_map(fx, 4096, 4096, 4096, RW, rw), 0);
	assert_int_equal(fx->page->files_used, 2);
	assert_int_equal(vfio_dma_translate(fx->session, 0, 4096, RO, iov, 1), 1);
	assert_int_equal(vfio_dma_translate(fx->session, 0, 4096, RW, iov, 1), -EFAULT);
	assert_int_equal(vfio_dma_translate(fx->session, 4096, 4096, RW, iov, 1), 1);
	assert_int_equal(vfio_page_check(fx->page, &fx->info), 0);
	unlink(path);
	close(rw);
	close(ro);
	close(wo);
}

/* A file that has grown is mapped anew; what was there stays. */
static void test_map_grown_file(void **state)
{
	struct fixture *fx = *state;
	int fd = memory_new(4096, 1);

	client_join_crate(fx);
	assert_int_equal(client_map(fx, 0, 4096, 0, RW, fd), 0);
	assert_int_equal(client_map(fx, 0x10000, 8192, 0, RW, fd), EINVAL);
	assert_int_equal(ftruncate(fd, 8192), 0);
	assert_int_equal(client_map(fx, 0x10000, 8192, 0, RW, fd), 0);
	assert_int_equal(fx->page->files_used, 2);
	assert_true(mapped(fx, 0) && mapped(fx, 0x11000));
	assert_int_equal(client_unmap(fx, 0, 4096), 0);
	assert_false(fx->kept[VFIO_SLOT_MEMORY]);
	assert_true(fx->kept[VFIO_SLOT_MEMORY + 1]);
	close(fd);
}

static void test_map_not_kept(void **state)
{
	struct fixture *fx = *state;
	int fd = memory_new(4096, 1);

	client_join_crate(fx);
	fx->keep_result = -ENOBUFS;
	assert_int_equal(client_map(fx, 0, 4096, 0, RW, fd), ENOBUFS);
	assert_int_equal(fx->page->maps_used, 0);
	assert_false(mapped(fx, 0));
	fx->keep_result = 0;
	assert_int_equal(client_map(fx, 0, 4096, 0, RW, fd), 0);
	close(fd);
}

static void test_limits(void **state)
{
	struct fixture *fx = *state;
	int fd = memory_new(4096, 1);
	int huge = memory_new(0, 0);

	client_join_crate(fx);
	for (uint64_t i = 0; i < WIRE_DMA_MAPS_MAX; i++) {
		struct wire_dma_map map = {32, RW, 0, i * 8192, 4096};

		client_send(fx, WIRE_DMA_MAP, WIRE_FLAG_NO_REPLY, BODY(&map, sizeof(map)));
		if (i % 256 == 0)
			fixture_turn(fx);
	}
	assert_int_equal(client_map(fx, UINT64_MAX - 4095, 4096, 0, RW, -1), ENOSPC);
	assert_int_equal(fx->page->maps_used, WIRE_DMA_MAPS_MAX);
	assert_int_equal(vfio_page_check(fx->page, &fx->info), 0);
	assert_int_equal(client_unmap(fx, 8192, 4096), 0);
	assert_int_equal(client_map(fx, UINT64_MAX - 4095, 4096, 0, RW, fd), 0);
	assert_true(mapped(fx, UINT64_MAX));
	assert_int_equal(client_unmap(fx, 0, UINT64_MAX - 4095), 0);
	assert_true(mapped(fx, UINT64_MAX));
	/* the address space that one client may take */
	assert_int_equal(ftruncate(huge, (off_t)(16ull << 40)), 0);
	assert_int_equal(client_map(fx, 0, 4096, 0, RW, huge), ENOSPC);
	assert_int_equal(ftruncate(huge, (off_t)((16ull << 40) - 4096)), 0);
	assert_int_equal(client_map(fx, 0, 4096, 0, RW, huge), 0);
	close(fd);
	close(huge);
}

static void test_limit_of_files(void **state)
{
	struct fixture *fx = *state;
	int fd = -1;

	client_join_crate(fx);
	for (uint64_t i = 0; i <= VFIO_SLOT_MEMORY_MAX; i++) {
		fd = memory_new(4096, 0);
		assert_int_equal(client_map(fx, i * 4096, 4096, 0, RW, fd),
				 i < VFIO_SLOT_MEMORY_MAX ? 0 : ENOSPC);
		if (i < VFIO_SLOT_MEMORY_MAX)
			close(fd);
	}
	assert_int_equal(client_unmap(fx, 5 * 4096, 4096), 0);
	assert_int_equal(client_map(fx, 5 * 4096, 4096, 0, RW, fd), 0);
	assert_true(fx->kept[VFIO_SLOT_MEMORY + 5]);
	close(fd);
}

/* A part is everybody's; of the rest whoever comes first gets half. */
static void test_fair_share(void **state)
{
	const uint64_t total = 4 * VFIO_SESSIONS_MAX; /* parts of 2, and as much beyond */
	const uint64_t half = total / 2;
	uint64_t own[100] = {0};
	uint64_t excess = 0;

	assert_int_equal(dma_excess(total, 2), 0);
	assert_int_equal(dma_excess(total, 5), 3);
	assert_true(dma_share_fair(total, 0, 0, half / 2 + 2));
	assert_false(dma_share_fair(total, 0, 0, half / 2 + 3));
	assert_true(dma_share_fair(total, half / 2 - 1, half / 2 + 1, 1));
	assert_false(dma_share_fair(total, half / 2, half / 2 + 2, 1));
	assert_true(dma_share_fair(total, half, 1, 1));
	assert_false(dma_share_fair(total, half, 1, 2));
	assert_true(dma_share_fair(total, half + 100, 0, 2)); /* more was granted than would be */
	assert_false(dma_share_fair(total, half + 100, 0, 3));
	assert_false(dma_share_fair(total, 0, UINT64_MAX - 1, 2));
	assert_false(dma_share_fair(total, 0, 1, UINT64_MAX));
	/* 100 who want everything, and the next ones have their part all the same */
	for (int i = 0; i < 100; i++) {
		while (dma_share_fair(total, excess, own[i], 1)) {
			excess -= dma_excess(total, own[i]);
			excess += dma_excess(total, ++own[i]);
		}
		assert_true(own[i] >= 2);
		assert_true(own[i] <= half / 2 + 2);
	}
	assert_true(excess <= half);
	assert_true(dma_share_fair(total, excess, 0, 2));
}

/* ---- Translate */

static void test_translate_pieces(void **state)
{
	struct fixture *fx = *state;
	int fd = memory_new(MIB, 1);
	struct iovec iov[8];

	client_join_crate(fx);
	/* neighbours in the guest and in the file are one piece */
	assert_int_equal(client_map(fx, 0, 0x2000, 0, RW, fd), 0);
	assert_int_equal(client_map(fx, 0x2000, 0x2000, 0x2000, RW, fd), 0);
	assert_int_equal(client_map(fx, 0x4000, 0x1000, 0x8000, RW, fd), 0);
	assert_int_equal(client_map(fx, 0x5000, 0x1000, 0x6000, RO, fd), 0);
	assert_int_equal(client_map(fx, 0x6000, 0x1000, 0, RW, -1), 0);
	assert_int_equal(translate(fx, 0x1800, 0x1000, iov), 1);
	assert_int_equal(iov[0].iov_len, 0x1000);
	assert_int_equal(translate(fx, 0x0, 0x6000, iov), 3);
	assert_int_equal(iov[0].iov_len, 0x4000);
	assert_int_equal(iov[1].iov_len, 0x1000);
	assert_int_equal(*(uint8_t *)iov[1].iov_base, 9);
	assert_int_equal(*(uint8_t *)iov[2].iov_base, 7);
	assert_int_equal(vfio_dma_translate(fx->session, 0, 0x6000, RO, iov, 2), -E2BIG);
	assert_int_equal(vfio_dma_translate(fx->session, 0, 0x6000, RW, iov, 8), -EFAULT);
	/* a client that answers no messages has no more to offer */
	assert_int_equal(translate(fx, 0x5800, 0x1000, iov), -EFAULT);
	assert_int_equal(translate(fx, 0x6000, 1, iov), -EFAULT);
	close(fd);
}

/* Against a model: random maps and unmaps, every page asked for. */
enum { PAGES = 256, ROUNDS = 1500 };

struct model_map {
	uint64_t start;
	uint64_t count;
	uint32_t flags;
};

struct model {
	uint16_t owner[PAGES]; /* 1 + the map's number */
	struct model_map maps[ROUNDS + 1];
	uint16_t used;
};

static int model_add(struct model *m, uint64_t start, uint64_t count, uint32_t flags)
{
	const struct model_map *there = &m->maps[m->owner[start]];

	for (uint64_t i = start; i < start + count; i++) {
		if (!m->owner[i])
			continue;
		return m->owner[start] && there->start == start && there->count == count &&
				       there->flags == flags
			       ? 0
			       : EEXIST;
	}
	m->maps[++m->used] = (struct model_map){start, count, flags};
	for (uint64_t i = start; i < start + count; i++)
		m->owner[i] = m->used;
	return 0;
}

static int model_remove(struct model *m, uint64_t start, uint64_t count)
{
	uint64_t end = start + count;

	if (start > 0 && m->owner[start] && m->owner[start] == m->owner[start - 1])
		return EINVAL;
	if (end < PAGES && m->owner[end] && m->owner[end] == m->owner[end - 1])
		return EINVAL;
	for (uint64_t i = start; i < end; i++)
		m->owner[i] = 0;
	return 0;
}

static void test_random(void **state)
{
	struct fixture *fx = *state;
	struct model *m = calloc(1, sizeof(*m));
	int fd = memory_new(PAGES * 4096, 0);
	unsigned seed = 20240607;

	assert_non_null(m);
	for (uint64_t i = 0; i < PAGES; i++)
		assert_int_equal(pwrite(fd, &i, sizeof(i), (off_t)(i * 4096)), sizeof(i));
	printf("seed %u\n", seed);
	client_join_crate(fx);
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t start = (uint64_t)rand_r(&seed) % PAGES;
		uint64_t count = MIN(1 + (uint64_t)rand_r(&seed) % 12, PAGES - start);
		uint32_t flags = rand_r(&seed) % 2 ? RO : RW;

		if (rand_r(&seed) % 3)
			assert_int_equal(client_map(fx, start * 4096, count * 4096, start * 4096,
						    flags, fd),
					 model_add(m, start, count, flags));
		else
			assert_int_equal(client_unmap(fx, start * 4096, count * 4096),
					 model_remove(m, start, count));
		for (uint64_t i = 0; i < PAGES; i++) {
			struct iovec iov[8];
			int n = translate(fx, i * 4096, 8, iov);

			assert_int_equal(n, m->owner[i] ? 1 : -EFAULT);
			if (n == 1)
				assert_int_equal(*(uint64_t *)iov[0].iov_base, i);
		}
	}
	assert_int_equal(vfio_page_check(fx->page, &fx->info), 0);
	free(m);
	close(fd);
}

/* ---- Unmap */

static void test_unmap_ranges(void **state)
{
	struct fixture *fx = *state;
	int fd = memory_new(MIB, 1);
	struct wire_dma_unmap all = {24, WIRE_DMA_UNMAP_ALL, 0, 0};
	struct wire_dma_unmap first = {24, 0, 0, 0x1000};
	struct wire_dma_unmap bad[] = {
		{24, 0, 0, 0},
		{24, 0, 4096, UINT64_MAX - 4094},
		{24, WIRE_DMA_UNMAP_ALL, 0, 4096},
		{24, WIRE_DMA_UNMAP_ALL, 4096, 0},
		{24, 4, 0, 4096},
		{23, 0, 0, 4096},
	};

	client_join_crate(fx);
	for (uint64_t i = 0; i < 8; i++)
		assert_int_equal(client_map(fx, i * 0x2000, 0x1000, i * 0x1000, RW, fd), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(client_call(fx, WIRE_DMA_UNMAP, BODY(&bad[i], 24), NULL, 0, NULL),
				 EINVAL);
	bad[0] = (struct wire_dma_unmap){24, WIRE_DMA_UNMAP_DIRTY, 0, 4096};
	assert_int_equal(client_call(fx, WIRE_DMA_UNMAP, BODY(&bad[0], 24), NULL, 0, NULL),
			 EOPNOTSUPP);
	assert_int_equal(client_call(fx, WIRE_DMA_UNMAP, BODY(&bad[0], 23), NULL, 0, NULL), EINVAL);
	/* nothing there: fine, as a vIOMMU's start asks for it, up to 2^64 */
	assert_int_equal(client_unmap(fx, 0x1000, 0x1000), 0);
	assert_int_equal(client_unmap(fx, 0xfef00000, 0xffffffff01100000), 0);
	assert_true(mapped(fx, 0) && mapped(fx, 0xe000));
	/* one exactly, some with holes between, part of one not */
	assert_int_equal(client_unmap(fx, 0x2000, 0x1000), 0);
	assert_false(mapped(fx, 0x2000));
	assert_int_equal(client_unmap(fx, 0x3000, 0x4000), 0);
	assert_false(mapped(fx, 0x4000) || mapped(fx, 0x6000));
	assert_true(mapped(fx, 0) && mapped(fx, 0x8000));
	assert_int_equal(client_map(fx, 0x100000, 0x4000, 0, RW, fd), 0);
	assert_int_equal(client_unmap(fx, 0x100000, 0x2000), EINVAL);
	assert_int_equal(client_unmap(fx, 0x101000, 0x1000), EINVAL);
	assert_int_equal(client_unmap(fx, 0x102000, 0x10000), EINVAL);
	assert_int_equal(client_unmap(fx, 0xa000, 0xf7000), EINVAL);
	assert_true(mapped(fx, 0xa000) && mapped(fx, 0x100000));
	/* a descriptor that comes along is closed */
	assert_int_equal(client_call(fx, WIRE_DMA_UNMAP, BODY_FDS(&first, sizeof(first), &fd, 1),
				     &bad[0], 24, NULL),
			 0);
	assert_false(mapped(fx, 0));
	assert_true(fx->kept[VFIO_SLOT_MEMORY]);
	assert_int_equal(client_call(fx, WIRE_DMA_UNMAP, BODY(&all, 24), &bad[0], 24, NULL), 0);
	assert_false(mapped(fx, 0x8000) || mapped(fx, 0x100000));
	assert_false(fx->kept[VFIO_SLOT_MEMORY]);
	assert_int_equal(client_call(fx, WIRE_DMA_UNMAP, BODY(&all, 24), &bad[0], 24, NULL), 0);
	close(fd);
}

static void test_unmap_waits_for_hold(void **state)
{
	struct fixture *fx = *state;
	int fd = memory_new(MIB, 1);
	struct wire_dma_unmap unmap = {24, 0, 0, 0x1000};
	struct wire_header header;
	struct iovec iov[8];
	struct iovec other[8];
	uint32_t first;
	uint32_t second;

	client_join_crate(fx);
	assert_int_equal(client_map(fx, 0, 0x1000, 0, RW, fd), 0);
	assert_int_equal(client_map(fx, 0x2000, 0x1000, 0x1000, RW, fd), 0);
	assert_int_equal(translate(fx, 0, 8, iov), 1);
	first = vfio_dma_hold(fx->session);
	/* nothing in the range: nothing to wait for */
	assert_int_equal(client_unmap(fx, 0x8000, 0x1000), 0);
	client_send(fx, WIRE_DMA_UNMAP, 0, BODY(&unmap, sizeof(unmap)));
	assert_true(client_silent(fx));
	assert_false(mapped(fx, 0));
	/* the memory is there as long as the hold, also for new I/O to the other map */
	assert_int_equal(*(uint8_t *)iov[0].iov_base, 1);
	assert_int_equal(translate(fx, 0x2000, 8, other), 1);
	second = vfio_dma_hold(fx->session);
	assert_true(client_silent(fx));
	vfio_dma_release(fx->session, first);
	/* a hold that was taken later does not delay the answer */
	assert_int_equal(client_recv(fx, &header, &unmap, sizeof(unmap), NULL), sizeof(unmap));
	assert_int_equal(header.error, 0);
	assert_int_equal(unmap.size, 0x1000);
	/* and the second waits for the second */
	unmap.addr = 0x2000;
	client_send(fx, WIRE_DMA_UNMAP, WIRE_FLAG_NO_REPLY, BODY(&unmap, sizeof(unmap)));
	client_send(fx, WIRE_DEVICE_RESET, 0, NOTHING);
	assert_true(client_silent(fx));
	assert_int_equal(fx->resets, 0);
	assert_true(fx->kept[VFIO_SLOT_MEMORY]);
	assert_int_equal(*(uint8_t *)other[0].iov_base, 2);
	vfio_dma_release(fx->session, second);
	client_recv(fx, &header, NULL, 0, NULL);
	assert_int_equal(header.command, WIRE_DEVICE_RESET);
	assert_false(fx->kept[VFIO_SLOT_MEMORY]);
	close(fd);
}

static void test_leave_waits_for_hold(void **state)
{
	struct fixture *fx = *state;
	int fd = memory_new(MIB, 5);
	struct wire_dma_unmap unmap = {24, 0, 0, 0x1000};
	struct iovec iov[8];
	uint32_t token;

	client_join_crate(fx);
	assert_int_equal(client_map(fx, 0, 0x1000, 0, RW, fd), 0);
	assert_int_equal(translate(fx, 0, 8, iov), 1);
	token = vfio_dma_hold(fx->session);
	/* in the middle of an unmap, even */
	client_send(fx, WIRE_DMA_UNMAP, 0, BODY(&unmap, sizeof(unmap)));
	assert_true(client_silent(fx));
	client_leave(fx);
	assert_int_equal(fx->lost, 1);
	assert_true(vfio_session_client(fx->session, NULL));
	assert_int_equal(*(uint8_t *)iov[0].iov_base, 5);
	assert_true(fx->kept[VFIO_SLOT_MEMORY]);
	vfio_dma_release(fx->session, token);
	fixture_turn(fx);
	assert_false(vfio_session_client(fx->session, NULL));
	assert_int_equal(fx->kept_count, 0);
	close(fd);
}

/* ---- Memory that shrinks */

static void test_shrunk_memory(void **state)
{
	struct fixture *fx = *state;
	int fd = memory_new(16 * 4096, 1);
	volatile uint8_t *memory;
	struct iovec iov[8];
	uint8_t buf[32];

	client_join_crate(fx);
	assert_int_equal(client_map(fx, 0, 16 * 4096, 0, RW, fd), 0);
	assert_int_equal(translate(fx, 0, 16 * 4096, iov), 1);
	memory = iov[0].iov_base;
	assert_int_equal(memory[9 * 4096], 10);
	assert_int_equal(ftruncate(fd, 8 * 4096), 0);
	/* The access goes on with zeros, and so does everything behind it. */
	assert_int_equal(memory[9 * 4096 + 5], 0);
	memory[15 * 4096] = 7;
	assert_int_equal(memory[15 * 4096], 7);
	assert_int_equal(memory[7 * 4096], 8);
	assert_int_equal(vfio_dma_read(fx->session, 8 * 4096 - 16, buf, 32, NULL, NULL), 0);
	assert_int_equal(buf[0], 8);
	assert_int_equal(buf[31], 0);
	assert_true(client_closed(fx));
	assert_int_equal(fx->lost, 1);
	assert_non_null(strstr(fx->lost_reason, "smaller than it said"));
	assert_string_equal(fx->lost_reason, fx->refused_reason);
	close(fd);
	client_leave(fx);
	client_join_crate(fx);
}

/* A SIGBUS from elsewhere still ends the process. */
static void test_other_sigbus(void **state)
{
	struct fixture *fx = *state;
	int fd = memory_new(4096, 1);
	int status;
	pid_t pid;

	/* The test framework's own handler would go on with the next test, in the child. */
	signal(SIGBUS, SIG_DFL);
	client_join_crate(fx);
	assert_int_equal(client_map(fx, 0, 4096, 0, RW, fd), 0);
	for (int kind = 0; kind < 2; kind++) {
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			int other = memory_new(4096, 1);
			volatile uint8_t *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, other, 0);

			/* no report of a sanitizer, no core */
			signal(SIGABRT, SIG_DFL);
			if (freopen("/dev/null", "w", stderr) == NULL || ftruncate(other, 0) < 0)
				_exit(0);
			if (kind == 0)
				_exit(p[0] == 99);
			raise(SIGBUS);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		/* a sanitizer makes an exit of its own out of it */
		assert_true((WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS) ||
			    (WIFEXITED(status) && WEXITSTATUS(status) != 0));
	}
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_map),
		TEST(test_map_refusals),
		TEST(test_map_overlap),
		TEST(test_map_read_only_file),
		TEST(test_map_grown_file),
		TEST(test_map_not_kept),
		TEST(test_limits),
		TEST(test_limit_of_files),
		TEST(test_fair_share),
		TEST(test_translate_pieces),
		TEST(test_random),
		TEST(test_unmap_ranges),
		TEST(test_unmap_waits_for_hold),
		TEST(test_leave_waits_for_hold),
		TEST(test_shrunk_memory),
		TEST(test_other_sigbus),
	};

	return cmocka_run_group_tests_name("vfio/dma", tests, NULL, NULL);
}
