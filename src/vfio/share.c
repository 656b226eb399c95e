/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Is the memory that came with a descriptor really the guest's?
 *
 * A VMM whose memory is private (share=off) still passes the descriptor of its file, and what
 * stands in the file has nothing to do with the guest: a device would silently read and write
 * nowhere. Nothing but the contents tells. So when the device first uses a file, the page that it
 * meets is also read by message, through the VMM. The guest may write to the page at any time,
 * therefore only bytes count that were the same in the mapping before and after; when such a byte
 * differs from the message twice in a row, the memory is not shared and the client is thrown out.
 * The same bytes, not all zero, prove that it is. Zeros on both sides prove nothing; another look
 * is taken later, after twice as many translations each time. The device works on meanwhile.
 */
#include <stdlib.h>
#include <string.h>

#include "vfio/session-internal.h"

#define SHARE_STRIKES	2
#define SHARE_PAUSE_MAX 65536u

void share_notice(struct vfio_session *s, const struct dma_entry *entry, uint64_t iova)
{
	struct share_check *share = &s->share;
	struct dma_file *file = entry->file;
	uint64_t start = iova & ~(uint64_t)(VFIO_SHARE_BYTES - 1);

	if (share->wanted || share->running)
		return;
	if (file->check_wait > 0) {
		file->check_wait--;
		return;
	}
	/* Maps are made of whole pages, so this one is in the map. */
	share->file = file;
	share->iova = start;
	share->host = entry->host + (start - entry->start);
	share->wanted = true;
	session_kick(s);
}

void share_forget(struct vfio_session *s, const struct dma_file *file)
{
	if (s->share.file != file)
		return;
	s->share.file = NULL;
	s->share.wanted = false;
}

void share_unmapped(struct vfio_session *s, const struct dma_entry *entry)
{
	if (s->share.iova >= entry->start && s->share.iova <= entry->last)
		share_forget(s, entry->file);
}

void share_clear(struct vfio_session *s)
{
	free(s->share.copies);
	s->share = (struct share_check){0};
}

/* Nothing was found out: looks again after a while, and after a longer one the next time. */
static void share_postpone(struct dma_file *file)
{
	file->strikes = 0;
	file->check_pause = MIN(MAX(file->check_pause * 2, 1u), SHARE_PAUSE_MAX);
	file->check_wait = file->check_pause;
}

/* Compares what the message brought with the mapping, before and now. */
static void share_compare(struct vfio_session *s, struct dma_file *file)
{
	const struct share_copies *copies = s->share.copies;
	const volatile uint8_t *now = s->share.host;
	bool differs = false;
	bool changed = false;
	bool zero = true;

	for (uint32_t i = 0; i < VFIO_SHARE_BYTES; i++) {
		if (copies->before[i] != now[i])
			changed = true;
		else if (copies->before[i] != copies->message[i])
			differs = true;
		else if (copies->before[i] != 0)
			zero = false;
	}
	if (differs && ++file->strikes < SHARE_STRIKES) {
		s->share.wanted = true;
		session_kick(s);
	} else if (differs) {
		session_doom(s, true,
			     "guest memory was passed but is not shared: add share=on to the "
			     "memory backend");
	} else if (changed || zero) {
		share_postpone(file);
	} else {
		file->checked = true;
		s->page->files[file->number].checked = 1;
	}
}

void share_done(void *arg, int status)
{
	struct vfio_session *s = arg;
	struct share_check *share = &s->share;

	share->running = false;
	if (!share->file)
		return;
	if (status < 0)
		share_postpone(share->file);
	else
		share_compare(s, share->file);
	if (!share->wanted)
		share->file = NULL;
}

void share_start(struct vfio_session *s)
{
	struct share_check *share = &s->share;
	int r;

	if (!share->wanted || share->running || s->page->state != VFIO_STATE_SERVING)
		return;
	share->wanted = false;
	if (!share->copies)
		share->copies = malloc(sizeof(*share->copies));
	if (!share->copies) {
		share_postpone(share->file);
		share->file = NULL;
		return;
	}
	memcpy(share->copies->before, share->host, VFIO_SHARE_BYTES);
	r = message_start(s, (struct dma_transfer){.iova = share->iova,
						   .buf = share->copies->message,
						   .len = VFIO_SHARE_BYTES,
						   .done = share_done,
						   .arg = s});
	if (r == -EINPROGRESS) {
		share->running = true;
	} else {
		share_postpone(share->file);
		share->file = NULL;
	}
}
