/* SPDX-License-Identifier: BSD-3-Clause */
/* Sending what stands in tx: one message at a time, one call when the socket has room. */
#include <errno.h>

#include "util/fault.h"
#include "vfio/session-internal.h"

void tx_begin(struct vfio_session *s, const struct wire_header *header)
{
	struct vfio_page_tx *tx = &s->page->tx;

	tx->header = *header;
	move_set(&tx->send, 0);
	__atomic_store_n(&tx->len, header->size, __ATOMIC_RELEASE);
	FAULT_POINT("tx.begun");
}

void tx_send(struct vfio_session *s)
{
	struct vfio_page_tx *tx = &s->page->tx;
	uint32_t sent = move_total(&tx->send);

	while (sent < tx->len) {
		int fd = tx->region && sent == 0 ? s->info.regions[tx->region - 1].fd : -1;
		ssize_t n = move_send(s->connection.fd, &tx->send,
				      (const uint8_t *)&tx->header + sent, tx->len - sent, fd);

		if (n == -EAGAIN)
			return;
		if (n < 0) {
			session_doom(s, false, "client closed the connection");
			break;
		}
		FAULT_POINT("tx.sent");
		sent = move_total(&tx->send);
	}
	tx_end(s);
}

void tx_end(struct vfio_session *s)
{
	__atomic_store_n(&s->page->tx.len, 0, __ATOMIC_RELEASE);
	s->page->tx.region = 0;
}
