/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DMA logging: which pages of guest memory the device has written, for a client that copies memory
 * while its guest runs.
 *
 * A page is noted when it is translated for writing, in a bit of a chunk that is made with the
 * first page within. A report must not forget a page that is still being written: so it first waits
 * for the holds that were taken before it, as an unmap does, while new pages are noted in another
 * map. What ends before the answer is in the answer or in the next one.
 *
 * Nothing of this is in the state page but that it is on: after the death of a process every page
 * is reported once. The same, for want of memory or beyond the limit, is never wrong: too much is
 * reported.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vfio/session-internal.h"

#define DIRTY_PAGE_SHIFT  12
#define DIRTY_CHUNK_SHIFT 27 /* 128 MiB, 4 KiB of bits */
#define DIRTY_CHUNK_WORDS (1u << (DIRTY_CHUNK_SHIFT - DIRTY_PAGE_SHIFT - 6))
/* 1 TiB of memory that was written, 32 MiB of bits. */
#define DIRTY_CHUNKS_MAX 8192u
/* Larger pages would make reports of ranges whose bits take too long to gather. */
#define DIRTY_REPORT_MAX (2u << 20)

struct dirty_chunk {
	uint64_t number;
	uint64_t bits[DIRTY_CHUNK_WORDS];
};

struct dirty_map {
	struct dirty_chunk **chunks; /* by number */
	uint32_t count;
	uint32_t capacity;
	uint32_t hit;
	bool rest; /* pages without a chunk are dirty */
};

struct dirty {
	struct dirty_map now;	 /* noted since the last report began */
	struct dirty_map before; /* noted before, and not reported yet */
};

/* ---- Maps */

static void dirty_clear(struct dirty_map *map)
{
	for (uint32_t i = 0; i < map->count; i++)
		free(map->chunks[i]);
	free(map->chunks);
	*map = (struct dirty_map){0};
}

