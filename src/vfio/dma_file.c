/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mapped files of guest memory.
 *
 * Clients send a descriptor with every map, mostly of the same file. It is told apart by device and
 * inode, mapped once, whole, and unmapped with its last map. Its size is believed only as fstat
 * says it, and later not at all: see sigbus.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "util/fd.h"
#include "vfio/session-internal.h"

#ifndef FUSE_SUPER_MAGIC
#define FUSE_SUPER_MAGIC 0x65735546
#endif

/* What all sessions have mapped beyond their parts. The reactor's thread alone is here. */
static uint64_t dma_excess_bytes;
static uint64_t dma_excess_files;

uint64_t dma_excess(uint64_t total, uint64_t own)
{
	uint64_t part = total / 2 / VFIO_SESSIONS_MAX;

	return own > part ? own - part : 0;
}

bool dma_share_fair(uint64_t total, uint64_t excess, uint64_t own, uint64_t more)
{
	uint64_t left = total / 2 > excess ? total / 2 - excess : 0;
	uint64_t before = dma_excess(total, own);
	uint64_t after;

	if (more > UINT64_MAX - own)
		return false;
	after = dma_excess(total, own + more);
	return after == 0 || (after - before <= left && after <= left - (after - before));
}

/* Counts @bytes and @files more, modulo 2^64: fewer. */
static void dma_file_count(struct vfio_session *s, uint64_t bytes, uint64_t files)
{
	struct dma_table *dma = &s->dma;

	dma_excess_bytes -= dma_excess(VFIO_ALL_BYTES_MAX, dma->mapped_bytes);
	dma_excess_files -= dma_excess(VFIO_ALL_FILES_MAX, dma->mapped_files);
	dma->mapped_bytes += bytes;
	dma->mapped_files += files;
	dma_excess_bytes += dma_excess(VFIO_ALL_BYTES_MAX, dma->mapped_bytes);
	dma_excess_files += dma_excess(VFIO_ALL_FILES_MAX, dma->mapped_files);
}

/* What there is to know about a descriptor of guest memory. */
struct dma_file_facts {
	uint64_t dev;
	uint64_t ino;
	uint64_t size;
	size_t page_size;
	bool writable;
};

static int dma_file_facts(int fd, struct dma_file_facts *ret_facts)
{
	struct dma_file_facts facts = {.page_size = (size_t)sysconf(_SC_PAGESIZE)};
	struct statfs fs;
	struct stat st;
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size < 0)
		return -EINVAL;
	if ((flags & O_PATH) || (flags & O_ACCMODE) == O_WRONLY)
		return -EACCES;
	facts.dev = st.st_dev;
	facts.ino = st.st_ino;
	facts.size = (uint64_t)st.st_size;
	facts.writable = (flags & O_ACCMODE) == O_RDWR;
	if (fstatfs(fd, &fs) < 0)
		return -errno;
	/* A page of such a file comes from a process that may never deliver it. */
	if (fs.f_type == FUSE_SUPER_MAGIC)
		return -EOPNOTSUPP;
	if (fs.f_type == HUGETLBFS_MAGIC && fs.f_bsize > 0)
		facts.page_size = (size_t)fs.f_bsize;
	*ret_facts = facts;
	return 0;
}

void dma_file_wake(struct reactor_fd *source, uint32_t events)
{
	struct vfio_session *s = container_of(source, struct vfio_session, wake);
	uint64_t count;

	(void)!read(source->fd, &count, sizeof(count));
	for (uint32_t i = 0; i < s->page->files_used; i++) {
		const struct dma_file *file = s->dma.files[i];

		if (file && sigbus_hit(file->guard))
			session_doom(s, true,
				     "client made memory that it lent smaller than it said; give "
				     "guests memory of a fixed size");
	}
}

/* The eventfd by which the SIGBUS handler wakes the loop, made with the first file. */
static int dma_file_watch(struct vfio_session *s)
{
	int r = sigbus_install();

	if (r < 0 || s->wake.fd >= 0)
		return r;
	s->wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake.fd < 0)
		return -errno;
	s->wake.events = EPOLLIN;
	s->wake.ready = dma_file_wake;
	r = reactor_fd_add(s->reactor, &s->wake);
	if (r < 0)
		fd_close(&s->wake.fd);
	return r;
}

/* Takes back what dma_file_map() did. */
static void dma_file_unmap(struct vfio_session *s, struct dma_file *file)
{
	sigbus_del(file->guard);
	munmap(file->base, file->size);
	fd_close(&file->fd);
	dma_file_count(s, -file->size, -UINT64_C(1));
	free(file);
}

/*
 * A duplicate of @fd for whoever takes the session over, or -1: no client gets descriptors that the
 * others need. What is not held is as good as not kept.
 */
static int dma_file_hold(const struct vfio_session *s, int fd)
{
	int held = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (held >= 0 && !fd_fair(held, s->irq_assigned + s->dma.mapped_files, VFIO_FD_RESERVE))
		fd_close(&held);
	return held;
}

