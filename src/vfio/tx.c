/* SPDX-License-Identifier: BSD-3-Clause */
/* Sending what stands in tx: one message at a time, one sendmsg when the socket has room. */
#include <errno.h>

#include "util/fd.h"
#include "vfio/session-internal.h"

void tx_send(struct vfio_session *s)
{
	struct vfio_page_tx *tx = &s->page->tx;

	while (tx->sent < tx->len) {
		const int *fd =
			tx->region && tx->sent == 0 ? &s->info.regions[tx->region - 1].fd : NULL;
		ssize_t n = fd_send(s->connection.fd, (const uint8_t *)&tx->header + tx->sent,
				    tx->len - tx->sent, fd, fd ? 1 : 0);

		if (n == -EAGAIN)
			return;
		if (n < 0) {
			session_doom(s, false, "client closed the connection");
			break;
		}
		tx->sent += (uint32_t)n;
	}
	tx->len = 0;
	tx->sent = 0;
	tx->region = 0;
}