/* The place of the chunk, or where it would be. */
static uint32_t dirty_place(const struct dirty_map *map, uint64_t number)
{
	uint32_t low = 0;
	uint32_t high = map->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (map->chunks[middle]->number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct dirty_chunk *dirty_find(struct dirty_map *map, uint64_t number)
{
	uint32_t i = map->hit;

	if (i < map->count && map->chunks[i]->number == number)
		return map->chunks[i];
	i = dirty_place(map, number);
	if (i == map->count || map->chunks[i]->number != number)
		return NULL;
	map->hit = i;
	return map->chunks[i];
}

/* The chunk, made if it is not there; NULL when there is no room. */
static struct dirty_chunk *dirty_get(struct dirty_map *map, uint64_t number)
{
	struct dirty_chunk *chunk = dirty_find(map, number);
	uint32_t at;

	if (chunk)
		return chunk;
	if (map->count == map->capacity) {
		uint32_t capacity = map->capacity ? map->capacity * 2 : 16;
		struct dirty_chunk **chunks = NULL;

		if (map->count < DIRTY_CHUNKS_MAX)
			chunks = realloc(map->chunks, capacity * sizeof(struct dirty_chunk *));
		if (!chunks)
			return NULL;
		map->chunks = chunks;
		map->capacity = capacity;
	}
	chunk = malloc(sizeof(*chunk));
	if (!chunk)
		return NULL;
	chunk->number = number;
	memset(chunk->bits, map->rest ? 0xff : 0, sizeof(chunk->bits));
	at = dirty_place(map, number);
	memmove(&map->chunks[at + 1], &map->chunks[at],
		(map->count - at) * sizeof(struct dirty_chunk *));
	map->chunks[at] = chunk;
	map->count++;
	map->hit = at;
	return chunk;
}

/* Everything is dirty. */
static void dirty_all(struct dirty_map *map)
{
	dirty_clear(map);
	map->rest = true;
}

/* Sets or clears the bits of pages [@first, @last] of a chunk. */
static void dirty_bits(struct dirty_chunk *chunk, uint32_t first, uint32_t last, bool set)
{
	for (uint32_t word = first / 64; word <= last / 64; word++) {
		uint64_t mask = ~0ull;

		if (word == first / 64)
			mask &= ~0ull << first % 64;
		if (word == last / 64)
			mask &= ~0ull >> (63 - last % 64);
		if (set)
			chunk->bits[word] |= mask;
		else
			chunk->bits[word] &= ~mask;
	}
}

/* The part of [@iova, @last] in the chunk of @iova, in pages of that. */
static void dirty_part(uint64_t iova, uint64_t last, uint32_t *ret_first, uint32_t *ret_last)
{
	const uint64_t inside = (1ull << DIRTY_CHUNK_SHIFT) - 1;
	uint64_t end = MIN(last, iova | inside);

	*ret_first = (uint32_t)((iova & inside) >> DIRTY_PAGE_SHIFT);
	*ret_last = (uint32_t)((end & inside) >> DIRTY_PAGE_SHIFT);
}

/* Sets or clears a range. What there is no room to clear stays dirty. */
static void dirty_range(struct dirty_map *map, uint64_t iova, uint64_t last, bool set)
{
	for (uint64_t n = iova >> DIRTY_CHUNK_SHIFT; n <= last >> DIRTY_CHUNK_SHIFT; n++) {
		uint64_t from = MAX(iova, n << DIRTY_CHUNK_SHIFT);
		struct dirty_chunk *chunk = dirty_find(map, n);
		uint32_t a;
		uint32_t b;

		/* Without a chunk, all of it is as @rest says. */
		if (!chunk && map->rest != set)
			chunk = dirty_get(map, n);
		if (!chunk && set && !map->rest) {
			dirty_all(map);
			return;
		}
		if (!chunk)
			continue;
		dirty_part(from, last, &a, &b);
		dirty_bits(chunk, a, b, set);
	}
}

/* Adds @from to @map and empties it. */
static void dirty_fold(struct dirty_map *map, struct dirty_map *from)
{
	if (from->rest)
		dirty_all(map);
	for (uint32_t i = 0; i < from->count && !map->rest; i++) {
		struct dirty_chunk *chunk = dirty_get(map, from->chunks[i]->number);

		if (!chunk) {
			dirty_all(map);
			break;
		}
		for (uint32_t word = 0; word < DIRTY_CHUNK_WORDS; word++)
			chunk->bits[word] |= from->chunks[i]->bits[word];
	}
	/* Chunks that exist in spite of rest have bits of their own. */
	for (uint32_t i = 0; i < from->count && map->rest; i++) {
		struct dirty_chunk *chunk = dirty_find(map, from->chunks[i]->number);

		for (uint32_t word = 0; chunk && word < DIRTY_CHUNK_WORDS; word++)
			chunk->bits[word] |= from->chunks[i]->bits[word];
	}
	dirty_clear(from);
}

void dirty_mark(struct vfio_session *s, uint64_t iova, uint64_t len)
{
	dirty_range(&s->dirty->now, iova, iova + (len - 1), true);
}

/* ---- On and off */

int dirty_resume(struct vfio_session *s)
{
	if (s->page->logging.page_size == 0)
		return 0;
	s->dirty = calloc(1, sizeof(*s->dirty));
	if (!s->dirty)
		return -ENOMEM;
	s->dirty->before.rest = true;
	return 0;
}

void dirty_free(struct vfio_session *s)
{
	if (!s->dirty)
		return;
	dirty_clear(&s->dirty->now);
	dirty_clear(&s->dirty->before);
	free(s->dirty);
	s->dirty = NULL;
}

void dirty_stop(struct vfio_session *s)
{
	s->page->logging.page_size = 0;
	dirty_free(s);
}

static bool dirty_page_size_ok(uint64_t size)
{
	return size >= WIRE_PAGE_SIZE && size <= DIRTY_REPORT_MAX && (size & (size - 1)) == 0;
}

/* Which ranges are logged does not matter: all are. They are checked nevertheless. */
int dirty_start_serve(struct vfio_session *s, struct vfio_request *q)
{
	struct vfio_page_logging *logging = &s->page->logging;
	struct wire_logging_start start;
	const uint8_t *at = q->body + sizeof(struct wire_feature) + sizeof(start);
	size_t head = sizeof(struct wire_feature) + sizeof(start);

	if (q->len < head)
		return -EINVAL;
	memcpy(&start, q->body + sizeof(struct wire_feature), sizeof(start));
	if (!dirty_page_size_ok(start.page_size) ||
	    start.num_ranges > (q->len - head) / sizeof(struct wire_logging_range))
		return -EINVAL;
	for (uint32_t i = 0; i < start.num_ranges; i++) {
		struct wire_logging_range range;

		memcpy(&range, at + i * sizeof(range), sizeof(range));
		if (range.length == 0 || range.length - 1 > UINT64_MAX - range.iova ||
		    ((range.length | range.iova) & (WIRE_PAGE_SIZE - 1)))
			return -EINVAL;
	}
	/* On already: an error, but for the same request served again. */
	if (logging->page_size && logging->number != s->page->rx.number)
		return -EINVAL;
	if (!s->dirty)
		s->dirty = calloc(1, sizeof(*s->dirty));
	if (!s->dirty)
		return -ENOMEM;
	logging->number = s->page->rx.number;
	logging->page_size = start.page_size;
	/* What was translated before is not known: it is over when this is answered. */
	return dma_drain(s);
}

/* ---- The report */

static int dirty_report_decode(const struct vfio_request *q, struct wire_logging_report *ret_report)
{
	struct wire_logging_report *r = ret_report;

	if (q->len < sizeof(struct wire_feature) + sizeof(*r))
		return -EINVAL;
	memcpy(r, q->body + sizeof(struct wire_feature), sizeof(*r));
	if (!dirty_page_size_ok(r->page_size) || r->length == 0 ||
	    r->length - 1 > UINT64_MAX - r->iova || ((r->iova | r->length) & (r->page_size - 1)) ||
	    r->length / r->page_size > WIRE_BITMAP_MAX * 8ull)
		return -EINVAL;
	return 0;
}

/* Bytes of the bitmap: whole words. */
static uint32_t dirty_report_size(const struct wire_logging_report *r)
{
	return (uint32_t)((r->length / r->page_size + 63) / 64 * 8);
}

/* Notes pages [@a, @b] of chunk @number, as far as @chunk (NULL: all of them) has them. */
static void dirty_gather(const struct wire_logging_report *r, uint64_t number,
			 const struct dirty_chunk *chunk, uint32_t a, uint32_t b, uint64_t *bitmap)
{
	uint64_t base = number << DIRTY_CHUNK_SHIFT;

	for (uint32_t page = a; page <= b; page++) {
		uint64_t bit;

		if (chunk && chunk->bits[page / 64] == 0) {
			page |= 63;
			continue;
		}
		if (chunk && !(chunk->bits[page / 64] >> page % 64 & 1))
			continue;
		bit = (base + ((uint64_t)page << DIRTY_PAGE_SHIFT) - r->iova) / r->page_size;
		bitmap[bit / 64] |= 1ull << bit % 64;
	}
}

int dirty_report_serve(struct vfio_session *s, struct vfio_request *q)
{
	struct wire_logging_report report;
	int r = dirty_report_decode(q, &report);

	if (r < 0)
		return r;
	if (!s->dirty)
		return -EINVAL;
	dirty_fold(&s->dirty->before, &s->dirty->now);
	return dma_drain(s);
}

int dirty_report_answer(struct vfio_session *s, struct vfio_request *q, uint32_t *ret_len)
{
	struct wire_logging_report report;
	struct wire_feature feature;
	uint8_t *body = s->page->tx.body;
	const uint32_t head = sizeof(feature) + sizeof(report);
	uint64_t *bitmap;
	uint64_t last;
	uint32_t size;
	int r = dirty_report_decode(q, &report);

	if (r < 0)
		return r;
	size = dirty_report_size(&report);
	memcpy(&feature, q->body, sizeof(feature));
	*ret_len = head;
	if (feature.argsz >= head + size)
		*ret_len += size;
	feature.argsz = head + size;
	memcpy(body, &feature, sizeof(feature));
	memcpy(body + sizeof(feature), &report, sizeof(report));
	if (*ret_len == head)
		return 0;
	bitmap = (uint64_t *)(body + head);
	memset(bitmap, 0, size);
	last = report.iova + (report.length - 1);
	for (uint64_t n = report.iova >> DIRTY_CHUNK_SHIFT; n <= last >> DIRTY_CHUNK_SHIFT; n++) {
		struct dirty_chunk *chunk = dirty_find(&s->dirty->before, n);
		uint32_t a;
		uint32_t b;

		if (!chunk && !s->dirty->before.rest)
			continue;
		dirty_part(MAX(report.iova, n << DIRTY_CHUNK_SHIFT), last, &a, &b);
		dirty_gather(&report, n, chunk, a, b, bitmap);
	}
	dirty_range(&s->dirty->before, report.iova, last, false);
	return 0;
}
