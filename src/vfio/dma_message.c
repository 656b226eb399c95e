/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guest memory that was lent without a descriptor: DMA_READ and DMA_WRITE to the client.
 *
 * Nothing ever waits for a reply: a transfer is queued, sent when tx is free, and ended from the
 * loop when its last chunk was answered, with commands of the client served in between. Requests in
 * flight stand in the page by rows; the message id names the row and a sequence number.
 *
 * QEMU before 11 laid these messages out differently: data of a read come 4 bytes early, a write
 * takes its first 4 bytes for a part of the count. The first message to a client is therefore a
 * write of no bytes, which only those answer with a bare header; they get no further ones but the
 * reads of share.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vfio/session-internal.h"

/* The id's low bits are the row. */
_Static_assert((VFIO_MESSAGE_COUNT & (VFIO_MESSAGE_COUNT - 1)) == 0, "a power of two");

/* Ends a transfer that is on no list. */
static void message_end(struct vfio_session *s, struct dma_transfer *t, int status)
{
	vfio_dma_done *done = t->done;
	void *arg = t->arg;

	list_add(&s->spare, &t->link);
	s->transfer_count--;
	done(arg, status);
}

int message_start(struct vfio_session *s, struct dma_transfer transfer)
{
	struct dma_transfer *t;

	/* While a reset is in progress nothing is sent: see command_end(). */
	if (s->connection.fd < 0 || s->doomed || s->device_busy || s->paused)
		return -ECANCELED;
	if (s->transfer_count == VFIO_TRANSFERS_MAX)
		return -EAGAIN;
	if (list_empty(&s->spare)) {
		t = malloc(sizeof(*t));
		if (!t)
			return -ENOMEM;
	} else {
		t = list_first(&s->spare, struct dma_transfer, link);
		list_del(&t->link);
	}
	*t = transfer;
	list_add_tail(&s->transfers, &t->link);
	s->transfer_count++;
	/* One that starts while an unmap waits, perhaps for it, gets its moment, too. */
	if (s->unmap_waits && !s->grace.armed)
		reactor_timer_set(s->reactor, &s->grace,
				  reactor_now_ns(s->reactor) + VFIO_UNMAP_GRACE_NS);
	session_kick(s);
	return -EINPROGRESS;
}

/* Builds a request in tx, filled in row @number, and sends it. */
static void message_send(struct vfio_session *s, uint32_t number, uint16_t command,
			 struct wire_dma_access access, const uint8_t *data)
{
	struct vfio_page_message *row = &s->page->messages[number];
	struct vfio_page_tx *tx = &s->page->tx;
	uint32_t len = sizeof(struct wire_header) + sizeof(access);
	struct wire_header header;

	row->id = (uint16_t)(s->page->next_id++ * VFIO_MESSAGE_COUNT + number);
	row->command = command;
	row->addr = access.addr;
	row->count = access.count;
	memcpy(tx->body, &access, sizeof(access));
	if (data) {
		memcpy(tx->body + sizeof(access), data, access.count);
		len += (uint32_t)access.count;
	}
	header = (struct wire_header){.id = row->id, .command = command, .size = len};
	tx_begin(s, &header);
	__atomic_store_n(&row->state, VFIO_MESSAGE_WAITING, __ATOMIC_RELEASE);
	tx_send(s);
}

static uint32_t message_free_row(const struct vfio_session *s)
{
	uint32_t row = 0;

	while (row < VFIO_MESSAGE_COUNT && s->page->messages[row].state != VFIO_MESSAGE_FREE)
		row++;
	return row;
}

void message_pump(struct vfio_session *s)
{
	const struct vfio_page_peer *peer = &s->page->peer;

	while (s->page->state == VFIO_STATE_SERVING && s->page->tx.len == 0 && !s->in_command &&
	       !s->doomed && !list_empty(&s->transfers)) {
		struct dma_transfer *t = list_first(&s->transfers, struct dma_transfer, link);
		uint32_t row = message_free_row(s);
		struct wire_dma_access access = {.addr = t->iova + t->pos};

		if (row == VFIO_MESSAGE_COUNT)
			return;
		if (!(peer->flags & VFIO_PEER_PROBED)) {
			if (!s->probing)
				message_send(s, row, WIRE_DMA_WRITE, access, NULL);
			s->probing = true;
			return;
		}
		access.count = MIN(t->len - t->pos, (uint64_t)WIRE_TRANSFER_MAX);
		access.count = MIN(access.count, peer->max_data_xfer);
		list_del(&t->link);
		s->in_flight[row] = t;
		if (t->write)
			message_send(s, row, WIRE_DMA_WRITE, access, t->buf + t->pos);
		else
			message_send(s, row, WIRE_DMA_READ, access, NULL);
	}
}

/* The reply to the write of no bytes. */
static void message_probed(struct vfio_session *s)
{
	const struct vfio_request *q = &s->request;
	struct dma_transfer *t;
	struct dma_transfer *next;
	struct list refused;

	s->probing = false;
	s->page->peer.flags |= VFIO_PEER_PROBED;
	if ((q->header.flags & WIRE_FLAG_ERROR) || q->len > 0)
		return;
	s->page->peer.flags |= VFIO_PEER_OLD_LAYOUT;
	s->page->peer.flags &= ~VFIO_PEER_MESSAGES;
	list_init(&refused);
	list_for_each_safe (t, next, &s->transfers, link) {
		if (t->done == share_done)
			continue;
		list_del(&t->link);
		list_add_tail(&refused, &t->link);
	}
	while (!list_empty(&refused)) {
		t = list_first(&refused, struct dma_transfer, link);
		list_del(&t->link);
		message_end(s, t, -EFAULT);
	}
}

