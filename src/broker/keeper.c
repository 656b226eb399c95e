/* SPDX-License-Identifier: BSD-3-Clause */
/* Descriptors that outlive a host. See keeper.h. */
#include "broker/keeper.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/fdstore.h"
#include "link/protocol.h"
#include "util/fd.h"

void keeper_init(struct keeper *keeper)
{
	memset(keeper, 0, sizeof(*keeper));
	keeper->page_fd = -1;
	keeper->next_page_fd = -1;
	keeper->listen_fd = -1;
	keeper->record_fd = -1;
}

void keeper_unstore(struct keeper *keeper)
{
	fdstore_forget(keeper->stored);
	keeper->stored = NULL;
}

void keeper_done(struct keeper *keeper)
{
	keeper_unstore(keeper);
	keeper_drop_all(keeper);
	keeper_drop_endpoints(keeper);
	free(keeper->slots);
	fd_close(&keeper->page_fd);
	fd_close(&keeper->next_page_fd);
	fd_close(&keeper->listen_fd);
	fd_close(&keeper->record_fd);
	keeper_init(keeper);
}

void keeper_drop_endpoints(struct keeper *keeper)
{
	for (size_t i = 0; i < keeper->endpoint_count; i++)
		fd_close(&keeper->endpoint_fds[i]);
	keeper->endpoint_count = 0;
}

static int keeper_page_make(uint64_t size)
{
	if (size == 0)
		return -EINVAL;
	return size > KEEPER_PAGE_MAX ? -EFBIG : fd_memfd("umdev-state", size);
}

int keeper_page_new(struct keeper *keeper, uint64_t size, uint32_t version)
{
	int fd = keeper_page_make(size);

	if (fd < 0)
		return fd;
	fd_close(&keeper->next_page_fd);
	fd_close(&keeper->page_fd);
	keeper->page_fd = fd;
	keeper->page_size = size;
	keeper->state_version = version;
	return 0;
}

int keeper_page_next(struct keeper *keeper, uint64_t size)
{
	int fd = keeper_page_make(size);

	if (fd < 0)
		return fd;
	fd_close(&keeper->next_page_fd);
	keeper->next_page_fd = fd;
	keeper->next_page_size = size;
	return 0;
}

void keeper_page_swap(struct keeper *keeper, uint32_t version)
{
	if (keeper->next_page_fd < 0)
		return;
	/* What is stored speaks of the page before. Stored anew when the mdev is active. */
	keeper_unstore(keeper);
	fd_close(&keeper->page_fd);
	keeper->page_fd = umdev_steal_fd(&keeper->next_page_fd);
	keeper->page_size = keeper->next_page_size;
	keeper->state_version = version;
}

/* The index of the first slot that is not below @slot. */
static size_t keeper_find(const struct keeper *keeper, uint32_t slot)
{
	size_t low = 0;
	size_t high = keeper->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (keeper->slots[mid].slot < slot)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool keeper_has(const struct keeper *keeper, size_t i, uint32_t slot)
{
	return i < keeper->count && keeper->slots[i].slot == slot;
}

int keeper_keep(struct keeper *keeper, uint32_t slot, int *fd, size_t max)
{
	size_t i = keeper_find(keeper, slot);

	if (slot >= LINK_SLOT_COUNT || *fd < 0)
		return -EINVAL;
	if (!keeper_has(keeper, i, slot)) {
		if (keeper->count >= max)
			return -EDQUOT;
		if (keeper->count == keeper->room) {
			size_t room = keeper->room ? keeper->room * 2 : 16;
			struct keeper_slot *slots =
				reallocarray(keeper->slots, room, sizeof(*slots));

			if (!slots)
				return -ENOMEM;
			keeper->slots = slots;
			keeper->room = room;
		}
		memmove(&keeper->slots[i + 1], &keeper->slots[i],
			(keeper->count - i) * sizeof(*keeper->slots));
		keeper->count++;
		keeper->slots[i] = (struct keeper_slot){.slot = slot, .fd = -1};
	}
	fd_close(&keeper->slots[i].fd);
	keeper->slots[i].fd = umdev_steal_fd(fd);
	return 0;
}

void keeper_drop(struct keeper *keeper, uint32_t slot)
{
	size_t i = keeper_find(keeper, slot);

	if (!keeper_has(keeper, i, slot))
		return;
	fdstore_drop(keeper->stored, slot);
	fd_close(&keeper->slots[i].fd);
	keeper->count--;
	memmove(&keeper->slots[i], &keeper->slots[i + 1],
		(keeper->count - i) * sizeof(*keeper->slots));
}

void keeper_drop_all(struct keeper *keeper)
{
	for (size_t i = 0; i < keeper->count; i++) {
		fdstore_drop(keeper->stored, keeper->slots[i].slot);
		fd_close(&keeper->slots[i].fd);
	}
	keeper->count = 0;
}

int keeper_get(const struct keeper *keeper, uint32_t slot)
{
	size_t i = keeper_find(keeper, slot);

	return keeper_has(keeper, i, slot) ? keeper->slots[i].fd : -1;
}
