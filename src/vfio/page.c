/* SPDX-License-Identifier: BSD-3-Clause */
/* The session's part of a state page: fresh ones, and the test of one that was handed over. */
#include "vfio/page.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(struct vfio_page_peer) == 32, "no holes");
_Static_assert(sizeof(struct vfio_page_message) == 24, "no holes");
_Static_assert(sizeof(struct vfio_page_file) == 40, "no holes");
_Static_assert(sizeof(struct vfio_page_map) == 40, "no holes");
_Static_assert(sizeof(struct vfio_page_migration) == 40, "no holes");
_Static_assert(offsetof(struct vfio_page, peer) == 128, "no holes");
_Static_assert(offsetof(struct vfio_page, rx) % 8 == 0, "requests are aligned");
_Static_assert(offsetof(struct vfio_page_rx, header) % 8 == 0, "requests are aligned");
_Static_assert(sizeof(struct vfio_page) % 8 == 0, "what follows is aligned");

size_t vfio_page_size(void)
{
	return sizeof(struct vfio_page);
}

void vfio_page_reset(struct vfio_page *page, bool was_valid)
{
	uint16_t next_id = page->next_id;

	if (!was_valid) {
		const size_t head = offsetof(struct vfio_page, state);

		/* The head last: a page that is half cleared must not look like a new one. */
		memset((uint8_t *)page + head, 0, sizeof(*page) - head);
		page->migration.state = WIRE_STATE_RUNNING;
		memset(page, 0, head);
		next_id = 0;
	} else {
		page->state = VFIO_STATE_IDLE;
		memset(page->maps, 0, page->maps_used * sizeof(page->maps[0]));
		memset(page->files, 0, page->files_used * sizeof(page->files[0]));
		memset(page->messages, 0, sizeof(page->messages));
		for (uint32_t i = 0; i < VFIO_IRQ_COUNT; i++)
			memset(page->irqs[i], 0, page->irqs_used[i]);
		memset(page->irqs_used, 0, sizeof(page->irqs_used));
		memset(&page->peer, 0, sizeof(page->peer));
		memset(&page->rx, 0, offsetof(struct vfio_page_rx, body));
		memset(&page->tx, 0, offsetof(struct vfio_page_tx, body));
		page->intx.masked = 0;
		page->rx.number = page->served;
		page->first = page->served;
		page->tries = 0;
		page->answer_tries = 0;
		page->maps_used = 0;
		page->files_used = 0;
	}
	page->version = VFIO_PAGE_VERSION;
	page->size = sizeof(*page);
	page->next_id = next_id;
	__atomic_store_n(&page->magic, VFIO_PAGE_MAGIC, __ATOMIC_RELEASE);
}

void vfio_page_await(struct vfio_page *page)
{
	vfio_page_reset(page, false);
	page->migration.state = WIRE_STATE_STOP;
	page->migration.flags = VFIO_MIGRATION_WAITS;
}

bool vfio_page_loading(const struct vfio_page *page)
{
	return page->magic == VFIO_PAGE_MAGIC && (page->migration.state == WIRE_STATE_RESUMING ||
						  page->migration.state == WIRE_STATE_ERROR);
}

static bool vfio_page_check_migration(const struct vfio_page_migration *m)
{
	if (m->state > WIRE_STATE_RESUMING || (m->flags & ~VFIO_MIGRATION_WAITS))
		return false;
	if (m->flags & VFIO_MIGRATION_WAITS && m->state != WIRE_STATE_STOP)
		return false;
	return m->size <= INT64_MAX && m->pos <= INT64_MAX && m->from <= INT64_MAX;
}

/* The request in the page. */
static bool vfio_page_check_rx(const struct vfio_page *page)
{
	const struct vfio_page_rx *rx = &page->rx;
	const uint32_t taken = move_total(&rx->take);
	const uint32_t both = VFIO_RX_PEEKED | VFIO_RX_TAKING;

	if (rx->take.before > WIRE_MESSAGE_MAX || rx->take.moved > WIRE_MESSAGE_MAX ||
	    taken > WIRE_MESSAGE_MAX)
		return false;
	if ((rx->flags & ~both) || rx->flags == both || rx->fd_count > WIRE_FDS_MAX ||
	    rx->multi_count > rx->multi_next + 1 || rx->number > page->served ||
	    page->served - rx->number > 1)
		return false;
	if ((rx->flags & VFIO_RX_PEEKED) && taken > 0)
		return false;
	if ((rx->flags || taken >= sizeof(rx->header)) &&
	    (wire_header_check(&rx->header) < 0 || taken > rx->header.size))
		return false;
	return page->state != VFIO_STATE_BUSY ||
	       (vfio_rx_have(rx) >= sizeof(rx->header) && vfio_rx_have(rx) == rx->header.size);
}