/* What an answered chunk says: 0 with its data stored, or a negative errno; -EBADMSG if it is no
 * answer to what was asked. */
static int message_take(struct vfio_session *s, const struct vfio_page_message *row,
			struct dma_transfer *t)
{
	const struct vfio_request *q = &s->request;
	bool old = s->page->peer.flags & VFIO_PEER_OLD_LAYOUT;
	struct wire_dma_access access;
	uint64_t need = sizeof(access) + (t->write ? 0 : row->count);
	uint32_t count;

	if (q->header.flags & WIRE_FLAG_ERROR)
		return q->header.error > 0 && q->header.error < 4096 ? -(int)q->header.error : -EIO;
	/* The count of a written chunk is 4 bytes by the specification, 8 by its readers. */
	if (t->write)
		need = sizeof(access.addr) + sizeof(count);
	if (q->len < need)
		return -EBADMSG;
	memcpy(&access.addr, q->body, sizeof(access.addr));
	memcpy(&count, q->body + sizeof(access.addr), sizeof(count));
	access.count = count;
	if (!t->write && !old)
		memcpy(&access, q->body, sizeof(access));
	if (access.addr != row->addr || access.count != row->count)
		return -EBADMSG;
	if (!t->write)
		memcpy(t->buf + t->pos, q->body + sizeof(access) - (old ? 4 : 0), row->count);
	return 0;
}

void message_reply(struct vfio_session *s)
{
	const struct wire_header *header = &s->request.header;
	uint32_t number = header->id % VFIO_MESSAGE_COUNT;
	struct vfio_page_message *row = &s->page->messages[number];
	struct dma_transfer *t = s->in_flight[number];
	uint32_t state = row->state;
	int status;

	if (state == VFIO_MESSAGE_FREE || row->id != header->id ||
	    row->command != header->command) {
		session_doom(s, true, "client answered a request that was not made (command %u)",
			     header->command);
		return;
	}
	s->in_flight[number] = NULL;
	__atomic_store_n(&row->state, VFIO_MESSAGE_FREE, __ATOMIC_RELEASE);
	if (state == VFIO_MESSAGE_ABANDONED)
		return;
	session_kick(s);
	if (!t) {
		message_probed(s);
		return;
	}
	status = message_take(s, row, t);
	if (status == 0) {
		s->stats.dma_bytes_by_message += row->count;
		t->pos += row->count;
		if (t->pos < t->len) {
			list_add(&s->transfers, &t->link);
			return;
		}
	}
	if (status == -EBADMSG) {
		session_doom(s, true, "client gave a malformed answer to %s",
			     t->write ? "DMA_WRITE" : "DMA_READ");
		status = -EIO;
	}
	message_end(s, t, status);
}

void message_cancel(struct vfio_session *s, int status)
{
	struct dma_transfer *t;
	struct list ended;

	list_init(&ended);
	for (uint32_t i = 0; i < VFIO_MESSAGE_COUNT; i++) {
		if (s->page->messages[i].state != VFIO_MESSAGE_WAITING || !s->in_flight[i])
			continue;
		s->page->messages[i].state = VFIO_MESSAGE_ABANDONED;
		list_add_tail(&ended, &s->in_flight[i]->link);
		s->in_flight[i] = NULL;
	}
	while (!list_empty(&s->transfers)) {
		t = list_first(&s->transfers, struct dma_transfer, link);
		list_del(&t->link);
		list_add_tail(&ended, &t->link);
	}
	while (!list_empty(&ended)) {
		t = list_first(&ended, struct dma_transfer, link);
		list_del(&t->link);
		message_end(s, t, status);
	}
}

void message_resume(struct vfio_session *s)
{
	const struct vfio_page_tx *tx = &s->page->tx;

	/* The one that stands in tx is on its way, whether or not its row says so yet. */
	if (tx->len > 0 && (tx->header.flags & WIRE_FLAG_TYPE) == WIRE_TYPE_COMMAND) {
		struct vfio_page_message *row =
			&s->page->messages[tx->header.id % VFIO_MESSAGE_COUNT];

		row->id = tx->header.id;
		row->command = tx->header.command;
		row->state = VFIO_MESSAGE_ABANDONED;
	}
	for (uint32_t i = 0; i < VFIO_MESSAGE_COUNT; i++) {
		if (s->page->messages[i].state == VFIO_MESSAGE_WAITING)
			s->page->messages[i].state = VFIO_MESSAGE_ABANDONED;
	}
}

void message_forget_reply(struct vfio_session *s)
{
	const struct wire_header *header = &s->request.header;
	struct vfio_page_message *row = &s->page->messages[header->id % VFIO_MESSAGE_COUNT];

	if (row->id == header->id)
		__atomic_store_n(&row->state, VFIO_MESSAGE_FREE, __ATOMIC_RELEASE);
}

void message_free(struct vfio_session *s)
{
	struct dma_transfer *t;
	struct dma_transfer *next;

	list_for_each_safe (t, next, &s->spare, link)
		free(t);
	list_for_each_safe (t, next, &s->transfers, link)
		free(t);
	for (uint32_t i = 0; i < VFIO_MESSAGE_COUNT; i++)
		free(s->in_flight[i]);
	list_init(&s->spare);
	list_init(&s->transfers);
}
