/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest-memory map: which addresses the client lent, and where they are.
 *
 * The truth is a table of rows in the page; beside it stands a sorted array of what translation
 * needs, with the entry found last tried first. Maps never overlap. An unmap takes the entries away
 * at once, so that nothing new is found in them, but is answered only when the holds of the epoch
 * in which they could be found are released; the memory is unmapped then. Holds taken meanwhile
 * count for the next epoch and delay nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vfio/session-internal.h"

/* The number of entries that end before @addr: the place of the first that could hold it. */
static uint32_t dma_lower_bound(const struct dma_table *dma, uint64_t addr)
{
	uint32_t low = 0;
	uint32_t high = dma->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (dma->entries[middle].last < addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct dma_entry *dma_find(struct vfio_session *s, uint64_t iova)
{
	struct dma_table *dma = &s->dma;
	uint32_t i = dma->hit;

	if (i < dma->count && iova >= dma->entries[i].start && iova <= dma->entries[i].last)
		return &dma->entries[i];
	i = dma_lower_bound(dma, iova);
	if (i == dma->count || iova < dma->entries[i].start)
		return NULL;
	dma->hit = i;
	return &dma->entries[i];
}

/* ---- Map and unmap */

/* Makes room for one more entry. */
static int dma_reserve(struct dma_table *dma)
{
	uint32_t capacity = MAX(dma->capacity * 2, 64u);
	struct dma_entry *entries;
	uint32_t *free_rows;

	if (dma->count < dma->capacity)
		return 0;
	entries = realloc(dma->entries, capacity * sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	dma->entries = entries;
	free_rows = realloc(dma->free_rows, capacity * sizeof(*free_rows));
	if (!free_rows)
		return -ENOMEM;
	dma->free_rows = free_rows;
	dma->capacity = capacity;
	return 0;
}

/* Writes the row of a new entry, valid last. */
static void dma_write_row(struct vfio_session *s, const struct dma_entry *e,
			  const struct wire_dma_map *map)
{
	struct vfio_page_map *row = &s->page->maps[e->row];

	row->addr = map->addr;
	row->size = map->size;
	row->offset = map->offset;
	row->file = e->file ? e->file->number : VFIO_MAP_NO_FILE;
	row->access = e->access;
	s->page->maps_used = MAX(s->page->maps_used, e->row + 1);
	__atomic_store_n(&row->valid, 1, __ATOMIC_RELEASE);
}

/* Whether the map is there already, in every detail. */
static bool dma_same(const struct vfio_session *s, const struct dma_entry *e,
		     const struct wire_dma_map *map, int fd)
{
	uint32_t access = map->flags & (WIRE_DMA_MAP_READ | WIRE_DMA_MAP_WRITE);

	if (e->start != map->addr || e->last - e->start != map->size - 1 || e->access != access)
		return false;
	if (s->page->maps[e->row].offset != map->offset || (fd >= 0) != (e->file != NULL))
		return false;
	return fd < 0 || dma_file_same(s, e->file, fd);
}

int dma_map_serve(struct vfio_session *s, struct vfio_request *q, uint32_t *ret_len)
{
	struct dma_table *dma = &s->dma;
	struct dma_entry entry = {0};
	struct wire_dma_map map;
	uint32_t at;
	int fd = q->fd_count > 0 ? q->fds[0] : -1;
	int r;

	r = wire_dma_map_decode(q->body, q->len, q->fd_count, &map);
	if (r < 0)
		return r;
	entry.start = map.addr;
	entry.last = map.addr + (map.size - 1);
	entry.access = map.flags & (WIRE_DMA_MAP_READ | WIRE_DMA_MAP_WRITE);
	at = dma_lower_bound(dma, entry.start);
	if (at < dma->count && dma->entries[at].start <= entry.last)
		return dma_same(s, &dma->entries[at], &map, fd) ? 0 : -EEXIST;
	if (dma->count == WIRE_DMA_MAPS_MAX)
		return -ENOSPC;
	r = dma_reserve(dma);
	if (r < 0)
		return r;
	if (fd >= 0) {
		r = dma_file_get(s, fd, &map, &entry.file);
		if (r < 0)
			return r;
		entry.file->refs++;
		entry.host = entry.file->base + map.offset;
	}
	entry.row = dma->free_count > 0 ? dma->free_rows[--dma->free_count] : s->page->maps_used;
	dma_write_row(s, &entry, &map);
	memmove(&dma->entries[at + 1], &dma->entries[at],
		(dma->count - at) * sizeof(dma->entries[0]));
	dma->entries[at] = entry;
	dma->count++;
	s->stats.dma_maps++;
	return 0;
}

/* Takes entries [@from, @to) out of the table. Their files stay mapped for now. */
static void dma_remove(struct vfio_session *s, uint32_t from, uint32_t to)
{
	struct dma_table *dma = &s->dma;

	for (uint32_t i = from; i < to; i++) {
		struct dma_entry *e = &dma->entries[i];

		__atomic_store_n(&s->page->maps[e->row].valid, 0, __ATOMIC_RELEASE);
		dma->free_rows[dma->free_count++] = e->row;
		share_unmapped(s, e);
		if (e->file && --e->file->refs == 0)
			dma->dying = true;
	}
	memmove(&dma->entries[from], &dma->entries[to],
		(dma->count - to) * sizeof(dma->entries[0]));
	dma->count -= to - from;
}

bool dma_unmap_ready(const struct vfio_session *s)
{
	return s->dma.holds[(s->dma.epoch - 1) & 1] == 0;
}

void dma_unmap_finish(struct vfio_session *s)
{
	struct dma_table *dma = &s->dma;

	if (!dma->dying)
		return;
	dma->dying = false;
	for (uint32_t i = 0; i < s->page->files_used; i++) {
		if (dma->files[i] && dma->files[i]->refs == 0)
			dma_file_free(s, dma->files[i], false);
	}
}

int dma_drain(struct vfio_session *s)
{
	struct dma_table *dma = &s->dma;

	if (dma->holds[dma->epoch & 1] == 0)
		return 0;
	dma->epoch++;
	s->unmap_waits = true;
	return -EINPROGRESS;
}

int dma_unmap_serve(struct vfio_session *s, struct vfio_request *q, uint32_t *ret_len)
{
	struct dma_table *dma = &s->dma;
	struct wire_dma_unmap unmap;
	uint64_t last = UINT64_MAX;
	uint32_t from;
	uint32_t to;
	int r;

	r = wire_dma_unmap_decode(q->body, q->len, &unmap);
	if (r < 0)
		return r;
	if (!(unmap.flags & WIRE_DMA_UNMAP_ALL))
		last = unmap.addr + (unmap.size - 1);
	from = dma_lower_bound(dma, unmap.addr);
	to = dma_lower_bound(dma, last);
	/* Entry number `to` is the first that ends at @last or later: it belongs to the range if it
	 * ends there, is cut by it if it begins there or before. */
	if (to < dma->count && dma->entries[to].last == last)
		to++;
	else if (to < dma->count && dma->entries[to].start <= last)
		return -EINVAL;
	if (from < to && dma->entries[from].start < unmap.addr)
		return -EINVAL;
	memcpy(s->page->tx.body, &unmap, sizeof(unmap));
	*ret_len = sizeof(unmap);
	if (from == to)
		return 0;
	dma_remove(s, from, to);
	r = dma_drain(s);
	if (r == 0)
		dma_unmap_finish(s);
	return r;
}

void dma_clear(struct vfio_session *s, bool keep)
{
	struct dma_table *dma = &s->dma;

	if (!keep && dma->count > 0)
		dma_remove(s, 0, dma->count);
	for (uint32_t i = 0; dma->files && i < VFIO_SLOT_MEMORY_MAX; i++) {
		if (dma->files[i])
			dma_file_free(s, dma->files[i], keep);
	}
	free(dma->files);
	free(dma->entries);
	free(dma->free_rows);
	dma->files = NULL;
	dma->entries = NULL;
	dma->free_rows = NULL;
	dma->count = 0;
	dma->capacity = 0;
	dma->free_count = 0;
	dma->dying = false;
}

/* ---- After another process */

static int dma_compare_starts(const void *a, const void *b)
{
	const struct dma_entry *x = a;
	const struct dma_entry *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* The files that rows speak of. One without maps was about to come or to go. */
static int dma_resume_files(struct vfio_session *s, const int *fds)
{
	s->dma.files = calloc(VFIO_SLOT_MEMORY_MAX, sizeof(struct dma_file *));
	if (!s->dma.files)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->page->files_used; i++) {
		int r;

		if (!s->page->files[i].valid)
			continue;
		r = fds[i] < 0 ? -EBADF : dma_file_resume(s, i, fds[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

int dma_resume(struct vfio_session *s, const int *fds)
{
	struct dma_table *dma = &s->dma;
	int r = 0;

	if (s->page->files_used > 0)
		r = dma_resume_files(s, fds);
	if (r < 0 || s->page->maps_used == 0)
		return r;
	dma->capacity = MAX(s->page->maps_used, 64u);
	dma->entries = calloc(dma->capacity, sizeof(*dma->entries));
	dma->free_rows = calloc(dma->capacity, sizeof(*dma->free_rows));
	if (!dma->entries || !dma->free_rows)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->page->maps_used; i++) {
		const struct vfio_page_map *row = &s->page->maps[i];
		struct dma_entry *e = &dma->entries[dma->count];

		if (!row->valid) {
			dma->free_rows[dma->free_count++] = i;
			continue;
		}
		*e = (struct dma_entry){.start = row->addr,
					.last = row->addr + (row->size - 1),
					.row = i,
					.access = row->access};
		if (row->file != VFIO_MAP_NO_FILE) {
			e->file = dma->files[row->file];
			e->file->refs++;
			e->host = e->file->base + row->offset;
		}
		dma->count++;
	}
	qsort(dma->entries, dma->count, sizeof(dma->entries[0]), dma_compare_starts);
	dma->dying = true; /* those that no map needs */
	dma_unmap_finish(s);
	return 0;
}

/* ---- Translation */

/* Whether a client is there whose memory may be used. */
static bool dma_usable(const struct vfio_session *s)
{
	return s->page->state == VFIO_STATE_SERVING || s->page->state == VFIO_STATE_BUSY;
}

/*
 * The entry that lets @access happen at @iova, and how many of @len bytes from there are in it.
 * NULL: not mapped, or not so.
 */
static const struct dma_entry *dma_piece(struct vfio_session *s, uint64_t iova, uint64_t len,
					 uint32_t access, uint64_t *ret_len)
{
	const struct dma_entry *e = dma_find(s, iova);

	if (!e || (e->access & access) != access)
		return NULL;
	*ret_len = MIN(len, e->last - iova + 1);
	if (e->file && __builtin_expect(!e->file->checked, 0))
		share_notice(s, e, iova);
	return e;
}

int vfio_dma_translate(struct vfio_session *session, uint64_t iova, uint64_t len, uint32_t access,
		       struct iovec *iov, uint32_t max)
{
	bool remote = false;
	uint32_t n = 0;

	if (!dma_usable(session) || (len > 0 && len - 1 > UINT64_MAX - iova))
		return -EFAULT;
	while (len > 0) {
		uint64_t part;
		const struct dma_entry *e = dma_piece(session, iova, len, access, &part);
		uint8_t *at;

		if (!e)
			return -EFAULT;
		if (__builtin_expect(session->dirty != NULL, 0) && e->host &&
		    (access & WIRE_DMA_MAP_WRITE))
			dirty_mark(session, iova, part);
		if (e->host && !remote) {
			at = e->host + (iova - e->start);
			if (n > 0 && (uint8_t *)iov[n - 1].iov_base + iov[n - 1].iov_len == at)
				iov[n - 1].iov_len += part;
			else if (n < max)
				iov[n++] = (struct iovec){.iov_base = at, .iov_len = part};
			else
				return -E2BIG;
		} else {
			remote = true;
		}
		iova += part;
		len -= part;
	}
	if (remote)
		return session->page->peer.flags & VFIO_PEER_MESSAGES ? -EREMOTE : -EFAULT;
	return (int)n;
}

uint32_t vfio_dma_hold(struct vfio_session *session)
{
	uint32_t token = session->dma.epoch & 1;

	session->dma.holds[token]++;
	return token;
}

void vfio_dma_release(struct vfio_session *session, uint32_t token)
{
	uint64_t *holds = &session->dma.holds[token & 1];

	if (*holds > 0 && --*holds == 0 &&
	    (session->unmap_waits || session->page->state == VFIO_STATE_LOSING))
		session_kick(session);
}

/* Copies between guest memory that is mapped and @buf. The range was walked before. */
static void dma_copy(struct vfio_session *s, uint64_t iova, uint8_t *buf, uint64_t len, bool write)
{
	while (len > 0) {
		const struct dma_entry *e = dma_find(s, iova);
		uint64_t part = MIN(len, e->last - iova + 1);
		uint8_t *at = e->host + (iova - e->start);

		if (write && s->dirty)
			dirty_mark(s, iova, part);
		if (write)
			memcpy(at, buf, part);
		else
			memcpy(buf, at, part);
		iova += part;
		buf += part;
		len -= part;
	}
}

static int dma_transfer(struct vfio_session *s, struct dma_transfer transfer)
{
	uint32_t access = transfer.write ? WIRE_DMA_MAP_WRITE : WIRE_DMA_MAP_READ;
	uint64_t iova = transfer.iova;
	uint64_t len = transfer.len;
	bool remote = false;

	if (!dma_usable(s) || (len > 0 && len - 1 > UINT64_MAX - iova))
		return -EFAULT;
	while (len > 0) {
		uint64_t part;
		const struct dma_entry *e = dma_piece(s, iova, len, access, &part);

		if (!e)
			return -EFAULT;
		remote |= !e->host;
		iova += part;
		len -= part;
	}
	if (!remote) {
		dma_copy(s, transfer.iova, transfer.buf, transfer.len, transfer.write);
		return 0;
	}
	if (!(s->page->peer.flags & VFIO_PEER_MESSAGES))
		return -EFAULT;
	return message_start(s, transfer);
}

int vfio_dma_read(struct vfio_session *session, uint64_t iova, void *buf, uint64_t len,
		  vfio_dma_done *done, void *arg)
{
	return dma_transfer(
		session, (struct dma_transfer){
				 .iova = iova, .buf = buf, .len = len, .done = done, .arg = arg});
}

int vfio_dma_write(struct vfio_session *session, uint64_t iova, const void *buf, uint64_t len,
		   vfio_dma_done *done, void *arg)
{
	return dma_transfer(session, (struct dma_transfer){.iova = iova,
							   .buf = (void *)(uintptr_t)buf,
							   .len = len,
							   .done = done,
							   .arg = arg,
							   .write = true});
}