/* The request, the reply, and requests of our own. */
static bool vfio_page_check_messages(const struct vfio_page *page)
{
	const struct vfio_page_tx *tx = &page->tx;

	if (!vfio_page_check_rx(page))
		return false;
	if (tx->len > WIRE_MESSAGE_MAX || tx->region > VFIO_REGION_COUNT)
		return false;
	if (tx->len > 0 && (tx->header.size != tx->len || tx->send.before > tx->len ||
			    tx->send.moved > tx->len || move_total(&tx->send) > tx->len))
		return false;
	for (uint32_t i = 0; i < VFIO_MESSAGE_COUNT; i++) {
		const struct vfio_page_message *m = &page->messages[i];

		if (m->state >= VFIO_MESSAGE_STATE_COUNT || m->count > WIRE_TRANSFER_MAX)
			return false;
		if (m->state != VFIO_MESSAGE_FREE && m->command != WIRE_DMA_READ &&
		    m->command != WIRE_DMA_WRITE)
			return false;
	}
	return true;
}

static bool vfio_page_check_map(const struct vfio_page *page, const struct vfio_page_map *map)
{
	const uint32_t rights = WIRE_DMA_MAP_READ | WIRE_DMA_MAP_WRITE;
	const struct vfio_page_file *file;

	if ((map->addr | map->size | map->offset) % WIRE_PAGE_SIZE || map->size == 0)
		return false;
	if (map->size - 1 > UINT64_MAX - map->addr)
		return false;
	if (map->valid != 1 || (map->access & ~rights) || !(map->access & rights))
		return false;
	if (map->file == VFIO_MAP_NO_FILE)
		return true;
	if (map->file >= page->files_used)
		return false;
	file = &page->files[map->file];
	if (!file->valid || (!file->writable && (map->access & WIRE_DMA_MAP_WRITE)))
		return false;
	return map->size <= file->size && map->offset <= file->size - map->size;
}

static int vfio_page_compare_starts(const void *a, const void *b)
{
	const struct vfio_page_map *x = *(const struct vfio_page_map *const *)a;
	const struct vfio_page_map *y = *(const struct vfio_page_map *const *)b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/* Every map alone, and that no two overlap. */
static bool vfio_page_check_maps(const struct vfio_page *page)
{
	const struct vfio_page_map **sorted = NULL;
	uint32_t count = 0;
	bool valid = true;

	if (page->maps_used == 0)
		return true;
	sorted = malloc(page->maps_used * sizeof(const struct vfio_page_map *));
	if (!sorted)
		return false;
	for (uint32_t i = 0; valid && i < page->maps_used; i++) {
		if (!page->maps[i].valid)
			continue;
		valid = vfio_page_check_map(page, &page->maps[i]);
		sorted[count++] = &page->maps[i];
	}
	if (valid && count > 1)
		qsort(sorted, count, sizeof(const struct vfio_page_map *),
		      vfio_page_compare_starts);
	for (uint32_t i = 1; valid && i < count; i++)
		valid = sorted[i]->addr - sorted[i - 1]->addr >= sorted[i - 1]->size;
	free(sorted);
	return valid;
}

static bool vfio_page_check_irqs(const struct vfio_page *page, const struct vfio_device_info *info)
{
	for (uint32_t index = 0; index < VFIO_IRQ_COUNT; index++) {
		/* INTx has a second descriptor: the one that unmasks. */
		uint32_t count = info->irq_counts[index] + (index == VFIO_IRQ_INTX);

		if (page->irqs_used[index] > count || page->irqs_used[index] > VFIO_VECTOR_MAX)
			return false;
		for (uint32_t vector = 0; vector < page->irqs_used[index]; vector++) {
			if (page->irqs[index][vector] > 1)
				return false;
		}
	}
	return page->intx.level <= 1 &&
	       !(page->intx.masked & ~(VFIO_INTX_BY_CLIENT | VFIO_INTX_BY_FIRING));
}

/* Whether the head of @page, with the numbers of what is used, is all zero. */
static bool vfio_page_blank(const struct vfio_page *page)
{
	static const uint8_t zeros[offsetof(struct vfio_page, peer)];

	return memcmp(page, zeros, sizeof(zeros)) == 0;
}

int vfio_page_check(const struct vfio_page *page, const struct vfio_device_info *info)
{
	/* What such a page says is used would be believed. */
	if (vfio_page_blank(page))
		return -ENODATA;
	if (page->magic != VFIO_PAGE_MAGIC || page->version != VFIO_PAGE_VERSION ||
	    page->size != sizeof(*page))
		return -EBADMSG;
	if (page->tries > VFIO_TRIES_MAX || page->answer_tries > VFIO_TRIES_MAX)
		return -EBADMSG;
	if (page->state >= VFIO_STATE_COUNT || page->files_used > VFIO_SLOT_MEMORY_MAX ||
	    page->maps_used > WIRE_DMA_MAPS_MAX)
		return -EBADMSG;
	if (page->logging.page_size & (page->logging.page_size - 1))
		return -EBADMSG;
	if (page->peer.major != 0 || page->peer.minor > WIRE_MINOR || (page->peer.flags & ~15u))
		return -EBADMSG;
	for (uint32_t i = 0; i < page->files_used; i++) {
		const struct vfio_page_file *file = &page->files[i];

		if (file->valid > 1 || file->writable > 1 || file->checked > 1 ||
		    (file->valid && (file->size == 0 || file->size > INT64_MAX)))
			return -EBADMSG;
	}
	if (!vfio_page_check_messages(page) || !vfio_page_check_maps(page) ||
	    !vfio_page_check_irqs(page, info) || !vfio_page_check_migration(&page->migration))
		return -EBADMSG;
	return 0;
}