/* Maps the file under @number, not yet in any table. */
static int dma_file_map(struct vfio_session *s, int fd, const struct dma_file_facts *facts,
			uint32_t number, struct dma_file **ret_file)
{
	umdev_autofree struct dma_file *file = calloc(1, sizeof(*file));
	int prot = PROT_READ | (facts->writable ? PROT_WRITE : 0);
	size_t whole;
	void *base;

	if (!file)
		return -ENOMEM;
	if (facts->size > VFIO_MEMORY_BYTES_MAX - s->dma.mapped_bytes)
		return -ENOSPC;
	base = mmap(NULL, facts->size, prot, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (base == MAP_FAILED)
		return -errno;
	whole = (facts->size + facts->page_size - 1) & ~(facts->page_size - 1);
	file->fd = dma_file_hold(s, fd);
	file->guard = sigbus_add(base, whole, facts->page_size, s->wake.fd);
	if (!file->guard) {
		munmap(base, facts->size);
		fd_close(&file->fd);
		return -ENOSPC;
	}
	/* A guest's memory is none of a core dump's business. */
	(void)madvise(base, facts->size, MADV_DONTDUMP);
	file->base = base;
	file->size = facts->size;
	file->number = number;
	/* Whom one cannot ask is believed. */
	file->checked = !(s->page->peer.flags & (VFIO_PEER_MESSAGES | VFIO_PEER_OLD_LAYOUT));
	dma_file_count(s, facts->size, 1);
	*ret_file = umdev_steal_ptr(&file);
	return 0;
}

int dma_file_get(struct vfio_session *s, int fd, const struct wire_dma_map *map,
		 struct dma_file **ret_file)
{
	struct dma_file_facts facts;
	struct vfio_page_file *row;
	struct dma_file *file;
	uint32_t number = VFIO_SLOT_MEMORY_MAX;
	int r = dma_file_facts(fd, &facts);

	if (r < 0)
		return r;
	if ((map->flags & WIRE_DMA_MAP_WRITE) && !facts.writable)
		return -EACCES;
	if (map->size > facts.size || map->offset > facts.size - map->size)
		return -EINVAL;
	if (!s->dma.files)
		s->dma.files = calloc(VFIO_SLOT_MEMORY_MAX, sizeof(struct dma_file *));
	if (!s->dma.files)
		return -ENOMEM;
	for (uint32_t i = 0; i < VFIO_SLOT_MEMORY_MAX; i++) {
		file = s->dma.files[i];
		row = &s->page->files[i];
		if (!file) {
			number = MIN(number, i);
			if (i >= s->page->files_used)
				break;
			continue;
		}
		/* A file that has grown since is mapped anew; the old mapping lives on with its
		 * maps. */
		if (row->dev == facts.dev && row->ino == facts.ino &&
		    row->writable == facts.writable && map->size <= file->size &&
		    map->offset <= file->size - map->size) {
			*ret_file = file;
			return 0;
		}
	}
	if (number == VFIO_SLOT_MEMORY_MAX)
		return -ENOSPC;
	/* What an earlier process had granted is not asked again. */
	if (!dma_share_fair(VFIO_ALL_BYTES_MAX, dma_excess_bytes, s->dma.mapped_bytes,
			    facts.size) ||
	    !dma_share_fair(VFIO_ALL_FILES_MAX, dma_excess_files, s->dma.mapped_files, 1))
		return -ENOSPC;
	r = dma_file_watch(s);
	if (r == 0)
		r = dma_file_map(s, fd, &facts, number, &file);
	if (r < 0)
		return r;
	r = s->ops->keep(s->device, VFIO_SLOT_MEMORY + number, fd);
	if (r < 0) {
		dma_file_unmap(s, file);
		return r;
	}
	row = &s->page->files[number];
	*row = (struct vfio_page_file){
		.dev = facts.dev,
		.ino = facts.ino,
		.size = facts.size,
		.writable = facts.writable,
		.checked = file->checked,
	};
	s->page->files_used = MAX(s->page->files_used, number + 1);
	__atomic_store_n(&row->valid, 1, __ATOMIC_RELEASE);
	s->dma.files[number] = file;
	*ret_file = file;
	return 0;
}

int dma_file_resume(struct vfio_session *s, uint32_t number, int fd)
{
	const struct vfio_page_file *row = &s->page->files[number];
	struct dma_file_facts facts;
	struct dma_file *file;
	int r = dma_file_facts(fd, &facts);

	if (r < 0)
		return r;
	if (row->dev != facts.dev || row->ino != facts.ino || row->writable != facts.writable ||
	    row->size > facts.size)
		return -ESTALE;
	facts.size = row->size;
	r = dma_file_watch(s);
	if (r == 0)
		r = dma_file_map(s, fd, &facts, number, &file);
	if (r < 0)
		return r;
	file->checked |= row->checked;
	s->dma.files[number] = file;
	return 0;
}

bool dma_file_same(const struct vfio_session *s, const struct dma_file *file, int fd)
{
	const struct vfio_page_file *row = &s->page->files[file->number];
	struct dma_file_facts facts;

	return dma_file_facts(fd, &facts) == 0 && row->dev == facts.dev && row->ino == facts.ino &&
	       row->writable == facts.writable;
}

void dma_file_free(struct vfio_session *s, struct dma_file *file, bool keep)
{
	uint32_t number = file->number;

	share_forget(s, file);
	s->dma.files[number] = NULL;
	if (!keep) {
		__atomic_store_n(&s->page->files[number].valid, 0, __ATOMIC_RELEASE);
		s->ops->drop(s->device, VFIO_SLOT_MEMORY + number);
	}
	dma_file_unmap(s, file);
}
